/* Batches, buffers, throttle, merge, concat, broadcast, queues. */
#include "flow/testing.h"

static uint64_t ten = 10, many = 3000, endless = UINT64_MAX;

/* ---- batches: the sink notes their sizes ---- */

static struct trace sizes;
static enum sm_err note_size(void *arg, struct sm_msg *element, struct sm_error *reterr)
{
	assert_ptr_equal(element->type, &sm_msg_flow_batch);
	trace_add(&sizes, ((struct sm_flow_batch_msg *)element)->count);
	sm_msg_free(element);
	return SM_OK;
}
static uint64_t size_is_number(void *arg, const struct sm_msg *element)
{
	return number_of(element);
}

SIM_TEST(a_batch_is_given_on_when_it_is_full_and_at_the_end)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	sizes.count = 0;
	sm_flow_release(run_flow(system,
				 sm_flow_for_each(sm_flow_batch(count_to(&ten), &(struct sm_flow_batch){.count_max = 4}), note_size, NULL),
				 &ending));
	sim_settle(system);
	ended_with(&ending, SM_OK);
	TRACE_IS(&sizes, 4, 4, 2);
	flow_sim_end(system);
}

SIM_TEST(a_batch_is_bounded_by_bytes_but_for_an_element_that_is_larger)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	const struct sm_flow_batch by_bytes = {.count_max = 100, .bytes_max = 9, .size = size_is_number};
	sizes.count = 0;
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_batch(count_to(&ten), &by_bytes), note_size, NULL), &ending));
	sim_settle(system);
	ended_with(&ending, SM_OK);
	TRACE_IS(&sizes, 3, 2, 1, 1, 1, 1, 1); /* 1+2+3, 4+5, 6, 7, 8, 9, 10 */
	flow_sim_end(system);
}

static enum sm_err tick_make(void *arg, struct sm_msg **ret_element, struct sm_error *reterr)
{
	*ret_element = element_new((*(uint64_t *)arg)++);
	return SM_OK;
}

SIM_TEST(a_batch_waits_for_its_time_only)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	uint64_t n = 1;
	const struct sm_flow_batch by_time = {.count_max = 100, .within_ms = 35};
	sizes.count = 0;
	struct sm_flow *f = sm_flow_batch(sm_flow_tick(10, 10, tick_make, &n), &by_time);
	struct sm_flow_run *run = run_flow(system, sm_flow_for_each(f, note_size, NULL), &ending);
	assert_true(sm_sim_advance(system, 44));
	assert_int_equal(sizes.count, 0);
	assert_true(sm_sim_advance(system, 1)); /* 10, 20, 30, 40 came; 35 ms after the first */
	TRACE_IS(&sizes, 4);
	assert_true(sm_sim_advance(system, 15)); /* 50, 60 */
	sm_flow_stop(run);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	TRACE_IS(&sizes, 4, 2);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(unbatch_undoes_batch_over_a_boundary)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	struct sm_flow *f = sm_flow_batch(count_to(&many), &(struct sm_flow_batch){.count_max = 7});
	f = sm_flow_collect(sm_flow_unbatch(sm_flow_buffer(f, 2, SM_FLOW_BACK_PRESSURE)), "all", 3000);
	struct sm_flow_run *run = run_flow(system, f, &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	assert_int_equal(trace.count, 3000);
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(trace.seen[i], i + 1);
	sm_flow_release(run);
	flow_sim_end(system);
}

static struct trace seen;
static enum sm_err see(void *arg, struct sm_msg *element, struct sm_error *reterr)
{
	trace_add(&seen, number_of(element));
	sm_msg_free(element);
	return SM_OK;
}

