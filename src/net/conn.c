/* A connection: a socket under the loop's poll and the actor that owns it.
 *
 * The poll's callback and the actor's messages run on the same thread, so nothing here is locked. What a handler queues leaves
 * when the turn ends (turn.c). Closing is in two steps: net_conn_close marks the connection and stops the actor; the actor's
 * end calls the protocol's close and frees what is left, so that no handler ever runs on freed state. */
#include "base/metrics.h"
#include "net/tls_internal.h"
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn_birth {
	struct net_listener *listener;
	int fd;
	void *arg;
	void (*release)(void *arg);
	struct net_tls *tls;
	char tls_host[]; /* "": none */
};
/* The actor's state; the protocol's state follows it. */
struct conn_state {
	struct net_conn *conn;
	struct conn_birth *birth;
	_Alignas(16) uint8_t protocol_state[];
};

static void drain_free(struct sm_msg *msg)
{
	free(msg);
}
const struct sm_msg_type net__msg_drain = {"net drain", drain_free};

static void poll_ready(uv_poll_t *handle, int status, int events);

static uint64_t now_ms(const struct net_conn *conn)
{
	return uv_now(conn->poll.loop);
}

/* ---- what the poll waits for ---- */

static void update_poll(struct net_conn *conn)
{
	if (conn->closed)
		return;
	bool read = !conn->eof && (conn->lingering || (!conn->paused && !conn->finishing && !conn->short_of_memory));
	int events = (read ? UV_READABLE : 0) | (conn->want_write ? UV_WRITABLE : 0);
	if (events == conn->events)
		return;
	int rc = uv_poll_start(&conn->poll, events, poll_ready);
	if (rc) {
		net_conn_close(conn);
		return;
	}
	conn->events = events;
}

/* ---- input ---- */

/* Show bytes to the protocol. Returns how many it left. */
static size_t show(struct net_conn *conn, struct bytes in)
{
	size_t used = 0;
	conn->need = 0;
	conn->taken = false;
	enum sm_err err = conn->protocol->data(conn, conn->state, in, &used);
	assert(used <= in.size);
	if (err || conn->need > NET_FRAME_MAX || (in.size - used > NET_FRAME_MAX)) {
		net_conn_close(conn);
		return 0;
	}
	return conn->closed || conn->finishing ? 0 : in.size - used;
}

void *net_conn_take(struct net_conn *conn, struct bytes part, uint8_t **ret_data)
{
	struct bytes own = buf_bytes(&conn->in);
	bool inside = own.data && part.data >= own.data && part.data + part.size <= own.data + own.size;
	if (inside && !conn->taken && part.size > NET_READ_CHUNK) {
		conn->taken = true;
		*ret_data = (uint8_t *)part.data;
		return conn->in.data;
	}
	uint8_t *copy = malloc(part.size ? part.size : 1);
	if (!copy)
		return NULL;
	memcpy(copy, part.data, part.size);
	*ret_data = copy;
	return copy;
}

/* A frame that will be large gets its room at once, so that it is not moved again and again. */
static void make_room(struct net_conn *conn)
{
	size_t have = buf_size(&conn->in);
	if (conn->need > have)
		buf_reserve(&conn->in, conn->need - have);
}

static void keep(struct net_conn *conn, struct bytes left)
{
	make_room(conn);
	buf_append_bytes(&conn->in, left);
	if (conn->in.failed)
		net_conn_close(conn);
}

static ssize_t receive_into(struct net_conn *conn, void *data, size_t size)
{
	ssize_t n;
	if (conn->tls && !conn->lingering) {
		n = net__tls_read(conn, data, size);
	} else {
		do
			n = recv(conn->fd, data, size, MSG_DONTWAIT);
		while (n < 0 && errno == EINTR);
	}
	if (n > 0)
		conn->read_ms = now_ms(conn);
	return n;
}

/* Show what the connection's own buffer holds, and keep in it what is left. */
static void show_kept(struct net_conn *conn)
{
	struct bytes all = buf_bytes(&conn->in);
	size_t left = show(conn, all);
	if (conn->taken) {
		buf_init(&conn->in); /* the memory is the protocol's */
		if (left)
			keep(conn, bytes_of(all.data + all.size - left, left));
	} else if (left) {
		buf_consume(&conn->in, all.size - left);
	} else {
		buf_done(&conn->in);
	}
}

