/* The pool. */
#include "actor/testing.h"

struct job {
	struct sm_work work;
	struct sm_msg done;
	atomic_int *ran, *back;
	atomic_bool *gate;
};
static const struct sm_msg_type job_done_type = {"job_done", NULL};

static void job_run(struct sm_work *work)
{
	struct job *job = (struct job *)work;
	if (job->gate)
		gate_wait(job->gate);
	atomic_fetch_add(job->ran, 1);
	if (!job->work.done_msg)
		free(job); /* the owner learns of the end here */
}
static enum sm_err job_back(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct job *job = (struct job *)((char *)msg - offsetof(struct job, done));
	atomic_fetch_add(job->back, 1);
	free(job);
	return SM_OK;
}
static struct job *job_new(atomic_int *ran, atomic_int *back, struct sm_ref *reply_to, atomic_bool *gate)
{
	struct job *job = calloc(1, sizeof *job);
	*job = (struct job){
		.work = {.run = job_run, .reply_to = reply_to}, .done.type = &job_done_type, .ran = ran, .back = back, .gate = gate};
	job->work.done_msg = reply_to ? &job->done : NULL;
	return job;
}

static void work_runs_and_answers_by_message(void **unused)
{
	struct sm_system *system = system_with(2);
	struct sm_ref *ref;
	struct sm_props props = {.receive = job_back, .dispatcher = -1, .mailbox_max = 2};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	atomic_int ran = 0, back = 0;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(sm_pool_run(system, &job_new(&ran, &back, i % 2 ? ref : NULL, NULL)->work), SM_OK);
	eventually(ran == 1000 && back == 500); /* answers pass the mailbox's bound */
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

static void a_full_queue_refuses(void **unused)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 1, .pool_queue_max = 3};
	assert_int_equal(sm_system_new(&options, &system, NULL), SM_OK);
	atomic_int ran = 0;
	atomic_bool gate = false;
	int taken = 0;
	struct job *job;
	while (sm_pool_run(system, &(job = job_new(&ran, NULL, NULL, &gate))->work) == SM_OK)
		taken++;
	free(job);
	assert_in_range(taken, 3, 4);
	atomic_store(&gate, true);
	eventually(ran == taken);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

static void a_stop_waits_for_the_work_under_way(void **unused)
{
	struct sm_system *system = system_with(1);
	atomic_int ran = 0;
	for (int i = 0; i < 100; i++)
		assert_int_equal(sm_pool_run(system, &job_new(&ran, NULL, NULL, NULL)->work), SM_OK);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(ran, 100);
}

struct waiting {
	struct sm_work work, inner;
	struct sm_system *system;
	atomic_bool done;
	atomic_int *ran;
};
static void inner_run(struct sm_work *work)
{
	atomic_store(&((struct waiting *)((char *)work - offsetof(struct waiting, inner)))->done, true);
}
static void waiting_run(struct sm_work *work)
{
	struct waiting *w = (struct waiting *)work;
	w->inner.run = inner_run;
	if (sm_pool_run(w->system, &w->inner) == SM_OK)
		gate_wait(&w->done);
	atomic_fetch_add(w->ran, 1);
}

static void work_that_waits_for_work_leaves_threads_for_it(void **unused)
{
	struct sm_system *system = system_with(1); /* two threads */
	atomic_int ran = 0;
	struct waiting all[8];
	for (int i = 0; i < 8; i++) {
		all[i] = (struct waiting){.work = {.run = waiting_run, .waits = true}, .system = system, .ran = &ran};
		assert_int_equal(sm_pool_run(system, &all[i].work), SM_OK);
	}
	eventually(ran == 8);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_runs_and_answers_by_message),
		cmocka_unit_test(a_full_queue_refuses),
		cmocka_unit_test(a_stop_waits_for_the_work_under_way),
		cmocka_unit_test(work_that_waits_for_work_leaves_threads_for_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
