/* A connection: the handshake, which system it leads to, and frames. */
#include "base/logging.h"
#include "base/uuid.h"
#include "remoting/remoting_internal.h"

static void link_list(struct link *l)
{
	struct sm_remoting *r = l->r;
	l->prev = NULL;
	l->next = r->links;
	if (l->next)
		l->next->prev = l;
	r->links = l;
}

static void link_unlist(struct link *l)
{
	if (l->prev)
		l->prev->next = l->next;
	else
		l->r->links = l->next;
	if (l->next)
		l->next->prev = l->prev;
}

bool remoting__link_full(const struct link *l)
{
	return net_conn_write_full(l->conn);
}

void remoting__link_close(struct link *l)
{
	if (l->closing)
		return; /* what was written last is still to leave */
	l->closing = true;
	net_conn_close(l->conn);
}

void remoting__link_refuse(struct link *l, enum sm_err why, const char *text)
{
	if (l->closing)
		return;
	struct buf out = {0};
	buf_init(&out);
	frame_code(&out, FRAME_REFUSE, (uint16_t)why, text);
	if (!out.failed)
		net_conn_write(l->conn, buf_bytes(&out));
	buf_done(&out);
	l->closing = true;
	net_conn_finish(l->conn);
}

/* ---- the beginning ---- */

static enum sm_err link_open(struct net_conn *conn, void *state, void *arg)
{
	struct link *l = state;
	struct dial *dial = arg;
	l->conn = conn;
	struct sm_remoting *r = l->r = dial->r;
	l->dial = dial == &r->accepts ? NULL : dial;
	if (!r->self)
		return SM_AGAIN; /* it has just begun to listen; whoever it is will come again */
	l->deadline_ns = actor_now_ns(r->self) + r->options.handshake_ms * 1000000ull;
	l->listed = true;
	link_list(l);
	struct hello mine = {.uid = r->uid, .message_max = r->options.message_max};
	random_bytes(mine.nonce, sizeof mine.nonce);
	snprintf(mine.name, sizeof mine.name, "%s", r->name);
	snprintf(mine.where, sizeof mine.where, "%s", r->where);
	/* A socket pair leads to this process's own child or parent: nobody else can be there. */
	bool pair = l->dial && (l->dial->process_id || l->dial->parent);
	buf_clear(&r->scratch);
	handshake_begin(&l->shake, l->dial && l->dial->dialer, &mine, pair ? bytes_of(NULL, 0) : r->secret, &r->scratch);
	net_conn_write(conn, buf_bytes(&r->scratch));
	return r->scratch.failed ? SM_NO_MEMORY : SM_OK;
}

static void turn_away(struct link *l, enum sm_err why, const char *text)
{
	atomic_fetch_add(&l->r->refused, 1);
	LOG_WARN("remoting", "the connection %s %s is not let in: %s", l->shake.dialer ? "to" : "from", net_conn_peer(l->conn), text);
	remoting__link_refuse(l, why, text);
}

static struct peer *anew(struct sm_remoting *r, struct peer *p, const struct hello *h)
{
	if (p && p->uid && p->uid != h->uid) {
		remoting__peer_gone(p, SM_UNAVAILABLE, "it has been started anew");
		p = NULL;
	}
	return p ? p : remoting__peer_new(r, h->name, h->where, h->uid);
}

