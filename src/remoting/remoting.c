/* A system's remoting: what it was given, its core, its life. */
#include "base/address.h"
#include "base/clock.h"
#include "base/logging.h"
#include "base/uuid.h"
#include "remoting/remoting_internal.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CORE_BEGINS_MS 10000 /* on a dispatcher that is held up for longer, the first connections are turned away */

static void stop_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type msg_stop = {"remoting stop", stop_done};

/* ---- the core ---- */

static void tick(struct sm_remoting *r)
{
	uint64_t now = actor_now_ns(r->self);
	remoting__links_tick(r, now);
	remoting__peers_tick(r, now);
	remoting__resolves_tick(r, now);
	remoting__processes_tick(r, now);
	if (r->since_sweep > REMOTING_SWEEP_EVERY || now - r->swept_ns > 1000000000) {
		r->swept_ns = now;
		remoting__sweep(r);
	}
	r->tick_ns = now + r->tick_ms * 1000000ull;
}

static enum sm_err core_init(struct sm_actor *self, void *state, void *arg)
{
	struct sm_remoting *r = *(struct sm_remoting **)state = arg;
	r->self = self;
	actor_foreign_end(r->nobody, SM_GONE);
	pthread_mutex_lock(&r->lock);
	r->begun = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	enum sm_err err = sm_timer_start(self, REMOTING_TIMER_TICK, r->tick_ms, r->tick_ms);
	return err || r->parent_fd < 0 ? err : remoting__join_parent(r);
}

void remoting__stopped_if_done(struct sm_remoting *r)
{
	if (!r->stopping || r->processes)
		return;
	pthread_mutex_lock(&r->lock);
	r->stopped = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

static void core_stop(struct sm_remoting *r)
{
	r->stopping = true;
	for (struct peer *p = r->peers, *next; p; p = next) {
		next = p->next;
		if (!p->link || p->process)
			continue;
		buf_clear(&r->scratch);
		frame_code(&r->scratch, FRAME_GOODBYE, SM_CLOSED, "");
		net_conn_write(p->link->conn, buf_bytes(&r->scratch));
		p->link->closing = true;
		net_conn_finish(p->link->conn);
	}
	remoting__processes_stop(r);
	remoting__stopped_if_done(r);
}

static enum sm_err core_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct sm_remoting *r = *(struct sm_remoting **)state;
	if (msg->type == &sm_msg_timer && ((struct sm_timer_msg *)msg)->timer == REMOTING_TIMER_TICK) {
		tick(r);
	} else if (msg->type == &sm_msg_timer) {
		remoting__processes_tick(r, actor_now_ns(self));
	} else if (msg->type == &sm_msg_terminated) {
		struct sm_terminated_msg *t = (struct sm_terminated_msg *)msg;
		remoting__ended_here(r, t->ref, t->why);
		if (t->ref == r->main)
			remoting__parent_gone(r, t->why);
	} else if (msg->type == &remoting__msg_dialled) {
		remoting__dialled(r, msg);
	} else if (msg->type == &remoting__msg_resolve) {
		remoting__resolve(r, msg);
	} else if (msg->type == &remoting__msg_process) {
		remoting__process_begin(r, msg);
	} else if (msg->type == &msg_stop) {
		core_stop(r);
	}
	return SM_OK;
}

static void core_done(struct sm_actor *self, void *state)
{
	struct sm_remoting *r = *(struct sm_remoting **)state;
	r->stopping = true;
	for (struct link *l = r->links; l; l = l->next) {
		l->peer = NULL;
		remoting__link_close(l);
	}
	remoting__resolves_end(r);
	while (r->peers) {
		struct peer *p = r->peers;
		r->peers = p->next;
		p->process = NULL;
		for (struct remote_ref *rr = p->refs; rr; rr = rr->next)
			rr->peer = NULL;
		remoting__inbound_clear(p);
		session_done(&p->session);
		free(p);
	}
	remoting__processes_kill(r);
	remoting__refs_end(r);
	remoting__stopped_if_done(r);
	r->self = NULL; /* the listener may live on for a moment */
}

