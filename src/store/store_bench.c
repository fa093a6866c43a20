/* CPU of the store's hot paths, background work included: upserts with many in flight, point reads, a scan; writes with an index and
 * without, reads by it.
 * usage: store-store_bench [ROWS] */
#include "base/io.h"
#include "base/metrics.h"
#include "store/store_internal.h"
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define IN_FLIGHT 256

static struct sm_store *store;
static const struct store_table *table;
static sem_t room;
static atomic_long failed;

static double seconds(void)
{
	return (double)clock_monotonic_ns(&clock_system) / 1e9;
}

static void must(enum sm_err err, const char *what)
{
	if (err) {
		fprintf(stderr, "%s: %s\n", what, sm_err_text(err));
		exit(1);
	}
}

static void answered(void *arg, enum sm_err err)
{
	if (err)
		atomic_fetch_add(&failed, 1);
	sem_post(&room);
}

static void wait_for_all(void)
{
	for (int i = 0; i < IN_FLIGHT; i++)
		sem_wait(&room);
	for (int i = 0; i < IN_FLIGHT; i++)
		sem_post(&room);
}

static void make_table(void)
{
	struct store_keyspace k = {.name = "ks", .durable_writes = true};
	must(store_change_wait(store, &(struct store_change){.kind = STORE_CREATE_KEYSPACE, .keyspace = "ks", .new_keyspace = &k}, NULL),
	     "keyspace");
	struct store_column columns[] = {
		{.name = "id", .type = {STORE_UUID, 0, NULL}, .kind = STORE_PARTITION_KEY},
		{.name = "ts", .type = {STORE_TIMESTAMP, 0, NULL}, .kind = STORE_REGULAR},
		{.name = "event_type", .type = {STORE_TEXT, 0, NULL}, .kind = STORE_REGULAR},
		{.name = "campaign_id", .type = {STORE_UUID, 0, NULL}, .kind = STORE_REGULAR},
	};
	struct store_table t = {.keyspace = "ks", .name = "event", .columns = columns, .column_count = 4};
	must(store_change_wait(
		     store, &(struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = "ks", .table = "event", .new_table = &t}, NULL),
	     "table");
	table = store_find_table(store->ops->schema(store), "ks", "event");
}

/* A number spread over 16 bytes, so that keys are random but known. */
static void key_of(uint64_t i, uint8_t id[16])
{
	uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u;
	be64_put(id, x);
	be64_put(id + 8, x ^ (x >> 31));
}

static void put(uint64_t i)
{
	uint8_t id[16], ts[8];
	key_of(i, id);
	be64_put(ts, 1574553617004u + i);
	struct store_cell key = {id, 16};
	struct store_assignment a[] = {
		{store_find_column(table, "ts"), {ts, 8}},
		{store_find_column(table, "event_type"), {(const uint8_t *)"view", 4}},
		{store_find_column(table, "campaign_id"), {id, 16}},
	};
	struct store_mutation m = {.kind = STORE_UPSERT_INSERT,
				   .table = table,
				   .partition_key = &key,
				   .cells = a,
				   .cell_count = 3,
				   .timestamp_us = (int64_t)i};
	struct store_batch b = {.mutations = &m, .count = 1};
	sem_wait(&room);
	store->ops->apply(store, &b, answered, NULL);
}

static uint64_t get(uint64_t i)
{
	uint8_t id[16];
	key_of(i, id);
	struct store_cell key = {id, 16};
	struct store_read r = {.table = table, .partition_key = &key};
	struct store_cursor *c;
	const struct store_row *row;
	must(store->ops->open(store, &r, &c, NULL), "open");
	enum sm_err err = store->ops->next(c, &row);
	store->ops->close_cursor(c);
	return err ? 0 : 1;
}

static uint64_t rows_of(const struct store_read *r)
{
	struct store_cursor *c;
	const struct store_row *row;
	uint64_t n = 0;
	must(store->ops->open(store, r, &c, NULL), "open");
	while (!store->ops->next(c, &row))
		n++;
	store->ops->close_cursor(c);
	return n;
}

static uint64_t scan(void)
{
	return rows_of(&(struct store_read){.table = table, .token_from = INT64_MIN, .token_to = INT64_MAX});
}

