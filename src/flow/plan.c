/* From a description to a run: stages, the sections that they make up, the edges between these, and who restarts with whom. */
#include "flow/flow_internal.h"
#include "flow/queue.h"

struct plan {
	const struct sm_flow *nodes[FLOW_STAGES_MAX];
	uint32_t node_count, boundary_count;
	uint32_t group[2 * FLOW_STAGES_MAX]; /* of a stage: another one of its section, or itself */
	bool in_scope[2 * FLOW_STAGES_MAX];  /* by section */
	struct sm_flow_run *run;
};

/* ---- nodes ---- */

static uint32_t node_at(const struct plan *plan, const struct sm_flow *node)
{
	uint32_t i = 0;
	while (i < plan->node_count && plan->nodes[i] != node)
		i++;
	return i;
}

static enum sm_err visit(struct plan *plan, const struct sm_flow *node, struct sm_error *reterr)
{
	if (node->kind == &flow__hub && node_at(plan, node) < plan->node_count)
		return SM_OK;
	if (node->problem)
		return sm_fail(reterr, SM_INVALID, "%s %s: %s", node->kind->name, node->name ? node->name : "", node->problem);
	if (plan->node_count == FLOW_STAGES_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "the graph has more than %d stages: run it as several", FLOW_STAGES_MAX);
	for (uint32_t i = 0; node->name && i < plan->node_count; i++)
		if (plan->nodes[i]->name && strcmp(plan->nodes[i]->name, node->name) == 0)
			return sm_fail(reterr, SM_INVALID, "two queues or values of the graph have the name %s", node->name);
	if (node->kind != &flow__graph)
		plan->nodes[plan->node_count++] = node;
	plan->boundary_count += node->kind->role == FLOW_BOUNDARY;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < node->from_count && !err; i++)
		err = visit(plan, node->from[i], reterr);
	return err;
}

/* ---- stages ---- */

static bool make_inputs(struct flow_stage *s, uint32_t count)
{
	s->inputs = calloc(count ? count : 1, sizeof *s->inputs);
	s->input_count = count;
	return s->inputs != NULL;
}

static bool make_edge(struct plan *plan, struct flow_stage *inlet, struct flow_stage *from)
{
	struct sm_flow_run *run = plan->run;
	struct flow_edge *edge = &run->edges[run->edge_count];
	struct flow_stage *outlet = &run->stages[plan->node_count + run->edge_count++];
	outlet->kind = &flow__outlet;
	outlet->node = inlet->node;
	inlet->edge = outlet->edge = edge;
	edge->inlet = inlet;
	edge->outlet = outlet;
	if (!make_inputs(inlet, 0) || !make_inputs(outlet, 1))
		return false;
	outlet->inputs[0].stage = from;
	return true;
}

static bool make_stage(struct plan *plan, uint32_t i)
{
	const struct sm_flow *node = plan->nodes[i];
	struct flow_stage *s = &plan->run->stages[i];
	s->kind = node->kind;
	s->node = node;
	if (node->kind->role == FLOW_BOUNDARY)
		return make_edge(plan, s, &plan->run->stages[node_at(plan, node->from[0])]);
	if (!make_inputs(s, node->from_count))
		return false;
	for (uint32_t n = 0; n < node->from_count; n++)
		s->inputs[n].stage = &plan->run->stages[node_at(plan, node->from[n])];
	s->extra_size = node->kind->extra ? node->kind->extra(node) : 0;
	if (s->extra_size && !(s->extra = calloc(1, s->extra_size)))
		return false;
	return !node->kind->make || !node->kind->make(s);
}

static enum sm_err link_branches(struct plan *plan, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < plan->node_count; i++) {
		struct flow_stage *s = &plan->run->stages[i];
		if (s->kind == &flow__branch)
			((struct flow_stage **)s->inputs[0].stage->extra)[s->node->branch] = s;
	}
	for (uint32_t i = 0; i < plan->node_count; i++) {
		struct flow_stage *s = &plan->run->stages[i];
		for (uint32_t b = 0; s->kind == &flow__hub && b < s->node->branches; b++)
			if (!((struct flow_stage **)s->extra)[b])
				return sm_fail(reterr, SM_INVALID,
					       "branch %u of a broadcast is not in the graph: give it a sink, and to sm_flow_graph", b);
	}
	return SM_OK;
}

