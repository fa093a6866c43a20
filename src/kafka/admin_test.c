/* What administrators' requests answer where Kafka's answer is easily missed: things that are named twice, cursors, synonyms, sessions,
 * offsets taken back. Found by tests/kafka/differential. */
#include "kafka/testing.h"

static struct bytes *pair_of(struct fixture *x, const char *name)
{
	struct bytes *names = arena_alloc(&x->arena, 2 * sizeof *names);
	names[0] = names[1] = bytes_str(name);
	return names;
}

static void what_is_named_twice_is_answered_once(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 1);
	struct kafka_metadata_request *m = BODY(x, metadata_request);
	m->topics = arena_alloc(&x->arena, 2 * sizeof *m->topics);
	m->topics_count = 2;
	m->topics[0] = m->topics[1] = (struct kafka_metadata_request_topic){.name = BYTES("t")};
	struct kafka_metadata_response *topics = call(x, fd, KAFKA_METADATA, 9, m);
	assert_int_equal(topics->topics_count, 1);

	struct kafka_create_topics_request *c = BODY(x, create_topics_request);
	c->topics = arena_alloc(&x->arena, 3 * sizeof *c->topics);
	c->topics_count = 3;
	for (int i = 0; i < 3; i++)
		c->topics[i] = (struct kafka_creatable_topic){
			.name = i == 1 ? BYTES("other") : BYTES("twice"), .num_partitions = 1, .replication_factor = 1};
	struct kafka_create_topics_response *created = call(x, fd, KAFKA_CREATE_TOPICS, 4, c);
	assert_int_equal(created->topics_count, 2);
	assert_int_equal(created->topics[0].error_code, KAFKA_INVALID_REQUEST);
	assert_int_equal(created->topics[1].error_code, 0);

	struct kafka_delete_topics_request *d = BODY(x, delete_topics_request);
	d->topic_names = pair_of(x, "t");
	d->topic_names_count = 2;
	struct kafka_delete_topics_response *deleted = call(x, fd, KAFKA_DELETE_TOPICS, 4, d);
	assert_int_equal(deleted->topics_count, 1);
	assert_int_equal(deleted->topics[0].error_code, KAFKA_INVALID_REQUEST);
	d->topic_names_count = 1;
	deleted = call(x, fd, KAFKA_DELETE_TOPICS, 4, d);
	assert_int_equal(deleted->topics[0].error_code, 0);

	struct kafka_delete_groups_request *g = BODY(x, delete_groups_request);
	g->group_names = pair_of(x, "none");
	g->group_names_count = 2;
	struct kafka_delete_groups_response *groups = call(x, fd, KAFKA_DELETE_GROUPS, 2, g);
	assert_int_equal(groups->results_count, 1);
	assert_int_equal(groups->results[0].error_code, KAFKA_GROUP_ID_NOT_FOUND);
	close(fd);
}

static struct kafka_describe_topic_partitions_response *page(struct fixture *x, int fd, const char *cursor, int32_t partition,
							     int32_t limit)
{
	struct kafka_describe_topic_partitions_request *q = BODY(x, describe_topic_partitions_request);
	q->topics = BODY(x, topic_partitions_topic);
	q->topics->name = BYTES("t");
	q->topics_count = 1;
	q->response_partition_limit = limit;
	if (cursor) {
		q->cursor = BODY(x, topic_cursor);
		*q->cursor = (struct kafka_topic_cursor){bytes_str(cursor), partition};
	}
	return call(x, fd, KAFKA_DESCRIBE_TOPIC_PARTITIONS, 0, q);
}

static void a_cursor_that_points_nowhere_is_refused(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 3);
	struct kafka_describe_topic_partitions_response *a = page(x, fd, NULL, 0, 0); /* at least one partition comes */
	assert_int_equal(a->topics[0].partitions_count, 1);
	assert_int_equal(a->topics[0].topic_authorized_operations, KAFKA_OPERATIONS_TOPIC);
	assert_int_equal(a->next_cursor->partition_index, 1);
	assert_int_equal(page(x, fd, "t", 1, 10)->topics[0].partitions_count, 2);
	assert_int_equal(page(x, fd, "t", -1, 10)->topics[0].error_code, KAFKA_INVALID_REQUEST);
	assert_int_equal(page(x, fd, "s", 0, 10)->topics[0].error_code, KAFKA_INVALID_REQUEST);
	close(fd);
}

