/* One request: from its frame to its answer. What needs no waiting is answered at once; a read that would wait goes to the pool, a write
 * and a schema change wait for the store. The request then travels as a message to its connection, which may be gone. */
#include "cql/server_internal.h"

#include "actor/actor.h"
#include "base/metrics.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void request_done(struct sm_msg *msg)
{
	request__free((struct request *)msg);
}
const struct sm_msg_type request__type = {"cql request", request_done};

/* A request that the dispatcher has kept, or a new one; all fields but its memory are zero. */
static struct request *take(struct cql_server *server)
{
	int here = actor_current_dispatcher();
	struct request **kept = here < 0 ? NULL : &server->kept[here].first, *r = kept ? *kept : NULL;
	if (r) {
		*kept = r->next_kept;
		server->kept[here].count--;
	} else {
		if (!(r = malloc(sizeof *r)))
			return NULL;
		arena_init(&r->arena, CQL_REQUEST_ARENA_MAX);
	}
	memset(r, 0, offsetof(struct request, arena));
	r->error.code = 0;
	r->error.text[0] = r->error.keyspace[0] = r->error.table[0] = 0;
	r->failure.code = SM_OK;
	r->failure.text[0] = r->peer[0] = 0;
	return r;
}

/* Of a request whose answer has left: kept for the next one on this dispatcher, with its arena's first block. */
static void put_back(struct cql_server *server, struct request *r)
{
	int here = actor_current_dispatcher();
	if (here < 0 || server->kept[here].count == CQL_REQUESTS_KEPT_MAX) {
		request__free_kept(r);
		return;
	}
	arena_reset(&r->arena);
	r->next_kept = server->kept[here].first;
	server->kept[here].first = r;
	server->kept[here].count++;
}

void request__free_kept(struct request *r)
{
	for (struct request *next; r; r = next) {
		next = r->next_kept;
		arena_done(&r->arena);
		free(r);
	}
}

/* text fits: both ends have the same bound. */
static void copy_text(char *to, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);
	memcpy(to, text, n);
	to[n] = 0;
}

struct request *request__new(const struct request_origin *origin, const struct cql_header *header, struct bytes body)
{
	struct cql_server *server = origin->server;
	struct request *r = take(server);
	if (!r)
		return NULL;
	r->msg.type = &request__type;
	r->server = server;
	r->conn = sm_ref_get(origin->conn);
	r->header = *header;
	r->reply = (struct cql_reply){.version = header->version, .stream = header->stream};
	r->compression = origin->compression;
	r->started_ns = clock_monotonic_ns(server->engine.clock);
	copy_text(r->keyspace, sizeof r->keyspace, origin->keyspace);
	r->schema = server->engine.store->ops->schema(server->engine.store);
	if (header->opcode == CQL_OP_AUTH_RESPONSE) {
		snprintf(r->peer, sizeof r->peer, "%s", origin->peer);
		r->from_loopback = strncmp(r->peer, "127.", 4) == 0 || strncmp(r->peer, "[::1]", 5) == 0;
	}
	r->context = (struct cql_context){.engine = &server->engine,
					  .schema = r->schema,
					  .keyspace = r->keyspace[0] ? r->keyspace : NULL,
					  .arena = &r->arena,
					  .err = &r->error,
					  .local_port = origin->port};
	copy_text(r->context.local_host, sizeof r->context.local_host, origin->host);
	if (server->engine.roles)
		r->context.roles = cql__roles_picture(server->engine.roles);
	bool named = !origin->user || (r->context.user = arena_string(&r->arena, origin->user, strlen(origin->user)));
	if (header->flags & CQL_FLAG_TRACING)
		request__trace_begin(r, origin->peer);
	uint8_t *copy = arena_copy(&r->arena, body.data, body.size);
	r->body = bytes_of(copy, body.size);
	server__request_begun(server);
	if ((!copy && body.size) || !named) {
		request__free(r);
		return NULL;
	}
	return r;
}

