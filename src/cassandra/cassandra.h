/* The store on a real Cassandra: the same table of calls as the embedded engine's (store/store.h), through our own client.
 *
 * "Written" means what the consistency level means there: at QUORUM more than half of the copies have it. Reads are made at the same level,
 * so that they see what was written. A batch is atomic: after a failure it is all there in the end, or nothing of it; readers may see a
 * part of it meanwhile (doc/design.md says how, and how a job's batches are fenced). A cursor sees each page as it is when it is fetched,
 * not one state. What this engine cannot do is SM_UNSUPPORTED: transact (conditional statements: ask that Cassandra itself), checkpoint. */
#ifndef CASSANDRA_CASSANDRA_H
#define CASSANDRA_CASSANDRA_H

#include "store/store.h"

struct cassandra_options {
	/* cassandra://HOST[:PORT],HOST[:PORT]?name=value&name=value; values may be percent-encoded. Names: user, password, password.file (a
	 * file that nobody else may read), consistency (QUORUM, LOCAL_QUORUM, ONE, ...), local.dc, replication.factor (copies, in each data
	 * center, of keyspaces that are made with SimpleStrategy; smack_system's are at most 3 without it). */
	const char *address;
	/* More of the same; what the address says wins. An empty value is as none. Borrowed for the call. */
	const struct store_option *settings;
	uint32_t setting_count;
	bool guest; /* make no tables of our own there: batches that would need a journal are SM_TOO_LARGE, jobs are refused */
	uint32_t open_timeout_ms; /* how long the open waits for a host; 0: CLIENT_OPEN_MS */
	/* Called for what an operator should know: hosts that are gone and back, tables that cannot be used. One thread at a time. May be
	 * NULL. */
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
};
/* Waits for a host to answer. Errors: SM_INVALID (address, settings), SM_UNAVAILABLE (nobody answers), SM_DENIED (the login), SM_NO_MEMORY.
 */
SM_MUST_CHECK enum sm_err cassandra_open(const struct cassandra_options *options, struct sm_store **ret_store, struct sm_error *reterr);

/* The end is near: what waits for a host that does not answer gives up. close follows. */
void cassandra_ending(struct sm_store *store);
/* False while no host answers. */
bool cassandra_answers(struct sm_store *store);

/* Run one statement as it is, there. row: of each row, values as cqlsh prints them, NULL is null; may be NULL, an error of it ends the
 * call. Where the statement changes the schema, all hosts know it then, and later pictures do. Blocks. Errors: the server's, in its words;
 * those of requests. */
SM_MUST_CHECK enum sm_err cassandra_run(struct sm_store *store, const char *text,
					enum sm_err (*row)(void *arg, const char *const *values, uint32_t count), void *arg,
					struct sm_error *reterr);

/* The address names a Cassandra (its scheme is cassandra://). */
bool cassandra_is_address(const char *address);
/* Is the address one that cassandra_open would take? Reads no file and asks nobody. Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err cassandra_check(const char *address, struct sm_error *reterr);
/* What may be shown of an address: without its settings, which may hold a password. */
void cassandra_shown(const char *address, char *out, size_t size);
/* Its first host and port, as CQL's drivers take them. */
void cassandra_first(const char *address, char host[256], uint16_t *ret_port);

#endif
