/* The conditions behind IF: relations, of those kinds that a condition can have. */
#include "cql/parse_internal.h"

bool parse__conditions(struct parser *p, struct cql_relation **ret_conditions, uint32_t *ret_count)
{
	struct cql_place at = p->token.place;
	if (!parse__where(p, ret_conditions, ret_count))
		return false;
	for (uint32_t i = 0; i < *ret_count; i++) {
		const struct cql_relation *r = &(*ret_conditions)[i];
		if (r->tuple || r->token || (r->op > CQL_IN && r->op != CQL_CONTAINS && r->op != CQL_CONTAINS_KEY))
			return parse__fail(p, CQL_SYNTAX_ERROR,
					   "line %u:%u expected conditions of the form column =, !=, <, <=, >, >= or IN after IF", at.line,
					   at.column);
	}
	return !p->failed;
}
