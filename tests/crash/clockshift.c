/* Preloaded under a process (LD_PRELOAD), this moves its wall clock while it runs, as somebody who sets the machine's would: forwards,
 * backwards, at any moment. The monotonic clock stays as it is.
 *
 *   CLOCKSHIFT_FILE  absolute path of a file of 8 bytes: nanoseconds that are added (int64, of this machine's order); whoever writes it
 * moves the clock
 *
 * Waits until a moment of the wall clock are given to the kernel, whose clock has not moved, as that moment there. One that is under way
 * when the clock moves ends when it would have ended before, as no wait of the wall clock should; that is what a test finds. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static const int64_t zero;
static const int64_t *shift = &zero;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCKSHIFT_FILE");
	unsetenv("LD_PRELOAD");
	if (!path)
		return;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		fprintf(stderr, "clockshift: %s cannot be read\n", path);
		_exit(99);
	}
	close(fd);
	shift = map;
}

static int64_t now_shift(void)
{
	return __atomic_load_n(shift, __ATOMIC_ACQUIRE);
}

static void move(struct timespec *t, int64_t ns)
{
	int64_t all = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec + ns;
	all = all < 0 ? 0 : all;
	t->tv_sec = all / 1000000000;
	t->tv_nsec = all % 1000000000;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *t)
{
	int status = (int)syscall(SYS_clock_gettime, clock, t);
	if (!status && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI))
		move(t, now_shift());
	return status;
}

EXPORT int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;
	int status = clock_gettime(CLOCK_REALTIME, &now);
	*t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
	return status;
}

EXPORT time_t time(time_t *ret)
{
	struct timespec now = {0};
	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

/* ---- waits ---- */

EXPORT int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict lock, clockid_t clock,
				  const struct timespec *restrict until)
{
	static int (*next)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
	struct timespec at = *until;
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
	if (clock == CLOCK_REALTIME)
		move(&at, -now_shift());
	return next(cond, lock, clock, &at);
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict lock, const struct timespec *restrict until)
{
	/* glibc keeps the clock of a condition in this bit (nptl, pthread_cond_common.c). */
	bool monotonic = cond->__data.__wrefs & 2;
	return pthread_cond_clockwait(cond, lock, monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME, until);
}

EXPORT int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until)
{
	static int (*next)(sem_t *, clockid_t, const struct timespec *);
	struct timespec at = *until;
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "sem_clockwait");
	move(&at, -now_shift());
	return next(sem, CLOCK_REALTIME, &at);
}
