/* Routers: an actor that hands each message on, with its sender, to one or all of its routees: children of its own, or who is
 * registered under a key. */
#include "actor/actor_internal.h"
#include "actor/members.h"
#include "base/hash.h"
#include <stdlib.h>

struct router_setup {
	enum sm_routing routing;
	uint64_t (*hash)(const struct sm_msg *msg);
	struct sm_props pool;
	uint32_t count;
	char *key;
};

struct routee {
	struct sm_ref *ref;
	uint64_t salt; /* of a pool's child: its number, so that the shares are the same in each run */
};

struct router {
	struct router_setup *setup;
	struct routee *routees;
	uint32_t count, next;
};

static void setup_free(struct router_setup *s)
{
	if (s)
		free(s->key);
	free(s);
}

static void routees_clear(struct router *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		sm_unref(r->routees[i].ref);
	free(r->routees);
	r->routees = NULL;
	r->count = 0;
}

/* ---- who the routees are ---- */

static enum sm_err spawn_routees(struct sm_actor *self, struct router *r)
{
	struct router_setup *s = r->setup;
	enum sm_err err = SM_OK;
	if (!(r->routees = calloc(s->count, sizeof *r->routees)))
		return SM_NO_MEMORY;
	for (uint32_t i = 0; !err && i < s->count; i++) {
		struct routee *routee = &r->routees[i];
		if ((err = sm_spawn(actor__system(self), self, &s->pool, &routee->ref)))
			break;
		routee->salt = hash64(&i, sizeof i);
		r->count++;
		err = sm_watch(self, routee->ref);
	}
	return err;
}

static enum sm_err take_group(struct router *r, struct sm_ref *const *refs, uint32_t count)
{
	struct routee *routees = count ? calloc(count, sizeof *routees) : NULL;
	if (count && !routees)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		uintptr_t address = (uintptr_t)refs[i];
		routees[i] = (struct routee){sm_ref_get(refs[i]), hash64(&address, sizeof address)};
	}
	routees_clear(r);
	r->routees = routees;
	r->count = count;
	return SM_OK;
}

/* The first listing stands behind what was sent before the start: that is routed by who is there now. */
static enum sm_err join_group(struct sm_actor *self, struct router *r)
{
	enum sm_err err = sm_subscribe_key(self, r->setup->key);
	if (err)
		return err;
	struct members *members = actor__registered(actor__system(self), r->setup->key);
	if (members)
		err = take_group(r, members->refs, members->count);
	actor__members_release(members);
	return err;
}

static void routee_ended(struct sm_actor *self, struct router *r, const struct sm_terminated_msg *ended)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		if (r->routees[i].ref == ended->ref)
			sm_unref(r->routees[i].ref);
		else
			r->routees[kept++] = r->routees[i];
	}
	r->count = kept;
	if (kept == 0)
		sm_stop_now(&self->ref);
}

/* ---- routing ---- */

/* Rendezvous hashing (Thaler and Ravishankar): the routee whose salt makes most of the hash. */
static struct sm_ref *by_hash(const struct router *r, uint64_t hash)
{
	struct sm_ref *best = NULL;
	uint64_t most = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		const uint64_t both[2] = {hash, r->routees[i].salt};
		uint64_t weight = hash64(both, sizeof both);
		if (!best || weight > most) {
			most = weight;
			best = r->routees[i].ref;
		}
	}
	return best;
}

static enum sm_err round_robin(struct sm_actor *self, struct router *r, struct sm_msg *msg)
{
	enum sm_err err = SM_GONE;
	for (uint32_t i = 0; err && i < r->count; i++)
		err = sm_forward(self, r->routees[r->next++ % r->count].ref, msg);
	return err;
}

/* False: it has not got it. */
static bool copy_to(struct sm_actor *self, struct sm_ref *to, const struct sm_msg *msg)
{
	struct sm_msg *copy = msg->type->copy(msg);
	if (!copy)
		return false;
	copy->sender = msg->sender ? sm_ref_get(msg->sender) : NULL;
	copy->ask_id = msg->ask_id;
	enum sm_err err = sm_send(to, copy);
	if (err)
		actor__dead_letter(actor__system(self), to, copy, err);
	return !err;
}

