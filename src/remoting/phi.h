/* The phi accrual failure detector: how unlikely it is, by the intervals seen so far, that a heartbeat is still to come. Pure.
 * Source: Hayashibara et al. 2004; the deviation's lower bound, the acceptable pause and the first estimate are Akka's. */
#ifndef REMOTING_PHI_H
#define REMOTING_PHI_H

#include "remoting/remoting_limits.h"
#include <stdint.h>

struct phi {
	double min_deviation_ms, pause_ms;
	double samples[REMOTING_SAMPLES]; /* ms, a ring */
	uint32_t count, next;
	double sum, squares;
	uint64_t beat_ns; /* the last heartbeat; 0: none yet */
	uint64_t last_ns; /* the last sign of life; 0: none yet */
};
/* first_ms: the interval that is expected. */
void phi_init(struct phi *p, double first_ms, double min_deviation_ms, double pause_ms);
void phi_heartbeat(struct phi *p, uint64_t now_ns);
/* Something else has come: it lives, but that says nothing about intervals. */
void phi_alive(struct phi *p, uint64_t now_ns);
/* The owner itself has stood still for so long: that is no silence of the peer's. */
void phi_pardon(struct phi *p, uint64_t ns, uint64_t now_ns);
/* -log10 of the probability that a heartbeat comes later than now; 0 before the first one. */
double phi_value(const struct phi *p, uint64_t now_ns);

#endif
