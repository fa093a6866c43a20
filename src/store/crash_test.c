/* Kills and damaged logs. The writers are processes of their own (this program again, with arguments): a store is never opened in a
 * forked copy of a process that had one open. */
#include "store/testing.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ROWS 400

/* ---- the writing process ---- */

static void acknowledged(void *arg, enum sm_err err)
{
	/* one number a line: which row is acknowledged */
	if (!err && write(STDOUT_FILENO, &(uint32_t){(uint32_t)(uintptr_t)arg}, 4) != 4)
		_exit(3);
	if (err)
		_exit(4);
}

/* Write rows first .. first + count - 1, each with size bytes of text; in order, `wide` under way at a time; then end without closing. */
static int write_rows(const char *dir, uint32_t first, uint32_t count, uint32_t size, bool wait)
{
	struct fixture f = {.dir = ""};
	clock_manual_init(&f.clock, 1700000000000000u);
	snprintf(f.dir, sizeof f.dir, "%s", dir);
	fixture_reopen(&f);
	if (!store_find_keyspace(f.schema, "ks")) {
		assert_ok(make_keyspace(&f, "ks"));
		assert_ok(make_table(&f, "t", "k:int:p v:text:r", NULL));
		if (size < 1000) /* large rows are to fit into one log as they are */
			assert_ok(make_index(&f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
		wait_until_built(&f, "t");
	}
	const struct store_table *t = table_of(&f, "t");
	char *text = malloc(size + 1);
	memset(text, 'x', size);
	text[size] = 0;
	for (uint32_t i = first; i < first + count; i++) {
		struct int_value room;
		struct store_cell key = int_cell((int32_t)i, &room);
		struct store_assignment a = {store_find_column(t, "v"), {(uint8_t *)text, (int32_t)size}};
		struct store_mutation m = {.kind = STORE_UPSERT_INSERT,
					   .table = t,
					   .partition_key = &key,
					   .cells = &a,
					   .cell_count = 1,
					   .timestamp_us = i + 1};
		struct store_batch b = {.mutations = &m, .count = 1};
		if (wait) {
			assert_ok(store_apply_wait(f.store, &b));
			acknowledged((void *)(uintptr_t)i, SM_OK);
		} else {
			f.store->ops->apply(f.store, &b, acknowledged, (void *)(uintptr_t)i);
			if (i % 64 == 0)
				assert_ok(store_apply_wait(f.store, &(struct store_batch){.job = NULL}));
		}
	}
	_exit(0);
}

/* Write rows until the log may not grow any more (a file size limit); then nothing may be acknowledged, and reads go on. */
static int write_to_the_limit(const char *dir)
{
	struct fixture f = {.dir = ""};
	clock_manual_init(&f.clock, 1700000000000000u);
	snprintf(f.dir, sizeof f.dir, "%s", dir);
	fixture_reopen(&f);
	assert_ok(make_keyspace(&f, "ks"));
	assert_ok(make_table(&f, "t", "k:int:p v:text:r", NULL));
	const struct store_table *t = table_of(&f, "t");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, RLIM_INFINITY}), 0);
	uint32_t first_refused = 0;
	for (uint32_t i = 0; i < ROWS; i++) {
		enum sm_err err = insert(&f, t, KEY(INT((int32_t)i)), NULL, "v",
					 TEXT("several hundred bytes would be here, in several hundred bytes' worth of text, "
					      "so that the file's limit comes soon: several hundred bytes would be here, in "
					      "several hundred bytes' worth of text, so that the file's limit comes soon"),
					 1, 0);
		if (!err && first_refused)
			_exit(5); /* acknowledged after a failure */
		if (!err)
			acknowledged((void *)(uintptr_t)i, SM_OK);
		else if (err != SM_IO && err != SM_NO_SPACE)
			_exit(6);
		else if (!first_refused)
			first_refused = i;
	}
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
	if (!first_refused || !insert(&f, t, KEY(INT(1)), NULL, "v", TEXT("x"), 1, 0))
		_exit(7);
	char *got = rows(&f, &(struct store_read){.table = t, .partition_key = KEY(INT(0))});
	if (strncmp(got, "0 several", 9) != 0)
		_exit(8);
	_exit(0);
}

/* Start this program again with `dir` before the other words; ret_out: where its acknowledgements come. */
static pid_t start_process(const char *dir, const char *const *words, int *ret_out)
{
	int ends[2];
	const char *args[9] = {"crash_test", words[0], dir};
	for (int i = 1; words[i]; i++)
		args[i + 2] = words[i];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execv("/proc/self/exe", (char *const *)args);
		_exit(9);
	}
	close(ends[1]);
	*ret_out = ends[0];
	return pid;
}

