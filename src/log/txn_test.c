/* Transactions in the log: what a committed reader sees, across rolls, restarts, crashes and lost indexes. */
#include "log/testing.h"
#include <dirent.h>
#include <semaphore.h>

#define TOPIC "t"

struct waiting {
	sem_t done;
	struct log_append_result result;
	enum sm_err err;
	struct log_producer *producers;
	uint32_t count;
};

static void appended(void *arg, const struct log_append_result *result)
{
	struct waiting *w = arg;
	w->result = *result;
	sem_post(&w->done);
}

static void committed(void *arg, enum sm_err err)
{
	struct waiting *w = arg;
	w->err = err;
	sem_post(&w->done);
}

static void listed(void *arg, enum sm_err err, struct log_producer *producers, uint32_t count)
{
	struct waiting *w = arg;
	w->err = err;
	w->producers = producers;
	w->count = count;
	sem_post(&w->done);
}

static struct waiting waiting_new(void)
{
	struct waiting w = {.err = SM_OK};
	sem_init(&w.done, 0, 0);
	return w;
}

/* One batch; kind 0: a plain one of producer_id -1 or an idempotent one. */
static enum sm_err put(struct bench_log *b, int64_t producer_id, int16_t epoch, int32_t sequence, int count, uint16_t kind, unsigned flags,
		       int64_t *ret_offset)
{
	struct buf out;
	struct batch_builder builder;
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_NONE);
	if (producer_id >= 0)
		batch_set_producer(&builder, producer_id, epoch, sequence);
	batch_set_kind(&builder, kind);
	for (int i = 0; i < count; i++)
		batch_add(&builder, &(struct record){.timestamp_ms = T0, .key_null = true, .value = BYTES("value")}, NULL, 0);
	assert_int_equal(batch_end(&builder), SM_OK);
	struct waiting w = waiting_new();
	b->log->ops->append(b->log, TOPIC, 0, out.data + out.start, buf_size(&out), flags, appended, &w);
	sem_wait(&w.done);
	buf_done(&out);
	*ret_offset = w.result.base_offset;
	return w.result.err;
}

static enum sm_err put_txn(struct bench_log *b, int64_t producer_id, int16_t epoch, int32_t sequence, int count)
{
	int64_t offset;
	return put(b, producer_id, epoch, sequence, count, BATCH_TRANSACTIONAL, LOG_TXN, &offset);
}

static enum sm_err end(struct bench_log *b, const char *topic, int32_t partition, int64_t producer_id, int16_t epoch, bool commit)
{
	struct waiting w = waiting_new();
	const struct log_txn_marker marker = {.producer_id = producer_id, .producer_epoch = epoch, .commit = commit};
	b->log->ops->txn_end(b->log, topic, partition, &marker, appended, &w);
	sem_wait(&w.done);
	return w.result.err;
}

static int64_t stable(struct bench_log *b)
{
	int64_t offset;
	assert_int_equal(b->log->ops->offset_for(b->log, TOPIC, 0, LOG_LATEST, &offset, NULL), SM_OK);
	return offset;
}

struct seen {
	int64_t from;
	uint8_t *at;
};

static void note_seen(void *arg, const struct log_read_result *read, struct batch_reader *batch)
{
	struct seen *s = arg;
	struct record record;
	assert_true(batch->info.base_offset + batch->info.last_offset_delta < read->last_stable_offset);
	while (!log_slice_hides(&read->slice, &batch->info) && batch_next(batch, &record) == SM_OK)
		if (record.offset >= s->from)
			s->at[record.offset] = 1;
}

/* seen[offset] is set for each record that a committed reader is given from `from` on; gives where it ends. */
static int64_t read_committed(struct bench_log *b, int64_t from, size_t bytes_max, uint8_t *seen)
{
	struct seen s = {from, seen};
	return testing_walk(b, (struct testing_walk){TOPIC, 0, from, bytes_max, false, note_seen, &s});
}

