/* The transaction coordinator over sockets, on an embedded log. Known weaknesses of other brokers (Jepsen's analyses of Bufstream and
 * Kafka, 2024, and of Redpanda, 2021) have a test each: a late batch in the next transaction, one that begins a transaction which nobody
 * ends, offsets of a fenced member, an InitProducerId that is sent twice. */
#include "kafka/testing.h"
#include "kafka/txn_internal.h"
#include <stdio.h>

#define SEGMENT_BATCHES 8192 /* before it stand a segment's marks */
#define ID "orders"
#define TOPIC "t"

struct setup {
	struct fixture x; /* first; its log is not used */
	struct sm_log *log;
	struct clock_manual clock;
	char dir[64];
	int fd;
};

static void server_start(struct setup *s)
{
	struct sm_error error;
	struct log_embedded_options log = {.system = s->x.system, .dir = s->dir};
	if (log_embedded_open(&log, &s->log, &error))
		fail_msg("%s", error.text);
	struct kafka_listener_options listener = {.host = "127.0.0.1"};
	struct kafka_server_options options = {
		.system = s->x.system, .log = s->log, .clock = &s->clock.clock, .listeners = &listener, .listener_count = 1, .node_id = 1};
	if (kafka_server_new(&options, &s->x.server, &error))
		fail_msg("%s", error.text);
	s->fd = dial(&s->x);
}

static void server_stop(struct setup *s)
{
	struct sm_error error;
	close(s->fd);
	kafka_server_free(s->x.server, 1000);
	if (s->log->ops->close(s->log, &error))
		fail_msg("%s", error.text);
}

