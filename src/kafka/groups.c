/* Group requests on their way to the coordinators, and those about several groups. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

/* ---- the registry ---- */

static struct kafka_group_entry *entry_new(struct kafka_server *server, const char *id, size_t size)
{
	struct kafka_group_entry *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->server = server;
	e->state = "Empty";
	e->type = "classic";
	e->id = strndup(id, size);
	if (!e->id) {
		free(e);
		return NULL;
	}
	return e;
}

/* Under the lock. */
static enum sm_err make_coordinator(struct kafka_server *server, struct bytes id, struct kafka_group_entry **ret)
{
	if (server->groups_stopped)
		return SM_CLOSED;
	if (server->groups.count >= KAFKA_GROUPS_MAX)
		return SM_TOO_LARGE;
	struct kafka_group_entry *e = entry_new(server, (const char *)id.data, id.size);
	if (!e)
		return SM_NO_MEMORY;
	enum sm_err err = map_put(&server->groups, id, e, NULL);
	struct sm_props props = kafka__group_props;
	props.arg = e;
	atomic_fetch_add(&server->users, 1);
	if (!err && !(err = sm_spawn(server->system, NULL, &props, &e->ref))) {
		*ret = e;
		return SM_OK;
	}
	atomic_fetch_sub(&server->users, 1);
	map_remove(&server->groups, id);
	free(e->id);
	free(e);
	return err;
}

/* Under the lock. A group that was kept has members, or a name at least. */
static bool is_kept(struct kafka_server *server, struct bytes id)
{
	char *text = strndup((const char *)id.data, id.size);
	bool kept = text && kafka__group_kept(server, text);
	free(text);
	return kept;
}

static enum sm_err find_ref(struct kafka_server *server, struct bytes id, enum kafka_group_find find, struct sm_ref **ret)
{
	pthread_mutex_lock(&server->groups_lock);
	struct kafka_group_entry *e = map_get(&server->groups, id);
	enum sm_err err = SM_OK;
	if (!e)
		err = find == GROUP_MAKE || is_kept(server, id) ? make_coordinator(server, id, &e) : SM_NOT_FOUND;
	if (!err)
		*ret = sm_ref_get(e->ref);
	pthread_mutex_unlock(&server->groups_lock);
	return err;
}

enum sm_err kafka__group_begin(struct kafka_server *server, struct bytes id)
{
	struct sm_ref *ref;
	enum sm_err err = find_ref(server, id, GROUP_MAKE, &ref);
	if (!err)
		sm_unref(ref);
	return err;
}

enum sm_err kafka__group_send(struct kafka_request *r, struct bytes id, enum kafka_group_find find)
{
	if (id.size && memchr(id.data, 0, id.size))
		return SM_INVALID;
	enum sm_err err = SM_GONE;
	/* A coordinator that ends leaves the registry first, so a second look finds another, or none. */
	for (int i = 0; i < 3 && err == SM_GONE; i++) {
		struct sm_ref *ref;
		if ((err = find_ref(r->server, id, find, &ref)))
			break;
		kafka__request_ref(r);
		err = sm_send(ref, &r->group_msg.msg);
		if (err)
			kafka__request_unref(r);
		sm_unref(ref);
	}
	return err;
}

enum sm_err kafka__group_tell(struct kafka_server *server, struct bytes id, struct sm_msg *msg)
{
	struct sm_ref *ref;
	enum sm_err err = find_ref(server, id, GROUP_MAKE, &ref);
	if (err)
		return err;
	err = sm_send(ref, msg);
	sm_unref(ref);
	return err;
}

void kafka__groups_stop(struct kafka_server *server)
{
	size_t at = 0;
	void *e;
	struct bytes id;
	pthread_mutex_lock(&server->groups_lock);
	server->groups_stopped = true;
	while (map_next(&server->groups, &at, &id, &e))
		sm_stop(((struct kafka_group_entry *)e)->ref);
	pthread_mutex_unlock(&server->groups_lock);
}

/* ---- requests to one group ---- */

