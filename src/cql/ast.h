/* Statements as they were written. Everything lives in the arena of the parse. */
#ifndef CQL_AST_H
#define CQL_AST_H

#include "base/arena.h"
#include "base/bytes.h"
#include "cql/role.h"

struct cql_place {
	uint32_t line, column; /* line from 1, column from 0, as Cassandra counts */
};

enum cql_literal { CQL_STRING, CQL_INTEGER, CQL_UUID, CQL_FLOAT, CQL_BOOLEAN, CQL_HEX, CQL_DURATION };
enum cql_term_kind {
	CQL_TERM_LITERAL,
	CQL_TERM_NULL,
	CQL_TERM_MARKER,    /* ? or :name */
	CQL_TERM_CALL,      /* name(args) */
	CQL_TERM_LIST,      /* [a, b] */
	CQL_TERM_SET,       /* {a, b}, also {} */
	CQL_TERM_MAP,       /* {a: b, c: d}: args a b c d */
	CQL_TERM_TUPLE,     /* (a, b) */
	CQL_TERM_CAST,      /* (type) term, CAST(term AS type) */
	CQL_TERM_COLUMN,    /* only in selections */
	CQL_TERM_ELEMENT,   /* of a selected map or set: args[0] [ args[1] ] */
	CQL_TERM_SLICE,     /* args[0] [ args[1] .. args[2] ], NULL where it is open */
	CQL_TERM_FIELD,     /* of a selected user type: args[0] . name */
	CQL_TERM_OPERATION, /* a + b, -a */
	CQL_TERM_JSON_FIELD /* the value of INSERT JSON's document for the column name */
};
struct cql_type_name {
	const char *name; /* lower case unless it was quoted; "list", "frozen", "keyspace.type" ... */
	bool quoted, qualified;
	struct cql_type_name **args;
	uint32_t arg_count;
	struct cql_place place;
};
struct cql_term {
	enum cql_term_kind kind;
	enum cql_literal literal;
	struct bytes text;    /* of a literal: its value without quotes; with the sign of a number */
	const char *name;     /* of a call or a column */
	const char *keyspace; /* of a call, or NULL */
	bool star;            /* count(*) */
	char op;              /* of an operation: + - * / % */
	bool is_function;     /* of a cast: CAST(a AS type) */
	uint32_t marker;      /* index in the order of the text */
	struct cql_term **args;
	uint32_t arg_count;
	struct cql_type_name *type; /* of a cast */
	struct cql_place place;
};

struct cql_table_name {
	const char *keyspace; /* NULL: the one in use */
	const char *name;
};

enum cql_operator { CQL_EQ, CQL_LT, CQL_LE, CQL_GT, CQL_GE, CQL_NEQ, CQL_IN, CQL_CONTAINS, CQL_CONTAINS_KEY, CQL_LIKE, CQL_IS_NOT_NULL };
struct cql_relation {
	enum cql_operator op;
	bool token, tuple; /* token(a, b) op term; (a, b) op term */
	const char *field; /* of a user type, in conditions: u.f */
	const char **columns;
	uint32_t column_count;
	struct cql_term *subscript; /* m['k'] op term */
	struct cql_term *value;     /* IN: the list's marker, or NULL */
	struct cql_term **values;   /* IN (a, b) */
	uint32_t value_count;
};

struct cql_selector {
	struct cql_term *term;
	const char *alias; /* or NULL */
};
struct cql_ordering {
	struct cql_term *ann; /* ANN OF term; or NULL */
	const char *column;
	bool descending;
};
struct cql_select {
	struct cql_table_name table;
	bool json, distinct, star, allow_filtering;
	struct cql_selector *selectors;
	uint32_t selector_count;
	struct cql_relation *where;
	uint32_t where_count;
	const char **group_by;
	uint32_t group_count;
	struct cql_ordering *order_by;
	uint32_t order_count;
	struct cql_term *limit, *partition_limit;
};

