/* DescribeUserScramCredentials, AlterUserScramCredentials: the users' passwords by way of admin clients (KIP-554). They live in the file of
 * users, beside those that `smack user` makes; reading and writing it is the pool's work. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

#define NO_USERS "There is no file of users: smack's configuration names one as security.users."

/* Kafka's numbers: 1 SCRAM-SHA-256, 2 SCRAM-SHA-512. */
static bool mechanism_of(int8_t number, enum auth_mechanism *ret)
{
	*ret = number == 2 ? AUTH_SCRAM_SHA_512 : AUTH_SCRAM_SHA_256;
	return number == 1 || number == 2;
}

/* ---- describing ---- */

static void put_infos(struct kafka_request *r, struct kafka_described_scram_user *out)
{
	out->credential_infos = kafka__alloc(r, 2, sizeof *out->credential_infos);
	for (int8_t m = 1; out->credential_infos && m <= 2; m++) {
		enum auth_mechanism mechanism;
		(void)mechanism_of(m, &mechanism);
		uint32_t iterations = auth_users_iterations(r->server->accounts, out->user, mechanism);
		if (iterations)
			out->credential_infos[out->credential_infos_count++] = (struct kafka_scram_credential_info){m, (int32_t)iterations};
	}
}

static bool named_twice(const struct kafka_describe_user_scram_credentials_request *q, int32_t at, bool *ret_before)
{
	bool twice = false;
	*ret_before = false;
	for (int32_t i = 0; i < q->users_count; i++) {
		if (i == at || !bytes_equal(q->users[i].name, q->users[at].name))
			continue;
		twice = true;
		*ret_before |= i < at;
	}
	return twice;
}

static void refuse_user(struct kafka_request *r, struct kafka_described_scram_user *out, int16_t error, const char *text)
{
	out->error_code = error;
	out->error_message = kafka__text(arena_printf(&r->arena, "%s: %.*s", text, (int)out->user.size, (const char *)out->user.data));
}

static void describe_named(struct kafka_request *r)
{
	const struct kafka_describe_user_scram_credentials_request *q = r->body;
	struct kafka_describe_user_scram_credentials_response *reply = r->reply;
	for (int32_t i = 0; i < q->users_count; i++) {
		bool before, twice = named_twice(q, i, &before);
		if (before)
			continue;
		struct kafka_described_scram_user *out = &reply->results[reply->results_count++];
		out->user = q->users[i].name;
		out->error_message = KAFKA_EMPTY;
		if (twice)
			refuse_user(r, out, KAFKA_DUPLICATE_RESOURCE,
				    "Cannot describe SCRAM credentials for the same user twice in a single request");
		else
			put_infos(r, out);
		if (!twice && !out->credential_infos_count)
			refuse_user(r, out, KAFKA_RESOURCE_NOT_FOUND, "Attempt to describe a user credential that does not exist");
	}
}

struct naming {
	struct kafka_request *request;
	int32_t count;
	bool put;
};

static void name_user(void *arg, struct bytes name)
{
	struct naming *n = arg;
	struct kafka_request *r = n->request;
	struct kafka_describe_user_scram_credentials_response *reply = r->reply;
	if (!n->put) {
		n->count++;
	} else if (reply->results_count < n->count) {
		char *copy = arena_string(&r->arena, (const char *)name.data, name.size);
		if (copy)
			reply->results[reply->results_count++].user = bytes_of(copy, name.size);
	}
}

static void describe_run(struct kafka_request *r)
{
	const struct kafka_describe_user_scram_credentials_request *q = r->body;
	struct kafka_describe_user_scram_credentials_response *reply = r->reply;
	struct naming n = {.request = r, .count = q->users_count};
	reply->error_message = KAFKA_EMPTY;
	if (q->users_count <= 0) { /* all */
		n.count = 0;
		auth_users_names(r->server->accounts, name_user, &n);
	}
	reply->results = kafka__alloc(r, (size_t)n.count, sizeof *reply->results);
	if (!reply->results)
		return;
	if (q->users_count > 0) {
		describe_named(r);
		return;
	}
	n.put = true;
	auth_users_names(r->server->accounts, name_user, &n);
	for (int32_t i = 0; i < reply->results_count; i++) {
		reply->results[i].error_message = KAFKA_EMPTY;
		put_infos(r, &reply->results[i]);
	}
}

void kafka__describe_user_scram_credentials(struct kafka_request *r)
{
	struct kafka_describe_user_scram_credentials_response *reply = r->reply;
	r->step = kafka__finish;
	if (r->server->accounts) {
		kafka__pool(r, describe_run);
		return;
	}
	reply->error_code = KAFKA_SECURITY_DISABLED;
	reply->error_message = kafka__text(NO_USERS);
	kafka__finish(r);
}

/* ---- altering ---- */

struct altering {
	struct auth_credential *changes; /* those that are right */
	struct kafka_altered_scram_user **results;
	uint32_t count;
	enum sm_err err;
	struct sm_error error;
};

