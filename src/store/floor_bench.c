/* What RocksDB alone costs with the store's options, in one thread: below this the store cannot come. Beside store_bench.
 * usage: store-floor_bench [KEYS] */
#include "base/io.h"
#include "base/metrics.h"
#include "store/store_internal.h"
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY 24
#define VALUE 80
#define RANGE 120

static char dir[] = "/tmp/smack-floor-bench-XXXXXX";
static struct store__rocks rocks;

static double seconds(void)
{
	return (double)clock_monotonic_ns(&clock_system) / 1e9;
}

static void must(char *text)
{
	if (text) {
		fprintf(stderr, "%s\n", text);
		exit(1);
	}
}

/* Spread over the key space; RANGE neighbours share the first 16 bytes. */
static void key_of(uint64_t i, uint8_t key[KEY])
{
	uint64_t x = (i / RANGE + 1) * 0x9e3779b97f4a7c15u;
	be64_put(key, x);
	be64_put(key + 8, x ^ x >> 31);
	be64_put(key + 16, i % RANGE);
}

/* The value of a row with one text. */
static void value_of(struct buf *out)
{
	static const uint8_t text[VALUE - 14] = "what is in a row";
	struct store__row row;
	store__row_init(&row);
	row.marker_us = 1;
	*store__row_add(&row) = (struct store__cell){.id = 1, .timestamp_us = 1, .data = text, .size = sizeof text};
	store__row_encode(&row, out);
	store__row_done(&row);
}

static void put(uint64_t keys, uint64_t each, bool merge)
{
	struct buf value;
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	char *text = NULL;
	buf_init(&value);
	value_of(&value);
	for (uint64_t i = 0; i < keys; i++) {
		uint8_t key[KEY];
		key_of(i * 7919 % keys, key);
		(merge ? rocksdb_writebatch_merge : rocksdb_writebatch_put)(batch, (char *)key, KEY, (char *)value.data, value.end);
		if (i % each == each - 1) {
			rocksdb_write(rocks.db, rocks.wait_nosync, batch, &text);
			rocksdb_writebatch_clear(batch);
			must(text);
		}
	}
	rocksdb_writebatch_destroy(batch);
	buf_done(&value);
}

static uint64_t get(uint64_t keys, uint64_t reads)
{
	uint64_t found = 0;
	char *text = NULL;
	for (uint64_t i = 0; i < reads; i++) {
		uint8_t key[KEY];
		key_of(i * 7919 % keys, key);
		rocksdb_pinnableslice_t *value = rocksdb_get_pinned(rocks.db, rocks.get, (char *)key, KEY, &text);
		must(text);
		found += value != NULL;
		rocksdb_pinnableslice_destroy(value);
	}
	return found;
}

static uint64_t range(uint64_t keys, uint64_t reads)
{
	uint64_t n = 0;
	for (uint64_t i = 0; i < reads; i++) {
		uint8_t key[KEY];
		key_of(i * 7919 % (keys / RANGE) * RANGE, key);
		rocksdb_iterator_t *it = rocksdb_create_iterator(rocks.db, rocks.get);
		rocksdb_iter_seek(it, (char *)key, KEY);
		for (int k = 0; k < RANGE && rocksdb_iter_valid(it); k++, rocksdb_iter_next(it))
			n++;
		rocksdb_iter_destroy(it);
	}
	return n;
}

static uint64_t all(void)
{
	uint64_t n = 0;
	rocksdb_iterator_t *it = rocksdb_create_iterator(rocks.db, rocks.get);
	for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it))
		n++;
	rocksdb_iter_destroy(it);
	return n;
}

static void report(const char *what, uint64_t n, double wall, double cpu)
{
	printf("%-34s %9.0f /s  %6.2f us CPU each\n", what, (double)n / wall, cpu * 1e6 / (double)n);
}

#define MEASURE(what, n, call)                                                   \
	do {                                                                     \
		double start = seconds(), cpu = process_cpu_seconds();           \
		call;                                                            \
		report(what, n, seconds() - start, process_cpu_seconds() - cpu); \
	} while (0)

int main(int argc, char **argv)
{
	uint64_t keys = (argc > 1 ? strtoull(argv[1], NULL, 10) : 240000) / 480 * 480, n = 0;
	struct sm_error error;
	if (!mkdtemp(dir))
		return 1;
	const struct store__rocks_options options = {.dir = dir};
	if (store__rocks_open(&options, &rocks, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	MEASURE("put, not synced", keys, put(keys, 1, false));
	MEASURE("put, 16 in a batch, not synced", keys, put(keys, 16, false));
	MEASURE("merge, 16 in a batch, not synced", keys, put(keys, 16, true));
	char *text = NULL;
	rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
	rocksdb_flush(rocks.db, flush, &text);
	rocksdb_flushoptions_destroy(flush);
	must(text);
	MEASURE("get, several levels", keys, n = get(keys, keys));
	rocksdb_compact_range(rocks.db, NULL, 0, NULL, 0);
	MEASURE("get, one level", keys, n = get(keys, keys));
	MEASURE("seek and 120 keys", keys / RANGE * 10, range(keys, keys / RANGE * 10));
	MEASURE("key of a scan", keys, all());
	store__rocks_close(&rocks);
	return n != keys || io_remove_tree(&io_system, dir, NULL);
}
