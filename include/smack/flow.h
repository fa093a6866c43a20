/* Flows: streams of elements with back pressure, over actors.
 *
 * An element is a message (struct sm_msg of <smack/actor.h>): its type frees it and, for a broadcast, copies it. It has one owner at a
 * time: the flow, from the source that made it on, or the function of a stage that it was handed to. A function that returns SM_OK has
 * taken the element; one that fails has not, and the flow frees it.
 *
 * A graph is described by values: a source makes a `struct sm_flow *`, each stage takes it and returns a longer one, a sink closes it, and
 * sm_flow_graph puts several closed ones together. A description does nothing; sm_flow_run materializes it, as often as wanted. What a
 * description cannot be (no memory, a bound of 0) is told by sm_flow_run, so that a chain of calls needs no checks.
 *
 * Demand: elements are pulled. A sink asks the stage before it, and so on up to the source: within one actor a function call a stage
 * and an element. All adjacent stages are one actor. sm_flow_async, sm_flow_buffer and sm_flow_restart are the asynchronous boundaries:
 * what is before them is another actor, on another dispatcher; the boundary's buffer is where its elements arrive, and demand for its free
 * places travels to it by message, so that elements under way and buffered never exceed its bound. A merge or a broadcast needs no
 * boundary.
 *
 * Completion travels down behind the elements. A failure travels down too, overtaking what stages hold back (batches, asynchronous results)
 * but nothing that a boundary has taken; the stage that has failed cancels what is before it. Cancellation travels up: who wants no more
 * elements cancels its source, a broadcast when all of its branches have. A sink that fails ends itself and cancels what
 * is before it; other sinks go on. The run has ended when all sinks have, with the first of their failures.
 *
 * Bounds: a boundary, a queue, a batch, a throttle (one element), an asynchronous stage (its parallelism), collect: each by its own
 * argument. A function that makes elements of elements makes one or none; sm_flow_unbatch undoes batches only.
 *
 * Actors: a run is an actor below the given parent, its parts (the fused stages) are its children; what is before a sm_flow_restart
 * are the children of the part that is restarted, by the supervision of actors. Functions are called on the dispatcher of their part, one
 * at a time for each stage, and must not block; sm_flow_map_pool's are called on the pool, several at a time. A stage's `arg` is borrowed:
 * it lives until the end of the run was told (or, if actors were stopped from outside, until sm_system_stop has returned). One description
 * that runs twice at a time shares it.
 *
 * Source: Reactive Streams 1.0.4 for what demand, completion and cancellation mean; the stages are named as Akka Streams names them. */
#ifndef SMACK_FLOW_H
#define SMACK_FLOW_H

#include <smack/actor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_flow;         /* description; used up by the function that it is given to, where nothing else is said */
struct sm_flow_run;     /* a materialized graph; counted */
struct sm_flow_queue;   /* the outside end of sm_flow_from_queue; counted */
struct sm_flow_promise; /* the result that a stage waits for */

/* Frees a description that is not wanted any more; runs that go on keep what they need. NULL is allowed. */
SM_EXPORT void sm_flow_free(struct sm_flow *flow);

/* ---- sources ---- */

/* These messages, in order. Each is copied (type->copy); one without copy that is embedded in its owner (no type->done) is the element
 * itself: such an array runs once at a time, and not before a restart (SM_INVALID). The array and what it points to are borrowed as `arg`
 * is. A message that can neither be copied nor is embedded fails the flow (SM_UNSUPPORTED). */
SM_EXPORT struct sm_flow *sm_flow_from_array(struct sm_msg *const *elements, uint32_t count);

struct sm_flow_iterator {
	size_t state_size; /* zeroed before init */
	/* Before the first element, at each materialization and restart. An error fails the flow, done is not called then. May be NULL. */
	enum sm_err (*init)(void *arg, void *state, struct sm_error *reterr);
	/* The next element. SM_END: there is none any more. Other errors fail the flow. */
	enum sm_err (*next)(void *arg, void *state, struct sm_msg **ret_element, struct sm_error *reterr);
	/* At its end, failure or cancellation. May be NULL. */
	void (*done)(void *arg, void *state);
};
SM_EXPORT struct sm_flow *sm_flow_from_iterator(const struct sm_flow_iterator *iterator, void *arg);

