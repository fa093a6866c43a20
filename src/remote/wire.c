#include "remote/remote_internal.h"

#define NO_STRING 0xffffffffu

void remote__put_bytes(struct buf *b, struct bytes bytes)
{
	buf_be32(b, (uint32_t)bytes.size);
	buf_append_bytes(b, bytes);
}

void remote__put_string(struct buf *b, const char *text)
{
	if (text)
		remote__put_bytes(b, bytes_str(text));
	else
		buf_be32(b, NO_STRING);
}

void remote__put_cell(struct buf *b, struct store_cell cell)
{
	buf_be32(b, (uint32_t)cell.size);
	if (cell.size > 0)
		buf_append(b, cell.data, (size_t)cell.size);
}

struct bytes remote__take_bytes(struct byte_reader *r)
{
	uint32_t size = reader_be32(r);
	const uint8_t *p = reader_take(r, size);
	return p ? bytes_of(p, size) : (struct bytes){0};
}

const char *remote__take_string(struct byte_reader *r, struct arena *arena)
{
	uint32_t size = reader_be32(r);
	if (r->failed || size == NO_STRING)
		return NULL;
	const uint8_t *p = reader_take(r, size);
	/* A name with a zero byte in it would be another name afterwards. */
	if (!p || memchr(p, 0, size)) {
		r->failed = true;
		return NULL;
	}
	const char *text = arena_string(arena, (const char *)p, size);
	r->failed |= !text;
	return text;
}

/* For names that must be there. */
static const char *take_name(struct byte_reader *r, struct arena *arena)
{
	const char *name = remote__take_string(r, arena);
	r->failed |= !name;
	return name;
}

struct store_cell remote__take_cell(struct byte_reader *r)
{
	int32_t size = (int32_t)reader_be32(r);
	if (r->failed || size < 0)
		return (struct store_cell){NULL, -1};
	const uint8_t *p = reader_take(r, (size_t)size);
	return p ? (struct store_cell){p, size} : (struct store_cell){NULL, -1};
}

uint32_t remote__take_count(struct byte_reader *r, size_t size_min)
{
	uint32_t n = reader_be32(r);
	if (n > REMOTE_ITEMS_MAX || (size_min && n > reader_left(r) / size_min))
		r->failed = true;
	return r->failed ? 0 : n;
}

static void *take_array(struct byte_reader *r, struct arena *arena, uint32_t count, size_t size)
{
	if (!count)
		return NULL;
	void *p = arena_alloc(arena, count * size);
	r->failed |= !p;
	return p;
}

void remote__put_error(struct buf *b, const struct sm_error *error)
{
	buf_be32(b, (uint32_t)error->code);
	remote__put_string(b, error->text);
}

enum sm_err remote__take_error(struct byte_reader *r, struct sm_error *reterr)
{
	enum sm_err code = (enum sm_err)reader_be32(r);
	struct bytes text = remote__take_bytes(r);
	if (r->failed || code == SM_OK)
		return sm_fail(reterr, SM_CORRUPT, "the server's answer makes no sense");
	return sm_fail(reterr, code, "%.*s", (int)text.size, (const char *)text.data);
}

/* ---- log ---- */

static void put_configs(struct buf *b, const struct log_config *configs, uint32_t count)
{
	buf_be32(b, count);
	for (uint32_t i = 0; i < count; i++) {
		remote__put_string(b, configs[i].name);
		remote__put_string(b, configs[i].value);
	}
}

static const struct log_config *take_configs(struct byte_reader *r, struct arena *arena, uint32_t *ret_count)
{
	uint32_t count = remote__take_count(r, 8);
	struct log_config *configs = take_array(r, arena, count, sizeof *configs);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		configs[i].name = take_name(r, arena);
		configs[i].value = remote__take_string(r, arena);
	}
	*ret_count = r->failed ? 0 : count;
	return configs;
}

void remote__put_topic_spec(struct buf *b, const struct log_topic_spec *spec)
{
	remote__put_string(b, spec->name);
	buf_be32(b, (uint32_t)spec->partitions);
	buf_be32(b, (uint32_t)spec->replication_factor);
	put_configs(b, spec->configs, spec->config_count);
}

