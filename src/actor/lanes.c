/* Mailboxes that can do more than the plain one: lanes that are read before others, and what a full one does. Under a lock, because
 * a sender may take out what another one has put in. Actors with the plain mailbox do not pay for it. */
#include "actor/actor_internal.h"
#include <stdlib.h>

struct lanes {
	pthread_mutex_t lock;
	pthread_cond_t room;
	struct msg_list lists[SM_LANE_CONTROL + 1];
	uint32_t max;
	enum sm_overflow overflow;
	bool several;
	bool closed;
};

struct lanes *actor__lanes_new(enum sm_overflow overflow, uint32_t mailbox_max, bool several)
{
	struct lanes *lanes = calloc(1, sizeof *lanes);
	if (!lanes)
		return NULL;
	pthread_mutex_init(&lanes->lock, NULL);
	pthread_cond_init(&lanes->room, NULL);
	lanes->max = mailbox_max;
	lanes->overflow = overflow;
	lanes->several = several;
	return lanes;
}

void actor__lanes_free(struct lanes *lanes)
{
	if (!lanes)
		return;
	pthread_cond_destroy(&lanes->room);
	pthread_mutex_destroy(&lanes->lock);
	free(lanes);
}

void actor__lanes_closed(struct lanes *lanes)
{
	pthread_mutex_lock(&lanes->lock);
	lanes->closed = true;
	pthread_cond_broadcast(&lanes->room);
	pthread_mutex_unlock(&lanes->lock);
}

static bool has_room(const struct lanes *lanes, enum sm_lane lane)
{
	if (lane == SM_LANE_CONTROL)
		return lanes->lists[lane].count < lanes->max + ACTOR_CONTROL_EXTRA;
	return lanes->lists[SM_LANE_NORMAL].count + lanes->lists[SM_LANE_PRIORITY].count < lanes->max;
}

/* The oldest message of a list that is no message of the room's own. */
static struct sm_msg *take_oldest(const struct sm_ref *ref, struct msg_list *list)
{
	struct sm_msg *before = NULL, *msg = list->first;
	while (msg && (actor__is_stop(ref, msg) || (msg->ask_id & (ASK_INTERNAL | ASK_ANSWER)))) {
		before = msg;
		msg = msg->next;
	}
	if (!msg)
		return NULL;
	if (before)
		before->next = msg->next;
	else
		list->first = msg->next;
	if (list->last == msg)
		list->last = before;
	list->count--;
	return msg;
}

/* Under the lock. SM_OK: there is room, or *ret_dropped has made some. */
static enum sm_err make_room(struct sm_ref *to, enum sm_lane lane, struct sm_msg **ret_dropped)
{
	struct lanes *lanes = to->lanes;
	if (has_room(lanes, lane))
		return SM_OK;
	if (lanes->overflow == SM_OVERFLOW_DROP_OLDEST && lane != SM_LANE_CONTROL)
		return (*ret_dropped = take_oldest(to, &lanes->lists[lane])) ? SM_OK : SM_FULL;
	/* On a dispatcher nobody may wait; a waiter's or a simulated system has no other thread that could make room. */
	if (lanes->overflow != SM_OVERFLOW_BLOCK || actor__current || !to->dispatcher || to->dispatcher->system->sim)
		return SM_FULL;
	while (!lanes->closed && !has_room(lanes, lane))
		pthread_cond_wait(&lanes->room, &lanes->lock);
	return SM_OK;
}

static void drop(struct sm_ref *to, struct dispatcher *d, struct sm_msg *dropped)
{
	actor__tell_asker_gone(dropped);
	actor__dead_letter(d->system, to, dropped, SM_FULL);
	actor__dispatcher_release(d);
}

enum sm_err actor__lanes_send(struct sm_ref *to, struct sm_msg *msg, enum sm_lane lane, bool past_bound)
{
	struct lanes *lanes = to->lanes;
	struct sm_msg *dropped = NULL;
	bool first = false;
	if (lane != SM_LANE_NORMAL && !lanes->several)
		return SM_UNSUPPORTED;
	if (atomic_load_explicit(&to->count, memory_order_relaxed) & REF_CLOSED)
		return SM_GONE;
	pthread_mutex_lock(&lanes->lock);
	enum sm_err err = past_bound ? SM_OK : make_room(to, lane, &dropped);
	/* Once our message is in, the actor may end, and its system too. */
	struct dispatcher *d = dropped ? actor__dispatcher_hold(to->dispatcher) : NULL;
	/* A message that takes the place of another one has its count too. */
	if (!err && (dropped || !(err = actor__reserve(to, REF_COUNT, &first))))
		msg_list_append(&lanes->lists[lane], msg);
	pthread_mutex_unlock(&lanes->lock);
	if (dropped)
		drop(to, d, dropped);
	if (first)
		actor__post(to->dispatcher, &to->run);
	return err;
}

void actor__lanes_link(struct sm_ref *ref, struct sm_msg *msg)
{
	pthread_mutex_lock(&ref->lanes->lock);
	msg_list_append(&ref->lanes->lists[SM_LANE_NORMAL], msg);
	pthread_mutex_unlock(&ref->lanes->lock);
}

struct sm_msg *actor__lanes_pop(struct sm_ref *ref, bool control_only)
{
	struct lanes *lanes = ref->lanes;
	pthread_mutex_lock(&lanes->lock);
	struct sm_msg *msg = msg_list_take(&lanes->lists[SM_LANE_CONTROL]);
	if (!msg && !control_only && !(msg = msg_list_take(&lanes->lists[SM_LANE_PRIORITY])))
		msg = msg_list_take(&lanes->lists[SM_LANE_NORMAL]);
	if (msg && lanes->overflow == SM_OVERFLOW_BLOCK)
		pthread_cond_broadcast(&lanes->room);
	pthread_mutex_unlock(&lanes->lock);
	return msg;
}
