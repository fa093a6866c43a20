/* Over the embedded log and store: what counters have counted is there after restarts of actors, system and engines; who is taken over from
 * is refused by the log; snapshots, their retention, recoveries that cannot be. */
#include "actor/testing.h"
#include "persist/persist_internal.h"
#include <stdio.h>
#include <unistd.h>

struct place {
	char dir[64];
	struct sm_system *system;
	struct sm_log *log;
	struct sm_store *store;
	struct sm_journal *journal;
};

static void place_open(struct place *p)
{
	struct sm_error error;
	char log_dir[96], store_dir[96];
	snprintf(log_dir, sizeof log_dir, "%s/log", p->dir);
	snprintf(store_dir, sizeof store_dir, "%s/store", p->dir);
	p->system = system_with(2);
	if (log_embedded_open(&(struct log_embedded_options){.system = p->system, .dir = log_dir}, &p->log, &error) ||
	    store_embedded_open(
		    &(struct store_embedded_options){
			    .system = p->system, .dir = store_dir, .block_cache_bytes = 1 << 20, .memtable_bytes = 1 << 20},
		    &p->store, &error) ||
	    sm_journal_open(&(struct sm_journal_options){.log = p->log, .store = p->store, .topic = "counters", .partitions = 2},
			    &p->journal, &error))
		fail_msg("%s", error.text);
}

static void place_close(struct place *p)
{
	struct sm_error error;
	struct sm_log *log = p->log;
	struct sm_store *store = p->store;
	/* Its actors have ended: what they had under way comes back as long as the engines run. */
	assert_int_equal(sm_journal_close(p->journal, DEADLINE_MS), SM_OK);
	if (log->ops->close(log, &error) || store->ops->close(store, &error))
		fail_msg("%s", error.text);
	assert_int_equal(sm_system_stop(p->system, DEADLINE_MS), SM_OK);
}

static void place_reopen(struct place *p)
{
	place_close(p);
	place_open(p);
}

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	assert_non_null(p);
	snprintf(p->dir, sizeof p->dir, "%s/smack-persist-test-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(p->dir));
	place_open(p);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;
	place_close(p);
	assert_int_equal(io_remove_tree(&io_system, p->dir, NULL), SM_OK);
	free(p);
	return 0;
}

/* ---- a counter ---- */

struct counter {
	uint64_t sum, events;
};
struct count_msg {
	struct sm_msg msg;
	uint64_t number; /* to add; of an answer: the sum */
	enum sm_err err;
	int64_t sequence;
};
static struct {
	atomic_uint recovered, saved;
	_Atomic uint64_t replayed;
	atomic_int failed; /* enum sm_err of the last recovery or write that failed */
	char text[500];
} seen;

static void count_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type add_type = {"add", count_done, NULL}, get_type = {"get", count_done, NULL},
				snapshot_type = {"snapshot", count_done, NULL}, sum_type = {"sum", count_done, NULL};

static struct count_msg *count_new(const struct sm_msg_type *type, uint64_t number)
{
	struct count_msg *m = calloc(1, sizeof *m);
	assert_non_null(m);
	m->msg.type = type;
	m->number = number;
	return m;
}

static void answer(struct sm_actor *self, const struct counter *c, const struct sm_msg *command, enum sm_err err)
{
	struct count_msg *m = count_new(&sum_type, c->sum);
	m->err = err;
	m->sequence = sm_sequence(self);
	sm_reply(self, command, &m->msg);
}

static enum sm_err counted(struct sm_actor *self, void *state, struct sm_msg *command)
{
	answer(self, state, command, SM_OK);
	return SM_OK;
}

static enum sm_err counter_command(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	uint64_t number = ((struct count_msg *)msg)->number;
	if (msg->type == &add_type) {
		struct sm_persist_header header = {"trace", {"t-1", 3}};
		struct sm_persist_event event = {
			.data = {&number, sizeof number}, .type = "added-1", .headers = &header, .header_count = 1};
		enum sm_err err = sm_persist(self, &event, 1, counted);
		if (err)
			answer(self, state, msg, err);
		return SM_OK;
	}
	answer(self, state, msg, msg->type == &snapshot_type ? sm_snapshot(self) : SM_OK);
	return SM_OK;
}

