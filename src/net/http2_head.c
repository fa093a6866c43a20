/* A request's head as HTTP/2 brings it, line by line (RFC 9113 8.3), to what HTTP/1's parser makes of one. The same rules hold for both:
 * nghttp2 has looked at the pseudo headers and at connection headers, http_parse.c at all else. */
#include "net/http2_internal.h"

static void fail(struct http2__head *h, int status, const char *why)
{
	if (!h->status) {
		h->status = status;
		h->head.why = why;
	}
}

static bool keep(struct http2__head *h, struct arena *arena, struct bytes *text)
{
	text->data = arena_copy(arena, text->data, text->size);
	if (!text->data)
		fail(h, 500, NULL);
	return text->data != NULL;
}

static void take_pseudo(struct http2__head *h, struct arena *arena, struct bytes name, struct bytes value)
{
	struct bytes *to = bytes_equal(name, BYTES(":method"))      ? &h->method
			   : bytes_equal(name, BYTES(":path"))      ? &h->path
			   : bytes_equal(name, BYTES(":authority")) ? &h->authority
								    : NULL;
	if (value.size > HTTP_LINE_MAX)
		fail(h, 414, NULL);
	else if (to && keep(h, arena, &value))
		*to = value;
}

void http2__head_field(struct http2__head *h, struct arena *arena, struct bytes name, struct bytes value)
{
	/* What is too long is read over: HPACK needs all of it. */
	if (h->status)
		return;
	if (*name.data == ':') {
		take_pseudo(h, arena, name, value);
		return;
	}
	h->bytes += name.size + value.size + 4; /* as a line of HTTP/1 */
	if (h->bytes > HTTP_HEADER_BYTES_MAX || h->head.header_count == HTTP_HEADERS_MAX) {
		fail(h, 431, NULL);
		return;
	}
	/* One more: Host, if :authority alone names it. */
	if (!h->headers && !(h->headers = arena_alloc_raw(arena, (HTTP_HEADERS_MAX + 1) * sizeof *h->headers, 16)))
		fail(h, 500, NULL);
	if (h->status || !keep(h, arena, &name) || !keep(h, arena, &value))
		return;
	struct http_header *header = &h->headers[h->head.header_count++];
	*header = (struct http_header){name, value};
	int status = http__take_header(&h->head, header, &h->host);
	if (status)
		fail(h, status, h->head.why);
}

/* RFC 9113 8.3.1: :authority stands for Host; both name the same. */
static int take_authority(struct http2__head *h, struct arena *arena)
{
	struct http__head *head = &h->head;
	if (!h->authority.data)
		return 0;
	if (head->has_host) {
		bool same = h->host.size == h->authority.size;
		for (size_t i = 0; same && i < h->host.size; i++)
			same = (h->host.data[i] | 0x20) == (h->authority.data[i] | 0x20);
		head->why = "Host and :authority differ";
		return same ? 0 : 400;
	}
	head->has_host = true;
	h->host = h->authority;
	if (!h->headers && !(h->headers = arena_alloc_raw(arena, sizeof *h->headers, 16)))
		return 500;
	h->headers[head->header_count++] = (struct http_header){BYTES("host"), h->authority};
	return 0;
}

int http2__head_end(struct http2__head *h, struct arena *arena, bool last)
{
	struct http__head *head = &h->head;
	head->minor = 1;
	if (!last)
		head->flags |= HEAD_STREAM;
	int status = h->status ? h->status : http__take_method(head, h->method);
	if (!status)
		status = http__take_target(head, h->path);
	if (!status)
		status = take_authority(h, arena);
	if (!status)
		status = http__take_end(head, h->host);
	return status;
}
