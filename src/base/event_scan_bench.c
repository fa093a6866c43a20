/* What it costs to check one event and take it apart. */
#include "base/schema.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void run(const char *what, const struct schema *schema, const char *text, int rounds)
{
	struct arena arena;
	struct event_value values[8];
	struct event_problems problems;
	arena_init(&arena, 0);
	uint64_t started = now_ns(), bad = 0;
	for (int i = 0; i < rounds; i++) {
		bad += event_scan(schema, bytes_str(text), values, &arena, &problems) != SM_OK;
		if (arena.used)
			arena_reset(&arena);
	}
	printf("%-44s %9.1f ns%s\n", what, (double)(now_ns() - started) / rounds, bad ? " (refused)" : "");
	arena_done(&arena);
}

int main(void)
{
	static const char schema_text[] =
		"{\"type\":\"object\",\"required\":[\"id\",\"ad_id\",\"campaign\",\"ts\",\"type\"],"
		"\"additionalProperties\":false,\"properties\":{"
		"\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"ad_id\":{\"type\":\"string\",\"format\":\"uuid\"},"
		"\"campaign\":{\"type\":\"string\",\"format\":\"uuid\"},\"ts\":{\"type\":\"integer\"},"
		"\"type\":{\"type\":\"string\",\"enum\":[\"view\",\"click\"]}}}";
#define U "c0ffee00-1234-4abc-8def-0123456789ab"
	struct schema *schema;
	struct sm_error error;
	if (schema_compile(BYTES(schema_text), &schema, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	run("an event, in the schema's order", schema,
	    "{\"id\":\"" U "\",\"ad_id\":\"" U "\",\"campaign\":\"" U "\",\"ts\":1574553617004,\"type\":\"view\"}", 10000000);
	run("an event, in another order, with spaces", schema,
	    "{ \"type\": \"view\", \"ts\": 1574553617004, \"campaign\": \"" U "\", \"ad_id\": \"" U "\", \"id\": \"" U "\" }", 5000000);
	run("an event with an escape", schema,
	    "{\"id\":\"" U "\",\"ad_id\":\"" U "\",\"campaign\":\"" U "\",\"ts\":1574553617004,\"type\":\"v\\u0069ew\"}", 5000000);
	run("a wrong one", schema, "{\"id\":\"" U "\",\"ad_id\":\"" U "\",\"campaign\":\"x\",\"ts\":\"1574553617004\",\"type\":\"view\"}",
	    5000000);
	schema_free(schema);
	static const char nested_text[] =
		"{\"type\":\"object\",\"properties\":{\"user\":{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\"},"
		"\"name\":{\"type\":\"string\"}}},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}";
	if (schema_compile(BYTES(nested_text), &schema, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	run("an object of two and an array of three", schema,
	    "{\"user\":{\"id\":12345,\"name\":\"somebody\"},\"tags\":[\"a\",\"b\",\"c\"]}", 5000000);
	schema_free(schema);
	return 0;
}
