/* The writer: one thread takes what has arrived, makes one RocksDB write of it, has it synced with the same call, and answers.
 * What arrives meanwhile is the next group. RocksDB puts a synced write into its memtable after the sync, so a reader sees
 * nothing that a power loss could take back.
 *
 * Everything that needs an order is decided here, one after the other: fences, schema changes, epochs, checkpoints, counters. After a
 * failed write or sync the store is read-only: nothing is acknowledged again until it is opened anew. Where the disk was full, the writer
 * tries that itself, again and again (reopen.c); after any other failure it is left to the operator. */
#include "store/index.h"
#include "base/map.h"
#include "actor/actor.h"
#include "base/metrics.h"
#include <rocksdb/c.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_FIRST_MS 100 /* when the disk was full */
#define RETRY_MAX_MS 8000

struct truncation {
	uint32_t from, to;
};
struct store__writer {
	struct store__engine *engine;
	bool ack_before_sync, split_batches;

	pthread_mutex_t lock;
	pthread_cond_t arrived;
	struct store__write *first, **last;
	size_t pending_bytes;
	bool stalled; /* RocksDB holds writes back until compactions have come after */
	bool stopping;

	/* the thread's own */
	pthread_t thread;
	bool running;
	rocksdb_writebatch_t *batch;
	struct number_set rows;    /* of the batch */
	struct number_set written; /* by the group, where transactions are in it */
	struct map epochs;         /* job -> uint64_t, malloc'ed */
	struct truncation *truncations;
	uint32_t truncation_count;
	struct store__counting *counting;
	struct sm_error failed; /* code SM_OK: it has not */
	uint64_t retry_ns;      /* after a full disk: when to look for room */
	unsigned retry_ms;
};

static size_t bytes_of_write(const struct store__write *w)
{
	return sizeof *w + w->ops.cap;
}

/* ---- the queue ---- */

enum sm_err store__writer_put(struct store__writer *writer, struct store__write *write)
{
	size_t bytes = bytes_of_write(write);
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&writer->lock);
	if (writer->stopping)
		err = SM_CLOSED;
	else if (write->kind <= STORE__WRITE_TRANSACTION && !write->one_by_one && writer->pending_bytes &&
		 writer->pending_bytes + bytes > (writer->stalled ? STORE_STALLED_BYTES_MAX : STORE_PENDING_BYTES_MAX))
		err = SM_FULL;
	if (!err) {
		bool idle = !writer->first;
		write->next = NULL;
		*writer->last = write;
		writer->last = &write->next;
		writer->pending_bytes += bytes;
		if (idle)
			pthread_cond_signal(&writer->arrived);
	}
	pthread_mutex_unlock(&writer->lock);
	return err;
}

struct waiter {
	sem_t done;
	enum sm_err err;
	struct store__write *write;
	uint64_t epoch;
};

static void waiter_done(void *arg, enum sm_err err)
{
	struct waiter *w = arg;
	w->err = err;
	w->epoch = w->write->epoch;
	sem_post(&w->done);
}

enum sm_err store__writer_wait(struct store__writer *writer, struct store__write *write, uint64_t *ret_epoch)
{
	struct waiter waiter = {.write = write};
	sem_init(&waiter.done, 0, 0);
	write->done = waiter_done;
	write->arg = &waiter;
	enum sm_err err = store__writer_put(writer, write);
	if (err) {
		store__write_free(write);
	} else {
		while (sem_wait(&waiter.done))
			;
		err = waiter.err;
		if (!err && ret_epoch)
			*ret_epoch = waiter.epoch;
	}
	sem_destroy(&waiter.done);
	return err;
}

/* Wait for writes, or until it is time to look for room. Under the lock. */
static void wait_for_work(struct store__writer *writer)
{
	while (!writer->first && !writer->stopping) {
		if (writer->failed.code != SM_NO_SPACE)
			pthread_cond_wait(&writer->arrived, &writer->lock);
		else if (!clock_cond_wait_until(&writer->arrived, &writer->lock, writer->retry_ns))
			return;
	}
}

