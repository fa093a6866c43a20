/* Compaction against a model: what was appended, record by record. */
#include "base/metrics.h"
#include "log/testing.h"
#include <pthread.h>
#include <semaphore.h>

#define TOPIC "c"
#define RECORDS_MAX 6000
#define KEYS 23

struct known {
	int key; /* -1: a batch that was not acknowledged */
	bool tombstone;
};
struct model {
	struct known records[RECORDS_MAX];
	int count;
	unsigned seed;
};

static unsigned pick(struct model *m, unsigned below)
{
	m->seed = m->seed * 1103515245u + 12345u;
	return (m->seed >> 16) % below;
}

static void topic_make(struct bench_log *b, const char *extra, const char *value)
{
	struct sm_error error;
	const struct log_config configs[] = {
		{"cleanup.policy", "compact"}, {"segment.bytes", "10000"}, {"min.cleanable.dirty.ratio", "0"}, {extra, value}};
	const struct log_topic_spec spec = {TOPIC, 1, 1, configs, extra ? 4 : 3};
	if (log_topic_create_wait(b->log, &spec, &error))
		fail_msg("%s", error.text);
}

static struct partition *the_partition(struct bench_log *b)
{
	atomic_store(&((struct engine *)b->log)->cleaning, true); /* on a slow machine its own cleaner would come in between */
	struct partition *p = log__topics_partition((struct engine *)b->log, TOPIC, 0);
	assert_non_null(p);
	log__partition_unref(p); /* the log holds it */
	return p;
}

static enum sm_err compact(struct bench_log *b, int64_t now_ms)
{
	struct sm_error error;
	return log__partition_compact(the_partition(b), now_ms, &error);
}

/* One batch of 1 to 9 records. */
static enum sm_err append_some(struct bench_log *b, struct model *m)
{
	struct buf out;
	struct batch_builder builder;
	int count = 1 + (int)pick(m, 9);
	int64_t offset = -1;
	buf_init(&out);
	batch_begin(&builder, &out, (enum codec)pick(m, CODEC_COUNT));
	for (int i = 0; i < count; i++) {
		struct known *k = &m->records[m->count + i];
		char key[16], value[64];
		*k = (struct known){(int)pick(m, KEYS), pick(m, 4) == 0};
		snprintf(key, sizeof key, "k%d", k->key);
		snprintf(value, sizeof value, "value %d of some length to fill segments", m->count + i);
		struct record_header header = {.key = bytes_str("h"), .value = bytes_str("x")};
		batch_add(&builder,
			  &(struct record){.timestamp_ms = T0 + m->count + i,
					   .key = bytes_str(key),
					   .value = k->tombstone ? (struct bytes){0} : bytes_str(value),
					   .value_null = k->tombstone},
			  &header, i % 2);
	}
	assert_int_equal(batch_end(&builder), SM_OK);
	enum sm_err err = log_append_wait(b->log, TOPIC, 0, out.data + out.start, buf_size(&out), &offset);
	buf_done(&out);
	if (!err) {
		assert_int_equal(offset, m->count);
		m->count += count;
	}
	return err;
}

static bool is_last(const struct model *m, int offset, int64_t to)
{
	for (int64_t i = offset + 1; i < to; i++)
		if (m->records[i].key == m->records[offset].key)
			return false;
	return true;
}

static void check_record(const struct model *m, const struct record *r)
{
	char key[16], value[64];
	int i = (int)r->offset;
	assert_in_range(r->offset, 0, m->count - 1);
	snprintf(key, sizeof key, "k%d", m->records[i].key);
	snprintf(value, sizeof value, "value %d of some length to fill segments", i);
	assert_true(bytes_equal(r->key, bytes_str(key)));
	assert_int_equal(r->value_null, m->records[i].tombstone);
	assert_true(r->value_null || bytes_equal(r->value, bytes_str(value)));
	assert_int_equal(r->timestamp_ms, T0 + i);
}

struct found {
	const struct model *model;
	bool *at;
	int64_t next;
};

