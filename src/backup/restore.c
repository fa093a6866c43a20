/* Files are read as a stream: memory is bounded by a line and a batch of rows, whatever a file's size. */
#include "backup/backup.h"
#include "backup/backup_limits.h"
#include "base/compress.h"
#include "compute/compute.h"
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct restore {
	const struct backup_restore_options *o;
	struct io *io;
	struct row_type *type;
	struct table_writer *writer;
	struct event_value *values;
	struct batch *rows;
	struct arena arena; /* of one line */
	int64_t timestamp_us;
	const char *file;
	uint64_t line;
	struct backup_restore_stats stats;
};

static enum column_type column_of(enum schema_type type)
{
	switch (type) {
	case SCHEMA_OBJECT:
	case SCHEMA_ARRAY: /* as JSON */
	case SCHEMA_STRING: return COLUMN_TEXT;
	case SCHEMA_UUID: return COLUMN_UUID;
	case SCHEMA_DATE_TIME: return COLUMN_TIMESTAMP;
	case SCHEMA_INTEGER: return COLUMN_INT64;
	case SCHEMA_NUMBER: return COLUMN_DOUBLE;
	case SCHEMA_BOOLEAN: return COLUMN_BOOL;
	}
	return COLUMN_TEXT;
}

static struct value value_of(enum schema_type type, const struct event_value *v)
{
	struct value out = {.type = column_of(type), .null = !v->present};
	if (out.null)
		return out;
	switch (out.type) {
	case COLUMN_TEXT: out.bytes = v->text; break;
	case COLUMN_UUID: out.bytes = bytes_of(v->uuid, 16); break;
	case COLUMN_DOUBLE: out.real = v->number; break;
	case COLUMN_BOOL: out.boolean = v->boolean; break;
	default: out.integer = v->integer; break;
	}
	return out;
}

static enum sm_err write_rows(struct restore *r, struct sm_error *reterr)
{
	if (!r->rows->rows)
		return SM_OK;
	struct arena arena;
	arena_init(&arena, STORE_BATCH_BYTES_MAX);
	struct store_mutation *mutations = arena_alloc(&arena, r->rows->rows * sizeof *mutations);
	enum sm_err err = mutations ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory");
	for (uint32_t i = 0; i < r->rows->rows && !err; i++)
		err = table_writer_row(r->writer, r->rows, i, r->timestamp_us, &arena, &mutations[i], reterr);
	struct store_batch batch = {.mutations = mutations, .count = r->rows->rows};
	if (!err && (err = store_apply_wait(r->o->store, &batch)))
		sm_fail(reterr, err, "cannot write to %s.%s: %s", r->o->keyspace, r->o->table, sm_err_text(err));
	arena_done(&arena);
	if (err)
		return err;
	r->stats.rows += r->rows->rows;
	batch_unref(r->rows);
	r->rows = batch_new(r->type);
	return r->rows ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory");
}

static void bad_line(struct restore *r, const char *path, const char *why)
{
	if (!r->stats.bad++)
		snprintf(r->stats.first_bad, sizeof r->stats.first_bad, "%.180s:%llu: %s%s%.60s", r->file, (unsigned long long)r->line,
			 path, *path ? ": " : "", why);
}

static enum sm_err restore_line(struct restore *r, struct bytes line, struct sm_error *reterr)
{
	struct event_problems problems = {0};
	r->line++;
	if (!line.size)
		return SM_OK;
	arena_reset(&r->arena);
	if (event_scan(r->o->schema, line, r->values, &r->arena, &problems)) {
		bad_line(r, problems.count ? problems.items[0].path : "",
			 problems.count ? problems.items[0].reason : "does not fit the schema");
		return SM_OK;
	}
	for (uint32_t i = 0; i < r->o->schema->field_count; i++) {
		enum sm_err err = batch_put(r->rows, i, value_of(r->o->schema->fields[i].type, &r->values[i]));
		if (err)
			return sm_fail(reterr, err, "%s:%llu: %s", r->file, (unsigned long long)r->line, sm_err_text(err));
	}
	batch_row_end(r->rows);
	return r->rows->rows >= BACKUP_ROWS_A_BATCH ? write_rows(r, reterr) : SM_OK;
}

/* Take whole lines from text's front; at the end of the file what is left is a line, too. */
static enum sm_err take_lines(struct restore *r, struct buf *text, bool end, bool *skipping, struct sm_error *reterr)
{
	for (;;) {
		struct bytes have = buf_bytes(text);
		const uint8_t *newline = have.size ? memchr(have.data, '\n', have.size) : NULL;
		if (!newline && have.size > BACKUP_LINE_MAX) {
			if (!*skipping) {
				r->line++;
				bad_line(r, "", "the line is longer than 1 MiB");
			}
			*skipping = true;
			buf_clear(text);
			return SM_OK;
		}
		if (!newline && (!end || !have.size))
			return SM_OK;
		size_t size = newline ? (size_t)(newline - have.data) : have.size;
		enum sm_err err = *skipping ? SM_OK : restore_line(r, bytes_of(have.data, size), reterr);
		*skipping = false;
		if (err)
			return err;
		buf_consume(text, size + (newline ? 1 : 0));
	}
}