/* Whom the connection leads to; NULL: it was turned away. */
static struct peer *find_peer(struct link *l)
{
	struct sm_remoting *r = l->r;
	const struct hello *h = &l->shake.peer;
	char text[2 * sizeof r->address + 160];
	struct peer *p = remoting__peer_of_uid(r, h->uid);
	if (l->dial && l->dial->peer_id) {
		struct peer *dialled = r->peers;
		while (dialled && dialled->id != l->dial->peer_id)
			dialled = dialled->next;
		if (dialled && (strcmp(dialled->name, h->name) != 0 || strcmp(dialled->where, h->where) != 0)) {
			snprintf(text, sizeof text,
				 "smack://%s@%s was called, and it is smack://%s@%s: use the address that a system calls itself",
				 dialled->name, dialled->where, h->name, h->where);
			turn_away(l, SM_NOT_FOUND, text);
			return NULL;
		}
		if (dialled && dialled->uid && dialled->uid != h->uid) {
			remoting__peer_gone(dialled, SM_UNAVAILABLE, "another system is at its address now");
			if (p && p->link) { /* which is connected already */
				remoting__link_close(l);
				return NULL;
			}
		} else if (!p) {
			p = dialled;
		}
	}
	bool pair = l->dial && (l->dial->process_id || l->dial->parent);
	if (p && (strcmp(p->name, h->name) != 0 || strcmp(p->where, h->where) != 0 || (p->link && (p->process || p->is_parent) && !pair))) {
		turn_away(l, SM_DENIED, "it says the UID of a system that is elsewhere");
		return NULL;
	}
	if (!p && h->where[0] != '~')
		p = remoting__peer_at(r, h->name, h->where);
	p = anew(r, p, h);
	if (!p)
		turn_away(l, SM_FULL, "there are as many peers as there may be, or this system is stopping");
	else
		p->uid = h->uid;
	return p;
}

/* Both sides may have connected at the same time: that one stays which the lower UID has made, and is waited for while it is being made, so
 * that nothing is written to one that goes again. False: not this one. */
static bool stays(struct link *l, struct peer *p)
{
	struct sm_remoting *r = l->r;
	bool lower = r->uid < p->uid;
	if (!p->link)
		return l->shake.dialer || !lower || p->at != PEER_DIALING;
	if (l->shake.dialer == p->link->shake.dialer || l->shake.dialer == lower)
		return true;
	return actor_now_ns(r->self) - p->up_ns >= REMOTING_CROSSING_MS * 1000000ull;
}

static void let_in(struct link *l)
{
	struct sm_remoting *r = l->r;
	const struct hello *h = &l->shake.peer;
	if (l->dial)
		l->dial->done = true;
	if (!remoting__name_is_good(h->name) || strpbrk(h->where, "/#@")) {
		turn_away(l, SM_INVALID, "its name or address is none");
		return;
	}
	if (h->uid == r->uid) {
		turn_away(l, SM_INVALID, "it is this system itself");
		return;
	}
	if (remoting__is_quarantined(r, h->uid)) {
		turn_away(l, SM_STALE_EPOCH, "it was given up before, and is quarantined: it must be started anew");
		return;
	}
	struct process *process = l->dial && l->dial->process_id ? remoting__process_of(r, l->dial->process_id) : NULL;
	struct peer *p = l->dial && l->dial->process_id && !process ? NULL : find_peer(l);
	if (!p) {
		remoting__link_close(l);
		return;
	}
	if (!stays(l, p)) {
		remoting__link_close(l);
		return;
	}
	if (p->link) {
		struct link *old = p->link;
		old->peer = NULL;
		p->link = NULL;
		atomic_fetch_sub(&r->connected, 1);
		remoting__link_close(old);
	}
	l->peer = p;
	p->message_max = h->message_max;
	p->is_parent = l->dial && l->dial->parent;
	if (process)
		remoting__process_joined(process, p);
	remoting__peer_up(p, l);
	if (l->peer && p->is_parent)
		remoting__tell_main(p);
}

static enum sm_err shake_hands(struct link *l, const struct frame *f, struct bytes whole)
{
	struct sm_remoting *r = l->r;
	if (f->kind == FRAME_REFUSE) {
		LOG_WARN("remoting", "%s does not let this system in: %s", net_conn_peer(l->conn), sm_err_text((enum sm_err)f->code));
		return SM_DENIED;
	}
	buf_clear(&r->scratch);
	enum sm_err err = handshake_frame(&l->shake, f, whole, &r->scratch);
	if (err) {
		turn_away(l, err, err == SM_DENIED ? "its secret is another one" : "it does not speak this protocol");
		return SM_OK;
	}
	if (buf_size(&r->scratch))
		net_conn_write(l->conn, buf_bytes(&r->scratch));
	if (l->shake.done)
		let_in(l);
	return SM_OK;
}

/* ---- frames ---- */

