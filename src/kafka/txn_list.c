/* DescribeTransactions and ListTransactions: what the coordinator is at. */
#include "kafka/txn_internal.h"
#include <regex.h>

#define STATES (sizeof names / sizeof *names)
static const char *const names[] = {"Empty",          "Ongoing",       "PrepareCommit", "PrepareAbort",
				    "CompleteCommit", "CompleteAbort", "Dead",          "PrepareEpochFence"};

/* ---- describing ---- */

static bool describe_parts(struct kafka_request *r, const struct txn_parts *parts, struct kafka_transaction_state *out)
{
	out->topics = kafka__alloc(r, parts->count, sizeof *out->topics);
	if (!out->topics)
		return false;
	for (uint32_t i = 0; i < parts->count; i++) {
		const struct txn_part *p = &parts->items[i];
		int32_t at = 0;
		while (at < out->topics_count && !bytes_equal(out->topics[at].name, bytes_str(p->topic)))
			at++;
		struct kafka_txn_topic *topic = &out->topics[at];
		if (at == out->topics_count) {
			topic->name = kafka__text(arena_string(&r->arena, p->topic, strlen(p->topic)));
			topic->partitions = kafka__alloc(r, parts->count, sizeof(int32_t));
			if (!topic->name.data || !topic->partitions)
				return false;
			out->topics_count++;
		}
		topic->partitions[topic->partitions_count++] = p->partition;
	}
	return true;
}

void kafka__txn_describe(struct kafka_txns *c, struct kafka_request *r)
{
	struct kafka_describe_transactions_response *reply = r->reply;
	for (int32_t i = 0; i < reply->transaction_states_count; i++) {
		struct kafka_transaction_state *out = &reply->transaction_states[i];
		const struct kafka_txn *t = map_get(&c->by_id, out->transactional_id);
		if (out->error_code)
			continue;
		if (!t || !t->stored) {
			out->error_code = KAFKA_TRANSACTIONAL_ID_NOT_FOUND;
			continue;
		}
		out->transaction_state = bytes_str(names[t->is.state]);
		out->transaction_timeout_ms = t->is.timeout_ms;
		out->transaction_start_time_ms = t->is.start_ms;
		out->producer_id = t->is.producer_id;
		out->producer_epoch = t->is.epoch;
		if (!describe_parts(r, &t->parts, out))
			out->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
	}
}

/* ---- listing ---- */

static bool is_state(struct bytes name)
{
	for (size_t i = 0; i < STATES; i++)
		if (bytes_equal(name, bytes_str(names[i])))
			return true;
	return false;
}

static bool wanted(const struct kafka_list_transactions_request *q, const struct kafka_txn *t, const regex_t *pattern, int64_t now_ms)
{
	bool state = !q->state_filters_count, producer = !q->producer_id_filters_count;
	for (int32_t i = 0; i < q->state_filters_count && !state; i++)
		state = bytes_equal(q->state_filters[i], bytes_str(names[t->is.state]));
	for (int32_t i = 0; i < q->producer_id_filters_count && !producer; i++)
		producer = q->producer_id_filters[i] == t->is.producer_id;
	if (!state || !producer || !t->stored)
		return false;
	if (q->duration_filter >= 0 && now_ms - t->is.start_ms <= q->duration_filter)
		return false;
	regmatch_t match;
	return !pattern || (regexec(pattern, t->id, 1, &match, 0) == 0 && match.rm_so == 0 && (size_t)match.rm_eo == strlen(t->id));
}

static bool list(struct kafka_txns *c, struct kafka_request *r, const regex_t *pattern)
{
	const struct kafka_list_transactions_request *q = r->body;
	struct kafka_list_transactions_response *reply = r->reply;
	size_t pos = 0;
	struct bytes id;
	void *value;
	int64_t now_ms = clock_wall_ms(r->server->clock);
	reply->unknown_state_filters = kafka__alloc(r, (size_t)q->state_filters_count, sizeof *reply->unknown_state_filters);
	reply->transaction_states = kafka__alloc(r, c->by_id.count, sizeof *reply->transaction_states);
	if (!reply->unknown_state_filters || !reply->transaction_states)
		return false;
	for (int32_t i = 0; i < q->state_filters_count; i++)
		if (!is_state(q->state_filters[i]))
			reply->unknown_state_filters[reply->unknown_state_filters_count++] = q->state_filters[i];
	while (map_next(&c->by_id, &pos, &id, &value)) {
		const struct kafka_txn *t = value;
		if (!wanted(q, t, pattern, now_ms))
			continue;
		struct kafka_listed_transaction *out = &reply->transaction_states[reply->transaction_states_count++];
		out->transactional_id = kafka__text(arena_string(&r->arena, t->id, strlen(t->id)));
		out->producer_id = t->is.producer_id;
		out->transaction_state = bytes_str(names[t->is.state]);
		if (!out->transactional_id.data)
			return false;
	}
	return true;
}

void kafka__txn_list(struct kafka_txns *c, struct kafka_request *r)
{
	const struct kafka_list_transactions_request *q = r->body;
	struct kafka_list_transactions_response *reply = r->reply;
	regex_t pattern;
	bool filtered = q->transactional_id_pattern.size > 0;
	const char *text = filtered ? kafka__cstr(r, q->transactional_id_pattern) : "";
	/* Bounds multiply: a short text with some of them takes all memory. */
	bool refused = !text || strlen(text) > KAFKA_TXN_PATTERN_MAX || strchr(text, '{');
	if (refused || (filtered && regcomp(&pattern, text, REG_EXTENDED))) {
		reply->error_code = KAFKA_INVALID_REGULAR_EXPRESSION;
		return;
	}
	if (!list(c, r, filtered ? &pattern : NULL)) {
		reply->transaction_states_count = 0;
		reply->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
	}
	if (filtered)
		regfree(&pattern);
}
