/* What the files of this room share.
 *
 * A description is a graph of nodes (struct sm_flow), each knowing the nodes before it. plan.c turns it into a run: a stage for each node,
 * an outlet before each boundary, and a section for each set of stages that are connected without a boundary: one actor. Within a
 * section elements are pulled: `pull` of a stage pulls the stages before it, and the section's drains (sinks and outlets) pull
 * as long as they have demand. What cannot give an element now says FLOW_WAIT, and sees to it that a message (an answer, a timer, elements
 * from over a boundary) makes the section pull again.
 *
 * Who touches what: a section, its stages, the upstream half of the edges that leave it and the downstream half of those that enter it
 * belong to the section's actor. Between them are messages; the run's own part is under its lock or atomic. */
#ifndef FLOW_FLOW_INTERNAL_H
#define FLOW_FLOW_INTERNAL_H

#include "actor/actor.h"
#include "actor/msg_list.h"
#include "flow/flow_limits.h"
#include <assert.h>
#include <pthread.h>
#include <smack/flow.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- descriptions ---- */

struct flow_stage;
struct flow_section;

enum flow_pull {
	FLOW_ELEMENT,
	FLOW_WAIT, /* the section will pull again when it can be otherwise */
	FLOW_END,
	FLOW_FAILED /* section->error says why, until the next pull */
};

enum flow_role { FLOW_SOURCE, FLOW_STAGE, FLOW_BOUNDARY, FLOW_SINK, FLOW_GRAPH };

struct flow_kind {
	const char *name;
	enum flow_role role;
	/* Sizes what the stage has besides its struct, from its node. NULL: nothing. */
	size_t (*extra)(const struct sm_flow *node);
	/* Once a materialization. NULL: nothing to do. */
	enum sm_err (*make)(struct flow_stage *s);
	/* Sources, stages, boundaries: not called again after FLOW_END, FLOW_FAILED or cancel. */
	enum flow_pull (*pull)(struct flow_stage *s, struct sm_msg **ret_element);
	/* Drains: takes the element on SM_OK; on failure section->error is filled. */
	enum sm_err (*consume)(struct flow_stage *s, struct sm_msg *element);
	bool (*wants)(struct flow_stage *s); /* a drain that has not always demand */
	void (*ended)(struct flow_stage *s, enum flow_pull how);
	/* Nobody wants elements any more: what is before it is cancelled too. NULL: flow__cancel_inputs and reset. */
	void (*cancel)(struct flow_stage *s);
	/* Free what it holds: it has ended, or will be built anew. NULL: it holds nothing. */
	void (*reset)(struct flow_stage *s);
	void (*timer)(struct flow_stage *s); /* before the section pulls again */
};

struct sm_flow {
	_Atomic uint32_t refs;
	const struct flow_kind *kind;
	bool used;           /* given to a stage or a graph */
	uint32_t depth;      /* nodes on the longest way up */
	const char *problem; /* a literal */
	char *name;
	uint32_t from_count;
	struct sm_flow **from; /* counted */
	void *arg;
	union {
		struct {
			struct sm_msg *const *elements;
			uint32_t count;
		} array;
		struct sm_flow_iterator iterator;
		struct {
			uint64_t first_ms, interval_ms;
			enum sm_err (*make)(void *arg, struct sm_msg **ret_element, struct sm_error *reterr);
		} tick;
		struct {
			uint32_t max;
			enum sm_flow_overflow overflow;
			struct sm_supervision supervision; /* of a restart */
			bool restart;
		} buffer; /* also a queue's */
		sm_flow_map_fn map;
		bool (*keep)(void *arg, const struct sm_msg *element);
		uint64_t take;
		struct sm_flow_batch batch;
		struct sm_flow_throttle throttle;
		struct {
			uint32_t parallelism, timeout_ms;
			bool ordered;
			struct sm_ref *to; /* counted */
			sm_flow_map_fn map;
			enum sm_err (*start)(void *arg, struct sm_msg *element, struct sm_flow_promise *promise, struct sm_error *reterr);
		} async;
		uint32_t branches; /* of a hub */
		uint32_t branch;
		enum sm_err (*each)(void *arg, struct sm_msg *element, struct sm_error *reterr);
		enum sm_err (*fold)(void *arg, struct sm_msg **value, struct sm_msg *element, struct sm_error *reterr);
		uint32_t collect_max;
	};
};

extern const struct flow_kind flow__array, flow__iterator, flow__tick, flow__queue, flow__map, flow__filter, flow__take, flow__batch,
	flow__unbatch, flow__throttle, flow__merge, flow__concat, flow__hub, flow__branch, flow__async, flow__boundary, flow__outlet,
	flow__for_each, flow__fold, flow__collect, flow__graph;