SIM_TEST(what_a_large_batch_holds_takes_more_than_one_turn)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	seen.count = 0;
	uint64_t all = 4000;
	struct sm_flow *f = sm_flow_async(sm_flow_batch(count_to(&all), &(struct sm_flow_batch){.count_max = 4000}));
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_unbatch(f), see, NULL), &ending));
	for (uint32_t before = 0; !ending.count; before = seen.count) {
		sm_sim_run(system, 1);
		assert_in_range(seen.count - before, 0, 3999); /* an actor has a few turns a step */
	}
	ended_with(&ending, SM_OK);
	assert_int_equal(seen.count, 4000);
	sim_settle(system);
	flow_sim_end(system);
}

SIM_TEST(an_endless_source_leaves_the_other_sinks_of_its_part_their_turns)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct sm_flow *b[2];
	seen.count = 0;
	sm_flow_broadcast(count_to(&ten), b, 2);
	b[0] = sm_flow_for_each(sm_flow_merge((struct sm_flow *[]){b[0], count_to(&endless)}, 2), NULL, NULL);
	b[1] = sm_flow_merge((struct sm_flow *[]){b[1], sm_flow_from_queue("in", 3, SM_FLOW_BACK_PRESSURE)}, 2);
	b[1] = sm_flow_for_each(b[1], see, NULL);
	if (sim_seed % 2) { /* whichever is the first */
		struct sm_flow *swap = b[0];
		b[0] = b[1];
		b[1] = swap;
	}
	struct sm_flow_run *run = run_flow(system, sm_flow_graph(b, 2), &ending);
	struct sm_flow_queue *queue = sm_flow_queue(run, "in");
	assert_int_equal(sm_flow_offer(queue, element_new(11), NULL), SM_OK);
	sm_sim_run(system, 100);
	assert_int_equal(seen.count, 11);
	sm_flow_queue_release(queue);
	sm_flow_cancel(run);
	sim_settle(system);
	ended_with(&ending, SM_CANCELLED);
	sm_flow_release(run);
	flow_sim_end(system);
}

/* ---- throttle ---- */

static uint32_t cost_is_number(void *arg, const struct sm_msg *element)
{
	return (uint32_t)number_of(element);
}

SIM_TEST(a_throttle_lets_its_rate_pass_and_a_burst)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	const struct sm_flow_throttle throttle = {.elements = 2, .per_ms = 100, .burst = 3};
	seen.count = 0;
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_throttle(count_to(&ten), &throttle), see, NULL), &ending));
	sim_settle(system);
	TRACE_IS(&seen, 1, 2, 3);
	assert_true(sm_sim_advance(system, 49));
	assert_int_equal(seen.count, 3);
	assert_true(sm_sim_advance(system, 1));
	assert_int_equal(seen.count, 4);
	assert_true(sm_sim_advance(system, 299));
	assert_int_equal(seen.count, 9);
	assert_true(sm_sim_advance(system, 1));
	ended_with(&ending, SM_OK);
	TRACE_IS(&seen, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
	flow_sim_end(system);
}

SIM_TEST(a_throttle_counts_costs_and_may_enforce)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct sm_flow_throttle throttle = {.elements = 1, .per_ms = 10, .cost = cost_is_number};
	seen.count = 0;
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_throttle(count_to(&ten), &throttle), see, NULL), &ending));
	assert_true(sm_sim_advance(system, 60)); /* 1 at 0, 2 at 10, 3 at 30, 4 at 60 */
	assert_int_equal(seen.count, 4);
	assert_true(sm_sim_advance(system, 1000));
	ended_with(&ending, SM_OK);
	throttle.enforce = true;
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_throttle(count_to(&ten), &throttle), see, NULL), &ending));
	sim_settle(system);
	ended_with(&ending, SM_FULL);
	flow_sim_end(system);
}

SIM_TEST(a_throttle_without_a_burst_keeps_a_rate_above_one_a_ms)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	const struct sm_flow_throttle throttle = {.elements = 100000, .per_ms = 1000};
	seen.count = 0;
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_throttle(count_to(&many), &throttle), see, NULL), &ending));
	sim_settle(system);
	assert_in_range(seen.count, 1000, 1001); /* what comes in 10 ms */
	assert_true(sm_sim_advance(system, 10));
	assert_in_range(seen.count, 1900, 2001);
	assert_true(sm_sim_advance(system, 12));
	ended_with(&ending, SM_OK);
	assert_int_equal(seen.count, 3000);
	flow_sim_end(system);
}

