/* Random mutations against a model that keeps every one and works out from the whole history what a reader sees; also while the store
 * flushes, compacts and purges at random moments, and the clock runs. */
#include "store/purge.h"
#include "store/testing.h"

#define KS 3 /* partitions */
#define CS 5 /* values of c, descending */
#define DS 3 /* values of d */
#define MUTATIONS_MAX 4000

struct record {
	enum store_mutation_kind kind;
	int k, c, d; /* c < 0: static cells only */
	/* range: from and to in the table's order: c descending, d ascending; count 0: unbounded */
	enum store_bound_kind from_kind, to_kind;
	int from_count, to_count, from_c, from_d, to_c, to_d;
	bool has[3]; /* a, b, s */
	bool null[3];
	int value[3];
	int64_t ts, now_s;
	int ttl;
};
static struct record history[MUTATIONS_MAX];
static int history_count;
static const char *const cell_names[3] = {"a", "b", "s"};

#define GRACE_S 20 /* gc_grace_seconds where things are purged */
static int rounds = 6;
static bool purging; /* write times follow the clock, at most GRACE_S behind: what is older than a purged deletion may come back */
static uint64_t random_state;
static uint64_t pick(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % n;
}

/* ---- the model ---- */

/* Where (c, d) is against the first count of (bc, bd), in the table's order. */
static int against(int c, int d, int count, int bc, int bd)
{
	if (c != bc)
		return c > bc ? -1 : 1;
	return count < 2 ? 0 : (d > bd) - (d < bd);
}

static bool within(const struct record *r, int c, int d)
{
	if (r->from_kind != STORE_UNBOUNDED && r->from_count) {
		int x = against(c, d, r->from_count, r->from_c, r->from_d);
		if (x < 0 || (x == 0 && r->from_kind == STORE_EXCLUSIVE))
			return false;
	}
	if (r->to_kind != STORE_UNBOUNDED && r->to_count) {
		int x = against(c, d, r->to_count, r->to_c, r->to_d);
		if (x > 0 || (x == 0 && r->to_kind == STORE_EXCLUSIVE))
			return false;
	}
	return true;
}

static int64_t deleted_at(int k, int c, int d)
{
	int64_t at = INT64_MIN;
	for (int i = 0; i < history_count; i++) {
		const struct record *r = &history[i];
		if (r->k != k || r->ts <= at)
			continue;
		if (r->kind == STORE_DELETE_PARTITION || (c >= 0 && r->kind == STORE_DELETE_ROW && r->c == c && r->d == d) ||
		    (c >= 0 && r->kind == STORE_DELETE_RANGE && within(r, c, d)))
			at = r->ts;
	}
	return at;
}

static bool live(const struct record *r, int64_t now_s)
{
	return r->ttl == 0 || r->now_s + r->ttl > now_s;
}

/* Does y win over x (either a write of the same cell)? */
static bool wins(const struct record *x, const struct record *y, int cell)
{
	if (x->ts != y->ts)
		return y->ts > x->ts;
	if (x->null[cell] != y->null[cell])
		return y->null[cell];
	if (x->null[cell])
		return false;
	if (!x->ttl != !y->ttl)
		return y->ttl;
	if (x->ttl && x->now_s + x->ttl != y->now_s + y->ttl)
		return y->now_s + y->ttl > x->now_s + x->ttl;
	return y->value[cell] > x->value[cell]; /* none is negative, so the larger bytes */
}

static const struct record *winner(int k, int c, int d, int cell)
{
	const struct record *best = NULL;
	int64_t deleted = deleted_at(k, cell == 2 ? -1 : c, d);
	for (int i = 0; i < history_count; i++) {
		const struct record *r = &history[i];
		if (r->k == k && r->has[cell] && (cell == 2 || (r->c == c && r->d == d)) && r->ts > deleted &&
		    (!best || wins(best, r, cell)))
			best = r;
	}
	return best;
}

static bool marked(int k, int c, int d, int64_t now_s)
{
	const struct record *best = NULL;
	int64_t deleted = deleted_at(k, c, d);
	for (int i = 0; i < history_count; i++) {
		const struct record *r = &history[i];
		if (r->kind != STORE_UPSERT_INSERT || r->k != k || r->c != c || r->d != d || r->ts <= deleted)
			continue;
		if (!best || r->ts > best->ts ||
		    (r->ts == best->ts && r->ttl && (!best->ttl || r->now_s + r->ttl > best->now_s + best->ttl)))
			best = r;
	}
	return best && live(best, now_s);
}

