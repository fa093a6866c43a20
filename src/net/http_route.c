/* Routes: patterns of literal segments, {names} and a final star; the most exact that knows the method wins. */
#include "net/http_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define PARAMS_MAX 4

/* Literal before {name} before star, from left to right. */
static int compare_patterns(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		int class_a = *a == '*' ? 2 : *a == '{' ? 1 : 0, class_b = *b == '*' ? 2 : *b == '{' ? 1 : 0;
		if (class_a != class_b)
			return class_a - class_b;
		if (class_a == 1) {
			a = strchr(a, '}');
			b = strchr(b, '}');
		} else if (*a != *b) {
			return (uint8_t)*a < (uint8_t)*b ? -1 : 1;
		}
	}
	/* The longer one says more; both are never the same path unless a star ends one. */
	return (*a == 0) - (*b == 0);
}

static bool pattern_ok(const char *pattern)
{
	uint32_t params = 0;
	if (*pattern != '/')
		return false;
	for (const char *p = pattern; *p; p++) {
		if (*p == '}')
			return false;
		if (*p == '*') {
			if (p[1] || p[-1] != '/')
				return false;
			params++;
		} else if (*p == '{') {
			const char *end = strchr(p, '}');
			if (p[-1] != '/' || !end || end == p + 1 || memchr(p + 1, '{', (size_t)(end - p - 1)) ||
			    memchr(p + 1, '/', (size_t)(end - p - 1)) || (end[1] && end[1] != '/'))
				return false;
			params++;
			p = end;
		}
	}
	return params <= PARAMS_MAX;
}

enum sm_err http__routes_add(struct http__routes *routes, const struct http_route *route)
{
	if (!route->methods || !route->handle || !pattern_ok(route->pattern))
		return SM_INVALID;
	uint32_t at = 0;
	for (uint32_t i = 0; i < routes->count; i++) {
		int order = compare_patterns(routes->items[i].pattern, route->pattern);
		if (order == 0 && (routes->items[i].public.methods & route->methods))
			return SM_EXISTS;
		if (order <= 0)
			at = i + 1;
	}
	if (routes->count == routes->cap) {
		uint32_t cap = routes->cap ? routes->cap * 2 : 16;
		struct http__route *items = realloc(routes->items, cap * sizeof *items);
		if (!items)
			return SM_NO_MEMORY;
		routes->items = items;
		routes->cap = cap;
	}
	struct http__route r = {.public = *route, .pattern = strdup(route->pattern)};
	r.media_types = strdup(route->media_types ? route->media_types : "application/json");
	if (!r.pattern || !r.media_types) {
		free(r.pattern);
		free(r.media_types);
		return SM_NO_MEMORY;
	}
	r.public.pattern = r.pattern;
	r.public.media_types = r.media_types;
	r.prefix = strcspn(r.pattern, "{*");
	memmove(routes->items + at + 1, routes->items + at, (routes->count - at) * sizeof r);
	routes->items[at] = r;
	routes->count++;
	return SM_OK;
}

void http__routes_done(struct http__routes *routes)
{
	for (uint32_t i = 0; i < routes->count; i++) {
		free(routes->items[i].pattern);
		free(routes->items[i].media_types);
	}
	free(routes->items);
	*routes = (struct http__routes){0};
}

/* From the first { or * of the pattern on. A name matches one segment that is not empty. */
static bool matches(const char *pattern, struct bytes path, struct bytes params[PARAMS_MAX])
{
	uint32_t n = 0;
	const uint8_t *p = path.data, *end = path.data + path.size;
	while (*pattern) {
		if (*pattern == '*') {
			params[n] = bytes_of(p, (size_t)(end - p));
			return true;
		}
		if (*pattern == '{') {
			const uint8_t *slash = memchr(p, '/', (size_t)(end - p));
			const uint8_t *stop = slash ? slash : end;
			if (stop == p)
				return false;
			params[n++] = bytes_of(p, (size_t)(stop - p));
			p = stop;
			pattern = strchr(pattern, '}') + 1;
			continue;
		}
		if (p == end || *p != (uint8_t)*pattern)
			return false;
		p++;
		pattern++;
	}
	return p == end;
}

const struct http_route *http__routes_find(const struct http__routes *routes, enum http_method method, struct bytes path,
					   struct bytes params[4], unsigned *ret_allowed)
{
	unsigned want = method == HTTP_HEAD ? HTTP_HEAD | HTTP_GET : method;
	*ret_allowed = 0;
	for (uint32_t i = 0; i < routes->count; i++) {
		const struct http__route *r = &routes->items[i];
		if (path.size < r->prefix || memcmp(path.data, r->pattern, r->prefix) != 0)
			continue;
		struct bytes found[PARAMS_MAX] = {0};
		if (!matches(r->pattern + r->prefix, bytes_of(path.data + r->prefix, path.size - r->prefix), found))
			continue;
		if (r->public.methods & want) {
			memcpy(params, found, sizeof found);
			return &r->public;
		}
		*ret_allowed |= r->public.methods;
	}
	if (*ret_allowed & HTTP_GET)
		*ret_allowed |= HTTP_HEAD;
	return NULL;
}

void http__methods_text(unsigned methods, char *out)
{
	static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
	size_t n = 0;
	*out = 0;
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (methods & (1u << i))
			n += (size_t)snprintf(out + n, 64 - n, "%s%s", n ? ", " : "", names[i]);
}
