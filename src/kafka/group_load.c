/* What a coordinator finds of its group in __consumer_offsets (group_store.c says what is there), and the groups that are known from there
 * without a coordinator. A record that cannot be read is passed over with a notice: its member joins again. */
#include "kafka/group_internal.h"
#include "base/logging.h"
#include <stdio.h>
#include <stdlib.h>

enum key_version { KEY_CLASSIC = 2, KEY_CONSUMER = 3, KEY_MEMBER = 5, KEY_TARGETS = 6, KEY_TARGET = 7, KEY_CURRENT = 8 };
enum { VALUE_VERSION_FLEXIBLE = 4, CLASSIC_VALUE_VERSION_MAX = 4 };

struct loading {
	struct group *g;
	struct arena arena;
	const struct log_group_record *items;
	uint32_t count;
	uint64_t now_ns;
	bool lost; /* a member */
};

static uint16_t version_of(const struct log_group_record *r)
{
	return r->key.size >= 2 ? be16_get(r->key.data) : 0;
}

static bool is_ours(uint16_t version)
{
	return version == KEY_CLASSIC || version == KEY_CONSUMER || version == KEY_MEMBER || version == KEY_TARGETS ||
	       version == KEY_TARGET || version == KEY_CURRENT;
}

/* The second name in a key. NULL: it has none, or one that no member has. */
static const char *member_of(struct loading *l, const struct log_group_record *r)
{
	struct byte_reader in = byte_reader(r->key);
	reader_be16(&in);
	reader_take(&in, reader_be16(&in));
	uint16_t size = reader_be16(&in);
	const uint8_t *name = reader_take(&in, size);
	if (in.failed || !size || memchr(name, 0, size))
		return NULL;
	return arena_string(&l->arena, (const char *)name, size);
}

static bool decode_value(struct loading *l, const struct log_group_record *r, const struct kafka_layout *layout, bool classic, void *out)
{
	struct byte_reader in = byte_reader(r->value);
	int16_t version = (int16_t)reader_be16(&in);
	struct kafka_version v = {version, !classic || version >= VALUE_VERSION_FLEXIBLE};
	bool known = version >= 0 && version <= (classic ? CLASSIC_VALUE_VERSION_MAX : 0);
	kafka__defaults(layout, out);
	if (!in.failed && known && kafka__decode(layout, v, &in, &l->arena, out) == SM_OK)
		return true;
	LOG_WARN("kafka",
		 "group %s: a record of what was kept of it (key version %u) is damaged or of an unknown version: it is passed over",
		 l->g->entry->id, version_of(r));
	return false;
}

static const struct log_group_record *find(const struct loading *l, uint16_t version)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (version_of(&l->items[i]) == version)
			return &l->items[i];
	return NULL;
}

static bool has_zero(struct bytes text)
{
	return text.size && memchr(text.data, 0, text.size);
}

static char *copy(struct bytes text)
{
	return text.data ? strndup((const char *)text.data, text.size) : NULL;
}

/* ---- a classic group ---- */

static struct member *classic_member(struct group *g, const struct kafka_group_metadata_member *in, struct bytes protocol)
{
	struct kafka_join_protocol one = {protocol, in->subscription};
	struct kafka_join_group_request q = {.session_timeout_ms = in->session_timeout,
					     .rebalance_timeout_ms = in->rebalance_timeout,
					     .protocols = &one,
					     .protocols_count = 1};
	struct member *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	m->id = copy(in->member_id);
	m->instance = copy(in->group_instance_id);
	m->client_id = copy(in->client_id.data ? in->client_id : KAFKA_EMPTY);
	m->client_host = copy(in->client_host.data ? in->client_host : KAFKA_EMPTY);
	if (m->id && m->client_id && m->client_host && (m->instance || !in->group_instance_id.data) && !group__member_update(g, m, &q) &&
	    !group__member_assign(g, m, in->assignment))
		return m;
	g->bytes -= m->bytes;
	group__member_free(m);
	return NULL;
}

