/* Elements from outside: a bounded list under a lock, on whose other side is a source. It outlives restarts of what is behind it. */
#include "flow/queue.h"

struct waiter {
	struct sm_flow_room_msg room;
	struct sm_ref *to; /* counted */
};

struct sm_flow_queue {
	_Atomic uint32_t refs;
	uint32_t max;
	enum sm_flow_overflow overflow;
	pthread_mutex_t lock;
	struct msg_list list;
	struct msg_list waiters; /* by their messages */
	bool closed;             /* no more is taken */
	struct sm_msg *wake;     /* to be sent: the source has found nothing; NULL: it has not */
	struct sm_ref *wake_to;  /* its actor; counted */
	uint64_t dropped;
	struct sm_error failed; /* code SM_OK: not */
};

static void wake_done(struct sm_msg *msg)
{
	free(msg);
}
const struct sm_msg_type flow__wake_type = {"flow wake", wake_done};

static void room_done(struct sm_msg *msg)
{
	struct waiter *w = (struct waiter *)msg;
	sm_flow_queue_release(w->room.queue);
	sm_unref(w->to);
	free(w);
}
const struct sm_msg_type sm_msg_flow_room = {"flow room", room_done};

struct sm_flow_queue *flow__queue_ref(struct sm_flow_queue *queue)
{
	atomic_fetch_add_explicit(&queue->refs, 1, memory_order_relaxed);
	return queue;
}

void sm_flow_queue_release(struct sm_flow_queue *queue)
{
	if (!queue || atomic_fetch_sub_explicit(&queue->refs, 1, memory_order_acq_rel) > 1)
		return;
	msg_list_free(&queue->list);
	free(queue->wake);
	sm_unref(queue->wake_to);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

/* ---- outside ---- */

/* Not under the lock: who is told may be gone, and the message then releases the queue. */
static bool tell_waiter(struct sm_msg *msg)
{
	bool told = !sm_send_reply(((struct waiter *)msg)->to, msg);
	if (!told)
		sm_msg_free(msg);
	return told;
}

static void tell_waiters(struct msg_list *waiters)
{
	struct sm_msg *msg;
	while ((msg = msg_list_take(waiters)))
		(void)tell_waiter(msg);
}

/* There is room for one more: the first who is still there. */
static void tell_next(struct sm_flow_queue *queue)
{
	struct sm_msg *msg;
	do {
		pthread_mutex_lock(&queue->lock);
		msg = msg_list_take(&queue->waiters);
		pthread_mutex_unlock(&queue->lock);
	} while (msg && !tell_waiter(msg));
}

struct wake {
	struct sm_msg *msg;
	struct sm_ref *to; /* counted */
};

/* Under the lock; sent behind it. */
static struct wake wake_for(struct sm_flow_queue *queue)
{
	struct wake wake = {queue->wake, queue->wake ? sm_ref_get(queue->wake_to) : NULL};
	queue->wake = NULL;
	return wake;
}

static void send_wake(struct wake wake)
{
	if (wake.msg && actor_send_quiet(wake.to, wake.msg))
		sm_msg_free(wake.msg);
	sm_unref(wake.to);
}

static enum sm_err wait_for_room(struct sm_flow_queue *queue, struct sm_ref *tell)
{
	if (!tell)
		return SM_FULL;
	if (queue->waiters.count == FLOW_WAITERS_MAX)
		return SM_BUSY;
	struct waiter *w = calloc(1, sizeof *w);
	if (!w)
		return SM_NO_MEMORY;
	w->room.msg.type = &sm_msg_flow_room;
	w->room.queue = flow__queue_ref(queue);
	w->to = sm_ref_get(tell);
	msg_list_append(&queue->waiters, &w->room.msg);
	return SM_FULL;
}

/* Under the lock. *ret_dropped: an element that has lost its place. */
static enum sm_err offer_to_full(struct sm_flow_queue *queue, struct sm_msg *element, struct sm_ref *tell, struct sm_msg **ret_dropped)
{
	switch (queue->overflow) {
	case SM_FLOW_BACK_PRESSURE: return wait_for_room(queue, tell);
	case SM_FLOW_DROP_OLDEST:
		*ret_dropped = msg_list_take(&queue->list);
		msg_list_append(&queue->list, element);
		break;
	case SM_FLOW_DROP_NEWEST: *ret_dropped = element; break;
	default: sm_fail(&queue->failed, SM_FULL, "queue: it holds %u elements, and one more was offered", queue->max); return SM_FULL;
	}
	queue->dropped++;
	return SM_OK;
}

enum sm_err sm_flow_offer(struct sm_flow_queue *queue, struct sm_msg *element, struct sm_ref *tell)
{
	struct wake wake = {0};
	struct sm_msg *dropped = NULL;
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&queue->lock);
	if (queue->closed) {
		err = SM_CLOSED;
	} else if (queue->failed.code) {
		err = SM_FULL; /* until the flow has read it, and is restarted */
	} else if (queue->list.count < queue->max) {
		msg_list_append(&queue->list, element);
		wake = wake_for(queue);
	} else {
		err = offer_to_full(queue, element, tell, &dropped);
	}
	pthread_mutex_unlock(&queue->lock);
	send_wake(wake);
	sm_msg_free(dropped);
	return err;
}