static enum sm_err counter_event(struct sm_actor *self, void *state, const struct sm_persist_event *event)
{
	struct counter *c = state;
	uint64_t number;
	if (strcmp(event->type, "added-1") != 0)
		return SM_VERSION;
	assert_int_equal(event->header_count, 1);
	assert_string_equal(event->headers[0].name, "trace");
	memcpy(&number, event->data.data, sizeof number);
	c->sum += number;
	assert_int_equal(++c->events, event->sequence);
	return SM_OK;
}

static enum sm_err counter_save(struct sm_actor *self, const void *state, struct sm_snapshot_out *out)
{
	sm_snapshot_write(out, state, sizeof(struct counter));
	return SM_OK;
}

static enum sm_err counter_load(struct sm_actor *self, void *state, struct sm_bytes data, const char *type)
{
	if (data.size != sizeof(struct counter))
		return SM_CORRUPT;
	memcpy(state, data.data, data.size);
	return SM_OK;
}

static enum sm_err counter_signal(struct sm_actor *self, void *state, const struct sm_persist_signal *signal)
{
	if (signal->kind == SM_PERSIST_RECOVERED) {
		atomic_store(&seen.replayed, signal->events);
		atomic_fetch_add(&seen.recovered, 1);
	} else if (signal->kind == SM_PERSIST_SNAPSHOT_SAVED) {
		atomic_fetch_add(&seen.saved, 1);
	} else if (signal->kind == SM_PERSIST_RECOVERY_FAILED || signal->kind == SM_PERSIST_WRITE_FAILED) {
		snprintf(seen.text, sizeof seen.text, "%s", signal->text);
		atomic_store(&seen.failed, signal->err);
	}
	return SM_OK;
}

static struct sm_persistent_props counter_props(const char *id)
{
	memset(seen.text, 0, sizeof seen.text);
	atomic_store(&seen.recovered, 0);
	atomic_store(&seen.saved, 0);
	atomic_store(&seen.failed, 0);
	return (struct sm_persistent_props){.id = id,
					    .state_size = sizeof(struct counter),
					    .command = counter_command,
					    .event = counter_event,
					    .save = counter_save,
					    .load = counter_load,
					    .signal = counter_signal,
					    .dispatcher = SM_DISPATCHER_ANY};
}

static struct sm_ref *spawn(struct place *p, const struct sm_persistent_props *props)
{
	struct sm_ref *ref;
	assert_int_equal(sm_persist_spawn(p->system, NULL, p->journal, props, &ref), SM_OK);
	return ref;
}

static struct count_msg ask(struct place *p, struct sm_ref *ref, const struct sm_msg_type *type, uint64_t number)
{
	struct count_msg *m = count_new(type, number), back;
	struct sm_msg *got;
	enum sm_err err = sm_ask_wait(p->system, ref, &m->msg, DEADLINE_MS, &got);
	if (err)
		fail_msg("%s: %s", type->name, sm_err_text(err));
	back = *(struct count_msg *)got;
	sm_msg_free(got);
	return back;
}

static void stop(struct place *p, struct sm_ref *ref)
{
	assert_int_equal(sm_stop_wait(p->system, ref, DEADLINE_MS, NULL), SM_OK);
	sm_unref(ref);
}

/* ---- tests ---- */

static void a_state_is_there_again_after_restarts_of_actor_and_engines(void **state)
{
	struct place *p = *state;
	struct sm_persistent_props props = counter_props("one");
	struct sm_ref *ref = spawn(p, &props);
	for (uint64_t i = 1; i <= 10; i++) {
		struct count_msg back = ask(p, ref, &add_type, i);
		assert_int_equal(back.err, SM_OK);
		assert_int_equal(back.number, i * (i + 1) / 2);
		assert_int_equal(back.sequence, i);
	}
	stop(p, ref);
	ref = spawn(p, &props);
	assert_int_equal(ask(p, ref, &get_type, 0).number, 55);
	stop(p, ref);
	place_reopen(p);
	ref = spawn(p, &props);
	assert_int_equal(ask(p, ref, &get_type, 0).number, 55);
	assert_int_equal(atomic_load(&seen.replayed), 10);
	assert_int_equal(ask(p, ref, &add_type, 45).number, 100);
	stop(p, ref);
	props.recovery.to_sequence = 4;
	ref = spawn(p, &props);
	assert_int_equal(ask(p, ref, &get_type, 0).number, 10);
	assert_int_equal(ask(p, ref, &add_type, 1).err, SM_DENIED);
	assert_int_equal(ask(p, ref, &snapshot_type, 1).err, SM_DENIED);
	stop(p, ref);
}

