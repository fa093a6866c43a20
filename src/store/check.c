/* Damage hides what is behind it: after a block that cannot be read, the scan goes on at the next file's first key, and says so. */
#include "store/check.h"
#include "store/index.h"
#include "base/hash.h"
#include <errno.h>
#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TELL_MAX 10 /* problems of one table; the others are counted */

struct checking {
	const struct store_check *check;
	struct store_check_totals *totals;
	struct store__engine *engine;
	struct store__row row;
	struct buf scratch;
	struct store_cell *cells; /* STORE_COLUMNS_MAX */
	/* the table that is looked at */
	const struct store__table *table;
	uint32_t index; /* number of its index that is looked at; 0: its rows are */
	uint64_t keys, bytes;
	uint32_t problems;
};

static void SM_PRINTF(2, 3) problem(struct checking *c, const char *fmt, ...)
{
	char text[1500];
	va_list args;
	c->totals->problems++;
	if (c->problems++ >= TELL_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	c->check->say(c->check->arg, STORE_CHECK_PROBLEM, text);
}

/* ---- the files ---- */

/* RocksDB locks this file as long as it is open. */
static enum sm_err lock_look(const char *dir, struct sm_error *reterr)
{
	char path[4096];
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	snprintf(path, sizeof path, "%s/LOCK", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? SM_OK : sm_fail_errno(reterr, errno, "cannot open %s", path);
	int e = fcntl(fd, F_GETLK, &lock) ? errno : 0;
	close(fd);
	if (e)
		return sm_fail_errno(reterr, e, "cannot look at the lock of %s", path);
	return lock.l_type == F_UNLCK ? SM_OK : sm_fail(reterr, SM_BUSY, "%s is in use: stop the server first", dir);
}

static void files_look(struct checking *c)
{
	const rocksdb_livefiles_t *files = rocksdb_livefiles(c->engine->rocks.db);
	int count = rocksdb_livefiles_count(files);
	for (int i = 0; i < count; i++) {
		char path[4096];
		struct stat st;
		snprintf(path, sizeof path, "%s%s", c->check->dir, rocksdb_livefiles_name(files, i));
		c->totals->files++;
		if (stat(path, &st))
			problem(c, "%s is missing: its rows are lost", path);
		else if ((uint64_t)st.st_size != rocksdb_livefiles_size(files, i))
			problem(c, "%s has %lld bytes instead of %llu: it was truncated or grew", path, (long long)st.st_size,
				(unsigned long long)rocksdb_livefiles_size(files, i));
	}
	rocksdb_livefiles_destroy(files);
}

/* The first key behind `behind` with which a file begins; false: there is none. */
static bool next_file(struct checking *c, struct bytes behind, struct buf *ret_key)
{
	const rocksdb_livefiles_t *files = rocksdb_livefiles(c->engine->rocks.db);
	int count = rocksdb_livefiles_count(files);
	bool found = false;
	buf_clear(ret_key);
	for (int i = 0; i < count; i++) {
		size_t size;
		const char *data = rocksdb_livefiles_smallestkey(files, i, &size);
		struct bytes key = bytes_of(data, size);
		if (bytes_compare(key, behind) <= 0 || (found && bytes_compare(key, buf_bytes(ret_key)) >= 0))
			continue;
		found = true;
		buf_clear(ret_key);
		buf_append_bytes(ret_key, key);
	}
	rocksdb_livefiles_destroy(files);
	return found && !ret_key->failed;
}

/* ---- a key ---- */

static bool value_ok(const struct store_type *type, const uint8_t *data, uint32_t size)
{
	return store_value_ok(type, (struct store_cell){data, (int32_t)size});
}

static const char *cell_wrong(struct checking *c, const struct store__cell *cell)
{
	const struct store__table *t = c->table;
	if (cell->id >= t->next_column_id)
		return "a column that never was";
	uint16_t at = cell->id == STORE_FORM_ID ? STORE_NO_COLUMN : t->column_of_id[cell->id];
	if (at == STORE_NO_COLUMN || cell->tombstone || (cell->ttl_s && cell->size == 0))
		return NULL; /* the clustering's form, dropped, deleted, or purged of its value */
	const struct store_type *type = &t->public.columns[at].type;
	if (cell->part == STORE__WHOLE)
		return value_ok(type, cell->data, cell->size) ? NULL : "a value that is none of its column's type";
	bool keyed = type->id == STORE_SET || type->id == STORE_MAP;
	if (cell->part != STORE__ELEMENT || !store_type_multi_cell(type) || (type->id != STORE_UDT && type->element_count < 1))
		return "an element of a column that has none";
	if (keyed && !value_ok(&type->elements[0], cell->path, cell->path_size))
		return "a key that is none of its column's type";
	if (type->id == STORE_LIST || (type->id == STORE_MAP && type->element_count > 1))
		return value_ok(&type->elements[type->id == STORE_MAP], cell->data, cell->size)
			       ? NULL
			       : "an element that is none of its column's type";
	return NULL;
}

/* What is wrong with the key, or NULL. */
static const char *key_wrong(struct checking *c, struct bytes key, struct bytes value)
{
	struct store_key k;
	struct store_span span;
	if (store__key_decode(key, &k))
		return "a key that cannot be read";
	if (k.token != murmur3_token(k.partition.data, k.partition.size))
		return "a partition under a wrong token";
	if (store__partition_cells(&c->table->public, k.partition, c->cells))
		return "a partition key that is none of its columns' types";
	if (k.kind == STORE_KEY_ROW && store__clustering_decode(&c->table->public, k.rest, &c->scratch, c->cells))
		return "clustering columns that cannot be read";
	if (k.kind == STORE_KEY_RANGE_DELETION && store__range_decode(k.rest, &span))
		return "a range deletion that cannot be read";
	if (store__row_decode(value, &c->row))
		return "a row that cannot be read";
	const char *wrong = NULL;
	for (uint32_t i = 0; i < c->row.cell_count && !wrong; i++)
		wrong = cell_wrong(c, &c->row.cells[i]);
	return wrong;
}

/* The same of an entry of an index. */
static const char *entry_wrong(struct checking *c, struct bytes key)
{
	struct store__entry e;
	if (store__entry_decode(key, &e))
		return "an entry that cannot be read";
	struct bytes partition = bytes_of(e.prefix.data + 10, e.prefix.size - 10), clustering;
	if ((int64_t)(be64_get(e.prefix.data) ^ 1ull << 63) != murmur3_token(partition.data, partition.size))
		return "a partition under a wrong token";
	if (store__partition_cells(&c->table->public, partition, c->cells))
		return "a partition key that is none of its columns' types";
	clustering = bytes_of(e.row.data + e.prefix.size + 1, e.row.size - e.prefix.size - 1);
	if (e.kind == STORE_KEY_ROW && store__clustering_decode(&c->table->public, clustering, &c->scratch, c->cells))
		return "clustering columns that cannot be read";
	return NULL;
}

/* ---- a table ---- */

static struct bytes iterator_key(rocksdb_iterator_t *it)
{
	size_t size;
	const char *key = rocksdb_iter_key(it, &size);
	return bytes_of(key, size);
}

/* From where the iterator is to the table's end or to damage. last: the key that was read last. */
static void scan(struct checking *c, rocksdb_iterator_t *it, struct buf *last)
{
	for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t size;
		struct bytes key = iterator_key(it);
		const char *value = rocksdb_iter_value(it, &size);
		const char *wrong = c->index ? entry_wrong(c, key) : key_wrong(c, key, bytes_of(value, size));
		c->keys++;
		c->bytes += key.size + size;
		buf_clear(last);
		buf_append_bytes(last, key);
		if (wrong)
			problem(c, "%s.%s: %s %llu in order (token %lld) has %s", c->table->public.keyspace, c->table->public.name,
				c->index ? "index entry" : "key", (unsigned long long)c->keys,
				!c->index && key.size >= 12 ? (long long)(be64_get(key.data + 4) ^ 1ull << 63) : 0, wrong);
	}
}

/* The iterator has stopped: at the end (false), or at damage that is told; then it goes on at the next file. */
static bool go_on(struct checking *c, rocksdb_iterator_t *it, struct buf *last)
{
	char *text = NULL;
	struct sm_error error;
	struct buf next;
	rocksdb_iter_get_error(it, &text);
	if (!text) {
		/* A file that cannot be opened is stepped over (rocks.c); a seek says so. */
		buf_u8(last, 0);
		rocksdb_iter_seek(it, (const char *)last->data, last->end);
		if (rocksdb_iter_valid(it))
			return true;
		rocksdb_iter_get_error(it, &text);
	}
	if (!text)
		return false;
	(void)store__rocks_error(text, &error, "damaged");
	buf_init(&next);
	bool more = next_file(c, buf_bytes(last), &next) && be32_get(next.data) == (c->index ? c->index : c->table->public.number);
	problem(c, "%s.%s: after %llu keys: %s; %s", c->table->public.keyspace, c->table->public.name, (unsigned long long)c->keys,
		error.text, more ? "looked at again from the next file's first key on" : "the rest of the table was not looked at");
	if (more) {
		buf_clear(last);
		buf_append_bytes(last, buf_bytes(&next));
		rocksdb_iter_seek(it, (const char *)next.data, next.end);
	}
	buf_done(&next);
	return more;
}

/* All keys that begin with the number. */
static void number_look(struct checking *c, uint32_t number)
{
	uint8_t from[4], to[4];
	struct buf last;
	be32_put(from, number);
	be32_put(to, number + 1);
	buf_init(&last);
	buf_append(&last, from, 4);
	rocksdb_readoptions_t *options = store__read_options();
	rocksdb_readoptions_set_fill_cache(options, 0);
	rocksdb_readoptions_set_readahead_size(options, 256u << 10);
	rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)to, 4);
	rocksdb_iterator_t *it = rocksdb_create_iterator(c->engine->rocks.db, options);
	rocksdb_iter_seek(it, (const char *)from, 4);
	do
		scan(c, it, &last);
	while (go_on(c, it, &last));
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	buf_done(&last);
	c->totals->keys += c->keys;
	c->totals->bytes += c->bytes;
}

