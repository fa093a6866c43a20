/* One event-sourced actor on the simulation, with log and store that end their operations when the test says so: who waits, what is
 * refused, what fails, and what is told of it. */
#include "persist/fake_testing.h"

/* ---- a list of numbers: each command is a number, written down as an event ---- */

struct list {
	uint32_t count;
	uint64_t numbers[64];
};
enum { FAIL = 1000, FAIL_AFTER, BAD_EVENT, TOO_LARGE, NOTHING, BAD_HEADER, SNAPSHOT, IGNORE, TIMED };

static struct {
	struct trace effects, rejected, write_failed, recovered, saved, not_saved, stopped;
	struct list list;
	enum sm_err persist_err, save_err;
	struct sm_persist_signal signal; /* the last */
	char text[500];
} seen;

static enum sm_err written(struct sm_actor *self, void *state, struct sm_msg *command)
{
	uint64_t number = command ? number_of(command) : TIMED;
	trace_add(&seen.effects, number);
	return number == FAIL_AFTER ? SM_FAILED : SM_OK;
}

static enum sm_err list_command(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	static const char large[PERSIST_GROUP_BYTES_MAX] = {0};
	uint64_t number = msg->type == &sm_msg_timer ? TIMED : number_of(msg);
	struct sm_persist_header header = {number == BAD_HEADER ? "smack.event" : "trace", {"1", 1}};
	struct sm_persist_event event = {.data = {&number, sizeof number}, .type = "number", .headers = &header, .header_count = 1};
	if (number == FAIL)
		return SM_FAILED;
	if (number == IGNORE)
		return SM_OK;
	if (number == SNAPSHOT)
		return sm_snapshot(self);
	if (number == TOO_LARGE)
		event.data = (struct sm_bytes){large, sizeof large};
	seen.persist_err = sm_persist(self, &event, number == NOTHING ? 0 : 1, written);
	assert_int_equal(((struct list *)state)->count, sm_sequence(self));
	return SM_OK;
}

static enum sm_err list_event(struct sm_actor *self, void *state, const struct sm_persist_event *event)
{
	struct list *l = state;
	memcpy(&l->numbers[l->count], event->data.data, 8);
	assert_string_equal(event->headers[0].name, "trace");
	seen.list = *l;
	if (l->numbers[l->count] == BAD_EVENT)
		return SM_VERSION;
	l->count++;
	seen.list = *l;
	return SM_OK;
}

static enum sm_err list_signal(struct sm_actor *self, void *state, const struct sm_persist_signal *signal)
{
	seen.signal = *signal;
	snprintf(seen.text, sizeof seen.text, "%s", signal->text);
	switch (signal->kind) {
	case SM_PERSIST_RECOVERED: trace_add(&seen.recovered, signal->events); break;
	case SM_PERSIST_REJECTED: trace_add(&seen.rejected, number_of(signal->command)); break;
	case SM_PERSIST_WRITE_FAILED: trace_add(&seen.write_failed, number_of(signal->command)); break;
	case SM_PERSIST_SNAPSHOT_SAVED: trace_add(&seen.saved, (uint64_t)signal->sequence); break;
	case SM_PERSIST_SNAPSHOT_FAILED: trace_add(&seen.not_saved, (uint64_t)signal->sequence); break;
	default: break;
	}
	return SM_OK;
}

static enum sm_err list_save(struct sm_actor *self, const void *state, struct sm_snapshot_out *out)
{
	sm_snapshot_write(out, state, sizeof(struct list));
	return seen.save_err;
}
static enum sm_err list_load(struct sm_actor *self, void *state, struct sm_bytes data, const char *type)
{
	memcpy(state, data.data, data.size);
	seen.list = *(struct list *)state;
	return SM_OK;
}

