/* CreateTopics and DeleteTopics. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

struct create_part {
	struct kafka_request *request;
	const struct kafka_creatable_topic *asked;
	struct kafka_created_topic *reply;
	struct log_topic_spec spec;
	char message[sizeof((struct sm_error *)0)->text];
	bool open, failed;
};
struct create_state {
	struct create_part *parts;
	uint32_t count;
};

#define QUOTA_TEXT "The throttling quota has been exceeded."
enum { CREATE_STRICT_SINCE = 6, DELETE_STRICT_SINCE = 5 };

static void refuse(struct kafka_created_topic *reply, int16_t error, const char *message)
{
	reply->error_code = error;
	reply->error_message = kafka__text(message);
}

/* Kafka keeps names apart that its metrics could not: '.' and '_' count as the same. */
static const char *colliding(const struct log_topics *topics, const char *name)
{
	for (uint32_t i = 0; i < topics->count; i++) {
		const char *a = topics->items[i].name, *b = name;
		while (*a && (*a == *b || ((*a == '.' || *a == '_') && (*b == '.' || *b == '_')))) {
			a++;
			b++;
		}
		if (!*a && !*b && strcmp(topics->items[i].name, name) != 0)
			return topics->items[i].name;
	}
	return NULL;
}

static bool assigned_here(const struct kafka_request *r, const struct kafka_creatable_topic *q)
{
	for (int32_t i = 0; i < q->assignments_count; i++) {
		const struct kafka_creatable_assignment *a = &q->assignments[i];
		bool once = false;
		for (int32_t k = 0; k < q->assignments_count; k++)
			once |= q->assignments[k].partition_index == i;
		if (!once || a->broker_ids_count != 1 || a->broker_ids[0] != r->server->node_id)
			return false;
	}
	return true;
}

/* Fill the part's spec, or refuse. */
static bool check(struct kafka_request *r, struct create_part *p)
{
	const struct kafka_creatable_topic *q = p->asked;
	const char *name = kafka__cstr(r, q->name), *other;
	bool assigned = q->assignments_count > 0;
	if (!name || !log_topic_name_ok(name))
		refuse(p->reply, KAFKA_INVALID_TOPIC_EXCEPTION,
		       "A topic's name has 1 to 249 of the characters a-z A-Z 0-9 . _ - and is not . or ..");
	else if (log_topics_find(r->topics, name))
		refuse(p->reply, KAFKA_TOPIC_ALREADY_EXISTS, arena_printf(&r->arena, "Topic '%s' already exists.", name));
	else if ((other = colliding(r->topics, name)))
		refuse(p->reply, KAFKA_INVALID_TOPIC_EXCEPTION,
		       arena_printf(&r->arena, "Topic '%s' collides with existing topic: %s", name, other));
	else if (assigned && (q->num_partitions != -1 || q->replication_factor != -1))
		refuse(p->reply, KAFKA_INVALID_REQUEST, "A topic with an assignment has -1 as partitions and replication factor.");
	else if (assigned && !assigned_here(r, q))
		refuse(p->reply, KAFKA_INVALID_REPLICA_ASSIGNMENT,
		       "There is one broker, so each partition from 0 on is assigned to it once.");
	else if (!assigned && (q->num_partitions < -1 || q->num_partitions == 0))
		refuse(p->reply, KAFKA_INVALID_PARTITIONS, "Number of partitions must be larger than 0, or -1 for the default.");
	else if (!assigned && q->num_partitions > LOG_PARTITIONS_MAX)
		refuse(p->reply, KAFKA_INVALID_PARTITIONS,
		       arena_printf(&r->arena, "A topic has at most %d partitions.", LOG_PARTITIONS_MAX));
	else if (!assigned && (q->replication_factor < -1 || q->replication_factor == 0))
		refuse(p->reply, KAFKA_INVALID_REPLICATION_FACTOR, "Replication factor must be larger than 0, or -1 for the default.");
	else
		p->open = true;
	p->spec.name = name;
	p->spec.partitions = assigned ? q->assignments_count : q->num_partitions == -1 ? r->server->partitions : q->num_partitions;
	p->spec.replication_factor = assigned || q->replication_factor == -1 ? 1 : q->replication_factor;
	return p->open;
}

static bool check_configs(struct kafka_request *r, struct create_part *p)
{
	const struct kafka_creatable_topic *q = p->asked;
	struct log_config *configs = kafka__alloc(r, (size_t)q->configs_count, sizeof *configs);
	for (int32_t i = 0; configs && i < q->configs_count; i++) {
		configs[i].name = kafka__cstr(r, q->configs[i].name);
		configs[i].value = q->configs[i].value.data ? kafka__cstr(r, q->configs[i].value) : NULL;
		if (configs[i].name && configs[i].value)
			continue;
		refuse(p->reply, KAFKA_INVALID_CONFIG, "A configuration has neither name nor value null.");
		p->open = false;
		return false;
	}
	p->spec.configs = configs;
	p->spec.config_count = (uint32_t)q->configs_count;
	return p->open = configs != NULL;
}

