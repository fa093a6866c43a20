/* Producing as Confluent's REST Proxy has it, version 3 (https://docs.confluent.io/platform/current/kafka-rest/api.html#records-v3):
 *
 *   POST /v3/clusters/{cluster_id}/topics/{topic}/records   application/json
 *   {"partition_id":0,"headers":[{"name":"h","value":"YQ=="}],"key":{"type":"STRING","data":"k"},
 *    "value":{"type":"JSON","data":{"n":1}},"timestamp":"2021-02-05T19:14:42Z"}
 *
 * and so on, one record behind the other (concatenated JSON); all may be left out. type: BINARY (base64 in a string), STRING, JSON (stored
 * as it is written); data null: no key, no value. Answered with 200 and a line for each record, in their order: {"error_code":200,
 * "cluster_id":..,"topic_name":..,"partition_id":..,"offset":..,"timestamp":..,"key":{"type":..,"size":..},"value":{..}} or
 * {"error_code":CODE,"message":..}, when the last of them is on disk. A record that is wrong (400, 40403, 413, 422) keeps none of the
 * others from being stored; behind text that is no JSON no record is known any more. What the topic itself refuses (50002: a record without
 * key where it is compacted) goes with all of its partition that came in the same batch.
 *
 * Refused as a whole, with the status and {"error_code":..,"message":..}: 404/404 another cluster, 404/40403, 403/40301, 413, 415, 422 no
 * record, 429 with Retry-After, 501. */
#include "ingest/ingest_internal.h"
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {NULL, "BINARY", "JSON", "STRING"};

void ingest__refuse_v3(struct http_request *request, int status, int code, const char *message)
{
	struct buf out;
	buf_init(&out);
	buf_printf(&out, "{\"error_code\":%d,\"message\":", code);
	buf_json_string(&out, bytes_str(message));
	buf_append_str(&out, "}");
	http_reply(request, out.failed ? 503 : status, INGEST_V3_TYPE, buf_bytes(&out));
	buf_done(&out);
}

#define NO_TOPIC "This server does not host this topic-partition."

static void refuse_err(struct http_request *request, enum sm_err err)
{
	switch (err) {
	case SM_NOT_FOUND: ingest__refuse_v3(request, 404, 40403, NO_TOPIC); break;
	case SM_DENIED: ingest__refuse_v3(request, 403, 40301, "you may not write to this topic"); break;
	case SM_FULL:
	case SM_AGAIN:
		http_reply_header(request, "Retry-After", "1");
		ingest__refuse_v3(request, 429, 429, "the log is behind: send the request again later");
		break;
	case SM_TOO_LARGE:
		ingest__refuse_v3(request, 413, 413, "a request may have 10000 records and what their checking needs: send it in parts");
		break;
	default: ingest__refuse_v3(request, 503, 50003, sm_err_text(err)); break;
	}
}

/* ---- a record ---- */

struct taken {
	struct job *job;
	struct v3_record *record;
	struct line line;
};

/* The record is told so; the request goes on. */
static enum sm_err wrong(struct taken *t, int code, const char *message)
{
	t->record->code = code;
	t->record->message = message;
	return SM_INVALID;
}

static bool is_null(struct bytes value)
{
	return bytes_equal(value, BYTES("null"));
}

/* Which of names it is, below count; its bit is set in seen. -1: none, or it was there before. */
static int member_of(struct bytes name, const char *const *names, int count, unsigned *seen)
{
	for (int i = 0; i < count; i++)
		if (bytes_equal(name, bytes_str(names[i]))) {
			if (*seen & (1u << i))
				return -1;
			*seen |= 1u << i;
			return i;
		}
	return -1;
}

static enum sm_err take_type(struct taken *t, struct bytes value, enum v3_type *ret)
{
	struct bytes text;
	enum sm_err err = json_string_text(value, t->job->request->arena, &text);
	if (err && err != SM_TYPE)
		return err;
	for (int i = V3_BINARY; !err && i <= V3_STRING; i++)
		if (bytes_equal(text, bytes_str(type_names[i]))) {
			*ret = (enum v3_type)i;
			return SM_OK;
		}
	return wrong(t, 400, "type is BINARY, JSON or STRING: AVRO, JSONSCHEMA and PROTOBUF need a schema registry, which is not here");
}

static enum sm_err take_data(struct taken *t, enum v3_type type, struct bytes value, struct bytes *ret)
{
	struct http_request *request = t->job->request;
	enum sm_err err = SM_OK;
	if (type == V3_BINARY) {
		err = ingest__base64(request, value, ret);
		return err == SM_SYNTAX ? wrong(t, 400, "data of type BINARY is base64 in a string") : err;
	}
	if (type == V3_STRING) {
		err = json_string_text(value, request->arena, ret);
		return err == SM_TYPE ? wrong(t, 400, "data of type STRING is a string") : err;
	}
	*ret = ingest__one_line(request, value);
	return ret->data ? SM_OK : arena_error(request->arena);
}

