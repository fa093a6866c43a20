/* Transactions: what they see, what they refuse, and that histories of many threads are linearizable. */
#include "store/testing.h"
#include <pthread.h>

/* ---- one register a partition: compare and set ---- */

struct cas {
	const struct store_table *table;
	int32_t key, expected, value;
	int64_t times_us; /* of the write; 0: after what was seen */
	/* what came of it */
	bool applied, there;
	int32_t seen;
	int64_t newest_us;
	struct store_cell key_cell;
	struct int_value key_room, value_room;
	struct store_assignment assignment;
	struct store_mutation mutation;
};

#define ABSENT (-1)

static enum sm_err decide(void *arg, const struct store_sight *sight, struct store_batch *ret_batch)
{
	struct cas *c = arg;
	const struct store_row *row = &sight->rows[0];
	c->there = row->cells;
	c->seen = row->cells && row->cells[1].size == 4 ? (int32_t)be32_get(row->cells[1].data) : ABSENT;
	c->newest_us = sight->newest_us;
	c->applied = c->seen == c->expected;
	if (!c->applied)
		return SM_OK;
	c->assignment = (struct store_assignment){&c->table->columns[1], int_cell(c->value, &c->value_room)};
	c->mutation = (struct store_mutation){.kind = STORE_UPSERT_UPDATE,
					      .table = c->table,
					      .partition_key = &c->key_cell,
					      .cells = &c->assignment,
					      .cell_count = 1,
					      .timestamp_us = c->times_us             ? c->times_us
							      : sight->newest_us >= 0 ? sight->newest_us + 1
										      : 1};
	*ret_batch = (struct store_batch){.mutations = &c->mutation, .count = 1};
	return SM_OK;
}

static enum sm_err cas(struct fixture *f, struct cas *c)
{
	c->key_cell = int_cell(c->key, &c->key_room);
	struct store_look look = {0};
	struct store_transaction t = {
		.table = c->table, .partition_key = &c->key_cell, .looks = &look, .look_count = 1, .decide = decide, .arg = c};
	return store_transact_wait(f->store, &t);
}

static const struct store_table *register_table(struct fixture *f)
{
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	return table_of(f, "t");
}

static void a_transaction_sees_what_is_there_and_writes_after_it(void **state)
{
	struct fixture *f = *state;
	const struct store_table *t = register_table(f);
	struct cas c = {.table = t, .key = 1, .expected = ABSENT, .value = 10};
	assert_ok(cas(f, &c));
	assert_true(c.applied && !c.there);
	assert_int_equal(c.newest_us, INT64_MIN);
	assert_ok(cas(f, &c));
	assert_false(c.applied);
	assert_int_equal(c.seen, 10);
	/* A row written in the future, and one deleted there, are replaced all the same. */
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "v", INT(20), 1000000, 0));
	c = (struct cas){.table = t, .key = 1, .expected = 20, .value = 21};
	assert_ok(cas(f, &c));
	assert_true(c.applied);
	assert_int_equal(c.newest_us, 1000000);
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "1 21|");
	struct store_mutation m = {.kind = STORE_DELETE_PARTITION, .table = t, .partition_key = KEY(INT(1)), .timestamp_us = 5000000};
	assert_ok(apply_one(f, &m));
	c = (struct cas){.table = t, .key = 1, .expected = ABSENT, .value = 22};
	assert_ok(cas(f, &c));
	assert_true(c.applied && !c.there);
	assert_int_equal(c.newest_us, 5000000);
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "1 22|");
	fixture_reopen(f);
	assert_rows(f, &(struct store_read){.table = table_of(f, "t"), .partition_key = KEY(INT(1))}, "1 22|");
}

static enum sm_err refuse(void *arg, const struct store_sight *sight, struct store_batch *ret_batch)
{
	return SM_OUT_OF_RANGE;
}

static void what_decide_says_is_answered_and_nothing_is_written(void **state)
{
	struct fixture *f = *state;
	const struct store_table *t = register_table(f);
	struct store_look look = {0};
	struct store_transaction tx = {.table = t, .partition_key = KEY(INT(1)), .looks = &look, .look_count = 1, .decide = refuse};
	assert_err(store_transact_wait(f->store, &tx), SM_OUT_OF_RANGE);
	struct store_read all = all_of(t);
	assert_rows(f, &all, "");
	tx.partition_key = KEY(NULL_CELL);
	assert_err(store_transact_wait(f->store, &tx), SM_INVALID);
}

