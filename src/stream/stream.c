/* A job as actors: a guardian that outlives restarts and tells the end, and its child, the worker, that is restarted by supervision.
 * The worker does nothing itself: each step (open, micro-batch) is a piece of work on the pool that answers by message. One piece is under
 * way at a time, so the job's memory is touched by one thread at a time. An error of a step is the worker's failure; the supervisor starts
 * it afresh, with a new epoch and what the store says. */
#include "base/metrics.h"
#include "stream/stream_internal.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMER_BATCH = 1, TIMER_LAG = 2 };
#define LAG_MS 1000
#define AWAY_MS 1000 /* before a log or a store that does not answer is asked again */

/* Shared by the handle, both actors and the work under way; the last one frees it. */
struct stream {
	uint32_t refs;
	struct stream_options options; /* texts are copies */
	char *texts[4];
	void (*ended)(void *arg, const struct sm_error *error);
	void *arg;
	struct sm_ref *guardian; /* the handle's */
	bool stopping;           /* atomic: set by stream_stop, for good */
	pthread_mutex_t lock;    /* of the two below */
	struct stream_status status;
	struct sm_error error; /* the last failure */
};

/* One piece of work; its message goes to the worker when it is done. */
struct step {
	struct sm_msg msg;
	struct sm_work work;
	struct stream *stream;  /* counted */
	struct sm_ref *worker;  /* counted */
	struct stream_job *job; /* in: NULL means open one; out: kept by the worker, or closed with the message */
	struct stream_batch_result result;
	bool opened;
	bool lag; /* only look how far the job is behind: that may ask over a network */
	enum sm_err err;
};

static void step_done(struct sm_msg *msg);
static const struct sm_msg_type msg_step = {"stream step", step_done};
static const struct sm_msg_type msg_stop = {"stream stop", (void (*)(struct sm_msg *))free};
static const struct sm_msg_type msg_kick = {"stream kick", (void (*)(struct sm_msg *))free};

