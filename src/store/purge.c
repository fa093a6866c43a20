/* What can go, and why nobody can miss it.
 *
 * The cells, markers and deletions of a key lie in pieces: in the memtable, in files of level 0, further down. What a reader sees is
 * what all pieces resolve to, together with the deletions of the partition and of ranges, at the reader's time. A compaction sees some
 * of the pieces. It may leave out at once, whatever else there is:
 *
 *   - what the row's own deletion covers, and cells that lose against another (row.c does this when it merges);
 *   - everything in a row that a deletion of its partition or of a range covers: that deletion stays. It is looked up in the whole
 *     database, for it may lie anywhere;
 *   - cells of columns that were dropped: their ids are never given out again;
 *   - the bytes of a value that expired an hour ago (a clock may be set back a little). The cell itself, with its write time and
 *     expiry, goes on winning where it would have won: what beats it by a later expiry still does, and where both are the same, the
 *     other has expired as well.
 *
 * And once gc_grace_seconds have passed since the deletion or the expiry:
 *
 *   - tombstones of cells, expired cells and markers, deletions of rows, if no other piece of the key has a write time that is not
 *     newer: else that piece would come back;
 *   - deletions of partitions and ranges, if no piece of any key that they cover has a write time that is not newer.
 *
 * Which pieces there are is asked of the database, not guessed from levels. A resolved value always stands for the oldest pieces of
 * its key down to the first: RocksDB asks the merge operator for a full merge, and the filter for a value, only then. So the pieces
 * that are not in it are those that arrived later. An iterator over the whole database, memtables included, hands all pieces of a key
 * to the merge operator in order of arrival, and those behind the first n are the others. It is opened after the compaction began, and
 * `now` was read before: a write that it does not see arrives when gc_grace_seconds are over.
 *
 * That is the one thing a user can notice, and it is Cassandra's: a write that arrives more than gc_grace_seconds after a deletion,
 * with an older write time than the deletion, may be seen or not.
 *
 * Nobody reads an older state than the database's newest: no snapshots are taken; an iterator keeps the files and memtables that it
 * began with, and a checkpoint is a set of whole files. What is seen is synced (writer.c), so no loss of power takes back what a
 * decision was based on. Two compactions at a time do not disturb each other: as long as a covered piece is in a file or memtable that
 * counts, the deletion finds it and stays. */
#include "store/purge.h"

#define VALUE_KEPT_S 3600 /* after its expiry */

bool store__row_empty(const struct store__row *row)
{
	return row->cell_count == 0 && row->marker_us == STORE_NO_TIME && row->deleted_us == STORE_NO_TIME;
}

int64_t store__row_oldest(const struct store__row *row)
{
	int64_t oldest = INT64_MAX;
	if (row->marker_us != STORE_NO_TIME)
		oldest = row->marker_us;
	if (row->deleted_us != STORE_NO_TIME && row->deleted_us < oldest)
		oldest = row->deleted_us;
	for (uint32_t i = 0; i < row->cell_count; i++)
		if (row->cells[i].timestamp_us < oldest)
			oldest = row->cells[i].timestamp_us;
	return oldest;
}

/* A tombstone whose time has passed, or an expired cell as long after its expiry. */
static bool cell_due(const struct store__cell *cell, const struct store__table *table, int64_t now_s)
{
	return (cell->tombstone || cell->ttl_s) && store__purge_grace_over(table, now_s, cell->expiry_s);
}

static bool marker_due(const struct store__row *row, const struct store__table *table, int64_t now_s)
{
	return row->marker_us != STORE_NO_TIME && row->marker_ttl_s && store__purge_grace_over(table, now_s, row->marker_expiry_s);
}

static bool deletion_due(const struct store__row *row, const struct store__table *table, int64_t now_s)
{
	return row->deleted_us != STORE_NO_TIME && store__purge_grace_over(table, now_s, row->deleted_s);
}

bool store__purge_due(const struct store__row *row, const struct store__table *table, int64_t now_s)
{
	if (marker_due(row, table, now_s) || deletion_due(row, table, now_s))
		return true;
	for (uint32_t i = 0; i < row->cell_count; i++)
		if (cell_due(&row->cells[i], table, now_s))
			return true;
	return false;
}

static bool cell_goes(const struct store__cell *cell, const struct store__table *table, int64_t now_s, int64_t covered_us,
		      int64_t others_us)
{
	if (cell->timestamp_us <= covered_us)
		return true;
	if (cell->id != STORE_FORM_ID && cell->id < table->next_column_id && table->column_of_id[cell->id] == STORE_NO_COLUMN)
		return true;
	return cell->timestamp_us < others_us && cell_due(cell, table, now_s);
}

bool store__purge_row(struct store__row *row, const struct store__table *table, int64_t now_s, int64_t covered_us, int64_t others_us)
{
	bool changed = false;
	if (row->marker_us != STORE_NO_TIME &&
	    (row->marker_us <= covered_us || (row->marker_us < others_us && marker_due(row, table, now_s)))) {
		row->marker_us = STORE_NO_TIME;
		row->marker_ttl_s = 0;
		row->marker_expiry_s = 0;
		changed = true;
	}
	if (row->deleted_us != STORE_NO_TIME &&
	    (row->deleted_us <= covered_us || (row->deleted_us < others_us && deletion_due(row, table, now_s)))) {
		row->deleted_us = STORE_NO_TIME;
		row->deleted_s = 0;
		changed = true;
	}
	uint32_t kept = 0;
	for (uint32_t i = 0; i < row->cell_count; i++) {
		struct store__cell *cell = &row->cells[i];
		if (cell_goes(cell, table, now_s, covered_us, others_us)) {
			changed = true;
			continue;
		}
		if (cell->ttl_s && cell->expiry_s < now_s - VALUE_KEPT_S && cell->size) {
			cell->size = 0;
			changed = true;
		}
		row->cells[kept++] = *cell;
	}
	if (kept == 1 && row->cells[0].id == STORE_FORM_ID && row->marker_us == STORE_NO_TIME && row->deleted_us == STORE_NO_TIME) {
		kept = 0; /* the form of a clustering of which nothing is left */
		changed = true;
	}
	row->cell_count = kept;
	return changed;
}
