/* The committed offsets of consumer groups. They are noted before they are committed: what a group has at the target later is either what
 * was noted, or it has committed something itself, which is not overwritten.
 *
 * groups: for each offset: group, topic (strings), partition (4), what the target had before (8, -1: none), what was to be committed (8).
 */
#include "backup/migrate_internal.h"
#include "base/map.h"
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

struct move {
	const char *group, *topic, *metadata;
	int32_t partition;
	int64_t now;    /* at the target */
	int64_t wanted; /* there */
	bool foreign;   /* the group has committed at the target itself */
};
struct noted {
	int64_t before, wanted;
};
struct moves {
	struct migrate *m;
	struct arena arena;
	struct move *items;
	uint32_t count, cap;
	struct map noted; /* key_of -> struct noted */
};

/* ---- notes ---- */

static void string_put(struct buf *out, const char *text)
{
	buf_be32(out, (uint32_t)strlen(text));
	buf_append_str(out, text);
}

static const char *string_take(struct byte_reader *r, struct arena *arena)
{
	uint32_t size = reader_be32(r);
	const uint8_t *p = reader_take(r, size);
	return p ? arena_string(arena, (const char *)p, size) : NULL;
}

static struct bytes key_of(struct buf *out, const char *group, const char *topic, int32_t partition)
{
	buf_clear(out);
	string_put(out, group);
	string_put(out, topic);
	buf_be32(out, (uint32_t)partition);
	return buf_bytes(out);
}

static enum sm_err unread(const struct moves *v, bool corrupt, struct sm_error *reterr)
{
	return corrupt ? sm_fail(reterr, SM_CORRUPT,
				 "%s/groups: the notes on groups cannot be read: delete them, offsets that were committed at the target "
				 "since are "
				 "told then",
				 v->m->o->state_dir)
		       : sm_fail(reterr, SM_NO_MEMORY, "no memory");
}

static enum sm_err notes_read(struct moves *v, struct sm_error *reterr)
{
	uint8_t *data;
	struct bytes bytes;
	struct buf key;
	enum sm_err err = migrate__state_read(&v->m->state, "groups", &data, &bytes, reterr);
	if (err || !data)
		return err;
	buf_init(&key);
	struct byte_reader r = byte_reader(bytes);
	while (!err && reader_left(&r)) {
		const char *group = string_take(&r, &v->arena), *topic = string_take(&r, &v->arena);
		int32_t partition = (int32_t)reader_be32(&r);
		struct noted *n = arena_alloc(&v->arena, sizeof *n);
		if (!n || !group || !topic) {
			err = unread(v, r.failed, reterr);
			break;
		}
		n->before = (int64_t)reader_be64(&r);
		n->wanted = (int64_t)reader_be64(&r);
		if (r.failed || map_put(&v->noted, key_of(&key, group, topic, partition), n, NULL))
			err = unread(v, r.failed, reterr);
	}
	buf_done(&key);
	free(data);
	return err;
}

static enum sm_err notes_write(struct moves *v, struct sm_error *reterr)
{
	struct buf out, key;
	struct bytes k;
	void *value;
	size_t pos = 0;
	enum sm_err err = SM_OK;
	buf_init(&out);
	buf_init(&key);
	for (uint32_t i = 0; i < v->count && !err; i++) {
		const struct move *o = &v->items[i];
		struct noted *n = arena_alloc(&v->arena, sizeof *n);
		if (o->foreign && !v->m->o->overwrite_groups)
			continue;
		if (!n || map_put(&v->noted, key_of(&key, o->group, o->topic, o->partition), n, NULL))
			err = SM_NO_MEMORY;
		else
			*n = (struct noted){o->now, o->wanted};
	}
	while (!err && map_next(&v->noted, &pos, &k, &value)) {
		const struct noted *n = value;
		buf_append_bytes(&out, k);
		buf_be64(&out, (uint64_t)n->before);
		buf_be64(&out, (uint64_t)n->wanted);
	}
	err = err || out.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory")
				: migrate__state_write(&v->m->state, "groups", buf_bytes(&out), reterr);
	buf_done(&out);
	buf_done(&key);
	return err;
}

/* ---- translation ---- */

static enum sm_err count_records(struct migrate *m, const char *topic, int32_t partition, int64_t from, int64_t to, int64_t *ret_count,
				 struct sm_error *reterr)
{
	struct migrate_cursor c;
	struct record record;
	enum sm_err err;
	int64_t count = 0;
	migrate__cursor_init(&c, m, false, topic, partition, from, to);
	while (!(err = migrate__next(&c, &record, reterr)))
		count++;
	migrate__cursor_done(&c);
	*ret_count = count;
	return err == SM_END ? SM_OK : err;
}

/* The target's offset of the first record at or after `source`. Records that compaction has taken at the source since the copy make it
 * too small, so that some are read again, never too large. */
