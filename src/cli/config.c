#include "cli/config.h"
#include "auth/auth.h"
#include "base/io.h"
#include "cassandra/cassandra.h"
#include "kafka/kafka.h"
#include "kafka/kafka_limits.h"
#include "rdkafka/rdkafka.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum type { TEXT, PORT, SIZE, TIME, COUNT };
struct key {
	const char *name;
	enum type type;
	size_t offset;
	const char *absent, *help;
};
static const struct key global_keys[] = {
#define X(field, type, key, absent, help) {key, type, offsetof(struct config, field), absent, help},
#include "cli/config.def"
#undef X
	{0},
};
#define X_topic(field, type, key, absent, help) {key, type, offsetof(struct config_topic, field), absent, help},
#define X_stream(field, type, key, absent, help)
#define X_job(field, type, key, absent, help)
#define X_listener(field, type, key, absent, help)
#define X(section, field, type, key, absent, help) X_##section(field, type, key, absent, help)
static const struct key topic_keys[] = {
#include "cli/config_sections.def"
	{0},
};
#undef X_topic
#undef X_stream
#define X_topic(field, type, key, absent, help)
#define X_stream(field, type, key, absent, help) {key, type, offsetof(struct config_stream, field), absent, help},
static const struct key stream_keys[] = {
#include "cli/config_sections.def"
	{0},
};
#undef X_stream
#undef X_job
#define X_stream(field, type, key, absent, help)
#define X_job(field, type, key, absent, help) {key, type, offsetof(struct config_job, field), absent, help},
static const struct key job_keys[] = {
#include "cli/config_sections.def"
	{0},
};
#undef X_job
#undef X_listener
#define X_job(field, type, key, absent, help)
#define X_listener(field, type, key, absent, help) {key, type, offsetof(struct config_listener, field), absent, help},
static const struct key listener_keys[] = {
#include "cli/config_sections.def"
	{0},
};
#undef X

/* The kinds of named sections: where their items lie and how large they are. Each begins with its name. */
static const struct section {
	const char *kind;
	const struct key *keys;
	size_t items, count, size;
} sections[] = {
	{"topic", topic_keys, offsetof(struct config, topics), offsetof(struct config, topic_count), sizeof(struct config_topic)},
	{"stream", stream_keys, offsetof(struct config, streams), offsetof(struct config, stream_count), sizeof(struct config_stream)},
	{"job", job_keys, offsetof(struct config, jobs), offsetof(struct config, job_count), sizeof(struct config_job)},
	{"listener", listener_keys, offsetof(struct config, listeners), offsetof(struct config, listener_count),
	 sizeof(struct config_listener)},
};
#define SECTION_COUNT (sizeof sections / sizeof *sections)

/* ---- values ---- */

static enum sm_err number_with_unit(const char *text, const char *const *units, const uint64_t *factors, uint64_t *ret)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return SM_INVALID;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno)
		return SM_OUT_OF_RANGE;
	while (*end == ' ')
		end++;
	for (size_t i = 0; units[i]; i++) {
		if (strcasecmp(end, units[i]) != 0)
			continue;
		if (n > INT64_MAX / factors[i])
			return SM_OUT_OF_RANGE;
		*ret = n * factors[i];
		return SM_OK;
	}
	return SM_INVALID;
}

enum sm_err size_parse(const char *text, uint64_t *ret_bytes)
{
	static const char *const units[] = {"", "B", "KiB", "MiB", "GiB", "TiB", NULL};
	static const uint64_t factors[] = {1, 1, 1ull << 10, 1ull << 20, 1ull << 30, 1ull << 40};
	return number_with_unit(text, units, factors, ret_bytes);
}

enum sm_err time_parse(const char *text, uint64_t *ret_ms)
{
	static const char *const units[] = {"", "ms", "s", "m", "min", "h", "d", NULL};
	static const uint64_t factors[] = {1, 1, 1000, 60000, 60000, 3600000, 86400000};
	return number_with_unit(text, units, factors, ret_ms);
}

