/* Transactions: rows are read, the caller decides, what it says is written. All of it happens on the writer's thread, when everything
 * before is on disk, so there is one order of all writes and no lock.
 *
 * The writer should not wait for a disk. So the rows are read once before the transaction is queued, from memory on the caller's thread,
 * else on the pool: then the blocks that the writer needs are in the cache. */
#include "store/store_internal.h"
#include <assert.h>
#include <stdlib.h>

/* ---- partitions of a group ---- */

/* Two partitions that share a number only cost a group of its own. */
static uint64_t number_of(uint32_t table, int64_t token)
{
	uint64_t n = (uint64_t)token * 0x9e3779b97f4a7c15u + table;
	return n ^ n >> 29;
}

void store__partitions_add(struct number_set *partitions, const struct buf *ops)
{
	size_t at = 0;
	enum store_op op;
	struct bytes key, value;
	while (store__op_next(ops, &at, &op, &key, &value)) {
		if (key.size < STORE_KEY_PARTITION_AT || be32_get(key.data) == 0)
			continue;
		number_set_add(partitions, number_of(be32_get(key.data), (int64_t)(be64_get(key.data + STORE_KEY_TOKEN_AT) ^ 1ull << 63)));
	}
}

bool store__partitions_have(const struct number_set *partitions, uint32_t table, int64_t token)
{
	return number_set_has(partitions, number_of(table, token));
}

/* ---- looking ---- */

static bool copy_elements(const struct store_elements *from, struct arena *arena, struct store_elements *to)
{
	struct store_element *items = arena_copy(arena, from->items, from->count * sizeof *items);
	*to = (struct store_elements){items, from->count};
	for (uint32_t i = 0; i < from->count; i++) {
		struct store_cell *path = &items[i].path, *value = &items[i].value;
		if (!items || !(path->data = arena_copy(arena, path->data, (size_t)path->size)) ||
		    !(value->data = arena_copy(arena, value->data, (size_t)value->size)))
			return false;
	}
	return true;
}

static bool copy_row(const struct store_row *from, uint16_t count, struct arena *arena, struct store_row *to)
{
	struct store_cell *cells = arena_alloc(arena, count * sizeof *cells);
	*to = *from;
	to->cells = cells;
	to->timestamps_us = arena_copy(arena, from->timestamps_us, count * sizeof *from->timestamps_us);
	to->ttls_s = arena_copy(arena, from->ttls_s, count * sizeof *from->ttls_s);
	struct store_elements *elements = arena_alloc(arena, count * sizeof *elements);
	to->elements = elements;
	if (!cells || !to->timestamps_us || !to->ttls_s || !elements)
		return false;
	for (uint16_t i = 0; i < count; i++) {
		cells[i] = from->cells[i];
		if (!copy_elements(&from->elements[i], arena, &elements[i]))
			return false;
		if (cells[i].size > 0 && !(cells[i].data = arena_copy(arena, from->cells[i].data, (size_t)from->cells[i].size)))
			return false;
	}
	return true;
}

/* One row. arena NULL: only read it. */
static enum sm_err look_at(struct store__engine *engine, const struct store_transaction *t, const struct store_look *look,
			   struct store__table *now, bool cached_only, struct arena *arena, struct store_row *ret_row, int64_t *newest_us)
{
	struct store_bound row = {STORE_INCLUSIVE, t->table->clustering_count, look->clustering};
	struct store_read read = {.table = t->table, .partition_key = t->partition_key, .cached_only = cached_only};
	struct store_cursor *c;
	const struct store_row *found;
	if (!look->partition && row.count)
		read.from = read.to = row;
	enum sm_err err = store__cursor_open_now(&engine->public, &read, now, &c, NULL);
	if (err)
		return err;
	err = store__cursor_next(c, &found);
	if (!err && arena && !copy_row(found, t->table->column_count, arena, ret_row))
		err = SM_NO_MEMORY;
	if (err == SM_END)
		err = SM_OK;
	if (store__cursor_newest_us(c) > *newest_us)
		*newest_us = store__cursor_newest_us(c);
	store__cursor_close(c);
	return err;
}

