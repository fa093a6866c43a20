/* Conditional statements and batches: the rows that they look at, the decision, and the answer.
 *
 * Conditions on static columns are one group, those on each row another. The store reads the rows and calls decide in the partition's order
 * (store.h: transactions); a write time after all that was seen makes the new values win over whatever time the old ones had. */
#include "base/hash.h"
#include "cql/json_value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct test {
	const struct cql_condition *condition;
	struct store_cell *values;
	uint32_t count;
	struct test *next;
};
/* What is asked of one row, or of the partition's static cells. */
struct group {
	const struct store_cell *clustering;
	bool partition;
	enum cql_if kind; /* NOTHING: only written */
	struct test *tests, **last;
	uint32_t look;
};
struct cql_cas {
	struct cql_context *c;
	struct cql_result *result;
	const struct store_table *table;
	const struct store_cell *partition_key;
	bool batch, whole_row, updates_statics;
	const struct store_column **columns; /* of conditions, in the order of the text */
	uint32_t column_count, column_cap;
	struct group *groups;
	uint32_t group_count, group_cap;
	uint32_t *slots; /* groups by their clustering's bytes: number + 1, open addressing, at most half full */
	uint32_t slot_count;
	struct item {
		const struct cql_modify_plan *plan;
		struct cql_options options;
		uint32_t group;
	} * items; /* those whose values look at the row */
	uint32_t item_count, item_cap;
	struct cql_mutations mutations;
	struct store_transaction transaction;
	enum sm_err failed;
};

static enum sm_err no_memory(struct cql_cas *cas)
{
	return cql__no_memory(cas->c->err, cas->c->arena);
}

/* ---- gathering ---- */

static bool same_row(const struct store_table *t, const struct group *g, const struct store_cell *clustering, bool partition)
{
	if (g->partition != partition)
		return false;
	for (uint16_t i = 0; !partition && i < t->clustering_count; i++)
		if (store_compare(&t->columns[t->partition_key_count + i].type, g->clustering[i], clustering[i]) != 0)
			return false;
	return true;
}

/* The types whose equal values have equal bytes. Rows with others are compared one by one. */
static bool by_bytes(const struct store_table *t)
{
	for (uint16_t i = 0; i < t->clustering_count; i++)
		switch (t->columns[t->partition_key_count + i].type.id) {
		case STORE_ASCII:
		case STORE_BIGINT:
		case STORE_BLOB:
		case STORE_DATE:
		case STORE_INET:
		case STORE_INT:
		case STORE_SMALLINT:
		case STORE_TEXT:
		case STORE_TIME:
		case STORE_TIMESTAMP:
		case STORE_TIMEUUID:
		case STORE_TINYINT:
		case STORE_UUID: break;
		default: return false;
		}
	return true;
}

static uint64_t hash_of(const struct store_table *t, const struct store_cell *clustering, bool partition)
{
	uint64_t hash = partition;
	for (uint16_t i = 0; !partition && i < t->clustering_count; i++) {
		uint64_t both[2] = {hash, clustering[i].size > 0 ? hash64(clustering[i].data, (size_t)clustering[i].size) : 0};
		hash = hash64(both, sizeof both);
	}
	return hash;
}

/* The slot of the group, or the free one where it would be. */
static uint32_t *slot_of(struct cql_cas *cas, const struct store_cell *clustering, bool partition)
{
	uint64_t at = hash_of(cas->table, clustering, partition);
	for (;; at++) {
		uint32_t *slot = &cas->slots[at & (cas->slot_count - 1)];
		if (!*slot || same_row(cas->table, &cas->groups[*slot - 1], clustering, partition))
			return slot;
	}
}

/* Room for one more group. */
static bool grow_slots(struct cql_cas *cas)
{
	if (2 * cas->group_count < cas->slot_count)
		return true;
	uint32_t count = cas->slot_count ? 2 * cas->slot_count : 16;
	if (!(cas->slots = arena_alloc(cas->c->arena, sizeof *cas->slots * count)))
		return false;
	cas->slot_count = count;
	for (uint32_t i = 0; i < cas->group_count; i++)
		*slot_of(cas, cas->groups[i].clustering, cas->groups[i].partition) = i + 1;
	return true;
}

