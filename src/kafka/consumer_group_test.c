/* Consumer groups of the new protocol: the state machine by itself, with time and topics of the test's own, then over sockets. */
#include "kafka/consumer_group.h"
#include "kafka/testing.h"
#include <stdio.h>

/* ---- the state machine ---- */

enum { TOPICS_MAX = 4, CLIENTS = 6, PARTITIONS_MAX = 9 };
struct world {
	struct consumer_group *g;
	struct log_topic topics[TOPICS_MAX];
	struct log_topics pictures[2]; /* another one whenever a topic changes */
	int picture;
	uint64_t now_ms;
	struct arena arena;
};

static int world_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	w->g = consumer_group__new();
	w->now_ms = 1;
	arena_init(&w->arena, 0);
	*state = w;
	return 0;
}

static int world_down(void **state)
{
	struct world *w = *state;
	consumer_group__free(w->g);
	arena_done(&w->arena);
	free(w);
	return 0;
}

/* Make the topic, or change its partitions; 0: it is gone. Names in their order. */
static void topic_is(struct world *w, const char *name, int32_t partitions)
{
	uint32_t count = w->pictures[w->picture].count, at = 0;
	while (at < count && strcmp(w->topics[at].name, name) != 0)
		at++;
	if (at == count)
		w->topics[count++] = (struct log_topic){.name = name, .id.bytes = {(uint8_t)(100 - count)}};
	w->topics[at].partitions = partitions;
	if (!partitions)
		memmove(&w->topics[at], &w->topics[at + 1], (--count - at) * sizeof *w->topics);
	w->picture = !w->picture;
	w->pictures[w->picture] = (struct log_topics){w->topics, count};
}

/* A client, with what it owns by what it was told. */
struct client {
	const char *id, *instance, *regex, *assignor;
	const char *names[3];
	int32_t epoch, timeout_ms;
	struct kafka_topic_id_partitions owned[TOPICS_MAX];
	int32_t owned_count;
	int16_t error;
	const char *text;
	bool told;
};

static void take_assignment(struct world *w, struct client *c, const struct partition_set *set)
{
	c->owned_count = 0;
	for (uint32_t i = 0; i < set->count; i++) {
		bool next = i == 0 || memcmp(&set->items[i].topic, &set->items[i - 1].topic, sizeof(struct uuid)) != 0;
		if (next)
			c->owned[c->owned_count++] = (struct kafka_topic_id_partitions){
				set->items[i].topic, arena_alloc(&w->arena, PARTITIONS_MAX * sizeof(int32_t)), 0};
		struct kafka_topic_id_partitions *topic = &c->owned[c->owned_count - 1];
		topic->partitions[topic->partitions_count++] = set->items[i].partition;
	}
}

static int32_t owned(const struct client *c)
{
	int32_t n = 0;
	for (int32_t i = 0; i < c->owned_count; i++)
		n += c->owned[i].partitions_count;
	return n;
}

static void send_heartbeat(struct world *w, struct client *c, struct kafka_consumer_group_heartbeat_request *q)
{
	struct consumer_answer a;
	struct consumer_call call = {
		.q = q, .client_id = BYTES("client"), .client_host = "/host", .now_ns = w->now_ms * 1000000, .arena = &w->arena};
	q->group_id = BYTES("g");
	q->member_id = bytes_str(c->id);
	q->member_epoch = c->epoch;
	q->instance_id = kafka__text(c->instance);
	consumer_group__see(w->g, &w->pictures[w->picture]);
	consumer_group__heartbeat(w->g, &call, &a);
	c->error = a.error;
	c->text = a.text;
	c->told = a.member && a.assignment;
	assert_int_equal(a.error != 0, a.text != NULL);
	if (!a.member)
		return;
	c->epoch = a.member->epoch;
	if (a.assignment)
		take_assignment(w, c, &a.member->assigned);
}