/* Each routee's own failure is its dead letter; the message itself goes to the last. Who asks is told of a failure only if no routee
 * will answer. */
static enum sm_err broadcast(struct sm_actor *self, struct router *r, struct sm_msg *msg)
{
	if (!msg->type->copy && r->count > 1)
		return SM_UNSUPPORTED;
	if (r->count == 0)
		return SM_GONE;
	struct sm_ref *last = r->routees[r->count - 1].ref;
	bool some = false;
	for (uint32_t i = 0; i + 1 < r->count; i++)
		some |= copy_to(self, r->routees[i].ref, msg);
	enum sm_err err = sm_forward(self, last, msg);
	if (!err || !some)
		return err;
	sm_msg_keep(self);
	actor__dead_letter(actor__system(self), last, msg, err);
	return SM_OK;
}

static enum sm_err route(struct sm_actor *self, struct router *r, struct sm_msg *msg)
{
	struct sm_ref *to;
	switch (r->setup->routing) {
	case SM_ROUTE_ROUND_ROBIN: return round_robin(self, r, msg);
	case SM_ROUTE_CONSISTENT_HASH: to = by_hash(r, r->setup->hash(msg)); return to ? sm_forward(self, to, msg) : SM_GONE;
	case SM_ROUTE_BROADCAST: return broadcast(self, r, msg);
	}
	return SM_INVALID;
}

static enum sm_err router_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct router *r = state;
	if (msg->type == &sm_msg_listing) {
		const struct sm_listing_msg *listing = (struct sm_listing_msg *)msg;
		return take_group(r, listing->refs, listing->count);
	}
	if (msg->type == &sm_msg_terminated) {
		routee_ended(self, r, (struct sm_terminated_msg *)msg);
		return SM_OK;
	}
	enum sm_err err = route(self, r, msg);
	if (err) {
		sm_msg_keep(self);
		actor__refuse(self, msg, err);
	}
	return SM_OK;
}

static enum sm_err router_init(struct sm_actor *self, void *state, void *arg)
{
	struct router *r = state;
	r->setup = arg;
	enum sm_err err = r->setup->key ? join_group(self, r) : spawn_routees(self, r);
	if (err) {
		routees_clear(r);
		setup_free(r->setup);
	}
	return err;
}

static void router_done(struct sm_actor *self, void *state)
{
	struct router *r = state;
	routees_clear(r);
	setup_free(r->setup);
}

enum sm_err sm_spawn_router(struct sm_system *system, struct sm_actor *parent, const struct sm_router_props *p, struct sm_ref **ret_ref)
{
	bool pool_is_good = p->pool && p->count && p->count <= ACTOR_ROUTEES_MAX && !p->pool->arg_done; /* they share arg */
	if ((p->pool != NULL) == (p->key != NULL) || (p->pool && !pool_is_good) || (p->routing == SM_ROUTE_CONSISTENT_HASH && !p->hash))
		return SM_INVALID;
	struct router_setup *s = calloc(1, sizeof *s);
	if (!s || (p->key && !(s->key = strdup(p->key)))) {
		setup_free(s);
		return SM_NO_MEMORY;
	}
	s->routing = p->routing;
	s->hash = p->hash;
	s->count = p->count;
	if (p->pool)
		s->pool = *p->pool;
	s->pool.name = NULL;
	/* No restarts: its state is the routees, which have theirs. */
	const struct sm_props props = {.name = p->name,
				       .state_size = sizeof(struct router),
				       .init = router_init,
				       .receive = router_receive,
				       .done = router_done,
				       .arg = s,
				       .mailbox_max = p->mailbox_max,
				       .dispatcher = SM_DISPATCHER_ANY};
	enum sm_err err = sm_spawn(system, parent, &props, ret_ref);
	if (err)
		setup_free(s);
	return err;
}
