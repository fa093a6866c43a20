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
#define ACTOR_CHECK_EVERY_MAX 64 /* messages between two looks at the clock */
/* Asks under way on one dispatcher. */
#define ACTOR_ASKS_MAX (1u << 24)
#define ACTOR_TIMERS_MAX 65536 /* of one actor */
#define ACTOR_NAME_MAX 255

#endif