/* The next group: everything that is there, up to a bound; a schema change ends it, a checkpoint is alone. */
static struct store__write *take(struct store__writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	wait_for_work(writer);
	struct store__write *group = writer->first, **end = &writer->first;
	size_t bytes = 0;
	while (*end) {
		struct store__write *w = *end;
		if (w != group && (bytes + bytes_of_write(w) > STORE_GROUP_BYTES_MAX || w->kind == STORE__WRITE_CHECKPOINT))
			break;
		bytes += bytes_of_write(w);
		end = &w->next;
		if (w->kind == STORE__WRITE_CHANGE || w->kind == STORE__WRITE_CHECKPOINT)
			break;
	}
	struct store__write *rest = group ? *end : NULL;
	if (group)
		*end = NULL;
	writer->first = rest;
	if (!rest)
		writer->last = &writer->first;
	pthread_mutex_unlock(&writer->lock);
	return group;
}

/* ---- admission ---- */

static uint32_t number_now(const struct store__writer *writer, uint32_t number)
{
	for (uint32_t i = 0; i < writer->truncation_count; i++)
		if (writer->truncations[i].from == number)
			number = writer->truncations[i].to;
	return number;
}

static void renumber(struct store__write *w, uint32_t from, uint32_t to)
{
	size_t at = 0;
	enum store_op op;
	struct bytes key, value;
	while (store__op_next(&w->ops, &at, &op, &key, &value))
		if (be32_get(key.data) == from)
			be32_put((uint8_t *)key.data, to); /* ours: it points into w->ops */
}

/* Is each table still there? One that was truncated since has another number. */
static enum sm_err find_tables(struct store__writer *writer, struct store__write *w)
{
	for (uint32_t i = 0; i < w->touched_count; i++) {
		struct store__touched *t = &w->touched[i];
		if (store__schema_table(writer->engine->schema, t->table))
			continue;
		uint32_t to = number_now(writer, t->table);
		if (to == t->table || !store__schema_table(writer->engine->schema, to))
			return SM_NOT_FOUND;
		renumber(w, t->table, to);
		t->table = to;
	}
	return SM_OK;
}

/* A table's first range or partition deletion is noted in the same write. Readers look at the flag after their read (cursor.c), so it is
 * raised before the write; only after nothing can refuse the write any more, else the note would be missing for good. */
static enum sm_err note_deletions(struct store__writer *writer, struct store__write *w)
{
	for (uint32_t i = 0; i < w->touched_count; i++) {
		const struct store__touched *t = &w->touched[i];
		struct store__table *table = store__schema_table(writer->engine->schema, t->table);
		if (!t->deletions || atomic_load(&table->state->deletions))
			continue;
		uint8_t number[4];
		struct buf key;
		be32_put(number, t->table);
		buf_init(&key);
		store__system_key(&key, STORE_SYSTEM_DELETIONS, bytes_of(number, 4));
		if (!key.failed)
			store__op(&w->ops, STORE_OP_PUT, buf_bytes(&key), bytes_of(NULL, 0));
		bool failed = key.failed || w->ops.failed;
		buf_done(&key);
		if (failed)
			return SM_NO_MEMORY;
	}
	for (uint32_t i = 0; i < w->touched_count; i++)
		if (w->touched[i].deletions)
			atomic_store(&store__schema_table(writer->engine->schema, w->touched[i].table)->state->deletions, true);
	return SM_OK;
}

static enum sm_err admit_epoch(struct store__writer *writer, struct store__write *w)
{
	struct bytes job = bytes_str(w->job);
	uint64_t *known = map_get(&writer->epochs, job);
	enum sm_err err = SM_OK;
	if (!known) {
		if (!(known = calloc(1, sizeof *known)))
			return SM_NO_MEMORY;
		if ((err = map_put(&writer->epochs, job, known, NULL))) {
			free(known);
			return err;
		}
	}
	w->epoch = ++*known;
	uint8_t value[8];
	struct buf key;
	be64_put(value, w->epoch);
	buf_init(&key);
	store__system_key(&key, STORE_SYSTEM_EPOCH, job);
	if (!key.failed)
		store__op(&w->ops, STORE_OP_PUT, buf_bytes(&key), bytes_of(value, 8));
	err = key.failed || w->ops.failed ? SM_NO_MEMORY : SM_OK;
	buf_done(&key);
	return err;
}

