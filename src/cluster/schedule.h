/* ISO 8601 repeating intervals, as Chronos takes them: R[n]/start/period. */
#ifndef CLUSTER_SCHEDULE_H
#define CLUSTER_SCHEDULE_H

#include "base/zone.h"
#include <smack/error.h>
#include <stdbool.h>

struct schedule {
	int64_t repeats;  /* how many runs are left; -1: for ever */
	int64_t start_ms; /* of the next run */
	/* the period: months and days are the zone's calendar's, the rest is time */
	int32_t months, days;
	int64_t period_ms;
	const struct zone *zone; /* borrowed; NULL: UTC */
};
/* "R5/2026-01-01T00:00:00Z/P1D". zone: the start's clock time is this zone's, whatever offset stands behind it, as in Chronos; NULL: none
 * is given. now_ms: for an empty start, which means one second ago. Errors: SM_INVALID with what is wrong. */
SM_MUST_CHECK enum sm_err cluster__schedule_parse(const char *text, const struct zone *zone, int64_t now_ms, struct schedule *ret,
						  struct sm_error *reterr);
/* "2026-01-01T00:00:00.000Z", an offset like +01:00 is allowed; ms since 1970. */
SM_MUST_CHECK enum sm_err cluster__time_parse(const char *text, size_t size, int64_t *ret_ms);
/* The same with the clock time as it stands there, read as UTC. */
SM_MUST_CHECK enum sm_err cluster__time_parse_local(const char *text, size_t size, int64_t *ret_local_ms);
/* One run is over: the start goes to the first slot after now (runs that were missed collapse into one), repeats fall by one. */
void cluster__schedule_advance(struct schedule *s, int64_t now_ms);
/* The text of what is left, for the job's document; out has room for 96. */
void cluster__schedule_format(const struct schedule *s, const char *period, char *out, size_t size);

#endif
