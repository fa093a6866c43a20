/* Damaged files of tables, of the manifest, of the directory: nothing is lost or changed without a word, and what is whole is served. */
#include "store/check.h"
#include "base/hash.h"
#include "store/testing.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ROWS 600

struct place {
	char dir[64], copy[80];
};

static void open_at(struct fixture *f, const char *dir)
{
	*f = (struct fixture){.dir = ""};
	clock_manual_init(&f->clock, 1700000000000000u);
	snprintf(f->dir, sizeof f->dir, "%s", dir);
	fixture_reopen(f);
}

static void close_it(struct fixture *f)
{
	f->store->ops->schema_release(f->store, f->schema);
	(void)f->store->ops->close(f->store, NULL);
}

/* The value of row k: 100 bytes that do not compress. */
static void value_of(int k, char out[101])
{
	uint64_t x = (uint64_t)k * 2654435761u + 1;
	for (int i = 0; i < 100; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[i] = (char)('!' + x % 90);
	}
	out[100] = 0;
}

static int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	struct fixture f;
	strcpy(p->dir, "/tmp/smack-store-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->copy, sizeof p->copy, "%s-copy", p->dir);
	open_at(&f, p->dir);
	assert_ok(make_keyspace(&f, "ks"));
	assert_ok(make_table(&f, "t", "k:int:p v:text:r", NULL));
	const struct store_table *t = table_of(&f, "t");
	static struct store_mutation mutations[ROWS];
	static struct store_assignment cells[ROWS];
	static struct store_cell keys[ROWS];
	static struct int_value rooms[ROWS];
	static char values[ROWS][101];
	for (int k = 0; k < ROWS; k++) {
		value_of(k, values[k]);
		keys[k] = int_cell(k, &rooms[k]);
		cells[k] = (struct store_assignment){store_find_column(t, "v"), {(uint8_t *)values[k], 100}};
		mutations[k] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
						       .table = t,
						       .partition_key = &keys[k],
						       .cells = &cells[k],
						       .cell_count = 1,
						       .timestamp_us = 1};
	}
	assert_ok(store_apply_wait(f.store, &(struct store_batch){.mutations = mutations, .count = ROWS}));
	close_it(&f);
	*state = p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;
	assert_ok(io_remove_tree(&io_system, p->dir, NULL));
	if (access(p->copy, F_OK) == 0)
		assert_ok(io_remove_tree(&io_system, p->copy, NULL));
	free(p);
	return 0;
}

/* A fresh copy of the directory; ret_path: the file in it whose name holds `part`. */
static size_t fresh_copy(struct place *p, const char *part, char ret_path[400])
{
	struct stat st = {0};
	if (access(p->copy, F_OK) == 0)
		assert_ok(io_remove_tree(&io_system, p->copy, NULL));
	assert_ok(io_mkdir_all(&io_system, p->copy, NULL));
	DIR *d = opendir(p->dir);
	for (struct dirent *e; (e = readdir(d));) {
		char from[400], to[400];
		uint8_t *data;
		size_t size;
		if (e->d_name[0] == '.')
			continue;
		snprintf(from, sizeof from, "%s/%s", p->dir, e->d_name);
		snprintf(to, sizeof to, "%s/%s", p->copy, e->d_name);
		assert_ok(io_read_file(&io_system, from, 1 << 28, &data, &size, NULL));
		FILE *f = fopen(to, "w");
		assert_int_equal(fwrite(data, 1, size, f), size);
		fclose(f);
		free(data);
		if (strstr(e->d_name, part))
			snprintf(ret_path, 400, "%s", to);
	}
	closedir(d);
	assert_int_equal(stat(ret_path, &st), 0);
	return (size_t)st.st_size;
}

static void flip(const char *path, size_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t c;
	assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
	c ^= (uint8_t)(1u << at % 8);
	assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
	close(fd);
}

struct outcome {
	enum sm_err opened, scanned, scanned_z, written;
	int fine, refused, rows, lost; /* lost: rows of z that are refused */
	struct sm_error error;
	char notice[600];
};

static void noticed(void *arg, const char *text)
{
	struct outcome *o = arg;
	snprintf(o->notice, sizeof o->notice, "%s", text);
}

