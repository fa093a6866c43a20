/* OffsetCommit and OffsetFetch. A commit is checked by the group's coordinator; a fetch asks nobody but the log. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

/* ---- what OffsetCommit and TxnOffsetCommit have in common ---- */

struct kafka_commit *kafka__commit_new(struct kafka_request *r, size_t count)
{
	struct kafka_commit *c = r->state = kafka__alloc(r, 1, sizeof *c);
	if (!c || !kafka__topics(r))
		return NULL;
	c->offsets = kafka__alloc(r, count, sizeof *c->offsets);
	c->errors = kafka__alloc(r, count, sizeof *c->errors);
	return c->offsets && c->errors ? c : NULL;
}

void kafka__commit_add(struct kafka_request *r, const struct log_topic *topic, struct log_group_offset offset, struct bytes metadata,
		       int16_t *error)
{
	struct kafka_commit *c = r->state;
	*error = topic && metadata.size > KAFKA_OFFSET_METADATA_MAX ? KAFKA_OFFSET_METADATA_TOO_LARGE
								    : kafka__partition_error(topic, false, offset.partition);
	if (*error || !topic)
		return;
	offset.topic = topic->name;
	offset.metadata = metadata.data ? kafka__cstr(r, metadata) : NULL;
	c->errors[c->count] = error;
	c->offsets[c->count++] = offset;
}

int16_t kafka__commit_send(struct kafka_request *r, struct bytes group, int32_t generation)
{
	switch (kafka__group_send(r, group, generation < 0 ? GROUP_MAKE : GROUP_FIND)) {
	case SM_OK: return KAFKA_NONE;
	case SM_NOT_FOUND:
		return r->api->key == KAFKA_OFFSET_COMMIT && r->version.version >= 9 ? KAFKA_GROUP_ID_NOT_FOUND : KAFKA_ILLEGAL_GENERATION;
	case SM_INVALID: return KAFKA_INVALID_GROUP_ID;
	case SM_FULL: return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
	default: return KAFKA_COORDINATOR_NOT_AVAILABLE;
	}
}

void kafka__offsets_refuse(struct kafka_request *r, int16_t error)
{
	struct kafka_commit *c = r->state;
	for (uint32_t i = 0; i < c->count; i++)
		*c->errors[i] = error;
}

static void offsets_are_stored(void *arg, enum sm_err err)
{
	struct kafka_request *r = arg;
	/* A log that is behind, ending or offline is to a group's member a coordinator that is not there: it asks again. */
	if (err == SM_FULL || err == SM_CLOSED || err == SM_GONE || err == SM_IO)
		kafka__offsets_refuse(r, KAFKA_COORDINATOR_NOT_AVAILABLE);
	else if (err == SM_CONFLICT)
		kafka__offsets_refuse(r, KAFKA_INVALID_TXN_STATE);
	else if (err)
		kafka__offsets_refuse(r, kafka__error_of(err));
	kafka__resume(r);
}

void kafka__offsets_store(struct kafka_request *r, int16_t error)
{
	struct kafka_commit *c = r->state;
	struct sm_log *log = r->server->log;
	r->step = kafka__finish;
	if (error)
		kafka__offsets_refuse(r, error);
	if (error || !c->count) {
		kafka__resume(r);
	} else if (r->api->key == KAFKA_TXN_OFFSET_COMMIT) {
		const struct kafka_txn_offset_commit_request *q = r->body;
		log->ops->offsets_commit_txn(log, c->group, q->producer_id, q->producer_epoch, c->offsets, c->count, offsets_are_stored, r);
	} else {
		log->ops->offsets_commit(log, c->group, c->offsets, c->count, offsets_are_stored, r);
	}
}

/* ---- OffsetCommit ---- */

static bool commit_topic(struct kafka_request *r, const struct kafka_offset_commit_topic *q, struct kafka_offset_commit_topic_response *out)
{
	const struct log_topic *topic = kafka__topic(r, r->topics, q->name, NULL);
	out->name = q->name;
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	if (!out->partitions)
		return false;
	out->partitions_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++) {
		const struct kafka_offset_commit_partition *p = &q->partitions[i];
		out->partitions[i].partition_index = p->partition_index;
		kafka__commit_add(r, topic,
				  (struct log_group_offset){.partition = p->partition_index,
							    .offset = p->committed_offset,
							    .leader_epoch = p->committed_leader_epoch},
				  p->committed_metadata, &out->partitions[i].error_code);
	}
	return true;
}