#define READ_BYTES 65536

static enum sm_err restore_open_file(struct restore *r, struct io_file *file, struct gunzip *gunzip, struct buf *text,
				     struct sm_error *reterr)
{
	static _Thread_local uint8_t chunk[READ_BYTES];
	uint64_t at = 0;
	bool skipping = false;
	for (;;) {
		size_t got;
		enum sm_err err = r->io->ops->pread(r->io, file, chunk, sizeof chunk, at, &got, reterr);
		if (err)
			return err;
		if (!got)
			break;
		at += got;
		for (struct bytes in = bytes_of(chunk, got); in.size;) {
			size_t used;
			if ((err = gunzip_feed(gunzip, in, READ_BYTES * 4, text, &used)))
				return sm_fail(reterr, err, "%s: %s after %llu bytes", r->file,
					       err == SM_CORRUPT ? "not gzip, or damaged," : sm_err_text(err), (unsigned long long)at);
			in.data += used;
			in.size -= used;
			if ((err = take_lines(r, text, false, &skipping, reterr)))
				return err;
		}
	}
	/* What the decompressor still holds. */
	for (size_t before = SIZE_MAX, used; buf_size(text) != before;) {
		before = buf_size(text);
		enum sm_err err = gunzip_feed(gunzip, (struct bytes){chunk, 0}, READ_BYTES * 4, text, &used);
		if (err)
			return sm_fail(reterr, err, "%s: damaged", r->file);
	}
	if (!gunzip_at_end(gunzip))
		return sm_fail(reterr, SM_CORRUPT, "%s: ends in the middle of the compressed data", r->file);
	return take_lines(r, text, true, &skipping, reterr);
}

static enum sm_err restore_file(struct restore *r, const char *path, struct sm_error *reterr)
{
	struct io_file file;
	struct gunzip *gunzip;
	struct buf text;
	r->file = path;
	r->line = 0;
	enum sm_err err = r->io->ops->open(r->io, path, IO_READ, &file, reterr);
	if (err)
		return err;
	buf_init(&text);
	if ((err = gunzip_new(&gunzip))) {
		sm_fail(reterr, err, "no memory");
	} else {
		err = restore_open_file(r, &file, gunzip, &text, reterr);
		gunzip_free(gunzip);
	}
	buf_done(&text);
	r->io->ops->close(r->io, &file);
	r->stats.files += !err;
	return err;
}

static enum sm_err restore_files(struct restore *r, struct sm_error *reterr)
{
	char pattern[PATH_MAX];
	struct stat st;
	glob_t found;
	bool dir = stat(r->o->pattern, &st) == 0 && S_ISDIR(st.st_mode);
	snprintf(pattern, sizeof pattern, dir ? "%s/*/*/*.gz" : "%s", r->o->pattern);
	int failed = glob(pattern, 0, NULL, &found);
	if (failed)
		return sm_fail(reterr, failed == GLOB_NOMATCH ? SM_NOT_FOUND : SM_IO, "no file matches %s", pattern);
	enum sm_err err = found.gl_pathc > BACKUP_FILES_MAX
				  ? sm_fail(reterr, SM_TOO_LARGE, "%s names more than %d files", pattern, BACKUP_FILES_MAX)
				  : SM_OK;
	for (size_t i = 0; i < found.gl_pathc && !err; i++)
		err = restore_file(r, found.gl_pathv[i], reterr);
	globfree(&found);
	return err ? err : write_rows(r, reterr);
}

static enum sm_err prepare(struct restore *r, const struct store_schema *schema, struct sm_error *reterr)
{
	const struct schema *fields = r->o->schema;
	struct column_field columns[SCHEMA_FIELDS_MAX];
	const struct store_table *table = schema ? store_find_table(schema, r->o->keyspace, r->o->table) : NULL;
	if (!table)
		return sm_fail(reterr, SM_NOT_FOUND, "table %s.%s does not exist", r->o->keyspace, r->o->table);
	for (uint32_t i = 0; i < fields->field_count; i++)
		columns[i] = (struct column_field){fields->fields[i].name, column_of(fields->fields[i].type)};
	r->type = row_type_new(columns, fields->field_count);
	r->values = calloc(fields->field_count + 1, sizeof *r->values);
	r->rows = r->type ? batch_new(r->type) : NULL;
	if (!r->rows || !r->values)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	return table_writer_new(table, r->type, NULL, &r->writer, reterr);
}

enum sm_err backup_restore(const struct backup_restore_options *o, struct backup_restore_stats *ret_stats, struct sm_error *reterr)
{
	struct restore r = {.o = o, .io = o->io ? o->io : &io_system};
	arena_init(&r.arena, 16 << 20);
	r.timestamp_us = (int64_t)clock_wall_us(&clock_system) - 1;
	const struct store_schema *schema = o->store->ops->schema(o->store);
	enum sm_err err = prepare(&r, schema, reterr);
	if (!err)
		err = restore_files(&r, reterr);
	if (!err)
		*ret_stats = r.stats;
	table_writer_free(r.writer);
	batch_unref(r.rows);
	row_type_unref(r.type);
	free(r.values);
	arena_done(&r.arena);
	o->store->ops->schema_release(o->store, schema);
	return err;
}
