/* Producing as Confluent's REST Proxy has it, version 2 (https://docs.confluent.io/platform/current/kafka-rest/api.html):
 *
 *   POST /topics/{topic}, /topics/{topic}/partitions/{partition}
 *
 *   application/vnd.kafka.json.v2+json    {"records":[{"key":..,"value":..,"partition":0},...]}: stored as they are written
 *
 *   application/vnd.kafka.binary.v2+json  the same with base64 in strings
 *
 * 200: {"offsets":[{"partition":0,"offset":7,"error_code":null,"error":null},...],"key_schema_id":null,"value_schema_id":null}, in their
 * order; of one that is not stored partition and offset are null, error_code is 50003 (try again) or 50002.
 *
 * Other answers are {"error_code":..,"message":..}: 40401, 40402, 40301, 400, 413, 422, 429, 501.
 *
 * What the original would store in part is refused as a whole where that is known before: a partition that is not there, base64 that is
 * none, a value that does not fit the topic's schema (422 with "events" beside the message, as /ingest describes them). */
#include "base/base64.h"
#include "ingest/ingest_internal.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TYPE "application/vnd.kafka.v2+json"

static void refuse(struct http_request *request, int status, int code, const char *message, const struct buf *more)
{
	struct buf out;
	buf_init(&out);
	buf_printf(&out, "{\"error_code\":%d,\"message\":", code);
	buf_json_string(&out, bytes_str(message));
	if (more)
		buf_append_bytes(&out, buf_bytes(more));
	buf_append_str(&out, "}");
	http_reply(request, out.failed ? 503 : status, TYPE, buf_bytes(&out));
	buf_done(&out);
}

static void refuse_err(struct http_request *request, enum sm_err err)
{
	switch (err) {
	case SM_NOT_FOUND: refuse(request, 404, 40401, "Topic not found.", NULL); break;
	case SM_DENIED: refuse(request, 403, 40301, "you may not write to this topic", NULL); break;
	case SM_FULL:
	case SM_AGAIN:
		http_reply_header(request, "Retry-After", "1");
		refuse(request, 429, 429, "the log is behind: send the request again later", NULL);
		break;
	case SM_TOO_LARGE:
		refuse(request, 413, 413, "a record, or the request, is too large: a request has at most 10000 records", NULL);
		break;
	default: refuse(request, 503, 50003, sm_err_text(err), NULL); break;
	}
}

/* ---- records ---- */

struct produce {
	struct job job;
	bool binary;
	int32_t partition; /* 1 + that of the path; 0: none */
	const char *why;   /* what is wrong with the request; the number of the record is in `at` */
	int status, code;
	uint32_t at;
};

static enum sm_err wrong(struct produce *p, int status, int code, const char *why)
{
	p->status = status;
	p->code = code;
	p->why = why;
	return SM_INVALID;
}

enum sm_err ingest__base64(struct http_request *request, struct bytes value, struct bytes *ret)
{
	struct bytes text;
	enum sm_err err = json_string_text(value, request->arena, &text);
	if (err)
		return err == SM_TYPE ? SM_SYNTAX : err;
	size_t size = BASE64_DECODED(text.size);
	uint8_t *out = arena_alloc_raw(request->arena, size + 1, 1);
	if (!out)
		return arena_error(request->arena);
	if (!base64_decode(text, out, size, &size))
		return SM_SYNTAX;
	*ret = bytes_of(out, size);
	return SM_OK;
}

/* A key or a value. *ret_null: it is null. */
static enum sm_err take_text(struct produce *p, struct bytes value, struct bytes *ret, bool *ret_null)
{
	*ret_null = bytes_equal(value, BYTES("null"));
	*ret = ingest__one_line(p->job.request, value);
	if (*ret_null || !p->binary)
		return SM_OK;
	enum sm_err err = ingest__base64(p->job.request, value, ret);
	return err == SM_SYNTAX ? wrong(p, 422, 422, "keys and values are base64 in strings") : err;
}