/* ---- options ---- */

static enum sm_err check(const struct sm_remoting_options *o, struct sm_error *reterr)
{
	int files = !!o->certificate + !!o->key + !!o->authority;
	if (!o->name || !remoting__name_is_good(o->name))
		return sm_fail(reterr, SM_INVALID, "remoting: \"%s\" is no name of a system: use 1 to %d letters, digits, - and _",
			       o->name ? o->name : "", REMOTING_NAME_MAX);
	if (o->host && o->unix_path)
		return sm_fail(reterr, SM_INVALID, "remoting: a host and a Unix socket are given: it listens on one of them");
	if (o->secret && strlen(o->secret) < REMOTING_SECRET_MIN)
		return sm_fail(reterr, SM_INVALID,
			       "remoting: the secret has fewer than %d bytes: who sees a handshake could find it by trying",
			       REMOTING_SECRET_MIN);
	if (files != 0 && files != 3)
		return sm_fail(reterr, SM_INVALID, "remoting: certificate, key and authority belong together: give all three or none");
	if (o->message_max > REMOTING_MESSAGE_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "remoting: messages of %u bytes: at most %u", o->message_max, REMOTING_MESSAGE_MAX);
	if (o->host && strcmp(o->host, "0.0.0.0") != 0 && strcmp(o->host, "::") != 0)
		return SM_OK;
	if (o->host && !o->advertised_host)
		return sm_fail(reterr, SM_INVALID,
			       "remoting: it listens on all addresses (%s): advertised_host must say which one others use", o->host);
	return SM_OK;
}

static uint32_t or_default(uint32_t value, uint32_t absent)
{
	return value ? value : absent;
}

static void defaults(struct sm_remoting_options *o)
{
	o->message_max = or_default(o->message_max, REMOTING_MESSAGE_DEFAULT);
	o->unacknowledged_max = or_default(o->unacknowledged_max, REMOTING_UNACKED_DEFAULT);
	o->heartbeat_ms = or_default(o->heartbeat_ms, REMOTING_HEARTBEAT_MS);
	o->acceptable_pause_ms = or_default(o->acceptable_pause_ms, REMOTING_PAUSE_MS);
	o->min_deviation_ms = or_default(o->min_deviation_ms, REMOTING_DEVIATION_MS);
	o->handshake_ms = or_default(o->handshake_ms, REMOTING_HANDSHAKE_MS);
	o->backoff_min_ms = or_default(o->backoff_min_ms, REMOTING_BACKOFF_MIN_MS);
	o->backoff_max_ms = or_default(o->backoff_max_ms, REMOTING_BACKOFF_MAX_MS);
	if (!(o->threshold > 0))
		o->threshold = REMOTING_THRESHOLD;
}

/* ---- listening ---- */

static bool is_loopback(const char *host)
{
	struct in_addr in;
	return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	       (inet_pton(AF_INET, host, &in) == 1 && ntohl(in.s_addr) >> 24 == 127);
}

static enum sm_err listen_tls(struct sm_remoting *r, const struct sm_remoting_options *given, struct sm_error *reterr)
{
	struct net_tls_options tls = {.system = r->system,
				      .certificate = given->certificate,
				      .key = given->key,
				      .client_ca = given->authority,
				      .clients = NET_TLS_REQUIRED};
	if (!given->certificate)
		return SM_OK;
	enum sm_err err = net_tls_new(&tls, &r->server_tls, reterr);
	tls.for_clients = true;
	return err ? err : net_tls_new(&tls, &r->client_tls, reterr);
}

