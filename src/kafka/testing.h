/* What the tests of this room share: a log in memory that can be told to fail, and a blocking client that speaks through the
 * room's own tables. */
#ifndef KAFKA_TESTING_H
#define KAFKA_TESTING_H

#include "kafka/kafka_internal.h"
#include "log/record_batch.h"
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a log in memory: nothing blocks, `done` is called within the call ---- */

struct fake_partition {
	struct buf batches;
	int64_t next_offset;
};
struct fake_topic {
	char name[250];
	struct uuid id;
	int32_t partition_count;
	struct fake_partition *partitions;
};
struct fake_offset {
	char group[64], topic[250], metadata[64];
	int32_t partition;
	int64_t offset;
};
/* What a coordinator keeps; value.data NULL: taken away. */
struct fake_record {
	char group[64];
	struct bytes key, value;
};
struct fake_log {
	struct sm_log log;
	pthread_mutex_t lock;
	struct fake_topic topics[16];
	uint32_t topic_count;
	struct log_wait *waits;
	struct fake_offset offsets[64];
	uint32_t offset_count;
	struct fake_record records[128];
	uint32_t record_count;
	enum sm_err write_err; /* what is kept cannot be written */
	int64_t next_producer;
	int full_times;               /* so many appends answer SM_FULL */
	struct batch_refused refused; /* appends are refused for these records */
	int appends;
};

static inline struct fake_topic *fake_find(struct fake_log *f, const char *name)
{
	for (uint32_t i = 0; i < f->topic_count; i++) {
		if (strcmp(f->topics[i].name, name) == 0)
			return &f->topics[i];
	}
	return NULL;
}

static inline void fake_topic_create(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *, const struct sm_error *),
				     void *arg)
{
	struct fake_log *f = (struct fake_log *)log;
	struct sm_error error = {.code = SM_OK};
	pthread_mutex_lock(&f->lock);
	if (fake_find(f, spec->name)) {
		error.code = SM_EXISTS;
	} else if (!spec->check) {
		uint32_t at = f->topic_count++;
		while (at > 0 && strcmp(f->topics[at - 1].name, spec->name) > 0) {
			f->topics[at] = f->topics[at - 1];
			at--;
		}
		struct fake_topic *t = &f->topics[at];
		*t = (struct fake_topic){.partition_count = spec->partitions};
		strncpy(t->name, spec->name, sizeof t->name - 1);
		uuid_random(&t->id);
		t->partitions = calloc((size_t)spec->partitions, sizeof *t->partitions);
	}
	pthread_mutex_unlock(&f->lock);
	done(arg, error.code ? &error : NULL);
}

static inline void fake_topic_free(struct fake_topic *t)
{
	for (int32_t i = 0; i < t->partition_count; i++)
		buf_done(&t->partitions[i].batches);
	free(t->partitions);
}

static inline void fake_topic_delete(struct sm_log *log, const char *name, void (*done)(void *, const struct sm_error *), void *arg)
{
	struct fake_log *f = (struct fake_log *)log;
	pthread_mutex_lock(&f->lock);
	struct fake_topic *t = fake_find(f, name);
	if (t) {
		fake_topic_free(t);
		uint32_t at = (uint32_t)(t - f->topics);
		memmove(t, t + 1, (f->topic_count - at - 1) * sizeof *t);
		f->topic_count--;
	}
	pthread_mutex_unlock(&f->lock);
	struct sm_error error = {.code = SM_NOT_FOUND};
	done(arg, t ? NULL : &error);
}

struct fake_picture {
	struct log_topics topics;
	struct log_topic items[16];
	char names[16][250];
};

static inline const struct log_topics *fake_topics(struct sm_log *log)
{
	struct fake_log *f = (struct fake_log *)log;
	struct fake_picture *p = calloc(1, sizeof *p);
	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < f->topic_count; i++) {
		strcpy(p->names[i], f->topics[i].name);
		p->items[i] = (struct log_topic){
			.name = p->names[i], .id = f->topics[i].id, .partitions = f->topics[i].partition_count, .replication_factor = 1};
	}
	p->topics = (struct log_topics){p->items, f->topic_count};
	pthread_mutex_unlock(&f->lock);
	return &p->topics;
}

static inline void fake_topics_release(struct sm_log *log, const struct log_topics *topics)
{
	free((void *)(uintptr_t)topics);
}

static inline void fake_wait_end(struct fake_log *f, struct log_wait *w, enum sm_err err)
{
	struct log_wait **at = &f->waits;
	while (*at && *at != w)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = w->next;
	pthread_mutex_unlock(&f->lock);
	w->done(w, err);
	pthread_mutex_lock(&f->lock);
}

