/* Moving the tables of one store to another, with a proof.
 *
 * Both sides are a struct sm_store and a way to run statements, so that neither side's engine matters. Copied are keyspaces, user types,
 * tables with their options, indexes and views by the words of DESCRIBE; rows with the write time and the end of life of each cell, of
 * collections and user types each element's. Tombstones are not copied. What no reader can see is not either: a row's marker has the write
 * time of its oldest cell, and lives as long as the one that lives longest; that of a row without cells is of the time of the copy.
 * Counters are brought to the source's value by a difference.
 *
 * A table is copied in ranges of tokens. Of each both sides are read side by side, in the order of the ring, and what differs is written,
 * as often as needed until a look finds nothing more to write: that look is the proof, with the number of the rows and a checksum of both
 * sides. So a copy that was killed, a write whose answer was lost and a table that was copied yesterday are one case. Which ranges are
 * proven is noted once a second; a run that follows one which did not end goes on behind them, and one that follows a whole one begins
 * anew: it writes what has changed since. Lists have no elements that could be written twice: what a write that came late has doubled is
 * found and deleted by its place.
 *
 * Looks take the time as it was when they began, at both sides: so what expires meanwhile is there at both or at neither.
 *
 * The target's tables belong to the copy until the last run: a newer cell there is left as it is and is a difference, so is a row that the
 * source has not, unless prune says that it goes. */
#ifndef BACKUP_MIGRATE_STORE_H
#define BACKUP_MIGRATE_STORE_H

#include "backup/migrate.h"
#include "store/store.h"

struct migrate_store_side {
	struct sm_store *store;
	const char *name; /* for texts, and so that notes of another migration are not taken for this one's */
	/* Run one CQL statement; row is called with each row's values as cqlsh prints them. May block. */
	enum sm_err (*run)(void *arg, const char *text, enum sm_err (*row)(void *row_arg, const char *const *values, uint32_t count),
			   void *row_arg, struct sm_error *reterr);
	void *arg;
};
struct migrate_store_options {
	struct migrate_store_side source, target;
	struct io *io;         /* NULL: io_system */
	struct clock *clock;   /* NULL: clock_system */
	const char *state_dir; /* for the notes; made if it is not there. One migration at a time: SM_BUSY */
	/* KEYSPACE or KEYSPACE.TABLE, patterns with * ? []; none: all keyspaces but smack_system and those that belong to the server. */
	const char *const *tables;
	uint32_t table_count;
	uint32_t replication_factor; /* of keyspaces that are made: so many copies in each data center; 0: as at the source */
	uint32_t range_rows;         /* about so many rows are a range; 0: MIGRATE_RANGE_ROWS */
	uint32_t settle_ms;          /* how long a write without an answer may still come; 0: MIGRATE_SETTLE_MS */
	bool prune;                  /* delete what the target has and the source has not */
	bool tell_ranges;            /* a note for each range that is proven */
	bool dry_run;                /* only say what would be done */
	bool verify;                 /* only compare */
	void (*say)(void *arg, enum migrate_say kind, const char *text);
	/* done of total parts of a table's ring are copied and proven. May be NULL. */
	void (*progress)(void *arg, const char *table, uint64_t done, uint64_t total);
	void *arg;
};

/* A table's proof. */
struct migrate_store_row {
	char *table;     /* "keyspace.table" */
	uint64_t ranges; /* that were compared, in this run and in those before that did not end */
	uint64_t source_rows, target_rows;
	uint8_t source_sum[MIGRATE_SUM_SIZE], target_sum[MIGRATE_SUM_SIZE]; /* of the ranges' checksums, in order */
	uint64_t written;                                                   /* rows of this run, in whole or in part */
	bool same;
	char difference[500]; /* the first; "" */
};
struct migrate_store_report {
	struct migrate_store_row *rows; /* none of a dry run */
	uint32_t row_count;
	uint32_t differences; /* rows that are not the same */
	uint32_t not_made;    /* definitions that the target has not, or not so; each was told as a warning */
};
/* Do it, or say what would be done, or compare. May block for long. A difference is in the report, SM_OK is returned.
 * Errors: SM_NOT_FOUND (what was named), SM_CONFLICT (the target has another table of this name), SM_INVALID (a definition that the target
 * refuses; notes of another migration), SM_BUSY, SM_CORRUPT (the source cannot be read, or the notes), what the engines return. */
SM_MUST_CHECK enum sm_err migrate_store(const struct migrate_store_options *options, struct migrate_store_report **ret_report,
					struct sm_error *reterr);
void migrate_store_report_free(struct migrate_store_report *report);

#endif
