/* The broker over a socket, on a log in memory. */
#include "kafka/testing.h"

static void api_versions_lists_what_is_served(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_api_versions_request *q = BODY(x, api_versions_request);
	q->client_software_name = BYTES("a-client");
	q->client_software_version = BYTES("1.0");
	struct kafka_api_versions_response *a = call(x, fd, KAFKA_API_VERSIONS, 4, q);
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->api_keys_count, kafka__api_count);
	assert_int_equal(a->api_keys[0].api_key, KAFKA_PRODUCE);
	assert_int_equal(a->api_keys[0].min_version, 0);
	assert_int_equal(a->supported_features_count, 2);
	assert_true(bytes_equal(a->finalized_features[0].name, BYTES("group.version")));
	assert_int_equal(a->finalized_features[0].max_version_level, 1);
	assert_true(bytes_equal(a->finalized_features[1].name, BYTES("transaction.version")));
	assert_int_equal(a->finalized_features[1].max_version_level, 2);
	close(fd);
}

static void api_versions_of_an_unknown_version_is_answered_in_version_0(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	send_all(fd, BYTES("\0\0\0\21\0\22\0\5\0\0\0\11\0\4test\0\0\0"));
	struct kafka_api_versions_response *a = answer(x, fd, KAFKA_API_VERSIONS, 0, 9);
	assert_int_equal(a->error_code, KAFKA_UNSUPPORTED_VERSION);
	assert_int_equal(a->api_keys_count, 1);
	assert_int_equal(a->api_keys[0].max_version, 4);
	/* A client that does not say who it is; then one of the old versions, which need not. */
	a = call(x, fd, KAFKA_API_VERSIONS, 4, BODY(x, api_versions_request));
	assert_int_equal(a->error_code, KAFKA_INVALID_REQUEST);
	assert_int_equal(a->api_keys_count, 0);
	assert_int_equal(
		((struct kafka_api_versions_response *)call(x, fd, KAFKA_API_VERSIONS, 2, BODY(x, api_versions_request)))->error_code, 0);
	close(fd);
}

static void requests_that_are_not_served_close_the_connection(void **state)
{
	struct fixture *x = *state;
	const struct bytes frames[] = {
		BYTES("\0\0\0\12\0\24\0\0\0\0\0\1\377\377"),  /* DeleteTopics 0: gone in Kafka 4 */
		BYTES("\0\0\0\12\3\347\0\0\0\0\0\1\377\377"), /* no such API */
		BYTES("\0\0\0\12\0\3\0\1\0\0\0\1\377\377"),   /* Metadata 1 without its body */
		BYTES("\0\0\0\2\0\3"),                        /* not even a header */
		BYTES("\177\377\377\377"),                    /* 2 GiB */
		BYTES("\377\377\377\377"),
	};
	for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
		int fd = dial(x);
		send_all(fd, frames[i]);
		assert_true(has_ended(fd));
		close(fd);
	}
}

static struct kafka_metadata_response *metadata(struct fixture *x, int fd, const char *topic, bool create)
{
	struct kafka_metadata_request *q = BODY(x, metadata_request);
	q->allow_auto_topic_creation = create;
	q->topics = BODY(x, metadata_request_topic);
	q->topics_count = 1;
	q->topics->name = bytes_str(topic);
	return call(x, fd, KAFKA_METADATA, 9, q);
}

static void metadata_tells_the_address_that_the_client_connected_to(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_metadata_request *q = BODY(x, metadata_request);
	q->topics_count = -1;
	struct kafka_metadata_response *a = call(x, fd, KAFKA_METADATA, 12, q);
	assert_int_equal(a->brokers_count, 1);
	assert_true(bytes_equal(a->brokers[0].host, BYTES("127.0.0.1")));
	assert_int_equal(a->brokers[0].port, kafka_server_port(x->server, 0));
	assert_int_equal(a->topics_count, 0);
	close(fd);
}