struct glance {
	char text[200];
};

static enum sm_err show(void *arg, const struct store_sight *sight, struct store_batch *ret_batch)
{
	struct glance *g = arg;
	struct buf out;
	buf_init(&out);
	for (int i = 0; i < 3; i++) {
		const struct store_row *row = &sight->rows[i];
		for (int k = 0; row->cells && k < 4; k++) {
			static const struct store_type type = {.id = STORE_INT};
			show_value(&type, row->cells[k], &out);
		}
		buf_append_str(&out, row->cells && row->static_only ? "!|" : "|");
	}
	snprintf(g->text, sizeof g->text, "%.*s", (int)out.end, (const char *)out.data);
	buf_done(&out);
	return SM_OK;
}

static void rows_and_partitions_are_looked_at(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c s:int:s v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct glance g;
	struct store_look looks[] = {{KEY(INT(1)), false}, {KEY(INT(2)), false}, {NULL, true}};
	struct store_transaction tx = {
		.table = t, .partition_key = KEY(INT(7)), .looks = looks, .look_count = 3, .decide = show, .arg = &g};
	assert_ok(store_transact_wait(f->store, &tx));
	assert_string_equal(g.text, "|||");
	assert_ok(insert(f, t, KEY(INT(7)), NULL, "s", INT(5), 1, 0));
	assert_ok(store_transact_wait(f->store, &tx));
	assert_string_equal(g.text, "||7-5-!|");
	assert_ok(insert(f, t, KEY(INT(7)), KEY(INT(2)), "v", INT(9), 1, 0));
	assert_ok(store_transact_wait(f->store, &tx));
	assert_string_equal(g.text, "|7259|7259|");
}

static void a_truncated_table_is_seen_empty_with_an_old_picture(void **state)
{
	struct fixture *f = *state;
	const struct store_table *t = register_table(f);
	const struct store_schema *old = f->store->ops->schema(f->store);
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "v", INT(1), 1, 0));
	assert_ok(change_table(f, STORE_TRUNCATE_TABLE, "t"));
	struct cas c = {.table = t, .key = 1, .expected = ABSENT, .value = 2};
	assert_ok(cas(f, &c));
	assert_true(c.applied);
	assert_rows(f, &(struct store_read){.table = table_of(f, "t"), .partition_key = KEY(INT(1))}, "1 2|");
	assert_ok(change_table(f, STORE_DROP_TABLE, "t"));
	assert_err(cas(f, &c), SM_NOT_FOUND);
	f->store->ops->schema_release(f->store, old);
}

/* ---- histories ---- */

#define THREADS 8
#define OPERATIONS 150
#define REGISTERS 3

/* One call as its caller saw it. Values of writes are unique. */
struct call {
	int32_t key, seen, value; /* value: what it wrote; 0: nothing */
	uint64_t begin_ns, end_ns;
};
struct player {
	struct fixture *f;
	const struct store_table *table;
	int number;
	struct call calls[OPERATIONS];
};

static int32_t read_register(struct player *p, int32_t key)
{
	struct store_read read = {.table = p->table, .partition_key = KEY(INT(key))};
	struct store_cursor *c;
	const struct store_row *row;
	int32_t seen = ABSENT;
	assert_ok(p->f->store->ops->open(p->f->store, &read, &c, NULL));
	if (p->f->store->ops->next(c, &row) == SM_OK && row->cells[1].size == 4)
		seen = (int32_t)be32_get(row->cells[1].data);
	p->f->store->ops->close_cursor(c);
	return seen;
}

static void *play(void *arg)
{
	struct player *p = arg;
	int32_t known[REGISTERS] = {ABSENT, ABSENT, ABSENT};
	unsigned seed = (unsigned)p->number;
	for (int i = 0; i < OPERATIONS; i++) {
		struct call *call = &p->calls[i];
		int32_t key = call->key = rand_r(&seed) % REGISTERS;
		call->begin_ns = clock_monotonic_ns(&clock_system);
		if (rand_r(&seed) % 4 == 0) {
			call->seen = read_register(p, key);
		} else {
			struct cas c = {.table = p->table, .key = key, .expected = known[key], .value = 1 + p->number * OPERATIONS + i};
			assert_ok(cas(p->f, &c));
			call->seen = c.seen;
			call->value = c.applied ? c.value : 0;
		}
		call->end_ns = clock_monotonic_ns(&clock_system);
		known[key] = call->value ? call->value : call->seen;
	}
	return NULL;
}

