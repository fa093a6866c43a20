/* Configs of topics, by the names that Kafka gives them. */
#include "log/log_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

enum kind { NUMBER, RATIO, FLAG, TEXT };
enum use { APPLIED, KEPT, ABSENT };
static const struct known {
	const char *name;
	enum kind kind;
	int64_t least, most;
	enum use use;
} known[] = {
#define X(name, kind, least, most, use) {name, kind, least, most, use},
#include "log/topic_config.def"
#undef X
};

static enum sm_err bad_value(const struct log_config *c, const char *want, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_INVALID, "%s is \"%s\", it must be %s", c->name, c->value, want);
}

/* As in Kafka, spaces around a number or a flag do not count. */
static bool only_spaces(const char *text)
{
	return !text[strspn(text, " \t\r\n")];
}

static enum sm_err number(const struct log_config *c, const struct known *k, int64_t *ret, struct sm_error *reterr)
{
	char *end;
	errno = 0;
	long long value = strtoll(c->value, &end, 10);
	if (errno || end == c->value || !only_spaces(end) || value < k->least || value > k->most)
		return sm_fail(reterr, SM_INVALID, "%s is \"%s\", it must be a whole number from %lld to %lld", c->name, c->value,
			       (long long)k->least, (long long)k->most);
	*ret = value;
	return SM_OK;
}

/* A list of "delete" and "compact", or of nothing. */
static enum sm_err cleanup_policy(struct topic_settings *set, const struct log_config *c, struct sm_error *reterr)
{
	set->delete_old = set->compact = false;
	if (!*c->value) /* neither, as Kafka since 4.1 */
		return SM_OK;
	for (const char *at = c->value;; at++) {
		at += strspn(at, " ");
		size_t size = strcspn(at, ", ");
		if (size == 6 && memcmp(at, "delete", 6) == 0)
			set->delete_old = true;
		else if (size == 7 && memcmp(at, "compact", 7) == 0)
			set->compact = true;
		else
			return bad_value(c, "delete, compact, or both with a comma between", reterr);
		at += size + strspn(at + size, " ");
		if (!*at)
			return SM_OK;
		if (*at != ',')
			return bad_value(c, "delete, compact, or both with a comma between", reterr);
	}
}

static enum sm_err compression_type(struct topic_settings *set, const struct log_config *c, struct sm_error *reterr)
{
	set->recode = strcmp(c->value, "producer") != 0;
	set->codec = CODEC_NONE;
	if (!set->recode || strcmp(c->value, "uncompressed") == 0)
		return SM_OK;
	for (int i = CODEC_GZIP; i < CODEC_COUNT; i++) {
		if (strcmp(codec_name((enum codec)i), c->value) == 0) {
			set->codec = (enum codec)i;
			return SM_OK;
		}
	}
	return bad_value(c, "producer, uncompressed, gzip, snappy, lz4 or zstd", reterr);
}

/* "*" or a list of PARTITION:BROKER. */
static enum sm_err throttled_replicas(const struct log_config *c, struct sm_error *reterr)
{
	const char *at = c->value;
	bool good = strcmp(at, "*") == 0 || !*at;
	while (!good) {
		size_t partition = strspn(at, "0123456789"), broker = at[partition] == ':' ? strspn(at + partition + 1, "0123456789") : 0;
		if (!partition || !broker)
			break;
		at += partition + 1 + broker;
		good = !*at;
		if (*at == ',')
			at += 1 + strspn(at + 1, " ");
		else if (*at)
			break;
	}
	return good ? SM_OK : bad_value(c, "* or a list of PARTITION:BROKER", reterr);
}

static enum sm_err text(struct topic_settings *set, const struct log_config *c, struct sm_error *reterr)
{
	if (strcmp(c->name, "cleanup.policy") == 0)
		return cleanup_policy(set, c, reterr);
	if (strcmp(c->name, "compression.type") == 0)
		return compression_type(set, c, reterr);
	if (strcmp(c->name, "message.timestamp.type") == 0) {
		set->log_append_time = strcmp(c->value, "LogAppendTime") == 0;
		return set->log_append_time || strcmp(c->value, "CreateTime") == 0 ? SM_OK
										   : bad_value(c, "CreateTime or LogAppendTime", reterr);
	}
	if (strstr(c->name, ".throttled.replicas"))
		return throttled_replicas(c, reterr);
	return SM_OK;
}

