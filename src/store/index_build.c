/* Making the entries of rows that were there before their index, in the background, and which indexes have all of theirs.
 *
 * A thread goes over the table's keys, a piece at a time, and writes the entries of each piece through the writer together with the last
 * key (index/NUMBER in schema_disk.c), so that a restart goes on there. Rows that are written meanwhile have their entries from the writer:
 * what the thread sees of them, or does not, changes nothing. The thread is there only while there is something to build. */
#include "store/index.h"
#include <rocksdb/c.h>
#include <stdlib.h>

#define PIECE_BYTES (256u << 10) /* of entries */
#define PIECE_KEYS 4096
#define READAHEAD_BYTES (256u << 10)
#define RETRY_MS 200 /* after an error that may pass */

/* ---- which are built ---- */

struct numbers {
	uint32_t *items; /* ascending */
	size_t count, cap;
};
struct store__built {
	pthread_mutex_t lock;
	struct numbers built;
	struct numbers dropped; /* by the last change, before it was written or its write failed */
};

struct store__built *store__built_new(void)
{
	struct store__built *b = calloc(1, sizeof *b);
	if (b)
		pthread_mutex_init(&b->lock, NULL);
	return b;
}

void store__built_free(struct store__built *b)
{
	if (!b)
		return;
	pthread_mutex_destroy(&b->lock);
	free(b->built.items);
	free(b->dropped.items);
	free(b);
}

/* The first that is not smaller. */
static size_t place_of(const struct numbers *n, uint32_t number)
{
	size_t low = 0, high = n->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (n->items[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has(const struct numbers *n, uint32_t number)
{
	size_t at = place_of(n, number);
	return at < n->count && n->items[at] == number;
}

static enum sm_err add(struct numbers *n, uint32_t number)
{
	size_t at = place_of(n, number);
	if (at < n->count && n->items[at] == number)
		return SM_OK;
	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 16;
		uint32_t *more = realloc(n->items, cap * sizeof *more);
		if (!more)
			return SM_NO_MEMORY;
		n->items = more;
		n->cap = cap;
	}
	memmove(n->items + at + 1, n->items + at, (n->count++ - at) * sizeof *n->items);
	n->items[at] = number;
	return SM_OK;
}

static void take_out(struct numbers *n, uint32_t number)
{
	size_t at = place_of(n, number);
	if (at < n->count && n->items[at] == number)
		memmove(n->items + at, n->items + at + 1, (--n->count - at) * sizeof *n->items);
}

bool store__built_has(struct store__built *b, uint32_t number)
{
	pthread_mutex_lock(&b->lock);
	bool found = has(&b->built, number);
	pthread_mutex_unlock(&b->lock);
	return found;
}

enum sm_err store__built_add(struct store__built *b, uint32_t number)
{
	pthread_mutex_lock(&b->lock);
	enum sm_err err = add(&b->built, number);
	pthread_mutex_unlock(&b->lock);
	return err;
}

/* Which index an op of a change, or of the builder, says something of; 0: none. */
static uint32_t number_in(struct bytes key)
{
	static const char name[] = STORE_SYSTEM_INDEX;
	size_t n = sizeof name - 1;
	if (key.size != 8 + n || be32_get(key.data) != 0 || memcmp(key.data + 4, name, n) != 0)
		return 0;
	return be32_get(key.data + 4 + n);
}

void store__built_begin(struct store__built *b, const struct buf *ops)
{
	size_t at = 0;
	enum store_op op;
	struct bytes key, value;
	pthread_mutex_lock(&b->lock);
	b->dropped.count = 0;
	while (store__op_next(ops, &at, &op, &key, &value)) {
		uint32_t number = op == STORE_OP_DELETE ? number_in(key) : 0;
		if (!number || !has(&b->built, number))
			continue;
		take_out(&b->built, number);
		(void)add(&b->dropped, number); /* no memory: if the write fails, rows are read without the index until the next start */
	}
	pthread_mutex_unlock(&b->lock);
}

void store__built_written(struct store__built *b, const struct buf *ops)
{
	size_t at = 0;
	enum store_op op;
	struct bytes key, value;
	pthread_mutex_lock(&b->lock);
	while (store__op_next(ops, &at, &op, &key, &value)) {
		uint32_t number = op == STORE_OP_PUT && value.size && value.data[0] == 1 ? number_in(key) : 0;
		if (number)
			(void)add(&b->built, number); /* no memory: rows are read without the index until the next start */
	}
	pthread_mutex_unlock(&b->lock);
}

void store__built_failed(struct store__built *b)
{
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < b->dropped.count; i++)
		(void)add(&b->built, b->dropped.items[i]);
	pthread_mutex_unlock(&b->lock);
}

void store__built_drop(struct store__built *b)
{
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < b->dropped.count; i++)
		take_out(&b->built, b->dropped.items[i]);
	b->dropped.count = 0;
	pthread_mutex_unlock(&b->lock);
}

