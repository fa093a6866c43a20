/* Changes of topics that are there: AlterConfigs, IncrementalAlterConfigs, CreatePartitions. Each resource of a request is a change of
 * its own for the log; the answer waits for all of them. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { OPERATION_SET, OPERATION_DELETE, OPERATION_APPEND, OPERATION_SUBTRACT };

/* One topic's change and where its outcome goes. */
struct alteration {
	struct kafka_request *request;
	struct log_topic_change change; /* name NULL: refused already */
	int16_t *error;
	struct bytes *message;
	int16_t invalid; /* what an invalid change is called */
	char text[sizeof((struct sm_error *)0)->text];
};
struct alter_state {
	struct alteration *all;
	uint32_t count;
};

/* Room for count alterations, and for as many answers, which it returns. NULL: the request was aborted. */
static void *prepare(struct kafka_request *r, int32_t count, size_t answer_size)
{
	struct alter_state *s = r->state = kafka__alloc(r, 1, sizeof *s);
	void *answers = kafka__alloc(r, (size_t)count, answer_size);
	if (s && answers && (s->all = kafka__alloc(r, (size_t)count, sizeof *s->all)) && kafka__topics(r))
		return answers;
	kafka__abort(r);
	return NULL;
}

static void refuse(struct alteration *a, int16_t error, const char *message)
{
	*a->error = error;
	*a->message = kafka__text(message);
	a->change.name = NULL;
}

static void altered(void *arg, const struct sm_error *error)
{
	struct alteration *a = arg;
	struct kafka_request *r = a->request;
	if (error && error->code) {
		bool invalid = error->code == SM_INVALID || error->code == SM_UNSUPPORTED || error->code == SM_TOO_LARGE;
		memcpy(a->text, error->text, sizeof a->text);
		*a->error = invalid ? a->invalid : kafka__error_of(error->code);
		*a->message = kafka__text(a->text);
	}
	kafka__part_end(r);
}

static void carry_out(struct kafka_request *r)
{
	struct alter_state *s = r->state;
	struct sm_log *log = r->server->log;
	uint32_t open = 0;
	for (uint32_t i = 0; i < s->count; i++)
		open += s->all[i].change.name != NULL;
	r->step = kafka__finish;
	kafka__parts_begin(r, open);
	for (uint32_t i = 0; i < s->count; i++)
		if (s->all[i].change.name)
			log->ops->topic_change(log, &s->all[i].change, altered, &s->all[i]);
	kafka__part_end(r);
}

/* ---- configs ---- */

/* Does the name that lies at `at` strides from names stand before it, too? */
static bool named_before(const struct bytes *names, size_t stride, int32_t at)
{
	const uint8_t *first = (const uint8_t *)names;
	for (int32_t k = 0; k < at; k++)
		if (bytes_equal(*(const struct bytes *)(const void *)(first + (size_t)k * stride),
				*(const struct bytes *)(const void *)(first + (size_t)at * stride)))
			return true;
	return false;
}

static struct bytes resource_key(struct kafka_request *r, int8_t type, struct bytes name)
{
	uint8_t *key = kafka__alloc(r, name.size + 1, 1);
	if (!key)
		return name;
	key[0] = (uint8_t)type;
	if (name.size)
		memcpy(key + 1, name.data, name.size);
	return bytes_of(key, name.size + 1);
}

/* A resource that stands in the request more than once is not changed at all. */
static void carry_out_once(struct kafka_request *r, const struct bytes *keys)
{
	struct alter_state *s = r->state;
	const uint32_t *firsts = keys ? kafka__firsts(r, keys, s->count) : NULL;
	if (!firsts) {
		kafka__abort(r);
		return;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		if (firsts[i] == i)
			continue;
		refuse(&s->all[i], KAFKA_INVALID_REQUEST, "Each resource must appear at most once.");
		refuse(&s->all[firsts[i]], KAFKA_INVALID_REQUEST, "Each resource must appear at most once.");
	}
	carry_out(r);
}

