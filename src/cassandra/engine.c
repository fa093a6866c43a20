/* The engine on a real Cassandra: opening, closing, the table of calls.
 *
 * Two threads: the client's (client_loop.c) has the connections and runs batches; the keeper changes and reads the schema, looks at who is
 * in the cluster when its hosts say that this has changed, and finishes large batches that were cut short. */
#include "cassandra/cassandra_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEEPER_MS 5000 /* what could not be done is tried again */

void cassandra__notice(struct cassandra_store *s, const char *fmt, ...)
{
	char text[800];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (s->notice)
		s->notice(s->notice_arg, text);
}

static void client_notice(void *arg, const char *text)
{
	cassandra__notice(arg, "%s", text);
}

static void client_event(void *arg, unsigned events)
{
	struct cassandra_store *s = arg;
	pthread_mutex_lock(&s->lock);
	s->stale |= events;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* ---- the schema ---- */

static const struct store_schema *schema(struct sm_store *store)
{
	struct cassandra_store *s = cassandra__of(store);
	pthread_mutex_lock(&s->lock);
	struct cassandra_picture *p = s->picture;
	atomic_fetch_add(&p->refs, 1);
	pthread_mutex_unlock(&s->lock);
	return &p->schema;
}

static void schema_release(struct sm_store *store, const struct store_schema *held)
{
	cassandra__picture_unref((struct cassandra_picture *)(uintptr_t)held);
}

enum sm_err cassandra__refresh(struct cassandra_store *s, struct sm_error *reterr)
{
	struct cassandra_picture *fresh, *before;
	enum sm_err err = cassandra__schema_read(s->client, &fresh, reterr);
	if (err)
		return err;
	if (*fresh->left_out && strcmp(fresh->left_out, s->left_out) != 0)
		cassandra__notice(s, "%s: tables that cannot be used here: %s", s->shown, fresh->left_out);
	memcpy(s->left_out, fresh->left_out, sizeof s->left_out);
	pthread_mutex_lock(&s->lock);
	before = s->picture;
	s->picture = fresh;
	pthread_mutex_unlock(&s->lock);
	cassandra__picture_unref(before);
	return SM_OK;
}

uint32_t cassandra__replication(struct cassandra_store *s)
{
	uint32_t wanted = client__target(s->client)->replication_factor, hosts = client__local_hosts(s->client);
	return wanted ? wanted : hosts < 3 ? hosts : 3;
}

enum sm_err cassandra__await_agreement(struct cassandra_store *s, struct sm_error *reterr)
{
	uint64_t end_ns = clock_monotonic_ns(&clock_system) + CLIENT_AGREEMENT_MS * 1000000ull;
	for (;;) {
		bool agreed = false;
		enum sm_err err = client__schema_agreed(s->client, &agreed, reterr);
		if (err || agreed)
			return err;
		/* A host that is down has an old version: it learns of the change when it is back. */
		if (clock_monotonic_ns(&clock_system) > end_ns)
			return SM_OK;
		nanosleep(&(struct timespec){0, 100000000}, NULL);
	}
}

enum sm_err cassandra__run_changes(struct cassandra_store *s, const char *const *texts, uint32_t count, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < count && !err; i++) {
		struct client_answer a;
		err = client__ask_wait(
			s->client,
			&(struct client_request){
				.text = texts[i], .consistency = CLIENT_CONSISTENCY, .on_control = true, .timeout_ms = CASSANDRA_RUN_MS},
			&a);
		if (err)
			*reterr = a.error;
		client__answer_done(&a);
		if (!err)
			err = cassandra__await_agreement(s, reterr);
	}
	return err;
}

struct cassandra_change_task {
	struct cassandra_change_task *next;
	const struct store_change *change;
	void (*done)(void *arg, const struct sm_error *error);
	void *arg;
};

static enum sm_err make_change(struct cassandra_store *s, const struct store_change *change, struct sm_error *reterr)
{
	const struct store_schema *now = schema(&s->store);
	struct arena arena;
	const char **texts;
	uint32_t count, factor = client__target(s->client)->replication_factor;
	if (!factor && change->keyspace && strcmp(change->keyspace, CASSANDRA_KEYSPACE) == 0)
		factor = cassandra__replication(s);
	arena_init(&arena, 0);
	enum sm_err err = cassandra__change_text(now, change, factor, &arena, &texts, &count, reterr);
	schema_release(&s->store, now);
	if (!err)
		err = cassandra__run_changes(s, texts, count, reterr);
	arena_done(&arena);
	/* also after a failure: another may have made it, or the answer was lost */
	struct sm_error other;
	enum sm_err read = cassandra__refresh(s, err ? &other : reterr);
	return err ? err : read;
}

