/* What compactions leave out, and what they must keep. model_test.c has the same at random. */
#include "store/purge.h"
#include "store/testing.h"
#include <dirent.h>
#include <sys/stat.h>

#define GRACE_S 20
#define DAY_S 86400

static void later(struct fixture *f, int64_t seconds)
{
	f->clock.now_us += (uint64_t)seconds * 1000000;
}

static uint64_t table_bytes(struct fixture *f)
{
	uint64_t bytes = 0;
	DIR *d = opendir(f->dir);
	for (struct dirent *e; (e = readdir(d));) {
		char path[400];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", f->dir, e->d_name);
		if (strstr(e->d_name, ".sst") && stat(path, &st) == 0)
			bytes += (uint64_t)st.st_size;
	}
	closedir(d);
	return bytes;
}

static void sweep(struct fixture *f)
{
	uint32_t stuck;
	assert_true(store__sweep_round(store__engine_of(f->store), &stuck) > 0);
	assert_int_equal(stuck, 0);
	assert_int_equal(store__sweep_round(store__engine_of(f->store), &stuck), 0);
}

#define FILL 1000
/* Rows 0 .. FILL * batches - 1 of k int, v text, with values that do not compress. */
static void fill(struct fixture *f, const struct store_table *t, int batches, int32_t ttl_s)
{
	static uint64_t texts[FILL][64];
	static struct store_mutation mutations[FILL];
	static struct store_assignment cells[FILL];
	static struct store_cell keys[FILL];
	static struct int_value rooms[FILL];
	uint64_t x = 88172645463325252u;
	for (int i = 0; i < batches * FILL; i++) {
		int at = i % FILL;
		for (size_t j = 0; j < 64; j++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			texts[at][j] = (x & 0x3f3f3f3f3f3f3f3fu) + 0x2020202020202020u;
		}
		keys[at] = int_cell(i, &rooms[at]);
		cells[at] = (struct store_assignment){store_find_column(t, "v"), {(uint8_t *)texts[at], sizeof texts[at]}};
		mutations[at] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
							.table = t,
							.partition_key = &keys[at],
							.cells = &cells[at],
							.cell_count = 1,
							.timestamp_us = 100 + i,
							.ttl_s = ttl_s};
		if (at == FILL - 1)
			assert_ok(store_apply_wait(f->store, &(struct store_batch){.mutations = mutations, .count = FILL}));
	}
	flush(f);
}

static void directory_shrinks_when_rows_have_expired(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table_graced(f, "t", "k:int:p v:text:r", GRACE_S, NULL));
	fill(f, table_of(f, "t"), 4, 100);
	uint64_t before = table_bytes(f);
	assert_true(before > 4000 * 400);
	assert_int_equal(store__sweep_round(store__engine_of(f->store), NULL), 0);
	later(f, 100 + GRACE_S + 1);
	sweep(f);
	assert_true(table_bytes(f) < 20000);
}

static void value_goes_before_its_cell(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:text:r", NULL));
	const struct store_table *t = table_of(f, "t");
	fill(f, t, 4, 100);
	uint64_t before = table_bytes(f);
	later(f, 2 * 3600);
	sweep(f);
	assert_true(table_bytes(f) < before / 4);
	/* the cell itself still wins over what is older */
	assert_ok(insert(f, t, KEY(INT(7)), NULL, "v", TEXT("older"), 106, 0));
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(7))}, "");
	assert_ok(insert(f, t, KEY(INT(7)), NULL, "v", TEXT("the same time"), 107, 3 * 3600));
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(7))}, "7 the same time|");
}

