/* Making batches, for the stages that do. */
#ifndef FLOW_BATCH_H
#define FLOW_BATCH_H

#include "flow/flow_internal.h"

struct sm_flow_batch_msg *flow__batch_new(void); /* NULL: no memory */
void flow__batch_add(struct sm_flow_batch_msg *batch, struct sm_msg *element);

#endif
