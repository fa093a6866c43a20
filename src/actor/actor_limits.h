/* Bounds of the actor room. */
#ifndef ACTOR_ACTOR_LIMITS_H
#define ACTOR_ACTOR_LIMITS_H

#define ACTOR_DISPATCHERS_MAX 64
#define ACTOR_POOL_THREADS_DEFAULT 4
#define ACTOR_POOL_THREADS_MAX 256
#define ACTOR_POOL_QUEUE_DEFAULT 65536
#define ACTOR_MAILBOX_DEFAULT 4096
#define ACTOR_MESSAGES_A_TURN_DEFAULT 64
/* A dispatcher looks after its sockets and timers at the latest after so many turns of actors or so much time. */
#define ACTOR_TASKS_A_TURN 1024
#define ACTOR_TURN_NS_MAX 500000
/* A dispatcher whose last sleeps were all ended by another thread within ACTOR_SLEEP_SHORT_NS waits awake for so long before it sleeps. So
 * many sleeps: 4, twice as many each time that it was in vain. Its sockets are looked at meanwhile, seldom. */
#define ACTOR_AWAKE_NS 10000
#define ACTOR_AWAKE_LOOK_NS 50000
#define ACTOR_SLEEP_SHORT_NS 50000
#define ACTOR_SHORT_SLEEPS_MIN 4
#define ACTOR_SHORT_SLEEPS_MAX 4096
#define ACTOR_UNCOUNTED_MAX 64   /* messages that are done with and still take a place in a mailbox; at most 1/64 of its places */
#define ACTOR_CHECK_EVERY_MAX 64 /* messages between two looks at the clock */
/* Asks under way on one dispatcher. */
#define ACTOR_ASKS_MAX (1u << 24)
#define ACTOR_TIMERS_MAX 65536 /* of one actor */
#define ACTOR_NAME_MAX 255
#define ACTOR_STATE_INSIDE_MAX 64 /* bytes of a state that stand in the actor; a larger one is apart, and freed before the address */
#define ACTOR_PINNED_DEFAULT 16
#define ACTOR_CONTROL_EXTRA 64    /* control messages past the mailbox's bound */
#define ACTOR_MEMBERS_MAX 4096    /* subscribers of a type, actors under a key */
#define ACTOR_KEY_MAX 255         /* bytes of a receptionist's key */
#define ACTOR_ROUTEES_MAX 1024    /* children of one router */
#define ACTOR_SLOW_MS_DEFAULT 200 /* a handler that takes longer is logged, if time is measured */
#define ACTOR_SLOW_LOG_MS 1000    /* at most one such line a dispatcher in this time */
#define ACTOR_SIM_DISPATCHERS_DEFAULT 16
#define ACTOR_SIM_STEPS_WAITED_MAX 100000 /* of a wait in which the clock does not move on */

#endif
