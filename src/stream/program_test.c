/* <smack/stream.h>: micro-batches of a program, exactly once. */
#include "stream/testing.h"
#include <smack/stream.h>

/* Values are "campaign event": one more view of the campaign, unless the event was seen before. */
static enum sm_err read_views(void *arg, const struct sm_row *row)
{
	*(int64_t *)arg = sm_get_integer(row, "views");
	return SM_OK;
}

struct counter {
	struct sm_store *store;
	int64_t added[CAMPAIGNS]; /* within the present micro-batch */
	enum sm_err fail_with;
	uint32_t largest;
};

static struct sm_uuid campaign_uuid(int campaign)
{
	return (struct sm_uuid){{0x10, [15] = (uint8_t)campaign}};
}

static enum sm_err save_total(struct sm_micro_batch *batch, struct counter *c, int campaign)
{
	struct sm_uuid id = campaign_uuid(campaign);
	struct sm_value key[] = {sm_uuid(&id), sm_integer(2019), sm_integer(11), sm_integer(24)};
	struct sm_error error = {0};
	int64_t views = 0;
	enum sm_err err = sm_store_get(c->store, "ads.campaign", key, 4, read_views, &views, &error);
	if (err)
		return sm_micro_batch_fail(batch, err, "%s", error.text);
	struct sm_column_value row[] = {
		{"id", key[0]}, {"year", key[1]}, {"month", key[2]}, {"day", key[3]}, {"views", sm_integer(views + c->added[campaign])}};
	return sm_micro_batch_put(batch, "ads.campaign", row, 5);
}

static enum sm_err count_views(struct sm_micro_batch *batch, void *arg)
{
	struct counter *c = arg;
	uint32_t size = sm_micro_batch_size(batch);
	enum sm_err err = SM_OK;
	memset(c->added, 0, sizeof c->added);
	c->largest = size > c->largest ? size : c->largest;
	for (uint32_t i = 0; i < size; i++) {
		const struct sm_record *r = sm_micro_batch_record(batch, i);
		char text[64];
		int campaign, event;
		snprintf(text, sizeof text, "%.*s", (int)r->value.size, (const char *)r->value.data);
		if (sscanf(text, "%d %d", &campaign, &event) != 2 || campaign >= CAMPAIGNS) {
			sm_micro_batch_reject(batch, i, "no view");
			continue;
		}
		if (sm_micro_batch_claim(batch, i, (struct sm_bytes){&event, sizeof event}))
			c->added[campaign]++;
	}
	for (int i = 0; i < CAMPAIGNS && !err; i++)
		if (c->added[i])
			err = save_total(batch, c, i);
	return c->fail_with ? c->fail_with : err;
}

static void feed_views(struct platform *p, int from, int to, unsigned *seed)
{
	char text[40];
	for (int i = from; i < to; i++) {
		snprintf(text, sizeof text, "%d %d", i % CAMPAIGNS, i);
		append(p, rand_r(seed) % PARTITIONS, text);
		if (rand_r(seed) % 3 == 0) {
			int again = rand_r(seed) % (i + 1);
			snprintf(text, sizeof text, "%d %d", again % CAMPAIGNS, again);
			append(p, rand_r(seed) % PARTITIONS, text);
		}
		if (rand_r(seed) % 9 == 0) {
			append(p, rand_r(seed) % PARTITIONS, "neither");
			p->bad++;
		}
		p->views[i % CAMPAIGNS][0]++;
	}
}

static void check_views(struct platform *p)
{
	char got[1000], want[1000];
	size_t n = 0;
	count_rows(p, "SELECT views FROM ads.campaign ORDER BY id", got, sizeof got);
	for (int i = 0; i < CAMPAIGNS; i++)
		n += (size_t)snprintf(want + n, sizeof want - n, "%u \n", p->views[i][0]);
	assert_string_equal(got, want);
	assert_int_equal(dead_letters(p), p->bad);
}

static const struct sm_stream_options until_end = {.name = "views", .topic = "raw_events", .until_end = true, .records_max = 17};

static void totals_are_exact_although_writes_fail(void **state)
{
	struct platform *p = platform_new(NULL, PARTITIONS);
	struct counter c = {.store = &p->faulty.store};
	struct sm_stream_stats stats;
	struct sm_error error = {0};
	unsigned seed = 11;
	feed_views(p, 0, 80, &seed);
	for (int round = 0;; round++) {
		p->faulty.applies = 0;
		p->faulty.fail_at = 1 + (uint64_t)(rand_r(&seed) % 3);
		p->faulty.after = rand_r(&seed) % 2;
		enum sm_err err = sm_stream_run(p->log, &p->faulty.store, &until_end, count_views, &c, &stats, &error);
		assert_true(round < 100);
		if (!err)
			break;
		assert_int_equal(err, SM_IO);
	}
	check_views(p);
	assert_true(c.largest <= 17);
	p->faulty.fail_at = 0;
	feed_views(p, 80, 120, &seed);
	assert_int_equal(sm_stream_run(p->log, &p->faulty.store, &until_end, count_views, &c, &stats, &error), SM_OK);
	assert_true(stats.batches > 1 && stats.records > 40 && stats.epoch > 1);
	check_views(p);
	platform_free(p);
}

static void a_function_that_fails_writes_nothing(void **state)
{
	struct platform *p = platform_new(NULL, PARTITIONS);
	struct counter c = {.store = &p->faulty.store, .fail_with = SM_BUSY};
	struct sm_error error = {0};
	unsigned seed = 12;
	feed_views(p, 0, 10, &seed);
	assert_int_equal(sm_stream_run(p->log, &p->faulty.store, &until_end, count_views, &c, NULL, &error), SM_BUSY);
	assert_int_equal(count_rows(p, "SELECT id FROM ads.campaign", NULL, 0), 0);
	c.fail_with = SM_OK;
	assert_int_equal(sm_stream_run(p->log, &p->faulty.store, &until_end, count_views, &c, NULL, &error), SM_OK);
	check_views(p);
	platform_free(p);
}

static enum sm_err put_wrongly(struct sm_micro_batch *batch, void *arg)
{
	struct sm_column_value row[] = {{"id", sm_text("x")}};
	assert_int_equal(sm_micro_batch_put(batch, arg, row, 1), strcmp(arg, "ads.nothing") == 0 ? SM_NOT_FOUND : SM_TYPE);
	return SM_OK; /* the mistake is kept */
}

static void mistakes_end_the_job_with_their_text(void **state)
{
	struct platform *p = platform_new(NULL, PARTITIONS);
	struct sm_error error = {0};
	struct sm_stream_options o = until_end;
	char nothing[] = "ads.nothing", event[] = "ads.event";
	append(p, 0, "1 1");
	assert_int_equal(sm_stream_run(p->log, &p->faulty.store, &o, put_wrongly, nothing, NULL, &error), SM_NOT_FOUND);
	assert_non_null(strstr(error.text, "no table ads.nothing"));
	assert_int_equal(sm_stream_run(p->log, &p->faulty.store, &o, put_wrongly, event, NULL, &error), SM_TYPE);
	o.topic = "nowhere";
	assert_int_equal(sm_stream_run(p->log, &p->faulty.store, &o, put_wrongly, event, NULL, &error), SM_NOT_FOUND);
	o.topic = NULL;
	assert_int_equal(sm_stream_run(p->log, &p->faulty.store, &o, put_wrongly, event, NULL, &error), SM_INVALID);
	platform_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(totals_are_exact_although_writes_fail),
		cmocka_unit_test(a_function_that_fails_writes_nothing),
		cmocka_unit_test(mistakes_end_the_job_with_their_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
