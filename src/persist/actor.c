/* The actor around the user's functions: its spawn, its lives, its messages, and the operations that it has under way. */
#include "persist/persist_internal.h"
#include "base/buf.h"
#include <assert.h>
#include <stdlib.h>

/* The user's state stands behind ours. */
#define STATE_SIZE ((sizeof(struct persistent) + 15) / 16 * 16)

void *persist__user(struct persistent *p)
{
	return (char *)p + STATE_SIZE;
}

/* ---- whose function is called ---- */

static _Thread_local struct persistent *current;

struct persistent *persist__current(struct sm_actor *self)
{
	return current && current->self == self ? current : NULL;
}

struct persist_call persist__enter(struct persistent *p, enum calling calling)
{
	struct persist_call call = {current, p->calling};
	current = p;
	p->calling = calling;
	return call;
}

void persist__leave(struct persistent *p, struct persist_call call)
{
	current = call.before;
	p->calling = call.calling;
}

enum sm_err persist__signal(struct persistent *p, const struct sm_persist_signal *signal)
{
	struct sm_persist_signal s = *signal;
	if (!p->entity->props.signal)
		return SM_OK;
	if (!s.text)
		s.text = sm_err_text(s.err);
	struct persist_call call = persist__enter(p, CALLING_OTHER);
	enum sm_err err = p->entity->props.signal(p->self, persist__user(p), &s);
	persist__leave(p, call);
	return err;
}

/* ---- the entity ---- */

void persist__entity_unref(struct entity *e)
{
	if (atomic_fetch_sub(&e->refs, 1) != 1)
		return;
	persist__journal_release(e->journal);
	free((char *)(uintptr_t)e->props.id);
	free((char *)(uintptr_t)e->props.snapshot_type);
	free(e);
}

static void entity_ended(void *arg)
{
	persist__entity_unref(arg);
}

static struct entity *entity_new(struct sm_journal *journal, const struct sm_persistent_props *props)
{
	struct entity *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->props = *props;
	e->props.name = NULL;
	e->props.id = strdup(props->id);
	e->props.snapshot_type = strdup(props->snapshot_type ? props->snapshot_type : "");
	struct sm_delivery_options *d = &e->props.delivery;
	d->interval_ms = d->interval_ms ? d->interval_ms : PERSIST_DELIVERY_INTERVAL_MS;
	d->burst_max = d->burst_max ? d->burst_max : PERSIST_DELIVERY_BURST;
	d->unconfirmed_max = d->unconfirmed_max ? d->unconfirmed_max : PERSIST_DELIVERY_UNCONFIRMED;
	d->warn_after = d->warn_after ? d->warn_after : PERSIST_DELIVERY_WARN;
	if (!e->props.snapshots_kept)
		e->props.snapshots_kept = PERSIST_SNAPSHOTS_KEPT_DEFAULT;
	e->journal = journal;
	e->partition = log_partition_of(bytes_str(props->id), journal->partitions);
	atomic_init(&e->refs, 1);
	persist__journal_hold(journal);
	if (e->props.id && e->props.snapshot_type)
		return e;
	persist__entity_unref(e);
	return NULL;
}

/* ---- operations ---- */

static void op_done(struct sm_msg *msg)
{
	struct op *op = (struct op *)msg;
	buf_done(&op->buf);
	buf_done(&op->room.text);
	arena_done(&op->arena);
	persist__entity_unref(op->entity);
	sm_unref(op->actor);
	free(op);
}
const struct sm_msg_type persist__op_type = {"persist", op_done, NULL};

struct op *persist__op_new(struct persistent *p, enum op_kind kind)
{
	struct op *op = calloc(1, sizeof *op);
	if (!op)
		return NULL;
	op->msg.type = &persist__op_type;
	op->kind = kind;
	op->incarnation = p->incarnation;
	op->entity = p->entity;
	atomic_fetch_add(&p->entity->refs, 1);
	op->actor = sm_ref_get(sm_self(p->self));
	buf_init(&op->buf);
	buf_init(&op->room.text);
	arena_init(&op->arena, 0);
	return op;
}

/* The address may be the last thing that holds the message's owner: it is held over the send. */
void persist__op_send(struct op *op)
{
	struct sm_ref *to = sm_ref_get(op->actor);
	if (actor_send_quiet(to, &op->msg))
		sm_msg_free(&op->msg);
	sm_unref(to);
}

enum sm_err persist__op_pool(struct persistent *p, struct op *op, void (*run)(struct sm_work *work))
{
	op->work = (struct sm_work){.run = run};
	enum sm_err err = sm_pool_run(sm_actor_system(p->self), &op->work);
	if (err)
		sm_msg_free(&op->msg);
	return err;
}

static void appended(void *arg, const struct log_append_result *result)
{
	struct op *op = arg;
	op->offset = result->base_offset;
	op->append_ms = result->log_append_time_ms;
	if (result->err)
		(void)sm_fail(&op->error, result->err, "appending to topic %s, partition %d, for %s: %s", op->entity->journal->topic,
			      op->entity->partition, op->entity->props.id, sm_err_text(result->err));
	persist__op_send(op);
}

void persist__op_append(struct op *op)
{
	struct sm_journal *j = op->entity->journal;
	uint8_t *batch = op->buf.data + op->buf.start;
	j->log->ops->append(j->log, j->topic, op->entity->partition, batch, buf_size(&op->buf), LOG_FROM_ZERO, appended, op);
}

/* ---- lives ---- */

