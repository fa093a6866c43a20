/* Any bytes as an event; the scanner and jansson must agree on what is JSON wherever their rules are the same. */
#include "base/json.h"
#include "base/schema.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct schema *compiled(bool additional)
{
	struct schema *schema;
	struct buf text;
	buf_init(&text);
	buf_printf(&text, "{\"type\":\"object\",\"additionalProperties\":%s,\"properties\":{", additional ? "true" : "false");
	buf_append_str(
		&text,
		"\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"ts\":{\"type\":\"integer\",\"minimum\":-5},"
		"\"type\":{\"type\":\"string\",\"enum\":[\"view\",\"click\"]},\"at\":{\"type\":\"string\",\"format\":\"date-time\"},"
		"\"cost\":{\"type\":\"number\"},\"ok\":{\"type\":\"boolean\"},\"note\":{\"type\":\"string\"},"
		"\"a_longer_name\":{\"type\":[\"string\",\"null\"],\"maxLength\":3},"
		"\"in\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"number\",\"exclusiveMinimum\":0}},\"required\":[\"n\"]},"
		"\"l\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
		"\"properties\":{\"s\":{\"type\":\"string\"}}}}},\"any\":{\"type\":\"array\"}},\"required\":[\"id\"]}");
	if (schema_compile(buf_bytes(&text), &schema, NULL))
		abort();
	buf_done(&text);
	return schema;
}

static bool is_syntax(const struct event_problems *p)
{
	return p->count && strcmp(p->items[0].reason, "error.invalid.json") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct schema *strict, *loose;
	if (!strict) {
		strict = compiled(false);
		loose = compiled(true);
	}
	struct arena arena;
	struct event_value values[16];
	struct event_problems a, b;
	struct buf out;
	arena_init(&arena, 0);
	buf_init(&out);
	enum sm_err first = event_scan(strict, bytes_of(data, size), values, &arena, &a);
	enum sm_err second = event_scan(loose, bytes_of(data, size), NULL, &arena, &b);
	if ((first == SM_OK && second != SM_OK) || (second == SM_OK) != (b.count == 0))
		abort();
	event_problems_json(&a, &out);
	json_t *json = NULL;
	if (json_parse(buf_bytes(&out), &json, NULL))
		abort();
	json_decref(json);
	json = NULL;
	if (is_syntax(&a) != is_syntax(&b))
		abort();
	/* What we take as JSON jansson takes too, but for doubled names, zero bytes in names and numbers beyond its range. */
	if (!first && json_parse(bytes_of(data, size), &json, NULL) == SM_OK && !json_is_object(json))
		abort();
	json_decref(json);
	buf_done(&out);
	arena_done(&arena);
	return 0;
}
