/* Groups whose clients are changed over between the classic and the new protocol, over sockets. */
#include "kafka/consumer_group.h"
#include "kafka/testing.h"

/* What a classic member carries: a structure of the consumer protocol behind its version. */
static struct bytes carried(struct fixture *x, const struct kafka_layout *layout, const void *body)
{
	struct buf out;
	buf_init(&out);
	buf_be16(&out, 3);
	struct kafka_writer w = {.out = &out, .arena = &x->arena};
	assert_int_equal(kafka__encode(layout, (struct kafka_version){3, false}, body, &w), SM_OK);
	struct bytes copy = bytes_of(arena_copy(&x->arena, buf_bytes(&out).data, buf_size(&out)), buf_size(&out));
	buf_done(&out);
	return copy;
}

static struct bytes subscription(struct fixture *x, int32_t owned)
{
	static int32_t numbers[] = {0, 1, 2, 3};
	struct bytes topic = BYTES("t");
	struct kafka_consumer_topic_partitions parts = {topic, numbers, owned};
	struct kafka_consumer_subscription s = {
		.topics = &topic, .topics_count = 1, .owned_partitions = &parts, .owned_partitions_count = owned > 0, .generation_id = -1};
	return carried(x, &kafka_layout_consumer_subscription, &s);
}

static struct bytes assignment(struct fixture *x, int32_t count)
{
	static int32_t numbers[] = {0, 1, 2, 3};
	struct kafka_consumer_topic_partitions parts = {BYTES("t"), numbers, count};
	struct kafka_consumer_classic_assignment a = {.assigned_partitions = &parts, .assigned_partitions_count = 1};
	return carried(x, &kafka_layout_consumer_classic_assignment, &a);
}

struct joiner {
	const char *id, *instance, *type;
	struct bytes metadata;
};

static struct kafka_join_group_response *join(struct fixture *x, int fd, struct joiner j)
{
	struct kafka_join_group_request *q = BODY(x, join_group_request);
	q->group_id = BYTES("g");
	q->session_timeout_ms = q->rebalance_timeout_ms = 10000;
	q->member_id = bytes_str(j.id ? j.id : "");
	q->group_instance_id = kafka__text(j.instance);
	q->protocol_type = bytes_str(j.type ? j.type : "consumer");
	q->protocols = BODY(x, join_protocol);
	q->protocols_count = 1;
	q->protocols->name = BYTES("range");
	q->protocols->metadata = j.metadata.data ? j.metadata : subscription(x, 0);
	return call(x, fd, KAFKA_JOIN_GROUP, 7, q);
}

static const char *text_of(struct fixture *x, struct bytes b)
{
	return arena_string(&x->arena, (const char *)b.data, b.size);
}

/* A classic member: its id. */
static const char *join_new(struct fixture *x, int fd, struct joiner j, int32_t *ret_generation)
{
	if (!j.instance) {
		struct kafka_join_group_response *a = join(x, fd, j);
		assert_int_equal(a->error_code, KAFKA_MEMBER_ID_REQUIRED);
		j.id = text_of(x, a->member_id);
	}
	struct kafka_join_group_response *a = join(x, fd, j);
	assert_int_equal(a->error_code, 0);
	*ret_generation = a->generation_id;
	return text_of(x, a->member_id);
}

/* How many partitions the member is told to have; below 0: the error. */
static int32_t sync_group(struct fixture *x, int fd, const char *member, int32_t generation, struct bytes assigned)
{
	struct kafka_sync_group_request *q = BODY(x, sync_group_request);
	struct kafka_sync_assignment part = {bytes_str(member), assigned};
	q->group_id = BYTES("g");
	q->generation_id = generation;
	q->member_id = bytes_str(member);
	q->protocol_type = BYTES("consumer");
	q->protocol_name = BYTES("range");
	q->assignments = &part;
	q->assignments_count = assigned.data != NULL;
	struct kafka_sync_group_response *a = call(x, fd, KAFKA_SYNC_GROUP, 5, q);
	if (a->error_code)
		return -a->error_code;
	struct kafka_consumer_classic_assignment out;
	struct byte_reader in = byte_reader(a->assignment);
	assert_int_equal(reader_be16(&in), 3);
	assert_int_equal(kafka__decode(&kafka_layout_consumer_classic_assignment, (struct kafka_version){3, false}, &in, &x->arena, &out),
			 SM_OK);
	int32_t n = 0;
	for (int32_t i = 0; i < out.assigned_partitions_count; i++)
		n += out.assigned_partitions[i].partitions_count;
	return n;
}