/* ---- buffers: a slow consumer behind a fast source ---- */

static struct sm_flow *slowly(struct sm_flow *f)
{
	return sm_flow_for_each(sm_flow_throttle(f, &(struct sm_flow_throttle){.elements = 1, .per_ms = 10}), see, NULL);
}

SIM_TEST(a_buffer_that_drops_does_not_hold_up_its_source)
{
	for (int oldest = 0; oldest < 2; oldest++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		seen.count = 0;
		struct sm_flow *f = sm_flow_buffer(count_to(&many), 5, oldest ? SM_FLOW_DROP_OLDEST : SM_FLOW_DROP_NEWEST);
		struct sm_flow_run *run = run_flow(system, slowly(f), &ending);
		assert_true(sm_sim_advance(system, 1000));
		ended_with(&ending, SM_OK);
		assert_int_equal(seen.count + sm_flow_dropped(run), 3000);
		assert_in_range(seen.count, 5, 7); /* five buffered, one held by the throttle, one gone */
		for (uint32_t i = 0; oldest && i < 5; i++)
			assert_int_equal(seen.seen[seen.count - 5 + i], 2996 + i);
		for (uint32_t i = 0; !oldest && i < 5; i++)
			assert_int_equal(seen.seen[i], i + 1);
		sm_flow_release(run);
		flow_sim_end(system);
	}
}

SIM_TEST(a_buffer_may_fail_when_it_is_full)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	seen.count = 0;
	sm_flow_release(run_flow(system, slowly(sm_flow_buffer(count_to(&many), 5, SM_FLOW_FAIL)), &ending));
	assert_true(sm_sim_advance(system, 1000));
	ended_with(&ending, SM_FULL);
	flow_sim_end(system);
}

/* How far the source may be ahead of a sink that waits: what the buffer holds, and what the throttle does. */
static enum sm_err ahead(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	assert_true(number_of(element) <= seen.count + *(uint64_t *)arg + 1);
	*ret_element = element;
	return SM_OK;
}

SIM_TEST(a_source_is_never_further_ahead_than_the_buffer_is_large)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	uint64_t max = 1 + sm_sim_random(system, 9), count = 100;
	seen.count = 0;
	struct sm_flow *f = sm_flow_map(count_to(&count), ahead, &max);
	sm_flow_release(run_flow(system, slowly(sm_flow_buffer(f, (uint32_t)max, SM_FLOW_BACK_PRESSURE)), &ending));
	assert_true(sm_sim_advance(system, 2000));
	ended_with(&ending, SM_OK);
	assert_int_equal(seen.count, 100);
	flow_sim_end(system);
}

/* ---- merge, concat, broadcast ---- */

SIM_TEST(a_merge_has_all_elements_of_all_and_takes_turns)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	uint64_t three = 3;
	struct sm_flow *flows[3] = {count_to(&ten), sm_flow_async(count_to(&three)), count_to(&ten)};
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_merge(flows, 3), "all", 100), &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	assert_int_equal(trace.count, 23);
	assert_int_equal(trace.seen[0], 1);
	assert_int_equal(trace.seen[1], 1);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(a_concat_has_one_after_the_other)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	uint64_t three = 3;
	struct sm_flow *flows[3] = {count_to(&three), sm_flow_async(count_to(&three)), count_to(&three)};
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_concat(flows, 3), "all", 100), &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 1, 2, 3, 1, 2, 3, 1, 2, 3);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(a_failure_cancels_the_other_inputs_of_a_merge)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct sm_flow *flows[3] = {sm_flow_async(count_to(&endless)), sm_flow_map(count_to(&endless), fail_at, &ten), count_to(&endless)};
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_merge(flows, 3), NULL, NULL), &ending));
	sim_settle(system);
	ended_with(&ending, SM_CORRUPT);
	flow_sim_end(system);
}

