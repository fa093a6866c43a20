/* /schemas: what is asked is answered from memory; what changes goes to the pool, since it is written and synced. */
#include "ingest/schemas_internal.h"
#include <stdlib.h>

struct job {
	struct sm_work work; /* first */
	struct schemas_change change;
	struct http_ticket *ticket;
	uint8_t data[]; /* the body, then the key */
};

static void refuse(struct http_request *request, enum sm_err code, const char *text)
{
	struct sm_error error = {0};
	sm_fail(&error, code, "%s", text);
	http_reply_error(request, &error);
}

/* ---- which topic ---- */

/* Returns false when it is answered. */
static bool take_topic(struct http_request *request, char out[250])
{
	struct bytes name = request->params[0];
	if (name.size > SCHEMAS_TOPIC_BYTES_MAX || memchr(name.data, 0, name.size)) {
		refuse(request, SM_INVALID, "the topic's name has at most 246 bytes");
		return false;
	}
	memcpy(out, name.data, name.size);
	out[name.size] = 0;
	if (log_topic_name_ok(out))
		return true;
	refuse(request, SM_INVALID, "this is no name of a topic");
	return false;
}

static bool topic_is_there(struct schemas *s, const char *topic)
{
	struct sm_log *log = s->options.log;
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *found = topics ? log_topics_find(topics, topic) : NULL;
	bool there = found && !found->internal;
	if (topics)
		log->ops->topics_release(log, topics);
	return there;
}

static const char *configured(struct schemas *s, const char *topic, const char **ret_key)
{
	const char *document = NULL;
	*ret_key = NULL;
	s->options.configured(s->options.arg, topic, &document, ret_key);
	return document;
}

/* ---- what is asked ---- */

static void put_key(struct buf *out, const char *key)
{
	if (!key)
		return;
	buf_append_str(out, "\"key\":");
	buf_json_string(out, bytes_str(key));
	buf_append_str(out, ",");
}

static void put_version(struct buf *out, const struct subject *subject, const struct schemas_version *v)
{
	buf_printf(out, "{\"topic\":\"%s\",\"version\":%u,", subject->topic, v->number);
	put_key(out, v->key);
	buf_append_str(out, "\"schema\":");
	buf_append_bytes(out, buf_bytes(&v->text));
	buf_append_str(out, "}");
}

/* A number, or "latest". */
static const struct schemas_version *find_version(const struct subject *subject, struct bytes which)
{
	if (bytes_equal(which, BYTES("latest")))
		return &subject->versions[subject->count - 1];
	uint64_t number = 0;
	for (size_t i = 0; i < which.size; i++) {
		if (which.data[i] < '0' || which.data[i] > '9' || i > 9)
			return NULL;
		number = number * 10 + (uint64_t)(which.data[i] - '0');
	}
	for (uint32_t i = 0; i < subject->count; i++)
		if (subject->versions[i].number == number)
			return &subject->versions[i];
	return NULL;
}

enum asked { ASKED_LATEST, ASKED_VERSIONS, ASKED_VERSION, ASKED_LEVEL };

/* Under the lock. Returns whether there is such a thing. */
static bool describe(struct schemas *s, const char *topic, enum asked asked, struct bytes which, struct buf *out)
{
	const struct subject *subject = map_get(&s->subjects, bytes_str(topic));
	const struct schemas_version *v = NULL;
	if (!subject)
		return false;
	switch (asked) {
	case ASKED_LEVEL: buf_printf(out, "{\"compatibility\":\"%s\"}", schemas__level_name(subject->level)); return true;
	case ASKED_VERSIONS:
		for (uint32_t i = 0; i < subject->count; i++)
			buf_printf(out, "%s%u", i ? "," : "[", subject->versions[i].number);
		buf_append_str(out, "]");
		return true;
	case ASKED_LATEST: v = &subject->versions[subject->count - 1]; break;
	case ASKED_VERSION: v = find_version(subject, which); break;
	}
	if (v)
		put_version(out, subject, v);
	return v != NULL;
}

static bool describe_configured(struct schemas *s, const char *topic, struct buf *out)
{
	const char *key, *document = configured(s, topic, &key);
	if (!document)
		return false;
	buf_printf(out, "{\"topic\":\"%s\",\"configured\":true,", topic);
	put_key(out, key);
	buf_append_str(out, "\"schema\":");
	buf_append_str(out, document);
	buf_append_str(out, "}");
	return true;
}

static void answer(struct http_request *request, enum asked asked)
{
	struct schemas *s = request->arg;
	char topic[250];
	struct buf out;
	if (!take_topic(request, topic))
		return;
	buf_init(&out);
	bool there = asked == ASKED_LATEST && describe_configured(s, topic, &out);
	if (!there) {
		pthread_mutex_lock(&s->lock);
		there = describe(s, topic, asked, request->params[1], &out);
		pthread_mutex_unlock(&s->lock);
	}
	if (there)
		http_reply(request, out.failed ? 503 : 200, "application/json", buf_bytes(&out));
	else
		refuse(request, SM_NOT_FOUND,
		       asked == ASKED_VERSION ? "the topic has no such version of a schema" : "the topic has no schema here");
	buf_done(&out);
}

static void get_latest(struct http_request *request)
{
	answer(request, ASKED_LATEST);
}
static void get_versions(struct http_request *request)
{
	answer(request, ASKED_VERSIONS);
}
static void get_version(struct http_request *request)
{
	answer(request, ASKED_VERSION);
}
static void get_level(struct http_request *request)
{
	answer(request, ASKED_LEVEL);
}

static int by_topic(const void *a, const void *b)
{
	const struct subject *const *x = a, *const *y = b;
	return strcmp((*x)->topic, (*y)->topic);
}

