/* Supervision: random trees with random failures against a model of a page, and the directives one by one. */
#include "actor/sim_testing.h"

/* ---- the tree ---- */

#define NODES_MAX 40
enum { INC = 1, FAIL_FIRST }; /* FAIL_FIRST + i fails with errors[i] */
static const enum sm_err errors[] = {SM_INVALID, SM_CORRUPT, SM_IO, SM_FAILED};

struct node {
	int parent; /* -1: the root */
	struct sm_supervision supervision;
	struct sm_ref *ref;
	/* what is */
	int inits, dones, count;
	/* what the model says */
	int model_inits, model_dones, model_count;
	uint32_t model_restarts;
	bool alive;
};
static struct node nodes[NODES_MAX];
static int node_count;

static enum sm_directive resume(enum sm_err why)
{
	return SM_DIRECTIVE_RESUME;
}
static enum sm_directive stop(enum sm_err why)
{
	return SM_DIRECTIVE_STOP;
}
static enum sm_directive escalate(enum sm_err why)
{
	return SM_DIRECTIVE_ESCALATE;
}
static enum sm_directive by_error(enum sm_err why)
{
	return why == SM_INVALID   ? SM_DIRECTIVE_RESUME
	       : why == SM_CORRUPT ? SM_DIRECTIVE_ESCALATE
	       : why == SM_IO      ? SM_DIRECTIVE_STOP
				   : SM_DIRECTIVE_RESTART;
}

static enum sm_err spawn_node(struct sm_system *system, struct sm_actor *parent, int i);

static enum sm_err node_init(struct sm_actor *self, void *state, void *arg)
{
	struct node *n = arg;
	*(struct node **)state = n;
	n->inits++;
	n->count = 0;
	for (int i = 0; i < node_count; i++) {
		enum sm_err err = nodes[i].parent == (int)(n - nodes) ? spawn_node(sm_actor_system(self), self, i) : SM_OK;
		if (err)
			return err;
	}
	return SM_OK;
}
static enum sm_err node_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct node *n = *(struct node **)state;
	if (number_of(msg) != INC)
		return errors[number_of(msg) - FAIL_FIRST];
	n->count++;
	return SM_OK;
}
static void node_done(struct sm_actor *self, void *state)
{
	(*(struct node **)state)->dones++;
}
static enum sm_err spawn_node(struct sm_system *system, struct sm_actor *parent, int i)
{
	struct sm_props props = {.state_size = sizeof(void *),
				 .init = node_init,
				 .receive = node_receive,
				 .done = node_done,
				 .arg = &nodes[i],
				 .dispatcher = SM_DISPATCHER_ANY,
				 .supervision = nodes[i].supervision};
	sm_unref(nodes[i].ref);
	nodes[i].ref = NULL;
	return sm_spawn(system, parent, &props, &nodes[i].ref);
}

static void tree_make(struct sm_system *system)
{
	static enum sm_directive (*const deciders[])(enum sm_err) = {NULL, NULL, by_error, by_error, escalate, resume, stop};
	memset(nodes, 0, sizeof nodes);
	node_count = 5 + (int)sm_sim_random(system, NODES_MAX - 4);
	for (int i = 0; i < node_count; i++) {
		struct node *n = &nodes[i];
		n->parent = i < 2 ? -1 : (int)sm_sim_random(system, (uint64_t)i + 1) - 1;
		n->supervision = (struct sm_supervision){.restarts_max = (uint32_t)sm_sim_random(system, 5),
							 .backoff_min_ms = (uint32_t)sm_sim_random(system, 20),
							 .backoff_max_ms = (uint32_t)sm_sim_random(system, 50),
							 .jitter_percent = (uint32_t)sm_sim_random(system, 120),
							 .all_for_one = sm_sim_random(system, 3) == 0,
							 .escalate_at_limit = sm_sim_random(system, 3) == 0,
							 .decide = deciders[sm_sim_random(system, 7)]};
	}
}

static void tree_start(struct sm_system *system)
{
	for (int i = 0; i < node_count; i++)
		if (nodes[i].parent == -1)
			assert_int_equal(spawn_node(system, NULL, i), SM_OK);
}

static void tree_free(void)
{
	for (int i = 0; i < node_count; i++) {
		assert_int_equal(nodes[i].inits, nodes[i].dones);
		sm_unref(nodes[i].ref);
	}
}

/* ---- the model: each failure is seen to at once and altogether ---- */

static void model_start(int i)
{
	struct node *n = &nodes[i];
	n->alive = true;
	n->model_inits++;
	n->model_count = 0;
	n->model_restarts = 0;
	for (int c = 0; c < node_count; c++)
		if (nodes[c].parent == i)
			model_start(c);
}
static void model_end(int i)
{
	if (!nodes[i].alive)
		return;
	for (int c = 0; c < node_count; c++)
		if (nodes[c].parent == i)
			model_end(c);
	nodes[i].alive = false;
	nodes[i].model_dones++;
}
static void model_restart(int i)
{
	uint32_t restarts = nodes[i].model_restarts;
	model_end(i);
	model_start(i);
	nodes[i].model_restarts = restarts;
}
static void model_group(int i, void (*what)(int))
{
	for (int s = 0; s < node_count; s++)
		if (s != i && nodes[i].supervision.all_for_one && nodes[s].supervision.all_for_one && nodes[s].parent == nodes[i].parent &&
		    nodes[s].alive)
			what(s);
}
static void model_fail(int i, enum sm_err why)
{
	struct node *n = &nodes[i];
	const struct sm_supervision *s = &n->supervision;
	enum sm_directive directive = s->decide ? s->decide(why) : SM_DIRECTIVE_RESTART;
	if (directive == SM_DIRECTIVE_RESUME)
		return;
	if (directive == SM_DIRECTIVE_RESTART && n->model_restarts < s->restarts_max) {
		n->model_restarts++;
		model_group(i, model_restart);
		model_restart(i);
		return;
	}
	bool escalates = directive == SM_DIRECTIVE_ESCALATE || (directive == SM_DIRECTIVE_RESTART && s->escalate_at_limit);
	model_group(i, model_end);
	model_end(i);
	if (escalates && n->parent >= 0)
		model_fail(n->parent, why);
}

