/* What a principal may ask, request by request. The listener asks for no login: the principal is User:ANONYMOUS. */
#include "kafka/testing.h"

static char path[64];
static struct auth_acls *acls;

static void start(struct fixture *x, bool with_acls)
{
	struct sm_error error;
	kafka_server_free(x->server, 1000);
	struct kafka_listener_options listener = {.host = "127.0.0.1"};
	struct kafka_server_options options = {.system = x->system,
					       .log = &x->log.log,
					       .listeners = &listener,
					       .listener_count = 1,
					       .acls = with_acls ? acls : NULL,
					       .node_id = 1};
	if (kafka_server_new(&options, &x->server, &error))
		fail_msg("%s", error.text);
}

static int set_up(void **state)
{
	struct sm_error error;
	strcpy(path, "/tmp/smack-authorize-XXXXXX");
	close(mkstemp(path));
	unlink(path);
	struct auth_acls_options options = {.path = path, .super_users = "User:admin"};
	if (auth_acls_open(&options, &acls, &error))
		fail_msg("%s", error.text);
	fixture_up(state);
	start(*state, true);
	make_topic(*state, "mine", 2);
	make_topic(*state, "other", 1);
	return 0;
}

static int tear_down(void **state)
{
	fixture_down(state);
	auth_acls_free(acls);
	unlink(path);
	return 0;
}

static void rule(int permission, int operation, int resource, const char *name)
{
	struct sm_error error;
	struct auth_acl a = {(int8_t)resource, AUTH_PATTERN_LITERAL, (int8_t)operation, (int8_t)permission, name,
			     "User:ANONYMOUS", "127.0.0.1"};
	if (auth_acls_add(acls, &a, 1, &error))
		fail_msg("%s", error.text);
}
#define ALLOW(operation, resource, name) rule(AUTH_PERMISSION_ALLOW, AUTH_OPERATION_##operation, AUTH_RESOURCE_##resource, name)

static void every_request_is_known_and_refused(void **state)
{
	struct fixture *x = *state;
	for (uint32_t i = 0; i < kafka__api_count; i++) {
		const struct kafka_api *api = &kafka__apis[i];
		void *body = body_new(x, api->request);
		int fd = dial(x);
		ask(x, fd, api->key, api->max, 1, body);
		/* acks are 0 unless a request says something else. */
		if (api->key != KAFKA_PRODUCE && !answer(x, fd, api->key, api->max, 1))
			fail_msg("nothing says who may ask for %s", api->name);
		close(fd);
	}
}

static struct kafka_metadata_response *metadata(struct fixture *x, int fd, int16_t version, const char *const *names, int32_t count)
{
	struct kafka_metadata_request *q = BODY(x, metadata_request);
	q->include_topic_authorized_operations = q->include_cluster_authorized_operations = true;
	q->topics_count = count;
	q->topics = count > 0 ? arena_alloc(&x->arena, (size_t)count * sizeof *q->topics) : NULL;
	for (int32_t i = 0; i < count; i++)
		q->topics[i].name = bytes_str(names[i]);
	return call(x, fd, KAFKA_METADATA, version, q);
}

