/* What a statement does to a column with a cell for each element: lists, sets, maps and user types that are not frozen.
 *
 * To write all of them anew, what is there is cleared with the statement's time less one, so that the new elements stay. The path of a
 * list's element is made up here: [u64 place][u64 random of this process]. A place is a time in tenths of a microsecond, with the high bit
 * set for what is appended, and inverted for what is put in front, so that the later one comes first there. */
#include "store/store_internal.h"

#define PATH_BYTES 16

static _Atomic uint64_t last_place;
static _Atomic uint64_t process_tail;

/* The first of count places that nobody else has. */
static uint64_t take_places(int64_t now_us, uint32_t count)
{
	uint64_t now = (uint64_t)now_us * 10, last = atomic_load(&last_place), first;
	do
		first = now > last ? now : last + 1;
	while (!atomic_compare_exchange_weak(&last_place, &last, first + count - 1));
	return first;
}

static uint64_t tail(void)
{
	uint64_t known = atomic_load(&process_tail), mine;
	if (known)
		return known;
	random_bytes(&mine, sizeof mine);
	mine |= 1;
	return atomic_compare_exchange_strong(&process_tail, &known, mine) ? mine : known;
}

static struct store__cell *new_cell(const struct store__assigning *a, bool tombstone, struct store__row *row)
{
	struct store__cell *cell = store__row_add(row);
	if (!cell)
		return NULL;
	*cell = (struct store__cell){
		.id = a->column->id, .part = STORE__ELEMENT, .tombstone = tombstone, .timestamp_us = a->mutation->timestamp_us};
	if (tombstone) {
		cell->expiry_s = a->now_us / 1000000;
	} else if (a->mutation->ttl_s) {
		cell->ttl_s = a->mutation->ttl_s;
		cell->expiry_s = a->alive_s + a->mutation->ttl_s;
	}
	return cell;
}

static enum sm_err clear(const struct store__assigning *a, int64_t timestamp_us, struct store__row *row)
{
	struct store__cell *cell = new_cell(a, true, row);
	if (!cell)
		return SM_NO_MEMORY;
	cell->part = STORE__CLEARED;
	cell->timestamp_us = timestamp_us;
	return SM_OK;
}

static enum sm_err element(const struct store__assigning *a, struct store_cell path, struct store_cell value, struct store__row *row)
{
	if ((uint32_t)path.size > STORE_PATH_BYTES_MAX)
		return SM_TOO_LARGE;
	struct store__cell *cell = new_cell(a, value.size < 0, row);
	if (!cell)
		return SM_NO_MEMORY;
	cell->path = path.data;
	cell->path_size = (uint32_t)path.size;
	if (value.size >= 0) {
		cell->data = value.data;
		cell->size = (uint32_t)value.size;
	}
	return SM_OK;
}

static enum sm_err list_elements(const struct store__assigning *a, struct store_value_reader *r, bool front, struct store__row *row)
{
	struct store_cell value;
	const struct store_type *type;
	enum sm_err err = SM_OK;
	uint8_t *paths = r->count ? arena_alloc_raw(a->arena, (size_t)r->count * PATH_BYTES, 1) : NULL;
	uint64_t place = r->count ? take_places(a->now_us, r->count) : 0;
	if (!paths) /* it may be that nothing is added */
		return r->count ? SM_NO_MEMORY : SM_OK;
	while (!err && store_value_next(r, &value, &type)) {
		uint8_t *path = paths + (size_t)(r->index - 1) * PATH_BYTES;
		uint64_t at = (place + (front ? r->count - r->index : r->index - 1)) | 1ull << 63;
		be64_put(path, front ? ~at : at);
		be64_put(path + 8, tail());
		err = element(a, (struct store_cell){path, PATH_BYTES}, value, row);
	}
	return err;
}

static enum sm_err udt_elements(const struct store__assigning *a, struct store_value_reader *r, struct store__row *row)
{
	struct store_cell value;
	const struct store_type *type;
	enum sm_err err = SM_OK;
	uint8_t *paths = arena_alloc_raw(a->arena, (size_t)r->count * 2, 1);
	if (!paths)
		return SM_NO_MEMORY;
	while (!err && store_value_next(r, &value, &type)) {
		uint8_t *path = paths + (size_t)(r->index - 1) * 2;
		be16_put(path, (uint16_t)(r->index - 1));
		if (value.size >= 0)
			err = element(a, (struct store_cell){path, 2}, value, row);
	}
	return err;
}

