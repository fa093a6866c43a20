/* Internal tables of streaming jobs, in keyspace smack_system:
 *
 * stream_offset  job text, topic text, partition int -> offset bigint, written_us bigint      PRIMARY KEY (job, topic, partition)
 *                where to read on; written_us is the write time of the job's last micro-batch, so that the next one is later even if
 *                the clock went back. The dead-letter topic has rows too: how far it had grown.
 * stream_state   job text, statement text, key blob -> state blob, counted_to text            PRIMARY KEY ((job, statement, key))
 *                a group's running state (compute/sql_group.c), and the offsets up to which it counts
 * stream_claim   job text, key blob -> topic text, partition int, offset bigint                PRIMARY KEY ((job, key))
 *                which record stands for a dedup key */
#include "stream/stream_internal.h"

#define KEYSPACE "smack_system"

struct column_spec {
	const char *name;
	enum store_type_id type;
	enum store_column_kind kind;
};
struct table_spec {
	const char *name;
	struct column_spec columns[6];
};

static const struct table_spec specs[] = {
	{"stream_offset",
	 {{"job", STORE_TEXT, STORE_PARTITION_KEY},
	  {"topic", STORE_TEXT, STORE_CLUSTERING},
	  {"partition", STORE_INT, STORE_CLUSTERING},
	  {"offset", STORE_BIGINT, STORE_REGULAR},
	  {"written_us", STORE_BIGINT, STORE_REGULAR}}},
	{"stream_state",
	 {{"job", STORE_TEXT, STORE_PARTITION_KEY},
	  {"statement", STORE_TEXT, STORE_PARTITION_KEY},
	  {"key", STORE_BLOB, STORE_PARTITION_KEY},
	  {"counted_to", STORE_TEXT, STORE_REGULAR},
	  {"state", STORE_BLOB, STORE_REGULAR}}},
	{"stream_claim",
	 {{"job", STORE_TEXT, STORE_PARTITION_KEY},
	  {"key", STORE_BLOB, STORE_PARTITION_KEY},
	  {"offset", STORE_BIGINT, STORE_REGULAR},
	  {"partition", STORE_INT, STORE_REGULAR},
	  {"topic", STORE_TEXT, STORE_REGULAR}}},
};

static enum sm_err create_table(struct sm_store *store, const struct table_spec *spec, struct sm_error *reterr)
{
	struct store_column columns[6] = {0};
	uint16_t counts[4] = {0}, n = 0;
	for (; n < 6 && spec->columns[n].name; n++) {
		const struct column_spec *c = &spec->columns[n];
		columns[n] = (struct store_column){
			.name = c->name, .type = {.id = c->type}, .kind = c->kind, .position = counts[c->kind]++};
	}
	struct store_table table = {.keyspace = KEYSPACE,
				    .name = spec->name,
				    .columns = columns,
				    .column_count = n,
				    .partition_key_count = counts[STORE_PARTITION_KEY],
				    .clustering_count = counts[STORE_CLUSTERING],
				    .regular_count = counts[STORE_REGULAR],
				    .gc_grace_s = 864000};
	struct store_change change = {.kind = STORE_CREATE_TABLE, .keyspace = KEYSPACE, .table = spec->name, .new_table = &table};
	enum sm_err err = store_change_wait(store, &change, reterr);
	return err == SM_EXISTS ? SM_OK : err; /* another job was quicker */
}

enum sm_err tables__create(struct sm_store *store, struct sm_error *reterr)
{
	static const struct store_option replication[] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
	const struct store_schema *schema = store->ops->schema(store);
	enum sm_err err = SM_OK;
	bool missing[sizeof specs / sizeof *specs], keyspace = store_find_keyspace(schema, KEYSPACE) == NULL;
	for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
		missing[i] = store_find_table(schema, KEYSPACE, specs[i].name) == NULL;
	store->ops->schema_release(store, schema);
	if (keyspace) {
		struct store_keyspace k = {.name = KEYSPACE, .durable_writes = true, .replication = replication, .replication_count = 2};
		struct store_change change = {.kind = STORE_CREATE_KEYSPACE, .keyspace = KEYSPACE, .new_keyspace = &k};
		err = store_change_wait(store, &change, reterr);
		if (err == SM_EXISTS)
			err = SM_OK;
	}
	for (size_t i = 0; i < sizeof specs / sizeof *specs && !err; i++)
		if (missing[i])
			err = create_table(store, &specs[i], reterr);
	return err;
}

static enum sm_err find_table(const struct store_schema *schema, const char *name, const struct store_table **ret, struct sm_error *reterr)
{
	*ret = store_find_table(schema, KEYSPACE, name);
	return *ret ? SM_OK : sm_fail(reterr, SM_NOT_FOUND, "the table " KEYSPACE ".%s was dropped: restart the job", name);
}

enum sm_err tables__find(const struct store_schema *schema, struct stream_tables *t, struct sm_error *reterr)
{
	enum sm_err err;
	if ((err = find_table(schema, "stream_offset", &t->offset, reterr)) ||
	    (err = find_table(schema, "stream_state", &t->state, reterr)))
		return err;
	return find_table(schema, "stream_claim", &t->claim, reterr);
}

enum sm_err stream__read_partition(struct sm_store *store, const struct store_table *table, const struct store_cell *partition_key,
				   enum sm_err (*each)(void *arg, const struct store_row *row), void *arg, struct sm_error *reterr)
{
	struct store_read read = {.table = table, .partition_key = partition_key, .no_times = true};
	struct store_cursor *cursor;
	const struct store_row *row;
	enum sm_err err = store->ops->open(store, &read, &cursor, reterr);
	if (err)
		return err;
	while (!(err = store->ops->next(cursor, &row)))
		if ((err = each(arg, row)))
			break;
	store->ops->close_cursor(cursor);
	return err == SM_END ? SM_OK : sm_fail(reterr, err, "reading %s.%s: %s", table->keyspace, table->name, sm_err_text(err));
}
