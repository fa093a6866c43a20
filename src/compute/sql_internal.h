/* Inside of SQL: tokens, syntax tree, bound expressions, vectors, grouping. Nobody outside compute/sql*.c includes this.
 *
 * text -(sql_lexer.c)-> tokens -(sql_parser.c, sql_parse_expr.c)-> struct query -(sql_bind.c)-> struct expr -(sql_plan.c)-> dag nodes
 * (sql_nodes.c, sql_join.c). An expression is evaluated a batch at a time (sql_eval.c, sql_cast.c, sql_functions.c). */
#ifndef COMPUTE_SQL_INTERNAL_H
#define COMPUTE_SQL_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "compute/sql.h"

#define SQL_TREE_DEPTH_MAX 512   /* of an expression's tree: a chain of 511 additions */
#define SQL_TREE_SIZE_MAX 100000 /* nodes of one, counted at each use (BETWEEN uses its value twice) */
#define SQL_LIST_MAX 10000       /* items of one list */
#define SQL_STATEMENTS_MAX 1000  /* of one text */
#define SQL_RELATIONS_MAX 64     /* scans of one statement, common table expressions counted at each use */
#define SQL_QUERIES_MAX 512      /* SELECTs of one statement, common table expressions counted at each use */
#define SQL_PARAMS_MAX 256
#define SQL_STATE_BYTES_MAX (1u << 20) /* one group's state, where it is kept between micro-batches */

/* ---- tokens ---- */
enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_QUOTED, TOKEN_STRING, TOKEN_INTEGER, TOKEN_BIGINT, TOKEN_REAL, TOKEN_PARAM, TOKEN_SYMBOL };
struct token {
	enum token_kind kind;
	const char *text; /* unescaped, terminated, in the arena; a symbol's characters */
	size_t size;
	uint32_t line, column; /* from 1; column counts bytes */
	size_t start, end;     /* in the source */
};
struct lexer {
	struct bytes source;
	size_t at;
	uint32_t line;
	size_t line_start;
	struct arena *arena;
};
SM_MUST_CHECK enum sm_err lexer_next(struct lexer *lexer, struct token *ret_token, struct sm_error *reterr);
/* "line 3, column 7: ..." */
enum sm_err sql__fail(struct sm_error *reterr, enum sm_err code, uint32_t line, uint32_t column, const char *fmt, ...) SM_PRINTF(5, 6);
enum sm_err sql__no_memory(struct sm_error *reterr);

/* ---- syntax tree ---- */
enum sql_op {
	/* only in the syntax tree */
	OP_NAME,
	OP_PARAM,
	OP_STAR,
	OP_SUBQUERY,
	OP_CALL,
	/* in both */
	OP_LITERAL,
	OP_AND,
	OP_OR,
	OP_NOT,
	OP_IS_NULL,
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
	OP_SAME /* <=> */,
	OP_ADD,
	OP_SUB,
	OP_MUL,
	OP_DIV,
	OP_INT_DIV,
	OP_MOD,
	OP_NEG,
	OP_LIKE,
	OP_IN,
	OP_CASE,
	OP_CAST,
	/* only bound */
	OP_COLUMN,
	OP_FUNCTION,
	OP_COALESCE,
};
struct query;
struct ast {
	enum sql_op op;
	uint32_t line, column, depth, size, count;
	struct ast **args;    /* OP_CASE: when, then, when, then ..., else (always there); OP_IN: value, choices ... */
	const char *parts[3]; /* OP_NAME: up to keyspace, table, column, from the left; OP_CALL, OP_PARAM: name in parts[0] */
	uint32_t part_count;
	struct value value;    /* OP_LITERAL */
	bool untyped;          /* OP_LITERAL: NULL without a type */
	bool distinct;         /* OP_CALL */
	enum column_type type; /* OP_CAST */
	struct query *query;   /* OP_SUBQUERY */
	struct bytes text;     /* OP_SUBQUERY: as written; with ctes it tells whether two are the same */
	const void *ctes;
	const char *source; /* as written, blanks folded: the name of a column that has none */
};
struct select_item {
	struct ast *ast;
	const char *alias;
};
struct order_item {
	struct ast *ast;
	bool descending, nulls_last;
};
enum relation_kind { RELATION_NAMED, RELATION_QUERY, RELATION_JOIN };
enum join_kind { JOIN_INNER, JOIN_LEFT, JOIN_RIGHT, JOIN_FULL };
struct relation {
	enum relation_kind kind;
	uint32_t line, column;
	const char *parts[2]; /* RELATION_NAMED: [keyspace] and name */
	uint32_t part_count;
	const char *alias; /* NULL: the name */
	struct query *query;
	struct relation *left, *right;
	enum join_kind join;
	struct ast *on; /* NULL: every pair */
};
enum query_kind { QUERY_SELECT, QUERY_UNION, QUERY_UNION_ALL, QUERY_VALUES };
struct query {
	enum query_kind kind;
	uint32_t line, column;
	struct query *left, *right; /* unions */
	bool distinct;
	struct select_item *items;
	uint32_t item_count;
	struct relation *from; /* NULL: one row without columns */
	struct ast *where, *having;
	struct ast **groups;
	uint32_t group_count;
	bool grouped, group_all; /* GROUP BY was there; GROUP BY ALL */
	struct order_item *order;
	uint32_t order_count;
	struct ast *limit;  /* an integer, may be a parameter */
	struct ast ***rows; /* QUERY_VALUES: row_count rows of item_count */
	uint32_t row_count;
};
struct sql_statement {
	struct sql_script *script;
	struct query *query;
	bool insert;
	uint32_t line, column;
	const char *target; /* "ads.event" */
	const char **columns;
	uint32_t column_count;
};
struct sql_param {
	const char *name;
	bool bound;
	struct value value;
};
struct sql_script {
	struct arena arena;
	struct sql_statement *statements;
	uint32_t count;
	struct sql_param *params;
	uint32_t param_count;
};

