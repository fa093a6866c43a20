/* The embedded engine: opening and closing, the table of calls, schema changes, checkpoints. */
#include "store/purge.h"
#include "base/io.h"
#include <rocksdb/c.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- schema ---- */

struct store__schema *store__engine_schema(struct store__engine *engine)
{
	pthread_mutex_lock(&engine->schema_lock);
	struct store__schema *s = store__schema_ref(engine->schema);
	pthread_mutex_unlock(&engine->schema_lock);
	return s;
}

void store__engine_swap_schema(struct store__engine *engine, struct store__schema *schema)
{
	pthread_mutex_lock(&engine->schema_lock);
	struct store__schema *old = engine->schema;
	engine->schema = schema;
	pthread_mutex_unlock(&engine->schema_lock);
	store__schema_unref(old);
}

static const struct store_schema *op_schema(struct sm_store *store)
{
	return &store__engine_schema(store__engine_of(store))->public;
}

static void op_schema_release(struct sm_store *store, const struct store_schema *schema)
{
	store__schema_unref((struct store__schema *)schema);
}

/* Make the new picture, have the writer make it durable and show it. */
static enum sm_err change_now(struct store__engine *engine, const struct store_change *change, struct sm_error *reterr)
{
	struct store__schema_step step;
	pthread_mutex_lock(&engine->change_lock);
	struct store__schema *now = store__engine_schema(engine);
	enum sm_err err = store__schema_change(now, engine->next_table_number, change, &step, reterr);
	store__schema_unref(now);
	if (!err) {
		struct store__write *w = store__write_new(STORE__WRITE_CHANGE);
		uint32_t next = step.next_table_number;
		if (w) {
			w->schema = step.schema;
			w->truncated_from = step.truncated_from;
			w->truncated_to = step.truncated_to;
			w->ops = step.ops;
			w->reterr = reterr;
			step.schema = NULL;
			buf_init(&step.ops);
			if ((err = store__writer_wait(engine->writer, w, NULL)) == SM_CLOSED)
				sm_fail(reterr, err, "the store is closing");
		} else {
			err = sm_fail(reterr, SM_NO_MEMORY, "out of memory");
		}
		store__schema_step_done(&step);
		if (!err)
			engine->next_table_number = next;
	}
	pthread_mutex_unlock(&engine->change_lock);
	return err;
}

struct change_work {
	struct sm_work work; /* first */
	struct store__engine *engine;
	const struct store_change *change; /* borrowed until done */
	void (*done)(void *arg, const struct sm_error *error);
	void *arg;
};

static void change_run(struct sm_work *work)
{
	struct change_work *w = (struct change_work *)work;
	struct sm_error error = {0};
	enum sm_err err = change_now(w->engine, w->change, &error);
	w->done(w->arg, err ? &error : NULL);
	free(w);
}

static void op_change(struct sm_store *store, const struct store_change *change, void (*done)(void *arg, const struct sm_error *error),
		      void *arg)
{
	struct store__engine *engine = store__engine_of(store);
	struct change_work *w = calloc(1, sizeof *w);
	struct sm_error error = {0};
	enum sm_err err = SM_NO_MEMORY;
	if (w) {
		*w = (struct change_work){.work = {.run = change_run}, .engine = engine, .change = change, .done = done, .arg = arg};
		if (!engine->system) {
			change_run(&w->work);
			return;
		}
		if (!(err = sm_pool_run(engine->system, &w->work)))
			return;
	}
	free(w);
	sm_fail(&error, err, "the schema cannot be changed now: %s", sm_err_text(err));
	done(arg, &error);
}

/* ---- writes ---- */

static void op_apply(struct sm_store *store, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct store__engine *engine = store__engine_of(store);
	struct store__write *w = store__write_new(STORE__WRITE_BATCH);
	enum sm_err err = SM_NO_MEMORY;
	if (w) {
		w->done = done;
		w->arg = arg;
		err = store__batch_encode(batch, (int64_t)(clock_wall_us(engine->clock) / 1000000), w);
		if (!err && !(err = store__writer_put(engine->writer, w)))
			return;
	}
	store__write_free(w);
	done(arg, err);
}

