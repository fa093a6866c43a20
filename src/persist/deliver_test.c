/* At-least-once delivery on the simulation: whatever fails, each delivery arrives, under one id, until it is confirmed, and no longer. */
#include "persist/fake_testing.h"

#define ORDERS 40
#define INTERVAL_MS 100

/* ---- an actor that sends orders, and writes down which have been confirmed ---- */

struct shop {
	uint32_t sent, confirmed;
};
struct shop_msg {
	struct sm_msg msg;
	uint64_t number; /* of an order, or the id of a delivery */
};
static struct {
	struct sm_ref *shop;
	struct sm_system *system;
	bool wanted[ORDERS], written[ORDERS];
	uint32_t arrived[ORDERS];
	uint64_t id[ORDERS];
	uint32_t lost, warnings, unconfirmed, attempts_max;
	struct shop state;
	bool shown, deaf; /* deaf: nothing arrives */
} seen;

static void shop_msg_done(struct sm_msg *msg)
{
	atomic_fetch_sub(&testing_live, 1);
	free(msg);
}
static const struct sm_msg_type order_type = {"order", shop_msg_done, NULL}, confirm_type = {"confirm", shop_msg_done, NULL},
				show_type = {"show", shop_msg_done, NULL};

static bool tell_shop(const struct sm_msg_type *type, uint64_t number)
{
	struct shop_msg *m = calloc(1, sizeof *m);
	assert_non_null(m);
	atomic_fetch_add(&testing_live, 1);
	m->msg.type = type;
	m->number = number;
	if (seen.shop && !sm_send(seen.shop, &m->msg))
		return true;
	sm_msg_free(&m->msg);
	return false;
}

static enum sm_err written(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	seen.written[((struct shop_msg *)msg)->number] = true;
	return SM_OK;
}

static enum sm_err shop_command(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	uint64_t number = ((struct shop_msg *)msg)->number;
	if (msg->type == &show_type) {
		seen.state = *(struct shop *)state;
		seen.unconfirmed = 1000 - sm_delivery_room(self);
		seen.shown = true;
		return SM_OK;
	}
	bool order = msg->type == &order_type;
	if (!order && !sm_is_unconfirmed(self, number))
		return SM_OK; /* it was confirmed before */
	struct sm_persist_event event = {.data = {&number, sizeof number}, .type = order ? "sent" : "confirmed"};
	assert_int_equal(sm_deliver(self, "elsewhere", (struct sm_bytes){"", 0}, NULL), SM_INVALID);
	assert_int_equal(sm_persist(self, &event, 1, order ? written : NULL), SM_OK);
	return SM_OK;
}

static enum sm_err shop_event(struct sm_actor *self, void *state, const struct sm_persist_event *event)
{
	struct shop *shop = state;
	uint64_t number, id;
	memcpy(&number, event->data.data, sizeof number);
	if (strcmp(event->type, "sent") == 0) {
		enum sm_err err = sm_deliver(self, "warehouse", event->data, &id);
		if (err)
			return err;
		if (seen.id[number])
			assert_int_equal(seen.id[number], id);
		seen.id[number] = id;
		shop->sent++;
	} else {
		assert_true(sm_confirm(self, number));
		assert_false(sm_confirm(self, number));
		shop->confirmed++;
	}
	return SM_OK;
}

/* The way there, and back, may lose it. */
static void shop_deliver(struct sm_actor *self, void *state, const struct sm_delivery *delivery)
{
	uint64_t number;
	memcpy(&number, delivery->data.data, sizeof number);
	assert_string_equal(delivery->to, "warehouse");
	assert_int_equal(delivery->id, seen.id[number]);
	if (delivery->attempt > seen.attempts_max)
		seen.attempts_max = delivery->attempt;
	if (seen.deaf || sm_sim_random(seen.system, 3) == 0) {
		seen.lost++;
		return;
	}
	seen.arrived[number]++;
	if (sm_sim_random(seen.system, 3))
		tell_shop(&confirm_type, delivery->id);
}

static enum sm_err shop_save(struct sm_actor *self, const void *state, struct sm_snapshot_out *out)
{
	sm_snapshot_write(out, state, sizeof(struct shop));
	return SM_OK;
}

static enum sm_err shop_load(struct sm_actor *self, void *state, struct sm_bytes data, const char *type)
{
	assert_int_equal(data.size, sizeof(struct shop));
	memcpy(state, data.data, data.size);
	return SM_OK;
}

static enum sm_err shop_signal(struct sm_actor *self, void *state, const struct sm_persist_signal *signal)
{
	if (signal->kind == SM_PERSIST_UNCONFIRMED) {
		seen.warnings++;
		assert_int_equal(signal->delivery->attempt, 3);
	}
	return SM_OK;
}

static void open_shop(struct fake *f, struct sm_journal *journal)
{
	struct sm_persistent_props props = {
		.id = "shop",
		.state_size = sizeof(struct shop),
		.command = shop_command,
		.event = shop_event,
		.save = shop_save,
		.load = shop_load,
		.snapshot_every = 5,
		.signal = shop_signal,
		.deliver = shop_deliver,
		.delivery = {.interval_ms = INTERVAL_MS, .unconfirmed_max = 1000, .warn_after = 3, .burst_max = 7},
		.dispatcher = SM_DISPATCHER_ANY,
		.supervision = {.restarts_max = 100000, .backoff_min_ms = 1, .backoff_max_ms = 50}};
	assert_int_equal(sm_persist_spawn(f->system, NULL, journal, &props, &seen.shop), SM_OK);
}

