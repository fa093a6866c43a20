/* Asynchronous stages: an actor is asked, a function runs on the pool, a promise is kept by somebody else.
 *
 * Each element under way has a slot; an ordered stage uses its slots as a ring. What comes back finds its slot by number, and is known to
 * be late by the stage's generation, which moves on when the stage forgets what it has begun. */
#include "flow/flow_internal.h"

/* A piece of work, and a promise. It holds the run until it is freed, so that the end waits for it. */
struct sm_flow_promise {
	struct sm_msg msg; /* comes back to the section */
	struct sm_work work;
	struct sm_flow_run *run;
	struct flow_stage *stage;
	struct sm_ref *section; /* counted */
	uint32_t slot;
	uint64_t generation;
	struct sm_msg *in, *out;
	struct sm_error error; /* code SM_OK: out */
};

static void op_done(struct sm_msg *msg)
{
	struct sm_flow_promise *op = (struct sm_flow_promise *)msg;
	sm_msg_free(op->in);
	sm_msg_free(op->out);
	sm_unref(op->section);
	flow__op_ended(op->run);
	free(op);
}
const struct sm_msg_type flow__op_type = {"flow operation", op_done};

static struct sm_flow_promise *op_new(struct flow_stage *s, uint32_t slot)
{
	struct sm_flow_promise *op = calloc(1, sizeof *op);
	if (!op)
		return NULL;
	op->msg.type = &flow__op_type;
	op->run = flow__run_ref(s->section->run);
	atomic_fetch_add(&op->run->ops, 1);
	op->stage = s;
	op->section = sm_ref_get(sm_self(s->section->self));
	op->slot = slot;
	op->generation = s->async.generation;
	return op;
}

/* ---- beginning ---- */

static void send_back(struct sm_flow_promise *op)
{
	if (actor_send_quiet(op->section, &op->msg))
		sm_msg_free(&op->msg);
}

static void pool_run(struct sm_work *work)
{
	struct sm_flow_promise *op = (struct sm_flow_promise *)((char *)work - offsetof(struct sm_flow_promise, work));
	const struct sm_flow *node = op->stage->node;
	enum sm_err err = node->async.map(node->arg, op->in, &op->out, &op->error);
	if (err && (op->error.code != err || !op->error.text[0]))
		sm_fail(&op->error, err, "map_pool: %s", sm_err_text(err));
	if (!err) {
		op->in = NULL;
		op->error.code = SM_OK;
	}
	send_back(op);
}

/* An error with *ret_later: not now. Takes the element on SM_OK. */
static enum sm_err begin_op(struct flow_stage *s, uint32_t slot, struct sm_msg *element, bool *ret_later)
{
	struct sm_flow_promise *op = op_new(s, slot);
	enum sm_err err;
	if ((*ret_later = !op))
		return SM_NO_MEMORY;
	if (s->node->async.map) {
		op->in = element;
		op->work.run = pool_run;
		if ((err = sm_pool_run(s->section->run->system, &op->work)))
			op->in = NULL;
		*ret_later = err == SM_FULL;
	} else {
		err = s->node->async.start(s->node->arg, element, op, &s->section->error);
	}
	if (err)
		sm_msg_free(&op->msg);
	return err;
}

static enum sm_err begin(struct flow_stage *s, uint32_t slot, struct sm_msg *element, bool *ret_later)
{
	struct flow_slot *at = &s->async.slots[slot];
	enum sm_err err;
	s->section->error.text[0] = 0;
	at->ask_id = 0;
	at->msg = NULL;
	at->at = SLOT_BUSY; /* a promise may be kept within start; it comes back by message all the same */
	if (s->node->async.to) {
		err = sm_ask(s->section->self, s->node->async.to, element, s->node->async.timeout_ms, &at->ask_id);
		*ret_later = err == SM_FULL || err == SM_NO_MEMORY;
	} else {
		err = begin_op(s, slot, element, ret_later);
	}
	if (err)
		at->at = SLOT_FREE;
	else
		s->async.busy++;
	return err;
}

static uint32_t free_slot(const struct flow_stage *s)
{
	uint32_t max = s->node->async.parallelism, i = (s->async.head + s->async.filled) % max;
	while (!s->node->async.ordered && s->async.slots[i].at != SLOT_FREE)
		i = (i + 1) % max;
	return i;
}

/* Elements under way and results that nobody has taken yet. */
static uint32_t held(const struct flow_stage *s)
{
	return s->node->async.ordered ? s->async.filled : s->async.busy + s->async.ready.count;
}

/* Begin as much as may be under way. */
static enum flow_pull begin_more(struct flow_stage *s)
{
	while (held(s) < s->node->async.parallelism) {
		if (s->async.waits)
			return FLOW_WAIT;
		if (!s->async.held) {
			enum flow_pull how = s->inputs->ended ? FLOW_END : flow__pull(s->inputs, &s->async.held);
			if (how != FLOW_ELEMENT) {
				s->async.held = NULL;
				return how;
			}
		}
		bool later;
		enum sm_err err = begin(s, free_slot(s), s->async.held, &later);
		if (later) {
			s->async.waits = !flow__timer(s, FLOW_RETRY_MS);
			if (!s->async.waits)
				flow__retry_soon(s->section);
			return FLOW_WAIT;
		}
		if (err)
			return flow__fail(s, err);
		s->async.held = NULL;
		s->async.filled += s->node->async.ordered;
	}
	return FLOW_WAIT;
}