/* ---- the parser's inside ---- */
struct parser_cte {
	const char *name;
	struct query *query;
	struct parser_cte *next;
};
struct parser {
	struct lexer lexer;
	struct token token, ahead; /* the present one and the one after it */
	size_t last_end;           /* where the token before ended */
	struct sql_script *script;
	struct arena *arena;
	struct parser_cte *ctes;
	uint32_t depth;
	struct sm_error *reterr;
};
struct ast_list {
	struct ast **items;
	uint32_t count, cap;
};
SM_MUST_CHECK enum sm_err parser__advance(struct parser *p);
bool parser__is_word(const struct token *token, const char *word); /* an unquoted name, without case */
bool parser__is_symbol(const struct token *token, const char *symbol);
/* Take the word or symbol if it is the present token. */
SM_MUST_CHECK enum sm_err parser__accept(struct parser *p, const char *word_or_symbol, bool *ret_taken);
SM_MUST_CHECK enum sm_err parser__expect(struct parser *p, const char *word_or_symbol);
SM_MUST_CHECK enum sm_err parser__name(struct parser *p, const char *what, const char **ret_name);
bool parser__reserved(const struct token *token);
enum sm_err parser__unexpected(struct parser *p, const char *wanted);
enum sm_err parser__no_memory(struct parser *p);
SM_MUST_CHECK enum sm_err parser__enter(struct parser *p); /* one level deeper; p->depth-- leaves */
SM_MUST_CHECK enum sm_err parser__expr(struct parser *p, struct ast **ret_ast);
SM_MUST_CHECK enum sm_err parser__query(struct parser *p, struct query **ret_query);
SM_MUST_CHECK enum sm_err parser__list_add(struct parser *p, struct ast_list *list, struct ast *ast);

/* ---- bound expressions ---- */
struct expr;
struct vec;
struct eval;
struct binder;
struct function {
	const char *name;
	uint8_t args_min, args_max; /* 255: any number */
	/* Check and coerce the arguments and set e->type. */
	enum sm_err (*bind)(struct binder *b, struct expr *e);
	/* Rows whose arguments are all there; out->null is set for the others already, and out's values are allocated. */
	enum sm_err (*eval)(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out);
};
struct expr {
	enum sql_op op;
	enum column_type type;
	bool untyped; /* a NULL without a type yet */
	uint32_t line, column, count;
	struct expr **args;
	uint32_t index; /* OP_COLUMN */
	struct value value;
	const struct function *function;
};
/* n values of one type, dense. Integers are held in 64 bits whatever their type. */
struct vec {
	enum column_type type;
	uint8_t *null; /* a byte a row, NULL: none is null */
	union {
		uint8_t *booleans;
		int64_t *integers;
		double *reals;
		struct bytes *bytes;
	};
};
struct eval {
	const struct batch *batch;
	struct arena *arena; /* the vectors live in it */
	struct sm_error *reterr;
};
/* Evaluate for the rows `rows` (NULL: all n rows of the batch) of the batch. Only those rows can give errors. Thread: any, on the
 * same expression too. Errors: SM_OUT_OF_RANGE (overflow, division by zero), SM_INVALID (a cast that fails), SM_NO_MEMORY, SM_TOO_LARGE. */
