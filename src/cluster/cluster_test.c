/* Apps and jobs on a clock that the test turns, with a runner whose tasks end when the test says so. */
#include "base/io.h"
#include "base/json.h"
#include "cluster/cluster_internal.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#define START_US 1800000000000000ull
#define TASKS_MAX 64

static struct machine {
	char dir[64], store_dir[80];
	struct sm_system *system;
	struct sm_store *store;
	struct cluster *cluster;
	struct clock_manual clock;
	struct cluster_runner runner;
	pthread_mutex_t lock;
	struct cluster_task *tasks[TASKS_MAX]; /* that run */
	unsigned running, started;
} machine;

/* ---- the runner ---- */

static enum sm_err runner_start(void *arg, struct cluster_task *task, const struct cluster_task_info *info, struct sm_error *reterr)
{
	struct machine *m = arg;
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&m->lock);
	if (json_is_true(json_object_get(info->smack, "refuse")) || m->running == TASKS_MAX) {
		err = sm_fail(reterr, SM_INVALID, "refused");
	} else {
		m->tasks[m->running++] = task;
		m->started++;
	}
	pthread_mutex_unlock(&m->lock);
	return err;
}

static json_t *look(void);

/* End the oldest task, and see that its end has been handled; false: none runs. */
static bool end_one(const char *why)
{
	struct machine *m = &machine;
	pthread_mutex_lock(&m->lock);
	struct cluster_task *task = m->running ? m->tasks[0] : NULL;
	if (task)
		memmove(m->tasks, m->tasks + 1, --m->running * sizeof *m->tasks);
	pthread_mutex_unlock(&m->lock);
	struct sm_error error;
	if (why)
		sm_fail(&error, SM_JOB_FAILED, "%s", why);
	if (task)
		cluster_task_ended(task, why ? &error : NULL);
	json_decref(look());
	return task != NULL;
}

static void runner_stop(void *arg, struct cluster_task *task)
{
	struct machine *m = arg;
	struct sm_error error;
	bool found = false;
	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->running && !found; i++)
		if (m->tasks[i] == task) {
			memmove(m->tasks + i, m->tasks + i + 1, (--m->running - i) * sizeof *m->tasks);
			found = true;
		}
	pthread_mutex_unlock(&m->lock);
	sm_fail(&error, SM_CANCELLED, "stopped");
	if (found)
		cluster_task_ended(task, &error);
}

/* ---- the machine ---- */

static void begin(void)
{
	struct machine *m = &machine;
	struct sm_error error = {0};
	struct sm_system_options system = {.dispatchers = 1, .pool_threads = 1};
	assert_int_equal(sm_system_new(&system, &m->system, &error), SM_OK);
	struct store_embedded_options store = {.system = m->system, .dir = m->store_dir};
	if (store_embedded_open(&store, &m->store, &error))
		fail_msg("%s", error.text);
	m->runner = (struct cluster_runner){runner_start, runner_stop, m};
	struct cluster_options options = {.system = m->system,
					  .store = m->store,
					  .clock = &m->clock.clock,
					  .dir = m->dir,
					  .cpus = 4,
					  .memory_bytes = 1 << 30,
					  .server_runner = &m->runner};
	if (cluster_new(&options, &m->cluster, &error) || cluster_start(m->cluster, NULL, &error))
		fail_msg("%s", error.text);
}

static void end(void)
{
	cluster_free(machine.cluster, 1000);
	assert_int_equal(machine.store->ops->close(machine.store, NULL), SM_OK);
	sm_system_stop(machine.system, 1000);
}

static int setup(void **state)
{
	memset(&machine, 0, sizeof machine);
	strcpy(machine.dir, "/tmp/smack-cluster-XXXXXX");
	pthread_mutex_init(&machine.lock, NULL);
	clock_manual_init(&machine.clock, START_US);
	assert_non_null(mkdtemp(machine.dir));
	snprintf(machine.store_dir, sizeof machine.store_dir, "%s/store", machine.dir);
	begin();
	return 0;
}

static int teardown(void **state)
{
	end();
	return io_remove_tree(&io_system, machine.dir, NULL);
}

