#include "kafka/txn_internal.h"
#include "base/logging.h"
#include <stdlib.h>

enum { TIMER_TICK = 1, TIMER_EXPIRE };
#define EXPIRE_MS 3600000 /* between two looks for ids that nobody uses */
#define EPOCH_LAST 32766  /* the one above is for markers and fencing only */

struct kafka_txn_lease {
	struct sm_msg msg; /* first */
	struct kafka_txn *txn;
};

static void step_is_dropped(struct sm_msg *msg);
static void lease_is_dropped(struct sm_msg *msg);
static const struct sm_msg_type start_type = {"transactions start", NULL};
static const struct sm_msg_type step_type = {"transaction step", step_is_dropped};
static const struct sm_msg_type lease_type = {"transaction lease", lease_is_dropped};

static void handle(struct kafka_txns *c, struct kafka_request *r);
static void handle_now(struct kafka_txns *c, struct kafka_txn *t, struct kafka_request *r);

/* ---- life ---- */

struct kafka_txn *txn__new(struct kafka_txns *c, const char *id, size_t size)
{
	struct kafka_txn *t = calloc(1, sizeof *t);
	if (!t || !(t->id = strndup(id, size)) || map_put(&c->by_id, bytes_of(id, size), t, NULL)) {
		free(t ? t->id : NULL);
		free(t);
		return NULL;
	}
	t->all = c;
	t->is = (struct txn_values){.producer_id = -1, .previous_producer_id = -1, .next_producer_id = -1, .epoch = -1, .last_epoch = -1};
	t->last = &t->first;
	buf_init(&t->record);
	return t;
}

static void txn_free(struct kafka_txn *t)
{
	txn__parts_clear(&t->parts);
	txn__parts_clear(&t->adding);
	buf_done(&t->record);
	free(t->id);
	free(t);
}

void txn__remove(struct kafka_txn *t)
{
	map_remove(&t->all->by_id, bytes_str(t->id));
	txn_free(t);
}

static void unref(struct kafka_txns *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	size_t pos = 0;
	struct bytes id;
	void *t;
	while (map_next(&c->by_id, &pos, &id, &t))
		txn_free(t);
	map_done(&c->by_id);
	sm_unref(c->ref);
	atomic_fetch_sub(&c->server->users, 1);
	free(c);
}

static void step_is_dropped(struct sm_msg *msg)
{
	unref(((struct txn_step *)msg)->txn->all);
}

static void lease_is_dropped(struct sm_msg *msg)
{
	struct kafka_txn_lease *lease = (struct kafka_txn_lease *)msg;
	unref(lease->txn->all);
	free(lease);
}

static int64_t now_ms(const struct kafka_txns *c)
{
	return clock_wall_ms(c->server->clock);
}

/* ---- answers ---- */

static void answer(struct kafka_request *r, int16_t error)
{
	r->txn.error = error;
	kafka__resume(r);
}

static void answer_producer(struct kafka_request *r, int64_t producer_id, int16_t epoch)
{
	r->txn.producer_id = producer_id;
	r->txn.epoch = epoch;
	answer(r, KAFKA_NONE);
}