static void deleted_rows_and_dropped_tables_free_their_space(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "gone", "k:int:p v:text:r", NULL));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:text:r", NULL));
	fill(f, table_of(f, "gone"), 2, 0);
	const struct store_table *t = table_of(f, "t");
	for (int i = 0; i < 2000; i++)
		assert_ok(insert(f, t, KEY(INT(i % 10)), KEY(INT(i)), "v", TEXT("what is covered by a deletion needs no grace"), 10, 0));
	flush(f);
	for (int i = 0; i < 10; i++) {
		struct store_mutation m = {.kind = STORE_DELETE_PARTITION, .table = t, .partition_key = KEY(INT(i)), .timestamp_us = 11};
		assert_ok(apply_one(f, &m));
	}
	flush(f);
	assert_ok(change_table(f, STORE_DROP_TABLE, "gone"));
	flush(f);
	assert_true(table_bytes(f) > 2000 * 400);
	sweep(f);
	assert_true(table_bytes(f) < 20000);
	assert_rows(f, &(struct store_read){.table = table_of(f, "t"), .partition_key = KEY(INT(3))}, "");
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(3)), KEY(INT(3)), "v", TEXT("late"), 11, 0));
	assert_rows(f, &(struct store_read){.table = table_of(f, "t"), .partition_key = KEY(INT(3))}, "");
}

/* ---- the judge, with pieces where a compaction does not see them ---- */

/* What becomes of the row (k, c) or of the partition's deletion, given that a compaction has `value` of it. */
static enum store__fate judge(struct fixture *f, const struct store_table *t, int k, int c, const struct store__row *value)
{
	struct store__judge j;
	struct buf key, encoded, out, partition;
	struct int_value room[2];
	struct store_cell clustering = int_cell(c, &room[1]);
	struct store__schema *schema = store__engine_schema(store__engine_of(f->store));
	buf_init(&key);
	buf_init(&encoded);
	buf_init(&out);
	buf_init(&partition);
	assert_ok(store__partition_bytes(t, &(struct store_cell){int_cell(k, &room[0]).data, 4}, &partition));
	store__key_prefix(t->number, buf_bytes(&partition), &key);
	buf_u8(&key, c < 0 ? STORE_KEY_PARTITION_DELETION : STORE_KEY_ROW);
	if (c >= 0)
		assert_ok(store__clustering_encode(t, &clustering, 1, &key));
	store__row_encode(value, &encoded);
	store__judge_init(&j, db_of(f), schema, (int64_t)(f->clock.now_us / 1000000), false);
	enum store__fate fate = store__judge(&j, buf_bytes(&key), buf_bytes(&encoded), 1, &out);
	store__judge_done(&j);
	store__schema_unref(schema);
	buf_done(&key);
	buf_done(&encoded);
	buf_done(&out);
	buf_done(&partition);
	return fate;
}

static enum sm_err delete_row(struct fixture *f, const struct store_table *t, int k, int c, int64_t timestamp_us)
{
	struct store_mutation m = {.kind = c < 0 ? STORE_DELETE_PARTITION : STORE_DELETE_ROW,
				   .table = t,
				   .partition_key = KEY(INT(k)),
				   .clustering = c < 0 ? NULL : KEY(INT(c)),
				   .timestamp_us = timestamp_us};
	return apply_one(f, &m);
}

static void deletion_stays_while_an_older_piece_is_anywhere(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table_graced(f, "t", "k:int:p c:int:c v:int:r", GRACE_S, NULL));
	const struct store_table *t = table_of(f, "t");
	struct store__row deleted;
	store__row_init(&deleted);
	deleted.deleted_us = 100;
	deleted.deleted_s = (int64_t)(f->clock.now_us / 1000000);
	assert_ok(delete_row(f, t, 1, 1, 100));
	assert_int_equal(judge(f, t, 1, 1, &deleted), STORE_FATE_KEEP); /* too early */
	later(f, GRACE_S + 1);
	assert_int_equal(judge(f, t, 1, 1, &deleted), STORE_FATE_DROP);
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(1)), "v", INT(5), 200, 0));
	assert_int_equal(judge(f, t, 1, 1, &deleted), STORE_FATE_DROP);
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(1)), "v", INT(5), 100, 0));
	assert_int_equal(judge(f, t, 1, 1, &deleted), STORE_FATE_KEEP); /* this one would come back */
	assert_int_equal(judge(f, t, 1, 2, &deleted), STORE_FATE_KEEP); /* nobody knows such a row: something is wrong */

	deleted.deleted_s = (int64_t)(f->clock.now_us / 1000000);
	assert_ok(delete_row(f, t, 2, -1, 100));
	assert_ok(insert(f, t, KEY(INT(2)), KEY(INT(1)), "v", INT(5), 101, 0));
	later(f, GRACE_S + 1);
	assert_int_equal(judge(f, t, 2, -1, &deleted), STORE_FATE_DROP);
	assert_ok(insert(f, t, KEY(INT(2)), KEY(INT(9)), "v", INT(5), 100, 0));
	assert_int_equal(judge(f, t, 2, -1, &deleted), STORE_FATE_KEEP);
}

