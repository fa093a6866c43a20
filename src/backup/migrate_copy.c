/* One partition. Two appends are in hand at most: one is under way while the next is filled. */
#include "backup/migrate_internal.h"
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

struct sending {
	sem_t done;
	bool under_way;
	struct buf batches;
	struct log_append_result result;
	int64_t base;               /* that it is expected to get */
	struct migrate_point after; /* when it is acknowledged */
};
struct copy {
	struct migrate *m;
	const struct migrate_topic *t;
	int32_t partition;
	struct migrate_notes *notes;
	struct migrate_point at; /* all that was read, acknowledged or not */
	int64_t source_end;      /* of this run */
	struct migrate_point acknowledged;
	bool unnoted; /* it is further than the notes */
	uint64_t noted_ns;
	struct sending sending[2];
	unsigned filling; /* the one that is not under way */
	struct batch_builder builder;
	bool building;
	uint64_t batch; /* of the source that the builder's records are of */
	struct record_header *headers;
	uint32_t header_cap;
	uint64_t copied;
};

static enum sm_err no_memory(struct sm_error *reterr)
{
	return sm_fail(reterr, SM_NO_MEMORY, "no memory");
}

static enum sm_err save(struct copy *c, const struct migrate_point *tip, struct sm_error *reterr)
{
	c->notes->before = c->notes->tip;
	c->notes->tip = *tip;
	c->notes->found = true;
	c->unnoted = false;
	c->noted_ns = clock_monotonic_ns(c->m->clock);
	return migrate__notes_write(c->m, c->t->name, c->partition, c->notes, reterr);
}

/* Each note is a file of its own and synced: what is not noted costs a comparison at the next start, of MIGRATE_NOTE_MS of copying. */
static enum sm_err save_when_due(struct copy *c, const struct migrate_point *tip, struct sm_error *reterr)
{
	c->acknowledged = *tip;
	c->unnoted = true;
	bool due = clock_monotonic_ns(c->m->clock) - c->noted_ns >= MIGRATE_NOTE_MS * UINT64_C(1000000);
	return due ? save(c, tip, reterr) : SM_OK;
}

static void advance(struct copy *c, const struct record *record, int64_t target)
{
	migrate__place_add(c->notes, record->offset, target);
	migrate__sum_add(c->m->sum, record, c->at.sum);
	c->at.source = record->offset + 1;
	c->at.target = target + 1;
	c->at.records++;
}

static void tell_progress(const struct copy *c)
{
	int64_t from = c->notes->begin.source;
	if (c->m->o->progress && c->source_end > from)
		c->m->o->progress(c->m->o->arg, c->t->name, c->partition, false, (uint64_t)(c->at.source - from),
				  (uint64_t)(c->source_end - from));
}

/* ---- where the copy stands ---- */

static enum sm_err other_records(const struct copy *c, int64_t target, int64_t source, const char *what, struct sm_error *reterr)
{
	const struct migrate_log_options *o = c->m->o;
	return sm_fail(
		reterr, SM_CONFLICT,
		"topic %s, partition %d: the record at offset %lld of %s is not %s offset %lld of %s, so it is no copy%s. If it is not "
		"needed there, delete the topic and run this again; else leave it out with --topics",
		c->t->name, (int)c->partition, (long long)target, o->target_name, what, (long long)source, o->source_name,
		c->t->compacted ? " (or compaction has taken records meanwhile)" : "");
}