/* A key or a value. *ret_null: there is none. */
static enum sm_err take_part(struct taken *t, struct bytes text, enum v3_type *ret_type, struct bytes *ret, bool *ret_null)
{
	static const char *const names[] = {"type", "data", "subject", "subject_name_strategy", "schema_id", "schema_version", "schema"};
	struct json_walk walk;
	struct bytes name, value, data = BYTES("null");
	unsigned seen = 0;
	*ret_null = true;
	if (is_null(text))
		return SM_OK;
	enum sm_err err = json_walk_begin(&walk, text, t->job->request->arena);
	if (err || !walk.object)
		return err && err != SM_SYNTAX ? err : wrong(t, 400, "key and value are objects with type and data");
	while (!err && !(err = json_walk_next(&walk, &name, &value))) {
		int which = member_of(name, names, 7, &seen);
		if (which < 0)
			err = wrong(t, 400, "key and value have type and data, each once, nothing else");
		else if (which == 0 && !is_null(value))
			err = take_type(t, value, ret_type);
		else if (which == 1)
			data = value;
		else if (!is_null(value))
			err = wrong(t, 400, "there is no schema registry here: give type (BINARY, JSON or STRING) and data alone");
	}
	if (err != SM_END)
		return err;
	if (*ret_type == V3_NONE)
		return wrong(t, 400, "without a type the data needs a schema registry, which is not here: give BINARY, JSON or STRING");
	*ret_null = is_null(data);
	return *ret_null ? SM_OK : take_data(t, *ret_type, data, ret);
}

static enum sm_err take_partition(struct taken *t, struct bytes text)
{
	int64_t number = 0;
	if (is_null(text))
		return SM_OK;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9' || i > 9)
			return wrong(t, 400, "partition_id is a number from 0");
		number = number * 10 + (text.data[i] - '0');
	}
	if (number >= t->job->entry->partitions)
		return wrong(t, 40403, NO_TOPIC);
	t->line.partition = (int32_t)number + 1;
	return SM_OK;
}

static enum sm_err take_timestamp(struct taken *t, struct bytes text)
{
	struct bytes time;
	if (is_null(text))
		return SM_OK;
	enum sm_err err = json_string_text(text, t->job->request->arena, &time);
	if (err && err != SM_TYPE)
		return err;
	if (err || !schema_date_time(time, &t->line.timestamp_ms) || t->line.timestamp_ms < 0)
		return wrong(t, 400, "timestamp is a time since 1970 as 2021-02-05T19:14:42Z");
	t->line.stamped = t->record->stamped = true;
	t->record->timestamp_ms = t->line.timestamp_ms;
	return SM_OK;
}

static enum sm_err take_header(struct taken *t, struct bytes text, struct record_header *ret)
{
	static const char *const names[] = {"name", "value"};
	struct json_walk walk;
	struct bytes name, value;
	unsigned seen = 0;
	struct arena *arena = t->job->request->arena;
	*ret = (struct record_header){.value_null = true};
	enum sm_err err = json_walk_begin(&walk, text, arena);
	if (err || !walk.object)
		return err && err != SM_SYNTAX ? err : wrong(t, 400, "a header is an object with name and value");
	while (!err && !(err = json_walk_next(&walk, &name, &value))) {
		int which = member_of(name, names, 2, &seen);
		if (which < 0)
			err = wrong(t, 400, "a header has name and value, each once, nothing else");
		else if (which == 0)
			err = json_string_text(value, arena, &ret->key);
		else if (!(ret->value_null = is_null(value)))
			err = ingest__base64(t->job->request, value, &ret->value);
	}
	if (err == SM_TYPE || (err == SM_END && !(seen & 1)))
		return wrong(t, 400, "a header has a name, which is a string");
	if (err == SM_SYNTAX)
		return wrong(t, 400, "a header's value is base64 in a string");
	return err == SM_END ? SM_OK : err;
}

static enum sm_err take_headers(struct taken *t, struct bytes text)
{
	struct json_walk walk;
	struct bytes name, value;
	struct arena *arena = t->job->request->arena;
	struct record_header *headers = NULL;
	uint32_t count = 0, cap = 0;
	if (is_null(text))
		return SM_OK;
	enum sm_err err = json_walk_begin(&walk, text, arena);
	if (err || walk.object)
		return err && err != SM_SYNTAX ? err : wrong(t, 400, "headers is an array");
	while (!err && !(err = json_walk_next(&walk, &name, &value))) {
		if (count == PRODUCE_HEADERS_MAX)
			return wrong(t, 413, "a record has too many headers");
		if (count == cap) {
			struct record_header *more = arena_alloc(arena, (cap = cap ? cap * 4 : 4) * sizeof *more);
			if (!more)
				return arena_error(arena);
			if (count)
				memcpy(more, headers, count * sizeof *more);
			headers = more;
		}
		err = take_header(t, value, &headers[count++]);
	}
	t->line.headers = headers;
	t->line.header_count = count;
	return err == SM_END ? SM_OK : err;
}

