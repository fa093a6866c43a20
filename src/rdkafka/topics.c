/* The picture of the topics: metadata of all, and what is set for each. Asked for again every RDKAFKA_PICTURE_MS while somebody looks at
 * it, and after a change of our own. */
#include "base/hash.h"
#include "rdkafka/rdkafka_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RESOURCES_MAX 200 /* topics of one question about configs */

void rdkafka__picture_unref(struct rdkafka_picture *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	arena_done(&p->arena);
	free(p);
}

const struct log_topics *rdkafka__log_topics(struct sm_log *log)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	pthread_mutex_lock(&k->admin_lock);
	struct rdkafka_picture *p = k->picture;
	atomic_fetch_add(&p->refs, 1);
	if (!k->picture_used) {
		k->picture_used = true;
		pthread_cond_signal(&k->admin_changed);
	}
	pthread_mutex_unlock(&k->admin_lock);
	return &p->topics;
}

void rdkafka__log_topics_release(struct sm_log *log, const struct log_topics *topics)
{
	rdkafka__picture_unref((struct rdkafka_picture *)(uintptr_t)topics);
}

/* ---- asking ---- */

/* librdkafka does not tell a topic's id: one that stays the same for a name of this cluster. */
static struct uuid make_id(struct rdkafka_log *k, const char *name)
{
	struct uuid id;
	char text[400];
	int n = snprintf(text, sizeof text, "%s/%s", k->cluster_id, name);
	be64_put(id.bytes, (uint64_t)murmur3_token(text, (size_t)n));
	be64_put(id.bytes + 8, (uint64_t)murmur3_token(text + 1, (size_t)n - 1));
	id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80); /* version 8: a name's own */
	id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
	return id;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct log_topic *)a)->name, ((const struct log_topic *)b)->name);
}

static enum sm_err take_metadata(struct rdkafka_log *k, struct rdkafka_picture *p, const rd_kafka_metadata_t *m)
{
	struct log_topic *items = arena_alloc(&p->arena, ((size_t)m->topic_cnt + 1) * sizeof *items);
	if (!items)
		return SM_NO_MEMORY;
	for (int i = 0; i < m->topic_cnt; i++) {
		const rd_kafka_metadata_topic_t *from = &m->topics[i];
		struct log_topic *t = &items[p->topics.count];
		if (from->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || from->partition_cnt <= 0)
			continue;
		*t = (struct log_topic){.name = arena_string(&p->arena, from->topic, strlen(from->topic)),
					.id = make_id(k, from->topic),
					.partitions = from->partition_cnt,
					.replication_factor = from->partitions[0].replica_cnt,
					.internal = strncmp(from->topic, "__", 2) == 0};
		if (!t->name)
			return SM_NO_MEMORY;
		p->topics.count++;
	}
	p->topics.items = items;
	qsort(items, p->topics.count, sizeof *items, by_name);
	return SM_OK;
}

/* ---- configs ---- */

static enum sm_err take_configs(struct rdkafka_picture *p, struct log_topic *t, const rd_kafka_ConfigResource_t *resource)
{
	size_t count, set = 0;
	const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
	struct log_config *configs = arena_alloc(&p->arena, (count + 1) * sizeof *configs);
	if (!configs)
		return SM_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		const char *name = rd_kafka_ConfigEntry_name(entries[i]), *value = rd_kafka_ConfigEntry_value(entries[i]);
		if (rd_kafka_ConfigEntry_source(entries[i]) != RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG || !value)
			continue;
		configs[set].name = arena_string(&p->arena, name, strlen(name));
		configs[set].value = arena_string(&p->arena, value, strlen(value));
		if (!configs[set].name || !configs[set].value)
			return SM_NO_MEMORY;
		set++;
	}
	t->configs = configs;
	t->config_count = (uint32_t)set;
	return SM_OK;
}

static enum sm_err take_answer(struct rdkafka_picture *p, rd_kafka_event_t *event)
{
	size_t count;
	const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
		rd_kafka_event_DescribeConfigs_result(event), &count);
	enum sm_err err = SM_OK;
	for (size_t i = 0; i < count && !err; i++) {
		const struct log_topic *t = log_topics_find(&p->topics, rd_kafka_ConfigResource_name(resources[i]));
		/* A topic that went meanwhile, or whose configs we may not see, shows none. */
		if (t && !rd_kafka_ConfigResource_error(resources[i]))
			err = take_configs(p, (struct log_topic *)(uintptr_t)t, resources[i]);
	}
	return err;
}

static enum sm_err ask_configs(struct rdkafka_log *k, struct rdkafka_picture *p, uint32_t from, uint32_t count, struct sm_error *reterr)
{
	rd_kafka_ConfigResource_t *resources[RESOURCES_MAX];
	for (uint32_t i = 0; i < count; i++)
		resources[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, p->topics.items[from + i].name);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
	rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_DescribeConfigs(rdkafka__asker(k), resources, count, options, queue);
	rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, "asking for the topics' configs", reterr);
	enum sm_err err = event ? take_answer(p, event) : reterr->code;
	if (event && err)
		sm_fail(reterr, err, "no memory");
	rd_kafka_event_destroy(event);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_queue_destroy(queue);
	rd_kafka_ConfigResource_destroy_array(resources, count);
	return err;
}

