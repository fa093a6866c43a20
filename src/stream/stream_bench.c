/* Events a second through the example's two statements, with deduplication: a day's worth of batches of fresh events. */
#include "stream/testing.h"

static const char schema_text[] =
	"{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"ad_id\":{\"type\":\"string\",\"format\":"
	"\"uuid\"},"
	"\"campaign\":{\"type\":\"string\",\"format\":\"uuid\"},\"ts\":{\"type\":\"integer\"},\"type\":{\"type\":\"string\"}},"
	"\"required\":[\"id\",\"ad_id\",\"campaign\",\"ts\",\"type\"]}";
static const char sql[] = "INSERT INTO ads.event SELECT id, ad_id, campaign, ts, type FROM raw_events;"
			  "INSERT INTO ads.campaign SELECT campaign AS id, year(ts) AS year, month(ts) AS month, day(ts) AS day, "
			  "count_if(type = 'view') AS views,"
			  " count_if(type = 'click') AS clicks FROM raw_events GROUP BY campaign, year(ts), month(ts), day(ts);";

static void fill(struct platform *p, unsigned from, unsigned count)
{
	struct buf out;
	buf_init(&out);
	for (unsigned n = from; n < from + count;) {
		struct batch_builder b;
		int64_t offset;
		batch_begin(&b, &out, CODEC_NONE);
		for (unsigned i = 0; i < 1000 && n < from + count; i++, n++) {
			char text[300];
			int size = snprintf(text, sizeof text,
					    "{\"id\":\"00000000-0000-4000-8000-%012u\",\"ad_id\":\"30000000-0000-4000-8000-%012u\","
					    "\"campaign\":\"10000000-0000-4000-8000-%012u\",\"ts\":%lld,\"type\":\"%s\"}",
					    n, n % 160, n % 6, 1574553617004ll + (long long)(n % 7) * 86400000, n % 200 ? "view" : "click");
			batch_add(&b,
				  &(struct record){.timestamp_ms = 1574553617004, .key_null = true, .value = bytes_of(text, (size_t)size)},
				  NULL, 0);
		}
		assert_int_equal(batch_end(&b), SM_OK);
		assert_int_equal(
			log_append_wait(p->log, "raw_events", (int32_t)(n / 1000 % 6), out.data + out.start, buf_size(&out), &offset),
			SM_OK);
		buf_clear(&out);
	}
	buf_done(&out);
}

int main(void)
{
	struct platform *p = platform_new(schema_text, 6);
	struct stream_options o = {.name = "daily", .sql = sql, .dedup = "id", .env = &p->env};
	struct stream_job *job;
	struct sm_error error = {0};
	if (stream_job_open(&o, &job, &error))
		fail_msg("%s", error.text);
	for (unsigned round = 0; round < 4; round++) {
		struct stream_batch_result r;
		fill(p, round * 50000, 50000);
		uint64_t start = clock_monotonic_ns(&clock_system);
		double cpu = (double)clock() / CLOCKS_PER_SEC;
		if (stream_job_batch(job, &r, &error))
			fail_msg("%s", error.text);
		double seconds = (double)(clock_monotonic_ns(&clock_system) - start) / 1e9;
		printf("%6llu events in %.3f s: %.0f a second, %.2f CPU seconds a million\n", (unsigned long long)r.records, seconds,
		       (double)r.records / seconds, ((double)clock() / CLOCKS_PER_SEC - cpu) * 1e6 / (double)r.records);
	}
	stream_job_close(job);
	platform_free(p);
	return 0;
}