void remote__take_topic_spec(struct byte_reader *r, struct arena *arena, struct log_topic_spec *ret_spec)
{
	*ret_spec = (struct log_topic_spec){.name = take_name(r, arena)};
	ret_spec->partitions = (int32_t)reader_be32(r);
	ret_spec->replication_factor = (int32_t)reader_be32(r);
	ret_spec->configs = take_configs(r, arena, &ret_spec->config_count);
}

void remote__put_topic_change(struct buf *b, const struct log_topic_change *change)
{
	remote__put_string(b, change->name);
	buf_be32(b, (uint32_t)change->partitions);
	put_configs(b, change->configs, change->config_count);
	buf_u8(b, change->only);
	buf_u8(b, change->check);
}

void remote__take_topic_change(struct byte_reader *r, struct arena *arena, struct log_topic_change *ret_change)
{
	*ret_change = (struct log_topic_change){.name = take_name(r, arena)};
	ret_change->partitions = (int32_t)reader_be32(r);
	ret_change->configs = take_configs(r, arena, &ret_change->config_count);
	ret_change->only = reader_u8(r);
	ret_change->check = reader_u8(r);
}

void remote__put_topics(struct buf *b, const struct log_topics *topics)
{
	buf_be32(b, topics->count);
	for (uint32_t i = 0; i < topics->count; i++) {
		const struct log_topic *t = &topics->items[i];
		remote__put_string(b, t->name);
		buf_append(b, t->id.bytes, 16);
		buf_be32(b, (uint32_t)t->partitions);
		buf_be32(b, (uint32_t)t->replication_factor);
		buf_u8(b, t->internal);
		put_configs(b, t->configs, t->config_count);
	}
}

static void take_uuid(struct byte_reader *r, struct uuid *ret_uuid)
{
	const uint8_t *p = reader_take(r, 16);
	if (p)
		memcpy(ret_uuid->bytes, p, 16);
}

void remote__take_topics(struct byte_reader *r, struct arena *arena, struct log_topics *ret_topics)
{
	uint32_t count = remote__take_count(r, 33);
	struct log_topic *items = take_array(r, arena, count, sizeof *items);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		items[i].name = take_name(r, arena);
		take_uuid(r, &items[i].id);
		items[i].partitions = (int32_t)reader_be32(r);
		items[i].replication_factor = (int32_t)reader_be32(r);
		items[i].internal = reader_u8(r);
		items[i].configs = take_configs(r, arena, &items[i].config_count);
	}
	*ret_topics = (struct log_topics){items, r->failed ? 0 : count};
}

/* ---- schema ---- */

#define TYPE_FROZEN 0x8000u /* in the id */

static void put_type(struct buf *b, const struct store_type *type)
{
	buf_be16(b, (uint16_t)(type->id | (type->frozen ? TYPE_FROZEN : 0)));
	buf_be16(b, type->element_count);
	for (uint16_t i = 0; i < type->element_count; i++)
		put_type(b, &type->elements[i]);
	if (type->id == STORE_VECTOR)
		buf_be32(b, type->dimension);
	if (type->id != STORE_UDT)
		return;
	remote__put_string(b, type->keyspace);
	remote__put_string(b, type->name);
	for (uint16_t i = 0; i < type->element_count; i++)
		remote__put_string(b, type->fields[i]);
}

static void take_type(struct byte_reader *r, struct arena *arena, struct store_type *ret_type, unsigned depth)
{
	uint16_t id = reader_be16(r);
	*ret_type = (struct store_type){.id = (enum store_type_id)(id & ~TYPE_FROZEN), .frozen = id & TYPE_FROZEN};
	uint16_t count = reader_be16(r);
	if (depth > STORE_TYPE_DEPTH_MAX || count > reader_left(r) / 4)
		r->failed = true;
	struct store_type *elements = r->failed ? NULL : take_array(r, arena, count, sizeof *elements);
	for (uint16_t i = 0; i < count && !r->failed; i++)
		take_type(r, arena, &elements[i], depth + 1);
	if (ret_type->id == STORE_VECTOR)
		ret_type->dimension = reader_be32(r);
	if (ret_type->id == STORE_UDT) {
		ret_type->keyspace = take_name(r, arena);
		ret_type->name = take_name(r, arena);
		const char **fields = r->failed ? NULL : take_array(r, arena, count, sizeof *fields);
		for (uint16_t i = 0; i < count && !r->failed; i++)
			fields[i] = take_name(r, arena);
		ret_type->fields = fields;
	}
	bool composite = (ret_type->id >= STORE_LIST && ret_type->id <= STORE_SET) || ret_type->id >= STORE_UDT;
	uint16_t least = ret_type->id == STORE_MAP ? 2 : composite ? 1 : 0;
	r->failed |= count < least || (!composite && count) || (ret_type->id == STORE_VECTOR && !ret_type->dimension);
	ret_type->elements = elements;
	ret_type->element_count = r->failed ? 0 : count;
}

