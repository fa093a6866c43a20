/* INSERT, UPDATE, DELETE and batches as the store's mutations, and the time they are written with. */
#include "cql/json_value.h"

#include <string.h>

/* One for the process: a server and sessions write to the same store. */
static _Atomic int64_t last_timestamp_us;

int64_t cql__timestamp_us(struct cql_engine *engine)
{
	int64_t now = (int64_t)clock_wall_us(engine->clock);
	int64_t last = atomic_load(&last_timestamp_us);
	for (;;) {
		int64_t next = now > last ? now : last + 1;
		if (atomic_compare_exchange_weak(&last_timestamp_us, &last, next))
			return next;
	}
}

static struct store_mutation *add(struct cql_eval *e, struct cql_mutations *m)
{
	m->items = cql__grow(e->context->arena, m->items, m->count, &m->cap, sizeof *m->items);
	if (m->items)
		return &m->items[m->count++];
	(void)cql__no_memory(e->context->err, e->context->arena);
	return NULL;
}

static enum sm_err timestamp(struct cql_eval *e, const struct cql_expr *x, int64_t absent, int64_t *ret_us)
{
	struct store_cell v;
	*ret_us = absent;
	if (!x)
		return SM_OK;
	enum sm_err err = cql__eval(e, x, &v);
	if (err || v.size == CQL_UNSET)
		return err;
	if (v.size != 8)
		return cql__fail(e->context->err, CQL_INVALID, "Invalid null value of timestamp");
	*ret_us = (int64_t)be64_get(v.data);
	return SM_OK;
}

static enum sm_err ttl(struct cql_eval *e, const struct cql_expr *x, int32_t absent, int32_t *ret_s)
{
	struct store_cell v;
	*ret_s = absent;
	if (!x)
		return SM_OK;
	enum sm_err err = cql__eval(e, x, &v);
	if (err || v.size == CQL_UNSET)
		return err;
	*ret_s = v.size == 4 ? (int32_t)be32_get(v.data) : 0;
	if (*ret_s < 0)
		return cql__fail(e->context->err, CQL_INVALID, "A TTL must be greater or equal to 0, but was %d", *ret_s);
	if (*ret_s > CQL_TTL_MAX)
		return cql__fail(e->context->err, CQL_INVALID, "ttl is too large. requested (%d) maximum (%d)", *ret_s, CQL_TTL_MAX);
	return SM_OK;
}

static enum sm_err cells(struct cql_eval *e, const struct cql_modify_plan *p, struct store_assignment **ret_cells, uint32_t *ret_count)
{
	struct store_assignment *out = arena_alloc(e->context->arena, sizeof *out * (p->count + 1));
	uint32_t n = 0;
	if (!out)
		return cql__no_memory(e->context->err, e->context->arena);
	for (uint32_t i = 0; i < p->count; i++) {
		bool any;
		enum sm_err err = cql__assignment(e, p, i, &out[n], &any);
		if (err)
			return err;
		n += any;
	}
	*ret_cells = out;
	*ret_count = n;
	return SM_OK;
}

static enum sm_err check_clustering(struct cql_eval *e, const struct store_cell *clustering)
{
	size_t size = 0;
	for (uint16_t i = 0; i < e->table->clustering_count; i++)
		size += (size_t)clustering[i].size;
	if (size > STORE_KEY_BYTES_MAX)
		return cql__fail(e->context->err, CQL_INVALID, "Key length of %zu is longer than maximum of %d", size, STORE_KEY_BYTES_MAX);
	return SM_OK;
}

static enum sm_err leave_read(struct cql_eval *e, const struct cql_modify_plan *p, struct cql_mutations *out)
{
	struct cql_options *options = arena_alloc(e->context->arena, sizeof *options);
	out->left = cql__grow(e->context->arena, out->left, out->left_count, &out->left_cap, sizeof *out->left);
	if (!options || !out->left)
		return cql__no_memory(e->context->err, e->context->arena);
	*options = (struct cql_options){.values = e->values, .value_count = e->value_count};
	out->left[out->left_count++] = (struct cql_left_read){out->count - 1, p, options};
	return SM_OK;
}

static enum sm_err mutations(struct cql_eval *e, const struct cql_modify_plan *p, const struct store_mutation *like,
			     struct cql_mutations *out)
{
	struct cql_keys keys;
	enum sm_err err = cql__keys(e, &p->where, &keys);
	bool whole = p->statics_only || p->mutation == STORE_DELETE_PARTITION;
	if (err || keys.empty)
		return err;
	for (uint32_t i = 0; i < keys.partition_count; i++)
		for (uint32_t k = 0; k < (whole ? 1 : keys.slice_count); k++) {
			struct store_mutation *m = add(e, out);
			if (!m)
				return SM_NO_MEMORY;
			*m = *like;
			m->partition_key = keys.partitions[i];
			if (p->mutation == STORE_DELETE_RANGE) {
				m->from = keys.slices[k].from;
				m->to = keys.slices[k].to;
			} else if (!whole) {
				m->clustering = keys.slices[k].from.cells;
				if ((err = check_clustering(e, m->clustering)))
					return err;
			}
			if (p->reads && (err = out->leaves_reads ? leave_read(e, p, out) : cql__read_assignments(e, p, m)))
				return err;
		}
	return SM_OK;
}

enum sm_err cql__build_mutation(struct cql_context *c, const struct cql_modify_plan *p, const struct cql_options *o, int64_t now_us,
				struct cql_mutations *out)
{
	struct cql_eval e = {.context = c, .values = o->values, .value_count = o->value_count, .table = p->table, .row = o->row};
	struct store_assignment *assignments = NULL;
	struct store_mutation m = {.kind = p->mutation, .table = p->table};
	enum sm_err err = timestamp(&e, p->timestamp, now_us, &m.timestamp_us);
	struct store_cell *json = NULL;
	if (!err && p->json && !o->json)
		err = cql__json_row(&e, p, &json);
	e.json = o->json ? o->json : json;
	if (!err)
		err = ttl(&e, p->ttl, p->kind == CQL_DELETE ? 0 : p->table->default_ttl_s, &m.ttl_s);
	if (!err)
		err = cells(&e, p, &assignments, &m.cell_count);
	if (!err)
		err = cql__check_indexed(c, p->table, assignments, m.cell_count);
	if (err)
		return err;
	m.cells = assignments;
	if (m.cell_count == 0 && p->mutation == STORE_UPSERT_UPDATE && !p->reads) { /* nothing was set; the keys must still be right */
		struct cql_keys keys;
		return cql__keys(&e, &p->where, &keys);
	}
	return mutations(&e, p, &m, out);
}

enum sm_err cql__build_mutations(struct cql_context *c, const struct cql_plan *plan, const struct cql_options *options, int64_t now_us,
				 struct cql_mutations *out)
{
	struct cql_eval e = {.context = c, .values = options->values, .value_count = options->value_count};
	enum sm_err err = timestamp(&e, plan->timestamp, now_us, &now_us);
	for (uint32_t i = 0; !err && i < plan->modify_count; i++)
		err = cql__build_mutation(c, &plan->modify[i], options, now_us, out);
	return err;
}