/* The records that the target has from c->at on must be the next ones of the source. */
static enum sm_err match(struct copy *c, int64_t target_end, struct sm_error *reterr)
{
	struct migrate_cursor from, to;
	struct record source, target;
	enum sm_err err;
	migrate__cursor_init(&from, c->m, false, c->t->name, c->partition, c->at.source, c->source_end);
	migrate__cursor_init(&to, c->m, true, c->t->name, c->partition, c->at.target, target_end);
	while (!(err = migrate__next(&to, &target, reterr))) {
		int64_t source_at = from.offset;
		err = migrate__next(&from, &source, reterr);
		if (err == SM_END)
			err = other_records(c, target.offset, source_at, "of the source, which ends at", reterr);
		else if (!err && !migrate__same_record(&source, &target))
			err = other_records(c, target.offset, source.offset, "that of", reterr);
		if (err)
			break;
		advance(c, &source, target.offset);
		tell_progress(c);
	}
	migrate__cursor_done(&from);
	migrate__cursor_done(&to);
	if (err == SM_END) {
		c->at.target = target_end;
		err = SM_OK;
	}
	return err;
}

static bool made_anew(const struct uuid *noted, const struct uuid *now)
{
	static const struct uuid none;
	return memcmp(noted, &none, 16) != 0 && memcmp(now, &none, 16) != 0 && memcmp(noted, now, 16) != 0;
}

/* Why the notes are not of these topics, or NULL. Not every engine tells that a topic was made anew; what is there then is compared. */
static const char *notes_are_wrong(const struct copy *c, int64_t target_end)
{
	const struct migrate_notes *n = c->notes;
	if (made_anew(&n->source_id, &c->t->source_id) || made_anew(&n->target_id, &c->t->target_id))
		return "the topic was made anew since the last run";
	if (target_end < n->tip.target)
		return "the target has fewer records than it had";
	if (c->source_end < n->tip.source)
		return "the source has fewer records than it had";
	return NULL;
}

/* The place from which on the target is compared. */
static void start_point(struct copy *c, int64_t source_start, int64_t target_start, int64_t target_end)
{
	struct migrate_notes *n = c->notes;
	const char *wrong = n->found ? notes_are_wrong(c, target_end) : NULL;
	if (wrong)
		migrate__say(c->m, MIGRATE_WARNING, "topic %s, partition %d: %s: all that is there is compared", c->t->name,
			     (int)c->partition, wrong);
	n->source_id = c->t->source_id;
	n->target_id = c->t->target_id;
	if (!n->found || wrong) {
		n->found = false;
		n->begin = n->before = n->tip = n->proven = (struct migrate_point){.source = source_start, .target = target_start};
		n->place_count = 0;
		n->forgotten = false;
		c->at = n->tip;
		return;
	}
	bool all_there = source_start <= n->before.source && target_start <= n->before.target && !c->t->compacted;
	c->at = all_there ? n->before : n->tip;
	migrate__places_cut(n, c->at.source);
}

static enum sm_err find_place(struct copy *c, struct sm_error *reterr)
{
	int64_t source_start, target_start, target_end, seen;
	const char *topic = c->t->name;
	enum sm_err err = migrate__offset(c->m, false, topic, c->partition, LOG_EARLIEST, &source_start, reterr);
	if (!err)
		err = migrate__offset(c->m, false, topic, c->partition, LOG_LATEST, &c->source_end, reterr);
	if (!err)
		err = migrate__offset(c->m, true, topic, c->partition, LOG_EARLIEST, &target_start, reterr);
	if (!err)
		err = migrate__offset(c->m, true, topic, c->partition, LOG_LATEST, &target_end, reterr);
	if (!err)
		start_point(c, source_start, target_start, target_end);
	/* An append of a process that has died may still arrive: until it is quiet. */
	for (seen = -1; !err && seen != target_end;) {
		seen = target_end;
		if (!(err = match(c, target_end, reterr)))
			err = migrate__offset(c->m, true, topic, c->partition, LOG_LATEST, &target_end, reterr);
	}
	if (!err && source_start > c->at.source) {
		migrate__say(c->m, MIGRATE_WARNING,
			     "topic %s, partition %d: the source has deleted its records before offset %lld; those from %lld on were not "
			     "copied before",
			     topic, (int)c->partition, (long long)source_start, (long long)c->at.source);
		c->at.source = source_start;
	}
	if (!err && c->at.source > c->notes->tip.source)
		err = save(c, &c->at, reterr);
	return err;
}

