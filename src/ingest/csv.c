/* CSV with a header (RFC 4180): each row becomes a JSON object, checked like any other event.
 *
 * A cell is text; where the schema asks for something else than a string and the cell is sound JSON it is taken as that, so that 12 is a
 * number and "12" of a string field stays one. A cell without quotes and without text says nothing: the member is absent. */
#include "ingest/ingest_internal.h"

static enum sm_err quoted_cell(struct csv_reader *r, struct arena *arena, struct bytes *ret_text)
{
	const uint8_t *at = r->rest.data + 1, *end = r->rest.data + r->rest.size, *start = at;
	size_t doubled = 0;
	for (;; at++) {
		if (at == end)
			return SM_SYNTAX;
		if (*at == '\n')
			r->line++;
		if (*at != '"')
			continue;
		if (at + 1 == end || at[1] != '"')
			break;
		doubled++;
		at++;
	}
	*ret_text = bytes_of(start, (size_t)(at - start));
	r->rest = bytes_of(at + 1, (size_t)(end - at - 1));
	if (!doubled)
		return SM_OK;
	uint8_t *out = arena_alloc_raw(arena, ret_text->size - doubled, 1), *to = out;
	if (!out)
		return arena_error(arena);
	for (const uint8_t *from = start; from < at; from++) {
		*to++ = *from;
		if (*from == '"')
			from++;
	}
	*ret_text = bytes_of(out, (size_t)(to - out));
	return SM_OK;
}

static enum sm_err plain_cell(struct csv_reader *r, struct bytes *ret_text)
{
	size_t n = 0;
	while (n < r->rest.size && r->rest.data[n] != ',' && r->rest.data[n] != '\n') {
		if (r->rest.data[n] == '"')
			return SM_SYNTAX;
		n++;
	}
	*ret_text = bytes_of(r->rest.data, n);
	r->rest = bytes_of(r->rest.data + n, r->rest.size - n);
	if ((!r->rest.size || *r->rest.data == '\n') && n && ret_text->data[n - 1] == '\r')
		ret_text->size--;
	return SM_OK;
}

enum sm_err csv_next(struct csv_reader *r, struct arena *arena, struct csv_cell *cells, uint32_t room, uint32_t *ret_count,
		     uint32_t *ret_line)
{
	*ret_count = 0;
	*ret_line = r->line;
	if (!r->rest.size)
		return SM_END;
	for (;;) {
		if (*ret_count == room)
			return SM_TOO_LARGE;
		struct csv_cell *cell = &cells[(*ret_count)++];
		cell->quoted = r->rest.size && *r->rest.data == '"';
		enum sm_err err = cell->quoted ? quoted_cell(r, arena, &cell->text) : plain_cell(r, &cell->text);
		if (err)
			return err;
		if (cell->quoted && r->rest.size && *r->rest.data == '\r' && (r->rest.size == 1 || r->rest.data[1] == '\n'))
			r->rest = bytes_of(r->rest.data + 1, r->rest.size - 1);
		if (!r->rest.size)
			return SM_OK;
		uint8_t c = *r->rest.data;
		if (c != ',' && c != '\n')
			return SM_SYNTAX;
		r->rest = bytes_of(r->rest.data + 1, r->rest.size - 1);
		r->line += c == '\n';
		if (c == '\n')
			return SM_OK;
	}
}

/* ---- rows to events ---- */

struct table {
	struct job *job;
	struct csv_cell *names, *cells;
	int *fields; /* of the schema, by column; -1: none */
	uint32_t count;
};

/* Whether the cell as it stands, which is out's end from `from` on, is one JSON value. */
static bool is_json(struct buf *out, size_t from, struct arena *arena)
{
	size_t size = buf_size(out) - from;
	struct bytes value, text;
	buf_u8(out, ','); /* a number's end is seen by what follows */
	text = bytes_of(out->data + out->start + from, size + 1);
	bool ok = !out->failed && !json_value_next(&text, arena, &value) && value.size == size;
	out->end--;
	return ok;
}

static void put_cell(struct table *t, uint32_t column, struct buf *out)
{
	const struct schema *schema = t->job->entry->schema;
	const struct csv_cell *cell = &t->cells[column];
	int field = t->fields[column];
	if (!cell->quoted && field >= 0 && schema->fields[field].type > SCHEMA_DATE_TIME) {
		size_t from = buf_size(out);
		buf_append_bytes(out, cell->text);
		if (is_json(out, from, t->job->request->arena))
			return;
		out->end = out->start + from;
	}
	buf_json_string(out, cell->text);
}

