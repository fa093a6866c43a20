/* Fuzz target: request heads, chunked and gzip bodies, targets, the guard. What is checked besides memory: it does not matter how
 * the bytes are cut, and a taken head lies within its bytes. */
#include "net/http_internal.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within(struct bytes part, const uint8_t *data, size_t size)
{
	/* One byte: the "/" of a target that names a host alone is not from the data. */
	return part.size <= 1 || (part.data >= data && part.data + part.size <= data + size);
}

static void check_head(uint8_t *copy, size_t size, uint32_t lines, struct http__head *head)
{
	struct http_header *headers = malloc((lines + 1) * sizeof *headers);
	if (!headers)
		abort();
	int status = http__parse_head(copy, size, headers, head);
	assert(head->header_count <= lines);
	if (!status) {
		assert(head->method && head->target.size);
		assert(within(head->target, copy, size) && within(head->host, copy, size));
		assert(!(head->flags & HEAD_LENGTH) || !(head->flags & HEAD_CHUNKED));
		for (uint32_t i = 0; i < head->header_count; i++)
			assert(http__is_token(headers[i].name) && within(headers[i].value, copy, size));
		uint8_t *path = malloc(head->target.size + 1);
		size_t n;
		if (path && http__decode(head->target, false, path, &n))
			assert(n <= head->target.size);
		free(path);
		http__guard_host(head->host, 8080, false);
		http__guard_origin(head->origin, 8080, true);
		http__guard_media_type(head->content_type, "application/json");
	} else {
		head->method = 0;
	}
	free(headers);
}

/* The body after a head, fed in pieces of step bytes. */
static int feed(const struct http__head *head, struct bytes in, size_t step, struct buf *out)
{
	struct http__body body;
	int status = http__body_begin(&body, head);
	bool whole = body.kind == BODY_NONE;
	while (!status && !whole && in.size) {
		size_t used;
		status = http__body_feed(&body, bytes_of(in.data, in.size < step ? in.size : step), out, &used, &whole);
		assert(status || whole || used == (in.size < step ? in.size : step));
		in.data += used;
		in.size -= used;
	}
	http__body_done(&body);
	return status ? status : whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http__scan whole = {0}, cut = {0};
	struct bytes in = bytes_of(data, size);
	size_t end, cut_end = 0;
	int status = http__scan_head(&whole, in, &end), cut_status = 0;
	size_t step = size ? 1 + data[size - 1] % 64 : 1;
	for (size_t n = 0; n < size && !cut_status && !cut_end;) {
		n = n + step < size ? n + step : size;
		cut_status = http__scan_head(&cut, bytes_of(data, n), &cut_end);
	}
	assert(cut_status == status && (status || cut_end == end));
	if (status || !end)
		return 0;
	uint8_t *copy = malloc(end);
	if (!copy)
		abort();
	memcpy(copy, data + whole.skip, end);
	struct http__head head;
	check_head(copy, end, whole.lines, &head);
	if (head.method) {
		struct bytes rest = bytes_of(data + whole.skip + end, size - whole.skip - end);
		struct buf a = {0}, b = {0};
		int one = feed(&head, rest, SIZE_MAX, &a), two = feed(&head, rest, step, &b);
		assert(one == two || one >= 400);
		assert(one != 1 || bytes_equal(buf_bytes(&a), buf_bytes(&b)));
		buf_done(&a);
		buf_done(&b);
	}
	free(copy);
	return 0;
}