static struct stream *stream_ref(struct stream *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

static void stream_unref(struct stream *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < sizeof s->texts / sizeof *s->texts; i++)
		free(s->texts[i]);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void step_done(struct sm_msg *msg)
{
	struct step *step = (struct step *)msg;
	stream_job_close(step->job);
	sm_unref(step->worker);
	stream_unref(step->stream);
	free(step);
}

static void set_state(struct stream *s, enum stream_state state)
{
	pthread_mutex_lock(&s->lock);
	s->status.state = state;
	pthread_mutex_unlock(&s->lock);
}

/* ---- on the pool ---- */

static void note_batch(struct stream *s, const struct stream_batch_result *r, uint64_t us)
{
	const char *name = s->options.name;
	pthread_mutex_lock(&s->lock);
	s->status.lag = r->lag;
	if (r->records) {
		s->status.records += r->records;
		s->status.duplicates += r->duplicates;
		s->status.dead_letters += r->dead_letters;
		s->status.rows += r->rows;
		s->status.batches++;
		s->status.last_batch_us = us;
		s->status.last_batch_ms = clock_wall_ms(&clock_system);
		s->status.last_error[0] = 0;
	}
	pthread_mutex_unlock(&s->lock);
	metric_set_labelled(METRIC_STREAM_LAG, name, r->lag);
	if (!r->records)
		return;
	metric_add_labelled(METRIC_STREAM_RECORDS, name, (int64_t)r->records);
	metric_add_labelled(METRIC_STREAM_DUPLICATES, name, (int64_t)r->duplicates);
	metric_add_labelled(METRIC_STREAM_DEAD_LETTERS, name, (int64_t)r->dead_letters);
	metric_add_labelled(METRIC_STREAM_BATCHES, name, 1);
	metric_observe_us(METRIC_STREAM_BATCH_US, us);
}

static void note_error(struct stream *s, enum sm_err err, const struct sm_error *error)
{
	pthread_mutex_lock(&s->lock);
	s->error = *error;
	s->error.code = err;
	snprintf(s->status.last_error, sizeof s->status.last_error, "%.290s", error->text[0] ? error->text : sm_err_text(err));
	pthread_mutex_unlock(&s->lock);
}

static void note_lag(struct stream *s, int64_t lag)
{
	pthread_mutex_lock(&s->lock);
	s->status.lag = lag;
	pthread_mutex_unlock(&s->lock);
	metric_set_labelled(METRIC_STREAM_LAG, s->options.name, lag);
}

static void step_run(struct sm_work *work)
{
	struct step *step = (struct step *)((char *)work - offsetof(struct step, work));
	struct stream *s = step->stream;
	struct sm_error error = {0};
	uint64_t start = clock_monotonic_ns(&clock_system);
	if (step->lag) {
		int64_t lag = stream_job_lag(step->job);
		if (lag >= 0)
			note_lag(s, lag);
	} else if (!step->job) {
		step->err = stream_job_open(&s->options, &step->job, &error);
		step->opened = !step->err;
	} else {
		step->err = stream_job_batch(step->job, &step->result, &error);
		if (!step->err)
			note_batch(s, &step->result, (clock_monotonic_ns(&clock_system) - start) / 1000);
	}
	if (step->err)
		note_error(s, step->err, &error);
}

/* ---- the worker ---- */

struct worker {
	struct stream *stream; /* counted */
	struct stream_job *job;
	bool busy, kicked;
	bool due; /* the timer has fired while it was busy */
};

static enum sm_err start_work(struct sm_actor *self, struct worker *w, bool lag)
{
	struct step *step = calloc(1, sizeof *step);
	if (!step)
		return SM_NO_MEMORY;
	step->lag = lag;
	step->msg.type = &msg_step;
	step->stream = stream_ref(w->stream);
	step->worker = sm_ref_get(sm_self(self));
	step->job = w->job;
	step->work.run = step_run;
	step->work.reply_to = step->worker;
	step->work.done_msg = &step->msg;
	step->work.waits = true; /* for the log's and the store's work: new topics, tables, dead letters */
	w->job = NULL;
	enum stream_state state = step->job ? STREAM_RUNNING : STREAM_STARTING; /* the step is the pool's from there on */
	enum sm_err err = sm_pool_run(sm_actor_system(self), &step->work);
	if (err == SM_FULL) { /* the pool is behind: at the next interval */
		w->job = step->job;
		step->job = NULL;
		step_done(&step->msg);
		return lag ? SM_OK : sm_timer_start(self, TIMER_BATCH, 100, 0);
	}
	if (err) {
		step_done(&step->msg);
		return err;
	}
	w->busy = true;
	if (!lag)
		set_state(w->stream, state);
	return SM_OK;
}

static enum sm_err start_step(struct sm_actor *self, struct worker *w)
{
	w->due = false;
	return start_work(self, w, false);
}

static enum sm_err worker_init(struct sm_actor *self, void *state, void *arg)
{
	struct worker *w = state;
	struct stream *s = arg;
	w->stream = stream_ref(s);
	pthread_mutex_lock(&s->lock);
	bool again = s->error.code != SM_OK;
	s->status.restarts += again;
	pthread_mutex_unlock(&s->lock);
	enum sm_err err = sm_timer_start(self, TIMER_LAG, LAG_MS, LAG_MS);
	return err ? err : start_step(self, w);
}

static void worker_done(struct sm_actor *self, void *state)
{
	struct worker *w = state;
	stream_job_close(w->job);
	stream_unref(w->stream);
}

/* When the next micro-batch begins: at once while there is more than one could take, else at the interval's end. */
static enum sm_err schedule(struct sm_actor *self, struct worker *w, const struct step *step)
{
	uint64_t interval = w->stream->options.interval_ms;
	w->due = false;
	if (step->result.more || w->kicked) {
		w->kicked = false;
		return start_step(self, w);
	}
	set_state(w->stream, STREAM_WAITING);
	uint64_t wait = interval;
	if (step->opened) /* intervals are aligned to the clock, as Spark's are */
		wait = interval - (uint64_t)clock_wall_ms(&clock_system) % interval;
	if (w->stream->options.eager && wait > 20)
		wait = 20;
	return sm_timer_start(self, TIMER_BATCH, wait, 0);
}

/* Starting it again would give the same error. */
static bool is_final(enum sm_err err)
{
	return err == SM_STALE_EPOCH || err == SM_SYNTAX || err == SM_UNSUPPORTED || err == SM_CORRUPT || err == SM_VERSION;
}

/* It is no failure of the job when the log, or the store, is another server's and does not answer: wait for it, however long. */
static bool is_away(enum sm_err err)
{
	return err == SM_UNAVAILABLE || err == SM_TIMEOUT;
}

static enum sm_err step_ended(struct sm_actor *self, struct worker *w, struct step *step)
{
	if (step->lag) {
		if (w->due || w->kicked) {
			w->kicked = false;
			return start_step(self, w);
		}
		return SM_OK;
	}
	if (step->err)
		set_state(w->stream, STREAM_RESTARTING);
	if (is_away(step->err)) {
		stream_job_close(w->job); /* what it last wrote may be there: it begins with what the store says */
		w->job = NULL;
		return sm_timer_start(self, TIMER_BATCH, AWAY_MS, 0);
	}
	if (step->err)
		return step->err;
	if (step->opened) {
		pthread_mutex_lock(&w->stream->lock);
		w->stream->status.epoch = stream_job_epoch(w->job);
		pthread_mutex_unlock(&w->stream->lock);
	}
	return schedule(self, w, step);
}

static enum sm_err worker_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct worker *w = state;
	if (msg->type == &msg_step) {
		struct step *step = (struct step *)msg;
		w->busy = false;
		w->job = step->job;
		step->job = NULL;
		if (__atomic_load_n(&w->stream->stopping, __ATOMIC_ACQUIRE) || (step->err && is_final(step->err))) {
			sm_stop(sm_self(self));
			return SM_OK;
		}
		return step_ended(self, w, step);
	}
	if (msg->type == &sm_msg_timer && ((struct sm_timer_msg *)msg)->timer == TIMER_LAG) {
		if (w->job && !w->busy)
			return start_work(self, w, true);
	} else if (msg->type == &sm_msg_timer || msg->type == &msg_kick) {
		if (!w->busy)
			return start_step(self, w);
		w->kicked |= msg->type == &msg_kick;
		w->due |= msg->type == &sm_msg_timer;
	} else if (msg->type == &msg_stop && !w->busy) {
		sm_stop(sm_self(self));
	}
	return SM_OK;
}

