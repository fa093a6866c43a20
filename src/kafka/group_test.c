/* Consumer groups over sockets, on a log in memory. */
#include "kafka/testing.h"

struct joiner {
	const char *member, *instance, *metadata;
	int32_t rebalance_ms;
};

static struct kafka_join_group_request *join_of(struct fixture *x, struct joiner j)
{
	struct kafka_join_group_request *q = BODY(x, join_group_request);
	q->group_id = BYTES("g");
	q->session_timeout_ms = 6000;
	q->rebalance_timeout_ms = j.rebalance_ms ? j.rebalance_ms : 10000;
	q->member_id = bytes_str(j.member ? j.member : "");
	q->group_instance_id = kafka__text(j.instance);
	q->protocol_type = BYTES("consumer");
	q->protocols = BODY(x, join_protocol);
	q->protocols_count = 1;
	q->protocols->name = BYTES("range");
	q->protocols->metadata = bytes_str(j.metadata ? j.metadata : "meta");
	return q;
}

static const char *text_of(struct fixture *x, struct bytes b)
{
	return arena_string(&x->arena, (const char *)b.data, b.size);
}

/* The id that a new member is given before it may join. */
static const char *new_id(struct fixture *x, int fd)
{
	struct kafka_join_group_response *a = call(x, fd, KAFKA_JOIN_GROUP, 5, join_of(x, (struct joiner){0}));
	assert_int_equal(a->error_code, KAFKA_MEMBER_ID_REQUIRED);
	return text_of(x, a->member_id);
}

static void ask_sync(struct fixture *x, int fd, const char *member, int32_t generation, const struct kafka_join_group_response *leader)
{
	struct kafka_sync_group_request *q = BODY(x, sync_group_request);
	q->group_id = BYTES("g");
	q->generation_id = generation;
	q->member_id = bytes_str(member);
	q->protocol_type = BYTES("consumer");
	q->protocol_name = BYTES("range");
	if (leader) {
		q->assignments = arena_alloc(&x->arena, (size_t)leader->members_count * sizeof *q->assignments);
		for (int32_t i = 0; i < leader->members_count; i++)
			q->assignments[i] = (struct kafka_sync_assignment){leader->members[i].member_id, leader->members[i].member_id};
		q->assignments_count = leader->members_count;
	}
	ask(x, fd, KAFKA_SYNC_GROUP, 5, 5, q);
}

static struct kafka_sync_group_response *get_sync(struct fixture *x, int fd)
{
	return answer(x, fd, KAFKA_SYNC_GROUP, 5, 5);
}

static int16_t heartbeat(struct fixture *x, int fd, const char *member, const char *instance, int32_t generation)
{
	struct kafka_heartbeat_request *q = BODY(x, heartbeat_request);
	q->group_id = BYTES("g");
	q->generation_id = generation;
	q->member_id = bytes_str(member);
	q->group_instance_id = kafka__text(instance);
	return ((struct kafka_heartbeat_response *)call(x, fd, KAFKA_HEARTBEAT, 4, q))->error_code;
}

static int16_t leave(struct fixture *x, int fd, const char *member)
{
	struct kafka_leave_group_request *q = BODY(x, leave_group_request);
	q->group_id = BYTES("g");
	q->members = BODY(x, leave_member);
	q->members_count = 1;
	q->members->member_id = bytes_str(member);
	struct kafka_leave_group_response *a = call(x, fd, KAFKA_LEAVE_GROUP, 4, q);
	assert_int_equal(a->error_code, 0);
	return a->members[0].error_code;
}

/* One member alone in a stable group of generation 1. */
static const char *alone(struct fixture *x, int fd, struct joiner j)
{
	if (!j.instance)
		j.member = new_id(x, fd);
	struct kafka_join_group_response *a = call(x, fd, KAFKA_JOIN_GROUP, 9, join_of(x, j));
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->generation_id, 1);
	assert_true(bytes_equal(a->leader, a->member_id));
	const char *id = text_of(x, a->member_id);
	ask_sync(x, fd, id, 1, a);
	struct kafka_sync_group_response *s = get_sync(x, fd);
	assert_int_equal(s->error_code, 0);
	assert_true(bytes_equal(s->assignment, bytes_str(id)));
	return id;
}

