/* The actor of a partition: numbers batches, queues them, writes one group at a time.
 *
 * Everything that touches the disk is one job on the pool at a time; while it runs, appends wait here and share the next
 * group. Batches are given their offsets and checked against producer state when their group is formed, so what they are
 * checked against is on disk except for their own group, and a group that fails is undone as a whole. */
#include "actor/actor.h"
#include "base/metrics.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct append {
	struct sm_msg msg; /* first */
	struct append *next;
	struct partition *partition; /* counted */
	uint8_t *bytes;
	size_t size;
	uint8_t *owned;       /* a copy of the bytes, when nobody waits for the sync */
	bool duplicate;       /* it is answered with its group, but has no bytes in it */
	log_append_done done; /* NULL: answered already */
	void *arg;
	struct log_append_result result;
};

struct control {
	struct sm_msg msg; /* first */
	struct control *next;
	struct engine *engine;
	enum partition_job job;
	int64_t offset;
	bool rolled; /* a retention has had its roll */
	void (*done)(void *arg, const struct sm_error *error);
	void *arg;
};

struct group {
	struct append *head, **tail;
	uint32_t count;
	struct iovec *iov;
	uint32_t iov_count, iov_cap;
	size_t size;
	int64_t first_offset, next_offset, max_timestamp_ms, records;
};

/* While `busy`, `out`, `producers` and the fields of the job belong to the pool. */
struct partition_writer {
	struct partition *partition;
	struct sm_actor *self;
	struct actor_turn_hook hook;
	struct append *head, **tail; /* waiting for a group */
	struct control *controls, **controls_tail;
	struct segment_writer out; /* segment NULL: nothing was ever appended */
	struct producers producers;
	int64_t next_offset;
	struct group group;

	bool busy;
	struct sm_work work;
	struct sm_msg done_msg;
	enum partition_job job;
	struct control *control; /* whose job it is; NULL: the partition's own */
	struct segment *fresh;   /* the segment that a roll makes */
	bool retry;
	struct sm_error error;
	uint64_t started_ns;
};

static void append_free(struct sm_msg *msg);
static void control_free(struct sm_msg *msg);
static const struct sm_msg_type append_type = {"log append", append_free};
static const struct sm_msg_type control_type = {"log control", control_free};
static const struct sm_msg_type job_done_type = {"log job done", NULL};

static void go_on(struct partition_writer *w);

/* ---- appends: on the caller's thread ---- */

/* Answer an append and free it. */
static void append_finish(struct append *a, enum sm_err err)
{
	struct partition *p = a->partition;
	a->result.err = err;
	if (err)
		a->result.base_offset = -1;
	atomic_fetch_sub(&p->pending_bytes, a->size);
	if (a->done)
		a->done(a->arg, &a->result);
	struct engine *engine = p->engine;
	log__partition_unref(p);
	free(a->owned);
	free(a);
	atomic_fetch_sub(&engine->live, 1);
}

/* A message that the actor never took up: it has ended. */
static void append_free(struct sm_msg *msg)
{
	struct append *a = (struct append *)msg;
	append_finish(a, a->partition->gone ? a->partition->gone : SM_CLOSED);
}

static enum sm_err batches_check(const struct partition *p, const uint8_t *data, size_t size)
{
	uint32_t count = 0;
	bool idempotent = false;
	if (size == 0)
		return SM_INVALID;
	if (size > LOG_GROUP_BYTES_MAX)
		return SM_TOO_LARGE;
	for (size_t at = 0; at < size;) {
		struct bytes rest = bytes_of(data + at, size - at);
		struct batch_info info;
		enum sm_err err = batch_parse(rest, &info);
		if (err)
			return err == SM_TRUNCATED ? SM_CORRUPT : err;
		if (info.size > p->settings.max_message_bytes)
			return SM_TOO_LARGE;
		if (info.attributes & BATCH_CONTROL)
			return SM_INVALID;
		if (info.attributes & BATCH_TRANSACTIONAL)
			return SM_UNSUPPORTED;
		if ((err = batch_check(bytes_of(rest.data, info.size), &info)))
			return err;
		if (info.producer_id >= 0) {
			idempotent = true;
			if (info.producer_epoch < 0 || info.base_sequence < 0)
				return SM_INVALID;
		}
		at += info.size;
		count++;
	}
	/* Two batches of which one is a duplicate would need two answers. */
	return idempotent && count > 1 ? SM_INVALID : SM_OK;
}