/* Each element of value becomes a cell. */
static enum sm_err put_elements(const struct store__assigning *a, struct store_cell value, bool front, struct store__row *row)
{
	const struct store_type *type = &a->column->type, *element_type;
	struct store_value_reader r = store_value_reader(type, value);
	struct store_cell key, v;
	enum sm_err err = SM_OK;
	if (!store_value_ok(type, value))
		return SM_INVALID;
	if (type->id == STORE_LIST)
		return list_elements(a, &r, front, row);
	if (type->id == STORE_UDT)
		return udt_elements(a, &r, row);
	while (!err && store_value_next(&r, &key, &element_type)) {
		if (type->id == STORE_SET)
			err = element(a, key, (struct store_cell){key.data, 0}, row);
		else if (store_value_next(&r, &v, &element_type))
			err = element(a, key, v, row);
	}
	return err;
}

static enum sm_err remove_elements(const struct store__assigning *a, struct store_cell value, struct store__row *row)
{
	const struct store_type set = {STORE_SET, 1, a->column->type.elements}, *element_type;
	struct store_value_reader r = store_value_reader(&set, value);
	struct store_cell key;
	enum sm_err err = SM_OK;
	if (!store_value_ok(&set, value))
		return SM_INVALID;
	while (!err && store_value_next(&r, &key, &element_type))
		err = element(a, key, (struct store_cell){NULL, -1}, row);
	return err;
}

static enum sm_err assign_element(const struct store__assigning *a, struct store_cell path, struct store_cell value, struct store__row *row)
{
	const struct store_type *type = &a->column->type, *value_type = &type->elements[type->id == STORE_MAP ? 1 : 0];
	bool ok = path.size >= 0;
	switch (type->id) {
	case STORE_LIST: ok &= path.size == PATH_BYTES; break;
	case STORE_UDT:
		ok &= path.size == 2 && be16_get(path.data) < type->element_count;
		value_type = ok ? &type->elements[be16_get(path.data)] : value_type;
		break;
	case STORE_SET:
		ok &= value.size <= 0 && store_value_ok(&type->elements[0], path);
		return ok ? element(a, path, value, row) : SM_INVALID;
	default: ok &= store_value_ok(&type->elements[0], path); break;
	}
	return ok && store_value_ok(value_type, value) ? element(a, path, value, row) : SM_INVALID;
}

enum sm_err store__assign_elements(const struct store__assigning *a, const struct store_assignment *what, struct store__row *row)
{
	enum store_type_id id = a->column->type.id;
	bool collection = id != STORE_UDT, removed = a->mutation->kind == STORE_DELETE_CELLS;
	if (what->value.size >= 0 && (uint32_t)what->value.size > STORE_CELL_BYTES_MAX)
		return SM_TOO_LARGE;
	if (what->how == STORE_ASSIGN && removed)
		return clear(a, a->mutation->timestamp_us, row);
	if (what->how == STORE_ASSIGN) {
		enum sm_err err = clear(a, a->mutation->timestamp_us - 1, row);
		return err || what->value.size < 0 ? err : put_elements(a, what->value, false, row);
	}
	if (what->how == STORE_ASSIGN_ELEMENT)
		return assign_element(a, what->path, removed ? (struct store_cell){NULL, -1} : what->value, row);
	if (what->value.size < 0)
		return SM_OK;
	switch (what->how) {
	case STORE_ADD_ELEMENTS: return collection ? put_elements(a, what->value, false, row) : SM_INVALID;
	case STORE_PREPEND_ELEMENTS: return id == STORE_LIST ? put_elements(a, what->value, true, row) : SM_INVALID;
	case STORE_REMOVE_ELEMENTS: return id == STORE_SET || id == STORE_MAP ? remove_elements(a, what->value, row) : SM_INVALID;
	default: return SM_INVALID;
	}
}
