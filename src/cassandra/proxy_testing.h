/* A proxy between the client and a Cassandra, for tests: it meets the N-th request from the moment on when it was told to, and cuts the
 * connection before or behind it, or holds it and all that follows, until it is told to go on. Requests are counted over all connections,
 * without those of the handshake; they are whole segments of version 5, as the client sends each request in one of its own. */
#ifndef CASSANDRA_PROXY_TESTING_H
#define CASSANDRA_PROXY_TESTING_H

#include "cassandra/testing.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

enum proxy_mode {
	PROXY_PASS,
	PROXY_CUT,         /* it does not arrive */
	PROXY_CUT_ANSWER,  /* it arrives; what comes back from then on does not */
	PROXY_HOLD,        /* it waits here, with all behind it */
	PROXY_HOLD_ANSWERS /* it arrives; what comes back waits */
};
enum { PROXY_PAIRS = 16 };
struct proxy_pair {
	int client, server; /* -1: none */
	struct buf in;      /* from the client */
	bool started, held, answers_held, answers_lost;
};
struct proxy {
	uint16_t port, server_port;
	int listening;
	pthread_t thread;
	pthread_mutex_t lock; /* of the next group */
	enum proxy_mode mode;
	uint32_t at, count; /* at: the request that is met, counted from 1 */
	const char *word;   /* NULL: else the first request that has it */
	bool met, closing;
	struct buf startup, kept; /* the first frame of a connection; the request that was met */
	struct proxy_pair pairs[PROXY_PAIRS];
};

