/* The keys of Kafka's protocol that its brokers have, too. */
#include "cli/config.h"
#include "kafka/kafka.h"
#include "log/log_limits.h"

#define REBALANCE_DELAY_MAX_MS 300000
#define IDLE_MIN_MS 1000

enum sm_err config_kafka(const struct config *c, struct kafka_server_options *options, struct sm_error *reterr)
{
	bool auto_create;
	if (yes_no_parse(c->kafka_auto_create, &auto_create))
		return sm_fail(reterr, SM_INVALID, "kafka.auto_create = %s: must be yes or no", c->kafka_auto_create);
	if (c->kafka_partitions < 1 || c->kafka_partitions > LOG_PARTITIONS_MAX)
		return sm_fail(reterr, SM_INVALID, "kafka.partitions must lie between 1 and %d", LOG_PARTITIONS_MAX);
	if (c->kafka_rebalance_delay_ms > REBALANCE_DELAY_MAX_MS)
		return sm_fail(reterr, SM_INVALID, "kafka.rebalance_delay is longer than 5m");
	if (c->kafka_idle_ms && c->kafka_idle_ms < IDLE_MIN_MS)
		return sm_fail(reterr, SM_INVALID, "kafka.idle must be at least 1s, or 0");
	if (c->kafka_session_ms > UINT32_MAX / 2)
		return sm_fail(reterr, SM_INVALID, "kafka.session is longer than 24 days");
	options->no_auto_create = !auto_create;
	options->partitions = (int32_t)c->kafka_partitions;
	options->group_initial_rebalance_delay_ms = (uint32_t)c->kafka_rebalance_delay_ms;
	options->idle_ms = (uint64_t)c->kafka_idle_ms;
	options->session_max_ms = (uint32_t)c->kafka_session_ms;
	options->offsets_retention_ms = (uint64_t)c->offsets_retention_ms;
	return SM_OK;
}
