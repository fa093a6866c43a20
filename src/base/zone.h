/* Time zones of the system's database (TZif files, RFC 9636): wall-clock time to UTC and back.
 * After a zone's last listed change its last offset holds (the files of Debian's tzdata list changes until 2037). */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include "base/clock.h"
#include <smack/error.h>

struct zone;

/* "Europe/Paris". Blocks for a file. Errors: SM_INVALID (no name of a zone), SM_NOT_FOUND, SM_CORRUPT, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err zone_load(const char *name, struct zone **ret_zone, struct sm_error *reterr);
/* From a TZif file's bytes. Errors: SM_CORRUPT, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err zone_parse(const uint8_t *data, size_t size, struct zone **ret_zone, struct sm_error *reterr);
void zone_free(struct zone *zone); /* NULL is allowed */
/* Seconds to add to UTC. zone NULL is UTC, here and below. */
int32_t zone_offset_s(const struct zone *zone, int64_t utc_ms);
/* ms since 1970 as the zone's clocks would show them, read as if they were UTC; for civil_of_ms. */
int64_t zone_local_ms(const struct zone *zone, int64_t utc_ms);
/* The other way. A time that is skipped when clocks go forward becomes as much later; of one that comes twice the first is meant. */
int64_t zone_utc_ms(const struct zone *zone, int64_t local_ms);

#endif
