/* Listeners: the socket, the actor that accepts, and the count of connections that shutdown waits for.
 *
 * One dispatcher accepts; there is no SO_REUSEPORT, which would let a second process share the port unseen. The connections are
 * children of the accepting actor, so that stopping it ends whatever did not drain in time. */
#include "net/net_internal.h"
#include "base/address.h"
#include "base/metrics.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <netinet/tcp.h>

enum { ACCEPT_TIMER = 1 };
#define END_WAIT_MS 5000 /* for connections whose queue is abandoned */

/* Outlives the actor's state by the close callback. */
struct acceptor {
	uv_poll_t poll;
	struct sm_actor *self;
	struct net_listener *listener;
};
struct acceptor_state {
	struct net_listener *listener;
	struct acceptor *acceptor; /* NULL: not accepting any more */
};

static void message_free(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type msg_stop = {"net stop", message_free};

static void send_plain(struct sm_ref *to, const struct sm_msg_type *type)
{
	struct sm_msg *msg = calloc(1, sizeof *msg);
	if (!msg)
		return;
	msg->type = type;
	if (sm_send_reply(to, msg))
		sm_msg_free(msg);
}

/* ---- accepting ---- */

static atomic_uint_fast64_t connections; /* of the process */

static uint64_t connections_share(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur / 100 * NET_FILES_PERCENT + limit.rlim_cur % 100 * NET_FILES_PERCENT / 100;
}

/* false: the connection is refused because there are too many. */
static bool count_up(struct net_listener *listener)
{
	/* The socket of the data directory is not closed to who could look what is wrong. */
	bool spare = listener->unix_path || atomic_load(&connections) < connections_share();
	pthread_mutex_lock(&listener->lock);
	bool ok = spare && listener->count < listener->options.connections_max && !listener->stopping;
	if (ok)
		listener->count++;
	pthread_mutex_unlock(&listener->lock);
	if (ok)
		atomic_fetch_add(&connections, 1);
	return ok;
}

/* What has come already: closed with it unread, the socket would be reset, and the peer might lose what it is told. */
static void read_over(int fd)
{
	char dropped[4096];
	for (int i = 0; i < 16 && recv(fd, dropped, sizeof dropped, MSG_DONTWAIT) > 0; i++)
		;
}

static void refuse(struct net_listener *listener, int fd)
{
	const char *busy = listener->options.tls ? NULL : listener->options.protocol->busy;
	metric_add(METRIC_CONNECTIONS_REFUSED, 1);
	if (busy) {
		(void)!send(fd, busy, strlen(busy), MSG_NOSIGNAL | MSG_DONTWAIT);
		shutdown(fd, SHUT_WR);
		read_over(fd);
	}
	close(fd);
}

/* Descriptors have run out: with the spare one the waiting peer is told so at once, instead of hanging in the backlog.
 * Returns false when that did not work either. */
static bool refuse_one(struct net_listener *listener)
{
	if (listener->spare_fd < 0)
		return false;
	close(listener->spare_fd);
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		refuse(listener, fd);
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

static void accept_ready(uv_poll_t *poll, int status, int events);

static void accept_later(struct acceptor *a)
{
	uv_poll_stop(&a->poll);
	if (sm_timer_start(a->self, ACCEPT_TIMER, NET_ACCEPT_RETRY_MS, 0))
		uv_poll_start(&a->poll, UV_READABLE, accept_ready);
}

static void accept_some(struct acceptor *a)
{
	struct net_listener *listener = a->listener;
	for (int i = 0; i < NET_ACCEPT_A_TURN; i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (!listener->unix_path)
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
			if (count_up(listener))
				net__conn_start(listener, a->self, fd,
						&(struct net_adopt_options){.arg = listener->options.arg, .tls = listener->options.tls});
			else
				refuse(listener, fd);
		} else if (errno == EMFILE || errno == ENFILE) {
			if (!refuse_one(listener)) {
				accept_later(a);
				return;
			}
		} else if (errno == ENOMEM || errno == ENOBUFS) {
			accept_later(a);
			return;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		}
		/* Anything else is an error of that one connection (ECONNABORTED, EPROTO ...): the next may be well. */
	}
}

static void accept_ready(uv_poll_t *poll, int status, int events)
{
	accept_some((struct acceptor *)poll); /* its first member */
}

static void acceptor_free(uv_handle_t *handle)
{
	free(handle);
}

static void tell_gone(struct net_listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	listener->acceptor_gone = true;
	pthread_cond_broadcast(&listener->changed);
	pthread_mutex_unlock(&listener->lock);
}

static enum sm_err acceptor_init(struct sm_actor *self, void *state, void *arg)
{
	struct acceptor_state *s = state;
	struct net_listener *listener = s->listener = arg;
	struct acceptor *a = calloc(1, sizeof *a);
	if (a)
		*a = (struct acceptor){.self = self, .listener = listener};
	if (!a || uv_poll_init_socket(actor_loop(self), &a->poll, listener->fd)) {
		free(a);
		tell_gone(listener);
		return SM_IO;
	}
	s->acceptor = a;
	if (uv_poll_start(&a->poll, UV_READABLE, accept_ready))
		accept_later(a);
	return SM_OK;
}

static void stop_accepting(struct acceptor_state *s)
{
	if (!s->acceptor)
		return;
	sm_timer_stop(s->acceptor->self, ACCEPT_TIMER);
	uv_close((uv_handle_t *)&s->acceptor->poll, acceptor_free); /* while the descriptor is its own */
	close(s->listener->fd);
	s->listener->fd = -1;
	if (s->listener->unix_path)
		unlink(s->listener->unix_path);
	s->acceptor = NULL;
}

static enum sm_err acceptor_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct acceptor_state *s = state;
	if (msg->type == &msg_stop)
		stop_accepting(s);
	else if (msg->type == &sm_msg_timer && s->acceptor && uv_poll_start(&s->acceptor->poll, UV_READABLE, accept_ready))
		accept_later(s->acceptor);
	return SM_OK;
}

