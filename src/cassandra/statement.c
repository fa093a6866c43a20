/* Mutations as statements with markers, and as the bytes that lie in the journal. */
#include "cassandra/cassandra_internal.h"
#include <stdlib.h>

#define TEXTS_MAX 64 /* different ones that a chunk of the journal remembers */

void cassandra__program_init(struct cassandra_program *p)
{
	*p = (struct cassandra_program){.repeatable = true, .one_partition = true};
	buf_init(&p->bytes);
}

void cassandra__program_done(struct cassandra_program *p)
{
	buf_done(&p->bytes);
	free(p->entries);
	p->entries = NULL;
}

/* ---- one statement ---- */

struct making {
	struct cassandra_program *program;
	struct client *client;
	const struct store_mutation *m;
	struct arena arena; /* of names */
	struct buf text, values;
	uint32_t count; /* of values */
	bool counters;
};

static void bind(struct making *k, struct store_cell value)
{
	client__put_value(&k->values, value);
	k->count++;
}

static void bind_int(struct making *k, int32_t v)
{
	uint8_t bytes[4];
	be32_put(bytes, (uint32_t)v);
	bind(k, (struct store_cell){bytes, 4});
}

static void bind_long(struct making *k, int64_t v)
{
	uint8_t bytes[8];
	be64_put(bytes, (uint64_t)v);
	bind(k, (struct store_cell){bytes, 8});
}

static const char *quoted(struct making *k, const char *name)
{
	return cql_quote_name(name, &k->arena);
}

static enum sm_err entry_room(struct cassandra_program *p)
{
	if (p->count < p->cap)
		return SM_OK;
	uint32_t cap = p->cap ? p->cap * 2 : 64;
	struct cassandra_entry *more = realloc(p->entries, cap * sizeof *more);
	if (!more)
		return SM_NO_MEMORY;
	p->entries = more;
	p->cap = cap;
	return SM_OK;
}

static enum sm_err begin_entry(struct making *k, size_t *ret_at)
{
	buf_clear(&k->text);
	buf_clear(&k->values);
	k->count = 0;
	*ret_at = buf_size(&k->program->bytes);
	return entry_room(k->program);
}

static enum sm_err end_entry(struct making *k, size_t at)
{
	struct cassandra_program *p = k->program;
	buf_u8(&k->text, 0);
	if (k->count > UINT16_MAX)
		return SM_TOO_LARGE;
	if (k->text.failed || k->values.failed)
		return SM_NO_MEMORY;
	int32_t statement = client__statement(k->client, (const char *)buf_bytes(&k->text).data);
	if (statement < 0)
		return SM_TOO_LARGE;
	buf_be32(&p->bytes, (uint32_t)statement);
	buf_be16(&p->bytes, (uint16_t)k->count);
	buf_append_bytes(&p->bytes, buf_bytes(&k->values));
	if (p->bytes.failed)
		return SM_NO_MEMORY;
	if (buf_size(&p->bytes) > STORE_BATCH_BYTES_MAX)
		return SM_TOO_LARGE;
	p->entries[p->count++] = (struct cassandra_entry){
		.at = at, .size = buf_size(&p->bytes) - at, .statement = statement, .token = store_token(k->m->table, k->m->partition_key)};
	return SM_OK;
}

void cassandra__table_name(const struct store_table *t, struct arena *arena, struct buf *text)
{
	buf_printf(text, "%s.%s", cql_quote_name(t->keyspace, arena), cql_quote_name(t->name, arena));
}

void cassandra__partition_where(const struct store_table *t, struct arena *arena, struct buf *text)
{
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		buf_printf(text, "%s%s = ?", i ? " AND " : "", cql_quote_name(t->columns[i].name, arena));
}

static uint16_t key_count(const struct making *k)
{
	const struct store_table *t = k->m->table;
	return (uint16_t)(t->partition_key_count + (k->m->clustering ? t->clustering_count : 0));
}

static struct store_cell key(const struct making *k, uint16_t i)
{
	uint16_t n = k->m->table->partition_key_count;
	return i < n ? k->m->partition_key[i] : k->m->clustering[i - n];
}

static void put_where(struct making *k)
{
	const struct store_table *t = k->m->table;
	buf_append_str(&k->text, " WHERE ");
	cassandra__partition_where(t, &k->arena, &k->text);
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		bind(k, k->m->partition_key[i]);
	for (uint16_t i = t->partition_key_count; i < key_count(k); i++) {
		buf_printf(&k->text, " AND %s = ?", quoted(k, t->columns[i].name));
		bind(k, key(k, i));
	}
}

