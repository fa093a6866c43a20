/* The client of client.h, inside. What is not said to be another's belongs to the client's thread. */
#ifndef CASSANDRA_CLIENT_INTERNAL_H
#define CASSANDRA_CLIENT_INTERNAL_H

#include "base/map.h"
#include "cassandra/client.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

struct client_link;

/* ---- a request ---- */

enum call_kind { CALL_QUERY, CALL_EXECUTE, CALL_BATCH, CALL_LATER };
struct client_call {
	struct client_call *next;
	enum call_kind kind;
	enum client_batch_kind batch_kind;
	char *text;        /* CALL_QUERY */
	int32_t statement; /* CALL_EXECUTE */
	struct buf body;   /* CALL_EXECUTE: [u16 count][value]...; CALL_BATCH: the entries */
	uint32_t entry_count;
	uint16_t consistency, serial;
	uint32_t page_size;
	uint8_t *paging_state;
	size_t paging_state_size;
	bool idempotent, metadata, on_control, routed;
	int64_t token, now_s;
	uint64_t deadline_ns;
	client_done done;
	void *arg;
	size_t size; /* that it counts for */
	/* how it went so far */
	uint16_t tried[CLIENT_TRIES_MAX]; /* hosts */
	uint8_t tries, prepares;
	bool maybe;
	struct sm_error last;
	uint32_t last_code;
};

/* ---- frames (client_message.c) ---- */

/* What was appended since cql_header_begin is a request. */
void client__frame_end(struct buf *out, size_t start, uint8_t version, uint8_t opcode, int16_t stream);
struct client_prepared {
	enum { PREPARED_NOT, PREPARED_ASKED, PREPARED_READY } state;
	uint8_t id_size, result_size;
	uint8_t id[64], result[64]; /* result: from version 5, of the metadata of its rows */
};
/* The statements of the call are prepared: prepared has them by their numbers. */
void client__put_call(struct buf *out, const struct client_call *call, uint8_t version, int16_t stream,
		      const struct client_prepared *prepared);
/* Each statement of the call, in turn: begin with *pos 0; -1 at the end. */
int32_t client__call_statement(const struct client_call *call, size_t *pos);
/* What an answer's body says; error is filled with its text and what host is called. It must outlive ret. false: it makes no sense. */
bool client__take_answer(const struct cql_header *h, struct bytes body, const char *host, struct client_answer *ret);
/* Of PREPARE. */
bool client__take_prepared(const struct cql_header *h, struct bytes body, struct client_prepared *ret);
/* What the server's error means for a request. */
struct client_verdict {
	enum sm_err err;
	bool maybe; /* it may have been done, or be done later */
	bool again; /* another try may help */
};
struct client_verdict client__verdict(uint32_t code);

/* ---- a connection (client_link.c) ---- */

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_STARTUP, LINK_LOGIN, LINK_READY };
enum slot_use { SLOT_FREE, SLOT_CALL, SLOT_PREPARE, SLOT_REGISTER, SLOT_HEARTBEAT, SLOT_GIVEN_UP };
struct client_slot {
	enum slot_use use;
	uint16_t next_free;
	int32_t statement;        /* SLOT_PREPARE */
	struct client_call *call; /* SLOT_CALL */
	uint64_t deadline_ns;
};
struct client_link {
	struct client *client;
	uint32_t host; /* its number */
	int fd;
	enum link_state state;
	uint8_t version; /* that is tried, or agreed on */
	bool segments, writable_wanted;
	bool asked, registering; /* a heartbeat, REGISTER are under way */
	struct buf in, out, large, scratch;
	struct client_slot *slots; /* CLIENT_STREAMS_MAX */
	uint16_t first_free;
	uint32_t busy;
	struct client_prepared *prepared;
	uint32_t prepared_cap;
	struct client_call *preparing; /* wait for statements to be prepared */
	uint64_t next_try_ns, backoff_ms;
	uint64_t deadline_ns; /* of the handshake */
	uint64_t heard_ns;
};
struct client_host {
	char name[80]; /* "127.0.0.1:9042" */
	struct sockaddr_storage address;
	socklen_t address_size; /* 0: the name in the configuration is not known */
	char dc[128];
	bool point, known; /* the configuration names it; the cluster does */
	_Atomic bool up;   /* it is connected */
	char problem[300]; /* why it cannot be connected to */
	enum sm_err problem_err;
	struct client_link link;
};
void client__link_init(struct client *client, uint32_t host);
void client__link_event(struct client_link *link, uint32_t epoll_events);
/* Deadlines, heartbeats, when to connect again. */
void client__link_look(struct client_link *link, uint64_t now_ns);
bool client__link_free(const struct client_link *link); /* it can take a request */
void client__link_send(struct client_link *link, struct client_call *call);
void client__link_register(struct client_link *link);
void client__link_close(struct client_link *link, enum sm_err err, const char *fmt, ...) SM_PRINTF(3, 4);
void client__link_done(struct client_link *link);