static void load_classic(struct loading *l, const struct log_group_record *r)
{
	struct group *g = l->g;
	struct kafka_group_metadata_value v;
	if (!decode_value(l, r, &kafka_layout_group_metadata_value, true, &v))
		return;
	struct member **at = &g->members;
	for (int32_t i = 0; i < v.members_count; i++) {
		const struct kafka_group_metadata_member *in = &v.members[i];
		bool whole = in->member_id.size && v.protocol.data && !has_zero(in->member_id) && !has_zero(in->group_instance_id) &&
			     !has_zero(v.protocol) && g->member_count < KAFKA_GROUP_MEMBERS_MAX;
		struct member *m = whole ? classic_member(g, in, v.protocol) : NULL;
		if (!m) {
			LOG_WARN("kafka", "group %s: one of its members could not be taken up again: it joins anew", g->entry->id);
			continue;
		}
		group__member_heard(m);
		*at = m;
		at = &m->next;
		g->member_count++;
		if (bytes_equal(v.leader, bytes_str(m->id)))
			g->leader = m;
	}
	g->generation = v.generation;
	g->protocol_type = copy(v.protocol_type);
	g->protocol = g->members ? copy(v.protocol) : NULL;
	g->leader = g->leader ? g->leader : g->members;
	g->state = g->members ? GROUP_STABLE : GROUP_EMPTY;
	g->changed_ms = v.current_state_timestamp;
	g->kept = true;
}

/* ---- a consumer group ---- */

static bool take_topics(const struct kafka_topic_id_partitions *topics, int32_t count, struct partition_set *ret)
{
	size_t all = 0;
	for (int32_t i = 0; i < count; i++)
		all += (size_t)topics[i].partitions_count;
	*ret = (struct partition_set){0};
	if (!all)
		return true;
	if (!(ret->items = malloc(all * sizeof *ret->items)))
		return false;
	for (int32_t i = 0; i < count; i++)
		for (int32_t k = 0; k < topics[i].partitions_count; k++)
			ret->items[ret->count++] = (struct partition_id){topics[i].topic_id, topics[i].partitions[k]};
	partition_set__sort(ret);
	return true;
}

static bool take_classic_side(struct loading *l, const struct kafka_group_classic_member *in, struct consumer_member *m)
{
	struct kafka_join_group_request q = {
		.session_timeout_ms = in->session_timeout_ms,
		.protocols = arena_alloc(&l->arena, ((size_t)in->supported_protocols_count + 1) * sizeof *q.protocols),
		.protocols_count = in->supported_protocols_count};
	for (int32_t i = 0; q.protocols && i < q.protocols_count; i++)
		q.protocols[i] = (struct kafka_join_protocol){in->supported_protocols[i].name, in->supported_protocols[i].metadata};
	m->classic = q.protocols && q.protocols_count > 0 ? group__classic_new(l->g->consumer, &q) : NULL;
	return m->classic != NULL;
}

/* What the member said of itself, said once more. */
static bool take_member(struct loading *l, const char *id, const struct kafka_group_member_value *v)
{
	struct consumer_group *c = l->g->consumer;
	struct kafka_consumer_group_heartbeat_request says = {.instance_id = v->instance_id,
							      .rack_id = v->rack_id,
							      .subscribed_topic_names = v->subscribed_topic_names,
							      .subscribed_topic_names_count = v->subscribed_topic_names_count,
							      .subscribed_topic_regex = v->subscribed_topic_regex,
							      .server_assignor = v->server_assignor};
	struct consumer_call call = {.q = &says,
				     .client_id = v->client_id,
				     .client_host = arena_string(&l->arena, (const char *)v->client_host.data, v->client_host.size),
				     .arena = &l->arena};
	bool zero = has_zero(v->instance_id) || has_zero(v->rack_id) || has_zero(v->subscribed_topic_regex);
	for (int32_t i = 0; i < v->subscribed_topic_names_count; i++)
		zero |= has_zero(v->subscribed_topic_names[i]);
	struct consumer_about about;
	const char *why;
	if (zero || !call.client_host || consumer_about__make(c, NULL, &call, &about, &why))
		return false;
	struct consumer_member *m = consumer_group__add(c);
	if (!m) {
		consumer_about__done(c, &about);
		return false;
	}
	m->about = about;
	m->id = strdup(id);
	m->rebalance_timeout_ms = v->rebalance_timeout_ms;
	bool whole = m->id && (!v->classic_member_metadata || take_classic_side(l, v->classic_member_metadata, m));
	m->deadline_ns = l->now_ns + (m->classic ? (uint64_t)m->classic->session_ms : c->session_ms) * 1000000;
	if (!whole)
		consumer_group__fence(c, m);
	return whole;
}

