/* One consumer group's coordinator: an actor that owns all of its state. Shared by group.c, group_requests.c and
 * consumer_*.c.
 *
 * Source: Kafka's classic group protocol (KIP-62, KIP-345 static members, KIP-394 member ids before joining, KIP-814).
 *
 *   Empty --join--> PreparingRebalance --all have joined, or time is up--> CompletingRebalance --leader's sync--> Stable
 *     ^                  |  ^                                                    |                                   |
 *     +--nobody is left--+  +------------------ join, leave, expiry -------------+-----------------------------------+
 *
 * A request that waits (a join until the rebalance is complete, a sync until the leader's) is held by its member.
 *
 * The new protocol's first heartbeat makes it a consumer group (consumer_group.h), with its members; as one it rests in GROUP_EMPTY here.
 * It is a classic group again when a JoinGroup finds it empty, or when its last member of the new protocol has left. */
#ifndef KAFKA_GROUP_INTERNAL_H
#define KAFKA_GROUP_INTERNAL_H

#include "kafka/consumer_group.h"
#include "kafka/kafka_internal.h"

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE };
extern const char *const group__state_names[];

struct member {
	struct member *next;
	char *id, *instance; /* instance NULL: a dynamic member */
	char *client_id, *client_host;
	bool pending; /* was given an id and must come back with it; no member yet */
	bool is_new;  /* has joined, never been through a rebalance */
	bool pending_sync;
	int32_t session_timeout_ms, rebalance_timeout_ms;
	struct member_protocol *protocols;
	int32_t protocol_count;
	uint8_t *assignment;
	size_t assignment_size;
	size_t bytes;                      /* of protocols and assignment, counted against KAFKA_GROUP_BYTES_MAX */
	struct kafka_request *join, *sync; /* waiting */
	uint64_t deadline_ns;              /* gone unless heard of before */
};
struct group {
	struct kafka_server *server;
	struct kafka_group_entry *entry;
	struct sm_actor *self;
	enum group_state state;
	bool ending; /* taken out of the registry: answers COORDINATOR_NOT_AVAILABLE */
	int32_t generation;
	char *protocol_type, *protocol;
	struct member *members, *leader;
	int32_t member_count, pending_count;
	size_t bytes;
	bool initial;          /* the first rebalance waits for more members until its time is up */
	bool new_member_added; /* meanwhile one came: wait on */
	uint64_t initial_left_ms;
	uint64_t join_deadline_ns; /* of GROUP_PREPARING */
	uint64_t sync_deadline_ns; /* members that have not synced by then are removed; 0: all have */
	uint64_t idle_deadline_ns; /* of GROUP_EMPTY */
	uint64_t timer_ns;
	bool used;                       /* something came of it: a request that is refused does not make a group */
	struct consumer_group *consumer; /* NULL: a classic group */
	const struct log_topics *topics; /* what consumer sees */
	/* group_store.c */
	bool kept;                                     /* a classic group that was complete, or is empty again: it has its record */
	bool changed;                                  /* what is on disk may not be what is */
	bool gone;                                     /* it has expired: the coordinator ends when that is on disk */
	uint64_t committed_ns;                         /* of the last commit of offsets; 0: none */
	bool rewrite;                                  /* a write has failed: the next request's message tries again */
	int64_t changed_ms;                            /* when it changed last, by the wall clock; -1: not known */
	struct map stored;                             /* keys on disk -> hash of the value, as the pointer's value */
	struct group_save *saves;                      /* under way, oldest first */
	struct kafka_request *answers, **answers_tail; /* of the message that is being handled */
};
static inline bool group__is_empty(const struct group *g)
{
	return g->state == GROUP_EMPTY && !g->pending_count && !(g->consumer && g->consumer->members);
}
static inline uint64_t group__now(void)
{
	return clock_monotonic_ns(&clock_system);
}
static inline uint64_t group__after(int64_t ms)
{
	return group__now() + (uint64_t)ms * 1000000;
}

/* ---- group_store.c ---- */
extern const struct sm_msg_type group__saved_type;
/* The request goes back to its connection when the writes are done that are under way at the end of this message. */
void group__reply(struct kafka_request *r);
/* At the end of each message: write what has changed. */
void group__save(struct group *g);
/* A write is done: a message of group__saved_type, which it frees. */
void group__saved(struct group *g, struct sm_msg *msg);
/* Let all answers of this message go now. */
void group__answers_flush(struct group *g);
/* Of what a consumer group's members subscribe to. */
int64_t group__topics_hash(const struct consumer_group *c);

