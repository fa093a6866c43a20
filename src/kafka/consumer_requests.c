/* Consumer groups of the new protocol on the wire: ConsumerGroupHeartbeat and ConsumerGroupDescribe on their way to the coordinators, and
 * what a coordinator does with them and with the requests that classic groups have too. */
#include "kafka/group_internal.h"
#include <stdlib.h>

/* ---- on the way: the connection's dispatcher ---- */

static int16_t no_group(struct kafka_request *r, const char **ret_text)
{
	const struct kafka_consumer_group_heartbeat_request *q = r->body;
	*ret_text = arena_printf(&r->arena, "%s %.*s not found.", q->member_epoch < 0 ? "Group" : "Consumer group", TEXT(q->group_id));
	return KAFKA_GROUP_ID_NOT_FOUND;
}

/* Whose eyes a pattern of topics is looked up with: the coordinator does it when the connection may have gone. */
struct eyes {
	struct auth_acls *acls;
	const char *principal, *host;
};

static bool sees(const void *arg, const char *topic)
{
	const struct eyes *e = arg;
	return auth_may(e->acls, e->principal, e->host, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_TOPIC, bytes_str(topic));
}

static bool open_eyes(struct kafka_request *r)
{
	char host[KAFKA_PEER_HOST_MAX];
	struct eyes *e = kafka__alloc(r, 1, sizeof *e);
	if (!e)
		return false;
	const char *principal = kafka__session(r)->principal->name;
	kafka__peer_host(r->peer, host);
	*e = (struct eyes){r->server->acls, arena_string(&r->arena, principal, strlen(principal)),
			   arena_string(&r->arena, host, strlen(host))};
	r->state = e;
	return e->principal && e->host;
}

void kafka__consumer_group_heartbeat(struct kafka_request *r)
{
	const struct kafka_consumer_group_heartbeat_request *q = r->body;
	struct kafka_consumer_group_heartbeat_response *reply = r->reply;
	const char *text = NULL;
	if (r->server->acls && !open_eyes(r)) {
		kafka__abort(r);
		return;
	}
	int16_t error = consumer_group__check_heartbeat(q, r->version.version, &r->arena, &text);
	enum sm_err err = error ? SM_OK : kafka__group_send(r, q->group_id, q->member_epoch == 0 ? GROUP_MAKE : GROUP_FIND);
	if (!error && !err)
		return;
	if (err)
		error = err == SM_NOT_FOUND ? no_group(r, &text) : kafka__group_send_error(err, KAFKA_NONE);
	reply->error_code = error;
	reply->error_message = kafka__text(text);
	kafka__finish(r);
}

static void describe_next(struct kafka_request *r);

struct kafka_described_consumer_group *kafka__described_consumer_group(struct kafka_request *r)
{
	return &((struct kafka_consumer_group_describe_response *)r->reply)->groups[*(int32_t *)r->state];
}

static void described(struct kafka_request *r)
{
	++*(int32_t *)r->state;
	describe_next(r);
}

static void describe_next(struct kafka_request *r)
{
	const struct kafka_consumer_group_describe_response *reply = r->reply;
	for (int32_t *at = r->state; *at < reply->groups_count; ++*at) {
		struct kafka_described_consumer_group *out = kafka__described_consumer_group(r);
		r->step = described;
		enum sm_err err = out->group_id.size ? kafka__group_send(r, out->group_id, GROUP_FIND) : SM_INVALID;
		if (!err)
			return;
		out->error_code = kafka__group_send_error(err, KAFKA_GROUP_ID_NOT_FOUND);
		if (err == SM_NOT_FOUND)
			out->error_message = kafka__text(arena_printf(&r->arena, "Group %.*s not found.", TEXT(out->group_id)));
	}
	kafka__finish(r);
}

void kafka__consumer_group_describe(struct kafka_request *r)
{
	const struct kafka_consumer_group_describe_request *q = r->body;
	struct kafka_consumer_group_describe_response *reply = r->reply;
	r->state = kafka__alloc(r, 1, sizeof(int32_t));
	reply->groups = kafka__alloc(r, (size_t)q->group_ids_count, sizeof *reply->groups);
	if (!r->state || !reply->groups) {
		kafka__abort(r);
		return;
	}
	reply->groups_count = q->group_ids_count;
	for (int32_t i = 0; i < q->group_ids_count; i++) {
		kafka__defaults(&kafka_layout_described_consumer_group, &reply->groups[i]);
		reply->groups[i].group_id = q->group_ids[i];
	}
	describe_next(r);
}

