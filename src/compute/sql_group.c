/* Groups and aggregates, in memory and as bytes. The same bytes go through the shuffle of a batch query and into the store between
 * micro-batches, so both compute the same thing.
 *
 * key:   for each group expression, one value
 * value: u8 0 for null, else 1 and: boolean u8; int, bigint, timestamp be64; double be64 of its bits (0.0 for -0.0, one NaN);
 *        string, binary uvarint size and bytes; uuid 16 bytes
 * state: u8 1 (version); be32 fingerprint of the grouping; for each aggregate:
 *        count, count_if   uvarint n
 *        sum, avg          uvarint n; integers: 16 bytes of a 128-bit sum, big-endian; doubles: be64 bits
 *        min, max          value
 *        count distinct    uvarint n; n values, ascending as bytes
 * Integer sums are kept in 128 bits and only the result is checked, so that no order of additions can overflow on its way. */
#include "base/hash.h"
#include "compute/sql_internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define STATE_VERSION 1

__extension__ typedef __int128 sum128;
__extension__ typedef unsigned __int128 unsigned128;

struct cell {
	int64_t count; /* rows counted; of sum and avg: values that were not null */
	union {
		sum128 sum;
		double real;
		struct value value; /* min and max; bytes lie in heap */
		struct map *distinct;
	};
	uint8_t *heap;
	size_t heap_cap;
};
struct group {
	uint8_t *key;
	size_t key_size;
	struct cell cells[];
};

/* ---- values as bytes ---- */

static void value_append(struct buf *out, const struct value *v)
{
	uint64_t bits;
	buf_u8(out, !v->null);
	if (v->null)
		return;
	switch (v->type) {
	case COLUMN_BOOL: buf_u8(out, v->boolean); break;
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: buf_be64(out, (uint64_t)v->integer); break;
	case COLUMN_DOUBLE: {
		double d = v->real == 0 ? 0 : isnan(v->real) ? (double)NAN : v->real;
		memcpy(&bits, &d, 8);
		buf_be64(out, bits);
		break;
	}
	case COLUMN_TEXT:
	case COLUMN_BLOB:
		buf_uvarint(out, v->bytes.size);
		buf_append_bytes(out, v->bytes);
		break;
	case COLUMN_UUID: buf_append(out, v->bytes.data, 16); break;
	}
}

void key_append(struct buf *key, const struct vec *v, uint32_t row)
{
	struct value value = vec_get(v, row);
	value_append(key, &value);
}

enum sm_err key_read(struct byte_reader *r, enum column_type type, struct value *ret)
{
	uint8_t there = reader_u8(r);
	uint64_t bits;
	*ret = (struct value){.type = type, .null = !there};
	if (r->failed || there > 1)
		return SM_CORRUPT;
	if (!there)
		return SM_OK;
	switch (type) {
	case COLUMN_BOOL: ret->boolean = reader_u8(r) != 0; break;
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: ret->integer = (int64_t)reader_be64(r); break;
	case COLUMN_DOUBLE:
		bits = reader_be64(r);
		memcpy(&ret->real, &bits, 8);
		break;
	case COLUMN_TEXT:
	case COLUMN_BLOB: {
		uint64_t size = reader_uvarint(r);
		ret->bytes = bytes_of(size <= reader_left(r) ? reader_take(r, size) : NULL, size);
		if (!ret->bytes.data)
			return SM_CORRUPT;
		break;
	}
	case COLUMN_UUID: ret->bytes = bytes_of(reader_take(r, 16), 16); break;
	}
	return r->failed ? SM_CORRUPT : SM_OK;
}

uint32_t grouping_fingerprint(const struct grouping *g)
{
	uint32_t crc = 0;
	for (uint32_t i = 0; i < g->key_count; i++)
		crc = crc32c(crc, (uint8_t[]){'k', (uint8_t)g->keys[i]->type}, 2);
	for (uint32_t i = 0; i < g->aggregate_count; i++) {
		const struct aggregate *a = &g->aggregates[i];
		crc = crc32c(crc, (uint8_t[]){'a', (uint8_t)a->kind, (uint8_t)(a->arg ? a->arg->type : 255)}, 3);
	}
	return crc;
}

struct row_type *grouping_row_type(const struct grouping *g)
{
	uint32_t count = g->key_count + g->aggregate_count;
	struct column_field *fields = calloc(count ? count : 1, sizeof *fields);
	char(*names)[24] = calloc(count ? count : 1, sizeof *names);
	struct row_type *type = NULL;
	if (fields && names) {
		for (uint32_t i = 0; i < count; i++) {
			bool key = i < g->key_count;
			snprintf(names[i], sizeof names[i], key ? "key%u" : "aggregate%u", key ? i : i - g->key_count);
			fields[i] = (struct column_field){names[i], key ? g->keys[i]->type : g->aggregates[i - g->key_count].type};
		}
		type = row_type_new(fields, count);
	}
	free(fields);
	free(names);
	return type;
}

