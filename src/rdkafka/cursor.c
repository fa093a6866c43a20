/* Cursors: where readers of a partition are, so that the next read finds what librdkafka has fetched ahead.
 *
 * A handle of librdkafka consumes a partition at one place. Readers at different places of the same partition have cursors in different
 * handles (lanes), at most RDKAFKA_LANES_MAX; beyond that the cursor that was used longest ago starts anew elsewhere. A cursor remembers
 * the run of records that it has just given out: a reader that took a part of it comes back for the rest. */
#include "rdkafka/rdkafka_internal.h"
#include <stdlib.h>

void rdkafka__run_unref(struct rdkafka_run *run)
{
	if (!run || atomic_fetch_sub(&run->refs, 1) != 1)
		return;
	free(run->data);
	free(run);
}

/* ---- partitions ---- */

static struct rdkafka_part *part_new(struct rdkafka_log *k, const char *topic, int32_t partition)
{
	struct rdkafka_part *part = calloc(1, sizeof *part);
	if (!part || !(part->topic = strdup(topic))) {
		free(part);
		return NULL;
	}
	part->engine = k;
	part->partition = partition;
	pthread_mutex_init(&part->lock, NULL);
	pthread_cond_init(&part->released, NULL);
	return part;
}

static void part_free(struct rdkafka_part *part)
{
	pthread_cond_destroy(&part->released);
	pthread_mutex_destroy(&part->lock);
	free(part->topic);
	free(part);
}

struct rdkafka_part *rdkafka__part(struct rdkafka_log *k, const char *topic, int32_t partition)
{
	uint8_t key[300];
	size_t size = strlen(topic);
	if (size + 5 > sizeof key)
		return NULL;
	memcpy(key, topic, size + 1);
	be32_put(key + size + 1, (uint32_t)partition);
	pthread_mutex_lock(&k->lock);
	struct rdkafka_part *part = map_get(&k->parts, bytes_of(key, size + 5));
	if (!part && (part = part_new(k, topic, partition)) && map_put(&k->parts, bytes_of(key, size + 5), part, NULL)) {
		part_free(part);
		part = NULL;
	}
	pthread_mutex_unlock(&k->lock);
	return part;
}

/* ---- cursors ---- */

/* Thread: librdkafka's. */
static void something_came(rd_kafka_t *rk, void *opaque)
{
	rdkafka__poke(opaque);
}

static void forget_held(struct rdkafka_cursor *c)
{
	while (c->held_at < c->held_count)
		rd_kafka_message_destroy(c->held[c->held_at++]);
	c->held_at = c->held_count = 0;
}

static void cursor_stop(struct rdkafka_cursor *c)
{
	forget_held(c);
	rdkafka__run_unref(c->last);
	c->last = NULL;
	if (!c->topic)
		return;
	rd_kafka_queue_cb_event_enable(c->queue, NULL, NULL);
	rd_kafka_consume_stop(c->topic, c->part->partition);
	rd_kafka_queue_destroy(c->queue);
	rd_kafka_topic_destroy(c->topic);
	c->topic = NULL;
	c->queue = NULL;
}

static enum sm_err cursor_start(struct rdkafka_cursor *c, int isolation, int64_t offset)
{
	struct rdkafka_part *part = c->part;
	rd_kafka_t *rk = rdkafka__lane(part->engine, isolation, c->lane, NULL);
	c->next = offset;
	c->end = -1;
	c->fresh = true;
	c->broken = SM_OK;
	if (!rk || !(c->topic = rd_kafka_topic_new(rk, part->topic, NULL)))
		return SM_NO_MEMORY;
	c->queue = rd_kafka_queue_new(rk);
	if (rd_kafka_consume_start_queue(c->topic, part->partition, offset, c->queue)) {
		enum sm_err err = rdkafka__err(rd_kafka_last_error());
		rd_kafka_queue_destroy(c->queue);
		rd_kafka_topic_destroy(c->topic);
		c->queue = NULL;
		c->topic = NULL;
		return err ? err : SM_FAILED;
	}
	rd_kafka_queue_cb_event_enable(c->queue, something_came, part->engine);
	return SM_OK;
}

static bool covers(const struct rdkafka_cursor *c, int64_t offset)
{
	return !c->broken && c->topic && (c->next == offset || (c->last && offset >= c->last->base && offset < c->last->end));
}

