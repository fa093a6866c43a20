#include "base/memory.h"
#include "base/clock.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_size_t budget;
static atomic_uint_fast64_t looked_ns;
static atomic_bool tight;

void memory_budget_set(size_t bytes)
{
	atomic_store(&budget, bytes);
	atomic_store(&looked_ns, 0);
}

size_t memory_budget(void)
{
	return atomic_load(&budget);
}

static bool read_text(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, out, size - 1);
	close(fd);
	out[n > 0 ? n : 0] = 0;
	return n > 0;
}

size_t memory_used(void)
{
	char text[200];
	unsigned long long size, resident, shared;
	if (!read_text("/proc/self/statm", text, sizeof text) || sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 ||
	    shared > resident)
		return 0;
	return (size_t)(resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

bool memory_tight(void)
{
	size_t most = memory_budget();
	if (!most)
		return false;
	uint64_t now = clock_monotonic_ns(&clock_system), last = atomic_load_explicit(&looked_ns, memory_order_relaxed);
	if (now - last >= MEMORY_LOOK_MS * 1000000ull && atomic_compare_exchange_strong(&looked_ns, &last, now))
		atomic_store(&tight, memory_used() > most);
	return atomic_load_explicit(&tight, memory_order_relaxed);
}

size_t memory_of_machine(void)
{
	static const char *const limits[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
	long pages = sysconf(_SC_PHYS_PAGES);
	size_t most = pages > 0 ? (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		char text[64], *end;
		if (!read_text(limits[i], text, sizeof text))
			continue;
		unsigned long long limit = strtoull(text, &end, 10); /* "max": none */
		if (end != text && limit && (!most || limit < most))
			most = (size_t)limit;
	}
	return most;
}
