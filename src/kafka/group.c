#include "kafka/group_internal.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

const char *const group__state_names[] = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"};
enum { TIMER = 1 };

/* ---- members ---- */

struct member *group__find(const struct group *g, struct bytes id)
{
	for (struct member *m = g->members; m; m = m->next) {
		if (bytes_equal(id, bytes_str(m->id)))
			return m;
	}
	return NULL;
}

struct member *group__find_instance(const struct group *g, struct bytes instance)
{
	for (struct member *m = g->members; m; m = m->next) {
		if (m->instance && bytes_equal(instance, bytes_str(m->instance)))
			return m;
	}
	return NULL;
}

static char *copy_text(struct bytes text)
{
	return strndup(text.size ? (const char *)text.data : "", text.size);
}

void member_protocols__free(struct member_protocol *protocols, int32_t count)
{
	for (int32_t i = 0; i < count; i++) {
		free(protocols[i].name);
		free(protocols[i].metadata);
	}
	free(protocols);
}

void group__member_free(struct member *m)
{
	member_protocols__free(m->protocols, m->protocol_count);
	free(m->assignment);
	free(m->id);
	free(m->instance);
	free(m->client_id);
	free(m->client_host);
	free(m);
}

/* "/127.0.0.1", as Kafka shows a client's host. */
static char *client_host(const char *peer)
{
	char host[KAFKA_PEER_HOST_MAX], *text;
	return asprintf(&text, "/%s", kafka__peer_host(peer ? peer : "", host)) < 0 ? NULL : text;
}

struct member *group__member_new(struct group *g, const struct kafka_request *r, const char *id, struct bytes instance, bool pending)
{
	struct member *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	m->id = strdup(id);
	m->instance = instance.data ? copy_text(instance) : NULL;
	m->client_id = copy_text(r->client_id);
	m->client_host = client_host(r->peer);
	if (!m->id || !m->client_id || !m->client_host || (instance.data && !m->instance)) {
		group__member_free(m);
		return NULL;
	}
	m->pending = pending;
	m->is_new = true;
	struct member **at = &g->members;
	while (*at)
		at = &(*at)->next;
	*at = m;
	if (pending)
		g->pending_count++;
	else
		g->member_count++;
	return m;
}

struct member_protocol *member_protocols__copy(const struct kafka_join_group_request *q)
{
	struct member_protocol *all = calloc((size_t)q->protocols_count, sizeof *all);
	for (int32_t i = 0; all && i < q->protocols_count; i++) {
		struct bytes metadata = q->protocols[i].metadata;
		all[i].name = copy_text(q->protocols[i].name);
		all[i].metadata = malloc(metadata.size ? metadata.size : 1);
		all[i].metadata_size = metadata.size;
		if (!all[i].name || !all[i].metadata) {
			member_protocols__free(all, q->protocols_count);
			return NULL;
		}
		if (metadata.size)
			memcpy(all[i].metadata, metadata.data, metadata.size);
	}
	return all;
}

static bool account(struct group *g, struct member *m, size_t before, size_t after)
{
	if (g->bytes - before + after > KAFKA_GROUP_BYTES_MAX)
		return false;
	g->bytes += after - before;
	m->bytes += after - before;
	return true;
}

enum sm_err group__member_update(struct group *g, struct member *m, const struct kafka_join_group_request *q)
{
	size_t before = 0, after = 0;
	for (int32_t i = 0; i < m->protocol_count; i++)
		before += strlen(m->protocols[i].name) + m->protocols[i].metadata_size;
	for (int32_t i = 0; i < q->protocols_count; i++)
		after += strnlen((const char *)q->protocols[i].name.data, q->protocols[i].name.size) + q->protocols[i].metadata.size;
	struct member_protocol *protocols = member_protocols__copy(q);
	if (!protocols)
		return SM_NO_MEMORY;
	if (!account(g, m, before, after)) {
		member_protocols__free(protocols, q->protocols_count);
		return SM_TOO_LARGE;
	}
	member_protocols__free(m->protocols, m->protocol_count);
	m->protocols = protocols;
	m->protocol_count = q->protocols_count;
	m->session_timeout_ms = q->session_timeout_ms;
	m->rebalance_timeout_ms = q->rebalance_timeout_ms < 0 ? q->session_timeout_ms : q->rebalance_timeout_ms;
	return SM_OK;
}

enum sm_err group__member_assign(struct group *g, struct member *m, struct bytes assignment)
{
	uint8_t *copy = malloc(assignment.size ? assignment.size : 1);
	if (!copy)
		return SM_NO_MEMORY;
	if (!account(g, m, m->assignment_size, assignment.size)) {
		free(copy);
		return SM_TOO_LARGE;
	}
	if (assignment.size)
		memcpy(copy, assignment.data, assignment.size);
	free(m->assignment);
	m->assignment = copy;
	m->assignment_size = assignment.size;
	return SM_OK;
}

