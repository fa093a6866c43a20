/* How a compacted file takes the place of segments, so that a crash at any moment leaves the old ones or the new one:
 *
 *   BASE.cleaned   is written and synced, with a clean mark that says where it ends. Deleted at the next start.
 *   BASE.swap      renamed, directory synced: from here on the new file counts. At the next start the rest is done:
 *                  the segments that it covers, but BASE.log, and all their indexes are deleted; directory synced;
 *   BASE.log       renamed over the old one, directory synced; the index is written.
 *
 * Readers hold segments by count. An old segment is marked as dropped before its files are touched: a reader that has its file open goes
 * on with it and without index, another one looks for the segment anew (SM_AGAIN, partition_read.c). */
#include "log/compact_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static void path_of(const char *dir, int64_t base_offset, const char *suffix, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%020lld%s", dir, (long long)base_offset, suffix);
}

static enum sm_err set_path(struct segment *s, const char *dir, const char *suffix)
{
	char path[PATH_MAX];
	path_of(dir, s->base_offset, suffix, path);
	char *copy = strdup(path);
	if (!copy)
		return SM_NO_MEMORY;
	pthread_mutex_lock(&s->lock);
	free(s->path);
	s->path = copy;
	pthread_mutex_unlock(&s->lock);
	return SM_OK;
}

enum sm_err log__compact_create(struct partition *p, int64_t base_offset, struct segment_writer *w, struct sm_error *reterr)
{
	struct segment *s = log__segment_new(p->io, p->dir, base_offset);
	enum sm_err err = s ? set_path(s, p->dir, ".cleaned") : SM_NO_MEMORY;
	if (err) {
		log__segment_unref(s);
		return sm_fail(reterr, err, "no memory");
	}
	*w = (struct segment_writer){.segment = s};
	pthread_mutex_lock(&p->files_lock);
	err = p->files_gone ? SM_CANCELLED : log__writer_create(w, p->dir, reterr);
	pthread_mutex_unlock(&p->files_lock);
	if (err)
		log__segment_unref(s);
	return err;
}

void log__compact_discard(struct partition *p, struct segment_writer *w)
{
	pthread_mutex_lock(&p->files_lock);
	(void)!p->io->ops->unlink(p->io, w->segment->path, NULL); /* else at the next start */
	pthread_mutex_unlock(&p->files_lock);
	log__segment_unref(w->segment);
	w->segment = NULL;
}

/* Index of the range's first segment, if all of them are there. */
static bool find_locked(const struct partition *p, const struct compact_range *range, uint32_t *ret_at)
{
	for (uint32_t i = 0; !p->gone && i + range->count < p->segment_count; i++) {
		if (p->segments[i]->base_offset == range->base_offset) {
			*ret_at = i;
			return p->segments[i + range->count]->base_offset == range->next_offset;
		}
	}
	return false;
}

/* The base offsets of the range's segments; false: they are not there any more. */
static bool find(struct partition *p, const struct compact_range *range, int64_t *covered)
{
	uint32_t at;
	pthread_mutex_lock(&p->lock);
	bool found = find_locked(p, range, &at);
	for (uint32_t i = 0; found && i < range->count; i++)
		covered[i] = p->segments[at + i]->base_offset;
	pthread_mutex_unlock(&p->lock);
	return found;
}

/* Let readers see the new segment. Nothing, if the partition was closed meanwhile. */
static void replace(struct partition *p, const struct compact_range *range, struct segment *fresh, struct segment **old)
{
	uint32_t at;
	pthread_mutex_lock(&p->lock);
	if (find_locked(p, range, &at)) {
		memcpy(old, p->segments + at, range->count * sizeof *old);
		memmove(p->segments + at + 1, p->segments + at + range->count,
			(p->segment_count - at - range->count) * sizeof *p->segments);
		p->segments[at] = log__segment_ref(fresh);
		p->segment_count -= range->count - 1;
	}
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < range->count; i++)
		if (old[i])
			log__segment_drop(old[i]);
}

static enum sm_err unlink_one(struct io *io, const char *dir, int64_t base_offset, const char *suffix, struct sm_error *reterr)
{
	char path[PATH_MAX];
	path_of(dir, base_offset, suffix, path);
	enum sm_err err = io->ops->unlink(io, path, reterr);
	return err == SM_NOT_FOUND ? SM_OK : err;
}

