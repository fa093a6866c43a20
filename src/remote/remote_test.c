/* The socket's two sides in one process: what a session does, and what the server makes of peers that are none of ours. */
#include "log/record_batch.h"
#include "remote/testing.h"
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static enum sm_err echo(void *arg, struct bytes request, struct buf *answer, struct sm_error *reterr)
{
	if (request.size == 0)
		return sm_fail(reterr, SM_INVALID, "nothing to say");
	buf_append_bytes(answer, request);
	return SM_OK;
}
static const struct remote_command commands[] = {{"echo", echo, NULL}, {0}};
static struct remote_machine machine;
static struct sm_session *session;

static int setup(void **state)
{
	struct sm_error error;
	if (remote_machine_start(&machine, commands, &error) || sm_connect(machine.dir, &session, &error))
		fail_msg("%s", error.text);
	return 0;
}

static int teardown(void **state)
{
	sm_disconnect(session);
	session = NULL;
	remote_machine_end(&machine);
	return 0;
}

/* ---- the log ---- */

static void make_topic(const char *name)
{
	struct sm_error error;
	struct log_topic_spec spec = {name, 1, 1, NULL, 0};
	if (log_topic_create_wait(sm_session_log(session), &spec, &error))
		fail_msg("%s", error.text);
}

static int64_t append(const char *topic, const char *value)
{
	struct buf batch;
	struct batch_builder b;
	struct record r = {.timestamp_ms = 1, .value = bytes_str(value), .key_null = true};
	int64_t offset = -1;
	buf_init(&batch);
	batch_begin(&b, &batch, CODEC_NONE);
	batch_add(&b, &r, NULL, 0);
	assert_int_equal(batch_end(&b), SM_OK);
	assert_int_equal(
		log_append_wait(sm_session_log(session), topic, 0, (uint8_t *)(uintptr_t)buf_bytes(&batch).data, buf_size(&batch), &offset),
		SM_OK);
	buf_done(&batch);
	return offset;
}

static void what_is_appended_is_read_back(void **state)
{
	struct sm_log *log = sm_session_log(session);
	make_topic("t");
	assert_int_equal(append("t", "one"), 0);
	assert_int_equal(append("t", "two"), 1);
	struct log_read_result result;
	struct bytes data;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	assert_int_equal(log->ops->read(log, "t", 0, 1, 1 << 20, &result), SM_OK);
	assert_int_equal(result.high_watermark, 2);
	assert_int_equal(log_slice_bytes(&result.slice, &buffer, &cap, &data), SM_OK);
	struct batch_reader reader;
	struct record record;
	assert_int_equal(batch_reader_init(&reader, data), SM_OK);
	assert_int_equal(batch_next(&reader, &record), SM_OK);
	assert_memory_equal(record.value.data, "two", 3);
	batch_reader_done(&reader);
	log_slice_done(&result.slice);
	free(buffer);
	assert_int_equal(log->ops->read(log, "t", 0, 3, 100, &result), SM_OUT_OF_RANGE);
	assert_int_equal(log->ops->read(log, "none", 0, 0, 100, &result), SM_NOT_FOUND);
	int64_t offset;
	assert_int_equal(log->ops->offset_for(log, "t", 0, LOG_LATEST, &offset, NULL), SM_OK);
	assert_int_equal(offset, 2);
	const struct log_topics *topics = log->ops->topics(log);
	assert_non_null(log_topics_find(topics, "t"));
	log->ops->topics_release(log, topics);
	struct sm_error error;
	assert_int_equal(log_topic_delete_wait(log, "t", &error), SM_OK);
	assert_int_equal(log_topic_delete_wait(log, "t", &error), SM_NOT_FOUND);
}

struct waiter {
	struct log_wait wait; /* first */
	sem_t done;
	enum sm_err err;
};

static void wait_done(struct log_wait *wait, enum sm_err err)
{
	struct waiter *w = (struct waiter *)wait;
	w->err = err;
	sem_post(&w->done);
}

