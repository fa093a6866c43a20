/* Full disks and failing calls, at every call that RocksDB makes. This program defines the calls itself, so that RocksDB's go through here.
 */
#undef _FILE_OFFSET_BITS /* else pread here would be pread64 */
#include "store/page_cache.h"
#include "store/testing.h"
#include <errno.h>
#include <fcntl.h>
#include <rocksdb/c.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define EXPORT __attribute__((visibility("default")))
#define ROWS 12

/* ---- the calls ---- */

static atomic_int armed;                  /* errno that calls fail with; 0: none */
static atomic_long calls, fail_at;        /* from this changing call on; */
static atomic_bool fail_once, fail_reads; /* or only that one; or the reads instead, */
static _Thread_local bool reader; /* those of this thread: one of a compaction that fails ends the writes until the store is opened again */

static bool fails(bool read)
{
	int e = atomic_load(&armed);
	if (!e || read != atomic_load(&fail_reads) || (read && !reader))
		return false;
	long n = atomic_fetch_add(&calls, 1) + 1;
	if (atomic_load(&fail_once) ? n != atomic_load(&fail_at) : n < atomic_load(&fail_at))
		return false;
	errno = e;
	return true;
}

static void arm(int e, long at, bool once, bool reads)
{
	atomic_store(&calls, 0);
	atomic_store(&fail_at, at);
	atomic_store(&fail_once, once);
	atomic_store(&fail_reads, reads);
	reader = reads;
	atomic_store(&armed, e);
}

static void disarm(void)
{
	atomic_store(&armed, 0);
}

EXPORT ssize_t write(int fd, const void *data, size_t size);
EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t at);
EXPORT ssize_t pread(int fd, void *data, size_t size, off_t at);
EXPORT int fsync(int fd);
EXPORT int fdatasync(int fd);
EXPORT int ftruncate(int fd, off_t size);
EXPORT int fallocate(int fd, int mode, off_t at, off_t size);
EXPORT int rename(const char *from, const char *to);

ssize_t write(int fd, const void *data, size_t size)
{
	if (fd > 2 && fails(false)) {
		/* a full disk takes what it still can */
		if (errno == ENOSPC && size > 1)
			syscall(SYS_write, fd, data, size / 2);
		errno = atomic_load(&armed);
		return -1;
	}
	return syscall(SYS_write, fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	return fails(false) ? -1 : syscall(SYS_pwrite64, fd, data, size, at);
}
ssize_t pread(int fd, void *data, size_t size, off_t at)
{
	return fails(true) ? -1 : syscall(SYS_pread64, fd, data, size, at);
}
int fsync(int fd)
{
	return fails(false) ? -1 : (int)syscall(SYS_fsync, fd);
}
int fdatasync(int fd)
{
	return fails(false) ? -1 : (int)syscall(SYS_fdatasync, fd);
}
int ftruncate(int fd, off_t size)
{
	return fails(false) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}
int fallocate(int fd, int mode, off_t at, off_t size)
{
	return fails(false) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, size);
}
int rename(const char *from, const char *to)
{
	return fails(false) ? -1 : (int)syscall(SYS_rename, from, to);
}

/* ---- a store ---- */

struct trial {
	struct fixture f;
	const struct store_table *t;
	bool acknowledged[ROWS];
	enum sm_err refused; /* of the first write that was not acknowledged */
};

