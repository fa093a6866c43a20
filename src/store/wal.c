/* Is the write-ahead log torn at its end, or rotten before it? RocksDB's recovery stops at the first bad record and drops the
 * rest silently; this check, made before it opens the files, refuses the second case.
 *
 * Each group of writes is one record of the log, and the writer begins a group only after the one before it was synced. So whatever was
 * not synced when the machine stopped is at most one record, the last. A bad record is a torn end if nothing that began later
 * follows it; a record that begins behind it proves that the bad one had been synced, and perhaps acknowledged. What this cannot
 * tell: damage within the very last record looks like a torn end.
 *
 * A log file that was torn may be left over from before an earlier recovery, with a newer file behind it. Then the newer file goes
 * on with the sequence number behind the last good record; behind a rotten one there is a gap. Where no good record comes before
 * the damage, its file may be one that recovery is done with, and whose deletion the loss of power took back. RocksDB's manifest knows: if
 * the store, opened for reading only, comes to the last record of the newest file, nothing that counts was damaged.
 *
 * The format (RocksDB's own): blocks of 32768 bytes; a record is cut into fragments that do not cross blocks:
 *   0   4   CRC-32C of type and payload, rotated right by 15 and 0xa282ead8 added, little-endian
 *   4   2   payload size, little-endian
 *   6   1   type: 1 whole, 2 first, 3 middle, 4 last fragment; 0 with size 0: nothing was written here
 *   7   n   payload; the record begins with its sequence number (8 bytes) and count of changes (4), little-endian
 * Fewer than 7 bytes at the end of a block are left empty.
 *
 * The manifest, which lists the files of tables, has the same format (its records are RocksDB's version edits), is synced with each group
 * of records, and RocksDB takes a size that leads behind its end for a torn end, too: it would forget, and delete, the files named behind
 * it. So it is checked the same way. But where its last record has its whole length and lacks some of its sectors, since a loss of power
 * came before the sync that would have covered it, RocksDB does not open at all: such a record is cut off. */
#include "store/store_internal.h"
#include "base/hash.h"
#include "base/io.h"
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK 32768u
#define SECTOR 512u /* a disk writes each by itself */
#define HEAD 7u
#define MASK 0xa282ead8u
#define WAL_BYTES_MAX (1u << 30)
enum fragment { FRAGMENT_NONE, FRAGMENT_WHOLE, FRAGMENT_FIRST, FRAGMENT_MIDDLE, FRAGMENT_LAST };

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static uint64_t le64(const uint8_t *p)
{
	return le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* The good fragment at `at`, or FRAGMENT_NONE. */
static enum fragment fragment_at(struct bytes log, size_t at, struct bytes *ret_payload)
{
	size_t block_end = at - at % BLOCK + BLOCK, end = block_end < log.size ? block_end : log.size;
	if (end - at < HEAD)
		return FRAGMENT_NONE;
	const uint8_t *p = log.data + at;
	size_t size = p[4] | (size_t)p[5] << 8;
	if (p[6] < FRAGMENT_WHOLE || p[6] > FRAGMENT_LAST || size > end - at - HEAD)
		return FRAGMENT_NONE;
	uint32_t crc = crc32c(0, p + 6, size + 1);
	if (((crc >> 15 | crc << 17) + MASK) != le32(p))
		return FRAGMENT_NONE;
	*ret_payload = bytes_of(p + HEAD, size);
	return (enum fragment)p[6];
}

static size_t skip_trailer(size_t at)
{
	return BLOCK - at % BLOCK < HEAD ? at - at % BLOCK + BLOCK : at;
}

static bool zeros(struct bytes log, size_t at)
{
	for (; at < log.size; at++)
		if (log.data[at])
			return false;
	return true;
}

/* Where a record begins in [from, end), which lies in one block: at any byte, since damage leaves nothing that tells. */
static bool search_beginning(struct bytes log, size_t from, size_t end, size_t *ret_at)
{
	struct bytes payload;
	for (size_t at = from; at < log.size && at < end; at++) {
		enum fragment f = fragment_at(log, at, &payload);
		if (f == FRAGMENT_WHOLE || f == FRAGMENT_FIRST)
			return *ret_at = at, true;
	}
	return false;
}

/* Where a record begins behind damage at or after `from`, where a record begins itself. Its damage may lie in a later block: so each
 * block is walked from fragment to fragment, and searched behind what is no fragment. */
static bool find_beginning(struct bytes log, size_t from, size_t *ret_at)
{
	struct bytes payload;
	size_t block_end = from - from % BLOCK + BLOCK;
	if (search_beginning(log, from + 1, block_end, ret_at))
		return true;
	for (size_t block = block_end; block < log.size; block += BLOCK) {
		for (size_t at = block; at < log.size && at < block + BLOCK;) {
			enum fragment f = fragment_at(log, at, &payload);
			if (f == FRAGMENT_NONE) {
				if (search_beginning(log, at + 1, block + BLOCK, ret_at))
					return true;
				break;
			}
			if (f == FRAGMENT_WHOLE || f == FRAGMENT_FIRST)
				return *ret_at = at, true;
			at += HEAD + payload.size;
		}
	}
	return false;
}

/* What is known after the files so far. */
struct scan {
	uint64_t next_sequence; /* behind the last good record; 0: there was none */
	bool damaged;           /* the file so far ended torn */
	bool doubt;             /* whether the damage counts is to be asked of RocksDB */
	char file[64];
	size_t at;
};

/* One record from *at on; false: it is bad (or the log ends within it). */
static bool read_record(struct bytes log, size_t *at, struct scan *scan)
{
	uint8_t head[12];
	size_t got = 0, pos = *at;
	for (bool first = true;; first = false) {
		struct bytes payload;
		pos = skip_trailer(pos);
		if (pos >= log.size)
			return false;
		enum fragment f = fragment_at(log, pos, &payload);
		if (f == FRAGMENT_NONE || first != (f == FRAGMENT_WHOLE || f == FRAGMENT_FIRST))
			return false;
		size_t n = sizeof head - got < payload.size ? sizeof head - got : payload.size;
		if (n)
			memcpy(head + got, payload.data, n);
		got += n;
		pos += HEAD + payload.size;
		if (f == FRAGMENT_WHOLE || f == FRAGMENT_LAST)
			break;
	}
	if (got < sizeof head)
		return false;
	/* Behind a torn file that recovery has dealt with, the next one goes on where the good records ended. */
	uint64_t sequence = le64(head);
	if (scan->damaged && sequence != scan->next_sequence)
		return false;
	scan->damaged = false;
	scan->next_sequence = sequence + le32(head + 8);
	*at = pos;
	return true;
}

static enum sm_err rotten(const char *file, size_t at, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_CORRUPT,
		       "the store's write-ahead log %s is damaged at byte %zu, and later writes follow: they were acknowledged and cannot "
		       "be trusted; restore the "
		       "store from a backup or checkpoint",
		       file, at);
}

