/* The table of topics, and the file that keeps it.
 *
 * LOG/topics.json, replaced as a whole (io_write_file_atomic):
 *   {"version": 1, "topics": [{"name": "raw_events", "id": "UUID", "partitions": 6, "replication_factor": 1,
 *     "internal": false, "deleting": false, "configs": {"retention.ms": "86400000"}}]}
 * A topic that is being deleted keeps its entry until its directories are gone; at the next start they go. A partition's
 * directory LOG/NAME-NUMBER is made by its first append. */
#include "base/arena.h"
#include "base/json.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPICS_FILE_MAX (256u << 20)

struct topics_picture {
	struct log_topics topics; /* first */
	atomic_uint refs;
	struct arena arena;
};

void log__topic_free(struct topic *t)
{
	if (!t)
		return;
	for (int32_t i = 0; t->partitions && i < t->partition_count; i++)
		log__partition_unref(t->partitions[i]);
	free(t->partitions);
	for (uint32_t i = 0; i < t->config_count; i++) {
		free((void *)(uintptr_t)t->configs[i].name);
		free((void *)(uintptr_t)t->configs[i].value);
	}
	free(t->configs);
	free(t->name);
	free(t);
}

static enum sm_err configs_copy(struct topic *t, const struct log_topic_spec *spec, struct sm_error *reterr)
{
	if (!(t->configs = calloc(spec->config_count + 1, sizeof *t->configs)))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	for (uint32_t i = 0; i < spec->config_count; i++) {
		enum sm_err err = log__config_apply(&t->settings, &spec->configs[i], reterr);
		if (err)
			return err;
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(spec->configs[k].name, spec->configs[i].name) == 0)
				return sm_fail(reterr, SM_INVALID, "%s is given twice", spec->configs[i].name);
		t->configs[i] = (struct log_config){strdup(spec->configs[i].name), strdup(spec->configs[i].value)};
		t->config_count++;
		if (!t->configs[i].name || !t->configs[i].value)
			return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	return SM_OK;
}

