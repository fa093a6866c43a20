/* Accounts that remember what happened to them: event-sourced actors. No listing of the article; Akka Persistence's own example is like it.
 *
 * The state is a balance. A command looks at it and decides; what it decides is an event, a record of topic `accounts`; when the event is
 * on disk it changes the balance, and the answer goes out. The next start of the program finds the balance again, from the newest snapshot
 * and the events after it. Money that is transferred is taken from one account at once and delivered to the other until that has confirmed
 * it: should the program be killed in between, it goes on when both accounts are used next.
 *
 *	12-bank-account anna deposit 100        ($SMACK_DATA says where the server's data lie)
 *	12-bank-account anna withdraw 30
 *	12-bank-account anna transfer 20 bob
 *	12-bank-account anna balance
 *	12-bank-account anna balance 1          (as it was after its first event) */
#include <pthread.h>
#include <smack/persist.h>
#include <smack/session.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- messages ---- */

struct command {
	struct sm_msg msg;
	int64_t amount;
	char other[64]; /* to whom; of a receive: from whom */
	uint64_t id;    /* of a delivery */
};
struct answer {
	struct sm_msg msg;
	enum sm_err err;
	int64_t balance, on_the_way;
};
static void msg_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type deposit_type = {"deposit", msg_done, NULL}, withdraw_type = {"withdraw", msg_done, NULL},
				transfer_type = {"transfer", msg_done, NULL}, receive_type = {"receive", msg_done, NULL},
				confirm_type = {"confirm", msg_done, NULL}, balance_type = {"balance", msg_done, NULL},
				answer_type = {"answer", msg_done, NULL};

static struct command *command_new(const struct sm_msg_type *type, int64_t amount, const char *other, uint64_t id)
{
	struct command *c = calloc(1, sizeof *c);
	if (!c)
		abort();
	c->msg.type = type;
	c->amount = amount;
	c->id = id;
	snprintf(c->other, sizeof c->other, "%s", other);
	return c;
}

/* ---- the accounts that are at work ---- */

static struct {
	pthread_mutex_t lock;
	struct sm_system *system;
	struct sm_journal *journal;
	int64_t to_sequence; /* of the first, if it is asked for its past */
	struct sm_ref *refs[100];
	char names[100][64];
	uint32_t count;
} open_accounts = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum sm_err account_open(const char *name, struct sm_ref **ret_ref);

static void send(const char *name, struct command *c)
{
	struct sm_ref *to;
	if (account_open(name, &to) || sm_send(to, &c->msg))
		sm_msg_free(&c->msg); /* a delivery is made again */
}

/* ---- the account ---- */

/* What a snapshot holds, as it is: on one machine that will do. */
struct account {
	int64_t balance;
	uint32_t received_count;
	struct received {
		char from[64];
		uint64_t id;
	} received[1000]; /* transfers that have come: each may come again */
};

static void reply(struct sm_actor *self, const struct account *a, const struct sm_msg *command, enum sm_err err)
{
	struct answer *answer = calloc(1, sizeof *answer);
	if (!answer)
		abort();
	*answer = (struct answer){{.type = &answer_type}, err, a->balance, 1000 - sm_delivery_room(self)};
	sm_reply(self, command, &answer->msg);
}

/* Effects: the event is on disk. */
static enum sm_err done(struct sm_actor *self, void *state, struct sm_msg *command)
{
	reply(self, state, command, SM_OK);
	return SM_OK;
}

static enum sm_err received(struct sm_actor *self, void *state, struct sm_msg *command)
{
	const struct command *c = (const struct command *)command;
	send(c->other, command_new(&confirm_type, 0, "", c->id));
	return SM_OK;
}

static bool has_come(const struct account *a, const struct command *c)
{
	for (uint32_t i = 0; i < a->received_count; i++)
		if (a->received[i].id == c->id && strcmp(a->received[i].from, c->other) == 0)
			return true;
	return false;
}

/* "AMOUNT ID OTHER", of any event. */
static enum sm_err persist(struct sm_actor *self, const char *type, const struct command *c, sm_persisted_fn effect)
{
	char text[128];
	int size = snprintf(text, sizeof text, "%lld %llu %s", (long long)c->amount, (unsigned long long)c->id, c->other);
	struct sm_persist_event event = {.data = {text, (size_t)size}, .type = type};
	return sm_persist(self, &event, 1, effect);
}

