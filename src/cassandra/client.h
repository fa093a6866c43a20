/* A client of CQL's native protocol: connections to the hosts of a cluster, requests and their answers.
 *
 * One thread (client_loop.c) has all connections. Requests come from any thread; their callbacks run on that thread and must not block, but
 * may make requests. Source: doc/native_protocol_v4.spec and _v5.spec of Apache Cassandra. */
#ifndef CASSANDRA_CLIENT_H
#define CASSANDRA_CLIENT_H

#include "cassandra/cassandra_limits.h"
#include "base/address.h"
#include "base/arena.h"
#include "cql/protocol.h"
#include "store/store.h"

/* ---- where the cluster is (client_address.c) ---- */

struct client_point {
	char host[ADDRESS_HOST_MAX + 1]; /* a name or an IP address, without brackets */
	uint16_t port;
};
struct client_target {
	struct client_point points[CLIENT_POINTS_MAX];
	uint32_t point_count;
	char user[256], password[1024]; /* user "": the cluster asks for none */
	char local_dc[128];             /* "": that of the first host which answers */
	uint16_t consistency;           /* enum cql_consistency: QUORUM, LOCAL_QUORUM ... */
	uint32_t replication_factor;    /* 0: as many as there are hosts in the local data center, at most 3 */
};
/* cassandra://HOST[:PORT],...[/][?name=value&...]; settings beside it, which the address overrides. files: read the file that has the
 * password. Errors: SM_INVALID, SM_DENIED, those of reading a file. */
SM_MUST_CHECK enum sm_err client__target_parse(const char *address, const struct store_option *settings, uint32_t setting_count, bool files,
					       struct client_target *ret_target, struct sm_error *reterr);
uint16_t client__serial(uint16_t consistency); /* the one for conditional writes beside it */

/* ---- requests ---- */

struct client;
enum client_event { CLIENT_READY = 1, CLIENT_TOPOLOGY = 2, CLIENT_SCHEMA = 4 };
struct client_options {
	const struct client_target *target; /* copied */
	const char *shown;                  /* what it is called in errors; copied */
	/* A host is connected anew; hosts came or went; the schema changed. On the client's thread; must not block. */
	void (*event)(void *arg, unsigned events);
	void (*notice)(void *arg, const char *text); /* no host answers; one answers again */
	void *arg;
};
/* Starts connecting; waits for names only. Errors: SM_INVALID (no host's name is known), SM_NO_MEMORY, SM_IO. */
SM_MUST_CHECK enum sm_err client__new(const struct client_options *options, struct client **ret_client, struct sm_error *reterr);
/* Requests under way are answered with SM_CLOSED. NULL is allowed. */
void client__free(struct client *client);
bool client__answers(const struct client *client); /* a host is connected */
/* From now on nothing waits for a host that is not there. */
void client__ending(struct client *client);
/* Why no host could be connected to, for a person; "" when one could. */
enum sm_err client__problem(struct client *client, char *out, size_t size);
const struct client_target *client__target(const struct client *client);

/* What came back. Borrowed for the callback, which may take frame over: set it to NULL and free it later. */
struct client_answer {
	struct sm_error error; /* code SM_OK: a result */
	uint32_t code;         /* enum cql_code, where error is the server's */
	bool maybe;            /* an error after which a write may be there, or may still come */
	uint8_t *frame;        /* what the rest points into */
	enum cql_result_kind kind;
	uint32_t column_count, row_count;
	struct bytes metadata; /* of the columns, behind their number; empty where it was left out */
	uint32_t metadata_flags;
	struct bytes rows; /* [i32 size][bytes] for each column of each row */
	struct bytes paging_state;
};
typedef void (*client_done)(void *arg, struct client_answer *answer);

#define CLIENT_CONSISTENCY 0xffffu /* the target's */
/* A statement that is known to the client: prepared on each connection where it is used. -1: there are too many, or memory is out. */
int32_t client__statement(struct client *client, const char *text);
const char *client__statement_text(const struct client *client, int32_t statement);
struct client_request {
	const char *text;  /* run as it is; NULL: */
	bool prepare;      /* text is made known as by client__statement; where there are too many, it is run as it is */
	int32_t statement; /* of client__statement */
	const struct store_cell *values;
	uint16_t value_count;
	uint16_t consistency; /* 0 is ANY: use CLIENT_CONSISTENCY */
	uint32_t page_size;   /* 0: all at once */
	struct bytes paging_state;
	bool idempotent; /* twice is as good as once: it may be sent again when it is not known what became of it */
	bool metadata;   /* the answer shall name its columns; always so with text */
	bool on_control; /* to the host that tells of the others */
	bool routed;     /* to a host that has this token */
	int64_t token;
	uint32_t timeout_ms; /* 0: CLIENT_REQUEST_MS */
	int64_t now_s;       /* the time by which cells expire, where the host speaks version 5; 0: the host's clock */
};
/* done is called exactly once, perhaps before the call returns (SM_FULL, SM_NO_MEMORY, SM_CLOSED). Never blocks. */
void client__ask(struct client *client, const struct client_request *request, client_done done, void *arg);
/* Answers as done gets them, for the caller to free with client__answer_done. Not on the client's thread. Returns the error's code. */
enum sm_err client__ask_wait(struct client *client, const struct client_request *request, struct client_answer *ret_answer);
void client__answer_done(struct client_answer *answer);

enum client_batch_kind { CLIENT_LOGGED, CLIENT_UNLOGGED, CLIENT_COUNTER };
/* Statements as one batch: entries are [u32 statement][u16 count][value]... one after the other; request has consistency, idempotent,
 * token. */
void client__batch(struct client *client, enum client_batch_kind kind, struct bytes entries, uint32_t count,
		   const struct client_request *request, client_done done, void *arg);
/* One EXECUTE whose values are encoded: [u16 count][value]... */
void client__execute(struct client *client, struct bytes encoded, const struct client_request *request, client_done done, void *arg);
/* done is called on the client's thread, with SM_OK, or SM_CLOSED. */
void client__later(struct client *client, client_done done, void *arg);
void client__put_value(struct buf *out, struct store_cell value);
static inline struct store_cell client__null(void)
{
	return (struct store_cell){NULL, -1};
}

/* ---- answers taken apart (client_message.c) ---- */

struct client_column {
	const char *name;
	struct store_type type;
};
/* The columns of an answer with metadata, in the arena. Errors: SM_CORRUPT, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err client__columns(const struct client_answer *answer, struct arena *arena, struct client_column **ret_columns);
/* The next value of the rows. */
struct store_cell client__value(struct byte_reader *rows);

/* ---- hosts (client_topology.c) ---- */

/* Look the configured names up again. Blocks, perhaps for many seconds. */
void client__points_resolve(struct client *client);
/* Ask the control host who the others are, and what they have of the ring. Blocks. Errors: those of requests. */
SM_MUST_CHECK enum sm_err client__topology_refresh(struct client *client, struct sm_error *reterr);
/* All hosts that we are connected to have the same schema. Blocks for one look. */
SM_MUST_CHECK enum sm_err client__schema_agreed(struct client *client, bool *ret_agreed, struct sm_error *reterr);
uint32_t client__local_hosts(struct client *client); /* hosts of the local data center; at least 1 */

#endif