/* ---- the cluster (client_topology.c) ---- */

struct client_ring_entry {
	int64_t token;
	uint32_t host;
};
/* What a look at the cluster found: handed to the client's thread. */
struct client_found {
	char name[80];
	struct sockaddr_storage address;
	socklen_t address_size;
	char dc[128];
	bool self; /* the control host */
	int64_t *tokens;
	uint32_t token_count;
};
struct client_topology {
	struct arena arena;
	struct client_found hosts[CLIENT_HOSTS_MAX];
	uint32_t count;
};
/* Take it over: on the client's thread. */
void client__topology_take(struct client *client, struct client_topology *topology);
/* The configured name's new address, if there is one and no connection: on the client's thread, under the lock. */
void client__point_take(struct client *client, uint32_t point);
SM_MUST_CHECK enum sm_err client__resolve(const char *host, uint16_t port, struct sockaddr_storage *ret_address, socklen_t *ret_size,
					  char name[80], struct sm_error *reterr);

/* ---- the thread (client_loop.c) ---- */

struct client {
	struct client_target target;
	char shown[300];
	void (*event)(void *arg, unsigned events);
	void (*notice)(void *arg, const char *text);
	void *arg;
	int epoll, wake;
	pthread_t thread;
	bool started, dc_given; /* dc_given: target.local_dc stays as it is; else the first look at the cluster sets it */

	pthread_mutex_t lock; /* of the next group */
	struct client_call *inbox, **inbox_end;
	size_t pending_bytes;
	_Atomic bool closing;             /* set under the lock */
	struct client_topology *topology; /* found and not yet taken over */
	struct map statements;            /* text -> number + 1 */
	char **statement_texts;           /* CLIENT_STATEMENTS_MAX; those that are there do not change */
	_Atomic uint32_t statement_count;

	bool resolved; /* the next two are new */
	struct sockaddr_storage point_addresses[CLIENT_POINTS_MAX];
	socklen_t point_address_sizes[CLIENT_POINTS_MAX]; /* 0: the name is not known */

	_Atomic bool ending, away, was_there, full_told;
	_Atomic uint32_t local_hosts;

	struct client_host *hosts[CLIENT_HOSTS_MAX]; /* they only become more, under the lock; name, up: any thread */
	uint32_t host_count, turn;
	struct client_ring_entry *ring;
	uint32_t ring_count;
	struct client_link *control;
	bool registered;
	struct client_call *parked; /* wait for a host, or for room */
	bool room;                  /* there is some since the parked were looked at */
	uint64_t looked_ns;
};
/* Give the call to a host; on the client's thread. */
void client__dispatch(struct client *client, struct client_call *call);
/* A try failed; again: another may help. */
void client__call_failed(struct client *client, struct client_call *call, enum sm_err err, uint32_t code, bool maybe, bool again,
			 const char *text);
void client__call_answered(struct client *client, struct client_call *call, struct client_answer *answer);
void client__link_ready(struct client_link *link);
void client__link_lost(struct client_link *link);
static inline struct client_host *client__host_of(const struct client_link *link)
{
	return link->client->hosts[link->host];
}

#endif
