/* The actor of a section: it pulls through its drains whenever something has happened, and ends when they have ended and nothing is under
 * way over its edges any more. */
#include "flow/flow_internal.h"
#include "flow/queue.h"

#define RETRY_TIMER UINT32_MAX

/* Embedded in the sections; they carry nothing. */
const struct sm_msg_type flow__again_type = {"flow again", NULL}, flow__start_type = {"flow start", NULL},
			 flow__drain_type = {"flow drain", NULL}, flow__cancel_type = {"flow cancel", NULL};

/* ---- what stages call ---- */

void flow__cancel_input(struct flow_input *in)
{
	if (in->ended)
		return;
	in->ended = true;
	struct flow_stage *s = in->stage;
	if (s->kind->cancel) {
		s->kind->cancel(s);
		return;
	}
	flow__cancel_inputs(s);
	if (s->kind->reset)
		s->kind->reset(s);
}

void flow__cancel_inputs(struct flow_stage *s)
{
	for (uint32_t i = 0; i < s->input_count; i++)
		flow__cancel_input(&s->inputs[i]);
}

enum sm_err flow__error(struct flow_stage *s, enum sm_err err)
{
	struct sm_error *error = &s->section->error;
	if (error->code != err || !error->text[0])
		sm_fail(error, err, "%s: %s", s->kind->name, sm_err_text(err));
	return err;
}

enum flow_pull flow__fail(struct flow_stage *s, enum sm_err err)
{
	struct sm_error error;
	flow__error(s, err);
	error = s->section->error;
	flow__cancel_inputs(s);
	if (s->kind->reset)
		s->kind->reset(s);
	s->section->error = error;
	return FLOW_FAILED;
}

void flow__retry_soon(struct flow_section *section)
{
	if (section->retry_set)
		return;
	section->retry_set = !sm_timer_start(section->self, RETRY_TIMER, FLOW_RETRY_MS, 0);
	section->again |= !section->retry_set; /* no memory for a timer: at once */
}

enum sm_err flow__timer(struct flow_stage *s, uint64_t ms)
{
	return sm_timer_start(s->section->self, s->index, ms, 0);
}

/* ---- drains ---- */

/* What is below the restart has all that it is to get. */
static bool has_given_all(const struct flow_section *section)
{
	for (uint32_t i = 0; i < section->out_count; i++)
		if (section->edges_out[i]->inlet->node->buffer.restart && section->edges_out[i]->outlet->ended)
			return true;
	return false;
}

static void drain_end(struct flow_stage *d, enum flow_pull how)
{
	struct flow_section *section = d->section;
	bool restarts = section->supervision && !section->cancelled && !has_given_all(section);
	d->ended = true;
	if (how == FLOW_FAILED && restarts) {
		section->failed = section->error.code;
		section->last = section->error;
		return;
	}
	d->kind->ended(d, how);
}

/* Whether something has moved. */
static bool drain_run(struct flow_stage *d)
{
	bool moved = false;
	while (!d->ended && (!d->kind->wants || d->kind->wants(d))) {
		struct sm_msg *element;
		enum flow_pull how = flow__pull(&d->inputs[0], &element);
		if (how == FLOW_WAIT)
			break;
		moved = true;
		if (how == FLOW_ELEMENT) {
			enum sm_err err = d->kind->consume(d, element);
			if (!err)
				continue;
			sm_msg_free(element);
			how = flow__fail(d, err);
		}
		drain_end(d, how);
	}
	return moved;
}

/* A section has ended when nothing is to come to it or to go from it: nothing of it is left in a mailbox. */
static bool is_over(const struct flow_section *section)
{
	for (uint32_t i = 0; i < section->drain_count; i++)
		if (!section->drains[i]->ended)
			return false;
	return !section->again_queued && flow__edges_closed(section);
}

static void go_on_later(struct flow_section *section)
{
	if (section->again_queued)
		return;
	section->again_msg = (struct sm_msg){.type = &flow__again_type};
	section->again_queued = !actor_send_quiet(sm_self(section->self), &section->again_msg);
}

static void run_drains(struct flow_section *section)
{
	section->again = false;
	section->budget = FLOW_ELEMENTS_A_TURN;
	for (bool moved = true; moved && !section->failed;) {
		moved = false;
		for (uint32_t i = 0; i < section->drain_count && !section->failed; i++)
			moved |= drain_run(section->drains[(section->first_drain + i) % section->drain_count]);
	}
	if (++section->first_drain >= section->drain_count) /* one that has used up the budget is the last of the next turn */
		section->first_drain = 0;
	flow__edges_flush(section);
	if (section->again && !section->failed)
		go_on_later(section);
	if (section->failed || !is_over(section))
		return;
	if (section->supervision && !section->scope)
		flow__queues_close(section->run, section);
	sm_stop_now(sm_self(section->self));
}

