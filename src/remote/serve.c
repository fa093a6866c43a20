/* What each operation does. The log's and the store's asynchronous calls start on the connection's dispatcher and finish
 * the request from their callbacks; everything that may block runs on the pool. */
#include "base/logging.h"
#include "remote/server_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum sm_err malformed(struct remote_request *q)
{
	return sm_fail(&q->error, SM_INVALID, "malformed request %d", q->op);
}

static struct sm_log *log_of(struct remote_request *q)
{
	return q->peer->server->options.log;
}

static struct sm_store *store_of(struct remote_request *q)
{
	return q->peer->server->options.store;
}

/* ---- asynchronous ---- */

static void change_done(void *arg, const struct sm_error *error)
{
	struct remote_request *q = arg;
	if (error)
		q->error = *error;
	remote__request_finish(q, error ? error->code : SM_OK);
}

/* The request's arena holds the change until the answer has been sent. */
static void schema_done(void *arg, const struct sm_error *error)
{
	struct remote_request *q = arg;
	const struct remote_server_options *o = &q->peer->server->options;
	if (!error && o->schema_changed)
		o->schema_changed(o->arg, q->change);
	change_done(q, error);
}

static void append_done(void *arg, const struct log_append_result *result)
{
	struct remote_request *q = arg;
	buf_be64(&q->answer, (uint64_t)result->base_offset);
	buf_be64(&q->answer, (uint64_t)result->log_append_time_ms);
	buf_be64(&q->answer, (uint64_t)result->log_start_offset);
	remote__request_finish(q, result->err);
}

static void start_append(struct remote_request *q)
{
	const char *topic = remote__take_string(&q->in, &q->arena);
	int32_t partition = (int32_t)reader_be32(&q->in);
	uint32_t flags = reader_be32(&q->in);
	struct bytes batches = remote__take_bytes(&q->in);
	if (q->in.failed || !topic)
		remote__request_finish(q, malformed(q));
	else
		log_of(q)->ops->append(log_of(q), topic, partition, (uint8_t *)(uintptr_t)batches.data, batches.size, flags, append_done,
				       q);
}

static void wait_done(struct log_wait *wait, enum sm_err err)
{
	remote__request_finish((struct remote_request *)((char *)wait - offsetof(struct remote_request, wait)), err);
}

static void start_wait(struct remote_request *q)
{
	q->wait.topic = remote__take_string(&q->in, &q->arena);
	q->wait.partition = (int32_t)reader_be32(&q->in);
	q->wait.offset = (int64_t)reader_be64(&q->in);
	q->wait.done = wait_done;
	if (q->in.failed || !q->wait.topic)
		remote__request_finish(q, malformed(q));
	else
		log_of(q)->ops->wait(log_of(q), &q->wait);
}

static void producer_done(void *arg, enum sm_err err, int64_t id, int16_t epoch)
{
	struct remote_request *q = arg;
	buf_be64(&q->answer, (uint64_t)id);
	buf_be16(&q->answer, (uint16_t)epoch);
	remote__request_finish(q, err);
}

static void simple_done(void *arg, enum sm_err err)
{
	remote__request_finish(arg, err);
}

static void records_deleted(void *arg, enum sm_err err, int64_t log_start_offset)
{
	struct remote_request *q = arg;
	buf_be64(&q->answer, (uint64_t)log_start_offset);
	remote__request_finish(q, err);
}

static struct log_group_offset *take_offsets(struct remote_request *q, const char **ret_group, uint32_t *ret_count)
{
	*ret_group = remote__take_string(&q->in, &q->arena);
	*ret_count = remote__take_count(&q->in, 24);
	struct log_group_offset *offsets = arena_alloc(&q->arena, (*ret_count + 1) * sizeof *offsets);
	for (uint32_t i = 0; i < *ret_count && offsets; i++) {
		offsets[i].topic = remote__take_string(&q->in, &q->arena);
		offsets[i].partition = (int32_t)reader_be32(&q->in);
		offsets[i].offset = (int64_t)reader_be64(&q->in);
		offsets[i].leader_epoch = (int32_t)reader_be32(&q->in);
		offsets[i].metadata = remote__take_string(&q->in, &q->arena);
		q->in.failed |= !offsets[i].topic;
	}
	return q->in.failed || !*ret_group ? NULL : offsets;
}