static void put_options(struct buf *b, const struct store_option *options, uint32_t count)
{
	buf_be32(b, count);
	for (uint32_t i = 0; i < count; i++) {
		remote__put_string(b, options[i].name);
		remote__put_string(b, options[i].value);
	}
}

static const struct store_option *take_options(struct byte_reader *r, struct arena *arena, uint32_t *ret_count)
{
	uint32_t count = remote__take_count(r, 8);
	struct store_option *options = take_array(r, arena, count, sizeof *options);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		options[i].name = take_name(r, arena);
		options[i].value = remote__take_string(r, arena);
	}
	*ret_count = r->failed ? 0 : count;
	return options;
}

static void put_table(struct buf *b, const struct store_table *t)
{
	remote__put_string(b, t->keyspace);
	remote__put_string(b, t->name);
	buf_append(b, t->id.bytes, 16);
	buf_be32(b, t->number);
	buf_be32(b, t->column_count);
	for (uint16_t i = 0; i < t->column_count; i++) {
		const struct store_column *c = &t->columns[i];
		remote__put_string(b, c->name);
		put_type(b, &c->type);
		buf_u8(b, (uint8_t)c->kind);
		buf_be16(b, c->position);
		buf_u8(b, c->descending);
		buf_be32(b, c->id);
	}
	put_options(b, t->options, t->option_count);
	buf_be32(b, (uint32_t)t->default_ttl_s);
	buf_be32(b, (uint32_t)t->gc_grace_s);
	buf_be32(b, t->index_count);
	for (uint16_t i = 0; i < t->index_count; i++) {
		remote__put_string(b, t->indexes[i].name);
		remote__put_string(b, t->indexes[i].column);
		buf_u8(b, (uint8_t)t->indexes[i].part);
		buf_u8(b, t->indexes[i].folds);
		remote__put_string(b, t->indexes[i].definition);
		buf_be32(b, t->indexes[i].number);
	}
}

static void take_indexes(struct byte_reader *r, struct arena *arena, struct store_table *t)
{
	uint32_t count = remote__take_count(r, 18);
	if (count > STORE_INDEXES_MAX)
		r->failed = true;
	struct store_index *indexes = r->failed ? NULL : take_array(r, arena, count, sizeof *indexes);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		indexes[i].name = take_name(r, arena);
		indexes[i].column = take_name(r, arena);
		uint8_t part = reader_u8(r);
		r->failed |= part > STORE_INDEX_NOTHING;
		indexes[i].part = (enum store_index_part)part;
		indexes[i].folds = reader_u8(r);
		indexes[i].definition = take_name(r, arena);
		indexes[i].number = reader_be32(r);
	}
	t->indexes = indexes;
	t->index_count = (uint16_t)(r->failed ? 0 : count);
}

