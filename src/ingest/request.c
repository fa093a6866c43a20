/* One request: its body cut into events, each checked, the good ones handed to the batches, the bad ones described.
 *
 * Everything is checked before anything is added, so that a request with a bad event stores nothing. */
#include "base/metrics.h"
#include "base/uuid.h"
#include "ingest/ingest_internal.h"
#include <stdlib.h>
#include <strings.h>

void ingest__reply_message(struct http_request *request, int status, const char *message)
{
	struct buf text;
	buf_init(&text);
	buf_append_str(&text, "{\"message\":");
	buf_json_string(&text, bytes_str(message));
	buf_append_str(&text, "}");
	http_reply(request, status, "application/json", buf_bytes(&text));
	buf_done(&text);
}

/* ---- events ---- */

static bool is_blank(struct bytes text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] != ' ' && text.data[i] != '\t' && text.data[i] != '\r')
			return false;
	return true;
}

/* A document may be written over several lines; a record's value is always one. Between JSON's tokens a line break is a blank, and
 * within a string it cannot be. */
struct bytes ingest__one_line(struct http_request *request, struct bytes text)
{
	while (text.size && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
		text.size--;
	if (!text.size || (!memchr(text.data, '\n', text.size) && !memchr(text.data, '\r', text.size)))
		return text;
	uint8_t *copy = arena_copy(request->arena, text.data, text.size);
	for (size_t i = 0; copy && i < text.size; i++)
		if (copy[i] == '\n' || copy[i] == '\r')
			copy[i] = ' ';
	return bytes_of(copy, copy ? text.size : 0);
}

/* The text of the key field. A string's is what it says, without escapes, so that one key is one however it was written. */
static void take_schema_key(struct job *job, struct line *line)
{
	struct topic_entry *entry = job->entry;
	if (line->key_given || entry->key < 0 || !entry->values[entry->key].present)
		return;
	line->has_key = true;
	const struct event_value *value = &entry->values[entry->key];
	enum schema_type type = entry->schema->fields[entry->key].type;
	line->key = type == SCHEMA_STRING ? value->text : value->raw;
	if (type == SCHEMA_UUID && line->key.size != 36) { /* written with escapes */
		char *text = arena_alloc_raw(job->request->arena, 37, 1);
		struct uuid id;
		memcpy(id.bytes, value->uuid, sizeof id.bytes);
		if (text)
			uuid_format(&id, text);
		line->key = bytes_of(text, text ? 36 : 0);
	}
}

/* ?key=/json/pointer goes before the schema's. *ret_reason: the value there is no key. */
static enum sm_err take_key(struct job *job, struct line *line, const char **ret_reason)
{
	struct bytes value;
	struct arena *arena = job->request->arena;
	if (!job->by_pointer) {
		take_schema_key(job, line);
		return SM_OK;
	}
	enum sm_err err = json_pointer_find(&job->pointer, line->text, arena, &value);
	line->has_key = !err && !bytes_equal(value, BYTES("null"));
	if (err || !line->has_key)
		return err == SM_NOT_FOUND ? SM_OK : err;
	line->key = value;
	if (*value.data == '"')
		return json_string_text(value, arena, &line->key);
	if (*value.data == '{' || *value.data == '[')
		*ret_reason = "error.expected.key";
	return SM_OK;
}

/* With a schema of any object the only thing that can be said against sound JSON is that it is none. */
static bool is_other_json(const struct job *job)
{
	return job->entry->any && job->problems.count == 1 && strcmp(job->problems.items[0].reason, "error.expected.jsobject") == 0;
}

static void report(struct job *job, uint32_t number)
{
	job->bad++;
	if (job->numbering == NUMBER_NONE || job->bad > INGEST_REPORT_LINES_MAX)
		return;
	const char *begin = job->numbering == NUMBER_LINES ? ",\"lines\":{" : ",\"events\":{";
	buf_printf(&job->report, "%s\"%u\":", job->bad == 1 ? begin : ",", number);
	event_problems_json(&job->problems, &job->report);
}

void ingest__wrong(struct job *job, const char *path, const char *reason, uint32_t number)
{
	job->problems.count = 1;
	job->problems.items[0] = (struct event_problem){path, reason};
	report(job, number);
}

/* Room for one more good event. */
static struct line *next_line(struct job *job)
{
	struct worker *worker = job->worker;
	if (job->good == worker->line_cap) {
		uint32_t cap = worker->line_cap ? worker->line_cap * 2 : 64;
		struct line *lines = realloc(worker->lines, cap * sizeof *lines);
		if (!lines)
			return NULL;
		worker->lines = lines;
		worker->line_cap = cap;
	}
	return &worker->lines[job->good];
}

static bool is_too_large(const struct line *line)
{
	size_t size = line->text.size + line->key.size;
	for (uint32_t i = 0; i < line->header_count; i++)
		size += line->headers[i].key.size + line->headers[i].value.size + 12;
	return size + LOG_BATCH_OVERHEAD + 64 > LOG_BATCH_BYTES_MAX;
}

enum sm_err ingest__check(struct job *job, const struct line *from, uint32_t number)
{
	struct topic_entry *entry = job->entry;
	const char *reason = NULL;
	if (job->good == INGEST_LINES_MAX)
		return SM_TOO_LARGE;
	job->too_large = number + 1;
	if (is_too_large(from))
		return SM_TOO_LARGE;
	job->too_large = 0;
	bool scan = !entry->any || !from->any_bytes;
	enum sm_err err = !scan ? SM_OK : event_scan(entry->schema, from->text, entry->values, job->request->arena, &job->problems);
	if (err == SM_INVALID && is_other_json(job))
		err = SM_OK;
	if (err == SM_INVALID) {
		report(job, number);
		return SM_OK;
	}
	struct line *line = err ? NULL : next_line(job);
	if (!line)
		return err ? err : SM_NO_MEMORY;
	*line = *from;
	if ((err = take_key(job, line, &reason)))
		return err;
	if (reason) {
		ingest__wrong(job, "obj", reason, number);
		return SM_OK;
	}
	if (is_too_large(line)) {
		job->too_large = number + 1;
		return SM_TOO_LARGE;
	}
	job->good++;
	return SM_OK;
}

static enum sm_err check_text(struct job *job, struct bytes text, uint32_t number)
{
	return ingest__check(job, &(struct line){.text = text}, number);
}

/* The elements of an array are the events. */
static enum sm_err check_array(struct job *job, struct bytes body)
{
	struct json_walk walk;
	struct bytes name, value;
	uint32_t number = 0;
	job->numbering = NUMBER_EVENTS;
	enum sm_err err = json_walk_begin(&walk, body, job->request->arena);
	while (!err && !(err = json_walk_next(&walk, &name, &value)))
		err = check_text(job, ingest__one_line(job->request, value), number++);
	if (err == SM_END)
		return SM_OK;
	if (err == SM_SYNTAX) {
		/* Where an element ends is not known any more: none is taken. */
		ingest__wrong(job, "obj", "error.invalid.json", number);
		job->skip = false;
		err = SM_OK;
	}
	return err;
}

static enum sm_err check_document(struct job *job, struct bytes body)
{
	size_t blank = 0;
	while (blank < body.size && (body.data[blank] == ' ' || (body.data[blank] >= '\t' && body.data[blank] <= '\r')))
		blank++;
	if (blank < body.size && body.data[blank] == '[')
		return check_array(job, body);
	return check_text(job, ingest__one_line(job->request, body), 1);
}

static enum sm_err check_lines(struct job *job, struct bytes body)
{
	enum sm_err err = SM_OK;
	uint32_t number = 0;
	while (body.size && !err) {
		const uint8_t *lf = memchr(body.data, '\n', body.size);
		size_t size = lf ? (size_t)(lf - body.data) : body.size;
		struct bytes text = bytes_of(body.data, size);
		if (text.size && text.data[text.size - 1] == '\r')
			text.size--;
		number++;
		if (!is_blank(text))
			err = check_text(job, text, number);
		body.data += size + (lf != NULL);
		body.size -= size + (lf != NULL);
	}
	return err;
}

/* ---- the request ---- */

void ingest__end_report(struct job *job)
{
	if (!buf_size(&job->report))
		return;
	buf_append_str(&job->report, "}");
	if (job->bad > INGEST_REPORT_LINES_MAX)
		buf_printf(&job->report, ",\"unreported\":%u", job->bad - INGEST_REPORT_LINES_MAX);
}

static void refuse_bad(struct job *job)
{
	struct buf text;
	buf_init(&text);
	if (job->numbering != NUMBER_NONE) {
		buf_append_str(&text, "{");
		buf_append(&text, job->report.data + job->report.start + 1, buf_size(&job->report) - 1); /* without its comma */
		buf_append_str(&text, "}");
	} else {
		event_problems_json(&job->problems, &text);
	}
	http_reply(job->request, text.failed || job->report.failed ? 503 : 400, "application/json", buf_bytes(&text));
	buf_done(&text);
}

static void refuse_large(struct job *job)
{
	char why[160];
	if (job->too_large)
		snprintf(why, sizeof why, "event or line %u is larger than a record batch may be (%u bytes)", job->too_large - 1,
			 LOG_BATCH_BYTES_MAX);
	else
		snprintf(why, sizeof why, "a request may have %u events and what their checking needs: send it in parts", INGEST_LINES_MAX);
	ingest__reply_message(job->request, 413, why);
}

static void store(struct job *job)
{
	bool ok;
	const struct once *once = ingest__once(job, &ok);
	if (!ok)
		return;
	struct pending *p = ingest__pending_new(job->worker, job->request, job->entry);
	if (!p) {
		ingest__refuse(job->request, SM_NO_MEMORY, job->entry->name);
		return;
	}
	if (job->report.failed)
		p->err = SM_NO_MEMORY;
	p->report = job->report;
	buf_init(&job->report);
	int64_t now_ms = clock_wall_ms(&clock_system);
	for (uint32_t i = 0; i < job->good && !p->err; i++)
		ingest__add(job->worker, p, once, &job->worker->lines[i], now_ms);
	ingest__pending_release(job->worker, p);
}

static bool is_type(struct bytes type, const char *want)
{
	size_t size = strlen(want);
	return type.size >= size && strncasecmp((const char *)type.data, want, size) == 0 &&
	       (type.size == size || type.data[size] == ';' || type.data[size] == ' ' || type.data[size] == '\t');
}

/* What the query says. NULL, or what is wrong. */
static const char *read_options(struct job *job)
{
	struct http_request *request = job->request;
	if (!request->query.size)
		return NULL;
	struct bytes on_error = http_query(request, "on_error"), key = http_query(request, "key");
	job->skip = bytes_equal(on_error, BYTES("skip"));
	if (!job->skip && on_error.data && !bytes_equal(on_error, BYTES("refuse")))
		return "on_error is \"skip\" or \"refuse\"";
	job->by_pointer = key.data != NULL;
	if (key.data && json_pointer_parse(key, request->arena, &job->pointer))
		return "key is a JSON pointer of at most 16 parts, as /user/id";
	return NULL;
}

static enum sm_err check_body(struct job *job)
{
	struct http_request *request = job->request;
	struct bytes type = http_header(request, "content-type");
	job->numbering = NUMBER_LINES;
	if (is_type(type, "application/x-ndjson"))
		return check_lines(job, request->body);
	if (is_type(type, "text/csv"))
		return ingest__csv(job, request->body);
	job->numbering = NUMBER_EVENTS;
	if (is_type(type, "application/cloudevents-batch+json"))
		return ingest__cloudevents(job, request->body);
	job->numbering = NUMBER_NONE;
	if (is_type(type, "application/cloudevents+json"))
		return ingest__cloudevent(job, request->body, 1);
	if (http_header(request, "ce-specversion").data)
		return ingest__cloudevent_binary(job, request->body);
	return check_document(job, request->body);
}

bool ingest__job_begin(struct job *job, struct http_request *request, enum sm_err *ret_err)
{
	struct ingest *ingest = request->arg;
	*job = (struct job){.worker = &ingest->workers[actor_current_dispatcher()], .request = request};
	buf_init(&job->report);
	actor_at_turn_end(net_conn_actor(request->conn), &job->worker->hook);
	const char *principal = http_principal(request);
	if (principal && ingest->options.may &&
	    !ingest->options.may(ingest->options.arg, principal, http_peer_host(request), request->params[0])) {
		*ret_err = SM_DENIED;
		return false;
	}
	if ((job->full = ingest__is_full(ingest))) {
		*ret_err = SM_FULL;
		return false;
	}
	job->entry = ingest__topic(job->worker, request->params[0], ret_err);
	if (!job->entry || !principal || !ingest->options.count)
		return job->entry != NULL;
	/* As with Kafka, the request that goes beyond the quota is still taken. */
	if ((job->quiet_ms = ingest->options.count(ingest->options.arg, principal, 0))) {
		*ret_err = SM_FULL;
		return false;
	}
	(void)ingest->options.count(ingest->options.arg, principal, request->body.size);
	return true;
}

const char *ingest__not_now(const struct job *job)
{
	char seconds[16];
	if (job->full) {
		http_reply_header(job->request, "Retry-After", "1");
		return "the server is short of memory (memory.budget): send the request again later";
	}
	if (!job->quiet_ms)
		return NULL;
	snprintf(seconds, sizeof seconds, "%u", (job->quiet_ms + 999) / 1000);
	http_reply_header(job->request, "Retry-After", seconds);
	return "your quota (producer_byte_rate) is used up: send the request again later";
}

static void refuse_topic(struct http_request *request, enum sm_err err)
{
	if (err == SM_DENIED) {
		ingest__reply_message(request, 403, "you may not write to this topic");
		return;
	}
	char name[64];
	snprintf(name, sizeof name, "%.*s", (int)(request->params[0].size < 60 ? request->params[0].size : 60),
		 (const char *)request->params[0].data);
	ingest__refuse(request, err, name);
}

void ingest__job_done(struct job *job)
{
	struct worker *worker = job->worker;
	if (job->bad)
		metric_add(METRIC_INGEST_INVALID, job->bad);
	buf_done(&job->report);
	/* A request of many lines is an exception for most; its list is not kept. */
	if (worker->line_cap > 4096) {
		free(worker->lines);
		worker->lines = NULL;
		worker->line_cap = 0;
	}
}

void ingest__handle(struct http_request *request)
{
	struct job job;
	enum sm_err err;
	if (!ingest__job_begin(&job, request, &err)) {
		const char *later = ingest__not_now(&job);
		if (later)
			ingest__reply_message(request, 429, later);
		else
			refuse_topic(request, err);
		return;
	}
	const char *wrong = read_options(&job);
	if (wrong) {
		ingest__reply_message(request, 400, wrong);
		return;
	}
	err = check_body(&job);
	ingest__end_report(&job);
	if (err == SM_TOO_LARGE)
		refuse_large(&job);
	else if (err)
		ingest__refuse(request, err, job.entry->name);
	else if (job.bad && !(job.skip && job.numbering != NUMBER_NONE))
		refuse_bad(&job);
	else
		store(&job);
	ingest__job_done(&job);
}
