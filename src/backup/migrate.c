/* The order of things: look at everything first, then one topic after the other (make it, copy, prove, its true configs), then groups. */
#include "backup/migrate.h"
#include "backup/migrate_internal.h"
#include <stdio.h>
#include <stdlib.h>

void migrate__say(struct migrate *m, enum migrate_say kind, const char *fmt, ...)
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

static enum sm_err row_add(struct migrate *m, const struct migrate_topic *t, int32_t partition, struct migrate_log_row **ret_row,
			   struct sm_error *reterr)
{
	struct migrate_log_report *r = m->report;
	struct migrate_log_row *grown = realloc(r->rows, (r->row_count + 1) * sizeof *grown);
	if (!grown)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	r->rows = grown;
	struct migrate_log_row *row = &r->rows[r->row_count];
	*row = (struct migrate_log_row){.topic = strdup(t->name), .partition = partition};
	if (!row->topic)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	r->row_count++;
	*ret_row = row;
	return SM_OK;
}

static enum sm_err copy_and_prove(struct migrate *m, const struct migrate_topic *t, struct migrate_log_row *row, struct sm_error *reterr)
{
	struct migrate_notes notes;
	enum sm_err err = migrate__notes_read(m, t->name, row->partition, &notes, reterr);
	if (err)
		return err;
	err = migrate__copy(m, t, row->partition, &notes, &row->copied, reterr);
	if (!err)
		err = migrate__prove(m, &notes, row, reterr);
	migrate__notes_done(&notes);
	return err;
}

static enum sm_err do_topic(struct migrate *m, struct migrate_topic *t, struct sm_error *reterr)
{
	uint32_t differences = m->report->differences;
	enum sm_err err = m->o->verify ? SM_OK : migrate__prepare(m, t, reterr);
	for (int32_t p = 0; p < t->partitions && !err; p++) {
		struct migrate_log_row *row = NULL;
		if ((err = row_add(m, t, p, &row, reterr)))
			break;
		err = m->o->verify ? migrate__compare(m, t, row, reterr) : copy_and_prove(m, t, row, reterr);
		m->report->differences += !err && !row->same;
	}
	if (!err && !m->o->verify && m->report->differences == differences)
		err = migrate__finish(m, t, reterr);
	return err;
}

static enum sm_err run(struct migrate *m, struct sm_error *reterr)
{
	enum sm_err err = migrate__plan(m, reterr);
	for (uint32_t i = 0; i < m->topic_count && !err; i++)
		err = m->o->dry_run ? migrate__tell_topic(m, &m->topics[i], reterr) : do_topic(m, &m->topics[i], reterr);
	if (!err && !m->o->verify && !m->report->differences)
		err = migrate__groups(m, reterr);
	return err;
}

enum sm_err migrate_log(const struct migrate_log_options *o, struct migrate_log_report **ret_report, struct sm_error *reterr)
{
	struct migrate m = {.o = o, .clock = o->clock ? o->clock : &clock_system};
	m.state = (struct migrate_state){.io = o->io ? o->io : &io_system, .dir = o->state_dir, .lock = {.fd = -1}};
	bool looks_only = o->dry_run || o->verify;
	if (!o->source->ops->groups || !o->source->ops->offsets_list)
		return sm_fail(reterr, SM_UNSUPPORTED, "%s cannot list its consumer groups", o->source_name);
	arena_init(&m.arena, 0);
	m.report = calloc(1, sizeof *m.report);
	enum sm_err err = m.report ? migrate__sum_new(&m.sum) : SM_NO_MEMORY;
	if (err)
		err = sm_fail(reterr, err, "no memory");
	if (!err && !looks_only)
		err = migrate__state_open(&m.state, o->source_name, o->target_name, reterr);
	if (!err)
		err = run(&m, reterr);
	migrate__state_close(&m.state);
	migrate__sum_free(m.sum);
	arena_done(&m.arena);
	if (err)
		migrate_log_report_free(m.report);
	else
		*ret_report = m.report;
	return err;
}

void migrate_log_report_free(struct migrate_log_report *report)
{
	if (!report)
		return;
	for (uint32_t i = 0; i < report->row_count; i++)
		free(report->rows[i].topic);
	free(report->rows);
	free(report);
}
