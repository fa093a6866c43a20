/* A bounded HTTP/1.1 load over loopback, by one thread: connections that each send a POST (or several at once) and wait for the answers,
 * either one after the other or at a given rate. */
#ifndef BENCH_HTTP_LOAD_H
#define BENCH_HTTP_LOAD_H

#include <stdint.h>

struct http_load {
	uint16_t port;
	const char *path; /* "/ingest/raw_events" */
	unsigned connections;
	unsigned events; /* in one request: 1 goes as application/json, more as application/x-ndjson */
	unsigned depth;  /* requests that a connection sends in one write, pipelined; 0: 1 */
	double rate; /* requests a second in all, due at their times whatever is answered; 0: each connection sends when it has its answers
		      */
	const char *file; /* NDJSON whose lines are the events, in turn; NULL: made up */
	double seconds;
};

struct http_load_result {
	double seconds;
	uint64_t requests; /* answered 2xx */
	uint64_t refused;  /* answered 429 */
	uint64_t other;    /* anything else; the first is printed on stderr */
	uint64_t missing;  /* not answered in time; those of a rate that were not even sent too */
	double p50_ms, p99_ms,
		p999_ms; /* from the write; with a rate from when the request was due, so that waiting for a connection counts */
};

/* Run the load. Ends after load->seconds and the answers under way, at the latest 10 s later; exits with a message when the server is gone.
 */
void http_load_run(const struct http_load *load, struct http_load_result *ret);

/* Open load->connections connections and have one request answered on each. Returns their descriptors, to be freed; exits with a message
 * when one fails. */
int *http_load_open(const struct http_load *load);
/* How many of them the server has not closed. */
unsigned http_load_open_still(const int *fds, unsigned count);

/* One request without a body, on a connection of its own. Returns the status, or 0 when nobody answers. */
int http_load_get(uint16_t port, const char *path);

double now_seconds(void);

#endif
