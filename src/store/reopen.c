/* The database is taken away and opened anew while the engine lives. After a failed write RocksDB refuses all others until it is resumed,
 * and its C API cannot resume; so when a disk was full and has room again, the writer closes it and opens it, as a restart would, but for
 * the process: log and memtables are recovered, what was half written is cut off, and the schema is read again, since a change whose write
 * failed may be on disk or not.
 *
 * Readers hold the database from their first read until they close. While it is away, those that may wait do, and the others are
 * sent where they may. If opening fails, reads fail with the same error until a later try succeeds. */
#include "store/index.h"
#include "store/purge.h"
#include <errno.h>
#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <unistd.h>

#define ROOM_BYTES (64u << 20) /* recovery writes what the log holds, and a manifest */
#define READERS_WAIT_MS 1000

enum sm_err store__enter(struct store__engine *engine, bool may_block, struct sm_error *reterr)
{
	struct store__gate *g = &engine->gate;
	store__rocks_thread();
	atomic_fetch_add(&g->users, 1);
	if (atomic_load(&g->state) == STORE_GATE_OPEN)
		return SM_OK;
	store__leave(engine);
	if (!may_block)
		return SM_AGAIN;
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&g->lock);
	while (atomic_load(&g->state) == STORE_GATE_MOVING)
		pthread_cond_wait(&g->changed, &g->lock);
	if (atomic_load(&g->state) == STORE_GATE_OPEN) {
		atomic_fetch_add(&g->users, 1); /* the state does not change meanwhile */
	} else {
		err = g->error.code;
		if (reterr)
			*reterr = g->error;
	}
	pthread_mutex_unlock(&g->lock);
	return err;
}

void store__leave(struct store__engine *engine)
{
	struct store__gate *g = &engine->gate;
	if (atomic_fetch_sub(&g->users, 1) == 1 && atomic_load(&g->state) == STORE_GATE_MOVING) {
		pthread_mutex_lock(&g->lock);
		pthread_cond_broadcast(&g->changed);
		pthread_mutex_unlock(&g->lock);
	}
}

void store__gate_init(struct store__gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	clock_cond_init(&gate->changed);
}

void store__gate_done(struct store__gate *gate)
{
	pthread_cond_destroy(&gate->changed);
	pthread_mutex_destroy(&gate->lock);
}

static void set_state(struct store__gate *g, enum store__gate_state state)
{
	pthread_mutex_lock(&g->lock);
	atomic_store(&g->state, state);
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

/* Is there room for what a recovery writes? */
static enum sm_err look_for_room(struct store__engine *engine, struct sm_error *reterr)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/room.tmp", engine->dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return sm_fail_errno(reterr, errno, "cannot create %s", path);
	int e = fallocate(fd, 0, 0, ROOM_BYTES) ? errno : 0;
	close(fd);
	unlink(path);
	return e && e != EOPNOTSUPP ? sm_fail_errno(reterr, e, "no room of %u MiB in %s", ROOM_BYTES >> 20, engine->dir) : SM_OK;
}

/* Let nobody begin, and wait for those who are reading; false: they read for too long. */
static bool take_away(struct store__engine *engine)
{
	struct store__gate *g = &engine->gate;
	enum store__gate_state was = atomic_load(&g->state);
	uint64_t until_ns = clock_deadline_ns(READERS_WAIT_MS);
	set_state(g, STORE_GATE_MOVING);
	if (engine->rocks.db)
		rocksdb_disable_manual_compaction(engine->rocks.db);
	pthread_mutex_lock(&g->lock);
	while (atomic_load(&g->users) && clock_cond_wait_until(&g->changed, &g->lock, until_ns))
		;
	bool free = atomic_load(&g->users) == 0;
	pthread_mutex_unlock(&g->lock);
	if (!free) {
		if (engine->rocks.db)
			rocksdb_enable_manual_compaction(engine->rocks.db);
		set_state(g, was);
	}
	return free;
}

/* The picture as it was or, if a change whose write failed is on disk after all, as it is. Tables keep what readers of older pictures look
 * at. */
static enum sm_err take_schema(struct store__engine *engine, struct sm_error *reterr)
{
	struct store__schema *schema, *old = engine->schema; /* only the writer changes it, and this is its thread */
	store__built_drop(engine->built);
	enum sm_err err = store__load(engine, &schema, reterr);
	if (err)
		return err;
	if (memcmp(&schema->public.version, &old->public.version, sizeof schema->public.version) == 0) {
		store__schema_unref(schema);
		return SM_OK;
	}
	for (uint32_t i = 0; i < schema->table_count; i++) {
		struct store__table *table = schema->tables[i], *was = store__schema_table(old, table->public.number);
		if (was)
			store__table_share_state(table, was);
	}
	store__engine_swap_schema(engine, schema);
	return SM_OK;
}

static enum sm_err open_anew(struct store__engine *engine, struct sm_error *reterr)
{
	enum sm_err err = store__manifest_check(engine->dir, reterr);
	if (err || (err = store__wal_check(engine->dir, reterr)) ||
	    (err = store__rocks_open(&engine->rocks_options, &engine->rocks, reterr)))
		return err;
	if ((err = take_schema(engine, reterr)))
		store__rocks_close(&engine->rocks);
	return err;
}

enum sm_err store__reopen(struct store__engine *engine, struct sm_error *reterr)
{
	struct store__gate *g = &engine->gate;
	enum sm_err err = look_for_room(engine, reterr);
	if (err)
		return err;
	if (!take_away(engine))
		return sm_fail(reterr, SM_BUSY, "the store cannot be opened anew while it is read");
	atomic_store(&engine->purge->on, false);
	store__rocks_close(&engine->rocks);
	err = open_anew(engine, &g->error);
	if (err && reterr)
		*reterr = g->error;
	if (!err)
		atomic_store(&engine->purge->on, true);
	set_state(g, err ? STORE_GATE_CLOSED : STORE_GATE_OPEN);
	return err;
}
