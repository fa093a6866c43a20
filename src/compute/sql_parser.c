/* Statements, queries and relations: recursive descent over one present token and one ahead.
 * Source: Spark SQL reference, "SELECT", "INSERT TABLE". */
#include "compute/sql_internal.h"
#include <stdlib.h>
#include <strings.h>

enum sm_err parser__advance(struct parser *p)
{
	p->last_end = p->token.end;
	p->token = p->ahead;
	if (p->ahead.kind == TOKEN_END && p->ahead.line)
		return SM_OK;
	return lexer_next(&p->lexer, &p->ahead, p->reterr);
}

bool parser__is_word(const struct token *t, const char *word)
{
	return t->kind == TOKEN_NAME && strcasecmp(t->text, word) == 0;
}

bool parser__is_symbol(const struct token *t, const char *symbol)
{
	return t->kind == TOKEN_SYMBOL && strcmp(t->text, symbol) == 0;
}

enum sm_err parser__accept(struct parser *p, const char *word, bool *ret_taken)
{
	*ret_taken = parser__is_word(&p->token, word) || parser__is_symbol(&p->token, word);
	return *ret_taken ? parser__advance(p) : SM_OK;
}

enum sm_err parser__expect(struct parser *p, const char *word)
{
	bool taken;
	enum sm_err err = parser__accept(p, word, &taken);
	return err || taken ? err : parser__unexpected(p, word);
}

/* Words that can't be a name without back-ticks where a name may end a clause. */
bool parser__reserved(const struct token *t)
{
	static const char *const words[] = {"select", "from",  "where",   "group",    "having", "order",   "limit", "union",  "join",
					    "on",     "inner", "left",    "right",    "full",   "cross",   "outer", "and",    "or",
					    "not",    "case",  "when",    "then",     "else",   "end",     "as",    "in",     "is",
					    "null",   "like",  "between", "distinct", "all",    "with",    "using", "except", "intersect",
					    "insert", "into",  "values",  "natural",  "window", "lateral", "minus", "offset"};
	if (t->kind != TOKEN_NAME)
		return false;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasecmp(t->text, words[i]) == 0)
			return true;
	return false;
}

enum sm_err parser__name(struct parser *p, const char *what, const char **ret_name)
{
	if (p->token.kind != TOKEN_QUOTED && (p->token.kind != TOKEN_NAME || parser__reserved(&p->token)))
		return parser__unexpected(p, what);
	*ret_name = p->token.text;
	return parser__advance(p);
}

enum sm_err parser__enter(struct parser *p)
{
	if (++p->depth <= SQL_DEPTH_MAX)
		return SM_OK;
	return sql__fail(p->reterr, SM_TOO_LARGE, p->token.line, p->token.column, "nested more than %d deep", SQL_DEPTH_MAX);
}

/* Room for one more of item_size bytes in *items; the old array stays in the arena. */
static enum sm_err grow(struct parser *p, void *items, uint32_t count, uint32_t *cap, size_t item_size)
{
	if (count < *cap)
		return SM_OK;
	if (count >= SQL_LIST_MAX)
		return sql__fail(p->reterr, SM_TOO_LARGE, p->token.line, p->token.column, "more than %d items in a list", SQL_LIST_MAX);
	*cap = *cap ? *cap * 2 : 8;
	void *grown = arena_alloc(p->arena, *cap * item_size);
	if (!grown)
		return parser__no_memory(p);
	if (count)
		memcpy(grown, *(void **)items, count * item_size);
	*(void **)items = grown;
	return SM_OK;
}

enum sm_err parser__list_add(struct parser *p, struct ast_list *list, struct ast *ast)
{
	enum sm_err err = grow(p, &list->items, list->count, &list->cap, sizeof *list->items);
	if (!err)
		list->items[list->count++] = ast;
	return err;
}

static enum sm_err unsupported(struct parser *p, const char *what)
{
	return sql__fail(p->reterr, SM_UNSUPPORTED, p->token.line, p->token.column, "%s is not supported", what);
}

/* ---- relations ---- */

static enum sm_err parse_relation(struct parser *p, struct relation **ret);