static int by_key(const void *a, const void *b)
{
	const struct log_group_record *x = a, *y = b;
	size_t size = x->key.size < y->key.size ? x->key.size : y->key.size;
	int order = memcmp(x->key.data, y->key.data, size);
	return order ? order : (x->key.size > y->key.size) - (x->key.size < y->key.size);
}

static void take_record(struct loading *l, const struct log_group_record *r)
{
	struct consumer_group *c = l->g->consumer;
	const char *id = version_of(r) == KEY_TARGET || version_of(r) == KEY_CURRENT ? member_of(l, r) : NULL;
	struct consumer_member *m = id ? consumer_group__find(c, bytes_str(id)) : NULL;
	if (m && version_of(r) == KEY_TARGET) {
		struct kafka_group_target_value v;
		if (decode_value(l, r, &kafka_layout_group_target_value, false, &v))
			(void)!take_topics(v.topic_partitions, v.topic_partitions_count, &m->target);
	} else if (m) {
		struct kafka_group_current_value v;
		if (!decode_value(l, r, &kafka_layout_group_current_value, false, &v))
			return;
		bool whole = v.state >= CONSUMER_STABLE && v.state <= CONSUMER_UNRELEASED &&
			     take_topics(v.assigned_partitions, v.assigned_partitions_count, &m->assigned) &&
			     take_topics(v.partitions_pending_revocation, v.partitions_pending_revocation_count, &m->revoking);
		if (!whole)
			return;
		m->epoch = m->revoke_epoch = v.member_epoch;
		m->previous_epoch = v.previous_member_epoch;
		m->state = (enum consumer_state)v.state;
		if (m->state == CONSUMER_UNREVOKED && !m->classic)
			m->revoke_deadline_ns = l->now_ns + (uint64_t)m->rebalance_timeout_ms * 1000000;
	}
}

static void load_consumer(struct loading *l, const struct log_group_record *r)
{
	struct group *g = l->g;
	struct kafka_group_epoch_value epoch;
	struct kafka_group_targets_value targets = {0};
	const struct log_group_record *t = find(l, KEY_TARGETS);
	if (!decode_value(l, r, &kafka_layout_group_epoch_value, false, &epoch))
		return;
	if (t && !decode_value(l, t, &kafka_layout_group_targets_value, false, &targets))
		targets.assignment_epoch = 0;
	if (!(g->consumer = consumer_group__new()) || !group__see_topics(g, g->consumer)) {
		group__consumer_end(g);
		return;
	}
	for (uint32_t i = 0; i < l->count; i++) {
		struct kafka_group_member_value v;
		const char *id = version_of(&l->items[i]) == KEY_MEMBER ? member_of(l, &l->items[i]) : NULL;
		if (version_of(&l->items[i]) != KEY_MEMBER)
			continue;
		bool whole = id && decode_value(l, &l->items[i], &kafka_layout_group_member_value, false, &v) && take_member(l, id, &v);
		if (!whole)
			LOG_WARN("kafka", "group %s: member %s could not be taken up again: it joins anew", g->entry->id, id ? id : "?");
		l->lost |= !whole;
	}
	for (uint32_t i = 0; i < l->count; i++)
		take_record(l, &l->items[i]);
	struct consumer_group *c = g->consumer;
	c->epoch = epoch.epoch;
	c->target_epoch = targets.assignment_epoch;
	/* Topics that have changed since, and members that are lost, ask for new targets. */
	bool same = !l->lost && consumer_group__settle(c) == SM_OK && group__topics_hash(c) == epoch.metadata_hash;
	if (!same) {
		c->stale = true;
		c->epoch++;
	}
	g->changed = !same;
}

/* ---- a coordinator begins ---- */

void group__load(struct group *g)
{
	struct sm_log *log = g->server->log;
	struct log_group_record *items;
	void *hold;
	struct loading l = {.g = g, .now_ns = group__now()};
	if (!log->ops->group_read || log->ops->group_read(log, g->entry->id, &items, &l.count, &hold))
		return;
	if (l.count)
		qsort(items, l.count, sizeof *items, by_key);
	l.items = items;
	arena_init(&l.arena, 0);
	for (uint32_t i = 0; i < l.count; i++) {
		g->used = true;
		/* What it is is not looked up: it is written again when something changes. */
		if (is_ours(version_of(&items[i])))
			(void)!map_put(&g->stored, items[i].key, (void *)1, NULL);
	}
	const struct log_group_record *consumer = find(&l, KEY_CONSUMER), *classic = find(&l, KEY_CLASSIC);
	if (consumer)
		load_consumer(&l, consumer);
	else if (classic)
		load_classic(&l, classic);
	arena_done(&l.arena);
	log->ops->offsets_release(log, hold);
	if (l.count)
		group__show(g);
}