static void compare(void)
{
	for (int i = 0; i < node_count; i++) {
		const struct node *n = &nodes[i];
		if (n->inits != n->model_inits || n->dones != n->model_dones || (n->alive && n->count != n->model_count))
			fail_msg("seed %llu, node %d (child of %d): %d inits, %d dones, count %d; the model has %d, %d, %d",
				 (unsigned long long)sim_seed, i, n->parent, n->inits, n->dones, n->count, n->model_inits, n->model_dones,
				 n->model_count);
	}
}

/* A failure, and messages behind it in the same mailbox: who lives on has read them. */
static void one_failure(struct sm_system *system, int i)
{
	uint64_t which = sm_sim_random(system, 4), behind = sm_sim_random(system, 4);
	int dones = nodes[i].model_dones, inits = nodes[i].model_inits;
	uint32_t restarts = nodes[i].model_restarts;
	send_number(nodes[i].ref, FAIL_FIRST + which);
	for (uint64_t k = 0; k < behind; k++)
		send_number(nodes[i].ref, INC);
	model_fail(i, errors[which]);
	bool resumed = nodes[i].model_inits == inits,
	     restarted = nodes[i].model_dones == dones + 1 && nodes[i].model_restarts == restarts + 1;
	if (nodes[i].alive && (resumed || restarted))
		nodes[i].model_count += (int)behind;
}

SIM_TEST(random_trees_with_random_failures_do_as_the_model_says)
{
	struct sm_system *system = sim_new();
	tree_make(system);
	tree_start(system);
	for (int i = 0; i < node_count; i++)
		if (nodes[i].parent == -1)
			model_start(i);
	sim_settle(system);
	compare();
	for (int n = 0; n < 40; n++) {
		int i = (int)sm_sim_random(system, (uint64_t)node_count);
		if (!nodes[i].alive)
			continue;
		switch (sm_sim_random(system, 8)) {
		case 0:
			sm_sim_random(system, 2) ? sm_stop(nodes[i].ref) : sm_stop_now(nodes[i].ref);
			model_end(i);
			break;
		case 1:
		case 2:
			send_number(nodes[i].ref, INC);
			nodes[i].model_count++;
			break;
		default: one_failure(system, i);
		}
		assert_true(sm_sim_advance(system, 1000));
		compare();
	}
	sim_end(system);
	tree_free();
}

/* No rest between what happens: nothing is lost or done twice, and all of it comes to an end. */
SIM_TEST(failures_that_overlap_end_in_order)
{
	struct sm_system *system = sim_new();
	tree_make(system);
	tree_start(system);
	for (int n = 0; n < 300; n++) {
		int i = (int)sm_sim_random(system, (uint64_t)node_count);
		uint64_t what = sm_sim_random(system, 40);
		struct sm_msg *msg = number_new(what < 20 ? INC : FAIL_FIRST + what % 4);
		if (!nodes[i].ref || sm_send(nodes[i].ref, msg))
			sm_msg_free(msg);
		if (nodes[i].ref && what == 39)
			sm_stop(nodes[i].ref);
		for (uint64_t steps = sm_sim_random(system, 6); steps; steps--)
			sm_sim_step(system);
		if (sm_sim_random(system, 30) == 0)
			assert_true(sm_sim_advance(system, 30));
	}
	sim_end(system);
	tree_free();
}

/* ---- delays ---- */

SIM_TEST(a_delay_with_jitter_is_within_its_bounds)
{
	struct sm_system *system = sim_new();
	memset(nodes, 0, sizeof nodes);
	node_count = 1;
	nodes[0].parent = -1;
	nodes[0].supervision = (struct sm_supervision){
		.restarts_max = 10, .backoff_min_ms = 100, .backoff_max_ms = 400, .jitter_percent = 50};
	tree_start(system);
	const uint64_t delays[] = {100, 200, 400, 400};
	for (int i = 0; i < 4; i++) {
		send_number(nodes[0].ref, FAIL_FIRST);
		assert_true(sm_sim_advance(system, delays[i] / 2 - 1));
		assert_int_equal(nodes[0].inits, i + 1);
		assert_true(sm_sim_advance(system, delays[i] / 2 + 1));
		assert_int_equal(nodes[0].inits, i + 2);
	}
	sim_end(system);
	tree_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_trees_with_random_failures_do_as_the_model_says),
		cmocka_unit_test(failures_that_overlap_end_in_order),
		cmocka_unit_test(a_delay_with_jitter_is_within_its_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
