/* Other systems: met, reached, lost, given up.
 *
 *   IDLE -> DIALING -> UP -> IDLE ...          gone: freed, its UID is quarantined
 *
 * A peer that has been met is watched by the failure detector from its first heartbeat on, connected or not: a connection that breaks and
 * cannot be made again in time ends in the same verdict as silence on one that stands. */
#include "base/logging.h"
#include "base/uuid.h"
#include "remoting/remoting_internal.h"
#include <assert.h>
#include <stdlib.h>

uint64_t remoting__random(void)
{
	uint64_t v;
	random_bytes(&v, sizeof v);
	return v;
}

uint64_t remoting__jitter_ns(uint32_t ms)
{
	return (ms - remoting__random() % (ms / 5 + 1)) * 1000000ull;
}

/* ---- quarantine ---- */

static struct bytes uid_key(const uint64_t *uid)
{
	return bytes_of(uid, sizeof *uid);
}

bool remoting__is_quarantined(const struct sm_remoting *r, uint64_t uid)
{
	return map_get(&r->quarantined, uid_key(&uid)) != NULL;
}

static void quarantine(struct sm_remoting *r, uint64_t uid)
{
	if (remoting__is_quarantined(r, uid))
		return;
	if (r->quarantine_next == r->quarantine_size && r->quarantine_size < REMOTING_QUARANTINED_MAX) {
		uint32_t size = r->quarantine_size ? r->quarantine_size * 2 : 64;
		uint64_t *ring = realloc(r->quarantine_ring, size * sizeof *ring);
		if (!ring)
			return;
		memset(ring + r->quarantine_size, 0, (size - r->quarantine_size) * sizeof *ring);
		r->quarantine_ring = ring;
		r->quarantine_size = size;
	}
	uint64_t *place = &r->quarantine_ring[r->quarantine_next % r->quarantine_size];
	if (*place)
		map_remove(&r->quarantined, uid_key(place));
	*place = 0;
	if (map_put(&r->quarantined, uid_key(&uid), r, NULL))
		return;
	*place = uid;
	r->quarantine_next = (r->quarantine_next + 1) % REMOTING_QUARANTINED_MAX;
	atomic_store(&r->quarantined_count, (uint32_t)r->quarantined.count);
}

/* ---- finding ---- */

struct peer *remoting__peer_of_uid(struct sm_remoting *r, uint64_t uid)
{
	struct peer *p = r->peers;
	while (p && p->uid != uid)
		p = p->next;
	return p;
}

struct peer *remoting__peer_at(struct sm_remoting *r, const char *name, const char *where)
{
	struct peer *p = r->peers;
	while (p && (strcmp(p->where, where) != 0 || strcmp(p->name, name) != 0))
		p = p->next;
	return p;
}

/* One that was never met, and of which nobody wants anything. */
static bool forget_one(struct sm_remoting *r)
{
	for (struct peer **at = &r->peers; *at; at = &(*at)->next) {
		struct peer *p = *at;
		if (p->uid || p->at != PEER_IDLE || p->refs || remoting__resolves_need(r, p))
			continue;
		*at = p->next;
		r->peer_count--;
		session_done(&p->session);
		free(p);
		return true;
	}
	return false;
}

struct peer *remoting__peer_new(struct sm_remoting *r, const char *name, const char *where, uint64_t uid)
{
	if (r->stopping || (r->peer_count >= REMOTING_PEERS_MAX && !forget_one(r)))
		return NULL;
	struct peer *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->r = r;
	p->id = ++r->next_id;
	snprintf(p->name, sizeof p->name, "%s", name);
	snprintf(p->where, sizeof p->where, "%s", where);
	p->uid = uid;
	const struct sm_remoting_options *o = &r->options;
	session_init(&p->session, o->unacknowledged_max);
	phi_init(&p->phi, o->heartbeat_ms, o->min_deviation_ms, o->acceptable_pause_ms);
	if (uid) /* from a reference: it must be met within the pause, or it is not there */
		phi_heartbeat(&p->phi, actor_now_ns(r->self));
	p->next = r->peers;
	r->peers = p;
	r->peer_count++;
	return p;
}

