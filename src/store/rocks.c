/* RocksDB 7.8's C API: options, the merge operator, errors. The keys are key.c's, the values row.c's. */
#include "store/page_cache.h"
#include "store/purge.h"
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- errors ---- */

enum sm_err store__rocks_error(char *text, struct sm_error *reterr, const char *doing)
{
	/* RocksDB has texts only: "IO error: No space left on device: ..." */
	static const struct {
		const char *begins, *holds;
		enum sm_err code;
	} table[] = {
		{"", "No space left on device", SM_NO_SPACE},
		{"", "Disk quota exceeded", SM_NO_SPACE},
		{"", "Too many open files", SM_NO_FILES},
		{"", "Cannot allocate memory", SM_NO_MEMORY},
		{"IO error: ", "LOCK", SM_BUSY},
		{"IO error: ", "lock ", SM_BUSY},
		{"IO error: ", "No such file or directory", SM_NOT_FOUND},
		{"IO error: ", "Permission denied", SM_DENIED},
		{"IO error: ", "", SM_IO},
		{"Corruption: ", "", SM_CORRUPT},
		{"NotFound: ", "", SM_NOT_FOUND},
		{"Invalid argument: ", "does not exist", SM_NOT_FOUND},
		{"Invalid argument: ", "exists", SM_EXISTS},
		{"Invalid argument: ", "", SM_INVALID},
		{"Not implemented: ", "", SM_UNSUPPORTED},
		{"Result incomplete", "", SM_AGAIN},
		{"Resource busy", "", SM_BUSY},
		{"Operation timed out", "", SM_TIMEOUT},
		{"Shutdown in progress", "", SM_CLOSED},
	};
	enum sm_err code = SM_IO;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (strncmp(text, table[i].begins, strlen(table[i].begins)) == 0 && strstr(text, table[i].holds)) {
			code = table[i].code;
			break;
		}
	}
	sm_fail(reterr, code, "%s: %.400s", doing, text);
	rocksdb_free(text);
	return code;
}

/* ---- merge operator ---- */

/* A row that was written once, for a reader: it is as resolved as it will be, and the reader checks it when he takes it apart. */
static char *copy_piece(const char *piece, size_t size, unsigned char *success, size_t *new_size)
{
	char *copy = malloc(size ? size : 1);
	if (copy) {
		memcpy(copy, piece, size);
		*success = 1;
		*new_size = size;
	}
	return copy;
}

/* key: NULL where older pieces may lie behind these. */
static char *merge(const struct bytes *key, const char *existing, size_t existing_size, const char *const *operands, const size_t *sizes,
		   int count, unsigned char *success, size_t *new_size)
{
	struct bytes few[64], *values = few;
	size_t n = 0, all = (size_t)count + 1;
	*success = 0;
	*new_size = 0;
	if (!existing && count == 1 && key && !store__purge_looks())
		return copy_piece(operands[0], sizes[0], success, new_size);
	if (all > sizeof few / sizeof *few && !(values = malloc(all * sizeof *values)))
		return NULL;
	if (existing)
		values[n++] = bytes_of(existing, existing_size);
	for (int i = 0; i < count; i++)
		values[n++] = bytes_of(operands[i], sizes[i]);
	struct buf out;
	buf_init(&out);
	enum sm_err err = store__row_merge_values(values, n, &out);
	if (!err && key && !store__judge_note(values, n))
		store__purge_merged(*key, n, &out);
	if (values != few)
		free(values);
	if (err) {
		buf_done(&out);
		return NULL;
	}
	*success = 1;
	*new_size = out.end;
	return (char *)out.data; /* RocksDB gives it to merged_free */
}

static char *merge_full(void *state, const char *key, size_t key_size, const char *existing, size_t existing_size,
			const char *const *operands, const size_t *sizes, int count, unsigned char *success, size_t *new_size)
{
	struct bytes k = bytes_of(key, key_size);
	return merge(&k, existing, existing_size, operands, sizes, count, success, new_size);
}

static char *merge_partial(void *state, const char *key, size_t key_size, const char *const *operands, const size_t *sizes, int count,
			   unsigned char *success, size_t *new_size)
{
	return merge(NULL, NULL, 0, operands, sizes, count, success, new_size);
}

static void merged_free(void *state, const char *value, size_t size)
{
	free((char *)value);
}
static void merge_done(void *state) {}
static const char *merge_name(void *state)
{
	return "smack.row.1";
}

/* ---- threads ---- */

void store__rocks_thread(void)
{
	static _Thread_local bool known;
	if (known)
		return;
	known = true;
	rocksdb_set_perf_level(rocksdb_disable);
}

/* ---- options ---- */

#define LOG_LEVEL_NOTHING 6     /* above rocksdb::InfoLogLevel's last */
#define RECOVER_POINT_IN_TIME 2 /* rocksdb::WALRecoveryMode; wal.c has made sure that only an end is torn */
#define BLOCK_BYTES 8192
#define BLOOM_BITS 10

