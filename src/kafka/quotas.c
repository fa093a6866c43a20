/* DescribeClientQuotas, AlterClientQuotas (KIP-546). What is wrong is named in the order in which Kafka's controller looks. Changes are
 * written to disk, and the name of an address may have to be looked up: that is the pool's work. */
#include "kafka/kafka_internal.h"
#include "kafka/quota.h"
#include <math.h>
#include <stdlib.h>

#define TEXT(b) (int)(b).size, (const char *)(b).data /* for "%.*s" */

static int kind_of(struct bytes name)
{
	for (int k = 0; k < QUOTA_KINDS; k++)
		if (bytes_equal(name, bytes_str(quota_kind_names[k])))
			return k;
	return -1;
}

static int key_of(struct bytes name)
{
	for (int k = 0; k < QUOTA_KEYS; k++)
		if (bytes_equal(name, bytes_str(quota_key_names[k])))
			return k;
	return -1;
}

static struct bytes keep(struct kafka_request *r, struct bytes text)
{
	const void *copy = text.data ? arena_string(&r->arena, (const char *)text.data, text.size) : NULL;
	return bytes_of(copy, text.size);
}

/* ---- DescribeClientQuotas ---- */

enum match { MATCH_EXACT, MATCH_DEFAULT, MATCH_ANY };
struct filter {
	bool has[QUOTA_KINDS], any[QUOTA_KINDS];
	struct bytes name[QUOTA_KINDS];
	int count;
	bool strict;
};

/* What is wrong; NULL: nothing. */
static const char *add_component(struct kafka_request *r, struct filter *f, const struct kafka_client_quota_component *c,
				 int16_t *ret_error)
{
	int k = kind_of(c->entity_type);
	*ret_error = KAFKA_INVALID_REQUEST;
	if (!c->entity_type.size)
		return "Invalid empty entity type.";
	if (k >= 0 && f->has[k])
		return arena_printf(&r->arena, "Entity type %s cannot appear more than once in the filter.", quota_kind_names[k]);
	if (k < 0) {
		*ret_error = KAFKA_UNSUPPORTED_VERSION;
		return arena_printf(&r->arena, "Unsupported entity type %.*s", TEXT(c->entity_type));
	}
	if (c->match_type < MATCH_EXACT || c->match_type > MATCH_ANY)
		return arena_printf(&r->arena, "Unknown match type %d", c->match_type);
	if (c->match_type == MATCH_EXACT && !c->match.data)
		return "Request specified MATCH_TYPE_EXACT, but set match string to null.";
	if (c->match_type != MATCH_EXACT && c->match.data)
		return arena_printf(&r->arena, "Request specified MATCH_TYPE_%s, but also specified a match string.",
				    c->match_type == MATCH_DEFAULT ? "DEFAULT" : "SPECIFIED");
	f->has[k] = true;
	f->any[k] = c->match_type == MATCH_ANY;
	f->name[k] = c->match;
	f->count++;
	return NULL;
}

static bool matches(const struct filter *f, const struct quota_entity *e)
{
	int count = 0;
	for (int k = 0; k < QUOTA_KINDS; k++) {
		count += e->has[k];
		if (!f->has[k])
			continue;
		if (!e->has[k])
			return false;
		bool same = (f->name[k].data != NULL) == (e->name[k].data != NULL) && bytes_equal(f->name[k], e->name[k]);
		if (!f->any[k] && !same)
			return false;
	}
	return !f->strict || count == f->count;
}

/* What lies in the list is copied: it may go before the answer has left. */
static bool put_entry(struct kafka_request *r, const struct quota *q, struct kafka_client_quota_entry *out)
{
	out->entity = kafka__alloc(r, QUOTA_KINDS, sizeof *out->entity);
	out->values = kafka__alloc(r, QUOTA_KEYS, sizeof *out->values);
	if (!out->entity || !out->values)
		return false;
	for (int k = 0; k < QUOTA_KINDS; k++) {
		if (!q->entity.has[k])
			continue;
		struct bytes name = keep(r, q->entity.name[k]);
		if (q->entity.name[k].data && !name.data)
			return false;
		out->entity[out->entity_count++] = (struct kafka_client_quota_entity){bytes_str(quota_kind_names[k]), name};
	}
	for (int k = 0; k < QUOTA_KEYS; k++)
		if (q->values[k] != 0)
			out->values[out->values_count++] = (struct kafka_client_quota_value){bytes_str(quota_key_names[k]), q->values[k]};
	return true;
}

