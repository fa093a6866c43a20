#include "cli/platform.h"
#include "base/io.h"
#include "base/logging.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define FORMAT "smack data 1\n"
#define DRAIN_MS 3000

static char *in_data(struct platform *p, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", p->config->data, name);
	return out;
}

/* ---- the data directory ---- */

static enum sm_err check_format(struct platform *p, struct sm_error *reterr)
{
	char path[4096];
	uint8_t *text;
	size_t size;
	enum sm_err err = io_read_file(&io_system, in_data(p, "format", path, sizeof path), 4096, &text, &size, reterr);
	if (err == SM_NOT_FOUND)
		return io_write_file_atomic(&io_system, path, BYTES(FORMAT), reterr);
	if (err)
		return err;
	if (size != strlen(FORMAT) || memcmp(text, FORMAT, size) != 0)
		err = sm_fail(
			reterr, SM_VERSION,
			"%s says \"%.*s\", this program writes \"%.*s\": use the release that made the directory, or another directory",
			path, (int)strcspn((char *)text, "\n"), (char *)text, (int)strlen(FORMAT) - 1, FORMAT);
	free(text);
	return err;
}

static enum sm_err open_data(struct platform *p, struct sm_error *reterr)
{
	char path[4096];
	enum sm_err err = io_mkdir_all(&io_system, p->config->data, reterr);
	if (err)
		return err;
	in_data(p, PLATFORM_LOCK_FILE, path, sizeof path);
	if ((p->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
		return sm_fail_errno(reterr, errno, "cannot open %s", path);
	if (flock(p->lock_fd, LOCK_EX | LOCK_NB))
		return sm_fail(reterr, SM_BUSY, "another smack is at work in %s: stop it, or choose another directory with --data",
			       p->config->data);
	return check_format(p, reterr);
}

/* ---- engines ---- */

static enum sm_err open_engines(struct platform *p, struct sm_error *reterr)
{
	struct sm_system_options system = {
		.dispatchers = (uint32_t)p->config->dispatchers, .pool_threads = (uint32_t)p->config->pool_threads, .observe = true};
	enum sm_err err = sm_system_new(&system, &p->system, reterr);
	if (err)
		return err;
	if ((err = platform_memory_keep(p->system, p->config->memory_bytes)))
		return sm_fail(reterr, err, "no actor for the memory: %s", sm_err_text(err));
	if ((err = platform_log_open(p, reterr)))
		return err;
	return platform_store_open(p, reterr);
}

/* ---- what the configuration names ---- */

static enum sm_err make_tables(struct platform *p, struct sm_error *reterr)
{
	if (!*p->config->ddl)
		return SM_OK;
	char buffer[4200];
	const char *path = config_path(p->config, p->config->ddl, buffer, sizeof buffer);
	uint8_t *text;
	size_t size;
	struct cql_session *session;
	enum sm_err err = io_read_file(&io_system, path, 1 << 20, &text, &size, reterr);
	if (err) {
		sm_error_prefix(reterr, "store.tables");
		return err;
	}
	if ((err = cql_session_new(p->store, NULL, &session)))
		sm_fail(reterr, err, "%s", sm_err_text(err));
	else {
		if ((err = cql_session_run(session, bytes_of(text, size), NULL, reterr)))
			sm_error_prefix(reterr, "%s", path);
		cql_session_free(session);
	}
	free(text);
	return err;
}

static enum sm_err read_schema(struct platform *p, const struct config_topic *from, struct platform_topic *topic, struct sm_error *reterr)
{
	char buffer[4200];
	const char *path = config_path(p->config, from->schema, buffer, sizeof buffer);
	size_t size;
	enum sm_err err = io_read_file(&io_system, path, 1 << 20, (uint8_t **)&topic->schema_text, &size, reterr);
	if (!err)
		err = schema_compile(bytes_of(topic->schema_text, size), &topic->schema, reterr);
	if (err) {
		sm_error_prefix(reterr, "[topic %s] schema %s", from->name, path);
		return err;
	}
	if (*from->key && schema_find(topic->schema, from->key) < 0)
		return sm_fail(reterr, SM_INVALID, "[topic %s]: key = %s: the schema %s has no such property", from->name, from->key, path);
	topic->key = *from->key ? from->key : NULL;
	return SM_OK;
}

static enum sm_err make_topic(struct platform *p, const struct config_topic *from, struct sm_error *reterr)
{
	char retention[32];
	struct log_config configs[1] = {{"retention.ms", retention}};
	snprintf(retention, sizeof retention, "%llu", (unsigned long long)from->retention_ms);
	struct log_topic_spec spec = {from->name, (int32_t)from->partitions, 0, configs, from->retention_ms ? 1 : 0};
	const struct log_topics *topics = p->log->ops->topics(p->log);
	const struct log_topic *there = topics ? log_topics_find(topics, from->name) : NULL;
	int32_t have = there ? there->partitions : 0;
	p->log->ops->topics_release(p->log, topics);
	if (!have)
		return log_topic_create_wait(p->log, &spec, reterr);
	if (have != spec.partitions)
		LOG_WARN("cli", "topic %s has %d partitions, the configuration says %d: it stays as it is, since keys would move",
			 from->name, (int)have, (int)spec.partitions);
	return SM_OK;
}

static enum sm_err make_topics(struct platform *p, struct sm_error *reterr)
{
	p->topics = calloc(p->config->topic_count + 1, sizeof *p->topics);
	if (!p->topics)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	for (uint32_t i = 0; i < p->config->topic_count; i++) {
		const struct config_topic *from = &p->config->topics[i];
		struct platform_topic *topic = &p->topics[p->topic_count++];
		topic->name = from->name;
		enum sm_err err = *from->schema ? read_schema(p, from, topic, reterr) : SM_OK;
		if (!err)
			err = make_topic(p, from, reterr);
		if (err)
			return err;
	}
	return SM_OK;
}

static const struct platform_topic *find_topic(struct platform *p, const char *name)
{
	for (uint32_t i = 0; i < p->topic_count; i++)
		if (strcmp(p->topics[i].name, name) == 0)
			return &p->topics[i];
	return NULL;
}

static const struct schema *topic_schema(void *arg, const char *name)
{
	struct platform *p = arg;
	const struct platform_topic *topic = find_topic(p, name);
	return topic && topic->schema ? topic->schema : schemas_keep(p->schemas, name);
}

static void topic_info(void *arg, const char *name, struct ingest_topic *ret)
{
	struct platform *p = arg;
	const struct platform_topic *topic = find_topic(p, name);
	struct topic_schema *hold = topic && topic->schema ? NULL : schemas_get(p->schemas, name);
	if (hold)
		*ret = (struct ingest_topic){.schema = hold->schema, .key = hold->key, .hold = hold};
	else
		*ret = (struct ingest_topic){.schema = topic ? topic->schema : NULL, .key = topic ? topic->key : NULL};
}

static uint64_t topic_changes(void *arg)
{
	return schemas_changes(((struct platform *)arg)->schemas);
}

static void configured_schema(void *arg, const char *name, const char **ret_document, const char **ret_key)
{
	const struct platform_topic *topic = find_topic(arg, name);
	*ret_document = topic ? topic->schema_text : NULL;
	*ret_key = topic ? topic->key : NULL;
}

static enum sm_err open_schemas(struct platform *p, struct sm_error *reterr)
{
	char dir[4096];
	struct schemas_options options = {.system = p->system, .log = p->log, .configured = configured_schema, .arg = p};
	options.dir = in_data(p, "schemas", dir, sizeof dir);
	return schemas_open(&options, &p->schemas, reterr);
}

/* ---- servers ---- */

static json_t *dashboard_status(void *arg)
{
	return platform_status(arg);
}

static json_t *dashboard_report(void *arg)
{
	return platform_report(arg);
}

static enum sm_err find_tls(struct platform *p, int clients, struct net_tls **ret_tls, struct sm_error *reterr);
static bool may_ingest(void *arg, const char *principal, const char *host, struct bytes topic);
static uint32_t count_ingested(void *arg, const char *principal, size_t bytes);

static enum sm_err make_http(struct platform *p, struct sm_error *reterr)
{
	struct http_server_options options = {.system = p->system, .host = p->config->listen, .port = p->config->http_port};
	struct ingest_options ingest = {.system = p->system,
					.log = p->log,
					.topic = topic_info,
					.topic_changes = topic_changes,
					.arg = p,
					.may = may_ingest,
					.count = count_ingested,
					.cluster_id = KAFKA_CLUSTER_ID,
					.no_once = p->outgrown};
	struct web_options web = {.system = p->system, .status = dashboard_status, .report = dashboard_report, .arg = p};
	enum sm_err err = strcmp(p->config->http_tls, "yes") == 0 ? find_tls(p, NET_TLS_NONE, &p->http_tls, reterr) : SM_OK;
	options.tls = p->http_tls;
	if (!err)
		err = config_cors(p->config, &options.cors, reterr);
	if (!err)
		err = http_server_new(&options, &p->http, reterr);
	if (!err && (err = ingest_new(&ingest, &p->ingest)))
		sm_fail(reterr, err, "ingest: %s", sm_err_text(err));
	if (!err && (err = ingest_routes(p->ingest, p->http)))
		sm_fail(reterr, err, "ingest: %s", sm_err_text(err));
	if (!err && (err = schemas_routes(p->schemas, p->http)))
		sm_fail(reterr, err, "schemas: %s", sm_err_text(err));
	if (!err && (err = cluster_routes(p->cluster, p->http)))
		sm_fail(reterr, err, "cluster: %s", sm_err_text(err));
	if (!err)
		err = web_new(&web, &p->web, reterr);
	if (!err && (err = web_routes(p->web, p->http)))
		sm_fail(reterr, err, "web: %s", sm_err_text(err));
	if (!err)
		err = platform_routes(p, reterr);
	return err;
}

/* CQL that did not come through the CQL port: drivers hear of it all the same. */
static void schema_changed(void *arg, const struct store_change *change)
{
	struct platform *p = arg;
	static const char *const verbs[] = {
		[STORE_CREATE_KEYSPACE] = "CREATED", [STORE_ALTER_KEYSPACE] = "UPDATED", [STORE_DROP_KEYSPACE] = "DROPPED",
		[STORE_CREATE_TABLE] = "CREATED",    [STORE_ALTER_TABLE] = "UPDATED",    [STORE_DROP_TABLE] = "DROPPED",
		[STORE_CREATE_TYPE] = "CREATED",     [STORE_ALTER_TYPE] = "UPDATED",     [STORE_DROP_TYPE] = "DROPPED",
	};
	if (p->cql && change->kind != STORE_TRUNCATE_TABLE)
		cql_server_schema_changed(p->cql, verbs[change->kind], change->keyspace, change->table, change->type);
}

/* One for all listeners that ask the same of their clients. */
static enum sm_err find_tls(struct platform *p, int clients, struct net_tls **ret_tls, struct sm_error *reterr)
{
	const struct config *c = p->config;
	char certificate[4200], key[4200], client_ca[4200];
	struct net_tls_options options = {
		.system = p->system,
		.certificate = config_path(c, c->certificate, certificate, sizeof certificate),
		.key = config_path(c, c->certificate_key, key, sizeof key),
		.client_ca = config_path(c, c->client_ca, client_ca, sizeof client_ca),
		.clients = (enum net_tls_clients)clients,
	};
	enum sm_err err = p->tls[clients] ? SM_OK : net_tls_new(&options, &p->tls[clients], reterr);
	*ret_tls = p->tls[clients];
	return err;
}

/* The words were checked by config_check. */
static enum sm_err listener_tls(struct platform *p, const struct config_listener *from, struct net_tls **ret_tls, struct sm_error *reterr)
{
	bool tls;
	int clients;
	if (yes_no_parse(from->tls, &tls) || client_auth_parse(from->client_auth, &clients))
		return sm_fail(reterr, SM_INVALID, "tls = %s, client_auth = %s: give yes or no; none, requested or required", from->tls,
			       from->client_auth);
	return tls ? find_tls(p, clients, ret_tls, reterr) : SM_OK;
}

static enum sm_err fill_listener(struct platform *p, const struct config_listener *from, char advertised[ADDRESS_HOST_MAX + 1],
				 struct kafka_listener_options *to, struct sm_error *reterr)
{
	*to = (struct kafka_listener_options){.host = from->address, .port = from->port};
	if (*from->advertise) {
		if (!address_point(from->advertise, strlen(from->advertise), 0, advertised, &to->advertised_port))
			return sm_fail(reterr, SM_INVALID, "advertise = %s: give HOST:PORT", from->advertise);
		to->advertised_host = advertised;
	}
	enum sm_err err = listener_tls(p, from, &to->tls, reterr);
	return err ? err : auth_mechanisms_parse(from->sasl, &to->sasl, reterr);
}

static enum sm_err open_acls(struct platform *p, struct sm_error *reterr)
{
	char path[4096];
	bool wanted, allow;
	if (yes_no_parse(p->config->acls, &wanted) || yes_no_parse(p->config->allow_without_acl, &allow))
		return sm_fail(reterr, SM_INVALID, "security.acls, security.allow_without_acl: must be yes or no");
	struct auth_acls_options options = {
		.path = in_data(p, "log/acls", path, sizeof path), .super_users = p->config->super_users, .allow_without_rules = allow};
	enum sm_err err = wanted ? auth_acls_open(&options, &p->acls, reterr) : SM_OK;
	if (err)
		sm_error_prefix(reterr, "security.acls");
	return err;
}

static enum sm_err open_users(struct platform *p, struct sm_error *reterr)
{
	char path[4200];
	const struct config *c = p->config;
	enum sm_err err = *c->users ? auth_users_open(config_path(c, c->users, path, sizeof path), &p->users, reterr) : SM_OK;
	if (err)
		sm_error_prefix(reterr, "security.users");
	return err ? err : open_acls(p, reterr);
}

static bool http_login(void *arg, struct bytes user, struct bytes secret, char **ret_user)
{
	struct platform *p = arg;
	char name[AUTH_NAME_MAX + 1];
	if (!user.data)
		return auth_token_login(p->users, secret, name) && (*ret_user = strdup(name));
	return auth_password_login(p->users, user, secret) && (*ret_user = strndup((const char *)user.data, user.size));
}

static bool may_ingest(void *arg, const char *principal, const char *host, struct bytes topic)
{
	struct platform *p = arg;
	return !p->acls || auth_may(p->acls, principal, host, AUTH_OPERATION_WRITE, AUTH_RESOURCE_TOPIC, topic);
}

static uint32_t count_ingested(void *arg, const char *principal, size_t bytes)
{
	struct platform *p = arg;
	return p->kafka ? kafka_server_count(p->kafka, principal, bytes) : 0;
}

static enum sm_err listen_http(struct platform *p, struct sm_error *reterr)
{
	const struct config *c = p->config;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < c->listener_count && !err; i++) {
		const struct config_listener *from = &c->listeners[i];
		bool password;
		if (!config_is_http(from))
			continue;
		struct http_listen_options to = {.host = from->address, .port = from->port, .arg = p};
		if (authenticator_parse(from->authenticator, &password))
			return sm_fail(reterr, SM_INVALID, "authenticator = %s", from->authenticator);
		to.login = password ? http_login : NULL;
		err = listener_tls(p, from, &to.tls, reterr);
		if (!err)
			err = http_server_listen(p->http, &to, reterr);
		if (err)
			sm_error_prefix(reterr, "[listener %s]", from->name);
	}
	return err;
}

static enum sm_err start_kafka(struct platform *p, struct sm_error *reterr)
{
	const struct config *c = p->config;
	char quotas[4200], advertised[KAFKA_LISTENERS_MAX][ADDRESS_HOST_MAX + 1];
	struct kafka_listener_options listeners[KAFKA_LISTENERS_MAX];
	const struct config_listener first = config_first_listener(c);
	uint32_t count = 0;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; !err && i <= c->listener_count; i++) {
		const struct config_listener *from = i ? &c->listeners[i - 1] : &first;
		if (!config_is_kafka(from))
			continue;
		err = fill_listener(p, from, advertised[count], &listeners[count], reterr);
		count++;
	}
	if (err)
		return err;
	struct kafka_server_options kafka = {.system = p->system,
					     .log = p->log,
					     .listeners = listeners,
					     .listener_count = count,
					     .users = p->users,
					     .acls = p->acls,
					     .quotas_path = in_data(p, "log/quotas", quotas, sizeof quotas)};
	if ((err = config_kafka(c, &kafka, reterr)))
		return err;
	return kafka_server_new(&kafka, &p->kafka, reterr);
}

