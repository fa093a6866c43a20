/* Asynchronous boundaries: elements, completion and failure go down by message, demand and cancellation go up.
 *
 * The upper section says hello when it has started, and again after each restart; the lower one answers with its demand. Every message has
 * the number of the receiver's start that it is meant for, so that what was under way when one of them was restarted means nothing after
 * it. Each side says once that it is through: the upper one with the end, the lower one with a cancel, which also answers an end. A section
 * stops when both have been said on all of its edges, so that nothing is in its mailbox then. */
#include "flow/flow_internal.h"

struct edge_msg {
	struct sm_msg msg; /* of a hello: with the sender */
	struct flow_edge *edge;
	uint32_t to_epoch, from_epoch;
	bool down;
	/* down */
	bool hello, ends;
	enum flow_pull end;
	struct msg_list elements;
	/* up */
	uint32_t demand;
	bool cancel;
};
static void edge_msg_done(struct sm_msg *msg)
{
	msg_list_free(&((struct edge_msg *)msg)->elements);
	free(msg);
}
const struct sm_msg_type flow__edge_type = {"flow edge", edge_msg_done};

static struct edge_msg *edge_msg_new(struct flow_edge *edge, bool down, uint32_t to_epoch)
{
	struct edge_msg *m = calloc(1, sizeof *m);
	if (m)
		*m = (struct edge_msg){.msg.type = &flow__edge_type, .edge = edge, .down = down, .to_epoch = to_epoch};
	return m;
}

void flow__edges_init(struct flow_section *section)
{
	for (uint32_t i = 0; i < section->in_count; i++) {
		struct flow_edge *e = section->edges_in[i];
		e->outstanding = e->demand_due = 0;
		e->watch_due = e->cancel_due = e->cancel_sent = e->closed = e->shut = e->overflowed = false;
	}
	for (uint32_t i = 0; i < section->out_count; i++) {
		struct flow_edge *e = section->edges_out[i];
		e->credit = 0;
		e->hello_due = e->end_due = e->end_sent = e->cancelled = false;
	}
}

void flow__edges_start(struct flow_section *section)
{
	for (uint32_t i = 0; i < section->out_count; i++)
		section->edges_out[i]->hello_due = true;
}

bool flow__edges_closed(const struct flow_section *section)
{
	for (uint32_t i = 0; i < section->in_count; i++)
		if (!section->edges_in[i]->closed || section->edges_in[i]->cancel_due)
			return false;
	for (uint32_t i = 0; i < section->out_count; i++)
		if (!section->edges_out[i]->end_sent || !section->edges_out[i]->cancelled)
			return false;
	return true;
}

/* ---- the upper side ---- */

static bool outlet_wants(struct flow_stage *s)
{
	return s->edge->credit > 0;
}

static enum sm_err outlet_consume(struct flow_stage *s, struct sm_msg *element)
{
	s->edge->credit--;
	msg_list_append(&s->edge->out, element);
	return SM_OK;
}

static void outlet_ended(struct flow_stage *s, enum flow_pull how)
{
	s->edge->end = how;
	if (how == FLOW_FAILED)
		s->edge->error = s->section->error;
	s->edge->end_due = true;
}

static void outlet_reset(struct flow_stage *s)
{
	msg_list_free(&s->edge->out);
}

const struct flow_kind flow__outlet = {.name = "outlet",
				       .role = FLOW_STAGE,
				       .consume = outlet_consume,
				       .wants = outlet_wants,
				       .ended = outlet_ended,
				       .reset = outlet_reset};

/* Nobody reads what the outlet gives any more. */
static void outlet_cancelled(struct flow_edge *e)
{
	e->cancelled = true;
	if (e->outlet->ended)
		return;
	e->outlet->ended = true;
	flow__cancel_inputs(e->outlet);
	msg_list_free(&e->out);
	e->end = FLOW_END;
	e->end_due = true;
}

static void flush_down(struct flow_section *section, struct flow_edge *e)
{
	bool ends = e->end_due && !e->end_sent;
	if (!e->hello_due && !e->out.count && !ends)
		return;
	struct flow_section *below = e->inlet->section;
	struct edge_msg *m = edge_msg_new(e, true, atomic_load(&below->epoch));
	if (!m) {
		flow__retry_soon(section);
		return;
	}
	m->from_epoch = atomic_load(&section->epoch);
	bool says_hello = e->hello_due;
	if ((m->hello = says_hello))
		m->msg.sender = sm_ref_get(sm_self(section->self));
	m->ends = ends;
	m->end = e->end;
	m->elements = e->out;
	e->out = (struct msg_list){0};
	e->hello_due = false;
	e->end_sent |= ends;
	if (actor_send_quiet(below->ref, &m->msg)) {
		sm_msg_free(&m->msg);
		outlet_cancelled(e); /* it was stopped from outside, and so are we; or it has ended before our restart */
		e->end_sent = true;
	} else if (says_hello && e->inlet->node->buffer.restart) {
		section->said_hello = true;
	}
}

static void demand_came(struct flow_edge *e, const struct edge_msg *m)
{
	e->credit += m->demand;
	if (m->cancel)
		outlet_cancelled(e);
}

/* ---- the lower side ---- */

static bool holds_up(const struct flow_edge *e)
{
	return e->inlet->node->buffer.overflow == SM_FLOW_BACK_PRESSURE;
}

static void demand(struct flow_edge *e)
{
	if (!e->up || e->closed || e->shut)
		return;
	uint32_t max = e->inlet->node->buffer.max, grant;
	if (holds_up(e)) {
		grant = max - e->in.count - e->outstanding;
		if (grant < max / 2)
			return; /* later, more at a time */
	} else {
		uint32_t window = max < FLOW_WINDOW_DEFAULT ? max : FLOW_WINDOW_DEFAULT;
		if (e->outstanding > window / 2)
			return;
		grant = window - e->outstanding;
	}
	e->demand_due += grant;
	e->outstanding += grant;
}