static void configs_name_what_they_are_taken_from(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 1);
	struct kafka_describe_configs_request *q = BODY(x, describe_configs_request);
	q->include_synonyms = true;
	q->resources = BODY(x, describe_configs_resource);
	q->resources_count = 1;
	*q->resources = (struct kafka_describe_configs_resource){.resource_type = 2, .resource_name = BYTES("t")};
	q->resources->configuration_keys = pair_of(x, "max.message.bytes");
	q->resources->configuration_keys_count = 1;
	struct kafka_describe_configs_response *a = call(x, fd, KAFKA_DESCRIBE_CONFIGS, 4, q);
	assert_int_equal(a->results[0].configs_count, 1);
	assert_int_equal(a->results[0].configs[0].synonyms_count, 1);
	assert_true(bytes_equal(a->results[0].configs[0].synonyms[0].name, BYTES("message.max.bytes")));
	q->resources->configuration_keys_count = -1;
	a = call(x, fd, KAFKA_DESCRIBE_CONFIGS, 4, q);
	assert_int_equal(a->results[0].configs_count, 33); /* all that Kafka 4.1 knows */
	close(fd);
}

static void a_whole_fetch_needs_no_session(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 1);
	struct kafka_fetch_request *q = fetch_of(x, "t", 0, 0);
	q->max_wait_ms = 0;
	q->session_id = 77;
	q->session_epoch = -1;
	assert_int_equal(((struct kafka_fetch_response *)call(x, fd, KAFKA_FETCH, 11, q))->error_code, 0);
	q->session_epoch = 1;
	assert_int_equal(((struct kafka_fetch_response *)call(x, fd, KAFKA_FETCH, 11, q))->error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	q->session_epoch = -1;
	q->topics->partitions->last_fetched_epoch = 3;
	struct kafka_fetch_response *a = call(x, fd, KAFKA_FETCH, 12, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_OFFSET_OUT_OF_RANGE);
	close(fd);
}

static void a_reader_past_the_end_is_told_where_its_epoch_ends(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 1);
	struct kafka_fetch_request *q = fetch_of(x, "t", 0, 9);
	q->max_wait_ms = 0;
	q->isolation_level = 1;
	struct kafka_fetch_response *a = call(x, fd, KAFKA_FETCH, 12, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_OFFSET_OUT_OF_RANGE);
	q->topics->partitions->last_fetched_epoch = 0;
	a = call(x, fd, KAFKA_FETCH, 12, q);
	const struct kafka_fetch_partition_response *p = &a->topics[0].partitions[0];
	assert_int_equal(p->error_code, 0);
	assert_int_equal(p->high_watermark, 0);
	assert_int_equal(p->aborted_transactions_count, -1);
	assert_non_null(p->diverging_epoch);
	assert_int_equal(p->diverging_epoch->epoch, 0);
	assert_int_equal(p->diverging_epoch->end_offset, 0);
	close(fd);
}

static void a_metadata_request_with_an_id_is_about_ids(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "a", 1);
	make_topic(x, "b", 1);
	struct kafka_metadata_request *q = BODY(x, metadata_request);
	q->topics = arena_alloc(&x->arena, 3 * sizeof *q->topics);
	q->topics_count = 3;
	q->topics[0] = (struct kafka_metadata_request_topic){.name = BYTES("a")};
	q->topics[1] = (struct kafka_metadata_request_topic){.topic_id = fake_find(&x->log, "b")->id};
	q->topics[2] = (struct kafka_metadata_request_topic){.topic_id = {{7}}, .name = BYTES("c")};
	struct kafka_metadata_response *a = call(x, fd, KAFKA_METADATA, 12, q);
	assert_int_equal(a->topics_count, 2);
	assert_true(bytes_equal(a->topics[0].name, BYTES("b")));
	assert_int_equal(a->topics[1].error_code, KAFKA_UNKNOWN_TOPIC_ID);
	assert_null(a->topics[1].name.data);
	a = call(x, fd, KAFKA_METADATA, 11, q); /* ids had a field before they had a meaning */
	assert_int_equal(a->brokers_count, 0);
	assert_int_equal(a->topics_count, 3);
	assert_int_equal(a->topics[0].error_code, KAFKA_INVALID_REQUEST);
	close(fd);
}