static inline enum sm_err fake_append_locked(struct fake_log *f, const char *topic, int32_t partition, uint8_t *batches, size_t size,
					     struct log_append_result *result)
{
	struct fake_topic *t = fake_find(f, topic);
	struct batch_info info;
	f->appends++;
	if (!t || partition >= t->partition_count)
		return SM_NOT_FOUND;
	if (f->full_times > 0) {
		f->full_times--;
		return SM_FULL;
	}
	if (f->refused.why) {
		result->refused = f->refused;
		return SM_INVALID;
	}
	enum sm_err err = batch_parse(bytes_of(batches, size), &info);
	if (err || !batch_crc_ok(bytes_of(batches, size), &info))
		return err ? err : SM_CORRUPT;
	struct fake_partition *p = &t->partitions[partition];
	batch_set_offset(batches, p->next_offset, 0);
	buf_append(&p->batches, batches, size);
	result->base_offset = p->next_offset;
	p->next_offset += info.record_count;
	for (struct log_wait *w = f->waits; w;) {
		bool hit = strcmp(w->topic, topic) == 0 && w->partition == partition && p->next_offset > w->offset;
		if (hit)
			fake_wait_end(f, w, SM_OK);
		w = hit ? f->waits : w->next;
	}
	return SM_OK;
}

static inline void fake_append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
			       log_append_done done, void *arg)
{
	struct fake_log *f = (struct fake_log *)log;
	struct log_append_result result = {.base_offset = -1, .log_append_time_ms = -1};
	pthread_mutex_lock(&f->lock);
	result.err = fake_append_locked(f, topic, partition, batches, size, &result);
	pthread_mutex_unlock(&f->lock);
	done(arg, &result);
}

static inline enum sm_err fake_read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				    struct log_read_result *ret)
{
	struct fake_log *f = (struct fake_log *)log;
	pthread_mutex_lock(&f->lock);
	struct fake_topic *t = fake_find(f, topic);
	enum sm_err err = !t || partition >= t->partition_count ? SM_NOT_FOUND : SM_OK;
	struct fake_partition *p = err ? NULL : &t->partitions[partition];
	if (!err && (offset < 0 || offset > p->next_offset))
		err = SM_OUT_OF_RANGE;
	if (!err) {
		struct bytes all = buf_bytes(&p->batches);
		size_t from = 0, to;
		struct batch_info info;
		while (from < all.size && batch_parse(bytes_of(all.data + from, all.size - from), &info) == SM_OK &&
		       info.base_offset + info.last_offset_delta < offset)
			from += info.size;
		for (to = from; to < all.size && batch_parse(bytes_of(all.data + to, all.size - to), &info) == SM_OK; to += info.size) {
			if (to > from && to + info.size - from > bytes_max)
				break;
		}
		*ret = (struct log_read_result){{.data = all.data + from, .fd = -1, .size = to - from}, p->next_offset, p->next_offset, 0};
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static inline void fake_wait(struct sm_log *log, struct log_wait *wait)
{
	struct fake_log *f = (struct fake_log *)log;
	pthread_mutex_lock(&f->lock);
	struct fake_topic *t = fake_find(f, wait->topic);
	wait->next = f->waits;
	f->waits = wait;
	if (t && t->partitions[wait->partition].next_offset > wait->offset)
		fake_wait_end(f, wait, SM_OK);
	pthread_mutex_unlock(&f->lock);
}

static inline void fake_wait_cancel(struct sm_log *log, struct log_wait *wait)
{
	struct fake_log *f = (struct fake_log *)log;
	pthread_mutex_lock(&f->lock);
	fake_wait_end(f, wait, SM_CANCELLED);
	pthread_mutex_unlock(&f->lock);
}

static inline enum sm_err fake_offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
					  int64_t *ret_timestamp_ms)
{
	struct fake_log *f = (struct fake_log *)log;
	pthread_mutex_lock(&f->lock);
	struct fake_topic *t = fake_find(f, topic);
	*ret_offset = !t ? -1 : what == LOG_EARLIEST ? 0 : t->partitions[partition].next_offset;
	if (ret_timestamp_ms)
		*ret_timestamp_ms = -1;
	pthread_mutex_unlock(&f->lock);
	return t ? SM_OK : SM_NOT_FOUND;
}

static inline void fake_producer_id(struct sm_log *log, void (*done)(void *, enum sm_err, int64_t, int16_t), void *arg)
{
	struct fake_log *f = (struct fake_log *)log;
	done(arg, SM_OK, ++f->next_producer, 0);
}

static inline struct fake_offset *fake_offset(struct fake_log *f, const char *group, const struct log_group_offset *o)
{
	for (uint32_t i = 0; i < f->offset_count; i++) {
		struct fake_offset *x = &f->offsets[i];
		if (!strcmp(x->group, group) && !strcmp(x->topic, o->topic) && x->partition == o->partition)
			return x;
	}
	return NULL;
}

static inline void fake_offsets_commit(struct sm_log *log, const char *group, const struct log_group_offset *offsets, uint32_t count,
				       void (*done)(void *, enum sm_err), void *arg)
{
	struct fake_log *f = (struct fake_log *)log;
	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < count; i++) {
		struct fake_offset *x = fake_offset(f, group, &offsets[i]);
		if (!x) {
			x = &f->offsets[f->offset_count++];
			strncpy(x->group, group, sizeof x->group - 1);
			strncpy(x->topic, offsets[i].topic, sizeof x->topic - 1);
		}
		strncpy(x->metadata, offsets[i].metadata ? offsets[i].metadata : "", sizeof x->metadata - 1);
		x->partition = offsets[i].partition;
		x->offset = offsets[i].offset;
	}
	pthread_mutex_unlock(&f->lock);
	done(arg, SM_OK);
}

