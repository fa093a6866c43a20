/* Actors without threads, for tests: one thread runs all of them, in an order that a seed chooses, by a clock that only the test
 * moves. The same seed and the same calls give the same run.
 *
 * Each actor lives on one of several dispatchers that have no thread; a step lets one of them run one actor for a few messages, or
 * fires a timer that is due, or runs one piece of the pool's work. All orders that threads could give to messages can come.
 * Everything of <smack/actor.h> works, except SM_OVERFLOW_BLOCK, which answers SM_FULL: nobody else could make room. sm_system_stop,
 * sm_ask_wait and sm_stop_wait run the steps that they wait for; after 100,000 of them in which the clock has stood still, because
 * actors never rest, their time is up. */
#ifndef SMACK_ACTOR_SIM_H
#define SMACK_ACTOR_SIM_H

#include <smack/actor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_sim_options {
	uint64_t seed;
	uint32_t dispatchers; /* 0: 16 */
	uint32_t mailbox_max; /* 0: 4096 */
};

/* A system of this kind; the clock is at 0. End it with sm_system_stop. Thread: all calls come from this one. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_sim_new(const struct sm_sim_options *options, struct sm_system **ret_system,
					       struct sm_error *reterr);
/* One step. False: nothing is ready (timers may be set for later). */
SM_EXPORT bool sm_sim_step(struct sm_system *system);
/* Steps until nothing is ready, at most steps_max (0: a million). False: there is still something: actors that never rest. */
SM_EXPORT bool sm_sim_run(struct sm_system *system, uint64_t steps_max);
/* Run, and move the clock on by ms, from timer to timer. False: as sm_sim_run. */
SM_EXPORT bool sm_sim_advance(struct sm_system *system, uint64_t ms);
SM_EXPORT uint64_t sm_sim_now_ms(const struct sm_system *system);
/* The next random number below n, from the seed: for the test's own choices. n is above 0. */
SM_EXPORT uint64_t sm_sim_random(struct sm_system *system, uint64_t n);

#ifdef __cplusplus
}
#endif
#endif
