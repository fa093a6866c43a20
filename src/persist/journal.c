/* Opening a journal: its topic, its table, and in how many partitions it is.
 *
 *  CREATE TABLE KEYSPACE.persistence (topic text, id text, sequence bigint,
 *    fence bigint STATIC, first bigint STATIC, partitions int STATIC, writer bigint STATIC,
 *    data blob, position bigint, taken timestamp, type text, wrote bigint,
 *    PRIMARY KEY ((topic, id), sequence)) WITH CLUSTERING ORDER BY (sequence DESC)
 *
 *  writer, fence   the newest writer number of the id, and the offset where it begins
 *  first           the offset of the id's first record: where it is read from as long as it has no snapshot
 *  partitions      of the id "#" alone: the ids are spread over so many of the topic's partitions
 *  sequence        a row is a snapshot: after this event, with data of this type, by the writer that wrote it;
 *                  what is not in it begins at position
 *
 * The statics' write times are made of the numbers themselves (a writer's number; for first, less the later it lies), so that the newest
 * writer and the earliest place win, whatever clocks say and in which order writes arrive. */
#include "persist/persist_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define TABLE "persistence"
#define KEYSPACE_DEFAULT "smack_persist"

static const struct store_column columns[COLUMNS] = {
	[COLUMN_TOPIC] = {.name = "topic", .type = {.id = STORE_TEXT}, .kind = STORE_PARTITION_KEY},
	[COLUMN_ID] = {.name = "id", .type = {.id = STORE_TEXT}, .kind = STORE_PARTITION_KEY, .position = 1},
	[COLUMN_SEQUENCE] = {.name = "sequence", .type = {.id = STORE_BIGINT}, .kind = STORE_CLUSTERING, .descending = true},
	[COLUMN_FENCE] = {.name = "fence", .type = {.id = STORE_BIGINT}, .kind = STORE_STATIC},
	[COLUMN_FIRST] = {.name = "first", .type = {.id = STORE_BIGINT}, .kind = STORE_STATIC, .position = 1},
	[COLUMN_PARTITIONS] = {.name = "partitions", .type = {.id = STORE_INT}, .kind = STORE_STATIC, .position = 2},
	[COLUMN_WRITER] = {.name = "writer", .type = {.id = STORE_BIGINT}, .kind = STORE_STATIC, .position = 3},
	[COLUMN_DATA] = {.name = "data", .type = {.id = STORE_BLOB}, .kind = STORE_REGULAR},
	[COLUMN_POSITION] = {.name = "position", .type = {.id = STORE_BIGINT}, .kind = STORE_REGULAR, .position = 1},
	[COLUMN_TAKEN] = {.name = "taken", .type = {.id = STORE_TIMESTAMP}, .kind = STORE_REGULAR, .position = 2},
	[COLUMN_TYPE] = {.name = "type", .type = {.id = STORE_TEXT}, .kind = STORE_REGULAR, .position = 3},
	[COLUMN_WROTE] = {.name = "wrote", .type = {.id = STORE_BIGINT}, .kind = STORE_REGULAR, .position = 4},
};

/* ---- the topic ---- */

static enum sm_err check_config(const struct sm_journal *j, const struct log_config *config, struct sm_error *reterr)
{
	if (strcmp(config->name, "cleanup.policy") == 0 && strstr(config->value, "compact"))
		return sm_fail(reterr, SM_INVALID,
			       "topic %s is compacted: of each persistence id the last event alone would stay; take another", j->topic);
	bool deletes = strcmp(config->name, "retention.ms") == 0 || strcmp(config->name, "retention.bytes") == 0;
	if (deletes && strcmp(config->value, "-1") != 0)
		return sm_fail(
			reterr, SM_INVALID,
			"topic %s deletes records (%s = %s), and with them events: set it to -1 (smack topic alter), or take another topic",
			j->topic, config->name, config->value);
	return SM_OK;
}

