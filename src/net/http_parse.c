/* The grammar of RFC 9112, sections 2 to 7. A table says of each byte what it may be; no byte is looked at more than twice:
 * once for the end of its line (memchr), once for its place in it. */
#include "net/http_parse.h"
#include "base/address.h"
#include "base/percent.h"

enum { TOKEN = 1, VALUE = 2, TARGET = 4, DIGIT = 8, HEX = 16 };

#define T (TOKEN | VALUE | TARGET)
#define D (T | DIGIT | HEX)
#define H (T | HEX)
#define P (VALUE | TARGET)
#define V VALUE
#define F (TOKEN | VALUE) /* '#' begins a fragment, which no target has */
/* clang-format off */
static const uint8_t kinds[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	V, T, P, F, T, T, T, T, P, P, T, T, P, T, T, P,
	D, D, D, D, D, D, D, D, D, D, P, P, P, P, P, P,
	P, H, H, H, H, H, H, T, T, T, T, T, T, T, T, T,
	T, T, T, T, T, T, T, T, T, T, T, P, P, P, T, T,
	T, H, H, H, H, H, H, T, T, T, T, T, T, T, T, T,
	T, T, T, T, T, T, T, T, T, T, T, P, T, P, T, 0,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};
/* clang-format on */
#undef T
#undef D
#undef H
#undef P
#undef V
#undef F

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool http__same(struct bytes text, const char *want)
{
	for (size_t i = 0; i < text.size; i++)
		if (want[i] == 0 || lower(text.data[i]) != (uint8_t)want[i])
			return false;
	return want[text.size] == 0;
}

bool http__is_token(struct bytes text)
{
	for (size_t i = 0; i < text.size; i++)
		if (!(kinds[text.data[i]] & TOKEN))
			return false;
	return text.size > 0;
}

static struct bytes trim(struct bytes text)
{
	while (text.size && (*text.data == ' ' || *text.data == '\t')) {
		text.data++;
		text.size--;
	}
	while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
		text.size--;
	return text;
}

bool http__list_next(struct bytes *list, struct bytes *ret_member)
{
	while (list->size) {
		const uint8_t *comma = memchr(list->data, ',', list->size);
		size_t n = comma ? (size_t)(comma - list->data) : list->size;
		struct bytes member = trim(bytes_of(list->data, n));
		list->data += n + (comma != NULL);
		list->size -= n + (comma != NULL);
		if (member.size) {
			*ret_member = member;
			return true;
		}
	}
	return false;
}

static int hex_value(uint8_t c)
{
	if (!(kinds[c] & HEX))
		return -1;
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

bool http__decode(struct bytes in, bool plus, uint8_t *out, size_t *ret_size)
{
	return percent_decode(in, plus, out, ret_size) && !memchr(out, 0, *ret_size);
}

/* ---- where a head ends ---- */

/* RFC 9112 2.2: an empty line or so before a request is skipped; more than that is not a client. */
#define EMPTY_LINES_MAX 4

int http__scan_head(struct http__scan *scan, struct bytes in, size_t *ret_size)
{
	*ret_size = 0;
	if (!scan->begun) {
		while (scan->skip + 2 <= in.size && memcmp(in.data + scan->skip, "\r\n", 2) == 0) {
			scan->skip += 2;
			if (scan->skip > 2 * EMPTY_LINES_MAX)
				return 400;
		}
		if (scan->skip == in.size || (scan->skip + 1 == in.size && in.data[scan->skip] == '\r'))
			return 0;
		scan->begun = true;
		scan->at = scan->skip;
	}
	size_t line = scan->at;
	while (line < in.size) {
		const uint8_t *lf = memchr(in.data + line, '\n', in.size - line);
		size_t size = lf ? (size_t)(lf - in.data) - line : in.size - line;
		if (scan->lines == 0 && size > HTTP_LINE_MAX)
			return 414;
		if (scan->lines && line + size - scan->headers > HTTP_HEADER_BYTES_MAX)
			return 431;
		if (!lf)
			break;
		if (size == 0 || lf[-1] != '\r')
			return 400;
		line += size + 1;
		scan->at = line;
		if (size == 1) {
			*ret_size = line - scan->skip;
			return 0;
		}
		if (scan->lines++ == 0)
			scan->headers = line;
		if (scan->lines > HTTP_HEADERS_MAX + 1)
			return 431;
	}
	return 0;
}

/* ---- a head ---- */

static int bad(struct http__head *head, int status, const char *why)
{
	head->why = why;
	return status;
}

static enum http_method method_of(const uint8_t *p, size_t size)
{
	switch (size) {
	case 3: return memcmp(p, "GET", 3) == 0 ? HTTP_GET : memcmp(p, "PUT", 3) == 0 ? HTTP_PUT : 0;
	case 4: return memcmp(p, "POST", 4) == 0 ? HTTP_POST : memcmp(p, "HEAD", 4) == 0 ? HTTP_HEAD : 0;
	case 5: return memcmp(p, "PATCH", 5) == 0 ? HTTP_PATCH : 0;
	case 6: return memcmp(p, "DELETE", 6) == 0 ? HTTP_DELETE : 0;
	case 7: return memcmp(p, "OPTIONS", 7) == 0 ? HTTP_OPTIONS : 0;
	default: return 0;
	}
}

int http__take_method(struct http__head *head, struct bytes method)
{
	head->method = method_of(method.data, method.size);
	return head->method ? 0 : bad(head, 501, "the method is not known here");
}

static int parse_version(const uint8_t *p, const uint8_t *end, struct http__head *head)
{
	if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0 || !(kinds[p[5]] & DIGIT) || p[6] != '.' || !(kinds[p[7]] & DIGIT))
		return bad(head, 400, "the request line must end in HTTP/1.1");
	if (p[5] != '1')
		return bad(head, 505, "a request line is of HTTP/1.1 or HTTP/1.0; HTTP/2 begins with its preface");
	head->minor = p[7] == '0' ? 0 : 1;
	return 0;
}

