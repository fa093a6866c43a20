/* What recovery.c and salvage.c share: the last segment of a partition while it is looked through. */
#ifndef LOG_RECOVERY_INTERNAL_H
#define LOG_RECOVERY_INTERNAL_H

#include "log/log_internal.h"

struct tail {
	const struct recovery *r;
	struct recovered *out;   /* its segments have room for one more */
	struct segment **before; /* the segments before this one */
	uint32_t before_count;
	struct segment *segment;
	struct segment_writer *w;
	struct producers *producers;
	struct segment_mark mark;
	int page; /* where the mark stands */
	struct scanner scan;
	uint64_t end;     /* X */
	uint64_t synced;  /* what stands before this was acknowledged */
	int64_t named;    /* some file of the directory tells that offsets were given out up to here */
	bool end_unknown; /* nothing tells how far the segment's offsets went */
};

/* The batch at the scanner's position is right: into index, producers and transactions with it, and on. */
SM_MUST_CHECK enum sm_err log__tail_take(struct tail *t, const struct batch_info *info, struct sm_error *reterr);
/* ---- salvage.c ---- */
/* Had the segment, of which nothing is left, been made in full? Then something may have been in it. */
SM_MUST_CHECK enum sm_err log__tail_was_made(struct tail *t, bool *ret, struct sm_error *reterr);
/* The segment is damaged before t->synced, or segments after it are missing: keep what can be read, and go on behind it. */
SM_MUST_CHECK enum sm_err log__salvage(struct tail *t, struct sm_error *reterr);
/* All segments are missing. */
SM_MUST_CHECK enum sm_err log__salvage_none(struct tail *t, struct sm_error *reterr);

#endif
