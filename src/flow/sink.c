/* Sinks: what is done with each element, and the values that are left. */
#include "flow/batch.h"

static enum sm_err for_each_consume(struct flow_stage *s, struct sm_msg *element)
{
	if (!s->node->each) {
		sm_msg_free(element);
		return SM_OK;
	}
	s->section->error.text[0] = 0;
	return s->node->each(s->node->arg, element, &s->section->error);
}

static void sink_ended(struct flow_stage *s, enum flow_pull how)
{
	struct sm_flow_run *run = s->section->run;
	if (how == FLOW_FAILED) {
		flow__run_fail(run, &s->section->error);
		if (s->kind->reset)
			s->kind->reset(s);
		return;
	}
	pthread_mutex_lock(&run->lock);
	s->sink.ready = true;
	pthread_mutex_unlock(&run->lock);
}

const struct flow_kind flow__for_each = {.name = "for_each", .role = FLOW_SINK, .consume = for_each_consume, .ended = sink_ended};

static enum sm_err fold_consume(struct flow_stage *s, struct sm_msg *element)
{
	s->section->error.text[0] = 0;
	return s->node->fold(s->node->arg, &s->sink.value, element, &s->section->error);
}

/* A value that is ready is the handle's. */
static void value_reset(struct flow_stage *s)
{
	if (s->sink.ready)
		return;
	sm_msg_free(s->sink.value);
	s->sink.value = NULL;
}

const struct flow_kind flow__fold = {.name = "fold", .role = FLOW_SINK, .consume = fold_consume, .ended = sink_ended, .reset = value_reset};

static enum sm_err collect_consume(struct flow_stage *s, struct sm_msg *element)
{
	struct sm_flow_batch_msg *batch = (struct sm_flow_batch_msg *)s->sink.value;
	s->section->error.text[0] = 0;
	if (!batch && !(batch = flow__batch_new()))
		return SM_NO_MEMORY;
	s->sink.value = &batch->msg;
	if (batch->count == s->node->collect_max)
		return sm_fail(&s->section->error, SM_TOO_LARGE, "collect %s: more than %u elements", s->node->name, batch->count);
	flow__batch_add(batch, element);
	return SM_OK;
}

/* Of no elements there is a batch too. */
static void collect_ended(struct flow_stage *s, enum flow_pull how)
{
	if (how == FLOW_END && !s->sink.value) {
		struct sm_flow_batch_msg *batch = flow__batch_new();
		s->sink.value = batch ? &batch->msg : NULL;
		if (!batch) {
			sm_fail(&s->section->error, SM_NO_MEMORY, "collect %s: no memory for its value", s->node->name);
			how = FLOW_FAILED;
		}
	}
	sink_ended(s, how);
}

const struct flow_kind flow__collect = {
	.name = "collect", .role = FLOW_SINK, .consume = collect_consume, .ended = collect_ended, .reset = value_reset};

const struct flow_kind flow__graph = {.name = "graph", .role = FLOW_GRAPH};
