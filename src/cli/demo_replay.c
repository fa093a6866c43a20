#include "base/compress.h"
#include "base/io.h"
#include "base/json.h"
#include "cli/demo.h"
#include <stdlib.h>
#include <time.h>

struct requests {
	struct demo_request *items;
	uint32_t count, cap;
};

static enum sm_err add_request(struct requests *r, struct bytes lines, uint32_t events)
{
	if (r->count == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : 64;
		struct demo_request *items = realloc(r->items, cap * sizeof *items);
		if (!items)
			return SM_NO_MEMORY;
		r->items = items;
		r->cap = cap;
	}
	struct demo_request *q = &r->items[r->count++];
	*q = (struct demo_request){.events = events};
	return codec_compress(CODEC_GZIP, lines, &q->gzip);
}

static enum sm_err cut_day(struct requests *r, struct bytes text, uint32_t events_max)
{
	const uint8_t *start = text.data, *end = text.data + text.size;
	uint32_t events = 0;
	for (const uint8_t *p = start; p < end;) {
		const uint8_t *newline = memchr(p, '\n', (size_t)(end - p));
		p = newline ? newline + 1 : end;
		if (++events < events_max && p < end)
			continue;
		enum sm_err err = add_request(r, bytes_of(start, (size_t)(p - start)), events);
		if (err)
			return err;
		start = p;
		events = 0;
	}
	return SM_OK;
}

enum sm_err demo_requests(const struct demo_data *d, uint32_t events_max, struct demo_request **ret_requests, uint32_t *ret_count,
			  struct sm_error *reterr)
{
	struct requests r = {0};
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < d->day_count && !err; i++) {
		uint8_t *packed;
		size_t size;
		struct buf text;
		buf_init(&text);
		if ((err = io_read_file(&io_system, d->days[i], 64 << 20, &packed, &size, reterr)))
			break;
		err = codec_decompress(CODEC_GZIP, bytes_of(packed, size), 256 << 20, &text);
		if (!err)
			err = cut_day(&r, buf_bytes(&text), events_max);
		if (err)
			sm_fail(reterr, err, "%s: %s", d->days[i], sm_err_text(err));
		buf_done(&text);
		free(packed);
	}
	if (err) {
		demo_requests_free(r.items, r.count);
		return err;
	}
	*ret_requests = r.items;
	*ret_count = r.count;
	return SM_OK;
}

void demo_requests_free(struct demo_request *requests, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		buf_done(&requests[i].gzip);
	free(requests);
}

#define BUSY_TRIES 600

enum sm_err demo_send(struct http_client *client, const char *url, const struct demo_request *request, uint32_t *ret_accepted,
		      struct sm_error *reterr)
{
	static const char *const headers[] = {"Content-Type: application/x-ndjson", "Content-Encoding: gzip", NULL};
	char target[256];
	snprintf(target, sizeof target, "%s/ingest/raw_events", url);
	for (unsigned i = 0;; i++) {
		struct http_response response;
		enum sm_err err = http_client_do(client, "POST", target, headers, buf_bytes(&request->gzip), 30000, &response, reterr);
		if (err)
			return err;
		int status = response.status;
		if (status == 202) {
			json_t *json = NULL;
			int64_t accepted = 0;
			err = json_parse(buf_bytes(&response.body), &json, reterr);
			if (!err)
				err = json_get_int(json, "accepted", 0, &accepted, reterr);
			*ret_accepted = (uint32_t)accepted;
			json_decref(json);
			http_response_done(&response);
			return err;
		}
		struct bytes body = buf_bytes(&response.body);
		bool again = (status == 429 || status == 503) && i < BUSY_TRIES;
		if (!again)
			err = sm_fail(reterr, SM_FAILED, "POST %s: %d %.*s", target, status, (int)(body.size < 200 ? body.size : 200),
				      (const char *)body.data);
		http_response_done(&response);
		if (!again)
			return err;
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
}
