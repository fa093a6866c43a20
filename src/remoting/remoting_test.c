/* Two systems of this process, joined over sockets. */
#include "remoting/testing.h"
#include "remoting/remoting_limits.h"

static struct node a, b;

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

static void messages_arrive_in_order(void **unused)
{
	static struct seen seen;
	struct sm_ref *there = spawn_seen(b.system, "counter", &seen), *ref = resolve(&a, &b, "/root/counter");
	for (uint64_t i = 1; i <= 20000; i++)
		tell_number(ref, i);
	eventually(atomic_load(&seen.count) == 20000);
	assert_int_equal(atomic_load(&seen.out_of_order), 0);
	assert_int_equal(atomic_load(&seen.last), 20000);
	sm_unref(ref);
	sm_unref(there);
}

static void a_thread_asks(void **unused)
{
	static struct seen seen;
	struct sm_ref *there = spawn_seen(b.system, "counter", &seen), *ref = resolve(&a, &b, "/root/counter");
	for (uint64_t i = 1; i <= 200; i++)
		assert_int_equal(ask_number(a.system, ref, i), i + 1);
	sm_unref(ref);
	sm_unref(there);
}

/* ---- an actor asks, forwards, and is found by key ---- */

struct asker {
	struct sm_remoting *remoting;
	const char *address;
	struct sm_ref *found;
	atomic_int step;
	atomic_ulong answer;
	uint64_t ask_id;
};
static enum sm_err asker_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct asker *s = *(struct asker **)state;
	if (msg->type == &number_type && !msg->ask_id) {
		assert_int_equal(sm_resolve(self, s->remoting, s->address, DEADLINE_MS, &s->ask_id), SM_OK);
	} else if (msg->type == &sm_msg_resolved) {
		struct sm_resolved_msg *m = (struct sm_resolved_msg *)msg;
		assert_int_equal(msg->ask_id, s->ask_id);
		assert_int_equal(m->why, SM_OK);
		assert_int_equal(m->count, 1);
		s->found = sm_ref_get(m->refs[0]);
		assert_int_equal(sm_ask(self, s->found, number_new(41), DEADLINE_MS, &s->ask_id), SM_OK);
	} else if (msg->type == &number_type) {
		assert_int_equal(msg->ask_id, s->ask_id);
		atomic_store(&s->answer, number_of(msg));
	} else if (msg->type == &sm_msg_ask_failed) {
		atomic_store(&s->step, (int)((struct sm_ask_failed_msg *)msg)->why);
	}
	return SM_OK;
}
static enum sm_err registered_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return sm_register(self, "counters");
}

static void an_actor_finds_by_key_and_asks(void **unused)
{
	static struct seen seen;
	static char address[200];
	struct sm_ref *there, *ref;
	struct sm_props props = {.state_size = sizeof(void *), .init = registered_init, .receive = seen_receive, .arg = &seen};
	assert_int_equal(sm_spawn(b.system, NULL, &props, &there), SM_OK);
	eventually(sm_find(b.system, "counters", NULL, 0) == 1);
	snprintf(address, sizeof address, "%s/key/counters", sm_remoting_address(b.remoting));
	static struct asker asker;
	asker = (struct asker){.remoting = a.remoting, .address = address};
	props = (struct sm_props){.state_size = sizeof(void *), .init = seen_init, .receive = asker_receive, .arg = &asker};
	assert_int_equal(sm_spawn(a.system, NULL, &props, &ref), SM_OK);
	tell_number(ref, 1);
	eventually(atomic_load(&asker.answer) == 42);
	sm_unref(asker.found);
	sm_unref(ref);
	sm_unref(there);
}

static enum sm_err forward_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return sm_forward(self, *(struct sm_ref **)state, msg);
}

