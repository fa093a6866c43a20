/* Connections to other systems are made on the pool: names are looked up and connect waits there. */
#include "base/address.h"
#include "remoting/remoting_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void dial_done(struct sm_msg *msg)
{
	struct dial *d = (struct dial *)msg;
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}
const struct sm_msg_type remoting__msg_dialled = {"remoting dialled", dial_done};

static int wait_connected(int fd, uint32_t timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int failed = 0, n;
	socklen_t size = sizeof failed;
	do
		n = poll(&p, 1, (int)timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return ETIMEDOUT;
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size))
		return errno;
	return failed;
}

/* -1: d->error says why. */
static int connect_to(struct dial *d, int family, const struct sockaddr *address, socklen_t size)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failed = fd < 0 ? errno : 0;
	if (!failed && connect(fd, address, size))
		failed = errno == EINPROGRESS ? wait_connected(fd, d->timeout_ms) : errno;
	if (!failed) {
		if (family != AF_UNIX)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		return fd;
	}
	if (fd >= 0)
		close(fd);
	snprintf(d->error, sizeof d->error, "%s", strerrordesc_np(failed));
	return -1;
}

static void connect_unix(struct dial *d)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", d->path);
	d->fd = connect_to(d, AF_UNIX, (struct sockaddr *)&address, sizeof address);
}

static void connect_tcp(struct dial *d)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
	char port[8];
	snprintf(port, sizeof port, "%u", d->port);
	int failed = getaddrinfo(d->host, port, &hints, &found);
	if (failed) {
		snprintf(d->error, sizeof d->error, "%s", gai_strerror(failed));
		return;
	}
	for (struct addrinfo *a = found; a && d->fd < 0; a = a->ai_next)
		d->fd = connect_to(d, a->ai_family, a->ai_addr, a->ai_addrlen);
	freeaddrinfo(found);
}

static void dial_run(struct sm_work *work)
{
	struct dial *d = (struct dial *)((char *)work - offsetof(struct dial, work));
	struct sm_ref *core = d->work.reply_to;
	if (d->host[0])
		connect_tcp(d);
	else
		connect_unix(d);
	/* The core's address is ours to let go of; the message goes there itself, because work must not outlive it. */
	if (sm_send_reply(core, &d->msg))
		sm_msg_free(&d->msg);
	sm_unref(core);
}

enum sm_err remoting__dial(struct peer *p)
{
	struct sm_remoting *r = p->r;
	struct dial *d = calloc(1, sizeof *d);
	if (!d)
		return SM_NO_MEMORY;
	d->msg.type = &remoting__msg_dialled;
	d->r = r;
	d->peer_id = p->id;
	d->dialer = true;
	d->fd = -1;
	d->timeout_ms = r->options.handshake_ms < REMOTING_CONNECT_MS ? r->options.handshake_ms : REMOTING_CONNECT_MS;
	bool good = strncmp(p->where, "unix:", 5) == 0 ? remoting__unix_of_where(p->where, d->path, sizeof d->path)
						       : address_point(p->where, strlen(p->where), 0, d->host, &d->port);
	if (!good) {
		free(d);
		return SM_INVALID;
	}
	d->work.run = dial_run;
	d->work.waits = true; /* others of the pool's work go on */
	d->work.reply_to = sm_ref_get(r->core);
	enum sm_err err = sm_pool_run(r->system, &d->work);
	if (err) {
		sm_unref(r->core);
		free(d);
	}
	return err;
}

/* The connection has ended, or never came to be. */
static void release(void *arg)
{
	struct dial *d = arg;
	struct peer *p = d->r->peers;
	while (p && p->id != d->peer_id)
		p = p->next;
	if (d->peer_id && p && p->at == PEER_DIALING) {
		if (d->done)
			p->at = PEER_IDLE; /* it was turned away */
		else
			remoting__peer_not_reached(p, "it has closed the connection, or its certificate is not good for this host");
	}
	dial_done(&d->msg);
}

void remoting__adopt(struct sm_remoting *r, struct dial *d, struct net_tls *tls)
{
	int fd = d->fd;
	d->fd = -1;
	net_adopt(r->dialler, r->self, fd, &(struct net_adopt_options){.arg = d, .tls = tls, .release = release, .tls_host = d->host});
}