/* Ends the operations under way, with this result, until the actor rests. */
static void settle(struct fake *f, enum sm_err how)
{
	f->fail = how == SM_IO ? 100 : 0;
	f->refuse = how == SM_FULL ? 100 : 0;
	for (;;) {
		sim_settle(f->system);
		if (!f->pending_count)
			break;
		fake_end_one(f);
	}
	f->fail = f->refuse = 0;
}

static struct sm_persistent_props list_props(void)
{
	return (struct sm_persistent_props){.id = "list",
					    .state_size = sizeof(struct list),
					    .command = list_command,
					    .event = list_event,
					    .save = list_save,
					    .load = list_load,
					    .signal = list_signal,
					    .dispatcher = SM_DISPATCHER_ANY};
}

struct bench {
	struct fake *f;
	struct sm_journal *journal;
	struct sm_ref *ref;
};

static struct bench begin(struct sm_persistent_props props)
{
	struct bench b = {.f = fake_new(sim_new())};
	memset(&seen, 0, sizeof seen);
	b.journal = fake_journal(b.f);
	assert_int_equal(sm_persist_spawn(b.f->system, NULL, b.journal, &props, &b.ref), SM_OK);
	return b;
}

static void end(struct bench *b)
{
	settle(b->f, SM_OK);
	sm_unref(b->ref);
	sim_end(b->f->system);
	assert_int_equal(sm_journal_close(b->journal, 0), SM_OK);
	fake_free(b->f);
}

/* ---- tests ---- */

SIM_TEST(messages_wait_for_recovery_and_writes_in_order)
{
	struct bench b = begin(list_props());
	for (uint64_t n = 1; n <= 5; n++)
		send_number(b.ref, n);
	sim_settle(b.f->system);
	assert_int_equal(seen.effects.count, 0); /* nothing has come back */
	settle(b.f, SM_OK);
	TRACE_IS(&seen.effects, 1, 2, 3, 4, 5);
	send_number(b.ref, 6);
	send_number(b.ref, IGNORE);
	send_number(b.ref, 7);
	sim_settle(b.f->system);
	TRACE_IS(&seen.effects, 1, 2, 3, 4, 5);
	assert_int_equal(b.f->pending_count, 1);
	assert_int_equal(seen.list.count, 5); /* no event is applied before it is on disk */
	settle(b.f, SM_OK);
	TRACE_IS(&seen.effects, 1, 2, 3, 4, 5, 6, 7);
	end(&b);
}

SIM_TEST(what_the_stash_has_no_room_for_is_a_dead_letter)
{
	struct sm_persistent_props props = list_props();
	props.stash_max = 3;
	struct bench b = begin(props);
	settle(b.f, SM_OK);
	for (uint64_t n = 1; n <= 6; n++)
		send_number(b.ref, n);
	sim_settle(b.f->system);
	assert_int_equal(sm_dead_letters(b.f->system), 2);
	settle(b.f, SM_OK);
	TRACE_IS(&seen.effects, 1, 2, 3, 4);
	end(&b);
}

SIM_TEST(a_write_that_is_refused_rejects_the_command_and_nothing_else)
{
	struct bench b = begin(list_props());
	settle(b.f, SM_OK);
	send_number(b.ref, 1);
	send_number(b.ref, 2);
	sim_settle(b.f->system);
	b.f->refuse = 100;
	fake_end_one(b.f);
	b.f->refuse = 0;
	settle(b.f, SM_OK);
	TRACE_IS(&seen.rejected, 1);
	TRACE_IS(&seen.effects, 2);
	assert_int_equal(seen.list.count, 1);
	end(&b);
}