static void the_servers_own_records_are_not_deleted(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "__consumer_offsets", 8);
	struct kafka_delete_records_request *q = BODY(x, delete_records_request);
	q->topics = BODY(x, delete_records_topic);
	q->topics_count = 1;
	q->topics->name = BYTES("__consumer_offsets");
	q->topics->partitions = BODY(x, delete_records_partition);
	q->topics->partitions_count = 1;
	struct kafka_delete_records_response *a = call(x, fd, KAFKA_DELETE_RECORDS, 2, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
	close(fd);
}

/* ---- OffsetDelete ---- */

static void is_committed(void *arg, enum sm_err err)
{
	assert_int_equal(err, SM_OK);
}

static void commit(struct fixture *x, const char *topic, int64_t offset)
{
	struct log_group_offset o = {.topic = topic, .offset = offset};
	fake_offsets_commit(&x->log.log, "g", &o, 1, is_committed, NULL);
}

static int64_t committed(struct fixture *x, const char *topic)
{
	struct log_group_offset o = {.topic = topic};
	void *hold;
	assert_int_equal(fake_offsets_fetch(&x->log.log, "g", &o, 1, &hold), SM_OK);
	return o.offset;
}

static struct kafka_offset_delete_response *take_back(struct fixture *x, int fd, const char *group, const char *topic, int32_t partition)
{
	struct kafka_offset_delete_request *q = BODY(x, offset_delete_request);
	q->group_id = bytes_str(group);
	q->topics = BODY(x, offset_delete_topic);
	q->topics_count = 1;
	q->topics->name = bytes_str(topic);
	q->topics->partitions = BODY(x, offset_delete_partition);
	q->topics->partitions->partition_index = partition;
	q->topics->partitions_count = 1;
	return call(x, fd, KAFKA_OFFSET_DELETE, 0, q);
}

static void offsets_are_taken_back(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 1);
	assert_int_equal(take_back(x, fd, "g", "t", 0)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(take_back(x, fd, "", "t", 0)->error_code, KAFKA_INVALID_GROUP_ID);
	commit(x, "t", 5);
	struct kafka_offset_delete_response *a = take_back(x, fd, "g", "t", 1);
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(committed(x, "t"), 5);
	a = take_back(x, fd, "g", "t", 0);
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->topics[0].partitions[0].error_code, 0);
	assert_int_equal(committed(x, "t"), -1);
	close(fd);
}

/* A member of group g in its first generation, with this type and metadata. */
static void join(struct fixture *x, int fd, const char *type, struct bytes metadata)
{
	struct kafka_join_group_request *q = BODY(x, join_group_request);
	q->group_id = BYTES("g");
	q->session_timeout_ms = q->rebalance_timeout_ms = 10000;
	q->member_id = KAFKA_EMPTY;
	q->protocol_type = bytes_str(type);
	q->protocols = BODY(x, join_protocol);
	q->protocols_count = 1;
	*q->protocols = (struct kafka_join_protocol){BYTES("range"), metadata};
	struct kafka_join_group_response *a = call(x, fd, KAFKA_JOIN_GROUP, 2, q);
	assert_int_equal(a->error_code, 0);
}

static void offsets_of_what_members_read_stay(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "read", 1);
	make_topic(x, "left", 1);
	join(x, fd, "consumer", BYTES("\0\0\0\0\0\1\0\4read\377\377\377\377"));
	commit(x, "read", 5);
	commit(x, "left", 6);
	assert_int_equal(take_back(x, fd, "g", "read", 0)->topics[0].partitions[0].error_code, KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
	assert_int_equal(committed(x, "read"), 5);
	assert_int_equal(take_back(x, fd, "g", "left", 0)->topics[0].partitions[0].error_code, 0);
	assert_int_equal(committed(x, "left"), -1);
	close(fd);
}

static void a_group_that_is_not_of_consumers_must_be_empty(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 1);
	join(x, fd, "connect", BYTES("x"));
	commit(x, "t", 5);
	struct kafka_offset_delete_response *a = take_back(x, fd, "g", "t", 0);
	assert_int_equal(a->error_code, KAFKA_NON_EMPTY_GROUP);
	assert_int_equal(a->topics_count, 0);
	assert_int_equal(committed(x, "t"), 5);
	close(fd);
}