enum cql_assign_kind { CQL_SET_VALUE, CQL_SET_SUBSCRIPT, CQL_SET_FIELD, CQL_SET_ADD, CQL_SET_SUBTRACT, CQL_SET_PREPEND };
struct cql_assign {
	enum cql_assign_kind kind;
	const char *column, *field;
	struct cql_term *subscript, *value;
	bool is_default_unset;
};
enum cql_modify_kind { CQL_INSERT, CQL_UPDATE, CQL_DELETE };
struct cql_modify {
	enum cql_modify_kind kind;
	struct cql_table_name table;
	struct cql_term *timestamp, *ttl;
	struct cql_assign *assigns; /* INSERT: columns and values; UPDATE: SET; DELETE: columns, value NULL */
	uint32_t assign_count;
	uint32_t value_count; /* INSERT: values written (may differ from the columns) */
	struct cql_relation *where;
	uint32_t where_count;
	struct cql_relation *conditions; /* IF a = 1 AND b > 2 */
	uint32_t condition_count;
	struct cql_term *json; /* INSERT JSON document */
	bool json_unset, if_not_exists, if_exists;
};
enum cql_batch_kind { CQL_LOGGED, CQL_UNLOGGED, CQL_COUNTER };
struct cql_batch {
	enum cql_batch_kind kind;
	struct cql_term *timestamp;
	struct cql_modify *statements;
	uint32_t count;
};

/* Options: name = value. A value is a literal (text with its quotes taken off), or a map of literals. */
struct cql_option {
	const char *name;
	struct cql_term *value; /* literal, map, set; identifiers come as strings */
};
struct cql_column_def {
	const char *name;
	struct cql_type_name *type;
	bool is_static;
};
enum cql_object { CQL_KEYSPACE, CQL_TABLE, CQL_TYPE, CQL_INDEX, CQL_VIEW };
struct cql_index_target {
	const char *function, *column; /* keys(c); function NULL: the column itself */
};
struct cql_index_def {
	const char *name, *using; /* or NULL */
	struct cql_index_target *targets;
	uint32_t target_count;
	struct cql_term *options;
	bool custom;
};
struct cql_ddl {
	enum { CQL_CREATE, CQL_ALTER, CQL_DROP, CQL_TRUNCATE } verb;
	enum cql_object object;
	bool if_exists, if_not_exists;  /* of the statement */
	struct cql_table_name table;    /* of a keyspace: name is NULL; of a type: the type's */
	struct cql_column_def *columns; /* CREATE TABLE, ALTER TABLE ADD; the fields of CREATE TYPE, ALTER TYPE ADD */
	uint32_t column_count;
	const char **partition_key, **clustering;
	uint32_t partition_key_count, clustering_count, primary_keys;
	struct cql_ordering *order;
	uint32_t order_count;
	bool column_if_exists, column_if_not_exists; /* ALTER TABLE ADD IF NOT EXISTS, DROP IF EXISTS */
	const char **dropped;                        /* ALTER TABLE DROP */
	uint32_t dropped_count;
	const char **renamed; /* ALTER TABLE RENAME: from, to, from, to */
	uint32_t renamed_count;
	struct cql_option *options;
	uint32_t option_count;
	bool has_options, compact;
	struct cql_select *view;     /* CREATE MATERIALIZED VIEW ... AS */
	struct cql_index_def *index; /* CREATE INDEX; of DROP INDEX the name is table */
};

enum cql_describe_what {
	CQL_DESC_CLUSTER,
	CQL_DESC_KEYSPACES,
	CQL_DESC_TABLES,
	CQL_DESC_SCHEMA,
	CQL_DESC_KEYSPACE,
	CQL_DESC_TABLE,
	CQL_DESC_TYPES,
	CQL_DESC_FUNCTIONS,
	CQL_DESC_AGGREGATES,
	CQL_DESC_NAME,
	CQL_DESC_OTHER
};
struct cql_describe {
	enum cql_describe_what what;
	bool full, only, internals;
	struct cql_table_name table; /* of a keyspace: keyspace only; of DESC_NAME: as written */
	const char *other;           /* DESC_OTHER: "index", "type", ... */
};

enum cql_statement_kind {
	CQL_STMT_SELECT,
	CQL_STMT_MODIFY,
	CQL_STMT_BATCH,
	CQL_STMT_DDL,
	CQL_STMT_USE,
	CQL_STMT_DESCRIBE,
	CQL_STMT_ROLE,
	CQL_STMT_REFUSED
};
struct cql_statement {
	enum cql_statement_kind kind;
	union {
		struct cql_select select;
		struct cql_modify modify;
		struct cql_batch batch;
		struct cql_ddl ddl;
		struct cql_describe describe;
		struct cql_role_statement role;
		const char *use;
		const char *refused; /* why it cannot be done: "CREATE FUNCTION is not supported yet" */
	};
	const char **markers; /* names; NULL for ? */
	uint32_t marker_count;
};

#endif