static int16_t beat(struct fixture *x, int fd, const char *member, int32_t generation)
{
	struct kafka_heartbeat_request *q = BODY(x, heartbeat_request);
	q->group_id = BYTES("g");
	q->generation_id = generation;
	q->member_id = bytes_str(member);
	return ((struct kafka_heartbeat_response *)call(x, fd, KAFKA_HEARTBEAT, 4, q))->error_code;
}

static struct kafka_consumer_group_heartbeat_response *heartbeat(struct fixture *x, int fd, const char *member, int32_t epoch,
								 const char *instance, struct kafka_consumer_assignment *owned)
{
	static struct bytes topic;
	struct kafka_consumer_group_heartbeat_request *q = BODY(x, consumer_group_heartbeat_request);
	topic = BYTES("t");
	q->group_id = BYTES("g");
	q->member_id = bytes_str(member);
	q->member_epoch = epoch;
	q->instance_id = kafka__text(instance);
	q->subscribed_topic_names = &topic;
	q->subscribed_topic_names_count = epoch == 0 ? 1 : -1;
	q->rebalance_timeout_ms = epoch == 0 ? 10000 : -1;
	q->topic_partitions = owned ? owned->topic_partitions : NULL;
	q->topic_partitions_count = owned ? owned->topic_partitions_count : epoch == 0 ? 0 : -1;
	return call(x, fd, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, q);
}

static bool listed_as(struct fixture *x, int fd, const char *type)
{
	struct kafka_list_groups_response *a = call(x, fd, KAFKA_LIST_GROUPS, 5, BODY(x, list_groups_request));
	assert_int_equal(a->groups_count, 1);
	return bytes_equal(a->groups[0].group_type, bytes_str(type));
}

