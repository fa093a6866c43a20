#include "cli/command.h"
#include <stdio.h>
#include <stdlib.h>

struct cell {
	char *text;
	bool right;
};
struct text_table {
	uint32_t columns;
	struct cell *cells;
	size_t count, cap;
};

struct text_table *text_table_new(uint32_t columns)
{
	struct text_table *t = calloc(1, sizeof *t);
	if (t)
		t->columns = columns ? columns : 1;
	return t;
}

void text_table_free(struct text_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

void text_table_cell(struct text_table *t, const char *value, bool right)
{
	if (!t)
		return;
	if (t->count == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct cell *cells = realloc(t->cells, cap * sizeof *cells);
		if (!cells)
			abort(); /* a table for a person: there is no better answer */
		t->cells = cells;
		t->cap = cap;
	}
	char *copy = strdup(value ? value : "null");
	if (!copy)
		abort();
	t->cells[t->count++] = (struct cell){copy, right};
}

/* Columns on a terminal: UTF-8 continuation bytes take no room. */
static size_t width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void text_table_print(const struct text_table *t, void *stream)
{
	FILE *out = stream;
	size_t *widths = t ? calloc(t->columns, sizeof *widths) : NULL;
	if (!widths)
		return;
	for (size_t i = 0; i < t->count; i++) {
		size_t w = width(t->cells[i].text);
		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->count; i++) {
		size_t column = i % t->columns, pad = widths[column] - width(t->cells[i].text);
		bool last = column + 1 == t->columns;
		fprintf(out, " %*s%s%*s%s", t->cells[i].right ? (int)pad : 0, "", t->cells[i].text,
			t->cells[i].right || last ? 0 : (int)pad, "", last ? "\n" : " |");
		if (last && i + 1 == t->columns) {
			for (size_t c = 0; c < t->columns; c++) {
				for (size_t k = 0; k < widths[c] + 2; k++)
					fputc('-', out);
				fputs(c + 1 == t->columns ? "\n" : "+", out);
			}
		}
	}
	free(widths);
}