static enum sm_err relation_new(struct parser *p, enum relation_kind kind, struct relation **ret)
{
	struct relation *r = arena_alloc(p->arena, sizeof *r);
	if (!r)
		return parser__no_memory(p);
	r->kind = kind;
	r->line = p->token.line;
	r->column = p->token.column;
	*ret = r;
	return SM_OK;
}

static enum sm_err parse_relation_name(struct parser *p, struct relation *r)
{
	enum sm_err err;
	bool dot;
	if ((err = parser__name(p, "a table, a topic or (", &r->parts[0])) || (err = parser__accept(p, ".", &dot)))
		return err;
	r->part_count = 1;
	if (dot) {
		if ((err = parser__name(p, "a table's name", &r->parts[1])))
			return err;
		r->part_count = 2;
	} else {
		for (const struct parser_cte *c = p->ctes; c && r->kind == RELATION_NAMED; c = c->next)
			if (strcasecmp(c->name, r->parts[0]) == 0) {
				r->kind = RELATION_QUERY;
				r->query = c->query;
				r->alias = c->name;
			}
	}
	return parser__is_symbol(&p->token, "(") ? unsupported(p, "a table function") : SM_OK;
}

static enum sm_err parse_relation_primary(struct parser *p, struct relation **ret)
{
	struct relation *r;
	enum sm_err err;
	bool taken;
	if ((err = relation_new(p, RELATION_NAMED, &r)) || (err = parser__accept(p, "(", &taken)))
		return err;
	if (taken && (parser__is_word(&p->token, "select") || parser__is_word(&p->token, "with") || parser__is_word(&p->token, "values"))) {
		r->kind = RELATION_QUERY;
		if ((err = parser__query(p, &r->query)) || (err = parser__expect(p, ")")))
			return err;
	} else if (taken) {
		if ((err = parser__enter(p)) || (err = parse_relation(p, &r)) || (err = parser__expect(p, ")")))
			return err;
		p->depth--;
		*ret = r;
		return SM_OK; /* a parenthesised join keeps its own names */
	} else if (parser__is_word(&p->token, "values")) {
		r->kind = RELATION_QUERY;
		if ((err = parser__query(p, &r->query)))
			return err;
	} else if (parser__is_word(&p->token, "lateral")) {
		return unsupported(p, "LATERAL");
	} else if ((err = parse_relation_name(p, r))) {
		return err;
	}
	if ((err = parser__accept(p, "as", &taken)))
		return err;
	if (taken || p->token.kind == TOKEN_QUOTED || (p->token.kind == TOKEN_NAME && !parser__reserved(&p->token)))
		if ((err = parser__name(p, "an alias", &r->alias)))
			return err;
	*ret = r;
	return SM_OK;
}

/* [INNER] JOIN, LEFT [OUTER] JOIN, RIGHT, FULL, CROSS JOIN, or a comma. *ret_joined false: none of them. */
static enum sm_err parse_join_kind(struct parser *p, enum join_kind *ret_kind, bool *ret_cross, bool *ret_joined)
{
	static const struct {
		const char *word;
		enum join_kind kind;
	} kinds[] = {{"inner", JOIN_INNER}, {"left", JOIN_LEFT}, {"right", JOIN_RIGHT}, {"full", JOIN_FULL}, {"cross", JOIN_INNER}};
	enum sm_err err;
	bool taken;
	*ret_kind = JOIN_INNER;
	*ret_joined = true;
	if ((err = parser__accept(p, ",", ret_cross)) || *ret_cross)
		return err;
	if (parser__is_word(&p->token, "natural"))
		return unsupported(p, "NATURAL JOIN");
	if ((err = parser__accept(p, "join", &taken)) || taken)
		return err;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if ((err = parser__accept(p, kinds[i].word, &taken)))
			return err;
		if (!taken)
			continue;
		*ret_kind = kinds[i].kind;
		*ret_cross = i == 4;
		if (*ret_kind != JOIN_INNER && (err = parser__accept(p, "outer", &taken)))
			return err;
		if (parser__is_word(&p->token, "semi") || parser__is_word(&p->token, "anti"))
			return unsupported(p, "a semi or anti join");
		return parser__expect(p, "join");
	}
	*ret_joined = false;
	return SM_OK;
}

