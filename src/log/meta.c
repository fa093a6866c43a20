/* What changes the log as a whole, one thing at a time: topics come and go, producer ids are given out, old data is
 * looked for. An actor holds the queue, the pool does what blocks.
 *
 * LOG/producer-ids: 8 bytes big-endian, the first id that was not reserved yet, and 4 bytes crc32c of them. Ids are reserved
 * PRODUCER_BLOCK at a time, so that none comes twice, whatever happens. */
#include "base/arena.h"
#include "base/hash.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define PRODUCER_BLOCK 1000
#define JANITOR_TIMER 1
#define JANITOR_MS 60000
#define CLEANER_TIMER 2
#define CLEANER_MS 15000 /* Kafka's log.cleaner.backoff.ms */

enum request_kind { REQUEST_CREATE, REQUEST_CHANGE, REQUEST_DELETE, REQUEST_PRODUCER_ID, REQUEST_STOP };
struct request {
	struct sm_msg msg; /* first */
	struct request *next;
	enum request_kind kind;
	struct engine *engine;
	struct topic *topic; /* owned: to be created, as it will be, or being deleted */
	char *name;
	struct log_topic_change change; /* its texts are copies in the arena */
	struct arena arena;
	int32_t kept; /* partitions that were there before the change */
	bool check;   /* nothing is made */
	void (*done)(void *arg, const struct sm_error *error);
	void (*done_id)(void *arg, enum sm_err err, int64_t producer_id, int16_t epoch);
	void *arg;
};

/* While `busy` the fields of the request that runs belong to the pool. */
struct meta {
	struct engine *engine;
	struct sm_actor *self;
	struct sm_ref *ref;
	struct request *head, **tail;
	atomic_uint queued;
	bool busy;
	struct request *now;
	struct sm_work work;
	struct sm_msg done_msg;
	struct sm_error error;
	int64_t next_id, reserved_to; /* producer ids at hand */
	atomic_int partitions_left;   /* of the topic being deleted */
	struct sm_msg partitions_msg;
};

static void request_free(struct sm_msg *msg);
static const struct sm_msg_type request_type = {"log request", request_free};
static const struct sm_msg_type work_done_type = {"log request done", NULL};
static const struct sm_msg_type partitions_gone_type = {"log partitions gone", NULL};

static void go_on(struct meta *m);

static void request_answer(struct request *r, const struct sm_error *error)
{
	if (r->done)
		r->done(r->arg, error);
	if (r->done_id)
		r->done_id(r->arg, error ? error->code : SM_OK, -1, -1);
	r->done = NULL;
	r->done_id = NULL;
}

static void request_free(struct sm_msg *msg)
{
	struct request *r = (struct request *)msg;
	request_answer(r, &(struct sm_error){.code = SM_CLOSED, .text = "the log is closed"});
	log__topic_free(r->topic);
	arena_done(&r->arena);
	atomic_fetch_sub(&r->engine->live, 1);
	free(r->name);
	free(r);
}

/* End the request that runs; error NULL: well. */
static void request_end(struct meta *m, const struct sm_error *error)
{
	struct request *r = m->now;
	m->now = NULL;
	m->busy = false;
	atomic_fetch_sub(&m->queued, 1);
	request_answer(r, error);
	sm_msg_free(&r->msg);
	go_on(m);
}

/* ---- on the pool ---- */

static void ids_path(const struct engine *e, char *out, size_t size)
{
	snprintf(out, size, "%s/producer-ids", e->dir);
}

static enum sm_err reserve_ids(struct meta *m, struct sm_error *reterr)
{
	char path[PATH_MAX];
	uint8_t data[12];
	ids_path(m->engine, path, sizeof path);
	be64_put(data, (uint64_t)(m->reserved_to + PRODUCER_BLOCK));
	be32_put(data + 8, crc32c(0, data, 8));
	return io_write_file_atomic(m->engine->io, path, bytes_of(data, sizeof data), reterr);
}

