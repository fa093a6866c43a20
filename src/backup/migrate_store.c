/* The order of things: look at everything first; then keyspaces, types and tables, then one table after the other, then indexes and views.
 */
#include "backup/migrate_store_internal.h"
#include <stdio.h>
#include <stdlib.h>

void migrate__tell(struct migrate_move *m, enum migrate_say kind, const char *fmt, ...)
{
	char text[1000];
	va_list args;
	if (!m->o->say)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	m->o->say(m->o->arg, kind, text);
}

static enum sm_err do_table(struct migrate_move *m, struct migrate_table *t, struct sm_error *reterr)
{
	struct migrate_store_report *r = m->report;
	struct migrate_store_row *grown = realloc(r->rows, (r->row_count + 1) * sizeof *grown);
	if (!grown)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	r->rows = grown;
	struct migrate_store_row *row = &r->rows[r->row_count];
	*row = (struct migrate_store_row){.table = strdup(t->name)};
	if (!row->table)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	r->row_count++;
	enum sm_err err = migrate__table(m, t, row, reterr);
	r->differences += !err && !row->same;
	return err;
}

static enum sm_err tell_tables(struct migrate_move *m, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < m->table_count && !err; i++) {
		struct migrate_table *t = m->tables[i];
		bool there = store_find_table(m->target_schema, t->source->keyspace, t->source->name);
		if (there)
			err = migrate__target_anew(m, t, reterr);
		migrate__tell(m, MIGRATE_NOTE, "table %s: %s", t->name,
			      there ? "is there: what differs would be written" : "all rows would be copied");
	}
	return err;
}

static enum sm_err run(struct migrate_move *m, struct sm_error *reterr)
{
	enum sm_err err = migrate__store_plan(m, reterr);
	if (!err)
		err = migrate__define(m, false, reterr);
	if (!err && m->o->dry_run)
		err = tell_tables(m, reterr);
	for (uint32_t i = 0; i < m->table_count && !err && !m->o->verify && !m->o->dry_run; i++)
		err = migrate__target_anew(m, m->tables[i], reterr); /* a table that is another one is known before rows are copied */
	for (uint32_t i = 0; i < m->table_count && !err && !m->o->dry_run; i++)
		err = do_table(m, m->tables[i], reterr);
	if (!err)
		err = migrate__define(m, true, reterr);
	for (uint32_t i = 0; i < m->table_count && !err && !m->o->verify && !m->o->dry_run; i++)
		err = migrate__table_forget(m, m->tables[i], reterr);
	return err;
}

enum sm_err migrate_store(const struct migrate_store_options *o, struct migrate_store_report **ret_report, struct sm_error *reterr)
{
	struct migrate_move m = {.o = o, .clock = o->clock ? o->clock : &clock_system};
	m.state = (struct migrate_state){.io = o->io ? o->io : &io_system, .dir = o->state_dir, .lock = {.fd = -1}};
	m.begun_us = (int64_t)clock_wall_us(m.clock);
	arena_init(&m.arena, 0);
	m.report = calloc(1, sizeof *m.report);
	enum sm_err err = m.report ? migrate__sum_new(&m.sum) : SM_NO_MEMORY;
	if (err)
		err = sm_fail(reterr, err, "no memory");
	if (!err && !o->dry_run && !o->verify)
		err = migrate__state_open(&m.state, o->source.name, o->target.name, reterr);
	if (!err)
		err = run(&m, reterr);
	migrate__state_close(&m.state);
	migrate__sum_free(m.sum);
	if (m.source_schema)
		o->source.store->ops->schema_release(o->source.store, m.source_schema);
	if (m.target_schema)
		o->target.store->ops->schema_release(o->target.store, m.target_schema);
	arena_done(&m.arena);
	if (err)
		migrate_store_report_free(m.report);
	else
		*ret_report = m.report;
	return err;
}

void migrate_store_report_free(struct migrate_store_report *report)
{
	if (!report)
		return;
	for (uint32_t i = 0; i < report->row_count; i++)
		free(report->rows[i].table);
	free(report->rows);
	free(report);
}
