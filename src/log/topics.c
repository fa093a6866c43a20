/* The table of topics, and its picture for readers. */
#include "base/arena.h"
#include "log/log_internal.h"
#include <stdio.h>
#include <stdlib.h>

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
	if (spec->replication_factor < 0 || spec->replication_factor > INT16_MAX)
		return sm_fail(reterr, SM_INVALID, "topic %s: the replication factor must be at least 1", spec->name);
	struct topic *t = calloc(1, sizeof *t);
	if (!t || !(t->name = strdup(spec->name))) {
		free(t);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	uuid_random(&t->id);
	t->partition_count = spec->partitions;
	t->replication_factor = spec->replication_factor ? spec->replication_factor : 1;
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

enum sm_err log__topics_picture_renew(struct engine *engine)
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
	if (!err && (err = log__topics_picture_renew(engine))) {
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
	if (t && log__topics_picture_renew(engine)) {
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

struct partition **log__topics_partitions(struct engine *engine, bool (*wanted)(const struct topic *t), uint32_t *ret_count)
{
	size_t pos = 0, want = 0;
	struct bytes key;
	void *value;
	uint32_t count = 0;
	pthread_mutex_lock(&engine->lock);
	while (map_next(&engine->topics, &pos, &key, &value))
		want += (size_t)((struct topic *)value)->partition_count;
	struct partition **out = calloc(want + 1, sizeof(struct partition *));
	for (pos = 0; out && map_next(&engine->topics, &pos, &key, &value);) {
		const struct topic *t = value;
		for (int32_t i = 0; (!wanted || wanted(t)) && i < t->partition_count; i++)
			out[count++] = log__partition_ref(t->partitions[i]);
	}
	pthread_mutex_unlock(&engine->lock);
	*ret_count = count;
	return out;
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