/* Partitions of 120 rows, written in rounds so that each is in several files. */
#define PARTITIONS 1000
#define PARTITION_ROWS 120

static void put_row(const struct store_table *t, uint32_t partition, uint32_t row)
{
	uint8_t k[4], c[4];
	be32_put(k, partition);
	be32_put(c, row);
	struct store_cell key = {k, 4}, clustering = {c, 4};
	struct store_assignment a = {store_find_column(t, "v"), {(const uint8_t *)"a text of some length", 21}};
	struct store_mutation m = {.kind = STORE_UPSERT_INSERT,
				   .table = t,
				   .partition_key = &key,
				   .clustering = &clustering,
				   .cells = &a,
				   .cell_count = 1,
				   .timestamp_us = 1};
	struct store_batch b = {.mutations = &m, .count = 1};
	sem_wait(&room);
	store->ops->apply(store, &b, answered, NULL);
}

static const struct store_table *make_partitions(void)
{
	struct store_column columns[] = {
		{.name = "k", .type = {STORE_INT, 0, NULL}, .kind = STORE_PARTITION_KEY},
		{.name = "c", .type = {STORE_INT, 0, NULL}, .kind = STORE_CLUSTERING},
		{.name = "v", .type = {STORE_TEXT, 0, NULL}, .kind = STORE_REGULAR},
	};
	struct store_table t = {.keyspace = "ks", .name = "wide", .columns = columns, .column_count = 3};
	must(store_change_wait(
		     store, &(struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = "ks", .table = "wide", .new_table = &t}, NULL),
	     "table");
	const struct store_table *wide = store_find_table(store->ops->schema(store), "ks", "wide");
	for (uint32_t row = 0; row < PARTITION_ROWS; row++) {
		for (uint32_t p = 0; p < PARTITIONS; p++)
			put_row(wide, p, row);
		for (uint64_t i = 0; i < 2000; i++) /* something between, so that memtables are flushed */
			put(i);
	}
	wait_for_all();
	return wide;
}

static uint64_t read_partition(const struct store_table *t, uint32_t partition)
{
	uint8_t k[4];
	be32_put(k, partition);
	struct store_cell key = {k, 4};
	return rows_of(&(struct store_read){.table = t, .partition_key = &key});
}

/* ---- an index ---- */

#define INDEXED_ROWS 100000
#define INDEXED_VALUES 1000

static const struct store_table *make_indexed(const char *name, bool with_index)
{
	struct store_column columns[] = {
		{.name = "id", .type = {STORE_UUID, 0, NULL}, .kind = STORE_PARTITION_KEY},
		{.name = "v", .type = {STORE_INT, 0, NULL}, .kind = STORE_REGULAR},
		{.name = "w", .type = {STORE_TEXT, 0, NULL}, .kind = STORE_REGULAR},
	};
	struct store_index index = {.name = "by_v", .column = "v", .definition = ""};
	struct store_table t = {
		.keyspace = "ks", .name = name, .columns = columns, .column_count = 3, .indexes = &index, .index_count = with_index};
	must(store_change_wait(store, &(struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = "ks", .table = name, .new_table = &t},
			       NULL),
	     "table");
	return store_find_table(store->ops->schema(store), "ks", name);
}

static void put_indexed(const struct store_table *t, uint64_t i)
{
	uint8_t id[16], v[4];
	key_of(i, id);
	be32_put(v, (uint32_t)(i % INDEXED_VALUES));
	struct store_cell key = {id, 16};
	struct store_assignment a[] = {{store_find_column(t, "v"), {v, 4}},
				       {store_find_column(t, "w"), {(const uint8_t *)"a text of some length", 21}}};
	struct store_mutation m = {
		.kind = STORE_UPSERT_INSERT, .table = t, .partition_key = &key, .cells = a, .cell_count = 2, .timestamp_us = (int64_t)i};
	struct store_batch b = {.mutations = &m, .count = 1};
	sem_wait(&room);
	store->ops->apply(store, &b, answered, NULL);
}

