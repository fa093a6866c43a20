/* Event-sourced actors over a session, for test_persist.py: four ledgers write down numbers, and deliver each to an auditor, who writes
 * down what has come.
 *
 *	ledgers DATA
 *	add N     "ack N" when it is on disk (and also if it was before)
 *	show      "has N" for each number of a ledger, "got N" for each of the auditor, "twice N" for what is there twice, "open K" for the
 *	          deliveries that are not confirmed, "end" */
#include <smack/persist.h>
#include <smack/session.h>
#include <stdio.h>
#include <stdlib.h>

#define LEDGERS 4
#define NUMBERS 65536

struct book {
	uint32_t written;
	uint8_t times[NUMBERS / 8 * 8]; /* of each number: 0, 1, or more */
};
struct note {
	struct sm_msg msg;
	uint32_t number, ledger;
	uint64_t id;
};
static struct sm_ref *ledgers[LEDGERS], *auditor;

static void note_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type add_type = {"add", note_done, NULL}, got_type = {"got", note_done, NULL},
				confirm_type = {"confirm", note_done, NULL}, show_type = {"show", note_done, NULL},
				shown_type = {"shown", note_done, NULL};

static struct note *note_new(const struct sm_msg_type *type, uint32_t number, uint32_t ledger, uint64_t id)
{
	struct note *n = calloc(1, sizeof *n);
	if (!n)
		abort();
	*n = (struct note){{.type = type}, number, ledger, id};
	return n;
}

static bool post(struct sm_ref *to, struct note *n)
{
	if (!sm_send(to, &n->msg))
		return true;
	sm_msg_free(&n->msg);
	return false;
}

static void say(const char *what, uint64_t number)
{
	printf("%s %llu\n", what, (unsigned long long)number);
}

static enum sm_err write_down(struct sm_actor *self, const char *type, uint64_t number, sm_persisted_fn effect)
{
	struct sm_persist_event event = {.data = {&number, sizeof number}, .type = type};
	return sm_persist(self, &event, 1, effect);
}

static void show(struct sm_actor *self, const struct book *b, const char *what, struct sm_msg *msg)
{
	for (uint32_t i = 0; i < NUMBERS; i++) {
		if (b->times[i])
			say(what, i);
		if (b->times[i] > 1)
			say("twice", i);
	}
	say("open", 10000 - sm_delivery_room(self));
	sm_reply(self, msg, &note_new(&shown_type, 0, 0, 0)->msg);
}

/* ---- ledgers ---- */

static enum sm_err added(struct sm_actor *self, void *state, struct sm_msg *command)
{
	say("ack", ((struct note *)command)->number);
	fflush(stdout);
	return SM_OK;
}

static enum sm_err ledger_command(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct note *n = (struct note *)msg;
	const struct book *b = state;
	if (msg->type == &show_type)
		show(self, b, "has", msg);
	else if (msg->type == &confirm_type)
		return sm_is_unconfirmed(self, n->id) ? write_down(self, "confirmed", n->id, NULL) : SM_OK;
	else if (b->times[n->number])
		return added(self, state, msg);
	else if (sm_delivery_room(self))
		return write_down(self, "added", n->number, added);
	return SM_OK;
}

static enum sm_err ledger_event(struct sm_actor *self, void *state, const struct sm_persist_event *event)
{
	struct book *b = state;
	uint64_t number;
	memcpy(&number, event->data.data, sizeof number);
	if (strcmp(event->type, "confirmed") == 0)
		return sm_confirm(self, number) ? SM_OK : SM_CORRUPT;
	b->times[number]++;
	b->written++;
	return sm_deliver(self, "auditor", event->data, NULL);
}

static void ledger_deliver(struct sm_actor *self, void *state, const struct sm_delivery *delivery)
{
	uint64_t number;
	memcpy(&number, delivery->data.data, sizeof number);
	post(auditor, note_new(&got_type, (uint32_t)number, (uint32_t)number % LEDGERS, delivery->id));
}

/* ---- the auditor ---- */

static enum sm_err confirm(struct sm_actor *self, void *state, struct sm_msg *command)
{
	const struct note *n = (const struct note *)command;
	post(ledgers[n->ledger], note_new(&confirm_type, 0, 0, n->id));
	return SM_OK;
}

static enum sm_err auditor_command(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct note *n = (struct note *)msg;
	const struct book *b = state;
	if (msg->type == &show_type)
		show(self, b, "got", msg);
	else if (b->times[n->number])
		return confirm(self, state, msg);
	else
		return write_down(self, "got", n->number, confirm);
	return SM_OK;
}

