/* What the tests of this room share: a real log and a real store in a directory of their own, and a store whose writes fail. */
#ifndef STREAM_TESTING_H
#define STREAM_TESTING_H

#include "base/io.h"
#include "stream/stream_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PARTITIONS 3
#define CAMPAIGNS 4
#define DAYS 3

/* ---- a store whose writes fail ---- */

struct faulty {
	struct sm_store store;
	struct store_ops ops;
	struct sm_store *real;
	uint64_t applies, fail_at; /* the Nth batch fails; 0: none */
	bool after;                /* it is written all the same */
};
static inline const struct store_schema *faulty_schema(struct sm_store *s)
{
	return ((struct faulty *)s)->real->ops->schema(((struct faulty *)s)->real);
}
static inline void faulty_release(struct sm_store *s, const struct store_schema *schema)
{
	((struct faulty *)s)->real->ops->schema_release(((struct faulty *)s)->real, schema);
}
static inline void faulty_change(struct sm_store *s, const struct store_change *change, void (*done)(void *, const struct sm_error *),
				 void *arg)
{
	((struct faulty *)s)->real->ops->change(((struct faulty *)s)->real, change, done, arg);
}
static inline void faulty_apply(struct sm_store *s, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct faulty *f = (struct faulty *)s;
	if (++f->applies != f->fail_at) {
		f->real->ops->apply(f->real, batch, done, arg);
		return;
	}
	if (f->after)
		assert_int_equal(store_apply_wait(f->real, batch), SM_OK);
	done(arg, SM_IO);
}
static inline enum sm_err faulty_open(struct sm_store *s, const struct store_read *read, struct store_cursor **ret, struct sm_error *reterr)
{
	return ((struct faulty *)s)->real->ops->open(((struct faulty *)s)->real, read, ret, reterr);
}
static inline enum sm_err faulty_epoch(struct sm_store *s, const char *job, uint64_t *ret, struct sm_error *reterr)
{
	return ((struct faulty *)s)->real->ops->job_epoch(((struct faulty *)s)->real, job, ret, reterr);
}

/* ---- a platform ---- */

struct platform {
	char dir[64];
	struct sm_system *system;
	struct sm_log *log;
	struct sm_store *store;
	struct faulty faulty;
	struct schema *schema;
	struct compute_env env;
	/* what must come out */
	uint32_t events, bad;
	uint32_t views[CAMPAIGNS][DAYS], clicks[CAMPAIGNS][DAYS];
};

static inline const struct schema *schema_of(void *arg, const char *topic)
{
	return strcmp(topic, "raw_events") == 0 ? ((struct platform *)arg)->schema : NULL;
}

struct column_def {
	const char *name;
	enum store_type_id type;
	enum store_column_kind kind;
};

static inline void make_table(struct platform *p, const char *name, const struct column_def *defs, uint16_t count)
{
	struct store_column columns[8] = {0};
	uint16_t counts[4] = {0};
	struct sm_error error = {0};
	for (uint16_t i = 0; i < count; i++)
		columns[i] = (struct store_column){
			.name = defs[i].name, .type = {.id = defs[i].type}, .kind = defs[i].kind, .position = counts[defs[i].kind]++};
	struct store_table t = {.keyspace = "ads",
				.name = name,
				.columns = columns,
				.column_count = count,
				.partition_key_count = counts[0],
				.clustering_count = counts[1],
				.regular_count = counts[3],
				.gc_grace_s = 864000};
	if (store_change_wait(p->store,
			      &(struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = "ads", .table = name, .new_table = &t},
			      &error))
		fail_msg("%s", error.text);
}

static inline void make_tables(struct platform *p)
{
	static const struct store_option replication[] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
	static const struct column_def event[] = {{"id", STORE_UUID, STORE_PARTITION_KEY},
						  {"ad_id", STORE_UUID, STORE_REGULAR},
						  {"campaign", STORE_UUID, STORE_REGULAR},
						  {"ts", STORE_BIGINT, STORE_REGULAR},
						  {"type", STORE_TEXT, STORE_REGULAR}};
	static const struct column_def campaign[] = {{"id", STORE_UUID, STORE_PARTITION_KEY}, {"year", STORE_INT, STORE_CLUSTERING},
						     {"month", STORE_INT, STORE_CLUSTERING},  {"day", STORE_INT, STORE_CLUSTERING},
						     {"clicks", STORE_BIGINT, STORE_REGULAR}, {"views", STORE_BIGINT, STORE_REGULAR}};
	struct store_keyspace k = {.name = "ads", .durable_writes = true, .replication = replication, .replication_count = 2};
	struct sm_error error = {0};
	if (store_change_wait(p->store, &(struct store_change){.kind = STORE_CREATE_KEYSPACE, .keyspace = "ads", .new_keyspace = &k},
			      &error))
		fail_msg("%s", error.text);
	make_table(p, "event", event, 5);
	make_table(p, "campaign", campaign, 6);
}

