/* Secondary indexes. index.c says what an entry is and why none is missing, index_read.c reads by them, index_build.c makes the entries of
 * rows that were there before the index, index_stale.c tells which entries nobody needs. */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include "store/store_internal.h"

struct rocksdb_iterator_t;

/* ---- definitions and entries (index.c) ---- */

/* Copy from's indexes into the table, whose columns are there. Errors: SM_INVALID, SM_TOO_LARGE, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__indexes_copy(struct store__table *table, const struct store_table *from, struct sm_error *reterr);
/* May an index that has no number yet be made? What copying checks is not looked at. Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err store__index_new_ok(const struct store_table *table, const struct store_index *index, struct sm_error *reterr);
static inline const struct store_column *store__index_column(const struct store__table *table, uint16_t index)
{
	return &table->public.columns[table->index_columns[index]];
}
/* Which of the picture's tables has the index of this number, and as which of its indexes; NULL: none. */
struct store__table *store__schema_index(const struct store__schema *schema, uint32_t number, uint16_t *ret_index);

/* A key of an index taken apart; borrowed from the key. */
struct store__entry {
	uint32_t index;
	struct bytes value;  /* encoded, see index.c */
	struct bytes row;    /* a key of the table from the token on; its kind byte is 0 for the whole partition */
	struct bytes prefix; /* of row, through the partition key */
	enum store_key_kind kind;
};
/* As store_compare, with letters folded where the index does that. */
int store__index_compare(const struct store_index *index, const struct store_type *type, struct store_cell a, struct store_cell b);
/* Errors: SM_CORRUPT. */
SM_MUST_CHECK enum sm_err store__entry_decode(struct bytes key, struct store__entry *ret_entry);
/* Append a value as it stands in entries; type: the column's. key: of STORE_INDEX_ENTRIES; ignored else. */
void store__entry_value(const struct store_type *type, const struct store_index *index, struct store_cell key, struct store_cell value,
			struct buf *out);
/* Where a cursor finds what the entry (row, prefix and kind) names: the row, or the whole partition. key, end: keep the bytes that the aim
 * borrows. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__entry_aim(const struct store__table *table, const struct store__entry *entry, struct buf *key,
					   struct buf *end, struct store__aim *ret_aim);
/* Does `fits` accept one of the values that the row has for the index? key: of an element its path, of a whole value null. */
bool store__index_any(const struct store__table *table, uint16_t index, const struct store_row *row,
		      bool (*fits)(const void *arg, struct store_cell key, struct store_cell value), const void *arg);
/* Append PUTs of all entries that a key of the table with this value needs: in all indexes, or with only != 0 in one. Errors: SM_CORRUPT,
 * SM_TOO_LARGE (ops would hold more than STORE_INDEX_ENTRIES_BYTES_MAX), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__index_put(const struct store__table *table, struct bytes key, struct bytes value, uint32_t only,
					   struct buf *ops);
/* The writer's part: append the entries for all that write does to tables of the picture. Errors: SM_TOO_LARGE, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__index_write(const struct store__schema *schema, struct store__write *write);
/* The key of the record that says how far an index is built. */
void store__index_system_key(uint32_t number, struct buf *out);
/* Append what drops an index with all its entries, or says that it is built. */
void store__index_delete(struct buf *ops, uint32_t number);
void store__index_put_built(struct buf *ops, uint32_t number);

/* ---- which are built (index_build.c) ---- */

struct store__built *store__built_new(void);
void store__built_free(struct store__built *built); /* NULL is allowed */
SM_MUST_CHECK enum sm_err store__built_add(struct store__built *built, uint32_t number);
bool store__built_has(struct store__built *built, uint32_t number);
/* Before the ops of a change are written, those that they drop go: then a read that meets an index without entries finds that it is not
 * built any more, and reads without it. Thread: the writer's, also of the next three. */
void store__built_begin(struct store__built *built, const struct buf *ops);
/* The ops, of a change or of the builder, are written: those that they say are built are there. One for which there is no memory is read
 * without its index until the next start. */
void store__built_written(struct store__built *built, const struct buf *ops);
/* The change that begin was told of is not written: what it would have dropped is there again. */
void store__built_failed(struct store__built *built);
/* It is written; or the database is going to be read anew and may have it after all: what it drops is not there, unless it is added. */
void store__built_drop(struct store__built *built);

/* ---- building (index_build.c) ---- */

struct store__builder;
SM_MUST_CHECK enum sm_err store__builder_new(struct store__engine *engine, struct store__builder **ret_builder, struct sm_error *reterr);
/* There may be something to build. Thread: any. */
void store__builder_wake(struct store__builder *builder);
/* Breaks off what it does; the next start goes on there. NULL is allowed. */
void store__builder_free(struct store__builder *builder);

/* ---- reading (index_read.c) ---- */

struct store__by_index;
/* read->where is not NULL. Errors: those of store_ops.open. */
SM_MUST_CHECK enum sm_err store__by_index_open(struct store__engine *engine, const struct store_read *read,
					       struct store__by_index **ret_reading, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err store__by_index_next(struct store__by_index *reading, const struct store_row **ret_row);
void store__by_index_close(struct store__by_index *reading); /* NULL is allowed */

/* ---- entries that nobody needs (index_stale.c) ---- */

struct store__stale;
/* it: an iterator without bounds of the state to look at; it belongs to the caller and lives longer. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__stale_new(struct store__engine *engine, struct store__schema *schema, struct rocksdb_iterator_t *it,
					   int64_t now_s, struct store__stale **ret_stale);
void store__stale_free(struct store__stale *stale); /* NULL is allowed */
/* false: it is needed, or that cannot be told. */
bool store__stale_is(struct store__stale *stale, struct bytes key);

#endif
