/* What the tests on the simulation share: a log and a store in memory whose operations end when a test's seed says so, in any order, and
 * fail as it says: refused, lost, or done though they say that they failed. */
#ifndef PERSIST_FAKE_TESTING_H
#define PERSIST_FAKE_TESTING_H

#include "actor/sim_testing.h"
#include "persist/persist_internal.h"

#define FAKE_PARTITIONS 2
#define FAKE_PRODUCERS 64
#define FAKE_IDS 8
#define FAKE_TOPIC "events"

struct fake_batch {
	int32_t partition;
	int64_t offset, next;
	uint8_t *bytes;
	size_t size;
};
struct fake_producer {
	int64_t id;
	int32_t partition;
	int16_t epoch;
	int32_t last; /* sequence */
	int32_t first_of[5], last_of[5];
	int64_t offset_of[5];
	uint32_t batches;
};
struct fake_snapshot {
	int64_t sequence, position, wrote;
	uint8_t *data;
	int32_t size;
	char type[64];
};
struct fake_row {
	char id[64];
	int64_t writer, fence, first, partitions;
	int64_t writer_us, first_us;
	bool has_writer, has_first, has_partitions;
	struct fake_snapshot snapshots[64];
	uint32_t count;
};
/* An operation that has not ended. */
struct fake_pending {
	struct fake_pending *next;
	bool append;
	int32_t partition;
	uint8_t *bytes;
	size_t size;
	unsigned flags;
	log_append_done append_done;
	const struct store_batch *batch;
	void (*apply_done)(void *arg, enum sm_err err);
	void *arg;
	struct log_wait *wait; /* neither of both */
};
struct fake {
	struct sm_log log;
	struct sm_store store;
	struct sm_system *system;
	/* what may happen, in percent of the operations */
	uint32_t refuse, fail, forget;
	bool plain; /* an engine that knows no producers, and keeps records one by one */
	struct fake_batch *batches;
	uint32_t batch_count, batch_cap;
	int64_t ends[FAKE_PARTITIONS];
	struct fake_producer producers[FAKE_PRODUCERS];
	uint32_t producer_count;
	struct fake_row rows[FAKE_IDS];
	uint32_t row_count;
	struct fake_pending *pending;
	uint32_t pending_count;
	struct log_topic topic;
	struct log_topics topics;
	struct store_table table;
	const struct store_table *tables[1];
	struct store_keyspace keyspace;
	struct store_schema schema;
	char keyspace_name[64];
};
static inline struct fake *fake_of_log(struct sm_log *log)
{
	return (struct fake *)((char *)log - offsetof(struct fake, log));
}
static inline struct fake *fake_of_store(struct sm_store *store)
{
	return (struct fake *)((char *)store - offsetof(struct fake, store));
}
static inline bool fake_chance(struct fake *f, uint32_t percent)
{
	return percent && sm_sim_random(f->system, 100) < percent;
}

/* ---- the log ---- */

static inline const struct log_topics *fake_topics(struct sm_log *log)
{
	return &fake_of_log(log)->topics;
}
static inline void fake_topics_release(struct sm_log *log, const struct log_topics *topics) {}

static inline void fake_keep(struct fake *f, int32_t partition, const uint8_t *bytes, size_t size, int64_t records)
{
	if (f->batch_count == f->batch_cap) {
		f->batch_cap = f->batch_cap ? f->batch_cap * 2 : 64;
		f->batches = realloc(f->batches, f->batch_cap * sizeof *f->batches);
		assert_non_null(f->batches);
	}
	struct fake_batch *b = &f->batches[f->batch_count++];
	*b = (struct fake_batch){partition, f->ends[partition], f->ends[partition] + records, malloc(size), size};
	assert_non_null(b->bytes);
	memcpy(b->bytes, bytes, size);
	batch_set_offset(b->bytes, b->offset, 0);
	f->ends[partition] = b->next;
}