static int setup_up(void **state)
{
	struct setup *s = calloc(1, sizeof *s);
	struct sm_error error;
	arena_init(&s->x.arena, 0);
	struct sm_system_options system = {.dispatchers = 2, .pool_threads = 2};
	if (sm_system_new(&system, &s->x.system, &error))
		fail_msg("%s", error.text);
	clock_manual_init(&s->clock, UINT64_C(1574553617004000));
	snprintf(s->dir, sizeof s->dir, "%s/smack-txn-test-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(s->dir));
	server_start(s);
	struct log_topic_spec spec = {.name = TOPIC, .partitions = 2, .replication_factor = 1};
	assert_int_equal(log_topic_create_wait(s->log, &spec, &error), SM_OK);
	*state = s;
	return 0;
}

static int setup_down(void **state)
{
	struct setup *s = *state;
	server_stop(s);
	assert_int_equal(sm_system_stop(s->x.system, 5000), SM_OK);
	assert_int_equal(io_remove_tree(&io_system, s->dir, NULL), SM_OK);
	arena_done(&s->x.arena);
	free(s);
	return 0;
}

/* ---- what a client says ---- */

struct who {
	int64_t id;
	int16_t epoch;
};

static int16_t init(struct setup *s, struct who named, int32_t timeout_ms, struct who *ret)
{
	struct kafka_init_producer_id_request *q = BODY(&s->x, init_producer_id_request);
	q->transactional_id = BYTES(ID);
	q->transaction_timeout_ms = timeout_ms;
	q->producer_id = named.id;
	q->producer_epoch = named.epoch;
	struct kafka_init_producer_id_response *a = call(&s->x, s->fd, KAFKA_INIT_PRODUCER_ID, 5, q);
	*ret = (struct who){a->producer_id, a->producer_epoch};
	return a->error_code;
}
#define NOBODY ((struct who){-1, -1})

static struct who begin(struct setup *s)
{
	struct who w;
	assert_int_equal(init(s, NOBODY, 60000, &w), 0);
	return w;
}

static int16_t produce(struct setup *s, int16_t version, int32_t partition, struct who w, int32_t sequence)
{
	struct buf out;
	struct batch_builder b;
	buf_init(&out);
	batch_begin(&b, &out, CODEC_NONE);
	batch_set_producer(&b, w.id, w.epoch, sequence);
	batch_set_kind(&b, BATCH_TRANSACTIONAL);
	batch_add(&b, &(struct record){.timestamp_ms = 1, .key_null = true, .value = BYTES("v")}, NULL, 0);
	assert_int_equal(batch_end(&b), SM_OK);
	struct kafka_records records = {arena_copy(&s->x.arena, buf_bytes(&out).data, buf_size(&out)), buf_size(&out), NULL};
	buf_done(&out);
	struct kafka_produce_request *q = produce_of(&s->x, TOPIC, partition, records);
	q->transactional_id = BYTES(ID);
	struct kafka_produce_response *a = call(&s->x, s->fd, KAFKA_PRODUCE, version, q);
	return a->topics[0].partitions[0].error_code;
}

static int16_t add(struct setup *s, const char *topic, int32_t partition, struct who w)
{
	struct kafka_add_partitions_to_txn_request *q = BODY(&s->x, add_partitions_to_txn_request);
	q->transactional_id = BYTES(ID);
	q->producer_id = w.id;
	q->producer_epoch = w.epoch;
	q->topics = BODY(&s->x, txn_topic);
	q->topics_count = 1;
	q->topics->name = bytes_str(topic);
	q->topics->partitions = &partition;
	q->topics->partitions_count = 1;
	struct kafka_add_partitions_to_txn_response *a = call(&s->x, s->fd, KAFKA_ADD_PARTITIONS_TO_TXN, 3, q);
	return a->topics[0].partitions[0].error_code;
}

static int16_t end(struct setup *s, int16_t version, struct who w, bool commit, struct who *ret)
{
	struct kafka_end_txn_request *q = BODY(&s->x, end_txn_request);
	q->transactional_id = BYTES(ID);
	q->producer_id = w.id;
	q->producer_epoch = w.epoch;
	q->committed = commit;
	struct kafka_end_txn_response *a = call(&s->x, s->fd, KAFKA_END_TXN, version, q);
	*ret = (struct who){a->producer_id, a->producer_epoch};
	return a->error_code;
}

static const char *state_of(struct setup *s)
{
	struct kafka_describe_transactions_request *q = BODY(&s->x, describe_transactions_request);
	struct bytes id = BYTES(ID);
	q->transactional_ids = &id;
	q->transactional_ids_count = 1;
	struct kafka_describe_transactions_response *a = call(&s->x, s->fd, KAFKA_DESCRIBE_TRANSACTIONS, 0, q);
	const struct kafka_transaction_state *t = &a->transaction_states[0];
	return t->error_code ? kafka__error_name(t->error_code)
			     : arena_string(&s->x.arena, (const char *)t->transaction_state.data, t->transaction_state.size);
}

static void until_state(struct setup *s, const char *want)
{
	for (int i = 0; i < 2000; i++) {
		if (strcmp(state_of(s), want) == 0)
			return;
		usleep(10000);
	}
	fail_msg("the transaction is %s, never %s", state_of(s), want);
}

static int64_t stable(struct setup *s, int32_t partition)
{
	int64_t offset;
	assert_int_equal(s->log->ops->offset_for(s->log, TOPIC, partition, LOG_LATEST, &offset, NULL), SM_OK);
	return offset;
}

/* ---- epochs ---- */

static void a_newer_producer_fences_the_older(void **state)
{
	struct setup *s = *state;
	struct who old = begin(s), young, unused;
	assert_int_equal(old.epoch, 0);
	assert_int_equal(produce(s, 12, 0, old, 0), 0);
	assert_string_equal(state_of(s), "Ongoing");
	young = begin(s); /* aborts what was open */
	assert_int_equal(young.id, old.id);
	assert_true(young.epoch > old.epoch);
	assert_string_equal(state_of(s), "Empty");
	assert_int_equal(stable(s, 0), 2);
	assert_int_equal(produce(s, 12, 0, old, 1), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(add(s, TOPIC, 0, old), KAFKA_PRODUCER_FENCED);
	assert_int_equal(end(s, 5, old, true, &unused), KAFKA_PRODUCER_FENCED);
	assert_int_equal(end(s, 1, old, true, &unused), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(init(s, old, 60000, &unused), KAFKA_PRODUCER_FENCED);
	assert_int_equal(add(s, TOPIC, 0, (struct who){old.id + 1, 0}), KAFKA_INVALID_PRODUCER_ID_MAPPING);
	assert_int_equal(produce(s, 12, 0, young, 0), 0);
	assert_int_equal(end(s, 5, young, true, &young), 0);
}

static void a_producer_that_names_itself_keeps_its_place(void **state)
{
	struct setup *s = *state;
	struct who first = begin(s), second, again, unused;
	assert_int_equal(init(s, first, 60000, &second), 0);
	assert_int_equal(second.epoch, first.epoch + 1);
	/* The answer was lost: the same question has the same answer. */
	assert_int_equal(init(s, first, 60000, &again), 0);
	assert_int_equal(again.epoch, second.epoch);
	assert_int_equal(init(s, second, 60000, &again), 0);
	assert_int_equal(init(s, first, 60000, &unused), KAFKA_PRODUCER_FENCED);
	assert_int_equal(init(s, (struct who){first.id, -1}, 60000, &unused), KAFKA_INVALID_REQUEST);
	assert_int_equal(init(s, NOBODY, 900001, &unused), KAFKA_INVALID_TRANSACTION_TIMEOUT);
	assert_int_equal(init(s, NOBODY, 0, &unused), KAFKA_INVALID_TRANSACTION_TIMEOUT);
}

static void each_end_gives_a_newer_epoch(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s), next, again;
	assert_int_equal(end(s, 5, w, true, &next), KAFKA_INVALID_TXN_STATE);
	assert_int_equal(produce(s, 12, 0, w, 0), 0);
	assert_int_equal(produce(s, 12, 1, w, 0), 0);
	assert_int_equal(end(s, 5, w, true, &next), 0);
	assert_int_equal(next.id, w.id);
	assert_int_equal(next.epoch, w.epoch + 1);
	assert_int_equal(end(s, 5, w, true, &again), 0); /* the answer was lost */
	assert_int_equal(again.epoch, next.epoch);
	assert_int_equal(end(s, 5, w, false, &again), KAFKA_INVALID_TXN_STATE);
	assert_int_equal(stable(s, 0), 2);
	assert_int_equal(stable(s, 1), 2);
	/* KIP-890: a batch of the former transaction that comes late is not in the next. */
	assert_int_equal(produce(s, 12, 0, next, 0), 0);
	assert_int_equal(produce(s, 12, 0, w, 1), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(end(s, 5, next, false, &again), 0);
	/* Nothing to abort: a newer epoch nevertheless. */
	assert_int_equal(end(s, 5, again, false, &next), 0);
	assert_int_equal(next.epoch, again.epoch + 1);
}

/* KIP-890: an epoch is one transaction's own, so that a first batch with another sequence follows one that was lost. */
static void a_transaction_begins_with_its_first_batch(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s);
	assert_int_equal(produce(s, 12, 0, w, 3), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	assert_int_equal(produce(s, 12, 0, w, 0), 0);
	assert_int_equal(add(s, TOPIC, 1, w), 0);
	assert_int_equal(produce(s, 11, 1, w, 3), 0); /* older clients keep their sequences over transactions */
}

static void older_clients_keep_their_epoch(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s), unused;
	/* No transaction is begun by a batch that nobody has announced: nobody would end it. */
	assert_int_equal(produce(s, 10, 0, w, 0), KAFKA_INVALID_TXN_STATE);
	assert_int_equal(produce(s, 11, 0, w, 0), KAFKA_TRANSACTION_ABORTABLE);
	assert_int_equal(stable(s, 0), 0);
	assert_int_equal(add(s, TOPIC, 0, w), 0);
	assert_int_equal(add(s, "no-such-topic", 0, w), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(produce(s, 11, 0, w, 0), 0);
	assert_int_equal(produce(s, 11, 1, w, 0), KAFKA_TRANSACTION_ABORTABLE);
	assert_int_equal(end(s, 3, w, true, &unused), 0);
	assert_int_equal(end(s, 3, w, true, &unused), 0);
	assert_int_equal(end(s, 3, w, false, &unused), KAFKA_INVALID_TXN_STATE);
	assert_int_equal(produce(s, 11, 0, w, 1), KAFKA_TRANSACTION_ABORTABLE); /* late, after the marker */
	assert_int_equal(stable(s, 0), 2);
	assert_int_equal(add(s, TOPIC, 0, w), 0);
	assert_int_equal(produce(s, 11, 0, w, 1), 0);
	assert_int_equal(end(s, 3, w, false, &unused), 0);
	until_state(s, "CompleteAbort");
	assert_int_equal(stable(s, 0), 4);
}

/* ---- time, restarts ---- */

static void a_transaction_whose_time_is_up_is_aborted(void **state)
{
	struct setup *s = *state;
	struct who w, next;
	assert_int_equal(init(s, NOBODY, 5000, &w), 0);
	assert_int_equal(produce(s, 12, 0, w, 0), 0);
	s->clock.now_us += 4999000;
	assert_int_equal(produce(s, 12, 0, w, 1), 0);
	assert_string_equal(state_of(s), "Ongoing");
	s->clock.now_us += 1000;
	until_state(s, "CompleteAbort");
	assert_int_equal(stable(s, 0), 3);
	/* As Kafka 4.1.1: it cannot commit, but when it aborts it learns its new epoch. */
	assert_int_equal(end(s, 5, w, true, &next), KAFKA_INVALID_TXN_STATE);
	assert_int_equal(end(s, 1, w, true, &next), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(produce(s, 12, 0, w, 2), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(end(s, 5, w, false, &next), 0);
	assert_int_equal(next.epoch, w.epoch + 1);
	assert_int_equal(produce(s, 12, 0, next, 0), 0);
}

static void an_open_transaction_goes_on_after_a_restart(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s), next;
	assert_int_equal(produce(s, 12, 0, w, 0), 0);
	server_stop(s);
	server_start(s);
	assert_string_equal(state_of(s), "Ongoing");
	assert_int_equal(stable(s, 0), 0);
	assert_int_equal(produce(s, 12, 1, w, 0), 0);
	assert_int_equal(end(s, 5, w, true, &next), 0);
	until_state(s, "CompleteCommit");
	assert_int_equal(stable(s, 0), 2);
	server_stop(s);
	server_start(s);
	assert_int_equal(end(s, 5, w, true, &next), 0); /* sent again, after all */
	assert_int_equal(next.epoch, w.epoch + 1);
}

/* Put a record into __transaction_state, as if a coordinator had stopped right after. */
static void write_state(struct setup *s, const struct txn_values *values, bool both_partitions)
{
	struct kafka_txns all = {.server = s->x.server};
	struct buf out;
	buf_init(&out);
	map_init(&all.by_id);
	struct kafka_txn *t = txn__new(&all, ID, strlen(ID));
	t->next = *values;
	assert_int_equal(txn__parts_add(&t->parts, TOPIC, 1, 0), SM_OK);
	if (both_partitions)
		assert_int_equal(txn__parts_add(&t->parts, TOPIC, 1, 1), SM_OK);
	assert_int_equal(txn__record(t, false, 1, &out), SM_OK);
	assert_int_equal(log_append_wait(s->log, TXN_TOPIC, 0, out.data + out.start, buf_size(&out), NULL), SM_OK);
	buf_done(&out);
	txn__remove(t);
	map_done(&all.by_id);
}

static void a_decision_is_carried_out_after_a_crash(void **state)
{
	struct setup *s = *state;
	for (int commit = 0; commit < 2; commit++) {
		struct who w = begin(s);
		assert_int_equal(produce(s, 12, 0, w, 0), 0);
		assert_int_equal(produce(s, 12, 1, w, 0), 0);
		int64_t before = stable(s, 0);
		const struct txn_values prepared = {.state = commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT,
						    .producer_id = w.id,
						    .previous_producer_id = -1,
						    .next_producer_id = -1,
						    .epoch = (int16_t)(w.epoch + 1),
						    .timeout_ms = 60000,
						    .client_version = 2};
		write_state(s, &prepared, true);
		server_stop(s);
		server_start(s);
		until_state(s, commit ? "CompleteCommit" : "CompleteAbort");
		assert_int_equal(stable(s, 0), before + 2);
		assert_int_equal(stable(s, 1), before + 2);
		struct log_read_result r;
		assert_int_equal(s->log->ops->read(s->log, TOPIC, 0, before, 1000, &r), SM_OK);
		assert_int_equal(r.slice.aborted_count, !commit);
		log_slice_done(&r.slice);
	}
}

static void the_last_epoch_is_followed_by_another_id(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s), next, again;
	const struct txn_values worn = {.state = TXN_EMPTY,
					.producer_id = w.id,
					.previous_producer_id = -1,
					.next_producer_id = -1,
					.epoch = 32766,
					.timeout_ms = 60000};
	write_state(s, &worn, false);
	server_stop(s);
	server_start(s);
	w.epoch = 32766;
	assert_int_equal(produce(s, 12, 0, w, 0), 0);
	assert_int_equal(end(s, 5, w, true, &next), 0);
	assert_int_not_equal(next.id, w.id);
	assert_int_equal(next.epoch, 0);
	assert_int_equal(end(s, 5, w, true, &again), 0);
	assert_int_equal(again.id, next.id);
	assert_int_equal(produce(s, 12, 0, w, 1), KAFKA_INVALID_PRODUCER_ID_MAPPING);
	assert_int_equal(produce(s, 12, 0, next, 0), 0);
	assert_int_equal(end(s, 5, next, true, &next), 0);
}

/* ---- offsets ---- */

static int16_t commit_offset(struct setup *s, int16_t version, struct who w, int32_t generation, const char *member)
{
	struct kafka_txn_offset_commit_request *q = BODY(&s->x, txn_offset_commit_request);
	q->transactional_id = BYTES(ID);
	q->group_id = BYTES("g");
	q->producer_id = w.id;
	q->producer_epoch = w.epoch;
	q->generation_id = generation;
	q->member_id = bytes_str(member);
	q->topics = BODY(&s->x, txn_offset_commit_topic);
	q->topics_count = 1;
	q->topics->name = BYTES(TOPIC);
	q->topics->partitions = BODY(&s->x, txn_offset_commit_partition);
	q->topics->partitions_count = 1;
	q->topics->partitions->committed_offset = 5;
	q->topics->partitions->committed_metadata = BYTES("m");
	struct kafka_txn_offset_commit_response *a = call(&s->x, s->fd, KAFKA_TXN_OFFSET_COMMIT, version, q);
	return a->topics[0].partitions[0].error_code;
}

static struct kafka_offset_fetch_partition_response fetch_offset(struct setup *s, bool stable_only)
{
	struct kafka_offset_fetch_request *q = BODY(&s->x, offset_fetch_request);
	int32_t partition = 0;
	q->require_stable = stable_only;
	q->group_id = BYTES("g");
	q->topics = BODY(&s->x, offset_fetch_topic);
	q->topics_count = 1;
	q->topics->name = BYTES(TOPIC);
	q->topics->partition_indexes = &partition;
	q->topics->partition_indexes_count = 1;
	struct kafka_offset_fetch_response *a = call(&s->x, s->fd, KAFKA_OFFSET_FETCH, 7, q);
	return a->topics[0].partitions[0];
}

static void offsets_count_when_the_transaction_is_committed(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s);
	assert_int_equal(commit_offset(s, 3, w, -1, ""), KAFKA_INVALID_TXN_STATE); /* AddOffsetsToTxn was left out */
	assert_int_equal(commit_offset(s, 4, w, -1, ""), KAFKA_TRANSACTION_ABORTABLE);
	assert_int_equal(commit_offset(s, 5, w, -1, ""), 0);
	assert_int_equal(fetch_offset(s, true).error_code, KAFKA_UNSTABLE_OFFSET_COMMIT);
	assert_int_equal(fetch_offset(s, false).committed_offset, -1);
	assert_int_equal(end(s, 5, w, true, &w), 0);
	until_state(s, "CompleteCommit");
	assert_int_equal(fetch_offset(s, true).committed_offset, 5);
}

static void a_member_that_was_fenced_commits_no_offsets(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s), unused;
	assert_int_equal(commit_offset(s, 5, w, 3, "gone"), KAFKA_ILLEGAL_GENERATION);
	struct who young = begin(s);
	assert_int_equal(commit_offset(s, 5, w, -1, ""), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(commit_offset(s, 5, young, -1, ""), 0);
	assert_int_equal(commit_offset(s, 5, young, 3, "gone"), KAFKA_UNKNOWN_MEMBER_ID); /* now there is a group */
	assert_int_equal(end(s, 5, young, false, &unused), 0);
	until_state(s, "CompleteAbort");
	assert_int_equal(fetch_offset(s, true).committed_offset, -1);
	assert_int_equal(fetch_offset(s, true).error_code, 0);
}

/* ---- tools ---- */

static int16_t write_marker(struct setup *s, struct who w, int32_t coordinator_epoch)
{
	struct kafka_write_txn_markers_request *q = BODY(&s->x, write_txn_markers_request);
	int32_t partition = 0;
	q->markers = BODY(&s->x, txn_marker);
	q->markers_count = 1;
	q->markers->producer_id = w.id;
	q->markers->producer_epoch = w.epoch;
	q->markers->coordinator_epoch = coordinator_epoch;
	q->markers->topics = BODY(&s->x, txn_topic);
	q->markers->topics_count = 1;
	q->markers->topics->name = BYTES(TOPIC);
	q->markers->topics->partitions = &partition;
	q->markers->topics->partitions_count = 1;
	struct kafka_write_txn_markers_response *a = call(&s->x, s->fd, KAFKA_WRITE_TXN_MARKERS, 1, q);
	return a->markers[0].topics[0].partitions[0].error_code;
}

static void a_tool_ends_a_transaction_in_one_partition(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s);
	assert_int_equal(produce(s, 12, 0, w, 0), 0);
	assert_int_equal(write_marker(s, (struct who){w.id, (int16_t)(w.epoch - 1)}, 0), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(write_marker(s, w, 5), 0);
	assert_int_equal(stable(s, 0), 2);
	assert_int_equal(write_marker(s, w, 4), KAFKA_TRANSACTION_COORDINATOR_FENCED);
}

static void transactions_are_listed(void **state)
{
	struct setup *s = *state;
	assert_string_equal(state_of(s), "TRANSACTIONAL_ID_NOT_FOUND");
	struct who w = begin(s);
	assert_int_equal(produce(s, 12, 1, w, 0), 0);
	struct kafka_list_transactions_request *q = BODY(&s->x, list_transactions_request);
	struct bytes states[] = {BYTES("Ongoing"), BYTES("Sleeping")};
	q->state_filters = states;
	q->state_filters_count = 2;
	struct kafka_list_transactions_response *a = call(&s->x, s->fd, KAFKA_LIST_TRANSACTIONS, 2, q);
	assert_int_equal(a->transaction_states_count, 1);
	assert_int_equal(a->unknown_state_filters_count, 1);
	q->transactional_id_pattern = BYTES("ord.*");
	assert_int_equal(
		((struct kafka_list_transactions_response *)call(&s->x, s->fd, KAFKA_LIST_TRANSACTIONS, 2, q))->transaction_states_count,
		1);
	q->transactional_id_pattern = BYTES("ord");
	assert_int_equal(
		((struct kafka_list_transactions_response *)call(&s->x, s->fd, KAFKA_LIST_TRANSACTIONS, 2, q))->transaction_states_count,
		0);
	q->transactional_id_pattern = BYTES("(((a{1,255}){1,255}){1,255})");
	a = call(&s->x, s->fd, KAFKA_LIST_TRANSACTIONS, 2, q);
	assert_int_equal(a->error_code, KAFKA_INVALID_REGULAR_EXPRESSION);
	q->transactional_id_pattern = (struct bytes){0};
	q->duration_filter = 1000;
	assert_int_equal(
		((struct kafka_list_transactions_response *)call(&s->x, s->fd, KAFKA_LIST_TRANSACTIONS, 2, q))->transaction_states_count,
		0);
}

/* What became of the transactions is not guessed; all else is served. */
static void without_their_log_transactions_are_refused(void **state)
{
	struct setup *s = *state;
	struct who w = begin(s);
	char path[200];
	assert_int_equal(produce(s, 12, 0, w, 0), 0);
	for (int how = 0; how < 2; how++) {
		server_stop(s);
		snprintf(path, sizeof path, "%s/" TXN_TOPIC "-0/%s", s->dir, how ? "start" : "00000000000000000000.log");
		uint8_t *before = NULL;
		size_t size = 0;
		if (!how)
			assert_int_equal(io_read_file(&io_system, path, 1 << 20, &before, &size, NULL), SM_OK);
		FILE *f = fopen(path, how ? "w" : "r+");
		assert_non_null(f);
		if (!how)
			fseek(f, SEGMENT_BATCHES + 80, SEEK_SET); /* in the first batch */
		fputs("not this", f);
		fclose(f);
		server_start(s);
		struct who again;
		assert_int_equal(init(s, NOBODY, 60000, &again), KAFKA_COORDINATOR_NOT_AVAILABLE);
		assert_int_equal(produce(s, 12, 0, w, 1), KAFKA_COORDINATOR_NOT_AVAILABLE);
		int64_t offset;
		struct buf out;
		buf_init(&out);
		struct batch_builder b;
		batch_begin(&b, &out, CODEC_NONE);
		batch_add(&b, &(struct record){.timestamp_ms = 1, .key_null = true, .value = BYTES("v")}, NULL, 0);
		assert_int_equal(batch_end(&b), SM_OK);
		assert_int_equal(log_append_wait(s->log, TOPIC, 1, out.data + out.start, buf_size(&out), &offset), SM_OK);
		buf_done(&out);
		server_stop(s);
		if (how)
			assert_int_equal(unlink(path), 0);
		else
			assert_int_equal(io_write_file_atomic(&io_system, path, bytes_of(before, size), NULL), SM_OK);
		free(before);
		server_start(s);
		/* Its files are there again: so is the transaction. */
		assert_int_equal(produce(s, 12, 0, w, 1 + how), 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_up, setup_down)
	const struct CMUnitTest tests[] = {
		TEST(a_newer_producer_fences_the_older),
		TEST(a_producer_that_names_itself_keeps_its_place),
		TEST(each_end_gives_a_newer_epoch),
		TEST(a_transaction_begins_with_its_first_batch),
		TEST(older_clients_keep_their_epoch),
		TEST(a_transaction_whose_time_is_up_is_aborted),
		TEST(an_open_transaction_goes_on_after_a_restart),
		TEST(a_decision_is_carried_out_after_a_crash),
		TEST(the_last_epoch_is_followed_by_another_id),
		TEST(offsets_count_when_the_transaction_is_committed),
		TEST(a_member_that_was_fenced_commits_no_offsets),
		TEST(a_tool_ends_a_transaction_in_one_partition),
		TEST(transactions_are_listed),
		TEST(without_their_log_transactions_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