void request__free(struct request *r)
{
	struct cql_server *server = r->server;
	cql__trace_free(r->context.trace); /* the answer was not made */
	cql__role_picture_unref(r->context.roles);
	for (uint32_t i = 0; i < r->batch_prepared_count; i++)
		server__prepared_unref(r->batch_prepared[i]);
	server__prepared_unref(r->prepared);
	server->engine.store->ops->schema_release(server->engine.store, r->schema);
	sm_unref(r->conn);
	buf_done(&r->out);
	buf_done(&r->result.rows);
	r->next_kept = NULL;
	put_back(server, r);
	server__request_ended(server);
}

/* ---- answers ---- */

/* The session can be read before its id reaches the client. */
static void end_trace(struct request *r)
{
	if (!r->context.trace)
		return;
	r->trace_id = r->context.trace->id;
	r->reply.trace = &r->trace_id;
	cql__traces_add(r->server->engine.traces, r->context.trace);
	r->context.trace = NULL;
}

static bool answer_error(struct request *r)
{
	end_trace(r);
	buf_clear(&r->out);
	cql__put_error(&r->out, &r->reply, &r->error);
	return true;
}

/* Whether the client has the metadata of what it executes already. */
static struct cql_metadata_choice metadata_choice(const struct request *r)
{
	const struct prepared *p = r->prepared;
	struct cql_metadata_choice choice = {0};
	if (!r->plan || r->plan->kind != CQL_PLAN_SELECT)
		return choice;
	if (!p)
		choice.skip = r->parameters.skip_metadata;
	else if (r->header.version >= 5 && !bytes_equal(r->result_id, bytes_of(p->result_id, sizeof p->result_id)))
		choice.changed = p->result_id;
	else
		choice.skip = r->parameters.skip_metadata &&
			      (r->header.version >= 5 || memcmp(p->result_id, p->first_result_id, sizeof p->result_id) == 0);
	return choice;
}

static bool answer_result(struct request *r)
{
	for (uint32_t i = 0; r->plan && i < r->plan->warning_count; i++)
		r->result.warnings[r->result.warning_count++] = r->plan->warnings[i];
	struct cql_metadata_choice metadata = metadata_choice(r);
	end_trace(r);
	cql__put_result(&r->out, &r->reply, &r->result, &metadata);
	if (r->out.failed) {
		(void)cql__fail_store(&r->error, SM_NO_MEMORY, NULL);
		r->out.failed = false;
		return answer_error(r);
	}
	if (r->header.version < 5) /* from then on segments are compressed, not frames */
		cql__compress(r->compression, &r->out, 0);
	return true;
}

/* ---- what waits ---- */

void request__send_back(struct request *r)
{
	struct sm_ref *conn = sm_ref_get(r->conn);
	if (sm_send_reply(conn, &r->msg) != SM_OK)
		sm_msg_free(&r->msg);
	sm_unref(conn);
}

static void read_on_pool(struct sm_work *work)
{
	struct request *r = (struct request *)((char *)work - offsetof(struct request, work));
	r->options.on_dispatcher = false;
	if (clock_monotonic_ns(r->server->engine.clock) - r->started_ns > (uint64_t)CQL_START_MS_MAX * 1000000) {
		(void)cql__fail(&r->error, CQL_OVERLOADED, "Query timed out before it could start");
		answer_error(r);
	} else if (cql__run_select(&r->context, r->plan, &r->options, &r->result) != SM_OK) {
		answer_error(r);
	} else {
		cql__trace(r->context.trace, "Read %u live rows", r->result.row_count);
		answer_result(r);
	}
	request__send_back(r);
}

static void write_done(void *arg, enum sm_err err)
{
	struct request *r = arg;
	r->failure.code = err;
	request__send_back(r);
}

static void change_done(void *arg, const struct sm_error *error)
{
	struct request *r = arg;
	r->failure = error ? *error : (struct sm_error){0};
	request__send_back(r);
}

static bool start_select(struct request *r)
{
	request__trace_select(r);
	r->options.on_dispatcher = true;
	enum sm_err err = cql__run_select(&r->context, r->plan, &r->options, &r->result);
	if (err == SM_OK) {
		cql__trace(r->context.trace, "Read %u live rows", r->result.row_count);
		return answer_result(r);
	}
	if (err != SM_AGAIN)
		return answer_error(r);
	cql__trace(r->context.trace, "Not all blocks are in memory: reading from disk");
	r->waiting = REQUEST_READ;
	r->work.run = read_on_pool;
	r->result.row_count = 0;
	err = sm_pool_run(r->server->system, &r->work);
	if (err == SM_OK)
		return false;
	(void)cql__fail(&r->error, CQL_OVERLOADED, "Too many reads are waiting");
	return answer_error(r);
}

