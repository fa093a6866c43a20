/* The event stream and the receptionist: who has subscribed to a type, who is registered under a key, and who wants to hear of changes
 * there. One table under one lock, which is held for the change or the taking of a picture and for no call into an actor. */
#include "actor/actor_internal.h"
#include "actor/members.h"
#include <stdlib.h>

enum kind { SUBSCRIBED = 's', REGISTERED = 'r', LISTENING = 'l' };

struct listing {
	struct sm_listing_msg listing;
	struct registration *of; /* NULL: it is over, or this one has been read */
	struct members *members;
	char key[ACTOR_KEY_MAX + 1];
};

/* One actor in one entry; in the actor's list. */
struct registration {
	struct registration *next;
	struct sm_ref *ref; /* the actor's own: borrowed */
	struct entry *entry;
	enum kind kind;
	/* of a listener */
	struct registration *next_listener;
	struct listing *queued;
};

struct entry {
	struct members *members;        /* NULL: none */
	struct registration *listeners; /* of a key */
	size_t key_size;
	char key[]; /* a byte for its sort, then the address of a type or the bytes of a key */
};

struct registry {
	pthread_mutex_t lock;
	struct map entries;
};

struct registry *actor__registry_new(void)
{
	struct registry *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	map_init(&r->entries);
	return r;
}

void actor__registry_free(struct registry *r)
{
	if (!r)
		return;
	map_done(&r->entries); /* empty: all actors have ended */
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- pictures ---- */

void actor__members_release(struct members *m)
{
	if (!m || atomic_fetch_sub(&m->holders, 1) > 1)
		return;
	for (uint32_t i = 0; i < m->count; i++)
		sm_unref(m->refs[i]);
	free(m);
}

static struct members *members_get(struct members *m)
{
	if (m)
		atomic_fetch_add(&m->holders, 1);
	return m;
}

/* Out of a picture that nobody else holds: needs no memory. */
static void members_remove(struct members **members, const struct sm_ref *without)
{
	struct members *m = *members;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < m->count; i++) {
		if (m->refs[i] == without)
			sm_unref(m->refs[i]);
		else
			m->refs[kept++] = m->refs[i];
	}
	m->count = kept;
	if (kept == 0) {
		free(m);
		*members = NULL;
	}
}

/* A picture with `with` (may be NULL) at its end and without `without` and those that have ended. */
static enum sm_err members_change(struct members **members, struct sm_ref *with, const struct sm_ref *without)
{
	struct members *old = *members;
	uint32_t count = old ? old->count : 0;
	if (!with && old && atomic_load(&old->holders) == 1) { /* it is taken under the lock only */
		members_remove(members, without);
		return SM_OK;
	}
	if (with && count >= ACTOR_MEMBERS_MAX)
		return SM_FULL;
	struct members *m = calloc(1, sizeof *m + (count + 1) * sizeof *m->refs);
	if (!m)
		return SM_NO_MEMORY;
	atomic_init(&m->holders, 1);
	for (uint32_t i = 0; i < count; i++)
		if (old->refs[i] != without && !(atomic_load(&old->refs[i]->count) & REF_CLOSED))
			m->refs[m->count++] = sm_ref_get(old->refs[i]);
	if (with)
		m->refs[m->count++] = sm_ref_get(with);
	if (m->count == 0) {
		free(m);
		m = NULL;
	}
	actor__members_release(old);
	*members = m;
	return SM_OK;
}

/* ---- entries, under the lock ---- */

static size_t key_of(enum kind kind, const void *bytes, size_t size, char *out)
{
	out[0] = kind == SUBSCRIBED ? 's' : 'k';
	memcpy(out + 1, bytes, size);
	return size + 1;
}

static struct entry *entry_find(struct registry *r, const char *key, size_t size)
{
	return map_get(&r->entries, (struct bytes){(const uint8_t *)key, size});
}

static enum sm_err entry_make(struct registry *r, const char *key, size_t size, struct entry **ret_entry)
{
	struct entry *e = calloc(1, sizeof *e + size + 1);
	if (!e)
		return SM_NO_MEMORY;
	e->key_size = size;
	memcpy(e->key, key, size);
	enum sm_err err = map_put(&r->entries, (struct bytes){(const uint8_t *)key, size}, e, NULL);
	if (err)
		free(e);
	else
		*ret_entry = e;
	return err;
}

static void entry_drop_if_empty(struct registry *r, struct entry *e)
{
	if (e->members || e->listeners)
		return;
	map_remove(&r->entries, (struct bytes){(const uint8_t *)e->key, e->key_size});
	free(e);
}

