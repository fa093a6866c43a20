/* Asynchronous stages, sinks that are actors, restarts; and all of it on threads. */
#include "flow/testing.h"
#include <pthread.h>

static uint64_t ten = 10, hundred = 100, endless = UINT64_MAX;

static void has_one_to(const struct trace *trace, uint32_t n, uint64_t factor, bool ordered)
{
	uint64_t sum = 0;
	assert_int_equal(trace->count, n);
	for (uint32_t i = 0; i < n; i++) {
		sum += trace->seen[i];
		if (ordered)
			assert_int_equal(trace->seen[i], factor * (i + 1));
	}
	assert_int_equal(sum, factor * n * (n + 1) / 2);
}

/* ---- the pool ---- */

static atomic_int under_way, most_under_way;
static enum sm_err twice_counted(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	int now = atomic_fetch_add(&under_way, 1) + 1, most = atomic_load(&most_under_way);
	while (now > most && !atomic_compare_exchange_weak(&most_under_way, &most, now))
		;
	enum sm_err err = twice(NULL, element, ret_element, reterr);
	atomic_fetch_sub(&under_way, 1);
	return err;
}

SIM_TEST(the_pool_maps_in_order_or_as_it_comes)
{
	for (int ordered = 0; ordered < 2; ordered++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		struct trace trace;
		struct sm_flow *f = sm_flow_map_pool(count_to(&hundred), twice_counted, NULL, 4, ordered);
		struct sm_flow_run *run = run_flow(system, sm_flow_collect(f, "all", 100), &ending);
		sim_settle(system);
		ended_with(&ending, SM_OK);
		value_to(run, "all", &trace);
		has_one_to(&trace, 100, 2, ordered);
		sm_flow_release(run);
		flow_sim_end(system);
	}
}

static enum sm_err fail_silently(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	if (number_of(element) == ten)
		return SM_IO;
	*ret_element = element;
	return SM_OK;
}

SIM_TEST(a_failure_on_the_pool_fails_the_flow_and_the_end_waits_for_what_is_under_way)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct sm_flow *f = sm_flow_map_pool(sm_flow_async(count_to(&endless)), fail_silently, NULL, 8, false);
	sm_flow_release(run_flow(system, sm_flow_for_each(f, NULL, NULL), &ending));
	sim_settle(system);
	ended_with(&ending, SM_IO);
	assert_string_equal(ending.text, "map_pool: input or output failed");
	assert_int_equal(sm_dead_letters(system), 0);
	sim_end(system);
}

/* ---- promises: somebody keeps them, in any order ---- */

static struct promised {
	struct sm_flow_promise *promise;
	struct sm_msg *element;
} promised[16];
static uint32_t promised_count;
static enum sm_err refusal;

static enum sm_err promise_start(void *arg, struct sm_msg *element, struct sm_flow_promise *promise, struct sm_error *reterr)
{
	if (arg && number_of(element) == *(uint64_t *)arg)
		return sm_fail(reterr, refusal, "not this one");
	assert_true(promised_count < 4); /* the parallelism */
	promised[promised_count++] = (struct promised){promise, element};
	return SM_OK;
}

static void keep_one(struct sm_system *system, bool drop_odd)
{
	uint32_t i = (uint32_t)sm_sim_random(system, promised_count);
	struct promised p = promised[i];
	promised[i] = promised[--promised_count];
	if (drop_odd && number_of(p.element) % 2) {
		sm_msg_free(p.element);
		p.element = NULL;
	}
	sm_flow_promise_keep(p.promise, p.element);
}

SIM_TEST(promises_are_bounded_and_their_results_in_order_or_not)
{
	for (int ordered = 0; ordered < 2; ordered++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		struct trace trace;
		struct sm_flow *f = sm_flow_map_promise(count_to(&hundred), promise_start, NULL, 4, ordered);
		struct sm_flow_run *run = run_flow(system, sm_flow_collect(f, "all", 100), &ending);
		promised_count = 0;
		for (int n = 0; n < 100; n++) {
			sim_settle(system);
			assert_int_equal(ending.count, 0);
			keep_one(system, true);
		}
		sim_settle(system);
		ended_with(&ending, SM_OK);
		value_to(run, "all", &trace);
		has_one_to(&trace, 50, 2, ordered);
		sm_flow_release(run);
		flow_sim_end(system);
	}
}