static struct group *group_of(struct cql_cas *cas, const struct store_cell *clustering, bool partition)
{
	bool hashed = by_bytes(cas->table);
	if (hashed && !grow_slots(cas)) {
		(void)no_memory(cas);
		return NULL;
	}
	uint32_t *slot = hashed ? slot_of(cas, clustering, partition) : NULL;
	if (slot && *slot)
		return &cas->groups[*slot - 1];
	for (uint32_t i = 0; !hashed && i < cas->group_count; i++)
		if (same_row(cas->table, &cas->groups[i], clustering, partition))
			return &cas->groups[i];
	cas->groups = cql__grow(cas->c->arena, cas->groups, cas->group_count, &cas->group_cap, sizeof *cas->groups);
	if (!cas->groups) {
		(void)no_memory(cas);
		return NULL;
	}
	if (slot)
		*slot = cas->group_count + 1;
	struct group *g = &cas->groups[cas->group_count++];
	*g = (struct group){.clustering = clustering, .partition = partition};
	return g;
}

static enum sm_err set_kind(struct cql_cas *cas, struct group *g, enum cql_if kind)
{
	struct cql_error *err = cas->c->err;
	if (g->kind == CQL_IF_NOTHING || g->kind == kind) {
		g->kind = kind;
		return SM_OK;
	}
	if (kind == CQL_IF_COLUMNS)
		return cql__fail(err, CQL_INVALID, "Cannot mix IF conditions and IF NOT EXISTS for the same row");
	if (g->kind != CQL_IF_COLUMNS)
		return cql__fail(err, CQL_INVALID, "Cannot mix IF EXISTS and IF NOT EXISTS conditions for the same row");
	return cql__fail(err, CQL_INVALID, "Cannot mix IF conditions and IF %sEXISTS for the same row",
			 kind == CQL_IF_NOT_EXISTS ? "NOT " : "");
}

static enum sm_err note_column(struct cql_cas *cas, const struct store_column *column)
{
	for (uint32_t i = 0; i < cas->column_count; i++)
		if (cas->columns[i] == column)
			return SM_OK;
	cas->columns = cql__grow(cas->c->arena, cas->columns, cas->column_count, &cas->column_cap, sizeof *cas->columns);
	if (!cas->columns)
		return no_memory(cas);
	cas->columns[cas->column_count++] = column;
	return SM_OK;
}

static enum sm_err add_test(struct cql_cas *cas, struct cql_eval *e, const struct cql_condition *condition,
			    const struct store_cell *clustering, bool partition)
{
	struct group *g = group_of(cas, clustering, partition || condition->column->kind == STORE_STATIC);
	struct test *test = arena_alloc(cas->c->arena, sizeof *test);
	if (!g || !test)
		return no_memory(cas);
	test->condition = condition;
	enum sm_err err = set_kind(cas, g, CQL_IF_COLUMNS);
	if (err || (err = cql__condition_values(e, condition, &test->values, &test->count)) || (err = note_column(cas, condition->column)))
		return err;
	test->next = g->tests;
	g->tests = test;
	return SM_OK;
}

static enum sm_err add_conditions(struct cql_cas *cas, struct cql_eval *e, const struct cql_modify_plan *p,
				  const struct store_cell *clustering, bool partition)
{
	for (uint32_t i = 0; i < p->count && p->condition_kind; i++)
		cas->updates_statics |= p->columns[i]->kind == STORE_STATIC;
	/* What is written is looked at too: the new write time has to be after the old ones. */
	if (cas->updates_statics && !partition && !group_of(cas, NULL, true))
		return SM_NO_MEMORY;
	struct group *g = group_of(cas, clustering, partition);
	if (!g)
		return SM_NO_MEMORY;
	if (p->condition_kind == CQL_IF_COLUMNS) {
		enum sm_err err = SM_OK;
		for (int statics = 0; statics < 2; statics++) /* the order of the answer's columns */
			for (uint32_t i = 0; i < p->condition_count && !err; i++)
				if ((p->conditions[i].column->kind == STORE_STATIC) == statics)
					err = add_test(cas, e, &p->conditions[i], clustering, partition);
		return err;
	}
	if (!p->condition_kind)
		return SM_OK;
	cas->whole_row = true;
	return set_kind(cas, g, p->condition_kind);
}

static bool same_partition(const struct cql_cas *cas, const struct store_cell *key)
{
	for (uint16_t i = 0; i < cas->table->partition_key_count; i++)
		if (key[i].size != cas->partition_key[i].size ||
		    (key[i].size > 0 && memcmp(key[i].data, cas->partition_key[i].data, (size_t)key[i].size) != 0))
			return false;
	return true;
}

static bool partition_in(const struct cql_modify_plan *p)
{
	for (uint16_t i = 0; i < p->table->partition_key_count; i++)
		if (p->where.partition[i]->op == CQL_IN)
			return true;
	return false;
}