static void wait_begin(struct waiter *w, int64_t offset)
{
	struct sm_log *log = sm_session_log(session);
	*w = (struct waiter){.wait = {.topic = "w", .offset = offset, .done = wait_done}};
	sem_init(&w->done, 0, 0);
	log->ops->wait(log, &w->wait);
}

static enum sm_err wait_end(struct waiter *w)
{
	while (sem_wait(&w->done))
		;
	sem_destroy(&w->done);
	return w->err;
}

static void a_wait_ends_with_the_record_or_is_cancelled(void **state)
{
	struct sm_log *log = sm_session_log(session);
	struct waiter w;
	make_topic("w");
	wait_begin(&w, 0);
	assert_int_not_equal(sem_trywait(&w.done), 0);
	append("w", "x");
	assert_int_equal(wait_end(&w), SM_OK);
	wait_begin(&w, 1);
	log->ops->wait_cancel(log, &w.wait);
	assert_int_equal(wait_end(&w), SM_CANCELLED);
}

struct committed {
	enum sm_err err;
};

static void is_committed(void *arg, enum sm_err err)
{
	((struct committed *)arg)->err = err;
}

static void offsets_of_a_group_are_kept(void **state)
{
	struct sm_log *log = sm_session_log(session);
	make_topic("o");
	/* Committed inside, seen from outside. */
	struct log_group_offset offset = {.topic = "o", .partition = 0, .offset = -1};
	void *hold;
	assert_int_equal(log->ops->offsets_fetch(log, "g", &offset, 1, &hold), SM_OK);
	assert_int_equal(offset.offset, -1);
	log->ops->offsets_release(log, hold);
	const char *const *names;
	uint32_t count;
	assert_int_equal(log->ops->groups(log, &names, &count, &hold), SM_OK);
	assert_int_equal(count, 0);
	log->ops->offsets_release(log, hold);
	/* Committed outside, seen from both sides. */
	struct committed c = {.err = SM_FAILED};
	struct log_group_offset two[2] = {{.topic = "o", .partition = 0, .offset = 7, .leader_epoch = 2, .metadata = "note"},
					  {.topic = "p", .partition = 3, .offset = 9, .leader_epoch = -1}};
	log->ops->offsets_commit(log, "g", two, 2, is_committed, &c);
	assert_int_equal(c.err, SM_OK);
	struct log_group_offset *list;
	for (int side = 0; side < 2; side++) {
		struct sm_log *l = side ? machine.log : log;
		assert_int_equal(l->ops->groups(l, &names, &count, &hold), SM_OK);
		assert_int_equal(count, 1);
		assert_string_equal(names[0], "g");
		l->ops->offsets_release(l, hold);
		assert_int_equal(l->ops->offsets_list(l, "g", &list, &count, &hold), SM_OK);
		assert_int_equal(count, 2);
		assert_string_equal(list[0].topic, "o");
		assert_int_equal(list[0].offset, 7);
		assert_int_equal(list[0].leader_epoch, 2);
		assert_string_equal(list[0].metadata, "note");
		assert_string_equal(list[1].topic, "p");
		assert_int_equal(list[1].partition, 3);
		assert_int_equal(list[1].offset, 9);
		assert_false(list[1].pending);
		l->ops->offsets_release(l, hold);
	}
}

static void a_topic_is_checked_without_being_made(void **state)
{
	struct sm_log *log = sm_session_log(session);
	struct sm_error error;
	struct log_topic_spec spec = {.name = "checked", .partitions = 1, .replication_factor = 1, .check = true};
	assert_int_equal(log_topic_create_wait(log, &spec, &error), SM_OK);
	const struct log_topics *topics = log->ops->topics(log);
	assert_null(log_topics_find(topics, "checked"));
	log->ops->topics_release(log, topics);
	struct log_config config = {"no.such", "1"};
	spec.configs = &config;
	spec.config_count = 1;
	assert_int_equal(log_topic_create_wait(log, &spec, &error), SM_INVALID);
}

/* ---- the store ---- */

