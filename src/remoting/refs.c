/* References to actors elsewhere, and the names that peers have for actors here.
 *
 * One address a remote actor, found by UID and path, held once by the table: who sends to it, watches it or keeps it holds it, too, and
 * what nobody else holds is swept out now and then. Names of actors are remembered so that a message finds its receiver without a walk
 * through the tree; a thread that waits for an answer (sm_ask_wait) has a name only there. */
#include "remoting/remoting_internal.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- addresses of actors elsewhere ---- */

static bool foreign_ready(struct sm_ref *ref, void *own)
{
	struct remote_ref *rr = own;
	struct sm_remoting *r = rr->r;
	if (rr->process)
		return remoting__process_ready(rr->process);
	if (!rr->peer) {
		struct peer *p = NULL;
		if (!remoting__is_quarantined(r, rr->uid) && !(p = remoting__peer_of_uid(r, rr->uid)))
			p = remoting__peer_new(r, rr->name, rr->where, rr->uid);
		if (!p) {
			actor_foreign_end(ref, SM_UNAVAILABLE);
			return false;
		}
		rr->peer = p;
		rr->prev = NULL;
		rr->next = p->refs;
		if (rr->next)
			rr->next->prev = rr;
		p->refs = rr;
	}
	if (rr->peer->link)
		return !remoting__link_full(rr->peer->link);
	remoting__peer_want(rr->peer);
	return false;
}

static void foreign_message(struct sm_ref *ref, void *own, enum actor_foreign_sort sort, struct sm_msg *msg)
{
	struct remote_ref *rr = own;
	if (rr->process)
		remoting__process_message(rr->process, ref, sort, msg);
	else
		remoting__outbound(rr->peer, ref, bytes_of(rr->path, rr->path_size), sort, msg);
}

static void foreign_watched(struct sm_ref *ref, void *own, bool some)
{
	struct remote_ref *rr = own;
	if (rr->process)
		return;
	(void)foreign_ready(ref, own); /* finds its peer */
	struct bytes name = bytes_of(rr->path, rr->path_size);
	if (rr->peer && remoting__peer_tell(rr->peer, some ? SYSTEM_WATCH : SYSTEM_UNWATCH, 0, 0, &name, 1) && !rr->peer->link)
		remoting__peer_want(rr->peer);
}

const struct actor_foreign_ops remoting__foreign_ops = {foreign_ready, foreign_message, foreign_watched};

struct remote_ref *remoting__remote(struct sm_ref *ref)
{
	return actor_ref_sort(ref) == ACTOR_REF_FOREIGN ? actor_foreign_own(ref) : NULL;
}

static struct bytes key_of(uint64_t uid, struct bytes path, uint8_t out[8 + REMOTING_PATH_MAX])
{
	be64_put(out, uid);
	memcpy(out + 8, path.data, path.size);
	return bytes_of(out, 8 + path.size);
}

static struct sm_ref *foreign_make(struct sm_remoting *r, uint64_t uid, const char *name, const char *where, struct bytes path)
{
	size_t name_size = strlen(name) + 1, where_size = strlen(where) + 1;
	struct sm_ref *ref = actor_foreign_new(r->system, r->dispatcher, &remoting__foreign_ops,
					       sizeof(struct remote_ref) + path.size + 1 + name_size + where_size, r->options.mailbox_max);
	if (!ref)
		return NULL;
	struct remote_ref *rr = actor_foreign_own(ref);
	rr->r = r;
	rr->ref = ref;
	rr->uid = uid;
	rr->path_size = path.size;
	memcpy(rr->path, path.data, path.size);
	char *at = rr->path + path.size + 1;
	rr->name = memcpy(at, name, name_size);
	rr->where = memcpy(at + name_size, where, where_size);
	return ref;
}

/* "/root/x#3": what has come from a peer is written into addresses again. */
static bool is_name(struct bytes path)
{
	const uint8_t *hash = path.size > 2 && path.size <= REMOTING_PATH_MAX && path.data[0] == '/' ? memrchr(path.data, '#', path.size)
												     : NULL;
	size_t at = hash ? (size_t)(hash - path.data) : 0, digits = hash ? path.size - at - 1 : 0;
	if (!hash || at < 2 || at > REMOTING_PATH_MAX - 24 || digits == 0 || digits > 19 || memchr(path.data, 0, path.size))
		return false;
	while (digits && hash[digits] >= '0' && hash[digits] <= '9')
		digits--;
	return digits == 0;
}