static void answer_now(struct partition *p, log_append_done done, void *arg, enum sm_err err)
{
	pthread_mutex_lock(&p->lock);
	struct log_append_result result = {err, -1, -1, p->log_start_offset};
	pthread_mutex_unlock(&p->lock);
	done(arg, &result);
}

static enum sm_err append_send(struct partition *p, uint8_t *batches, size_t size, unsigned flags, log_append_done done, void *arg)
{
	struct append *a = calloc(1, sizeof *a);
	if (!a)
		return SM_NO_MEMORY;
	if (flags & LOG_ACKS_NONE) {
		if (!(a->owned = malloc(size))) {
			free(a);
			return SM_NO_MEMORY;
		}
		memcpy(a->owned, batches, size);
		batches = a->owned;
	} else {
		a->done = done;
		a->arg = arg;
	}
	a->msg.type = &append_type;
	a->partition = log__partition_ref(p);
	a->bytes = batches;
	a->size = size;
	a->result.log_append_time_ms = -1;
	atomic_fetch_add(&p->engine->live, 1);
	enum sm_err err = sm_send(p->actor, &a->msg);
	if (err) {
		a->done = NULL;
		append_finish(a, err);
		return err == SM_GONE ? SM_CLOSED : err;
	}
	if (flags & LOG_ACKS_NONE)
		answer_now(p, done, arg, SM_OK);
	return SM_OK;
}

void log__partition_append(struct partition *p, uint8_t *batches, size_t size, unsigned flags, log_append_done done, void *arg)
{
	pthread_mutex_lock(&p->lock);
	enum sm_err err = p->gone ? p->gone : p->failed;
	pthread_mutex_unlock(&p->lock);
	if (!err)
		err = batches_check(p, batches, size);
	if (!err && atomic_fetch_add(&p->pending_bytes, size) + size > LOG_PENDING_BYTES_MAX) {
		atomic_fetch_sub(&p->pending_bytes, size);
		err = SM_FULL;
	}
	if (!err) /* takes the pending bytes over, except when out of memory */
		err = append_send(p, batches, size, flags, done, arg);
	if (err == SM_NO_MEMORY)
		atomic_fetch_sub(&p->pending_bytes, size);
	if (err)
		answer_now(p, done, arg, err);
}

/* ---- forming a group ---- */

static void fail_waiting(struct partition_writer *w, enum sm_err err)
{
	struct append *a = w->head;
	w->head = NULL;
	w->tail = &w->head;
	while (a) {
		struct append *next = a->next;
		append_finish(a, err);
		a = next;
	}
}

static void group_clear(struct group *g)
{
	g->head = NULL;
	g->tail = &g->head;
	g->count = g->iov_count = 0;
	g->size = 0;
	g->records = 0;
	g->max_timestamp_ms = -1;
}

static void group_put(struct group *g, struct append *a)
{
	a->next = NULL;
	*g->tail = a;
	g->tail = &a->next;
	g->count++;
}

/* SM_DUPLICATE: answered from what is there; *ret_in_group: its original waits in this very group. */
static enum sm_err producer_check(struct partition_writer *w, struct append *a, const struct batch_info *info, bool *ret_in_group)
{
	struct producer_batch there;
	enum sm_err err = log__producers_check(&w->producers, info, &there);
	if (err == SM_DUPLICATE) {
		a->result.base_offset = there.base_offset;
		a->result.log_append_time_ms = there.timestamp_ms;
		*ret_in_group = there.base_offset >= w->group.first_offset;
	}
	return err;
}