/* A table with a default says 0 too: the caller has decided. */
static bool has_ttl(const struct making *k)
{
	return k->m->ttl_s > 0 || k->m->table->default_ttl_s > 0;
}

static void put_using(struct making *k, bool ttl)
{
	if (k->counters)
		return; /* counters have neither */
	buf_append_str(&k->text, " USING TIMESTAMP ?");
	bind_long(k, k->m->timestamp_us);
	if (ttl && has_ttl(k)) {
		buf_append_str(&k->text, " AND TTL ?");
		bind_int(k, k->m->ttl_s);
	}
}

static enum sm_err insert(struct making *k)
{
	const struct store_mutation *m = k->m;
	uint16_t keys = key_count(k);
	buf_append_str(&k->text, "INSERT INTO ");
	cassandra__table_name(m->table, &k->arena, &k->text);
	for (uint16_t i = 0; i < keys; i++) {
		buf_printf(&k->text, "%s%s", i ? ", " : " (", quoted(k, m->table->columns[i].name));
		bind(k, key(k, i));
	}
	for (uint32_t i = 0; i < m->cell_count; i++) {
		if (m->cells[i].how != STORE_ASSIGN)
			return SM_INVALID;
		buf_printf(&k->text, ", %s", quoted(k, m->cells[i].column->name));
		bind(k, m->cells[i].value);
	}
	buf_append_str(&k->text, ") VALUES (?");
	for (uint32_t i = 1; i < k->count; i++)
		buf_append_str(&k->text, ", ?");
	buf_append_str(&k->text, ")");
	put_using(k, true);
	return SM_OK;
}

/* ---- what UPDATE does to a column ---- */

static enum sm_err set_element(struct making *k, const struct store_assignment *a)
{
	const struct store_type *type = &a->column->type;
	const char *name = quoted(k, a->column->name);
	switch (type->id) {
	case STORE_UDT:
		if (a->path.size != 2 || be16_get(a->path.data) >= type->element_count)
			return SM_INVALID;
		buf_printf(&k->text, "%s.%s = ?", name, quoted(k, type->fields[be16_get(a->path.data)]));
		bind(k, a->value);
		return SM_OK;
	case STORE_SET: { /* a set of this one goes, or comes */
		struct buf one;
		buf_init(&one);
		buf_be32(&one, 1);
		client__put_value(&one, a->path);
		buf_printf(&k->text, "%s = %s %s ?", name, name, a->value.size < 0 ? "-" : "+");
		bind(k, (struct store_cell){one.data, (int32_t)buf_size(&one)});
		k->values.failed |= one.failed;
		buf_done(&one);
		return SM_OK;
	}
	case STORE_LIST: k->program->repeatable = false; break;
	default: break;
	}
	buf_printf(&k->text, "%s[?] = ?", name);
	bind(k, a->path);
	bind(k, a->value);
	return SM_OK;
}

static enum sm_err set_column(struct making *k, const struct store_assignment *a)
{
	const char *name = quoted(k, a->column->name);
	bool list = a->column->type.id == STORE_LIST;
	switch (a->how) {
	case STORE_ASSIGN: buf_printf(&k->text, "%s = ?", name); break;
	case STORE_ADD_ELEMENTS:
		k->program->repeatable &= !list && !k->counters;
		buf_printf(&k->text, "%s = %s + ?", name, name);
		break;
	case STORE_PREPEND_ELEMENTS:
		k->program->repeatable = false;
		buf_printf(&k->text, "%s = ? + %s", name, name);
		break;
	case STORE_REMOVE_ELEMENTS: buf_printf(&k->text, "%s = %s - ?", name, name); break;
	case STORE_ASSIGN_ELEMENT: return set_element(k, a);
	}
	bind(k, a->value);
	return SM_OK;
}

static enum sm_err update(struct making *k)
{
	enum sm_err err = SM_OK;
	buf_append_str(&k->text, "UPDATE ");
	cassandra__table_name(k->m->table, &k->arena, &k->text);
	put_using(k, k->m->kind != STORE_DELETE_CELLS);
	for (uint32_t i = 0; i < k->m->cell_count && !err; i++) {
		buf_append_str(&k->text, i ? ", " : " SET ");
		err = set_column(k, &k->m->cells[i]);
	}
	put_where(k);
	return err;
}

