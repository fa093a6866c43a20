/* Statements after analysis: names resolved, types known, ready to run any number of times with any values.
 * A plan is immutable; it lives in the arena it was made in and needs the schema picture it was made from. */
#ifndef CQL_PLAN_H
#define CQL_PLAN_H

#include "cql/cql_internal.h"
#include "cql/trace.h"

#include <stdatomic.h>

/* What all requests of a server or a session share. */
struct cql_engine {
	struct sm_store *store;
	struct clock *clock;
	const char *cluster_name;
	struct uuid host_id;
	struct arena arena;         /* of the system schema */
	struct store_schema system; /* keyspaces that are computed, not stored */
	struct cql_traces *traces;  /* of the server; NULL in sessions */
	struct cql_roles *roles;    /* likewise; NULL: nobody logs in */
};
SM_MUST_CHECK enum sm_err cql__engine_init(struct cql_engine *engine, struct sm_store *store, struct clock *clock,
					   const char *cluster_name);
void cql__engine_done(struct cql_engine *engine);
int64_t cql__timestamp_us(struct cql_engine *engine); /* strictly increasing */

#define CQL_WARNINGS_MAX 4
/* One request. */
struct cql_context {
	struct cql_engine *engine;
	const struct store_schema *schema; /* held by the owner of the context */
	const char *keyspace;              /* in use, or NULL */
	struct arena *arena;
	struct cql_error *err;
	int64_t now_s;           /* the time by which cells expire, if the client gave it; 0: the clock's */
	struct cql_trace *trace; /* the request's, or NULL */
	/* Who logged in; NULL: nobody was asked to, and everything is allowed. Then the roles as they are for this request are there, too.
	 */
	const char *user;
	struct cql_role_picture *roles;
	const char **argument_texts; /* of the call that is being analysed, for errors; or NULL */
	char local_host[46];         /* where the client connected to */
	uint16_t local_port;
};

/* ---- values ---- */

#define CQL_UNSET (-2) /* size of a cell that was not sent */

const struct store_type *cql__type(enum store_type_id id); /* of a type without elements; NULL: it has some */
struct cql_function;
struct cql_analysis;
struct cql_modify_plan;
enum cql_expr_kind {
	CQL_EXPR_CONST,
	CQL_EXPR_MARKER,
	CQL_EXPR_CALL,
	CQL_EXPR_TOKEN,
	CQL_EXPR_COLUMN,
	CQL_EXPR_WRITETIME,
	CQL_EXPR_TTL,
	CQL_EXPR_AGGREGATE,
	CQL_EXPR_COMPOSITE,     /* args are its elements, of a map keys and values in turn; NULL: null */
	CQL_EXPR_ELEMENT,       /* of args[0], a map or set, under args[1] */
	CQL_EXPR_SLICE,         /* of args[0] from args[1] to args[2], each may be NULL */
	CQL_EXPR_FIELD,         /* of args[0], a user type: index */
	CQL_EXPR_ELEMENT_TIMES, /* write times (star: ttls) of a column with elements: index; of the one under args[0] if there is one */
	CQL_EXPR_ARITHMETIC,    /* args[0] op args[1], or -args[0] */
	CQL_EXPR_CAST,          /* args[0] as type */
	CQL_EXPR_TO_JSON,       /* args[0] as JSON text */
	CQL_EXPR_FROM_JSON,     /* JSON text args[0] as type */
	CQL_EXPR_JSON_FIELD     /* of INSERT JSON's document: index in table->columns */
};
struct cql_expr {
	enum cql_expr_kind kind;
	const struct store_type *type;
	const char *name;       /* of what receives it, for errors */
	struct store_cell cell; /* CONST */
	uint32_t index; /* MARKER: which; FIELD: of the user type; COLUMN, WRITETIME, TTL: in table->columns; AGGREGATE: its state */
	const struct cql_function *function;
	struct cql_expr **args;
	uint32_t arg_count;
	bool star; /* count(*) */
	char op;   /* OPERATION */
};
struct cql_bind {
	const char *keyspace, *table, *name;
	const struct store_type *type;
};