/* Open the copy, read each row by its key, and all in one scan. */
static void look(struct place *p, struct outcome *o)
{
	*o = (struct outcome){0};
	struct sm_store *store;
	struct store_embedded_options options = {.dir = p->copy, .notice = noticed, .notice_arg = o};
	if ((o->opened = store_embedded_open(&options, &store, &o->error)))
		return;
	const struct store_schema *schema = store->ops->schema(store);
	const struct store_table *t = store_find_table(schema, "ks", "t");
	assert_non_null(t);
	struct store_cursor *c;
	const struct store_row *row;
	for (int k = 0; k < ROWS; k++) {
		char expected[101];
		struct store_read read = {.table = t, .partition_key = KEY(INT(k))};
		assert_ok(store->ops->open(store, &read, &c, NULL));
		enum sm_err err = store->ops->next(c, &row);
		if (err) {
			assert_err(err, SM_CORRUPT);
			o->refused++;
		} else {
			value_of(k, expected);
			assert_int_equal(row->cells[1].size, 100);
			assert_memory_equal(row->cells[1].data, expected, 100);
			o->fine++;
		}
		store->ops->close_cursor(c);
	}
	struct store_read all = {.table = t, .token_from = INT64_MIN, .token_to = INT64_MAX};
	assert_ok(store->ops->open(store, &all, &c, NULL));
	while (!(o->scanned = store->ops->next(c, &row)))
		o->rows++;
	store->ops->close_cursor(c);
	const struct store_table *z = store_find_table(schema, "ks", "z");
	for (int k = 0; z && k < 45; k++) {
		struct store_read read = {.table = z, .partition_key = KEY(INT(k))};
		assert_ok(store->ops->open(store, &read, &c, NULL));
		enum sm_err err = store->ops->next(c, &row);
		if (err)
			assert_err(err, SM_CORRUPT);
		o->lost += err != SM_OK;
		store->ops->close_cursor(c);
	}
	struct store_read all_z = {.table = z, .token_from = INT64_MIN, .token_to = INT64_MAX};
	if (z) {
		assert_ok(store->ops->open(store, &all_z, &c, NULL));
		while (!(o->scanned_z = store->ops->next(c, &row)))
			;
		store->ops->close_cursor(c);
	}
	struct store_mutation m = {.kind = STORE_DELETE_PARTITION, .table = t, .partition_key = KEY(INT(0)), .timestamp_us = 0};
	o->written = store_apply_wait(store, &(struct store_batch){.mutations = &m, .count = 1});
	store->ops->schema_release(store, schema);
	(void)store->ops->close(store, NULL);
}

static void said(void *arg, enum store_check_kind kind, const char *text)
{
	if (kind == STORE_CHECK_PROBLEM)
		snprintf(arg, 600, "%s", text);
}

/* Problems that a check of the copy finds; the last one's text. */
static uint32_t problems_of(struct place *p, char text[600])
{
	struct store_check_totals totals;
	struct sm_error error;
	struct store_check check = {.dir = p->copy, .say = said, .arg = text};
	text[0] = 0;
	if (store_check(&check, &totals, &error))
		fail_msg("%s", error.text);
	return totals.problems;
}

static void damaged_table_file_refuses_what_it_hits_and_serves_the_rest(void **state)
{
	struct place *p = *state;
	char path[400];
	char text[600];
	int partly = 0, whole = 0, not_opened = 0;
	size_t size = fresh_copy(p, ".sst", path);
	assert_int_equal(problems_of(p, text), 0);
	for (size_t at = 0; at<size; at += at> size - 100 ? 7 : 1013) {
		struct outcome o;
		fresh_copy(p, ".sst", path);
		flip(path, at);
		uint32_t problems = problems_of(p, text);
		look(p, &o);
		if (o.opened || o.notice[0] || o.refused)
			assert_true(problems > 0 && strstr(text, ".sst"));
		else
			assert_int_equal(problems, 0);
		if (o.opened) { /* the schema is in it */
			assert_err(o.opened, SM_CORRUPT);
			assert_non_null(strstr(o.error.text, "smack-store"));
			not_opened++;
			continue;
		}
		assert_int_equal(o.fine + o.refused, ROWS);
		whole += o.fine == ROWS;
		partly += o.fine != ROWS;
		if (o.fine == ROWS)
			assert_true(o.scanned == SM_END && o.rows == ROWS);
		else
			assert_true(o.fine >= ROWS * 8 / 10 && o.scanned == SM_CORRUPT);
		assert_err(o.written, o.notice[0] ? SM_CORRUPT : SM_OK);
	}
	assert_true(partly > 40 && whole > 0 && not_opened > 0 && not_opened < 40);
}