static bool clustering_in(const struct cql_modify_plan *p)
{
	for (uint32_t i = 0; i < p->where.clustering_count; i++)
		if (p->where.clustering[i].equal && p->where.clustering[i].equal->op == CQL_IN)
			return true;
	return false;
}

static enum sm_err check_keys(struct cql_cas *cas, const struct cql_modify_plan *p, const struct cql_keys *keys)
{
	struct cql_error *err = cas->c->err;
	const char *what = p->kind == CQL_DELETE ? "deletions" : "updates";
	if (partition_in(p) && cas->batch)
		return cql__fail(err, CQL_SERVER_ERROR,
				 "java.lang.IllegalArgumentException: Batch with conditions cannot span multiple partitions (you cannot "
				 "use IN on the partition key)");
	if (partition_in(p))
		return cql__fail(err, CQL_INVALID, "IN on the partition key is not supported with conditional %s", what);
	if (!cas->partition_key)
		cas->partition_key = keys->partitions[0];
	else if (!same_partition(cas, keys->partitions[0]))
		return cql__fail(err, CQL_INVALID, "Batch with conditions cannot span multiple partitions");
	if (clustering_in(p))
		return cql__fail(err, CQL_INVALID, "IN on the clustering key columns is not supported with conditional %s", what);
	return SM_OK;
}

static enum sm_err add_one(struct cql_cas *cas, const struct cql_modify_plan *p, const struct cql_options *options)
{
	struct cql_eval e = {.context = cas->c, .values = options->values, .value_count = options->value_count, .table = p->table};
	struct cql_keys keys;
	struct store_cell *json = NULL;
	enum sm_err err = p->json ? cql__json_row(&e, p, &json) : SM_OK;
	e.json = json;
	if (!err)
		err = cql__keys(&e, &p->where, &keys);
	if (err || (err = check_keys(cas, p, &keys)))
		return err;
	if (keys.slice_count == 0)
		return SM_OK; /* a range that holds nothing */
	bool partition = p->statics_only || p->mutation == STORE_DELETE_RANGE ||
			 (p->mutation == STORE_DELETE_PARTITION && p->table->clustering_count);
	const struct store_cell *clustering = partition ? NULL : keys.slices[0].from.cells;
	err = add_conditions(cas, &e, p, clustering, partition);
	struct cql_options read = *options;
	read.json = json;
	if (err || !p->needs_row)
		return err ? err : cql__build_mutation(cas->c, p, &read, 0, &cas->mutations);
	cas->items = cql__grow(cas->c->arena, cas->items, cas->item_count, &cas->item_cap, sizeof *cas->items);
	if (!cas->items)
		return no_memory(cas);
	cas->items[cas->item_count++] = (struct item){p, *options, (uint32_t)(group_of(cas, clustering, partition) - cas->groups)};
	return SM_OK;
}

enum sm_err cql__cas_new(struct cql_context *c, bool batch, struct cql_result *result, struct cql_cas **ret_cas)
{
	struct cql_cas *cas = arena_alloc(c->arena, sizeof *cas);
	if (!cas)
		return cql__no_memory(c->err, c->arena);
	*cas = (struct cql_cas){.c = c, .batch = batch, .result = result, .mutations.leaves_reads = true};
	*ret_cas = cas;
	return SM_OK;
}

enum sm_err cql__cas_add(struct cql_cas *cas, const struct cql_plan *plan, const struct cql_options *options)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < plan->modify_count && !err; i++) {
		if (!cas->table)
			cas->table = plan->modify[i].table;
		err = add_one(cas, &plan->modify[i], options);
	}
	return err;
}

/* ---- the decision ---- */

static struct store_cell cell_of(const struct cql_cas *cas, const struct store_row *row, const struct store_column *column)
{
	return row->cells ? row->cells[column - cas->table->columns] : cql__null();
}

/* Is the row, or any static cell of the partition, there? */
static bool exists(const struct cql_cas *cas, const struct group *g, const struct store_row *row)
{
	if (!row->cells || !g->partition)
		return row->cells;
	for (uint16_t i = 0; i < cas->table->column_count; i++)
		if (cas->table->columns[i].kind == STORE_STATIC && row->cells[i].size >= 0)
			return true;
	return false;
}

static bool group_holds(const struct cql_cas *cas, const struct group *g, const struct store_row *row)
{
	if (g->kind == CQL_IF_NOT_EXISTS || g->kind == CQL_IF_EXISTS)
		return exists(cas, g, row) == (g->kind == CQL_IF_EXISTS);
	for (const struct test *t = g->tests; t; t = t->next)
		if (!cql__condition_holds(t->condition, t->values, t->count, cell_of(cas, row, t->condition->column)))
			return false;
	return true;
}