enum cql_aggregate { CQL_NO_AGGREGATE, CQL_COUNT, CQL_MIN, CQL_MAX, CQL_SUM, CQL_AVG };
struct cql_eval;
struct cql_function {
	const char *name;
	enum store_type_id result;
	enum store_type_id args[2];
	uint8_t arg_count;
	enum sm_err (*call)(struct cql_eval *eval, const struct cql_function *function, const struct store_cell *args,
			    struct store_cell *ret);
	enum cql_aggregate aggregate;
	const struct store_type *type; /* of the result where it is no native one; or NULL */
};
static inline const struct store_type *cql__function_type(const struct cql_function *f)
{
	return f->type ? f->type : cql__type(f->result);
}
__extension__ typedef __int128 cql_wide;
struct cql_aggregate_state {
	uint64_t count;
	struct store_cell best; /* min, max; the sum of varint and decimal: malloc'ed */
	cql_wide sum;
	double real, compensation, plain;
};
/* What an expression may look at. */
struct cql_eval {
	struct cql_context *context;
	const struct store_cell *values; /* of the markers */
	uint32_t value_count;
	const struct store_table *table;
	const struct store_row *row;   /* or NULL */
	const struct store_cell *json; /* INSERT JSON: a cell for each column */
	struct cql_aggregate_state *aggregates;
};
/* The value, borrowed or in the request's arena; size -1 null, CQL_UNSET not sent. Errors: as the function's. */
SM_MUST_CHECK enum sm_err cql__eval(struct cql_eval *eval, const struct cql_expr *expr, struct store_cell *ret_value);
/* The function of this name for these arguments (types may be NULL where anything goes); the error says what is known. */
SM_MUST_CHECK enum sm_err cql__function_find(struct cql_context *c, const char *name, const struct store_type *const *types, uint32_t count,
					     const struct cql_function **ret_function);
bool cql__type_accepts(enum store_type_id receiver, enum store_type_id given);
SM_MUST_CHECK enum sm_err cql__aggregate_add(struct cql_eval *eval, const struct cql_expr *expr, struct cql_aggregate_state *state);
SM_MUST_CHECK enum sm_err cql__aggregate_value(struct cql_eval *eval, const struct cql_expr *expr, const struct cql_aggregate_state *state,
					       struct store_cell *ret_value);
void cql__aggregate_reset(struct cql_aggregate_state *state);

/* ---- composite values (composite.c, element.c) ---- */

/* A list, set, map or tuple literal. Errors: Cassandra's. */
SM_MUST_CHECK enum sm_err cql__composite_term(struct cql_analysis *a, const struct cql_term *term, const struct store_type *type,
					      const char *name, struct cql_expr **ret_expr);
SM_MUST_CHECK enum sm_err cql__eval_composite(struct cql_eval *eval, const struct cql_expr *expr, struct store_cell *ret_value);
/* The term can stand where a value of the type is needed. */
bool cql__assignable(struct cql_analysis *a, const struct cql_term *term, const struct store_type *type);
int cql__field_of(const struct store_type *type, const char *name); /* -1: none */
/* Elements (of a map keys and values in turn, of a set or map in any order, which is changed) to a serialized value in the arena. */
SM_MUST_CHECK enum sm_err cql__pack(struct cql_context *c, const struct store_type *type, struct store_cell *cells, uint32_t count,
				    struct store_cell *ret_value);
/* And back; value has been checked. */
SM_MUST_CHECK enum sm_err cql__unpack(struct cql_context *c, const struct store_type *type, struct store_cell value,
				      struct store_cell **ret_cells, uint32_t *ret_count);
/* Bring a set or map that a client sent into its order. */
SM_MUST_CHECK enum sm_err cql__normal(struct cql_context *c, const struct store_type *type, struct store_cell *value);
/* A selected element, slice or field. base: what it is taken from. */
SM_MUST_CHECK enum sm_err cql__selected_part(struct cql_analysis *a, const struct cql_term *term, struct cql_expr *base,
					     struct cql_expr **ret_expr);