static enum sm_err take_members(struct taken *t, struct bytes text)
{
	static const char *const names[] = {"partition_id", "headers", "key", "value", "timestamp"};
	struct json_walk walk;
	struct bytes name, value;
	unsigned seen = 0;
	bool no_key = true;
	enum sm_err err = json_walk_begin(&walk, text, t->job->request->arena);
	if (err || !walk.object)
		return err && err != SM_SYNTAX ? err : wrong(t, 400, "a record is an object");
	while (!err && !(err = json_walk_next(&walk, &name, &value)))
		switch (member_of(name, names, 5, &seen)) {
		case 0: err = take_partition(t, value); break;
		case 1: err = take_headers(t, value); break;
		case 2: err = take_part(t, value, &t->record->key_type, &t->line.key, &no_key); break;
		case 3: err = take_part(t, value, &t->record->value_type, &t->line.text, &t->line.null); break;
		case 4: err = take_timestamp(t, value); break;
		default: err = wrong(t, 400, "a record has partition_id, headers, key, value and timestamp, each once, nothing else");
		}
	t->line.has_key = t->line.key_given = !no_key;
	return err == SM_END ? SM_OK : err;
}

/* ---- records ---- */

static struct v3_record *next_report(struct reports *reports, struct arena *arena)
{
	if (reports->count == reports->cap) {
		uint32_t cap = reports->cap ? reports->cap * 4 : 4;
		struct v3_record *items = arena_alloc_raw(arena, cap * sizeof *items, _Alignof(struct v3_record));
		if (!items)
			return NULL;
		if (reports->count)
			memcpy(items, reports->items, reports->count * sizeof *items);
		reports->items = items;
		reports->cap = cap;
	}
	struct v3_record *record = &reports->items[reports->count++];
	*record = (struct v3_record){.code = 200};
	return record;
}

/* Why its value does not fit the topic's schema. */
static enum sm_err tell_problems(struct taken *t)
{
	struct arena *arena = t->job->request->arena;
	struct buf out;
	buf_init(&out);
	buf_append_str(&out, "the value does not fit the topic's schema: ");
	event_problems_json(&t->job->problems, &out);
	const char *text = out.failed ? NULL : arena_string(arena, (const char *)out.data + out.start, buf_size(&out));
	buf_done(&out);
	return text ? wrong(t, 422, text) : SM_NO_MEMORY;
}

static enum sm_err check_record(struct taken *t)
{
	struct job *job = t->job;
	uint32_t before = job->good;
	enum sm_err err = ingest__check(job, &t->line, 0);
	if (err == SM_TOO_LARGE)
		return wrong(t, 413, "the record is larger than a record batch may be");
	if (!err && job->good == before)
		return tell_problems(t);
	t->record->line = before;
	t->record->key_size = (uint32_t)t->line.key.size;
	t->record->value_size = t->line.null ? 0 : (uint32_t)t->line.text.size;
	return err;
}

static enum sm_err take_record(struct job *job, struct reports *reports, struct bytes text, bool *ret_stamped)
{
	struct v3_record *record = next_report(reports, job->request->arena);
	if (!record)
		return arena_error(job->request->arena);
	struct taken t = {.job = job, .record = record, .line = {.text = BYTES("null"), .null = true, .any_bytes = true}};
	enum sm_err err = take_members(&t, text);
	if (err == SM_SYNTAX)
		err = wrong(&t, 400, "the record is not sound JSON");
	if (!err && t.line.null)
		t.line.text = BYTES("null");
	if (!err)
		err = check_record(&t);
	*ret_stamped |= !err && t.line.stamped;
	if (err == SM_INVALID && record->code == 200)
		return SM_FAILED;
	if (err == SM_INVALID && record->code != 422)
		job->bad++; /* what does not fit the schema is counted already */
	return err == SM_INVALID ? SM_OK : err;
}

static enum sm_err take_records(struct job *job, struct reports *reports, bool *ret_stamped)
{
	struct http_request *request = job->request;
	struct bytes rest = request->body, text;
	enum sm_err err;
	while (!(err = json_value_next(&rest, request->arena, &text))) {
		if (reports->count == PRODUCE_RECORDS_MAX)
			return SM_TOO_LARGE;
		if ((err = take_record(job, reports, text, ret_stamped)))
			return err;
	}
	if (err == SM_SYNTAX) {
		struct v3_record *record = next_report(reports, request->arena);
		if (!record)
			return arena_error(request->arena);
		*record = (struct v3_record){.code = 400, .message = "what follows is not sound JSON: no more is read of this request"};
		job->bad++;
		return SM_OK;
	}
	return err == SM_END ? SM_OK : err;
}

