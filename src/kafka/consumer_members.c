/* What the members of a consumer group say of themselves, and the topics that it makes them subscribe to. */
#include "kafka/consumer_group.h"
#include <stdlib.h>

/* ---- patterns, shared by the members that use the same ---- */

static enum sm_err match(const struct consumer_group *g, struct topic_pattern *t)
{
	uint32_t count = g->topics ? g->topics->count : 0, n = 0;
	uint32_t *matched = malloc((count + 1) * sizeof *matched);
	if (!matched)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		const char *name = g->topics->items[i].name;
		if (pattern__matches(t->pattern, name) && (!g->call || !g->call->sees || g->call->sees(g->call->arg, name)))
			matched[n++] = i;
	}
	free(t->matched);
	t->matched = matched;
	t->matched_count = n;
	return SM_OK;
}

enum sm_err topic_pattern__match_all(struct consumer_group *g)
{
	enum sm_err err = SM_OK;
	for (struct topic_pattern *t = g->patterns; t && !err; t = t->next)
		err = match(g, t);
	return err;
}

static void pattern_release(struct consumer_group *g, struct topic_pattern *t)
{
	if (!t || --t->members > 0)
		return;
	struct topic_pattern **at = &g->patterns;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	pattern__free(t->pattern);
	free(t->matched);
	free(t->text);
	free(t);
}

/* One that is there already, or a new one. text is not empty. */
static enum sm_err pattern_take(struct consumer_group *g, struct bytes text, struct topic_pattern **ret, const char **ret_why)
{
	for (struct topic_pattern *t = g->patterns; t; t = t->next) {
		if (bytes_equal(text, bytes_str(t->text))) {
			t->members++;
			*ret = t;
			return SM_OK;
		}
	}
	struct topic_pattern *t = calloc(1, sizeof *t);
	if (!t)
		return SM_NO_MEMORY;
	t->members = 1;
	t->next = g->patterns;
	g->patterns = t;
	t->text = strndup((const char *)text.data, text.size);
	enum sm_err err = t->text ? pattern__new(text, &t->pattern, ret_why) : SM_NO_MEMORY;
	if (!err)
		err = match(g, t);
	if (err) {
		pattern_release(g, t);
		return err;
	}
	*ret = t;
	return SM_OK;
}

/* ---- a member's words ---- */

static void names_free(char **names, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

void consumer_about__done(struct consumer_group *g, struct consumer_about *a)
{
	free(a->instance);
	free(a->rack);
	free(a->client_id);
	free(a->client_host);
	names_free(a->names, a->name_count);
	pattern_release(g, a->pattern);
	g->bytes -= a->bytes;
	*a = (struct consumer_about){0};
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(struct consumer_about *a)
{
	uint32_t n = 0;
	if (!a->name_count)
		return;
	qsort(a->names, a->name_count, sizeof *a->names, compare_texts);
	for (uint32_t i = 0; i < a->name_count; i++) {
		if (n && strcmp(a->names[i], a->names[n - 1]) == 0)
			free(a->names[i]);
		else
			a->names[n++] = a->names[i];
	}
	a->name_count = n;
}

/* The names that the call tells, or, if it tells none, those of old. */
static enum sm_err take_names(struct consumer_about *a, const struct consumer_about *old, const struct consumer_call *call)
{
	const struct kafka_consumer_group_heartbeat_request *q = call->q;
	bool told = q->subscribed_topic_names_count >= 0;
	uint32_t count = told ? (uint32_t)q->subscribed_topic_names_count : old ? old->name_count : 0;
	a->names = calloc(count + 1, sizeof *a->names);
	if (!a->names)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		struct bytes name = told ? q->subscribed_topic_names[i] : bytes_str(old->names[i]);
		a->names[i] = strndup(name.size ? (const char *)name.data : "", name.size);
		if (!a->names[i])
			return SM_NO_MEMORY;
		a->name_count++;
		a->bytes += name.size + sizeof(char *);
	}
	sort_names(a);
	return SM_OK;
}

static enum sm_err take_text(struct consumer_about *a, char **field, struct bytes told, const char *old)
{
	struct bytes text = told.data ? told : old ? bytes_str(old) : (struct bytes){0};
	if (!text.data)
		return SM_OK;
	*field = strndup((const char *)text.data, text.size);
	a->bytes += text.size;
	return *field ? SM_OK : SM_NO_MEMORY;
}

enum sm_err consumer_about__make(struct consumer_group *g, const struct consumer_member *m, const struct consumer_call *call,
				 struct consumer_about *ret_about, const char **ret_why)
{
	const struct kafka_consumer_group_heartbeat_request *q = call->q;
	const struct consumer_about *old = m ? &m->about : NULL;
	struct consumer_about a = {.assignor = q->server_assignor.data ? assignor__find(q->server_assignor) : old ? old->assignor : NULL};
	*ret_why = NULL;
	enum sm_err err = take_text(&a, &a.instance, q->instance_id, old ? old->instance : NULL);
	if (!err)
		err = take_text(&a, &a.rack, q->rack_id, old ? old->rack : NULL);
	if (!err)
		err = take_text(&a, &a.client_id, call->client_id.data ? call->client_id : KAFKA_EMPTY, NULL);
	if (!err)
		err = take_text(&a, &a.client_host, bytes_str(call->client_host), NULL);
	if (!err)
		err = take_names(&a, old, call);
	struct bytes pattern = q->subscribed_topic_regex.data ? q->subscribed_topic_regex
			       : old && old->pattern          ? bytes_str(old->pattern->text)
							      : (struct bytes){0};
	if (!err && pattern.size)
		err = pattern_take(g, pattern, &a.pattern, ret_why);
	a.bytes += pattern.size;
	g->bytes += a.bytes;
	if (!err && g->bytes > KAFKA_GROUP_BYTES_MAX)
		err = SM_TOO_LARGE;
	if (err)
		consumer_about__done(g, &a);
	else
		*ret_about = a;
	return err;
}

bool consumer_about__same_topics(const struct consumer_about *a, const struct consumer_about *b)
{
	if (a->pattern != b->pattern || a->name_count != b->name_count)
		return false;
	for (uint32_t i = 0; i < a->name_count; i++) {
		if (strcmp(a->names[i], b->names[i]) != 0)
			return false;
	}
	return true;
}

static bool told_other(struct bytes told, const char *known)
{
	return told.data && (!known || !bytes_equal(told, bytes_str(known)));
}

bool consumer_about__changes(const struct consumer_about *a, const struct consumer_call *call)
{
	const struct kafka_consumer_group_heartbeat_request *q = call->q;
	return q->subscribed_topic_names_count >= 0 || told_other(q->instance_id, a->instance) || told_other(q->rack_id, a->rack) ||
	       told_other(q->subscribed_topic_regex, a->pattern ? a->pattern->text : "") ||
	       told_other(q->server_assignor, a->assignor ? a->assignor->name : NULL) || told_other(call->client_id, a->client_id) ||
	       strcmp(call->client_host, a->client_host) != 0;
}

void consumer_about__mark(const struct consumer_group *g, const struct consumer_about *a, bool *marks)
{
	for (uint32_t i = 0; i < a->name_count; i++) {
		const struct log_topic *topic = log_topics_find(g->topics, a->names[i]);
		if (topic)
			marks[topic - g->topics->items] = true;
	}
	for (uint32_t i = 0; a->pattern && i < a->pattern->matched_count; i++)
		marks[a->pattern->matched[i]] = true;
}

bool consumer_group__is_subscribed(const struct consumer_group *g, const char *topic)
{
	for (const struct consumer_member *m = g->members; m; m = m->next) {
		for (uint32_t i = 0; i < m->about.name_count; i++)
			if (strcmp(m->about.names[i], topic) == 0)
				return true;
		if (m->about.pattern && pattern__matches(m->about.pattern->pattern, topic))
			return true;
	}
	return false;
}

void consumer_classic__free(struct consumer_group *g, struct consumer_classic *c)
{
	if (!c)
		return;
	g->bytes -= c->bytes;
	member_protocols__free(c->protocols, c->protocol_count);
	free(c);
}

/* ---- a heartbeat's fields ---- */

static bool is_blank(struct bytes text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] > ' ')
			return false;
	}
	return text.data != NULL;
}