static bool describe(struct kafka_request *r, const struct filter *f, const struct quota_list *l)
{
	struct kafka_describe_client_quotas_response *reply = r->reply;
	int32_t count = 0;
	for (uint32_t i = 0; i < l->count; i++)
		count += matches(f, &l->items[i].entity);
	reply->entries = kafka__alloc(r, (size_t)count, sizeof *reply->entries);
	bool ok = reply->entries != NULL;
	for (uint32_t i = 0; ok && i < l->count; i++)
		if (matches(f, &l->items[i].entity))
			ok = put_entry(r, &l->items[i], &reply->entries[reply->entries_count++]);
	return ok;
}

void kafka__describe_client_quotas(struct kafka_request *r)
{
	const struct kafka_describe_client_quotas_request *q = r->body;
	struct kafka_describe_client_quotas_response *reply = r->reply;
	struct filter f = {.strict = q->strict};
	const char *wrong = NULL;
	int16_t error = KAFKA_NONE;
	for (int32_t i = 0; i < q->components_count && !wrong; i++)
		wrong = add_component(r, &f, &q->components[i], &error);
	if (!wrong && f.has[QUOTA_IP] && (f.has[QUOTA_USER] || f.has[QUOTA_CLIENT_ID])) {
		error = KAFKA_INVALID_REQUEST;
		wrong = "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter "
			"component.";
	}
	if (wrong) {
		reply->error_code = error;
		reply->error_message = kafka__text(wrong);
		reply->entries_count = -1;
		kafka__finish(r);
		return;
	}
	reply->error_message = KAFKA_EMPTY;
	struct quota_list *l = kafka__quotas_now(r->server->quotas);
	bool ok = describe(r, &f, l);
	kafka__quotas_unref(l);
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}

/* ---- AlterClientQuotas ---- */

struct altering {
	struct quota_change *changes; /* those that are right */
	uint32_t count;
	enum sm_err err;
	struct sm_error error;
};

static void refuse(struct kafka_altered_client_quota *out, int16_t error, const char *text)
{
	out->error_code = error;
	out->error_message = kafka__text(text);
}

/* Of a kind that is named twice the last name counts, as in Kafka's map. */
static const char *take_entity(struct kafka_request *r, const struct kafka_client_quota_alteration *q, struct quota_entity *e)
{
	const char *wrong = q->entity_count ? NULL : "Invalid empty client quota entity";
	*e = (struct quota_entity){0};
	for (int32_t i = 0; i < q->entity_count && !wrong; i++) {
		struct bytes name = q->entity[i].entity_name;
		int k = kind_of(q->entity[i].entity_type);
		if (k < 0) {
			wrong = arena_printf(&r->arena, "Unhandled client quota entity type: %.*s", TEXT(q->entity[i].entity_type));
			break;
		}
		e->has[k] = true;
		e->name[k] = name;
		if (name.data && !name.size)
			wrong = arena_printf(&r->arena, "Empty %s not supported", quota_kind_names[k]);
		else if (name.size > KAFKA_QUOTA_NAME_MAX)
			wrong = arena_printf(&r->arena, "A %s has at most %d bytes", quota_kind_names[k], KAFKA_QUOTA_NAME_MAX);
	}
	return wrong;
}

static const char *wrong_combination(struct kafka_request *r, const struct quota_entity *e)
{
	char address[46];
	struct bytes ip = e->name[QUOTA_IP];
	if (!e->has[QUOTA_IP])
		return NULL;
	if (e->has[QUOTA_USER] || e->has[QUOTA_CLIENT_ID])
		return "Invalid quota entity combination, IP entity should not be used with user/client ID entity.";
	if (ip.data && !kafka__quota_resolve(ip, address))
		return arena_printf(&r->arena, "%.*s is not a valid IP or resolvable host.", TEXT(ip));
	return NULL;
}