/* Read into the dispatcher's buffer, behind what the last read left. */
static ssize_t read_small(struct net_conn *conn)
{
	uint8_t *chunk = conn->turn->chunk + NET_READ_CHUNK;
	ssize_t n = receive_into(conn, chunk, NET_READ_CHUNK);
	if (n <= 0)
		return n;
	struct bytes before = buf_bytes(&conn->in);
	struct bytes in = bytes_of(chunk - before.size, before.size + (size_t)n);
	if (in.size < conn->need) {
		keep(conn, bytes_of(chunk, (size_t)n));
		return n;
	}
	if (before.data)
		memcpy(chunk - before.size, before.data, before.size);
	buf_clear(&conn->in);
	size_t left = show(conn, in);
	if (left)
		keep(conn, bytes_of(in.data + in.size - left, left));
	else
		buf_done(&conn->in);
	return n;
}

/* Read a large frame into its own memory. */
static ssize_t read_large(struct net_conn *conn)
{
	size_t have = buf_size(&conn->in);
	/* No byte more than the frame has, so that its memory can be taken over with nothing else in it. */
	size_t want = conn->need > have ? conn->need - have : NET_READ_CHUNK;
	uint8_t *p = buf_reserve(&conn->in, want);
	if (!p) {
		net_conn_close(conn);
		return 1;
	}
	ssize_t n = receive_into(conn, p, want);
	if (n <= 0)
		return n;
	buf_commit(&conn->in, (size_t)n);
	if (buf_size(&conn->in) < conn->need)
		return n;
	net__intake_done(conn);
	show_kept(conn);
	if (conn->need > NET_READ_CHUNK)
		make_room(conn);
	return n;
}

void net_conn_large(struct net_conn *conn, bool large)
{
	if (conn->large && !large)
		net__intake_done(conn);
	conn->large = large;
}

bool net_conn_held_up(const struct net_conn *conn)
{
	return conn->short_of_memory;
}

static void peer_ended(struct net_conn *conn)
{
	conn->eof = true;
	if (conn->finishing ? conn->out.first == NULL : conn->protocol->eof == NULL) {
		net_conn_close(conn);
		return;
	}
	update_poll(conn);
	if (!conn->finishing)
		conn->protocol->eof(conn, conn->state);
}

/* The answer has left and our side is shut: what still comes is thrown away, else the kernel would reset the connection
 * and the peer might lose the answer. */
static void linger(struct net_conn *conn)
{
	ssize_t n = receive_into(conn, conn->turn->chunk, NET_READ_CHUNK);
	if (n > 0)
		conn->lingered += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN) || conn->lingered > NET_LINGER_BYTES)
		net_conn_close(conn);
}

static void read_ready(struct net_conn *conn)
{
	if (conn->lingering) {
		linger(conn);
		return;
	}
	if (conn->paused || conn->finishing) {
		update_poll(conn);
		return;
	}
	bool small = conn->need <= NET_READ_CHUNK && buf_size(&conn->in) <= NET_READ_CHUNK;
	if ((!small || conn->large) && !net__intake_may(conn)) {
		conn->short_of_memory = sm_timer_start(conn->actor, NET_TIMER_INTAKE, NET_INTAKE_RETRY_MS, 0) == SM_OK;
		update_poll(conn);
		return;
	}
	ssize_t n = small ? read_small(conn) : read_large(conn);
	if (n == 0)
		peer_ended(conn);
	else if (n < 0 && errno != EAGAIN)
		net_conn_close(conn);
	/* The socket says nothing of what TLS has taken from it already. */
	if (n > 0 && !conn->closed && net__tls_pending(conn)) {
		conn->more = true;
		net__turn_mark(conn);
	}
}

/* ---- output ---- */

static void flush(struct net_conn *conn)
{
	int os_errno = 0;
	size_t before = conn->out.size;
	enum net_flush result = conn->tls ? net__tls_flush(conn, &os_errno) : net__out_flush(&conn->out, conn->turn, conn->fd, &os_errno);
	if (result == NET_FLUSH_FAILED) {
		net_conn_close(conn);
		return;
	}
	if (conn->out.size != before || !conn->want_write)
		conn->write_ms = now_ms(conn);
	if (result == NET_FLUSH_BLOCKED && !conn->want_write && sm_timer_start(conn->actor, NET_TIMER_STALL, NET_WRITE_STALL_MS, 0)) {
		net_conn_close(conn);
		return;
	}
	if (result != NET_FLUSH_BLOCKED && conn->want_write)
		sm_timer_stop(conn->actor, NET_TIMER_STALL);
	conn->want_write = result == NET_FLUSH_BLOCKED;
	if (conn->was_full && conn->out.size < NET_WRITE_LOW) {
		conn->was_full = false;
		if (conn->protocol->drained && !conn->finishing)
			conn->protocol->drained(conn, conn->state);
	}
}

