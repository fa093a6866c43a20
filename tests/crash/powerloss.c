/* Preloaded under a process (LD_PRELOAD), this notes each change of a file below POWERLOSS_DIR with what was there before, and each sync,
 * so that powerloss_recover can undo what no sync has covered. It can also end the process, as a loss of power would, at a chosen call.
 *
 *   POWERLOSS_DIR    absolute path of the directory that is watched
 *   POWERLOSS_SIDE   absolute path of a directory on the same file system, outside of it: the journal
 *   POWERLOSS_KILL   SIGKILL before the Nth changing call or sync from now (0 or unset: never)
 *   POWERLOSS_SYNC_US  a sync takes up to so many microseconds, drawn anew each time; nothing is really synced (the journal knows)
 *
 * Whoever maps SIDE/journal can also make calls fail, and syncs wait (fail_errno, stalled and their neighbours in powerloss.h).
 *
 * What it does not know it does not let pass silently: a shared writable mapping, fallocate that does more than make room or a hole, a
 * rename with flags, or into the directory or out of it, end the process with a line on stderr. What stdio writes to a file is not seen
 * (RocksDB's LOG; nothing else does that). A child after fork is not watched, a program that is exec'ed neither. */
/* Both names of a call are defined here, so neither may stand for the other. */
#undef _FILE_OFFSET_BITS
#include "powerloss.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 65536
#define EXPORT __attribute__((visibility("default")))

/* Declared here: the system's headers give some of these names a second meaning. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool watching;
static char watched_dir[PATH_MAX], side_dir[PATH_MAX];
static size_t watched_size;
static struct journal_head *journal;
static uint64_t kill_at, calls_here;
static unsigned sync_us;
static _Atomic uint64_t watched_inode[FDS]; /* 0: not ours */

/* ---- beginning ---- */

static _Noreturn void refuse(const char *what)
{
	char line[256];
	int n = snprintf(line, sizeof line, "powerloss: %s (errno %d)\n", what, errno);
	syscall(SYS_write, 2, line, n);
	abort();
}

static void in_child(void)
{
	watching = false;
}

static void open_journal(void)
{
	char path[PATH_MAX + 16];
	snprintf(path, sizeof path, "%s/journal", side_dir);
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || syscall(SYS_ftruncate, fd, JOURNAL_BYTES))
		refuse("cannot make the journal in POWERLOSS_SIDE");
	void *map = mmap(NULL, JOURNAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED)
		refuse("cannot map the journal");
	syscall(SYS_close, fd);
	journal = map;
	if (journal->magic && journal->magic != JOURNAL_MAGIC)
		refuse("the journal is not one");
	journal->magic = JOURNAL_MAGIC;
}

__attribute__((constructor)) static void begin(void)
{
	const char *dir = getenv("POWERLOSS_DIR"), *side = getenv("POWERLOSS_SIDE"), *at = getenv("POWERLOSS_KILL"),
		   *us = getenv("POWERLOSS_SYNC_US");
	unsetenv("LD_PRELOAD");
	if (!dir || !side)
		return;
	if (!realpath(dir, watched_dir) || !realpath(side, side_dir))
		refuse("POWERLOSS_DIR and POWERLOSS_SIDE must be there");
	watched_size = strlen(watched_dir);
	open_journal();
	kill_at = at ? strtoull(at, NULL, 10) : 0;
	sync_us = us ? (unsigned)strtoul(us, NULL, 10) : 0;
	pthread_atfork(NULL, NULL, in_child);
	watching = true;
}

/* ---- the journal ---- */

/* Space for an entry; publish() makes it valid. Under the lock. */
static struct entry *entry_new(enum entry_kind kind, uint64_t inode, size_t payload_size)
{
	size_t size = (sizeof(struct entry) + payload_size + 7) & ~(size_t)7;
	if (JOURNAL_START + journal->used + size > JOURNAL_BYTES)
		refuse("the journal is full");
	struct entry *e = (struct entry *)((char *)journal + JOURNAL_START + journal->used);
	*e = (struct entry){.size = (uint32_t)size,
			    .kind = kind,
			    .number = journal->number + 1,
			    .inode = inode,
			    .payload_size = (uint32_t)payload_size};
	return e;
}