static void take_table(struct byte_reader *r, struct arena *arena, struct store_table *t)
{
	t->keyspace = take_name(r, arena);
	t->name = take_name(r, arena);
	take_uuid(r, &t->id);
	t->number = reader_be32(r);
	uint32_t count = remote__take_count(r, 16);
	if (count > STORE_COLUMNS_MAX)
		r->failed = true;
	struct store_column *columns = r->failed ? NULL : take_array(r, arena, count, sizeof *columns);
	uint16_t *const counts[] = {&t->partition_key_count, &t->clustering_count, &t->static_count, &t->regular_count};
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		columns[i].name = take_name(r, arena);
		take_type(r, arena, &columns[i].type, 0);
		uint8_t kind = reader_u8(r);
		columns[i].position = reader_be16(r);
		columns[i].descending = reader_u8(r);
		columns[i].id = reader_be32(r);
		if (kind > STORE_REGULAR) {
			r->failed = true;
			return;
		}
		columns[i].kind = (enum store_column_kind)kind;
		++*counts[kind];
	}
	t->columns = columns;
	t->column_count = (uint16_t)(r->failed ? 0 : count);
	t->options = take_options(r, arena, &t->option_count);
	t->default_ttl_s = (int32_t)reader_be32(r);
	t->gc_grace_s = (int32_t)reader_be32(r);
	take_indexes(r, arena, t);
}

static void put_keyspace(struct buf *b, const struct store_keyspace *k)
{
	remote__put_string(b, k->name);
	buf_u8(b, k->durable_writes);
	put_options(b, k->replication, k->replication_count);
	buf_be32(b, k->table_count);
	for (uint32_t i = 0; i < k->table_count; i++)
		put_table(b, k->tables[i]);
	buf_be32(b, k->type_count);
	for (uint32_t i = 0; i < k->type_count; i++)
		put_type(b, &k->types[i]);
}

static void take_types(struct byte_reader *r, struct arena *arena, struct store_keyspace *k)
{
	uint32_t count = remote__take_count(r, 4);
	struct store_type *types = take_array(r, arena, count, sizeof *types);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		take_type(r, arena, &types[i], 0);
		r->failed |= types[i].id != STORE_UDT;
	}
	k->types = types;
	k->type_count = r->failed ? 0 : count;
}

static void take_keyspace(struct byte_reader *r, struct arena *arena, struct store_keyspace *k)
{
	k->name = take_name(r, arena);
	k->durable_writes = reader_u8(r);
	k->replication = take_options(r, arena, &k->replication_count);
	uint32_t count = remote__take_count(r, 40);
	const struct store_table **tables = take_array(r, arena, count, sizeof *tables);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		struct store_table *t = take_array(r, arena, 1, sizeof *t);
		if (t)
			take_table(r, arena, t);
		tables[i] = t;
	}
	k->tables = tables;
	k->table_count = r->failed ? 0 : count;
	take_types(r, arena, k);
}

void remote__put_schema(struct buf *b, const struct store_schema *schema)
{
	buf_append(b, schema->version.bytes, 16);
	buf_be32(b, schema->keyspace_count);
	for (uint32_t i = 0; i < schema->keyspace_count; i++)
		put_keyspace(b, &schema->keyspaces[i]);
}

void remote__take_schema(struct byte_reader *r, struct arena *arena, struct store_schema *ret_schema)
{
	*ret_schema = (struct store_schema){0};
	take_uuid(r, &ret_schema->version);
	uint32_t count = remote__take_count(r, 13);
	struct store_keyspace *keyspaces = take_array(r, arena, count, sizeof *keyspaces);
	for (uint32_t i = 0; i < count && !r->failed; i++)
		take_keyspace(r, arena, &keyspaces[i]);
	ret_schema->keyspaces = keyspaces;
	ret_schema->keyspace_count = r->failed ? 0 : count;
}

void remote__put_change(struct buf *b, const struct store_change *change)
{
	buf_u8(b, (uint8_t)change->kind);
	remote__put_string(b, change->keyspace);
	remote__put_string(b, change->table);
	buf_u8(b, change->new_keyspace != NULL);
	if (change->new_keyspace) {
		struct store_keyspace bare = *change->new_keyspace;
		bare.table_count = bare.type_count = 0;
		put_keyspace(b, &bare);
	}
	buf_u8(b, change->new_table != NULL);
	if (change->new_table)
		put_table(b, change->new_table);
	remote__put_string(b, change->type);
	buf_u8(b, change->new_type != NULL);
	if (change->new_type)
		put_type(b, change->new_type);
}

