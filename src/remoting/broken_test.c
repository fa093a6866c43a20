/* Connections that break all the time: what is promised for system messages and for the order of messages holds all the same. */
#include "remoting/testing.h"
#include <sys/socket.h>

static struct node a, b;

/* Break every connection of this process, but not its listeners. */
static void break_connections(void)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_storage peer;
		socklen_t size = sizeof peer;
		if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0)
			shutdown(fd, SHUT_RDWR);
	}
}

static uint64_t seed = 1;
static uint64_t next_random(uint64_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

static int set_up(void **unused)
{
	a = node_tcp("a");
	b = node_tcp("b");
	return 0;
}
static int tear_down(void **unused)
{
	node_end(&a);
	node_end(&b);
	return atomic_load(&testing_live) != 0;
}

static struct sm_ref *ref_of(struct node *from, struct node *at, struct sm_ref *actor)
{
	char text[3000];
	struct sm_ref *ref;
	assert_int_equal(sm_ref_to_text(at->remoting, actor, text, sizeof text), SM_OK);
	assert_int_equal(sm_ref_of_text(from->remoting, text, &ref), SM_OK);
	return ref;
}

#define ACTORS 150
static void each_end_is_told_of_once(void **unused)
{
	static struct watcher w[ACTORS];
	static struct seen seen, probe_seen; /* actors write there until their system ends, after the test */
	struct sm_ref *watchers[ACTORS], *refs[ACTORS];
	bool from_afar[ACTORS];
	struct sm_ref *probe = spawn_seen(b.system, "probe", &probe_seen), *to_probe = ref_of(&a, &b, probe);
	for (int i = 0; i < ACTORS; i++) {
		struct sm_ref *there = spawn_seen(b.system, NULL, &seen);
		refs[i] = ref_of(&a, &b, there);
		watchers[i] = spawn_watcher(a.system, &w[i], refs[i]);
		from_afar[i] = next_random(2);
		sm_stop(from_afar[i] ? refs[i] : there); /* from afar it must not be lost either */
		if (next_random(3) == 0)
			break_connections();
		sm_unref(there);
	}
	for (int i = 0; i < ACTORS; i++) {
		eventually(atomic_load(&w[i].seen.ended) >= 1);
		/* The watch comes before a stop from the same side; of another stop it may learn when the actor is not there any more. */
		enum sm_err why = (enum sm_err)atomic_load(&w[i].seen.why);
		assert_true(why == SM_OK || (why == SM_GONE && !from_afar[i]));
	}
	/* Behind all of them. A question may be lost with the connection that was broken last. */
	struct sm_msg *answer;
	while (sm_ask_wait(a.system, to_probe, number_new(1), 1000, &answer))
		;
	sm_msg_free(answer);
	for (int i = 0; i < ACTORS; i++) {
		assert_int_equal(atomic_load(&w[i].seen.ended), 1);
		sm_unref(watchers[i]);
		sm_unref(refs[i]);
	}
	sm_unref(probe), sm_unref(to_probe);
}

static void messages_may_be_lost_but_not_doubled_or_reordered(void **unused)
{
	static struct seen at_a, at_b;
	struct sm_ref *in_a = spawn_seen(a.system, "one", &at_a), *in_b = spawn_seen(b.system, "one", &at_b), *to_a = ref_of(&b, &a, in_a),
		      *to_b = ref_of(&a, &b, in_b);
	for (uint64_t i = 1; i <= 20000; i++) {
		tell_number(to_b, i), tell_number(to_a, i);
		if (i % 500 == 0)
			break_connections();
	}
	/* The last ones arrive, now that nothing breaks any more. */
	for (uint64_t i = 20001; atomic_load(&at_a.last) <= 20000 || atomic_load(&at_b.last) <= 20000; i++) {
		tell_number(to_b, i), tell_number(to_a, i);
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	assert_int_equal(atomic_load(&at_a.out_of_order), 0);
	assert_int_equal(atomic_load(&at_b.out_of_order), 0);
	sm_unref(in_a), sm_unref(in_b), sm_unref(to_a), sm_unref(to_b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_end_is_told_of_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(messages_may_be_lost_but_not_doubled_or_reordered, set_up, tear_down),
	};
	logging_set((enum log_level)(getenv("SMACK_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1), false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