static enum sm_err fill_cql_listener(struct platform *p, const struct config_listener *from, char advertised[ADDRESS_HOST_MAX + 1],
				     struct cql_listener_options *to, struct sm_error *reterr)
{
	*to = (struct cql_listener_options){.host = from->address, .port = from->port};
	if (*from->advertise) {
		if (cql_advertise_parse(from->advertise, advertised, &to->advertised_port))
			return sm_fail(reterr, SM_INVALID, "advertise = %s: give IP:PORT", from->advertise);
		to->advertised_host = advertised;
	}
	if (authenticator_parse(from->authenticator, &to->authenticate))
		return sm_fail(reterr, SM_INVALID, "authenticator = %s", from->authenticator);
	return listener_tls(p, from, &to->tls, reterr);
}

static enum sm_err start_cql(struct platform *p, struct sm_error *reterr)
{
	const struct config *c = p->config;
	char advertised[CQL_LISTENERS_MAX][ADDRESS_HOST_MAX + 1];
	struct cql_listener_options listeners[CQL_LISTENERS_MAX];
	const struct config_listener first = config_first_cql_listener(c);
	uint32_t count = 0;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; !err && i <= c->listener_count; i++) {
		const struct config_listener *from = i ? &c->listeners[i - 1] : &first;
		if (!config_is_cql(from))
			continue;
		if (count == CQL_LISTENERS_MAX)
			return sm_fail(reterr, SM_TOO_LARGE, "more than %d listeners for CQL", CQL_LISTENERS_MAX);
		err = fill_cql_listener(p, from, advertised[count], &listeners[count], reterr);
		count++;
	}
	struct cql_server_options cql = {.system = p->system, .store = p->store, .listeners = listeners, .listener_count = count};
	return err ? err : cql_server_new(&cql, &p->cql, reterr);
}