SM_MUST_CHECK enum sm_err cql__eval_part(struct cql_eval *eval, const struct cql_expr *expr, struct store_cell *ret_value);

/* ---- vectors (vector.c) ---- */

bool cql__is_similarity(const char *function);
struct cql_select;
/* A call of such a function. args: what is known already, NULL for literals and markers. */
SM_MUST_CHECK enum sm_err cql__similarity_call(struct cql_analysis *a, const struct cql_term *term, struct cql_expr **args,
					       struct cql_expr **ret_expr);

/* ---- WHERE ---- */

/* A relation with its columns and values resolved. */
struct cql_restriction {
	enum cql_operator op; /* EQ LT LE GT GE IN, CONTAINS, CONTAINS KEY */
	struct cql_expr *key; /* m['k'] = v */
	bool token;
	const struct store_column **columns;
	uint16_t column_count;
	struct cql_expr **values; /* column_count; of IN: value_count times as many; of a token one */
	uint32_t value_count;
	struct cql_expr *list; /* IN ? */
	bool used;             /* the keys and slices see to it, no filter needed */
	bool folds;            /* texts are compared without case */
};
/* Clustering columns first .. first + count, in order. */
struct cql_clustering {
	uint16_t first;
	struct cql_restriction *equal; /* EQ or IN, or else: */
	struct cql_restriction *low, *high;
};
struct cql_where {
	struct cql_restriction *restrictions;
	uint32_t count;
	struct cql_restriction **partition; /* one a partition key column, EQ or IN; NULL: not by key */
	struct cql_restriction *token_low, *token_high, *token_equal;
	struct cql_clustering *clustering; /* those that make slices */
	uint32_t clustering_count;
	bool filtering;                            /* some restriction is not used */
	bool indexed;                              /* an index is why that is allowed */
	const char *by_index;                      /* an index to read by, which answers */
	const struct cql_restriction *by, *by_too; /* this one, and this one, where it is a slice's other bound; by NULL: none */
	bool key_restricted;                       /* any partition column or token is restricted */
};
enum cql_where_use { CQL_FOR_SELECT, CQL_FOR_UPDATE, CQL_FOR_DELETE };

/* ---- statements ---- */

enum cql_similarity { CQL_COSINE, CQL_EUCLIDEAN, CQL_DOT_PRODUCT };
struct cql_result_column {
	const char *name;
	const struct store_type *type;
};
struct cql_select_plan {
	const struct store_table *table;
	bool is_virtual;
	struct cql_expr **exprs;
	const char **value_names; /* of exprs */
	uint32_t value_count;
	struct cql_result_column *columns; /* one for each expr, or of JSON a single one */
	uint32_t column_count;
	bool json;
	struct cql_where where;
	bool reversed, distinct, aggregate;
	bool ordered; /* an ORDER BY is there */
	uint32_t aggregate_count;
	uint16_t order_count; /* clustering columns of ORDER BY, and those before them */
	uint16_t group_count; /* key columns of GROUP BY */
	struct cql_expr *limit, *partition_limit;
	struct cql_expr *ann; /* ORDER BY ANN OF this; or NULL */
	uint16_t ann_column;
	enum cql_similarity similarity;
};
enum cql_if { CQL_IF_NOTHING, CQL_IF_NOT_EXISTS, CQL_IF_EXISTS, CQL_IF_COLUMNS };
/* IF column op value; column[key] op value; column.field op value; column CONTAINS value. */
struct cql_condition {
	const struct store_column *column;
	const struct store_type *type; /* of what is compared */
	struct cql_expr *key;
	int field; /* -1: no field */
	enum cql_operator op;
	struct cql_expr **values; /* IN: any number */
	uint32_t value_count;
	struct cql_expr *list; /* IN ? */
};
struct cql_modify_plan {
	const struct store_table *table;
	enum cql_modify_kind kind;
	enum store_mutation_kind mutation;
	struct cql_where where; /* also of INSERT: EQ on each key column */
	const struct store_column **columns;
	struct cql_expr **values;         /* NULL entries: delete */
	struct cql_operation *operations; /* one for each column above */
	uint32_t count;
	bool statics_only, counter;
	bool reads; /* a list's place or value is looked up first: may block */
	struct cql_expr *timestamp, *ttl;
	struct cql_expr *json; /* INSERT JSON: the document; or NULL */
	bool json_unset;       /* columns that it does not name are left alone */
	bool needs_row;        /* values look at the row that is there: conditional statements only */
	enum cql_if condition_kind;
	struct cql_condition *conditions;
	uint32_t condition_count;
};
/* What happens to a column (operation.c). */
enum cql_operation_kind {
	CQL_OP_ASSIGN,
	CQL_OP_ADD,
	CQL_OP_PREPEND,
	CQL_OP_REMOVE,     /* elements of a set, keys of a map */
	CQL_OP_DISCARD,    /* all elements of a list with these values: reads */
	CQL_OP_SUBTRACT,   /* of a counter */
	CQL_OP_ELEMENT,    /* of a map, a set or a user type */
	CQL_OP_LIST_INDEX, /* reads */
	CQL_OP_CALCULATE,  /* what comes of the column's value as it is; plan->needs_row */
};
struct cql_operation {
	enum cql_operation_kind kind;
	struct cql_expr *key; /* ELEMENT, LIST_INDEX */
};
/* Analyse SET column ..., or DELETE column ... where value is NULL; appends to the plan. */
SM_MUST_CHECK enum sm_err cql__operation(struct cql_analysis *a, const struct cql_assign *assign, const struct store_column *column,
					 bool removed, struct cql_modify_plan *plan);
