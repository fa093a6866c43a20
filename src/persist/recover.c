/* Recovery: the claim of the id, then its snapshot, then its events.
 *
 * look: the newest writer number that the store knows of, and one more is ours.
 *
 * fence: a record with this number, as the first of a new epoch of the id's producer. What older epochs append behind it, the log refuses.
 * A number that has been taken meanwhile is refused here, and a greater one is tried.
 *
 * row: number and fence to the store, before anything is done with the id.
 *
 * load: where the id's records begin, and its newest snapshot. Who finds another one's number or fence here has lost a race.
 *
 * replay: from the snapshot (or the first record) up to the fence. Behind it there can be nothing of others.
 *
 * The topic's order decides: behind a fence, events with a lower number are left out. So the state is the same whoever replays, also on an
 * engine that does not know of fences (a real Kafka). */
#include "base/logging.h"
#include "persist/persist_internal.h"
#include <stdlib.h>

enum sm_err persist__recovery_failed(struct persistent *p, const struct sm_error *error)
{
	LOG_WARN("persist", "%s: recovery of %s failed: %s", sm_actor_path(p->self), p->entity->props.id, error->text);
	p->phase = PHASE_FAILED;
	p->failed = error->code;
	struct sm_persist_signal signal = {
		.kind = SM_PERSIST_RECOVERY_FAILED, .err = error->code, .text = error->text, .sequence = p->sequence};
	(void)!persist__signal(p, &signal);
	return error->code;
}

static enum sm_err failed(struct persistent *p, enum sm_err err, const char *what)
{
	struct sm_error error;
	(void)sm_fail(&error, err, "%s: %s", what, sm_err_text(err));
	return persist__recovery_failed(p, &error);
}

/* ---- the claim ---- */

static enum sm_err on_pool(struct persistent *p, enum op_kind kind, void (*run)(struct sm_work *work), int64_t from, int64_t to)
{
	struct op *op = persist__op_new(p, kind);
	if (!op)
		return failed(p, SM_NO_MEMORY, "a recovery");
	op->offset = from;
	op->end = to;
	if (kind == OP_REPLAY)
		op->number = p->writer.number;
	if (kind == OP_LOAD)
		op->newest_allowed = p->entity->props.recovery.to_sequence;
	enum sm_err err = persist__op_pool(p, op, run);
	return err ? failed(p, err, "the pool of the actor system") : SM_OK;
}

enum sm_err persist__recover(struct persistent *p)
{
	p->phase = PHASE_RECOVERING;
	p->lost = p->fence_seen = false;
	p->group.have = 0;
	buf_clear(&p->group.bytes);
	p->sequence_before = p->sequence;
	if (p->entity->props.recovery.to_sequence)
		return on_pool(p, OP_LOAD, persist__load, 0, 0);
	return on_pool(p, OP_LOOK, persist__look, 0, 0);
}

static enum sm_err claim_again(struct persistent *p, uint64_t floor)
{
	p->claims++;
	p->floor = floor;
	if (p->claims > PERSIST_CLAIMS_MAX)
		return failed(p, SM_BUSY, "all numbers that were tried belong to other incarnations of this id");
	return persist__recover(p);
}

static enum sm_err send_fence(struct persistent *p, const struct writer *writer, bool final)
{
	struct op *op = persist__op_new(p, OP_FENCE);
	if (!op)
		return failed(p, SM_NO_MEMORY, "a recovery");
	op->final = final;
	random_bytes(p->token, sizeof p->token);
	enum sm_err err = persist__batch_fence(&op->buf, p->entity->props.id, writer, p->token);
	if (err) {
		sm_msg_free(&op->msg);
		return failed(p, err, "a recovery");
	}
	persist__op_append(op);
	return SM_OK;
}

static enum sm_err claim(struct persistent *p, uint64_t number)
{
	struct writer before;
	persist__writer_of(p->entity->props.id, number, &p->writer);
	if (number < NUMBERS_A_PRODUCER)
		return send_fence(p, &p->writer, false);
	persist__writer_before(p->entity->props.id, number, &before);
	return send_fence(p, &before, true);
}

static enum sm_err looked(struct persistent *p, const struct op *op)
{
	p->row_known = op->found;
	return claim(p, op->number + 1 > p->floor ? op->number + 1 : p->floor);
}

static enum sm_err fenced(struct persistent *p, const struct op *op)
{
	enum sm_err err = op->error.code;
	bool taken = err == SM_STALE_EPOCH || err == SM_SEQUENCE_GAP;
	if (err && !taken)
		return persist__recovery_failed(p, &op->error);
	if (op->final)
		return send_fence(p, &p->writer, false);
	if (taken) {
		/* The table may be far behind what the log knows: steps grow. */
		uint64_t step = UINT64_C(1) << (p->claims / 2 < 14 ? p->claims / 2 : 14);
		p->claims++;
		if (p->claims > PERSIST_CLAIMS_MAX)
			return failed(p, SM_BUSY, "all numbers that were tried belong to other incarnations of this id");
		return claim(p, p->writer.number + step);
	}
	p->writer.fence = op->offset;
	struct op *row = persist__op_new(p, OP_ROW);
	err = row ? persist__row_batch(row, p->writer.number, p->writer.fence, !p->row_known) : SM_NO_MEMORY;
	if (err) {
		sm_msg_free(row ? &row->msg : NULL);
		return failed(p, err, "a recovery");
	}
	persist__op_apply(row);
	return SM_OK;
}