/* Nothing new to say. */
static void beat(struct world *w, struct client *c)
{
	send_heartbeat(w, c,
		       &(struct kafka_consumer_group_heartbeat_request){
			       .rebalance_timeout_ms = -1, .subscribed_topic_names_count = -1, .topic_partitions_count = -1});
}

/* What it owns now: the revocation of the rest is done. */
static void confirm(struct world *w, struct client *c)
{
	send_heartbeat(w, c,
		       &(struct kafka_consumer_group_heartbeat_request){.rebalance_timeout_ms = -1,
									.subscribed_topic_names_count = -1,
									.topic_partitions = c->owned,
									.topic_partitions_count = c->owned_count});
}

static void subscribe(struct world *w, struct client *c)
{
	struct bytes names[3];
	struct kafka_consumer_group_heartbeat_request q = {
		.rebalance_timeout_ms = c->timeout_ms ? c->timeout_ms : 60000,
		.subscribed_topic_names = names,
		.subscribed_topic_regex = kafka__text(c->regex),
		.server_assignor = kafka__text(c->assignor),
		.topic_partitions = c->owned,
		.topic_partitions_count = c->owned_count,
	};
	while (q.subscribed_topic_names_count < 3 && c->names[q.subscribed_topic_names_count]) {
		names[q.subscribed_topic_names_count] = bytes_str(c->names[q.subscribed_topic_names_count]);
		q.subscribed_topic_names_count++;
	}
	send_heartbeat(w, c, &q);
}

static void join(struct world *w, struct client *c)
{
	c->epoch = c->owned_count = 0;
	subscribe(w, c);
}

static void leave(struct world *w, struct client *c, int32_t epoch)
{
	c->epoch = epoch;
	beat(w, c);
}

static void a_partition_passes_on_only_when_its_owner_has_let_go(void **state)
{
	struct world *w = *state;
	struct client a = {.id = "a", .names = {"t"}}, b = {.id = "b", .names = {"t"}};
	topic_is(w, "t", 4);
	join(w, &a);
	assert_int_equal(a.epoch, 1);
	assert_int_equal(owned(&a), 4);
	assert_string_equal(consumer_group__state(w->g), "Stable");
	beat(w, &a);
	assert_false(a.told);
	join(w, &b);
	assert_int_equal(b.epoch, 2);
	assert_int_equal(owned(&b), 0);
	assert_string_equal(consumer_group__state(w->g), "Reconciling");
	struct client before = a;
	beat(w, &a);
	assert_true(a.told);
	assert_int_equal(owned(&a), 2);
	assert_int_equal(a.epoch, 1); /* until it has let go */
	beat(w, &b);
	assert_int_equal(owned(&b), 0);
	before.epoch = 1;
	confirm(w, &before); /* it still owns all four */
	assert_int_equal(before.epoch, 1);
	beat(w, &b);
	assert_int_equal(owned(&b), 0);
	confirm(w, &a);
	assert_int_equal(a.epoch, 2);
	beat(w, &b);
	assert_int_equal(owned(&b), 2);
	assert_string_equal(consumer_group__state(w->g), "Stable");
}

static void who_does_not_give_back_in_time_is_out(void **state)
{
	struct world *w = *state;
	struct client a = {.id = "a", .names = {"t"}, .timeout_ms = 1000}, b = {.id = "b", .names = {"t"}};
	topic_is(w, "t", 2);
	join(w, &a);
	join(w, &b);
	beat(w, &a);
	w->now_ms += 999;
	beat(w, &a); /* it lives, but gives nothing back */
	assert_false(consumer_group__expire(w->g, w->now_ms * 1000000));
	assert_int_equal(consumer_group__deadline(w->g), (w->now_ms + 1) * 1000000);
	w->now_ms += 1;
	assert_true(consumer_group__expire(w->g, w->now_ms * 1000000));
	beat(w, &a);
	assert_int_equal(a.error, KAFKA_UNKNOWN_MEMBER_ID);
	beat(w, &b);
	assert_int_equal(b.epoch, 3);
	assert_int_equal(owned(&b), 2);
	/* who has let go in time is not */
	join(w, &a);
	beat(w, &b);
	confirm(w, &b);
	beat(w, &a);
	w->now_ms += 44000;
	assert_false(consumer_group__expire(w->g, w->now_ms * 1000000));
}

