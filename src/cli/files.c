/* Descriptors: shells give 1024 where the system would give more, and each connection takes one. */
#include "base/logging.h"
#include "base/metrics.h"
#include "cli/platform.h"
#include <inttypes.h>
#include <sys/resource.h>

#define ENOUGH 65536 /* more makes programs slow that close all that they might have inherited */

void platform_files_raise(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= ENOUGH)
		return;
	limit.rlim_cur = limit.rlim_max < ENOUGH ? limit.rlim_max : ENOUGH;
	(void)!setrlimit(RLIMIT_NOFILE, &limit); /* then it stays as it is */
}

void platform_files_look(uint64_t *told)
{
	struct rlimit limit = {0};
	uint64_t refused = (uint64_t)metric_get(METRIC_CONNECTIONS_REFUSED);
	if (refused == *told)
		return;
	(void)!getrlimit(RLIMIT_NOFILE, &limit);
	LOG_WARN("connections",
		 "%" PRIu64 " connections were refused since the last such line, with %" PRId64
		 " open: a listener takes %d, all of them half of the descriptors (ulimit -n is %" PRIu64 ")",
		 refused - *told, metric_get(METRIC_CONNECTIONS), NET_CONNECTIONS_MAX, (uint64_t)limit.rlim_cur);
	*told = refused;
}
