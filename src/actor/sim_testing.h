/* What the tests share that run on the simulation: each body runs once a seed. SMACK_SEEDS says how many seeds (30), SMACK_SEED that
 * it shall be this one alone: the one that a failure has named. */
#ifndef ACTOR_SIM_TESTING_H
#define ACTOR_SIM_TESTING_H

#include "actor/testing.h"
#include "base/logging.h"
#include <smack/actor_sim.h>
#include <stdio.h>

static uint64_t sim_seed; /* the one at work */

static inline struct sm_system *sim_new(void)
{
	struct sm_system *system;
	struct sm_error error;
	struct sm_sim_options options = {.seed = sim_seed, .dispatchers = 1 + (uint32_t)(sim_seed % 9)};
	if (sm_sim_new(&options, &system, &error))
		fail_msg("%s", error.text);
	return system;
}

static inline void sim_end(struct sm_system *system)
{
	assert_int_equal(sm_system_stop(system, 60000), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static inline void sim_each_seed(void (*body)(void))
{
	const char *one = getenv("SMACK_SEED"), *many = getenv("SMACK_SEEDS");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1, count = one ? 1 : many ? strtoull(many, NULL, 10) : 30;
	logging_set((enum log_level)(LOG_LEVEL_ERROR + 1), false); /* failures are what is tested */
	for (sim_seed = first; sim_seed < first + count; sim_seed++) {
		fprintf(stderr, "\rseed %llu ", (unsigned long long)sim_seed);
		body();
	}
	fprintf(stderr, "\n");
}

#define SIM_TEST(name)                      \
	static void name##_body(void);      \
	static void name(void **unused)     \
	{                                   \
		sim_each_seed(name##_body); \
	}                                   \
	static void name##_body(void)

static inline struct sm_ref *sim_spawn(struct sm_system *system, const struct sm_props *props)
{
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, props, &ref), SM_OK);
	return ref;
}

static inline void sim_settle(struct sm_system *system)
{
	assert_true(sm_sim_run(system, 0));
}

static inline void send_number(struct sm_ref *to, uint64_t number)
{
	assert_int_equal(sm_send(to, number_new(number)), SM_OK);
}

/* Numbers that an actor has seen, in order. */
struct trace {
	uint64_t seen[4096];
	uint32_t count;
};
static inline void trace_add(struct trace *t, uint64_t number)
{
	assert_true(t->count < 4096);
	t->seen[t->count++] = number;
}
static inline void trace_is(const struct trace *t, uint32_t count, const uint64_t *numbers)
{
	assert_int_equal(t->count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(t->seen[i], numbers[i]);
}
#define TRACE_IS(trace, ...) trace_is(trace, sizeof((uint64_t[]){__VA_ARGS__}) / 8, (uint64_t[]){__VA_ARGS__})

static inline enum sm_err trace_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct trace **)state = arg;
	return SM_OK;
}
static inline enum sm_err trace_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	trace_add(*(struct trace **)state, number_of(msg));
	return SM_OK;
}
static inline struct sm_props trace_props(struct trace *t)
{
	return (struct sm_props){
		.state_size = sizeof(void *), .init = trace_init, .receive = trace_receive, .arg = t, .dispatcher = SM_DISPATCHER_ANY};
}

#endif
