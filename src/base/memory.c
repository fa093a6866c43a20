#include "base/memory.h"
#include "base/clock.h"
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* Bytes. false: the system does not say. */
static bool statm(size_t *ret_resident, size_t *ret_shared)
{
	char text[200];
	unsigned long long size, resident, shared;
	if (!read_text("/proc/self/statm", text, sizeof text) || sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3)
		return false;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	*ret_resident = (size_t)resident * page;
	*ret_shared = (size_t)shared * page;
	return true;
}

size_t memory_used(void)
{
	size_t resident, shared;
	return statm(&resident, &shared) && shared < resident ? resident - shared : 0;
}

size_t memory_resident(void)
{
	size_t resident, shared;
	return statm(&resident, &shared) ? resident : 0;
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

static void limit_read(const char *root, const char *group, const char *file, size_t *most)
{
	char path[PATH_MAX], text[64], *end;
	if (snprintf(path, sizeof path, "%s%s/%s", root, group, file) >= (int)sizeof path || !read_text(path, text, sizeof text))
		return;
	unsigned long long limit = strtoull(text, &end, 10); /* "max": none */
	if (end != text && limit && (!*most || limit < *most))
		*most = (size_t)limit;
}

/* The group's limit and those of the groups around it. In a container the root is the container's own group. */
static void limits_read(const char *root, char *group, const char *file, size_t *most)
{
	for (char *slash; (slash = strrchr(group, '/')); *slash = 0)
		limit_read(root, group, file, most);
	limit_read(root, "", file, most);
}

size_t memory_of_machine(void)
{
	char groups[8192];
	long pages = sysconf(_SC_PHYS_PAGES);
	size_t most = pages > 0 ? (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
	if (!read_text("/proc/self/cgroup", groups, sizeof groups))
		return most;
	char *rest = groups, *line;
	while ((line = strsep(&rest, "\n"))) { /* NUMBER:CONTROLLERS:PATH, of version 2 with no controllers */
		strsep(&line, ":");
		const char *controllers = strsep(&line, ":");
		if (!controllers || !line)
			continue;
		if (!*controllers)
			limits_read("/sys/fs/cgroup", line, "memory.max", &most);
		else if (strcmp(controllers, "memory") == 0)
			limits_read("/sys/fs/cgroup/memory", line, "memory.limit_in_bytes", &most);
	}
	return most;
}
