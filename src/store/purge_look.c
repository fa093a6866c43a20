/* The rule of purge.c on one key of the database: which deletions cover it, which other pieces of it there are, and for a deletion whether
 * anything that it covers is left. All three are looked up with iterators in the thread that compacts; the merge operator, which RocksDB
 * calls in that same thread for each key that such an iterator comes to, tells the pieces (store__judge_note). */
#include "store/index.h"
#include "store/purge.h"
#include <rocksdb/c.h>
#include <stdlib.h>

#define STEPS_MAX 2            /* before an iterator that is behind seeks */
#define LOOKS_MAX (256u << 10) /* keys that one judge looks at because deletions reach to them; above, deletions stay */

static _Thread_local struct store__look *looking;
static _Thread_local struct store__judge *looking_for;

void store__judge_init(struct store__judge *j, struct rocksdb_t *db, struct store__schema *schema, int64_t now_s, bool whole)
{
	*j = (struct store__judge){.db = db,
				   .schema = store__schema_ref(schema),
				   .now_s = now_s,
				   .whole = whole,
				   .budget = LOOKS_MAX,
				   .deleted_us = STORE_NO_TIME};
	buf_init(&j->partition);
	store__row_init(&j->row);
	store__row_init(&j->other);
}

static void look_done(struct store__look *l)
{
	if (l->it)
		rocksdb_iter_destroy(l->it);
	free(l->oldest_us);
}

void store__judge_done(struct store__judge *j)
{
	store__stale_free(j->stale);
	look_done(&j->same);
	look_done(&j->heads);
	look_done(&j->rows);
	if (j->options)
		rocksdb_readoptions_destroy(j->options);
	buf_done(&j->partition);
	store__ranges_done(&j->ranges);
	store__row_done(&j->row);
	store__row_done(&j->other);
	store__schema_unref(j->schema);
}

/* ---- pieces ---- */

static int64_t oldest_of(struct store__judge *j, struct bytes value)
{
	return store__row_decode(value, &j->other) ? STORE_OTHERS_UNKNOWN : store__row_oldest(&j->other);
}

bool store__judge_note(const struct bytes *pieces, size_t count)
{
	struct store__look *l = looking;
	if (!l)
		return false;
	if (count > l->cap) {
		int64_t *oldest = realloc(l->oldest_us, count * sizeof *oldest);
		if (!oldest) {
			l->failed = true;
			return true;
		}
		l->oldest_us = oldest;
		l->cap = (uint32_t)count;
	}
	for (size_t i = 0; i < count; i++)
		l->oldest_us[i] = oldest_of(looking_for, pieces[i]);
	l->count = (uint32_t)count;
	return true;
}

bool store__judge_looks(void)
{
	return looking;
}

/* Seek to key, or go on to the next one. */
static void look_at(struct store__judge *j, struct store__look *l, const struct bytes *key)
{
	if (!l->it) {
		j->options = j->options ? j->options : store__read_options();
		rocksdb_readoptions_set_fill_cache(j->options, 0);
		l->it = rocksdb_create_iterator(j->db, j->options);
	}
	l->count = 0;
	l->failed = false;
	looking = l;
	looking_for = j;
	if (key)
		rocksdb_iter_seek(l->it, (const char *)key->data, key->size);
	else
		rocksdb_iter_next(l->it);
	looking = NULL;
}

static bool look_key(const struct store__look *l, struct bytes *ret_key)
{
	size_t size;
	if (!rocksdb_iter_valid(l->it))
		return false;
	const char *key = rocksdb_iter_key(l->it, &size);
	*ret_key = bytes_of(key, size);
	return true;
}

static struct bytes look_value(const struct store__look *l)
{
	size_t size;
	const char *value = rocksdb_iter_value(l->it, &size);
	return bytes_of(value, size);
}

static bool look_failed(const struct store__look *l)
{
	char *text = NULL;
	rocksdb_iter_get_error(l->it, &text);
	if (!text)
		return false;
	rocksdb_free(text);
	return true;
}