static enum sm_err auditor_event(struct sm_actor *self, void *state, const struct sm_persist_event *event)
{
	struct book *b = state;
	uint64_t number;
	memcpy(&number, event->data.data, sizeof number);
	b->times[number]++;
	return SM_OK;
}

/* ---- both ---- */

static enum sm_err save(struct sm_actor *self, const void *state, struct sm_snapshot_out *out)
{
	sm_snapshot_write(out, state, sizeof(struct book));
	return SM_OK;
}

static enum sm_err load(struct sm_actor *self, void *state, struct sm_bytes data, const char *type)
{
	if (data.size != sizeof(struct book))
		return SM_CORRUPT;
	memcpy(state, data.data, data.size);
	return SM_OK;
}

/* What a restart cannot mend ends the program with its text: the test shows it. */
static enum sm_err signalled(struct sm_actor *self, void *state, const struct sm_persist_signal *signal)
{
	if (signal->kind != SM_PERSIST_RECOVERY_FAILED)
		return SM_OK;
	if (signal->err == SM_CORRUPT || signal->err == SM_OUT_OF_RANGE || signal->err == SM_VERSION || signal->err == SM_STALE_EPOCH) {
		printf("bad %s\n", signal->text);
		fflush(stdout);
	}
	return SM_OK;
}

static enum sm_err spawn(struct sm_system *system, struct sm_journal *journal, const char *id, bool audits, struct sm_ref **ret_ref)
{
	const struct sm_persistent_props props = {.id = id,
						  .name = id,
						  .state_size = sizeof(struct book),
						  .command = audits ? auditor_command : ledger_command,
						  .event = audits ? auditor_event : ledger_event,
						  .save = save,
						  .load = load,
						  .snapshot_every = 25,
						  .signal = signalled,
						  .deliver = audits ? NULL : ledger_deliver,
						  .delivery = {.interval_ms = 200},
						  .dispatcher = SM_DISPATCHER_ANY,
						  .supervision = {.restarts_max = UINT32_MAX, .backoff_min_ms = 5, .backoff_max_ms = 100}};
	return sm_persist_spawn(system, NULL, journal, &props, ret_ref);
}

static void show_one(struct sm_system *system, struct sm_ref *ref)
{
	struct sm_msg *shown;
	struct note *n = note_new(&show_type, 0, 0, 0);
	enum sm_err err = sm_ask_wait(system, ref, &n->msg, 120000, &shown);
	if (!err)
		sm_msg_free(shown);
	else
		printf("bad show: %s\n", sm_err_text(err));
}

static void serve(struct sm_system *system)
{
	char line[64], word[16];
	unsigned number = 0;
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "%15s %u", word, &number) < 1)
			continue;
		if (strcmp(word, "add") == 0) {
			while (number < NUMBERS && !post(ledgers[number % LEDGERS], note_new(&add_type, number, 0, 0)))
				;
			continue;
		}
		for (uint32_t i = 0; i < LEDGERS; i++)
			show_one(system, ledgers[i]);
		show_one(system, auditor);
		printf("end\n");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	struct sm_error error;
	struct sm_session *session;
	struct sm_system *system;
	struct sm_journal *journal;
	struct sm_journal_options options = {.topic = "books", .partitions = 2};
	char id[16];
	if (argc != 2 || sm_connect(argv[1], &session, &error) ||
	    sm_system_new(&(struct sm_system_options){.dispatchers = 2}, &system, &error))
		return fprintf(stderr, "ledgers: %s\n", argc == 2 ? error.text : "usage: ledgers DATA"), 1;
	options.log = sm_session_log(session);
	options.store = sm_session_store(session);
	enum sm_err err = sm_journal_open(&options, &journal, &error);
	if (!err && (err = spawn(system, journal, "auditor", true, &auditor)))
		sm_fail(&error, err, "%s", sm_err_text(err));
	for (uint32_t i = 0; i < LEDGERS && !err; i++) {
		snprintf(id, sizeof id, "ledger-%u", i);
		if ((err = spawn(system, journal, id, false, &ledgers[i])))
			sm_fail(&error, err, "%s", sm_err_text(err));
	}
	if (err)
		return fprintf(stderr, "ledgers: %s\n", error.text), 1;
	printf("ready\n");
	fflush(stdout);
	serve(system);
	(void)!sm_system_stop(system, 10000);
	for (uint32_t i = 0; i < LEDGERS; i++)
		sm_unref(ledgers[i]);
	sm_unref(auditor);
	(void)!sm_journal_close(journal, 10000);
	sm_disconnect(session);
	return 0;
}
