/* RocksDB's compactions ask what may go: the filter for a key that has a value, the merge operator for one whose pieces it has just
 * joined. RocksDB gives each compaction a filter of its own, made and ended in the thread that runs it; so the thread's judge is
 * the compaction's. A flush has no filter, and reads and writes run in other threads: they leave everything as it is.
 *
 * A full merge cannot make its key disappear: what is empty then stays as a value of no cells until the next compaction's filter sees it.
 */
#include "store/purge.h"
#include <assert.h>
#include <rocksdb/c.h>
#include <stdlib.h>

struct filter {
	struct store__purge *purge;
	struct store__judge judge;
	struct buf value;
	bool on;
};
static _Thread_local struct filter *compacting;

static unsigned char filter_key(void *state, int level, const char *key, size_t key_size, const char *value, size_t value_size,
				char **new_value, size_t *new_size, unsigned char *changed)
{
	struct filter *f = state;
	if (!f || !f->on)
		return 0;
	enum store__fate fate = store__judge(&f->judge, bytes_of(key, key_size), bytes_of(value, value_size), 1, &f->value);
	if (fate == STORE_FATE_CHANGE) { /* RocksDB copies it */
		*new_value = (char *)f->value.data;
		*new_size = f->value.end;
		*changed = 1;
	}
	return fate == STORE_FATE_DROP;
}

static void filter_done(void *state)
{
	struct filter *f = state;
	if (!f)
		return;
	if (compacting == f)
		compacting = NULL;
	if (f->on)
		store__judge_done(&f->judge);
	buf_done(&f->value);
	atomic_fetch_sub(&f->purge->filters, 1);
	free(f);
}

static const char *filter_name(void *state)
{
	return "smack.purge.1";
}

static rocksdb_compactionfilter_t *filter_new(void *state, rocksdb_compactionfiltercontext_t *context)
{
	struct store__purge *purge = state;
	struct filter *f = calloc(1, sizeof *f); /* without memory: one that keeps everything */
	if (f) {
		f->purge = purge;
		atomic_fetch_add(&purge->filters, 1);
	}
	if (f && atomic_load(&purge->on)) {
		struct store__engine *engine = purge->engine;
		struct store__schema *schema = store__engine_schema(engine);
		store__judge_init(&f->judge, engine->rocks.db, schema, (int64_t)(clock_wall_us(engine->clock) / 1000000), false);
		store__schema_unref(schema);
		/* a look at the row of each entry: only where the sweep has found that it pays */
		if (rocksdb_compactionfiltercontext_is_manual_compaction(context))
			f->judge.entries_of = engine;
		f->on = true;
	}
	compacting = f;
	return rocksdb_compactionfilter_create(f, filter_done, filter_key, filter_name);
}

void store__purge_ended(struct store__purge *purge)
{
	unsigned running = atomic_load(&purge->filters);
	assert(!running);
	(void)running;
}

static void factory_done(void *state) {}

void store__purge_install(struct store__purge *purge, struct rocksdb_options_t *options)
{
	rocksdb_options_set_compaction_filter_factory(options,
						      rocksdb_compactionfilterfactory_create(purge, factory_done, filter_new, filter_name));
}

bool store__purge_looks(void)
{
	return compacting || store__judge_looks();
}

void store__purge_merged(struct bytes key, size_t pieces, struct buf *merged)
{
	struct filter *f = compacting;
	if (!f || !f->on)
		return;
	enum store__fate fate = store__judge(&f->judge, key, buf_bytes(merged), pieces, &f->value);
	if (fate == STORE_FATE_KEEP)
		return;
	if (fate == STORE_FATE_DROP) { /* f->judge.row is empty */
		buf_clear(&f->value);
		store__row_encode(&f->judge.row, &f->value);
	}
	if (f->value.failed)
		return;
	buf_clear(merged);
	buf_append_bytes(merged, buf_bytes(&f->value)); /* never longer than what it was */
}
