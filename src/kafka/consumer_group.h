/* A consumer group of the new protocol: its members, what each is meant to get, and how each comes there. Time and topics are handed
 * in and nothing waits, so this is a plain state machine: group.c's coordinator owns it, consumer_requests.c speaks for it.
 *
 * Source: KIP-848; what Apache Kafka 4.1.1 answers.
 *
 *   epoch         grows whenever a member comes, goes or subscribes to something else, or a subscribed topic changes
 *   target_epoch  the epoch for which the targets were computed; the next heartbeat brings it up to epoch
 *   member epoch  the target that the member has come to. It stays behind while the member has partitions to give back
 *
 *   STABLE --a newer target takes some away--> UNREVOKED --the member owns them no more--> UNRELEASED or STABLE
 *                                              UNRELEASED: others have not given back yet all that it is to get
 *
 * A partition is given to a member only when nobody else has it, neither as assigned nor as still to be given back. */
#ifndef KAFKA_CONSUMER_GROUP_H
#define KAFKA_CONSUMER_GROUP_H

#include "kafka/assignor.h"
#include "kafka/kafka_internal.h"
#include "kafka/pattern.h"

#define TEXT(b) (int)(b).size, (const char *)(b).data /* for "%.*s" */

enum consumer_state { CONSUMER_STABLE, CONSUMER_UNREVOKED, CONSUMER_UNRELEASED };
enum { CONSUMER_LEAVES = -1, CONSUMER_LEAVES_STATIC = -2 }; /* member epochs: for good; to come back under its instance id */

/* A protocol that a classic member names when it joins. */
struct member_protocol {
	char *name;
	uint8_t *metadata;
	size_t metadata_size;
};
/* All that a JoinGroup names. NULL: no memory. */
struct member_protocol *member_protocols__copy(const struct kafka_join_group_request *q);
void member_protocols__free(struct member_protocol *protocols, int32_t count);
/* What a member is beside, that speaks the classic protocol: it may be here while a group's clients are being changed over. */
struct consumer_classic {
	struct member_protocol *protocols;
	int32_t protocol_count;
	int32_t session_ms;
	uint64_t join_deadline_ns, sync_deadline_ns; /* out if its JoinGroup, its SyncGroup has not come by then; 0: none is awaited */
	size_t bytes;
};
/* A pattern that members subscribe to, and what it matches now, as far as the member sees topics whose call had it looked up: so does
 * Apache Kafka. */
struct topic_pattern {
	struct topic_pattern *next;
	char *text;
	struct pattern *pattern;
	int32_t members;
	uint32_t *matched, matched_count; /* indexes into the picture of topics */
};
/* What a member says of itself. */
struct consumer_about {
	char *instance, *rack, *client_id, *client_host; /* instance and rack may be NULL */
	const struct assignor *assignor;                 /* NULL: any */
	char **names;                                    /* of topics; sorted, each once */
	uint32_t name_count;
	struct topic_pattern *pattern; /* may be NULL */
	size_t bytes;
};
struct consumer_member {
	struct consumer_member *next;
	char *id;
	struct consumer_about about;
	struct consumer_classic *classic; /* NULL: it speaks the new protocol */
	int32_t rebalance_timeout_ms;
	int32_t epoch, previous_epoch;
	enum consumer_state state;
	struct partition_set assigned, revoking, target;
	uint64_t deadline_ns;        /* out unless heard of before */
	uint64_t revoke_deadline_ns; /* out if it is still at revoke_epoch then; 0: nothing to give back */
	int32_t revoke_epoch;
};
struct consumer_group {
	struct consumer_member *members; /* in the order in which they came */
	int32_t member_count;
	int32_t epoch, target_epoch;
	struct topic_pattern *patterns;
	const struct log_topics *topics;  /* borrowed until the next consumer_group__see */
	const struct consumer_call *call; /* during it */
	bool changed;                     /* something that is kept on disk, since the owner has set it to false */
	bool stale, unmatched;            /* what is subscribed must be looked up again, the patterns too */
	struct assign_topic *subscribed;  /* by id; as it was when it was looked up last */
	uint32_t subscribed_count;
	size_t bytes;
	uint32_t session_ms;
};

