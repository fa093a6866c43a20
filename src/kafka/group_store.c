/* What a coordinator keeps of its group on disk: records of __consumer_offsets in Kafka's own layouts, so that members go on after a
 * restart.
 *
 *   key version  of                                       value
 *   2            a classic group                          group_metadata_value, in version 3
 *   3            a consumer group (KIP-848)               its epoch
 *   5, 7, 8      each of its members (with the member id) what it says of itself; its target; what it has and gives back
 *   6            its targets                              their epoch
 *
 * Source: Kafka's GroupMetadataKey.json, ConsumerGroupMemberMetadataValue.json and the like; values begin with their version.
 *
 * After each message that changed something all of the group's records are made anew and compared with what was written: what differs is
 * written, what is no more gets a tombstone. Answers leave when the write that goes before them is on disk. Records of other versions
 * (Kafka's resolved patterns, other kinds of groups) are left as they are. */
#include "kafka/group_internal.h"
#include "base/hash.h"
#include "base/logging.h"
#include <assert.h>
#include <stdlib.h>

enum key_version { KEY_CLASSIC = 2, KEY_CONSUMER = 3, KEY_MEMBER = 5, KEY_TARGETS = 6, KEY_TARGET = 7, KEY_CURRENT = 8 };
#define CLASSIC_VALUE_VERSION 3
#define WRITTEN_UNKNOWN ((void *)1) /* a write failed: what is on disk is not known */

/* ---- answers and writes under way ---- */

struct group_save {
	struct sm_msg msg;
	struct group_save *next;
	struct kafka_server *server; /* a user of it */
	struct sm_ref *to;
	struct kafka_request *answers, **tail;
	enum sm_err err;
};

static void resume_all(struct kafka_request *r)
{
	while (r) {
		struct kafka_request *next = r->group_next;
		kafka__resume(r);
		r = next;
	}
}

static void save_end(struct group_save *s)
{
	struct kafka_server *server = s->server;
	resume_all(s->answers);
	sm_unref(s->to);
	free(s);
	atomic_fetch_sub(&server->users, 1);
}

static void save_msg_done(struct sm_msg *msg)
{
	save_end((struct group_save *)msg);
}
const struct sm_msg_type group__saved_type = {"group saved", save_msg_done};

static void written(void *arg, enum sm_err err)
{
	struct group_save *s = arg;
	s->err = err;
	if (sm_send_reply(s->to, &s->msg))
		save_end(s);
}

void group__saved(struct group *g, struct sm_msg *msg)
{
	struct group_save *s = (struct group_save *)msg, **at = &g->saves;
	while (*at && *at != s)
		at = &(*at)->next;
	assert(*at);
	*at = s->next;
	if (s->err == SM_TOO_LARGE) {
		LOG_WARN("kafka", "group %s is too large to be kept: its members join again after a restart", g->entry->id);
	} else if (s->err) {
		LOG_WARN("kafka", "group %s: its state cannot be written: %s", g->entry->id, sm_err_text(s->err));
		for (struct kafka_request *r = s->answers; r; r = r->group_next)
			kafka__group_refuse(r, KAFKA_COORDINATOR_NOT_AVAILABLE);
		size_t pos = 0;
		struct bytes key;
		void *value;
		while (map_next(&g->stored, &pos, &key, &value))
			(void)!map_put(&g->stored, key, WRITTEN_UNKNOWN, NULL); /* it is there: needs no memory */
		g->rewrite = true;
	}
	save_end(s);
}

void group__reply(struct kafka_request *r)
{
	struct group *g = r->coordinator;
	r->group_next = NULL;
	*g->answers_tail = r;
	g->answers_tail = &r->group_next;
}

void group__answers_flush(struct group *g)
{
	struct kafka_request *answers = g->answers;
	g->answers = NULL;
	g->answers_tail = &g->answers;
	resume_all(answers);
}

/* ---- the records of a group ---- */

struct records {
	struct arena arena;
	struct log_group_record *items;
	uint32_t count, cap;
	bool failed;
};

static void key_put(struct buf *out, uint16_t version, const char *group, const char *member)
{
	buf_be16(out, version);
	buf_be16(out, (uint16_t)strlen(group));
	buf_append_str(out, group);
	if (!member)
		return;
	buf_be16(out, (uint16_t)strlen(member));
	buf_append_str(out, member);
}

static void push(struct records *all, struct bytes key, struct bytes value)
{
	if (all->count == all->cap) {
		uint32_t cap = all->cap ? 2 * all->cap : 16;
		struct log_group_record *more = arena_alloc(&all->arena, cap * sizeof *more);
		if (!more) {
			all->failed = true;
			return;
		}
		if (all->count)
			memcpy(more, all->items, all->count * sizeof *more);
		all->items = more;
		all->cap = cap;
	}
	all->items[all->count++] = (struct log_group_record){key, value};
}

static struct bytes keep(struct records *all, struct buf *b)
{
	struct bytes in = buf_bytes(b);
	const void *copy = b->failed ? NULL : arena_copy(&all->arena, in.data, in.size);
	all->failed |= !copy;
	buf_done(b);
	return bytes_of(copy, in.size);
}