void kafka__group_refuse(struct kafka_request *r, int16_t error)
{
	bool in_turn = r->api->key == KAFKA_DESCRIBE_GROUPS || r->api->key == KAFKA_DELETE_GROUPS ||
		       r->api->key == KAFKA_CONSUMER_GROUP_DESCRIBE || r->api->key == KAFKA_OFFSET_FETCH;
	r->step = in_turn ? r->step : kafka__finish;
	switch (r->api->key) {
	case KAFKA_JOIN_GROUP: {
		struct kafka_join_group_response *reply = r->reply;
		reply->error_code = error;
		reply->member_id = ((struct kafka_join_group_request *)r->body)->member_id;
		break;
	}
	case KAFKA_SYNC_GROUP: ((struct kafka_sync_group_response *)r->reply)->error_code = error; break;
	case KAFKA_HEARTBEAT: ((struct kafka_heartbeat_response *)r->reply)->error_code = error; break;
	case KAFKA_LEAVE_GROUP: ((struct kafka_leave_group_response *)r->reply)->error_code = error; break;
	case KAFKA_OFFSET_COMMIT:
	case KAFKA_TXN_OFFSET_COMMIT: kafka__offsets_refuse(r, error); break;
	case KAFKA_OFFSET_DELETE: {
		struct kafka_offset_delete_response *reply = r->reply;
		reply->error_code = error;
		reply->topics_count = 0;
		break;
	}
	case KAFKA_DESCRIBE_GROUPS: kafka__described_group(r)->error_code = error; break;
	case KAFKA_DELETE_GROUPS: *kafka__deleted_group_error(r) = error; break;
	case KAFKA_CONSUMER_GROUP_HEARTBEAT: ((struct kafka_consumer_group_heartbeat_response *)r->reply)->error_code = error; break;
	case KAFKA_CONSUMER_GROUP_DESCRIBE: kafka__described_consumer_group(r)->error_code = error; break;
	case KAFKA_OFFSET_FETCH: *kafka__fetched_group_error(r) = error; break;
	default: break;
	}
}

int16_t kafka__group_send_error(enum sm_err err, int16_t not_found)
{
	switch (err) {
	case SM_NOT_FOUND: return not_found;
	case SM_INVALID: return KAFKA_INVALID_GROUP_ID;
	case SM_FULL: return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
	default: return KAFKA_COORDINATOR_NOT_AVAILABLE;
	}
}

static void to_group(struct kafka_request *r, struct bytes group, enum kafka_group_find find, int16_t not_found)
{
	enum sm_err err = group.size ? kafka__group_send(r, group, find) : SM_INVALID;
	if (!err)
		return;
	kafka__group_refuse(r, kafka__group_send_error(err, not_found));
	kafka__finish(r);
}

void kafka__join_group(struct kafka_request *r)
{
	const struct kafka_join_group_request *q = r->body;
	bool group_ok = q->group_id.size > 0;
	if (group_ok && (q->session_timeout_ms < KAFKA_SESSION_TIMEOUT_MIN_MS || q->session_timeout_ms > KAFKA_SESSION_TIMEOUT_MAX_MS)) {
		kafka__group_refuse(r, KAFKA_INVALID_SESSION_TIMEOUT);
		kafka__finish(r);
	} else {
		to_group(r, q->group_id, q->member_id.size ? GROUP_FIND : GROUP_MAKE, KAFKA_UNKNOWN_MEMBER_ID);
	}
}

