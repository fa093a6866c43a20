/* What connections share: the listener, prepared statements, and who wants to hear of schema changes. */
#include "cql/conn.h"
#include "net/tls.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REQUESTS_END_MS 10000 /* requests that are under way when the connections are gone: the store answers them */

/* ---- prepared statements ---- */

static struct prepared *prepared_ref(struct prepared *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void server__prepared_unref(struct prepared *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	if (p->schema)
		p->store->ops->schema_release(p->store, p->schema);
	arena_done(&p->arena);
	free(p);
}

/* The id of the metadata of a plan's rows: whoever has metadata with the same id has the same. */
static bool metadata_id(const struct cql_plan *plan, struct arena *arena, uint8_t out[CQL_METADATA_ID_BYTES])
{
	const struct cql_select_plan *s = plan->kind == CQL_PLAN_SELECT ? plan->select : NULL;
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_md5(), NULL);
	for (uint32_t i = 0; ok && s && i < s->column_count; i++) {
		const char *words[] = {s->table->keyspace, s->table->name, s->columns[i].name, cql_type_text(s->columns[i].type, arena)};
		for (size_t w = 0; ok && w < sizeof words / sizeof words[0]; w++)
			ok = words[w] && EVP_DigestUpdate(md, words[w], strlen(words[w]) + 1);
	}
	ok = ok && EVP_DigestFinal_ex(md, digest, NULL);
	EVP_MD_CTX_free(md);
	if (ok)
		memcpy(out, digest, CQL_METADATA_ID_BYTES);
	return ok;
}

static enum sm_err make_prepared(struct cql_server *s, struct bytes text, const char *keyspace, const uint8_t id[16],
				 struct prepared **ret_prepared, struct cql_error *err)
{
	struct cql_statement *statement;
	struct prepared *p = calloc(1, sizeof *p);
	if (!p)
		return cql__fail_store(err, SM_NO_MEMORY, NULL);
	atomic_init(&p->refs, 1);
	memcpy(p->id, id, 16);
	arena_init(&p->arena, CQL_REQUEST_ARENA_MAX);
	p->store = s->engine.store;
	p->schema = p->store->ops->schema(p->store);
	p->keyspace = keyspace ? arena_string(&p->arena, keyspace, strlen(keyspace)) : NULL;
	const char *copy = arena_string(&p->arena, (const char *)text.data, text.size);
	p->text = bytes_of(copy, text.size);
	struct cql_context c = {.engine = &s->engine, .schema = p->schema, .keyspace = p->keyspace, .arena = &p->arena, .err = err};
	enum sm_err failed = copy && (p->keyspace || !keyspace) ? SM_OK : cql__no_memory(err, &p->arena);
	if (!failed)
		failed = cql__parse(p->text, &p->arena, &statement, err);
	if (!failed)
		failed = cql__analyse(&c, statement, &p->plan);
	if (!failed && !metadata_id(p->plan, &p->arena, p->result_id))
		failed = cql__no_memory(err, &p->arena);
	memcpy(p->first_result_id, p->result_id, sizeof p->first_result_id);
	if (failed)
		server__prepared_unref(p);
	else
		*ret_prepared = p;
	return failed;
}

static void unlink_prepared(struct cql_server *s, struct prepared *p)
{
	*(p->older ? &p->older->newer : &s->oldest) = p->newer;
	*(p->newer ? &p->newer->older : &s->newest) = p->older;
	p->older = p->newer = NULL;
	s->prepared_count--;
}

/* Keep p in the place of one with the same id; the oldest goes when there are too many. */
static enum sm_err keep_prepared(struct cql_server *s, struct prepared *p)
{
	void *old = NULL;
	struct prepared *gone = NULL;
	pthread_mutex_lock(&s->lock);
	enum sm_err err = map_put(&s->prepared, bytes_of(p->id, 16), p, &old);
	if (!err) {
		prepared_ref(p);
		if (old)
			unlink_prepared(s, old);
		p->older = s->newest;
		*(s->newest ? &s->newest->newer : &s->oldest) = p;
		s->newest = p;
		if (++s->prepared_count > CQL_PREPARED_MAX) {
			gone = s->oldest;
			unlink_prepared(s, gone);
			map_remove(&s->prepared, bytes_of(gone->id, 16));
		}
	}
	pthread_mutex_unlock(&s->lock);
	server__prepared_unref(old);
	server__prepared_unref(gone);
	return err;
}

static struct prepared *find_prepared(struct cql_server *s, const uint8_t id[16])
{
	pthread_mutex_lock(&s->lock);
	struct prepared *p = map_get(&s->prepared, bytes_of(id, 16));
	if (p)
		prepared_ref(p);
	pthread_mutex_unlock(&s->lock);
	return p;
}

static bool is_current(const struct prepared *p, const struct store_schema *now)
{
	return now == p->schema || memcmp(&now->version, &p->schema->version, sizeof now->version) == 0;
}

