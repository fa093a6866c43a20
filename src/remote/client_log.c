/* The log as seen from another process. Appends and changes are answered before the call returns; a read opens the segment
 * where it lies and falls back to a copy through the socket when the file has gone. A wait has a thread and a connection of its own. */
#include "remote/remote_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct remote_log {
	struct sm_log log;
	struct client *client;
	pthread_mutex_t lock;
	pthread_cond_t wait_ended;
	unsigned waits;
};

static struct remote_log *remote_of(struct sm_log *log)
{
	return (struct remote_log *)log;
}

static struct client *client_of(struct sm_log *log)
{
	return remote_of(log)->client;
}

/* ---- topics ---- */

struct picture {
	struct log_topics topics; /* first: what callers hold */
	struct arena arena;
};

static void do_change(struct sm_log *log, enum remote_op op, struct buf *body, void (*done)(void *arg, const struct sm_error *error),
		      void *arg)
{
	struct sm_error error = {0};
	enum sm_err err = remote__do(client_of(log), NULL, op, buf_bytes(body), NULL, &error);
	buf_done(body);
	done(arg, err ? &error : NULL);
}

static void topic_create(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *arg, const struct sm_error *error),
			 void *arg)
{
	struct buf body;
	buf_init(&body);
	remote__put_topic_spec(&body, spec);
	do_change(log, spec->check ? REMOTE_TOPIC_CHECK : REMOTE_TOPIC_CREATE, &body, done, arg);
}

static void topic_delete(struct sm_log *log, const char *name, void (*done)(void *arg, const struct sm_error *error), void *arg)
{
	struct buf body;
	buf_init(&body);
	remote__put_string(&body, name);
	do_change(log, REMOTE_TOPIC_DELETE, &body, done, arg);
}

static void topic_change(struct sm_log *log, const struct log_topic_change *change, void (*done)(void *arg, const struct sm_error *error),
			 void *arg)
{
	struct buf body;
	buf_init(&body);
	remote__put_topic_change(&body, change);
	do_change(log, REMOTE_TOPIC_CHANGE, &body, done, arg);
}

/* A question about one partition whose answer is one number. */
static enum sm_err ask_number(struct sm_log *log, enum remote_op op, const char *topic, int32_t partition, const int64_t *offset,
			      int64_t *ret_number)
{
	struct buf body, answer;
	buf_init(&body);
	buf_init(&answer);
	remote__put_string(&body, topic);
	buf_be32(&body, (uint32_t)partition);
	if (offset)
		buf_be64(&body, (uint64_t)*offset);
	enum sm_err err = remote__do(client_of(log), NULL, op, buf_bytes(&body), &answer, NULL);
	if (!err) {
		struct byte_reader r = byte_reader(buf_bytes(&answer));
		int64_t number = (int64_t)reader_be64(&r);
		if (r.failed)
			err = SM_CORRUPT;
		else
			*ret_number = number;
	}
	buf_done(&body);
	buf_done(&answer);
	return err;
}

static void records_delete(struct sm_log *log, const char *topic, int32_t partition, int64_t offset,
			   void (*done)(void *arg, enum sm_err err, int64_t log_start_offset), void *arg)
{
	int64_t start = -1;
	enum sm_err err = ask_number(log, REMOTE_RECORDS_DELETE, topic, partition, &offset, &start);
	done(arg, err, start);
}

static enum sm_err partition_bytes(struct sm_log *log, const char *topic, int32_t partition, uint64_t *ret_bytes)
{
	int64_t bytes = 0;
	enum sm_err err = ask_number(log, REMOTE_PARTITION_BYTES, topic, partition, NULL, &bytes);
	*ret_bytes = (uint64_t)bytes;
	return err;
}

static const struct log_topics *topics(struct sm_log *log)
{
	struct picture *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	struct buf answer;
	buf_init(&answer);
	arena_init(&p->arena, 0);
	/* A server that is gone has no topics; the calls on them say so. */
	if (!remote__do(client_of(log), NULL, REMOTE_TOPICS, (struct bytes){0}, &answer, NULL)) {
		struct byte_reader r = byte_reader(buf_bytes(&answer));
		remote__take_topics(&r, &p->arena, &p->topics);
		if (r.failed)
			p->topics = (struct log_topics){0};
	}
	buf_done(&answer);
	return &p->topics;
}