enum sm_err log__topic_new(const struct engine *engine, const struct log_topic_spec *spec, bool internal, struct topic **ret_topic,
			   struct sm_error *reterr)
{
	if (!log_topic_name_ok(spec->name))
		return sm_fail(reterr, SM_INVALID, "\"%.260s\" is no topic name: 1 to 249 of a-z A-Z 0-9 . _ -", spec->name);
	if (spec->partitions < 1)
		return sm_fail(reterr, SM_INVALID, "topic %s: the number of partitions must be at least 1", spec->name);
	if (spec->partitions > LOG_PARTITIONS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "topic %s: %d partitions are more than %d", spec->name, spec->partitions,
			       LOG_PARTITIONS_MAX);
	if (spec->replication_factor < 1 || spec->replication_factor > INT16_MAX)
		return sm_fail(reterr, SM_INVALID, "topic %s: the replication factor must be at least 1", spec->name);
	struct topic *t = calloc(1, sizeof *t);
	if (!t || !(t->name = strdup(spec->name))) {
		free(t);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	uuid_random(&t->id);
	t->partition_count = spec->partitions;
	t->replication_factor = spec->replication_factor;
	t->internal = internal;
	bool offsets = strcmp(t->name, TOPIC_OFFSETS) == 0;
	log__config_defaults(&t->settings, offsets ? LOG_OFFSETS_SEGMENT_BYTES : engine->segment_bytes,
			     engine->retention_ms > 0 && !internal ? engine->retention_ms : -1);
	enum sm_err err = configs_copy(t, spec, reterr);
	if (err) {
		sm_error_prefix(reterr, "topic %s", spec->name);
		log__topic_free(t);
		return err;
	}
	*ret_topic = t;
	return SM_OK;
}

/* Those that stay, without those that the change names. Borrowed from both; malloc'ed. */
static struct log_config *configs_merge(const struct topic *t, const struct log_topic_change *change, uint32_t *ret_count)
{
	struct log_config *all = calloc(t->config_count + change->config_count + 1, sizeof *all);
	uint32_t n = 0;
	for (uint32_t i = 0; all && !change->only && i < t->config_count; i++) {
		bool named = false;
		for (uint32_t k = 0; k < change->config_count && !named; k++)
			named = strcmp(change->configs[k].name, t->configs[i].name) == 0;
		if (!named)
			all[n++] = t->configs[i];
	}
	for (uint32_t k = 0; all && k < change->config_count; k++)
		if (change->configs[k].value)
			all[n++] = change->configs[k];
	*ret_count = n;
	return all;
}

enum sm_err log__topic_changed(const struct engine *engine, const struct topic *t, const struct log_topic_change *change,
			       struct topic **ret_topic, struct sm_error *reterr)
{
	if (change->partitions && change->partitions < t->partition_count)
		return sm_fail(reterr, SM_INVALID, "topic %s has %d partitions, which cannot become %d: records would be lost", t->name,
			       t->partition_count, change->partitions);
	/* A config that is taken back must be one that exists, too. */
	for (uint32_t i = 0; i < change->config_count; i++)
		if (!change->configs[i].value && !log__config_known(change->configs[i].name))
			return sm_fail(reterr, SM_INVALID, "there is no topic config named \"%s\"", change->configs[i].name);
	struct log_topic_spec spec = {.name = t->name,
				      .partitions = change->partitions ? change->partitions : t->partition_count,
				      .replication_factor = t->replication_factor};
	struct log_config *configs = configs_merge(t, change, &spec.config_count);
	if (!configs)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	spec.configs = configs;
	enum sm_err err = log__topic_new(engine, &spec, t->internal, ret_topic, reterr);
	if (!err)
		(*ret_topic)->id = t->id;
	free(configs);
	return err;
}

enum sm_err log__topic_start(struct engine *engine, struct topic *t, struct sm_error *reterr)
{
	if (!t->partitions && !(t->partitions = calloc((size_t)t->partition_count, sizeof(struct partition *))))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for topic %s", t->name);
	for (int32_t i = 0; i < t->partition_count; i++) {
		if (t->partitions[i])
			continue;
		enum sm_err err = log__partition_new(engine, t->name, i, &t->settings, &t->partitions[i], reterr);
		if (err)
			return err;
	}
	return SM_OK;
}

static void nothing_to_tell(void *arg, const struct sm_error *error) {}

void log__topic_stop(struct topic *t)
{
	for (int32_t i = 0; t->partitions && i < t->partition_count; i++)
		if (t->partitions[i])
			(void)!log__partition_do(t->partitions[i], PARTITION_CLOSE, 0, nothing_to_tell, NULL);
}

/* ---- the table ---- */

static int topic_order(const void *a, const void *b)
{
	return strcmp(((const struct log_topic *)a)->name, ((const struct log_topic *)b)->name);
}

static void picture_unref(struct topics_picture *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	arena_done(&p->arena);
	free(p);
}

static bool picture_topic(struct arena *arena, const struct topic *t, struct log_topic *out)
{
	struct log_config *configs = arena_alloc(arena, (t->config_count + 1) * sizeof *configs);
	*out = (struct log_topic){
		.name = arena_string(arena, t->name, strlen(t->name)),
		.id = t->id,
		.partitions = t->partition_count,
		.replication_factor = t->replication_factor,
		.internal = t->internal,
		.configs = configs,
		.config_count = t->config_count,
	};
	for (uint32_t i = 0; configs && i < t->config_count; i++) {
		configs[i].name = arena_string(arena, t->configs[i].name, strlen(t->configs[i].name));
		configs[i].value = arena_string(arena, t->configs[i].value, strlen(t->configs[i].value));
		if (!configs[i].name || !configs[i].value)
			return false;
	}
	return configs && out->name;
}

/* A picture of the table as it is; under its lock, or with nobody else there. */
static struct topics_picture *picture_new(const struct engine *engine)
{
	struct topics_picture *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	atomic_init(&p->refs, 1);
	arena_init(&p->arena, 0);
	struct log_topic *items = arena_alloc(&p->arena, (engine->topics.count + 1) * sizeof *items);
	size_t pos = 0;
	struct bytes key;
	void *value;
	while (items && map_next(&engine->topics, &pos, &key, &value)) {
		const struct topic *t = value;
		if (t->deleting)
			continue;
		if (!picture_topic(&p->arena, t, &items[p->topics.count])) {
			picture_unref(p);
			return NULL;
		}
		p->topics.count++;
	}
	if (!items) {
		picture_unref(p);
		return NULL;
	}
	qsort(items, p->topics.count, sizeof *items, topic_order);
	p->topics.items = items;
	return p;
}

static enum sm_err picture_renew(struct engine *engine)
{
	struct topics_picture *next = picture_new(engine);
	if (!next)
		return SM_NO_MEMORY;
	picture_unref(engine->picture);
	engine->picture = next;
	return SM_OK;
}

enum sm_err log__topics_put(struct engine *engine, struct topic *t)
{
	pthread_mutex_lock(&engine->lock);
	void *before = NULL;
	enum sm_err err = map_put(&engine->topics, bytes_str(t->name), t, &before);
	if (!err && (err = picture_renew(engine))) {
		/* Its entry is there: putting back needs no memory. */
		if (before)
			(void)!map_put(&engine->topics, bytes_str(t->name), before, NULL);
		else
			map_remove(&engine->topics, bytes_str(t->name));
		before = NULL;
	}
	pthread_mutex_unlock(&engine->lock);
	log__topic_free(before);
	return err;
}

struct topic *log__topics_find(struct engine *engine, const char *name)
{
	pthread_mutex_lock(&engine->lock);
	struct topic *t = map_get(&engine->topics, bytes_str(name));
	pthread_mutex_unlock(&engine->lock);
	return t;
}

struct topic *log__topics_take(struct engine *engine, const char *name)
{
	pthread_mutex_lock(&engine->lock);
	struct topic *t = map_remove(&engine->topics, bytes_str(name));
	if (t && picture_renew(engine)) {
		/* Without memory for a new picture the topic stays: its entry was just freed, so this finds room. */
		(void)!map_put(&engine->topics, bytes_str(name), t, NULL);
		t = NULL;
	}
	pthread_mutex_unlock(&engine->lock);
	return t;
}

struct partition *log__topics_partition(struct engine *engine, const char *topic, int32_t number)
{
	struct partition *p = NULL;
	pthread_mutex_lock(&engine->lock);
	struct topic *t = map_get(&engine->topics, bytes_str(topic));
	if (t && number >= 0 && number < t->partition_count)
		p = log__partition_ref(t->partitions[number]);
	pthread_mutex_unlock(&engine->lock);
	return p;
}

const struct log_topics *log__topics_picture(struct engine *engine)
{
	pthread_mutex_lock(&engine->lock);
	struct topics_picture *p = engine->picture;
	atomic_fetch_add(&p->refs, 1);
	pthread_mutex_unlock(&engine->lock);
	return &p->topics;
}

void log__topics_picture_release(const struct log_topics *topics)
{
	picture_unref((struct topics_picture *)(uintptr_t)topics);
}

void log__topics_done(struct engine *engine)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	while (map_next(&engine->topics, &pos, &key, &value))
		log__topic_free(value);
	map_done(&engine->topics);
	picture_unref(engine->picture);
	engine->picture = NULL;
}