/* ret_partitions 0: it is not there. */
static enum sm_err look_at_topic(struct sm_journal *j, int32_t *ret_partitions, struct sm_error *reterr)
{
	const struct log_topics *topics = j->log->ops->topics(j->log);
	const struct log_topic *topic = topics ? log_topics_find(topics, j->topic) : NULL;
	enum sm_err err = SM_OK;
	*ret_partitions = topic ? topic->partitions : 0;
	for (uint32_t i = 0; topic && i < topic->config_count && !err; i++)
		err = check_config(j, &topic->configs[i], reterr);
	j->log->ops->topics_release(j->log, topics);
	return err;
}

static enum sm_err open_topic(struct sm_journal *j, int32_t partitions, struct sm_error *reterr)
{
	enum sm_err err = look_at_topic(j, &j->partitions, reterr);
	if (err || j->partitions)
		return err;
	const struct log_config forever[] = {{"cleanup.policy", "delete"}, {"retention.bytes", "-1"}, {"retention.ms", "-1"}};
	struct log_topic_spec spec = {.name = j->topic,
				      .partitions = partitions ? partitions : PERSIST_PARTITIONS_DEFAULT,
				      .configs = forever,
				      .config_count = 3};
	err = log_topic_create_wait(j->log, &spec, reterr);
	if (err && err != SM_EXISTS)
		return err;
	if ((err = look_at_topic(j, &j->partitions, reterr)))
		return err;
	return j->partitions ? SM_OK : sm_fail(reterr, SM_NOT_FOUND, "topic %s is not there, though it has just been made", j->topic);
}

/* ---- the table ---- */

static bool find_table(struct sm_journal *j)
{
	if (j->schema)
		j->store->ops->schema_release(j->store, j->schema);
	j->schema = j->store->ops->schema(j->store);
	j->table = j->schema ? store_find_table(j->schema, j->keyspace, TABLE) : NULL;
	return j->table != NULL;
}

static enum sm_err make_table(struct sm_journal *j, struct sm_error *reterr)
{
	static const struct store_option replication[] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
	struct store_keyspace keyspace = {.name = j->keyspace, .durable_writes = true, .replication = replication, .replication_count = 2};
	struct store_change change = {.kind = STORE_CREATE_KEYSPACE, .keyspace = j->keyspace, .new_keyspace = &keyspace};
	enum sm_err err = store_change_wait(j->store, &change, reterr);
	if (err && err != SM_EXISTS)
		return err;
	struct store_table table = {.keyspace = j->keyspace,
				    .name = TABLE,
				    .columns = columns,
				    .column_count = COLUMNS,
				    .partition_key_count = 2,
				    .clustering_count = 1,
				    .static_count = 4,
				    .regular_count = 5,
				    .gc_grace_s = 864000};
	change = (struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = j->keyspace, .table = TABLE, .new_table = &table};
	err = store_change_wait(j->store, &change, reterr);
	return err == SM_EXISTS ? SM_OK : err;
}

static enum sm_err open_table(struct sm_journal *j, struct sm_error *reterr)
{
	enum sm_err err;
	if (!find_table(j)) {
		if ((err = make_table(j, reterr)))
			return err;
		if (!find_table(j))
			return sm_fail(reterr, SM_NOT_FOUND, "table %s.%s is not there, though it has just been made", j->keyspace, TABLE);
	}
	for (uint32_t i = 0; i < COLUMNS; i++)
		if (i >= j->table->column_count || strcmp(j->table->columns[i].name, columns[i].name) != 0 ||
		    j->table->columns[i].type.id != columns[i].type.id || j->table->columns[i].kind != columns[i].kind)
			return sm_fail(reterr, SM_TYPE,
				       "table %s.%s is not a journal's: it wants the column %s here; take another keyspace", j->keyspace,
				       TABLE, columns[i].name);
	return SM_OK;
}

/* ---- how the ids are spread ---- */

static enum sm_err read_partitions(struct sm_journal *j, const struct store_cell *key, int32_t *ret_partitions, struct sm_error *reterr)
{
	struct store_read read = {.table = j->table, .partition_key = key, .statics_only = true, .no_times = true};
	struct store_cursor *cursor;
	const struct store_row *row;
	enum sm_err err = j->store->ops->open(j->store, &read, &cursor, reterr);
	if (err)
		return err;
	*ret_partitions = 0;
	if (!(err = j->store->ops->next(cursor, &row)) && row->cells[COLUMN_PARTITIONS].size == 4)
		*ret_partitions = (int32_t)be32_get(row->cells[COLUMN_PARTITIONS].data);
	j->store->ops->close_cursor(cursor);
	return !err || err == SM_END ? SM_OK : sm_fail(reterr, err, "cannot read %s.%s: %s", j->keyspace, TABLE, sm_err_text(err));
}