static void put_applied(struct cql_cas *cas, bool applied)
{
	const uint8_t value = applied;
	cql__result_cell(cas->result, (struct store_cell){&value, 1});
	cas->result->row_count++;
}

/* The columns that an answer has behind [applied] when a condition failed. */
static const struct store_column **shown_columns(struct cql_cas *cas, uint32_t *ret_count)
{
	const struct store_table *t = cas->table;
	uint32_t keys = cas->batch ? t->partition_key_count + t->clustering_count : 0, n = 0;
	const struct store_column **shown = arena_alloc(cas->c->arena, sizeof *shown * (t->column_count + keys + cas->column_count + 1u));
	if (!shown)
		return NULL;
	for (uint32_t i = 0; i < (cas->whole_row ? t->column_count : keys); i++)
		shown[n++] = &t->columns[i];
	for (uint32_t i = 0; i < cas->column_count && !cas->whole_row; i++)
		shown[n++] = cas->columns[i];
	*ret_count = n;
	return shown;
}

static bool is_condition_column(const struct cql_cas *cas, const struct store_column *column)
{
	for (uint32_t i = 0; i < cas->column_count; i++)
		if (cas->columns[i] == column)
			return true;
	return false;
}

static void put_row(struct cql_cas *cas, const struct store_column *const *shown, uint32_t count, const struct group *g,
		    const struct store_row *row)
{
	put_applied(cas, false);
	for (uint32_t i = 0; i < count; i++) {
		const struct store_column *column = shown[i];
		struct store_cell cell = cell_of(cas, row, column);
		/* What Cassandra does not read for the conditions it shows as null. */
		if ((column->kind == STORE_STATIC && !cas->updates_statics && !is_condition_column(cas, column)) ||
		    (column->kind == STORE_REGULAR && g->partition))
			cell = cql__null();
		cql__result_cell(cas->result, cell);
	}
}

static int compare_groups(const void *a, const void *b, void *arg)
{
	const struct group *x = *(const struct group *const *)a, *y = *(const struct group *const *)b;
	const struct store_table *t = arg;
	for (uint16_t i = 0; i < t->clustering_count; i++) {
		const struct store_column *column = &t->columns[t->partition_key_count + i];
		int order = store_compare(&column->type, x->clustering[i], y->clustering[i]);
		if (order)
			return column->descending ? -order : order;
	}
	return 0;
}

static enum sm_err set_columns(struct cql_cas *cas, const struct store_column *const *shown, uint32_t count)
{
	struct cql_result *r = cas->result;
	struct cql_result_column *columns = arena_alloc(cas->c->arena, sizeof *columns * (count + 1u));
	if (!columns)
		return no_memory(cas);
	columns[0] = (struct cql_result_column){"[applied]", cql__type(STORE_BOOLEAN)};
	for (uint32_t i = 0; i < count; i++)
		columns[i + 1] = (struct cql_result_column){shown[i]->name, &shown[i]->type};
	r->kind = CQL_RESULT_ROWS;
	r->keyspace = cas->table->keyspace;
	r->table = cas->table->name;
	r->columns = columns;
	r->column_count = count + 1;
	return SM_OK;
}

/* Not applied: the rows that were looked at because of conditions, in clustering order. */
static enum sm_err answer_rows(struct cql_cas *cas, const struct store_sight *sight)
{
	const struct group **found = arena_alloc(cas->c->arena, sizeof *found * (cas->group_count + 1u)), *statics = NULL;
	uint32_t count = 0, column_count = 0;
	const struct store_column **shown = shown_columns(cas, &column_count);
	bool rows = false;
	if (!found || !shown)
		return no_memory(cas);
	for (uint32_t i = 0; i < cas->group_count; i++) {
		const struct group *g = &cas->groups[i];
		if (g->partition && (g->kind || cas->updates_statics))
			statics = g;
		rows |= g->kind && !g->partition;
		if (g->kind && !g->partition && sight->rows[g->look].cells)
			found[count++] = g;
	}
	/* Static cells alone, where no row is there to stand beside them. */
	if (count == 0 && statics && sight->rows[statics->look].cells && (!rows || exists(cas, statics, &sight->rows[statics->look])))
		found[count++] = statics;
	else if (count > 1)
		qsort_r(found, count, sizeof *found, compare_groups, (void *)(uintptr_t)cas->table);
	enum sm_err err = set_columns(cas, shown, count ? column_count : 0);
	for (uint32_t i = 0; i < count && !err; i++)
		put_row(cas, shown, column_count, found[i], &sight->rows[found[i]->look]);
	if (count == 0)
		put_applied(cas, false);
	return err;
}

