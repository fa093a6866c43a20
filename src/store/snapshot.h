/* Snapshots of a keyspace: made and put back while the store is at work.
 *
 * A snapshot is a directory that RocksDB opens: hard links to the files of the whole store, so it costs nothing but what is compacted away
 * later, and the file SNAPSHOT: the line "smack snapshot 1", and a line with the keyspace. */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include "store/store.h"

struct store_restored {
	uint32_t tables;
	uint64_t keys, bytes;
};
/* Make dir, which must not be there, a snapshot of all that is durable now. Blocks while the memtable is flushed; writes wait meanwhile.
 * Errors: SM_NOT_FOUND (no such keyspace), SM_EXISTS, SM_UNSUPPORTED (no embedded store), SM_NO_SPACE, SM_IO. */
SM_MUST_CHECK enum sm_err store_snapshot(struct sm_store *store, const char *keyspace, const char *dir, struct sm_error *reterr);
/* Make the snapshot's tables anew and fill them: rows with their write times and expiry, and deletions, as they were. replace: tables
 * of these names are dropped first; else SM_EXISTS. Readers see the tables fill. After an error they may be there in part. Blocks.
 * Errors: SM_NOT_FOUND (no snapshot there, or not of this keyspace), SM_EXISTS, SM_VERSION, SM_CORRUPT, SM_UNSUPPORTED, those of writes. */
SM_MUST_CHECK enum sm_err store_restore(struct sm_store *store, const char *keyspace, const char *dir, bool replace,
					struct store_restored *ret_restored, struct sm_error *reterr);

#endif
