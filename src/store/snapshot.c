/* Restoring copies keys and values as they lie on disk: the table's number is another one, and columns, found by name, may have other ids.
 */
#include "store/snapshot.h"
#include "store/store_internal.h"
#include "base/io.h"
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD "smack snapshot 1\n"
#define BATCH_BYTES (1u << 20)

static void marker_path(const char *dir, char path[4096])
{
	snprintf(path, 4096, "%s/SNAPSHOT", dir);
}

enum sm_err store_snapshot(struct sm_store *store, const char *keyspace, const char *dir, struct sm_error *reterr)
{
	char path[4096], text[sizeof HEAD + STORE_NAME_BYTES_MAX + 2];
	if (!store__is_embedded(store))
		return sm_fail(reterr, SM_UNSUPPORTED, "snapshots are made of smack's own store only");
	const struct store_schema *schema = store->ops->schema(store);
	bool there = store_find_keyspace(schema, keyspace);
	store->ops->schema_release(store, schema);
	if (!there)
		return sm_fail(reterr, SM_NOT_FOUND, "there is no keyspace '%s'", keyspace);
	if (access(dir, F_OK) == 0)
		return sm_fail(reterr, SM_EXISTS, "%s is there already: name a directory that is not", dir);
	enum sm_err err = store->ops->checkpoint(store, dir, reterr);
	if (err)
		return err;
	marker_path(dir, path);
	snprintf(text, sizeof text, HEAD "%s\n", keyspace);
	return io_write_file_atomic(&io_system, path, bytes_str(text), reterr);
}

/* ---- restoring ---- */

struct restoring {
	struct store__engine *engine, *from;
	const char *keyspace;
	struct store_restored *restored;
	struct sm_error *reterr;
	/* one table */
	const struct store__table *source, *target;
	uint32_t *ids; /* of the target by those of the source; 0: it has no such column */
	struct store__write *write;
	struct store__row row;
};

static enum sm_err marker_look(const char *dir, const char *keyspace, struct sm_error *reterr)
{
	char path[4096], text[sizeof HEAD + STORE_NAME_BYTES_MAX + 2];
	uint8_t *data = NULL;
	size_t size;
	marker_path(dir, path);
	snprintf(text, sizeof text, HEAD "%s\n", keyspace);
	enum sm_err err = io_read_file(&io_system, path, 1000, &data, &size, NULL);
	if (err)
		return sm_fail(reterr, SM_NOT_FOUND, "%s is no snapshot: it has no file SNAPSHOT", dir);
	if (size < 15 || memcmp(data, HEAD, 15) != 0)
		err = sm_fail(reterr, SM_CORRUPT, "%s is not what a snapshot has", path);
	else if (size < strlen(HEAD) || memcmp(data, HEAD, strlen(HEAD)) != 0)
		err = sm_fail(reterr, SM_VERSION, "the snapshot in %s is of a newer smack", dir);
	else if (!bytes_equal(bytes_of(data, size), bytes_str(text)))
		err = sm_fail(reterr, SM_NOT_FOUND, "the snapshot in %s is not of keyspace '%s'", dir, keyspace);
	free(data);
	return err;
}

static enum sm_err change(struct restoring *r, const struct store_change *c)
{
	return store_change_wait(&r->engine->public, c, r->reterr);
}

/* User types that are not there; one that is there must be the same. */
static enum sm_err make_types(struct restoring *r, const struct store_keyspace *source)
{
	struct store__schema *now = store__engine_schema(r->engine);
	const struct store_keyspace *there = store_find_keyspace(&now->public, r->keyspace);
	enum sm_err err = there ? SM_OK : sm_fail(r->reterr, SM_NOT_FOUND, "keyspace '%s' was dropped meanwhile", r->keyspace);
	for (uint32_t i = 0; i < source->type_count && !err; i++) {
		const struct store_type *type = &source->types[i], *old = store_find_type(there, type->name);
		if (!old)
			err = change(r, &(struct store_change){
						.kind = STORE_CREATE_TYPE, .keyspace = r->keyspace, .type = type->name, .new_type = type});
		else if (!store_type_equal(old, type))
			err = sm_fail(r->reterr, SM_EXISTS, "type '%s.%s' is there and differs: drop it first", r->keyspace, type->name);
	}
	store__schema_unref(now);
	return err;
}

