/* Groups whose clients are changed over from one protocol to the other: classic members in a consumer group, and groups that become one of
 * the other kind with members in them.
 *
 * Source: KIP-848, "Online migration"; the consumer protocol that classic members carry in their metadata (versions 0 to 3). */
#include "kafka/group_internal.h"
#include <stdlib.h>

enum { PROTOCOL_VERSION_MAX = 3 };

/* ---- what classic members carry ---- */

/* A newer version begins like the newest that is known. False: it is damaged. */
static bool decode(struct arena *arena, const struct kafka_layout *layout, struct bytes data, void *ret)
{
	struct byte_reader in = byte_reader(data);
	int16_t version = (int16_t)reader_be16(&in);
	struct kafka_version v = {version < PROTOCOL_VERSION_MAX ? version : PROTOCOL_VERSION_MAX, false};
	return !in.failed && version >= 0 && kafka__decode(layout, v, &in, arena, ret) == SM_OK;
}

static bool decode_subscription(struct arena *arena, struct bytes data, struct kafka_consumer_subscription *ret)
{
	if (!decode(arena, &kafka_layout_consumer_subscription, data, ret))
		return false;
	bool zero = ret->rack_id.size && memchr(ret->rack_id.data, 0, ret->rack_id.size);
	for (int32_t i = 0; i < ret->topics_count; i++)
		zero |= ret->topics[i].size && memchr(ret->topics[i].data, 0, ret->topics[i].size);
	return !zero;
}

static const struct log_topic *topic_named(const struct log_topics *topics, struct arena *arena, struct bytes name)
{
	const char *text = name.size ? arena_string(arena, (const char *)name.data, name.size) : NULL;
	return text ? log_topics_find(topics, text) : NULL;
}

/* Partitions by topic name as partitions by id; topics that are gone are left out. */
static enum sm_err set_of(const struct log_topics *topics, struct arena *arena, const struct kafka_consumer_topic_partitions *parts,
			  int32_t count, struct partition_set *ret)
{
	size_t most = 0;
	for (int32_t i = 0; i < count; i++)
		most += (size_t)parts[i].partitions_count;
	if (most > KAFKA_CONSUMER_OWNED_MAX)
		return SM_CORRUPT;
	*ret = (struct partition_set){malloc((most + 1) * sizeof *ret->items), 0};
	if (!ret->items)
		return SM_NO_MEMORY;
	for (int32_t i = 0; i < count; i++) {
		const struct log_topic *topic = topic_named(topics, arena, parts[i].topic);
		for (int32_t k = 0; topic && k < parts[i].partitions_count; k++)
			ret->items[ret->count++] = (struct partition_id){topic->id, parts[i].partitions[k]};
	}
	partition_set__sort(ret);
	return SM_OK;
}

static const struct log_topic *topic_of(const struct log_topics *topics, const struct uuid *id)
{
	for (uint32_t i = 0; i < topics->count; i++) {
		if (memcmp(&topics->items[i].id, id, sizeof *id) == 0)
			return &topics->items[i];
	}
	return NULL;
}

/* The set as a classic member reads it, in the version that it speaks. */
static enum sm_err encode_assignment(const struct log_topics *topics, const struct partition_set *set,
				     const struct member_protocol *protocol, struct arena *arena, struct buf *out)
{
	struct kafka_consumer_classic_assignment a = {
		.assigned_partitions = arena_alloc(arena, (set->count + 1) * sizeof *a.assigned_partitions)};
	int32_t *numbers = arena_alloc(arena, (set->count + 1) * sizeof *numbers);
	if (!a.assigned_partitions || !numbers)
		return SM_NO_MEMORY;
	const struct log_topic *topic = NULL;
	for (uint32_t i = 0; i < set->count; i++) {
		bool next = i == 0 || memcmp(&set->items[i].topic, &set->items[i - 1].topic, sizeof(struct uuid)) != 0;
		if (next && (topic = topic_of(topics, &set->items[i].topic)))
			a.assigned_partitions[a.assigned_partitions_count++] = (struct kafka_consumer_topic_partitions){
				bytes_str(topic->name), &numbers[i], 0};
		if (!topic)
			continue;
		numbers[i] = set->items[i].partition;
		a.assigned_partitions[a.assigned_partitions_count - 1].partitions_count++;
	}
	int16_t version = protocol->metadata_size >= 2 ? (int16_t)be16_get(protocol->metadata) : 0;
	version = version < 0 ? 0 : version < PROTOCOL_VERSION_MAX ? version : PROTOCOL_VERSION_MAX;
	struct kafka_writer w = {.out = out, .arena = arena};
	buf_be16(out, (uint16_t)version);
	return kafka__encode(&kafka_layout_consumer_classic_assignment, (struct kafka_version){version, false}, &a, &w);
}

