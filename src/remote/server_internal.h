/* The server's side: a request is one allocation that travels from the connection to the pool or an engine and back. */
#ifndef REMOTE_SERVER_INTERNAL_H
#define REMOTE_SERVER_INTERNAL_H

#include "net/net.h"
#include <pthread.h>
#include <stdatomic.h>
#include "remote/remote_internal.h"

struct remote_server {
	struct remote_server_options options;
	struct net_listener *listener;
	char data_dir[4096];
	_Atomic uint64_t next_checkpoint;
	pthread_mutex_t lock;
	pthread_cond_t peer_ended;
	unsigned peers; /* that live; they use the engines */
};

/* What a connection has open; counted, since a request on the pool may outlive the connection. */
struct open_cursor {
	struct store_cursor *cursor;
	const struct store_schema *schema; /* held while it is open */
	const struct store_table *table;
	bool at_end;
};
struct remote_peer {
	struct remote_server *server;
	_Atomic unsigned refs;
	bool greeted;
	unsigned under_way;
	bool paused;
	pthread_mutex_t lock; /* of what follows: requests of one connection may run on several threads */
	struct open_cursor cursors[REMOTE_CURSORS_MAX];
	char *checkpoint_dir; /* deleted when the peer ends */
};
void remote__peer_unref(struct remote_peer *peer);

struct remote_request {
	struct sm_msg msg;     /* goes back to the connection when the answer is there */
	_Atomic unsigned refs; /* the message, and the connection's list of those that wait */
	struct sm_work work;
	struct sm_ref *conn; /* counted */
	struct remote_peer *peer;
	uint32_t id;
	enum remote_op op;
	struct buf body; /* borrowed by the engines while they work on it */
	struct byte_reader in;
	struct arena arena;
	struct buf answer;
	struct sm_error error;
	const struct store_schema *schema; /* held until the answer */
	const struct store_change *change; /* in the arena */
	struct log_wait wait;
	bool waiting;
	struct remote_request *next_waiting, *prev_waiting;
};
/* Send the request back to its connection. err SM_OK: answer is the body. Thread: any. */
void remote__request_finish(struct remote_request *q, enum sm_err err);

/* Start the request: true when its answer will come (or has come) through remote__request_finish, false when it shall run on the pool. */
bool remote__serve_at_once(struct remote_request *q);
/* On the pool: the answer, or an error with its text in q->error. */
enum sm_err remote__serve_on_pool(struct remote_request *q);

#endif
