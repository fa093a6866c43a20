#include "cli/platform.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
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

static void *watch_end(void *arg)
{
	static const char late[] = "smack: not everything ended within 5 s; ending now (what was acknowledged is on disk)\n";
	sigset_t set;
	end_signals(&set);
	uint64_t deadline = clock_monotonic_ns(&clock_system) + 4800000000ull, now;
	/* A debugger or a leak checker that stops the threads interrupts the wait: that is no end. */
	while ((now = clock_monotonic_ns(&clock_system)) < deadline) {
		struct timespec left = {.tv_sec = (time_t)((deadline - now) / 1000000000),
					.tv_nsec = (long)((deadline - now) % 1000000000)};
		if (sigtimedwait(&set, NULL, &left) >= 0)
			_exit(1);
	}
	(void)!write(STDERR_FILENO, late, sizeof late - 1);
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