/* a asks an actor of a that forwards to b, which forwards to c: the answer goes straight back. */
static void forwarded_asks_are_answered_to_who_asked(void **unused)
{
	static struct seen seen;
	struct node c = node_tcp("c");
	struct sm_ref *end = spawn_seen(c.system, "end", &seen), *to_c = resolve(&b, &c, "/root/end"), *in_b, *to_b, *in_a;
	struct sm_props props = {
		.name = "middle", .state_size = sizeof(void *), .init = seen_init, .receive = forward_receive, .arg = to_c};
	assert_int_equal(sm_spawn(b.system, NULL, &props, &in_b), SM_OK);
	props.arg = to_b = resolve(&a, &b, "/root/middle");
	assert_int_equal(sm_spawn(a.system, NULL, &props, &in_a), SM_OK);
	for (uint64_t i = 1; i <= 20; i++)
		assert_int_equal(ask_number(a.system, in_a, i), i + 1);
	assert_int_equal(atomic_load(&seen.count), 20);
	sm_unref(in_a);
	sm_unref(in_b);
	sm_unref(to_b);
	sm_unref(to_c);
	sm_unref(end);
	node_end(&c);
}

static void references_travel_and_come_home(void **unused)
{
	static struct seen in_a, in_b, other;
	struct sm_ref *home = spawn_seen(a.system, "home", &in_a), *there = spawn_seen(b.system, "there", &in_b),
		      *second = spawn_seen(b.system, "second", &other), *to_there = resolve(&a, &b, "/root/there"),
		      *to_second = resolve(&a, &b, "/root/second");
	assert_int_equal(sm_send(to_there, ref_new(home, 7)), SM_OK); /* one of a's, to b, which sends back */
	eventually(atomic_load(&in_a.last) == 7);
	assert_int_equal(sm_send(to_there, ref_new(to_second, 8)), SM_OK); /* one of b's own comes home */
	eventually(atomic_load(&other.last) == 8);
	assert_int_equal(sm_send(to_there, ref_new(NULL, 9)), SM_OK);
	char text[3000];
	struct sm_ref *again;
	assert_int_equal(sm_ref_to_text(a.remoting, to_second, text, sizeof text), SM_OK);
	assert_int_equal(sm_ref_of_text(a.remoting, text, &again), SM_OK);
	assert_ptr_equal(again, to_second);
	sm_unref(again);
	assert_int_equal(sm_ref_of_text(b.remoting, text, &again), SM_OK);
	assert_ptr_equal(again, second);
	sm_unref(again);
	assert_int_equal(sm_ref_to_text(a.remoting, home, text, 10), SM_TOO_LARGE);
	assert_int_equal(sm_ref_to_text(b.remoting, home, text, sizeof text), SM_INVALID);
	static const char *const bad[] = {
		"", "smack://", "smack://b@x/root/a", "http://b@x/root/a#1.1", "smack://b@x/root/a#1", "smack://b@/r#1.1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(sm_ref_of_text(a.remoting, bad[i], &again), SM_INVALID);
	sm_unref(home);
	sm_unref(there);
	sm_unref(second);
	sm_unref(to_there);
	sm_unref(to_second);
}

/* ---- ends ---- */

static void watchers_are_told_of_a_stop_and_of_a_failure(void **unused)
{
	static struct seen seen;
	static struct watcher w;
	struct sm_ref *there = spawn_seen(b.system, "one", &seen), *ref = resolve(&a, &b, "/root/one"),
		      *watcher = spawn_watcher(a.system, &w, ref);
	sm_stop(ref); /* from the other side */
	eventually(atomic_load(&w.seen.ended) == 1);
	assert_int_equal(atomic_load(&w.seen.why), SM_OK);
	struct sm_msg *msg = number_new(1);
	assert_int_equal(sm_send(ref, msg), SM_GONE);
	sm_msg_free(msg);
	sm_unref(there), sm_unref(ref), sm_unref(watcher);
	there = spawn_seen(b.system, "two", &seen), ref = resolve(&a, &b, "/root/two"), watcher = spawn_watcher(a.system, &w, ref);
	tell_number(ref, NUMBER_STOP);
	eventually(atomic_load(&w.seen.ended) == 1);
	assert_int_equal(atomic_load(&w.seen.why), SM_END);
	sm_unref(watcher);
	/* One that has ended already. */
	watcher = spawn_watcher(a.system, &w, ref);
	eventually(atomic_load(&w.seen.ended) == 1);
	sm_unref(there), sm_unref(ref), sm_unref(watcher);
}

static void a_thread_stops_and_waits(void **unused)
{
	static struct seen seen;
	enum sm_err why = SM_FAILED;
	struct sm_ref *there = spawn_seen(b.system, "one", &seen), *ref = resolve(&a, &b, "/root/one");
	tell_number(ref, 5);
	assert_int_equal(sm_stop_wait(a.system, ref, DEADLINE_MS, &why), SM_OK);
	assert_int_equal(why, SM_OK);
	assert_int_equal(atomic_load(&seen.last), 5); /* stop stands behind what was sent */
	sm_unref(there), sm_unref(ref);
}

static void asks_to_who_is_not_there_fail(void **unused)
{
	static struct seen seen;
	struct sm_msg *msg, *answer;
	struct sm_ref *there = spawn_seen(b.system, "one", &seen), *ref = resolve(&a, &b, "/root/one");
	assert_int_equal(sm_stop_wait(b.system, there, DEADLINE_MS, NULL), SM_OK);
	msg = number_new(1); /* nobody here watches: it is sent, and refused there */
	assert_int_equal(sm_ask_wait(a.system, ref, msg, DEADLINE_MS, &answer), SM_CANCELLED);
	eventually(sm_dead_letters(b.system) >= 1);
	sm_unref(there), sm_unref(ref);
	struct sm_error error;
	char text[200];
	snprintf(text, sizeof text, "%s/root/nobody", sm_remoting_address(b.remoting));
	assert_int_equal(sm_resolve_wait(a.remoting, text, DEADLINE_MS, &ref, &error), SM_NOT_FOUND);
	snprintf(text, sizeof text, "%s/key/nobody", sm_remoting_address(b.remoting));
	assert_int_equal(sm_resolve_wait(a.remoting, text, DEADLINE_MS, &ref, &error), SM_NOT_FOUND);
	assert_int_equal(sm_resolve_wait(a.remoting, "smack://x@127.0.0.1:1/root/y", 100, &ref, &error), SM_TIMEOUT);
	assert_int_equal(sm_resolve_wait(a.remoting, "nonsense", 100, &ref, &error), SM_INVALID);
}

static void a_system_that_ends_says_so(void **unused)
{
	static struct seen seen;
	static struct watcher w;
	struct node c = node_tcp("c");
	struct sm_ref *there = spawn_seen(c.system, "one", &seen), *ref = resolve(&a, &c, "/root/one"),
		      *watcher = spawn_watcher(a.system, &w, ref);
	tell_number(ref, 1);
	eventually(atomic_load(&seen.count) == 1);
	sm_unref(there);
	node_end(&c);
	eventually(atomic_load(&w.seen.ended) == 1);
	assert_int_equal(atomic_load(&w.seen.why), SM_CLOSED);
	sm_unref(ref), sm_unref(watcher);
}

/* ---- what cannot travel ---- */

static void plain_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type plain_type = {"plain", plain_done};

static void a_message_without_serializer_is_a_dead_letter(void **unused)
{
	static struct seen seen;
	struct sm_ref *there = spawn_seen(b.system, "one", &seen), *ref = resolve(&a, &b, "/root/one");
	struct sm_msg *msg = calloc(1, sizeof *msg), *answer;
	uint64_t before = sm_dead_letters(a.system);
	msg->type = &plain_type;
	assert_int_equal(sm_ask_wait(a.system, ref, msg, DEADLINE_MS, &answer), SM_CANCELLED);
	eventually(sm_dead_letters(a.system) == before + 1); /* the asker is told first */
	assert_int_equal(ask_number(a.system, ref, 1), 2);   /* the connection lives */
	sm_unref(there), sm_unref(ref);
}

static void large_messages_have_a_bound(void **unused)
{
	static struct seen seen;
	struct sm_msg *answer;
	struct sm_ref *there = spawn_seen(b.system, "one", &seen), *ref = resolve(&a, &b, "/root/one");
	assert_int_equal(sm_ask_wait(a.system, ref, large_new(REMOTING_MESSAGE_DEFAULT - 4), DEADLINE_MS, &answer), SM_OK);
	assert_int_equal(number_of(answer), REMOTING_MESSAGE_DEFAULT - 3);
	sm_msg_free(answer);
	assert_int_equal(sm_ask_wait(a.system, ref, large_new(REMOTING_MESSAGE_DEFAULT - 3), DEADLINE_MS, &answer), SM_CANCELLED);
	assert_int_equal(ask_number(a.system, ref, 1), 2);
	sm_unref(there), sm_unref(ref);
}

/* c has serializer 9 for numbers, which b has not; and a newer version of references. */
static void what_cannot_be_read_is_a_dead_letter_there(void **unused)
{
	static struct seen seen;
	struct sm_msg *answer;
	struct sm_serializer other[] = {{9, 1, 1, &number_type, number_write, number_read}, {2, 4, 4, &ref_type, ref_write, ref_read}};
	struct sm_remoting_options o = node_options("c");
	o.serializers = other;
	o.serializer_count = 2;
	struct node c = node_with(&o);
	struct sm_ref *there = spawn_seen(b.system, "one", &seen), *ref = resolve(&c, &b, "/root/one");
	uint64_t before = sm_dead_letters(b.system);
	assert_int_equal(sm_ask_wait(c.system, ref, number_new(1), DEADLINE_MS, &answer), SM_CANCELLED);
	assert_int_equal(sm_ask_wait(c.system, ref, ref_new(NULL, 1), DEADLINE_MS, &answer), SM_CANCELLED);
	eventually(sm_dead_letters(b.system) == before + 2);
	struct sm_remoting_info info;
	sm_remoting_info(c.remoting, &info);
	assert_int_equal(info.connected, 1);
	sm_unref(there), sm_unref(ref);
	node_end(&c);
}

/* ---- who is let in ---- */

static void another_secret_is_not_let_in(void **unused)
{
	struct sm_ref *ref;
	struct sm_error error;
	char text[200];
	struct sm_remoting_options o = node_options("c");
	o.secret = "another one of that length";
	struct node c = node_with(&o);
	snprintf(text, sizeof text, "%s/root/one", sm_remoting_address(b.remoting));
	assert_int_equal(sm_resolve_wait(c.remoting, text, 300, &ref, &error), SM_TIMEOUT);
	struct sm_remoting_info info;
	eventually((sm_remoting_info(b.remoting, &info), info.refused >= 1));
	assert_int_equal(info.connected, 0);
	node_end(&c);
}

static void beyond_loopback_somebody_must_be_asked(void **unused)
{
	struct sm_remoting *r;
	struct sm_error error;
	struct sm_remoting_options o = node_options("c");
	o.secret = NULL;
	o.host = "0.0.0.0";
	o.advertised_host = "127.0.0.1";
	assert_int_equal(sm_remoting_new(a.system, &o, &r, &error), SM_DENIED);
	o.advertised_host = NULL;
	o.secret = SECRET;
	assert_int_equal(sm_remoting_new(a.system, &o, &r, &error), SM_INVALID);
	o.host = NULL;
	o.secret = "short";
	assert_int_equal(sm_remoting_new(a.system, &o, &r, &error), SM_INVALID);
	o.secret = NULL;
	o.name = "no name";
	assert_int_equal(sm_remoting_new(a.system, &o, &r, &error), SM_INVALID);
	o.name = "c";
	o.certificate = "x";
	assert_int_equal(sm_remoting_new(a.system, &o, &r, &error), SM_INVALID);
}

static void over_a_unix_socket_and_from_one_that_listens_nowhere(void **unused)
{
	char dir[] = "/tmp/smack-remoting-XXXXXX", path[64];
	static struct seen seen, back;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	struct sm_remoting_options o = node_options("c");
	o.unix_path = path;
	struct node c = node_with(&o), d = node_silent("d");
	struct sm_ref *there = spawn_seen(c.system, "one", &seen), *ref = resolve(&d, &c, "/root/one"),
		      *home = spawn_seen(d.system, "home", &back);
	assert_int_equal(ask_number(d.system, ref, 1), 2);
	assert_int_equal(sm_send(ref, ref_new(home, 5)), SM_OK); /* c sends to d over the connection that d has made */
	eventually(atomic_load(&back.last) == 5);
	sm_unref(there), sm_unref(ref), sm_unref(home);
	node_end(&d);
	node_end(&c);
	rmdir(dir);
}

/* Both begin to talk at the same moment: one connection stays, nothing is lost. */
static void both_sides_connect_at_the_same_time(void **unused)
{
	for (int round = 0; round < 10; round++) {
		struct node c = node_tcp("c"), d = node_tcp("d");
		static struct seen in_c, in_d;
		char text[200];
		struct sm_ref *at_c = spawn_seen(c.system, "one", &in_c), *at_d = spawn_seen(d.system, "one", &in_d), *to_c, *to_d;
		assert_int_equal(sm_ref_to_text(c.remoting, at_c, text, sizeof text), SM_OK);
		assert_int_equal(sm_ref_of_text(d.remoting, text, &to_c), SM_OK);
		assert_int_equal(sm_ref_to_text(d.remoting, at_d, text, sizeof text), SM_OK);
		assert_int_equal(sm_ref_of_text(c.remoting, text, &to_d), SM_OK);
		tell_number(to_c, 1), tell_number(to_d, 1);
		sm_stop(to_c), sm_stop(to_d); /* reliable, whatever happens to the connections */
		static struct watcher wc, wd;
		struct sm_ref *w1 = spawn_watcher(c.system, &wc, to_d), *w2 = spawn_watcher(d.system, &wd, to_c);
		eventually(atomic_load(&wc.seen.ended) == 1 && atomic_load(&wd.seen.ended) == 1);
		assert_int_equal(atomic_load(&wc.seen.why), SM_OK);
		assert_true(atomic_load(&in_c.count) == 1 && atomic_load(&in_d.count) == 1);
		struct sm_remoting_info info;
		eventually((sm_remoting_info(c.remoting, &info), info.connected == 1));
		sm_unref(at_c), sm_unref(at_d), sm_unref(to_c), sm_unref(to_d), sm_unref(w1), sm_unref(w2);
		node_end(&c), node_end(&d);
	}
}

static void unused_references_are_swept_out(void **unused)
{
	static struct seen seen;
	struct sm_remoting_info info;
	struct sm_ref *there = spawn_seen(b.system, "one", &seen), *ref = resolve(&a, &b, "/root/one");
	for (uint64_t i = 1; i <= 300; i++)
		assert_int_equal(ask_number(a.system, ref, i), i + 1); /* each comes from another address in b's eyes */
	eventually((sm_remoting_info(b.remoting, &info), info.refs == 0));
	sm_remoting_info(a.remoting, &info);
	assert_int_equal(info.refs, 1);
	sm_unref(there), sm_unref(ref);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_arrive_in_order),
		TEST(a_thread_asks),
		TEST(an_actor_finds_by_key_and_asks),
		TEST(forwarded_asks_are_answered_to_who_asked),
		TEST(references_travel_and_come_home),
		TEST(watchers_are_told_of_a_stop_and_of_a_failure),
		TEST(a_thread_stops_and_waits),
		TEST(asks_to_who_is_not_there_fail),
		TEST(a_system_that_ends_says_so),
		TEST(a_message_without_serializer_is_a_dead_letter),
		TEST(large_messages_have_a_bound),
		TEST(what_cannot_be_read_is_a_dead_letter_there),
		TEST(another_secret_is_not_let_in),
		TEST(beyond_loopback_somebody_must_be_asked),
		TEST(over_a_unix_socket_and_from_one_that_listens_nowhere),
		TEST(both_sides_connect_at_the_same_time),
		TEST(unused_references_are_swept_out),
	};
	logging_set((enum log_level)(getenv("SMACK_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1), false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
