/* Batches of mutations on their way to the target: of one partition where that is a real Cassandra, so that they need no journal there. */
#include "backup/migrate_store_internal.h"
#include <stdlib.h>

static void batch_free(struct migrate_batch *b)
{
	if (!b)
		return;
	arena_done(&b->arena);
	free(b);
}

void migrate__batch_failed(struct migrate_writer *w, enum sm_err err, int64_t token)
{
	int none = SM_OK;
	if (err && atomic_compare_exchange_strong(&w->err, &none, err))
		atomic_store(&w->err_token, token);
}

static void written(void *arg, enum sm_err err)
{
	struct migrate_batch *b = arg;
	struct migrate_writer *w = b->writer;
	migrate__batch_failed(w, err, b->token);
	batch_free(b);
	sem_post(&w->room);
}

static void wait_room(struct migrate_writer *w)
{
	while (sem_wait(&w->room))
		; /* a signal came between */
}

/* A row that is too large for a batch: its statements one after the other. */
static void write_singly(struct migrate_writer *w, struct migrate_batch *b)
{
	for (uint32_t i = 0; i < b->count && !atomic_load(&w->err); i++)
		migrate__batch_failed(
			w, store_apply_wait(w->store, &(struct store_batch){.mutations = &b->mutations[i], .count = 1, .now_s = w->now_s}),
			b->token);
	batch_free(b);
}

void migrate__batch_flush(struct migrate_writer *w)
{
	struct migrate_batch *b = w->batch;
	w->batch = NULL;
	if (!b || !b->count || atomic_load(&w->err)) {
		batch_free(b);
	} else if (b->bytes > MIGRATE_ROW_BYTES) {
		write_singly(w, b);
	} else {
		const struct store_batch batch = {.mutations = b->mutations, .count = b->count, .now_s = w->now_s};
		wait_room(w);
		w->store->ops->apply(w->store, &batch, written, b);
	}
}

/* The batch that the item belongs to. */
bool migrate__batch_item(struct migrate_writer *w, const struct migrate_walk *item)
{
	bool full = w->batch && (w->batch->count >= MIGRATE_BATCH_MUTATIONS || w->batch->bytes >= MIGRATE_BATCH_WRITE_BYTES);
	bool other = w->one_partition && w->batch && w->batch->token != item->row->token;
	if (full || other)
		migrate__batch_flush(w);
	if (!w->batch && (w->batch = calloc(1, sizeof *w->batch))) {
		w->batch->writer = w;
		arena_init(&w->batch->arena, 0);
	}
	if (!w->batch)
		return false;
	w->batch->token = item->row->token;
	w->keys = NULL;
	w->count = 0;
	w->why = NULL;
	arena_reset(&w->scratch);
	return true;
}

struct store_cell migrate__batch_keep(struct migrate_writer *w, struct store_cell value)
{
	if (value.size <= 0)
		return value.size < 0 ? (struct store_cell){NULL, -1} : (struct store_cell){(const uint8_t *)"", 0};
	uint8_t *copy = arena_copy(&w->batch->arena, value.data, (size_t)value.size);
	w->no_memory |= !copy;
	w->batch->bytes += (size_t)value.size;
	return copy ? (struct store_cell){copy, value.size} : (struct store_cell){NULL, -1};
}

/* A mutation of the item with room for cells, or NULL. */
struct store_mutation *migrate__batch_add(struct migrate_writer *w, const struct migrate_walk *item, enum store_mutation_kind kind,
					  uint32_t cells)
{
	struct migrate_batch *b = w->batch;
	uint16_t keys = (uint16_t)(w->table->partition_key_count + w->table->clustering_count);
	if (!w->keys && (w->keys = arena_alloc(&b->arena, (keys + 1u) * sizeof *w->keys)))
		for (uint16_t i = 0; i < keys; i++)
			w->keys[i] = migrate__batch_keep(w, item->row->cells[i]);
	struct store_assignment *room = arena_alloc(&b->arena, (cells + 1u) * sizeof *room);
	if (b->count == b->cap) {
		uint32_t cap = b->cap ? b->cap * 2 : 32;
		struct store_mutation *more = arena_alloc(&b->arena, cap * sizeof *more);
		if (more && b->count)
			memcpy(more, b->mutations, b->count * sizeof *more);
		b->mutations = more ? more : b->mutations;
		b->cap = more ? cap : b->cap;
	}
	if (!w->keys || !room || b->count == b->cap) {
		w->no_memory = true;
		return NULL;
	}
	struct store_mutation *m = &b->mutations[b->count++];
	bool whole = !item->statics && w->table->clustering_count;
	*m = (struct store_mutation){.kind = kind,
				     .table = w->table,
				     .partition_key = w->keys,
				     .clustering = whole ? w->keys + w->table->partition_key_count : NULL,
				     .cells = room};
	b->bytes += sizeof *m + cells * sizeof *room;
	return m;
}

enum sm_err migrate__write_error(struct migrate_writer *w, enum sm_err err, struct sm_error *reterr)
{
	return sm_fail(reterr, err, "writing table %s at %s, at the token %lld: %s", w->t->name, w->m->o->target.name,
		       (long long)atomic_load(&w->err_token), sm_err_text(err));
}

/* ---- the writer ---- */

enum sm_err migrate__writer_new(struct migrate_move *m, struct migrate_table *t, int64_t now_s, struct migrate_writer **ret_writer,
				struct sm_error *reterr)
{
	struct migrate_writer *w = calloc(1, sizeof *w);
	if (!w)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	w->m = m;
	w->t = t;
	w->table = t->target;
	w->store = m->o->target.store;
	w->now_s = now_s;
	w->one_partition = w->store->ops->reads_travel;
	w->window = w->one_partition ? MIGRATE_WRITES_UNDER_WAY : 4;
	arena_init(&w->scratch, 0);
	sem_init(&w->room, 0, w->window);
	*ret_writer = w;
	return SM_OK;
}

enum sm_err migrate__writer_end(struct migrate_writer *w, uint64_t *ret_rows, struct sm_error *reterr)
{
	migrate__batch_flush(w);
	for (unsigned i = 0; i < w->window; i++)
		wait_room(w);
	enum sm_err err = atomic_load(&w->err);
	if (err)
		migrate__write_error(w, err, reterr);
	*ret_rows = w->rows;
	sem_destroy(&w->room);
	arena_done(&w->scratch);
	free(w->pieces);
	free(w);
	return err;
}