/* ---- the table ---- */

void group_table_init(struct group_table *t, const struct grouping *grouping)
{
	*t = (struct group_table){.grouping = grouping};
	map_init(&t->map);
	buf_init(&t->key);
}

static void group_free(const struct group_table *t, struct group *g)
{
	for (uint32_t i = 0; i < t->grouping->aggregate_count; i++) {
		struct cell *c = &g->cells[i];
		if (t->grouping->aggregates[i].kind == AGG_COUNT_DISTINCT && c->distinct) {
			map_done(c->distinct);
			free(c->distinct);
		}
		free(c->heap);
	}
	free(g->key);
	free(g);
}

void group_table_done(struct group_table *t)
{
	for (uint32_t i = 0; i < t->count; i++)
		group_free(t, t->groups[i]);
	free(t->groups);
	map_done(&t->map);
	buf_done(&t->key);
	*t = (struct group_table){.grouping = t->grouping};
}

static enum sm_err find_group(struct group_table *t, struct bytes key, struct group **ret)
{
	uint32_t aggregates = t->grouping->aggregate_count;
	struct group *g = map_get(&t->map, key);
	enum sm_err err;
	if (g) {
		*ret = g;
		return SM_OK;
	}
	if (t->count == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 16;
		struct group **more = realloc(t->groups, cap * sizeof *more);
		if (!more)
			return SM_NO_MEMORY;
		t->groups = more;
		t->cap = cap;
	}
	if (!(g = calloc(1, sizeof *g + aggregates * sizeof *g->cells)) || !(g->key = malloc(key.size ? key.size : 1))) {
		free(g);
		return SM_NO_MEMORY;
	}
	if (key.size)
		memcpy(g->key, key.data, key.size);
	g->key_size = key.size;
	for (uint32_t i = 0; i < aggregates; i++)
		if (t->grouping->aggregates[i].kind == AGG_MIN || t->grouping->aggregates[i].kind == AGG_MAX)
			g->cells[i].value.null = true;
	if ((err = map_put(&t->map, key, g, NULL))) {
		free(g->key);
		free(g);
		return err;
	}
	t->groups[t->count++] = g;
	t->bytes += sizeof *g + aggregates * sizeof *g->cells + 2 * key.size + 64;
	*ret = g;
	return SM_OK;
}

enum sm_err group_table_empty(struct group_table *t)
{
	struct group *g;
	return find_group(t, bytes_of("", 0), &g);
}

/* Keep v as the least or greatest; its bytes are copied. */
static enum sm_err keep_value(struct group_table *t, struct cell *c, struct value v)
{
	c->value = v;
	if (v.null || (v.type != COLUMN_TEXT && v.type != COLUMN_BLOB && v.type != COLUMN_UUID))
		return SM_OK;
	if (v.bytes.size > c->heap_cap || !c->heap) {
		size_t cap = v.bytes.size < 16 ? 16 : v.bytes.size;
		uint8_t *heap = realloc(c->heap, cap);
		if (!heap)
			return SM_NO_MEMORY;
		t->bytes += cap - c->heap_cap;
		c->heap = heap;
		c->heap_cap = cap;
	}
	if (v.bytes.size)
		memcpy(c->heap, v.bytes.data, v.bytes.size);
	c->value.bytes.data = c->heap;
	return SM_OK;
}

static enum sm_err keep_extreme(struct group_table *t, struct cell *c, struct value v, bool max)
{
	if (v.null)
		return SM_OK;
	int d = c->value.null ? 0 : value_compare(v, c->value);
	return c->value.null || (max ? d > 0 : d < 0) ? keep_value(t, c, v) : SM_OK;
}

static enum sm_err keep_distinct(struct group_table *t, struct cell *c, struct bytes encoded)
{
	if (!c->distinct) {
		if (!(c->distinct = malloc(sizeof *c->distinct)))
			return SM_NO_MEMORY;
		map_init(c->distinct);
	}
	if (map_get(c->distinct, encoded))
		return SM_OK;
	t->bytes += encoded.size + 64;
	c->count++;
	return map_put(c->distinct, encoded, c, NULL);
}

