/* What clients do, measured against their quotas as Kafka measures it.
 *
 * A rate is taken over KAFKA_QUOTA_SAMPLES windows of a second (quota.window.num, quota.window.size.seconds): the sum of what was counted
 * in them, by the time that has passed since the oldest began, but at least all of them but one. Who is above the quota waits so long that
 * the rate, if nothing comes meanwhile, is the quota again. Changes of topics and connections differ: changes take tokens from a bucket
 * that is filled by the quota and holds as much as fits into all windows; a connection too many is not counted.
 *
 * Quotas are looked up in Kafka's order: of the user and client id, of the user with the default client id, of the user; the same of the
 * default user; of the client id; of the default one. What is measured together follows from that: all of a user's clients where the quota
 * is the user's, all users of a client id where it is the client id's, else each pair by itself. */
#include "kafka/quota.h"
#include "base/buf.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define WINDOW_MS 1000

struct sample {
	double value;
	uint64_t start_ms, last_ms;
};
struct meter {
	struct sample samples[KAFKA_QUOTA_SAMPLES + 1]; /* one more, for the one that reaches into the oldest window */
	uint32_t count, current;
	double tokens;
	uint64_t filled_ms; /* 0: never */
	uint64_t used_ms;
};
struct quota_meters {
	pthread_mutex_t lock;
	struct map all; /* key, user and client id -> struct meter */
	struct meter rest[QUOTA_KEYS];
};

struct quota_meters *quota_meters__new(void)
{
	struct quota_meters *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	map_init(&m->all);
	return m;
}

void quota_meters__free(struct quota_meters *m)
{
	size_t at = 0;
	struct bytes key;
	void *meter;
	if (!m)
		return;
	while (map_next(&m->all, &at, &key, &meter))
		free(meter);
	map_done(&m->all);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- a rate ---- */

static void forget_old(struct meter *m, uint64_t now)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (now - m->samples[i].last_ms >= KAFKA_QUOTA_SAMPLES * WINDOW_MS)
			m->samples[i] = (struct sample){0, now, now};
}

static void add(struct meter *m, double amount, uint64_t now)
{
	if (!m->count) {
		m->current = 0;
		m->count = 1;
		m->samples[0] = (struct sample){0, now, now};
	} else if (now - m->samples[m->current].start_ms >= WINDOW_MS) {
		m->current = (m->current + 1) % (KAFKA_QUOTA_SAMPLES + 1);
		if (m->current == m->count)
			m->count++;
		m->samples[m->current] = (struct sample){0, now, now};
	}
	m->samples[m->current].value += amount;
	m->samples[m->current].last_ms = now;
}

/* *ret_window_ms: the time over which the rate is taken. */
static double rate(struct meter *m, uint64_t now, double *ret_window_ms)
{
	double sum = 0;
	uint64_t oldest = now;
	forget_old(m, now);
	for (uint32_t i = 0; i < m->count; i++) {
		sum += m->samples[i].value;
		if (m->samples[i].start_ms < oldest)
			oldest = m->samples[i].start_ms;
	}
	uint64_t window = now - oldest, full = window / WINDOW_MS;
	if (full < KAFKA_QUOTA_SAMPLES - 1)
		window += (KAFKA_QUOTA_SAMPLES - 1 - full) * WINDOW_MS;
	*ret_window_ms = (double)window;
	return sum / (double)window * 1000;
}

static uint32_t whole_ms(double ms)
{
	ms = round(ms);
	return ms >= INT32_MAX ? INT32_MAX : ms > 0 ? (uint32_t)ms : 0;
}

static uint32_t too_much_by(struct meter *m, double bound, uint64_t now)
{
	double window, is = rate(m, now, &window);
	return is > bound ? whole_ms((is - bound) / bound * window) : 0;
}

/* ---- which meter: under the lock ---- */

static void meter_key(struct buf *out, enum quota_key key, struct bytes user, struct bytes client_id)
{
	buf_u8(out, (uint8_t)key);
	buf_be32(out, (uint32_t)user.size);
	buf_append_bytes(out, user);
	buf_append_bytes(out, client_id);
}

/* A meter of which nothing is left that counts. */
static bool is_idle(const struct meter *m, uint64_t now)
{
	return now - m->used_ms >= (m->filled_ms ? KAFKA_QUOTA_IDLE_MS : (KAFKA_QUOTA_SAMPLES + 1) * WINDOW_MS);
}

static void drop_idle(struct quota_meters *all, uint64_t now)
{
	size_t at = 0;
	struct bytes key;
	void *value;
	while (map_next(&all->all, &at, &key, &value)) {
		if (!is_idle(value, now))
			continue;
		map_remove(&all->all, key);
		free(value);
	}
}

/* Those for which there is no room share one. */
static struct meter *meter_of(struct quota_meters *all, enum quota_key key, struct bytes user, struct bytes client_id, uint64_t now)
{
	struct buf name;
	buf_init(&name);
	meter_key(&name, key, user, client_id);
	struct meter *m = name.failed ? NULL : map_get(&all->all, buf_bytes(&name));
	if (!m && all->all.count >= KAFKA_QUOTA_METERS_MAX)
		drop_idle(all, now);
	if (!m && !name.failed && all->all.count < KAFKA_QUOTA_METERS_MAX && (m = calloc(1, sizeof *m)) &&
	    map_put(&all->all, buf_bytes(&name), m, NULL)) {
		free(m);
		m = NULL;
	}
	buf_done(&name);
	if (!m)
		m = &all->rest[key];
	m->used_ms = now;
	return m;
}

/* ---- which quota ---- */

struct use {
	double bound;
	struct bytes user, client_id; /* whose amounts are added up; empty: everybody's */
};