static enum sm_err build_batch(struct request *r)
{
	enum sm_err err = SM_OK;
	for (uint16_t i = 0; !err && i < r->item_count; i++) {
		struct cql_options o = {.values = r->items[i].values, .value_count = r->items[i].count, .timestamp_us = r->now_us};
		err = cql__build_mutations(&r->context, r->items[i].plan, &o, r->now_us, &r->mutations);
	}
	return err ? err : cql__check_batch_size(&r->context, r->batch_kind, &r->mutations, &r->result);
}

/* Of a statement or a batch of one text. */
static enum sm_err build_text(struct request *r, int64_t now_us)
{
	enum sm_err err = cql__build_mutations(&r->context, r->plan, &r->options, now_us, &r->mutations);
	if (!err && r->plan->batch)
		err = cql__check_batch_size(&r->context, r->plan->statement->batch.kind, &r->mutations, &r->result);
	return err;
}

static bool start_write(struct request *r)
{
	if (r->mutations.count == 0) {
		r->result.kind = CQL_RESULT_VOID;
		return answer_result(r);
	}
	request__trace_write(r);
	r->waiting = REQUEST_WRITE;
	r->batch = (struct store_batch){.mutations = r->mutations.items, .count = r->mutations.count, .now_s = r->parameters.now_s};
	r->server->engine.store->ops->apply(r->server->engine.store, &r->batch, write_done, r);
	return false;
}

static bool start_transaction(struct request *r)
{
	const struct store_transaction *transaction;
	if (cql__cas_ready(r->cas, &transaction) != SM_OK)
		return answer_error(r);
	r->waiting = REQUEST_CAS;
	r->server->engine.store->ops->transact(r->server->engine.store, transaction, write_done, r);
	return false;
}

static bool start_conditional(struct request *r)
{
	if (cql__cas_new(&r->context, r->plan->batch, &r->result, &r->cas) != SM_OK || cql__cas_add(r->cas, r->plan, &r->options) != SM_OK)
		return answer_error(r);
	return start_transaction(r);
}

/* Statements that read a list before they change it: built where that may block, then applied from there. */
static void modify_on_pool(struct sm_work *work)
{
	struct request *r = (struct request *)((char *)work - offsetof(struct request, work));
	enum sm_err err = r->items ? build_batch(r) : build_text(r, r->now_us);
	if (!err && r->mutations.count) {
		r->waiting = REQUEST_WRITE;
		start_write(r);
		return;
	}
	r->result.kind = CQL_RESULT_VOID;
	if (err)
		answer_error(r);
	else
		answer_result(r);
	request__send_back(r);
}

static bool start_on_pool(struct request *r, int64_t now_us)
{
	r->now_us = now_us;
	r->waiting = REQUEST_READ;
	r->work.run = modify_on_pool;
	if (sm_pool_run(r->server->system, &r->work) == SM_OK)
		return false;
	(void)cql__fail(&r->error, CQL_OVERLOADED, "Too many reads are waiting");
	return answer_error(r);
}

static bool start_modify(struct request *r)
{
	if (cql__is_conditional(r->plan))
		return start_conditional(r);
	int64_t now = r->options.timestamp_us != INT64_MIN ? r->options.timestamp_us : cql__timestamp_us(&r->server->engine);
	if (r->plan->reads)
		return start_on_pool(r, now);
	return build_text(r, now) == SM_OK ? start_write(r) : answer_error(r);
}

static bool start_change(struct request *r)
{
	bool nothing;
	if (cql__build_change(&r->context, &r->plan->statement->ddl, &r->change, &nothing) != SM_OK)
		return answer_error(r);
	if (nothing) {
		r->result.kind = CQL_RESULT_VOID;
		return answer_result(r);
	}
	r->waiting = REQUEST_CHANGE;
	r->server->engine.store->ops->change(r->server->engine.store, &r->change.change, change_done, r);
	return false;
}