/* Give the append's batches their offsets. */
static enum sm_err append_number(struct partition_writer *w, struct append *a, int64_t now_ms, bool *ret_in_group)
{
	struct partition *p = w->partition;
	struct group *g = &w->group;
	a->result.base_offset = g->next_offset;
	if (p->settings.log_append_time)
		a->result.log_append_time_ms = now_ms;
	for (size_t at = 0; at < a->size;) {
		struct batch_info info;
		enum sm_err err = batch_parse(bytes_of(a->bytes + at, a->size - at), &info);
		if (err)
			return err; /* its owner changed it meanwhile */
		if (info.producer_id >= 0 &&
		    ((err = producer_check(w, a, &info, ret_in_group)) ||
		     (err = log__producers_add(&w->producers, &info, g->next_offset, a->result.log_append_time_ms, now_ms, true))))
			return err;
		batch_set_offset(a->bytes + at, g->next_offset, LOG_LEADER_EPOCH);
		if (p->settings.log_append_time) {
			batch_set_log_append_time(a->bytes + at, info.size, now_ms);
			info.max_timestamp_ms = now_ms;
		}
		if (info.max_timestamp_ms > g->max_timestamp_ms)
			g->max_timestamp_ms = info.max_timestamp_ms;
		g->next_offset += info.last_offset_delta + 1;
		g->records += info.record_count;
		at += info.size;
	}
	return SM_OK;
}

static bool group_has_room(struct partition_writer *w, const struct append *a)
{
	const struct group *g = &w->group;
	uint64_t segment_left = w->partition->settings.segment_bytes > w->out.end ? w->partition->settings.segment_bytes - w->out.end : 0;
	return g->count == 0 ||
	       (g->size + a->size <= LOG_GROUP_BYTES_MAX && g->size + a->size <= segment_left && g->count < LOG_GROUP_APPENDS_MAX);
}

/* The segment is full for what comes next, or there is none. Index entries hold offsets in 32 bits. */
static bool must_roll(const struct partition_writer *w, const struct append *a)
{
	const struct segment_writer *out = &w->out;
	if (!out->segment)
		return true;
	return out->end > SEGMENT_HEADER &&
	       (out->end + a->size > w->partition->settings.segment_bytes || w->next_offset - out->segment->base_offset > INT32_MAX);
}

static bool iov_put(struct group *g, uint8_t *data, size_t size)
{
	if (g->iov_count == g->iov_cap) {
		uint32_t cap = g->iov_cap ? g->iov_cap * 2 : 16;
		struct iovec *grown = realloc(g->iov, cap * sizeof *grown);
		if (!grown)
			return false;
		g->iov = grown;
		g->iov_cap = cap;
	}
	g->iov[g->iov_count++] = (struct iovec){data, size};
	g->size += size;
	return true;
}

/* Take waiting appends into a group, until it is full. */
static void group_form(struct partition_writer *w)
{
	struct group *g = &w->group;
	int64_t now_ms = clock_wall_ms(w->partition->engine->clock);
	group_clear(g);
	g->first_offset = g->next_offset = w->next_offset;
	while (w->head && group_has_room(w, w->head)) {
		struct append *a = w->head;
		if (!(w->head = a->next))
			w->tail = &w->head;
		bool in_group = false;
		const struct group before = *g;
		enum sm_err err = append_number(w, a, now_ms, &in_group);
		if (!err && !iov_put(g, a->bytes, a->size)) {
			/* Its sequence numbers are taken: whoever repeats it would hear of a duplicate. Undone with its group. */
			err = SM_NO_MEMORY;
			log__producers_undo(&w->producers);
		}
		if (!err) {
			group_put(g, a);
			continue;
		}
		g->next_offset = before.next_offset;
		g->max_timestamp_ms = before.max_timestamp_ms;
		g->records = before.records;
		a->duplicate = err == SM_DUPLICATE;
		if (a->duplicate && in_group)
			group_put(g, a);
		else
			append_finish(a, a->duplicate ? SM_OK : err);
	}
}

/* ---- jobs: on the pool ---- */

/* Make the partition's directory and first segment, or seal the segment and make the next. */
static enum sm_err job_roll(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	enum sm_err err;
	struct segment_writer next = {.segment = w->fresh};
	if (!w->out.segment) {
		if ((err = p->io->ops->mkdir(p->io, p->dir, reterr)) || (err = p->io->ops->sync_dir(p->io, p->engine->dir, reterr)))
			return err;
	} else if ((err = log__producers_write(&w->producers, p->io, p->dir, w->next_offset, reterr)) ||
		   (err = log__writer_seal(&w->out, reterr))) {
		return err;
	}
	if ((err = log__writer_create(&next, p->dir, reterr)))
		return err;
	w->out = next;
	return SM_OK;
}

