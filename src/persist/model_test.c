/* Many seeds of a ledger against a simple model, while log and store refuse, fail and forget, and incarnations are stopped and taken over
 * from: nothing acknowledged is lost, nothing is there twice, groups are whole, and every way to recover comes to the same. */
#include "persist/fake_testing.h"

#define COMMANDS 120
#define LEDGER_MAX 1024

/* ---- the ledger: it writes down commands, each as one to three events ---- */

struct ledger {
	uint32_t count;
	uint32_t entries[LEDGER_MAX]; /* command * 4 + part */
};
struct add_msg {
	struct sm_msg msg;
	uint32_t command;
};
/* What has come back to those who sent the commands. */
static struct {
	bool sent[COMMANDS], acknowledged[COMMANDS], rejected[COMMANDS];
	int64_t sequence[COMMANDS]; /* of the first event */
	uint32_t recoveries, snapshots, stale, dropped;
} seen;
static struct ledger shown; /* of the last that was asked */
static bool no_snapshots;

static uint32_t parts_of(uint32_t command)
{
	return 1 + command % 3;
}

static void add_done(struct sm_msg *msg)
{
	atomic_fetch_sub(&testing_live, 1);
	free(msg);
}
static const struct sm_msg_type add_type = {"add", add_done, NULL}, show_type = {"show", add_done, NULL};

static enum sm_err added(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	uint32_t command = ((struct add_msg *)msg)->command;
	assert_false(seen.acknowledged[command]);
	seen.acknowledged[command] = true;
	seen.sequence[command] = sm_sequence(self) - parts_of(command) + 1;
	return SM_OK;
}

static enum sm_err ledger_command(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct ledger *l = state;
	if (msg->type == &show_type) {
		shown = *l;
		return SM_OK;
	}
	uint32_t command = ((struct add_msg *)msg)->command, parts = parts_of(command);
	char text[3][16];
	const char *tags[] = {"ledger", "test"};
	struct sm_persist_event events[3];
	for (uint32_t i = 0; i < parts; i++) {
		int n = snprintf(text[i], sizeof text[i], "%u", command * 4 + i);
		events[i] = (struct sm_persist_event){.data = {text[i], (size_t)n}, .type = "added", .tags = tags, .tag_count = i};
	}
	if (command % 17 == 5 && !no_snapshots)
		assert_int_equal(sm_snapshot(self), SM_OK);
	assert_int_equal(sm_persist(self, events, parts, added), SM_OK);
	assert_int_equal(sm_persist(self, events, parts, added), SM_BUSY);
	return command % 23 == 7 ? SM_FAILED : SM_OK; /* a handler that fails has written nothing */
}

static enum sm_err ledger_event(struct sm_actor *self, void *state, const struct sm_persist_event *event)
{
	struct ledger *l = state;
	assert_true(l->count < LEDGER_MAX);
	assert_int_equal(event->sequence, l->count + 1);
	assert_string_equal(event->type, "added");
	assert_int_equal(sm_persist(self, event, 1, NULL), SM_INVALID);
	char text[16] = "";
	memcpy(text, event->data.data, event->data.size);
	l->entries[l->count++] = (uint32_t)strtoul(text, NULL, 10);
	assert_int_equal(event->tag_count, l->entries[l->count - 1] % 4);
	if (event->tag_count)
		assert_string_equal(event->tags[0], "ledger");
	return SM_OK;
}

static enum sm_err ledger_save(struct sm_actor *self, const void *state, struct sm_snapshot_out *out)
{
	const struct ledger *l = state;
	sm_snapshot_write(out, &l->count, sizeof l->count);
	sm_snapshot_write(out, l->entries, l->count * sizeof l->entries[0]);
	return SM_OK;
}

static enum sm_err ledger_load(struct sm_actor *self, void *state, struct sm_bytes data, const char *type)
{
	struct ledger *l = state;
	assert_string_equal(type, "ledger-1");
	memcpy(&l->count, data.data, sizeof l->count);
	assert_int_equal(data.size, sizeof l->count + l->count * sizeof l->entries[0]);
	memcpy(l->entries, (const char *)data.data + sizeof l->count, l->count * sizeof l->entries[0]);
	return SM_OK;
}

