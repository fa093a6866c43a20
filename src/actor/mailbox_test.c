/* Sending: order, bounds, ownership, what happens to messages for those who have ended. */
#include "actor/testing.h"
#include <pthread.h>

struct collector {
	atomic_ulong seen, out_of_order;
	atomic_bool *gate;
	uint64_t last[8]; /* by sender */
};

/* A number is (sender << 32 | sequence from 1). */
static enum sm_err collect(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct collector *c = *(struct collector **)state;
	if (c->gate)
		gate_wait(c->gate);
	uint64_t sender = number_of(msg) >> 32, sequence = number_of(msg) & UINT32_MAX;
	if (sequence != c->last[sender] + 1)
		atomic_fetch_add(&c->out_of_order, 1);
	c->last[sender] = sequence;
	atomic_fetch_add(&c->seen, 1);
	return SM_OK;
}
static enum sm_err collector_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return SM_OK;
}

static struct sm_ref *collector_spawn(struct sm_system *system, struct collector *c, uint32_t mailbox_max)
{
	struct sm_ref *ref;
	struct sm_props props = {.state_size = sizeof(void *),
				 .init = collector_init,
				 .receive = collect,
				 .arg = c,
				 .mailbox_max = mailbox_max,
				 .dispatcher = 0};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	return ref;
}

struct sender {
	struct sm_ref *to;
	uint64_t id, count;
};
static void *send_all(void *arg)
{
	struct sender *s = arg;
	for (uint64_t i = 1; i <= s->count; i++) {
		struct sm_msg *msg = number_new(s->id << 32 | i);
		while (sm_send(s->to, msg) == SM_FULL)
			sched_yield();
	}
	return NULL;
}