void kafka__sync_group(struct kafka_request *r)
{
	const struct kafka_sync_group_request *q = r->body;
	bool named = r->version.version < 5 || (q->protocol_type.data && q->protocol_name.data);
	if (!named) {
		kafka__group_refuse(r, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
		kafka__finish(r);
	} else {
		to_group(r, q->group_id, GROUP_FIND, KAFKA_UNKNOWN_MEMBER_ID);
	}
}

void kafka__heartbeat(struct kafka_request *r)
{
	to_group(r, ((struct kafka_heartbeat_request *)r->body)->group_id, GROUP_FIND, KAFKA_UNKNOWN_MEMBER_ID);
}

void kafka__leave_group(struct kafka_request *r)
{
	const struct kafka_leave_group_request *q = r->body;
	struct kafka_leave_group_response *reply = r->reply;
	reply->members = kafka__alloc(r, (size_t)q->members_count, sizeof *reply->members);
	if (!reply->members) {
		kafka__abort(r);
		return;
	}
	/* Since version 3 each member has its own error, also when there is no such group. */
	for (int32_t i = 0; i < q->members_count; i++)
		reply->members[i] = (struct kafka_left_member){q->members[i].member_id, q->members[i].group_instance_id,
							       KAFKA_UNKNOWN_MEMBER_ID};
	enum sm_err err = q->group_id.size ? kafka__group_send(r, q->group_id, GROUP_FIND) : SM_INVALID;
	if (!err)
		return;
	if (err == SM_NOT_FOUND && r->version.version >= 3)
		reply->members_count = q->members_count;
	else
		kafka__group_refuse(r, kafka__group_send_error(err, KAFKA_UNKNOWN_MEMBER_ID));
	kafka__finish(r);
}

/* ---- ListGroups ---- */

static bool filtered(const struct bytes *filter, int32_t count, const char *text)
{
	for (int32_t i = 0; i < count; i++) {
		if (filter[i].size == strlen(text) && strncasecmp((const char *)filter[i].data, text, filter[i].size) == 0)
			return false;
	}
	return count > 0;
}

/* false: no memory. */
static bool list_one(struct kafka_request *r, struct map *seen, struct bytes id, const char *state, const char *type,
		     struct bytes protocol_type)
{
	const struct kafka_list_groups_request *q = r->body;
	struct kafka_list_groups_response *reply = r->reply;
	if (map_get(seen, id))
		return true;
	if (map_put(seen, id, r, NULL))
		return false;
	if (filtered(q->states_filter, q->states_filter_count, state) || filtered(q->types_filter, q->types_filter_count, type))
		return true;
	struct kafka_listed_group *g = &reply->groups[reply->groups_count++];
	g->group_id = bytes_of(arena_string(&r->arena, (const char *)id.data, id.size), id.size);
	g->protocol_type = bytes_of(arena_string(&r->arena, (const char *)protocol_type.data, protocol_type.size), protocol_type.size);
	g->group_state = bytes_str(state);
	g->group_type = bytes_str(type);
	return g->group_id.data && g->protocol_type.data;
}

/* The names of groups without a coordinator: those that are kept, and those that have offsets. */
struct names {
	const char *const *names[2];
	uint32_t counts[2];
	void *holds[2];
};

static enum sm_err names_take(struct sm_log *log, struct names *n)
{
	*n = (struct names){0};
	enum sm_err err = log->ops->groups_kept ? log->ops->groups_kept(log, &n->names[0], &n->counts[0], &n->holds[0]) : SM_OK;
	if (!err && log->ops->groups)
		err = log->ops->groups(log, &n->names[1], &n->counts[1], &n->holds[1]);
	return err;
}

static bool list_known(struct kafka_request *r, struct map *seen)
{
	struct kafka_server *server = r->server;
	bool ok = true;
	size_t at = 0;
	struct bytes id;
	void *value;
	pthread_mutex_lock(&server->groups_lock);
	struct kafka_list_groups_response *reply = r->reply;
	size_t room = (size_t)(uintptr_t)r->state + server->groups.count;
	reply->groups = kafka__alloc(r, room, sizeof *reply->groups);
	while (ok && reply->groups && map_next(&server->groups, &at, &id, &value)) {
		const struct kafka_group_entry *e = value;
		ok = list_one(r, seen, id, e->state, e->type, bytes_str(e->protocol_type));
	}
	pthread_mutex_unlock(&server->groups_lock);
	return ok && reply->groups;
}

static void list_run(struct kafka_request *r)
{
	struct kafka_list_groups_response *reply = r->reply;
	struct sm_log *log = r->server->log;
	struct names n;
	struct map seen;
	map_init(&seen);
	enum sm_err err = names_take(log, &n);
	r->state = (void *)(uintptr_t)(n.counts[0] + n.counts[1]); /* room for those beside the registry's */
	bool ok = list_known(r, &seen);
	for (int k = 0; k < 2; k++) {
		for (uint32_t i = 0; ok && !err && i < n.counts[k]; i++) {
			const char *type;
			struct bytes protocol_type;
			if (map_get(&seen, bytes_str(n.names[k][i])))
				continue;
			ok = kafka__group_peek(r->server, n.names[k][i], &r->arena, &type, &protocol_type) &&
			     list_one(r, &seen, bytes_str(n.names[k][i]), "Empty", type, protocol_type);
		}
		if (n.holds[k])
			log->ops->offsets_release(log, n.holds[k]);
	}
	map_done(&seen);
	r->state = ok ? r : NULL;
	if (err == SM_IO) /* some are not known: a client asks again, or another way */
		reply->error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
	else if (err)
		r->state = NULL;
}

static void list_answer(struct kafka_request *r)
{
	if (r->state)
		kafka__finish(r);
	else
		kafka__abort(r);
}

void kafka__list_groups(struct kafka_request *r)
{
	r->step = list_answer;
	kafka__pool(r, list_run);
}

/* ---- DescribeGroups, DeleteGroups: one group after the other ----
 * A group without a coordinator may still have offsets: then it is an empty group. */

struct visit {
	int32_t at;
	void *hold, *kept_hold;
	struct log_group_record *kept; /* what coordinators keep on disk */
	uint32_t kept_count;
	struct log_group_offset *offsets;
	uint32_t offset_count;
	enum sm_err err;
};

static void visit_release(struct kafka_request *r)
{
	struct visit *v = r->state;
	struct sm_log *log = r->server->log;
	if (v->hold)
		log->ops->offsets_release(log, v->hold);
	if (v->kept_hold)
		log->ops->offsets_release(log, v->kept_hold);
	v->hold = v->kept_hold = NULL;
	v->offset_count = v->kept_count = 0;
}

static bool visit_begin(struct kafka_request *r)
{
	r->state = kafka__alloc(r, 1, sizeof(struct visit));
	r->done = r->state ? visit_release : NULL;
	return r->state != NULL;
}

static void visit_offsets(struct kafka_request *r, struct bytes group)
{
	struct visit *v = r->state;
	struct sm_log *log = r->server->log;
	visit_release(r);
	const char *name = kafka__cstr(r, group);
	v->err = name ? log->ops->offsets_list(log, name, &v->offsets, &v->offset_count, &v->hold) : SM_NO_MEMORY;
	if (!v->err && log->ops->group_read)
		v->err = log->ops->group_read(log, name, &v->kept, &v->kept_count, &v->kept_hold);
}

struct kafka_described_group *kafka__described_group(struct kafka_request *r)
{
	return &((struct kafka_describe_groups_response *)r->reply)->groups[((struct visit *)r->state)->at];
}

static void describe_next(struct kafka_request *r);

static void describe_read(struct kafka_request *r)
{
	visit_offsets(r, kafka__described_group(r)->group_id);
}

static void describe_unknown(struct kafka_request *r)
{
	struct visit *v = r->state;
	struct kafka_described_group *out = kafka__described_group(r);
	bool found = !v->err && v->offset_count;
	out->group_state = found ? BYTES("Empty") : BYTES("Dead");
	if (v->err) {
		out->error_code = kafka__error_of(v->err);
	} else if (!found && r->version.version >= 6) {
		out->error_code = KAFKA_GROUP_ID_NOT_FOUND;
		out->authorized_operations = INT32_MIN;
		out->error_message = bytes_str(
			arena_printf(&r->arena, "Group %.*s not found.", (int)out->group_id.size, (const char *)out->group_id.data));
	}
	visit_release(r);
	v->at++;
	describe_next(r);
}

static void described(struct kafka_request *r)
{
	((struct visit *)r->state)->at++;
	describe_next(r);
}

static void describe_next(struct kafka_request *r)
{
	struct kafka_describe_groups_response *reply = r->reply;
	struct visit *v = r->state;
	for (; v->at < reply->groups_count; v->at++) {
		r->step = described;
		enum sm_err err = kafka__group_send(r, kafka__described_group(r)->group_id, GROUP_FIND);
		if (!err)
			return;
		if (err == SM_NOT_FOUND) {
			r->step = describe_unknown;
			kafka__pool(r, describe_read);
			return;
		}
		kafka__group_refuse(r, kafka__group_send_error(err, 0));
	}
	kafka__finish(r);
}

void kafka__describe_groups(struct kafka_request *r)
{
	const struct kafka_describe_groups_request *q = r->body;
	struct kafka_describe_groups_response *reply = r->reply;
	reply->groups = kafka__alloc(r, (size_t)q->groups_count, sizeof *reply->groups);
	if (!reply->groups || !visit_begin(r)) {
		kafka__abort(r);
		return;
	}
	reply->groups_count = q->groups_count;
	for (int32_t i = 0; i < q->groups_count; i++) {
		kafka__defaults(&kafka_layout_described_group, &reply->groups[i]);
		reply->groups[i].group_id = q->groups[i];
		if (q->include_authorized_operations)
			reply->groups[i].authorized_operations = KAFKA_OPERATIONS_GROUP;
	}
	describe_next(r);
}

int16_t *kafka__deleted_group_error(struct kafka_request *r)
{
	return &((struct kafka_delete_groups_response *)r->reply)->results[((struct visit *)r->state)->at].error_code;
}

static struct bytes deleted_group(const struct kafka_request *r)
{
	return ((struct kafka_delete_groups_response *)r->reply)->results[((struct visit *)r->state)->at].group_id;
}

static void delete_next(struct kafka_request *r);

static void delete_done(struct kafka_request *r)
{
	struct visit *v = r->state;
	visit_release(r);
	v->at++;
	delete_next(r);
}

static void all_deleted(void *arg, enum sm_err err)
{
	struct kafka_request *r = arg;
	*kafka__deleted_group_error(r) = kafka__error_of(err);
	kafka__resume(r);
}

/* The offsets are gone: now what a coordinator kept. */
static void delete_kept(struct kafka_request *r)
{
	struct visit *v = r->state;
	struct sm_log *log = r->server->log;
	const char *group = kafka__cstr(r, deleted_group(r));
	if (!group || *kafka__deleted_group_error(r) || !v->kept_count) {
		delete_done(r);
		return;
	}
	for (uint32_t i = 0; i < v->kept_count; i++)
		v->kept[i].value = (struct bytes){0};
	r->step = delete_done;
	log->ops->group_write(log, group, v->kept, v->kept_count, all_deleted, kafka__request_ref(r));
}

static void offsets_deleted(void *arg, enum sm_err err)
{
	struct kafka_request *r = arg;
	*kafka__deleted_group_error(r) = kafka__error_of(err);
	kafka__resume(r);
}

static void delete_read(struct kafka_request *r)
{
	visit_offsets(r, deleted_group(r));
}

/* An offset of -1 takes a committed one back. */
static void delete_offsets(struct kafka_request *r, bool had_coordinator)
{
	struct visit *v = r->state;
	struct sm_log *log = r->server->log;
	const char *group = kafka__cstr(r, deleted_group(r));
	if (v->err || !group) {
		*kafka__deleted_group_error(r) = kafka__error_of(v->err ? v->err : SM_NO_MEMORY);
	} else if (v->offset_count) {
		for (uint32_t i = 0; i < v->offset_count; i++) {
			v->offsets[i].offset = -1;
			v->offsets[i].metadata = NULL;
		}
		r->step = delete_kept;
		log->ops->offsets_commit(log, group, v->offsets, v->offset_count, offsets_deleted, kafka__request_ref(r));
		return;
	} else if (!had_coordinator && !v->kept_count) {
		*kafka__deleted_group_error(r) = KAFKA_GROUP_ID_NOT_FOUND;
	}
	delete_kept(r);
}

static void delete_of_coordinator(struct kafka_request *r)
{
	delete_offsets(r, true);
}
static void delete_of_nobody(struct kafka_request *r)
{
	delete_offsets(r, false);
}

static void coordinator_agreed(struct kafka_request *r)
{
	if (*kafka__deleted_group_error(r)) {
		delete_done(r);
		return;
	}
	r->step = delete_of_coordinator;
	kafka__pool(r, delete_read);
}

static void delete_next(struct kafka_request *r)
{
	struct kafka_delete_groups_response *reply = r->reply;
	struct visit *v = r->state;
	for (; v->at < reply->results_count; v->at++) {
		r->step = coordinator_agreed;
		enum sm_err err = kafka__group_send(r, deleted_group(r), GROUP_FIND);
		if (!err)
			return;
		if (err == SM_NOT_FOUND) {
			r->step = delete_of_nobody;
			kafka__pool(r, delete_read);
			return;
		}
		kafka__group_refuse(r, kafka__group_send_error(err, 0));
	}
	kafka__finish(r);
}

void kafka__delete_groups(struct kafka_request *r)
{
	const struct kafka_delete_groups_request *q = r->body;
	struct kafka_delete_groups_response *reply = r->reply;
	reply->results = kafka__alloc(r, (size_t)q->group_names_count, sizeof *reply->results);
	if (!reply->results || !visit_begin(r)) {
		kafka__abort(r);
		return;
	}
	const uint32_t *firsts = kafka__firsts(r, q->group_names, (uint32_t)q->group_names_count);
	if (!firsts) {
		kafka__abort(r);
		return;
	}
	for (int32_t i = 0; i < q->group_names_count; i++)
		if (firsts[i] == (uint32_t)i)
			reply->results[reply->results_count++].group_id = q->group_names[i];
	delete_next(r);
}
