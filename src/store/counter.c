/* Counters. A statement adds; what stands on disk is the sum, with a write time of its own, in a cell like any other.
 *
 * The writer's one thread turns differences into sums, in the order in which the writes are put to disk: it reads the counter, or takes
 * what an earlier write of the same group has made of it, and adds. The new cell's write time is the statement's, or one more than the old
 * cell's where that is later, so that the newest sum wins when cells are resolved, whatever clocks the clients have.
 *
 * Why nothing is lost or counted twice over a crash: the log holds sums, not differences. Replaying it puts the same sum with the same time
 * again, and resolving a cell with itself changes nothing. A group's sums are computed from what was synced before and from the group
 * itself, which is written in one piece; when that piece is lost, nobody was answered for it, and all its sums are lost together. After a
 * failed write the store is read-only, so no sum is ever computed from one that did not reach the disk. */
#include "store/store_internal.h"
#include "base/map.h"
#include <stdlib.h>

struct sum {
	uint32_t column;
	int64_t value, timestamp_us;
};
/* The counters of one key, as the group's writes so far leave them. */
struct counted {
	uint32_t count;
	struct sum sums[];
};
struct store__counting {
	struct store__engine *engine;
	struct map rows; /* key -> struct counted */
};

struct store__counting *store__counting_new(struct store__engine *engine)
{
	struct store__counting *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->engine = engine;
	map_init(&c->rows);
	return c;
}

void store__counting_reset(struct store__counting *c)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	if (!c->rows.count)
		return;
	while (map_next(&c->rows, &pos, &key, &value))
		free(value);
	map_done(&c->rows);
	map_init(&c->rows);
}

void store__counting_free(struct store__counting *c)
{
	if (!c)
		return;
	store__counting_reset(c);
	map_done(&c->rows);
	free(c);
}

static void take_row(const struct store_table *t, const struct store_row *row, struct counted *counted)
{
	for (uint16_t i = 0; i < t->column_count; i++)
		for (uint32_t k = 0; k < counted->count; k++)
			if (counted->sums[k].column == t->columns[i].id && row->cells[i].size == 8)
				counted->sums[k] = (struct sum){t->columns[i].id, (int64_t)be64_get(row->cells[i].data),
								row->timestamps_us[i]};
}

/* The row as it is on disk. */
static enum sm_err read_row(struct store__counting *c, const struct store_table *t, const struct store_key *key, struct counted *counted)
{
	struct store_cell partition[STORE_COLUMNS_MAX], clustering[STORE_COLUMNS_MAX];
	struct store_read read = {.table = t, .partition_key = partition, .statics_only = key->kind == STORE_KEY_STATIC};
	struct store_cursor *cursor;
	const struct store_row *row;
	struct buf scratch;
	buf_init(&scratch);
	enum sm_err err = store__partition_cells(t, key->partition, partition);
	if (!err && key->kind == STORE_KEY_ROW && t->clustering_count) {
		err = store__clustering_decode(t, key->rest, &scratch, clustering);
		read.from = read.to = (struct store_bound){STORE_INCLUSIVE, t->clustering_count, clustering};
	}
	if (!err)
		err = store__cursor_open(&c->engine->public, &read, &cursor, NULL);
	if (!err) {
		if (!(err = store__cursor_next(cursor, &row)))
			take_row(t, row, counted);
		store__cursor_close(cursor);
	}
	buf_done(&scratch);
	return err == SM_END ? SM_OK : err;
}

/* All counters of the key's kind, from the group or from disk. */
static enum sm_err find_row(struct store__counting *c, struct bytes key, struct counted **ret)
{
	struct store_key k;
	struct counted *counted = map_get(&c->rows, key);
	*ret = counted;
	if (counted)
		return SM_OK;
	enum sm_err err = store__key_decode(key, &k);
	struct store__table *table = err ? NULL : store__schema_table(c->engine->schema, k.table);
	if (err || !table)
		return err ? err : SM_NOT_FOUND;
	const struct store_table *t = &table->public;
	if (!(counted = calloc(1, sizeof *counted + t->column_count * sizeof *counted->sums)))
		return SM_NO_MEMORY;
	for (uint16_t i = 0; i < t->column_count; i++)
		if (t->columns[i].kind == (k.kind == STORE_KEY_STATIC ? STORE_STATIC : STORE_REGULAR))
			counted->sums[counted->count++] = (struct sum){t->columns[i].id, 0, STORE_NO_TIME};
	err = read_row(c, t, &k, counted);
	if (!err)
		err = map_put(&c->rows, key, counted, NULL);
	if (err) {
		free(counted);
		return err;
	}
	*ret = counted;
	return SM_OK;
}

enum sm_err store__count(struct store__counting *c, struct bytes key, struct bytes differences, struct buf *out)
{
	struct counted *counted;
	struct store__row row;
	uint8_t(*values)[8] = NULL;
	store__row_init(&row);
	enum sm_err err = store__row_decode(differences, &row);
	if (!err)
		err = find_row(c, key, &counted);
	if (!err && row.cell_count && !(values = malloc(row.cell_count * sizeof *values)))
		err = SM_NO_MEMORY;
	for (uint32_t i = 0; !err && i < row.cell_count; i++) {
		struct store__cell *cell = &row.cells[i];
		struct sum *sum = NULL;
		if (cell->id == STORE_FORM_ID)
			continue;
		for (uint32_t k = 0; k < counted->count; k++)
			if (counted->sums[k].column == cell->id)
				sum = &counted->sums[k];
		if (!sum || cell->size != 8) { /* the column was dropped meanwhile */
			err = SM_NOT_FOUND;
			break;
		}
		sum->value = (int64_t)((uint64_t)sum->value + be64_get(cell->data)); /* wraps, as in Cassandra */
		if (cell->timestamp_us > sum->timestamp_us)
			sum->timestamp_us = cell->timestamp_us;
		else if (sum->timestamp_us < INT64_MAX)
			sum->timestamp_us++;
		be64_put(values[i], (uint64_t)sum->value);
		cell->data = values[i];
		cell->timestamp_us = sum->timestamp_us;
	}
	if (!err) {
		store__row_encode(&row, out);
		err = out->failed ? SM_NO_MEMORY : SM_OK;
	}
	store__row_done(&row);
	free(values);
	return err;
}
