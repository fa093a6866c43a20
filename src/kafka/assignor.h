/* Server-side assignors of consumer groups: who is meant to get which partition.
 *
 * Source: KIP-848 and what Apache Kafka 4.1's assignors promise. `uniform`: members differ by at most one partition where their
 * subscriptions allow it, and as few partitions as possible move. `range`: each topic is cut into runs, one a member, the members
 * in one order for all topics, so that topics with equally many partitions are cut alike. */
#ifndef KAFKA_ASSIGNOR_H
#define KAFKA_ASSIGNOR_H

#include "kafka/partition_set.h"

struct assign_topic {
	struct uuid id;
	int32_t partitions;
};
struct assign_member {
	const char *id, *instance; /* instance NULL: a dynamic member */
	const uint32_t *topics;    /* those it subscribes to: indexes, ascending */
	uint32_t topic_count;
	const struct partition_set *before; /* what was meant for it until now; no partition is meant for two */
	struct partition_set after;         /* filled; the caller frees it, after an error too */
};
struct assign_input {
	const struct assign_topic *topics; /* by id */
	uint32_t topic_count;
	struct assign_member *members;
	uint32_t member_count;
};
struct assignor {
	const char *name;
	enum sm_err (*assign)(const struct assign_input *in); /* Errors: SM_NO_MEMORY */
};
extern const struct assignor assignor__uniform, assignor__range;
/* NULL: there is none of that name. */
const struct assignor *assignor__find(struct bytes name);

#endif
