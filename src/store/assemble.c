/* The cells of a column with one for each element, put together to a value as clients see it. */
#include "store/store_internal.h"
#include <stdlib.h>

static int compare_elements(const void *a, const void *b, void *type)
{
	return store_compare(type, ((const struct store_element *)a)->path, ((const struct store_element *)b)->path);
}

/* Cells come in the order of their paths' bytes: for many types that is the type's order already. */
static void sort(const struct store_type *type, struct store_element *items, uint32_t count)
{
	const struct store_type *key = &type->elements[0];
	uint32_t i = 1;
	while (i < count && store_compare(key, items[i - 1].path, items[i].path) < 0)
		i++;
	if (i < count)
		qsort_r(items, count, sizeof *items, compare_elements, (void *)(uintptr_t)key);
}

static uint8_t *put(uint8_t *to, struct store_cell v)
{
	be32_put(to, (uint32_t)v.size);
	if (v.size > 0)
		memcpy(to + 4, v.data, (size_t)v.size);
	return to + 4 + (v.size > 0 ? v.size : 0);
}

/* Fields without a cell are null, those that the type does not have are left out. */
static bool fields(const struct store_type *type, const struct store_elements *e, struct arena *arena, struct store_cell *ret)
{
	size_t size = 4 * (size_t)type->element_count;
	for (uint32_t i = 0; i < e->count; i++)
		size += (size_t)e->items[i].value.size;
	uint8_t *data = arena_alloc_raw(arena, size, 1), *to = data;
	if (!data)
		return false;
	for (uint32_t field = 0, i = 0; field < type->element_count; field++) {
		while (i < e->count && (e->items[i].path.size != 2 || be16_get(e->items[i].path.data) < field))
			i++;
		bool there = i < e->count && be16_get(e->items[i].path.data) == field;
		to = put(to, there ? e->items[i].value : (struct store_cell){NULL, -1});
	}
	*ret = (struct store_cell){data, (int32_t)(to - data)};
	return true;
}

static bool collection(const struct store_type *type, const struct store_elements *e, struct arena *arena, struct store_cell *ret)
{
	bool paths = type->id != STORE_LIST, values = type->id != STORE_SET;
	size_t size = 4;
	for (uint32_t i = 0; i < e->count; i++)
		size += (paths ? 4 + (size_t)e->items[i].path.size : 0) + (values ? 4 + (size_t)e->items[i].value.size : 0);
	uint8_t *data = size <= INT32_MAX ? arena_alloc_raw(arena, size, 1) : NULL, *to = data;
	if (!data)
		return false;
	be32_put(to, e->count);
	to += 4;
	for (uint32_t i = 0; i < e->count; i++) {
		if (paths)
			to = put(to, e->items[i].path);
		if (values)
			to = put(to, e->items[i].value);
	}
	*ret = (struct store_cell){data, (int32_t)size};
	return true;
}

enum sm_err store__assemble(const struct store_type *type, struct store_element *items, uint32_t count, struct arena *arena,
			    struct store_cell *ret_value)
{
	struct store_elements e = {items, count};
	if (type->id == STORE_SET || type->id == STORE_MAP)
		sort(type, items, count);
	bool ok = type->id == STORE_UDT ? fields(type, &e, arena, ret_value) : collection(type, &e, arena, ret_value);
	return ok ? SM_OK : SM_NO_MEMORY;
}
