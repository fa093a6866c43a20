/* The output queue of a connection.
 *
 * Small answers are copied into blocks, so that a turn's answers to pipelined requests are one run of memory and one call.
 * A region of a file goes from the page cache to the socket without passing through here. */
#include "net/net_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define IOV_MAX_A_CALL 64

static void append(struct net__out *out, struct net__node *node)
{
	node->next = NULL;
	if (out->last)
		out->last->next = node;
	else
		out->first = node;
	out->last = node;
}

static struct net__node *node_of_size(struct net__turn *turn, size_t size)
{
	size_t block = NET_OUT_BLOCK - sizeof(struct net__node);
	struct net__node *node = size <= block ? net__turn_block(turn) : malloc(sizeof *node + size);
	if (!node)
		return NULL;
	*node = (struct net__node){.kind = NET_NODE_COPY, .block = size <= block, .data = node->own, .room = size <= block ? block : size};
	return node;
}

bool net__out_copy(struct net__out *out, struct net__turn *turn, struct bytes data)
{
	while (data.size) {
		struct net__node *node = out->last;
		if (!node || node->kind != NET_NODE_COPY || node->room == 0) {
			node = node_of_size(turn, data.size);
			if (!node)
				return false;
			append(out, node);
		}
		size_t n = data.size < node->room ? data.size : node->room;
		memcpy((uint8_t *)node->data + node->size, data.data, n);
		node->size += n;
		node->room -= n;
		out->size += n;
		data.data += n;
		data.size -= n;
	}
	return true;
}

bool net__out_node(struct net__out *out, enum net_node_kind kind, struct bytes data, int fd, uint64_t at, void (*release)(void *),
		   void *arg)
{
	struct net__node *node = malloc(sizeof *node);
	if (!node)
		return false;
	*node = (struct net__node){.kind = kind, .fd = fd, .at = at, .data = data.data, .size = data.size, .release = release, .arg = arg};
	append(out, node);
	out->size += data.size;
	return true;
}

static void node_free(struct net__node *node, struct net__turn *turn)
{
	if (node->release)
		node->release(node->arg);
	if (node->block)
		net__turn_block_free(turn, node);
	else
		free(node);
}

static void pop(struct net__out *out, struct net__turn *turn)
{
	struct net__node *node = out->first;
	out->first = node->next;
	if (!out->first)
		out->last = NULL;
	node_free(node, turn);
}

void net__out_advance(struct net__out *out, struct net__turn *turn, size_t n)
{
	out->size -= n;
	while (out->first && n >= out->first->size) {
		n -= out->first->size;
		pop(out, turn);
	}
	if (n && out->first) {
		out->first->data += n;
		out->first->at += n;
		out->first->size -= n;
	}
}

/* The bytes up to the next file region, in one call. */
static ssize_t send_bytes(struct net__out *out, int fd)
{
	struct iovec iov[IOV_MAX_A_CALL];
	struct msghdr message = {.msg_iov = iov};
	struct net__node *node = out->first;
	for (; node && node->kind != NET_NODE_FILE && message.msg_iovlen < IOV_MAX_A_CALL; node = node->next)
		iov[message.msg_iovlen++] = (struct iovec){(void *)node->data, node->size};
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | (node ? MSG_MORE : 0));
}

enum net_flush net__out_flush(struct net__out *out, struct net__turn *turn, int fd, int *ret_errno)
{
	while (out->first) {
		struct net__node *node = out->first;
		ssize_t n;
		if (node->kind == NET_NODE_FILE && node->size) {
			off_t at = (off_t)node->at;
			n = sendfile(fd, node->fd, &at, node->size);
			/* The file is shorter than the region: the peer was promised bytes that do not exist. */
			if (n == 0) {
				*ret_errno = EIO;
				return NET_FLUSH_FAILED;
			}
		} else {
			n = node->size ? send_bytes(out, fd) : 0;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return NET_FLUSH_BLOCKED;
		if (n < 0) {
			*ret_errno = errno;
			return NET_FLUSH_FAILED;
		}
		net__out_advance(out, turn, (size_t)n);
	}
	return NET_FLUSH_EMPTY;
}

void net__out_done(struct net__out *out, struct net__turn *turn)
{
	while (out->first)
		pop(out, turn);
	out->size = 0;
}