/* An element of make, after first_ms and then every interval_ms (above 0). Of the ticks for which there is no demand the last one is
 * kept, and given at the next demand. make as
 * sm_flow_iterator.next. */
SM_EXPORT struct sm_flow *sm_flow_tick(uint64_t first_ms, uint64_t interval_ms,
				       enum sm_err (*make)(void *arg, struct sm_msg **ret_element, struct sm_error *reterr), void *arg);

/* What a buffer does with an element when it is full. */
enum sm_flow_overflow {
	SM_FLOW_BACK_PRESSURE, /* there is no demand; a queue answers SM_FULL */
	SM_FLOW_DROP_OLDEST,   /* the buffer's oldest is freed */
	SM_FLOW_DROP_NEWEST,   /* the element that comes is freed */
	SM_FLOW_FAIL           /* the flow fails with SM_FULL */
};

/* What is offered from outside to the run's queue of this name (sm_flow_queue), at most elements_max of them waiting (above 0). */
SM_EXPORT struct sm_flow *sm_flow_from_queue(const char *name, uint32_t elements_max, enum sm_flow_overflow overflow);

/* ---- stages, fused ---- */

/* Take element and give another one, or itself; *ret_element stays NULL: nothing goes on. */
typedef enum sm_err (*sm_flow_map_fn)(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr);
SM_EXPORT struct sm_flow *sm_flow_map(struct sm_flow *flow, sm_flow_map_fn map, void *arg);
/* Elements for which keep is false are freed. */
SM_EXPORT struct sm_flow *sm_flow_filter(struct sm_flow *flow, bool (*keep)(void *arg, const struct sm_msg *element), void *arg);
/* The first count elements (above 0), then completion; the source is cancelled. */
SM_EXPORT struct sm_flow *sm_flow_take(struct sm_flow *flow, uint64_t count);

/* An element that holds others, linked by their `next`. Who takes one out (sm_flow_batch_take) owns it. Its type can be copied if theirs
 * can. */
struct sm_flow_batch_msg {
	struct sm_msg msg;
	struct sm_msg *first, *last;
	uint32_t count;
	uint64_t bytes; /* by the batch's size function, of all that it was made with; else 0 */
};
SM_EXPORT extern const struct sm_msg_type sm_msg_flow_batch;
/* The first one; NULL: none is left. */
SM_EXPORT struct sm_msg *sm_flow_batch_take(struct sm_flow_batch_msg *batch);

/* A batch is given on when it has count_max elements, when the next one would bring it above bytes_max (a larger element is a batch
 * of its own), when within_ms have passed since its first one, or at the end. */
struct sm_flow_batch {
	uint32_t count_max; /* 1 to 1048576 */
	uint64_t bytes_max; /* 0: not looked at */
	uint64_t (*size)(void *arg, const struct sm_msg *element);
	void *arg;
	uint64_t within_ms; /* 0: it waits until it is full */
};
SM_EXPORT struct sm_flow *sm_flow_batch(struct sm_flow *flow, const struct sm_flow_batch *batch);
/* The elements of sm_msg_flow_batch elements; others go on as they are. */
SM_EXPORT struct sm_flow *sm_flow_unbatch(struct sm_flow *flow);

/* At most `elements` a per_ms in the long run, at most burst at once (0: as many as come in 10 ms, at least 1), evenly otherwise: a token
 * bucket. Timers count in ms: more than burst in one ms do not pass, so a burst below elements / per_ms lowers the rate. cost (may be NULL:
 * 1 each) says how many an element counts for. enforce: the flow fails (SM_FULL) instead of waiting. */
struct sm_flow_throttle {
	uint32_t elements, per_ms; /* above 0 */
	uint32_t burst;
	uint32_t (*cost)(void *arg, const struct sm_msg *element);
	void *arg;
	bool enforce;
};
SM_EXPORT struct sm_flow *sm_flow_throttle(struct sm_flow *flow, const struct sm_flow_throttle *throttle);

/* The elements of all as they come, by turns where several have some; fails with the first that fails. 1 to 1022 flows: a graph has
 * at most 1024 stages. */
