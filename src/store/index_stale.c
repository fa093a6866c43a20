/* Entries that nobody needs: the row is gone, or does not have the value any more. They leave the disk in compactions that the sweep has
 * begun because there are many of them (sweep.c, purge_look.c); until then whoever reads by the index steps over them.
 *
 * Why none is missed: an entry is needed when its row has the value. The row is read in a state that is later than the entry's writing, for
 * the compaction's files were complete before the iterator was made. If the row does not have the value then, it gets it back only
 * by a new write, whatever write times, expiry and deletions there are: what has lost against another cell, or is covered, loses in
 * every later state too, as what it lost against leaves the disk only after it (purge.c). And a new write brings an entry of its own, which
 * is not in the compaction. A row is taken as it was an hour ago where only the clock makes the difference: it may be set back a little. */
#include "store/index.h"
#include <rocksdb/c.h>
#include <stdlib.h>

#define CLOCK_BACK_S 3600

struct store__stale {
	struct store__engine *engine;
	struct store__schema *schema; /* counted */
	rocksdb_iterator_t *it;
	int64_t now_s;
	/* the index of the last entry */
	uint32_t number;
	struct store__table *table; /* of the schema; NULL: it has no such index */
	uint16_t index;
	struct store_cursor *rows;
	struct buf prefix, end, value;
};

enum sm_err store__stale_new(struct store__engine *engine, struct store__schema *schema, rocksdb_iterator_t *it, int64_t now_s,
			     struct store__stale **ret_stale)
{
	struct store__stale *s = calloc(1, sizeof *s);
	if (!s)
		return SM_NO_MEMORY;
	s->engine = engine;
	s->schema = store__schema_ref(schema);
	s->it = it;
	s->now_s = now_s > CLOCK_BACK_S ? now_s - CLOCK_BACK_S : 1;
	*ret_stale = s;
	return SM_OK;
}

void store__stale_free(struct store__stale *s)
{
	if (!s)
		return;
	store__cursor_close(s->rows);
	buf_done(&s->prefix);
	buf_done(&s->end);
	buf_done(&s->value);
	store__schema_unref(s->schema);
	free(s);
}

static bool find_index(struct store__stale *s, uint32_t number)
{
	if (s->number == number)
		return s->table;
	store__cursor_close(s->rows);
	s->rows = NULL;
	s->number = number;
	s->table = store__schema_index(s->schema, number, &s->index);
	if (!s->table)
		return false;
	struct store_read read = {.table = &s->table->public, .now_s = s->now_s};
	if (store__cursor_open_aimed(s->engine, &read, s->it, &s->rows))
		s->table = NULL;
	return s->table;
}

static bool aim(struct store__stale *s, const struct store__entry *e)
{
	struct store__aim aim;
	return !store__entry_aim(s->table, e, &s->prefix, &s->end, &aim) && !store__cursor_aim(s->rows, &aim);
}

struct looking {
	struct store__stale *stale;
	const struct store__entry *entry;
};

static bool is_entry_of(const void *arg, struct store_cell key, struct store_cell value)
{
	const struct looking *l = arg;
	struct store__stale *s = l->stale;
	const struct store_column *c = store__index_column(s->table, s->index);
	buf_clear(&s->value);
	store__entry_value(&c->type, &s->table->public.indexes[s->index], key, value, &s->value);
	return s->value.failed || bytes_equal(buf_bytes(&s->value), l->entry->value);
}

bool store__stale_is(struct store__stale *s, struct bytes key)
{
	struct store__entry e;
	const struct store_row *row;
	if (store__entry_decode(key, &e) || !find_index(s, e.index) || !aim(s, &e))
		return false;
	enum sm_err err = store__cursor_next(s->rows, &row);
	return err ? err == SM_END : !store__index_any(s->table, s->index, row, is_entry_of, &(struct looking){s, &e});
}