/* Rows behind the others in a table of their own, so many that the last level has a file without the schema. */
static void add_files(struct place *p)
{
	enum { BYTES = 2 << 20 };
	struct fixture f;
	uint64_t x = 88172645463325252u;
	uint64_t *text = malloc(BYTES);
	open_at(&f, p->dir);
	assert_ok(make_table(&f, "z", "k:int:p v:blob:r", NULL));
	const struct store_table *z = table_of(&f, "z");
	for (int k = 0; k < 45; k++) {
		for (size_t i = 0; i < BYTES / 8; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			text[i] = x;
		}
		assert_ok(insert(&f, z, KEY(INT(k)), NULL, "v", (struct store_cell){(uint8_t *)text, BYTES}, 1, 0));
	}
	free(text);
	rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
	rocksdb_compactoptions_set_bottommost_level_compaction(options, 2);
	rocksdb_compact_range_opt(store__engine_of(f.store)->rocks.db, options, NULL, 0, NULL, 0);
	rocksdb_compactoptions_destroy(options);
	close_it(&f);
}

static void newest_file(struct place *p, const char *part, char ret_path[400])
{
	char best[256] = "";
	DIR *d = opendir(p->copy);
	for (struct dirent *e; (e = readdir(d));)
		if (strstr(e->d_name, part) && strcmp(e->d_name, best) > 0)
			snprintf(best, sizeof best, "%s", e->d_name);
	closedir(d);
	snprintf(ret_path, 400, "%s/%s", p->copy, best);
}

static void table_file_that_rocksdb_refuses_makes_the_store_read_only(void **state)
{
	struct place *p = *state;
	char path[400], text[600];
	add_files(p);
	for (int what = 0; what < 4; what++) {
		struct outcome o;
		struct stat st;
		fresh_copy(p, ".sst", path);
		newest_file(p, ".sst", path);
		assert_int_equal(stat(path, &st), 0);
		if (what == 0)
			flip(path, (size_t)st.st_size - 3); /* the footer */
		else if (what == 1)
			assert_int_equal(truncate(path, st.st_size / 2), 0);
		else if (what == 2)
			assert_int_equal(truncate(path, 0), 0);
		else
			assert_int_equal(unlink(path), 0);
		assert_true(problems_of(p, text) > 0);
		look(p, &o);
		if (o.opened)
			fail_msg("%d: %s", what, o.error.text);
		assert_non_null(strstr(o.notice, "read-only"));
		*strrchr(path, '.') = 0;
		assert_non_null(strstr(o.notice, strrchr(path, '/') + 1));
		assert_err(o.written, SM_CORRUPT);
		assert_int_equal(o.fine, ROWS);
		assert_true(o.scanned == SM_END && o.rows == ROWS);
		assert_true(o.lost > 0 && o.lost < 45);
		assert_err(o.scanned_z, SM_CORRUPT);
	}
}

/* A file with nothing but entries without an order of the index, and not the first of them; ret_path: where it is. */
static void find_entries(struct fixture *f, uint32_t number, char ret_path[400])
{
	const rocksdb_livefiles_t *files = rocksdb_livefiles(db_of(f));
	uint8_t without_order[5];
	be32_put(without_order, number);
	without_order[4] = 0;
	uint32_t found = 0;
	for (int i = 0; i < rocksdb_livefiles_count(files) && found < 2; i++) {
		size_t size;
		const char *first = rocksdb_livefiles_smallestkey(files, i, &size), *last = rocksdb_livefiles_largestkey(files, i, &size);
		if (memcmp(first, without_order, 5) != 0 || memcmp(last, without_order, 5) != 0)
			continue;
		found++;
		snprintf(ret_path, 400, "%s%s", f->dir, rocksdb_livefiles_name(files, i));
	}
	rocksdb_livefiles_destroy(files);
	assert_int_equal(found, 2);
}