static void a_new_incarnation_takes_over_and_the_old_one_ends(void **state)
{
	struct place *p = *state;
	struct sm_persistent_props props = counter_props("taken");
	enum sm_err why = SM_OK;
	props.supervision = (struct sm_supervision){.restarts_max = 10};
	struct sm_ref *old = spawn(p, &props), *new;
	assert_int_equal(ask(p, old, &add_type, 1).number, 1);
	new = spawn(p, &props);
	assert_int_equal(ask(p, new, &add_type, 2).number, 3);
	struct count_msg *m = count_new(&add_type, 4);
	assert_int_equal(sm_send(old, &m->msg), SM_OK);
	eventually(atomic_load(&seen.failed) == SM_STALE_EPOCH);
	assert_int_equal(sm_stop_wait(p->system, old, DEADLINE_MS, &why), SM_OK);
	assert_int_equal(why, SM_STALE_EPOCH);
	sm_unref(old);
	assert_int_equal(ask(p, new, &get_type, 0).number, 3);
	stop(p, new);
}

/* The rows of a topic's table: snapshots that are kept. */
static uint32_t snapshots_of(struct place *p, const char *id)
{
	struct store_cell key[] = {{(const uint8_t *)"counters", 8}, {(const uint8_t *)id, (int32_t)strlen(id)}};
	struct store_read read = {.table = p->journal->table, .partition_key = key};
	struct store_cursor *cursor;
	const struct store_row *row;
	uint32_t count = 0;
	assert_int_equal(p->store->ops->open(p->store, &read, &cursor, NULL), SM_OK);
	while (!p->store->ops->next(cursor, &row))
		count += !row->static_only;
	p->store->ops->close_cursor(cursor);
	return count;
}

static void snapshots_are_taken_kept_and_shorten_a_recovery(void **state)
{
	struct place *p = *state;
	struct sm_persistent_props props = counter_props("snapped");
	props.snapshot_every = 10;
	props.snapshots_kept = 3;
	struct sm_ref *ref = spawn(p, &props);
	for (uint64_t i = 1; i <= 105; i++) {
		assert_int_equal(ask(p, ref, &add_type, i).err, SM_OK);
		if (i % 10 == 0) /* the next one is not asked for before this one is there */
			eventually(atomic_load(&seen.saved) == i / 10);
	}
	assert_int_equal(snapshots_of(p, "snapped"), 3);
	stop(p, ref);
	place_reopen(p);
	ref = spawn(p, &props);
	assert_int_equal(ask(p, ref, &get_type, 0).number, 105 * 106 / 2);
	assert_int_equal(atomic_load(&seen.replayed), 5);
	assert_int_equal(ask(p, ref, &snapshot_type, 0).err, SM_OK);
	eventually(atomic_load(&seen.saved) == 11);
	assert_int_equal(snapshots_of(p, "snapped"), 3);
	stop(p, ref);
	props.recovery.to_sequence = 95;
	ref = spawn(p, &props);
	assert_int_equal(ask(p, ref, &get_type, 0).number, 95 * 96 / 2);
	assert_int_equal(atomic_load(&seen.replayed), 5);
	stop(p, ref);
	props.recovery = (struct sm_persist_recovery){.no_snapshot = true};
	ref = spawn(p, &props);
	assert_int_equal(ask(p, ref, &get_type, 0).number, 105 * 106 / 2);
	assert_int_equal(atomic_load(&seen.replayed), 105);
	stop(p, ref);
}

static void many_ids_share_a_topic(void **state)
{
	enum { IDS = 200 };
	struct place *p = *state;
	char name[IDS][16];
	struct sm_ref *refs[IDS];
	struct sm_persistent_props props = counter_props("");
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < IDS; i++) {
			snprintf(name[i], sizeof name[i], "id-%d", i);
			props.id = name[i];
			refs[i] = spawn(p, &props);
		}
		for (int i = 0; i < IDS; i++)
			assert_int_equal(ask(p, refs[i], &add_type, (uint64_t)i).number, (uint64_t)(i * (round + 1)));
		for (int i = 0; i < IDS; i++)
			stop(p, refs[i]);
		place_reopen(p);
	}
}