/* ---- appending ---- */

static void append_is_done(void *arg, const struct log_append_result *result)
{
	struct sending *s = arg;
	s->result = *result;
	sem_post(&s->done);
}

static void append(struct copy *c, struct sending *s)
{
	struct sm_log *log = c->m->o->target;
	struct bytes batches = buf_bytes(&s->batches);
	log->ops->append(log, c->t->name, c->partition, (uint8_t *)(uintptr_t)batches.data, batches.size, 0, append_is_done, s);
}

static void wait_for(struct sending *s)
{
	while (sem_wait(&s->done) && errno == EINTR)
		;
}

static enum sm_err not_appended(const struct copy *c, const struct sending *s, struct sm_error *reterr)
{
	enum sm_err err = s->result.err;
	return sm_fail(reterr, err, "%s: cannot append to %s, partition %d, at offset %lld: %s%s", c->m->o->target_name, c->t->name,
		       (int)c->partition, (long long)s->base, sm_err_text(err),
		       err == SM_TOO_LARGE ? ". A record is larger than the target takes" : ". Run this again, it goes on where it is");
}

/* Wait for the append, and note it if it is time. */
static enum sm_err acknowledge(struct copy *c, struct sending *s, struct sm_error *reterr)
{
	if (!s->under_way)
		return SM_OK;
	wait_for(s);
	for (int i = 0; s->result.err == SM_FULL && i < MIGRATE_RETRIES; i++) {
		nanosleep(&(struct timespec){.tv_nsec = MIGRATE_RETRY_MS * 1000000L}, NULL);
		append(c, s);
		wait_for(s);
	}
	s->under_way = false;
	buf_clear(&s->batches);
	if (s->result.err)
		return not_appended(c, s, reterr);
	if (s->result.base_offset != s->base)
		return sm_fail(reterr, SM_CONFLICT,
			       "%s: the records of %s, partition %d should have come to offset %lld but came to %lld: somebody else writes "
			       "there. Stop that, delete the topic there and run this again",
			       c->m->o->target_name, c->t->name, (int)c->partition, (long long)s->base, (long long)s->result.base_offset);
	c->copied += (uint64_t)(s->after.target - s->base);
	return save_when_due(c, &s->after, reterr);
}

static enum sm_err batch_close(struct copy *c, struct sm_error *reterr)
{
	if (!c->building)
		return SM_OK;
	c->building = false;
	enum sm_err err = batch_end(&c->builder);
	return err ? sm_fail(reterr, err, "cannot build a batch: %s", sm_err_text(err)) : SM_OK;
}

/* What is filled goes out when what is under way is there: appends of one partition stay in order. */
static enum sm_err send(struct copy *c, struct sm_error *reterr)
{
	struct sending *s = &c->sending[c->filling];
	enum sm_err err = batch_close(c, reterr);
	if (!err)
		err = acknowledge(c, &c->sending[!c->filling], reterr);
	if (err || !buf_size(&s->batches))
		return err;
	s->after = c->at;
	s->under_way = true;
	append(c, s);
	c->filling = !c->filling;
	tell_progress(c);
	return SM_OK;
}

static enum sm_err take_headers(struct copy *c, const struct record *record, struct sm_error *reterr)
{
	struct bytes raw = record->headers_raw;
	if (record->header_count > c->header_cap) {
		struct record_header *grown = realloc(c->headers, record->header_count * sizeof *grown);
		if (!grown)
			return no_memory(reterr);
		c->headers = grown;
		c->header_cap = record->header_count;
	}
	for (uint32_t i = 0; i < record->header_count; i++) {
		enum sm_err err = record_header_next(&raw, &c->headers[i]);
		if (err)
			return sm_fail(reterr, err, "the headers of a record: %s", sm_err_text(err));
	}
	return SM_OK;
}