SIM_TEST(a_broadcast_gives_all_to_each_and_a_branch_may_cancel)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	struct sm_flow *b[3];
	sm_flow_broadcast(count_to(&ten), b, 3);
	b[0] = sm_flow_collect(sm_flow_async(b[0]), "all", 10);
	b[1] = sm_flow_collect(sm_flow_take(b[1], 2), "two", 10);
	b[2] = sm_flow_collect(sm_flow_filter(sm_flow_buffer(b[2], 1, SM_FLOW_BACK_PRESSURE), is_even, NULL), "even", 10);
	struct sm_flow_run *run = run_flow(system, sm_flow_graph(b, 3), &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
	value_to(run, "two", &trace);
	TRACE_IS(&trace, 1, 2);
	value_to(run, "even", &trace);
	TRACE_IS(&trace, 2, 4, 6, 8, 10);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(branches_that_come_together_again_in_the_same_part_and_over_boundaries)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	struct sm_flow *b[3];
	sm_flow_broadcast(sm_flow_async(count_to(&ten)), b, 3);
	b[1] = sm_flow_async(b[1]);                                          /* from a part to itself */
	b[2] = sm_flow_async(sm_flow_map(sm_flow_async(b[2]), twice, NULL)); /* and round about */
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_merge(b, 3), "all", 100), &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	assert_int_equal(trace.count, 30);
	uint64_t sum = 0;
	for (uint32_t i = 0; i < 30; i++)
		sum += trace.seen[i];
	assert_int_equal(sum, 4 * 55);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(a_sink_that_fails_leaves_the_other_sinks_of_a_broadcast_alone)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	struct sm_flow *b[2];
	sm_flow_broadcast(count_to(&ten), b, 2);
	b[0] = sm_flow_for_each(sm_flow_map(b[0], fail_at, &(uint64_t){3}), NULL, NULL);
	b[1] = sm_flow_collect(b[1], "all", 10);
	struct sm_flow_run *run = run_flow(system, sm_flow_graph(b, 2), &ending);
	sim_settle(system);
	ended_with(&ending, SM_CORRUPT);
	value_to(run, "all", &trace);
	assert_int_equal(trace.count, 10);
	sm_flow_release(run);
	flow_sim_end(system);
}

/* ---- queues ---- */

static enum sm_err offer(struct sm_flow_queue *queue, uint64_t number, struct sm_ref *tell)
{
	struct sm_msg *element = element_new(number);
	enum sm_err err = sm_flow_offer(queue, element, tell);
	if (err)
		sm_msg_free(element);
	return err;
}

SIM_TEST(a_queue_answers_with_back_pressure)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	seen.count = 0;
	struct sm_flow_run *run = run_flow(system, slowly(sm_flow_from_queue("in", 3, SM_FLOW_BACK_PRESSURE)), &ending);
	struct sm_flow_queue *queue = sm_flow_queue(run, "in");
	assert_null(sm_flow_queue(run, "out"));
	sm_sim_run(system, sm_sim_random(system, 30) + 1);
	for (uint64_t n = 1; n <= 3; n++)
		assert_int_equal(offer(queue, n, NULL), SM_OK);
	assert_int_equal(offer(queue, 4, NULL), SM_FULL);
	assert_true(sm_sim_advance(system, 15)); /* 1 and 2 have passed, 3 is held */
	assert_int_equal(seen.count, 2);
	assert_int_equal(offer(queue, 4, NULL), SM_OK);
	sm_flow_complete(queue);
	assert_int_equal(offer(queue, 5, NULL), SM_CLOSED);
	assert_true(sm_sim_advance(system, 100));
	ended_with(&ending, SM_OK);
	TRACE_IS(&seen, 1, 2, 3, 4);
	sm_flow_queue_release(queue);
	sm_flow_release(run);
	flow_sim_end(system);
}