static void topics_release(struct sm_log *log, const struct log_topics *held)
{
	struct picture *p = (struct picture *)(uintptr_t)held;
	if (!p)
		return;
	arena_done(&p->arena);
	free(p);
}

/* ---- records ---- */

struct append {
	struct remote__call call; /* first */
	struct client *client;
	struct buf body;
	log_append_done done;
	void *arg;
};

static void do_append(struct remote__call *call)
{
	struct append *a = (struct append *)call;
	struct log_append_result result = {.base_offset = -1, .log_append_time_ms = -1};
	struct buf answer;
	buf_init(&answer);
	result.err = remote__do(a->client, NULL, REMOTE_APPEND, buf_bytes(&a->body), &answer, NULL);
	if (!result.err) {
		struct byte_reader r = byte_reader(buf_bytes(&answer));
		result.base_offset = (int64_t)reader_be64(&r);
		result.log_append_time_ms = (int64_t)reader_be64(&r);
		result.log_start_offset = (int64_t)reader_be64(&r);
		result.err = r.failed ? SM_CORRUPT : SM_OK;
	}
	a->done(a->arg, &result);
	buf_done(&answer);
	buf_done(&a->body);
	free(a);
}

static void append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
		   log_append_done done, void *arg)
{
	struct append *a = calloc(1, sizeof *a);
	enum sm_err err = SM_NO_MEMORY;
	if (a) {
		*a = (struct append){.call.run = do_append, .client = client_of(log), .done = done, .arg = arg};
		buf_init(&a->body);
		remote__put_string(&a->body, topic);
		buf_be32(&a->body, (uint32_t)partition);
		buf_be32(&a->body, flags);
		remote__put_bytes(&a->body, bytes_of(batches, size));
		if (!a->body.failed)
			err = remote__do_later(a->client, &a->call);
	}
	if (!err)
		return;
	if (a)
		buf_done(&a->body);
	free(a);
	done(arg, &(struct log_append_result){.err = err, .base_offset = -1, .log_append_time_ms = -1});
}

/* A slice from here holds either an open file or memory. */
struct slice_hold {
	struct log_hold hold;
	int fd;
	uint8_t *data;
};

static void release_slice(struct log_hold *hold)
{
	struct slice_hold *h = (struct slice_hold *)hold;
	if (h->fd >= 0)
		close(h->fd);
	free(h->data);
	free(h);
}

static enum sm_err take_aborted(struct byte_reader *r, struct log_slice *slice)
{
	uint32_t count = remote__take_count(r, 24);
	if (!count)
		return SM_OK;
	if (!(slice->aborted = calloc(count, sizeof *slice->aborted)))
		return SM_NO_MEMORY;
	slice->aborted_count = count;
	for (uint32_t i = 0; i < count; i++) {
		slice->aborted[i].producer_id = (int64_t)reader_be64(r);
		slice->aborted[i].first_offset = (int64_t)reader_be64(r);
		slice->aborted[i].last_offset = (int64_t)reader_be64(r);
	}
	return SM_OK;
}

/* The batches themselves: in a file, or a copy. */
static enum sm_err take_batches(struct bytes path, struct bytes data, struct log_slice *slice)
{
	struct slice_hold *h = calloc(1, sizeof *h);
	if (!h)
		return SM_NO_MEMORY;
	enum sm_err err = SM_OK;
	h->fd = -1;
	h->hold.release = release_slice;
	if (path.size) {
		char name[4097];
		memcpy(name, path.data, path.size);
		name[path.size] = 0;
		h->fd = open(name, O_RDONLY | O_CLOEXEC);
		err = h->fd < 0 ? SM_NOT_FOUND : SM_OK;
	} else if (!(h->data = malloc(data.size))) {
		err = SM_NO_MEMORY;
	} else {
		memcpy(h->data, data.data, data.size);
	}
	if (err) {
		release_slice(&h->hold);
		return err;
	}
	slice->data = h->data;
	slice->fd = h->fd;
	slice->hold = &h->hold;
	return SM_OK;
}

