/* Options that `up`, `with` and `demo` share: where the configuration comes from and what changes it. */
#ifndef CLI_SERVER_OPTIONS_H
#define CLI_SERVER_OPTIONS_H

#include "cli/config.h"
#include <argp.h>

enum { OPTION_HTTP = 512, OPTION_KAFKA, OPTION_CQL, OPTION_ADVERTISE, OPTION_SET, OPTION_DEFAULTS };
/* What stands in for an option that is not given differs from command to command. */
#define SERVER_OPTIONS_OF(absent_data, absent_http, absent_kafka, absent_cql)                                                         \
	{"data", 'd', "DIR", 0, "data directory (default: " absent_data ")", 0}, {"config", 'c', "FILE", 0, "configuration file", 0}, \
		{"set", OPTION_SET, "KEY=VALUE", 0, "set one key of the configuration, as log.segment=64MiB; may be repeated", 0},    \
		{"http", OPTION_HTTP, "PORT", 0, "HTTP port (default: " absent_http "; 0 takes a free one, here and below)", 0},      \
		{"kafka", OPTION_KAFKA, "PORT", 0, "Kafka port (default: " absent_kafka ")", 0},                                      \
		{"advertise", OPTION_ADVERTISE, "kafka=HOST:PORT,cql=IP:PORT", 0, "what clients are told, behind a proxy", 0},        \
		{"cql", OPTION_CQL, "PORT", 0, "CQL port (default: " absent_cql ")", 0},                                              \
	{                                                                                                                             \
		"print-config", OPTION_DEFAULTS, NULL, 0, "print every key with its default, then end", 0                             \
	}

#define SERVER_SETS_MAX 64
struct server_options {
	struct config *config;
	const char *file, *data, *ports[3], *advertise[2]; /* kafka, cql */
	const char *sets[SERVER_SETS_MAX];
	unsigned set_count;
};
error_t server_options_parse(int key, char *arg, struct argp_state *state, struct server_options *options);
/* $SMACK_DATA first, then the file, then --set, then the options of their own; then the check of the whole. */
SM_MUST_CHECK enum sm_err server_options_apply(struct server_options *options, struct sm_error *reterr);

#endif
