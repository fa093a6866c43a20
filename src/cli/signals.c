#include "cli/platform.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP); /* the terminal has gone */
}

void signals_block(void)
{
	sigset_t set;
	end_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static _Atomic(const char *) ending = "the process";

void signals_ending(const char *what)
{
	atomic_store(&ending, what);
}

/* How long an end may take: 5 s, unless SMACK_STOP_MS says otherwise, as the tests do, whose machine may be busy with other things. */
static uint64_t stop_ms(void)
{
	const char *text = getenv("SMACK_STOP_MS");
	uint64_t ms = text ? strtoull(text, NULL, 10) : 0;
	return ms ? ms : 4800;
}

/* For whoever wonders which part it was. System calls only: the rest of the process may be in any state. */
static void tell_late(void)
{
	const char *what = atomic_load(&ending);
	struct iovec text[] = {{.iov_base = (void *)(uintptr_t) "smack: waited too long for the end of "},
			       {.iov_base = (void *)(uintptr_t)what},
			       {.iov_base = (void *)(uintptr_t) "; ending now (what was acknowledged is on disk)\n"}};
	for (int i = 0; i < 3; i++)
		text[i].iov_len = strlen(text[i].iov_base);
	(void)!writev(STDERR_FILENO, text, 3);
}

static void *watch_end(void *arg)
{
	sigset_t set;
	end_signals(&set);
	uint64_t deadline = clock_monotonic_ns(&clock_system) + stop_ms() * 1000000, now;
	/* A debugger or a leak checker that stops the threads interrupts the wait: that is no end. */
	while ((now = clock_monotonic_ns(&clock_system)) < deadline) {
		struct timespec left = {.tv_sec = (time_t)((deadline - now) / 1000000000),
					.tv_nsec = (long)((deadline - now) % 1000000000)};
		if (sigtimedwait(&set, NULL, &left) >= 0)
			_exit(1);
	}
	tell_late();
	_exit(1);
}

void signals_expect_end(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, watch_end, NULL) == 0)
		pthread_detach(thread);
}

void signals_wait(void)
{
	sigset_t set;
	int which;
	end_signals(&set);
	while (sigwait(&set, &which))
		;
	signals_expect_end();
}
