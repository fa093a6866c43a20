/* WHERE: which rows a statement names, and whether CQL allows to name them so. The order of the checks and their texts are Cassandra's. */
#include "cql/index.h"

#include <string.h>

#define NEEDS_FILTERING                                                                                                             \
	"Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. If you want to " \
	"execute "                                                                                                                  \
	"this query despite the performance unpredictability, use ALLOW FILTERING"

struct where_analysis {
	struct cql_analysis *a;
	struct cql_where *where;
	enum cql_where_use use;
	bool filtering_allowed, asked;      /* asked: by ALLOW FILTERING, not by an index */
	uint32_t indexed_count;             /* columns with a restriction that an index answers */
	struct cql_restriction **partition; /* per partition key column: EQ, IN or any slice */
	bool partition_slice;
	const struct store_column **others; /* restricted columns that are no part of the primary key */
	uint32_t other_count;
	struct cql_restriction *first_other;
};

static const char *const operator_texts[] = {"=", "<", "<=", ">", ">=", "!=", "IN", "CONTAINS", "CONTAINS KEY", "LIKE", "IS NOT"};

/* The columns of a relation as written: c, (c, d), token(k). */
static const char *left_text(const struct cql_relation *r, struct arena *arena)
{
	const char *text = r->columns[0];
	for (uint32_t i = 1; text && i < r->column_count; i++)
		text = arena_printf(arena, "%s, %s", text, r->columns[i]);
	if (text && (r->tuple || r->token))
		text = arena_printf(arena, "%s(%s)", r->token ? "token" : "", text);
	return text ? text : "";
}

static const char *relation_text(const struct cql_relation *r, struct arena *arena)
{
	const char *value = r->value ? cql__term_text(r->value, arena) : "(";
	for (uint32_t i = 0; value && !r->value && i < r->value_count; i++)
		value = arena_printf(arena, "%s%s%s", value, i ? ", " : "", cql__term_text(r->values[i], arena));
	const char *text = arena_printf(arena, "%s %s %s%s", left_text(r, arena), operator_texts[r->op], value ? value : "",
					r->value ? "" : ")");
	return text ? text : "";
}

static enum sm_err refused_operator(struct where_analysis *w, const struct cql_relation *r, const struct store_column *column)
{
	struct cql_context *c = w->a->c;
	const char *value = r->value ? cql__term_text(r->value, c->arena) : "null";
	switch (r->op) {
	case CQL_NEQ: return cql__fail(c->err, CQL_INVALID, "Unsupported \"!=\" relation: %s", relation_text(r, c->arena));
	case CQL_LIKE: {
		struct cql_expr *ignored;
		enum sm_err err = cql__term(w->a, r->value, &column->type, column->name, &ignored);
		if (err)
			return err;
		return cql__fail(c->err, CQL_INVALID,
				 "LIKE restriction is only supported on properly indexed columns. %s LIKE %s is not valid.", column->name,
				 value);
	}
	case CQL_IS_NOT_NULL: return cql__fail(c->err, CQL_INVALID, "Unsupported restriction: %s IS NOT NULL", r->columns[0]);
	default: return cql__fail(c->err, CQL_INVALID, "%s is not supported yet", operator_texts[r->op]);
	}
}

/* ---- relations to restrictions ---- */

static enum sm_err resolve_columns(struct where_analysis *w, const struct cql_relation *r, struct cql_restriction *out)
{
	struct cql_context *c = w->a->c;
	out->columns = cql__new(w->a, sizeof *out->columns * r->column_count);
	if (!out->columns)
		return SM_NO_MEMORY;
	out->column_count = (uint16_t)r->column_count;
	if (r->column_count > w->a->table->column_count)
		return cql__fail(c->err, CQL_INVALID, "A relation names more columns than the table has");
	for (uint32_t i = 0; i < r->column_count; i++) {
		enum sm_err err = cql__column(w->a, r->columns[i], &out->columns[i]);
		if (err)
			return err;
		const struct store_column *col = out->columns[i];
		for (uint32_t k = 0; r->tuple && k < i; k++)
			if (out->columns[k] == col)
				return cql__fail(c->err, CQL_INVALID, "Column \"%s\" appeared twice in a relation: %s", col->name,
						 relation_text(r, c->arena));
		if (r->tuple && col->kind != STORE_CLUSTERING)
			return cql__fail(c->err, CQL_INVALID,
					 "Multi-column relations can only be applied to clustering columns but was applied to: %s",
					 col->name);
		if (r->tuple && i && col->position != out->columns[i - 1]->position + 1)
			return cql__fail(c->err, CQL_INVALID,
					 "Clustering columns must appear in the PRIMARY KEY order in multi-column relations: %s",
					 relation_text(r, c->arena));
	}
	return SM_OK;
}