/* p, or the same statement for the schema of now. Takes p. */
static enum sm_err current_prepared(struct cql_server *s, struct prepared *p, const struct store_schema *now,
				    struct prepared **ret_prepared, struct cql_error *err)
{
	struct prepared *new;
	if (is_current(p, now)) {
		*ret_prepared = p;
		return SM_OK;
	}
	enum sm_err failed = make_prepared(s, p->text, p->keyspace, p->id, &new, err);
	if (!failed) {
		memcpy(new->first_result_id, p->first_result_id, sizeof new->first_result_id);
		atomic_init(&new->stale, p->stale || memcmp(p->result_id, new->result_id, sizeof p->result_id) != 0);
	}
	server__prepared_unref(p);
	if (failed)
		return failed;
	(void)keep_prepared(s, new); /* without memory it is made again the next time */
	*ret_prepared = new;
	return SM_OK;
}

enum sm_err server__prepare(struct cql_server *s, struct bytes text, const char *keyspace, const struct store_schema *now,
			    struct prepared **ret_prepared, struct cql_error *err)
{
	uint8_t id[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	if (text.size > CQL_PREPARED_BYTES_MAX)
		return cql__fail(err, CQL_INVALID, "A prepared statement of %zu bytes is larger than the limit of %u", text.size,
				 CQL_PREPARED_BYTES_MAX);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_md5(), NULL) && (!keyspace || EVP_DigestUpdate(md, keyspace, strlen(keyspace))) &&
		  EVP_DigestUpdate(md, text.data, text.size) && EVP_DigestFinal_ex(md, id, &size);
	EVP_MD_CTX_free(md);
	if (!ok)
		return cql__fail(err, CQL_SERVER_ERROR, "MD5 is not available");
	struct prepared *p = find_prepared(s, id);
	if (p) {
		enum sm_err stays = current_prepared(s, p, now, ret_prepared, err);
		if (!stays)
			atomic_store(&(*ret_prepared)->stale, false);
		return stays;
	}
	enum sm_err failed = make_prepared(s, text, keyspace, id, &p, err);
	if (failed)
		return failed;
	failed = keep_prepared(s, p);
	if (failed) {
		server__prepared_unref(p);
		return cql__fail_store(err, failed, NULL);
	}
	*ret_prepared = p;
	return SM_OK;
}