static void add(struct records *all, uint16_t key_version, const char *group, const char *member, const struct kafka_layout *layout,
		struct kafka_version version, const void *value)
{
	struct buf key, out;
	buf_init(&key);
	buf_init(&out);
	key_put(&key, key_version, group, member);
	buf_be16(&out, (uint16_t)version.version);
	struct kafka_writer w = {.out = &out, .arena = &all->arena};
	all->failed |= kafka__encode(layout, version, value, &w) != SM_OK;
	struct bytes k = keep(all, &key), v = keep(all, &out);
	if (!all->failed)
		push(all, k, v);
}

static const struct kafka_version flexible = {0, true};

static void add_classic(struct records *all, const struct group *g)
{
	bool empty = g->state == GROUP_EMPTY;
	struct kafka_group_metadata_value v = {
		.protocol_type = g->protocol_type ? bytes_str(g->protocol_type) : KAFKA_EMPTY,
		.generation = g->generation,
		.protocol = empty ? (struct bytes){0} : kafka__text(g->protocol),
		.leader = empty || !g->leader ? (struct bytes){0} : bytes_str(g->leader->id),
		.current_state_timestamp = g->changed_ms,
		.members = arena_alloc(&all->arena, ((size_t)g->member_count + 1) * sizeof *v.members),
	};
	for (const struct member *m = g->members; m && v.members; m = m->next) {
		struct kafka_group_metadata_member *out = &v.members[v.members_count];
		if (m->pending)
			continue;
		*out = (struct kafka_group_metadata_member){.member_id = bytes_str(m->id),
							    .group_instance_id = kafka__text(m->instance),
							    .client_id = bytes_str(m->client_id),
							    .client_host = bytes_str(m->client_host),
							    .rebalance_timeout = m->rebalance_timeout_ms,
							    .session_timeout = m->session_timeout_ms,
							    .subscription = KAFKA_EMPTY,
							    .assignment = m->assignment_size ? bytes_of(m->assignment, m->assignment_size)
											     : KAFKA_EMPTY};
		for (int32_t i = 0; i < m->protocol_count; i++)
			if (g->protocol && strcmp(m->protocols[i].name, g->protocol) == 0)
				out->subscription = bytes_of(m->protocols[i].metadata, m->protocols[i].metadata_size);
		v.members_count++;
	}
	all->failed |= !v.members;
	add(all, KEY_CLASSIC, g->entry->id, NULL, &kafka_layout_group_metadata_value, (struct kafka_version){CLASSIC_VALUE_VERSION, false},
	    &v);
}

/* Sorted by topic, as a set is. */
static struct kafka_topic_id_partitions *topics_of(struct records *all, const struct partition_set *set, int32_t *ret_count)
{
	struct kafka_topic_id_partitions *out = arena_alloc(&all->arena, (set->count + 1) * sizeof *out);
	int32_t *numbers = arena_alloc(&all->arena, (set->count + 1) * sizeof *numbers), n = 0;
	for (uint32_t i = 0; out && numbers && i < set->count; i++) {
		numbers[i] = set->items[i].partition;
		if (!n || memcmp(&out[n - 1].topic_id, &set->items[i].topic, sizeof(struct uuid)) != 0)
			out[n++] = (struct kafka_topic_id_partitions){set->items[i].topic, &numbers[i], 0};
		out[n - 1].partitions_count++;
	}
	all->failed |= !out || !numbers;
	*ret_count = n;
	return out;
}

static void add_classic_side(struct records *all, const struct consumer_classic *c, struct kafka_group_member_value *v)
{
	struct kafka_group_classic_member *out = arena_alloc(&all->arena, sizeof *out);
	if (!out ||
	    !(out->supported_protocols = arena_alloc(&all->arena, ((size_t)c->protocol_count + 1) * sizeof *out->supported_protocols))) {
		all->failed = true;
		return;
	}
	out->session_timeout_ms = c->session_ms;
	out->supported_protocols_count = c->protocol_count;
	for (int32_t i = 0; i < c->protocol_count; i++)
		out->supported_protocols[i] = (struct kafka_group_classic_protocol){
			bytes_str(c->protocols[i].name), bytes_of(c->protocols[i].metadata, c->protocols[i].metadata_size)};
	v->classic_member_metadata = out;
}

