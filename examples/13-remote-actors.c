/* Actors in other processes.
 *
 *   13-remote-actors                      starts itself again as a child process that counts primes; it crashes, is started again, and
 *                                         the same reference goes on
 *   13-remote-actors serve HOST:PORT      the counter, for others; the secret is in SMACK_SECRET
 *   13-remote-actors ask ADDRESS NUMBER   asks the one at smack://primes@HOST:PORT
 *
 * Needs <smack/actor.h> and <smack/remoting.h> only. */
#include <signal.h>
#include <smack/remoting.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- one type of message, and how it travels ---- */

struct number {
	struct sm_msg msg;
	uint64_t value;
};
static void number_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type number_type = {"number", number_done, NULL};

static struct sm_msg *number_new(uint64_t value)
{
	struct number *n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	n->msg.type = &number_type;
	n->value = value;
	return &n->msg;
}
static enum sm_err number_write(const struct sm_msg *msg, struct sm_writer *out)
{
	sm_write_u64(out, ((const struct number *)msg)->value);
	return SM_OK;
}
static enum sm_err number_read(struct sm_reader *in, uint16_t version, struct sm_msg **ret_msg)
{
	uint64_t value = sm_read_u64(in);
	if (sm_read_failed(in))
		return SM_TRUNCATED;
	return (*ret_msg = number_new(value)) ? SM_OK : SM_NO_MEMORY;
}
static const struct sm_serializer serializer = {
	.id = 1, .version = 1, .version_min = 1, .type = &number_type, .write = number_write, .read = number_read};

/* ---- the actor: how many primes are there up to n? It cannot stand 13. ---- */

static enum sm_err primes_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	uint64_t up_to = ((struct number *)msg)->value, count = 0;
	if (up_to == 13)
		raise(SIGSEGV);
	for (uint64_t n = 2; n <= up_to && n < 1000000; n++) {
		uint64_t d = 2;
		while (d * d <= n && n % d)
			d++;
		count += d * d > n;
	}
	struct sm_msg *answer = number_new(count);
	if (!answer)
		return SM_NO_MEMORY;
	sm_reply(self, msg, answer);
	return SM_OK;
}

static int failed(const char *what, const struct sm_error *error)
{
	fprintf(stderr, "%s: %s\n", what, error->text);
	return 1;
}

static int ask(struct sm_system *system, struct sm_ref *primes, uint64_t up_to)
{
	struct sm_msg *question = number_new(up_to), *answer;
	enum sm_err err = question ? sm_ask_wait(system, primes, question, 20000, &answer) : SM_NO_MEMORY;
	if (err) {
		fprintf(stderr, "primes up to %llu: %s\n", (unsigned long long)up_to, sm_err_text(err));
		return 1;
	}
	printf("primes up to %llu: %llu\n", (unsigned long long)up_to, (unsigned long long)((struct number *)answer)->value);
	sm_msg_free(answer);
	return 0;
}

/* ---- roles ---- */

static struct sm_remoting_options options_of(const char *name)
{
	return (struct sm_remoting_options){
		.name = name, .secret = getenv("SMACK_SECRET"), .serializers = &serializer, .serializer_count = 1};
}

static int child(struct sm_system *system, struct sm_ref *primes)
{
	struct sm_remoting *remoting;
	struct sm_error error;
	struct sm_remoting_options options = options_of("child");
	if (sm_remoting_join(system, &options, primes, &remoting, &error))
		return failed("child", &error);
	enum sm_err why = sm_remoting_wait(remoting);
	sm_remoting_free(remoting);
	return why != SM_OK;
}

static atomic_int crashes;
static void child_ended(void *arg, const char *how, bool starts_again)
{
	atomic_fetch_add(&crashes, starts_again);
	printf("the child %s%s\n", how, starts_again ? ", it is started again" : "");
	fflush(stdout);
}