static bool commit_prepare(struct kafka_request *r)
{
	const struct kafka_offset_commit_request *q = r->body;
	struct kafka_offset_commit_response *reply = r->reply;
	size_t count = 0;
	for (int32_t i = 0; i < q->topics_count; i++)
		count += (size_t)q->topics[i].partitions_count;
	struct kafka_commit *c = kafka__commit_new(r, count);
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	if (!c || !reply->topics)
		return false;
	c->group = kafka__cstr(r, q->group_id);
	reply->topics_count = q->topics_count;
	for (int32_t i = 0; i < q->topics_count; i++)
		if (!commit_topic(r, &q->topics[i], &reply->topics[i]))
			return false;
	return true;
}

void kafka__offset_commit(struct kafka_request *r)
{
	const struct kafka_offset_commit_request *q = r->body;
	if (!commit_prepare(r)) {
		kafka__abort(r);
		return;
	}
	if (!((struct kafka_commit *)r->state)->count) { /* nothing of it can be committed: no group is asked, or made */
		kafka__finish(r);
		return;
	}
	int16_t error = kafka__commit_send(r, q->group_id, q->generation_id);
	if (!error)
		return;
	kafka__offsets_refuse(r, error);
	kafka__finish(r);
}

/* ---- OffsetFetch ---- */

/* A request of version 8 asks for several groups; an older one is read as one for its only group. */
struct fetch_group {
	struct bytes id;
	const struct kafka_offset_fetch_topic *topics;
	int32_t topic_count; /* -1: all */
	struct kafka_offset_fetch_topic_response *reply;
	int32_t reply_count;
	enum sm_err err;
	int16_t refused; /* by the group, which does not know the member that asks */
	void *hold;
};
struct fetch_state {
	struct fetch_group *groups;
	int32_t count;
	int32_t at; /* the group that is asked about its member */
};

static void fetch_done(struct kafka_request *r)
{
	struct fetch_state *s = r->state;
	struct sm_log *log = r->server->log;
	for (int32_t i = 0; i < s->count; i++) {
		if (s->groups[i].hold)
			log->ops->offsets_release(log, s->groups[i].hold);
	}
}

static struct kafka_offset_fetch_partition_response found(struct kafka_request *r, const struct log_group_offset *o)
{
	bool unstable = ((const struct kafka_offset_fetch_request *)r->body)->require_stable && o->pending;
	bool none = o->offset < 0 || unstable;
	return (struct kafka_offset_fetch_partition_response){
		.partition_index = o->partition,
		.committed_offset = none ? -1 : o->offset,
		.committed_leader_epoch = none ? -1 : o->leader_epoch,
		.metadata = none || !o->metadata ? KAFKA_EMPTY : bytes_str(o->metadata),
		.error_code = unstable ? KAFKA_UNSTABLE_OFFSET_COMMIT : KAFKA_NONE,
	};
}

static enum sm_err fetch_all(struct kafka_request *r, struct fetch_group *g, const char *name)
{
	struct log_group_offset *offsets;
	uint32_t count;
	enum sm_err err = r->server->log->ops->offsets_list(r->server->log, name, &offsets, &count, &g->hold);
	if (err)
		return err;
	g->reply = kafka__alloc(r, count, sizeof *g->reply);
	struct kafka_offset_fetch_partition_response *partitions = kafka__alloc(r, count, sizeof *partitions);
	if (!g->reply || !partitions)
		return SM_NO_MEMORY;
	struct kafka_offset_fetch_topic_response *topic = NULL;
	for (uint32_t i = 0; i < count; i++) {
		if (i == 0 || strcmp(offsets[i].topic, offsets[i - 1].topic) != 0) {
			topic = &g->reply[g->reply_count++];
			topic->name = bytes_str(offsets[i].topic);
			topic->partitions = &partitions[i];
		}
		topic->partitions[topic->partitions_count++] = found(r, &offsets[i]);
	}
	return SM_OK;
}

static enum sm_err fetch_named(struct kafka_request *r, struct fetch_group *g, const char *name)
{
	size_t count = 0, n = 0;
	for (int32_t i = 0; i < g->topic_count; i++)
		count += (size_t)g->topics[i].partition_indexes_count;
	struct log_group_offset *offsets = kafka__alloc(r, count, sizeof *offsets);
	struct kafka_offset_fetch_partition_response *partitions = kafka__alloc(r, count, sizeof *partitions);
	g->reply = kafka__alloc(r, (size_t)g->topic_count, sizeof *g->reply);
	if (!offsets || !partitions || !g->reply)
		return SM_NO_MEMORY;
	for (int32_t i = 0; i < g->topic_count; i++) {
		const char *topic = kafka__cstr(r, g->topics[i].name);
		for (int32_t k = 0; k < g->topics[i].partition_indexes_count; k++)
			offsets[n++] = (struct log_group_offset){
				.topic = topic ? topic : "", .partition = g->topics[i].partition_indexes[k], .offset = -1};
	}
	enum sm_err err = r->server->log->ops->offsets_fetch(r->server->log, name, offsets, (uint32_t)count, &g->hold);
	if (err)
		return err;
	n = 0;
	for (int32_t i = 0; i < g->topic_count; i++) {
		g->reply[i].name = g->topics[i].name;
		g->reply[i].partitions = &partitions[n];
		g->reply[i].partitions_count = g->topics[i].partition_indexes_count;
		for (int32_t k = 0; k < g->topics[i].partition_indexes_count; k++, n++)
			partitions[n] = found(r, &offsets[n]);
	}
	g->reply_count = g->topic_count;
	return SM_OK;
}