static bool has_zero(struct bytes text)
{
	return text.size && memchr(text.data, 0, text.size);
}

static const char *wrong_text(const struct kafka_consumer_group_heartbeat_request *q, int16_t version)
{
	bool needs_id = version >= 1 || q->member_epoch > 0 || q->member_epoch == CONSUMER_LEAVES;
	bool zero = has_zero(q->member_id) || has_zero(q->instance_id) || has_zero(q->rack_id) || has_zero(q->subscribed_topic_regex);
	for (int32_t i = 0; i < q->subscribed_topic_names_count; i++)
		zero |= has_zero(q->subscribed_topic_names[i]);
	if (needs_id && is_blank(q->member_id))
		return "MemberId can't be empty.";
	if (is_blank(q->group_id))
		return "GroupId can't be empty.";
	if (is_blank(q->instance_id))
		return "InstanceId can't be empty.";
	if (is_blank(q->rack_id))
		return "RackId can't be empty.";
	return zero ? "No text of this request may hold a zero byte." : NULL;
}

static const char *wrong_epoch(const struct kafka_consumer_group_heartbeat_request *q)
{
	if (q->member_epoch < CONSUMER_LEAVES_STATIC)
		return "MemberEpoch is invalid.";
	if (q->member_epoch == CONSUMER_LEAVES_STATIC)
		return q->instance_id.data ? NULL : "InstanceId can't be null.";
	if (q->member_epoch != 0)
		return NULL;
	if (q->rebalance_timeout_ms == -1)
		return "RebalanceTimeoutMs must be provided in first request.";
	if (q->topic_partitions_count != 0)
		return "TopicPartitions must be empty when (re-)joining.";
	if (q->subscribed_topic_names_count < 0 && !q->subscribed_topic_regex.data)
		return "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
	return NULL;
}

int16_t consumer_group__check_heartbeat(const struct kafka_consumer_group_heartbeat_request *q, int16_t version, struct arena *arena,
					const char **ret_text)
{
	*ret_text = wrong_text(q, version);
	if (!*ret_text)
		*ret_text = wrong_epoch(q);
	if (*ret_text)
		return KAFKA_INVALID_REQUEST;
	if (!q->server_assignor.data || assignor__find(q->server_assignor))
		return KAFKA_NONE;
	*ret_text = arena_printf(arena, "ServerAssignor %.*s is not supported. Supported assignors: uniform, range.",
				 TEXT(q->server_assignor));
	return KAFKA_UNSUPPORTED_ASSIGNOR;
}
