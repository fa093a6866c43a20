/* Who has used up a quota waits: the answer says for how long (throttle_time_ms), and the connection is not read for that time (conn.c).
 *
 * Source: KIP-219: the answer leaves at once. A Fetch answer that would be too much for its quota leaves without records and is not
 * counted. Logins are nobody's yet and count for nothing. Kafka's request_percentage is of the broker's threads: here the time that a
 * request takes on dispatchers and the pool. */
#include "kafka/kafka_internal.h"
#include "kafka/quota.h"
#include <stdlib.h>

static uint64_t now_ms(void)
{
	return clock_monotonic_ns(&clock_system) / 1000000;
}

static struct bytes user_in(const char *principal)
{
	const char *colon = strchr(principal, ':');
	return bytes_str(colon ? colon + 1 : principal);
}

static struct bytes user_of(struct kafka_request *r)
{
	return user_in(kafka__session(r)->principal->name);
}

uint32_t kafka_server_count(struct kafka_server *server, const char *principal, size_t bytes)
{
	if (!kafka__quotas_any(server->quotas, QUOTA_PRODUCE))
		return 0;
	return kafka__quota_count(server->quotas, QUOTA_PRODUCE, user_in(principal), BYTES(""), (double)bytes, now_ms());
}

void kafka__turn_begin(struct kafka_request *r)
{
	if (kafka__quotas_any(r->server->quotas, QUOTA_REQUEST))
		r->turn_ns = clock_monotonic_ns(&clock_system);
}

void kafka__turn_end(struct kafka_request *r)
{
	if (r->turn_ns)
		r->busy_ns += clock_monotonic_ns(&clock_system) - r->turn_ns;
	r->turn_ns = 0;
}

/* The dispatcher may not be done with its own turn yet. */
void kafka__pool_turn(struct kafka_request *r)
{
	uint64_t since = kafka__quotas_any(r->server->quotas, QUOTA_REQUEST) ? clock_monotonic_ns(&clock_system) : 0;
	r->pool_run(r);
	if (since)
		r->busy_ns += clock_monotonic_ns(&clock_system) - since;
}

static bool is_counted(struct kafka_request *r)
{
	struct kafka_quotas *q = r->server->quotas;
	bool any = false;
	for (int k = 0; k < QUOTA_CONNECTION; k++)
		any |= kafka__quotas_any(q, (enum quota_key)k);
	return any && r->conn && !r->encoded && r->api && kafka__session(r)->state == SESSION_OPEN && r->api->key != KAFKA_SASL_HANDSHAKE &&
	       r->api->key != KAFKA_SASL_AUTHENTICATE;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void tell(struct kafka_request *r, uint32_t ms)
{
	struct kafka_member m = kafka__member(r->api->response, r->reply, "throttle_time_ms");
	if (m.field)
		*(int32_t *)m.value = (int32_t)ms;
	r->throttle_ms = ms;
}

static size_t answer_size(const struct kafka_request *r)
{
	size_t size = buf_size(&r->out);
	for (uint32_t i = 0; i < r->splice_count; i++)
		size += r->splices[i].size;
	return size;
}

/* Too much for its quota: it leaves empty, and what it would have been is not counted. */
static enum sm_err throttle_fetch(struct kafka_request *r, uint32_t ms, uint64_t now)
{
	struct kafka_quotas *q = r->server->quotas;
	enum sm_err err = kafka__request_encode(r);
	if (err)
		return err;
	double size = (double)answer_size(r);
	uint32_t wait = larger(ms, kafka__quota_count(q, QUOTA_CONSUME, user_of(r), r->client_id, size, now));
	if (!wait)
		return SM_OK;
	kafka__quota_count(q, QUOTA_CONSUME, user_of(r), r->client_id, -size, now);
	((struct kafka_fetch_response *)r->reply)->topics_count = 0;
	buf_clear(&r->out);
	r->splices = NULL;
	r->splice_count = 0;
	tell(r, wait);
	return kafka__request_encode(r);
}

enum sm_err kafka__answer_encode(struct kafka_request *r)
{
	if (!is_counted(r))
		return r->silent || r->encoded ? SM_OK : kafka__request_encode(r);
	struct kafka_quotas *q = r->server->quotas;
	uint64_t now = now_ms();
	uint32_t ms = r->mutation_until_ms > now ? (uint32_t)(r->mutation_until_ms - now) : 0;
	kafka__turn_end(r);
	if (r->api->key == KAFKA_PRODUCE)
		ms = kafka__quota_count(q, QUOTA_PRODUCE, user_of(r), r->client_id, (double)r->frame_size, now);
	if (!r->silent)
		ms = larger(ms, kafka__quota_count(q, QUOTA_REQUEST, user_of(r), r->client_id, (double)r->busy_ns * 100 / 1e9, now));
	if (r->api->key == KAFKA_FETCH)
		return throttle_fetch(r, ms, now);
	tell(r, ms);
	return r->silent ? SM_OK : kafka__request_encode(r);
}

size_t kafka__fetch_bytes_max(struct kafka_request *r)
{
	double bound = kafka__quota_bound(r->server->quotas, QUOTA_CONSUME, user_of(r), r->client_id);
	double most = bound * (KAFKA_QUOTA_SAMPLES - 1);
	return bound == 0 || most > INT32_MAX ? INT32_MAX : (size_t)most;
}

bool kafka__mutation_take(struct kafka_request *r, double partitions, int16_t strict_since)
{
	uint32_t ms;
	uint64_t now = now_ms();
	if (!r->conn || !kafka__quotas_any(r->server->quotas, QUOTA_MUTATION))
		return true;
	bool may = kafka__quota_take(r->server->quotas, user_of(r), r->client_id, partitions, r->version.version >= strict_since, now, &ms);
	if (ms)
		r->mutation_until_ms = now + ms;
	return may;
}
