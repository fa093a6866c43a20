/* The drill: the server is a process of its own; it gets SIGKILL at random moments of the replay and is started again; what it had not
 * acknowledged is sent again. A process kill, not a power loss: what the kernel had in its page cache survives. tests/crash/ has the other.
 */
#include "cli/demo.h"
#include "cli/server_options.h"
#include "remote/remote.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct server {
	pid_t pid;
	char data[4096], config[4200], url[128];
	const char *const *sets; /* of --set */
	unsigned set_count;
};

static void sleep_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

/* Read what the server prints until it has named its address. */
static enum sm_err read_address(struct server *s, int fd, struct sm_error *reterr)
{
	FILE *in = fdopen(fd, "r");
	char line[512];
	if (!in) {
		close(fd);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	*s->url = 0;
	while (!*s->url && fgets(line, sizeof line, in))
		sscanf(line, " http %100s", s->url);
	fclose(in);
	return *s->url ? SM_OK : sm_fail(reterr, SM_UNAVAILABLE, "the server did not start; what it said is above");
}

static enum sm_err start_server(struct server *s, struct sm_error *reterr)
{
	int out[2];
	if (pipe2(out, O_CLOEXEC))
		return sm_fail_errno(reterr, errno, "no pipe");
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	const char *argv[12 + 2 * SERVER_SETS_MAX + 4 + 1] = {"smack",  "up", "--data",  s->data, "--config", s->config,
							      "--http", "0",  "--kafka", "0",     "--cql",    "0"};
	unsigned n = 12;
	for (unsigned i = 0; i < s->set_count; i++) {
		argv[n++] = "--set";
		argv[n++] = s->sets[i];
	}
	argv[n++] = "--set";
	argv[n++] = "stream.daily.interval=100ms";
	argv[n++] = "--set";
	argv[n] = "logging.level=error";
	extern char **environ;
	int failed = posix_spawn(&s->pid, "/proc/self/exe", &files, &attributes, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	close(out[1]);
	if (failed) {
		close(out[0]);
		s->pid = 0;
		return sm_fail_errno(reterr, failed, "cannot start the server");
	}
	return read_address(s, out[0], reterr);
}

static void end_server(struct server *s, int signal)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, signal);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
}

/* Kills the server once, after a random time, from beside the sender. */
struct killer {
	pid_t pid;
	unsigned after_ms;
};

static void *kill_later(void *arg)
{
	struct killer *k = arg;
	sleep_ms(k->after_ms);
	kill(k->pid, SIGKILL);
	return NULL;
}

static enum sm_err records_in_topic(const char *data, uint64_t *ret_records, struct sm_error *reterr)
{
	struct sm_session *session;
	enum sm_err err = sm_connect(data, &session, reterr);
	if (err)
		return err;
	struct sm_log *log = sm_session_log(session);
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *t = topics ? log_topics_find(topics, "raw_events") : NULL;
	*ret_records = 0;
	for (int32_t p = 0; t && p < t->partitions; p++) {
		int64_t next = 0;
		if (!log->ops->offset_for(log, "raw_events", p, LOG_LATEST, &next, NULL))
			*ret_records += (uint64_t)next;
	}
	log->ops->topics_release(log, topics);
	sm_disconnect(session);
	return SM_OK;
}

struct drill {
	const struct demo_data *data;
	struct server server;
	struct http_client *client;
	struct demo_request *requests;
	uint32_t request_count, next; /* the first request that is not acknowledged */
	uint64_t before;              /* records that a real Kafka's topic had already */
	uint64_t acknowledged, sent_again;
	FILE *out;
};

static enum sm_err counted_now(struct drill *d, uint64_t *ret, struct sm_error *reterr)
{
	struct sm_session *session;
	enum sm_err err = sm_connect(d->server.data, &session, reterr);
	if (err)
		return err;
	err = demo_counted(sm_session_store(session), ret, reterr);
	sm_disconnect(session);
	return err;
}

/* Send until the server dies (SM_OK, *ret_died) or all is sent. */
static enum sm_err send_some(struct drill *d, uint32_t until, bool *ret_died, struct sm_error *reterr)
{
	*ret_died = false;
	while (d->next < until) {
		uint32_t events = 0;
		enum sm_err err = demo_send(d->client, d->server.url, &d->requests[d->next], &events, reterr);
		if (err == SM_UNAVAILABLE || err == SM_TIMEOUT) {
			*ret_died = true;
			return SM_OK;
		}
		if (err)
			return err;
		d->acknowledged += events;
		d->next++;
	}
	return SM_OK;
}