SM_EXPORT struct sm_flow *sm_flow_merge(struct sm_flow *const *flows, uint32_t count);
/* All of the first, then of the second, and so on. */
SM_EXPORT struct sm_flow *sm_flow_concat(struct sm_flow *const *flows, uint32_t count);
/* Each element to each of the branches (copies but for one: its type needs copy), when all of them have demand. A branch that cancels does
 * not hold up the others. branches: count (at least 1) flows are written, NULL where there is no memory. */
SM_EXPORT void sm_flow_broadcast(struct sm_flow *flow, struct sm_flow **branches, uint32_t count);

/* ---- stages, asynchronous ---- */

/* Up to parallelism (1 to 1024) elements are under way or finished and waiting; results keep the order of the elements, or come as
 * they finish. A failure fails the flow at the next demand, before results that wait. */

/* Each element is asked of the actor `to` (counted by the description); its answer is the element that goes on. An element that the actor
 * had no room for is tried again after some ms. Failures: SM_TIMEOUT, SM_GONE. */
SM_EXPORT struct sm_flow *sm_flow_map_ask(struct sm_flow *flow, struct sm_ref *to, uint32_t timeout_ms, uint32_t parallelism, bool ordered);
/* map is called on threads of the pool. */
SM_EXPORT struct sm_flow *sm_flow_map_pool(struct sm_flow *flow, sm_flow_map_fn map, void *arg, uint32_t parallelism, bool ordered);
/* start begins something and returns; it, or whatever it has begun, calls one of the two functions below once, on any thread. An error
 * fails the flow; the promise is then not used. start takes element on SM_OK. */
SM_EXPORT struct sm_flow *sm_flow_map_promise(struct sm_flow *flow,
					      enum sm_err (*start)(void *arg, struct sm_msg *element, struct sm_flow_promise *promise,
								   struct sm_error *reterr),
					      void *arg, uint32_t parallelism, bool ordered);
SM_EXPORT void sm_flow_promise_keep(struct sm_flow_promise *promise, struct sm_msg *element); /* NULL: nothing goes on */
SM_EXPORT void sm_flow_promise_fail(struct sm_flow_promise *promise, enum sm_err err, const char *text);

/* An asynchronous boundary, with up to 64 elements under way. */
SM_EXPORT struct sm_flow *sm_flow_async(struct sm_flow *flow);
/* One with so many (above 0). With another policy than back pressure the source is not held up: it has demand for what the
 * policy then frees; up to 64 elements more are under way. */
SM_EXPORT struct sm_flow *sm_flow_buffer(struct sm_flow *flow, uint32_t elements_max, enum sm_flow_overflow overflow);
/* An asynchronous boundary before which a failure is a restart: everything up to here is built anew after the delay (iterators begin again,
 * queues keep what they have); elements that it held are lost, those that have passed the boundary are not. One failure too many in the
 * window is passed on. Of the supervision decide, all_for_one and escalate_at_limit stay empty. A broadcast before it has all its branches
 * there. */
SM_EXPORT struct sm_flow *sm_flow_restart(struct sm_flow *flow, const struct sm_supervision *supervision);

/* ---- sinks ---- */

/* each takes the element on SM_OK. NULL: elements are freed. */
SM_EXPORT struct sm_flow *sm_flow_for_each(struct sm_flow *flow,
					   enum sm_err (*each)(void *arg, struct sm_msg *element, struct sm_error *reterr), void *arg);
/* fold takes the element and changes *value, which is NULL at first. The last one is the run's value of this name. */
SM_EXPORT struct sm_flow *
sm_flow_fold(struct sm_flow *flow, const char *name,
	     enum sm_err (*fold)(void *arg, struct sm_msg **value, struct sm_msg *element, struct sm_error *reterr), void *arg);
/* All elements, as one sm_msg_flow_batch, are the run's value of this name. More than elements_max fail it (SM_TOO_LARGE). */
SM_EXPORT struct sm_flow *sm_flow_collect(struct sm_flow *flow, const char *name, uint32_t elements_max);
/* Each element is asked of the actor; any answer is its acknowledgement. At most unacknowledged_max (1 to 1024) are without one.
 * Failures as sm_flow_map_ask. */
SM_EXPORT struct sm_flow *sm_flow_to_actor(struct sm_flow *flow, struct sm_ref *to, uint32_t timeout_ms, uint32_t unacknowledged_max);

