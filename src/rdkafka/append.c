/* Appends: the records of the batches, each handed to librdkafka, and the answer when Kafka has acknowledged them all.
 *
 * librdkafka makes batches of its own from them, in their order. A producer that can go no further (librdkafka calls that fatal: the
 * brokers lost track of its sequence) is replaced; what it had under way failed, or may be there all the same, as after a timeout. */
#include "base/metrics.h"
#include "log/record_batch.h"
#include "rdkafka/rdkafka_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define POLL_MS 200

/* One topic of the present producer. Records of one append stay together: who hands them over has the lock. */
struct producer_topic {
	pthread_mutex_t lock;
	rd_kafka_topic_t *topic;
	char name[];
};
struct rdkafka_append {
	struct rdkafka_log *k;
	log_append_done done;
	void *arg;
	struct log_append_result result; /* its numbers belong to the thread that polls */
	atomic_int err;                  /* the first one */
	atomic_uint left;                /* records that are not answered, and the call itself */
	uint32_t records, reader_count;
	size_t size, charged;
	char *topic;
	struct batch_reader readers[]; /* hold what was compressed */
};

/* ---- answers ---- */

static void failed(struct rdkafka_append *a, enum sm_err err)
{
	int none = SM_OK;
	if (err)
		atomic_compare_exchange_strong(&a->err, &none, (int)err);
}

static void unref(struct rdkafka_append *a)
{
	if (atomic_fetch_sub(&a->left, 1) != 1)
		return;
	struct rdkafka_log *k = a->k;
	a->result.err = (enum sm_err)atomic_load(&a->err);
	if (!a->result.err) {
		metric_add_labelled(METRIC_LOG_RECORDS, a->topic, a->records);
		metric_add_labelled(METRIC_LOG_BYTES, a->topic, (int64_t)a->size);
	} else {
		a->result.base_offset = -1;
	}
	a->done(a->arg, &a->result);
	for (uint32_t i = 0; i < a->reader_count; i++)
		batch_reader_done(&a->readers[i]);
	atomic_fetch_sub(&k->pending_bytes, a->charged);
	atomic_fetch_sub(&k->pending, 1);
	free(a->topic);
	free(a);
}

/* Thread: the one that polls. */
static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct rdkafka_append *a = m->_private;
	struct rdkafka_log *k = a->k;
	rd_kafka_timestamp_type_t type;
	if (m->err) {
		failed(a, rdkafka__err(m->err));
		goto done;
	}
	rdkafka__seen(k);
	if (a->result.base_offset < 0 || m->offset < a->result.base_offset)
		a->result.base_offset = m->offset;
	int64_t timestamp = rd_kafka_message_timestamp(m, &type);
	if (type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME)
		a->result.log_append_time_ms = timestamp;
done:
	unref(a);
}

static void error_seen(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	struct rdkafka_log *k = opaque;
	char why[300] = "";
	switch (err) {
	case RD_KAFKA_RESP_ERR__FATAL:
		rd_kafka_fatal_error(rk, why, sizeof why);
		rdkafka__notice(k, "%s: the producer can go no further (%s) and is replaced", k->shown, why);
		atomic_store(&k->producer_failed, true);
		return;
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR__SSL:
		if (!atomic_exchange(&k->denied, true))
			rdkafka__notice(k, "%s: %s", k->shown, reason);
		return;
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		if (!atomic_exchange(&k->away, true))
			rdkafka__notice(k, "%s: no broker answers (%s); appends wait, and time out", k->shown, reason);
		return;
	default: return;
	}
}

/* ---- the producer ---- */

static enum sm_err producer_start(struct rdkafka_log *k, rd_kafka_t **ret_producer, struct sm_error *reterr)
{
	char why[300] = "no memory";
	rd_kafka_conf_t *conf = rdkafka__conf(k);
	rd_kafka_t *rk = NULL;
	if (conf) {
		rd_kafka_conf_set_dr_msg_cb(conf, delivered);
		rd_kafka_conf_set_error_cb(conf, error_seen);
		if (!(rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why)))
			rd_kafka_conf_destroy(conf);
	}
	if (!rk)
		return sm_fail(reterr, SM_INVALID, "%s: %s", k->shown, why);
	*ret_producer = rk;
	return SM_OK;
}

enum sm_err rdkafka__producer_new(struct rdkafka_log *k, struct sm_error *reterr)
{
	return producer_start(k, &k->producer, reterr);
}

