/* Tracing: what a request that asks for it did, and when. Sessions are kept in memory, the newest CQL_TRACES_MAX, and read from
 * system_traces.sessions and system_traces.events. */
#ifndef CQL_TRACE_H
#define CQL_TRACE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/uuid.h"

struct cql_trace_event {
	struct uuid id;
	const char *activity, *thread;
	int32_t elapsed_us; /* since the session began */
};
struct cql_trace {
	struct arena arena; /* of all texts */
	struct clock *clock;
	struct uuid id;
	const char *command, *request;    /* "QUERY", "Execute CQL3 query" */
	const char *client, *coordinator; /* addresses */
	uint16_t coordinator_port;
	const char **parameters;  /* name, value, name, value, by name */
	uint32_t parameter_count; /* pairs */
	int64_t started_ms;
	uint64_t started_ns;
	int32_t duration_us;
	struct cql_trace_event *events;
	uint32_t event_count;
};

/* A session that begins now. NULL: no memory, the request is not traced. */
struct cql_trace *cql__trace_new(struct clock *clock, const char *client, const char *coordinator, uint16_t coordinator_port);
/* Something was done. trace may be NULL. Thread: whoever has the request. */
void cql__trace(struct cql_trace *trace, const char *fmt, ...) SM_PRINTF(2, 3);
/* Parameters are given in the order of their names. The value is copied, and cut at CQL_TRACE_TEXT_MAX bytes. */
void cql__trace_parameter(struct cql_trace *trace, const char *name, struct bytes value);
void cql__trace_free(struct cql_trace *trace);

struct cql_traces;
struct cql_traces *cql__traces_new(void); /* NULL: no memory */
void cql__traces_free(struct cql_traces *traces);
/* The session has ended and can be read from now on; the oldest goes when there are too many. Takes trace. Thread: any. */
void cql__traces_add(struct cql_traces *traces, struct cql_trace *trace);
/* Call visit for each session, under the lock. */
void cql__traces_each(struct cql_traces *traces, void (*visit)(void *arg, const struct cql_trace *trace), void *arg);

#endif