static enum sm_err ledger_signal(struct sm_actor *self, void *state, const struct sm_persist_signal *signal)
{
	struct ledger *l = state;
	switch (signal->kind) {
	case SM_PERSIST_RECOVERED:
		assert_int_equal(signal->sequence, l->count);
		seen.recoveries++;
		seen.dropped += (uint32_t)signal->dropped;
		break;
	case SM_PERSIST_REJECTED: seen.rejected[((struct add_msg *)signal->command)->command] = true; break;
	case SM_PERSIST_SNAPSHOT_SAVED: seen.snapshots++; break;
	case SM_PERSIST_RECOVERY_FAILED:
		if (signal->err != SM_IO && signal->err != SM_FULL && signal->err != SM_STALE_EPOCH)
			fail_msg("a recovery failed: %s", signal->text);
		break;
	case SM_PERSIST_WRITE_FAILED: seen.stale += signal->err == SM_STALE_EPOCH; break;
	default: break;
	}
	return SM_OK;
}

static struct sm_persistent_props ledger_props(void)
{
	struct sm_persistent_props props = (struct sm_persistent_props){
		.id = "ledger",
		.state_size = sizeof(struct ledger),
		.command = ledger_command,
		.event = ledger_event,
		.save = ledger_save,
		.load = ledger_load,
		.snapshot_type = "ledger-1",
		.snapshot_every = 7,
		.signal = ledger_signal,
		.dispatcher = SM_DISPATCHER_ANY,
		.supervision = {.restarts_max = 100000, .backoff_min_ms = 1, .backoff_max_ms = 50}};
	if (no_snapshots) {
		props.save = NULL;
		props.load = NULL;
	}
	return props;
}

static struct sm_ref *spawn_ledger(struct fake *f, struct sm_journal *journal, struct sm_persistent_props props)
{
	struct sm_ref *ref;
	assert_int_equal(sm_persist_spawn(f->system, NULL, journal, &props, &ref), SM_OK);
	return ref;
}

static bool send_command(struct sm_ref *to, const struct sm_msg_type *type, uint32_t command)
{
	struct add_msg *m = calloc(1, sizeof *m);
	assert_non_null(m);
	atomic_fetch_add(&testing_live, 1);
	m->msg.type = type;
	m->command = command;
	if (!sm_send(to, &m->msg))
		return true;
	sm_msg_free(&m->msg);
	return false;
}

/* What a fresh incarnation has, when nothing fails any more. */
static struct ledger look(struct fake *f, struct sm_journal *journal, struct sm_persist_recovery recovery)
{
	struct sm_persistent_props props = ledger_props();
	props.recovery = recovery;
	struct sm_ref *ref = spawn_ledger(f, journal, props);
	shown = (struct ledger){.count = UINT32_MAX};
	assert_true(send_command(ref, &show_type, 0));
	fake_advance(f, 200);
	assert_int_not_equal(shown.count, UINT32_MAX);
	sm_stop(ref);
	sm_unref(ref);
	fake_advance(f, 20);
	return shown;
}

/* ---- the model ---- */

/* Whole groups, each once; acknowledged ones where their answer said. */
static void check_ledger(const struct ledger *l, bool acknowledged_count)
{
	bool there[COMMANDS] = {false};
	for (uint32_t i = 0; i < l->count;) {
		uint32_t command = l->entries[i] / 4, parts = parts_of(command);
		assert_true(command < COMMANDS && seen.sent[command]);
		if (there[command])
			fail_msg("command %u is there twice", command);
		there[command] = true;
		if (acknowledged_count && seen.acknowledged[command])
			assert_int_equal(seen.sequence[command], i + 1);
		assert_false(seen.rejected[command]);
		for (uint32_t part = 0; part < parts; part++, i++) {
			assert_true(i < l->count);
			assert_int_equal(l->entries[i], command * 4 + part);
		}
	}
	for (uint32_t i = 0; i < COMMANDS && acknowledged_count; i++)
		if (seen.acknowledged[i] && !there[i])
			fail_msg("command %u was acknowledged, and is lost", i);
}

static void same(const struct ledger *a, const struct ledger *b, uint32_t count)
{
	assert_true(a->count >= count && b->count >= count);
	assert_memory_equal(a->entries, b->entries, count * sizeof a->entries[0]);
}