void group__member_heard(struct member *m)
{
	m->deadline_ns = group__after(m->session_timeout_ms);
}

void group__member_pending(struct group *g, struct member *m, bool pending)
{
	if (m->pending == pending)
		return;
	m->pending = pending;
	g->pending_count += pending ? 1 : -1;
	g->member_count += pending ? -1 : 1;
}

static void answer_waiting(struct member *m, int16_t error)
{
	struct kafka_request *join = m->join, *sync = m->sync;
	m->join = m->sync = NULL;
	if (join)
		group__answer_join_error(join, error);
	if (sync)
		group__answer_sync_error(sync, error);
}

/* The leader must have joined this round; when it has not, the first that has takes its place. */
static bool elect_leader(struct group *g, bool joined_only)
{
	if (g->leader && (!joined_only || g->leader->join))
		return true;
	g->leader = NULL;
	for (struct member *m = g->members; m && !g->leader; m = m->next) {
		if (!m->pending && (!joined_only || m->join))
			g->leader = m;
	}
	return g->leader != NULL;
}

static void take_out(struct group *g, struct member *m, int16_t error)
{
	struct member **at = &g->members;
	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	if (m->pending)
		g->pending_count--;
	else
		g->member_count--;
	g->bytes -= m->bytes;
	if (g->leader == m) {
		g->leader = NULL;
		elect_leader(g, false);
	}
	answer_waiting(m, error);
	group__member_free(m);
}

static void try_complete(struct group *g);

void group__member_remove(struct group *g, struct member *m, int16_t error)
{
	bool pending = m->pending;
	take_out(g, m, error);
	if (g->state == GROUP_PREPARING)
		try_complete(g);
	else if (!pending && g->state != GROUP_EMPTY)
		group__rebalance(g);
}

/* ---- rebalance ---- */

/* The registry's copy is what ListGroups shows. */
void group__show(struct group *g)
{
	const char *state = g->consumer ? consumer_group__state(g->consumer) : group__state_names[g->state];
	const char *type = g->consumer ? "consumer" : "classic";
	const char *protocol_type = g->consumer ? "consumer" : g->protocol_type ? g->protocol_type : "";
	struct kafka_group_entry *e = g->entry;
	if (e->state == state && e->type == type && strcmp(e->protocol_type, protocol_type) == 0)
		return;
	if (group__is_empty(g))
		g->idle_deadline_ns = group__after(KAFKA_GROUP_IDLE_MS);
	pthread_mutex_lock(&g->server->groups_lock);
	e->state = state;
	e->type = type;
	snprintf(e->protocol_type, sizeof e->protocol_type, "%s", protocol_type);
	pthread_mutex_unlock(&g->server->groups_lock);
}

static void set_state(struct group *g, enum group_state state)
{
	g->state = state;
	if (state == GROUP_EMPTY)
		g->idle_deadline_ns = group__after(KAFKA_GROUP_IDLE_MS);
	group__show(g);
}

void group__stable(struct group *g)
{
	g->kept = g->changed = true;
	set_state(g, GROUP_STABLE);
}

static int64_t rebalance_timeout_ms(const struct group *g)
{
	int64_t most = 0;
	for (const struct member *m = g->members; m; m = m->next) {
		if (!m->pending && m->rebalance_timeout_ms > most)
			most = m->rebalance_timeout_ms;
	}
	return most;
}

static int32_t votes_for(const struct group *g, const char *protocol)
{
	int32_t votes = 0;
	for (const struct member *m = g->members; m; m = m->next) {
		bool supported = m->pending;
		for (int32_t i = 0; i < m->protocol_count; i++)
			supported |= strcmp(m->protocols[i].name, protocol) == 0;
		if (!supported)
			return -1;
		votes += !m->pending;
	}
	return votes;
}

/* Each member votes for the first of its protocols that all support. */
const char *group__select_protocol(const struct group *g)
{
	const struct member *first = g->members;
	while (first && first->pending)
		first = first->next;
	const char *best = NULL;
	int32_t best_votes = 0;
	for (int32_t i = 0; first && i < first->protocol_count; i++) {
		const char *candidate = first->protocols[i].name;
		if (votes_for(g, candidate) < 0)
			continue;
		int32_t votes = 0;
		for (const struct member *m = g->members; m; m = m->next) {
			for (int32_t k = 0; k < m->protocol_count; k++) {
				if (votes_for(g, m->protocols[k].name) < 0)
					continue;
				votes += strcmp(m->protocols[k].name, candidate) == 0;
				break;
			}
		}
		if (votes > best_votes) {
			best = candidate;
			best_votes = votes;
		}
	}
	return best;
}

