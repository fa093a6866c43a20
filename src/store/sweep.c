/* RocksDB compacts what is written to; what lies still would keep its expired cells and tombstones for ever. So a thread goes over the
 * files from time to time, looks at a few keys of each, and has those compacted in which a good part can go: Cassandra's rule for single
 * SSTables (tombstone_threshold), with bytes instead of tombstones. Nothing needs to be remembered over a restart.
 *
 * Where to look within a file: behind the common beginning of its first and last key, the next 8 bytes are taken as a number,
 * and the spots lie evenly between. Tokens are spread evenly, so in a file of many partitions are the spots. */
#include "store/purge.h"
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

#define SPOTS 8
#define SPOT_KEYS 64
#define SHARE_PERCENT 20 /* from here on a compaction pays */
#define PASSES_MAX 3     /* one turns pieces into values, the next drops what is empty */
#define LITTLE_BYTES (256u << 20)
#define FIRST_S 60
#define INTERVAL_S 600
#define INTERVAL_MAX_S 86400 /* when compactions do not make files smaller */
#define FORCE_BOTTOM 2       /* rocksdb::BottommostLevelCompaction::kForce */

struct store__sweep {
	struct store__engine *engine;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
};

/* ---- looking into a file ---- */

struct tally {
	uint64_t bytes, gone;
};

static void look_at_spot(struct store__judge *judge, rocksdb_iterator_t *it, struct bytes from, struct bytes last, struct tally *tally)
{
	struct buf out;
	buf_init(&out);
	rocksdb_iter_seek(it, (const char *)from.data, from.size);
	for (int i = 0; i < SPOT_KEYS && rocksdb_iter_valid(it); i++, rocksdb_iter_next(it)) {
		size_t key_size, value_size;
		const char *key = rocksdb_iter_key(it, &key_size), *value = rocksdb_iter_value(it, &value_size);
		if (bytes_compare(bytes_of(key, key_size), last) > 0)
			break;
		enum store__fate fate = store__judge(judge, bytes_of(key, key_size), bytes_of(value, value_size), 1, &out);
		tally->bytes += key_size + value_size;
		if (fate == STORE_FATE_DROP)
			tally->gone += key_size + value_size;
		else if (fate == STORE_FATE_CHANGE && out.end < value_size)
			tally->gone += value_size - out.end;
	}
	buf_done(&out);
}

static uint64_t number_at(struct bytes key, size_t at)
{
	uint64_t n = 0;
	for (size_t i = at; i < at + 8; i++)
		n = n << 8 | (i < key.size ? key.data[i] : 0);
	return n;
}

/* Does it pay to compact what lies from first to last? unseen: the answer if nobody sees anything of it. */
static bool pays_for(struct store__engine *engine, struct store__schema *schema, struct bytes first, struct bytes last, bool unseen)
{
	struct tally tally = {0};
	size_t common = 0;
	while (common < first.size && common < last.size && first.data[common] == last.data[common])
		common++;
	uint64_t low = number_at(first, common), high = number_at(last, common);
	struct store__judge judge;
	store__judge_init(&judge, engine->rocks.db, schema, (int64_t)(clock_wall_us(engine->clock) / 1000000), true);
	judge.entries_of = engine;
	rocksdb_readoptions_t *options = rocksdb_readoptions_create(); /* what a dropped table left is to be gone, not to be judged */
	rocksdb_readoptions_set_fill_cache(options, 0);
	rocksdb_iterator_t *it = rocksdb_create_iterator(engine->rocks.db, options);
	struct buf spot;
	buf_init(&spot);
	look_at_spot(&judge, it, first, last, &tally);
	for (unsigned i = 1; i < SPOTS; i++) {
		buf_clear(&spot);
		buf_append(&spot, first.data, common);
		buf_be64(&spot, low + (high - low) / SPOTS * i);
		if (!spot.failed && bytes_compare(buf_bytes(&spot), first) > 0)
			look_at_spot(&judge, it, buf_bytes(&spot), last, &tally);
	}
	char *text = NULL;
	rocksdb_iter_get_error(it, &text);
	bool failed = text;
	rocksdb_free(text);
	buf_done(&spot);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	store__judge_done(&judge);
	return !failed && (tally.bytes ? tally.gone * 100 / tally.bytes >= SHARE_PERCENT : unseen);
}

