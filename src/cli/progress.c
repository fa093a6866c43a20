#include "cli/demo.h"
#include <unistd.h>

#define BAR 40

void progress_begin(struct progress *p, FILE *out, const char *what, uint64_t total)
{
	*p = (struct progress){.out = out, .what = what, .total = total ? total : 1, .terminal = isatty(fileno(out))};
	p->started_ns = clock_monotonic_ns(&clock_system);
	if (!p->terminal) {
		fprintf(out, "%s ...\n", what);
		fflush(out);
	}
}

void progress_set(struct progress *p, uint64_t done)
{
	uint64_t now = clock_monotonic_ns(&clock_system);
	if (!p->terminal || (now - p->shown_ns < 50000000 && done < p->total))
		return;
	p->shown_ns = now;
	unsigned filled = (unsigned)((done < p->total ? done : p->total) * BAR / p->total);
	char bar[BAR + 1];
	for (unsigned i = 0; i < BAR; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR] = 0;
	fprintf(p->out, "\r%-34s [%s] %llu of %llu ", p->what, bar, (unsigned long long)done, (unsigned long long)p->total);
	fflush(p->out);
}

double progress_end(struct progress *p, const char *note)
{
	double seconds = (double)(clock_monotonic_ns(&clock_system) - p->started_ns) / 1e9;
	fprintf(p->out, "%s%-34s %7.3f s%s%s\n", p->terminal ? "\r\033[K" : "", p->what, seconds, note ? "  " : "", note ? note : "");
	fflush(p->out);
	return seconds;
}