static size_t size_of(const struct record *record)
{
	return record->key.size + record->value.size + record->headers_raw.size + 64;
}

/* Batches are cut where the source's are, so that each keeps its codec. */
static enum sm_err add(struct copy *c, const struct migrate_cursor *from, const struct record *record, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	if (c->building && (from->batches != c->batch || batch_size(&c->builder) + size_of(record) > MIGRATE_BATCH_BYTES))
		err = batch_close(c, reterr);
	struct sending *s = &c->sending[c->filling];
	if (!err && !c->building && buf_size(&s->batches) &&
	    buf_size(&s->batches) + (from->batches != c->batch ? from->reader.info.size : MIGRATE_BATCH_BYTES) > MIGRATE_APPEND_BYTES)
		err = send(c, reterr);
	if (!err)
		err = take_headers(c, record, reterr);
	if (err)
		return err;
	s = &c->sending[c->filling];
	if (!c->building) {
		if (!buf_size(&s->batches))
			s->base = c->at.target;
		batch_begin(&c->builder, &s->batches, BATCH_CODEC(from->reader.info.attributes));
		c->building = true;
		c->batch = from->batches;
	}
	batch_add(&c->builder, record, c->headers, record->header_count);
	advance(c, record, c->at.target);
	return SM_OK;
}

static enum sm_err copy_rest(struct copy *c, struct sm_error *reterr)
{
	struct migrate_cursor from;
	struct record record;
	enum sm_err err;
	migrate__cursor_init(&from, c->m, false, c->t->name, c->partition, c->at.source, c->source_end);
	while (!(err = migrate__next(&from, &record, reterr)) && !(err = add(c, &from, &record, reterr)))
		;
	migrate__cursor_done(&from);
	if (err != SM_END)
		return err;
	if (!(err = send(c, reterr)))
		err = acknowledge(c, &c->sending[!c->filling], reterr);
	/* Behind the last record there may be offsets without one. */
	if (!err && (c->at.source < c->source_end || !c->notes->found || c->unnoted)) {
		c->at.source = c->at.source < c->source_end ? c->source_end : c->at.source;
		err = save(c, &c->at, reterr);
	}
	return err;
}

static void tell_open(const struct copy *c)
{
	int64_t high;
	if (migrate__offset(c->m, false, c->t->name, c->partition, LOG_HIGH_WATERMARK, &high, NULL) || high <= c->source_end)
		return;
	migrate__say(c->m, MIGRATE_WARNING,
		     "topic %s, partition %d: %lld offsets at the end of the source are not copied: they are of a transaction that is "
		     "open, behind one, "
		     "or came meanwhile. Stop the producers and run this again",
		     c->t->name, (int)c->partition, (long long)(high - c->source_end));
}

enum sm_err migrate__copy(struct migrate *m, const struct migrate_topic *t, int32_t partition, struct migrate_notes *notes,
			  uint64_t *ret_copied, struct sm_error *reterr)
{
	struct copy *c = calloc(1, sizeof *c);
	if (!c)
		return no_memory(reterr);
	*c = (struct copy){.m = m, .t = t, .partition = partition, .notes = notes, .noted_ns = clock_monotonic_ns(m->clock)};
	for (int i = 0; i < 2; i++) {
		sem_init(&c->sending[i].done, 0, 0);
		buf_init(&c->sending[i].batches);
	}
	enum sm_err err = find_place(c, reterr);
	if (!err)
		err = copy_rest(c, reterr);
	if (err && c->unnoted)
		(void)!save(c, &c->acknowledged, NULL);
	if (!err) {
		tell_progress(c);
		tell_open(c);
		*ret_copied = c->copied;
	}
	for (int i = 0; i < 2; i++) {
		if (c->sending[i].under_way)
			wait_for(&c->sending[i]);
		sem_destroy(&c->sending[i].done);
		buf_done(&c->sending[i].batches);
	}
	free(c->headers);
	free(c);
	return err;
}
