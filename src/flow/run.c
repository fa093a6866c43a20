/* Runs: the actor above a graph's sections, and the handle by which others see it. */
#include "base/clock.h"
#include "flow/flow_internal.h"
#include "flow/queue.h"

/* ---- the handle ---- */

struct sm_flow_run *flow__run_ref(struct sm_flow_run *run)
{
	atomic_fetch_add_explicit(&run->refs, 1, memory_order_relaxed);
	return run;
}

void sm_flow_release(struct sm_flow_run *run)
{
	if (!run || atomic_fetch_sub_explicit(&run->refs, 1, memory_order_acq_rel) > 1)
		return;
	flow__plan_free(run);
	sm_unref(run->top);
	sm_unref(run->self);
	sm_unref(run->options.tell);
	free(run->done_msg);
	sm_flow_free(run->flow);
	pthread_mutex_destroy(&run->lock);
	free(run);
}

void flow__run_fail(struct sm_flow_run *run, const struct sm_error *error)
{
	pthread_mutex_lock(&run->lock);
	if (!run->error.code)
		run->error = *error;
	pthread_mutex_unlock(&run->lock);
}

uint64_t sm_flow_dropped(const struct sm_flow_run *run)
{
	uint64_t dropped = atomic_load_explicit(&run->dropped, memory_order_relaxed);
	for (uint32_t i = 0; i < run->stage_count; i++)
		if (run->stages[i].kind == &flow__queue)
			dropped += flow__queue_dropped(&run->stages[i]);
	return dropped;
}

static struct flow_stage *find(struct sm_flow_run *run, const char *name)
{
	for (uint32_t i = 0; i < run->stage_count; i++) {
		struct flow_stage *s = &run->stages[i];
		if (s->node->name && strcmp(s->node->name, name) == 0)
			return s;
	}
	return NULL;
}

struct sm_flow_queue *sm_flow_queue(struct sm_flow_run *run, const char *name)
{
	struct flow_stage *s = find(run, name);
	return s && s->kind == &flow__queue ? flow__queue_ref(s->queue) : NULL;
}

struct sm_msg *sm_flow_value(struct sm_flow_run *run, const char *name)
{
	struct flow_stage *s = find(run, name);
	struct sm_msg *value = NULL;
	if (!s || s->kind->role != FLOW_SINK)
		return NULL;
	pthread_mutex_lock(&run->lock);
	if (s->sink.ready) {
		value = s->sink.value;
		s->sink.value = NULL;
	}
	pthread_mutex_unlock(&run->lock);
	return value;
}

static const struct sm_msg_type stop_type = {"flow stop", NULL}, cancel_type = {"flow cancel", NULL};

static void order(struct sm_flow_run *run, atomic_bool *sent, struct sm_msg *msg, const struct sm_msg_type *type)
{
	pthread_mutex_lock(&run->lock);
	bool ended = run->ended; /* who was told so may be before sm_spawn has returned the actor */
	pthread_mutex_unlock(&run->lock);
	if (ended || atomic_exchange(sent, true))
		return;
	msg->type = type;
	(void)!actor_send_quiet(run->top, msg); /* else it has ended */
}

void sm_flow_stop(struct sm_flow_run *run)
{
	order(run, &run->stop_sent, &run->stop_msg, &stop_type);
}

void sm_flow_cancel(struct sm_flow_run *run)
{
	order(run, &run->cancel_sent, &run->cancel_msg, &cancel_type);
}

/* ---- children ---- */

static bool is_child(const struct flow_section *section, const struct flow_section *scope)
{
	return section->scope == scope;
}

static enum sm_err spawn(struct sm_actor *self, struct flow_section *child)
{
	struct sm_props props = {.state_size = sizeof(void *),
				 .init = flow__section_init,
				 .receive = flow__section_receive,
				 .done = flow__section_done,
				 .arg = child,
				 .dispatcher = SM_DISPATCHER_ANY};
	if (child->supervision)
		props.supervision = *child->supervision;
	sm_unref(child->ref);
	child->ref = NULL;
	child->start_sent = child->drain_sent = child->cancel_sent = false;
	child->said_hello = child->born = child->started = child->again_queued = false;
	atomic_fetch_add(&child->epoch, 1);
	enum sm_err err = sm_spawn(sm_actor_system(self), self, &props, &child->ref);
	if (err)
		return err;
	child->running = true;
	return sm_watch(self, child->ref);
}

