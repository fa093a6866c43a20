/* `smack migrate store`: tables from a store to another engine's, and back. */
#include "backup/migrate_store.h"
#include "base/address.h"
#include "cassandra/cassandra.h"
#include "cli/migrate_command.h"
#include "cql/cql.h"
#include <stdio.h>

struct side {
	struct migrate_place_of place;
	char cql[ADDRESS_HOST_MAX + 8]; /* where a server's CQL clients find it */
	struct sm_session *session;
	struct cql_session *statements; /* NULL: the Cassandra runs them */
	struct sm_store *cassandra, *store;
};

static enum sm_err run_there(void *arg, const char *text, enum sm_err (*row)(void *row_arg, const char *const *values, uint32_t count),
			     void *row_arg, struct sm_error *reterr)
{
	const struct side *s = arg;
	return cassandra_run(s->cassandra, text, row, row_arg, reterr);
}

static enum sm_err run_here(void *arg, const char *text, enum sm_err (*row)(void *row_arg, const char *const *values, uint32_t count),
			    void *row_arg, struct sm_error *reterr)
{
	const struct side *s = arg;
	const struct cql_sink sink = {.arg = row_arg, .row = row};
	return cql_session_run(s->statements, bytes_str(text), &sink, reterr);
}

/* Hosts that are gone, and back; writes that are refused. */
static void notice(void *arg, const char *text)
{
	fprintf(stderr, "warning: %s\n", text);
}

/* Everybody on the machine sees the arguments of a process. */
static enum sm_err check_address(const char *address, struct sm_error *reterr)
{
	if (address && cassandra_is_address(address) && (strstr(address, "?password=") || strstr(address, "&password=")))
		return sm_fail(reterr, SM_INVALID,
			       "a password on the command line is seen by everybody on this machine: write it to a file that only you may "
			       "read, and say ?user=NAME&password.file=FILE");
	return SM_OK;
}

static enum sm_err open_cassandra(struct side *s, const char *address, struct sm_error *reterr)
{
	const struct cassandra_options options = {.address = address, .guest = true, .notice = notice};
	char host[256];
	uint16_t port;
	cassandra_shown(address, s->place.name, sizeof s->place.name);
	cassandra_first(address, host, &port);
	address_text(host, port, s->cql, sizeof s->cql);
	enum sm_err err = cassandra_open(&options, &s->cassandra, reterr);
	if (!err)
		s->store = s->cassandra;
	return err;
}

/* address: cassandra://..., or the data directory of a running server (NULL: the usual one). */
static enum sm_err side_open(struct side *s, const char *address, struct sm_error *reterr)
{
	struct server_info info;
	if (address && cassandra_is_address(address))
		return open_cassandra(s, address, reterr);
	if (address && strstr(address, "://"))
		return sm_fail(reterr, SM_INVALID, "%s: the address of a store is cassandra://HOST:PORT or a data directory", address);
	enum sm_err err = sm_connect(address, &s->session, reterr);
	if (err || (err = server_info(s->session, &info, reterr)))
		return err;
	snprintf(s->place.dir, sizeof s->place.dir, "%s", info.data);
	snprintf(s->place.name, sizeof s->place.name, "%.255s", info.data);
	address_text(info.cql_host, info.cql_port, s->cql, sizeof s->cql);
	s->store = sm_session_store(s->session);
	err = cql_session_new(s->store, NULL, &s->statements);
	return err ? sm_fail(reterr, err, "no memory") : SM_OK;
}

static void side_close(struct side *s)
{
	cql_session_free(s->statements);
	if (s->cassandra) {
		cassandra_ending(s->cassandra);
		(void)!s->cassandra->ops->close(s->cassandra, NULL);
	}
	if (s->session)
		sm_disconnect(s->session);
}

static void show(void *arg, const char *table, uint64_t done, uint64_t total)
{
	migrate_show(arg, table, done, total);
}

static void print_rows(const struct migrate_store_report *r, bool verify)
{
	static const char *const heads[] = {"table", "ranges", "written now", "rows", "there", "checksum", "there", "proof"};
	struct text_table *table = text_table_new(verify ? 7 : 8);
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		if (!verify || i != 2)
			text_table_cell(table, heads[i], i > 0 && i < 5);
	for (uint32_t i = 0; i < r->row_count; i++) {
		const struct migrate_store_row *row = &r->rows[i];
		text_table_cell(table, row->table, false);
		migrate_cell_number(table, row->ranges);
		if (!verify)
			migrate_cell_number(table, row->written);
		migrate_cell_number(table, row->source_rows);
		migrate_cell_number(table, row->target_rows);
		migrate_cell_sum(table, row->source_sum);
		migrate_cell_sum(table, row->target_sum);
		text_table_cell(table, row->same ? "same" : "DIFFERENT", false);
	}
	text_table_print(table, stdout);
	text_table_free(table);
}

/* Status 1 unless everything is as it shall be. */
static int print_report(const struct migrate_store_report *r, const struct migrate_arguments *a)
{
	if (a->dry_run)
		return STATUS_OK;
	if (r->row_count)
		print_rows(r, a->verify);
	else
		printf("there are no tables to %s\n", a->verify ? "compare" : "copy");
	fflush(stdout);
	for (uint32_t i = 0; i < r->row_count; i++)
		if (!r->rows[i].same)
			fprintf(stderr, "smack: table %s: the first difference: %s\n", r->rows[i].table, r->rows[i].difference);
	if (r->not_made)
		fprintf(stderr, "smack: %u definitions are not at the target, or are other ones there\n", r->not_made);
	return r->differences || r->not_made ? STATUS_FAILED : STATUS_OK;
}

static struct migrate_store_side side_of(struct side *s)
{
	return (struct migrate_store_side){s->store, s->place.name, s->cassandra ? run_there : run_here, s};
}

int migrate_tables(const struct migrate_arguments *a)
{
	struct side source = {.store = NULL}, target = {.store = NULL};
	struct migrate_telling telling = {.shown = false};
	struct migrate_store_report *report = NULL;
	struct sm_error error = {0};
	char state[4096];
	int status = STATUS_FAILED;
	enum sm_err err = check_address(a->from, &error);
	if (!err)
		err = check_address(a->to, &error);
	if (!err)
		err = side_open(&source, a->from ? a->from : a->data, &error);
	if (!err)
		err = side_open(&target, a->to ? a->to : a->data, &error);
	if (!err && (strcmp(source.place.name, target.place.name) == 0 || strcmp(source.cql, target.cql) == 0))
		err = sm_fail(&error, SM_INVALID, "%s is both sides", source.place.name);
	if (!err)
		err = migrate_state_dir(a, &source.place, &target.place, state, &error);
	if (!err) {
		const struct migrate_store_options options = {.source = side_of(&source),
							      .target = side_of(&target),
							      .state_dir = state,
							      .tables = a->tables,
							      .table_count = a->table_count,
							      .replication_factor = (uint32_t)a->replication,
							      .prune = a->prune,
							      .tell_ranges = a->ranges,
							      .dry_run = a->dry_run,
							      .verify = a->verify,
							      .say = migrate_say,
							      .progress = show,
							      .arg = &telling};
		err = migrate_store(&options, &report, &error);
		migrate_end_bar(&telling);
	}
	if (!err)
		status = print_report(report, a);
	else
		(void)!command_failed(&error);
	migrate_store_report_free(report);
	side_close(&target);
	side_close(&source);
	return status;
}