/* The change is borrowed until it is done. */
static void change(struct sm_store *store, const struct store_change *what, void (*done)(void *arg, const struct sm_error *error),
		   void *arg)
{
	struct cassandra_store *s = cassandra__of(store);
	struct cassandra_change_task *task = malloc(sizeof *task);
	struct sm_error error;
	bool closing = false;
	if (task) {
		*task = (struct cassandra_change_task){.change = what, .done = done, .arg = arg};
		pthread_mutex_lock(&s->lock);
		closing = s->closing;
		if (!closing) {
			*s->changes_end = task;
			s->changes_end = &task->next;
			pthread_cond_broadcast(&s->changed);
		}
		pthread_mutex_unlock(&s->lock);
	}
	if (task && !closing)
		return;
	free(task);
	sm_fail(&error, closing ? SM_CLOSED : SM_NO_MEMORY, closing ? "the store is closing" : "no memory");
	done(arg, &error);
}

/* ---- the keeper ---- */

static void do_changes(struct cassandra_store *s, struct cassandra_change_task *list)
{
	while (list) {
		struct cassandra_change_task *task = list;
		struct sm_error error = {0};
		list = task->next;
		enum sm_err err = make_change(s, task->change, &error);
		task->done(task->arg, err ? &error : NULL);
		free(task);
	}
}

/* What could not be done stays to be done. */
static unsigned look(struct cassandra_store *s, unsigned stale)
{
	struct sm_error error;
	if ((stale & CLIENT_TOPOLOGY) && client__topology_refresh(s->client, &error) == SM_OK)
		stale &= ~(unsigned)CLIENT_TOPOLOGY;
	if ((stale & CLIENT_SCHEMA) && cassandra__refresh(s, &error) == SM_OK)
		stale &= ~(unsigned)CLIENT_SCHEMA;
	return stale & ~(unsigned)CLIENT_READY;
}

