/* Bounds of the flow room. */
#ifndef FLOW_FLOW_LIMITS_H
#define FLOW_FLOW_LIMITS_H

#define FLOW_STAGES_MAX 1024      /* of one graph */
#define FLOW_INPUTS_MAX 1024      /* of a merge; branches of a broadcast */
#define FLOW_PARALLELISM_MAX 1024 /* of an asynchronous stage */
#define FLOW_BATCH_MAX (1u << 20) /* elements of a batch */
#define FLOW_WINDOW_DEFAULT 64    /* elements under way over an asynchronous boundary */
#define FLOW_WAITERS_MAX 1024     /* who are to be told of room in a queue */
#define FLOW_ELEMENTS_A_TURN 512  /* that sources give before other actors have their turn */
#define FLOW_BURST_MS 10          /* whose elements a throttle lets pass at once if it is not told how many */
#define FLOW_RETRY_MS 5           /* until what found a full mailbox, a full pool or no memory is tried again */

#endif
