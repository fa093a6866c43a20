/* What the connections of one dispatcher share: the read buffer, spare output blocks, and the list of those that have
 * something to do when the loop's turn ends. It lives as long as the dispatcher has a connection. */
#include "net/net_internal.h"
#include <signal.h>
#include <stdlib.h>

static _Thread_local struct net__turn *here;

/* sendfile has no MSG_NOSIGNAL: a peer that went away must be an error on this thread, not a signal. */
static void no_sigpipe(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void turn_end(struct actor_turn_hook *hook)
{
	struct net__turn *turn = (struct net__turn *)hook; /* its first member */
	turn->connections++;                               /* the last connection may end in the loop */
	while (turn->dirty) {
		struct net_conn *conn = turn->dirty;
		turn->dirty = conn->next_dirty;
		conn->dirty = false;
		net__conn_turn_end(conn);
	}
	net__turn_put(turn);
}

struct net__turn *net__turn_get(void)
{
	if (!here) {
		struct net__turn *turn = calloc(1, sizeof *turn);
		uint8_t *chunk = malloc(2 * (size_t)NET_READ_CHUNK);
		if (!turn || !chunk) {
			free(turn);
			free(chunk);
			return NULL;
		}
		turn->hook.run = turn_end;
		turn->chunk = chunk;
		no_sigpipe();
		here = turn;
	}
	here->connections++;
	return here;
}

void net__turn_put(struct net__turn *turn)
{
	if (--turn->connections || turn->hook.next)
		return;
	for (struct net__node *n = turn->spare, *next; n; n = next) {
		next = n->next;
		free(n);
	}
	free(turn->chunk);
	free(turn);
	here = NULL;
}

void net__turn_mark(struct net_conn *conn)
{
	struct net__turn *turn = conn->turn;
	if (conn->dirty)
		return;
	conn->dirty = true;
	conn->next_dirty = turn->dirty;
	turn->dirty = conn;
	actor_at_turn_end(conn->actor, &turn->hook);
}

struct net__node *net__turn_block(struct net__turn *turn)
{
	struct net__node *node = turn->spare;
	if (!node)
		return malloc(NET_OUT_BLOCK);
	turn->spare = node->next;
	turn->spare_count--;
	return node;
}

void net__turn_block_free(struct net__turn *turn, struct net__node *node)
{
	if (turn->spare_count >= NET_OUT_SPARE) {
		free(node);
		return;
	}
	node->next = turn->spare;
	turn->spare = node;
	turn->spare_count++;
}