SIM_TEST(after_a_write_that_failed_the_log_says_what_is_there)
{
	struct sm_persistent_props props = list_props();
	props.supervision = (struct sm_supervision){.restarts_max = 3, .backoff_min_ms = 100, .backoff_max_ms = 1000};
	struct bench b = begin(props);
	settle(b.f, SM_OK);
	send_number(b.ref, 1);
	settle(b.f, SM_OK);
	send_number(b.ref, 2);
	send_number(b.ref, 3);
	settle(b.f, SM_IO);
	TRACE_IS(&seen.write_failed, 2);
	assert_non_null(strstr(seen.text, "topic events"));
	TRACE_IS(&seen.recovered, 0);
	sm_sim_advance(b.f->system, 99);
	assert_int_equal(b.f->pending_count, 0); /* the back-off */
	sm_sim_advance(b.f->system, 1);
	settle(b.f, SM_OK);
	assert_int_equal(seen.recovered.count, 2);
	/* 2 may be there, its effect has not run; 3 waited. */
	TRACE_IS(&seen.effects, 1, 3);
	assert_int_equal(seen.list.numbers[seen.list.count - 1], 3);
	assert_int_equal(seen.list.count, seen.recovered.seen[1] + 1);
	end(&b);
}

SIM_TEST(handlers_that_fail_write_nothing_or_have_written)
{
	struct sm_persistent_props props = list_props();
	props.supervision = (struct sm_supervision){.restarts_max = 10};
	struct bench b = begin(props);
	for (uint64_t n = FAIL; n <= FAIL_AFTER; n++) {
		send_number(b.ref, n);
		settle(b.f, SM_OK);
		sm_sim_advance(b.f->system, 1);
		settle(b.f, SM_OK);
	}
	TRACE_IS(&seen.recovered, 0, 0, 1);
	TRACE_IS(&seen.effects, FAIL_AFTER);
	end(&b);
}

SIM_TEST(an_event_that_cannot_be_applied_fails_the_actor_now_and_at_its_recovery)
{
	struct sm_persistent_props props = list_props();
	props.supervision = (struct sm_supervision){.restarts_max = 1};
	struct bench b = begin(props);
	send_number(b.ref, BAD_EVENT);
	settle(b.f, SM_OK);
	sm_sim_advance(b.f->system, 1);
	settle(b.f, SM_OK);
	assert_int_equal(seen.signal.kind, SM_PERSIST_RECOVERY_FAILED);
	assert_int_equal(seen.signal.err, SM_VERSION);
	assert_non_null(strstr(seen.text, "offset"));
	struct sm_msg *late = number_new(1);
	assert_int_equal(sm_send(b.ref, late), SM_GONE); /* one failure too many */
	sm_msg_free(late);
	end(&b);
}

static enum sm_directive resume(enum sm_err why)
{
	return SM_DIRECTIVE_RESUME;
}

SIM_TEST(to_resume_is_no_answer_to_a_failed_write)
{
	struct sm_persistent_props props = list_props();
	props.supervision = (struct sm_supervision){.restarts_max = 1, .decide = resume};
	struct bench b = begin(props);
	settle(b.f, SM_OK);
	send_number(b.ref, 1);
	settle(b.f, SM_IO);
	send_number(b.ref, 2);
	send_number(b.ref, FAIL);
	settle(b.f, SM_OK);
	assert_int_equal(seen.effects.count, 0);
	assert_int_equal(seen.list.count, 0);
	end(&b);
}

SIM_TEST(an_effect_that_fails_and_is_resumed_keeps_nobody_waiting)
{
	struct sm_persistent_props props = list_props();
	props.supervision = (struct sm_supervision){.restarts_max = 1, .decide = resume};
	struct bench b = begin(props);
	send_number(b.ref, FAIL_AFTER);
	send_number(b.ref, 1);
	send_number(b.ref, FAIL);
	send_number(b.ref, 2);
	settle(b.f, SM_OK);
	TRACE_IS(&seen.effects, FAIL_AFTER, 1, 2);
	TRACE_IS(&seen.recovered, 0);
	end(&b);
}

