#ifndef STORE_PAGE_CACHE_H
#define STORE_PAGE_CACHE_H

/* Reads of RocksDB's that never wait for the disk: what the system's page cache holds is read at once, on a dispatcher too, and only the
 * rest has to go to a thread that may block. RocksDB's C API has no such read: its own "cache tier" ends at its block cache. So this room's
 * pread stands before the C library's (in programs that link libsmack, too), and is it but for the threads that are between the two calls
 * below: there it is preadv2 with RWF_NOWAIT (Linux 4.14, ext4, xfs, btrfs). */

#include <stdbool.h>
#include <sys/types.h>

/* Whether RocksDB's reads come here: not if the program has a pread of its own. */
bool store__page_cache_serves(void);

/* Between the two, reads of this thread fail with EAGAIN where they would wait. end: whether one did. They do not nest. */
void store__no_wait_begin(void);
bool store__no_wait_end(void);

/* For tests: what reads between the two calls do. NULL: as above. */
typedef ssize_t (*store__read_fn)(int fd, void *data, size_t size, off_t at);
void store__no_wait_set(store__read_fn read);

#endif