static enum sm_err set_value(struct config *c, const struct key *key, void *base, const char *value, struct sm_error *reterr)
{
	void *field = (char *)base + key->offset;
	uint64_t n = 0;
	switch (key->type) {
	case TEXT: {
		const char *copy = arena_string(&c->arena, value, strlen(value));
		if (!copy)
			return sm_fail(reterr, SM_NO_MEMORY, "no memory for the configuration");
		*(const char **)field = copy;
		return SM_OK;
	}
	case PORT:
		if (size_parse(value, &n) || n > 65535 || !isdigit((unsigned char)value[strlen(value) - 1]))
			return sm_fail(reterr, SM_INVALID, "'%s' is no port for %s: give a number from 0 to 65535", value, key->name);
		*(uint16_t *)field = (uint16_t)n;
		return SM_OK;
	case SIZE:
		if (size_parse(value, &n))
			return sm_fail(reterr, SM_INVALID,
				       "'%s' is no size for %s: give bytes, or a number with KiB, MiB or GiB, as 128MiB", value, key->name);
		break;
	case TIME:
		if (time_parse(value, &n))
			return sm_fail(reterr, SM_INVALID, "'%s' is no time for %s: give a number with ms, s, m, h or d, as 10s", value,
				       key->name);
		break;
	case COUNT:
		if (size_parse(value, &n) || !isdigit((unsigned char)value[strlen(value) - 1]))
			return sm_fail(reterr, SM_INVALID, "'%s' is no number for %s", value, key->name);
		break;
	}
	*(uint64_t *)field = n;
	return SM_OK;
}