enum sm_err remoting__foreign(struct sm_remoting *r, uint64_t uid, const char *name, const char *where, struct bytes path,
			      struct sm_ref **ret_ref)
{
	uint8_t key_bytes[8 + REMOTING_PATH_MAX];
	if (!is_name(path))
		return SM_INVALID;
	struct bytes key = key_of(uid, path, key_bytes);
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&r->lock);
	struct sm_ref *ref = map_get(&r->foreign, key);
	if (!ref && (r->closed || r->foreign.count >= REMOTING_REFS_MAX)) {
		err = r->closed ? SM_CLOSED : SM_FULL;
	} else if (!ref && !(ref = foreign_make(r, uid, name, where, path))) {
		err = SM_NO_MEMORY;
	} else if (!map_get(&r->foreign, key)) {
		r->since_sweep++;
		if ((err = map_put(&r->foreign, key, ref, NULL)))
			sm_unref(ref);
	}
	if (!err)
		*ret_ref = sm_ref_get(ref);
	pthread_mutex_unlock(&r->lock);
	return err;
}

/* ---- names of actors here ---- */

/* Under the lock: those that have ended, and, if there is no room, those that are found again in the tree. */
static void sweep_names(struct sm_remoting *r)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	bool full = r->names.count >= REMOTING_NAMES_MAX;
	while (map_next(&r->names, &pos, &key, &value)) {
		bool found_again = full && actor_ref_sort(value) == ACTOR_REF_ACTOR;
		if (!actor_ref_closed(value) && !found_again)
			continue;
		map_remove(&r->names, key);
		sm_unref(value);
	}
}

enum sm_err remoting__remember_name(struct sm_remoting *r, const char *name, struct sm_ref *ref)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&r->lock);
	if (r->names.count >= REMOTING_NAMES_MAX)
		sweep_names(r);
	if (!map_get(&r->names, bytes_str(name))) {
		err = r->closed                              ? SM_CLOSED
		      : r->names.count >= REMOTING_NAMES_MAX ? SM_FULL
							     : map_put(&r->names, bytes_str(name), ref, NULL);
		if (!err)
			sm_ref_get(ref);
	}
	pthread_mutex_unlock(&r->lock);
	return err;
}

void remoting__forget_name(struct sm_remoting *r, const char *name)
{
	pthread_mutex_lock(&r->lock);
	struct sm_ref *ref = map_remove(&r->names, bytes_str(name));
	pthread_mutex_unlock(&r->lock);
	sm_unref(ref);
}

static enum sm_err temporary_name(struct sm_remoting *r, struct sm_ref *ref, char out[REMOTING_PATH_MAX + 1])
{
	pthread_mutex_lock(&r->lock);
	uint64_t number = ++r->next_temp;
	pthread_mutex_unlock(&r->lock);
	snprintf(out, REMOTING_PATH_MAX + 1, "/temp#%llu", (unsigned long long)number);
	return remoting__remember_name(r, out, ref);
}

static enum sm_err actor_name(struct sm_remoting *r, struct sm_ref *ref, char out[REMOTING_PATH_MAX + 1])
{
	uint64_t number;
	if (actor_ref_closed(ref))
		return SM_GONE;
	if (actor_ref_system(ref) != r->system)
		return SM_INVALID;
	if (!actor_ref_name(ref, out, REMOTING_PATH_MAX - 24, &number))
		return SM_GONE;
	size_t at = strlen(out);
	snprintf(out + at, REMOTING_PATH_MAX + 1 - at, "#%llu", (unsigned long long)number);
	(void)!remoting__remember_name(r, out, ref); /* if not, it is looked for in the tree */
	return SM_OK;
}

enum sm_err remoting__name_of(struct sm_remoting *r, struct sm_ref *ref, char out[REMOTING_PATH_MAX + 1])
{
	out[0] = 0;
	switch (actor_ref_sort(ref)) {
	case ACTOR_REF_ACTOR: return actor_name(r, ref, out);
	case ACTOR_REF_WAITER: return temporary_name(r, ref, out);
	case ACTOR_REF_FOREIGN: break;
	}
	struct remote_ref *rr = actor_foreign_own(ref);
	if (actor_ref_closed(ref))
		return SM_GONE;
	if (!rr->process)
		return SM_INVALID;
	if (rr->r != r)
		return SM_INVALID;
	snprintf(out, REMOTING_PATH_MAX + 1, "%s", rr->path);
	return SM_OK;
}

/* "smack://NAME@WHERE" + "/root/x" + "#uid." + "3" */
static enum sm_err whole(const char *name, const char *where, uint64_t uid, const char *path, char *out, size_t size)
{
	const char *fragment = strrchr(path, '#');
	assert(fragment);
	int n = snprintf(out, size, "smack://%s@%s%.*s#%llx.%s", name, where, (int)(fragment - path), path, (unsigned long long)uid,
			 fragment + 1);
	return n > 0 && (size_t)n < size ? SM_OK : SM_TOO_LARGE;
}

static enum sm_err text_to(struct sm_remoting *r, struct sm_ref *ref, char *out, size_t size)
{
	char name[REMOTING_PATH_MAX + 1];
	struct remote_ref *rr = remoting__remote(ref);
	if (rr && !rr->process)
		return actor_ref_closed(ref) ? SM_GONE : rr->r != r ? SM_INVALID : whole(rr->name, rr->where, rr->uid, rr->path, out, size);
	enum sm_err err = remoting__name_of(r, ref, name);
	return err ? err : whole(r->name, r->where, r->uid, name, out, size);
}

