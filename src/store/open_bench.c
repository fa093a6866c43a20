/* How long the store takes until it is ready: empty, with data, and with a write-ahead log to recover.
 * usage: store-open_bench [MIB] */
#include "base/io.h"
#include "base/metrics.h"
#include "store/store_internal.h"
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define VALUE 1024
#define EACH 512

static char dir[] = "/tmp/smack-open-bench-XXXXXX";

static void must(enum sm_err err, const char *what)
{
	if (err) {
		fprintf(stderr, "%s: %s\n", what, sm_err_text(err));
		exit(1);
	}
}

static struct sm_store *open_store(const char *what)
{
	struct sm_store *store;
	struct sm_error error = {0};
	struct store_embedded_options o = {.dir = dir};
	uint64_t start = clock_monotonic_ns(&clock_system);
	must(store_embedded_open(&o, &store, &error), error.text);
	if (what)
		printf("%-34s ready in %6.1f ms, %6.1f MiB of memory\n", what, (double)(clock_monotonic_ns(&clock_system) - start) / 1e6,
		       (double)process_rss_bytes() / (1 << 20));
	return store;
}

static void make_table(struct sm_store *store)
{
	struct store_keyspace k = {.name = "ks", .durable_writes = true};
	struct store_column columns[] = {{.name = "k", .type = {STORE_BIGINT, 0, NULL}, .kind = STORE_PARTITION_KEY},
					 {.name = "v", .type = {STORE_BLOB, 0, NULL}, .kind = STORE_REGULAR}};
	struct store_table t = {.keyspace = "ks", .name = "t", .columns = columns, .column_count = 2};
	must(store_change_wait(store, &(struct store_change){.kind = STORE_CREATE_KEYSPACE, .keyspace = "ks", .new_keyspace = &k}, NULL),
	     "keyspace");
	must(store_change_wait(store, &(struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = "ks", .table = "t", .new_table = &t},
			       NULL),
	     "table");
}

static void fill(struct sm_store *store, uint64_t from, uint64_t mib)
{
	static uint64_t values[EACH][VALUE / 8];
	static uint8_t keys[EACH][8];
	static struct store_cell key_cells[EACH];
	static struct store_assignment cells[EACH];
	static struct store_mutation mutations[EACH];
	const struct store_schema *schema = store->ops->schema(store);
	const struct store_table *t = store_find_table(schema, "ks", "t");
	uint64_t x = from * 2654435761u + 88172645463325252u;
	for (uint64_t i = 0; i < mib * (1 << 20) / VALUE; i++) {
		size_t at = i % EACH;
		for (size_t j = 0; j < VALUE / 8; j++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			values[at][j] = x;
		}
		be64_put(keys[at], from + i);
		key_cells[at] = (struct store_cell){keys[at], 8};
		cells[at] = (struct store_assignment){store_find_column(t, "v"), {(uint8_t *)values[at], VALUE}};
		mutations[at] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
							.table = t,
							.partition_key = &key_cells[at],
							.cells = &cells[at],
							.cell_count = 1,
							.timestamp_us = 1};
		if (at == EACH - 1)
			must(store_apply_wait(store, &(struct store_batch){.mutations = mutations, .count = EACH}), "write");
	}
	store->ops->schema_release(store, schema);
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 10) : 256;
	char what[100];
	if (!mkdtemp(dir))
		return 1;
	struct sm_store *store = open_store("a new directory");
	make_table(store);
	fill(store, 0, mib);
	must(store->ops->close(store, NULL), "close");
	snprintf(what, sizeof what, "%llu MiB of data", (unsigned long long)mib);
	for (int i = 0; i < 3; i++) {
		store = open_store(what);
		must(store->ops->close(store, NULL), "close");
	}
	for (unsigned log_mib = 1; log_mib <= 16; log_mib *= 4) {
		fflush(stdout);
		pid_t pid = fork(); /* no store is open here */
		if (pid == 0) {
			fill(open_store(NULL), UINT32_MAX, log_mib);
			_exit(0);
		}
		int status;
		if (waitpid(pid, &status, 0) != pid || status)
			return 1;
		snprintf(what, sizeof what, "... and %u MiB written, then killed", log_mib);
		store = open_store(what);
		must(store->ops->close(store, NULL), "close");
	}
	must(io_remove_tree(&io_system, dir, NULL), "clean up");
	return 0;
}