static void what_is_aborted_or_open_is_not_read(void **state)
{
	struct bench_log b;
	uint8_t seen[16] = {0};
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	assert_int_equal(put_txn(&b, 7, 0, 0, 2), SM_OK); /* 0 1 */
	assert_int_equal(stable(&b), 0);
	assert_int_equal(read_committed(&b, 0, 1000, seen), 0);
	assert_int_equal(end(&b, TOPIC, 0, 7, 0, true), SM_OK); /* 2 */
	assert_int_equal(stable(&b), 3);
	assert_int_equal(put_txn(&b, 7, 0, 2, 2), SM_OK);        /* 3 4 */
	assert_int_equal(put_txn(&b, 8, 0, 0, 1), SM_OK);        /* 5 */
	assert_int_equal(end(&b, TOPIC, 0, 7, 0, false), SM_OK); /* 6 */
	assert_int_equal(stable(&b), 5);
	assert_int_equal(read_committed(&b, 0, 1000, seen), 5);
	assert_memory_equal(seen, "\1\1\0\0\0\0\0", 7);
	assert_int_equal(end(&b, TOPIC, 0, 8, 0, true), SM_OK); /* 7 */
	assert_int_equal(read_committed(&b, 0, 1000, seen), 8);
	assert_memory_equal(seen, "\1\1\0\0\0\1\0\0", 8);
	testing_end(&b);
}

static void what_does_not_fit_the_transaction_is_refused(void **state)
{
	struct bench_log b;
	int64_t offset;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	assert_int_equal(put(&b, 7, 0, 0, 1, BATCH_TRANSACTIONAL, 0, &offset), SM_CONFLICT); /* the coordinator does not know */
	assert_int_equal(put(&b, -1, -1, -1, 1, BATCH_TRANSACTIONAL, LOG_TXN, &offset), SM_INVALID);
	assert_int_equal(put(&b, 7, 0, 0, 1, BATCH_CONTROL, LOG_TXN, &offset), SM_INVALID);
	assert_int_equal(put_txn(&b, 7, 3, 0, 1), SM_OK);
	assert_int_equal(put(&b, 7, 3, 1, 1, 0, 0, &offset), SM_CONFLICT); /* a plain one in between */
	assert_int_equal(put_txn(&b, 7, 4, 0, 1), SM_CONFLICT);            /* a newer epoch without a marker */
	assert_int_equal(end(&b, TOPIC, 0, 7, 2, true), SM_STALE_EPOCH);
	assert_int_equal(end(&b, TOPIC, 0, 7, 4, true), SM_OK);
	/* KIP-890: what the former transaction had under way does not land in the next. */
	assert_int_equal(put_txn(&b, 7, 3, 1, 1), SM_STALE_EPOCH);
	assert_int_equal(put_txn(&b, 7, 4, 1, 1), SM_SEQUENCE_GAP);
	assert_int_equal(put_txn(&b, 7, 4, 0, 1), SM_OK);
	assert_int_equal(put_txn(&b, 7, 4, 0, 1), SM_OK); /* once more: it is there */
	assert_int_equal(end(&b, TOPIC, 0, 7, 5, true), SM_OK);
	assert_int_equal(end(&b, TOPIC, 0, 7, 5, true), SM_OK); /* a marker that is written again ends nothing */
	assert_int_equal(stable(&b), 5);
	testing_end(&b);
}

struct wake {
	struct log_wait wait;
	sem_t done;
};

static void woken(struct log_wait *wait, enum sm_err err)
{
	assert_int_equal(err, SM_OK);
	sem_post(&((struct wake *)wait)->done);
}

static void a_wait_ends_with_the_transaction(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	struct wake plain = {.wait = {.topic = TOPIC, .done = woken, .uncommitted = true}},
		    stable_one = {.wait = {.topic = TOPIC, .done = woken}};
	sem_init(&plain.done, 0, 0);
	sem_init(&stable_one.done, 0, 0);
	b.log->ops->wait(b.log, &plain.wait);
	b.log->ops->wait(b.log, &stable_one.wait);
	assert_int_equal(put_txn(&b, 7, 0, 0, 1), SM_OK);
	sem_wait(&plain.done);
	assert_int_equal(sem_trywait(&stable_one.done), -1);
	assert_int_equal(end(&b, TOPIC, 0, 7, 0, false), SM_OK);
	sem_wait(&stable_one.done);
	testing_end(&b);
}

