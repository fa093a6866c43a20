/* Init, failure, restart limits and back-off, the order of ending. */
#include "actor/testing.h"
#include <pthread.h>

enum { FAIL = 1, COUNT, SPAWN };

struct life {
	atomic_int inits, dones, counted, fail_inits;
	_Atomic uint64_t init_ns[16];
};
struct life_state {
	struct life *life;
	int counted; /* zeroed at each restart */
};
static enum sm_err life_init(struct sm_actor *self, void *state, void *arg)
{
	struct life_state *s = state;
	assert_int_equal(s->counted, 0);
	s->life = arg;
	int n = s->life->inits++;
	if (n < 16)
		s->life->init_ns[n] = uv_hrtime();
	return s->life->fail_inits-- > 0 ? SM_UNAVAILABLE : SM_OK;
}
static enum sm_err life_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct life_state *s = state;
	if (number_of(msg) == FAIL)
		return SM_CORRUPT;
	s->counted++;
	s->life->counted++;
	return SM_OK;
}
static void life_done(struct sm_actor *self, void *state)
{
	((struct life_state *)state)->life->dones++;
}

static struct sm_props life_props(struct life *life)
{
	return (struct sm_props){.state_size = sizeof(struct life_state),
				 .init = life_init,
				 .receive = life_receive,
				 .done = life_done,
				 .arg = life,
				 .dispatcher = -1};
}

static bool gone(struct sm_ref *ref)
{
	struct sm_msg *msg = number_new(COUNT);
	if (sm_send(ref, msg) != SM_GONE)
		return false;
	sm_msg_free(msg);
	return true;
}