static const struct store_column columns[] = {
	{.name = "k", .type = {.id = STORE_TEXT}, .kind = STORE_PARTITION_KEY},
	{.name = "v", .type = {.id = STORE_TEXT}, .kind = STORE_REGULAR},
};

static void make_table(void)
{
	struct sm_error error;
	static const struct store_option replication[] = {{"class", "LocalStrategy"}};
	struct store_keyspace keyspace = {.name = "ks", .durable_writes = true, .replication = replication, .replication_count = 1};
	struct store_table table = {
		.keyspace = "ks", .name = "t", .columns = columns, .column_count = 2, .partition_key_count = 1, .regular_count = 1};
	struct store_change change = {.kind = STORE_CREATE_KEYSPACE, .keyspace = "ks", .new_keyspace = &keyspace};
	if (store_change_wait(sm_session_store(session), &change, &error))
		fail_msg("%s", error.text);
	change = (struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = "ks", .table = "t", .new_table = &table};
	if (store_change_wait(sm_session_store(session), &change, &error))
		fail_msg("%s", error.text);
	assert_int_equal(store_change_wait(sm_session_store(session), &change, &error), SM_EXISTS);
}

static struct store_cell cell(const char *text)
{
	return (struct store_cell){(const uint8_t *)text, (int32_t)strlen(text)};
}

/* count rows "KEY0".. with the value, as one batch. */
static enum sm_err put(const char *key, unsigned count, const char *value, const char *job, uint64_t epoch)
{
	struct sm_store *store = sm_session_store(session);
	const struct store_schema *schema = store->ops->schema(store);
	const struct store_table *table = store_find_table(schema, "ks", "t");
	static int64_t time_us = 1;
	char names[64][32];
	struct store_cell keys[64];
	struct store_assignment assignment = {&table->columns[1], cell(value)};
	struct store_mutation mutations[64];
	assert_true(count <= 64);
	for (unsigned i = 0; i < count; i++) {
		snprintf(names[i], sizeof names[i], "%s%u", key, i);
		keys[i] = cell(names[i]);
		mutations[i] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
						       .table = table,
						       .partition_key = &keys[i],
						       .clustering = &keys[i],
						       .cells = &assignment,
						       .cell_count = 1,
						       .timestamp_us = time_us++};
	}
	struct store_batch batch = {.mutations = mutations, .count = count, .job = job, .epoch = epoch};
	enum sm_err err = store_apply_wait(store, &batch);
	store->ops->schema_release(store, schema);
	return err;
}

/* How many rows have the value; key NULL: of all. */
static unsigned count_rows(struct sm_store *store, const char *key, const char *value)
{
	const struct store_schema *schema = store->ops->schema(store);
	struct store_cell k = key ? cell(key) : (struct store_cell){0};
	struct store_read read = {.table = store_find_table(schema, "ks", "t"),
				  .partition_key = key ? &k : NULL,
				  .token_from = INT64_MIN,
				  .token_to = INT64_MAX};
	struct store_cursor *cursor;
	const struct store_row *row;
	struct sm_error error;
	unsigned count = 0;
	enum sm_err err;
	if (store->ops->open(store, &read, &cursor, &error))
		fail_msg("%s", error.text);
	while (!(err = store->ops->next(cursor, &row)))
		count += row->cells[1].size == (int32_t)strlen(value) && memcmp(row->cells[1].data, value, strlen(value)) == 0;
	assert_int_equal(err, SM_END);
	store->ops->close_cursor(cursor);
	store->ops->schema_release(store, schema);
	return count;
}

static void rows_are_got_and_scanned(void **state)
{
	make_table();
	assert_int_equal(put("a", 50, "x", NULL, 0), SM_OK);
	assert_int_equal(put("b", 7, "y", NULL, 0), SM_OK);
	assert_int_equal(count_rows(sm_session_store(session), "a49", "x"), 1);
	assert_int_equal(count_rows(sm_session_store(session), "a50", "x"), 0);
	assert_int_equal(count_rows(sm_session_store(session), NULL, "x"), 50);
	assert_int_equal(count_rows(sm_session_store(session), NULL, "y"), 7);
	/* A scan that began later sees what was written meanwhile. */
	assert_int_equal(put("b", 9, "y", NULL, 0), SM_OK);
	assert_int_equal(count_rows(sm_session_store(session), NULL, "y"), 9);
	assert_int_equal(count_rows(machine.store, NULL, "y"), 9);
}