/* ---- a consumer group becomes a classic group ---- */

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static bool all_classic(const struct consumer_group *c)
{
	const struct consumer_member *m = c->members;
	while (m && m->classic)
		m = m->next;
	return c->members && !m;
}

/* out takes the member's protocols. */
static enum sm_err fill_member(struct group *g, struct member *out, struct consumer_member *m)
{
	struct arena arena;
	struct buf assignment;
	arena_init(&arena, 0);
	buf_init(&assignment);
	enum sm_err err = encode_assignment(g->topics, &m->target, &m->classic->protocols[0], &arena, &assignment);
	if (!err)
		err = group__member_assign(g, out, buf_bytes(&assignment));
	buf_done(&assignment);
	arena_done(&arena);
	out->id = copy(m->id);
	out->instance = copy(m->about.instance);
	out->client_id = copy(m->about.client_id);
	out->client_host = copy(m->about.client_host);
	out->session_timeout_ms = m->classic->session_ms;
	out->rebalance_timeout_ms = m->rebalance_timeout_ms;
	out->protocols = m->classic->protocols;
	out->protocol_count = m->classic->protocol_count;
	out->bytes += m->classic->bytes;
	g->bytes += m->classic->bytes;
	m->classic->protocols = NULL;
	m->classic->protocol_count = 0;
	group__member_heard(out);
	bool whole = out->id && out->client_id && out->client_host && (out->instance || !m->about.instance);
	return whole ? err : SM_NO_MEMORY;
}

/* Whom there is no memory for will be unknown, and joins anew. */
static void downgrade(struct group *g, int32_t generation, bool rebalance)
{
	struct member **at = &g->members;
	for (struct consumer_member *m = g->consumer->members; m; m = m->next) {
		struct member *out = calloc(1, sizeof *out);
		if (out && fill_member(g, out, m) == SM_OK) {
			*at = out;
			at = &out->next;
			g->member_count++;
		} else if (out) {
			g->bytes -= out->bytes;
			group__member_free(out);
		}
	}
	g->kept = g->changed = true;
	g->generation = generation;
	g->protocol_type = copy("consumer");
	group__consumer_end(g);
	g->leader = g->members;
	const char *protocol = group__select_protocol(g);
	g->protocol = copy(protocol);
	if (g->members)
		g->state = GROUP_STABLE;
	group__show(g);
	if (g->members && (rebalance || !g->protocol))
		group__rebalance(g);
}

void group__consumer_left(struct group *g, int32_t epoch)
{
	if (all_classic(g->consumer))
		downgrade(g, epoch, true);
	else
		group__show(g);
}

/* ---- requests of classic members ---- */

static bool names(const struct consumer_classic *classic, struct bytes protocol)
{
	for (int32_t i = 0; i < classic->protocol_count; i++) {
		if (bytes_equal(protocol, bytes_str(classic->protocols[i].name)))
			return true;
	}
	return false;
}

/* Some protocol of the join's is common to all classic members. */
static bool protocols_fit(const struct consumer_group *c, const struct kafka_join_group_request *q)
{
	bool fit = false;
	for (int32_t i = 0; i < q->protocols_count && !fit; i++) {
		fit = q->protocols[i].name.size && !memchr(q->protocols[i].name.data, 0, q->protocols[i].name.size);
		for (const struct consumer_member *m = c->members; m && fit; m = m->next)
			fit = !m->classic || names(m->classic, q->protocols[i].name);
	}
	return fit && bytes_equal(q->protocol_type, BYTES("consumer"));
}

struct consumer_classic *group__classic_new(struct consumer_group *c, const struct kafka_join_group_request *q)
{
	struct consumer_classic *classic = calloc(1, sizeof *classic);
	if (!classic)
		return NULL;
	classic->session_ms = q->session_timeout_ms;
	classic->protocols = member_protocols__copy(q);
	if (!classic->protocols) {
		free(classic);
		return NULL;
	}
	classic->protocol_count = q->protocols_count;
	for (int32_t i = 0; i < q->protocols_count; i++)
		classic->bytes += q->protocols[i].name.size + q->protocols[i].metadata.size;
	c->bytes += classic->bytes;
	return classic;
}