static enum sm_err token_columns(struct where_analysis *w, const struct cql_restriction *r)
{
	struct cql_context *c = w->a->c;
	const struct store_table *t = w->a->table;
	if (r->column_count != t->partition_key_count)
		return cql__fail(c->err, CQL_INVALID,
				 "The token() function must be applied to all partition key components or none of them");
	for (uint16_t i = 0; i < r->column_count; i++)
		if (r->columns[i] != &t->columns[i])
			return cql__fail(c->err, CQL_INVALID, "The token function arguments must be in the partition key order: %s",
					 t->columns[i].name);
	return SM_OK;
}

/* tuple<int, text> of the columns. */
static const struct store_type *tuple_type(struct where_analysis *w, const struct cql_restriction *out)
{
	struct store_type *type = cql__new(w->a, sizeof *type), *elements = cql__new(w->a, sizeof *elements * out->column_count);
	if (!type || !elements)
		return NULL;
	for (uint16_t i = 0; i < out->column_count; i++)
		elements[i] = out->columns[i]->type;
	*type = (struct store_type){.id = STORE_TUPLE, .element_count = out->column_count, .elements = elements};
	return type;
}

/* "(c,d)" */
static const char *tuple_name(struct where_analysis *w, const struct cql_restriction *out)
{
	const char *text = "(";
	for (uint16_t i = 0; text && i < out->column_count; i++)
		text = arena_printf(w->a->c->arena, "%s%s%s", text, i ? "," : "", out->columns[i]->name);
	return text ? arena_printf(w->a->c->arena, "%s)", text) : NULL;
}

/* A marker for a whole tuple: each column's value is a field of it. */
static enum sm_err tuple_marker(struct where_analysis *w, const struct cql_term *t, const struct cql_restriction *out,
				struct cql_expr **values)
{
	const struct store_type *type = tuple_type(w, out);
	const char *name = tuple_name(w, out);
	struct cql_expr *whole;
	if (!type || !name)
		return SM_NO_MEMORY;
	enum sm_err err = cql__term(w->a, t, type, name, &whole);
	for (uint16_t i = 0; !err && i < out->column_count; i++) {
		if (!(values[i] = cql__new(w->a, sizeof **values)) || !(values[i]->args = cql__new(w->a, sizeof *values[i]->args)))
			return SM_NO_MEMORY;
		values[i]->kind = CQL_EXPR_FIELD;
		values[i]->type = &type->elements[i];
		values[i]->name = out->columns[i]->name;
		values[i]->index = i;
		values[i]->args[0] = whole;
		values[i]->arg_count = 1;
	}
	return err;
}

/* The values of one tuple (or single value) into values[0 .. column_count]. */
static enum sm_err tuple_values(struct where_analysis *w, const struct cql_relation *r, const struct cql_term *t,
				const struct cql_restriction *out, struct cql_expr **values)
{
	if (out->token)
		return cql__term(w->a, t, cql__type(STORE_BIGINT), "partition key token", &values[0]);
	if (!r->tuple)
		return cql__term(w->a, t, &out->columns[0]->type, out->columns[0]->name, &values[0]);
	if (t->kind == CQL_TERM_MARKER)
		return tuple_marker(w, t, out, values);
	if (t->kind != CQL_TERM_TUPLE)
		return cql__fail(w->a->c->err, CQL_INVALID, "Invalid value for %s: a tuple or a bind marker is expected, not %s",
				 tuple_name(w, out), cql__term_text(t, w->a->c->arena));
	if (t->arg_count != out->column_count)
		return cql__fail(w->a->c->err, CQL_INVALID, "Expected %u elements in value tuple, but got %u: %s", out->column_count,
				 t->arg_count, cql__term_text(t, w->a->c->arena));
	for (uint16_t i = 0; i < out->column_count; i++) {
		enum sm_err err = cql__term(w->a, t->args[i], &out->columns[i]->type, out->columns[i]->name, &values[i]);
		if (err)
			return err;
	}
	return SM_OK;
}