/* ---- in the coordinator ---- */

static struct bytes keep(struct kafka_request *r, const char *text)
{
	return text ? kafka__text(arena_string(&r->arena, text, strlen(text))) : (struct bytes){0};
}

/* How many partitions, from the one at `from` on, are of the same topic. */
static uint32_t run_of(const struct partition_set *set, uint32_t from)
{
	uint32_t n = 1;
	while (from + n < set->count && memcmp(&set->items[from].topic, &set->items[from + n].topic, sizeof(struct uuid)) == 0)
		n++;
	return n;
}

static uint32_t topics_of(const struct partition_set *set)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < set->count; i += run_of(set, i))
		n++;
	return n;
}

static int32_t *partitions_of(struct kafka_request *r, const struct partition_set *set, uint32_t from, uint32_t count)
{
	int32_t *out = kafka__alloc(r, count, sizeof *out);
	for (uint32_t i = 0; out && i < count; i++)
		out[i] = set->items[from + i].partition;
	return out;
}

static struct kafka_consumer_assignment *assignment_of(struct kafka_request *r, const struct partition_set *set)
{
	struct kafka_consumer_assignment *a = kafka__alloc(r, 1, sizeof *a);
	if (!a || !(a->topic_partitions = kafka__alloc(r, topics_of(set), sizeof *a->topic_partitions)))
		return NULL;
	for (uint32_t i = 0, count; i < set->count; i += count) {
		struct kafka_topic_id_partitions *out = &a->topic_partitions[a->topic_partitions_count++];
		count = run_of(set, i);
		*out = (struct kafka_topic_id_partitions){set->items[i].topic, partitions_of(r, set, i, count), (int32_t)count};
		if (!out->partitions)
			return NULL;
	}
	return a;
}

const char *group__client_host(struct kafka_request *r)
{
	char host[KAFKA_PEER_HOST_MAX];
	return arena_printf(&r->arena, "/%s", kafka__peer_host(r->peer ? r->peer : "", host));
}

void group__consumer_end(struct group *g)
{
	g->changed |= g->consumer != NULL;
	consumer_group__free(g->consumer);
	g->consumer = NULL;
	if (g->topics)
		g->server->log->ops->topics_release(g->server->log, g->topics);
	g->topics = NULL;
}

/* A picture is held for as long as the group may compare it with a newer one. */
bool group__see_topics(struct group *g, struct consumer_group *c)
{
	struct sm_log *log = g->server->log;
	const struct log_topics *topics = log->ops->topics(log);
	if (!topics)
		return false;
	consumer_group__see(c, topics);
	if (g->topics)
		log->ops->topics_release(log, g->topics);
	g->topics = topics;
	return true;
}

/* The group as one of the new protocol, which a first heartbeat makes. NULL: a->error. */
static struct consumer_group *begin(struct group *g, struct kafka_request *r, struct consumer_answer *a)
{
	const struct kafka_consumer_group_heartbeat_request *q = r->body;
	if (q->member_epoch != 0) {
		a->error = KAFKA_GROUP_ID_NOT_FOUND;
		a->text = arena_printf(&r->arena, "Group %.*s is not a consumer group.", TEXT(q->group_id));
		return NULL;
	}
	if (g->state != GROUP_EMPTY)
		return group__upgraded(g, r, &a->error, &a->text);
	struct consumer_group *c = consumer_group__new();
	if (!c)
		*a = (struct consumer_answer){.error = KAFKA_UNKNOWN_SERVER_ERROR, .text = "The server is out of memory."};
	return c;
}