/* The user's result: each has one, in the order of the request. */
static struct kafka_altered_scram_user *result_of(struct kafka_alter_user_scram_credentials_response *reply, struct bytes user,
						  bool *ret_new)
{
	for (int32_t i = 0; i < reply->results_count; i++) {
		if (bytes_equal(reply->results[i].user, user)) {
			*ret_new = false;
			return &reply->results[i];
		}
	}
	*ret_new = true;
	struct kafka_altered_scram_user *out = &reply->results[reply->results_count++];
	*out = (struct kafka_altered_scram_user){.user = user};
	return out;
}

static void refuse(struct kafka_altered_scram_user *out, int16_t error, const char *text)
{
	if (out->error_code)
		return;
	out->error_code = error;
	out->error_message = kafka__text(text);
}

/* salted_password NULL: a deletion. */
static void take_change(struct kafka_request *r, struct altering *a, struct bytes user, int8_t mechanism, struct auth_credential c)
{
	bool is_new;
	struct kafka_altered_scram_user *out = result_of(r->reply, user, &is_new);
	c.name = kafka__cstr(r, user);
	bool known = mechanism_of(mechanism, &c.mechanism);
	if (!is_new)
		refuse(out, KAFKA_DUPLICATE_RESOURCE, "A user credential cannot be altered twice in the same request");
	else if (!user.size || !c.name)
		refuse(out, KAFKA_UNACCEPTABLE_CREDENTIAL, c.name ? "Username must not be empty" : "The user's name has a zero byte");
	else if (!known)
		refuse(out, KAFKA_UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism");
	else if (c.iterations > KAFKA_SCRAM_ITERATIONS_MAX)
		refuse(out, KAFKA_UNACCEPTABLE_CREDENTIAL, "Too many iterations");
	else if (c.salted_password.data && auth_credential_wrong(&c))
		refuse(out, KAFKA_UNACCEPTABLE_CREDENTIAL, auth_credential_wrong(&c));
	else if (!c.salted_password.data && !auth_users_iterations(r->server->accounts, user, c.mechanism))
		refuse(out, KAFKA_RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist");
	a->results[a->count] = out;
	a->changes[a->count++] = c;
}

/* On the pool. A user that was refused, perhaps for a later change, is left out. */
static void alter_run(struct kafka_request *r)
{
	const struct kafka_alter_user_scram_credentials_request *q = r->body;
	struct altering *a = r->state;
	uint32_t kept = 0;
	for (int32_t i = 0; i < q->deletions_count; i++)
		take_change(r, a, q->deletions[i].name, q->deletions[i].mechanism, (struct auth_credential){0});
	for (int32_t i = 0; i < q->upsertions_count; i++) {
		const struct kafka_scram_upsertion *u = &q->upsertions[i];
		take_change(r, a, u->name, u->mechanism,
			    (struct auth_credential){.iterations = u->iterations > 0 ? (uint32_t)u->iterations : 1,
						     .salt = u->salt,
						     .salted_password = u->salted_password});
	}
	for (uint32_t i = 0; i < a->count; i++) {
		if (a->results[i]->error_code)
			continue;
		a->results[kept] = a->results[i];
		a->changes[kept++] = a->changes[i];
	}
	a->count = kept;
	if (kept)
		a->err = auth_users_change(r->server->accounts, a->changes, kept, &a->error);
}

static void alter_answered(struct kafka_request *r)
{
	struct altering *a = r->state;
	for (uint32_t i = 0; a->err && i < a->count; i++)
		refuse(a->results[i], kafka__error_of(a->err), a->error.text);
	kafka__finish(r);
}

static size_t changes_asked(const struct kafka_alter_user_scram_credentials_request *q)
{
	return (size_t)q->deletions_count + (size_t)q->upsertions_count;
}

bool kafka__scram_refuse(struct kafka_request *r, int16_t error, const char *text)
{
	const struct kafka_alter_user_scram_credentials_request *q = r->body;
	struct kafka_alter_user_scram_credentials_response *reply = r->reply;
	bool is_new;
	reply->results = kafka__alloc(r, changes_asked(q), sizeof *reply->results);
	for (int32_t i = 0; reply->results && i < q->deletions_count; i++)
		refuse(result_of(reply, q->deletions[i].name, &is_new), error, text);
	for (int32_t i = 0; reply->results && i < q->upsertions_count; i++)
		refuse(result_of(reply, q->upsertions[i].name, &is_new), error, text);
	return reply->results != NULL;
}

void kafka__alter_user_scram_credentials(struct kafka_request *r)
{
	const struct kafka_alter_user_scram_credentials_request *q = r->body;
	struct kafka_alter_user_scram_credentials_response *reply = r->reply;
	struct altering *a = r->state = kafka__alloc(r, 1, sizeof *a);
	size_t count = changes_asked(q);
	bool ok = a && (a->changes = kafka__alloc(r, count, sizeof *a->changes)) &&
		  (a->results = kafka__alloc(r, count, sizeof *a->results));
	if (ok && !r->server->accounts) {
		ok = kafka__scram_refuse(r, KAFKA_SECURITY_DISABLED, NO_USERS);
	} else if (ok && (reply->results = kafka__alloc(r, count, sizeof *reply->results))) {
		r->step = alter_answered;
		kafka__pool(r, alter_run);
		return;
	}
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}