static enum sm_err delete_cells(struct making *k)
{
	const struct store_mutation *m = k->m;
	for (uint32_t i = 0; i < m->cell_count; i++)
		if (m->cells[i].how != STORE_ASSIGN || m->cells[i].value.size >= 0)
			return update(k);
	buf_append_str(&k->text, "DELETE");
	for (uint32_t i = 0; i < m->cell_count; i++)
		buf_printf(&k->text, "%s %s", i ? "," : "", quoted(k, m->cells[i].column->name));
	buf_append_str(&k->text, " FROM ");
	cassandra__table_name(m->table, &k->arena, &k->text);
	put_using(k, false);
	put_where(k);
	return SM_OK;
}

static void delete_rows(struct making *k)
{
	buf_append_str(&k->text, "DELETE FROM ");
	cassandra__table_name(k->m->table, &k->arena, &k->text);
	put_using(k, false);
	put_where(k);
}

/* One statement for each slice. */
static enum sm_err delete_range(struct making *k)
{
	const struct store_mutation *m = k->m;
	struct cassandra_slice slices[CASSANDRA_SLICES_MAX];
	struct store_cell *values = arena_alloc(&k->arena, (m->table->clustering_count + 2u) * sizeof *values);
	if (!values)
		return SM_NO_MEMORY;
	if (m->table->clustering_count * 2 + 1 > CASSANDRA_SLICES_MAX)
		return SM_UNSUPPORTED;
	uint32_t count = cassandra__slices(m->table, &m->from, &m->to, slices);
	for (uint32_t i = 0; i < count; i++) {
		size_t at;
		const struct cassandra_slice *s = &slices[i];
		if (!s->equals && !s->lower && !s->upper && m->table->static_count)
			return SM_UNSUPPORTED; /* CQL has no words for all rows without the static cells */
		enum sm_err err = begin_entry(k, &at);
		if (err)
			return err;
		delete_rows(k);
		uint16_t n = cassandra__slice_where(m->table, s, &k->arena, &k->text, values);
		for (uint16_t v = 0; v < n; v++)
			bind(k, values[v]);
		if ((err = end_entry(k, at)))
			return err;
	}
	return SM_OK;
}

/* What Cassandra would refuse is refused before it is in a journal, and in a batch with others that it would take. */
static enum sm_err check_values(const struct making *k)
{
	const struct store_table *t = k->m->table;
	for (uint16_t i = 0; i < key_count(k); i++)
		if (key(k, i).size < 0 || !store_value_ok(&t->columns[i].type, key(k, i)))
			return SM_INVALID;
	if (t->partition_key_count == 1 && key(k, 0).size == 0)
		return SM_INVALID; /* "Key may not be empty" */
	for (uint16_t i = t->partition_key_count; i < key_count(k); i++)
		if (key(k, i).size == 0 && store_type_fixed_size(&t->columns[i].type) > 0)
			return SM_INVALID; /* "Invalid empty value for clustering column" */
	for (uint16_t i = 0; i < key_count(k); i++)
		if (key(k, i).size > STORE_KEY_BYTES_MAX)
			return SM_TOO_LARGE;
	for (uint32_t i = 0; i < k->m->cell_count; i++) {
		const struct store_assignment *a = &k->m->cells[i];
		if (a->how == STORE_ASSIGN && a->value.size >= 0 && !store_value_ok(&a->column->type, a->value))
			return SM_INVALID;
	}
	return SM_OK;
}

static enum sm_err add(struct making *k)
{
	size_t at;
	const struct store_table *t = k->m->table;
	enum sm_err err = check_values(k);
	if (err)
		return err;
	k->counters = t->column_count > t->partition_key_count + t->clustering_count &&
		      t->columns[t->partition_key_count + t->clustering_count].type.id == STORE_COUNTER;
	if (k->counters)
		k->program->repeatable = false;
	if (k->m->kind == STORE_DELETE_RANGE)
		return delete_range(k);
	if (k->m->kind == STORE_UPSERT_UPDATE && !k->m->cell_count)
		return SM_OK;
	if ((err = begin_entry(k, &at)))
		return err;
	switch (k->m->kind) {
	case STORE_UPSERT_INSERT: err = insert(k); break;
	case STORE_UPSERT_UPDATE: err = update(k); break;
	case STORE_DELETE_CELLS: err = delete_cells(k); break;
	case STORE_DELETE_ROW:
	case STORE_DELETE_PARTITION:
	case STORE_DELETE_RANGE: delete_rows(k); break;
	}
	return err ? err : end_entry(k, at);
}