/* The actor looks at what is due behind each call, and starts are made on the pool: all is started that the time asks for when twice in a
 * row none was under way. */
static json_t *look(void)
{
	json_decref(cluster_status(machine.cluster));
	for (unsigned quiet = 0, n = 0;; n++) {
		json_t *status = cluster_status(machine.cluster);
		json_int_t staging = json_integer_value(json_object_get(json_object_get(status, "agent"), "staging"));
		quiet = staging ? 0 : quiet + 1;
		if (quiet == 2 || n == 10000000)
			return status;
		json_decref(status);
	}
}

static void later(double seconds)
{
	machine.clock.now_us += (uint64_t)(seconds * 1e6);
	json_decref(look());
}

static unsigned started(void)
{
	json_decref(look());
	pthread_mutex_lock(&machine.lock);
	unsigned n = machine.started;
	pthread_mutex_unlock(&machine.lock);
	return n;
}

static json_t *document(const char *text)
{
	json_t *json = NULL;
	struct sm_error error;
	if (json_parse(bytes_str(text), &json, &error))
		fail_msg("%s: %s", text, error.text);
	return json;
}

static void put_app(const char *text)
{
	struct sm_error error;
	json_t *d = document(text);
	if (cluster_app_put(machine.cluster, d, &error))
		fail_msg("%s", error.text);
	json_decref(d);
}

static void put_job(const char *text)
{
	struct sm_error error;
	json_t *d = document(text);
	if (cluster_job_put(machine.cluster, d, &error))
		fail_msg("%s", error.text);
	json_decref(d);
}

static json_int_t of_job(const char *member)
{
	json_t *status = look();
	json_int_t n = json_integer_value(json_object_get(json_array_get(json_object_get(status, "jobs"), 0), member));
	json_decref(status);
	return n;
}

/* ---- apps ---- */

static void an_app_that_fails_waits_longer_each_time_up_to_the_limit(void **state)
{
	put_app("{\"id\": \"/a\", \"smack\": {}, \"cpus\": 1, \"mem\": 1, \"backoffSeconds\": 1, \"backoffFactor\": 2,"
		"\"maxLaunchDelaySeconds\": 5}");
	static const double delays[] = {1, 2, 4, 5, 5};
	assert_int_equal(started(), 1);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(end_one("failed"));
		later(delays[i] - 0.01);
		assert_int_equal(started(), i + 1);
		later(0.02);
		if (started() != i + 2)
			fail_msg("after failure %u it did not start %.0f s later", i + 1, delays[i]);
	}
	/* A run that lasted longer than the delay and the limit: it begins again with the first delay. */
	later(11);
	assert_true(end_one("failed"));
	later(1.01);
	assert_int_equal(started(), 7);
}

static void an_app_that_finishes_is_started_again(void **state)
{
	put_app("{\"id\": \"/a\", \"smack\": {}, \"cpus\": 1, \"mem\": 1, \"instances\": 2}");
	assert_int_equal(started(), 2);
	assert_true(end_one(NULL));
	later(1.01);
	assert_int_equal(started(), 3);
}

static void a_share_is_given_back_when_the_task_has_ended(void **state)
{
	put_app("{\"id\": \"/a\", \"smack\": {}, \"cpus\": 3, \"mem\": 1}");
	put_app("{\"id\": \"/b\", \"smack\": {}, \"cpus\": 2, \"mem\": 1}");
	assert_int_equal(started(), 1);
	json_t *status = look();
	assert_true(json_number_value(json_object_get(json_object_get(status, "agent"), "cpusUsed")) == 3);
	json_decref(status);
	/* /a waits for its back-off; /b takes what is free. */
	assert_true(end_one("failed"));
	later(1.5);
	assert_int_equal(started(), 2);
}

static void a_task_that_cannot_start_is_tried_again_with_the_delay(void **state)
{
	put_app("{\"id\": \"/a\", \"smack\": {\"refuse\": true}, \"cpus\": 1, \"mem\": 1}");
	json_t *status = look();
	const json_t *app = json_array_get(json_object_get(status, "apps"), 0);
	assert_string_equal(json_string_value(json_object_get(app, "lastError")), "refused");
	assert_true(json_number_value(json_object_get(json_object_get(status, "agent"), "cpusUsed")) == 0);
	json_decref(status);
}

