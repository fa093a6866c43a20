/* The parser's own: recursive descent with one token of look-ahead and one more on request. */
#ifndef CQL_PARSE_INTERNAL_H
#define CQL_PARSE_INTERNAL_H

#include "cql/cql_internal.h"

struct parser {
	struct cql_lexer lexer;
	struct cql_token token; /* the one to be looked at */
	struct arena *arena;
	struct cql_error *err;
	enum sm_err failed; /* the first error: everything after it returns false */
	uint32_t depth;
	const char **markers;
	uint32_t marker_count, marker_cap;
};

/* All of these return false after an error, which is then in p->err. */
void parse__next(struct parser *p);
struct cql_token parse__peek(struct parser *p);           /* the token after the present one */
bool parse__expected(struct parser *p, const char *what); /* always false: "line 1:5 expected what but found 'x'" */
bool parse__fail(struct parser *p, enum cql_code code, const char *fmt, ...) SM_PRINTF(3, 4);
bool parse__memory(struct parser *p); /* always false */
bool parse__at(const struct parser *p, char punctuation);
bool parse__skip(struct parser *p, char punctuation); /* true: it was there and is taken */
bool parse__take(struct parser *p, char punctuation); /* it must be there */
bool parse__at_word(const struct parser *p, const char *word);
bool parse__token_is(const struct cql_token *t, const char *word);
bool parse__skip_word(struct parser *p, const char *word);
bool parse__take_word(struct parser *p, const char *word);
/* A name: unquoted becomes lower case and is not reserved. what: for the error, "a column name". */
bool parse__name(struct parser *p, const char *what, const char **ret_name);
bool parse__table(struct parser *p, struct cql_table_name *ret_table);
bool parse__enter(struct parser *p); /* one level deeper; parse__leave goes back */
static inline void parse__leave(struct parser *p)
{
	p->depth--;
}
bool parse__if_exists(struct parser *p, bool *ret);
bool parse__if_not_exists(struct parser *p, bool *ret);

bool parse__type(struct parser *p, struct cql_type_name **ret_type);
/* Values and selected things with what joins them (parse_expression.c), and one of them alone (parse_term.c). */
bool parse__term(struct parser *p, struct cql_term **ret_term);
bool parse__selection(struct parser *p, struct cql_term **ret_term);
bool parse__operand(struct parser *p, struct cql_term **ret_term);
bool parse__selected(struct parser *p, struct cql_term **ret_term);
bool parse__where(struct parser *p, struct cql_relation **ret_relations, uint32_t *ret_count);
bool parse__conditions(struct parser *p, struct cql_relation **ret_conditions, uint32_t *ret_count); /* of IF */
bool parse__integer_or_marker(struct parser *p, const char *what, struct cql_term **ret_term);

bool parse__select(struct parser *p, struct cql_select *ret_select);
bool parse__modify(struct parser *p, struct cql_modify *ret_modify);
bool parse__batch(struct parser *p, struct cql_batch *ret_batch);
bool parse__primary_key(struct parser *p, struct cql_ddl *ret_ddl); /* behind PRIMARY KEY */
bool parse__properties(struct parser *p, struct cql_ddl *ret_ddl);  /* behind WITH */
bool parse__view(struct parser *p, struct cql_ddl *ret_ddl);        /* at MATERIALIZED */
bool parse__index(struct parser *p, struct cql_ddl *ret_ddl);       /* at INDEX or CUSTOM */
bool parse__ddl(struct parser *p, struct cql_statement *ret_statement);
bool parse__role(struct parser *p, struct cql_role_statement *ret_statement, enum cql_role_verb verb, bool user);
bool parse__grant(struct parser *p, struct cql_role_statement *ret_statement);
bool parse__list(struct parser *p, struct cql_role_statement *ret_statement);
bool parse__describe(struct parser *p, struct cql_describe *ret_describe);

#endif
