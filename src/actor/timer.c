/* Timers: a binary heap a dispatcher, looked at once a turn; libuv has only the alarm for the earliest. Starting a timer again
 * (an idle time-out, at each request) is a move in the heap and no system call. */
#include "actor/actor_internal.h"
#include <stdlib.h>

/* ---- the heap ---- */

static void place(struct timer_heap *heap, uint32_t i, struct timer_node *node)
{
	heap->nodes[i] = node;
	node->slot = i + 1;
}

static void sift_up(struct timer_heap *heap, uint32_t i, struct timer_node *node)
{
	for (; i > 0 && node->at_ns < heap->nodes[(i - 1) / 2]->at_ns; i = (i - 1) / 2)
		place(heap, i, heap->nodes[(i - 1) / 2]);
	place(heap, i, node);
}

static void sift_down(struct timer_heap *heap, uint32_t i, struct timer_node *node)
{
	for (uint32_t child; (child = 2 * i + 1) < heap->count; i = child) {
		if (child + 1 < heap->count && heap->nodes[child + 1]->at_ns < heap->nodes[child]->at_ns)
			child++;
		if (node->at_ns <= heap->nodes[child]->at_ns)
			break;
		place(heap, i, heap->nodes[child]);
	}
	place(heap, i, node);
}

enum sm_err actor__timer_set(struct dispatcher *d, struct timer_node *node, uint64_t at_ns)
{
	struct timer_heap *heap = &d->timers;
	if (node->slot) {
		bool later = at_ns > node->at_ns;
		node->at_ns = at_ns;
		later ? sift_down(heap, node->slot - 1, node) : sift_up(heap, node->slot - 1, node);
		return SM_OK;
	}
	if (heap->count == heap->cap) {
		uint32_t cap = heap->cap ? heap->cap * 2 : 64;
		struct timer_node **nodes = realloc(heap->nodes, cap * sizeof *nodes);
		if (!nodes)
			return SM_NO_MEMORY;
		heap->nodes = nodes;
		heap->cap = cap;
	}
	node->at_ns = at_ns;
	sift_up(heap, heap->count++, node);
	return SM_OK;
}

void actor__timer_unset(struct dispatcher *d, struct timer_node *node)
{
	if (!node->slot)
		return;
	struct timer_heap *heap = &d->timers;
	uint32_t i = node->slot - 1;
	struct timer_node *last = heap->nodes[--heap->count];
	node->slot = 0;
	if (last == node)
		return;
	if (i > 0 && last->at_ns < heap->nodes[(i - 1) / 2]->at_ns)
		sift_up(heap, i, last);
	else
		sift_down(heap, i, last);
}

void actor__timers_fire(struct dispatcher *d, uint64_t now_ns)
{
	/* What a timer sets anew may be due at once; it waits for the next turn. */
	for (uint32_t n = d->timers.count; n && d->timers.count && d->timers.nodes[0]->at_ns <= now_ns; n--) {
		struct timer_node *node = d->timers.nodes[0];
		actor__timer_unset(d, node);
		node->fire(node);
	}
}

/* ---- an actor's timers ---- */

/* The message is apart from the timer: a handler may keep it while the timer goes on. */
struct timer_msg {
	struct sm_timer_msg timer;
	struct actor_timer *of; /* NULL: it was stopped or started again while the message was queued */
};
struct actor_timer {
	struct timer_node node;
	struct sm_actor *actor;
	uint32_t id;
	uint64_t repeat_ns;
	struct timer_msg *queued; /* at most one at a time: a slow actor misses beats and gets no pile of them */
};

static void timer_msg_done(struct sm_msg *msg)
{
	free(msg);
}
const struct sm_msg_type sm_msg_timer = {"timer", timer_msg_done};

