/* The queue of sm_flow_from_queue as the rest of the room sees it. */
#ifndef FLOW_QUEUE_H
#define FLOW_QUEUE_H

#include "flow/flow_internal.h"

struct sm_flow_queue *flow__queue_ref(struct sm_flow_queue *queue);
/* Those of the run that belong to this outermost restart; scope NULL: all. They take and give nothing any more. Thread: any. */
void flow__queues_close(struct sm_flow_run *run, const struct flow_section *scope);
/* All of the run take no more; what they hold goes on. Thread: any. */
void flow__queues_complete(struct sm_flow_run *run);
uint64_t flow__queue_dropped(struct flow_stage *s);
void flow__queue_free(struct flow_stage *s);

#endif
