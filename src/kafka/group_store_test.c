/* What coordinators keep of their groups, and what a restart makes of it when some of it is damaged, unknown or not written. */
#include "kafka/testing.h"

static struct kafka_consumer_group_heartbeat_response *beat(struct fixture *x, int fd, const char *member, int32_t epoch)
{
	struct bytes *topic = arena_alloc(&x->arena, sizeof *topic);
	struct kafka_consumer_group_heartbeat_request *q = BODY(x, consumer_group_heartbeat_request);
	*topic = BYTES("t");
	q->group_id = BYTES("g");
	q->member_id = bytes_str(member);
	q->member_epoch = epoch;
	q->subscribed_topic_names_count = q->topic_partitions_count = -1;
	if (epoch == 0) {
		q->rebalance_timeout_ms = 60000;
		q->subscribed_topic_names = topic;
		q->subscribed_topic_names_count = 1;
		q->topic_partitions_count = 0;
	}
	return call(x, fd, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, q);
}

static struct kafka_described_consumer_group *describe(struct fixture *x, int fd)
{
	struct bytes *name = arena_alloc(&x->arena, sizeof *name);
	struct kafka_consumer_group_describe_request *q = BODY(x, consumer_group_describe_request);
	*name = BYTES("g");
	q->group_ids = name;
	q->group_ids_count = 1;
	return ((struct kafka_consumer_group_describe_response *)call(x, fd, KAFKA_CONSUMER_GROUP_DESCRIBE, 1, q))->groups;
}

/* The record of this key version, of a member whose id ends in `end`. */
static struct fake_record *record_of(struct fixture *x, int version, char end)
{
	for (uint32_t i = 0; i < x->log.record_count; i++) {
		struct fake_record *r = &x->log.records[i];
		if (be16_get(r->key.data) == version && (!end || r->key.data[r->key.size - 1] == end))
			return r;
	}
	fail_msg("there is no record of version %d", version);
	return NULL;
}

static void members_go_on_after_a_restart(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 2);
	assert_int_equal(beat(x, fd, "a", 0)->member_epoch, 1);
	close(fd);
	fixture_restart(x);
	fd = dial(x);
	struct kafka_consumer_group_heartbeat_response *a = beat(x, fd, "a", 1);
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->member_epoch, 1);
	assert_null(a->assignment); /* what it has, it has still */
	assert_int_equal(beat(x, fd, "a", -1)->error_code, 0);
	assert_null(record_of(x, 5, 'a')->value.data);
	assert_null(record_of(x, 8, 'a')->value.data);
	assert_non_null(record_of(x, 3, 0)->value.data);
	close(fd);
}

static void a_member_whose_record_is_damaged_joins_again(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 2);
	beat(x, fd, "a", 0);
	beat(x, fd, "b", 0);
	close(fd);
	record_of(x, 5, 'a')->value.size = 4;
	/* What another kind of group keeps, or a newer Kafka, stays as it is. */
	static const uint8_t key[] = {0, 16, 0, 1, 'g', 0, 2, 't', '*'}, value[] = {0, 9, 1, 2, 3};
	const struct log_group_record foreign = {bytes_of(key, sizeof key), bytes_of(value, sizeof value)};
	assert_int_equal(x->log.record_count, 8);
	x->log.records[x->log.record_count++] = (struct fake_record){"g", fake_copy(foreign.key), fake_copy(foreign.value)};
	fixture_restart(x);
	fd = dial(x);
	assert_int_equal(describe(x, fd)->members_count, 1);
	assert_int_equal(beat(x, fd, "a", 1)->error_code, KAFKA_UNKNOWN_MEMBER_ID);
	struct kafka_consumer_group_heartbeat_response *b = beat(x, fd, "b", 2);
	assert_int_equal(b->error_code, 0);
	assert_non_null(b->assignment);
	assert_int_equal(b->assignment->topic_partitions->partitions_count, 2); /* the other's too */
	assert_null(record_of(x, 5, 'a')->value.data);
	assert_non_null(record_of(x, 16, 0)->value.data);
	close(fd);
}

static void what_cannot_be_written_is_not_promised(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 2);
	x->log.write_err = SM_IO;
	assert_int_equal(beat(x, fd, "a", 0)->error_code, KAFKA_COORDINATOR_NOT_AVAILABLE);
	x->log.write_err = SM_OK;
	assert_int_equal(beat(x, fd, "a", 0)->error_code, 0);
	assert_non_null(record_of(x, 5, 'a')->value.data);
	close(fd);
}

/* The newest of what group g has committed; -1: none. */
static int64_t committed(struct fixture *x, const char *topic)
{
	int64_t offset = -1;
	pthread_mutex_lock(&x->log.lock);
	for (uint32_t i = 0; i < x->log.offset_count; i++)
		if (strcmp(x->log.offsets[i].topic, topic) == 0)
			offset = x->log.offsets[i].offset;
	pthread_mutex_unlock(&x->log.lock);
	return offset;
}

static bool is_gone(struct fixture *x)
{
	pthread_mutex_lock(&x->server->groups_lock);
	bool gone = x->server->groups.count == 0;
	pthread_mutex_unlock(&x->server->groups_lock);
	return gone;
}

static void old_offsets_go_and_with_the_last_an_empty_group(void **state)
{
	struct fixture *x = *state;
	x->offsets_retention_ms = 1000;
	fixture_restart(x);
	int fd = dial(x);
	make_topic(x, "t", 2);
	beat(x, fd, "a", 0);
	x->log.offsets[0] = (struct fake_offset){"g", "t", "", 0, 5}; /* committed long ago */
	x->log.offsets[1] = (struct fake_offset){"g", "u", "", 0, 5};
	x->log.offset_count = 2;
	kafka__offsets_look(x->server);
	while (committed(x, "u") >= 0)
		usleep(1000);
	assert_int_equal(committed(x, "t"), 5); /* a member subscribes to it */
	assert_int_equal(beat(x, fd, "a", 1)->error_code, 0);
	assert_int_equal(beat(x, fd, "a", -1)->error_code, 0);
	assert_int_equal(describe(x, fd)->error_code, 0);
	kafka__offsets_look(x->server);
	while (committed(x, "t") >= 0 || !is_gone(x))
		usleep(1000);
	assert_null(record_of(x, 3, 0)->value.data);
	assert_null(record_of(x, 6, 0)->value.data);
	assert_int_equal(describe(x, fd)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_up, fixture_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(members_go_on_after_a_restart),
		TEST(a_member_whose_record_is_damaged_joins_again),
		TEST(what_cannot_be_written_is_not_promised),
		TEST(old_offsets_go_and_with_the_last_an_empty_group),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