static void a_batch_of_an_older_epoch_is_refused_as_a_whole(void **state)
{
	struct sm_store *store = sm_session_store(session);
	uint64_t first, second;
	struct sm_error error;
	make_table();
	assert_int_equal(store->ops->job_epoch(store, "job", &first, &error), SM_OK);
	assert_int_equal(put("a", 3, "first", "job", first), SM_OK);
	assert_int_equal(store->ops->job_epoch(store, "job", &second, &error), SM_OK);
	assert_true(second > first);
	assert_int_equal(put("a", 3, "late", "job", first), SM_STALE_EPOCH);
	assert_int_equal(count_rows(store, NULL, "late"), 0);
	assert_int_equal(count_rows(store, NULL, "first"), 3);
	assert_int_equal(put("a", 3, "second", "job", second), SM_OK);
	assert_int_equal(count_rows(store, NULL, "second"), 3);
}

/* Rows that are found by the index: "KEY KEY ". key NULL: in all partitions. */
static void assert_found(struct sm_store *store, const char *key, const struct store_condition *where, const char *expected)
{
	const struct store_schema *schema = store->ops->schema(store);
	struct store_cell k = key ? cell(key) : (struct store_cell){0};
	struct store_read read = {.table = store_find_table(schema, "ks", "t"),
				  .partition_key = key ? &k : NULL,
				  .token_from = INT64_MIN,
				  .token_to = INT64_MAX,
				  .where = where};
	struct store_cursor *cursor;
	const struct store_row *row;
	struct sm_error error;
	struct buf found;
	enum sm_err err;
	buf_init(&found);
	if (store->ops->open(store, &read, &cursor, &error))
		fail_msg("%s", error.text);
	while (!(err = store->ops->next(cursor, &row)))
		buf_printf(&found, "%.*s ", (int)row->cells[0].size, (const char *)row->cells[0].data);
	assert_int_equal(err, SM_END);
	buf_u8(&found, 0);
	assert_string_equal((char *)found.data, expected);
	buf_done(&found);
	store->ops->close_cursor(cursor);
	store->ops->schema_release(store, schema);
}

