#include "cli/command.h"
#include "cli/platform.h"
#include "cli/server_options.h"
#include <stdio.h>
#include <stdlib.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
	if (key == ARGP_KEY_ARG)
		argp_error(state, "unexpected argument '%s'", arg);
	return server_options_parse(key, arg, state, state->input);
}

int command_up(int argc, char **argv)
{
	static const struct argp_option options[] = {SERVER_OPTIONS_OF("$SMACK_DATA, else smack-data", "8080", "9092", "9042"), {0}};
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Start the server: HTTP (ingest, dashboard, Marathon's and Chronos' REST), Kafka's and CQL's protocols. It runs until "
		"SIGINT or SIGTERM, then drains and ends within 5 s.",
		NULL,
		NULL,
		NULL};
	static struct config config;
	struct server_options server = {.config = &config};
	struct sm_error error = {0};
	config_init(&config);
	command_parse(&argp, argc, argv, &server);
	signals_block();
	struct platform *platform;
	if (server_options_apply(&server, &error) || platform_start(&config, &platform, &error))
		return command_failed(&error);
	printf("smack %s is ready after %.0f ms\n  http   %s\n  kafka  %s%s\n  cql    %s:%s%s\n", SMACK_VERSION,
	       (double)(platform->ready_ns - platform->started_ns) / 1e6, platform->url, platform->kafka_address,
	       platform->outgrown ? " (a real Kafka keeps the topics; its port is not served here)" : "", platform->cql_host,
	       platform->cql_port, platform->store_outgrown ? " (a real Cassandra keeps the tables; its port is not served here)" : "");
	for (uint32_t i = 0; i < config.listener_count; i++) {
		const struct config_listener *l = &config.listeners[i];
		char address[ADDRESS_HOST_MAX + 20];
		uint16_t port;
		if (platform_listener_port(platform, i, &port))
			printf("  listener %s  %s\n", l->name, address_text(l->address, port, address, sizeof address));
	}
	printf("  data   %s\n", config.data);
	fflush(stdout);
	signals_wait();
	enum sm_err err = platform_stop(platform, &error);
	config_done(&config);
	return err ? command_failed(&error) : STATUS_OK;
}