/* ---- messages ---- */

static void start(struct flow_section *section)
{
	if (section->started) /* by a restart */
		return;
	section->started = true;
	flow__edges_start(section);
	flow__children_start(section->run, section);
}

static void cancel(struct flow_section *section)
{
	section->cancelled = true;
	for (uint32_t i = 0; i < section->drain_count; i++) {
		struct flow_stage *d = section->drains[i];
		if (d->ended)
			continue;
		flow__cancel_inputs(d);
		sm_fail(&section->error, SM_CANCELLED, "the flow was cancelled");
		if (d->kind->reset)
			d->kind->reset(d);
		drain_end(d, FLOW_FAILED);
	}
	flow__children_cancel(section->run, section);
}

static void drain(struct flow_section *section)
{
	section->draining = true; /* sources see it; queues were completed by the run */
	flow__children_drain(section->run, section);
}

static void timer(struct flow_section *section, uint32_t id)
{
	if (id == RETRY_TIMER)
		section->retry_set = false;
	else if (section->stages[id]->kind->timer)
		section->stages[id]->kind->timer(section->stages[id]);
}

static void terminated(struct flow_section *section, const struct sm_terminated_msg *msg)
{
	struct flow_section *child = flow__child_ended(section->run, section, msg->ref);
	if (child && msg->why && !(child->supervision && child->said_hello)) { /* it could not start */
		section->failed = msg->why;
		sm_fail(&section->last, msg->why, "a part of the flow could not start: %s", sm_err_text(msg->why));
	}
	flow__edge_up_ended(section, msg->ref, msg->why);
}

static void take_answer(struct flow_section *section, struct sm_msg *msg)
{
	if (msg->type == &sm_msg_ask_failed) {
		const struct sm_ask_failed_msg *failed = (struct sm_ask_failed_msg *)msg;
		(void)flow__answer(section, failed->ask_id, NULL, failed->why);
	} else if (msg->ask_id && flow__answer(section, msg->ask_id, msg, SM_OK)) {
		msg->ask_id = 0;
		sm_msg_keep(section->self);
	}
}

enum sm_err flow__section_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct flow_section *section = *(struct flow_section **)state;
	section->self = self;
	if (msg->type == &flow__edge_type)
		flow__edge_receive(section, msg);
	else if (msg->type == &flow__again_type)
		section->again_queued = false;
	else if (msg->type == &flow__op_type)
		flow__op_receive(section, msg);
	else if (msg->type == &sm_msg_timer)
		timer(section, ((struct sm_timer_msg *)msg)->timer);
	else if (msg->type == &flow__start_type)
		start(section);
	else if (msg->type == &flow__drain_type)
		drain(section);
	else if (msg->type == &flow__cancel_type)
		cancel(section);
	else if (msg->type == &sm_msg_terminated)
		terminated(section, (struct sm_terminated_msg *)msg);
	else if (msg->type != &flow__wake_type)
		take_answer(section, msg);
	if (section->started)
		run_drains(section);
	section->self = NULL;
	return section->failed;
}

/* ---- its life ---- */

/* What it was before, if it is built anew. */
static void zero(struct flow_section *section)
{
	section->draining = atomic_load(&section->run->draining);
	section->started = section->cancelled = section->retry_set = section->again = false;
	section->failed = SM_OK;
	for (uint32_t i = 0; i < section->stage_count; i++) {
		struct flow_stage *s = section->stages[i];
		s->ended = false;
		for (uint32_t n = 0; n < s->input_count; n++)
			s->inputs[n].ended = false;
	}
	flow__edges_init(section);
}

enum sm_err flow__section_init(struct sm_actor *self, void *state, void *arg)
{
	struct flow_section *section = *(struct flow_section **)state = arg;
	bool again = section->born; /* a restart; a first start has been counted by who spawned it */
	section->born = true;
	if (again)
		atomic_fetch_add(&section->epoch, 1);
	zero(section);
	enum sm_err err = flow__children_spawn(self, section->run, section);
	if (err || !again)
		return err;
	section->self = self;
	start(section);
	go_on_later(section);
	section->self = NULL;
	return SM_OK;
}

void flow__section_done(struct sm_actor *self, void *state)
{
	struct flow_section *section = *(struct flow_section **)state;
	section->self = self;
	for (uint32_t i = 0; i < section->stage_count; i++)
		if (section->stages[i]->kind->reset)
			section->stages[i]->kind->reset(section->stages[i]);
	section->self = NULL;
}