/* A path, or "*" (RFC 9113 8.3.1). */
int http__take_target(struct http__head *head, struct bytes target)
{
	if (target.size == 0)
		return bad(head, 400, "the request has no target");
	for (size_t i = 0; i < target.size; i++)
		if (!(kinds[target.data[i]] & TARGET))
			return bad(head, 400, "the target has a byte that must be percent-encoded");
	head->target = target;
	if (*target.data == '/' || (target.size == 1 && *target.data == '*' && head->method == HTTP_OPTIONS))
		return 0;
	return bad(head, 400, "the target must begin with /");
}

/* RFC 9112 3.2: these, or "http://host/path" as to a proxy, whose host then counts. */
static int parse_target(const uint8_t *p, const uint8_t *end, struct http__head *head)
{
	int status = http__take_target(head, bytes_of(p, (size_t)(end - p)));
	if (!status || !head->target.data)
		return status;
	size_t scheme = end - p > 7 && http__same(bytes_of(p, 7), "http://")    ? 7
			: end - p > 8 && http__same(bytes_of(p, 8), "https://") ? 8
										: 0;
	if (!scheme)
		return status;
	head->why = NULL;
	const uint8_t *host = p + scheme, *c = host;
	while (c < end && *c != '/' && *c != '?')
		c++;
	if (c == host || memchr(host, '@', (size_t)(c - host)))
		return bad(head, 400, "the target's host is empty or has a user in it");
	head->host = bytes_of(host, (size_t)(c - host));
	head->target = c < end ? bytes_of(c, (size_t)(end - c)) : BYTES("/");
	if (*head->target.data == '?')
		return bad(head, 400, "the target must have a path");
	return 0;
}

static int parse_request_line(const uint8_t *p, const uint8_t *end, struct http__head *head)
{
	const uint8_t *method = p;
	while (p < end && (kinds[*p] & TOKEN))
		p++;
	if (p == method || p == end || *p != ' ')
		return bad(head, 400, "the request line must be METHOD target HTTP/1.1");
	int unknown = http__take_method(head, bytes_of(method, (size_t)(p - method)));
	const uint8_t *target = ++p;
	p = memchr(p, ' ', (size_t)(end - p));
	if (!p)
		return bad(head, 400, "the request line must be METHOD target HTTP/1.1");
	int status = parse_version(p + 1, end, head);
	if (status)
		return status;
	/* An unknown method is told apart from a broken line, but only when the line is whole. */
	if (unknown)
		return unknown;
	return parse_target(target, p, head);
}

static int set_length(struct http__head *head, struct bytes value)
{
	if (head->flags & HEAD_LENGTH)
		return bad(head, 400, "Content-Length is given twice");
	head->flags |= HEAD_LENGTH;
	if (value.size == 0 || value.size > 19)
		return bad(head, 400, "Content-Length must be a number");
	for (size_t i = 0; i < value.size; i++) {
		if (!(kinds[value.data[i]] & DIGIT))
			return bad(head, 400, "Content-Length must be a number");
		head->length = head->length * 10 + (uint64_t)(value.data[i] - '0');
	}
	return 0;
}