static void table_look(struct checking *c, const struct store__table *table)
{
	char text[700];
	c->table = table;
	c->problems = 0;
	uint64_t entries = 0;
	for (uint16_t i = 0; i < table->public.index_count; i++) {
		c->index = table->public.indexes[i].number;
		c->keys = c->bytes = 0;
		number_look(c, c->index);
		entries += c->keys;
	}
	c->index = 0;
	c->keys = c->bytes = 0;
	number_look(c, table->public.number);
	c->totals->tables++;
	if (c->problems > TELL_MAX) {
		snprintf(text, sizeof text, "%s.%s: %u problems more", table->public.keyspace, table->public.name, c->problems - TELL_MAX);
		c->check->say(c->check->arg, STORE_CHECK_PROBLEM, text);
	}
	int n = snprintf(text, sizeof text, "%s.%s: %llu keys, %llu bytes", table->public.keyspace, table->public.name,
			 (unsigned long long)c->keys, (unsigned long long)c->bytes);
	if (table->public.index_count && n > 0 && (size_t)n < sizeof text)
		snprintf(text + n, sizeof text - (size_t)n, ", %llu entries of indexes", (unsigned long long)entries);
	if (!c->problems)
		c->check->say(c->check->arg, STORE_CHECK_OK, text);
}