static void become_empty(struct group *g)
{
	free(g->protocol);
	g->protocol = NULL;
	g->leader = NULL;
	g->sync_deadline_ns = 0;
	g->kept = g->changed = true;
	set_state(g, GROUP_EMPTY);
}

static void remove_absent(struct group *g)
{
	for (struct member *m = g->members, *next; m; m = next) {
		next = m->next;
		/* Static members may come back until their session ends. */
		if (!m->pending && !m->join && !m->instance)
			take_out(g, m, KAFKA_UNKNOWN_MEMBER_ID);
	}
}

static void complete_join(struct group *g)
{
	remove_absent(g);
	if (g->member_count && !elect_leader(g, true)) {
		g->join_deadline_ns = group__after(rebalance_timeout_ms(g));
		return;
	}
	g->generation = g->generation == INT32_MAX ? 1 : g->generation + 1;
	g->initial = false;
	if (!g->member_count) {
		become_empty(g);
		return;
	}
	const char *protocol = group__select_protocol(g);
	assert(protocol); /* a join that leaves none in common was refused */
	char *copy = strdup(protocol);
	if (copy) {
		free(g->protocol);
		g->protocol = copy;
	}
	set_state(g, GROUP_COMPLETING);
	g->sync_deadline_ns = group__after(rebalance_timeout_ms(g));
	for (struct member *m = g->members; m; m = m->next) {
		if (m->pending)
			continue;
		m->pending_sync = true;
		m->is_new = false;
		if (!m->join)
			continue;
		struct kafka_request *r = m->join;
		m->join = NULL;
		group__member_heard(m);
		group__answer_join(g, m, r);
	}
}

static void try_complete(struct group *g)
{
	if (g->state != GROUP_PREPARING || g->initial || g->pending_count)
		return;
	for (struct member *m = g->members; m; m = m->next) {
		if (!m->join)
			return;
	}
	complete_join(g);
}

void group__rebalance(struct group *g)
{
	if (g->state == GROUP_PREPARING) {
		try_complete(g);
		return;
	}
	for (struct member *m = g->members; m; m = m->next) {
		struct kafka_request *sync = m->sync;
		m->sync = NULL;
		m->pending_sync = false;
		if (sync)
			group__answer_sync_error(sync, KAFKA_REBALANCE_IN_PROGRESS);
	}
	g->sync_deadline_ns = 0;
	int64_t timeout_ms = rebalance_timeout_ms(g), delay_ms = g->server->rebalance_delay_ms;
	g->initial = g->state == GROUP_EMPTY && delay_ms > 0;
	g->new_member_added = false;
	g->initial_left_ms = timeout_ms > delay_ms ? (uint64_t)(timeout_ms - delay_ms) : 0;
	g->join_deadline_ns = group__after(g->initial ? delay_ms : timeout_ms);
	set_state(g, GROUP_PREPARING);
	try_complete(g);
}

void group__forget_classic(struct group *g)
{
	while (g->members)
		take_out(g, g->members, KAFKA_REBALANCE_IN_PROGRESS);
	g->state = GROUP_EMPTY;
	g->kept = false;
	g->changed = true;
	g->initial = false;
	g->leader = NULL;
	g->sync_deadline_ns = 0;
	g->generation = 0;
	free(g->protocol);
	g->protocol = NULL;
	free(g->protocol_type);
	g->protocol_type = NULL;
}

/* ---- time ---- */

static void join_time_is_up(struct group *g)
{
	if (g->initial && g->new_member_added && g->initial_left_ms) {
		uint64_t more = g->server->rebalance_delay_ms;
		more = more < g->initial_left_ms ? more : g->initial_left_ms;
		g->initial_left_ms -= more;
		g->new_member_added = false;
		g->join_deadline_ns = group__after((int64_t)more);
		return;
	}
	g->initial = false;
	complete_join(g);
}

static void sync_time_is_up(struct group *g)
{
	bool removed = false;
	for (struct member *m = g->members, *next; m; m = next) {
		next = m->next;
		if (m->pending || !m->pending_sync || m->sync)
			continue;
		take_out(g, m, KAFKA_UNKNOWN_MEMBER_ID);
		removed = true;
	}
	g->sync_deadline_ns = 0;
	if (removed && g->state != GROUP_EMPTY)
		group__rebalance(g);
}

