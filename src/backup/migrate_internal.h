/* What the files of a migration share. */
#ifndef BACKUP_MIGRATE_INTERNAL_H
#define BACKUP_MIGRATE_INTERNAL_H

#include "backup/migrate.h"
#include "backup/migrate_limits.h"
#include "base/arena.h"
#include "base/buf.h"

/* A directory of notes (migrate_notes.c). */
struct migrate_state {
	struct io *io;
	const char *dir;
	struct io_file lock;
};

struct migrate_topic {
	const char *name;
	struct uuid source_id, target_id; /* zero: the engine tells none */
	int32_t partitions, replication_factor;
	const struct log_config *configs; /* of the source, without those that are skipped */
	uint32_t config_count;
	const struct log_config *target_configs;
	uint32_t target_config_count;
	int32_t target_partitions; /* 0: it is not there */
	uint32_t held;             /* bits: which of the configs are other ones meanwhile */
	bool compacted;            /* here or there: records may go while they are copied */
};
struct migrate {
	const struct migrate_log_options *o;
	struct migrate_state state;
	struct clock *clock;
	struct arena arena; /* of the topics */
	struct migrate_topic *topics;
	uint32_t topic_count;
	struct migrate_log_report *report;
	struct migrate_sum *sum;
};
/* One line for the operator. */
void migrate__say(struct migrate *m, enum migrate_say kind, const char *fmt, ...) SM_PRINTF(3, 4);

/* ---- migrate_records.c: the records of a partition, one after the other ---- */

struct migrate_cursor {
	struct sm_log *log;
	const char *name; /* of the side, for texts */
	const char *topic;
	int32_t partition;
	int64_t offset; /* all records before it were given */
	int64_t end;
	uint64_t batches; /* entered so far */
	struct log_slice slice;
	struct bytes left; /* of the slice, from the batch on that is being read */
	struct batch_reader reader;
	bool in_batch;
	uint8_t *buffer;
	size_t cap;
};
/* Committed records with offsets from `from` to before `end`. */
void migrate__cursor_init(struct migrate_cursor *c, struct migrate *m, bool target, const char *topic, int32_t partition, int64_t from,
			  int64_t end);
void migrate__cursor_done(struct migrate_cursor *c);
/* The record is borrowed until the next call. SM_END: offset is end now. */
SM_MUST_CHECK enum sm_err migrate__next(struct migrate_cursor *c, struct record *ret_record, struct sm_error *reterr);
bool migrate__same_record(const struct record *a, const struct record *b);

/* The chain of the proof. */
struct migrate_sum;
SM_MUST_CHECK enum sm_err migrate__sum_new(struct migrate_sum **ret_sum);
void migrate__sum_free(struct migrate_sum *s);
void migrate__sum_add(struct migrate_sum *s, const struct record *record, uint8_t sum[MIGRATE_SUM_SIZE]);
/* The chain goes on by these bytes. */
void migrate__sum_bytes(struct migrate_sum *s, struct bytes bytes, uint8_t sum[MIGRATE_SUM_SIZE]);

/* offset_for with a text. */
SM_MUST_CHECK enum sm_err migrate__offset(struct migrate *m, bool target, const char *topic, int32_t partition, int64_t what,
					  int64_t *ret_offset, struct sm_error *reterr);

/* ---- migrate_notes.c: what is kept between runs ---- */