/* Whatever it has under way fails. With the producer's lock alone, or nobody left who produces. */
static void producer_free(struct rdkafka_log *k)
{
	size_t at = 0;
	struct bytes name;
	void *value;
	rd_kafka_purge(k->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	while (rd_kafka_outq_len(k->producer) > 0)
		rd_kafka_poll(k->producer, 10);
	pthread_mutex_lock(&k->lock);
	while (map_next(&k->producer_topics, &at, &name, &value)) {
		struct producer_topic *t = value;
		rd_kafka_topic_destroy(t->topic);
		pthread_mutex_destroy(&t->lock);
		free(t);
	}
	map_done(&k->producer_topics);
	map_init(&k->producer_topics);
	pthread_mutex_unlock(&k->lock);
	rd_kafka_destroy(k->producer);
	k->producer = NULL;
}

static void producer_replace(struct rdkafka_log *k)
{
	struct sm_error error;
	rd_kafka_t *fresh;
	if (producer_start(k, &fresh, &error)) {
		rdkafka__notice(k, "%s", error.text);
		nanosleep(&(struct timespec){1, 0}, NULL);
		return; /* at the next turn */
	}
	pthread_rwlock_wrlock(&k->producer_lock);
	producer_free(k);
	k->producer = fresh;
	atomic_store(&k->producer_failed, false);
	pthread_rwlock_unlock(&k->producer_lock);
}

void *rdkafka__produce_thread(void *arg)
{
	struct rdkafka_log *k = arg;
	while (!atomic_load(&k->produced)) {
		if (atomic_load(&k->producer_failed))
			producer_replace(k);
		rd_kafka_poll(k->producer, POLL_MS);
	}
	return NULL;
}

uint32_t rdkafka__producer_end(struct rdkafka_log *k, uint32_t timeout_ms)
{
	if (!k->producer)
		return 0;
	uint64_t end_ns = clock_monotonic_ns(&clock_system) + (uint64_t)timeout_ms * 1000000;
	while (atomic_load(&k->pending) && clock_monotonic_ns(&clock_system) < end_ns)
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	uint32_t left = atomic_load(&k->pending);
	atomic_store(&k->produced, true);
	if (k->threads & 1) {
		pthread_rwlock_rdlock(&k->producer_lock); /* it may be about to be replaced */
		rd_kafka_queue_t *queue = rd_kafka_queue_get_main(k->producer);
		rd_kafka_queue_yield(queue);
		rd_kafka_queue_destroy(queue);
		pthread_rwlock_unlock(&k->producer_lock);
		pthread_join(k->produce_thread, NULL);
	}
	producer_free(k);
	return left;
}

static struct producer_topic *topic_new(struct rdkafka_log *k, const char *name)
{
	struct producer_topic *t = calloc(1, sizeof *t + strlen(name) + 1);
	if (!t)
		return NULL;
	strcpy(t->name, name);
	pthread_mutex_init(&t->lock, NULL);
	if (!(t->topic = rd_kafka_topic_new(k->producer, name, NULL)) || map_put(&k->producer_topics, bytes_str(name), t, NULL)) {
		if (t->topic)
			rd_kafka_topic_destroy(t->topic);
		pthread_mutex_destroy(&t->lock);
		free(t);
		return NULL;
	}
	return t;
}

/* With the producer's lock. */
static struct producer_topic *topic_of(struct rdkafka_log *k, const char *name)
{
	pthread_mutex_lock(&k->lock);
	struct producer_topic *t = map_get(&k->producer_topics, bytes_str(name));
	if (!t)
		t = topic_new(k, name);
	pthread_mutex_unlock(&k->lock);
	return t;
}

/* ---- appends ---- */

/* All batches of the append can be read, record by record. */
static enum sm_err look_through(struct rdkafka_append *a, struct bytes data, unsigned flags)
{
	while (data.size) {
		struct batch_reader *reader = &a->readers[a->reader_count];
		struct record record;
		enum sm_err err = batch_reader_init(reader, data);
		if (err)
			return err == SM_TRUNCATED ? SM_CORRUPT : err;
		a->reader_count++;
		if (!batch_crc_ok(data, &reader->info))
			return SM_CORRUPT;
		if (reader->info.attributes & BATCH_CONTROL || reader->info.record_count < 1)
			return SM_INVALID;
		if (reader->info.attributes & BATCH_TRANSACTIONAL)
			return flags & LOG_TXN ? SM_UNSUPPORTED : SM_CONFLICT;
		struct batch_reader copy = *reader;
		while (!(err = batch_next(&copy, &record))) {
			a->records++;
			a->charged += RDKAFKA_RECORD_OVERHEAD + record.key.size + record.value.size + record.headers_raw.size;
		}
		if (err != SM_END)
			return err == SM_CORRUPT ? SM_INVALID : err;
		data = bytes_of(data.data + reader->info.size, data.size - reader->info.size);
	}
	return a->records ? SM_OK : SM_INVALID;
}

static uint32_t count_batches(struct bytes data)
{
	struct batch_info info;
	uint32_t count = 0;
	for (; data.size && !batch_parse(data, &info); count++)
		data = bytes_of(data.data + info.size, data.size - info.size);
	return count;
}

/* As librdkafka's interface has it; NULL would be a null field. */
static void *field_of(struct bytes b)
{
	static const char empty[1];
	return (void *)(uintptr_t)(b.size ? (const void *)b.data : empty);
}

static rd_kafka_headers_t *headers_of(const struct record *record)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);
	struct bytes raw = record->headers_raw;
	struct record_header h;
	while (headers && !record_header_next(&raw, &h))
		if (rd_kafka_header_add(headers, (const char *)h.key.data, (ssize_t)h.key.size, h.value_null ? NULL : field_of(h.value),
					(ssize_t)h.value.size)) {
			rd_kafka_headers_destroy(headers);
			return NULL;
		}
	return headers;
}

