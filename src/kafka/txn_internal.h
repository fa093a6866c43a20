/* The transaction coordinator: one actor for all transactional ids. Shared by txn.c, txn_log.c and txn_list.c.
 *
 * Source: Kafka KIP-98, KIP-360 (epochs that a producer bumps itself), KIP-447, KIP-890 (an epoch a transaction).
 *
 *   Empty --partitions are added--> Ongoing --EndTxn--> PrepareCommit --all markers are written--> CompleteCommit --partitions--> Ongoing
 *                                      |                                                                                      ...
 *                                      +--EndTxn, time is up, another producer--> PrepareAbort --> CompleteAbort
 *
 * Each step is on disk before it is answered and before the next. Prepare is the decision: it holds whatever happens, markers are
 * written until every partition has one, and after a crash they are written again (that a partition has two does no harm: the second
 * ends nothing). A transactional id does one thing at a time; what comes meanwhile waits for its turn, so that, other than with
 * Kafka, no client is told CONCURRENT_TRANSACTIONS.
 *
 * A request that appends to a transaction (Produce, TxnOffsetCommit) holds a lease while it does: the transaction is not ended under
 * it. With that no append can follow the marker of the transaction that it belonged to. */
#ifndef KAFKA_TXN_INTERNAL_H
#define KAFKA_TXN_INTERNAL_H

#include "kafka/kafka_internal.h"

enum txn_state {
	TXN_EMPTY,
	TXN_ONGOING,
	TXN_PREPARE_COMMIT,
	TXN_PREPARE_ABORT,
	TXN_COMPLETE_COMMIT,
	TXN_COMPLETE_ABORT,
	TXN_STATES /* Kafka's further ones, Dead and PrepareEpochFence, are not entered here */
};

struct txn_part {
	char *topic;
	int32_t partition;
	bool marked; /* it has its marker, or has gone */
	enum sm_err err;
	struct kafka_txn *txn;
};
struct txn_parts {
	struct txn_part *items;
	uint32_t count, cap;
};
/* What a record of __transaction_state says. */
struct txn_values {
	enum txn_state state;
	int64_t producer_id, previous_producer_id, next_producer_id; /* next: from the end of this transaction on; -1: the same */
	int16_t epoch, last_epoch;                                   /* last: the one before, if its holder may ask again; -1: none */
	int32_t timeout_ms;
	int64_t start_ms, updated_ms;
	int16_t client_version;
};
struct txn_step {
	struct sm_msg msg; /* first */
	struct kafka_txn *txn;
	enum sm_err err;
	int64_t producer_id; /* a new one */
	void (*then)(struct kafka_txn *txn);
};
struct kafka_txn {
	struct kafka_txns *all;
	char *id;
	struct txn_values is;
	struct txn_parts parts;
	bool stored; /* __transaction_state has heard of it */

	bool busy; /* with the one thing that it does now */
	struct txn_values next;
	struct txn_parts adding;       /* partitions that `next` adds */
	struct kafka_request *request; /* whose thing it is; NULL: our own */
	struct txn_step step;
	struct buf record;
	atomic_uint markers_left;
	bool retry; /* step.then is due at the next tick */
	uint32_t leases;
	void (*free_of_leases)(struct kafka_txn *txn);
	struct kafka_request *first, **last; /* waiting for their turn */
};
struct kafka_txns {
	atomic_uint refs; /* the actor, steps under way, leases */
	struct kafka_server *server;
	struct sm_actor *self;
	struct sm_ref *ref;
	struct map by_id; /* -> struct kafka_txn; the actor's own */
	struct sm_msg start_msg;
	bool topic_made, ticking;
	bool unreadable; /* nobody knows what became of the transactions: none is begun or ended */
	uint32_t open;   /* about how many need the tick */
};

/* ---- txn_log.c: __transaction_state in Kafka's own layout ---- */

#define TXN_TOPIC "__transaction_state"
/* The batch that says `next` of txn (its partitions are parts and adding, none when it ends), or takes it back. */
SM_MUST_CHECK enum sm_err txn__record(struct kafka_txn *txn, bool forget, int64_t now_ms, struct buf *out);
/* Fill txns from the topic, if it is there. Blocks. */
SM_MUST_CHECK enum sm_err txn__load(struct kafka_txns *txns, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err txn__parts_add(struct txn_parts *parts, const char *topic, size_t topic_size, int32_t partition);
/* Room for so many more. */
SM_MUST_CHECK enum sm_err txn__parts_reserve(struct txn_parts *parts, uint32_t more);
/* All of from, for which to has room. */
void txn__parts_move(struct txn_parts *to, struct txn_parts *from);
bool txn__parts_have(const struct txn_parts *parts, const char *topic, int32_t partition);
void txn__parts_clear(struct txn_parts *parts);

/* ---- txn.c ---- */

/* NULL: no memory. */
struct kafka_txn *txn__new(struct kafka_txns *txns, const char *id, size_t size);
void txn__remove(struct kafka_txn *txn);

#endif
