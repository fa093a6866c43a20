/* Random graphs, against a model that is a list: what comes out is what the model says, whatever the order in which the parts run; buffers
 * keep to their bounds (asserts within the room), and nothing is left. */
#include "flow/testing.h"

#define SINKS_MAX 4
#define MODEL_MAX 2000

/* Numbers that a flow will give, sorted when they are compared: merges and unordered stages may change their order. */
struct model {
	uint64_t *numbers;
	uint32_t count;
	bool ordered;
};

struct graph {
	struct sm_system *system;
	struct sm_ref *doubler;
	struct sm_flow *sinks[SINKS_MAX];
	struct model models[SINKS_MAX];
	uint32_t sink_count;
	uint32_t stages_left;
	bool asks; /* answers to a stage that was cancelled are dead letters */
};

static uint64_t counts[] = {0, 1, 2, 7, 40, 130};

static uint64_t below(struct graph *g, uint64_t n)
{
	return sm_sim_random(g->system, n);
}

static enum sm_err doubler_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	sm_reply(self, msg, element_new(2 * number_of(msg)));
	return SM_OK;
}

static struct model model_new(uint32_t cap)
{
	struct model m = {.numbers = calloc(cap + 1, sizeof(uint64_t)), .ordered = true};
	assert_non_null(m.numbers);
	return m;
}

static struct model model_copy(const struct model *from)
{
	struct model m = model_new(from->count);
	memcpy(m.numbers, from->numbers, from->count * sizeof(uint64_t));
	m.count = from->count;
	m.ordered = from->ordered;
	return m;
}

static struct sm_flow *source(struct graph *g, struct model *m)
{
	uint64_t *count = &counts[below(g, sizeof counts / sizeof *counts)];
	*m = model_new((uint32_t)*count);
	for (uint64_t n = 1; n <= *count; n++)
		m->numbers[m->count++] = n;
	return count_to(count);
}

static void doubled(struct model *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		m->numbers[i] *= 2;
}

static struct sm_flow *filtered(struct sm_flow *f, struct model *m)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < m->count; i++)
		if (m->numbers[i] % 2 == 0)
			m->numbers[kept++] = m->numbers[i];
	m->count = kept;
	return sm_flow_filter(f, is_even, NULL);
}

/* Only where it is known which ones come first. */
static struct sm_flow *cut(struct graph *g, struct sm_flow *f, struct model *m)
{
	uint64_t n = 1 + below(g, 20);
	if (!m->ordered)
		return f;
	if (m->count > n)
		m->count = (uint32_t)n;
	return sm_flow_take(f, n);
}

static struct sm_flow *batched(struct graph *g, struct sm_flow *f)
{
	const struct sm_flow_batch batch = {.count_max = 1 + (uint32_t)below(g, 9), .within_ms = below(g, 2) * 10};
	f = sm_flow_batch(f, &batch);
	if (below(g, 2))
		f = sm_flow_buffer(f, 1 + (uint32_t)below(g, 3), SM_FLOW_BACK_PRESSURE);
	return sm_flow_unbatch(f);
}

static struct sm_flow *joined(struct graph *g, struct sm_flow *f, struct model *m, bool merge)
{
	struct model other, both;
	struct sm_flow *two[2] = {f, source(g, &other)};
	both = model_new(m->count + other.count);
	memcpy(both.numbers, m->numbers, m->count * sizeof(uint64_t));
	memcpy(both.numbers + m->count, other.numbers, other.count * sizeof(uint64_t));
	both.count = m->count + other.count;
	both.ordered = m->ordered && !merge;
	free(m->numbers);
	free(other.numbers);
	*m = both;
	return merge ? sm_flow_merge(two, 2) : sm_flow_concat(two, 2);
}

static void grow(struct graph *g, struct sm_flow *f, struct model m);

/* One branch goes on here, the others elsewhere. */
static struct sm_flow *branched(struct graph *g, struct sm_flow *f, struct model *m)
{
	struct sm_flow *b[2];
	if (g->sink_count == SINKS_MAX - 1)
		return f;
	sm_flow_broadcast(f, b, 2);
	g->sink_count++;
	grow(g, b[1], model_copy(m));
	g->sink_count--;
	return b[0];
}

/* A broadcast whose branches come together again. */
static struct sm_flow *diamond(struct graph *g, struct sm_flow *f, struct model *m)
{
	struct sm_flow *b[2];
	if (m->count * 2 > MODEL_MAX)
		return f;
	struct model both = model_new(m->count * 2);
	sm_flow_broadcast(f, b, 2);
	for (uint32_t i = 0; i < m->count; i++) {
		both.numbers[both.count++] = m->numbers[i];
		both.numbers[both.count++] = 2 * m->numbers[i];
	}
	both.ordered = false;
	free(m->numbers);
	*m = both;
	b[0] = sm_flow_map(below(g, 2) ? sm_flow_async(b[0]) : b[0], twice, NULL);
	b[1] = sm_flow_buffer(b[1], 1 + (uint32_t)below(g, 4), SM_FLOW_BACK_PRESSURE);
	return sm_flow_merge(b, 2);
}

