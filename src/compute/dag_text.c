/* Text files as a source: one partition a file, one row a line. A file is read and undone in pieces; only a line must fit in memory. */
#include "base/compress.h"
#include "base/io.h"
#include "compute/compute_internal.h"
#include <errno.h>
#include <glob.h>
#include <stdlib.h>

#define PIECE_BYTES 65536

struct text_files {
	struct dag_node node;
	char *pattern;
	glob_t found;
};
struct text_iterator {
	struct dag_iterator it;
	struct row_type *type; /* the node's */
	const char *path;
	struct io_file file;
	struct gunzip *gunzip; /* NULL: the file is plain */
	uint64_t at, line;
	bool input_end, text_end; /* the file is read; text holds all that is left */
	bool done;
	struct buf text;  /* undone and not yet cut into lines */
	size_t looked_at; /* bytes of text that hold no line end */
	size_t piece_size, piece_used;
	uint8_t piece[PIECE_BYTES];
};

/* Some more bytes into text, or text_end. inflate may hold back output although it has taken its input, so the end of the file is the end
 * of the text only when nothing more comes. */
static enum sm_err read_more(struct text_iterator *t, struct sm_error *reterr)
{
	if (t->piece_used == t->piece_size && !t->input_end) {
		t->piece_used = t->piece_size = 0;
		enum sm_err err = io_system.ops->pread(&io_system, &t->file, t->piece, PIECE_BYTES, t->at, &t->piece_size, reterr);
		if (err)
			return err;
		t->at += t->piece_size;
		t->input_end = t->piece_size == 0;
	}
	struct bytes piece = bytes_of(t->piece + t->piece_used, t->piece_size - t->piece_used);
	size_t used = piece.size, before = buf_size(&t->text);
	if (t->gunzip) {
		enum sm_err err = gunzip_feed(t->gunzip, piece, PIECE_BYTES, &t->text, &used);
		if (err)
			return sm_fail(reterr, err, "%s: near byte %llu: the gzip stream is corrupt", t->path, (unsigned long long)t->at);
	} else {
		buf_append_bytes(&t->text, piece);
	}
	t->piece_used += used;
	t->text_end = t->input_end && buf_size(&t->text) == before;
	if (t->text_end && t->gunzip && !gunzip_at_end(t->gunzip))
		return sm_fail(reterr, SM_TRUNCATED, "%s: the gzip stream ends too early", t->path);
	return t->text.failed ? SM_NO_MEMORY : SM_OK;
}

/* A whole line without its end ("\n" or "\r\n"), borrowed until the next call; SM_END after the last. */
static enum sm_err next_line(struct text_iterator *t, struct bytes *ret_line, struct sm_error *reterr)
{
	for (;;) {
		struct bytes text = buf_bytes(&t->text);
		const uint8_t *end = text.data && text.size > t->looked_at
					     ? memchr(text.data + t->looked_at, '\n', text.size - t->looked_at)
					     : NULL;
		size_t length = end ? (size_t)(end - text.data) : text.size;
		if (length > COMPUTE_LINE_BYTES_MAX)
			return sm_fail(reterr, SM_TOO_LARGE, "%s: line %llu is longer than %u bytes", t->path,
				       (unsigned long long)t->line + 1, COMPUTE_LINE_BYTES_MAX);
		if (end || (t->text_end && text.size)) {
			t->line++;
			t->looked_at = 0;
			buf_consume(&t->text, length + (end != NULL));
			*ret_line = bytes_of(text.data, text.data && length && text.data[length - 1] == '\r' ? length - 1 : length);
			return SM_OK;
		}
		if (t->text_end)
			return SM_END;
		t->looked_at = text.size;
		enum sm_err err = read_more(t, reterr);
		if (err)
			return err;
	}
}

static void text_free(struct dag_iterator *it)
{
	struct text_iterator *t = (struct text_iterator *)it;
	io_system.ops->close(&io_system, &t->file);
	gunzip_free(t->gunzip);
	buf_done(&t->text);
	free(t);
}

