/* Changes of schemas: a new version is compiled, compared with the latest, written, and only then what the others see. Runs on the pool. */
#include "ingest/schemas_internal.h"
#include <stdlib.h>

static void answer_message(struct schemas_change *c, int status, const char *message)
{
	c->status = status;
	buf_append_str(&c->answer, "{\"message\":");
	buf_json_string(&c->answer, bytes_str(message));
	buf_append_str(&c->answer, "}");
}

static void answer_error(struct schemas_change *c, const struct sm_error *error)
{
	answer_message(c, http_status_of(error->code), error->text[0] ? error->text : sm_err_text(error->code));
}

static void answer_version(struct schemas_change *c, int status, const struct subject *subject)
{
	c->status = status;
	buf_printf(&c->answer, "{\"topic\":\"%s\",\"version\":%u}", c->topic, subject->versions[subject->count - 1].number);
}

/* ---- a version ---- */

/* What comes in. */
struct candidate {
	json_t *document;
	struct schema *schema;
	const char *key; /* NULL: none */
};

static void candidate_done(struct candidate *in)
{
	json_decref(in->document);
	schema_free(in->schema);
}

/* Returns false when it is answered. */
static bool candidate_read(struct schemas_change *c, const struct subject *subject, struct candidate *in)
{
	struct sm_error error = {0};
	enum sm_err err = json_parse(c->body, &in->document, &error);
	if (err) {
		answer_error(c, &error);
		return false;
	}
	if ((err = schema_compile(c->body, &in->schema, &error))) {
		answer_message(c, err == SM_NO_MEMORY ? 503 : 422, error.text);
		return false;
	}
	in->key = c->key ? c->key : subject ? subject->versions[subject->count - 1].key : NULL;
	if (in->key && !*in->key)
		in->key = NULL;
	if (!in->key || schema_find(in->schema, in->key) >= 0)
		return true;
	char why[400];
	snprintf(why, sizeof why, "key=%.200s: the schema has no such property", in->key);
	answer_message(c, 422, why);
	return false;
}

static enum sm_err compare(const struct subject *subject, const struct schema *new, struct arena *arena, struct event_problems *problems)
{
	const struct schema *old = subject->latest->schema;
	enum sm_err err = SM_OK;
	problems->count = 0;
	if (subject->level == LEVEL_BACKWARD || subject->level == LEVEL_FULL)
		err = schema_takes_all(new, "new", old, "old", arena, problems);
	if (!err && (subject->level == LEVEL_FORWARD || subject->level == LEVEL_FULL))
		err = schema_takes_all(old, "old", new, "new", arena, problems);
	return err;
}

