#include "base/io.h"
#include "base/json.h"
#include "cluster/cluster_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct machine {
	char dir[64], store_dir[80];
	struct sm_system *system;
	struct sm_store *store;
	struct cluster *cluster;
};

static void start(struct machine *m)
{
	struct sm_error error = {0};
	struct sm_system_options system = {.dispatchers = 1, .pool_threads = 1};
	assert_int_equal(sm_system_new(&system, &m->system, &error), SM_OK);
	struct store_embedded_options store = {.system = m->system, .dir = m->store_dir};
	assert_int_equal(store_embedded_open(&store, &m->store, &error), SM_OK);
	struct cluster_options options = {.system = m->system, .store = m->store, .dir = m->dir, .cpus = 1, .memory_bytes = 1 << 30};
	if (cluster_new(&options, &m->cluster, &error))
		fail_msg("%s", error.text);
}

static void stop(struct machine *m)
{
	cluster_free(m->cluster, 1000);
	assert_int_equal(m->store->ops->close(m->store, NULL), SM_OK);
	sm_system_stop(m->system, 1000);
}

/* As after a kill between the first write of the job and its first run. */
static void a_job_that_never_ran_is_there_after_a_restart(void **state)
{
	struct machine m = {.dir = "/tmp/smack-cluster-persist-XXXXXX"};
	struct sm_error error = {0};
	assert_non_null(mkdtemp(m.dir));
	snprintf(m.store_dir, sizeof m.store_dir, "%s/store", m.dir);
	start(&m);
	json_t *document = json_pack("{s:s s:s s:s s:s}", "name", "later", "schedule", "R1/2099-01-01T00:00:00Z/P1D", "owner", "test",
				     "command", "true");
	if (cluster_job_put(m.cluster, document, &error))
		fail_msg("%s", error.text);
	stop(&m);
	start(&m);
	json_t *status = cluster_status(m.cluster), *jobs = json_object_get(status, "jobs");
	assert_int_equal(json_array_size(jobs), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(jobs, 0), "name")), "later");
	json_decref(status);
	json_decref(document);
	stop(&m);
	assert_int_equal(io_remove_tree(&io_system, m.dir, &error), SM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_job_that_never_ran_is_there_after_a_restart)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