static void without_restarts_an_error_ends_the_actor(void **unused)
{
	struct sm_system *system = system_with(1);
	struct life life = {0};
	struct sm_props props = life_props(&life);
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	assert_int_equal(sm_send(ref, number_new(FAIL)), SM_OK);
	eventually(gone(ref));
	eventually(life.dones == 1);
	assert_int_equal(life.inits, 1);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

static void a_failing_init_ends_the_actor_without_done(void **unused)
{
	struct sm_system *system = system_with(1);
	struct life life = {.fail_inits = 1};
	struct sm_props props = life_props(&life);
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	eventually(gone(ref));
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(life.dones, 0);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static void restarts_have_a_fresh_state_keep_the_mailbox_and_wait_longer_each_time(void **unused)
{
	struct sm_system *system = system_with(1);
	struct life life = {0};
	struct sm_props props = life_props(&life);
	props.supervision = (struct sm_supervision){.restarts_max = 3, .window_ms = 60000, .backoff_min_ms = 10, .backoff_max_ms = 25};
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sm_send(ref, number_new(FAIL)), SM_OK);
		assert_int_equal(sm_send(ref, number_new(COUNT)), SM_OK);
	}
	eventually(life.inits == 4 && life.counted == 3);
	assert_true(life.init_ns[1] - life.init_ns[0] >= 10000000);
	assert_true(life.init_ns[2] - life.init_ns[1] >= 20000000);
	assert_true(life.init_ns[3] - life.init_ns[2] >= 25000000);
	assert_int_equal(life.dones, 3);
	assert_int_equal(sm_send(ref, number_new(FAIL)), SM_OK);
	eventually(gone(ref));
	eventually(life.dones == 4);
	assert_int_equal(life.inits, 4);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static void restarts_count_only_within_the_window(void **unused)
{
	struct sm_system *system = system_with(1);
	struct life life = {0};
	struct sm_props props = life_props(&life);
	props.supervision = (struct sm_supervision){.restarts_max = 1, .window_ms = 5};
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	for (int i = 1; i <= 4; i++) {
		assert_int_equal(sm_send(ref, number_new(FAIL)), SM_OK);
		eventually(life.inits == i + 1);
		nanosleep(&(struct timespec){0, 6000000}, NULL); /* the window is what is tested */
	}
	assert_false(gone(ref));
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

static void a_failing_init_at_restart_counts_and_is_tried_again(void **unused)
{
	struct sm_system *system = system_with(1);
	struct life life = {0};
	struct sm_props props = life_props(&life);
	props.supervision = (struct sm_supervision){.restarts_max = 5, .window_ms = 60000, .backoff_min_ms = 1, .backoff_max_ms = 2};
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	eventually(life.inits == 1);
	life.fail_inits = 3;
	assert_int_equal(sm_send(ref, number_new(FAIL)), SM_OK);
	assert_int_equal(sm_send(ref, number_new(COUNT)), SM_OK);
	eventually(life.counted == 1);
	assert_int_equal(life.inits, 5);
	assert_int_equal(life.dones, 1);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

static void a_stop_ends_an_actor_that_waits_for_its_restart(void **unused)
{
	struct sm_system *system = system_with(2);
	struct life life = {0};
	struct sm_props props = life_props(&life);
	props.supervision = (struct sm_supervision){.restarts_max = 1, .backoff_min_ms = 3600000};
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	assert_int_equal(sm_send(ref, number_new(FAIL)), SM_OK);
	assert_int_equal(sm_send(ref, number_new(COUNT)), SM_OK);
	eventually(life.dones == 1);
	sm_stop(ref);
	eventually(gone(ref));
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(life.counted, 0);
	assert_int_equal(atomic_load(&testing_live), 0);
}

/* ---- the order of ending ---- */

static pthread_mutex_t ends_lock = PTHREAD_MUTEX_INITIALIZER;
static char ends[512];

static void family_done(struct sm_actor *self, void *state)
{
	pthread_mutex_lock(&ends_lock);
	strcat(ends, strrchr(sm_actor_path(self), '/') + 1);
	strcat(ends, " ");
	pthread_mutex_unlock(&ends_lock);
}
static atomic_int family_inits;
static enum sm_err family_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_CORRUPT;
}
/* arg is the generation: 2 has children a, b, c; each of them has x and y. */
static enum sm_err family_init(struct sm_actor *self, void *state, void *arg)
{
	family_inits++;
	uintptr_t generation = (uintptr_t)arg;
	static const char *const names[3][4] = {{NULL}, {"x", "y", NULL}, {"a", "b", "c", NULL}};
	for (const char *const *name = names[generation]; *name; name++) {
		char full[64];
		snprintf(full, sizeof full, "%s%s", generation == 1 ? strrchr(sm_actor_path(self), '/') + 1 : "", *name);
		struct sm_props props = {.name = full,
					 .init = family_init,
					 .receive = family_receive,
					 .done = family_done,
					 .arg = (void *)(generation - 1),
					 .dispatcher = -1};
		enum sm_err err = sm_spawn(sm_actor_system(self), self, &props, NULL);
		if (err)
			return err;
		if (sm_spawn(sm_actor_system(self), self, &props, NULL) != SM_EXISTS)
			return SM_FAILED;
	}
	return SM_OK;
}

static const char family_order[] = "cy cx c by bx b ay ax a ";

static void children_end_before_parents_in_the_reverse_order_of_spawning(void **unused)
{
	struct sm_system *system = system_with(2);
	ends[0] = 0;
	family_inits = 0;
	struct sm_props props = {
		.name = "first", .init = family_init, .receive = family_receive, .done = family_done, .arg = (void *)2, .dispatcher = -1};
	assert_int_equal(sm_spawn(system, NULL, &props, NULL), SM_OK);
	eventually(family_inits == 10);
	props = (struct sm_props){.name = "second", .receive = family_receive, .done = family_done, .dispatcher = -1};
	assert_int_equal(sm_spawn(system, NULL, &props, NULL), SM_OK);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	char expected[sizeof ends];
	snprintf(expected, sizeof expected, "second %sfirst ", family_order);
	assert_string_equal(ends, expected);
}

static void a_restart_ends_the_children_first_and_init_makes_them_anew(void **unused)
{
	struct sm_system *system = system_with(2);
	ends[0] = 0;
	family_inits = 0;
	struct sm_ref *ref;
	struct sm_props props = {.name = "first",
				 .init = family_init,
				 .receive = family_receive,
				 .done = family_done,
				 .arg = (void *)2,
				 .dispatcher = -1,
				 .supervision = {.restarts_max = 1}};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	eventually(family_inits == 10);
	assert_int_equal(sm_send(ref, number_new(1)), SM_OK);
	eventually(family_inits == 20);
	char expected[sizeof ends];
	snprintf(expected, sizeof expected, "%sfirst ", family_order);
	assert_string_equal(ends, expected);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	snprintf(expected, sizeof expected, "%sfirst %sfirst ", family_order, family_order);
	assert_string_equal(ends, expected);
}

static void an_actor_that_does_not_end_in_time_is_abandoned_but_its_done_still_runs(void **unused)
{
	struct sm_system *system = system_with(1);
	struct life life = {0};
	struct sm_props props = life_props(&life);
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	for (int i = 0; i < 100; i++)
		assert_int_equal(sm_send(ref, number_new(COUNT)), SM_OK);
	enum sm_err err = sm_system_stop(system, 0);
	assert_true(err == SM_OK || err == SM_TIMEOUT);
	assert_int_equal(life.inits, life.dones);
	assert_true(gone(ref));
	sm_unref(ref);
	assert_int_equal(atomic_load(&testing_live), 0);
}

/* The middle one asks its child, which is slow and on another dispatcher, to end; the time is up before. */
static struct sm_ref *slow_ref;
static atomic_int slow_dones;
static atomic_bool slow_stands;
static void slow_done(struct sm_actor *self, void *state)
{
	slow_dones++;
}
static enum sm_err slow_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	nanosleep(&(struct timespec){0, 100000}, NULL); /* a turn of messages stays well under the grace of a forced end */
	return SM_OK;
}
static enum sm_err slow_init(struct sm_actor *self, void *state, void *arg)
{
	intptr_t depth = (intptr_t)arg;
	struct sm_props props = {
		.init = slow_init, .receive = slow_receive, .done = slow_done, .arg = (void *)(depth - 1), .dispatcher = (int)(depth % 2)};
	enum sm_err err = depth ? sm_spawn(sm_actor_system(self), self, &props, depth == 1 ? &slow_ref : NULL) : SM_OK;
	if (!err && depth == 1 && !(err = sm_watch(self, slow_ref)))
		slow_stands = true;
	return err;
}
static void what_is_left_when_the_time_is_up_is_ended_children_first(void **unused)
{
	struct sm_system *system = system_with(2);
	struct sm_props props = {.init = slow_init, .receive = slow_receive, .done = slow_done, .arg = (void *)2, .dispatcher = 0};
	assert_int_equal(sm_spawn(system, NULL, &props, NULL), SM_OK);
	eventually(slow_stands);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(sm_send(slow_ref, number_new(COUNT)), SM_OK);
	assert_int_equal(sm_system_stop(system, 20), SM_TIMEOUT);
	assert_int_equal(slow_dones, 3);
	assert_true(gone(slow_ref));
	sm_unref(slow_ref);
	assert_int_equal(atomic_load(&testing_live), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_restarts_an_error_ends_the_actor),
		cmocka_unit_test(a_failing_init_ends_the_actor_without_done),
		cmocka_unit_test(restarts_have_a_fresh_state_keep_the_mailbox_and_wait_longer_each_time),
		cmocka_unit_test(restarts_count_only_within_the_window),
		cmocka_unit_test(a_failing_init_at_restart_counts_and_is_tried_again),
		cmocka_unit_test(a_stop_ends_an_actor_that_waits_for_its_restart),
		cmocka_unit_test(children_end_before_parents_in_the_reverse_order_of_spawning),
		cmocka_unit_test(a_restart_ends_the_children_first_and_init_makes_them_anew),
		cmocka_unit_test(an_actor_that_does_not_end_in_time_is_abandoned_but_its_done_still_runs),
		cmocka_unit_test(what_is_left_when_the_time_is_up_is_ended_children_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
