/* Counters, gauges and histograms, one list in base/metrics.def, served as Prometheus text. Thread: any, without locks. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"
#include <stdatomic.h>

/* X(id, name, kind, help); kind: COUNTER, GAUGE, HISTOGRAM_US. A name may carry one label: "x_total{topic}" takes the label's value at use.
 */
enum metric {
#define X(id, name, kind, help) id,
#include "base/metrics.def"
#undef X
	METRIC_COUNT
};
void metric_add(enum metric metric, int64_t n);
void metric_set(enum metric metric, int64_t value);
int64_t metric_get(enum metric metric);
/* Latency in microseconds, into power-of-two buckets. */
void metric_observe_us(enum metric metric, uint64_t us);
/* p in 0..1; upper bound of the bucket that holds it. */
uint64_t metric_quantile_us(enum metric metric, double p);
/* The same for metrics with a label; a label set is made at first use and bounded (METRIC_LABELS_MAX, then "other"). */
#define METRIC_LABELS_MAX 1024
void metric_add_labelled(enum metric metric, const char *label, int64_t n);
/* The labelled value itself, for those who add to it often: it stays where it is. NULL: no memory. */
typedef _Atomic int64_t metric_counter;
metric_counter *metric_labelled(enum metric metric, const char *label);
void metric_set_labelled(enum metric metric, const char *label, int64_t value);
int64_t metric_get_labelled(enum metric metric, const char *label);
/* Prometheus text format 0.0.4 of all, with process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds. */
void metrics_write(struct buf *out);
/* Of this process, from /proc. */
uint64_t process_rss_bytes(void);
double process_cpu_seconds(void);

#endif