/* build.c: a node behind `from` (used up; may be NULL at count 0). NULL: no memory, or one of from is NULL. */
struct sm_flow *flow__node(const struct flow_kind *kind, struct sm_flow *const *from, uint32_t from_count, const char *name, void *arg);
static inline struct sm_flow *flow__after(const struct flow_kind *kind, struct sm_flow *flow, void *arg)
{
	return flow__node(kind, &flow, 1, NULL, arg);
}
void flow__problem(struct sm_flow *flow, const char *text); /* a literal; the first one counts */
struct sm_flow *flow__ref(struct sm_flow *flow);

/* ---- runs ---- */

struct flow_input {
	struct flow_stage *stage;
	bool ended;
};

/* An asynchronous boundary: the outlet of one section, and the stage of another one. */
struct flow_edge {
	struct flow_stage *outlet, *inlet;
	/* the upper section's */
	struct msg_list out;
	uint32_t credit;
	bool hello_due, end_due, end_sent, cancelled;
	enum flow_pull end;
	/* written above before the end is told, read below after it */
	struct sm_error error;
	/* the lower section's */
	struct msg_list in;
	struct sm_ref *up; /* counted; NULL: it has not said hello */
	uint32_t up_epoch;
	uint32_t outstanding, demand_due;
	bool watch_due, cancel_due, cancel_sent;
	bool closed; /* the end has come: in_end */
	bool shut;   /* we want no more */
	bool overflowed;
	enum flow_pull in_end;
};

struct flow_op;
struct flow_slot {
	enum { SLOT_FREE, SLOT_BUSY, SLOT_READY } at;
	uint64_t ask_id;
	struct sm_msg *msg; /* of a ready one; may be NULL */
};

struct flow_stage {
	const struct flow_kind *kind;
	const struct sm_flow *node;
	struct flow_section *section;
	struct flow_input *inputs;
	uint32_t input_count;
	uint32_t index; /* in the section; the id of its timer */
	bool ended;     /* a drain that pulls no more */
	void *extra;
	size_t extra_size;
	union {
		struct {
			uint32_t at;
		} array;
		struct {
			bool open;
		} iterator;
		struct {
			bool started, due;
		} tick;
		struct sm_flow_queue *queue;
		uint64_t taken;
		struct {
			struct sm_flow_batch_msg *batch;
			struct sm_msg *held;
			uint64_t held_bytes;
			bool due;
		} batch;
		struct sm_flow_batch_msg *unbatch;
		struct {
			struct sm_msg *held;
			uint32_t cost;     /* of held */
			uint64_t ready_ns; /* theoretical arrival time, as the cell rate algorithm calls it */
			bool waits;
		} throttle;
		struct {
			uint32_t turn;
		} join;
		struct {
			enum flow_pull ended; /* FLOW_ELEMENT: not yet */
			struct sm_error error;
			struct flow_stage **branches;
			uint32_t open;
		} hub;
		struct {
			struct sm_msg *slot;
			bool shut;
		} branch;
		struct {
			struct flow_slot *slots;
			struct msg_list ready; /* of an unordered one */
			uint32_t busy, head, filled;
			uint64_t generation; /* an operation of an older one means nothing any more */
			struct sm_msg *held;
			bool waits; /* held found no room */
			struct sm_error error;
		} async;
		struct flow_edge *edge;
		struct {
			struct sm_msg *value;
			bool ready; /* under the run's lock: the value is the handle's */
		} sink;
	};
};

struct flow_section {
	struct sm_flow_run *run;
	uint32_t scope_size;                      /* sections that are restarted with scope */
	struct flow_section *scope;               /* the section whose actor spawns this one's; NULL: the run's */
	const struct sm_supervision *supervision; /* it is restarted; NULL: it is not */
	struct sm_ref *ref;                       /* its spawner's; the relatives read it after their start */
	_Atomic uint32_t epoch;                   /* counts its starts */
	struct flow_stage **stages;
	uint32_t stage_count;
	struct flow_stage **drains;
	uint32_t drain_count, first_drain;
	struct flow_edge **edges_in, **edges_out;
	uint32_t in_count, out_count;
	/* its spawner's */
	bool running, start_sent, drain_sent, cancel_sent;
	/* the actor's own */
	struct sm_actor *self; /* while a handler runs */
	bool born, started, draining, cancelled, retry_set;
	bool again, again_queued; /* the budget is used up; a message to go on is queued */
	uint32_t budget;
	enum sm_err failed; /* a part that is restarted has failed */
	struct sm_error error;
	/* what it failed with last, for those below; read after its end */
	struct sm_error last;
	/* what is below its restart has been told of it, once at least; read after its end */
	bool said_hello;
	struct sm_msg again_msg, start_msg, drain_msg, cancel_msg;
};

