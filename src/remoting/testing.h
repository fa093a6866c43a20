/* What the tests of this room share: numbers and references that travel, systems with a remoting, actors that answer. */
#ifndef REMOTING_TESTING_H
#define REMOTING_TESTING_H

#include "actor/testing.h"
#include "base/logging.h"
#include <smack/remoting.h>
#include <stdio.h>
#include <unistd.h>

#define SECRET "not to be guessed in a test"

/* ---- messages ---- */

static inline enum sm_err number_write(const struct sm_msg *msg, struct sm_writer *out)
{
	sm_write_u64(out, number_of(msg));
	return SM_OK;
}
static inline enum sm_err number_read(struct sm_reader *in, uint16_t version, struct sm_msg **ret_msg)
{
	uint64_t number = sm_read_u64(in);
	if (sm_read_failed(in))
		return SM_TRUNCATED;
	*ret_msg = number_new(number);
	return SM_OK;
}

/* A reference that travels: who gets it sends `number` there. */
struct ref_msg {
	struct sm_msg msg;
	struct sm_ref *ref;
	uint64_t number;
};
static inline void ref_msg_done(struct sm_msg *msg)
{
	sm_unref(((struct ref_msg *)msg)->ref);
	atomic_fetch_sub(&testing_live, 1);
	free(msg);
}
static const struct sm_msg_type ref_type = {"ref", ref_msg_done};
static inline struct sm_msg *ref_new(struct sm_ref *ref, uint64_t number)
{
	struct ref_msg *m = calloc(1, sizeof *m);
	assert_non_null(m);
	atomic_fetch_add(&testing_live, 1);
	*m = (struct ref_msg){{.type = &ref_type}, ref ? sm_ref_get(ref) : NULL, number};
	return &m->msg;
}
static inline enum sm_err ref_write(const struct sm_msg *msg, struct sm_writer *out)
{
	const struct ref_msg *m = (const struct ref_msg *)msg;
	sm_write_ref(out, m->ref);
	sm_write_u64(out, m->number);
	return SM_OK;
}
static inline enum sm_err ref_read(struct sm_reader *in, uint16_t version, struct sm_msg **ret_msg)
{
	struct sm_ref *ref = sm_read_ref(in);
	uint64_t number = sm_read_u64(in);
	if (!sm_read_failed(in))
		*ret_msg = ref_new(ref, number);
	sm_unref(ref);
	return sm_read_failed(in) ? SM_CORRUPT : SM_OK;
}

/* size bytes of 'x'. */
struct large_msg {
	struct sm_msg msg;
	uint32_t size;
};
static inline void large_done(struct sm_msg *msg)
{
	atomic_fetch_sub(&testing_live, 1);
	free(msg);
}
static const struct sm_msg_type large_type = {"large", large_done};
static inline struct sm_msg *large_new(uint32_t size)
{
	struct large_msg *m = calloc(1, sizeof *m);
	assert_non_null(m);
	atomic_fetch_add(&testing_live, 1);
	*m = (struct large_msg){{.type = &large_type}, size};
	return &m->msg;
}
static inline enum sm_err large_write(const struct sm_msg *msg, struct sm_writer *out)
{
	uint32_t size = ((const struct large_msg *)msg)->size;
	char *bytes = malloc(size ? size : 1);
	memset(bytes, 'x', size);
	sm_write_bytes(out, bytes, size);
	free(bytes);
	return SM_OK;
}
static inline enum sm_err large_read(struct sm_reader *in, uint16_t version, struct sm_msg **ret_msg)
{
	uint32_t size;
	const char *bytes = sm_read_bytes(in, &size);
	if (sm_read_failed(in) || (size && bytes[size - 1] != 'x'))
		return SM_CORRUPT;
	*ret_msg = large_new(size);
	return SM_OK;
}

static const struct sm_serializer serializers[] = {
	{1, 1, 1, &number_type, number_write, number_read},
	{2, 3, 2, &ref_type, ref_write, ref_read},
	{3, 1, 1, &large_type, large_write, large_read},
};

/* ---- a system with a remoting ---- */

struct node {
	struct sm_system *system;
	struct sm_remoting *remoting;
};

/* Heartbeats are quick, so that tests are; pauses of a busy machine are not held against anybody but where a test says so. */
static inline struct sm_remoting_options node_options(const char *name)
{
	return (struct sm_remoting_options){.name = name,
					    .secret = SECRET,
					    .serializers = serializers,
					    .serializer_count = sizeof serializers / sizeof *serializers,
					    .heartbeat_ms = 50,
					    .acceptable_pause_ms = 30000,
					    .handshake_ms = 30000,
					    .backoff_min_ms = 5,
					    .backoff_max_ms = 50};
}