static bool same_partition(const struct store_mutation *a, const struct store_mutation *b)
{
	if (a->table != b->table)
		return false;
	for (uint16_t i = 0; i < a->table->partition_key_count; i++) {
		struct store_cell x = a->partition_key[i], y = b->partition_key[i];
		if (x.size != y.size || (x.size > 0 && memcmp(x.data, y.data, (size_t)x.size) != 0))
			return false;
	}
	return true;
}

enum sm_err cassandra__program_add(struct cassandra_program *p, struct client *client, const struct store_batch *batch)
{
	struct making k = {.program = p, .client = client};
	enum sm_err err = SM_OK;
	bool plain = false;
	arena_init(&k.arena, 0);
	buf_init(&k.text);
	buf_init(&k.values);
	for (uint32_t i = 0; i < batch->count && !err; i++) {
		k.m = &batch->mutations[i];
		err = add(&k);
		p->counters |= k.counters;
		plain |= !k.counters;
		p->one_partition &= i == 0 || same_partition(k.m, &batch->mutations[0]);
		arena_reset(&k.arena);
	}
	if (!err && p->counters && plain)
		err = SM_UNSUPPORTED;
	buf_done(&k.text);
	buf_done(&k.values);
	arena_done(&k.arena);
	return err;
}

/* ---- the journal ---- */

bool cassandra__journal_chunk(const struct cassandra_program *p, struct client *client, uint32_t *at, size_t bytes_max, struct buf *out)
{
	int32_t known[TEXTS_MAX];
	uint32_t known_count = 0, first = *at;
	for (; *at < p->count && (*at == first || buf_size(out) < bytes_max); ++*at) {
		const struct cassandra_entry *e = &p->entries[*at];
		uint32_t number = 0;
		while (number < known_count && known[number] != e->statement)
			number++;
		if (number == TEXTS_MAX)
			break; /* the next chunk begins to count anew */
		buf_be64(out, (uint64_t)e->token);
		buf_be32(out, number);
		if (number == known_count) {
			const char *text = client__statement_text(client, e->statement);
			buf_be32(out, (uint32_t)strlen(text));
			buf_append_str(out, text);
			known[known_count++] = e->statement;
		}
		buf_be32(out, (uint32_t)e->size - 4);
		buf_append(out, p->bytes.data + p->bytes.start + e->at + 4, e->size - 4);
	}
	return *at > first;
}

static enum sm_err read_entry(struct cassandra_program *p, struct client *client, struct byte_reader *in, int32_t *known,
			      uint32_t *known_count)
{
	struct cassandra_entry e = {.token = (int64_t)reader_be64(in)};
	uint32_t number = reader_be32(in);
	if (number == *known_count && number < TEXTS_MAX) {
		uint32_t size = reader_be32(in);
		const uint8_t *text = reader_take(in, size);
		char *copy = text ? strndup((const char *)text, size) : NULL;
		if (!copy)
			return text ? SM_NO_MEMORY : SM_CORRUPT;
		known[*known_count] = client__statement(client, copy);
		free(copy);
		if (known[(*known_count)++] < 0)
			return SM_TOO_LARGE;
	}
	uint32_t size = reader_be32(in);
	const uint8_t *values = reader_take(in, size);
	if (!values || number >= *known_count)
		return SM_CORRUPT;
	enum sm_err err = entry_room(p);
	if (err)
		return err;
	e.statement = known[number];
	e.at = buf_size(&p->bytes);
	e.size = size + 4;
	buf_be32(&p->bytes, (uint32_t)e.statement);
	buf_append(&p->bytes, values, size);
	p->entries[p->count++] = e;
	return p->bytes.failed ? SM_NO_MEMORY : SM_OK;
}

enum sm_err cassandra__journal_read(struct cassandra_program *p, struct client *client, struct bytes chunk)
{
	struct byte_reader in = byte_reader(chunk);
	int32_t known[TEXTS_MAX];
	uint32_t known_count = 0;
	enum sm_err err = SM_OK;
	while (!err && reader_left(&in))
		err = read_entry(p, client, &in, known, &known_count);
	return err;
}
