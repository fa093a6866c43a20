/* Quotas: whom one is about, how a rate is measured, who waits, and that all of it is there after a restart. */
#include "kafka/quota.h"
#include "kafka/testing.h"
#include <stdio.h>

static char dir[64], path[128];

static int set_up(void **state)
{
	strcpy(dir, "/tmp/smack-quotas-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/quotas", dir);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static struct kafka_quotas *open_quotas(const char *at)
{
	struct kafka_quotas *q;
	struct sm_error error;
	if (kafka__quotas_open(at, &q, &error))
		fail_msg("%s", error.text);
	return q;
}

/* NULL: of no such kind; "": the default. */
static struct quota_entity entity(const char *user, const char *client, const char *ip)
{
	const char *names[QUOTA_KINDS] = {user, client, ip};
	struct quota_entity e = {0};
	for (int k = 0; k < QUOTA_KINDS; k++) {
		e.has[k] = names[k] != NULL;
		e.name[k] = names[k] && *names[k] ? bytes_str(names[k]) : (struct bytes){0};
	}
	return e;
}

static void set(struct kafka_quotas *q, struct quota_entity e, enum quota_key key, double value)
{
	struct sm_error error;
	if (kafka__quotas_change(q, &(struct quota_change){e, key, value}, 1, &error))
		fail_msg("%s", error.text);
}

static double bound(struct kafka_quotas *q, const char *user, const char *client)
{
	return kafka__quota_bound(q, QUOTA_PRODUCE, bytes_str(user), bytes_str(client));
}

static void the_most_special_quota_counts(void **state)
{
	struct kafka_quotas *q = open_quotas(NULL);
	assert_true(bound(q, "alice", "app") == 0);
	set(q, entity(NULL, "", NULL), QUOTA_PRODUCE, 8);
	assert_true(bound(q, "alice", "app") == 8);
	set(q, entity(NULL, "app", NULL), QUOTA_PRODUCE, 7);
	assert_true(bound(q, "alice", "app") == 7);
	set(q, entity("", NULL, NULL), QUOTA_PRODUCE, 6);
	assert_true(bound(q, "alice", "app") == 6);
	set(q, entity("", "", NULL), QUOTA_PRODUCE, 5);
	assert_true(bound(q, "alice", "app") == 5);
	set(q, entity("", "app", NULL), QUOTA_PRODUCE, 4);
	assert_true(bound(q, "alice", "app") == 4);
	set(q, entity("alice", NULL, NULL), QUOTA_PRODUCE, 3);
	assert_true(bound(q, "alice", "app") == 3);
	set(q, entity("alice", "", NULL), QUOTA_PRODUCE, 2);
	assert_true(bound(q, "alice", "app") == 2);
	set(q, entity("alice", "app", NULL), QUOTA_PRODUCE, 1);
	assert_true(bound(q, "alice", "app") == 1);
	assert_true(bound(q, "bob", "app") == 4);
	assert_true(bound(q, "alice", "other") == 2);
	/* Another key of the more special entity hides nothing. */
	set(q, entity("alice", "app", NULL), QUOTA_CONSUME, 100);
	set(q, entity("alice", "app", NULL), QUOTA_PRODUCE, 0);
	assert_true(bound(q, "alice", "app") == 2);
	kafka__quotas_free(q);
}

static uint32_t count(struct kafka_quotas *q, const char *user, const char *client, double amount, uint64_t now_ms)
{
	return kafka__quota_count(q, QUOTA_PRODUCE, bytes_str(user), bytes_str(client), amount, now_ms);
}

/* 11 windows of a second; a rate is taken over at least ten. */
static void a_rate_above_its_quota_waits_until_it_is_the_quota_again(void **state)
{
	struct kafka_quotas *q = open_quotas(NULL);
	set(q, entity("alice", NULL, NULL), QUOTA_PRODUCE, 1000);
	assert_int_equal(count(q, "alice", "a", 10000, 5000), 0);
	assert_int_equal(count(q, "alice", "b", 1000, 5000), 1000); /* 11,000 in 10 s: 100 a second too many, 10 % of 10 s */
	assert_int_equal(count(q, "bob", "a", 1e9, 5000), 0);
	assert_int_equal(count(q, "alice", "a", 0, 15000), 1000);
	assert_int_equal(count(q, "alice", "a", 0, 15999), 1); /* over 10.999 s */
	assert_int_equal(count(q, "alice", "a", 0, 16000), 0); /* what came first is forgotten */
	assert_int_equal(count(q, "alice", "a", 10000, 16000), 0);
	assert_int_equal(count(q, "alice", "a", 5000, 16000), 5000);
	assert_int_equal(count(q, "alice", "a", -5000, 16000), 0);
	assert_int_equal(count(q, "alice", "a", 0, 16000), 0);
	kafka__quotas_free(q);
}

static void what_is_measured_together_follows_from_the_quota(void **state)
{
	struct kafka_quotas *q = open_quotas(NULL);
	set(q, entity(NULL, "", NULL), QUOTA_PRODUCE, 1000);
	assert_int_equal(count(q, "alice", "app", 10000, 1000), 0);
	assert_true(count(q, "bob", "app", 10000, 1000) > 0); /* all users of a client id */
	assert_int_equal(count(q, "bob", "other", 10000, 1000), 0);
	set(q, entity("", "", NULL), QUOTA_PRODUCE, 1000);
	assert_int_equal(count(q, "alice", "app", 10000, 1000), 0); /* each pair */
	assert_int_equal(count(q, "bob", "app", 10000, 1000), 0);
	assert_true(count(q, "bob", "app", 10000, 1000) > 0);
	kafka__quotas_free(q);
}

static bool take(struct kafka_quotas *q, double tokens, bool strict, uint64_t now_ms, uint32_t *ret_ms)
{
	return kafka__quota_take(q, BYTES("alice"), BYTES("app"), tokens, strict, now_ms, ret_ms);
}

static void changes_take_tokens_from_a_bucket(void **state)
{
	struct kafka_quotas *q = open_quotas(NULL);
	uint32_t ms;
	set(q, entity("alice", NULL, NULL), QUOTA_MUTATION, 1);
	assert_true(take(q, 20, true, 1000, &ms)); /* it holds 11, and may be overdrawn once */
	assert_int_equal(ms, 0);
	assert_false(take(q, 1, true, 1000, &ms));
	assert_int_equal(ms, 9000);
	assert_true(take(q, 1, false, 1000, &ms)); /* old clients are not refused, but wait */
	assert_int_equal(ms, 10000);
	assert_true(take(q, 1, true, 11000, &ms));
	assert_true(take(q, -1, true, 11000, &ms));
	assert_true(take(q, 1, true, 11000, &ms));
	assert_false(take(q, 1, true, 11000, &ms));
	assert_int_equal(ms, 1000);
	kafka__quotas_free(q);
}

static void a_connection_too_many_is_not_counted(void **state)
{
	struct kafka_quotas *q = open_quotas(NULL);
	set(q, entity(NULL, NULL, ""), QUOTA_CONNECTION, 1);
	set(q, entity(NULL, NULL, "127.0.0.1"), QUOTA_CONNECTION, 2);
	for (int i = 0; i < 20; i++)
		assert_int_equal(kafka__quota_connect(q, "127.0.0.1", 1000), 0);
	assert_int_equal(kafka__quota_connect(q, "127.0.0.1", 1000), 500);
	assert_int_equal(kafka__quota_connect(q, "127.0.0.1", 1000), 500);
	for (int i = 0; i < 10; i++)
		assert_int_equal(kafka__quota_connect(q, "10.0.0.1", 1000), 0);
	assert_true(kafka__quota_connect(q, "10.0.0.1", 1000) > 0);
	kafka__quotas_free(q);
}

static void quotas_are_there_after_a_restart(void **state)
{
	struct kafka_quotas *q = open_quotas(path);
	char odd[] = "a b=%<\n\x01\xc3\xa4";
	set(q, entity(odd, "", NULL), QUOTA_PRODUCE, 1024);
	set(q, entity(odd, "", NULL), QUOTA_REQUEST, 12.345678901234567);
	set(q, entity("", NULL, NULL), QUOTA_MUTATION, 0.1);
	set(q, entity(NULL, NULL, "127.0.0.1"), QUOTA_CONNECTION, 3);
	set(q, entity(NULL, NULL, "localhost"), QUOTA_CONNECTION, 4);
	set(q, entity("gone", NULL, NULL), QUOTA_CONSUME, 3);
	set(q, entity("gone", NULL, NULL), QUOTA_CONSUME, 0);
	kafka__quotas_free(q);
	q = open_quotas(path);
	struct quota_list *l = kafka__quotas_now(q);
	assert_int_equal(l->count, 4);
	struct quota_entity e = entity(odd, "", NULL);
	const struct quota *one = kafka__quotas_find(l, &e);
	assert_non_null(one);
	assert_true(one->values[QUOTA_PRODUCE] == 1024 && one->values[QUOTA_REQUEST] == 12.345678901234567);
	e = entity(NULL, NULL, "localhost"); /* it stands for an address again */
	assert_non_null(one = kafka__quotas_find(l, &e));
	assert_string_equal(one->address, "127.0.0.1");
	kafka__quotas_unref(l);
	assert_true(kafka__quotas_any(q, QUOTA_CONNECTION));
	assert_false(kafka__quotas_any(q, QUOTA_CONSUME));
	kafka__quotas_free(q);
}

static void a_damaged_file_is_refused(void **state)
{
	struct kafka_quotas *q = open_quotas(path);
	set(q, entity("alice", NULL, NULL), QUOTA_PRODUCE, 1024);
	kafka__quotas_free(q);
	char text[256] = {0};
	FILE *f = fopen(path, "r");
	size_t size = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	for (size_t i = 0; i <= size; i++) {
		struct sm_error error;
		f = fopen(path, "w");
		if (i < size)
			text[i] ^= 1;
		fwrite(text, 1, i < size ? size : size - 1, f);
		fclose(f);
		enum sm_err err = kafka__quotas_open(path, &q, &error);
		if (err != SM_CORRUPT && err != SM_VERSION)
			fail_msg("byte %zu: %s", i, sm_err_text(err));
		if (i < size)
			text[i] ^= 1;
	}
}

/* ---- over the wire ---- */

static struct kafka_altered_client_quota *alter(struct fixture *x, int fd, const char *kind, const char *name, const char *key,
						double value)
{
	struct kafka_alter_client_quotas_request *q = BODY(x, alter_client_quotas_request);
	q->entries = BODY(x, client_quota_alteration);
	q->entries_count = 1;
	q->entries->entity = BODY(x, client_quota_entity);
	q->entries->entity_count = 1;
	*q->entries->entity = (struct kafka_client_quota_entity){bytes_str(kind), bytes_str(name)};
	q->entries->ops = BODY(x, client_quota_op);
	q->entries->ops_count = 1;
	*q->entries->ops = (struct kafka_client_quota_op){bytes_str(key), value, value == 0};
	struct kafka_alter_client_quotas_response *a = call(x, fd, KAFKA_ALTER_CLIENT_QUOTAS, 1, q);
	assert_int_equal(a->entries_count, 1);
	return a->entries;
}

static void a_producer_is_told_to_wait_and_not_read_meanwhile(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x), other = dial(x);
	make_topic(x, "t", 1);
	assert_int_equal(alter(x, fd, "user", "ANONYMOUS", "producer_byte_rate", 20)->error_code, 0);
	struct kafka_records records = one_record(x, "some value that is long enough to take more than its share of the quota: "
						     "two hundred bytes in ten seconds");
	struct kafka_produce_response *p = call(x, fd, KAFKA_PRODUCE, 7, produce_of(x, "t", 0, records));
	assert_int_equal(p->topics->partitions->error_code, 0);
	assert_true(p->throttle_time_ms > 0);
	/* Others are answered while this one waits; its next request is answered after its time. */
	assert_int_equal(alter(x, other, "user", "ANONYMOUS", "producer_byte_rate", 0)->error_code, 0);
	struct kafka_api_versions_response *v = call(x, fd, KAFKA_API_VERSIONS, 2, BODY(x, api_versions_request));
	assert_int_equal(v->throttle_time_ms, 0);
	close(fd);
	close(other);
}