static enum sm_err admit_transaction(struct store__writer *writer, struct store__write *w)
{
	enum sm_err err = find_tables(writer, w);
	if (err)
		return err;
	struct store__table *now = store__schema_table(writer->engine->schema, w->touched[0].table);
	if ((err = store__transaction_run(writer->engine, now, w)) || (err = find_tables(writer, w)) ||
	    (err = store__index_write(writer->engine->schema, w)))
		return err;
	return note_deletions(writer, w);
}

static enum sm_err admit(struct store__writer *writer, struct store__write *w)
{
	if (writer->failed.code) {
		if (w->reterr)
			*w->reterr = writer->failed;
		return writer->failed.code;
	}
	if (w->kind == STORE__WRITE_EPOCH)
		return admit_epoch(writer, w);
	if (w->kind == STORE__WRITE_TRANSACTION)
		return admit_transaction(writer, w);
	if (w->kind == STORE__WRITE_CHANGE)
		store__built_begin(writer->engine->built, &w->ops);
	if (w->kind != STORE__WRITE_BATCH)
		return SM_OK;
	if (w->job) {
		uint64_t *epoch = map_get(&writer->epochs, bytes_str(w->job));
		if (!epoch || *epoch != w->epoch)
			return SM_STALE_EPOCH;
	}
	uint16_t ignored;
	if (w->index && !store__schema_index(writer->engine->schema, w->index, &ignored))
		return SM_NOT_FOUND;
	enum sm_err err = find_tables(writer, w);
	if (!err)
		err = store__index_write(writer->engine->schema, w);
	return err ? err : note_deletions(writer, w);
}

/* ---- writing ---- */

static void batch_clear(struct store__writer *writer)
{
	rocksdb_writebatch_clear(writer->batch);
	number_set_clear(&writer->rows);
}

/* Can the piece be put, as its row is new? table: of the op before, or NULL. */
static bool is_new(struct store__writer *writer, struct bytes key, struct store__table **table)
{
	uint32_t number = be32_get(key.data);
	if (!*table || (*table)->public.number != number)
		*table = store__schema_table(writer->engine->schema, number);
	return *table && store__fresh_row(&writer->engine->rocks, &writer->rows, (*table)->state, key);
}

static void add_ops(struct store__writer *writer, const struct buf *ops)
{
	rocksdb_writebatch_t *batch = writer->batch;
	struct store__table *table = NULL;
	size_t at = 0;
	enum store_op op;
	struct bytes k, v;
	while (store__op_next(ops, &at, &op, &k, &v)) {
		const char *key = (const char *)k.data, *value = (const char *)v.data;
		if (op == STORE_OP_MERGE && is_new(writer, k, &table))
			op = STORE_OP_PUT;
		switch (op) {
		case STORE_OP_PUT: rocksdb_writebatch_put(batch, key, k.size, value, v.size); break;
		case STORE_OP_MERGE: rocksdb_writebatch_merge(batch, key, k.size, value, v.size); break;
		case STORE_OP_DELETE: rocksdb_writebatch_delete(batch, key, k.size); break;
		case STORE_OP_DELETE_RANGE: rocksdb_writebatch_delete_range(batch, key, k.size, value, v.size); break;
		case STORE_OP_COUNT: break; /* count() has made merges of them */
		}
	}
}

static void fail_store(struct store__writer *writer, char *text)
{
	bool full = strstr(text, "No space left") || strstr(text, "quota exceeded");
	enum sm_err code = store__rocks_error(text, &writer->failed,
					      full ? "the disk is full: the store takes no writes until there is room again"
						   : "the store is read-only after a failed write");
	if (code != SM_NO_SPACE && code != SM_CORRUPT)
		writer->failed.code = SM_IO;
	writer->retry_ms = RETRY_FIRST_MS;
	writer->retry_ns = clock_monotonic_ns(&clock_system) + RETRY_FIRST_MS * 1000000ull;
}

/* If the disk was full and it is time: go on where there is room again. */
static void recover(struct store__writer *writer)
{
	if (writer->failed.code != SM_NO_SPACE || clock_monotonic_ns(&clock_system) < writer->retry_ns)
		return;
	struct sm_error error = {0};
	enum sm_err err = store__reopen(writer->engine, &error);
	if (!err)
		writer->failed = (struct sm_error){0};
	else if (err == SM_CORRUPT || err == SM_VERSION)
		writer->failed = error;
	if (writer->retry_ms < RETRY_MAX_MS)
		writer->retry_ms *= 2;
	writer->retry_ns = clock_monotonic_ns(&clock_system) + writer->retry_ms * 1000000ull;
}