enum sm_err flow__children_spawn(struct sm_actor *self, struct sm_flow_run *run, struct flow_section *scope)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < run->section_count && !err; i++)
		if (is_child(&run->sections[i], scope))
			err = spawn(self, &run->sections[i]);
	return err;
}

static void tell(struct flow_section *child, bool *sent, struct sm_msg *msg, const struct sm_msg_type *type)
{
	if (*sent || !child->running)
		return;
	*sent = true;
	*msg = (struct sm_msg){.type = type};
	(void)!actor_send_quiet(child->ref, msg); /* else it has ended */
}

void flow__children_start(struct sm_flow_run *run, struct flow_section *scope)
{
	for (uint32_t i = 0; i < run->section_count; i++) {
		struct flow_section *child = &run->sections[i];
		if (is_child(child, scope))
			tell(child, &child->start_sent, &child->start_msg, &flow__start_type);
	}
}

void flow__children_drain(struct sm_flow_run *run, struct flow_section *scope)
{
	for (uint32_t i = 0; i < run->section_count; i++) {
		struct flow_section *child = &run->sections[i];
		if (is_child(child, scope))
			tell(child, &child->drain_sent, &child->drain_msg, &flow__drain_type);
	}
}

void flow__children_cancel(struct sm_flow_run *run, struct flow_section *scope)
{
	for (uint32_t i = 0; i < run->section_count; i++) {
		struct flow_section *child = &run->sections[i];
		if (!is_child(child, scope))
			continue;
		tell(child, &child->cancel_sent, &child->cancel_msg, &flow__cancel_type);
		if (child->running && child->supervision)
			sm_stop(child->ref); /* it may wait for its restart */
	}
}

struct flow_section *flow__child_ended(struct sm_flow_run *run, struct flow_section *scope, const struct sm_ref *ref)
{
	for (uint32_t i = 0; i < run->section_count; i++) {
		struct flow_section *child = &run->sections[i];
		if (!is_child(child, scope) || child->ref != ref || !child->running)
			continue;
		child->running = false;
		return child;
	}
	return NULL;
}

/* ---- the actor ---- */

struct wait_msg { /* a request of sm_flow_wait, and its answer */
	struct sm_msg msg;
	uint32_t timeout_ms;
	uint64_t until_ns; /* set by the actor */
};
static void wait_msg_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type wait_type = {"flow wait", wait_msg_done}, ops_over_type = {"flow operations are over", NULL};

static struct wait_msg *wait_msg_new(uint32_t timeout_ms)
{
	struct wait_msg *m = calloc(1, sizeof *m);
	if (m)
		*m = (struct wait_msg){.msg.type = &wait_type, .timeout_ms = timeout_ms};
	return m;
}

/* An operation that is over may be the last thing that the end waits for. */
void flow__op_ended(struct sm_flow_run *run)
{
	if (atomic_fetch_sub(&run->ops, 1) == 1 && atomic_load(&run->waits_for_ops)) {
		run->ops_over_msg.type = &ops_over_type; /* once: no stage is left that could begin another one */
		(void)!actor_send_quiet(run->self, &run->ops_over_msg);
	}
	sm_flow_release(run);
}

static void cancel(struct sm_flow_run *run)
{
	if (run->cancelled)
		return;
	run->cancelled = true;
	flow__children_cancel(run, NULL);
}

/* Those who wait no more are forgotten. */
static void wait_came(struct sm_actor *self, struct sm_flow_run *run, struct sm_msg *msg)
{
	struct msg_list waiting = {0};
	uint64_t now = actor_now_ns(self);
	sm_msg_keep(self);
	((struct wait_msg *)msg)->until_ns = now + ((struct wait_msg *)msg)->timeout_ms * 1000000ull;
	for (struct sm_msg *m; (m = msg_list_take(&run->waiting));) {
		if (((struct wait_msg *)m)->until_ns >= now)
			msg_list_append(&waiting, m);
		else
			sm_msg_free(m);
	}
	msg_list_append(&waiting, msg);
	run->waiting = waiting;
}

