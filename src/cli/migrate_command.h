/* What the commands `smack migrate log` and `smack migrate store` share. */
#ifndef CLI_MIGRATE_COMMAND_H
#define CLI_MIGRATE_COMMAND_H

#include "backup/migrate.h"
#include "cli/command.h"
#include "cli/demo.h"

#define MIGRATE_NAMES_MAX 256

struct migrate_arguments {
	const char *data, *to, *from, *state, *what;
	const char *topics[MIGRATE_NAMES_MAX], *skip[MIGRATE_NAMES_MAX], *tables[MIGRATE_NAMES_MAX];
	uint32_t topic_count, skip_count, table_count;
	long replication;
	bool dry_run, verify, overwrite_groups, prune, ranges;
};
/* A side, as far as the notes are concerned. */
struct migrate_place_of {
	char name[256]; /* for people, and for the notes */
	char dir[4096]; /* of a server's data, else "" */
};
/* Where the notes are: as the arguments say, or below the data directory of one side's server, by the other's name. Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err migrate_state_dir(const struct migrate_arguments *a, const struct migrate_place_of *source,
					    const struct migrate_place_of *target, char out[4096], struct sm_error *reterr);

struct migrate_telling {
	struct progress bar;
	bool shown;
	char what[300];
};
void migrate_end_bar(struct migrate_telling *telling);
/* arg: a struct migrate_telling. */
void migrate_say(void *arg, enum migrate_say kind, const char *text);
void migrate_show(struct migrate_telling *telling, const char *what, uint64_t done, uint64_t total);
void migrate_cell_number(struct text_table *table, uint64_t number);
void migrate_cell_sum(struct text_table *table, const uint8_t sum[MIGRATE_SUM_SIZE]);

/* migrate_store_command.c; returns the status. */
int migrate_tables(const struct migrate_arguments *a);

#endif
