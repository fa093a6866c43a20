/* Client quotas: how much a user, a client id or an address may ask for in a second.
 *
 * quota_list.c keeps what was set, in memory and in a file; quota_meter.c measures what clients do against it; quotas.c lets them be read
 * and changed; throttle.c makes who has used up a quota wait.
 *
 * Source: Kafka's ClientQuotaManager, SampledStat, TokenBucket and their documentation ("Quotas", KIP-13, KIP-124, KIP-219, KIP-546,
 * KIP-599, KIP-612); what Apache Kafka 4.1.1 answers. */
#ifndef KAFKA_QUOTA_H
#define KAFKA_QUOTA_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/map.h"
#include "kafka/kafka_limits.h"
#include <stdatomic.h>

enum quota_kind { QUOTA_USER, QUOTA_CLIENT_ID, QUOTA_IP, QUOTA_KINDS };
enum quota_key { QUOTA_PRODUCE, QUOTA_CONSUME, QUOTA_REQUEST, QUOTA_MUTATION, QUOTA_CONNECTION, QUOTA_KEYS };
/* "user", "client-id", "ip"; "producer_byte_rate" and so on: Kafka's names. */
extern const char *const quota_kind_names[QUOTA_KINDS];
extern const char *const quota_key_names[QUOTA_KEYS];

/* Whom a quota is about: a user, a client id, both, or an address. */
struct quota_entity {
	bool has[QUOTA_KINDS];
	struct bytes name[QUOTA_KINDS]; /* data NULL: the default, for all that have none of their own */
};
struct quota {
	struct quota_entity entity;
	double values[QUOTA_KEYS]; /* 0: not set */
	char address[46];          /* what the name of an IP entity stands for; "": nothing is known of it */
};
/* All of them; never changes. */
struct quota_list {
	atomic_int refs;
	struct arena arena;
	struct quota *items; /* sorted */
	uint32_t count, cap;
	struct map by_entity;
};
struct quota_change {
	struct quota_entity entity;
	enum quota_key key;
	double value; /* 0: take it away */
};

struct kafka_quotas;
/* path: the file of quotas (its format: quota_list.c), copied; it need not be there yet. NULL: they last as long as the server.
 * Errors: SM_VERSION, SM_CORRUPT (a checksum that does not fit, a line), SM_IO, SM_NO_MEMORY. Blocks. */
SM_MUST_CHECK enum sm_err kafka__quotas_open(const char *path, struct kafka_quotas **ret_quotas, struct sm_error *reterr);
void kafka__quotas_free(struct kafka_quotas *quotas);
/* Counted. Thread: any; does not block. */
struct quota_list *kafka__quotas_now(struct kafka_quotas *quotas);
void kafka__quotas_unref(struct quota_list *list);
/* The entity as bytes, in place of what out holds: the same for the same entity only. */
void kafka__quota_key(const struct quota_entity *entity, struct buf *out);
/* Of exactly this entity; NULL: it has none. */
const struct quota *kafka__quotas_find(const struct quota_list *list, const struct quota_entity *entity);
/* Make all changes, one after the other, or none. On disk when it returns. Errors: SM_TOO_LARGE (KAFKA_QUOTAS_MAX), SM_NO_MEMORY, SM_IO.
 * Blocks. */
SM_MUST_CHECK enum sm_err kafka__quotas_change(struct kafka_quotas *quotas, const struct quota_change *changes, uint32_t count,
					       struct sm_error *reterr);

/* ---- quota_names.c ---- */

/* The address that the name of an IP entity stands for. false: none. Blocks for the resolver. */
bool kafka__quota_resolve(struct bytes name, char out[46]);

typedef bool (*quota_resolver)(struct bytes name, char out[46]);
enum quota_name_state { QUOTA_NAME_LATE, QUOTA_NAME_FOUND, QUOTA_NAME_UNKNOWN };
struct quota_name {
	struct bytes name;
	char address[46]; /* "" unless it was found */
	enum quota_name_state state;
};
/* Fill in the addresses of all names, KAFKA_QUOTA_RESOLVERS at once. What has no answer after bound_ms is QUOTA_NAME_LATE; resolve may
 * then still be at work on threads of its own. Errors: SM_NO_MEMORY. Blocks. */
SM_MUST_CHECK enum sm_err quota_names__resolve(struct quota_name *names, uint32_t count, quota_resolver resolve, uint32_t bound_ms);

/* ---- measuring. Thread: any; short locks only ---- */

/* Is there any quota of this key? One load. NULL: there is none. */
bool kafka__quotas_any(const struct kafka_quotas *quotas, enum quota_key key);
/* The quota that this client falls under, per second; 0: none. Not for QUOTA_CONNECTION. */
double kafka__quota_bound(struct kafka_quotas *quotas, enum quota_key key, struct bytes user, struct bytes client_id);
/* Count amount (below 0: take it back) at this time. Returns for how many ms the client must be quiet so that its rate is its quota again;
 * 0 if it is within it. QUOTA_PRODUCE and QUOTA_CONSUME in bytes, QUOTA_REQUEST in percent of a thread's second. */
uint32_t kafka__quota_count(struct kafka_quotas *quotas, enum quota_key key, struct bytes user, struct bytes client_id, double amount,
			    uint64_t now_ms);
/* QUOTA_MUTATION: take so many tokens (below 0: give them back). strict: none are taken when all are spent, and the answer is false.
 * *ret_ms: until tokens are there again; 0: they are. */
bool kafka__quota_take(struct kafka_quotas *quotas, struct bytes user, struct bytes client_id, double tokens, bool strict, uint64_t now_ms,
		       uint32_t *ret_ms);
/* A connection from this address. 0: welcome; else it is not counted, and to be closed after so many ms. */
uint32_t kafka__quota_connect(struct kafka_quotas *quotas, const char *address, uint64_t now_ms);

/* ---- between quota_list.c and quota_meter.c ---- */
struct quota_meters;
struct quota_meters *quota_meters__new(void);
void quota_meters__free(struct quota_meters *meters);
struct quota_meters *kafka__quotas_meters(struct kafka_quotas *quotas);

#endif