static void note_found(void *arg, const struct log_read_result *read, struct batch_reader *batch)
{
	struct found *f = arg;
	struct record record;
	enum sm_err err;
	assert_int_equal(batch->info.base_offset, f->next);
	f->next += batch->info.last_offset_delta + 1;
	while (!(err = batch_next(batch, &record))) {
		check_record(f->model, &record);
		f->at[record.offset] = true;
	}
	assert_int_equal(err, SM_END);
}

/* All batches follow each other; found[offset] says which records are there. */
static void read_all(struct bench_log *b, const struct model *m, bool *found)
{
	struct found f = {m, found, 0};
	memset(found, 0, RECORDS_MAX);
	int64_t end = testing_walk(b, (struct testing_walk){TOPIC, 0, 0, 3000, false, note_found, &f});
	assert_int_equal(end, m->count);
}

/* tombstones_may_go: of the part that was compacted. */
static void check(struct bench_log *b, const struct model *m, int64_t clean_to, bool tombstones_may_go)
{
	static bool found[RECORDS_MAX];
	read_all(b, m, found);
	for (int i = 0; i < m->count; i++) {
		bool last = is_last(m, i, i < clean_to ? clean_to : 0);
		if (i >= clean_to && !found[i])
			fail_msg("offset %d is lost", i);
		if (i < clean_to && found[i] && !last)
			fail_msg("offset %d is there, though its key comes again before %lld", i, (long long)clean_to);
		if (last && !found[i] && is_last(m, i, m->count) && !(m->records[i].tombstone && tombstones_may_go))
			fail_msg("offset %d is the last of its key and lost", i);
	}
}

static void what_stays_is_what_the_model_says(void **state)
{
	for (unsigned seed = 1; seed <= 12; seed++) {
		struct bench_log b;
		static struct model m;
		m = (struct model){.seed = seed};
		testing_begin(&b);
		topic_make(&b, NULL, NULL);
		if (seed % 2)
			((struct engine *)b.log)->compact_keys_max = 7 + seed;
		for (int step = 0; step < 700; step++) {
			assert_int_equal(append_some(&b, &m), SM_OK);
			if (pick(&m, 60) == 0) {
				assert_int_equal(compact(&b, T0 + m.count), SM_OK);
				check(&b, &m, the_partition(&b)->clean_to, false);
			}
			if (pick(&m, 150) == 0)
				testing_reopen(&b);
		}
		assert_int_equal(compact(&b, T0 + m.count), SM_OK);
		int64_t clean_to = the_partition(&b)->clean_to;
		assert_int_equal(clean_to, the_partition(&b)->segments[the_partition(&b)->segment_count - 1]->base_offset);
		check(&b, &m, clean_to, false);
		testing_reopen(&b);
		check(&b, &m, clean_to, false);
		testing_end(&b);
	}
}

static uint64_t bytes_of_all(struct bench_log *b)
{
	uint64_t bytes = 0;
	assert_int_equal(log__partition_bytes(the_partition(b), &bytes), SM_OK);
	return bytes;
}

static void small_segments_become_one_and_space_comes_back(void **state)
{
	struct bench_log b;
	static struct model m;
	m = (struct model){.seed = 3};
	testing_begin(&b);
	topic_make(&b, NULL, NULL);
	while (m.count < 3000)
		assert_int_equal(append_some(&b, &m), SM_OK);
	uint64_t before = bytes_of_all(&b);
	for (int i = 0; i < 4; i++) { /* a segment's size before it was cleaned decides what is put together */
		assert_int_equal(compact(&b, T0), SM_OK);
		while (the_partition(&b)->segments[the_partition(&b)->segment_count - 1]->base_offset <= the_partition(&b)->clean_to)
			assert_int_equal(append_some(&b, &m), SM_OK);
	}
	assert_int_equal(compact(&b, T0), SM_OK);
	assert_in_range(the_partition(&b)->segment_count, 2, 4);
	assert_true(bytes_of_all(&b) < before / 4);
	testing_end(&b);
}