static inline enum sm_err fake_offsets_fetch(struct sm_log *log, const char *group, struct log_group_offset *offsets, uint32_t count,
					     void **ret_hold)
{
	struct fake_log *f = (struct fake_log *)log;
	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < count; i++) {
		struct fake_offset *x = fake_offset(f, group, &offsets[i]);
		offsets[i].offset = x ? x->offset : -1;
		offsets[i].metadata = x ? x->metadata : NULL;
	}
	pthread_mutex_unlock(&f->lock);
	*ret_hold = NULL;
	return SM_OK;
}

static inline enum sm_err fake_offsets_list(struct sm_log *log, const char *group, struct log_group_offset **ret_offsets,
					    uint32_t *ret_count, void **ret_hold)
{
	struct fake_log *f = (struct fake_log *)log;
	struct log_group_offset *all = calloc(64, sizeof *all);
	uint32_t count = 0;
	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < f->offset_count; i++) {
		const struct fake_offset *x = &f->offsets[i];
		if (strcmp(x->group, group) == 0 && x->offset >= 0)
			all[count++] = (struct log_group_offset){x->topic, x->partition, x->offset, 0, x->metadata};
	}
	pthread_mutex_unlock(&f->lock);
	*ret_offsets = *ret_hold = all;
	*ret_count = count;
	return SM_OK;
}

static inline void fake_offsets_release(struct sm_log *log, void *hold)
{
	free(hold);
}

static inline struct bytes fake_copy(struct bytes b)
{
	uint8_t *copy = b.data ? malloc(b.size + 1) : NULL;
	if (copy)
		memcpy(copy, b.data, b.size);
	return bytes_of(copy, b.size);
}

static inline void fake_group_write(struct sm_log *log, const char *group, const struct log_group_record *records, uint32_t count,
				    void (*done)(void *, enum sm_err), void *arg)
{
	struct fake_log *f = (struct fake_log *)log;
	pthread_mutex_lock(&f->lock);
	enum sm_err err = f->write_err;
	for (uint32_t i = 0; !err && i < count; i++) {
		uint32_t at = 0;
		while (at < f->record_count && !bytes_equal(f->records[at].key, records[i].key))
			at++;
		struct fake_record *r = &f->records[at];
		if (at == f->record_count) {
			f->record_count++;
			strncpy(r->group, group, sizeof r->group - 1);
			r->key = fake_copy(records[i].key);
		}
		free((void *)(uintptr_t)r->value.data);
		r->value = fake_copy(records[i].value);
	}
	pthread_mutex_unlock(&f->lock);
	done(arg, err);
}

static inline enum sm_err fake_group_read(struct sm_log *log, const char *group, struct log_group_record **ret_records, uint32_t *ret_count,
					  void **ret_hold)
{
	struct fake_log *f = (struct fake_log *)log;
	struct log_group_record *all = calloc(128, sizeof *all);
	uint32_t count = 0;
	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < f->record_count; i++)
		if (strcmp(f->records[i].group, group) == 0 && f->records[i].value.data)
			all[count++] = (struct log_group_record){f->records[i].key, f->records[i].value};
	pthread_mutex_unlock(&f->lock);
	*ret_records = *ret_hold = all;
	*ret_count = count;
	return SM_OK;
}