static inline struct fake_producer *fake_producer(struct fake *f, int32_t partition, int64_t id)
{
	for (uint32_t i = 0; i < f->producer_count; i++)
		if (f->producers[i].id == id && f->producers[i].partition == partition)
			return &f->producers[i];
	return NULL;
}

/* As the embedded log does. SM_DUPLICATE: *ret_offset is where it is. */
static inline enum sm_err fake_check(struct fake *f, int32_t partition, const struct batch_info *info, unsigned flags, int64_t *ret_offset)
{
	const struct fake_producer *p = fake_producer(f, partition, info->producer_id);
	if (!p)
		return (flags & LOG_FROM_ZERO) && info->base_sequence > 0 ? SM_SEQUENCE_GAP : SM_OK;
	if (info->producer_epoch < p->epoch)
		return SM_STALE_EPOCH;
	if (info->producer_epoch > p->epoch)
		return info->base_sequence == 0 ? SM_OK : SM_SEQUENCE_GAP;
	for (uint32_t i = 0; i < p->batches; i++)
		if (p->first_of[i] == info->base_sequence && p->last_of[i] == info->base_sequence + info->record_count - 1) {
			*ret_offset = p->offset_of[i];
			return SM_DUPLICATE;
		}
	return info->base_sequence == p->last + 1 ? SM_OK : SM_SEQUENCE_GAP;
}

static inline void fake_note(struct fake *f, int32_t partition, const struct batch_info *info, int64_t offset)
{
	struct fake_producer *p = fake_producer(f, partition, info->producer_id);
	if (!p) {
		assert_true(f->producer_count < FAKE_PRODUCERS);
		p = &f->producers[f->producer_count++];
		*p = (struct fake_producer){.id = info->producer_id, .partition = partition, .epoch = -1};
	}
	if (p->epoch != info->producer_epoch)
		p->batches = 0;
	p->epoch = info->producer_epoch;
	p->last = info->base_sequence + info->record_count - 1;
	if (p->batches == 5) {
		memmove(p->first_of, p->first_of + 1, 4 * sizeof p->first_of[0]);
		memmove(p->last_of, p->last_of + 1, 4 * sizeof p->last_of[0]);
		memmove(p->offset_of, p->offset_of + 1, 4 * sizeof p->offset_of[0]);
		p->batches--;
	}
	p->first_of[p->batches] = info->base_sequence;
	p->last_of[p->batches] = p->last;
	p->offset_of[p->batches++] = offset;
}

/* Record by record, at most `most` of them, after the first `skip`. */
static inline void fake_keep_plain(struct fake *f, int32_t partition, struct bytes data, uint32_t most, uint32_t skip)
{
	struct batch_reader reader;
	struct record record;
	assert_int_equal(batch_reader_init(&reader, data), SM_OK);
	while (most-- && !batch_next(&reader, &record)) {
		struct buf out;
		struct batch_builder builder;
		struct record_header headers[80], h;
		uint32_t count = 0;
		struct bytes raw = record.headers_raw;
		if (skip && skip--)
			continue;
		while (!record_header_next(&raw, &h))
			headers[count++] = h;
		buf_init(&out);
		batch_begin(&builder, &out, CODEC_NONE);
		batch_add(&builder, &record, headers, count);
		assert_int_equal(batch_end(&builder), SM_OK);
		fake_keep(f, partition, out.data + out.start, buf_size(&out), 1);
		buf_done(&out);
	}
	batch_reader_done(&reader);
}

