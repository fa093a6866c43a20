/* What it costs to check one event and take it apart.
 *
 *   base-event_scan_bench [SCHEMA NDJSON]   made-up events of several forms, or a file's lines, cut and checked as a request of many events
 * is */
#include "base/schema.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static struct bytes contents(const char *path)
{
	char *text = NULL;
	size_t room = 0;
	ssize_t size = -1;
	FILE *f = fopen(path, "r");
	if (!f || (size = getdelim(&text, &room, 0, f)) < 0) {
		perror(path);
		exit(1);
	}
	fclose(f);
	return bytes_of(text, (size_t)size);
}

static double cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* So many lines, or nothing. */
static struct bytes first_lines(struct bytes text, int count)
{
	const uint8_t *p = text.data, *end = p + text.size;
	while (count-- && (p = memchr(p, '\n', (size_t)(end - p))))
		p++;
	return bytes_of(text.data, p ? (size_t)(p - text.data) : 0);
}

/* Returns how many are bad. */
static uint64_t check_lines(struct bytes text, const struct schema *schema, struct event_value *values, struct arena *arena,
			    uint64_t *count)
{
	struct event_problems problems;
	uint64_t bad = 0;
	const uint8_t *p = text.data, *end = p + text.size, *lf;
	for (; (lf = memchr(p, '\n', (size_t)(end - p))); p = lf + 1, ++*count) {
		bad += event_scan(schema, bytes_of(p, (size_t)(lf - p)), values, arena, &problems) != SM_OK;
		if (arena->used)
			arena_reset(arena);
	}
	return bad;
}

/* One thread, for 2 s of its CPU at least. */
static int run_file(const char *schema_path, const char *path)
{
	struct schema *schema;
	struct sm_error error;
	struct arena arena;
	struct bytes document = contents(schema_path), all = contents(path);
	if (schema_compile(document, &schema, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	struct event_value *values = calloc(schema->field_count + 1, sizeof *values);
	arena_init(&arena, 0);
	uint64_t count = 0, bad = 0;
	double took = 0;
	uint8_t *body = malloc(all.size + 1);
	while (values && body && took < 2e9) {
		for (struct bytes rest = all, request; (request = first_lines(rest, 1000)).size;) {
			memcpy(body, request.data, request.size); /* so it comes from a socket */
			double since = cpu_ns();
			bad += check_lines(bytes_of(body, request.size), schema, values, &arena, &count);
			took += cpu_ns() - since;
			rest.data += request.size;
			rest.size -= request.size;
		}
	}
	printf("%-44s %9.1f ns%s\n", "a line of the file", took / (double)count, bad ? " (refused)" : "");
	arena_done(&arena);
	free(values);
	free(body);
	free((void *)document.data);
	free((void *)all.data);
	schema_free(schema);
	return bad > 0;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return run_file(argv[1], argv[2]);
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