static void start_apply(struct remote_request *q)
{
	q->schema = store_of(q)->ops->schema(store_of(q));
	struct store_batch *batch = arena_alloc(&q->arena, sizeof *batch);
	enum sm_err err = batch && q->schema ? remote__take_store_batch(&q->in, &q->arena, q->schema, batch) : SM_NO_MEMORY;
	if (err)
		remote__request_finish(q, err == SM_CORRUPT ? malformed(q) : err);
	else
		store_of(q)->ops->apply(store_of(q), batch, simple_done, q);
}

bool remote__serve_at_once(struct remote_request *q)
{
	switch (q->op) {
	case REMOTE_APPEND: start_append(q); return true;
	case REMOTE_WAIT: start_wait(q); return true;
	case REMOTE_APPLY: start_apply(q); return true;
	case REMOTE_PRODUCER_ID: log_of(q)->ops->producer_id(log_of(q), producer_done, q); return true;
	case REMOTE_TOPIC_CHECK:
	case REMOTE_TOPIC_CREATE: {
		struct log_topic_spec spec;
		remote__take_topic_spec(&q->in, &q->arena, &spec);
		spec.check = q->op == REMOTE_TOPIC_CHECK;
		if (q->in.failed)
			remote__request_finish(q, malformed(q));
		else
			log_of(q)->ops->topic_create(log_of(q), &spec, change_done, q);
		return true;
	}
	case REMOTE_TOPIC_CHANGE: {
		struct log_topic_change change;
		remote__take_topic_change(&q->in, &q->arena, &change);
		if (q->in.failed)
			remote__request_finish(q, malformed(q));
		else
			log_of(q)->ops->topic_change(log_of(q), &change, change_done, q);
		return true;
	}
	case REMOTE_RECORDS_DELETE: {
		const char *topic = remote__take_string(&q->in, &q->arena);
		int32_t partition = (int32_t)reader_be32(&q->in);
		int64_t offset = (int64_t)reader_be64(&q->in);
		if (q->in.failed || !topic)
			remote__request_finish(q, malformed(q));
		else
			log_of(q)->ops->records_delete(log_of(q), topic, partition, offset, records_deleted, q);
		return true;
	}
	case REMOTE_TOPIC_DELETE: {
		const char *name = remote__take_string(&q->in, &q->arena);
		if (!name)
			remote__request_finish(q, malformed(q));
		else
			log_of(q)->ops->topic_delete(log_of(q), name, change_done, q);
		return true;
	}
	case REMOTE_OFFSETS_COMMIT: {
		const char *group;
		uint32_t count;
		struct log_group_offset *offsets = take_offsets(q, &group, &count);
		if (!offsets)
			remote__request_finish(q, malformed(q));
		else
			log_of(q)->ops->offsets_commit(log_of(q), group, offsets, count, simple_done, q);
		return true;
	}
	case REMOTE_CHANGE: {
		struct store_change *change = arena_alloc(&q->arena, sizeof *change);
		if (change)
			remote__take_change(&q->in, &q->arena, change);
		if (!change || q->in.failed)
			remote__request_finish(q, malformed(q));
		else {
			q->change = change;
			store_of(q)->ops->change(store_of(q), change, schema_done, q);
		}
		return true;
	}
	default: return false;
	}
}

/* ---- on the pool ---- */

static enum sm_err serve_topics(struct remote_request *q)
{
	const struct log_topics *topics = log_of(q)->ops->topics(log_of(q));
	if (!topics)
		return SM_NO_MEMORY;
	remote__put_topics(&q->answer, topics);
	log_of(q)->ops->topics_release(log_of(q), topics);
	return SM_OK;
}