static enum sm_err job_group(struct partition_writer *w, struct sm_error *reterr)
{
	const struct group_write group = {
		.iov = w->group.iov,
		.iov_count = (int)w->group.iov_count,
		.size = w->group.size,
		.next_offset = w->group.next_offset,
		.max_timestamp_ms = w->group.max_timestamp_ms,
		.segment_bytes = w->partition->settings.segment_bytes,
#ifdef SMACK_PLANT_FAULTS
		.no_sync = w->partition->engine->ack_before_sync,
#endif
	};
	return log__writer_group(&w->out, &group, &w->retry, reterr);
}

static enum sm_err job_close(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	enum sm_err err;
	if (!w->out.segment || !w->out.unclean || p->failed)
		return SM_OK; /* a failed one is left to recovery */
	if ((err = log__producers_write(&w->producers, p->io, p->dir, w->next_offset, reterr)))
		return err;
	return log__writer_seal(&w->out, reterr);
}

static enum sm_err job_delete(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	if (!w->out.segment)
		return SM_OK;
	enum sm_err err = io_remove_tree(p->io, p->dir, reterr);
	return err ? err : p->io->ops->sync_dir(p->io, p->engine->dir, reterr);
}

static void job_run(struct sm_work *work)
{
	struct partition_writer *w = (struct partition_writer *)((char *)work - offsetof(struct partition_writer, work));
	struct sm_error *reterr = &w->error;
	enum sm_err err = SM_OK;
	w->retry = false;
	switch (w->job) {
	case PARTITION_GROUP: err = job_group(w, reterr); break;
	case PARTITION_ROLL:
		err = job_roll(w, reterr);
		w->retry = err == SM_NO_SPACE || err == SM_NO_FILES || err == SM_NO_MEMORY;
		break;
	case PARTITION_RETENTION:
		err = log__partition_drop_old(w->partition, clock_wall_ms(w->partition->engine->clock), -1, reterr);
		break;
	case PARTITION_DROP_BEFORE: err = log__partition_drop_old(w->partition, 0, w->control->offset, reterr); break;
	case PARTITION_CLOSE: err = job_close(w, reterr); break;
	case PARTITION_DELETE: err = job_delete(w, reterr); break;
	}
	w->error.code = err;
}

/* ---- after a job ---- */

/* The group is on disk: let readers see it, then say so. */
static void group_is_written(struct partition_writer *w)
{
	struct partition *p = w->partition;
	struct group *g = &w->group;
	struct segment *s = w->out.segment;
	uint64_t position = w->out.end - g->size;
	log__producers_keep(&w->producers);
	w->next_offset = g->next_offset;

	pthread_mutex_lock(&s->lock);
	for (struct append *a = g->head; a; a = a->next) {
		struct batch_info info;
		for (size_t at = 0; !a->duplicate && at < a->size && !batch_parse(bytes_of(a->bytes + at, a->size - at), &info);
		     at += info.size) {
			/* Without memory the index is only sparser. */
			(void)!log__index_add(&s->index, s->base_offset, &info, position);
			position += info.size;
		}
	}
	s->end = w->out.end;
	s->next_offset = w->out.next_offset;
	s->max_timestamp_ms = w->out.max_timestamp_ms;
	pthread_mutex_unlock(&s->lock);

	pthread_mutex_lock(&p->lock);
	p->high_watermark = g->next_offset;
	int64_t log_start = p->log_start_offset;
	pthread_mutex_unlock(&p->lock);

	metric_add_labelled(METRIC_LOG_RECORDS, p->topic, g->records);
	metric_add_labelled(METRIC_LOG_BYTES, p->topic, (int64_t)g->size);
	metric_add(METRIC_LOG_SYNCS, 1);
	metric_observe_us(METRIC_LOG_SYNC_US, (clock_monotonic_ns(&clock_system) - w->started_ns) / 1000);
	log__partition_wake(p, SM_OK);
	for (struct append *a = g->head, *next; a; a = next) {
		next = a->next;
		a->result.log_start_offset = log_start;
		append_finish(a, SM_OK);
	}
	group_clear(g);
}