/* Who opens the journal first decides for all. Several at the same time: the greatest number, as their write times are the same. */
static enum sm_err open_partitions(struct sm_journal *j, struct sm_error *reterr)
{
	const struct store_cell key[] = {{(const uint8_t *)j->topic, (int32_t)strlen(j->topic)}, {(const uint8_t *)"#", 1}};
	int32_t there;
	uint8_t number[4];
	enum sm_err err = read_partitions(j, key, &there, reterr);
	if (!err && !there) {
		be32_put(number, (uint32_t)j->partitions);
		struct store_assignment cell = {&j->table->columns[COLUMN_PARTITIONS], {number, 4}};
		struct store_mutation m = {.kind = STORE_UPSERT_UPDATE,
					   .table = j->table,
					   .partition_key = key,
					   .cells = &cell,
					   .cell_count = 1,
					   .timestamp_us = 1};
		if ((err = store_apply_wait(j->store, &(struct store_batch){.mutations = &m, .count = 1})))
			return sm_fail(reterr, err, "cannot write %s.%s: %s", j->keyspace, TABLE, sm_err_text(err));
		err = read_partitions(j, key, &there, reterr);
	}
	if (err)
		return err;
	if (there < 1 || there > j->partitions)
		return sm_fail(
			reterr, SM_CONFLICT,
			"the journal %s began with %d partitions, and the topic has %d: it is not the same topic. Restore it, or take "
			"another topic or keyspace",
			j->topic, there, j->partitions);
	j->partitions = there;
	return SM_OK;
}

/* ---- the journal ---- */

static void journal_free(struct sm_journal *j)
{
	if (j->schema)
		j->store->ops->schema_release(j->store, j->schema);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->changed);
	free(j->topic);
	free(j->keyspace);
	free(j);
}

enum sm_err sm_journal_open(const struct sm_journal_options *options, struct sm_journal **ret_journal, struct sm_error *reterr)
{
	if (!options->log || !options->store || !options->topic || !log_topic_name_ok(options->topic))
		return sm_fail(reterr, SM_INVALID, "a journal wants a log, a store, and the name of a topic: 1 to 249 of [a-zA-Z0-9._-]");
	struct sm_journal *j = calloc(1, sizeof *j);
	if (!j)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a journal");
	pthread_mutex_init(&j->lock, NULL);
	clock_cond_init(&j->changed);
	j->log = options->log;
	j->store = options->store;
	j->topic = strdup(options->topic);
	j->keyspace = strdup(options->keyspace ? options->keyspace : KEYSPACE_DEFAULT);
	enum sm_err err = j->topic && j->keyspace ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory for a journal");
	if (!err)
		err = open_topic(j, options->partitions, reterr);
	if (!err)
		err = open_table(j, reterr);
	if (!err)
		err = open_partitions(j, reterr);
	if (err)
		journal_free(j);
	else
		*ret_journal = j;
	return err;
}

void persist__journal_hold(struct sm_journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->holders++;
	pthread_mutex_unlock(&j->lock);
}

void persist__journal_release(struct sm_journal *j)
{
	pthread_mutex_lock(&j->lock);
	bool last = --j->holders == 0 && j->closed;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	if (last)
		journal_free(j);
}

enum sm_err sm_journal_close(struct sm_journal *j, uint32_t timeout_ms)
{
	if (!j)
		return SM_OK;
	uint64_t deadline_ns = clock_deadline_ns(timeout_ms);
	bool in_time = true;
	pthread_mutex_lock(&j->lock);
	while (j->holders && in_time)
		in_time = clock_cond_wait_until(&j->changed, &j->lock, deadline_ns);
	bool last = j->holders == 0;
	j->closed = !last;
	pthread_mutex_unlock(&j->lock);
	if (last)
		journal_free(j);
	return last ? SM_OK : SM_TIMEOUT;
}