static const struct key *find_key(const struct key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static void set_defaults(struct config *c, const struct key *keys, void *base)
{
	for (; keys->name; keys++)
		if (set_value(c, keys, base, keys->absent, NULL))
			abort(); /* a default in the .def file is wrong */
}

void config_init(struct config *c)
{
	*c = (struct config){.dir = "."};
	arena_init(&c->arena, 0);
	set_defaults(c, global_keys, c);
}

void config_done(struct config *c)
{
	arena_done(&c->arena);
}

/* ---- keys ---- */

static void *item_of(struct config *c, const struct section *s, const char *name, size_t name_size, struct sm_error *reterr)
{
	uint32_t *count = (uint32_t *)((char *)c + s->count);
	char *items = (char *)c + s->items;
	for (uint32_t i = 0; i < *count; i++) {
		const char *have = *(const char **)(items + i * s->size);
		if (strlen(have) == name_size && memcmp(have, name, name_size) == 0)
			return items + i * s->size;
	}
	if (*count == CONFIG_NAMED_MAX) {
		sm_fail(reterr, SM_TOO_LARGE, "more than %d sections [%s ...]", CONFIG_NAMED_MAX, s->kind);
		return NULL;
	}
	char *copy = arena_string(&c->arena, name, name_size), *item = items + *count * s->size;
	if (!copy) {
		sm_fail(reterr, SM_NO_MEMORY, "no memory for the configuration");
		return NULL;
	}
	*(const char **)item = copy;
	set_defaults(c, s->keys, item);
	++*count;
	return item;
}

static enum sm_err unknown_key(const struct key *keys, const char *name, struct sm_error *reterr)
{
	char known[300] = "";
	size_t n = 0;
	for (; keys->name && n < sizeof known; keys++)
		n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", keys->name);
	return sm_fail(reterr, SM_INVALID, "unknown key '%s'; known: %s", name, known);
}

/* section "" and key "log.segment", section "log" and key "segment", section "topic raw" and key "schema". */
static enum sm_err set_in_section(struct config *c, const char *section, const char *name, const char *value, struct sm_error *reterr)
{
	for (size_t i = 0; i < SECTION_COUNT; i++) {
		size_t n = strlen(sections[i].kind);
		if (strncmp(section, sections[i].kind, n) != 0 || section[n] != ' ')
			continue;
		const char *item_name = section + n + strspn(section + n, " ");
		void *item = item_of(c, &sections[i], item_name, strlen(item_name), reterr);
		if (!item)
			return SM_TOO_LARGE;
		const struct key *key = find_key(sections[i].keys, name);
		return key ? set_value(c, key, item, value, reterr) : unknown_key(sections[i].keys, name, reterr);
	}
	char dotted[CONFIG_LINE_MAX * 2 + 2];
	snprintf(dotted, sizeof dotted, "%s%s%s", section, *section ? "." : "", name);
	const struct key *key = find_key(global_keys, dotted);
	return key ? set_value(c, key, c, value, reterr) : unknown_key(global_keys, dotted, reterr);
}

enum sm_err config_set(struct config *c, const char *assignment, struct sm_error *reterr)
{
	const char *equals = strchr(assignment, '=');
	if (!equals || equals == assignment)
		return sm_fail(reterr, SM_INVALID, "--set '%s': write key=value", assignment);
	char key[CONFIG_LINE_MAX];
	if ((size_t)(equals - assignment) >= sizeof key)
		return sm_fail(reterr, SM_INVALID, "--set: the key is too long");
	memcpy(key, assignment, (size_t)(equals - assignment));
	key[equals - assignment] = 0;
	enum sm_err err;
	/* kind.NAME.key: the name may have dots itself. */
	for (size_t i = 0; i < SECTION_COUNT; i++) {
		size_t n = strlen(sections[i].kind);
		char *last = strrchr(key, '.');
		if (strncmp(key, sections[i].kind, n) != 0 || key[n] != '.' || last == key + n)
			continue;
		*last = 0;
		key[n] = ' ';
		if ((err = set_in_section(c, key, last + 1, equals + 1, reterr)))
			sm_error_prefix(reterr, "--set %s", assignment);
		return err;
	}
	if ((err = set_in_section(c, "", key, equals + 1, reterr)))
		sm_error_prefix(reterr, "--set %s", assignment);
	return err;
}

/* ---- files ---- */

/* inih reports only the number of the first bad line and cuts long ones: the reader counts and refuses them itself. */
struct reader {
	struct config *config;
	const char *text, *name;
	int line;
	struct sm_error *reterr;
	enum sm_err err;
};

static char *next_line(char *out, int size, void *stream)
{
	struct reader *r = stream;
	if (!*r->text || r->err)
		return NULL;
	size_t n = strcspn(r->text, "\n");
	r->line++;
	if (n > CONFIG_LINE_MAX - 1 || n + 2 > (size_t)size) {
		r->err = sm_fail(r->reterr, SM_INVALID,
				 "%s:%d: the line is longer than %d bytes; put SQL, CQL and schemas into files of their own", r->name,
				 r->line, CONFIG_LINE_MAX - 1);
		return NULL;
	}
	memcpy(out, r->text, n);
	r->text += n + (r->text[n] == '\n');
	/* Comments begin with # or ; as the first thing of a line; inih would also cut at " ;" within a value. */
	char *semi = out;
	out[n] = 0;
	while (*semi == ' ' || *semi == '\t')
		semi++;
	if (*semi != '#' && *semi != ';' && strstr(out, " ;")) {
		r->err = sm_fail(r->reterr, SM_INVALID,
				 "%s:%d: ' ;' would cut the value there; begin comments on a line of their own with #", r->name, r->line);
		return NULL;
	}
	out[n] = '\n';
	out[n + 1] = 0;
	return out;
}

static int one_key(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;
	if (r->err)
		return 0;
	if (!value)
		value = "";
	size_t n = strlen(value);
	char plain[CONFIG_LINE_MAX];
	if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
		snprintf(plain, sizeof plain, "%.*s", (int)n - 2, value + 1);
		value = plain;
	}
	if ((r->err = set_in_section(r->config, section, name, value, r->reterr)))
		sm_error_prefix(r->reterr, "%s:%d", r->name, r->line);
	return !r->err;
}

enum sm_err config_read_text(struct config *c, const char *name, const char *text, struct sm_error *reterr)
{
	struct reader r = {.config = c, .text = text, .name = name, .reterr = reterr};
	int bad = ini_parse_stream(next_line, &r, one_key, &r);
	if (r.err)
		return r.err;
	if (bad)
		return sm_fail(reterr, SM_INVALID, "%s:%d: this is neither [section] nor key = value", name, bad);
	return SM_OK;
}