/* RFC 8259 numbers without fraction. */
static enum sm_err take_partition(struct produce *p, struct bytes text, int32_t *ret)
{
	int64_t number = 0;
	if (bytes_equal(text, BYTES("null")))
		return SM_OK;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9' || i > 9)
			return wrong(p, 422, 422, "a partition is a number from 0");
		number = number * 10 + (text.data[i] - '0');
	}
	if (!text.size || number >= p->job.entry->partitions)
		return wrong(p, 404, 40402, "Partition not found.");
	*ret = (int32_t)number + 1;
	return SM_OK;
}

static enum sm_err take_record(struct produce *p, struct bytes text)
{
	struct line line = {.text = BYTES("null"), .null = true, .any_bytes = true, .partition = p->partition};
	struct json_walk walk;
	struct bytes name, value;
	bool no_key = true, key = false, has_value = false, partition = false;
	enum sm_err err = json_walk_begin(&walk, text, p->job.request->arena);
	if (err || !walk.object)
		return err && err != SM_SYNTAX ? err : wrong(p, 422, 422, "a record is an object");
	while (!err && !(err = json_walk_next(&walk, &name, &value))) {
		bool *seen = bytes_equal(name, BYTES("key"))         ? &key
			     : bytes_equal(name, BYTES("value"))     ? &has_value
			     : bytes_equal(name, BYTES("partition")) ? &partition
								     : NULL;
		if (!seen || *seen)
			err = wrong(p, 422, 422, seen ? "a member is there twice" : "a record has key, value and partition, nothing else");
		else if (seen == &key)
			err = take_text(p, value, &line.key, &no_key);
		else if (seen == &has_value)
			err = take_text(p, value, &line.text, &line.null);
		else
			err = take_partition(p, value, &line.partition);
		if (seen)
			*seen = true;
	}
	if (err != SM_END)
		return err;
	line.has_key = line.key_given = !no_key;
	if (no_key)
		line.key = (struct bytes){0};
	return ingest__check(&p->job, &line, p->at);
}

static enum sm_err take_records(struct produce *p, struct bytes records)
{
	struct json_walk walk;
	struct bytes name, record;
	enum sm_err err = json_walk_begin(&walk, records, p->job.request->arena);
	if (err || walk.object)
		return err && err != SM_SYNTAX ? err : wrong(p, 422, 422, "records must be an array");
	for (p->at = 0; !err && !(err = json_walk_next(&walk, &name, &record)); p->at++) {
		if (p->at == PRODUCE_RECORDS_MAX)
			return SM_TOO_LARGE;
		if ((err = take_record(p, record)))
			break;
	}
	if (err == SM_END && p->at == 0)
		return wrong(p, 422, 422, "records may not be empty");
	return err == SM_END ? SM_OK : err;
}

static enum sm_err take_body(struct produce *p)
{
	struct http_request *request = p->job.request;
	struct json_walk walk;
	struct bytes name, value, records = {0};
	enum sm_err err = json_walk_begin(&walk, request->body, request->arena);
	while (!err && !(err = json_walk_next(&walk, &name, &value))) {
		if (!walk.object || !bytes_equal(name, BYTES("records")) || records.data)
			err = wrong(p, 422, 422, "the request is {\"records\": [...]}, nothing else");
		records = value;
	}
	if (err == SM_SYNTAX)
		return wrong(p, 400, 400, "the body is not sound JSON");
	if (err != SM_END)
		return err;
	return records.data ? take_records(p, records) : wrong(p, 422, 422, "records may not be empty");
}

/* ---- the request ---- */

void ingest__place(struct job *job, const struct once *once, struct reports *reports)
{
	struct placed *placed = calloc(job->good, sizeof *placed);
	struct pending *pending = placed ? ingest__pending_new(job->worker, job->request, job->entry) : NULL;
	if (!pending) {
		free(placed);
		if (reports)
			ingest__refuse_v3(job->request, 503, 50003, sm_err_text(SM_NO_MEMORY));
		else
			refuse_err(job->request, SM_NO_MEMORY);
		return;
	}
	pending->reports = reports;
	pending->placed = placed;
	pending->wanted = job->good;
	int64_t now_ms = clock_wall_ms(&clock_system);
	if (reports)
		reports->now_ms = now_ms;
	for (uint32_t i = 0; i < job->good && !pending->err; i++)
		ingest__add(job->worker, pending, once, &job->worker->lines[i], now_ms);
	for (uint32_t i = pending->accepted; i < job->good; i++)
		placed[i].err = pending->err;
	ingest__pending_release(job->worker, pending);
}

