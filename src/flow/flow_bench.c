/* What an element costs, in ns: through fused stages, and over a boundary. */
#include "flow/flow_internal.h"
#include "base/clock.h"
#include <stdio.h>

#define ELEMENTS 10000000u

#define CHECK(call)                                                            \
	do {                                                                   \
		enum sm_err err_ = (call);                                     \
		if (err_) {                                                    \
			fprintf(stderr, "%s: %s\n", #call, sm_err_name(err_)); \
			exit(1);                                               \
		}                                                              \
	} while (0)

struct element {
	struct sm_msg msg;
	uint64_t number;
};
static const struct sm_msg_type element_type = {"element"};

/* Embedded elements, used again by turns: what is measured is the flow, not malloc. */
#define RING 4096
struct ring {
	struct element elements[RING];
	uint64_t given;
};

static enum sm_err ring_init(void *arg, void *state, struct sm_error *reterr)
{
	struct ring *r = state;
	for (uint32_t i = 0; i < RING; i++)
		r->elements[i].msg.type = &element_type;
	return SM_OK;
}
static enum sm_err ring_next(void *arg, void *state, struct sm_msg **ret_element, struct sm_error *reterr)
{
	struct ring *r = state;
	if (r->given == ELEMENTS)
		return SM_END;
	struct element *e = &r->elements[r->given % RING];
	e->number = r->given++;
	*ret_element = &e->msg;
	return SM_OK;
}

static enum sm_err increment(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	((struct element *)element)->number++;
	*ret_element = element;
	return SM_OK;
}
static bool is_even(void *arg, const struct sm_msg *element)
{
	return ((const struct element *)element)->number % 2 == 0;
}

static void measure(const char *what, uint32_t pairs, uint32_t boundaries)
{
	struct sm_system *system;
	struct sm_flow_run *run;
	struct sm_system_options options = {.dispatchers = boundaries ? 2 : 1, .pool_threads = 1};
	CHECK(sm_system_new(&options, &system, NULL));
	struct sm_flow *f = sm_flow_from_iterator(&(struct sm_flow_iterator){sizeof(struct ring), ring_init, ring_next}, NULL);
	for (uint32_t i = 0; i < boundaries; i++)
		f = sm_flow_async(f);
	for (uint32_t i = 0; i < pairs; i++)
		f = sm_flow_map(sm_flow_filter(f, is_even, NULL), increment, NULL);
	f = sm_flow_for_each(f, NULL, NULL);
	enum sm_err how;
	uint64_t started = clock_monotonic_ns(&clock_system);
	CHECK(sm_flow_run(system, f, NULL, &run, NULL));
	CHECK(sm_flow_wait(run, 100000, &how, NULL));
	CHECK(how);
	printf("%-44s %9.1f ns\n", what, (double)(clock_monotonic_ns(&clock_system) - started) / ELEMENTS);
	sm_flow_release(run);
	sm_flow_free(f);
	CHECK(sm_system_stop(system, 10000));
}

int main(void)
{
	measure("source to sink, an element", 0, 0);
	measure("source, filter, map, sink, an element", 1, 0);
	measure("the same over one boundary", 1, 1);
	return 0;
}