static enum sm_err translate(struct migrate *m, const char *topic, int32_t partition, const struct migrate_notes *n, int64_t source,
			     int64_t *ret_target, struct sm_error *reterr)
{
	uint32_t i = 0;
	if (source >= n->tip.source) {
		*ret_target = n->tip.target;
		return SM_OK;
	}
	while (i < n->place_count && n->places[i].source <= source)
		i++;
	if (i == 0) {
		*ret_target = n->begin.target;
		return SM_OK;
	}
	const struct migrate_place *e = &n->places[i - 1];
	int64_t next = i < n->place_count ? n->places[i].target : n->tip.target, steps = source - e->source;
	if (n->forgotten) {
		enum sm_err err = count_records(m, topic, partition, e->source, source, &steps, reterr);
		if (err)
			return err;
	}
	*ret_target = e->target + steps < next ? e->target + steps : next;
	return SM_OK;
}

/* ---- what is to be moved ---- */

static const struct migrate_topic *topic_find(const struct migrate *m, const char *name)
{
	for (uint32_t i = 0; i < m->topic_count; i++)
		if (strcmp(m->topics[i].name, name) == 0)
			return &m->topics[i];
	return NULL;
}

static enum sm_err move_add(struct moves *v, const char *group, const struct log_group_offset *o, int64_t wanted, struct sm_error *reterr)
{
	if (v->count == MIGRATE_GROUP_OFFSETS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "the groups have more than %d offsets", MIGRATE_GROUP_OFFSETS_MAX);
	if (v->count == v->cap) {
		uint32_t cap = v->cap ? v->cap * 2 : 64;
		struct move *grown = realloc(v->items, cap * sizeof *grown);
		if (!grown)
			return sm_fail(reterr, SM_NO_MEMORY, "no memory");
		v->items = grown;
		v->cap = cap;
	}
	const char *metadata = o->metadata ? o->metadata : "";
	struct move *item = &v->items[v->count++];
	*item = (struct move){.group = arena_string(&v->arena, group, strlen(group)),
			      .topic = arena_string(&v->arena, o->topic, strlen(o->topic)),
			      .metadata = arena_string(&v->arena, metadata, strlen(metadata)),
			      .partition = o->partition,
			      .now = -1,
			      .wanted = wanted};
	return item->group && item->topic && item->metadata ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory");
}

static enum sm_err take_offset(struct moves *v, const char *group, const struct log_group_offset *o, struct sm_error *reterr)
{
	struct migrate *m = v->m;
	const struct migrate_topic *t = topic_find(m, o->topic);
	struct migrate_notes notes;
	int64_t wanted = -1;
	if (!t || o->partition >= t->partitions || o->offset < 0)
		return SM_OK;
	if (o->pending)
		migrate__say(
			m, MIGRATE_WARNING,
			"group %s, topic %s, partition %d: a transaction that is open has another offset for it. Stop its producer and run "
			"this again",
			group, o->topic, (int)o->partition);
	if (m->o->dry_run)
		return move_add(v, group, o, -1, reterr);
	enum sm_err err = migrate__notes_read(m, o->topic, o->partition, &notes, reterr);
	if (err)
		return err;
	err = translate(m, o->topic, o->partition, &notes, o->offset, &wanted, reterr);
	if (!err && o->offset > notes.tip.source)
		migrate__say(m, MIGRATE_WARNING,
			     "group %s, topic %s, partition %d has committed offset %lld, but the copy ends at %lld: it will go on there. "
			     "Stop the "
			     "producers and run this again",
			     group, o->topic, (int)o->partition, (long long)o->offset, (long long)notes.tip.source);
	migrate__notes_done(&notes);
	return err ? err : move_add(v, group, o, wanted, reterr);
}

/* What the target has for the group's last `count` moves. */
static enum sm_err look_at_target(struct moves *v, const char *group, struct move *moves, uint32_t count, struct sm_error *reterr)
{
	struct sm_log *to = v->m->o->target;
	struct log_group_offset *offsets = calloc(count + 1, sizeof *offsets);
	void *hold = NULL;
	if (!offsets)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	for (uint32_t i = 0; i < count; i++)
		offsets[i] = (struct log_group_offset){.topic = moves[i].topic, .partition = moves[i].partition, .offset = -1};
	enum sm_err err = to->ops->offsets_fetch(to, group, offsets, count, &hold);
	if (err)
		err = sm_fail(reterr, err, "%s: the offsets of group %s cannot be read: %s", v->m->o->target_name, group, sm_err_text(err));
	for (uint32_t i = 0; i < count && !err; i++)
		moves[i].now = offsets[i].offset;
	if (!err)
		to->ops->offsets_release(to, hold);
	free(offsets);
	return err;
}