static enum sm_err start_servers(struct platform *p, struct sm_error *reterr)
{
	struct remote_server_options remote = {.system = p->system,
					       .log = p->log,
					       .store = p->store,
					       .data_dir = p->config->data,
					       .commands = platform_commands(p),
					       .schema_changed = schema_changed,
					       .arg = p};
	/* HTTP and the Unix socket tell of the others: they listen when these are there. */
	enum sm_err err = make_http(p, reterr);
	if (!err)
		err = open_users(p, reterr);
	if (!err && !p->outgrown)
		err = start_kafka(p, reterr);
	if (!err && !p->store_outgrown)
		err = start_cql(p, reterr);
	if (err)
		return err;
	char http[sizeof p->url - sizeof "https://" + 1];
	if (p->cql) {
		snprintf(p->cql_host, sizeof p->cql_host, "%s", p->config->listen);
		snprintf(p->cql_port, sizeof p->cql_port, "%u", cql_server_port(p->cql, 0));
	}
	if (p->kafka)
		address_text(p->config->listen, kafka_server_port(p->kafka, 0), p->kafka_address, sizeof p->kafka_address);
	if ((err = http_server_start(p->http, reterr)) || (err = listen_http(p, reterr)))
		return err;
	snprintf(p->url, sizeof p->url, "%s://%s", p->http_tls ? "https" : "http",
		 address_text(p->config->listen, http_server_port(p->http), http, sizeof http));
	return remote_server_new(&remote, &p->remote, reterr);
}