static void a_fetch_beyond_its_quota_leaves_empty(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	make_topic(x, "t", 1);
	call(x, fd, KAFKA_PRODUCE, 7, produce_of(x, "t", 0, one_record(x, "value")));
	struct kafka_fetch_response *f = call(x, fd, KAFKA_FETCH, 11, fetch_of(x, "t", 0, 0));
	assert_int_equal(f->topics_count, 1);
	assert_int_equal(alter(x, fd, "client-id", "test", "consumer_byte_rate", 10)->error_code, 0);
	f = call(x, fd, KAFKA_FETCH, 11, fetch_of(x, "t", 0, 0));
	assert_true(f->throttle_time_ms > 0);
	assert_int_equal(f->topics_count, 0);
	close(fd);
}

static void changes_of_topics_are_refused_when_the_bucket_is_empty(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	assert_int_equal(alter(x, fd, "client-id", "test", "controller_mutation_rate", 10)->error_code, 0);
	struct kafka_create_topics_request *c = BODY(x, create_topics_request);
	c->topics = arena_alloc(&x->arena, 2 * sizeof *c->topics);
	c->topics_count = 2;
	c->topics[0] = (struct kafka_creatable_topic){.name = BYTES("a"), .num_partitions = 111, .replication_factor = 1};
	c->topics[1] = (struct kafka_creatable_topic){.name = BYTES("b"), .num_partitions = 1, .replication_factor = 1};
	struct kafka_create_topics_response *a = call(x, fd, KAFKA_CREATE_TOPICS, 6, c);
	assert_int_equal(a->topics_count, 2);
	assert_int_equal(a->topics[0].error_code, 0);
	assert_int_equal(a->topics[1].error_code, KAFKA_THROTTLING_QUOTA_EXCEEDED);
	assert_true(a->throttle_time_ms > 0);
	close(fd);
}