static void announce(struct request *r)
{
	const struct store_change *c = &r->change.change;
	if (!r->change.verb)
		return;
	if (c->kind == STORE_DROP_KEYSPACE) { /* one event a table and type, then the keyspace */
		const struct store_keyspace *k = store_find_keyspace(r->schema, c->keyspace);
		for (uint32_t i = 0; k && i < k->table_count; i++)
			cql_server_schema_changed(r->server, "DROPPED", c->keyspace, k->tables[i]->name, NULL);
		for (uint32_t i = 0; k && i < k->type_count; i++)
			cql_server_schema_changed(r->server, "DROPPED", c->keyspace, NULL, k->types[i].name);
	}
	cql_server_schema_changed(r->server, r->change.verb, c->keyspace, c->table, c->type);
}

/* Grants that come and go with what was made or dropped. The schema is changed already: what fails is told, not undone. */
static void change_grants(struct sm_work *work)
{
	struct request *r = (struct request *)((char *)work - offsetof(struct request, work));
	if (cql__role_after_change(&r->context, &r->change.change) != SM_OK)
		answer_error(r);
	else
		answer_result(r);
	request__send_back(r);
}

static bool finish_change(struct request *r)
{
	if (r->change.verb) {
		r->result.kind = CQL_RESULT_SCHEMA;
		r->result.change = r->change.verb;
		r->result.keyspace = r->change.change.keyspace;
		r->result.table = r->change.change.type ? r->change.change.type : r->change.change.table;
		r->result.is_type = r->change.change.type != NULL;
		if (r->change.warning && r->result.warning_count < CQL_WARNINGS_MAX)
			r->result.warnings[r->result.warning_count++] = r->change.warning;
		announce(r);
	}
	if (!cql__role_minds_change(&r->context, &r->change.change))
		return answer_result(r);
	r->waiting = REQUEST_READ;
	r->work.run = change_grants;
	if (sm_pool_run(r->server->system, &r->work) == SM_OK)
		return false;
	(void)cql__fail(&r->error, CQL_OVERLOADED, "The schema is changed, but not the permissions: too many requests are waiting");
	return answer_error(r);
}

/* Another statement changed the table first: the same change again, of the table as it is now. */
static bool change_again(struct request *r)
{
	struct sm_store *store = r->server->engine.store;
	store->ops->schema_release(store, r->schema);
	r->schema = r->context.schema = store->ops->schema(store);
	r->failure = (struct sm_error){0};
	return start_change(r);
}

bool request__finish(struct request *r)
{
	if (r->waiting == REQUEST_READ)
		return true;
	if (r->waiting == REQUEST_CHANGE && r->failure.code == SM_CONFLICT && ++r->change_tries < CQL_CHANGE_TRIES_MAX)
		return change_again(r);
	if (r->waiting == REQUEST_CAS)
		return cql__cas_end(r->cas, r->failure.code) != SM_OK ? answer_error(r) : answer_result(r);
	if (r->failure.code) {
		if (r->waiting == REQUEST_CHANGE)
			(void)cql__change_failed(&r->context, &r->change, &r->failure);
		else if (r->failure.code == SM_NOT_FOUND)
			(void)cql__fail(&r->error, CQL_INVALID, "table does not exist any more");
		else
			(void)cql__fail_store(&r->error, r->failure.code, r->failure.text);
		return answer_error(r);
	}
	cql__trace(r->context.trace, r->waiting == REQUEST_CHANGE ? "The schema is changed" : "Written, and the commitlog is synced");
	r->result.kind = CQL_RESULT_VOID;
	return r->waiting == REQUEST_CHANGE ? finish_change(r) : answer_result(r);
}

/* ---- statements ---- */

static enum sm_err check_consistency(struct request *r, uint16_t level, bool write)
{
	if (level > CQL_LOCAL_ONE)
		return cql__fail(&r->error, CQL_PROTOCOL_ERROR, "Unknown code %u for a consistency level", level);
	if (!write && level == CQL_ANY)
		return cql__fail(&r->error, CQL_INVALID, "ANY ConsistencyLevel is only supported for writes");
	if (write && (level == CQL_SERIAL || level == CQL_LOCAL_SERIAL))
		return cql__fail(&r->error, CQL_INVALID, "You must use conditional updates for serializable writes");
	if (level == CQL_TWO || level == CQL_THREE) { /* every keyspace counts as one replica */
		r->error.consistency = level;
		r->error.required = level == CQL_TWO ? 2 : 3;
		r->error.alive = 1;
		return cql__fail(&r->error, CQL_UNAVAILABLE, "Cannot achieve consistency level %s", cql_consistency_name(level));
	}
	return SM_OK;
}