static bool show_cell(int k, int c, int d, int cell, int64_t now_s, struct buf *out)
{
	const struct record *r = winner(k, c, d, cell);
	bool there = r && !r->null[cell] && live(r, now_s);
	if (there)
		buf_printf(out, " %d", r->value[cell]);
	else
		buf_append_str(out, " -");
	return there;
}

/* One row as rows() shows it, or nothing. */
static bool model_row(int k, int c, int d, int64_t now_s, struct buf *out)
{
	size_t start = out->end;
	buf_printf(out, "%d %d %d", k, c, d);
	show_cell(k, c, d, 2, now_s, out);
	bool there = show_cell(k, c, d, 0, now_s, out);
	there = show_cell(k, c, d, 1, now_s, out) || there;
	if (there || marked(k, c, d, now_s)) {
		buf_append_str(out, "|");
		return true;
	}
	out->end = start;
	return false;
}

static void model_partition(int k, const struct record *slice, bool reverse, int64_t now_s, struct buf *out)
{
	bool any = false;
	for (int i = 0; i < CS * DS; i++) {
		int at = reverse ? CS * DS - 1 - i : i, c = CS - 1 - at / DS, d = at % DS;
		if (!slice || within(slice, c, d))
			any = model_row(k, c, d, now_s, out) || any;
	}
	if (any || (slice && ((slice->from_kind && slice->from_count) || (slice->to_kind && slice->to_count))))
		return;
	size_t start = out->end;
	buf_printf(out, "%d - -", k);
	if (show_cell(k, 0, 0, 2, now_s, out))
		buf_append_str(out, " - -!|");
	else
		out->end = start;
}

/* ---- the store ---- */

static void random_bounds(struct record *r)
{
	r->from_kind = (enum store_bound_kind)pick(3);
	r->to_kind = (enum store_bound_kind)pick(3);
	r->from_count = (int)pick(3);
	r->to_count = (int)pick(3);
	r->from_c = (int)pick(CS);
	r->from_d = (int)pick(DS);
	r->to_c = (int)pick(CS);
	r->to_d = (int)pick(DS);
}

static void random_record(struct record *r, int64_t now_s)
{
	static const enum store_mutation_kind kinds[] = {
		STORE_UPSERT_INSERT, STORE_UPSERT_INSERT, STORE_UPSERT_INSERT, STORE_UPSERT_UPDATE, STORE_UPSERT_UPDATE,
		STORE_UPSERT_UPDATE, STORE_DELETE_CELLS,  STORE_DELETE_ROW,    STORE_DELETE_RANGE,  STORE_DELETE_PARTITION};
	*r = (struct record){.kind = kinds[pick(sizeof kinds / sizeof *kinds)],
			     .k = (int)pick(KS),
			     .c = (int)pick(purging ? 2 : CS), /* few rows, so that each has many pieces */
			     .d = (int)pick(purging ? 2 : DS),
			     .now_s = now_s};
	r->ts = purging ? now_s - (int64_t)pick(GRACE_S) : 1 + (int64_t)pick(60) + history_count / 20;
	if (r->kind == STORE_DELETE_PARTITION && pick(3)) /* not too often */
		r->kind = STORE_UPSERT_INSERT;
	if (r->kind == STORE_DELETE_RANGE)
		random_bounds(r);
	if (r->kind > STORE_DELETE_CELLS)
		return;
	if (r->kind != STORE_DELETE_CELLS && pick(4) == 0)
		r->ttl = 1 + (int)pick(50);
	bool static_only = pick(8) == 0;
	for (int i = 0; i < 3; i++) {
		r->has[i] = static_only ? i == 2 : pick(2);
		r->null[i] = r->kind == STORE_DELETE_CELLS || pick(6) == 0;
		r->value[i] = (int)pick(9);
	}
	if (static_only)
		r->c = -1;
}

static struct store_bound bound_of(enum store_bound_kind kind, int count, const struct store_cell *cells)
{
	return (struct store_bound){kind, (uint16_t)count, cells};
}