/* ---- the answer ---- */

static void put_part(struct buf *out, const char *name, enum v3_type type, uint32_t size)
{
	if (type != V3_NONE)
		buf_printf(out, ",\"%s\":{\"type\":\"%s\",\"size\":%u}", name, type_names[type], size);
}

static void put_error(struct buf *out, int code, const char *message)
{
	buf_printf(out, "{\"error_code\":%d,\"message\":", code);
	buf_json_string(out, bytes_str(message));
	buf_append_str(out, "}\n");
}

static void put_placed(struct buf *out, const struct pending *p, const struct v3_record *record)
{
	const struct placed *at = &p->placed[record->line];
	const char *cluster = ((struct ingest *)p->request->arg)->options.cluster_id;
	char time[32];
	if (at->err == SM_FULL || at->err == SM_AGAIN) {
		put_error(out, 429, "the log is behind: send the record again later");
		return;
	}
	if (at->err) {
		put_error(out, ingest__is_final(at->err) ? 50002 : 50003, sm_err_text(at->err));
		return;
	}
	civil_format(at->stamped_ms >= 0 ? at->stamped_ms : record->stamped ? record->timestamp_ms : p->reports->now_ms, time);
	/* A topic's name has no character that JSON escapes. */
	buf_printf(
		out,
		"{\"error_code\":200,\"cluster_id\":\"%s\",\"topic_name\":\"%s\",\"partition_id\":%d,\"offset\":%lld,\"timestamp\":\"%s\"",
		cluster, p->entry->name, at->partition, (long long)at->offset, time);
	put_part(out, "key", record->key_type, record->key_size);
	put_part(out, "value", record->value_type, record->value_size);
	buf_append_str(out, "}\n");
}

static void answer(struct http_request *request, const struct pending *p, const struct reports *reports)
{
	struct buf out;
	buf_init(&out);
	for (uint32_t i = 0; i < reports->count; i++) {
		const struct v3_record *record = &reports->items[i];
		if (p && record->code == 200) /* without a pending none is */
			put_placed(&out, p, record);
		else
			put_error(&out, record->code, record->message);
	}
	http_reply(request, out.failed ? 503 : 200, INGEST_V3_TYPE, buf_bytes(&out));
	buf_done(&out);
}

void ingest__produced_v3(struct pending *p)
{
	if (!p->accepted)
		refuse_err(p->request, p->err);
	else if (p->wanted == p->reports->count && ingest__all_behind(p))
		refuse_err(p->request, SM_FULL);
	else
		answer(p->request, p, p->reports);
}

/* ---- the request ---- */

static bool may_begin(struct job *job, struct http_request *request)
{
	enum sm_err err;
	*job = (struct job){0};
	if (http_header(request, "idempotency-key").data) {
		ingest__refuse_v3(request, 400, 400, "Idempotency-Key is understood at /ingest only");
		return false;
	}
	if (((struct ingest *)request->arg)->options.no_once) {
		ingest__refuse_v3(request, 501, 501, "offsets cannot be told: a real Kafka keeps the topics of this server");
		return false;
	}
	if (!ingest__is_cluster(request))
		return false;
	struct bytes topic = request->params[1];
	request->params[0] = topic; /* where the others have it */
	if (ingest__job_begin(job, request, &err))
		return true;
	const char *later = ingest__not_now(job);
	if (later)
		ingest__refuse_v3(request, 429, 429, later);
	else
		refuse_err(request, err);
	return false;
}

void ingest__produce_v3(struct http_request *request)
{
	struct job job;
	bool stamped = false;
	if (!may_begin(&job, request))
		return;
	struct reports *reports = arena_alloc(request->arena, sizeof *reports);
	struct once *apart = NULL;
	enum sm_err err = reports ? take_records(&job, reports, &stamped) : SM_NO_MEMORY;
	if (!err && stamped) {
		/* The topic may refuse such times, and with them their batch. */
		apart = arena_alloc(request->arena, sizeof *apart);
		size_t size = (size_t)job.entry->partitions * sizeof *apart->open;
		if (!apart || !(apart->open = arena_alloc(request->arena, size)))
			err = arena_error(request->arena);
		else
			apart->plain = true, apart->partition = job.entry->keyless;
	}
	if (err)
		refuse_err(request, err);
	else if (!reports->count)
		ingest__refuse_v3(request, 422, 422, "Payload error. Request body is empty. Data is required.");
	else if (!job.good)
		answer(request, NULL, reports);
	else
		ingest__place(&job, apart, reports);
	ingest__job_done(&job);
}
