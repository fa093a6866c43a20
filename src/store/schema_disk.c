/* The system's keys and how the schema is kept in them.
 *
 * A system key is table number 0 (4 bytes), then a name:
 *   format                the format's number, be32: 1. A newer one is refused.
 *   schema/version        16 bytes: the uuid of the picture
 *   schema/next-table     be32: the number of the next table; numbers are never used again
 *   keyspace/NAME         a keyspace
 *   table/NUMBER          a table (NUMBER: be32)
 *   type/KEYSPACE.NAME    a user type
 *   deletions/NUMBER      empty; there if the table has range or partition deletions
 *   epoch/JOB             be64: the epoch that the job was given last
 *   index/NUMBER          u8 1: all entries are there; or u8 0 and the last key of the table whose entries are (index_build.c)
 *
 * A text T is [uvarint size][bytes]. An option list is [uvarint count] and a name T and a value T each.
 *   keyspace: u8 1 (version of the record) | u8 durable writes | replication: option list
 *   table:    u8 1 | T keyspace | T name | 16 uuid | uvarint next column id | uvarint default ttl | uvarint gc grace | option list
 *             | uvarint columns | each: T name, type, u8 kind, uvarint position, u8 descending, uvarint id
 *             | since format 3: uvarint indexes | each: T name, T column, u8 part, u8 folds, T definition, be32 number
 *   user type: u8 1 | type
 *   type:     uvarint CQL's number, + 65536 if frozen | uvarint elements | the elements' types; then of a vector: uvarint dimension;
 *             of a user type: T keyspace | T name | each field's name as T. A table holds its user types whole, as they are now. */
#include "store/index.h"
#include <stdlib.h>

#define RECORD_VERSION 1
#define TYPE_FROZEN 0x10000u

void store__system_key(struct buf *out, const char *prefix, struct bytes name)
{
	buf_be32(out, 0);
	buf_append_str(out, prefix);
	buf_append_bytes(out, name);
}

static size_t begin(struct buf *ops, enum store_op op, const char *prefix, struct bytes name)
{
	size_t at = store__op_begin(ops, op);
	store__system_key(ops, prefix, name);
	store__op_value(ops, at);
	return at;
}

static void put_text(struct buf *out, const char *text)
{
	buf_uvarint(out, strlen(text));
	buf_append_str(out, text);
}

static void put_options(struct buf *out, const struct store_option *options, uint32_t count)
{
	buf_uvarint(out, count);
	for (uint32_t i = 0; i < count; i++) {
		put_text(out, options[i].name);
		put_text(out, options[i].value);
	}
}

static void put_type(struct buf *out, const struct store_type *type)
{
	buf_uvarint(out, type->id | (type->frozen ? TYPE_FROZEN : 0));
	buf_uvarint(out, type->element_count);
	for (uint16_t i = 0; i < type->element_count; i++)
		put_type(out, &type->elements[i]);
	if (type->id == STORE_VECTOR)
		buf_uvarint(out, type->dimension);
	if (type->id != STORE_UDT)
		return;
	put_text(out, type->keyspace);
	put_text(out, type->name);
	for (uint16_t i = 0; i < type->element_count; i++)
		put_text(out, type->fields[i]);
}

static size_t begin_type(struct buf *ops, enum store_op op, const char *keyspace, const char *name)
{
	size_t at = store__op_begin(ops, op);
	store__system_key(ops, STORE_SYSTEM_TYPE, bytes_str(keyspace));
	buf_u8(ops, '.');
	buf_append_str(ops, name);
	store__op_value(ops, at);
	return at;
}

void store__put_udt(struct buf *ops, const struct store_type *type)
{
	size_t at = begin_type(ops, STORE_OP_PUT, type->keyspace, type->name);
	buf_u8(ops, RECORD_VERSION);
	put_type(ops, type);
	store__op_end(ops, at);
}

