#include "remoting/phi.h"
#include <math.h>
#include <string.h>

static void add(struct phi *p, double ms)
{
	double *at = &p->samples[p->next];
	if (p->count == REMOTING_SAMPLES) {
		p->sum -= *at;
		p->squares -= *at * *at;
	} else {
		p->count++;
	}
	*at = ms;
	p->sum += ms;
	p->squares += ms * ms;
	p->next = (p->next + 1) % REMOTING_SAMPLES;
}

void phi_init(struct phi *p, double first_ms, double min_deviation_ms, double pause_ms)
{
	memset(p, 0, sizeof *p);
	p->min_deviation_ms = min_deviation_ms;
	p->pause_ms = pause_ms;
	add(p, first_ms - first_ms / 4);
	add(p, first_ms + first_ms / 4);
}

void phi_heartbeat(struct phi *p, uint64_t now_ns)
{
	if (p->beat_ns && now_ns >= p->beat_ns)
		add(p, (double)(now_ns - p->beat_ns) / 1e6);
	p->beat_ns = p->last_ns = now_ns ? now_ns : 1;
}

void phi_alive(struct phi *p, uint64_t now_ns)
{
	p->last_ns = now_ns ? now_ns : 1;
}

void phi_pardon(struct phi *p, uint64_t ns, uint64_t now_ns)
{
	if (p->last_ns)
		p->last_ns = now_ns - p->last_ns < ns ? now_ns : p->last_ns + ns;
	p->beat_ns = 0; /* the interval that this lies in is no sample */
}

double phi_value(const struct phi *p, uint64_t now_ns)
{
	if (!p->last_ns || now_ns <= p->last_ns)
		return 0;
	double mean = p->sum / p->count, variance = p->squares / p->count - mean * mean;
	double deviation = variance > 0 ? sqrt(variance) : 0;
	if (deviation < p->min_deviation_ms)
		deviation = p->min_deviation_ms;
	double y = ((double)(now_ns - p->last_ns) / 1e6 - mean - p->pause_ms) / deviation;
	double later = 0.5 * erfc(y / sqrt(2)); /* the normal distribution's upper tail */
	return later > 0 ? -log10(later) : INFINITY;
}
