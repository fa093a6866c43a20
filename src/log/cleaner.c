/* The cleaner goes through the compacted topics, one partition after the other, on one thread of the pool. */
#include "base/metrics.h"
#include "log/log_internal.h"
#include <stdio.h>
#include <stdlib.h>

struct cleaner {
	struct sm_work work;
	struct engine *engine;
	struct partition **partitions; /* counted */
	uint32_t count;
};

static void cleaner_free(struct cleaner *c)
{
	struct engine *e = c->engine;
	for (uint32_t i = 0; c->partitions && i < c->count; i++)
		log__partition_unref(c->partitions[i]);
	free(c->partitions);
	free(c);
	atomic_store(&e->cleaning, false);
	atomic_fetch_sub(&e->live, 1);
}

void log__cleaner_visit(struct partition *p, int64_t now_ms)
{
	struct sm_error error = {.code = SM_OK};
	char text[700];
	enum sm_err err = log__partition_compact(p, now_ms, &error);
	/* What is damaged stays so: to read it all again and again would help nobody. */
	if (err == SM_CORRUPT || err == SM_IO)
		p->uncleanable = true;
	if (!err || err == SM_CANCELLED || !p->uncleanable)
		return;
	metric_add(METRIC_LOG_UNCLEANABLE, 1);
	snprintf(text, sizeof text,
		 "the compaction of %s has ended until the next start: %s; `smack log check` says what is damaged while the server is "
		 "stopped",
		 p->dir, error.code ? error.text : sm_err_text(err));
	log__notice(p->engine, text);
}

static void run(struct sm_work *work)
{
	struct cleaner *c = (struct cleaner *)work;
	for (uint32_t i = 0; i < c->count && !atomic_load(&c->engine->closing); i++)
		log__cleaner_visit(c->partitions[i], clock_wall_ms(c->engine->clock));
	cleaner_free(c);
}

static bool is_compacted(const struct topic *t)
{
	return t->settings.compact && !t->deleting;
}

void log__cleaner_start(struct engine *engine)
{
	bool idle = false;
	if (!atomic_compare_exchange_strong(&engine->cleaning, &idle, true))
		return;
	struct cleaner *c = calloc(1, sizeof *c);
	if (!c) {
		atomic_store(&engine->cleaning, false);
		return;
	}
	c->engine = engine;
	c->work.run = run;
	atomic_fetch_add(&engine->live, 1);
	if (atomic_load(&engine->closing) || !(c->partitions = log__topics_partitions(engine, is_compacted, &c->count)) || !c->count ||
	    sm_pool_run(engine->system, &c->work))
		cleaner_free(c);
}
