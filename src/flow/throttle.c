/* A token bucket without tokens: the time at which the next element would be due if they came evenly.
 *
 * Source: the generic cell rate algorithm, ITU-T I.371. */
#include "flow/flow_internal.h"

__extension__ typedef unsigned __int128 wide;

static uint64_t scaled(uint64_t elements, const struct sm_flow_throttle *t)
{
	wide ns = (wide)elements * t->per_ms * 1000000 / t->elements;
	return ns > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)ns; /* some hundred years */
}

/* Nanoseconds until the held element may go. */
static uint64_t wait_ns(struct flow_stage *s, uint64_t now)
{
	const struct sm_flow_throttle *t = &s->node->throttle;
	uint64_t cost = s->throttle.cost;
	uint64_t early = cost < t->burst ? scaled(t->burst - cost, t) : 0;
	uint64_t ready = s->throttle.ready_ns;
	if (ready > now + early)
		return ready - early - now;
	ready = (ready > now ? ready : now) + scaled(cost, t);
	s->throttle.ready_ns = ready > UINT64_MAX / 2 ? UINT64_MAX / 2 : ready;
	return 0;
}

static enum flow_pull throttle_pull(struct flow_stage *s, struct sm_msg **ret_element)
{
	if (s->throttle.waits)
		return FLOW_WAIT;
	if (!s->throttle.held) {
		enum flow_pull how = s->inputs->ended ? FLOW_END : flow__pull(s->inputs, &s->throttle.held);
		if (how != FLOW_ELEMENT) {
			s->throttle.held = NULL;
			return how;
		}
		const struct sm_flow_throttle *t = &s->node->throttle;
		s->throttle.cost = t->cost ? t->cost(t->arg, s->throttle.held) : 1;
	}
	uint64_t ns = wait_ns(s, actor_now_ns(s->section->self));
	if (!ns) {
		*ret_element = s->throttle.held;
		s->throttle.held = NULL;
		return FLOW_ELEMENT;
	}
	if (s->node->throttle.enforce) {
		sm_fail(&s->section->error, SM_FULL, "throttle: more than %u elements in %u ms", s->node->throttle.elements,
			s->node->throttle.per_ms);
		return flow__fail(s, SM_FULL);
	}
	s->throttle.waits = !flow__timer(s, (ns + 999999) / 1000000);
	if (!s->throttle.waits)
		flow__retry_soon(s->section);
	return FLOW_WAIT;
}

static void throttle_timer(struct flow_stage *s)
{
	s->throttle.waits = false;
}

static void throttle_reset(struct flow_stage *s)
{
	sm_msg_free(s->throttle.held);
	s->throttle.held = NULL;
	s->throttle.waits = false;
}

const struct flow_kind flow__throttle = {
	.name = "throttle", .role = FLOW_STAGE, .pull = throttle_pull, .timer = throttle_timer, .reset = throttle_reset};
