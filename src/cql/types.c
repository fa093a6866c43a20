/* Types: from how they are written to the store's, with the rules of what may stand within what, and back to text. */
#include "cql/plan.h"

#include <stdlib.h>
#include <string.h>

#define CLASSES "org.apache.cassandra.db.marshal."

static const struct {
	const char *name;
	enum store_type_id id;
	const char *class;
} native[] = {
	{"ascii", STORE_ASCII, "AsciiType"},
	{"bigint", STORE_BIGINT, "LongType"},
	{"blob", STORE_BLOB, "BytesType"},
	{"boolean", STORE_BOOLEAN, "BooleanType"},
	{"counter", STORE_COUNTER, "CounterColumnType"},
	{"date", STORE_DATE, "SimpleDateType"},
	{"decimal", STORE_DECIMAL, "DecimalType"},
	{"double", STORE_DOUBLE, "DoubleType"},
	{"duration", STORE_DURATION, "DurationType"},
	{"float", STORE_FLOAT, "FloatType"},
	{"inet", STORE_INET, "InetAddressType"},
	{"int", STORE_INT, "Int32Type"},
	{"smallint", STORE_SMALLINT, "ShortType"},
	{"text", STORE_TEXT, "UTF8Type"},
	{"time", STORE_TIME, "TimeType"},
	{"timestamp", STORE_TIMESTAMP, "TimestampType"},
	{"timeuuid", STORE_TIMEUUID, "TimeUUIDType"},
	{"tinyint", STORE_TINYINT, "ByteType"},
	{"uuid", STORE_UUID, "UUIDType"},
	{"varchar", STORE_TEXT, "UTF8Type"},
	{"varint", STORE_VARINT, "IntegerType"},
	{"list", STORE_LIST, "ListType"},
	{"set", STORE_SET, "SetType"},
	{"map", STORE_MAP, "MapType"},
	{"tuple", STORE_TUPLE, "TupleType"},
	{"vector", STORE_VECTOR, "VectorType"},
	{"", STORE_UDT, "UserType"},
};

bool cql__is_type_name(const char *name)
{
	for (size_t i = 0; i < sizeof native / sizeof native[0] && native[i].id < STORE_LIST; i++)
		if (strcmp(native[i].name, name) == 0)
			return true;
	return false;
}

static void put_hex(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_printf(out, "%02x", (unsigned char)*text);
}

void cql__put_class(struct buf *out, const struct store_type *type)
{
	size_t at = 0;
	while (native[at].id != type->id)
		if (++at == sizeof native / sizeof native[0])
			return;
	bool frozen = type->frozen && type->id != STORE_UDT;
	buf_printf(out, "%s" CLASSES "%s", frozen ? CLASSES "FrozenType(" : "", native[at].class);
	if (type->element_count)
		buf_append_str(out, "(");
	if (type->id == STORE_UDT) {
		buf_printf(out, "%s,", type->keyspace);
		put_hex(out, type->name);
	}
	for (uint16_t i = 0; i < type->element_count; i++) {
		if (i || type->id == STORE_UDT)
			buf_append_str(out, ",");
		if (type->id == STORE_UDT) {
			put_hex(out, type->fields[i]);
			buf_append_str(out, ":");
		}
		cql__put_class(out, &type->elements[i]);
	}
	if (type->id == STORE_VECTOR)
		buf_printf(out, " , %u", type->dimension);
	if (type->element_count)
		buf_append_str(out, ")");
	if (frozen)
		buf_append_str(out, ")");
}

const char *cql_type_text(const struct store_type *type, struct arena *arena)
{
	const char *text = store_type_name(type, arena);
	return text ? text : "unknown";
}

const char *cql__type_written(const struct cql_type_name *t, struct arena *arena)
{
	const char *text = t->name;
	for (uint32_t i = 0; text && i < t->arg_count; i++)
		text = arena_printf(arena, "%s%s%s", text, i ? ", " : "<", cql__type_written(t->args[i], arena));
	if (text && t->arg_count)
		text = arena_printf(arena, "%s>", text);
	return text ? text : t->name;
}

struct resolving {
	struct cql_context *c;
	const char *keyspace;
};

