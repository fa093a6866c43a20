/* The event stream, the receptionist, routers. */
#include "actor/sim_testing.h"

static struct sm_msg *number_copy(const struct sm_msg *msg)
{
	struct sm_msg *copy = number_new(number_of(msg));
	copy->type = msg->type;
	return copy;
}
static const struct sm_msg_type event_type = {"event", number_done, number_copy}, other_type = {"other", number_done, number_copy};

static struct sm_msg *typed(const struct sm_msg_type *type, uint64_t number)
{
	struct sm_msg *msg = number_new(number);
	msg->type = type;
	return msg;
}

enum { SUBSCRIBE = 1, UNSUBSCRIBE, REGISTER, DEREGISTER, FAIL, STOP };

/* One that does what it is told and traces events. */
static enum sm_err told_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct trace *t = *(struct trace **)state;
	if (msg->type == &sm_msg_listing) {
		trace_add(t, ((struct sm_listing_msg *)msg)->count);
		return SM_OK;
	}
	if (msg->type != &number_type) {
		trace_add(t, number_of(msg));
		return SM_OK;
	}
	switch (number_of(msg)) {
	case SUBSCRIBE: return sm_subscribe(self, &event_type);
	case UNSUBSCRIBE: sm_unsubscribe(self, &event_type); return SM_OK;
	case REGISTER: return sm_register(self, "workers");
	case DEREGISTER: sm_deregister(self, "workers"); return SM_OK;
	default: return SM_FAILED;
	}
}
static struct sm_ref *told_spawn(struct sm_system *system, struct trace *t)
{
	struct sm_props props = trace_props(t);
	props.receive = told_receive;
	props.supervision = (struct sm_supervision){.restarts_max = 10};
	memset(t, 0, sizeof *t);
	return sim_spawn(system, &props);
}

static struct trace a, b;

SIM_TEST(what_is_published_comes_to_those_who_have_subscribed_to_its_type)
{
	struct sm_system *system = sim_new();
	struct sm_ref *first = told_spawn(system, &a), *second = told_spawn(system, &b);
	send_number(first, SUBSCRIBE);
	send_number(first, SUBSCRIBE); /* twice is once */
	send_number(second, SUBSCRIBE);
	sim_settle(system);
	assert_int_equal(sm_publish(system, typed(&event_type, 100)), SM_OK);
	assert_int_equal(sm_publish(system, typed(&other_type, 101)), SM_OK);
	assert_int_equal(sm_publish(system, typed(&event_type, 102)), SM_OK);
	send_number(second, FAIL); /* a restart does not matter */
	sim_settle(system);
	assert_int_equal(sm_publish(system, typed(&event_type, 103)), SM_OK);
	sim_settle(system);
	send_number(second, UNSUBSCRIBE);
	sm_stop(first);
	sim_settle(system);
	assert_int_equal(sm_publish(system, typed(&event_type, 104)), SM_OK);
	assert_int_equal(sm_publish(system, number_new(1)), SM_UNSUPPORTED);
	sim_settle(system);
	TRACE_IS(&a, 100, 102, 103);
	TRACE_IS(&b, 100, 102, 103);
	sm_unref(first);
	sm_unref(second);
	sim_end(system);
}

SIM_TEST(actors_are_found_under_their_key_until_they_end)
{
	struct sm_system *system = sim_new();
	struct sm_ref *first = told_spawn(system, &a), *second = told_spawn(system, &b), *found[2];
	assert_int_equal(sm_find(system, "workers", found, 2), 0);
	send_number(first, REGISTER);
	sim_settle(system);
	send_number(second, REGISTER);
	send_number(second, FAIL);
	sim_settle(system);
	assert_int_equal(sm_find(system, "workers", found, 1), 2);
	assert_ptr_equal(found[0], first);
	sm_unref(found[0]);
	send_number(second, DEREGISTER);
	sm_stop(first);
	sim_settle(system);
	assert_int_equal(sm_find(system, "workers", found, 2), 0);
	assert_int_equal(sm_find(system, "", found, 2), 0);
	sm_unref(first);
	sm_unref(second);
	sim_end(system);
}

static enum sm_err watcher_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	assert_int_equal(sm_subscribe_key(self, ""), SM_INVALID);
	return sm_subscribe_key(self, "workers");
}