enum sm_err config_read(struct config *c, const char *path, struct sm_error *reterr)
{
	uint8_t *text;
	size_t size;
	enum sm_err err = io_read_file(&io_system, path, 1 << 20, &text, &size, reterr);
	if (err)
		return err;
	const char *slash = strrchr(path, '/');
	c->file = arena_string(&c->arena, path, strlen(path));
	c->dir = slash ? arena_string(&c->arena, path, slash == path ? 1 : (size_t)(slash - path)) : ".";
	if (!c->file || !c->dir)
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory for the configuration");
	else if (memchr(text, 0, size))
		err = sm_fail(reterr, SM_INVALID, "%s: has a zero byte; it must be text", path);
	else
		err = config_read_text(c, path, (const char *)text, reterr);
	free(text);
	return err;
}

static bool is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcmp(address, "localhost") == 0;
}

struct config_listener config_first_listener(const struct config *c)
{
	return (struct config_listener){.protocol = "kafka",
					.address = c->listen,
					.port = c->kafka_port,
					.advertise = c->kafka_advertise,
					.tls = c->kafka_tls,
					.client_auth = c->kafka_client_auth,
					.sasl = c->kafka_sasl,
					.authenticator = "AllowAllAuthenticator"};
}

struct config_listener config_first_cql_listener(const struct config *c)
{
	return (struct config_listener){.protocol = "cql",
					.address = c->listen,
					.port = c->cql_port,
					.advertise = c->cql_advertise,
					.tls = c->cql_tls,
					.client_auth = c->cql_client_auth,
					.sasl = "",
					.authenticator = c->cql_authenticator};
}

bool config_is_cql(const struct config_listener *listener)
{
	return strcmp(listener->protocol, "cql") == 0;
}

bool config_is_http(const struct config_listener *listener)
{
	return strcmp(listener->protocol, "http") == 0;
}

bool config_is_kafka(const struct config_listener *listener)
{
	return !config_is_cql(listener) && !config_is_http(listener);
}

enum sm_err authenticator_parse(const char *text, bool *ret_password)
{
	*ret_password = strcmp(text, "PasswordAuthenticator") == 0;
	return *ret_password || strcmp(text, "AllowAllAuthenticator") == 0 ? SM_OK : SM_INVALID;
}

enum sm_err holes_parse(const char *text, bool *ret_pass)
{
	*ret_pass = strcmp(text, "pass") == 0;
	return *ret_pass || strcmp(text, "stop") == 0 ? SM_OK : SM_INVALID;
}

enum sm_err yes_no_parse(const char *text, bool *ret)
{
	*ret = strcmp(text, "yes") == 0;
	return *ret || strcmp(text, "no") == 0 ? SM_OK : SM_INVALID;
}

enum sm_err client_auth_parse(const char *text, int *ret)
{
	static const char *const words[] = {"none", "requested", "required"};
	for (*ret = 0; *ret < 3; ++*ret)
		if (strcmp(text, words[*ret]) == 0)
			return SM_OK;
	return SM_INVALID;
}

/* What a listener asks of its clients. */
static enum sm_err check_login(const struct config *c, const struct config_listener *l, unsigned *ret_sasl, bool *ret_tls, int *ret_clients,
			       struct sm_error *reterr)
{
	if (auth_mechanisms_parse(l->sasl, ret_sasl, reterr)) {
		sm_error_prefix(reterr, "sasl");
		return SM_INVALID;
	}
	if (*ret_sasl && !*c->users)
		return sm_fail(reterr, SM_INVALID, "sasl = %s needs security.users = FILE; `smack user add` makes that file", l->sasl);
	if (yes_no_parse(l->tls, ret_tls))
		return sm_fail(reterr, SM_INVALID, "tls = %s: must be yes or no", l->tls);
	if (*ret_tls && (!*c->certificate || !*c->certificate_key))
		return sm_fail(reterr, SM_INVALID, "tls = yes needs security.certificate = FILE and security.key = FILE");
	if (client_auth_parse(l->client_auth, ret_clients))
		return sm_fail(reterr, SM_INVALID, "client_auth = %s: must be none, requested or required", l->client_auth);
	if (*ret_clients && !*ret_tls)
		return sm_fail(reterr, SM_INVALID, "client_auth = %s needs tls = yes", l->client_auth);
	if (*ret_clients && !*c->client_ca)
		return sm_fail(reterr, SM_INVALID, "client_auth = %s needs security.client_ca = FILE", l->client_auth);
	return SM_OK;
}

