/* The store's engine, by the address in the configuration. */
#include "base/logging.h"
#include "cassandra/cassandra.h"
#include "cli/platform.h"
#include <stdio.h>
#include <stdlib.h>

/* A damaged file; hosts that are gone, and back. */
static void store_notice(void *arg, const char *text)
{
	LOG_WARN("store", "%s", text);
}

static enum sm_err open_embedded(struct platform *p, struct sm_error *reterr)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/store", p->config->data);
	struct store_embedded_options store = {
		.system = p->system,
		.dir = path,
		.block_cache_bytes = p->config->cache_bytes,
		.memtable_bytes = p->config->memtable_bytes,
		.notice = store_notice,
#ifdef SMACK_PLANT_FAULTS
		.ack_before_sync = getenv("SMACK_FAULT_ACK_BEFORE_SYNC") != NULL,
		.split_batches = getenv("SMACK_FAULT_SPLIT_BATCHES") != NULL,
#endif
	};
	snprintf(p->store_shown, sizeof p->store_shown, "embedded");
	return store_embedded_open(&store, &p->store, reterr);
}

static enum sm_err open_cassandra(struct platform *p, struct sm_error *reterr)
{
	const struct config *c = p->config;
	char password[4200];
	uint16_t port;
	const struct store_option settings[] = {
		{"user", c->store_user},
		{"password.file", *c->store_password_file ? config_path(c, c->store_password_file, password, sizeof password) : ""},
		{"consistency", c->store_consistency},
		{"local.dc", c->store_local_dc},
		{"replication.factor", c->store_replication_factor},
	};
	struct cassandra_options store = {.address = c->store_address,
					  .settings = settings,
					  .setting_count = sizeof settings / sizeof *settings,
					  .notice = store_notice};
	p->store_outgrown = true;
	cassandra_shown(c->store_address, p->store_shown, sizeof p->store_shown);
	cassandra_first(c->store_address, p->cql_host, &port);
	snprintf(p->cql_port, sizeof p->cql_port, "%u", port);
	return cassandra_open(&store, &p->store, reterr);
}

enum sm_err platform_store_open(struct platform *p, struct sm_error *reterr)
{
	return cassandra_is_address(p->config->store_address) ? open_cassandra(p, reterr) : open_embedded(p, reterr);
}

void platform_store_ending(struct platform *p)
{
	if (p->store && p->store_outgrown)
		cassandra_ending(p->store);
}

bool platform_store_answers(const struct platform *p)
{
	return !p->store_outgrown || cassandra_answers(p->store);
}
