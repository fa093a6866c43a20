/* A table, range by range: both sides are looked at until nothing is left to write.
 *
 * The table's notes, tables/KEYSPACE.TABLE: source table's id (16), target table's id (16); the last token of the ranges that are proven
 * (8); their number (8); rows (8) and checksum (32) of the source, and of the target; 1 while writes may be under way that would count
 * twice (1); when this was noted, in microseconds since 1970 (8). They are gone when a run has come to its end. */
#include "backup/migrate_store_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PARTS 1000 /* of the ring, for progress */

struct side_sum {
	uint64_t rows;
	uint8_t sum[MIGRATE_SUM_SIZE];
};
struct table_notes {
	bool found, writing;
	struct uuid source_id, target_id;
	int64_t token;
	uint64_t ranges;
	struct side_sum sides[2];
	int64_t noted_us;
};
struct range {
	int64_t from, to;
	bool open; /* to is found by the first look */
	struct side_sum sides[2];
	uint64_t written, differences;
	char first[400];
};
struct ranging {
	struct migrate_move *m;
	struct migrate_table *t;
	struct migrate_store_row *row;
	struct table_notes notes;
	uint64_t noted_ns;
	bool differs; /* notes stay before the first range that does */
};

/* ---- notes ---- */

static void name_of(const struct migrate_table *t, char name[300])
{
	snprintf(name, 300, "tables/%s", t->name);
}

static enum sm_err notes_read(struct ranging *r, struct sm_error *reterr)
{
	char name[300];
	uint8_t *data;
	struct bytes bytes;
	struct table_notes n = {0};
	name_of(r->t, name);
	enum sm_err err = migrate__state_read(&r->m->state, name, &data, &bytes, reterr);
	if (err || !data)
		return err;
	struct byte_reader in = byte_reader(bytes);
	const uint8_t *source = reader_take(&in, 16), *target = reader_take(&in, 16);
	n.token = (int64_t)reader_be64(&in);
	n.ranges = reader_be64(&in);
	for (int i = 0; i < 2; i++) {
		n.sides[i].rows = reader_be64(&in);
		const uint8_t *sum = reader_take(&in, MIGRATE_SUM_SIZE);
		if (sum)
			memcpy(n.sides[i].sum, sum, MIGRATE_SUM_SIZE);
	}
	n.writing = reader_u8(&in);
	n.noted_us = (int64_t)reader_be64(&in);
	if (in.failed || reader_left(&in))
		err = sm_fail(reterr, SM_CORRUPT, "%s/%s makes no sense: delete it, the table is then compared from its begin",
			      r->m->o->state_dir, name);
	/* a table that was made anew begins anew */
	n.found = !err && memcmp(source, r->t->source->id.bytes, 16) == 0 && memcmp(target, r->t->target->id.bytes, 16) == 0;
	if (n.found)
		r->notes = n;
	free(data);
	return err;
}