static inline void fake_end_append(struct fake *f, struct fake_pending *op)
{
	struct log_append_result result = {.base_offset = -1, .log_append_time_ms = -1};
	struct batch_info info;
	int64_t there = -1;
	assert_int_equal(batch_parse(bytes_of(op->bytes, op->size), &info), SM_OK);
	assert_true(batch_crc_ok(bytes_of(op->bytes, op->size), &info));
	if (fake_chance(f, f->forget))
		f->producer_count = 0;
	bool fails = fake_chance(f, f->fail), refused = fake_chance(f, f->refuse);
	int64_t offset = f->ends[op->partition];
	uint32_t most = (uint32_t)info.record_count;
	if (fails || (refused && f->plain)) /* some of them are there */
		most = (uint32_t)sm_sim_random(f->system, most + (fails ? 1 : 0));
	if (f->plain) {
		uint32_t skip = (fails || refused) && most ? (uint32_t)sm_sim_random(f->system, 2) : 0; /* or their first is not */
		fake_keep_plain(f, op->partition, bytes_of(op->bytes, op->size), most, skip);
	} else if (!refused) {
		result.err = fake_check(f, op->partition, &info, op->flags, &there);
		if (result.err == SM_DUPLICATE) {
			offset = there;
			result.err = SM_OK;
		} else if (!result.err && (!fails || most == (uint32_t)info.record_count)) {
			fake_note(f, op->partition, &info, offset);
			fake_keep(f, op->partition, op->bytes, op->size, info.record_count);
		}
	}
	if (!result.err)
		result.err = fails ? SM_IO : refused ? SM_FULL : SM_OK;
	result.base_offset = result.err ? -1 : offset;
	op->append_done(op->arg, &result);
}

static inline enum sm_err fake_read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				    struct log_read_result *ret_result)
{
	struct fake *f = fake_of_log(log);
	*ret_result = (struct log_read_result){.slice = {.fd = -1}, .high_watermark = f->ends[partition]};
	if (offset < 0 || offset > f->ends[partition])
		return SM_OUT_OF_RANGE;
	if (f->plain && fake_chance(f, 10)) /* it is there, and not shown yet */
		return SM_OK;
	for (uint32_t i = 0; i < f->batch_count; i++)
		if (f->batches[i].partition == partition && f->batches[i].next > offset) {
			ret_result->slice.data = f->batches[i].bytes;
			ret_result->slice.size = f->batches[i].size;
			break;
		}
	return SM_OK;
}

static inline enum sm_err fake_offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
					  int64_t *ret_timestamp_ms)
{
	*ret_offset = what == LOG_EARLIEST ? 0 : fake_of_log(log)->ends[partition];
	return SM_OK;
}

static inline void fake_put_off(struct fake *f, struct fake_pending op)
{
	struct fake_pending *p = malloc(sizeof *p);
	assert_non_null(p);
	*p = op;
	p->next = f->pending;
	f->pending = p;
	f->pending_count++;
}

static inline void fake_append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
			       log_append_done done, void *arg)
{
	fake_put_off(fake_of_log(log), (struct fake_pending){.append = true,
							     .partition = partition,
							     .bytes = batches,
							     .size = size,
							     .flags = flags,
							     .append_done = done,
							     .arg = arg});
}

static inline void fake_wait(struct sm_log *log, struct log_wait *wait)
{
	assert_true(wait->offset < fake_of_log(log)->ends[wait->partition]);
	fake_put_off(fake_of_log(log), (struct fake_pending){.wait = wait});
}

/* ---- the store ---- */

static inline const struct store_schema *fake_schema(struct sm_store *store)
{
	return &fake_of_store(store)->schema;
}
static inline void fake_schema_release(struct sm_store *store, const struct store_schema *schema) {}
static inline void fake_change(struct sm_store *store, const struct store_change *change,
			       void (*done)(void *arg, const struct sm_error *error), void *arg)
{
	struct fake *f = fake_of_store(store);
	if (change->kind == STORE_CREATE_TABLE) {
		snprintf(f->keyspace_name, sizeof f->keyspace_name, "%s", change->keyspace);
		f->table = *change->new_table;
		f->table.keyspace = f->keyspace_name;
		f->tables[0] = &f->table;
		f->keyspace = (struct store_keyspace){.name = f->keyspace_name, .tables = f->tables, .table_count = 1};
		f->schema = (struct store_schema){.keyspaces = &f->keyspace, .keyspace_count = 1};
	}
	done(arg, NULL);
}

