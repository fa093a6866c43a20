/* What the directory holds besides rows: the format, the schema, which tables have had deletions, which indexes are built, the jobs'
 * epochs. */
#include "store/index.h"
#include <rocksdb/c.h>
#include <stdlib.h>

struct loading {
	struct arena arena;
	struct store_keyspace *keyspaces;
	struct store__table **tables;
	struct store_type *types;
	uint32_t keyspace_count, table_count, type_count;
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

static enum sm_err load_type(struct loading *l, struct bytes value)
{
	struct store_type *t = grow(l->types, l->type_count, sizeof *t);
	if (!t)
		return SM_NO_MEMORY;
	l->types = t;
	enum sm_err err = store__udt_decode(value, &l->arena, &t[l->type_count]);
	l->type_count += !err;
	return err;
}

/* Each keyspace takes its types: those of one keyspace lie side by side, as their keys did. */
static enum sm_err give_types(struct loading *l)
{
	for (uint32_t i = 0, end; i < l->type_count; i = end) {
		struct store_keyspace *k = NULL;
		for (uint32_t n = 0; n < l->keyspace_count; n++)
			if (strcmp(l->keyspaces[n].name, l->types[i].keyspace) == 0)
				k = &l->keyspaces[n];
		if (!k || k->type_count)
			return SM_CORRUPT;
		for (end = i + 1; end < l->type_count && strcmp(l->types[end].keyspace, k->name) == 0;)
			end++;
		k->types = &l->types[i];
		k->type_count = end - i;
	}
	return SM_OK;
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
	if (named(key, STORE_SYSTEM_TYPE, &rest))
		return load_type(l, value);
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
	if (named(key, STORE_SYSTEM_INDEX, &rest)) {
		if (rest.size != 4 || value.size == 0)
			return SM_CORRUPT;
		return value.data[0] == 1 ? store__built_add(engine->built, be32_get(rest.data)) : SM_OK;
	}
	if (named(key, STORE_SYSTEM_FORMAT, &rest) && value.size == 4)
		return SM_OK;
	if (named(key, STORE_SYSTEM_NEXT_TABLE, &rest) && value.size == 4)
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
	rocksdb_readoptions_t *options = store__read_options();
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

/* Before anything else is read: a newer format may have keys that this version does not know. */
static enum sm_err load_format(struct store__engine *engine, struct loading *l, struct sm_error *reterr)
{
	struct buf key;
	char *text = NULL;
	size_t size = 0;
	buf_init(&key);
	store__system_key(&key, STORE_SYSTEM_FORMAT, bytes_of(NULL, 0));
	char *value = rocksdb_get(engine->rocks.db, engine->rocks.get, (const char *)key.data, key.end, &size, &text);
	buf_done(&key);
	if (text)
		return store__rocks_error(text, reterr, "cannot read the store's format");
	l->format = value && size == 4 ? be32_get((const uint8_t *)value) : 0;
	rocksdb_free(value);
	if (l->format > STORE_FORMAT)
		return sm_fail(reterr, SM_VERSION, "the store in %s has format %u; this smack knows %d: use a newer one", engine->dir,
			       l->format, STORE_FORMAT);
	return SM_OK;
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

/* Everything that an older format holds is read as it stands; from now on an older smack must not. */
static enum sm_err raise_format(struct store__engine *engine, struct sm_error *reterr)
{
	uint8_t format[4];
	struct buf key;
	buf_init(&key);
	be32_put(format, STORE_FORMAT);
	store__system_key(&key, STORE_SYSTEM_FORMAT, bytes_of(NULL, 0));
	char *text = NULL;
	if (!key.failed)
		rocksdb_put(engine->rocks.db, engine->rocks.write_sync, (const char *)key.data, key.end, (const char *)format,
			    sizeof format, &text);
	enum sm_err err = key.failed ? sm_fail(reterr, SM_NO_MEMORY, "out of memory") : SM_OK;
	buf_done(&key);
	return text ? store__rocks_error(text, reterr, "cannot raise the store's format") : err;
}

enum sm_err store__load(struct store__engine *engine, struct store__schema **ret_schema, struct sm_error *reterr)
{
	struct store__schema *schema = NULL;
	struct loading l = {0};
	struct buf deletions;
	arena_init(&l.arena, 0);
	buf_init(&deletions);
	enum sm_err err = load_format(engine, &l, reterr);
	if (!err)
		err = load_keys(engine, &l, &deletions, reterr);
	if (!err && l.format == 0 && (engine->next_table_number || l.table_count || l.keyspace_count || !engine->writer))
		err = sm_fail(reterr, SM_CORRUPT, "the store in %s has no format marker", engine->dir);
	if (!err && (err = give_types(&l)))
		sm_fail(reterr, err, "the store in %s has a type of a keyspace that is not there", engine->dir);
	if (!err && l.format == 0)
		err = write_new(engine, &l, reterr);
	else if (!err && l.format < STORE_FORMAT && engine->writer && !engine->rocks_options.lenient)
		err = raise_format(engine, reterr);
	if (!err)
		err = store__schema_new(l.keyspaces, l.keyspace_count, l.tables, l.table_count, l.version, &schema, reterr);
	for (size_t i = 0; !err && i < deletions.end; i += 4) {
		struct store__table *t = store__schema_table(schema, be32_get(deletions.data + i));
		if (t)
			atomic_store(&t->state->deletions, true);
	}
	for (uint32_t i = 0; i < l.table_count; i++)
		store__table_unref(l.tables[i]);
	free(l.tables);
	free(l.keyspaces);
	free(l.types);
	buf_done(&deletions);
	arena_done(&l.arena);
	if (!err)
		*ret_schema = schema;
	return err;
}