static const struct {
	const char *name;
	size_t at; /* an int64_t of struct topic_settings */
} numbers[] = {
#define X(name, field) {name, offsetof(struct topic_settings, field)},
	X("delete.retention.ms", delete_retention_ms) X("max.compaction.lag.ms", compaction_lag_max_ms)
		X("message.timestamp.after.max.ms", timestamp_after_max_ms) X("message.timestamp.before.max.ms", timestamp_before_max_ms)
			X("min.compaction.lag.ms", compaction_lag_min_ms) X("retention.bytes", retention_bytes)
				X("retention.ms", retention_ms) X("segment.ms", segment_ms)
#undef X
};

static enum sm_err apply_number(struct topic_settings *set, const struct known *k, const struct log_config *c, struct sm_error *reterr)
{
	int64_t value = 0;
	enum sm_err err = number(c, k, &value, reterr);
	if (err)
		return err;
	if (k->use == ABSENT && value != k->most)
		return sm_fail(reterr, SM_UNSUPPORTED, "%s is not there yet: leave it out or set it to %lld", c->name, (long long)k->most);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (strcmp(numbers[i].name, c->name) == 0)
			memcpy((char *)set + numbers[i].at, &value, sizeof value);
	if (strcmp(c->name, "max.message.bytes") == 0)
		set->max_message_bytes = (uint32_t)value;
	else if (strcmp(c->name, "segment.bytes") == 0)
		set->segment_bytes = (uint64_t)value;
	else if (strcmp(c->name, "compression.gzip.level") == 0 && value == 0)
		return bad_value(c, "-1 or from 1 to 9", reterr);
	else if (strcmp(c->name, "compression.gzip.level") == 0)
		set->levels[CODEC_GZIP] = (int)value;
	else if (strcmp(c->name, "compression.lz4.level") == 0)
		set->levels[CODEC_LZ4] = value == 9 ? 0 : (int)value; /* Kafka's default, and its name for the fast compressor */
	else if (strcmp(c->name, "compression.zstd.level") == 0)
		set->levels[CODEC_ZSTD] = (int)value;
	return SM_OK;
}

static enum sm_err ratio(struct topic_settings *set, const struct log_config *c, struct sm_error *reterr)
{
	char *end;
	double value = strtod(c->value, &end);
	if (end == c->value || !only_spaces(end) || !(value >= 0 && value <= 1))
		return bad_value(c, "a number from 0 to 1", reterr);
	set->cleanable_ratio_min = value; /* the one ratio that there is */
	return SM_OK;
}

static enum sm_err flag(const struct known *k, const struct log_config *c, struct sm_error *reterr)
{
	const char *word = c->value + strspn(c->value, " \t\r\n");
	bool set = strncasecmp(word, "true", 4) == 0;
	if ((!set && strncasecmp(word, "false", 5) != 0) || !only_spaces(word + (set ? 4 : 5)))
		return bad_value(c, "true or false", reterr);
	return set && k->use == ABSENT ? sm_fail(reterr, SM_UNSUPPORTED, "%s is not there yet", c->name) : SM_OK;
}

static const struct known *find(const char *name)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

void log__config_defaults(struct topic_settings *settings, uint64_t segment_bytes, int64_t retention_ms)
{
	*settings = (struct topic_settings){
		.max_message_bytes = LOG_BATCH_BYTES_MAX,
		.segment_bytes = segment_bytes,
		.segment_ms = 604800000,
		.retention_ms = retention_ms,
		.retention_bytes = -1,
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = 3600000,
		.delete_old = true,
		.cleanable_ratio_min = 0.5,
		.delete_retention_ms = 86400000,
		.compaction_lag_max_ms = INT64_MAX,
	};
	for (int i = 0; i < CODEC_COUNT; i++)
		settings->levels[i] = codec_level_default((enum codec)i);
}

enum sm_err log__config_apply(struct topic_settings *settings, const struct log_config *c, struct sm_error *reterr)
{
	const struct known *k = find(c->name);
	if (!k)
		return sm_fail(reterr, SM_INVALID, "there is no topic config named \"%s\"", c->name);
	if (!c->value || strlen(c->value) > LOG_CONFIG_VALUE_MAX)
		return sm_fail(reterr, SM_INVALID, "%s has no value, or one longer than %d bytes", c->name, LOG_CONFIG_VALUE_MAX);
	switch (k->kind) {
	case NUMBER: return apply_number(settings, k, c, reterr);
	case RATIO: return ratio(settings, c, reterr);
	case FLAG: return flag(k, c, reterr);
	case TEXT: return text(settings, c, reterr);
	}
	return SM_INVALID;
}