static inline struct fake_row *fake_row(struct fake *f, struct store_cell id, bool make)
{
	for (uint32_t i = 0; i < f->row_count; i++)
		if (strlen(f->rows[i].id) == (size_t)id.size && memcmp(f->rows[i].id, id.data, (size_t)id.size) == 0)
			return &f->rows[i];
	if (!make)
		return NULL;
	assert_true(f->row_count < FAKE_IDS && id.size < 64);
	struct fake_row *row = &f->rows[f->row_count++];
	memcpy(row->id, id.data, (size_t)id.size);
	return row;
}

static inline int64_t fake_number(struct store_cell cell)
{
	return cell.size == 4 ? (int64_t)be32_get(cell.data) : (int64_t)be64_get(cell.data);
}

static inline void fake_set_static(struct fake_row *row, const struct store_assignment *a, int64_t us)
{
	int64_t value = fake_number(a->value);
	const char *name = a->column->name;
	if (strcmp(name, "partitions") == 0) {
		row->partitions = value;
		row->has_partitions = true;
	} else if (strcmp(name, "first") == 0) {
		if (!row->has_first || us > row->first_us || (us == row->first_us && value > row->first)) {
			row->first = value;
			row->first_us = us;
		}
		row->has_first = true;
	} else {
		int64_t *cell = strcmp(name, "fence") == 0 ? &row->fence : &row->writer;
		if (!row->has_writer || us > row->writer_us || (us == row->writer_us && value > *cell))
			*cell = value;
	}
}

static inline struct fake_snapshot *fake_snapshot(struct fake_row *row, int64_t sequence)
{
	uint32_t at = 0;
	while (at < row->count && row->snapshots[at].sequence > sequence)
		at++;
	if (at < row->count && row->snapshots[at].sequence == sequence)
		return &row->snapshots[at];
	assert_true(row->count < 64);
	memmove(row->snapshots + at + 1, row->snapshots + at, (row->count - at) * sizeof row->snapshots[0]);
	row->count++;
	row->snapshots[at] = (struct fake_snapshot){.sequence = sequence};
	return &row->snapshots[at];
}

static inline void fake_set_snapshot(struct fake_snapshot *s, const struct store_assignment *a)
{
	const char *name = a->column->name;
	if (strcmp(name, "position") == 0)
		s->position = fake_number(a->value);
	else if (strcmp(name, "wrote") == 0)
		s->wrote = fake_number(a->value);
	else if (strcmp(name, "type") == 0)
		snprintf(s->type, sizeof s->type, "%.*s", (int)a->value.size, (const char *)a->value.data);
	else if (strcmp(name, "data") == 0) {
		free(s->data);
		s->size = a->value.size;
		s->data = malloc((size_t)s->size + 1);
		assert_non_null(s->data);
		memcpy(s->data, a->value.data, (size_t)s->size);
	}
}

static inline void fake_mutate(struct fake *f, const struct store_mutation *m)
{
	struct fake_row *row = fake_row(f, m->partition_key[1], true);
	if (m->kind == STORE_DELETE_RANGE) {
		assert_int_equal(m->from.kind, STORE_EXCLUSIVE);
		while (row->count && row->snapshots[row->count - 1].sequence < fake_number(m->from.cells[0]))
			free(row->snapshots[--row->count].data);
		return;
	}
	struct fake_snapshot *s = m->clustering ? fake_snapshot(row, fake_number(m->clustering[0])) : NULL;
	bool writer = false;
	for (uint32_t i = 0; i < m->cell_count; i++) {
		if (s)
			fake_set_snapshot(s, &m->cells[i]);
		else
			fake_set_static(row, &m->cells[i], m->timestamp_us);
		writer = writer || strcmp(m->cells[i].column->name, "writer") == 0;
	}
	if (writer) {
		row->has_writer = true;
		if (m->timestamp_us > row->writer_us)
			row->writer_us = m->timestamp_us;
	}
}