/* The queue has left and the connection is to end. */
static void shut(struct net_conn *conn)
{
	if (conn->tls)
		net__tls_shut(conn);
	if (conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
		net_conn_close(conn);
		return;
	}
	/* While the server stops, peers that keep idle connections open are not waited for. */
	uint8_t byte;
	if (conn->draining && recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
		net_conn_close(conn);
		return;
	}
	conn->lingering = true;
	if (sm_timer_start(conn->actor, NET_TIMER_LINGER, NET_LINGER_MS, 0))
		net_conn_close(conn);
}

void net__conn_turn_end(struct net_conn *conn)
{
	if (conn->show && !conn->closed && !conn->paused && !conn->finishing) {
		conn->show = false;
		if (buf_size(&conn->in) && buf_size(&conn->in) >= conn->need)
			show_kept(conn);
	}
	if (conn->more && !conn->closed && !conn->paused && !conn->finishing && !conn->eof) {
		conn->more = false;
		read_ready(conn);
	}
	if (!conn->closed && conn->out.first && !conn->want_write && !conn->handshake)
		flush(conn);
	if (!conn->closed && conn->finishing && !conn->out.first && !conn->lingering)
		shut(conn);
	update_poll(conn);
}

static void open_protocol(struct net_conn *conn)
{
	conn->opened = true;
	if (conn->protocol->open && conn->protocol->open(conn, conn->state, conn->arg))
		net_conn_close(conn);
}

static void shake_hands(struct net_conn *conn)
{
	enum net_handshake result = net__tls_handshake(conn);
	conn->want_write = result == NET_HANDSHAKE_WRITE;
	if (result == NET_HANDSHAKE_FAILED) {
		net_conn_close(conn);
		return;
	}
	if (result == NET_HANDSHAKE_DONE) {
		conn->handshake = false;
		sm_timer_stop(conn->actor, NET_TIMER_HANDSHAKE);
		open_protocol(conn);
		/* The first request may have come with the end of the handshake. */
		conn->more = true;
		net__turn_mark(conn);
	}
	update_poll(conn);
}

static void poll_ready(uv_poll_t *handle, int status, int events)
{
	struct net_conn *conn = handle->data;
	if (conn->closed)
		return;
	if (status < 0) {
		net_conn_close(conn);
		return;
	}
	if (conn->handshake) {
		shake_hands(conn);
		return;
	}
	if (events & UV_WRITABLE) {
		flush(conn);
		net__turn_mark(conn);
	}
	if ((events & UV_READABLE) && !conn->closed)
		read_ready(conn);
}

/* ---- the actor ---- */

static void poll_gone(uv_handle_t *handle)
{
	struct net_conn *conn = handle->data;
	struct net__turn *turn = conn->turn;
	free(conn);
	net__turn_put(turn);
}

static struct net_conn *conn_new(struct sm_actor *self, struct conn_birth *birth)
{
	struct net_conn *conn = calloc(1, sizeof *conn);
	if (!conn)
		return NULL;
	conn->turn = net__turn_get();
	if (!conn->turn || uv_poll_init_socket(actor_loop(self), &conn->poll, birth->fd)) {
		if (conn->turn)
			net__turn_put(conn->turn);
		free(conn);
		return NULL;
	}
	conn->poll.data = conn;
	conn->actor = self;
	conn->listener = birth->listener;
	conn->protocol = birth->listener->options.protocol;
	conn->fd = birth->fd;
	conn->arg = birth->arg;
	conn->release = birth->release;
	conn->use_tls = birth->tls;
	conn->ref = sm_ref_get(sm_self(self));
	conn->read_ms = conn->write_ms = now_ms(conn);
	struct sockaddr_storage peer;
	socklen_t size = sizeof peer;
	if (getpeername(conn->fd, (struct sockaddr *)&peer, &size) != 0)
		peer.ss_family = AF_UNSPEC;
	net__address_text((struct sockaddr *)&peer, conn->peer, sizeof conn->peer);
	buf_init(&conn->in);
	metric_add(METRIC_CONNECTIONS, 1);
	return conn;
}

static void begin_drain(struct net_conn *conn)
{
	if (conn->draining)
		return;
	conn->draining = true;
	if (conn->handshake)
		net_conn_close(conn);
	else if (conn->finishing)
		net__turn_mark(conn);
	else if (conn->protocol->drain)
		conn->protocol->drain(conn, conn->state);
	else
		net_conn_finish(conn);
}

static void birth_failed(struct conn_birth *birth)
{
	close(birth->fd);
	net__listener_remove(birth->listener, NULL);
	if (birth->release)
		birth->release(birth->arg);
	free(birth);
}