static void fill_heartbeat(struct kafka_request *r, const struct consumer_answer *a)
{
	const struct kafka_consumer_group_heartbeat_request *q = r->body;
	struct kafka_consumer_group_heartbeat_response *reply = r->reply;
	reply->error_code = a->error;
	reply->error_message = kafka__text(a->text);
	if (a->error)
		return;
	reply->member_id = q->member_id;
	reply->member_epoch = a->member ? a->member->epoch : q->member_epoch;
	if (!a->member)
		return;
	reply->heartbeat_interval_ms = KAFKA_CONSUMER_HEARTBEAT_MS;
	if (a->assignment)
		reply->assignment = assignment_of(r, &a->member->assigned);
}

/* Before version 1 the server chooses the ids. */
static bool name_member(struct kafka_request *r)
{
	struct kafka_consumer_group_heartbeat_request *q = r->body;
	struct uuid id;
	char text[37];
	if (q->member_id.size)
		return true;
	uuid_random(&id);
	uuid_format(&id, text);
	q->member_id = keep(r, text);
	return q->member_id.data != NULL;
}

void group__consumer_heartbeat(struct group *g, struct kafka_request *r)
{
	struct consumer_answer a = {0};
	struct consumer_group *c = g->consumer;
	struct consumer_call call = {
		.q = r->body, .client_id = r->client_id, .client_host = group__client_host(r), .now_ns = group__now(), .arena = &r->arena};
	if (r->server->acls) {
		call.sees = sees;
		call.arg = r->state;
	}
	if (!c)
		c = begin(g, r, &a);
	int32_t epoch = c ? c->epoch : 0;
	if (!a.error && (!call.client_host || !name_member(r) || !group__see_topics(g, c)))
		a = (struct consumer_answer){.error = KAFKA_UNKNOWN_SERVER_ERROR, .text = "The server is out of memory."};
	else if (!a.error)
		consumer_group__heartbeat(c, &call, &a);
	if (c != g->consumer && !a.error) {
		group__forget_classic(g);
		g->consumer = c;
	} else if (c != g->consumer) {
		consumer_group__free(c);
		group__consumer_end(g);
	}
	g->used |= !a.error;
	if (g->consumer)
		group__consumer_left(g, epoch);
	fill_heartbeat(r, &a);
	bool lost = a.assignment && a.member && !((struct kafka_consumer_group_heartbeat_response *)r->reply)->assignment;
	if (lost)
		group__out_of_memory(r);
	else
		group__answer(r);
	if (!g->used)
		group__end(g);
}

/* ---- ConsumerGroupDescribe ---- */

struct names { /* the topics by id */
	const struct log_topic **topics;
	uint32_t count;
};

static int compare_ids(const void *a, const void *b)
{
	return memcmp(&(*(const struct log_topic *const *)a)->id, &(*(const struct log_topic *const *)b)->id, sizeof(struct uuid));
}

static bool name_topics(struct kafka_request *r, struct names *names)
{
	const struct log_topics *topics = kafka__topics(r);
	names->topics = topics ? kafka__alloc(r, topics->count, sizeof *names->topics) : NULL;
	if (!names->topics)
		return false;
	for (names->count = 0; names->count < topics->count; names->count++)
		names->topics[names->count] = &topics->items[names->count];
	qsort(names->topics, names->count, sizeof *names->topics, compare_ids);
	return true;
}

/* Topics that are gone are left out. */
static struct kafka_described_assignment *named_assignment(struct kafka_request *r, const struct names *names,
							   const struct partition_set *set)
{
	struct kafka_described_assignment *a = kafka__alloc(r, 1, sizeof *a);
	if (!a || !(a->topic_partitions = kafka__alloc(r, topics_of(set), sizeof *a->topic_partitions)))
		return NULL;
	for (uint32_t i = 0, count; i < set->count; i += count) {
		struct log_topic wanted = {.id = set->items[i].topic};
		const struct log_topic *key = &wanted;
		const struct log_topic **topic = bsearch(&key, names->topics, names->count, sizeof key, compare_ids);
		count = run_of(set, i);
		if (!topic)
			continue;
		struct kafka_named_topic_partitions *out = &a->topic_partitions[a->topic_partitions_count++];
		*out = (struct kafka_named_topic_partitions){wanted.id, kafka__text((*topic)->name), partitions_of(r, set, i, count),
							     (int32_t)count};
		if (!out->partitions)
			return NULL;
	}
	return a;
}

