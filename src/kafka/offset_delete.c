/* OffsetDelete: committed offsets are taken back, with tombstones, unless the group's members read the topic. A group without a
 * coordinator may still have offsets: then it is an empty group. */
#include "kafka/group_internal.h"

struct deletion {
	void *hold;
	uint32_t found; /* offsets of a group without a coordinator */
	enum sm_err err;
};

static void give_back(struct kafka_request *r)
{
	struct deletion *d = r->state;
	if (d->hold)
		r->server->log->ops->offsets_release(r->server->log, d->hold);
	d->hold = NULL;
}

static void refuse(struct kafka_request *r, int16_t error)
{
	struct kafka_offset_delete_response *reply = r->reply;
	reply->error_code = error;
	reply->topics_count = 0;
}

/* ---- the tombstones ---- */

static void are_taken_back(void *arg, enum sm_err err)
{
	struct kafka_request *r = arg;
	if (err == SM_FULL || err == SM_CLOSED || err == SM_GONE)
		refuse(r, KAFKA_COORDINATOR_NOT_AVAILABLE);
	else if (err)
		refuse(r, kafka__error_of(err));
	kafka__resume(r);
}

/* Those of the answer without an error; in the arena. NULL: no memory. */
static struct log_group_offset *tombstones(struct kafka_request *r, uint32_t *ret_count)
{
	const struct kafka_offset_delete_response *reply = r->reply;
	size_t count = 0;
	for (int32_t i = 0; i < reply->topics_count; i++)
		count += (size_t)reply->topics[i].partitions_count;
	struct log_group_offset *out = kafka__alloc(r, count, sizeof *out);
	*ret_count = 0;
	for (int32_t i = 0; out && i < reply->topics_count; i++) {
		const struct kafka_deleted_offsets_topic *topic = &reply->topics[i];
		const char *name = kafka__cstr(r, topic->name);
		for (int32_t k = 0; name && k < topic->partitions_count; k++)
			if (!topic->partitions[k].error_code)
				out[(*ret_count)++] = (struct log_group_offset){
					.topic = name, .partition = topic->partitions[k].partition_index, .offset = -1};
	}
	return out;
}

/* Take back the offsets that have no error yet, or answer with error alone, and resume: takes one reference. */
static void store(struct kafka_request *r, int16_t error)
{
	const struct kafka_offset_delete_request *q = r->body;
	struct sm_log *log = r->server->log;
	uint32_t count = 0;
	struct log_group_offset *offsets = error ? NULL : tombstones(r, &count);
	const char *group = kafka__cstr(r, q->group_id);
	r->step = kafka__finish;
	if (error)
		refuse(r, error);
	else if (!offsets || !group)
		r->step = kafka__abort;
	if (offsets && group && count)
		log->ops->offsets_commit(log, group, offsets, count, are_taken_back, r);
	else
		kafka__resume(r);
}

/* ---- a group with a coordinator, in its actor ---- */

/* Does the member's subscription (ConsumerProtocolSubscription: version, then topics) name the topic? One that cannot be read may. */
static bool subscribes(const struct member_protocol *p, struct bytes topic)
{
	struct byte_reader in = byte_reader(bytes_of(p->metadata, p->metadata_size));
	reader_be16(&in);
	uint32_t count = reader_be32(&in);
	for (uint32_t i = 0; i < count && !in.failed; i++) {
		size_t size = reader_be16(&in);
		const uint8_t *name = reader_take(&in, size);
		if (name && bytes_equal(bytes_of(name, size), topic))
			return true;
	}
	return in.failed;
}

static bool is_read(const struct group *g, struct bytes topic)
{
	for (const struct member *m = g->members; m; m = m->next)
		for (int32_t i = 0; !m->pending && g->protocol && i < m->protocol_count; i++)
			if (strcmp(m->protocols[i].name, g->protocol) == 0 && subscribes(&m->protocols[i], topic))
				return true;
	return false;
}