/* ---- ending ---- */

static bool take_ready(struct flow_stage *s, struct sm_msg **ret_element)
{
	if (!s->node->async.ordered)
		return (*ret_element = msg_list_take(&s->async.ready)) != NULL;
	while (s->async.filled && s->async.slots[s->async.head].at == SLOT_READY) {
		struct flow_slot *at = &s->async.slots[s->async.head];
		s->async.head = (s->async.head + 1) % s->node->async.parallelism;
		s->async.filled--;
		at->at = SLOT_FREE;
		*ret_element = at->msg;
		at->msg = NULL;
		if (*ret_element)
			return true;
	}
	return false;
}

static enum flow_pull async_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	if (s->async.error.code) {
		s->section->error = s->async.error;
		return flow__fail(s, s->section->error.code);
	}
	bool ready = take_ready(s, ret_element);
	enum flow_pull how = begin_more(s);
	if (how == FLOW_FAILED) {
		if (ready)
			sm_msg_free(*ret_element);
		struct sm_error error = s->section->error;
		s->kind->reset(s);
		s->section->error = error;
		return how;
	}
	if (ready)
		return FLOW_ELEMENT;
	return how == FLOW_END && (held(s) || s->async.held) ? FLOW_WAIT : how;
}

/* Takes result. */
static void finish(struct flow_stage *s, uint32_t slot, struct sm_msg *result)
{
	struct flow_slot *at = &s->async.slots[slot];
	s->async.busy--;
	at->ask_id = 0;
	if (s->node->async.ordered) {
		at->at = SLOT_READY;
		at->msg = result;
		return;
	}
	at->at = SLOT_FREE;
	if (result)
		msg_list_append(&s->async.ready, result);
}

void flow__op_receive(struct flow_section *section, struct sm_msg *msg)
{
	struct sm_flow_promise *op = (struct sm_flow_promise *)msg;
	struct flow_stage *s = op->stage;
	if (op->generation != s->async.generation)
		return;
	if (op->error.code && !s->async.error.code)
		s->async.error = op->error;
	finish(s, op->slot, op->out);
	op->out = NULL;
}

static bool answered(struct flow_stage *s, uint64_t ask_id, struct sm_msg *answer, enum sm_err failed)
{
	for (uint32_t i = 0; s->node->async.to && i < s->node->async.parallelism; i++) {
		struct flow_slot *at = &s->async.slots[i];
		if (at->at != SLOT_BUSY || at->ask_id != ask_id)
			continue;
		if (failed)
			sm_fail(&s->async.error, failed, "asking an actor: %s", sm_err_text(failed));
		finish(s, i, answer);
		return true;
	}
	return false;
}

bool flow__answer(struct flow_section *section, uint64_t ask_id, struct sm_msg *answer, enum sm_err failed)
{
	for (uint32_t i = 0; i < section->stage_count; i++)
		if (section->stages[i]->kind == &flow__async && answered(section->stages[i], ask_id, answer, failed))
			return true;
	return false;
}

void sm_flow_promise_keep(struct sm_flow_promise *op, struct sm_msg *element)
{
	op->out = element;
	send_back(op);
}

void sm_flow_promise_fail(struct sm_flow_promise *op, enum sm_err err, const char *text)
{
	sm_fail(&op->error, err ? err : SM_FAILED, "%s", text ? text : sm_err_text(err ? err : SM_FAILED));
	send_back(op);
}

/* ---- the stage ---- */

static size_t async_extra(const struct sm_flow *node)
{
	return node->async.parallelism * sizeof(struct flow_slot);
}

static enum sm_err async_make(struct flow_stage *s)
{
	s->async.slots = s->extra;
	return SM_OK;
}

static void async_timer(struct flow_stage *s)
{
	s->async.waits = false;
}

static void async_reset(struct flow_stage *s)
{
	msg_list_free(&s->async.ready);
	for (uint32_t i = 0; i < s->node->async.parallelism; i++) {
		sm_msg_free(s->async.slots[i].msg);
		s->async.slots[i] = (struct flow_slot){0};
	}
	sm_msg_free(s->async.held);
	s->async.held = NULL;
	s->async.busy = s->async.head = s->async.filled = 0;
	s->async.waits = false;
	s->async.error.code = SM_OK;
	s->async.generation++;
}

const struct flow_kind flow__async = {.name = "asynchronous map",
				      .role = FLOW_STAGE,
				      .extra = async_extra,
				      .make = async_make,
				      .pull = async_pull,
				      .timer = async_timer,
				      .reset = async_reset};