SIM_TEST(a_command_that_the_log_could_not_place_is_decided_again_before_those_behind_it)
{
	struct bench b = begin(list_props());
	settle(b.f, SM_OK);
	for (uint64_t n = 1; n <= 4; n++)
		send_number(b.ref, n);
	b.f->producer_count = 0; /* the log has forgotten */
	settle(b.f, SM_OK);
	TRACE_IS(&seen.effects, 1, 2, 3, 4);
	end(&b);
}

SIM_TEST(a_table_that_is_older_than_the_topic_loses_no_events)
{
	struct bench b = begin(list_props());
	struct sm_persistent_props props = list_props();
	for (uint64_t n = 1; n <= 8; n++) {
		send_number(b.ref, n);
		settle(b.f, SM_OK);
		sm_stop(b.ref);
		settle(b.f, SM_OK);
		sm_unref(b.ref);
		struct fake_row *row = fake_row(b.f, (struct store_cell){(const uint8_t *)"list", 4}, false);
		if (n == 4 || n == 6)
			row->writer = row->writer_us = 1;
		if (n == 6) /* and the log knows nothing either */
			b.f->producer_count = 0;
		assert_int_equal(sm_persist_spawn(b.f->system, NULL, b.journal, &props, &b.ref), SM_OK);
	}
	settle(b.f, SM_OK);
	assert_int_equal(seen.list.count, 8);
	assert_int_equal(seen.signal.kind, SM_PERSIST_RECOVERED);
	assert_int_equal(seen.signal.dropped, 0);
	end(&b);
}

SIM_TEST(what_cannot_be_written_is_told_at_once)
{
	struct bench b = begin(list_props());
	const struct {
		uint64_t number;
		enum sm_err err;
	} tries[] = {{TOO_LARGE, SM_TOO_LARGE}, {NOTHING, SM_INVALID}, {BAD_HEADER, SM_INVALID}, {1, SM_OK}};
	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
		send_number(b.ref, tries[i].number);
		settle(b.f, SM_OK);
		assert_int_equal(seen.persist_err, tries[i].err);
	}
	TRACE_IS(&seen.effects, 1);
	assert_int_equal(sm_persist(NULL, NULL, 0, NULL), SM_INVALID);
	assert_int_equal(sm_snapshot(NULL), SM_INVALID);
	end(&b);
}

SIM_TEST(a_snapshot_that_fails_is_told_and_the_next_one_comes)
{
	struct sm_persistent_props props = list_props();
	props.snapshot_every = 2;
	struct bench b = begin(props);
	settle(b.f, SM_OK);
	seen.save_err = SM_NO_MEMORY;
	send_number(b.ref, 1);
	send_number(b.ref, 2);
	settle(b.f, SM_OK);
	TRACE_IS(&seen.not_saved, 2);
	seen.save_err = SM_OK;
	send_number(b.ref, 3);
	settle(b.f, SM_OK);
	assert_int_equal(seen.saved.count, 0);
	send_number(b.ref, 4);
	sim_settle(b.f->system);
	fake_end_one(b.f); /* the event; its snapshot is under way */
	sim_settle(b.f->system);
	assert_int_equal(b.f->pending_count, 1);
	send_number(b.ref, 5); /* does not wait for it */
	sim_settle(b.f->system);
	assert_int_equal(b.f->pending_count, 2);
	settle(b.f, SM_OK);
	TRACE_IS(&seen.saved, 4);
	send_number(b.ref, SNAPSHOT);
	settle(b.f, SM_OK);
	TRACE_IS(&seen.saved, 4, 5);
	TRACE_IS(&seen.effects, 1, 2, 3, 4, 5);
	end(&b);
}

static void start_timer(struct sm_actor *self, uint64_t ms)
{
	assert_int_equal(sm_timer_start(self, 1, ms, 0), SM_OK);
}
static enum sm_err timed_signal(struct sm_actor *self, void *state, const struct sm_persist_signal *signal)
{
	if (signal->kind == SM_PERSIST_RECOVERED)
		start_timer(self, 10);
	return SM_OK;
}