static void store_record(struct fixture *f, const struct store_table *t, const struct record *r)
{
	struct store_assignment a[3];
	struct int_value room[12];
	struct store_cell key[] = {int_cell(r->k, &room[0])}, clustering[] = {int_cell(r->c, &room[1]), int_cell(r->d, &room[2])};
	struct store_cell from[] = {int_cell(r->from_c, &room[3]), int_cell(r->from_d, &room[4])},
			  to[] = {int_cell(r->to_c, &room[5]), int_cell(r->to_d, &room[6])};
	struct store_mutation m = {.kind = r->kind, .table = t, .partition_key = key, .cells = a, .timestamp_us = r->ts, .ttl_s = r->ttl};
	if (r->kind <= STORE_DELETE_ROW && r->c >= 0)
		m.clustering = clustering;
	m.from = bound_of(r->from_kind, r->from_count, from);
	m.to = bound_of(r->to_kind, r->to_count, to);
	for (int i = 0; i < 3; i++)
		if (r->has[i])
			a[m.cell_count++] = (struct store_assignment){store_find_column(t, cell_names[i]),
								      r->null[i] ? NULL_CELL : int_cell(r->value[i], &room[8 + i])};
	assert_ok(apply_one(f, &m));
}

static void expect(struct fixture *f, const struct store_read *read, struct buf *expected)
{
	buf_u8(expected, 0);
	assert_rows(f, read, (const char *)expected->data);
	buf_clear(expected);
}

static void check_partition(struct fixture *f, const struct store_table *t, int k)
{
	int64_t now_s = (int64_t)(f->clock.now_us / 1000000);
	struct buf expected;
	struct int_value room[5];
	struct store_cell key = int_cell(k, &room[0]);
	struct store_read read = {.table = t, .partition_key = &key};
	buf_init(&expected);
	model_partition(k, NULL, false, now_s, &expected);
	expect(f, &read, &expected);
	struct record slice = {0};
	random_bounds(&slice);
	struct store_cell from[] = {int_cell(slice.from_c, &room[1]), int_cell(slice.from_d, &room[2])};
	struct store_cell to[] = {int_cell(slice.to_c, &room[3]), int_cell(slice.to_d, &room[4])};
	read.from = bound_of(slice.from_kind, slice.from_count, from);
	read.to = bound_of(slice.to_kind, slice.to_count, to);
	for (int reverse = 0; reverse < 2; reverse++) {
		read.reverse = reverse;
		model_partition(k, &slice, reverse, now_s, &expected);
		expect(f, &read, &expected);
	}
	read.reverse = false;
	read.from = read.to = bound_of(STORE_INCLUSIVE, 2, from); /* one row */
	slice = (struct record){.from_kind = STORE_INCLUSIVE,
				.to_kind = STORE_INCLUSIVE,
				.from_count = 2,
				.to_count = 2,
				.from_c = slice.from_c,
				.from_d = slice.from_d,
				.to_c = slice.from_c,
				.to_d = slice.from_d};
	model_partition(k, &slice, false, now_s, &expected);
	expect(f, &read, &expected);
	buf_done(&expected);
}