static void child_ended(struct sm_actor *self, struct sm_flow_run *run, const struct sm_terminated_msg *msg)
{
	struct flow_section *child = flow__child_ended(run, NULL, msg->ref);
	if (!child)
		return;
	run->running--;
	if (child->supervision) /* however it has ended: what it has not read nobody will */
		flow__queues_close(run, child);
	if (child->supervision ? child->said_hello : !msg->why)
		return; /* a restart that was given up is told to what is below it */
	struct sm_error error;
	sm_fail(&error, msg->why ? msg->why : SM_CANCELLED, "a part of the flow could not start: %s",
		sm_err_text(msg->why ? msg->why : SM_CANCELLED));
	flow__run_fail(run, &error);
	sm_stop_now(sm_self(self)); /* what is below it would wait for its hello */
}

static enum sm_err receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct sm_flow_run *run = *(struct sm_flow_run **)state;
	if (msg->type == &sm_msg_terminated) {
		child_ended(self, run, (struct sm_terminated_msg *)msg);
	} else if (msg->type == &stop_type) {
		atomic_store(&run->draining, true);
		flow__queues_complete(run); /* a part may wait for its restart, and read nothing until then */
		flow__children_drain(run, NULL);
	} else if (msg->type == &cancel_type) {
		struct sm_error error;
		sm_fail(&error, SM_CANCELLED, "the flow was cancelled");
		flow__run_fail(run, &error);
		cancel(run);
	} else if (msg->type == &wait_type) {
		wait_came(self, run, msg);
	}
	if (run->running)
		return SM_OK;
	atomic_store(&run->waits_for_ops, true);
	if (!atomic_load(&run->ops)) {
		run->completed = true;
		sm_stop_now(sm_self(self));
	}
	return SM_OK;
}

/* At the end of the actor: its children have ended. */
static void done(struct sm_actor *self, void *state)
{
	struct sm_flow_run *run = *(struct sm_flow_run **)state;
	pthread_mutex_lock(&run->lock);
	if (!run->completed && !run->error.code)
		sm_fail(&run->error, SM_CANCELLED, "the flow's actor was stopped");
	pthread_mutex_unlock(&run->lock);
	flow__queues_close(run, NULL);
	if (run->options.done)
		run->options.done(run->options.arg, run->error.code, run->error.text);
	pthread_mutex_lock(&run->lock);
	run->ended = true;
	pthread_mutex_unlock(&run->lock);
	if (run->options.tell) {
		struct sm_flow_done_msg *m = run->done_msg;
		run->done_msg = NULL;
		m->run = flow__run_ref(run);
		m->err = run->error.code;
		m->text = run->error.text;
		if (sm_send_reply(run->options.tell, &m->msg))
			sm_msg_free(&m->msg);
	}
	struct sm_msg *request;
	while ((request = msg_list_take(&run->waiting))) {
		bool waits = ((struct wait_msg *)request)->until_ns > actor_now_ns(self);
		struct wait_msg *answer = waits ? wait_msg_new(0) : NULL;
		if (answer)
			sm_reply(self, request, &answer->msg);
		sm_msg_free(request); /* no memory: its time runs out, and then it sees the end */
	}
	sm_flow_release(run);
}

static enum sm_err init(struct sm_actor *self, void *state, void *arg)
{
	struct sm_flow_run *run = *(struct sm_flow_run **)state = arg;
	run->self = sm_ref_get(sm_self(self));
	for (uint32_t i = 0; i < run->section_count; i++)
		run->running += run->sections[i].scope == NULL;
	enum sm_err err = flow__children_spawn(self, run, NULL);
	if (!err) {
		flow__children_start(run, NULL);
		return SM_OK;
	}
	struct sm_error error;
	sm_fail(&error, err, "the flow could not start: %s", sm_err_text(err));
	flow__run_fail(run, &error);
	sm_stop_now(sm_self(self)); /* and what was spawned before it */
	return SM_OK;
}

/* ---- running ---- */