/* Every value was written on top of another, so the values of a register are a chain; a call's place in it is what it saw. The history is
 * linearizable if the chain is whole and no call that began after another had ended has an earlier place. */
static int place_of(const int32_t *chain, int count, int32_t value)
{
	for (int i = 0; i < count; i++)
		if (chain[i] == value)
			return i;
	return -1;
}

static int compare_begin(const void *a, const void *b)
{
	const struct call *x = a, *y = b;
	return (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

static int chain_of(const struct call *calls, int count, int32_t *chain)
{
	int length = 0;
	chain[length++] = ABSENT;
	for (bool more = true; more;) {
		more = false;
		for (int i = 0; i < count && !more; i++)
			if (calls[i].value && calls[i].seen == chain[length - 1]) {
				chain[length++] = calls[i].value;
				more = true;
			}
	}
	return length;
}

static void check_register(struct call *calls, int count)
{
	int32_t *chain = calloc((size_t)count + 1, sizeof *chain);
	int writes = 0, length = chain_of(calls, count, chain);
	for (int i = 0; i < count; i++)
		writes += calls[i].value != 0;
	assert_int_equal(length, writes + 1); /* no value was replaced twice, none is lost */
	qsort(calls, (size_t)count, sizeof *calls, compare_begin);
	for (int i = 0; i < count; i++) {
		int mine = place_of(chain, length, calls[i].seen);
		assert_true(mine >= 0);
		for (int k = 0; k < i; k++) {
			if (calls[k].end_ns >= calls[i].begin_ns)
				continue;
			int before = place_of(chain, length, calls[k].value ? calls[k].value : calls[k].seen);
			if (mine < before)
				fail_msg("a call that began later saw an earlier value: place %d, not %d or later", mine, before);
		}
	}
	free(chain);
}

static void histories_of_many_threads_are_linearizable(void **state)
{
	struct fixture *f = *state;
	const struct store_table *t = register_table(f);
	struct player *players = calloc(THREADS, sizeof *players);
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		players[i] = (struct player){.f = f, .table = t, .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, play, &players[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	struct call *calls = calloc(THREADS * OPERATIONS, sizeof *calls);
	int writes = 0;
	for (int key = 0; key < REGISTERS; key++) {
		int count = 0;
		for (int i = 0; i < THREADS; i++)
			for (int k = 0; k < OPERATIONS; k++)
				if (players[i].calls[k].key == key) {
					calls[count++] = players[i].calls[k];
					writes += players[i].calls[k].value != 0;
				}
		check_register(calls, count);
	}
	assert_true(writes > REGISTERS);
	free(calls);
	free(players);
}

/* Counters by compare and set: plain writes of other partitions and transactions share their groups. */
static void *count_up(void *arg)
{
	struct player *p = arg;
	int32_t known = ABSENT;
	for (int done = 0; done < 50;) {
		struct cas c = {.table = p->table, .key = 1, .expected = known, .value = known == ABSENT ? 1 : known + 1};
		assert_ok(cas(p->f, &c));
		assert_ok(insert(p->f, p->table, KEY(INT(100 + p->number)), NULL, "v", INT(done), 1 + done, 0));
		known = c.applied ? c.value : c.seen;
		done += c.applied;
	}
	return NULL;
}

static void no_increment_is_lost(void **state)
{
	struct fixture *f = *state;
	const struct store_table *t = register_table(f);
	struct player *players = calloc(THREADS, sizeof *players);
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		players[i] = (struct player){.f = f, .table = t, .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, &players[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	free(players);
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "1 400|");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(a_transaction_sees_what_is_there_and_writes_after_it),
		T(what_decide_says_is_answered_and_nothing_is_written),
		T(rows_and_partitions_are_looked_at),
		T(a_truncated_table_is_seen_empty_with_an_old_picture),
		T(histories_of_many_threads_are_linearizable),
		T(no_increment_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
