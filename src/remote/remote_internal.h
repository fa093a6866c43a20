/* The protocol of the Unix socket, version 5. All numbers big-endian.
 *
 * frame
 * offset  size  field
 *      0     4  bytes that follow
 *      4     1  request: operation; answer: 0 ok, else error
 *      5     4  id, chosen by the client; the answer has it too (answers may come in another order)
 *      9        body: of the operation, or of an error: u32 sm_err, string text
 *
 * string: u32 size, bytes. cell: i32 size (-1: null), bytes. list: u32 count, elements.
 * The first request of a connection is HELLO with u16 version; its answer is u16 version, string server version. */
#ifndef REMOTE_REMOTE_INTERNAL_H
#define REMOTE_REMOTE_INTERNAL_H

#include "base/arena.h"
#include "remote/remote.h"

#define REMOTE_VERSION 5
#define REMOTE_HEADER 9

enum remote_op {
#define X(op, value) op = value,
#include "remote/remote_ops.def"
#undef X
};

/* ---- wire.c: what both sides write and read ---- */

void remote__put_string(struct buf *b, const char *text); /* NULL is written as size 0xffffffff */
void remote__put_bytes(struct buf *b, struct bytes bytes);
void remote__put_cell(struct buf *b, struct store_cell cell);
/* Borrowed from the message or copied with a zero byte into the arena; on bad input the reader fails. */
const char *remote__take_string(struct byte_reader *r, struct arena *arena);
struct bytes remote__take_bytes(struct byte_reader *r);
struct store_cell remote__take_cell(struct byte_reader *r);
/* A count of elements that each have at least size_min bytes; fails the reader when they cannot be there. */
uint32_t remote__take_count(struct byte_reader *r, size_t size_min);

void remote__put_error(struct buf *b, const struct sm_error *error);
enum sm_err remote__take_error(struct byte_reader *r, struct sm_error *reterr);

void remote__put_topic_spec(struct buf *b, const struct log_topic_spec *spec);
void remote__take_topic_spec(struct byte_reader *r, struct arena *arena, struct log_topic_spec *ret_spec);
void remote__put_topic_change(struct buf *b, const struct log_topic_change *change);
void remote__take_topic_change(struct byte_reader *r, struct arena *arena, struct log_topic_change *ret_change);
void remote__put_topics(struct buf *b, const struct log_topics *topics);
void remote__take_topics(struct byte_reader *r, struct arena *arena, struct log_topics *ret_topics);
void remote__put_schema(struct buf *b, const struct store_schema *schema);
void remote__take_schema(struct byte_reader *r, struct arena *arena, struct store_schema *ret_schema);
void remote__put_change(struct buf *b, const struct store_change *change);
void remote__take_change(struct byte_reader *r, struct arena *arena, struct store_change *ret_change);
/* Tables are named by id; take finds them in schema (SM_NOT_FOUND when one has gone). */
void remote__put_store_batch(struct buf *b, const struct store_batch *batch);
enum sm_err remote__take_store_batch(struct byte_reader *r, struct arena *arena, const struct store_schema *schema,
				     struct store_batch *ret_batch);
void remote__put_read(struct buf *b, const struct store_read *read);
enum sm_err remote__take_read(struct byte_reader *r, struct arena *arena, const struct store_schema *schema, struct store_read *ret_read);
void remote__put_row(struct buf *b, const struct store_table *table, const struct store_row *row);
/* Where a row that is taken lies: arrays of the table's columns, and an arena that is emptied for each row. */
struct remote__row_room {
	struct store_cell *cells;
	struct store_elements *elements;
	int64_t *timestamps;
	int32_t *ttls;
	struct arena *arena;
};
void remote__take_row(struct byte_reader *r, const struct store_table *table, const struct remote__row_room *room,
		      struct store_row *ret_row);

/* ---- client.c ---- */

struct client; /* connections of a session */
/* One request and its answer on an idle connection (or on *conn when it is not -1, which stays open and is given back in *conn).
 * answer: the body of an ok answer, appended. */
enum sm_err remote__do(struct client *client, int *conn, enum remote_op op, struct bytes body, struct buf *answer, struct sm_error *reterr);
void remote__hang_up(int conn);
/* The same on a thread of the session, for the engines' asynchronous calls: run(call) is called there. Errors: SM_FULL, SM_NO_MEMORY. */
struct remote__call {
	struct remote__call *next;
	void (*run)(struct remote__call *call);
};
enum sm_err remote__do_later(struct client *client, struct remote__call *call);
enum sm_err remote__log_new(struct client *client, struct sm_log **ret_log);
void remote__log_free(struct sm_log *log);
enum sm_err remote__store_new(struct client *client, struct sm_store **ret_store);
void remote__store_free(struct sm_store *store);

/* ---- client_later.c ---- */

struct remote__later;
struct remote__later *remote__later_new(void); /* NULL: out of memory */
enum sm_err remote__later_do(struct remote__later *later, struct remote__call *call);
/* When all that waits is done. */
void remote__later_free(struct remote__later *later);

#endif
