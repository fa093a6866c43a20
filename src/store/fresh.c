/* Rows that are new: their first piece is put as the value that it is, so that nobody has to merge it.
 *
 * A piece that is merged makes each reader look through all levels for older ones and copy what RocksDB's merge makes of it, until a
 * compaction has joined them in the lowest level. Where the database has nothing under the key, a put means the same: what comes later
 * is merged onto it. To know that costs a look at the memtable and at the files' Bloom filters, which are in memory; disks are not asked. A
 * key that may be there for all that is known without them is merged, and so is one that is in the write already.
 *
 * Where rows are written again and again the look finds them and was for nothing, so it is then left out but for one write in some. */
#include "store/store_internal.h"
#include "base/hash.h"
#include <rocksdb/c.h>

#define OLD_MAX 16 /* what a table's score counts up to */
#define OLD_MANY 8 /* from here on few are looked for */
#define ONE_IN 32

static bool is_row(struct bytes key)
{
	if (key.size <= STORE_KEY_PARTITION_AT + 2u)
		return false;
	size_t kind = STORE_KEY_PARTITION_AT + 2u + be16_get(key.data + STORE_KEY_PARTITION_AT);
	return key.size > kind && key.data[kind] == STORE_KEY_ROW;
}

/* Has the database nothing under the key, for all that memory knows? What cannot be told, an error too, counts as something. */
static bool absent(const struct store__rocks *rocks, struct bytes key)
{
	char *text = NULL;
	rocksdb_pinnableslice_t *value = rocksdb_get_pinned(rocks->db, rocks->get_cached, (const char *)key.data, key.size, &text);
	bool nothing = !value && !text;
	if (value)
		rocksdb_pinnableslice_destroy(value);
	rocksdb_free(text);
	return nothing;
}

bool store__fresh_row(const struct store__rocks *rocks, struct number_set *in_write, struct store__table_state *state, struct bytes key)
{
	/* Two keys with one hash only cost a merge. */
	if (!is_row(key) || !number_set_add(in_write, hash64(key.data, key.size)))
		return false;
	if (state->old_rows >= OLD_MANY && ++state->not_looked % ONE_IN)
		return false;
	bool fresh = absent(rocks, key);
	if (!fresh && state->old_rows < OLD_MAX)
		state->old_rows++;
	else if (fresh && state->old_rows)
		state->old_rows -= state->old_rows > 1 ? 2 : 1;
	return fresh;
}
