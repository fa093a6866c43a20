/* DescribeAcls, CreateAcls, DeleteAcls. Changes are written to disk, so they are the pool's. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

#define NO_AUTHORIZER "No Authorizer is configured."

/* A string that may be null. false: it has a zero byte, or there is no memory. */
static bool text_of(struct kafka_request *r, struct bytes in, const char **out)
{
	*out = in.data ? kafka__cstr(r, in) : NULL;
	return *out || !in.data;
}

static struct bytes keep(struct kafka_request *r, const char *text)
{
	return kafka__text(arena_string(&r->arena, text, strlen(text)));
}

/* ---- DescribeAcls ---- */

struct describing {
	struct kafka_request *request;
	bool failed;
	int32_t room, put; /* rules that were counted, and put */
	struct kafka_acl_description *descriptions;
};

static void count_acl(void *arg, const struct auth_acl *a)
{
	struct describing *d = arg;
	d->room++;
}

/* The rules come sorted: those of one resource follow each other. */
static void put_acl(void *arg, const struct auth_acl *a)
{
	struct describing *d = arg;
	struct kafka_request *r = d->request;
	struct kafka_describe_acls_response *reply = r->reply;
	if (d->put == d->room) /* more than were counted: the rules have changed meanwhile */
		return;
	int32_t at = reply->resources_count - 1;
	if (at < 0 || reply->resources[at].resource_type != a->resource || reply->resources[at].pattern_type != a->pattern ||
	    !bytes_equal(reply->resources[at].resource_name, bytes_str(a->name))) {
		at = reply->resources_count++;
		reply->resources[at] = (struct kafka_described_acls){a->resource, keep(r, a->name), a->pattern, &d->descriptions[d->put],
								     0};
	}
	struct kafka_described_acls *last = &reply->resources[at];
	struct kafka_acl_description *one = &d->descriptions[d->put++];
	*one = (struct kafka_acl_description){keep(r, a->principal), keep(r, a->host), a->operation, a->permission};
	last->acls_count++;
	d->failed |= !last->resource_name.data || !one->principal.data || !one->host.data;
}

static void describe_error(struct kafka_request *r, int16_t error, const char *text)
{
	struct kafka_describe_acls_response *reply = r->reply;
	reply->error_code = error;
	reply->error_message = kafka__text(text);
	kafka__finish(r);
}

/* 0 stands for what is not known. Kafka ends the connection over it: no client of its own sends it. */
static bool is_unknown(int8_t resource, int8_t pattern, int8_t operation, int8_t permission)
{
	return !resource || !pattern || !operation || !permission;
}

void kafka__describe_acls(struct kafka_request *r)
{
	const struct kafka_describe_acls_request *q = r->body;
	if (is_unknown(q->resource_type_filter, q->pattern_type_filter, q->operation, q->permission_type)) {
		kafka__abort(r);
		return;
	}
	struct kafka_describe_acls_response *reply = r->reply;
	struct auth_acl_filter f = {.resource = q->resource_type_filter,
				    .pattern = q->pattern_type_filter,
				    .operation = q->operation,
				    .permission = q->permission_type};
	struct describing d = {.request = r};
	if (!r->server->acls) {
		describe_error(r, KAFKA_SECURITY_DISABLED, NO_AUTHORIZER);
		return;
	}
	if (!text_of(r, q->resource_name_filter, &f.name) || !text_of(r, q->principal_filter, &f.principal) ||
	    !text_of(r, q->host_filter, &f.host)) {
		describe_error(r, KAFKA_INVALID_REQUEST, "The filter has a name with a zero byte.");
		return;
	}
	reply->error_message = KAFKA_EMPTY;
	auth_acls_list(r->server->acls, &f, count_acl, &d);
	reply->resources = kafka__alloc(r, (size_t)d.room, sizeof *reply->resources);
	d.descriptions = kafka__alloc(r, (size_t)d.room, sizeof *d.descriptions);
	if (reply->resources && d.descriptions)
		auth_acls_list(r->server->acls, &f, put_acl, &d);
	if (!reply->resources || !d.descriptions || d.failed)
		kafka__abort(r);
	else
		kafka__finish(r);
}

