/* smack's side: Savina's benchmarks as src/actor/savina.h has them. actors CELL N M WARM SECONDS spread|together: repeats the cell, first
 * for WARM seconds, then for SECONDS, which are measured; one line of JSON. Two dispatchers; spread: each actor is placed round robin;
 * together: where its parent is. */
#define SAVINA_SPARE 4096
#include "actor/savina_work.h"
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long rss_kib(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

static double resident(void)
{
	long pages = 0, rss = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld %ld", &pages, &rss) != 2)
		exit(1);
	fclose(f);
	return (double)rss * (double)sysconf(_SC_PAGESIZE);
}

static void check(enum sm_err err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, sm_err_name(err));
	exit(1);
}

/* ---- n actors that live at the same time, supervised, their addresses held; each ends with its first message ---- */

static double spawn_s;

static enum sm_err spawn_many(struct sm_actor *self, struct savina_main *s, uint64_t n)
{
	const struct sm_props props = {
		.state_size = 2 * sizeof(void *),
		.receive = savina_create_worker,
		.dispatcher = s->params->together ? SM_DISPATCHER_PARENT : SM_DISPATCHER_ANY,
		.supervision = {.restarts_max = 3, .window_ms = 10000, .backoff_min_ms = 10, .backoff_max_ms = 1000}};
	if (!(s->refs = calloc(n, sizeof(struct sm_ref *))))
		return SM_NO_MEMORY;
	for (; s->count < n; s->count++) {
		enum sm_err err = sm_spawn(sm_actor_system(self), self, &props, &s->refs[s->count]);
		if (err)
			return err;
	}
	return SM_OK;
}

static enum sm_err nursery_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_sum *s = state;
	const uint64_t n = s->main.params->n;
	if (savina_of(msg)->kind == SAVINA_START) {
		savina_keep_start(self, &s->main, msg);
		double started = now_s();
		enum sm_err err = spawn_many(self, &s->main, n);
		spawn_s = now_s() - started;
		savina_result(self, &s->main, n, 0);
		return err;
	}
	return savina_to_all(&s->main, SAVINA_GO);
}

static void create(struct sm_system *system, const struct savina_params *params, double *ret_ns, double *ret_bytes)
{
	struct sm_props props = {.state_size = sizeof(struct savina_sum),
				 .init = savina_main_init,
				 .receive = nursery_receive,
				 .done = savina_main_done,
				 .arg = (void *)(uintptr_t)params,
				 .dispatcher = SM_DISPATCHER_ANY};
	struct sm_ref *ref;
	struct sm_msg *answer;
	double before = resident();
	check(sm_spawn(system, NULL, &props, &ref), "spawn");
	check(sm_ask_wait(system, ref, savina_new(SAVINA_START, 0, 0, 0), 600000, &answer), "create");
	sm_msg_free(answer);
	sleep(1); /* they start behind their making */
	*ret_ns = spawn_s * 1e9 / (double)params->n;
	*ret_bytes = (resident() - before) / (double)params->n;
	check(savina_send(ref, SAVINA_GO, 0, 0), "end");
	check(sm_stop_wait(system, ref, 600000, NULL), "stop");
	sm_unref(ref);
}

/* ---- the cells ---- */

static const struct savina_benchmark *find(const char *name)
{
	for (size_t i = 0; i < SAVINA_BENCHMARKS; i++)
		if (strcmp(savina_benchmarks[i].name, name) == 0)
			return &savina_benchmarks[i];
	fprintf(stderr, "there is no benchmark '%s'\n", name);
	exit(2);
}

static uint64_t repeat(struct sm_system *system, const struct savina_benchmark *b, const struct savina_params *params, double seconds,
		       double *ret_took)
{
	uint64_t messages = 0;
	double started = now_s();
	for (*ret_took = 0; *ret_took < seconds; *ret_took = now_s() - started) {
		struct savina_result result = {0};
		check(b->run(system, params, &result), b->name);
		if (!savina_is_right(result, b->expected(params))) {
			fprintf(stderr, "%s: wrong result\n", b->name);
			exit(1);
		}
		messages += b->messages(params);
	}
	return messages;
}

int main(int argc, char **argv)
{
	if (argc != 7)
		return 2;
	struct savina_params params = {strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), strcmp(argv[6], "together") == 0};
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 2, .pool_threads = 1};
	check(sm_system_new(&options, &system, NULL), "system");
	double used, ns, bytes, took;
	if (strcmp(argv[1], "create") == 0) {
		used = cpu_s();
		create(system, &params, &ns, &bytes);
		printf("{\"ns\": %.2f, \"bytes\": %.0f, \"cpu_s\": %.3f, \"rss_kib\": %ld}\n", ns, bytes, cpu_s() - used, rss_kib());
	} else {
		const struct savina_benchmark *b = find(argv[1]);
		repeat(system, b, &params, strtod(argv[4], NULL), &took);
		used = cpu_s();
		uint64_t messages = repeat(system, b, &params, strtod(argv[5], NULL), &took);
		printf("{\"ns\": %.2f, \"messages\": %llu, \"cpu_s\": %.3f, \"rss_kib\": %ld}\n", took * 1e9 / (double)messages,
		       (unsigned long long)messages, cpu_s() - used, rss_kib());
	}
	check(sm_system_stop(system, 60000), "stop");
	return 0;
}