static int set_transfer_encoding(struct http__head *head, struct bytes value)
{
	if (head->flags & HEAD_CHUNKED)
		return bad(head, 400, "Transfer-Encoding is given twice");
	if (head->minor == 0)
		return bad(head, 400, "HTTP/1.0 has no Transfer-Encoding");
	struct bytes list = value, coding, more;
	if (http__same(value, "chunked")) {
		head->flags |= HEAD_CHUNKED;
		return 0;
	}
	if (!http__list_next(&list, &coding))
		return bad(head, 400, "Transfer-Encoding is empty");
	if (!http__same(coding, "chunked"))
		return bad(head, 501, "the only Transfer-Encoding is chunked");
	return bad(head, 400,
		   http__list_next(&list, &more) ? "chunked must be the last Transfer-Encoding"
						 : "Transfer-Encoding must be chunked and nothing else");
}

static int set_once(struct http__head *head, bool *has, struct bytes *to, struct bytes value, const char *why)
{
	if (*has)
		return bad(head, 400, why);
	*has = true;
	*to = value;
	return 0;
}

static void set_connection(struct http__head *head, struct bytes value)
{
	struct bytes option;
	while (http__list_next(&value, &option)) {
		if (http__same(option, "close"))
			head->flags |= HEAD_CLOSE;
		else if (http__same(option, "keep-alive"))
			head->flags |= HEAD_KEEP_ALIVE;
	}
}

static void set_content_encoding(struct http__head *head, struct bytes value)
{
	struct bytes coding;
	while (http__list_next(&value, &coding)) {
		if (http__same(coding, "identity"))
			continue;
		unsigned which = http__same(coding, "gzip") || http__same(coding, "x-gzip") ? HEAD_GZIP
				 : http__same(coding, "zstd")                               ? HEAD_ZSTD
											    : HEAD_CODING_UNKNOWN;
		/* One coding is undone, not one in another. */
		head->flags |= head->flags & (HEAD_GZIP | HEAD_ZSTD) ? HEAD_CODING_UNKNOWN : which;
	}
}

static bool named(const struct http_header *h, const char *name)
{
	return memcmp(h->name.data, name, h->name.size) == 0;
}

/* What the server itself must know of a header. */
int http__take_header(struct http__head *head, const struct http_header *h, struct bytes *host)
{
	switch (h->name.size) {
	case 4:
		if (named(h, "host"))
			return set_once(head, &head->has_host, host, h->value, "Host is given twice");
		break;
	case 6:
		if (named(h, "origin"))
			return set_once(head, &head->has_origin, &head->origin, h->value, "Origin is given twice");
		if (named(h, "expect")) {
			if (!http__same(h->value, "100-continue"))
				return bad(head, 417, "the only expectation is 100-continue");
			head->flags |= HEAD_CONTINUE;
		}
		break;
	case 10:
		if (named(h, "connection"))
			set_connection(head, h->value);
		break;
	case 12:
		if (named(h, "content-type"))
			return set_once(head, &head->has_content_type, &head->content_type, h->value, "Content-Type is given twice");
		break;
	case 13:
		if (named(h, "authorization")) {
			if (head->flags & HEAD_AUTHORIZATION)
				return bad(head, 400, "Authorization is given twice");
			head->flags |= HEAD_AUTHORIZATION;
		}
		break;
	case 14:
		if (named(h, "content-length"))
			return set_length(head, h->value);
		break;
	case 16:
		if (named(h, "content-encoding"))
			set_content_encoding(head, h->value);
		break;
	case 17:
		if (named(h, "transfer-encoding"))
			return set_transfer_encoding(head, h->value);
		break;
	default: break;
	}
	return 0;
}

/* One line up to its CR. */
static int parse_header(uint8_t *p, uint8_t *end, struct http_header *h, struct http__head *head)
{
	uint8_t *name = p;
	while (p < end && (kinds[*p] & TOKEN)) {
		*p = lower(*p);
		p++;
	}
	if (p == name && (*p == ' ' || *p == '\t'))
		return bad(head, 400, "a header must not be folded over lines");
	if (p == name || p == end || *p != ':')
		return bad(head, 400, "a header must be Name: value");
	h->name = bytes_of(name, (size_t)(p - name));
	uint8_t *value = ++p;
	for (; p < end; p++)
		if (!(kinds[*p] & VALUE))
			return bad(head, 400, "a header has a control character in it");
	h->value = trim(bytes_of(value, (size_t)(end - value)));
	return 0;
}

#define HOST_MAX (ADDRESS_HOST_MAX + 8) /* in brackets, with a port */

int http__take_end(struct http__head *head, struct bytes host)
{
	if ((head->flags & HEAD_CHUNKED) && (head->flags & HEAD_LENGTH))
		return bad(head, 400, "Content-Length and Transfer-Encoding exclude each other");
	if (!head->has_host)
		return bad(head, 400, "Host is missing");
	if (host.size > HOST_MAX)
		return bad(head, 400, "Host is longer than a host's name may be");
	for (size_t i = 0; i < host.size; i++)
		if (!(kinds[host.data[i]] & TARGET) || strchr("/?@\\\"<>^`{|},", host.data[i]))
			return bad(head, 400, "Host is not a host");
	if (!head->host.data)
		head->host = host;
	return 0;
}