static void describe(struct kafka_request *r, struct create_part *p)
{
	p->reply->num_partitions = p->spec.partitions;
	p->reply->replication_factor = (int16_t)p->spec.replication_factor;
	p->reply->configs = kafka__topic_configs(r, p->spec.configs, p->spec.config_count, &p->reply->configs_count);
}

static void create_joined(struct kafka_request *r)
{
	struct create_state *s = r->state;
	if (!kafka__topics(r)) { /* as they are after the change */
		kafka__abort(r);
		return;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		struct create_part *p = &s->parts[i];
		if (p->failed)
			kafka__mutation_take(r, -p->spec.partitions, CREATE_STRICT_SINCE);
		if (!p->open || p->reply->error_code)
			continue;
		const struct log_topic *topic = log_topics_find(r->topics, p->spec.name);
		if (topic)
			p->reply->topic_id = topic->id;
		describe(r, p);
	}
	kafka__finish(r);
}

static void topic_made(void *arg, const struct sm_error *error)
{
	struct create_part *p = arg;
	struct kafka_request *r = p->request;
	if (error && error->code) {
		p->failed = true;
		/* Name and counts were checked before: what is invalid now is a configuration. */
		int16_t code = error->code == SM_INVALID || error->code == SM_UNSUPPORTED ? KAFKA_INVALID_CONFIG
											  : kafka__error_of(error->code);
		memcpy(p->message, error->text, sizeof p->message);
		refuse(p->reply, error->code == SM_TOO_LARGE ? KAFKA_INVALID_PARTITIONS : code, p->message);
	}
	kafka__part_end(r);
}

static bool create_prepare(struct kafka_request *r)
{
	const struct kafka_create_topics_request *q = r->body;
	struct kafka_create_topics_response *reply = r->reply;
	struct create_state *s = kafka__alloc(r, 1, sizeof *s);
	if (!s)
		return false;
	r->state = s;
	s->parts = kafka__alloc(r, (size_t)q->topics_count, sizeof *s->parts);
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	if (!s->parts || !reply->topics || !kafka__topics(r))
		return false;
	struct bytes *names = kafka__alloc(r, (size_t)q->topics_count, sizeof *names);
	for (int32_t i = 0; names && i < q->topics_count; i++)
		names[i] = q->topics[i].name;
	const uint32_t *firsts = names ? kafka__firsts(r, names, (uint32_t)q->topics_count) : NULL;
	for (int32_t i = 0; firsts && i < q->topics_count; i++) {
		struct create_part *p = &s->parts[i];
		if (firsts[i] != (uint32_t)i) { /* one answer for both */
			p = &s->parts[firsts[i]];
			refuse(p->reply, KAFKA_INVALID_REQUEST, "The topic is in the request more than once.");
			p->open = false;
			continue;
		}
		*p = (struct create_part){.request = r, .asked = &q->topics[i], .reply = &reply->topics[reply->topics_count++]};
		kafka__defaults(&kafka_layout_created_topic, p->reply);
		p->reply->name = q->topics[i].name;
		p->spec.check = q->validate_only;
		if (check(r, p))
			check_configs(r, p);
	}
	s->count = (uint32_t)q->topics_count;
	return firsts != NULL;
}

static bool charge(struct kafka_request *r, struct create_part *p)
{
	bool may = kafka__mutation_take(r, p->spec.partitions, CREATE_STRICT_SINCE);
	if (!may)
		refuse(p->reply, KAFKA_THROTTLING_QUOTA_EXCEEDED, QUOTA_TEXT);
	return may;
}

void kafka__create_topics(struct kafka_request *r)
{
	if (!create_prepare(r)) {
		kafka__abort(r);
		return;
	}
	struct create_state *s = r->state;
	struct sm_log *log = r->server->log;
	uint32_t open = 0;
	for (uint32_t i = 0; i < s->count; i++)
		open += s->parts[i].open = s->parts[i].open && charge(r, &s->parts[i]);
	if (!open) {
		kafka__finish(r);
		return;
	}
	r->step = create_joined;
	kafka__parts_begin(r, open);
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->parts[i].open)
			log->ops->topic_create(log, &s->parts[i].spec, topic_made, &s->parts[i]);
	}
	kafka__part_end(r);
}

/* ---- DeleteTopics ---- */

