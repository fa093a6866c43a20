/* Prometheus text exposition format 0.0.4. */
#include "base/metrics.h"
#include "base/memory.h"
#include "base/map.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <dirent.h>
#include <unistd.h>

enum kind { COUNTER, GAUGE, HISTOGRAM_US };
#define BUCKETS 40 /* bucket i holds values below 2^i microseconds */

static const struct {
	const char *name;
	enum kind kind;
	const char *help;
} metrics[METRIC_COUNT] = {
#define X(id, name, kind, help) {name, kind, help},
#include "base/metrics.def"
#undef X
};

static _Atomic int64_t values[METRIC_COUNT];
static _Atomic uint64_t buckets[METRIC_COUNT][BUCKETS];
static _Atomic uint64_t sums_us[METRIC_COUNT];

/* Labelled values: each is made once and never freed, so that its counter can be added to outside the lock. */
struct labelled {
	struct labelled *next;
	char *label;
	_Atomic int64_t value;
};
static pthread_rwlock_t labels_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct {
	struct map by_label;
	struct labelled *first;
	uint32_t count;
} labels[METRIC_COUNT];

void metric_add(enum metric metric, int64_t n)
{
	atomic_fetch_add_explicit(&values[metric], n, memory_order_relaxed);
}

void metric_set(enum metric metric, int64_t value)
{
	atomic_store_explicit(&values[metric], value, memory_order_relaxed);
}

int64_t metric_get(enum metric metric)
{
	return atomic_load_explicit(&values[metric], memory_order_relaxed);
}

void metric_observe_us(enum metric metric, uint64_t us)
{
	unsigned i = us ? 64 - (unsigned)__builtin_clzll(us) : 0;
	atomic_fetch_add_explicit(&buckets[metric][i < BUCKETS ? i : BUCKETS - 1], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&sums_us[metric], us, memory_order_relaxed);
	atomic_fetch_add_explicit(&values[metric], 1, memory_order_relaxed);
}

uint64_t metric_quantile_us(enum metric metric, double p)
{
	uint64_t count[BUCKETS], total = 0;
	for (unsigned i = 0; i < BUCKETS; i++)
		total += count[i] = atomic_load_explicit(&buckets[metric][i], memory_order_relaxed);
	double want = p * (double)total;
	uint64_t seen = 0;
	for (unsigned i = 0; i < BUCKETS && total; i++) {
		seen += count[i];
		if (count[i] && (double)seen >= want)
			return (uint64_t)1 << i;
	}
	return 0;
}

static struct labelled *make_label(enum metric metric, const char *label)
{
	pthread_rwlock_wrlock(&labels_lock);
	struct labelled *l = map_get(&labels[metric].by_label, bytes_str(label));
	if (!l && labels[metric].count >= METRIC_LABELS_MAX)
		l = map_get(&labels[metric].by_label, bytes_str(label = "other"));
	if (!l && (l = calloc(1, sizeof *l))) {
		l->label = strdup(label);
		if (!l->label || map_put(&labels[metric].by_label, bytes_str(label), l, NULL)) {
			free(l->label);
			free(l);
			l = NULL;
		} else {
			l->next = labels[metric].first;
			labels[metric].first = l;
			labels[metric].count++;
		}
	}
	pthread_rwlock_unlock(&labels_lock);
	return l;
}

static struct labelled *find_label(enum metric metric, const char *label)
{
	pthread_rwlock_rdlock(&labels_lock);
	struct labelled *l = map_get(&labels[metric].by_label, bytes_str(label));
	pthread_rwlock_unlock(&labels_lock);
	return l;
}

metric_counter *metric_labelled(enum metric metric, const char *label)
{
	struct labelled *l = find_label(metric, label);
	return l || (l = make_label(metric, label)) ? &l->value : NULL;
}

void metric_add_labelled(enum metric metric, const char *label, int64_t n)
{
	metric_counter *c = metric_labelled(metric, label);
	if (c)
		atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

void metric_set_labelled(enum metric metric, const char *label, int64_t value)
{
	metric_counter *c = metric_labelled(metric, label);
	if (c)
		atomic_store_explicit(c, value, memory_order_relaxed);
}

int64_t metric_get_labelled(enum metric metric, const char *label)
{
	struct labelled *l = find_label(metric, label);
	return l ? atomic_load_explicit(&l->value, memory_order_relaxed) : 0;
}

static void write_label_value(struct buf *out, const char *label)
{
	for (; *label; label++) {
		if (*label == '\\' || *label == '"')
			buf_u8(out, '\\');
		if (*label == '\n')
			buf_append_str(out, "\\n");
		else
			buf_u8(out, (uint8_t)*label);
	}
}

static void write_histogram(enum metric m, struct buf *out)
{
	uint64_t seen = 0;
	for (unsigned i = 0; i < BUCKETS - 1; i++) {
		seen += atomic_load_explicit(&buckets[m][i], memory_order_relaxed);
		if (i >= 5 && i <= 24) /* 32 us .. 17 s; what lies outside is in the neighbours */
			buf_printf(out, "%s_seconds_bucket{le=\"%.9g\"} %llu\n", metrics[m].name, (double)((uint64_t)1 << i) / 1e6,
				   (unsigned long long)seen);
	}
	uint64_t count = (uint64_t)metric_get(m);
	buf_printf(out, "%s_seconds_bucket{le=\"+Inf\"} %llu\n%s_seconds_sum %.6f\n%s_seconds_count %llu\n", metrics[m].name,
		   (unsigned long long)count, metrics[m].name, (double)atomic_load_explicit(&sums_us[m], memory_order_relaxed) / 1e6,
		   metrics[m].name, (unsigned long long)count);
}

static void write_labelled(enum metric m, int base_size, const char *label_name, struct buf *out)
{
	pthread_rwlock_rdlock(&labels_lock);
	for (struct labelled *l = labels[m].first; l; l = l->next) {
		buf_printf(out, "%.*s{%.*s=\"", base_size, metrics[m].name, (int)strlen(label_name) - 1, label_name);
		write_label_value(out, l->label);
		buf_printf(out, "\"} %lld\n", (long long)atomic_load_explicit(&l->value, memory_order_relaxed));
	}
	pthread_rwlock_unlock(&labels_lock);
}

static uint64_t open_fds(void)
{
	uint64_t n = 0;
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", "..", and the directory's own */
}

void metrics_write(struct buf *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		enum metric m = (enum metric)i;
		const char *brace = strchr(metrics[m].name, '{');
		int base_size = brace ? (int)(brace - metrics[m].name) : (int)strlen(metrics[m].name);
		const char *unit = metrics[m].kind == HISTOGRAM_US ? "_seconds" : "";
		buf_printf(out, "# HELP %.*s%s %s\n# TYPE %.*s%s %s\n", base_size, metrics[m].name, unit, metrics[m].help, base_size,
			   metrics[m].name, unit, types[metrics[m].kind]);
		if (metrics[m].kind == HISTOGRAM_US)
			write_histogram(m, out);
		else if (brace)
			write_labelled(m, base_size, brace + 1, out);
		else
			buf_printf(out, "%s %lld\n", metrics[m].name, (long long)metric_get(m));
	}
	buf_printf(out, "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %llu\n",
		   (unsigned long long)process_rss_bytes());
	buf_printf(out, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.3f\n", process_cpu_seconds());
	buf_printf(out, "# TYPE process_open_fds gauge\nprocess_open_fds %llu\n", (unsigned long long)open_fds());
}

uint64_t process_rss_bytes(void)
{
	return memory_resident();
}

double process_cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 + (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6;
}