/* Nothing is dropped before it is known that all types can be there. */
static enum sm_err types_fit(struct restoring *r, const struct store_keyspace *source)
{
	struct store__schema *now = store__engine_schema(r->engine);
	const struct store_keyspace *there = store_find_keyspace(&now->public, r->keyspace);
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; there && i < source->type_count && !err; i++) {
		const struct store_type *old = store_find_type(there, source->types[i].name);
		if (old && !store_type_equal(old, &source->types[i]))
			err = sm_fail(r->reterr, SM_EXISTS, "type '%s.%s' is there and differs: drop it first", r->keyspace, old->name);
	}
	store__schema_unref(now);
	return err;
}

/* The keyspace, and none of its tables: with replace they are dropped. */
static enum sm_err make_room(struct restoring *r, const struct store_keyspace *source, bool replace)
{
	struct store__schema *now = store__engine_schema(r->engine);
	const struct store_keyspace *there = store_find_keyspace(&now->public, r->keyspace);
	enum sm_err err = SM_OK;
	if (!there) {
		struct store_keyspace k = *source;
		k.tables = NULL;
		k.types = NULL;
		k.table_count = k.type_count = 0;
		err = change(r, &(struct store_change){.kind = STORE_CREATE_KEYSPACE, .keyspace = r->keyspace, .new_keyspace = &k});
	}
	for (uint32_t i = 0; there && i < source->table_count && !err; i++) {
		const char *name = source->tables[i]->name;
		if (!store_find_table(&now->public, r->keyspace, name))
			continue;
		if (!replace)
			err = sm_fail(r->reterr, SM_EXISTS, "table '%s.%s' is there: drop it first, or restore with --replace", r->keyspace,
				      name);
		else
			err = change(r, &(struct store_change){.kind = STORE_DROP_TABLE, .keyspace = r->keyspace, .table = name});
	}
	store__schema_unref(now);
	return err;
}

/* The source's definition with columns that have no ids yet. */
static enum sm_err make_table(struct restoring *r)
{
	struct store_table t = r->source->public;
	struct store_column *columns = calloc((size_t)t.column_count + 1, sizeof *columns);
	if (!columns)
		return sm_fail(r->reterr, SM_NO_MEMORY, "out of memory");
	memcpy(columns, t.columns, t.column_count * sizeof *columns);
	for (uint16_t i = 0; i < t.column_count; i++)
		columns[i].id = 0;
	t.columns = columns;
	enum sm_err err = change(
		r, &(struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = r->keyspace, .table = t.name, .new_table = &t});
	free(columns);
	return err;
}

/* Columns of the row get the target's ids; those that it does not have are left out. */
static void translate(const struct restoring *r, struct store__row *row)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < row->cell_count; i++) {
		struct store__cell cell = row->cells[i];
		if (cell.id != STORE_FORM_ID) {
			cell.id = cell.id < r->source->next_column_id ? r->ids[cell.id] : 0;
			if (!cell.id)
				continue;
		}
		row->cells[kept++] = cell;
	}
	row->cell_count = kept;
	bool doubles;
	store__row_sort(row, &doubles);
}

static enum sm_err flush(struct restoring *r)
{
	struct store__write *w = r->write;
	r->write = NULL;
	if (!w || w->ops.end == 0) {
		store__write_free(w);
		return SM_OK;
	}
	w->touched[0] = (struct store__touched){r->target->public.number, atomic_load(&r->source->state->deletions)};
	w->touched_count = 1;
	w->one_by_one = true;
	w->reterr = r->reterr;
	if (w->ops.failed) {
		store__write_free(w);
		return sm_fail(r->reterr, SM_NO_MEMORY, "out of memory");
	}
	enum sm_err err = store__writer_wait(r->engine->writer, w, NULL);
	return err ? sm_fail(r->reterr, err, "table '%s.%s' is restored in part: %s", r->keyspace, r->target->public.name, sm_err_text(err))
		   : SM_OK;
}

