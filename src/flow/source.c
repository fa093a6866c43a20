/* Sources that are asked: arrays, iterators, ticks. */
#include "flow/flow_internal.h"

/* ---- array ---- */

static enum flow_pull array_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	if (s->array.at == s->node->array.count || s->section->draining)
		return FLOW_END;
	if (!flow__may_give(s->section))
		return FLOW_WAIT;
	struct sm_msg *element = s->node->array.elements[s->array.at];
	if (element->type->copy) {
		if (!(element = element->type->copy(element))) {
			flow__retry_soon(s->section);
			return FLOW_WAIT;
		}
	} else if (element->type->done) {
		sm_fail(&s->section->error, SM_UNSUPPORTED, "array: elements of type %s cannot be copied", element->type->name);
		return FLOW_FAILED;
	}
	s->array.at++;
	*ret_element = element;
	return FLOW_ELEMENT;
}

static void array_reset(struct flow_stage *s)
{
	s->array.at = 0;
}

const struct flow_kind flow__array = {.name = "array", .role = FLOW_SOURCE, .pull = array_pull, .reset = array_reset};

/* ---- iterator ---- */

static size_t iterator_extra(const struct sm_flow *node)
{
	return node->iterator.state_size;
}

static void iterator_reset(struct flow_stage *s)
{
	if (s->iterator.open && s->node->iterator.done)
		s->node->iterator.done(s->node->arg, s->extra);
	s->iterator.open = false;
}

static enum sm_err iterator_open(struct flow_stage *s)
{
	const struct sm_flow_iterator *it = &s->node->iterator;
	if (s->extra)
		memset(s->extra, 0, s->extra_size);
	enum sm_err err = it->init ? it->init(s->node->arg, s->extra, &s->section->error) : SM_OK;
	s->iterator.open = !err;
	return err;
}

static enum flow_pull iterator_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	enum sm_err err = SM_OK;
	if (!s->section->draining && !flow__may_give(s->section))
		return FLOW_WAIT;
	s->section->error.text[0] = 0;
	if (s->section->draining)
		err = SM_END;
	else if (!s->iterator.open)
		err = iterator_open(s);
	if (!err)
		err = s->node->iterator.next(s->node->arg, s->extra, ret_element, &s->section->error);
	if (!err)
		return FLOW_ELEMENT;
	if (err != SM_END)
		return flow__fail(s, err);
	iterator_reset(s);
	return FLOW_END;
}

const struct flow_kind flow__iterator = {
	.name = "iterator", .role = FLOW_SOURCE, .extra = iterator_extra, .pull = iterator_pull, .reset = iterator_reset};

/* ---- tick ---- */

static void tick_reset(struct flow_stage *s)
{
	if (s->tick.started && s->section->self)
		sm_timer_stop(s->section->self, s->index);
	s->tick.started = s->tick.due = false;
}

static enum flow_pull tick_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	if (s->section->draining) {
		tick_reset(s);
		return FLOW_END;
	}
	if (!s->tick.started) {
		enum sm_err err = sm_timer_start(s->section->self, s->index, s->node->tick.first_ms, s->node->tick.interval_ms);
		s->tick.started = !err;
		if (err)
			flow__retry_soon(s->section);
	}
	if (!s->tick.due)
		return FLOW_WAIT;
	s->tick.due = false;
	s->section->error.text[0] = 0;
	enum sm_err err = s->node->tick.make(s->node->arg, ret_element, &s->section->error);
	if (!err)
		return FLOW_ELEMENT;
	if (err != SM_END)
		return flow__fail(s, err);
	tick_reset(s);
	return FLOW_END;
}

/* While there is no demand nobody pulls, and of all the ticks in that time one is left. */
static void tick_timer(struct flow_stage *s)
{
	s->tick.due = s->tick.started;
}

const struct flow_kind flow__tick = {.name = "tick", .role = FLOW_SOURCE, .pull = tick_pull, .timer = tick_timer, .reset = tick_reset};