void remote__take_change(struct byte_reader *r, struct arena *arena, struct store_change *ret_change)
{
	*ret_change = (struct store_change){0};
	uint8_t kind = reader_u8(r);
	r->failed |= kind > STORE_DROP_TYPE;
	ret_change->kind = (enum store_change_kind)kind;
	ret_change->keyspace = remote__take_string(r, arena);
	ret_change->table = remote__take_string(r, arena);
	if (reader_u8(r)) {
		struct store_keyspace *k = take_array(r, arena, 1, sizeof *k);
		if (k)
			take_keyspace(r, arena, k);
		ret_change->new_keyspace = k;
	}
	if (reader_u8(r)) {
		struct store_table *t = take_array(r, arena, 1, sizeof *t);
		if (t)
			take_table(r, arena, t);
		ret_change->new_table = t;
	}
	ret_change->type = remote__take_string(r, arena);
	if (reader_u8(r)) {
		struct store_type *t = take_array(r, arena, 1, sizeof *t);
		if (t)
			take_type(r, arena, t, 0);
		ret_change->new_type = t;
	}
}

/* ---- rows ---- */

static void put_cells(struct buf *b, const struct store_cell *cells, uint16_t count)
{
	buf_be16(b, cells ? count : 0xffff);
	for (uint16_t i = 0; cells && i < count; i++)
		remote__put_cell(b, cells[i]);
}

/* want: how many there must be, or -1 for any (a bound's prefix). NULL when they were left out. */
static const struct store_cell *take_cells(struct byte_reader *r, struct arena *arena, int want, uint16_t *ret_count)
{
	uint16_t count = reader_be16(r);
	if (r->failed || count == 0xffff) {
		*ret_count = 0;
		return NULL;
	}
	if ((want >= 0 && count != want) || count > reader_left(r) / 4) {
		r->failed = true;
		return NULL;
	}
	/* One more: an array without elements is there all the same. */
	struct store_cell *cells = take_array(r, arena, count + 1u, sizeof *cells);
	for (uint16_t i = 0; i < count && !r->failed; i++)
		cells[i] = remote__take_cell(r);
	*ret_count = count;
	return cells;
}

static void put_bound(struct buf *b, const struct store_bound *bound)
{
	buf_u8(b, (uint8_t)bound->kind);
	put_cells(b, bound->cells, bound->count);
}

static void take_bound(struct byte_reader *r, struct arena *arena, const struct store_table *t, struct store_bound *ret_bound)
{
	uint8_t kind = reader_u8(r);
	ret_bound->cells = take_cells(r, arena, -1, &ret_bound->count);
	r->failed |= kind > STORE_EXCLUSIVE || ret_bound->count > t->clustering_count;
	ret_bound->kind = (enum store_bound_kind)kind;
}

static void put_mutation(struct buf *b, const struct store_mutation *m)
{
	buf_u8(b, (uint8_t)m->kind);
	buf_append(b, m->table->id.bytes, 16);
	put_cells(b, m->partition_key, m->table->partition_key_count);
	put_cells(b, m->clustering, m->table->clustering_count);
	put_bound(b, &m->from);
	put_bound(b, &m->to);
	buf_be32(b, m->cell_count);
	for (uint32_t i = 0; i < m->cell_count; i++) {
		buf_be32(b, m->cells[i].column->id);
		buf_u8(b, (uint8_t)m->cells[i].how);
		remote__put_cell(b, m->cells[i].value);
		if (m->cells[i].how == STORE_ASSIGN_ELEMENT)
			remote__put_cell(b, m->cells[i].path);
	}
	buf_be64(b, (uint64_t)m->timestamp_us);
	buf_be32(b, (uint32_t)m->ttl_s);
}

static const struct store_table *take_table_ref(struct byte_reader *r, const struct store_schema *schema)
{
	struct uuid id = {0};
	take_uuid(r, &id);
	if (r->failed)
		return NULL;
	for (uint32_t k = 0; k < schema->keyspace_count; k++)
		for (uint32_t i = 0; i < schema->keyspaces[k].table_count; i++)
			if (memcmp(schema->keyspaces[k].tables[i]->id.bytes, id.bytes, 16) == 0)
				return schema->keyspaces[k].tables[i];
	return NULL;
}

static const struct store_column *column_by_id(const struct store_table *t, uint32_t id)
{
	for (uint16_t i = 0; i < t->column_count; i++)
		if (t->columns[i].id == id)
			return &t->columns[i];
	return NULL;
}