static uint64_t read_indexed(const struct store_table *t, uint32_t value)
{
	uint8_t v[4];
	be32_put(v, value);
	struct store_condition where = {.index = "by_v", .from_kind = STORE_INCLUSIVE, .to_kind = STORE_INCLUSIVE};
	where.from = where.to = (struct store_cell){v, 4};
	return rows_of(&(struct store_read){.table = t, .token_from = INT64_MIN, .token_to = INT64_MAX, .where = &where});
}

static void report(const char *what, uint64_t n, double wall, double cpu)
{
	printf("%-24s %9.0f /s  %6.2f us CPU each  (%llu in %.2f s)\n", what, (double)n / wall, cpu * 1e6 / (double)n,
	       (unsigned long long)n, wall);
}

/* false: rows are missing. */
static bool measure_index(void)
{
	const struct store_table *tables[] = {make_indexed("plain", false), make_indexed("indexed", true)};
	for (int i = 0; i < 2; i++) {
		double start = seconds(), cpu = process_cpu_seconds();
		for (uint64_t n = 0; n < INDEXED_ROWS; n++)
			put_indexed(tables[i], n);
		wait_for_all();
		report(i ? "upsert with an index" : "upsert without an index", INDEXED_ROWS, seconds() - start,
		       process_cpu_seconds() - cpu);
	}
	double start = seconds(), cpu = process_cpu_seconds();
	uint64_t rows = 0;
	for (uint32_t v = 0; v < INDEXED_VALUES; v++)
		rows += read_indexed(tables[1], v);
	report("100 of 100,000 by index", INDEXED_VALUES, seconds() - start, process_cpu_seconds() - cpu);
	return rows == INDEXED_ROWS;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000, found = 0;
	char dir[] = "/tmp/smack-store-bench-XXXXXX";
	struct sm_error error = {0};
	if (!mkdtemp(dir))
		return 1;
	double start = seconds(), cpu;
	struct store_embedded_options o = {.dir = dir};
	must(store_embedded_open(&o, &store, &error), error.text);
	printf("open %.1f ms, then %.1f MiB\n", (seconds() - start) * 1000, (double)process_rss_bytes() / (1 << 20));
	make_table();
	sem_init(&room, 0, IN_FLIGHT);

	start = seconds(), cpu = process_cpu_seconds();
	for (uint64_t i = 0; i < n; i++)
		put(i);
	wait_for_all();
	report("upsert, 256 in flight", n, seconds() - start, process_cpu_seconds() - cpu);
	printf("  syncs %lld, failed %ld\n", (long long)metric_get(METRIC_STORE_SYNCS), atomic_load(&failed));

	start = seconds(), cpu = process_cpu_seconds();
	for (uint64_t i = 0; i < n; i++)
		found += get(i * 7919 % n);
	report("get by key", n, seconds() - start, process_cpu_seconds() - cpu);
	start = seconds(), cpu = process_cpu_seconds();
	uint64_t scanned = scan();
	report("scan", scanned, seconds() - start, process_cpu_seconds() - cpu);
	printf("  found %llu of %llu; %.1f MiB\n", (unsigned long long)found, (unsigned long long)n,
	       (double)process_rss_bytes() / (1 << 20));
	const struct store_table *wide = make_partitions();
	start = seconds(), cpu = process_cpu_seconds();
	uint64_t rows = 0;
	for (uint32_t i = 0; i < PARTITIONS * 10; i++)
		rows += read_partition(wide, i * 7919 % PARTITIONS);
	report("partition of 120 rows", PARTITIONS * 10, seconds() - start, process_cpu_seconds() - cpu);
	bool all_found = measure_index();
	start = seconds();
	must(store->ops->close(store, &error), error.text);
	printf("close %.1f ms\n", (seconds() - start) * 1000);
	start = seconds();
	must(store_embedded_open(&o, &store, &error), error.text);
	printf("open again %.1f ms, then %.1f MiB\n", (seconds() - start) * 1000, (double)process_rss_bytes() / (1 << 20));
	must(store->ops->close(store, &error), error.text);
	must(io_remove_tree(&io_system, dir, NULL), "clean up");
	return found == n && scanned == n && rows == 10ull * PARTITIONS * PARTITION_ROWS && all_found && !atomic_load(&failed) ? 0 : 1;
}