static pid_t start_writer(const char *dir, uint32_t first, uint32_t count, uint32_t size, bool wait, int *ret_out)
{
	char a[20], b[20], c[20];
	snprintf(a, sizeof a, "%u", first);
	snprintf(b, sizeof b, "%u", count);
	snprintf(c, sizeof c, "%u", size);
	return start_process(dir, (const char *[]){"write", a, b, c, wait ? "wait" : "stream", NULL}, ret_out);
}

static void write_and_die(const char *dir, uint32_t first, uint32_t count, uint32_t size)
{
	int out, status;
	pid_t pid = start_writer(dir, first, count, size, true, &out);
	uint32_t n = 0, at;
	while (read(out, &at, 4) == 4)
		n++;
	close(out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(n, count);
}

/* ---- looking ---- */

/* Open dir, mark the rows that are there, close. */
static enum sm_err look(const char *dir, uint8_t *there, uint32_t count, struct sm_error *reterr)
{
	struct sm_store *store;
	struct store_embedded_options o = {.dir = dir};
	enum sm_err err = store_embedded_open(&o, &store, reterr);
	memset(there, 0, count);
	if (err)
		return err;
	const struct store_schema *schema = store->ops->schema(store);
	const struct store_table *t = store_find_table(schema, "ks", "t");
	struct store_read r = {.table = t, .token_from = INT64_MIN, .token_to = INT64_MAX};
	struct store_cursor *c;
	const struct store_row *row;
	struct store_condition where = {.index = "by_v"};
	uint32_t n = 0, found = 0;
	uint8_t *text = NULL;
	if (t) {
		assert_ok(store->ops->open(store, &r, &c, NULL));
		while (!(err = store->ops->next(c, &row))) {
			uint32_t k = be32_get(row->cells[0].data);
			assert_true(k < count);
			there[k] = 1;
			n++;
			if (text)
				continue;
			where = equal_to("by_v", row->cells[1]);
			where.from.data = where.to.data = text = memcpy(malloc((size_t)row->cells[1].size), row->cells[1].data,
									(size_t)row->cells[1].size);
		}
		assert_int_equal(err, SM_END);
		store->ops->close_cursor(c);
	}
	if (t && t->index_count) { /* all have the same text, and with each row its entry came */
		r.where = &where;
		assert_ok(store->ops->open(store, &r, &c, NULL));
		while (!(err = store->ops->next(c, &row)))
			found++;
		assert_int_equal(err, SM_END);
		store->ops->close_cursor(c);
		assert_int_equal(found, n);
	}
	free(text);
	store->ops->schema_release(store, schema);
	assert_ok(store->ops->close(store, NULL));
	return SM_OK;
}

/* The number of rows, which are the first ones. */
static uint32_t prefix_of(const uint8_t *there, uint32_t count)
{
	uint32_t n = 0;
	while (n < count && there[n])
		n++;
	for (uint32_t i = n; i < count; i++)
		assert_int_equal(there[i], 0);
	return n;
}

static void copy_tree(const char *from, const char *to)
{
	DIR *d = opendir(from);
	assert_non_null(d);
	assert_ok(io_mkdir_all(&io_system, to, NULL));
	for (struct dirent *e; (e = readdir(d));) {
		char a[400], b[400];
		uint8_t *data;
		size_t size;
		if (e->d_name[0] == '.')
			continue;
		snprintf(a, sizeof a, "%s/%s", from, e->d_name);
		snprintf(b, sizeof b, "%s/%s", to, e->d_name);
		assert_ok(io_read_file(&io_system, a, 1 << 28, &data, &size, NULL));
		FILE *f = fopen(b, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(data, 1, size, f), size);
		fclose(f);
		free(data);
	}
	closedir(d);
}

/* The newest write-ahead log in dir, and its size. */
static size_t find_wal(const char *dir, char path[400])
{
	unsigned long newest = 0;
	struct stat st;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		if (strstr(e->d_name, ".log") && strtoul(e->d_name, NULL, 10) > newest)
			newest = strtoul(e->d_name, NULL, 10);
	closedir(d);
	snprintf(path, 400, "%s/%06lu.log", dir, newest);
	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size;
}

static void flip(const char *path, size_t at, uint8_t bits)
{
	int fd = open(path, O_RDWR);
	uint8_t c;
	assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
	c ^= bits;
	assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
	close(fd);
}

struct place {
	char dir[64], copy[80];
};

static int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	strcpy(p->dir, "/tmp/smack-store-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->copy, sizeof p->copy, "%s-copy", p->dir);
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

static void fresh_copy(struct place *p)
{
	if (access(p->copy, F_OK) == 0)
		assert_ok(io_remove_tree(&io_system, p->copy, NULL));
	copy_tree(p->dir, p->copy);
}

/* ---- the tests ---- */

static void killed_process_loses_nothing_acknowledged(void **state)
{
	struct place *p = *state;
	static uint8_t acked[200000], there[200000];
	uint32_t next = 0;
	memset(acked, 0, sizeof acked);
	for (int round = 0; round < 8; round++) {
		int out, status;
		uint32_t at, seen = 0;
		pid_t pid = start_writer(p->dir, next, 20000, 50, false, &out);
		/* kill it after so many acknowledgements, wherever it is then */
		while (seen < 100u + (uint32_t)round * 700u && read(out, &at, 4) == 4) {
			acked[at] = 1;
			seen++;
		}
		kill(pid, SIGKILL);
		while (read(out, &at, 4) == 4)
			acked[at] = 1;
		close(out);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		struct sm_error error = {0};
		if (look(p->dir, there, sizeof there, &error))
			fail_msg("%s", error.text);
		for (uint32_t i = 0; i < sizeof acked; i++)
			if (acked[i] && !there[i])
				fail_msg("row %u was acknowledged and is lost", i);
		next += 20000;
	}
}

static void failed_write_makes_the_store_read_only(void **state)
{
	struct place *p = *state;
	uint8_t there[ROWS], acked[ROWS] = {0};
	int out, status;
	uint32_t at, n = 0;
	pid_t pid = start_process(p->dir, (const char *[]){"limit", NULL}, &out);
	for (; read(out, &at, 4) == 4; n++)
		acked[at] = 1;
	close(out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(n > 50 && n < ROWS);
	struct sm_error error = {0};
	if (look(p->dir, there, ROWS, &error))
		fail_msg("%s", error.text);
	for (uint32_t i = 0; i < ROWS; i++)
		assert_true(there[i] >= acked[i]);
}

static void log_torn_anywhere_opens_with_what_is_before(void **state)
{
	struct place *p = *state;
	uint8_t there[ROWS];
	char path[400];
	struct sm_error error = {0};
	write_and_die(p->dir, 0, ROWS, 200);
	size_t size = find_wal(p->dir, path);
	uint32_t last = 0;
	for (size_t cut = 4000; cut <= size; cut = cut == size ? size + 1 : cut + 4001 < size ? cut + 4001 : size) {
		fresh_copy(p);
		find_wal(p->copy, path);
		assert_int_equal(truncate(path, (off_t)cut), 0);
		if (look(p->copy, there, ROWS, &error))
			fail_msg("cut at %zu: %s", cut, error.text);
		uint32_t n = prefix_of(there, ROWS);
		assert_true(n >= last);
		last = n;
	}
	assert_int_equal(last, ROWS);
}

static void log_rotten_before_its_end_is_refused(void **state)
{
	struct place *p = *state;
	uint8_t there[ROWS];
	char path[400];
	struct sm_error error = {0};
	write_and_die(p->dir, 0, ROWS, 200);
	size_t size = find_wal(p->dir, path), last_record = size - 200;
	int refused = 0;
	for (size_t at = 3; at < size; at += 2503) {
		fresh_copy(p);
		find_wal(p->copy, path);
		flip(path, at, (uint8_t)(1u << at % 8));
		enum sm_err err = look(p->copy, there, ROWS, &error);
		if (at < last_record - 400) {
			if (err != SM_CORRUPT)
				fail_msg("a bit flipped at %zu of %zu: %s", at, size, sm_err_name(err));
			refused++;
			assert_non_null(strstr(error.text, "is damaged at byte"));
		}
	}
	assert_true(refused > 20);
	/* a page of zeros, as a lost sector gives */
	fresh_copy(p);
	find_wal(p->copy, path);
	int fd = open(path, O_RDWR);
	char zeros[4096] = {0};
	assert_int_equal(pwrite(fd, zeros, sizeof zeros, 40960), sizeof zeros);
	close(fd);
	assert_err(look(p->copy, there, ROWS, &error), SM_CORRUPT);
	/* within the last record: not to be told from a torn end */
	fresh_copy(p);
	find_wal(p->copy, path);
	flip(path, size - 5, 1);
	assert_ok(look(p->copy, there, ROWS, &error));
	assert_int_equal(prefix_of(there, ROWS), ROWS - 1);
}

static void large_record_torn_in_its_first_block_is_a_torn_end(void **state)
{
	struct place *p = *state;
	uint8_t there[8];
	char path[400];
	struct sm_error error = {0};
	write_and_die(p->dir, 0, 4, 300000);
	size_t size = find_wal(p->dir, path);
	fresh_copy(p);
	find_wal(p->copy, path);
	flip(path, size - 290000, 4); /* in the first fragments of the last record */
	assert_ok(look(p->copy, there, 8, &error));
	assert_int_equal(prefix_of(there, 8), 3);
	fresh_copy(p);
	find_wal(p->copy, path);
	flip(path, size - 320000, 4); /* in the record before it */
	assert_err(look(p->copy, there, 8, &error), SM_CORRUPT);
}

/* The damage lies in the second block of a record, and the next record, the last one, begins in that block too. */
static void log_rotten_in_a_later_block_of_a_record_is_refused(void **state)
{
	struct place *p = *state;
	uint8_t there[8];
	char path[400];
	struct sm_error error = {0};
	write_and_die(p->dir, 0, 2, 50000);
	size_t size = find_wal(p->dir, path);
	for (size_t at = size - 64000; at < size - 51000; at += 1009) {
		fresh_copy(p);
		find_wal(p->copy, path);
		flip(path, at, 4);
		if (look(p->copy, there, 8, &error) != SM_CORRUPT)
			fail_msg("a bit flipped at %zu of %zu was taken for a torn end", at, size);
		assert_non_null(strstr(error.text, "is damaged at byte"));
	}
}

static void torn_log_left_over_from_an_earlier_recovery_is_fine(void **state)
{
	struct place *p = *state;
	uint8_t there[60];
	char torn[400], kept[400];
	struct sm_error error = {0};
	uint8_t *data;
	size_t size;
	write_and_die(p->dir, 0, 30, 200);
	size = find_wal(p->dir, torn);
	assert_int_equal(truncate(torn, (off_t)size - 20), 0);
	assert_ok(io_read_file(&io_system, torn, 1 << 20, &data, &size, NULL));
	write_and_die(p->dir, 30, 30, 200); /* recovers, goes on, and dies */
	assert_int_not_equal(access(torn, F_OK), 0);
	find_wal(p->dir, kept);
	FILE *f = fopen(torn, "w");
	assert_int_equal(fwrite(data, 1, size, f), size);
	fclose(f);
	free(data);
	if (look(p->dir, there, 60, &error))
		fail_msg("%s", error.text);
	for (int i = 0; i < 60; i++)
		assert_int_equal(there[i], i != 29);
}

/* As above, but the first record of its file is the torn one: nothing good tells where the newer file should go on. */
static void log_torn_in_its_first_record_may_be_left_over_too(void **state)
{
	struct place *p = *state;
	uint8_t there[60];
	char torn[400];
	struct sm_error error = {0};
	uint8_t *data;
	size_t size;
	write_and_die(p->dir, 0, 30, 200);
	assert_ok(look(p->dir, there, 60, &error)); /* closes: no log is left */
	write_and_die(p->dir, 30, 1, 200);
	size = find_wal(p->dir, torn);
	assert_int_equal(truncate(torn, (off_t)size - 20), 0);
	assert_ok(io_read_file(&io_system, torn, 1 << 20, &data, &size, NULL));
	write_and_die(p->dir, 31, 29, 200);
	FILE *f = fopen(torn, "w"); /* if it was deleted, that was not synced */
	assert_int_equal(fwrite(data, 1, size, f), size);
	fclose(f);
	free(data);
	if (look(p->dir, there, 60, &error))
		fail_msg("%s", error.text);
	for (int i = 0; i < 60; i++)
		assert_int_equal(there[i], i != 30);
}

int main(int argc, char **argv)
{
	if (argc == 7 && strcmp(argv[1], "write") == 0)
		return write_rows(argv[2], (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]), (uint32_t)atoi(argv[5]),
				  strcmp(argv[6], "wait") == 0);
	if (argc == 3 && strcmp(argv[1], "limit") == 0)
		return write_to_the_limit(argv[2]);
#define T(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)
	const struct CMUnitTest tests[] = {
		T(killed_process_loses_nothing_acknowledged),          T(failed_write_makes_the_store_read_only),
		T(log_torn_anywhere_opens_with_what_is_before),        T(log_rotten_before_its_end_is_refused),
		T(large_record_torn_in_its_first_block_is_a_torn_end), T(torn_log_left_over_from_an_earlier_recovery_is_fine),
		T(log_rotten_in_a_later_block_of_a_record_is_refused), T(log_torn_in_its_first_record_may_be_left_over_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