static void list(struct http_request *request)
{
	struct schemas *s = request->arg;
	struct buf out;
	struct bytes key;
	void *value;
	size_t pos = 0, n = 0;
	buf_init(&out);
	pthread_mutex_lock(&s->lock);
	const struct subject **all = arena_alloc(request->arena, (s->subjects.count + 1) * sizeof *all);
	while (all && map_next(&s->subjects, &pos, &key, &value))
		all[n++] = value;
	if (n)
		qsort(all, n, sizeof *all, by_topic);
	buf_append_str(&out, "[");
	for (size_t i = 0; i < n; i++)
		buf_printf(&out, "%s{\"topic\":\"%s\",\"version\":%u,\"compatibility\":\"%s\"}", i ? "," : "", all[i]->topic,
			   all[i]->latest->version, schemas__level_name(all[i]->level));
	pthread_mutex_unlock(&s->lock);
	buf_append_str(&out, "]");
	http_reply(request, all && !out.failed ? 200 : 503, "application/json", buf_bytes(&out));
	buf_done(&out);
}

/* ---- what changes ---- */

/* On the connection's dispatcher again, or anywhere without a request. */
static void changed(struct http_request *request, void *arg)
{
	struct job *job = arg;
	if (request)
		http_reply(request, job->change.answer.failed ? 503 : job->change.status, "application/json",
			   buf_bytes(&job->change.answer));
	buf_done(&job->change.answer);
	free(job);
}

static void leave(struct schemas *s)
{
	pthread_mutex_lock(&s->lock);
	if (--s->under_way == 0)
		pthread_cond_broadcast(&s->quiet);
	pthread_mutex_unlock(&s->lock);
}

static void run(struct sm_work *work)
{
	struct job *job = (struct job *)work;
	struct schemas *s = job->change.schemas;
	schemas__change(&job->change);
	http_ticket_post(job->ticket, changed, job);
	leave(s);
}

static struct job *job_new(struct http_request *request, enum schemas_verb verb, const char *topic)
{
	struct bytes key = http_query(request, "key");
	struct job *job = calloc(1, sizeof *job + request->body.size + key.size + 1);
	if (!job)
		return NULL;
	job->work.run = run;
	job->change = (struct schemas_change){.schemas = request->arg, .verb = verb, .body = bytes_of(job->data, request->body.size)};
	snprintf(job->change.topic, sizeof job->change.topic, "%s", topic);
	if (request->body.size)
		memcpy(job->data, request->body.data, request->body.size);
	if (key.data) {
		memcpy(job->data + request->body.size, key.data, key.size);
		job->change.key = (const char *)job->data + request->body.size;
	}
	buf_init(&job->change.answer);
	return job;
}

static void start(struct http_request *request, enum schemas_verb verb, const char *topic)
{
	struct schemas *s = request->arg;
	pthread_mutex_lock(&s->lock);
	bool room = s->under_way < SCHEMAS_CHANGES_MAX;
	s->under_way += room;
	pthread_mutex_unlock(&s->lock);
	struct job *job = room ? job_new(request, verb, topic) : NULL;
	if (job && (job->ticket = http_ticket(request)) && !sm_pool_run(s->options.system, &job->work))
		return;
	if (job && job->ticket)
		http_ticket_drop(job->ticket);
	free(job);
	if (room)
		leave(s);
	refuse(request, SM_FULL, "too many changes of schemas at a time: send the request again");
}

static void change(struct http_request *request, enum schemas_verb verb)
{
	struct schemas *s = request->arg;
	char topic[250];
	const char *key;
	if (!take_topic(request, topic))
		return;
	if (request->body.size > SCHEMAS_DOCUMENT_BYTES_MAX)
		refuse(request, SM_TOO_LARGE, "a schema has at most 256 KiB");
	else if (configured(s, topic, &key))
		refuse(request, SM_CONFLICT, "the schema of this topic is in the configuration: change it there");
	else if (verb == CHANGE_PUT && !topic_is_there(s, topic))
		refuse(request, SM_NOT_FOUND, "there is no such topic: make it with smack topic create NAME");
	else
		start(request, verb, topic);
}

static void put_schema(struct http_request *request)
{
	change(request, CHANGE_PUT);
}
static void check_schema(struct http_request *request)
{
	change(request, CHANGE_CHECK);
}
static void put_level(struct http_request *request)
{
	change(request, CHANGE_LEVEL);
}
static void delete_schema(struct http_request *request)
{
	change(request, CHANGE_DELETE);
}

enum sm_err schemas_routes(struct schemas *s, struct http_server *server)
{
	const char *const types = "application/json,application/schema+json";
	const struct http_route routes[] = {
		{HTTP_GET, "/schemas", list, s, NULL, false},
		{HTTP_GET, "/schemas/{topic}", get_latest, s, NULL, false},
		{HTTP_PUT | HTTP_POST, "/schemas/{topic}", put_schema, s, types, false},
		{HTTP_DELETE, "/schemas/{topic}", delete_schema, s, NULL, false},
		{HTTP_GET, "/schemas/{topic}/versions", get_versions, s, NULL, false},
		{HTTP_GET, "/schemas/{topic}/versions/{version}", get_version, s, NULL, false},
		{HTTP_POST, "/schemas/{topic}/check", check_schema, s, types, false},
		{HTTP_GET, "/schemas/{topic}/compatibility", get_level, s, NULL, false},
		{HTTP_PUT, "/schemas/{topic}/compatibility", put_level, s, types, false},
	};
	enum sm_err err = SM_OK;
	for (size_t i = 0; i < sizeof routes / sizeof *routes && !err; i++)
		err = http_server_route(server, &routes[i]);
	return err;
}