/* ---- the file ---- */

static void path_of(const struct engine *engine, char *out, size_t size)
{
	snprintf(out, size, "%s/topics.json", engine->dir);
}

static json_t *topic_to_json(const struct topic *t)
{
	char id[37];
	uuid_format(&t->id, id);
	json_t *configs = json_object();
	for (uint32_t i = 0; i < t->config_count; i++)
		json_object_set_new(configs, t->configs[i].name, json_string(t->configs[i].value));
	return json_pack("{s:s, s:s, s:i, s:i, s:b, s:b, s:o}", "name", t->name, "id", id, "partitions", t->partition_count,
			 "replication_factor", t->replication_factor, "internal", t->internal, "deleting", t->deleting, "configs", configs);
}

enum sm_err log__topics_write(struct engine *engine, const struct topic *extra, struct sm_error *reterr)
{
	char path[PATH_MAX];
	struct buf out;
	size_t pos = 0;
	struct bytes key;
	void *value;
	json_t *topics = json_array();
	bool whole = topics != NULL;
	pthread_mutex_lock(&engine->lock);
	while (map_next(&engine->topics, &pos, &key, &value))
		if (!extra || strcmp(((struct topic *)value)->name, extra->name) != 0)
			whole &= json_array_append_new(topics, topic_to_json(value)) == 0;
	pthread_mutex_unlock(&engine->lock);
	if (extra)
		whole &= json_array_append_new(topics, topic_to_json(extra)) == 0;
	json_t *document = json_pack("{s:i, s:o}", "version", 1, "topics", topics);
	buf_init(&out);
	if (document && whole)
		json_write_pretty(document, &out);
	enum sm_err err = SM_NO_MEMORY;
	path_of(engine, path, sizeof path);
	if (document && whole && !out.failed)
		err = io_write_file_atomic(engine->io, path, buf_bytes(&out), reterr);
	json_decref(document);
	buf_done(&out);
	return err;
}