static enum sm_err resolve_values(struct where_analysis *w, const struct cql_relation *r, struct cql_restriction *out)
{
	uint32_t width = out->token ? 1 : out->column_count;
	if (r->op == CQL_IN && r->value) { /* IN ? */
		if (out->token || r->value->kind != CQL_TERM_MARKER)
			return cql__fail(w->a->c->err, CQL_INVALID, "IN takes a list of values in parentheses or a bind marker");
		struct store_type *list = cql__new(w->a, sizeof *list);
		const struct store_type *element = r->tuple && out->column_count > 1 ? tuple_type(w, out) : &out->columns[0]->type;
		const char *of = r->tuple ? tuple_name(w, out) : NULL;
		const char *name = of ? arena_printf(w->a->c->arena, "in%s", of)
				      : arena_printf(w->a->c->arena, "in(%s)", out->columns[0]->name);
		if (!list || !name || !element)
			return SM_NO_MEMORY;
		*list = (struct store_type){STORE_LIST, 1, element};
		return cql__term(w->a, r->value, list, name, &out->list);
	}
	out->value_count = r->op == CQL_IN ? r->value_count : 1; /* = (a) too */
	out->values = cql__new(w->a, sizeof *out->values * width * out->value_count);
	if (!out->values)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < out->value_count; i++) {
		enum sm_err err = tuple_values(w, r, r->op == CQL_IN ? r->values[i] : r->value, out, &out->values[i * width]);
		if (err)
			return err;
	}
	return SM_OK;
}

/* CONTAINS, CONTAINS KEY and m['k'] = v: always filters. */
static enum sm_err element_relation(struct where_analysis *w, const struct cql_relation *r, struct cql_restriction *out)
{
	struct cql_context *c = w->a->c;
	const struct store_column *column = out->columns[0];
	const struct store_type *type = &column->type;
	bool map = type->id == STORE_MAP, collection = type->id >= STORE_LIST && type->id <= STORE_SET;
	if (r->subscript && type->id == STORE_LIST)
		return cql__fail(c->err, CQL_INVALID, "Indexes on list entries (%s[index] = value) are not currently supported.",
				 column->name);
	if (r->subscript && !map)
		return cql__fail(c->err, CQL_INVALID, "Column %s cannot be used as a map", column->name);
	if (r->subscript && type->frozen)
		return cql__fail(c->err, CQL_INVALID, "Map-entry equality predicates on frozen map column %s are not supported",
				 column->name);
	if (r->subscript && r->op != CQL_EQ)
		return cql__fail(c->err, CQL_INVALID, "Only EQ relations are supported on map entries");
	if (!collection)
		return cql__fail(c->err, CQL_INVALID, "Cannot use %s on %s column %s", operator_texts[r->op],
				 r->op == CQL_CONTAINS_KEY ? "non-map" : "non-collection", column->name);
	if (r->op == CQL_CONTAINS_KEY && !map)
		return cql__fail(c->err, CQL_INVALID, "Cannot use CONTAINS KEY on non-map column %s", column->name);
	bool key = r->op == CQL_CONTAINS_KEY;
	const char *key_name = arena_printf(c->arena, "key(%s)", column->name);
	const char *value_name = arena_printf(c->arena, "value(%s)", column->name);
	if (!key_name || !value_name || !(out->values = cql__new(w->a, sizeof *out->values)))
		return SM_NO_MEMORY;
	out->value_count = 1;
	enum sm_err err = r->subscript ? cql__term(w->a, r->subscript, &type->elements[0], key_name, &out->key) : SM_OK;
	return err ? err : cql__term(w->a, r->value, &type->elements[map && !key ? 1 : 0], key ? key_name : value_name, &out->values[0]);
}

