/* Asks: answers, time-outs, late and doubled answers, askers and askees that end. */
#include "actor/testing.h"
#include <pthread.h>

enum { ANSWER = 1, KEEP, ANSWER_KEPT, NEVER, TWICE, HANG };

struct askee {
	struct sm_msg *kept;
	atomic_bool *gate;
};
static enum sm_err askee_init(struct sm_actor *self, void *state, void *arg)
{
	((struct askee *)state)->gate = arg;
	return SM_OK;
}
static enum sm_err askee_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct askee *s = state;
	switch (number_of(msg) % 100) {
	case TWICE:
		sm_reply(self, msg, number_new(number_of(msg) + 1000));
		/* fall through */
	case ANSWER: sm_reply(self, msg, number_new(number_of(msg) + 1000)); break;
	case KEEP:
		sm_msg_keep(self);
		s->kept = msg;
		break;
	case ANSWER_KEPT:
		sm_reply(self, s->kept, number_new(7));
		sm_msg_free(s->kept);
		s->kept = NULL;
		break;
	case HANG: gate_wait(s->gate); break;
	}
	return SM_OK;
}
static void askee_done(struct sm_actor *self, void *state)
{
	sm_msg_free(((struct askee *)state)->kept);
}
static struct sm_ref *askee_spawn(struct sm_system *system, int dispatcher, atomic_bool *gate)
{
	struct sm_ref *ref;
	struct sm_props props = {.state_size = sizeof(struct askee),
				 .init = askee_init,
				 .receive = askee_receive,
				 .done = askee_done,
				 .arg = gate,
				 .dispatcher = dispatcher};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	return ref;
}

struct asker {
	struct sm_ref *to;
	uint32_t timeout_ms;
	_Atomic uint64_t expected;
	uint64_t asked[256];
	atomic_int answers, failures, timeouts, gone, unexpected, refused;
	_Atomic uint64_t sum;
};
static enum sm_err asker_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct asker *s = *(struct asker **)state;
	if (msg->type == &sm_msg_ask_failed) {
		s->failures++;
		((struct sm_ask_failed_msg *)msg)->why == SM_GONE ? s->gone++ : s->timeouts++;
	} else if (msg->ask_id) { /* an answer: to one of ours */
		bool ours = false;
		for (uint64_t i = 0; i < s->expected; i++)
			ours |= s->asked[i] == msg->ask_id;
		s->unexpected += !ours;
		s->sum += number_of(msg);
		s->answers++;
	} else {
		struct sm_msg *request = number_new(number_of(msg));
		enum sm_err err = sm_ask(self, s->to, request, s->timeout_ms, &s->asked[s->expected]);
		if (err) {
			s->refused++;
			sm_msg_free(request);
		} else {
			s->expected++;
		}
	}
	return SM_OK;
}
static enum sm_err pointer_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return SM_OK;
}
static struct sm_ref *asker_spawn(struct sm_system *system, struct asker *asker)
{
	struct sm_ref *ref;
	struct sm_props props = {
		.state_size = sizeof(void *), .init = pointer_init, .receive = asker_receive, .arg = asker, .dispatcher = 0};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	return ref;
}
static void tell(struct sm_ref *ref, uint64_t number)
{
	assert_int_equal(sm_send(ref, number_new(number)), SM_OK);
}