static enum sm_err look(struct store__engine *engine, const struct store_transaction *t, struct store__table *now, bool cached_only,
			struct arena *arena, struct store_sight *ret_sight)
{
	struct store_row *rows = arena ? arena_alloc(arena, (t->look_count + 1u) * sizeof *rows) : NULL;
	int64_t newest_us = STORE_NO_TIME;
	enum sm_err err = arena && !rows ? SM_NO_MEMORY : SM_OK;
	for (uint32_t i = 0; i < t->look_count && !err; i++)
		err = look_at(engine, t, &t->looks[i], now, cached_only, arena, rows ? &rows[i] : NULL, &newest_us);
	*ret_sight = (struct store_sight){rows, newest_us};
	return err;
}

enum sm_err store__transaction_run(struct store__engine *engine, struct store__table *now, struct store__write *w)
{
	struct arena arena;
	struct store_sight sight;
	struct store_batch batch = {0};
	arena_init(&arena, 0);
	enum sm_err err = look(engine, w->transaction, now, false, &arena, &sight);
	if (!err)
		err = w->transaction->decide(w->transaction->arg, &sight, &batch);
	if (!err && batch.count)
		err = store__batch_encode(&batch, (int64_t)clock_wall_us(engine->clock), w);
	arena_done(&arena);
	return err;
}

/* ---- before the queue ---- */

struct reading {
	struct sm_work work; /* first */
	struct store__engine *engine;
	struct store__write *write;
};

static void put(struct store__engine *engine, struct store__write *w)
{
	void (*done)(void *arg, enum sm_err err) = w->done;
	void *arg = w->arg;
	enum sm_err err = store__writer_put(engine->writer, w);
	if (!err)
		return;
	store__write_free(w);
	done(arg, err);
}

static void read_on_pool(struct sm_work *work)
{
	struct reading *r = (struct reading *)work;
	struct store_sight ignored;
	/* What goes wrong here goes wrong again in its turn. */
	(void)look(r->engine, r->write->transaction, store__table_of(r->write->transaction->table), false, NULL, &ignored);
	put(r->engine, r->write);
	free(r);
}

static void read_before(struct store__engine *engine, struct store__write *w)
{
	struct store_sight ignored;
	bool many = w->transaction->look_count > STORE_LOOKS_HERE_MAX;
	enum sm_err err = many ? SM_AGAIN : look(engine, w->transaction, store__table_of(w->transaction->table), true, NULL, &ignored);
	struct reading *r = err == SM_AGAIN && engine->system ? calloc(1, sizeof *r) : NULL;
	if (r) {
		*r = (struct reading){.work = {.run = read_on_pool}, .engine = engine, .write = w};
		if (sm_pool_run(engine->system, &r->work) == SM_OK)
			return;
		free(r);
	}
	put(engine, w);
}

static enum sm_err prepare(const struct store_transaction *t, struct store__write *w)
{
	struct buf partition;
	buf_init(&partition);
	enum sm_err err = t->look_count > STORE_LOOKS_MAX ? SM_TOO_LARGE : store__partition_bytes(t->table, t->partition_key, &partition);
	if (!err)
		w->token = store_token(t->table, t->partition_key);
	w->touched[0] = (struct store__touched){.table = t->table->number};
	w->touched_count = 1;
	w->transaction = t;
	buf_done(&partition);
	return err;
}

void store__transact(struct sm_store *store, const struct store_transaction *transaction, void (*done)(void *arg, enum sm_err err),
		     void *arg)
{
	struct store__engine *engine = store__engine_of(store);
	struct store__write *w = store__write_new(STORE__WRITE_TRANSACTION);
	enum sm_err err = w ? prepare(transaction, w) : SM_NO_MEMORY;
	if (err) {
		store__write_free(w);
		done(arg, err);
		return;
	}
	w->done = done;
	w->arg = arg;
	read_before(engine, w);
}