struct sm_flow_run {
	_Atomic uint32_t refs;
	struct sm_system *system;
	struct sm_flow *flow;
	struct flow_stage *stages;
	uint32_t stage_count;
	struct flow_section *sections;
	uint32_t section_count;
	struct flow_edge *edges;
	uint32_t edge_count;
	_Atomic uint64_t dropped;
	_Atomic uint32_t ops; /* under way, or their results */
	atomic_bool draining, stop_sent, cancel_sent;
	struct sm_msg stop_msg, cancel_msg, ops_over_msg;
	struct sm_ref *top;  /* of the actor, for the handle */
	struct sm_ref *self; /* the same, from its init on */
	/* the actor's own */
	uint32_t running;
	bool cancelled, completed;
	atomic_bool waits_for_ops;
	struct msg_list waiting; /* requests of sm_flow_wait */
	struct sm_flow_options options;
	struct sm_flow_done_msg *done_msg;
	/* of the lock */
	pthread_mutex_t lock;
	struct sm_error error; /* the first; code SM_OK: none */
	bool ended;            /* options.done has been called */
};

/* plan.c */
enum sm_err flow__plan(const struct sm_flow *flow, struct sm_flow_run *run, struct sm_error *reterr);
void flow__plan_free(struct sm_flow_run *run);

/* run.c */
struct sm_flow_run *flow__run_ref(struct sm_flow_run *run);
void flow__run_fail(struct sm_flow_run *run, const struct sm_error *error); /* the first one counts */
void flow__op_ended(struct sm_flow_run *run);
/* The children of a scope (NULL: of the run), by its actor. What they are told, each is told once. */
enum sm_err flow__children_spawn(struct sm_actor *self, struct sm_flow_run *run, struct flow_section *scope);
void flow__children_start(struct sm_flow_run *run, struct flow_section *scope);
void flow__children_drain(struct sm_flow_run *run, struct flow_section *scope);
void flow__children_cancel(struct sm_flow_run *run, struct flow_section *scope);
/* NULL: ref is none of them. */
struct flow_section *flow__child_ended(struct sm_flow_run *run, struct flow_section *scope, const struct sm_ref *ref);

/* section.c */
extern const struct sm_msg_type flow__again_type, flow__start_type, flow__drain_type, flow__cancel_type, flow__wake_type;
enum sm_err flow__section_init(struct sm_actor *self, void *state, void *arg);
enum sm_err flow__section_receive(struct sm_actor *self, void *state, struct sm_msg *msg);
void flow__section_done(struct sm_actor *self, void *state);
/* Pull one element from an input that has not ended. */
static inline enum flow_pull flow__pull(struct flow_input *in, struct sm_msg **ret_element)
{
	enum flow_pull how = in->stage->kind->pull(in->stage, ret_element);
	if (__builtin_expect(how >= FLOW_END, 0))
		in->ended = true;
	return how;
}
void flow__cancel_input(struct flow_input *in); /* if it has not ended */
void flow__cancel_inputs(struct flow_stage *s);
/* The stage has failed: cancel what is before it. reterr of the function that failed is section->error; text is what is said if it left
 * that empty. Returns FLOW_FAILED. */
enum flow_pull flow__fail(struct flow_stage *s, enum sm_err err);
enum sm_err flow__error(struct flow_stage *s, enum sm_err err); /* completes section->error; returns err */
/* A source may give an element now; else the section goes on in its next turn. */
static inline bool flow__may_give(struct flow_section *section)
{
	if (section->budget) {
		section->budget--;
		return true;
	}
	section->again = true;
	return false;
}
enum sm_err flow__timer(struct flow_stage *s, uint64_t ms); /* no memory: it is tried again soon by the section */
void flow__retry_soon(struct flow_section *section);

/* edge.c */
extern const struct sm_msg_type flow__edge_type;
void flow__edges_init(struct flow_section *section);  /* before any message */
void flow__edges_start(struct flow_section *section); /* the relatives can be told */
void flow__edge_receive(struct flow_section *section, struct sm_msg *msg);
void flow__edges_flush(struct flow_section *section);
void flow__edge_up_ended(struct flow_section *section, struct sm_ref *ref, enum sm_err why);
bool flow__edges_closed(const struct flow_section *section);

/* async.c */
extern const struct sm_msg_type flow__op_type;
void flow__op_receive(struct flow_section *section, struct sm_msg *msg);
/* False: no stage of the section has asked. */
bool flow__answer(struct flow_section *section, uint64_t ask_id, struct sm_msg *answer, enum sm_err failed);

#endif
