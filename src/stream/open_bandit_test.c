/* The example application on the real events: its SQL files over the week's events, compared with expected_daily.csv; duplicates, any cut.
 */
#include "stream/testing.h"
#include "base/compress.h"

#define DATA "examples/open-bandit/"

static char *read_text(const char *path)
{
	uint8_t *data;
	size_t size;
	struct sm_error error = {0};
	if (io_read_file(&io_system, path, 1 << 20, &data, &size, &error))
		fail_msg("%s", error.text);
	char *text = calloc(1, size + 1);
	memcpy(text, data, size);
	free(data);
	return text;
}

/* All lines of a day into the topic, in batches of a thousand. */
static void load_day(struct platform *p, int day)
{
	char path[100];
	uint8_t *data;
	size_t size, used;
	struct gunzip *g;
	struct buf text, out;
	struct sm_error error = {0};
	snprintf(path, sizeof path, DATA "2019/11/%d.gz", day);
	if (io_read_file(&io_system, path, 16 << 20, &data, &size, &error))
		fail_msg("%s", error.text);
	buf_init(&text);
	buf_init(&out);
	assert_int_equal(gunzip_new(&g), SM_OK);
	for (size_t at = 0; at < size; at += used)
		assert_int_equal(gunzip_feed(g, bytes_of(data + at, size - at), 64 << 20, &text, &used), SM_OK);
	gunzip_free(g);
	const char *line = (const char *)buf_bytes(&text).data, *end = line + buf_size(&text);
	for (int32_t partition = 0; line < end; partition = (partition + 1) % 6) {
		struct batch_builder b;
		int64_t offset;
		batch_begin(&b, &out, CODEC_NONE);
		for (int i = 0; i < 1000 && line < end; i++) {
			const char *stop = memchr(line, '\n', (size_t)(end - line));
			stop = stop ? stop : end;
			batch_add(&b,
				  &(struct record){
					  .timestamp_ms = 1574553617004, .key_null = true, .value = bytes_of(line, (size_t)(stop - line))},
				  NULL, 0);
			line = stop + 1;
		}
		assert_int_equal(batch_end(&b), SM_OK);
		assert_int_equal(log_append_wait(p->log, "raw_events", partition, out.data + out.start, buf_size(&out), &offset), SM_OK);
		buf_clear(&out);
	}
	buf_done(&text);
	buf_done(&out);
	free(data);
}

static void run_job(struct platform *p, uint32_t records)
{
	char *sql = read_text(DATA "daily.sql");
	struct stream_options o = {.name = "daily", .sql = sql, .dedup = "id", .env = &p->env, .batch_records_max = records};
	struct stream_batch_result r = {.more = true};
	struct stream_job *job;
	struct sm_error error = {0};
	if (stream_job_open(&o, &job, &error))
		fail_msg("%s", error.text);
	while (r.more)
		if (stream_job_batch(job, &r, &error))
			fail_msg("%s", error.text);
	assert_int_equal(r.dead_letters, 0);
	stream_job_close(job);
	free(sql);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* expected_daily.csv as the same lines that a query gives: by day, or summed. */
static void expected(bool by_day, char *out, size_t size)
{
	char *csv = read_text(DATA "expected_daily.csv"), *save, *lines[64];
	struct {
		char id[40];
		long long views, clicks;
	} sums[16] = {0};
	size_t n = 0, count = 0, at = 0;
	for (char *line = strtok_r(csv, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char id[40], text[200];
		int year, month, day;
		long long views, clicks;
		if (sscanf(line, "%36[^,],%d-%d-%d,%lld,%lld", id, &year, &month, &day, &views, &clicks) != 6)
			continue;
		snprintf(text, sizeof text, "%s %d %d %d %lld %lld \n", id + 24, year, month, day, views, clicks);
		if (by_day)
			lines[n++] = strdup(text);
		size_t i = 0;
		while (i < count && strcmp(sums[i].id, id) != 0)
			i++;
		if (i == count)
			strcpy(sums[count++].id, id);
		sums[i].views += views;
		sums[i].clicks += clicks;
	}
	for (size_t i = 0; i < count && !by_day; i++) {
		char text[200];
		snprintf(text, sizeof text, "%s %lld %lld \n", sums[i].id + 24, sums[i].views, sums[i].clicks);
		lines[n++] = strdup(text);
	}
	qsort(lines, n, sizeof *lines, compare_lines);
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(out + at, size - at, "%s", lines[i]);
		free(lines[i]);
	}
	free(csv);
}

static void compare(struct platform *p, const char *sql, bool by_day, const char *when)
{
	char got[8000], want[8000], *save, *lines[64];
	size_t n = 0, at = 0;
	char sorted[8000] = "";
	count_rows(p, sql, got, sizeof got);
	for (char *line = strtok_r(got, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		lines[n++] = line;
	qsort(lines, n, sizeof *lines, compare_lines);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(sorted + at, sizeof sorted - at, "%s\n", lines[i]);
	expected(by_day, want, sizeof want);
	if (strcmp(sorted, want) != 0)
		fail_msg("%s: got\n%swant\n%s", when, sorted, want);
}

static void report(struct platform *p, const char *path, const char *since)
{
	char *sql = read_text(path);
	struct sql_script *s;
	struct sm_error error = {0};
	uint64_t rows = 0;
	if (sql_parse(bytes_str(sql), &s, &error))
		fail_msg("%s: %s", path, error.text);
	assert_int_equal(sql_script_count(s), 1);
	if (since)
		assert_int_equal(sql_script_bind(s, "since", (struct value){.type = COLUMN_TEXT, .bytes = bytes_str(since)}), SM_OK);
	if (sql_run(&p->env, sql_script_at(s, 0), NULL, 0, NULL, NULL, &rows, &error))
		fail_msg("%s: %s", path, error.text);
	assert_int_equal(rows, 6);
	compare(p, "SELECT id, views, clicks FROM ads.campaign_report", false, since ? since : path);
	sql_script_free(s);
	free(sql);
}

static void the_week_gives_the_expected_totals(void **state)
{
	char *schema = read_text(DATA "schema.json");
	struct platform *p = platform_new(schema, 6);
	static const struct column_def campaign_report[] = {
		{"id", STORE_UUID, STORE_PARTITION_KEY}, {"clicks", STORE_BIGINT, STORE_REGULAR}, {"views", STORE_BIGINT, STORE_REGULAR}};
	make_table(p, "campaign_report", campaign_report, 3);
	for (int day = 24; day <= 30; day++)
		load_day(p, day);
	run_job(p, 20000);
	compare(p, "SELECT id, year, month, day, views, clicks FROM ads.campaign", true, "the week once");
	assert_int_equal(count_rows(p, "SELECT id FROM ads.event", NULL, 0), 60287);
	report(p, DATA "report.sql", NULL);
	for (int day = 23; day <= 31; day++) {
		char since[20];
		snprintf(since, sizeof since, day == 31 ? "2019-12-01" : "2019-11-%d", day);
		report(p, "examples/04-campaign-report.sql", since);
	}
	/* a day is sent again */
	load_day(p, 27);
	run_job(p, 0);
	compare(p, "SELECT id, year, month, day, views, clicks FROM ads.campaign", true, "a day twice");
	report(p, DATA "report.sql", NULL);
	platform_free(p);
	free(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_week_gives_the_expected_totals)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