static enum sm_err listen_socket(struct sm_remoting *r, const struct sm_remoting_options *given, struct sm_error *reterr)
{
	if (given->host && !is_loopback(given->host) && !r->secret.size && !r->server_tls)
		return sm_fail(reterr, SM_DENIED,
			       "remoting: %s is reached from other machines, and nobody would be asked who he is: give a secret or "
			       "certificates, or listen on "
			       "127.0.0.1",
			       given->host);
	struct net_listen_options listen = {.system = r->system,
					    .protocol = &remoting__protocol,
					    .arg = &r->accepts,
					    .one_dispatcher = true,
					    .dispatcher = r->dispatcher,
					    .connections_max = REMOTING_CONNECTIONS_MAX};
	enum sm_err err = net_listen(&listen, &r->dialler, reterr);
	if (err || (!given->host && !given->unix_path))
		return err;
	listen.host = given->host;
	listen.unix_path = given->unix_path;
	listen.port = given->port;
	listen.anywhere = true; /* checked above */
	listen.tls = given->host ? r->server_tls : NULL;
	return net_listen(&listen, &r->listener, reterr);
}

/* Known once the port is; before any connection can have been made, as the listener's first turn comes after. */
static enum sm_err where_am_i(struct sm_remoting *r, const struct sm_remoting_options *given, uint16_t port, struct sm_error *reterr)
{
	if (given->host) {
		const char *host = given->advertised_host                  ? given->advertised_host
				   : strcmp(given->host, "localhost") == 0 ? "127.0.0.1"
									   : given->host;
		address_text(host, port, r->where, sizeof r->where);
	} else if (given->unix_path) {
		char *whole = given->unix_path[0] == '/' ? strdup(given->unix_path) : NULL;
		if (!whole || !remoting__where_of_unix(whole, r->where)) {
			free(whole);
			return sm_fail(reterr, SM_INVALID,
				       "remoting: the path of a Unix socket begins with / and has at most 107 bytes: %s", given->unix_path);
		}
		free(whole);
	} else {
		snprintf(r->where, sizeof r->where, "~%llx", (unsigned long long)r->uid);
	}
	snprintf(r->address, sizeof r->address, "smack://%s@%s", r->name, r->where);
	return SM_OK;
}

/* ---- life ---- */

