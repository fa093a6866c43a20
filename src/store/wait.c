/* Calls on any engine for threads that may block. */
#include "store/store.h"
#include <semaphore.h>

struct waiter {
	sem_t done;
	enum sm_err err;
	struct sm_error *reterr;
};

static void applied(void *arg, enum sm_err err)
{
	struct waiter *w = arg;
	w->err = err;
	sem_post(&w->done);
}

static void changed(void *arg, const struct sm_error *error)
{
	struct waiter *w = arg;
	w->err = error ? error->code : SM_OK;
	if (error && w->reterr)
		*w->reterr = *error;
	sem_post(&w->done);
}

static enum sm_err wait_for(struct waiter *w)
{
	while (sem_wait(&w->done))
		; /* a signal came between */
	sem_destroy(&w->done);
	return w->err;
}

enum sm_err store_apply_wait(struct sm_store *store, const struct store_batch *batch)
{
	struct waiter w = {0};
	sem_init(&w.done, 0, 0);
	store->ops->apply(store, batch, applied, &w);
	return wait_for(&w);
}

enum sm_err store_transact_wait(struct sm_store *store, const struct store_transaction *transaction)
{
	struct waiter w = {0};
	sem_init(&w.done, 0, 0);
	store->ops->transact(store, transaction, applied, &w);
	return wait_for(&w);
}

enum sm_err store_change_wait(struct sm_store *store, const struct store_change *change, struct sm_error *reterr)
{
	struct waiter w = {.reterr = reterr};
	sem_init(&w.done, 0, 0);
	store->ops->change(store, change, changed, &w);
	return wait_for(&w);
}