static enum sm_err serve_read(struct remote_request *q)
{
	const char *topic = remote__take_string(&q->in, &q->arena);
	int32_t partition = (int32_t)reader_be32(&q->in);
	int64_t offset = (int64_t)reader_be64(&q->in);
	uint64_t bytes_max = reader_be64(&q->in);
	bool copy = reader_u8(&q->in);
	if (q->in.failed || !topic)
		return malformed(q);
	if (bytes_max > REMOTE_FRAME_MAX / 2)
		bytes_max = REMOTE_FRAME_MAX / 2;
	struct log_read_result result;
	enum sm_err err = log_of(q)->ops->read(log_of(q), topic, partition, offset, bytes_max, &result);
	if (err)
		return err;
	char link[64], path[4096];
	ssize_t n = 0;
	if (result.slice.size && !result.slice.data && !copy) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", result.slice.fd);
		n = readlink(link, path, sizeof path);
	}
	buf_be64(&q->answer, (uint64_t)result.high_watermark);
	buf_be64(&q->answer, (uint64_t)result.last_stable_offset);
	buf_be64(&q->answer, (uint64_t)result.log_start_offset);
	buf_be64(&q->answer, result.slice.size);
	buf_be64(&q->answer, result.slice.file_at);
	buf_be32(&q->answer, result.slice.aborted_count);
	for (uint32_t i = 0; i < result.slice.aborted_count; i++) {
		buf_be64(&q->answer, (uint64_t)result.slice.aborted[i].producer_id);
		buf_be64(&q->answer, (uint64_t)result.slice.aborted[i].first_offset);
		buf_be64(&q->answer, (uint64_t)result.slice.aborted[i].last_offset);
	}
	remote__put_bytes(&q->answer, bytes_of(path, n > 0 ? (size_t)n : 0));
	uint8_t *buffer = NULL;
	size_t cap = 0;
	struct bytes data = {0};
	if (n <= 0 && result.slice.size)
		err = log_slice_bytes(&result.slice, &buffer, &cap, &data);
	remote__put_bytes(&q->answer, data);
	free(buffer);
	log_slice_done(&result.slice);
	return err;
}

static enum sm_err serve_offset_for(struct remote_request *q)
{
	const char *topic = remote__take_string(&q->in, &q->arena);
	int32_t partition = (int32_t)reader_be32(&q->in);
	int64_t what = (int64_t)reader_be64(&q->in), offset, timestamp = -1;
	if (q->in.failed || !topic)
		return malformed(q);
	enum sm_err err = log_of(q)->ops->offset_for(log_of(q), topic, partition, what, &offset, &timestamp);
	if (err)
		return err;
	buf_be64(&q->answer, (uint64_t)offset);
	buf_be64(&q->answer, (uint64_t)timestamp);
	return SM_OK;
}

static enum sm_err serve_partition_bytes(struct remote_request *q)
{
	const char *topic = remote__take_string(&q->in, &q->arena);
	int32_t partition = (int32_t)reader_be32(&q->in);
	uint64_t bytes = 0;
	if (q->in.failed || !topic)
		return malformed(q);
	enum sm_err err = log_of(q)->ops->partition_bytes(log_of(q), topic, partition, &bytes);
	buf_be64(&q->answer, bytes);
	return err;
}

static enum sm_err serve_offsets_fetch(struct remote_request *q)
{
	const char *group;
	uint32_t count;
	struct log_group_offset *offsets = take_offsets(q, &group, &count);
	if (!offsets)
		return malformed(q);
	void *hold;
	enum sm_err err = log_of(q)->ops->offsets_fetch(log_of(q), group, offsets, count, &hold);
	if (err)
		return err;
	for (uint32_t i = 0; i < count; i++) {
		buf_be64(&q->answer, (uint64_t)offsets[i].offset);
		buf_be32(&q->answer, (uint32_t)offsets[i].leader_epoch);
		remote__put_string(&q->answer, offsets[i].metadata);
	}
	log_of(q)->ops->offsets_release(log_of(q), hold);
	return SM_OK;
}