/* librdkafka borrows the value until the record is answered, and copies the rest. */
static enum sm_err hand_over(struct rdkafka_append *a, rd_kafka_topic_t *topic, int32_t partition, const struct record *record)
{
	rd_kafka_vu_t v[8] = {
		{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
		{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
		{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = 0},
		{.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = a},
		{.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms},
	};
	size_t count = 5;
	if (!record->key_null)
		v[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {field_of(record->key), record->key.size}};
	if (!record->value_null)
		v[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {field_of(record->value), record->value.size}};
	rd_kafka_headers_t *headers = NULL;
	if (record->header_count) {
		if (!(headers = headers_of(record)))
			return SM_NO_MEMORY;
		v[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers};
	}
	rd_kafka_error_t *error = rd_kafka_produceva(a->k->producer, v, count);
	if (!error)
		return SM_OK;
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	if (headers) /* taken over only on success */
		rd_kafka_headers_destroy(headers);
	return rdkafka__err(code);
}

static enum sm_err hand_all_over(struct rdkafka_append *a, int32_t partition)
{
	enum sm_err err = SM_OK;
	struct record record;
	struct producer_topic *t = topic_of(a->k, a->topic);
	if (!t)
		return SM_NO_MEMORY;
	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; i < a->reader_count && !err; i++) {
		while (!err && !(err = batch_next(&a->readers[i], &record))) {
			atomic_fetch_add(&a->left, 1);
			if ((err = hand_over(a, t->topic, partition, &record)))
				atomic_fetch_sub(&a->left, 1);
		}
		err = err == SM_END ? SM_OK : err;
	}
	pthread_mutex_unlock(&t->lock);
	return err;
}

static enum sm_err begin(struct rdkafka_append *a, int32_t partition, struct bytes data, unsigned flags)
{
	struct rdkafka_log *k = a->k;
	enum sm_err err = rdkafka__partition_known(k, a->topic, partition, true);
	if (!err)
		err = look_through(a, data, flags);
	if (err)
		return err;
	if (atomic_load(&k->pending_bytes) + a->charged > RDKAFKA_PENDING_BYTES_MAX && atomic_load(&k->pending) > 1)
		return SM_FULL;
	/* A producer that is being replaced is back in a moment: a dispatcher does not wait for that. */
	if (pthread_rwlock_tryrdlock(&k->producer_lock))
		return SM_FULL;
	if (atomic_load(&k->producer_failed))
		err = SM_FULL;
	else
		err = hand_all_over(a, partition);
	pthread_rwlock_unlock(&k->producer_lock);
	return err;
}

void rdkafka__append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
		     log_append_done done, void *arg)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	struct bytes data = bytes_of(batches, size);
	struct rdkafka_append *a = calloc(1, sizeof *a + (count_batches(data) + 1) * sizeof a->readers[0]);
	char *name = a ? strdup(topic) : NULL;
	if (!name || atomic_load(&k->closing)) {
		free(a);
		free(name);
		done(arg, &(struct log_append_result){.err = name ? SM_CLOSED : SM_NO_MEMORY, .base_offset = -1, .log_append_time_ms = -1});
		return;
	}
	*a = (struct rdkafka_append){.k = k, .done = done, .arg = arg, .topic = name, .size = size};
	a->result = (struct log_append_result){.base_offset = -1, .log_append_time_ms = -1, .log_start_offset = -1};
	atomic_store(&a->left, 1);
	atomic_fetch_add(&k->pending, 1);
	enum sm_err err = begin(a, partition, data, flags);
	atomic_fetch_add(&k->pending_bytes, a->charged);
	failed(a, err);
	unref(a);
}