static void an_advertised_address_is_told_instead(void **state)
{
	struct fixture *x = *state;
	struct sm_error error;
	struct kafka_server *plain = x->server;
	struct kafka_listener_options listener = {.host = "127.0.0.1", .advertised_host = "broker.example", .advertised_port = 19092};
	struct kafka_server_options options = {
		.system = x->system, .log = &x->log.log, .listeners = &listener, .listener_count = 1, .node_id = 1};
	if (kafka_server_new(&options, &x->server, &error))
		fail_msg("%s", error.text);
	int fd = dial(x);
	struct kafka_metadata_request *q = BODY(x, metadata_request);
	q->topics_count = -1;
	struct kafka_metadata_response *a = call(x, fd, KAFKA_METADATA, 12, q);
	assert_true(bytes_equal(a->brokers[0].host, BYTES("broker.example")));
	assert_int_equal(a->brokers[0].port, 19092);
	struct kafka_describe_cluster_response *c = call(x, fd, KAFKA_DESCRIBE_CLUSTER, 0, BODY(x, describe_cluster_request));
	assert_true(bytes_equal(c->brokers[0].host, BYTES("broker.example")));
	assert_int_equal(c->brokers[0].port, 19092);
	struct kafka_find_coordinator_request *f = BODY(x, find_coordinator_request);
	f->key = BYTES("group");
	struct kafka_find_coordinator_response *g = call(x, fd, KAFKA_FIND_COORDINATOR, 3, f);
	assert_true(bytes_equal(g->host, BYTES("broker.example")));
	assert_int_equal(g->port, 19092);
	close(fd);
	kafka_server_free(x->server, 1000);
	x->server = plain;
}

static void each_listener_tells_its_own_address(void **state)
{
	struct fixture *x = *state;
	struct sm_error error;
	struct kafka_server *plain = x->server;
	struct kafka_listener_options listeners[] = {
		{.host = "127.0.0.1", .advertised_host = "one.example", .advertised_port = 1001},
		{.host = "127.0.0.2"},
		{.host = "127.0.0.1", .advertised_host = "three.example", .advertised_port = 1003},
	};
	struct kafka_server_options options = {
		.system = x->system, .log = &x->log.log, .listeners = listeners, .listener_count = 3, .node_id = 1};
	if (kafka_server_new(&options, &x->server, &error))
		fail_msg("%s", error.text);
	static const char *const hosts[] = {"one.example", "127.0.0.2", "three.example"};
	for (uint32_t i = 0; i < 3; i++) {
		uint16_t ports[] = {1001, kafka_server_port(x->server, 1), 1003};
		int fd = dial_at(listeners[i].host, kafka_server_port(x->server, i));
		struct kafka_metadata_request *q = BODY(x, metadata_request);
		q->topics_count = -1;
		struct kafka_metadata_response *a = call(x, fd, KAFKA_METADATA, 12, q);
		assert_true(bytes_equal(a->brokers[0].host, bytes_str(hosts[i])));
		assert_int_equal(a->brokers[0].port, ports[i]);
		close(fd);
	}
	kafka_server_free(x->server, 1000);
	/* One that cannot listen takes the others with it, and no login means no address beyond loopback. */
	struct kafka_server *none = NULL;
	listeners[2].host = "192.0.2.1";
	assert_int_equal(kafka_server_new(&options, &none, &error), SM_DENIED);
	options.listener_count = 0;
	assert_int_equal(kafka_server_new(&options, &none, &error), SM_TOO_LARGE);
	assert_null(none);
	x->server = plain;
}

static void an_advertised_host_is_bounded(void **state)
{
	struct fixture *x = *state;
	struct sm_error error;
	struct kafka_server *server = NULL;
	char host[KAFKA_HOST_MAX + 2];
	memset(host, 'h', sizeof host - 1);
	host[sizeof host - 1] = 0;
	struct kafka_listener_options listener = {.host = "127.0.0.1", .advertised_host = host};
	struct kafka_server_options options = {.system = x->system, .log = &x->log.log, .listeners = &listener, .listener_count = 1};
	assert_int_equal(kafka_server_new(&options, &server, &error), SM_TOO_LARGE);
	assert_null(server);
}

