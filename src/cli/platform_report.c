/* The report's chart: a SELECT of the configuration, run when the dashboard asks for it. */
#include "base/io.h"
#include "base/json.h"
#include "base/logging.h"
#include "cli/platform.h"
#include <stdlib.h>

#define REPORT_ROWS_MAX 200

static json_t *value_json(struct value v)
{
	char text[40];
	if (v.null)
		return json_null();
	switch (v.type) {
	case COLUMN_BOOL: return json_boolean(v.boolean);
	case COLUMN_INT32:
	case COLUMN_INT64: return json_integer(v.integer);
	case COLUMN_DOUBLE: return json_real(v.real);
	case COLUMN_TIMESTAMP: civil_format(v.integer, text); return json_string(text);
	case COLUMN_UUID: uuid_format((const struct uuid *)v.bytes.data, text); return json_string(text);
	case COLUMN_TEXT: return json_stringn((const char *)v.bytes.data, v.bytes.size);
	case COLUMN_BLOB: break;
	}
	return json_null();
}

static enum sm_err take_rows(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	json_t *report = arg, *columns = json_object_get(report, "columns"), *rows = json_object_get(report, "rows");
	if (!json_array_size(columns))
		for (uint32_t c = 0; c < batch->type->field_count; c++)
			json_array_append_new(columns, json_string(batch->type->fields[c].name));
	for (uint32_t r = 0; r < batch->rows; r++) {
		if (json_array_size(rows) == REPORT_ROWS_MAX)
			return sm_fail(reterr, SM_TOO_LARGE, "more than %d rows: end the SELECT with a LIMIT", REPORT_ROWS_MAX);
		json_t *row = json_array();
		for (uint32_t c = 0; c < batch->type->field_count; c++)
			json_array_append_new(row, value_json(batch_get(batch, c, r)));
		json_array_append_new(rows, row);
	}
	return SM_OK;
}

static enum sm_err run(struct platform *p, json_t *report, struct sm_error *reterr)
{
	char path[4200];
	uint8_t *text;
	size_t size;
	struct sql_script *script;
	enum sm_err err = io_read_file(&io_system, config_path(p->config, p->config->report, path, sizeof path), SQL_TEXT_MAX, &text, &size,
				       reterr);
	if (err)
		return err;
	err = sql_parse(bytes_of(text, size), &script, reterr);
	free(text);
	if (err)
		return err;
	const struct sql_statement *statement = sql_script_count(script) == 1 ? sql_script_at(script, 0) : NULL;
	uint64_t rows;
	if (!statement || sql_is_insert(statement))
		err = sm_fail(reterr, SM_INVALID, "%s must hold one SELECT", path);
	else
		err = sql_run(&p->env, statement, NULL, 0, take_rows, report, &rows, reterr);
	sql_script_free(script);
	return err;
}

json_t *platform_report(struct platform *p)
{
	struct sm_error error;
	if (!*p->config->report)
		return NULL;
	json_t *report = json_pack("{s:[] s:[]}", "columns", "rows");
	if (!report || !run(p, report, &error))
		return report;
	LOG_WARN("cli", "web.report: %s", error.text);
	json_decref(report);
	return NULL;
}