void platform_http_pin(struct platform *p, char ret_pin[NET_TLS_PIN_MAX])
{
	if (!p->http_tls || net_tls_pin(p->http_tls, ret_pin))
		*ret_pin = 0;
}

bool platform_listener_port(const struct platform *p, uint32_t index, uint16_t *ret_port)
{
	const struct config_listener *all = p->config->listeners, *l = &all[index];
	uint32_t before = 0; /* of the same protocol */
	for (uint32_t i = 0; i < index; i++)
		before += config_is_cql(&all[i]) == config_is_cql(l) && config_is_http(&all[i]) == config_is_http(l);
	if (config_is_http(l))
		*ret_port = http_server_listener_port(p->http, before);
	else if (config_is_cql(l) && p->cql)
		*ret_port = cql_server_port(p->cql, 1 + before); /* behind cql.port */
	else if (config_is_kafka(l) && p->kafka)
		*ret_port = kafka_server_port(p->kafka, 1 + before);
	else
		return false;
	return *ret_port > 0;
}

/* What a process of the cluster finds in its environment. */
static enum sm_err start_tasks(struct platform *p, struct sm_error *reterr)
{
	char *real = realpath(p->config->data, NULL);
	const char *const values[][2] = {
		{"SMACK_DATA", real ? real : p->config->data},
		{"SMACK_URL", p->url},
		{"KAFKA_BOOTSTRAP_SERVERS", p->kafka_address},
		{"CASSANDRA_CONTACT_POINTS", p->cql_host},
		{"CASSANDRA_PORT", p->cql_port},
	};
	enum sm_err err = SM_OK;
	for (size_t i = 0; i < sizeof values / sizeof *values && !err; i++)
		if (asprintf(&p->process_env[i], "%s=%s", values[i][0], values[i][1]) < 0) {
			p->process_env[i] = NULL;
			err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
		}
	free(real);
	return err ? err : cluster_start(p->cluster, (const char *const *)p->process_env, reterr);
}