static bool describe_member(struct kafka_request *r, const struct names *names, const struct consumer_member *m,
			    struct kafka_described_consumer *out)
{
	*out = (struct kafka_described_consumer){
		.member_id = keep(r, m->id),
		.instance_id = keep(r, m->about.instance),
		.rack_id = keep(r, m->about.rack),
		.member_epoch = m->epoch,
		.client_id = keep(r, m->about.client_id),
		.client_host = keep(r, m->about.client_host),
		.subscribed_topic_names = kafka__alloc(r, m->about.name_count, sizeof(struct bytes)),
		.subscribed_topic_regex = keep(r, m->about.pattern ? m->about.pattern->text : ""),
		.assignment = named_assignment(r, names, &m->assigned),
		.target_assignment = named_assignment(r, names, &m->target),
		.member_type = m->classic ? 0 : 1,
	};
	if (!out->subscribed_topic_names || !out->assignment || !out->target_assignment)
		return false;
	for (uint32_t i = 0; i < m->about.name_count; i++)
		out->subscribed_topic_names[out->subscribed_topic_names_count++] = keep(r, m->about.names[i]);
	return true;
}

static bool describe(const struct consumer_group *c, struct kafka_request *r)
{
	const struct kafka_consumer_group_describe_request *q = r->body;
	struct kafka_described_consumer_group *out = kafka__described_consumer_group(r);
	struct names names;
	out->group_state = kafka__text(consumer_group__state(c));
	out->group_epoch = c->epoch;
	out->assignment_epoch = c->target_epoch;
	out->assignor_name = kafka__text(consumer_group__assignor(c)->name);
	if (q->include_authorized_operations)
		out->authorized_operations = KAFKA_OPERATIONS_GROUP;
	out->members = kafka__alloc(r, (size_t)c->member_count, sizeof *out->members);
	if (!out->members || !name_topics(r, &names))
		return false;
	for (const struct consumer_member *m = c->members; m; m = m->next) {
		if (!describe_member(r, &names, m, &out->members[out->members_count]))
			return false;
		out->members_count++;
	}
	return true;
}

void group__consumer_describe(struct group *g, struct kafka_request *r)
{
	struct kafka_described_consumer_group *out = kafka__described_consumer_group(r);
	if (!g->consumer) {
		out->error_code = KAFKA_GROUP_ID_NOT_FOUND;
		out->error_message = kafka__text(arena_printf(&r->arena, "Group %.*s is not a consumer group.", TEXT(out->group_id)));
	} else if (!describe(g->consumer, r)) {
		group__out_of_memory(r);
		return;
	}
	kafka__resume(r);
}

/* ---- the requests that classic groups have too ---- */

/* An administrator takes a static member out by its instance alone. */
static int16_t find_leaving(const struct consumer_group *c, struct bytes id, struct bytes instance, struct consumer_member **ret)
{
	*ret = instance.data ? consumer_group__find_instance(c, instance) : consumer_group__find(c, id);
	if (!*ret)
		return KAFKA_UNKNOWN_MEMBER_ID;
	return instance.data && id.size && !bytes_equal(id, bytes_str((*ret)->id)) ? KAFKA_FENCED_INSTANCE_ID : KAFKA_NONE;
}

static bool is_among(struct consumer_member *const *members, int32_t count, const struct consumer_member *m)
{
	int32_t i = 0;
	while (i < count && members[i] != m)
		i++;
	return i < count;
}

/* All are found before the first goes, and the group makes one step for all of them. */
static void leave_group(struct group *g, struct kafka_request *r)
{
	const struct kafka_leave_group_request *q = r->body;
	struct kafka_leave_group_response *reply = r->reply;
	struct consumer_group *c = g->consumer;
	bool one = r->version.version < 3;
	struct consumer_member *m, **leaving = kafka__alloc(r, one ? 1 : (size_t)q->members_count, sizeof(struct consumer_member *));
	int32_t count = 0, epoch = c->epoch;
	if (!leaving) {
		group__out_of_memory(r);
		return;
	}
	if (one && !(reply->error_code = find_leaving(c, q->member_id, (struct bytes){0}, &m)))
		leaving[count++] = m;
	reply->members_count = one ? 0 : q->members_count; /* groups.c has made room for them */
	for (int32_t i = 0; i < reply->members_count; i++) {
		reply->members[i].error_code = find_leaving(c, q->members[i].member_id, q->members[i].group_instance_id, &m);
		if (!reply->members[i].error_code && !is_among(leaving, count, m))
			leaving[count++] = m;
	}
	for (int32_t i = 0; i < count; i++)
		consumer_group__fence(c, leaving[i]);
	c->epoch = count ? epoch + 1 : epoch;
	group__consumer_left(g, epoch);
	group__answer(r);
}

