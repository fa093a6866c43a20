/* cassandra://HOST:PORT,HOST:PORT?name=value&name=value, and settings beside it. */
#include "base/address.h"
#include "cassandra/cassandra.h"
#include "cassandra/client.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define SCHEME "cassandra://"
#define PORT 9042

bool cassandra_is_address(const char *address)
{
	return strncasecmp(address, SCHEME, strlen(SCHEME)) == 0;
}

static size_t hosts_size(const char *address)
{
	return strcspn(address + strlen(SCHEME), "/?");
}

void cassandra_shown(const char *address, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)(strlen(SCHEME) + hosts_size(address)), address);
}

uint16_t client__serial(uint16_t consistency)
{
	return consistency == CQL_LOCAL_QUORUM ? CQL_LOCAL_SERIAL : CQL_SERIAL;
}

/* ---- hosts ---- */

static enum sm_err take_points(const char *address, struct client_target *t, struct sm_error *reterr)
{
	if (!cassandra_is_address(address))
		return sm_fail(reterr, SM_INVALID, "'%.60s' is no address of a Cassandra: write cassandra://HOST:PORT,HOST:PORT", address);
	if (strlen(address) > CLIENT_ADDRESS_MAX)
		return sm_fail(reterr, SM_INVALID, "the address is longer than %d bytes", CLIENT_ADDRESS_MAX);
	const char *hosts = address + strlen(SCHEME);
	size_t size = hosts_size(address);
	for (size_t at = 0, n; at <= size; at += n + 1) {
		n = strcspn(hosts + at, ",/?");
		if (t->point_count == CLIENT_POINTS_MAX)
			return sm_fail(reterr, SM_INVALID, "%d hosts are enough: the client learns of the others", CLIENT_POINTS_MAX);
		struct client_point *point = &t->points[t->point_count];
		if (!address_point(hosts + at, n, PORT, point->host, &point->port))
			return sm_fail(
				reterr, SM_INVALID,
				"'%.*s' in cassandra://%.*s: write cassandra://HOST:PORT,HOST:PORT, as cassandra://db-1.example:9042",
				(int)(n < 100 ? n : 100), hosts + at, (int)(size < 200 ? size : 200), hosts);
		t->point_count++;
	}
	return SM_OK;
}

/* ---- settings ---- */

static enum sm_err take_text(const char *name, const char *value, char *out, size_t size, struct sm_error *reterr)
{
	if (strlen(value) >= size)
		return sm_fail(reterr, SM_INVALID, "%s has more than %zu bytes", name, size - 1);
	memcpy(out, value, strlen(value) + 1);
	return SM_OK;
}

static enum sm_err take_setting(struct client_target *t, bool files, const char *name, const char *value, struct sm_error *reterr)
{
	if (strcmp(name, "user") == 0)
		return take_text(name, value, t->user, sizeof t->user, reterr);
	if (strcmp(name, "password") == 0)
		return take_text(name, value, t->password, sizeof t->password, reterr);
	if (strcmp(name, "password.file") == 0)
		return files ? address_password(name, value, t->password, sizeof t->password, reterr) : SM_OK;
	if (strcmp(name, "local.dc") == 0)
		return take_text(name, value, t->local_dc, sizeof t->local_dc, reterr);
	if (strcmp(name, "consistency") == 0) { /* with fewer copies a read need not see what was written */
		static const uint16_t levels[] = {CQL_QUORUM, CQL_LOCAL_QUORUM, CQL_EACH_QUORUM, CQL_ALL};
		for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
			if (strcasecmp(value, cql_consistency_name(levels[i])) == 0) {
				t->consistency = levels[i];
				return SM_OK;
			}
		return sm_fail(reterr, SM_INVALID,
			       "consistency = %.40s: give QUORUM, LOCAL_QUORUM, EACH_QUORUM or ALL; with one copy QUORUM is ONE", value);
	}
	if (strcmp(name, "replication.factor") == 0) {
		char *end;
		long n = strtol(value, &end, 10);
		if (*end || end == value || n < 1 || n > 100)
			return sm_fail(reterr, SM_INVALID, "replication.factor = %s: give a number from 1 to 100", value);
		t->replication_factor = (uint32_t)n;
		return SM_OK;
	}
	return sm_fail(reterr, SM_INVALID,
		       "unknown setting '%.60s' of a cassandra:// address; known: user, password, password.file, consistency, local.dc, "
		       "replication.factor",
		       name);
}

struct taking {
	struct client_target *target;
	bool files;
};
static enum sm_err take_one(void *arg, const char *name, const char *value, struct sm_error *reterr)
{
	const struct taking *taking = arg;
	return take_setting(taking->target, taking->files, name, value, reterr);
}

static enum sm_err take_address(struct client_target *t, bool files, const char *address, struct sm_error *reterr)
{
	const char *tail = address + strlen(SCHEME) + hosts_size(address);
	if (*tail == '/')
		tail++;
	if (*tail && *tail != '?')
		return sm_fail(reterr, SM_INVALID, "'%.60s' in the address: keyspaces are named in statements, settings follow a '?'",
			       tail);
	struct taking taking = {t, files};
	return address_settings(*tail ? tail + 1 : tail, take_one, &taking, reterr);
}

enum sm_err client__target_parse(const char *address, const struct store_option *settings, uint32_t setting_count, bool files,
				 struct client_target *t, struct sm_error *reterr)
{
	*t = (struct client_target){.consistency = CQL_QUORUM};
	enum sm_err err = take_points(address, t, reterr);
	for (uint32_t i = 0; i < setting_count && !err; i++)
		if (settings[i].value && *settings[i].value)
			err = take_setting(t, files, settings[i].name, settings[i].value, reterr);
	return err ? err : take_address(t, files, address, reterr);
}

enum sm_err cassandra_check(const char *address, struct sm_error *reterr)
{
	struct client_target target;
	enum sm_err err = client__target_parse(address, NULL, 0, false, &target, reterr);
	explicit_bzero(&target, sizeof target);
	return err;
}

void cassandra_first(const char *address, char host[256], uint16_t *ret_port)
{
	struct client_target target;
	bool ok = client__target_parse(address, NULL, 0, false, &target, NULL) == SM_OK;
	snprintf(host, 256, "%s", ok ? target.points[0].host : "");
	*ret_port = ok ? target.points[0].port : 0;
	explicit_bzero(&target, sizeof target);
}