static enum sm_err text_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct text_iterator *t = (struct text_iterator *)it;
	if (t->done)
		return SM_END;
	struct batch *batch = batch_new(t->type);
	enum sm_err err = batch ? SM_OK : SM_NO_MEMORY;
	while (!err && !batch_is_full(batch)) {
		struct bytes line;
		err = next_line(t, &line, reterr);
		if (!err)
			err = batch_put(batch, 0, (struct value){.type = COLUMN_TEXT, .bytes = line});
		if (!err)
			batch_row_end(batch);
	}
	if (err && err != SM_END) {
		batch_unref(batch);
		return err;
	}
	t->done = err == SM_END;
	*ret_batch = batch;
	return SM_OK;
}

static const struct dag_iterator_ops text_it_ops = {text_next, text_free};

static enum sm_err files_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				 struct sm_error *reterr)
{
	const struct text_files *files = (const struct text_files *)node;
	struct text_iterator *t = calloc(1, sizeof *t);
	if (!t)
		return SM_NO_MEMORY;
	t->type = node->type;
	t->it.ops = &text_it_ops;
	t->path = files->found.gl_pathv[partition];
	buf_init(&t->text);
	enum sm_err err = io_system.ops->open(&io_system, t->path, IO_READ, &t->file, reterr);
	if (err) {
		free(t);
		return err;
	}
	size_t length = strlen(t->path);
	if (length > 3 && strcmp(t->path + length - 3, ".gz") == 0)
		err = gunzip_new(&t->gunzip);
	if (err) {
		text_free(&t->it);
		return err;
	}
	*ret_it = &t->it;
	return SM_OK;
}

static void files_free(struct dag_node *node)
{
	struct text_files *files = (struct text_files *)node;
	globfree(&files->found);
	free(files->pattern);
}

static void files_explain(const struct dag_node *node, struct buf *out)
{
	buf_printf(out, "%s, %u file%s", ((const struct text_files *)node)->pattern, node->partitions, node->partitions == 1 ? "" : "s");
}

static const struct dag_node_ops files_ops = {"text files", files_iterate, files_free, files_explain};

/* Directories end in a slash (GLOB_MARK); like Spark's textFile we read files only. */
static void leave_out_directories(glob_t *found)
{
	size_t kept = 0;
	for (size_t i = 0; i < found->gl_pathc; i++) {
		char *path = found->gl_pathv[i];
		if (path[strlen(path) - 1] == '/')
			free(path);
		else
			found->gl_pathv[kept++] = path;
	}
	found->gl_pathv[kept] = NULL;
	found->gl_pathc = kept;
}

static enum sm_err find_files(struct text_files *files, const char *pattern, struct sm_error *reterr)
{
	int failed = glob(pattern, GLOB_MARK | GLOB_BRACE, NULL, &files->found);
	if (failed == GLOB_NOSPACE)
		return sm_fail(reterr, SM_NO_MEMORY, "%s: no memory for the names", pattern);
	if (failed == GLOB_ABORTED)
		return sm_fail_errno(reterr, errno, "%s: a directory cannot be read", pattern);
	if (!failed)
		leave_out_directories(&files->found);
	if (failed || files->found.gl_pathc == 0)
		return sm_fail(reterr, SM_NOT_FOUND, "no file matches %s", pattern);
	if (files->found.gl_pathc > COMPUTE_PARTITIONS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "%zu files match %s; at most %u can be one RDD", files->found.gl_pathc, pattern,
			       COMPUTE_PARTITIONS_MAX);
	return SM_OK;
}

enum sm_err dag_text_files(const char *pattern, struct dag_node **ret_node, struct sm_error *reterr)
{
	struct row_type *type = row_type_new(&(struct column_field){"value", COLUMN_TEXT}, 1);
	struct text_files *files = type ? (struct text_files *)dag_node_new(sizeof *files, &files_ops, type, 0) : NULL;
	row_type_unref(type);
	if (!files)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a source");
	files->pattern = strdup(pattern);
	enum sm_err err = files->pattern ? find_files(files, pattern, reterr) : sm_fail(reterr, SM_NO_MEMORY, "no memory for a source");
	if (err) {
		dag_unref(&files->node);
		return err;
	}
	files->node.partitions = (uint32_t)files->found.gl_pathc;
	*ret_node = &files->node;
	return SM_OK;
}