static void metadata_makes_topics_only_when_asked_to(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	assert_int_equal(metadata(x, fd, "new", false)->topics[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(metadata(x, fd, "no/name", true)->topics[0].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
	struct kafka_metadata_topic t = metadata(x, fd, "new", true)->topics[0];
	assert_int_equal(t.error_code, 0);
	assert_int_equal(t.partitions_count, 1);
	assert_int_equal(t.partitions[0].leader_id, 1);
	close(fd);
}

static int16_t produce(struct fixture *x, int fd, const char *topic, int32_t partition, const char *value)
{
	struct kafka_produce_response *a = call(x, fd, KAFKA_PRODUCE, 9, produce_of(x, topic, partition, one_record(x, value)));
	return a->topics[0].partitions[0].error_code;
}

static void what_was_produced_is_fetched(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 2);
	int fd = dial(x);
	for (int i = 0; i < 3; i++)
		assert_int_equal(produce(x, fd, "t", 1, "value"), 0);
	struct kafka_fetch_response *a = call(x, fd, KAFKA_FETCH, 11, fetch_of(x, "t", 1, 1));
	struct kafka_fetch_partition_response *p = &a->topics[0].partitions[0];
	assert_int_equal(p->error_code, 0);
	assert_int_equal(p->high_watermark, 3);
	struct batch_info info;
	assert_int_equal(batch_parse(bytes_of(p->records.data, p->records.size), &info), SM_OK);
	assert_int_equal(info.base_offset, 1);
	assert_int_equal(p->records.size, 2 * info.size);
	close(fd);
}

static void fetch_errors_are_kafkas(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	struct kafka_fetch_response *a = call(x, fd, KAFKA_FETCH, 12, fetch_of(x, "t", 0, 5));
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_OFFSET_OUT_OF_RANGE);
	a = call(x, fd, KAFKA_FETCH, 12, fetch_of(x, "t", 1, 0));
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	struct kafka_fetch_request *q = fetch_of(x, "", 0, 0);
	memset(&q->topics->topic_id, 7, sizeof q->topics->topic_id);
	a = call(x, fd, KAFKA_FETCH, 13, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_UNKNOWN_TOPIC_ID);
	q = fetch_of(x, "t", 0, 0);
	q->session_id = 5;
	q->session_epoch = 1;
	a = call(x, fd, KAFKA_FETCH, 12, q);
	assert_int_equal(a->error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	close(fd);
}

static void a_fetch_waits_for_records(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int reader = dial(x), writer = dial(x);
	struct kafka_fetch_request *q = fetch_of(x, "t", 0, 0);
	q->max_wait_ms = 15000;
	ask(x, reader, KAFKA_FETCH, 12, 1, q);
	assert_int_equal(produce(x, writer, "t", 0, "x"), 0);
	struct kafka_fetch_response *a = answer(x, reader, KAFKA_FETCH, 12, 1);
	assert_int_equal(a->topics[0].partitions[0].high_watermark, 1);
	assert_true(a->topics[0].partitions[0].records.size > 0);
	close(reader);
	close(writer);
}

static void a_fetch_ends_when_its_time_is_up(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	struct kafka_fetch_request *q = fetch_of(x, "t", 0, 0);
	q->max_wait_ms = 50;
	struct kafka_fetch_response *a = call(x, fd, KAFKA_FETCH, 12, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, 0);
	assert_int_equal(a->topics[0].partitions[0].records.size, 0);
	close(fd);
}

static void a_client_that_leaves_a_waiting_fetch_leaves_nothing_behind(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	struct kafka_fetch_request *q = fetch_of(x, "t", 0, 0);
	q->max_wait_ms = 60000;
	ask(x, fd, KAFKA_FETCH, 12, 1, q);
	for (bool waiting = false; !waiting;) {
		pthread_mutex_lock(&x->log.lock);
		waiting = x->log.waits != NULL;
		pthread_mutex_unlock(&x->log.lock);
	}
	close(fd);
	while (atomic_load(&x->server->users) > 1) /* the transactions' coordinator stays */
		usleep(1000);
	assert_null(x->log.waits);
}

static void the_first_batch_comes_even_if_it_is_too_large(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 2);
	int fd = dial(x);
	assert_int_equal(produce(x, fd, "t", 0, "a long value"), 0);
	assert_int_equal(produce(x, fd, "t", 1, "a long value"), 0);
	struct kafka_fetch_request *q = fetch_of(x, "t", 0, 0);
	struct kafka_fetch_partition two[2] = {*q->topics->partitions, *q->topics->partitions};
	two[0].partition_max_bytes = two[1].partition_max_bytes = 10;
	two[1].partition = 1;
	q->topics->partitions = two;
	q->topics->partitions_count = 2;
	struct kafka_fetch_response *a = call(x, fd, KAFKA_FETCH, 12, q);
	assert_true(a->topics[0].partitions[0].records.size > 10);
	assert_int_equal(a->topics[0].partitions[1].records.size, 0);
	assert_int_equal(a->topics[0].partitions[1].high_watermark, 1);
	close(fd);
}

static void produce_refuses_what_kafka_refuses(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	struct kafka_produce_response *a;
	assert_int_equal(produce(x, fd, "none", 0, "x"), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	struct kafka_records good = one_record(x, "x"), bad = one_record(x, "x");
	((uint8_t *)(uintptr_t)bad.data)[bad.size - 1] ^= 1;
	a = call(x, fd, KAFKA_PRODUCE, 8, produce_of(x, "t", 0, bad));
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_CORRUPT_MESSAGE);
	bad = one_record(x, "x");
	((uint8_t *)(uintptr_t)bad.data)[16] = 1;
	a = call(x, fd, KAFKA_PRODUCE, 8, produce_of(x, "t", 0, bad));
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_INVALID_RECORD);
	bad = (struct kafka_records){(const uint8_t *)"", 0, NULL};
	a = call(x, fd, KAFKA_PRODUCE, 8, produce_of(x, "t", 0, bad));
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_INVALID_RECORD);
	struct kafka_produce_request *q = produce_of(x, "t", 0, good);
	q->acks = 2;
	a = call(x, fd, KAFKA_PRODUCE, 8, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_INVALID_REQUIRED_ACKS);
	assert_int_equal(x->log.topics[0].partitions[0].next_offset, 0);
	close(fd);
}

