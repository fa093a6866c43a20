/* CloudEvents 1.0 over HTTP: structured (one, or a batch) and binary. What is stored is what the Kafka protocol binding calls binary
 * content mode: the data is the record's value, the attributes are its headers (ce_id, ce_source ...; datacontenttype as content-type),
 * an attribute partitionkey is the key where the topic's schema has none.
 * Sources: CloudEvents 1.0.2, its JSON format, its HTTP and Kafka protocol bindings. */
#include "base/percent.h"
#include "ingest/ingest_internal.h"
#include <strings.h>

struct attributes {
	struct record_header headers[INGEST_ATTRIBUTES_MAX];
	uint32_t count;
	bool id, source, type, version; /* the required ones */
	bool content_type;
	struct bytes key;
};

static bool is(struct bytes name, const char *want)
{
	return bytes_equal(name, bytes_str(want));
}

/* Lower-case letters and digits. */
static bool name_ok(struct bytes name)
{
	for (size_t i = 0; i < name.size; i++)
		if (!((name.data[i] >= 'a' && name.data[i] <= 'z') || (name.data[i] >= '0' && name.data[i] <= '9')))
			return false;
	return name.size > 0 && name.size <= 64;
}

/* The data is JSON: application/json, or a type that ends in +json. */
static bool is_json_type(struct bytes type)
{
	const uint8_t *end = type.size ? memchr(type.data, ';', type.size) : NULL;
	size_t size = end ? (size_t)(end - type.data) : type.size;
	while (size && type.data[size - 1] == ' ')
		size--;
	const char *bare = (const char *)type.data; /* in any case: RFC 9110, 8.3.1 */
	return (size == 16 && strncasecmp(bare, "application/json", 16) == 0) || (size == 9 && strncasecmp(bare, "text/json", 9) == 0) ||
	       (size > 5 && strncasecmp(bare + size - 5, "+json", 5) == 0);
}

/* What is wrong, or NULL. */
static const char *put(struct attributes *a, struct bytes name, struct bytes value, struct arena *arena)
{
	if (!name_ok(name))
		return "error.cloudevent.attribute";
	if (a->count == INGEST_ATTRIBUTES_MAX)
		return "error.cloudevent.attributes";
	if (is(name, "specversion") && !is(value, "1.0"))
		return "error.cloudevent.specversion";
	if (is(name, "datacontenttype") && !is_json_type(value))
		return "error.cloudevent.datacontenttype";
	for (uint32_t i = 0; i < a->count; i++)
		if (a->headers[i].key.size == name.size + 3 && memcmp(a->headers[i].key.data + 3, name.data, name.size) == 0)
			return "error.path.duplicate";
	if (is(name, "datacontenttype") && a->content_type)
		return "error.path.duplicate";
	a->content_type |= is(name, "datacontenttype");
	a->id |= is(name, "id") && value.size;
	a->source |= is(name, "source") && value.size;
	a->type |= is(name, "type") && value.size;
	a->version |= is(name, "specversion");
	if (is(name, "partitionkey"))
		a->key = value;
	struct bytes key = is(name, "datacontenttype") ? BYTES("content-type") : (struct bytes){0};
	if (!key.data) {
		char *text = arena_printf(arena, "ce_%.*s", (int)name.size, (const char *)name.data);
		if (!text)
			return "error.more";
		key = bytes_str(text);
	}
	a->headers[a->count++] = (struct record_header){.key = key, .value = value};
	return NULL;
}

static const char *missing(const struct attributes *a)
{
	return !a->version ? "specversion" : !a->id ? "id" : !a->source ? "source" : !a->type ? "type" : NULL;
}

/* Take it, or say what is wrong with it. prefix: of paths. */
static enum sm_err take(struct job *job, const struct attributes *a, struct bytes data, const char *prefix, uint32_t number)
{
	struct arena *arena = job->request->arena;
	const char *name = missing(a);
	if (!name && !data.size)
		name = "data";
	if (name) {
		const char *path = arena_printf(arena, "%s%s", is(bytes_str(name), "data") ? "obj." : prefix, name);
		if (!path)
			return arena_error(arena);
		ingest__wrong(job, path, "error.path.missing", number);
		return SM_OK;
	}
	struct line line = {.text = data, .header_count = a->count, .key = a->key, .has_key = a->key.data};
	if (!(line.headers = arena_copy(arena, a->headers, a->count * sizeof *a->headers)))
		return arena_error(arena);
	return ingest__check(job, &line, number);
}