static bool same_key(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* It goes behind the latest. Returns false when it is answered. */
static bool candidate_fits(struct schemas_change *c, const struct subject *subject, const struct candidate *in)
{
	struct arena arena;
	struct event_problems problems;
	arena_init(&arena, SCHEMAS_COMPARE_BYTES_MAX);
	enum sm_err err = subject ? compare(subject, in->schema, &arena, &problems) : SM_OK;
	if (!err && subject && subject->level != LEVEL_NONE && !same_key(in->key, subject->versions[subject->count - 1].key)) {
		/* Equal keys would lie in different partitions. */
		problems.items[problems.count++] = (struct event_problem){"key", "is another one than before"};
		err = SM_INVALID;
	}
	if (err == SM_INVALID) {
		bool check = c->verb == CHANGE_CHECK;
		c->status = check ? 200 : 409;
		if (check)
			buf_append_str(&c->answer, "{\"compatible\":false,");
		else
			buf_printf(&c->answer, "{\"message\":\"the schema is not %s compatible with version %u\",",
				   schemas__level_name(subject->level), subject->versions[subject->count - 1].number);
		buf_append_str(&c->answer, "\"incompatible\":");
		event_problems_json(&problems, &c->answer);
		buf_append_str(&c->answer, "}");
	} else if (err) {
		answer_message(c, http_status_of(err), "the comparison with the latest version needs too much memory");
	}
	arena_done(&arena);
	return !err;
}

static bool is_latest(const struct subject *subject, const struct candidate *in)
{
	if (!subject || !same_key(in->key, subject->versions[subject->count - 1].key))
		return false;
	json_t *latest = NULL;
	bool same = json_parse(buf_bytes(&subject->versions[subject->count - 1].text), &latest, NULL) == SM_OK &&
		    json_equal(latest, in->document);
	json_decref(latest);
	return same;
}

/* Write it, then show it. */
static void store(struct schemas_change *c, struct subject *changed, int status)
{
	struct sm_error error = {0};
	enum sm_err err = schemas__write(c->schemas, changed, &error);
	if (err) {
		schemas__subject_free(changed);
		answer_error(c, &error);
		return;
	}
	answer_version(c, status, changed);
	if (schemas__put(c->schemas, c->topic, changed)) {
		buf_clear(&c->answer);
		answer_message(c, 503, "no memory: the change is written and counts from the next start on");
	}
}

static bool has_room(struct schemas_change *c, const struct subject *subject)
{
	char why[200];
	if (subject && subject->count >= SCHEMAS_VERSIONS_MAX) {
		snprintf(why, sizeof why, "the topic has %d versions of its schema, more are not kept: DELETE them to begin anew",
			 SCHEMAS_VERSIONS_MAX);
		answer_message(c, 409, why);
		return false;
	}
	if (c->schemas->bytes + c->body.size > SCHEMAS_BYTES_MAX) {
		snprintf(why, sizeof why, "the schemas of all topics may have %u MiB: DELETE some", SCHEMAS_BYTES_MAX >> 20);
		answer_message(c, 507, why);
		return false;
	}
	return true;
}

static void put_version(struct schemas_change *c, const struct subject *subject, struct candidate *in)
{
	struct subject *changed = subject ? schemas__subject_copy(subject) : calloc(1, sizeof *changed);
	uint32_t number = subject ? subject->versions[subject->count - 1].number + 1 : 1;
	bool ok = changed && (changed->topic || (changed->topic = strdup(c->topic)));
	if (ok && !subject)
		changed->level = LEVEL_BACKWARD;
	if (!ok || schemas__subject_add(changed, number, in->schema, in->key, in->document)) {
		schemas__subject_free(changed);
		answer_message(c, 503, "no memory");
		return;
	}
	in->schema = NULL; /* it is the subject's */
	store(c, changed, 201);
}

static void change_version(struct schemas_change *c, const struct subject *subject)
{
	struct candidate in = {0};
	if (!candidate_read(c, subject, &in)) {
		candidate_done(&in);
		return;
	}
	if (c->verb == CHANGE_PUT && is_latest(subject, &in)) {
		answer_version(c, 200, subject);
	} else if (candidate_fits(c, subject, &in)) {
		if (c->verb == CHANGE_CHECK) {
			c->status = 200;
			buf_append_str(&c->answer, "{\"compatible\":true}");
		} else if (has_room(c, subject)) {
			put_version(c, subject, &in);
		}
	}
	candidate_done(&in);
}

/* ---- the rest ---- */

static void change_level(struct schemas_change *c, const struct subject *subject)
{
	struct sm_error error = {0};
	json_t *json = NULL;
	const char *name = "";
	enum schemas_level level;
	enum sm_err err = json_parse(c->body, &json, &error);
	if (!err)
		err = json_get_string(json, "compatibility", "", &name, &error);
	if (!err && (json_object_size(json) != 1 || !schemas__level_parse(name, &level)))
		err = sm_fail(&error, SM_INVALID, "give {\"compatibility\": ...} with one of BACKWARD, FORWARD, FULL and NONE");
	json_decref(json);
	if (err) {
		answer_error(c, &error);
		return;
	}
	struct subject *changed = schemas__subject_copy(subject);
	if (!changed) {
		answer_message(c, 503, "no memory");
		return;
	}
	changed->level = level;
	store(c, changed, 200);
	if (c->status != 200)
		return;
	buf_clear(&c->answer);
	buf_printf(&c->answer, "{\"compatibility\":\"%s\"}", schemas__level_name(level));
}

static void change_delete(struct schemas_change *c, const struct subject *subject)
{
	struct sm_error error = {0};
	c->status = 200;
	buf_append_str(&c->answer, "[");
	for (uint32_t i = 0; i < subject->count; i++)
		buf_printf(&c->answer, "%s%u", i ? "," : "", subject->versions[i].number);
	buf_append_str(&c->answer, "]");
	if (!schemas__remove(c->schemas, c->topic, &error)) {
		(void)!schemas__put(c->schemas, c->topic, NULL); /* nothing that needs memory */
		return;
	}
	buf_clear(&c->answer);
	answer_error(c, &error);
}

void schemas__change(struct schemas_change *c)
{
	struct schemas *s = c->schemas;
	pthread_mutex_lock(&s->change);
	/* Only who holds `change` replaces a subject, so it stays while this one is looked at. */
	pthread_mutex_lock(&s->lock);
	const struct subject *subject = map_get(&s->subjects, bytes_str(c->topic));
	pthread_mutex_unlock(&s->lock);
	if (!subject && (c->verb == CHANGE_LEVEL || c->verb == CHANGE_DELETE))
		answer_message(c, 404, "the topic has no schema here");
	else if (c->verb == CHANGE_LEVEL)
		change_level(c, subject);
	else if (c->verb == CHANGE_DELETE)
		change_delete(c, subject);
	else
		change_version(c, subject);
	pthread_mutex_unlock(&s->change);
}