static enum sm_err account_command(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	const struct account *a = state;
	const struct command *c = (const struct command *)msg;
	if (msg->type == &deposit_type && c->amount > 0)
		return persist(self, "deposited", c, done);
	if (msg->type == &withdraw_type && c->amount > 0 && c->amount <= a->balance)
		return persist(self, "withdrawn", c, done);
	if (msg->type == &transfer_type && c->amount > 0 && c->amount <= a->balance && sm_delivery_room(self))
		return persist(self, "transferred", c, done);
	if (msg->type == &receive_type) {
		if (has_come(a, c))
			return received(self, state, msg); /* confirmed again */
		return a->received_count < 1000 ? persist(self, "received", c, received) : SM_OK;
	}
	if (msg->type == &confirm_type)
		return sm_is_unconfirmed(self, c->id) ? persist(self, "confirmed", c, NULL) : SM_OK;
	reply(self, a, msg, msg->type == &balance_type ? SM_OK : SM_INVALID);
	return SM_OK;
}

static enum sm_err account_event(struct sm_actor *self, void *state, const struct sm_persist_event *event)
{
	struct account *a = state;
	char text[128];
	struct received from = {0};
	long long amount;
	unsigned long long id;
	snprintf(text, sizeof text, "%.*s", (int)event->data.size, (const char *)event->data.data);
	if (sscanf(text, "%lld %llu %63s", &amount, &id, from.from) < 2)
		return SM_CORRUPT;
	from.id = id;
	if (strcmp(event->type, "deposited") == 0) {
		a->balance += amount;
	} else if (strcmp(event->type, "withdrawn") == 0) {
		a->balance -= amount;
	} else if (strcmp(event->type, "transferred") == 0) {
		a->balance -= amount;
		snprintf(text, sizeof text, "%lld", amount);
		return sm_deliver(self, from.from, (struct sm_bytes){text, strlen(text)}, NULL);
	} else if (strcmp(event->type, "received") == 0) {
		a->balance += amount;
		a->received[a->received_count++] = from;
	} else if (strcmp(event->type, "confirmed") == 0) {
		sm_confirm(self, id);
	} else {
		return SM_VERSION; /* written by a newer program */
	}
	return SM_OK;
}

static void account_deliver(struct sm_actor *self, void *state, const struct sm_delivery *delivery)
{
	char text[32];
	snprintf(text, sizeof text, "%.*s", (int)delivery->data.size, (const char *)delivery->data.data);
	send(delivery->to, command_new(&receive_type, strtoll(text, NULL, 10), sm_persistence_id(self), delivery->id));
}

static enum sm_err account_save(struct sm_actor *self, const void *state, struct sm_snapshot_out *out)
{
	sm_snapshot_write(out, state, sizeof(struct account));
	return SM_OK;
}

static enum sm_err account_load(struct sm_actor *self, void *state, struct sm_bytes data, const char *type)
{
	if (data.size != sizeof(struct account))
		return SM_VERSION;
	memcpy(state, data.data, data.size);
	return SM_OK;
}

static enum sm_err account_signal(struct sm_actor *self, void *state, const struct sm_persist_signal *signal)
{
	if (signal->kind == SM_PERSIST_RECOVERY_FAILED || signal->kind == SM_PERSIST_WRITE_FAILED)
		fprintf(stderr, "bank-account: %s\n", signal->text);
	return SM_OK;
}

static enum sm_err account_spawn(const char *name, struct sm_ref **ret_ref)
{
	const struct sm_persistent_props props = {
		.name = name,
		.id = name,
		.state_size = sizeof(struct account),
		.command = account_command,
		.event = account_event,
		.save = account_save,
		.load = account_load,
		.snapshot_type = "account-1",
		.snapshot_every = 100,
		.signal = account_signal,
		.deliver = account_deliver,
		.delivery = {.interval_ms = 200, .unconfirmed_max = 1000},
		.dispatcher = SM_DISPATCHER_ANY,
		.supervision = {.restarts_max = 100, .window_ms = 60000, .backoff_min_ms = 100, .backoff_max_ms = 2000},
		.recovery = {.to_sequence = open_accounts.count ? 0 : open_accounts.to_sequence}};
	return sm_persist_spawn(open_accounts.system, NULL, open_accounts.journal, &props, ret_ref);
}

