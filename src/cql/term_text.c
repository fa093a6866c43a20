/* A term as it was written: the way Cassandra shows it, in errors and as the name of a result column; and so that it can be read again. */
#include "cql/cql_internal.h"

#include <string.h>

struct writing {
	struct buf out;
	bool selected;       /* the name of a column: functions have their keyspace */
	struct arena *exact; /* it is read again: quotes where they are needed; NULL: it is shown */
};

static void put(struct writing *w, const struct cql_term *t);

static void put_args(struct writing *w, const struct cql_term *t, const char *open, const char *close)
{
	buf_append_str(&w->out, open);
	for (uint32_t i = 0; i < t->arg_count; i++) {
		buf_append_str(&w->out, i == 0 ? "" : t->kind == CQL_TERM_MAP && i % 2 ? ": " : ", ");
		put(w, t->args[i]);
	}
	buf_append_str(&w->out, close);
}

static void put_type(struct writing *w, const struct cql_type_name *type)
{
	const char *dot = w->exact && type->qualified ? strchr(type->name, '.') : NULL;
	const char *keyspace = dot ? arena_string(w->exact, type->name, (size_t)(dot - type->name)) : NULL;
	if (keyspace)
		buf_printf(&w->out, "%s.%s", cql_quote_name(keyspace, w->exact), cql_quote_name(dot + 1, w->exact));
	else
		buf_printf(&w->out, w->exact && type->quoted ? "\"%s\"" : "%s", type->name);
	for (uint32_t i = 0; i < type->arg_count; i++) {
		buf_append_str(&w->out, i ? ", " : "<");
		put_type(w, type->args[i]);
	}
	if (type->arg_count)
		buf_append_str(&w->out, ">");
}

static void put_call(struct writing *w, const struct cql_term *t)
{
	bool of_cells = strcmp(t->name, "writetime") == 0 || strcmp(t->name, "maxwritetime") == 0 || strcmp(t->name, "ttl") == 0;
	bool rows = t->star || (strcmp(t->name, "count") == 0 && t->arg_count == 1 && t->args[0]->kind == CQL_TERM_LITERAL);
	if (w->selected && rows) {
		buf_append_str(&w->out, t->name);
		return;
	}
	buf_printf(&w->out, "%s%s", w->selected && !of_cells ? "system." : "", t->name);
	put_args(w, t, "(", ")");
}

static void put_literal(struct writing *w, const struct cql_term *t)
{
	const char *q = t->literal == CQL_STRING ? "'" : "";
	buf_append_str(&w->out, t->literal == CQL_HEX ? "0x" : q);
	for (size_t i = 0; w->exact && *q && i < t->text.size; i++) {
		buf_u8(&w->out, t->text.data[i]);
		if (t->text.data[i] == '\'')
			buf_append_str(&w->out, q);
	}
	if (!w->exact || !*q)
		buf_append_bytes(&w->out, t->text);
	buf_append_str(&w->out, q);
}

static void put_operand(struct writing *w, const struct cql_term *t)
{
	bool nested = w->exact && t->kind == CQL_TERM_OPERATION;
	buf_append_str(&w->out, nested ? "(" : "");
	put(w, t);
	buf_append_str(&w->out, nested ? ")" : "");
}

static void put_operation(struct writing *w, const struct cql_term *t)
{
	if (t->arg_count == 1)
		buf_append_str(&w->out, "-");
	put_operand(w, t->args[0]);
	if (t->arg_count == 1)
		return;
	buf_printf(&w->out, " %c ", t->op);
	put_operand(w, t->args[1]);
}

static void put_cast(struct writing *w, const struct cql_term *t)
{
	buf_append_str(&w->out, t->is_function ? "cast(" : "(");
	if (t->is_function) {
		put(w, t->args[0]);
		buf_append_str(&w->out, " as ");
	}
	put_type(w, t->type);
	buf_append_str(&w->out, ")");
	if (!t->is_function)
		put(w, t->args[0]);
}

/* a[k], a[f..t], a.f */
static void put_part(struct writing *w, const struct cql_term *t)
{
	bool selected = w->selected;
	put(w, t->args[0]);
	if (t->kind == CQL_TERM_FIELD) {
		buf_printf(&w->out, ".%s", t->name);
		return;
	}
	w->selected = false;
	buf_append_str(&w->out, "[");
	if (t->args[1])
		put(w, t->args[1]);
	if (t->kind == CQL_TERM_SLICE) {
		buf_append_str(&w->out, "..");
		if (t->args[2])
			put(w, t->args[2]);
	}
	buf_append_str(&w->out, "]");
	w->selected = selected;
}

static void put(struct writing *w, const struct cql_term *t)
{
	switch (t->kind) {
	case CQL_TERM_COLUMN:
	case CQL_TERM_JSON_FIELD: buf_append_str(&w->out, w->exact ? cql_quote_name(t->name, w->exact) : t->name); break;
	case CQL_TERM_NULL: buf_append_str(&w->out, "NULL"); break;
	case CQL_TERM_MARKER: buf_append_str(&w->out, "?"); break;
	case CQL_TERM_LITERAL: put_literal(w, t); break;
	case CQL_TERM_CALL: put_call(w, t); break;
	case CQL_TERM_LIST: put_args(w, t, "[", "]"); break;
	case CQL_TERM_SET:
	case CQL_TERM_MAP: put_args(w, t, "{", "}"); break;
	case CQL_TERM_TUPLE: put_args(w, t, "(", ")"); break;
	case CQL_TERM_CAST: put_cast(w, t); break;
	case CQL_TERM_ELEMENT:
	case CQL_TERM_SLICE:
	case CQL_TERM_FIELD: put_part(w, t); break;
	case CQL_TERM_OPERATION: put_operation(w, t); break;
	}
}

static const char *text_of(const struct cql_term *t, bool selected, bool exact, struct arena *arena)
{
	struct writing w = {.selected = selected, .exact = exact ? arena : NULL};
	buf_init(&w.out);
	put(&w, t);
	const char *text = w.out.failed ? NULL : arena_string(arena, (const char *)w.out.data + w.out.start, buf_size(&w.out));
	buf_done(&w.out);
	return text ? text : "";
}

const char *cql__term_text(const struct cql_term *term, struct arena *arena)
{
	return text_of(term, false, false, arena);
}

const char *cql__term_written(const struct cql_term *term, struct arena *arena)
{
	return text_of(term, false, true, arena);
}

const char *cql__selection_name(const struct cql_term *term, struct arena *arena)
{
	return text_of(term, true, false, arena);
}
