/* CPU of the server's hot paths over the native protocol: prepared INSERT, SELECT of a row, of 120 rows of a partition, a scan; many in
 * flight on two connections. The client's thread is not counted; background work is. usage: cql-server_bench [SECONDS] [IN_FLIGHT] [WHAT]:
 * WHAT is insert, select, range or scan; all without it */
#include "base/buf.h"
#include "base/io.h"
#include "base/metrics.h"
#include "cql/wire.h"
#include <arpa/inet.h>
#include <poll.h>
#include <smack/actor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 2
#define ROWS 360u /* of a partition */
#define EVENTS (partitions * 400u)

static struct sm_system *sys;
static struct sm_store *store;
static struct cql_server *server;
static uint32_t partitions = 500;
static uint64_t next_event = 1ull << 32;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "cql-server_bench: %s\n", what);
	exit(1);
}

static double seconds(void)
{
	return (double)clock_monotonic_ns(&clock_system) / 1e9;
}

/* CPU of all threads but this one. */
static double server_cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_THREAD, &u);
	return process_cpu_seconds() - (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) -
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* ---- connections ---- */

struct client {
	int fd;
	struct buf in, out;
};
static struct client clients[CONNECTIONS];

static void flush(struct client *c)
{
	for (size_t at = c->out.start; at < c->out.end;) {
		ssize_t n = send(c->fd, c->out.data + at, c->out.end - at, MSG_NOSIGNAL);
		must(n > 0, "send");
		at += (size_t)n;
	}
	buf_clear(&c->out);
}

/* The next whole frame's body, taken from c->in with buf_consume by the caller; false: more must come. */
static bool whole(struct client *c, struct cql_header *ret_header, struct bytes *ret_body)
{
	struct bytes in = buf_bytes(&c->in);
	if (in.size < CQL_HEADER_BYTES)
		return false;
	*ret_header = cql_header_read(in.data);
	if (in.size - CQL_HEADER_BYTES < ret_header->length)
		return false;
	*ret_body = bytes_of(in.data + CQL_HEADER_BYTES, ret_header->length);
	return true;
}

static void receive(struct client *c)
{
	uint8_t *to = buf_reserve(&c->in, 1u << 18);
	must(to != NULL, "memory");
	ssize_t n = recv(c->fd, to, 1u << 18, 0);
	must(n > 0, "recv");
	buf_commit(&c->in, (size_t)n);
}

static size_t begin(struct client *c, uint8_t opcode, uint16_t stream)
{
	size_t at = buf_size(&c->out);
	buf_u8(&c->out, 4);
	buf_u8(&c->out, 0);
	buf_be16(&c->out, stream);
	buf_u8(&c->out, opcode);
	buf_be32(&c->out, 0);
	return at;
}

static void end(struct client *c, size_t at)
{
	be32_put(c->out.data + c->out.start + at + 5, (uint32_t)(buf_size(&c->out) - at - CQL_HEADER_BYTES));
}

/* Wait for the answer; its body is good until the next call. */
static struct bytes call(struct client *c, uint8_t expected)
{
	static struct buf kept;
	struct cql_header h;
	struct bytes body;
	flush(c);
	while (!whole(c, &h, &body))
		receive(c);
	if (h.opcode != expected)
		fprintf(stderr, "%.*s\n", (int)body.size, (const char *)body.data);
	must(h.opcode == expected, "unexpected answer");
	buf_clear(&kept);
	buf_append_bytes(&kept, body);
	buf_consume(&c->in, CQL_HEADER_BYTES + body.size);
	return buf_bytes(&kept);
}

static void text_of(struct client *c, const char *text)
{
	buf_be32(&c->out, (uint32_t)strlen(text));
	buf_append_str(&c->out, text);
}

static void query(struct client *c, const char *text)
{
	size_t at = begin(c, CQL_OP_QUERY, 0);
	text_of(c, text);
	buf_be16(&c->out, CQL_ONE);
	buf_u8(&c->out, 0);
	end(c, at);
	(void)call(c, CQL_OP_RESULT);
}

static void prepare(struct client *c, const char *text, uint8_t id[16])
{
	size_t at = begin(c, CQL_OP_PREPARE, 0);
	text_of(c, text);
	end(c, at);
	struct bytes body = call(c, CQL_OP_RESULT);
	must(body.size > 22, "PREPARE");
	memcpy(id, body.data + 6, 16);
}