static enum sm_err take_result(struct bytes answer, struct log_read_result *ret)
{
	struct byte_reader r = byte_reader(answer);
	struct log_read_result result = {.slice = {.fd = -1}};
	result.high_watermark = (int64_t)reader_be64(&r);
	result.last_stable_offset = (int64_t)reader_be64(&r);
	result.log_start_offset = (int64_t)reader_be64(&r);
	result.slice.size = reader_be64(&r);
	result.slice.file_at = reader_be64(&r);
	enum sm_err err = take_aborted(&r, &result.slice);
	struct bytes path = remote__take_bytes(&r), data = remote__take_bytes(&r);
	if (!err && (r.failed || (!path.size && data.size != result.slice.size) || path.size > 4096))
		err = SM_CORRUPT;
	if (!err && result.slice.size)
		err = take_batches(path, data, &result.slice);
	if (err)
		log_slice_done(&result.slice);
	else
		*ret = result;
	return err;
}

enum { READ_WHERE, READ_COPY };

static enum sm_err read_once(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max, uint8_t how,
			     struct log_read_result *ret)
{
	struct buf body, answer;
	buf_init(&body);
	buf_init(&answer);
	remote__put_string(&body, topic);
	buf_be32(&body, (uint32_t)partition);
	buf_be64(&body, (uint64_t)offset);
	buf_be64(&body, bytes_max);
	buf_u8(&body, how);
	enum sm_err err = remote__do(client_of(log), NULL, REMOTE_READ, buf_bytes(&body), &answer, NULL);
	buf_done(&body);
	if (!err)
		err = take_result(buf_bytes(&answer), ret);
	buf_done(&answer);
	return err;
}

static enum sm_err read_batches(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				struct log_read_result *ret)
{
	enum sm_err err = read_once(log, topic, partition, offset, bytes_max, READ_WHERE, ret);
	/* SM_NOT_FOUND is a topic that is not there, or a segment that went before it was opened: the copy tells which. */
	return err == SM_NOT_FOUND ? read_once(log, topic, partition, offset, bytes_max, READ_COPY, ret) : err;
}

/* ---- waits ---- */

struct waiter {
	struct remote_log *log;
	struct log_wait *wait;
	struct buf body;
	int conn;
	bool cancelled;
	pthread_t thread;
};

static void *run_wait(void *arg)
{
	struct waiter *w = arg;
	struct remote_log *l = w->log;
	int conn = w->conn;
	enum sm_err err = remote__do(l->client, &conn, REMOTE_WAIT, buf_bytes(&w->body), NULL, NULL);
	pthread_mutex_lock(&l->lock);
	struct log_wait *wait = w->wait;
	wait->engine = NULL;
	bool cancelled = w->cancelled;
	pthread_mutex_unlock(&l->lock);
	remote__hang_up(conn);
	buf_done(&w->body);
	free(w);
	wait->done(wait, cancelled ? SM_CANCELLED : err);
	pthread_mutex_lock(&l->lock);
	l->waits--;
	pthread_cond_signal(&l->wait_ended);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void wait_for(struct sm_log *log, struct log_wait *wait)
{
	struct remote_log *l = remote_of(log);
	struct waiter *w = calloc(1, sizeof *w);
	struct buf answer;
	enum sm_err err = SM_NO_MEMORY;
	buf_init(&answer);
	wait->engine = NULL;
	if (!w)
		goto failed;
	*w = (struct waiter){.log = l, .wait = wait, .conn = -1};
	remote__put_string(&w->body, wait->topic);
	buf_be32(&w->body, (uint32_t)wait->partition);
	buf_be64(&w->body, (uint64_t)wait->offset);
	/* A cheap request first: it makes the connection that a cancel shuts down. */
	if ((err = remote__do(l->client, &w->conn, REMOTE_TOPICS, (struct bytes){0}, &answer, NULL)))
		goto failed;
	pthread_mutex_lock(&l->lock);
	wait->engine = w;
	l->waits++;
	int no = pthread_create(&w->thread, NULL, run_wait, w);
	if (!no)
		pthread_detach(w->thread);
	else
		l->waits--;
	pthread_mutex_unlock(&l->lock);
	buf_done(&answer);
	if (!no)
		return;
	err = SM_NO_MEMORY;
failed:
	buf_done(&answer);
	if (w) {
		remote__hang_up(w->conn);
		buf_done(&w->body);
		free(w);
	}
	wait->engine = NULL;
	wait->done(wait, err);
}

static void wait_cancel(struct sm_log *log, struct log_wait *wait)
{
	struct remote_log *l = remote_of(log);
	pthread_mutex_lock(&l->lock);
	struct waiter *w = wait->engine;
	if (w) {
		w->cancelled = true;
		shutdown(w->conn, SHUT_RDWR);
	}
	pthread_mutex_unlock(&l->lock);
}

/* ---- the rest ---- */

static enum sm_err offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
			      int64_t *ret_timestamp_ms)
{
	struct buf body, answer;
	buf_init(&body);
	buf_init(&answer);
	remote__put_string(&body, topic);
	buf_be32(&body, (uint32_t)partition);
	buf_be64(&body, (uint64_t)what);
	enum sm_err err = remote__do(client_of(log), NULL, REMOTE_OFFSET_FOR, buf_bytes(&body), &answer, NULL);
	if (!err) {
		struct byte_reader r = byte_reader(buf_bytes(&answer));
		int64_t offset = (int64_t)reader_be64(&r), timestamp = (int64_t)reader_be64(&r);
		if (r.failed)
			err = SM_CORRUPT;
		else {
			*ret_offset = offset;
			if (ret_timestamp_ms)
				*ret_timestamp_ms = timestamp;
		}
	}
	buf_done(&body);
	buf_done(&answer);
	return err;
}