static enum sm_err copy_key(struct restoring *r, struct bytes key, struct bytes value)
{
	uint8_t number[4];
	if (!r->write && !(r->write = store__write_new(STORE__WRITE_BATCH)))
		return sm_fail(r->reterr, SM_NO_MEMORY, "out of memory");
	enum sm_err err = store__row_decode(value, &r->row);
	if (err)
		return sm_fail(r->reterr, err, "a row of table '%s.%s' in the snapshot cannot be read", r->keyspace,
			       r->source->public.name);
	translate(r, &r->row);
	be32_put(number, r->target->public.number);
	size_t at = store__op_begin(&r->write->ops, STORE_OP_MERGE);
	buf_append(&r->write->ops, number, 4);
	buf_append(&r->write->ops, key.data + 4, key.size - 4);
	store__op_value(&r->write->ops, at);
	store__row_encode(&r->row, &r->write->ops);
	store__op_end(&r->write->ops, at);
	r->restored->keys++;
	r->restored->bytes += key.size + value.size;
	return r->write->ops.end < BATCH_BYTES ? SM_OK : flush(r);
}

static enum sm_err copy_keys(struct restoring *r)
{
	uint8_t from[4], to[4];
	be32_put(from, r->source->public.number);
	be32_put(to, r->source->public.number + 1);
	rocksdb_readoptions_t *options = store__read_options();
	rocksdb_readoptions_set_fill_cache(options, 0);
	rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)to, 4);
	rocksdb_iterator_t *it = rocksdb_create_iterator(r->from->rocks.db, options);
	enum sm_err err = SM_OK;
	for (rocksdb_iter_seek(it, (const char *)from, 4); rocksdb_iter_valid(it) && !err; rocksdb_iter_next(it)) {
		size_t key_size, value_size;
		const char *key = rocksdb_iter_key(it, &key_size), *value = rocksdb_iter_value(it, &value_size);
		err = copy_key(r, bytes_of(key, key_size), bytes_of(value, value_size));
	}
	char *text = NULL;
	rocksdb_iter_get_error(it, &text);
	if (text && !err)
		err = store__rocks_error(text, r->reterr, "the snapshot cannot be read");
	else
		rocksdb_free(text);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	return err ? err : flush(r);
}

static enum sm_err restore_table(struct restoring *r, const struct store_table *source)
{
	r->source = store__table_of(source);
	enum sm_err err = make_table(r);
	if (err)
		return err;
	struct store__schema *now = store__engine_schema(r->engine);
	const struct store_table *target = store_find_table(&now->public, r->keyspace, source->name);
	r->ids = calloc((size_t)r->source->next_column_id + 1, sizeof *r->ids);
	if (!target)
		err = sm_fail(r->reterr, SM_NOT_FOUND, "table '%s.%s' was dropped meanwhile", r->keyspace, source->name);
	else if (!r->ids)
		err = sm_fail(r->reterr, SM_NO_MEMORY, "out of memory");
	for (uint16_t i = 0; !err && i < source->column_count; i++)
		r->ids[source->columns[i].id] = store_find_column(target, source->columns[i].name)->id;
	if (!err) {
		r->target = store__table_of(target);
		err = copy_keys(r);
	}
	store__write_free(r->write);
	r->write = NULL;
	free(r->ids);
	r->ids = NULL;
	store__schema_unref(now);
	r->restored->tables += !err;
	return err;
}

enum sm_err store_restore(struct sm_store *store, const char *keyspace, const char *dir, bool replace, struct store_restored *ret_restored,
			  struct sm_error *reterr)
{
	struct sm_store *snapshot;
	*ret_restored = (struct store_restored){0};
	if (!store__is_embedded(store))
		return sm_fail(reterr, SM_UNSUPPORTED, "snapshots are restored into smack's own store only");
	enum sm_err err = marker_look(dir, keyspace, reterr);
	if (err || (err = store_checkpoint_open(dir, &snapshot, reterr)))
		return err;
	struct restoring r = {.engine = store__engine_of(store),
			      .from = store__engine_of(snapshot),
			      .keyspace = keyspace,
			      .restored = ret_restored,
			      .reterr = reterr};
	store__row_init(&r.row);
	const struct store_keyspace *source = store_find_keyspace(&r.from->schema->public, keyspace);
	if (!source)
		err = sm_fail(reterr, SM_CORRUPT, "the snapshot in %s does not have keyspace '%s'", dir, keyspace);
	else if (!(err = types_fit(&r, source)))
		err = make_room(&r, source, replace);
	if (!err)
		err = make_types(&r, source);
	for (uint32_t i = 0; !err && i < source->table_count; i++)
		err = restore_table(&r, source->tables[i]);
	store__row_done(&r.row);
	enum sm_err closed = snapshot->ops->close(snapshot, err ? NULL : reterr);
	return err ? err : closed;
}