bool cql__has_counters(const struct store_table *table);
/* The assignment that operation i means; *ret_any false: none, the value was not sent. For operations that read: a NULL row means none. */
SM_MUST_CHECK enum sm_err cql__assignment(struct cql_eval *eval, const struct cql_modify_plan *plan, uint32_t i,
					  struct store_assignment *ret_assignment, bool *ret_any);
/* Those of the operations that read, for this row (NULL: there is none); appended to mutation->cells, which is copied. The second reads the
 * row itself: it may block. */
SM_MUST_CHECK enum sm_err cql__row_assignments(struct cql_eval *eval, const struct cql_modify_plan *plan, const struct store_row *row,
					       struct store_mutation *mutation);
SM_MUST_CHECK enum sm_err cql__read_assignments(struct cql_eval *eval, const struct cql_modify_plan *plan, struct store_mutation *mutation);

enum cql_plan_kind { CQL_PLAN_SELECT, CQL_PLAN_MODIFY, CQL_PLAN_DDL, CQL_PLAN_USE, CQL_PLAN_DESCRIBE, CQL_PLAN_ROLE };
struct cql_plan {
	enum cql_plan_kind kind;
	bool batch;
	bool reads; /* of modifications: one of them reads first, so they must run where that may block */
	const struct cql_statement *statement;
	struct cql_select_plan *select;
	struct cql_modify_plan *modify;
	uint32_t modify_count;
	struct cql_expr *timestamp; /* of a batch */
	struct cql_bind *binds;
	uint32_t bind_count;
	uint16_t *key_binds; /* which markers make the partition key, in its order */
	uint16_t key_bind_count;
	const char *warnings[CQL_WARNINGS_MAX];
	uint32_t warning_count;
};

/* Which statements go together in a batch. counters, others: whether it has such statements. */
SM_MUST_CHECK enum sm_err cql__check_batch(struct cql_context *c, enum cql_batch_kind kind, bool counters, bool others);
/* Analyse a parsed statement (analyse.c). Everything is in c->arena; names and columns are borrowed from c->schema. */
SM_MUST_CHECK enum sm_err cql__analyse(struct cql_context *c, const struct cql_statement *statement, struct cql_plan **ret_plan);

