/* Several processes: this program starts itself again, in a role that its first argument names. */
#include "remoting/testing.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static char program[4096];

/* ---- roles ---- */

/* Number n is answered by n + 1, but for those that say what to do. */
enum { DIE_BY_SEGV = 1000001, EXIT_3 = 1000002, TELL_PID = 1000003, EXIT_0 = 1000004 };

static enum sm_err child_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->type != &number_type)
		return SM_OK;
	uint64_t number = number_of(msg);
	if (number == DIE_BY_SEGV) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	if (number == EXIT_3)
		_exit(3);
	if (number == EXIT_0)
		_exit(0);
	if (msg->ask_id)
		sm_reply(self, msg, number_new(number == TELL_PID ? (uint64_t)getpid() : number + 1));
	return number == NUMBER_STOP ? SM_END : SM_OK;
}

static int be_child(const char *how)
{
	struct sm_system *system;
	struct sm_remoting *remoting;
	struct sm_error error;
	struct sm_ref *main_ref;
	struct sm_remoting_options o = node_options("child");
	struct sm_props props = {.name = "main", .receive = child_receive};
	if (strcmp(how, "hard") == 0) /* takes no notice of requests to end */
		signal(SIGTERM, SIG_IGN);
	if (sm_system_new(NULL, &system, &error) || sm_spawn(system, NULL, &props, &main_ref) ||
	    sm_remoting_join(system, &o, main_ref, &remoting, &error)) {
		fprintf(stderr, "child: %s\n", error.text);
		return 2;
	}
	sm_unref(main_ref);
	enum sm_err why = sm_remoting_wait(remoting);
	while (strcmp(how, "hard") == 0)
		pause();
	sm_remoting_free(remoting);
	return sm_system_stop(system, 10000) || why ? 1 : 0;
}

/* A system of its own with an actor "one": its address goes to standard output. */
static int be_peer(const char *unix_path)
{
	struct node n;
	static struct seen seen;
	struct sm_remoting_options o = node_options("peer");
	o.unix_path = unix_path;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	n = node_with(&o);
	sm_unref(spawn_seen(n.system, "one", &seen));
	printf("%s\n", sm_remoting_address(n.remoting));
	fflush(stdout);
	while (pause())
		;
	return 0;
}

/* ---- child processes ---- */

static struct node parent;
static atomic_int ended, started_again;
static char last_how[200];

static void on_ended(void *arg, const char *how, bool starts_again)
{
	snprintf(last_how, sizeof last_how, "%s", how);
	atomic_fetch_add(&started_again, starts_again);
	atomic_fetch_add(&ended, 1);
}

static int set_up(void **unused)
{
	parent = node_silent("parent");
	atomic_store(&ended, 0);
	atomic_store(&started_again, 0);
	return 0;
}
static int tear_down(void **unused)
{
	node_end(&parent);
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		fail_msg("a child was left");
	return atomic_load(&testing_live) != 0;
}

static struct sm_ref *spawn_child_of(const char *how, uint32_t restarts_max, uint32_t stop_ms)
{
	const char *argv[] = {program, "child", how, NULL};
	struct sm_ref *ref;
	struct sm_error error;
	struct sm_process_props props = {.name = "worker",
					 .argv = argv,
					 .stop_ms = stop_ms,
					 .start_ms = DEADLINE_MS,
					 .supervision = {.restarts_max = restarts_max, .backoff_min_ms = 10, .backoff_max_ms = 50},
					 .ended = on_ended};
	if (sm_spawn_process(parent.remoting, &props, &ref, &error))
		fail_msg("%s", error.text);
	return ref;
}

static void a_child_answers_and_is_stopped(void **unused)
{
	enum sm_err why = SM_FAILED;
	struct sm_ref *ref = spawn_child_of("soft", 0, DEADLINE_MS);
	uint64_t pid = ask_number(parent.system, ref, TELL_PID);
	assert_int_not_equal(pid, getpid());
	for (uint64_t i = 1; i < 100; i++)
		assert_int_equal(ask_number(parent.system, ref, i), i + 1);
	assert_int_equal(sm_stop_wait(parent.system, ref, DEADLINE_MS, &why), SM_OK);
	assert_int_equal(why, SM_OK);
	assert_string_equal(last_how, "exited with status 0");
	assert_int_equal(kill((pid_t)pid, 0), -1); /* ended, and waited for */
	sm_unref(ref);
}