static void remoting_done(struct sm_remoting *r)
{
	remoting__serials_done(&r->serials);
	net_tls_free(r->server_tls);
	net_tls_free(r->client_tls);
	sm_unref(r->core);
	sm_unref(r->nobody);
	sm_unref(r->main);
	if (r->parent_fd >= 0)
		close(r->parent_fd);
	map_done(&r->foreign);
	map_done(&r->names);
	map_done(&r->quarantined);
	free(r->quarantine_ring);
	buf_done(&r->scratch);
	buf_done(&r->scratch2);
	if (r->secret.data)
		explicit_bzero((void *)r->secret.data, r->secret.size);
	free((void *)r->secret.data);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void init(struct sm_remoting *r, struct sm_system *system, const struct sm_remoting_options *given)
{
	r->system = system;
	r->options = *given;
	defaults(&r->options);
	snprintf(r->name, sizeof r->name, "%s", given->name);
	do
		r->uid = remoting__random();
	while (!r->uid);
	r->dispatcher = (uint32_t)(r->uid % sm_system_dispatchers(system));
	r->tick_ms = r->options.heartbeat_ms / 4;
	r->tick_ms = r->tick_ms < 5 ? 5 : r->tick_ms > 250 ? 250 : r->tick_ms;
	r->accepts = (struct dial){.r = r, .fd = -1};
	pthread_mutex_init(&r->lock, NULL);
	clock_cond_init(&r->changed);
	map_init(&r->foreign);
	map_init(&r->names);
	map_init(&r->quarantined);
	buf_init(&r->scratch);
	buf_init(&r->scratch2);
	if (given->secret)
		r->secret = bytes_of(strdup(given->secret), strlen(given->secret));
}

static enum sm_err core_start(struct sm_remoting *r, struct sm_error *reterr)
{
	struct sm_props props = {.state_size = sizeof(struct sm_remoting *),
				 .init = core_init,
				 .receive = core_receive,
				 .done = core_done,
				 .arg = r,
				 .dispatcher = (int)r->dispatcher};
	enum sm_err err = sm_spawn(r->system, NULL, &props, &r->core);
	if (err)
		return sm_fail(reterr, err, "remoting: cannot start its actor: %s", sm_err_text(err));
	/* Whoever is told the address may connect at once. */
	uint64_t deadline = clock_deadline_ns(CORE_BEGINS_MS);
	pthread_mutex_lock(&r->lock);
	while (!r->begun && clock_cond_wait_until(&r->changed, &r->lock, deadline))
		;
	pthread_mutex_unlock(&r->lock);
	return SM_OK;
}

enum sm_err remoting__new(struct sm_system *system, const struct sm_remoting_options *options, struct sm_ref *main, int parent_fd,
			  struct sm_remoting **ret_remoting, struct sm_error *reterr)
{
	enum sm_err err = check(options, reterr);
	if (!err && actor_is_simulated(system))
		err = sm_fail(reterr, SM_UNSUPPORTED, "remoting: a simulated system has no connections");
	if (err)
		return err;
	struct sm_remoting *r = calloc(1, sizeof *r);
	if (!r)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a remoting");
	init(r, system, options);
	r->main = main ? sm_ref_get(main) : NULL;
	r->parent_fd = -1;
	r->nobody = actor_foreign_new(system, r->dispatcher, &remoting__foreign_ops, sizeof(struct remote_ref) + 1, 0);
	if (!r->nobody || (options->secret && !r->secret.data))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory for a remoting");
	if (!err)
		err = remoting__serials_init(&r->serials, options->serializers, options->serializer_count, reterr);
	if (!err)
		err = listen_tls(r, options, reterr);
	if (!err && !(err = listen_socket(r, options, reterr)))
		err = where_am_i(r, options, r->listener ? net_listener_port(r->listener) : 0, reterr);
	r->parent_fd = parent_fd;
	if (!err)
		err = core_start(r, reterr);
	if (err) {
		net_listener_free(r->listener, 0);
		net_listener_free(r->dialler, 0);
		remoting_done(r);
		return err;
	}
	*ret_remoting = r;
	return SM_OK;
}

enum sm_err sm_remoting_new(struct sm_system *system, const struct sm_remoting_options *options, struct sm_remoting **ret_remoting,
			    struct sm_error *reterr)
{
	return remoting__new(system, options, NULL, -1, ret_remoting, reterr);
}

void sm_remoting_free(struct sm_remoting *remoting)
{
	struct sm_remoting *r = remoting;
	if (!r)
		return;
	struct sm_msg *msg = calloc(1, sizeof *msg);
	pthread_mutex_lock(&r->lock);
	uint64_t deadline = clock_deadline_ns(2ull * r->stop_ms_max + 10000);
	pthread_mutex_unlock(&r->lock);
	if (msg) {
		msg->type = &msg_stop;
		if (sm_send_reply(r->core, msg)) { /* it has ended */
			sm_msg_free(msg);
			msg = NULL;
		}
	}
	pthread_mutex_lock(&r->lock);
	while (msg && !r->stopped && clock_cond_wait_until(&r->changed, &r->lock, deadline))
		;
	pthread_mutex_unlock(&r->lock);
	net_listener_free(r->listener, 1000);
	net_listener_free(r->dialler, 1000);
	if (sm_stop_wait(r->system, r->core, 60000, NULL) == SM_OK)
		remoting_done(r); /* else its dispatcher is held up, and still has it in its hands */
}

const char *sm_remoting_address(const struct sm_remoting *remoting)
{
	return remoting->address;
}

uint64_t sm_remoting_uid(const struct sm_remoting *remoting)
{
	return remoting->uid;
}

void sm_remoting_info(const struct sm_remoting *remoting, struct sm_remoting_info *ret_info)
{
	struct sm_remoting *r = (struct sm_remoting *)remoting;
	pthread_mutex_lock(&r->lock);
	uint32_t refs = (uint32_t)r->foreign.count;
	pthread_mutex_unlock(&r->lock);
	*ret_info = (struct sm_remoting_info){.connected = atomic_load(&r->connected),
					      .quarantined = atomic_load(&r->quarantined_count),
					      .refs = refs,
					      .sent = atomic_load(&r->sent),
					      .received = atomic_load(&r->received),
					      .refused = atomic_load(&r->refused)};
}