/* The parts of the analysis: analyse.c, analyse_where.c, analyse_select.c, analyse_modify.c. */
struct cql_analysis {
	struct cql_context *c;
	const struct cql_statement *statement;
	struct cql_plan *plan;
	const struct store_table *table; /* the one whose columns receive markers */
};
enum sm_err cql__table(struct cql_context *c, const struct cql_table_name *name, const struct store_table **ret_table, bool *ret_virtual);
enum sm_err cql__keyspace_of(struct cql_context *c, const struct cql_table_name *name, const char **ret_keyspace);
const struct store_keyspace *cql__find_keyspace(struct cql_context *c, const char *name, bool *ret_system);
bool cql__is_system(struct cql_context *c, const char *keyspace);
/* 0x2100 for keyspaces that are computed. */
enum sm_err cql__check_user_keyspace(struct cql_context *c, const char *keyspace);
enum sm_err cql__column(struct cql_analysis *a, const char *name, const struct store_column **ret_column);
enum sm_err cql__term(struct cql_analysis *a, const struct cql_term *term, const struct store_type *type, const char *name,
		      struct cql_expr **ret_expr);
/* The type that a literal has by itself: the smallest of int, bigint and varint, double, text, ...; NULL: it has none. */
const struct store_type *cql__literal_type(const struct cql_term *term, struct arena *arena);
void *cql__new(struct cql_analysis *a, size_t size); /* NULL: c->err is filled, return SM_NO_MEMORY */
enum sm_err cql__analyse_where(struct cql_analysis *a, const struct cql_relation *relations, uint32_t count, enum cql_where_use use,
			       bool allow_filtering, struct cql_where *where);
/* ORDER BY ... ANN OF; after WHERE (vector.c). */
enum sm_err cql__analyse_ann(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan);
/* How near two float vectors are, as Cassandra's functions say it: 1 is the same. Neither is null. */
float cql__similarity(enum cql_similarity kind, struct store_cell a, struct store_cell b);
/* What no index of vectors has, with Cassandra's words: what is looked for, and what is written to columns with one. */
enum sm_err cql__check_nearest(struct cql_context *c, const struct cql_select_plan *plan, struct store_cell to);
enum sm_err cql__check_indexed(struct cql_context *c, const struct store_table *table, const struct store_assignment *cells,
			       uint32_t count);
enum sm_err cql__analyse_select(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan);
enum sm_err cql__analyse_modify(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan);
enum sm_err cql__type_resolve(struct cql_context *c, const char *keyspace, const struct cql_type_name *name, struct store_type *ret_type);
/* Append the name of Cassandra's class: what stands for a custom type on the wire. */
bool cql__is_type_name(const char *name); /* of a native type */
void cql__put_class(struct buf *out, const struct store_type *type);
const char *cql__type_written(const struct cql_type_name *name, struct arena *arena); /* as written, for errors */

/* ---- keys of one execution (keys.c) ---- */

struct cql_keys {
	struct store_cell **partitions; /* each partition_key_count cells */
	uint32_t partition_count;
	struct cql_slice {
		struct store_bound from, to;
	} * slices; /* in clustering order, disjoint; at least one */
	uint32_t slice_count;
	int64_t token_from, token_to;
	bool empty; /* nothing can match */
};
SM_MUST_CHECK enum sm_err cql__keys(struct cql_eval *eval, const struct cql_where *where, struct cql_keys *ret_keys);
/* The elements of a list that was bound, [i32 count]([i32 size][bytes]); it is there, but not checked. */
SM_MUST_CHECK enum sm_err cql__list_values(struct cql_eval *eval, struct store_cell list, struct store_cell **ret_values,
					   uint32_t *ret_count);
/* Whether the row passes the restrictions that the keys do not cover. */
SM_MUST_CHECK enum sm_err cql__filter_elements(struct cql_eval *eval, const struct cql_restriction *restriction, bool *ret_passes);
SM_MUST_CHECK enum sm_err cql__filter(struct cql_eval *eval, const struct cql_where *where, bool all, bool *ret_passes);

/* ---- running (run.c, select.c, modify.c, ddl.c) ---- */

