/* Timers by id. */
#include "actor/testing.h"

enum { ONCE, BEAT, STOPPED, MOVED, MANY_FIRST = 100 };
struct timed {
	atomic_int once, beats, stopped, moved, many, wrong;
	uint64_t started_ns;
	_Atomic uint64_t once_ns, last_many;
};

static enum sm_err timed_init(struct sm_actor *self, void *state, void *arg)
{
	struct timed *t = *(struct timed **)state = arg;
	t->started_ns = uv_hrtime();
	enum sm_err err = sm_timer_start(self, ONCE, 20, 0);
	if (!err)
		err = sm_timer_start(self, BEAT, 5, 5);
	if (!err)
		err = sm_timer_start(self, STOPPED, 10, 0);
	if (!err)
		err = sm_timer_start(self, MOVED, 1, 0);
	if (!err)
		err = sm_timer_start(self, MOVED, 30, 0);
	for (uint32_t i = 0; i < 100 && !err; i++) /* due in an order that is not that of starting */
		err = sm_timer_start(self, MANY_FIRST + i, 40 + i * 37 % 100, 0);
	sm_timer_stop(self, STOPPED);
	sm_timer_stop(self, 12345);
	return err;
}

static enum sm_err timed_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct timed *t = *(struct timed **)state;
	assert_ptr_equal(msg->type, &sm_msg_timer);
	uint32_t id = ((struct sm_timer_msg *)msg)->timer;
	switch (id) {
	case ONCE:
		t->once_ns = uv_hrtime();
		t->once++;
		break;
	case BEAT:
		if (++t->beats == 10)
			sm_timer_stop(self, BEAT);
		break;
	case STOPPED: t->stopped++; break;
	case MOVED: t->moved++; break;
	default: {
		uint64_t due = (id - MANY_FIRST) * 37 % 100;
		/* Each is counted from its own start, and on a busy machine the starts lie apart. */
		if (t->many && due + 50 < t->last_many)
			t->wrong++;
		t->last_many = due;
		t->many++;
	}
	}
	return SM_OK;
}

static void timers_come_once_or_repeat_and_stopped_ones_do_not(void **unused)
{
	struct sm_system *system = system_with(1);
	struct timed t = {0};
	struct sm_props props = {.state_size = sizeof(void *), .init = timed_init, .receive = timed_receive, .arg = &t, .dispatcher = -1};
	assert_int_equal(sm_spawn(system, NULL, &props, NULL), SM_OK);
	eventually(t.many == 100 && t.beats == 10 && t.once == 1 && t.moved == 1);
	assert_true(t.once_ns - t.started_ns >= 20000000);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(t.beats, 10);
	assert_int_equal(t.stopped, 0);
	assert_int_equal(t.wrong, 0);
}

/* The message is queued already when its timer is stopped, or started again, by an earlier message. */
struct racing {
	atomic_int stopped_came, moved_came, turns;
	atomic_bool ready, gate;
};
static enum sm_err racing_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct racing *r = *(struct racing **)state;
	if (msg->type == &sm_msg_timer) {
		((struct sm_timer_msg *)msg)->timer == STOPPED ? r->stopped_came++ : r->moved_came++;
		return SM_OK;
	}
	if (number_of(msg) == 1) {
		assert_int_equal(sm_timer_start(self, STOPPED, 0, 0), SM_OK);
		assert_int_equal(sm_timer_start(self, MOVED, 0, 1), SM_OK);
		assert_int_equal(sm_send(sm_self(self), number_new(2)), SM_OK);
	} else if (number_of(msg) < 50) { /* many turns, so that the timers have fired */
		assert_int_equal(sm_send(sm_self(self), number_new(number_of(msg) + 1)), SM_OK);
		nanosleep(&(struct timespec){0, 100000}, NULL);
	} else {
		sm_timer_stop(self, STOPPED);
		assert_int_equal(sm_timer_start(self, MOVED, 10, 0), SM_OK);
		r->stopped_came = r->moved_came = 0;
		r->turns++;
	}
	return SM_OK;
}
static enum sm_err pointer_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return SM_OK;
}
static void a_stopped_timer_does_not_come_even_if_its_message_is_queued(void **unused)
{
	struct sm_system *system = system_with(1);
	struct racing r = {0};
	struct sm_ref *ref;
	struct sm_props props = {
		.state_size = sizeof(void *), .init = pointer_init, .receive = racing_receive, .arg = &r, .dispatcher = -1};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	assert_int_equal(sm_send(ref, number_new(1)), SM_OK);
	eventually(r.turns == 1 && r.moved_came == 1);
	assert_int_equal(r.stopped_came, 0);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

/* One short timer after the other and nothing else that would wake the dispatcher: one that is due just before it goes to sleep must not
 * be slept over. */
enum { SHORT_TIMERS = 1000 };
static enum sm_err short_start(struct sm_actor *self, void *state, void *arg)
{
	*(atomic_int **)state = arg;
	return sm_timer_start(self, 1, 1, 0);
}
static enum sm_err short_came(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	/* libuv counts whole milliseconds: one begins between our look at the timers and its own. */
	int count = atomic_fetch_add(*(atomic_int **)state, 1);
	while (uv_hrtime() % 1000000 < 1000000 - (uint64_t)(1 + count % 64) * 200)
		;
	return count < SHORT_TIMERS ? sm_timer_start(self, 1, 1, 0) : SM_OK;
}
static void a_timer_that_is_due_before_the_dispatcher_sleeps_wakes_it(void **unused)
{
	struct sm_system *system = system_with(1);
	atomic_int count = 0;
	struct sm_props props = {.state_size = sizeof(void *), .init = short_start, .receive = short_came, .arg = &count, .dispatcher = -1};
	assert_int_equal(sm_spawn(system, NULL, &props, NULL), SM_OK);
	eventually(atomic_load(&count) > SHORT_TIMERS);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_come_once_or_repeat_and_stopped_ones_do_not),
		cmocka_unit_test(a_stopped_timer_does_not_come_even_if_its_message_is_queued),
		cmocka_unit_test(a_timer_that_is_due_before_the_dispatcher_sleeps_wakes_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