/* ---- where the replay begins ---- */

static enum sm_err recovered(struct persistent *p);

static enum sm_err replay(struct persistent *p, int64_t from, int64_t to)
{
	return on_pool(p, OP_REPLAY, persist__replay, from, to);
}

static enum sm_err begin_replay(struct persistent *p, const struct op *op)
{
	bool past = p->entity->props.recovery.to_sequence > 0;
	p->kept_count = op->kept_count;
	memcpy(p->kept, op->kept, sizeof p->kept);
	if (!p->has_state) {
		p->position = op->first;
		if (op->snapshot.sequence && !p->entity->props.recovery.no_snapshot && p->entity->props.load) {
			enum sm_err err = persist__snapshot_load(p, op);
			if (err)
				return err;
		}
		p->has_state = true;
	}
	if (past)
		p->writer.number = op->number; /* whose producers are looked for */
	if (past && p->sequence == p->entity->props.recovery.to_sequence)
		return recovered(p);
	if (!past && p->position > p->writer.fence)
		return failed(
			p, SM_CORRUPT,
			"the store knows of later offsets than the log has: the log has lost its end (log.durability = interval), or the "
			"topic was made anew; restore both, or take another topic");
	return replay(p, p->position, past ? -1 : p->writer.fence + 1);
}

static enum sm_err loaded(struct persistent *p, const struct op *op)
{
	if (p->entity->props.recovery.to_sequence)
		return op->found ? begin_replay(p, op) : recovered(p);
	if (!op->found || op->number < p->writer.number)
		return failed(p, SM_CORRUPT,
			      "what was just written to the table \"persistence\" is not there; was a row of this id deleted by hand?");
	if (op->number > p->writer.number)
		return failed(p, SM_STALE_EPOCH, "another incarnation of this id has come between");
	if (op->fence != p->writer.fence || op->snapshot.wrote >= p->writer.number)
		return claim_again(p, (op->snapshot.wrote > p->writer.number ? op->snapshot.wrote : p->writer.number) + 1);
	return begin_replay(p, op);
}

/* ---- replay ---- */

static enum sm_err record_failed(struct persistent *p, const struct record *record, enum sm_err err, const char *what)
{
	struct sm_error error;
	(void)sm_fail(&error, err, "topic %s, partition %d, offset %lld: %s", p->journal->topic, p->entity->partition,
		      (long long)record->offset, what);
	return persist__recovery_failed(p, &error);
}

static void drop_group(struct persistent *p)
{
	p->dropped += p->group.have;
	p->group.have = 0;
	buf_clear(&p->group.bytes);
}

static void heed_writer(struct persistent *p, uint64_t number)
{
	if (number <= p->filter)
		return;
	p->filter = number;
	drop_group(p);
}

static void take_fence(struct persistent *p, const struct record *record, const struct record_mark *mark)
{
	heed_writer(p, mark->writer);
	if (mark->writer != p->writer.number || p->entity->props.recovery.to_sequence)
		return;
	if (record->offset == p->writer.fence && memcmp(mark->token, p->token, sizeof p->token) == 0)
		p->fence_seen = true;
	else
		p->lost = true;
}

static enum sm_err apply(struct persistent *p, const struct record *record, const struct record_mark *mark)
{
	int64_t to = p->entity->props.recovery.to_sequence;
	if (to && mark->sequence > to) {
		p->past = true;
		return SM_OK;
	}
	enum sm_err err = persist__apply(p, record, mark, true);
	p->replayed += !err;
	p->past = !err && to && mark->sequence == to;
	return err ? record_failed(p, record, err, "the event cannot be applied (the event handler's error)") : SM_OK;
}

static enum sm_err apply_group(struct persistent *p)
{
	struct byte_reader in = byte_reader(buf_bytes(&p->group.bytes));
	struct record record;
	enum sm_err err = SM_OK;
	while (!err && persist__group_next(&in, &record)) {
		struct record_mark mark;
		if (!(err = persist__record_mark(&record, &mark)))
			err = apply(p, &record, &mark);
	}
	p->group.have = 0;
	buf_clear(&p->group.bytes);
	return err;
}