/* ---- one index ---- */

struct store__builder {
	struct store__engine *engine;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool started, running; /* there is a thread to join; it will look once more */
	atomic_bool stopping;
};

/* A counted table with an index that is to be built. failed: numbers to leave out. */
static struct store__table *find_unbuilt(struct store__builder *b, const struct numbers *failed, uint16_t *ret_index)
{
	struct store__schema *s = store__engine_schema(b->engine);
	struct store__table *found = NULL;
	for (uint32_t i = 0; i < s->table_count && !found; i++) {
		const struct store_table *t = &s->tables[i]->public;
		for (uint16_t k = 0; k < t->index_count && !found; k++) {
			uint32_t number = t->indexes[k].number;
			if (has(failed, number) || store__built_has(b->engine->built, number))
				continue;
			found = store__table_ref(s->tables[i]);
			*ret_index = k;
		}
	}
	store__schema_unref(s);
	return found;
}

/* Where an earlier run has come to: the table's first key, or one behind the last that is done. */
static enum sm_err read_progress(struct store__builder *b, const struct store__table *t, uint32_t number, struct buf *ret_from)
{
	struct buf key;
	char *text = NULL;
	size_t size = 0;
	buf_init(&key);
	store__index_system_key(number, &key);
	char *value = key.failed ? NULL
				 : rocksdb_get(b->engine->rocks.db, b->engine->rocks.get, (const char *)key.data, key.end, &size, &text);
	enum sm_err err = key.failed ? SM_NO_MEMORY : text ? store__rocks_error(text, NULL, "read") : SM_OK;
	buf_done(&key);
	if (!err && value && size > 5) {
		buf_append(ret_from, value + 1, size - 1);
		buf_u8(ret_from, 0);
	} else if (!err) {
		buf_be32(ret_from, t->public.number);
	}
	rocksdb_free(value);
	return err ? err : ret_from->failed ? SM_NO_MEMORY : SM_OK;
}

/* The entries of the next keys from `from` on, which is moved behind them. *ret_end: there are no more. */
static enum sm_err make_piece(struct store__builder *b, const struct store__table *t, uint32_t number, struct buf *from, struct buf *ops,
			      bool *ret_end)
{
	uint8_t end[4];
	be32_put(end, t->public.number + 1);
	rocksdb_readoptions_t *options = store__read_options();
	rocksdb_readoptions_set_fill_cache(options, 0);
	rocksdb_readoptions_set_readahead_size(options, READAHEAD_BYTES);
	rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end, 4);
	rocksdb_iterator_t *it = rocksdb_create_iterator(b->engine->rocks.db, options);
	enum sm_err err = SM_OK;
	uint32_t keys = 0;
	rocksdb_iter_seek(it, (const char *)from->data, from->end);
	for (; !err && keys < PIECE_KEYS && ops->end < PIECE_BYTES && rocksdb_iter_valid(it); rocksdb_iter_next(it), keys++) {
		size_t key_size, value_size;
		const char *key = rocksdb_iter_key(it, &key_size), *value = rocksdb_iter_value(it, &value_size);
		err = store__index_put(t, bytes_of(key, key_size), bytes_of(value, value_size), number, ops);
		buf_clear(from);
		buf_append(from, key, key_size);
		buf_u8(from, 0);
	}
	char *text = NULL;
	*ret_end = !rocksdb_iter_valid(it);
	rocksdb_iter_get_error(it, &text);
	if (text && !err)
		err = store__rocks_error(text, NULL, "read");
	else
		rocksdb_free(text);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	return err ? err : from->failed ? SM_NO_MEMORY : SM_OK;
}

