/* Snapshots: when, what is in them, and which older ones go. The bytes:
 *  deliveries (deliver.c), then the user's bytes */
#include "base/logging.h"
#include "persist/persist_internal.h"
#include <stdlib.h>

struct sm_snapshot_out {
	struct buf *buf;
};

void sm_snapshot_write(struct sm_snapshot_out *out, const void *data, size_t size)
{
	buf_append(out->buf, data, size);
}

enum sm_err sm_snapshot(struct sm_actor *self)
{
	struct persistent *p = persist__current(self);
	if (!p)
		return SM_INVALID;
	if (!p->entity->props.save)
		return SM_UNSUPPORTED;
	if (p->entity->props.recovery.to_sequence)
		return SM_DENIED;
	p->snapshot_wanted = true;
	return SM_OK;
}

/* ---- taking one ---- */

static enum sm_err not_saved(struct persistent *p, int64_t sequence, enum sm_err code, const char *text)
{
	LOG_WARN("persist", "%s: snapshot %lld of %s: %s", sm_actor_path(p->self), (long long)sequence, p->entity->props.id, text);
	struct sm_persist_signal signal = {.kind = SM_PERSIST_SNAPSHOT_FAILED, .err = code, .text = text, .sequence = sequence};
	return persist__signal(p, &signal);
}

/* Of those that are there with the new one, the newest stay. Returns the oldest of them. */
static int64_t choose(const struct persistent *p, struct op *op)
{
	op->kept[op->kept_count++] = p->sequence;
	for (uint32_t i = 0; i < p->kept_count && op->kept_count < p->entity->props.snapshots_kept; i++)
		if (p->kept[i] < p->sequence)
			op->kept[op->kept_count++] = p->kept[i];
	return op->kept[op->kept_count - 1];
}

static enum sm_err fill(struct persistent *p, struct op *op)
{
	const struct sm_persistent_props *props = &p->entity->props;
	struct sm_snapshot_out out = {&op->buf};
	persist__deliveries_put(&op->buf, &p->deliveries);
	struct persist_call call = persist__enter(p, CALLING_OTHER);
	enum sm_err err = props->save(p->self, persist__user(p), &out);
	persist__leave(p, call);
	if (err)
		return err;
	if (op->buf.failed)
		return SM_NO_MEMORY;
	if (buf_size(&op->buf) > PERSIST_SNAPSHOT_BYTES_MAX)
		return SM_TOO_LARGE;
	return persist__snapshot_batch(op, p->writer.number, p->position, props->snapshot_type, choose(p, op));
}

static bool is_due(const struct persistent *p)
{
	const struct sm_persistent_props *props = &p->entity->props;
	if (!props->save || props->recovery.to_sequence || p->snapshot_saving || p->phase != PHASE_READY || !p->sequence)
		return false;
	return p->snapshot_wanted || (props->snapshot_every && p->sequence - p->snapshot_sequence >= props->snapshot_every);
}

enum sm_err persist__snapshot_if_due(struct persistent *p)
{
	if (!is_due(p))
		return SM_OK;
	struct op *op = persist__op_new(p, OP_SNAPSHOT);
	p->snapshot_wanted = false;
	p->snapshot_sequence = p->sequence; /* one that fails is not tried at each event again */
	if (!op)
		return not_saved(p, p->sequence, SM_NO_MEMORY, sm_err_text(SM_NO_MEMORY));
	op->sequence = p->sequence;
	enum sm_err err = fill(p, op);
	if (err) {
		sm_msg_free(&op->msg);
		return not_saved(p, p->sequence, err, sm_err_text(err));
	}
	p->snapshot_saving = true;
	persist__op_apply(op);
	return SM_OK;
}

enum sm_err persist__snapshot_saved(struct persistent *p, struct op *op)
{
	enum sm_err err;
	p->snapshot_saving = false;
	if (op->error.code) {
		err = not_saved(p, op->sequence, op->error.code, op->error.text);
	} else {
		p->kept_count = op->kept_count;
		memcpy(p->kept, op->kept, sizeof p->kept);
		struct sm_persist_signal signal = {.kind = SM_PERSIST_SNAPSHOT_SAVED, .sequence = op->sequence};
		err = persist__signal(p, &signal);
	}
	return err ? err : persist__snapshot_if_due(p);
}

/* ---- using one ---- */

enum sm_err persist__snapshot_load(struct persistent *p, const struct op *op)
{
	struct sm_error error;
	struct bytes rest;
	enum sm_err err = persist__deliveries_take(buf_bytes(&op->buf), &p->deliveries, &rest);
	if (!err && p->deliveries.count && !p->entity->props.deliver && !p->entity->props.recovery.to_sequence)
		err = SM_UNSUPPORTED; /* what is not confirmed yet could not be sent */
	if (!err) {
		struct persist_call call = persist__enter(p, CALLING_OTHER);
		err = p->entity->props.load(p->self, persist__user(p), (struct sm_bytes){rest.data, rest.size}, op->snapshot.type);
		persist__leave(p, call);
	}
	if (err) {
		(void)sm_fail(
			&error, err,
			"snapshot %lld of %s, of type \"%s\", cannot be used: %s; recover from the events alone (recovery.no_snapshot)",
			(long long)op->snapshot.sequence, p->entity->props.id, op->snapshot.type, sm_err_text(err));
		return persist__recovery_failed(p, &error);
	}
	p->sequence = p->snapshot_sequence = op->snapshot.sequence;
	p->position = op->snapshot.position;
	p->filter = op->snapshot.wrote;
	return SM_OK;
}