/* ---- group_expiry.c ---- */
extern const struct sm_msg_type group__expire_type;
/* Drop offsets that are too old; an empty group that has none left is gone. */
void group__expire(struct group *g);

/* ---- group_load.c ---- */
/* Take up what is on disk. */
void group__load(struct group *g);

/* ---- group.c ---- */
/* The request goes back to its connection: with its reply, with an error, or to end it for want of memory. */
static inline void group__answer(struct kafka_request *r)
{
	r->step = kafka__finish;
	group__reply(r);
}
static inline void group__refuse(struct kafka_request *r, int16_t error)
{
	kafka__group_refuse(r, error);
	group__reply(r);
}
static inline void group__out_of_memory(struct kafka_request *r)
{
	r->step = kafka__abort;
	kafka__resume(r);
}

struct member *group__find(const struct group *g, struct bytes id);
struct member *group__find_instance(const struct group *g, struct bytes instance);
/* A new member, in the list. NULL: no memory. */
struct member *group__member_new(struct group *g, const struct kafka_request *r, const char *id, struct bytes instance, bool pending);
/* Take protocols and timeouts from a JoinGroup. Errors: SM_NO_MEMORY, SM_TOO_LARGE; the member is as before then. */
SM_MUST_CHECK enum sm_err group__member_update(struct group *g, struct member *m, const struct kafka_join_group_request *q);
SM_MUST_CHECK enum sm_err group__member_assign(struct group *g, struct member *m, struct bytes assignment);
void group__member_heard(struct member *m);
/* One that is in no list. */
void group__member_free(struct member *m);
/* Whether it only has an id yet, or is a member. */
void group__member_pending(struct group *g, struct member *m, bool pending);
/* Take a member out, answer what it waits for with error, and rebalance as the state asks. */
void group__member_remove(struct group *g, struct member *m, int16_t error);
/* Begin a rebalance, or go on with the one that is under way. */
void group__rebalance(struct group *g);
/* The protocol that all members support and most prefer; NULL: there is none. */
const char *group__select_protocol(const struct group *g);
void group__stable(struct group *g);
/* Let the registry show the group as it is now. */
void group__show(struct group *g);
/* Out of classic members, even of those that only have an id yet, and of what they had agreed upon. */
void group__forget_classic(struct group *g);
/* Take the coordinator out of the registry and stop it. */
void group__end(struct group *g);

/* ---- group_requests.c ---- */
void group__handle(struct group *g, struct kafka_request *r);
void group__answer_join(struct group *g, struct member *m, struct kafka_request *r);
void group__answer_join_error(struct kafka_request *r, int16_t error);
void group__answer_sync(struct group *g, struct member *m, struct kafka_request *r);
void group__answer_sync_error(struct kafka_request *r, int16_t error);

/* ---- consumer_requests.c ---- */
void group__consumer_heartbeat(struct group *g, struct kafka_request *r);
void group__consumer_describe(struct group *g, struct kafka_request *r);
/* What a consumer group does with the requests that classic groups have too. False: it has become a classic group just now, and the
 * request is still to be handled. */
bool group__consumer_handle(struct group *g, struct kafka_request *r);
/* Forget the consumer group: be a classic one again. */
void group__consumer_end(struct group *g);
/* "/127.0.0.1", as Kafka shows a client's host. In the request's arena; NULL: no memory. */
const char *group__client_host(struct kafka_request *r);
/* Let a consumer group see the topics as they are now, and hold them for it. False: no memory. */
bool group__see_topics(struct group *g, struct consumer_group *c);

/* ---- consumer_classic.c: classic members in consumer groups, and groups that change over with members in them ---- */
/* The classic group as a consumer group with the same members; the classic one is as before. NULL: *ret_error and *ret_text say why. */
struct consumer_group *group__upgraded(struct group *g, struct kafka_request *r, int16_t *ret_error, const char **ret_text);
/* Members may have left; before that the group was at epoch. When only classic members are there still, it is a classic group again, with
 * that generation, and rebalances. Shows the group. */
void group__consumer_left(struct group *g, int32_t epoch);
/* No member of a classic group subscribes to the topic. False also where that cannot be known. */
bool group__is_unsubscribed(const struct group *g, const char *topic);
/* What a member is beside, counted in c->bytes. NULL: no memory. */
struct consumer_classic *group__classic_new(struct consumer_group *c, const struct kafka_join_group_request *q);
void group__classic_join(struct group *g, struct kafka_request *r);
void group__classic_sync(struct group *g, struct kafka_request *r);
void group__classic_heartbeat(struct group *g, struct kafka_request *r);

/* ---- offset_delete.c ---- */
void group__delete_offsets(struct group *g, struct kafka_request *r);

#endif