/* A column with a cell for each element has no value to compare. */
static enum sm_err check_comparable(struct where_analysis *w, const struct cql_relation *r, const struct store_column *column)
{
	struct cql_context *c = w->a->c;
	const char *type = cql_type_text(&column->type, c->arena);
	if (!store_type_multi_cell(&column->type))
		return SM_OK;
	if (column->type.id == STORE_UDT)
		return cql__fail(c->err, CQL_INVALID, "Non-frozen UDT column '%s' (%s) cannot be restricted by any relation", column->name,
				 type);
	return cql__fail(c->err, CQL_INVALID, "Collection column '%s' (%s) cannot be restricted by a '%s' relation", column->name, type,
			 operator_texts[r->op]);
}

/* ---- merging, in the order of the text ---- */

static bool is_low(const struct cql_restriction *r)
{
	return r->op == CQL_GT || r->op == CQL_GE;
}

static const char *column_names(const struct cql_restriction *r, struct arena *arena)
{
	const char *text = r->columns[0]->name;
	for (uint16_t i = 1; text && i < r->column_count; i++)
		text = arena_printf(arena, "%s, %s", text, r->columns[i]->name);
	return text ? text : "";
}

/* Two restrictions of the same columns: only a lower and an upper bound go together. */
static enum sm_err clash(struct where_analysis *w, const struct cql_restriction *old, const struct cql_restriction *new)
{
	struct cql_context *c = w->a->c;
	const char *names = column_names(new, c->arena);
	bool slices = new->op != CQL_EQ &&new->op != CQL_IN, before = old->op != CQL_EQ && old->op != CQL_IN;
	if (slices != before && new->columns[0]->kind == STORE_CLUSTERING && !new->token)
		return cql__fail(c->err, CQL_INVALID, "Column \"%s\" cannot be restricted by both an equality and an inequality relation",
				 new->columns[0]->name);
	if (slices && before && new->column_count != old->column_count)
		names = new->columns[0]->name;
	if (old->op == CQL_EQ || new->op == CQL_EQ)
		return cql__fail(c->err, CQL_INVALID, "%s cannot be restricted by more than one relation if it includes an Equal", names);
	if (old->op == CQL_IN || new->op == CQL_IN)
		return cql__fail(c->err, CQL_INVALID, "%s cannot be restricted by more than one relation if it includes a IN", names);
	if (is_low(old) == is_low(new))
		return cql__fail(c->err, CQL_INVALID, "More than one restriction was found for the %s bound on %s",
				 is_low(new) ? "start" : "end", names);
	return SM_OK;
}

static enum sm_err merge_token(struct where_analysis *w, struct cql_restriction *r)
{
	struct cql_where *where = w->where;
	struct cql_restriction **slot = r->op == CQL_EQ ? &where->token_equal : is_low(r) ? &where->token_low : &where->token_high;
	if (r->op == CQL_IN)
		return cql__fail(w->a->c->err, CQL_INVALID, "IN cannot be used with the token function");
	for (struct cql_restriction *old = where->token_equal ? where->token_equal : *slot ? *slot : NULL; old; old = NULL)
		return clash(w, old, r);
	*slot = r;
	return SM_OK;
}

static enum sm_err merge_partition(struct where_analysis *w, struct cql_restriction *r)
{
	struct cql_restriction **slot = &w->partition[r->columns[0]->position];
	if (*slot) {
		enum sm_err err = clash(w, *slot, r);
		if (err)
			return err;
	}
	w->partition_slice |= r->op != CQL_EQ && r->op != CQL_IN;
	if (!*slot)
		*slot = r;
	return SM_OK;
}

static struct cql_clustering *clustering_at(struct cql_where *where, uint16_t position)
{
	for (uint32_t i = 0; i < where->clustering_count; i++) {
		struct cql_clustering *p = &where->clustering[i];
		uint16_t width = p->equal ? p->equal->column_count : p->low ? p->low->column_count : p->high->column_count;
		if (position >= p->first && position < p->first + width)
			return p;
	}
	return NULL;
}

