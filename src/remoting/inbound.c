/* Frames of a peer that was let in. What cannot be delivered is a dead letter here; what no peer of ours would send closes the connection.
 */
#include "base/logging.h"
#include "remoting/remoting_internal.h"
#include <stdlib.h>

/* Stands for a message that could not be read. */
static void unreadable_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type unreadable_type = {"unreadable message of another system", unreadable_done};

static void refuse_unreadable(struct sm_remoting *r, struct sm_ref *to, struct sm_ref *sender, const struct frame *f)
{
	struct sm_msg *msg = calloc(1, sizeof *msg);
	if (!msg) {
		sm_unref(sender);
		return;
	}
	msg->type = &unreadable_type;
	msg->sender = sender;
	msg->ask_id = sender && f->kind == FRAME_MESSAGE ? actor_ask_id_of_peer(f->ask_id) : 0;
	if (f->kind == FRAME_ANSWER)
		actor_ask_is_gone(to, f->ask_id);
	actor_undeliverable(r->system, to, msg, SM_UNSUPPORTED);
}

/* Errors of a serializer's read are told in the log. */
static struct sm_msg *read_message(struct peer *p, const struct frame *f)
{
	struct sm_remoting *r = p->r;
	const struct sm_serializer *s = remoting__serial_of_id(&r->serials, f->serializer);
	struct sm_msg *msg = NULL;
	if (!s || f->version < s->version_min || f->version > s->version) {
		LOG_WARN("remoting",
			 "a message of smack://%s@%s for %.*s cannot be read: %s %u, version %u: register it, or start the newer program "
			 "here",
			 p->name, p->where, (int)f->target.size, (const char *)f->target.data,
			 s ? "a version is not known of serializer" : "there is no serializer", f->serializer, f->version);
		return NULL;
	}
	struct sm_reader in = {r, byte_reader(f->body)};
	enum sm_err err = s->read(&in, f->version, &msg);
	if (!err && (in.in.failed || reader_left(&in.in))) {
		sm_msg_free(msg);
		err = SM_CORRUPT;
	}
	if (!err)
		return msg;
	LOG_WARN("remoting", "a message of smack://%s@%s for %.*s cannot be read by serializer %u (%s): %s", p->name, p->where,
		 (int)f->target.size, (const char *)f->target.data, f->serializer, s->type->name, sm_err_text(err));
	return NULL;
}

static void deliver(struct peer *p, struct sm_ref *to, bool there, struct sm_msg *msg, struct sm_ref *sender, const struct frame *f)
{
	enum sm_err err;
	msg->sender = sender;
	if (f->kind == FRAME_ANSWER) {
		err = there ? actor_answer(to, f->ask_id, msg) : SM_GONE;
	} else {
		msg->ask_id = sender ? actor_ask_id_of_peer(f->ask_id) : 0;
		err = there ? sm_send(to, msg) : SM_GONE;
	}
	if (err)
		actor_undeliverable(p->r->system, to, msg, err);
}

static enum sm_err message(struct peer *p, const struct frame *f)
{
	struct sm_remoting *r = p->r;
	struct sm_ref *sender = NULL;
	enum sm_err err = f->sender.size ? remoting__ref_of(r, p, f->sender, &sender) : SM_OK;
	if (err == SM_FULL) {
		remoting__sweep(r);
		err = remoting__ref_of(r, p, f->sender, &sender);
	}
	if (err == SM_INVALID || (f->kind == FRAME_ANSWER && !f->ask_id))
		return SM_CORRUPT;
	atomic_fetch_add_explicit(&r->received, 1, memory_order_relaxed);
	struct sm_ref *to = f->kind == FRAME_ANSWER ? remoting__local_asker(r, f->target) : remoting__local(r, f->target);
	bool there = to != NULL;
	if (!to)
		to = sm_ref_get(r->nobody);
	struct sm_msg *msg = read_message(p, f);
	if (msg)
		deliver(p, to, there, msg, sender, f);
	else
		refuse_unreadable(r, to, sender, f);
	if (f->kind == FRAME_ANSWER && there && actor_ref_sort(to) == ACTOR_REF_WAITER) {
		char name[REMOTING_PATH_MAX + 1];
		memcpy(name, f->target.data, f->target.size);
		name[f->target.size] = 0;
		remoting__forget_name(r, name);
	}
	sm_unref(to);
	return SM_OK;
}