static void group_has_failed(struct partition_writer *w, enum sm_err err)
{
	log__producers_undo(&w->producers);
	for (struct append *a = w->group.head, *next; a; a = next) {
		next = a->next;
		append_finish(a, err);
	}
	group_clear(&w->group);
}

/* Nothing is acknowledged any more until a restart has looked at the disk. */
static void become_read_only(struct partition_writer *w)
{
	pthread_mutex_lock(&w->partition->lock);
	w->partition->failed = SM_IO;
	pthread_mutex_unlock(&w->partition->lock);
	fail_waiting(w, SM_IO);
}

static enum sm_err segments_push(struct partition *p, struct segment *s)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&p->lock);
	if (p->segment_count == p->segment_cap) {
		uint32_t cap = p->segment_cap ? p->segment_cap * 2 : 4;
		struct segment **grown = realloc(p->segments, cap * sizeof *grown);
		if (grown) {
			p->segments = grown;
			p->segment_cap = cap;
		} else {
			err = SM_NO_MEMORY;
		}
	}
	if (!err)
		p->segments[p->segment_count++] = s;
	pthread_mutex_unlock(&p->lock);
	return err;
}

static void roll_has_ended(struct partition_writer *w, enum sm_err err)
{
	struct segment *fresh = w->fresh;
	struct partition *p = w->partition;
	w->fresh = NULL;
	if (!err && (err = segments_push(p, fresh)))
		w->out.segment = NULL;
	if (err) {
		log__segment_unref(fresh);
		if (w->retry && w->out.segment != fresh)
			fail_waiting(w, err);
		else
			become_read_only(w);
		return;
	}
	if (p->segment_count < 2)
		return;
	struct segment *sealed = p->segments[p->segment_count - 2];
	pthread_mutex_lock(&sealed->lock);
	sealed->active = false;
	log__index_done(&sealed->index); /* its file has it from now on */
	pthread_mutex_unlock(&sealed->lock);
	log__segment_release(log__segment_ref(sealed));
}

static void partition_is_gone(struct partition_writer *w, enum sm_err why)
{
	struct partition *p = w->partition;
	pthread_mutex_lock(&p->lock);
	p->gone = why;
	struct segment **segments = p->segments;
	uint32_t count = p->segment_count;
	p->segments = NULL;
	p->segment_count = p->segment_cap = 0;
	pthread_mutex_unlock(&p->lock);
	w->out.segment = NULL;
	for (uint32_t i = 0; i < count; i++)
		log__segment_unref(segments[i]);
	free(segments);
	fail_waiting(w, why);
	log__partition_wake(p, why);
	sm_stop(sm_self(w->self));
}

static void job_has_ended(struct partition_writer *w)
{
	struct control *control = w->control;
	enum sm_err err = w->error.code;
	w->busy = false;
	w->control = NULL;
	switch (w->job) {
	case PARTITION_GROUP:
		if (!err) {
			group_is_written(w);
		} else {
			group_has_failed(w, w->retry ? err : SM_IO);
			if (!w->retry)
				become_read_only(w);
		}
		break;
	case PARTITION_ROLL: roll_has_ended(w, err); break;
	case PARTITION_RETENTION:
	case PARTITION_DROP_BEFORE: break;
	case PARTITION_CLOSE: partition_is_gone(w, SM_CLOSED); break;
	case PARTITION_DELETE: partition_is_gone(w, SM_NOT_FOUND); break;
	}
	if (control) {
		control->done(control->arg, err ? &w->error : NULL);
		control->done = NULL;
		sm_msg_free(&control->msg);
	}
	go_on(w);
}

/* ---- the actor ---- */

static void job_start(struct partition_writer *w, enum partition_job job)
{
	w->job = job;
	w->busy = true;
	w->error = (struct sm_error){.code = SM_OK};
	w->started_ns = clock_monotonic_ns(&clock_system);
	w->done_msg = (struct sm_msg){.type = &job_done_type};
	w->work = (struct sm_work){.run = job_run, .reply_to = sm_self(w->self), .done_msg = &w->done_msg};
	enum sm_err err = sm_pool_run(w->partition->engine->system, &w->work);
	if (!err)
		return;
	w->error = (struct sm_error){.code = err};
	w->retry = true;
	job_has_ended(w);
}