void store__delete_udt(struct buf *ops, const char *keyspace, const char *name)
{
	store__op_end(ops, begin_type(ops, STORE_OP_DELETE, keyspace, name));
}

void store__put_keyspace(struct buf *ops, const struct store_keyspace *k)
{
	size_t at = begin(ops, STORE_OP_PUT, STORE_SYSTEM_KEYSPACE, bytes_str(k->name));
	buf_u8(ops, RECORD_VERSION);
	buf_u8(ops, k->durable_writes);
	put_options(ops, k->replication, k->replication_count);
	store__op_end(ops, at);
}

void store__put_table(struct buf *ops, const struct store__table *table)
{
	const struct store_table *t = &table->public;
	uint8_t number[4];
	be32_put(number, t->number);
	size_t at = begin(ops, STORE_OP_PUT, STORE_SYSTEM_TABLE, bytes_of(number, 4));
	buf_u8(ops, RECORD_VERSION);
	put_text(ops, t->keyspace);
	put_text(ops, t->name);
	buf_append(ops, t->id.bytes, sizeof t->id.bytes);
	buf_uvarint(ops, table->next_column_id);
	buf_uvarint(ops, (uint64_t)t->default_ttl_s);
	buf_uvarint(ops, (uint64_t)t->gc_grace_s);
	put_options(ops, t->options, t->option_count);
	buf_uvarint(ops, t->column_count);
	for (uint16_t i = 0; i < t->column_count; i++) {
		const struct store_column *c = &t->columns[i];
		put_text(ops, c->name);
		put_type(ops, &c->type);
		buf_u8(ops, (uint8_t)c->kind);
		buf_uvarint(ops, c->position);
		buf_u8(ops, c->descending);
		buf_uvarint(ops, c->id);
	}
	buf_uvarint(ops, t->index_count);
	for (uint16_t i = 0; i < t->index_count; i++) {
		const struct store_index *x = &t->indexes[i];
		put_text(ops, x->name);
		put_text(ops, x->column);
		buf_u8(ops, (uint8_t)x->part);
		buf_u8(ops, x->folds);
		put_text(ops, x->definition);
		buf_be32(ops, x->number);
	}
	store__op_end(ops, at);
}

void store__delete_keyspace(struct buf *ops, const char *keyspace)
{
	store__op_end(ops, begin(ops, STORE_OP_DELETE, STORE_SYSTEM_KEYSPACE, bytes_str(keyspace)));
}

void store__delete_table(struct buf *ops, const struct store_table *table)
{
	uint8_t from[4], to[4];
	uint32_t number = table->number;
	be32_put(from, number);
	be32_put(to, number + 1);
	store__op_end(ops, begin(ops, STORE_OP_DELETE, STORE_SYSTEM_TABLE, bytes_of(from, 4)));
	store__op_end(ops, begin(ops, STORE_OP_DELETE, STORE_SYSTEM_DELETIONS, bytes_of(from, 4)));
	store__op(ops, STORE_OP_DELETE_RANGE, bytes_of(from, 4), bytes_of(to, 4));
	for (uint16_t i = 0; i < table->index_count; i++)
		store__index_delete(ops, table->indexes[i].number);
}

void store__put_schema(struct buf *ops, struct uuid version, uint32_t next_table_number)
{
	size_t at = begin(ops, STORE_OP_PUT, STORE_SYSTEM_VERSION, bytes_of(NULL, 0));
	buf_append(ops, version.bytes, sizeof version.bytes);
	store__op_end(ops, at);
	at = begin(ops, STORE_OP_PUT, STORE_SYSTEM_NEXT_TABLE, bytes_of(NULL, 0));
	buf_be32(ops, next_table_number);
	store__op_end(ops, at);
}

/* ---- back ---- */