static enum sm_err parse_relation(struct parser *p, struct relation **ret)
{
	struct relation *left = NULL;
	enum sm_err err;
	if ((err = parse_relation_primary(p, &left)))
		return err;
	for (uint32_t joins = 0;; joins++) {
		struct relation *join = NULL;
		enum join_kind kind = JOIN_INNER;
		bool cross = false, joined = false, on = false;
		if ((err = relation_new(p, RELATION_JOIN, &join)) || (err = parse_join_kind(p, &kind, &cross, &joined)))
			return err;
		if (!joined)
			break;
		if (joins >= SQL_RELATIONS_MAX)
			return sql__fail(p->reterr, SM_TOO_LARGE, join->line, join->column, "more than %d relations", SQL_RELATIONS_MAX);
		join->join = kind;
		join->left = left;
		if ((err = parse_relation_primary(p, &join->right)) || (err = parser__accept(p, "on", &on)))
			return err;
		if (parser__is_word(&p->token, "using"))
			return unsupported(p, "JOIN .. USING (write ON)");
		if (on && cross)
			return sql__fail(p->reterr, SM_SYNTAX, join->line, join->column, "a cross join has no ON");
		if (on && (err = parser__expr(p, &join->on)))
			return err;
		if (!on && !cross)
			return parser__unexpected(p, "ON");
		left = join;
	}
	*ret = left;
	return SM_OK;
}

/* ---- queries ---- */

static enum sm_err parse_items(struct parser *p, struct query *q)
{
	uint32_t cap = 0;
	enum sm_err err;
	bool more = true;
	while (more) {
		if ((err = grow(p, &q->items, q->item_count, &cap, sizeof *q->items)))
			return err;
		struct select_item *item = &q->items[q->item_count++];
		bool as;
		if ((err = parser__expr(p, &item->ast)) || (err = parser__accept(p, "as", &as)))
			return err;
		if (as || p->token.kind == TOKEN_QUOTED || (p->token.kind == TOKEN_NAME && !parser__reserved(&p->token)))
			if ((err = parser__name(p, "an alias", &item->alias)))
				return err;
		if ((err = parser__accept(p, ",", &more)))
			return err;
	}
	return SM_OK;
}

static enum sm_err parse_group_by(struct parser *p, struct query *q)
{
	struct ast_list list = {0};
	enum sm_err err;
	bool more = true;
	if ((err = parser__advance(p)) || (err = parser__expect(p, "by")))
		return err;
	q->grouped = true;
	if (parser__is_word(&p->token, "all")) {
		q->group_all = true;
		return parser__advance(p);
	}
	while (more) {
		struct ast *ast;
		if (parser__is_word(&p->token, "grouping") || parser__is_word(&p->token, "cube") || parser__is_word(&p->token, "rollup"))
			return unsupported(p, "GROUPING SETS, CUBE or ROLLUP");
		if ((err = parser__expr(p, &ast)) || (err = parser__list_add(p, &list, ast)) || (err = parser__accept(p, ",", &more)))
			return err;
	}
	q->groups = list.items;
	q->group_count = list.count;
	return SM_OK;
}

static enum sm_err parse_values(struct parser *p, struct query *q)
{
	uint32_t cap = 0;
	enum sm_err err;
	bool more = true;
	q->kind = QUERY_VALUES;
	while (more) {
		struct ast_list row = {0};
		bool parenthesis, next = true;
		uint32_t line = p->token.line, column = p->token.column;
		if ((err = grow(p, &q->rows, q->row_count, &cap, sizeof *q->rows)) || (err = parser__accept(p, "(", &parenthesis)))
			return err;
		while (next) {
			struct ast *ast;
			if ((err = parser__expr(p, &ast)) || (err = parser__list_add(p, &row, ast)))
				return err;
			next = false;
			if (parenthesis && (err = parser__accept(p, ",", &next)))
				return err;
		}
		if (parenthesis && (err = parser__expect(p, ")")))
			return err;
		if (q->row_count && row.count != q->item_count)
			return sql__fail(p->reterr, SM_SYNTAX, line, column, "this row has %u values, the first has %u", row.count,
					 q->item_count);
		q->item_count = row.count;
		q->rows[q->row_count++] = row.items;
		if ((err = parser__accept(p, ",", &more)))
			return err;
	}
	return SM_OK;
}