static void done_msg_done(struct sm_msg *msg)
{
	sm_flow_release(((struct sm_flow_done_msg *)msg)->run);
	free(msg);
}
const struct sm_msg_type sm_msg_flow_done = {"flow done", done_msg_done};

static struct sm_flow_run *run_new(struct sm_system *system, const struct sm_flow *flow, const struct sm_flow_options *options)
{
	struct sm_flow_run *run = calloc(1, sizeof *run);
	struct sm_flow_done_msg *told = calloc(1, sizeof *told);
	if (!run || !told) {
		free(run);
		free(told);
		return NULL;
	}
	atomic_init(&run->refs, 1);
	pthread_mutex_init(&run->lock, NULL);
	told->msg.type = &sm_msg_flow_done;
	run->done_msg = told;
	run->system = system;
	run->flow = flow ? flow__ref((struct sm_flow *)flow) : NULL;
	run->options = options ? *options : (struct sm_flow_options){0};
	if (run->options.tell)
		sm_ref_get(run->options.tell);
	return run;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts */
enum sm_err sm_flow_run(struct sm_system *system, const struct sm_flow *flow, const struct sm_flow_options *options,
			struct sm_flow_run **ret_run, struct sm_error *reterr)
{
	struct sm_flow_run *run = run_new(system, flow, options);
	if (!run)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a flow");
	enum sm_err err = flow__plan(flow, run, reterr);
	if (!err) {
		struct sm_props props = {.name = run->options.name,
					 .state_size = sizeof(void *),
					 .init = init,
					 .receive = receive,
					 .done = done,
					 .arg = flow__run_ref(run),
					 .dispatcher = SM_DISPATCHER_ANY};
		if ((err = sm_spawn(system, run->options.parent, &props, &run->top))) {
			sm_fail(reterr, err, "cannot spawn the flow's actor: %s", sm_err_text(err));
			sm_flow_release(run);
		}
	}
	if (!err && ret_run)
		*ret_run = run;
	else
		sm_flow_release(run);
	return err;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* False: it has not ended. */
static bool has_ended(struct sm_flow_run *run, enum sm_err *ret_how, struct sm_error *reterr)
{
	pthread_mutex_lock(&run->lock);
	bool ended = run->ended;
	if (ended && ret_how)
		*ret_how = run->error.code;
	if (ended && reterr && run->error.code)
		*reterr = run->error;
	pthread_mutex_unlock(&run->lock);
	return ended;
}

/* Until the actor answers, or has ended with the request unread. */
static enum sm_err wait_for_actor(struct sm_flow_run *run, uint32_t timeout_ms)
{
	struct wait_msg *request = wait_msg_new(timeout_ms);
	struct sm_msg *answer = NULL;
	if (!request)
		return SM_NO_MEMORY;
	uint64_t before = clock_monotonic_ns(&clock_system);
	enum sm_err err = sm_ask_wait(run->system, run->top, &request->msg, timeout_ms, &answer);
	sm_msg_free(answer);
	if (err == SM_GONE || err == SM_FULL || err == SM_NO_MEMORY)
		sm_msg_free(&request->msg);
	if (err != SM_GONE && err != SM_CANCELLED)
		return err;
	uint64_t waited_ms = (clock_monotonic_ns(&clock_system) - before) / 1000000; /* it is ending */
	return sm_stop_wait(run->system, run->top, waited_ms < timeout_ms ? timeout_ms - (uint32_t)waited_ms : 0, NULL);
}

enum sm_err sm_flow_wait(struct sm_flow_run *run, uint32_t timeout_ms, enum sm_err *ret_how, struct sm_error *reterr)
{
	if (has_ended(run, ret_how, reterr))
		return SM_OK;
	enum sm_err err = wait_for_actor(run, timeout_ms);
	if (has_ended(run, ret_how, reterr))
		return SM_OK;
	if (err == SM_TIMEOUT || err == SM_FULL)
		return sm_fail(reterr, SM_AGAIN, "the flow has not ended in %u ms", timeout_ms);
	return sm_fail(reterr, err ? err : SM_CANCELLED, "cannot wait for the flow: %s", sm_err_text(err ? err : SM_CANCELLED));
}