static void metadata_shows_what_may_be_described(void **state)
{
	struct fixture *x = *state;
	static const char *const names[] = {"other", "mine", "new"};
	int fd = dial(x);
	struct kafka_metadata_response *a = metadata(x, fd, 9, NULL, -1);
	assert_int_equal(a->topics_count, 0);
	assert_int_equal(a->brokers_count, 1);
	assert_int_equal(a->cluster_authorized_operations, 0);
	a = metadata(x, fd, 0, NULL, 0);
	assert_int_equal(a->topics_count, 0);
	a = metadata(x, fd, 0, names, 2); /* nothing is left, which must not mean all */
	assert_int_equal(a->topics_count, 2);
	assert_int_equal(a->topics[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	ALLOW(READ, TOPIC, "mine");
	ALLOW(DESCRIBE, TOPIC, "new");
	ALLOW(DESCRIBE, CLUSTER, AUTH_CLUSTER_NAME);
	a = metadata(x, fd, 9, NULL, -1);
	assert_int_equal(a->topics_count, 1);
	assert_true(bytes_equal(a->topics[0].name, BYTES("mine")));
	assert_int_equal(a->topics[0].topic_authorized_operations, 1 << AUTH_OPERATION_READ | 1 << AUTH_OPERATION_DESCRIBE);
	assert_int_equal(a->cluster_authorized_operations, 1 << AUTH_OPERATION_DESCRIBE);
	a = metadata(x, fd, 9, names, 3);
	assert_int_equal(a->topics_count, 3);
	assert_true(bytes_equal(a->topics[0].name, BYTES("mine")));
	assert_int_equal(a->topics[0].error_code, 0);
	assert_int_equal(a->topics[0].partitions_count, 2);
	assert_true(bytes_equal(a->topics[1].name, BYTES("other")));
	assert_int_equal(a->topics[1].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_int_equal(a->topics[1].partitions_count, 0);
	/* It may be described, but not made. */
	assert_true(bytes_equal(a->topics[2].name, BYTES("new")));
	assert_int_equal(a->topics[2].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_null(fake_find(&x->log, "new"));
	ALLOW(CREATE, TOPIC, "new");
	a = metadata(x, fd, 9, &names[2], 1);
	assert_int_equal(a->topics[0].error_code, 0);
	close(fd);
}

static void a_topic_by_its_id_is_unknown_to_who_may_not_see_it(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_metadata_request *q = BODY(x, metadata_request);
	q->topics = BODY(x, metadata_request_topic);
	q->topics_count = 1;
	q->topics->topic_id = fake_find(&x->log, "mine")->id;
	struct kafka_metadata_response *a = call(x, fd, KAFKA_METADATA, 12, q);
	assert_int_equal(a->topics[0].error_code, KAFKA_UNKNOWN_TOPIC_ID);
	assert_null(a->topics[0].name.data);
	ALLOW(DESCRIBE, TOPIC, "mine");
	a = call(x, fd, KAFKA_METADATA, 12, q);
	assert_int_equal(a->topics[0].error_code, 0);
	assert_true(bytes_equal(a->topics[0].name, BYTES("mine")));
	close(fd);
}

static void produce_and_fetch_are_refused_topic_by_topic(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	ALLOW(WRITE, TOPIC, "mine");
	struct kafka_produce_request *q = produce_of(x, "other", 0, one_record(x, "v"));
	struct kafka_produce_topic *topics = arena_alloc(&x->arena, 2 * sizeof *topics);
	topics[0] = *q->topics;
	topics[1] = *produce_of(x, "mine", 1, one_record(x, "v"))->topics;
	q->topics = topics;
	q->topics_count = 2;
	struct kafka_produce_response *a = call(x, fd, KAFKA_PRODUCE, 9, q);
	assert_int_equal(a->topics_count, 2);
	assert_true(bytes_equal(a->topics[0].name, BYTES("mine")));
	assert_int_equal(a->topics[0].partitions[0].error_code, 0);
	assert_true(bytes_equal(a->topics[1].name, BYTES("other")));
	assert_int_equal(a->topics[1].partitions[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_int_equal(a->topics[1].partitions[0].base_offset, -1);
	assert_int_equal(x->log.appends, 1);
	/* Writing is not reading. */
	struct kafka_fetch_response *f = call(x, fd, KAFKA_FETCH, 12, fetch_of(x, "mine", 1, 0));
	assert_int_equal(f->topics_count, 1);
	assert_int_equal(f->topics[0].partitions[0].partition_index, 1);
	assert_int_equal(f->topics[0].partitions[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_int_equal(f->topics[0].partitions[0].high_watermark, -1);
	struct kafka_fetch_request *by_id = fetch_of(x, "", 1, 0);
	by_id->topics->topic_id = fake_find(&x->log, "mine")->id;
	f = call(x, fd, KAFKA_FETCH, 13, by_id);
	assert_int_equal(f->topics[0].partitions[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	ALLOW(READ, TOPIC, "mine");
	f = call(x, fd, KAFKA_FETCH, 13, by_id);
	assert_int_equal(f->topics[0].partitions[0].error_code, 0);
	assert_true(f->topics[0].partitions[0].records.size > 0);
	/* Nobody waits for an answer that says no. */
	q = produce_of(x, "other", 0, one_record(x, "v"));
	q->acks = 0;
	ask(x, fd, KAFKA_PRODUCE, 9, 1, q);
	assert_true(has_ended(fd));
	assert_int_equal(x->log.appends, 1);
	close(fd);
}

static void transactional_ids_are_resources(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	ALLOW(WRITE, TOPIC, "mine");
	struct kafka_produce_request *q = produce_of(x, "mine", 0, one_record(x, "v"));
	q->transactional_id = BYTES("t");
	/* One that no batch makes use of is not looked at. */
	struct kafka_produce_response *a = call(x, fd, KAFKA_PRODUCE, 9, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, 0);
	((uint8_t *)(uintptr_t)q->topics->partitions->records.data)[22] |= BATCH_TRANSACTIONAL;
	a = call(x, fd, KAFKA_PRODUCE, 9, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
	struct kafka_init_producer_id_request *i = BODY(x, init_producer_id_request);
	i->transactional_id = BYTES("t");
	struct kafka_init_producer_id_response *id = call(x, fd, KAFKA_INIT_PRODUCER_ID, 4, i);
	assert_int_equal(id->error_code, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
	assert_int_equal(id->producer_id, -1);
	/* Without one it is enough that some topic may be written. */
	i->transactional_id = (struct bytes){0};
	assert_int_equal(((struct kafka_init_producer_id_response *)call(x, fd, KAFKA_INIT_PRODUCER_ID, 4, i))->error_code, 0);
	rule(AUTH_PERMISSION_DENY, AUTH_OPERATION_WRITE, AUTH_RESOURCE_TOPIC, "*");
	id = call(x, fd, KAFKA_INIT_PRODUCER_ID, 4, i);
	assert_int_equal(id->error_code, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
	ALLOW(IDEMPOTENT_WRITE, CLUSTER, AUTH_CLUSTER_NAME);
	assert_int_equal(((struct kafka_init_producer_id_response *)call(x, fd, KAFKA_INIT_PRODUCER_ID, 4, i))->error_code, 0);
	struct kafka_end_txn_request *e = BODY(x, end_txn_request);
	e->transactional_id = BYTES("t");
	assert_int_equal(((struct kafka_end_txn_response *)call(x, fd, KAFKA_END_TXN, 3, e))->error_code,
			 KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
	close(fd);
}

static void partitions_are_added_all_or_none(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	int32_t zero = 0;
	struct kafka_txn_topic topics[] = {{BYTES("mine"), &zero, 1}, {BYTES("other"), &zero, 1}};
	struct kafka_add_partitions_to_txn_request *q = BODY(x, add_partitions_to_txn_request);
	q->transactional_id = BYTES("t");
	q->topics = topics;
	q->topics_count = 2;
	struct kafka_add_partitions_to_txn_response *a = call(x, fd, KAFKA_ADD_PARTITIONS_TO_TXN, 3, q);
	assert_int_equal(a->topics[1].partitions[0].error_code, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
	ALLOW(WRITE, TRANSACTIONAL_ID, "t");
	ALLOW(WRITE, TOPIC, "mine");
	a = call(x, fd, KAFKA_ADD_PARTITIONS_TO_TXN, 3, q);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_OPERATION_NOT_ATTEMPTED);
	assert_int_equal(a->topics[1].partitions[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	close(fd);
}

static void groups_are_resources(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_join_group_request *j = BODY(x, join_group_request);
	j->group_id = BYTES("g");
	j->session_timeout_ms = 10000;
	struct kafka_join_group_response *joined = call(x, fd, KAFKA_JOIN_GROUP, 5, j);
	assert_int_equal(joined->error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	struct kafka_find_coordinator_request *c = BODY(x, find_coordinator_request);
	c->key = BYTES("g");
	struct kafka_find_coordinator_response *found = call(x, fd, KAFKA_FIND_COORDINATOR, 3, c);
	assert_int_equal(found->error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	assert_int_equal(found->node_id, -1);
	struct bytes keys[] = {BYTES("g"), BYTES("h")};
	c->coordinator_keys = keys;
	c->coordinator_keys_count = 2;
	ALLOW(DESCRIBE, GROUP, "h");
	found = call(x, fd, KAFKA_FIND_COORDINATOR, 4, c);
	assert_int_equal(found->coordinators_count, 2);
	assert_true(bytes_equal(found->coordinators[0].key, BYTES("h")));
	assert_int_equal(found->coordinators[0].error_code, 0);
	assert_true(bytes_equal(found->coordinators[1].key, BYTES("g")));
	assert_int_equal(found->coordinators[1].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	struct kafka_describe_groups_request *d = BODY(x, describe_groups_request);
	d->groups = keys;
	d->groups_count = 2;
	d->include_authorized_operations = true;
	struct kafka_describe_groups_response *described = call(x, fd, KAFKA_DESCRIBE_GROUPS, 5, d);
	assert_int_equal(described->groups_count, 2);
	assert_int_equal(described->groups[0].error_code, 0);
	assert_int_equal(described->groups[0].authorized_operations, 1 << AUTH_OPERATION_DESCRIBE);
	assert_int_equal(described->groups[1].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	close(fd);
}

static void a_pattern_of_topics_finds_what_may_be_described(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	ALLOW(READ, GROUP, "g");
	ALLOW(DESCRIBE, TOPIC, "mine");
	struct kafka_consumer_group_heartbeat_request *q = BODY(x, consumer_group_heartbeat_request);
	q->group_id = BYTES("g");
	q->member_id = BYTES("member");
	q->rebalance_timeout_ms = 10000;
	q->subscribed_topic_regex = BYTES(".*");
	q->topic_partitions_count = 0;
	struct kafka_consumer_group_heartbeat_response *a = call(x, fd, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, q);
	assert_int_equal(a->error_code, 0);
	assert_non_null(a->assignment);
	assert_int_equal(a->assignment->topic_partitions_count, 1);
	assert_int_equal(a->assignment->topic_partitions[0].partitions_count, 2);
	close(fd);
}

static void consumer_groups_need_the_group_and_the_topics(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct bytes topics[] = {BYTES("mine"), BYTES("other")}, groups[] = {BYTES("g"), BYTES("h")};
	struct kafka_consumer_group_heartbeat_request *q = BODY(x, consumer_group_heartbeat_request);
	q->group_id = BYTES("g");
	q->member_id = BYTES("member");
	q->rebalance_timeout_ms = 10000;
	q->subscribed_topic_names = topics;
	q->subscribed_topic_names_count = 2;
	q->topic_partitions_count = 0;
	struct kafka_consumer_group_heartbeat_response *a = call(x, fd, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, q);
	assert_int_equal(a->error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	ALLOW(READ, GROUP, "g");
	ALLOW(READ, TOPIC, "mine");
	a = call(x, fd, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, q);
	assert_int_equal(a->error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	q->subscribed_topic_names_count = 1;
	a = call(x, fd, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, q);
	assert_int_equal(a->error_code, 0);
	struct kafka_consumer_group_describe_request *d = BODY(x, consumer_group_describe_request);
	d->group_ids = groups;
	d->group_ids_count = 2;
	d->include_authorized_operations = true;
	struct kafka_consumer_group_describe_response *described = call(x, fd, KAFKA_CONSUMER_GROUP_DESCRIBE, 1, d);
	assert_int_equal(described->groups_count, 2);
	assert_int_equal(described->groups[0].error_code, 0);
	assert_int_equal(described->groups[0].members_count, 1);
	assert_int_equal(described->groups[0].authorized_operations, 1 << AUTH_OPERATION_READ | 1 << AUTH_OPERATION_DESCRIBE);
	assert_true(bytes_equal(described->groups[1].group_id, BYTES("h")));
	assert_int_equal(described->groups[1].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	rule(AUTH_PERMISSION_DENY, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_TOPIC, "mine");
	d->group_ids_count = 1;
	described = call(x, fd, KAFKA_CONSUMER_GROUP_DESCRIBE, 1, d);
	assert_int_equal(described->groups[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_int_equal(described->groups[0].members_count, 0);
	close(fd);
}

static struct kafka_offset_commit_request *commit_of(struct fixture *x)
{
	struct kafka_offset_commit_partition *p = arena_alloc(&x->arena, 2 * sizeof *p);
	struct kafka_offset_commit_topic *t = arena_alloc(&x->arena, 2 * sizeof *t);
	struct kafka_offset_commit_request *q = BODY(x, offset_commit_request);
	kafka__defaults(&kafka_layout_offset_commit_partition, p);
	p->committed_offset = 7;
	t[0] = (struct kafka_offset_commit_topic){.name = BYTES("other"), .partitions = p, .partitions_count = 1};
	t[1] = (struct kafka_offset_commit_topic){.name = BYTES("mine"), .partitions = p, .partitions_count = 1};
	q->group_id = BYTES("g");
	q->topics = t;
	q->topics_count = 2;
	return q;
}

static void offsets_need_the_group_and_the_topic(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	ALLOW(READ, TOPIC, "mine");
	struct kafka_offset_commit_response *a = call(x, fd, KAFKA_OFFSET_COMMIT, 8, commit_of(x));
	assert_int_equal(a->topics_count, 2);
	assert_int_equal(a->topics[0].partitions[0].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	assert_int_equal(a->topics[1].partitions[0].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	ALLOW(READ, GROUP, "g");
	a = call(x, fd, KAFKA_OFFSET_COMMIT, 8, commit_of(x));
	assert_true(bytes_equal(a->topics[0].name, BYTES("mine")));
	assert_int_equal(a->topics[0].partitions[0].error_code, 0);
	assert_int_equal(a->topics[1].partitions[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_int_equal(x->log.offset_count, 1);
	int32_t zero = 0;
	struct kafka_offset_fetch_topic topics[] = {{.name = BYTES("other"), .partition_indexes = &zero, .partition_indexes_count = 1},
						    {.name = BYTES("mine"), .partition_indexes = &zero, .partition_indexes_count = 1}};
	struct kafka_offset_fetch_group groups[] = {{.group_id = BYTES("h"), .topics_count = -1},
						    {.group_id = BYTES("g"), .topics = topics, .topics_count = 2}};
	struct kafka_offset_fetch_request *q = BODY(x, offset_fetch_request);
	q->groups = groups;
	q->groups_count = 2;
	struct kafka_offset_fetch_response *f = call(x, fd, KAFKA_OFFSET_FETCH, 8, q);
	assert_int_equal(f->groups_count, 2);
	assert_true(bytes_equal(f->groups[0].group_id, BYTES("g")));
	assert_int_equal(f->groups[0].topics_count, 2);
	assert_int_equal(f->groups[0].topics[0].partitions[0].committed_offset, 7);
	assert_int_equal(f->groups[0].topics[1].partitions[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_int_equal(f->groups[1].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	/* All of a group's: those that are seen. */
	rule(AUTH_PERMISSION_DENY, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_TOPIC, "mine");
	q = BODY(x, offset_fetch_request);
	q->group_id = BYTES("g");
	q->topics_count = -1;
	f = call(x, fd, KAFKA_OFFSET_FETCH, 7, q);
	assert_int_equal(f->error_code, 0);
	assert_int_equal(f->topics_count, 0);
	close(fd);
}

static void topics_are_made_and_deleted_by_right(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_creatable_topic t[2];
	for (int i = 0; i < 2; i++) {
		kafka__defaults(&kafka_layout_creatable_topic, &t[i]);
		t[i].num_partitions = t[i].replication_factor = -1;
	}
	t[0].name = BYTES("no");
	t[1].name = BYTES("yes");
	struct kafka_create_topics_request *q = BODY(x, create_topics_request);
	q->topics = t;
	q->topics_count = 2;
	ALLOW(CREATE, TOPIC, "yes");
	struct kafka_create_topics_response *a = call(x, fd, KAFKA_CREATE_TOPICS, 7, q);
	assert_int_equal(a->topics_count, 2);
	assert_true(bytes_equal(a->topics[0].name, BYTES("yes")));
	assert_int_equal(a->topics[0].error_code, 0);
	assert_int_equal(a->topics[0].topic_config_error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_int_equal(a->topics[0].num_partitions, -1);
	assert_true(bytes_equal(a->topics[1].name, BYTES("no")));
	assert_int_equal(a->topics[1].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_null(fake_find(&x->log, "no"));
	struct bytes names[] = {BYTES("mine"), BYTES("yes")};
	struct kafka_delete_topics_request *d = BODY(x, delete_topics_request);
	d->topic_names = names;
	d->topic_names_count = 2;
	ALLOW(DELETE, TOPIC, "yes");
	struct kafka_delete_topics_response *deleted = call(x, fd, KAFKA_DELETE_TOPICS, 5, d);
	assert_int_equal(deleted->topics_count, 2);
	assert_int_equal(deleted->topics[0].error_code, 0);
	assert_true(bytes_equal(deleted->topics[1].name, BYTES("mine")));
	assert_int_equal(deleted->topics[1].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	assert_non_null(fake_find(&x->log, "mine"));
	close(fd);
}

static void configs_are_described_by_right(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_describe_configs_resource resources[] = {
		{.resource_type = 4, .resource_name = BYTES("1"), .configuration_keys_count = -1},
		{.resource_type = 2, .resource_name = BYTES("mine"), .configuration_keys_count = -1}};
	struct kafka_describe_configs_request *q = BODY(x, describe_configs_request);
	q->resources = resources;
	q->resources_count = 2;
	ALLOW(ALTER_CONFIGS, TOPIC, "mine");
	struct kafka_describe_configs_response *a = call(x, fd, KAFKA_DESCRIBE_CONFIGS, 4, q);
	assert_int_equal(a->results_count, 2);
	assert_int_equal(a->results[0].error_code, 0);
	assert_int_equal(a->results[1].error_code, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
	assert_int_equal(a->results[1].resource_type, 4);
	close(fd);
}

/* ---- the rules themselves ---- */

static struct kafka_acl_creation creation(int resource, const char *name, int operation)
{
	return (struct kafka_acl_creation){(int8_t)resource, bytes_str(name),   AUTH_PATTERN_LITERAL, BYTES("User:bob"),
					   BYTES("*"),       (int8_t)operation, AUTH_PERMISSION_ALLOW};
}

static void rules_are_made_described_and_deleted(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_acl_creation creations[] = {
		creation(AUTH_RESOURCE_TOPIC, "t", AUTH_OPERATION_READ), creation(AUTH_RESOURCE_TOPIC, "", AUTH_OPERATION_READ),
		creation(AUTH_RESOURCE_TOPIC, "t", AUTH_OPERATION_WRITE), creation(AUTH_RESOURCE_GROUP, "g", AUTH_OPERATION_READ)};
	struct kafka_create_acls_request *q = BODY(x, create_acls_request);
	q->creations = creations;
	q->creations_count = 4;
	struct kafka_create_acls_response *a = call(x, fd, KAFKA_CREATE_ACLS, 3, q);
	assert_int_equal(a->results_count, 4);
	assert_int_equal(a->results[0].error_code, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
	ALLOW(ALTER, CLUSTER, AUTH_CLUSTER_NAME);
	a = call(x, fd, KAFKA_CREATE_ACLS, 3, q);
	assert_int_equal(a->results[0].error_code, 0);
	assert_int_equal(a->results[1].error_code, KAFKA_INVALID_REQUEST);
	assert_true(bytes_equal(a->results[1].error_message, BYTES("Invalid empty resource name")));
	assert_int_equal(a->results[3].error_code, 0);
	assert_true(auth_may(acls, "User:bob", "h", AUTH_OPERATION_WRITE, AUTH_RESOURCE_TOPIC, BYTES("t")));
	struct kafka_describe_acls_request *d = BODY(x, describe_acls_request);
	d->resource_type_filter = d->pattern_type_filter = d->operation = d->permission_type = 1;
	d->principal_filter = BYTES("User:bob");
	struct kafka_describe_acls_response *described = call(x, fd, KAFKA_DESCRIBE_ACLS, 3, d);
	assert_int_equal(described->resources_count, 2);
	assert_true(bytes_equal(described->resources[0].resource_name, BYTES("t")));
	assert_int_equal(described->resources[0].acls_count, 2);
	assert_true(bytes_equal(described->resources[0].acls[0].principal, BYTES("User:bob")));
	struct kafka_delete_acls_filter filters[] = {{.resource_type_filter = AUTH_RESOURCE_TOPIC,
						      .pattern_type_filter = AUTH_PATTERN_MATCH,
						      .resource_name_filter = BYTES("t"),
						      .operation = 1,
						      .permission_type = 1},
						     {99, {0}, 3, {0}, {0}, 1, 1}};
	struct kafka_delete_acls_request *e = BODY(x, delete_acls_request);
	e->filters = filters;
	e->filters_count = 2;
	struct kafka_delete_acls_response *deleted = call(x, fd, KAFKA_DELETE_ACLS, 3, e);
	assert_int_equal(deleted->filter_results_count, 2);
	assert_int_equal(deleted->filter_results[0].matching_acls_count, 2);
	assert_int_equal(deleted->filter_results[1].error_code, KAFKA_INVALID_REQUEST);
	assert_false(auth_may(acls, "User:bob", "h", AUTH_OPERATION_WRITE, AUTH_RESOURCE_TOPIC, BYTES("t")));
	assert_true(auth_may(acls, "User:bob", "h", AUTH_OPERATION_READ, AUTH_RESOURCE_GROUP, BYTES("g")));
	close(fd);
}

static void without_an_authorizer_rules_are_out_of_place(void **state)
{
	struct fixture *x = *state;
	start(x, false);
	int fd = dial(x);
	struct kafka_acl_creation one = creation(AUTH_RESOURCE_TOPIC, "t", AUTH_OPERATION_READ);
	struct kafka_create_acls_request *q = BODY(x, create_acls_request);
	q->creations = &one;
	q->creations_count = 1;
	assert_int_equal(((struct kafka_create_acls_response *)call(x, fd, KAFKA_CREATE_ACLS, 2, q))->results[0].error_code,
			 KAFKA_SECURITY_DISABLED);
	struct kafka_describe_acls_request *about = BODY(x, describe_acls_request);
	about->resource_type_filter = about->pattern_type_filter = about->operation = about->permission_type = 1;
	struct kafka_describe_acls_response *d = call(x, fd, KAFKA_DESCRIBE_ACLS, 2, about);
	assert_int_equal(d->error_code, KAFKA_SECURITY_DISABLED);
	assert_true(bytes_equal(d->error_message, BYTES("No Authorizer is configured.")));
	struct kafka_metadata_response *m = metadata(x, fd, 9, NULL, -1);
	assert_int_equal(m->topics_count, 2);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_request_is_known_and_refused),
		TEST(metadata_shows_what_may_be_described),
		TEST(a_topic_by_its_id_is_unknown_to_who_may_not_see_it),
		TEST(produce_and_fetch_are_refused_topic_by_topic),
		TEST(transactional_ids_are_resources),
		TEST(partitions_are_added_all_or_none),
		TEST(groups_are_resources),
		TEST(a_pattern_of_topics_finds_what_may_be_described),
		TEST(consumer_groups_need_the_group_and_the_topics),
		TEST(offsets_need_the_group_and_the_topic),
		TEST(topics_are_made_and_deleted_by_right),
		TEST(configs_are_described_by_right),
		TEST(rules_are_made_described_and_deleted),
		TEST(without_an_authorizer_rules_are_out_of_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