static void deleted_on_disk(void *arg, enum sm_err err, int64_t log_start_offset)
{
	atomic_store((atomic_int *)arg, err ? -1 : 1);
}

static void events_that_were_deleted_are_told_of(void **state)
{
	struct place *p = *state;
	struct sm_persistent_props props = counter_props("gone");
	struct sm_ref *ref = spawn(p, &props);
	atomic_int deleted = 0;
	enum sm_err why;
	assert_int_equal(ask(p, ref, &add_type, 1).number, 1);
	int32_t partition = log_partition_of(BYTES("gone"), p->journal->partitions);
	stop(p, ref);
	p->log->ops->records_delete(p->log, "counters", partition, -1, deleted_on_disk, &deleted);
	eventually(atomic_load(&deleted));
	assert_int_equal(atomic_load(&deleted), 1);
	ref = spawn(p, &props);
	eventually(atomic_load(&seen.failed) == SM_OUT_OF_RANGE);
	assert_non_null(strstr(seen.text, "retention.ms"));
	assert_int_equal(sm_stop_wait(p->system, ref, DEADLINE_MS, &why), SM_OK);
	assert_int_equal(why, SM_OUT_OF_RANGE);
	sm_unref(ref);
}

static void what_cannot_be_is_refused(void **state)
{
	struct place *p = *state;
	struct sm_persistent_props props = counter_props("#");
	struct sm_ref *ref;
	struct sm_error error;
	struct sm_journal *journal;
	char long_id[300] = "";
	assert_int_equal(sm_persist_spawn(p->system, NULL, p->journal, &props, &ref), SM_INVALID);
	props.id = "";
	assert_int_equal(sm_persist_spawn(p->system, NULL, p->journal, &props, &ref), SM_INVALID);
	memset(long_id, 'a', 256);
	props.id = long_id;
	assert_int_equal(sm_persist_spawn(p->system, NULL, p->journal, &props, &ref), SM_INVALID);
	props.id = "\xff";
	assert_int_equal(sm_persist_spawn(p->system, NULL, p->journal, &props, &ref), SM_INVALID);
	props.id = "half";
	props.load = NULL;
	assert_int_equal(sm_persist_spawn(p->system, NULL, p->journal, &props, &ref), SM_INVALID);
	struct sm_journal_options options = {.log = p->log, .store = p->store, .topic = "no/topic"};
	assert_int_equal(sm_journal_open(&options, &journal, &error), SM_INVALID);
	struct log_config compact = {"cleanup.policy", "compact"};
	struct log_topic_spec spec = {.name = "compacted", .partitions = 1, .configs = &compact, .config_count = 1};
	assert_int_equal(log_topic_create_wait(p->log, &spec, &error), SM_OK);
	options.topic = "compacted";
	assert_int_equal(sm_journal_open(&options, &journal, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "compacted"));
}

/* Ids stay where they are when the topic is given more partitions. */
static void a_topic_may_grow(void **state)
{
	struct place *p = *state;
	struct sm_persistent_props props = counter_props("grown");
	struct sm_ref *ref = spawn(p, &props);
	struct sm_error error;
	assert_int_equal(ask(p, ref, &add_type, 7).number, 7);
	stop(p, ref);
	if (log_topic_change_wait(p->log, &(struct log_topic_change){.name = "counters", .partitions = 16}, &error))
		fail_msg("%s", error.text);
	place_reopen(p);
	assert_int_equal(p->journal->partitions, 2);
	ref = spawn(p, &props);
	assert_int_equal(ask(p, ref, &get_type, 0).number, 7);
	stop(p, ref);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_state_is_there_again_after_restarts_of_actor_and_engines),
		TEST(a_new_incarnation_takes_over_and_the_old_one_ends),
		TEST(snapshots_are_taken_kept_and_shorten_a_recovery),
		TEST(many_ids_share_a_topic),
		TEST(events_that_were_deleted_are_told_of),
		TEST(what_cannot_be_is_refused),
		TEST(a_topic_may_grow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