static void shut(struct flow_edge *e)
{
	e->shut = true;
	msg_list_free(&e->in);
	if (e->closed || e->cancel_sent)
		return;
	e->cancel_due = true;
	if (e->up && e->inlet->node->buffer.restart)
		sm_stop(e->up); /* it may wait for its restart, and read nothing until then */
}

static void take_element(struct flow_edge *e, struct sm_msg *element)
{
	uint32_t max = e->inlet->node->buffer.max;
	if (e->shut) {
		sm_msg_free(element);
		return;
	}
	if (e->in.count < max) {
		msg_list_append(&e->in, element);
		return;
	}
	assert(!holds_up(e));
	if (e->inlet->node->buffer.overflow != SM_FLOW_FAIL)
		atomic_fetch_add_explicit(&e->inlet->section->run->dropped, 1, memory_order_relaxed);
	switch (e->inlet->node->buffer.overflow) {
	case SM_FLOW_DROP_OLDEST:
		sm_msg_free(msg_list_take(&e->in));
		msg_list_append(&e->in, element);
		break;
	case SM_FLOW_FAIL: e->overflowed = true; shut(e); /* fall through */
	default: sm_msg_free(element);
	}
}

static void hello_came(struct flow_section *section, struct flow_edge *e, const struct edge_msg *m)
{
	if (m->msg.sender != e->up) { /* the restart of an actor that is watched needs no other watch */
		e->watch_due = m->msg.sender != sm_self(section->self);
		sm_unref(e->up);
		e->up = sm_ref_get(m->msg.sender);
	}
	e->up_epoch = m->from_epoch;
	e->outstanding = e->demand_due = 0;
	e->cancel_sent = false;
	if (e->closed) /* it was restarted behind its end: there is nothing to begin anew for */
		e->cancel_due = true;
	else if (e->shut)
		shut(e);
}

static void elements_came(struct flow_section *section, struct flow_edge *e, struct edge_msg *m)
{
	struct sm_msg *element;
	if (m->hello)
		hello_came(section, e, m);
	while ((element = msg_list_take(&m->elements))) {
		e->outstanding--;
		take_element(e, element);
	}
	if (m->ends) {
		e->closed = true;
		e->cancel_due = !e->cancel_sent;
		e->in_end = m->end;
	}
	demand(e);
}

static enum flow_pull inlet_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	struct flow_edge *e = s->edge;
	if (e->overflowed) {
		sm_fail(&s->section->error, SM_FULL, "buffer: it holds %u elements, and one more came", s->node->buffer.max);
		return FLOW_FAILED;
	}
	if (e->in.count) {
		if (!flow__may_give(s->section))
			return FLOW_WAIT;
		*ret_element = msg_list_take(&e->in);
		demand(e);
		return FLOW_ELEMENT;
	}
	if (!e->closed)
		return FLOW_WAIT;
	if (e->in_end == FLOW_FAILED)
		s->section->error = e->error;
	return e->in_end;
}

static void inlet_cancel(struct flow_stage *s)
{
	shut(s->edge);
}

static void inlet_reset(struct flow_stage *s)
{
	msg_list_free(&s->edge->in);
	sm_unref(s->edge->up);
	s->edge->up = NULL;
}

const struct flow_kind flow__boundary = {
	.name = "buffer", .role = FLOW_BOUNDARY, .pull = inlet_pull, .cancel = inlet_cancel, .reset = inlet_reset};

static void flush_up(struct flow_section *section, struct flow_edge *e)
{
	if (e->watch_due)
		e->watch_due = sm_watch(section->self, e->up) == SM_NO_MEMORY;
	if (e->closed || e->shut)
		e->demand_due = 0;
	if (e->watch_due)
		flow__retry_soon(section);
	if (!e->up || (!e->demand_due && !e->cancel_due))
		return;
	struct edge_msg *m = edge_msg_new(e, false, e->up_epoch);
	if (!m) {
		flow__retry_soon(section);
		return;
	}
	m->demand = e->demand_due;
	m->cancel = e->cancel_due;
	e->cancel_sent |= e->cancel_due;
	e->demand_due = 0;
	e->cancel_due = false;
	if (actor_send_quiet(e->up, &m->msg))
		sm_msg_free(&m->msg); /* its end is told by the watch */
}

void flow__edge_up_ended(struct flow_section *section, struct sm_ref *ref, enum sm_err why)
{
	for (uint32_t i = 0; i < section->in_count; i++) {
		struct flow_edge *e = section->edges_in[i];
		if (e->up != ref)
			continue;
		e->cancel_due = false;
		if (e->closed)
			continue;
		const struct sm_error *last = &e->outlet->section->last;
		e->closed = true;
		e->in_end = FLOW_FAILED;
		if (why && last->code == why)
			e->error = *last;
		else
			sm_fail(&e->error, why ? why : SM_CANCELLED, "a part of the flow was stopped: %s",
				sm_err_text(why ? why : SM_CANCELLED));
	}
}

/* ---- both ---- */

void flow__edge_receive(struct flow_section *section, struct sm_msg *msg)
{
	struct edge_msg *m = (struct edge_msg *)msg;
	if (m->to_epoch != atomic_load(&section->epoch))
		return;
	if (m->down)
		elements_came(section, m->edge, m);
	else
		demand_came(m->edge, m);
}

void flow__edges_flush(struct flow_section *section)
{
	for (uint32_t i = 0; i < section->out_count; i++)
		flush_down(section, section->edges_out[i]);
	for (uint32_t i = 0; i < section->in_count; i++)
		flush_up(section, section->edges_in[i]);
}