/* From the .swap on. */
static enum sm_err finish(struct io *io, const char *dir, int64_t base_offset, const int64_t *covered, uint32_t count,
			  struct sm_error *reterr)
{
	char from[PATH_MAX], to[PATH_MAX];
	enum sm_err err;
	for (uint32_t i = 0; i < count; i++)
		if ((err = unlink_one(io, dir, covered[i], ".index", reterr)) ||
		    (err = unlink_one(io, dir, covered[i], ".txnindex", reterr)) ||
		    (err = unlink_one(io, dir, covered[i], ".timeindex", reterr)) ||
		    (covered[i] != base_offset && (err = unlink_one(io, dir, covered[i], ".log", reterr))))
			return err;
	if ((err = io->ops->sync_dir(io, dir, reterr)))
		return err;
	path_of(dir, base_offset, ".swap", from);
	path_of(dir, base_offset, ".log", to);
	if ((err = io->ops->rename(io, from, to, reterr)))
		return err;
	return io->ops->sync_dir(io, dir, reterr);
}

/* The .cleaned becomes the .swap, or nothing has happened. */
static enum sm_err commit(struct partition *p, struct segment *fresh, bool *ret_uncertain, struct sm_error *reterr)
{
	char swap[PATH_MAX];
	struct io *io = p->io;
	path_of(p->dir, fresh->base_offset, ".swap", swap);
	*ret_uncertain = false;
	enum sm_err err = io->ops->rename(io, fresh->path, swap, reterr);
	if (err) {
		(void)!io->ops->unlink(io, fresh->path, NULL);
		return err;
	}
	if ((err = io->ops->sync_dir(io, p->dir, reterr)))
		*ret_uncertain = io->ops->unlink(io, swap, NULL) || io->ops->sync_dir(io, p->dir, NULL);
	return err;
}

/* A committed read of an old segment may look up here what became of a transaction, so all stays, though its records are gone. */
static enum sm_err txns_merge(struct partition *p, const struct compact_range *range, const int64_t *covered, struct segment *fresh)
{
	enum sm_err err = SM_OK;
	bool known = true;
	for (uint32_t i = 0; i < range->count && known && !err; i++) {
		struct segment *s = log__partition_segment(p, covered[i]);
		if (!s)
			return SM_CANCELLED;
		pthread_mutex_lock(&s->lock);
		known = s->txns.known;
		for (uint32_t k = 0; known && k < s->txns.aborted_count && !err; k++)
			err = log__txn_index_add(&fresh->txns, &s->txns.aborted[k]);
		if (known && !err && i + 1 == range->count)
			err = log__txn_index_copy_open(&fresh->txns, &s->txns);
		pthread_mutex_unlock(&s->lock);
		log__segment_release(s);
	}
	fresh->txns.known = known && !err;
	return err;
}

/* Under files_lock. */
static enum sm_err swap(struct partition *p, const struct compact_range *range, struct segment *fresh, struct segment **old,
			int64_t *covered, struct sm_error *reterr)
{
	bool uncertain;
	if (p->files_gone || !find(p, range, covered)) {
		if (!p->files_gone)
			(void)!p->io->ops->unlink(p->io, fresh->path, NULL);
		return SM_CANCELLED;
	}
	enum sm_err err = txns_merge(p, range, covered, fresh);
	if (err) {
		(void)!p->io->ops->unlink(p->io, fresh->path, NULL);
		return err;
	}
	if ((err = commit(p, fresh, &uncertain, reterr))) {
		p->uncleanable = uncertain; /* a later swap must not meet this one at the next start */
		return err;
	}
	replace(p, range, fresh, old);
	if ((err = finish(p->io, p->dir, range->base_offset, covered, range->count, reterr)) || (err = set_path(fresh, p->dir, ".log"))) {
		p->uncleanable = true; /* the next start does the rest; until then its file stays open, its index in memory */
		return err;
	}
	if (fresh->txns.known) /* without the file, the headers tell */
		(void)!log__txn_index_write(p->io, p->dir, fresh->base_offset, &fresh->txns, NULL);
	if (log__index_write(p->io, fresh->path, fresh->base_offset, &fresh->index, NULL))
		return SM_OK; /* so the one in memory stays */
	pthread_mutex_lock(&fresh->lock);
	fresh->active = false;
	log__index_done(&fresh->index);
	pthread_mutex_unlock(&fresh->lock);
	return SM_OK;
}

enum sm_err log__compact_swap(struct partition *p, const struct compact_range *range, struct segment_writer *w, struct sm_error *reterr)
{
	struct segment *fresh = w->segment, **old = calloc(range->count, sizeof(struct segment *));
	int64_t *covered = calloc(range->count, sizeof *covered);
	enum sm_err err = old && covered ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory");
	w->segment = NULL;
	if (!err) {
		pthread_mutex_lock(&p->files_lock);
		err = swap(p, range, fresh, old, covered, reterr);
		pthread_mutex_unlock(&p->files_lock);
	}
	free(old);
	free(covered);
	log__segment_release(fresh);
	return err;
}