static enum sm_err merge_clustering(struct where_analysis *w, struct cql_restriction *r)
{
	struct cql_where *where = w->where;
	struct cql_context *c = w->a->c;
	uint16_t first = r->columns[0]->position;
	bool slice = r->op != CQL_EQ && r->op != CQL_IN;
	struct cql_clustering *at = clustering_at(where, first),
			      *last = where->clustering_count ? &where->clustering[where->clustering_count - 1] : NULL;
	for (uint16_t i = 1; !at && i < r->column_count; i++)
		at = clustering_at(where, (uint16_t)(first + i));
	if (at && (!slice || at->equal || at->first != first || (is_low(r) ? at->low : at->high))) {
		struct cql_restriction *old = at->equal ? at->equal : at->low && (is_low(r) || !at->high) ? at->low : at->high;
		enum sm_err err = clash(w, old, r);
		return err ? err
			   : cql__fail(c->err, CQL_INVALID,
				       "Column \"%s\" cannot be restricted by two inequalities not starting with the same column",
				       r->columns[0]->name);
	}
	if (at) {
		*(is_low(r) ? &at->low : &at->high) = r;
		return SM_OK;
	}
	/* where->clustering is in the order of the columns. */
	if (last && !w->filtering_allowed && !last->equal && first > last->first)
		return cql__fail(
			c->err, CQL_INVALID,
			"Clustering column \"%s\" cannot be restricted (preceding column \"%s\" is restricted by a non-EQ relation)",
			r->columns[0]->name, (last->low ? last->low : last->high)->columns[0]->name);
	if (last && !w->filtering_allowed && slice && first < last->first)
		return cql__fail(
			c->err, CQL_INVALID,
			"PRIMARY KEY column \"%s\" cannot be restricted (preceding column \"%s\" is restricted by a non-EQ relation)",
			w->a->table->columns[w->a->table->partition_key_count + last->first].name, r->columns[0]->name);
	uint32_t i = where->clustering_count++;
	for (; i && where->clustering[i - 1].first > first; i--)
		where->clustering[i] = where->clustering[i - 1];
	where->clustering[i] = (struct cql_clustering){.first = first};
	*(slice ? is_low(r) ? &where->clustering[i].low : &where->clustering[i].high : &where->clustering[i].equal) = r;
	return SM_OK;
}

static enum sm_err merge_other(struct where_analysis *w, struct cql_restriction *r)
{
	bool elements = r->key || r->op == CQL_CONTAINS || r->op == CQL_CONTAINS_KEY; /* any number of them goes together */
	for (uint32_t i = 0; i < w->other_count; i++)
		if (w->others[i] == r->columns[0]) {
			for (uint32_t k = 0; k < w->where->count; k++) {
				struct cql_restriction *old = &w->where->restrictions[k];
				if (elements || old->key || old->op == CQL_CONTAINS || old->op == CQL_CONTAINS_KEY)
					continue;
				enum sm_err err = old != r && old->columns[0] == r->columns[0] ? clash(w, old, r) : SM_OK;
				if (err)
					return err;
			}
			return SM_OK;
		}
	w->others[w->other_count++] = r->columns[0];
	return SM_OK;
}

static enum sm_err add_relation(struct where_analysis *w, const struct cql_relation *r)
{
	struct cql_restriction *out = &w->where->restrictions[w->where->count];
	bool one = r->op == CQL_IN && !r->value && r->value_count == 1; /* IN (a) is = a */
	*out = (struct cql_restriction){.op = one ? CQL_EQ : r->op, .token = r->token};
	enum sm_err err = resolve_columns(w, r, out);
	if (err)
		return err;
	if (r->field)
		return cql__fail(w->a->c->err, CQL_SYNTAX_ERROR, "Fields of user types (%s.%s) can't be restricted in WHERE", r->columns[0],
				 r->field);
	if (r->subscript || r->op == CQL_CONTAINS || r->op == CQL_CONTAINS_KEY) {
		if ((err = element_relation(w, r, out)))
			return err;
		w->where->count++;
		return merge_other(w, out);
	}
	if (r->op != CQL_NEQ && r->op != CQL_LIKE && r->op != CQL_IS_NOT_NULL && !r->token &&
	    (err = check_comparable(w, r, out->columns[0])))
		return err;
	if (r->op > CQL_GE && r->op != CQL_IN)
		return refused_operator(w, r, out->columns[0]);
	if (r->token && (err = token_columns(w, out)))
		return err;
	if (!r->token && out->columns[0]->type.id == STORE_DURATION && r->op != CQL_EQ && r->op != CQL_IN)
		return cql__fail(w->a->c->err, CQL_INVALID, "Slice restrictions are not supported on duration columns");
	err = resolve_values(w, r, out);
	if (err)
		return err;
	w->where->count++;
	if (r->token)
		return merge_token(w, out);
	switch (out->columns[0]->kind) {
	case STORE_PARTITION_KEY: return merge_partition(w, out);
	case STORE_CLUSTERING: return merge_clustering(w, out);
	default: return merge_other(w, out);
	}
}

