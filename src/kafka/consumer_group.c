#include "kafka/consumer_group.h"
#include <assert.h>
#include <stdlib.h>

/* What a heartbeat says that its member owns. */
struct owned {
	bool told;
	struct partition_set set;
};

struct consumer_group *consumer_group__new(void)
{
	struct consumer_group *g = calloc(1, sizeof *g);
	if (g)
		g->session_ms = KAFKA_CONSUMER_SESSION_MS;
	return g;
}

static void member_free(struct consumer_group *g, struct consumer_member *m)
{
	consumer_about__done(g, &m->about);
	consumer_classic__free(g, m->classic);
	partition_set__done(&m->assigned);
	partition_set__done(&m->revoking);
	partition_set__done(&m->target);
	free(m->id);
	free(m);
}

void consumer_group__free(struct consumer_group *g)
{
	if (!g)
		return;
	while (g->members) {
		struct consumer_member *m = g->members;
		g->members = m->next;
		member_free(g, m);
	}
	free(g->subscribed);
	free(g);
}

struct consumer_member *consumer_group__find(const struct consumer_group *g, struct bytes id)
{
	struct consumer_member *m = g->members;
	while (m && !bytes_equal(id, bytes_str(m->id)))
		m = m->next;
	return m;
}

struct consumer_member *consumer_group__find_instance(const struct consumer_group *g, struct bytes instance)
{
	struct consumer_member *m = g->members;
	while (m && !(m->about.instance && bytes_equal(instance, bytes_str(m->about.instance))))
		m = m->next;
	return m;
}

void consumer_group__fence(struct consumer_group *g, struct consumer_member *m)
{
	struct consumer_member **at = &g->members;
	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	member_free(g, m);
	g->member_count--;
	g->epoch++;
	g->stale = g->changed = true;
}

int16_t consumer_group__check_epoch(const struct consumer_group *g, struct bytes id, int32_t epoch)
{
	const struct consumer_member *m = consumer_group__find(g, id);
	if (!m)
		return KAFKA_UNKNOWN_MEMBER_ID;
	return m->epoch == epoch ? KAFKA_NONE : m->classic ? KAFKA_ILLEGAL_GENERATION : KAFKA_STALE_MEMBER_EPOCH;
}

