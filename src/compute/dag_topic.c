/* Topics as sources. The offsets are taken when the job is planned, so that each attempt of a task reads the same records. */
#include "compute/compute_internal.h"
#include "log/record_batch.h"
#include <stdlib.h>

/* ---- records to rows ---- */

static enum column_type column_of_field(enum schema_type type)
{
	switch (type) {
	case SCHEMA_UUID: return COLUMN_UUID;
	case SCHEMA_DATE_TIME: return COLUMN_TIMESTAMP;
	case SCHEMA_INTEGER: return COLUMN_INT64;
	case SCHEMA_NUMBER: return COLUMN_DOUBLE;
	case SCHEMA_BOOLEAN: return COLUMN_BOOL;
	case SCHEMA_OBJECT:
	case SCHEMA_ARRAY: /* as JSON */
	case SCHEMA_STRING: break;
	}
	return COLUMN_TEXT;
}

struct row_type *topic_row_type(const struct schema *schema)
{
	static const struct column_field last[] = {
		{"_key", COLUMN_BLOB}, {"_partition", COLUMN_INT32}, {"_offset", COLUMN_INT64}, {"_timestamp", COLUMN_TIMESTAMP}};
	struct column_field fields[SCHEMA_FIELDS_MAX + 4] = {{"value", COLUMN_BLOB}};
	uint32_t count = schema ? schema->field_count : 1;
	for (uint32_t i = 0; schema && i < count; i++)
		fields[i] = (struct column_field){schema->fields[i].name, column_of_field(schema->fields[i].type)};
	memcpy(&fields[count], last, sizeof last);
	return row_type_new(fields, count + 4);
}

static struct value value_of_field(enum schema_type type, const struct event_value *from)
{
	struct value v = {.type = column_of_field(type), .null = !from->present};
	if (v.null)
		return v;
	switch (type) {
	case SCHEMA_OBJECT:
	case SCHEMA_ARRAY:
	case SCHEMA_STRING: v.bytes = from->text; break;
	case SCHEMA_UUID: v.bytes = bytes_of(from->uuid, 16); break;
	case SCHEMA_DATE_TIME:
	case SCHEMA_INTEGER: v.integer = from->integer; break;
	case SCHEMA_NUMBER: v.real = from->number; break;
	case SCHEMA_BOOLEAN: v.boolean = from->boolean; break;
	}
	return v;
}

static struct value blob(struct bytes bytes, bool null)
{
	return (struct value){.type = COLUMN_BLOB, .null = null, .bytes = bytes};
}
static struct value integer(enum column_type type, int64_t v)
{
	return (struct value){.type = type, .integer = v};
}

enum sm_err topic_put_record(struct batch *batch, const struct schema *schema, const struct record *record, int32_t partition,
			     struct arena *arena, struct event_problems *problems)
{
	struct event_value fields[SCHEMA_FIELDS_MAX];
	struct event_problems ignored;
	enum sm_err err = SM_OK;
	uint32_t at = schema ? schema->field_count : 1;
	problems = problems ? problems : &ignored;
	problems->count = 0;
	if (schema && record->value_null) {
		problems->items[problems->count++] = (struct event_problem){"obj", "error.expected.jsobject"};
		return SM_INVALID;
	}
	if (schema)
		err = event_scan(schema, record->value, fields, arena, problems);
	else
		err = batch_put(batch, 0, blob(record->value, record->value_null));
	for (uint32_t i = 0; schema && i < at && !err; i++)
		err = batch_put(batch, i, value_of_field(schema->fields[i].type, &fields[i]));
	if (!err)
		err = batch_put(batch, at, blob(record->key, record->key_null));
	if (!err)
		err = batch_put(batch, at + 1, integer(COLUMN_INT32, partition));
	if (!err)
		err = batch_put(batch, at + 2, integer(COLUMN_INT64, record->offset));
	if (!err)
		err = batch_put(batch, at + 3, integer(COLUMN_TIMESTAMP, record->timestamp_ms));
	if (!err)
		batch_row_end(batch);
	return err;
}

