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
#include <stdlib.h>

#define SLOTS_FIRST 256
#define SLOTS_KEPT_MAX 65536 /* of a large write; the next one begins with few again */
#define OLD_MAX 16           /* what a table's score counts up to */
#define OLD_MANY 8           /* from here on few are looked for */
#define ONE_IN 32

struct store__fresh {
	const struct store__rocks *rocks;
	uint64_t *slots; /* hashes of the rows that the write holds; 0: empty */
	size_t count, cap;
	bool all; /* memory was out: any may be there */
};

struct store__fresh *store__fresh_new(const struct store__rocks *rocks)
{
	struct store__fresh *f = calloc(1, sizeof *f);
	if (f)
		f->rocks = rocks;
	return f;
}

void store__fresh_free(struct store__fresh *f)
{
	if (f)
		free(f->slots);
	free(f);
}

void store__fresh_clear(struct store__fresh *f)
{
	if (f->cap > SLOTS_KEPT_MAX) {
		free(f->slots);
		f->slots = NULL;
		f->cap = 0;
	} else if (f->count) {
		memset(f->slots, 0, f->cap * sizeof *f->slots);
	}
	f->count = 0;
	f->all = false;
}

static size_t slot_of(const struct store__fresh *f, uint64_t hash)
{
	size_t at = hash & (f->cap - 1);
	while (f->slots[at] && f->slots[at] != hash)
		at = (at + 1) & (f->cap - 1);
	return at;
}

static bool grow(struct store__fresh *f)
{
	if ((f->count + 1) * 2 <= f->cap)
		return true;
	struct store__fresh more = {.cap = f->cap ? f->cap * 2 : SLOTS_FIRST};
	if (!(more.slots = calloc(more.cap, sizeof *more.slots)))
		return false;
	for (size_t i = 0; i < f->cap; i++)
		if (f->slots[i])
			more.slots[slot_of(&more, f->slots[i])] = f->slots[i];
	free(f->slots);
	f->slots = more.slots;
	f->cap = more.cap;
	return true;
}

/* Note the key; true: it was not there. Two keys with one hash only cost a merge. */
static bool first_in_write(struct store__fresh *f, struct bytes key)
{
	uint64_t hash = hash64(key.data, key.size);
	if (f->all || !grow(f)) {
		f->all = true;
		return false;
	}
	size_t slot = slot_of(f, hash ? hash : 1);
	if (f->slots[slot])
		return false;
	f->slots[slot] = hash ? hash : 1;
	f->count++;
	return true;
}

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

bool store__fresh_row(struct store__fresh *f, struct store__table_state *state, struct bytes key)
{
	if (!is_row(key) || !first_in_write(f, key))
		return false;
	if (state->old_rows >= OLD_MANY && ++state->not_looked % ONE_IN)
		return false;
	bool fresh = absent(f->rocks, key);
	if (!fresh && state->old_rows < OLD_MAX)
		state->old_rows++;
	else if (fresh && state->old_rows)
		state->old_rows -= state->old_rows > 1 ? 2 : 1;
	return fresh;
}