static enum sm_err start_cluster(struct platform *p, struct sm_error *reterr)
{
	char dir[4096];
	enum sm_err err = platform_runner_new(p, &p->runner, reterr);
	if (err)
		return err;
	struct cluster_options options = {
		.system = p->system,
		.store = p->store,
		.dir = in_data(p, "tasks", dir, sizeof dir),
		.cpus = (double)p->config->cluster_cpus,
		.memory_bytes = p->config->cluster_memory,
		.server_runner = platform_runner_table(p->runner),
	};
	return cluster_new(&options, &p->cluster, reterr);
}

enum sm_err platform_start(struct config *config, struct platform **ret_platform, struct sm_error *reterr)
{
	struct platform *p = calloc(1, sizeof *p);
	if (!p)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	p->config = config;
	p->lock_fd = -1;
	p->started_ns = clock_monotonic_ns(&clock_system);
	platform_files_raise();
	enum sm_err err = open_data(p, reterr);
	if (!err)
		err = open_engines(p, reterr);
	if (!err) {
		p->env = (struct compute_env){
			.log = p->log, .store = p->store, .topic_schema = topic_schema, .arg = p, .memory_max = config->compute_memory};
		err = make_tables(p, reterr);
	}
	if (!err)
		err = make_topics(p, reterr);
	if (!err)
		err = open_schemas(p, reterr);
	if (!err)
		err = start_cluster(p, reterr);
	if (!err)
		err = start_servers(p, reterr);
	if (!err)
		err = platform_jobs_put(p, reterr);
	if (!err)
		err = start_tasks(p, reterr);
	if (err) {
		platform_stop(p, NULL);
		return err;
	}
	p->ready_ns = clock_monotonic_ns(&clock_system);
	atomic_store(&p->ready, true);
	*ret_platform = p;
	return SM_OK;
}