SIM_TEST(a_promise_that_fails_or_cannot_be_given_fails_the_flow)
{
	for (int refuse = 0; refuse < 3; refuse++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		refusal = refuse == 2 ? SM_FULL : SM_DENIED; /* of start this is a failure too */
		promised_count = 0;
		struct sm_flow *f = sm_flow_map_promise(count_to(&hundred), promise_start, refuse ? &(uint64_t){4} : NULL, 4, true);
		sm_flow_release(run_flow(system, sm_flow_for_each(f, NULL, NULL), &ending));
		sim_settle(system);
		assert_int_equal(ending.count, 0); /* others are under way */
		if (!refuse) {
			struct promised p = promised[--promised_count];
			sm_msg_free(p.element);
			sm_flow_promise_fail(p.promise, SM_DENIED, "not this one");
			sim_settle(system);
			assert_int_equal(ending.count, 0);
		}
		while (promised_count)
			keep_one(system, false);
		sim_settle(system);
		ended_with(&ending, refusal);
		assert_string_equal(ending.text, "not this one");
		assert_int_equal(sm_dead_letters(system), 0);
		sim_end(system);
	}
}

/* ---- asks, and actors as sinks ---- */

static enum sm_err doubler_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (number_of(msg) != UINT64_MAX - 1)
		sm_reply(self, msg, element_new(2 * number_of(msg)));
	return SM_OK;
}

SIM_TEST(an_actor_is_asked_even_if_its_mailbox_is_small)
{
	for (int ordered = 0; ordered < 2; ordered++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		struct trace trace;
		struct sm_props props = {.receive = doubler_receive, .dispatcher = -1, .mailbox_max = 2};
		struct sm_ref *doubler = sim_spawn(system, &props);
		struct sm_flow *f = sm_flow_map_ask(count_to(&hundred), doubler, 1000, 5, ordered);
		struct sm_flow_run *run = run_flow(system, sm_flow_collect(f, "all", 100), &ending);
		for (int i = 0; i < 1000 && !ending.count; i++)
			assert_true(sm_sim_advance(system, 10));
		ended_with(&ending, SM_OK);
		value_to(run, "all", &trace);
		has_one_to(&trace, 100, 2, ordered);
		sm_flow_release(run);
		sm_unref(doubler);
		flow_sim_end(system);
	}
}

static enum sm_err silent_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_OK;
}

SIM_TEST(an_actor_that_is_silent_or_gone_fails_the_flow)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct sm_props props = {.receive = silent_receive, .dispatcher = -1};
	struct sm_ref *silent = sim_spawn(system, &props);
	sm_flow_release(run_flow(system, sm_flow_to_actor(count_to(&hundred), silent, 50, 5), &ending));
	assert_true(sm_sim_advance(system, 49));
	assert_int_equal(ending.count, 0);
	assert_true(sm_sim_advance(system, 2));
	ended_with(&ending, SM_TIMEOUT);
	sm_stop(silent);
	sim_settle(system);
	sm_flow_release(run_flow(system, sm_flow_to_actor(count_to(&hundred), silent, 50, 5), &ending));
	sim_settle(system);
	ended_with(&ending, SM_GONE);
	sm_unref(silent);
	flow_sim_end(system);
}

/* Keeps what it gets, and acknowledges it when the test says so. */
static struct sm_msg *unacknowledged[64];
static uint32_t unacknowledged_count, received;
static enum sm_err slow_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->type == &number_type) {
		while (unacknowledged_count) {
			struct sm_msg *m = unacknowledged[--unacknowledged_count];
			sm_reply(self, m, element_new(0));
			sm_msg_free(m);
		}
		return SM_OK;
	}
	assert_true(unacknowledged_count < 3);
	assert_int_equal(number_of(msg), ++received);
	unacknowledged[unacknowledged_count++] = msg;
	sm_msg_keep(self);
	return SM_OK;
}

SIM_TEST(an_actor_as_a_sink_has_no_more_than_it_may_leave_unacknowledged)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct sm_props props = {.receive = slow_receive, .dispatcher = -1};
	struct sm_ref *slow = sim_spawn(system, &props);
	unacknowledged_count = received = 0;
	sm_flow_release(run_flow(system, sm_flow_to_actor(sm_flow_async(count_to(&hundred)), slow, 1000, 3), &ending));
	for (uint32_t n = 3; n < 100; n += 3) {
		sim_settle(system);
		assert_int_equal(received, n);
		send_number(slow, 0);
	}
	sim_settle(system);
	assert_int_equal(received, 100);
	assert_int_equal(ending.count, 0);
	send_number(slow, 0);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	sm_unref(slow);
	flow_sim_end(system);
}