/* ---- the store ---- */

static enum sm_err look(struct checking *c, struct sm_error *reterr)
{
	struct sm_store *store;
	struct sm_error error = {0};
	if (store__manifest_check(c->check->dir, &error)) {
		problem(c, "%s", error.text);
		return SM_OK; /* nobody knows what else there is */
	}
	if (store__wal_check(c->check->dir, &error))
		problem(c, "%s", error.text);
	enum sm_err err = store__open_to_look(c->check->dir, &store, &error);
	if (err == SM_CORRUPT || err == SM_NOT_FOUND) {
		problem(c, "%s", error.text);
		return SM_OK;
	}
	if (err)
		return sm_fail(reterr, err, "%s", error.text);
	c->engine = store__engine_of(store);
	files_look(c);
	for (uint32_t i = 0; i < c->engine->schema->table_count; i++)
		table_look(c, c->engine->schema->tables[i]);
	return store->ops->close(store, reterr);
}

enum sm_err store_check(const struct store_check *check, struct store_check_totals *ret_totals, struct sm_error *reterr)
{
	char path[4096];
	*ret_totals = (struct store_check_totals){0};
	snprintf(path, sizeof path, "%s/CURRENT", check->dir);
	if (access(path, F_OK))
		return sm_fail(reterr, SM_NOT_FOUND, "%s holds no store: there is no file CURRENT", check->dir);
	enum sm_err err = lock_look(check->dir, reterr);
	if (err)
		return err;
	struct checking c = {.check = check, .totals = ret_totals};
	store__row_init(&c.row);
	buf_init(&c.scratch);
	c.cells = calloc(STORE_COLUMNS_MAX, sizeof *c.cells);
	err = c.cells ? look(&c, reterr) : sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	free(c.cells);
	buf_done(&c.scratch);
	store__row_done(&c.row);
	return err;
}