SM_MUST_CHECK enum sm_err expr_eval(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret_vec);
/* Rows of the batch for which filter is true; *ret_rows NULL: all. filter may be NULL. */
SM_MUST_CHECK enum sm_err expr_select(const struct expr *filter, struct eval *c, const uint32_t **ret_rows, uint32_t *ret_count);
/* n unset values; null: with an all-zero null map. */
SM_MUST_CHECK enum sm_err vec_new(struct eval *c, enum column_type type, uint32_t n, bool null, struct vec *ret_vec);
enum sm_err eval_no_memory(struct eval *c);
struct value vec_get(const struct vec *v, uint32_t row);
void vec_set(struct vec *v, uint32_t row, struct value value); /* bytes are borrowed; v has a null map if value may be null */
bool expr_equal(const struct expr *a, const struct expr *b);
void expr_print(const struct expr *e, const struct row_type *input, struct buf *out);
/* One cast of n values. */
SM_MUST_CHECK enum sm_err sql__cast(const struct expr *e, struct eval *c, const struct vec *in, uint32_t n, struct vec *out);
bool sql__cast_known(enum column_type from, enum column_type to);
/* "2019-11-30" or "2019-11-30[T ]12:34[:56[.789]][Z]" in UTC. */
bool sql__parse_timestamp(struct bytes text, int64_t *ret_ms);
bool sql__type_by_name(const char *name, enum column_type *ret_type);
const struct function *function_find(const char *name);
bool sql__like(struct bytes text, struct bytes pattern);

/* ---- binding ---- */
struct scope_column {
	const char *keyspace, *qualifier, *name;
	enum column_type type;
	bool hidden;
};
struct scope {
	struct scope_column *columns;
	uint32_t count;
};
enum aggregate_kind { AGG_COUNT, AGG_COUNT_IF, AGG_SUM, AGG_MIN, AGG_MAX, AGG_AVG, AGG_COUNT_DISTINCT };
struct aggregate {
	enum aggregate_kind kind;
	struct expr *arg; /* NULL: count(*) */
	enum column_type type;
};
struct grouping {
	struct expr **keys;
	uint32_t key_count;
	struct aggregate *aggregates;
	uint32_t aggregate_count, aggregate_cap;
	uint32_t fingerprint; /* of types and kinds: a state of another plan is told by it */
};
struct binder {
	struct arena *arena; /* the plan's */
	const struct sql_script *script;
	const struct scope *scope;
	struct grouping *grouping;   /* not NULL: names must be group keys or stand within aggregates; columns are keys, then aggregates */
	const struct query *aliases; /* not NULL: a name that is no column may be one of this query's aliases */
	bool in_aggregate;
	/* The value of a scalar subquery; NULL: refused. */
	enum sm_err (*subquery)(struct binder *b, const struct ast *ast, struct value *ret_value, bool *ret_untyped);
	void *arg;
	struct sm_error *reterr;
};
SM_MUST_CHECK enum sm_err bind_expr(struct binder *b, const struct ast *ast, struct expr **ret_expr);
/* Coerce *e to type, implicitly. Errors: SM_TYPE names both. */
SM_MUST_CHECK enum sm_err bind_coerce(struct binder *b, struct expr **e, enum column_type type);
/* The type that both fit in. */
SM_MUST_CHECK enum sm_err bind_common(struct binder *b, const struct expr *a, const struct expr *other, enum column_type *ret_type);
SM_MUST_CHECK enum sm_err bind_condition(struct binder *b, const struct ast *ast, const char *clause, struct expr **ret_expr);
struct expr *expr_new(struct binder *b, enum sql_op op, enum column_type type, const struct ast *at, uint32_t count);
struct expr *expr_column(struct binder *b, uint32_t index, enum column_type type);
bool ast_has_aggregate(const struct ast *ast);
bool expr_is_integer(const struct expr *e);
enum sm_err bind_no_memory(struct binder *b);

/* A SELECT after binding: filter over the input, then grouping or not, then projection with its own filter (HAVING). */
struct select_plan {
	struct expr *filter;
	struct grouping *grouping; /* NULL: none */
	struct expr *having;
	struct expr **outputs; /* over the input, or over keys and aggregates */
	const char **names;
	uint32_t output_count;
	uint32_t visible_count; /* outputs from here on are hidden: ORDER BY's */
	struct sort_key *sort;
	uint32_t sort_count;
};
struct sort_key {
	uint32_t column;
	bool descending, nulls_last;
};
SM_MUST_CHECK enum sm_err bind_select(struct binder *b, const struct query *query, struct select_plan *ret_plan);
/* ORDER BY over a union: names and positions of its columns only. */
SM_MUST_CHECK enum sm_err bind_order_columns(struct binder *b, const struct query *query, const struct row_type *type,
					     struct sort_key **ret_keys);
SM_MUST_CHECK enum sm_err bind_limit(struct binder *b, const struct ast *ast, uint64_t *ret_limit);