static inline void fake_end_apply(struct fake *f, struct fake_pending *op)
{
	bool fails = fake_chance(f, f->fail), refused = !fails && fake_chance(f, f->refuse);
	if (!refused && (!fails || sm_sim_random(f->system, 2)))
		for (uint32_t i = 0; i < op->batch->count; i++)
			fake_mutate(f, &op->batch->mutations[i]);
	op->apply_done(op->arg, fails ? SM_IO : refused ? SM_FULL : SM_OK);
}

static bool fake_at_once; /* for what a test's thread waits for */
static inline void fake_apply(struct sm_store *store, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct fake_pending op = {.batch = batch, .apply_done = done, .arg = arg};
	if (fake_at_once)
		fake_end_apply(fake_of_store(store), &op);
	else
		fake_put_off(fake_of_store(store), op);
}

struct fake_cursor {
	struct fake_row row; /* a copy of the partition as it was; data is copied too */
	bool statics_only, none;
	uint32_t at;
	uint8_t numbers[COLUMNS][8];
	struct store_cell cells[COLUMNS];
	struct store_row out;
};
static inline enum sm_err fake_open(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
				    struct sm_error *reterr)
{
	struct fake *f = fake_of_store(store);
	if (fake_chance(f, f->fail))
		return sm_fail(reterr, SM_IO, "the store says no");
	struct fake_cursor *c = calloc(1, sizeof *c);
	const struct fake_row *row = fake_row(f, read->partition_key[1], false);
	assert_non_null(c);
	c->none = !row;
	if (row)
		c->row = *row;
	for (uint32_t i = 0; i < c->row.count; i++) {
		uint8_t *copy = malloc((size_t)c->row.snapshots[i].size + 1);
		assert_non_null(copy);
		memcpy(copy, c->row.snapshots[i].data, (size_t)c->row.snapshots[i].size);
		c->row.snapshots[i].data = copy;
	}
	c->statics_only = read->statics_only;
	*ret_cursor = (struct store_cursor *)c;
	return SM_OK;
}
static inline void fake_cell(struct fake_cursor *c, enum persist_column column, int64_t value, bool there)
{
	be64_put(c->numbers[column], (uint64_t)value);
	c->cells[column] = (struct store_cell){c->numbers[column], there ? 8 : -1};
}
static inline enum sm_err fake_next(struct store_cursor *cursor, const struct store_row **ret_row)
{
	struct fake_cursor *c = (struct fake_cursor *)cursor;
	uint32_t rows = c->none ? 0 : c->statics_only || !c->row.count ? 1 : c->row.count;
	if (c->at == rows)
		return SM_END;
	for (uint32_t i = 0; i < COLUMNS; i++)
		c->cells[i].size = -1;
	fake_cell(c, COLUMN_FENCE, c->row.fence, c->row.has_writer);
	fake_cell(c, COLUMN_WRITER, c->row.writer, c->row.has_writer);
	fake_cell(c, COLUMN_FIRST, c->row.first, c->row.has_first);
	be32_put(c->numbers[COLUMN_PARTITIONS], (uint32_t)c->row.partitions);
	c->cells[COLUMN_PARTITIONS] = (struct store_cell){c->numbers[COLUMN_PARTITIONS], c->row.has_partitions ? 4 : -1};
	c->out = (struct store_row){.cells = c->cells, .static_only = c->statics_only || !c->row.count};
	if (!c->out.static_only) {
		const struct fake_snapshot *s = &c->row.snapshots[c->at];
		fake_cell(c, COLUMN_SEQUENCE, s->sequence, true);
		fake_cell(c, COLUMN_POSITION, s->position, true);
		fake_cell(c, COLUMN_WROTE, s->wrote, true);
		c->cells[COLUMN_DATA] = (struct store_cell){s->data, s->size};
		c->cells[COLUMN_TYPE] = (struct store_cell){(const uint8_t *)s->type, (int32_t)strlen(s->type)};
	}
	c->at++;
	*ret_row = &c->out;
	return SM_OK;
}
static inline void fake_close_cursor(struct store_cursor *cursor)
{
	struct fake_cursor *c = (struct fake_cursor *)cursor;
	for (uint32_t i = 0; i < c->row.count; i++)
		free(c->row.snapshots[i].data);
	free(c);
}

