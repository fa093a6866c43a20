/* One request: its body cut into events, each checked, the good ones handed to the batches, the bad ones described.
 *
 * Everything is checked before anything is added, so that a request with a bad event stores nothing. */
#include "base/metrics.h"
#include "base/uuid.h"
#include "ingest/ingest_internal.h"
#include <stdlib.h>
#include <strings.h>

struct job {
	struct worker *worker;
	struct topic_entry *entry;
	struct http_request *request;
	bool lines_given; /* NDJSON */
	bool skip;        /* ?on_error=skip */
	uint32_t good, bad;
	uint32_t too_large; /* number of the line that is; 0: there are too many */
	struct buf report;  /* of NDJSON: ,"lines":{... without the last brace */
	struct event_problems problems;
};

static void reply_message(struct http_request *request, int status, const char *message)
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
static struct bytes one_line(struct http_request *request, struct bytes text)
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
static void take_key(struct job *job, struct line *line)
{
	struct topic_entry *entry = job->entry;
	line->has_key = entry->key >= 0 && entry->values[entry->key].present;
	if (!line->has_key)
		return;
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

/* With a schema of any object the only thing that can be said against sound JSON is that it is none. */
static bool is_other_json(const struct job *job)
{
	return job->entry->any && job->problems.count == 1 && strcmp(job->problems.items[0].reason, "error.expected.jsobject") == 0;
}

static void report(struct job *job, uint32_t number)
{
	job->bad++;
	if (!job->lines_given || job->bad > INGEST_REPORT_LINES_MAX)
		return;
	buf_printf(&job->report, "%s\"%u\":", job->bad == 1 ? ",\"lines\":{" : ",", number);
	event_problems_json(&job->problems, &job->report);
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

static enum sm_err check_event(struct job *job, struct bytes text, uint32_t number)
{
	struct topic_entry *entry = job->entry;
	if (job->good == INGEST_LINES_MAX)
		return SM_TOO_LARGE;
	job->too_large = number;
	if (text.size + LOG_BATCH_OVERHEAD + 64 > LOG_BATCH_BYTES_MAX)
		return SM_TOO_LARGE;
	job->too_large = 0;
	enum sm_err err = event_scan(entry->schema, text, entry->values, job->request->arena, &job->problems);
	if (err == SM_INVALID && is_other_json(job))
		err = SM_OK;
	if (err == SM_INVALID) {
		report(job, number);
		return SM_OK;
	}
	if (err)
		return err;
	struct line *line = next_line(job);
	if (!line)
		return SM_NO_MEMORY;
	*line = (struct line){.text = text};
	take_key(job, line);
	if (line->text.size + line->key.size + LOG_BATCH_OVERHEAD + 64 > LOG_BATCH_BYTES_MAX) {
		job->too_large = number;
		return SM_TOO_LARGE;
	}
	job->good++;
	return SM_OK;
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
			err = check_event(job, text, number);
		body.data += size + (lf != NULL);
		body.size -= size + (lf != NULL);
	}
	return err;
}

/* ---- the request ---- */

static void end_report(struct job *job)
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
	if (job->lines_given) {
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
		snprintf(why, sizeof why, "the event in line %u is larger than a record batch may be (%u bytes)", job->too_large,
			 LOG_BATCH_BYTES_MAX);
	else
		snprintf(why, sizeof why, "a request may have %u events and what their checking needs: send it in parts", INGEST_LINES_MAX);
	reply_message(job->request, 413, why);
}

static void store(struct job *job)
{
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
		ingest__add(job->worker, p, &job->worker->lines[i], now_ms);
	ingest__pending_release(job->worker, p);
}

static bool read_options(struct job *job)
{
	struct bytes type = http_header(job->request, "content-type");
	static const char ndjson[] = "application/x-ndjson";
	job->lines_given = type.size >= sizeof ndjson - 1 && strncasecmp((const char *)type.data, ndjson, sizeof ndjson - 1) == 0;
	if (!job->request->query.size)
		return true;
	struct bytes on_error = http_query(job->request, "on_error");
	job->skip = bytes_equal(on_error, BYTES("skip"));
	return job->skip || !on_error.data || bytes_equal(on_error, BYTES("refuse"));
}

void ingest__handle(struct http_request *request)
{
	struct ingest *ingest = request->arg;
	struct worker *worker = &ingest->workers[actor_current_dispatcher()];
	enum sm_err err;
	struct job job = {.worker = worker, .request = request};
	actor_at_turn_end(net_conn_actor(request->conn), &worker->hook);
	job.entry = ingest__topic(worker, request->params[0], &err);
	if (!job.entry) {
		char name[64];
		snprintf(name, sizeof name, "%.*s", (int)(request->params[0].size < 60 ? request->params[0].size : 60),
			 (const char *)request->params[0].data);
		ingest__refuse(request, err, name);
		return;
	}
	if (!read_options(&job)) {
		reply_message(request, 400, "on_error is \"skip\" or \"refuse\"");
		return;
	}
	buf_init(&job.report);
	if (job.lines_given)
		err = check_lines(&job, request->body);
	else
		err = check_event(&job, one_line(request, request->body), 1);
	if (job.bad)
		metric_add(METRIC_INGEST_INVALID, job.bad);
	end_report(&job);
	if (err == SM_TOO_LARGE)
		refuse_large(&job);
	else if (err)
		ingest__refuse(request, err, job.entry->name);
	else if (job.bad && !(job.skip && job.lines_given))
		refuse_bad(&job);
	else
		store(&job);
	buf_done(&job.report);
	/* A request of many lines is an exception for most; its list is not kept. */
	if (worker->line_cap > 4096) {
		free(worker->lines);
		worker->lines = NULL;
		worker->line_cap = 0;
	}
}
