/* Limits of migrations. */
#ifndef BACKUP_MIGRATE_LIMITS_H
#define BACKUP_MIGRATE_LIMITS_H

#define MIGRATE_READ_BYTES (1u << 20)     /* of one read */
#define MIGRATE_APPEND_BYTES (1u << 20)   /* of one append, but for a batch that is larger alone */
#define MIGRATE_BATCH_BYTES (900u << 10)  /* records of one batch, not compressed; below what any topic takes unless told otherwise */
#define MIGRATE_NOTE_MS 1000              /* between two notes of how far a partition has come */
#define MIGRATE_PLACES_MAX 1024           /* of one partition's table of offsets; above, every second one is forgotten */
#define MIGRATE_NOTES_MAX (64u << 20)     /* bytes of one file of notes */
#define MIGRATE_RETRY_MS 50               /* until an append or a read is tried again */
#define MIGRATE_RETRIES 200               /* of one of them */
#define MIGRATE_KEYS_MAX 4000000          /* of one compacted partition that is compared by its keys */
#define MIGRATE_GROUP_OFFSETS_MAX 1000000 /* of all groups together */

#define MIGRATE_RANGE_ROWS 20000        /* of one range of tokens, and what is left of its last partition */
#define MIGRATE_LOOKS_MAX 6             /* at a range that differs again and again */
#define MIGRATE_SETTLE_MS 6000          /* until a write of a run that was killed cannot come any more: beyond Cassandra's own timeouts */
#define MIGRATE_WRITES_UNDER_WAY 96     /* batches of a real Cassandra's partitions; of an embedded store's 4 */
#define MIGRATE_BATCH_MUTATIONS 256     /* of one batch, and what the last row needs */
#define MIGRATE_BATCH_WRITE_BYTES 65536 /* the same */
#define MIGRATE_ROW_BYTES (2u << 20)    /* a row that needs more is written a statement at a time */
#define MIGRATE_PATTERNS_MAX 1024       /* sets of columns of a table that one statement writes; more are written a column at a time */

#endif