static const char *new_id(struct kafka_request *r)
{
	struct uuid id;
	char text[37];
	uuid_random(&id);
	uuid_format(&id, text);
	return arena_string(&r->arena, text, strlen(text));
}

/* The partitions that it says it owns, as a heartbeat tells them. */
static enum sm_err tell_owned(struct kafka_request *r, const struct consumer_group *c, const struct kafka_consumer_subscription *s,
			      struct kafka_consumer_group_heartbeat_request *q)
{
	q->topic_partitions = kafka__alloc(r, (size_t)s->owned_partitions_count, sizeof *q->topic_partitions);
	if (!q->topic_partitions)
		return SM_NO_MEMORY;
	for (int32_t i = 0; i < s->owned_partitions_count; i++) {
		const struct log_topic *topic = topic_named(c->topics, &r->arena, s->owned_partitions[i].topic);
		if (topic)
			q->topic_partitions[q->topic_partitions_count++] = (struct kafka_topic_id_partitions){
				topic->id, s->owned_partitions[i].partitions, s->owned_partitions[i].partitions_count};
	}
	return SM_OK;
}

static void fill_joined(struct kafka_request *r, struct consumer_member *m)
{
	struct kafka_join_group_response *reply = r->reply;
	reply->generation_id = m->epoch;
	reply->protocol_type = BYTES("consumer");
	reply->protocol_name = kafka__text(arena_string(&r->arena, m->classic->protocols[0].name, strlen(m->classic->protocols[0].name)));
	reply->leader = KAFKA_EMPTY; /* nobody: the server assigns */
	reply->member_id = kafka__text(arena_string(&r->arena, m->id, strlen(m->id)));
	m->classic->join_deadline_ns = 0;
	m->classic->sync_deadline_ns = group__after(m->rebalance_timeout_ms);
}

static int16_t join(struct group *g, struct kafka_request *r, const char *id, struct consumer_answer *a)
{
	const struct kafka_join_group_request *q = r->body;
	struct consumer_group *c = g->consumer;
	struct kafka_consumer_subscription s;
	struct kafka_consumer_group_heartbeat_request says = {
		.group_id = q->group_id, .member_id = kafka__text(id), .instance_id = q->group_instance_id};
	struct consumer_call call = {.q = &says,
				     .named = q->member_id.size > 0,
				     .client_id = r->client_id,
				     .client_host = group__client_host(r),
				     .now_ns = group__now(),
				     .arena = &r->arena};
	if (!decode_subscription(&r->arena, q->protocols[0].metadata, &s))
		return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	if (!id || !call.client_host || !group__see_topics(g, c) || tell_owned(r, c, &s, &says) ||
	    !(call.classic = group__classic_new(c, q)))
		return KAFKA_UNKNOWN_SERVER_ERROR;
	says.rebalance_timeout_ms = q->rebalance_timeout_ms < 0 ? q->session_timeout_ms : q->rebalance_timeout_ms;
	says.subscribed_topic_names = s.topics;
	says.subscribed_topic_names_count = s.topics_count;
	says.rack_id = s.rack_id.size ? s.rack_id : (struct bytes){0};
	consumer_group__heartbeat(c, &call, a);
	if (!a->taken)
		consumer_classic__free(c, call.classic);
	return a->error;
}

void group__classic_join(struct group *g, struct kafka_request *r)
{
	const struct kafka_join_group_request *q = r->body;
	struct kafka_join_group_response *reply = r->reply;
	bool unknown = !q->member_id.size;
	const char *id = unknown ? new_id(r) : kafka__cstr(r, q->member_id);
	struct consumer_answer a = {0};
	int32_t epoch = g->consumer->epoch;
	int16_t error = KAFKA_NONE;
	if (!protocols_fit(g->consumer, q)) {
		error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	} else if (unknown && !q->group_instance_id.data && r->version.version >= 4) {
		reply->error_code = KAFKA_MEMBER_ID_REQUIRED;
		reply->member_id = kafka__text(id);
		group__answer(r);
		return;
	} else {
		error = join(g, r, id, &a);
	}
	if (!error)
		fill_joined(r, consumer_group__find(g->consumer, bytes_str(a.member->id)));
	/* It may have taken the place of the last member of the new protocol. */
	if (!error && all_classic(g->consumer))
		downgrade(g, g->consumer->epoch, g->consumer->epoch != epoch);
	group__show(g);
	if (error)
		group__answer_join_error(r, error);
	else
		group__answer(r);
}