static const struct log_ops fake_log_ops = {.topics = fake_topics,
					    .topics_release = fake_topics_release,
					    .append = fake_append,
					    .read = fake_read,
					    .read_uncommitted = fake_read,
					    .offset_for = fake_offset_for,
					    .wait = fake_wait};
static const struct store_ops fake_store_ops = {.schema = fake_schema,
						.schema_release = fake_schema_release,
						.change = fake_change,
						.apply = fake_apply,
						.open = fake_open,
						.next = fake_next,
						.close_cursor = fake_close_cursor};

/* ---- a test's run ---- */

static inline struct fake *fake_new(struct sm_system *system)
{
	struct fake *f = calloc(1, sizeof *f);
	assert_non_null(f);
	f->log.ops = &fake_log_ops;
	f->store.ops = &fake_store_ops;
	f->system = system;
	f->topic = (struct log_topic){.name = FAKE_TOPIC, .partitions = FAKE_PARTITIONS};
	f->topics = (struct log_topics){&f->topic, 1};
	return f;
}

static inline struct sm_journal *fake_journal(struct fake *f)
{
	struct sm_journal *journal;
	struct sm_error error;
	struct sm_journal_options options = {.log = &f->log, .store = &f->store, .topic = FAKE_TOPIC};
	uint32_t fail = f->fail, refuse = f->refuse;
	f->fail = f->refuse = 0;
	fake_at_once = true;
	if (sm_journal_open(&options, &journal, &error))
		fail_msg("%s", error.text);
	fake_at_once = false;
	f->fail = fail;
	f->refuse = refuse;
	return journal;
}

/* One of the operations under way ends. */
static inline void fake_end_one(struct fake *f)
{
	uint64_t skip = sm_sim_random(f->system, f->pending_count);
	struct fake_pending **at = &f->pending;
	while (skip--)
		at = &(*at)->next;
	struct fake_pending *op = *at;
	*at = op->next;
	f->pending_count--;
	if (op->wait)
		op->wait->done(op->wait, SM_OK);
	else if (op->append)
		fake_end_append(f, op);
	else
		fake_end_apply(f, op);
	free(op);
}

/* One step of the actors or of the engines. False: nothing is ready. */
static inline bool fake_step(struct fake *f)
{
	if (f->pending_count && sm_sim_random(f->system, 3) == 0) {
		fake_end_one(f);
		return true;
	}
	if (sm_sim_step(f->system))
		return true;
	if (f->pending_count)
		fake_end_one(f);
	else
		return false;
	return true;
}

/* Until nothing is ready, and ms pass in small steps. */
static inline void fake_advance(struct fake *f, uint64_t ms)
{
	for (uint64_t passed = 0; passed <= ms; passed += 20) {
		uint32_t steps = 0;
		while (fake_step(f))
			assert_true(++steps < 1000000);
		sm_sim_advance(f->system, 20);
	}
}

static inline void fake_free(struct fake *f)
{
	while (f->pending_count)
		fake_end_one(f);
	for (uint32_t i = 0; i < f->batch_count; i++)
		free(f->batches[i].bytes);
	free(f->batches);
	for (uint32_t i = 0; i < f->row_count; i++)
		for (uint32_t k = 0; k < f->rows[i].count; k++)
			free(f->rows[i].snapshots[k].data);
	free(f);
}

#endif