/* ---- at the start ---- */

struct left {
	const char *suffix;
	int64_t *offsets;
	uint32_t count;
};

static enum sm_err collect(void *arg, const char *name)
{
	struct left *l = arg;
	int64_t offset = log__segment_name_parse(name, l->suffix);
	if (offset < 0)
		return SM_OK;
	int64_t *grown = realloc(l->offsets, (l->count + 1) * sizeof *grown);
	if (!grown)
		return SM_NO_MEMORY;
	l->offsets = grown;
	l->offsets[l->count++] = offset;
	return SM_OK;
}

/* Where the file of a swap ends. */
static enum sm_err end_of(struct io *io, const char *path, int64_t *ret_next_offset, struct sm_error *reterr)
{
	struct io_file file;
	struct segment_mark mark;
	int page;
	enum sm_err err = io->ops->open(io, path, IO_READ, &file, reterr);
	if (err)
		return err;
	err = log__mark_read(io, &file, &mark, &page, reterr);
	io->ops->close(io, &file);
	if (!err && (mark.kind == MARK_CLEAN || mark.kind == MARK_SEALED))
		*ret_next_offset = mark.next_offset;
	else if (!err || err == SM_NOT_FOUND)
		err = sm_fail(reterr, SM_CORRUPT, "%s is damaged: restore the file from a backup", path);
	return err;
}

static enum sm_err index_again(struct io *io, const char *dir, int64_t base_offset, struct sm_error *reterr)
{
	struct segment *s = log__segment_new(io, dir, base_offset);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct segment_index index = {0};
	enum sm_err err = log__segment_load(s, reterr);
	uint64_t position = SEGMENT_HEADER;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	int64_t offset = base_offset;
	while (!err && position < s->end) {
		struct log_slice slice;
		struct bytes data = {0};
		struct batch_info info;
		if ((err = log__segment_read(s, offset, 1 << 20, &slice, NULL)))
			break;
		err = log_slice_bytes(&slice, &buffer, &cap, &data);
		for (; !err && data.size && !batch_parse(data, &info); data = bytes_of(data.data + info.size, data.size - info.size)) {
			err = log__index_add(&index, base_offset, &info, position);
			position += info.size;
			offset = info.base_offset + info.last_offset_delta + 1;
		}
		log_slice_done(&slice);
	}
	free(buffer);
	/* It is only an index: what is damaged is found by whoever reads it. */
	if (!err)
		err = log__index_write(io, s->path, base_offset, &index, reterr);
	log__index_done(&index);
	log__segment_unref(s);
	return err == SM_CORRUPT ? SM_OK : err;
}

static enum sm_err resume(struct io *io, const char *dir, int64_t base_offset, const struct left *logs, struct sm_error *reterr)
{
	char path[PATH_MAX];
	int64_t next_offset = base_offset;
	path_of(dir, base_offset, ".swap", path);
	enum sm_err err = end_of(io, path, &next_offset, reterr);
	int64_t *covered = calloc(logs->count + 1, sizeof *covered);
	uint32_t count = 0;
	if (!err && !covered)
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	for (uint32_t i = 0; !err && i < logs->count; i++)
		if (logs->offsets[i] >= base_offset && logs->offsets[i] < next_offset)
			covered[count++] = logs->offsets[i];
	if (!err && !(err = finish(io, dir, base_offset, covered, count, reterr)))
		err = index_again(io, dir, base_offset, reterr);
	free(covered);
	return err;
}

enum sm_err log__compact_resume(struct io *io, const char *dir, struct sm_error *reterr)
{
	struct left cleaned = {.suffix = ".cleaned"}, swaps = {.suffix = ".swap"}, logs = {.suffix = ".log"};
	enum sm_err err;
	if ((err = io->ops->list(io, dir, collect, &cleaned, reterr)) || (err = io->ops->list(io, dir, collect, &swaps, reterr)) ||
	    (err = io->ops->list(io, dir, collect, &logs, reterr)))
		goto done;
	for (uint32_t i = 0; i < cleaned.count && !err; i++)
		err = unlink_one(io, dir, cleaned.offsets[i], ".cleaned", reterr);
	for (uint32_t i = 0; i < swaps.count && !err; i++)
		err = resume(io, dir, swaps.offsets[i], &logs, reterr);
done:
	free(cleaned.offsets);
	free(swaps.offsets);
	free(logs.offsets);
	return err;
}