/* ---- the source ---- */

struct topic_scan {
	struct dag_node node;
	struct compute_env env;
	const struct schema *schema;
	char *topic;
	struct {
		int64_t from, to;
	} offsets[]; /* a partition's, to is not in */
};
struct topic_iterator {
	struct dag_iterator it;
	struct topic_scan *scan;
	struct dag_task *task;
	uint32_t partition;
	int64_t next;
	struct arena arena;
	uint8_t *buffer;
	size_t buffer_cap;
};

static enum sm_err take_record_batch(struct topic_iterator *t, const struct log_slice *slice, struct bytes data, struct batch *out)
{
	struct batch_reader reader;
	enum sm_err err = batch_reader_init(&reader, data);
	if (err)
		return err;
	struct record record;
	int64_t to = t->scan->offsets[t->partition].to;
	while (!log_slice_hides(slice, &reader.info) && !(err = batch_next(&reader, &record))) {
		if (record.offset < t->next || record.offset >= to)
			continue;
		arena_reset(&t->arena);
		err = topic_put_record(out, t->scan->schema, &record, (int32_t)t->partition, &t->arena, NULL);
		if (err == SM_INVALID)
			dag_task_skip(t->task, 1);
		else if (err)
			break;
	}
	t->next = reader.info.base_offset + reader.info.last_offset_delta + 1;
	batch_reader_done(&reader);
	return err == SM_END ? SM_OK : err;
}

enum sm_err topic_pass_over(const struct compute_env *env, const char *topic, int32_t partition, int64_t from, int64_t *ret_to)
{
	if (!env->passed || !env->log->ops->readable)
		return SM_CORRUPT;
	enum sm_err err = env->log->ops->readable(env->log, topic, partition, from, ret_to);
	/* what is there now was damaged a moment ago: it is no hole of the log's */
	return err || *ret_to > from ? err : SM_CORRUPT;
}

static enum sm_err pass_over(struct topic_iterator *t)
{
	const struct topic_scan *scan = t->scan;
	int64_t to, end = scan->offsets[t->partition].to;
	enum sm_err err = topic_pass_over(&scan->env, scan->topic, (int32_t)t->partition, t->next, &to);
	if (err)
		return err;
	to = to < end ? to : end;
	scan->env.passed(scan->env.passed_arg, scan->topic, (int32_t)t->partition, t->next, to);
	t->next = to;
	return SM_OK;
}

/* One read of the log: every record batch in it. */
static enum sm_err take_slice(struct topic_iterator *t, struct batch *out)
{
	struct sm_log *log = t->scan->env.log;
	struct log_read_result result;
	enum sm_err err = log->ops->read(log, t->scan->topic, (int32_t)t->partition, t->next, COMPUTE_READ_BYTES, &result);
	if (err)
		return err == SM_CORRUPT ? pass_over(t) : err;
	struct bytes data;
	err = log_slice_bytes(&result.slice, &t->buffer, &t->buffer_cap, &data);
	if (!err && data.size == 0)
		err = SM_TRUNCATED; /* below the last stable offset there is always a batch */
	while (!err && data.size && t->next < t->scan->offsets[t->partition].to) {
		struct batch_info info;
		err = batch_parse(data, &info);
		if (!err)
			err = take_record_batch(t, &result.slice, bytes_of(data.data, info.size), out);
		if (!err)
			data = bytes_of(data.data + info.size, data.size - info.size);
	}
	log_slice_done(&result.slice);
	return err;
}

static enum sm_err topic_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct topic_iterator *t = (struct topic_iterator *)it;
	if (t->next >= t->scan->offsets[t->partition].to)
		return SM_END;
	struct batch *batch = batch_new(t->scan->node.type);
	int64_t at = t->next;
	enum sm_err err = batch ? take_slice(t, batch) : SM_NO_MEMORY;
	if (err) {
		batch_unref(batch);
		return sm_fail(reterr, err, "reading topic %s, partition %u, at offset %lld: %s%s", t->scan->topic, t->partition,
			       (long long)at, sm_err_text(err),
			       err == SM_OUT_OF_RANGE ? " (retention removed it meanwhile; run the job again)" : "");
	}
	*ret_batch = batch;
	return SM_OK;
}