static enum sm_err wrong_member(struct job *job, struct bytes name, const char *reason, uint32_t number)
{
	const char *path = arena_printf(job->request->arena, "obj.%.*s", (int)(name.size < 200 ? name.size : 200), (const char *)name.data);
	if (!path)
		return arena_error(job->request->arena);
	ingest__wrong(job, path, reason, number);
	return SM_OK;
}

/* An attribute is a string, a number or a boolean; null: as if it were not there. */
static enum sm_err attribute_text(struct bytes value, struct arena *arena, struct bytes *ret_text, const char **ret_reason)
{
	*ret_text = value;
	if (*value.data == '{' || *value.data == '[')
		*ret_reason = "error.expected.jsstring";
	return *value.data == '"' ? json_string_text(value, arena, ret_text) : SM_OK;
}

enum sm_err ingest__cloudevent(struct job *job, struct bytes text, uint32_t number)
{
	struct arena *arena = job->request->arena;
	struct attributes a = {0};
	struct json_walk walk;
	struct bytes name, value, data = {0};
	enum sm_err err = json_walk_begin(&walk, text, arena);
	if (!err && !walk.object)
		err = SM_SYNTAX;
	while (!err && !(err = json_walk_next(&walk, &name, &value))) {
		const char *reason = NULL;
		if (is(name, "data")) {
			reason = data.data ? "error.path.duplicate" : NULL;
			data = ingest__one_line(job->request, value);
		} else if (is(name, "data_base64")) {
			reason = "error.cloudevent.data_base64"; /* binary data is no event that a schema could be asked about */
		} else if (!is(value, "null")) {
			struct bytes as_text;
			if ((err = attribute_text(value, arena, &as_text, &reason)))
				break;
			if (!reason)
				reason = put(&a, name, as_text, arena);
		}
		if (reason)
			return wrong_member(job, name, reason, number);
	}
	if (err == SM_END)
		return take(job, &a, data, "obj.", number);
	if (err != SM_SYNTAX)
		return err;
	ingest__wrong(job, "obj", "error.invalid.json", number);
	return SM_OK;
}

enum sm_err ingest__cloudevents(struct job *job, struct bytes body)
{
	struct json_walk walk;
	struct bytes name, value;
	uint32_t number = 0;
	enum sm_err err = json_walk_begin(&walk, body, job->request->arena);
	if (!err && walk.object)
		err = SM_SYNTAX;
	while (!err && !(err = json_walk_next(&walk, &name, &value)))
		err = ingest__cloudevent(job, value, number++);
	if (err == SM_END)
		return SM_OK;
	if (err == SM_SYNTAX) {
		ingest__wrong(job, "obj", "error.invalid.json", number);
		job->skip = false;
		err = SM_OK;
	}
	return err;
}

/* HTTP binding, 3.1.3.2: UTF-8 percent-encoded. */
static bool decode(struct bytes in, struct arena *arena, struct bytes *ret)
{
	uint8_t *out = arena_alloc_raw(arena, in.size + 1, 1);
	size_t size;
	if (!out || !percent_decode(in, false, out, &size))
		return false;
	*ret = bytes_of(out, size);
	return bytes_are_utf8(*ret);
}

enum sm_err ingest__cloudevent_binary(struct job *job, struct bytes body)
{
	struct http_request *request = job->request;
	struct attributes a = {0};
	struct bytes value, type = http_header(request, "content-type");
	const char *reason = put(&a, BYTES("datacontenttype"), type, request->arena);
	struct bytes name = BYTES("datacontenttype");
	for (uint32_t i = 0; i < request->header_count && !reason; i++) {
		const struct http_header *h = &request->headers[i];
		if (h->name.size < 4 || memcmp(h->name.data, "ce-", 3) != 0)
			continue;
		name = bytes_of(h->name.data + 3, h->name.size - 3);
		reason = decode(h->value, request->arena, &value) ? put(&a, name, value, request->arena) : "error.cloudevent.encoding";
	}
	if (!reason)
		return take(job, &a, ingest__one_line(request, body), "ce-", 1);
	const char *path = arena_printf(request->arena, "ce-%.*s", (int)name.size, (const char *)name.data);
	if (!path)
		return arena_error(request->arena);
	ingest__wrong(job, path, reason, 1);
	return SM_OK;
}