/* ---- CreateAcls ---- */

struct creating {
	struct auth_acl *acls; /* those that are right */
	struct kafka_acl_creation_result **results;
	uint32_t count;
	enum sm_err err;
	struct sm_error error;
};

static void create_refuse(struct kafka_acl_creation_result *out, int16_t error, const char *text)
{
	out->error_code = error;
	out->error_message = kafka__text(text);
}

static void create_run(struct kafka_request *r)
{
	struct creating *c = r->state;
	c->err = auth_acls_add(r->server->acls, c->acls, c->count, &c->error);
}

static void create_answered(struct kafka_request *r)
{
	struct creating *c = r->state;
	for (uint32_t i = 0; c->err && i < c->count; i++)
		create_refuse(c->results[i], kafka__error_of(c->err), c->error.text);
	kafka__finish(r);
}

static void create_prepare(struct kafka_request *r, struct creating *c, const struct kafka_acl_creation *q,
			   struct kafka_acl_creation_result *out)
{
	struct auth_acl *a = &c->acls[c->count];
	*a = (struct auth_acl){.resource = q->resource_type,
			       .pattern = q->resource_pattern_type,
			       .operation = q->operation,
			       .permission = q->permission_type};
	*out = (struct kafka_acl_creation_result){.error_message = KAFKA_EMPTY};
	if (!text_of(r, q->resource_name, &a->name) || !text_of(r, q->principal, &a->principal) || !text_of(r, q->host, &a->host) ||
	    !a->name || !a->principal || !a->host) {
		create_refuse(out, KAFKA_INVALID_REQUEST, "A name, a principal or a host has a zero byte.");
		return;
	}
	const char *wrong = auth_acl_wrong(a);
	if (wrong)
		create_refuse(out, KAFKA_INVALID_REQUEST, wrong);
	else
		c->results[c->count++] = out;
}

static bool names_unknown(const struct kafka_create_acls_request *q)
{
	for (int32_t i = 0; i < q->creations_count; i++) {
		const struct kafka_acl_creation *c = &q->creations[i];
		if (is_unknown(c->resource_type, c->resource_pattern_type, c->operation, c->permission_type))
			return true;
	}
	return false;
}

void kafka__create_acls(struct kafka_request *r)
{
	const struct kafka_create_acls_request *q = r->body;
	struct kafka_create_acls_response *reply = r->reply;
	struct creating *c = r->state = kafka__alloc(r, 1, sizeof *c);
	reply->results = kafka__alloc(r, (size_t)q->creations_count, sizeof *reply->results);
	bool ok = c && reply->results && (c->acls = kafka__alloc(r, (size_t)q->creations_count, sizeof *c->acls)) &&
		  (c->results = kafka__alloc(r, (size_t)q->creations_count, sizeof *c->results));
	if (!ok || names_unknown(q)) {
		kafka__abort(r);
		return;
	}
	reply->results_count = q->creations_count;
	for (int32_t i = 0; i < q->creations_count; i++) {
		if (r->server->acls)
			create_prepare(r, c, &q->creations[i], &reply->results[i]);
		else
			create_refuse(&reply->results[i], KAFKA_SECURITY_DISABLED, NO_AUTHORIZER);
	}
	r->step = create_answered;
	if (c->count)
		kafka__pool(r, create_run);
	else
		kafka__finish(r);
}

/* ---- DeleteAcls ---- */

struct deleting {
	struct kafka_request *request;
	struct auth_acl_filter *filters; /* those that are right */
	struct kafka_deleted_acls **results;
	int32_t *room; /* of each result's list */
	uint32_t count;
	bool failed;
	enum sm_err err;
	struct sm_error error;
};

