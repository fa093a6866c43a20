/* The proof, and the comparison of two sides as they are. */
#include "backup/migrate_internal.h"
#include "base/map.h"
#include <stdio.h>
#include <stdlib.h>

static bool sums_equal(const struct migrate_log_row *row)
{
	return row->source_records == row->target_records && memcmp(row->source_sum, row->target_sum, MIGRATE_SUM_SIZE) == 0;
}

static const char *what_differs(const struct record *a, const struct record *b)
{
	if (a->key_null != b->key_null || !bytes_equal(a->key, b->key))
		return "the keys differ";
	if (a->value_null != b->value_null || !bytes_equal(a->value, b->value))
		return "the values differ";
	return a->timestamp_ms != b->timestamp_ms ? "the times differ" : "the headers differ";
}

static void differ(struct migrate_log_row *row, const struct record *source, const struct record *target)
{
	row->source_offset = source ? source->offset : -1;
	row->target_offset = target ? target->offset : -1;
	snprintf(row->difference, sizeof row->difference, "%s",
		 !source   ? "the target has more records"
		 : !target ? "the target has no such record"
			   : what_differs(source, target));
}

/* Both ranges side by side; counts and sums of the row go on from what they are. */
static enum sm_err walk_both(struct migrate *m, struct migrate_log_row *row, struct migrate_point from, int64_t source_end,
			     int64_t target_end, struct sm_error *reterr)
{
	struct migrate_cursor cursors[2];
	struct record records[2];
	enum sm_err errs[2] = {SM_OK, SM_OK};
	migrate__cursor_init(&cursors[0], m, false, row->topic, row->partition, from.source, source_end);
	migrate__cursor_init(&cursors[1], m, true, row->topic, row->partition, from.target, target_end);
	row->same = true;
	while (!errs[0] || !errs[1]) {
		for (int i = 0; i < 2; i++)
			if (!errs[i])
				errs[i] = migrate__next(&cursors[i], &records[i], reterr);
		if ((errs[0] && errs[0] != SM_END) || (errs[1] && errs[1] != SM_END))
			break;
		if (!errs[0]) {
			row->source_records++;
			migrate__sum_add(m->sum, &records[0], row->source_sum);
		}
		if (!errs[1]) {
			row->target_records++;
			migrate__sum_add(m->sum, &records[1], row->target_sum);
		}
		bool both = !errs[0] && !errs[1];
		if (row->same && (errs[0] != errs[1] || (both && !migrate__same_record(&records[0], &records[1])))) {
			differ(row, errs[0] ? NULL : &records[0], errs[1] ? NULL : &records[1]);
			row->same = false;
		}
		if (m->o->progress && source_end > from.source)
			m->o->progress(m->o->arg, row->topic, row->partition, false, (uint64_t)(cursors[0].offset - from.source),
				       (uint64_t)(source_end - from.source));
	}
	migrate__cursor_done(&cursors[0]);
	migrate__cursor_done(&cursors[1]);
	return errs[0] && errs[0] != SM_END ? errs[0] : errs[1] != SM_END ? errs[1] : SM_OK;
}

/* ---- the proof ---- */

static enum sm_err read_target(struct migrate *m, const struct migrate_notes *notes, struct migrate_log_row *row, struct sm_error *reterr)
{
	struct migrate_cursor to;
	struct record record;
	enum sm_err err;
	migrate__cursor_init(&to, m, true, row->topic, row->partition, notes->proven.target, notes->tip.target);
	while (!(err = migrate__next(&to, &record, reterr))) {
		row->target_records++;
		migrate__sum_add(m->sum, &record, row->target_sum);
		if (m->o->progress)
			m->o->progress(m->o->arg, row->topic, row->partition, true, (uint64_t)(to.offset - notes->proven.target),
				       (uint64_t)(notes->tip.target - notes->proven.target));
	}
	migrate__cursor_done(&to);
	return err == SM_END ? SM_OK : err;
}

enum sm_err migrate__prove(struct migrate *m, struct migrate_notes *notes, struct migrate_log_row *row, struct sm_error *reterr)
{
	row->source_records = notes->tip.records;
	memcpy(row->source_sum, notes->tip.sum, MIGRATE_SUM_SIZE);
	row->target_records = notes->proven.records;
	memcpy(row->target_sum, notes->proven.sum, MIGRATE_SUM_SIZE);
	row->source_offset = row->target_offset = -1;
	enum sm_err err = read_target(m, notes, row, reterr);
	if (err)
		return err;
	row->same = sums_equal(row);
	if (row->same) {
		notes->proven = notes->tip;
		return migrate__notes_write(m, row->topic, row->partition, notes, reterr);
	}
	struct migrate_log_row first = {.topic = row->topic, .partition = row->partition};
	err = walk_both(m, &first, notes->proven, notes->tip.source, notes->tip.target, reterr);
	if (err)
		return err;
	row->source_offset = first.same ? -1 : first.source_offset;
	row->target_offset = first.same ? -1 : first.target_offset;
	snprintf(row->difference, sizeof row->difference, "%s",
		 first.same ? "the source is not what it was when it was copied" : first.difference);
	return SM_OK;
}

/* ---- side by side ---- */