static enum sm_err take_mutation(struct byte_reader *r, struct arena *arena, const struct store_schema *schema, struct store_mutation *m)
{
	uint16_t ignored;
	uint8_t kind = reader_u8(r);
	m->kind = (enum store_mutation_kind)kind;
	m->table = take_table_ref(r, schema);
	if (r->failed || kind > STORE_DELETE_PARTITION)
		return SM_CORRUPT;
	if (!m->table)
		return SM_NOT_FOUND;
	m->partition_key = take_cells(r, arena, m->table->partition_key_count, &ignored);
	m->clustering = take_cells(r, arena, m->table->clustering_count, &ignored);
	take_bound(r, arena, m->table, &m->from);
	take_bound(r, arena, m->table, &m->to);
	m->cell_count = remote__take_count(r, 8);
	struct store_assignment *cells = take_array(r, arena, m->cell_count, sizeof *cells);
	for (uint32_t i = 0; i < m->cell_count && !r->failed; i++) {
		cells[i].column = column_by_id(m->table, reader_be32(r));
		uint8_t how = reader_u8(r);
		cells[i].value = remote__take_cell(r);
		if (how == STORE_ASSIGN_ELEMENT)
			cells[i].path = remote__take_cell(r);
		r->failed |= how > STORE_ASSIGN_ELEMENT;
		cells[i].how = (enum store_assign)how;
		if (!cells[i].column && !r->failed)
			return SM_NOT_FOUND;
	}
	m->cells = cells;
	m->timestamp_us = (int64_t)reader_be64(r);
	m->ttl_s = (int32_t)reader_be32(r);
	return r->failed || !m->partition_key ? SM_CORRUPT : SM_OK;
}

void remote__put_store_batch(struct buf *b, const struct store_batch *batch)
{
	remote__put_string(b, batch->job);
	buf_be64(b, batch->epoch);
	buf_be64(b, (uint64_t)batch->now_s);
	buf_be32(b, batch->count);
	for (uint32_t i = 0; i < batch->count; i++)
		put_mutation(b, &batch->mutations[i]);
}

enum sm_err remote__take_store_batch(struct byte_reader *r, struct arena *arena, const struct store_schema *schema,
				     struct store_batch *ret_batch)
{
	*ret_batch = (struct store_batch){.job = remote__take_string(r, arena)};
	ret_batch->epoch = reader_be64(r);
	ret_batch->now_s = (int64_t)reader_be64(r);
	uint32_t count = remote__take_count(r, 40);
	struct store_mutation *mutations = take_array(r, arena, count, sizeof *mutations);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		enum sm_err err = take_mutation(r, arena, schema, &mutations[i]);
		if (err)
			return err;
	}
	ret_batch->mutations = mutations;
	ret_batch->count = count;
	return r->failed ? SM_CORRUPT : SM_OK;
}

enum { READ_REVERSE = 1, READ_STATICS = 2, READ_WHERE = 4 };

static void put_condition(struct buf *b, const struct store_condition *c)
{
	remote__put_string(b, c->index);
	buf_u8(b, (uint8_t)c->from_kind);
	buf_u8(b, (uint8_t)c->to_kind);
	remote__put_cell(b, c->from);
	remote__put_cell(b, c->to);
	remote__put_cell(b, c->key);
}

static const struct store_condition *take_condition(struct byte_reader *r, struct arena *arena)
{
	struct store_condition *c = take_array(r, arena, 1, sizeof *c);
	if (!c)
		return NULL;
	c->index = take_name(r, arena);
	uint8_t from = reader_u8(r), to = reader_u8(r);
	r->failed |= from > STORE_EXCLUSIVE || to > STORE_EXCLUSIVE;
	c->from_kind = (enum store_bound_kind)from;
	c->to_kind = (enum store_bound_kind)to;
	c->from = remote__take_cell(r);
	c->to = remote__take_cell(r);
	c->key = remote__take_cell(r);
	return c;
}