static enum sm_err serve_offsets_list(struct remote_request *q)
{
	const char *group = remote__take_string(&q->in, &q->arena);
	struct log_group_offset *offsets;
	uint32_t count;
	void *hold;
	if (!group)
		return malformed(q);
	enum sm_err err = log_of(q)->ops->offsets_list(log_of(q), group, &offsets, &count, &hold);
	if (err)
		return err;
	buf_be32(&q->answer, count);
	for (uint32_t i = 0; i < count; i++) {
		remote__put_string(&q->answer, offsets[i].topic);
		buf_be32(&q->answer, (uint32_t)offsets[i].partition);
		buf_be64(&q->answer, (uint64_t)offsets[i].offset);
		buf_be32(&q->answer, (uint32_t)offsets[i].leader_epoch);
		remote__put_string(&q->answer, offsets[i].metadata);
		buf_u8(&q->answer, offsets[i].pending);
	}
	log_of(q)->ops->offsets_release(log_of(q), hold);
	return SM_OK;
}

static enum sm_err serve_groups(struct remote_request *q)
{
	const char *const *names;
	uint32_t count;
	void *hold;
	enum sm_err err = log_of(q)->ops->groups(log_of(q), &names, &count, &hold);
	if (err)
		return err;
	buf_be32(&q->answer, count);
	for (uint32_t i = 0; i < count; i++)
		remote__put_string(&q->answer, names[i]);
	log_of(q)->ops->offsets_release(log_of(q), hold);
	return SM_OK;
}

static enum sm_err serve_schema(struct remote_request *q)
{
	const struct store_schema *schema = store_of(q)->ops->schema(store_of(q));
	if (!schema)
		return SM_NO_MEMORY;
	remote__put_schema(&q->answer, schema);
	store_of(q)->ops->schema_release(store_of(q), schema);
	return SM_OK;
}

static enum sm_err serve_open(struct remote_request *q)
{
	struct sm_store *store = store_of(q);
	unsigned i = 0;
	while (i < REMOTE_CURSORS_MAX && q->peer->cursors[i].cursor)
		i++;
	if (i == REMOTE_CURSORS_MAX)
		return sm_fail(&q->error, SM_FULL, "more than %d cursors on one connection: close some", REMOTE_CURSORS_MAX);
	struct open_cursor *c = &q->peer->cursors[i];
	struct store_read read;
	const struct store_schema *schema = store->ops->schema(store);
	if (!schema)
		return SM_NO_MEMORY;
	enum sm_err err = remote__take_read(&q->in, &q->arena, schema, &read);
	if (err == SM_CORRUPT)
		err = malformed(q);
	else if (!err)
		err = store->ops->open(store, &read, &c->cursor, &q->error);
	if (err) {
		store->ops->schema_release(store, schema);
		return err;
	}
	c->schema = schema;
	c->table = read.table;
	c->at_end = false;
	buf_be32(&q->answer, i);
	return SM_OK;
}

static struct open_cursor *cursor_of(struct remote_request *q)
{
	uint32_t id = reader_be32(&q->in);
	return !q->in.failed && id < REMOTE_CURSORS_MAX && q->peer->cursors[id].cursor ? &q->peer->cursors[id] : NULL;
}

static enum sm_err serve_next(struct remote_request *q)
{
	struct open_cursor *c = cursor_of(q);
	if (!c)
		return sm_fail(&q->error, SM_NOT_FOUND, "no such cursor");
	struct buf rows;
	buf_init(&rows);
	uint32_t count = 0;
	enum sm_err err = SM_OK;
	while (!c->at_end && buf_size(&rows) < REMOTE_PAGE_BYTES) {
		const struct store_row *row;
		err = store_of(q)->ops->next(c->cursor, &row);
		if (err == SM_END) {
			c->at_end = true;
			err = SM_OK;
			break;
		}
		if (err)
			break;
		remote__put_row(&rows, c->table, row);
		count++;
	}
	buf_u8(&q->answer, c->at_end);
	buf_be32(&q->answer, count);
	buf_append_bytes(&q->answer, buf_bytes(&rows));
	if (rows.failed)
		err = SM_NO_MEMORY;
	buf_done(&rows);
	return err;
}

