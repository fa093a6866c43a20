/* Descriptions: nodes that know what is before them. What cannot be is noted in the node, and told when it is to run. */
#include "flow/flow_internal.h"

struct sm_flow *flow__ref(struct sm_flow *flow)
{
	atomic_fetch_add_explicit(&flow->refs, 1, memory_order_relaxed);
	return flow;
}

void sm_flow_free(struct sm_flow *flow)
{
	if (!flow || atomic_fetch_sub_explicit(&flow->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (uint32_t i = 0; i < flow->from_count; i++)
		sm_flow_free(flow->from[i]); /* at most FLOW_STAGES_MAX deep */
	if (flow->kind == &flow__async)
		sm_unref(flow->async.to);
	free(flow->from);
	free(flow->name);
	free(flow);
}

void flow__problem(struct sm_flow *flow, const char *text)
{
	if (flow && !flow->problem)
		flow->problem = text;
}

static void take_inputs(struct sm_flow *node, struct sm_flow *const *from, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct sm_flow *f = from[i];
		if (f->used) { /* the other one owns it */
			flow__problem(node, "a flow was given to two stages: broadcast it");
			continue;
		}
		f->used = true;
		node->from[node->from_count++] = f;
		if (f->depth >= node->depth)
			node->depth = f->depth + 1;
		if (f->kind->role == FLOW_GRAPH || (f->kind->role == FLOW_SINK && node->kind->role != FLOW_GRAPH))
			flow__problem(node, "nothing can follow a sink");
		else if (f->kind->role != FLOW_SINK && node->kind->role == FLOW_GRAPH)
			flow__problem(node, "a graph is made of flows that end in sinks");
	}
}

struct sm_flow *flow__node(const struct flow_kind *kind, struct sm_flow *const *from, uint32_t from_count, const char *name, void *arg)
{
	bool missing = false, deep = false;
	for (uint32_t i = 0; i < from_count; i++) {
		missing |= !from[i];
		deep |= from[i] && from[i]->depth >= FLOW_STAGES_MAX;
	}
	struct sm_flow *node = missing ? NULL : calloc(1, sizeof *node);
	if (node) {
		atomic_init(&node->refs, 1);
		node->kind = kind;
		node->arg = arg;
		node->from = calloc(from_count ? from_count : 1, sizeof(struct sm_flow *));
		node->name = name ? strdup(name) : NULL;
	}
	bool failed = !node || !node->from || (name && !node->name);
	for (uint32_t i = 0; i < from_count && (failed || deep); i++)
		if (from[i] && !from[i]->used)
			sm_flow_free(from[i]);
	if (failed) {
		sm_flow_free(node);
		return NULL;
	}
	if (deep) {
		flow__problem(node, "a flow has at most 1024 stages in a row");
		return node;
	}
	take_inputs(node, from, from_count);
	return node;
}

/* ---- sources ---- */

struct sm_flow *sm_flow_from_array(struct sm_msg *const *elements, uint32_t count)
{
	struct sm_flow *f = flow__node(&flow__array, NULL, 0, NULL, NULL);
	if (f) {
		f->array.elements = elements;
		f->array.count = count;
	}
	return f;
}

struct sm_flow *sm_flow_from_iterator(const struct sm_flow_iterator *iterator, void *arg)
{
	struct sm_flow *f = flow__node(&flow__iterator, NULL, 0, NULL, arg);
	if (f)
		f->iterator = *iterator;
	if (f && !iterator->next)
		flow__problem(f, "an iterator needs next");
	return f;
}

struct sm_flow *sm_flow_tick(uint64_t first_ms, uint64_t interval_ms,
			     enum sm_err (*make)(void *arg, struct sm_msg **ret_element, struct sm_error *reterr), void *arg)
{
	struct sm_flow *f = flow__node(&flow__tick, NULL, 0, NULL, arg);
	if (!f)
		return NULL;
	f->tick.first_ms = first_ms;
	f->tick.interval_ms = interval_ms;
	f->tick.make = make;
	if (!interval_ms || !make)
		flow__problem(f, "a tick needs an interval above 0 and a function");
	return f;
}

struct sm_flow *sm_flow_from_queue(const char *name, uint32_t elements_max, enum sm_flow_overflow overflow)
{
	struct sm_flow *f = flow__node(&flow__queue, NULL, 0, name ? name : "", NULL);
	if (!f)
		return NULL;
	f->buffer.max = elements_max;
	f->buffer.overflow = overflow;
	if (!name || !*name || !elements_max)
		flow__problem(f, "a queue needs a name and a bound above 0");
	return f;
}

/* ---- fused stages ---- */

struct sm_flow *sm_flow_map(struct sm_flow *flow, sm_flow_map_fn map, void *arg)
{
	struct sm_flow *f = flow__after(&flow__map, flow, arg);
	if (f)
		f->map = map;
	if (!map)
		flow__problem(f, "map needs a function");
	return f;
}

struct sm_flow *sm_flow_filter(struct sm_flow *flow, bool (*keep)(void *arg, const struct sm_msg *element), void *arg)
{
	struct sm_flow *f = flow__after(&flow__filter, flow, arg);
	if (f)
		f->keep = keep;
	if (!keep)
		flow__problem(f, "filter needs a function");
	return f;
}

struct sm_flow *sm_flow_take(struct sm_flow *flow, uint64_t count)
{
	struct sm_flow *f = flow__after(&flow__take, flow, NULL);
	if (f)
		f->take = count;
	if (!count)
		flow__problem(f, "take needs a count above 0");
	return f;
}

struct sm_flow *sm_flow_batch(struct sm_flow *flow, const struct sm_flow_batch *batch)
{
	struct sm_flow *f = flow__after(&flow__batch, flow, batch->arg);
	if (f)
		f->batch = *batch;
	if (!batch->count_max || batch->count_max > FLOW_BATCH_MAX)
		flow__problem(f, "a batch holds 1 to 1048576 elements (count_max)");
	if (batch->bytes_max && !batch->size)
		flow__problem(f, "a batch bounded by bytes needs size");
	return f;
}

struct sm_flow *sm_flow_unbatch(struct sm_flow *flow)
{
	return flow__after(&flow__unbatch, flow, NULL);
}

struct sm_flow *sm_flow_throttle(struct sm_flow *flow, const struct sm_flow_throttle *throttle)
{
	struct sm_flow *f = flow__after(&flow__throttle, flow, throttle->arg);
	if (!f)
		return NULL;
	f->throttle = *throttle;
	if (!throttle->elements || !throttle->per_ms) {
		flow__problem(f, "a throttle needs elements and per_ms above 0");
		return f;
	}
	if (!throttle->burst) {
		uint64_t burst = (uint64_t)throttle->elements * FLOW_BURST_MS / throttle->per_ms;
		f->throttle.burst = burst > UINT32_MAX ? UINT32_MAX : burst ? (uint32_t)burst : 1;
	}
	return f;
}

static struct sm_flow *join(const struct flow_kind *kind, struct sm_flow *const *flows, uint32_t count)
{
	struct sm_flow *f = flow__node(kind, flows, count, NULL, NULL);
	if (!count || count > FLOW_INPUTS_MAX)
		flow__problem(f, "1 to 1024 flows can be joined");
	return f;
}

struct sm_flow *sm_flow_merge(struct sm_flow *const *flows, uint32_t count)
{
	return join(&flow__merge, flows, count);
}

struct sm_flow *sm_flow_concat(struct sm_flow *const *flows, uint32_t count)
{
	return join(&flow__concat, flows, count);
}

void sm_flow_broadcast(struct sm_flow *flow, struct sm_flow **branches, uint32_t count)
{
	struct sm_flow *hub = flow__after(&flow__hub, flow, NULL);
	if (hub)
		hub->branches = count;
	if (!count || count > FLOW_INPUTS_MAX)
		flow__problem(hub, "a broadcast has 1 to 1024 branches");
	for (uint32_t i = 0; i < count; i++) {
		branches[i] = NULL;
		if (!hub)
			continue;
		hub->used = false; /* by each of its branches */
		if ((branches[i] = flow__after(&flow__branch, flow__ref(hub), NULL)))
			branches[i]->branch = i;
	}
	sm_flow_free(hub);
}

/* ---- asynchronous stages ---- */

static struct sm_flow *async(struct sm_flow *flow, void *arg, uint32_t parallelism, bool ordered)
{
	struct sm_flow *f = flow__after(&flow__async, flow, arg);
	if (f) {
		f->async.parallelism = parallelism;
		f->async.ordered = ordered;
	}
	if (!parallelism || parallelism > FLOW_PARALLELISM_MAX)
		flow__problem(f, "1 to 1024 elements can be under way in an asynchronous stage");
	return f;
}

struct sm_flow *sm_flow_map_ask(struct sm_flow *flow, struct sm_ref *to, uint32_t timeout_ms, uint32_t parallelism, bool ordered)
{
	struct sm_flow *f = async(flow, NULL, parallelism, ordered);
	if (f) {
		f->async.to = to ? sm_ref_get(to) : NULL;
		f->async.timeout_ms = timeout_ms;
	}
	if (!to)
		flow__problem(f, "there is no actor to ask");
	return f;
}

struct sm_flow *sm_flow_map_pool(struct sm_flow *flow, sm_flow_map_fn map, void *arg, uint32_t parallelism, bool ordered)
{
	struct sm_flow *f = async(flow, arg, parallelism, ordered);
	if (f)
		f->async.map = map;
	if (!map)
		flow__problem(f, "map_pool needs a function");
	return f;
}

struct sm_flow *sm_flow_map_promise(struct sm_flow *flow,
				    enum sm_err (*start)(void *arg, struct sm_msg *element, struct sm_flow_promise *promise,
							 struct sm_error *reterr),
				    void *arg, uint32_t parallelism, bool ordered)
{
	struct sm_flow *f = async(flow, arg, parallelism, ordered);
	if (f)
		f->async.start = start;
	if (!start)
		flow__problem(f, "map_promise needs a function");
	return f;
}

struct sm_flow *sm_flow_buffer(struct sm_flow *flow, uint32_t elements_max, enum sm_flow_overflow overflow)
{
	struct sm_flow *f = flow__after(&flow__boundary, flow, NULL);
	if (f) {
		f->buffer.max = elements_max;
		f->buffer.overflow = overflow;
	}
	if (!elements_max)
		flow__problem(f, "a buffer needs a bound above 0");
	return f;
}

struct sm_flow *sm_flow_async(struct sm_flow *flow)
{
	return sm_flow_buffer(flow, FLOW_WINDOW_DEFAULT, SM_FLOW_BACK_PRESSURE);
}

struct sm_flow *sm_flow_restart(struct sm_flow *flow, const struct sm_supervision *supervision)
{
	struct sm_flow *f = sm_flow_async(flow);
	if (f) {
		f->buffer.restart = true;
		f->buffer.supervision = *supervision;
	}
	if (supervision->decide || supervision->all_for_one || supervision->escalate_at_limit)
		flow__problem(f, "the supervision of a restart has no decide, all_for_one or escalate_at_limit");
	return f;
}

/* ---- sinks ---- */

struct sm_flow *sm_flow_for_each(struct sm_flow *flow, enum sm_err (*each)(void *arg, struct sm_msg *element, struct sm_error *reterr),
				 void *arg)
{
	struct sm_flow *f = flow__after(&flow__for_each, flow, arg);
	if (f)
		f->each = each;
	return f;
}

static struct sm_flow *named_sink(const struct flow_kind *kind, struct sm_flow *flow, const char *name, void *arg)
{
	struct sm_flow *f = flow__node(kind, &flow, 1, name ? name : "", arg);
	if (!name || !*name)
		flow__problem(f, "a sink with a value needs a name");
	return f;
}

struct sm_flow *sm_flow_fold(struct sm_flow *flow, const char *name,
			     enum sm_err (*fold)(void *arg, struct sm_msg **value, struct sm_msg *element, struct sm_error *reterr),
			     void *arg)
{
	struct sm_flow *f = named_sink(&flow__fold, flow, name, arg);
	if (f)
		f->fold = fold;
	if (!fold)
		flow__problem(f, "fold needs a function");
	return f;
}

struct sm_flow *sm_flow_collect(struct sm_flow *flow, const char *name, uint32_t elements_max)
{
	struct sm_flow *f = named_sink(&flow__collect, flow, name, NULL);
	if (f)
		f->collect_max = elements_max;
	if (!elements_max)
		flow__problem(f, "collect needs a bound above 0");
	return f;
}

struct sm_flow *sm_flow_to_actor(struct sm_flow *flow, struct sm_ref *to, uint32_t timeout_ms, uint32_t unacknowledged_max)
{
	return sm_flow_for_each(sm_flow_map_ask(flow, to, timeout_ms, unacknowledged_max, false), NULL, NULL);
}

struct sm_flow *sm_flow_graph(struct sm_flow *const *sinks, uint32_t count)
{
	struct sm_flow *f = flow__node(&flow__graph, sinks, count, NULL, NULL);
	if (!count)
		flow__problem(f, "a graph needs a sink");
	return f;
}
