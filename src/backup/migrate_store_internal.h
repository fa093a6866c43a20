/* What the files of a migration of tables share. */
#ifndef BACKUP_MIGRATE_STORE_INTERNAL_H
#define BACKUP_MIGRATE_STORE_INTERNAL_H

#include "backup/migrate_internal.h"
#include "backup/migrate_store.h"
#include <semaphore.h>
#include <stdatomic.h>

/* A row of DESCRIBE. */
struct migrate_definition {
	const char *keyspace, *kind, *name, *text; /* names as they are, without quotes */
	const char *base;                          /* of an index or view: its table */
};
struct migrate_definitions {
	struct migrate_definition *items;
	uint32_t count, cap;
};
struct migrate_table {
	const struct store_table *source; /* of the source's picture */
	const struct store_table *target; /* of target_schema; NULL: it is not there */
	const char *name;                 /* "keyspace.table" */
	bool unsettled;                   /* a write that came twice would count twice: it has lists or counters */
	struct {
		uint64_t seen[MIGRATE_PATTERNS_MAX * 2];
		uint32_t count;
	} patterns; /* sets of columns that were written by one statement */
};
struct migrate_move {
	const struct migrate_store_options *o;
	struct migrate_state state;
	struct clock *clock;
	struct arena arena; /* of tables and definitions */
	struct migrate_sum *sum;
	struct migrate_store_report *report;
	const struct store_schema *source_schema, *target_schema;
	struct migrate_definitions wanted; /* of the source, in the order in which they can be made */
	struct migrate_table **tables;
	uint32_t table_count;
	int64_t begun_us;
};
void migrate__tell(struct migrate_move *m, enum migrate_say kind, const char *fmt, ...) SM_PRINTF(3, 4);

/* ---- migrate_store_schema.c: what is to be copied, and the target's definitions ---- */

/* Choose the tables; look at the target without changing it. */
SM_MUST_CHECK enum sm_err migrate__store_plan(struct migrate_move *m, struct sm_error *reterr);
/* Keyspaces, types and tables; or (after the rows) indexes and views, of which those that are refused are told and counted. */
SM_MUST_CHECK enum sm_err migrate__define(struct migrate_move *m, bool after_rows, struct sm_error *reterr);
/* A new picture of the target, so that a reader sees what was written up to now. */
SM_MUST_CHECK enum sm_err migrate__target_anew(struct migrate_move *m, struct migrate_table *t, struct sm_error *reterr);

/* ---- migrate_store_rows.c: a table as a sequence of rows, at a time ---- */

/* What is compared: a partition's static cells, or a row's others. */
struct migrate_walk {
	struct sm_store *store;
	const struct store_table *table;
	const char *side; /* for texts */
	struct store_cursor *cursor;
	const struct store_row *row; /* NULL: the end */
	bool statics;                /* the item is the static cells of row's partition */
	int64_t now_s;
	struct buf bytes;     /* the item: keys, values, write times, ends of life */
	struct buf partition; /* the key of the partition that was begun */
};
SM_MUST_CHECK enum sm_err migrate__walk_open(struct migrate_walk *w, const struct migrate_store_side *side, const struct store_table *table,
					     int64_t from, int64_t to, int64_t now_s, struct sm_error *reterr);
void migrate__walk_close(struct migrate_walk *w);
/* To the first or next item; row is borrowed until the next call. */
SM_MUST_CHECK enum sm_err migrate__walk_next(struct migrate_walk *w, struct sm_error *reterr);
/* Which item comes first in the ring; 0: they are of the same row. */
int migrate__walk_order(const struct migrate_walk *a, const struct migrate_walk *b);
/* The item's key for a person. */
void migrate__walk_key(const struct migrate_walk *w, char *out, size_t size);

/* ---- migrate_store_batch.c: writes on their way ---- */

/* A cell or an element that is to be written. */
struct migrate_piece {
	uint16_t column; /* of the table */
	enum store_assign how;
	struct store_cell path, value;
	int64_t timestamp_us, expiry_s;
	uint32_t number; /* in the order in which they were found */
};
struct migrate_batch {
	struct migrate_writer *writer;
	struct arena arena;
	struct store_mutation *mutations;
	uint32_t count, cap;
	size_t bytes;
	int64_t token;
};
struct migrate_writer {
	struct migrate_move *m;
	struct migrate_table *t;
	const struct store_table *table;
	struct sm_store *store;
	int64_t now_s;
	bool one_partition;
	struct migrate_batch *batch; /* that is being filled; NULL: none */
	uint64_t rows;
	unsigned window;
	sem_t room;
	_Atomic int err; /* the first */
	_Atomic int64_t err_token;
	/* of the item at work */
	struct arena scratch;
	struct migrate_piece *pieces;
	uint32_t count, cap;
	const char *why; /* what is left as it is */
	bool no_memory;
	const struct migrate_walk *source, *target;
	struct store_cell *keys; /* in the batch's arena; NULL: not copied yet */
};
SM_MUST_CHECK enum sm_err migrate__writer_new(struct migrate_move *m, struct migrate_table *t, int64_t now_s,
					      struct migrate_writer **ret_writer, struct sm_error *reterr);
/* Waits for all that is under way, frees. *ret_rows: items that something was written of. Errors: of any write. */
SM_MUST_CHECK enum sm_err migrate__writer_end(struct migrate_writer *w, uint64_t *ret_rows, struct sm_error *reterr);
/* Begin an item's mutations, in the batch that it belongs to. false: no memory. */
bool migrate__batch_item(struct migrate_writer *w, const struct migrate_walk *item);
/* A mutation of the item with room for cells; NULL, and no_memory: there is none. */
struct store_mutation *migrate__batch_add(struct migrate_writer *w, const struct migrate_walk *item, enum store_mutation_kind kind,
					  uint32_t cells);
/* A copy that lives as long as the batch. */
struct store_cell migrate__batch_keep(struct migrate_writer *w, struct store_cell value);
/* Send what is gathered. */
void migrate__batch_flush(struct migrate_writer *w);
void migrate__batch_failed(struct migrate_writer *w, enum sm_err err, int64_t token);
enum sm_err migrate__write_error(struct migrate_writer *w, enum sm_err err, struct sm_error *reterr);

/* ---- migrate_store_write.c: what makes the target's item the source's ---- */

/* target: NULL, or at the same row. *ret_why: NULL, or what is not written, and why not. Errors: those of writes before it. */
SM_MUST_CHECK enum sm_err migrate__write(struct migrate_writer *w, const struct migrate_walk *source, const struct migrate_walk *target,
					 const char **ret_why, struct sm_error *reterr);
/* The target's item goes. */
SM_MUST_CHECK enum sm_err migrate__remove(struct migrate_writer *w, const struct migrate_walk *target, struct sm_error *reterr);

/* ---- migrate_store_ranges.c ---- */

/* Copy and prove, or compare, all of a table. row: table is set. */
SM_MUST_CHECK enum sm_err migrate__table(struct migrate_move *m, struct migrate_table *t, struct migrate_store_row *row,
					 struct sm_error *reterr);
/* The table's notes: all is done. */
SM_MUST_CHECK enum sm_err migrate__table_forget(struct migrate_move *m, const struct migrate_table *t, struct sm_error *reterr);

#endif