/* What a client is told when the log cannot take a record: it asks again. */
static int16_t write_error(enum sm_err err)
{
	return err == SM_TOO_LARGE ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

/* ---- one step ---- */

static void step_begin(struct kafka_txn *t, void (*then)(struct kafka_txn *t))
{
	t->busy = true;
	t->step = (struct txn_step){.msg = {.type = &step_type}, .txn = t, .then = then};
	atomic_fetch_add(&t->all->refs, 1);
}

/* Thread: any. */
static void step_end(struct kafka_txn *t, enum sm_err err)
{
	struct kafka_txns *c = t->all;
	t->step.err = err;
	if (sm_send_reply(c->ref, &t->step.msg))
		unref(c);
}

static void record_is_appended(void *arg, const struct log_append_result *result)
{
	step_end(arg, result->err);
}

static void record_append(struct kafka_txn *t)
{
	struct sm_log *log = t->all->server->log;
	log->ops->append(log, TXN_TOPIC, 0, t->record.data + t->record.start, buf_size(&t->record), 0, record_is_appended, t);
}

static void topic_is_made(void *arg, const struct sm_error *error)
{
	if (error && error->code != SM_EXISTS)
		step_end(arg, error->code);
	else
		record_append(arg);
}

/* Write t->next (or that the id is forgotten); then follows with t->step.err. */
static void store(struct kafka_txn *t, bool forget, void (*then)(struct kafka_txn *t))
{
	struct kafka_txns *c = t->all;
	step_begin(t, then);
	buf_clear(&t->record);
	enum sm_err err = txn__record(t, forget, now_ms(c), &t->record);
	if (err) {
		step_end(t, err);
	} else if (c->topic_made) {
		record_append(t);
	} else {
		static const struct log_config compact = {"cleanup.policy", "compact"};
		const struct log_topic_spec spec = {.name = TXN_TOPIC,
						    .partitions = KAFKA_TXN_PARTITIONS,
						    .replication_factor = 1,
						    .configs = &compact,
						    .config_count = 1,
						    .internal = true};
		c->server->log->ops->topic_create(c->server->log, &spec, topic_is_made, t);
	}
}

static void id_is_given(void *arg, enum sm_err err, int64_t producer_id, int16_t epoch)
{
	struct kafka_txn *t = arg;
	t->step.producer_id = producer_id;
	step_end(t, err);
}

static void take_id(struct kafka_txn *t, void (*then)(struct kafka_txn *t))
{
	struct sm_log *log = t->all->server->log;
	step_begin(t, then);
	log->ops->producer_id(log, id_is_given, t);
}

/* What it was busy with is over. */
static void go_on(struct kafka_txn *t)
{
	t->busy = false;
	t->request = NULL;
	while (t->first && !t->busy) {
		struct kafka_request *r = t->first;
		if (!(t->first = r->txn.next))
			t->last = &t->first;
		handle_now(t->all, t, r);
	}
}

/* The id is not known (any more): what waits for it begins anew. */
static void forget(struct kafka_txn *t)
{
	struct kafka_txns *c = t->all;
	struct kafka_request *waiting = t->first;
	txn__remove(t);
	while (waiting) {
		struct kafka_request *r = waiting;
		waiting = r->txn.next;
		handle(c, r);
	}
}

static void later(struct kafka_txn *t, void (*again)(struct kafka_txn *t))
{
	t->step.then = again;
	t->retry = true;
	t->all->open++;
}

/* ---- the end of a transaction ---- */

static void is_complete(struct kafka_txn *t);
static void markers_are_written(struct kafka_txn *t);

static void write_complete(struct kafka_txn *t)
{
	t->next = t->is;
	t->next.state = t->is.state == TXN_PREPARE_COMMIT ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT;
	t->next.updated_ms = now_ms(t->all);
	if (t->is.next_producer_id >= 0) {
		t->next.previous_producer_id = t->is.producer_id;
		t->next.producer_id = t->is.next_producer_id;
		t->next.next_producer_id = -1;
		t->next.epoch = 0;
	}
	store(t, false, is_complete);
}

static void is_complete(struct kafka_txn *t)
{
	if (t->step.err) { /* until it can be written; the markers are there */
		later(t, write_complete);
		return;
	}
	t->is = t->next;
	txn__parts_clear(&t->parts);
	struct kafka_request *r = t->request; /* one that had to wait for this end */
	t->busy = false;
	t->request = NULL;
	if (r)
		handle_now(t->all, t, r);
	if (!t->busy)
		go_on(t);
}

static void marker_is_written(void *arg, const struct log_append_result *result)
{
	struct txn_part *p = arg;
	p->err = result->err;
	if (atomic_fetch_sub(&p->txn->markers_left, 1) == 1)
		step_end(p->txn, SM_OK);
}

static void write_markers(struct kafka_txn *t)
{
	struct sm_log *log = t->all->server->log;
	const struct log_txn_marker marker = {
		.producer_id = t->is.producer_id, .producer_epoch = t->is.epoch, .commit = t->is.state == TXN_PREPARE_COMMIT};
	step_begin(t, markers_are_written);
	atomic_store(&t->markers_left, t->parts.count + 1);
	for (uint32_t i = 0; i < t->parts.count; i++) {
		struct txn_part *p = &t->parts.items[i];
		p->txn = t;
		if (p->marked)
			atomic_fetch_sub(&t->markers_left, 1);
		else
			log->ops->txn_end(log, p->topic, p->partition, &marker, marker_is_written, p);
	}
	if (atomic_fetch_sub(&t->markers_left, 1) == 1)
		step_end(t, SM_OK);
}

/* A partition that has gone needs none; one that knows a newer epoch has ended the transaction already. */
static bool marker_is_there(enum sm_err err)
{
	return !err || err == SM_NOT_FOUND || err == SM_STALE_EPOCH || err == SM_CONFLICT;
}

static void markers_are_written(struct kafka_txn *t)
{
	bool all = true;
	for (uint32_t i = 0; i < t->parts.count; i++) {
		struct txn_part *p = &t->parts.items[i];
		p->marked = p->marked || marker_is_there(p->err);
		all = all && p->marked;
	}
	if (all)
		write_complete(t);
	else
		later(t, write_markers);
}

static bool waits_for_end(const struct kafka_request *r)
{
	return r && r->txn.op == TXN_INIT;
}

static void is_decided(struct kafka_txn *t)
{
	struct kafka_request *r = t->request;
	if (t->step.err) {
		int16_t error = write_error(t->step.err);
		go_on(t);
		if (r)
			answer(r, error);
		return;
	}
	t->is = t->next;
	if (r && !waits_for_end(r)) {
		bool other = t->is.next_producer_id >= 0;
		t->request = NULL;
		answer_producer(r, other ? t->is.next_producer_id : t->is.producer_id, other ? 0 : t->is.epoch);
	}
	write_markers(t);
}

static void decide(struct kafka_txn *t)
{
	t->next.updated_ms = now_ms(t->all);
	store(t, false, is_decided);
}

static void next_id_is_given(struct kafka_txn *t)
{
	if (t->step.err) {
		is_decided(t);
		return;
	}
	t->next.next_producer_id = t->step.producer_id;
	decide(t);
}

static void begin_end(struct kafka_txn *t)
{
	bool exhausted = t->next.client_version >= 2 && t->is.epoch >= EPOCH_LAST && t->next.epoch > EPOCH_LAST;
	if (exhausted && t->request && !waits_for_end(t->request))
		take_id(t, next_id_is_given);
	else
		decide(t);
}

/* End the transaction. r: answered when the decision is on disk, or, if it is an InitProducerId, handled when all is done; NULL: nobody.
 * fence: the epoch of the producer that is at work is made old. */
static void end_txn(struct kafka_txn *t, struct kafka_request *r, bool commit, bool fence, int16_t client_version)
{
	t->busy = true;
	t->request = r;
	t->next = t->is;
	t->next.state = commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT;
	t->next.client_version = client_version;
	t->next.last_epoch = fence || client_version < 2 ? -1 : t->is.epoch;
	if ((fence || client_version >= 2) && t->next.epoch <= EPOCH_LAST)
		t->next.epoch++;
	if (t->leases)
		t->free_of_leases = begin_end;
	else
		begin_end(t);
}

/* ---- InitProducerId ---- */

static void init_is_stored(struct kafka_txn *t)
{
	struct kafka_request *r = t->request;
	enum sm_err err = t->step.err;
	if (!err) {
		t->is = t->next;
		t->stored = true;
		t->all->topic_made = true;
	}
	if (err)
		answer(r, write_error(err));
	else
		answer_producer(r, t->is.producer_id, t->is.epoch);
	if (t->stored)
		go_on(t);
	else
		forget(t);
}

static void init_id_is_given(struct kafka_txn *t)
{
	if (t->step.err) {
		init_is_stored(t);
		return;
	}
	t->next.previous_producer_id = t->is.producer_id;
	t->next.producer_id = t->step.producer_id;
	t->next.epoch = 0;
	store(t, false, init_is_stored);
}

static void init_store(struct kafka_txn *t, struct kafka_request *r)
{
	t->busy = true;
	t->request = r;
	t->next = t->is;
	t->next.state = TXN_EMPTY;
	t->next.timeout_ms = r->txn.timeout_ms;
	t->next.start_ms = -1;
	t->next.updated_ms = now_ms(t->all);
	t->next.last_epoch = r->txn.producer_id >= 0 ? r->txn.epoch : -1;
	if (t->is.producer_id < 0 || t->is.epoch >= EPOCH_LAST) {
		take_id(t, init_id_is_given);
		return;
	}
	t->next.epoch++;
	store(t, false, init_is_stored);
}

/* A producer that names itself wants a newer epoch, and is fenced if somebody else has one. Its last but one: an answer that it lost. */
static bool is_current(const struct kafka_txn *t, const struct kafka_txn_use *u)
{
	bool rotated = u->producer_id == t->is.previous_producer_id && u->epoch >= EPOCH_LAST;
	if (u->producer_id != t->is.producer_id && !rotated)
		return false;
	return (u->epoch == t->is.epoch && !rotated) || (t->is.last_epoch >= 0 && u->epoch == t->is.last_epoch);
}

static void init_producer(struct kafka_txns *c, struct kafka_txn *t, struct kafka_request *r)
{
	const struct kafka_txn_use *u = &r->txn;
	bool named = u->producer_id >= 0;
	if (u->timeout_ms <= 0 || u->timeout_ms > KAFKA_TXN_TIMEOUT_MAX_MS) {
		answer(r, KAFKA_INVALID_TRANSACTION_TIMEOUT);
	} else if (!t) {
		if (c->by_id.count < KAFKA_TXNS_MAX && (t = txn__new(c, u->id, strlen(u->id))))
			init_store(t, r);
		else
			answer(r, KAFKA_COORDINATOR_NOT_AVAILABLE);
	} else if (named && !is_current(t, u)) {
		answer(r, KAFKA_PRODUCER_FENCED);
	} else if (t->is.state == TXN_ONGOING) {
		end_txn(t, r, false, !named, t->is.client_version);
	} else if (named && t->is.last_epoch >= 0 && u->epoch == t->is.last_epoch) {
		answer_producer(r, t->is.producer_id, t->is.epoch);
	} else {
		init_store(t, r);
	}
}

/* ---- partitions of a transaction ---- */

static int16_t producer_error(const struct kafka_txn *t, const struct kafka_txn_use *u)
{
	if (!t || t->is.producer_id != u->producer_id)
		return KAFKA_INVALID_PRODUCER_ID_MAPPING;
	return t->is.epoch == u->epoch ? KAFKA_NONE : KAFKA_PRODUCER_FENCED;
}

static void grant(struct kafka_txn *t, struct kafka_request *r)
{
	struct kafka_txn_use *u = &r->txn;
	if (u->lease) {
		struct kafka_txn_lease *lease = calloc(1, sizeof *lease);
		if (!lease) {
			answer(r, KAFKA_COORDINATOR_NOT_AVAILABLE);
			return;
		}
		lease->msg.type = &lease_type;
		lease->txn = t;
		t->leases++;
		atomic_fetch_add(&t->all->refs, 1);
		u->held = lease;
	}
	answer(r, KAFKA_NONE);
}

void kafka__txn_release(struct kafka_request *r)
{
	struct kafka_txn_lease *lease = r->txn.held;
	r->txn.held = NULL;
	if (lease && sm_send_reply(lease->txn->all->ref, &lease->msg))
		lease_is_dropped(&lease->msg);
}

static void lease_is_back(struct kafka_txn *t)
{
	if (--t->leases || !t->free_of_leases)
		return;
	void (*then)(struct kafka_txn * t) = t->free_of_leases;
	t->free_of_leases = NULL;
	then(t);
}

static void parts_are_stored(struct kafka_txn *t)
{
	struct kafka_request *r = t->request;
	enum sm_err err = t->step.err;
	if (!err) {
		t->is = t->next;
		txn__parts_move(&t->parts, &t->adding);
		t->all->open++;
		grant(t, r);
	} else {
		answer(r, write_error(err));
	}
	txn__parts_clear(&t->adding);
	go_on(t);
}

static enum sm_err collect_missing(struct kafka_txn *t, const struct kafka_txn_use *u)
{
	bool open = t->is.state == TXN_ONGOING;
	for (uint32_t i = 0; i < u->part_count; i++) {
		const struct kafka_txn_part *p = &u->parts[i];
		if ((open && txn__parts_have(&t->parts, p->topic, p->partition)) || txn__parts_have(&t->adding, p->topic, p->partition))
			continue;
		enum sm_err err = txn__parts_add(&t->adding, p->topic, strlen(p->topic), p->partition);
		if (err)
			return err;
	}
	if (t->parts.count + t->adding.count > KAFKA_TXN_PARTS_MAX)
		return SM_INVALID;
	return txn__parts_reserve(&t->parts, t->adding.count);
}

static void add_partitions(struct kafka_txn *t, struct kafka_request *r)
{
	const struct kafka_txn_use *u = &r->txn;
	int16_t error = producer_error(t, u);
	if (!t || error) { /* without a transaction there is an error, too */
		answer(r, error);
		return;
	}
	enum sm_err err = collect_missing(t, u);
	bool none = t->is.state == TXN_ONGOING && !t->adding.count;
	if (!err && !none && !u->verify) {
		t->request = r;
		t->next = t->is;
		if (t->is.state != TXN_ONGOING) {
			t->next.state = TXN_ONGOING;
			t->next.start_ms = now_ms(t->all);
			t->next.client_version = u->client_version;
		}
		t->next.updated_ms = now_ms(t->all);
		store(t, false, parts_are_stored);
		return;
	}
	txn__parts_clear(&t->adding);
	if (err)
		answer(r, err == SM_INVALID ? KAFKA_INVALID_REQUEST : KAFKA_COORDINATOR_NOT_AVAILABLE);
	else if (none)
		grant(t, r);
	else
		answer(r, KAFKA_INVALID_TXN_STATE);
}

/* ---- EndTxn ---- */

/* The answer to its EndTxn was lost: the epoch that it still has is the one before. As in Kafka, one whose transaction was aborted
 * for its time may abort it too, and so go on. */
static bool is_end_again(const struct kafka_txn *t, const struct kafka_txn_use *u)
{
	if (u->client_version < 2 || t->is.client_version < 2)
		return false;
	if (u->producer_id == t->is.producer_id)
		return u->epoch == t->is.epoch - 1;
	return u->producer_id == t->is.previous_producer_id && u->epoch == EPOCH_LAST && t->is.epoch == 0;
}

static void end_producer(struct kafka_txn *t, struct kafka_request *r)
{
	const struct kafka_txn_use *u = &r->txn;
	enum txn_state done = u->commit ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT;
	bool complete = t && (t->is.state == TXN_COMPLETE_COMMIT || t->is.state == TXN_COMPLETE_ABORT);
	int16_t error = producer_error(t, u);
	if (complete && is_end_again(t, u)) {
		if (t->is.state == done)
			answer_producer(r, t->is.producer_id, t->is.epoch);
		else
			answer(r, KAFKA_INVALID_TXN_STATE);
	} else if (!t || error) {
		answer(r, error);
	} else if (t->is.state == TXN_ONGOING || (u->client_version >= 2 && !u->commit)) {
		/* Without a transaction there is nothing to abort, but a newer epoch fences what may still be under way. */
		end_txn(t, r, u->commit, false, u->client_version);
	} else if (u->client_version < 2 && t->is.state == done) {
		answer_producer(r, t->is.producer_id, t->is.epoch);
	} else {
		answer(r, KAFKA_INVALID_TXN_STATE);
	}
}

/* ---- time ---- */

static void time_is_up(struct kafka_txn *t)
{
	LOG_INFO("kafka", "transaction of %s aborted: its %d ms are over", t->id, (int)t->is.timeout_ms);
	end_txn(t, NULL, false, true, t->is.client_version);
}

static void on_tick(struct kafka_txns *c)
{
	size_t pos = 0;
	struct bytes id;
	void *value;
	int64_t now = now_ms(c);
	c->ticking = false;
	c->open = 0;
	while (map_next(&c->by_id, &pos, &id, &value)) {
		struct kafka_txn *t = value;
		if (t->retry) {
			t->retry = false;
			t->step.then(t);
		} else if (!t->busy && t->is.state == TXN_ONGOING && now - t->is.start_ms >= t->is.timeout_ms) {
			time_is_up(t);
		}
		c->open += t->is.state == TXN_ONGOING || t->retry;
	}
}

static void is_forgotten(struct kafka_txn *t)
{
	if (t->step.err)
		go_on(t); /* the next time */
	else
		forget(t);
}

static void on_expire(struct kafka_txns *c)
{
	size_t pos = 0;
	struct bytes id;
	void *value;
	int64_t before = now_ms(c) - KAFKA_TXN_EXPIRE_MS;
	while (map_next(&c->by_id, &pos, &id, &value)) {
		struct kafka_txn *t = value;
		if (!t->busy && t->is.state != TXN_ONGOING && !t->leases && t->is.updated_ms < before)
			store(t, true, is_forgotten);
	}
}

static void set_timer(struct kafka_txns *c)
{
	if (!c->open || c->ticking)
		return;
	c->ticking = sm_timer_start(c->self, TIMER_TICK, KAFKA_TXN_TICK_MS, 0) == SM_OK;
}

/* ---- the actor ---- */

static void handle_now(struct kafka_txns *c, struct kafka_txn *t, struct kafka_request *r)
{
	switch (r->txn.op) {
	case TXN_INIT: init_producer(c, t, r); break;
	case TXN_ADD: add_partitions(t, r); break;
	case TXN_END: end_producer(t, r); break;
	case TXN_DESCRIBE:
	case TXN_LIST: break;
	}
}

static void handle(struct kafka_txns *c, struct kafka_request *r)
{
	if (r->txn.op == TXN_DESCRIBE || r->txn.op == TXN_LIST) {
		(r->txn.op == TXN_DESCRIBE ? kafka__txn_describe : kafka__txn_list)(c, r);
		kafka__resume(r);
		return;
	}
	struct kafka_txn *t = map_get(&c->by_id, bytes_str(r->txn.id));
	if (t && t->busy) {
		r->txn.next = NULL;
		*t->last = r;
		t->last = &r->txn.next;
	} else {
		handle_now(c, t, r);
	}
}

/* What had been decided before the last stop goes on. */
static void start(struct kafka_txns *c)
{
	size_t pos = 0;
	struct bytes id;
	void *value;
	while (map_next(&c->by_id, &pos, &id, &value)) {
		struct kafka_txn *t = value;
		if (t->is.state == TXN_PREPARE_COMMIT || t->is.state == TXN_PREPARE_ABORT)
			write_markers(t);
		c->open += t->is.state == TXN_ONGOING;
	}
	(void)!sm_timer_start(c->self, TIMER_EXPIRE, EXPIRE_MS, EXPIRE_MS); /* without it no id is forgotten until the next start */
}

static enum sm_err receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct kafka_txns *c = *(struct kafka_txns **)state;
	if (msg->type == &start_type) {
		start(c);
	} else if (msg->type == &sm_msg_timer) {
		((struct sm_timer_msg *)msg)->timer == TIMER_TICK ? on_tick(c) : on_expire(c);
	} else if (msg->type == &step_type) {
		struct kafka_txn *t = ((struct txn_step *)msg)->txn;
		sm_msg_keep(self);
		t->step.then(t);
		unref(c);
	} else if (msg->type == &lease_type) {
		struct kafka_txn_lease *lease = (struct kafka_txn_lease *)msg;
		sm_msg_keep(self);
		lease_is_back(lease->txn);
		lease_is_dropped(msg);
	} else {
		sm_msg_keep(self);
		handle(c, ((struct kafka_msg *)msg)->request);
	}
	set_timer(c);
	return SM_OK;
}

