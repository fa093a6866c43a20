/* The examples' jobs on the real events: loaded from the week's files, rolled up by day, reported, and compared with expected_daily.csv. */
#include "jobs.h"
#include "compute/testing.h"
#include "remote/remote.h"
#include <smack/event.h>
#include <smack/store.h>
#include <sys/wait.h>

enum { DAYS = 7, CAMPAIGNS = 6 };
static const char data[] = "examples/open-bandit";

static struct platform platform;

/* ---- what must come out ---- */

struct totals {
	char campaign[37];
	int64_t views, clicks;
};
static struct totals expected[CAMPAIGNS];
static int expected_count;

static struct totals *find(const char *campaign)
{
	for (int i = 0; i < expected_count; i++)
		if (strcmp(expected[i].campaign, campaign) == 0)
			return &expected[i];
	return NULL;
}

static void read_expected(void)
{
	char path[200], line[200], campaign[37];
	long long views, clicks;
	snprintf(path, sizeof path, "%s/expected_daily.csv", data);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "%36[^,],%*[^,],%lld,%lld", campaign, &views, &clicks) != 3)
			continue;
		struct totals *t = find(campaign);
		if (!t) {
			assert_true(expected_count < CAMPAIGNS);
			t = &expected[expected_count++];
			strcpy(t->campaign, campaign);
		}
		t->views += views;
		t->clicks += clicks;
	}
	fclose(file);
	assert_int_equal(expected_count, CAMPAIGNS);
}

/* ---- loading ---- */

static enum sm_err to_event(const struct sm_row *line, struct sm_out *out, void *arg)
{
	struct sm_event event;
	struct sm_bytes text = sm_get_bytes(line, "value");
	if (sm_event_parse(text.data, text.size, &event, NULL) != SM_OK)
		return sm_skip(out);
	sm_put(out, "id", sm_uuid(&event.id));
	sm_put(out, "ad_id", sm_uuid(&event.ad_id));
	sm_put(out, "campaign", sm_uuid(&event.campaign));
	sm_put(out, "ts", sm_integer(event.ts));
	sm_put(out, "type", sm_text(sm_event_type_name(event.type)));
	return sm_emit(out);
}

static enum sm_err to_day(const struct sm_row *event, struct sm_out *out, void *arg)
{
	struct sm_day day = sm_day_of(sm_get_integer(event, "ts"));
	sm_put(out, "id", sm_get(event, "campaign"));
	sm_put(out, "year", sm_integer(day.year));
	sm_put(out, "month", sm_integer(day.month));
	sm_put(out, "day", sm_integer(day.day));
	sm_put(out, "views", sm_integer(sm_text_is(event, "type", "view")));
	sm_put(out, "clicks", sm_integer(sm_text_is(event, "type", "click")));
	return sm_emit(out);
}

static void load(void)
{
	char glob[200];
	struct sm_context *sc;
	struct sm_error error = {0};
	uint64_t count;
	snprintf(glob, sizeof glob, "%s/2019/*/*.gz", data);
	platform_check(sm_context_new(platform.log, platform.store, &(struct sm_context_options){.keyspace = "ads"}, &sc, &error), &error);
	struct sm_rdd *events = sm_rdd_map(sm_rdd_text_files(sc, glob), "id uuid, ad_id uuid, campaign uuid, ts bigint, type text",
					   to_event, NULL);
	platform_check(sm_rdd_save_to_table(events, "event", &count, &error), &error);
	assert_int_equal(count, 60287);
	assert_int_equal(sm_context_stats(sc).skipped, 0);
	struct sm_rdd *days = sm_rdd_map_to_pair(sm_rdd_table(sc, "event"),
						 "id uuid, year int, month int, day int -> views bigint, clicks bigint", to_day, NULL);
	platform_check(sm_rdd_save_to_table(sm_rdd_reduce_by_key(days, sm_sum, NULL), "campaign", &count, &error), &error);
	assert_int_equal(count, CAMPAIGNS * DAYS);
	sm_context_free(sc);
}

static int setup(void **state)
{
	platform_open(&platform);
	platform_keyspace(&platform, "ads");
	platform_table(&platform, "ads", "event", "id uuid p, ad_id uuid r, campaign uuid r, ts bigint r, type text r");
	platform_table(&platform, "ads", "campaign", "id uuid p, year int c, month int c, day int c, clicks bigint r, views bigint r");
	platform_table(&platform, "ads", "campaign_report", "id uuid p, clicks bigint r, views bigint r");
	read_expected();
	load();
	return 0;
}

static int teardown(void **state)
{
	platform_close(&platform);
	return 0;
}

/* ---- the jobs ---- */