static void set_stalled(struct store__writer *writer, bool stalled)
{
	pthread_mutex_lock(&writer->lock);
	writer->stalled = stalled;
	pthread_mutex_unlock(&writer->lock);
}

/* Returns false when the store has failed. */
static bool write_synced(struct store__writer *writer, bool sync)
{
	struct store__rocks *rocks = &writer->engine->rocks;
	char *text = NULL;
	uint64_t start = clock_monotonic_ns(&clock_system);
	rocksdb_write(rocks->db, sync ? rocks->write_sync : rocks->write_nosync, writer->batch, &text);
	if (text && strstr(text, "Write stall")) {
		/* Nothing was written. This thread waits, and clients are pushed back earlier than else. Asking again and again instead
		 * would make the wait longer: RocksDB reckons each refusal as bytes that it let through. */
		rocksdb_free(text);
		text = NULL;
		set_stalled(writer, true);
		rocksdb_write(rocks->db, sync ? rocks->wait_sync : rocks->wait_nosync, writer->batch, &text);
		set_stalled(writer, false);
	}
	if (text) {
		fail_store(writer, text);
		return false;
	}
	if (sync) {
		metric_observe_us(METRIC_STORE_SYNC_US, (clock_monotonic_ns(&clock_system) - start) / 1000);
		metric_add(METRIC_STORE_SYNCS, 1);
	}
	return true;
}

static void after_change(struct store__writer *writer, struct store__write *w)
{
	if (w->truncated_from) {
		struct truncation *t = realloc(writer->truncations, (writer->truncation_count + 1) * sizeof *t);
		if (t) { /* else writes with an older picture get SM_NOT_FOUND, as after a drop */
			writer->truncations = t;
			t[writer->truncation_count++] = (struct truncation){w->truncated_from, w->truncated_to};
		}
	}
	store__built_drop(writer->engine->built);
	store__built_written(writer->engine->built, &w->ops);
	store__engine_swap_schema(writer->engine, w->schema);
	w->schema = NULL;
}

static enum sm_err checkpoint(struct store__writer *writer, const char *dir, struct sm_error *reterr)
{
	char *text = NULL;
	rocksdb_checkpoint_t *c = rocksdb_checkpoint_object_create(writer->engine->rocks.db, &text);
	if (!text) {
		/* 0: the memtable is flushed first, so that the copy is tables only and needs no log. No write is under way meanwhile. */
		rocksdb_checkpoint_create(c, dir, 0, &text);
		rocksdb_checkpoint_object_destroy(c);
	}
	char doing[300];
	snprintf(doing, sizeof doing, "cannot make a checkpoint in %s", dir);
	return text ? store__rocks_error(text, reterr, doing) : SM_OK;
}

static void answer(struct store__writer *writer, struct store__write *group)
{
	size_t bytes = 0;
	uint64_t rows = 0;
	actor_hold_wakes();
	for (struct store__write *w = group, *next; w; w = next) {
		next = w->next;
		bytes += bytes_of_write(w);
		rows += w->err ? 0 : w->row_count;
		w->done(w->arg, w->err);
		store__write_free(w);
	}
	actor_release_wakes();
	metric_add(METRIC_STORE_WRITES, (int64_t)rows);
	pthread_mutex_lock(&writer->lock);
	writer->pending_bytes -= bytes < writer->pending_bytes ? bytes : writer->pending_bytes;
	pthread_mutex_unlock(&writer->lock);
}

/* One write of RocksDB under way: from the first of the writes that are in the batch. */
struct part {
	struct store__write *first;
	bool any, sync, deletes_counters;
};