/* The same for CQL, whose logins bring the password as it is. */
static enum sm_err check_cql_listener(const struct config *c, const struct config_listener *l, struct sm_error *reterr)
{
	char host[ADDRESS_HOST_MAX + 1];
	uint16_t port;
	unsigned sasl;
	bool tls = false, password = false;
	int clients = 0;
	if (*l->sasl)
		return sm_fail(reterr, SM_INVALID, "sasl = %s: CQL's clients log in with authenticator = PasswordAuthenticator", l->sasl);
	if (authenticator_parse(l->authenticator, &password))
		return sm_fail(reterr, SM_INVALID, "authenticator = %s: must be PasswordAuthenticator or AllowAllAuthenticator",
			       l->authenticator);
	if (*l->advertise && cql_advertise_parse(l->advertise, host, &port))
		return sm_fail(reterr, SM_INVALID, "advertise = %s: give IP:PORT, as 192.0.2.7:9042: drivers are told an address",
			       l->advertise);
	enum sm_err err = check_login(c, l, &sasl, &tls, &clients, reterr);
	if (err || is_loopback(l->address))
		return err;
	if (!password && clients < 2)
		return sm_fail(reterr, SM_DENIED,
			       "address = %s: beyond loopback it must ask for credentials: add authenticator = PasswordAuthenticator and "
			       "tls = yes, "
			       "or client_auth = required",
			       l->address);
	if (password && !tls)
		return sm_fail(
			reterr, SM_DENIED,
			"address = %s: passwords would be readable on the network: add tls = yes, security.certificate and security.key",
			l->address);
	return SM_OK;
}

/* HTTP from outside always asks who sends a request: by user and password (Basic), or by certificate. */
static enum sm_err check_http_listener(const struct config *c, const struct config_listener *l, struct sm_error *reterr)
{
	unsigned sasl;
	bool tls = false, password = false;
	int clients = 0;
	if (*l->sasl || *l->advertise)
		return sm_fail(reterr, SM_INVALID, "%s = %s: not for HTTP", *l->sasl ? "sasl" : "advertise",
			       *l->sasl ? l->sasl : l->advertise);
	if (authenticator_parse(l->authenticator, &password))
		return sm_fail(reterr, SM_INVALID, "authenticator = %s: must be PasswordAuthenticator or AllowAllAuthenticator",
			       l->authenticator);
	enum sm_err err = check_login(c, l, &sasl, &tls, &clients, reterr);
	if (err)
		return err;
	if (!password && clients < 2)
		return sm_fail(reterr, SM_DENIED,
			       "a listener for HTTP must ask for credentials: add authenticator = PasswordAuthenticator, or client_auth = "
			       "required; without, there is http.port on loopback");
	if (password && !*c->users)
		return sm_fail(reterr, SM_INVALID,
			       "authenticator = PasswordAuthenticator needs security.users = FILE; `smack user add` makes that file");
	if (password && !tls && !is_loopback(l->address))
		return sm_fail(
			reterr, SM_DENIED,
			"address = %s: passwords would be readable on the network: add tls = yes, security.certificate and security.key",
			l->address);
	return SM_OK;
}