/* ---- sections: stages that are connected without a boundary ---- */

static uint32_t group_of(struct plan *plan, uint32_t i)
{
	while (plan->group[i] != i)
		i = plan->group[i] = plan->group[plan->group[i]];
	return i;
}

static void group_stages(struct plan *plan)
{
	struct sm_flow_run *run = plan->run;
	for (uint32_t i = 0; i < run->stage_count; i++)
		plan->group[i] = i;
	for (uint32_t i = 0; i < run->stage_count; i++)
		for (uint32_t n = 0; n < run->stages[i].input_count; n++)
			plan->group[group_of(plan, i)] = group_of(plan, (uint32_t)(run->stages[i].inputs[n].stage - run->stages));
}

static void count_parts(struct sm_flow_run *run)
{
	for (uint32_t i = 0; i < run->stage_count; i++) {
		struct flow_stage *s = &run->stages[i];
		s->index = s->section->stage_count++;
		s->section->drain_count += s->kind->consume != NULL;
		s->section->out_count += s->kind == &flow__outlet;
		s->section->in_count += s->kind->role == FLOW_BOUNDARY;
	}
}

static bool fill_section(struct sm_flow_run *run, struct flow_section *section)
{
	section->run = run;
	section->stages = calloc(section->stage_count, sizeof(struct flow_stage *));
	section->drains = calloc(section->drain_count + 1, sizeof(struct flow_stage *));
	section->edges_in = calloc(section->in_count + 1, sizeof(struct flow_edge *));
	section->edges_out = calloc(section->out_count + 1, sizeof(struct flow_edge *));
	if (!section->stages || !section->drains || !section->edges_in || !section->edges_out)
		return false;
	uint32_t stages = 0, drains = 0, ins = 0, outs = 0;
	for (uint32_t i = 0; i < run->stage_count; i++) {
		struct flow_stage *s = &run->stages[i];
		if (s->section != section)
			continue;
		section->stages[stages++] = s;
		if (s->kind->consume)
			section->drains[drains++] = s;
		if (s->kind == &flow__outlet)
			section->edges_out[outs++] = s->edge;
		if (s->kind->role == FLOW_BOUNDARY)
			section->edges_in[ins++] = s->edge;
	}
	return true;
}

static bool make_sections(struct plan *plan)
{
	struct sm_flow_run *run = plan->run;
	if (!(run->sections = calloc(run->stage_count, sizeof *run->sections)))
		return false;
	for (uint32_t i = 0; i < run->stage_count; i++)
		if (group_of(plan, i) == i)
			run->stages[i].section = &run->sections[run->section_count++];
	for (uint32_t i = 0; i < run->stage_count; i++)
		run->stages[i].section = run->stages[group_of(plan, i)].section;
	count_parts(run);
	for (uint32_t i = 0; i < run->section_count; i++)
		if (!fill_section(run, &run->sections[i]))
			return false;
	return true;
}

/* ---- restarts: what is before such a boundary belongs to the section that is right before it ---- */

static uint32_t mark_above(struct plan *plan, struct flow_section *section)
{
	struct sm_flow_run *run = plan->run;
	uint32_t marked = 1;
	memset(plan->in_scope, 0, sizeof plan->in_scope);
	plan->in_scope[section - run->sections] = true;
	for (bool more = true; more;) {
		more = false;
		for (uint32_t i = 0; i < run->edge_count; i++) {
			size_t above = (size_t)(run->edges[i].outlet->section - run->sections);
			if (!plan->in_scope[run->edges[i].inlet->section - run->sections] || plan->in_scope[above])
				continue;
			plan->in_scope[above] = more = true;
			marked++;
		}
	}
	return marked;
}

/* What is given a second time must not be under way from the first. */
static enum sm_err check_array(const struct sm_flow *node, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < node->array.count; i++)
		if (!node->array.elements[i]->type->copy)
			return sm_fail(reterr, SM_INVALID,
				       "an array before a restart has an element of type %s, which cannot be copied: give it copy",
				       node->array.elements[i]->type->name);
	return SM_OK;
}