/* Of a conditional statement: what its outcome is written with, and what decides it. */
static enum sm_err check_conditional(struct request *r, uint16_t level, uint16_t serial)
{
	if (serial != CQL_SERIAL && serial != CQL_LOCAL_SERIAL)
		return cql__fail(&r->error, CQL_INVALID,
				 "Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL");
	if (level == CQL_SERIAL || level == CQL_LOCAL_SERIAL)
		return cql__fail(&r->error, CQL_INVALID,
				 "%s is not supported as conditional update commit consistency. Use ANY if you mean \"make sure it is "
				 "accepted but I don't care how many replicas commit it for non-SERIAL reads\"",
				 cql_consistency_name(level));
	const struct cql_modify_plan *p = r->plan ? r->plan->modify : NULL;
	const struct store_keyspace *k = p ? store_find_keyspace(r->schema, p->table->keyspace) : NULL;
	for (uint32_t i = 0; level == CQL_EACH_QUORUM && k && i < k->replication_count; i++)
		if (strcmp(k->replication[i].name, "class") == 0 && !strstr(k->replication[i].value, "NetworkTopologyStrategy"))
			return cql__fail(&r->error, CQL_INVALID,
					 "consistency level EACH_QUORUM not compatible with replication strategy "
					 "(org.apache.cassandra.locator.SimpleStrategy)");
	return check_consistency(r, level, true);
}

/* A read that must see all conditional writes before it is of one partition. */
static enum sm_err check_serial_read(struct request *r, uint16_t level, const struct cql_select_plan *p)
{
	bool many = false;
	for (uint16_t i = 0; p->where.partition && i < p->table->partition_key_count; i++)
		many |= p->where.partition[i]->op == CQL_IN;
	if (many && (level == CQL_SERIAL || level == CQL_LOCAL_SERIAL))
		return cql__fail(&r->error, CQL_INVALID,
				 "SERIAL/LOCAL_SERIAL consistency may only be requested for one partition at a time");
	return SM_OK;
}

/* Values by name into the order of the markers. */
static enum sm_err order_values(struct request *r, const struct cql_plan *plan, struct store_cell **values, const struct bytes *names,
				uint32_t *count)
{
	struct store_cell *ordered = arena_alloc(&r->arena, sizeof *ordered * (plan->bind_count + 1));
	if (!ordered)
		return cql__no_memory(&r->error, &r->arena);
	for (uint32_t i = 0; i < plan->bind_count; i++) {
		uint32_t k = 0;
		while (k < *count && !bytes_equal(names[k], bytes_str(plan->binds[i].name)))
			k++;
		if (k == *count)
			return cql__fail(&r->error, CQL_INVALID, "Invalid amount of bind variables");
		ordered[i] = (*values)[k];
	}
	*values = ordered;
	*count = plan->bind_count;
	return SM_OK;
}

static enum sm_err check_values(struct request *r, const struct cql_plan *plan, const struct store_cell *values, uint32_t count,
				bool prepared)
{
	if (count != plan->bind_count && prepared)
		return cql__fail(&r->error, CQL_INVALID, "there were %u markers(?) in CQL but %u bound variables", plan->bind_count, count);
	if (count != plan->bind_count)
		return cql__fail(&r->error, CQL_INVALID, "Invalid amount of bind variables");
	for (uint32_t i = 0; i < count; i++) {
		enum sm_err err = cql__value_check(plan->binds[i].type, values[i], &r->error);
		if (err)
			return err;
	}
	return SM_OK;
}

static bool start_use(struct request *r)
{
	bool system;
	const char *name = r->plan->statement->use;
	if (!cql__find_keyspace(&r->context, name, &system)) {
		(void)cql__fail(&r->error, CQL_INVALID, "Keyspace '%s' does not exist", name);
		return answer_error(r);
	}
	r->use = name;
	r->result.kind = CQL_RESULT_KEYSPACE;
	r->result.keyspace = name;
	return answer_result(r);
}

