/* CORS: which pages of other origins may send requests, and what their browsers are told (the Fetch standard, "CORS protocol";
 * RFC 6454 for what an origin is).
 *
 * A browser asks first (a preflight: OPTIONS with Access-Control-Request-Method) and never shows credentials then, so that question is
 * answered before a login, and only where a route of this kind is: elsewhere a preflight is a request as any other. The answer
 * depends on who asks, so caches are told so (Vary), unless it is * for all. */
#include "base/address.h"
#include "net/http_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct http_cors {
	bool any, credentials;
	uint32_t count;
	char *origins[HTTP_CORS_ORIGINS_MAX];
	char *headers;
	char max_age[12];
};

void http_cors_free(struct http_cors *cors)
{
	if (!cors)
		return;
	for (uint32_t i = 0; i < cors->count; i++)
		free(cors->origins[i]);
	free(cors->headers);
	free(cors);
}

/* ---- what is configured ---- */

static enum sm_err no_origin(const char *word, const char *why, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_INVALID, "origins: \"%s\" %s: give SCHEME://HOST or SCHEME://HOST:PORT, as https://app.example", word,
		       why);
}

/* In lower case, as browsers send it; what they never send is refused, since it would allow nothing. */
static enum sm_err check_origin(const char *word, struct sm_error *reterr)
{
	char host[ADDRESS_HOST_MAX + 1];
	uint16_t port = 0;
	if (strcmp(word, "null") == 0)
		return no_origin(word, "is what pages without an origin send, whoever made them", reterr);
	const char *at = strstr(word, "://");
	if (!at || at == word || !isalpha((unsigned char)*word))
		return no_origin(word, "has no scheme", reterr);
	for (const char *c = word; c < at; c++)
		if (!isalnum((unsigned char)*c) && !strchr("+-.", *c))
			return no_origin(word, "has no sound scheme", reterr);
	at += 3;
	if (strpbrk(at, "/?#"))
		return no_origin(word, "has a path, which no origin has (not even a last /)", reterr);
	if (strchr(at, '*'))
		return no_origin(word, "has a *, which stands for all origins or not at all", reterr);
	bool http = strncmp(word, "http://", 7) == 0, https = strncmp(word, "https://", 8) == 0;
	for (const char *c = at; *c; c++)
		if ((unsigned char)*c >= 0x80)
			return no_origin(word, "has a host that is not ASCII, while browsers send xn--", reterr);
	if (!address_point(at, strlen(at), 1, host, &port))
		return no_origin(word, "has no sound host and port", reterr);
	const char *own = http ? ":80" : https ? ":443" : NULL;
	size_t size = strlen(at), tail = own ? strlen(own) : 0;
	if (own && size > tail && strcmp(at + size - tail, own) == 0)
		return no_origin(word, "has its scheme's own port, which browsers leave out", reterr);
	return SM_OK;
}

static enum sm_err take_origins(struct http_cors *cors, const char *text, struct sm_error *reterr)
{
	struct bytes list = bytes_str(text);
	while (list.size) {
		size_t size = 0;
		while (size < list.size && !strchr(" \t,", list.data[size]))
			size++;
		if (size) {
			if (cors->count == HTTP_CORS_ORIGINS_MAX)
				return sm_fail(reterr, SM_TOO_LARGE, "origins: more than %d", HTTP_CORS_ORIGINS_MAX);
			char *word = strndup((const char *)list.data, size);
			if (!word)
				return sm_fail(reterr, SM_NO_MEMORY, "origins: no memory");
			for (char *c = word; *c; c++)
				*c = (char)tolower((unsigned char)*c);
			cors->origins[cors->count++] = word;
			cors->any |= strcmp(word, "*") == 0;
			enum sm_err err = strcmp(word, "*") == 0 ? SM_OK : check_origin(word, reterr);
			if (err)
				return err;
		}
		size += size < list.size;
		list = bytes_of(list.data + size, list.size - size);
	}
	if (!cors->count)
		return sm_fail(reterr, SM_INVALID, "origins: names none: give SCHEME://HOST, as https://app.example, or *");
	if (cors->any && cors->count > 1)
		return sm_fail(reterr, SM_INVALID, "origins: * stands alone: it allows the others too");
	return SM_OK;
}