/* A heartbeat, who sent it and when. A classic member's JoinGroup is one too: what it says is put into q, at epoch 0. */
struct consumer_call {
	const struct kafka_consumer_group_heartbeat_request *q;
	struct consumer_classic *classic; /* of such a JoinGroup; the member's if answer.taken */
	bool named;                       /* that one came with a member id */
	struct bytes client_id;
	const char *client_host;
	uint64_t now_ns;
	struct arena *arena;                              /* for the texts of errors */
	bool (*sees)(const void *arg, const char *topic); /* a pattern finds no others; NULL: all */
	const void *arg;
};
struct consumer_answer {
	int16_t error;
	const char *text;                     /* of error */
	const struct consumer_member *member; /* who asked; NULL after an error and when it has left */
	bool assignment;                      /* the answer tells its partitions */
	bool taken;                           /* call.classic belongs to the member now */
};

/* NULL: no memory. */
struct consumer_group *consumer_group__new(void);
void consumer_group__free(struct consumer_group *g);
/* The topics as they are now; borrowed until the next call. Cheap when topics is what it was. */
void consumer_group__see(struct consumer_group *g, const struct log_topics *topics);
/* Take what is subscribed now for what the targets were made of: the group was made with members and targets. */
SM_MUST_CHECK enum sm_err consumer_group__settle(struct consumer_group *g);
/* A heartbeat whose fields consumer_group__check_heartbeat has passed, after consumer_group__see. */
void consumer_group__heartbeat(struct consumer_group *g, const struct consumer_call *call, struct consumer_answer *ret_answer);
struct consumer_member *consumer_group__find(const struct consumer_group *g, struct bytes id);
struct consumer_member *consumer_group__find_instance(const struct consumer_group *g, struct bytes instance);
/* Take a member out: the others get what it had when they ask next. */
void consumer_group__fence(struct consumer_group *g, struct consumer_member *m);
/* May this member, at this epoch, commit (or fetch) offsets? Codes: NONE, UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION (of
 * a classic member). */
int16_t consumer_group__check_epoch(const struct consumer_group *g, struct bytes id, int32_t epoch);
/* "Empty", "Assigning", "Reconciling", "Stable". */
const char *consumer_group__state(const struct consumer_group *g);
const struct assignor *consumer_group__assignor(const struct consumer_group *g);
/* When the next member's time is up; 0: no member is there. */
uint64_t consumer_group__deadline(const struct consumer_group *g);
/* A classic member must join again: the group has moved on, it has something to give back, or what it waits for is free. */
bool consumer_group__must_rejoin(const struct consumer_group *g, const struct consumer_member *m);
/* A member to be filled in, the last of all. NULL: no memory. */
struct consumer_member *consumer_group__add(struct consumer_group *g);
/* Fence those whose time is up. Returns whether there were any. */
bool consumer_group__expire(struct consumer_group *g, uint64_t now_ns);

/* ---- consumer_members.c: what members say of themselves ---- */
/* Whether a heartbeat's fields fit each other. An error code; *ret_text says more. */
int16_t consumer_group__check_heartbeat(const struct kafka_consumer_group_heartbeat_request *q, int16_t version, struct arena *arena,
					const char **ret_text);
/* What m (NULL: a new member) says of itself after this call. Errors: SM_INVALID (the pattern; *ret_why), SM_TOO_LARGE (the same, or
 * *ret_why NULL: KAFKA_GROUP_BYTES_MAX), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err consumer_about__make(struct consumer_group *g, const struct consumer_member *m, const struct consumer_call *call,
					       struct consumer_about *ret_about, const char **ret_why);
void consumer_about__done(struct consumer_group *g, struct consumer_about *about);
/* They subscribe to the same. */
bool consumer_about__same_topics(const struct consumer_about *a, const struct consumer_about *b);
/* Something of it differs from what the call says. */
bool consumer_about__changes(const struct consumer_about *a, const struct consumer_call *call);
void consumer_classic__free(struct consumer_group *g, struct consumer_classic *classic);
/* Look up all patterns in g->topics. */
SM_MUST_CHECK enum sm_err topic_pattern__match_all(struct consumer_group *g);
/* Some member subscribes to the topic, by its name or a pattern. */
bool consumer_group__is_subscribed(const struct consumer_group *g, const char *topic);
/* Indexes into g->topics of what a member subscribes to: marks[i] is set. */
void consumer_about__mark(const struct consumer_group *g, const struct consumer_about *about, bool *marks);

#endif
