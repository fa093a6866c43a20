/* Any bytes as a value of every type, as a client may bind them: checked; what passes is a value for the store too, is ordered, is taken
 * apart, shown, and calculated with. Where what is shown is taken as a literal again, it is the same value, but for digits of a float and
 * the order of a set. */
#include "cql/arithmetic.h"
#include "cql/fuzz_types.h"
#include "cql/json_value.h"
#include "cql/testing.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct testing_store store;
static struct sm_store capturing;
static struct store_ops ops;
static struct cql_session *session;
static struct store_type types[FUZZ_TYPE_COUNT];
static const struct store_cell *expected;
static const struct store_type *expected_type;

static void must(bool fine)
{
	if (!fine)
		abort();
}

/* What is shown has fewer digits than the value; a duration has one form of several; or the elements of a set or map, which came in any
 * order, are put in theirs. */
static bool differs(const struct store_type *type)
{
	bool found = type->id == STORE_FLOAT || type->id == STORE_DOUBLE || type->id == STORE_DURATION || type->id == STORE_SET ||
		     type->id == STORE_MAP;
	for (uint16_t i = 0; i < type->element_count && !found; i++)
		found = differs(&type->elements[i]);
	return found;
}

static const struct store_schema *schema(struct sm_store *s)
{
	return &store.schema;
}

static void apply(struct sm_store *s, const struct store_batch *batch, void (*done)(void *, enum sm_err), void *arg)
{
	for (uint32_t i = 0; i < batch->count; i++)
		for (uint32_t k = 0; k < batch->mutations[i].cell_count; k++) {
			struct store_cell cell = batch->mutations[i].cells[k].value;
			/* a decimal of a scale alone is shown as the zero that it is, and ordered before all others */
			bool bare = expected_type->id == STORE_DECIMAL && expected->size == 4;
			must(cell.size >= 0 && (bare || differs(expected_type) || store_compare(expected_type, cell, *expected) == 0));
		}
	done(arg, SM_OK);
}

static void prepare(void)
{
	static char text[4096];
	struct cql_error why = {0};
	struct cql_engine engine = {0};
	struct cql_statement *statement;
	struct store_table *table = NULL;
	testing_store_init(&store);
	struct cql_context c = {.engine = &engine, .schema = &store.schema, .arena = &store.arena, .err = &why};
	int n = snprintf(text, sizeof text, "CREATE TABLE k.values (k int PRIMARY KEY");
	for (size_t i = 0; i < FUZZ_TYPE_COUNT; i++) {
		must(!store_type_parse(fuzz_types[i], &store.arena, &types[i]));
		n += snprintf(text + n, sizeof text - (size_t)n, ", v%zu %s", i, fuzz_types[i]);
	}
	snprintf(text + n, sizeof text - (size_t)n, ")");
	must(!cql__parse(bytes_str(text), &store.arena, &statement, &why) && !ddl__table(&c, &statement->ddl, "k", false, &table));
	store.tables[store.keyspace.table_count++] = table;
	ops = testing_ops;
	ops.schema = schema;
	ops.apply = apply;
	capturing.ops = &ops;
	must(!cql_session_new(&capturing, "k", &session));
}

static void insert(size_t at, const char *literal, struct arena *arena)
{
	size_t room = strlen(literal) + 100;
	char *text = arena_alloc(arena, room);
	struct cql_sink sink = {0};
	struct sm_error why = {0};
	if (!text)
		return;
	snprintf(text, room, "INSERT INTO k.values (k, v%zu) VALUES (1, %s)", at, literal);
	(void)!cql_session_run(session, bytes_str(text), &sink, &why);
}

/* What comes of an expression is a value of its type. */
static void evaluate(struct cql_eval *e, const struct cql_expr *x)
{
	struct store_cell ret = cql__null();
	if (cql__eval(e, x, &ret) == SM_OK)
		must(ret.size < 0 || store_value_ok(x->type, ret));
	else
		must(e->context->err->text[0]);
}