/* ---- restarts ---- */

static const struct sm_supervision three_times = {.restarts_max = 3, .backoff_min_ms = 10, .backoff_max_ms = 20};

/* Fails at the third element that it sees, *arg times. */
static enum sm_err fails_at_first(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	uint64_t *failures = arg;
	if (number_of(element) == 3 && *failures) {
		--*failures;
		return sm_fail(reterr, SM_IO, "the source broke");
	}
	*ret_element = element;
	return SM_OK;
}

SIM_TEST(what_fails_before_a_restart_begins_anew_after_the_delay)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	uint64_t failures = 2;
	struct sm_flow *f = sm_flow_async(count_to(&ten)); /* a part that is built anew with it */
	f = sm_flow_restart(sm_flow_map(f, fails_at_first, &failures), &three_times);
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(f, "all", 100), &ending);
	sim_settle(system);
	assert_true(sm_sim_advance(system, 9));
	assert_int_equal(failures, 1);
	assert_true(sm_sim_advance(system, 1));
	assert_int_equal(failures, 0);
	assert_int_equal(ending.count, 0);
	assert_true(sm_sim_advance(system, 20));
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 1, 2, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(one_failure_too_many_goes_down)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	uint64_t failures = 100;
	struct sm_flow *f = sm_flow_map(count_to(&ten), fails_at_first, &failures);
	f = sm_flow_restart(sm_flow_async(f), &three_times); /* a part above it fails */
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_async(f), NULL, NULL), &ending));
	assert_true(sm_sim_advance(system, 1000));
	ended_with(&ending, SM_IO);
	assert_string_equal(ending.text, "the source broke");
	assert_int_equal(failures, 96);
	flow_sim_end(system);
}

SIM_TEST(restarts_within_restarts)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	uint64_t inner = 5, outer = 1; /* the inner one gives up after 4, the outer one begins it anew */
	struct sm_flow *f = sm_flow_restart(sm_flow_map(count_to(&ten), fails_at_first, &inner), &three_times);
	f = sm_flow_restart(sm_flow_map(sm_flow_take(f, 1000), fails_at_first, &outer), &three_times);
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_filter(f, is_even, NULL), "all", 100), &ending);
	assert_true(sm_sim_advance(system, 1000));
	ended_with(&ending, SM_OK);
	assert_int_equal(inner + outer, 0);
	value_to(run, "all", &trace);
	assert_true(trace.count >= 5);
	for (uint32_t i = 0; i < 5; i++) /* the last try has all of them */
		assert_int_equal(trace.seen[trace.count - 5 + i], 2 * i + 2);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(a_flow_that_waits_for_its_restart_can_be_cancelled_and_stopped)
{
	for (int how = 0; how < 3; how++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		uint64_t failures = 100;
		const struct sm_supervision slow = {.restarts_max = 100, .backoff_min_ms = 10000, .backoff_max_ms = 10000};
		struct sm_flow *f = sm_flow_restart(sm_flow_map(sm_flow_async(count_to(&ten)), fails_at_first, &failures), &slow);
		struct sm_flow_run *run = run_flow(system, sm_flow_for_each(sm_flow_take(f, how == 2 ? 2 : 100), NULL, NULL), &ending);
		sim_settle(system);
		if (how < 2) {
			assert_int_equal(failures, 99);
			assert_int_equal(ending.count, 0);
			how ? sm_flow_stop(run) : sm_flow_cancel(run);
			assert_true(sm_sim_advance(system, how ? 10000 : 0)); /* a drain is read after the restart */
		}
		ended_with(&ending, how ? SM_OK : SM_CANCELLED);
		sm_flow_release(run);
		flow_sim_end(system);
	}
}