static enum sm_err write_piece(struct store__builder *b, uint32_t number, const struct buf *from, struct store__write *w, bool end)
{
	if (end) {
		store__index_put_built(&w->ops, number);
	} else {
		size_t at = store__op_begin(&w->ops, STORE_OP_PUT);
		store__index_system_key(number, &w->ops);
		store__op_value(&w->ops, at);
		buf_u8(&w->ops, 0);
		buf_append(&w->ops, from->data, from->end - 1);
		store__op_end(&w->ops, at);
	}
	if (w->ops.failed) {
		store__write_free(w);
		return SM_NO_MEMORY;
	}
	w->index = number;
	w->one_by_one = true;
	return store__writer_wait(b->engine->writer, w, NULL);
}

/* SM_END: it is built. */
static enum sm_err build_piece(struct store__builder *b, const struct store__table *t, uint32_t number, struct buf *from)
{
	struct store__write *w = store__write_new(STORE__WRITE_BATCH);
	bool end = false;
	enum sm_err err = w ? store__enter(b->engine, true, NULL) : SM_NO_MEMORY;
	if (!err) {
		if (from->end == 0)
			err = read_progress(b, t, number, from);
		if (!err)
			err = make_piece(b, t, number, from, &w->ops, &end);
		store__leave(b->engine);
	}
	if (err) {
		store__write_free(w);
		return err;
	}
	err = write_piece(b, number, from, w, end);
	return !err && end ? SM_END : err;
}

/* false: it is time to end. */
static bool wait_ms(struct store__builder *b, unsigned ms)
{
	uint64_t until_ns = clock_deadline_ns(ms);
	pthread_mutex_lock(&b->lock);
	while (!atomic_load(&b->stopping) && clock_cond_wait_until(&b->changed, &b->lock, until_ns))
		;
	pthread_mutex_unlock(&b->lock);
	return !atomic_load(&b->stopping);
}

/* A full disk, a lack of memory and a database that is opened anew pass; false: what else there is stays until the next start. */
static bool may_pass(enum sm_err err)
{
	return err == SM_NO_SPACE || err == SM_NO_MEMORY || err == SM_FULL || err == SM_AGAIN || err == SM_BUSY;
}

static enum sm_err build(struct store__builder *b, const struct store__table *t, uint32_t number)
{
	struct buf from;
	enum sm_err err = SM_OK;
	buf_init(&from);
	while (!err && !atomic_load(&b->stopping)) {
		err = build_piece(b, t, number, &from);
		if (err && may_pass(err) && wait_ms(b, RETRY_MS)) {
			buf_clear(&from);
			from.failed = false;
			err = SM_OK;
		}
	}
	buf_done(&from);
	return err;
}

/* ---- the thread ---- */

static void *run(void *arg)
{
	struct store__builder *b = arg;
	struct numbers failed = {0};
	pthread_setname_np(pthread_self(), "store-index");
	for (;;) {
		uint16_t index;
		pthread_mutex_lock(&b->lock);
		struct store__table *t = atomic_load(&b->stopping) ? NULL : find_unbuilt(b, &failed, &index);
		b->running = t;
		pthread_mutex_unlock(&b->lock);
		if (!t)
			break;
		uint32_t number = t->public.indexes[index].number;
		enum sm_err err = build(b, t, number);
		store__table_unref(t);
		while (err && err != SM_END && add(&failed, number))
			if (!wait_ms(b, RETRY_MS))
				break;
	}
	free(failed.items);
	return NULL;
}

enum sm_err store__builder_new(struct store__engine *engine, struct store__builder **ret_builder, struct sm_error *reterr)
{
	struct store__builder *b = calloc(1, sizeof *b);
	if (!b)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	b->engine = engine;
	pthread_mutex_init(&b->lock, NULL);
	clock_cond_init(&b->changed);
	*ret_builder = b;
	return SM_OK;
}

void store__builder_wake(struct store__builder *b)
{
	struct numbers none = {0};
	uint16_t ignored;
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	struct store__table *t = b->running || atomic_load(&b->stopping) ? NULL : find_unbuilt(b, &none, &ignored);
	if (t) {
		if (b->started)
			pthread_join(b->thread, NULL); /* it does nothing any more */
		b->started = b->running = !pthread_create(&b->thread, NULL, run, b);
	}
	pthread_mutex_unlock(&b->lock);
	store__table_unref(t);
}

void store__builder_free(struct store__builder *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	atomic_store(&b->stopping, true);
	pthread_cond_signal(&b->changed);
	pthread_mutex_unlock(&b->lock);
	if (b->started)
		pthread_join(b->thread, NULL);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}