static void check_all_recoveries(struct fake *f, struct sm_journal *journal, bool acknowledged_count)
{
	struct ledger all = look(f, journal, (struct sm_persist_recovery){0});
	check_ledger(&all, acknowledged_count);
	struct ledger events = look(f, journal, (struct sm_persist_recovery){.no_snapshot = true});
	assert_int_equal(events.count, all.count);
	same(&all, &events, all.count);
	if (all.count < 2)
		return;
	int64_t to = 1 + (int64_t)sm_sim_random(f->system, all.count);
	struct ledger past = look(f, journal, (struct sm_persist_recovery){.to_sequence = to});
	assert_int_equal(past.count, to);
	same(&all, &past, (uint32_t)to);
}

/* Send commands in pieces; meanwhile what may happen happens. take_over: a second incarnation begins while the first is at work. */
static void trouble(struct fake *f, struct sm_journal *journal, bool take_over)
{
	struct sm_ref *refs[2] = {spawn_ledger(f, journal, ledger_props()), NULL};
	for (uint32_t command = 0; command < COMMANDS; command++) {
		struct sm_ref *to = refs[refs[1] && sm_sim_random(f->system, 2)];
		seen.sent[command] = send_command(to, &add_type, command);
		uint64_t steps = sm_sim_random(f->system, 40), kind = sm_sim_random(f->system, 20);
		while (steps-- && fake_step(f))
			;
		sm_sim_advance(f->system, sm_sim_random(f->system, 30));
		if (kind == 0) { /* it ends, whatever is under way, and another begins */
			sm_stop_now(refs[0]);
			sm_unref(refs[0]);
			refs[0] = spawn_ledger(f, journal, ledger_props());
		} else if (kind == 1 && take_over) {
			sm_unref(refs[1]);
			refs[1] = refs[0];
			refs[0] = spawn_ledger(f, journal, ledger_props());
		}
	}
	f->refuse = f->fail = f->forget = 0;
	fake_advance(f, 2000);
	for (int i = 0; i < 2 && refs[i]; i++) {
		sm_stop(refs[i]);
		sm_unref(refs[i]);
	}
	fake_advance(f, 100);
}

static uint32_t total_acknowledged, total_stale, total_dropped, total_snapshots;

/* Where an engine knows no producers, a snapshot of an incarnation that was taken over from may hold what no replay takes: without. */
static void run(bool plain, bool take_over)
{
	no_snapshots = plain && take_over;
	struct sm_system *system = sim_new();
	struct fake *f = fake_new(system);
	memset(&seen, 0, sizeof seen);
	f->plain = plain;
	struct sm_journal *journal = fake_journal(f);
	f->refuse = (uint32_t)(sim_seed % 3) * 5;
	f->fail = (uint32_t)(sim_seed / 3 % 3) * 4;
	f->forget = plain ? 0 : (uint32_t)(sim_seed / 9 % 3) * 4;
	trouble(f, journal, take_over);
	check_all_recoveries(f, journal, !plain || !take_over);
	for (uint32_t i = 0; i < COMMANDS; i++)
		total_acknowledged += seen.acknowledged[i];
	total_stale += seen.stale;
	total_dropped += seen.dropped;
	total_snapshots += seen.snapshots;
	while (f->pending_count)
		fake_end_one(f);
	sim_end(system);
	assert_int_equal(sm_journal_close(journal, 0), SM_OK);
	fake_free(f);
}

SIM_TEST(nothing_acknowledged_is_lost_or_twice_while_all_fails)
{
	run(false, false);
}

SIM_TEST(incarnations_that_take_over_from_each_other_do_not_mix)
{
	run(false, true);
}

SIM_TEST(an_engine_that_knows_no_producers_keeps_groups_whole)
{
	run(true, false);
}

SIM_TEST(on_such_an_engine_too_all_recoveries_come_to_the_same_after_a_take_over)
{
	run(true, true);
}

static void the_trouble_was_there(void **unused)
{
	assert_true(total_acknowledged > 0);
	if (getenv("SMACK_SEED") || getenv("SMACK_SEEDS"))
		return;
	assert_true(total_stale > 0 && total_dropped > 0 && total_snapshots > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_acknowledged_is_lost_or_twice_while_all_fails),
		cmocka_unit_test(incarnations_that_take_over_from_each_other_do_not_mix),
		cmocka_unit_test(an_engine_that_knows_no_producers_keeps_groups_whole),
		cmocka_unit_test(on_such_an_engine_too_all_recoveries_come_to_the_same_after_a_take_over),
		cmocka_unit_test(the_trouble_was_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