SIM_TEST(what_is_cancelled_within_a_restarted_part_leaves_the_part_alone)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	struct sm_flow *b[2];
	sm_flow_broadcast(count_to(&hundred), b, 2);
	b[0] = sm_flow_take(sm_flow_async(b[0]), 1);
	struct sm_flow *f = sm_flow_restart(sm_flow_merge(b, 2), &three_times);
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(f, "all", 1000), &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	assert_int_equal(trace.count, 101);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(a_queue_before_a_restart_closes_with_its_part)
{
	for (int fails = 0; fails < 2; fails++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		uint64_t failures = 100;
		struct sm_flow *both[2] = {sm_flow_map(sm_flow_from_queue("in", 100, SM_FLOW_BACK_PRESSURE), fails_at_first, &failures),
					   sm_flow_for_each(sm_flow_from_queue("other", 1, SM_FLOW_BACK_PRESSURE), NULL, NULL)};
		both[0] = sm_flow_restart(both[0], &three_times);
		both[0] = sm_flow_for_each(sm_flow_take(both[0], fails ? 1000 : 1), NULL, NULL);
		struct sm_flow_run *run = run_flow(system, sm_flow_graph(both, 2), &ending);
		struct sm_flow_queue *queue = sm_flow_queue(run, "in");
		for (int n = 0; n < (fails ? 4 : 1); n++)
			assert_int_equal(sm_flow_offer(queue, element_new(fails ? 3 : 1), NULL), SM_OK);
		assert_true(sm_sim_advance(system, 1000));
		assert_int_equal(ending.count, 0);
		struct sm_msg *late = element_new(1);
		assert_int_equal(sm_flow_offer(queue, late, NULL), SM_CLOSED);
		sm_msg_free(late);
		sm_flow_queue_release(queue);
		sm_flow_stop(run);
		sim_settle(system);
		ended_with(&ending, fails ? SM_IO : SM_OK);
		sm_flow_release(run);
		flow_sim_end(system);
	}
}

SIM_TEST(a_queue_keeps_what_it_has_over_a_restart)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	uint64_t failures = 1;
	struct sm_flow *f = sm_flow_map(sm_flow_from_queue("in", 100, SM_FLOW_FAIL), fails_at_first, &failures);
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_restart(f, &three_times), "all", 100), &ending);
	struct sm_flow_queue *queue = sm_flow_queue(run, "in");
	for (uint64_t n = 1; n <= 6; n++) {
		assert_int_equal(sm_flow_offer(queue, element_new(n), NULL), SM_OK);
		sm_sim_run(system, sm_sim_random(system, 20) + 1);
	}
	sm_flow_complete(queue);
	sm_flow_queue_release(queue);
	assert_true(sm_sim_advance(system, 100));
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 1, 2, 4, 5, 6);
	sm_flow_release(run);
	flow_sim_end(system);
}

/* ---- the end is told to an actor, below whose parent the flow lives ---- */

struct owner {
	struct sm_flow *flow;
	struct sm_flow_run *run;
	enum sm_err told;
	bool done;
};
static enum sm_err owner_init(struct sm_actor *self, void *state, void *arg)
{
	struct owner *o = *(struct owner **)state = arg;
	struct sm_flow_options options = {.name = "flow", .parent = self, .tell = sm_self(self)};
	return sm_flow_run(sm_actor_system(self), o->flow, &options, &o->run, NULL);
}
static enum sm_err owner_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct owner *o = *(struct owner **)state;
	struct sm_flow_done_msg *done = (struct sm_flow_done_msg *)msg;
	assert_ptr_equal(msg->type, &sm_msg_flow_done);
	assert_ptr_equal(done->run, o->run);
	o->told = done->err;
	o->done = true;
	return SM_OK;
}

SIM_TEST(the_end_is_told_to_an_actor_and_a_parent_takes_its_flow_along)
{
	for (int stop = 0; stop < 2; stop++) {
		struct sm_system *system = sim_new();
		struct owner o = {.flow = sm_flow_for_each(sm_flow_async(count_to(stop ? &endless : &hundred)), NULL, NULL)};
		struct sm_props props = {.name = "owner",
					 .state_size = sizeof(void *),
					 .init = owner_init,
					 .receive = owner_receive,
					 .arg = &o,
					 .dispatcher = -1};
		struct sm_ref *ref = sim_spawn(system, &props);
		sm_sim_run(system, stop ? 200 : 0);
		if (stop) {
			sm_stop(ref);
			sim_settle(system);
			enum sm_err how = SM_OK;
			assert_int_equal(sm_flow_wait(o.run, 1000, &how, NULL), SM_OK);
			assert_int_equal(how, SM_CANCELLED);
		} else {
			assert_true(o.done);
			assert_int_equal(o.told, SM_OK);
		}
		sm_unref(ref);
		sm_flow_release(o.run);
		sm_flow_free(o.flow);
		sim_end(system);
		assert_int_equal(atomic_load(&testing_open), 0);
	}
}

/* ---- threads ---- */

static uint64_t thousand = 1000;
static void *producer(void *arg)
{
	for (uint64_t n = 1; n <= thousand;) {
		struct sm_msg *element = element_new(n);
		enum sm_err err = sm_flow_offer(arg, element, NULL);
		if (!err) {
			n++;
			continue;
		}
		assert_int_equal(err, SM_FULL);
		sm_msg_free(element);
		nanosleep(&(struct timespec){0, 50000}, NULL);
	}
	sm_flow_complete(arg);
	return NULL;
}