static void finish(struct sm_system *system, struct sm_ref *a, struct sm_ref *b)
{
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	sm_unref(a);
	sm_unref(b);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static void an_answer_comes_with_the_id_of_its_ask(void **unused)
{
	for (int dispatcher = 0; dispatcher < 2; dispatcher++) {
		struct sm_system *system = system_with(2);
		struct sm_ref *to = askee_spawn(system, dispatcher, NULL);
		struct asker s = {.to = to, .timeout_ms = 10000};
		struct sm_ref *ref = asker_spawn(system, &s);
		uint64_t sum = 0;
		for (uint64_t i = 0; i < 200; i++) {
			tell(ref, i * 100 + ANSWER);
			sum += i * 100 + ANSWER + 1000;
		}
		eventually(s.answers == 200);
		assert_int_equal(s.sum, sum);
		assert_int_equal(s.unexpected, 0);
		finish(system, ref, to);
	}
}

static void a_kept_request_is_answered_later(void **unused)
{
	struct sm_system *system = system_with(2);
	struct sm_ref *to = askee_spawn(system, 1, NULL);
	struct asker s = {.to = to, .timeout_ms = 10000};
	struct sm_ref *ref = asker_spawn(system, &s);
	tell(ref, KEEP);
	eventually(s.expected == 1);
	tell(ref, ANSWER_KEPT);
	eventually(s.answers == 1);
	assert_int_equal(s.sum, 7);
	finish(system, ref, to);
}

static void no_answer_in_time_is_told_and_the_late_one_is_freed_unseen(void **unused)
{
	struct sm_system *system = system_with(2);
	struct sm_ref *to = askee_spawn(system, 1, NULL);
	struct asker s = {.to = to, .timeout_ms = 5};
	struct sm_ref *ref = asker_spawn(system, &s);
	tell(ref, KEEP);
	eventually(s.timeouts == 1);
	tell(to, ANSWER_KEPT);
	s.timeout_ms = 10000;
	tell(ref, ANSWER);
	eventually(s.answers == 1);
	assert_int_equal(s.sum, ANSWER + 1000);
	assert_int_equal(s.failures, 1);
	finish(system, ref, to);
}

static void a_second_answer_is_freed_unseen(void **unused)
{
	struct sm_system *system = system_with(1);
	struct sm_ref *to = askee_spawn(system, 0, NULL);
	struct asker s = {.to = to, .timeout_ms = 10000};
	struct sm_ref *ref = asker_spawn(system, &s);
	for (int i = 0; i < 50; i++)
		tell(ref, TWICE);
	tell(ref, ANSWER);
	eventually(s.answers == 51);
	assert_int_equal(s.unexpected, 0);
	finish(system, ref, to);
}

static void who_ends_with_the_request_unread_is_told_of_at_once(void **unused)
{
	struct sm_system *system = system_with(2);
	atomic_bool gate = false;
	struct sm_ref *to = askee_spawn(system, 1, &gate);
	struct asker s = {.to = to, .timeout_ms = 60000};
	struct sm_ref *ref = asker_spawn(system, &s);
	tell(to, HANG);
	sm_stop(to);
	tell(ref, ANSWER);
	eventually(s.expected == 1 || s.refused == 1);
	atomic_store(&gate, true);
	eventually(s.gone == 1 || s.refused == 1);
	eventually((tell(ref, ANSWER), s.refused > 0)); /* SM_GONE at once */
	assert_int_equal(s.answers, 0);
	finish(system, ref, to);
}

static void an_asker_that_ends_leaves_nothing_behind(void **unused)
{
	struct sm_system *system = system_with(2);
	struct sm_ref *to = askee_spawn(system, 1, NULL);
	struct asker s = {.to = to, .timeout_ms = 10000};
	struct sm_ref *ref = asker_spawn(system, &s);
	for (int i = 0; i < 100; i++)
		tell(ref, i % 2 ? ANSWER : NEVER);
	sm_stop(ref);
	finish(system, ref, to);
}

/* ---- from a thread ---- */

static void a_thread_waits_for_its_answer(void **unused)
{
	struct sm_system *system = system_with(2);
	struct sm_ref *to = askee_spawn(system, 1, NULL);
	for (uint64_t i = 0; i < 500; i++) {
		struct sm_msg *answer;
		assert_int_equal(sm_ask_wait(system, to, number_new(i % 2 ? ANSWER : TWICE), 10000, &answer), SM_OK);
		assert_int_equal(number_of(answer), (i % 2 ? ANSWER : TWICE) + 1000);
		sm_msg_free(answer);
	}
	struct sm_msg *answer = NULL;
	assert_int_equal(sm_ask_wait(system, to, number_new(KEEP), 5, &answer), SM_TIMEOUT);
	tell(to, ANSWER_KEPT); /* too late: freed */
	assert_int_equal(sm_ask_wait(system, to, number_new(NEVER), 5, &answer), SM_TIMEOUT);
	finish(system, to, NULL);
	assert_null(answer);
}

static void a_waiting_thread_is_told_when_the_other_ends(void **unused)
{
	struct sm_system *system = system_with(1);
	atomic_bool gate = false;
	struct sm_ref *to = askee_spawn(system, 0, &gate);
	tell(to, HANG);
	sm_stop(to);
	atomic_store(&gate, true);
	struct sm_msg *answer, *request = number_new(ANSWER);
	enum sm_err err = sm_ask_wait(system, to, request, 60000, &answer);
	assert_true(err == SM_CANCELLED || err == SM_GONE);
	if (err == SM_GONE)
		sm_msg_free(request);
	eventually((err = sm_ask_wait(system, to, request = number_new(ANSWER), 60000, &answer)) == SM_GONE);
	sm_msg_free(request);
	finish(system, to, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_with_the_id_of_its_ask),
		cmocka_unit_test(a_kept_request_is_answered_later),
		cmocka_unit_test(no_answer_in_time_is_told_and_the_late_one_is_freed_unseen),
		cmocka_unit_test(a_second_answer_is_freed_unseen),
		cmocka_unit_test(who_ends_with_the_request_unread_is_told_of_at_once),
		cmocka_unit_test(an_asker_that_ends_leaves_nothing_behind),
		cmocka_unit_test(a_thread_waits_for_its_answer),
		cmocka_unit_test(a_waiting_thread_is_told_when_the_other_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