/* ret_ref is borrowed. */
static enum sm_err account_open(const char *name, struct sm_ref **ret_ref)
{
	enum sm_err err = SM_OK;
	uint32_t i = 0;
	pthread_mutex_lock(&open_accounts.lock);
	while (i < open_accounts.count && strcmp(open_accounts.names[i], name) != 0)
		i++;
	if (i == 100 || strlen(name) >= sizeof open_accounts.names[0])
		err = SM_FULL;
	else if (i == open_accounts.count && !(err = account_spawn(name, &open_accounts.refs[i]))) {
		strcpy(open_accounts.names[i], name);
		open_accounts.count++;
	}
	if (!err)
		*ret_ref = open_accounts.refs[i];
	pthread_mutex_unlock(&open_accounts.lock);
	return err;
}

/* ---- the program ---- */

static enum sm_err ask(const char *name, const struct sm_msg_type *type, int64_t amount, const char *other, struct answer *ret_answer)
{
	struct sm_ref *account;
	struct sm_msg *answer;
	enum sm_err err = account_open(name, &account);
	if (err)
		return err;
	struct command *c = command_new(type, amount, other, 0);
	err = sm_ask_wait(open_accounts.system, account, &c->msg, 30000, &answer);
	if (!err) {
		*ret_answer = *(struct answer *)answer;
		err = ret_answer->err;
		sm_msg_free(answer);
	} else if (err != SM_TIMEOUT && err != SM_CANCELLED) {
		sm_msg_free(&c->msg);
	}
	return err;
}

static enum sm_err work(int argc, char **argv, struct answer *ret_answer)
{
	static const struct sm_msg_type *const types[] = {&deposit_type, &withdraw_type, &transfer_type, &balance_type};
	const struct sm_msg_type *type = NULL;
	int64_t amount = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
	for (int i = 0; i < 4; i++)
		if (strcmp(types[i]->name, argv[2]) == 0)
			type = types[i];
	if (!type || (type == &transfer_type && argc < 5))
		return SM_INVALID;
	if (type == &balance_type)
		open_accounts.to_sequence = amount;
	enum sm_err err = ask(argv[1], type, amount, argc > 4 ? argv[4] : "", ret_answer);
	/* Until all money has arrived, also what an earlier run was killed over. */
	while (!err && !open_accounts.to_sequence && ret_answer->on_the_way) {
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		err = ask(argv[1], &balance_type, 0, "", ret_answer);
	}
	return err;
}

int main(int argc, char **argv)
{
	struct sm_error error = {0};
	struct sm_session *session = NULL;
	struct answer answer = {0};
	if (argc < 3)
		return fprintf(stderr, "usage: 12-bank-account NAME deposit|withdraw AMOUNT | transfer AMOUNT NAME | balance [EVENTS]\n"),
		       2;
	enum sm_err err = sm_connect(NULL, &session, &error);
	if (!err)
		err = sm_system_new(&(struct sm_system_options){.dispatchers = 2}, &open_accounts.system, &error);
	if (!err) {
		const struct sm_journal_options options = {
			.log = sm_session_log(session), .store = sm_session_store(session), .topic = "accounts", .keyspace = "bank"};
		err = sm_journal_open(&options, &open_accounts.journal, &error);
	}
	if (!err && (err = work(argc, argv, &answer)))
		sm_fail(&error, err, "%s %s: %s", argv[1], argv[2], sm_err_text(err));
	if (err)
		fprintf(stderr, "bank-account: %s\n", error.text);
	else
		printf("%s has %lld\n", argv[1], (long long)answer.balance);
	if (open_accounts.system)
		(void)!sm_system_stop(open_accounts.system, 10000);
	for (uint32_t i = 0; i < open_accounts.count; i++)
		sm_unref(open_accounts.refs[i]);
	(void)!sm_journal_close(open_accounts.journal, 10000);
	sm_disconnect(session);
	return err ? 1 : 0;
}