static enum sm_err init(struct sm_actor *self, void *state, void *arg)
{
	struct kafka_txns *c = arg;
	*(struct kafka_txns **)state = c;
	c->self = self;
	return SM_OK;
}

static void done(struct sm_actor *self, void *state)
{
	struct kafka_txns *c = *(struct kafka_txns **)state;
	size_t pos = 0;
	struct bytes id;
	void *value;
	while (map_next(&c->by_id, &pos, &id, &value)) {
		struct kafka_txn *t = value;
		if (t->request)
			answer(t->request, KAFKA_COORDINATOR_NOT_AVAILABLE);
		t->request = NULL;
		while (t->first) {
			struct kafka_request *r = t->first;
			t->first = r->txn.next;
			answer(r, KAFKA_COORDINATOR_NOT_AVAILABLE);
		}
	}
	unref(c);
}

enum sm_err kafka__txns_new(struct kafka_server *server, struct sm_error *reterr)
{
	struct kafka_txns *c = calloc(1, sizeof *c);
	if (!c)
		return sm_fail(reterr, SM_NO_MEMORY, "kafka: no memory for the transaction coordinator");
	atomic_init(&c->refs, 1);
	c->server = server;
	map_init(&c->by_id);
	atomic_fetch_add(&server->users, 1);
	struct sm_error error = {.text = ""};
	enum sm_err err = txn__load(c, &error);
	if (err == SM_CORRUPT || err == SM_IO) {
		LOG_ERROR("kafka", "%s. Transactions are refused until its files are restored; all else is served", error.text);
		c->unreadable = true;
		err = SM_OK;
	}
	if (err && reterr)
		*reterr = error;
	const struct sm_props props = {.name = NULL,
				       .state_size = sizeof(void *),
				       .init = init,
				       .receive = receive,
				       .done = done,
				       .arg = c,
				       .mailbox_max = KAFKA_TXN_MAILBOX_MAX,
				       .dispatcher = -1};
	if (!err && (err = sm_spawn(server->system, NULL, &props, &c->ref)))
		sm_fail(reterr, err, "kafka: cannot start the transaction coordinator");
	if (err) {
		unref(c);
		return err;
	}
	server->txns = c;
	c->start_msg.type = &start_type;
	if (!c->unreadable)
		(void)!sm_send_reply(c->ref, &c->start_msg); /* its first message */
	return SM_OK;
}

void kafka__txns_stop(struct kafka_server *server)
{
	sm_stop(server->txns->ref);
}

void kafka__txn_ask(struct kafka_request *r)
{
	kafka__request_ref(r);
	enum sm_err err = r->server->txns->unreadable ? SM_IO : sm_send(r->server->txns->ref, &r->txn.msg.msg);
	if (err)
		answer(r, err == SM_FULL ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS : KAFKA_COORDINATOR_NOT_AVAILABLE);
}
