/* Dead letters: messages that their receivers will never read. They are counted, and told to those who have subscribed to
 * sm_msg_dead_letter; these share the letter itself, which is freed with the last notice. */
#include "actor/actor_internal.h"
#include "actor/members.h"
#include <stdlib.h>

struct letter {
	atomic_uint holders;
	struct sm_msg *msg;
};

struct notice {
	struct sm_dead_letter_msg dead;
	struct letter *letter;
};

static void letter_release(struct letter *letter)
{
	if (atomic_fetch_sub(&letter->holders, 1) > 1)
		return;
	sm_msg_free(letter->msg);
	free(letter);
}

static void notice_done(struct sm_msg *msg)
{
	struct notice *n = (struct notice *)msg;
	sm_unref(n->dead.to);
	letter_release(n->letter);
	free(n);
}
const struct sm_msg_type sm_msg_dead_letter = {"dead_letter", notice_done, NULL};

static void tell(struct sm_ref *subscriber, struct sm_ref *to, struct letter *letter, const struct sm_msg_type *type, enum sm_err why)
{
	struct notice *n = calloc(1, sizeof *n);
	if (!n)
		return;
	atomic_fetch_add(&letter->holders, 1);
	n->letter = letter;
	n->dead = (struct sm_dead_letter_msg){
		.msg.type = &sm_msg_dead_letter, .type = type, .letter = letter->msg, .to = sm_ref_get(to), .why = why};
	if (sm_send(subscriber, &n->dead.msg))
		notice_done(&n->dead.msg);
}

void actor__dead_letter(struct sm_system *system, struct sm_ref *to, struct sm_msg *msg, enum sm_err why)
{
	const struct sm_msg_type *type = msg->type;
	struct members *members = NULL;
	struct letter *letter = NULL;
	atomic_fetch_add_explicit(&system->dead_letters, 1, memory_order_relaxed);
	/* A dead letter that nobody reads is not told of: there would be no end to it. */
	if (type != &sm_msg_dead_letter)
		members = actor__subscribers(system, &sm_msg_dead_letter);
	if (members && (letter = calloc(1, sizeof *letter)))
		atomic_init(&letter->holders, 1);
	if (!letter) {
		sm_msg_free(msg);
	} else {
		if (type->done)
			letter->msg = msg;
		else
			sm_msg_free(msg); /* its owner's */
		for (uint32_t i = 0; i < members->count; i++)
			tell(members->refs[i], to, letter, type, why);
		letter_release(letter);
	}
	actor__members_release(members);
}

uint64_t sm_dead_letters(const struct sm_system *system)
{
	return atomic_load_explicit(&system->dead_letters, memory_order_relaxed);
}