static void tombstone_goes_after_its_horizon(void **state)
{
	struct bench_log b;
	static struct model m;
	static bool found[RECORDS_MAX];
	m = (struct model){.seed = 5};
	testing_begin(&b);
	topic_make(&b, "delete.retention.ms", "1000");
	while (m.count < 1000)
		assert_int_equal(append_some(&b, &m), SM_OK);
	assert_int_equal(compact(&b, T0), SM_OK);
	int64_t clean_to = the_partition(&b)->clean_to;
	for (int round = 0; round < 2; round++) {
		int there = 0;
		int64_t last = the_partition(&b)->clean_to;
		read_all(&b, &m, found);
		for (int i = 0; i < clean_to; i++)
			there += found[i] && m.records[i].tombstone;
		if (round == 0 ? there == 0 : there != 0)
			fail_msg("round %d: %d tombstones before %lld", round, there, (long long)clean_to);
		while (the_partition(&b)->segments[the_partition(&b)->segment_count - 1]->base_offset <= last)
			assert_int_equal(append_some(&b, &m), SM_OK);
		assert_int_equal(compact(&b, round == 0 ? T0 + 1000 : T0 + 1001), SM_OK);
		check(&b, &m, the_partition(&b)->clean_to, true);
	}
	testing_end(&b);
}

static void lag_and_ratio_say_when(void **state)
{
	struct bench_log b;
	static struct model m;
	struct sm_error error;
	m = (struct model){.seed = 7};
	testing_begin(&b);
	topic_make(&b, "min.compaction.lag.ms", "500");
	while (m.count < 2000)
		assert_int_equal(append_some(&b, &m), SM_OK);
	assert_int_equal(compact(&b, T0 + 1000), SM_OK);
	int64_t clean_to = the_partition(&b)->clean_to;
	assert_in_range(clean_to, 1, 500); /* those that are 500 ms old */
	check(&b, &m, clean_to, false);
	const struct log_config ratio[] = {{"min.cleanable.dirty.ratio", "1"}, {"min.compaction.lag.ms", "0"}};
	assert_int_equal(
		log_topic_change_wait(b.log, &(struct log_topic_change){.name = TOPIC, .configs = ratio, .config_count = 2}, &error),
		SM_OK);
	assert_int_equal(compact(&b, T0 + 1000), SM_OK);
	assert_int_equal(the_partition(&b)->clean_to, clean_to);
	const struct log_config lag[] = {{"max.compaction.lag.ms", "100"}};
	assert_int_equal(log_topic_change_wait(b.log, &(struct log_topic_change){.name = TOPIC, .configs = lag, .config_count = 1}, &error),
			 SM_OK);
	assert_int_equal(compact(&b, T0 + 1000), SM_OK);
	assert_true(the_partition(&b)->clean_to > clean_to);
	testing_end(&b);
}

static void open_with(struct bench_log *b, struct io *io)
{
	memset(b, 0, sizeof *b);
	testing_dir(b);
	testing_system(b);
	b->options.io = io;
	testing_open(b);
	topic_make(b, NULL, NULL);
}

/* Fail the Nth changing call of a compaction. Returns false when it had fewer. */
static bool compaction_survives(uint64_t nth, bool power_loss, uint64_t *calls)
{
	struct bench_log b;
	static struct model m;
	struct sm_error error;
	struct io_fault_plan plan = {.fail_at = nth ? *calls + nth : 0, .fail_after = power_loss, .tear_bytes = nth * 97 % 1000};
	struct io *io = io_fault_new(&plan);
	m = (struct model){.seed = 11};
	open_with(&b, io);
	while (m.count < 600)
		assert_int_equal(append_some(&b, &m), SM_OK);
	if (nth == 0)
		*calls = io_fault_calls(io);
	else
		assert_int_equal(io_fault_calls(io), *calls);
	enum sm_err err = compact(&b, T0 + m.count);
	int64_t clean_to = err ? 0 : the_partition(&b)->clean_to;
	bool failed = nth && io_fault_calls(io) >= *calls + nth;
	static bool found[RECORDS_MAX];
	read_all(&b, &m, found); /* whatever happened */
	for (int i = 0; i < m.count; i++)
		if (!found[i] && is_last(&m, i, m.count))
			fail_msg("call %llu: offset %d is lost at once", (unsigned long long)nth, i);
	(void)!b.log->ops->close(b.log, &error);
	if (power_loss)
		assert_int_equal(io_fault_power_loss(io, nth, &error), SM_OK);
	b.options.io = power_loss ? io : NULL;
	testing_open(&b);
	read_all(&b, &m, found);
	for (int i = 0; i < m.count; i++)
		if (!found[i] && is_last(&m, i, m.count))
			fail_msg("call %llu: offset %d is lost at the start", (unsigned long long)nth, i);
	if (!err)
		check(&b, &m, clean_to, false);
	assert_int_equal(compact(&b, T0 + m.count), SM_OK);
	check(&b, &m, the_partition(&b)->clean_to, false);
	testing_end(&b);
	io_fault_free(io);
	return failed;
}