/* Rates of bytes and of connections are whole numbers: Kafka's LONG and INT. */
static const char *wrong_value(struct kafka_request *r, const struct quota_entity *e, const struct kafka_client_quota_op *op)
{
	int k = key_of(op->key);
	double v = op->value;
	if (k < 0 || e->has[QUOTA_IP] != (k == QUOTA_CONNECTION))
		return arena_printf(&r->arena, "Invalid configuration key %.*s", TEXT(op->key));
	if (!(v > 0))
		return arena_printf(&r->arena, "Quota %s must be greater than 0", quota_key_names[k]);
	if (k == QUOTA_REQUEST || k == QUOTA_MUTATION)
		return NULL;
	if (v > (k == QUOTA_CONNECTION ? (double)INT32_MAX : (double)INT64_MAX))
		return arena_printf(&r->arena, "Proposed value for %s is too large for %s.", quota_key_names[k],
				    k == QUOTA_CONNECTION ? "an INT" : "a LONG");
	return fabs(fmod(v, 1)) > 1e-6 ? arena_printf(&r->arena, "%s cannot be a fractional value.", quota_key_names[k]) : NULL;
}

/* "": no memory. */
static const char *named_twice(struct kafka_request *r, const struct kafka_client_quota_alteration *q)
{
	struct bytes *keys = kafka__alloc(r, (size_t)q->ops_count, sizeof *keys);
	for (int32_t i = 0; keys && i < q->ops_count; i++)
		keys[i] = q->ops[i].key;
	const uint32_t *firsts = keys ? kafka__firsts(r, keys, (uint32_t)q->ops_count) : NULL;
	for (int32_t i = 0; firsts && i < q->ops_count; i++)
		if (firsts[i] != (uint32_t)i)
			return arena_printf(&r->arena, "Duplicate quota key %.*s not allowed for a quota entity", TEXT(q->ops[i].key));
	return firsts ? NULL : "";
}

static const char *take_ops(struct kafka_request *r, struct altering *a, const struct kafka_client_quota_alteration *q,
			    const struct quota_entity *e)
{
	uint32_t before = a->count;
	for (int32_t i = 0; i < q->ops_count; i++) {
		const struct kafka_client_quota_op *op = &q->ops[i];
		const char *wrong = op->remove ? NULL : wrong_value(r, e, op);
		int key = key_of(op->key);
		if (wrong) {
			a->count = before;
			return wrong;
		}
		if (key >= 0) /* what is not known cannot be there to be removed */
			a->changes[a->count++] = (struct quota_change){*e, (enum quota_key)key, op->remove ? 0 : op->value};
	}
	return NULL;
}

#define ENTITY_TOLD_MAX 16 /* kinds that an answer repeats; there are three */
static struct kafka_altered_client_quota *result_of(struct kafka_request *r, const struct kafka_client_quota_alteration *q)
{
	struct kafka_alter_client_quotas_response *reply = r->reply;
	struct kafka_altered_client_quota *out = &reply->entries[reply->entries_count++];
	*out = (struct kafka_altered_client_quota){.entity = kafka__alloc(r, (size_t)q->entity_count, sizeof *out->entity)};
	for (int32_t i = 0; out->entity && i < q->entity_count && out->entity_count < ENTITY_TOLD_MAX;
	     i++) { /* each kind once, by its last name */
		int32_t at = 0;
		while (at < out->entity_count && !bytes_equal(out->entity[at].entity_type, q->entity[i].entity_type))
			at++;
		out->entity[at] = q->entity[i];
		out->entity_count += at == out->entity_count;
	}
	return out;
}

