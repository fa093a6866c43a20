/* The actor of a partition: numbers batches, queues them, writes one group at a time.
 *
 * Everything that touches the disk is one job on the pool at a time; while it runs, appends wait here and share the next
 * group. Batches are given their offsets and checked against producer state when their group is formed, so what they are
 * checked against is on disk except for their own group, and a group that fails is undone as a whole. */
#include "log/partition_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static void control_free(struct sm_msg *msg);
static const struct sm_msg_type control_type = {"log control", control_free};
static const struct sm_msg_type job_done_type = {"log job done", NULL};

static void go_on(struct partition_writer *w);

enum { GATHER_TIMER = 1, SYNC_TIMER };

/* ---- jobs: on the pool ---- */

/* Producer state as of now. Recovery needs it, or the one at the segment's start if the segment's end does not get its clean mark.
 * With it, what became of the segment's transactions. */
static enum sm_err snapshot_write(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	struct segment *s = w->out.segment;
	log__producers_expire(&w->producers, clock_wall_ms(p->engine->clock) - LOG_PRODUCER_EXPIRE_MS);
	pthread_mutex_lock(&s->lock);
	enum sm_err err = log__txn_index_seal(&s->txns, &w->producers);
	pthread_mutex_unlock(&s->lock);
	if (err)
		return sm_fail(reterr, err, "%s: no memory", s->path);
	/* Only this job changes the list. */
	if (!(err = log__txn_index_write(p->io, p->dir, s->base_offset, &s->txns, reterr)))
		err = log__producers_write(&w->producers, p->io, p->dir, w->next_offset, reterr);
	if (!err)
		log__producers_clean(p->io, p->dir, w->out.segment->base_offset, w->next_offset);
	return err;
}

static enum sm_err seal(struct partition_writer *w, struct sm_error *reterr)
{
	enum sm_err err = log__writer_sync(&w->out, reterr);
	if (!err)
		err = snapshot_write(w, reterr);
	return err ? err : log__writer_seal(&w->out, reterr);
}

/* Make the partition's directory and first segment, or seal the segment and make the next. */
static enum sm_err job_roll(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	enum sm_err err;
	struct segment_writer next = {.segment = w->fresh};
	if (!w->out.segment) {
		if ((err = p->io->ops->mkdir(p->io, p->dir, reterr)) || (err = p->io->ops->sync_dir(p->io, p->engine->dir, reterr)))
			return err;
	} else if ((err = seal(w, reterr))) {
		return err;
	}
	if ((err = log__writer_create(&next, p->dir, reterr)))
		return err;
	/* A hint for recovery, which harms nobody if it is lost. */
	if (w->out.segment)
		(void)!log__writer_followed(&w->out, false, NULL);
	w->out = next;
	w->checked = next.end;
	return SM_OK;
}

/* Not the log of transactions: of two partitions of one, both or none are to have its end. */
static bool syncs_later(const struct partition *p)
{
	return p->engine->sync_interval_ms && strcmp(p->topic, TOPIC_TRANSACTIONS) != 0;
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
		.bulk = &w->partition->engine->bulk,
		.later = syncs_later(w->partition),
#ifdef SMACK_PLANT_FAULTS
		.no_sync = w->partition->engine->ack_before_sync,
#endif
	};
	return log__writer_group(&w->out, &group, &w->retry, reterr);
}

static enum sm_err job_close(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	if (!w->out.segment || !w->out.unclean || p->failed)
		return SM_OK; /* a failed one is left to recovery */
	return seal(w, reterr);
}

static enum sm_err job_delete(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	if (!w->out.segment && !p->offline) /* it has no directory */
		return SM_OK;
	pthread_mutex_lock(&p->files_lock);
	p->files_gone = true;
	enum sm_err err = io_remove_tree(p->io, p->dir, reterr);
	pthread_mutex_unlock(&p->files_lock);
	return err ? err : p->io->ops->sync_dir(p->io, p->engine->dir, reterr);
}

/* The active segment's file, which may have been closed meanwhile. */
static enum sm_err file_open(struct partition_writer *w, struct sm_error *reterr)
{
	struct partition *p = w->partition;
	bool uses = w->job == PARTITION_GROUP || w->job == PARTITION_SYNC || w->job == PARTITION_ROLL ||
		    (w->job == PARTITION_CLOSE && w->out.unclean && !p->failed);
	if (!w->out.segment || !uses)
		return SM_OK;
	atomic_store_explicit(&p->written, true, memory_order_relaxed);
	enum sm_err err = log__segment_keep(w->out.segment, reterr);
	if (!err && !atomic_load_explicit(&p->listed, memory_order_relaxed))
		log__files_opened(p);
	return err;
}