void remote__put_read(struct buf *b, const struct store_read *read)
{
	const struct store_table *t = read->table;
	buf_append(b, t->id.bytes, 16);
	put_cells(b, read->partition_key, t->partition_key_count);
	buf_be64(b, (uint64_t)read->token_from);
	buf_be64(b, (uint64_t)read->token_to);
	put_bound(b, &read->from);
	put_bound(b, &read->to);
	buf_u8(b, (uint8_t)((read->reverse ? READ_REVERSE : 0) | (read->statics_only ? READ_STATICS : 0) | (read->where ? READ_WHERE : 0)));
	put_cells(b, read->after_partition_key, t->partition_key_count);
	put_cells(b, read->after_clustering, t->clustering_count);
	buf_be64(b, (uint64_t)read->now_s);
	if (read->where)
		put_condition(b, read->where);
}

enum sm_err remote__take_read(struct byte_reader *r, struct arena *arena, const struct store_schema *schema, struct store_read *ret_read)
{
	uint16_t ignored;
	*ret_read = (struct store_read){.table = take_table_ref(r, schema)};
	const struct store_table *t = ret_read->table;
	if (!t)
		return r->failed ? SM_CORRUPT : SM_NOT_FOUND;
	ret_read->partition_key = take_cells(r, arena, t->partition_key_count, &ignored);
	ret_read->token_from = (int64_t)reader_be64(r);
	ret_read->token_to = (int64_t)reader_be64(r);
	take_bound(r, arena, t, &ret_read->from);
	take_bound(r, arena, t, &ret_read->to);
	uint8_t flags = reader_u8(r);
	ret_read->reverse = flags & READ_REVERSE;
	ret_read->statics_only = flags & READ_STATICS;
	ret_read->after_partition_key = take_cells(r, arena, t->partition_key_count, &ignored);
	ret_read->after_clustering = take_cells(r, arena, t->clustering_count, &ignored);
	ret_read->now_s = (int64_t)reader_be64(r);
	if (flags & READ_WHERE)
		ret_read->where = take_condition(r, arena);
	return r->failed ? SM_CORRUPT : SM_OK;
}

static void put_elements(struct buf *b, const struct store_elements *e)
{
	buf_be32(b, e->count);
	for (uint32_t i = 0; i < e->count; i++) {
		remote__put_cell(b, e->items[i].path);
		remote__put_cell(b, e->items[i].value);
		buf_be64(b, (uint64_t)e->items[i].timestamp_us);
		buf_be32(b, (uint32_t)e->items[i].ttl_s);
	}
}

static void take_elements(struct byte_reader *r, struct arena *arena, struct store_elements *ret)
{
	uint32_t count = remote__take_count(r, 20);
	struct store_element *items = take_array(r, arena, count, sizeof *items);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		items[i].path = remote__take_cell(r);
		items[i].value = remote__take_cell(r);
		items[i].timestamp_us = (int64_t)reader_be64(r);
		items[i].ttl_s = (int32_t)reader_be32(r);
	}
	*ret = (struct store_elements){items, r->failed ? 0 : count};
}

void remote__put_row(struct buf *b, const struct store_table *table, const struct store_row *row)
{
	buf_be64(b, (uint64_t)row->token);
	buf_u8(b, row->static_only);
	for (uint16_t i = 0; i < table->column_count; i++) {
		remote__put_cell(b, row->cells[i]);
		buf_be64(b, (uint64_t)row->timestamps_us[i]);
		buf_be32(b, (uint32_t)row->ttls_s[i]);
		if (store_type_multi_cell(&table->columns[i].type))
			put_elements(b, &row->elements[i]);
	}
}

void remote__take_row(struct byte_reader *r, const struct store_table *table, const struct remote__row_room *room,
		      struct store_row *ret_row)
{
	*ret_row = (struct store_row){
		.cells = room->cells, .timestamps_us = room->timestamps, .ttls_s = room->ttls, .elements = room->elements};
	arena_reset(room->arena);
	ret_row->token = (int64_t)reader_be64(r);
	ret_row->static_only = reader_u8(r);
	for (uint16_t i = 0; i < table->column_count; i++) {
		room->cells[i] = remote__take_cell(r);
		room->timestamps[i] = (int64_t)reader_be64(r);
		room->ttls[i] = (int32_t)reader_be32(r);
		if (store_type_multi_cell(&table->columns[i].type))
			take_elements(r, room->arena, &room->elements[i]);
	}
}