static void connect_client(struct client *c)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(cql_server_port(server, 0)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	buf_init(&c->in);
	buf_init(&c->out);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	must(c->fd >= 0 && connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
	size_t at = begin(c, CQL_OP_STARTUP, 0);
	buf_be16(&c->out, 1);
	cql_put_string(&c->out, "CQL_VERSION");
	cql_put_string(&c->out, "3.0.0");
	end(c, at);
	(void)call(c, CQL_OP_READY);
}

/* ---- requests ---- */

static uint8_t insert_event[16], insert_campaign[16], select_event[16], select_range[16], select_tokens[16];

static void value(struct client *c, const void *data, size_t size)
{
	buf_be32(&c->out, (uint32_t)size);
	buf_append(&c->out, data, size);
}

static void uuid_value(struct client *c, uint64_t i)
{
	uint8_t id[16];
	uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u;
	be64_put(id, x ^ x >> 29);
	be64_put(id + 8, x * 0xbf58476d1ce4e5b9u);
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	value(c, id, 16);
}

static void int_value(struct client *c, uint32_t v)
{
	uint8_t b[4];
	be32_put(b, v);
	value(c, b, 4);
}

static void long_value(struct client *c, uint64_t v)
{
	uint8_t b[8];
	be64_put(b, v);
	value(c, b, 8);
}

/* EXECUTE as drivers send it: values, no metadata, pages of 5000. */
static size_t execute(struct client *c, uint16_t stream, const uint8_t id[16], uint16_t values)
{
	size_t at = begin(c, CQL_OP_EXECUTE, stream);
	buf_be16(&c->out, 16);
	buf_append(&c->out, id, 16);
	buf_be16(&c->out, CQL_ONE);
	buf_u8(&c->out, 0x01 | 0x02 | 0x04);
	buf_be16(&c->out, values);
	return at;
}

static void execute_end(struct client *c, size_t at)
{
	buf_be32(&c->out, 5000);
	end(c, at);
}

static void put_event(struct client *c, uint16_t stream, uint64_t i)
{
	size_t at = execute(c, stream, insert_event, 5);
	uuid_value(c, i);
	uuid_value(c, i % 100000 + (1ull << 40));
	uuid_value(c, i % 1000 + (1ull << 41));
	long_value(c, 1700000000000 + i);
	value(c, "purchase", 8);
	execute_end(c, at);
}

static void put_campaign(struct client *c, uint16_t stream, uint64_t i)
{
	size_t at = execute(c, stream, insert_campaign, 6);
	uuid_value(c, i / ROWS);
	int_value(c, 2015);
	int_value(c, (uint32_t)(i / 30 % 12 + 1));
	int_value(c, (uint32_t)(i % 30 + 1));
	long_value(c, i * 7);
	long_value(c, i);
	execute_end(c, at);
}

static void next_put(struct client *c, uint16_t stream, uint64_t i)
{
	put_event(c, stream, next_event++);
}

static void get_event(struct client *c, uint16_t stream, uint64_t i)
{
	size_t at = execute(c, stream, select_event, 1);
	uuid_value(c, i * 7919 % EVENTS);
	execute_end(c, at);
}

static void get_range(struct client *c, uint16_t stream, uint64_t i)
{
	size_t at = execute(c, stream, select_range, 1);
	uuid_value(c, i * 7919 % partitions);
	execute_end(c, at);
}

static void get_tokens(struct client *c, uint16_t stream, uint64_t i)
{
	uint64_t step = UINT64_MAX / 64 + 1, at_token = i % 64 * step;
	size_t at = execute(c, stream, select_tokens, 2);
	long_value(c, at_token ^ 1ull << 63);
	long_value(c, (at_token + step - 1) ^ 1ull << 63);
	execute_end(c, at);
}

/* ---- measuring ---- */

typedef void (*make_request)(struct client *c, uint16_t stream, uint64_t i);

struct measure {
	make_request make;
	uint64_t sent, last, answered, rows;
	double until; /* or 0 */
};

/* Answer every whole frame of c with a new request. Returns how many are no longer in flight. */
static uint32_t turn(struct client *c, struct measure *m)
{
	struct cql_header h;
	struct bytes body;
	uint32_t done = 0;
	receive(c);
	while (whole(c, &h, &body)) {
		must(h.opcode == CQL_OP_RESULT, "an error was answered");
		m->answered++;
		if (be32_get(body.data) == CQL_RESULT_ROWS && !(be32_get(body.data + 4) & 2))
			m->rows += be32_get(body.data + 12);
		uint16_t stream = (uint16_t)h.stream;
		buf_consume(&c->in, CQL_HEADER_BYTES + body.size);
		if (m->sent >= m->last || (m->until > 0 && seconds() > m->until))
			done++;
		else
			m->make(c, stream, m->sent++);
	}
	flush(c);
	return done;
}

static void run(struct measure *m, uint32_t in_flight)
{
	uint32_t open = 0;
	for (; open < in_flight && m->sent < m->last; open++)
		m->make(&clients[open % CONNECTIONS], (uint16_t)(open / CONNECTIONS), m->sent++);
	for (int i = 0; i < CONNECTIONS; i++)
		flush(&clients[i]);
	while (open) {
		struct pollfd fds[CONNECTIONS];
		for (int i = 0; i < CONNECTIONS; i++)
			fds[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
		must(poll(fds, CONNECTIONS, 20000) > 0, "no answer within 20 s");
		for (int i = 0; i < CONNECTIONS; i++)
			if (fds[i].revents)
				open -= turn(&clients[i], m);
	}
}

static void fill(make_request make, uint64_t count)
{
	struct measure m = {.make = make, .last = count};
	run(&m, 256);
	must(m.answered == count, "fill");
}

static void bench(const char *what, make_request make, uint32_t in_flight, double for_seconds)
{
	struct measure m = {.make = make, .last = UINT64_MAX, .until = seconds() + for_seconds};
	double since = seconds(), cpu = server_cpu();
	int64_t syncs = metric_get(METRIC_STORE_SYNCS);
	run(&m, in_flight);
	double wall = seconds() - since;
	cpu = server_cpu() - cpu;
	printf("%-8s %9.0f /s  %7.2f us CPU each", what, (double)m.answered / wall, cpu * 1e6 / (double)m.answered);
	if (m.rows > m.answered)
		printf("  %.3f us a row", cpu * 1e6 / (double)m.rows);
	if (metric_get(METRIC_STORE_SYNCS) > syncs)
		printf("  %.1f a sync", (double)m.answered / (double)(metric_get(METRIC_STORE_SYNCS) - syncs));
	printf("  %.0f MiB\n", (double)process_rss_bytes() / (1 << 20));
	fflush(stdout);
}

static void set_up(const char *dir)
{
	struct sm_error error = {0};
	must(!sm_system_new(&(struct sm_system_options){0}, &sys, &error), error.text);
	must(!store_embedded_open(&(struct store_embedded_options){.system = sys, .dir = dir}, &store, &error), error.text);
	struct cql_listener_options listener = {.host = "127.0.0.1"};
	must(!cql_server_new(&(struct cql_server_options){.system = sys, .store = store, .listeners = &listener, .listener_count = 1},
			     &server, &error),
	     error.text);
	for (int i = 0; i < CONNECTIONS; i++)
		connect_client(&clients[i]);
	struct client *c = &clients[0];
	query(c, "CREATE KEYSPACE b WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
	query(c, "CREATE TABLE b.event (id uuid PRIMARY KEY, ad uuid, campaign uuid, ts timestamp, type text)");
	query(c, "CREATE TABLE b.campaign (id uuid, year int, month int, day int, views bigint, clicks bigint, "
		 "PRIMARY KEY (id, year, month, day))");
	prepare(c, "INSERT INTO b.event (id, ad, campaign, ts, type) VALUES (?, ?, ?, ?, ?)", insert_event);
	prepare(c, "INSERT INTO b.campaign (id, year, month, day, views, clicks) VALUES (?, ?, ?, ?, ?, ?)", insert_campaign);
	prepare(c, "SELECT ad, campaign, ts, type FROM b.event WHERE id = ?", select_event);
	prepare(c, "SELECT views, clicks FROM b.campaign WHERE id = ? AND year = 2015 AND month > 8", select_range);
	prepare(c, "SELECT id, ad, campaign, ts, type FROM b.event WHERE token(id) > ? AND token(id) <= ?", select_tokens);
}

int main(int argc, char **argv)
{
	double for_seconds = argc > 1 ? strtod(argv[1], NULL) : 3;
	uint32_t in_flight = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 64;
	const char *only = argc > 3 ? argv[3] : "";
	partitions = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : partitions;
	char dir[] = "/tmp/smack-cql-bench-XXXXXX";
	must(partitions > 0, "PARTITIONS from 1");
	must(mkdtemp(dir) != NULL, "mkdtemp");
	set_up(dir);
	fill(put_event, EVENTS);
	fill(put_campaign, (uint64_t)partitions * ROWS);
	const struct {
		const char *what;
		make_request make;
	} cells[] = {{"select", get_event}, {"range", get_range}, {"scan", get_tokens}, {"insert", next_put}};
	for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
		if (!*only || strcmp(only, cells[i].what) == 0)
			bench(cells[i].what, cells[i].make, in_flight, for_seconds);
	for (int i = 0; i < CONNECTIONS; i++)
		close(clients[i].fd);
	cql_server_free(server, 1000);
	must(store->ops->close(store, NULL) == SM_OK && sm_system_stop(sys, 5000) == SM_OK, "stop");
	return io_remove_tree(&io_system, dir, NULL) != SM_OK;
}