static inline struct node node_with(const struct sm_remoting_options *options)
{
	struct node n = {.system = system_with(2)};
	struct sm_error error;
	if (sm_remoting_new(n.system, options, &n.remoting, &error))
		fail_msg("%s", error.text);
	return n;
}
static inline struct node node_tcp(const char *name)
{
	struct sm_remoting_options o = node_options(name);
	o.host = "127.0.0.1";
	return node_with(&o);
}
static inline struct node node_silent(const char *name) /* listens nowhere */
{
	struct sm_remoting_options o = node_options(name);
	return node_with(&o);
}
static inline void node_end(struct node *n)
{
	sm_remoting_free(n->remoting);
	assert_int_equal(sm_system_stop(n->system, 60000), SM_OK);
}

static inline struct sm_ref *resolve_at(struct node *from, const char *address, const char *path)
{
	char text[3000];
	struct sm_ref *ref;
	struct sm_error error;
	snprintf(text, sizeof text, "%s%s", address, path);
	if (sm_resolve_wait(from->remoting, text, DEADLINE_MS, &ref, &error))
		fail_msg("%s", error.text);
	return ref;
}
static inline struct sm_ref *resolve(struct node *from, struct node *at, const char *path)
{
	return resolve_at(from, sm_remoting_address(at->remoting), path);
}

/* ---- an actor that answers and counts ---- */

struct seen {
	atomic_ulong count, last;
	atomic_ulong out_of_order; /* numbers that were not above the one before */
	atomic_int ended;          /* notices */
	atomic_int why;
};
/* A number without an ask is counted; with one it is answered by the next number; a reference gets its number; NUMBER_STOP ends it. */
#define NUMBER_STOP 999999999u
static inline enum sm_err seen_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct seen **)state = arg;
	return SM_OK;
}
static inline enum sm_err seen_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct seen *seen = *(struct seen **)state;
	if (msg->type == &sm_msg_terminated) {
		atomic_store(&seen->why, ((struct sm_terminated_msg *)msg)->why);
		atomic_fetch_add(&seen->ended, 1);
		return SM_OK;
	}
	if (msg->type == &ref_type) {
		struct ref_msg *m = (struct ref_msg *)msg;
		struct sm_msg *number = number_new(m->number);
		if (!m->ref || sm_send(m->ref, number))
			sm_msg_free(number);
		return SM_OK;
	}
	uint64_t number = msg->type == &number_type ? number_of(msg) : msg->type == &large_type ? ((struct large_msg *)msg)->size : 0;
	if (msg->ask_id)
		sm_reply(self, msg, number_new(number + 1));
	if (number == NUMBER_STOP)
		return SM_END;
	if (number <= atomic_load(&seen->last))
		atomic_fetch_add(&seen->out_of_order, 1);
	atomic_store(&seen->last, number);
	atomic_fetch_add(&seen->count, 1);
	return SM_OK;
}
static inline struct sm_ref *spawn_seen(struct sm_system *system, const char *name, struct seen *seen)
{
	struct sm_ref *ref;
	struct sm_props props = {.name = name,
				 .state_size = sizeof(void *),
				 .init = seen_init,
				 .receive = seen_receive,
				 .arg = seen,
				 .mailbox_max = 1000000,
				 .dispatcher = SM_DISPATCHER_ANY};
	*seen = (struct seen){0};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	return ref;
}

/* Watches what its argument points to, and counts the notices in `seen`. */
struct watcher {
	struct sm_ref *ref;
	struct seen seen;
	atomic_int watching;
};
static inline enum sm_err watcher_init(struct sm_actor *self, void *state, void *arg)
{
	struct watcher *w = arg;
	*(struct seen **)state = &w->seen;
	enum sm_err err = sm_watch(self, w->ref);
	atomic_store(&w->watching, 1);
	return err;
}
static inline struct sm_ref *spawn_watcher(struct sm_system *system, struct watcher *w, struct sm_ref *of)
{
	struct sm_ref *ref;
	struct sm_props props = {
		.state_size = sizeof(void *), .init = watcher_init, .receive = seen_receive, .arg = w, .dispatcher = SM_DISPATCHER_ANY};
	*w = (struct watcher){.ref = of};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	eventually(atomic_load(&w->watching));
	return ref;
}

static inline uint64_t ask_number(struct sm_system *system, struct sm_ref *to, uint64_t number)
{
	struct sm_msg *msg = number_new(number), *answer;
	enum sm_err err = sm_ask_wait(system, to, msg, DEADLINE_MS, &answer);
	if (err)
		fail_msg("ask: %s", sm_err_name(err));
	uint64_t got = number_of(answer);
	sm_msg_free(answer);
	return got;
}
static inline void tell_number(struct sm_ref *to, uint64_t number)
{
	struct sm_msg *msg = number_new(number);
	enum sm_err err;
	while ((err = sm_send(to, msg)) == SM_FULL)
		nanosleep(&(struct timespec){0, 100000}, NULL);
	if (err)
		fail_msg("send: %s", sm_err_name(err));
}

#endif