static void gone(struct sm_remoting *r, const struct frame *f)
{
	struct sm_ref *to = remoting__local_asker(r, f->target);
	if (to)
		actor_ask_is_gone(to, f->ask_id);
	sm_unref(to);
}

/* ---- watches of the peer's actors ---- */

static bool is_watched(const struct sm_remoting *r, const struct sm_ref *ref)
{
	for (const struct peer *p = r->peers; p; p = p->next)
		for (uint32_t i = 0; i < p->watch_count; i++)
			if (p->watches[i].ref == ref)
				return true;
	return false;
}

static void watch_drop(struct peer *p, uint32_t at)
{
	struct sm_ref *ref = p->watches[at].ref;
	free(p->watches[at].name);
	p->watches[at] = p->watches[--p->watch_count];
	if (ref != p->r->main && !actor_ref_closed(ref) && !is_watched(p->r, ref)) /* main is watched by the core itself, too */
		sm_unwatch(p->r->self, ref);
	sm_unref(ref);
}

static bool watch_add(struct peer *p, struct sm_ref *ref, struct bytes name)
{
	if (p->watch_count == p->watch_cap) {
		uint32_t cap = p->watch_cap ? p->watch_cap * 2 : 16;
		struct inbound_watch *watches = cap <= REMOTING_WATCHES_MAX ? realloc(p->watches, cap * sizeof *watches) : NULL;
		if (!watches)
			return false;
		p->watches = watches;
		p->watch_cap = cap;
	}
	char *copy = strndup((const char *)name.data, name.size);
	if (!copy || sm_watch(p->r->self, ref)) {
		free(copy);
		return false;
	}
	p->watches[p->watch_count++] = (struct inbound_watch){sm_ref_get(ref), copy};
	return true;
}

static bool watch_is(const struct inbound_watch *w, struct bytes name)
{
	return bytes_equal(bytes_str(w->name), name);
}

static void watch(struct peer *p, struct bytes name)
{
	struct sm_ref *ref = remoting__local(p->r, name);
	bool there = ref && watch_add(p, ref, name);
	if (ref && !there)
		LOG_WARN("remoting", "smack://%s@%s watches more here than the %u that it may: it is told that it does not", p->name,
			 p->where, REMOTING_WATCHES_MAX);
	if (!there)
		remoting__peer_tell(p, SYSTEM_ENDED, 0, ref ? SM_FULL : SM_GONE, &name, 1);
	sm_unref(ref);
}

static void unwatch(struct peer *p, struct bytes name)
{
	for (uint32_t i = 0; i < p->watch_count; i++)
		if (watch_is(&p->watches[i], name)) {
			watch_drop(p, i);
			return;
		}
}

void remoting__ended_here(struct sm_remoting *r, struct sm_ref *ref, enum sm_err why)
{
	for (struct peer *p = r->peers, *next; p; p = next) {
		next = p->next;
		for (uint32_t i = 0; i < p->watch_count; i++) {
			if (p->watches[i].ref != ref)
				continue;
			struct bytes name = bytes_str(p->watches[i].name);
			bool there = remoting__peer_tell(p, SYSTEM_ENDED, 0, (uint16_t)why, &name, 1);
			if (there)
				watch_drop(p, i);
			break;
		}
	}
}

void remoting__inbound_clear(struct peer *p)
{
	while (p->watch_count)
		watch_drop(p, p->watch_count - 1);
	free(p->watches);
	p->watches = NULL;
}

/* ---- system messages ---- */

