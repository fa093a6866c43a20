/* Savina's benchmarks with the parameters of its paper, each result checked: the best of three runs on one dispatcher, and on one a core.
 */
#include "actor/actor.h"
#include "actor/savina_work.h"
#include <stdio.h>

#define RUNS 3

static uint64_t timed(const struct savina_benchmark *b, uint32_t dispatchers)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = dispatchers, .pool_threads = 1};
	struct savina_result result = {0}, expected = b->expected(&b->paper);
	enum sm_err err = sm_system_new(&options, &system, NULL);
	if (err) {
		fprintf(stderr, "no system: %s\n", sm_err_name(err));
		exit(1);
	}
	uint64_t started = uv_hrtime();
	err = b->run(system, &b->paper, &result);
	uint64_t took = uv_hrtime() - started;
	if (err || !savina_is_right(result, expected)) {
		fprintf(stderr, "%s: %s, %llu instead of %llu\n", b->name, sm_err_name(err), (unsigned long long)result.number,
			(unsigned long long)expected.number);
		exit(1);
	}
	sm_system_stop(system, 10000);
	return took;
}

static uint64_t best(const struct savina_benchmark *b, uint32_t dispatchers)
{
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < RUNS; i++) {
		uint64_t took = timed(b, dispatchers);
		least = took < least ? took : least;
	}
	return least;
}

static void show(uint64_t ns, uint64_t messages)
{
	printf("%10.2f ms %8.1f ns", (double)ns / 1e6, (double)ns / (double)messages);
	fflush(stdout);
}

int main(void)
{
	printf("%-22s%26s%26s\n", "Savina, best of 3", "one dispatcher, a message", "one a core, a message");
	for (size_t i = 0; i < SAVINA_BENCHMARKS; i++) {
		const struct savina_benchmark *b = &savina_benchmarks[i];
		uint64_t messages = b->messages(&b->paper);
		printf("%-22s", b->name);
		show(best(b, 1), messages);
		show(best(b, 0), messages);
		printf("\n");
	}
	return 0;
}