static void wrong_quotas_are_refused(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	static const struct {
		const char *kind, *name, *key;
		double value;
		int16_t error;
	} cases[] = {
		{"user", "alice", "producer_byte_rate", 1, 0},
		{"user", "alice", "producer_byte_rate", 1.5, 42},
		{"user", "alice", "producer_byte_rate", -1, 42},
		{"user", "alice", "request_percentage", 0.5, 0},
		{"user", "alice", "connection_creation_rate", 1, 42},
		{"ip", "127.0.0.1", "connection_creation_rate", 1e9, 0},
		{"ip", "127.0.0.1", "connection_creation_rate", 1e10, 42},
		{"ip", "127.0.0.1", "producer_byte_rate", 1, 42},
		{"ip", "no host", "connection_creation_rate", 1, 42},
		{"user", "", "producer_byte_rate", 1, 42},
		{"group", "g", "producer_byte_rate", 1, 42},
		{"user", "alice", "no_such_rate", 1, 42},
		{"user", "alice", "no_such_rate", 0, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kafka_altered_client_quota *a = alter(x, fd, cases[i].kind, cases[i].name, cases[i].key, cases[i].value);
		if (a->error_code != cases[i].error)
			fail_msg("case %zu: %d, not %d", i, a->error_code, cases[i].error);
	}
	close(fd);
}

#define ALONE(test) cmocka_unit_test(test)
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, fixture_up, fixture_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		ALONE(the_most_special_quota_counts),
		ALONE(a_rate_above_its_quota_waits_until_it_is_the_quota_again),
		ALONE(what_is_measured_together_follows_from_the_quota),
		ALONE(changes_take_tokens_from_a_bucket),
		ALONE(a_connection_too_many_is_not_counted),
		WITH_FILE(quotas_are_there_after_a_restart),
		WITH_FILE(a_damaged_file_is_refused),
		WITH_SERVER(a_producer_is_told_to_wait_and_not_read_meanwhile),
		WITH_SERVER(a_fetch_beyond_its_quota_leaves_empty),
		WITH_SERVER(changes_of_topics_are_refused_when_the_bucket_is_empty),
		WITH_SERVER(wrong_quotas_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