static void produce_names_the_records_that_the_topic_refuses(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	x->log.refused = (struct batch_refused){BATCH_WITHOUT_KEY, 2, {3, 7}};
	struct kafka_produce_response *a = call(x, fd, KAFKA_PRODUCE, 9, produce_of(x, "t", 0, one_record(x, "x")));
	const struct kafka_produce_partition_response *p = &a->topics[0].partitions[0];
	assert_int_equal(p->error_code, KAFKA_INVALID_RECORD);
	assert_int_equal(p->base_offset, -1);
	assert_true(p->error_message.size > 0);
	assert_int_equal(p->record_errors_count, 2);
	assert_int_equal(p->record_errors[0].batch_index, 3);
	assert_int_equal(p->record_errors[1].batch_index, 7);
	assert_true(p->record_errors[1].message.size > 0);
	x->log.refused.why = BATCH_TIME_OUT_OF_RANGE;
	assert_int_equal(produce(x, fd, "t", 0, "x"), KAFKA_INVALID_TIMESTAMP);
	x->log.refused.why = BATCH_NOT_REFUSED;
	assert_int_equal(produce(x, fd, "t", 0, "x"), KAFKA_NONE);
	close(fd);
}

static void acks_0_gets_no_answer_and_order_is_kept(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	for (int i = 0; i < 40; i++)
		ask(x, fd, KAFKA_PRODUCE, 9, i, produce_of(x, "t", 0, one_record(x, "x")));
	struct kafka_produce_request *q = produce_of(x, "t", 0, one_record(x, "x"));
	q->acks = 0;
	ask(x, fd, KAFKA_PRODUCE, 9, 98, q);
	ask(x, fd, KAFKA_FETCH, 12, 99, fetch_of(x, "t", 0, 0));
	for (int i = 0; i < 40; i++) {
		struct kafka_produce_response *a = answer(x, fd, KAFKA_PRODUCE, 9, i);
		assert_int_equal(a->topics[0].partitions[0].base_offset, i);
	}
	struct kafka_fetch_response *a = answer(x, fd, KAFKA_FETCH, 12, 99);
	assert_int_equal(a->topics[0].partitions[0].high_watermark, 41);
	close(fd);
}