struct cql_result {
	enum cql_result_kind kind;
	/* ROWS */
	const char *keyspace, *table; /* of the columns; KEYSPACE, SCHEMA: of what */
	bool is_type;                 /* SCHEMA: table is the name of a user type */
	const struct cql_result_column *columns;
	uint32_t column_count, row_count;
	struct buf rows;           /* [i32 size][bytes] a cell */
	struct bytes paging_state; /* data NULL: no more */
	const char *change;        /* SCHEMA: "CREATED", ... ; table NULL: a keyspace */
	const char *warnings[CQL_WARNINGS_MAX];
	uint32_t warning_count;
};
struct cql_options {
	const struct store_cell *values;
	uint32_t value_count;
	uint32_t page_size; /* 0: all */
	struct bytes paging_state;
	int64_t timestamp_us;          /* INT64_MIN: none given */
	const struct store_row *row;   /* for values that look at it, or NULL */
	const struct store_cell *json; /* INSERT JSON: the document's cells, if it has been read already; or NULL */
	bool on_dispatcher;            /* don't block, don't take long: SM_AGAIN instead */
};
/* The rows are sorted when all are there: ORDER BY with IN on the partition key, be it of one value. As in Cassandra such a SELECT cannot
 * be paged, and with a page size it is refused. */
bool cql__sorts(const struct cql_select_plan *plan);
/* Run a SELECT. Rows go to result->rows (buf_init'ed by the caller). Errors: SM_AGAIN with on_dispatcher: nothing has been changed in
 * result. */
SM_MUST_CHECK enum sm_err cql__run_select(struct cql_context *c, const struct cql_plan *plan, const struct cql_options *options,
					  struct cql_result *result);
SM_MUST_CHECK enum sm_err cql__run_describe(struct cql_context *c, const struct cql_describe *describe, struct cql_result *result);
/* Mutations of one statement or batch, appended. */
struct cql_mutations {
	struct store_mutation *items;
	uint32_t count, cap;
	/* Of conditional statements: the operations that read are left out and noted here; cas.c adds them, for it has the rows. */
	bool leaves_reads;
	struct cql_left_read {
		uint32_t item;
		const struct cql_modify_plan *plan;
		const struct cql_options *options;
	} * left;
	uint32_t left_count, left_cap;
};
SM_MUST_CHECK enum sm_err cql__build_mutations(struct cql_context *c, const struct cql_plan *plan, const struct cql_options *options,
					       int64_t now_us, struct cql_mutations *mutations);
/* Of one statement of a plan. */
SM_MUST_CHECK enum sm_err cql__build_mutation(struct cql_context *c, const struct cql_modify_plan *plan, const struct cql_options *options,
					      int64_t now_us, struct cql_mutations *mutations);
/* ---- conditional statements (condition.c, cas.c) ---- */

bool cql__is_conditional(const struct cql_plan *plan);
/* What IF says of m, into plan; the table is known, nothing else. */
enum sm_err cql__analyse_conditions(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan);
/* After the rest of the plan is there: do the keys go with the conditions? */
enum sm_err cql__check_conditions(struct cql_analysis *a, const struct cql_modify_plan *plan);
/* What batches may not have. conditional: any of its statements is. */
enum sm_err cql__check_conditional_batch(struct cql_error *err, const struct cql_modify_plan *first, const struct cql_modify_plan *plan);
/* A condition with its values, and whether a cell meets it. values: count cells, -1 null, and behind them the key if there is one. Errors:
 * a comparison with null. */
enum sm_err cql__condition_values(struct cql_eval *eval, const struct cql_condition *condition, struct store_cell **ret_values,
				  uint32_t *ret_count);
bool cql__condition_holds(const struct cql_condition *condition, const struct store_cell *values, uint32_t count, struct store_cell cell);

/* A conditional statement or batch under way: made from its statements, run by the store. It lives in c's arena; result is filled when the
 * store has run the transaction: [applied], and when it was not, the rows that stood against it. */
struct cql_cas;
SM_MUST_CHECK enum sm_err cql__cas_new(struct cql_context *c, bool batch, struct cql_result *result, struct cql_cas **ret_cas);
SM_MUST_CHECK enum sm_err cql__cas_add(struct cql_cas *cas, const struct cql_plan *plan, const struct cql_options *options);
SM_MUST_CHECK enum sm_err cql__cas_ready(struct cql_cas *cas, const struct store_transaction **ret_transaction);
/* After the store has run it; err is what it said. Errors: of the statement's texts. */
enum sm_err cql__cas_end(struct cql_cas *cas, enum sm_err err);