/* What is left of the time to drain. */
static uint32_t left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_monotonic_ns(&clock_system);
	return now >= deadline_ns ? 0 : (uint32_t)((deadline_ns - now) / 1000000);
}

enum sm_err platform_stop(struct platform *p, struct sm_error *reterr)
{
	enum sm_err err = SM_OK, err2 = SM_OK;
	if (!p)
		return SM_OK;
	uint64_t deadline = clock_monotonic_ns(&clock_system) + DRAIN_MS * 1000000ull;
	atomic_store(&p->ready, false);
	/* Jobs first: they use the engines, not the servers. The cluster itself stays until the servers have gone, since their requests ask
	 * it; the socket and HTTP go before the servers whose addresses they tell. The engines are last. */
	platform_log_ending(p);
	platform_store_ending(p);
	signals_ending("apps and jobs");
	cluster_stop(p->cluster, left_ms(deadline));
	signals_ending("requests on the Unix socket");
	remote_server_free(p->remote, left_ms(deadline));
	signals_ending("requests over HTTP");
	http_server_free(p->http, left_ms(deadline));
	web_free(p->web);
	ingest_free(p->ingest);
	signals_ending("Kafka's requests");
	kafka_server_free(p->kafka, left_ms(deadline));
	for (int i = 0; i < 3; i++)
		net_tls_free(p->tls[i]);
	auth_acls_free(p->acls);
	auth_users_free(p->users);
	signals_ending("CQL's requests");
	cql_server_free(p->cql, left_ms(deadline));
	signals_ending("jobs inside the server");
	cluster_free(p->cluster, 0);
	platform_runner_free(p->runner);
	signals_ending("the log");
	if (p->log)
		err = p->log->ops->close(p->log, reterr);
	signals_ending("the store");
	if (p->store)
		err2 = p->store->ops->close(p->store, err ? NULL : reterr);
	signals_ending("threads");
	schemas_free(p->schemas);
	if (p->system)
		sm_system_stop(p->system, 1000);
	signals_ending("the process");
	for (uint32_t i = 0; i < p->topic_count; i++) {
		schema_free(p->topics[i].schema);
		free(p->topics[i].schema_text);
	}
	free(p->topics);
	free(p->passing);
	for (char **e = p->process_env; *e; e++)
		free(*e);
	if (p->lock_fd >= 0)
		close(p->lock_fd);
	free(p);
	return err ? err : err2;
}