SIM_TEST(a_timer_is_a_command_too)
{
	struct sm_persistent_props props = list_props();
	props.signal = timed_signal;
	struct bench b = begin(props);
	settle(b.f, SM_OK);
	sm_sim_advance(b.f->system, 10);
	settle(b.f, SM_OK);
	assert_int_equal(seen.effects.count, 1);
	assert_int_equal(seen.list.numbers[0], TIMED);
	end(&b);
}

/* ---- many incarnations ---- */

static uint32_t batches_of(const struct fake *f, int64_t producer, int16_t epoch)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < f->batch_count; i++) {
		struct batch_info info;
		assert_int_equal(batch_parse(bytes_of(f->batches[i].bytes, f->batches[i].size), &info), SM_OK);
		count += info.producer_id == producer && info.producer_epoch == epoch;
	}
	return count;
}

SIM_TEST(when_a_producer_s_epochs_are_used_up_it_is_closed_and_another_begins)
{
	struct bench b = begin(list_props());
	struct writer writer, before;
	send_number(b.ref, 1);
	settle(b.f, SM_OK);
	sm_stop(b.ref);
	settle(b.f, SM_OK);
	struct fake_row *row = fake_row(b.f, (struct store_cell){(const uint8_t *)"list", 4}, false);
	assert_int_equal(row->writer, 1);
	row->writer = row->writer_us = NUMBERS_A_PRODUCER - 2; /* so many have been there */
	struct sm_persistent_props props = list_props();
	for (uint64_t number = NUMBERS_A_PRODUCER - 1; number <= NUMBERS_A_PRODUCER + 1; number++) {
		sm_unref(b.ref);
		assert_int_equal(sm_persist_spawn(b.f->system, NULL, b.journal, &props, &b.ref), SM_OK);
		send_number(b.ref, number);
		settle(b.f, SM_OK);
		assert_int_equal(row->writer, number);
		assert_int_equal(seen.list.numbers[seen.list.count - 1], number);
		persist__writer_of("list", number, &writer);
		assert_int_equal(writer.epoch, number % NUMBERS_A_PRODUCER);
		assert_int_equal(batches_of(b.f, writer.producer, writer.epoch), 2);
		sm_stop(b.ref);
		settle(b.f, SM_OK);
	}
	assert_int_equal(seen.list.count, 4);
	persist__writer_before("list", NUMBERS_A_PRODUCER, &before);
	assert_int_equal(before.epoch, INT16_MAX);
	assert_int_not_equal(before.producer, writer.producer);
	assert_int_equal(batches_of(b.f, before.producer, before.epoch), 1);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_wait_for_recovery_and_writes_in_order),
		cmocka_unit_test(what_the_stash_has_no_room_for_is_a_dead_letter),
		cmocka_unit_test(a_write_that_is_refused_rejects_the_command_and_nothing_else),
		cmocka_unit_test(after_a_write_that_failed_the_log_says_what_is_there),
		cmocka_unit_test(handlers_that_fail_write_nothing_or_have_written),
		cmocka_unit_test(an_event_that_cannot_be_applied_fails_the_actor_now_and_at_its_recovery),
		cmocka_unit_test(to_resume_is_no_answer_to_a_failed_write),
		cmocka_unit_test(an_effect_that_fails_and_is_resumed_keeps_nobody_waiting),
		cmocka_unit_test(a_command_that_the_log_could_not_place_is_decided_again_before_those_behind_it),
		cmocka_unit_test(a_table_that_is_older_than_the_topic_loses_no_events),
		cmocka_unit_test(what_cannot_be_written_is_told_at_once),
		cmocka_unit_test(a_snapshot_that_fails_is_told_and_the_next_one_comes),
		cmocka_unit_test(a_timer_is_a_command_too),
		cmocka_unit_test(when_a_producer_s_epochs_are_used_up_it_is_closed_and_another_begins),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