static void roll_start(struct partition_writer *w)
{
	if (!(w->fresh = log__segment_new(w->partition->io, w->partition->dir, w->next_offset))) {
		fail_waiting(w, SM_NO_MEMORY);
		return;
	}
	job_start(w, PARTITION_ROLL);
}

static bool active_has_expired(const struct partition_writer *w)
{
	int64_t keep_ms = w->partition->settings.retention_ms;
	return keep_ms >= 0 && w->out.segment && w->out.end > SEGMENT_HEADER && w->out.max_timestamp_ms >= 0 &&
	       w->out.max_timestamp_ms < clock_wall_ms(w->partition->engine->clock) - keep_ms;
}

static void control_start(struct partition_writer *w)
{
	struct control *c = w->controls;
	bool failed = w->partition->failed != SM_OK;
	/* Retention of an idle topic: its last segment too grows old, and only a sealed one can go. */
	if (c->job == PARTITION_RETENTION && !failed && !c->rolled && active_has_expired(w)) {
		c->rolled = true;
		roll_start(w);
		return;
	}
	if (!(w->controls = c->next))
		w->controls_tail = &w->controls;
	w->control = c;
	if (c->job == PARTITION_ROLL && (failed || !w->out.segment || w->out.end == SEGMENT_HEADER)) {
		w->control = NULL;
		c->done(c->arg, failed ? &(struct sm_error){.code = SM_IO, .text = "the partition is read-only"} : NULL);
		c->done = NULL;
		sm_msg_free(&c->msg);
		go_on(w);
	} else if (c->job == PARTITION_ROLL) {
		roll_start(w);
	} else {
		job_start(w, c->job);
	}
}

/* Start what is due, if nothing runs. */
static void go_on(struct partition_writer *w)
{
	if (w->busy)
		return;
	/* What was queued before a close is written before it. */
	if (w->controls && !(w->controls->job == PARTITION_CLOSE && w->head)) {
		control_start(w);
		return;
	}
	while (w->head && !w->busy) {
		if (must_roll(w, w->head)) {
			roll_start(w);
			continue;
		}
		group_form(w);
		if (w->group.count)
			job_start(w, PARTITION_GROUP);
	}
	if (!w->busy && !w->head && w->controls)
		control_start(w);
}

static void turn_is_over(struct actor_turn_hook *hook)
{
	go_on((struct partition_writer *)((char *)hook - offsetof(struct partition_writer, hook)));
}

static enum sm_err receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct partition_writer *w = ((struct partition *)*(void **)state)->writer;
	if (msg->type == &append_type) {
		struct append *a = (struct append *)msg;
		sm_msg_keep(self);
		if (w->partition->gone || w->partition->failed) {
			append_finish(a, w->partition->gone ? w->partition->gone : w->partition->failed);
			return SM_OK;
		}
		a->next = NULL;
		*w->tail = a;
		w->tail = &a->next;
		if (!w->busy)
			actor_at_turn_end(self, &w->hook); /* what else came in this turn shares the group */
	} else if (msg->type == &control_type) {
		struct control *c = (struct control *)msg;
		sm_msg_keep(self);
		c->next = NULL;
		*w->controls_tail = c;
		w->controls_tail = &c->next;
		go_on(w);
	} else if (msg->type == &job_done_type) {
		job_has_ended(w);
	}
	return SM_OK;
}

static enum sm_err init(struct sm_actor *self, void *state, void *arg)
{
	struct partition *p = arg;
	p->writer->self = self;
	*(void **)state = p;
	return SM_OK;
}

static void done(struct sm_actor *self, void *state)
{
	struct partition *p = *(void **)state;
	struct partition_writer *w = p->writer;
	struct engine *engine = p->engine;
	actor_turn_hook_cancel(self, &w->hook);
	if (w->busy) /* the system was stopped under an open log: the pool still uses this */
		return;
	fail_waiting(w, SM_CLOSED);
	while (w->controls) {
		struct control *c = w->controls;
		w->controls = c->next;
		sm_msg_free(&c->msg);
	}
	log__producers_done(&w->producers);
	free(w->group.iov);
	free(w);
	p->writer = NULL;
	log__partition_unref(p);
	atomic_fetch_sub(&engine->live, 1);
}