static void set_table_options(struct store__rocks *r, size_t cache_bytes)
{
	rocksdb_lru_cache_options_t *lru = rocksdb_lru_cache_options_create();
	rocksdb_lru_cache_options_set_capacity(lru, cache_bytes);
	rocksdb_lru_cache_options_set_num_shard_bits(lru, 2);
	r->cache = rocksdb_cache_create_lru_opts(lru);
	rocksdb_lru_cache_options_destroy(lru);
	rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_block_cache(t, r->cache);
	rocksdb_block_based_options_set_block_size(t, BLOCK_BYTES);
	rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
	rocksdb_block_based_options_set_format_version(t, 5);
	rocksdb_block_based_options_set_data_block_index_type(t, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
	rocksdb_options_set_block_based_table_factory(r->options, t);
	rocksdb_block_based_options_destroy(t);
}

static void set_options(struct store__rocks *r, const struct store__rocks_options *options)
{
	rocksdb_options_t *o = r->options;
	size_t memtable = options->memtable_bytes ? options->memtable_bytes : 8u << 20;
	rocksdb_options_set_create_if_missing(o, !options->read_only && !options->lenient);
	if (options->lenient)
		rocksdb_options_set_paranoid_checks(o, 0);
	rocksdb_options_set_merge_operator(
		o, rocksdb_mergeoperator_create(NULL, merge_done, merge_full, merge_partial, merged_free, merge_name));
	if (options->purge && !options->lenient)
		store__purge_install(options->purge, o);
	rocksdb_options_set_wal_recovery_mode(o, RECOVER_POINT_IN_TIME);
	/* memory: small when idle */
	rocksdb_options_set_write_buffer_size(o, memtable);
	rocksdb_options_set_max_write_buffer_number(o, 3);
	rocksdb_options_set_arena_block_size(o, 64u << 10);
	rocksdb_options_set_memtable_whole_key_filtering(o, 1); /* most keys that are asked for are not in it */
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, 0.02);
	rocksdb_options_set_max_total_wal_size(o, memtable * 4);
	/* All files are opened with the database and stay open. RocksDB 7.8 steps over a file that it cannot open while it iterates,
	 * without an error (a seek reports it): a compaction would lose the file's rows for good. */
	rocksdb_options_set_max_open_files(o, -1);
	/* One thread writes: no waiting by spinning, no concurrent memtable, and pieces of a row are joined before they are many. */
	rocksdb_options_set_allow_concurrent_memtable_write(o, 0);
	rocksdb_options_set_enable_write_thread_adaptive_yield(o, 0);
	rocksdb_options_set_max_successive_merges(o, STORE_MERGES_MAX);
	/* background work, and files that nobody reads */
	rocksdb_options_set_max_background_jobs(o, 2);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
	rocksdb_options_set_bytes_per_sync(o, 1u << 20);
	rocksdb_options_set_stats_dump_period_sec(o, 0);
	rocksdb_options_set_stats_persist_period_sec(o, 0);
	rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
	rocksdb_options_set_info_log_level(o, LOG_LEVEL_NOTHING);
	rocksdb_options_set_keep_log_file_num(o, 2);
	rocksdb_options_set_max_manifest_file_size(o, 4u << 20);
	rocksdb_options_set_compression(o, rocksdb_lz4_compression);
	set_table_options(r, options->block_cache_bytes ? options->block_cache_bytes : 16u << 20);
}

rocksdb_readoptions_t *store__read_options(void)
{
	rocksdb_readoptions_t *o = rocksdb_readoptions_create();
	rocksdb_readoptions_set_ignore_range_deletions(o, 1);
	return o;
}

static rocksdb_writeoptions_t *write_options(bool sync, bool wait)
{
	rocksdb_writeoptions_t *o = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(o, sync);
	rocksdb_writeoptions_set_no_slowdown(o, !wait);
	return o;
}

static enum sm_err open_db(const struct store__rocks_options *options, struct store__rocks *r, struct sm_error *reterr)
{
	char *text = NULL, doing[300];
	*r = (struct store__rocks){.options = rocksdb_options_create(), .purge = options->purge};
	set_options(r, options);
	rocksdb_t *db = options->read_only || options->lenient ? rocksdb_open_for_read_only(r->options, options->dir, 0, &text)
							       : rocksdb_open(r->options, options->dir, &text);
	if (!text) {
		r->db = db;
		return SM_OK;
	}
	store__rocks_close(r);
	snprintf(doing, sizeof doing, "cannot open the store in %s", options->dir);
	return store__rocks_error(text, reterr, doing);
}

enum sm_err store__rocks_open(const struct store__rocks_options *options, struct store__rocks *ret_rocks, struct sm_error *reterr)
{
	struct store__rocks r;
	struct sm_error error = {0};
	enum sm_err err = open_db(options, &r, &error);
	if (err == SM_CORRUPT && strstr(error.text, "MANIFEST") && !options->lenient && store__manifest_cut(options->dir))
		err = open_db(options, &r, &error);
	if (err) {
		if (reterr)
			*reterr = error;
		return err;
	}
	r.write_sync = write_options(true, false);
	r.write_nosync = write_options(false, false);
	r.wait_sync = write_options(true, true);
	r.wait_nosync = write_options(false, true);
	r.get = store__read_options();
	r.get_cached = store__read_options();
	rocksdb_readoptions_set_read_tier(r.get_cached, STORE_READ_CACHE_ONLY);
	r.page_cache = store__page_cache_serves();
	*ret_rocks = r;
	return SM_OK;
}

void store__rocks_close(struct store__rocks *r)
{
	rocksdb_writeoptions_t *writes[] = {r->write_sync, r->write_nosync, r->wait_sync, r->wait_nosync};
	for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
		if (writes[i])
			rocksdb_writeoptions_destroy(writes[i]);
	if (r->get)
		rocksdb_readoptions_destroy(r->get);
	if (r->get_cached)
		rocksdb_readoptions_destroy(r->get_cached);
	if (r->db)
		rocksdb_close(r->db);
	if (r->purge)
		store__purge_ended(r->purge);
	if (r->options)
		rocksdb_options_destroy(r->options);
	if (r->cache)
		rocksdb_cache_destroy(r->cache);
	*r = (struct store__rocks){0};
}