static enum sm_err scan_file(const char *name, struct bytes log, struct scan *scan, struct sm_error *reterr)
{
	size_t at = 0;
	while ((at = skip_trailer(at)) < log.size) {
		bool was_damaged = scan->damaged;
		if (read_record(log, &at, scan))
			continue;
		if (was_damaged) {
			scan->damaged = false; /* as if it did not count */
			if (read_record(log, &at, scan)) {
				scan->doubt = true;
				continue;
			}
			scan->damaged = true;
		}
		if (was_damaged && !zeros(log, at)) {
			size_t begin = 0;
			struct bytes payload;
			enum fragment f = fragment_at(log, at, &payload);
			if (f == FRAGMENT_WHOLE || f == FRAGMENT_FIRST || find_beginning(log, at, &begin))
				return rotten(scan->file, scan->at, reterr);
			return SM_OK; /* torn as well: nothing that began later is known */
		}
		if (zeros(log, at))
			return SM_OK;
		size_t begin;
		if (find_beginning(log, at, &begin))
			return rotten(name, at, reterr);
		scan->damaged = true;
		snprintf(scan->file, sizeof scan->file, "%s", name);
		scan->at = at;
		return SM_OK;
	}
	return SM_OK;
}

/* Does RocksDB, which leaves out what its manifest says is done with, come to the last record? */
static enum sm_err ask_rocks(const char *dir, const struct scan *scan, struct sm_error *reterr)
{
	struct store__rocks rocks;
	const struct store__rocks_options options = {.dir = dir, .read_only = true};
	enum sm_err err = store__rocks_open(&options, &rocks, reterr);
	if (err)
		return err;
	uint64_t next = rocksdb_get_latest_sequence_number(rocks.db) + 1;
	store__rocks_close(&rocks);
	return next < scan->next_sequence ? rotten(scan->file, scan->at, reterr) : SM_OK;
}

struct names {
	char **items;
	size_t count;
};

static enum sm_err add_name(void *arg, const char *name)
{
	struct names *n = arg;
	size_t size = strlen(name);
	if (size < 5 || strcmp(name + size - 4, ".log") != 0 || strspn(name, "0123456789") != size - 4)
		return SM_OK;
	char **items = realloc(n->items, (n->count + 1) * sizeof *items);
	if (!items)
		return SM_NO_MEMORY;
	n->items = items;
	if (!(items[n->count] = strdup(name)))
		return SM_NO_MEMORY;
	n->count++;
	return SM_OK;
}

static int compare_names(const void *a, const void *b)
{
	uint64_t x = strtoull(*(char *const *)a, NULL, 10), y = strtoull(*(char *const *)b, NULL, 10);
	return (x > y) - (x < y);
}