/* An actor that offers 1 to 50, and when there is no room waits to be told. */
struct offerer {
	struct sm_flow_queue *queue;
	uint64_t next;
};
static enum sm_err offerer_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct offerer *o = *(struct offerer **)state;
	assert_true(msg->type == &number_type || msg->type == &sm_msg_flow_room);
	for (; o->next <= 50; o->next++) {
		enum sm_err err = offer(o->queue, o->next, sm_self(self));
		if (err == SM_FULL)
			return SM_OK;
		assert_int_equal(err, SM_OK);
	}
	sm_flow_complete(o->queue);
	return SM_OK;
}
static enum sm_err offerer_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return SM_OK;
}

SIM_TEST(who_finds_a_queue_full_is_told_when_there_is_room)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct offerer o = {.next = 1};
	seen.count = 0;
	struct sm_flow *f = sm_flow_from_queue("in", 1 + (uint32_t)sm_sim_random(system, 4), SM_FLOW_BACK_PRESSURE);
	struct sm_flow_run *run = run_flow(system, sm_flow_for_each(f, see, NULL), &ending);
	o.queue = sm_flow_queue(run, "in");
	struct sm_props props = {
		.state_size = sizeof(void *), .init = offerer_init, .receive = offerer_receive, .arg = &o, .dispatcher = -1};
	struct sm_ref *ref = sim_spawn(system, &props);
	send_number(ref, 0);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	assert_int_equal(seen.count, 50);
	sm_unref(ref);
	sm_flow_queue_release(o.queue);
	sm_flow_release(run);
	flow_sim_end(system);
}

/* Offers once when it is told to, and then only notes that there was room. */
static enum sm_err once_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct offerer *o = *(struct offerer **)state;
	if (msg->type == &sm_msg_flow_room)
		o->next++;
	else
		assert_int_equal(offer(o->queue, 1, sm_self(self)), SM_FULL);
	return SM_OK;
}

SIM_TEST(who_waits_for_room_is_told_though_another_one_is_gone_or_does_not_offer)
{
	for (int gone = 0; gone < 2; gone++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		struct offerer o[2] = {{0}};
		struct sm_ref *refs[2];
		struct sm_flow_run *run = run_flow(system, slowly(sm_flow_from_queue("in", 1, SM_FLOW_BACK_PRESSURE)), &ending);
		struct sm_flow_queue *queue = sm_flow_queue(run, "in");
		sim_settle(system);
		for (uint64_t n = 1; n <= 3; n++) { /* one goes, the throttle holds one, the queue one */
			assert_int_equal(offer(queue, n, NULL), SM_OK);
			sim_settle(system);
		}
		for (int i = 0; i < 2; i++) {
			o[i].queue = queue;
			struct sm_props props = {.state_size = sizeof(void *),
						 .init = offerer_init,
						 .receive = once_receive,
						 .arg = &o[i],
						 .dispatcher = -1};
			refs[i] = sim_spawn(system, &props);
			send_number(refs[i], 0);
			sim_settle(system);
		}
		if (gone) {
			sm_stop(refs[0]);
			sim_settle(system);
		}
		assert_true(sm_sim_advance(system, 1000));
		assert_int_equal(o[0].next, !gone);
		assert_int_equal(o[1].next, 1);
		sm_unref(refs[0]);
		sm_unref(refs[1]);
		sm_flow_complete(queue);
		sm_flow_queue_release(queue);
		assert_true(sm_sim_advance(system, 1000));
		ended_with(&ending, SM_OK);
		sm_flow_release(run);
		flow_sim_end(system);
	}
}