struct delete_part {
	struct kafka_request *request;
	struct kafka_deleted_topic *reply;
	const char *name; /* NULL: refused already */
	int32_t partitions;
	bool by_id;
};

static void topic_deleted(void *arg, const struct sm_error *error)
{
	struct delete_part *p = arg;
	if (error && error->code)
		p->reply->error_code = kafka__error_of(error->code);
	kafka__part_end(p->request);
}

static void delete_check(struct kafka_request *r, struct delete_part *p, struct bytes name, const struct uuid *id)
{
	bool by_id = !name.data && id && !kafka__uuid_is_zero(id);
	const struct log_topic *topic = kafka__topic(r, r->topics, name, by_id ? id : NULL);
	p->request = r;
	p->by_id = by_id;
	kafka__defaults(&kafka_layout_deleted_topic, p->reply);
	p->reply->name = name;
	if (id)
		p->reply->topic_id = *id;
	if (!name.data && !by_id) {
		p->reply->error_code = KAFKA_INVALID_REQUEST;
		p->reply->error_message = kafka__text("A topic has a name or an id.");
	} else if (name.data && id && !kafka__uuid_is_zero(id)) {
		p->reply->error_code = KAFKA_INVALID_REQUEST;
		p->reply->error_message = kafka__text("A topic is named or has an id, not both.");
	} else if (!topic) {
		p->reply->error_code = by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		p->reply->error_message = kafka__text(by_id ? "This server does not host this topic ID."
							    : "This server does not host this topic-partition.");
	} else {
		p->name = topic->name;
		p->partitions = topic->partitions;
		p->reply->name = bytes_str(topic->name);
		p->reply->topic_id = topic->id;
	}
}

/* What is named twice, by name or id, is refused, with one answer for all. The number of those that go. */
static uint32_t delete_once(struct delete_part *parts, int32_t count, const uint32_t *firsts, struct kafka_delete_topics_response *reply)
{
	uint32_t open = 0;
	for (int32_t i = 0; i < count; i++) {
		if (firsts[i] == (uint32_t)i)
			continue;
		struct delete_part *first = &parts[firsts[i]];
		first->reply->error_code = KAFKA_INVALID_REQUEST;
		first->reply->error_message = kafka__text("The topic is in the request more than once.");
		first->name = parts[i].name = NULL;
		first->by_id |= parts[i].by_id;
		if (!first->by_id)
			memset(&first->reply->topic_id, 0, sizeof first->reply->topic_id);
		parts[i].reply = NULL;
	}
	for (int32_t i = 0; i < count; i++) {
		if (!parts[i].reply)
			continue;
		reply->topics[reply->topics_count] = *parts[i].reply;
		parts[i].reply = &reply->topics[reply->topics_count++];
		if (parts[i].name && !kafka__mutation_take(parts[i].request, parts[i].partitions, DELETE_STRICT_SINCE)) {
			parts[i].reply->error_code = KAFKA_THROTTLING_QUOTA_EXCEEDED;
			parts[i].reply->error_message = kafka__text(QUOTA_TEXT);
			parts[i].name = NULL;
		}
		open += parts[i].name != NULL;
	}
	return open;
}

void kafka__delete_topics(struct kafka_request *r)
{
	const struct kafka_delete_topics_request *q = r->body;
	struct kafka_delete_topics_response *reply = r->reply;
	struct sm_log *log = r->server->log;
	bool states = r->version.version >= 6;
	int32_t count = states ? q->topics_count : q->topic_names_count;
	struct delete_part *parts = kafka__alloc(r, (size_t)count, sizeof *parts);
	reply->topics = kafka__alloc(r, (size_t)count, sizeof *reply->topics);
	struct bytes *names = kafka__alloc(r, (size_t)count, sizeof *names);
	if (!parts || !reply->topics || !names || !kafka__topics(r)) {
		kafka__abort(r);
		return;
	}
	for (int32_t i = 0; i < count; i++) {
		parts[i].reply = &reply->topics[i];
		delete_check(r, &parts[i], states ? q->topics[i].name : q->topic_names[i], states ? &q->topics[i].topic_id : NULL);
		names[i] = reply->topics[i].name.data ? reply->topics[i].name
						      : bytes_of(&reply->topics[i].topic_id, sizeof reply->topics[i].topic_id);
	}
	const uint32_t *firsts = kafka__firsts(r, names, (uint32_t)count);
	if (!firsts) {
		kafka__abort(r);
		return;
	}
	uint32_t open = delete_once(parts, count, firsts, reply);
	r->step = kafka__finish;
	kafka__parts_begin(r, open);
	for (int32_t i = 0; i < count; i++) {
		if (parts[i].name)
			log->ops->topic_delete(log, parts[i].name, topic_deleted, &parts[i]);
	}
	kafka__part_end(r);
}
