/* The embedded engine: opening and closing, the table of calls, schema changes. */
#include "store/index.h"
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
		if (!err)
			store__builder_wake(engine->builder);
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
		err = store__batch_encode(batch, (int64_t)clock_wall_us(engine->clock), w);
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

/* ---- beginning and end ---- */

static void engine_free(struct store__engine *engine)
{
	store__builder_free(engine->builder);
	store__sweep_free(engine->sweep);
	store__rocks_close(&engine->rocks);
	free(engine->purge);
	store__gate_done(&engine->gate);
	store__damage_free(engine->damage);
	store__built_free(engine->built);
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
	store__builder_free(engine->builder);
	engine->builder = NULL;
	store__sweep_free(engine->sweep);
	engine->sweep = NULL;
	enum sm_err err = store__writer_free(engine->writer, reterr);
	engine->writer = NULL;
	if (writable && !err && engine->rocks.db) {
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

bool store__is_embedded(const struct sm_store *store)
{
	return store->ops == &embedded_ops;
}

static struct store__engine *engine_new(const struct store_ops *ops, const char *dir, struct clock *clock)
{
	struct store__engine *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->public.ops = ops;
	e->clock = clock ? clock : &clock_system;
	e->index_candidates_max = STORE_INDEX_CANDIDATES_MAX;
	pthread_mutex_init(&e->schema_lock, NULL);
	pthread_mutex_init(&e->change_lock, NULL);
	store__gate_init(&e->gate);
	e->dir = strdup(dir);
	e->built = store__built_new();
	if (!e->dir || !e->built) {
		engine_free(e);
		return NULL;
	}
	return e;
}

/* The database or, if one of its files of tables is damaged, what can be read of it: then ret_damage says what is wrong. With a damaged
 * manifest nobody knows what there is, so that is an error. */
static enum sm_err open_rocks(struct store__engine *e, struct sm_error *ret_damage, struct sm_error *reterr)
{
	struct sm_error damage = {0}, error;
	enum sm_err err = store__rocks_open(&e->rocks_options, &e->rocks, &damage);
	if (!err)
		return SM_OK;
	bool of_tables = strstr(damage.text, ".sst") || strstr(damage.text, ".ldb"); /* the second where one is missing */
	if (!of_tables || (err != SM_CORRUPT && err != SM_NOT_FOUND)) {
		if (reterr)
			*reterr = damage;
		return err;
	}
	e->rocks_options.lenient = true;
	if (store__rocks_open(&e->rocks_options, &e->rocks, &error))
		return sm_fail(reterr, SM_CORRUPT, "%s", damage.text);
	(void)sm_fail(ret_damage, SM_CORRUPT, "the store is read-only, and `smack store check` tells what is lost: %s", damage.text);
	return SM_OK;
}

static enum sm_err begin(struct store__engine *e, const struct store_embedded_options *options, struct sm_error *reterr)
{
	struct sm_error damage = {0};
	struct store__writer_options writer = {
		.engine = e, .ack_before_sync = options->ack_before_sync, .split_batches = options->split_batches};
	enum sm_err err = open_rocks(e, &damage, reterr);
	if (err || (err = store__writer_new(&writer, &e->writer, reterr)))
		return err;
	if (damage.code)
		store__writer_refuse(e->writer, &damage);
	if ((err = store__load(e, &e->schema, reterr)) || (err = store__writer_start(e->writer, reterr)))
		return err;
	if (damage.code) {
		if ((err = store__damage_find(e, &e->damage)))
			return sm_fail(reterr, err, "out of memory");
		if (options->notice)
			options->notice(options->notice_arg, damage.text);
		return SM_OK;
	}
	atomic_store(&e->purge->on, true);
	if ((err = store__sweep_new(e, &e->sweep, reterr)) || (err = store__builder_new(e, &e->builder, reterr)))
		return err;
	store__builder_wake(e->builder);
	return SM_OK;
}

enum sm_err store_embedded_open(const struct store_embedded_options *options, struct sm_store **ret_store, struct sm_error *reterr)
{
	enum sm_err err;
	if ((err = io_mkdir_all(&io_system, options->dir, reterr)) || (err = store__manifest_check(options->dir, reterr)) ||
	    (err = store__wal_check(options->dir, reterr)))
		return err;
	struct store__engine *e = engine_new(&embedded_ops, options->dir, options->clock);
	if (!e || !(e->purge = calloc(1, sizeof *e->purge))) {
		if (e)
			engine_free(e);
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	e->system = options->system;
	e->purge->engine = e;
	e->rocks_options = (struct store__rocks_options){.dir = e->dir,
							 .block_cache_bytes = options->block_cache_bytes,
							 .memtable_bytes = options->memtable_bytes,
							 .purge = e->purge};
	if ((err = begin(e, options, reterr))) {
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

static enum sm_err open_read_only(const char *dir, bool lenient, struct sm_store **ret_store, struct sm_error *reterr)
{
	struct store__engine *e = engine_new(&checkpoint_ops, dir, NULL);
	if (!e)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	struct store__rocks_options rocks = {.dir = dir, .read_only = true, .lenient = lenient};
	enum sm_err err = store__rocks_open(&rocks, &e->rocks, reterr);
	if (err || (err = store__load(e, &e->schema, reterr))) {
		engine_free(e);
		return err;
	}
	*ret_store = &e->public;
	return SM_OK;
}

enum sm_err store_checkpoint_open(const char *dir, struct sm_store **ret_store, struct sm_error *reterr)
{
	return open_read_only(dir, false, ret_store, reterr);
}

enum sm_err store__open_to_look(const char *dir, struct sm_store **ret_store, struct sm_error *reterr)
{
	return open_read_only(dir, true, ret_store, reterr);
}