static void role_on_pool(struct sm_work *work)
{
	struct request *r = (struct request *)((char *)work - offsetof(struct request, work));
	if (cql__run_role(&r->context, &r->plan->statement->role, &r->result) != SM_OK)
		answer_error(r);
	else
		answer_result(r);
	request__send_back(r);
}

static bool start_role(struct request *r)
{
	r->waiting = REQUEST_READ;
	r->work.run = role_on_pool;
	if (sm_pool_run(r->server->system, &r->work) == SM_OK)
		return false;
	(void)cql__fail(&r->error, CQL_OVERLOADED, "Too many requests are waiting");
	return answer_error(r);
}

static bool run_plan(struct request *r)
{
	struct cql_parameters *p = &r->parameters;
	bool write = r->plan->kind == CQL_PLAN_MODIFY;
	bool conditional = cql__is_conditional(r->plan);
	if (cql__authorize(&r->context, r->plan) != SM_OK ||
	    (conditional ? check_conditional(r, p->consistency, p->serial_consistency) : check_consistency(r, p->consistency, write)) !=
		    SM_OK ||
	    (p->names && order_values(r, r->plan, &p->values, p->names, &p->value_count) != SM_OK) ||
	    check_values(r, r->plan, p->values, p->value_count, r->prepared != NULL) != SM_OK)
		return answer_error(r);
	r->options = (struct cql_options){.values = p->values,
					  .value_count = p->value_count,
					  .page_size = p->page_size,
					  .paging_state = p->paging_state,
					  .timestamp_us = p->timestamp_us};
	switch (r->plan->kind) {
	case CQL_PLAN_SELECT:
		if (check_serial_read(r, p->consistency, r->plan->select) != SM_OK)
			return answer_error(r);
		return start_select(r);
	case CQL_PLAN_MODIFY: return start_modify(r);
	case CQL_PLAN_DDL: return start_change(r);
	case CQL_PLAN_USE: return start_use(r);
	case CQL_PLAN_ROLE: return start_role(r);
	case CQL_PLAN_DESCRIBE:
		if (cql__run_describe(&r->context, &r->plan->statement->describe, &r->result) != SM_OK)
			return answer_error(r);
		return answer_result(r);
	}
	return answer_error(r);
}

static enum sm_err check_keyspace(struct request *r, const char *keyspace)
{
	bool system;
	if (keyspace && !cql__find_keyspace(&r->context, keyspace, &system))
		return cql__fail(&r->error, CQL_INVALID, "Keyspace '%s' does not exist", keyspace);
	return SM_OK;
}

/* What the parameters say of the whole request. */
static enum sm_err use_parameters(struct request *r)
{
	if (r->parameters.keyspace)
		r->context.keyspace = r->parameters.keyspace;
	r->context.now_s = r->parameters.now_s;
	return check_keyspace(r, r->parameters.keyspace);
}

static bool start_query(struct request *r, struct byte_reader *in)
{
	struct cql_statement *statement;
	struct bytes text = cql__read_long_string(in);
	if (cql__read_parameters(in, r->header.version, &r->arena, &r->parameters, &r->error) != SM_OK || use_parameters(r) != SM_OK)
		return answer_error(r);
	request__trace_parameters(r, text);
	if (cql__parse(text, &r->arena, &statement, &r->error) != SM_OK || cql__analyse(&r->context, statement, &r->plan) != SM_OK)
		return answer_error(r);
	cql__trace(r->context.trace, "Preparing statement");
	return run_plan(r);
}

static bool start_prepare(struct request *r, struct byte_reader *in)
{
	const char *keyspace;
	struct bytes text = cql__read_long_string(in);
	request__trace_parameters(r, text);
	if (cql__read_prepare_end(in, r->header.version, &r->arena, &keyspace, &r->error) != SM_OK ||
	    check_keyspace(r, keyspace) != SM_OK ||
	    server__prepare(r->server, text, keyspace ? keyspace : r->context.keyspace, r->schema, &r->prepared, &r->error) != SM_OK)
		return answer_error(r);
	end_trace(r);
	cql__put_prepared(&r->out, &r->reply, r->prepared->id, r->prepared->result_id, r->prepared->plan);
	return true;
}