static enum sm_err one_kill(struct drill *d, unsigned number, unsigned kills, struct sm_error *reterr)
{
	/* Each kill has its share of the requests, and comes at a random moment in it. */
	uint32_t from = (uint32_t)((uint64_t)d->request_count * (number - 1) / kills),
		 until = (uint32_t)((uint64_t)d->request_count * number / kills);
	uint32_t quiet = from + (uint32_t)random() % (until - from + 1);
	bool died;
	enum sm_err err = send_some(d, quiet, &died, reterr);
	if (!err && died)
		err = sm_fail(reterr, SM_UNAVAILABLE, "the server died without being killed");
	if (err)
		return err;
	struct killer killer = {d->server.pid, (unsigned)random() % 12};
	pthread_t thread;
	if (pthread_create(&thread, NULL, kill_later, &killer))
		return sm_fail(reterr, SM_NO_MEMORY, "no thread");
	err = send_some(d, until, &died, reterr);
	pthread_join(thread, NULL);
	end_server(&d->server, SIGKILL);
	if (err)
		return err;
	uint64_t started = clock_monotonic_ns(&clock_system), records, counted;
	if ((err = start_server(&d->server, reterr)))
		return err;
	double ready_ms = (double)(clock_monotonic_ns(&clock_system) - started) / 1e6;
	if ((err = records_in_topic(d->server.data, &records, reterr)) || (err = counted_now(d, &counted, reterr)))
		return err;
	records = records > d->before ? records - d->before : 0;
	d->sent_again += died;
	fprintf(d->out, "kill %2u of %u: acknowledged %llu, in the log %llu, counted %llu, lost %llu; ready again after %.0f ms%s\n",
		number, kills, (unsigned long long)d->acknowledged, (unsigned long long)records, (unsigned long long)counted,
		(unsigned long long)(d->acknowledged > records ? d->acknowledged - records : 0), ready_ms,
		died ? "; one request is sent again" : "");
	fflush(d->out);
	return SM_OK;
}

static enum sm_err finish(struct drill *d, struct sm_error *reterr)
{
	bool died;
	uint64_t counted = 0;
	enum sm_err err = send_some(d, d->request_count, &died, reterr);
	if (err || died)
		return err ? err : sm_fail(reterr, SM_UNAVAILABLE, "the server died without being killed");
	for (unsigned i = 0; i < 1200 && counted < d->data->events && !err; i++) {
		sleep_ms(50);
		err = counted_now(d, &counted, reterr);
	}
	/* One more batch, in which anything counted twice would show. */
	sleep_ms(500);
	if (!err)
		err = counted_now(d, &counted, reterr);
	if (err)
		return err;
	struct sm_session *session;
	if ((err = sm_connect(d->server.data, &session, reterr)))
		return err;
	err = demo_check_daily(d->data, sm_session_store(session), reterr);
	sm_disconnect(session);
	uint64_t want = d->data->events;
	fprintf(d->out, "\nacknowledged %llu, counted %llu, lost %llu, doubled %llu; %llu requests were sent again\n%s\n",
		(unsigned long long)d->acknowledged, (unsigned long long)counted, (unsigned long long)(counted < want ? want - counted : 0),
		(unsigned long long)(counted > want ? counted - want : 0), (unsigned long long)d->sent_again,
		err ? "differs from expected_daily.csv" : "matches expected_daily.csv");
	return err;
}

enum sm_err demo_drill(const struct demo_data *data, const char *work_dir, unsigned kills, const char *const *sets, unsigned set_count,
		       FILE *out, struct sm_error *reterr)
{
	struct drill d = {.data = data, .out = out, .server = {.sets = sets, .set_count = set_count}};
	snprintf(d.server.data, sizeof d.server.data, "%s/drill", work_dir);
	snprintf(d.server.config, sizeof d.server.config, "%s/smack.conf", data->dir);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	srandom((unsigned)now.tv_nsec);
	fprintf(out,
		"The server is killed %u times with SIGKILL during the replay. A process kill, not a power loss: the kernel keeps what was "
		"written.\n",
		kills);
	enum sm_err err = http_client_new(&d.client);
	if (err)
		sm_fail(reterr, err, "%s", sm_err_text(err));
	else
		err = demo_requests(data, 200, &d.requests, &d.request_count, reterr);
	if (!err)
		err = start_server(&d.server, reterr);
	if (!err)
		err = records_in_topic(d.server.data, &d.before, reterr);
	for (unsigned i = 1; i <= kills && !err; i++)
		err = one_kill(&d, i, kills, reterr);
	if (!err)
		err = finish(&d, reterr);
	end_server(&d.server, SIGTERM);
	demo_requests_free(d.requests, d.request_count);
	http_client_free(d.client);
	return err;
}
