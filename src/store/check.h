/* A store's directory, looked at without a server: all that can be read is read and checked, nothing is changed. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "base/bytes.h"
#include <smack/error.h>

enum store_check_kind {
	STORE_CHECK_OK,      /* a table, as it is */
	STORE_CHECK_PROBLEM, /* rows are lost, or something cannot be read */
};
struct store_check {
	const char *dir; /* RocksDB's */
	/* A line of text for a person. */
	void (*say)(void *arg, enum store_check_kind kind, const char *text);
	void *arg;
};
struct store_check_totals {
	uint32_t tables, files, problems;
	uint64_t keys, bytes;
};
/* The manifest and the log; that each file of tables is there in full; each block's checksum and each key, row and value that a reader may
 * meet; the schema. Blocks, and reads everything once. Errors: SM_NOT_FOUND (no store here), SM_BUSY (a server is at work), SM_VERSION,
 * SM_IO, SM_NO_MEMORY. A problem is no error. */
SM_MUST_CHECK enum sm_err store_check(const struct store_check *check, struct store_check_totals *ret_totals, struct sm_error *reterr);

#endif
