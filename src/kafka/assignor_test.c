/* The assignors: what they promise, over random groups that change step by step. */
#include "kafka/assignor.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { TOPICS = 5, MEMBERS = 9 };

/* A group whose members' targets are carried from one assignment to the next. */
struct fixture {
	struct assign_topic topics[TOPICS];
	struct assign_member members[MEMBERS];
	uint32_t subscribed[MEMBERS][TOPICS];
	char ids[MEMBERS][16];
	struct partition_set targets[MEMBERS];
	uint32_t topic_count, member_count;
};

static struct fixture *group(uint32_t topics, uint32_t members)
{
	struct fixture *x = calloc(1, sizeof *x);
	x->topic_count = topics;
	x->member_count = members;
	for (uint32_t t = 0; t < TOPICS; t++)
		x->topics[t].id.bytes[0] = (uint8_t)t;
	for (uint32_t m = 0; m < MEMBERS; m++) {
		snprintf(x->ids[m], sizeof x->ids[m], "m%u", m);
		x->members[m] = (struct assign_member){.id = x->ids[m], .topics = x->subscribed[m], .before = &x->targets[m]};
	}
	return x;
}

static void group_free(struct fixture *x)
{
	for (uint32_t m = 0; m < MEMBERS; m++)
		partition_set__done(&x->targets[m]);
	free(x);
}

static void subscribe(struct fixture *x, uint32_t member, unsigned topics)
{
	x->members[member].topic_count = 0;
	for (uint32_t t = 0; t < x->topic_count; t++) {
		if (topics >> t & 1)
			x->subscribed[member][x->members[member].topic_count++] = t;
	}
}

static bool subscribes(const struct fixture *x, uint32_t member, uint32_t topic)
{
	for (uint32_t i = 0; i < x->members[member].topic_count; i++) {
		if (x->subscribed[member][i] == topic)
			return true;
	}
	return false;
}

static int owner(const struct fixture *x, uint32_t topic, int32_t partition)
{
	int found = -1;
	for (uint32_t m = 0; m < x->member_count; m++) {
		if (!partition_set__has(&x->targets[m], &(struct partition_id){x->topics[topic].id, partition}))
			continue;
		assert_int_equal(found, -1); /* nobody shares a partition */
		found = (int)m;
	}
	return found;
}

/* Assign, and see that each partition has one owner, who subscribes to it, if anybody does. Returns how many moved from one member
 * that is still there to another. */
static uint32_t assign(struct fixture *x, const struct assignor *assignor)
{
	struct assign_input in = {x->topics, x->topic_count, x->members, x->member_count};
	uint32_t owned = 0, moved = 0, assigned = 0;
	assert_int_equal(assignor->assign(&in), SM_OK);
	for (uint32_t m = 0; m < x->member_count; m++) {
		struct partition_set lost;
		assert_int_equal(partition_set__make(&x->targets[m], SET_WITHOUT, &x->members[m].after, &lost), SM_OK);
		moved += lost.count;
		partition_set__done(&lost);
		partition_set__move(&x->targets[m], &x->members[m].after);
		assigned += x->targets[m].count;
	}
	for (uint32_t t = 0; t < x->topic_count; t++) {
		bool wanted = false;
		for (uint32_t m = 0; m < x->member_count; m++)
			wanted |= subscribes(x, m, t);
		for (int32_t i = 0; i < x->topics[t].partitions; i++) {
			int m = owner(x, t, i);
			assert_int_equal(m >= 0, wanted);
			assert_true(m < 0 || subscribes(x, (uint32_t)m, t));
			owned += m >= 0;
		}
	}
	assert_int_equal(owned, assigned); /* and nothing that does not exist */
	return moved;
}

static uint32_t spread(const struct fixture *x)
{
	uint32_t least = UINT32_MAX, most = 0;
	for (uint32_t m = 0; m < x->member_count; m++) {
		least = x->targets[m].count < least ? x->targets[m].count : least;
		most = x->targets[m].count > most ? x->targets[m].count : most;
	}
	return most - least;
}

static void uniform_is_even_and_moves_no_more_than_it_must(void **state)
{
	struct fixture *x = group(2, 1);
	x->topics[0].partitions = 7;
	x->topics[1].partitions = 5;
	for (uint32_t m = 0; m < MEMBERS; m++)
		subscribe(x, m, 3);
	assert_int_equal(assign(x, &assignor__uniform), 0);
	for (uint32_t members = 2; members <= MEMBERS; members++) {
		x->member_count = members;
		/* who comes gets 12 / members, rounded down, and nothing else moves */
		assert_int_equal(assign(x, &assignor__uniform), 12 / members);
		assert_in_range(spread(x), 0, 1);
	}
	assert_int_equal(assign(x, &assignor__uniform), 0);
	for (uint32_t members = MEMBERS - 1; members; members--) {
		partition_set__done(&x->targets[members]);
		x->member_count = members;
		assert_int_equal(assign(x, &assignor__uniform), 0); /* only what was left is given out */
		assert_in_range(spread(x), 0, 1);
	}
	x->topics[0].partitions = 2; /* the topic was made anew, smaller */
	assign(x, &assignor__uniform);
	assert_int_equal(x->targets[0].count, 7);
	group_free(x);
}