static void topic_free(struct dag_iterator *it)
{
	struct topic_iterator *t = (struct topic_iterator *)it;
	arena_done(&t->arena);
	free(t->buffer);
	free(t);
}

static const struct dag_iterator_ops topic_it_ops = {topic_next, topic_free};

static enum sm_err scan_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				struct sm_error *reterr)
{
	struct topic_scan *scan = (struct topic_scan *)node;
	struct topic_iterator *t = calloc(1, sizeof *t);
	if (!t)
		return SM_NO_MEMORY;
	*t = (struct topic_iterator){
		.it = {&topic_it_ops}, .scan = scan, .task = task, .partition = partition, .next = scan->offsets[partition].from};
	arena_init(&t->arena, 0);
	*ret_it = &t->it;
	return SM_OK;
}

static void scan_free(struct dag_node *node)
{
	free(((struct topic_scan *)node)->topic);
}

static void scan_explain(const struct dag_node *node, struct buf *out)
{
	const struct topic_scan *scan = (const struct topic_scan *)node;
	int64_t records = 0;
	for (uint32_t i = 0; i < node->partitions; i++)
		records += scan->offsets[i].to - scan->offsets[i].from;
	buf_printf(out, "%s, %lld offsets", scan->topic, (long long)records);
}

static const struct dag_node_ops scan_ops = {"topic scan", scan_iterate, scan_free, scan_explain};

static enum sm_err find_offsets(struct topic_scan *scan, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < scan->node.partitions; i++) {
		int64_t unused;
		const struct log_ops *ops = scan->env.log->ops;
		enum sm_err err = ops->offset_for(scan->env.log, scan->topic, (int32_t)i, LOG_EARLIEST, &scan->offsets[i].from, &unused);
		if (!err)
			err = ops->offset_for(scan->env.log, scan->topic, (int32_t)i, LOG_LATEST, &scan->offsets[i].to, &unused);
		if (err)
			return sm_fail(reterr, err, "offsets of topic %s, partition %u: %s", scan->topic, i, sm_err_text(err));
	}
	return SM_OK;
}

static enum sm_err partitions_of(struct sm_log *log, const char *topic, uint32_t *ret_partitions, struct sm_error *reterr)
{
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *found = log_topics_find(topics, topic);
	if (found)
		*ret_partitions = (uint32_t)found->partitions;
	log->ops->topics_release(log, topics);
	return found ? SM_OK : sm_fail(reterr, SM_NOT_FOUND, "there is no topic %s", topic);
}

enum sm_err dag_topic_scan(const struct compute_env *env, const char *topic, struct dag_node **ret_node, struct sm_error *reterr)
{
	if (!env->log)
		return sm_fail(reterr, SM_UNAVAILABLE, "topic %s cannot be read: the job has no log", topic);
	uint32_t partitions = 0;
	enum sm_err err = partitions_of(env->log, topic, &partitions, reterr);
	if (err)
		return err;
	const struct schema *schema = env->topic_schema ? env->topic_schema(env->arg, topic) : NULL;
	struct row_type *type = topic_row_type(schema);
	struct topic_scan *scan = NULL;
	if (type)
		scan = (struct topic_scan *)dag_node_new(sizeof *scan + partitions * sizeof scan->offsets[0], &scan_ops, type, partitions);
	row_type_unref(type);
	if (!scan)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a scan");
	scan->env = *env;
	scan->schema = schema;
	scan->topic = strdup(topic);
	err = scan->topic ? find_offsets(scan, reterr) : sm_fail(reterr, SM_NO_MEMORY, "no memory for a scan");
	if (err)
		dag_unref(&scan->node);
	else
		*ret_node = &scan->node;
	return err;
}
