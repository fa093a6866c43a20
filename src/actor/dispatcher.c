/* Dispatchers: a thread with a libuv loop and a queue of what is ready to run: actors with messages and posted functions.
 *
 * A turn runs what is ready, bounded in number and time, then the hooks; then the loop looks for events: without waiting while
 * something is ready, else until an event, an alarm or another thread's wake-up. */
#include "actor/actor_internal.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

_Thread_local struct dispatcher *actor__current;

int actor_current_dispatcher(void)
{
	return actor__current ? (int)actor__current->index : -1;
}
uv_loop_t *actor_loop(struct sm_actor *self)
{
	assert(self->ref.dispatcher->loop_open);
	return &self->ref.dispatcher->loop;
}
uint32_t actor_dispatcher(const struct sm_actor *self)
{
	return self->ref.dispatcher->index;
}

/* ---- the queue ---- */

static inline void ready_append(struct dispatcher *d, struct actor_task *task)
{
	task->next = NULL;
	if (d->ready_last)
		d->ready_last->next = task;
	else
		d->ready_first = task;
	d->ready_last = task;
}

static inline struct actor_task *ready_take(struct dispatcher *d)
{
	struct actor_task *task = d->ready_first;
	if (task && !(d->ready_first = task->next))
		d->ready_last = NULL;
	return task;
}

struct dispatcher *actor__dispatcher_hold(struct dispatcher *d)
{
	atomic_fetch_add(&d->posters, 1);
	return d;
}

void actor__dispatcher_release(struct dispatcher *d)
{
	atomic_fetch_sub(&d->posters, 1);
}

/* Dispatchers that this thread has posted to and not woken yet. */
static _Thread_local struct {
	bool on;
	uint32_t count;
	struct dispatcher *dispatchers[ACTOR_DISPATCHERS_MAX];
} held;

