/* What a coordinator does with each request. Runs in the group's actor; a request is answered by kafka__resume, which takes the
 * reference that came with the message. Replies are built in the request's arena: nothing else touches it meanwhile. */
#include "kafka/group_internal.h"
#include "base/uuid.h"
#include <stdio.h>
#include <stdlib.h>

static struct bytes keep(struct kafka_request *r, const void *data, size_t size)
{
	return bytes_of(size ? arena_copy(&r->arena, data, size) : (const void *)"", size);
}

static struct bytes keep_text(struct kafka_request *r, const char *text)
{
	return text ? keep(r, text, strlen(text)) : (struct bytes){0};
}

/* ---- JoinGroup ---- */

void group__answer_join_error(struct kafka_request *r, int16_t error)
{
	const struct kafka_join_group_request *q = r->body;
	struct kafka_join_group_response *reply = r->reply;
	reply->error_code = error;
	reply->member_id = q->member_id;
	group__answer(r);
}

static const struct member_protocol *chosen(const struct group *g, const struct member *m)
{
	for (int32_t i = 0; i < m->protocol_count; i++) {
		if (g->protocol && strcmp(m->protocols[i].name, g->protocol) == 0)
			return &m->protocols[i];
	}
	return NULL;
}

static bool list_members(struct group *g, struct kafka_request *r)
{
	struct kafka_join_group_response *reply = r->reply;
	reply->members = kafka__alloc(r, (size_t)g->member_count, sizeof *reply->members);
	if (!reply->members)
		return false;
	for (const struct member *m = g->members; m; m = m->next) {
		const struct member_protocol *p = chosen(g, m);
		if (m->pending)
			continue;
		reply->members[reply->members_count++] = (struct kafka_join_member){
			.member_id = keep_text(r, m->id),
			.group_instance_id = keep_text(r, m->instance),
			.metadata = p ? keep(r, p->metadata, p->metadata_size) : KAFKA_EMPTY,
		};
	}
	return true;
}

static void answer_join_as(struct group *g, struct member *m, struct kafka_request *r, const char *leader, bool with_members, bool skip)
{
	struct kafka_join_group_response *reply = r->reply;
	reply->generation_id = g->generation;
	reply->protocol_type = keep_text(r, g->protocol_type);
	reply->protocol_name = keep_text(r, g->protocol);
	reply->leader = keep_text(r, leader);
	reply->member_id = keep_text(r, m->id);
	reply->skip_assignment = skip;
	if (with_members && !list_members(g, r))
		group__out_of_memory(r);
	else
		group__answer(r);
}

void group__answer_join(struct group *g, struct member *m, struct kafka_request *r)
{
	answer_join_as(g, m, r, g->leader->id, m == g->leader, false);
}

/* Some protocol must be common to the group's other members and this one. */
static bool protocols_fit(const struct group *g, const struct member *self, const struct kafka_join_group_request *q)
{
	if (!q->protocol_type.size || q->protocols_count <= 0)
		return false;
	bool others = false;
	for (const struct member *m = g->members; m; m = m->next)
		others |= !m->pending && m != self;
	if (!others)
		return true;
	if (!g->protocol_type || !bytes_equal(q->protocol_type, bytes_str(g->protocol_type)))
		return false;
	for (int32_t i = 0; i < q->protocols_count; i++) {
		bool common = !memchr(q->protocols[i].name.data, 0, q->protocols[i].name.size);
		for (const struct member *m = g->members; m && common; m = m->next) {
			bool has = m->pending || m == self;
			for (int32_t k = 0; k < m->protocol_count && !has; k++)
				has = bytes_equal(q->protocols[i].name, bytes_str(m->protocols[k].name));
			common = has;
		}
		if (common)
			return true;
	}
	return false;
}

static bool same_protocols(const struct member *m, const struct kafka_join_group_request *q)
{
	if (m->protocol_count != q->protocols_count)
		return false;
	for (int32_t i = 0; i < q->protocols_count; i++) {
		const struct member_protocol *p = &m->protocols[i];
		if (!bytes_equal(q->protocols[i].name, bytes_str(p->name)) ||
		    !bytes_equal(q->protocols[i].metadata, bytes_of(p->metadata, p->metadata_size)))
			return false;
	}
	return true;
}