static void judge(struct moves *v, struct move *o, struct buf *key)
{
	const struct noted *n = map_get(&v->noted, key_of(key, o->group, o->topic, o->partition));
	o->foreign = o->now >= 0 && o->now != o->wanted && (!n || (o->now != n->before && o->now != n->wanted));
	if (!o->foreign || v->m->o->overwrite_groups)
		return;
	v->m->report->offsets_failed++;
	migrate__say(v->m, MIGRATE_WARNING,
		     "group %s, topic %s, partition %d has committed offset %lld at %s itself: it is left so (%lld would be that of the "
		     "source); "
		     "--overwrite-groups sets it",
		     o->group, o->topic, (int)o->partition, (long long)o->now, v->m->o->target_name, (long long)o->wanted);
}

static enum sm_err take_group(struct moves *v, const char *group, struct sm_error *reterr)
{
	struct sm_log *from = v->m->o->source;
	struct log_group_offset *offsets;
	uint32_t count, first = v->count;
	void *hold;
	enum sm_err err = from->ops->offsets_list(from, group, &offsets, &count, &hold);
	if (err)
		return sm_fail(reterr, err, "%s: the offsets of group %s cannot be read: %s", v->m->o->source_name, group,
			       sm_err_text(err));
	for (uint32_t i = 0; i < count && !err; i++)
		err = take_offset(v, group, &offsets[i], reterr);
	from->ops->offsets_release(from, hold);
	if (err || v->count == first)
		return err;
	v->m->report->groups++;
	if (v->m->o->dry_run) {
		migrate__say(v->m, MIGRATE_NOTE, "group %s: %u committed offsets would be translated and committed", group,
			     v->count - first);
		return SM_OK;
	}
	if ((err = look_at_target(v, group, &v->items[first], v->count - first, reterr)))
		return err;
	struct buf key;
	buf_init(&key);
	for (uint32_t i = first; i < v->count; i++)
		judge(v, &v->items[i], &key);
	buf_done(&key);
	return SM_OK;
}

/* ---- committing ---- */

struct commit {
	sem_t done;
	enum sm_err err;
};

static void is_committed(void *arg, enum sm_err err)
{
	struct commit *c = arg;
	c->err = err;
	sem_post(&c->done);
}

/* The moves of one group. A group that cannot be committed for is told; the others go on. */
static enum sm_err commit_group(struct moves *v, struct move *moves, uint32_t count, struct sm_error *reterr)
{
	struct migrate *m = v->m;
	struct log_group_offset *offsets = calloc(count + 1, sizeof *offsets);
	struct commit c = {.err = SM_OK};
	uint32_t want = 0;
	if (!offsets)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	for (uint32_t i = 0; i < count; i++)
		if (moves[i].now != moves[i].wanted && (!moves[i].foreign || m->o->overwrite_groups))
			offsets[want++] = (struct log_group_offset){.topic = moves[i].topic,
								    .partition = moves[i].partition,
								    .offset = moves[i].wanted,
								    .leader_epoch = -1,
								    .metadata = moves[i].metadata};
	if (want) {
		sem_init(&c.done, 0, 0);
		m->o->target->ops->offsets_commit(m->o->target, moves->group, offsets, want, is_committed, &c);
		while (sem_wait(&c.done) && errno == EINTR)
			;
		sem_destroy(&c.done);
	}
	free(offsets);
	/* Read again, as a proof. */
	enum sm_err err = c.err ? SM_OK : look_at_target(v, moves->group, moves, count, reterr);
	uint32_t missing = 0;
	for (uint32_t i = 0; i < count && !err; i++) {
		bool there = moves[i].now == moves[i].wanted;
		m->report->offsets += there;
		missing += !there && (!moves[i].foreign || m->o->overwrite_groups);
	}
	m->report->offsets_failed += missing;
	if (missing)
		migrate__say(m, MIGRATE_WARNING,
			     "group %s: %u offsets are not committed at %s: %s. Stop its consumers there and run this again", moves->group,
			     missing, m->o->target_name, c.err ? sm_err_text(c.err) : "others are there");
	return err;
}

static enum sm_err commit_all(struct moves *v, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0, next; i < v->count && !err; i = next) {
		for (next = i; next < v->count && strcmp(v->items[next].group, v->items[i].group) == 0;)
			next++;
		err = commit_group(v, &v->items[i], next - i, reterr);
	}
	return err;
}

enum sm_err migrate__groups(struct migrate *m, struct sm_error *reterr)
{
	struct sm_log *from = m->o->source;
	const char *const *names;
	uint32_t count;
	void *hold;
	enum sm_err err = from->ops->groups(from, &names, &count, &hold);
	if (err)
		return sm_fail(reterr, err, "%s cannot list its groups: %s", m->o->source_name, sm_err_text(err));
	struct moves v = {.m = m};
	arena_init(&v.arena, 0);
	map_init(&v.noted);
	err = notes_read(&v, reterr);
	for (uint32_t i = 0; i < count && !err; i++)
		err = take_group(&v, names[i], reterr);
	from->ops->offsets_release(from, hold);
	if (!err && v.count && !m->o->dry_run && !(err = notes_write(&v, reterr)))
		err = commit_all(&v, reterr);
	map_done(&v.noted);
	free(v.items);
	arena_done(&v.arena);
	return err;
}
