/* What the tests of this room share: a blocking client, and waiting with a deadline. */
#ifndef NET_TESTING_H
#define NET_TESTING_H

#include "net/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define DEADLINE_MS 60000

static inline uint64_t test_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Poll until the condition holds; fails the test after the deadline. */
#define eventually(condition)                                                  \
	do {                                                                   \
		uint64_t until_ = test_now_ms() + DEADLINE_MS;                 \
		while (!(condition)) {                                         \
			if (test_now_ms() > until_)                            \
				fail_msg("never became true: %s", #condition); \
			nanosleep(&(struct timespec){0, 200000}, NULL);        \
		}                                                              \
	} while (0)

static inline struct sm_system *test_system(uint32_t dispatchers)
{
	struct sm_system *system;
	struct sm_error error;
	struct sm_system_options options = {.dispatchers = dispatchers, .pool_threads = 1};
	if (sm_system_new(&options, &system, &error))
		fail_msg("%s", error.text);
	return system;
}

static inline void client_timeouts(int fd)
{
	struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static inline int client_connect(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	client_timeouts(fd);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (connect(fd, (struct sockaddr *)&address, sizeof address))
		fail_msg("connect to port %u: %s", port, strerror(errno));
	return fd;
}

static inline void client_send(int fd, const void *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = send(fd, (const char *)data + at, size - at, MSG_NOSIGNAL);
		if (n <= 0)
			fail_msg("send: %s", strerror(errno));
		at += (size_t)n;
	}
}
static inline void client_send_str(int fd, const char *text)
{
	client_send(fd, text, strlen(text));
}

/* Exactly size bytes. */
static inline void client_read(int fd, void *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = recv(fd, (char *)data + at, size - at, 0);
		if (n <= 0)
			fail_msg("recv: %s after %zu of %zu bytes", n ? strerror(errno) : "end", at, size);
		at += (size_t)n;
	}
}

/* Everything up to the end of the connection, terminated; the caller frees. */
static inline char *client_read_all(int fd, size_t *ret_size)
{
	size_t size = 0, cap = 65536;
	char *data = malloc(cap + 1);
	for (;;) {
		assert_non_null(data);
		ssize_t n = recv(fd, data + size, cap - size, 0);
		if (n < 0 && errno == EAGAIN)
			fail_msg("recv: the peer did not close; so far: %.*s", (int)(size < 500 ? size : 500), data);
		if (n <= 0)
			break;
		size += (size_t)n;
		if (size == cap)
			data = realloc(data, (cap *= 2) + 1);
	}
	data[size] = 0;
	if (ret_size)
		*ret_size = size;
	return data;
}

/* The peer has closed (or reset) the connection and sent nothing more. */
static inline void client_expect_end(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);
	if (n > 0 || (n < 0 && errno == EAGAIN))
		fail_msg("the connection is still open");
}

#endif