static void producers_are_told(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	assert_int_equal(put_txn(&b, 7, 1, 0, 3), SM_OK);
	testing_reopen(&b);
	struct waiting w = waiting_new();
	b.log->ops->producers(b.log, TOPIC, 0, listed, &w);
	sem_wait(&w.done);
	assert_int_equal(w.err, SM_OK);
	assert_int_equal(w.count, 1);
	assert_int_equal(w.producers[0].producer_id, 7);
	assert_int_equal(w.producers[0].epoch, 1);
	assert_int_equal(w.producers[0].last_sequence, 2);
	assert_int_equal(w.producers[0].txn_first_offset, 0);
	free(w.producers);
	assert_int_equal(stable(&b), 0);
	testing_end(&b);
}

/* ---- offsets of a group ---- */

static void commit_offset(struct bench_log *b, int64_t producer_id, int64_t offset)
{
	struct waiting w = waiting_new();
	const struct log_group_offset o = {.topic = TOPIC, .offset = offset};
	b->log->ops->offsets_commit_txn(b->log, "g", producer_id, 0, &o, 1, committed, &w);
	sem_wait(&w.done);
	assert_int_equal(w.err, SM_OK);
}

static void offset_is(struct bench_log *b, int64_t want, bool pending)
{
	void *hold;
	struct log_group_offset o = {.topic = TOPIC};
	assert_int_equal(b->log->ops->offsets_fetch(b->log, "g", &o, 1, &hold), SM_OK);
	b->log->ops->offsets_release(b->log, hold);
	assert_int_equal(o.offset, want);
	assert_int_equal(o.pending, pending);
}

static void offsets_of_a_transaction_wait_for_its_end(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	int32_t partition = b.log->ops->offsets_partition(b.log, "g");
	commit_offset(&b, 7, 10);
	offset_is(&b, -1, true);
	testing_reopen(&b); /* they are found again */
	offset_is(&b, -1, true);
	assert_int_equal(end(&b, TOPIC_OFFSETS, partition, 7, 0, true), SM_OK);
	offset_is(&b, 10, false);
	commit_offset(&b, 7, 20);
	commit_offset(&b, 8, 30);
	assert_int_equal(end(&b, TOPIC_OFFSETS, partition, 7, 0, false), SM_OK);
	offset_is(&b, 10, true);
	testing_reopen(&b);
	offset_is(&b, 10, true);
	assert_int_equal(end(&b, TOPIC_OFFSETS, partition, 8, 0, true), SM_OK);
	offset_is(&b, 30, false);
	testing_reopen(&b);
	offset_is(&b, 30, false);
	testing_end(&b);
}

/* ---- random histories against a model ---- */

#define PRODUCERS 5
#define OFFSETS_MAX 4000

enum fate { NO_DATA, DATA, OPEN };
struct model {
	uint8_t fate[OFFSETS_MAX];      /* of the record there */
	int64_t owner[OFFSETS_MAX];     /* whose open transaction it is in */
	int64_t first[PRODUCERS], next; /* first offset of an open transaction, -1: none */
	int32_t sequence[PRODUCERS];
	int16_t epoch[PRODUCERS];
};

static uint32_t dice(uint64_t *seed, uint32_t sides)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % sides;
}

static void model_append(struct bench_log *b, struct model *m, uint64_t *seed)
{
	int count = 1 + (int)dice(seed, 4);
	int64_t offset;
	bool plain = dice(seed, 3) == 0;
	int p = (int)dice(seed, PRODUCERS);
	if (plain) {
		assert_int_equal(put(b, -1, -1, -1, count, 0, 0, &offset), SM_OK);
	} else {
		assert_int_equal(put(b, p, m->epoch[p], m->sequence[p], count, BATCH_TRANSACTIONAL, LOG_TXN, &offset), SM_OK);
		m->sequence[p] += count;
		if (m->first[p] < 0)
			m->first[p] = offset;
	}
	assert_int_equal(offset, m->next);
	for (int i = 0; i < count; i++) {
		m->fate[m->next] = plain ? DATA : OPEN;
		m->owner[m->next++] = plain ? -1 : p;
	}
}