static void producer_id(struct sm_log *log, void (*done)(void *arg, enum sm_err err, int64_t producer_id, int16_t epoch), void *arg)
{
	struct buf answer;
	buf_init(&answer);
	enum sm_err err = remote__do(client_of(log), NULL, REMOTE_PRODUCER_ID, (struct bytes){0}, &answer, NULL);
	struct byte_reader r = byte_reader(buf_bytes(&answer));
	int64_t id = (int64_t)reader_be64(&r);
	int16_t epoch = (int16_t)reader_be16(&r);
	if (!err && r.failed)
		err = SM_CORRUPT;
	buf_done(&answer);
	done(arg, err, err ? -1 : id, epoch);
}

static void put_offsets(struct buf *b, const char *group, const struct log_group_offset *offsets, uint32_t count)
{
	remote__put_string(b, group);
	buf_be32(b, count);
	for (uint32_t i = 0; i < count; i++) {
		remote__put_string(b, offsets[i].topic);
		buf_be32(b, (uint32_t)offsets[i].partition);
		buf_be64(b, (uint64_t)offsets[i].offset);
		buf_be32(b, (uint32_t)offsets[i].leader_epoch);
		remote__put_string(b, offsets[i].metadata);
	}
}

static void offsets_commit(struct sm_log *log, const char *group, const struct log_group_offset *offsets, uint32_t count,
			   void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct buf body;
	buf_init(&body);
	put_offsets(&body, group, offsets, count);
	enum sm_err err = remote__do(client_of(log), NULL, REMOTE_OFFSETS_COMMIT, buf_bytes(&body), NULL, NULL);
	buf_done(&body);
	done(arg, err);
}

static void offsets_release(struct sm_log *log, void *hold)
{
	struct arena *arena = hold;
	if (!arena)
		return;
	arena_done(arena);
	free(arena);
}

/* What a request answers with strings, taken into an arena that the caller holds. body is freed. */
static enum sm_err ask_held(struct sm_log *log, enum remote_op op, struct buf *body,
			    void (*take)(struct byte_reader *r, struct arena *arena, void *out), void *out, void **ret_hold)
{
	struct buf answer;
	buf_init(&answer);
	struct arena *arena = calloc(1, sizeof *arena);
	if (arena)
		arena_init(arena, 0);
	enum sm_err err = arena ? remote__do(client_of(log), NULL, op, buf_bytes(body), &answer, NULL) : SM_NO_MEMORY;
	struct byte_reader r = byte_reader(buf_bytes(&answer));
	if (!err)
		take(&r, arena, out);
	if (!err && r.failed)
		err = SM_CORRUPT;
	buf_done(body);
	buf_done(&answer);
	if (err)
		offsets_release(log, arena);
	else
		*ret_hold = arena;
	return err;
}

struct wanted_offsets {
	struct log_group_offset *items;
	uint32_t count;
};

static void take_wanted(struct byte_reader *r, struct arena *arena, void *out)
{
	const struct wanted_offsets *w = out;
	for (uint32_t i = 0; i < w->count; i++) {
		w->items[i].offset = (int64_t)reader_be64(r);
		w->items[i].leader_epoch = (int32_t)reader_be32(r);
		w->items[i].metadata = remote__take_string(r, arena);
	}
}

