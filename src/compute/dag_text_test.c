#include "compute/dag.h"
#include "base/compress.h"
#include "base/io.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64];

static int make_dir(void **state)
{
	strcpy(dir, "/tmp/smack-text-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}
static int remove_dir(void **state)
{
	return io_remove_tree(&io_system, dir, NULL) == SM_OK ? 0 : -1;
}

static const char *path(const char *name)
{
	static char out[160];
	snprintf(out, sizeof out, "%s/%s", dir, name);
	return out;
}

static void write_file(const char *name, struct bytes data)
{
	assert_int_equal(io_write_file_atomic(&io_system, path(name), data, NULL), SM_OK);
}

/* Two members in a row when split is set, as `cat a.gz b.gz` makes. */
static void write_gz(const char *name, struct bytes text, size_t split, size_t cut)
{
	struct buf out;
	buf_init(&out);
	if (split)
		assert_int_equal(codec_compress(CODEC_GZIP, bytes_of(text.data, split), &out), SM_OK);
	assert_int_equal(codec_compress(CODEC_GZIP, bytes_of(text.data + split, text.size - split), &out), SM_OK);
	write_file(name, bytes_of(buf_bytes(&out).data, buf_size(&out) - cut));
	buf_done(&out);
}

static enum sm_err join_lines(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	struct buf *out = arg;
	for (uint32_t i = 0; i < batch->rows; i++) {
		buf_append_bytes(out, batch_get(batch, 0, i).bytes);
		buf_append_str(out, "|");
	}
	return SM_OK;
}

static enum sm_err read_all(const char *glob, struct buf *out, struct sm_error *error)
{
	struct dag_node *node;
	struct compute_env env = {.threads = 1};
	enum sm_err err = dag_text_files(path(glob), &node, error);
	if (err)
		return err;
	err = dag_run(&env, node, join_lines, out, NULL, error);
	dag_unref(node);
	buf_u8(out, 0);
	return err;
}

static void lines_are_rows_with_or_without_an_end(void **state)
{
	write_file("a.txt", BYTES("one\ntwo\r\n\nlast"));
	write_file("b.txt", BYTES("three\n"));
	write_file("c.txt", BYTES(""));
	struct buf out = {0};
	struct sm_error error = {0};
	assert_int_equal(read_all("[abc].txt", &out, &error), SM_OK);
	assert_string_equal((char *)out.data, "one|two||last|three|");
	buf_done(&out);
}

static void gz_is_undone_over_members_and_pieces(void **state)
{
	/* 1 MB that compresses to little, so that inflate holds back output at the end of its input. */
	struct buf text = {0}, out = {0};
	for (int i = 0; i < 50000; i++)
		buf_printf(&text, "line number %06d\n", i);
	write_gz("big.gz", buf_bytes(&text), 100, 0);
	struct sm_error error = {0};
	assert_int_equal(read_all("{big,small}.gz", &out, &error), SM_OK);
	for (size_t i = 0; i < buf_size(&text); i++)
		if (text.data[i] == '\n')
			text.data[i] = '|';
	assert_int_equal(buf_size(&out), buf_size(&text) + 1);
	assert_memory_equal(out.data, text.data, buf_size(&text));
	buf_done(&text);
	buf_done(&out);
}

static void a_cut_gz_is_an_error_with_its_name(void **state)
{
	write_gz("cut.gz", BYTES("some words that are long enough\n"), 0, 5);
	struct buf out = {0};
	struct sm_error error = {0};
	assert_int_equal(read_all("cut.gz", &out, &error), SM_TRUNCATED);
	assert_non_null(strstr(error.text, "cut.gz: the gzip stream ends too early"));
	write_file("not.gz", BYTES("this is no gzip at all"));
	assert_int_equal(read_all("not.gz", &out, &error), SM_CORRUPT);
	assert_non_null(strstr(error.text, "not.gz: near byte"));
	buf_done(&out);
}

static void a_line_without_end_is_refused(void **state)
{
	struct buf text = {0}, out = {0};
	uint8_t *p = buf_reserve(&text, COMPUTE_LINE_BYTES_MAX + 10);
	memset(p, 'x', COMPUTE_LINE_BYTES_MAX + 10);
	buf_commit(&text, COMPUTE_LINE_BYTES_MAX + 10);
	write_gz("long.gz", buf_bytes(&text), 0, 0);
	struct sm_error error = {0};
	assert_int_equal(read_all("long.gz", &out, &error), SM_TOO_LARGE);
	assert_non_null(strstr(error.text, "long.gz: line 1 is longer than 16777216 bytes"));
	buf_done(&text);
	buf_done(&out);
}

static void a_glob_without_files_is_refused(void **state)
{
	struct buf out = {0};
	struct sm_error error = {0};
	assert_int_equal(read_all("nothing*", &out, &error), SM_NOT_FOUND);
	assert_non_null(strstr(error.text, "no file matches"));
	assert_int_equal(io_mkdir_all(&io_system, path("only-a-dir"), NULL), SM_OK);
	assert_int_equal(read_all("only-a-dir", &out, &error), SM_NOT_FOUND);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_rows_with_or_without_an_end), cmocka_unit_test(gz_is_undone_over_members_and_pieces),
		cmocka_unit_test(a_cut_gz_is_an_error_with_its_name),    cmocka_unit_test(a_line_without_end_is_refused),
		cmocka_unit_test(a_glob_without_files_is_refused),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