SIM_TEST(who_listens_to_a_key_hears_the_last_state)
{
	struct sm_system *system = sim_new();
	struct sm_ref *first = told_spawn(system, &a), *second = told_spawn(system, &a);
	memset(&b, 0, sizeof b);
	struct sm_props props = trace_props(&b);
	props.init = watcher_init;
	props.receive = told_receive;
	struct sm_ref *watcher = sim_spawn(system, &props);
	sim_settle(system);
	TRACE_IS(&b, 0);
	send_number(first, REGISTER);
	send_number(second, REGISTER);
	sim_settle(system);
	assert_int_equal(b.seen[b.count - 1], 2);
	assert_in_range(b.count, 2, 3);
	sm_stop(first);
	sim_settle(system);
	assert_int_equal(b.seen[b.count - 1], 1);
	sm_stop(watcher);
	sm_stop(second);
	sim_settle(system);
	sm_unref(first);
	sm_unref(second);
	sm_unref(watcher);
	sim_end(system);
}

/* ---- routers ---- */

#define ROUTEES 4
static struct trace routees[ROUTEES];
static uint32_t routees_made;

static enum sm_err routee_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct trace **)state = &routees[routees_made++ % ROUTEES];
	return SM_OK;
}
static enum sm_err routee_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (number_of(msg) == 0)
		return SM_END;
	trace_add(*(struct trace **)state, number_of(msg));
	sm_reply(self, msg, number_new(number_of(msg) * 2));
	return SM_OK;
}
static uint64_t number_hash(const struct sm_msg *msg)
{
	return number_of(msg) % 10;
}
static struct sm_ref *router_spawn(struct sm_system *system, enum sm_routing routing)
{
	struct sm_props routee = {.name = "left out",
				  .state_size = sizeof(void *),
				  .init = routee_init,
				  .receive = routee_receive,
				  .dispatcher = SM_DISPATCHER_ANY};
	struct sm_router_props props = {.name = "router", .routing = routing, .hash = number_hash, .pool = &routee, .count = ROUTEES};
	struct sm_ref *ref;
	memset(routees, 0, sizeof routees);
	routees_made = 0;
	assert_int_equal(sm_spawn_router(system, NULL, &props, &ref), SM_OK);
	return ref;
}

SIM_TEST(a_round_robin_router_gives_each_routee_its_share_and_answers_come_straight_back)
{
	struct sm_system *system = sim_new();
	struct sm_ref *router = router_spawn(system, SM_ROUTE_ROUND_ROBIN);
	for (uint64_t n = 1; n <= 40; n++)
		send_number(router, n);
	sim_settle(system);
	for (int i = 0; i < ROUTEES; i++)
		assert_int_equal(routees[i].count, 10);
	struct sm_msg *answer;
	assert_int_equal(sm_ask_wait(system, router, number_new(21), 1000, &answer), SM_OK);
	assert_int_equal(number_of(answer), 42);
	sm_msg_free(answer);
	sm_unref(router);
	sim_end(system);
}

SIM_TEST(a_router_ends_with_its_last_routee)
{
	struct sm_system *system = sim_new();
	struct sm_ref *router = router_spawn(system, SM_ROUTE_ROUND_ROBIN);
	for (int i = 0; i < ROUTEES; i++) {
		send_number(router, 0);
		sim_settle(system);
	}
	struct sm_msg *msg = number_new(1);
	assert_int_equal(sm_send(router, msg), SM_GONE);
	sm_msg_free(msg);
	sm_unref(router);
	sim_end(system);
}

SIM_TEST(a_hash_router_sends_the_same_hash_to_the_same_routee)
{
	struct sm_system *system = sim_new();
	struct sm_ref *router = router_spawn(system, SM_ROUTE_CONSISTENT_HASH);
	for (uint64_t n = 10; n < 210; n++)
		send_number(router, n);
	sim_settle(system);
	int owner[10], total = 0;
	memset(owner, -1, sizeof owner);
	for (int i = 0; i < ROUTEES; i++) {
		for (uint32_t k = 0; k < routees[i].count; k++) {
			uint64_t hash = routees[i].seen[k] % 10;
			assert_true(owner[hash] == -1 || owner[hash] == i);
			owner[hash] = i;
			total++;
		}
	}
	assert_int_equal(total, 200);
	sm_unref(router);
	sim_end(system);
}

SIM_TEST(a_broadcast_router_sends_to_all)
{
	struct sm_system *system = sim_new();
	struct sm_ref *router = router_spawn(system, SM_ROUTE_BROADCAST);
	assert_int_equal(sm_send(router, typed(&event_type, 7)), SM_OK);
	send_number(router, 8); /* its type has no copy: a dead letter */
	sim_settle(system);
	for (int i = 0; i < ROUTEES; i++)
		TRACE_IS(&routees[i], 7);
	assert_int_equal(sm_dead_letters(system), 1);
	sm_unref(router);
	sim_end(system);
}

