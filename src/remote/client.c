#include "base/io.h"
#include "remote/remote_internal.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
	struct sockaddr_un address;
	char data_dir[PATH_MAX];
	pthread_mutex_t lock;
	int idle[REMOTE_IDLE_CONNECTIONS];
	unsigned idle_count;
	struct remote__later *later;
};
struct sm_session {
	struct client client;
	struct sm_log *log;
	struct sm_store *store;
};

void remote__hang_up(int conn)
{
	if (conn >= 0)
		close(conn);
}

/* ---- frames ---- */

static enum sm_err lost(struct client *c, int os_errno, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_UNAVAILABLE, "the server at %s is gone%s%s", c->data_dir, os_errno ? ": " : "",
		       os_errno ? strerror(os_errno) : "");
}

static enum sm_err send_all(struct client *c, int fd, const void *data, size_t size, struct sm_error *reterr)
{
	const char *p = data;
	while (size) {
		ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lost(c, errno, reterr);
		p += n;
		size -= (size_t)n;
	}
	return SM_OK;
}

static enum sm_err receive_all(struct client *c, int fd, void *data, size_t size, struct sm_error *reterr)
{
	char *p = data;
	while (size) {
		ssize_t n = recv(fd, p, size, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return lost(c, n ? errno : 0, reterr);
		p += n;
		size -= (size_t)n;
	}
	return SM_OK;
}

/* One request and its answer. A connection has one request under way, so the id needs no table. */
static enum sm_err exchange(struct client *c, int fd, enum remote_op op, struct bytes body, struct buf *answer, bool *ret_broken,
			    struct sm_error *reterr)
{
	uint8_t head[REMOTE_HEADER];
	*ret_broken = true;
	if (body.size > REMOTE_FRAME_MAX - REMOTE_HEADER)
		return *ret_broken = false,
		       sm_fail(reterr, SM_TOO_LARGE, "a request of %zu bytes is larger than %u", body.size, REMOTE_FRAME_MAX);
	be32_put(head, (uint32_t)(body.size + REMOTE_HEADER - 4));
	head[4] = (uint8_t)op;
	be32_put(head + 5, 1);
	enum sm_err err = send_all(c, fd, head, sizeof head, reterr);
	if (!err)
		err = send_all(c, fd, body.data, body.size, reterr);
	if (!err)
		err = receive_all(c, fd, head, sizeof head, reterr);
	if (err)
		return err;
	uint32_t size = be32_get(head);
	if (size < REMOTE_HEADER - 4 || size > REMOTE_FRAME_MAX)
		return sm_fail(reterr, SM_CORRUPT, "the server's answer makes no sense");
	size -= REMOTE_HEADER - 4;
	struct buf plain;
	buf_init(&plain);
	struct buf *to = head[4] == 0 && answer ? answer : &plain;
	uint8_t *p = buf_reserve(to, size ? size : 1);
	if (!p)
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory for an answer of %u bytes", size);
	else if (!(err = receive_all(c, fd, p, size, reterr))) {
		buf_commit(to, size);
		*ret_broken = false;
		if (head[4] != 0) {
			struct byte_reader r = byte_reader(buf_bytes(&plain));
			err = remote__take_error(&r, reterr);
		}
	}
	buf_done(&plain);
	return err;
}

/* ---- connections ---- */

static enum sm_err hello(struct client *c, int fd, struct sm_error *reterr)
{
	uint8_t version[2];
	bool broken;
	struct buf answer;
	buf_init(&answer);
	be16_put(version, REMOTE_VERSION);
	enum sm_err err = exchange(c, fd, REMOTE_HELLO, bytes_of(version, 2), &answer, &broken, reterr);
	if (!err) {
		struct byte_reader r = byte_reader(buf_bytes(&answer));
		uint16_t theirs = reader_be16(&r);
		if (r.failed || theirs != REMOTE_VERSION)
			err = sm_fail(reterr, SM_VERSION,
				      "the server speaks version %u of the socket's protocol, this program %u: use the same release",
				      theirs, REMOTE_VERSION);
	}
	buf_done(&answer);
	return err;
}

static enum sm_err open_connection(struct client *c, int *ret_fd, struct sm_error *reterr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return sm_fail_errno(reterr, errno, "no socket");
	if (connect(fd, (struct sockaddr *)&c->address, sizeof c->address)) {
		int why = errno;
		close(fd);
		return sm_fail(reterr, SM_UNAVAILABLE,
			       "no server at %s (%s): start one with `smack up --data %s`, or name its directory with --data", c->data_dir,
			       strerror(why), c->data_dir);
	}
	enum sm_err err = hello(c, fd, reterr);
	if (err) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return SM_OK;
}

static enum sm_err take_connection(struct client *c, int *ret_fd, struct sm_error *reterr)
{
	pthread_mutex_lock(&c->lock);
	int fd = c->idle_count ? c->idle[--c->idle_count] : -1;
	pthread_mutex_unlock(&c->lock);
	if (fd >= 0) {
		/* An idle connection that can be read has been closed by the other side. */
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, 0) == 0)
			return *ret_fd = fd, SM_OK;
		close(fd);
	}
	return open_connection(c, ret_fd, reterr);
}