static enum sm_err ids_read(struct meta *m, struct sm_error *reterr)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t size;
	ids_path(m->engine, path, sizeof path);
	enum sm_err err = io_read_file(m->engine->io, path, 4096, &data, &size, reterr);
	if (err == SM_NOT_FOUND)
		return SM_OK;
	if (err)
		return err;
	if (size != 12 || be32_get(data + 8) != crc32c(0, data, 8))
		err = sm_fail(reterr, SM_CORRUPT, "%s is damaged: restore it, or delete it if no idempotent producer is at work", path);
	else
		m->next_id = m->reserved_to = (int64_t)be64_get(data);
	free(data);
	return err;
}

/* A directory that belongs to no topic must not lend its records to a new one. */
static enum sm_err must_be_empty(struct meta *m, const struct topic *t)
{
	for (int32_t i = 0; i < t->partition_count; i++)
		if (t->partitions[i]->segment_count)
			return sm_fail(&m->error, SM_CONFLICT, "topic %s: %s holds records of a topic that is not known: move it away",
				       t->name, t->partitions[i]->dir);
	return SM_OK;
}

static void run(struct sm_work *work)
{
	struct meta *m = (struct meta *)((char *)work - offsetof(struct meta, work));
	struct request *r = m->now;
	enum sm_err err = SM_OK;
	switch (r->kind) {
	case REQUEST_CREATE:
		if (!(err = log__topic_start(m->engine, r->topic, &m->error)) && !(err = must_be_empty(m, r->topic)))
			err = log__topics_write(m->engine, r->topic, &m->error);
		break;
	case REQUEST_CHANGE:
		if (!(err = log__topic_start(m->engine, r->topic, &m->error)))
			err = log__topics_write(m->engine, r->topic, &m->error);
		break;
	case REQUEST_DELETE: err = log__topics_write(m->engine, r->topic->deleting ? r->topic : NULL, &m->error); break;
	case REQUEST_PRODUCER_ID: err = reserve_ids(m, &m->error); break;
	case REQUEST_STOP: break;
	}
	if (err && !m->error.code)
		(void)!sm_fail(&m->error, err, "%s", sm_err_text(err));
	m->error.code = err;
}

static void pool_start(struct meta *m)
{
	m->error = (struct sm_error){.code = SM_OK};
	m->done_msg = (struct sm_msg){.type = &work_done_type};
	m->work = (struct sm_work){.run = run, .reply_to = sm_self(m->self), .done_msg = &m->done_msg};
	enum sm_err err = sm_pool_run(m->engine->system, &m->work);
	if (err) {
		(void)!sm_fail(&m->error, err, "the pool takes no more work");
		m->error.code = err;
		(void)!sm_send_reply(sm_self(m->self), &m->done_msg);
	}
}

/* ---- topics ---- */

static void nothing_to_tell(void *arg, const struct sm_error *error) {}

static void create_start(struct meta *m)
{
	struct engine *e = m->engine;
	struct request *r = m->now;
	struct sm_error error = {.code = SM_OK};
	pthread_mutex_lock(&e->lock);
	bool there = map_get(&e->topics, bytes_str(r->topic->name)) != NULL;
	size_t count = e->topics.count;
	pthread_mutex_unlock(&e->lock);
	if (there)
		(void)!sm_fail(&error, SM_EXISTS, "topic %s is there already", r->topic->name);
	else if (count >= LOG_TOPICS_MAX)
		(void)!sm_fail(&error, SM_TOO_LARGE, "there are %zu topics, and no more than %d may be", count, LOG_TOPICS_MAX);
	else if (!r->check) {
		pool_start(m);
		return;
	}
	request_end(m, error.code ? &error : NULL);
}

static void create_end(struct meta *m)
{
	struct request *r = m->now;
	enum sm_err err = m->error.code;
	if (!err && (err = log__topics_put(m->engine, r->topic)))
		(void)!sm_fail(&m->error, err, "no memory for topic %s", r->topic->name);
	if (err)
		log__topic_stop(r->topic);
	else
		r->topic = NULL; /* the table has it */
	request_end(m, err ? &m->error : NULL);
}

