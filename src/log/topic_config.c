/* Configs of topics, by the names that Kafka gives them. */
#include "log/log_internal.h"
#include <errno.h>
#include <stdlib.h>

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

static enum sm_err number(const struct log_config *c, const struct known *k, int64_t *ret, struct sm_error *reterr)
{
	char *end;
	errno = 0;
	long long value = strtoll(c->value, &end, 10);
	if (errno || end == c->value || *end || value < k->least || value > k->most)
		return sm_fail(reterr, SM_INVALID, "%s is \"%s\", it must be a whole number from %lld to %lld", c->name, c->value,
			       (long long)k->least, (long long)k->most);
	*ret = value;
	return SM_OK;
}

static enum sm_err cleanup_policy(const struct log_config *c, bool internal, struct sm_error *reterr)
{
	if (strcmp(c->value, "delete") == 0 || (internal && strcmp(c->value, "compact") == 0))
		return SM_OK;
	if (strstr(c->value, "compact"))
		return sm_fail(reterr, SM_UNSUPPORTED, "cleanup.policy=%s: compaction is not there yet; only \"delete\" is", c->value);
	return bad_value(c, "\"delete\"", reterr);
}

static bool one_of(const char *value, const char *const *choices)
{
	for (; *choices; choices++)
		if (strcmp(value, *choices) == 0)
			return true;
	return false;
}

static enum sm_err text(struct topic_settings *set, const struct log_config *c, bool internal, struct sm_error *reterr)
{
	static const char *const codecs[] = {"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd", NULL};
	if (strcmp(c->name, "cleanup.policy") == 0)
		return cleanup_policy(c, internal, reterr);
	if (strcmp(c->name, "compression.type") == 0)
		return one_of(c->value, codecs) ? SM_OK : bad_value(c, "producer, uncompressed, gzip, snappy, lz4 or zstd", reterr);
	if (strcmp(c->name, "message.timestamp.type") == 0) {
		set->log_append_time = strcmp(c->value, "LogAppendTime") == 0;
		return set->log_append_time || strcmp(c->value, "CreateTime") == 0 ? SM_OK
										   : bad_value(c, "CreateTime or LogAppendTime", reterr);
	}
	return SM_OK;
}

static enum sm_err apply_number(struct topic_settings *set, const struct known *k, const struct log_config *c, struct sm_error *reterr)
{
	int64_t value = 0;
	enum sm_err err = number(c, k, &value, reterr);
	if (err)
		return err;
	if (k->use == ABSENT && value != k->most)
		return sm_fail(reterr, SM_UNSUPPORTED, "%s is not there yet: leave it out or set it to %lld", c->name, (long long)k->most);
	if (strcmp(c->name, "max.message.bytes") == 0)
		set->max_message_bytes = (uint32_t)value;
	else if (strcmp(c->name, "segment.bytes") == 0)
		set->segment_bytes = (uint64_t)value;
	else if (strcmp(c->name, "retention.ms") == 0)
		set->retention_ms = value;
	else if (strcmp(c->name, "retention.bytes") == 0)
		set->retention_bytes = value;
	return SM_OK;
}

static enum sm_err ratio(const struct log_config *c, struct sm_error *reterr)
{
	char *end;
	double value = strtod(c->value, &end);
	return end != c->value && !*end && value >= 0 && value <= 1 ? SM_OK : bad_value(c, "a number from 0 to 1", reterr);
}

static enum sm_err flag(const struct known *k, const struct log_config *c, struct sm_error *reterr)
{
	bool set = strcmp(c->value, "true") == 0;
	if (!set && strcmp(c->value, "false") != 0)
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

bool log__config_known(const char *name)
{
	return find(name) != NULL;
}

enum sm_err log__config_apply(struct topic_settings *settings, const struct log_config *c, bool internal, struct sm_error *reterr)
{
	const struct known *k = find(c->name);
	if (!k)
		return sm_fail(reterr, SM_INVALID, "there is no topic config named \"%s\"", c->name);
	if (!c->value || strlen(c->value) > LOG_CONFIG_VALUE_MAX)
		return sm_fail(reterr, SM_INVALID, "%s has no value, or one longer than %d bytes", c->name, LOG_CONFIG_VALUE_MAX);
	switch (k->kind) {
	case NUMBER: return apply_number(settings, k, c, reterr);
	case RATIO: return ratio(c, reterr);
	case FLAG: return flag(k, c, reterr);
	case TEXT: return text(settings, c, internal, reterr);
	}
	return SM_INVALID;
}
