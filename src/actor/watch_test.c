/* Death watch. */
#include "actor/testing.h"

enum { FAIL = 1, WATCH_ALL };
#define MORTALS 20

static enum sm_err mortal_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_CORRUPT;
}

struct watcher {
	struct sm_ref *mortals[MORTALS];
	atomic_int seen, stopped, failed, wrong, told;
};
static enum sm_err watcher_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct watcher *w = *(struct watcher **)state;
	if (msg->type == &sm_msg_terminated) {
		struct sm_terminated_msg *t = (struct sm_terminated_msg *)msg;
		bool known = false;
		for (int i = 0; i < MORTALS; i++)
			known |= w->mortals[i] == t->ref;
		w->wrong += !known;
		t->why == SM_OK ? w->stopped++ : t->why == SM_CORRUPT ? w->failed++ : w->wrong++;
		w->seen++;
		return SM_OK;
	}
	if (number_of(msg) == FAIL)
		return SM_FAILED;
	for (int i = 0; i < MORTALS; i++) {
		enum sm_err err = sm_watch(self, w->mortals[i]);
		if (err)
			return err;
	}
	w->told++;
	return SM_OK;
}
static enum sm_err pointer_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return SM_OK;
}

static void spawn_all(struct sm_system *system, struct watcher *w, struct sm_ref **watchers, int count)
{
	struct sm_props props = {.receive = mortal_receive, .dispatcher = -1};
	for (int i = 0; i < MORTALS; i++)
		assert_int_equal(sm_spawn(system, NULL, &props, &w->mortals[i]), SM_OK);
	props = (struct sm_props){.state_size = sizeof(void *),
				  .init = pointer_init,
				  .receive = watcher_receive,
				  .arg = w,
				  .dispatcher = -1,
				  .supervision = {.restarts_max = 10}};
	for (int i = 0; i < count; i++) {
		assert_int_equal(sm_spawn(system, NULL, &props, &watchers[i]), SM_OK);
		assert_int_equal(sm_send(watchers[i], number_new(WATCH_ALL)), SM_OK);
	}
	eventually(w->told == count);
}
static void end_mortals(struct watcher *w)
{
	for (int i = 0; i < MORTALS; i++) {
		if (i % 2)
			sm_stop(w->mortals[i]);
		else
			assert_int_equal(sm_send(w->mortals[i], number_new(FAIL)), SM_OK);
	}
}
static void finish(struct sm_system *system, struct watcher *w, struct sm_ref **watchers, int count)
{
	for (int i = 0; i < MORTALS; i++)
		sm_unref(w->mortals[i]);
	for (int i = 0; i < count; i++)
		sm_unref(watchers[i]);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static void each_watcher_learns_who_ended_and_why(void **unused)
{
	struct sm_system *system = system_with(2);
	struct watcher w = {0};
	struct sm_ref *watchers[4];
	spawn_all(system, &w, watchers, 4);
	end_mortals(&w);
	eventually(w.seen == 4 * MORTALS);
	assert_int_equal(w.stopped, 2 * MORTALS);
	assert_int_equal(w.failed, 2 * MORTALS);
	/* watching who has ended already: told at once */
	assert_int_equal(sm_send(watchers[0], number_new(WATCH_ALL)), SM_OK);
	eventually(w.seen == 5 * MORTALS);
	assert_int_equal(w.wrong, 0);
	finish(system, &w, watchers, 4);
}

static void watchers_that_end_first_or_together_leave_nothing_behind(void **unused)
{
	for (int round = 0; round < 10; round++) {
		struct sm_system *system = system_with(2);
		struct watcher w = {0};
		struct sm_ref *watchers[4];
		spawn_all(system, &w, watchers, 4);
		sm_stop(watchers[0]);
		sm_stop(watchers[1]);
		end_mortals(&w);
		sm_stop(watchers[2]);
		eventually(w.seen >= MORTALS);
		finish(system, &w, watchers, 4);
	}
}

static void a_restart_forgets_the_watches_of_the_life_before(void **unused)
{
	struct sm_system *system = system_with(1);
	struct watcher w = {0};
	struct sm_ref *watchers[1];
	spawn_all(system, &w, watchers, 1);
	assert_int_equal(sm_send(watchers[0], number_new(FAIL)), SM_OK);
	assert_int_equal(sm_send(watchers[0], number_new(WATCH_ALL)), SM_OK);
	eventually(w.told == 2);
	end_mortals(&w);
	eventually(w.seen == MORTALS);
	finish(system, &w, watchers, 1);
	assert_int_equal(w.seen, MORTALS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_watcher_learns_who_ended_and_why),
		cmocka_unit_test(watchers_that_end_first_or_together_leave_nothing_behind),
		cmocka_unit_test(a_restart_forgets_the_watches_of_the_life_before),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