static void rows_are_found_by_an_index(void **state)
{
	struct sm_store *store = sm_session_store(session);
	struct sm_error error;
	make_table();
	assert_int_equal(put("a", 5, "x", NULL, 0), SM_OK);
	assert_int_equal(put("b", 2, "y", NULL, 0), SM_OK);
	const struct store_schema *schema = store->ops->schema(store);
	struct store_table table = *store_find_table(schema, "ks", "t");
	struct store_index indexes[] = {{.name = "by_v", .column = "v", .folds = true, .definition = "as it was written"},
					{.name = "nothing", .column = "v", .part = STORE_INDEX_NOTHING, .definition = ""}};
	table.indexes = indexes;
	table.index_count = 2;
	struct store_change change = {.kind = STORE_ALTER_TABLE, .keyspace = "ks", .table = "t", .new_table = &table};
	if (store_change_wait(store, &change, &error))
		fail_msg("%s", error.text);
	store->ops->schema_release(store, schema);
	/* the picture here is the server's */
	schema = store->ops->schema(store);
	const struct store_schema *server = machine.store->ops->schema(machine.store);
	const struct store_table *t = store_find_table(schema, "ks", "t"), *there = store_find_table(server, "ks", "t");
	assert_int_equal(t->index_count, 2);
	assert_int_equal(there->index_count, 2);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(t->indexes[i].name, indexes[i].name);
		assert_string_equal(t->indexes[i].column, "v");
		assert_string_equal(t->indexes[i].definition, indexes[i].definition);
		assert_int_equal(t->indexes[i].part, indexes[i].part);
		assert_int_equal(t->indexes[i].folds, indexes[i].folds);
		assert_true(t->indexes[i].number != 0 && t->indexes[i].number == there->indexes[i].number);
	}
	machine.store->ops->schema_release(machine.store, server);
	store->ops->schema_release(store, schema);
	struct store_condition y = {
		.index = "by_v", .from_kind = STORE_INCLUSIVE, .to_kind = STORE_INCLUSIVE, .from = cell("Y"), .to = cell("Y")};
	struct store_condition below = {.index = "by_v", .to_kind = STORE_EXCLUSIVE, .to = cell("y")};
	assert_found(store, "b1", &y, "b1 ");
	assert_found(store, "a1", &y, "");
	assert_found(store, "a1", &below, "a1 ");
	assert_found(store, "b1", &below, "");
	assert_found(store, NULL, &(struct store_condition){.index = "by_v", .from_kind = STORE_EXCLUSIVE, .from = cell("y")}, "");
	y.index = "nope";
	struct store_read read = {.table = t, .where = &y};
	struct store_cursor *cursor;
	schema = store->ops->schema(store);
	read.table = store_find_table(schema, "ks", "t");
	enum sm_err err = store->ops->open(store, &read, &cursor, &error);
	if (!err) { /* it says so with its first answer */
		const struct store_row *row;
		err = store->ops->next(cursor, &row);
		store->ops->close_cursor(cursor);
	}
	assert_int_equal(err, SM_NOT_FOUND);
	store->ops->schema_release(store, schema);
}

/* ---- commands ---- */

static void commands_answer_or_say_why_not(void **state)
{
	struct buf answer;
	struct sm_error error;
	buf_init(&answer);
	assert_int_equal(remote_call(session, "echo", BYTES("hello"), &answer, &error), SM_OK);
	assert_true(bytes_equal(buf_bytes(&answer), BYTES("hello")));
	assert_int_equal(remote_call(session, "echo", BYTES(""), &answer, &error), SM_INVALID);
	assert_string_equal(error.text, "nothing to say");
	assert_int_equal(remote_call(session, "nothing", BYTES("x"), &answer, &error), SM_NOT_FOUND);
	assert_non_null(strstr(error.text, "nothing"));
	buf_done(&answer);
}

static void no_server_says_how_to_start_one(void **state)
{
	struct sm_session *other;
	struct sm_error error;
	assert_int_equal(sm_connect("/tmp/smack-no-such-directory", &other, &error), SM_UNAVAILABLE);
	assert_non_null(strstr(error.text, "smack up --data /tmp/smack-no-such-directory"));
}

static void a_session_outlives_neither_its_server_nor_a_call(void **state)
{
	struct buf answer;
	struct sm_error error;
	buf_init(&answer);
	remote_server_free(machine.server, 1000);
	machine.server = NULL;
	assert_int_equal(remote_call(session, "echo", BYTES("x"), &answer, &error), SM_UNAVAILABLE);
	buf_done(&answer);
}

/* ---- peers that are none of ours ---- */

/* The answer's first byte behind the size (0 ok, else error), or -1: the server has hung up. */
static int read_answer(int fd, char *text, size_t size)
{
	uint8_t head[REMOTE_HEADER];
	if (recv(fd, head, sizeof head, MSG_WAITALL) != sizeof head)
		return -1;
	uint32_t left = be32_get(head) - (REMOTE_HEADER - 4);
	assert_true(left < size);
	if (left) /* a read of nothing would wait for something */
		assert_int_equal(recv(fd, text, left, MSG_WAITALL), left);
	text[left] = 0;
	return head[4];
}

static void send_frame(int fd, uint8_t op, const void *body, uint32_t size)
{
	uint8_t head[REMOTE_HEADER];
	be32_put(head, size + REMOTE_HEADER - 4);
	head[4] = op;
	be32_put(head + 5, 1);
	assert_int_equal(send(fd, head, sizeof head, MSG_NOSIGNAL), sizeof head);
	assert_int_equal(send(fd, body, size, MSG_NOSIGNAL), size);
}

