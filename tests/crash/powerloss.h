/* The journal between powerloss.c, which stands under a process's file calls, and powerloss_recover.c, which takes the files back to what
 * a disk could hold after a loss of power.
 *
 * SIDE/journal, mapped and sparse (a SIGKILL leaves it as it is: the kernel has the pages):
 *      0  4096  struct journal_head
 *   4096     -  entries, back to back, 8-byte aligned; valid up to head.used
 * SIDE/N.kept: hard links to the files that an unlink or a rename took away, so that this can be undone.
 *
 * An entry is written before its call is made; of a sync, after the call. Files and directories are known by inode: as long
 * as SIDE keeps what was unlinked no number comes twice. */
#ifndef CRASH_POWERLOSS_H
#define CRASH_POWERLOSS_H

#include <stdint.h>

#define JOURNAL_MAGIC 0x31534c5057524f50ull
#define JOURNAL_BYTES (1ull << 30)
#define JOURNAL_START 4096

struct journal_head {
	uint64_t magic;
	uint64_t used;  /* bytes of entries */
	uint64_t calls; /* changing calls and syncs so far, over all processes since the recovery */
	uint64_t syncs;
	uint64_t number; /* of the last entry */
	uint64_t kept;   /* of the last N.kept */
	/* Calls that fail: whoever maps the journal may set these while the process runs, fail_errno last. */
	uint32_t fail_errno; /* 0: none */
	uint32_t fail_count; /* so many; 0: until fail_errno is 0 again */
	uint64_t fail_at;    /* from the Nth changing call or sync after now on; counted down to 0 by the process */
	uint64_t failed;     /* so many did */
	uint32_t stalled;    /* syncs wait while it is set */
};

enum entry_kind {
	/* on a file */
	ENTRY_WRITE = 1, /* a: offset, b: size, c: the file's size before; payload: what stood there (up to c), none if all zeros */
	ENTRY_RESIZE,    /* a: new size, c: the size before; payload: what was cut off, none if all zeros */
	ENTRY_SYNC,      /* a: entries up to this number are on disk now */
	/* in a directory; the payload holds the name, and a zero byte */
	ENTRY_CREATE,   /* a file, a link or a directory (a: 1) came to be */
	ENTRY_UNLINK,   /* b: N.kept */
	ENTRY_RENAME,   /* inode: directory it goes to, a: what moves, b: N.kept of what was there or 0, c: directory it leaves;
			 * payload: old name, 0, new name, 0 */
	ENTRY_RMDIR,    /* a: inode of the removed */
	ENTRY_SYNC_DIR, /* a: entries up to this number are on disk now */
};

struct entry {
	uint32_t size; /* with payload and padding */
	uint32_t kind;
	uint64_t number;
	uint64_t inode; /* of the file, or of the directory */
	uint64_t a, b, c;
	uint32_t payload_size;
	uint32_t zeros; /* the payload is left out, since all of it is zeros */
};

#endif
