#include "store/page_cache.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local bool no_wait, refused;
static _Atomic(store__read_fn) own_read;

static ssize_t read_now(int fd, void *data, size_t size, off_t at)
{
	struct iovec v = {data, size};
	return preadv2(fd, &v, 1, at, RWF_NOWAIT);
}

static ssize_t read_as_asked(int fd, void *data, size_t size, off_t at)
{
	/* Not the C library's: what stands before that, a sanitizer's, would take RocksDB's reads for this room's. */
	if (!no_wait)
		return syscall(SYS_pread64, fd, data, size, at);
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
	store__read_fn found;
	*(void **)&found = dlsym(RTLD_DEFAULT, "pread");
	return found == read_as_asked;
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