static enum sm_err notes_write(struct ranging *r, struct sm_error *reterr)
{
	char name[300];
	struct buf out;
	const struct table_notes *n = &r->notes;
	name_of(r->t, name);
	buf_init(&out);
	buf_append(&out, r->t->source->id.bytes, 16);
	buf_append(&out, r->t->target->id.bytes, 16);
	buf_be64(&out, (uint64_t)n->token);
	buf_be64(&out, n->ranges);
	for (int i = 0; i < 2; i++) {
		buf_be64(&out, n->sides[i].rows);
		buf_append(&out, n->sides[i].sum, MIGRATE_SUM_SIZE);
	}
	buf_u8(&out, n->writing);
	buf_be64(&out, clock_wall_us(r->m->clock));
	r->noted_ns = clock_monotonic_ns(r->m->clock);
	enum sm_err err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory")
				     : migrate__state_write(&r->m->state, name, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

enum sm_err migrate__table_forget(struct migrate_move *m, const struct migrate_table *t, struct sm_error *reterr)
{
	char name[300];
	name_of(t, name);
	return migrate__state_remove(&m->state, name, reterr);
}

static unsigned settle_ms(const struct migrate_move *m)
{
	return m->o->settle_ms ? m->o->settle_ms : MIGRATE_SETTLE_MS;
}

static void rest(unsigned ms)
{
	nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

/* ---- a look ---- */

struct look {
	struct ranging *r;
	struct range *range;
	struct migrate_walk walks[2];
	struct migrate_writer *writer; /* NULL: only compare */
};

static void difference(struct look *l, const struct migrate_walk *at, const char *what)
{
	char key[250];
	if (l->range->differences++)
		return;
	migrate__walk_key(at, key, sizeof key);
	snprintf(l->range->first, sizeof l->range->first, "%s: %s", key, what);
}

/* The item counts, and the walk goes on. */
static enum sm_err consume(struct look *l, int side, struct sm_error *reterr)
{
	struct migrate_walk *w = &l->walks[side];
	struct side_sum *s = &l->range->sides[side];
	s->rows += !w->statics || w->row->static_only;
	migrate__sum_bytes(l->r->m->sum, buf_bytes(&w->bytes), s->sum);
	return migrate__walk_next(w, reterr);
}

static enum sm_err judge(struct look *l, int order, struct sm_error *reterr)
{
	const struct migrate_walk *source = &l->walks[0], *target = &l->walks[1];
	const char *why = NULL;
	enum sm_err err = SM_OK;
	if (order == 0 && bytes_equal(buf_bytes(&source->bytes), buf_bytes(&target->bytes)))
		return SM_OK;
	if (order > 0 && l->writer && l->r->m->o->prune)
		err = migrate__remove(l->writer, target, reterr);
	else if (order > 0)
		why = "the source has no such row";
	else if (l->writer)
		err = migrate__write(l->writer, source, order ? NULL : target, &why, reterr);
	else
		why = order ? "the target has no such row" : "the cells, their write times or ends of life differ";
	if (why)
		difference(l, order > 0 ? target : source, why);
	return err;
}

static enum sm_err walk(struct look *l, struct sm_error *reterr)
{
	struct range *range = l->range;
	const uint64_t limit = l->r->m->o->range_rows ? l->r->m->o->range_rows : MIGRATE_RANGE_ROWS;
	int64_t last = 0;
	bool begun = false;
	enum sm_err err = SM_OK;
	while (!err && (l->walks[0].row || l->walks[1].row)) {
		const struct migrate_walk *a = &l->walks[0], *b = &l->walks[1];
		int order = !a->row ? 1 : !b->row ? -1 : migrate__walk_order(a, b);
		int64_t token = order <= 0 ? a->row->token : b->row->token;
		if (range->open && begun && token != last && (range->sides[0].rows >= limit || range->sides[1].rows >= limit)) {
			range->to = last;
			return SM_OK;
		}
		last = token;
		begun = true;
		err = judge(l, order, reterr);
		if (!err && order <= 0)
			err = consume(l, 0, reterr);
		if (!err && order >= 0)
			err = consume(l, 1, reterr);
	}
	return err;
}

static enum sm_err look(struct ranging *r, struct range *range, struct sm_error *reterr)
{
	struct migrate_move *m = r->m;
	struct look l = {.r = r, .range = range};
	int64_t now_s = (int64_t)(clock_wall_us(m->clock) / 1000000);
	range->written = range->differences = 0;
	memset(range->sides, 0, sizeof range->sides);
	*range->first = 0;
	enum sm_err err = migrate__target_anew(m, r->t, reterr);
	if (!err && !m->o->verify)
		err = migrate__writer_new(m, r->t, now_s, &l.writer, reterr);
	if (!err)
		err = migrate__walk_open(&l.walks[0], &m->o->source, r->t->source, range->from, range->to, now_s, reterr);
	if (!err)
		err = migrate__walk_open(&l.walks[1], &m->o->target, r->t->target, range->from, range->to, now_s, reterr);
	if (!err)
		err = walk(&l, reterr);
	if (l.writer) {
		enum sm_err ended = migrate__writer_end(l.writer, &range->written, err ? NULL : reterr);
		err = err ? err : ended;
	}
	for (int i = 0; i < 2; i++)
		migrate__walk_close(&l.walks[i]);
	return err;
}

/* ---- a range ---- */

/* Another look may go better. */
static bool passes(enum sm_err err)
{
	return err == SM_UNAVAILABLE || err == SM_TIMEOUT || err == SM_FULL || err == SM_AGAIN;
}

/* Nothing was found to write: then both sides are the same, or it was said why not. */
static void prove(struct range *range)
{
	const struct side_sum *here = &range->sides[0], *there = &range->sides[1];
	if (range->differences || (here->rows == there->rows && memcmp(here->sum, there->sum, sizeof here->sum) == 0))
		return;
	range->differences++;
	snprintf(range->first, sizeof range->first, "the checksums differ, and no row was found that does");
}

/* Looks at it until there is nothing to write. */
static enum sm_err settle(struct ranging *r, struct range *range, struct sm_error *reterr)
{
	uint64_t all = 0;
	for (uint32_t looks = 0, failures = 0;;) {
		enum sm_err err = look(r, range, reterr);
		all += range->written;
		if (err && (!passes(err) || ++failures == MIGRATE_LOOKS_MAX))
			return err;
		if (err) {
			rest(MIGRATE_RETRY_MS << failures);
			if (r->t->unsettled) /* what has no answer may still come */
				rest(settle_ms(r->m));
			continue;
		}
		if (!range->written) {
			prove(range);
			break;
		}
		range->open = false;
		if (++looks == MIGRATE_LOOKS_MAX) {
			range->differences++;
			if (!*range->first)
				snprintf(range->first, sizeof range->first,
					 "it has changed at each of %d looks: run it again when nobody writes", MIGRATE_LOOKS_MAX);
			break;
		}
	}
	r->row->written += all;
	return SM_OK;
}

static void tell_range(struct ranging *r, const struct range *range)
{
	char sums[2][17];
	for (int s = 0; s < 2; s++)
		for (int i = 0; i < 8; i++)
			snprintf(sums[s] + 2 * i, 3, "%02x", range->sides[s].sum[i]);
	migrate__tell(r->m, MIGRATE_NOTE, "%s, tokens %lld to %lld: %llu rows, %s; there %llu, %s: %s", r->t->name, (long long)range->from,
		      (long long)range->to, (unsigned long long)range->sides[0].rows, sums[0], (unsigned long long)range->sides[1].rows,
		      sums[1], range->differences ? "DIFFERENT" : "same");
}

static enum sm_err range_done(struct ranging *r, const struct range *range, struct sm_error *reterr)
{
	struct table_notes *n = &r->notes;
	if (r->m->o->tell_ranges)
		tell_range(r, range);
	if (range->differences && !*r->row->difference)
		snprintf(r->row->difference, sizeof r->row->difference, "tokens %lld to %lld: %.400s", (long long)range->from,
			 (long long)range->to, range->first);
	r->differs |= range->differences > 0;
	n->ranges++;
	for (int i = 0; i < 2; i++) {
		n->sides[i].rows += range->sides[i].rows;
		migrate__sum_bytes(r->m->sum, bytes_of(range->sides[i].sum, MIGRATE_SUM_SIZE), n->sides[i].sum);
	}
	if (!r->differs)
		n->token = range->to;
	if (r->m->o->progress)
		r->m->o->progress(r->m->o->arg, r->t->name, ((uint64_t)range->to + (1ull << 63)) / (UINT64_MAX / PARTS), PARTS);
	bool due = range->to == INT64_MAX || clock_monotonic_ns(r->m->clock) - r->noted_ns >= MIGRATE_NOTE_MS * UINT64_C(1000000);
	return r->m->o->verify || r->differs || !due ? SM_OK : notes_write(r, reterr);
}

/* ---- a table ---- */

/* Where an earlier run ended. */
static enum sm_err begin(struct ranging *r, struct sm_error *reterr)
{
	enum sm_err err = notes_read(r, reterr);
	if (err)
		return err;
	if (r->notes.found && r->notes.ranges)
		migrate__tell(
			r->m, MIGRATE_WARNING,
			"table %s: goes on behind %llu ranges that were proven until %lld s ago; what has changed in them since comes "
			"with the next run",
			r->t->name, (unsigned long long)r->notes.ranges,
			((long long)clock_wall_us(r->m->clock) - (long long)r->notes.noted_us) / 1000000);
	if (r->notes.found && r->notes.writing && r->t->unsettled) {
		migrate__tell(r->m, MIGRATE_NOTE, "table %s: waits %u s for what the run that was cut short may still have under way",
			      r->t->name, settle_ms(r->m) / 1000);
		rest(settle_ms(r->m));
	}
	if (!r->notes.found)
		r->notes = (struct table_notes){.token = INT64_MIN};
	r->notes.writing = true;
	return notes_write(r, reterr);
}

static void fill_row(struct ranging *r)
{
	struct migrate_store_row *row = r->row;
	row->ranges = r->notes.ranges;
	row->source_rows = r->notes.sides[0].rows;
	row->target_rows = r->notes.sides[1].rows;
	memcpy(row->source_sum, r->notes.sides[0].sum, MIGRATE_SUM_SIZE);
	memcpy(row->target_sum, r->notes.sides[1].sum, MIGRATE_SUM_SIZE);
	row->same = !r->differs;
}

enum sm_err migrate__table(struct migrate_move *m, struct migrate_table *t, struct migrate_store_row *row, struct sm_error *reterr)
{
	struct ranging r = {.m = m, .t = t, .row = row, .notes = {.token = INT64_MIN}};
	enum sm_err err = migrate__target_anew(m, t, reterr);
	if (err == SM_NOT_FOUND && m->o->verify) {
		snprintf(row->difference, sizeof row->difference, "the target has no such table");
		return SM_OK;
	}
	if (!err && !m->o->verify)
		err = begin(&r, reterr);
	bool all = r.notes.ranges && r.notes.token == INT64_MAX; /* an earlier run had ended it */
	struct range range = {.from = r.notes.ranges && !all ? r.notes.token + 1 : INT64_MIN};
	while (!err && !all) {
		range.to = INT64_MAX;
		range.open = true;
		err = settle(&r, &range, reterr);
		if (!err)
			err = range_done(&r, &range, reterr);
		all = range.to == INT64_MAX;
		range.from = range.to + !all;
	}
	if (!err && !m->o->verify) {
		r.notes.writing = false;
		err = r.differs ? migrate__table_forget(m, t, reterr) : notes_write(&r, reterr);
	}
	fill_row(&r);
	return err;
}