static void close_shop(void)
{
	sm_stop_now(seen.shop);
	sm_unref(seen.shop);
	seen.shop = NULL;
}

static struct fake *begin(struct sm_journal **ret_journal)
{
	struct sm_system *system = sim_new();
	struct fake *f = fake_new(system);
	memset(&seen, 0, sizeof seen);
	seen.system = system;
	*ret_journal = fake_journal(f);
	return f;
}

static void end(struct fake *f, struct sm_journal *journal)
{
	close_shop();
	fake_advance(f, 100);
	sim_end(f->system);
	assert_int_equal(sm_journal_close(journal, 0), SM_OK);
	fake_free(f);
}

static void show(struct fake *f)
{
	seen.shown = false;
	assert_true(tell_shop(&show_type, 0));
	fake_advance(f, 100);
	assert_true(seen.shown);
}

SIM_TEST(each_delivery_arrives_until_it_is_confirmed_whatever_fails)
{
	struct sm_journal *journal;
	struct fake *f = begin(&journal);
	f->refuse = (uint32_t)(sim_seed % 3) * 4;
	f->fail = (uint32_t)(sim_seed / 3 % 3) * 3;
	open_shop(f, journal);
	for (uint32_t order = 0; order < ORDERS; order++) {
		seen.wanted[order] = tell_shop(&order_type, order);
		for (uint64_t steps = sm_sim_random(f->system, 40); steps && fake_step(f); steps--)
			;
		sm_sim_advance(f->system, sm_sim_random(f->system, 60));
		if (sm_sim_random(f->system, 15) == 0) {
			close_shop();
			open_shop(f, journal);
		}
	}
	f->refuse = f->fail = 0;
	fake_advance(f, INTERVAL_MS * 60);
	show(f);
	assert_int_equal(seen.unconfirmed, 0);
	assert_int_equal(seen.state.sent, seen.state.confirmed);
	for (uint32_t order = 0; order < ORDERS; order++)
		if (seen.written[order])
			assert_true(seen.arrived[order] > 0);
	uint32_t arrived = 0;
	for (uint32_t order = 0; order < ORDERS; order++)
		arrived += seen.arrived[order];
	fake_advance(f, INTERVAL_MS * 10); /* what is confirmed is sent no more */
	for (uint32_t order = 0; order < ORDERS; order++)
		arrived -= seen.arrived[order];
	assert_int_equal(arrived, 0);
	end(f, journal);
}

SIM_TEST(who_does_not_confirm_is_told_of_and_bursts_are_bounded)
{
	struct sm_journal *journal;
	struct fake *f = begin(&journal);
	seen.deaf = true;
	open_shop(f, journal);
	for (uint32_t order = 0; order < 20; order++)
		assert_true(tell_shop(&order_type, order));
	fake_advance(f, 0);
	show(f);
	assert_int_equal(seen.unconfirmed, 20);
	assert_int_equal(seen.state.sent, 20);
	fake_advance(f, INTERVAL_MS * 20);
	assert_int_equal(seen.warnings, 20);
	assert_true(seen.attempts_max > 3);
	close_shop();
	open_shop(f, journal); /* they are part of the state: seven at once, the others later */
	seen.lost = 0;
	for (int i = 0; i < 1000 && seen.lost < 7; i++)
		fake_step(f);
	while (fake_step(f))
		;
	assert_int_equal(seen.lost, 7);
	seen.deaf = false;
	fake_advance(f, INTERVAL_MS * 60);
	show(f);
	assert_int_equal(seen.unconfirmed, 0);
	end(f, journal);
}

/* ---- the bytes ---- */

static void deliveries_come_back_from_a_snapshot_and_nothing_else_does(void **unused)
{
	struct deliveries list = {0}, back = {0};
	struct buf out;
	struct bytes rest;
	buf_init(&out);
	static const uint8_t snapshot[] = {1, 0,   0, 0, 0, 0, 0,   0, 9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3,
					   1, 'a', 0, 0, 0, 1, 'x', 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 'u'};
	assert_int_equal(persist__deliveries_take(bytes_of(snapshot, sizeof snapshot), &list, &rest), SM_OK);
	assert_int_equal(rest.size, 1);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.last_id, 9);
	assert_string_equal(list.items[0]->delivery.to, "a");
	persist__deliveries_put(&out, &list);
	assert_int_equal(buf_size(&out), sizeof snapshot - 1);
	assert_memory_equal(out.data + out.start, snapshot, sizeof snapshot - 1);
	for (size_t size = 0; size < sizeof snapshot - 1; size++)
		assert_int_equal(persist__deliveries_take(bytes_of(snapshot, size), &back, &rest), SM_CORRUPT);
	assert_int_equal(persist__deliveries_take(BYTES("\2"), &back, &rest), SM_VERSION);
	buf_done(&out);
	persist__deliveries_done(&list);
	persist__deliveries_done(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_delivery_arrives_until_it_is_confirmed_whatever_fails),
		cmocka_unit_test(who_does_not_confirm_is_told_of_and_bursts_are_bounded),
		cmocka_unit_test(deliveries_come_back_from_a_snapshot_and_nothing_else_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