static void change_start(struct meta *m)
{
	struct request *r = m->now;
	struct sm_error error = {.code = SM_OK};
	struct topic *there = log__topics_find(m->engine, r->name);
	enum sm_err err = there ? log__topic_changed(m->engine, there, &r->change, &r->topic, &error)
				: sm_fail(&error, SM_NOT_FOUND, "there is no topic %s", r->name);
	if (!err && !r->change.check && !(r->topic->partitions = calloc((size_t)r->topic->partition_count, sizeof(struct partition *))))
		err = sm_fail(&error, SM_NO_MEMORY, "no memory for topic %s", r->name);
	if (err || r->change.check) {
		request_end(m, err ? &error : NULL);
		return;
	}
	for (int32_t i = 0; i < there->partition_count; i++)
		r->topic->partitions[i] = log__partition_ref(there->partitions[i]);
	r->kept = there->partition_count;
	pool_start(m);
}

/* Only the partitions that the change made end again. */
static void change_undo(struct request *r)
{
	for (int32_t i = r->kept; i < r->topic->partition_count; i++)
		if (r->topic->partitions[i])
			(void)!log__partition_do(r->topic->partitions[i], PARTITION_CLOSE, 0, nothing_to_tell, NULL);
}

static void change_end(struct meta *m)
{
	struct request *r = m->now;
	enum sm_err err = m->error.code;
	if (!err && (err = log__topics_put(m->engine, r->topic)))
		(void)!sm_fail(&m->error, err, "no memory for topic %s", r->name);
	if (err) {
		change_undo(r);
		request_end(m, &m->error);
		return;
	}
	for (int32_t i = 0; i < r->kept; i++)
		if (log__partition_settings(r->topic->partitions[i], &r->topic->settings) == SM_NO_MEMORY)
			err = sm_fail(&m->error, SM_NO_MEMORY, "no memory: the change holds from the next start on");
	r->topic = NULL; /* the table has it */
	request_end(m, err ? &m->error : NULL);
}

static void delete_start(struct meta *m)
{
	struct request *r = m->now;
	struct sm_error error;
	if (!(r->topic = log__topics_take(m->engine, r->name))) {
		(void)!sm_fail(&error, SM_NOT_FOUND, "there is no topic %s", r->name);
		request_end(m, &error);
		return;
	}
	r->topic->deleting = true;
	pool_start(m);
}

static void partition_is_gone(void *arg, const struct sm_error *error)
{
	struct meta *m = arg;
	if (atomic_fetch_sub(&m->partitions_left, 1) == 1)
		(void)!sm_send_reply(m->ref, &m->partitions_msg);
}

/* The file says "deleting" (then the directories go), or it no longer names the topic (then that was all). */
static void delete_go_on(struct meta *m)
{
	struct request *r = m->now;
	if (!r->topic->deleting) {
		request_end(m, NULL); /* if its entry is left in the file, it goes at the next start */
		return;
	}
	if (m->error.code) {
		r->topic->deleting = false;
		if (log__topics_put(m->engine, r->topic) == SM_OK)
			r->topic = NULL;
		request_end(m, &m->error);
		return;
	}
	m->partitions_msg = (struct sm_msg){.type = &partitions_gone_type};
	atomic_store(&m->partitions_left, r->topic->partition_count + 1);
	for (int32_t i = 0; i < r->topic->partition_count; i++)
		if (log__partition_do(r->topic->partitions[i], PARTITION_DELETE, 0, partition_is_gone, m))
			partition_is_gone(m, NULL);
	partition_is_gone(m, NULL);
}

static void delete_end(struct meta *m)
{
	m->now->topic->deleting = false;
	pool_start(m);
}

/* ---- producer ids ---- */

static void producer_id_give(struct meta *m)
{
	struct request *r = m->now;
	if (m->next_id == m->reserved_to) {
		pool_start(m);
		return;
	}
	r->done_id(r->arg, SM_OK, m->next_id++, 0);
	r->done_id = NULL;
	request_end(m, NULL);
}

static void producer_id_reserved(struct meta *m)
{
	if (m->error.code) {
		request_end(m, &m->error);
		return;
	}
	m->next_id = m->reserved_to;
	m->reserved_to += PRODUCER_BLOCK;
	producer_id_give(m);
}

/* ---- the actor ---- */

