/* CQL frames: [opcode][flags, of which two bits choose the version][body] of requests after STARTUP, several in one input, each [u16
 * size][those bytes]; prepared statements stay from one to the next. No input may crash, hang or leak. */
#include "cql/server_internal.h"
#include "cql/testing.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct testing_store store;
static struct cql_server server;
static struct sm_ref *gone; /* an actor that has ended: what waits is freed when it comes back */

static enum sm_err nothing(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_OK;
}

static void start(void)
{
	struct sm_props props = {.receive = nothing, .dispatcher = -1};
	if (sm_system_new(&(struct sm_system_options){.dispatchers = 1, .pool_threads = 1}, &server.system, NULL) ||
	    sm_spawn(server.system, NULL, &props, &gone))
		abort();
	sm_stop(gone);
	testing_store_init(&store);
	if (cql__engine_init(&server.engine, &store.store, NULL, NULL))
		abort();
	server.engine.traces = cql__traces_new();
	if (!server.engine.traces)
		abort();
	pthread_mutex_init(&server.lock, NULL);
	pthread_cond_init(&server.idle, NULL);
	map_init(&server.prepared);
}

/* The id of the statement that was prepared last, where an EXECUTE begins with 16 zero bytes. */
static void use_last_id(uint8_t *body, size_t size)
{
	static const uint8_t zeros[16];
	if (size >= 18 && be16_get(body) == 16 && memcmp(body + 2, zeros, 16) == 0 && server.newest)
		memcpy(body + 2, server.newest->id, 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct byte_reader in = byte_reader(bytes_of(data, size));
	if (!gone)
		start();
	while (reader_left(&in) > 4) {
		size_t n = reader_be16(&in);
		if (n > reader_left(&in))
			n = reader_left(&in);
		if (n < 2)
			continue;
		const uint8_t *p = reader_take(&in, n);
		struct cql_header header = {.version = (uint8_t) "\4\5\3\4"[p[1] >> 4 & 3],
					    .opcode = p[0],
					    .flags = p[1],
					    .stream = 1,
					    .length = (uint32_t)n - 2};
		struct request_origin origin = {.server = &server,
						.conn = gone,
						.keyspace = "k",
						.peer = "127.0.0.1:40000",
						.host = "127.0.0.1",
						.port = 9042,
						.compression = p[1] >> 6 & 1 ? CQL_LZ4 : CQL_SNAPPY};
		uint8_t *body = malloc(n);
		if (!body)
			abort();
		memcpy(body, p + 2, n - 2);
		if (header.opcode == CQL_OP_EXECUTE)
			use_last_id(body, n - 2);
		struct request *r = request__new(&origin, &header, bytes_of(body, n - 2));
		free(body);
		if (r && request__start(r)) {
			if (buf_size(&r->out) < CQL_HEADER_BYTES)
				abort(); /* no answer */
			request__free(r);
		}
	}
	/* What went to the pool ends before the next input. */
	pthread_mutex_lock(&server.lock);
	while (server.requests)
		pthread_cond_wait(&server.idle, &server.lock);
	pthread_mutex_unlock(&server.lock);
	return 0;
}