static bool start_execute(struct request *r, struct byte_reader *in)
{
	struct bytes id = cql_read_string(in);
	if (r->header.version >= 5)
		r->result_id = cql_read_string(in);
	if (cql__read_parameters(in, r->header.version, &r->arena, &r->parameters, &r->error) != SM_OK ||
	    server__prepared(r->server, id, r->header.version, r->schema, &r->prepared, &r->error) != SM_OK)
		return answer_error(r);
	r->context.now_s = r->parameters.now_s;
	request__trace_parameters(r, r->prepared->text);
	r->plan = r->prepared->plan;
	r->context.keyspace = r->prepared->keyspace;
	return run_plan(r);
}

/* ---- BATCH: statements with values of their own, one mutation list ---- */

static enum sm_err batch_statement(struct request *r, struct byte_reader *in, struct cql_plan **ret_plan, bool *ret_prepared)
{
	uint8_t kind = reader_u8(in);
	*ret_prepared = kind == 1;
	if (kind == 0) {
		struct cql_statement *statement;
		struct bytes text = cql__read_long_string(in);
		enum sm_err err = in->failed ? SM_OK : cql__parse(text, &r->arena, &statement, &r->error);
		return err || in->failed ? err : cql__analyse(&r->context, statement, ret_plan);
	}
	if (kind != 1)
		return cql__fail(&r->error, CQL_PROTOCOL_ERROR, "Invalid query kind in BATCH messages. Must be 0 or 1 but got %u", kind);
	struct prepared *p;
	enum sm_err err = server__prepared(r->server, cql_read_string(in), r->header.version, r->schema, &p, &r->error);
	if (err)
		return err;
	r->batch_prepared[r->batch_prepared_count++] = p;
	*ret_plan = p->plan;
	return SM_OK;
}

static enum sm_err read_batch(struct request *r, struct byte_reader *in, struct batch_item *items, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		bool prepared = false;
		struct bytes *names;
		enum sm_err err = batch_statement(r, in, &items[i].plan, &prepared);
		if (!err)
			err = cql__read_values(in, r->header.version, &r->arena, false, &items[i].values, &names, &items[i].count,
					       &r->error);
		if (err)
			return err;
		if (items[i].plan->kind != CQL_PLAN_MODIFY || items[i].plan->batch)
			return cql__fail(&r->error, CQL_INVALID,
					 "Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed.");
		if ((err = cql__authorize(&r->context, items[i].plan)) ||
		    (err = check_values(r, items[i].plan, items[i].values, items[i].count, true)))
			return err;
	}
	return SM_OK;
}

static bool is_conditional(const struct batch_item *items, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		if (cql__is_conditional(items[i].plan))
			return true;
	return false;
}

static bool start_conditional_batch(struct request *r, const struct batch_item *items, uint16_t count)
{
	enum sm_err err = cql__cas_new(&r->context, true, &r->result, &r->cas);
	for (uint16_t i = 0; i < count && !err; i++) {
		struct cql_options o = {.values = items[i].values, .value_count = items[i].count, .timestamp_us = INT64_MIN};
		if (!(err = cql__check_conditional_batch(&r->error, items[0].plan->modify, items[i].plan->modify)))
			err = cql__cas_add(r->cas, items[i].plan, &o);
	}
	return err ? answer_error(r) : start_transaction(r);
}

/* The keyspace in which a batch's statements are read stands behind them: read over them once. */
static enum sm_err read_batch_parameters(struct request *r, struct byte_reader in, uint16_t count)
{
	for (uint16_t i = 0; i < count && !in.failed; i++) {
		if (reader_u8(&in) == 1)
			(void)cql_read_string(&in);
		else
			(void)cql__read_long_string(&in);
		for (uint16_t n = reader_be16(&in); n && !in.failed; n--) {
			int32_t size = (int32_t)reader_be32(&in);
			if (size > 0)
				(void)reader_take(&in, (size_t)size);
		}
	}
	enum sm_err err = cql__read_batch_end(&in, r->header.version, &r->arena, &r->parameters, &r->error);
	if (err)
		return err;
	err = use_parameters(r);
	request__trace_parameters(r, bytes_of("", 0));
	return err;
}

