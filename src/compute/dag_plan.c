/* A graph cut at its shuffles. Within a stage everything is narrow, so one task computes one partition of the stage's last node from the
 * sources (or from buckets of earlier stages) without waiting for any other task. */
#include "compute/compute_internal.h"
#include <assert.h>
#include <stdlib.h>

struct planner {
	struct stage_plan plan;
	uint32_t cap;
};
/* Nodes that a stage has reached already: graphs may be diamonds. */
struct reached {
	struct dag_node **nodes;
	uint32_t count, cap;
};

static enum sm_err add_stage(struct planner *p, struct dag_node *node, struct dag_node *child, uint32_t parent, uint32_t *ret_stage);

static enum sm_err grow(void **items, uint32_t *cap, uint32_t count, size_t size)
{
	if (count < *cap)
		return SM_OK;
	uint32_t wanted = *cap ? *cap * 2 : 8;
	void *grown = realloc(*items, wanted * size);
	if (!grown)
		return SM_NO_MEMORY;
	*items = grown;
	*cap = wanted;
	return SM_OK;
}

/* True when it is new; ret_err tells of missing memory. */
static bool reach(struct reached *r, struct dag_node *node, enum sm_err *ret_err)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->nodes[i] == node)
			return false;
	*ret_err = grow((void **)&r->nodes, &r->cap, r->count, sizeof(struct dag_node *));
	if (*ret_err)
		return false;
	r->nodes[r->count++] = node;
	return true;
}

uint32_t dag__plan_find(const struct stage_plan *plan, const struct dag_node *child, uint32_t parent)
{
	uint32_t i = 0;
	while (i < plan->count && !(plan->stages[i].child == child && plan->stages[i].parent == parent))
		i++;
	return i;
}

static enum sm_err need(struct planner *p, struct dag_node *node, uint32_t parent, struct stage *stage)
{
	uint32_t id = dag__plan_find(&p->plan, node, parent);
	enum sm_err err = id < p->plan.count ? SM_OK : add_stage(p, node->parents[parent].node, node, parent, &id);
	if (err)
		return err;
	uint32_t *needs = realloc(stage->needs, (stage->need_count + 1) * sizeof *needs);
	if (!needs)
		return SM_NO_MEMORY;
	needs[stage->need_count++] = id;
	stage->needs = needs;
	return SM_OK;
}

static enum sm_err walk(struct planner *p, struct dag_node *node, struct stage *stage, struct reached *reached)
{
	enum sm_err err = SM_OK;
	if (!reach(reached, node, &err))
		return err;
	for (uint32_t i = 0; i < node->parent_count && !err; i++)
		err = node->parents[i].dependency == DAG_SHUFFLE ? need(p, node, i, stage) : walk(p, node->parents[i].node, stage, reached);
	return err;
}

/* A stage is numbered once those that it needs are. */
static enum sm_err add_stage(struct planner *p, struct dag_node *node, struct dag_node *child, uint32_t parent, uint32_t *ret_stage)
{
	struct stage stage = {.node = node, .child = child, .parent = parent};
	struct reached reached = {0};
	enum sm_err err = walk(p, node, &stage, &reached);
	free(reached.nodes);
	if (!err)
		err = grow((void **)&p->plan.stages, &p->cap, p->plan.count, sizeof stage);
	if (err) {
		free(stage.needs);
		return err;
	}
	*ret_stage = p->plan.count;
	p->plan.stages[p->plan.count++] = stage;
	return SM_OK;
}

enum sm_err dag__plan(struct dag_node *node, struct stage_plan *ret_plan)
{
	struct planner p = {0};
	uint32_t last;
	enum sm_err err = add_stage(&p, node, NULL, 0, &last);
	if (err)
		dag__plan_done(&p.plan);
	else
		*ret_plan = p.plan;
	return err;
}

void dag__plan_done(struct stage_plan *plan)
{
	for (uint32_t i = 0; i < plan->count; i++)
		free(plan->stages[i].needs);
	free(plan->stages);
	*plan = (struct stage_plan){0};
}