static void add_member(struct records *all, const char *group, const struct consumer_member *m)
{
	const struct consumer_about *a = &m->about;
	struct kafka_group_member_value v = {
		.instance_id = kafka__text(a->instance),
		.rack_id = kafka__text(a->rack),
		.client_id = bytes_str(a->client_id),
		.client_host = bytes_str(a->client_host),
		.subscribed_topic_names = arena_alloc(&all->arena, (a->name_count + 1) * sizeof(struct bytes)),
		.subscribed_topic_names_count = (int32_t)a->name_count,
		.subscribed_topic_regex = a->pattern ? bytes_str(a->pattern->text) : (struct bytes){0},
		.rebalance_timeout_ms = m->rebalance_timeout_ms,
		.server_assignor = a->assignor ? bytes_str(a->assignor->name) : (struct bytes){0},
	};
	all->failed |= !v.subscribed_topic_names;
	for (uint32_t i = 0; v.subscribed_topic_names && i < a->name_count; i++)
		v.subscribed_topic_names[i] = bytes_str(a->names[i]);
	if (m->classic)
		add_classic_side(all, m->classic, &v);
	struct kafka_group_target_value target = {0};
	struct kafka_group_current_value current = {
		.member_epoch = m->epoch, .previous_member_epoch = m->previous_epoch, .state = (int8_t)m->state};
	target.topic_partitions = topics_of(all, &m->target, &target.topic_partitions_count);
	current.assigned_partitions = topics_of(all, &m->assigned, &current.assigned_partitions_count);
	current.partitions_pending_revocation = topics_of(all, &m->revoking, &current.partitions_pending_revocation_count);
	if (all->failed)
		return;
	add(all, KEY_MEMBER, group, m->id, &kafka_layout_group_member_value, flexible, &v);
	add(all, KEY_TARGET, group, m->id, &kafka_layout_group_target_value, flexible, &target);
	add(all, KEY_CURRENT, group, m->id, &kafka_layout_group_current_value, flexible, &current);
}

int64_t group__topics_hash(const struct consumer_group *c)
{
	uint64_t hash = 0;
	for (uint32_t i = 0; i < c->subscribed_count; i++) {
		uint8_t one[sizeof(struct uuid) + 12];
		memcpy(one, &c->subscribed[i].id, sizeof(struct uuid));
		be32_put(one + sizeof(struct uuid), (uint32_t)c->subscribed[i].partitions);
		be64_put(one + sizeof(struct uuid) + 4, hash);
		hash = (uint64_t)crc32c(0, one, sizeof one) << 32 | crc32c(1, one, sizeof one);
	}
	return (int64_t)hash;
}

static void add_consumer(struct records *all, const struct group *g)
{
	const struct consumer_group *c = g->consumer;
	struct kafka_group_epoch_value epoch = {c->epoch, group__topics_hash(c)};
	struct kafka_group_targets_value targets = {c->target_epoch};
	add(all, KEY_CONSUMER, g->entry->id, NULL, &kafka_layout_group_epoch_value, flexible, &epoch);
	add(all, KEY_TARGETS, g->entry->id, NULL, &kafka_layout_group_targets_value, flexible, &targets);
	for (const struct consumer_member *m = c->members; m && !all->failed; m = m->next)
		add_member(all, g->entry->id, m);
}

/* ---- saving ---- */

/* What is to be written: what differs from stored, then tombstones for what is no more. now: key -> hash of all. */
static void differences(const struct group *g, const struct records *all, struct map *now, struct records *out)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	for (uint32_t i = 0; i < all->count && !out->failed; i++) {
		void *hash = (void *)(uintptr_t)(hash64(all->items[i].value.data, all->items[i].value.size) | 2);
		out->failed |= map_put(now, all->items[i].key, hash, NULL) != SM_OK;
		if (map_get(&g->stored, all->items[i].key) != hash)
			push(out, all->items[i].key, all->items[i].value);
	}
	while (map_next(&g->stored, &pos, &key, &value))
		if (!map_get(now, key))
			push(out, key, (struct bytes){0});
}

static struct group_save *save_new(struct group *g)
{
	struct group_save *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->msg.type = &group__saved_type;
	s->server = g->server;
	s->to = sm_ref_get(sm_self(g->self));
	s->tail = &s->answers;
	atomic_fetch_add(&g->server->users, 1);
	struct group_save **at = &g->saves;
	while (*at)
		at = &(*at)->next;
	*at = s;
	return s;
}

static void write_changes(struct group *g)
{
	struct records all = {0}, out = {0};
	struct map now;
	arena_init(&all.arena, 0);
	arena_init(&out.arena, 0);
	map_init(&now);
	if (g->consumer)
		add_consumer(&all, g);
	else if (g->kept)
		add_classic(&all, g);
	if (!all.failed)
		differences(g, &all, &now, &out);
	struct group_save *s = !all.failed && !out.failed && out.count ? save_new(g) : NULL;
	bool lost = all.failed || out.failed || (out.count && !s);
	if (!lost) {
		struct map before = g->stored;
		g->stored = now;
		now = before;
	}
	g->changed = lost; /* no memory: with the next message */
	if (s)
		g->server->log->ops->group_write(g->server->log, g->entry->id, out.items, out.count, written, s);
	map_done(&now);
	arena_done(&all.arena);
	arena_done(&out.arena);
}

void group__save(struct group *g)
{
	if (g->consumer && g->consumer->changed) {
		g->consumer->changed = false;
		g->changed = true;
	}
	if (g->changed && !g->ending && g->server->log->ops->group_write) {
		g->changed_ms = clock_wall_ms(g->server->clock);
		write_changes(g);
	}
	if (!g->answers)
		return;
	struct group_save *last = g->saves;
	while (last && last->next)
		last = last->next;
	if (!last) {
		group__answers_flush(g);
		return;
	}
	*last->tail = g->answers;
	last->tail = g->answers_tail;
	g->answers = NULL;
	g->answers_tail = &g->answers;
}