static void one_broker_leads_holds_and_votes_alone(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 1);
	int32_t partitions[] = {0, 7}, elsewhere[] = {99};
	struct kafka_elect_leaders_request *e = BODY(x, elect_leaders_request);
	struct kafka_elect_leaders_topic topic = {BYTES("t"), partitions, 2};
	e->topic_partitions = &topic;
	e->topic_partitions_count = 1;
	struct kafka_elect_leaders_response *elected = call(x, fd, KAFKA_ELECT_LEADERS, 2, e);
	assert_int_equal(elected->replica_election_results_count, 1);
	assert_int_equal(elected->replica_election_results[0].partition_result[0].error_code, KAFKA_ELECTION_NOT_NEEDED);
	assert_int_equal(elected->replica_election_results[0].partition_result[1].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

	struct kafka_describe_quorum_request *d = BODY(x, describe_quorum_request);
	struct kafka_quorum_partition zero = {0};
	struct kafka_quorum_topic metadata = {BYTES("__cluster_metadata"), &zero, 1};
	d->topics = &metadata;
	d->topics_count = 1;
	struct kafka_describe_quorum_response *quorum = call(x, fd, KAFKA_DESCRIBE_QUORUM, 2, d);
	assert_int_equal(quorum->nodes_count, 1);
	int32_t leader = quorum->topics[0].partitions[0].leader_id;
	assert_int_equal(quorum->topics[0].partitions[0].current_voters[0].replica_id, leader);

	struct kafka_alter_partition_reassignments_request *a = BODY(x, alter_partition_reassignments_request);
	struct kafka_reassignable_partition wanted = {0, &leader, 1};
	struct kafka_reassignable_topic moved = {BYTES("t"), &wanted, 1};
	a->topics = &moved;
	a->topics_count = 1;
	struct kafka_alter_partition_reassignments_response *there = call(x, fd, KAFKA_ALTER_PARTITION_REASSIGNMENTS, 1, a);
	assert_int_equal(there->responses[0].partitions[0].error_code, 0);
	wanted.replicas = elsewhere;
	there = call(x, fd, KAFKA_ALTER_PARTITION_REASSIGNMENTS, 1, a);
	assert_int_equal(there->responses[0].partitions[0].error_code, KAFKA_INVALID_REPLICA_ASSIGNMENT);
	wanted.replicas_count = -1;
	there = call(x, fd, KAFKA_ALTER_PARTITION_REASSIGNMENTS, 1, a);
	assert_int_equal(there->responses[0].partitions[0].error_code, KAFKA_NO_REASSIGNMENT_IN_PROGRESS);

	struct kafka_alter_replica_log_dirs_request *m = BODY(x, alter_replica_log_dirs_request);
	struct kafka_moving_topic moving = {BYTES("t"), partitions, 2};
	struct kafka_moving_dir dir = {BYTES(KAFKA_LOG_DIR), &moving, 1};
	m->dirs = &dir;
	m->dirs_count = 1;
	struct kafka_alter_replica_log_dirs_response *at = call(x, fd, KAFKA_ALTER_REPLICA_LOG_DIRS, 2, m);
	assert_int_equal(at->results[0].partitions[0].error_code, 0);
	assert_int_equal(at->results[0].partitions[1].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	dir.path = BYTES("/elsewhere");
	at = call(x, fd, KAFKA_ALTER_REPLICA_LOG_DIRS, 2, m);
	assert_int_equal(at->results[0].partitions[0].error_code, KAFKA_LOG_DIR_NOT_FOUND);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_up, fixture_down)
	const struct CMUnitTest tests[] = {
		TEST(one_broker_leads_holds_and_votes_alone),
		TEST(what_is_named_twice_is_answered_once),
		TEST(a_cursor_that_points_nowhere_is_refused),
		TEST(configs_name_what_they_are_taken_from),
		TEST(a_whole_fetch_needs_no_session),
		TEST(a_reader_past_the_end_is_told_where_its_epoch_ends),
		TEST(a_metadata_request_with_an_id_is_about_ids),
		TEST(the_servers_own_records_are_not_deleted),
		TEST(offsets_are_taken_back),
		TEST(offsets_of_what_members_read_stay),
		TEST(a_group_that_is_not_of_consumers_must_be_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