static enum sm_err resolve(const struct resolving *r, const struct cql_type_name *name, bool frozen, struct store_type *ret_type);

static enum sm_err wrong_count(const struct resolving *r, const struct cql_type_name *name, const char *what)
{
	return cql__fail(r->c->err, CQL_SYNTAX_ERROR, "line %u:%u type %s takes %s", name->place.line, name->place.column, name->name,
			 what);
}

static enum sm_err check_element(const struct resolving *r, const struct cql_type_name *name, enum store_type_id id, uint16_t at,
				 const struct store_type *element)
{
	struct cql_error *err = r->c->err;
	const char *written = cql__type_written(name, r->c->arena);
	if (element->id == STORE_COUNTER && id == STORE_TUPLE)
		return cql__fail(err, CQL_INVALID, "Counters are not allowed inside tuples");
	if (element->id == STORE_COUNTER)
		return cql__fail(err, CQL_INVALID, "Counters are not allowed inside %s: %s", id == STORE_VECTOR ? "vectors" : "collections",
				 written);
	if (element->id == STORE_DURATION && id == STORE_SET)
		return cql__fail(err, CQL_INVALID, "Durations are not allowed inside sets: %s", written);
	if (element->id == STORE_DURATION && id == STORE_MAP && at == 0)
		return cql__fail(err, CQL_INVALID, "Durations are not allowed as map keys: %s", written);
	if (store_type_multi_cell(element) && id != STORE_VECTOR)
		return cql__fail(err, CQL_INVALID, "Non-frozen %s are not allowed inside collections: %s",
				 element->id == STORE_UDT ? "UDTs" : "collections", written);
	return SM_OK;
}

static enum sm_err composite(const struct resolving *r, const struct cql_type_name *name, enum store_type_id id, uint32_t count,
			     bool frozen, struct store_type *ret_type)
{
	bool collection = id >= STORE_LIST && id <= STORE_SET;
	struct store_type *types = arena_alloc(r->c->arena, sizeof *types * (count + 1));
	if (!types)
		return cql__no_memory(r->c->err, r->c->arena);
	if (count > STORE_COLUMNS_MAX)
		return wrong_count(r, name, "fewer elements");
	for (uint32_t i = 0; i < count; i++) {
		enum sm_err err = resolve(r, name->args[i], frozen || id == STORE_TUPLE, &types[i]);
		if (err || (err = check_element(r, name, id, (uint16_t)i, &types[i])))
			return err;
	}
	*ret_type = (struct store_type){id, (uint16_t)count, types, .frozen = frozen && collection};
	return SM_OK;
}

static enum sm_err vector(const struct resolving *r, const struct cql_type_name *name, bool frozen, struct store_type *ret_type)
{
	char *end = NULL;
	long dimension = name->arg_count == 2 ? strtol(name->args[1]->name, &end, 10) : 0;
	if (name->arg_count != 2 || name->args[1]->arg_count || *end)
		return wrong_count(r, name, "the type of its elements and their number");
	if (dimension <= 0 || dimension > INT32_MAX)
		return cql__fail(r->c->err, CQL_INVALID, "vectors may only have positive dimensions; given %ld", dimension);
	if (dimension > CQL_VECTOR_DIMENSION_MAX)
		return cql__fail(r->c->err, CQL_INVALID, "vectors may have at most %d dimensions; given %ld", CQL_VECTOR_DIMENSION_MAX,
				 dimension);
	enum sm_err err = composite(r, name, STORE_VECTOR, 1, frozen, ret_type);
	ret_type->dimension = (uint32_t)dimension;
	return err;
}