static enum sm_err take_row(struct table *t, struct buf *out, uint32_t count, uint32_t line)
{
	struct job *job = t->job;
	if (count == 1 && !t->cells[0].quoted && !t->cells[0].text.size)
		return SM_OK; /* a blank line */
	if (count != t->count) {
		ingest__wrong(job, "obj", "error.csv.columns", line);
		return SM_OK;
	}
	for (uint32_t i = 0; i < count; i++)
		if (!bytes_are_utf8(t->cells[i].text)) {
			ingest__wrong(job, "obj", "error.expected.utf8", line);
			return SM_OK;
		}
	buf_clear(out);
	buf_u8(out, '{');
	for (uint32_t i = 0; i < count; i++) {
		if (!t->cells[i].quoted && !t->cells[i].text.size)
			continue;
		if (buf_size(out) > 1)
			buf_u8(out, ',');
		buf_json_string(out, t->names[i].text);
		buf_u8(out, ':');
		put_cell(t, i, out);
	}
	buf_u8(out, '}');
	struct bytes text = buf_bytes(out);
	uint8_t *copy = out->failed ? NULL : arena_copy(job->request->arena, text.data, text.size);
	if (!copy)
		return out->failed ? SM_NO_MEMORY : arena_error(job->request->arena);
	return ingest__check(job, &(struct line){.text = bytes_of(copy, text.size)}, line);
}

/* The first row. Problems of it are those of the whole. */
static enum sm_err read_names(struct table *t, struct csv_reader *reader)
{
	struct arena *arena = t->job->request->arena;
	const struct schema *schema = t->job->entry->schema;
	uint32_t line;
	t->names = arena_alloc_raw(arena, INGEST_COLUMNS_MAX * sizeof *t->names, _Alignof(struct csv_cell));
	t->cells = arena_alloc_raw(arena, INGEST_COLUMNS_MAX * sizeof *t->cells, _Alignof(struct csv_cell));
	t->fields = arena_alloc_raw(arena, INGEST_COLUMNS_MAX * sizeof *t->fields, _Alignof(int));
	if (!t->names || !t->cells || !t->fields)
		return arena_error(arena);
	enum sm_err err = csv_next(reader, arena, t->names, INGEST_COLUMNS_MAX, &t->count, &line);
	for (uint32_t i = 0; i < t->count && !err; i++) {
		char *name = arena_string(arena, (const char *)t->names[i].text.data, t->names[i].text.size);
		if (!name)
			return arena_error(arena);
		if (!*name || strlen(name) != t->names[i].text.size || !bytes_are_utf8(t->names[i].text))
			return SM_INVALID;
		for (uint32_t j = 0; j < i; j++)
			if (bytes_equal(t->names[j].text, t->names[i].text))
				return SM_INVALID;
		t->fields[i] = schema_find(schema, name);
	}
	return err == SM_END ? SM_INVALID : err;
}

enum sm_err ingest__csv(struct job *job, struct bytes body)
{
	struct table t = {.job = job};
	struct csv_reader reader = {body, 1};
	uint32_t count, line = 1;
	if (body.size >= 3 && memcmp(body.data, "\xef\xbb\xbf", 3) == 0) /* as spreadsheets write it */
		reader.rest = bytes_of(body.data + 3, body.size - 3);
	enum sm_err err = read_names(&t, &reader);
	struct buf row;
	buf_init(&row);
	bool named = !err;
	while (!err && !(err = csv_next(&reader, job->request->arena, t.cells, INGEST_COLUMNS_MAX, &count, &line)))
		err = take_row(&t, &row, count, line);
	buf_done(&row);
	if (err == SM_END)
		return SM_OK;
	if (err == SM_SYNTAX || (!named && (err == SM_INVALID || err == SM_TOO_LARGE))) {
		/* Behind a quote in the wrong place no row is sure. */
		ingest__wrong(job, "obj", named ? "error.invalid.csv" : "error.csv.header", line);
		job->skip = false;
		return SM_OK;
	}
	if (err == SM_TOO_LARGE && count == INGEST_COLUMNS_MAX) {
		ingest__wrong(job, "obj", "error.csv.columns", line);
		job->skip = false;
		return SM_OK;
	}
	return err;
}