static void publish(struct entry *e)
{
	journal->number++;
	atomic_thread_fence(memory_order_release);
	journal->used += e->size;
}

/* Each changing call and each sync passes here, under the lock, before it is made. */
static void count_call(void)
{
	journal->calls++;
	if (++calls_here == kill_at) {
		syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
		for (;;)
			syscall(SYS_pause);
	}
}

/* Is it this call's turn to fail? Sets errno. Under the lock. */
static bool call_fails(void)
{
	int e = (int)__atomic_load_n(&journal->fail_errno, __ATOMIC_ACQUIRE);
	if (!e || (journal->fail_at > 1 && journal->fail_at--))
		return false;
	if (journal->failed++ + 1 == journal->fail_count)
		__atomic_store_n(&journal->fail_errno, 0, __ATOMIC_RELEASE);
	errno = e;
	return true;
}

/* False: the call is to fail, with errno. */
static bool begin_change(void)
{
	pthread_mutex_lock(&lock);
	count_call();
	if (!call_fails())
		return true;
	pthread_mutex_unlock(&lock);
	return false;
}

/* errno of the call that was made stays. */
static void end_change(void)
{
	int saved = errno;
	pthread_mutex_unlock(&lock);
	errno = saved;
}

/* ---- which files ---- */

static bool is_below(const char *path)
{
	return strncmp(path, watched_dir, watched_size) == 0 && (path[watched_size] == '/' || path[watched_size] == 0);
}

struct place {
	char dir[PATH_MAX], name[NAME_MAX + 1], path[PATH_MAX + NAME_MAX + 2];
	uint64_t dir_inode;
	bool there; /* something has this name; then st says what */
	struct stat st;
};

static bool absolute(int at, const char *path, char *out)
{
	char link[64];
	if (*path == '/' || at == AT_FDCWD)
		return (size_t)snprintf(out, PATH_MAX, "%s", path) < PATH_MAX;
	snprintf(link, sizeof link, "/proc/self/fd/%d", at);
	ssize_t n = readlink(link, out, PATH_MAX - 1);
	if (n < 0)
		return false;
	return snprintf(out + n, PATH_MAX - (size_t)n, "/%s", path) < (int)(PATH_MAX - n);
}