static int parent(struct sm_system *system, const char *program)
{
	struct sm_remoting *remoting;
	struct sm_error error;
	struct sm_ref *primes;
	const char *const argv[] = {program, "child", NULL};
	struct sm_remoting_options options = options_of("parent");
	struct sm_process_props props = {
		.name = "primes",
		.argv = argv,
		.supervision = {.restarts_max = 3, .window_ms = 60000, .backoff_min_ms = 100, .backoff_max_ms = 1000},
		.ended = child_ended};
	if (sm_remoting_new(system, &options, &remoting, &error))
		return failed("parent", &error);
	int bad = sm_spawn_process(remoting, &props, &primes, &error) ? failed("parent", &error) : 0;
	if (!bad) {
		struct sm_msg *thirteen = number_new(13);
		bad = ask(system, primes, 100);
		if (!thirteen || sm_send(primes, thirteen))
			sm_msg_free(thirteen);
		/* What comes to the crash is lost with it; what comes after it waits for the new process. */
		for (int i = 0; i < 20000 && !atomic_load(&crashes); i++)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		bad |= ask(system, primes, 1000);
		bad |= sm_stop_wait(system, primes, 20000, NULL) != SM_OK;
		sm_unref(primes);
	}
	sm_remoting_free(remoting);
	return bad;
}

static int serve(struct sm_system *system, const char *where)
{
	struct sm_remoting *remoting;
	struct sm_error error;
	char host[256];
	const char *colon = strrchr(where, ':');
	sigset_t set;
	int sig;
	struct sm_remoting_options options = options_of("primes");
	if (!colon || (size_t)snprintf(host, sizeof host, "%.*s", (int)(colon - where), where) >= sizeof host) {
		fprintf(stderr, "%s: use HOST:PORT\n", where);
		return 2;
	}
	options.host = host;
	options.port = (uint16_t)atoi(colon + 1);
	if (sm_remoting_new(system, &options, &remoting, &error))
		return failed("serve", &error);
	printf("%s\n", sm_remoting_address(remoting));
	fflush(stdout);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &sig);
	sm_remoting_free(remoting);
	return 0;
}

static int ask_there(struct sm_system *system, const char *address, const char *number)
{
	struct sm_remoting *remoting;
	struct sm_error error;
	struct sm_ref *primes;
	char path[600];
	struct sm_remoting_options options = options_of("asker");
	if (sm_remoting_new(system, &options, &remoting, &error))
		return failed("ask", &error);
	snprintf(path, sizeof path, "%s/root/primes", address);
	int bad = sm_resolve_wait(remoting, path, 10000, &primes, &error) ? failed("ask", &error) : 0;
	if (!bad) {
		bad = ask(system, primes, strtoull(number, NULL, 10));
		sm_unref(primes);
	}
	sm_remoting_free(remoting);
	return bad;
}

int main(int argc, char **argv)
{
	struct sm_system *system;
	struct sm_ref *primes;
	struct sm_error error;
	struct sm_props props = {.name = "primes", .receive = primes_receive, .dispatcher = SM_DISPATCHER_ANY};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	bool serves = argc == 3 && strcmp(argv[1], "serve") == 0;
	if (serves) /* before the threads, which inherit it */
		sigprocmask(SIG_BLOCK, &set, NULL);
	if (sm_system_new(NULL, &system, &error))
		return failed("system", &error);
	if (sm_spawn(system, NULL, &props, &primes))
		return 1;
	int status = argc == 1                                    ? parent(system, argv[0])
		     : argc == 2 && strcmp(argv[1], "child") == 0 ? child(system, primes)
		     : serves                                     ? serve(system, argv[2])
		     : argc == 4 && strcmp(argv[1], "ask") == 0   ? ask_there(system, argv[2], argv[3])
								  : 2;
	if (status == 2)
		fprintf(stderr, "13-remote-actors [serve HOST:PORT | ask ADDRESS NUMBER]\n");
	sm_unref(primes);
	return sm_system_stop(system, 10000) || status;
}
