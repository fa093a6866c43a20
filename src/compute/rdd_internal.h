/* The inside of <smack/rdd.h>: contexts, rows and outputs. */
#ifndef COMPUTE_RDD_INTERNAL_H
#define COMPUTE_RDD_INTERNAL_H

#include "compute/compute_internal.h"
#include <smack/rdd.h>

/* ---- rdd_row.c ---- */

/* The first mistake that a job's function made; err SM_OK: none yet. */
struct row_fault {
	enum sm_err err;
	char text[300];
};
/* A row of a batch, or values by themselves. */
struct sm_row {
	const struct row_type *type; /* may have other names than the batch's own */
	const struct batch *batch;
	uint32_t index;
	const struct value *values; /* not NULL: these */
	struct row_fault *fault;    /* NULL: a mistake ends the program */
};
/* What a function has put for the row that is being made. */
struct sm_out {
	const struct row_type *type;
	struct value *staged; /* one a column */
	struct batch *batch;  /* emitted rows are added here; NULL: they stay staged */
	uint32_t fixed;       /* so many columns at the front cannot be put: the key of a reduction */
	uint32_t emitted, skipped;
	struct row_fault fault;
};
SM_MUST_CHECK enum sm_err out_init(struct sm_out *out, const struct row_type *type);
void out_done(struct sm_out *out);
void out_clear(struct sm_out *out, uint32_t from); /* columns from there on become null again */
enum sm_err row_fault_set(struct row_fault *fault, enum sm_err err, const char *fmt, ...) SM_PRINTF(3, 4);
struct value value_of_public(struct sm_value v);
struct sm_value value_to_public(struct value v);
/* "campaign uuid -> views bigint": ret_key_count 0 when there is no arrow. Errors: SM_SYNTAX, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err rdd_columns_parse(const char *text, struct row_type **ret_type, uint32_t *ret_key_count, struct sm_error *reterr);

/* ---- rdd.c ---- */

struct sm_rdd {
	struct sm_context *context;
	struct sm_rdd *next;
	struct dag_node *node; /* NULL: broken, the context knows why */
	uint32_t key_count;    /* pairs: so many columns at the front; else 0 */
	bool hashed;           /* each row lies in the partition that its key's hash chooses: no need to shuffle by it again */
};
struct sm_context {
	struct compute_env env;
	uint32_t shuffle_partitions;
	bool explain;
	char *keyspace;
	struct sm_rdd *rdds;
	struct sm_rdd broken;  /* stands for what could not be built */
	struct sm_error error; /* why */
	struct dag_stats stats;
};
/* Takes node. */
struct sm_rdd *rdd_new(struct sm_context *context, struct dag_node *node, uint32_t key_count);
struct sm_rdd *rdd_broken(struct sm_context *context, enum sm_err err, const char *fmt, ...) SM_PRINTF(3, 4);
/* How an operator by key reads rdd: as it lies, or shuffled. */
static inline enum dag_dependency rdd_by_key(const struct sm_rdd *rdd)
{
	return rdd->hashed && rdd->node->partitions == rdd->context->shuffle_partitions ? DAG_NARROW : DAG_SHUFFLE;
}
static inline struct sm_rdd *rdd_mark_hashed(struct sm_rdd *rdd, bool hashed)
{
	rdd->hashed = rdd->node && hashed;
	return rdd;
}
static inline bool rdd_is_broken(const struct sm_rdd *rdd)
{
	return rdd->node == NULL;
}
/* A node over one parent of its own; takes nothing. NULL: no memory or too deep. */
struct dag_node *rdd_child(size_t size, const struct dag_node_ops *ops, struct row_type *type, uint32_t partitions, struct dag_node *parent,
			   enum dag_dependency dependency, uint32_t key_count);

/* ---- rdd_group.c ---- */
/* The first `keys` columns of a row, hashed; shared by groups and joins. */
uint64_t rdd_key_hash(const struct batch *batch, uint32_t row, uint32_t keys);

#endif