enum sm_err remoting__text_of(struct sm_remoting *r, struct sm_ref *ref, char out[REMOTING_TEXT_MAX + 1])
{
	return text_to(r, ref, out, REMOTING_TEXT_MAX + 1);
}

/* A thread that waits for an answer is no actor: it can be answered, and nothing else. The core is nobody's to send to or to stop. */
struct sm_ref *remoting__local(struct sm_remoting *r, struct bytes name)
{
	struct sm_ref *ref = remoting__local_asker(r, name);
	if (ref && (ref == r->core || actor_ref_sort(ref) == ACTOR_REF_WAITER)) {
		sm_unref(ref);
		return NULL;
	}
	return ref;
}

struct sm_ref *remoting__local_asker(struct sm_remoting *r, struct bytes name)
{
	char path[REMOTING_PATH_MAX + 1];
	struct sm_ref *ref;
	pthread_mutex_lock(&r->lock);
	if ((ref = map_get(&r->names, name)))
		sm_ref_get(ref);
	pthread_mutex_unlock(&r->lock);
	if (ref)
		return ref;
	if (name.size < 6 || name.size > REMOTING_PATH_MAX || memcmp(name.data, "/root/", 6) != 0 || memchr(name.data, 0, name.size))
		return NULL;
	memcpy(path, name.data, name.size);
	path[name.size] = 0;
	char *fragment = strrchr(path, '#'), *end;
	if (!fragment)
		return NULL;
	*fragment = 0;
	uint64_t number = strtoull(fragment + 1, &end, 10);
	if (!number || *end || actor_find(r->system, path, number, &ref))
		return NULL;
	*fragment = '#';
	(void)!remoting__remember_name(r, path, ref);
	return ref;
}

enum sm_err remoting__ref_of(struct sm_remoting *r, const struct peer *peer, struct bytes text, struct sm_ref **ret_ref)
{
	struct remoting_address address;
	char path[REMOTING_PATH_MAX + 32];
	if (peer && text.size && text.data[0] == '/')
		return remoting__foreign(r, peer->uid, peer->name, peer->where, text, ret_ref);
	if (!remoting__address_parse(text, &address) || !address.uid || !address.path[0])
		return SM_INVALID;
	snprintf(path, sizeof path, "%s#%llu", address.path, (unsigned long long)address.number);
	if (address.uid != r->uid)
		return remoting__foreign(r, address.uid, address.name, address.where, bytes_str(path), ret_ref);
	struct sm_ref *ref = remoting__local(r, bytes_str(path));
	*ret_ref = ref ? ref : sm_ref_get(r->nobody);
	return SM_OK;
}

enum sm_err sm_ref_to_text(struct sm_remoting *remoting, struct sm_ref *ref, char *out, size_t size)
{
	return text_to(remoting, ref, out, size);
}

enum sm_err sm_ref_of_text(struct sm_remoting *remoting, const char *text, struct sm_ref **ret_ref)
{
	return remoting__ref_of(remoting, NULL, bytes_str(text), ret_ref);
}

/* ---- sweeping ---- */

static void unlist(struct remote_ref *rr)
{
	if (!rr->peer)
		return;
	if (rr->prev)
		rr->prev->next = rr->next;
	else
		rr->peer->refs = rr->next;
	if (rr->next)
		rr->next->prev = rr->prev;
	rr->peer = NULL;
}

/* Under the lock nobody can come by a reference that only the table holds. */
void remoting__sweep(struct sm_remoting *r)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	pthread_mutex_lock(&r->lock);
	r->since_sweep = 0;
	while (map_next(&r->foreign, &pos, &key, &value)) {
		struct sm_ref *ref = value;
		if (!actor_foreign_unused(ref))
			continue;
		unlist(actor_foreign_own(ref));
		map_remove(&r->foreign, key);
		sm_unref(ref);
	}
	sweep_names(r);
	pthread_mutex_unlock(&r->lock);
}

/* At the end of the core: nothing is reached any more. */
void remoting__refs_end(struct sm_remoting *r)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	pthread_mutex_lock(&r->lock);
	struct map foreign = r->foreign, names = r->names;
	map_init(&r->foreign);
	map_init(&r->names);
	r->closed = true;
	pthread_mutex_unlock(&r->lock);
	while (map_next(&foreign, &pos, &key, &value)) {
		actor_foreign_end(value, SM_CLOSED);
		unlist(actor_foreign_own(value));
		sm_unref(value);
	}
	for (pos = 0; map_next(&names, &pos, &key, &value);)
		sm_unref(value);
	map_done(&foreign);
	map_done(&names);
}