/* Bring l to key, which is behind the ones before; false: it is not there. */
static bool come_to(struct store__judge *j, struct store__look *l, struct bytes key)
{
	struct bytes at;
	int c = -1;
	for (int steps = 0; l->it && look_key(l, &at) && (c = bytes_compare(at, key)) < 0 && steps < STEPS_MAX; steps++)
		look_at(j, l, NULL);
	if (c < 0) {
		look_at(j, l, &key);
		c = look_key(l, &at) ? bytes_compare(at, key) : 1;
	}
	return c == 0;
}

/* The oldest write time of the key's pieces that arrived after the first `pieces`. */
static int64_t others_oldest(struct store__judge *j, struct bytes key, size_t pieces)
{
	struct store__look *l = &j->same;
	if (j->whole)
		return STORE_OTHERS_NONE;
	if (!come_to(j, l, key) || l->failed)
		return STORE_OTHERS_UNKNOWN;
	size_t all = l->count ? l->count : 1;
	if (all < pieces)
		return STORE_OTHERS_UNKNOWN;
	int64_t oldest = STORE_OTHERS_NONE;
	for (size_t i = pieces; i < all; i++)
		if (l->oldest_us[i] < oldest)
			oldest = l->oldest_us[i];
	return oldest;
}

/* ---- deletions ---- */

static bool within(struct bytes key, struct bytes prefix)
{
	return key.size > prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0;
}

/* Take up the deletions of the partition; false: they could not be read. */
static bool read_heads(struct store__judge *j, struct bytes prefix)
{
	struct bytes key;
	bool fine = true;
	buf_clear(&j->partition);
	buf_append_bytes(&j->partition, prefix);
	store__ranges_clear(&j->ranges);
	j->deleted_us = STORE_NO_TIME;
	buf_u8(&j->partition, STORE_KEY_PARTITION_DELETION);
	if (j->partition.failed)
		return false;
	struct bytes from = buf_bytes(&j->partition);
	for (look_at(j, &j->heads, &from); fine && look_key(&j->heads, &key) && within(key, prefix); look_at(j, &j->heads, NULL)) {
		uint8_t kind = key.data[prefix.size];
		struct store_span span;
		if (kind >= STORE_KEY_ROW)
			break;
		if (kind == STORE_KEY_STATIC)
			continue;
		fine = !store__row_decode(look_value(&j->heads), &j->other);
		if (fine && kind == STORE_KEY_PARTITION_DELETION)
			j->deleted_us = j->other.deleted_us;
		else if (fine)
			fine = !store__range_decode(bytes_of(key.data + prefix.size + 1, key.size - prefix.size - 1), &span) &&
			       !store__ranges_add(&j->ranges, span, j->other.deleted_us);
	}
	j->partition.end--; /* the kind */
	return fine && !look_failed(&j->heads) && !store__ranges_ready(&j->ranges);
}

/* The newest deletion of the partition or a range that covers the key. */
static int64_t covering(struct store__judge *j, const struct store_key *key)
{
	if (!atomic_load(&j->table->state->deletions))
		return STORE_NO_TIME;
	if (!bytes_equal(buf_bytes(&j->partition), key->prefix) && !read_heads(j, key->prefix)) {
		buf_clear(&j->partition);
		return STORE_NO_TIME;
	}
	int64_t range_us = key->kind == STORE_KEY_ROW ? store__ranges_covering(&j->ranges, key->rest) : STORE_NO_TIME;
	return range_us > j->deleted_us ? range_us : j->deleted_us;
}

/* Does the key, behind the prefix, lie where the deletion reaches? ret_skip: it does not, but later ones may. */
static bool reached(const struct store_key *deletion, const struct store_span *span, struct bytes key, bool *ret_skip)
{
	uint8_t kind = key.data[deletion->prefix.size];
	bool all = deletion->kind == STORE_KEY_PARTITION_DELETION;
	*ret_skip = kind == STORE_KEY_PARTITION_DELETION || kind == STORE_KEY_RANGE_DELETION || (!all && kind == STORE_KEY_STATIC);
	if (*ret_skip || all)
		return !*ret_skip;
	struct bytes clustering = bytes_of(key.data + deletion->prefix.size + 1, key.size - deletion->prefix.size - 1);
	return !span->has_upper || bytes_compare(clustering, span->upper) < 0;
}

