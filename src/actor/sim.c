/* A system without threads, for tests: a step picks at random, from a seed, among the dispatchers that have something to do and the
 * work of the pool. Source: the idea of FoundationDB's simulation. */
#include "actor/actor_internal.h"
#include <stdlib.h>

#define STEPS_DEFAULT 1000000
#define BUDGET_MAX 4 /* messages that an actor handles before another one may come between */

struct sim {
	uint64_t random;
	uint64_t now_ns;
	struct sm_work *work, *work_last; /* of the pool */
	uint32_t work_count;
};

uint64_t actor__sim_now_ns(const struct sm_system *system)
{
	return system->sim->now_ns;
}

bool actor_is_simulated(const struct sm_system *system)
{
	return system->sim != NULL;
}

uint64_t sm_sim_now_ms(const struct sm_system *system)
{
	return system->sim->now_ns / 1000000;
}

/* SplitMix64 (S. Vigna). */
uint64_t sm_sim_random(struct sm_system *system, uint64_t n)
{
	assert(system->sim && n > 0);
	uint64_t z = system->sim->random += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % n;
}

enum sm_err sm_sim_new(const struct sm_sim_options *options, struct sm_system **ret_system, struct sm_error *reterr)
{
	uint32_t dispatchers = options && options->dispatchers ? options->dispatchers : ACTOR_SIM_DISPATCHERS_DEFAULT;
	struct sm_system_options o = {.dispatchers = dispatchers, .mailbox_max = options ? options->mailbox_max : 0};
	struct sm_system *system;
	enum sm_err err = actor__system_make(&o, &system, reterr);
	if (err)
		return err;
	if (!(system->sim = calloc(1, sizeof *system->sim))) {
		actor__system_free(system);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the simulation");
	}
	system->sim->random = options ? options->seed : 0;
	for (uint32_t i = 0; i < system->options.dispatchers; i++) {
		system->dispatcher_count++;
		if ((err = actor__dispatcher_open(&system->dispatchers[i], system, i, reterr))) {
			actor__system_free(system);
			return err;
		}
	}
	*ret_system = system;
	return SM_OK;
}

void actor__sim_free(struct sim *sim)
{
	free(sim);
}

/* ---- the pool ---- */

enum sm_err actor__sim_pool_run(struct sm_system *system, struct sm_work *work)
{
	struct sim *sim = system->sim;
	if (sim->work_count >= system->options.pool_queue_max)
		return SM_FULL;
	work->next = NULL;
	if (sim->work)
		sim->work_last->next = work;
	else
		sim->work = work;
	sim->work_last = work;
	sim->work_count++;
	return SM_OK;
}

/* Any of them: the pool's threads run several at a time. */
static void work_step(struct sm_system *system)
{
	struct sim *sim = system->sim;
	uint64_t skip = sm_sim_random(system, sim->work_count < 4 ? sim->work_count : 4);
	struct sm_work *before = NULL, *work = sim->work;
	for (; skip; skip--) {
		before = work;
		work = work->next;
	}
	if (before)
		before->next = work->next;
	else
		sim->work = work->next;
	if (sim->work_last == work)
		sim->work_last = before;
	sim->work_count--;
	actor__work_run(work);
}

/* ---- steps ---- */

bool sm_sim_step(struct sm_system *system)
{
	struct sim *sim = system->sim;
	assert(sim && !actor__current);
	struct dispatcher *ready[ACTOR_DISPATCHERS_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < system->dispatcher_count; i++)
		if (actor__dispatcher_ready(&system->dispatchers[i], sim->now_ns))
			ready[count++] = &system->dispatchers[i];
	uint32_t choices = count + (sim->work != NULL);
	if (choices == 0)
		return false;
	uint64_t choice = sm_sim_random(system, choices);
	if (choice == count) {
		work_step(system);
		return true;
	}
	struct dispatcher *d = ready[choice];
	d->check_every = 1 + (uint32_t)sm_sim_random(system, BUDGET_MAX);
	actor__dispatcher_step(d, sim->now_ns, sm_sim_random(system, 4) == 0);
	return true;
}

bool sm_sim_run(struct sm_system *system, uint64_t steps_max)
{
	for (uint64_t n = steps_max ? steps_max : STEPS_DEFAULT; n; n--)
		if (!sm_sim_step(system))
			return true;
	return false;
}

/* When the earliest timer is due; UINT64_MAX: there is none. */
static uint64_t next_timer_ns(const struct sm_system *system)
{
	uint64_t at = UINT64_MAX;
	for (uint32_t i = 0; i < system->dispatcher_count; i++) {
		const struct timer_heap *heap = &system->dispatchers[i].timers;
		if (heap->count && heap->nodes[0]->at_ns < at)
			at = heap->nodes[0]->at_ns;
	}
	return at;
}

bool sm_sim_advance(struct sm_system *system, uint64_t ms)
{
	struct sim *sim = system->sim;
	uint64_t until = sim->now_ns + ms * 1000000;
	for (;;) {
		if (!sm_sim_run(system, 0))
			return false;
		uint64_t at = next_timer_ns(system);
		sim->now_ns = at < until ? at : until;
		if (at > until)
			return true;
	}
}

bool actor__sim_wait(struct sm_system *system, uint64_t deadline_ns, uint64_t *steps)
{
	struct sim *sim = system->sim;
	if (++*steps > ACTOR_SIM_STEPS_WAITED_MAX) { /* of actors that never rest, in no time */
		sim->now_ns = deadline_ns;
		return false;
	}
	if (sm_sim_step(system))
		return true;
	*steps = 0;
	uint64_t at = next_timer_ns(system);
	sim->now_ns = at < deadline_ns ? at : deadline_ns;
	return at < deadline_ns;
}
