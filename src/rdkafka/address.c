/* kafka://HOST:PORT,HOST:PORT?name=value&name=value, and settings beside it, become librdkafka's configuration. */
#include "base/address.h"
#include "rdkafka/rdkafka_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define SCHEME "kafka://"

/* Those that librdkafka knows by the same name, and ours. */
static const char *const passed_on[] = {
	"security.protocol", "sasl.mechanism",
	"sasl.username",     "sasl.password",
	"ssl.ca.location",   "ssl.certificate.location",
	"ssl.key.location",  "ssl.key.password",
	"client.id",         "compression.type",
	"linger.ms",         "delivery.timeout.ms",
	"socket.timeout.ms", "ssl.endpoint.identification.algorithm",
};
static const char password_file[] = "sasl.password.file", replication_factor[] = "replication.factor";

bool rdkafka_is_address(const char *address)
{
	return strncasecmp(address, SCHEME, strlen(SCHEME)) == 0;
}

static size_t brokers_size(const char *address)
{
	return strcspn(address + strlen(SCHEME), "?");
}

void rdkafka_shown(const char *address, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)(strlen(SCHEME) + brokers_size(address)), address);
}

void rdkafka_brokers(const char *address, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)brokers_size(address), address + strlen(SCHEME));
}

/* ---- the list of brokers ---- */

static enum sm_err take_brokers(const char *address, char **ret_brokers, struct sm_error *reterr)
{
	if (!rdkafka_is_address(address))
		return sm_fail(reterr, SM_INVALID, "'%.60s' is no address of a Kafka: write kafka://HOST:PORT,HOST:PORT", address);
	if (strlen(address) > RDKAFKA_ADDRESS_MAX)
		return sm_fail(reterr, SM_INVALID, "the address is longer than %d bytes", RDKAFKA_ADDRESS_MAX);
	const char *brokers = address + strlen(SCHEME);
	size_t size = brokers_size(address);
	char host[256];
	uint16_t port;
	for (size_t at = 0, n; at <= size; at += n + 1) {
		n = strcspn(brokers + at, ",?");
		if (!address_point(brokers + at, n, 0, host, &port))
			return sm_fail(reterr, SM_INVALID,
				       "'%.*s' in kafka://%.*s: write kafka://HOST:PORT,HOST:PORT, as kafka://broker-1.example:9092",
				       (int)(n < 100 ? n : 100), brokers + at, (int)(size < 200 ? size : 200), brokers);
	}
	*ret_brokers = strndup(brokers, size);
	return *ret_brokers ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory");
}

/* ---- settings ---- */

static enum sm_err conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct sm_error *reterr)
{
	char why[300] = "";
	if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
		return SM_OK;
	/* librdkafka's text holds the value. */
	if (strstr(name, "password"))
		return sm_fail(reterr, SM_INVALID, "%s: librdkafka does not take this value", name);
	return sm_fail(reterr, SM_INVALID, "%s = %s: %s", name, value, why);
}

static enum sm_err unknown_setting(const char *name, struct sm_error *reterr)
{
	char known[500] = "";
	size_t n = 0;
	for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on && n < sizeof known; i++)
		n += (size_t)snprintf(known + n, sizeof known - n, "%s, ", passed_on[i]);
	return sm_fail(reterr, SM_INVALID, "unknown setting '%.60s' of a kafka:// address; known: %s%s, %s", name, known, password_file,
		       replication_factor);
}

static enum sm_err apply(struct rdkafka_target *t, bool files, const char *name, const char *value, struct sm_error *reterr)
{
	if (strcmp(name, password_file) == 0) {
		char password[1024];
		enum sm_err err = files ? address_password(name, value, password, sizeof password, reterr) : SM_OK;
		if (!err && files)
			err = conf_set(t->conf, "sasl.password", password, reterr);
		explicit_bzero(password, sizeof password);
		return err;
	}
	if (strcmp(name, replication_factor) == 0) {
		char *end;
		long n = strtol(value, &end, 10);
		if (*end || end == value || n < 1 || n > INT16_MAX)
			return sm_fail(reterr, SM_INVALID, "%s = %s: give a number from 1 to %d", name, value, INT16_MAX);
		t->replication_factor = (int32_t)n;
		return SM_OK;
	}
	for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
		if (strcmp(name, passed_on[i]) == 0)
			return conf_set(t->conf, name, value, reterr);
	return unknown_setting(name, reterr);
}

struct applying {
	struct rdkafka_target *target;
	bool files;
};
static enum sm_err apply_one(void *arg, const char *name, const char *value, struct sm_error *reterr)
{
	const struct applying *applying = arg;
	return apply(applying->target, applying->files, name, value, reterr);
}

static enum sm_err apply_address(struct rdkafka_target *t, bool files, const char *address, struct sm_error *reterr)
{
	struct applying applying = {t, files};
	const char *query = address + strlen(SCHEME) + brokers_size(address);
	return address_settings(*query ? query + 1 : query, apply_one, &applying, reterr);
}

static enum sm_err make(const struct rdkafka_options *o, bool files, struct rdkafka_target *t, struct sm_error *reterr)
{
	static const char *const own[][2] = {
		{"enable.idempotence", "true"},
		{"delivery.timeout.ms", RDKAFKA_DELIVERY_MS},
		{"client.id", "smack"},
		{"linger.ms", "2"},
		{"log.connection.close", "false"},
		{"reconnect.backoff.max.ms", "2000"},
		{"socket.keepalive.enable", "true"},
		{"socket.nagle.disable", "true"},
		/* Kept full by rdkafka__append itself, in bytes. */
		{"queue.buffering.max.messages", "10000000"},
		{"queue.buffering.max.kbytes", "2097151"},
		{"message.max.bytes", "16777216"},
		/* The socket's: a broker that does not answer must not eat the whole of a delivery's time. */
		{"socket.timeout.ms", "10000"},
		{"socket.connection.setup.timeout.ms", "5000"},
	};
	*t = (struct rdkafka_target){.conf = rd_kafka_conf_new(), .replication_factor = -1};
	enum sm_err err = take_brokers(o->address, &t->brokers, reterr);
	if (!err)
		err = conf_set(t->conf, "bootstrap.servers", t->brokers, reterr);
	for (size_t i = 0; i < sizeof own / sizeof *own && !err; i++)
		err = conf_set(t->conf, own[i][0], own[i][1], reterr);
	for (uint32_t i = 0; i < o->setting_count && !err; i++)
		if (o->settings[i].value && *o->settings[i].value)
			err = apply(t, files, o->settings[i].name, o->settings[i].value, reterr);
	if (!err)
		err = apply_address(t, files, o->address, reterr);
	if (err)
		rdkafka__target_done(t);
	return err;
}

enum sm_err rdkafka__target_new(const struct rdkafka_options *options, struct rdkafka_target *ret_target, struct sm_error *reterr)
{
	return make(options, true, ret_target, reterr);
}

void rdkafka__target_done(struct rdkafka_target *t)
{
	if (t->conf)
		rd_kafka_conf_destroy(t->conf);
	free(t->brokers);
	*t = (struct rdkafka_target){.conf = NULL};
}

enum sm_err rdkafka_check(const char *address, struct sm_error *reterr)
{
	struct rdkafka_target target;
	const struct rdkafka_options options = {.address = address};
	enum sm_err err = make(&options, false, &target, reterr);
	if (!err)
		rdkafka__target_done(&target);
	return err;
}