static void job_run(struct sm_work *work)
{
	struct partition_writer *w = (struct partition_writer *)((char *)work - offsetof(struct partition_writer, work));
	struct sm_error *reterr = &w->error;
	enum sm_err err = file_open(w, reterr);
	w->retry = err != SM_OK; /* nothing was written */
	if (err) {
		w->error.code = err;
		return;
	}
	switch (w->job) {
	case PARTITION_GROUP: err = job_group(w, reterr); break;
	case PARTITION_SYNC: err = log__writer_sync(&w->out, reterr); break;
	case PARTITION_CHECKPOINT: err = log__checkpoint_write(&w->out, w->partition->dir, &w->producers, reterr); break;
	case PARTITION_ROLL:
		err = job_roll(w, reterr);
		w->retry = err == SM_NO_SPACE || err == SM_NO_FILES || err == SM_NO_MEMORY;
		break;
	case PARTITION_RETENTION:
		err = log__partition_drop_old(w->partition, clock_wall_ms(w->partition->engine->clock), -1, reterr);
		break;
	case PARTITION_START: err = log__partition_start_at(w->partition, w->control->offset, reterr); break;
	case PARTITION_CLOSE: err = job_close(w, reterr); break;
	case PARTITION_DELETE: err = job_delete(w, reterr); break;
	case PARTITION_PRODUCERS:
	case PARTITION_REST: break;
	}
	w->error.code = err;
}

/* ---- after a job ---- */

/* Nothing is acknowledged any more until a restart has looked at the disk. */
static void become_read_only(struct partition_writer *w)
{
	pthread_mutex_lock(&w->partition->lock);
	w->partition->failed = SM_IO;
	pthread_mutex_unlock(&w->partition->lock);
	log__fail_waiting(w, SM_IO);
}

/* *ret_sealed: a reference to the one before it, or NULL. A compaction may replace that one from now on. */
static enum sm_err segments_push(struct partition *p, struct segment *s, struct segment **ret_sealed)
{
	enum sm_err err = SM_OK;
	*ret_sealed = NULL;
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
	if (!err) {
		if (p->segment_count)
			*ret_sealed = log__segment_ref(p->segments[p->segment_count - 1]);
		p->segments[p->segment_count++] = s;
	}
	pthread_mutex_unlock(&p->lock);
	return err;
}

static void roll_has_ended(struct partition_writer *w, enum sm_err err)
{
	struct segment *fresh = w->fresh, *sealed = NULL;
	w->fresh = NULL;
	if (!err && (err = segments_push(w->partition, fresh, &sealed)))
		w->out.segment = NULL;
	if (err) {
		log__segment_unref(fresh);
		if (w->retry && w->out.segment != fresh)
			log__fail_waiting(w, err);
		else
			become_read_only(w);
		return;
	}
	if (!sealed)
		return;
	pthread_mutex_lock(&sealed->lock);
	sealed->active = false;
	log__index_done(&sealed->index); /* its file has it from now on */
	pthread_mutex_unlock(&sealed->lock);
	log__segment_release(sealed);
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
	log__files_closed(p);
	for (uint32_t i = 0; i < count; i++)
		log__segment_drop(segments[i]);
	free(segments);
	log__fail_waiting(w, why);
	log__partition_wake(p, why);
	sm_stop(sm_self(w->self));
}

/* What was answered before it is on disk will be there in time. */
static void sync_later(struct partition_writer *w)
{
	if (!syncs_later(w->partition) || w->sync_due || w->sync_timed)
		return;
	w->sync_timed = sm_timer_start(w->self, SYNC_TIMER, w->partition->engine->sync_interval_ms, 0) == SM_OK;
	w->sync_due = !w->sync_timed; /* no timer to be had: now, then */
}

static void job_has_ended(struct partition_writer *w)
{
	struct control *control = w->control;
	enum sm_err err = w->error.code;
	w->busy = false;
	w->control = NULL;
	switch (w->job) {
	case PARTITION_GROUP:
		w->last_count = w->group.count;
		w->last_ns = clock_monotonic_ns(&clock_system);
		if (!err) {
			log__group_is_written(w);
			sync_later(w);
		} else {
			log__group_has_failed(w, w->retry ? err : SM_IO);
			if (!w->retry)
				become_read_only(w);
		}
		break;
	case PARTITION_SYNC:
		if (err && w->retry) /* it did not begin */
			sync_later(w);
		else if (err) /* what was answered since the sync before may be lost */
			become_read_only(w);
		else
			log__sync_is_counted(w);
		break;
	case PARTITION_CHECKPOINT:
		w->checked = w->out.end; /* one that failed is tried again as late as the next */
		break;
	case PARTITION_ROLL: roll_has_ended(w, err); break;
	case PARTITION_RETENTION:
	case PARTITION_START:
	case PARTITION_PRODUCERS:
	case PARTITION_REST: break;
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
		log__fail_waiting(w, SM_NO_MEMORY);
		return;
	}
	job_start(w, PARTITION_ROLL);
}