static void close_with(struct sm_flow_queue *queue, const struct sm_error *failed)
{
	struct msg_list waiters, elements = {0};
	pthread_mutex_lock(&queue->lock);
	if (failed && !queue->closed) {
		queue->failed = *failed;
		elements = queue->list;
		queue->list = (struct msg_list){0};
	}
	queue->closed = true;
	waiters = queue->waiters;
	queue->waiters = (struct msg_list){0};
	struct wake wake = wake_for(queue);
	pthread_mutex_unlock(&queue->lock);
	send_wake(wake);
	tell_waiters(&waiters);
	msg_list_free(&elements);
}

void sm_flow_complete(struct sm_flow_queue *queue)
{
	close_with(queue, NULL);
}

void sm_flow_fail(struct sm_flow_queue *queue, enum sm_err err, const char *text)
{
	struct sm_error failed;
	sm_fail(&failed, err ? err : SM_FAILED, "%s", text ? text : sm_err_text(err));
	close_with(queue, &failed);
}

/* ---- the source ---- */

static enum sm_err queue_make(struct flow_stage *s)
{
	struct sm_flow_queue *queue = calloc(1, sizeof *queue);
	if (!(s->queue = queue))
		return SM_NO_MEMORY;
	atomic_init(&queue->refs, 1);
	pthread_mutex_init(&queue->lock, NULL);
	queue->max = s->node->buffer.max;
	queue->overflow = s->node->buffer.overflow;
	return SM_OK;
}

/* It gives nothing any more. */
static void finish(struct sm_flow_queue *queue)
{
	struct msg_list waiters, elements;
	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	waiters = queue->waiters;
	elements = queue->list;
	queue->waiters = queue->list = (struct msg_list){0};
	pthread_mutex_unlock(&queue->lock);
	tell_waiters(&waiters);
	msg_list_free(&elements);
}

/* Each element that goes tells one who waits for room; when there is none left, all are told: who was may not have offered again. */
static enum flow_pull take(struct flow_stage *s, struct sm_msg **ret_element, struct msg_list *waiters, bool *ret_room)
{
	struct sm_flow_queue *queue = s->queue;
	if (queue->failed.code) {
		s->section->error = queue->failed;
		queue->failed.code = SM_OK; /* after a restart it goes on, or ends */
		return FLOW_FAILED;
	}
	if (queue->list.count) {
		*ret_element = msg_list_take(&queue->list);
		*ret_room = queue->waiters.count > 0;
		return FLOW_ELEMENT;
	}
	if (queue->closed)
		return FLOW_END;
	*waiters = queue->waiters;
	queue->waiters = (struct msg_list){0};
	if (!queue->wake && !(queue->wake = calloc(1, sizeof *queue->wake)))
		flow__retry_soon(s->section);
	else
		queue->wake->type = &flow__wake_type;
	return FLOW_WAIT;
}

/* What is cancelled before a restart may be read again. */
static bool may_come_back(const struct flow_stage *s)
{
	return s->section->scope || s->section->supervision;
}

static enum flow_pull queue_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	struct sm_flow_queue *queue = s->queue;
	struct msg_list waiters = {0};
	bool room = false;
	struct sm_ref *self = sm_self(s->section->self), *before = NULL;
	if (!flow__may_give(s->section))
		return FLOW_WAIT;
	pthread_mutex_lock(&queue->lock);
	if (queue->wake_to != self) {
		before = queue->wake_to;
		queue->wake_to = sm_ref_get(self);
	}
	enum flow_pull how = take(s, ret_element, &waiters, &room);
	pthread_mutex_unlock(&queue->lock);
	sm_unref(before);
	tell_waiters(&waiters);
	if (room)
		tell_next(queue);
	if (how == FLOW_END || (how == FLOW_FAILED && !may_come_back(s)))
		finish(queue);
	return how;
}

static void queue_cancel(struct flow_stage *s)
{
	if (!may_come_back(s))
		finish(s->queue);
}

void flow__queues_close(struct sm_flow_run *run, const struct flow_section *scope)
{
	for (uint32_t i = 0; i < run->stage_count; i++) {
		const struct flow_section *at = run->stages[i].section;
		while (at->scope)
			at = at->scope;
		if (run->stages[i].kind == &flow__queue && (!scope || at == scope))
			finish(run->stages[i].queue);
	}
}

void flow__queues_complete(struct sm_flow_run *run)
{
	for (uint32_t i = 0; i < run->stage_count; i++)
		if (run->stages[i].kind == &flow__queue)
			close_with(run->stages[i].queue, NULL);
}

uint64_t flow__queue_dropped(struct flow_stage *s)
{
	pthread_mutex_lock(&s->queue->lock);
	uint64_t dropped = s->queue->dropped;
	pthread_mutex_unlock(&s->queue->lock);
	return dropped;
}

void flow__queue_free(struct flow_stage *s)
{
	sm_flow_queue_release(s->queue);
}

const struct flow_kind flow__queue = {.name = "queue", .role = FLOW_SOURCE, .make = queue_make, .pull = queue_pull, .cancel = queue_cancel};