/* ---- listings ---- */

static void listing_done(struct sm_msg *msg)
{
	struct listing *l = (struct listing *)msg;
	actor__members_release(l->members);
	free(l);
}
const struct sm_msg_type sm_msg_listing = {"listing", listing_done, NULL};

/* Under the lock. The message is empty on its way: it is filled when it is read. */
static enum sm_err listing_send(struct registration *reg)
{
	if (reg->queued)
		return SM_OK;
	struct listing *l = calloc(1, sizeof *l);
	if (!l)
		return SM_NO_MEMORY;
	l->listing.msg.type = &sm_msg_listing;
	l->of = reg;
	reg->queued = l;
	if (actor__send_internal(reg->ref, &l->listing.msg)) {
		reg->queued = NULL;
		free(l);
	}
	return SM_OK;
}

static void tell_listeners(struct entry *e)
{
	for (struct registration *reg = e->listeners; reg; reg = reg->next_listener)
		(void)!listing_send(reg); /* without memory it hears of the next change */
}

bool actor__listing_admit(struct sm_actor *a, struct sm_msg *msg)
{
	struct listing *l = (struct listing *)msg;
	struct registry *r = actor__system(a)->registry;
	pthread_mutex_lock(&r->lock);
	struct registration *reg = l->of;
	if (reg) {
		l->of = NULL;
		reg->queued = NULL;
		l->members = members_get(reg->entry->members);
		memcpy(l->key, reg->entry->key + 1, reg->entry->key_size - 1);
	}
	pthread_mutex_unlock(&r->lock);
	l->listing.key = l->key;
	l->listing.refs = l->members ? l->members->refs : NULL;
	l->listing.count = l->members ? l->members->count : 0;
	return reg != NULL;
}

/* ---- registrations ---- */

static struct registration *registration_find(struct sm_actor *a, enum kind kind, const char *key, size_t size)
{
	struct actor_extra *extra = actor__extra_of(a);
	struct registration *reg = extra ? extra->registrations : NULL;
	while (reg && (reg->kind != kind || reg->entry->key_size != size || memcmp(reg->entry->key, key, size) != 0))
		reg = reg->next;
	return reg;
}

/* Under the lock. */
static enum sm_err enter(struct registry *r, struct registration *reg, const char *key, size_t size)
{
	struct entry *e = entry_find(r, key, size);
	enum sm_err err = e ? SM_OK : entry_make(r, key, size, &e);
	if (err)
		return err;
	reg->entry = e;
	if (reg->kind == LISTENING) {
		if (!(err = listing_send(reg))) {
			reg->next_listener = e->listeners;
			e->listeners = reg;
		}
	} else if (!(err = members_change(&e->members, reg->ref, NULL)) && reg->kind == REGISTERED) {
		tell_listeners(e);
	}
	if (err)
		entry_drop_if_empty(r, e);
	return err;
}

static enum sm_err add(struct sm_actor *a, enum kind kind, const void *bytes, size_t bytes_size)
{
	char key[ACTOR_KEY_MAX + 2];
	size_t size = key_of(kind, bytes, bytes_size, key);
	struct registry *r = actor__system(a)->registry;
	assert(a->ref.dispatcher == actor__current);
	if (actor__at(a) == ACTOR_STOPPING)
		return SM_CLOSED;
	if (registration_find(a, kind, key, size))
		return SM_OK;
	struct actor_extra *extra = actor__extra(a);
	struct registration *reg = extra ? calloc(1, sizeof *reg) : NULL;
	if (!reg)
		return SM_NO_MEMORY;
	reg->kind = kind;
	reg->ref = &a->ref;
	pthread_mutex_lock(&r->lock);
	enum sm_err err = enter(r, reg, key, size);
	pthread_mutex_unlock(&r->lock);
	if (err) {
		free(reg);
		return err;
	}
	reg->next = extra->registrations;
	extra->registrations = reg;
	return SM_OK;
}

/* Takes it out of its entry, not out of the actor's list; frees it. */
static void leave(struct registry *r, struct registration *reg)
{
	struct entry *e = reg->entry;
	pthread_mutex_lock(&r->lock);
	if (reg->kind == LISTENING) {
		struct registration **at = &e->listeners;
		while (*at != reg)
			at = &(*at)->next_listener;
		*at = reg->next_listener;
		if (reg->queued)
			reg->queued->of = NULL;
	} else {
		(void)!members_change(&e->members, NULL, reg->ref); /* without memory it stays in the picture until the next change */
		if (reg->kind == REGISTERED)
			tell_listeners(e);
	}
	entry_drop_if_empty(r, e);
	pthread_mutex_unlock(&r->lock);
	free(reg);
}