static bool active_has_expired(const struct partition_writer *w)
{
	int64_t keep_ms = w->partition->settings.retention_ms;
	return w->partition->settings.delete_old && keep_ms >= 0 && w->out.segment && w->out.end > SEGMENT_HEADER &&
	       w->out.max_timestamp_ms >= 0 && w->out.max_timestamp_ms < clock_wall_ms(w->partition->engine->clock) - keep_ms;
}

/* A control that needs no job. */
static void control_end(struct partition_writer *w, const struct sm_error *error)
{
	struct control *c = w->control;
	w->control = NULL;
	c->done(c->arg, error);
	c->done = NULL;
	sm_msg_free(&c->msg);
	go_on(w);
}

/* Unless there is something to do with it at once. */
static void rest(struct partition_writer *w)
{
	if (w->head || !w->out.segment || w->out.synced != w->out.end) {
		log__files_needed(w->partition);
		return;
	}
	log__segment_rest(w->out.segment);
	log__files_closed(w->partition);
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
	if (c->job == PARTITION_REST) {
		w->control = c;
		rest(w);
		control_end(w, NULL);
		return;
	}
	if (c->job == PARTITION_PRODUCERS) {
		struct log_producer *list = NULL;
		uint32_t count = 0;
		enum sm_err err = log__producers_list(&w->producers, &list, &count);
		c->done_list(c->arg, err, list, count);
		c->done_list = NULL;
		sm_msg_free(&c->msg);
		go_on(w);
		return;
	}
	w->control = c;
	if (c->settings) {
		w->partition->settings = *c->settings;
		control_end(w, NULL);
	} else {
		job_start(w, c->job);
	}
}

/* Those whose appends were in the last group mostly send again as soon as they are answered: the next group waits a moment for as many,
 * since a sync costs much the same for one append and for five. One sender at a time is never waited for. */
static bool wait_for_more(struct partition_writer *w)
{
	if (!w->head || syncs_later(w->partition) || w->waiting >= w->last_count || w->waiting_bytes >= LOG_GATHER_BYTES_MAX)
		return false;
	if (clock_monotonic_ns(&clock_system) - w->last_ns >= LOG_GATHER_MS * 1000000ull)
		return false;
	if (!w->gathering)
		w->gathering = sm_timer_start(w->self, GATHER_TIMER, LOG_GATHER_MS, 0) == SM_OK;
	return w->gathering;
}

static bool checkpoint_is_due(const struct partition_writer *w)
{
	const struct segment_writer *out = &w->out;
	return out->segment && !w->partition->failed && out->synced == out->end &&
	       out->end - w->checked >= w->partition->engine->checkpoint_bytes;
}

