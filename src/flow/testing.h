/* What the tests of this room share: numbers as elements, counted while they live; flows of the simulation, with many seeds. */
#ifndef FLOW_TESTING_H
#define FLOW_TESTING_H

#include "actor/sim_testing.h"
#include <smack/flow.h>

static inline struct sm_msg *copied_number(const struct sm_msg *msg);
static const struct sm_msg_type element_type = {"element", number_done, copied_number};

static inline struct sm_msg *element_new(uint64_t number)
{
	struct sm_msg *msg = number_new(number);
	msg->type = &element_type;
	return msg;
}
static inline struct sm_msg *copied_number(const struct sm_msg *msg)
{
	return element_new(number_of(msg));
}

/* An iterator over 1 to *arg. */
struct counter {
	uint64_t at;
};
static atomic_int testing_open; /* iterators that are open */
static inline enum sm_err counter_init(void *arg, void *state, struct sm_error *reterr)
{
	atomic_fetch_add(&testing_open, 1);
	return SM_OK;
}
static inline enum sm_err counter_next(void *arg, void *state, struct sm_msg **ret_element, struct sm_error *reterr)
{
	struct counter *c = state;
	if (c->at == *(uint64_t *)arg)
		return SM_END;
	*ret_element = element_new(++c->at);
	return SM_OK;
}
static inline void counter_done(void *arg, void *state)
{
	atomic_fetch_sub(&testing_open, 1);
}
static inline struct sm_flow *count_to(uint64_t *n)
{
	return sm_flow_from_iterator(&(struct sm_flow_iterator){sizeof(struct counter), counter_init, counter_next, counter_done}, n);
}

static inline enum sm_err twice(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	((struct number_msg *)element)->number *= 2;
	*ret_element = element;
	return SM_OK;
}
/* Fails at the number that arg points to. */
static inline enum sm_err fail_at(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	if (number_of(element) == *(uint64_t *)arg)
		return sm_fail(reterr, SM_CORRUPT, "number %llu is bad", (unsigned long long)number_of(element));
	*ret_element = element;
	return SM_OK;
}
static inline bool is_even(void *arg, const struct sm_msg *element)
{
	return number_of(element) % 2 == 0;
}

/* How a run has ended. */
struct ending {
	atomic_int count;
	enum sm_err err;
	char text[500];
};
static inline void ending_told(void *arg, enum sm_err err, const char *text)
{
	struct ending *e = arg;
	e->err = err;
	snprintf(e->text, sizeof e->text, "%s", text);
	atomic_fetch_add(&e->count, 1);
}

/* Takes the description. */
static inline struct sm_flow_run *run_flow(struct sm_system *system, struct sm_flow *flow, struct ending *ending)
{
	struct sm_flow_run *run;
	struct sm_error error;
	struct sm_flow_options options = {.done = ending ? ending_told : NULL, .arg = ending};
	if (ending)
		*ending = (struct ending){0};
	if (sm_flow_run(system, flow, &options, &run, &error))
		fail_msg("%s", error.text);
	sm_flow_free(flow);
	return run;
}

static inline void ended_with(struct ending *ending, enum sm_err err)
{
	if (atomic_load(&ending->count) != 1 || ending->err != err)
		fail_msg("ended %d times, with %s (%s), not with %s", atomic_load(&ending->count), sm_err_name(ending->err), ending->text,
			 sm_err_name(err));
}

/* The numbers of a collected value. */
static inline void value_to(struct sm_flow_run *run, const char *name, struct trace *trace)
{
	struct sm_flow_batch_msg *batch = (struct sm_flow_batch_msg *)sm_flow_value(run, name);
	assert_non_null(batch);
	trace->count = 0;
	for (const struct sm_msg *m = batch->first; m; m = m->next)
		trace_add(trace, number_of(m));
	assert_int_equal(trace->count, batch->count);
	sm_msg_free(&batch->msg);
}

/* Nothing is left: no element, no iterator, no dead letter. */
static inline void flow_sim_end(struct sm_system *system)
{
	assert_int_equal(sm_dead_letters(system), 0);
	sim_end(system);
	assert_int_equal(atomic_load(&testing_open), 0);
}

#endif