static void acceptor_done(struct sm_actor *self, void *state)
{
	struct acceptor_state *s = state;
	stop_accepting(s);
	tell_gone(s->listener);
}

/* ---- the count of connections ---- */

bool net__listener_add(struct net_listener *listener, struct net_conn *conn)
{
	pthread_mutex_lock(&listener->lock);
	conn->prev = NULL;
	conn->next = listener->connections;
	if (conn->next)
		conn->next->prev = conn;
	listener->connections = conn;
	bool draining = listener->stopping;
	pthread_mutex_unlock(&listener->lock);
	return draining;
}

void net__listener_remove(struct net_listener *listener, struct net_conn *conn)
{
	pthread_mutex_lock(&listener->lock);
	if (conn) {
		if (conn->next)
			conn->next->prev = conn->prev;
		if (conn->prev)
			conn->prev->next = conn->next;
		else
			listener->connections = conn->next;
	}
	atomic_fetch_sub(&connections, 1);
	listener->count--;
	pthread_cond_broadcast(&listener->changed);
	pthread_mutex_unlock(&listener->lock);
}

/* Wait under the lock until no connection lives. */
static bool wait_for_none(struct net_listener *listener, uint32_t timeout_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (listener->count || (listener->ended && !listener->acceptor_gone))
		if (pthread_cond_timedwait(&listener->changed, &listener->lock, &until))
			return false;
	return true;
}

/* ---- the socket ---- */

void net__address_text(const struct sockaddr *address, char *out, size_t out_size)
{
	char host[INET6_ADDRSTRLEN];
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)address;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		address_text(host, ntohs(in->sin_port), out, out_size);
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
		/* An IPv4 peer of a listener for both is shown as what it is. */
		bool v4 = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
		inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &in->sin6_addr.s6_addr[12] : in->sin6_addr.s6_addr, host, sizeof host);
		address_text(host, ntohs(in->sin6_port), out, out_size);
	} else {
		snprintf(out, out_size, "unix");
	}
}