static double value_of(const struct quota_list *l, enum quota_key key, bool has_user, struct bytes user, bool has_client,
		       struct bytes client_id)
{
	const struct quota_entity e = {.has = {has_user, has_client, false}, .name = {user, client_id}};
	const struct quota *q = kafka__quotas_find(l, &e);
	return q ? q->values[key] : 0;
}

static double of_user(const struct quota_list *l, enum quota_key key, struct bytes user, struct bytes client_id, bool *ret_pair)
{
	static const struct bytes by_default;
	double v = value_of(l, key, true, user, true, client_id);
	if (v == 0)
		v = value_of(l, key, true, user, true, by_default);
	*ret_pair = v != 0;
	return v != 0 ? v : value_of(l, key, true, user, false, by_default);
}

/* A name that is there is never the default, even if it is empty. */
static struct bytes named(struct bytes name)
{
	return name.data ? name : BYTES("");
}

static bool look_up(struct kafka_quotas *quotas, enum quota_key key, struct bytes user, struct bytes client_id, struct use *ret)
{
	static const struct bytes by_default;
	bool pair = false, whole_user = true;
	if (!kafka__quotas_any(quotas, key))
		return false;
	user = named(user);
	client_id = named(client_id);
	struct quota_list *l = kafka__quotas_now(quotas);
	double v = of_user(l, key, user, client_id, &pair);
	if (v == 0)
		v = of_user(l, key, by_default, client_id, &pair);
	if (v == 0) {
		whole_user = false;
		v = value_of(l, key, false, by_default, true, client_id);
	}
	if (v == 0)
		v = value_of(l, key, false, by_default, true, by_default);
	kafka__quotas_unref(l);
	*ret = (struct use){v, pair || whole_user ? user : BYTES(""), pair || !whole_user ? client_id : BYTES("")};
	return v != 0;
}

double kafka__quota_bound(struct kafka_quotas *quotas, enum quota_key key, struct bytes user, struct bytes client_id)
{
	struct use use;
	return look_up(quotas, key, user, client_id, &use) ? use.bound : 0;
}

uint32_t kafka__quota_count(struct kafka_quotas *quotas, enum quota_key key, struct bytes user, struct bytes client_id, double amount,
			    uint64_t now_ms)
{
	struct use use;
	if (!look_up(quotas, key, user, client_id, &use))
		return 0;
	struct quota_meters *all = kafka__quotas_meters(quotas);
	pthread_mutex_lock(&all->lock);
	struct meter *m = meter_of(all, key, use.user, use.client_id, now_ms);
	add(m, amount, now_ms);
	uint32_t ms = amount < 0 ? 0 : too_much_by(m, use.bound, now_ms);
	pthread_mutex_unlock(&all->lock);
	return key == QUOTA_REQUEST && ms > WINDOW_MS ? WINDOW_MS : ms;
}

/* ---- tokens ---- */

static void fill(struct meter *m, double bound, uint64_t now)
{
	double most = KAFKA_QUOTA_SAMPLES * bound;
	double more = m->filled_ms ? (double)(now - m->filled_ms) / 1000 * bound : most - m->tokens;
	m->tokens = fmin(most, m->tokens + more);
	m->filled_ms = now;
}

bool kafka__quota_take(struct kafka_quotas *quotas, struct bytes user, struct bytes client_id, double tokens, bool strict, uint64_t now_ms,
		       uint32_t *ret_ms)
{
	struct use use;
	*ret_ms = 0;
	if (!look_up(quotas, QUOTA_MUTATION, user, client_id, &use))
		return true;
	struct quota_meters *all = kafka__quotas_meters(quotas);
	pthread_mutex_lock(&all->lock);
	struct meter *m = meter_of(all, QUOTA_MUTATION, use.user, use.client_id, now_ms);
	fill(m, use.bound, now_ms);
	bool may = !strict || tokens < 0 || m->tokens >= 0;
	if (may)
		m->tokens = fmin(m->tokens - tokens, KAFKA_QUOTA_SAMPLES * use.bound);
	if (m->tokens < 0 && (!may || !strict))
		*ret_ms = whole_ms(-m->tokens / use.bound * 1000);
	pthread_mutex_unlock(&all->lock);
	return may;
}

/* ---- connections ---- */

static double connections_of(const struct quota_list *l, const char *address)
{
	static const struct quota_entity by_default = {.has = {[QUOTA_IP] = true}};
	for (uint32_t i = 0; i < l->count; i++) {
		const struct quota *q = &l->items[i];
		if (q->entity.has[QUOTA_IP] && q->values[QUOTA_CONNECTION] != 0 && *q->address && strcmp(q->address, address) == 0)
			return q->values[QUOTA_CONNECTION];
	}
	const struct quota *q = kafka__quotas_find(l, &by_default);
	return q ? q->values[QUOTA_CONNECTION] : 0;
}

uint32_t kafka__quota_connect(struct kafka_quotas *quotas, const char *address, uint64_t now_ms)
{
	if (!kafka__quotas_any(quotas, QUOTA_CONNECTION))
		return 0;
	struct quota_list *l = kafka__quotas_now(quotas);
	double bound = connections_of(l, address);
	kafka__quotas_unref(l);
	if (bound == 0)
		return 0;
	struct quota_meters *all = kafka__quotas_meters(quotas);
	pthread_mutex_lock(&all->lock);
	struct meter *m = meter_of(all, QUOTA_CONNECTION, bytes_str(address), BYTES(""), now_ms);
	add(m, 1, now_ms);
	uint32_t ms = too_much_by(m, bound, now_ms);
	if (ms)
		add(m, -1, now_ms);
	pthread_mutex_unlock(&all->lock);
	return ms > WINDOW_MS ? WINDOW_MS : ms;
}