/* Place of the timer with this id, or where it would be. */
static uint32_t timer_place(const struct actor_extra *extra, uint32_t id)
{
	uint32_t low = 0, high = extra ? extra->timer_count : 0;
	while (low < high) {
		uint32_t mid = (low + high) / 2;
		if (extra->timers[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void timer_withdraw(struct actor_timer *timer)
{
	if (timer->queued)
		timer->queued->of = NULL;
	timer->queued = NULL;
}

static void timer_remove(struct sm_actor *a, uint32_t place)
{
	struct actor_extra *extra = actor__extra_of(a);
	struct actor_timer *timer = extra->timers[place];
	actor__timer_unset(a->ref.dispatcher, &timer->node);
	timer_withdraw(timer);
	memmove(extra->timers + place, extra->timers + place + 1, (--extra->timer_count - place) * sizeof *extra->timers);
	free(timer);
}

static void timer_fire(struct timer_node *node)
{
	struct actor_timer *timer = CONTAINER(node, struct actor_timer, node);
	struct sm_actor *a = timer->actor;
	uint64_t again_ns = timer->repeat_ns;
	if (!timer->queued) {
		struct timer_msg *msg = calloc(1, sizeof *msg);
		if (msg) {
			msg->timer.msg.type = &sm_msg_timer;
			msg->timer.timer = timer->id;
			msg->of = timer;
			if (actor__send_internal(&a->ref, &msg->timer.msg))
				free(msg);
			else
				timer->queued = msg;
		} else {
			again_ns = 1000000;
		}
	}
	if (again_ns == 0)
		return;
	/* From the time it was due, so that beats do not drift; a beat that is past already is left out. The heap has a free
	 * place: this node's own. */
	uint64_t at = node->at_ns + again_ns, now = actor__now_ns(actor__system(a));
	enum sm_err err = actor__timer_set(a->ref.dispatcher, node, at > now ? at : now + again_ns);
	assert(!err);
}

uint64_t actor_now_ns(const struct sm_actor *self)
{
	return actor__now_ns(actor__system(self));
}

static enum sm_err timer_make(struct sm_actor *a, struct actor_extra *extra, uint32_t place, uint32_t id)
{
	struct actor_timer *timer;
	if (extra->timer_count == extra->timer_cap) {
		uint32_t cap = extra->timer_cap ? extra->timer_cap * 2 : 4;
		struct actor_timer **timers = cap > ACTOR_TIMERS_MAX ? NULL : realloc(extra->timers, cap * sizeof *timers);
		if (!timers)
			return cap > ACTOR_TIMERS_MAX ? SM_FULL : SM_NO_MEMORY;
		extra->timers = timers;
		extra->timer_cap = cap;
	}
	if (!(timer = calloc(1, sizeof *timer)))
		return SM_NO_MEMORY;
	timer->node.fire = timer_fire;
	timer->actor = a;
	timer->id = id;
	memmove(extra->timers + place + 1, extra->timers + place, (extra->timer_count++ - place) * sizeof *extra->timers);
	extra->timers[place] = timer;
	return SM_OK;
}

enum sm_err sm_timer_start(struct sm_actor *self, uint32_t id, uint64_t after_ms, uint64_t repeat_ms)
{
	assert(self->ref.dispatcher == actor__current);
	if (actor__at(self) == ACTOR_STOPPING)
		return SM_CLOSED;
	const uint64_t ms_max = UINT64_MAX / 4 / 1000000;
	uint64_t at = actor__now_ns(actor__system(self)) + (after_ms < ms_max ? after_ms : ms_max) * 1000000;
	struct actor_extra *extra = actor__extra(self);
	if (!extra)
		return SM_NO_MEMORY;
	uint32_t place = timer_place(extra, id);
	enum sm_err err = SM_OK;
	if (place < extra->timer_count && extra->timers[place]->id == id)
		timer_withdraw(extra->timers[place]);
	else if ((err = timer_make(self, extra, place, id)))
		return err;
	struct actor_timer *timer = extra->timers[place];
	timer->repeat_ns = (repeat_ms < ms_max ? repeat_ms : ms_max) * 1000000;
	if ((err = actor__timer_set(self->ref.dispatcher, &timer->node, at)))
		timer_remove(self, place);
	return err;
}

void sm_timer_stop(struct sm_actor *self, uint32_t id)
{
	assert(self->ref.dispatcher == actor__current);
	struct actor_extra *extra = actor__extra_of(self);
	uint32_t place = timer_place(extra, id);
	if (extra && place < extra->timer_count && extra->timers[place]->id == id)
		timer_remove(self, place);
}

bool actor__timer_admit(struct sm_actor *a, struct sm_msg *msg)
{
	struct timer_msg *m = (struct timer_msg *)msg;
	if (!m->of)
		return false;
	m->of->queued = NULL;
	if (!m->of->node.slot) /* it will not come again */
		timer_remove(a, timer_place(actor__extra_of(a), m->of->id));
	m->of = NULL;
	return true;
}

void actor__timers_clear(struct sm_actor *a)
{
	struct actor_extra *extra = actor__extra_of(a);
	while (extra && extra->timer_count)
		timer_remove(a, extra->timer_count - 1);
}
