/* SQL text: parse, plan (nothing but VALUES can be read), run what is small, and compile and feed it as a micro-batch query. */
#include "compute/sql.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sm_err ignore(void *arg, struct bytes key, struct bytes state)
{
	struct sql_incremental *plan = arg;
	struct batch *out = batch_new(sql_incremental_output(plan));
	struct sm_error error;
	/* Any error is fine (an overflow); a crash is not. */
	enum sm_err err = out ? sql_incremental_finish(plan, key, state, out, &error) : SM_OK;
	batch_unref(out);
	return err == SM_NO_MEMORY ? err : SM_OK;
}

static struct batch *events(struct row_type *type)
{
	static const char *const texts[] = {"view", "click", "", "2019-11-24", "-12"};
	struct batch *b = batch_new(type);
	for (uint32_t i = 0; b && i < 5; i++) {
		enum sm_err err = batch_put(b, 0, (struct value){.type = COLUMN_TEXT, .null = i == 2, .bytes = bytes_str(texts[i])});
		err = err ? err
			  : batch_put(b, 1, (struct value){.type = COLUMN_INT64, .null = i == 3, .integer = 1574553617004 * (int64_t)i});
		err = err ? err : batch_put(b, 2, (struct value){.type = COLUMN_UUID, .bytes = bytes_of("0123456789abcdef", 16)});
		err = err ? err : batch_put(b, 3, (struct value){.type = COLUMN_DOUBLE, .real = 0.5 * i});
		if (err)
			break;
		batch_row_end(b);
	}
	return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct column_field fields[] = {
		{"type", COLUMN_TEXT}, {"ts", COLUMN_INT64}, {"campaign", COLUMN_UUID}, {"d", COLUMN_DOUBLE}, {"_offset", COLUMN_INT64}};
	struct compute_env env = {.threads = 1, .memory_max = 16 << 20};
	struct sql_script *script;
	struct sm_error error;
	if (size > 2000 || sql_parse(bytes_of(data, size), &script, &error))
		return 0;
	struct row_type *type = row_type_new(fields, 4);
	struct batch *in = events(type);
	for (uint32_t i = 0; i < sql_script_count(script) && i < 4; i++) {
		const struct sql_statement *s = sql_script_at(script, i);
		struct sql_incremental *plan;
		struct dag_node *node;
		struct batch *out;
		if (!sql_plan(&env, s, &node, &error)) {
			struct buf text;
			buf_init(&text);
			dag_explain(node, &text);
			buf_done(&text);
			dag_unref(node);
		}
		if (sql_incremental_new(&env, s, type, &plan, &error))
			continue;
		if (sql_incremental_aggregates(plan)) {
			if (sql_incremental_groups(plan, in, ignore, plan, &error))
				error.text[0] = 0;
		} else if (!sql_incremental_map(plan, in, &out, &error)) {
			batch_unref(out);
		}
		sql_incremental_free(plan);
	}
	batch_unref(in);
	row_type_unref(type);
	sql_script_free(script);
	return 0;
}
