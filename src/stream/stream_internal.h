/* Inside of stream/: a job's parts and the making of one micro-batch. */
#ifndef STREAM_INTERNAL_H
#define STREAM_INTERNAL_H

#include "base/map.h"
#include "log/record_batch.h"
#include "stream/stream.h"

/* ---- internal tables (tables.c) ---- */
struct stream_tables {
	const struct store_table *offset, *state, *claim;
};
/* Make what is not there. */
SM_MUST_CHECK enum sm_err tables__create(struct sm_store *store, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err tables__find(const struct store_schema *schema, struct stream_tables *ret_tables, struct sm_error *reterr);

/* ---- a job ---- */
struct source {
	char *topic;
	const struct schema *schema; /* borrowed; NULL: none */
	struct row_type *type;
	int dedup_column; /* -1: none */
	bool dead_letter; /* not read by statements: where its dead-letter topic stood at the last commit */
	int32_t partitions;
	int64_t *next; /* committed offsets, a partition each */
	int64_t *end;  /* of the micro-batch that is being made */
	int64_t *told; /* holes before these offsets were told: micro-batches are read again */
};
struct statement {
	const struct sql_statement *sql;
	struct sql_incremental *plan;
	uint32_t source;
	char *id; /* "ads.campaign", with #2 for a second statement with that target */
	struct table_writer *writer;
	struct batch *one; /* a row that is being finished */
};
/* One record of the topic that cannot be used. */
struct dead_record {
	uint32_t source;
	int32_t partition;
	int64_t offset, timestamp_ms;
	struct bytes key, value; /* in the arena of the records */
	bool key_null, value_null;
	const char *reason; /* JSON */
};
/* For programs (stream_program.c): makes the mutations of a micro-batch instead of SQL statements. */
struct build;
struct stream_hook {
	enum sm_err (*run)(void *arg, struct build *build, struct sm_error *reterr);
	void *arg;
	const char *topic;
};
struct stream_job {
	char *name, *dedup, *dead_letter;
	const struct compute_env *env;
	uint32_t records_max; /* halved when a micro-batch would be too large for the store */
	uint32_t records_limit;
	size_t bytes_limit;
	bool plant_count_twice;
	struct stream_hook hook;
	struct sql_script *script;
	struct statement *statements;
	uint32_t statement_count;
	struct source sources[STREAM_SOURCES_MAX];
	uint32_t source_count;
	const struct store_schema *schema; /* held */
	struct stream_tables tables;
	uint64_t epoch;
	int64_t last_us;         /* write time of the last micro-batch; grows with each */
	struct map dead_written; /* "source/partition/offset" of dead letters that a batch before a crash appended */
	uint8_t *buffer;
	size_t buffer_cap;
};
SM_MUST_CHECK enum sm_err stream__open(const struct stream_options *options, const struct stream_hook *hook, struct stream_job **ret_job,
				       struct sm_error *reterr);
/* Writers of the targets, anew when the schema has changed. */
SM_MUST_CHECK enum sm_err stream__refresh(struct stream_job *job, struct sm_error *reterr);
/* Counters of the topics' partitions that have appeared since. */
SM_MUST_CHECK enum sm_err source__partitions(struct stream_job *job, struct source *source, struct sm_error *reterr);

/* ---- one micro-batch ---- */
struct build {
	struct stream_job *job;
	struct arena arena;                     /* mutations and what they point to */
	struct arena dead_arena;                /* dead records */
	struct batch *rows[STREAM_SOURCES_MAX]; /* decoded records, then without duplicates */
	struct store_mutation *mutations;
	uint32_t mutation_count, mutation_cap;
	struct dead_record *dead;
	uint32_t dead_count, dead_cap;
	struct map poison; /* position -> reason: records that a statement could not compute with */
	struct arena poison_arena;
	bool too_large; /* statements__run gave up: take fewer records */
	bool poisoned;  /* claims__dedup has put records into poison: read again without them */
	int64_t timestamp_us;
	uint64_t record_count, duplicates, output_rows;
	int64_t lag;
	bool more;
};
/* Read and decode up to `records` records; source->end is set. */
SM_MUST_CHECK enum sm_err source__read(struct build *b, uint32_t records, struct sm_error *reterr);
/* *ret_ours: the record stands for the key, and the claim is among the mutations. seen: keys of this micro-batch. */
SM_MUST_CHECK enum sm_err claims__claim(struct build *b, uint32_t source, int32_t partition, int64_t offset, struct bytes key,
					struct map *seen, bool *ret_ours, struct sm_error *reterr);
/* With records that can have no claim: SM_TOO_LARGE, and poisoned is set. */
SM_MUST_CHECK enum sm_err claims__dedup(struct build *b, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err statements__run(struct build *b, struct sm_error *reterr);
/* After statements__run failed: find the records that alone make it fail and put them into poison. *ret_found 0: none. */
SM_MUST_CHECK enum sm_err statements__find_poison(struct build *b, uint32_t *ret_found, struct sm_error *reterr);
/* The rest of a micro-batch that fails is put into poison. */
SM_MUST_CHECK enum sm_err statements__poison_all(struct build *b, const struct sm_error *why, uint32_t *ret_found, struct sm_error *reterr);
/* Whether an error is about the values of records, not about the engine or the statement. */
bool statements__is_about_values(enum sm_err err);
/* The record is a dead letter from now on, with text as the reason. */
SM_MUST_CHECK enum sm_err poison__add(struct build *b, uint32_t source, int32_t partition, int64_t offset, const char *text,
				      struct sm_error *reterr);
SM_MUST_CHECK enum sm_err offsets__load(struct stream_job *job, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err offsets__put(struct build *b, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err dead__append(struct build *b, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err dead__recover(struct stream_job *job, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err dead__add(struct build *b, const struct dead_record *record, struct sm_error *reterr);

/* ---- helpers (build.c) ---- */
void build__init(struct build *b, struct stream_job *job);
void build__done(struct build *b);
void build__reset(struct build *b); /* everything but poison */
SM_MUST_CHECK enum sm_err build__mutation(struct build *b, struct store_mutation **ret_mutation, struct sm_error *reterr);
struct named_cell {
	const char *column;
	struct store_cell cell;
};
/* INSERT into an internal table; keys are partition key, then clustering. The cells' bytes are copied. */
SM_MUST_CHECK enum sm_err build__put(struct build *b, const struct store_table *table, const struct store_cell *keys,
				     const struct named_cell *cells, uint32_t cell_count, struct sm_error *reterr);
/* Each row of one partition; cells as in table->columns. */
SM_MUST_CHECK enum sm_err stream__read_partition(struct sm_store *store, const struct store_table *table,
						 const struct store_cell *partition_key,
						 enum sm_err (*each)(void *arg, const struct store_row *row), void *arg,
						 struct sm_error *reterr);
static inline struct store_cell cell_of_bytes(struct bytes b)
{
	return (struct store_cell){b.data ? b.data : (const uint8_t *)"", (int32_t)b.size};
}
static inline struct store_cell cell_of_text(const char *text)
{
	return (struct store_cell){(const uint8_t *)text, (int32_t)strlen(text)};
}
/* "raw_events" 0 17: a position in a map. */
size_t stream__position(char out[64], uint32_t source, int32_t partition, int64_t offset);

#endif