static enum sm_err op_job_epoch(struct sm_store *store, const char *job, uint64_t *ret_epoch, struct sm_error *reterr)
{
	struct store__engine *engine = store__engine_of(store);
	if (strlen(job) == 0 || strlen(job) > STORE_JOB_NAME_BYTES_MAX)
		return sm_fail(reterr, SM_INVALID, "a job's name has 1 to %d bytes", STORE_JOB_NAME_BYTES_MAX);
	struct store__write *w = store__write_new(STORE__WRITE_EPOCH);
	if (!w || !(w->job = strdup(job))) {
		store__write_free(w);
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	enum sm_err err = store__writer_wait(engine->writer, w, ret_epoch);
	return err ? sm_fail(reterr, err, "job '%s' cannot begin: the store says: %s", job, sm_err_text(err)) : SM_OK;
}

static enum sm_err op_checkpoint(struct sm_store *store, const char *dir, struct sm_error *reterr)
{
	struct store__write *w = store__write_new(STORE__WRITE_CHECKPOINT);
	if (!w)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	w->dir = dir;
	w->reterr = reterr;
	enum sm_err err = store__writer_wait(store__engine_of(store)->writer, w, NULL);
	return err == SM_CLOSED ? sm_fail(reterr, err, "the store is closing") : err;
}

/* ---- what the directory holds ---- */

struct loading {
	struct arena arena;
	struct store_keyspace *keyspaces;
	struct store__table **tables;
	uint32_t keyspace_count, table_count;
	struct uuid version;
	uint32_t format;
};

static void *grow(void *array, uint32_t count, size_t size)
{
	/* powers of two: there is room until count is one */
	return count & (count - 1) ? array : realloc(array, (count ? (size_t)count * 2 : 1) * size);
}

static enum sm_err load_keyspace(struct loading *l, struct bytes name, struct bytes value)
{
	struct store_keyspace *k = grow(l->keyspaces, l->keyspace_count, sizeof *k);
	if (!k)
		return SM_NO_MEMORY;
	l->keyspaces = k;
	enum sm_err err = store__keyspace_decode(name, value, &l->arena, &k[l->keyspace_count]);
	l->keyspace_count += !err;
	return err;
}

static enum sm_err load_table(struct loading *l, struct bytes number, struct bytes value)
{
	struct store__table **t = grow(l->tables, l->table_count, sizeof *t);
	if (!t)
		return SM_NO_MEMORY;
	l->tables = t;
	enum sm_err err = number.size == 4 ? store__table_decode(be32_get(number.data), value, &t[l->table_count]) : SM_CORRUPT;
	l->table_count += !err;
	return err;
}

static bool named(struct bytes key, const char *prefix, struct bytes *ret_rest)
{
	size_t n = strlen(prefix);
	if (key.size < 4 + n || memcmp(key.data + 4, prefix, n) != 0)
		return false;
	*ret_rest = bytes_of(key.data + 4 + n, key.size - 4 - n);
	return true;
}

/* The flag's key comes before the tables', so it is kept until they are all there. */
static enum sm_err load_one(struct store__engine *engine, struct loading *l, struct buf *deletions, struct bytes key, struct bytes value)
{
	struct bytes rest;
	if (named(key, STORE_SYSTEM_KEYSPACE, &rest))
		return load_keyspace(l, rest, value);
	if (named(key, STORE_SYSTEM_TABLE, &rest))
		return load_table(l, rest, value);
	if (named(key, STORE_SYSTEM_EPOCH, &rest)) {
		if (value.size != 8)
			return SM_CORRUPT;
		return engine->writer ? store__writer_epoch(engine->writer, rest, be64_get(value.data)) : SM_OK;
	}
	if (named(key, STORE_SYSTEM_DELETIONS, &rest)) {
		if (rest.size != 4)
			return SM_CORRUPT;
		buf_append_bytes(deletions, rest);
		return deletions->failed ? SM_NO_MEMORY : SM_OK;
	}
	if (named(key, STORE_SYSTEM_FORMAT, &rest) && value.size == 4)
		l->format = be32_get(value.data);
	else if (named(key, STORE_SYSTEM_NEXT_TABLE, &rest) && value.size == 4)
		engine->next_table_number = be32_get(value.data);
	else if (named(key, STORE_SYSTEM_VERSION, &rest) && value.size == sizeof l->version.bytes)
		memcpy(l->version.bytes, value.data, sizeof l->version.bytes);
	else
		return SM_CORRUPT;
	return SM_OK;
}

static enum sm_err load_keys(struct store__engine *engine, struct loading *l, struct buf *deletions, struct sm_error *reterr)
{
	static const char from[4] = {0, 0, 0, 0}, to[4] = {0, 0, 0, 1};
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_readoptions_set_iterate_upper_bound(options, to, sizeof to);
	rocksdb_iterator_t *it = rocksdb_create_iterator(engine->rocks.db, options);
	enum sm_err err = SM_OK;
	for (rocksdb_iter_seek(it, from, sizeof from); rocksdb_iter_valid(it) && !err; rocksdb_iter_next(it)) {
		size_t key_size, value_size;
		const char *key = rocksdb_iter_key(it, &key_size), *value = rocksdb_iter_value(it, &value_size);
		err = load_one(engine, l, deletions, bytes_of(key, key_size), bytes_of(value, value_size));
		if (err)
			sm_fail(reterr, err, "the store in %s: the system's key '%.*s' cannot be read: %s", engine->dir,
				key_size > 4 ? (int)(key_size - 4) : 0, key + 4, sm_err_text(err));
	}
	char *text = NULL;
	rocksdb_iter_get_error(it, &text);
	if (text)
		err = store__rocks_error(text, reterr, "cannot read the store's schema");
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	return err;
}

/* A new directory: the format and an empty schema. */
static enum sm_err write_new(struct store__engine *engine, struct loading *l, struct sm_error *reterr)
{
	uint8_t format[4];
	struct buf key, ops;
	buf_init(&key);
	buf_init(&ops);
	uuid_random(&l->version);
	engine->next_table_number = STORE_TABLE_NUMBER_MIN;
	be32_put(format, STORE_FORMAT);
	store__system_key(&key, STORE_SYSTEM_FORMAT, bytes_of(NULL, 0));
	store__op(&ops, STORE_OP_PUT, buf_bytes(&key), bytes_of(format, sizeof format));
	store__put_schema(&ops, l->version, engine->next_table_number);
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	size_t at = 0;
	enum store_op op;
	struct bytes k, v;
	while (store__op_next(&ops, &at, &op, &k, &v))
		rocksdb_writebatch_put(batch, (const char *)k.data, k.size, (const char *)v.data, v.size);
	char *text = NULL;
	rocksdb_write(engine->rocks.db, engine->rocks.write_sync, batch, &text);
	rocksdb_writebatch_destroy(batch);
	buf_done(&key);
	buf_done(&ops);
	return text ? store__rocks_error(text, reterr, "cannot write the new store") : SM_OK;
}

static enum sm_err load(struct store__engine *engine, struct sm_error *reterr)
{
	struct loading l = {0};
	struct buf deletions;
	arena_init(&l.arena, 0);
	buf_init(&deletions);
	enum sm_err err = load_keys(engine, &l, &deletions, reterr);
	if (!err && l.format > STORE_FORMAT)
		err = sm_fail(reterr, SM_VERSION, "the store in %s has format %u; this smack knows %d: use a newer one", engine->dir,
			      l.format, STORE_FORMAT);
	if (!err && l.format == 0 && (engine->next_table_number || l.table_count || l.keyspace_count || !engine->writer))
		err = sm_fail(reterr, SM_CORRUPT, "the store in %s has no format marker", engine->dir);
	if (!err && l.format == 0)
		err = write_new(engine, &l, reterr);
	if (!err)
		err = store__schema_new(l.keyspaces, l.keyspace_count, l.tables, l.table_count, l.version, &engine->schema, reterr);
	for (size_t i = 0; !err && i < deletions.end; i += 4) {
		struct store__table *t = store__schema_table(engine->schema, be32_get(deletions.data + i));
		if (t)
			atomic_store(&t->state->deletions, true);
	}
	for (uint32_t i = 0; i < l.table_count; i++)
		store__table_unref(l.tables[i]);
	free(l.tables);
	free(l.keyspaces);
	buf_done(&deletions);
	arena_done(&l.arena);
	return err;
}

/* ---- beginning and end ---- */

static void engine_free(struct store__engine *engine)
{
	store__sweep_free(engine->sweep);
	store__rocks_close(&engine->rocks);
	free(engine->purge);
	store__schema_unref(engine->schema);
	pthread_mutex_destroy(&engine->schema_lock);
	pthread_mutex_destroy(&engine->change_lock);
	free(engine->dir);
	free(engine);
}

static enum sm_err op_close(struct sm_store *store, struct sm_error *reterr)
{
	struct store__engine *engine = store__engine_of(store);
	bool writable = engine->writer;
	store__sweep_free(engine->sweep);
	engine->sweep = NULL;
	enum sm_err err = store__writer_free(engine->writer, reterr);
	engine->writer = NULL;
	if (writable && !err) {
		/* so that the next opening has no log to replay */
		char *text = NULL;
		rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
		rocksdb_flushoptions_set_wait(flush, 1);
		rocksdb_flush(engine->rocks.db, flush, &text);
		rocksdb_flushoptions_destroy(flush);
		if (text)
			err = store__rocks_error(text, reterr, "cannot flush the store");
	}
	engine_free(engine);
	return err;
}

static const struct store_ops embedded_ops = {
	.schema = op_schema,
	.schema_release = op_schema_release,
	.change = op_change,
	.apply = op_apply,
	.transact = store__transact,
	.open = store__cursor_open,
	.next = store__cursor_next,
	.close_cursor = store__cursor_close,
	.job_epoch = op_job_epoch,
	.checkpoint = op_checkpoint,
	.close = op_close,
};

static struct store__engine *engine_new(const struct store_ops *ops, const char *dir, struct clock *clock)
{
	struct store__engine *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->public.ops = ops;
	e->clock = clock ? clock : &clock_system;
	pthread_mutex_init(&e->schema_lock, NULL);
	pthread_mutex_init(&e->change_lock, NULL);
	e->dir = strdup(dir);
	if (!e->dir) {
		engine_free(e);
		return NULL;
	}
	return e;
}

enum sm_err store_embedded_open(const struct store_embedded_options *options, struct sm_store **ret_store, struct sm_error *reterr)
{
	enum sm_err err;
	if ((err = io_mkdir_all(&io_system, options->dir, reterr)) || (err = store__wal_check(options->dir, reterr)))
		return err;
	struct store__engine *e = engine_new(&embedded_ops, options->dir, options->clock);
	if (!e)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	e->system = options->system;
	e->purge = calloc(1, sizeof *e->purge);
	if (!e->purge) {
		engine_free(e);
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	e->purge->engine = e;
	struct store__rocks_options rocks = {.dir = options->dir,
					     .block_cache_bytes = options->block_cache_bytes,
					     .memtable_bytes = options->memtable_bytes,
					     .purge = e->purge};
	struct store__writer_options writer = {.engine = e, .ack_before_sync = options->ack_before_sync};
	if (!(err = store__rocks_open(&rocks, &e->rocks, reterr)) && !(err = store__writer_new(&writer, &e->writer, reterr)) &&
	    !(err = load(e, reterr)) && !(err = store__writer_start(e->writer, reterr))) {
		atomic_store(&e->purge->on, true);
		err = store__sweep_new(e, &e->sweep, reterr);
	}
	if (err) {
		store__writer_free(e->writer, NULL);
		engine_free(e);
		return err;
	}
	*ret_store = &e->public;
	return SM_OK;
}

/* ---- checkpoints ---- */

static const char read_only_text[] = "a checkpoint is read-only";

static void ro_change(struct sm_store *store, const struct store_change *change, void (*done)(void *arg, const struct sm_error *error),
		      void *arg)
{
	struct sm_error error = {0};
	sm_fail(&error, SM_UNSUPPORTED, "%s", read_only_text);
	done(arg, &error);
}

static void ro_apply(struct sm_store *store, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err), void *arg)
{
	done(arg, SM_UNSUPPORTED);
}

static void ro_transact(struct sm_store *store, const struct store_transaction *transaction, void (*done)(void *arg, enum sm_err err),
			void *arg)
{
	done(arg, SM_UNSUPPORTED);
}

static enum sm_err ro_job_epoch(struct sm_store *store, const char *job, uint64_t *ret_epoch, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_UNSUPPORTED, "%s", read_only_text);
}

static enum sm_err ro_checkpoint(struct sm_store *store, const char *dir, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_UNSUPPORTED, "%s", read_only_text);
}

static const struct store_ops checkpoint_ops = {
	.schema = op_schema,
	.schema_release = op_schema_release,
	.change = ro_change,
	.apply = ro_apply,
	.transact = ro_transact,
	.open = store__cursor_open,
	.next = store__cursor_next,
	.close_cursor = store__cursor_close,
	.job_epoch = ro_job_epoch,
	.checkpoint = ro_checkpoint,
	.close = op_close,
};

enum sm_err store_checkpoint_open(const char *dir, struct sm_store **ret_store, struct sm_error *reterr)
{
	struct store__engine *e = engine_new(&checkpoint_ops, dir, NULL);
	if (!e)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	struct store__rocks_options rocks = {.dir = dir, .read_only = true};
	enum sm_err err = store__rocks_open(&rocks, &e->rocks, reterr);
	if (err || (err = load(e, reterr))) {
		engine_free(e);
		return err;
	}
	*ret_store = &e->public;
	return SM_OK;
}