SIM_TEST(a_group_router_follows_the_receptionist)
{
	struct sm_system *system = sim_new();
	struct sm_router_props props = {.routing = SM_ROUTE_BROADCAST, .key = "workers"};
	struct sm_ref *router, *first = told_spawn(system, &a), *second = told_spawn(system, &b);
	assert_int_equal(sm_spawn_router(system, NULL, &props, &router), SM_OK);
	sim_settle(system);
	assert_int_equal(sm_send(router, typed(&event_type, 50)), SM_OK); /* nobody is there */
	sim_settle(system);
	assert_int_equal(sm_dead_letters(system), 1);
	send_number(first, REGISTER);
	send_number(second, REGISTER);
	sim_settle(system);
	assert_int_equal(sm_send(router, typed(&event_type, 51)), SM_OK);
	sim_settle(system);
	sm_stop(first);
	sim_settle(system);
	assert_int_equal(sm_send(router, typed(&event_type, 52)), SM_OK);
	sim_settle(system);
	TRACE_IS(&a, 51);
	TRACE_IS(&b, 51, 52);
	assert_int_equal(sm_spawn_router(system, NULL, &(struct sm_router_props){.key = NULL}, NULL), SM_INVALID);
	sm_unref(first);
	sm_unref(second);
	sm_unref(router);
	sim_end(system);
}

SIM_TEST(a_group_router_routes_what_was_sent_before_its_start)
{
	struct sm_system *system = sim_new();
	struct sm_router_props props = {.routing = SM_ROUTE_ROUND_ROBIN, .key = "workers"};
	struct sm_ref *router, *worker = told_spawn(system, &a);
	send_number(worker, REGISTER);
	sim_settle(system);
	assert_int_equal(sm_spawn_router(system, NULL, &props, &router), SM_OK);
	assert_int_equal(sm_send(router, typed(&event_type, 50)), SM_OK);
	sim_settle(system);
	TRACE_IS(&a, 50);
	assert_int_equal(sm_dead_letters(system), 0);
	sm_unref(worker);
	sm_unref(router);
	sim_end(system);
}

static enum sm_err doubling_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (number_of(msg) == REGISTER)
		return sm_register(self, "workers");
	if (number_of(msg) == FAIL)
		return SM_FAILED;
	sm_reply(self, msg, number_new(number_of(msg) * 2));
	return SM_OK;
}

/* The last routee waits for its restart, and its mailbox is full. */
SIM_TEST(who_asks_a_broadcast_router_hears_of_no_failure_if_somebody_answers)
{
	struct sm_system *system = sim_new();
	struct sm_router_props props = {.routing = SM_ROUTE_BROADCAST, .key = "workers"};
	struct sm_props ready = {.receive = doubling_receive, .dispatcher = SM_DISPATCHER_ANY}, full = ready;
	full.mailbox_max = 1;
	full.supervision = (struct sm_supervision){.restarts_max = 1, .backoff_min_ms = 100000};
	struct sm_ref *router, *refs[2] = {sim_spawn(system, &ready), sim_spawn(system, &full)};
	const uint64_t orders[][2] = {{0, REGISTER}, {1, REGISTER}, {1, FAIL}, {1, 7}};
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		sim_settle(system);
		send_number(refs[orders[i][0]], orders[i][1]);
	}
	assert_int_equal(sm_spawn_router(system, NULL, &props, &router), SM_OK);
	sim_settle(system);
	struct sm_msg *answer;
	assert_int_equal(sm_ask_wait(system, router, typed(&event_type, 21), 1000, &answer), SM_OK);
	assert_int_equal(number_of(answer), 42);
	assert_int_equal(sm_dead_letters(system), 1);
	sm_msg_free(answer);
	sm_unref(refs[0]);
	sm_unref(refs[1]);
	sm_unref(router);
	sim_end(system);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_published_comes_to_those_who_have_subscribed_to_its_type),
		cmocka_unit_test(actors_are_found_under_their_key_until_they_end),
		cmocka_unit_test(who_listens_to_a_key_hears_the_last_state),
		cmocka_unit_test(a_round_robin_router_gives_each_routee_its_share_and_answers_come_straight_back),
		cmocka_unit_test(a_router_ends_with_its_last_routee),
		cmocka_unit_test(a_hash_router_sends_the_same_hash_to_the_same_routee),
		cmocka_unit_test(a_broadcast_router_sends_to_all),
		cmocka_unit_test(a_group_router_follows_the_receptionist),
		cmocka_unit_test(a_group_router_routes_what_was_sent_before_its_start),
		cmocka_unit_test(who_asks_a_broadcast_router_hears_of_no_failure_if_somebody_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