static void fetch_groups(struct kafka_request *r)
{
	struct fetch_state *s = r->state;
	for (int32_t i = 0; i < s->count; i++) {
		struct fetch_group *g = &s->groups[i];
		const char *name = kafka__cstr(r, g->id);
		if (g->refused)
			continue;
		if (!name)
			g->err = SM_NO_MEMORY;
		else
			g->err = g->topic_count < 0 ? fetch_all(r, g, name) : fetch_named(r, g, name);
		if (g->err)
			g->reply_count = 0;
	}
}

static void fetch_answer(struct kafka_request *r)
{
	struct fetch_state *s = r->state;
	struct kafka_offset_fetch_response *reply = r->reply;
	for (int32_t i = 0; i < s->count; i++) {
		const struct fetch_group *g = &s->groups[i];
		bool later = g->err == SM_FULL || g->err == SM_CLOSED || g->err == SM_IO;
		int16_t error = g->refused ? g->refused : later ? KAFKA_COORDINATOR_NOT_AVAILABLE : kafka__error_of(g->err);
		if (r->version.version >= 8) {
			reply->groups[i] = (struct kafka_offset_fetch_group_response){g->id, g->reply, g->reply_count, error};
			continue;
		}
		reply->error_code = error;
		reply->topics = g->reply;
		reply->topics_count = g->reply_count;
	}
	kafka__finish(r);
}

const struct kafka_offset_fetch_group *kafka__fetched_group(const struct kafka_request *r)
{
	const struct kafka_offset_fetch_request *q = r->body;
	return &q->groups[((struct fetch_state *)r->state)->at];
}

int16_t *kafka__fetched_group_error(struct kafka_request *r)
{
	struct fetch_state *s = r->state;
	return &s->groups[s->at].refused;
}

static void check_next(struct kafka_request *r);

static void checked(struct kafka_request *r)
{
	((struct fetch_state *)r->state)->at++;
	check_next(r);
}

/* Ask the groups whose members say who they are, one after the other, then read. A group without a coordinator has no members, but
 * who reads its offsets is told what there is, as by Kafka. */
static void check_next(struct kafka_request *r)
{
	const struct kafka_offset_fetch_request *q = r->body;
	struct fetch_state *s = r->state;
	for (; r->version.version >= 9 && s->at < q->groups_count; s->at++) {
		if (!q->groups[s->at].member_id.data && q->groups[s->at].member_epoch < 0)
			continue;
		r->step = checked;
		enum sm_err err = kafka__group_send(r, q->groups[s->at].group_id, GROUP_FIND);
		if (!err)
			return;
		if (err != SM_NOT_FOUND)
			s->groups[s->at].refused = kafka__group_send_error(err, 0);
	}
	r->step = fetch_answer;
	kafka__pool(r, fetch_groups);
}

void kafka__offset_fetch(struct kafka_request *r)
{
	const struct kafka_offset_fetch_request *q = r->body;
	struct kafka_offset_fetch_response *reply = r->reply;
	struct fetch_state *s = kafka__alloc(r, 1, sizeof *s);
	bool many = r->version.version >= 8;
	size_t count = many ? (size_t)q->groups_count : 1;
	struct fetch_group *groups = kafka__alloc(r, count, sizeof *groups);
	if (many)
		reply->groups = kafka__alloc(r, count, sizeof *reply->groups);
	if (s) {
		r->state = s;
		r->done = fetch_done;
	}
	if (!s || !groups || (many && !reply->groups)) {
		kafka__abort(r);
		return;
	}
	reply->groups_count = many ? q->groups_count : 0;
	s->groups = groups;
	s->count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		groups[i].id = many ? q->groups[i].group_id : q->group_id;
		groups[i].topics = many ? q->groups[i].topics : q->topics;
		groups[i].topic_count = many ? q->groups[i].topics_count : q->topics_count;
	}
	check_next(r);
}
