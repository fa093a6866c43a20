/* Failure: what is decided about it, restarts with their limits and delays, and what befalls relatives. What concerns an actor on
 * another dispatcher is noted in the tree, under its lock, and seen to by that actor's look. */
#include "actor/actor_internal.h"
#include "actor/tree.h"
#include "base/logging.h"
#include <stdlib.h>

static uint64_t random_below(struct sm_system *system, uint64_t n)
{
	static _Thread_local uint64_t state;
	if (system->sim)
		return sm_sim_random(system, n);
	if (state == 0)
		state = uv_hrtime() | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

/* Made at the first failure. */
struct actor_restarts {
	struct sm_actor *actor;
	struct timer_node backoff;
	uint64_t window_start_ns;
	uint64_t delay_ns; /* of the restart that is under way */
	uint32_t in_window;
	_Atomic uint32_t total;
};

static struct actor_restarts *restarts_seen(const struct sm_actor *a)
{
	struct actor_extra *extra = atomic_load_explicit(&a->extra, memory_order_acquire);
	return extra ? atomic_load_explicit(&extra->restarts, memory_order_acquire) : NULL;
}

static struct actor_restarts *restarts_of(struct sm_actor *a)
{
	struct actor_restarts *r = restarts_seen(a);
	struct actor_extra *extra = r ? NULL : actor__extra(a);
	if (extra && (r = calloc(1, sizeof *r))) {
		r->actor = a;
		atomic_store_explicit(&extra->restarts, r, memory_order_release);
	}
	return r;
}

uint32_t actor__restarts(const struct sm_actor *a)
{
	struct actor_restarts *r = restarts_seen(a);
	return r ? atomic_load_explicit(&r->total, memory_order_relaxed) : 0;
}

void actor__backoff_clear(struct sm_actor *a)
{
	struct actor_restarts *r = restarts_seen(a);
	if (r)
		actor__timer_unset(a->ref.dispatcher, &r->backoff);
}

void actor__restarts_done(struct sm_actor *a)
{
	free(restarts_seen(a));
}

static uint64_t delay_ns(struct sm_actor *a)
{
	const struct sm_supervision *s = &a->props->supervision;
	uint64_t ms = s->backoff_min_ms, max = s->backoff_max_ms > s->backoff_min_ms ? s->backoff_max_ms : s->backoff_min_ms;
	for (uint32_t i = 1; i < restarts_seen(a)->in_window && ms < max; i++)
		ms *= 2;
	uint64_t ns = (ms < max ? ms : max) * 1000000;
	uint64_t most = ns / 100 * (s->jitter_percent < 100 ? s->jitter_percent : 100);
	return most ? ns - random_below(actor__system(a), most + 1) : ns;
}

/* ---- restart ---- */

static void restart(struct timer_node *node)
{
	struct actor_restarts *r = CONTAINER(node, struct actor_restarts, backoff);
	struct sm_actor *a = r->actor;
	atomic_fetch_add_explicit(&r->total, 1, memory_order_relaxed);
	memset(actor__state(a), 0, a->props->state_size);
	actor__move_to(a, ACTOR_RUNNING);
	enum sm_err err = a->props->init ? a->props->init(a, actor__state(a), a->arg) : SM_OK;
	if (err) {
		actor__fail(a, err);
		return;
	}
	a->has_state = true;
	actor__resume_run(a);
}

static void wait_for_restart(struct sm_actor *a)
{
	if (a->has_state && a->props->done)
		a->props->done(a, actor__state(a));
	a->has_state = false;
	actor__behaviour_clear(a); /* also what done has started */
	actor__timers_clear(a);
	actor__asks_clear(a);
	actor__watches_clear(a);
	actor__move_to(a, ACTOR_BACKOFF);
	struct actor_restarts *r = restarts_seen(a);
	r->backoff.fire = restart;
	enum sm_err err = actor__timer_set(a->ref.dispatcher, &r->backoff, actor__now_ns(actor__system(a)) + r->delay_ns);
	if (err)
		actor__end(a, err);
}

static void begin_restart(struct sm_actor *a, uint64_t delay)
{
	struct actor_restarts *r = restarts_of(a);
	if (!r) {
		actor__end(a, SM_NO_MEMORY);
		return;
	}
	actor__move_to(a, ACTOR_RESTARTING);
	r->delay_ns = delay;
	actor__behaviour_clear(a);
	actor__timers_clear(a);
	actor__asks_clear(a);
	actor__watches_clear(a);
	if (actor__children_ended(a))
		wait_for_restart(a);
}

/* ---- failure ---- */

/* Counts this failure; false: there have been too many in the window, or there is no memory to count it. */
static bool may_restart(struct sm_actor *a)
{
	const struct sm_supervision *s = &a->props->supervision;
	struct actor_restarts *r = s->restarts_max ? restarts_of(a) : NULL;
	uint64_t now = actor__now_ns(actor__system(a));
	if (!r)
		return false;
	if (r->in_window == 0 || (s->window_ms && now - r->window_start_ns > (uint64_t)s->window_ms * 1000000)) {
		r->in_window = 0;
		r->window_start_ns = now;
	}
	if (r->in_window >= s->restarts_max)
		return false;
	r->in_window++;
	return true;
}

static void end_by_failure(struct sm_actor *a, enum sm_err why, bool escalate)
{
	const struct sm_supervision *s = &a->props->supervision;
	if (escalate && a->parent)
		LOG_WARN("actor", "%s failed: %s; its parent fails too", sm_actor_path(a), sm_err_text(why));
	else if (s->restarts_max || s->decide)
		LOG_ERROR("actor", "%s failed for good: %s", sm_actor_path(a), sm_err_text(why));
	a->escalates = escalate;
	if (s->all_for_one && !actor__stop_wanted(&a->ref))
		actor__group_tell(a, why, true, 0);
	actor__end(a, why);
}

void actor__fail(struct sm_actor *a, enum sm_err why)
{
	const struct sm_supervision *s = &a->props->supervision;
	enum sm_directive directive = s->decide ? s->decide(why) : SM_DIRECTIVE_RESTART;
	if (directive == SM_DIRECTIVE_RESUME && a->has_state) {
		LOG_WARN("actor", "%s failed: %s; it goes on", sm_actor_path(a), sm_err_text(why));
		return;
	}
	if (directive == SM_DIRECTIVE_STOP || directive == SM_DIRECTIVE_ESCALATE || actor__stop_wanted(&a->ref)) {
		end_by_failure(a, why, directive == SM_DIRECTIVE_ESCALATE);
		return;
	}
	if (!may_restart(a)) {
		end_by_failure(a, why, s->escalate_at_limit);
		return;
	}
	uint64_t delay = delay_ns(a);
	if (s->all_for_one) /* what siblings are told */
		delay = (delay + 999999) / 1000000 * 1000000;
	LOG_WARN("actor", "%s failed: %s; restart %u in %llu ms", sm_actor_path(a), sm_err_text(why), restarts_seen(a)->in_window,
		 (unsigned long long)(delay / 1000000));
	if (s->all_for_one)
		actor__group_tell(a, why, false, delay);
	begin_restart(a, delay);
}

/* ---- what relatives have done ---- */

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts */
void actor__relatives(struct sm_actor *a, const struct relatives *r)
{
	if (actor__at(a) == ACTOR_STOPPING)
		actor__finish_if_alone(a);
	else if (r->group_failed && r->group_stops)
		actor__end(a, r->group_failed);
	else if (actor__at(a) == ACTOR_RESTARTING && actor__children_ended(a))
		wait_for_restart(a);
	else if (actor__at(a) == ACTOR_RUNNING && r->group_failed)
		begin_restart(a, r->group_delay_ns); /* a child's failure is over with it */
	else if (actor__at(a) == ACTOR_RUNNING && r->escalated)
		actor__fail(a, r->escalated);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */
