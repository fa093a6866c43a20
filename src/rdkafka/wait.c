/* Waits for records: a cursor at the offset fetches; librdkafka says when its queue has something, and the wait thread looks. */
#include "rdkafka/rdkafka_internal.h"

#define TURN_MS 1000

void rdkafka__poke(struct rdkafka_log *k)
{
	pthread_mutex_lock(&k->wait_lock);
	k->poked = true;
	pthread_cond_signal(&k->changed);
	pthread_mutex_unlock(&k->wait_lock);
}

/* ---- the ring ---- */

static void ring_put(struct rdkafka_log *k, struct log_wait *w)
{
	struct log_wait *first = k->waits;
	w->engine = k;
	if (!first) {
		k->waits = w->next = w->prev = w;
		return;
	}
	w->next = first;
	w->prev = first->prev;
	w->prev->next = w->next->prev = w;
}

static void ring_take(struct rdkafka_log *k, struct log_wait *w)
{
	w->next->prev = w->prev;
	w->prev->next = w->next;
	if (k->waits == w)
		k->waits = w->next == w ? NULL : w->next;
	w->engine = NULL;
}

void rdkafka__wait(struct sm_log *log, struct log_wait *wait)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	wait->engine = NULL;
	enum sm_err err = wait->offset < 0 ? SM_OUT_OF_RANGE : rdkafka__partition_known(k, wait->topic, wait->partition, true);
	pthread_mutex_lock(&k->wait_lock);
	if (!err && atomic_load(&k->closing))
		err = SM_CLOSED;
	if (!err) {
		ring_put(k, wait);
		k->poked = true;
		pthread_cond_signal(&k->changed);
	}
	pthread_mutex_unlock(&k->wait_lock);
	if (err)
		wait->done(wait, err);
}

void rdkafka__wait_cancel(struct sm_log *log, struct log_wait *wait)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	pthread_mutex_lock(&k->wait_lock);
	bool listed = wait->engine == k;
	if (listed)
		ring_take(k, wait);
	else if (k->looked_at == wait)
		k->cancelled = true;
	pthread_mutex_unlock(&k->wait_lock);
	if (listed)
		wait->done(wait, SM_CANCELLED);
}

/* ---- the thread ---- */

/* SM_AGAIN: not yet. */
static enum sm_err look(struct rdkafka_log *k, const struct log_wait *w)
{
	int isolation = w->uncommitted ? RDKAFKA_UNCOMMITTED : RDKAFKA_COMMITTED;
	struct rdkafka_part *part = rdkafka__part(k, w->topic, w->partition);
	struct rdkafka_cursor *c;
	bool beyond = false;
	if (!part)
		return SM_NO_MEMORY;
	if (atomic_load(&part->told[isolation]) > w->offset)
		return SM_OK;
	enum sm_err err = rdkafka__cursor_take(part, isolation, w->offset, false, &c);
	if (err)
		return err == SM_BUSY ? SM_AGAIN : err;
	err = rdkafka__cursor_beyond(c, w->offset, &beyond);
	rdkafka__cursor_release(c);
	if (err == SM_OUT_OF_RANGE) { /* librdkafka can be before the end only, and behind the start */
		int64_t end = 0;
		err = rdkafka__ask_offset(k, isolation, w->topic, w->partition, RD_KAFKA_OFFSET_END, &end);
		beyond = end > w->offset;
	}
	return err ? err : beyond ? SM_OK : SM_AGAIN;
}

/* With the lock, which is given back meanwhile. */
static void look_at(struct rdkafka_log *k, struct log_wait *w)
{
	ring_take(k, w);
	k->looked_at = w;
	k->cancelled = false;
	pthread_mutex_unlock(&k->wait_lock);
	enum sm_err err = look(k, w);
	pthread_mutex_lock(&k->wait_lock);
	k->looked_at = NULL;
	if (k->cancelled)
		err = SM_CANCELLED;
	if (err == SM_AGAIN) {
		ring_put(k, w);
		return;
	}
	pthread_mutex_unlock(&k->wait_lock);
	w->done(w, err);
	pthread_mutex_lock(&k->wait_lock);
}

static void look_at_all(struct rdkafka_log *k)
{
	uint32_t count = 0;
	if (k->waits) {
		struct log_wait *w = k->waits;
		do
			count++;
		while ((w = w->next) != k->waits);
	}
	/* Those that are put back come behind the others. */
	while (count-- && k->waits)
		look_at(k, k->waits);
}

static void rest(struct rdkafka_log *k)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TURN_MS / 1000;
	if (!k->poked && !atomic_load(&k->closing))
		pthread_cond_timedwait(&k->changed, &k->wait_lock, &until);
	k->poked = false;
}

void *rdkafka__wait_thread(void *arg)
{
	struct rdkafka_log *k = arg;
	uint64_t reaped_ns = clock_monotonic_ns(&clock_system);
	pthread_mutex_lock(&k->wait_lock);
	while (!atomic_load(&k->closing)) {
		rest(k);
		look_at_all(k);
		uint64_t now = clock_monotonic_ns(&clock_system);
		if (now - reaped_ns < RDKAFKA_CURSOR_IDLE_MS * 250000ull)
			continue;
		reaped_ns = now;
		pthread_mutex_unlock(&k->wait_lock);
		rdkafka__cursors_reap(k, now - RDKAFKA_CURSOR_IDLE_MS * 1000000ull);
		pthread_mutex_lock(&k->wait_lock);
	}
	while (k->waits) {
		struct log_wait *w = k->waits;
		ring_take(k, w);
		pthread_mutex_unlock(&k->wait_lock);
		w->done(w, SM_CLOSED);
		pthread_mutex_lock(&k->wait_lock);
	}
	pthread_mutex_unlock(&k->wait_lock);
	return NULL;
}
