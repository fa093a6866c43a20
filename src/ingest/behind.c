/* Does the log keep up? For /readyz, so that whoever spreads requests over several servers sends them elsewhere for a while.
 *
 * It is behind while it refuses batches, and for a moment after the last refusal: nobody sends it anything then, so there is no success
 * that could tell that it is over. And it is behind when batches wait for it and it has answered none of them for long. */
#include "base/memory.h"
#include "ingest/ingest_internal.h"
#include <inttypes.h>
#include <stdio.h>

static uint64_t now_ms(const struct ingest *ingest)
{
	return clock_monotonic_ns(ingest->options.clock ? ingest->options.clock : &clock_system) / 1000000;
}

void ingest__sent(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	if (ingest->under_way++ == 0)
		ingest->moved_ms = now_ms(ingest);
	pthread_mutex_unlock(&ingest->lock);
}

bool ingest__is_full(struct ingest *ingest)
{
	return atomic_load_explicit(&ingest->held, memory_order_relaxed) > INGEST_TIGHT_BYTES && memory_tight();
}

static bool is_refusal(enum sm_err err)
{
	int status = ingest__status_of(err);
	return status == 429 || status == 503 || status == 507;
}

void ingest__answered(struct ingest *ingest, enum sm_err err)
{
	pthread_mutex_lock(&ingest->lock);
	ingest->moved_ms = now_ms(ingest);
	if (err && is_refusal(err)) {
		ingest->refusal = err;
		ingest->refused_ms = ingest->moved_ms;
	}
	if (--ingest->under_way == 0)
		pthread_cond_broadcast(&ingest->changed);
	pthread_mutex_unlock(&ingest->lock);
}

bool ingest_is_behind(struct ingest *ingest, char *text, size_t size)
{
	pthread_mutex_lock(&ingest->lock);
	uint64_t now = now_ms(ingest);
	uint64_t silent_ms = ingest->under_way ? now - ingest->moved_ms : 0;
	bool refuses = ingest->refusal && now - ingest->refused_ms < INGEST_BEHIND_MS;
	if (refuses)
		snprintf(text, size, "the log refuses events: %s",
			 ingest__status_of(ingest->refusal) == 429 ? "it is behind" : sm_err_text(ingest->refusal));
	else if (silent_ms >= INGEST_BEHIND_MS)
		snprintf(text, size, "the log has answered none of %" PRIu32 " batches for %" PRIu64 " ms", ingest->under_way, silent_ms);
	pthread_mutex_unlock(&ingest->lock);
	return refuses || silent_ms >= INGEST_BEHIND_MS;
}