static void compact(struct store__engine *engine, struct bytes first, struct bytes last)
{
	rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
	rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
	rocksdb_compactoptions_set_bottommost_level_compaction(options, FORCE_BOTTOM);
	rocksdb_compact_range_opt(engine->rocks.db, options, (const char *)first.data, first.size, (const char *)last.data, last.size);
	rocksdb_compactoptions_destroy(options);
}

/* Files of level 0 reach over everything, so with them all would be compacted at once: only where all is little. */
static bool is_little(const rocksdb_livefiles_t *files, int count)
{
	uint64_t bytes = 0;
	for (int i = 0; i < count; i++)
		bytes += rocksdb_livefiles_size(files, i);
	return bytes < LITTLE_BYTES;
}

static bool broken_off(struct store__engine *engine)
{
	return atomic_load(&engine->closing) || atomic_load(&engine->gate.state) != STORE_GATE_OPEN;
}

uint32_t store__sweep_round(struct store__engine *engine, uint32_t *ret_stuck)
{
	uint32_t compacted = 0, stuck = 0;
	if (ret_stuck)
		*ret_stuck = 0;
	if (store__enter(engine, true, NULL))
		return 0;
	const rocksdb_livefiles_t *files = rocksdb_livefiles(engine->rocks.db);
	int count = files ? rocksdb_livefiles_count(files) : 0;
	bool little = is_little(files, count);
	for (int i = 0; i < count && !broken_off(engine); i++) {
		size_t first_size, last_size;
		if (rocksdb_livefiles_level(files, i) == 0 && !little)
			continue;
		const char *first_key = rocksdb_livefiles_smallestkey(files, i, &first_size);
		const char *last_key = rocksdb_livefiles_largestkey(files, i, &last_size);
		struct bytes first = bytes_of(first_key, first_size), last = bytes_of(last_key, last_size);
		struct store__schema *schema = store__engine_schema(engine);
		bool pays = pays_for(engine, schema, first, last, true);
		compacted += pays;
		for (int pass = 0; pays && pass < PASSES_MAX && !broken_off(engine); pass++) {
			compact(engine, first, last);
			pays = pays_for(engine, schema, first, last, false);
		}
		stuck += pays;
		store__schema_unref(schema);
	}
	if (files)
		rocksdb_livefiles_destroy(files);
	store__leave(engine);
	if (ret_stuck)
		*ret_stuck = stuck;
	return compacted;
}

/* ---- the thread ---- */

/* false: it is time to end. */
static bool wait_s(struct store__sweep *s, unsigned seconds)
{
	uint64_t until_ns = clock_deadline_ns(seconds * 1000ull);
	pthread_mutex_lock(&s->lock);
	while (!s->stopping && clock_cond_wait_until(&s->wake, &s->lock, until_ns))
		;
	bool go_on = !s->stopping;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

static void *run(void *arg)
{
	struct store__sweep *s = arg;
	unsigned interval_s = INTERVAL_S;
	pthread_setname_np(pthread_self(), "store-sweep");
	for (unsigned wait = FIRST_S; wait_s(s, wait); wait = interval_s) {
		uint32_t stuck;
		store__sweep_round(s->engine, &stuck);
		interval_s = !stuck ? INTERVAL_S : interval_s < INTERVAL_MAX_S / 2 ? interval_s * 2 : INTERVAL_MAX_S;
	}
	return NULL;
}

enum sm_err store__sweep_new(struct store__engine *engine, struct store__sweep **ret_sweep, struct sm_error *reterr)
{
	struct store__sweep *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	s->engine = engine;
	pthread_mutex_init(&s->lock, NULL);
	clock_cond_init(&s->wake);
	int e = pthread_create(&s->thread, NULL, run, s);
	if (e) {
		pthread_cond_destroy(&s->wake);
		pthread_mutex_destroy(&s->lock);
		free(s);
		return sm_fail_errno(reterr, e, "cannot start the store's sweep");
	}
	*ret_sweep = s;
	return SM_OK;
}

void store__sweep_free(struct store__sweep *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	atomic_store(&s->engine->closing, true);
	if (!store__enter(s->engine, true, NULL)) {
		rocksdb_disable_manual_compaction(s->engine->rocks.db);
		store__leave(s->engine);
	}
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