static enum sm_err offsets_fetch(struct sm_log *log, const char *group, struct log_group_offset *offsets, uint32_t count, void **ret_hold)
{
	struct buf body;
	buf_init(&body);
	put_offsets(&body, group, offsets, count);
	return ask_held(log, REMOTE_OFFSETS_FETCH, &body, take_wanted, &(struct wanted_offsets){offsets, count}, ret_hold);
}

struct taken_offsets {
	struct log_group_offset *items;
	uint32_t count;
};

static void take_offsets(struct byte_reader *r, struct arena *arena, void *out)
{
	struct taken_offsets *t = out;
	t->count = remote__take_count(r, 25);
	t->items = arena_alloc(arena, (t->count + 1) * sizeof *t->items);
	r->failed |= !t->items;
	for (uint32_t i = 0; i < t->count && !r->failed; i++) {
		struct log_group_offset *o = &t->items[i];
		o->topic = remote__take_string(r, arena);
		o->partition = (int32_t)reader_be32(r);
		o->offset = (int64_t)reader_be64(r);
		o->leader_epoch = (int32_t)reader_be32(r);
		o->metadata = remote__take_string(r, arena);
		o->pending = reader_u8(r);
		r->failed |= !o->topic;
	}
}

static enum sm_err offsets_list(struct sm_log *log, const char *group, struct log_group_offset **ret_offsets, uint32_t *ret_count,
				void **ret_hold)
{
	struct taken_offsets taken;
	struct buf body;
	buf_init(&body);
	remote__put_string(&body, group);
	enum sm_err err = ask_held(log, REMOTE_OFFSETS_LIST, &body, take_offsets, &taken, ret_hold);
	if (!err) {
		*ret_offsets = taken.items;
		*ret_count = taken.count;
	}
	return err;
}

struct taken_names {
	const char **items;
	uint32_t count;
};

static void take_names(struct byte_reader *r, struct arena *arena, void *out)
{
	struct taken_names *t = out;
	t->count = remote__take_count(r, 4);
	t->items = arena_alloc(arena, (t->count + 1) * sizeof *t->items);
	r->failed |= !t->items;
	for (uint32_t i = 0; i < t->count && !r->failed; i++) {
		t->items[i] = remote__take_string(r, arena);
		r->failed |= !t->items[i];
	}
}

static enum sm_err groups(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	struct taken_names taken;
	struct buf body;
	buf_init(&body);
	enum sm_err err = ask_held(log, REMOTE_GROUPS, &body, take_names, &taken, ret_hold);
	if (!err) {
		*ret_names = taken.items;
		*ret_count = taken.count;
	}
	return err;
}

static enum sm_err close_log(struct sm_log *log, struct sm_error *reterr)
{
	return SM_OK; /* the session owns it */
}

static const struct log_ops ops = {
	.topic_create = topic_create,
	.topic_change = topic_change,
	.topic_delete = topic_delete,
	.records_delete = records_delete,
	.partition_bytes = partition_bytes,
	.topics = topics,
	.topics_release = topics_release,
	.append = append,
	.read = read_batches,
	.wait = wait_for,
	.wait_cancel = wait_cancel,
	.offset_for = offset_for,
	.producer_id = producer_id,
	.offsets_commit = offsets_commit,
	.offsets_fetch = offsets_fetch,
	.offsets_list = offsets_list,
	.offsets_release = offsets_release,
	.groups = groups,
	.close = close_log,
};

enum sm_err remote__log_new(struct client *client, struct sm_log **ret_log)
{
	struct remote_log *l = calloc(1, sizeof *l);
	if (!l)
		return SM_NO_MEMORY;
	l->log.ops = &ops;
	l->client = client;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->wait_ended, NULL);
	*ret_log = &l->log;
	return SM_OK;
}

void remote__log_free(struct sm_log *log)
{
	if (!log)
		return;
	struct remote_log *l = remote_of(log);
	pthread_mutex_lock(&l->lock);
	while (l->waits)
		pthread_cond_wait(&l->wait_ended, &l->lock);
	pthread_mutex_unlock(&l->lock);
	pthread_cond_destroy(&l->wait_ended);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