static enum sm_err check_listener(const struct config *c, const struct config_listener *l, struct sm_error *reterr)
{
	char host[ADDRESS_HOST_MAX + 1];
	uint16_t port;
	unsigned sasl;
	bool tls = false;
	int clients = 0;
	if (config_is_cql(l))
		return check_cql_listener(c, l, reterr);
	if (config_is_http(l))
		return check_http_listener(c, l, reterr);
	if (strcmp(l->protocol, "kafka") != 0)
		return sm_fail(reterr, SM_INVALID, "protocol = %s: must be kafka, cql or http", l->protocol);
	if (strcmp(l->authenticator, "AllowAllAuthenticator") != 0)
		return sm_fail(reterr, SM_INVALID, "authenticator = %s: Kafka's clients log in with sasl", l->authenticator);
	if (*l->advertise && !address_point(l->advertise, strlen(l->advertise), 0, host, &port))
		return sm_fail(reterr, SM_INVALID, "advertise = %s: give HOST:PORT, as broker.example:9092 or [::1]:9092", l->advertise);
	enum sm_err err = check_login(c, l, &sasl, &tls, &clients, reterr);
	if (err || is_loopback(l->address))
		return err;
	if (!sasl && clients < 2)
		return sm_fail(
			reterr, SM_DENIED,
			"address = %s: beyond loopback it must ask for credentials: add sasl = SCRAM-SHA-512, or client_auth = required",
			l->address);
	if ((sasl & AUTH_BIT(AUTH_PLAIN)) && !tls)
		return sm_fail(reterr, SM_DENIED,
			       "address = %s: PLAIN would send passwords readable over the network: use sasl = SCRAM-SHA-512, or tls = yes",
			       l->address);
	return SM_OK;
}

static enum sm_err check_kafka(const struct config *c, const char *name, struct sm_error *reterr)
{
	bool yes;
	if (yes_no_parse(c->acls, &yes))
		return sm_fail(reterr, SM_INVALID, "%s: security.acls = %s: must be yes or no", name, c->acls);
	if (yes_no_parse(c->allow_without_acl, &yes))
		return sm_fail(reterr, SM_INVALID, "%s: security.allow_without_acl = %s: must be yes or no", name, c->allow_without_acl);
	struct kafka_server_options kafka = {0};
	struct sm_error why;
	enum sm_err err = config_kafka(c, &kafka, &why);
	if (err)
		return sm_fail(reterr, err, "%s: %s", name, why.text);
	if (c->listener_count + 1 > KAFKA_LISTENERS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "%s: more than %d sections [listener ...]", name, KAFKA_LISTENERS_MAX - 1);
	const struct config_listener first = config_first_listener(c);
	if ((err = check_listener(c, &first, &why)))
		return sm_fail(reterr, err, "%s: kafka.%s", name, why.text);
	const struct config_listener first_cql = config_first_cql_listener(c);
	if ((err = check_listener(c, &first_cql, &why)))
		return sm_fail(reterr, err, "%s: cql.%s", name, why.text);
	for (uint32_t i = 0; i < c->listener_count; i++)
		if ((err = check_listener(c, &c->listeners[i], &why)))
			return sm_fail(reterr, err, "%s: [listener %s]: %s", name, c->listeners[i].name, why.text);
	return SM_OK;
}

enum sm_err cql_advertise_parse(const char *text, char ret_host[ADDRESS_HOST_MAX + 1], uint16_t *ret_port)
{
	uint8_t address[16];
	bool point = address_point(text, strlen(text), 0, ret_host, ret_port);
	return point && (inet_pton(AF_INET, ret_host, address) == 1 || inet_pton(AF_INET6, ret_host, address) == 1) ? SM_OK : SM_INVALID;
}

/* With a real Kafka nothing of this process serves Kafka's clients, and nothing here keeps the log. */
static enum sm_err check_outgrown(const struct config *c, const char *name, struct sm_error *reterr)
{
	struct sm_error why;
	enum sm_err err = rdkafka_check(c->log_address, &why);
	if (err)
		return sm_fail(reterr, err, "%s: log: %s", name, why.text);
	uint32_t listeners = 0;
	for (uint32_t i = 0; i < c->listener_count; i++)
		listeners += config_is_kafka(&c->listeners[i]);
	const struct {
		bool set;
		const char *what;
	} senseless[] = {
		{listeners > 0, "a section [listener NAME] for Kafka's clients"},
		{*c->kafka_advertise, "kafka.advertise"},
		{*c->kafka_sasl, "kafka.sasl"},
		{strcmp(c->kafka_tls, "no") != 0, "kafka.tls"},
		{strcmp(c->kafka_auto_create, "yes") != 0, "kafka.auto_create"},
		{c->kafka_partitions != 1, "kafka.partitions"},
		{strcmp(c->acls, "no") != 0, "security.acls"},
		{strcmp(c->durability, "sync") != 0, "log.durability"},
		{c->retention_ms != 0, "log.retention"},
	};
	for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++)
		if (senseless[i].set)
			return sm_fail(
				reterr, SM_INVALID,
				"%s: %s has no meaning with log = kafka://: clients talk to that Kafka itself, and it keeps the topics",
				name, senseless[i].what);
	return SM_OK;
}