/* Is it a name in a directory that is watched? The name itself need not be there. errno stays. */
static bool find_place(int at, const char *path, struct place *p)
{
	char full[PATH_MAX];
	int saved = errno;
	bool found = false;
	if (!watching || !path || !absolute(at, path, full))
		goto done;
	size_t n = strlen(full);
	while (n > 1 && full[n - 1] == '/')
		full[--n] = 0;
	char *slash = strrchr(full, '/');
	const char *name = slash ? slash + 1 : full;
	if (strlen(name) > NAME_MAX || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		goto done;
	memcpy(p->name, name, strlen(name) + 1);
	if (slash)
		*slash = 0;
	struct stat st;
	if (!realpath(!slash ? "." : slash == full ? "/" : full, p->dir) || !is_below(p->dir) || stat(p->dir, &st))
		goto done;
	p->dir_inode = st.st_ino;
	snprintf(p->path, sizeof p->path, "%s/%s", p->dir, p->name);
	p->there = lstat(p->path, &p->st) == 0;
	found = true;
done:
	errno = saved;
	return found;
}

/* The size and inode of a watched file; false: not ours (or its number was given to something else behind our back). */
static bool find_fd(int fd, struct stat *st)
{
	int saved = errno;
	if (!watching || fd < 0 || fd >= FDS || !atomic_load_explicit(&watched_inode[fd], memory_order_relaxed))
		return false;
	bool ours = fstat(fd, st) == 0 && st->st_ino == atomic_load(&watched_inode[fd]);
	if (!ours)
		atomic_store(&watched_inode[fd], 0);
	errno = saved;
	return ours;
}

static void note_fd(int fd)
{
	struct stat st;
	if (fd >= FDS)
		refuse("a descriptor is too high");
	if (fd >= 0 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		atomic_store(&watched_inode[fd], st.st_ino);
}

/* ---- entries ---- */

static bool all_zeros(const char *data, size_t size)
{
	return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* What stands at [from, to) of the file goes into the entry. */
static void keep_bytes(struct entry *e, int fd, uint64_t from, uint64_t to)
{
	char *data = (char *)(e + 1), path[64];
	size_t size = (size_t)(to - from), got = 0;
	int own = -1;
	if (JOURNAL_START + journal->used + sizeof *e + size + 8 > JOURNAL_BYTES)
		refuse("the journal is full");
	while (got < size) {
		ssize_t n = syscall(SYS_pread64, own >= 0 ? own : fd, data + got, size - got, from + got);
		/* Opened for writing only, or past the page cache, where only whole pages can be read. */
		if (n < 0 && (errno == EBADF || errno == EINVAL) && own < 0) {
			snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
			if ((own = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)) < 0)
				refuse("cannot read what is to be overwritten");
			continue;
		}
		if (n <= 0)
			refuse("cannot read what is to be overwritten");
		got += (size_t)n;
	}
	if (own >= 0)
		syscall(SYS_close, own);
	e->zeros = all_zeros(data, size);
	e->payload_size = (uint32_t)size;
	if (!e->zeros)
		e->size = (uint32_t)((sizeof *e + size + 7) & ~(size_t)7);
}

static void note_write(int fd, const struct stat *st, uint64_t at, uint64_t size)
{
	uint64_t before = (uint64_t)st->st_size, end = at + size < before ? at + size : before;
	struct entry *e = entry_new(ENTRY_WRITE, st->st_ino, 0);
	e->a = at;
	e->b = size;
	e->c = before;
	if (at < end)
		keep_bytes(e, fd, at, end);
	publish(e);
}

static void note_resize(int fd, const struct stat *st, uint64_t size)
{
	struct entry *e = entry_new(ENTRY_RESIZE, st->st_ino, 0);
	e->a = size;
	e->c = (uint64_t)st->st_size;
	if (size < e->c)
		keep_bytes(e, fd, size, e->c);
	publish(e);
}

static uint64_t keep_file(const char *path)
{
	char to[PATH_MAX + 32];
	uint64_t number = ++journal->kept;
	snprintf(to, sizeof to, "%s/%llu.kept", side_dir, (unsigned long long)number);
	if (syscall(SYS_link, path, to))
		refuse("cannot link what is unlinked into POWERLOSS_SIDE");
	return number;
}

static void note_create(const struct place *p, bool directory)
{
	size_t n = strlen(p->name) + 1;
	struct entry *e = entry_new(ENTRY_CREATE, p->dir_inode, n);
	e->a = directory;
	memcpy(e + 1, p->name, n);
	publish(e);
}

static void note_unlink(const struct place *p)
{
	uint64_t kept = keep_file(p->path);
	size_t n = strlen(p->name) + 1;
	struct entry *e = entry_new(ENTRY_UNLINK, p->dir_inode, n);
	e->b = kept;
	memcpy(e + 1, p->name, n);
	publish(e);
}

static void note_rename(const struct place *from, const struct place *to)
{
	uint64_t kept = to->there && S_ISREG(to->st.st_mode) ? keep_file(to->path) : 0;
	size_t n = strlen(from->name) + 1, m = strlen(to->name) + 1;
	struct entry *e = entry_new(ENTRY_RENAME, to->dir_inode, n + m);
	e->a = from->st.st_ino;
	e->b = kept;
	e->c = from->dir_inode;
	memcpy(e + 1, from->name, n);
	memcpy((char *)(e + 1) + n, to->name, m);
	publish(e);
}

/* ---- the calls: opening and closing ---- */

static int watched_open(int at, const char *path, int flags, mode_t mode)
{
	struct place p;
	struct stat st;
	if (!find_place(at, path, &p)) {
		char full[PATH_MAX];
		int fd = (int)syscall(SYS_openat, at, path, flags, mode);
		/* The watched directory itself, or one by the name of "." or "..". */
		if (fd >= 0 && watching && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && absolute(fd, "", full)) {
			full[strlen(full) - 1] = 0;
			if (is_below(full))
				note_fd(fd);
		}
		return fd;
	}
	bool creates = !p.there && flags & O_CREAT;
	bool cuts = p.there && S_ISREG(p.st.st_mode) && flags & O_TRUNC && (flags & O_ACCMODE) != O_RDONLY && p.st.st_size > 0;
	if ((creates || cuts) && !begin_change())
		return -1;
	if (creates)
		note_create(&p, false);
	if (cuts) {
		int fd = (int)syscall(SYS_openat, AT_FDCWD, p.path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st))
			refuse("cannot read what is to be truncated");
		note_resize(fd, &st, 0);
		syscall(SYS_close, fd);
	}
	int fd = (int)syscall(SYS_openat, at, path, flags, mode);
	if (fd >= 0)
		note_fd(fd);
	if (creates || cuts)
		end_change();
	return fd;
}

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

EXPORT int open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return watched_open(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return watched_open(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int at, const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return watched_open(at, path, flags, mode);
}

EXPORT int openat64(int at, const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return watched_open(at, path, flags, mode);
}

EXPORT int __open_2(const char *path, int flags)
{
	return watched_open(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
{
	return watched_open(AT_FDCWD, path, flags, 0);
}

EXPORT int creat(const char *path, mode_t mode)
{
	return watched_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int creat64(const char *path, mode_t mode)
{
	return watched_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int close(int fd)
{
	if (watching && fd >= 0 && fd < FDS)
		atomic_store_explicit(&watched_inode[fd], 0, memory_order_relaxed);
	return (int)syscall(SYS_close, fd);
}

static int watched_dup(int fd, int copy)
{
	if (watching && copy >= 0 && copy < FDS && fd >= 0 && fd < FDS)
		atomic_store(&watched_inode[copy], atomic_load(&watched_inode[fd]));
	return copy;
}

EXPORT int dup(int fd)
{
	return watched_dup(fd, (int)syscall(SYS_dup, fd));
}

EXPORT int dup2(int fd, int to)
{
	return watched_dup(fd, (int)(fd == to ? syscall(SYS_fcntl, fd, F_GETFD) < 0 ? -1 : to : syscall(SYS_dup3, fd, to, 0)));
}

/* ---- writing ---- */

static uint64_t position(int fd, const struct stat *st)
{
	long flags = syscall(SYS_fcntl, fd, F_GETFL);
	return flags & O_APPEND ? (uint64_t)st->st_size : (uint64_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
}

static uint64_t iov_bytes(const struct iovec *iov, int n)
{
	uint64_t bytes = 0;
	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

enum turn { NOT_OURS, OURS, FAILS };

/* OURS: under the lock, as the size must be what it is when the entry is made. FAILS: with errno. */
static enum turn begin_write(int fd, struct stat *st)
{
	if (!find_fd(fd, st))
		return NOT_OURS;
	if (!begin_change())
		return FAILS;
	if (find_fd(fd, st))
		return OURS;
	end_change();
	return NOT_OURS;
}

static ssize_t write_some(int fd, const void *data, size_t size)
{
	struct stat st;
	pthread_mutex_lock(&lock);
	if (find_fd(fd, &st))
		note_write(fd, &st, position(fd, &st), size);
	ssize_t n = syscall(SYS_write, fd, data, size);
	end_change();
	return n;
}

EXPORT ssize_t write(int fd, const void *data, size_t size)
{
	struct stat st;
	enum turn turn = begin_write(fd, &st);
	if (turn == FAILS && errno == ENOSPC && size > 1) /* a full disk takes what it still can */
		return write_some(fd, data, size / 2);
	if (turn != OURS)
		return turn == FAILS ? -1 : syscall(SYS_write, fd, data, size);
	note_write(fd, &st, position(fd, &st), size);
	ssize_t n = syscall(SYS_write, fd, data, size);
	end_change();
	return n;
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int count)
{
	struct stat st;
	enum turn turn = begin_write(fd, &st);
	if (turn != OURS)
		return turn == FAILS ? -1 : syscall(SYS_writev, fd, iov, count);
	note_write(fd, &st, position(fd, &st), iov_bytes(iov, count));
	ssize_t n = syscall(SYS_writev, fd, iov, count);
	end_change();
	return n;
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
	struct stat st;
	enum turn turn = begin_write(fd, &st);
	if (turn != OURS)
		return turn == FAILS ? -1 : syscall(SYS_pwrite64, fd, data, size, at);
	note_write(fd, &st, (uint64_t)at, size);
	ssize_t n = syscall(SYS_pwrite64, fd, data, size, at);
	end_change();
	return n;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	return pwrite64(fd, data, size, at);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at)
{
	struct stat st;
	enum turn turn = begin_write(fd, &st);
	if (turn != OURS)
		return turn == FAILS ? -1 : syscall(SYS_pwritev, fd, iov, count, at, 0);
	note_write(fd, &st, (uint64_t)at, iov_bytes(iov, count));
	ssize_t n = syscall(SYS_pwritev, fd, iov, count, at, 0);
	end_change();
	return n;
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	return pwritev64(fd, iov, count, at);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t at, int flags)
{
	struct stat st;
	enum turn turn = begin_write(fd, &st);
	if (turn != OURS)
		return turn == FAILS ? -1 : syscall(SYS_pwritev2, fd, iov, count, at, 0, flags);
	note_write(fd, &st, at == -1 ? position(fd, &st) : (uint64_t)at, iov_bytes(iov, count));
	ssize_t n = syscall(SYS_pwritev2, fd, iov, count, at, 0, flags);
	end_change();
	return n;
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t at, int flags)
{
	return pwritev64v2(fd, iov, count, at, flags);
}

EXPORT int ftruncate64(int fd, off64_t size)
{
	struct stat st;
	enum turn turn = begin_write(fd, &st);
	if (turn != OURS)
		return turn == FAILS ? -1 : (int)syscall(SYS_ftruncate, fd, size);
	note_resize(fd, &st, (uint64_t)size);
	int result = (int)syscall(SYS_ftruncate, fd, size);
	end_change();
	return result;
}

EXPORT int ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}

EXPORT int truncate(const char *path, off_t size)
{
	int fd = watched_open(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	int result = ftruncate64(fd, size);
	close(fd);
	return result;
}

EXPORT int fallocate64(int fd, int mode, off64_t at, off64_t size)
{
	struct stat st;
	bool punches = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	if (mode & ~FALLOC_FL_KEEP_SIZE && !punches && find_fd(fd, &st))
		refuse("this kind of fallocate is not modelled");
	enum turn turn = begin_write(fd, &st);
	if (turn == FAILS)
		return -1;
	if (turn == OURS && punches && at < st.st_size) /* zeros are written */
		note_write(fd, &st, (uint64_t)at, (uint64_t)(at + size < st.st_size ? size : st.st_size - at));
	if (turn == OURS && !mode && at + size > st.st_size) /* without a change of size nothing can be lost */
		note_resize(fd, &st, (uint64_t)(at + size));
	int result = (int)syscall(SYS_fallocate, fd, mode, at, size);
	if (turn == OURS)
		end_change();
	return result;
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t size)
{
	return fallocate64(fd, mode, at, size);
}

EXPORT int posix_fallocate64(int fd, off64_t at, off64_t size)
{
	return fallocate64(fd, 0, at, size) ? errno : 0;
}

EXPORT int posix_fallocate(int fd, off_t at, off_t size)
{
	return fallocate64(fd, 0, at, size) ? errno : 0;
}

EXPORT void *mmap64(void *where, size_t size, int protection, int flags, int fd, off64_t at)
{
	struct stat st;
	if (flags & MAP_SHARED && protection & PROT_WRITE && find_fd(fd, &st))
		refuse("a shared writable mapping is not modelled");
	return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, at);
}

EXPORT void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t at)
{
	return mmap64(where, size, protection, flags, fd, at);
}

/* ---- syncing ---- */

static void take_time(void)
{
	static _Atomic uint64_t state = 88172645463325252ull;
	while (__atomic_load_n(&journal->stalled, __ATOMIC_ACQUIRE))
		usleep(1000);
	if (!sync_us)
		return;
	uint64_t x = atomic_fetch_add(&state, 0x9e3779b97f4a7c15ull);
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	usleep((unsigned)((x ^ x >> 27) % sync_us));
}

/* Only what was written before the sync began is covered, and the process may die while it is under way. */
static int watched_sync(const struct stat *st)
{
	if (!begin_change())
		return -1;
	uint64_t upto = journal->number;
	pthread_mutex_unlock(&lock);
	take_time();
	pthread_mutex_lock(&lock);
	struct entry *e = entry_new(S_ISDIR(st->st_mode) ? ENTRY_SYNC_DIR : ENTRY_SYNC, st->st_ino, 0);
	e->a = upto;
	publish(e);
	journal->syncs++;
	count_call(); /* synced, but the process does not learn it */
	pthread_mutex_unlock(&lock);
	return 0;
}

EXPORT int fsync(int fd)
{
	struct stat st;
	return find_fd(fd, &st) ? watched_sync(&st) : (int)syscall(SYS_fsync, fd);
}

EXPORT int fdatasync(int fd)
{
	struct stat st;
	return find_fd(fd, &st) ? watched_sync(&st) : (int)syscall(SYS_fdatasync, fd);
}

/* Starts writing back, promises nothing. */
EXPORT int sync_file_range(int fd, off64_t at, off64_t size, unsigned flags)
{
	struct stat st;
	if (!find_fd(fd, &st))
		return (int)syscall(SYS_sync_file_range, fd, at, size, flags);
	if (!flags)
		return 0; /* RocksDB asks whether there is such a call */
	if (!begin_change())
		return -1;
	end_change();
	return 0;
}

/* ---- directories ---- */

EXPORT int renameat(int from_at, const char *from, int to_at, const char *to)
{
	static __thread struct place a, b;
	bool from_ours = find_place(from_at, from, &a), to_ours = find_place(to_at, to, &b);
	if (!from_ours && !to_ours)
		return (int)syscall(SYS_renameat, from_at, from, to_at, to);
	if (from_ours != to_ours)
		refuse("a rename into or out of the watched directory is not modelled");
	if (!a.there)
		return (int)syscall(SYS_renameat, from_at, from, to_at, to);
	if (!begin_change())
		return -1;
	if (find_place(from_at, from, &a) && a.there && find_place(to_at, to, &b)) /* as it is now: other threads unlink too */
		note_rename(&a, &b);
	int result = (int)syscall(SYS_renameat, from_at, from, to_at, to);
	end_change();
	return result;
}

EXPORT int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

EXPORT int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	static __thread struct place p;
	if (flags && (find_place(from_at, from, &p) || find_place(to_at, to, &p)))
		refuse("renameat2 with flags is not modelled");
	return flags ? (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags) : renameat(from_at, from, to_at, to);
}

EXPORT int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
	struct place p;
	if (!find_place(to_at, to, &p) || p.there)
		return (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
	if (!begin_change())
		return -1;
	note_create(&p, false);
	int result = (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
	end_change();
	return result;
}

EXPORT int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int rmdir(const char *path)
{
	struct place p;
	if (!find_place(AT_FDCWD, path, &p) || !p.there)
		return (int)syscall(SYS_rmdir, path);
	if (!begin_change())
		return -1;
	size_t n = strlen(p.name) + 1;
	struct entry *e = entry_new(ENTRY_RMDIR, p.dir_inode, n);
	e->a = p.st.st_ino;
	memcpy(e + 1, p.name, n);
	int result = (int)syscall(SYS_rmdir, path);
	if (result == 0) /* it may have been full; nothing can come in between that matters */
		publish(e);
	end_change();
	return result;
}

EXPORT int unlinkat(int at, const char *path, int flags)
{
	struct place p;
	if (flags & AT_REMOVEDIR && at == AT_FDCWD)
		return rmdir(path);
	if (!find_place(at, path, &p) || !p.there || !S_ISREG(p.st.st_mode))
		return (int)syscall(SYS_unlinkat, at, path, flags);
	if (!begin_change())
		return -1;
	if (find_place(at, path, &p) && p.there) /* no other thread has unlinked it meanwhile */
		note_unlink(&p);
	int result = (int)syscall(SYS_unlinkat, at, path, flags);
	end_change();
	return result;
}

EXPORT int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int remove(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path);
}

EXPORT int mkdirat(int at, const char *path, mode_t mode)
{
	struct place p;
	if (!find_place(at, path, &p) || p.there)
		return (int)syscall(SYS_mkdirat, at, path, mode);
	if (!begin_change())
		return -1;
	note_create(&p, true);
	int result = (int)syscall(SYS_mkdirat, at, path, mode);
	end_change();
	return result;
}

EXPORT int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}
