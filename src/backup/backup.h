/* Archives of a topic's events, and loading them into a table.
 *
 * An archive is a tree DIR/YYYY/MM/DD.gz of gzip NDJSON: each event as it came, in the file of its own day (UTC, by a field of
 * its schema). Restoring writes rows by their key, so that doing it twice changes nothing. All file I/O goes through base/io.h. */
#ifndef BACKUP_BACKUP_H
#define BACKUP_BACKUP_H

#include "base/io.h"
#include "base/schema.h"
#include "log/log.h"
#include "store/store.h"

struct backup_archive_options {
	struct sm_log *log;
	struct io *io; /* NULL: io_system */
	const char *topic;
	const struct schema *schema; /* of the topic's values */
	const char *time_field;      /* an integer (ms since 1970) or a date-time of the schema */
	const char *dir;             /* made if it is not there */
};
struct backup_archive_stats {
	uint64_t events;
	uint64_t bad; /* records that do not fit the schema: left out, counted */
	uint32_t files;
};
/* Archive everything between the earliest offset and the high watermark of this moment. Each day's file is written whole under another
 * name and renamed when it is on disk: a file that is there is complete. A day that has a file already is written anew: the topic is the
 * truth for what it still holds; days that retention has taken from the topic keep their files. May block for long.
 * Errors: SM_NOT_FOUND (topic), SM_INVALID (no such time field), SM_TOO_LARGE (more than BACKUP_DAYS_MAX days), SM_IO, SM_NO_SPACE. */
SM_MUST_CHECK enum sm_err backup_archive(const struct backup_archive_options *options, struct backup_archive_stats *ret_stats,
					 struct sm_error *reterr);

struct backup_restore_options {
	struct sm_store *store;
	struct io *io; /* NULL: io_system */
	const char *keyspace, *table;
	const struct schema *schema; /* of the lines; its fields go to the columns of the same names */
	const char *pattern; /* a glob: DIR/2019/11/ and a star before .gz; or a directory, which means all its .gz files at depth 3 */
};
struct backup_restore_stats {
	uint32_t files;
	uint64_t rows;
	uint64_t bad;        /* lines that do not fit: skipped, counted */
	char first_bad[300]; /* "FILE:LINE: reason" of the first one, or "" */
};
/* The write time of each row is 1 us before now at the start for all rows; rows that were written later by somebody else win.
 * Errors: SM_NOT_FOUND (table, no file), SM_TYPE (a column and its field do not go together), SM_CORRUPT (not gzip), SM_IO. */
SM_MUST_CHECK enum sm_err backup_restore(const struct backup_restore_options *options, struct backup_restore_stats *ret_stats,
					 struct sm_error *reterr);

#endif