static void drop(struct sm_actor *a, enum kind kind, const void *bytes, size_t bytes_size)
{
	char key[ACTOR_KEY_MAX + 2];
	size_t size = key_of(kind, bytes, bytes_size, key);
	assert(a->ref.dispatcher == actor__current);
	struct registration *reg = registration_find(a, kind, key, size), **at;
	if (!reg)
		return;
	for (at = &actor__extra_of(a)->registrations; *at != reg; at = &(*at)->next)
		;
	*at = reg->next;
	leave(actor__system(a)->registry, reg);
}

void actor__registrations_clear(struct sm_actor *a)
{
	struct actor_extra *extra = actor__extra_of(a);
	struct registration *reg;
	while (extra && (reg = extra->registrations)) {
		extra->registrations = reg->next;
		leave(actor__system(a)->registry, reg);
	}
}

/* ---- the event stream ---- */

enum sm_err sm_subscribe(struct sm_actor *self, const struct sm_msg_type *type)
{
	return add(self, SUBSCRIBED, &type, sizeof(const struct sm_msg_type *));
}

void sm_unsubscribe(struct sm_actor *self, const struct sm_msg_type *type)
{
	drop(self, SUBSCRIBED, &type, sizeof(const struct sm_msg_type *));
}

static struct members *picture(struct sm_system *system, enum kind kind, const void *bytes, size_t bytes_size)
{
	char key[ACTOR_KEY_MAX + 2];
	size_t size = key_of(kind, bytes, bytes_size, key);
	pthread_mutex_lock(&system->registry->lock);
	struct entry *e = entry_find(system->registry, key, size);
	struct members *members = e ? members_get(e->members) : NULL;
	pthread_mutex_unlock(&system->registry->lock);
	return members;
}

struct members *actor__subscribers(struct sm_system *system, const struct sm_msg_type *type)
{
	return picture(system, SUBSCRIBED, &type, sizeof(const struct sm_msg_type *));
}

struct members *actor__registered(struct sm_system *system, const char *key)
{
	return picture(system, REGISTERED, key, strlen(key));
}

static void publish_to(struct sm_system *system, struct sm_ref *to, struct sm_msg *msg)
{
	enum sm_err err = sm_send(to, msg);
	if (err == SM_GONE)
		sm_msg_free(msg); /* it has just ended, and with it its subscription */
	else if (err)
		actor__dead_letter(system, to, msg, err);
}

enum sm_err sm_publish(struct sm_system *system, struct sm_msg *msg)
{
	if (!msg->type->copy) {
		sm_msg_free(msg);
		return SM_UNSUPPORTED;
	}
	struct members *members = actor__subscribers(system, msg->type);
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; members && i + 1 < members->count; i++) {
		struct sm_msg *copy = msg->type->copy(msg);
		if (copy)
			publish_to(system, members->refs[i], copy);
		else
			err = SM_NO_MEMORY;
	}
	if (members)
		publish_to(system, members->refs[members->count - 1], msg);
	else
		sm_msg_free(msg);
	actor__members_release(members);
	return err;
}

/* ---- the receptionist ---- */

static bool key_is_good(const char *key)
{
	return key[0] && strlen(key) <= ACTOR_KEY_MAX;
}

enum sm_err sm_register(struct sm_actor *self, const char *key)
{
	return key_is_good(key) ? add(self, REGISTERED, key, strlen(key)) : SM_INVALID;
}

void sm_deregister(struct sm_actor *self, const char *key)
{
	if (key_is_good(key))
		drop(self, REGISTERED, key, strlen(key));
}

enum sm_err sm_subscribe_key(struct sm_actor *self, const char *key)
{
	return key_is_good(key) ? add(self, LISTENING, key, strlen(key)) : SM_INVALID;
}

void sm_unsubscribe_key(struct sm_actor *self, const char *key)
{
	if (key_is_good(key))
		drop(self, LISTENING, key, strlen(key));
}

uint32_t sm_find(struct sm_system *system, const char *key, struct sm_ref **refs, uint32_t max)
{
	struct members *members = key_is_good(key) ? picture(system, REGISTERED, key, strlen(key)) : NULL;
	uint32_t count = members ? members->count : 0;
	for (uint32_t i = 0; i < count && i < max; i++)
		refs[i] = sm_ref_get(members->refs[i]);
	actor__members_release(members);
	return count;
}