/* ---- connecting ---- */

/* Once as a warning; it is tried again and again. */
void remoting__peer_not_reached(struct peer *p, const char *why)
{
	log_line(p->complained ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "remoting", "cannot connect to smack://%s@%s: %s; it is tried again",
		 p->name, p->where, why);
	p->complained = true;
	p->at = PEER_IDLE;
}

void remoting__peer_want(struct peer *p)
{
	struct sm_remoting *r = p->r;
	uint64_t now = actor_now_ns(r->self);
	if (p->at != PEER_IDLE || p->where[0] == '~' || r->stopping || now < p->dial_ns)
		return;
	p->backoff_ms = p->backoff_ms ? p->backoff_ms * 2 : r->options.backoff_min_ms;
	if (p->backoff_ms > r->options.backoff_max_ms)
		p->backoff_ms = r->options.backoff_max_ms;
	p->dial_ns = now + remoting__jitter_ns(p->backoff_ms);
	enum sm_err err = remoting__dial(p);
	if (err) {
		remoting__peer_not_reached(p, sm_err_text(err));
		return;
	}
	p->at = PEER_DIALING;
	p->dial_deadline_ns = now + 2ull * r->options.handshake_ms * 1000000;
}

void remoting__dialled(struct sm_remoting *r, struct sm_msg *msg)
{
	struct dial *d = (struct dial *)msg;
	struct peer *p = r->peers;
	while (p && p->id != d->peer_id)
		p = p->next;
	if (!p || p->at != PEER_DIALING || r->stopping)
		return; /* freed with the message, and its socket */
	if (d->fd < 0) {
		remoting__peer_not_reached(p, d->error);
		return;
	}
	sm_msg_keep(r->self);
	remoting__adopt(r, d, d->host[0] ? r->client_tls : NULL);
}

static void restart_phi(struct peer *p)
{
	const struct sm_remoting_options *o = &p->r->options;
	uint64_t now = actor_now_ns(p->r->self);
	if (!p->phi.last_ns)
		phi_init(&p->phi, o->heartbeat_ms, o->min_deviation_ms, o->acceptable_pause_ms);
	p->phi.beat_ns = 0;
	phi_heartbeat(&p->phi, now);
}

void remoting__peer_up(struct peer *p, struct link *link)
{
	struct sm_remoting *r = p->r;
	p->link = link;
	p->at = PEER_UP;
	p->backoff_ms = 0;
	p->complained = false;
	p->up_ns = actor_now_ns(r->self);
	p->heartbeat_ns = 0;
	restart_phi(p);
	atomic_fetch_add(&r->connected, 1);
	buf_clear(&r->scratch);
	frame_sequence(&r->scratch, FRAME_HEARTBEAT, p->session.received);
	session_resend(&p->session, &r->scratch);
	net_conn_write(link->conn, buf_bytes(&r->scratch));
	if (r->scratch.cap > 65536 || r->scratch.failed)
		buf_done(&r->scratch);
	LOG_INFO("remoting", "connected with smack://%s@%s, UID %llx", p->name, p->where, (unsigned long long)p->uid);
	for (struct remote_ref *rr = p->refs; rr; rr = rr->next)
		actor_foreign_resume(rr->ref);
	remoting__resolves_send(p);
}

void remoting__peer_down(struct peer *p)
{
	if (p->link)
		atomic_fetch_sub(&p->r->connected, 1);
	p->link = NULL;
	p->at = PEER_IDLE;
	if (p->process)
		remoting__process_link_lost(p->process);
	if (p->is_parent)
		remoting__parent_gone(p->r, SM_UNAVAILABLE);
}