static enum sm_err conn_init(struct sm_actor *self, void *state, void *arg)
{
	struct conn_state *s = state;
	struct conn_birth *birth = arg;
	struct net_listener *listener = birth->listener;
	s->conn = conn_new(self, birth);
	if (!s->conn) {
		birth_failed(birth);
		return SM_NO_MEMORY;
	}
	struct net_conn *conn = s->conn;
	conn->state = s->protocol_state;
	bool tls_begun = birth->tls && net__tls_begin(conn, birth->tls_host);
	free(birth);
	bool draining = net__listener_add(listener, conn);
	if (listener->options.idle_ms && sm_timer_start(self, NET_TIMER_IDLE, listener->options.idle_ms, 0)) {
		net_conn_close(conn);
		return SM_OK;
	}
	if (!conn->use_tls) {
		open_protocol(conn);
	} else if (tls_begun && sm_timer_start(self, NET_TIMER_HANDSHAKE, NET_TLS_HANDSHAKE_MS, 0) == SM_OK) {
		conn->handshake = true;
		if (net__tls_is_client(conn->use_tls))
			shake_hands(conn);
	} else {
		net_conn_close(conn);
	}
	if (draining && !conn->closed)
		begin_drain(conn);
	update_poll(conn);
	return SM_OK;
}

/* Timers are not moved at each byte: one that fires too early is started again for the rest. */
static void restart_or_close(struct net_conn *conn, uint32_t timer, uint64_t since_ms, uint64_t limit_ms)
{
	uint64_t passed = now_ms(conn) - since_ms;
	if (passed >= limit_ms || sm_timer_start(conn->actor, timer, limit_ms - passed, 0))
		net_conn_close(conn);
}

static void intake_again(struct net_conn *conn)
{
	conn->short_of_memory = false;
	conn->more |= conn->tls != NULL; /* the socket says nothing of what TLS has taken from it */
	net__turn_mark(conn);            /* the poll waits for more again */
}

static enum sm_err conn_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct net_conn *conn = ((struct conn_state *)state)->conn;
	if (conn->closed)
		return SM_OK;
	if (msg->type == &net__msg_drain) {
		begin_drain(conn);
		return SM_OK;
	}
	if (msg->type == &net__msg_tls_read) {
		if (net__tls_file_read(conn, msg))
			net__turn_mark(conn);
		else
			net_conn_close(conn);
		return SM_OK;
	}
	if (msg->type == &sm_msg_timer) {
		uint32_t timer = ((struct sm_timer_msg *)msg)->timer;
		if (timer == NET_TIMER_IDLE)
			restart_or_close(conn, timer, conn->read_ms, conn->listener->options.idle_ms);
		else if (timer == NET_TIMER_STALL && conn->want_write)
			restart_or_close(conn, timer, conn->write_ms, NET_WRITE_STALL_MS);
		else if (timer == NET_TIMER_LINGER || timer == NET_TIMER_HANDSHAKE)
			net_conn_close(conn);
		else if (timer == NET_TIMER_FILE)
			net__turn_mark(conn);
		else if (timer == NET_TIMER_INTAKE)
			intake_again(conn);
		if (timer >= NET_TIMER_IDLE && timer <= NET_TIMER_FILE)
			return SM_OK;
	}
	if (conn->protocol->receive && conn->protocol->receive(conn, conn->state, msg))
		net_conn_close(conn);
	return SM_OK;
}

static void conn_done(struct sm_actor *self, void *state)
{
	struct net_conn *conn = ((struct conn_state *)state)->conn;
	if (!conn)
		return;
	conn->closed = true;
	if (conn->opened && conn->protocol->close)
		conn->protocol->close(conn, conn->state);
	if (conn->dirty) {
		struct net_conn **at = &conn->turn->dirty;
		while (*at != conn)
			at = &(*at)->next_dirty;
		*at = conn->next_dirty;
	}
	net__intake_done(conn);
	net__tls_done(conn);
	net__out_done(&conn->out, conn->turn);
	buf_done(&conn->in);
	/* First: it still speaks of the descriptor, which is another one's as soon as it is closed. */
	uv_close((uv_handle_t *)&conn->poll, poll_gone);
	close(conn->fd);
	metric_add(METRIC_CONNECTIONS, -1);
	if (conn->release)
		conn->release(conn->arg);
	net__listener_remove(conn->listener, conn);
	sm_unref(conn->ref);
}

