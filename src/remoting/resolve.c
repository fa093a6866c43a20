/* What an address names is asked of its system. The requests are asks to the core, which keeps them until the answer comes or their time is
 * up. */
#include "base/logging.h"
#include "remoting/remoting_internal.h"
#include <stdlib.h>

struct request {
	struct sm_msg msg; /* first */
	struct remoting_address address;
	uint32_t timeout_ms;
};
static void request_done(struct sm_msg *msg)
{
	free(msg);
}
const struct sm_msg_type remoting__msg_resolve = {"remoting resolve", request_done};

struct resolved {
	struct sm_resolved_msg resolved;
	struct sm_ref *refs[];
};
static void resolved_done(struct sm_msg *msg)
{
	struct resolved *m = (struct resolved *)msg;
	for (uint32_t i = 0; i < m->resolved.count; i++)
		sm_unref(m->refs[i]);
	free(m);
}
const struct sm_msg_type sm_msg_resolved = {"resolved", resolved_done};

struct resolve {
	struct resolve *next;
	struct request *request;
	uint64_t token, deadline_ns;
	uint64_t asked_uid; /* whom it was asked of; 0: nobody yet */
};

static struct resolved *resolved_new(uint32_t count, enum sm_err why)
{
	struct resolved *m = calloc(1, sizeof *m + count * sizeof *m->refs);
	if (!m)
		return NULL;
	m->resolved.msg.type = &sm_msg_resolved;
	m->resolved.why = why;
	m->resolved.refs = m->refs;
	return m;
}

/* Takes the request out; answer may be NULL: its time runs out. */
static void finish(struct sm_remoting *r, struct resolve **at, struct resolved *answer)
{
	struct resolve *one = *at;
	*at = one->next;
	r->resolve_count--;
	if (answer)
		sm_reply(r->self, &one->request->msg, &answer->resolved.msg);
	sm_msg_free(&one->request->msg);
	free(one);
}

static const char *key_in(const char *path)
{
	return strncmp(path, "/key/", 5) == 0 ? path + 5 : NULL;
}

static void ask(struct peer *p, struct resolve *one)
{
	const struct remoting_address *a = &one->request->address;
	const char *key = key_in(a->path);
	struct bytes name = bytes_str(key ? key : a->path);
	one->asked_uid = p->uid;
	remoting__peer_tell(p, key ? SYSTEM_FIND_KEY : SYSTEM_FIND, one->token, 0, &name, 1);
}

static bool is_for(const struct resolve *one, const struct peer *p)
{
	const struct remoting_address *a = &one->request->address;
	return strcmp(a->where, p->where) == 0 && strcmp(a->name, p->name) == 0;
}

bool remoting__resolves_need(const struct sm_remoting *r, const struct peer *p)
{
	const struct resolve *one = r->resolves;
	while (one && !is_for(one, p))
		one = one->next;
	return one != NULL;
}

void remoting__resolves_send(struct peer *p)
{
	uint64_t id = p->id;
	struct sm_remoting *r = p->r;
	for (struct resolve *one = r->resolves; one; one = one->next) {
		if (!is_for(one, p) || one->asked_uid == p->uid)
			continue;
		ask(p, one);
		struct peer *still = r->peers;
		while (still && still->id != id)
			still = still->next;
		if (!still)
			return;
	}
}

/* Of this system itself. */
static void answer_here(struct sm_remoting *r, struct request *q)
{
	struct sm_ref *refs[REMOTING_FOUND_MAX];
	const char *key = key_in(q->address.path);
	uint32_t count = key ? sm_find(r->system, key, refs, REMOTING_FOUND_MAX) : actor_find(r->system, q->address.path, 0, refs) == SM_OK;
	if (count > REMOTING_FOUND_MAX)
		count = REMOTING_FOUND_MAX;
	struct resolved *m = resolved_new(count, count ? SM_OK : SM_NOT_FOUND);
	for (uint32_t i = 0; i < count; i++) {
		if (m)
			m->refs[m->resolved.count++] = refs[i];
		else
			sm_unref(refs[i]);
	}
	if (m)
		sm_reply(r->self, &q->msg, &m->resolved.msg);
}