static inline enum sm_err fake_groups_kept(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	struct fake_log *f = (struct fake_log *)log;
	const char **all = calloc(128, sizeof *all);
	uint32_t count = 0;
	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < f->record_count; i++) {
		bool known = !f->records[i].value.data;
		for (uint32_t k = 0; k < count; k++)
			known |= strcmp(all[k], f->records[i].group) == 0;
		if (!known)
			all[count++] = f->records[i].group;
	}
	pthread_mutex_unlock(&f->lock);
	*ret_names = all;
	*ret_hold = all;
	*ret_count = count;
	return SM_OK;
}

static const struct log_ops fake_ops = {
	.topic_create = fake_topic_create,
	.topic_delete = fake_topic_delete,
	.topics = fake_topics,
	.topics_release = fake_topics_release,
	.append = fake_append,
	.read = fake_read,
	.read_uncommitted = fake_read,
	.wait = fake_wait,
	.wait_cancel = fake_wait_cancel,
	.offset_for = fake_offset_for,
	.producer_id = fake_producer_id,
	.offsets_commit = fake_offsets_commit,
	.offsets_fetch = fake_offsets_fetch,
	.offsets_list = fake_offsets_list,
	.offsets_release = fake_offsets_release,
	.group_write = fake_group_write,
	.group_read = fake_group_read,
	.groups_kept = fake_groups_kept,
};

/* ---- a server on it ---- */

struct fixture {
	struct sm_system *system;
	struct fake_log log;
	struct kafka_server *server;
	uint64_t offsets_retention_ms; /* from the next start on */
	struct arena arena;            /* of what the test asks and is answered */
};

static inline void fixture_serve(struct fixture *x)
{
	struct sm_error error;
	struct kafka_listener_options listener = {.host = "127.0.0.1"};
	struct kafka_server_options options = {.system = x->system,
					       .log = &x->log.log,
					       .listeners = &listener,
					       .listener_count = 1,
					       .node_id = 1,
					       .offsets_retention_ms = x->offsets_retention_ms};
	if (kafka_server_new(&options, &x->server, &error))
		fail_msg("%s", error.text);
}

static inline int fixture_up(void **state)
{
	struct fixture *x = calloc(1, sizeof *x);
	struct sm_error error;
	x->log.log.ops = &fake_ops;
	pthread_mutex_init(&x->log.lock, NULL);
	arena_init(&x->arena, 0);
	struct sm_system_options system = {.dispatchers = 2, .pool_threads = 2};
	if (sm_system_new(&system, &x->system, &error))
		fail_msg("%s", error.text);
	fixture_serve(x);
	*state = x;
	return 0;
}

static inline void fixture_restart(struct fixture *x)
{
	kafka_server_free(x->server, 1000);
	fixture_serve(x);
}

static inline int fixture_down(void **state)
{
	struct fixture *x = *state;
	kafka_server_free(x->server, 1000);
	assert_int_equal(sm_system_stop(x->system, 5000), SM_OK);
	for (uint32_t i = 0; i < x->log.topic_count; i++)
		fake_topic_free(&x->log.topics[i]);
	for (uint32_t i = 0; i < x->log.record_count; i++) {
		free((void *)(uintptr_t)x->log.records[i].key.data);
		free((void *)(uintptr_t)x->log.records[i].value.data);
	}
	arena_done(&x->arena);
	free(x);
	return 0;
}

/* ---- the client ---- */

#define ANSWER_MS 20000