static enum sm_err check_scope(const struct plan *plan, const struct flow_edge *restart, struct sm_error *reterr)
{
	const struct sm_flow_run *run = plan->run;
	for (uint32_t i = 0; i < run->stage_count; i++) {
		const struct flow_stage *s = &run->stages[i];
		if (!plan->in_scope[s->section - run->sections])
			continue;
		bool leaves = s->kind == &flow__outlet && s->edge != restart && !plan->in_scope[s->edge->inlet->section - run->sections];
		if (leaves || s->kind->role == FLOW_SINK)
			return sm_fail(reterr, SM_INVALID,
				       "a broadcast before a restart has a branch that does not come back before it: broadcast behind the "
				       "restart");
		enum sm_err err = s->kind == &flow__array ? check_array(s->node, reterr) : SM_OK;
		if (err)
			return err;
	}
	return SM_OK;
}

static enum sm_err make_scope(struct plan *plan, struct flow_edge *restart, struct sm_error *reterr)
{
	struct sm_flow_run *run = plan->run;
	struct flow_section *scope = restart->outlet->section;
	uint32_t size = mark_above(plan, scope);
	enum sm_err err = check_scope(plan, restart, reterr);
	if (err)
		return err;
	scope->supervision = &restart->inlet->node->buffer.supervision;
	for (uint32_t i = 0; i < run->section_count; i++) {
		struct flow_section *s = &run->sections[i];
		if (plan->in_scope[i] && s != scope && (!s->scope || size < s->scope_size)) {
			s->scope = scope;
			s->scope_size = size;
		}
	}
	return SM_OK;
}

/* ---- all of it ---- */

static enum sm_err make(struct plan *plan, struct sm_error *reterr)
{
	struct sm_flow_run *run = plan->run;
	run->stage_count = plan->node_count + plan->boundary_count;
	run->stages = calloc(run->stage_count, sizeof *run->stages);
	run->edges = calloc(plan->boundary_count + 1, sizeof *run->edges);
	bool made = run->stages && run->edges;
	for (uint32_t i = 0; made && i < plan->node_count; i++)
		made = make_stage(plan, i);
	if (!made)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the flow's stages");
	enum sm_err err = link_branches(plan, reterr);
	if (err)
		return err;
	group_stages(plan);
	if (!make_sections(plan))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the flow's sections");
	for (uint32_t i = 0; i < run->edge_count && !err; i++) {
		assert(run->edges[i].inlet);
		if (run->edges[i].inlet->node->buffer.restart)
			err = make_scope(plan, &run->edges[i], reterr);
	}
	return err;
}

enum sm_err flow__plan(const struct sm_flow *flow, struct sm_flow_run *run, struct sm_error *reterr)
{
	if (!flow)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the flow's description");
	struct plan *plan = calloc(1, sizeof *plan);
	if (!plan)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory to plan a flow");
	plan->run = run;
	enum sm_err err = visit(plan, flow, reterr);
	if (!err && flow->kind->role != FLOW_SINK && flow->kind->role != FLOW_GRAPH)
		err = sm_fail(reterr, SM_INVALID, "the flow has no sink (its last stage: %s)", flow->kind->name);
	if (!err)
		err = make(plan, reterr);
	free(plan);
	return err;
}

void flow__plan_free(struct sm_flow_run *run)
{
	for (uint32_t i = 0; run->stages && i < run->stage_count; i++) {
		struct flow_stage *s = &run->stages[i];
		if (s->kind == &flow__queue)
			flow__queue_free(s);
		else if (s->kind && s->kind->role == FLOW_SINK)
			sm_msg_free(s->sink.value);
		free(s->inputs);
		free(s->extra);
	}
	for (uint32_t i = 0; i < run->section_count; i++) {
		struct flow_section *section = &run->sections[i];
		sm_unref(section->ref);
		free(section->stages);
		free(section->drains);
		free(section->edges_in);
		free(section->edges_out);
	}
	free(run->stages);
	free(run->sections);
	free(run->edges);
}