static void crash_at_any_call_leaves_the_old_or_the_new(void **state)
{
	uint64_t calls = 0;
	compaction_survives(0, false, &calls);
	for (int power_loss = 0; power_loss < 2; power_loss++) {
		uint64_t nth = 1;
		while (compaction_survives(nth, power_loss, &calls))
			nth++;
		assert_true(nth > 15);
	}
}

struct reading {
	struct bench_log *b;
	struct model *m;
	atomic_bool stop;
};

static void *reads(void *arg)
{
	struct reading *r = arg;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	while (!atomic_load(&r->stop)) {
		int64_t offset = 0, time;
		assert_int_equal(r->b->log->ops->offset_for(r->b->log, TOPIC, 0, T0 + 700, &offset, &time), SM_OK);
		assert_true(offset >= 700);
		for (offset = 0;;) {
			struct log_read_result got;
			struct bytes data;
			struct batch_info info;
			assert_int_equal(r->b->log->ops->read(r->b->log, TOPIC, 0, offset, 5000, &got), SM_OK);
			if (!got.slice.size)
				break;
			assert_int_equal(log_slice_bytes(&got.slice, &buffer, &cap, &data), SM_OK);
			for (; data.size; data = bytes_of(data.data + info.size, data.size - info.size)) {
				assert_int_equal(batch_parse(data, &info), SM_OK);
				assert_true(batch_crc_ok(data, &info));
				assert_in_range(offset, info.base_offset, info.base_offset + info.last_offset_delta);
				offset = info.base_offset + info.last_offset_delta + 1;
			}
			log_slice_done(&got.slice);
		}
	}
	free(buffer);
	return NULL;
}

static void readers_go_on_while_files_change_places(void **state)
{
	struct bench_log b;
	static struct model m;
	pthread_t threads[2];
	struct reading reading = {.b = &b, .m = &m};
	struct log_read_result before;
	m = (struct model){.seed = 13};
	testing_begin(&b);
	topic_make(&b, NULL, NULL);
	while (m.count < 800)
		assert_int_equal(append_some(&b, &m), SM_OK);
	assert_int_equal(b.log->ops->read(b.log, TOPIC, 0, 0, 5000, &before), SM_OK);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reads, &reading), 0);
	while (m.count < 5000) {
		for (int i = 0; i < 20; i++)
			assert_int_equal(append_some(&b, &m), SM_OK);
		assert_int_equal(compact(&b, T0 + m.count), SM_OK);
	}
	atomic_store(&reading.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	uint8_t *buffer = NULL;
	size_t cap = 0;
	struct bytes data;
	struct batch_info info;
	assert_int_equal(log_slice_bytes(&before.slice, &buffer, &cap, &data), SM_OK); /* a slice of a file that went */
	assert_int_equal(batch_parse(data, &info), SM_OK);
	assert_true(batch_crc_ok(data, &info));
	free(buffer);
	log_slice_done(&before.slice);
	check(&b, &m, the_partition(&b)->clean_to, false);
	testing_end(&b);
}

static void refused_is_named(void *arg, const struct log_append_result *result)
{
	*(struct log_append_result *)arg = *result;
}