static enum sm_err take_event(struct persistent *p, const struct record *record, const struct record_mark *mark)
{
	if (mark->writer < p->filter) {
		p->dropped++;
		return SM_OK;
	}
	heed_writer(p, mark->writer);
	if (mark->index == 0 || mark->group != p->group.number)
		drop_group(p);
	p->group.number = mark->group;
	int64_t expected = p->sequence + p->group.have + 1;
	if (mark->sequence < expected) { /* its answer was lost, and the engine has sent it again */
		p->dropped++;
		return SM_OK;
	}
	if (mark->index != p->group.have) { /* its head is not there: it was never acknowledged */
		drop_group(p);
		p->dropped++;
		return SM_OK;
	}
	if (mark->sequence > expected)
		return record_failed(p, record, SM_CORRUPT, "events before this one are missing; a backup of the topic may have them");
	if (mark->count == 1)
		return apply(p, record, mark);
	persist__group_add(&p->group, record);
	if (p->group.bytes.failed)
		return record_failed(p, record, SM_NO_MEMORY, "no memory for a group of events");
	return p->group.have == mark->count ? apply_group(p) : SM_OK;
}

static enum sm_err take_record(struct persistent *p, const struct record *record)
{
	struct record_mark mark;
	if (record->key_null || !bytes_equal(record->key, bytes_str(p->entity->props.id)) || record->offset < p->position || p->past)
		return SM_OK;
	if (!p->entity->props.recovery.to_sequence && record->offset > p->writer.fence)
		return SM_OK;
	enum sm_err err = persist__record_mark(record, &mark);
	if (err)
		return record_failed(p, record, err, "a record of this id has a header that is none of ours");
	if (mark.kind == RECORD_FENCE)
		take_fence(p, record, &mark);
	return mark.kind == RECORD_EVENT ? take_event(p, record, &mark) : SM_OK;
}

static enum sm_err take_piece(struct persistent *p, const struct op *op)
{
	struct bytes data = buf_bytes(&op->buf);
	enum sm_err err = SM_OK;
	while (data.size && !err) {
		struct batch_reader reader;
		struct record record = {.offset = -1};
		if ((err = batch_reader_init(&reader, data)))
			return record_failed(p, &record, err, "a record batch cannot be read");
		while (p->phase == PHASE_RECOVERING && !(err = batch_next(&reader, &record)) && !(err = take_record(p, &record)))
			;
		data = bytes_of(data.data + reader.info.size, data.size - reader.info.size);
		batch_reader_done(&reader);
		if (err != SM_END && p->phase != PHASE_FAILED)
			return record_failed(p, &record, err, "a record batch cannot be read");
		err = p->phase == PHASE_FAILED ? p->failed : SM_OK;
	}
	return err;
}

static enum sm_err recovered(struct persistent *p)
{
	bool again = p->was_ready;
	drop_group(p);
	if (again && p->sequence != p->sequence_before)
		return failed(p, SM_STALE_EPOCH, "another incarnation of this id has written events");
	p->phase = PHASE_READY;
	p->was_ready = true;
	p->claims = 0;
	if (!p->entity->props.recovery.to_sequence)
		p->position = p->writer.fence + 1;
	if (again) {
		if (p->command)
			actor_unread(p->self, p->command);
		p->command = NULL;
		return SM_OK;
	}
	struct sm_persist_signal signal = {
		.kind = SM_PERSIST_RECOVERED, .sequence = p->sequence, .events = p->replayed, .dropped = p->dropped};
	/* Supervision may answer with SM_DIRECTIVE_RESUME: what is due is done all the same. */
	enum sm_err told = persist__signal(p, &signal), err = SM_OK;
	if (!p->entity->props.recovery.to_sequence)
		err = persist__deliver_fresh(p);
	if (p->scanned > PERSIST_SCANNED_SNAPSHOT && p->entity->props.snapshot_every)
		p->snapshot_wanted = true;
	if (!err)
		err = persist__snapshot_if_due(p);
	return told ? told : err;
}

static enum sm_err replayed(struct persistent *p, const struct op *op)
{
	enum sm_err err = take_piece(p, op);
	if (err)
		return err;
	p->scanned += op->scanned;
	if (p->lost)
		return claim_again(p, p->writer.number + 1);
	if (!p->entity->props.recovery.to_sequence && p->filter > p->writer.number) /* the table is older than the topic */
		return claim_again(p, p->filter + 1);
	if (op->offset < op->end && !p->past)
		return replay(p, op->offset, op->end);
	if (!p->fence_seen && !p->entity->props.recovery.to_sequence)
		return failed(p, SM_CORRUPT, "the record that begins this incarnation is not where the log has put it");
	return recovered(p);
}

enum sm_err persist__recovered_op(struct persistent *p, struct op *op)
{
	if (op->kind == OP_FENCE)
		return fenced(p, op);
	if (op->error.code)
		return persist__recovery_failed(p, &op->error);
	switch (op->kind) {
	case OP_LOOK: return looked(p, op);
	case OP_ROW: return on_pool(p, OP_LOAD, persist__load, 0, 0);
	case OP_LOAD: return loaded(p, op);
	case OP_REPLAY: return replayed(p, op);
	default: return SM_OK;
	}
}