/* Start what is due, if nothing runs. */
static void go_on(struct partition_writer *w)
{
	if (w->busy || w->partition->gone) /* gone: what is still queued is answered when the actor ends */
		return;
	if (checkpoint_is_due(w)) {
		job_start(w, PARTITION_CHECKPOINT);
		return;
	}
	if (w->sync_due && w->out.segment && !w->partition->failed) {
		w->sync_due = false;
		job_start(w, PARTITION_SYNC);
		return;
	}
	/* What was queued before a close is written before it. */
	if (w->controls && !(w->controls->job == PARTITION_CLOSE && w->head)) {
		control_start(w);
		return;
	}
	while (w->head && !w->busy && !wait_for_more(w)) {
		if (log__must_roll(w, w->head)) {
			roll_start(w);
			continue;
		}
		log__group_form(w);
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
	if (msg->type == &log__append_type) {
		struct append *a = (struct append *)msg;
		sm_msg_keep(self);
		if (w->partition->gone || w->partition->failed) {
			log__append_finish(a, w->partition->gone ? w->partition->gone : w->partition->failed);
			return SM_OK;
		}
		a->next = NULL;
		*w->tail = a;
		w->tail = &a->next;
		w->waiting++;
		w->waiting_bytes += a->size;
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
	} else if (msg->type == &sm_msg_timer && ((struct sm_timer_msg *)msg)->timer == SYNC_TIMER) {
		w->sync_timed = false;
		w->sync_due = true;
		go_on(w);
	} else if (msg->type == &sm_msg_timer) {
		w->gathering = false;
		w->last_count = 0; /* they do not come: whoever is there goes now */
		go_on(w);
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
	log__files_closed(p);
	if (w->busy) /* the system was stopped under an open log: the pool still uses this */
		return;
	log__fail_waiting(w, SM_CLOSED);
	while (w->controls) {
		struct control *c = w->controls;
		w->controls = c->next;
		sm_msg_free(&c->msg);
	}
	log__producers_done(&w->producers);
	free(w->group.iov);
	log__txn_index_done(&w->group.aborted);
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
	if (c->done_list)
		c->done_list(c->arg, SM_CLOSED, NULL, 0);
	atomic_fetch_sub(&c->engine->live, 1);
	free(c->settings);
	free(c);
}

static enum sm_err control_send(struct partition *p, struct control *c)
{
	c->msg.type = &control_type;
	c->engine = p->engine;
	atomic_fetch_add(&c->engine->live, 1);
	enum sm_err err = sm_send_reply(p->actor, &c->msg); /* past the bound: the engine itself sends few of them */
	if (err) {
		c->done = NULL;
		c->done_list = NULL;
		sm_msg_free(&c->msg);
	}
	return err;
}

static void nothing_to_tell(void *arg, const struct sm_error *error) {}

enum sm_err log__partition_settings(struct partition *p, const struct topic_settings *settings)
{
	struct control *c = calloc(1, sizeof *c);
	if (!c || !(c->settings = malloc(sizeof *c->settings))) {
		free(c);
		return SM_NO_MEMORY;
	}
	*c->settings = *settings;
	c->done = nothing_to_tell;
	pthread_mutex_lock(&p->lock);
	p->arriving = *settings;
	pthread_mutex_unlock(&p->lock);
	return control_send(p, c);
}

enum sm_err log__partition_do(struct partition *p, enum partition_job job, int64_t offset,
			      void (*control_done)(void *arg, const struct sm_error *error), void *arg)
{
	struct control *c = calloc(1, sizeof *c);
	if (!c)
		return SM_NO_MEMORY;
	c->job = job;
	c->offset = offset;
	c->done = control_done;
	c->arg = arg;
	return control_send(p, c);
}

void log__partition_producers(struct partition *p,
			      void (*list_done)(void *arg, enum sm_err err, struct log_producer *producers, uint32_t count), void *arg)
{
	struct control *c = calloc(1, sizeof *c);
	enum sm_err err = SM_NO_MEMORY;
	if (c) {
		c->job = PARTITION_PRODUCERS;
		c->done_list = list_done;
		c->arg = arg;
		err = control_send(p, c);
	}
	if (err)
		list_done(arg, err == SM_GONE ? SM_CLOSED : err, NULL, 0);
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
	pthread_mutex_destroy(&p->files_lock);
	free(p->topic);
	free(p->dir);
	free(p);
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
	pthread_mutex_init(&p->files_lock, NULL);
	p->clean_to = -1;
	p->engine = engine;
	p->io = engine->io;
	p->number = number;
	p->settings = p->arriving = *settings;
	p->writer = w;
	w->partition = p;
	w->tail = &w->head;
	w->controls_tail = &w->controls;
	w->hook.run = turn_is_over;
	log__group_init(&w->group);
	log__producers_init(&w->producers);
	if ((err = log__partition_open(w, reterr)))
		goto failed_started;
	struct sm_props props = {.name = name,
				 .state_size = sizeof(void *),
				 .init = init,
				 .receive = receive,
				 .done = done,
				 .arg = log__partition_ref(p),
				 .dispatcher = -1};
	bool opened = w->out.segment && w->out.segment->kept;
	atomic_fetch_add(&engine->live, 1);
	if ((err = sm_spawn(engine->system, NULL, &props, &p->actor)) == SM_EXISTS) {
		/* One of that name has said that it ends, and is not yet gone. */
		static atomic_uint again;
		snprintf(name, sizeof name, "%s-%d~%u", topic, number, atomic_fetch_add(&again, 1) + 1);
		err = sm_spawn(engine->system, NULL, &props, &p->actor);
	}
	if (err) {
		atomic_fetch_sub(&engine->live, 1);
		sm_fail(reterr, err, "cannot start partition %s", name);
		p->refs = 1;
		goto failed_started;
	}
	if (opened)
		log__files_opened(p);
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