static void a_graph_on_threads(void **unused)
{
	struct sm_system *system = system_with(3);
	struct trace trace;
	struct ending ending;
	atomic_store(&most_under_way, 0);
	struct sm_props props = {.receive = doubler_receive, .dispatcher = -1, .mailbox_max = 16};
	struct sm_ref *doubler;
	assert_int_equal(sm_spawn(system, NULL, &props, &doubler), SM_OK);
	struct sm_flow *b[3];
	sm_flow_broadcast(sm_flow_from_queue("in", 8, SM_FLOW_BACK_PRESSURE), b, 3);
	b[0] = sm_flow_map_pool(sm_flow_async(b[0]), twice_counted, NULL, 2, true);
	b[1] = sm_flow_map_ask(sm_flow_async(b[1]), doubler, DEADLINE_MS, 8, true);
	b[0] = sm_flow_collect(sm_flow_async(b[0]), "pool", 1000);
	b[1] = sm_flow_collect(sm_flow_buffer(b[1], 3, SM_FLOW_BACK_PRESSURE), "ask", 1000);
	b[2] = sm_flow_collect(b[2], "plain", 1000);
	struct sm_flow_run *run = run_flow(system, sm_flow_graph(b, 3), &ending);
	struct sm_flow_queue *queue = sm_flow_queue(run, "in");
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, producer, queue), 0);
	assert_int_equal(sm_flow_wait(run, DEADLINE_MS, NULL, NULL), SM_OK);
	pthread_join(thread, NULL);
	ended_with(&ending, SM_OK);
	assert_in_range(atomic_load(&most_under_way), 1, 2);
	value_to(run, "pool", &trace);
	has_one_to(&trace, 1000, 2, true);
	value_to(run, "ask", &trace);
	has_one_to(&trace, 1000, 2, true);
	value_to(run, "plain", &trace);
	has_one_to(&trace, 1000, 1, true);
	sm_flow_queue_release(queue);
	sm_flow_release(run);
	sm_unref(doubler);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static void flows_that_are_cancelled_on_threads(void **unused)
{
	struct sm_system *system = system_with(3);
	for (int i = 0; i < 15; i++) {
		struct ending ending;
		struct sm_flow *f = sm_flow_map_pool(sm_flow_async(count_to(&endless)), twice_counted, NULL, 2, i % 2);
		struct sm_flow_run *run = run_flow(system, sm_flow_for_each(sm_flow_restart(f, &three_times), NULL, NULL), &ending);
		for (int n = 0; n < i; n++)
			sched_yield();
		sm_flow_cancel(run);
		assert_int_equal(sm_flow_wait(run, DEADLINE_MS, NULL, NULL), SM_OK);
		ended_with(&ending, SM_CANCELLED);
		sm_flow_release(run);
	}
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pool_maps_in_order_or_as_it_comes),
		cmocka_unit_test(a_failure_on_the_pool_fails_the_flow_and_the_end_waits_for_what_is_under_way),
		cmocka_unit_test(promises_are_bounded_and_their_results_in_order_or_not),
		cmocka_unit_test(a_promise_that_fails_or_cannot_be_given_fails_the_flow),
		cmocka_unit_test(an_actor_is_asked_even_if_its_mailbox_is_small),
		cmocka_unit_test(an_actor_that_is_silent_or_gone_fails_the_flow),
		cmocka_unit_test(an_actor_as_a_sink_has_no_more_than_it_may_leave_unacknowledged),
		cmocka_unit_test(what_fails_before_a_restart_begins_anew_after_the_delay),
		cmocka_unit_test(one_failure_too_many_goes_down),
		cmocka_unit_test(restarts_within_restarts),
		cmocka_unit_test(a_flow_that_waits_for_its_restart_can_be_cancelled_and_stopped),
		cmocka_unit_test(what_is_cancelled_within_a_restarted_part_leaves_the_part_alone),
		cmocka_unit_test(a_queue_before_a_restart_closes_with_its_part),
		cmocka_unit_test(a_queue_keeps_what_it_has_over_a_restart),
		cmocka_unit_test(the_end_is_told_to_an_actor_and_a_parent_takes_its_flow_along),
		cmocka_unit_test(a_graph_on_threads),
		cmocka_unit_test(flows_that_are_cancelled_on_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
