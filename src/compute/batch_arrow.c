/* batch_export: what each structure owns hangs on its private_data, and a child can outlive its parent, so each child holds references of
 * its own. */
#include "compute/arrow.h"
#include "compute/batch.h"
#include <stdlib.h>

/* Metadata of a UUID: one pair, each string with its native-endian int32 length before it. */
struct uuid_metadata {
	int32_t pairs, key_size;
	char key[20];
	int32_t value_size;
	char value[10];
} __attribute__((packed));
static const struct uuid_metadata uuid_metadata = {
	1,
	20,
	{'A', 'R', 'R', 'O', 'W', ':', 'e', 'x', 't', 'e', 'n', 's', 'i', 'o', 'n', ':', 'n', 'a', 'm', 'e'},
	10,
	{'a', 'r', 'r', 'o', 'w', '.', 'u', 'u', 'i', 'd'}};

static const char *format_of(enum column_type type)
{
	static const char *const formats[] = {"b", "i", "l", "g", "u", "z", "w:16", "tsm:UTC"};
	return formats[type];
}

struct schema_owner {
	struct row_type *type;
	struct ArrowSchema *children[];
};
struct array_owner {
	struct batch *batch;
	const void *buffers[3];
	struct ArrowArray *children[];
};

/* A child whose release is NULL was moved out; its shell is still ours. */
static void release_schema(struct ArrowSchema *schema)
{
	struct schema_owner *owner = schema->private_data;
	for (int64_t i = 0; i < schema->n_children; i++) {
		if (owner->children[i] && owner->children[i]->release)
			owner->children[i]->release(owner->children[i]);
		free(owner->children[i]);
	}
	row_type_unref(owner->type);
	free(owner);
	schema->release = NULL;
}

static void release_array(struct ArrowArray *array)
{
	struct array_owner *owner = array->private_data;
	for (int64_t i = 0; i < array->n_children; i++) {
		if (owner->children[i] && owner->children[i]->release)
			owner->children[i]->release(owner->children[i]);
		free(owner->children[i]);
	}
	batch_unref(owner->batch);
	free(owner);
	array->release = NULL;
}

static bool schema_init(struct ArrowSchema *schema, struct row_type *type, const char *format, const char *name, uint32_t children)
{
	struct schema_owner *owner = calloc(1, sizeof *owner + children * sizeof owner->children[0]);
	if (!owner)
		return false;
	owner->type = row_type_ref(type);
	*schema = (struct ArrowSchema){.format = format,
				       .name = name,
				       .flags = ARROW_FLAG_NULLABLE,
				       .n_children = children,
				       .children = children ? owner->children : NULL,
				       .release = release_schema,
				       .private_data = owner};
	return true;
}

static bool array_init(struct ArrowArray *array, struct batch *batch, uint32_t children)
{
	struct array_owner *owner = calloc(1, sizeof *owner + children * sizeof owner->children[0]);
	if (!owner)
		return false;
	owner->batch = batch_ref(batch);
	*array = (struct ArrowArray){.length = batch->rows,
				     .n_buffers = 1,
				     .n_children = children,
				     .buffers = owner->buffers,
				     .children = children ? owner->children : NULL,
				     .release = release_array,
				     .private_data = owner};
	return true;
}

static bool export_column(struct batch *batch, uint32_t i, struct schema_owner *schemas, struct array_owner *arrays)
{
	const struct column *c = &batch->columns[i];
	struct ArrowSchema *schema = schemas->children[i] = calloc(1, sizeof *schema);
	struct ArrowArray *array = arrays->children[i] = calloc(1, sizeof *array);
	if (!schema || !array || !schema_init(schema, batch->type, format_of(c->type), batch->type->fields[i].name, 0) ||
	    !array_init(array, batch, 0))
		return false;
	if (c->type == COLUMN_UUID)
		schema->metadata = (const char *)&uuid_metadata;
	array->null_count = c->null_count;
	array->buffers[0] = c->validity;
	array->buffers[1] = c->offsets ? (const void *)c->offsets : c->values;
	array->buffers[2] = c->offsets ? c->values : NULL;
	array->n_buffers = c->offsets ? 3 : 2;
	return true;
}

enum sm_err batch_export(struct batch *batch, struct ArrowSchema *ret_schema, struct ArrowArray *ret_array)
{
	uint32_t count = batch->type->field_count;
	struct ArrowSchema schema = {0};
	struct ArrowArray array = {0};
	bool ok = schema_init(&schema, batch->type, "+s", "", count) && array_init(&array, batch, count);
	for (uint32_t i = 0; ok && i < count; i++)
		ok = export_column(batch, i, schema.private_data, array.private_data);
	if (!ok) {
		if (schema.release)
			schema.release(&schema);
		if (array.release)
			array.release(&array);
		return SM_NO_MEMORY;
	}
	/* A struct array itself has no nulls here; its columns have. */
	schema.flags = 0;
	*ret_schema = schema;
	*ret_array = array;
	return SM_OK;
}
