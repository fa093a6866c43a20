/* A bounded HTTP load over loopback: connections that each send a POST, wait for its answer, and send the next. */
#ifndef BENCH_HTTP_LOAD_H
#define BENCH_HTTP_LOAD_H

#include <stdint.h>

struct http_load {
	uint16_t port;
	const char *path; /* "/ingest/raw_events" */
	unsigned connections;
	unsigned events; /* in one request: 1 goes as application/json, more as application/x-ndjson */
	double seconds;
};

struct http_load_result {
	double seconds;
	uint64_t requests; /* answered 202 */
	uint64_t refused;  /* answered 429 */
	uint64_t other;    /* anything else; the first is printed on stderr */
	double p50_ms, p99_ms;
};

/* Run the load. Ends after load->seconds and the answers under way, at the latest 10 s later; exits with a message when the server is gone.
 */
void http_load_run(const struct http_load *load, struct http_load_result *ret);

/* One request without a body, on a connection of its own. Returns the status, or 0 when nobody answers. */
int http_load_get(uint16_t port, const char *path);

double now_seconds(void);

#endif