static enum sm_err add_value(struct group_table *t, const struct aggregate *a, struct cell *c, const struct vec *arg, uint32_t i)
{
	if (a->arg && arg->null && arg->null[i])
		return SM_OK;
	switch (a->kind) {
	case AGG_COUNT: c->count++; return SM_OK;
	case AGG_COUNT_IF: c->count += arg->booleans[i]; return SM_OK;
	case AGG_SUM:
	case AGG_AVG:
		c->count++;
		if (arg->type == COLUMN_DOUBLE)
			c->real += arg->reals[i];
		else
			c->sum += arg->integers[i];
		return SM_OK;
	case AGG_MIN:
	case AGG_MAX: return keep_extreme(t, c, vec_get(arg, i), a->kind == AGG_MAX);
	case AGG_COUNT_DISTINCT: {
		buf_clear(&t->key);
		key_append(&t->key, arg, i);
		return t->key.failed ? SM_NO_MEMORY : keep_distinct(t, c, buf_bytes(&t->key));
	}
	}
	return SM_OK;
}

enum sm_err group_table_add(struct group_table *t, const struct expr *filter, struct eval *c)
{
	const struct grouping *g = t->grouping;
	uint32_t count = g->key_count + g->aggregate_count, n;
	struct vec *vecs = arena_alloc(c->arena, (count ? count : 1) * sizeof *vecs);
	const uint32_t *rows;
	enum sm_err err;
	if (!vecs)
		return sm_fail(c->reterr, arena_error(c->arena), "an aggregate needs too much memory for one batch");
	if ((err = expr_select(filter, c, &rows, &n)))
		return err;
	for (uint32_t k = 0; k < count; k++) {
		const struct expr *e = k < g->key_count ? g->keys[k] : g->aggregates[k - g->key_count].arg;
		if (e && (err = expr_eval(e, c, rows, n, &vecs[k])))
			return err;
	}
	for (uint32_t i = 0; i < n && !err; i++) {
		struct group *group;
		buf_clear(&t->key);
		for (uint32_t k = 0; k < g->key_count; k++)
			key_append(&t->key, &vecs[k], i);
		err = t->key.failed ? SM_NO_MEMORY : find_group(t, buf_bytes(&t->key), &group);
		for (uint32_t k = 0; k < g->aggregate_count && !err; k++)
			err = add_value(t, &g->aggregates[k], &group->cells[k], &vecs[g->key_count + k], i);
	}
	return err ? sm_fail(c->reterr, err, "out of memory in an aggregate") : SM_OK;
}

/* ---- states ---- */

struct bytes group_key(const struct group *g)
{
	return bytes_of(g->key, g->key_size);
}

