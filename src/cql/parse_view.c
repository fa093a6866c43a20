/* CREATE, ALTER and DROP MATERIALIZED VIEW. */
#include "cql/parse_internal.h"

/* Nothing but columns, a table and WHERE, as in Cassandra's grammar. */
static bool is_plain(struct parser *p, const struct cql_select *s)
{
	const char *clause = s->json              ? "JSON"
			     : s->distinct        ? "DISTINCT"
			     : s->group_count     ? "GROUP BY"
			     : s->order_count     ? "ORDER BY"
			     : s->partition_limit ? "PER PARTITION LIMIT"
			     : s->limit           ? "LIMIT"
			     : s->allow_filtering ? "ALLOW FILTERING"
						  : NULL;
	if (clause)
		return parse__fail(p, CQL_SYNTAX_ERROR, "The SELECT of a materialized view cannot have %s", clause);
	return p->marker_count == 0 || parse__fail(p, CQL_INVALID, "Bind variables cannot be used in CREATE MATERIALIZED VIEW");
}

static bool create(struct parser *p, struct cql_ddl *d)
{
	d->view = arena_alloc(p->arena, sizeof *d->view);
	if (!d->view)
		return parse__memory(p);
	if (!parse__if_not_exists(p, &d->if_not_exists) || !parse__table(p, &d->table) || !parse__take_word(p, "as"))
		return false;
	if (!parse__at_word(p, "select"))
		return parse__expected(p, "SELECT");
	if (!parse__select(p, d->view) || !is_plain(p, d->view) || !parse__take_word(p, "primary") || !parse__take_word(p, "key") ||
	    !parse__primary_key(p, d))
		return false;
	return !parse__skip_word(p, "with") || parse__properties(p, d);
}

bool parse__view(struct parser *p, struct cql_ddl *d)
{
	d->object = CQL_VIEW;
	if (!parse__take_word(p, "materialized") || !parse__take_word(p, "view"))
		return false;
	if (d->verb == CQL_CREATE)
		return create(p, d);
	if (!parse__if_exists(p, &d->if_exists) || !parse__table(p, &d->table))
		return false;
	return d->verb == CQL_DROP || (parse__take_word(p, "with") && parse__properties(p, d));
}