/* The first records that both sides still have and that belong together. */
static struct migrate_point first_pair(const struct migrate_notes *n, int64_t source_start, int64_t target_start)
{
	struct migrate_point p = {.source = n->begin.source, .target = n->begin.target};
	uint32_t i = 0;
	if (source_start <= p.source && target_start <= p.target)
		return p;
	while (i < n->place_count && (n->places[i].source < source_start || n->places[i].target < target_start))
		i++;
	if (i < n->place_count)
		p = (struct migrate_point){.source = n->places[i].source, .target = n->places[i].target};
	else
		p = (struct migrate_point){.source = n->tip.source, .target = n->tip.target};
	if (i == 0 || n->forgotten)
		return p;
	/* Without a gap behind the place before. */
	const struct migrate_place *e = &n->places[i - 1];
	int64_t step = source_start - e->source > target_start - e->target ? source_start - e->source : target_start - e->target;
	if (e->target + step < p.target)
		p = (struct migrate_point){.source = e->source + step, .target = e->target + step};
	return p;
}

/* What each side has last said of a key. */
struct key_state {
	uint8_t sums[2][MIGRATE_SUM_SIZE];
	int64_t offsets[2];
	bool lives[2];
};

static enum sm_err keys_of(struct migrate *m, struct map *keys, struct arena *arena, int side, const struct migrate_log_row *row,
			   int64_t from, int64_t end, struct sm_error *reterr)
{
	struct migrate_cursor c;
	struct record record;
	enum sm_err err;
	migrate__cursor_init(&c, m, side, row->topic, row->partition, from, end);
	while (!(err = migrate__next(&c, &record, reterr))) {
		struct key_state *k = map_get(keys, record.key);
		if (!k && keys->count == MIGRATE_KEYS_MAX)
			err = sm_fail(reterr, SM_TOO_LARGE, "topic %s, partition %d has more than %d keys: too many to be compared",
				      row->topic, (int)row->partition, MIGRATE_KEYS_MAX);
		else if (!k && (!(k = arena_alloc(arena, sizeof *k)) || map_put(keys, record.key, k, NULL)))
			err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
		if (err)
			break;
		memset(k->sums[side], 0, MIGRATE_SUM_SIZE);
		migrate__sum_add(m->sum, &record, k->sums[side]);
		k->offsets[side] = record.offset;
		k->lives[side] = !record.value_null;
	}
	migrate__cursor_done(&c);
	return err == SM_END ? SM_OK : err;
}

static void keys_judge(const struct map *keys, struct migrate_log_row *row)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	row->same = true;
	while (map_next(keys, &pos, &key, &value)) {
		const struct key_state *k = value;
		for (int i = 0; i < MIGRATE_SUM_SIZE; i++) {
			row->source_sum[i] ^= k->lives[0] ? k->sums[0][i] : 0;
			row->target_sum[i] ^= k->lives[1] ? k->sums[1][i] : 0;
		}
		row->source_records += k->lives[0];
		row->target_records += k->lives[1];
		bool same = k->lives[0] == k->lives[1] && (!k->lives[0] || memcmp(k->sums[0], k->sums[1], MIGRATE_SUM_SIZE) == 0);
		int64_t at = k->lives[0] ? k->offsets[0] : INT64_MAX;
		if (same || (!row->same && row->source_offset >= 0 && at >= row->source_offset))
			continue;
		row->same = false;
		row->source_offset = k->lives[0] ? k->offsets[0] : -1;
		row->target_offset = k->lives[1] ? k->offsets[1] : -1;
		snprintf(row->difference, sizeof row->difference, "the newest records of a key differ");
	}
}

/* Compaction may have taken older records on either side: what counts is the newest of each key that is no tombstone. */
static enum sm_err compare_keys(struct migrate *m, struct migrate_log_row *row, const int64_t starts[2], const int64_t ends[2],
				struct sm_error *reterr)
{
	struct map keys;
	struct arena arena;
	map_init(&keys);
	arena_init(&arena, 0);
	enum sm_err err = keys_of(m, &keys, &arena, 0, row, starts[0], ends[0], reterr);
	if (!err)
		err = keys_of(m, &keys, &arena, 1, row, starts[1], ends[1], reterr);
	if (!err)
		keys_judge(&keys, row);
	map_done(&keys);
	arena_done(&arena);
	return err;
}

enum sm_err migrate__compare(struct migrate *m, const struct migrate_topic *t, struct migrate_log_row *row, struct sm_error *reterr)
{
	struct migrate_notes notes;
	int64_t starts[2] = {0, 0}, ends[2] = {0, 0};
	row->source_offset = row->target_offset = -1;
	if (row->partition >= t->target_partitions) {
		snprintf(row->difference, sizeof row->difference, "the target has no such partition");
		return SM_OK;
	}
	enum sm_err err = migrate__notes_read(m, t->name, row->partition, &notes, reterr);
	if (err)
		return err;
	for (int side = 0; side < 2 && !err; side++) {
		err = migrate__offset(m, side, t->name, row->partition, LOG_EARLIEST, &starts[side], reterr);
		if (!err)
			err = migrate__offset(m, side, t->name, row->partition, LOG_LATEST, &ends[side], reterr);
	}
	if (!err && t->compacted) {
		err = compare_keys(m, row, starts, ends, reterr);
	} else if (!err) {
		struct migrate_point from = {.source = starts[0], .target = starts[1]};
		if (notes.found) { /* what was copied, not what came later */
			from = first_pair(&notes, starts[0], starts[1]);
			ends[0] = ends[0] < notes.tip.source ? ends[0] : notes.tip.source;
			ends[1] = ends[1] < notes.tip.target ? ends[1] : notes.tip.target;
		}
		err = walk_both(m, row, from, ends[0], ends[1], reterr);
	}
	migrate__notes_done(&notes);
	return err;
}