/* ---- keys and states as bytes (sql_group.c) ---- */
struct group;
struct group_table {
	const struct grouping *grouping;
	struct map map;
	struct group **groups; /* in the order in which they came */
	uint32_t count, cap;
	size_t bytes;
	struct buf key;
};
void key_append(struct buf *key, const struct vec *v, uint32_t row);
SM_MUST_CHECK enum sm_err key_read(struct byte_reader *key, enum column_type type, struct value *ret_value);
void group_table_init(struct group_table *t, const struct grouping *grouping);
void group_table_done(struct group_table *t);
/* Add the rows of c->batch for which filter (may be NULL) is true. */
SM_MUST_CHECK enum sm_err group_table_add(struct group_table *t, const struct expr *filter, struct eval *c);
/* Merge a state that group_state wrote into the group of key (made if it is not there). Errors: SM_CORRUPT, SM_VERSION. */
SM_MUST_CHECK enum sm_err group_table_merge(struct group_table *t, struct bytes key, struct bytes state);
SM_MUST_CHECK enum sm_err group_table_empty(struct group_table *t); /* the one group of a query without GROUP BY, if it is not there */
struct bytes group_key(const struct group *g);
void group_state(const struct group_table *t, const struct group *g, struct buf *out);
/* The row of keys, then aggregates, appended to out. */
SM_MUST_CHECK enum sm_err group_row(const struct group_table *t, const struct group *g, struct batch *out, struct sm_error *reterr);
uint32_t grouping_fingerprint(const struct grouping *g);
struct row_type *grouping_row_type(const struct grouping *g);

/* ---- nodes ---- */
/* Memory of one plan, shared by its nodes. */
struct plan_memory {
	uint32_t refs;
	struct arena arena;
};
struct plan_memory *plan_memory_new(void);
struct plan_memory *plan_memory_ref(struct plan_memory *m);
void plan_memory_unref(struct plan_memory *m);
/* All take the reference to their inputs, also on failure. */
SM_MUST_CHECK enum sm_err node_project(struct plan_memory *m, struct dag_node *input, struct expr *filter, struct expr **outputs,
				       const char **names, uint32_t count, struct dag_node **ret_node);
SM_MUST_CHECK enum sm_err node_aggregate(struct plan_memory *m, struct dag_node *input, struct expr *filter,
					 const struct grouping *grouping, struct dag_node **ret_node); /* partial, shuffle, final */
SM_MUST_CHECK enum sm_err node_sort(struct plan_memory *m, struct dag_node *input, const struct sort_key *keys, uint32_t count,
				    struct dag_node **ret_node);
SM_MUST_CHECK enum sm_err node_limit(struct plan_memory *m, struct dag_node *input, uint64_t limit, struct dag_node **ret_node);
SM_MUST_CHECK enum sm_err node_union(struct dag_node *a, struct dag_node *b, struct dag_node **ret_node);
/* All columns of input, then "join key", a binary: the keys' values, or null when one of them is null. */
SM_MUST_CHECK enum sm_err node_keyed(struct plan_memory *m, struct dag_node *input, struct expr **keys, uint32_t key_count,
				     struct dag_node **ret_node);
/* Columns: left's, then right's. The residual is over those. left_keys and right_keys have the same types. */
struct join_plan {
	enum join_kind kind;
	struct expr **left_keys, **right_keys;
	uint32_t key_count;
	struct expr *residual;
};
SM_MUST_CHECK enum sm_err node_join(struct plan_memory *m, struct dag_node *left, struct dag_node *right, const struct join_plan *plan,
				    struct dag_node **ret_node);
/* A batch of the rows that vecs hold. */
SM_MUST_CHECK enum sm_err sql__batch_of(struct row_type *type, const struct vec *vecs, uint32_t n, struct batch **ret_batch,
					struct sm_error *reterr);
struct row_type *sql__row_type(struct expr *const *outputs, const char *const *names, uint32_t count);

#ifdef __clang_analyzer__ /* see <smack/error.h> */
#define sql__fail(...) SM_NEVER_OK(sql__fail(__VA_ARGS__))
#define parser__unexpected(...) SM_NEVER_OK(parser__unexpected(__VA_ARGS__))
#define sql__no_memory(...) SM_NEVER_OK(sql__no_memory(__VA_ARGS__))
#define parser__no_memory(...) SM_NEVER_OK(parser__no_memory(__VA_ARGS__))
#define eval_no_memory(...) SM_NEVER_OK(eval_no_memory(__VA_ARGS__))
#define bind_no_memory(...) SM_NEVER_OK(bind_no_memory(__VA_ARGS__))
#endif

#endif