/* Where nobody is asked for credentials, only this machine may connect. */
static enum sm_err ip_address(const char *host, uint16_t port, bool anywhere, struct sockaddr_storage *out, socklen_t *ret_size,
			      struct sm_error *reterr)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	memset(out, 0, sizeof *out);
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	bool loopback;
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		*ret_size = sizeof *in;
		loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
	} else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		*ret_size = sizeof *in6;
		loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	} else {
		return sm_fail(reterr, SM_INVALID, "cannot listen on \"%s\": it is not an IP address; use one as 127.0.0.1 or ::1", host);
	}
	if (!loopback && !anywhere)
		return sm_fail(reterr, SM_DENIED,
			       "cannot listen on %s: loopback only: a listener elsewhere must ask for credentials; use 127.0.0.1 or ::1",
			       host);
	return SM_OK;
}

static enum sm_err listen_failed(struct net_listener *listener, const char *where, struct sm_error *reterr)
{
	int os_errno = errno;
	if (os_errno == EADDRINUSE)
		return sm_fail(reterr, SM_BUSY, "%s is in use by another program: stop that one, or choose another port (0: any free one)",
			       where);
	if (os_errno == EADDRNOTAVAIL)
		return sm_fail(reterr, SM_NOT_FOUND,
			       "cannot listen on %s: this machine has no such address; `ip address` shows those that it has", where);
	if (os_errno == EACCES)
		return sm_fail(reterr, SM_DENIED, "cannot listen on %s: the system does not allow it to this user%s", where,
			       listener->unix_path ? "" : "; ports below 1024 need a right of their own: choose a higher one");
	return sm_fail_errno(reterr, os_errno, "cannot listen on %s", where);
}

static enum sm_err listen_tcp(struct net_listener *listener, struct sm_error *reterr)
{
	struct sockaddr_storage address = {0};
	socklen_t size = 0;
	enum sm_err err = ip_address(listener->host, listener->options.port, listener->options.anywhere, &address, &size, reterr);
	if (err)
		return err;
	char where[INET6_ADDRSTRLEN + 10];
	net__address_text((struct sockaddr *)&address, where, sizeof where);
	listener->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return sm_fail_errno(reterr, errno, "cannot make a socket for %s", where);
	/* Without it the port would stay taken for a minute after a restart; a listener that lives still refuses us. */
	setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(listener->fd, (struct sockaddr *)&address, size) || listen(listener->fd, NET_BACKLOG) ||
	    getsockname(listener->fd, (struct sockaddr *)&address, &size))
		return listen_failed(listener, where, reterr);
	listener->port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
							    : ((struct sockaddr_in6 *)&address)->sin6_port);
	return SM_OK;
}

/* A socket file on which nobody listens is what a killed server left. */
static enum sm_err remove_stale(const struct sockaddr_un *address, struct sm_error *reterr)
{
	struct stat st;
	if (lstat(address->sun_path, &st) != 0)
		return SM_OK;
	if (!S_ISSOCK(st.st_mode))
		return sm_fail(reterr, SM_EXISTS, "%s is there and is no socket: move it away", address->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return sm_fail_errno(reterr, errno, "cannot make a socket for %s", address->sun_path);
	bool stale = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
	close(fd);
	if (!stale)
		return sm_fail(reterr, SM_BUSY, "%s is in use by another server: stop that one, or use another data directory",
			       address->sun_path);
	if (unlink(address->sun_path) != 0)
		return sm_fail_errno(reterr, errno, "cannot remove the stale socket %s", address->sun_path);
	return SM_OK;
}

static enum sm_err listen_unix(struct net_listener *listener, struct sm_error *reterr)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(listener->unix_path) >= sizeof address.sun_path)
		return sm_fail(reterr, SM_TOO_LARGE, "the socket's path has %zu bytes, the system allows %zu: use a shorter directory: %s",
			       strlen(listener->unix_path), sizeof address.sun_path - 1, listener->unix_path);
	strcpy(address.sun_path, listener->unix_path);
	enum sm_err err = remove_stale(&address, reterr);
	if (err)
		return err;
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return sm_fail_errno(reterr, errno, "cannot make a socket for %s", listener->unix_path);
	/* The mode of the socket before bind becomes the file's: there is no moment at which others may connect. */
	if (fchmod(listener->fd, 0600) || bind(listener->fd, (struct sockaddr *)&address, sizeof address) ||
	    chmod(listener->unix_path, 0600) || listen(listener->fd, NET_BACKLOG))
		return listen_failed(listener, listener->unix_path, reterr);
	return SM_OK;
}

