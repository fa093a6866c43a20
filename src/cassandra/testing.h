/* What the tests of the engine on a real Cassandra share. The Cassandra is a smack in the same process, or the one that the environment's
 * SMACK_TEST_CASSANDRA names (HOST:PORT): then its keyspaces have names of this run. */
#ifndef CASSANDRA_TESTING_H
#define CASSANDRA_TESTING_H

#include "base/io.h"
#include "cassandra/cassandra.h"
#include "cql/cql.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

struct peer {
	struct sm_system *system;
	struct sm_store *embedded; /* the server's; NULL: it is another's */
	struct cql_server *server;
	uint16_t port;
	bool authenticate;
	char dir[64], address[200], keyspace[40];
	struct sm_store *store; /* under test */
	pthread_mutex_t lock;
	char notices[4096];
};

static inline void peer_notice(void *arg, const char *text)
{
	struct peer *x = arg;
	pthread_mutex_lock(&x->lock);
	size_t used = strlen(x->notices);
	snprintf(x->notices + used, sizeof x->notices - used, "%s\n", text);
	pthread_mutex_unlock(&x->lock);
}

/* The server, on the port that it had. */
static inline void peer_start(struct peer *x)
{
	struct sm_error error;
	struct sm_system_options system = {.dispatchers = 1, .pool_threads = 4};
	if (sm_system_new(&system, &x->system, &error))
		fail_msg("%s", error.text);
	struct store_embedded_options store = {.system = x->system, .dir = x->dir};
	if (store_embedded_open(&store, &x->embedded, &error))
		fail_msg("%s", error.text);
	struct cql_listener_options listener = {.host = "127.0.0.1", .port = x->port, .authenticate = x->authenticate};
	struct cql_server_options server = {.system = x->system, .store = x->embedded, .listeners = &listener, .listener_count = 1};
	if (cql_server_new(&server, &x->server, &error))
		fail_msg("%s", error.text);
	x->port = cql_server_port(x->server, 0);
}

static inline void peer_stop(struct peer *x)
{
	struct sm_error error;
	cql_server_free(x->server, 1000);
	if (x->embedded->ops->close(x->embedded, &error))
		fail_msg("%s", error.text);
	sm_system_stop(x->system, 5000);
	x->server = NULL;
}

static inline enum sm_err peer_try(struct peer *x, const char *address, struct sm_store **ret_store, struct sm_error *error)
{
	struct cassandra_options options = {.address = address, .notice = peer_notice, .notice_arg = x, .open_timeout_ms = 20000};
	return cassandra_open(&options, ret_store, error);
}

static inline void peer_open(struct peer *x)
{
	struct sm_error error;
	if (peer_try(x, x->address, &x->store, &error))
		fail_msg("%s", error.text);
}

static inline void peer_close(struct peer *x)
{
	struct sm_error error;
	if (x->store->ops->close(x->store, &error))
		fail_msg("%s", error.text);
	x->store = NULL;
}

static inline void run_cql(struct peer *x, const char *fmt, ...)
{
	struct cql_session *session;
	struct sm_error error;
	char text[4000];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (cql_session_new(x->store, *x->keyspace ? x->keyspace : NULL, &session))
		fail_msg("no session");
	if (cql_session_run(session, bytes_str(text), NULL, &error))
		fail_msg("%s: %s", text, error.text);
	cql_session_free(session);
}

static inline enum sm_err add_row(void *arg, const char *const *values, uint32_t count)
{
	struct buf *out = arg;
	for (uint32_t i = 0; i < count; i++)
		buf_printf(out, "%s%s", i ? "," : "", values[i] ? values[i] : "null");
	buf_append_str(out, "|");
	return SM_OK;
}

/* Its rows, as "a,b|c,d|"; static until the next call. */
static inline const char *rows_of(struct peer *x, const char *cql)
{
	static struct buf out;
	struct cql_session *session;
	struct sm_error error;
	struct cql_sink sink = {.arg = &out, .row = add_row};
	buf_clear(&out);
	if (cql_session_new(x->store, x->keyspace, &session))
		fail_msg("no session");
	if (cql_session_run(session, bytes_str(cql), &sink, &error))
		fail_msg("%s: %s", cql, error.text);
	cql_session_free(session);
	buf_u8(&out, 0);
	return (const char *)out.data + out.start;
}

