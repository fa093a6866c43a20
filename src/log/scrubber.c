/* The scrubber reads sealed segments that nobody has asked for, so that damage is known while there is still a backup to restore from. One
 * pass over all of them takes LOG_SCRUB_BYTES a minute; the next begins log.scrub after it. It tells of damage and changes nothing: whoever
 * reads there is refused as before. */
#include "base/metrics.h"
#include "log/log_internal.h"
#include <stdio.h>
#include <stdlib.h>

struct scrubber {
	struct sm_work work;
	struct engine *engine;
	struct partition **partitions; /* counted; of the pass under way, NULL: none is */
	uint32_t count, at;            /* the one whose turn it is */
	int64_t segment;               /* the first base offset that is not looked at yet */
	uint64_t position;             /* in that segment; 0: from its start */
	int64_t expected;              /* offset there */
	uint64_t next_pass_ns;
};

enum sm_err log__scrubber_new(struct engine *engine)
{
	struct scrubber *s = calloc(1, sizeof *s);
	if (!s)
		return SM_NO_MEMORY;
	s->engine = engine;
	s->next_pass_ns = clock_monotonic_ns(engine->clock) + (uint64_t)LOG_SCRUB_FIRST_MS * 1000000;
	engine->scrubber = s;
	return SM_OK;
}

static void pass_end(struct scrubber *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		log__partition_unref(s->partitions[i]);
	free(s->partitions);
	s->partitions = NULL;
	s->count = s->at = 0;
	s->next_pass_ns = clock_monotonic_ns(s->engine->clock) + s->engine->scrub_interval_ms * 1000000;
}

void log__scrubber_free(struct engine *engine)
{
	if (!engine->scrubber)
		return;
	pass_end(engine->scrubber);
	free(engine->scrubber);
	engine->scrubber = NULL;
}

static bool pass_begin(struct scrubber *s)
{
	s->segment = 0;
	s->position = 0;
	return (s->partitions = log__topics_partitions(s->engine, NULL, &s->count)) != NULL;
}

/* The first sealed segment of the partition from `from` on, counted; NULL: none is left. */
static struct segment *sealed_from(struct partition *p, int64_t from)
{
	struct segment *found = NULL;
	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; !p->gone && i + 1 < p->segment_count && !found; i++)
		if (p->segments[i]->base_offset >= from)
			found = log__segment_ref(p->segments[i]);
	pthread_mutex_unlock(&p->lock);
	return found;
}

static void tell(struct scrubber *s, const struct segment *segment, uint64_t position, int64_t from, int64_t to)
{
	char text[500];
	metric_add(METRIC_LOG_DAMAGED, 1);
	if (to < 0)
		snprintf(text, sizeof text,
			 "%s is damaged from position %llu (offset %lld) on: restore it from a backup while the server is stopped",
			 segment->path, (unsigned long long)position, (long long)from);
	else
		snprintf(text, sizeof text,
			 "%s is damaged at position %llu: offsets %lld to %lld cannot be read; restore it from a backup while the server "
			 "is stopped",
			 segment->path, (unsigned long long)position, (long long)from, (long long)to - 1);
	log__notice(s->engine, text);
}

/* Look at so many bytes of one segment. true: it is through. */
static bool segment_look(struct scrubber *s, struct segment *segment, uint64_t *budget)
{
	struct scanner scan = {.io = segment->io, .file = &segment->file};
	bool through = true;
	if (log__segment_load(segment, NULL)) /* it has just been dropped */
		return true;
	pthread_mutex_lock(&segment->lock);
	scan.size = segment->end;
	int64_t below = segment->next_offset >= 0 ? segment->next_offset : INT64_MAX;
	pthread_mutex_unlock(&segment->lock);
	scan.position = s->position ? s->position : SEGMENT_HEADER;
	int64_t expected = s->position ? s->expected : segment->base_offset;
	while (scan.position < scan.size) {
		struct batch_info info;
		uint64_t at = scan.position;
		enum sm_err err = log__scan_batch(&scan, expected, &info, NULL);
		if (err == SM_END) {
			err = log__scan_next(&scan, expected, below, &info, NULL);
			if (!err || err == SM_END)
				tell(s, segment, at, expected, err ? -1 : info.base_offset);
		}
		if (err)
			break;
		expected = info.base_offset + info.last_offset_delta + 1;
		scan.position += info.size;
		*budget -= scan.position - at < *budget ? scan.position - at : *budget;
		if (!*budget && scan.position < scan.size) {
			s->position = scan.position;
			s->expected = expected;
			through = false;
			break;
		}
	}
	log__scan_done(&scan);
	return through;
}

void log__scrub_some(struct engine *engine, uint64_t budget)
{
	struct scrubber *s = engine->scrubber;
	if (!s->partitions && !pass_begin(s))
		return;
	while (budget && s->at < s->count && !atomic_load(&engine->closing)) {
		struct segment *segment = sealed_from(s->partitions[s->at], s->segment);
		if (!segment) {
			s->at++;
			s->segment = 0;
			s->position = 0;
			continue;
		}
		if (segment->base_offset != s->segment) /* another one than was begun */
			s->position = 0;
		s->segment = segment->base_offset;
		if (segment_look(s, segment, &budget)) {
			s->segment++;
			s->position = 0;
		}
		log__segment_release(segment);
	}
	if (s->at == s->count)
		pass_end(s);
}

static void run(struct sm_work *work)
{
	struct scrubber *s = (struct scrubber *)work;
	struct engine *e = s->engine;
	log__scrub_some(e, LOG_SCRUB_BYTES);
	atomic_store(&e->scrubbing, false);
	atomic_fetch_sub(&e->live, 1);
}

void log__scrubber_tick(struct engine *engine)
{
	struct scrubber *s = engine->scrubber;
	bool idle = false;
	if (!engine->scrub_interval_ms || !atomic_compare_exchange_strong(&engine->scrubbing, &idle, true))
		return;
	bool due = s->partitions || clock_monotonic_ns(engine->clock) >= s->next_pass_ns;
	atomic_fetch_add(&engine->live, 1);
	s->work = (struct sm_work){.run = run};
	if (due && !atomic_load(&engine->closing) && sm_pool_run(engine->system, &s->work) == SM_OK)
		return;
	atomic_store(&engine->scrubbing, false);
	atomic_fetch_sub(&engine->live, 1);
}