static enum sm_err parse_select(struct parser *p, struct query *q)
{
	enum sm_err err;
	bool taken;
	if (parser__is_word(&p->token, "values"))
		return (err = parser__advance(p)) ? err : parse_values(p, q);
	if ((err = parser__expect(p, "select")) || (err = parser__accept(p, "distinct", &q->distinct)))
		return err;
	if (!q->distinct && (err = parser__accept(p, "all", &taken)))
		return err;
	if ((err = parse_items(p, q)) || (err = parser__accept(p, "from", &taken)))
		return err;
	if (taken && (err = parse_relation(p, &q->from)))
		return err;
	if ((err = parser__accept(p, "where", &taken)) || (taken && (err = parser__expr(p, &q->where))))
		return err;
	if (parser__is_word(&p->token, "group") && (err = parse_group_by(p, q)))
		return err;
	if ((err = parser__accept(p, "having", &taken)) || (taken && (err = parser__expr(p, &q->having))))
		return err;
	return parser__is_word(&p->token, "window") ? unsupported(p, "WINDOW") : SM_OK;
}

static enum sm_err parse_order(struct parser *p, struct query *q)
{
	uint32_t cap = 0;
	enum sm_err err;
	bool more = true, taken;
	if ((err = parser__advance(p)) || (err = parser__expect(p, "by")))
		return err;
	while (more) {
		if ((err = grow(p, &q->order, q->order_count, &cap, sizeof *q->order)))
			return err;
		struct order_item *item = &q->order[q->order_count++];
		if ((err = parser__expr(p, &item->ast)) || (err = parser__accept(p, "desc", &item->descending)))
			return err;
		if (!item->descending && (err = parser__accept(p, "asc", &taken)))
			return err;
		item->nulls_last = item->descending; /* Spark: nulls are the smallest */
		if ((err = parser__accept(p, "nulls", &taken)))
			return err;
		if (taken) {
			item->nulls_last = parser__is_word(&p->token, "last");
			if (!item->nulls_last && !parser__is_word(&p->token, "first"))
				return parser__unexpected(p, "FIRST or LAST");
			if ((err = parser__advance(p)))
				return err;
		}
		if ((err = parser__accept(p, ",", &more)))
			return err;
	}
	return SM_OK;
}

static enum sm_err query_new(struct parser *p, struct query **ret)
{
	struct query *q = arena_alloc(p->arena, sizeof *q);
	if (!q)
		return parser__no_memory(p);
	q->line = p->token.line;
	q->column = p->token.column;
	*ret = q;
	return SM_OK;
}

static enum sm_err parse_with(struct parser *p)
{
	enum sm_err err;
	bool more = true;
	if ((err = parser__advance(p)))
		return err;
	if (parser__is_word(&p->token, "recursive"))
		return unsupported(p, "WITH RECURSIVE");
	while (more) {
		struct parser_cte *c = arena_alloc(p->arena, sizeof *c);
		bool as;
		if (!c)
			return parser__no_memory(p);
		if ((err = parser__name(p, "a name", &c->name)) || (err = parser__accept(p, "as", &as)) || (err = parser__expect(p, "(")) ||
		    (err = parser__query(p, &c->query)) || (err = parser__expect(p, ")")) || (err = parser__accept(p, ",", &more)))
			return err;
		c->next = p->ctes;
		p->ctes = c;
	}
	return SM_OK;
}

/* A SELECT or a parenthesised query, as one operand of UNION. */
static enum sm_err parse_operand(struct parser *p, struct query **ret)
{
	enum sm_err err;
	bool taken;
	if ((err = parser__accept(p, "(", &taken)))
		return err;
	if (taken)
		return (err = parser__query(p, ret)) ? err : parser__expect(p, ")");
	return (err = query_new(p, ret)) ? err : parse_select(p, *ret);
}

