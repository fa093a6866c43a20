/* Commands, their writes, and what follows when a write has come back. */
#include "base/logging.h"
#include "persist/persist_internal.h"
#include <stdlib.h>

enum sm_err sm_persist(struct sm_actor *self, const struct sm_persist_event *events, uint32_t count, sm_persisted_fn effect)
{
	struct persistent *p = persist__current(self);
	if (!p || p->calling != CALLING_COMMAND)
		return SM_INVALID;
	if (p->write)
		return SM_BUSY;
	if (p->entity->props.recovery.to_sequence)
		return SM_DENIED;
	struct op *op = persist__op_new(p, OP_WRITE);
	enum sm_err err = op ? persist__batch_events(&op->buf, p->entity->props.id, &p->writer, p->sequence + 1, events, count)
			     : SM_NO_MEMORY;
	if (err) {
		sm_msg_free(op ? &op->msg : NULL);
		return err;
	}
	op->number = count;
	p->writer.group++;
	p->write = op;
	p->effect = effect;
	return SM_OK;
}

enum sm_err persist__command(struct persistent *p, struct sm_msg *msg)
{
	struct persist_call call = persist__enter(p, CALLING_COMMAND);
	enum sm_err err = p->entity->props.command(p->self, persist__user(p), msg);
	persist__leave(p, call);
	struct op *op = p->write;
	p->write = NULL;
	if (!op)
		return err ? err : persist__snapshot_if_due(p);
	if (err) {
		sm_msg_free(&op->msg);
		return err;
	}
	if (msg->type->done) {
		sm_msg_keep(p->self);
		p->command = msg;
	}
	p->phase = PHASE_WRITING;
	persist__op_append(op);
	return SM_OK;
}

/* ---- the answer ---- */

static void command_done(struct persistent *p)
{
	sm_msg_free(p->command);
	p->command = NULL;
}

/* It was not carried out: the user's signal has answered it, or nobody does. */
static void command_failed(struct persistent *p, enum sm_err why)
{
	if (p->command && !p->entity->props.signal)
		actor_refuse(p->self, p->command, why);
	else
		sm_msg_free(p->command);
	p->command = NULL;
}

static enum sm_err rejected(struct persistent *p, const struct sm_error *error)
{
	struct sm_persist_signal signal = {
		.kind = SM_PERSIST_REJECTED, .err = error->code, .text = error->text, .sequence = p->sequence, .command = p->command};
	LOG_WARN("persist", "%s: a command is rejected: %s", sm_actor_path(p->self), error->text);
	p->phase = PHASE_READY;
	enum sm_err err = persist__signal(p, &signal);
	command_failed(p, error->code);
	return err;
}

static enum sm_err write_failed(struct persistent *p, const struct sm_error *error)
{
	LOG_WARN("persist", "%s: %s", sm_actor_path(p->self), error->text);
	p->phase = PHASE_FAILED;
	p->failed = error->code;
	struct sm_persist_signal signal = {
		.kind = SM_PERSIST_WRITE_FAILED, .err = error->code, .text = error->text, .sequence = p->sequence, .command = p->command};
	(void)!persist__signal(p, &signal);
	command_failed(p, error->code);
	return error->code;
}

static enum sm_err not_written(struct persistent *p, const struct sm_error *error)
{
	switch (error->code) {
	case SM_FULL:
	case SM_NO_SPACE:
	case SM_TOO_LARGE:
	case SM_INVALID: return rejected(p, error);
	case SM_SEQUENCE_GAP:
		/* The log has forgotten this producer: it was silent for a day, or there are too many. Nobody knows what came between, so
		 * the id is claimed again, and the command decided again. */
		if (p->command)
			return persist__recover(p);
		break;
	default: break;
	}
	return write_failed(p, error);
}

enum sm_err persist__apply(struct persistent *p, const struct record *record, const struct record_mark *mark, bool replayed)
{
	enum sm_err err = persist__record_event(record, mark, p->room);
	if (err)
		return err;
	p->room->event.replayed = replayed;
	struct persist_call call = persist__enter(p, CALLING_EVENT);
	err = p->entity->props.event(p->self, persist__user(p), &p->room->event);
	persist__leave(p, call);
	if (!err) {
		p->sequence = mark->sequence;
		p->position = record->offset + 1;
	}
	return err;
}

/* The bytes that were written are read as a recovery would read them. */
static enum sm_err apply_all(struct persistent *p, const struct op *op)
{
	struct batch_reader reader;
	struct record record;
	struct record_mark mark;
	enum sm_err err = batch_reader_init(&reader, buf_bytes(&op->buf));
	if (err)
		return err;
	for (int64_t offset = op->offset; !err && !(err = batch_next(&reader, &record)); offset++) {
		record.offset = offset; /* not every engine has set it */
		if (op->append_ms >= 0)
			record.timestamp_ms = op->append_ms; /* as a recovery reads it */
		if (!(err = persist__record_mark(&record, &mark)))
			err = persist__apply(p, &record, &mark, false);
	}
	batch_reader_done(&reader);
	return err == SM_END ? SM_OK : err;
}

static enum sm_err run_effect(struct persistent *p)
{
	enum sm_err err = SM_OK;
	if (p->effect) {
		struct persist_call call = persist__enter(p, CALLING_OTHER);
		err = p->effect(p->self, persist__user(p), p->command);
		persist__leave(p, call);
	}
	p->effect = NULL;
	command_done(p);
	return err;
}

enum sm_err persist__written(struct persistent *p, struct op *op)
{
	struct sm_error error;
	if (op->error.code)
		return not_written(p, &op->error);
	if (op->offset < p->position) {
		(void)sm_fail(&error, SM_STALE_EPOCH,
			      "what %s wrote is in topic %s already, at offset %lld: another incarnation has its number",
			      p->entity->props.id, p->journal->topic, (long long)op->offset);
		return write_failed(p, &error);
	}
	p->writer.sequence = (int32_t)(((uint32_t)p->writer.sequence + (uint32_t)op->number) & INT32_MAX);
	enum sm_err err = apply_all(p, op);
	if (err) {
		(void)sm_fail(&error, err, "an event of %s that is on disk, %lld, cannot be applied: %s", p->entity->props.id,
			      (long long)p->sequence + 1, sm_err_text(err));
		return write_failed(p, &error);
	}
	p->phase = PHASE_READY;
	/* Supervision may answer with SM_DIRECTIVE_RESUME: what is due is done all the same. */
	enum sm_err effect = run_effect(p);
	if (!(err = persist__deliver_fresh(p)))
		err = persist__snapshot_if_due(p);
	return effect ? effect : err;
}
