/* Batch jobs and SQL: see batch.h (columns), dag.h (graph and executor), sql.h (SQL). The public face for C jobs is <smack/rdd.h>. */
#ifndef COMPUTE_COMPUTE_H
#define COMPUTE_COMPUTE_H

#include "compute/batch.h"
#include "compute/dag.h"
#include "compute/sql.h"
#include <smack/rdd.h>

/* For those who run jobs in the server: the schemas that topics have (compute_env.topic_schema). */
void context_set_schemas(struct sm_context *context, const struct schema *(*topic_schema)(void *arg, const char *topic), void *arg);

#endif