void remoting__peer_gone(struct peer *p, enum sm_err why, const char *reason)
{
	struct sm_remoting *r = p->r;
	struct peer **at = &r->peers;
	log_line(why == SM_CLOSED ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "remoting", "smack://%s@%s, UID %llx, %s%s", p->name, p->where,
		 (unsigned long long)p->uid, why == SM_CLOSED ? "" : "is given up: ", reason);
	if (p->uid && p->up_ns) /* nothing is shared with one that was never met */
		quarantine(r, p->uid);
	struct link *link = p->link;
	if (link) {
		link->peer = NULL;
		remoting__peer_down(p);
		remoting__link_refuse(link, why == SM_CLOSED ? SM_CLOSED : SM_STALE_EPOCH, reason);
	}
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	r->peer_count--;
	while (p->refs) {
		struct remote_ref *rr = p->refs;
		p->refs = rr->next;
		if (p->refs)
			p->refs->prev = NULL;
		rr->peer = NULL;
		rr->next = rr->prev = NULL;
		actor_foreign_end(rr->ref, why);
	}
	remoting__inbound_clear(p);
	session_done(&p->session);
	free(p);
}

bool remoting__peer_tell(struct peer *p, enum system_kind kind, uint64_t token, uint16_t code, const struct bytes *names, uint16_t count)
{
	struct buf *body = &p->r->scratch2, *out = p->link ? &p->r->scratch : NULL;
	buf_clear(body);
	buf_clear(&p->r->scratch);
	frame_system(body, kind, token, code, names, count);
	enum sm_err err = body->failed ? SM_NO_MEMORY : session_send(&p->session, buf_bytes(body), out);
	if (err) {
		remoting__peer_gone(p, SM_UNAVAILABLE,
				    err == SM_FULL ? "more watches, notices and stops are not acknowledged than may be kept"
						   : "there is no memory to tell it something");
		return false;
	}
	if (out)
		net_conn_write(p->link->conn, buf_bytes(out));
	return true;
}

/* ---- time passes ---- */

/* False: it is gone. */
static bool looks_alive(struct peer *p, uint64_t now_ns)
{
	if (!p->uid || phi_value(&p->phi, now_ns) < p->r->options.threshold)
		return true;
	remoting__peer_gone(p, SM_UNAVAILABLE, p->link ? "no heartbeats come any more" : "it cannot be reached any more");
	return false;
}

static void peer_tick(struct peer *p, uint64_t now_ns)
{
	struct sm_remoting *r = p->r;
	if (!looks_alive(p, now_ns))
		return;
	if (p->at == PEER_DIALING && now_ns >= p->dial_deadline_ns)
		p->at = PEER_IDLE;
	if (p->link && now_ns >= p->heartbeat_ns) {
		p->heartbeat_ns = now_ns + r->options.heartbeat_ms * 1000000ull;
		buf_clear(&r->scratch);
		frame_sequence(&r->scratch, FRAME_HEARTBEAT, p->session.received);
		net_conn_write(p->link->conn, buf_bytes(&r->scratch));
	}
	/* A peer that was met is looked for again even if nobody wants anything of it: its actors may wait for notices of ours. */
	if (p->at == PEER_IDLE && (p->uid || remoting__resolves_need(r, p)))
		remoting__peer_want(p);
}

void remoting__peers_tick(struct sm_remoting *r, uint64_t now_ns)
{
	uint64_t late = r->tick_ns && now_ns > r->tick_ns ? now_ns - r->tick_ns : 0;
	/* This process has stood still: what came meanwhile is not read yet. */
	if (late > r->options.heartbeat_ms * 1000000ull)
		for (struct peer *p = r->peers; p; p = p->next)
			phi_pardon(&p->phi, late, now_ns);
	for (struct peer *p = r->peers, *next; p; p = next) {
		next = p->next;
		peer_tick(p, now_ns);
	}
}