/* Several closed flows as one, for sm_flow_run: those that share a broadcast, or that are to end together. */
SM_EXPORT struct sm_flow *sm_flow_graph(struct sm_flow *const *sinks, uint32_t count);

/* ---- running ---- */

/* Told to options.tell at the end. */
SM_EXPORT extern const struct sm_msg_type sm_msg_flow_done;
struct sm_flow_done_msg {
	struct sm_msg msg;
	struct sm_flow_run *run; /* released with the message */
	enum sm_err err;
	const char *text; /* "" if it completed; as long as the run */
};

struct sm_flow_options {
	const char *name;        /* of its actor, as sm_props.name */
	struct sm_actor *parent; /* NULL: the root */
	/* The end is told once, by these that are set: a call on the run's dispatcher, a message past the mailbox's bound. */
	void (*done)(void *arg, enum sm_err err, const char *text);
	void *arg;
	struct sm_ref *tell;
};

/* Materialize flow, which is borrowed for the call. options may be NULL. ret_run (may be NULL): release it with sm_flow_release; the run
 * goes on. Thread: as sm_spawn. Errors: SM_INVALID (the description: text says what; also more than 1024 stages in a row),
 * SM_TOO_LARGE (more than 1024 in all), and those of sm_spawn. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_flow_run(struct sm_system *system, const struct sm_flow *flow, const struct sm_flow_options *options,
						struct sm_flow_run **ret_run, struct sm_error *reterr);
SM_EXPORT void sm_flow_release(struct sm_flow_run *run); /* NULL is allowed */

/* Drain: sources give no more, what they have given is worked off, and the run completes. Queues take no more; what they hold goes on.
 * Thread: any. */
SM_EXPORT void sm_flow_stop(struct sm_flow_run *run);
/* End at once with SM_CANCELLED: elements are freed. Thread: any. */
SM_EXPORT void sm_flow_cancel(struct sm_flow_run *run);
/* Wait for the end. SM_OK: it has ended, *ret_how (may be NULL) says how, and if that is not SM_OK reterr has its text. After the end also
 * once the system is no more. Errors: SM_AGAIN (not in this time), SM_NO_MEMORY. Thread: none of the system's own. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_flow_wait(struct sm_flow_run *run, uint32_t timeout_ms, enum sm_err *ret_how,
						 struct sm_error *reterr);
/* The value of a sink, once its sink has completed; NULL: there is none (yet). The caller owns it. Thread: any. */
SM_EXPORT struct sm_msg *sm_flow_value(struct sm_flow_run *run, const char *name);
/* Elements that full buffers and queues have dropped so far. Thread: any. */
SM_EXPORT uint64_t sm_flow_dropped(const struct sm_flow_run *run);

/* The queue of this name, counted; NULL: there is none. Thread: any, for all of these. */
SM_EXPORT struct sm_flow_queue *sm_flow_queue(struct sm_flow_run *run, const char *name);
SM_EXPORT void sm_flow_queue_release(struct sm_flow_queue *queue); /* NULL is allowed */
/* On SM_OK the element is the flow's (with a policy that drops, it may be freed by it at once). Errors: SM_FULL (back pressure: when there
 * is room again, or the queue has closed, sm_msg_flow_room is sent once to `tell`, if that is not NULL; with SM_FLOW_FAIL the flow fails,
 * nobody is told, and it stays so until the flow has ended or a restart has read it), SM_BUSY (full, and 1024 others
 * wait to be told), SM_CLOSED (completed, cancelled or failed), SM_NO_MEMORY. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_flow_offer(struct sm_flow_queue *queue, struct sm_msg *element, struct sm_ref *tell);
SM_EXPORT extern const struct sm_msg_type sm_msg_flow_room;
struct sm_flow_room_msg {
	struct sm_msg msg;
	struct sm_flow_queue *queue; /* released with the message */
};
/* No more will come; what it holds goes on. */
SM_EXPORT void sm_flow_complete(struct sm_flow_queue *queue);
/* The flow fails; what it holds is freed. err is not SM_OK. */
SM_EXPORT void sm_flow_fail(struct sm_flow_queue *queue, enum sm_err err, const char *text);

#ifdef __cplusplus
}
#endif
#endif