static enum sm_err refused(struct link *l, const struct frame *f)
{
	struct peer *p = l->peer;
	if (f->code == SM_STALE_EPOCH || f->code == SM_CLOSED)
		remoting__peer_gone(p, f->code == SM_CLOSED ? SM_CLOSED : SM_UNAVAILABLE,
				    f->code == SM_CLOSED ? "has ended"
							 : "it has given this system up, which must be started anew to reach it");
	return SM_CLOSED;
}

static enum sm_err one_frame(struct link *l, struct frame *f, struct bytes whole)
{
	if (!l->shake.done)
		return shake_hands(l, f, whole);
	if (!l->peer)
		return SM_CLOSED;
	phi_alive(&l->peer->phi, actor_now_ns(l->r->self));
	return f->kind == FRAME_REFUSE ? refused(l, f) : remoting__inbound(l->peer, f);
}

static enum sm_err bad_frame(struct link *l, enum sm_err err)
{
	if (l->shake.done)
		LOG_WARN("remoting", "the connection with %s is closed: a frame is wrong (%s)", net_conn_peer(l->conn), sm_err_text(err));
	else
		turn_away(l, err, err == SM_VERSION ? "it speaks another version of the protocol" : "it does not speak this protocol");
	return l->shake.done ? err : SM_OK;
}

static void acknowledge(struct link *l)
{
	struct peer *p = l->peer;
	if (!p || !p->ack_due)
		return;
	p->ack_due = false;
	buf_clear(&l->r->scratch);
	frame_sequence(&l->r->scratch, FRAME_ACK, p->session.received);
	net_conn_write(l->conn, buf_bytes(&l->r->scratch));
}

static enum sm_err link_data(struct net_conn *conn, void *state, struct bytes in, size_t *ret_used)
{
	struct link *l = state;
	size_t used = 0;
	enum sm_err err = SM_OK;
	while (!err && !l->closing) {
		struct frame f;
		size_t size, need;
		struct bytes rest = bytes_of(in.data + used, in.size - used);
		uint32_t max = l->shake.done ? l->r->options.message_max + REMOTING_FRAME_EXTRA : REMOTING_HELLO_MAX - 4;
		if ((err = frame_read(rest, max, &f, &size, &need))) {
			err = bad_frame(l, err);
			break;
		}
		if (!size) {
			net_conn_need(conn, need);
			break;
		}
		used += size;
		if ((err = one_frame(l, &f, bytes_of(rest.data, size))) && l->peer)
			err = bad_frame(l, err);
	}
	if (!err && !l->closing)
		acknowledge(l);
	*ret_used = l->closing ? in.size : used;
	return err;
}

static void link_drained(struct net_conn *conn, void *state)
{
	struct link *l = state;
	struct remote_ref *first = l->peer ? l->peer->refs : NULL, *last = NULL;
	for (struct remote_ref *rr = first; rr; rr = rr->next) {
		actor_foreign_resume(rr->ref);
		last = rr;
	}
	if (first != last) { /* by turns: who is first may fill the connection alone */
		l->peer->refs = first->next;
		first->next->prev = NULL;
		first->next = NULL;
		first->prev = last;
		last->next = first;
	}
	if (l->peer && l->peer->process)
		remoting__process_drained(l->peer->process);
}

static void link_closed(struct net_conn *conn, void *state)
{
	struct link *l = state;
	if (l->listed)
		link_unlist(l);
	if (l->peer)
		remoting__peer_down(l->peer);
}

static void link_drain(struct net_conn *conn, void *state)
{
	((struct link *)state)->closing = true;
	net_conn_finish(conn);
}

const struct net_protocol remoting__protocol = {
	.name = "smack remoting",
	.state_size = sizeof(struct link),
	.open = link_open,
	.data = link_data,
	.drained = link_drained,
	.drain = link_drain,
	.close = link_closed,
};

void remoting__links_tick(struct sm_remoting *r, uint64_t now_ns)
{
	for (struct link *l = r->links, *next; l; l = next) {
		next = l->next;
		if (!l->shake.done && !l->closing && now_ns >= l->deadline_ns)
			turn_away(l, SM_TIMEOUT, "it has not said in time who it is");
	}
}