static enum sm_err unprepared(struct bytes id, struct cql_error *err)
{
	char text[33] = "";
	memset(err->id, 0, sizeof err->id);
	memcpy(err->id, id.data, id.size < sizeof err->id ? id.size : sizeof err->id);
	for (size_t i = 0; i < sizeof err->id; i++)
		snprintf(text + 2 * i, 3, "%02x", err->id[i]);
	return cql__fail(err, CQL_UNPREPARED,
			 "Prepared query with ID %s not found (either the query was not prepared on this host (maybe the host has been "
			 "restarted?) or you have "
			 "prepared too many queries and it has been evicted from the internal cache)",
			 text);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts */
enum sm_err server__prepared(struct cql_server *s, struct bytes id, uint8_t version, const struct store_schema *now,
			     struct prepared **ret_prepared, struct cql_error *err)
{
	struct prepared *p = id.size == 16 ? find_prepared(s, id.data) : NULL;
	if (!p)
		return unprepared(id, err);
	enum sm_err failed = current_prepared(s, p, now, &p, err);
	if (failed)
		return failed;
	if (version < 5 && p->stale) {
		server__prepared_unref(p);
		return unprepared(id, err);
	}
	*ret_prepared = p;
	return SM_OK;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* ---- events ---- */

static void event_done(struct sm_msg *msg)
{
	buf_done(&((struct event_msg *)msg)->frame);
	free(msg);
}
const struct sm_msg_type server__event_type = {"cql event", event_done};

void server__register(struct cql_server *s, struct sm_ref *conn, uint8_t version)
{
	struct registration *r = malloc(sizeof *r);
	if (!r)
		return; /* the driver reads the schema at times anyway */
	r->conn = sm_ref_get(conn);
	r->version = version;
	pthread_mutex_lock(&s->lock);
	r->next = s->registered;
	s->registered = r;
	pthread_mutex_unlock(&s->lock);
}

void server__unregister(struct cql_server *s, struct sm_ref *conn)
{
	struct registration *gone = NULL;
	pthread_mutex_lock(&s->lock);
	for (struct registration **at = &s->registered; *at; at = &(*at)->next)
		if ((*at)->conn == conn) {
			gone = *at;
			*at = gone->next;
			break;
		}
	pthread_mutex_unlock(&s->lock);
	if (gone)
		sm_unref(gone->conn);
	free(gone);
}

void cql_server_schema_changed(struct cql_server *s, const char *change, const char *keyspace, const char *table, const char *type)
{
	pthread_mutex_lock(&s->lock);
	for (struct registration *r = s->registered; r; r = r->next) {
		struct event_msg *e = calloc(1, sizeof *e);
		if (!e)
			continue;
		e->msg.type = &server__event_type;
		buf_init(&e->frame);
		cql__put_schema_event(&e->frame, r->version, change, keyspace, table, type);
		if (e->frame.failed || sm_send_reply(r->conn, &e->msg) != SM_OK)
			sm_msg_free(&e->msg);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- the server ---- */

void server__request_begun(struct cql_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->requests++;
	pthread_mutex_unlock(&s->lock);
}

void server__request_ended(struct cql_server *s)
{
	pthread_mutex_lock(&s->lock);
	if (--s->requests == 0)
		pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

static enum sm_err listener_start(struct cql_server *s, const struct cql_listener_options *o, struct sm_error *reterr)
{
	struct cql_listener *l = &s->listeners[s->listener_count];
	*l = (struct cql_listener){.server = s, .authenticate = o->authenticate, .advertised_port = o->advertised_port};
	if (o->advertised_host && strlen(o->advertised_host) >= sizeof l->advertised_host)
		return sm_fail(reterr, SM_TOO_LARGE, "cql: the advertised host %.60s is no IP address", o->advertised_host);
	snprintf(l->advertised_host, sizeof l->advertised_host, "%s", o->advertised_host ? o->advertised_host : "");
	struct net_listen_options listen = {.system = s->system,
					    .host = o->host,
					    .port = o->port,
					    .tls = o->tls,
					    .anywhere = o->authenticate || (o->tls && net_tls_asks_clients(o->tls)),
					    .protocol = &conn__protocol,
					    .arg = l,
					    .connections_max = s->connections_max};
	enum sm_err err = net_listen(&listen, &l->net, reterr);
	if (!err)
		s->listener_count++;
	return err;
}

/* Roles are there when somebody logs in. */
static enum sm_err open_roles(struct cql_server *s, const struct cql_server_options *options, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < options->listener_count; i++)
		if (options->listeners[i].authenticate)
			return cql__roles_open(s->engine.store, &s->engine.roles, reterr);
	return SM_OK;
}

enum sm_err cql_server_new(const struct cql_server_options *options, struct cql_server **ret_server, struct sm_error *reterr)
{
	if (options->listener_count < 1 || options->listener_count > CQL_LISTENERS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "cql: %u listeners; there must be 1 to %d", options->listener_count,
			       CQL_LISTENERS_MAX);
	struct cql_server *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	enum sm_err err = cql__engine_init(&s->engine, options->store, options->clock, options->cluster_name);
	if (err) {
		free(s);
		return sm_fail(reterr, err, "CQL's system tables can't be made: %s", sm_err_text(err));
	}
	s->system = options->system;
	s->connections_max = options->connections_max;
	pthread_mutex_init(&s->lock, NULL);
	clock_cond_init(&s->idle);
	map_init(&s->prepared);
	s->engine.traces = cql__traces_new();
	if (!s->engine.traces)
		err = sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if (!err)
		err = open_roles(s, options, reterr);
	for (uint32_t i = 0; i < options->listener_count && !err; i++)
		err = listener_start(s, &options->listeners[i], reterr);
	if (err) {
		cql_server_free(s, 0);
		return err;
	}
	*ret_server = s;
	return SM_OK;
}

uint16_t cql_server_port(const struct cql_server *server, uint32_t listener)
{
	return net_listener_port(server->listeners[listener].net);
}

/* One after the other, within drain_ms in all. */
static void end_listeners(struct cql_server *s, uint32_t drain_ms)
{
	uint64_t end = clock_monotonic_ns(&clock_system) + (uint64_t)drain_ms * 1000000;
	for (uint32_t i = 0; i < s->listener_count; i++)
		net_listener_stop(s->listeners[i].net);
	for (uint32_t i = 0; i < s->listener_count; i++) {
		uint64_t now = clock_monotonic_ns(&clock_system);
		net_listener_free(s->listeners[i].net, now < end ? (uint32_t)((end - now) / 1000000) : 0);
	}
	s->listener_count = 0;
}

/* Requests hold what the server owns: wait for the last one. False: some did not end in time. */
static bool wait_for_requests(struct cql_server *s)
{
	uint64_t deadline_ns = clock_deadline_ns(REQUESTS_END_MS);
	pthread_mutex_lock(&s->lock);
	while (s->requests && clock_cond_wait_until(&s->idle, &s->lock, deadline_ns))
		;
	bool ended = s->requests == 0;
	pthread_mutex_unlock(&s->lock);
	return ended;
}

void cql_server_free(struct cql_server *s, uint32_t drain_ms)
{
	struct bytes key;
	size_t pos = 0;
	void *p;
	if (!s)
		return;
	end_listeners(s, drain_ms);
	if (!wait_for_requests(s))
		return; /* rather lost memory than requests that use what is freed */
	while (map_next(&s->prepared, &pos, &key, &p))
		server__prepared_unref(p);
	map_done(&s->prepared);
	for (uint32_t i = 0; i < ACTOR_DISPATCHERS_MAX; i++)
		request__free_kept(s->kept[i].first);
	while (s->registered)
		server__unregister(s, s->registered->conn);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	cql__traces_free(s->engine.traces);
	cql__roles_free(s->engine.roles);
	cql__engine_done(&s->engine);
	free(s);
}
