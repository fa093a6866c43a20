/* What work stealing could gain, and what it would cost: actors stay on the dispatcher where they were spawned, chosen round robin.
 *
 * Gain: 64 actors, whose load is uneven (the kth has 1/k of the first one's messages, in an order by chance), on two dispatchers: the time
 * beside half of what one dispatcher takes, which is the least that any scheduler could make of it. Cost: a message to an actor
 * whose state is on this core, beside one whose state was touched by the other core last, as that of a stolen actor is. */
#include "actor/actor.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ACTORS 64
#define SEEDS 15
#define MESSAGES 20000

static void check(enum sm_err err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, sm_err_name(err));
	exit(1);
}

static struct sm_system *system_of(uint32_t dispatchers)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = dispatchers, .pool_threads = 1};
	check(sm_system_new(&options, &system, NULL), "sm_system_new");
	return system;
}

static atomic_uint left;

static void wait_for_all(void)
{
	while (atomic_load(&left))
		nanosleep(&(struct timespec){0, 20000}, NULL);
}

/* ---- the gain ---- */

static uint64_t random_state;
static uint64_t random_below(uint64_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % n;
}

static uint32_t spins; /* a message's work */

static enum sm_err work(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	volatile uint32_t *count = state;
	for (uint32_t i = 0; i < spins; i++)
		(*count)++;
	atomic_fetch_sub_explicit(&left, 1, memory_order_relaxed);
	return SM_OK;
}
static void free_msg(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type work_type = {"work", free_msg, NULL};

/* The kth place among the actors has 1/k of the messages of the first. */
static void shares(uint32_t share[ACTORS])
{
	double sum = 0;
	for (int i = 0; i < ACTORS; i++)
		sum += 1.0 / (i + 1);
	for (int i = 0; i < ACTORS; i++)
		share[i] = (uint32_t)(MESSAGES / sum / (i + 1));
	for (uint32_t i = ACTORS - 1; i > 0; i--) {
		uint32_t j = (uint32_t)random_below(i + 1), mine = share[i];
		share[i] = share[j];
		share[j] = mine;
	}
}

static double loaded(uint32_t dispatchers, uint64_t seed)
{
	struct sm_system *system = system_of(dispatchers);
	struct sm_ref *refs[ACTORS];
	uint32_t share[ACTORS], all = 0;
	const struct sm_props props = {.state_size = 8, .receive = work, .mailbox_max = MESSAGES, .dispatcher = SM_DISPATCHER_ANY};
	random_state = seed;
	shares(share);
	for (int i = 0; i < ACTORS; i++) {
		check(sm_spawn(system, NULL, &props, &refs[i]), "sm_spawn");
		all += share[i];
	}
	atomic_store(&left, all);
	uint64_t started = uv_hrtime();
	for (int i = 0; i < ACTORS; i++) {
		for (; share[i]; share[i]--) {
			struct sm_msg *msg = calloc(1, sizeof *msg);
			msg->type = &work_type;
			check(sm_send(refs[i], msg), "sm_send");
		}
	}
	wait_for_all();
	double took = (double)(uv_hrtime() - started);
	for (int i = 0; i < ACTORS; i++)
		sm_unref(refs[i]);
	sm_system_stop(system, 10000);
	return took;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void gain(uint32_t spins_now)
{
	double over[SEEDS], one = 0;
	spins = spins_now;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		double alone = loaded(1, seed);
		one += alone / MESSAGES / SEEDS;
		over[seed] = loaded(2, seed) / (alone / 2);
	}
	qsort(over, SEEDS, sizeof *over, by_size);
	printf("uneven load, %6.1f us a message: %.2f times the least possible (median of %d; worst %.2f)\n", one / 1000, over[SEEDS / 2],
	       SEEDS, over[SEEDS - 1]);
}

/* ---- the cost ---- */

#define STATE_MAX 4096
#define HOPS 300000u
static uint64_t shared_state[STATE_MAX / 8];
static size_t touched;
static struct sm_ref *pair[2];
static const struct sm_msg_type token_type = {"token", NULL, NULL};

/* Both work on one state, turn by turn, as an actor does that another dispatcher has stolen each time. */
static enum sm_err touch(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	for (size_t i = 0; i < touched / 8; i += 8)
		shared_state[i]++;
	uint32_t now = atomic_load_explicit(&left, memory_order_relaxed) - 1;
	atomic_store_explicit(&left, now, memory_order_relaxed);
	return now ? sm_send(pair[sm_self(self) == pair[0]], msg) : SM_OK;
}

static double hop(uint32_t dispatchers)
{
	static struct sm_msg token;
	struct sm_system *system = system_of(dispatchers);
	for (int i = 0; i < 2; i++) {
		const struct sm_props props = {.receive = touch, .dispatcher = i % (int)dispatchers};
		check(sm_spawn(system, NULL, &props, &pair[i]), "sm_spawn");
	}
	atomic_store(&left, HOPS);
	token = (struct sm_msg){.type = &token_type};
	uint64_t started = uv_hrtime();
	check(sm_send(pair[0], &token), "sm_send");
	wait_for_all();
	double each = (double)(uv_hrtime() - started) / HOPS;
	sm_unref(pair[0]);
	sm_unref(pair[1]);
	sm_system_stop(system, 10000);
	return each;
}

int main(void)
{
	static const uint32_t works[] = {100, 1000, 10000};
	for (size_t i = 0; i < sizeof works / sizeof *works; i++)
		gain(works[i]);
	for (touched = 64; touched <= STATE_MAX; touched *= 8)
		printf("a message that finds %4zu bytes of state on its core: %.0f ns; on the other: %.0f ns\n", touched, hop(1), hop(2));
	return 0;
}
