/* Freed memory is kept for the next request (base/block.h, malloc); what an idle server keeps of it goes back to the system.
 *
 * glibc raises its limits by itself as large blocks come and go and then keeps what a burst has taken, beyond malloc_trim's reach: so
 * they are fixed. The heap is one for the whole process, and so is this file's state. */
#include "base/block.h"
#include "base/logging.h"
#include "base/memory.h"
#include "cli/platform.h"
#include <malloc.h>
#include <time.h>

#define LOOK_MS 2000
#define TELL_MS 60000
#define BUSY_PERCENT 5 /* of one core since the last look: less is idle */
enum { LOOK = 1 };

struct keeper {
	uint64_t cpu_ns;            /* at the last look */
	uint64_t told_ns;           /* that memory is tight */
	uint64_t files_ns, refused; /* that connections were refused, and how many */
	bool dirty;                 /* there was work since the last trim */
};
static atomic_bool trimming;

static void trim(struct sm_work *work)
{
	block_trim();
	malloc_trim(0);
	atomic_store(&trimming, false);
}
static struct sm_work trim_work = {.run = trim};

static uint64_t process_cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static enum sm_err keeper_init(struct sm_actor *self, void *state, void *arg)
{
	((struct keeper *)state)->dirty = true;
	return sm_timer_start(self, LOOK, LOOK_MS, LOOK_MS);
}

static void tell(struct keeper *k)
{
	uint64_t now = clock_monotonic_ns(&clock_system);
	if (k->told_ns && now - k->told_ns < TELL_MS * 1000000ull)
		return;
	k->told_ns = now;
	LOG_WARN("memory",
		 "%zu MiB are in use, the budget is %zu MiB (memory.budget): large requests are read one at a time, Kafka's producers slow "
		 "down, and HTTP's are told to come again later while the log does not keep up",
		 memory_used() >> 20, memory_budget() >> 20);
}

static enum sm_err keeper_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct keeper *k = state;
	uint64_t cpu_ns = process_cpu_ns(), used_ns = cpu_ns - k->cpu_ns;
	k->cpu_ns = cpu_ns;
	if (memory_tight())
		tell(k);
	uint64_t now = clock_monotonic_ns(&clock_system);
	if (!k->files_ns || now - k->files_ns >= TELL_MS * 1000000ull) {
		uint64_t before = k->refused;
		platform_files_look(&k->refused);
		k->files_ns = before == k->refused ? 0 : now;
	}
	if (used_ns * 100 > LOOK_MS * 1000000ull * BUSY_PERCENT) {
		k->dirty = true;
	} else if (k->dirty && !atomic_exchange(&trimming, true)) {
		k->dirty = sm_pool_run(sm_actor_system(self), &trim_work) != SM_OK;
		if (k->dirty)
			atomic_store(&trimming, false);
	}
	return SM_OK;
}

enum sm_err platform_memory_keep(struct sm_system *system, uint64_t budget_bytes)
{
	memory_budget_set(budget_bytes ? (size_t)budget_bytes : memory_of_machine() / 4 * 3);
	const struct sm_props props = {
		.name = "memory", .state_size = sizeof(struct keeper), .init = keeper_init, .receive = keeper_receive, .dispatcher = -1};
	mallopt(M_MMAP_THRESHOLD, 512 << 10);
	mallopt(M_TRIM_THRESHOLD, 256 << 10);
	return sm_spawn(system, NULL, &props, NULL);
}
