/* A partition's files become a partition, or it is offline. */
#include "log/partition_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* Where the partition begins: what is kept of it, or its first segment where an older version has deleted without keeping that. */
static enum sm_err start_find(struct partition *p, const struct recovery *r, bool kept, int64_t first, struct sm_error *reterr)
{
	int64_t start = r->start_offset;
	enum sm_err err = SM_OK;
	if (!kept && first > 0 && p->engine->format == 1) {
		start = first;
		err = log__offset_write(p->io, p->dir, "start", start, reterr);
	} else if (start < first) {
		log__lost_first(r, start, first);
	}
	p->start_kept = start;
	p->log_start_offset = start < p->high_watermark ? start : p->high_watermark;
	return err;
}

static enum sm_err recover(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	struct engine *e = p->engine;
	struct recovery r = {.io = p->io, .dir = p->dir, .notice = log__notice, .notice_arg = e, .now_ms = clock_wall_ms(e->clock)};
	struct recovered found = {0};
	enum sm_err err = log__offset_read(p->io, p->dir, "start", &r.start_offset, reterr);
	bool kept = !err;
	if (err && err != SM_NOT_FOUND)
		return err;
	err = log__recover(&r, &w->producers, &found, reterr);
	if (err == SM_NOT_FOUND) /* no directory: nothing was ever appended */
		return SM_OK;
	if (err)
		return err;
	p->segments = found.segments;
	p->segment_count = p->segment_cap = found.count;
	w->out = found.writer;
	w->checked = found.checked;
	w->next_offset = p->high_watermark = found.next_offset;
	int64_t unstable = log__txn_unstable(&w->producers);
	p->last_stable_offset = unstable < 0 ? p->high_watermark : unstable;
	return start_find(p, &r, kept, found.count ? found.segments[0]->base_offset : 0, reterr);
}

/* One partition that cannot be opened does not keep the others from being served. What no partition could do without does. */
static enum sm_err go_offline(struct partition_writer *w, enum sm_err err, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	char text[sizeof reterr->text + 200];
	if (err == SM_NO_MEMORY || err == SM_VERSION || err == SM_NO_FILES)
		return err;
	for (uint32_t i = 0; i < p->segment_count; i++)
		log__segment_unref(p->segments[i]);
	free(p->segments);
	p->segments = NULL;
	p->segment_count = p->segment_cap = 0;
	w->out = (struct segment_writer){0};
	log__producers_clear(&w->producers);
	p->offline = true;
	p->failed = SM_IO;
	snprintf(text, sizeof text, "partition %s-%d is offline, its records can be neither read nor written: %s", p->topic, p->number,
		 reterr->text);
	log__notice(p->engine, text);
	return SM_OK;
}

enum sm_err log__partition_open(struct partition_writer *w, struct sm_error *reterr)
{
	struct sm_error error = {.text = ""};
	enum sm_err err = recover(w, &error);
	/* The actor that could be told to close it is not there yet. */
	if (!err && w->out.segment && !log__files_room(&w->partition->engine->files))
		log__segment_rest(w->out.segment);
	if (err && (err = go_offline(w, err, &error)) && reterr)
		*reterr = error;
	return err;
}