static void record_without_key_is_refused_and_named(void **state)
{
	struct bench_log b;
	struct buf out;
	struct batch_builder builder;
	struct log_append_result result = {.err = SM_OK};
	testing_begin(&b);
	topic_make(&b, NULL, NULL);
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_GZIP);
	for (int i = 0; i < 3; i++)
		batch_add(&builder, &(struct record){.timestamp_ms = T0, .key_null = i == 1, .value = bytes_str("v")}, NULL, 0);
	assert_int_equal(batch_end(&builder), SM_OK);
	b.log->ops->append(b.log, TOPIC, 0, out.data + out.start, buf_size(&out), 0, refused_is_named, &result);
	assert_int_equal(result.err, SM_INVALID);
	assert_int_equal(result.refused.why, BATCH_WITHOUT_KEY);
	assert_int_equal(result.refused.count, 1);
	assert_int_equal(result.refused.records[0], 1);
	buf_done(&out);
	testing_end(&b);
}

static void rot_is_not_copied(void **state)
{
	struct bench_log b;
	static struct model m;
	m = (struct model){.seed = 17};
	testing_begin(&b);
	topic_make(&b, NULL, NULL);
	while (m.count < 600)
		assert_int_equal(append_some(&b, &m), SM_OK);
	testing_reopen(&b);
	FILE *f = fopen(the_partition(&b)->segments[1]->path, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, SEGMENT_HEADER + 200, SEEK_SET), 0);
	fputc(0x5a, f);
	fclose(f);
	assert_int_equal(compact(&b, T0), SM_CORRUPT);
	assert_int_equal(the_partition(&b)->clean_to, 0);
	/* It is told once, with the offset; whoever reads there is refused as before. */
	struct partition *p = the_partition(&b);
	int64_t ended = metric_get(METRIC_LOG_UNCLEANABLE), damaged = -1;
	char want[200];
	log__cleaner_visit(p, T0);
	log__cleaner_visit(p, T0);
	assert_int_equal(metric_get(METRIC_LOG_UNCLEANABLE), ended + 1);
	for (int64_t i = 0; i < m.count && damaged < 0; i++) {
		struct log_read_result r;
		if (b.log->ops->read(b.log, TOPIC, 0, i, 1, &r))
			damaged = i;
		else
			log_slice_done(&r.slice);
	}
	snprintf(want, sizeof want, TOPIC "-0 has ended until the next start: %s: offset %lld cannot be read", p->dir, (long long)damaged);
	char *told = strstr(b.notices, want);
	assert_non_null(told);
	assert_null(strstr(told + strlen(want), "has ended until"));
	testing_end(&b);
}

struct waited {
	sem_t done;
	struct log_append_result result;
};

static void waited_for(void *arg, const struct log_append_result *result)
{
	struct waited *w = arg;
	w->result = *result;
	sem_post(&w->done);
}

static int64_t txn_append(struct bench_log *b, int64_t producer, int32_t sequence, const char *key, const char *text)
{
	struct buf out;
	struct batch_builder builder;
	struct waited w;
	sem_init(&w.done, 0, 0);
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_NONE);
	batch_set_producer(&builder, producer, 0, sequence);
	batch_set_kind(&builder, BATCH_TRANSACTIONAL);
	batch_add(&builder, &(struct record){.timestamp_ms = T0, .key = bytes_str(key), .value = bytes_str(text)}, NULL, 0);
	assert_int_equal(batch_end(&builder), SM_OK);
	b->log->ops->append(b->log, TOPIC, 0, out.data + out.start, buf_size(&out), LOG_TXN, waited_for, &w);
	sem_wait(&w.done);
	assert_int_equal(w.result.err, SM_OK);
	buf_done(&out);
	return w.result.base_offset;
}

static void txn_finish(struct bench_log *b, int64_t producer, bool commit)
{
	struct waited w;
	sem_init(&w.done, 0, 0);
	b->log->ops->txn_end(b->log, TOPIC, 0, &(struct log_txn_marker){.producer_id = producer, .commit = commit}, waited_for, &w);
	sem_wait(&w.done);
	assert_int_equal(w.result.err, SM_OK);
}

static void roll(struct bench_log *b)
{
	static const char filler[3000];
	struct buf out;
	struct batch_builder builder;
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_NONE);
	batch_add(&builder, &(struct record){.timestamp_ms = T0, .key = bytes_str("roll"), .value = bytes_of(filler, sizeof filler)}, NULL,
		  0);
	assert_int_equal(batch_end(&builder), SM_OK);
	assert_int_equal(log_append_wait(b->log, TOPIC, 0, out.data + out.start, buf_size(&out), NULL), SM_OK);
	buf_done(&out);
}