static void give_connection(struct client *c, int fd)
{
	pthread_mutex_lock(&c->lock);
	if (c->idle_count < REMOTE_IDLE_CONNECTIONS) {
		c->idle[c->idle_count++] = fd;
		fd = -1;
	}
	pthread_mutex_unlock(&c->lock);
	remote__hang_up(fd);
}

enum sm_err remote__do(struct client *c, int *conn, enum remote_op op, struct bytes body, struct buf *answer, struct sm_error *reterr)
{
	int fd = conn ? *conn : -1;
	bool broken;
	enum sm_err err = SM_OK;
	if (fd < 0 && (err = take_connection(c, &fd, reterr)))
		return err;
	err = exchange(c, fd, op, body, answer, &broken, reterr);
	if (broken) {
		close(fd);
		fd = -1;
	}
	if (conn)
		*conn = fd;
	else if (fd >= 0)
		give_connection(c, fd);
	return err;
}

enum sm_err remote__do_later(struct client *c, struct remote__call *call)
{
	return remote__later_do(c->later, call);
}

/* ---- sessions ---- */

enum sm_err sm_connect(const char *data_dir, struct sm_session **ret_session, struct sm_error *reterr)
{
	if (!data_dir && !(data_dir = getenv("SMACK_DATA")))
		data_dir = "smack-data";
	struct sm_session *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct client *c = &s->client;
	pthread_mutex_init(&c->lock, NULL);
	c->address.sun_family = AF_UNIX;
	enum sm_err err = SM_OK;
	snprintf(c->data_dir, sizeof c->data_dir, "%s", data_dir);
	if ((size_t)snprintf(c->address.sun_path, sizeof c->address.sun_path, "%s/%s", data_dir, REMOTE_SOCKET_NAME) >=
	    sizeof c->address.sun_path)
		err = sm_fail(reterr, SM_INVALID, "the path %s/%s is longer than a Unix socket's may be (%zu bytes)", data_dir,
			      REMOTE_SOCKET_NAME, sizeof c->address.sun_path - 1);
	int fd = -1;
	if (!err && !(err = open_connection(c, &fd, reterr)))
		give_connection(c, fd);
	if (!err && !(c->later = remote__later_new()))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (!err && ((err = remote__log_new(c, &s->log)) || (err = remote__store_new(c, &s->store))))
		sm_fail(reterr, err, "no memory");
	if (err)
		sm_disconnect(s);
	else
		*ret_session = s;
	return err;
}

void sm_disconnect(struct sm_session *session)
{
	if (!session)
		return;
	remote__later_free(session->client.later);
	remote__log_free(session->log);
	remote__store_free(session->store);
	for (unsigned i = 0; i < session->client.idle_count; i++)
		close(session->client.idle[i]);
	pthread_mutex_destroy(&session->client.lock);
	free(session);
}

struct sm_log *sm_session_log(struct sm_session *session)
{
	return session->log;
}

struct sm_store *sm_session_store(struct sm_session *session)
{
	return session->store;
}

enum sm_err remote_call(struct sm_session *session, const char *command, struct bytes request, struct buf *answer, struct sm_error *reterr)
{
	struct buf body;
	buf_init(&body);
	remote__put_string(&body, command);
	remote__put_bytes(&body, request);
	enum sm_err err = remote__do(&session->client, NULL, REMOTE_COMMAND, buf_bytes(&body), answer, reterr);
	buf_done(&body);
	return err;
}