static enum sm_err check_log(const struct config *c, const char *name, struct sm_error *reterr)
{
	if (rdkafka_is_address(c->log_address))
		return check_outgrown(c, name, reterr);
	if (strcmp(c->log_address, "embedded") != 0)
		return sm_fail(reterr, SM_INVALID, "%s: log = %s: embedded, or kafka://HOST:PORT,HOST:PORT", name, c->log_address);
	const char *const others[] = {
		c->log_security_protocol, c->log_sasl_mechanism,  c->log_sasl_username,     c->log_sasl_password_file, c->log_ca,
		c->log_certificate,       c->log_certificate_key, c->log_replication_factor};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (*others[i])
			return sm_fail(reterr, SM_INVALID,
				       "%s: log.security.protocol, log.sasl.*, log.ssl.* and log.replication.factor are for log = kafka://",
				       name);
	return SM_OK;
}

static enum sm_err check_jobs(const struct config *c, const char *name, struct sm_error *reterr)
{
	bool pass, outgrown = rdkafka_is_address(c->log_address);
	static const char nowhere[] = "%s: [%s %s]: holes = pass has no meaning with log = kafka://: that Kafka keeps the topics";
	for (uint32_t i = 0; i < c->stream_count; i++)
		if (!*c->streams[i].sql)
			return sm_fail(reterr, SM_INVALID, "%s: [stream %s]: sql = FILE is missing", name, c->streams[i].name);
		else if (holes_parse(c->streams[i].holes, &pass))
			return sm_fail(reterr, SM_INVALID, "%s: [stream %s]: holes = %s: give stop or pass", name, c->streams[i].name,
				       c->streams[i].holes);
		else if (pass && outgrown)
			return sm_fail(reterr, SM_INVALID, nowhere, name, "stream", c->streams[i].name);
	for (uint32_t i = 0; i < c->job_count; i++)
		if (!*c->jobs[i].sql == !*c->jobs[i].command)
			return sm_fail(reterr, SM_INVALID, "%s: [job %s]: give either sql = FILE or command = ...", name, c->jobs[i].name);
		else if (!*c->jobs[i].schedule)
			return sm_fail(reterr, SM_INVALID, "%s: [job %s]: schedule is missing, as R/2026-01-01T00:00:00Z/PT1H", name,
				       c->jobs[i].name);
		else if (holes_parse(c->jobs[i].holes, &pass) || (pass && !*c->jobs[i].sql))
			return sm_fail(reterr, SM_INVALID, "%s: [job %s]: holes = %s: give stop or, with sql, pass", name, c->jobs[i].name,
				       c->jobs[i].holes);
		else if (pass && outgrown)
			return sm_fail(reterr, SM_INVALID, nowhere, name, "job", c->jobs[i].name);
	return SM_OK;
}

/* The same for a real Cassandra. */
static enum sm_err check_cassandra(const struct config *c, const char *name, struct sm_error *reterr)
{
	struct sm_error why;
	enum sm_err err = cassandra_check(c->store_address, &why);
	if (err)
		return sm_fail(reterr, err, "%s: store: %s", name, why.text);
	uint32_t listeners = 0;
	for (uint32_t i = 0; i < c->listener_count; i++)
		listeners += config_is_cql(&c->listeners[i]);
	const struct {
		bool set;
		const char *what;
	} senseless[] = {
		{listeners > 0, "a section [listener NAME] for CQL's clients"},
		{*c->cql_advertise, "cql.advertise"},
		{strcmp(c->cql_tls, "no") != 0, "cql.tls"},
		{strcmp(c->cql_authenticator, "AllowAllAuthenticator") != 0, "cql.authenticator"},
	};
	for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++)
		if (senseless[i].set)
			return sm_fail(reterr, SM_INVALID,
				       "%s: %s has no meaning with store = cassandra://: drivers talk to that Cassandra itself", name,
				       senseless[i].what);
	return SM_OK;
}