static void covered_row_goes_at_once_wherever_the_deletion_is(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store__row row;
	store__row_init(&row);
	row.marker_us = 50;
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(1)), "v", INT(5), 50, 0));
	assert_int_equal(judge(f, t, 1, 1, &row), STORE_FATE_KEEP);
	struct store_mutation m = {.kind = STORE_DELETE_RANGE, .table = t, .partition_key = KEY(INT(1)), .timestamp_us = 50};
	m.from = (struct store_bound){STORE_INCLUSIVE, 1, KEY(INT(0))};
	m.to = (struct store_bound){STORE_EXCLUSIVE, 1, KEY(INT(1))};
	assert_ok(apply_one(f, &m));
	assert_int_equal(judge(f, t, 1, 1, &row), STORE_FATE_KEEP);
	m.to.kind = STORE_INCLUSIVE;
	assert_ok(apply_one(f, &m));
	assert_int_equal(judge(f, t, 1, 1, &row), STORE_FATE_DROP);
	row.marker_us = 51;
	assert_int_equal(judge(f, t, 1, 1, &row), STORE_FATE_KEEP);
}

/* ---- many pieces ---- */

static uint64_t pieces_of(struct fixture *f, const struct store_table *t)
{
	uint8_t from[4];
	be32_put(from, t->number);
	rocksdb_set_perf_level(rocksdb_enable_count);
	rocksdb_perfcontext_t *context = rocksdb_perfcontext_create();
	rocksdb_perfcontext_reset(context);
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_iterator_t *it = rocksdb_create_iterator(db_of(f), options);
	rocksdb_iter_seek(it, (char *)from, 4);
	assert_true(rocksdb_iter_valid(it));
	uint64_t n = rocksdb_perfcontext_metric(context, rocksdb_internal_merge_count);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	rocksdb_perfcontext_destroy(context);
	rocksdb_set_perf_level(rocksdb_disable);
	return n;
}

static void row_overwritten_a_million_times_has_few_pieces(void **state)
{
	enum { EACH = 5000 };
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	static struct store_mutation mutations[EACH];
	static struct store_assignment cells[EACH];
	static struct int_value values[EACH];
	struct int_value room;
	struct store_cell key = int_cell(1, &room);
	uint64_t most = 0;
	for (int batch = 0; batch < 1000000 / EACH; batch++) {
		for (int i = 0; i < EACH; i++) {
			cells[i] = (struct store_assignment){store_find_column(t, "v"), int_cell(batch * EACH + i, &values[i])};
			mutations[i] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
							       .table = t,
							       .partition_key = &key,
							       .cells = &cells[i],
							       .cell_count = 1,
							       .timestamp_us = 1 + batch * EACH + i};
		}
		assert_ok(store_apply_wait(f->store, &(struct store_batch){.mutations = mutations, .count = EACH}));
		uint64_t n = pieces_of(f, t);
		most = n > most ? n : most;
	}
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "1 999999|");
	/* in the memtable so many; in each file one */
	assert_true(most <= STORE_MERGES_MAX + 16);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(directory_shrinks_when_rows_have_expired),          T(value_goes_before_its_cell),
		T(deleted_rows_and_dropped_tables_free_their_space),  T(deletion_stays_while_an_older_piece_is_anywhere),
		T(covered_row_goes_at_once_wherever_the_deletion_is), T(row_overwritten_a_million_times_has_few_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
