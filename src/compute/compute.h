/* Batch jobs and SQL: see batch.h (columns), dag.h (graph and executor), sql.h (SQL). The public face for C jobs is <smack/rdd.h>. */
#ifndef COMPUTE_COMPUTE_H
#define COMPUTE_COMPUTE_H

#include "compute/batch.h"
#include "compute/dag.h"
#include "compute/sql.h"

#endif
