/* The system: dispatchers, pool and the root; start and ordered stop. */
#include "actor/actor_internal.h"
#include "actor/tree.h"
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* How long after the deadline a stop waits for dispatchers that are in the middle of a handler. */
#define LAST_CHANCE_NS 1000000000ull

static uint32_t cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : (uint32_t)n;
}

static uint32_t within(uint32_t value, uint32_t absent, uint32_t max)
{
	if (value == 0)
		value = absent;
	return value < max ? value : max;
}

static uint32_t all_dispatchers(const struct sm_system *system)
{
	return system->dispatcher_count + system->pinned_count;
}

/* The threads have ended, or were never started. */
void actor__system_free(struct sm_system *system)
{
	if (system->pool)
		actor__pool_free(system->pool);
	for (uint32_t i = 0; i < all_dispatchers(system); i++)
		actor__dispatcher_close(&system->dispatchers[i]);
	free(system->dispatchers);
	actor__registry_free(system->registry);
	actor__sim_free(system->sim);
	map_done(&system->child_names);
	pthread_cond_destroy(&system->tree_changed);
	pthread_mutex_destroy(&system->tree_lock);
	free(system);
}

static void defaults(struct sm_system_options *o)
{
	o->dispatchers = within(o->dispatchers, cores(), ACTOR_DISPATCHERS_MAX);
	o->pool_threads = within(o->pool_threads, ACTOR_POOL_THREADS_DEFAULT, ACTOR_POOL_THREADS_MAX);
	o->pool_queue_max = within(o->pool_queue_max, ACTOR_POOL_QUEUE_DEFAULT, UINT32_MAX);
	o->mailbox_max = within(o->mailbox_max, ACTOR_MAILBOX_DEFAULT, REF_COUNT);
	o->messages_a_turn = within(o->messages_a_turn, ACTOR_MESSAGES_A_TURN_DEFAULT, UINT32_MAX);
	o->pinned_max = within(o->pinned_max, ACTOR_PINNED_DEFAULT, ACTOR_DISPATCHERS_MAX);
	o->slow_handler_ms = within(o->slow_handler_ms, ACTOR_SLOW_MS_DEFAULT, UINT32_MAX);
}

enum sm_err actor__system_make(const struct sm_system_options *options, struct sm_system **ret_system, struct sm_error *reterr)
{
	struct sm_system *system = calloc(1, sizeof *system);
	if (!system)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the actor system");
	system->options = options ? *options : (struct sm_system_options){0};
	defaults(&system->options);
	pthread_mutex_init(&system->tree_lock, NULL);
	clock_cond_init(&system->tree_changed);
	map_init(&system->child_names);
	cpu_set_t cores_allowed;
	system->several_cores = sched_getaffinity(0, sizeof cores_allowed, &cores_allowed) != 0 || CPU_COUNT(&cores_allowed) > 1;
	uint32_t places = system->options.dispatchers + system->options.pinned_max;
	size_t size = places * sizeof *system->dispatchers;
	if (!(system->registry = actor__registry_new()) || !(system->dispatchers = aligned_alloc(64, size))) {
		actor__system_free(system);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for %u dispatchers", places);
	}
	memset(system->dispatchers, 0, size);
	*ret_system = system;
	return SM_OK;
}

enum sm_err sm_system_new(const struct sm_system_options *options, struct sm_system **ret_system, struct sm_error *reterr)
{
	struct sm_system *system;
	enum sm_err err = actor__system_make(options, &system, reterr);
	if (err)
		return err;
	const struct sm_system_options *o = &system->options;
	for (uint32_t i = 0; i < o->dispatchers; i++) {
		system->dispatcher_count++;
		if ((err = actor__dispatcher_open(&system->dispatchers[i], system, i, reterr)))
			goto failed;
	}
	if ((err = actor__pool_new(o->pool_threads, o->pool_queue_max, &system->pool, reterr)))
		goto failed;
	for (uint32_t i = 0; i < o->dispatchers; i++) {
		if ((err = actor__dispatcher_start(&system->dispatchers[i], reterr)))
			goto stop;
	}
	*ret_system = system;
	return SM_OK;
stop:
	sm_system_stop(system, 1000);
	return err;
failed:
	actor__system_free(system);
	return err;
}