int http__parse_head(uint8_t *data, size_t size, struct http_header *headers, struct http__head *ret_head)
{
	struct http__head *head = ret_head;
	*head = (struct http__head){0};
	uint8_t *p = data, *end = data + size - 2; /* without the empty line */
	uint8_t *lf = memchr(p, '\n', size);
	int status = parse_request_line(p, lf - 1, head);
	struct bytes host = {0};
	for (p = lf + 1; p < end && !status; p = lf + 1) {
		lf = memchr(p, '\n', (size_t)(data + size - p));
		struct http_header *h = &headers[head->header_count++];
		status = parse_header(p, lf - 1, h, head);
		if (!status)
			status = http__take_header(head, h, &host);
	}
	return status ? status : http__take_end(head, host);
}

/* ---- chunked bodies ---- */

enum {
	AT_SIZE,
	AT_EXTENSION,
	AT_SIZE_LF,
	AT_DATA,
	AT_DATA_CR,
	AT_DATA_LF,
	AT_LINE,
	AT_TRAILER_NAME,
	AT_TRAILER,
	AT_TRAILER_LF,
	AT_LAST_LF,
	AT_END
};
#define SIZE_DIGITS_MAX 8 /* 4 GiB: far above any body's bound */
#define CHUNK_EXTENSION_MAX 256
#define TRAILER_BYTES_MAX 8192

/* One byte of what lies between the data. Returns false if it has no place there. */
static bool step(struct http__chunks *c, uint8_t byte)
{
	switch (c->at) {
	case AT_SIZE:
		if (kinds[byte] & HEX) {
			c->left = c->left << 4 | (uint64_t)hex_value(byte);
			return ++c->digits <= SIZE_DIGITS_MAX;
		}
		/* Blanks before an extension, which RFC 9112 tolerates, neither Node nor Go take. */
		c->line = 0;
		c->at = byte == '\r' ? AT_SIZE_LF : AT_EXTENSION;
		return c->digits && (byte == '\r' || byte == ';');
	case AT_EXTENSION:
		if (byte == '\r')
			c->at = AT_SIZE_LF;
		return (byte == '\r' || (kinds[byte] & VALUE)) && ++c->line <= CHUNK_EXTENSION_MAX;
	case AT_SIZE_LF: c->at = c->left ? AT_DATA : AT_LINE; return byte == '\n';
	case AT_DATA_CR: c->at = AT_DATA_LF; return byte == '\r';
	case AT_DATA_LF:
		c->at = AT_SIZE;
		c->digits = 0;
		return byte == '\n';
	case AT_LINE: /* the begin of a trailer line or of the last, empty one */
		c->at = byte == '\r' ? AT_LAST_LF : AT_TRAILER_NAME;
		return byte == '\r' || ((kinds[byte] & TOKEN) && ++c->trailer <= TRAILER_BYTES_MAX);
	case AT_TRAILER_NAME:
		if (byte == ':')
			c->at = AT_TRAILER;
		return (byte == ':' || (kinds[byte] & TOKEN)) && ++c->trailer <= TRAILER_BYTES_MAX;
	case AT_TRAILER:
		if (byte == '\r')
			c->at = AT_TRAILER_LF;
		return (byte == '\r' || (kinds[byte] & VALUE)) && ++c->trailer <= TRAILER_BYTES_MAX;
	case AT_TRAILER_LF: c->at = AT_LINE; return byte == '\n';
	case AT_LAST_LF: c->at = AT_END; return byte == '\n';
	default: return false;
	}
}

enum http__chunk http__chunks_next(struct http__chunks *c, struct bytes in, size_t *ret_used, struct bytes *ret_data)
{
	size_t i = 0;
	*ret_data = (struct bytes){0};
	while (i < in.size && c->at != AT_DATA && c->at != AT_END)
		if (!step(c, in.data[i++])) {
			*ret_used = i;
			return CHUNK_BAD;
		}
	if (c->at == AT_DATA && i < in.size) {
		size_t n = in.size - i < c->left ? in.size - i : (size_t)c->left;
		*ret_data = bytes_of(in.data + i, n);
		i += n;
		c->left -= n;
		if (!c->left)
			c->at = AT_DATA_CR;
		*ret_used = i;
		return CHUNK_DATA;
	}
	*ret_used = i;
	return c->at == AT_END ? CHUNK_END : CHUNK_MORE;
}