static void begin(struct trial *trial)
{
	*trial = (struct trial){0};
	strcpy(trial->f.dir, "/dev/shm/smack-store-XXXXXX"); /* many syncs */
	if (!mkdtemp(trial->f.dir))
		assert_non_null(mkdtemp(strcpy(trial->f.dir, "/tmp/smack-store-XXXXXX")));
	clock_manual_init(&trial->f.clock, 1700000000000000u);
	fixture_reopen(&trial->f);
	assert_ok(make_keyspace(&trial->f, "ks"));
	assert_ok(make_table(&trial->f, "t", "k:int:p v:text:r", NULL));
	assert_ok(make_index(&trial->f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(&trial->f, "t");
	trial->t = table_of(&trial->f, "t");
}

static void end(struct trial *trial)
{
	disarm();
	void *state = memcpy(malloc(sizeof trial->f), &trial->f, sizeof trial->f);
	fixture_teardown(&state);
}

static enum sm_err write_row(struct trial *trial, int k)
{
	enum sm_err err = insert(&trial->f, trial->t, KEY(INT(k)), NULL, "v", TEXT("some text"), 1, 0);
	if (!err)
		trial->acknowledged[k] = true;
	else if (!trial->refused)
		trial->refused = err;
	return err;
}

/* Rows, with files of tables and a new log in between. */
static void write_rows(struct trial *trial)
{
	for (int k = 0; k < ROWS; k++) {
		if (write_row(trial, k))
			return;
		if (k % 4 == 3) {
			char *text = NULL;
			rocksdb_flushoptions_t *o = rocksdb_flushoptions_create();
			rocksdb_flush(store__engine_of(trial->f.store)->rocks.db, o, &text);
			rocksdb_flushoptions_destroy(o);
			rocksdb_free(text);
		}
	}
}

static unsigned count_texts(const char *rows)
{
	unsigned n = 0;
	while ((rows = strstr(rows, "some text|"))) {
		rows++;
		n++;
	}
	return n;
}

static void assert_all_there(struct trial *trial)
{
	for (int k = 0; k < ROWS; k++) {
		char expected[40];
		if (!trial->acknowledged[k])
			continue;
		snprintf(expected, sizeof expected, "%d some text|", k);
		assert_rows(&trial->f, &(struct store_read){.table = trial->t, .partition_key = KEY(INT(k))}, expected);
	}
	/* with each row its entry */
	struct store_condition where = equal_to("by_v", TEXT("some text"));
	struct store_read read = all_of(trial->t);
	char *all = rows(&trial->f, &read);
	read.where = &where;
	char *found = rows(&trial->f, &read);
	assert_int_equal(count_texts(found), count_texts(all));
	free(all);
	free(found);
}

static void reopen(struct trial *trial)
{
	struct fixture *f = &trial->f;
	f->store->ops->schema_release(f->store, f->schema);
	f->schema = NULL;
	(void)f->store->ops->close(f->store, NULL); /* may say why it had failed */
	f->store = NULL;
	fixture_reopen(f);
	trial->t = table_of(f, "t");
}

/* ---- the tests ---- */

static void full_disk_is_waited_for_at_every_call(void **state)
{
	long n = 1, most;
	for (int met = 0;; n += n < 30 ? 1 : 3) {
		struct trial trial;
		begin(&trial);
		arm(ENOSPC, n, false, false);
		write_rows(&trial);
		most = atomic_load(&calls);
		if (trial.refused) {
			met++;
			assert_err(trial.refused, SM_NO_SPACE);
			assert_all_there(&trial);
			assert_err(write_row(&trial, 0), SM_NO_SPACE);
		}
		disarm();
		uint64_t deadline = clock_monotonic_ns(&clock_system) + 20000000000u;
		while (write_row(&trial, ROWS - 1) && clock_monotonic_ns(&clock_system) < deadline)
			usleep(10000);
		assert_true(trial.acknowledged[ROWS - 1]);
		assert_all_there(&trial);
		struct store_change c = {.kind = STORE_DROP_TABLE, .keyspace = "ks", .table = "nope"};
		assert_err(store_change_wait(trial.f.store, &c, NULL), SM_NOT_FOUND);
		reopen(&trial);
		assert_all_there(&trial);
		end(&trial);
		if (most < n) {
			assert_true(met > ROWS);
			break;
		}
	}
}

static bool is_built(struct trial *trial, uint32_t number)
{
	return store__built_has(store__engine_of(trial->f.store)->built, number);
}

static void truncation_that_a_full_disk_refuses_leaves_the_index_as_it_is(void **state)
{
	for (long n = 1, most = 1; n <= most; n++) {
		struct trial trial;
		begin(&trial);
		write_rows(&trial);
		uint32_t number = trial.t->indexes[0].number;
		struct store_change c = {.kind = STORE_TRUNCATE_TABLE, .keyspace = "ks", .table = "t"};
		arm(ENOSPC, n, false, false);
		enum sm_err err = store_change_wait(trial.f.store, &c, NULL);
		most = atomic_load(&calls);
		if (err) {
			assert_err(err, SM_NO_SPACE);
			assert_true(is_built(&trial, number));
			assert_all_there(&trial);
		}
		disarm();
		/* written after all, or not */
		uint64_t deadline_ns = clock_deadline_ns(20000);
		while ((err = write_row(&trial, 0)) && clock_monotonic_ns(&clock_system) < deadline_ns)
			usleep(10000);
		assert_ok(err);
		fixture_look(&trial.f);
		trial.t = table_of(&trial.f, "t");
		assert_true(is_built(&trial, trial.t->indexes[0].number));
		assert_int_equal(is_built(&trial, number), trial.t->indexes[0].number == number);
		if (trial.t->indexes[0].number != number)
			memset(trial.acknowledged + 1, 0, sizeof trial.acknowledged - sizeof *trial.acknowledged);
		assert_all_there(&trial);
		end(&trial);
	}
}

static void failing_call_makes_the_store_read_only(void **state)
{
	for (long n = 1, met = 0;; n += n < 30 ? 1 : 3) {
		struct trial trial;
		begin(&trial);
		arm(EIO, n, true, false);
		write_rows(&trial);
		long most = atomic_load(&calls);
		disarm();
		if (trial.refused) {
			met++;
			assert_err(trial.refused, SM_IO);
			assert_err(write_row(&trial, 0), SM_IO);
			assert_all_there(&trial);
		}
		reopen(&trial);
		assert_all_there(&trial);
		assert_ok(write_row(&trial, ROWS - 1));
		end(&trial);
		if (most < n) {
			assert_true(met > ROWS);
			break;
		}
	}
}

static void opening_fails_and_can_be_tried_again(void **state)
{
	struct trial trial;
	begin(&trial);
	write_rows(&trial);
	struct fixture *f = &trial.f;
	for (long n = 1;; n++) {
		struct sm_error error = {0};
		struct store_embedded_options o = {.clock = &f->clock.clock, .dir = f->dir, .memtable_bytes = 1 << 20};
		f->store->ops->schema_release(f->store, f->schema);
		f->schema = NULL;
		assert_ok(f->store->ops->close(f->store, NULL));
		f->store = NULL;
		struct sm_store *store;
		arm(n % 2 ? ENOSPC : EIO, n / 2 + 1, false, false);
		enum sm_err err = store_embedded_open(&o, &store, &error);
		long most = atomic_load(&calls);
		disarm();
		if (err) {
			assert_err(err, n % 2 ? SM_NO_SPACE : SM_IO);
			assert_non_null(strstr(error.text, f->dir));
		} else {
			(void)store->ops->close(store, NULL);
		}
		fixture_reopen(f);
		trial.t = table_of(f, "t");
		assert_all_there(&trial);
		if (most < n / 2 + 1)
			break;
	}
	end(&trial);
}

static void failing_read_is_answered_and_the_next_one_works(void **state)
{
	struct trial trial;
	static char text[3000];
	begin(&trial);
	write_rows(&trial);
	memset(text, 'x', sizeof text - 1);
	for (int k = 100; k < 140; k++) /* so that they are in other blocks than the schema */
		assert_ok(insert(&trial.f, trial.t, KEY(INT(k)), NULL, "v", TEXT(text), 1, 0));
	int met = 0;
	for (long n = 1; n < 12; n++) {
		reopen(&trial); /* nothing is in memory */
		struct store_read read = {.table = trial.t, .partition_key = KEY(INT(100 + (int)n))};
		struct store_cursor *c;
		const struct store_row *row;
		arm(EIO, n, true, true);
		assert_ok(trial.f.store->ops->open(trial.f.store, &read, &c, NULL));
		enum sm_err err = trial.f.store->ops->next(c, &row);
		trial.f.store->ops->close_cursor(c);
		disarm();
		met += err != SM_OK;
		if (err)
			assert_err(err, SM_IO);
		assert_all_there(&trial);
		assert_ok(write_row(&trial, 5));
	}
	assert_true(met > 0);
	end(&trial);
}

/* With a pread of its own, as here, a program's reads that may not wait have to do with RocksDB's cache. */
static void a_program_s_own_pread_is_left_alone(void **state)
{
	(void)state;
	assert_false(store__page_cache_serves());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_s_own_pread_is_left_alone),
		cmocka_unit_test(full_disk_is_waited_for_at_every_call),
		cmocka_unit_test(truncation_that_a_full_disk_refuses_leaves_the_index_as_it_is),
		cmocka_unit_test(failing_call_makes_the_store_read_only),
		cmocka_unit_test(opening_fails_and_can_be_tried_again),
		cmocka_unit_test(failing_read_is_answered_and_the_next_one_works),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