uint32_t sm_system_dispatchers(const struct sm_system *system)
{
	return system->dispatcher_count;
}

/* Under the tree's lock, which is let go of meanwhile. */
static bool wait_for_tree(struct sm_system *system, uint64_t deadline_ns, uint64_t *steps)
{
	if (!system->sim)
		return clock_cond_wait_until(&system->tree_changed, &system->tree_lock, deadline_ns);
	pthread_mutex_unlock(&system->tree_lock);
	bool in_time = actor__sim_wait(system, deadline_ns, steps);
	pthread_mutex_lock(&system->tree_lock);
	return in_time;
}

/* The root's children, youngest first, one after the other. False: the time is up. */
static bool stop_actors(struct sm_system *system, uint64_t deadline_ns)
{
	bool in_time = true;
	uint64_t steps = 0;
	struct sm_ref *asked = NULL;
	pthread_mutex_lock(&system->tree_lock);
	system->stopping = true;
	for (struct sm_ref *youngest; in_time && (youngest = actor__root_youngest(system));) {
		if (youngest == asked) {
			sm_unref(youngest);
			in_time = wait_for_tree(system, deadline_ns, &steps);
			continue;
		}
		pthread_mutex_unlock(&system->tree_lock);
		sm_unref(asked);
		sm_stop(asked = youngest);
		steps = 0;
		pthread_mutex_lock(&system->tree_lock);
	}
	bool ended = !system->youngest_child;
	pthread_mutex_unlock(&system->tree_lock);
	sm_unref(asked);
	return ended;
}

/* False: one hangs in a handler. */
static bool stop_dispatchers(struct sm_system *system, uint64_t deadline_ns)
{
	uint32_t started = 0;
	for (uint32_t i = 0; i < all_dispatchers(system); i++) {
		started += system->dispatchers[i].thread_started;
		if (system->dispatchers[i].thread_started)
			actor__dispatcher_quit(&system->dispatchers[i]);
	}
	pthread_mutex_lock(&system->tree_lock);
	bool in_time = true;
	while (in_time && system->threads_ended < started)
		in_time = clock_cond_wait_until(&system->tree_changed, &system->tree_lock, deadline_ns);
	bool ended = system->threads_ended == started;
	pthread_mutex_unlock(&system->tree_lock);
	for (uint32_t i = 0; i < all_dispatchers(system); i++) {
		struct dispatcher *d = &system->dispatchers[i];
		if (d->thread_started)
			ended ? pthread_join(d->thread, NULL) : pthread_detach(d->thread);
	}
	return ended;
}

/* Until nothing is left: a task may post to another dispatcher, and none may be queued for an actor that is freed. A bound, for
 * tasks that post themselves for ever. */
static void drain_all(struct sm_system *system)
{
	bool some = true;
	for (int round = 0; some && round < 10000; round++) {
		some = false;
		for (uint32_t i = 0; i < all_dispatchers(system); i++)
			some |= actor__dispatcher_drain(&system->dispatchers[i]);
	}
}

/* Before the first is ended: notices of its end must not queue those for a run that are freed after it. */
static void close_all(struct sm_actor *youngest)
{
	for (struct sm_actor *a = youngest; a; a = a->older) {
		actor__close(a);
		close_all(a->youngest_child);
	}
}

enum sm_err sm_system_stop(struct sm_system *system, uint32_t timeout_ms)
{
	assert(!actor__current);
	uint64_t deadline = actor__now_ns(system) + timeout_ms * 1000000ull;
	bool actors_ended = stop_actors(system, deadline);
	bool pool_idle = !system->pool || actor__pool_stop(system->pool, deadline);
	uint64_t now = actor__now_ns(system);
	if (system->sim)
		sm_sim_run(system, ACTOR_SIM_STEPS_WAITED_MAX); /* the pool's work */
	bool threads_ended = stop_dispatchers(system, (now > deadline ? now : deadline) + LAST_CHANCE_NS);
	/* A thread that hangs in somebody's code still has our memory in its hands: better leaked than freed under it. */
	if (!threads_ended || !pool_idle)
		return SM_TIMEOUT;
	drain_all(system);
	close_all(system->youngest_child);
	while (system->youngest_child)
		actor__force_end(system->youngest_child);
	drain_all(system);
	actor__system_free(system);
	return actors_ended ? SM_OK : SM_TIMEOUT;
}