/* As they were known. */
static enum sm_err copy_configs(struct rdkafka_picture *p, struct log_topic *t, const struct log_topic *old)
{
	struct log_config *configs = arena_alloc(&p->arena, (old->config_count + 1) * sizeof *configs);
	for (uint32_t i = 0; configs && i < old->config_count; i++) {
		configs[i].name = arena_string(&p->arena, old->configs[i].name, strlen(old->configs[i].name));
		configs[i].value = arena_string(&p->arena, old->configs[i].value, strlen(old->configs[i].value));
		if (!configs[i].name || !configs[i].value)
			configs = NULL;
	}
	t->configs = configs;
	t->config_count = configs ? old->config_count : 0;
	return configs ? SM_OK : SM_NO_MEMORY;
}

static enum sm_err add_configs(struct rdkafka_log *k, struct rdkafka_picture *p, bool all, struct sm_error *reterr)
{
	struct log_topic *items = (struct log_topic *)(uintptr_t)p->topics.items;
	enum sm_err err = SM_OK;
	bool fresh = all || !k->picture;
	for (uint32_t i = 0; i < p->topics.count && !fresh; i++) {
		const struct log_topic *old = log_topics_find(&k->picture->topics, items[i].name);
		if (!old)
			fresh = true;
		else if (copy_configs(p, &items[i], old))
			return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	for (uint32_t i = 0, n; fresh && i < p->topics.count && !err; i += n) {
		n = p->topics.count - i < RESOURCES_MAX ? p->topics.count - i : RESOURCES_MAX;
		err = ask_configs(k, p, i, n, reterr);
	}
	return err;
}

enum sm_err rdkafka__topics_refresh(struct rdkafka_log *k, bool configs, uint32_t timeout_ms, struct sm_error *reterr)
{
	struct rdkafka_picture *p = calloc(1, sizeof *p);
	const rd_kafka_metadata_t *metadata;
	if (!p)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	atomic_store(&p->refs, 1);
	arena_init(&p->arena, 0);
	rd_kafka_resp_err_t code = rd_kafka_metadata(rdkafka__asker(k), 1, NULL, &metadata, (int)timeout_ms);
	enum sm_err err = code ? rdkafka__fail(reterr, code, NULL, "asking for the topics") : SM_OK;
	if (!err && !*k->cluster_id) {
		char *id = rd_kafka_clusterid(rdkafka__asker(k), (int)timeout_ms);
		snprintf(k->cluster_id, sizeof k->cluster_id, "%s", id ? id : "?");
		if (id)
			rd_kafka_mem_free(rdkafka__asker(k), id);
	}
	if (!err) {
		if ((err = take_metadata(k, p, metadata)))
			sm_fail(reterr, err, "no memory");
		rd_kafka_metadata_destroy(metadata);
	}
	if (!err)
		err = add_configs(k, p, configs, reterr);
	if (err) {
		rdkafka__picture_unref(p);
		return err;
	}
	rdkafka__seen(k);
	pthread_mutex_lock(&k->admin_lock);
	struct rdkafka_picture *old = k->picture;
	k->picture = p;
	k->picture_number++;
	k->picture_used = false;
	pthread_cond_broadcast(&k->picture_new);
	pthread_mutex_unlock(&k->admin_lock);
	rdkafka__picture_unref(old);
	return SM_OK;
}

enum sm_err rdkafka__partition_known(struct rdkafka_log *k, const char *topic, int32_t partition, bool at_once)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (atomic_load(&k->away) ? RDKAFKA_AWAY_MS : RDKAFKA_REQUEST_MS) / 1000;
	pthread_mutex_lock(&k->admin_lock);
	for (uint64_t first = k->picture_number;;) {
		const struct log_topic *t = log_topics_find(&k->picture->topics, topic);
		bool known = t && partition >= 0 && partition < t->partitions;
		/* Of a picture that was made since, we take no for an answer. */
		enum sm_err err = known ? SM_OK : at_once || k->picture_number != first ? SM_NOT_FOUND : SM_AGAIN;
		if (err == SM_AGAIN || err == SM_NOT_FOUND) {
			k->picture_used = k->picture_wanted = true;
			pthread_cond_signal(&k->admin_changed);
		}
		if (err == SM_AGAIN && atomic_load(&k->ending))
			err = SM_CLOSED;
		if (err == SM_AGAIN && pthread_cond_timedwait(&k->picture_new, &k->admin_lock, &until))
			err = SM_TIMEOUT;
		if (err != SM_AGAIN) {
			pthread_mutex_unlock(&k->admin_lock);
			return err;
		}
	}
}