static void *keep(void *arg)
{
	struct cassandra_store *s = arg;
	uint64_t resolve_ns = 0;
	pthread_mutex_lock(&s->lock);
	while (!s->closing || s->changes) {
		unsigned stale = s->stale;
		bool batches = s->batches_left;
		struct cassandra_change_task *list = s->changes;
		s->stale = 0;
		s->batches_left = false;
		s->changes = NULL;
		s->changes_end = &s->changes;
		if (stale || batches || list) {
			struct sm_error error;
			pthread_mutex_unlock(&s->lock);
			do_changes(s, list);
			stale = look(s, stale);
			batches = batches && cassandra__recover_batches(s, &error) != SM_OK;
			pthread_mutex_lock(&s->lock);
			s->batches_left |= batches;
			s->stale |= stale;
		}
		if (s->closing && !s->changes)
			break;
		if (!client__answers(s->client) && clock_monotonic_ns(&clock_system) > resolve_ns) { /* the hosts may have moved */
			pthread_mutex_unlock(&s->lock);
			client__points_resolve(s->client);
			resolve_ns = clock_monotonic_ns(&clock_system) + KEEPER_MS * 1000000ull;
			pthread_mutex_lock(&s->lock);
			continue;
		}
		if (!s->changes && (stale || batches || (!s->stale && !s->batches_left)))
			clock_cond_wait_until(&s->changed, &s->lock, clock_deadline_ns(KEEPER_MS));
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- the rest of the table ---- */

static void transact(struct sm_store *store, const struct store_transaction *transaction, void (*done)(void *arg, enum sm_err err),
		     void *arg)
{
	done(arg, SM_UNSUPPORTED);
}

static enum sm_err checkpoint(struct sm_store *store, const char *dir, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_UNSUPPORTED, "%s has no checkpoints: nodetool snapshot makes a snapshot there",
		       cassandra__of(store)->shown);
}

static enum sm_err close_store(struct sm_store *store, struct sm_error *reterr)
{
	struct cassandra_store *s = cassandra__of(store);
	size_t pos = 0;
	struct bytes key;
	void *job;
	pthread_mutex_lock(&s->lock);
	while (s->under_way)
		pthread_cond_wait(&s->changed, &s->lock);
	s->closing = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (s->started)
		pthread_join(s->keeper, NULL);
	client__free(s->client);
	cassandra__picture_unref(s->picture);
	while (map_next(&s->jobs, &pos, &key, &job))
		free(job);
	map_done(&s->jobs);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return SM_OK;
}

static const struct store_ops ops = {
	.reads_travel = true,
	.schema = schema,
	.schema_release = schema_release,
	.change = change,
	.apply = cassandra__apply,
	.transact = transact,
	.open = cassandra__open_cursor,
	.next = cassandra__next_row,
	.close_cursor = cassandra__close_cursor,
	.job_epoch = cassandra__job_epoch,
	.checkpoint = checkpoint,
	.close = close_store,
};

void cassandra_ending(struct sm_store *store)
{
	client__ending(cassandra__of(store)->client);
}

bool cassandra_answers(struct sm_store *store)
{
	return client__answers(cassandra__of(store)->client);
}

/* ---- opening ---- */

static enum sm_err connect_first(struct cassandra_store *s, uint32_t timeout_ms, struct sm_error *reterr)
{
	uint64_t end_ns = clock_monotonic_ns(&clock_system) + timeout_ms * 1000000ull;
	char why[300] = "";
	enum sm_err problem = SM_OK;
	pthread_mutex_lock(&s->lock);
	while (!(s->stale & CLIENT_READY) && clock_monotonic_ns(&clock_system) < end_ns) {
		clock_cond_wait_until(&s->changed, &s->lock, clock_deadline_ns(50));
		pthread_mutex_unlock(&s->lock);
		problem = client__problem(s->client, why, sizeof why);
		pthread_mutex_lock(&s->lock);
		if (problem == SM_DENIED)
			break; /* it does not get better by waiting */
	}
	bool ready = s->stale & CLIENT_READY;
	s->stale &= ~(unsigned)CLIENT_READY;
	pthread_mutex_unlock(&s->lock);
	if (ready)
		return SM_OK;
	return sm_fail(reterr, problem == SM_DENIED ? SM_DENIED : SM_UNAVAILABLE, "%s: %s%s%s", s->shown,
		       problem == SM_DENIED ? "the login is not accepted" : "no host answers: is it there, and is the address right?",
		       *why ? " The last that happened: " : "", why);
}

/* The hosts are known to the client's thread, so that it is known how many there are. */
static enum sm_err learn(struct cassandra_store *s, struct sm_error *reterr)
{
	enum sm_err err = client__topology_refresh(s->client, reterr);
	if (err || (err = cassandra__refresh(s, reterr)))
		return err;
	pthread_mutex_lock(&s->lock);
	s->stale = 0;
	pthread_mutex_unlock(&s->lock);
	if (s->guest || (err = cassandra__own_tables(s, reterr)))
		return err;
	return cassandra__recover_batches(s, reterr);
}

static enum sm_err start(struct cassandra_store *s, const struct cassandra_options *o, struct sm_error *reterr)
{
	struct client_target target;
	enum sm_err err = client__target_parse(o->address, o->settings, o->setting_count, true, &target, reterr);
	if (err)
		return err;
	cassandra_shown(o->address, s->shown, sizeof s->shown);
	const struct client_options options = {
		.target = &target, .shown = s->shown, .event = client_event, .notice = client_notice, .arg = s};
	err = client__new(&options, &s->client, reterr);
	explicit_bzero(&target, sizeof target);
	if (err || (err = connect_first(s, o->open_timeout_ms ? o->open_timeout_ms : CLIENT_OPEN_MS, reterr)) || (err = learn(s, reterr)))
		return err;
	int failed = pthread_create(&s->keeper, NULL, keep, s);
	if (failed)
		return sm_fail_errno(reterr, failed, "no thread for %s", s->shown);
	s->started = true;
	return SM_OK;
}

enum sm_err cassandra_open(const struct cassandra_options *o, struct sm_store **ret_store, struct sm_error *reterr)
{
	struct cassandra_store *s = calloc(1, sizeof *s);
	struct sm_error none;
	reterr = reterr ? reterr : &none;
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	s->store.ops = &ops;
	s->notice = o->notice;
	s->notice_arg = o->notice_arg;
	s->guest = o->guest;
	s->changes_end = &s->changes;
	map_init(&s->jobs);
	pthread_mutex_init(&s->lock, NULL);
	clock_cond_init(&s->changed);
	enum sm_err err = start(s, o, reterr);
	if (err)
		close_store(&s->store, NULL);
	else
		*ret_store = &s->store;
	return err;
}