static int16_t join_error_of(enum sm_err err)
{
	return err == SM_TOO_LARGE ? KAFKA_GROUP_MAX_SIZE_REACHED : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* The member waits with r for the rebalance to complete. */
static void wait_joined(struct group *g, struct member *m, struct kafka_request *r)
{
	struct kafka_request *older = m->join;
	m->join = r;
	if (older) /* its client has given up on it: it asks again on another connection */
		group__answer_join_error(older, KAFKA_REBALANCE_IN_PROGRESS);
	m->deadline_ns = group__after(m->is_new ? KAFKA_NEW_MEMBER_TIMEOUT_MS : m->session_timeout_ms);
	group__rebalance(g);
}

static void update_and_rebalance(struct group *g, struct member *m, struct kafka_request *r)
{
	enum sm_err err = group__member_update(g, m, r->body);
	if (err)
		group__answer_join_error(r, join_error_of(err));
	else
		wait_joined(g, m, r);
}

/* A member's first join. */
static void joined_first(struct group *g, struct member *m, struct kafka_request *r)
{
	if (!g->leader)
		g->leader = m;
	if (g->state == GROUP_PREPARING && g->initial)
		g->new_member_added = true;
	wait_joined(g, m, r);
}

static bool set_type(struct group *g, const struct kafka_join_group_request *q)
{
	if (g->member_count && g->protocol_type)
		return true;
	char *type = strndup((const char *)q->protocol_type.data, q->protocol_type.size);
	if (!type)
		return false;
	free(g->protocol_type);
	g->protocol_type = type;
	return true;
}

static void add_and_rebalance(struct group *g, const char *id, struct kafka_request *r)
{
	const struct kafka_join_group_request *q = r->body;
	if (g->member_count + g->pending_count >= KAFKA_GROUP_MEMBERS_MAX) {
		group__answer_join_error(r, KAFKA_GROUP_MAX_SIZE_REACHED);
		return;
	}
	struct member *m = id && set_type(g, q) ? group__member_new(g, r, id, q->group_instance_id, false) : NULL;
	enum sm_err err = m ? group__member_update(g, m, q) : SM_NO_MEMORY;
	if (err) {
		if (m) { /* it never was a member: no rebalance for it */
			group__member_pending(g, m, true);
			group__member_remove(g, m, KAFKA_NONE);
		}
		group__answer_join_error(r, join_error_of(err));
		return;
	}
	joined_first(g, m, r);
}

/* With the id that it was given before: only now is it a member. */
static void come_back(struct group *g, struct member *m, struct kafka_request *r)
{
	enum sm_err err = set_type(g, r->body) ? group__member_update(g, m, r->body) : SM_NO_MEMORY;
	if (err) {
		group__answer_join_error(r, join_error_of(err));
		return;
	}
	group__member_pending(g, m, false);
	joined_first(g, m, r);
}

static const char *new_member_id(struct kafka_request *r, struct bytes prefix)
{
	struct uuid id;
	char text[37];
	uuid_random(&id);
	uuid_format(&id, text);
	const char *clean = kafka__cstr(r, prefix);
	return arena_printf(&r->arena, "%s-%s", clean ? clean : "", text);
}

/* A static member comes back without its id: it takes over its old self's place. Kafka rebalances only if the choice of protocol
 * changes with it; the leader then is the old id, so that a client that cannot skip the assignment does not make one. */
static void replace_static(struct group *g, struct member *m, struct kafka_request *r)
{
	const struct kafka_join_group_request *q = r->body;
	const char *id = new_member_id(r, q->group_instance_id);
	char *copy = id ? strdup(id) : NULL, *old = m->id;
	enum sm_err err = copy ? group__member_update(g, m, q) : SM_NO_MEMORY;
	if (err) {
		free(copy);
		group__answer_join_error(r, join_error_of(err));
		return;
	}
	m->id = copy;
	struct kafka_request *join = m->join, *sync = m->sync;
	m->join = m->sync = NULL;
	if (join)
		group__answer_join_error(join, KAFKA_FENCED_INSTANCE_ID);
	if (sync)
		group__answer_sync_error(sync, KAFKA_FENCED_INSTANCE_ID);
	const char *protocol = group__select_protocol(g);
	if (g->state == GROUP_STABLE && protocol && g->protocol && strcmp(protocol, g->protocol) == 0) {
		bool leader = m == g->leader, skips = r->version.version >= 9;
		group__member_heard(m);
		g->changed = true;
		answer_join_as(g, m, r, leader && !skips ? old : g->leader->id, leader && skips, leader && skips);
	} else {
		wait_joined(g, m, r);
	}
	free(old);
}

static void ask_to_come_back(struct group *g, struct kafka_request *r)
{
	const struct kafka_join_group_request *q = r->body;
	struct kafka_join_group_response *reply = r->reply;
	if (g->member_count + g->pending_count >= KAFKA_GROUP_MEMBERS_MAX) {
		group__answer_join_error(r, KAFKA_GROUP_MAX_SIZE_REACHED);
		return;
	}
	const char *id = new_member_id(r, r->client_id);
	struct member *m = id ? group__member_new(g, r, id, (struct bytes){0}, true) : NULL;
	if (!m) {
		group__answer_join_error(r, KAFKA_UNKNOWN_SERVER_ERROR);
		return;
	}
	m->deadline_ns = group__after(q->session_timeout_ms);
	reply->error_code = KAFKA_MEMBER_ID_REQUIRED;
	reply->member_id = bytes_str(id);
	group__answer(r);
}

static void join_unknown(struct group *g, struct kafka_request *r)
{
	const struct kafka_join_group_request *q = r->body;
	struct member *m = q->group_instance_id.data ? group__find_instance(g, q->group_instance_id) : NULL;
	if (!protocols_fit(g, m, q))
		group__answer_join_error(r, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	else if (m)
		replace_static(g, m, r);
	else if (q->group_instance_id.data)
		add_and_rebalance(g, new_member_id(r, q->group_instance_id), r);
	else if (r->version.version >= 4)
		ask_to_come_back(g, r);
	else
		add_and_rebalance(g, new_member_id(r, r->client_id), r);
}

static int16_t find_member(const struct group *g, struct bytes id, struct bytes instance, struct member **ret)
{
	struct member *m = instance.data ? group__find_instance(g, instance) : group__find(g, id);
	if (!m)
		return KAFKA_UNKNOWN_MEMBER_ID;
	if (instance.data && !bytes_equal(id, bytes_str(m->id)))
		return KAFKA_FENCED_INSTANCE_ID;
	*ret = m;
	return KAFKA_NONE;
}

static void join_known(struct group *g, struct kafka_request *r)
{
	const struct kafka_join_group_request *q = r->body;
	struct member *m = NULL;
	int16_t error = find_member(g, q->member_id, q->group_instance_id, &m);
	if (!protocols_fit(g, error ? NULL : m, q))
		error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	if (error) {
		group__answer_join_error(r, error);
		return;
	}
	if (m->pending) {
		come_back(g, m, r);
		return;
	}
	bool same = same_protocols(m, q);
	bool now = same && (g->state == GROUP_COMPLETING || (g->state == GROUP_STABLE && m != g->leader));
	if (!now) {
		update_and_rebalance(g, m, r);
		return;
	}
	group__member_heard(m);
	answer_join_as(g, m, r, g->leader->id, g->state == GROUP_COMPLETING && m == g->leader, false);
}

/* ---- SyncGroup ---- */

void group__answer_sync_error(struct kafka_request *r, int16_t error)
{
	((struct kafka_sync_group_response *)r->reply)->error_code = error;
	group__answer(r);
}

void group__answer_sync(struct group *g, struct member *m, struct kafka_request *r)
{
	struct kafka_sync_group_response *reply = r->reply;
	reply->protocol_type = keep_text(r, g->protocol_type);
	reply->protocol_name = keep_text(r, g->protocol);
	reply->assignment = keep(r, m->assignment, m->assignment_size);
	if (m->assignment_size && !reply->assignment.data)
		group__out_of_memory(r);
	else
		group__answer(r);
}

static bool names_differ(struct bytes given, const char *ours)
{
	return given.data && ours && !bytes_equal(given, bytes_str(ours));
}

static int16_t check_member(const struct group *g, int32_t generation, struct bytes id, struct bytes instance, struct member **ret)
{
	int16_t error = find_member(g, id, instance, ret);
	if (!error && (*ret)->pending)
		error = KAFKA_UNKNOWN_MEMBER_ID;
	if (!error && generation != g->generation)
		error = KAFKA_ILLEGAL_GENERATION;
	return error;
}

static void synced(struct group *g, struct member *m)
{
	m->pending_sync = false;
	for (const struct member *other = g->members; other; other = other->next) {
		if (other->pending_sync)
			return;
	}
	g->sync_deadline_ns = 0;
}

/* The leader has assigned: every member gets its part, or nothing. */
static enum sm_err assign(struct group *g, const struct kafka_sync_group_request *q)
{
	for (struct member *m = g->members; m; m = m->next) {
		struct bytes part = {0};
		for (int32_t i = 0; i < q->assignments_count; i++) {
			if (bytes_equal(q->assignments[i].member_id, bytes_str(m->id)))
				part = q->assignments[i].assignment;
		}
		enum sm_err err = group__member_assign(g, m, part);
		if (err)
			return err;
	}
	return SM_OK;
}

static void answer_all_syncs(struct group *g)
{
	for (struct member *m = g->members; m; m = m->next) {
		struct kafka_request *sync = m->sync;
		m->sync = NULL;
		if (!sync)
			continue;
		group__member_heard(m);
		group__answer_sync(g, m, sync);
	}
}

static void sync_waiting(struct group *g, struct member *m, struct kafka_request *r)
{
	struct kafka_request *older = m->sync;
	m->sync = r;
	if (older)
		group__answer_sync_error(older, KAFKA_REBALANCE_IN_PROGRESS);
	synced(g, m);
	if (m != g->leader)
		return;
	enum sm_err err = assign(g, r->body);
	if (err) {
		m->sync = NULL;
		group__answer_sync_error(r, KAFKA_UNKNOWN_SERVER_ERROR);
		group__rebalance(g);
		return;
	}
	group__stable(g);
	answer_all_syncs(g);
}

static void sync_group(struct group *g, struct kafka_request *r)
{
	const struct kafka_sync_group_request *q = r->body;
	struct member *m = NULL;
	int16_t error = check_member(g, q->generation_id, q->member_id, q->group_instance_id, &m);
	if (!error && (names_differ(q->protocol_type, g->protocol_type) || names_differ(q->protocol_name, g->protocol)))
		error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	if (!error && g->state == GROUP_PREPARING)
		error = KAFKA_REBALANCE_IN_PROGRESS;
	if (error) {
		group__answer_sync_error(r, error);
	} else if (g->state == GROUP_COMPLETING) {
		sync_waiting(g, m, r);
	} else {
		synced(g, m);
		group__member_heard(m);
		group__answer_sync(g, m, r);
	}
}

/* ---- Heartbeat, LeaveGroup ---- */

static void heartbeat(struct group *g, struct kafka_request *r)
{
	const struct kafka_heartbeat_request *q = r->body;
	struct kafka_heartbeat_response *reply = r->reply;
	struct member *m = NULL;
	reply->error_code = check_member(g, q->generation_id, q->member_id, q->group_instance_id, &m);
	if (!reply->error_code) {
		group__member_heard(m);
		if (g->state == GROUP_PREPARING)
			reply->error_code = KAFKA_REBALANCE_IN_PROGRESS;
	}
	group__answer(r);
}

/* An administrator removes a static member by its instance alone. */
static int16_t leave_one(struct group *g, struct bytes id, struct bytes instance)
{
	struct member *m = NULL;
	int16_t error = KAFKA_NONE;
	if (instance.data && !id.size)
		m = group__find_instance(g, instance);
	else
		error = find_member(g, id, instance, &m);
	if (!m)
		return error ? error : KAFKA_UNKNOWN_MEMBER_ID;
	group__member_remove(g, m, KAFKA_UNKNOWN_MEMBER_ID);
	return KAFKA_NONE;
}

static void leave_group(struct group *g, struct kafka_request *r)
{
	const struct kafka_leave_group_request *q = r->body;
	struct kafka_leave_group_response *reply = r->reply;
	if (r->version.version < 3) {
		reply->error_code = leave_one(g, q->member_id, (struct bytes){0});
		group__answer(r);
		return;
	}
	reply->members_count = q->members_count; /* groups.c has made room for them */
	for (int32_t i = 0; i < q->members_count; i++)
		reply->members[i].error_code = leave_one(g, q->members[i].member_id, q->members[i].group_instance_id);
	group__answer(r);
}

/* ---- OffsetCommit ---- */

static int16_t may_commit(struct group *g, const struct kafka_offset_commit_request *q)
{
	bool simple = q->generation_id < 0 && !q->member_id.size && !q->group_instance_id.data;
	if (q->generation_id < 0 && g->state == GROUP_EMPTY)
		return KAFKA_NONE;
	if (simple)
		return KAFKA_UNKNOWN_MEMBER_ID; /* the group's members alone commit */
	struct member *m = NULL;
	int16_t error = check_member(g, q->generation_id, q->member_id, q->group_instance_id, &m);
	if (error)
		return error;
	if (g->state == GROUP_COMPLETING)
		return KAFKA_REBALANCE_IN_PROGRESS;
	group__member_heard(m);
	return KAFKA_NONE;
}

/* A transaction's offsets may come without a member's name: then the transaction's own fencing is all there is. */
static int16_t may_commit_txn(struct group *g, const struct kafka_txn_offset_commit_request *q)
{
	if (q->generation_id < 0 && !q->member_id.size && !q->group_instance_id.data)
		return KAFKA_NONE;
	if (q->generation_id < 0 && g->state == GROUP_EMPTY)
		return KAFKA_NONE;
	struct member *m = NULL;
	int16_t error = check_member(g, q->generation_id, q->member_id, q->group_instance_id, &m);
	if (!error)
		group__member_heard(m);
	return error;
}

/* ---- DescribeGroups, DeleteGroups: one group of the request; groups.c goes on with the next ---- */

static struct kafka_described_member describe_member(const struct group *g, const struct member *m, struct kafka_request *r)
{
	const struct member_protocol *p = chosen(g, m);
	bool stable = g->state == GROUP_STABLE;
	return (struct kafka_described_member){
		.member_id = keep_text(r, m->id),
		.group_instance_id = keep_text(r, m->instance),
		.client_id = keep_text(r, m->client_id),
		.client_host = keep_text(r, m->client_host),
		.member_metadata = stable && p ? keep(r, p->metadata, p->metadata_size) : KAFKA_EMPTY,
		.member_assignment = keep(r, m->assignment, m->assignment_size),
	};
}

static void describe(struct group *g, struct kafka_request *r)
{
	struct kafka_described_group *out = kafka__described_group(r);
	out->group_state = bytes_str(group__state_names[g->state]);
	out->protocol_type = g->protocol_type ? keep_text(r, g->protocol_type) : KAFKA_EMPTY;
	out->protocol_data = g->state == GROUP_STABLE ? keep_text(r, g->protocol) : KAFKA_EMPTY;
	out->members = kafka__alloc(r, (size_t)g->member_count, sizeof *out->members);
	if (!out->members) {
		group__out_of_memory(r);
		return;
	}
	for (const struct member *m = g->members; m; m = m->next) {
		if (!m->pending)
			out->members[out->members_count++] = describe_member(g, m, r);
	}
	kafka__resume(r);
}

static void delete_group(struct group *g, struct kafka_request *r)
{
	bool empty = g->state == GROUP_EMPTY && !g->pending_count;
	*kafka__deleted_group_error(r) = empty ? KAFKA_NONE : KAFKA_NON_EMPTY_GROUP;
	if (empty)
		group__end(g);
	kafka__resume(r);
}

/* ---- all of them ---- */

void group__handle(struct group *g, struct kafka_request *r)
{
	const struct kafka_join_group_request *join = r->body;
	if (g->ending) { /* it found us just before we went; the next one finds or makes another */
		kafka__group_refuse(r, KAFKA_COORDINATOR_NOT_AVAILABLE);
		kafka__resume(r);
		return;
	}
	if (r->api->key == KAFKA_CONSUMER_GROUP_HEARTBEAT) {
		group__consumer_heartbeat(g, r);
		return;
	}
	g->used = true;
	if (r->api->key == KAFKA_OFFSET_COMMIT || r->api->key == KAFKA_TXN_OFFSET_COMMIT)
		g->committed_ns = group__now();
	if (g->consumer && r->api->key != KAFKA_CONSUMER_GROUP_DESCRIBE && group__consumer_handle(g, r))
		return;
	switch (r->api->key) {
	case KAFKA_JOIN_GROUP: join->member_id.size ? join_known(g, r) : join_unknown(g, r); break;
	case KAFKA_SYNC_GROUP: sync_group(g, r); break;
	case KAFKA_HEARTBEAT: heartbeat(g, r); break;
	case KAFKA_LEAVE_GROUP: leave_group(g, r); break;
	case KAFKA_OFFSET_COMMIT: kafka__offsets_store(r, may_commit(g, r->body)); break;
	case KAFKA_TXN_OFFSET_COMMIT: kafka__offsets_store(r, may_commit_txn(g, r->body)); break;
	case KAFKA_DESCRIBE_GROUPS: describe(g, r); break;
	case KAFKA_DELETE_GROUPS: delete_group(g, r); break;
	case KAFKA_CONSUMER_GROUP_DESCRIBE: group__consumer_describe(g, r); break;
	case KAFKA_OFFSET_FETCH: kafka__resume(r); break; /* a classic group asks nobody who reads its offsets */
	case KAFKA_OFFSET_DELETE: group__delete_offsets(g, r); break;
	default:
		kafka__group_refuse(r, KAFKA_INVALID_REQUEST);
		kafka__resume(r);
		break;
	}
}
