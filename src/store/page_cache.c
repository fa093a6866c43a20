#include "store/page_cache.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local bool no_wait, refused;
static _Atomic(store__read_fn) own_read;

static ssize_t read_now(int fd, void *data, size_t size, off_t at)
{
	struct iovec v = {data, size};
	return preadv2(fd, &v, 1, at, RWF_NOWAIT);
}

static store__read_fn next_pread;

static store__read_fn find(void *where)
{
	store__read_fn found;
	*(void **)&found = dlsym(where, "pread");
	return found;
}

/* The one that would have been called without this file: the C library's, a sanitizer's, or that of a preloaded library. */
static void find_next(void)
{
	next_pread = find(RTLD_NEXT);
}

static ssize_t read_blocking(int fd, void *data, size_t size, off_t at)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct iovec v = {data, size};
	pthread_once(&once, find_next);
	return next_pread ? next_pread(fd, data, size, at) : preadv(fd, &v, 1, at);
}

static ssize_t read_as_asked(int fd, void *data, size_t size, off_t at)
{
	if (!no_wait)
		return read_blocking(fd, data, size, at);
	store__read_fn read = atomic_load_explicit(&own_read, memory_order_relaxed);
	ssize_t n = (read ? read : read_now)(fd, data, size, at);
	/* File systems that do not know of it: as if nothing were in memory. */
	if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP || errno == ENOSYS)) {
		refused = true;
		errno = EAGAIN;
	}
	return n;
}

/* Under the name that RocksDB calls, whatever <unistd.h> makes of pread; a program's own goes before it. */
ssize_t store__pread(int fd, void *data, size_t size, off_t at) __asm__("pread")
	__attribute__((weak, alias("read_as_asked"), visibility("default")));

bool store__page_cache_serves(void)
{
	return find(RTLD_DEFAULT) == read_as_asked;
}

void store__no_wait_begin(void)
{
	no_wait = true;
	refused = false;
}

bool store__no_wait_end(void)
{
	no_wait = false;
	return refused;
}

void store__no_wait_set(store__read_fn read)
{
	atomic_store(&own_read, read);
}