/* ---- jobs ---- */

#define JOB "\"smack\": {}, \"cpus\": 0.1, \"mem\": 1"

static void a_failed_run_is_tried_again_after_a_minute_and_given_up(void **state)
{
	put_job("{\"name\": \"j\", \"schedule\": \"R//P1D\", \"retries\": 2, " JOB "}");
	assert_int_equal(started(), 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(end_one("no luck"));
		later(59);
		assert_int_equal(started(), i + 1);
		later(2);
		assert_int_equal(started(), i + 2);
	}
	assert_true(end_one("no luck"));
	later(3600);
	assert_int_equal(started(), 3);
	assert_int_equal(of_job("errorCount"), 3);
	/* The next slot is a new run. */
	later(86400);
	assert_int_equal(started(), 4);
	assert_true(end_one(NULL));
	assert_int_equal(of_job("errorsSinceLastSuccess"), 0);
	assert_int_equal(of_job("successCount"), 1);
}

static void a_run_that_takes_longer_than_its_period_is_not_overtaken(void **state)
{
	put_job("{\"name\": \"j\", \"schedule\": \"R//PT1M\", " JOB "}");
	assert_int_equal(started(), 1);
	later(600);
	assert_int_equal(started(), 1);
	assert_true(end_one(NULL));
	later(0.1);
	assert_int_equal(started(), 2); /* ten were missed, one runs */
	assert_true(end_one(NULL));
	later(1);
	assert_int_equal(started(), 2);
	later(60);
	assert_int_equal(started(), 3);
}

static void a_child_runs_when_all_its_parents_have_succeeded_once_more(void **state)
{
	put_job("{\"name\": \"a\", \"schedule\": \"R//PT1H\", \"retries\": 0, " JOB "}");
	assert_int_equal(started(), 1);
	put_job("{\"name\": \"b\", \"parents\": [\"a\"], \"retries\": 0, " JOB "}");
	assert_true(end_one("failed"));
	assert_int_equal(started(), 1); /* the parent failed */
	later(3600);
	assert_int_equal(started(), 2);
	assert_true(end_one(NULL));
	assert_int_equal(started(), 3);
	assert_true(end_one(NULL));
	/* "softError": the child runs all the same. */
	put_job("{\"name\": \"a\", \"schedule\": \"R//PT1H\", \"retries\": 0, \"softError\": true, " JOB "}");
	later(3600);
	assert_int_equal(started(), 4);
	assert_true(end_one("failed"));
	assert_int_equal(started(), 5);
}

static void a_run_that_the_server_cut_off_runs_again_after_the_start(void **state)
{
	put_job("{\"name\": \"j\", \"schedule\": \"R5//P1D\", " JOB "}");
	assert_int_equal(started(), 1);
	end();
	begin();
	assert_int_equal(started(), 2);
	assert_true(end_one(NULL));
	assert_int_equal(of_job("successCount"), 1);
	end();
	begin();
	assert_int_equal(started(), 2);
	json_t *status = look();
	const char *left = json_string_value(json_object_get(json_array_get(json_object_get(status, "jobs"), 0), "schedule"));
	assert_memory_equal(left, "R4/", 3);
	json_decref(status);
}

#define ON_A_MACHINE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_MACHINE(an_app_that_fails_waits_longer_each_time_up_to_the_limit),
		ON_A_MACHINE(an_app_that_finishes_is_started_again),
		ON_A_MACHINE(a_share_is_given_back_when_the_task_has_ended),
		ON_A_MACHINE(a_task_that_cannot_start_is_tried_again_with_the_delay),
		ON_A_MACHINE(a_failed_run_is_tried_again_after_a_minute_and_given_up),
		ON_A_MACHINE(a_run_that_takes_longer_than_its_period_is_not_overtaken),
		ON_A_MACHINE(a_child_runs_when_all_its_parents_have_succeeded_once_more),
		ON_A_MACHINE(a_run_that_the_server_cut_off_runs_again_after_the_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