static void a_classic_member_is_served_in_a_consumer_group(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	int32_t generation;
	make_topic(x, "t", 4);
	assert_int_equal(heartbeat(x, fd, "new", 0, NULL, NULL)->member_epoch, 1);
	assert_int_equal(join(x, fd, (struct joiner){.type = "connect"})->error_code, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	assert_int_equal(join(x, fd, (struct joiner){.id = "m", .metadata = BYTES("\0")})->error_code, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	const char *old = join_new(x, fd, (struct joiner){0}, &generation);
	assert_int_equal(generation, 2);
	assert_int_equal(sync_group(x, fd, old, 1, (struct bytes){0}), -KAFKA_ILLEGAL_GENERATION);
	assert_int_equal(sync_group(x, fd, "new", 1, (struct bytes){0}), -KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(sync_group(x, fd, old, 2, (struct bytes){0}), 0);
	assert_int_equal(beat(x, fd, old, 2), 0); /* it waits: nothing is free yet */
	struct kafka_consumer_group_heartbeat_response *a = heartbeat(x, fd, "new", 1, NULL, NULL);
	assert_int_equal(a->assignment->topic_partitions[0].partitions_count, 2);
	assert_int_equal(heartbeat(x, fd, "new", 1, NULL, a->assignment)->member_epoch, 2);
	assert_int_equal(beat(x, fd, old, 2), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(join(x, fd, (struct joiner){.id = old})->generation_id, 2);
	assert_int_equal(sync_group(x, fd, old, 2, (struct bytes){0}), 2);
	assert_int_equal(beat(x, fd, old, 2), 0);
	assert_true(listed_as(x, fd, "consumer"));
	/* the last new member leaves: the group is a classic one, which rebalances */
	assert_int_equal(heartbeat(x, fd, "new", -1, NULL, NULL)->error_code, 0);
	assert_true(listed_as(x, fd, "classic"));
	assert_int_equal(beat(x, fd, old, 2), KAFKA_REBALANCE_IN_PROGRESS);
	generation = join(x, fd, (struct joiner){.id = old})->generation_id;
	assert_int_equal(generation, 3);
	assert_int_equal(sync_group(x, fd, old, generation, assignment(x, 4)), 4);
	assert_int_equal(beat(x, fd, old, generation), 0);
	close(fd);
}

static void a_classic_group_is_changed_over_with_its_members(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	int32_t generation;
	make_topic(x, "t", 4);
	const char *old = join_new(x, fd, (struct joiner){0}, &generation);
	assert_int_equal(sync_group(x, fd, old, generation, assignment(x, 4)), 4);
	struct kafka_consumer_group_heartbeat_response *a = heartbeat(x, fd, "new", 0, NULL, NULL);
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->member_epoch, generation + 1);
	assert_int_equal(a->assignment->topic_partitions_count, 0);
	assert_int_equal(beat(x, fd, old, generation), KAFKA_REBALANCE_IN_PROGRESS);
	/* it gives back two, and may join the new generation when it has */
	assert_int_equal(join(x, fd, (struct joiner){.id = old, .metadata = subscription(x, 4)})->generation_id, generation);
	assert_int_equal(sync_group(x, fd, old, generation, (struct bytes){0}), 2);
	assert_int_equal(beat(x, fd, old, generation), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(join(x, fd, (struct joiner){.id = old, .metadata = subscription(x, 2)})->generation_id, generation + 1);
	assert_int_equal(sync_group(x, fd, old, generation + 1, (struct bytes){0}), 2);
	a = heartbeat(x, fd, "new", generation + 1, NULL, NULL);
	assert_int_equal(a->assignment->topic_partitions[0].partitions_count, 2);
	assert_true(listed_as(x, fd, "consumer"));
	close(fd);
}

static void a_static_member_changes_its_protocol_without_a_rebalance(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	int32_t generation;
	make_topic(x, "t", 4);
	const char *old = join_new(x, fd, (struct joiner){.instance = "i"}, &generation);
	assert_int_equal(sync_group(x, fd, old, generation, assignment(x, 4)), 4);
	struct kafka_consumer_group_heartbeat_response *a = heartbeat(x, fd, "new", 0, "i", NULL);
	assert_int_equal(a->member_epoch, generation);
	assert_int_equal(a->assignment->topic_partitions[0].partitions_count, 4);
	assert_int_equal(beat(x, fd, old, generation), KAFKA_UNKNOWN_MEMBER_ID);
	old = join_new(x, fd, (struct joiner){.instance = "i"}, &generation);
	assert_int_equal(generation, a->member_epoch);
	assert_true(listed_as(x, fd, "classic"));
	assert_int_equal(sync_group(x, fd, old, generation, (struct bytes){0}), 4);
	assert_int_equal(beat(x, fd, old, generation), 0);
	close(fd);
}

static void groups_that_cannot_be_changed_over_stay_as_they_are(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	int32_t generation;
	make_topic(x, "t", 4);
	const char *old = join_new(x, fd, (struct joiner){0}, &generation);
	assert_int_equal(sync_group(x, fd, old, generation, assignment(x, 4)), 4);
	struct kafka_consumer_classic_assignment own = {.user_data = BYTES("own")};
	generation = join(x, fd, (struct joiner){.id = old, .metadata = subscription(x, 1)})->generation_id;
	struct bytes data = carried(x, &kafka_layout_consumer_classic_assignment, &own);
	assert_int_equal(sync_group(x, fd, old, generation, data), 0);
	assert_int_equal(heartbeat(x, fd, "new", 0, NULL, NULL)->error_code, KAFKA_GROUP_ID_NOT_FOUND); /* an assignor of its own */
	assert_int_equal(beat(x, fd, old, generation), 0);
	generation = join(x, fd, (struct joiner){.id = old, .metadata = BYTES("\0\3\0")})->generation_id;
	assert_int_equal(heartbeat(x, fd, "new", 0, NULL, NULL)->error_code, KAFKA_GROUP_ID_NOT_FOUND); /* damaged */
	assert_true(listed_as(x, fd, "classic"));
	assert_int_equal(sync_group(x, fd, old, generation, assignment(x, 4)), 4);
	close(fd);
}

static void a_classic_member_that_does_not_join_again_in_time_is_out(void **state)
{
	struct consumer_group *g = consumer_group__new();
	struct consumer_member *m = consumer_group__add(g);
	m->id = strdup("m");
	m->classic = calloc(1, sizeof *m->classic);
	m->deadline_ns = 100;
	m->classic->join_deadline_ns = 50;
	assert_int_equal(consumer_group__deadline(g), 50);
	assert_false(consumer_group__expire(g, 49));
	m->classic->join_deadline_ns = 0;
	m->classic->sync_deadline_ns = 60;
	assert_false(consumer_group__expire(g, 59));
	assert_true(consumer_group__expire(g, 60));
	assert_null(g->members);
	consumer_group__free(g);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_up, fixture_down)
	const struct CMUnitTest tests[] = {
		TEST(a_classic_member_is_served_in_a_consumer_group),
		TEST(a_classic_group_is_changed_over_with_its_members),
		TEST(a_static_member_changes_its_protocol_without_a_rebalance),
		TEST(groups_that_cannot_be_changed_over_stay_as_they_are),
		cmocka_unit_test(a_classic_member_that_does_not_join_again_in_time_is_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