bool kafka__group_kept(struct kafka_server *server, const char *id)
{
	struct log_group_record *items;
	uint32_t count = 0;
	void *hold = NULL;
	if (!server->log->ops->group_read || server->log->ops->group_read(server->log, id, &items, &count, &hold))
		return false;
	server->log->ops->offsets_release(server->log, hold);
	return count > 0;
}

bool kafka__group_peek(struct kafka_server *server, const char *id, struct arena *arena, const char **ret_type,
		       struct bytes *ret_protocol_type)
{
	struct log_group_record *items;
	uint32_t count = 0;
	void *hold = NULL;
	*ret_type = "classic";
	*ret_protocol_type = KAFKA_EMPTY;
	if (!server->log->ops->group_read || server->log->ops->group_read(server->log, id, &items, &count, &hold))
		return true;
	for (uint32_t i = 0; i < count; i++) {
		struct byte_reader in = byte_reader(items[i].value);
		int version = reader_be16(&in);
		if (version_of(&items[i]) == KEY_CONSUMER) {
			*ret_type = "consumer";
			*ret_protocol_type = BYTES("consumer");
			break;
		}
		if (version_of(&items[i]) != KEY_CLASSIC)
			continue;
		size_t size = version >= VALUE_VERSION_FLEXIBLE ? (size_t)reader_uvarint(&in) - 1 : reader_be16(&in);
		const uint8_t *text = reader_take(&in, size);
		if (!in.failed)
			*ret_protocol_type = bytes_of(arena_string(arena, (const char *)text, size), size);
	}
	server->log->ops->offsets_release(server->log, hold);
	return ret_protocol_type->data != NULL;
}

/* ---- all of them, at the start ---- */

static bool classic_has_members(struct bytes value)
{
	struct arena arena;
	struct kafka_group_metadata_value v;
	struct byte_reader in = byte_reader(value);
	int16_t version = (int16_t)reader_be16(&in);
	arena_init(&arena, 0);
	kafka__defaults(&kafka_layout_group_metadata_value, &v);
	bool some = !in.failed && version >= 0 && version <= CLASSIC_VALUE_VERSION_MAX &&
		    kafka__decode(&kafka_layout_group_metadata_value, (struct kafka_version){version, version >= VALUE_VERSION_FLEXIBLE},
				  &in, &arena, &v) == SM_OK &&
		    v.members_count > 0;
	arena_done(&arena);
	return some;
}

static bool has_members(struct kafka_server *server, const char *id)
{
	struct log_group_record *items;
	uint32_t count = 0;
	void *hold = NULL;
	bool found = false;
	if (server->log->ops->group_read(server->log, id, &items, &count, &hold))
		return false;
	for (uint32_t i = 0; i < count && !found; i++)
		found = version_of(&items[i]) == KEY_MEMBER ||
			(version_of(&items[i]) == KEY_CLASSIC && classic_has_members(items[i].value));
	server->log->ops->offsets_release(server->log, hold);
	return found;
}

enum sm_err kafka__groups_start(struct kafka_server *server, struct sm_error *reterr)
{
	const char *const *names;
	uint32_t count;
	void *hold;
	struct sm_log *log = server->log;
	if (!log->ops->groups_kept)
		return SM_OK;
	enum sm_err err = log->ops->groups_kept(log, &names, &count, &hold);
	if (err)
		return sm_fail(reterr, err, "kafka: the groups that were kept cannot be read: %s", sm_err_text(err));
	for (uint32_t i = 0; i < count && !err; i++) {
		if (!has_members(server, names[i]))
			continue;
		err = kafka__group_begin(server, bytes_str(names[i]));
		if (err == SM_TOO_LARGE) { /* further ones begin when somebody asks for them */
			err = SM_OK;
			break;
		}
	}
	log->ops->offsets_release(log, hold);
	return err ? sm_fail(reterr, err, "kafka: the groups that were kept cannot go on: %s", sm_err_text(err)) : SM_OK;
}