static const char *get_text(struct byte_reader *r, struct arena *arena)
{
	uint64_t size = reader_uvarint(r);
	if (size > reader_left(r)) {
		r->failed = true;
		return NULL;
	}
	const uint8_t *data = reader_take(r, (size_t)size);
	if (!data || memchr(data, 0, (size_t)size)) {
		r->failed = true;
		return NULL;
	}
	return arena_string(arena, (const char *)data, (size_t)size);
}

static const struct store_option *get_options(struct byte_reader *r, struct arena *arena, uint32_t *ret_count)
{
	uint64_t count = reader_uvarint(r);
	if (r->failed || count > STORE_OPTIONS_MAX) {
		r->failed = true;
		return NULL;
	}
	struct store_option *options = arena_alloc(arena, ((size_t)count + 1) * sizeof *options);
	for (uint64_t i = 0; options && i < count && !r->failed; i++)
		options[i] = (struct store_option){get_text(r, arena), get_text(r, arena)};
	*ret_count = (uint32_t)count;
	return options;
}

static bool get_udt(struct byte_reader *r, struct arena *arena, struct store_type *type)
{
	const char **fields = arena_alloc(arena, (type->element_count + 1u) * sizeof *fields);
	type->keyspace = get_text(r, arena);
	type->name = get_text(r, arena);
	for (uint16_t i = 0; fields && i < type->element_count; i++)
		if (!(fields[i] = get_text(r, arena)))
			return false;
	type->fields = fields;
	return fields && type->keyspace && type->name;
}

static bool get_type(struct byte_reader *r, struct arena *arena, int depth, struct store_type *ret_type)
{
	uint64_t id = reader_uvarint(r), count = reader_uvarint(r);
	if (r->failed || depth > STORE_TYPE_DEPTH_MAX || (id & ~TYPE_FROZEN) > UINT16_MAX || count > STORE_COLUMNS_MAX ||
	    count > reader_left(r)) {
		r->failed = true;
		return false;
	}
	struct store_type *elements = count ? arena_alloc(arena, (size_t)count * sizeof *elements) : NULL;
	if (count && !elements)
		return false;
	for (uint64_t i = 0; i < count; i++)
		if (!get_type(r, arena, depth + 1, &elements[i]))
			return false;
	struct store_type type = {(enum store_type_id)(id & ~TYPE_FROZEN), (uint16_t)count, elements, .frozen = id & TYPE_FROZEN};
	if (type.id == STORE_VECTOR) {
		uint64_t dimension = reader_uvarint(r);
		type.dimension = (uint32_t)dimension;
		r->failed |= dimension == 0 || dimension > INT32_MAX || count != 1;
	}
	if (type.id == STORE_UDT && !get_udt(r, arena, &type))
		return false;
	*ret_type = type;
	return !r->failed;
}

enum sm_err store__udt_decode(struct bytes value, struct arena *arena, struct store_type *ret_type)
{
	struct byte_reader r = byte_reader(value);
	if (reader_u8(&r) != RECORD_VERSION)
		return r.failed ? SM_CORRUPT : SM_VERSION;
	bool got = get_type(&r, arena, 0, ret_type);
	if (r.failed || (got && (reader_left(&r) || ret_type->id != STORE_UDT)))
		return SM_CORRUPT;
	return got ? SM_OK : SM_NO_MEMORY;
}

static enum sm_err end_of(const struct byte_reader *r, bool no_memory)
{
	if (r->failed || (!no_memory && reader_left(r)))
		return SM_CORRUPT;
	return no_memory ? SM_NO_MEMORY : SM_OK;
}

enum sm_err store__keyspace_decode(struct bytes name, struct bytes value, struct arena *arena, struct store_keyspace *ret_keyspace)
{
	struct byte_reader r = byte_reader(value);
	if (reader_u8(&r) != RECORD_VERSION)
		return r.failed ? SM_CORRUPT : SM_VERSION;
	struct store_keyspace k = {.name = arena_string(arena, (const char *)name.data, name.size), .durable_writes = reader_u8(&r)};
	k.replication = get_options(&r, arena, &k.replication_count);
	enum sm_err err = end_of(&r, !k.name || !k.replication);
	if (!err)
		*ret_keyspace = k;
	return err;
}