static void control_free(struct sm_msg *msg)
{
	struct control *c = (struct control *)msg;
	if (c->done)
		c->done(c->arg, &(struct sm_error){.code = SM_CLOSED, .text = "the log is closed"});
	atomic_fetch_sub(&c->engine->live, 1);
	free(c);
}

enum sm_err log__partition_do(struct partition *p, enum partition_job job, int64_t offset,
			      void (*control_done)(void *arg, const struct sm_error *error), void *arg)
{
	struct control *c = calloc(1, sizeof *c);
	if (!c)
		return SM_NO_MEMORY;
	c->msg.type = &control_type;
	c->engine = p->engine;
	atomic_fetch_add(&c->engine->live, 1);
	c->job = job;
	c->offset = offset;
	c->done = control_done;
	c->arg = arg;
	enum sm_err err = sm_send_reply(p->actor, &c->msg); /* past the bound: the engine itself sends few of them */
	if (err) {
		c->done = NULL;
		sm_msg_free(&c->msg);
	}
	return err;
}

/* ---- life ---- */

struct partition *log__partition_ref(struct partition *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void log__partition_unref(struct partition *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	for (uint32_t i = 0; i < p->segment_count; i++)
		log__segment_unref(p->segments[i]);
	free(p->segments);
	sm_unref(p->actor);
	pthread_mutex_destroy(&p->lock);
	free(p->topic);
	free(p->dir);
	free(p);
}

static enum sm_err recover(struct partition *p, struct partition_writer *w, struct sm_error *reterr)
{
	struct engine *e = p->engine;
	const struct recovery r = {
		.io = p->io, .dir = p->dir, .notice = e->notice, .notice_arg = e->notice_arg, .now_ms = clock_wall_ms(e->clock)};
	struct recovered found = {0};
	enum sm_err err = log__recover(&r, &w->producers, &found, reterr);
	if (err == SM_NOT_FOUND) /* no directory: nothing was ever appended */
		return SM_OK;
	if (err)
		return err;
	p->segments = found.segments;
	p->segment_count = p->segment_cap = found.count;
	w->out = found.writer;
	w->next_offset = p->high_watermark = found.next_offset;
	p->log_start_offset = found.count ? found.segments[0]->base_offset : 0;
	return SM_OK;
}

enum sm_err log__partition_new(struct engine *engine, const char *topic, int32_t number, const struct topic_settings *settings,
			       struct partition **ret_partition, struct sm_error *reterr)
{
	struct partition *p = calloc(1, sizeof *p);
	struct partition_writer *w = calloc(1, sizeof *w);
	char name[300];
	enum sm_err err = SM_NO_MEMORY;
	snprintf(name, sizeof name, "%s-%d", topic, number);
	if (!p || !w || !(p->topic = strdup(topic)) || asprintf(&p->dir, "%s/%s", engine->dir, name) < 0)
		goto failed;
	atomic_init(&p->refs, 1);
	pthread_mutex_init(&p->lock, NULL);
	p->engine = engine;
	p->io = engine->io;
	p->number = number;
	p->settings = *settings;
	p->writer = w;
	w->partition = p;
	w->tail = &w->head;
	w->controls_tail = &w->controls;
	w->hook.run = turn_is_over;
	group_clear(&w->group);
	log__producers_init(&w->producers);
	if ((err = recover(p, w, reterr)))
		goto failed_started;
	const struct sm_props props = {.name = name,
				       .state_size = sizeof(void *),
				       .init = init,
				       .receive = receive,
				       .done = done,
				       .arg = log__partition_ref(p),
				       .dispatcher = -1};
	atomic_fetch_add(&engine->live, 1);
	if ((err = sm_spawn(engine->system, NULL, &props, &p->actor))) {
		atomic_fetch_sub(&engine->live, 1);
		sm_fail(reterr, err, "cannot start partition %s", name);
		p->refs = 1;
		goto failed_started;
	}
	*ret_partition = p;
	return SM_OK;
failed_started:
	log__producers_done(&w->producers);
	free(w);
	log__partition_unref(p);
	return err;
failed:
	free(w);
	if (p)
		free(p->topic);
	free(p);
	return sm_fail(reterr, err, "no memory for partition %s", name);
}