static void check_all(struct fixture *f, const struct store_table *t)
{
	struct buf expected;
	struct int_value room;
	int order[KS];
	buf_init(&expected);
	for (int i = 0; i < KS; i++) { /* by token */
		int at = i;
		int64_t token = store_token(t, &(struct store_cell){int_cell(i, &room).data, 4});
		for (; at > 0 && store_token(t, &(struct store_cell){int_cell(order[at - 1], &room).data, 4}) > token; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	for (int i = 0; i < KS; i++)
		model_partition(order[i], NULL, false, (int64_t)(f->clock.now_us / 1000000), &expected);
	struct store_read read = all_of(t);
	expect(f, &read, &expected);
	buf_done(&expected);
}

static void store_shows_what_the_model_shows(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	for (int round = 0; round < 12; round++) {
		char name[20];
		random_state = 1000003u * (uint64_t)(round + 1);
		history_count = 0;
		snprintf(name, sizeof name, "t%d", round);
		assert_ok(make_table(f, name, "k:int:p c:int:C d:int:c s:int:s a:int:r b:int:r", NULL));
		const struct store_table *t = table_of(f, name);
		for (int i = 0; i < 250; i++) {
			struct record *r = &history[history_count];
			random_record(r, (int64_t)(f->clock.now_us / 1000000));
			store_record(f, t, r);
			history_count++;
			f->clock.now_us += pick(3) * 1000000;
			if (i % 4 == 0)
				check_partition(f, t, r->k);
			if (i % 90 == 89) {
				fixture_reopen(f);
				t = table_of(f, name);
			}
			if (i % 25 == 24)
				check_all(f, t);
		}
	}
}

/* ---- purging ---- */

static void compact_all(struct fixture *f)
{
	rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
	rocksdb_compactoptions_set_bottommost_level_compaction(options, 2);
	rocksdb_compact_range_opt(db_of(f), options, NULL, 0, NULL, 0);
	rocksdb_compactoptions_destroy(options);
}

static bool compactions_under_way(struct fixture *f)
{
	uint64_t running = 0, pending = 0;
	assert_int_equal(rocksdb_property_int(db_of(f), "rocksdb.num-running-compactions", &running), 0);
	assert_int_equal(rocksdb_property_int(db_of(f), "rocksdb.compaction-pending", &pending), 0);
	return running || pending;
}

/* What lies in files, but not what lies in the memtable. */
static void compact_files(struct fixture *f)
{
	char *text = NULL;
	rocksdb_suggest_compact_range(db_of(f), "\0\0\0\0", 4, "\xff\xff\xff\xff", 4, &text);
	assert_null(text);
	while (compactions_under_way(f))
		usleep(200);
}

static void disturb(struct fixture *f)
{
	switch (pick(20)) {
	case 0: compact_all(f); break;
	case 1: store__sweep_round(store__engine_of(f->store), NULL); break;
	case 2:
	case 3: flush(f); break;
	case 4:
	case 5: /* what is due now is in files, what may be older in the memtable */
		f->clock.now_us += pick(2 * GRACE_S) * 1000000;
		compact_files(f);
		break;
	case 6: compact_files(f); break;
	default: break;
	}
}

/* How many keys the table has on disk, alive or not. */
static uint32_t keys_of(struct fixture *f, const struct store_table *t)
{
	uint8_t from[4];
	uint32_t n = 0;
	be32_put(from, t->number);
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_iterator_t *it = rocksdb_create_iterator(db_of(f), options);
	for (rocksdb_iter_seek(it, (char *)from, 4); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t size;
		n += be32_get((const uint8_t *)rocksdb_iter_key(it, &size)) == t->number;
	}
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	return n;
}

static void purging_is_not_seen_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	purging = true;
	for (int round = 0; round < rounds; round++) {
		char name[20];
		random_state = 7919u * (uint64_t)(round + 1);
		history_count = 0;
		snprintf(name, sizeof name, "t%d", round);
		assert_ok(make_table_graced(f, name, "k:int:p c:int:C d:int:c s:int:s a:int:r b:int:r", GRACE_S, NULL));
		const struct store_table *t = table_of(f, name);
		for (int i = 0; i < 300; i++) {
			struct record *r = &history[history_count];
			random_record(r, (int64_t)(f->clock.now_us / 1000000));
			store_record(f, t, r);
			history_count++;
			f->clock.now_us += pick(3) * 1000000;
			disturb(f);
			if (i % 4 == 0)
				check_partition(f, t, r->k);
			if (i % 120 == 119) {
				fixture_reopen(f);
				t = table_of(f, name);
			}
			if (i % 25 == 24)
				check_all(f, t);
		}
		for (int k = 0; k < KS; k++) {
			struct record *r = &history[history_count++];
			*r = (struct record){.kind = STORE_DELETE_PARTITION, .k = k, .ts = (int64_t)(f->clock.now_us / 1000000) + 1};
			store_record(f, t, r);
		}
		check_all(f, t);
		f->clock.now_us += (GRACE_S + 2) * 1000000ull;
		for (int i = 0; i < 3; i++)
			compact_all(f);
		assert_int_equal(keys_of(f, t), 0);
	}
	purging = false;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]); /* more than a test has time for */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(store_shows_what_the_model_shows, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(purging_is_not_seen_and_leaves_nothing, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