/* ---- what the whole must be ---- */

static enum sm_err missing_partition_columns(struct where_analysis *w, bool all)
{
	const struct store_table *t = w->a->table;
	const char *names = NULL;
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		if (all || !w->partition[i])
			names = arena_printf(w->a->c->arena, "%s%s%s", names ? names : "", names ? ", " : "", t->columns[i].name);
	return cql__fail(w->a->c->err, CQL_INVALID, "Some partition key parts are missing: %s", names ? names : "");
}

static enum sm_err check_partition(struct where_analysis *w)
{
	struct cql_context *c = w->a->c;
	struct cql_where *where = w->where;
	const struct store_table *t = w->a->table;
	uint16_t restricted = 0;
	bool token = where->token_low || where->token_high || where->token_equal;
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		restricted += w->partition[i] != NULL;
	where->key_restricted = restricted || token;
	if (w->use != CQL_FOR_SELECT) {
		const char *statement = w->use == CQL_FOR_UPDATE ? "UPDATE" : "DELETE";
		if (token)
			return cql__fail(c->err, CQL_INVALID, "The token function cannot be used in WHERE clauses for %s statements",
					 statement);
		if (restricted < t->partition_key_count)
			return missing_partition_columns(w, false);
		if (w->partition_slice)
			return cql__fail(c->err, CQL_INVALID,
					 "Only EQ and IN relation are supported on the partition key (unless you use the token() function) "
					 "for %s statements",
					 statement);
	}
	bool whole = restricted == t->partition_key_count && !w->partition_slice;
	if (token && restricted && !whole)
		return cql__fail(c->err, CQL_INVALID, "Columns \"%s\" cannot be restricted by both a normal relation and a token relation",
				 t->columns[0].name);
	if (restricted == t->partition_key_count && !w->partition_slice) {
		where->partition = w->partition;
		for (uint16_t i = 0; i < t->partition_key_count; i++)
			w->partition[i]->used = true;
		return SM_OK;
	}
	if (restricted && !w->filtering_allowed)
		return cql__fail(c->err, CQL_INVALID, NEEDS_FILTERING);
	return SM_OK;
}

static enum sm_err check_clustering(struct where_analysis *w)
{
	struct cql_context *c = w->a->c;
	struct cql_where *where = w->where;
	const struct store_column *columns = w->a->table->columns + w->a->table->partition_key_count;
	uint16_t next = 0;
	uint32_t used = 0;
	bool slice = false;
	if (w->use == CQL_FOR_UPDATE)
		for (uint32_t i = 0; i < where->clustering_count; i++)
			if (!where->clustering[i].equal)
				return cql__fail(c->err, CQL_INVALID,
						 "Slice restrictions are not supported on the clustering columns in UPDATE statements");
	for (uint32_t i = 0; i < where->clustering_count; i++) {
		struct cql_clustering *p = &where->clustering[i];
		if (p->first != next && !w->filtering_allowed)
			return cql__fail(c->err, CQL_INVALID,
					 "PRIMARY KEY column \"%s\" cannot be restricted as preceding column \"%s\" is not restricted",
					 columns[p->first].name, columns[next].name);
		if (p->first != next || slice || !where->partition)
			break;
		used++;
		slice = !p->equal;
		if (p->equal) {
			p->equal->used = true;
			next = (uint16_t)(next + p->equal->column_count);
			continue;
		}
		if (p->low)
			p->low->used = true;
		if (p->high)
			p->high->used = true;
		next++;
	}
	where->clustering_count = used;
	return SM_OK;
}