/* Every operation, function and cast that takes the value. */
static void calculate(const struct store_type *type, struct store_cell cell, struct arena *arena)
{
	static const char *const targets[] = {"tinyint", "smallint", "int",  "bigint", "float", "double",
					      "varint",  "decimal",  "text", "ascii",  "date",  "timestamp"};
	static const char *const functions[] = {"abs", "exp", "log", "log10", "round"};
	static const struct cql_duration durations[] = {{1, 0, 0}, {INT32_MAX, INT32_MAX, 0}, {INT32_MIN, 0, -1000000}, {0, -1, 0}};
	struct cql_error why = {0};
	struct cql_engine engine = {0};
	struct cql_context c = {.engine = &engine, .schema = &store.schema, .arena = arena, .err = &why};
	struct cql_analysis a = {.c = &c};
	struct cql_eval e = {.context = &c};
	struct cql_expr value = {.kind = CQL_EXPR_CONST, .type = type, .name = "", .cell = cell};
	struct cql_expr duration = {.kind = CQL_EXPR_CONST, .type = cql__type(STORE_DURATION), .name = ""};
	struct cql_expr *args[2] = {&value, &value};
	for (const char *op = "+-*/%"; *op; op++) {
		const struct store_type *of = cql__arithmetic_type(*op, type->id, type->id);
		if (of)
			evaluate(&e, &(struct cql_expr){.kind = CQL_EXPR_ARITHMETIC, .type = of, .args = args, .arg_count = 2, .op = *op});
	}
	args[1] = &duration;
	for (size_t i = 0; i < 2 * sizeof durations / sizeof *durations; i++) {
		char op = i % 2 ? '+' : '-';
		const struct store_type *of = cql__arithmetic_type(op, type->id, STORE_DURATION);
		duration.cell = cql__duration_cell(&durations[i / 2], arena);
		if (of)
			evaluate(&e, &(struct cql_expr){.kind = CQL_EXPR_ARITHMETIC, .type = of, .args = args, .arg_count = 2, .op = op});
	}
	if (cql__is_number(type->id))
		evaluate(&e, &(struct cql_expr){.kind = CQL_EXPR_ARITHMETIC, .type = type, .args = args, .arg_count = 1, .op = '-'});
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		struct cql_type_name to = {.name = targets[i]};
		struct cql_term literal = {.kind = CQL_TERM_NULL}, *of = &literal;
		struct cql_term term = {.kind = CQL_TERM_CAST, .type = &to, .is_function = true, .args = &of, .arg_count = 1};
		struct cql_expr *x = NULL;
		if (cql__cast(&a, &term, &value, &x) == SM_OK)
			evaluate(&e, x);
	}
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		const struct cql_function *f = cql__math_function(&c, functions[i], type);
		if (f)
			evaluate(
				&e,
				&(struct cql_expr){
					.kind = CQL_EXPR_CALL, .type = cql__function_type(f), .function = f, .args = args, .arg_count = 1});
	}
	evaluate(&e, &(struct cql_expr){.kind = CQL_EXPR_TO_JSON, .type = cql__type(STORE_TEXT), .args = args, .arg_count = 1});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cql_error why = {0};
	struct arena arena;
	struct buf out;
	if (!session)
		prepare();
	if (size < 1)
		return 0;
	size_t at = data[0] % FUZZ_TYPE_COUNT;
	struct store_cell cell = {data + 1, (int32_t)size - 1}, element;
	const struct store_type *type = &types[at], *inner;
	if (cql__value_check(type, cell, &why)) {
		must(why.text[0]);
		return 0;
	}
	must(store_value_ok(type, cell) && store_compare(type, cell, cell) == 0);
	struct store_value_reader reader = store_value_reader(type, cell);
	while (type->element_count && store_value_next(&reader, &element, &inner))
		must(element.size < 0 || store_value_ok(inner, element));
	must(!type->element_count || !reader.failed);
	arena_init(&arena, 64u << 20);
	buf_init(&out);
	const char *literal = cql_literal_text(type, cell, &arena);
	if (cell.size)
		cql__json_put(type, cell, &arena, &out);
	calculate(type, cell, &arena);
	expected = &cell;
	expected_type = type;
	if (literal && cell.size)
		insert(at, literal, &arena);
	buf_done(&out);
	arena_done(&arena);
	return 0;
}