static void model_end(struct bench_log *b, struct model *m, uint64_t *seed)
{
	int p = (int)dice(seed, PRODUCERS);
	bool commit = dice(seed, 2);
	if (dice(seed, 2)) { /* the newer protocol: each end has a newer epoch */
		m->epoch[p]++;
		m->sequence[p] = 0;
	}
	assert_int_equal(end(b, TOPIC, 0, p, m->epoch[p], commit), SM_OK);
	for (int64_t i = m->first[p]; i >= 0 && i < m->next; i++)
		if (m->fate[i] == OPEN && m->owner[i] == p)
			m->fate[i] = commit ? DATA : NO_DATA;
	m->first[p] = -1;
	m->fate[m->next++] = NO_DATA;
}

static void model_check(struct bench_log *b, const struct model *m, uint64_t *seed)
{
	static uint8_t seen[OFFSETS_MAX];
	int64_t end_offset = m->next;
	for (int p = 0; p < PRODUCERS; p++)
		if (m->first[p] >= 0 && m->first[p] < end_offset)
			end_offset = m->first[p];
	assert_int_equal(stable(b), end_offset);
	int64_t from = end_offset ? dice(seed, (uint32_t)end_offset + 1) : 0;
	memset(seen, 0, sizeof seen);
	assert_int_equal(read_committed(b, from, 1 + dice(seed, 3000), seen), end_offset);
	for (int64_t i = from; i < end_offset; i++)
		if (seen[i] != (m->fate[i] == DATA))
			fail_msg("offset %lld of %lld (read from %lld): seen %d, but its fate is %d", (long long)i, (long long)end_offset,
				 (long long)from, seen[i], m->fate[i]);
}

/* Files with this ending; chance in 4 for each. */
static void lose_files(const struct bench_log *b, const char *ending, uint64_t *seed)
{
	char dir[100], path[400];
	snprintf(dir, sizeof dir, "%s/%s-0", b->dir, TOPIC);
	DIR *d = opendir(dir);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		size_t size = strlen(e->d_name), end_size = strlen(ending);
		if (size < end_size || strcmp(e->d_name + size - end_size, ending) != 0 || dice(seed, 4))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		assert_int_equal(unlink(path), 0);
	}
	if (d)
		closedir(d);
}

/* As after a SIGKILL: the directory as it is, opened by another. */
static void crash(struct bench_log *b)
{
	char copy[80], command[300];
	snprintf(copy, sizeof copy, "%s-copy", b->dir);
	snprintf(command, sizeof command, "cp -r %s %s", b->dir, copy);
	assert_int_equal(system(command), 0);
	testing_close(b);
	assert_int_equal(io_remove_tree(&io_system, b->dir, NULL), SM_OK);
	assert_int_equal(rename(copy, b->dir), 0);
	testing_open(b);
}

static void model_restart(struct bench_log *b, uint64_t *seed)
{
	uint32_t how = dice(seed, 4);
	if (how == 0) {
		crash(b);
		return;
	}
	testing_close(b);
	if (how >= 2)
		lose_files(b, ".txnindex", seed);
	if (how == 3)
		lose_files(b, ".snapshot", seed);
	testing_open(b);
}

static void histories_read_as_the_model_says(void **state)
{
	for (uint64_t round = 1; round <= 12; round++) {
		struct bench_log b;
		static struct model m;
		uint64_t seed = round * 7919;
		memset(&m, 0, sizeof m);
		for (int p = 0; p < PRODUCERS; p++)
			m.first[p] = -1;
		testing_begin(&b);
		testing_topic(&b, TOPIC, 1, "segment.bytes", round % 3 ? "2000" : "1000000");
		for (int i = 0; i < 250; i++) {
			uint32_t what = dice(&seed, 20);
			if (what < 11)
				model_append(&b, &m, &seed);
			else if (what < 18)
				model_end(&b, &m, &seed);
			else if (what < 19)
				model_restart(&b, &seed);
			if (i % 5 == 0 || what == 18)
				model_check(&b, &m, &seed);
		}
		testing_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_aborted_or_open_is_not_read),       cmocka_unit_test(what_does_not_fit_the_transaction_is_refused),
		cmocka_unit_test(a_wait_ends_with_the_transaction),          cmocka_unit_test(producers_are_told),
		cmocka_unit_test(offsets_of_a_transaction_wait_for_its_end), cmocka_unit_test(histories_read_as_the_model_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
