/* Stages with several inputs or outputs: merge, concat, broadcast. */
#include "flow/flow_internal.h"

/* ---- merge ---- */

static void join_failed(struct flow_stage *s)
{
	struct sm_error error = s->section->error;
	flow__cancel_inputs(s);
	s->section->error = error;
}

static enum flow_pull merge_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	bool open = false;
	for (uint32_t n = 0; n < s->input_count; n++) {
		struct flow_input *in = &s->inputs[s->join.turn];
		if (++s->join.turn == s->input_count)
			s->join.turn = 0;
		if (in->ended)
			continue;
		enum flow_pull how = flow__pull(in, ret_element);
		if (how == FLOW_ELEMENT)
			return how;
		if (how == FLOW_FAILED) {
			join_failed(s);
			return how;
		}
		open |= how == FLOW_WAIT;
	}
	return open ? FLOW_WAIT : FLOW_END;
}

static void join_reset(struct flow_stage *s)
{
	s->join.turn = 0;
}

const struct flow_kind flow__merge = {.name = "merge", .role = FLOW_STAGE, .pull = merge_pull, .reset = join_reset};

static enum flow_pull concat_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	for (; s->join.turn < s->input_count; s->join.turn++) {
		enum flow_pull how = flow__pull(&s->inputs[s->join.turn], ret_element);
		if (how == FLOW_FAILED)
			join_failed(s);
		if (how != FLOW_END)
			return how;
	}
	return FLOW_END;
}

const struct flow_kind flow__concat = {.name = "concat", .role = FLOW_STAGE, .pull = concat_pull, .reset = join_reset};

/* ---- broadcast: the hub pulls when no branch has an element any more ---- */

static size_t hub_extra(const struct sm_flow *node)
{
	return node->branches * sizeof(struct flow_stage *);
}

static void hub_reset(struct flow_stage *hub)
{
	hub->hub.ended = FLOW_ELEMENT;
}

const struct flow_kind flow__hub = {.name = "broadcast", .role = FLOW_STAGE, .extra = hub_extra, .reset = hub_reset};

static struct flow_stage **branches_of(const struct flow_stage *hub)
{
	return hub->extra;
}

static void hub_end(struct flow_stage *hub, enum flow_pull how)
{
	hub->hub.ended = how;
	if (how == FLOW_FAILED)
		hub->hub.error = hub->section->error;
}

/* The others' copies; `self` gets the element itself. */
static enum sm_err hub_copy(struct flow_stage *hub, const struct flow_stage *self, const struct sm_msg *element)
{
	for (uint32_t i = 0; i < hub->node->branches; i++) {
		struct flow_stage *b = branches_of(hub)[i];
		if (b == self || b->branch.shut)
			continue;
		if (!element->type->copy)
			return sm_fail(&hub->section->error, SM_UNSUPPORTED, "broadcast: elements of type %s cannot be copied",
				       element->type->name);
		if (!(b->branch.slot = element->type->copy(element)))
			return sm_fail(&hub->section->error, SM_NO_MEMORY, "broadcast: no memory for a copy");
	}
	return SM_OK;
}

static bool all_taken(const struct flow_stage *hub)
{
	for (uint32_t i = 0; i < hub->node->branches; i++)
		if (branches_of(hub)[i]->branch.slot)
			return false;
	return true;
}

static enum flow_pull hub_pull(struct flow_stage *hub, const struct flow_stage *self, struct sm_msg **ret_element)
{
	if (!all_taken(hub))
		return FLOW_WAIT;
	enum flow_pull how = flow__pull(hub->inputs, ret_element);
	if (how >= FLOW_END)
		hub_end(hub, how);
	if (how != FLOW_ELEMENT)
		return how;
	enum sm_err err = hub_copy(hub, self, *ret_element);
	if (!err)
		return FLOW_ELEMENT;
	sm_msg_free(*ret_element);
	for (uint32_t i = 0; i < hub->node->branches; i++) { /* nobody gets half of it */
		struct flow_stage *b = branches_of(hub)[i];
		sm_msg_free(b->branch.slot);
		b->branch.slot = NULL;
	}
	how = flow__fail(hub, err);
	hub_end(hub, how);
	return how;
}

static enum flow_pull branch_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	struct flow_stage *hub = s->inputs->stage;
	if (s->branch.slot) {
		*ret_element = s->branch.slot;
		s->branch.slot = NULL;
		return FLOW_ELEMENT;
	}
	if (hub->hub.ended == FLOW_ELEMENT)
		return hub_pull(hub, s, ret_element);
	if (hub->hub.ended == FLOW_FAILED)
		s->section->error = hub->hub.error;
	return hub->hub.ended;
}

static void branch_cancel(struct flow_stage *s)
{
	struct flow_stage *hub = s->inputs->stage;
	sm_msg_free(s->branch.slot);
	s->branch.slot = NULL;
	s->branch.shut = true;
	for (uint32_t i = 0; i < hub->node->branches; i++)
		if (!branches_of(hub)[i]->branch.shut)
			return;
	if (hub->hub.ended == FLOW_ELEMENT)
		flow__cancel_inputs(hub);
}

static void branch_reset(struct flow_stage *s)
{
	sm_msg_free(s->branch.slot);
	s->branch.slot = NULL;
	s->branch.shut = false;
}

const struct flow_kind flow__branch = {
	.name = "branch", .role = FLOW_STAGE, .pull = branch_pull, .cancel = branch_cancel, .reset = branch_reset};