static enum sm_err topic_from_json(struct engine *engine, const json_t *json, struct topic **ret_topic, struct sm_error *reterr)
{
	const char *name, *id;
	int64_t partitions, replication_factor;
	bool internal, deleting;
	enum sm_err err;
	struct uuid uuid;
	if ((err = json_get_string(json, "name", NULL, &name, reterr)) || (err = json_get_string(json, "id", NULL, &id, reterr)) ||
	    (err = json_get_int(json, "partitions", 0, &partitions, reterr)) ||
	    (err = json_get_int(json, "replication_factor", 1, &replication_factor, reterr)) ||
	    (err = json_get_bool(json, "internal", false, &internal, reterr)) ||
	    (err = json_get_bool(json, "deleting", false, &deleting, reterr)))
		return err;
	if (!name || !id || partitions < 1 || partitions > LOG_PARTITIONS_MAX || replication_factor < 1 || replication_factor > INT16_MAX ||
	    uuid_parse(id, strlen(id), &uuid))
		return sm_fail(reterr, SM_CORRUPT, "a topic without name, id or partitions");
	json_t *configs = json_object_get(json, "configs");
	struct log_config *list = calloc(json_object_size(configs) + 1, sizeof *list);
	if (!list)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct log_topic_spec spec = {name, (int32_t)partitions, (int32_t)replication_factor, list, 0};
	const char *key;
	json_t *value;
	json_object_foreach(configs, key, value) list[spec.config_count++] = (struct log_config){key, json_string_value(value)};
	if (!(err = log__topic_new(engine, &spec, internal, ret_topic, reterr))) {
		(*ret_topic)->id = uuid;
		(*ret_topic)->deleting = deleting;
	}
	free(list);
	return err;
}

/* The rest of a deletion that a crash cut short. */
static enum sm_err deletion_finish(struct engine *engine, const struct topic *t, struct sm_error *reterr)
{
	for (int32_t i = 0; i < t->partition_count; i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof path, "%s/%s-%d", engine->dir, t->name, i);
		enum sm_err err = io_remove_tree(engine->io, path, reterr);
		if (err && err != SM_NOT_FOUND)
			return err;
	}
	return engine->io->ops->sync_dir(engine->io, engine->dir, reterr);
}

static enum sm_err topic_take_in(struct engine *engine, const json_t *json, bool *ret_changed, struct sm_error *reterr)
{
	struct topic *t;
	enum sm_err err = topic_from_json(engine, json, &t, reterr);
	if (err)
		return err;
	if (t->deleting) {
		err = deletion_finish(engine, t, reterr);
		*ret_changed = true;
		log__topic_free(t);
		return err;
	}
	if ((err = log__topic_start(engine, t, reterr)) || (err = map_put(&engine->topics, bytes_str(t->name), t, NULL))) {
		log__topic_stop(t);
		log__topic_free(t);
	}
	return err;
}

enum sm_err log__topics_read(struct engine *engine, struct sm_error *reterr)
{
	char path[PATH_MAX];
	uint8_t *data = NULL;
	size_t size, i;
	json_t *document = NULL, *item;
	int64_t version;
	bool changed = false;
	path_of(engine, path, sizeof path);
	enum sm_err err = io_read_file(engine->io, path, TOPICS_FILE_MAX, &data, &size, reterr);
	if (err == SM_NOT_FOUND)
		return picture_renew(engine);
	if (err || (err = json_parse(bytes_of(data, size), &document, reterr)) ||
	    (err = json_get_int(document, "version", 0, &version, reterr)))
		goto done;
	if (version != 1) {
		err = sm_fail(reterr, SM_VERSION, "version %lld is newer than this program knows", (long long)version);
		goto done;
	}
	json_array_foreach(json_object_get(document, "topics"), i, item)
	{
		if ((err = topic_take_in(engine, item, &changed, reterr)))
			goto done;
	}
	if (changed)
		err = log__topics_write(engine, NULL, reterr);
	if (!err)
		err = picture_renew(engine);
done:
	if (err == SM_SYNTAX || err == SM_TYPE)
		err = sm_fail(reterr, SM_CORRUPT, "%s cannot be read as JSON: restore it from a backup", path);
	json_decref(document);
	free(data);
	return err;
}