/* No uv_async_send: its receiver spins until the sender has left it, which takes longer than all the rest. */
static void wake(struct dispatcher *d)
{
	const uint64_t one = 1;
	while (write(d->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

/* Sequentially consistent on both sides: either we see it asleep, or it has seen the task before it slept. */
static void wake_posted(struct dispatcher *d)
{
	if (atomic_load(&d->sleeping) && atomic_exchange(&d->sleeping, 0))
		wake(d);
	actor__dispatcher_release(d);
}

static bool is_held(const struct dispatcher *d)
{
	for (uint32_t i = 0; i < held.count; i++)
		if (held.dispatchers[i] == d)
			return true;
	return false;
}

/* posters keeps the dispatcher's memory for a thread that is between its push and its wake-up. */
static void post_from_outside(struct dispatcher *d, struct actor_task *task)
{
	bool wakes = !held.on || held.count == ACTOR_DISPATCHERS_MAX, first = !wakes && !is_held(d);
	if (wakes || first)
		actor__dispatcher_hold(d);
	if (first)
		held.dispatchers[held.count++] = d;
	struct actor_task *newest = atomic_load_explicit(&d->inbound, memory_order_relaxed);
	do
		task->next = newest;
	while (!atomic_compare_exchange_weak(&d->inbound, &newest, task));
	if (wakes)
		wake_posted(d);
}

void actor_hold_wakes(void)
{
	assert(!held.on);
	held.on = true;
}

void actor_release_wakes(void)
{
	assert(held.on);
	held.on = false;
	while (held.count)
		wake_posted(held.dispatchers[--held.count]);
}

void actor__post(struct dispatcher *d, struct actor_task *task)
{
	if (LIKELY(d && d == actor__current))
		ready_append(d, task);
	else if (d)
		post_from_outside(d, task);
	else
		task->run(task); /* a thread waits in sm_ask_wait */
}

void actor_post(struct sm_system *system, uint32_t dispatcher, struct actor_task *task)
{
	assert(dispatcher < system->dispatcher_count);
	actor__post(&system->dispatchers[dispatcher], task);
}

static void take_inbound(struct dispatcher *d)
{
	if (!atomic_load_explicit(&d->inbound, memory_order_relaxed))
		return;
	struct actor_task *newest = atomic_exchange_explicit(&d->inbound, NULL, memory_order_acquire), *oldest = NULL;
	while (newest) {
		struct actor_task *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct actor_task *next = oldest->next;
		ready_append(d, oldest);
		oldest = next;
	}
}

/* ---- hooks ---- */

static void hook_link(struct actor_turn_hook *head, struct actor_turn_hook *hook)
{
	hook->prev = head->prev;
	hook->next = head;
	head->prev->next = hook;
	head->prev = hook;
}

static void hook_unlink(struct actor_turn_hook *hook)
{
	hook->prev->next = hook->next;
	hook->next->prev = hook->prev;
	hook->next = hook->prev = NULL;
}

void actor_at_turn_end(struct sm_actor *self, struct actor_turn_hook *hook)
{
	assert(self->ref.dispatcher == actor__current);
	if (!hook->next)
		hook_link(&self->ref.dispatcher->hooks, hook);
}

void actor_turn_hook_cancel(struct sm_actor *self, struct actor_turn_hook *hook)
{
	assert(self->ref.dispatcher == actor__current);
	if (hook->next)
		hook_unlink(hook);
}

static inline bool hooks_empty(const struct dispatcher *d)
{
	return d->hooks.next == &d->hooks;
}

/* The ring is moved to a head of its own first: what hooks queue runs at the next turn's end, and cancelling works meanwhile. */
static void hooks_run(struct dispatcher *d)
{
	if (hooks_empty(d))
		return;
	struct actor_turn_hook now = d->hooks;
	now.next->prev = now.prev->next = &now;
	d->hooks.next = d->hooks.prev = &d->hooks;
	while (now.next != &now) {
		struct actor_turn_hook *hook = now.next;
		hook_unlink(hook);
		hook->run(hook);
	}
}

/* ---- the thread ---- */

/* How many messages to handle before the clock is asked again, from what the last ones cost: often enough that slow handlers do
 * not keep the sockets waiting, seldom enough that quick ones do not pay for it. */
static void pace(struct dispatcher *d, uint64_t spent_ns)
{
	uint64_t every = ACTOR_TURN_NS_MAX / 8 * d->handled / (spent_ns + 1);
	d->check_every = every < 1 ? 1 : every > ACTOR_CHECK_EVERY_MAX ? ACTOR_CHECK_EVERY_MAX : (uint32_t)every;
	d->handled = 0;
}

static void turn(struct dispatcher *d)
{
	uint64_t start = uv_hrtime(), checked = start;
	d->handled = 0;
	actor__timers_fire(d, start);
	take_inbound(d);
	for (uint32_t n = 0; n < ACTOR_TASKS_A_TURN; n++) {
		struct actor_task *task = ready_take(d);
		if (!task) {
			take_inbound(d);
			if (!(task = ready_take(d)))
				break;
		}
		task->run(task);
		if (++d->handled >= d->check_every) {
			uint64_t now = uv_hrtime();
			pace(d, now - checked);
			checked = now;
			take_inbound(d);
			if (now - start > ACTOR_TURN_NS_MAX)
				break;
		}
	}
	hooks_run(d);
}

bool actor__dispatcher_ready(struct dispatcher *d, uint64_t now_ns)
{
	return d->ready_first || atomic_load(&d->inbound) || !hooks_empty(d) || (d->timers.count && d->timers.nodes[0]->at_ns <= now_ns);
}

void actor__dispatcher_step(struct dispatcher *d, uint64_t now_ns, bool turn_ends)
{
	actor__current = d;
	actor__timers_fire(d, now_ns);
	take_inbound(d);
	struct actor_task *task = ready_take(d);
	if (task)
		task->run(task);
	if (!task || turn_ends)
		hooks_run(d);
	actor__current = NULL;
}

/* uv_run looks at its timers before it waits too: an alarm that is due by then must not be followed by a wait without end. */
static void on_alarm(uv_timer_t *alarm)
{
	((struct dispatcher *)alarm->data)->alarm_ns = 0;
	uv_stop(alarm->loop);
}
static void on_wake(uv_poll_t *wake, int status, int events)
{
	uint64_t count;
	(void)!read(((struct dispatcher *)wake->data)->wake_fd, &count, sizeof count); /* it may have been read */
}

/* Set the alarm for the earliest timer. False: it is due. An alarm that is too early does no harm, it wakes us once. */
static bool alarm_set(struct dispatcher *d)
{
	if (d->timers.count == 0)
		return true;
	uint64_t at = d->timers.nodes[0]->at_ns, now = uv_hrtime();
	if (at <= now)
		return false;
	if (d->alarm_ns && d->alarm_ns <= at)
		return true;
	uv_update_time(&d->loop);
	uv_timer_start(&d->alarm, on_alarm, (at - now + 999999) / 1000000, 0);
	d->alarm_ns = at;
	return true;
}

/* uv_run calls timers and what was pending before it waits: what they have made ready must not wait for an event. */
static void on_before_wait(uv_prepare_t *before_wait)
{
	struct dispatcher *d = before_wait->data;
	if (atomic_load_explicit(&d->sleeping, memory_order_relaxed) && (d->ready_first || !hooks_empty(d) || !alarm_set(d)))
		uv_stop(before_wait->loop);
}

/* ---- waiting ----
 *
 * To be woken costs both sides a system call, and the sleeper ten times what the message does. A dispatcher whose last sleeps were short
 * (it talks with another one, which answers at once) waits awake a little first. It does so only after a number of them in a row, which
 * doubles with each wait in vain, so that the time that is lost stays a small part of what the sleeps take, and an idle one loses none. */

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static bool is_posted(struct dispatcher *d)
{
	return atomic_load_explicit(&d->inbound, memory_order_relaxed) != NULL;
}

static bool has_work(struct dispatcher *d)
{
	return d->ready_first || !hooks_empty(d) || is_posted(d);
}

/* True: there is something to do. */
static bool wait_awake(struct dispatcher *d)
{
	uint64_t now = uv_hrtime(), until = now + ACTOR_AWAKE_NS;
	if (now - d->looked_ns > ACTOR_AWAKE_LOOK_NS) {
		uv_run(&d->loop, UV_RUN_NOWAIT);
		d->looked_ns = now;
		if (has_work(d))
			return true;
	}
	if (d->timers.count && d->timers.nodes[0]->at_ns < until)
		until = d->timers.nodes[0]->at_ns;
	do {
		for (int i = 0; i < 32; i++) {
			if (is_posted(d)) {
				actor__awake_waited(&d->awake, false);
				return true;
			}
			relax();
		}
	} while (uv_hrtime() < until && !atomic_load_explicit(&d->quit, memory_order_relaxed));
	actor__awake_waited(&d->awake, true);
	return false;
}

/* Until an event, an alarm or a wake-up; `sleeping` is set. */
static void sleep_until_event(struct dispatcher *d)
{
	uint64_t start = d->system->several_cores ? uv_hrtime() : 0;
	uv_run(&d->loop, UV_RUN_ONCE);
	if (!start)
		return;
	bool is_short = is_posted(d) && (d->looked_ns = uv_hrtime()) - start < ACTOR_SLEEP_SHORT_NS;
	actor__awake_slept(&d->awake, is_short);
}

static void look_for_events(struct dispatcher *d)
{
	if (d->ready_first || !hooks_empty(d)) {
		uv_run(&d->loop, UV_RUN_NOWAIT);
		return;
	}
	if (actor__awake_pays(&d->awake) && wait_awake(d))
		return;
	atomic_store(&d->sleeping, 1);
	if (!atomic_load(&d->inbound) && !atomic_load(&d->quit) && alarm_set(d))
		sleep_until_event(d);
	else
		uv_run(&d->loop, UV_RUN_NOWAIT);
	atomic_store_explicit(&d->sleeping, 0, memory_order_relaxed);
}

static void *dispatcher_main(void *arg)
{
	struct dispatcher *d = arg;
	actor__current = d;
	while (!atomic_load_explicit(&d->quit, memory_order_acquire)) {
		turn(d);
		look_for_events(d);
	}
	for (int i = 0; i < 64 && (d->ready_first || atomic_load(&d->inbound) || !hooks_empty(d)); i++)
		turn(d);
	uv_run(&d->loop, UV_RUN_NOWAIT);
	pthread_mutex_lock(&d->system->tree_lock);
	d->system->threads_ended++;
	pthread_cond_broadcast(&d->system->tree_changed);
	pthread_mutex_unlock(&d->system->tree_lock);
	return NULL;
}

enum sm_err actor__dispatcher_open(struct dispatcher *d, struct sm_system *system, uint32_t index, struct sm_error *reterr)
{
	d->system = system;
	d->index = index;
	d->hooks.next = d->hooks.prev = &d->hooks;
	d->check_every = 1;
	d->awake.needed = ACTOR_SHORT_SLEEPS_MIN;
	if (system->sim)
		return SM_OK; /* no loop: there is nothing to wait for */
	int failed = uv_loop_init(&d->loop);
	if (failed)
		return sm_fail_errno(reterr, -failed, "cannot open the event loop of dispatcher %u", index);
	d->loop_open = true;
	d->loop.data = d;
	if ((d->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
		return sm_fail_errno(reterr, errno, "cannot open the event loop of dispatcher %u", index);
	d->wake.data = d;
	if ((failed = uv_poll_init(&d->loop, &d->wake, d->wake_fd)) || (failed = uv_poll_start(&d->wake, UV_READABLE, on_wake)) ||
	    (failed = uv_timer_init(&d->loop, &d->alarm)) || (failed = uv_prepare_init(&d->loop, &d->before_wait)) ||
	    (failed = uv_prepare_start(&d->before_wait, on_before_wait)))
		return sm_fail_errno(reterr, -failed, "cannot open the event loop of dispatcher %u", index);
	d->alarm.data = d->before_wait.data = d;
	return SM_OK;
}

enum sm_err actor__dispatcher_start(struct dispatcher *d, struct sm_error *reterr)
{
	int failed = pthread_create(&d->thread, NULL, dispatcher_main, d);
	if (failed)
		return sm_fail_errno(reterr, failed, "cannot start the thread of dispatcher %u", d->index);
	d->thread_started = true;
	char name[16];
	snprintf(name, sizeof name, "smack-d%u", d->index);
	pthread_setname_np(d->thread, name);
	return SM_OK;
}

void actor__dispatcher_quit(struct dispatcher *d)
{
	atomic_store(&d->quit, true);
	wake(d);
}

bool actor__dispatcher_drain(struct dispatcher *d)
{
	actor__current = d;
	take_inbound(d);
	struct actor_task *task = d->ready_first, *next;
	bool some = task != NULL;
	d->ready_first = d->ready_last = NULL;
	for (; task; task = next) {
		next = task->next;
		if (task->run != actor__run)
			task->run(task);
	}
	actor__current = NULL;
	return some;
}

static void close_left_over(uv_handle_t *handle, void *arg)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void actor__dispatcher_close(struct dispatcher *d)
{
	while (atomic_load(&d->posters))
		sched_yield();
	if (d->loop_open) {
		actor__current = d;
		uv_run(&d->loop, UV_RUN_NOWAIT);
		uv_walk(&d->loop, close_left_over, NULL);
		for (int i = 0; i < 100 && uv_loop_close(&d->loop) == UV_EBUSY; i++)
			uv_run(&d->loop, UV_RUN_NOWAIT);
		actor__current = NULL;
		if (d->wake_fd > 0)
			close(d->wake_fd);
	}
	actor__asks_done(d);
	free(d->timers.nodes);
}
