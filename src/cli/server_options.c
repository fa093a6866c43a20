#include "cli/server_options.h"
#include "base/logging.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static void advertise(char *arg, struct argp_state *state, struct server_options *o)
{
	for (char *next; arg; arg = next) {
		if ((next = strchr(arg, ',')))
			*next++ = 0;
		if (strncmp(arg, "kafka=", 6) == 0)
			o->advertise[0] = arg + 6;
		else if (strncmp(arg, "cql=", 4) == 0)
			o->advertise[1] = arg + 4;
		else
			argp_error(state, "--advertise %s: only kafka=HOST:PORT and cql=IP:PORT can be advertised", arg);
	}
}

error_t server_options_parse(int key, char *arg, struct argp_state *state, struct server_options *o)
{
	switch (key) {
	case 'd': o->data = arg; return 0;
	case 'c': o->file = arg; return 0;
	case OPTION_HTTP: o->ports[0] = arg; return 0;
	case OPTION_KAFKA: o->ports[1] = arg; return 0;
	case OPTION_CQL: o->ports[2] = arg; return 0;
	case OPTION_ADVERTISE: advertise(arg, state, o); return 0;
	case OPTION_SET:
		if (o->set_count == SERVER_SETS_MAX)
			argp_error(state, "more than %d times --set: use a file", SERVER_SETS_MAX);
		else
			o->sets[o->set_count++] = arg;
		return 0;
	case OPTION_DEFAULTS: {
		struct buf out;
		buf_init(&out);
		config_print_defaults(&out);
		fwrite(buf_bytes(&out).data, 1, buf_size(&out), stdout);
		buf_done(&out);
		exit(0);
	}
	default: return ARGP_ERR_UNKNOWN;
	}
}

static enum sm_err set_one(struct config *config, const char *key, const char *value, struct sm_error *reterr)
{
	char assignment[4200];
	if (!value)
		return SM_OK;
	snprintf(assignment, sizeof assignment, "%s=%s", key, value);
	return config_set(config, assignment, reterr);
}

static enum sm_err set_logging(const struct config *c, struct sm_error *reterr)
{
	static const char *const levels[] = {"debug", "info", "warn", "error"};
	for (int i = 0; i < 4; i++) {
		if (strcasecmp(levels[i], c->logging) != 0)
			continue;
		logging_set((enum log_level)i, strcmp(c->logging_format, "json") == 0);
		return SM_OK;
	}
	return sm_fail(reterr, SM_INVALID, "logging.level = %s: must be debug, info, warn or error", c->logging);
}

enum sm_err server_options_apply(struct server_options *o, struct sm_error *reterr)
{
	static const char *const port_keys[] = {"http.port", "kafka.port", "cql.port"};
	/* The same default as that of the commands that look for a server. */
	enum sm_err err = set_one(o->config, "data", getenv("SMACK_DATA"), reterr);
	if (!err && o->file)
		err = config_read(o->config, o->file, reterr);
	for (unsigned i = 0; i < o->set_count && !err; i++)
		err = config_set(o->config, o->sets[i], reterr);
	for (unsigned i = 0; i < 3 && !err; i++)
		err = set_one(o->config, port_keys[i], o->ports[i], reterr);
	if (!err)
		err = set_one(o->config, "kafka.advertise", o->advertise[0], reterr);
	if (!err)
		err = set_one(o->config, "cql.advertise", o->advertise[1], reterr);
	if (!err)
		err = set_one(o->config, "data", o->data, reterr);
	if (!err)
		err = config_check(o->config, reterr);
	return err ? err : set_logging(o->config, reterr);
}
