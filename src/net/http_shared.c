/* What the HTTP connections of one dispatcher share: spare requests, so that a request costs no allocation, and the Date line. */
#include "net/http_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Thread_local struct http__shared *here;

struct http__shared *http__shared_get(void)
{
	if (!here)
		here = calloc(1, sizeof *here);
	if (here)
		here->connections++;
	return here;
}

static void request_destroy(struct http__request *r)
{
	arena_done(&r->arena);
	buf_done(&r->body);
	buf_done(&r->extra);
	buf_done(&r->answer);
	free(r);
}

void http__shared_put(struct http__shared *shared)
{
	if (--shared->connections)
		return;
	for (struct http__request *r = shared->spare, *next; r; r = next) {
		next = r->next;
		request_destroy(r);
	}
	free(shared);
	here = NULL;
}

const char *http__date_line(struct http__shared *shared)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != shared->date_s) {
		static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
		static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
		struct tm t;
		gmtime_r(&now.tv_sec, &t);
		snprintf(shared->date, sizeof shared->date, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[t.tm_wday % 7],
			 t.tm_mday % 100, months[t.tm_mon % 12], (t.tm_year + 1900) % 10000, t.tm_hour % 100, t.tm_min % 100,
			 t.tm_sec % 100);
		shared->date_s = now.tv_sec;
	}
	return shared->date;
}

struct http__request *http__request_new(struct http__conn *conn)
{
	struct http__shared *shared = conn->shared;
	struct http__request *r = shared->spare;
	if (r) {
		shared->spare = r->next;
		shared->spare_count--;
		struct arena arena = r->arena;
		struct buf extra = r->extra, answer = r->answer;
		*r = (struct http__request){.arena = arena, .extra = extra, .answer = answer};
	} else {
		r = calloc(1, sizeof *r);
		if (!r)
			return NULL;
		arena_init(&r->arena, HTTP_ARENA_MAX);
	}
	r->conn = conn;
	r->public.conn = conn->net;
	r->public.arena = &r->arena;
	r->id = ++conn->next_id;
	return r;
}

/* Pipelined requests are many at once, and small. */
static bool may_keep(const struct http__shared *shared, const struct http__request *r)
{
	bool small = r->arena.used <= HTTP_SPARE_SMALL_BYTES && r->extra.cap + r->answer.cap <= HTTP_SPARE_SMALL_BYTES;
	return shared->spare_count < (small ? HTTP_SPARE_SMALL : HTTP_SPARE_REQUESTS);
}

void http__request_free(struct http__request *r)
{
	struct http__shared *shared = r->conn->shared;
	if (!may_keep(shared, r)) {
		request_destroy(r);
		return;
	}
	buf_done(&r->body);
	if (r->arena.used > HTTP_SPARE_BYTES)
		arena_done(&r->arena);
	else
		arena_reset(&r->arena);
	/* What once found no memory would be refused for good. */
	if (r->extra.failed || r->extra.cap > 1024)
		buf_done(&r->extra);
	if (r->answer.failed || r->answer.cap > 4096)
		buf_done(&r->answer);
	buf_clear(&r->extra);
	buf_clear(&r->answer);
	r->next = shared->spare;
	shared->spare = r;
	shared->spare_count++;
}