struct values {
	char *out;
	size_t size;
};

static void add_values(void *arg, const struct log_read_result *read, struct batch_reader *batch)
{
	struct values *v = arg;
	struct record record;
	while (!(batch->info.attributes & BATCH_CONTROL) && batch_next(batch, &record) == SM_OK)
		if (bytes_equal(record.key, bytes_str("k")))
			snprintf(v->out + strlen(v->out), v->size - strlen(v->out), "%.*s ", (int)record.value.size,
				 (const char *)record.value.data);
}

/* Values of key k that are there, in order. */
static void values_of(struct bench_log *b, char *out, size_t size)
{
	struct values v = {out, size};
	*out = 0;
	testing_walk(b, (struct testing_walk){TOPIC, 0, 0, 1 << 20, true, add_values, &v});
}

static void aborted_records_go_and_hide_nothing(void **state)
{
	struct bench_log b;
	char values[200];
	testing_begin(&b);
	topic_make(&b, NULL, NULL);
	txn_append(&b, 7, 0, "k", "committed");
	txn_finish(&b, 7, true);
	txn_append(&b, 7, 1, "k", "aborted");
	txn_finish(&b, 7, false);
	roll(&b);
	int64_t open = txn_append(&b, 8, 0, "k", "open");
	roll(&b);
	roll(&b);
	assert_int_equal(compact(&b, T0), SM_OK);
	assert_in_range(the_partition(&b)->clean_to, 1, open);
	values_of(&b, values, sizeof values);
	assert_string_equal(values, "committed open ");
	txn_finish(&b, 8, false);
	roll(&b);
	roll(&b);
	assert_int_equal(compact(&b, T0), SM_OK);
	assert_true(the_partition(&b)->clean_to > open);
	values_of(&b, values, sizeof values);
	assert_string_equal(values, "committed ");
	testing_reopen(&b);
	assert_int_equal(compact(&b, T0), SM_OK);
	values_of(&b, values, sizeof values);
	assert_string_equal(values, "committed ");
	testing_end(&b);
}

struct cleaning {
	struct partition *p;
	enum sm_err err;
};

static void *compacts(void *arg)
{
	struct cleaning *c = arg;
	struct sm_error error;
	while (!(c->err = log__partition_compact(c->p, T0, &error)))
		;
	return NULL;
}

static void topic_is_deleted_under_a_compaction(void **state)
{
	for (int round = 0; round < 10; round++) {
		struct bench_log b;
		static struct model m;
		struct sm_error error;
		pthread_t thread;
		m = (struct model){.seed = 19 + (unsigned)round};
		testing_begin(&b);
		topic_make(&b, NULL, NULL);
		while (m.count < 300)
			assert_int_equal(append_some(&b, &m), SM_OK);
		struct cleaning c = {.p = log__partition_ref(the_partition(&b))};
		assert_int_equal(pthread_create(&thread, NULL, compacts, &c), 0);
		while (m.count < 300 + round * 40)
			assert_int_equal(append_some(&b, &m), SM_OK);
		if (log_topic_delete_wait(b.log, TOPIC, &error))
			fail_msg("%s", error.text);
		pthread_join(thread, NULL);
		assert_int_equal(c.err, SM_CANCELLED);
		assert_int_not_equal(access(c.p->dir, F_OK), 0);
		log__partition_unref(c.p);
		testing_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_stays_is_what_the_model_says),
		cmocka_unit_test(small_segments_become_one_and_space_comes_back),
		cmocka_unit_test(tombstone_goes_after_its_horizon),
		cmocka_unit_test(lag_and_ratio_say_when),
		cmocka_unit_test(crash_at_any_call_leaves_the_old_or_the_new),
		cmocka_unit_test(readers_go_on_while_files_change_places),
		cmocka_unit_test(record_without_key_is_refused_and_named),
		cmocka_unit_test(rot_is_not_copied),
		cmocka_unit_test(aborted_records_go_and_hide_nothing),
		cmocka_unit_test(topic_is_deleted_under_a_compaction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