static enum sm_err set_times(struct cql_cas *cas, int64_t newest_us)
{
	int64_t now_us = cql__timestamp_us(cas->c->engine);
	if (newest_us == INT64_MAX)
		return cql__fail(cas->c->err, CQL_INVALID,
				 "Cannot replace a row of table %s.%s that was written with the last timestamp there is",
				 cas->table->keyspace, cas->table->name);
	if (now_us <= newest_us)
		now_us = newest_us + 1;
	for (uint32_t i = 0; i < cas->mutations.count; i++)
		cas->mutations.items[i].timestamp_us = now_us;
	return SM_OK;
}

/* Operations at a list's index or values, on the row as it is now. */
static enum sm_err add_left_reads(struct cql_cas *cas, const struct store_sight *sight)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < cas->mutations.left_count && !err; i++) {
		const struct cql_left_read *left = &cas->mutations.left[i];
		struct store_mutation *m = &cas->mutations.items[left->item];
		struct cql_eval e = {
			.context = cas->c, .values = left->options->values, .value_count = left->options->value_count, .table = cas->table};
		const struct store_row *row = NULL;
		for (uint32_t k = 0; k < cas->group_count && !row; k++)
			if (same_row(cas->table, &cas->groups[k], m->clustering, left->plan->statics_only))
				row = &sight->rows[cas->groups[k].look];
		err = cql__row_assignments(&e, left->plan, row && row->cells ? row : NULL, m);
	}
	return err;
}

/* n = n + 1 */
static enum sm_err build_items(struct cql_cas *cas, const struct store_sight *sight)
{
	uint16_t count = cas->table->column_count;
	struct store_cell *nulls = arena_alloc(cas->c->arena, sizeof *nulls * count);
	enum sm_err err = nulls ? SM_OK : no_memory(cas);
	for (uint16_t i = 0; !err && i < count; i++)
		nulls[i] = cql__null();
	for (uint32_t i = 0; !err && i < cas->item_count; i++) {
		struct item *item = &cas->items[i];
		struct store_row none = {.cells = nulls}, *row = (struct store_row *)&sight->rows[item->group];
		item->options.row = row->cells ? row : &none;
		err = cql__build_mutation(cas->c, item->plan, &item->options, 0, &cas->mutations);
	}
	return err;
}

static enum sm_err decide(void *arg, const struct store_sight *sight, struct store_batch *ret_batch)
{
	struct cql_cas *cas = arg;
	bool applies = true;
	for (uint32_t i = 0; i < cas->group_count && applies; i++)
		applies = group_holds(cas, &cas->groups[i], &sight->rows[cas->groups[i].look]);
	if (!applies)
		return cas->failed = answer_rows(cas, sight);
	if ((cas->failed = build_items(cas, sight)) || (cas->failed = set_columns(cas, NULL, 0)) ||
	    (cas->failed = set_times(cas, sight->newest_us)) || (cas->failed = add_left_reads(cas, sight)))
		return cas->failed;
	put_applied(cas, true);
	*ret_batch = (struct store_batch){.mutations = cas->mutations.items, .count = cas->mutations.count, .now_s = cas->c->now_s};
	return SM_OK;
}

enum sm_err cql__cas_ready(struct cql_cas *cas, const struct store_transaction **ret_transaction)
{
	struct store_look *looks = arena_alloc(cas->c->arena, sizeof *looks * (cas->group_count + 1u));
	if (!looks)
		return no_memory(cas);
	for (uint32_t i = 0; i < cas->group_count; i++) {
		cas->groups[i].look = i;
		looks[i] = (struct store_look){cas->groups[i].clustering, cas->groups[i].partition};
	}
	cas->transaction = (struct store_transaction){.table = cas->table,
						      .partition_key = cas->partition_key,
						      .looks = looks,
						      .look_count = cas->group_count,
						      .decide = decide,
						      .arg = cas};
	*ret_transaction = &cas->transaction;
	return SM_OK;
}

enum sm_err cql__cas_end(struct cql_cas *cas, enum sm_err err)
{
	if (!err)
		return SM_OK;
	buf_clear(&cas->result->rows);
	cas->result->row_count = 0;
	if (cas->failed) /* the text is there */
		return err;
	if (err == SM_UNSUPPORTED)
		return cql__fail(cas->c->err, CQL_INVALID,
				 "Conditional statements are not supported over this connection to the store: send them to the server's "
				 "CQL port");
	return cql__fail_store(cas->c->err, err, NULL);
}