static void a_second_member_rebalances_the_group(void **state)
{
	struct fixture *x = *state;
	int a = dial(x), b = dial(x);
	const char *first = alone(x, a, (struct joiner){0}), *second = new_id(x, b);
	ask(x, b, KAFKA_JOIN_GROUP, 7, 2, join_of(x, (struct joiner){.member = second}));
	/* the joining member waits; the other learns of it by its heartbeat */
	while (heartbeat(x, a, first, NULL, 1) != KAFKA_REBALANCE_IN_PROGRESS)
		usleep(1000);
	struct kafka_join_group_response *ja = call(x, a, KAFKA_JOIN_GROUP, 7, join_of(x, (struct joiner){.member = first}));
	struct kafka_join_group_response *jb = answer(x, b, KAFKA_JOIN_GROUP, 7, 2);
	assert_int_equal(ja->generation_id, 2);
	assert_int_equal(jb->generation_id, 2);
	assert_int_equal(ja->members_count, 2);
	assert_int_equal(jb->members_count, 0);
	assert_true(bytes_equal(jb->leader, bytes_str(first)));
	assert_true(bytes_equal(ja->protocol_name, BYTES("range")));
	ask_sync(x, b, second, 2, NULL);
	ask_sync(x, a, first, 2, ja);
	assert_true(bytes_equal(get_sync(x, a)->assignment, bytes_str(first)));
	assert_true(bytes_equal(get_sync(x, b)->assignment, bytes_str(second)));
	assert_int_equal(heartbeat(x, a, first, NULL, 2), 0);
	assert_int_equal(heartbeat(x, b, second, NULL, 1), KAFKA_ILLEGAL_GENERATION);
	assert_int_equal(heartbeat(x, b, "nobody", NULL, 2), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(leave(x, b, second), 0);
	assert_int_equal(heartbeat(x, a, first, NULL, 2), KAFKA_REBALANCE_IN_PROGRESS);
	close(a);
	close(b);
}

static void who_does_not_join_again_in_time_is_left_out(void **state)
{
	struct fixture *x = *state;
	int a = dial(x), b = dial(x);
	alone(x, a, (struct joiner){.rebalance_ms = 50});
	struct kafka_join_group_response *j = call(x, b, KAFKA_JOIN_GROUP, 7,
						   join_of(x, (struct joiner){.member = new_id(x, b), .rebalance_ms = 50}));
	assert_int_equal(j->error_code, 0);
	assert_int_equal(j->generation_id, 2);
	assert_int_equal(j->members_count, 1);
	close(a);
	close(b);
}

static void who_does_not_sync_in_time_is_removed(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	const char *id = new_id(x, fd);
	struct kafka_join_group_response *j = call(x, fd, KAFKA_JOIN_GROUP, 7,
						   join_of(x, (struct joiner){.member = id, .rebalance_ms = 30}));
	assert_int_equal(j->error_code, 0);
	while (heartbeat(x, fd, id, NULL, 1) != KAFKA_UNKNOWN_MEMBER_ID)
		usleep(1000);
	close(fd);
}

static void a_static_member_takes_its_place_again(void **state)
{
	struct fixture *x = *state;
	int a = dial(x), b = dial(x);
	const char *old = alone(x, a, (struct joiner){.instance = "i1"});
	struct kafka_join_group_response *j = call(x, b, KAFKA_JOIN_GROUP, 9, join_of(x, (struct joiner){.instance = "i1"}));
	assert_int_equal(j->error_code, 0);
	assert_int_equal(j->generation_id, 1); /* no rebalance */
	assert_true(j->skip_assignment);
	assert_false(bytes_equal(j->member_id, bytes_str(old)));
	assert_int_equal(heartbeat(x, a, old, "i1", 1), KAFKA_FENCED_INSTANCE_ID);
	ask_sync(x, b, text_of(x, j->member_id), 1, NULL);
	assert_true(bytes_equal(get_sync(x, b)->assignment, bytes_str(old)));
	close(a);
	close(b);
}

static void joins_that_do_not_fit_are_refused(void **state)
{
	struct fixture *x = *state;
	int a = dial(x), b = dial(x);
	struct kafka_join_group_request *q = join_of(x, (struct joiner){.member = "stranger"});
	assert_int_equal(((struct kafka_join_group_response *)call(x, a, KAFKA_JOIN_GROUP, 5, q))->error_code, KAFKA_UNKNOWN_MEMBER_ID);
	alone(x, a, (struct joiner){0});
	assert_int_equal(((struct kafka_join_group_response *)call(x, a, KAFKA_JOIN_GROUP, 5, q))->error_code, KAFKA_UNKNOWN_MEMBER_ID);
	q = join_of(x, (struct joiner){0});
	q->protocols->name = BYTES("other");
	assert_int_equal(((struct kafka_join_group_response *)call(x, b, KAFKA_JOIN_GROUP, 5, q))->error_code,
			 KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	q = join_of(x, (struct joiner){0});
	q->session_timeout_ms = 100;
	assert_int_equal(((struct kafka_join_group_response *)call(x, b, KAFKA_JOIN_GROUP, 5, q))->error_code,
			 KAFKA_INVALID_SESSION_TIMEOUT);
	q = join_of(x, (struct joiner){0});
	q->group_id = BYTES("");
	assert_int_equal(((struct kafka_join_group_response *)call(x, b, KAFKA_JOIN_GROUP, 5, q))->error_code, KAFKA_INVALID_GROUP_ID);
	close(a);
	close(b);
}

static int16_t commit(struct fixture *x, int fd, const char *member, int32_t generation, const char *topic, int64_t offset)
{
	struct kafka_offset_commit_request *q = BODY(x, offset_commit_request);
	q->group_id = BYTES("g");
	q->generation_id = generation;
	q->member_id = bytes_str(member);
	q->topics = BODY(x, offset_commit_topic);
	q->topics_count = 1;
	q->topics->name = bytes_str(topic);
	q->topics->partitions = BODY(x, offset_commit_partition);
	q->topics->partitions_count = 1;
	q->topics->partitions->committed_offset = offset;
	q->topics->partitions->committed_metadata = BYTES("note");
	struct kafka_offset_commit_response *a = call(x, fd, KAFKA_OFFSET_COMMIT, 8, q);
	return a->topics[0].partitions[0].error_code;
}

static int64_t committed(struct fixture *x, int fd, int16_t version, bool all)
{
	struct kafka_offset_fetch_request *q = BODY(x, offset_fetch_request);
	struct kafka_offset_fetch_topic *topic = BODY(x, offset_fetch_topic);
	int32_t zero = 0;
	topic->name = BYTES("t");
	topic->partition_indexes = &zero;
	topic->partition_indexes_count = 1;
	q->group_id = BYTES("g");
	q->topics = topic;
	q->topics_count = all ? -1 : 1;
	q->groups = BODY(x, offset_fetch_group);
	q->groups_count = 1;
	*q->groups = (struct kafka_offset_fetch_group){.group_id = BYTES("g"), .topics = topic, .topics_count = all ? -1 : 1};
	struct kafka_offset_fetch_response *a = call(x, fd, KAFKA_OFFSET_FETCH, version, q);
	struct kafka_offset_fetch_topic_response *t = version >= 8 ? a->groups[0].topics : a->topics;
	int32_t count = version >= 8 ? a->groups[0].topics_count : a->topics_count;
	return count ? t[0].partitions[0].committed_offset : -2;
}

static void offsets_are_committed_by_the_generations_members(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	assert_int_equal(committed(x, fd, 5, false), -1);
	assert_int_equal(committed(x, fd, 9, true), -2);
	assert_int_equal(commit(x, fd, "", -1, "t", 3), 0); /* a simple consumer, while nobody is in the group */
	const char *id = alone(x, fd, (struct joiner){0});
	assert_int_equal(commit(x, fd, "", -1, "t", 4), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(commit(x, fd, id, 0, "t", 4), KAFKA_ILLEGAL_GENERATION);
	assert_int_equal(commit(x, fd, "nobody", 1, "t", 4), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(commit(x, fd, id, 1, "none", 4), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(committed(x, fd, 5, false), 3);
	assert_int_equal(commit(x, fd, id, 1, "t", 5), 0);
	assert_int_equal(committed(x, fd, 7, false), 5);
	assert_int_equal(committed(x, fd, 9, false), 5);
	assert_int_equal(committed(x, fd, 7, true), 5);
	assert_int_equal(committed(x, fd, 9, true), 5);
	close(fd);
}

static void groups_are_listed_described_and_deleted(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	const char *id = alone(x, fd, (struct joiner){0});
	struct kafka_list_groups_response *l = call(x, fd, KAFKA_LIST_GROUPS, 5, BODY(x, list_groups_request));
	assert_int_equal(l->groups_count, 1);
	assert_true(bytes_equal(l->groups[0].group_state, BYTES("Stable")));
	struct kafka_describe_groups_request *d = BODY(x, describe_groups_request);
	struct bytes names[] = {BYTES("g"), BYTES("none")};
	d->groups = names;
	d->groups_count = 2;
	struct kafka_describe_groups_response *e = call(x, fd, KAFKA_DESCRIBE_GROUPS, 6, d);
	assert_int_equal(e->groups[0].error_code, 0);
	assert_int_equal(e->groups[0].members_count, 1);
	assert_true(bytes_equal(e->groups[0].members[0].client_host, BYTES("/127.0.0.1")));
	assert_int_equal(e->groups[1].error_code, KAFKA_GROUP_ID_NOT_FOUND);
	struct kafka_delete_groups_request *q = BODY(x, delete_groups_request);
	q->group_names = names;
	q->group_names_count = 2;
	struct kafka_delete_groups_response *a = call(x, fd, KAFKA_DELETE_GROUPS, 2, q);
	assert_int_equal(a->results[0].error_code, KAFKA_NON_EMPTY_GROUP);
	assert_int_equal(a->results[1].error_code, KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(commit(x, fd, id, 1, "t", 5), 0);
	assert_int_equal(leave(x, fd, id), 0);
	a = call(x, fd, KAFKA_DELETE_GROUPS, 2, q);
	assert_int_equal(a->results[0].error_code, 0);
	assert_int_equal(committed(x, fd, 9, true), -2);
	close(fd);
}

static struct kafka_described_group describe(struct fixture *x, int fd)
{
	struct kafka_describe_groups_request *q = BODY(x, describe_groups_request);
	struct bytes name = BYTES("g");
	q->groups = &name;
	q->groups_count = 1;
	return ((struct kafka_describe_groups_response *)call(x, fd, KAFKA_DESCRIBE_GROUPS, 5, q))->groups[0];
}

static void who_is_silent_for_a_session_is_out(void **state)
{
	struct fixture *x = *state;
	int a = dial(x), b = dial(x);
	const char *id = alone(x, a, (struct joiner){0}); /* the shortest session that Kafka allows is 6 s */
	close(a);
	while (!bytes_equal(describe(x, b).group_state, BYTES("Empty")))
		usleep(50000);
	assert_int_equal(heartbeat(x, b, id, NULL, 1), KAFKA_UNKNOWN_MEMBER_ID);
	close(b);
}

static void a_server_that_stops_answers_what_waits(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int a = dial(x), b = dial(x), c = dial(x);
	alone(x, a, (struct joiner){0});
	ask(x, b, KAFKA_JOIN_GROUP, 7, 2, join_of(x, (struct joiner){.member = new_id(x, b)}));
	while (!bytes_equal(describe(x, a).group_state, BYTES("PreparingRebalance")))
		usleep(1000);
	struct kafka_fetch_request *q = fetch_of(x, "t", 0, 0);
	q->max_wait_ms = 60000;
	ask(x, c, KAFKA_FETCH, 12, 3, q);
	for (bool waiting = false; !waiting;) {
		pthread_mutex_lock(&x->log.lock);
		waiting = x->log.waits != NULL;
		pthread_mutex_unlock(&x->log.lock);
	}
	kafka_server_free(x->server, 5000);
	x->server = NULL;
	struct kafka_join_group_response *j = answer(x, b, KAFKA_JOIN_GROUP, 7, 2);
	assert_non_null(j);
	assert_int_equal(j->error_code, KAFKA_NOT_COORDINATOR);
	struct kafka_fetch_response *f = answer(x, c, KAFKA_FETCH, 12, 3);
	assert_non_null(f);
	assert_int_equal(f->topics[0].partitions[0].error_code, 0);
	close(a);
	close(b);
	close(c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_up, fixture_down)
	const struct CMUnitTest tests[] = {
		TEST(a_second_member_rebalances_the_group),    TEST(who_does_not_join_again_in_time_is_left_out),
		TEST(who_does_not_sync_in_time_is_removed),    TEST(a_static_member_takes_its_place_again),
		TEST(joins_that_do_not_fit_are_refused),       TEST(offsets_are_committed_by_the_generations_members),
		TEST(groups_are_listed_described_and_deleted), TEST(who_is_silent_for_a_session_is_out),
		TEST(a_server_that_stops_answers_what_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