static void ended_there(struct peer *p, struct bytes name, uint16_t code)
{
	struct sm_ref *ref;
	if (remoting__foreign(p->r, p->uid, p->name, p->where, name, &ref))
		return;
	bool known = strcmp(sm_err_name((enum sm_err)code), "SM_?") != 0;
	actor_foreign_end(ref, known ? (enum sm_err)code : SM_FAILED);
	sm_unref(ref);
}

static void stop(struct sm_remoting *r, struct bytes name, bool now)
{
	struct sm_ref *ref = remoting__local(r, name);
	if (ref && now)
		sm_stop_now(ref);
	else if (ref)
		sm_stop(ref);
	sm_unref(ref);
}

static void find(struct peer *p, struct frame *f)
{
	struct sm_remoting *r = p->r;
	struct bytes name = frame_next_name(f);
	char text[REMOTING_PATH_MAX + 1], one[REMOTING_PATH_MAX + 1];
	struct sm_ref *refs[REMOTING_FOUND_MAX];
	struct bytes names[REMOTING_FOUND_MAX];
	char *copies[REMOTING_FOUND_MAX];
	uint32_t count = 0, size = 0;
	uint16_t written = 0;
	memcpy(text, name.data, name.size);
	text[name.size] = 0;
	if (f->system == SYSTEM_FIND_KEY)
		count = sm_find(r->system, text, refs, REMOTING_FOUND_MAX);
	else
		count = actor_find(r->system, text, 0, refs) == SM_OK;
	for (uint32_t i = 0; i < count && i < REMOTING_FOUND_MAX; i++) {
		if (remoting__name_of(r, refs[i], one) == SM_OK && size + strlen(one) < REMOTING_FOUND_BYTES &&
		    (copies[written] = strdup(one))) {
			names[written] = bytes_str(copies[written]);
			size += (uint32_t)names[written++].size;
		}
		sm_unref(refs[i]);
	}
	remoting__peer_tell(p, SYSTEM_FOUND, f->token, written ? SM_OK : SM_NOT_FOUND, names, written);
	for (uint16_t i = 0; i < written; i++)
		free(copies[i]);
}

static void main_is(struct peer *p, struct bytes name)
{
	struct sm_ref *ref;
	if (p->process && !remoting__foreign(p->r, p->uid, p->name, p->where, name, &ref))
		remoting__process_main(p->process, ref);
}

static enum sm_err system_message(struct peer *p, struct frame *f)
{
	enum sm_err err = session_receive(&p->session, f->sequence);
	p->ack_due = true;
	if (err == SM_DUPLICATE)
		return SM_OK;
	if (err)
		return err;
	struct bytes name = f->name_count ? bytes_of(f->names.data + 2, be16_get(f->names.data)) : BYTES("");
	switch (f->system) {
	case SYSTEM_WATCH: watch(p, name); break;
	case SYSTEM_UNWATCH: unwatch(p, name); break;
	case SYSTEM_ENDED: ended_there(p, name, f->code); break;
	case SYSTEM_STOP: stop(p->r, name, false); break;
	case SYSTEM_STOP_NOW: stop(p->r, name, true); break;
	case SYSTEM_FIND:
	case SYSTEM_FIND_KEY: find(p, f); break;
	case SYSTEM_FOUND: remoting__found(p, f); break;
	case SYSTEM_MAIN: main_is(p, name); break;
	case SYSTEM_KIND_END: return SM_CORRUPT;
	}
	return SM_OK;
}

enum sm_err remoting__inbound(struct peer *p, struct frame *f)
{
	switch (f->kind) {
	case FRAME_MESSAGE:
	case FRAME_ANSWER: return message(p, f);
	case FRAME_GONE: gone(p->r, f); return SM_OK;
	case FRAME_SYSTEM: return system_message(p, f);
	case FRAME_HEARTBEAT: phi_heartbeat(&p->phi, actor_now_ns(p->r->self)); return session_acknowledged(&p->session, f->sequence);
	case FRAME_ACK: return session_acknowledged(&p->session, f->sequence);
	case FRAME_GOODBYE: remoting__peer_gone(p, SM_CLOSED, "has ended"); return SM_OK;
	default: return SM_CORRUPT;
	}
}
