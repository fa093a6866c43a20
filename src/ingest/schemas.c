/* The schemas in memory: who reads takes a counted reference to the latest version; who changes puts another subject in its place. */
#include "ingest/schemas_internal.h"
#include <assert.h>
#include <stdlib.h>

static const char *const level_names[] = {"NONE", "BACKWARD", "FORWARD", "FULL"};

const char *schemas__level_name(enum schemas_level level)
{
	return level_names[level];
}

bool schemas__level_parse(const char *text, enum schemas_level *ret)
{
	for (int i = 0; i < 4; i++)
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum schemas_level)i;
			return true;
		}
	return false;
}

/* ---- the latest version, counted ---- */

void topic_schema_unref(struct topic_schema *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	schema_free(s->schema);
	free(s->key);
	free(s);
}

static struct topic_schema *topic_schema_ref(struct topic_schema *s)
{
	if (s)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

/* ---- subjects ---- */

static void version_done(struct schemas_version *v)
{
	free(v->key);
	buf_done(&v->text);
}

void schemas__subject_free(struct subject *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->count; i++)
		version_done(&s->versions[i]);
	topic_schema_unref(s->latest);
	free(s->versions);
	free(s->topic);
	free(s);
}

size_t schemas__subject_bytes(const struct subject *s)
{
	size_t bytes = 0;
	for (uint32_t i = 0; s && i < s->count; i++)
		bytes += buf_size(&s->versions[i].text);
	return bytes;
}

static bool version_fill(struct schemas_version *v, uint32_t number, const char *key)
{
	*v = (struct schemas_version){.number = number, .key = key ? strdup(key) : NULL};
	buf_init(&v->text);
	return !key || v->key;
}

struct subject *schemas__subject_copy(const struct subject *from)
{
	struct subject *s = calloc(1, sizeof *s);
	if (!s || !(s->topic = strdup(from->topic)) || !(s->versions = calloc(from->count, sizeof *s->versions))) {
		schemas__subject_free(s);
		return NULL;
	}
	s->level = from->level;
	s->latest = topic_schema_ref(from->latest);
	for (uint32_t i = 0; i < from->count; i++) {
		struct schemas_version *v = &s->versions[s->count++];
		bool ok = version_fill(v, from->versions[i].number, from->versions[i].key);
		buf_append_bytes(&v->text, buf_bytes(&from->versions[i].text));
		if (!ok || v->text.failed) {
			schemas__subject_free(s);
			return NULL;
		}
	}
	return s;
}

enum sm_err schemas__subject_add(struct subject *s, uint32_t number, struct schema *schema, const char *key, const json_t *document)
{
	struct schemas_version *grown = realloc(s->versions, (s->count + 1) * sizeof *grown);
	struct topic_schema *latest = calloc(1, sizeof *latest);
	if (grown)
		s->versions = grown;
	if (!grown || !latest || (key && !(latest->key = strdup(key)))) {
		free(latest);
		return SM_NO_MEMORY;
	}
	struct schemas_version *v = &s->versions[s->count];
	bool ok = version_fill(v, number, key);
	json_write(document, &v->text);
	if (!ok || v->text.failed) {
		version_done(v);
		free(latest->key);
		free(latest);
		return SM_NO_MEMORY;
	}
	s->count++;
	latest->schema = schema;
	latest->version = number;
	atomic_init(&latest->refs, 1);
	topic_schema_unref(s->latest);
	s->latest = latest;
	return SM_OK;
}

enum sm_err schemas__put(struct schemas *s, const char *topic, struct subject *subject)
{
	void *old = NULL;
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&s->lock);
	if (subject)
		err = map_put(&s->subjects, bytes_str(topic), subject, &old);
	else
		old = map_remove(&s->subjects, bytes_str(topic));
	if (!err) {
		s->bytes += schemas__subject_bytes(subject) - schemas__subject_bytes(old);
		atomic_fetch_add(&s->changes, 1);
	}
	pthread_mutex_unlock(&s->lock);
	schemas__subject_free(err ? subject : old);
	return err;
}

/* ---- who asks ---- */

struct topic_schema *schemas_get(struct schemas *s, const char *topic)
{
	pthread_mutex_lock(&s->lock);
	const struct subject *subject = map_get(&s->subjects, bytes_str(topic));
	struct topic_schema *latest = topic_schema_ref(subject ? subject->latest : NULL);
	pthread_mutex_unlock(&s->lock);
	return latest;
}

/* Under the lock. */
static bool keep(struct schemas *s, struct topic_schema *schema)
{
	for (uint32_t i = 0; i < s->kept_count; i++)
		if (s->kept[i] == schema)
			return true;
	if (s->kept_count == s->kept_cap) {
		uint32_t cap = s->kept_cap ? s->kept_cap * 2 : 16;
		struct topic_schema **kept = realloc(s->kept, cap * sizeof *kept);
		if (!kept)
			return false;
		s->kept = kept;
		s->kept_cap = cap;
	}
	s->kept[s->kept_count++] = topic_schema_ref(schema);
	return true;
}

const struct schema *schemas_keep(struct schemas *s, const char *topic)
{
	pthread_mutex_lock(&s->lock);
	const struct subject *subject = map_get(&s->subjects, bytes_str(topic));
	const struct schema *schema = subject && keep(s, subject->latest) ? subject->latest->schema : NULL;
	pthread_mutex_unlock(&s->lock);
	return schema;
}

bool schemas_document(struct schemas *s, const char *topic, struct buf *out)
{
	pthread_mutex_lock(&s->lock);
	const struct subject *subject = map_get(&s->subjects, bytes_str(topic));
	if (subject)
		buf_append_bytes(out, buf_bytes(&subject->versions[subject->count - 1].text));
	pthread_mutex_unlock(&s->lock);
	return subject != NULL;
}

uint64_t schemas_changes(const struct schemas *s)
{
	return atomic_load_explicit(&s->changes, memory_order_acquire);
}

/* ---- life ---- */

enum sm_err schemas_open(const struct schemas_options *options, struct schemas **ret_schemas, struct sm_error *reterr)
{
	struct schemas *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "schemas: no memory");
	s->options = *options;
	pthread_mutex_init(&s->change, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->quiet, NULL);
	map_init(&s->subjects);
	s->dir = strdup(options->dir);
	enum sm_err err = s->dir ? io_mkdir_all(&io_system, s->dir, reterr) : sm_fail(reterr, SM_NO_MEMORY, "schemas: no memory");
	if (!err)
		err = schemas__read_all(s, reterr);
	if (err)
		schemas_free(s);
	else
		*ret_schemas = s;
	return err;
}

void schemas_free(struct schemas *s)
{
	size_t pos = 0;
	struct bytes key;
	void *subject;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	while (s->under_way)
		pthread_cond_wait(&s->quiet, &s->lock);
	pthread_mutex_unlock(&s->lock);
	while (map_next(&s->subjects, &pos, &key, &subject))
		schemas__subject_free(subject);
	map_done(&s->subjects);
	for (uint32_t i = 0; i < s->kept_count; i++)
		topic_schema_unref(s->kept[i]);
	free(s->kept);
	pthread_cond_destroy(&s->quiet);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->change);
	free(s->dir);
	free(s);
}
