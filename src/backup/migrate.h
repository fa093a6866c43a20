/* Moving the topics of one log to another, with a proof.
 *
 * Both sides are a struct sm_log, so that neither knows which engine it talks to. Copied are records (key, value, headers, time, in their
 * order, in the codec of their batch), partitions, configs, and the committed offsets of consumer groups. Left out are internal topics,
 * control batches and the records of aborted transactions; so an offset may be another one on the other side, and those of groups are
 * translated.
 *
 * A partition is one sequence of records, and nothing but the copy may write to the target's. So its end says how far the copy has come,
 * whatever happened to the process, its acknowledgements or its own notes: a start compares the records that the target has with those of
 * the source, from the last place that was noted on, and goes on behind them. An append whose acknowledgement was lost is found there and
 * is not made again; one that was never made is not. Notes only save the comparison of what was acknowledged: without any, the whole is
 * compared. A target that holds anything else is refused. Each append must get the offset that it expects, so that a second writer is
 * noticed at once.
 *
 * While records are copied the target's topic keeps them all whatever their times (no retention, no compaction, times as they come); its
 * true configs are set when the copy is proven. A retention that the source does not say stays off: the target's default may be another
 * one. The proof: the records of the target are read again; their number and the checksum of
 * their sequence must be those that were computed when the source was read. The checksum is a chain, sum' = SHA-256(sum, times, key, value,
 * headers of a record), from 32 zero bytes on. */
#ifndef BACKUP_MIGRATE_H
#define BACKUP_MIGRATE_H

#include "base/clock.h"
#include "base/io.h"
#include "log/log.h"

/* MIGRATE_NOTE: what happens or would happen; MIGRATE_WARNING: what the operator should look at, and why. */
enum migrate_say { MIGRATE_NOTE, MIGRATE_WARNING };
struct migrate_log_options {
	struct sm_log *source, *target;
	const char *source_name, *target_name; /* for texts, and so that notes of another migration are not taken for this one's */
	struct io *io;                         /* NULL: io_system */
	struct clock *clock;                   /* NULL: clock_system */
	const char *state_dir;                 /* for the notes; made if it is not there. One migration at a time: SM_BUSY */
	const char *const *topics;             /* names, or patterns with * ? []; none: all but internal ones */
	uint32_t topic_count;
	const char *const *skip_configs; /* that are not set at the target */
	uint32_t skip_config_count;
	int32_t replication_factor; /* of topics that are made; 0: as at the source, if that has more than one, else the target's own */
	bool dry_run;               /* only say what would be done */
	bool verify;                /* only compare */
	bool overwrite_groups;      /* also offsets that a group has committed at the target itself */
	void (*say)(void *arg, enum migrate_say kind, const char *text);
	/* done of total offsets of one partition are copied or compared; proof: are read again. May be NULL. */
	void (*progress)(void *arg, const char *topic, int32_t partition, bool proof, uint64_t done, uint64_t total);
	void *arg;
};

#define MIGRATE_SUM_SIZE 32
/* A partition's proof. */
struct migrate_log_row {
	char *topic;
	int32_t partition;
	uint64_t source_records, target_records;
	uint8_t source_sum[MIGRATE_SUM_SIZE], target_sum[MIGRATE_SUM_SIZE];
	uint64_t copied; /* records of this run */
	bool same;
	/* Else the first difference: offsets at both sides, -1 where one has no such record, and what it is. */
	int64_t source_offset, target_offset;
	char difference[160];
};
struct migrate_log_report {
	struct migrate_log_row *rows; /* by topic and partition; none of a dry run */
	uint32_t row_count;
	uint32_t differences;    /* rows that are not the same */
	uint32_t groups;         /* that were looked at */
	uint32_t offsets;        /* committed at the target, or there already */
	uint32_t offsets_failed; /* not moved; each was told as a warning */
};
/* Do it, or say what would be done, or compare. May block for long. A difference is in the report, SM_OK is returned.
 * Errors: SM_NOT_FOUND (a topic that was named), SM_CONFLICT (the target holds other records, or has another number of partitions),
 * SM_INVALID (configs that the target refuses; notes of another migration), SM_BUSY, SM_CORRUPT (the source cannot be read, or
 * the notes), and what the engines return. What was acknowledged stays; the same call goes on where this one ended. */
SM_MUST_CHECK enum sm_err migrate_log(const struct migrate_log_options *options, struct migrate_log_report **ret_report,
				      struct sm_error *reterr);
void migrate_log_report_free(struct migrate_log_report *report);

#endif