static bool start_batch(struct request *r, struct byte_reader *in)
{
	uint8_t type = reader_u8(in);
	uint16_t count = reader_be16(in);
	struct batch_item *items = arena_alloc(&r->arena, sizeof *items * (count + 1u));
	r->batch_prepared = arena_alloc(&r->arena, sizeof *r->batch_prepared * (count + 1u));
	enum sm_err err = items && r->batch_prepared ? SM_OK : cql__no_memory(&r->error, &r->arena);
	if (!err)
		err = read_batch_parameters(r, *in, count);
	if (!err && type > 2)
		err = cql__fail(&r->error, CQL_PROTOCOL_ERROR, "Invalid batch type %u", type);
	if (!err)
		err = read_batch(r, in, items, count);
	if (!err)
		err = is_conditional(items, count) ? check_conditional(r, r->parameters.consistency, r->parameters.serial_consistency)
						   : check_consistency(r, r->parameters.consistency, true);
	bool counters = false, others = false, reads = false;
	for (uint16_t i = 0; !err && i < count; i++) {
		*(items[i].plan->modify[0].counter ? &counters : &others) = true;
		reads |= items[i].plan->reads;
	}
	r->batch_kind = type == 2 ? CQL_COUNTER : type == 1 ? CQL_UNLOGGED : CQL_LOGGED;
	if (!err)
		err = cql__check_batch(&r->context, r->batch_kind, counters, others);
	if (err)
		return answer_error(r);
	if (is_conditional(items, count))
		return start_conditional_batch(r, items, count);
	int64_t now = r->parameters.timestamp_us;
	if (now == INT64_MIN)
		now = cql__timestamp_us(&r->server->engine);
	r->items = items;
	r->item_count = count;
	r->now_us = now;
	if (reads)
		return start_on_pool(r, now);
	return build_batch(r) == SM_OK ? start_write(r) : answer_error(r);
}

/* The custom payload is read over: [u16 n]([string][bytes]). */
static void skip_payload(struct byte_reader *in)
{
	for (uint16_t n = reader_be16(in); n && !in->failed; n--) {
		(void)cql_read_string(in);
		int32_t size = (int32_t)reader_be32(in);
		if (size > 0)
			(void)reader_take(in, (size_t)size);
	}
}

/* The label's counter is looked up once: it stays where it is. */
static void count_request(uint8_t opcode)
{
	static const struct {
		uint8_t opcode;
		const char *label;
	} labels[] = {{CQL_OP_QUERY, "query"}, {CQL_OP_PREPARE, "prepare"}, {CQL_OP_EXECUTE, "execute"}, {CQL_OP_BATCH, "batch"}};
	static metric_counter *counters[sizeof labels / sizeof *labels];
	for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
		if (labels[i].opcode != opcode)
			continue;
		metric_counter *c = __atomic_load_n(&counters[i], __ATOMIC_ACQUIRE);
		if (!c && (c = metric_labelled(METRIC_CQL_REQUESTS, labels[i].label)))
			__atomic_store_n(&counters[i], c, __ATOMIC_RELEASE);
		if (c)
			atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
	}
}

bool request__start(struct request *r)
{
	/* Without a compression agreed, and in segments, the flag means nothing. */
	bool compressed = (r->header.flags & CQL_FLAG_COMPRESSED) && r->compression != CQL_PLAIN && r->header.version < 5;
	if (compressed && cql__decompress(r->compression, r->body, &r->arena, &r->body, &r->error) != SM_OK)
		return answer_error(r);
	struct byte_reader in = byte_reader(r->body);
	if (r->header.flags & CQL_FLAG_PAYLOAD)
		skip_payload(&in);
	count_request(r->header.opcode);
	switch (r->header.opcode) {
	case CQL_OP_QUERY: return start_query(r, &in);
	case CQL_OP_PREPARE: return start_prepare(r, &in);
	case CQL_OP_EXECUTE: return start_execute(r, &in);
	case CQL_OP_BATCH: return start_batch(r, &in);
	case CQL_OP_AUTH_RESPONSE:
		if (r->context.roles) /* a connection gives it to us only then */
			return request__start_login(r);
		break;
	default: break;
	}
	(void)cql__fail(&r->error, CQL_PROTOCOL_ERROR, "Unknown opcode %u", r->header.opcode);
	return answer_error(r);
}