/* Where each entity of the request stands first. NULL: no memory. */
static const uint32_t *first_places(struct kafka_request *r, const struct quota_entity *entities, uint32_t count)
{
	struct bytes *keys = kafka__alloc(r, count, sizeof *keys);
	struct buf key;
	buf_init(&key);
	for (uint32_t i = 0; keys && i < count; i++) {
		kafka__quota_key(&entities[i], &key);
		keys[i] = bytes_of(key.failed ? NULL : arena_copy(&r->arena, key.data, buf_size(&key)), buf_size(&key));
		if (!keys[i].data)
			keys = NULL;
	}
	buf_done(&key);
	return keys ? kafka__firsts(r, keys, count) : NULL;
}

static void alter_one(struct kafka_request *r, const struct kafka_client_quota_alteration *q, const struct quota_entity *e,
		      const char *wrong, struct kafka_altered_client_quota *out)
{
	if (!wrong)
		wrong = named_twice(r, q);
	if (!wrong)
		wrong = wrong_combination(r, e);
	if (!wrong)
		wrong = take_ops(r, r->state, q, e);
	if (wrong)
		refuse(out, KAFKA_INVALID_REQUEST, wrong);
}

static void alter_run(struct kafka_request *r)
{
	const struct kafka_alter_client_quotas_request *q = r->body;
	struct altering *a = r->state;
	uint32_t count = (uint32_t)q->entries_count;
	struct quota_entity *entities = kafka__alloc(r, count, sizeof *entities);
	struct kafka_altered_client_quota **results = kafka__alloc(r, count, sizeof *results);
	const char **wrong = kafka__alloc(r, count, sizeof *wrong);
	for (uint32_t i = 0; entities && wrong && i < count; i++)
		wrong[i] = take_entity(r, &q->entries[i], &entities[i]);
	const uint32_t *firsts = entities && results && wrong ? first_places(r, entities, count) : NULL;
	a->err = firsts ? SM_OK : SM_NO_MEMORY;
	for (uint32_t i = 0; firsts && i < count; i++) {
		if (firsts[i] != i) { /* the first is carried out all the same */
			refuse(results[firsts[i]], KAFKA_INVALID_REQUEST, "Ignoring duplicate entity");
			continue;
		}
		results[i] = result_of(r, &q->entries[i]);
		alter_one(r, &q->entries[i], &entities[i], wrong[i], results[i]);
	}
	if (!a->err && a->count && !q->validate_only)
		a->err = kafka__quotas_change(r->server->quotas, a->changes, a->count, &a->error);
}

static void alter_answered(struct kafka_request *r)
{
	struct kafka_alter_client_quotas_response *reply = r->reply;
	const struct altering *a = r->state;
	int16_t error = a->err == SM_TOO_LARGE ? KAFKA_INVALID_REQUEST : kafka__error_of(a->err);
	for (int32_t i = 0; a->err && i < reply->entries_count; i++)
		if (!reply->entries[i].error_code)
			refuse(&reply->entries[i], error, a->error.text);
	kafka__finish(r);
}

bool kafka__quotas_refuse(struct kafka_request *r, int16_t error, const char *text)
{
	const struct kafka_alter_client_quotas_request *q = r->body;
	struct kafka_alter_client_quotas_response *reply = r->reply;
	reply->entries = kafka__alloc(r, (size_t)q->entries_count, sizeof *reply->entries);
	for (int32_t i = 0; reply->entries && i < q->entries_count; i++)
		refuse(result_of(r, &q->entries[i]), error, text);
	return reply->entries != NULL;
}

void kafka__alter_client_quotas(struct kafka_request *r)
{
	const struct kafka_alter_client_quotas_request *q = r->body;
	struct kafka_alter_client_quotas_response *reply = r->reply;
	struct altering *a = r->state = kafka__alloc(r, 1, sizeof *a);
	size_t count = 0;
	for (int32_t i = 0; i < q->entries_count; i++)
		count += (size_t)q->entries[i].ops_count;
	reply->entries = kafka__alloc(r, (size_t)q->entries_count, sizeof *reply->entries);
	if (!a || !reply->entries || !(a->changes = kafka__alloc(r, count, sizeof *a->changes))) {
		kafka__abort(r);
		return;
	}
	r->step = alter_answered;
	kafka__pool(r, alter_run);
}