static void messages_of_each_sender_arrive_in_order_and_once(void **unused)
{
	struct sm_system *system = system_with(2);
	struct collector c = {0};
	struct sm_ref *ref = collector_spawn(system, &c, 100);
	struct sender senders[4];
	pthread_t threads[4];
	for (uint64_t i = 0; i < 4; i++) {
		senders[i] = (struct sender){ref, i, 20000};
		assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	eventually(atomic_load(&c.seen) == 80000);
	assert_int_equal(atomic_load(&c.out_of_order), 0);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static void a_full_mailbox_refuses_and_the_sender_keeps_the_message(void **unused)
{
	struct sm_system *system = system_with(1);
	atomic_bool gate = false;
	struct collector c = {.gate = &gate};
	struct sm_ref *ref = collector_spawn(system, &c, 4);
	uint64_t sent = 0;
	enum sm_err err = SM_OK;
	struct sm_msg *msg = NULL;
	/* The bound may have counted the actor's start, so a first refusal can come one early. */
	for (; !err && sent <= 4; sent++) {
		msg = number_new(sent + 1);
		err = sm_send(ref, msg);
	}
	assert_int_equal(err, SM_FULL);
	assert_in_range(sent, 4, 5);
	assert_int_equal(number_of(msg), sent);
	assert_int_equal(sm_send_reply(ref, msg), SM_OK); /* past the bound */
	atomic_store(&gate, true);
	eventually(atomic_load(&c.seen) == sent);
	assert_int_equal(atomic_load(&c.out_of_order), 0);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static void after_the_end_sends_are_refused_and_what_was_queued_behind_the_stop_is_freed(void **unused)
{
	struct sm_system *system = system_with(1);
	atomic_bool gate = false;
	struct collector c = {.gate = &gate};
	struct sm_ref *ref = collector_spawn(system, &c, 100);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(sm_send(ref, number_new(i)), SM_OK);
	sm_stop(ref);
	sm_stop(ref);
	assert_int_equal(sm_send(ref, number_new(6)), SM_OK);
	atomic_store(&gate, true);
	struct sm_msg *late = number_new(7);
	enum sm_err err;
	eventually((err = sm_send(ref, late)) == SM_GONE || (late = number_new(7), false));
	assert_int_equal(sm_send_reply(ref, late), SM_GONE);
	sm_msg_free(late);
	assert_int_equal(atomic_load(&c.seen), 5);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

/* An embedded message comes back to its owner, who may free it in the handler. */
struct owner {
	struct sm_msg msg;
	atomic_int *freed;
};
static const struct sm_msg_type owner_type = {"owner", NULL};
static enum sm_err free_owner(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct owner *owner = (struct owner *)msg;
	atomic_fetch_add(owner->freed, 1);
	free(owner);
	return SM_OK;
}
static enum sm_err keep_then_free(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	sm_msg_keep(self);
	sm_msg_free(msg);
	return SM_OK;
}

static void an_embedded_message_may_be_freed_by_its_handler(void **unused)
{
	struct sm_system *system = system_with(1);
	struct sm_ref *ref, *keeper;
	struct sm_props props = {.receive = free_owner, .dispatcher = -1};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	props.receive = keep_then_free;
	assert_int_equal(sm_spawn(system, NULL, &props, &keeper), SM_OK);
	atomic_int freed = 0;
	for (int i = 0; i < 10; i++) {
		struct owner *owner = calloc(1, sizeof *owner);
		*owner = (struct owner){.msg.type = &owner_type, .freed = &freed};
		assert_int_equal(sm_send(ref, &owner->msg), SM_OK);
		assert_int_equal(sm_send(keeper, number_new(1)), SM_OK);
	}
	eventually(atomic_load(&freed) == 10 && atomic_load(&testing_live) == 0);
	sm_unref(ref);
	sm_unref(keeper);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

static enum sm_err keep_then_forward(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	sm_msg_keep(self);
	if (sm_forward(self, *(struct sm_ref **)state, msg))
		sm_msg_free(msg); /* still the handler's */
	return SM_OK;
}
static enum sm_err forward_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct sm_ref **)state = arg;
	return SM_OK;
}

static void what_is_kept_stays_the_handler_s_when_it_cannot_be_forwarded(void **unused)
{
	struct sm_system *system = system_with(1);
	atomic_bool gate = true;
	struct collector c = {.gate = &gate};
	struct sm_ref *gone = collector_spawn(system, &c, 4), *ref;
	sm_stop(gone);
	assert_int_equal(sm_stop_wait(system, gone, DEADLINE_MS, NULL), SM_OK);
	struct sm_props props = {.receive = keep_then_forward,
				 .init = forward_init,
				 .arg = gone,
				 .state_size = sizeof(struct sm_ref *),
				 .dispatcher = SM_DISPATCHER_ANY};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(sm_send(ref, number_new(1)), SM_OK);
	eventually(atomic_load(&testing_live) == 0);
	sm_unref(ref);
	sm_unref(gone);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

/* ---- a window as large as the mailbox ---- */

#define WINDOW 1024
struct window {
	struct sm_ref *there, *back;
	atomic_uint returned, refused;
};
static enum sm_err window_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct window **)state = arg;
	return SM_OK;
}
static enum sm_err window_hand_on(struct sm_actor *self, struct window *w, struct sm_ref *to, struct sm_msg *msg)
{
	enum sm_err err = atomic_load(&w->returned) < 200000 ? sm_forward(self, to, msg) : SM_OK;
	if (err)
		atomic_fetch_add(&w->refused, 1);
	return SM_OK;
}
static enum sm_err window_there(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct window *w = *(struct window **)state;
	return window_hand_on(self, w, w->back, msg);
}
static enum sm_err window_back(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct window *w = *(struct window **)state;
	atomic_fetch_add(&w->returned, 1);
	return window_hand_on(self, w, w->there, msg);
}

/* Those that have been handled take no place: who has no more under way than there are places is never refused. */
static void a_window_as_large_as_the_mailbox_is_never_refused(void **unused)
{
	struct sm_system *system = system_with(2);
	static struct window w;
	struct sm_props props = {.state_size = sizeof(void *),
				 .init = window_init,
				 .receive = window_there,
				 .arg = &w,
				 .mailbox_max = WINDOW,
				 .dispatcher = 0};
	assert_int_equal(sm_spawn(system, NULL, &props, &w.there), SM_OK);
	props.receive = window_back;
	props.dispatcher = 1;
	assert_int_equal(sm_spawn(system, NULL, &props, &w.back), SM_OK);
	for (int i = 0; i < WINDOW - 1; i++) /* the bound counts the one that is being handled */
		assert_int_equal(sm_send(w.there, number_new(1)), SM_OK);
	eventually(atomic_load(&testing_live) == 0);
	assert_int_equal(w.refused, 0);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	sm_unref(w.there);
	sm_unref(w.back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_each_sender_arrive_in_order_and_once),
		cmocka_unit_test(a_full_mailbox_refuses_and_the_sender_keeps_the_message),
		cmocka_unit_test(after_the_end_sends_are_refused_and_what_was_queued_behind_the_stop_is_freed),
		cmocka_unit_test(an_embedded_message_may_be_freed_by_its_handler),
		cmocka_unit_test(what_is_kept_stays_the_handler_s_when_it_cannot_be_forwarded),
		cmocka_unit_test(a_window_as_large_as_the_mailbox_is_never_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