static inline int proxy_connect(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static inline bool proxy_send(int fd, struct bytes b)
{
	ssize_t n = 0;
	for (size_t at = 0; at < b.size && n >= 0; at += (size_t)n)
		n = send(fd, b.data + at, b.size - at, MSG_NOSIGNAL);
	return n >= 0;
}

/* Bytes of the message at the front of in; 0: it is not whole yet. */
static inline size_t proxy_message(struct bytes in, bool frame)
{
	if (in.size < 9)
		return 0;
	size_t size = frame ? 9 + be32_get(in.data + 5) : 10 + (in.data[0] | (size_t)in.data[1] << 8 | (size_t)(in.data[2] & 1) << 16);
	return in.size < size ? 0 : size;
}

static inline void proxy_end_pair(struct proxy_pair *pair)
{
	if (pair->client >= 0)
		close(pair->client);
	if (pair->server >= 0)
		close(pair->server);
	buf_done(&pair->in);
	*pair = (struct proxy_pair){.client = -1, .server = -1};
}

static inline void proxy_keep(struct buf *to, struct bytes what)
{
	buf_clear(to);
	buf_append_bytes(to, what);
}

/* Under the lock: what is whole goes on. */
static inline void proxy_requests(struct proxy *p, struct proxy_pair *pair)
{
	size_t size;
	while (!pair->held && (size = proxy_message(buf_bytes(&pair->in), !pair->started))) {
		struct bytes message = bytes_of(buf_bytes(&pair->in).data, size);
		bool meets = pair->started && p->mode != PROXY_PASS && !p->met &&
			     (p->word ? memmem(message.data, message.size, p->word, strlen(p->word)) != NULL : ++p->count == p->at);
		if (!pair->started)
			proxy_keep(&p->startup, message);
		if (meets) {
			proxy_keep(&p->kept, message);
			p->met = true;
			pair->held = p->mode == PROXY_HOLD;
			pair->answers_held = p->mode == PROXY_HOLD_ANSWERS;
			pair->answers_lost = p->mode == PROXY_CUT_ANSWER;
		}
		pair->started = true;
		if (pair->held)
			break;
		if ((meets && p->mode == PROXY_CUT) || !proxy_send(pair->server, message)) {
			proxy_end_pair(pair);
			break;
		}
		buf_consume(&pair->in, size);
	}
}

static inline void proxy_read(struct proxy *p, struct proxy_pair *pair, bool from_client)
{
	uint8_t bytes[65536];
	ssize_t n = recv(from_client ? pair->client : pair->server, bytes, sizeof bytes, 0);
	if (n <= 0 || (!from_client && pair->answers_lost)) {
		proxy_end_pair(pair);
	} else if (from_client) {
		buf_append(&pair->in, bytes, (size_t)n);
		proxy_requests(p, pair);
	} else if (!proxy_send(pair->client, bytes_of(bytes, (size_t)n))) {
		proxy_end_pair(pair);
	}
}

static inline void proxy_accept(struct proxy *p)
{
	struct proxy_pair *pair = p->pairs;
	int fd = accept4(p->listening, NULL, NULL, SOCK_CLOEXEC);
	while (pair < p->pairs + PROXY_PAIRS && pair->client >= 0)
		pair++;
	if (fd < 0 || pair == p->pairs + PROXY_PAIRS) {
		if (fd >= 0)
			close(fd);
		return;
	}
	*pair = (struct proxy_pair){.client = fd, .server = proxy_connect(p->server_port)};
	buf_init(&pair->in);
	if (pair->server < 0)
		proxy_end_pair(pair);
}

static inline void *proxy_run(void *arg)
{
	struct proxy *p = arg;
	struct pollfd fds[1 + 2 * PROXY_PAIRS];
	for (bool closing = false; !closing;) {
		pthread_mutex_lock(&p->lock);
		fds[0] = (struct pollfd){.fd = p->listening, .events = POLLIN};
		for (int i = 0; i < PROXY_PAIRS; i++) {
			struct proxy_pair *pair = &p->pairs[i];
			if (pair->client >= 0)
				proxy_requests(p, pair); /* it may have been told to go on */
			fds[1 + 2 * i] = (struct pollfd){.fd = pair->held ? -1 : pair->client, .events = POLLIN};
			fds[2 + 2 * i] = (struct pollfd){.fd = pair->answers_held ? -1 : pair->server, .events = POLLIN};
		}
		closing = p->closing;
		pthread_mutex_unlock(&p->lock);
		(void)poll(fds, 1 + 2 * PROXY_PAIRS, 5);
		pthread_mutex_lock(&p->lock);
		for (int i = 0; i < PROXY_PAIRS; i++)
			for (int side = 0; side < 2; side++)
				if (p->pairs[i].client >= 0 && fds[1 + 2 * i + side].fd >= 0 && fds[1 + 2 * i + side].revents)
					proxy_read(p, &p->pairs[i], side == 0);
		if (fds[0].revents)
			proxy_accept(p);
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

static inline struct proxy *proxy_new(uint16_t server_port)
{
	struct proxy *p = calloc(1, sizeof *p);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	assert_non_null(p);
	p->server_port = server_port;
	p->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->listening, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(p->listening, 16), 0);
	assert_int_equal(getsockname(p->listening, (struct sockaddr *)&at, &size), 0);
	p->port = ntohs(at.sin_port);
	for (int i = 0; i < PROXY_PAIRS; i++)
		p->pairs[i] = (struct proxy_pair){.client = -1, .server = -1};
	buf_init(&p->startup);
	buf_init(&p->kept);
	pthread_mutex_init(&p->lock, NULL);
	assert_int_equal(pthread_create(&p->thread, NULL, proxy_run, p), 0);
	return p;
}

static inline void proxy_free(struct proxy *p)
{
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	for (int i = 0; i < PROXY_PAIRS; i++)
		proxy_end_pair(&p->pairs[i]);
	close(p->listening);
	buf_done(&p->startup);
	buf_done(&p->kept);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* The at-th request from now on, or the first that has the word in it. PROXY_PASS: what is held goes on. */
static inline void proxy_tell_word(struct proxy *p, enum proxy_mode mode, uint32_t at, const char *word)
{
	pthread_mutex_lock(&p->lock);
	p->mode = mode;
	p->at = at;
	p->word = word;
	p->count = 0;
	p->met = false;
	for (int i = 0; i < PROXY_PAIRS && mode == PROXY_PASS; i++)
		p->pairs[i].held = p->pairs[i].answers_held = false;
	pthread_mutex_unlock(&p->lock);
}

static inline void proxy_tell(struct proxy *p, enum proxy_mode mode, uint32_t at)
{
	proxy_tell_word(p, mode, at, NULL);
}

static inline bool proxy_met(struct proxy *p)
{
	pthread_mutex_lock(&p->lock);
	bool met = p->met;
	pthread_mutex_unlock(&p->lock);
	return met;
}

static inline void proxy_await(int fd, bool frame)
{
	struct buf in;
	uint8_t bytes[65536];
	ssize_t n = 1;
	buf_init(&in);
	while (n > 0 && !proxy_message(buf_bytes(&in), frame))
		if ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
			buf_append(&in, bytes, (size_t)n);
	assert_true(n > 0);
	buf_done(&in);
}

/* The request that was met arrives once more, by a connection of its own. */
static inline void proxy_repeat(struct proxy *p)
{
	int fd = proxy_connect(p->server_port);
	assert_true(fd >= 0);
	assert_true(proxy_send(fd, buf_bytes(&p->startup)));
	proxy_await(fd, true);
	assert_true(proxy_send(fd, buf_bytes(&p->kept)));
	proxy_await(fd, false);
	close(fd);
}

#endif