enum sm_err store__wal_check(const char *dir, struct sm_error *reterr)
{
	struct names names = {0};
	struct scan scan = {0};
	enum sm_err err = io_system.ops->list(&io_system, dir, add_name, &names, reterr);
	if (names.count)
		qsort(names.items, names.count, sizeof *names.items, compare_names);
	for (size_t i = 0; i < names.count && !err; i++) {
		char path[4096];
		uint8_t *data = NULL;
		size_t size;
		snprintf(path, sizeof path, "%s/%s", dir, names.items[i]);
		if ((err = io_read_file(&io_system, path, WAL_BYTES_MAX, &data, &size, reterr)))
			break;
		err = scan_file(names.items[i], bytes_of(data, size), &scan, reterr);
		free(data);
	}
	for (size_t i = 0; i < names.count; i++)
		free(names.items[i]);
	free(names.items);
	return !err && scan.doubt ? ask_rocks(dir, &scan, reterr) : err;
}

/* The manifest's name in CURRENT, without its line end. */
static enum sm_err manifest_path(const char *dir, char path[4096], struct sm_error *reterr)
{
	uint8_t *data = NULL;
	size_t size = 0;
	snprintf(path, 4096, "%s/CURRENT", dir);
	enum sm_err err = io_read_file(&io_system, path, 256, &data, &size, reterr);
	if (err)
		return err == SM_TOO_LARGE ? sm_fail(reterr, SM_CORRUPT, "%s is damaged: it names no manifest", path) : err;
	size_t digits = 9;
	while (digits < size && data[digits] >= '0' && data[digits] <= '9')
		digits++;
	if (size < 11 || memcmp(data, "MANIFEST-", 9) != 0 || digits != size - 1 || data[size - 1] != '\n')
		err = sm_fail(reterr, SM_CORRUPT, "%s is damaged: it names no manifest", path);
	else
		snprintf(path, 4096, "%s/%.*s", dir, (int)size - 1, (const char *)data);
	free(data);
	return err;
}

/* Where the good fragments end. */
static size_t good_end(struct bytes log)
{
	size_t at = 0;
	struct bytes payload;
	while ((at = skip_trailer(at)) < log.size && fragment_at(log, at, &payload) != FRAGMENT_NONE)
		at += HEAD + payload.size;
	return at;
}

/* Were the bytes from `at` on never written in full? A sector that has none of them is one that no sync has covered. */
static bool lacks_a_sector(struct bytes log, size_t at)
{
	size_t end, next;
	if (!find_beginning(log, at, &end))
		end = log.size;
	for (size_t from = at; from < end; from = next) {
		next = from - from % SECTOR + SECTOR;
		if (next > end && end < log.size)
			return false; /* it has what begins there */
		if (zeros(bytes_of(log.data, next < end ? next : end), from))
			return true;
	}
	return false;
}

enum sm_err store__manifest_check(const char *dir, struct sm_error *reterr)
{
	char path[4096];
	uint8_t *data = NULL;
	size_t size, at, begin;
	enum sm_err err = manifest_path(dir, path, reterr);
	if (err)
		return err == SM_NOT_FOUND ? SM_OK : err; /* a new directory */
	if ((err = io_read_file(&io_system, path, WAL_BYTES_MAX, &data, &size, reterr)))
		return err != SM_NOT_FOUND
			       ? err
			       : sm_fail(reterr, SM_CORRUPT,
					 "the store's CURRENT is damaged, or a file is missing: it names %s, which is not there; "
					 "restore the store from a backup or snapshot",
					 path);
	struct bytes log = bytes_of(data, size);
	at = good_end(log);
	if (at < log.size && !zeros(log, at) && find_beginning(log, at, &begin) && !lacks_a_sector(log, at))
		err = sm_fail(
			reterr, SM_CORRUPT,
			"the store's manifest %s is damaged at byte %zu, and later entries follow: the files that they name would be lost; "
			"restore the store from a backup or snapshot",
			path, at);
	free(data);
	return err;
}

static bool cut(const char *path, size_t size)
{
	struct io_file file;
	if (io_system.ops->open(&io_system, path, IO_WRITE, &file, NULL))
		return false;
	bool fine = !io_system.ops->truncate(&io_system, &file, size, NULL) && !io_system.ops->fdatasync(&io_system, &file, NULL);
	io_system.ops->close(&io_system, &file);
	return fine;
}

bool store__manifest_cut(const char *dir)
{
	char path[4096];
	uint8_t *data;
	size_t size;
	if (manifest_path(dir, path, NULL) || io_read_file(&io_system, path, WAL_BYTES_MAX, &data, &size, NULL))
		return false;
	struct bytes log = bytes_of(data, size);
	size_t at = good_end(log);
	bool torn = at > 0 && at < size && lacks_a_sector(log, at);
	free(data);
	return torn && cut(path, at);
}