/* By name, or by a pattern when it was looked up last. */
static bool is_read_by_consumers(const struct consumer_group *c, const struct log_topic *topic)
{
	for (uint32_t i = 0; c->members && topic && i < c->subscribed_count; i++)
		if (memcmp(&c->subscribed[i].id, &topic->id, sizeof topic->id) == 0)
			return true;
	for (const struct consumer_member *m = c->members; topic && m; m = m->next)
		for (uint32_t i = 0; i < m->about.name_count; i++)
			if (strcmp(m->about.names[i], topic->name) == 0)
				return true;
	return false;
}

void group__delete_offsets(struct group *g, struct kafka_request *r)
{
	struct kafka_offset_delete_response *reply = r->reply;
	bool consumers = g->consumer || (g->protocol_type && strcmp(g->protocol_type, "consumer") == 0);
	for (int32_t i = 0; consumers && i < reply->topics_count; i++) {
		struct kafka_deleted_offsets_topic *topic = &reply->topics[i];
		bool keep = g->consumer ? is_read_by_consumers(g->consumer, kafka__topic(r, r->topics, topic->name, NULL))
					: is_read(g, topic->name);
		for (int32_t k = 0; keep && k < topic->partitions_count; k++)
			if (!topic->partitions[k].error_code)
				topic->partitions[k].error_code = KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
	}
	store(r, g->state == GROUP_EMPTY || consumers ? KAFKA_NONE : KAFKA_NON_EMPTY_GROUP);
}

/* ---- a group without a coordinator ---- */

static void count_offsets(struct kafka_request *r)
{
	const struct kafka_offset_delete_request *q = r->body;
	struct deletion *d = r->state;
	struct log_group_offset *offsets;
	const char *group = kafka__cstr(r, q->group_id);
	d->err = group ? r->server->log->ops->offsets_list(r->server->log, group, &offsets, &d->found, &d->hold) : SM_NO_MEMORY;
}

static void are_counted(struct kafka_request *r)
{
	const struct deletion *d = r->state;
	int16_t error = d->err ? kafka__error_of(d->err) : d->found ? KAFKA_NONE : KAFKA_GROUP_ID_NOT_FOUND;
	store(kafka__request_ref(r), error);
}

/* ---- the request ---- */

static bool prepare(struct kafka_request *r)
{
	const struct kafka_offset_delete_request *q = r->body;
	struct kafka_offset_delete_response *reply = r->reply;
	r->state = kafka__alloc(r, 1, sizeof(struct deletion));
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	if (!r->state || !reply->topics || !kafka__topics(r))
		return false;
	r->done = give_back;
	for (int32_t i = 0; i < q->topics_count; i++) {
		const struct kafka_offset_delete_topic *asked = &q->topics[i];
		struct kafka_deleted_offsets_topic *out = &reply->topics[i];
		const struct log_topic *topic = kafka__topic(r, r->topics, asked->name, NULL);
		out->name = asked->name;
		if (!(out->partitions = kafka__alloc(r, (size_t)asked->partitions_count, sizeof *out->partitions)))
			return false;
		out->partitions_count = asked->partitions_count;
		for (int32_t k = 0; k < asked->partitions_count; k++) {
			int16_t error = kafka__partition_error(topic, false, asked->partitions[k].partition_index);
			out->partitions[k] = (struct kafka_deleted_offset){asked->partitions[k].partition_index, error};
		}
	}
	reply->topics_count = q->topics_count;
	return true;
}

void kafka__offset_delete(struct kafka_request *r)
{
	const struct kafka_offset_delete_request *q = r->body;
	if (!prepare(r)) {
		kafka__abort(r);
		return;
	}
	enum sm_err err = q->group_id.size ? kafka__group_send(r, q->group_id, GROUP_FIND) : SM_INVALID;
	if (!err)
		return;
	if (err == SM_NOT_FOUND) {
		r->step = are_counted;
		kafka__pool(r, count_offsets);
	} else {
		refuse(r, err == SM_INVALID ? KAFKA_INVALID_GROUP_ID
			  : err == SM_FULL  ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS
					    : KAFKA_COORDINATOR_NOT_AVAILABLE);
		kafka__finish(r);
	}
}
