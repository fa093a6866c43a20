/* Transactions of others, read through the engine: what is committed, what is not, and the offsets that hold no record. */
#include "rdkafka/testing.h"
#include <librdkafka/rdkafka.h>

static rd_kafka_t *producer_new(struct outgrown *x, const char *id)
{
	char why[300], brokers[100], full[100];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rdkafka_brokers(x->address, brokers, sizeof brokers);
	snprintf(full, sizeof full, "%s%s", x->prefix, id);
	assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why), RD_KAFKA_CONF_OK);
	assert_int_equal(rd_kafka_conf_set(conf, "transactional.id", full, why, sizeof why), RD_KAFKA_CONF_OK);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
	if (!rk)
		fail_msg("%s", why);
	assert_null(rd_kafka_init_transactions(rk, 30000));
	return rk;
}

static void produce(rd_kafka_t *rk, const char *topic, int from, int to)
{
	for (int i = from; i < to; i++) {
		char value[32];
		int n = snprintf(value, sizeof value, "value %d", i);
		assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(value, (size_t)n),
						   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
				 0);
	}
	assert_int_equal(rd_kafka_flush(rk, 30000), 0);
}

/* The numbers from offset on, as "1 2 3", while offsets follow each other without a gap; where it ended in *ret_next. */
static void read_numbers(struct outgrown *x, const char *topic, bool uncommitted, int64_t *next, char *out, size_t size)
{
	size_t n = 0;
	struct log_read_result result;
	*out = 0;
	for (;;) {
		enum sm_err err = (uncommitted ? x->log->ops->read_uncommitted : x->log->ops->read)(x->log, topic, 0, *next, 1 << 20,
												    &result);
		if (err)
			fail_msg("offset %lld: %s", (long long)*next, sm_err_text(err));
		if (!result.slice.size)
			return;
		struct batch_reader reader;
		struct record r;
		assert_int_equal(batch_reader_init(&reader, bytes_of(result.slice.data, result.slice.size)), SM_OK);
		assert_int_equal(reader.info.base_offset, *next);
		assert_false(log_slice_hides(&result.slice, &reader.info));
		while (!batch_next(&reader, &r)) {
			assert_true(r.offset >= *next);
			n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? " " : "", (int)r.value.size - 6, r.value.data + 6);
		}
		*next = reader.info.base_offset + reader.info.last_offset_delta + 1;
		assert_true(result.last_stable_offset >= *next);
		assert_true(result.high_watermark >= result.last_stable_offset);
		batch_reader_done(&reader);
		log_slice_done(&result.slice);
	}
}

/* A transaction's end is answered before its markers are written: they come in a moment. */
static void latest_is(struct outgrown *x, const char *topic, int64_t stable, int64_t high)
{
	int64_t latest = -1, mark = -1;
	for (int tries = 0; (latest != stable || mark != high) && tries < 500; tries++) {
		assert_int_equal(x->log->ops->offset_for(x->log, topic, 0, LOG_LATEST, &latest, NULL), SM_OK);
		assert_int_equal(x->log->ops->offset_for(x->log, topic, 0, LOG_HIGH_WATERMARK, &mark, NULL), SM_OK);
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	assert_int_equal(latest, stable);
	assert_int_equal(mark, high);
}

static void only_what_is_committed_is_read(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "txn", 1, NULL, 0);
	rd_kafka_t *rk = producer_new(x, "one");
	char numbers[400];
	int64_t next = 0, far = 0;

	/* Committed: 0-4, the marker is 5. Aborted: 6-8, the marker is 9. Committed: 10, the marker is 11. */
	assert_null(rd_kafka_begin_transaction(rk));
	produce(rk, topic, 0, 5);
	assert_null(rd_kafka_commit_transaction(rk, 30000));
	assert_null(rd_kafka_begin_transaction(rk));
	produce(rk, topic, 5, 8);
	assert_null(rd_kafka_abort_transaction(rk, 30000));
	assert_null(rd_kafka_begin_transaction(rk));
	produce(rk, topic, 8, 9);
	assert_null(rd_kafka_commit_transaction(rk, 30000));
	latest_is(x, topic, 12, 12);
	read_numbers(x, topic, false, &next, numbers, sizeof numbers);
	assert_string_equal(numbers, "0 1 2 3 4 8");
	assert_int_equal(next, 12);
	read_numbers(x, topic, true, &far, numbers, sizeof numbers);
	assert_string_equal(numbers, "0 1 2 3 4 5 6 7 8");
	assert_int_equal(far, 12);

	/* From within what was aborted, and from a marker at the end: an empty batch covers the rest. */
	next = 7;
	read_numbers(x, topic, false, &next, numbers, sizeof numbers);
	assert_string_equal(numbers, "8");
	next = 11;
	read_numbers(x, topic, false, &next, numbers, sizeof numbers);
	assert_string_equal(numbers, "");
	assert_int_equal(next, 12);

	/* One that is open: nothing of it is read, and nothing behind it. */
	assert_null(rd_kafka_begin_transaction(rk));
	produce(rk, topic, 9, 11);
	assert_int_equal(append_some(x, topic, 0, 20, 22), 14);
	latest_is(x, topic, 12, 16);
	read_numbers(x, topic, false, &next, numbers, sizeof numbers);
	assert_string_equal(numbers, "");
	assert_int_equal(next, 12);
	read_numbers(x, topic, true, &far, numbers, sizeof numbers);
	assert_string_equal(numbers, "9 10 20 21");
	/* A reader beyond the stable end waits there, one beyond everything is wrong. */
	struct log_read_result result;
	assert_int_equal(x->log->ops->read(x->log, topic, 0, 14, 1000, &result), SM_OK);
	assert_int_equal(result.slice.size, 0);
	assert_int_equal(x->log->ops->read(x->log, topic, 0, 17, 1000, &result), SM_OUT_OF_RANGE);
	assert_null(rd_kafka_abort_transaction(rk, 30000));
	latest_is(x, topic, 17, 17);
	read_numbers(x, topic, false, &next, numbers, sizeof numbers);
	assert_string_equal(numbers, "20 21");
	assert_int_equal(next, 17);
	rd_kafka_destroy(rk);
}

static void a_batch_of_a_transaction_is_not_ours_to_append(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "kinds", 1, NULL, 0);
	static const struct {
		uint16_t kind;
		enum sm_err err;
	} kinds[] = {{BATCH_TRANSACTIONAL, SM_CONFLICT}, {BATCH_CONTROL | BATCH_TRANSACTIONAL, SM_INVALID}};
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct batch_builder b;
		struct buf out;
		buf_init(&out);
		batch_begin(&b, &out, CODEC_NONE);
		batch_set_kind(&b, kinds[i].kind);
		batch_add(&b, &(struct record){.timestamp_ms = T0, .key = BYTES("k"), .value = BYTES("v")}, NULL, 0);
		assert_int_equal(batch_end(&b), SM_OK);
		assert_int_equal(log_append_wait(x->log, topic, 0, out.data, buf_size(&out), NULL), kinds[i].err);
		buf_done(&out);
	}
}

int main(void)
{
#define WITH_BROKER(name) cmocka_unit_test_setup_teardown(name, outgrown_begin, outgrown_end)
	const struct CMUnitTest tests[] = {
		WITH_BROKER(only_what_is_committed_is_read),
		WITH_BROKER(a_batch_of_a_transaction_is_not_ours_to_append),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