void net__conn_start(struct net_listener *listener, struct sm_actor *parent, int fd, const struct net_adopt_options *options)
{
	const char *tls_host = options->tls_host ? options->tls_host : "";
	size_t host_size = strlen(tls_host) + 1;
	struct conn_birth *birth = malloc(sizeof *birth + host_size);
	if (!birth) {
		close(fd);
		net__listener_remove(listener, NULL);
		if (options->release)
			options->release(options->arg);
		return;
	}
	*birth = (struct conn_birth){.listener = listener, .fd = fd, .arg = options->arg, .release = options->release, .tls = options->tls};
	memcpy(birth->tls_host, tls_host, host_size);
	struct sm_props props = {
		.state_size = sizeof(struct conn_state) + listener->options.protocol->state_size,
		.init = conn_init,
		.receive = conn_receive,
		.done = conn_done,
		.arg = birth,
		.mailbox_max = listener->options.protocol->mailbox_max,
		.dispatcher = listener->options.one_dispatcher ? (int)listener->options.dispatcher : SM_DISPATCHER_ANY,
	};
	if (sm_spawn(listener->options.system, parent, &props, NULL))
		birth_failed(birth);
}

/* ---- what protocols call ---- */

struct sm_actor *net_conn_actor(struct net_conn *conn)
{
	return conn->actor;
}
struct sm_ref *net_conn_ref(struct net_conn *conn)
{
	return conn->ref;
}
void net_conn_need(struct net_conn *conn, size_t size)
{
	conn->need = size;
}
bool net_conn_write_full(const struct net_conn *conn)
{
	return conn->out.size > NET_WRITE_HIGH;
}
const char *net_conn_subject(const struct net_conn *conn)
{
	return net__tls_subject(conn);
}
const char *net_conn_peer(const struct net_conn *conn)
{
	return conn->peer;
}
bool net_conn_secure(const struct net_conn *conn)
{
	return conn->tls != NULL;
}
const char *net_conn_alpn(const struct net_conn *conn)
{
	return net__tls_alpn(conn);
}
bool net_conn_draining(const struct net_conn *conn)
{
	return conn->draining;
}

static void queued(struct net_conn *conn, bool ok)
{
	if (!ok) {
		net_conn_close(conn);
		return;
	}
	if (net_conn_write_full(conn))
		conn->was_full = true;
	net__turn_mark(conn);
}

void net_conn_write(struct net_conn *conn, struct bytes data)
{
	if (!conn->closed && !conn->lingering)
		queued(conn, net__out_copy(&conn->out, conn->turn, data));
}

static void write_node(struct net_conn *conn, enum net_node_kind kind, struct bytes data, int fd, uint64_t at, void (*release)(void *),
		       void *arg)
{
	bool ok = !conn->closed && !conn->lingering && net__out_node(&conn->out, kind, data, fd, at, release, arg);
	if (!ok && release)
		release(arg);
	if (!conn->closed && !conn->lingering)
		queued(conn, ok);
}

void net_conn_write_ref(struct net_conn *conn, struct bytes data, void (*release)(void *arg), void *arg)
{
	write_node(conn, NET_NODE_REF, data, -1, 0, release, arg);
}

void net_conn_write_file(struct net_conn *conn, int fd, uint64_t at, size_t size, void (*release)(void *arg), void *arg)
{
	write_node(conn, NET_NODE_FILE, bytes_of(NULL, size), fd, at, release, arg);
}

void net_conn_pause(struct net_conn *conn)
{
	/* The poll is changed only when bytes really come meanwhile: short pauses cost nothing. */
	conn->paused++;
}

void net_conn_resume(struct net_conn *conn)
{
	assert(conn->paused);
	if (--conn->paused || conn->closed)
		return;
	conn->show = true;
	net__turn_mark(conn);
}

void net_conn_finish(struct net_conn *conn)
{
	if (conn->closed || conn->finishing)
		return;
	conn->finishing = true;
	net__turn_mark(conn);
}

void net_conn_close(struct net_conn *conn)
{
	if (conn->closed)
		return;
	conn->closed = true;
	uv_poll_stop(&conn->poll);
	sm_stop(conn->ref);
}

void net_conn_local(const struct net_conn *conn, char host[46], uint16_t *ret_port)
{
	struct sockaddr_storage local = {0};
	socklen_t size = sizeof local;
	host[0] = 0;
	*ret_port = 0;
	if (getsockname(conn->fd, (struct sockaddr *)&local, &size) != 0)
		return;
	if (local.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&local;
		uv_ip4_name(in, host, 46);
		*ret_port = ntohs(in->sin_port);
	} else if (local.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&local;
		if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
			uv_inet_ntop(AF_INET, &in->sin6_addr.s6_addr[12], host, 46);
		else
			uv_ip6_name(in, host, 46);
		*ret_port = ntohs(in->sin6_port);
	}
}
