/* Metrics and their Prometheus text. */
#include "base/metrics.h"
#include <pthread.h>
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static bool text_has(const char *line)
{
	struct buf out;
	buf_init(&out);
	metrics_write(&out);
	buf_u8(&out, 0);
	bool found = strstr((const char *)buf_bytes(&out).data, line) != NULL;
	buf_done(&out);
	return found;
}

static void *add(void *unused)
{
	for (int i = 0; i < 10000; i++) {
		metric_add(METRIC_HTTP_REQUESTS, 1);
		metric_add_labelled(METRIC_LOG_RECORDS, i % 2 ? "a" : "b", 1);
		metric_observe_us(METRIC_CQL_US, (uint64_t)i % 50);
	}
	return NULL;
}
static void threads_count_together(void **unused)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, add, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_get(METRIC_HTTP_REQUESTS), 40000);
	assert_int_equal(metric_get_labelled(METRIC_LOG_RECORDS, "a"), 20000);
	assert_true(text_has("\nsmack_http_requests_total 40000\n"));
	assert_true(text_has("# TYPE smack_http_requests_total counter\n"));
	assert_true(text_has("\nsmack_log_records_total{topic=\"b\"} 20000\n"));
	assert_true(text_has("smack_cql_latency_seconds_count 40000\n"));
	assert_true(text_has("smack_cql_latency_seconds_bucket{le=\"+Inf\"} 40000\n"));
	assert_true(text_has("smack_cql_latency_seconds_bucket{le=\"6.4e-05\"} 40000\n"));
	assert_true(text_has("\nprocess_resident_memory_bytes "));
	assert_true(process_rss_bytes() > 100000);
	assert_true(process_cpu_seconds() >= 0);
}

static void quantiles_are_bounds_of_their_buckets(void **unused)
{
	assert_int_equal(metric_quantile_us(METRIC_LOG_SYNC_US, 0.5), 0);
	for (int i = 0; i < 99; i++)
		metric_observe_us(METRIC_LOG_SYNC_US, 100);
	metric_observe_us(METRIC_LOG_SYNC_US, 5000);
	metric_observe_us(METRIC_LOG_SYNC_US, UINT64_MAX / 2);
	assert_int_equal(metric_quantile_us(METRIC_LOG_SYNC_US, 0.5), 128);
	assert_int_equal(metric_quantile_us(METRIC_LOG_SYNC_US, 0.985), 8192);
	assert_true(metric_quantile_us(METRIC_LOG_SYNC_US, 1) > 8192);
}

static void gauges_are_set_and_labels_are_escaped_and_bounded(void **unused)
{
	metric_set(METRIC_CONNECTIONS, 7);
	metric_add(METRIC_CONNECTIONS, -3);
	assert_int_equal(metric_get(METRIC_CONNECTIONS), 4);
	metric_set_labelled(METRIC_STREAM_LAG, "a\"b\\c\nd", -5);
	assert_true(text_has("\nsmack_stream_lag_records{job=\"a\\\"b\\\\c\\nd\"} -5\n"));
	for (int i = 0; i < METRIC_LABELS_MAX + 50; i++) {
		char label[32];
		snprintf(label, sizeof label, "job-%d", i);
		metric_add_labelled(METRIC_STREAM_BATCHES, label, 1);
	}
	assert_int_equal(metric_get_labelled(METRIC_STREAM_BATCHES, "job-0"), 1);
	assert_int_equal(metric_get_labelled(METRIC_STREAM_BATCHES, "other"), 50);
	assert_int_equal(metric_get_labelled(METRIC_STREAM_BATCHES, "nobody"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_count_together),
		cmocka_unit_test(quantiles_are_bounds_of_their_buckets),
		cmocka_unit_test(gauges_are_set_and_labels_are_escaped_and_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
