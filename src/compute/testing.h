/* What the tests of this room share: a log and a store in a directory of their own, and the article's tables. */
#ifndef COMPUTE_TESTING_H
#define COMPUTE_TESTING_H

#include "base/io.h"
#include "log/log.h"
#include "store/store.h"
#include <setjmp.h>
#include <smack/actor.h>
#include <smack/rdd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct platform {
	char dir[64];
	struct sm_system *system;
	struct sm_log *log;
	struct sm_store *store;
};

static inline void platform_check(enum sm_err err, const struct sm_error *error)
{
	if (err)
		fail_msg("%s: %s", sm_err_name(err), error->text);
}

static inline void platform_open(struct platform *p)
{
	struct sm_error error = {0};
	char log_dir[96], store_dir[96];
	strcpy(p->dir, "/tmp/smack-compute-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(log_dir, sizeof log_dir, "%s/log", p->dir);
	snprintf(store_dir, sizeof store_dir, "%s/store", p->dir);
	platform_check(sm_system_new(&(struct sm_system_options){.dispatchers = 2, .pool_threads = 2}, &p->system, &error), &error);
	platform_check(log_embedded_open(&(struct log_embedded_options){.system = p->system, .dir = log_dir}, &p->log, &error), &error);
	platform_check(store_embedded_open(&(struct store_embedded_options){.system = p->system, .dir = store_dir}, &p->store, &error),
		       &error);
}

static inline void platform_close(struct platform *p)
{
	struct sm_error error = {0};
	platform_check(p->store->ops->close(p->store, &error), &error);
	platform_check(p->log->ops->close(p->log, &error), &error);
	assert_int_equal(sm_system_stop(p->system, 5000), SM_OK);
	platform_check(io_remove_tree(&io_system, p->dir, &error), &error);
}

static inline void platform_keyspace(struct platform *p, const char *name)
{
	struct sm_error error = {0};
	struct store_option replication[] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
	struct store_keyspace k = {.name = name, .durable_writes = true, .replication = replication, .replication_count = 2};
	struct store_change c = {.kind = STORE_CREATE_KEYSPACE, .keyspace = name, .new_keyspace = &k};
	platform_check(store_change_wait(p->store, &c, &error), &error);
}

/* columns: "id uuid p, year int c, views bigint r": name, type, and p(artition key), c(lustering), s(tatic) or r(egular). */
static inline void platform_table(struct platform *p, const char *keyspace, const char *name, const char *columns)
{
	char text[512], *outer = NULL;
	struct store_column list[32];
	uint16_t count = 0, positions[4] = {0};
	struct arena arena;
	struct sm_error error = {0};
	arena_init(&arena, 0);
	snprintf(text, sizeof text, "%s", columns);
	for (char *part = strtok_r(text, ",", &outer); part; part = strtok_r(NULL, ",", &outer)) {
		char *column = arena_alloc(&arena, 64), *type = arena_alloc(&arena, 64), kind;
		assert_int_equal(sscanf(part, " %63s %63s %c", column, type, &kind), 3);
		enum store_column_kind of = kind == 'p'   ? STORE_PARTITION_KEY
					    : kind == 'c' ? STORE_CLUSTERING
					    : kind == 's' ? STORE_STATIC
							  : STORE_REGULAR;
		list[count] = (struct store_column){.name = column, .kind = of, .position = positions[of]++};
		platform_check(store_type_parse(type, &arena, &list[count++].type), &error);
	}
	struct store_table t = {.keyspace = keyspace, .name = name, .columns = list, .column_count = count, .gc_grace_s = 864000};
	struct store_change c = {.kind = STORE_CREATE_TABLE, .keyspace = keyspace, .table = name, .new_table = &t};
	platform_check(store_change_wait(p->store, &c, &error), &error);
	arena_done(&arena);
}

static inline void platform_topic(struct platform *p, const char *name, int32_t partitions)
{
	struct sm_error error = {0};
	struct log_topic_spec spec = {.name = name, .partitions = partitions, .replication_factor = 1};
	platform_check(log_topic_create_wait(p->log, &spec, &error), &error);
}

#endif
