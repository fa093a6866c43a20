/* Offsets that nobody needs any more go, and with the last of them an empty group: Kafka's offsets.retention.minutes.
 *
 * An offset is old enough retention after it was committed; of a group that had members, after that became empty. A group with members
 * keeps those of the topics that it subscribes to; a classic one that is rebalancing, or of which that is not known, keeps all. What an
 * open transaction is about to replace stays.
 *
 * Every KAFKA_OFFSETS_CHECK_MS the pool looks through all groups and tells those coordinators that may have something to do: only they
 * decide, since only they know what is being committed.
 * Source: Kafka's OffsetMetadataManager.cleanupExpiredOffsets, OffsetExpirationConditionImpl, ClassicGroup.offsetExpirationCondition. */
#include "kafka/group_internal.h"
#include "base/logging.h"
#include <stdlib.h>

/* ---- in the coordinator ---- */

static void expire_msg_done(struct sm_msg *msg)
{
	free(msg);
}
const struct sm_msg_type group__expire_type = {"group expire", expire_msg_done};

/* -1: this offset does not age now. */
static int64_t aging_since(const struct group *g, const struct log_group_offset *o)
{
	if (g->consumer)
		return consumer_group__is_subscribed(g->consumer, o->topic) ? -1 : o->committed_ms;
	bool had_members = g->protocol_type && *g->protocol_type;
	if (!had_members)
		return o->committed_ms;
	if (g->state == GROUP_EMPTY)
		return g->changed_ms >= 0 ? g->changed_ms : o->committed_ms;
	return g->state == GROUP_STABLE && group__is_unsubscribed(g, o->topic) ? o->committed_ms : -1;
}

static void dropped(void *arg, enum sm_err err)
{
	if (err && err != SM_CLOSED)
		LOG_WARN("kafka", "offsets that are too old could not be taken away: %s", sm_err_text(err));
}

/* Returns whether none is left. */
static bool drop_old(struct group *g, struct log_group_offset *offsets, uint32_t count)
{
	struct kafka_server *s = g->server;
	int64_t now = clock_wall_ms(s->clock);
	uint32_t n = 0;
	for (uint32_t i = 0; i < count; i++) {
		/* Whatever it ages from is no earlier than its commit; and that is quickly told. */
		bool young = now - offsets[i].committed_ms < (int64_t)s->offsets_retention_ms;
		int64_t since = young || offsets[i].pending ? -1 : aging_since(g, &offsets[i]);
		if (since < 0 || now - since < (int64_t)s->offsets_retention_ms)
			continue;
		offsets[n] = offsets[i];
		offsets[n].metadata = NULL;
		offsets[n++].offset = -1;
	}
	if (n)
		s->log->ops->offsets_commit(s->log, g->entry->id, offsets, n, dropped, NULL);
	return n == count;
}

void group__expire(struct group *g)
{
	struct sm_log *log = g->server->log;
	struct log_group_offset *offsets;
	uint32_t count;
	void *hold;
	/* A commit that is under way is not seen yet. */
	if (g->ending || (g->committed_ns && group__now() - g->committed_ns < KAFKA_OFFSETS_QUIET_MS * 1000000ull))
		return;
	if (log->ops->offsets_list(log, g->entry->id, &offsets, &count, &hold))
		return;
	bool none = drop_old(g, offsets, count);
	log->ops->offsets_release(log, hold);
	if (!none || !group__is_empty(g))
		return;
	group__consumer_end(g);
	g->kept = false;
	g->changed = g->gone = true;
	LOG_INFO("kafka", "group %s is gone: it is empty, and its offsets are older than kafka.offsets_retention", g->entry->id);
}

/* ---- the look through all groups ---- */

static bool may_have_old(struct kafka_server *s, const char *id)
{
	struct log_group_offset *offsets;
	uint32_t count;
	void *hold;
	int64_t now = clock_wall_ms(s->clock);
	if (s->log->ops->offsets_list(s->log, id, &offsets, &count, &hold))
		return false;
	bool old = count == 0;
	for (uint32_t i = 0; i < count && !old; i++)
		old = now - offsets[i].committed_ms >= (int64_t)s->offsets_retention_ms;
	s->log->ops->offsets_release(s->log, hold);
	return old;
}

static void look_at(struct kafka_server *s, const char *id)
{
	if (!may_have_old(s, id))
		return;
	struct sm_msg *msg = calloc(1, sizeof *msg);
	if (!msg)
		return;
	msg->type = &group__expire_type;
	if (kafka__group_tell(s, bytes_str(id), msg))
		free(msg); /* the next look finds it again */
}

void kafka__offsets_look(struct kafka_server *s)
{
	struct sm_log *log = s->log;
	enum sm_err (*lists[])(struct sm_log *, const char *const **, uint32_t *, void **) = {log->ops->groups_kept, log->ops->groups};
	for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
		const char *const *names;
		uint32_t count;
		void *hold;
		if (!lists[k] || lists[k](log, &names, &count, &hold))
			continue;
		for (uint32_t i = 0; i < count; i++)
			look_at(s, names[i]);
		log->ops->offsets_release(log, hold);
	}
}

/* ---- every so often ---- */

struct janitor {
	struct kafka_server *server;
	struct sm_work work;
	atomic_bool busy;
};

static void run(struct sm_work *work)
{
	struct janitor *j = (struct janitor *)((char *)work - offsetof(struct janitor, work));
	struct kafka_server *s = j->server;
	kafka__offsets_look(s);
	atomic_store(&j->busy, false);
	atomic_fetch_sub(&s->users, 1);
}

static enum sm_err janitor_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct kafka_server **)state = arg;
	return sm_timer_start(self, 1, KAFKA_OFFSETS_CHECK_MS, KAFKA_OFFSETS_CHECK_MS);
}

static enum sm_err janitor_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct kafka_server *s = *(struct kafka_server **)state;
	struct janitor *j = s->janitor;
	if (atomic_exchange(&j->busy, true))
		return SM_OK;
	atomic_fetch_add(&s->users, 1);
	j->work = (struct sm_work){.run = run};
	if (sm_pool_run(s->system, &j->work) == SM_OK)
		return SM_OK;
	atomic_store(&j->busy, false); /* the pool is full: another time */
	atomic_fetch_sub(&s->users, 1);
	return SM_OK;
}

static void janitor_done(struct sm_actor *self, void *state)
{
	struct kafka_server *s = *(struct kafka_server **)state;
	if (s)
		atomic_fetch_sub(&s->users, 1);
}

enum sm_err kafka__janitor_start(struct kafka_server *s)
{
	static const struct sm_props props = {.state_size = sizeof(struct kafka_server *),
					      .init = janitor_init,
					      .receive = janitor_receive,
					      .done = janitor_done,
					      .dispatcher = -1};
	if (!s->offsets_retention_ms)
		return SM_OK;
	struct sm_props mine = props;
	mine.arg = s;
	if (!(s->janitor = calloc(1, sizeof *s->janitor)))
		return SM_NO_MEMORY;
	s->janitor->server = s;
	atomic_fetch_add(&s->users, 1);
	enum sm_err err = sm_spawn(s->system, NULL, &mine, &s->janitor_ref);
	if (err)
		atomic_fetch_sub(&s->users, 1);
	return err;
}

void kafka__janitor_stop(struct kafka_server *s)
{
	if (s->janitor_ref)
		sm_stop(s->janitor_ref);
}

void kafka__janitor_free(struct kafka_server *s)
{
	sm_unref(s->janitor_ref);
	free(s->janitor);
}