static void garbage_ends_its_connection_only(void **state)
{
	char text[4096];
	static const char *const garbage[] = {"GET / HTTP/1.1\r\n\r\n", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\0\0\0\0\0\0\0\0\0\0",
					      "\0\0\0\005\012\0\0\0\001"};
	static const size_t sizes[] = {18, 10, 10, 9};
	for (int i = 0; i < 4; i++) {
		int fd = remote_machine_connect(&machine);
		assert_int_equal(send(fd, garbage[i], sizes[i], MSG_NOSIGNAL), sizes[i]);
		assert_int_equal(read_answer(fd, text, sizeof text), -1);
		close(fd);
	}
	/* After a greeting a request that makes no sense is answered, and the connection stays. */
	int fd = remote_machine_connect(&machine);
	send_frame(fd, REMOTE_HELLO, "\0\005", 2);
	assert_int_equal(read_answer(fd, text, sizeof text), 0);
	for (int op = 2; op < 256; op++) {
		if (op == REMOTE_PRODUCER_ID || op == REMOTE_TOPICS || op == REMOTE_GROUPS || op == REMOTE_SCHEMA ||
		    op == REMOTE_CHECKPOINT)
			continue; /* no body is right for these */
		send_frame(fd, (uint8_t)op, "", 0);
		int answer = read_answer(fd, text, sizeof text);
		if (answer != 1 && op != REMOTE_CLOSE)
			fail_msg("request %d was answered with %d", op, answer);
	}
	close(fd);
	commands_answer_or_say_why_not(state);
}

static void another_version_is_told_so(void **state)
{
	char text[4096];
	int fd = remote_machine_connect(&machine);
	send_frame(fd, REMOTE_HELLO, "\0\006", 2);
	assert_int_equal(read_answer(fd, text, sizeof text), 1);
	assert_non_null(strstr(text + 8, "version 5"));
	assert_int_equal(read_answer(fd, text, sizeof text), -1);
	close(fd);
}

static void what_is_under_way_is_answered_before_the_server_ends(void **state)
{
	char text[4096];
	make_topic("w");
	int fd = remote_machine_connect(&machine);
	send_frame(fd, REMOTE_HELLO, "\0\005", 2);
	assert_int_equal(read_answer(fd, text, sizeof text), 0);
	static const uint8_t wait[] = {0, 0, 0, 1, 'w', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
	send_frame(fd, REMOTE_WAIT, wait, sizeof wait);
	/* Behind it on the same connection, so that the wait has begun when this has its answer. */
	static const uint8_t command[] = {0, 0, 0, 4, 'e', 'c', 'h', 'o', 0, 0, 0, 1, 'x'};
	send_frame(fd, REMOTE_COMMAND, command, sizeof command);
	assert_int_equal(read_answer(fd, text, sizeof text), 0);
	remote_server_free(machine.server, 2000);
	machine.server = NULL;
	assert_int_equal(read_answer(fd, text, sizeof text), 1); /* cancelled, not cut off */
	assert_int_equal(read_answer(fd, text, sizeof text), -1);
	close(fd);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(what_is_appended_is_read_back),
		WITH_SERVER(a_wait_ends_with_the_record_or_is_cancelled),
		WITH_SERVER(offsets_of_a_group_are_kept),
		WITH_SERVER(a_topic_is_checked_without_being_made),
		WITH_SERVER(rows_are_got_and_scanned),
		WITH_SERVER(rows_are_found_by_an_index),
		WITH_SERVER(a_batch_of_an_older_epoch_is_refused_as_a_whole),
		WITH_SERVER(commands_answer_or_say_why_not),
		WITH_SERVER(no_server_says_how_to_start_one),
		WITH_SERVER(a_session_outlives_neither_its_server_nor_a_call),
		WITH_SERVER(garbage_ends_its_connection_only),
		WITH_SERVER(another_version_is_told_so),
		WITH_SERVER(what_is_under_way_is_answered_before_the_server_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
