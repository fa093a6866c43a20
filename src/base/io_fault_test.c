/* The fault twin: what a power loss takes back and what it leaves; planned faults. */
#include "base/io.h"
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64];
static struct io *io;

static int setup(void **unused)
{
	strcpy(dir, "/tmp/smack-io-XXXXXX");
	assert_non_null(mkdtemp(dir));
	io = io_fault_new(NULL);
	return 0;
}
static int teardown(void **unused)
{
	io_fault_free(io);
	return io_remove_tree(&io_system, dir, NULL);
}

static const char *at(const char *name)
{
	static char paths[4][PATH_MAX];
	static int n;
	char *path = paths[n++ % 4];
	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}
#define OK(call)                                               \
	do {                                                   \
		struct sm_error error = {0};                   \
		if (call)                                      \
			fail_msg("%s: %s", #call, error.text); \
	} while (0)

static struct io_file opened(const char *name, unsigned how)
{
	struct io_file file;
	OK(io->ops->open(io, at(name), how, &file, &error));
	return file;
}
static void put(struct io_file *file, uint64_t where, const char *text)
{
	struct iovec iov[2] = {{(void *)(uintptr_t)text, strlen(text) / 2},
			       {(void *)(uintptr_t)(text + strlen(text) / 2), strlen(text) - strlen(text) / 2}};
	OK(io->ops->pwritev(io, file, iov, 2, where, &error));
}
static void sync_file(struct io_file *file)
{
	OK(io->ops->fdatasync(io, file, &error));
}
static void sync_dir(void)
{
	OK(io->ops->sync_dir(io, dir, &error));
}
static void lose_power(uint64_t seed)
{
	OK(io_fault_power_loss(io, seed, &error));
}
static bool there(const char *name)
{
	return access(at(name), F_OK) == 0;
}
static const char *contents(const char *name)
{
	static char text[256];
	uint8_t *data;
	size_t size;
	OK(io_read_file(&io_system, at(name), sizeof text - 1, &data, &size, &error));
	memcpy(text, data, size + 1);
	free(data);
	return text;
}
/* A file with synced contents and name. */
static void made(const char *name, const char *text)
{
	struct io_file file = opened(name, IO_WRITE | IO_CREATE | IO_TRUNCATE);
	put(&file, 0, text);
	sync_file(&file);
	io->ops->close(io, &file);
	sync_dir();
}

static void overwritten_bytes_go_back_to_what_was_synced_or_are_torn(void **unused)
{
	bool none = false, all = false, torn = false;
	for (uint64_t seed = 0; seed < 60; seed++) {
		made("segment", "0000000000");
		struct io_file file = opened("segment", IO_WRITE);
		put(&file, 2, "aaaa");
		put(&file, 4, "bbbbbbbb"); /* over the first, and past the end */
		io->ops->close(io, &file);
		assert_string_equal(contents("segment"), "00aabbbbbbbb");
		lose_power(seed);
		const char *text = contents("segment");
		none |= strcmp(text, "0000000000") == 0;
		all |= strcmp(text, "00aabbbbbbbb") == 0;
		torn |= strcmp(text, "00aabbb000") == 0;
		/* always a prefix of the first, or all of it and a prefix of the second */
		char expected[16];
		bool found = false;
		for (int k = 0; k <= 4 && !found; k++) {
			strcpy(expected, "0000000000");
			memset(expected + 2, 'a', (size_t)k);
			found = strcmp(text, expected) == 0;
		}
		for (int k = 0; k <= 8 && !found; k++) {
			strcpy(expected, "00aaaa0000");
			memset(expected + 4, 'b', (size_t)k);
			expected[k + 4 > 10 ? k + 4 : 10] = 0;
			found = strcmp(text, expected) == 0;
		}
		if (!found)
			fail_msg("seed %llu: %s", (unsigned long long)seed, text);
	}
	assert_true(none && all && torn);
}

static void what_was_synced_stays(void **unused)
{
	made("segment", "0000000000");
	struct io_file file = opened("segment", IO_WRITE);
	put(&file, 0, "abc");
	sync_file(&file);
	put(&file, 3, "x");
	io->ops->close(io, &file);
	lose_power(1);
	assert_memory_equal(contents("segment"), "abc", 3);
	assert_memory_equal(contents("segment") + 4, "000000", 6);
}

static void a_truncation_is_taken_back(void **unused)
{
	bool back = false, stayed = false;
	for (uint64_t seed = 0; seed < 20; seed++) {
		made("a", "0123456789");
		made("b", "0123456789");
		struct io_file file = opened("a", IO_WRITE);
		OK(io->ops->truncate(io, &file, 3, &error));
		io->ops->close(io, &file);
		file = opened("b", IO_WRITE | IO_TRUNCATE);
		io->ops->close(io, &file);
		lose_power(seed);
		back |= strcmp(contents("a"), "0123456789") == 0;
		stayed |= strcmp(contents("a"), "012") == 0;
		assert_true(strcmp(contents("b"), "0123456789") == 0 || contents("b")[0] == 0);
	}
	assert_true(back && stayed);
}

static void names_last_only_when_their_directory_was_synced(void **unused)
{
	made("old", "old");
	made("gone", "gone");
	made("target", "before");
	struct io_file file = opened("new", IO_WRITE | IO_CREATE);
	put(&file, 0, "new");
	sync_file(&file);
	io->ops->close(io, &file);
	OK(io->ops->unlink(io, at("gone"), &error));
	OK(io->ops->rename(io, at("old"), at("target"), &error));
	OK(io->ops->mkdir(io, at("sub"), &error));
	assert_string_equal(contents("target"), "old");
	lose_power(1);
	assert_false(there("new"));
	assert_false(there("sub"));
	assert_string_equal(contents("gone"), "gone");
	assert_string_equal(contents("old"), "old");
	assert_string_equal(contents("target"), "before");
}

static void synced_names_stay(void **unused)
{
	made("old", "old");
	made("gone", "gone");
	OK(io->ops->unlink(io, at("gone"), &error));
	OK(io->ops->rename(io, at("old"), at("target"), &error));
	OK(io->ops->mkdir(io, at("sub"), &error));
	sync_dir();
	struct io_file file = opened("sub/in", IO_WRITE | IO_CREATE);
	io->ops->close(io, &file);
	lose_power(1);
	assert_false(there("gone"));
	assert_false(there("old"));
	assert_string_equal(contents("target"), "old");
	assert_true(there("sub"));
	assert_false(there("sub/in"));
}

static void an_atomic_replace_is_all_or_nothing_wherever_it_fails(void **unused)
{
	for (uint64_t fail_at = 1; fail_at < 20; fail_at++) {
		struct io_fault_plan plan = {.fail_at = fail_at, .fail_errno = EIO, .fail_after = true, .tear_bytes = 2};
		made("file", "before");
		io_fault_free(io);
		io = io_fault_new(&plan);
		enum sm_err err = io_write_file_atomic(io, at("file"), BYTES("after"), NULL);
		lose_power(fail_at);
		assert_string_equal(contents("file"), err ? "before" : "after");
		if (!err) {
			assert_int_equal(io_fault_calls(io), fail_at - 1);
			return;
		}
	}
	fail_msg("it never succeeded");
}

static void a_directory_may_be_renamed_with_what_is_in_it(void **unused)
{
	OK(io->ops->mkdir(io, at("topic"), &error));
	sync_dir();
	struct io_file file = opened("topic/0.log", IO_WRITE | IO_CREATE);
	put(&file, 0, "00000");
	sync_file(&file);
	OK(io->ops->sync_dir(io, at("topic"), &error));
	OK(io->ops->rename(io, at("topic"), at("topic.deleted"), &error));
	OK(io->ops->truncate(io, &file, 2, &error));
	sync_file(&file);
	io->ops->close(io, &file);
	OK(io->ops->unlink(io, at("topic.deleted/0.log"), &error));
	OK(io->ops->rmdir(io, at("topic.deleted"), &error));
	lose_power(3);
	assert_string_equal(contents("topic/0.log"), "00");
}

static void the_planned_call_fails_with_its_errno_and_a_torn_write(void **unused)
{
	io_fault_free(io);
	struct io_fault_plan plan = {.fail_at = 2, .fail_errno = ENOSPC, .tear_bytes = 3};
	io = io_fault_new(&plan);
	struct io_file file = opened("f", IO_WRITE | IO_CREATE); /* 1 */
	struct iovec iov = {(void *)(uintptr_t) "abcdef", 6};
	struct sm_error error;
	assert_int_equal(io->ops->pwritev(io, &file, &iov, 1, 0, &error), SM_NO_SPACE);
	assert_int_equal(error.os_errno, ENOSPC);
	assert_string_equal(contents("f"), "abc");
	put(&file, 0, "abcdef"); /* only that one */
	io->ops->close(io, &file);
	assert_string_equal(contents("f"), "abcdef");
	assert_int_equal(io_fault_calls(io), 3);
}

static void a_failed_sync_keeps_nothing(void **unused)
{
	made("f", "000000");
	io_fault_free(io);
	struct io_fault_plan plan = {.fail_at = 2, .fail_errno = EIO, .fail_after = true};
	io = io_fault_new(&plan);
	struct io_file file = opened("f", IO_WRITE);
	put(&file, 0, "abcdef");
	assert_int_equal(io->ops->fdatasync(io, &file, NULL), SM_IO);
	assert_int_equal(io->ops->fdatasync(io, &file, NULL), SM_IO);
	io->ops->close(io, &file);
	bool lost = false;
	lose_power(4);
	lost = strcmp(contents("f"), "abcdef") != 0;
	assert_true(lost);
	file = opened("f", IO_WRITE); /* the machine is up again */
	sync_file(&file);
	io->ops->close(io, &file);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(overwritten_bytes_go_back_to_what_was_synced_or_are_torn),
		T(what_was_synced_stays),
		T(a_truncation_is_taken_back),
		T(names_last_only_when_their_directory_was_synced),
		T(synced_names_stay),
		T(an_atomic_replace_is_all_or_nothing_wherever_it_fails),
		T(a_directory_may_be_renamed_with_what_is_in_it),
		T(the_planned_call_fails_with_its_errno_and_a_torn_write),
		T(a_failed_sync_keeps_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