static void go_on(struct meta *m)
{
	if (m->busy || !m->head)
		return;
	m->now = m->head;
	if (!(m->head = m->now->next))
		m->tail = &m->head;
	m->busy = true;
	switch (m->now->kind) {
	case REQUEST_CREATE: create_start(m); break;
	case REQUEST_CHANGE: change_start(m); break;
	case REQUEST_DELETE: delete_start(m); break;
	case REQUEST_PRODUCER_ID: producer_id_give(m); break;
	case REQUEST_STOP:
		sm_stop(sm_self(m->self));
		request_end(m, NULL);
		break;
	}
}

static void janitor(struct meta *m)
{
	struct engine *e = m->engine;
	size_t pos = 0;
	struct bytes key;
	void *value;
	pthread_mutex_lock(&e->lock);
	while (map_next(&e->topics, &pos, &key, &value)) {
		const struct topic *t = value;
		if (!t->settings.delete_old || (t->settings.retention_ms < 0 && t->settings.retention_bytes < 0))
			continue;
		for (int32_t i = 0; i < t->partition_count; i++)
			(void)!log__partition_do(t->partitions[i], PARTITION_RETENTION, 0, nothing_to_tell, NULL);
	}
	pthread_mutex_unlock(&e->lock);
}

static enum sm_err receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct meta *m = *(struct meta **)state;
	if (msg->type == &request_type) {
		struct request *r = (struct request *)msg;
		sm_msg_keep(self);
		r->next = NULL;
		*m->tail = r;
		m->tail = &r->next;
		go_on(m);
	} else if (msg->type == &work_done_type) {
		switch (m->now->kind) {
		case REQUEST_CREATE: create_end(m); break;
		case REQUEST_CHANGE: change_end(m); break;
		case REQUEST_DELETE: delete_go_on(m); break;
		case REQUEST_PRODUCER_ID: producer_id_reserved(m); break;
		case REQUEST_STOP: break;
		}
	} else if (msg->type == &partitions_gone_type) {
		delete_end(m);
	} else if (msg->type == &sm_msg_timer) {
		if (((struct sm_timer_msg *)msg)->timer == CLEANER_TIMER) {
			log__cleaner_start(m->engine);
			log__bulk_rest(&m->engine->bulk);
		} else {
			janitor(m);
			log__scrubber_tick(m->engine);
		}
	}
	return SM_OK;
}

static enum sm_err init(struct sm_actor *self, void *state, void *arg)
{
	struct meta *m = arg;
	*(struct meta **)state = m;
	m->self = self;
	enum sm_err err = sm_timer_start(self, JANITOR_TIMER, JANITOR_MS, JANITOR_MS);
	return err ? err : sm_timer_start(self, CLEANER_TIMER, CLEANER_MS, CLEANER_MS);
}

static void done(struct sm_actor *self, void *state)
{
	struct meta *m = *(struct meta **)state;
	struct engine *e = m->engine;
	while (m->head) {
		struct request *r = m->head;
		m->head = r->next;
		sm_msg_free(&r->msg);
	}
	atomic_fetch_sub(&e->live, 1);
}

enum sm_err log__meta_start(struct engine *engine, struct sm_error *reterr)
{
	struct meta *m = calloc(1, sizeof *m);
	if (!m)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	m->engine = engine;
	m->tail = &m->head;
	engine->meta = m;
	enum sm_err err = ids_read(m, reterr);
	if (err)
		return err;
	const struct sm_props props = {
		.state_size = sizeof(void *), .init = init, .receive = receive, .done = done, .arg = m, .dispatcher = -1};
	atomic_fetch_add(&engine->live, 1);
	if ((err = sm_spawn(engine->system, NULL, &props, &m->ref))) {
		atomic_fetch_sub(&engine->live, 1);
		return sm_fail(reterr, err, "cannot start the log's actor");
	}
	engine->meta_runs = true;
	return SM_OK;
}