enum sm_err parser__query(struct parser *p, struct query **ret_query)
{
	struct parser_cte *ctes = p->ctes;
	struct query *q, *all = NULL;
	enum sm_err err;
	bool taken;
	if ((err = parser__enter(p)) || (parser__is_word(&p->token, "with") && (err = parse_with(p))) || (err = parse_operand(p, &q)))
		return err;
	for (uint32_t unions = 0; parser__is_word(&p->token, "union"); unions++) {
		if (unions >= SQL_RELATIONS_MAX)
			return sql__fail(p->reterr, SM_TOO_LARGE, p->token.line, p->token.column, "more than %d queries in a UNION",
					 SQL_RELATIONS_MAX);
		if ((err = query_new(p, &all)) || (err = parser__advance(p)) || (err = parser__accept(p, "all", &taken)))
			return err;
		all->kind = taken ? QUERY_UNION_ALL : QUERY_UNION;
		all->left = q;
		if ((!taken && (err = parser__accept(p, "distinct", &taken))) || (err = parse_operand(p, &all->right)))
			return err;
		q = all;
	}
	if (parser__is_word(&p->token, "except") || parser__is_word(&p->token, "intersect") || parser__is_word(&p->token, "minus"))
		return unsupported(p, "EXCEPT or INTERSECT");
	if ((parser__is_word(&p->token, "order") || parser__is_word(&p->token, "limit")) && (q->order || q->limit)) {
		/* (SELECT .. LIMIT 3) ORDER BY ..: the parenthesis is a query of its own. */
		struct relation *r = NULL;
		if ((err = query_new(p, &all)) || (err = relation_new(p, RELATION_QUERY, &r)))
			return err;
		r->query = q;
		all->from = r;
		all->items = arena_alloc(p->arena, sizeof *all->items);
		struct ast *star = arena_alloc(p->arena, sizeof *star);
		if (!all->items || !star)
			return parser__no_memory(p);
		*star = (struct ast){.op = OP_STAR, .line = q->line, .column = q->column, .source = "*"};
		all->items[0].ast = star;
		all->item_count = 1;
		q = all;
	}
	if (parser__is_word(&p->token, "order") && (err = parse_order(p, q)))
		return err;
	if (parser__is_word(&p->token, "sort") || parser__is_word(&p->token, "cluster") || parser__is_word(&p->token, "distribute"))
		return unsupported(p, "SORT BY, CLUSTER BY or DISTRIBUTE BY");
	if ((err = parser__accept(p, "limit", &taken)))
		return err;
	if (taken && parser__is_word(&p->token, "all"))
		err = parser__advance(p);
	else if (taken)
		err = parser__expr(p, &q->limit);
	if (err)
		return err;
	if (parser__is_word(&p->token, "offset"))
		return unsupported(p, "OFFSET");
	p->ctes = ctes;
	p->depth--;
	*ret_query = q;
	return SM_OK;
}

/* ---- statements ---- */

static enum sm_err parse_insert(struct parser *p, struct sql_statement *s)
{
	const char *first = NULL, *second = NULL;
	enum sm_err err;
	bool taken;
	s->insert = true;
	if ((err = parser__advance(p)))
		return err;
	if (parser__is_word(&p->token, "overwrite"))
		return unsupported(p, "INSERT OVERWRITE");
	if ((err = parser__expect(p, "into")) || (err = parser__accept(p, "table", &taken)) ||
	    (err = parser__name(p, "a table's name", &first)) || (err = parser__accept(p, ".", &taken)))
		return err;
	s->target = first;
	if (taken) {
		if ((err = parser__name(p, "a table's name", &second)))
			return err;
		if (!(s->target = arena_printf(p->arena, "%s.%s", first, second)))
			return parser__no_memory(p);
	}
	if ((err = parser__accept(p, "by", &taken)) || (taken && (err = parser__expect(p, "name"))))
		return err;
	if (taken || (err = parser__accept(p, "(", &taken)) || !taken)
		return err;
	uint32_t cap = 0;
	for (bool more = true; more;) {
		if ((err = grow(p, &s->columns, s->column_count, &cap, sizeof *s->columns)) ||
		    (err = parser__name(p, "a column's name", &s->columns[s->column_count])) || (err = parser__accept(p, ",", &more)))
			return err;
		for (uint32_t i = 0; i < s->column_count; i++)
			if (strcasecmp(s->columns[i], s->columns[s->column_count]) == 0)
				return sql__fail(p->reterr, SM_INVALID, s->line, s->column, "column %s is named twice", s->columns[i]);
		s->column_count++;
	}
	return parser__expect(p, ")");
}