/* With the part's lock: one that is there, or a place for one; NULL: all are busy. */
static struct rdkafka_cursor *choose(struct rdkafka_part *part, int isolation, int64_t offset, bool *ret_covers)
{
	struct rdkafka_cursor *oldest = NULL, *covering = NULL;
	uint32_t lanes = 0;
	bool awaited = false;
	for (struct rdkafka_cursor *c = part->cursors[isolation]; c; c = c->next_of_part) {
		lanes |= 1u << c->lane;
		if (c->busy)
			awaited |= c->taken_at == offset; /* then it will have what we want */
		else if (covers(c, offset))
			covering = c;
		else if (!oldest || c->broken || c->used_ns < oldest->used_ns)
			oldest = c;
	}
	*ret_covers = covering != NULL;
	if (covering || awaited)
		return covering;
	if (oldest && (oldest->broken || lanes == (1u << RDKAFKA_LANES_MAX) - 1))
		return oldest;
	if (lanes == (1u << RDKAFKA_LANES_MAX) - 1)
		return NULL;
	struct rdkafka_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return oldest;
	while (lanes & 1u << c->lane)
		c->lane++;
	c->part = part;
	c->end = -1;
	c->next_of_part = part->cursors[isolation];
	part->cursors[isolation] = c;
	return c;
}

enum sm_err rdkafka__cursor_take(struct rdkafka_part *part, int isolation, int64_t offset, bool wait, struct rdkafka_cursor **ret_cursor)
{
	struct rdkafka_cursor *c;
	bool there;
	pthread_mutex_lock(&part->lock);
	while (!(c = choose(part, isolation, offset, &there)) && wait)
		pthread_cond_wait(&part->released, &part->lock);
	if (c) {
		c->busy = true;
		c->taken_at = offset;
	}
	pthread_mutex_unlock(&part->lock);
	if (!c)
		return SM_BUSY;
	enum sm_err err = SM_OK;
	if (!there) {
		cursor_stop(c);
		if ((err = cursor_start(c, isolation, offset))) {
			c->broken = err;
			rdkafka__cursor_release(c);
			return err;
		}
	}
	*ret_cursor = c;
	return SM_OK;
}

void rdkafka__cursor_release(struct rdkafka_cursor *c)
{
	struct rdkafka_part *part = c->part;
	pthread_mutex_lock(&part->lock);
	c->busy = false;
	c->used_ns = clock_monotonic_ns(&clock_system);
	pthread_cond_broadcast(&part->released);
	pthread_mutex_unlock(&part->lock);
}

rd_kafka_message_t *rdkafka__cursor_peek(struct rdkafka_cursor *c, int timeout_ms)
{
	if (c->held_at < c->held_count)
		return c->held[c->held_at];
	c->held_at = c->held_count = 0;
	/* Many at a time if they are there; this call would wait its whole time for as many. */
	ssize_t n = rd_kafka_consume_batch_queue(c->queue, 0, c->held, RDKAFKA_HELD_MAX);
	if (n <= 0 && timeout_ms > 0)
		n = (c->held[0] = rd_kafka_consume_queue(c->queue, timeout_ms)) != NULL;
	c->held_count = n > 0 ? (uint32_t)n : 0;
	return c->held_count ? c->held[0] : NULL;
}

void rdkafka__cursor_drop(struct rdkafka_cursor *c)
{
	rd_kafka_message_destroy(c->held[c->held_at++]);
}

/* ---- the end of cursors ---- */

/* Take one that is idle out of the part; NULL: there is none. */
static struct rdkafka_cursor *take_idle(struct rdkafka_part *part, uint64_t unused_since_ns)
{
	struct rdkafka_cursor *found = NULL;
	pthread_mutex_lock(&part->lock);
	for (int i = 0; i < RDKAFKA_ISOLATIONS && !found; i++)
		for (struct rdkafka_cursor **at = &part->cursors[i]; *at; at = &(*at)->next_of_part) {
			if ((*at)->busy || (*at)->used_ns > unused_since_ns)
				continue;
			found = *at;
			*at = found->next_of_part;
			break;
		}
	pthread_mutex_unlock(&part->lock);
	return found;
}

/* The n-th partition, in no order; they are never taken out. */
static struct rdkafka_part *part_at(struct rdkafka_log *k, size_t *at)
{
	struct bytes key;
	void *part;
	pthread_mutex_lock(&k->lock);
	bool more = map_next(&k->parts, at, &key, &part);
	pthread_mutex_unlock(&k->lock);
	return more ? part : NULL;
}

void rdkafka__cursors_reap(struct rdkafka_log *k, uint64_t unused_since_ns)
{
	struct rdkafka_part *part;
	struct rdkafka_cursor *c;
	for (size_t at = 0; (part = part_at(k, &at));)
		while ((c = take_idle(part, unused_since_ns))) {
			cursor_stop(c);
			free(c);
		}
}

void rdkafka__parts_free(struct rdkafka_log *k)
{
	struct rdkafka_part *part;
	rdkafka__cursors_reap(k, UINT64_MAX);
	for (size_t at = 0; (part = part_at(k, &at));)
		part_free(part);
}