/* A member that waits for us is not expected to say anything meanwhile, unless it has never been through a rebalance. */
static bool is_due(const struct member *m, uint64_t now)
{
	return m->deadline_ns <= now && (m->pending || m->is_new || (!m->join && !m->sync));
}

static void expire_members(struct group *g, uint64_t now)
{
	bool again = true;
	while (again) {
		again = false;
		for (struct member *m = g->members; m; m = m->next) {
			if (!is_due(m, now))
				continue;
			group__member_remove(g, m, KAFKA_UNKNOWN_MEMBER_ID);
			again = true;
			break;
		}
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

static void set_timer(struct group *g)
{
	uint64_t first = 0;
	for (const struct member *m = g->members; m; m = m->next) {
		if (is_due(m, UINT64_MAX))
			first = earlier(first, m->deadline_ns);
	}
	if (g->state == GROUP_PREPARING)
		first = earlier(first, g->join_deadline_ns);
	if (group__is_empty(g))
		first = earlier(first, g->idle_deadline_ns);
	if (g->consumer)
		first = earlier(first, consumer_group__deadline(g->consumer));
	first = earlier(first, g->sync_deadline_ns);
	if (!first || g->ending || (g->timer_ns && g->timer_ns <= first))
		return;
	uint64_t now = group__now();
	g->timer_ns = first;
	if (sm_timer_start(g->self, TIMER, first > now ? (first - now) / 1000000 + 1 : 1, 0))
		g->timer_ns = 0; /* tried again at the next message */
}

static void on_timer(struct group *g)
{
	uint64_t now = group__now();
	g->timer_ns = 0;
	expire_members(g, now);
	if (g->state == GROUP_PREPARING && g->join_deadline_ns <= now)
		join_time_is_up(g);
	if (g->sync_deadline_ns && g->sync_deadline_ns <= now)
		sync_time_is_up(g);
	int32_t epoch = g->consumer ? g->consumer->epoch : 0;
	if (g->consumer && consumer_group__expire(g->consumer, now))
		group__consumer_left(g, epoch);
	if (group__is_empty(g) && g->idle_deadline_ns <= now)
		group__end(g);
}

/* ---- the actor ---- */

static enum sm_err group_init(struct sm_actor *self, void *state, void *arg)
{
	struct group *g = state;
	g->entry = arg;
	g->server = g->entry->server;
	g->self = self;
	g->idle_deadline_ns = group__after(KAFKA_GROUP_IDLE_MS);
	g->answers_tail = &g->answers;
	g->changed_ms = -1;
	map_init(&g->stored);
	group__load(g);
	set_timer(g);
	return SM_OK;
}

static enum sm_err group_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct group *g = state;
	if (msg->type == &sm_msg_timer) {
		on_timer(g);
	} else if (msg->type == &group__expire_type) {
		group__expire(g);
	} else if (msg->type == &group__saved_type) {
		sm_msg_keep(self);
		group__saved(g, msg);
	} else {
		sm_msg_keep(self);
		g->changed |= g->rewrite;
		g->rewrite = g->gone = false;
		((struct kafka_msg *)msg)->request->coordinator = g;
		group__handle(g, ((struct kafka_msg *)msg)->request);
	}
	group__save(g);
	if (g->gone && !g->saves && !g->changed)
		group__end(g);
	set_timer(g);
	return SM_OK;
}

static void forget_entry(struct group *g)
{
	pthread_mutex_lock(&g->server->groups_lock);
	if (!g->ending)
		map_remove(&g->server->groups, bytes_str(g->entry->id));
	g->ending = true;
	pthread_mutex_unlock(&g->server->groups_lock);
}

void group__end(struct group *g)
{
	forget_entry(g);
	sm_stop(sm_self(g->self));
}

static void group_done(struct sm_actor *self, void *state)
{
	struct group *g = state;
	struct kafka_server *server = g->server;
	if (!server)
		return;
	forget_entry(g);
	while (g->members) {
		struct member *m = g->members;
		g->members = m->next;
		answer_waiting(m, KAFKA_NOT_COORDINATOR);
		group__member_free(m);
	}
	group__answers_flush(g);
	group__consumer_end(g);
	map_done(&g->stored);
	free(g->protocol_type);
	free(g->protocol);
	sm_unref(g->entry->ref);
	free(g->entry->id);
	free(g->entry);
	atomic_fetch_sub(&server->users, 1);
}

const struct sm_props kafka__group_props = {
	.state_size = sizeof(struct group),
	.init = group_init,
	.receive = group_receive,
	.done = group_done,
	.mailbox_max = KAFKA_GROUP_MAILBOX_MAX,
	.dispatcher = -1,
};