/* Run a job with its standard output in a file. */
static void run_job(sm_job_fn job, const char *arg, char *output, size_t room)
{
	char copy[40];
	struct sm_error error = {0};
	struct sm_job_entry entry = {"job", job, NULL};
	char *args[] = {strcpy(copy, arg), NULL};
	fflush(stdout);
	FILE *file = tmpfile();
	int saved = dup(1);
	assert_true(file && saved >= 0 && dup2(fileno(file), 1) == 1);
	enum sm_err err = sm_job_run(&entry, platform.log, platform.store, NULL, args, &error);
	fflush(stdout);
	assert_int_equal(dup2(saved, 1), 1);
	close(saved);
	rewind(file);
	size_t size = fread(output, 1, room - 1, file);
	output[size] = 0;
	fclose(file);
	platform_check(err, &error);
}

static void views_of_november_are_expected_dailys_sums(void **state)
{
	char output[2000], campaign[37], *at = output;
	long long views;
	int seen = 0, used;
	run_job(views_per_campaign, "month=2019-11", output, sizeof output);
	for (; sscanf(at, "%36s %lld\n%n", campaign, &views, &used) == 2; at += used, seen++) {
		assert_non_null(find(campaign));
		assert_int_equal(views, find(campaign)->views);
	}
	assert_int_equal(seen, CAMPAIGNS);
	run_job(views_per_campaign, "month=2019-12", output, sizeof output);
	assert_string_equal(output, "");
}

static enum sm_err check_report(void *arg, const struct sm_row *row)
{
	char campaign[40];
	struct totals *t = find(sm_value_format(sm_get(row, "id"), campaign, sizeof campaign));
	assert_non_null(t);
	assert_int_equal(sm_get_integer(row, "views"), t->views);
	assert_int_equal(sm_get_integer(row, "clicks"), t->clicks);
	++*(int *)arg;
	return SM_OK;
}

static void the_report_is_the_same_wherever_the_day_is_cut(void **state)
{
	for (int day = 23; day <= 31; day++) {
		char arg[30], output[200];
		int seen = 0;
		struct sm_error error = {0};
		if (day == 31)
			strcpy(arg, "since=2019-12-01");
		else
			snprintf(arg, sizeof arg, "since=2019-11-%02d", day);
		run_job(campaign_report, arg, output, sizeof output);
		assert_string_equal(output, "6 campaigns\n");
		platform_check(sm_store_scan(platform.store, "ads.campaign_report", check_report, &seen, &error), &error);
		assert_int_equal(seen, CAMPAIGNS);
	}
}

/* ---- as a program ---- */

static const char *program; /* the jobs' executable, when the build names it */

/* The exit status; output has what went to stdout and stderr. */
static int run_program(const char *arguments, char *output, size_t room)
{
	char command[600];
	snprintf(command, sizeof command, "'%s' --data '%s' %s 2>&1", program, platform.dir, arguments);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	output[fread(output, 1, room - 1, pipe)] = 0;
	int status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_job_is_a_program_of_its_own(void **state)
{
	static const struct remote_command no_commands[] = {{NULL, NULL, NULL}};
	struct remote_server_options options = {
		.system = platform.system, .log = platform.log, .store = platform.store, .data_dir = platform.dir, .commands = no_commands};
	struct remote_server *server;
	struct sm_error error = {0};
	char output[4000];
	int seen = 0;
	if (!program)
		skip();
	assert_int_equal(run_program("--class campaign-report", output, sizeof output), 1);
	assert_non_null(strstr(output, "no server at"));
	platform_check(remote_server_new(&options, &server, &error), &error);
	assert_int_equal(run_program("--class views-per-campaign --master 'local[2]'", output, sizeof output), 0);
	for (int i = 0; i < expected_count; i++) {
		char line[400];
		snprintf(line, sizeof line, "%s %lld\n", expected[i].campaign, (long long)expected[i].views);
		assert_non_null(strstr(output, line));
	}
	assert_int_equal(run_program("--class campaign-report since=2019-11-27", output, sizeof output), 0);
	assert_non_null(strstr(output, "6 campaigns\n"));
	platform_check(sm_store_scan(platform.store, "ads.campaign_report", check_report, &seen, &error), &error);
	assert_int_equal(seen, CAMPAIGNS);
	assert_int_equal(run_program("--class campaign-report --explain", output, sizeof output), 0);
	assert_non_null(strstr(output, "ads.campaign_report (rows bigint)"));
	assert_int_equal(run_program("--class campaign-report since=yesterday", output, sizeof output), 1);
	assert_non_null(strstr(output, "campaign-report: since is a day, as in since=2019-11-30"));
	assert_int_equal(run_program("--class nothing", output, sizeof output), 2);
	assert_int_equal(run_program("", output, sizeof output), 2);
	assert_int_equal(run_program("--class campaign-report yesterday", output, sizeof output), 2);
	remote_server_free(server, 1000);
}

int main(int argc, char **argv)
{
	program = argc > 1 ? argv[1] : NULL;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(views_of_november_are_expected_dailys_sums),
		cmocka_unit_test(the_report_is_the_same_wherever_the_day_is_cut),
		cmocka_unit_test(a_job_is_a_program_of_its_own),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