static void matched(void *arg, uint32_t filter, const struct auth_acl *a)
{
	struct deleting *d = arg;
	struct kafka_request *r = d->request;
	struct kafka_deleted_acls *out = d->results[filter];
	if (out->matching_acls_count == d->room[filter]) {
		int32_t room = d->room[filter] ? 2 * d->room[filter] : 16;
		struct kafka_deleted_acl *more = kafka__alloc(r, (size_t)room, sizeof *more);
		if (!more) {
			d->failed = true;
			return;
		}
		if (out->matching_acls_count)
			memcpy(more, out->matching_acls, (size_t)out->matching_acls_count * sizeof *more);
		out->matching_acls = more;
		d->room[filter] = room;
	}
	struct kafka_deleted_acl *one = &out->matching_acls[out->matching_acls_count++];
	*one = (struct kafka_deleted_acl){.resource_type = a->resource,
					  .resource_name = keep(r, a->name),
					  .pattern_type = a->pattern,
					  .principal = keep(r, a->principal),
					  .host = keep(r, a->host),
					  .operation = a->operation,
					  .permission_type = a->permission};
	d->failed |= !one->resource_name.data || !one->principal.data || !one->host.data;
}

static void delete_run(struct kafka_request *r)
{
	struct deleting *d = r->state;
	d->err = auth_acls_remove(r->server->acls, d->filters, d->count, matched, d, &d->error);
}

static void delete_answered(struct kafka_request *r)
{
	struct deleting *d = r->state;
	for (uint32_t i = 0; d->err && i < d->count; i++)
		*d->results[i] = (struct kafka_deleted_acls){.error_code = kafka__error_of(d->err),
							     .error_message = kafka__text(d->error.text)};
	if (d->failed && !d->err)
		kafka__abort(r); /* they are gone, but the answer found no memory */
	else
		kafka__finish(r);
}

static void delete_prepare(struct kafka_request *r, struct deleting *d, const struct kafka_delete_acls_filter *q,
			   struct kafka_deleted_acls *out)
{
	struct auth_acl_filter *f = &d->filters[d->count];
	*f = (struct auth_acl_filter){.resource = q->resource_type_filter,
				      .pattern = q->pattern_type_filter,
				      .operation = q->operation,
				      .permission = q->permission_type};
	if (!r->server->acls) {
		out->error_code = KAFKA_SECURITY_DISABLED;
		out->error_message = kafka__text(NO_AUTHORIZER);
	} else if (!text_of(r, q->resource_name_filter, &f->name) || !text_of(r, q->principal_filter, &f->principal) ||
		   !text_of(r, q->host_filter, &f->host) || !auth_acl_filter_ok(f)) {
		out->error_code = KAFKA_INVALID_REQUEST;
		out->error_message = kafka__text("The filter has an unknown type or a name with a zero byte.");
	} else {
		d->results[d->count++] = out;
	}
}

static bool asks_for_unknown(const struct kafka_delete_acls_request *q)
{
	for (int32_t i = 0; i < q->filters_count; i++) {
		const struct kafka_delete_acls_filter *f = &q->filters[i];
		if (is_unknown(f->resource_type_filter, f->pattern_type_filter, f->operation, f->permission_type))
			return true;
	}
	return false;
}

void kafka__delete_acls(struct kafka_request *r)
{
	const struct kafka_delete_acls_request *q = r->body;
	struct kafka_delete_acls_response *reply = r->reply;
	struct deleting *d = r->state = kafka__alloc(r, 1, sizeof *d);
	size_t count = (size_t)q->filters_count;
	reply->filter_results = kafka__alloc(r, count, sizeof *reply->filter_results);
	bool ok = d && reply->filter_results && (d->filters = kafka__alloc(r, count, sizeof *d->filters)) &&
		  (d->results = kafka__alloc(r, count, sizeof *d->results)) && (d->room = kafka__alloc(r, count, sizeof *d->room));
	if (!ok || asks_for_unknown(q)) {
		kafka__abort(r);
		return;
	}
	d->request = r;
	reply->filter_results_count = q->filters_count;
	for (size_t i = 0; i < count; i++)
		delete_prepare(r, d, &q->filters[i], &reply->filter_results[i]);
	r->step = delete_answered;
	if (d->count)
		kafka__pool(r, delete_run);
	else
		kafka__finish(r);
}
