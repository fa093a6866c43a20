/* What a user may do: the permission that each statement needs, and on what. Texts are Cassandra's. */
#include "cql/index.h"
#include "cql/view.h"

#include <string.h>

static enum sm_err need(struct cql_context *c, enum cql_permission permission, const struct cql_resource *resource)
{
	if (cql__role_may(c->roles, c->user, permission, resource))
		return SM_OK;
	const char *text = cql__resource_text(resource, c->arena);
	return cql__fail(c->err, CQL_UNAUTHORIZED, "User %s has no %s permission on %s or any of its parents", c->user,
			 cql__permission_names[permission], text ? text : "");
}

/* What drivers read when they connect. */
static bool is_readable(const struct store_table *table)
{
	static const char *const tables[] = {"local", "peers", "peers_v2", "size_estimates", "table_estimates"};
	if (strcmp(table->keyspace, "system_schema") == 0 || strcmp(table->keyspace, "system_virtual_schema") == 0 ||
	    strcmp(table->keyspace, "system_traces") == 0)
		return true;
	for (size_t i = 0; i < sizeof tables / sizeof tables[0] && strcmp(table->keyspace, "system") == 0; i++)
		if (strcmp(table->name, tables[i]) == 0)
			return true;
	return false;
}

static enum sm_err need_table(struct cql_context *c, enum cql_permission permission, const struct store_table *table)
{
	const char *base = cql__view_base(table); /* a view shows what its table has */
	struct cql_resource r = {.kind = CQL_ONE_TABLE, .keyspace = table->keyspace, .name = base ? base : table->name};
	return permission == CQL_MAY_SELECT && is_readable(table) ? SM_OK : need(c, permission, &r);
}

static bool has_condition(const struct cql_modify *m)
{
	return m->if_not_exists || m->if_exists || m->conditions;
}

static enum sm_err authorize_modify(struct cql_context *c, const struct cql_plan *plan)
{
	const struct cql_statement *s = plan->statement;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; !err && i < plan->modify_count; i++) {
		const struct cql_modify *m = s->kind == CQL_STMT_BATCH ? &s->batch.statements[i] : &s->modify;
		err = need_table(c, CQL_MAY_MODIFY, plan->modify[i].table);
		if (!err && has_condition(m)) /* its answer tells what is there */
			err = need_table(c, CQL_MAY_SELECT, plan->modify[i].table);
	}
	return err;
}

static const enum cql_permission ddl_needs[] = {
	[CQL_CREATE] = CQL_MAY_CREATE, [CQL_ALTER] = CQL_MAY_ALTER, [CQL_DROP] = CQL_MAY_DROP, [CQL_TRUNCATE] = CQL_MAY_MODIFY};

/* The table that a view or an index is made of, which must be altered for it; NULL: there is none, or it is neither. */
static const char *base_table(struct cql_context *c, const struct cql_ddl *d, const char *keyspace)
{
	struct cql_index index;
	const struct store_keyspace *k = store_find_keyspace(c->schema, keyspace);
	const struct store_table *t = NULL;
	if (d->object == CQL_VIEW && d->verb == CQL_CREATE)
		return d->view->table.name;
	if (d->object == CQL_INDEX && d->verb == CQL_CREATE)
		return d->table.name;
	if (d->object == CQL_VIEW && k && (t = store_find_table(c->schema, keyspace, d->table.name)))
		return cql__view_base(t);
	if (d->object == CQL_INDEX && k && (t = cql__index_table(k, d->table.name, c->arena, &index)))
		return t->name;
	return NULL;
}

static enum sm_err ddl_resource(struct cql_context *c, const struct cql_ddl *d, struct cql_resource *r)
{
	*r = (struct cql_resource){.kind = CQL_ONE_KEYSPACE};
	enum sm_err err = cql__keyspace_of(c, &d->table, &r->keyspace);
	if (err)
		return err;
	if (d->object == CQL_KEYSPACE && d->verb == CQL_CREATE)
		r->kind = CQL_ALL_KEYSPACES;
	if (d->object != CQL_KEYSPACE) {
		bool table = d->object == CQL_TABLE && d->verb != CQL_CREATE;
		r->kind = table ? CQL_ONE_TABLE : CQL_TABLES_OF_KEYSPACE; /* types and the like: as what is in the keyspace */
		r->name = d->table.name;
		const char *base = base_table(c, d, r->keyspace);
		if (base) {
			r->kind = CQL_ONE_TABLE;
			r->name = base;
		}
	}
	return SM_OK;
}

static enum sm_err authorize_ddl(struct cql_context *c, const struct cql_ddl *d)
{
	struct cql_resource r;
	enum sm_err err = ddl_resource(c, d, &r);
	if (err)
		return err;
	/* Of the system's keyspaces, these are replicated in Cassandra, and protected in other words. */
	bool replicated = strcmp(r.keyspace, "system_auth") == 0 || strcmp(r.keyspace, "system_traces") == 0;
	if (replicated && r.kind != CQL_ALL_KEYSPACES && d->verb != CQL_TRUNCATE) {
		const char *text = cql__resource_text(&r, c->arena);
		return cql__fail(c->err, CQL_UNAUTHORIZED, "Cannot %s %s", cql__permission_names[ddl_needs[d->verb]], text ? text : "");
	}
	bool of_table = d->object == CQL_VIEW || d->object == CQL_INDEX;
	return c->user ? need(c, of_table ? CQL_MAY_ALTER : ddl_needs[d->verb], &r) : SM_OK;
}

enum sm_err cql__authorize(struct cql_context *c, const struct cql_plan *plan)
{
	if (!c->user && plan->kind != CQL_PLAN_DDL)
		return SM_OK;
	switch (plan->kind) {
	case CQL_PLAN_SELECT: return need_table(c, CQL_MAY_SELECT, plan->select->table);
	case CQL_PLAN_MODIFY: return authorize_modify(c, plan);
	case CQL_PLAN_DDL: return authorize_ddl(c, &plan->statement->ddl);
	case CQL_PLAN_USE:
	case CQL_PLAN_DESCRIBE:    /* the schema is readable to all */
	case CQL_PLAN_ROLE: break; /* role_run.c */
	}
	return SM_OK;
}
