/* What the tests of this room share. */
#ifndef ACTOR_TESTING_H
#define ACTOR_TESTING_H

#include "actor/actor.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define DEADLINE_MS 60000

/* Poll until the condition holds; fails the test after the deadline. */
#define eventually(condition)                                                  \
	do {                                                                   \
		uint64_t until_ = uv_hrtime() + DEADLINE_MS * 1000000ull;      \
		while (!(condition)) {                                         \
			if (uv_hrtime() > until_)                              \
				fail_msg("never became true: %s", #condition); \
			nanosleep(&(struct timespec){0, 200000}, NULL);        \
		}                                                              \
	} while (0)

struct number_msg {
	struct sm_msg msg;
	uint64_t number;
};

static atomic_long testing_live; /* messages made and not freed */

static inline void number_done(struct sm_msg *msg)
{
	atomic_fetch_sub(&testing_live, 1);
	free(msg);
}
static const struct sm_msg_type number_type = {"number", number_done};

static inline struct sm_msg *number_new(uint64_t number)
{
	struct number_msg *m = calloc(1, sizeof *m);
	assert_non_null(m);
	atomic_fetch_add(&testing_live, 1);
	m->msg.type = &number_type;
	m->number = number;
	return &m->msg;
}
static inline uint64_t number_of(const struct sm_msg *msg)
{
	return ((const struct number_msg *)msg)->number;
}

static inline struct sm_system *system_with(uint32_t dispatchers)
{
	struct sm_system *system;
	struct sm_error error;
	struct sm_system_options options = {.dispatchers = dispatchers, .pool_threads = 2};
	if (sm_system_new(&options, &system, &error))
		fail_msg("%s", error.text);
	return system;
}

/* A gate: an actor's handler that waits here keeps its dispatcher busy until the test opens it. */
static inline void gate_wait(atomic_bool *open)
{
	while (!atomic_load(open))
		nanosleep(&(struct timespec){0, 50000}, NULL);
}

#endif