static bool get_columns(struct byte_reader *r, struct arena *arena, uint32_t next_column_id, struct store_table *t)
{
	uint64_t count = reader_uvarint(r);
	if (r->failed || count > STORE_COLUMNS_MAX) {
		r->failed = true;
		return false;
	}
	struct store_column *columns = arena_alloc(arena, ((size_t)count + 1) * sizeof *columns);
	if (!columns)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		struct store_column *c = &columns[i];
		c->name = get_text(r, arena);
		if (!c->name || !get_type(r, arena, 0, &c->type))
			return false;
		uint8_t kind = reader_u8(r);
		c->kind = kind;
		c->position = (uint16_t)reader_uvarint(r);
		c->descending = reader_u8(r);
		uint64_t id = reader_uvarint(r);
		c->id = (uint32_t)id;
		if (r->failed || kind > STORE_REGULAR || id == 0 || id >= next_column_id) {
			r->failed = true;
			return false;
		}
	}
	t->columns = columns;
	t->column_count = (uint16_t)count;
	return true;
}

static bool get_indexes(struct byte_reader *r, struct arena *arena, struct store_table *t)
{
	uint64_t count = reader_left(r) ? reader_uvarint(r) : 0; /* an older format has none */
	if (r->failed || count > STORE_INDEXES_MAX) {
		r->failed = true;
		return false;
	}
	struct store_index *indexes = arena_alloc(arena, ((size_t)count + 1) * sizeof *indexes);
	for (uint64_t i = 0; indexes && i < count; i++) {
		struct store_index *x = &indexes[i];
		x->name = get_text(r, arena);
		x->column = get_text(r, arena);
		uint8_t part = reader_u8(r);
		x->part = part;
		x->folds = reader_u8(r);
		x->definition = get_text(r, arena);
		x->number = reader_be32(r);
		r->failed |= part > STORE_INDEX_NOTHING || x->number == 0;
		if (r->failed || !x->name || !x->column || !x->definition)
			return false;
	}
	t->indexes = indexes;
	t->index_count = (uint16_t)count;
	return indexes != NULL;
}

enum sm_err store__table_decode(uint32_t number, struct bytes value, struct store__table **ret_table)
{
	struct byte_reader r = byte_reader(value);
	if (reader_u8(&r) != RECORD_VERSION)
		return r.failed ? SM_CORRUPT : SM_VERSION;
	struct arena arena;
	arena_init(&arena, 0);
	struct store_table t = {.number = number};
	t.keyspace = get_text(&r, &arena);
	t.name = get_text(&r, &arena);
	const uint8_t *id = reader_take(&r, sizeof t.id.bytes);
	if (id)
		memcpy(t.id.bytes, id, sizeof t.id.bytes);
	uint64_t next_column_id = reader_uvarint(&r), ttl = reader_uvarint(&r), gc_grace = reader_uvarint(&r);
	t.default_ttl_s = (int32_t)ttl;
	t.gc_grace_s = (int32_t)gc_grace;
	if (next_column_id > STORE_COLUMN_IDS_MAX || ttl > INT32_MAX || gc_grace > INT32_MAX)
		r.failed = true;
	t.options = get_options(&r, &arena, &t.option_count);
	bool rest = get_columns(&r, &arena, (uint32_t)next_column_id, &t) && get_indexes(&r, &arena, &t);
	enum sm_err err = end_of(&r, !t.keyspace || !t.name || !t.options || !rest);
	if (!err && (err = store__table_new(&t, (uint32_t)next_column_id, NULL, ret_table, NULL)) && err != SM_NO_MEMORY)
		err = SM_CORRUPT;
	arena_done(&arena);
	return err;
}