const char *consumer_group__state(const struct consumer_group *g)
{
	if (!g->members)
		return "Empty";
	if (g->epoch > g->target_epoch)
		return "Assigning";
	for (const struct consumer_member *m = g->members; m; m = m->next) {
		if (m->state != CONSUMER_STABLE || m->epoch != g->target_epoch)
			return "Reconciling";
	}
	return "Stable";
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

static uint64_t member_deadline(const struct consumer_member *m)
{
	uint64_t first = earlier(m->deadline_ns, m->revoke_deadline_ns);
	return m->classic ? earlier(first, earlier(m->classic->join_deadline_ns, m->classic->sync_deadline_ns)) : first;
}

uint64_t consumer_group__deadline(const struct consumer_group *g)
{
	uint64_t first = 0;
	for (const struct consumer_member *m = g->members; m; m = m->next)
		first = earlier(first, member_deadline(m));
	return first;
}

bool consumer_group__expire(struct consumer_group *g, uint64_t now_ns)
{
	bool any = false;
	for (struct consumer_member *m = g->members, *next; m; m = next) {
		next = m->next;
		if (member_deadline(m) > now_ns)
			continue;
		bool moved_on = m->deadline_ns > now_ns && m->revoke_deadline_ns && m->epoch != m->revoke_epoch;
		if (moved_on) { /* what it was to give back is of the past */
			m->revoke_deadline_ns = 0;
			continue;
		}
		consumer_group__fence(g, m);
		any = true;
	}
	return any;
}

/* ---- topics and targets ---- */

void consumer_group__see(struct consumer_group *g, const struct log_topics *topics)
{
	if (g->topics != topics)
		g->stale = g->unmatched = true;
	g->topics = topics;
}

static int compare_topics(const void *a, const void *b)
{
	return memcmp(&((const struct assign_topic *)a)->id, &((const struct assign_topic *)b)->id, sizeof(struct uuid));
}

/* Look up all that anybody subscribes to. *ret_changed: it is not what it was. */
static enum sm_err look_up(struct consumer_group *g, bool *ret_changed)
{
	enum sm_err err = g->unmatched ? topic_pattern__match_all(g) : SM_OK;
	bool *marks = calloc(g->topics->count + 1, 1);
	struct assign_topic *topics = calloc(g->topics->count + 1, sizeof *topics);
	uint32_t count = 0;
	if (!marks || !topics)
		err = SM_NO_MEMORY;
	if (err) {
		free(topics);
		goto done;
	}
	g->unmatched = g->stale = false;
	for (const struct consumer_member *m = g->members; m; m = m->next) {
		if (m == g->members || !consumer_about__same_topics(&m->about, &g->members->about))
			consumer_about__mark(g, &m->about, marks);
	}
	for (uint32_t i = 0; i < g->topics->count; i++) {
		if (marks[i])
			topics[count++] = (struct assign_topic){g->topics->items[i].id, g->topics->items[i].partitions};
	}
	qsort(topics, count, sizeof *topics, compare_topics);
	*ret_changed = count != g->subscribed_count || (count && memcmp(topics, g->subscribed, count * sizeof *topics) != 0);
	free(g->subscribed);
	g->subscribed = topics;
	g->subscribed_count = count;
done:
	free(marks);
	return err;
}

enum sm_err consumer_group__settle(struct consumer_group *g)
{
	bool changed;
	enum sm_err err = look_up(g, &changed);
	g->unmatched = g->patterns != NULL; /* nobody's eyes have looked */
	return err;
}

/* The topics that a member subscribes to, as indexes into g->subscribed. */
static uint32_t *subscription(const struct consumer_group *g, const struct consumer_member *m, bool *marks, uint32_t *ret_count)
{
	uint32_t *indexes = malloc((g->subscribed_count + 1) * sizeof *indexes), n = 0;
	memset(marks, 0, g->topics->count);
	consumer_about__mark(g, &m->about, marks);
	for (uint32_t i = 0; indexes && i < g->topics->count; i++) {
		struct assign_topic key = {.id = g->topics->items[i].id};
		if (!marks[i])
			continue;
		const struct assign_topic *found = bsearch(&key, g->subscribed, g->subscribed_count, sizeof key, compare_topics);
		if (found)
			indexes[n++] = (uint32_t)(found - g->subscribed);
	}
	*ret_count = n;
	return indexes;
}

static int compare_indexes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Fill in what the assignor is to know. Members that subscribe to the same as the one before share its list. */
static enum sm_err describe_members(const struct consumer_group *g, struct assign_member *members, bool *marks)
{
	const struct consumer_member *before = NULL;
	uint32_t n = 0;
	for (const struct consumer_member *m = g->members; m; before = m, m = m->next, n++) {
		members[n] = (struct assign_member){.id = m->id, .instance = m->about.instance, .before = &m->target};
		if (before && consumer_about__same_topics(&before->about, &m->about)) {
			members[n].topics = members[n - 1].topics;
			members[n].topic_count = members[n - 1].topic_count;
			continue;
		}
		uint32_t *indexes = subscription(g, m, marks, &members[n].topic_count);
		if (!indexes)
			return SM_NO_MEMORY;
		qsort(indexes, members[n].topic_count, sizeof *indexes, compare_indexes);
		members[n].topics = indexes;
	}
	return SM_OK;
}

/* The one that most members ask for; uniform where they do not agree. */
const struct assignor *consumer_group__assignor(const struct consumer_group *g)
{
	int32_t range = 0, uniform = 0;
	for (const struct consumer_member *m = g->members; m; m = m->next) {
		range += m->about.assignor == &assignor__range;
		uniform += m->about.assignor == &assignor__uniform;
	}
	return range > uniform ? &assignor__range : &assignor__uniform;
}

static enum sm_err retarget(struct consumer_group *g)
{
	uint32_t count = (uint32_t)g->member_count, n = 0;
	struct assign_member *members = calloc(count + 1, sizeof *members);
	bool *marks = calloc(g->topics->count + 1, 1);
	struct assign_input in = {g->subscribed, g->subscribed_count, members, count};
	enum sm_err err = members && marks ? describe_members(g, members, marks) : SM_NO_MEMORY;
	if (!err)
		err = consumer_group__assignor(g)->assign(&in);
	for (struct consumer_member *m = g->members; !err && m; m = m->next)
		partition_set__move(&m->target, &members[n++].after);
	if (!err)
		g->target_epoch = g->epoch;
	g->changed = true;
	for (uint32_t i = 0; members && i < count; i++) {
		if (i == 0 || members[i].topics != members[i - 1].topics)
			free((void *)(uintptr_t)members[i].topics);
		partition_set__done(&members[i].after);
	}
	free(members);
	free(marks);
	return err;
}

/* ---- from what a member has to what it is to have ---- */

/* A member that does not say what it owns still owns everything. */
static bool still_owns(const struct owned *owned, const struct partition_set *set)
{
	return set->count && (!owned->told || partition_set__meets(&owned->set, set));
}

static bool is_held(const struct consumer_group *g, const struct partition_id *id)
{
	for (const struct consumer_member *m = g->members; m; m = m->next) {
		if (partition_set__has(&m->assigned, id) || partition_set__has(&m->revoking, id))
			return true;
	}
	return false;
}

bool consumer_group__must_rejoin(const struct consumer_group *g, const struct consumer_member *m)
{
	if (m->epoch < g->epoch || m->state == CONSUMER_UNREVOKED)
		return true;
	for (uint32_t i = 0; m->state == CONSUMER_UNRELEASED && i < m->target.count; i++) {
		if (!partition_set__has(&m->assigned, &m->target.items[i]) && is_held(g, &m->target.items[i]))
			return false;
	}
	return m->state == CONSUMER_UNRELEASED;
}

/* Leave in set what can be given now. Returns whether something cannot. */
static bool leave_free(const struct consumer_group *g, struct partition_set *set)
{
	uint32_t n = 0, all = set->count;
	for (uint32_t i = 0; i < all; i++) {
		if (!is_held(g, &set->items[i]))
			set->items[n++] = set->items[i];
	}
	set->count = n;
	return n < all;
}

/* The next step. Where it has to give back first, the member stays at epoch; else it comes to the target's. */
static enum sm_err advance(struct consumer_group *g, struct consumer_member *m, int32_t epoch, const struct owned *owned, uint64_t now_ns)
{
	struct partition_set kept = {0}, gone = {0}, wanted = {0}, all = {0};
	enum sm_err err = partition_set__make(&m->assigned, SET_BOTH, &m->target, &kept);
	if (!err)
		err = partition_set__make(&m->assigned, SET_WITHOUT, &kept, &gone);
	if (!err)
		err = partition_set__make(&m->target, SET_WITHOUT, &kept, &wanted);
	bool waits = leave_free(g, &wanted);
	if (!err)
		err = partition_set__make(&kept, SET_EITHER, &wanted, &all);
	if (err)
		goto done;
	g->changed = true;
	m->previous_epoch = m->epoch;
	if (still_owns(owned, &gone)) {
		m->state = CONSUMER_UNREVOKED;
		m->epoch = m->revoke_epoch = epoch;
		/* a classic member's time runs from when it is told to join again */
		m->revoke_deadline_ns = m->classic ? 0 : now_ns + (uint64_t)m->rebalance_timeout_ms * 1000000;
		partition_set__move(&m->assigned, &kept);
		partition_set__move(&m->revoking, &gone);
	} else {
		m->state = waits ? CONSUMER_UNRELEASED : CONSUMER_STABLE;
		m->epoch = g->target_epoch;
		m->revoke_deadline_ns = 0;
		partition_set__move(&m->assigned, &all);
		partition_set__done(&m->revoking);
	}
done:
	partition_set__done(&kept);
	partition_set__done(&gone);
	partition_set__done(&wanted);
	partition_set__done(&all);
	return err;
}

static enum sm_err reconcile(struct consumer_group *g, struct consumer_member *m, const struct owned *owned, uint64_t now_ns)
{
	switch (m->state) {
	case CONSUMER_STABLE: return m->epoch == g->target_epoch ? SM_OK : advance(g, m, m->epoch, owned, now_ns);
	case CONSUMER_UNREVOKED: return still_owns(owned, &m->revoking) ? SM_OK : advance(g, m, m->epoch + 1, owned, now_ns);
	case CONSUMER_UNRELEASED: return advance(g, m, m->epoch, owned, now_ns);
	}
	return SM_INVALID;
}

/* ---- heartbeats ---- */

static bool refuse(struct consumer_answer *a, int16_t error, const char *text)
{
	a->error = error;
	a->text = text;
	return false;
}

static bool epoch_is_right(const struct consumer_call *c, const struct consumer_member *m, const struct owned *owned,
			   struct consumer_answer *a)
{
	int32_t told = c->q->member_epoch;
	/* The answer that told the newer epoch may have been lost: then it owns nothing that it should not. */
	bool repeated = told < m->epoch && told == m->previous_epoch && owned->told && partition_set__within(&owned->set, &m->assigned);
	if (told == m->epoch || repeated)
		return true;
	return refuse(a, KAFKA_FENCED_MEMBER_EPOCH,
		      arena_printf(c->arena,
				   "The consumer group member has a %s member epoch (%d) than the one known by the group coordinator (%d). "
				   "The member must abandon all its partitions and rejoin.",
				   told > m->epoch ? "greater" : "smaller", told, m->epoch));
}

/* The static member that is meant, if it may be. *ret NULL: a new one. */
static bool find_static(const struct consumer_group *g, const struct consumer_call *c, const struct owned *owned, struct consumer_answer *a,
			struct consumer_member **ret)
{
	const struct kafka_consumer_group_heartbeat_request *q = c->q;
	struct consumer_member *m = consumer_group__find_instance(g, q->instance_id);
	bool joins = q->member_epoch == 0;
	if (joins && m && !m->classic && m->epoch != CONSUMER_LEAVES_STATIC)
		return refuse(
			a, KAFKA_UNRELEASED_INSTANCE_ID,
			arena_printf(c->arena,
				     "Static member %.*s with instance id %.*s cannot join the group because the instance id is owned by "
				     "%s member.",
				     TEXT(q->member_id), TEXT(q->instance_id), m->id));
	*ret = joins && !m ? consumer_group__find(g, q->member_id) : m;
	if (joins)
		return true;
	if (!m)
		return refuse(a, KAFKA_UNKNOWN_MEMBER_ID, arena_printf(c->arena, "Instance id %.*s is unknown.", TEXT(q->instance_id)));
	if (!bytes_equal(q->member_id, bytes_str(m->id)))
		return refuse(a, KAFKA_FENCED_INSTANCE_ID,
			      arena_printf(c->arena, "Static member %.*s with instance id %.*s was fenced by member %s.",
					   TEXT(q->member_id), TEXT(q->instance_id), m->id));
	return q->member_epoch < 0 || epoch_is_right(c, m, owned, a);
}

/* Who joins by the classic protocol. It has no epoch to check; a static member without its id takes over its old self's place. */
static bool find_classic(const struct consumer_group *g, const struct consumer_call *c, struct consumer_answer *a,
			 struct consumer_member **ret)
{
	const struct kafka_consumer_group_heartbeat_request *q = c->q;
	struct consumer_member *m = q->instance_id.data ? consumer_group__find_instance(g, q->instance_id) : NULL;
	if (!q->instance_id.data || (!m && !c->named)) {
		*ret = consumer_group__find(g, q->member_id);
		return true;
	}
	if (!m)
		return refuse(a, KAFKA_UNKNOWN_MEMBER_ID, "This instance id is unknown.");
	if (c->named && !bytes_equal(q->member_id, bytes_str(m->id)))
		return refuse(a, KAFKA_FENCED_INSTANCE_ID, "Another member has this instance id.");
	*ret = m;
	return true;
}

static bool find_member(const struct consumer_group *g, const struct consumer_call *c, const struct owned *owned, struct consumer_answer *a,
			struct consumer_member **ret)
{
	const struct kafka_consumer_group_heartbeat_request *q = c->q;
	if (c->classic)
		return find_classic(g, c, a, ret);
	if (q->instance_id.data)
		return find_static(g, c, owned, a, ret);
	*ret = consumer_group__find(g, q->member_id);
	if (*ret)
		return q->member_epoch < 0 || epoch_is_right(c, *ret, owned, a);
	if (q->member_epoch == 0)
		return true;
	return refuse(a, KAFKA_UNKNOWN_MEMBER_ID,
		      arena_printf(c->arena, "Member %.*s is not a member of group %.*s.", TEXT(q->member_id), TEXT(q->group_id)));
}

static void leave(struct consumer_group *g, const struct consumer_call *c, struct consumer_answer *a)
{
	struct consumer_member *m = NULL;
	struct owned nothing = {0};
	if (!find_member(g, c, &nothing, a, &m))
		return;
	assert(m); /* only who joins may be new */
	if (c->q->member_epoch == CONSUMER_LEAVES_STATIC) {
		m->epoch = CONSUMER_LEAVES_STATIC;
		g->changed = true;
		partition_set__done(&m->revoking);
	} else {
		consumer_group__fence(g, m);
	}
}

static bool refuse_about(const struct consumer_call *c, struct consumer_answer *a, enum sm_err err, const char *why)
{
	if (err == SM_NO_MEMORY)
		return refuse(a, KAFKA_UNKNOWN_SERVER_ERROR, "The server is out of memory.");
	if (!why)
		return refuse(a, KAFKA_GROUP_MAX_SIZE_REACHED, "The group's subscriptions take more memory than a group may.");
	return refuse(a, KAFKA_INVALID_REGULAR_EXPRESSION,
		      arena_printf(c->arena, "SubscribedTopicRegex `%.*s` is not a valid regular expression: %s.",
				   TEXT(c->q->subscribed_topic_regex), why));
}

struct consumer_member *consumer_group__add(struct consumer_group *g)
{
	struct consumer_member *m = calloc(1, sizeof *m), **at = &g->members;
	if (!m)
		return NULL;
	while (*at)
		at = &(*at)->next;
	*at = m;
	g->member_count++;
	g->changed = true;
	return m;
}

/* A static member that joins anew, perhaps under another id, takes up what its old self had. */
static void become(struct consumer_member *m, char *id, const struct consumer_call *c)
{
	bool anew = c->classic ? !c->named && m->about.instance : c->q->member_epoch == 0 && c->q->instance_id.data;
	free(m->id);
	m->id = id;
	if (anew)
		m->epoch = m->previous_epoch = 0;
}

/* Take what the member says of itself; all of it or nothing. *ret_bump: the group must look at its targets again. */
static bool update(struct consumer_group *g, const struct consumer_call *c, struct consumer_member **member, bool *ret_bump,
		   struct consumer_answer *a)
{
	const struct kafka_consumer_group_heartbeat_request *q = c->q;
	struct consumer_member *m = *member;
	if (m && q->member_epoch != 0 && !m->classic && !consumer_about__changes(&m->about, c)) {
		*ret_bump = g->epoch == 0;
		g->changed |= q->rebalance_timeout_ms >= 0 && q->rebalance_timeout_ms != m->rebalance_timeout_ms;
		if (q->rebalance_timeout_ms >= 0)
			m->rebalance_timeout_ms = q->rebalance_timeout_ms;
		return true;
	}
	struct consumer_about about;
	const char *why;
	enum sm_err err = consumer_about__make(g, m, c, &about, &why);
	if (err)
		return refuse_about(c, a, err, why);
	char *id = strndup((const char *)q->member_id.data, q->member_id.size);
	if (id && !m)
		m = *member = consumer_group__add(g);
	if (!id || !m) {
		free(id);
		consumer_about__done(g, &about);
		return refuse_about(c, a, SM_NO_MEMORY, NULL);
	}
	*ret_bump = g->epoch == 0 || !consumer_about__same_topics(&m->about, &about);
	become(m, id, c);
	consumer_about__done(g, &m->about);
	m->about = about;
	consumer_classic__free(g, m->classic);
	m->classic = c->classic;
	a->taken = c->classic != NULL;
	g->changed = true;
	if (q->rebalance_timeout_ms >= 0)
		m->rebalance_timeout_ms = q->rebalance_timeout_ms;
	return true;
}

/* Bring the group's targets up to what is subscribed now, and the member a step towards its own. */
static enum sm_err go_on(struct consumer_group *g, struct consumer_member *m, bool bump, const struct owned *owned, uint64_t now_ns)
{
	bool changed = false;
	enum sm_err err = SM_OK;
	g->stale |= bump;
	if (g->stale)
		err = look_up(g, &changed);
	/* While a target is due anyhow, what changed goes with it. */
	g->changed |= bump || changed;
	g->epoch += bump || (changed && g->epoch == g->target_epoch);
	if (!err && g->epoch > g->target_epoch)
		err = retarget(g);
	return err ? err : reconcile(g, m, owned, now_ns);
}

static enum sm_err owned_by(const struct consumer_call *c, struct owned *ret)
{
	const struct kafka_consumer_group_heartbeat_request *q = c->q;
	size_t count = 0, n = 0;
	*ret = (struct owned){.told = q->topic_partitions_count >= 0};
	for (int32_t i = 0; i < q->topic_partitions_count; i++)
		count += (size_t)q->topic_partitions[i].partitions_count;
	if (!count)
		return SM_OK;
	if (count > KAFKA_CONSUMER_OWNED_MAX)
		return SM_TOO_LARGE;
	ret->set.items = malloc(count * sizeof *ret->set.items);
	if (!ret->set.items)
		return SM_NO_MEMORY;
	for (int32_t i = 0; i < q->topic_partitions_count; i++) {
		for (int32_t k = 0; k < q->topic_partitions[i].partitions_count; k++)
			ret->set.items[n++] = (struct partition_id){q->topic_partitions[i].topic_id, q->topic_partitions[i].partitions[k]};
	}
	ret->set.count = (uint32_t)count;
	partition_set__sort(&ret->set);
	return SM_OK;
}

static bool is_full(const struct consumer_group *g, const struct consumer_call *c)
{
	return g->member_count >= KAFKA_GROUP_MEMBERS_MAX && !consumer_group__find(g, c->q->member_id);
}

static bool tells_all(const struct kafka_consumer_group_heartbeat_request *q)
{
	bool subscribes = q->subscribed_topic_names_count >= 0 || q->subscribed_topic_regex.data;
	return q->member_epoch == 0 || (q->rebalance_timeout_ms != -1 && subscribes && q->topic_partitions_count >= 0);
}

/* What the member had may be what it has still: then it is not told again. */
static bool heard(struct consumer_group *g, const struct consumer_call *c, const struct owned *owned, struct consumer_answer *a)
{
	struct consumer_member *m = NULL;
	static const struct partition_set none;
	struct partition_set before = {0};
	bool bump = false;
	if (!find_member(g, c, owned, a, &m) || !update(g, c, &m, &bump, a))
		return false;
	m->deadline_ns = c->now_ns + (m->classic ? (uint64_t)m->classic->session_ms : g->session_ms) * 1000000;
	enum sm_err err = partition_set__make(&m->assigned, SET_EITHER, &none, &before);
	if (!err)
		err = go_on(g, m, bump, owned, c->now_ns);
	a->member = m;
	a->assignment = tells_all(c->q) || !partition_set__equal(&before, &m->assigned);
	partition_set__done(&before);
	return err ? refuse_about(c, a, SM_NO_MEMORY, NULL) : true;
}

void consumer_group__heartbeat(struct consumer_group *g, const struct consumer_call *c, struct consumer_answer *a)
{
	struct owned owned;
	enum sm_err err;
	*a = (struct consumer_answer){0};
	g->call = c;
	if (c->q->member_epoch < 0) {
		leave(g, c, a);
	} else if (is_full(g, c)) {
		refuse(a, KAFKA_GROUP_MAX_SIZE_REACHED,
		       arena_printf(c->arena, "The consumer group has reached its maximum capacity of %d members.",
				    KAFKA_GROUP_MEMBERS_MAX));
	} else if ((err = owned_by(c, &owned)) == SM_TOO_LARGE) {
		refuse(a, KAFKA_INVALID_REQUEST, "No member owns so many partitions.");
	} else if (err) {
		refuse_about(c, a, err, NULL);
	} else {
		if (!heard(g, c, &owned, a))
			a->member = NULL;
		partition_set__done(&owned.set);
	}
	g->call = NULL;
}