void remoting__resolve(struct sm_remoting *r, struct sm_msg *msg)
{
	struct request *q = (struct request *)msg;
	if (strcmp(q->address.where, r->where) == 0 && strcmp(q->address.name, r->name) == 0) {
		answer_here(r, q);
		return;
	}
	struct resolve *one = r->resolve_count < REMOTING_RESOLVES_MAX && !r->stopping ? calloc(1, sizeof *one) : NULL;
	struct peer *p = one ? remoting__peer_at(r, q->address.name, q->address.where) : NULL;
	if (one && !p)
		p = remoting__peer_new(r, q->address.name, q->address.where, 0);
	if (!p) {
		free(one);
		struct resolved *m = resolved_new(0, SM_FULL);
		if (m)
			sm_reply(r->self, msg, &m->resolved.msg);
		return;
	}
	sm_msg_keep(r->self);
	*one = (struct resolve){.next = r->resolves, .request = q, .token = ++r->next_id};
	one->deadline_ns = actor_now_ns(r->self) + q->timeout_ms * 1000000ull;
	r->resolves = one;
	r->resolve_count++;
	if (p->link)
		ask(p, one);
	else
		remoting__peer_want(p);
}

void remoting__found(struct peer *p, struct frame *f)
{
	struct sm_remoting *r = p->r;
	struct resolve **at = &r->resolves;
	while (*at && ((*at)->token != f->token || (*at)->asked_uid != p->uid))
		at = &(*at)->next;
	if (!*at)
		return;
	bool known = strcmp(sm_err_name((enum sm_err)f->code), "SM_?") != 0;
	struct resolved *m = resolved_new(f->name_count, known ? (enum sm_err)f->code : SM_FAILED);
	for (uint16_t i = 0; m && i < f->name_count; i++)
		if (!remoting__foreign(r, p->uid, p->name, p->where, frame_next_name(f), &m->refs[m->resolved.count]))
			m->resolved.count++;
	if (m && !m->resolved.why && !m->resolved.count)
		m->resolved.why = SM_FULL;
	finish(r, at, m);
}

void remoting__resolves_tick(struct sm_remoting *r, uint64_t now_ns)
{
	for (struct resolve **at = &r->resolves; *at;) {
		struct resolve *one = *at;
		if (now_ns >= one->deadline_ns) {
			finish(r, at, NULL);
			continue;
		}
		at = &one->next;
		const struct remoting_address *a = &one->request->address;
		/* The system that it was asked of may have been started anew meanwhile. */
		if (!remoting__peer_at(r, a->name, a->where))
			(void)!remoting__peer_new(r, a->name, a->where, 0);
	}
}

void remoting__resolves_end(struct sm_remoting *r)
{
	while (r->resolves)
		finish(r, &r->resolves, NULL);
}

/* ---- those who ask ---- */

static struct request *request_new(const char *address, uint32_t timeout_ms, enum sm_err *ret_err)
{
	struct request *q = calloc(1, sizeof *q);
	*ret_err = q ? SM_OK : SM_NO_MEMORY;
	if (!q)
		return NULL;
	q->msg.type = &remoting__msg_resolve;
	q->timeout_ms = timeout_ms;
	if (remoting__address_parse(bytes_str(address), &q->address) && q->address.path[0] && !q->address.uid)
		return q;
	free(q);
	*ret_err = SM_INVALID;
	return NULL;
}

enum sm_err sm_resolve(struct sm_actor *self, struct sm_remoting *remoting, const char *address, uint32_t timeout_ms, uint64_t *ret_ask_id)
{
	enum sm_err err;
	struct request *q = request_new(address, timeout_ms, &err);
	if (q && (err = sm_ask(self, remoting->core, &q->msg, timeout_ms, ret_ask_id)))
		free(q);
	return err;
}

enum sm_err sm_resolve_wait(struct sm_remoting *remoting, const char *address, uint32_t timeout_ms, struct sm_ref **ret_ref,
			    struct sm_error *reterr)
{
	enum sm_err err;
	struct sm_msg *answer;
	struct request *q = request_new(address, timeout_ms, &err);
	if (err == SM_INVALID)
		return sm_fail(reterr, err,
			       "\"%s\" is no address to look at: use one as smack://orders@127.0.0.1:2552/root/writer or .../key/writers",
			       address);
	if (!q)
		return sm_fail(reterr, err, "no memory to look for %s", address);
	if ((err = sm_ask_wait(remoting->system, remoting->core, &q->msg, timeout_ms, &answer))) {
		if (err != SM_TIMEOUT && err != SM_CANCELLED)
			free(q);
		return sm_fail(reterr, err == SM_CANCELLED ? SM_CLOSED : err, "%s was not reached within %u ms: %s", address, timeout_ms,
			       sm_err_text(err));
	}
	const struct sm_resolved_msg *m = (const struct sm_resolved_msg *)answer;
	if (!(err = m->why))
		*ret_ref = sm_ref_get(m->refs[0]);
	sm_msg_free(answer);
	return err ? sm_fail(reterr, err, "%s: %s", address,
			     err == SM_NOT_FOUND ? "the system is there, and has no such actor" : sm_err_text(err))
		   : SM_OK;
}
