/* The range deletions of one partition, so that a row finds the newest that covers it by bisection, however many there are.
 *
 * All bounds, sorted, cut the clusterings into pieces; within a piece all rows are covered by the same deletions. The deletions are
 * laid on from the newest to the oldest, each on the pieces that nothing newer covers; `next` leads over those that are taken. */
#include "store/store_internal.h"
#include <stdlib.h>

struct store__range {
	size_t lower_at, lower_size, upper_at, upper_size; /* in ranges->bytes */
	bool has_upper;
	int64_t deleted_us;
};
struct store__piece {
	size_t at, size; /* its first clustering, in ranges->bytes; it ends where the next begins */
	int64_t deleted_us;
	uint32_t next;
};

void store__ranges_clear(struct store__ranges *r)
{
	buf_clear(&r->bytes);
	r->count = r->piece_count = 0;
}

void store__ranges_done(struct store__ranges *r)
{
	buf_done(&r->bytes);
	free(r->items);
	free(r->pieces);
	*r = (struct store__ranges){0};
}

enum sm_err store__ranges_add(struct store__ranges *r, struct store_span span, int64_t deleted_us)
{
	if (r->count == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : 8;
		struct store__range *items = realloc(r->items, cap * sizeof *items);
		if (!items)
			return SM_NO_MEMORY;
		r->items = items;
		r->cap = cap;
	}
	struct store__range *one = &r->items[r->count++];
	*one = (struct store__range){
		.lower_at = r->bytes.end, .lower_size = span.lower.size, .has_upper = span.has_upper, .deleted_us = deleted_us};
	buf_append_bytes(&r->bytes, span.lower);
	one->upper_at = r->bytes.end;
	one->upper_size = span.upper.size;
	buf_append_bytes(&r->bytes, span.upper);
	return r->bytes.failed ? SM_NO_MEMORY : SM_OK;
}

static struct bytes piece_start(const struct store__ranges *r, const struct store__piece *p)
{
	return bytes_of(r->bytes.data + p->at, p->size);
}

static int compare_pieces(const void *a, const void *b, void *arg)
{
	return bytes_compare(piece_start(arg, a), piece_start(arg, b));
}

static int newest_first(const void *a, const void *b)
{
	const struct store__range *x = a, *y = b;
	return (x->deleted_us < y->deleted_us) - (x->deleted_us > y->deleted_us);
}

/* The last piece that begins at or before clustering; piece_count: it is before them all. */
static uint32_t piece_of(const struct store__ranges *r, struct bytes clustering)
{
	uint32_t low = 0, high = r->piece_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (bytes_compare(piece_start(r, &r->pieces[middle]), clustering) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : r->piece_count;
}

static void cut(struct store__ranges *r)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		const struct store__range *one = &r->items[i];
		r->pieces[n++] = (struct store__piece){.at = one->lower_at, .size = one->lower_size};
		if (one->has_upper)
			r->pieces[n++] = (struct store__piece){.at = one->upper_at, .size = one->upper_size};
	}
	qsort_r(r->pieces, n, sizeof *r->pieces, compare_pieces, r);
	r->piece_count = 0;
	for (uint32_t i = 0; i < n; i++)
		if (i == 0 || compare_pieces(&r->pieces[r->piece_count - 1], &r->pieces[i], r) != 0)
			r->pieces[r->piece_count++] = r->pieces[i];
	for (uint32_t i = 0; i < r->piece_count; i++) {
		r->pieces[i].deleted_us = STORE_NO_TIME;
		r->pieces[i].next = i;
	}
}

/* The first piece from i on that nothing covers yet; piece_count: none. Shortens the way for the next time. */
static uint32_t first_free(struct store__ranges *r, uint32_t i)
{
	uint32_t end = i;
	while (end < r->piece_count && r->pieces[end].next != end)
		end = r->pieces[end].next;
	while (i < end) {
		uint32_t next = r->pieces[i].next;
		r->pieces[i].next = end;
		i = next;
	}
	return end;
}

enum sm_err store__ranges_ready(struct store__ranges *r)
{
	if (r->count == 0)
		return SM_OK;
	struct store__piece *pieces = realloc(r->pieces, (size_t)r->count * 2 * sizeof *pieces);
	if (!pieces)
		return SM_NO_MEMORY;
	r->pieces = pieces;
	cut(r);
	qsort(r->items, r->count, sizeof *r->items, newest_first);
	for (uint32_t i = 0; i < r->count; i++) {
		const struct store__range *one = &r->items[i];
		uint32_t from = piece_of(r, bytes_of(r->bytes.data + one->lower_at, one->lower_size));
		uint32_t to = one->has_upper ? piece_of(r, bytes_of(r->bytes.data + one->upper_at, one->upper_size)) : r->piece_count;
		for (uint32_t p = first_free(r, from); p < to; p = first_free(r, p)) {
			r->pieces[p].deleted_us = one->deleted_us;
			r->pieces[p].next = p + 1;
		}
	}
	return SM_OK;
}

int64_t store__ranges_covering(const struct store__ranges *r, struct bytes clustering)
{
	uint32_t p = r->piece_count ? piece_of(r, clustering) : r->piece_count;
	return p < r->piece_count ? r->pieces[p].deleted_us : STORE_NO_TIME;
}
