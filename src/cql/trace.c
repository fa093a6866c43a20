#include "cql/trace.h"

#include "cql/cql_limits.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct cql_traces {
	pthread_mutex_t lock;
	struct cql_trace *ring[CQL_TRACES_MAX];
	uint32_t next; /* where the next one goes, in the place of the oldest */
};

struct cql_trace *cql__trace_new(struct clock *clock, const char *client, const char *coordinator, uint16_t coordinator_port)
{
	struct cql_trace *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	arena_init(&t->arena, 0);
	t->clock = clock;
	uuid_time(clock, &t->id);
	t->client = arena_string(&t->arena, client, strlen(client));
	t->coordinator = arena_string(&t->arena, coordinator, strlen(coordinator));
	t->coordinator_port = coordinator_port;
	t->command = t->request = "";
	t->parameters = arena_alloc(&t->arena, sizeof *t->parameters * 2 * CQL_TRACE_PARAMETERS_MAX);
	t->events = arena_alloc(&t->arena, sizeof *t->events * CQL_TRACE_EVENTS_MAX);
	t->started_ms = clock_wall_ms(clock);
	t->started_ns = clock_monotonic_ns(clock);
	if (t->client && t->coordinator && t->parameters && t->events)
		return t;
	cql__trace_free(t);
	return NULL;
}

void cql__trace_free(struct cql_trace *t)
{
	if (!t)
		return;
	arena_done(&t->arena);
	free(t);
}

static int32_t elapsed_us(const struct cql_trace *t)
{
	uint64_t us = (clock_monotonic_ns(t->clock) - t->started_ns) / 1000;
	return us > INT32_MAX ? INT32_MAX : (int32_t)us;
}

void cql__trace(struct cql_trace *t, const char *fmt, ...)
{
	char text[CQL_TRACE_TEXT_MAX + 1], thread[32] = "";
	if (!t || t->event_count == CQL_TRACE_EVENTS_MAX)
		return;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (pthread_getname_np(pthread_self(), thread, sizeof thread))
		thread[0] = 0;
	struct cql_trace_event *e = &t->events[t->event_count];
	*e = (struct cql_trace_event){.activity = arena_string(&t->arena, text, strlen(text)),
				      .thread = arena_string(&t->arena, thread, strlen(thread)),
				      .elapsed_us = elapsed_us(t)};
	uuid_time(t->clock, &e->id);
	if (e->activity && e->thread)
		t->event_count++;
}

void cql__trace_parameter(struct cql_trace *t, const char *name, struct bytes value)
{
	if (!t || t->parameter_count == CQL_TRACE_PARAMETERS_MAX)
		return;
	size_t size = value.size > CQL_TRACE_TEXT_MAX ? CQL_TRACE_TEXT_MAX : value.size;
	while (size < value.size && size && (value.data[size] & 0xc0) == 0x80)
		size--; /* not within a character */
	const char **pair = &t->parameters[2 * t->parameter_count];
	pair[0] = arena_string(&t->arena, name, strlen(name));
	pair[1] = arena_string(&t->arena, (const char *)value.data, size);
	if (pair[0] && pair[1])
		t->parameter_count++;
}

struct cql_traces *cql__traces_new(void)
{
	struct cql_traces *traces = calloc(1, sizeof *traces);
	if (traces)
		pthread_mutex_init(&traces->lock, NULL);
	return traces;
}

void cql__traces_free(struct cql_traces *traces)
{
	if (!traces)
		return;
	for (uint32_t i = 0; i < CQL_TRACES_MAX; i++)
		cql__trace_free(traces->ring[i]);
	pthread_mutex_destroy(&traces->lock);
	free(traces);
}

void cql__traces_add(struct cql_traces *traces, struct cql_trace *t)
{
	t->duration_us = elapsed_us(t);
	pthread_mutex_lock(&traces->lock);
	struct cql_trace *old = traces->ring[traces->next];
	traces->ring[traces->next] = t;
	traces->next = (traces->next + 1) % CQL_TRACES_MAX;
	pthread_mutex_unlock(&traces->lock);
	cql__trace_free(old);
}

void cql__traces_each(struct cql_traces *traces, void (*visit)(void *arg, const struct cql_trace *trace), void *arg)
{
	pthread_mutex_lock(&traces->lock);
	for (uint32_t i = 0; i < CQL_TRACES_MAX; i++) {
		const struct cql_trace *t = traces->ring[(traces->next + i) % CQL_TRACES_MAX];
		if (t)
			visit(arg, t);
	}
	pthread_mutex_unlock(&traces->lock);
}