static inline struct platform *platform_new(const char *event_schema, int32_t partitions)
{
	struct platform *p = calloc(1, sizeof *p);
	struct sm_error error = {0};
	char dir[100];
	strcpy(p->dir, "/tmp/smack-stream-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(sm_system_new(&(struct sm_system_options){.dispatchers = 1, .pool_threads = 4}, &p->system, &error), SM_OK);
	snprintf(dir, sizeof dir, "%s/log", p->dir);
	if (log_embedded_open(&(struct log_embedded_options){.system = p->system, .dir = dir}, &p->log, &error))
		fail_msg("%s", error.text);
	snprintf(dir, sizeof dir, "%s/store", p->dir);
	if (store_embedded_open(
		    &(struct store_embedded_options){
			    .system = p->system, .dir = dir, .memtable_bytes = 1 << 20, .block_cache_bytes = 1 << 20},
		    &p->store, &error))
		fail_msg("%s", error.text);
	if (event_schema && schema_compile(bytes_str(event_schema), &p->schema, &error))
		fail_msg("%s", error.text);
	p->faulty = (struct faulty){.ops = *p->store->ops, .real = p->store};
	p->faulty.ops.schema = faulty_schema;
	p->faulty.ops.schema_release = faulty_release;
	p->faulty.ops.change = faulty_change;
	p->faulty.ops.apply = faulty_apply;
	p->faulty.ops.open = faulty_open;
	p->faulty.ops.job_epoch = faulty_epoch;
	p->faulty.store.ops = &p->faulty.ops;
	p->env = (struct compute_env){.log = p->log, .store = &p->faulty.store, .topic_schema = schema_of, .arg = p, .threads = 2};
	if (log_topic_create_wait(p->log, &(struct log_topic_spec){.name = "raw_events", .partitions = partitions, .replication_factor = 1},
				  &error))
		fail_msg("%s", error.text);
	make_tables(p);
	return p;
}

static inline void platform_free(struct platform *p)
{
	assert_int_equal(p->store->ops->close(p->store, NULL), SM_OK);
	assert_int_equal(p->log->ops->close(p->log, NULL), SM_OK);
	assert_int_equal(sm_system_stop(p->system, 10000), SM_OK);
	schema_free(p->schema);
	assert_int_equal(io_remove_tree(&io_system, p->dir, NULL), SM_OK);
	free(p);
}

static inline void append(struct platform *p, int32_t partition, const char *value)
{
	struct batch_builder b;
	struct buf out;
	int64_t offset;
	buf_init(&out);
	batch_begin(&b, &out, CODEC_NONE);
	batch_add(&b, &(struct record){.timestamp_ms = 1574553617004, .key = BYTES("k"), .value = bytes_str(value)}, NULL, 0);
	assert_int_equal(batch_end(&b), SM_OK);
	assert_int_equal(log_append_wait(p->log, "raw_events", partition, out.data + out.start, buf_size(&out), &offset), SM_OK);
	buf_done(&out);
}

static inline enum sm_err show_rows(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < batch->rows; i++) {
		for (uint32_t k = 0; k < batch->type->field_count; k++) {
			struct value v = batch_get(batch, k, i);
			char uuid[37];
			if (v.null)
				buf_append_str(arg, "NULL ");
			else if (v.type == COLUMN_UUID) {
				uuid_format((const struct uuid *)v.bytes.data, uuid);
				buf_printf(arg, "%s ", uuid + 24);
			} else if (v.type == COLUMN_TEXT)
				buf_printf(arg, "%.*s ", (int)v.bytes.size, (const char *)v.bytes.data);
			else
				buf_printf(arg, "%lld ", (long long)v.integer);
		}
		buf_append_str(arg, "\n");
	}
	return SM_OK;
}

static inline uint32_t count_rows(struct platform *p, const char *sql, char *out, size_t size)
{
	struct compute_env env = p->env;
	struct sql_script *s;
	struct sm_error error = {0};
	struct buf text;
	uint64_t rows;
	env.store = p->store;
	buf_init(&text);
	if (sql_parse(bytes_str(sql), &s, &error) || sql_run(&env, sql_script_at(s, 0), NULL, 0, show_rows, &text, &rows, &error))
		fail_msg("%s: %s", sql, error.text);
	if (out)
		snprintf(out, size, "%.*s", (int)buf_size(&text), (const char *)buf_bytes(&text).data);
	buf_done(&text);
	sql_script_free(s);
	return (uint32_t)rows;
}

/* Of raw_events.dead, each record's source position once. */
static inline uint32_t dead_letters(struct platform *p)
{
	struct map seen;
	uint32_t count = 0;
	int64_t at = 0;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	map_init(&seen);
	for (;;) {
		struct log_read_result r;
		struct bytes data;
		if (p->log->ops->read(p->log, "raw_events.dead", 0, at, 1 << 20, &r))
			break;
		if (r.slice.size == 0) {
			log_slice_done(&r.slice);
			break;
		}
		assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK);
		while (data.size) {
			struct batch_reader reader;
			struct record record;
			assert_int_equal(batch_reader_init(&reader, data), SM_OK);
			while (batch_next(&reader, &record) == SM_OK) {
				struct record_header h[5];
				char key[100];
				assert_int_equal(record.header_count, 5);
				for (int i = 0; i < 5; i++)
					assert_int_equal(record_header_next(&record.headers_raw, &h[i]), SM_OK);
				int n = snprintf(key, sizeof key, "%.*s/%.*s", (int)h[2].value.size, (const char *)h[2].value.data,
						 (int)h[3].value.size, (const char *)h[3].value.data);
				if (map_get(&seen, bytes_of(key, (size_t)n)))
					fail_msg("dead letter %s twice", key);
				assert_int_equal(map_put(&seen, bytes_of(key, (size_t)n), &seen, NULL), SM_OK);
				assert_true(h[4].value.size > 10 && h[4].value.data[0] == '{');
				count++;
			}
			at = reader.info.base_offset + reader.info.last_offset_delta + 1;
			data = bytes_of(data.data + reader.info.size, data.size - reader.info.size);
			batch_reader_done(&reader);
		}
		log_slice_done(&r.slice);
	}
	free(buffer);
	map_done(&seen);
	return count;
}

#endif