/* Write what the batch holds, for the writes up to end; they get the error of a write that failed. */
static void end_part(struct store__writer *writer, struct part *part, struct store__write *end)
{
	bool ok = !part->any || write_synced(writer, part->sync);
	for (struct store__write *w = part->first; w != end; w = w->next) {
		if (ok || w->err || !w->ops.end)
			continue;
		w->err = writer->failed.code;
		if (w->reterr)
			*w->reterr = writer->failed;
	}
	batch_clear(writer);
	store__counting_reset(writer->counting);
	*part = (struct part){.first = end, .sync = part->sync};
}

/* Differences become sums. */
static enum sm_err count(struct store__writer *writer, struct store__write *w)
{
	size_t at = 0;
	enum store_op op;
	struct bytes key, value;
	struct buf ops;
	enum sm_err err = SM_OK;
	buf_init(&ops);
	while (!err && store__op_next(&w->ops, &at, &op, &key, &value)) {
		if (op != STORE_OP_COUNT) {
			store__op(&ops, op, key, value);
			continue;
		}
		size_t start = store__op_begin(&ops, STORE_OP_MERGE);
		buf_append_bytes(&ops, key);
		store__op_value(&ops, start);
		err = store__count(writer->counting, key, value, &ops);
		store__op_end(&ops, start);
	}
	if (!err && ops.failed)
		err = SM_NO_MEMORY;
	if (err) {
		buf_done(&ops);
		return err;
	}
	buf_done(&w->ops);
	w->ops = ops;
	return SM_OK;
}

/* Counting reads what is on disk, so deletions of counters go there first; and so do the sums before a write that could not be counted. */
static void count_in_part(struct store__writer *writer, struct part *part, struct store__write *w)
{
	if (part->deletes_counters)
		end_part(writer, part, w);
	if (writer->failed.code)
		w->err = writer->failed.code;
	else if ((w->err = count(writer, w)))
		end_part(writer, part, w);
}

static bool has_transaction(const struct store__write *w)
{
	while (w && w->kind != STORE__WRITE_TRANSACTION)
		w = w->next;
	return w;
}

/* A transaction reads what is on disk, so it begins a new group where one before it in this group writes to its partition. */
static bool must_wait(const struct store__writer *writer, const struct store__write *w)
{
	uint32_t table = w->kind == STORE__WRITE_TRANSACTION ? number_now(writer, w->touched[0].table) : 0;
	return table && store__partitions_have(&writer->written, table, w->token);
}

#ifdef SMACK_PLANT_FAULTS
/* The first half of a statement's changes is a write of its own. */
static void write_half(struct store__writer *writer, struct store__write *w)
{
	size_t at = 0, half = 0;
	enum store_op op;
	struct bytes key, value;
	while (half < w->ops.end / 2 && store__op_next(&w->ops, &at, &op, &key, &value))
		half = at;
	struct buf first = {.data = w->ops.data, .end = half};
	add_ops(writer, &first);
	(void)write_synced(writer, true);
	batch_clear(writer);
}
#endif

/* Admit the writes of the group in their order; returns those that have to wait until it is on disk. */
static struct store__write *gather(struct store__writer *writer, struct store__write *group, struct part *part)
{
	bool tracks = has_transaction(group->next);
	batch_clear(writer);
	number_set_clear(&writer->written);
	for (struct store__write *w = group, *last = NULL; w; last = w, w = w->next) {
		if (last && must_wait(writer, w)) {
			last->next = NULL;
			return w;
		}
		size_t before = bytes_of_write(w);
		w->err = admit(writer, w);
		if (!w->err && w->kind == STORE__WRITE_CHECKPOINT)
			w->err = checkpoint(writer, w->dir, w->reterr);
		if (!w->err && w->counts)
			count_in_part(writer, part, w);
		if (!w->err && w->ops.end) {
#ifdef SMACK_PLANT_FAULTS
			if (writer->split_batches && !part->any)
				write_half(writer, w);
#endif
			add_ops(writer, &w->ops);
			part->any = true;
			part->deletes_counters |= w->deletes_counters;
			if (tracks)
				store__partitions_add(&writer->written, &w->ops);
		}
		size_t now = bytes_of_write(w);
		if (now != before) {
			pthread_mutex_lock(&writer->lock);
			writer->pending_bytes = writer->pending_bytes + now - before;
			pthread_mutex_unlock(&writer->lock);
		}
	}
	return NULL;
}