static void damaged_file_of_entries_without_an_order_refuses_a_range_each_time(void **state)
{
	struct place *p = *state;
	struct fixture f;
	struct sm_store *store;
	struct store_cursor *c;
	const struct store_row *row;
	char path[400], *text = NULL;
	open_at(&f, p->dir);
	const char *option = "target_file_size_base", *size = "32768";
	rocksdb_set_options(db_of(&f), 1, &option, &size, &text);
	assert_null(text);
	assert_ok(make_table(&f, "w", "k:text:p v:int:r", NULL));
	assert_ok(make_index(&f, "w", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(&f, "w");
	for (int k = 0; k < ROWS; k++) {
		char key[1001];
		for (int i = 0; i < 10; i++)
			value_of(k * 10 + i, key + i * 100);
		assert_ok(insert(&f, table_of(&f, "w"), KEY(TEXT(key)), NULL, "v", k % 2 ? INT(k) : TEXT(""), 1, 0));
	}
	flush(&f);
	rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
	rocksdb_compactoptions_set_bottommost_level_compaction(options, 2);
	rocksdb_compact_range_opt(db_of(&f), options, NULL, 0, NULL, 0);
	rocksdb_compactoptions_destroy(options);
	find_entries(&f, table_of(&f, "w")->indexes[0].number, path);
	close_it(&f);
	assert_int_equal(unlink(path), 0);
	struct outcome o = {0};
	struct store_embedded_options again = {.dir = p->dir, .notice = noticed, .notice_arg = &o};
	if (store_embedded_open(&again, &store, &o.error))
		fail_msg("%s", o.error.text);
	assert_non_null(strstr(o.notice, "read-only"));
	const struct store_schema *schema = store->ops->schema(store);
	struct store_condition where = {.index = "by_v", .from_kind = STORE_INCLUSIVE, .from = INT(0)};
	struct store_read read = all_of(store_find_table(schema, "ks", "w"));
	read.where = &where;
	assert_ok(store->ops->open(store, &read, &c, NULL));
	assert_err(store->ops->next(c, &row), SM_CORRUPT);
	assert_err(store->ops->next(c, &row), SM_CORRUPT);
	store->ops->close_cursor(c);
	assert_int_equal(atomic_load(&store__engine_of(store)->gate.users), 0);
	/* an equal value is elsewhere */
	where = equal_to("by_v", INT(7));
	assert_ok(store->ops->open(store, &read, &c, NULL));
	assert_ok(store->ops->next(c, &row));
	store->ops->close_cursor(c);
	store->ops->schema_release(store, schema);
	(void)store->ops->close(store, NULL);
}

static void damaged_manifest_is_refused(void **state)
{
	struct place *p = *state;
	static const char *const files[] = {"MANIFEST", "CURRENT"};
	for (int i = 0; i < 2; i++) {
		char path[400];
		int refused = 0;
		struct outcome o;
		size_t size = fresh_copy(p, files[i], path), last = i ? 0 : 110; /* its last record looks like a torn end */
		for (size_t at = 0; at + last < size; at += i ? 1 : 5) {
			fresh_copy(p, files[i], path);
			flip(path, at);
			look(p, &o);
			if (!o.opened)
				fail_msg("%s with a bit flipped at %zu of %zu opens", files[i], at, size);
			assert_non_null(strstr(o.error.text, "smack-store"));
			refused++;
		}
		assert_true(refused > 10);
		fresh_copy(p, files[i], path);
		assert_int_equal(unlink(path), 0);
		look(p, &o);
		assert_int_not_equal(o.opened, SM_OK);
	}
}

static void newer_format_and_second_process_are_refused(void **state)
{
	struct place *p = *state;
	struct fixture f;
	struct sm_store *second;
	struct sm_error error;
	open_at(&f, p->dir);
	struct store_embedded_options options = {.dir = p->dir};
	assert_err(store_embedded_open(&options, &second, &error), SM_BUSY);
	char *text = NULL;
	static const char next[] = "\0\0\0\0a/new", format[] = "\0\0\0\0format";
	rocksdb_t *db = store__engine_of(f.store)->rocks.db;
	rocksdb_writeoptions_t *o = rocksdb_writeoptions_create();
	rocksdb_put(db, o, next, sizeof next - 1, "?", 1, &text);
	rocksdb_put(db, o, format, sizeof format - 1, "\0\0\0\4", 4, &text);
	rocksdb_writeoptions_destroy(o);
	close_it(&f);
	assert_err(store_embedded_open(&options, &second, &error), SM_VERSION);
	assert_non_null(strstr(error.text, "has format 4"));
}

/* ---- the manifest's end ---- */

/* Behind the good records one of 700 bytes, whole and right. Returns where it begins. */
static size_t append_record(const char *path)
{
	uint8_t record[707];
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	memset(record, 'x', sizeof record);
	record[4] = 700 & 255;
	record[5] = 700 >> 8;
	record[6] = 1;
	uint32_t crc = crc32c(0, record + 6, 701);
	crc = (crc >> 15 | crc << 17) + 0xa282ead8u;
	for (int i = 0; i < 4; i++)
		record[i] = (uint8_t)(crc >> 8 * i);
	FILE *f = fopen(path, "a");
	assert_int_equal(fwrite(record, 1, sizeof record, f), sizeof record);
	fclose(f);
	return (size_t)st.st_size;
}

static void zero(const char *path, size_t from, size_t to)
{
	static const uint8_t zeros[1024];
	int fd = open(path, O_RDWR);
	assert_true(to - from <= sizeof zeros);
	assert_int_equal(pwrite(fd, zeros, to - from, (off_t)from), to - from);
	close(fd);
}

static void half_written_last_record_of_the_manifest_is_cut_off(void **state)
{
	struct place *p = *state;
	char path[400];
	struct outcome o;
	for (int which = 0; which < 3; which++) {
		fresh_copy(p, "MANIFEST", path);
		size_t at = append_record(path), sector = at - at % 512 + 512;
		if (which == 0)
			zero(path, at, sector); /* what its first sector has of it */
		else if (which == 1)
			zero(path, sector, sector + (at + 707 - sector < 512 ? at + 707 - sector : 512));
		else
			zero(path, (at + 706) - (at + 706) % 512, at + 707);
		look(p, &o);
		if (o.opened)
			fail_msg("%d: %s", which, o.error.text);
		assert_int_equal(o.fine, ROWS);
		assert_true(o.scanned == SM_END && o.rows == ROWS);
	}
}

/* A group of records is synced once: the second may be there without the first. */
static void records_that_lack_one_before_them_are_cut_off(void **state)
{
	struct place *p = *state;
	char path[400];
	struct outcome o;
	for (int which = 0; which < 2; which++) {
		fresh_copy(p, "MANIFEST", path);
		size_t at = append_record(path), sector = at - at % 512 + 512;
		append_record(path);
		if (which == 0)
			zero(path, at, sector);
		else
			zero(path, sector, sector + 512 < at + 707 ? sector + 512 : at + 707);
		look(p, &o);
		if (sector + 512 > at + 707 && which == 1) { /* what the next record has of the sector is there */
			assert_err(o.opened, SM_CORRUPT);
			continue;
		}
		if (o.opened)
			fail_msg("%d: %s", which, o.error.text);
		assert_int_equal(o.fine, ROWS);
	}
	fresh_copy(p, "MANIFEST", path);
	size_t at = append_record(path);
	append_record(path);
	flip(path, at + 300);
	look(p, &o);
	assert_err(o.opened, SM_CORRUPT);
}

/* A record of which every sector was written was synced, and something may have been deleted since that only it knew to be done with. */
static void damaged_last_record_of_the_manifest_is_told(void **state)
{
	struct place *p = *state;
	char path[400];
	struct outcome o;
	fresh_copy(p, "MANIFEST", path);
	flip(path, append_record(path) + 300);
	look(p, &o);
	assert_err(o.opened, SM_CORRUPT);
	assert_non_null(strstr(o.error.text, "MANIFEST"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)
	const struct CMUnitTest tests[] = {
		T(damaged_table_file_refuses_what_it_hits_and_serves_the_rest),
		T(table_file_that_rocksdb_refuses_makes_the_store_read_only),
		T(damaged_file_of_entries_without_an_order_refuses_a_range_each_time),
		T(damaged_manifest_is_refused),
		T(half_written_last_record_of_the_manifest_is_cut_off),
		T(records_that_lack_one_before_them_are_cut_off),
		T(damaged_last_record_of_the_manifest_is_told),
		T(newer_format_and_second_process_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