static int compare_encoded(const void *a, const void *b)
{
	return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static void distinct_state(const struct cell *c, struct buf *out)
{
	struct bytes *all = c->count ? calloc((size_t)c->count, sizeof *all) : NULL;
	size_t pos = 0, n = 0;
	void *value;
	if (c->count && !all) {
		out->failed = true;
		return;
	}
	while (c->count && map_next(c->distinct, &pos, &all[n], &value))
		if (++n == (size_t)c->count)
			break;
	if (n)
		qsort(all, n, sizeof *all, compare_encoded);
	buf_uvarint(out, n);
	for (size_t i = 0; i < n; i++)
		buf_append_bytes(out, all[i]);
	free(all);
}

void group_state(const struct group_table *t, const struct group *g, struct buf *out)
{
	buf_u8(out, STATE_VERSION);
	buf_be32(out, t->grouping->fingerprint);
	for (uint32_t i = 0; i < t->grouping->aggregate_count; i++) {
		const struct aggregate *a = &t->grouping->aggregates[i];
		const struct cell *c = &g->cells[i];
		uint64_t bits;
		switch (a->kind) {
		case AGG_COUNT:
		case AGG_COUNT_IF: buf_uvarint(out, (uint64_t)c->count); break;
		case AGG_SUM:
		case AGG_AVG:
			buf_uvarint(out, (uint64_t)c->count);
			if (a->arg->type == COLUMN_DOUBLE) {
				memcpy(&bits, &c->real, 8);
				buf_be64(out, bits);
			} else {
				buf_be64(out, (uint64_t)(c->sum >> 64));
				buf_be64(out, (uint64_t)c->sum);
			}
			break;
		case AGG_MIN:
		case AGG_MAX: value_append(out, &c->value); break;
		case AGG_COUNT_DISTINCT: distinct_state(c, out); break;
		}
	}
}

static enum sm_err merge_sum(const struct aggregate *a, struct cell *c, struct byte_reader *r)
{
	uint64_t n = reader_uvarint(r), high = reader_be64(r);
	if (n > (uint64_t)INT64_MAX - (uint64_t)c->count)
		return SM_CORRUPT;
	c->count += (int64_t)n;
	if (a->arg->type == COLUMN_DOUBLE) {
		double d;
		memcpy(&d, &high, 8);
		c->real += d;
	} else {
		unsigned128 add = (unsigned128)high << 64 | reader_be64(r);
		c->sum = (sum128)((unsigned128)c->sum + add);
	}
	return SM_OK;
}

static enum sm_err merge_distinct(struct group_table *t, const struct aggregate *a, struct cell *c, struct byte_reader *r)
{
	uint64_t n = reader_uvarint(r);
	enum sm_err err = SM_OK;
	for (; n && !err; n--) {
		const uint8_t *start = r->at;
		struct value v;
		if ((err = key_read(r, a->arg->type, &v)))
			return err;
		err = keep_distinct(t, c, bytes_of(start, (size_t)(r->at - start)));
	}
	return err;
}

enum sm_err group_table_merge(struct group_table *t, struct bytes key, struct bytes state)
{
	struct byte_reader r = byte_reader(state);
	struct group *g;
	enum sm_err err;
	if (reader_u8(&r) != STATE_VERSION || reader_be32(&r) != t->grouping->fingerprint)
		return r.failed ? SM_CORRUPT : SM_VERSION;
	if ((err = find_group(t, key, &g)))
		return err;
	for (uint32_t i = 0; i < t->grouping->aggregate_count && !err; i++) {
		const struct aggregate *a = &t->grouping->aggregates[i];
		struct cell *c = &g->cells[i];
		struct value v;
		switch (a->kind) {
		case AGG_COUNT:
		case AGG_COUNT_IF: {
			uint64_t n = reader_uvarint(&r);
			if (n > (uint64_t)INT64_MAX - (uint64_t)c->count)
				return SM_CORRUPT;
			c->count += (int64_t)n;
			break;
		}
		case AGG_SUM:
		case AGG_AVG: err = merge_sum(a, c, &r); break;
		case AGG_MIN:
		case AGG_MAX:
			if (!(err = key_read(&r, a->type, &v)))
				err = keep_extreme(t, c, v, a->kind == AGG_MAX);
			break;
		case AGG_COUNT_DISTINCT: err = merge_distinct(t, a, c, &r); break;
		}
	}
	if (!err && (r.failed || reader_left(&r)))
		err = SM_CORRUPT;
	return err;
}

/* ---- results ---- */

static enum sm_err result_of(const struct aggregate *a, const struct cell *c, struct value *ret, struct sm_error *reterr)
{
	*ret = (struct value){.type = a->type};
	switch (a->kind) {
	case AGG_COUNT:
	case AGG_COUNT_IF:
	case AGG_COUNT_DISTINCT: ret->integer = c->count; return SM_OK;
	case AGG_MIN:
	case AGG_MAX:
		*ret = c->value;
		ret->type = a->type;
		return SM_OK;
	case AGG_SUM:
		ret->null = c->count == 0;
		if (a->type == COLUMN_DOUBLE)
			ret->real = c->real;
		else if (c->sum > INT64_MAX || c->sum < INT64_MIN)
			return sm_fail(reterr, SM_OUT_OF_RANGE, "bigint overflow in sum: cast its argument to double");
		else
			ret->integer = (int64_t)c->sum;
		return SM_OK;
	case AGG_AVG:
		ret->null = c->count == 0;
		if (c->count)
			ret->real = (a->arg->type == COLUMN_DOUBLE ? c->real : (double)c->sum) / (double)c->count;
		return SM_OK;
	}
	return SM_OK;
}

enum sm_err group_row(const struct group_table *t, const struct group *g, struct batch *out, struct sm_error *reterr)
{
	struct byte_reader key = byte_reader(group_key(g));
	struct value v;
	enum sm_err err;
	for (uint32_t i = 0; i < t->grouping->key_count; i++) {
		if ((err = key_read(&key, t->grouping->keys[i]->type, &v)) || (err = batch_put(out, i, v)))
			return sm_fail(reterr, err, "a group's key: %s", sm_err_text(err));
	}
	if (reader_left(&key))
		return sm_fail(reterr, SM_CORRUPT, "a group's key has %zu bytes too many", reader_left(&key));
	for (uint32_t i = 0; i < t->grouping->aggregate_count; i++) {
		if ((err = result_of(&t->grouping->aggregates[i], &g->cells[i], &v, reterr)))
			return err;
		if ((err = batch_put(out, t->grouping->key_count + i, v)))
			return sm_fail(reterr, err, "an aggregate's result: %s", sm_err_text(err));
	}
	batch_row_end(out);
	return SM_OK;
}