static struct sm_flow *stage(struct graph *g, struct sm_flow *f, struct model *m)
{
	bool ordered = below(g, 2);
	uint32_t parallelism = 1 + (uint32_t)below(g, 5);
	switch (below(g, 11)) {
	case 0: return filtered(f, m);
	case 1: return sm_flow_buffer(f, 1 + (uint32_t)below(g, 9), SM_FLOW_BACK_PRESSURE);
	case 2: return sm_flow_restart(f, &(struct sm_supervision){.restarts_max = 2});
	case 3: return cut(g, f, m);
	case 4: return batched(g, f);
	case 5: return joined(g, f, m, true);
	case 6: return joined(g, f, m, false);
	case 7: return branched(g, f, m);
	case 8: return diamond(g, f, m);
	case 9:
		g->asks = true;
		doubled(m);
		m->ordered &= ordered;
		return sm_flow_map_ask(f, g->doubler, 60000, parallelism, ordered);
	default:
		doubled(m);
		m->ordered &= ordered;
		return sm_flow_map_pool(f, twice, NULL, parallelism, ordered);
	}
}

static void grow(struct graph *g, struct sm_flow *f, struct model m)
{
	static const char *const names[SINKS_MAX] = {"a", "b", "c", "d"};
	while (g->stages_left) {
		g->stages_left--;
		f = stage(g, f, &m);
	}
	uint32_t place = 0;
	while (g->sinks[place])
		place++;
	assert_true(place < SINKS_MAX);
	g->sinks[place] = sm_flow_collect(f, names[place], MODEL_MAX);
	g->models[place] = m;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void compare(struct sm_flow_run *run, const char *name, struct model *m)
{
	struct trace trace;
	value_to(run, name, &trace);
	assert_int_equal(trace.count, m->count);
	if (!m->ordered) {
		qsort(trace.seen, trace.count, sizeof *trace.seen, by_number);
		qsort(m->numbers, m->count, sizeof *m->numbers, by_number);
	}
	assert_memory_equal(trace.seen, m->numbers, m->count * sizeof *m->numbers);
}

static struct graph graph_new(struct sm_system *system)
{
	struct graph g = {.system = system};
	struct sm_props props = {.receive = doubler_receive, .dispatcher = -1, .mailbox_max = 1 + (uint32_t)sm_sim_random(system, 8)};
	struct model m;
	g.doubler = sim_spawn(system, &props);
	g.stages_left = (uint32_t)below(&g, 12);
	struct sm_flow *f = source(&g, &m);
	grow(&g, f, m);
	g.sink_count = 0;
	while (g.sink_count < SINKS_MAX && g.sinks[g.sink_count])
		g.sink_count++;
	return g;
}

static void graph_end(struct graph *g)
{
	for (uint32_t i = 0; i < g->sink_count; i++)
		free(g->models[i].numbers);
	sm_unref(g->doubler);
}

/* NULL: a broadcast lies before a restart, and has a branch elsewhere. */
static struct sm_flow_run *graph_run(struct graph *g, struct ending *ending)
{
	struct sm_flow_run *run = NULL;
	struct sm_error error;
	struct sm_flow *all = sm_flow_graph(g->sinks, g->sink_count);
	struct sm_flow_options options = {.done = ending_told, .arg = ending};
	*ending = (struct ending){0};
	enum sm_err err = sm_flow_run(g->system, all, &options, &run, &error);
	sm_flow_free(all);
	if (err && !strstr(error.text, "broadcast behind the restart"))
		fail_msg("%s", error.text);
	return run;
}

SIM_TEST(what_goes_in_comes_out)
{
	static const char *const names[SINKS_MAX] = {"a", "b", "c", "d"};
	for (int i = 0; i < 4; i++) {
		struct sm_system *system = sim_new();
		struct graph g = graph_new(system);
		struct ending ending;
		struct sm_flow_run *run = graph_run(&g, &ending);
		for (int n = 0; run && n < 1000 && !ending.count; n++)
			assert_true(sm_sim_advance(system, 10));
		if (run)
			ended_with(&ending, SM_OK);
		for (uint32_t s = 0; run && s < g.sink_count; s++)
			compare(run, names[s], &g.models[s]);
		sm_flow_release(run);
		graph_end(&g);
		assert_true(g.asks || sm_dead_letters(system) == 0);
		sim_end(system);
		assert_int_equal(atomic_load(&testing_open), 0);
	}
}

SIM_TEST(a_graph_that_is_cancelled_drained_or_stopped_at_any_moment_leaves_nothing)
{
	for (int how = 0; how < 3; how++) {
		struct sm_system *system = sim_new();
		struct graph g = graph_new(system);
		struct ending ending;
		struct sm_flow_run *run = graph_run(&g, &ending);
		sm_sim_run(system, 1 + below(&g, 600));
		if (run && how < 2) {
			how ? sm_flow_stop(run) : sm_flow_cancel(run);
			for (int n = 0; n < 1000 && !ending.count; n++)
				assert_true(sm_sim_advance(system, 10));
		}
		graph_end(&g);
		assert_int_equal(sm_system_stop(system, 60000), SM_OK);
		assert_int_equal(atomic_load(&testing_open), 0);
		if (run)
			assert_int_equal(ending.count, 1);
		sm_flow_release(run);
		assert_int_equal(atomic_load(&testing_live), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(a_graph_that_is_cancelled_drained_or_stopped_at_any_moment_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
