/* Stages with one input that hold nothing back: map, filter, take, unbatch. */
#include "flow/flow_internal.h"

static enum flow_pull map_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	for (;;) {
		struct sm_msg *in, *out = NULL;
		enum flow_pull how = flow__pull(s->inputs, &in);
		if (how != FLOW_ELEMENT)
			return how;
		s->section->error.text[0] = 0;
		enum sm_err err = s->node->map(s->node->arg, in, &out, &s->section->error);
		if (__builtin_expect(err != SM_OK, 0)) {
			sm_msg_free(in);
			return flow__fail(s, err);
		}
		if (out) {
			*ret_element = out;
			return FLOW_ELEMENT;
		}
	}
}

const struct flow_kind flow__map = {.name = "map", .role = FLOW_STAGE, .pull = map_pull};

static enum flow_pull filter_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	for (;;) {
		enum flow_pull how = flow__pull(s->inputs, ret_element);
		if (how != FLOW_ELEMENT || s->node->keep(s->node->arg, *ret_element))
			return how;
		sm_msg_free(*ret_element);
	}
}

const struct flow_kind flow__filter = {.name = "filter", .role = FLOW_STAGE, .pull = filter_pull};

/* The last one's source is cancelled with it, not at the next demand: that may never come. */
static enum flow_pull take_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	if (s->taken == s->node->take)
		return FLOW_END;
	enum flow_pull how = flow__pull(s->inputs, ret_element);
	if (how == FLOW_ELEMENT && ++s->taken == s->node->take)
		flow__cancel_inputs(s);
	return how;
}

static void take_reset(struct flow_stage *s)
{
	s->taken = 0;
}

const struct flow_kind flow__take = {.name = "take", .role = FLOW_STAGE, .pull = take_pull, .reset = take_reset};

static enum flow_pull unbatch_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	for (;;) {
		if (s->unbatch && s->unbatch->first && !flow__may_give(s->section))
			return FLOW_WAIT;
		if (s->unbatch && (*ret_element = sm_flow_batch_take(s->unbatch)))
			return FLOW_ELEMENT;
		if (s->unbatch)
			sm_msg_free(&s->unbatch->msg);
		s->unbatch = NULL;
		struct sm_msg *in;
		enum flow_pull how = flow__pull(s->inputs, &in);
		if (how != FLOW_ELEMENT)
			return how;
		if (in->type == &sm_msg_flow_batch) {
			s->unbatch = (struct sm_flow_batch_msg *)in;
			continue;
		}
		*ret_element = in;
		return FLOW_ELEMENT;
	}
}

static void unbatch_reset(struct flow_stage *s)
{
	if (s->unbatch)
		sm_msg_free(&s->unbatch->msg);
	s->unbatch = NULL;
}

const struct flow_kind flow__unbatch = {.name = "unbatch", .role = FLOW_STAGE, .pull = unbatch_pull, .reset = unbatch_reset};
