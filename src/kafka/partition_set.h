/* Sets of partitions: what a member of a consumer group owns, gives back, is to get. Sorted by topic and partition, no duplicates. */
#ifndef KAFKA_PARTITION_SET_H
#define KAFKA_PARTITION_SET_H

#include "base/uuid.h"

struct partition_id {
	struct uuid topic;
	int32_t partition;
};
struct partition_set {
	struct partition_id *items; /* malloc'ed; NULL: empty */
	uint32_t count;
};
int partition_id__compare(const struct partition_id *a, const struct partition_id *b);
void partition_set__done(struct partition_set *set);
/* a takes what b holds; b is empty then. */
void partition_set__move(struct partition_set *a, struct partition_set *b);
bool partition_set__has(const struct partition_set *set, const struct partition_id *id);
bool partition_set__equal(const struct partition_set *a, const struct partition_set *b);
/* Some partition is in both. */
bool partition_set__meets(const struct partition_set *a, const struct partition_set *b);
/* All of inner is in outer. */
bool partition_set__within(const struct partition_set *inner, const struct partition_set *outer);
enum partition_set_op { SET_BOTH, SET_WITHOUT, SET_EITHER };
/* What is in a and b, in a without b, in a or b. ret_set is a new one. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err partition_set__make(const struct partition_set *a, enum partition_set_op op, const struct partition_set *b,
					      struct partition_set *ret_set);
/* Bring items that came in any order into a set's. */
void partition_set__sort(struct partition_set *set);

#endif
