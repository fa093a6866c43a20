/* The files of the operating system. */
#include "base/io.h"
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static char dir[64];
static struct io *io = &io_system;
static int setup(void **unused)
{
	strcpy(dir, "/tmp/smack-io-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}
static int teardown(void **unused)
{
	return access(dir, F_OK) ? 0 : (int)io_remove_tree(io, dir, NULL);
}
static const char *at(const char *name)
{
	static char paths[4][PATH_MAX];
	static int n;
	char *path = paths[n++ % 4];
	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

static void what_is_made_is_for_its_owner_only(void **unused)
{
	struct io_file file;
	struct stat st;
	mode_t before = umask(0);
	assert_int_equal(io_mkdir_all(io, at("mine/deep"), NULL), SM_OK);
	assert_int_equal(io->ops->open(io, at("mine/f"), IO_WRITE | IO_CREATE, &file, NULL), SM_OK);
	umask(before);
	io->ops->close(io, &file);
	assert_int_equal(stat(at("mine"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(at("mine/f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void vectors_of_any_length_are_written_whole(void **unused)
{
	struct io_file file;
	struct iovec iov[200];
	static char letters[200];
	for (int i = 0; i < 200; i++) {
		letters[i] = (char)('a' + i % 26);
		iov[i] = (struct iovec){&letters[i], i % 7 != 0};
	}
	assert_int_equal(io->ops->open(io, at("f"), IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &file, NULL), SM_OK);
	assert_int_equal(io->ops->pwritev(io, &file, iov, 200, 3, NULL), SM_OK);
	assert_int_equal(io->ops->fdatasync(io, &file, NULL), SM_OK);
	uint64_t size;
	assert_int_equal(io->ops->size(io, &file, &size, NULL), SM_OK);
	assert_int_equal(size, 3 + 171);
	char data[300];
	size_t got;
	assert_int_equal(io->ops->pread(io, &file, data, sizeof data, 0, &got, NULL), SM_OK);
	assert_int_equal(got, size);
	assert_memory_equal(data, "\0\0\0bcdefgi", 10);
	assert_int_equal(io->ops->truncate(io, &file, 5, NULL), SM_OK);
	assert_int_equal(io->ops->pread(io, &file, data, sizeof data, 4, &got, NULL), SM_OK);
	assert_int_equal(got, 1);
	io->ops->close(io, &file);
	assert_int_equal(io->ops->open(io, at("f"), IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &file, NULL), SM_EXISTS);
	struct sm_error error;
	assert_int_equal(io->ops->open(io, at("none"), IO_READ, &file, &error), SM_NOT_FOUND);
	assert_non_null(strstr(error.text, "none"));
}

static void whole_files_are_replaced_and_read(void **unused)
{
	uint8_t *data;
	size_t size;
	assert_int_equal(io_write_file_atomic(io, at("f"), BYTES("first"), NULL), SM_OK);
	assert_int_equal(io_write_file_atomic(io, at("f"), BYTES(""), NULL), SM_OK);
	assert_int_equal(io_write_file_atomic(io, at("f"), BYTES("second"), NULL), SM_OK);
	assert_int_equal(io_read_file(io, at("f"), 5, &data, &size, NULL), SM_TOO_LARGE);
	assert_int_equal(io_read_file(io, at("f"), 6, &data, &size, NULL), SM_OK);
	assert_int_equal(size, 6);
	assert_string_equal((char *)data, "second");
	free(data);
	assert_int_not_equal(access(at("f.tmp"), F_OK), 0);
}

static enum sm_err count(void *arg, const char *name)
{
	++*(int *)arg;
	return strcmp(name, "stop") == 0 ? SM_END : SM_OK;
}

static void trees_are_made_listed_and_removed(void **unused)
{
	int n = 0;
	assert_int_equal(io_mkdir_all(io, at("a/b//c/"), NULL), SM_OK);
	assert_int_equal(io_mkdir_all(io, at("a/b/d"), NULL), SM_OK);
	assert_int_equal(io_write_file_atomic(io, at("a/b/f"), BYTES("x"), NULL), SM_OK);
	assert_int_equal(io->ops->list(io, at("a/b"), count, &n, NULL), SM_OK);
	assert_int_equal(n, 3);
	assert_int_equal(io->ops->mkdir(io, at("a/b"), NULL), SM_OK);
	assert_int_equal(io->ops->rename(io, at("a/b/f"), at("a/stop"), NULL), SM_OK);
	assert_int_equal(io->ops->list(io, at("a"), count, &n, NULL), SM_END);
	assert_int_equal(io->ops->unlink(io, at("a/b/f"), NULL), SM_NOT_FOUND);
	assert_int_equal(io_mkdir_all(io, at("a/stop/x"), NULL), SM_IO);
	assert_int_equal(symlink("/etc", at("a/link")), 0); /* is deleted, not followed */
	assert_int_equal(io_remove_tree(io, dir, NULL), SM_OK);
	assert_int_not_equal(access(dir, F_OK), 0);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_made_is_for_its_owner_only),
		T(vectors_of_any_length_are_written_whole),
		T(whole_files_are_replaced_and_read),
		T(trees_are_made_listed_and_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
