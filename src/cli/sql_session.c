#include "cli/sql_session.h"
#include "base/json.h"
#include "base/map.h"
#include "cli/command.h"
#include "compute/compute.h"
#include <errno.h>
#include <stdlib.h>

struct context {
	struct sm_session *session;
	struct map schemas; /* of topics that were asked for */
};

/* The server's schema of a topic, fetched once. */
static const struct schema *topic_schema(void *arg, const char *topic)
{
	struct context *c = arg;
	struct schema *schema = map_get(&c->schemas, bytes_str(topic));
	if (schema)
		return schema;
	struct buf request, answer;
	buf_init(&request);
	buf_init(&answer);
	buf_append_str(&request, "{\"topic\":");
	buf_json_string(&request, bytes_str(topic));
	buf_append_str(&request, "}");
	if (!remote_call(c->session, "topic_schema", buf_bytes(&request), &answer, NULL) &&
	    !bytes_equal(buf_bytes(&answer), BYTES("null")) && !schema_compile(buf_bytes(&answer), &schema, NULL) &&
	    map_put(&c->schemas, bytes_str(topic), schema, NULL)) {
		schema_free(schema);
		schema = NULL;
	}
	buf_done(&request);
	buf_done(&answer);
	return schema;
}

struct printer {
	struct text_table *table;
	uint64_t rows;
};

static void print_value(struct text_table *table, struct value v)
{
	char text[64];
	char *copy = NULL;
	if (v.null) {
		text_table_cell(table, NULL, false);
		return;
	}
	switch (v.type) {
	case COLUMN_BOOL: text_table_cell(table, v.boolean ? "true" : "false", false); return;
	case COLUMN_INT32:
	case COLUMN_INT64: snprintf(text, sizeof text, "%lld", (long long)v.integer); break;
	case COLUMN_DOUBLE: snprintf(text, sizeof text, "%.17g", v.real); break;
	case COLUMN_TIMESTAMP: civil_format(v.integer, text); break;
	case COLUMN_UUID: uuid_format((const struct uuid *)v.bytes.data, text); break;
	case COLUMN_TEXT:
		copy = strndup((const char *)v.bytes.data, v.bytes.size);
		text_table_cell(table, copy, false);
		free(copy);
		return;
	case COLUMN_BLOB:
		copy = malloc(v.bytes.size * 2 + 3);
		if (copy) {
			memcpy(copy, "0x", 3);
			for (size_t i = 0; i < v.bytes.size; i++)
				snprintf(copy + 2 + 2 * i, 3, "%02x", v.bytes.data[i]);
		}
		text_table_cell(table, copy, false);
		free(copy);
		return;
	}
	text_table_cell(table, text, v.type == COLUMN_INT32 || v.type == COLUMN_INT64 || v.type == COLUMN_DOUBLE);
}

static enum sm_err print_batch(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	struct printer *p = arg;
	uint32_t columns = batch->type->field_count;
	if (!p->table) {
		p->table = text_table_new(columns);
		for (uint32_t c = 0; c < columns; c++)
			text_table_cell(p->table, batch->type->fields[c].name, false);
	}
	for (uint32_t r = 0; r < batch->rows; r++)
		for (uint32_t c = 0; c < columns; c++)
			print_value(p->table, batch_get(batch, c, r));
	p->rows += batch->rows;
	return SM_OK;
}

static enum sm_err run_one(const struct compute_env *env, const struct sql_statement *statement, FILE *out, struct sm_error *reterr)
{
	struct printer printer = {0};
	uint64_t rows = 0;
	enum sm_err err = sql_run(env, statement, NULL, 0, print_batch, &printer, &rows, reterr);
	if (!err && sql_is_insert(statement)) {
		fprintf(out, "%llu rows written to %s\n", (unsigned long long)rows, sql_insert_target(statement));
	} else if (!err) {
		text_table_print(printer.table, out);
		fprintf(out, "(%llu row%s)\n", (unsigned long long)printer.rows, printer.rows == 1 ? "" : "s");
	}
	text_table_free(printer.table);
	return err;
}

static enum sm_err bind(struct sql_script *script, const char *parameter, struct sm_error *reterr)
{
	char name[64], *end;
	const char *equals = strchr(parameter, '=');
	if (!equals || equals == parameter || (size_t)(equals - parameter) >= sizeof name)
		return sm_fail(reterr, SM_INVALID, "'%s': parameters are written name=value", parameter);
	snprintf(name, sizeof name, "%.*s", (int)(equals - parameter), parameter);
	struct value value = {.type = COLUMN_TEXT, .bytes = bytes_str(equals + 1)};
	errno = 0;
	long long integer = strtoll(equals + 1, &end, 10);
	if (end != equals + 1 && !*end && !errno)
		value = (struct value){.type = COLUMN_INT64, .integer = integer};
	enum sm_err err = sql_script_bind(script, name, value);
	return err ? sm_fail(reterr, err, "parameter :%s: %s", name, sm_err_text(err)) : SM_OK;
}

enum sm_err sql_session_print(struct sm_session *session, const char *keyspace, struct bytes text, char *const *parameters, FILE *out,
			      struct sm_error *reterr)
{
	struct context context = {.session = session};
	struct sql_script *script;
	enum sm_err err = sql_parse(text, &script, reterr);
	if (err)
		return err;
	for (; !err && parameters && *parameters; parameters++)
		err = bind(script, *parameters, reterr);
	struct compute_env env = {
		.log = sm_session_log(session),
		.store = sm_session_store(session),
		.topic_schema = topic_schema,
		.arg = &context,
		.default_keyspace = keyspace,
	};
	for (uint32_t i = 0; i < sql_script_count(script) && !err; i++)
		err = run_one(&env, sql_script_at(script, i), out, reterr);
	sql_script_free(script);
	size_t pos = 0;
	void *schema;
	while (map_next(&context.schemas, &pos, NULL, &schema))
		schema_free(schema);
	map_done(&context.schemas);
	return err;
}