static enum sm_err take_request(struct produce *p)
{
	struct http_request *request = p->job.request;
	struct bytes type = http_header(request, "content-type");
	static const char binary[] = "application/vnd.kafka.binary.v2+json";
	p->binary = type.size >= sizeof binary - 1 && strncasecmp((const char *)type.data, binary, sizeof binary - 1) == 0;
	p->job.numbering = NUMBER_EVENTS;
	if (http_header(request, "idempotency-key").data)
		return wrong(p, 400, 400, "Idempotency-Key is understood at /ingest only");
	if (((struct ingest *)request->arg)->options.no_once)
		return wrong(p, 501, 501, "offsets cannot be told: a real Kafka keeps the topics of this server");
	enum sm_err err = request->params[1].data ? take_partition(p, request->params[1], &p->partition) : SM_OK;
	if (err == SM_INVALID || (request->params[1].data && !p->partition))
		return wrong(p, 404, 40402, "Partition not found.");
	return err ? err : take_body(p);
}

void ingest__produce(struct http_request *request)
{
	struct produce p = {0};
	enum sm_err err;
	if (!ingest__job_begin(&p.job, request, &err)) {
		const char *later = ingest__not_now(&p.job);
		if (later)
			refuse(request, 429, 429, later, NULL);
		else
			refuse_err(request, err);
		return;
	}
	err = take_request(&p);
	ingest__end_report(&p.job);
	if (p.why && p.code == 422) {
		char text[200];
		snprintf(text, sizeof text, "%s (record %u)", p.why, p.at);
		refuse(request, p.status, p.code, text, NULL);
	} else if (p.why) {
		refuse(request, p.status, p.code, p.why, NULL);
	} else if (err) {
		refuse_err(request, err);
	} else if (p.job.bad) {
		refuse(request, 422, 422, "a value does not fit the topic's schema", &p.job.report);
	} else {
		ingest__place(&p.job, NULL, NULL);
	}
	ingest__job_done(&p.job);
}

/* ---- the answer ---- */

bool ingest__is_final(enum sm_err err)
{
	return err == SM_TOO_LARGE || err == SM_NOT_FOUND || err == SM_INVALID || err == SM_CORRUPT;
}

static void put_place(struct buf *out, const struct placed *at)
{
	if (!at->err) {
		buf_printf(out, "{\"partition\":%d,\"offset\":%lld,\"error_code\":null,\"error\":null}", at->partition,
			   (long long)at->offset);
		return;
	}
	buf_printf(out, "{\"partition\":null,\"offset\":null,\"error_code\":%d,\"error\":", ingest__is_final(at->err) ? 50002 : 50003);
	buf_json_string(out, bytes_str(sm_err_text(at->err)));
	buf_append_str(out, "}");
}

bool ingest__all_behind(const struct pending *p)
{
	bool behind = true;
	for (uint32_t i = 0; i < p->wanted && behind; i++)
		behind = p->placed[i].err == SM_FULL || p->placed[i].err == SM_AGAIN;
	return behind;
}

void ingest__produced(struct pending *p)
{
	struct buf out;
	if (p->reports) {
		ingest__produced_v3(p);
		return;
	}
	if (!p->accepted || ingest__all_behind(p)) {
		refuse_err(p->request, p->accepted ? SM_FULL : p->err);
		return;
	}
	buf_init(&out);
	buf_append_str(&out, "{\"offsets\":[");
	for (uint32_t i = 0; i < p->wanted; i++) {
		buf_append_str(&out, i ? "," : "");
		put_place(&out, &p->placed[i]);
	}
	buf_append_str(&out, "],\"key_schema_id\":null,\"value_schema_id\":null}");
	http_reply(p->request, out.failed ? 503 : 200, TYPE, buf_bytes(&out));
	buf_done(&out);
}
