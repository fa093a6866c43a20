/* DescribeConfigs, and the same list for CreateTopics. */
#include "kafka/kafka_internal.h"
#include <stdio.h>
#include <stdlib.h>

enum { SOURCE_TOPIC = 1, SOURCE_STATIC_BROKER = 4, SOURCE_DEFAULT = 5 };
enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { TYPE_BOOLEAN = 1, TYPE_STRING = 2, TYPE_INT = 3, TYPE_LIST = 7 };
#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

struct config {
	const char *name;
	int8_t type;
	const char *value, *synonym;
};
static const struct config topic_configs[] = {
#define X(name, type, value, synonym) {name, type, value, synonym},
#include "kafka/configs.def"
#undef X
};
#define TOPIC_CONFIGS (sizeof topic_configs / sizeof topic_configs[0])

/* One value, as it holds for a topic. */
struct shown {
	const char *name, *value;
	int8_t type, source;
	const struct config *listed; /* NULL: not in the list */
};

static bool listed(const char *name)
{
	for (size_t i = 0; i < TOPIC_CONFIGS; i++) {
		if (strcmp(topic_configs[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Those of the list, set or default, then what was set beyond the list. out has room for both together. */
static uint32_t show(const struct log_config *set, uint32_t set_count, struct shown *out)
{
	uint32_t n = 0;
	for (size_t i = 0; i < TOPIC_CONFIGS; i++) {
		out[n] = (struct shown){topic_configs[i].name, topic_configs[i].value, topic_configs[i].type, SOURCE_DEFAULT,
					&topic_configs[i]};
		for (uint32_t k = 0; k < set_count; k++) {
			if (strcmp(set[k].name, out[n].name) == 0)
				out[n] = (struct shown){out[n].name, set[k].value, out[n].type, SOURCE_TOPIC, &topic_configs[i]};
		}
		n++;
	}
	for (uint32_t k = 0; k < set_count; k++) {
		if (!listed(set[k].name))
			out[n++] = (struct shown){set[k].name, set[k].value, TYPE_STRING, SOURCE_TOPIC, NULL};
	}
	return n;
}

struct kafka_created_config *kafka__topic_configs(struct kafka_request *r, const struct log_config *set, uint32_t set_count,
						  int32_t *ret_count)
{
	struct shown *shown = kafka__alloc(r, TOPIC_CONFIGS + set_count, sizeof *shown);
	struct kafka_created_config *out = kafka__alloc(r, TOPIC_CONFIGS + set_count, sizeof *out);
	if (!shown || !out) {
		*ret_count = -1;
		return NULL;
	}
	uint32_t n = show(set, set_count, shown);
	for (uint32_t i = 0; i < n; i++)
		out[i] = (struct kafka_created_config){bytes_str(shown[i].name), bytes_str(shown[i].value), false, shown[i].source, false};
	*ret_count = (int32_t)n;
	return out;
}

/* ---- DescribeConfigs ---- */

static bool wanted(const struct kafka_describe_configs_resource *q, const char *name)
{
	if (q->configuration_keys_count <= 0)
		return true;
	for (int32_t i = 0; i < q->configuration_keys_count; i++) {
		if (bytes_equal(q->configuration_keys[i], bytes_str(name)))
			return true;
	}
	return false;
}

/* Where the value comes from: what was set, then the default, by the broker's name for it. */
static bool put_synonyms(struct kafka_request *r, const struct shown *shown, struct kafka_described_config *c)
{
	c->synonyms = kafka__alloc(r, 2, sizeof *c->synonyms);
	if (!c->synonyms)
		return false;
	if (shown->source != SOURCE_DEFAULT)
		c->synonyms[c->synonyms_count++] = (struct kafka_config_synonym){c->name, c->value, c->config_source};
	if (shown->listed && *shown->listed->synonym)
		c->synonyms[c->synonyms_count++] = (struct kafka_config_synonym){bytes_str(shown->listed->synonym),
										 bytes_str(shown->listed->value), SOURCE_DEFAULT};
	return true;
}

static bool answer(struct kafka_request *r, const struct kafka_describe_configs_resource *q, const struct shown *shown, uint32_t count,
		   struct kafka_described_resource *out)
{
	const struct kafka_describe_configs_request *all = r->body;
	out->configs = kafka__alloc(r, count, sizeof *out->configs);
	if (!out->configs)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (!wanted(q, shown[i].name))
			continue;
		struct kafka_described_config *c = &out->configs[out->configs_count++];
		*c = (struct kafka_described_config){
			.name = bytes_str(shown[i].name),
			.value = bytes_str(shown[i].value),
			.read_only = q->resource_type == RESOURCE_BROKER,
			.config_source = shown[i].source,
			.config_type = shown[i].type,
		};
		if (all->include_synonyms && !put_synonyms(r, &shown[i], c))
			return false;
	}
	return true;
}

static bool describe_topic(struct kafka_request *r, const struct kafka_describe_configs_resource *q, struct kafka_described_resource *out)
{
	const char *name = kafka__cstr(r, q->resource_name);
	const struct log_topic *topic = name ? log_topics_find(r->topics, name) : NULL;
	if (topic) {
		struct shown *shown = kafka__alloc(r, TOPIC_CONFIGS + topic->config_count, sizeof *shown);
		return shown && answer(r, q, shown, show(topic->configs, topic->config_count, shown), out);
	}
	bool name_ok = name && log_topic_name_ok(name);
	out->error_code = name_ok ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION;
	out->error_message = kafka__text(name_ok ? "This server does not host this topic." : "The topic's name is not valid.");
	return true;
}

static bool describe_broker(struct kafka_request *r, const struct kafka_describe_configs_resource *q, struct kafka_described_resource *out)
{
	const struct kafka_server *s = r->server;
	char id[16];
	snprintf(id, sizeof id, "%d", s->node_id);
	if (q->resource_name.size && !bytes_equal(q->resource_name, bytes_str(id))) {
		out->error_code = KAFKA_INVALID_REQUEST;
		out->error_message = kafka__text("There is one broker; this is not its id.");
		return true;
	}
	const char *listener = arena_printf(&r->arena, "%s://%.*s:%u", kafka__protocol_name(r->listener), (int)kafka__our_host(r).size,
					    (const char *)kafka__our_host(r).data, kafka__our_port(r));
	struct shown shown[] = {
		{"advertised.listeners", listener, TYPE_LIST, SOURCE_STATIC_BROKER, NULL},
		{"broker.id", arena_printf(&r->arena, "%d", s->node_id), TYPE_INT, SOURCE_STATIC_BROKER, NULL},
		{"node.id", arena_printf(&r->arena, "%d", s->node_id), TYPE_INT, SOURCE_STATIC_BROKER, NULL},
		{"num.partitions", arena_printf(&r->arena, "%d", s->partitions), TYPE_INT, SOURCE_STATIC_BROKER, NULL},
		{"default.replication.factor", "1", TYPE_INT, SOURCE_DEFAULT, NULL},
		{"auto.create.topics.enable", s->auto_create ? "true" : "false", TYPE_BOOLEAN, SOURCE_STATIC_BROKER, NULL},
		{"group.initial.rebalance.delay.ms", arena_printf(&r->arena, "%u", s->rebalance_delay_ms), TYPE_INT, SOURCE_STATIC_BROKER,
		 NULL},
		{"group.consumer.assignors", "uniform,range", TYPE_LIST, SOURCE_DEFAULT, NULL},
		{"group.consumer.heartbeat.interval.ms", TEXT_OF(KAFKA_CONSUMER_HEARTBEAT_MS), TYPE_INT, SOURCE_DEFAULT, NULL},
		{"group.consumer.migration.policy", "bidirectional", TYPE_STRING, SOURCE_DEFAULT, NULL},
		{"group.consumer.session.timeout.ms", TEXT_OF(KAFKA_CONSUMER_SESSION_MS), TYPE_INT, SOURCE_DEFAULT, NULL},
		{"message.max.bytes", "1048588", TYPE_INT, SOURCE_DEFAULT, NULL},
	};
	uint32_t count = sizeof shown / sizeof shown[0];
	for (uint32_t i = 0; i < count; i++) {
		if (!shown[i].value)
			return false;
	}
	return answer(r, q, shown, q->resource_name.size ? count : 0, out);
}

static bool describe_resource(struct kafka_request *r, const struct kafka_describe_configs_resource *q,
			      struct kafka_described_resource *out)
{
	out->resource_type = q->resource_type;
	out->resource_name = q->resource_name;
	out->error_message = KAFKA_EMPTY;
	if (q->resource_type == RESOURCE_TOPIC)
		return describe_topic(r, q, out);
	if (q->resource_type == RESOURCE_BROKER)
		return describe_broker(r, q, out);
	out->error_code = KAFKA_INVALID_REQUEST;
	out->error_message = kafka__text("Only topics and the broker have a configuration here.");
	return true;
}

void kafka__describe_configs(struct kafka_request *r)
{
	const struct kafka_describe_configs_request *q = r->body;
	struct kafka_describe_configs_response *reply = r->reply;
	reply->results = kafka__alloc(r, (size_t)q->resources_count, sizeof *reply->results);
	bool ok = reply->results && kafka__topics(r);
	reply->results_count = ok ? q->resources_count : 0;
	for (int32_t i = 0; ok && i < q->resources_count; i++)
		ok = describe_resource(r, &q->resources[i], &reply->results[i]);
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}