static int16_t find(const struct consumer_group *c, struct bytes id, struct bytes instance, int32_t generation,
		    struct consumer_member **ret)
{
	struct consumer_member *m = *ret = instance.data ? consumer_group__find_instance(c, instance) : consumer_group__find(c, id);
	if (m && instance.data && !bytes_equal(id, bytes_str(m->id)))
		return KAFKA_FENCED_INSTANCE_ID;
	if (!m || !m->classic)
		return KAFKA_UNKNOWN_MEMBER_ID;
	return m->epoch == generation ? KAFKA_NONE : KAFKA_ILLEGAL_GENERATION;
}

static void hear(struct consumer_member *m)
{
	m->deadline_ns = group__after(m->classic->session_ms);
}

/* It is told to join again, and has its rebalance timeout to do so. */
static void await_join(struct consumer_member *m)
{
	if (!m->classic->join_deadline_ns)
		m->classic->join_deadline_ns = group__after(m->rebalance_timeout_ms);
}

void group__classic_sync(struct group *g, struct kafka_request *r)
{
	const struct kafka_sync_group_request *q = r->body;
	struct kafka_sync_group_response *reply = r->reply;
	struct consumer_member *m;
	struct buf out;
	int16_t error = find(g->consumer, q->member_id, q->group_instance_id, q->generation_id, &m);
	if (!error && ((q->protocol_type.data && !bytes_equal(q->protocol_type, BYTES("consumer"))) ||
		       (q->protocol_name.data && !bytes_equal(q->protocol_name, bytes_str(m->classic->protocols[0].name)))))
		error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	if (!error && g->consumer->epoch > m->epoch && m->state != CONSUMER_UNREVOKED) {
		await_join(m);
		error = KAFKA_REBALANCE_IN_PROGRESS;
	}
	if (error) {
		group__refuse(r, error);
		return;
	}
	m->classic->sync_deadline_ns = 0;
	hear(m);
	buf_init(&out);
	enum sm_err err = encode_assignment(g->topics, &m->assigned, &m->classic->protocols[0], &r->arena, &out);
	const void *copy = err ? NULL : arena_copy(&r->arena, out.data, buf_size(&out));
	reply->protocol_type = q->protocol_type;
	reply->protocol_name = q->protocol_name;
	reply->assignment = bytes_of(copy, buf_size(&out));
	buf_done(&out);
	if (copy)
		group__answer(r);
	else
		group__refuse(r, KAFKA_UNKNOWN_SERVER_ERROR);
}

void group__classic_heartbeat(struct group *g, struct kafka_request *r)
{
	const struct kafka_heartbeat_request *q = r->body;
	struct consumer_member *m;
	int16_t error = find(g->consumer, q->member_id, q->group_instance_id, q->generation_id, &m);
	if (!error)
		hear(m);
	if (!error && consumer_group__must_rejoin(g->consumer, m)) {
		await_join(m);
		error = KAFKA_REBALANCE_IN_PROGRESS;
	}
	group__refuse(r, error);
}

static const struct member_protocol *chosen(const struct group *g, const struct member *m)
{
	for (int32_t i = 0; g->protocol && i < m->protocol_count; i++) {
		if (strcmp(m->protocols[i].name, g->protocol) == 0)
			return &m->protocols[i];
	}
	return &m->protocols[0];
}

bool group__is_unsubscribed(const struct group *g, const char *topic)
{
	struct arena arena;
	bool known = g->protocol_type && strcmp(g->protocol_type, "consumer") == 0 && g->protocol, subscribed = false;
	arena_init(&arena, 0);
	for (const struct member *m = g->members; m && known && !subscribed; m = m->next) {
		struct kafka_consumer_subscription s;
		const struct member_protocol *p = m->pending ? NULL : chosen(g, m);
		if (!p)
			continue;
		known = decode_subscription(&arena, bytes_of(p->metadata, p->metadata_size), &s);
		for (int32_t i = 0; known && i < s.topics_count; i++)
			subscribed |= bytes_equal(s.topics[i], bytes_str(topic));
	}
	arena_done(&arena);
	return known && !subscribed;
}

/* ---- a classic group becomes a consumer group ---- */