static void who_is_silent_for_a_session_is_out(void **state)
{
	struct world *w = *state;
	struct client a = {.id = "a", .names = {"t"}}, b = {.id = "b", .names = {"t"}};
	topic_is(w, "t", 2);
	join(w, &a);
	join(w, &b);
	beat(w, &a);
	confirm(w, &a);
	w->now_ms += KAFKA_CONSUMER_SESSION_MS - 1;
	beat(w, &b);
	assert_false(consumer_group__expire(w->g, w->now_ms * 1000000));
	w->now_ms += 1;
	assert_true(consumer_group__expire(w->g, w->now_ms * 1000000));
	assert_int_equal(w->g->member_count, 1);
	beat(w, &b);
	assert_int_equal(owned(&b), 2);
	leave(w, &b, -1);
	assert_int_equal(b.error, 0);
	assert_string_equal(consumer_group__state(w->g), "Empty");
	assert_int_equal(consumer_group__deadline(w->g), 0);
}

static void epochs_fence(void **state)
{
	struct world *w = *state;
	struct client a = {.id = "a", .names = {"t"}}, b = {.id = "b", .names = {"t"}};
	topic_is(w, "t", 4);
	join(w, &a);
	join(w, &b);
	beat(w, &a);
	confirm(w, &a);
	assert_int_equal(a.epoch, 2);
	a.epoch = 3;
	beat(w, &a);
	assert_int_equal(a.error, KAFKA_FENCED_MEMBER_EPOCH);
	a.epoch = 1; /* the answer that told 2 was lost: it says again what it owns */
	confirm(w, &a);
	assert_int_equal(a.error, 0);
	assert_int_equal(a.epoch, 2);
	a.epoch = 1;
	beat(w, &a);
	assert_int_equal(a.error, KAFKA_FENCED_MEMBER_EPOCH);
	a.epoch = 1;
	a.owned[0].partitions_count = 2;
	a.owned[0].partitions[0] = 7; /* what it never was given */
	confirm(w, &a);
	assert_int_equal(a.error, KAFKA_FENCED_MEMBER_EPOCH);
	int32_t *many = calloc(KAFKA_CONSUMER_OWNED_MAX + 1, sizeof *many);
	a.epoch = 2;
	a.owned[0].partitions = many;
	a.owned[0].partitions_count = KAFKA_CONSUMER_OWNED_MAX + 1;
	confirm(w, &a);
	assert_int_equal(a.error, KAFKA_INVALID_REQUEST);
	free(many);
	assert_int_equal(consumer_group__check_epoch(w->g, BYTES("a"), 2), 0);
	assert_int_equal(consumer_group__check_epoch(w->g, BYTES("a"), 1), KAFKA_STALE_MEMBER_EPOCH);
	assert_int_equal(consumer_group__check_epoch(w->g, BYTES("c"), 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void a_static_member_that_is_away_keeps_its_partitions(void **state)
{
	struct world *w = *state;
	struct client a = {.id = "a", .instance = "i", .names = {"t"}}, b = {.id = "b", .names = {"t"}};
	topic_is(w, "t", 4);
	join(w, &a);
	join(w, &b);
	beat(w, &a);
	confirm(w, &a);
	beat(w, &b);
	struct client twin = {.id = "a2", .instance = "i", .names = {"t"}}, other = {.id = "x", .instance = "j", .epoch = 1};
	join(w, &twin);
	assert_int_equal(twin.error, KAFKA_UNRELEASED_INSTANCE_ID);
	twin.epoch = 2;
	beat(w, &twin);
	assert_int_equal(twin.error, KAFKA_FENCED_INSTANCE_ID);
	beat(w, &other);
	assert_int_equal(other.error, KAFKA_UNKNOWN_MEMBER_ID);
	leave(w, &a, -2);
	assert_int_equal(a.error, 0);
	beat(w, &b);
	assert_int_equal(owned(&b), 2);
	join(w, &twin);
	assert_int_equal(twin.error, 0);
	assert_int_equal(twin.epoch, 2); /* nothing has moved */
	assert_int_equal(owned(&twin), 2);
	assert_int_equal(w->g->member_count, 2);
	beat(w, &a);
	assert_int_equal(a.error, KAFKA_FENCED_INSTANCE_ID);
	leave(w, &twin, -2);
	w->now_ms += KAFKA_CONSUMER_SESSION_MS;
	beat(w, &b);
	assert_true(consumer_group__expire(w->g, w->now_ms * 1000000)); /* it did not come back in time */
	beat(w, &b);
	assert_int_equal(owned(&b), 4);
}

static void what_is_subscribed_is_followed(void **state)
{
	struct world *w = *state;
	struct client a = {.id = "a", .names = {"new", "t"}}, b = {.id = "b", .regex = "[np].*", .names = {NULL}};
	topic_is(w, "p", 1);
	topic_is(w, "t", 2);
	join(w, &a);
	join(w, &b);
	assert_int_equal(owned(&a), 2);
	assert_int_equal(owned(&b), 1);
	topic_is(w, "t", 3);
	beat(w, &a);
	assert_int_equal(a.epoch, 3);
	assert_int_equal(owned(&a), 3);
	topic_is(w, "unrelated", 5);
	beat(w, &a);
	assert_int_equal(a.epoch, 3);
	topic_is(w, "t", 0);
	beat(w, &a);
	confirm(w, &a);
	assert_int_equal(owned(&a), 0);
	b.regex = "nothing";
	subscribe(w, &b);
	confirm(w, &b);
	assert_int_equal(owned(&b), 0);
	b.regex = "";
	b.names[0] = "p";
	subscribe(w, &b);
	assert_int_equal(owned(&b), 1);
	assert_null(w->g->patterns);
	struct client bad = {.id = "c", .regex = "(", .names = {NULL}};
	int32_t epoch = w->g->epoch;
	join(w, &bad);
	assert_int_equal(bad.error, KAFKA_INVALID_REGULAR_EXPRESSION);
	assert_string_equal(bad.text, "SubscribedTopicRegex `(` is not a valid regular expression: missing closing ).");
	assert_int_equal(w->g->member_count, 2);
	assert_int_equal(w->g->epoch, epoch);
	assert_null(w->g->patterns);
}

static void the_assignor_that_most_ask_for_is_taken(void **state)
{
	struct world *w = *state;
	struct client a = {.id = "a", .names = {"t"}, .assignor = "range"}, b = {.id = "b", .names = {"t"}};
	topic_is(w, "t", 3);
	join(w, &a);
	join(w, &b);
	assert_ptr_equal(consumer_group__assignor(w->g), &assignor__range);
	b.assignor = "uniform";
	subscribe(w, &b);
	assert_ptr_equal(consumer_group__assignor(w->g), &assignor__uniform);
}

/* ---- many clients, in any order ---- */

static bool has(const struct client *c, const struct log_topic *topic, int32_t partition)
{
	for (int32_t i = 0; i < c->owned_count; i++) {
		for (int32_t k = 0; k < c->owned[i].partitions_count; k++) {
			if (memcmp(&c->owned[i].topic_id, &topic->id, sizeof topic->id) == 0 && c->owned[i].partitions[k] == partition)
				return true;
		}
	}
	return false;
}

/* No partition in two hands: what a client was told, until it has confirmed less, counts as its own. */
static int32_t check_owners(const struct world *w, const struct client *clients, const struct client *held)
{
	int32_t sum = 0;
	for (uint32_t t = 0; t < w->pictures[w->picture].count; t++) {
		for (int32_t p = 0; p < w->topics[t].partitions; p++) {
			int owners = 0;
			for (int c = 0; c < CLIENTS; c++)
				owners += clients[c].id && (has(&clients[c], &w->topics[t], p) || has(&held[c], &w->topics[t], p));
			assert_in_range(owners, 0, 1);
			sum += owners;
		}
	}
	return sum;
}

/* held: what the client works on. It lets go at once or later; each word to the coordinator tells what it holds then. */
static void act(struct world *w, struct client *c, struct client *held)
{
	if (rand() % 3 == 0)
		*held = *c;
	int32_t count = c->owned_count;
	struct kafka_topic_id_partitions told[TOPICS_MAX];
	memcpy(told, c->owned, sizeof told);
	memcpy(c->owned, held->owned, sizeof told);
	c->owned_count = held->owned_count;
	confirm(w, c);
	if (c->error) {
		c->id = NULL; /* it is out, and abandons all */
		held->owned_count = 0;
		return;
	}
	if (!c->told) {
		memcpy(c->owned, told, sizeof told);
		c->owned_count = count;
	}
	/* what is new may be worked on at once; what is taken away is held for a while */
	bool less = owned(held) > owned(c);
	if (!less)
		*held = *c;
}

static void random_groups_never_share_a_partition_and_come_to_rest(void **state)
{
	struct world *w = *state;
	static const char *const ids[CLIENTS] = {"a", "b", "c", "d", "e", "f"};
	struct client clients[CLIENTS] = {0}, held[CLIENTS] = {0};
	srand(11);
	topic_is(w, "t", 5);
	topic_is(w, "u", 3);
	for (int step = 0; step < 4000; step++) {
		int i = rand() % CLIENTS;
		int what = rand() % 40;
		w->now_ms += 10;
		if (!clients[i].id) {
			clients[i] = (struct client){.id = ids[i], .names = {"t", rand() % 2 ? "u" : NULL}, .timeout_ms = 100000};
			join(w, &clients[i]);
			held[i] = clients[i];
		} else if (what == 0) {
			leave(w, &clients[i], -1);
			clients[i].id = NULL;
			clients[i].owned_count = held[i].owned_count = 0;
		} else if (what == 1) {
			topic_is(w, rand() % 2 ? "t" : "u", 1 + rand() % PARTITIONS_MAX);
		} else {
			act(w, &clients[i], &held[i]);
		}
		check_owners(w, clients, held);
	}
	topic_is(w, "t", 8);
	topic_is(w, "u", 4);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < CLIENTS; i++) {
			if (!clients[i].id) {
				clients[i] = (struct client){.id = ids[i], .names = {"t", "u"}};
				join(w, &clients[i]);
			}
			held[i] = clients[i];
			clients[i].names[1] = "u";
			if (round == 0)
				subscribe(w, &clients[i]);
			else
				confirm(w, &clients[i]);
			assert_int_equal(clients[i].error, 0);
			held[i] = clients[i];
		}
	}
	assert_string_equal(consumer_group__state(w->g), "Stable");
	assert_int_equal(check_owners(w, clients, held), 12);
}

static void fields_that_do_not_fit_are_refused(void **state)
{
	struct world *w = *state;
	struct kafka_consumer_group_heartbeat_request good = {.group_id = BYTES("g"), .member_id = BYTES("m"), .rebalance_timeout_ms = 5},
						      q;
	const char *text;
#define REFUSED(error, ...)                                                                        \
	do {                                                                                       \
		q = good;                                                                          \
		__VA_ARGS__;                                                                       \
		assert_int_equal(consumer_group__check_heartbeat(&q, 1, &w->arena, &text), error); \
		assert_int_equal(error != 0, text != NULL);                                        \
	} while (0)
	REFUSED(KAFKA_NONE, (void)0);
	REFUSED(KAFKA_INVALID_REQUEST, q.member_id = BYTES(""));
	REFUSED(KAFKA_INVALID_REQUEST, q.member_id = BYTES("a\0b"));
	REFUSED(KAFKA_INVALID_REQUEST, q.group_id = BYTES("  "));
	REFUSED(KAFKA_INVALID_REQUEST, q.instance_id = BYTES(""));
	REFUSED(KAFKA_INVALID_REQUEST, q.rack_id = BYTES(""));
	REFUSED(KAFKA_INVALID_REQUEST, q.rebalance_timeout_ms = -1);
	REFUSED(KAFKA_INVALID_REQUEST, q.topic_partitions_count = -1);
	REFUSED(KAFKA_INVALID_REQUEST, q.subscribed_topic_names_count = -1);
	REFUSED(KAFKA_INVALID_REQUEST, q.member_epoch = -2);
	REFUSED(KAFKA_INVALID_REQUEST, q.member_epoch = -3);
	REFUSED(KAFKA_UNSUPPORTED_ASSIGNOR, q.server_assignor = BYTES("sticky"));
	REFUSED(KAFKA_NONE, q.server_assignor = BYTES("range"));
	good.member_id = BYTES("");
	q = good;
	assert_int_equal(consumer_group__check_heartbeat(&q, 0, &w->arena, &text), 0); /* version 0: the server names it */
	q.member_epoch = 3;
	assert_int_equal(consumer_group__check_heartbeat(&q, 0, &w->arena, &text), KAFKA_INVALID_REQUEST);
}

/* ---- over sockets ---- */

static struct kafka_consumer_group_heartbeat_response *heartbeat(struct fixture *x, int fd, const char *member, int32_t epoch,
								 const char *regex)
{
	static struct bytes topic;
	struct kafka_consumer_group_heartbeat_request *q = BODY(x, consumer_group_heartbeat_request);
	topic = BYTES("t");
	q->group_id = BYTES("g");
	q->member_id = bytes_str(member);
	q->member_epoch = epoch;
	q->subscribed_topic_names_count = q->topic_partitions_count = -1;
	if (epoch == 0) {
		q->rebalance_timeout_ms = 60000;
		q->topic_partitions_count = 0;
		q->subscribed_topic_names = &topic;
		q->subscribed_topic_names_count = regex ? -1 : 1;
		q->subscribed_topic_regex = kafka__text(regex);
	}
	return call(x, fd, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, q);
}

static struct kafka_described_consumer_group describe(struct fixture *x, int fd)
{
	struct bytes name = BYTES("g");
	struct kafka_consumer_group_describe_request *q = BODY(x, consumer_group_describe_request);
	q->group_ids = &name;
	q->group_ids_count = 1;
	return ((struct kafka_consumer_group_describe_response *)call(x, fd, KAFKA_CONSUMER_GROUP_DESCRIBE, 1, q))->groups[0];
}

static struct kafka_listed_group listed(struct fixture *x, int fd, const char *type)
{
	struct bytes filter = bytes_str(type);
	struct kafka_list_groups_request *q = BODY(x, list_groups_request);
	q->types_filter = &filter;
	q->types_filter_count = 1;
	struct kafka_list_groups_response *a = call(x, fd, KAFKA_LIST_GROUPS, 5, q);
	return a->groups_count ? a->groups[0] : (struct kafka_listed_group){0};
}

static int16_t join_classic(struct fixture *x, int fd)
{
	struct kafka_join_group_request *q = BODY(x, join_group_request);
	q->group_id = BYTES("g");
	q->session_timeout_ms = q->rebalance_timeout_ms = 10000;
	q->protocol_type = BYTES("consumer");
	q->protocols = BODY(x, join_protocol);
	q->protocols_count = 1;
	q->protocols->name = BYTES("range");
	return ((struct kafka_join_group_response *)call(x, fd, KAFKA_JOIN_GROUP, 3, q))->error_code;
}

static int16_t commit(struct fixture *x, int fd, int16_t version, const char *member, int32_t epoch)
{
	struct kafka_offset_commit_request *q = BODY(x, offset_commit_request);
	q->group_id = BYTES("g");
	q->generation_id = epoch;
	q->member_id = bytes_str(member);
	q->topics = BODY(x, offset_commit_topic);
	q->topics_count = 1;
	q->topics->name = BYTES("t");
	q->topics->partitions = BODY(x, offset_commit_partition);
	q->topics->partitions_count = 1;
	q->topics->partitions->committed_offset = 5;
	return ((struct kafka_offset_commit_response *)call(x, fd, KAFKA_OFFSET_COMMIT, version, q))->topics[0].partitions[0].error_code;
}

/* The error of a group's offsets, or the offset. */
static int64_t fetch(struct fixture *x, int fd, const char *member, int32_t epoch)
{
	int32_t zero = 0;
	struct kafka_offset_fetch_topic topic = {.name = BYTES("t"), .partition_indexes = &zero, .partition_indexes_count = 1};
	struct kafka_offset_fetch_request *q = BODY(x, offset_fetch_request);
	struct kafka_offset_fetch_group group = {BYTES("g"), kafka__text(member), epoch, &topic, 1};
	q->groups = &group;
	q->groups_count = 1;
	struct kafka_offset_fetch_response *a = call(x, fd, KAFKA_OFFSET_FETCH, 9, q);
	return a->groups[0].error_code ? a->groups[0].error_code : a->groups[0].topics[0].partitions[0].committed_offset;
}

static int16_t delete_group(struct fixture *x, int fd)
{
	struct bytes name = BYTES("g");
	struct kafka_delete_groups_request *q = BODY(x, delete_groups_request);
	q->group_names = &name;
	q->group_names_count = 1;
	return ((struct kafka_delete_groups_response *)call(x, fd, KAFKA_DELETE_GROUPS, 2, q))->results[0].error_code;
}

static void a_group_is_of_one_protocol_until_it_is_empty(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 2);
	assert_int_equal(heartbeat(x, fd, "m", 3, NULL)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(heartbeat(x, fd, "m", -1, NULL)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(heartbeat(x, fd, "m", 0, "(")->error_code, KAFKA_INVALID_REGULAR_EXPRESSION);
	while (listed(x, fd, "classic").group_id.data) /* the refused member's group goes */
		usleep(1000);
	struct kafka_consumer_group_heartbeat_response *a = heartbeat(x, fd, "m", 0, NULL);
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->member_epoch, 1);
	assert_int_equal(a->heartbeat_interval_ms, 5000);
	assert_int_equal(a->assignment->topic_partitions_count, 1);
	assert_int_equal(a->assignment->topic_partitions[0].partitions_count, 2);
	assert_true(bytes_equal(listed(x, fd, "Consumer").group_state, BYTES("Stable")));
	assert_null(listed(x, fd, "classic").group_id.data);
	assert_int_equal(join_classic(x, fd), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	assert_int_equal(delete_group(x, fd), KAFKA_NON_EMPTY_GROUP);
	assert_int_equal(heartbeat(x, fd, "m", -1, NULL)->error_code, 0);
	assert_true(bytes_equal(listed(x, fd, "consumer").group_state, BYTES("Empty")));
	assert_int_equal(join_classic(x, fd), 0);
	assert_true(bytes_equal(listed(x, fd, "classic").group_id, BYTES("g")));
	assert_int_equal(heartbeat(x, fd, "m", 0, NULL)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(heartbeat(x, fd, "m", 1, NULL)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(describe(x, fd).error_code, KAFKA_GROUP_ID_NOT_FOUND);
	close(fd);
}

static void consumer_groups_are_described_and_deleted(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 2);
	assert_int_equal(describe(x, fd).error_code, KAFKA_GROUP_ID_NOT_FOUND);
	heartbeat(x, fd, "m", 0, NULL);
	heartbeat(x, fd, "n", 0, "t|u");
	struct kafka_described_consumer_group d = describe(x, fd);
	assert_int_equal(d.error_code, 0);
	assert_true(bytes_equal(d.group_state, BYTES("Reconciling")));
	assert_true(bytes_equal(d.assignor_name, BYTES("uniform")));
	assert_int_equal(d.group_epoch, 2);
	assert_int_equal(d.members_count, 2);
	assert_true(bytes_equal(d.members[0].subscribed_topic_names[0], BYTES("t")));
	assert_true(bytes_equal(d.members[1].subscribed_topic_regex, BYTES("t|u")));
	assert_int_equal(d.members[0].assignment->topic_partitions[0].partitions_count, 2);
	assert_int_equal(d.members[0].target_assignment->topic_partitions[0].partitions_count, 1);
	assert_true(bytes_equal(d.members[1].target_assignment->topic_partitions[0].topic_name, BYTES("t")));
	assert_int_equal(d.members[1].assignment->topic_partitions_count, 0);
	assert_int_equal(d.members[1].member_type, 1);
	heartbeat(x, fd, "m", -1, NULL);
	heartbeat(x, fd, "n", -1, NULL);
	assert_int_equal(delete_group(x, fd), 0);
	close(fd);
}

static void offsets_are_committed_by_members_at_their_epoch(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 2);
	assert_int_equal(commit(x, fd, 9, "m", 1), KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(commit(x, fd, 8, "m", 1), KAFKA_ILLEGAL_GENERATION);
	heartbeat(x, fd, "m", 0, NULL);
	assert_int_equal(commit(x, fd, 9, "m", 1), 0);
	assert_int_equal(commit(x, fd, 9, "m", 2), KAFKA_STALE_MEMBER_EPOCH);
	assert_int_equal(commit(x, fd, 8, "m", 1), KAFKA_UNSUPPORTED_VERSION);
	assert_int_equal(commit(x, fd, 9, "n", 1), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(commit(x, fd, 9, "", -1), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(fetch(x, fd, "m", 1), 5);
	assert_int_equal(fetch(x, fd, NULL, -1), 5);
	assert_int_equal(fetch(x, fd, "m", 0), KAFKA_STALE_MEMBER_EPOCH);
	assert_int_equal(fetch(x, fd, "n", 1), KAFKA_UNKNOWN_MEMBER_ID);
	heartbeat(x, fd, "m", -1, NULL);
	assert_int_equal(commit(x, fd, 9, "", -1), 0);
	close(fd);
}

int main(void)
{
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)
#define SERVED(name) cmocka_unit_test_setup_teardown(name, fixture_up, fixture_down)
	const struct CMUnitTest tests[] = {
		PLAIN(a_partition_passes_on_only_when_its_owner_has_let_go),
		PLAIN(who_does_not_give_back_in_time_is_out),
		PLAIN(who_is_silent_for_a_session_is_out),
		PLAIN(epochs_fence),
		PLAIN(a_static_member_that_is_away_keeps_its_partitions),
		PLAIN(what_is_subscribed_is_followed),
		PLAIN(the_assignor_that_most_ask_for_is_taken),
		PLAIN(random_groups_never_share_a_partition_and_come_to_rest),
		PLAIN(fields_that_do_not_fit_are_refused),
		SERVED(a_group_is_of_one_protocol_until_it_is_empty),
		SERVED(consumer_groups_are_described_and_deleted),
		SERVED(offsets_are_committed_by_members_at_their_epoch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