/* All records before `source` are copied and stand before `target`: so many since the begin, with this checksum. */
struct migrate_point {
	int64_t source, target;
	uint64_t records;
	uint8_t sum[MIGRATE_SUM_SIZE];
};
/* The first record at or after `source` has the offset `target`. */
struct migrate_place {
	int64_t source, target;
};
struct migrate_notes {
	bool found;
	struct uuid source_id, target_id;
	struct migrate_point begin;  /* nothing is copied yet */
	struct migrate_point before; /* the tip before the last one: a start compares from here on */
	struct migrate_point tip;    /* acknowledged, MIGRATE_NOTE_MS ago at most */
	struct migrate_point proven; /* the target was read again so far */
	/* Where the distance between the offsets changes, in order. Records from one place to the next follow without a gap, except
	 * right before the next, unless some were forgotten. */
	bool forgotten;
	uint32_t place_count;
	struct migrate_place *places; /* malloc'ed */
};
/* Take the directory of the notes of a migration between these two, and hold it: SM_BUSY, SM_INVALID (of another migration). */
SM_MUST_CHECK enum sm_err migrate__state_open(struct migrate_state *s, const char *source, const char *target, struct sm_error *reterr);
void migrate__state_close(struct migrate_state *s);
/* A partition's; found is false if there are none. Release with migrate__notes_done. */
SM_MUST_CHECK enum sm_err migrate__notes_read(struct migrate *m, const char *topic, int32_t partition, struct migrate_notes *ret_notes,
					      struct sm_error *reterr);
/* Durable when it returns. Places at or behind the tip are left out. */
SM_MUST_CHECK enum sm_err migrate__notes_write(struct migrate *m, const char *topic, int32_t partition, const struct migrate_notes *notes,
					       struct sm_error *reterr);
void migrate__notes_done(struct migrate_notes *notes);
/* The record at `source` stands at `target`. */
void migrate__place_add(struct migrate_notes *notes, int64_t source, int64_t target);
/* Forget the places from `source` on. */
void migrate__places_cut(struct migrate_notes *notes, int64_t source);

/* Any other file of the notes, below the directory: whole, with a checksum. *ret_data malloc'ed, NULL: there is none. */
SM_MUST_CHECK enum sm_err migrate__state_write(struct migrate_state *s, const char *name, struct bytes data, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err migrate__state_read(struct migrate_state *s, const char *name, uint8_t **ret_data, struct bytes *ret_bytes,
					      struct sm_error *reterr);
SM_MUST_CHECK enum sm_err migrate__state_remove(struct migrate_state *s, const char *name, struct sm_error *reterr);
bool migrate__topic_is_noted(struct migrate *m, const char *topic);

/* ---- migrate_topics.c: what is to be copied, and the target's topics ---- */

/* Choose the topics; look at the target without changing it. */
SM_MUST_CHECK enum sm_err migrate__plan(struct migrate *m, struct sm_error *reterr);
/* Make or change the target's topic so that it keeps what is copied. */
SM_MUST_CHECK enum sm_err migrate__prepare(struct migrate *m, struct migrate_topic *t, struct sm_error *reterr);
/* Its true configs. */
SM_MUST_CHECK enum sm_err migrate__finish(struct migrate *m, struct migrate_topic *t, struct sm_error *reterr);
/* Say what prepare would do. */
SM_MUST_CHECK enum sm_err migrate__tell_topic(struct migrate *m, const struct migrate_topic *t, struct sm_error *reterr);

/* ---- migrate_copy.c ---- */

/* Copy what the partition has now; *notes are read, kept up to date, and the caller's to release. */
SM_MUST_CHECK enum sm_err migrate__copy(struct migrate *m, const struct migrate_topic *t, int32_t partition, struct migrate_notes *notes,
					uint64_t *ret_copied, struct sm_error *reterr);

/* ---- migrate_compare.c ---- */

/* Read again what was copied since the last proof. row: topic and partition are set. */
SM_MUST_CHECK enum sm_err migrate__prove(struct migrate *m, struct migrate_notes *notes, struct migrate_log_row *row,
					 struct sm_error *reterr);
/* Compare both sides as they are. */
SM_MUST_CHECK enum sm_err migrate__compare(struct migrate *m, const struct migrate_topic *t, struct migrate_log_row *row,
					   struct sm_error *reterr);

/* ---- migrate_groups.c ---- */

/* Move the offsets of all groups, or say what would be moved. */
SM_MUST_CHECK enum sm_err migrate__groups(struct migrate *m, struct sm_error *reterr);

#endif