static enum sm_err take_headers(struct http_cors *cors, const char *text, struct sm_error *reterr)
{
	struct bytes list = bytes_str(text), name;
	struct buf out;
	enum sm_err err = SM_OK;
	buf_init(&out);
	while (!err && http__list_next(&list, &name)) {
		if (!http__is_token(name) || bytes_equal(name, BYTES("*")))
			err = sm_fail(reterr, SM_INVALID, "headers: \"%.*s\" is no header's name: name each, with commas between them",
				      (int)(name.size < 100 ? name.size : 100), (const char *)name.data);
		buf_append_str(&out, buf_size(&out) ? ", " : "");
		buf_append_bytes(&out, name);
	}
	struct bytes all = buf_bytes(&out);
	if (!err && (out.failed || !(cors->headers = all.data ? strndup((const char *)all.data, all.size) : strdup(""))))
		err = sm_fail(reterr, SM_NO_MEMORY, "headers: no memory");
	buf_done(&out);
	return err;
}

enum sm_err http_cors_new(const struct http_cors_options *options, struct http_cors **ret_cors, struct sm_error *reterr)
{
	struct http_cors *cors = calloc(1, sizeof *cors);
	if (!cors)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for CORS");
	cors->credentials = options->credentials;
	snprintf(cors->max_age, sizeof cors->max_age, "%u", options->max_age_s);
	enum sm_err err = take_origins(cors, options->origins, reterr);
	if (!err)
		err = take_headers(cors, options->headers, reterr);
	if (!err && cors->any && cors->credentials)
		err = sm_fail(
			reterr, SM_INVALID,
			"origins: * and credentials: any page could send what its visitor may: name the origins, or leave credentials out");
	if (err)
		http_cors_free(cors);
	else
		*ret_cors = cors;
	return err;
}

/* ---- a request ---- */

static bool is_allowed(const struct http_cors *cors, struct bytes origin)
{
	for (uint32_t i = 0; i < cors->count && !cors->any; i++)
		if (bytes_equal(origin, bytes_str(cors->origins[i])))
			return true;
	return cors->any;
}

static void answer_preflight(struct http_request *request)
{
	http_reply(request, 204, NULL, (struct bytes){0});
}
const struct http_route http__preflight = {.methods = HTTP_OPTIONS, .pattern = "", .handle = answer_preflight, .media_types = ""};

static void tell(struct http__request *r, const struct http_cors *cors, const struct http__head *head, unsigned methods)
{
	char text[64];
	struct http_request *request = &r->public;
	const char *origin = cors->any ? "*" : arena_string(&r->arena, (const char *)head->origin.data, head->origin.size);
	if (!origin)
		return; /* without it the browser keeps the answer from the page */
	http_reply_header(request, "Access-Control-Allow-Origin", origin);
	if (cors->credentials)
		http_reply_header(request, "Access-Control-Allow-Credentials", "true");
	if (!r->preflight) {
		http_reply_header(request, "Access-Control-Expose-Headers", "Retry-After");
		return;
	}
	http__methods_text(methods, text);
	http_reply_header(request, "Access-Control-Allow-Methods", text);
	if (*cors->headers)
		http_reply_header(request, "Access-Control-Allow-Headers", cors->headers);
	http_reply_header(request, "Access-Control-Max-Age", cors->max_age);
}

void http__cors_vary(struct http__request *r)
{
	const struct http_cors *cors = r->conn->server->options.cors;
	if (cors && !cors->any)
		http_reply_header(&r->public, "Vary", "Origin");
}

void http__cors(struct http__request *r, const struct http__head *head)
{
	const struct http_cors *cors = r->conn->server->options.cors;
	const char *why;
	unsigned allowed;
	if (!cors || !head->has_origin || http__take_path(r, head, &why))
		return;
	enum http_method method = head->method;
	struct bytes asked = http_header(&r->public, "access-control-request-method");
	bool has_body = (head->flags & (HEAD_CHUNKED | HEAD_STREAM)) || ((head->flags & HEAD_LENGTH) && head->length);
	bool preflight = method == HTTP_OPTIONS && asked.size && !has_body;
	struct http__head of = {0};
	if (preflight) {
		if (http__take_method(&of, asked))
			return;
		method = of.method;
	}
	const struct http_route *route = http__routes_find(&r->conn->server->routes, method, r->public.path, r->public.params, &allowed);
	if (!route || !route->cors)
		return;
	r->preflight = preflight;
	r->cors = is_allowed(cors, head->origin);
	http__cors_vary(r);
	if (r->cors)
		tell(r, cors, head, route->methods);
}