/* What the member said when it joined, said once more. */
static struct kafka_join_group_request *join_of(struct kafka_request *r, const struct member *m)
{
	struct kafka_join_group_request *q = kafka__alloc(r, 1, sizeof *q);
	if (!q || !(q->protocols = kafka__alloc(r, (size_t)m->protocol_count, sizeof *q->protocols)))
		return NULL;
	q->session_timeout_ms = m->session_timeout_ms;
	q->protocols_count = m->protocol_count;
	for (int32_t i = 0; i < m->protocol_count; i++) {
		q->protocols[i].name = bytes_str(m->protocols[i].name);
		q->protocols[i].metadata = bytes_of(m->protocols[i].metadata, m->protocols[i].metadata_size);
	}
	return q;
}

/* SM_CORRUPT: what it carries is damaged. SM_UNSUPPORTED: an assignor of its own keeps data there. */
static enum sm_err take_assignment(struct kafka_request *r, const struct consumer_group *c, const struct member *m,
				   struct consumer_member *out)
{
	static const struct partition_set none;
	struct kafka_consumer_classic_assignment a = {0};
	if (m->assignment_size &&
	    !decode(&r->arena, &kafka_layout_consumer_classic_assignment, bytes_of(m->assignment, m->assignment_size), &a))
		return SM_CORRUPT;
	if (a.user_data.size)
		return SM_UNSUPPORTED;
	enum sm_err err = set_of(c->topics, &r->arena, a.assigned_partitions, a.assigned_partitions_count, &out->assigned);
	return err ? err : partition_set__make(&out->assigned, SET_EITHER, &none, &out->target);
}

static enum sm_err upgrade_member(struct group *g, struct kafka_request *r, struct consumer_group *c, const struct member *m)
{
	const struct member_protocol *p = chosen(g, m);
	struct kafka_consumer_subscription s;
	if (!decode_subscription(&r->arena, bytes_of(p->metadata, p->metadata_size), &s))
		return SM_CORRUPT;
	struct kafka_consumer_group_heartbeat_request says = {.instance_id = kafka__text(m->instance),
							      .rack_id = s.rack_id.size ? s.rack_id : (struct bytes){0},
							      .subscribed_topic_names = s.topics,
							      .subscribed_topic_names_count = s.topics_count};
	struct consumer_call call = {.q = &says, .client_id = bytes_str(m->client_id), .client_host = m->client_host, .arena = &r->arena};
	struct kafka_join_group_request *q = join_of(r, m);
	struct consumer_member *out = q ? consumer_group__add(c) : NULL;
	const char *why;
	if (!out)
		return SM_NO_MEMORY;
	out->id = strdup(m->id);
	out->classic = group__classic_new(c, q);
	enum sm_err err = out->id && out->classic ? consumer_about__make(c, NULL, &call, &out->about, &why) : SM_NO_MEMORY;
	out->rebalance_timeout_ms = m->rebalance_timeout_ms;
	out->epoch = out->previous_epoch = g->generation;
	out->deadline_ns = group__after(m->session_timeout_ms);
	return err ? err : take_assignment(r, c, m, out);
}

static const char *why_not(enum sm_err err)
{
	switch (err) {
	case SM_CORRUPT: return "the embedded consumer protocol is malformed";
	case SM_UNSUPPORTED:
		return "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default "
		       "assignor before re-attempting the upgrade";
	case SM_NOT_FOUND: return "the group does not use the consumer embedded protocol";
	default: return "the server is out of memory";
	}
}

struct consumer_group *group__upgraded(struct group *g, struct kafka_request *r, int16_t *ret_error, const char **ret_text)
{
	const struct kafka_consumer_group_heartbeat_request *q = r->body;
	bool fits = g->protocol_type && strcmp(g->protocol_type, "consumer") == 0;
	struct consumer_group *c = fits ? consumer_group__new() : NULL;
	enum sm_err err = !fits ? SM_NOT_FOUND : c && group__see_topics(g, c) ? SM_OK : SM_NO_MEMORY;
	for (const struct member *m = g->members; m && !err; m = m->next) {
		if (!m->pending)
			err = upgrade_member(g, r, c, m);
	}
	if (!err)
		err = consumer_group__settle(c);
	if (!err) {
		c->epoch = c->target_epoch = g->generation;
		return c;
	}
	consumer_group__free(c);
	*ret_error = err == SM_NO_MEMORY ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_GROUP_ID_NOT_FOUND;
	*ret_text = arena_printf(&r->arena, "Cannot upgrade classic group %.*s to consumer group because %s.", TEXT(q->group_id),
				 why_not(err));
	return NULL;
}
