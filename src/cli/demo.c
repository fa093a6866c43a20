#include "base/io.h"
#include "base/logging.h"
#include "base/metrics.h"
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/platform.h"
#include "cli/server_options.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct arguments {
	struct server_options server; /* first */
	const char *events;
	bool exit, drill;
	unsigned kills;
};
enum { KEY_EXIT = 1024, KEY_DRILL, KEY_EVENTS, KEY_KILLS };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case KEY_EXIT: a->exit = true; return 0;
	case KEY_DRILL: a->drill = true; return 0;
	case KEY_EVENTS: a->events = arg; return 0;
	case KEY_KILLS: a->kills = (unsigned)strtoul(arg, NULL, 10); return 0;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); return 0;
	default: return server_options_parse(key, arg, state, &a->server);
	}
}

struct demo {
	struct arguments *arguments;
	struct config *config;
	struct demo_data data;
	struct platform *platform;
	struct http_client *client;
};

/* The default ports where they are free, others where not; ports that were asked for are a must. */
static enum sm_err start(struct demo *demo, struct sm_error *reterr)
{
	uint16_t *const ports[] = {&demo->config->http_port, &demo->config->kafka_port, &demo->config->cql_port};
	for (;;) {
		enum sm_err err = platform_start(demo->config, &demo->platform, reterr);
		if (err != SM_BUSY)
			return err;
		bool changed = false;
		for (int i = 0; i < 3; i++) {
			char name[16];
			snprintf(name, sizeof name, ":%u", *ports[i]);
			if (*ports[i] && !demo->arguments->server.ports[i] && strstr(reterr->text, name)) {
				*ports[i] = 0;
				changed = true;
			}
		}
		if (!changed)
			return err;
	}
}

static enum sm_err replay(struct demo *demo, uint64_t *ret_accepted, struct sm_error *reterr)
{
	struct demo_request *requests;
	uint32_t count;
	uint64_t accepted = 0;
	struct progress progress;
	enum sm_err err = demo_requests(&demo->data, 1000, &requests, &count, reterr);
	if (err)
		return err;
	progress_begin(&progress, stdout, "replay by HTTP POST, gzip NDJSON", demo->data.events);
	for (uint32_t i = 0; i < count && !err; i++) {
		uint32_t events = 0;
		err = demo_send(demo->client, demo->platform->url, &requests[i], &events, reterr);
		accepted += events;
		progress_set(&progress, accepted);
	}
	demo_requests_free(requests, count);
	char note[128];
	double seconds = (double)(clock_monotonic_ns(&clock_system) - progress.started_ns) / 1e9;
	snprintf(note, sizeof note, "%llu events on disk in raw_events, %.0f a second", (unsigned long long)accepted,
		 (double)accepted / seconds);
	progress_end(&progress, err ? "failed" : note);
	*ret_accepted = accepted;
	return err;
}

#define STREAM_TIMEOUT_MS 120000

static enum sm_err wait_for_stream(struct demo *demo, uint64_t want, struct sm_error *reterr)
{
	struct progress progress;
	uint64_t counted = 0;
	enum sm_err err = SM_OK;
	progress_begin(&progress, stdout, "micro-batches, exactly once", want);
	for (unsigned waited = 0; !err && counted < want; waited += 20) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		err = demo_counted(demo->platform->store, &counted, reterr);
		progress_set(&progress, counted);
		if (waited > STREAM_TIMEOUT_MS)
			err = sm_fail(reterr, SM_TIMEOUT, "the stream counted %llu of %llu events within %d s; look at `smack app list`",
				      (unsigned long long)counted, (unsigned long long)want, STREAM_TIMEOUT_MS / 1000);
	}
	char note[160];
	snprintf(note, sizeof note, "%lld batches of at most %llu ms; %lld duplicates left out",
		 (long long)metric_get_labelled(METRIC_STREAM_BATCHES, "daily"), (unsigned long long)demo->config->streams[0].interval_ms,
		 (long long)metric_get_labelled(METRIC_STREAM_DUPLICATES, "daily"));
	progress_end(&progress, err ? "failed" : note);
	return err;
}

static enum sm_err report(struct demo *demo, struct sm_error *reterr)
{
	struct progress progress;
	progress_begin(&progress, stdout, "report: SQL join by the scheduler", 1);
	enum sm_err err = demo_run_report(demo->client, demo->platform->url, reterr);
	progress_end(&progress, err ? "failed" : "ads.campaign_report");
	if (err)
		return err;
	progress_begin(&progress, stdout, "comparison, row by row", 1);
	if (!(err = demo_check_daily(&demo->data, demo->platform->store, reterr)))
		err = demo_check_report(&demo->data, demo->platform->store, reterr);
	char note[80];
	snprintf(note, sizeof note, "%u rows of ads.campaign, %u campaigns", demo->data.expected_count, demo->data.name_count);
	progress_end(&progress, err ? "differs" : note);
	return err;
}

/* A real Kafka may still have the events of an earlier run. They are read first and counted; when the same come again they are duplicates.
 */
static uint64_t tell_old_events(const struct demo *demo)
{
	const struct platform *p = demo->platform;
	uint64_t old = 0;
	for (uint64_t i = 0; p->outgrown && i < p->config->topics[0].partitions; i++) {
		int64_t first, end;
		if (!p->log->ops->offset_for(p->log, "raw_events", (int32_t)i, LOG_EARLIEST, &first, NULL) &&
		    !p->log->ops->offset_for(p->log, "raw_events", (int32_t)i, LOG_LATEST, &end, NULL))
			old += (uint64_t)(end - first);
	}
	if (old)
		printf("raw_events in %s has %llu records already, of an earlier run: they are counted once, with those that come now.\n",
		       p->log_shown, (unsigned long long)old);
	return old;
}