static void a_child_that_crashes_is_started_again(void **unused)
{
	static struct watcher w;
	struct sm_ref *ref = spawn_child_of("soft", 2, DEADLINE_MS), *watcher = spawn_watcher(parent.system, &w, ref);
	uint64_t pid = ask_number(parent.system, ref, TELL_PID);
	tell_number(ref, DIE_BY_SEGV);
	eventually(atomic_load(&ended) == 1);
	assert_string_equal(last_how, "was killed by signal 11 (Segmentation fault)");
	uint64_t second = ask_number(parent.system, ref, TELL_PID); /* the same reference; the question waits for the new one */
	assert_int_not_equal(pid, second);
	tell_number(ref, EXIT_3);
	eventually(atomic_load(&ended) == 2);
	assert_string_equal(last_how, "exited with status 3");
	assert_int_not_equal(ask_number(parent.system, ref, TELL_PID), second);
	assert_int_equal(atomic_load(&w.seen.ended), 0);
	tell_number(ref, DIE_BY_SEGV); /* one too many */
	eventually(atomic_load(&w.seen.ended) == 1);
	assert_int_equal(atomic_load(&w.seen.why), SM_FAILED);
	assert_int_equal(atomic_load(&started_again), 2);
	sm_unref(watcher);
	sm_unref(ref);
}

static void a_child_whose_main_actor_ends_has_ended(void **unused)
{
	static struct watcher w;
	struct sm_ref *ref = spawn_child_of("soft", 5, DEADLINE_MS), *watcher = spawn_watcher(parent.system, &w, ref);
	tell_number(ref, EXIT_0);
	eventually(atomic_load(&w.seen.ended) == 1);
	assert_int_equal(atomic_load(&w.seen.why), SM_OK);
	sm_unref(watcher);
	sm_unref(ref);
}

static void a_child_that_does_not_end_is_killed(void **unused)
{
	struct sm_ref *ref = spawn_child_of("hard", 5, 200);
	assert_int_equal(ask_number(parent.system, ref, 1), 2);
	assert_int_equal(sm_stop_wait(parent.system, ref, DEADLINE_MS, NULL), SM_OK);
	assert_string_equal(last_how, "was killed by signal 9 (Killed)");
	sm_unref(ref);
}

static void a_program_that_is_not_there_is_given_up(void **unused)
{
	const char *argv[] = {"/nonexistent/program", NULL};
	struct sm_ref *ref;
	struct sm_process_props props = {
		.name = "nothing", .argv = argv, .supervision = {.restarts_max = 1, .backoff_min_ms = 1}, .ended = on_ended};
	static struct watcher w;
	int saved = dup(2), null = open("/dev/null", O_WRONLY);
	dup2(null, 2); /* the child's line */
	assert_int_equal(sm_spawn_process(parent.remoting, &props, &ref, NULL), SM_OK);
	struct sm_ref *watcher = spawn_watcher(parent.system, &w, ref);
	eventually(atomic_load(&w.seen.ended) == 1);
	dup2(saved, 2);
	close(saved), close(null);
	assert_int_equal(atomic_load(&ended), 2);
	sm_unref(watcher);
	sm_unref(ref);
}

static void children_end_with_the_remoting(void **unused)
{
	struct sm_ref *ref = spawn_child_of("soft", 5, DEADLINE_MS);
	uint64_t pid = ask_number(parent.system, ref, TELL_PID);
	node_end(&parent);
	assert_int_equal(kill((pid_t)pid, 0), -1);
	sm_unref(ref);
	parent = node_silent("parent");
}

/* Others come to a child's actor by the reference of its parent, and it to theirs. */
static void a_childs_reference_travels(void **unused)
{
	char text[3000];
	struct node other = node_tcp("other");
	static struct seen seen;
	struct sm_ref *ref = spawn_child_of("soft", 5, DEADLINE_MS), *there = spawn_seen(other.system, "one", &seen), *one, *again;
	one = resolve(&parent, &other, "/root/one"); /* connects them: the parent listens nowhere */
	assert_int_equal(ask_number(parent.system, one, 1), 2);
	assert_int_equal(sm_ref_to_text(parent.remoting, ref, text, sizeof text), SM_OK);
	assert_int_equal(sm_ref_of_text(other.remoting, text, &again), SM_OK);
	assert_int_equal(ask_number(other.system, again, 5), 6);
	tell_number(ref, DIE_BY_SEGV);
	eventually(atomic_load(&ended) == 1); /* what it had been given by then is lost */
	assert_int_equal(ask_number(parent.system, ref, 6), 7);
	assert_int_equal(ask_number(other.system, again, 7), 8);
	sm_unref(again), sm_unref(one), sm_unref(there), sm_unref(ref);
	node_end(&other);
}

/* ---- two processes ---- */