static enum sm_err parse_statement(struct parser *p, struct sql_statement *s)
{
	enum sm_err err;
	*s = (struct sql_statement){.script = p->script, .line = p->token.line, .column = p->token.column};
	bool with = parser__is_word(&p->token, "with"); /* WITH .. INSERT, or WITH .. SELECT */
	p->ctes = NULL;
	if ((with && (err = parse_with(p))) || (parser__is_word(&p->token, "insert") && (err = parse_insert(p, s))))
		return err;
	if (!parser__is_word(&p->token, "select") && !parser__is_word(&p->token, "with") && !parser__is_word(&p->token, "values") &&
	    !parser__is_symbol(&p->token, "(")) {
		if (p->token.kind == TOKEN_NAME && !s->insert)
			return sql__fail(p->reterr, SM_UNSUPPORTED, p->token.line, p->token.column,
					 "%s: only SELECT and INSERT INTO are supported", p->token.text);
		return parser__unexpected(p, s->insert ? "SELECT or VALUES" : "SELECT or INSERT");
	}
	return parser__query(p, &s->query);
}

static enum sm_err parse_script(struct parser *p)
{
	uint32_t cap = 0;
	enum sm_err err;
	if ((err = parser__advance(p)) || (err = parser__advance(p)))
		return err;
	while (p->token.kind != TOKEN_END) {
		if (parser__is_symbol(&p->token, ";")) {
			if ((err = parser__advance(p)))
				return err;
			continue;
		}
		if (p->script->count >= SQL_STATEMENTS_MAX)
			return sm_fail(p->reterr, SM_TOO_LARGE, "more than %d statements in one text", SQL_STATEMENTS_MAX);
		if ((err = grow(p, &p->script->statements, p->script->count, &cap, sizeof *p->script->statements)) ||
		    (err = parse_statement(p, &p->script->statements[p->script->count])))
			return err;
		p->script->count++;
		if (p->token.kind != TOKEN_END && !parser__is_symbol(&p->token, ";"))
			return parser__unexpected(p, "; or the end");
	}
	return SM_OK;
}

enum sm_err sql_parse(struct bytes text, struct sql_script **ret_script, struct sm_error *reterr)
{
	if (text.size > SQL_TEXT_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "SQL text of %zu bytes: at most %u", text.size, SQL_TEXT_MAX);
	struct sql_script *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	arena_init(&s->arena, 256u << 20);
	s->params = arena_alloc(&s->arena, SQL_PARAMS_MAX * sizeof *s->params);
	struct parser p = {.lexer = {.source = text, .line = 1, .arena = &s->arena}, .script = s, .arena = &s->arena, .reterr = reterr};
	enum sm_err err = s->params ? parse_script(&p) : sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if (err) {
		sql_script_free(s);
		return err;
	}
	*ret_script = s;
	return SM_OK;
}

void sql_script_free(struct sql_script *s)
{
	if (!s)
		return;
	arena_done(&s->arena);
	free(s);
}

uint32_t sql_script_count(const struct sql_script *s)
{
	return s->count;
}

const struct sql_statement *sql_script_at(const struct sql_script *s, uint32_t index)
{
	return index < s->count ? &s->statements[index] : NULL;
}

enum sm_err sql_script_bind(struct sql_script *s, const char *name, struct value value)
{
	if (!value.null && (value.type == COLUMN_TEXT || value.type == COLUMN_BLOB || value.type == COLUMN_UUID)) {
		void *copy = arena_copy(&s->arena, value.bytes.data, value.bytes.size);
		if (!copy)
			return arena_error(&s->arena);
		value.bytes.data = copy;
	}
	for (uint32_t i = 0; i < s->param_count; i++) {
		if (strcmp(s->params[i].name, name) == 0) {
			s->params[i].bound = true;
			s->params[i].value = value;
			return SM_OK;
		}
	}
	return SM_NOT_FOUND;
}

bool sql_is_insert(const struct sql_statement *s)
{
	return s->insert;
}

const char *sql_insert_target(const struct sql_statement *s)
{
	return s->target;
}

uint32_t sql_insert_columns(const struct sql_statement *s, const char *const **ret_names)
{
	*ret_names = s->columns;
	return s->column_count;
}

const char *sql_source(const struct sql_statement *s)
{
	const struct query *q = s->query;
	if (q->kind != QUERY_SELECT || !q->from || q->from->kind != RELATION_NAMED || q->from->part_count != 1)
		return NULL;
	return q->from->parts[0];
}