/* ---- the guardian ---- */

struct guardian {
	struct stream *stream; /* counted */
	struct sm_ref *worker;
};

static enum sm_err guardian_init(struct sm_actor *self, void *state, void *arg)
{
	struct guardian *g = state;
	struct sm_props props = {
		.name = "worker",
		.state_size = sizeof(struct worker),
		.init = worker_init,
		.receive = worker_receive,
		.done = worker_done,
		.arg = arg,
		.dispatcher = -1,
		.supervision = {STREAM_RESTARTS_MAX, STREAM_RESTART_WINDOW_MS, STREAM_RESTART_MIN_MS, STREAM_RESTART_MAX_MS}};
	enum sm_err err = sm_spawn(sm_actor_system(self), self, &props, &g->worker);
	if (!err && (err = sm_watch(self, g->worker))) {
		sm_stop(g->worker);
		sm_unref(g->worker);
	}
	if (!err)
		g->stream = stream_ref(arg);
	return err;
}

static void guardian_done(struct sm_actor *self, void *state)
{
	struct guardian *g = state;
	sm_unref(g->worker);
	stream_unref(g->stream);
}

static void tell_end(struct stream *s)
{
	pthread_mutex_lock(&s->lock);
	bool stopped = __atomic_load_n(&s->stopping, __ATOMIC_ACQUIRE);
	struct sm_error error = s->error;
	s->status.state = stopped ? STREAM_STOPPED : STREAM_FAILED;
	pthread_mutex_unlock(&s->lock);
	if (error.code == SM_OK) {
		error.code = SM_CLOSED;
		snprintf(error.text, sizeof error.text, "job %s ended: the server is stopping", s->options.name);
	}
	if (s->ended)
		s->ended(s->arg, stopped ? NULL : &error);
}