static void uniform_fills_first_who_can_take_little_else(void **state)
{
	struct fixture *x = group(2, 2);
	x->topics[0].partitions = 4;
	x->topics[1].partitions = 4;
	subscribe(x, 0, 1);
	subscribe(x, 1, 3);
	assign(x, &assignor__uniform);
	assert_int_equal(x->targets[0].count, 4);
	assert_int_equal(x->targets[1].count, 4);
	assert_int_equal(owner(x, 0, 3), 0);
	group_free(x);
}

/* No partition could move to a subscriber that has two fewer. */
static void check_balance(const struct fixture *x)
{
	for (uint32_t t = 0; t < x->topic_count; t++) {
		for (int32_t i = 0; i < x->topics[t].partitions; i++) {
			int has = owner(x, t, i);
			for (uint32_t m = 0; m < x->member_count; m++) {
				if (subscribes(x, m, t))
					assert_true(x->targets[has].count <= x->targets[m].count + 1);
			}
		}
	}
}

static void assignments_hold_over_random_changes(void **state)
{
	srand(7);
	for (int round = 0; round < 300; round++) {
		const struct assignor *assignor = round % 3 ? &assignor__uniform : &assignor__range;
		struct fixture *x = group(1 + (uint32_t)rand() % TOPICS, 1);
		for (int step = 0; step < 10; step++) {
			uint32_t members = 1 + (uint32_t)rand() % MEMBERS;
			for (uint32_t m = members; m < x->member_count; m++)
				partition_set__done(&x->targets[m]);
			x->member_count = members;
			for (uint32_t t = 0; t < x->topic_count; t++)
				x->topics[t].partitions = 1 + rand() % 12;
			for (uint32_t m = 0; m < members; m++)
				subscribe(x, m, rand() % 4 ? 31 : (unsigned)rand());
			assign(x, assignor);
			if (assignor == &assignor__uniform)
				check_balance(x);
		}
		group_free(x);
	}
}

static void range_cuts_topics_alike_and_static_members_come_first(void **state)
{
	struct fixture *x = group(2, 3);
	x->topics[0].partitions = x->topics[1].partitions = 7;
	for (uint32_t m = 0; m < 3; m++)
		subscribe(x, m, 3);
	x->members[2].instance = "a";
	assign(x, &assignor__range);
	static const int want[7] = {2, 2, 2, 0, 0, 1, 1};
	for (uint32_t t = 0; t < 2; t++) {
		for (int32_t i = 0; i < 7; i++)
			assert_int_equal(owner(x, t, i), want[i]);
	}
	subscribe(x, 0, 2);
	x->topics[0].partitions = 1; /* fewer than members: the others get none of it */
	assign(x, &assignor__range);
	assert_int_equal(owner(x, 0, 0), 2);
	assert_int_equal(x->targets[1].count, 2);
	group_free(x);
}

static void nothing_is_assigned_where_nothing_is_subscribed(void **state)
{
	struct fixture *x = group(1, 2);
	x->topics[0].partitions = 3;
	assign(x, &assignor__uniform);
	assign(x, &assignor__range);
	struct assign_input nobody = {x->topics, 1, x->members, 0}, no_topic = {NULL, 0, x->members, 2};
	assert_int_equal(assignor__uniform.assign(&nobody), SM_OK);
	assert_int_equal(assignor__range.assign(&nobody), SM_OK);
	assert_int_equal(assignor__uniform.assign(&no_topic), SM_OK);
	assert_int_equal(assignor__range.assign(&no_topic), SM_OK);
	assert_ptr_equal(assignor__find(BYTES("range")), &assignor__range);
	assert_null(assignor__find(BYTES("sticky")));
	group_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uniform_is_even_and_moves_no_more_than_it_must),
		cmocka_unit_test(uniform_fills_first_who_can_take_little_else),
		cmocka_unit_test(assignments_hold_over_random_changes),
		cmocka_unit_test(range_cuts_topics_alike_and_static_members_come_first),
		cmocka_unit_test(nothing_is_assigned_where_nothing_is_subscribed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
