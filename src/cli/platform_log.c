/* The log's engine, by the address in the configuration. */
#include "base/logging.h"
#include "cli/platform.h"
#include "rdkafka/rdkafka.h"
#include <stdio.h>
#include <stdlib.h>

/* What recovery had to repair; brokers that are gone, and back. */
static void log_notice(void *arg, const char *text)
{
	LOG_WARN("log", "%s", text);
}

static enum sm_err open_embedded(struct platform *p, struct sm_error *reterr)
{
	const struct config *c = p->config;
	char path[4096];
	snprintf(path, sizeof path, "%s/log", c->data);
	struct log_embedded_options log = {
		.system = p->system,
		.dir = path,
		.segment_bytes = c->segment_bytes,
		.retention_ms = c->retention_ms,
		.direct_bytes = c->direct_bytes < UINT32_MAX ? (uint32_t)c->direct_bytes : UINT32_MAX,
		.scrub_interval_ms = c->scrub_ms,
		.sync_interval_ms = strcmp(c->durability, "interval") == 0 ? (uint32_t)c->sync_interval_ms : 0,
		.notice = log_notice,
#ifdef SMACK_PLANT_FAULTS
		.ack_before_sync = getenv("SMACK_FAULT_ACK_BEFORE_SYNC") != NULL,
#endif
	};
	snprintf(p->log_shown, sizeof p->log_shown, "embedded");
	return log_embedded_open(&log, &p->log, reterr);
}

/* Files are relative to the configuration; in the address they are as they are. */
static const char *path_of(const struct config *c, const char *path, char *out, size_t size)
{
	return *path ? config_path(c, path, out, size) : "";
}

static enum sm_err open_kafka(struct platform *p, struct sm_error *reterr)
{
	const struct config *c = p->config;
	char password[4200], ca[4200], certificate[4200], key[4200];
	const struct log_config settings[] = {
		{"security.protocol", c->log_security_protocol},
		{"sasl.mechanism", c->log_sasl_mechanism},
		{"sasl.username", c->log_sasl_username},
		{"sasl.password.file", path_of(c, c->log_sasl_password_file, password, sizeof password)},
		{"ssl.ca.location", path_of(c, c->log_ca, ca, sizeof ca)},
		{"ssl.certificate.location", path_of(c, c->log_certificate, certificate, sizeof certificate)},
		{"ssl.key.location", path_of(c, c->log_certificate_key, key, sizeof key)},
		{"replication.factor", c->log_replication_factor},
	};
	struct rdkafka_options log = {
		.address = c->log_address, .settings = settings, .setting_count = sizeof settings / sizeof *settings, .notice = log_notice};
	p->outgrown = true;
	rdkafka_shown(c->log_address, p->log_shown, sizeof p->log_shown);
	rdkafka_brokers(c->log_address, p->kafka_address, sizeof p->kafka_address);
	return rdkafka_open(&log, &p->log, reterr);
}

enum sm_err platform_log_open(struct platform *p, struct sm_error *reterr)
{
	return rdkafka_is_address(p->config->log_address) ? open_kafka(p, reterr) : open_embedded(p, reterr);
}

void platform_log_ending(struct platform *p)
{
	if (p->log && p->outgrown)
		rdkafka_ending(p->log);
}

bool platform_log_answers(const struct platform *p)
{
	return !p->outgrown || rdkafka_answers(p->log);
}
