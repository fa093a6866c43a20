/* Messages in order, linked by their next; each is in no queue. */
#ifndef ACTOR_MSG_LIST_H
#define ACTOR_MSG_LIST_H

#include <smack/actor.h>
#include <stddef.h>

struct msg_list {
	struct sm_msg *first, *last;
	uint32_t count;
};
static inline void msg_list_append(struct msg_list *list, struct sm_msg *msg)
{
	msg->next = NULL;
	if (list->last)
		list->last->next = msg;
	else
		list->first = msg;
	list->last = msg;
	list->count++;
}
static inline void msg_list_prepend(struct msg_list *list, struct sm_msg *msg)
{
	msg->next = list->first;
	if (!list->last)
		list->last = msg;
	list->first = msg;
	list->count++;
}
static inline struct sm_msg *msg_list_take(struct msg_list *list)
{
	struct sm_msg *msg = list->first;
	if (!msg)
		return NULL;
	if (!(list->first = msg->next))
		list->last = NULL;
	list->count--;
	msg->next = NULL;
	return msg;
}

static inline void msg_list_free(struct msg_list *list)
{
	struct sm_msg *msg;
	while ((msg = msg_list_take(list)))
		sm_msg_free(msg);
}

#endif
