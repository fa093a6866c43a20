/* The log on a Kafka that goes away and comes back, a producer that can go no further, many who append at once. */
#include "rdkafka/rdkafka_internal.h"
#include "rdkafka/testing.h"

/* ---- appends under way ---- */

#define APPENDS_MAX 2048
struct appends {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t begun, answered, results[100]; /* by error */
	struct one_append {
		struct appends *all;
		struct buf data;
		struct log_append_result result;
	} each[APPENDS_MAX];
};

static void appended(void *arg, const struct log_append_result *result)
{
	struct one_append *one = arg;
	struct appends *a = one->all;
	pthread_mutex_lock(&a->lock);
	one->result = *result;
	a->results[result->err]++;
	a->answered++;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static struct appends *appends_new(void)
{
	struct appends *a = calloc(1, sizeof *a);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	return a;
}

static void appends_free(struct appends *a)
{
	for (uint32_t i = 0; i < a->begun; i++)
		buf_done(&a->each[i].data);
	free(a);
}

static void append_begin(struct outgrown *x, struct appends *a, const char *topic, int from, int to)
{
	pthread_mutex_lock(&a->lock);
	struct one_append *one = &a->each[a->begun++];
	pthread_mutex_unlock(&a->lock);
	one->all = a;
	buf_init(&one->data);
	put_batch(&one->data, CODEC_NONE, from, to);
	x->log->ops->append(x->log, topic, 0, one->data.data, buf_size(&one->data), 0, appended, one);
}

static void appends_wait(struct appends *a)
{
	pthread_mutex_lock(&a->lock);
	while (a->answered < a->begun)
		pthread_cond_wait(&a->changed, &a->lock);
	pthread_mutex_unlock(&a->lock);
}

/* How often each number is in the topic; ret_order: they only rise within a batch of so many. */
static void count_numbers(struct outgrown *x, const char *topic, uint8_t *counts, int numbers)
{
	int64_t end, next = 0;
	assert_int_equal(x->log->ops->offset_for(x->log, topic, 0, LOG_LATEST, &end, NULL), SM_OK);
	while (next < end) {
		struct log_read_result result;
		struct batch_reader reader;
		struct record r;
		int number;
		assert_int_equal(x->log->ops->read(x->log, topic, 0, next, 1 << 20, &result), SM_OK);
		assert_true(result.slice.size > 0);
		assert_int_equal(batch_reader_init(&reader, bytes_of(result.slice.data, result.slice.size)), SM_OK);
		while (!batch_next(&reader, &r)) {
			char value[64];
			if (r.offset < next)
				continue;
			snprintf(value, sizeof value, "%.*s", (int)r.value.size, (const char *)r.value.data);
			assert_int_equal(sscanf(value, "value %d", &number), 1);
			assert_true(number >= 0 && number < numbers);
			counts[number]++;
			next = r.offset + 1;
		}
		batch_reader_done(&reader);
		log_slice_done(&result.slice);
	}
}

static void sleep_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static void reopen(struct outgrown *x, const char *settings)
{
	struct sm_error error;
	char address[300];
	outgrown_close(x);
	snprintf(address, sizeof address, "%s?%s", x->address, settings);
	if (try_open(x, address, &error))
		fail_msg("%s", error.text);
}

/* ---- tests ---- */

/* What was acknowledged is there once, what was not at most once, whatever happens in between. */
static void a_broker_that_comes_back_finds_everything_as_it_was(void **state)
{
	struct outgrown *x = *state;
	if (!x->server)
		skip();
	reopen(x, "delivery.timeout.ms=2000");
	const char *topic = make_topic(x, "away", 1, NULL, 0);
	struct appends *a = appends_new();
	uint8_t *counts = calloc(1, 1000);
	append_begin(x, a, topic, 0, 10);
	appends_wait(a);
	assert_int_equal(a->results[SM_OK], 1);
	struct one_wait w = {.wait = {.topic = topic, .offset = 10, .done = wait_done}};
	sem_init(&w.done, 0, 0);
	x->log->ops->wait(x->log, &w.wait);

	broker_stop(x);
	append_begin(x, a, topic, 10, 20);
	appends_wait(a);
	assert_int_equal(a->results[SM_TIMEOUT], 1);
	append_begin(x, a, topic, 20, 30);
	sleep_ms(300);
	broker_start(x);
	appends_wait(a);
	for (int i = 30, n = 0; i < 1000; i += 10) {
		append_begin(x, a, topic, i, i + 10);
		appends_wait(a);
		if (a->each[a->begun - 1].result.err) {
			assert_true(++n < 20);
			i -= 10;
		}
	}
	count_numbers(x, topic, counts, 1000);
	for (uint32_t i = 0, from = 0; i < 3; i++, from += 10)
		for (uint32_t k = from; k < from + 10; k++)
			if (a->each[i].result.err)
				assert_true(counts[k] <= 1);
			else
				assert_int_equal(counts[k], 1);
	assert_int_equal(counts[999], 1);
	sem_wait(&w.done);
	assert_int_equal(w.err, SM_OK);
	sem_destroy(&w.done);
	assert_non_null(strstr(x->notices, "no broker answers"));
	assert_non_null(strstr(x->notices, "answers again"));
	free(counts);
	appends_free(a);
}

static void reads_wait_for_the_broker_and_say_when_it_does_not_come(void **state)
{
	struct outgrown *x = *state;
	if (!x->server)
		skip();
	const char *topic = make_topic(x, "reads", 1, NULL, 0);
	append_some(x, topic, 0, 0, 100);
	broker_stop(x);
	broker_start(x);
	uint8_t counts[100] = {0};
	count_numbers(x, topic, counts, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(counts[i], 1);
}

/* Above the bound an append is refused at once: who asks over HTTP is told to come again. */
static void what_waits_is_bounded(void **state)
{
	struct outgrown *x = *state;
	if (!x->server)
		skip();
	const char *topic = make_topic(x, "full", 1, NULL, 0);
	struct appends *a = appends_new();
	struct buf large;
	struct batch_builder b;
	struct record r = {.timestamp_ms = T0, .key_null = true, .value = {calloc(1, 1000000), 1000000}};
	buf_init(&large);
	batch_begin(&b, &large, CODEC_NONE);
	batch_add(&b, &r, NULL, 0);
	assert_int_equal(batch_end(&b), SM_OK);
	broker_stop(x);
	for (int i = 0; i < 200; i++) {
		struct one_append *one = &a->each[a->begun++];
		one->all = a;
		x->log->ops->append(x->log, topic, 0, large.data, buf_size(&large), 0, appended, one);
	}
	pthread_mutex_lock(&a->lock);
	assert_true(a->results[SM_FULL] > 50);
	assert_int_equal(a->results[SM_FULL], a->answered);
	pthread_mutex_unlock(&a->lock);
	/* Ending does not wait for ever either, and answers all. */
	struct sm_error error;
	assert_int_equal(x->log->ops->close(x->log, &error), SM_UNAVAILABLE);
	assert_non_null(strstr(error.text, "had not acknowledged"));
	x->log = NULL;
	assert_int_equal(a->answered, a->begun);
	free((void *)(uintptr_t)r.value.data);
	buf_done(&large);
	appends_free(a);
}

static void a_producer_that_can_go_no_further_is_replaced(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "fatal", 1, NULL, 0);
	struct rdkafka_log *k = (struct rdkafka_log *)x->log;
	append_some(x, topic, 0, 0, 10);
	for (int turn = 1; turn < 4; turn++) {
		rd_kafka_test_fatal_error(k->producer, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test");
		struct buf out;
		enum sm_err err;
		int64_t offset = -1;
		buf_init(&out);
		put_batch(&out, CODEC_NONE, turn * 10, turn * 10 + 10);
		for (int tries = 0; (err = log_append_wait(x->log, topic, 0, out.data, buf_size(&out), &offset)) && tries < 1000; tries++) {
			if (err != SM_FULL && err != SM_UNAVAILABLE)
				fail_msg("%s", sm_err_text(err));
			sleep_ms(10);
		}
		assert_int_equal(err, SM_OK);
		assert_int_equal(offset, turn * 10);
		buf_done(&out);
	}
	assert_non_null(strstr(x->notices, "can go no further"));
}

struct appender {
	pthread_t thread;
	struct outgrown *x;
	struct appends *a;
	const char *topic;
	int first;
};

static void *append_many(void *arg)
{
	struct appender *one = arg;
	for (int i = 0; i < 100; i++)
		append_begin(one->x, one->a, one->topic, one->first + i * 10, one->first + i * 10 + 10);
	return NULL;
}

/* The records of one append follow each other, the appends of one thread too. */
static void appends_of_several_threads_keep_their_order(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "order", 1, NULL, 0);
	struct appends *a = appends_new();
	struct appender many[4];
	uint8_t *counts = calloc(1, 4000);
	for (int i = 0; i < 4; i++) {
		many[i] = (struct appender){.x = x, .a = a, .topic = topic, .first = i * 1000};
		assert_int_equal(pthread_create(&many[i].thread, NULL, append_many, &many[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(many[i].thread, NULL);
	appends_wait(a);
	assert_int_equal(a->results[SM_OK], 400);
	count_numbers(x, topic, counts, 4000);
	for (int i = 0; i < 4000; i++)
		assert_int_equal(counts[i], 1);
	int64_t next = 0;
	int last[4] = {-1, -1, -1, -1};
	while (next < 4000) {
		struct log_read_result result;
		struct batch_reader reader;
		struct record r;
		assert_int_equal(x->log->ops->read(x->log, topic, 0, next, 1 << 20, &result), SM_OK);
		assert_int_equal(batch_reader_init(&reader, bytes_of(result.slice.data, result.slice.size)), SM_OK);
		while (!batch_next(&reader, &r)) {
			int number = atoi((const char *)r.value.data + 6), thread = number / 1000;
			if (r.offset < next)
				continue;
			assert_int_equal(number % 10, r.offset % 10);
			assert_int_equal(number % 1000, last[thread] + 1);
			last[thread]++;
			next = r.offset + 1;
		}
		batch_reader_done(&reader);
		log_slice_done(&result.slice);
	}
	free(counts);
	appends_free(a);
}

struct reader {
	pthread_t thread;
	struct outgrown *x;
	const char *topic;
	int64_t first, sum; /* -1: something was wrong */
};

static void *read_many(void *arg)
{
	struct reader *one = arg;
	int64_t next = one->first, sum = 0;
	while (next < 20000) {
		struct log_read_result result;
		struct batch_reader reader;
		struct record r;
		if (one->x->log->ops->read(one->x->log, one->topic, 0, next, 32 << 10, &result) || !result.slice.size ||
		    batch_reader_init(&reader, bytes_of(result.slice.data, result.slice.size)))
			return one->sum = -1, NULL;
		while (!batch_next(&reader, &r))
			if (r.offset >= next)
				sum += next = r.offset + 1;
		batch_reader_done(&reader);
		log_slice_done(&result.slice);
	}
	one->sum = sum;
	return NULL;
}

/* More than there are places in a partition, some at the same one. */
static void readers_of_several_threads_find_everything(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "readers", 1, NULL, 0);
	struct reader many[9];
	for (int i = 0; i < 20; i++)
		append_some(x, topic, 0, i * 1000, i * 1000 + 1000);
	for (int i = 0; i < 9; i++) {
		many[i] = (struct reader){.x = x, .topic = topic, .first = i / 3 * 7000};
		assert_int_equal(pthread_create(&many[i].thread, NULL, read_many, &many[i]), 0);
	}
	for (int i = 0; i < 9; i++) {
		int64_t first = many[i].first;
		pthread_join(many[i].thread, NULL);
		assert_int_equal(many[i].sum, (int64_t)20000 * 20001 / 2 - first * (first + 1) / 2);
	}
}

int main(void)
{
#define WITH_BROKER(name) cmocka_unit_test_setup_teardown(name, outgrown_begin, outgrown_end)
	const struct CMUnitTest tests[] = {
		WITH_BROKER(a_broker_that_comes_back_finds_everything_as_it_was),
		WITH_BROKER(reads_wait_for_the_broker_and_say_when_it_does_not_come),
		WITH_BROKER(what_waits_is_bounded),
		WITH_BROKER(a_producer_that_can_go_no_further_is_replaced),
		WITH_BROKER(appends_of_several_threads_keep_their_order),
		WITH_BROKER(readers_of_several_threads_find_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