static void print_addresses(const struct demo *demo)
{
	const struct platform *p = demo->platform;
	printf("\nready after %.0f ms; %.1f MiB of memory, %.2f s of CPU\n\n", (double)(p->ready_ns - p->started_ns) / 1e6,
	       (double)process_rss_bytes() / 1048576, process_cpu_seconds());
	printf("  dashboard  %s/\n  Kafka      %s   kcat -b %s -t raw_events -C -e | head\n", p->url, p->kafka_address, p->kafka_address);
	printf("  CQL        %s:%s   %s cql --data %s -e 'SELECT * FROM ads.campaign_report'\n", p->cql_host, p->cql_port,
	       program_invocation_name, p->config->data);
	printf("  data       %s\n", p->config->data);
}

static enum sm_err steps(struct demo *demo, struct sm_error *reterr)
{
	enum sm_err err = demo_load_names(&demo->data, demo->platform->store, reterr);
	uint64_t accepted = 0, old = err ? 0 : tell_old_events(demo);
	if (!err && (err = http_client_new(&demo->client)))
		sm_fail(reterr, err, "%s", sm_err_text(err));
	if (!err) {
		char pin[NET_TLS_PIN_MAX];
		platform_http_pin(demo->platform, pin);
		http_client_pin(demo->client, pin);
	}
	if (!err)
		err = replay(demo, &accepted, reterr);
	if (!err)
		err = wait_for_stream(demo, accepted, reterr);
	if (!err)
		err = report(demo, reterr);
	if (err && old)
		sm_error_prefix(
			reterr,
			"raw_events had %llu records of other runs (delete the topic for a demo of its own: smack with --set log=%s -- "
			"smack topic delete raw_events)",
			(unsigned long long)old, demo->platform->log_shown);
	if (err)
		return err;
	putchar('\n');
	if ((err = demo_print_report(demo->platform->store, stdout, reterr)))
		return err;
	printf("\nmatches expected_daily.csv\n");
	print_addresses(demo);
	return SM_OK;
}

static enum sm_err run(struct demo *demo, struct sm_error *reterr)
{
	enum sm_err err = start(demo, reterr);
	if (err)
		return err;
	err = steps(demo, reterr);
	if (!err && !demo->arguments->exit) {
		printf("\nserving until Ctrl-C\n");
		fflush(stdout);
		signals_wait();
	} else {
		fflush(stdout);
		signals_expect_end();
	}
	http_client_free(demo->client);
	struct sm_error late;
	if (platform_stop(demo->platform, &late) && !err)
		err = sm_fail(reterr, late.code, "%s", late.text);
	return err;
}

static enum sm_err configure(struct demo *demo, char *temporary, struct sm_error *reterr)
{
	struct server_options *server = &demo->arguments->server;
	static char conf[4200];
	enum sm_err err = demo_data_read(&demo->data, demo->arguments->events, reterr);
	if (err)
		return err;
	snprintf(conf, sizeof conf, "%s/smack.conf", demo->data.dir);
	if (!server->file)
		server->file = conf;
	if (!server->data) {
		if (!mkdtemp(temporary))
			return sm_fail_errno(reterr, errno, "cannot make a temporary directory in /tmp");
		server->data = temporary;
	}
	if (server->set_count < SERVER_SETS_MAX) {
		/* In front, so that a --set of the user's comes later and wins. */
		memmove(server->sets + 1, server->sets, server->set_count * sizeof *server->sets);
		server->sets[0] = "stream.daily.interval=1s";
		server->set_count++;
	}
	return server_options_apply(server, reterr);
}

int command_demo(int argc, char **argv)
{
	static const struct argp_option options[] = {
		SERVER_OPTIONS_OF("a fresh one in /tmp, gone at the end", "8080", "9092", "9042"),
		{"exit", KEY_EXIT, NULL, 0, "end after the comparison: status 0 if all matches, 1 with the first difference", 0},
		{"drill", KEY_DRILL, NULL, 0, "kill the server 20 times during the replay and show what was lost or doubled", 0},
		{"kills", KEY_KILLS, "N", 0, "with --drill: so many times", 0},
		{"events", KEY_EVENTS, "DIR", 0, "where the events are (default: examples/open-bandit)", 0},
		{0},
	};
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Replay a week of real ad events by HTTP, count them in micro-batches, join and report in SQL, compare every row with an "
		"independent count, print the report, and serve until Ctrl-C. The data directory is a fresh one in /tmp unless --data "
		"names one.",
		NULL,
		NULL,
		NULL};
	static struct config config;
	static struct demo demo;
	struct arguments a = {.server = {.config = &config}, .kills = 20};
	struct sm_error error = {0};
	char temporary[] = "/tmp/smack-demo-XXXXXX";
	config_init(&config);
	command_parse(&argp, argc, argv, &a);
	signals_block();
	demo.arguments = &a;
	demo.config = &config;
	bool own = !a.server.data;
	enum sm_err err = configure(&demo, temporary, &error);
	if (!err) {
		logging_set(LOG_LEVEL_WARN, false);
		err = a.drill ? demo_drill(&demo.data, config.data, a.kills, a.server.sets, a.server.set_count, stdout, &error)
			      : run(&demo, &error);
	}
	if (own && a.server.data == temporary) {
		struct sm_error left;
		if (io_remove_tree(&io_system, temporary, &left))
			fprintf(stderr, "smack: %s is left behind: %s\n", temporary, left.text);
	}
	config_done(&config);
	return err ? command_failed(&error) : STATUS_OK;
}
