/* What an actor takes of the heap, its address, its overhead and the rounding of malloc included. */
#include "actor/testing.h"
#include <malloc.h>

#define MANY 20000
#define BYTES_MAX 256 /* supervised and watchable, with a state of 40 bytes */
#define WATCH_BYTES_MAX 112

static enum sm_err quiet_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_OK;
}

static struct sm_ref *refs[MANY];

static const struct sm_props quiet = {.state_size = 40,
				      .receive = quiet_receive,
				      .dispatcher = SM_DISPATCHER_ANY,
				      .supervision = {.restarts_max = 3, .window_ms = 1000, .backoff_min_ms = 10}};

/* With a sanitizer the heap is another one and says nothing. */
static size_t in_use(void)
{
	size_t bytes = mallinfo2().uordblks;
	if (bytes == 0)
		skip();
	return bytes;
}

/* All have started, and nothing is under way. */
static void settle(struct sm_system *system)
{
	for (int i = 0; i < MANY; i++)
		assert_int_equal(sm_send(refs[i], number_new(1)), SM_OK);
	eventually(atomic_load(&testing_live) == 0);
}

static void an_actor_takes_at_most_256_bytes(void **unused)
{
	struct sm_system *system = system_with(1);
	size_t before = in_use();
	for (int i = 0; i < MANY; i++)
		assert_int_equal(sm_spawn(system, NULL, &quiet, &refs[i]), SM_OK);
	settle(system);
	size_t each = (in_use() - before) / MANY; /* what is not an actor is less than one byte of each */
	if (each > BYTES_MAX)
		fail_msg("an actor takes %zu bytes; at most %d", each, BYTES_MAX);
	for (int i = 0; i < MANY; i++)
		sm_unref(refs[i]);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

/* ---- a watch ---- */

static atomic_uint watched;

static enum sm_err watcher_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->type != &number_type)
		return SM_OK;
	for (int i = 0; i < MANY; i++)
		assert_int_equal(sm_watch(self, refs[i]), SM_OK);
	atomic_store(&watched, 1);
	return SM_OK;
}

static void a_watch_takes_at_most_112_bytes(void **unused)
{
	struct sm_system *system = system_with(1);
	const struct sm_props props = {.receive = watcher_receive, .dispatcher = SM_DISPATCHER_ANY};
	struct sm_ref *watcher;
	in_use();
	for (int i = 0; i < MANY; i++)
		assert_int_equal(sm_spawn(system, NULL, &quiet, &refs[i]), SM_OK);
	settle(system);
	size_t before = in_use();
	assert_int_equal(sm_spawn(system, NULL, &props, &watcher), SM_OK);
	assert_int_equal(sm_send(watcher, number_new(1)), SM_OK);
	eventually(atomic_load(&watched) && atomic_load(&testing_live) == 0);
	size_t each = (in_use() - before) / MANY; /* the watcher itself is less than one byte of each */
	if (each > WATCH_BYTES_MAX)
		fail_msg("a watch takes %zu bytes; at most %d", each, WATCH_BYTES_MAX);
	for (int i = 0; i < MANY; i++)
		sm_unref(refs[i]);
	sm_unref(watcher);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

/* ---- an address outlives its actor, a large state does not ---- */

#define LARGE (100u << 10) /* below what malloc takes from the system by itself, which it does not count */

static void an_address_does_not_hold_a_large_state(void **unused)
{
	struct sm_system *system = system_with(1);
	const struct sm_props props = {.state_size = LARGE, .receive = quiet_receive, .dispatcher = SM_DISPATCHER_ANY};
	struct sm_ref *large[10];
	size_t before = in_use();
	for (int i = 0; i < 10; i++)
		assert_int_equal(sm_spawn(system, NULL, &props, &large[i]), SM_OK);
	assert_true(in_use() - before >= 10 * LARGE);
	for (int i = 0; i < 10; i++)
		assert_int_equal(sm_stop_wait(system, large[i], DEADLINE_MS, NULL), SM_OK);
	eventually(in_use() - before < LARGE);
	for (int i = 0; i < 10; i++)
		sm_unref(large[i]);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

int main(void)
{
	mallopt(M_ARENA_MAX, 1); /* mallinfo2 looks at the first one only */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_actor_takes_at_most_256_bytes),
		cmocka_unit_test(a_watch_takes_at_most_112_bytes),
		cmocka_unit_test(an_address_does_not_hold_a_large_state),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