static inline int dial_at(const char *host, uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	assert_int_equal(inet_pton(AF_INET, host, &to.sin_addr), 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static inline int dial(struct fixture *x)
{
	return dial_at("127.0.0.1", kafka_server_port(x->server, 0));
}

static inline void send_all(int fd, struct bytes data)
{
	while (data.size) {
		ssize_t n = send(fd, data.data, data.size, MSG_NOSIGNAL);
		assert_true(n > 0);
		data = bytes_of(data.data + n, data.size - (size_t)n);
	}
}

/* False: the connection has ended. */
static inline bool receive_all(int fd, uint8_t *out, size_t size)
{
	while (size) {
		struct pollfd p = {fd, POLLIN, 0};
		if (poll(&p, 1, ANSWER_MS) != 1)
			fail_msg("no answer within %d ms", ANSWER_MS);
		ssize_t n = recv(fd, out, size, 0);
		if (n <= 0)
			return false;
		out += n;
		size -= (size_t)n;
	}
	return true;
}

static inline bool has_ended(int fd)
{
	uint8_t byte;
	return !receive_all(fd, &byte, 1);
}

static inline struct kafka_version version_of(int16_t key, int16_t version)
{
	return (struct kafka_version){version, version >= kafka__api_find(key)->flexible};
}

static inline void ask(struct fixture *x, int fd, int16_t key, int16_t version, int32_t correlation_id, const void *body)
{
	struct buf out;
	buf_init(&out);
	buf_be32(&out, 0);
	buf_be16(&out, (uint16_t)key);
	buf_be16(&out, (uint16_t)version);
	buf_be32(&out, (uint32_t)correlation_id);
	buf_be16(&out, 4);
	buf_append_str(&out, "test");
	struct kafka_version v = version_of(key, version);
	if (v.flexible)
		buf_u8(&out, 0);
	struct kafka_writer w = {.out = &out, .arena = &x->arena};
	assert_int_equal(kafka__encode(kafka__api_find(key)->request, v, body, &w), SM_OK);
	be32_put(out.data, (uint32_t)buf_size(&out) - 4);
	send_all(fd, buf_bytes(&out));
	buf_done(&out);
}

/* The next answer, which must be of this request; NULL: the connection has ended. */
static inline void *answer(struct fixture *x, int fd, int16_t key, int16_t version, int32_t correlation_id)
{
	uint8_t head[4];
	if (!receive_all(fd, head, 4))
		return NULL;
	size_t size = be32_get(head);
	uint8_t *data = arena_alloc(&x->arena, size);
	assert_true(receive_all(fd, data, size));
	struct byte_reader in = byte_reader(bytes_of(data, size));
	assert_int_equal(reader_be32(&in), correlation_id);
	struct kafka_version v = version_of(key, version);
	if (v.flexible && key != KAFKA_API_VERSIONS)
		assert_int_equal(reader_u8(&in), 0);
	const struct kafka_layout *layout = kafka__api_find(key)->response;
	void *out = arena_alloc(&x->arena, layout->size);
	assert_int_equal(kafka__decode(layout, v, &in, &x->arena, out), SM_OK);
	return out;
}

static inline void *call(struct fixture *x, int fd, int16_t key, int16_t version, const void *body)
{
	ask(x, fd, key, version, 77, body);
	void *a = answer(x, fd, key, version, 77);
	assert_non_null(a);
	return a;
}

/* A body with its defaults. */
#define BODY(x, name) ((struct kafka_##name *)body_new((x), &kafka_layout_##name))
static inline void *body_new(struct fixture *x, const struct kafka_layout *layout)
{
	void *m = arena_alloc(&x->arena, layout->size);
	kafka__defaults(layout, m);
	return m;
}

static inline void make_topic(struct fixture *x, const char *name, int32_t partitions)
{
	struct sm_error error;
	struct log_topic_spec spec = {.name = name, .partitions = partitions, .replication_factor = 1};
	assert_int_equal(log_topic_create_wait(&x->log.log, &spec, &error), SM_OK);
}

/* One batch with one record of this value. */
static inline struct kafka_records one_record(struct fixture *x, const char *value)
{
	struct buf out;
	buf_init(&out);
	struct batch_builder b;
	struct record r = {.timestamp_ms = 1000, .key_null = true, .value = bytes_str(value)};
	batch_begin(&b, &out, CODEC_NONE);
	batch_add(&b, &r, NULL, 0);
	assert_int_equal(batch_end(&b), SM_OK);
	struct kafka_records records = {arena_copy(&x->arena, buf_bytes(&out).data, buf_size(&out)), buf_size(&out), NULL};
	buf_done(&out);
	return records;
}

static inline struct kafka_produce_request *produce_of(struct fixture *x, const char *topic, int32_t partition,
						       struct kafka_records records)
{
	struct kafka_produce_request *q = BODY(x, produce_request);
	q->acks = -1;
	q->timeout_ms = 10000;
	q->topics = BODY(x, produce_topic);
	q->topics_count = 1;
	q->topics->name = bytes_str(topic);
	q->topics->partitions = BODY(x, produce_partition);
	q->topics->partitions_count = 1;
	q->topics->partitions->index = partition;
	q->topics->partitions->records = records;
	return q;
}

static inline struct kafka_fetch_request *fetch_of(struct fixture *x, const char *topic, int32_t partition, int64_t offset)
{
	struct kafka_fetch_request *q = BODY(x, fetch_request);
	q->min_bytes = 1;
	q->topics = BODY(x, fetch_topic);
	q->topics_count = 1;
	q->topics->topic = bytes_str(topic);
	q->topics->partitions = BODY(x, fetch_partition);
	q->topics->partitions_count = 1;
	q->topics->partitions->partition = partition;
	q->topics->partitions->fetch_offset = offset;
	q->topics->partitions->partition_max_bytes = 1 << 20;
	return q;
}

#endif