/* Offsets without a member are an administrator's, who may set them while nobody is there. */
static int16_t may_commit(const struct group *g, const struct kafka_request *r)
{
	const struct kafka_offset_commit_request *q = r->body;
	if (q->generation_id < 0 && !g->consumer->members)
		return KAFKA_NONE;
	int16_t error = consumer_group__check_epoch(g->consumer, q->member_id, q->generation_id);
	bool old = error != KAFKA_UNKNOWN_MEMBER_ID && !consumer_group__find(g->consumer, q->member_id)->classic && r->version.version < 9;
	return old ? KAFKA_UNSUPPORTED_VERSION : error;
}

static int16_t may_commit_txn(const struct group *g, const struct kafka_txn_offset_commit_request *q)
{
	bool nobody = q->generation_id < 0 && !q->member_id.size && !q->group_instance_id.data;
	if (nobody || (q->generation_id < 0 && !g->consumer->members))
		return KAFKA_NONE;
	int16_t error = consumer_group__check_epoch(g->consumer, q->member_id, q->generation_id);
	return error == KAFKA_STALE_MEMBER_EPOCH ? KAFKA_ILLEGAL_GENERATION : error;
}

static void check_fetch(const struct group *g, struct kafka_request *r)
{
	const struct kafka_offset_fetch_group *q = kafka__fetched_group(r);
	*kafka__fetched_group_error(r) = consumer_group__check_epoch(g->consumer, q->member_id, q->member_epoch);
	kafka__resume(r);
}

static void describe_as_classic(struct kafka_request *r)
{
	struct kafka_described_group *out = kafka__described_group(r);
	out->group_state = BYTES("Dead");
	if (r->version.version >= 6) {
		out->error_code = KAFKA_GROUP_ID_NOT_FOUND;
		out->error_message = kafka__text(arena_printf(&r->arena, "Group %.*s is not a classic group.", TEXT(out->group_id)));
	}
	kafka__resume(r);
}

static void delete_group(struct group *g, struct kafka_request *r)
{
	bool empty = !g->consumer->members;
	*kafka__deleted_group_error(r) = empty ? KAFKA_NONE : KAFKA_NON_EMPTY_GROUP;
	if (empty)
		group__end(g);
	kafka__resume(r);
}

bool group__consumer_handle(struct group *g, struct kafka_request *r)
{
	switch (r->api->key) {
	case KAFKA_JOIN_GROUP:
		if (!g->consumer->members) {
			group__consumer_end(g);
			group__show(g);
			return false;
		}
		group__classic_join(g, r);
		break;
	case KAFKA_SYNC_GROUP: group__classic_sync(g, r); break;
	case KAFKA_HEARTBEAT: group__classic_heartbeat(g, r); break;
	case KAFKA_LEAVE_GROUP: leave_group(g, r); break;
	case KAFKA_OFFSET_COMMIT: kafka__offsets_store(r, may_commit(g, r)); break;
	case KAFKA_TXN_OFFSET_COMMIT: kafka__offsets_store(r, may_commit_txn(g, r->body)); break;
	case KAFKA_OFFSET_FETCH: check_fetch(g, r); break;
	case KAFKA_DESCRIBE_GROUPS: describe_as_classic(r); break;
	case KAFKA_DELETE_GROUPS: delete_group(g, r); break;
	case KAFKA_OFFSET_DELETE: group__delete_offsets(g, r); break;
	default: group__refuse(r, KAFKA_INVALID_REQUEST); break;
	}
	return true;
}