static enum sm_err serve_close(struct remote_request *q)
{
	struct open_cursor *c = cursor_of(q);
	if (!c)
		return SM_OK;
	store_of(q)->ops->close_cursor(c->cursor);
	store_of(q)->ops->schema_release(store_of(q), c->schema);
	*c = (struct open_cursor){0};
	return SM_OK;
}

static enum sm_err serve_job_epoch(struct remote_request *q)
{
	const char *job = remote__take_string(&q->in, &q->arena);
	uint64_t epoch;
	if (!job)
		return malformed(q);
	enum sm_err err = store_of(q)->ops->job_epoch(store_of(q), job, &epoch, &q->error);
	if (!err)
		buf_be64(&q->answer, epoch);
	return err;
}

static enum sm_err serve_checkpoint(struct remote_request *q)
{
	struct remote_server *server = q->peer->server;
	if (q->peer->checkpoint_dir)
		return sm_fail(&q->error, SM_EXISTS, "this connection has a checkpoint already");
	char dir[sizeof server->data_dir + 64], *copy, real[4096];
	snprintf(dir, sizeof dir, "%s/checkpoints/%llu", server->data_dir,
		 (unsigned long long)atomic_fetch_add(&server->next_checkpoint, 1));
	enum sm_err err = store_of(q)->ops->checkpoint(store_of(q), dir, &q->error);
	if (err)
		return err;
	if (!(copy = strdup(dir)))
		return SM_NO_MEMORY;
	q->peer->checkpoint_dir = copy;
	if (!realpath(dir, real))
		return sm_fail(&q->error, SM_IO, "cannot resolve %s", dir);
	remote__put_string(&q->answer, real);
	return SM_OK;
}

static enum sm_err serve_command(struct remote_request *q)
{
	const char *name = remote__take_string(&q->in, &q->arena);
	struct bytes request = remote__take_bytes(&q->in);
	if (q->in.failed || !name)
		return malformed(q);
	for (const struct remote_command *c = q->peer->server->options.commands; c && c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c->run(c->arg, request, &q->answer, &q->error);
	return sm_fail(&q->error, SM_NOT_FOUND, "the server knows no command '%s'", name);
}

/* What belongs to the connection is touched by one request at a time, although a client may send the next before the answer. */
static enum sm_err one_at_a_time(struct remote_request *q, enum sm_err (*serve)(struct remote_request *q))
{
	pthread_mutex_lock(&q->peer->lock);
	enum sm_err err = serve(q);
	pthread_mutex_unlock(&q->peer->lock);
	return err;
}

enum sm_err remote__serve_on_pool(struct remote_request *q)
{
	switch (q->op) {
	case REMOTE_COMMAND: return serve_command(q);
	case REMOTE_TOPICS: return serve_topics(q);
	case REMOTE_READ: return serve_read(q);
	case REMOTE_OFFSET_FOR: return serve_offset_for(q);
	case REMOTE_PARTITION_BYTES: return serve_partition_bytes(q);
	case REMOTE_OFFSETS_FETCH: return serve_offsets_fetch(q);
	case REMOTE_OFFSETS_LIST: return serve_offsets_list(q);
	case REMOTE_GROUPS: return serve_groups(q);
	case REMOTE_SCHEMA: return serve_schema(q);
	case REMOTE_OPEN: return one_at_a_time(q, serve_open);
	case REMOTE_NEXT: return one_at_a_time(q, serve_next);
	case REMOTE_CLOSE: return one_at_a_time(q, serve_close);
	case REMOTE_JOB_EPOCH: return serve_job_epoch(q);
	case REMOTE_CHECKPOINT: return one_at_a_time(q, serve_checkpoint);
	default: return sm_fail(&q->error, SM_UNSUPPORTED, "unknown request %d", q->op);
	}
}