/* What Cassandra says of a batch's size and kind: warnings into result, or the error (batch.c). */
SM_MUST_CHECK enum sm_err cql__check_batch_size(struct cql_context *c, enum cql_batch_kind kind, const struct cql_mutations *mutations,
						struct cql_result *result);

/* The change that a DDL statement means; ret_change->kind is not touched and *ret_nothing true when IF [NOT] EXISTS makes it none. */
struct cql_change {
	struct store_change change;
	const char *verb;    /* "CREATED"; NULL: TRUNCATE */
	const char *warning; /* or NULL */
};
SM_MUST_CHECK enum sm_err cql__build_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *ret_change,
					    bool *ret_nothing);
/* The store's error for a change that lost a race. */
enum sm_err cql__change_failed(struct cql_context *c, const struct cql_change *change, const struct sm_error *error);

/* A row of the result: cells appended in the wire form. */
void cql__result_cell(struct cql_result *result, struct store_cell cell);

/* ---- roles ---- */

/* 0x2100 where the user may not do what the plan does (authorize.c). Thread: any; does not block. */
SM_MUST_CHECK enum sm_err cql__authorize(struct cql_context *c, const struct cql_plan *plan);
/* Run a statement about roles (role_run.c). Rows go to result->rows. Blocks. */
SM_MUST_CHECK enum sm_err cql__run_role(struct cql_context *c, const struct cql_role_statement *statement, struct cql_result *result);
/* After a keyspace or table was made: its maker may do everything with it; after it was dropped: nobody's grants are left. Blocks. */
SM_MUST_CHECK enum sm_err cql__role_after_change(struct cql_context *c, const struct store_change *change);
/* Whether a change means something to roles. */
bool cql__role_minds_change(const struct cql_context *c, const struct store_change *change);

/* ---- computed tables (system_tables.c, system_rows.c) ---- */

SM_MUST_CHECK enum sm_err cql__system_schema(struct cql_engine *engine);
/* All rows of a computed table: arrays of cells in the order of table->columns. */
SM_MUST_CHECK enum sm_err cql__system_rows(struct cql_context *c, const struct store_table *table, struct store_cell ***ret_rows,
					   uint32_t *ret_count);
/* The same for the tables that tell how large tables are (size_estimates.c). Blocks. */
bool cql__is_estimates(const struct store_table *table);
SM_MUST_CHECK enum sm_err cql__estimates(struct cql_eval *eval, const struct cql_where *where, const struct store_table *table,
					 struct store_cell ***ret_rows, uint32_t *ret_count);
const char *cql__describe_type(const struct store_type *type, struct arena *arena);
const char *cql__describe_table(const struct store_table *table, bool internals, struct arena *arena);
const char *cql__describe_options(const struct store_table *table, bool internals, struct arena *arena); /* behind WITH */
#define CQL_DATA_CENTER "datacenter1"
/* As Cassandra has it: the class under its whole name, and a factor for all data centers as that of the one that there is. Drivers know of
 * no replicas otherwise: Java's of none of any keyspace, gocql's 1.7 ends its program. NULL: no memory. */
struct store_option *cql__replication_shown(const struct store_keyspace *keyspace, struct arena *arena, uint32_t *ret_count);
const char *cql__describe_keyspace(const struct store_keyspace *keyspace, struct arena *arena);
/* Table options that every table shows, with their defaults (options.c). */
struct cql_table_option {
	const char *name, *value; /* value: the CQL literal of the default */
	enum { CQL_OPT_TEXT, CQL_OPT_INT, CQL_OPT_DOUBLE, CQL_OPT_BOOL, CQL_OPT_MAP } kind;
};
extern const struct cql_table_option cql__table_options[];
extern const uint32_t cql__table_option_count;
const char *cql__table_option_value(const struct store_table *table, const struct cql_table_option *option); /* the CQL literal */

#endif