static enum sm_err user_type(const struct resolving *r, const struct cql_type_name *name, bool frozen, struct store_type *ret_type)
{
	struct cql_context *c = r->c;
	bool system;
	const char *dot = strchr(name->name, '.'), *type = name->name, *keyspace = r->keyspace;
	if (dot && name->qualified) {
		keyspace = arena_string(c->arena, name->name, (size_t)(dot - name->name));
		type = dot + 1;
		if (!keyspace)
			return cql__no_memory(c->err, c->arena);
		if (r->keyspace && strcmp(keyspace, r->keyspace) != 0)
			return cql__fail(c->err, CQL_INVALID,
					 "Statement on keyspace %s cannot refer to a user type in keyspace %s; user types can only be used "
					 "in the keyspace they are defined in",
					 r->keyspace, keyspace);
	}
	const struct store_keyspace *k = keyspace ? cql__find_keyspace(c, keyspace, &system) : NULL;
	const struct store_type *found = k ? store_find_type(k, type) : NULL;
	if (!found || name->arg_count)
		return cql__fail(c->err, CQL_INVALID, "Unknown type %s.%s", keyspace ? keyspace : "", type);
	*ret_type = *found;
	if (frozen && !store_type_freeze(found, c->arena, ret_type))
		return cql__no_memory(c->err, c->arena);
	return SM_OK;
}

/* 'org.apache.cassandra.db.marshal.Int32Type', or the end of it. */
static bool is_class(const char *name, const char *class)
{
	size_t size = strlen(class);
	if (*name++ != '\'')
		return false;
	if (strncmp(name, CLASSES, sizeof CLASSES - 1) == 0)
		name += sizeof CLASSES - 1;
	return strncmp(name, class, size) == 0 && strcmp(name + size, "'") == 0;
}

static enum sm_err resolve(const struct resolving *r, const struct cql_type_name *name, bool frozen, struct store_type *ret_type)
{
	for (size_t i = 0; i < sizeof native / sizeof native[0] && native[i].id < STORE_LIST; i++) {
		bool by_name = name->arg_count == 0 && !name->quoted && !name->qualified && strcmp(native[i].name, name->name) == 0;
		if (by_name || is_class(name->name, native[i].class)) {
			*ret_type = (struct store_type){.id = native[i].id};
			return SM_OK;
		}
	}
	bool word = !name->quoted && !name->qualified && name->arg_count;
	if (word && strcmp(name->name, "frozen") == 0) {
		if (name->arg_count != 1)
			return wrong_count(r, name, "one type");
		enum sm_err err = resolve(r, name->args[0], true, ret_type);
		if (!err && ret_type->element_count == 0)
			err = cql__fail(r->c->err, CQL_SYNTAX_ERROR,
					"frozen<> is only allowed on collections, tuples, and user-defined types (got %s)",
					cql__type_written(name->args[0], r->c->arena));
		return err;
	}
	if (word && (strcmp(name->name, "list") == 0 || strcmp(name->name, "set") == 0))
		return name->arg_count == 1 ? composite(r, name, name->name[0] == 'l' ? STORE_LIST : STORE_SET, 1, frozen, ret_type)
					    : wrong_count(r, name, "one type");
	if (word && strcmp(name->name, "map") == 0)
		return name->arg_count == 2 ? composite(r, name, STORE_MAP, 2, frozen, ret_type) : wrong_count(r, name, "two types");
	if (word && strcmp(name->name, "tuple") == 0)
		return composite(r, name, STORE_TUPLE, name->arg_count, true, ret_type);
	if (word && strcmp(name->name, "vector") == 0)
		return vector(r, name, frozen, ret_type);
	if (name->name[0] == '\'')
		return cql__fail(r->c->err, CQL_INVALID, "Custom types are not supported: %s", name->name);
	return user_type(r, name, frozen, ret_type);
}

enum sm_err cql__type_resolve(struct cql_context *c, const char *keyspace, const struct cql_type_name *name, struct store_type *ret_type)
{
	struct resolving r = {.c = c, .keyspace = keyspace};
	return resolve(&r, name, false, ret_type);
}

enum sm_err cql_type_of_text(const struct store_schema *schema, const char *keyspace, const char *text, struct arena *arena,
			     struct store_type *ret_type)
{
	struct cql_engine none = {0};
	struct cql_error why = {0};
	struct cql_type_name *name;
	struct cql_context c = {.engine = &none, .schema = schema, .keyspace = keyspace, .arena = arena, .err = &why};
	enum sm_err err = cql__parse_type(bytes_str(text), arena, &name, &why);
	return err ? err : cql__type_resolve(&c, keyspace, name, ret_type);
}
