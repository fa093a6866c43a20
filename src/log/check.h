/* A log's directory, looked at without opening it: everything that counts is read and checked, nothing is changed. */
#ifndef LOG_CHECK_H
#define LOG_CHECK_H

#include "base/io.h"

enum log_check_kind {
	LOG_CHECK_OK,      /* a partition, as it is */
	LOG_CHECK_NOTE,    /* what the next start puts right */
	LOG_CHECK_PROBLEM, /* records are lost, or something cannot be read */
};
struct log_check {
	struct io *io;
	const char *dir;   /* topics.json lies here */
	const char *topic; /* only this one; NULL: all */
	/* A line of text for a person. */
	void (*say)(void *arg, enum log_check_kind kind, const char *text);
	void *arg;
};
struct log_check_totals {
	uint32_t partitions, segments, problems;
	uint64_t records, bytes;
};
/* Blocks. Errors: SM_NOT_FOUND (no log here, or no such topic), SM_BUSY (a server is at work), SM_CORRUPT (no table of topics),
 * SM_VERSION, SM_IO. A problem is no error. */
SM_MUST_CHECK enum sm_err log_check(const struct log_check *check, struct log_check_totals *ret_totals, struct sm_error *reterr);

struct log_dump {
	struct io *io;
	const char *path; /* a segment's file, or a partition's directory */
	int64_t from;     /* first offset */
	int64_t most;     /* batches; -1: all */
	bool records;     /* each record too */
	void (*say)(void *arg, const char *text);
	void *arg;
};
/* A line for each batch, and for what is damaged between them. Also beside a running server: then the last group may be half there. */
SM_MUST_CHECK enum sm_err log_dump(const struct log_dump *dump, struct sm_error *reterr);

#endif