static enum sm_err check_store(const struct config *c, const char *name, struct sm_error *reterr)
{
	if (cassandra_is_address(c->store_address))
		return check_cassandra(c, name, reterr);
	if (strcmp(c->store_address, "embedded") != 0)
		return sm_fail(reterr, SM_INVALID, "%s: store = %s: embedded, or cassandra://HOST:PORT,HOST:PORT", name, c->store_address);
	const char *const others[] = {c->store_user, c->store_password_file, c->store_consistency, c->store_local_dc,
				      c->store_replication_factor};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (*others[i])
			return sm_fail(
				reterr, SM_INVALID,
				"%s: store.user, store.password.file, store.consistency, store.local.dc and store.replication.factor "
				"are for store = cassandra://",
				name);
	return SM_OK;
}

enum sm_err config_check(const struct config *c, struct sm_error *reterr)
{
	const char *name = c->file ? c->file : "configuration";
	if (!is_loopback(c->listen))
		return sm_fail(reterr, SM_DENIED,
			       "%s: listen = %s: the first HTTP listener is for loopback only (127.0.0.1 or ::1), since it asks for no "
			       "credentials; "
			       "clients elsewhere come in by a section [listener NAME]",
			       name, c->listen);
	struct sm_error why;
	enum sm_err err = config_check_http(c, &why);
	if (err)
		return sm_fail(reterr, err, "%s: %s", name, why.text);
	err = check_kafka(c, name, reterr);
	if (err || (err = check_log(c, name, reterr)) || (err = check_store(c, name, reterr)))
		return err;
	if (strcmp(c->durability, "sync") != 0 && strcmp(c->durability, "interval") != 0)
		return sm_fail(reterr, SM_INVALID, "%s: log.durability = %s: sync or interval", name, c->durability);
	if (c->sync_interval_ms < 1 || c->sync_interval_ms > 60000)
		return sm_fail(reterr, SM_INVALID, "%s: log.sync_interval must lie between 1ms and 60s", name);
	if (c->segment_bytes < 1 << 20 || c->segment_bytes > 1ull << 31)
		return sm_fail(reterr, SM_INVALID, "%s: log.segment must lie between 1MiB and 2GiB", name);
	/* The write-ahead log grows with it, and the check before a start reads at most 1 GiB of each file. */
	if (c->memtable_bytes < 64 << 10 || c->memtable_bytes > 256 << 20)
		return sm_fail(reterr, SM_INVALID, "%s: store.memtable must lie between 64KiB and 256MiB", name);
	if (c->pool_threads < 2 || c->pool_threads > 256)
		return sm_fail(reterr, SM_INVALID, "%s: threads.pool must lie between 2 and 256: a task may wait for a sync", name);
	for (uint32_t i = 0; i < c->topic_count; i++)
		if (c->topics[i].partitions < 1 || c->topics[i].partitions > 10000)
			return sm_fail(reterr, SM_INVALID, "%s: [topic %s]: partitions must lie between 1 and 10000", name,
				       c->topics[i].name);
		else if (*c->topics[i].key && !*c->topics[i].schema)
			return sm_fail(reterr, SM_INVALID, "%s: [topic %s]: key = %s needs a schema that has this field", name,
				       c->topics[i].name, c->topics[i].key);
	return check_jobs(c, name, reterr);
}

const char *config_path(const struct config *c, const char *path, char *out, size_t size)
{
	snprintf(out, size, *path == '/' ? "%.0s%s" : "%s/%s", c->dir, path);
	return out;
}

static void print_keys(const struct key *keys, struct buf *out)
{
	for (; keys->name; keys++)
		buf_printf(out, "# %s\n#%s = %s\n", keys->help, keys->name, keys->absent);
}

void config_print_defaults(struct buf *out)
{
	buf_append_str(out, "# smack's configuration: every key with its default. Times: ms s m h d; sizes: KiB MiB GiB.\n# Files are "
			    "relative to this file.\n\n");
	print_keys(global_keys, out);
	for (size_t i = 0; i < SECTION_COUNT; i++) {
		buf_printf(out, "\n#[%s NAME]\n", sections[i].kind);
		print_keys(sections[i].keys, out);
	}
}