/* ---- rows of a table through the table of calls ---- */

struct many {
	const struct store_schema *schema;
	const struct store_table *table;
};

static inline struct many many_begin(struct peer *x)
{
	struct many m;
	run_cql(x, "CREATE TABLE IF NOT EXISTS many (a int, b int, c int, v text, PRIMARY KEY (a, b, c))");
	m.schema = x->store->ops->schema(x->store);
	m.table = store_find_table(m.schema, x->keyspace, "many");
	assert_non_null(m.table);
	return m;
}

/* Rows (a, b, c) for a < as, b < bs, c < 2, in one batch. */
static inline enum sm_err put_many(struct peer *x, const struct many *m, int as, int bs, const char *value, int64_t time, const char *job,
				   uint64_t epoch)
{
	uint32_t count = (uint32_t)(as * bs * 2);
	struct arena arena;
	arena_init(&arena, 0);
	struct store_mutation *mutations = arena_alloc(&arena, count * sizeof *mutations);
	struct store_assignment cell = {.column = store_find_column(m->table, "v"),
					.value = {(const uint8_t *)value, (int32_t)strlen(value)}};
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *bytes = arena_alloc(&arena, 12);
		struct store_cell *keys = arena_alloc(&arena, 3 * sizeof *keys);
		be32_put(bytes, i / 2 / (uint32_t)bs);
		be32_put(bytes + 4, i / 2 % (uint32_t)bs);
		be32_put(bytes + 8, i % 2);
		for (int k = 0; k < 3; k++)
			keys[k] = (struct store_cell){bytes + k * 4, 4};
		mutations[i] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
						       .table = m->table,
						       .partition_key = keys,
						       .clustering = keys + 1,
						       .cells = &cell,
						       .cell_count = 1,
						       .timestamp_us = time};
	}
	enum sm_err err = store_apply_wait(x->store,
					   &(struct store_batch){.mutations = mutations, .count = count, .job = job, .epoch = epoch});
	arena_done(&arena);
	return err;
}

static inline uint32_t count_rows(struct peer *x, const struct store_read *read, int64_t *ret_token)
{
	struct store_cursor *cursor;
	const struct store_row *row;
	struct sm_error error;
	uint32_t count = 0;
	enum sm_err err;
	if (x->store->ops->open(x->store, read, &cursor, &error))
		fail_msg("%s", error.text);
	while (!(err = x->store->ops->next(cursor, &row))) {
		if (ret_token)
			*ret_token = row->token;
		count++;
	}
	assert_int_equal(err, SM_END);
	x->store->ops->close_cursor(cursor);
	return count;
}

static inline int peer_begin(void **state)
{
	struct peer *x = calloc(1, sizeof *x);
	const char *other = getenv("SMACK_TEST_CASSANDRA");
	struct uuid id;
	pthread_mutex_init(&x->lock, NULL);
	if (other) {
		snprintf(x->address, sizeof x->address, "cassandra://%s", other);
	} else {
		snprintf(x->dir, sizeof x->dir, "%s/smack-cassandra-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		assert_non_null(mkdtemp(x->dir));
		peer_start(x);
		snprintf(x->address, sizeof x->address, "cassandra://127.0.0.1:%u", x->port);
	}
	peer_open(x);
	uuid_random(&id);
	char keyspace[40];
	snprintf(keyspace, sizeof keyspace, "t%02x%02x%02x%02x", id.bytes[0], id.bytes[1], id.bytes[2], id.bytes[3]);
	run_cql(x, "CREATE KEYSPACE %s WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}", keyspace);
	memcpy(x->keyspace, keyspace, sizeof keyspace);
	*state = x;
	return 0;
}

static inline int peer_end(void **state)
{
	struct peer *x = *state;
	if (x->store && !x->embedded)
		run_cql(x, "DROP KEYSPACE %s", x->keyspace);
	if (x->store)
		peer_close(x);
	if (x->server)
		peer_stop(x);
	if (*x->dir)
		(void)!io_remove_tree(&io_system, x->dir, NULL);
	pthread_mutex_destroy(&x->lock);
	free(x);
	return 0;
}

#endif