static void a_full_log_delays_the_answer(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	x->log.full_times = 3;
	int fd = dial(x);
	assert_int_equal(produce(x, fd, "t", 0, "x"), 0);
	assert_int_equal(x->log.appends, 4);
	x->log.full_times = 1000000;
	struct kafka_produce_request *q = produce_of(x, "t", 0, one_record(x, "x"));
	q->timeout_ms = 30;
	struct kafka_produce_response *a = call(x, fd, KAFKA_PRODUCE, 9, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_REQUEST_TIMED_OUT);
	close(fd);
}

static void topics_are_created_and_deleted(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_create_topics_request *q = BODY(x, create_topics_request);
	struct kafka_creatable_topic topics[] = {
		{.name = BYTES("a.b"), .num_partitions = 3, .replication_factor = 1},
		{.name = BYTES("x"), .num_partitions = 0, .replication_factor = 1},
		{.name = BYTES("no/name"), .num_partitions = 1, .replication_factor = 1},
		{.name = BYTES("twice"), .num_partitions = 1, .replication_factor = 1},
		{.name = BYTES("twice"), .num_partitions = 1, .replication_factor = 1},
	};
	static const int16_t codes[] = {0, KAFKA_INVALID_PARTITIONS, KAFKA_INVALID_TOPIC_EXCEPTION, KAFKA_INVALID_REQUEST,
					KAFKA_INVALID_REQUEST};
	q->topics = topics;
	q->topics_count = 5;
	struct kafka_create_topics_response *a = call(x, fd, KAFKA_CREATE_TOPICS, 7, q);
	assert_int_equal(a->topics_count, 4); /* one answer for the two of one name */
	for (int i = 0; i < 4; i++)
		assert_int_equal(a->topics[i].error_code, codes[i]);
	assert_int_equal(a->topics[0].num_partitions, 3);
	assert_true(a->topics[0].configs_count > 5);
	q->topics_count = 1;
	a = call(x, fd, KAFKA_CREATE_TOPICS, 7, q);
	assert_int_equal(a->topics[0].error_code, KAFKA_TOPIC_ALREADY_EXISTS);
	topics[0].name = BYTES("a_b");
	a = call(x, fd, KAFKA_CREATE_TOPICS, 7, q);
	assert_int_equal(a->topics[0].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
	struct kafka_delete_topics_request *d = BODY(x, delete_topics_request);
	struct bytes names[] = {BYTES("a.b"), BYTES("gone")};
	d->topic_names = names;
	d->topic_names_count = 2;
	struct kafka_delete_topics_response *e = call(x, fd, KAFKA_DELETE_TOPICS, 5, d);
	assert_int_equal(e->topics[0].error_code, 0);
	assert_int_equal(e->topics[1].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(x->log.topic_count, 0);
	close(fd);
}

static void a_producer_id_is_given(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_init_producer_id_request *q = BODY(x, init_producer_id_request);
	struct kafka_init_producer_id_response *a = call(x, fd, KAFKA_INIT_PRODUCER_ID, 4, q);
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->producer_id, 1);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_up, fixture_down)
	const struct CMUnitTest tests[] = {
		TEST(api_versions_lists_what_is_served),
		TEST(api_versions_of_an_unknown_version_is_answered_in_version_0),
		TEST(requests_that_are_not_served_close_the_connection),
		TEST(metadata_tells_the_address_that_the_client_connected_to),
		TEST(an_advertised_address_is_told_instead),
		TEST(each_listener_tells_its_own_address),
		TEST(an_advertised_host_is_bounded),
		TEST(metadata_makes_topics_only_when_asked_to),
		TEST(what_was_produced_is_fetched),
		TEST(fetch_errors_are_kafkas),
		TEST(a_fetch_waits_for_records),
		TEST(a_fetch_ends_when_its_time_is_up),
		TEST(a_client_that_leaves_a_waiting_fetch_leaves_nothing_behind),
		TEST(the_first_batch_comes_even_if_it_is_too_large),
		TEST(produce_refuses_what_kafka_refuses),
		TEST(produce_names_the_records_that_the_topic_refuses),
		TEST(acks_0_gets_no_answer_and_order_is_kept),
		TEST(a_full_log_delays_the_answer),
		TEST(topics_are_created_and_deleted),
		TEST(a_producer_id_is_given),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
