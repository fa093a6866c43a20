/* TZif (RFC 9636): a header, a block with 32-bit times, then, from version 2 on, a second header and block with 64-bit times.
 *
 * header, big-endian:
 *   0   4  "TZif"
 *   4   1  version: 0, '2', '3' ...
 *  20   4  count of UT/local indicators      24   4  count of standard/wall indicators
 *  28   4  count of leap seconds             32   4  count of changes
 *  36   4  count of local time types         40   4  bytes of abbreviations
 * block: times of changes, a type (1 byte) for each, types (4 bytes offset, 1 daylight, 1 abbreviation), abbreviations, leap seconds
 * (time and 4 bytes), the two kinds of indicators (1 byte each). */
#include "base/zone.h"
#include "base/bytes.h"
#include "base/io.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONE_DIR "/usr/share/zoneinfo/"
#define ZONE_FILE_MAX (1u << 20)
#define HEADER 44

struct change {
	int64_t at_s; /* from here on */
	int32_t offset_s;
};
struct zone {
	int32_t first_s; /* before all changes */
	uint32_t count;
	struct change changes[];
};
struct header {
	uint32_t ut, standard, leaps, changes, types, abbreviations;
	char version;
};

static bool header_read(const uint8_t *p, size_t size, struct header *h)
{
	if (size < HEADER || memcmp(p, "TZif", 4) != 0)
		return false;
	*h = (struct header){be32_get(p + 20), be32_get(p + 24), be32_get(p + 28), be32_get(p + 32),
			     be32_get(p + 36), be32_get(p + 40), (char)p[4]};
	/* Each has a few hundred at most: a bound so that sums cannot overflow. */
	return h->ut < 65536 && h->standard < 65536 && h->leaps < 65536 && h->changes < 65536 && h->types < 257 && h->types > 0 &&
	       h->abbreviations < 65536;
}

static size_t block_size(const struct header *h, size_t time_size)
{
	return h->changes * (time_size + 1) + h->types * 6 + h->abbreviations + h->leaps * (time_size + 4) + h->standard + h->ut;
}

enum sm_err zone_parse(const uint8_t *data, size_t size, struct zone **ret_zone, struct sm_error *reterr)
{
	struct header h;
	size_t at = HEADER, wide = 4;
	bool ok = header_read(data, size, &h);
	if (ok && h.version) {
		at += block_size(&h, 4);
		ok = at <= size && header_read(data + at, size - at, &h);
		at += HEADER;
		wide = 8;
	}
	if (!ok || at > size || size - at < block_size(&h, wide))
		return sm_fail(reterr, SM_CORRUPT, "not a time zone file");
	const uint8_t *times = data + at, *kinds = times + h.changes * wide, *types = kinds + h.changes;
	struct zone *zone = calloc(1, sizeof *zone + h.changes * sizeof zone->changes[0]);
	if (!zone)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	zone->first_s = (int32_t)be32_get(types);
	for (uint32_t i = 0; i < h.changes && ok; i++) {
		struct change *c = &zone->changes[zone->count++];
		c->at_s = wide == 8 ? (int64_t)be64_get(times + i * 8) : (int32_t)be32_get(times + i * 4);
		ok = kinds[i] < h.types && (i == 0 || c->at_s > c[-1].at_s);
		if (ok)
			c->offset_s = (int32_t)be32_get(types + kinds[i] * 6);
		ok = ok && c->offset_s > -93600 && c->offset_s < 93600;
	}
	if (!ok) {
		free(zone);
		return sm_fail(reterr, SM_CORRUPT, "not a time zone file");
	}
	*ret_zone = zone;
	return SM_OK;
}

static bool name_ok(const char *name)
{
	if (!isalpha((unsigned char)*name) || strlen(name) > 64)
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_+-/", *c))
			return false;
	return true;
}

enum sm_err zone_load(const char *name, struct zone **ret_zone, struct sm_error *reterr)
{
	char path[128];
	uint8_t *data;
	size_t size;
	if (!name_ok(name))
		return sm_fail(reterr, SM_INVALID, "'%s' is no name of a time zone, as Europe/Paris", name);
	snprintf(path, sizeof path, ZONE_DIR "%s", name);
	enum sm_err err = io_read_file(&io_system, path, ZONE_FILE_MAX, &data, &size, NULL);
	if (err)
		return sm_fail(reterr, SM_NOT_FOUND, "time zone '%s' is not known here: %s (Debian's package tzdata has them)", name, path);
	err = zone_parse(data, size, ret_zone, reterr);
	free(data);
	return err;
}

void zone_free(struct zone *zone)
{
	free(zone);
}

int32_t zone_offset_s(const struct zone *zone, int64_t utc_ms)
{
	if (!zone)
		return 0;
	int64_t s = utc_ms >= 0 ? utc_ms / 1000 : -((999 - utc_ms) / 1000);
	uint32_t low = 0, high = zone->count; /* the first change after s */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (zone->changes[middle].at_s <= s)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? zone->changes[low - 1].offset_s : zone->first_s;
}

int64_t zone_local_ms(const struct zone *zone, int64_t utc_ms)
{
	return utc_ms + zone_offset_s(zone, utc_ms) * 1000ll;
}

int64_t zone_utc_ms(const struct zone *zone, int64_t local_ms)
{
	/* The offsets in force well before and well after: at most one change lies between. */
	int32_t before = zone_offset_s(zone, local_ms - 93600000), after = zone_offset_s(zone, local_ms + 93600000);
	int64_t first = local_ms - before * 1000ll, second = local_ms - after * 1000ll;
	if (zone_offset_s(zone, first) == before)
		return first;
	/* Skipped: with the offset before the change it lies as far behind the change as it was into the gap. */
	return zone_offset_s(zone, second) == after ? second : first;
}