struct other {
	pid_t pid;
	char address[500];
};
static struct other other_start(const char *unix_path)
{
	struct other o = {0};
	int out[2];
	assert_int_equal(pipe(out), 0);
	o.pid = fork();
	if (o.pid == 0) {
		dup2(out[1], 1);
		execl(program, program, "peer", unix_path, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	FILE *f = fdopen(out[0], "r");
	assert_non_null(fgets(o.address, sizeof o.address, f));
	o.address[strcspn(o.address, "\n")] = 0;
	fclose(f);
	return o;
}
static void other_kill(struct other *o)
{
	kill(o->pid, SIGKILL);
	waitpid(o->pid, NULL, 0);
}

static char dir[64], path[80];
static struct node near;

static int set_up_near(void **unused)
{
	struct sm_remoting_options o = node_options("near");
	o.acceptable_pause_ms = 8000; /* the other process must not be taken for dead on a busy machine */
	snprintf(dir, sizeof dir, "/tmp/smack-remoting-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	near = node_with(&o);
	return 0;
}
static int tear_down_near(void **unused)
{
	node_end(&near);
	unlink(path);
	rmdir(dir);
	return atomic_load(&testing_live) != 0;
}

static void a_killed_peer_is_told_of_and_the_next_one_is_another(void **unused)
{
	static struct watcher w;
	struct other o = other_start(path);
	struct sm_ref *ref = resolve_at(&near, o.address, "/root/one"), *watcher = spawn_watcher(near.system, &w, ref);
	assert_int_equal(ask_number(near.system, ref, 1), 2);
	other_kill(&o);
	eventually(atomic_load(&w.seen.ended) == 1); /* cannot be reached any more */
	assert_int_equal(atomic_load(&w.seen.why), SM_UNAVAILABLE);
	o = other_start(path);
	struct sm_ref *again = resolve_at(&near, o.address, "/root/one");
	assert_ptr_not_equal(again, ref);
	assert_int_equal(ask_number(near.system, again, 2), 3);
	struct sm_msg *msg = number_new(3);
	assert_int_equal(sm_send(ref, msg), SM_GONE); /* the old one means nothing to the new system */
	sm_msg_free(msg);
	other_kill(&o);
	sm_unref(watcher), sm_unref(ref), sm_unref(again);
}

/* Started again before its end was seen: the new UID says it. */
static void a_restart_is_seen_at_once(void **unused)
{
	static struct watcher w;
	struct other o = other_start(path);
	struct sm_ref *ref = resolve_at(&near, o.address, "/root/one"), *watcher = spawn_watcher(near.system, &w, ref);
	assert_int_equal(ask_number(near.system, ref, 1), 2);
	other_kill(&o);
	o = other_start(path);
	eventually(atomic_load(&w.seen.ended) == 1);
	assert_int_equal(atomic_load(&w.seen.why), SM_UNAVAILABLE);
	struct sm_ref *again = resolve_at(&near, o.address, "/root/one");
	assert_int_equal(ask_number(near.system, again, 2), 3);
	other_kill(&o);
	sm_unref(watcher), sm_unref(ref), sm_unref(again);
}

/* Silence on a connection that stands; when it wakes up it is not talked to any more. */
static void a_stopped_peer_is_unreachable_and_stays_so(void **unused)
{
	static struct watcher w;
	struct sm_remoting_info info;
	struct sm_error error;
	struct sm_ref *none;
	char text[600];
	struct other o = other_start(path);
	struct sm_ref *ref = resolve_at(&near, o.address, "/root/one"), *watcher = spawn_watcher(near.system, &w, ref);
	assert_int_equal(ask_number(near.system, ref, 1), 2);
	kill(o.pid, SIGSTOP);
	eventually(atomic_load(&w.seen.ended) == 1);
	assert_int_equal(atomic_load(&w.seen.why), SM_UNAVAILABLE);
	sm_remoting_info(near.remoting, &info);
	assert_int_equal(info.quarantined, 1);
	kill(o.pid, SIGCONT);
	snprintf(text, sizeof text, "%s/root/one", o.address);
	assert_int_equal(sm_resolve_wait(near.remoting, text, 500, &none, &error), SM_TIMEOUT);
	sm_remoting_info(near.remoting, &info);
	assert_int_equal(info.connected, 0);
	other_kill(&o);
	o = other_start(path);
	struct sm_ref *again = resolve_at(&near, o.address, "/root/one");
	assert_int_equal(ask_number(near.system, again, 2), 3);
	other_kill(&o);
	sm_unref(watcher), sm_unref(ref), sm_unref(again);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_NEAR(name) cmocka_unit_test_setup_teardown(name, set_up_near, tear_down_near)
int main(int argc, char **argv)
{
	logging_set((enum log_level)(getenv("SMACK_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1), false);
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
	if (n <= 0)
		return 1;
	program[n] = 0;
	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return be_child(argv[2]);
	if (argc == 3 && strcmp(argv[1], "peer") == 0)
		return be_peer(argv[2]);
	const struct CMUnitTest tests[] = {
		TEST(a_child_answers_and_is_stopped),
		TEST(a_child_that_crashes_is_started_again),
		TEST(a_child_whose_main_actor_ends_has_ended),
		TEST(a_child_that_does_not_end_is_killed),
		TEST(a_program_that_is_not_there_is_given_up),
		TEST(children_end_with_the_remoting),
		TEST(a_childs_reference_travels),
		TEST_NEAR(a_killed_peer_is_told_of_and_the_next_one_is_another),
		TEST_NEAR(a_restart_is_seen_at_once),
		TEST_NEAR(a_stopped_peer_is_unreachable_and_stays_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