SIM_TEST(a_queue_may_drop_or_fail)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	for (enum sm_flow_overflow o = SM_FLOW_DROP_OLDEST; o <= SM_FLOW_FAIL; o++) {
		seen.count = 0;
		struct sm_flow_run *run = run_flow(system, sm_flow_for_each(sm_flow_from_queue("in", 2, o), see, NULL), &ending);
		struct sm_flow_queue *queue = sm_flow_queue(run, "in");
		for (uint64_t n = 1; n <= 2; n++)
			assert_int_equal(offer(queue, n, NULL), SM_OK);
		assert_int_equal(offer(queue, 3, NULL), o == SM_FLOW_FAIL ? SM_FULL : SM_OK);
		assert_int_equal(sm_flow_dropped(run), o != SM_FLOW_FAIL);
		sm_flow_stop(run);
		sim_settle(system);
		ended_with(&ending, o == SM_FLOW_FAIL ? SM_FULL : SM_OK);
		if (o == SM_FLOW_DROP_OLDEST)
			TRACE_IS(&seen, 2, 3);
		else if (o == SM_FLOW_DROP_NEWEST)
			TRACE_IS(&seen, 1, 2);
		assert_int_equal(offer(queue, 4, NULL), SM_CLOSED);
		sm_flow_queue_release(queue);
		sm_flow_release(run);
	}
	flow_sim_end(system);
}

SIM_TEST(a_queue_that_fails_fails_its_flow)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct sm_flow_run *run = run_flow(system, sm_flow_for_each(sm_flow_from_queue("in", 2, SM_FLOW_FAIL), NULL, NULL), &ending);
	struct sm_flow_queue *queue = sm_flow_queue(run, "in");
	sm_sim_run(system, sm_sim_random(system, 30) + 1);
	assert_int_equal(offer(queue, 1, NULL), SM_OK);
	sm_flow_fail(queue, SM_DENIED, "the producer was expelled");
	sim_settle(system);
	ended_with(&ending, SM_DENIED);
	assert_string_equal(ending.text, "the producer was expelled");
	sm_flow_queue_release(queue);
	sm_flow_release(run);
	flow_sim_end(system);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_given_on_when_it_is_full_and_at_the_end),
		cmocka_unit_test(a_batch_is_bounded_by_bytes_but_for_an_element_that_is_larger),
		cmocka_unit_test(a_batch_waits_for_its_time_only),
		cmocka_unit_test(unbatch_undoes_batch_over_a_boundary),
		cmocka_unit_test(what_a_large_batch_holds_takes_more_than_one_turn),
		cmocka_unit_test(an_endless_source_leaves_the_other_sinks_of_its_part_their_turns),
		cmocka_unit_test(a_throttle_lets_its_rate_pass_and_a_burst),
		cmocka_unit_test(a_throttle_counts_costs_and_may_enforce),
		cmocka_unit_test(a_throttle_without_a_burst_keeps_a_rate_above_one_a_ms),
		cmocka_unit_test(a_buffer_that_drops_does_not_hold_up_its_source),
		cmocka_unit_test(a_buffer_may_fail_when_it_is_full),
		cmocka_unit_test(a_source_is_never_further_ahead_than_the_buffer_is_large),
		cmocka_unit_test(a_merge_has_all_elements_of_all_and_takes_turns),
		cmocka_unit_test(a_concat_has_one_after_the_other),
		cmocka_unit_test(a_failure_cancels_the_other_inputs_of_a_merge),
		cmocka_unit_test(a_broadcast_gives_all_to_each_and_a_branch_may_cancel),
		cmocka_unit_test(branches_that_come_together_again_in_the_same_part_and_over_boundaries),
		cmocka_unit_test(a_sink_that_fails_leaves_the_other_sinks_of_a_broadcast_alone),
		cmocka_unit_test(a_queue_answers_with_back_pressure),
		cmocka_unit_test(who_finds_a_queue_full_is_told_when_there_is_room),
		cmocka_unit_test(who_waits_for_room_is_told_though_another_one_is_gone_or_does_not_offer),
		cmocka_unit_test(a_queue_may_drop_or_fail),
		cmocka_unit_test(a_queue_that_fails_fails_its_flow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