/* What fails in init would end the actor at its first start, whatever its supervision: so the work begins with a message. */
static enum sm_err persistent_init(struct sm_actor *self, void *state, void *arg)
{
	struct persistent *p = state;
	struct entity *e = arg;
	p->self = self;
	p->entity = e;
	p->journal = e->journal;
	p->incarnation = atomic_fetch_add(&e->incarnation, 1) + 1;
	buf_init(&p->group.bytes);
	struct op *op = persist__op_new(p, OP_START);
	if (!op)
		return SM_NO_MEMORY;
	persist__op_send(op);
	return SM_OK;
}

static void persistent_done(struct sm_actor *self, void *state)
{
	struct persistent *p = state;
	struct entity *e = p->entity;
	atomic_fetch_add(&e->incarnation, 1); /* what comes back now is nobody's */
	if (p->has_user && e->props.done) {
		struct persist_call call = persist__enter(p, CALLING_OTHER);
		e->props.done(self, persist__user(p));
		persist__leave(p, call);
	}
	if (p->write)
		sm_msg_free(&p->write->msg);
	if (p->command)
		actor_refuse(self, p->command, SM_GONE); /* whether it was written is not known */
	persist__deliveries_done(&p->deliveries);
	buf_done(&p->group.bytes);
}

static enum sm_err start(struct persistent *p)
{
	const struct sm_persistent_props *props = &p->entity->props;
	if (props->init) {
		struct persist_call call = persist__enter(p, CALLING_OTHER);
		enum sm_err err = props->init(p->self, persist__user(p), props->arg);
		persist__leave(p, call);
		if (err) {
			p->phase = PHASE_FAILED;
			p->failed = err;
			return err;
		}
	}
	p->has_user = true;
	return persist__recover(p);
}

/* ---- messages ---- */

static enum sm_err receive_op(struct persistent *p, struct op *op)
{
	if (op->incarnation != p->incarnation || p->phase == PHASE_FAILED)
		return SM_OK;
	p->room = &op->room;
	switch (op->kind) {
	case OP_START: return start(p);
	case OP_LOOK:
	case OP_FENCE:
	case OP_ROW:
	case OP_LOAD:
	case OP_REPLAY: return persist__recovered_op(p, op);
	case OP_WRITE: return persist__written(p, op);
	case OP_SNAPSHOT: return persist__snapshot_saved(p, op);
	}
	return SM_OK;
}

/* What waits is read when there is time for it; an idle time-out while something is under way is none. */
static enum sm_err put_aside(struct persistent *p, struct sm_msg *msg)
{
	if (msg->type == &sm_msg_idle)
		return SM_OK;
	enum sm_err err = sm_stash(p->self);
	if (err == SM_FULL) {
		actor_refuse(p->self, msg, SM_FULL);
		err = SM_OK;
	}
	return err;
}

static bool is_our_timer(const struct sm_msg *msg)
{
	return msg->type == &sm_msg_timer && ((const struct sm_timer_msg *)msg)->timer == PERSIST_TIMER;
}

static enum sm_err persistent_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct persistent *p = state;
	enum sm_err err;
	if (p->phase == PHASE_FAILED && msg->type != &persist__op_type)
		return p->failed;
	if (msg->type == &persist__op_type)
		err = receive_op(p, (struct op *)msg);
	else if (is_our_timer(msg))
		return persist__deliver_again(p);
	else if (p->phase != PHASE_READY)
		return put_aside(p, msg);
	else
		err = persist__command(p, msg);
	if (p->phase == PHASE_READY)
		actor_unstash_first(self);
	return err;
}

static enum sm_directive stale_ends(enum sm_err why)
{
	return why == SM_STALE_EPOCH ? SM_DIRECTIVE_STOP : SM_DIRECTIVE_RESTART;
}

static bool id_ok(const char *id)
{
	return id && id[0] && strlen(id) <= PERSIST_ID_MAX && strcmp(id, "#") != 0 && bytes_are_utf8(bytes_str(id));
}

enum sm_err sm_persist_spawn(struct sm_system *system, struct sm_actor *parent, struct sm_journal *journal,
			     const struct sm_persistent_props *props, struct sm_ref **ret_ref)
{
	if (!id_ok(props->id) || !props->command || !props->event || !props->save != !props->load ||
	    props->snapshots_kept > PERSIST_SNAPSHOTS_KEPT_MAX || props->recovery.to_sequence < 0 ||
	    (props->snapshot_type && strlen(props->snapshot_type) > PERSIST_ID_MAX))
		return SM_INVALID;
	struct entity *e = entity_new(journal, props);
	if (!e)
		return SM_NO_MEMORY;
	struct sm_props actor = {.name = props->name,
				 .state_size = STATE_SIZE + props->state_size,
				 .init = persistent_init,
				 .receive = persistent_receive,
				 .done = persistent_done,
				 .arg = e,
				 .arg_done = entity_ended,
				 .mailbox_max = props->mailbox_max,
				 .dispatcher = props->dispatcher,
				 .supervision = props->supervision,
				 .stash_max = props->stash_max};
	if (!actor.supervision.decide && actor.supervision.restarts_max)
		actor.supervision.decide = stale_ends;
	enum sm_err err = sm_spawn(system, parent, &actor, ret_ref);
	if (err)
		persist__entity_unref(e);
	return err;
}

int64_t sm_sequence(struct sm_actor *self)
{
	struct persistent *p = persist__current(self);
	assert(p);
	return p->sequence;
}

const char *sm_persistence_id(struct sm_actor *self)
{
	struct persistent *p = persist__current(self);
	assert(p);
	return p->entity->props.id;
}
