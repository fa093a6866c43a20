/* Batches: elements that hold elements, and the stage that makes them by count, bytes and time. */
#include "flow/batch.h"

static void batch_msg_done(struct sm_msg *msg)
{
	struct sm_flow_batch_msg *batch = (struct sm_flow_batch_msg *)msg;
	struct sm_msg *element;
	while ((element = sm_flow_batch_take(batch)))
		sm_msg_free(element);
	free(batch);
}

static struct sm_msg *batch_msg_copy(const struct sm_msg *msg)
{
	const struct sm_flow_batch_msg *from = (const struct sm_flow_batch_msg *)msg;
	struct sm_flow_batch_msg *batch = flow__batch_new();
	for (const struct sm_msg *m = from->first; batch && m; m = m->next) {
		struct sm_msg *element = m->type->copy ? m->type->copy(m) : NULL;
		if (!element) {
			sm_msg_free(&batch->msg);
			return NULL;
		}
		flow__batch_add(batch, element);
	}
	if (!batch)
		return NULL;
	batch->bytes = from->bytes;
	return &batch->msg;
}

const struct sm_msg_type sm_msg_flow_batch = {"flow batch", batch_msg_done, batch_msg_copy};

struct sm_msg *sm_flow_batch_take(struct sm_flow_batch_msg *batch)
{
	struct sm_msg *msg = batch->first;
	if (!msg)
		return NULL;
	if (!(batch->first = msg->next))
		batch->last = NULL;
	batch->count--;
	msg->next = NULL;
	return msg;
}

struct sm_flow_batch_msg *flow__batch_new(void)
{
	struct sm_flow_batch_msg *batch = calloc(1, sizeof *batch);
	if (batch)
		batch->msg.type = &sm_msg_flow_batch;
	return batch;
}

void flow__batch_add(struct sm_flow_batch_msg *batch, struct sm_msg *element)
{
	element->next = NULL;
	if (batch->last)
		batch->last->next = element;
	else
		batch->first = element;
	batch->last = element;
	batch->count++;
}

/* ---- the stage ---- */

/* The element is held until there is a batch that has room for it. */
static bool put_held(struct flow_stage *s)
{
	const struct sm_flow_batch *b = &s->node->batch;
	if (!s->batch.batch && !(s->batch.batch = flow__batch_new())) {
		flow__retry_soon(s->section);
		return false;
	}
	if (s->batch.batch->count == 0 && b->within_ms && flow__timer(s, b->within_ms))
		s->batch.due = true; /* no memory for a timer: it goes at once */
	flow__batch_add(s->batch.batch, s->batch.held);
	if (__builtin_add_overflow(s->batch.batch->bytes, s->batch.held_bytes, &s->batch.batch->bytes))
		s->batch.batch->bytes = UINT64_MAX;
	s->batch.held = NULL;
	return true;
}

static bool is_full(const struct flow_stage *s)
{
	const struct sm_flow_batch *b = &s->node->batch;
	const struct sm_flow_batch_msg *batch = s->batch.batch;
	return batch && batch->count &&
	       (batch->count == b->count_max ||
		(b->bytes_max && (batch->bytes >= b->bytes_max || (s->batch.held && s->batch.held_bytes > b->bytes_max - batch->bytes))));
}

static enum flow_pull give(struct flow_stage *s, struct sm_msg **ret_element)
{
	*ret_element = &s->batch.batch->msg;
	s->batch.batch = NULL;
	s->batch.due = false;
	if (s->node->batch.within_ms)
		sm_timer_stop(s->section->self, s->index);
	return FLOW_ELEMENT;
}

static enum flow_pull batch_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	const struct sm_flow_batch *b = &s->node->batch;
	for (;;) {
		if (is_full(s))
			return give(s, ret_element);
		if (s->batch.held && !put_held(s))
			return FLOW_WAIT;
		if (is_full(s))
			return give(s, ret_element);
		enum flow_pull how = s->inputs->ended ? FLOW_END : flow__pull(s->inputs, &s->batch.held);
		if (how == FLOW_ELEMENT) {
			s->batch.held_bytes = b->size ? b->size(b->arg, s->batch.held) : 0;
			continue;
		}
		s->batch.held = NULL;
		bool some = s->batch.batch && s->batch.batch->count;
		if (some && (how == FLOW_END || (how == FLOW_WAIT && s->batch.due)))
			return give(s, ret_element);
		if (how == FLOW_FAILED)
			s->kind->reset(s);
		return how;
	}
}

static void batch_timer(struct flow_stage *s)
{
	s->batch.due = s->batch.batch != NULL;
}

static void batch_reset(struct flow_stage *s)
{
	if (s->batch.batch)
		sm_msg_free(&s->batch.batch->msg);
	sm_msg_free(s->batch.held);
	s->batch.batch = NULL;
	s->batch.held = NULL;
	s->batch.due = false;
}

const struct flow_kind flow__batch = {.name = "batch", .role = FLOW_STAGE, .pull = batch_pull, .timer = batch_timer, .reset = batch_reset};