/* Returns the rest of the group, which is to be written next. */
static struct store__write *write_group(struct store__writer *writer, struct store__write *group)
{
	struct part part = {.first = group, .sync = true};
#ifdef SMACK_PLANT_FAULTS
	part.sync = !writer->ack_before_sync;
#endif
	bool sync = part.sync;
	struct store__write *rest = gather(writer, group, &part);
	end_part(writer, &part, NULL);
	for (struct store__write *w = group; w; w = w->next)
		if (w->kind == STORE__WRITE_CHANGE && w->err)
			store__built_failed(writer->engine->built);
		else if (w->kind == STORE__WRITE_CHANGE)
			after_change(writer, w);
	uint16_t ignored;
	for (struct store__write *w = group; w; w = w->next) /* unless a change behind it has dropped the index */
		if (!w->err && w->index && store__schema_index(writer->engine->schema, w->index, &ignored))
			store__built_written(writer->engine->built, &w->ops);
	answer(writer, group);
#ifdef SMACK_PLANT_FAULTS
	char *text = NULL;
	if (!sync)
		rocksdb_flush_wal(writer->engine->rocks.db, 1, &text);
	if (text)
		fail_store(writer, text);
#else
	(void)sync;
#endif
	return rest;
}

static bool is_stopping(struct store__writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	bool stopping = writer->stopping && !writer->first;
	pthread_mutex_unlock(&writer->lock);
	return stopping;
}

static void *run(void *arg)
{
	struct store__writer *writer = arg;
	struct store__write *group;
	pthread_setname_np(pthread_self(), "store-writer");
	store__rocks_thread();
	for (;;) {
		group = take(writer);
		recover(writer);
		if (!group && is_stopping(writer))
			return NULL;
		while (group)
			group = write_group(writer, group);
	}
}

/* ---- beginning and end ---- */

enum sm_err store__writer_new(const struct store__writer_options *options, struct store__writer **ret_writer, struct sm_error *reterr)
{
	struct store__writer *w = calloc(1, sizeof *w);
	if (!w)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	w->engine = options->engine;
	w->ack_before_sync = options->ack_before_sync;
	w->split_batches = options->split_batches;
	w->last = &w->first;
	w->batch = rocksdb_writebatch_create();
	w->counting = store__counting_new(options->engine);
	if (!w->counting) {
		rocksdb_writebatch_destroy(w->batch);
		free(w);
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	pthread_mutex_init(&w->lock, NULL);
	clock_cond_init(&w->arrived);
	map_init(&w->epochs);
	*ret_writer = w;
	return SM_OK;
}

enum sm_err store__writer_epoch(struct store__writer *writer, struct bytes job, uint64_t epoch)
{
	uint64_t *value = malloc(sizeof *value);
	if (!value)
		return SM_NO_MEMORY;
	*value = epoch;
	void *old = NULL;
	enum sm_err err = map_put(&writer->epochs, job, value, &old);
	free(err ? value : old);
	return err;
}

void store__writer_refuse(struct store__writer *writer, const struct sm_error *error)
{
	writer->failed = *error;
}

enum sm_err store__writer_start(struct store__writer *writer, struct sm_error *reterr)
{
	int e = pthread_create(&writer->thread, NULL, run, writer);
	if (e)
		return sm_fail_errno(reterr, e, "cannot start the store's writer");
	writer->running = true;
	return SM_OK;
}

enum sm_err store__writer_free(struct store__writer *writer, struct sm_error *reterr)
{
	if (!writer)
		return SM_OK;
	pthread_mutex_lock(&writer->lock);
	writer->stopping = true;
	pthread_cond_signal(&writer->arrived);
	pthread_mutex_unlock(&writer->lock);
	if (writer->running)
		pthread_join(writer->thread, NULL);
	enum sm_err err = writer->failed.code;
	if (err && reterr)
		*reterr = writer->failed;
	size_t pos = 0;
	struct bytes key;
	void *value;
	while (map_next(&writer->epochs, &pos, &key, &value))
		free(value);
	map_done(&writer->epochs);
	number_set_done(&writer->written);
	number_set_done(&writer->rows);
	free(writer->truncations);
	store__counting_free(writer->counting);
	rocksdb_writebatch_destroy(writer->batch);
	pthread_cond_destroy(&writer->arrived);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
	return err;
}