static void request_send(struct engine *engine, struct request *r)
{
	struct meta *m = engine->meta;
	enum sm_err err = SM_OK;
	r->msg.type = &request_type;
	r->engine = engine;
	atomic_fetch_add(&engine->live, 1);
	if (r->kind != REQUEST_STOP && atomic_load(&engine->closing))
		err = SM_CLOSED;
	else if (atomic_fetch_add(&m->queued, 1) >= LOG_META_PENDING_MAX && r->kind != REQUEST_STOP) {
		atomic_fetch_sub(&m->queued, 1);
		err = SM_FULL;
	}
	if (!err && !(err = sm_send_reply(m->ref, &r->msg))) /* bounded by `queued` */
		return;
	request_answer(r, &(struct sm_error){.code = err == SM_GONE ? SM_CLOSED : err, .text = "the log is busy or closed"});
	sm_msg_free(&r->msg);
}

void log__meta_topic_create(struct engine *engine, const struct log_topic_spec *spec, bool internal,
			    void (*topic_done)(void *arg, const struct sm_error *error), void *arg)
{
	struct sm_error error = {.code = SM_NO_MEMORY, .text = "no memory"};
	struct request *r = calloc(1, sizeof *r);
	if (!r || log__topic_new(engine, spec, internal, &r->topic, &error)) {
		free(r);
		topic_done(arg, &error);
		return;
	}
	r->kind = REQUEST_CREATE;
	r->check = spec->check;
	r->done = topic_done;
	r->arg = arg;
	request_send(engine, r);
}

/* The caller's texts live for the call only. */
static bool change_copy(struct request *r, const struct log_topic_change *change)
{
	struct log_config *configs = arena_alloc(&r->arena, (change->config_count + 1) * sizeof *configs);
	r->change = *change;
	r->change.configs = configs;
	for (uint32_t i = 0; configs && i < change->config_count; i++) {
		const struct log_config *c = &change->configs[i];
		configs[i].name = arena_string(&r->arena, c->name, strlen(c->name));
		configs[i].value = c->value ? arena_string(&r->arena, c->value, strlen(c->value)) : NULL;
		if (!configs[i].name || (c->value && !configs[i].value))
			return false;
	}
	return configs != NULL;
}

void log__meta_topic_change(struct engine *engine, const struct log_topic_change *change,
			    void (*topic_done)(void *arg, const struct sm_error *error), void *arg)
{
	struct request *r = calloc(1, sizeof *r);
	if (r)
		arena_init(&r->arena, 0);
	if (!r || !(r->name = strdup(change->name)) || !change_copy(r, change)) {
		if (r) {
			arena_done(&r->arena);
			free(r->name);
		}
		free(r);
		topic_done(arg, &(struct sm_error){.code = SM_NO_MEMORY, .text = "no memory"});
		return;
	}
	r->kind = REQUEST_CHANGE;
	r->done = topic_done;
	r->arg = arg;
	request_send(engine, r);
}

void log__meta_topic_delete(struct engine *engine, const char *name, void (*topic_done)(void *arg, const struct sm_error *error), void *arg)
{
	struct request *r = calloc(1, sizeof *r);
	if (!r || !(r->name = strdup(name))) {
		free(r);
		topic_done(arg, &(struct sm_error){.code = SM_NO_MEMORY, .text = "no memory"});
		return;
	}
	r->kind = REQUEST_DELETE;
	r->done = topic_done;
	r->arg = arg;
	request_send(engine, r);
}

void log__meta_producer_id(struct engine *engine, void (*id_done)(void *arg, enum sm_err err, int64_t producer_id, int16_t epoch),
			   void *arg)
{
	struct request *r = calloc(1, sizeof *r);
	if (!r) {
		id_done(arg, SM_NO_MEMORY, -1, -1);
		return;
	}
	r->kind = REQUEST_PRODUCER_ID;
	r->done_id = id_done;
	r->arg = arg;
	request_send(engine, r);
}

void log__meta_stop(struct engine *engine, void (*stop_done)(void *arg, const struct sm_error *error), void *arg)
{
	struct request *r = calloc(1, sizeof *r);
	if (!r) {
		stop_done(arg, NULL);
		return;
	}
	r->kind = REQUEST_STOP;
	r->done = stop_done;
	r->arg = arg;
	request_send(engine, r);
}

void log__meta_free(struct engine *engine)
{
	if (!engine->meta)
		return;
	sm_unref(engine->meta->ref);
	free(engine->meta);
	engine->meta = NULL;
}