static enum sm_err guardian_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct guardian *g = state;
	if (msg->type == &sm_msg_terminated) {
		tell_end(g->stream);
		sm_stop(sm_self(self));
	} else if (msg->type == &msg_stop || msg->type == &msg_kick) {
		sm_msg_keep(self);
		if (sm_send(g->worker, msg)) {
			/* its mailbox is full of the like, or it has ended; a stop is seen at the end of the step under way */
			sm_msg_free(msg);
		}
	}
	return SM_OK;
}

/* ---- the handle ---- */

static char *keep(struct stream *s, uint32_t i, const char *text)
{
	return text ? (s->texts[i] = strdup(text)) : NULL;
}

enum sm_err stream_start(struct sm_system *system, const struct stream_options *options,
			 void (*ended)(void *arg, const struct sm_error *error), void *arg, struct stream **ret_stream,
			 struct sm_error *reterr)
{
	if (!options->name || !options->sql || !options->env)
		return sm_fail(reterr, SM_INVALID, "a streaming job needs a name, SQL and something to run in");
	struct stream *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	s->refs = 1;
	s->options = *options;
	s->ended = ended;
	s->arg = arg;
	pthread_mutex_init(&s->lock, NULL);
	s->options.name = keep(s, 0, options->name);
	s->options.sql = keep(s, 1, options->sql);
	s->options.dedup = keep(s, 2, options->dedup);
	s->options.dead_letter = keep(s, 3, options->dead_letter);
	if (!s->options.interval_ms)
		s->options.interval_ms = STREAM_INTERVAL_MS;
	if (!s->options.name || !s->options.sql || (options->dedup && !s->options.dedup) ||
	    (options->dead_letter && !s->options.dead_letter)) {
		stream_unref(s);
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	struct sm_props props = {.state_size = sizeof(struct guardian),
				 .init = guardian_init,
				 .receive = guardian_receive,
				 .done = guardian_done,
				 .arg = s,
				 .dispatcher = -1};
	enum sm_err err = sm_spawn(system, NULL, &props, &s->guardian);
	if (err) {
		stream_unref(s);
		return sm_fail(reterr, err, "starting job %s: %s", options->name, sm_err_text(err));
	}
	*ret_stream = s;
	return SM_OK;
}

static void tell(struct stream *s, const struct sm_msg_type *type)
{
	struct sm_msg *msg = calloc(1, sizeof *msg);
	if (!msg)
		return;
	msg->type = type;
	if (sm_send(s->guardian, msg))
		sm_msg_free(msg);
}

void stream_stop(struct stream *s)
{
	__atomic_store_n(&s->stopping, true, __ATOMIC_RELEASE);
	tell(s, &msg_stop);
}

void stream_kick(struct stream *s)
{
	tell(s, &msg_kick);
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	sm_unref(s->guardian);
	s->guardian = NULL;
	stream_unref(s);
}

void stream_status(const struct stream *s, struct stream_status *ret_status)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&s->lock;
	pthread_mutex_lock(lock);
	*ret_status = s->status;
	pthread_mutex_unlock(lock);
}

const char *stream_name(const struct stream *s)
{
	return s->options.name;
}

const char *stream_state_name(enum stream_state state)
{
	static const char *const names[] = {"starting", "waiting", "running", "restarting", "stopped", "failed"};
	return (size_t)state < sizeof names / sizeof *names ? names[state] : "?";
}

json_t *stream_status_json(const struct stream *s)
{
	struct stream_status t;
	stream_status(s, &t);
	return json_pack("{ss ss sI sI sI sI sI sI sI sI sI sI ss}", "name", s->options.name, "state", stream_state_name(t.state), "epoch",
			 (json_int_t)t.epoch, "records", (json_int_t)t.records, "batches", (json_int_t)t.batches, "duplicates",
			 (json_int_t)t.duplicates, "deadLetters", (json_int_t)t.dead_letters, "rows", (json_int_t)t.rows, "restarts",
			 (json_int_t)t.restarts, "lag", (json_int_t)t.lag, "lastBatchMs", (json_int_t)t.last_batch_ms, "lastBatchUs",
			 (json_int_t)t.last_batch_us, "lastError", t.last_error);
}