/* ---- a listener's life ---- */

static struct net_listener *listener_new(const struct net_listen_options *options)
{
	struct net_listener *listener = calloc(1, sizeof *listener);
	if (!listener)
		return NULL;
	listener->options = *options;
	listener->fd = -1;
	if (!listener->options.connections_max)
		listener->options.connections_max = NET_CONNECTIONS_MAX;
	listener->host = options->host ? strdup(options->host) : NULL;
	listener->unix_path = options->unix_path ? strdup(options->unix_path) : NULL;
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&listener->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&listener->lock, NULL);
	return listener;
}

static void listener_done(struct net_listener *listener)
{
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->spare_fd >= 0)
		close(listener->spare_fd);
	sm_unref(listener->acceptor);
	pthread_cond_destroy(&listener->changed);
	pthread_mutex_destroy(&listener->lock);
	free(listener->host);
	free(listener->unix_path);
	free(listener);
}

void net_adopt(struct net_listener *listener, struct sm_actor *parent, int fd, const struct net_adopt_options *options)
{
	if (count_up(listener)) {
		net__conn_start(listener, parent, fd, options);
	} else {
		close(fd);
		if (options->release)
			options->release(options->arg);
	}
}

void net_listener_stop(struct net_listener *listener)
{
	if (listener->acceptor)
		send_plain(listener->acceptor, &msg_stop);
}

bool net__listener_free(struct net_listener *listener, uint32_t drain_ms)
{
	if (!listener)
		return true;
	net_listener_stop(listener);
	pthread_mutex_lock(&listener->lock);
	listener->stopping = true;
	for (struct net_conn *c = listener->connections; c; c = c->next)
		send_plain(c->ref, &net__msg_drain);
	wait_for_none(listener, drain_ms);
	listener->ended = true;
	pthread_mutex_unlock(&listener->lock);
	if (listener->acceptor)
		sm_stop(listener->acceptor);
	pthread_mutex_lock(&listener->lock);
	bool none = wait_for_none(listener, END_WAIT_MS);
	pthread_mutex_unlock(&listener->lock);
	/* A handler that blocks its dispatcher still holds the listener: rather leak it than pull it away. */
	if (none)
		listener_done(listener);
	return none;
}

void net_listener_free(struct net_listener *listener, uint32_t drain_ms)
{
	(void)net__listener_free(listener, drain_ms);
}

uint16_t net_listener_port(const struct net_listener *listener)
{
	return listener->port;
}

enum sm_err net_listen(const struct net_listen_options *options, struct net_listener **ret_listener, struct sm_error *reterr)
{
	assert(!options->host || !options->unix_path);
	assert(options->protocol->data);
	struct net_listener *listener = listener_new(options);
	bool has_socket = options->host || options->unix_path;
	if (!listener || (has_socket && !listener->host && !listener->unix_path)) {
		if (listener)
			listener_done(listener);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a listener");
	}
	enum sm_err err = listener->host ? listen_tcp(listener, reterr) : listener->unix_path ? listen_unix(listener, reterr) : SM_OK;
	if (!has_socket) {
		listener->acceptor_gone = true;
	} else if (!err) {
		struct sm_props props = {.state_size = sizeof(struct acceptor_state),
					 .init = acceptor_init,
					 .receive = acceptor_receive,
					 .done = acceptor_done,
					 .arg = listener,
					 .dispatcher = options->one_dispatcher ? (int)options->dispatcher : SM_DISPATCHER_ANY};
		err = sm_spawn(options->system, NULL, &props, &listener->acceptor);
		if (err)
			sm_fail(reterr, err, "cannot start the listener's actor: %s", sm_err_text(err));
	}
	if (err) {
		listener_done(listener);
		return err;
	}
	*ret_listener = listener;
	return SM_OK;
}