/* The topic that a resource names, or NULL: refused. */
static const struct log_topic *resource_topic(struct kafka_request *r, struct alteration *a, int8_t type, struct bytes resource)
{
	const char *name = kafka__cstr(r, resource);
	const struct log_topic *topic = name ? log_topics_find(r->topics, name) : NULL;
	if (type == RESOURCE_BROKER)
		refuse(a, KAFKA_INVALID_REQUEST,
		       "The broker's configs cannot be changed while it runs: they stand in smack's configuration.");
	else if (type != RESOURCE_TOPIC)
		refuse(a, KAFKA_INVALID_REQUEST, "Only topics have configs that can be changed here.");
	else if (!resource.size)
		refuse(a, KAFKA_INVALID_REQUEST, "Default topic resources are not allowed.");
	else if (!name || !log_topic_name_ok(name))
		refuse(a, KAFKA_INVALID_TOPIC_EXCEPTION, "The topic's name is not valid.");
	else if (!topic)
		refuse(a, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
	return type == RESOURCE_TOPIC ? topic : NULL;
}

static struct alteration *next_alteration(struct kafka_request *r, struct kafka_altered_resource *out, int8_t type, struct bytes name)
{
	struct alter_state *s = r->state;
	struct alteration *a = &s->all[s->count++];
	*out = (struct kafka_altered_resource){.resource_type = type, .resource_name = name};
	*a = (struct alteration){.request = r, .error = &out->error_code, .message = &out->error_message, .invalid = KAFKA_INVALID_CONFIG};
	return a;
}

static bool put_config(struct kafka_request *r, struct alteration *a, struct log_config *out, struct bytes name, struct bytes value)
{
	out->name = kafka__cstr(r, name);
	out->value = value.data ? kafka__cstr(r, value) : NULL;
	if (out->name && (out->value || !value.data))
		return true;
	refuse(a, KAFKA_INVALID_CONFIG, "A config's name or value holds a zero byte.");
	return false;
}

static void alter_resource(struct kafka_request *r, const struct kafka_alter_configs_resource *q, struct kafka_altered_resource *out,
			   bool check)
{
	struct alteration *a = next_alteration(r, out, q->resource_type, q->resource_name);
	for (int32_t i = 0; i < q->configs_count; i++) {
		if (named_before(&q->configs[0].name, sizeof q->configs[0], i)) {
			refuse(a, KAFKA_INVALID_REQUEST, "Error due to duplicate config keys");
			return;
		}
		if (!q->configs[i].value.data) {
			refuse(a, KAFKA_INVALID_REQUEST, "Null value not supported for: a config is taken back by leaving it out.");
			return;
		}
	}
	const struct log_topic *topic = resource_topic(r, a, q->resource_type, q->resource_name);
	struct log_config *configs = topic ? kafka__alloc(r, (size_t)q->configs_count, sizeof *configs) : NULL;
	if (!configs)
		return;
	for (int32_t i = 0; i < q->configs_count; i++) {
		if (!put_config(r, a, &configs[i], q->configs[i].name, q->configs[i].value))
			return;
	}
	a->change = (struct log_topic_change){
		.name = topic->name, .configs = configs, .config_count = (uint32_t)q->configs_count, .only = true, .check = check};
}

void kafka__alter_configs(struct kafka_request *r)
{
	const struct kafka_alter_configs_request *q = r->body;
	struct kafka_alter_configs_response *reply = r->reply;
	if (!(reply->responses = prepare(r, q->resources_count, sizeof *reply->responses)))
		return;
	reply->responses_count = q->resources_count;
	struct bytes *keys = kafka__alloc(r, (size_t)q->resources_count, sizeof *keys);
	for (int32_t i = 0; i < q->resources_count; i++) {
		alter_resource(r, &q->resources[i], &reply->responses[i], q->validate_only);
		if (keys)
			keys[i] = resource_key(r, q->resources[i].resource_type, q->resources[i].resource_name);
	}
	carry_out_once(r, keys);
}

/* ---- one config at a time ---- */

static const char *present_value(const struct log_topic *topic, const char *name)
{
	for (uint32_t i = 0; i < topic->config_count; i++)
		if (strcmp(topic->configs[i].name, name) == 0)
			return topic->configs[i].value;
	return strcmp(name, "cleanup.policy") == 0 ? "delete" : "";
}

static bool holds(const char *list, const char *word, size_t size)
{
	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");
		if (n == size && memcmp(at, word, n) == 0)
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

/* list with the words of `words` added or taken away; in the arena, NULL: no memory. */
static const char *edit_list(struct kafka_request *r, const char *list, const char *words, bool add)
{
	char *out = kafka__alloc(r, strlen(list) + strlen(words) + 2, 1);
	const char *from = add ? words : list, *other = add ? list : words;
	size_t used = 0;
	if (!out)
		return NULL;
	if (add)
		used = strlen(strcpy(out, list));
	for (const char *at = from; *at;) {
		size_t n = strcspn(at, ",");
		if (n && !holds(other, at, n)) {
			if (used)
				out[used++] = ',';
			memcpy(out + used, at, n);
			used += n;
		}
		at += n + (at[n] == ',');
	}
	out[used] = 0;
	return out;
}

static bool is_list(const char *name)
{
	static const char *const lists[] = {"cleanup.policy", "leader.replication.throttled.replicas",
					    "follower.replication.throttled.replicas"};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (strcmp(lists[i], name) == 0)
			return true;
	return false;
}

static bool apply_operation(struct kafka_request *r, struct alteration *a, const struct log_topic *topic,
			    const struct kafka_incremental_config *q, struct log_config *config)
{
	switch (q->config_operation) {
	case OPERATION_DELETE: config->value = NULL; return true;
	case OPERATION_SET: break;
	case OPERATION_APPEND:
	case OPERATION_SUBTRACT:
		if (!is_list(config->name)) {
			refuse(a, KAFKA_INVALID_CONFIG,
			       arena_printf(&r->arena, "Can't %s key %s because its type is not LIST.",
					    q->config_operation == OPERATION_APPEND ? "APPEND to" : "SUBTRACT to", config->name));
			return false;
		}
		if (config->value)
			config->value = edit_list(r, present_value(topic, config->name), config->value,
						  q->config_operation == OPERATION_APPEND);
		break;
	default: refuse(a, KAFKA_INVALID_REQUEST, "Unknown config operation: 0 sets, 1 deletes, 2 appends, 3 subtracts."); return false;
	}
	return config->value != NULL; /* NULL: no memory */
}

static void alter_increments(struct kafka_request *r, const struct kafka_incremental_resource *q, struct kafka_altered_resource *out,
			     bool check)
{
	struct alteration *a = next_alteration(r, out, q->resource_type, q->resource_name);
	for (int32_t i = 0; i < q->configs_count; i++) {
		if (named_before(&q->configs[0].name, sizeof q->configs[0], i)) {
			refuse(a, KAFKA_INVALID_REQUEST, "Error due to duplicate config keys");
			return;
		}
		if (!q->configs[i].value.data && q->configs[i].config_operation != OPERATION_DELETE) {
			refuse(a, KAFKA_INVALID_REQUEST, "Null value not supported: only a config that is deleted has none.");
			return;
		}
	}
	const struct log_topic *topic = resource_topic(r, a, q->resource_type, q->resource_name);
	struct log_config *configs = topic ? kafka__alloc(r, (size_t)q->configs_count, sizeof *configs) : NULL;
	if (!configs)
		return;
	for (int32_t i = 0; i < q->configs_count; i++) {
		if (!put_config(r, a, &configs[i], q->configs[i].name, q->configs[i].value) ||
		    !apply_operation(r, a, topic, &q->configs[i], &configs[i]))
			return;
	}
	a->change = (struct log_topic_change){
		.name = topic->name, .configs = configs, .config_count = (uint32_t)q->configs_count, .check = check};
}

void kafka__incremental_alter_configs(struct kafka_request *r)
{
	const struct kafka_incremental_alter_configs_request *q = r->body;
	struct kafka_incremental_alter_configs_response *reply = r->reply;
	if (!(reply->responses = prepare(r, q->resources_count, sizeof *reply->responses)))
		return;
	reply->responses_count = q->resources_count;
	struct bytes *keys = kafka__alloc(r, (size_t)q->resources_count, sizeof *keys);
	for (int32_t i = 0; i < q->resources_count; i++) {
		alter_increments(r, &q->resources[i], &reply->responses[i], q->validate_only);
		if (keys)
			keys[i] = resource_key(r, q->resources[i].resource_type, q->resources[i].resource_name);
	}
	carry_out_once(r, keys);
}

/* ---- partitions ---- */

static bool assigned_here(const struct kafka_request *r, const struct kafka_create_partitions_topic *q, int32_t added)
{
	if (q->assignments_count < 0)
		return true;
	bool here = q->assignments_count == added;
	for (int32_t i = 0; here && i < q->assignments_count; i++)
		here = q->assignments[i].broker_ids_count == 1 && q->assignments[i].broker_ids[0] == r->server->node_id;
	return here;
}

static void grow(struct kafka_request *r, const struct kafka_create_partitions_topic *q, struct kafka_create_partitions_result *out,
		 bool check)
{
	struct alteration *a = &((struct alter_state *)r->state)->all[out - ((struct kafka_create_partitions_response *)r->reply)->results];
	const char *name = kafka__cstr(r, q->name);
	const struct log_topic *topic = name ? log_topics_find(r->topics, name) : NULL;
	*out = (struct kafka_create_partitions_result){.name = q->name};
	*a = (struct alteration){
		.request = r, .error = &out->error_code, .message = &out->error_message, .invalid = KAFKA_INVALID_PARTITIONS};
	if (!topic)
		refuse(a, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
	else if (q->count == topic->partitions)
		refuse(a, KAFKA_INVALID_PARTITIONS, arena_printf(&r->arena, "Topic already has %d partition(s).", topic->partitions));
	else if (q->count < topic->partitions)
		refuse(a, KAFKA_INVALID_PARTITIONS,
		       arena_printf(&r->arena, "The topic %s currently has %d partition(s); %d would not be an increase.", name,
				    topic->partitions, q->count));
	else if (!assigned_here(r, q, q->count - topic->partitions))
		refuse(a, KAFKA_INVALID_REPLICA_ASSIGNMENT, "There is one broker: each new partition is assigned to it once.");
	else if (!kafka__mutation_take(r, q->count - topic->partitions, 3))
		refuse(a, KAFKA_THROTTLING_QUOTA_EXCEEDED, "The throttling quota has been exceeded.");
	else
		a->change = (struct log_topic_change){.name = topic->name, .partitions = q->count, .check = check};
}

/* Close the gaps that topics which are named again leave; the count of those that remain. */
static int32_t only_firsts(struct alter_state *s, const uint32_t *firsts, int32_t count, struct kafka_create_partitions_result *results)
{
	int32_t kept = 0;
	for (int32_t i = 0; i < count; i++) {
		if (firsts[i] != (uint32_t)i)
			continue;
		results[kept] = results[i];
		s->all[i].error = &results[kept].error_code;
		s->all[i].message = &results[kept].error_message;
		kept++;
	}
	s->count = (uint32_t)count;
	return kept;
}

void kafka__create_partitions(struct kafka_request *r)
{
	const struct kafka_create_partitions_request *q = r->body;
	struct kafka_create_partitions_response *reply = r->reply;
	if (!(reply->results = prepare(r, q->topics_count, sizeof *reply->results)))
		return;
	struct bytes *names = kafka__alloc(r, (size_t)q->topics_count, sizeof *names);
	for (int32_t i = 0; names && i < q->topics_count; i++)
		names[i] = q->topics[i].name;
	const uint32_t *firsts = names ? kafka__firsts(r, names, (uint32_t)q->topics_count) : NULL;
	if (!firsts) {
		kafka__abort(r);
		return;
	}
	struct alter_state *s = r->state;
	for (int32_t i = 0; i < q->topics_count; i++) {
		if (firsts[i] == (uint32_t)i)
			grow(r, &q->topics[i], &reply->results[i], q->validate_only);
		else
			refuse(&s->all[firsts[i]], KAFKA_INVALID_REQUEST, "Duplicate topic name.");
	}
	reply->results_count = only_firsts(s, firsts, q->topics_count, reply->results);
	carry_out(r);
}
