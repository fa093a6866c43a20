/* File I/O as a table of calls, so that a test can fail, tear or lose any of them.
 * All file I/O of log/ and backup/ goes through it. Every call returns SM_OK or an error whose text is in reterr
 * (may be NULL). Thread: any; a struct io_file is used by one thread at a time except io_pread. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include "base/bytes.h"
#include <sys/types.h>
#include <sys/uio.h>

struct io_file {
	int fd; /* a real descriptor also in the fault twin: sendfile needs it */
	void *twin;
};

/* IO_DIRECT: past the page cache. What is read and written lies on whole pages of 4 KiB, in memory and in the file; SM_INVALID where the
 * file system cannot do it. The fault twin ignores it. */
enum io_open { IO_READ = 1, IO_WRITE = 2, IO_CREATE = 4, IO_EXCLUSIVE = 8, IO_TRUNCATE = 16, IO_DIRECT = 32 };

struct io;
struct io_ops {
	enum sm_err (*open)(struct io *io, const char *path, unsigned how, struct io_file *ret_file, struct sm_error *reterr);
	void (*close)(struct io *io, struct io_file *file);
	/* Reads until size bytes or the end of the file; ret_got tells how many. */
	enum sm_err (*pread)(struct io *io, struct io_file *file, void *data, size_t size, uint64_t at, size_t *ret_got,
			     struct sm_error *reterr);
	/* All or an error; after an error any prefix may have been written. */
	enum sm_err (*pwritev)(struct io *io, struct io_file *file, const struct iovec *iov, int n, uint64_t at, struct sm_error *reterr);
	enum sm_err (*fdatasync)(struct io *io, struct io_file *file, struct sm_error *reterr);
	enum sm_err (*truncate)(struct io *io, struct io_file *file, uint64_t size, struct sm_error *reterr);
	enum sm_err (*size)(struct io *io, struct io_file *file, uint64_t *ret_size, struct sm_error *reterr);
	enum sm_err (*rename)(struct io *io, const char *from, const char *to, struct sm_error *reterr);
	enum sm_err (*unlink)(struct io *io, const char *path, struct sm_error *reterr); /* SM_NOT_FOUND if it is not there */
	enum sm_err (*mkdir)(struct io *io, const char *path, struct sm_error *reterr);  /* SM_OK if it is there */
	enum sm_err (*rmdir)(struct io *io, const char *path, struct sm_error *reterr);
	enum sm_err (*sync_dir)(struct io *io, const char *path, struct sm_error *reterr);
	/* visit is called for each entry but . and .. ; it stops at the first error, which is returned. */
	enum sm_err (*list)(struct io *io, const char *path, enum sm_err (*visit)(void *arg, const char *name), void *arg,
			    struct sm_error *reterr);
};
struct io {
	const struct io_ops *ops;
};

/* The operating system's files. */
extern struct io io_system;

/* Conveniences on top of the table. */
/* Read a whole file; the bytes are malloc'ed, and a zero byte follows them. Errors: SM_TOO_LARGE above size_max. */
SM_MUST_CHECK enum sm_err io_read_file(struct io *io, const char *path, size_t size_max, uint8_t **ret_data, size_t *ret_size,
				       struct sm_error *reterr);
/* Replace path by data in one step: temporary file, sync, rename, sync of the directory. */
SM_MUST_CHECK enum sm_err io_write_file_atomic(struct io *io, const char *path, struct bytes data, struct sm_error *reterr);
/* mkdir with all parents. */
SM_MUST_CHECK enum sm_err io_mkdir_all(struct io *io, const char *path, struct sm_error *reterr);
/* Delete a tree. */
SM_MUST_CHECK enum sm_err io_remove_tree(struct io *io, const char *path, struct sm_error *reterr);

/* ---- the twin for tests ----
 * Keeps real files under a directory and remembers, for each, what was synced. */
struct io_fault;
struct io_fault_plan {
	uint64_t fail_at;    /* the Nth changing call (creating or truncating open, write, sync, truncate, rename, unlink, mkdir, rmdir,
			      * sync_dir) fails with fail_errno; 0: none */
	int fail_errno;      /* EIO, ENOSPC ...; 0: EIO */
	bool fail_after;     /* all later changing calls fail too, without effect (the process is dead) */
	uint64_t tear_bytes; /* a failing write still writes so many bytes */
};
struct io *io_fault_new(const struct io_fault_plan *plan);
void io_fault_free(struct io *io);
uint64_t io_fault_calls(const struct io *io); /* changing calls so far */
/* Power loss: take each file back to what was synced plus a prefix (seeded, torn anywhere) of what was not; undo
 * renames, creations and unlinks whose directory was not synced. No file may be open. Afterwards the plan is spent: the machine is up
 * again. A rename between directories lasts with the sync of the one it went to. */
SM_MUST_CHECK enum sm_err io_fault_power_loss(struct io *io, uint64_t seed, struct sm_error *reterr);

#endif