/* Is something left that a deletion of a partition or range at deleted_us covers? true also when that cannot be told. */
static bool covers_something(struct store__judge *j, const struct store_key *deletion, int64_t deleted_us)
{
	struct store_span span = {0};
	struct buf from;
	struct bytes key;
	bool found = false, skip, all = deletion->kind == STORE_KEY_PARTITION_DELETION;
	if (!all && store__range_decode(deletion->rest, &span))
		return true;
	buf_init(&from);
	buf_append_bytes(&from, deletion->prefix);
	buf_u8(&from, all ? STORE_KEY_STATIC : STORE_KEY_ROW);
	buf_append_bytes(&from, span.lower);
	if (from.failed)
		return true;
	struct bytes start = buf_bytes(&from);
	for (look_at(j, &j->heads, &start); !found && look_key(&j->heads, &key) && within(key, deletion->prefix);
	     look_at(j, &j->heads, NULL)) {
		if (!reached(deletion, &span, key, &skip)) {
			if (skip)
				continue;
			break;
		}
		if (j->budget == 0 || j->heads.failed)
			found = true;
		else if (j->heads.count == 0)
			found = oldest_of(j, look_value(&j->heads)) <= deleted_us;
		for (uint32_t i = 0; i < j->heads.count; i++)
			found |= j->heads.oldest_us[i] <= deleted_us;
		j->budget -= j->budget != 0;
	}
	buf_done(&from);
	return found || look_failed(&j->heads);
}

/* ---- the judgement ---- */

static bool judge_deletion(struct store__judge *j, const struct store_key *key)
{
	if (j->row.deleted_us == STORE_NO_TIME || !store__purge_grace_over(j->table, j->now_s, j->row.deleted_s) ||
	    covers_something(j, key, j->row.deleted_us))
		return false;
	j->row.deleted_us = STORE_NO_TIME;
	j->row.deleted_s = 0;
	return true;
}

/* Is the key an entry of an index that nobody needs? Its row is read; the merge operator must not judge what that comes to. */
static bool is_stale_entry(struct store__judge *j, struct bytes key)
{
	struct store__look *l = &j->rows;
	if (!j->entries_of || key.size < 4 || be32_get(key.data) < STORE_TABLE_NUMBER_MIN)
		return false;
	if (!l->it) {
		j->options = j->options ? j->options : store__read_options();
		rocksdb_readoptions_set_fill_cache(j->options, 0);
		l->it = rocksdb_create_iterator(j->db, j->options);
	}
	if (!j->stale && store__stale_new(j->entries_of, j->schema, l->it, j->now_s, &j->stale))
		return false;
	looking = l;
	looking_for = j;
	bool stale = store__stale_is(j->stale, key);
	looking = NULL;
	return stale;
}

static bool find_table(struct store__judge *j, struct bytes key)
{
	uint32_t number = key.size < 4 ? 0 : be32_get(key.data);
	if (number < STORE_TABLE_NUMBER_MIN)
		return false;
	if (!j->table || j->table->public.number != number)
		j->table = store__schema_table(j->schema, number);
	return j->table != NULL;
}

enum store__fate store__judge(struct store__judge *j, struct bytes key, struct bytes value, size_t pieces, struct buf *out)
{
	struct store_key k;
	bool changed;
	if (!find_table(j, key))
		return is_stale_entry(j, key) ? STORE_FATE_DROP : STORE_FATE_KEEP;
	if (store__key_decode(key, &k) || store__row_decode(value, &j->row))
		return STORE_FATE_KEEP;
	if (k.kind == STORE_KEY_PARTITION_DELETION || k.kind == STORE_KEY_RANGE_DELETION) {
		changed = judge_deletion(j, &k);
	} else {
		int64_t covered_us = covering(j, &k);
		bool due = store__purge_due(&j->row, j->table, j->now_s);
		changed = store__purge_row(&j->row, j->table, j->now_s, covered_us,
					   due ? others_oldest(j, key, pieces) : STORE_OTHERS_UNKNOWN);
	}
	if (store__row_empty(&j->row))
		return STORE_FATE_DROP;
	if (!changed)
		return STORE_FATE_KEEP;
	buf_clear(out);
	store__row_encode(&j->row, out);
	return out->failed ? STORE_FATE_KEEP : STORE_FATE_CHANGE;
}