/* One index answers one restriction; those of SAI go together. Keys besides must be the whole partition key or what the token says. */
static bool indexes_suffice(const struct where_analysis *w)
{
	uint32_t others = 0, indexed = 0, sai = 0;
	for (uint32_t i = 0; i < w->where->count; i++) {
		const struct cql_restriction *r = &w->where->restrictions[i];
		struct cql_index index;
		if (r->used || r->token)
			continue;
		others++;
		if (r->column_count == 1 && cql__indexed(w->a->table, r->columns[0], r->op, r->key != NULL, w->a->c->arena, &index)) {
			indexed++;
			sai += index.sai;
		}
	}
	return others > 0 && (others == sai || (others == 1 && indexed == 1));
}

static enum sm_err check_others(struct where_analysis *w)
{
	struct cql_context *c = w->a->c;
	if (!w->other_count)
		return SM_OK;
	if (w->use != CQL_FOR_SELECT) {
		const char *names = NULL;
		for (uint32_t i = 0; i < w->other_count; i++)
			names = arena_printf(c->arena, "%s%s%s", names ? names : "", names ? ", " : "", w->others[i]->name);
		return cql__fail(c->err, CQL_INVALID, "Non PRIMARY KEY columns found in where clause: %s ", names ? names : "");
	}
	return w->asked || indexes_suffice(w) ? SM_OK : cql__fail(c->err, CQL_INVALID, NEEDS_FILTERING);
}

/* Does any relation of a column that is no partition key have an index? Then rows may be filtered; whether that needs to be asked for is
 * known when all relations are. */
static bool any_indexed(struct cql_analysis *a, const struct cql_relation *relations, uint32_t count)
{
	struct cql_index index;
	for (uint32_t i = 0; i < count; i++) {
		const struct store_column *column = store_find_column(a->table, relations[i].columns[0]);
		if (column && !relations[i].token && !relations[i].tuple &&
		    cql__indexed(a->table, column, relations[i].op, relations[i].subscript != NULL, a->c->arena, &index))
			return true;
	}
	return false;
}

/* After all relations: which restrictions have an index, and whether it compares without case. */
static void count_indexed(struct where_analysis *w)
{
	bool seen[STORE_COLUMNS_MAX] = {0};
	for (uint32_t i = 0; i < w->where->count; i++) {
		struct cql_restriction *r = &w->where->restrictions[i];
		struct cql_index index;
		if (r->token || r->column_count != 1 ||
		    !cql__indexed(w->a->table, r->columns[0], r->op, r->key != NULL, w->a->c->arena, &index))
			continue;
		r->folds = index.folds;
		if (!seen[r->columns[0] - w->a->table->columns])
			w->indexed_count++;
		seen[r->columns[0] - w->a->table->columns] = true;
	}
}

enum sm_err cql__analyse_where(struct cql_analysis *a, const struct cql_relation *relations, uint32_t count, enum cql_where_use use,
			       bool allow_filtering, struct cql_where *where)
{
	struct where_analysis w = {.a = a, .where = where, .use = use, .filtering_allowed = allow_filtering, .asked = allow_filtering};
	enum sm_err err;
	where->restrictions = cql__new(a, sizeof *where->restrictions * count);
	where->clustering = cql__new(a, sizeof *where->clustering * (count + 1));
	w.others = cql__new(a, sizeof *w.others * count);
	w.partition = cql__new(a, sizeof *w.partition * a->table->partition_key_count);
	if (!where->restrictions || !where->clustering || !w.others || !w.partition)
		return SM_NO_MEMORY;
	if (use == CQL_FOR_SELECT && !allow_filtering)
		w.filtering_allowed = any_indexed(a, relations, count);
	for (uint32_t i = 0; i < count; i++)
		if ((err = add_relation(&w, &relations[i])))
			return err;
	if (use == CQL_FOR_SELECT)
		count_indexed(&w);
	if ((err = check_partition(&w)) || (err = check_clustering(&w)) || (err = check_others(&w)))
		return err;
	for (uint32_t i = 0; i < where->count; i++)
		where->filtering |= !where->restrictions[i].used && !where->restrictions[i].token;
	where->indexed = w.indexed_count && !allow_filtering;
	if (use == CQL_FOR_SELECT)
		cql__index_choose(a->table, where, a->c->arena);
	if (use == CQL_FOR_SELECT && where->filtering && !allow_filtering && !indexes_suffice(&w))
		return cql__fail(a->c->err, CQL_INVALID, NEEDS_FILTERING);
	return SM_OK;
}
