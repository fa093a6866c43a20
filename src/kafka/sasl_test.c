/* What a listener with SASL answers, and to whom. */
#include "kafka/testing.h"
#include <stdio.h>
#include <sys/stat.h>

struct secured {
	struct fixture x; /* first member */
	char path[64];
	struct auth_users *users;
};

static void user(struct secured *s, const char *name, const char *password)
{
	struct sm_error error;
	if (auth_user_put(s->path, name, bytes_str(password), AUTH_ITERATIONS_MIN, false, &error))
		fail_msg("%s", error.text);
}

static void serve(struct secured *s, uint32_t session_max_ms)
{
	struct sm_error error;
	struct kafka_listener_options listeners[] = {{.host = "127.0.0.1", .sasl = AUTH_BIT(AUTH_PLAIN) | AUTH_BIT(AUTH_SCRAM_SHA_512)}};
	struct kafka_server_options options = {.system = s->x.system,
					       .log = &s->x.log.log,
					       .listeners = listeners,
					       .listener_count = 1,
					       .users = s->users,
					       .session_max_ms = session_max_ms,
					       .node_id = 1};
	if (kafka_server_new(&options, &s->x.server, &error))
		fail_msg("%s", error.text);
}

static int set_up(void **state)
{
	struct secured *s = calloc(1, sizeof *s);
	struct sm_error error;
	s->x.log.log.ops = &fake_ops;
	pthread_mutex_init(&s->x.log.lock, NULL);
	arena_init(&s->x.arena, 0);
	struct sm_system_options system = {.dispatchers = 2, .pool_threads = 2};
	if (sm_system_new(&system, &s->x.system, &error))
		fail_msg("%s", error.text);
	strcpy(s->path, "/tmp/smack-sasl-XXXXXX");
	int fd = mkstemp(s->path);
	close(fd);
	unlink(s->path);
	user(s, "alice", "wonderland");
	user(s, "bob", "builder");
	if (auth_users_open(s->path, &s->users, &error))
		fail_msg("%s", error.text);
	serve(s, 0);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct secured *s = *state;
	kafka_server_free(s->x.server, 1000);
	assert_int_equal(sm_system_stop(s->x.system, 5000), SM_OK);
	for (uint32_t i = 0; i < s->x.log.topic_count; i++)
		fake_topic_free(&s->x.log.topics[i]);
	arena_done(&s->x.arena);
	auth_users_free(s->users);
	unlink(s->path);
	free(s);
	return 0;
}

static struct kafka_sasl_handshake_response *handshake(struct fixture *x, int fd, int16_t version, struct bytes mechanism)
{
	struct kafka_sasl_handshake_request *q = BODY(x, sasl_handshake_request);
	q->mechanism = mechanism;
	return call(x, fd, KAFKA_SASL_HANDSHAKE, version, q);
}

static struct kafka_sasl_authenticate_response *authenticate(struct fixture *x, int fd, struct bytes token)
{
	struct kafka_sasl_authenticate_request *q = BODY(x, sasl_authenticate_request);
	q->auth_bytes = token;
	return call(x, fd, KAFKA_SASL_AUTHENTICATE, 2, q);
}

#define ALICE BYTES("\0alice\0wonderland")

static void a_login_opens_the_connection(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_api_versions_response *v = call(x, fd, KAFKA_API_VERSIONS, 2, BODY(x, api_versions_request));
	assert_int_equal(v->api_keys_count, kafka__api_count);
	struct kafka_sasl_handshake_response *h = handshake(x, fd, 1, BYTES("PLAIN"));
	assert_int_equal(h->error_code, 0);
	assert_int_equal(h->mechanisms_count, 2);
	assert_true(bytes_equal(h->mechanisms[1], BYTES("SCRAM-SHA-512")));
	struct kafka_sasl_authenticate_response *a = authenticate(x, fd, ALICE);
	assert_int_equal(a->error_code, 0);
	assert_int_equal(a->session_lifetime_ms, 0);
	call(x, fd, KAFKA_API_VERSIONS, 2, BODY(x, api_versions_request));
	call(x, fd, KAFKA_METADATA, 12, BODY(x, metadata_request));
	close(fd);
}

static void wrong_credentials_are_refused_later_and_the_connection_ends(void **state)
{
	const struct {
		struct bytes token;
		const char *text;
	} wrong[] = {
		{BYTES("\0alice\0nonsense"), "Authentication failed: Invalid username or password"},
		{BYTES("\0carol\0wonderland"), "Authentication failed: Invalid username or password"},
		{BYTES(""), "Invalid SASL/PLAIN response: expected 3 tokens, got 1"},
	};
	struct fixture *x = *state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		int fd = dial(x);
		assert_int_equal(handshake(x, fd, 1, BYTES("PLAIN"))->error_code, 0);
		uint64_t before = clock_monotonic_ns(&clock_system);
		struct kafka_sasl_authenticate_response *a = authenticate(x, fd, wrong[i].token);
		assert_int_equal(a->error_code, KAFKA_SASL_AUTHENTICATION_FAILED);
		assert_true(bytes_equal(a->error_message, bytes_str(wrong[i].text)));
		assert_true(clock_monotonic_ns(&clock_system) - before >= (KAFKA_LOGIN_FAILED_MS - 1) * 1000000ull);
		assert_true(has_ended(fd));
		close(fd);
	}
}

static void scram_fails_at_its_last_message_for_anyone(void **state)
{
	const struct bytes firsts[] = {BYTES("n,,n=alice,r=abc"), BYTES("n,,n=nobody,r=abc")};
	struct fixture *x = *state;
	for (int i = 0; i < 2; i++) {
		int fd = dial(x);
		assert_int_equal(handshake(x, fd, 1, BYTES("SCRAM-SHA-512"))->error_code, 0);
		struct kafka_sasl_authenticate_response *a = authenticate(x, fd, firsts[i]);
		assert_int_equal(a->error_code, 0);
		assert_true(a->auth_bytes.size > 40);
		a = authenticate(x, fd, BYTES("c=biws,r=abc,p=AAAA"));
		assert_int_equal(a->error_code, KAFKA_SASL_AUTHENTICATION_FAILED);
		assert_true(bytes_equal(
			a->error_message,
			BYTES("Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512")));
		assert_true(has_ended(fd));
		close(fd);
	}
}

static void another_mechanism_is_refused_with_those_that_are_there(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_sasl_handshake_response *h = handshake(x, fd, 1, BYTES("SCRAM-SHA-256"));
	assert_int_equal(h->error_code, KAFKA_UNSUPPORTED_SASL_MECHANISM);
	assert_int_equal(h->mechanisms_count, 2);
	assert_true(has_ended(fd));
	close(fd);
}

/* Ask without a login; the connection ends without an answer. */
static void refused(struct fixture *x, int fd, int16_t key, int16_t version, const void *body)
{
	ask(x, fd, key, version, 77, body);
	assert_null(answer(x, fd, key, version, 77));
	close(fd);
}

static void nothing_is_answered_before_the_login(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	refused(x, dial(x), KAFKA_METADATA, 12, BODY(x, metadata_request));
	refused(x, dial(x), KAFKA_PRODUCE, 9, produce_of(x, "t", 0, one_record(x, "v")));
	refused(x, dial(x), KAFKA_SASL_AUTHENTICATE, 2, BODY(x, sasl_authenticate_request));
	/* Within a login the answer says so, and is the last. */
	int fd = dial(x);
	handshake(x, fd, 1, BYTES("PLAIN"));
	struct kafka_metadata_response *m = call(x, fd, KAFKA_METADATA, 13, BODY(x, metadata_request));
	assert_int_equal(m->error_code, KAFKA_ILLEGAL_SASL_STATE);
	assert_int_equal(m->topics_count, 0);
	assert_true(has_ended(fd));
	close(fd);
	fd = dial(x);
	handshake(x, fd, 1, BYTES("SCRAM-SHA-512"));
	authenticate(x, fd, BYTES("n,,n=alice,r=abc"));
	struct kafka_list_groups_response *g = call(x, fd, KAFKA_LIST_GROUPS, 4, BODY(x, list_groups_request));
	assert_int_equal(g->error_code, KAFKA_ILLEGAL_SASL_STATE);
	assert_true(has_ended(fd));
	close(fd);
	fd = dial(x);
	call(x, fd, KAFKA_API_VERSIONS, 2, BODY(x, api_versions_request));
	refused(x, fd, KAFKA_API_VERSIONS, 2, BODY(x, api_versions_request));
	assert_int_equal(x->log.appends, 0);
}

static void what_is_sent_behind_a_wrong_password_is_not_looked_at(void **state)
{
	struct fixture *x = *state;
	make_topic(x, "t", 1);
	int fd = dial(x);
	handshake(x, fd, 1, BYTES("PLAIN"));
	struct kafka_sasl_authenticate_request *q = BODY(x, sasl_authenticate_request);
	q->auth_bytes = BYTES("\0alice\0nonsense");
	ask(x, fd, KAFKA_SASL_AUTHENTICATE, 2, 1, q);
	ask(x, fd, KAFKA_PRODUCE, 9, 2, produce_of(x, "t", 0, one_record(x, "v")));
	struct kafka_sasl_authenticate_response *a = answer(x, fd, KAFKA_SASL_AUTHENTICATE, 2, 1);
	assert_int_equal(a->error_code, KAFKA_SASL_AUTHENTICATION_FAILED);
	assert_null(answer(x, fd, KAFKA_PRODUCE, 9, 2));
	assert_int_equal(x->log.appends, 0);
	close(fd);
}

static void a_large_frame_is_refused_before_the_login(void **state)
{
	struct fixture *x = *state;
	uint8_t head[4];
	int fd = dial(x);
	be32_put(head, KAFKA_LOGIN_FRAME_MAX + 1);
	send_all(fd, bytes_of(head, 4));
	assert_true(has_ended(fd));
	close(fd);
}

static void send_token(int fd, struct bytes token)
{
	uint8_t head[4];
	be32_put(head, (uint32_t)token.size);
	send_all(fd, bytes_of(head, 4));
	send_all(fd, token);
}

static void after_handshake_0_messages_have_no_header(void **state)
{
	struct fixture *x = *state;
	uint8_t head[4];
	int fd = dial(x);
	assert_int_equal(handshake(x, fd, 0, BYTES("PLAIN"))->error_code, 0);
	send_token(fd, ALICE);
	assert_true(receive_all(fd, head, 4));
	assert_int_equal(be32_get(head), 0);
	call(x, fd, KAFKA_METADATA, 12, BODY(x, metadata_request));
	close(fd);
	fd = dial(x);
	handshake(x, fd, 0, BYTES("PLAIN"));
	send_token(fd, BYTES("\0alice\0nonsense"));
	assert_true(has_ended(fd));
	close(fd);
	/* Two at once, which begin as Produce requests do: the second waits for the first, and is then no login. */
	fd = dial(x);
	handshake(x, fd, 0, BYTES("PLAIN"));
	send_token(fd, BYTES("\0\0\0\0"));
	send_token(fd, BYTES("\0\0\0\0"));
	assert_true(has_ended(fd));
	close(fd);
}

static void a_login_that_is_done_is_not_repeated(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	handshake(x, fd, 1, BYTES("PLAIN"));
	assert_int_equal(authenticate(x, fd, ALICE)->error_code, 0);
	assert_int_equal(handshake(x, fd, 1, BYTES("PLAIN"))->error_code, KAFKA_ILLEGAL_SASL_STATE);
	assert_int_equal(authenticate(x, fd, ALICE)->error_code, KAFKA_ILLEGAL_SASL_STATE);
	call(x, fd, KAFKA_METADATA, 12, BODY(x, metadata_request));
	close(fd);
}

static void wait_ms(uint32_t ms)
{
	poll(NULL, 0, (int)ms);
}

static void a_session_ends_unless_it_is_renewed(void **state)
{
	struct secured *s = *state;
	struct fixture *x = &s->x;
	kafka_server_free(x->server, 1000);
	serve(s, 2200);
	int renewed = dial(x), other = dial(x), changed = dial(x);
	handshake(x, renewed, 1, BYTES("PLAIN"));
	assert_int_equal(authenticate(x, renewed, ALICE)->session_lifetime_ms, 2200);
	handshake(x, other, 1, BYTES("PLAIN"));
	authenticate(x, other, ALICE);
	handshake(x, changed, 1, BYTES("PLAIN"));
	authenticate(x, changed, ALICE);
	wait_ms(1200); /* not more often than once a second */
	assert_int_equal(handshake(x, renewed, 1, BYTES("PLAIN"))->error_code, 0);
	assert_int_equal(authenticate(x, renewed, ALICE)->error_code, 0);
	handshake(x, changed, 1, BYTES("PLAIN"));
	struct kafka_sasl_authenticate_response *a = authenticate(x, changed, BYTES("\0bob\0builder"));
	assert_int_equal(a->error_code, KAFKA_SASL_AUTHENTICATION_FAILED);
	assert_true(has_ended(changed));
	wait_ms(1200);
	call(x, renewed, KAFKA_METADATA, 12, BODY(x, metadata_request));
	refused(x, other, KAFKA_METADATA, 12, BODY(x, metadata_request));
	close(renewed);
	close(changed);
}

/* ---- passwords by way of admin clients ---- */

/* RFC 7677's example: the salted password of "pencil". */
static const uint8_t salt[] = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81};
static const uint8_t salted[] = {0xc4, 0xa4, 0x95, 0x10, 0x32, 0x3a, 0xb4, 0xf9, 0x52, 0xca, 0xc1, 0xfa, 0x99, 0x44, 0x19, 0x39,
				 0xe7, 0x8e, 0xa7, 0x4d, 0x6b, 0xe8, 0x1d, 0xdf, 0x70, 0x96, 0xe8, 0x75, 0x13, 0xdc, 0x61, 0x5d};

static struct kafka_scram_upsertion upsertion(const char *name, int8_t mechanism, int32_t iterations)
{
	return (struct kafka_scram_upsertion){bytes_str(name), mechanism, iterations, bytes_of(salt, sizeof salt),
					      bytes_of(salted, sizeof salted)};
}

static void expect_altered(const struct kafka_alter_user_scram_credentials_response *a, int32_t i, const char *user, int16_t error)
{
	assert_true(i < a->results_count);
	assert_true(bytes_equal(a->results[i].user, bytes_str(user)));
	assert_int_equal(a->results[i].error_code, error);
}

static int admin(struct fixture *x)
{
	int fd = dial(x);
	handshake(x, fd, 1, BYTES("PLAIN"));
	assert_int_equal(authenticate(x, fd, ALICE)->error_code, 0);
	return fd;
}

static void credentials_are_altered_over_the_wire(void **state)
{
	struct fixture *x = *state;
	int fd = admin(x);
	struct kafka_scram_deletion deletions[] = {{BYTES("bob"), 1}, {BYTES("nobody"), 1}, {BYTES("alice"), 3}};
	struct kafka_scram_upsertion upsertions[] = {upsertion("carol", 1, 4096), upsertion("dave", 1, 100),   upsertion("dora", 1, 16385),
						     upsertion("", 1, 4096),      upsertion("twice", 1, 4096), upsertion("twice", 1, 4096),
						     upsertion("eve", 2, 4096)};
	struct kafka_alter_user_scram_credentials_request *q = BODY(x, alter_user_scram_credentials_request);
	q->deletions = deletions;
	q->deletions_count = 3;
	q->upsertions = upsertions;
	q->upsertions_count = 7;
	struct kafka_alter_user_scram_credentials_response *a = call(x, fd, KAFKA_ALTER_USER_SCRAM_CREDENTIALS, 0, q);
	assert_int_equal(a->results_count, 9);
	expect_altered(a, 0, "bob", 0);
	expect_altered(a, 1, "nobody", KAFKA_RESOURCE_NOT_FOUND);
	expect_altered(a, 2, "alice", KAFKA_UNSUPPORTED_SASL_MECHANISM);
	expect_altered(a, 3, "carol", 0);
	expect_altered(a, 4, "dave", KAFKA_UNACCEPTABLE_CREDENTIAL);
	expect_altered(a, 5, "dora", KAFKA_UNACCEPTABLE_CREDENTIAL);
	expect_altered(a, 6, "", KAFKA_UNACCEPTABLE_CREDENTIAL);
	expect_altered(a, 7, "twice", KAFKA_DUPLICATE_RESOURCE);
	expect_altered(a, 8, "eve", KAFKA_UNACCEPTABLE_CREDENTIAL); /* 32 bytes are no SHA-512 */
	/* Carol's password is "pencil"; bob has kept that for SHA-512. */
	int other = dial(x);
	handshake(x, other, 1, BYTES("PLAIN"));
	assert_int_equal(authenticate(x, other, BYTES("\0carol\0pencil"))->error_code, 0);
	close(other);
	other = dial(x);
	handshake(x, other, 1, BYTES("PLAIN"));
	assert_int_equal(authenticate(x, other, BYTES("\0bob\0builder"))->error_code, 0);
	close(other);
	close(fd);
}

static void credentials_are_described(void **state)
{
	struct fixture *x = *state;
	int fd = admin(x);
	struct kafka_describe_user_scram_credentials_request *q = BODY(x, describe_user_scram_credentials_request);
	q->users_count = -1;
	struct kafka_describe_user_scram_credentials_response *a = call(x, fd, KAFKA_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, q);
	assert_int_equal(a->results_count, 2);
	assert_int_equal(a->results[0].credential_infos_count, 2);
	assert_int_equal(a->results[0].credential_infos[1].mechanism, 2);
	assert_int_equal(a->results[0].credential_infos[1].iterations, AUTH_ITERATIONS_MIN);
	struct kafka_scram_user_name names[] = {{BYTES("bob")}, {BYTES("alice")}, {BYTES("nobody")}, {BYTES("alice")}};
	q->users = names;
	q->users_count = 4;
	a = call(x, fd, KAFKA_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, q);
	assert_int_equal(a->results_count, 3);
	assert_int_equal(a->results[0].error_code, 0);
	assert_int_equal(a->results[0].credential_infos_count, 2);
	assert_int_equal(a->results[1].error_code, KAFKA_DUPLICATE_RESOURCE);
	assert_int_equal(a->results[2].error_code, KAFKA_RESOURCE_NOT_FOUND);
	assert_true(bytes_equal(a->results[2].error_message, BYTES("Attempt to describe a user credential that does not exist: nobody")));
	close(fd);
}

static void without_a_file_of_users_there_are_no_credentials(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_scram_upsertion one = upsertion("carol", 1, 4096);
	struct kafka_alter_user_scram_credentials_request *q = BODY(x, alter_user_scram_credentials_request);
	q->upsertions = &one;
	q->upsertions_count = 1;
	expect_altered(call(x, fd, KAFKA_ALTER_USER_SCRAM_CREDENTIALS, 0, q), 0, "carol", KAFKA_SECURITY_DISABLED);
	struct kafka_describe_user_scram_credentials_response *a = call(x, fd, KAFKA_DESCRIBE_USER_SCRAM_CREDENTIALS, 0,
									BODY(x, describe_user_scram_credentials_request));
	assert_int_equal(a->error_code, KAFKA_SECURITY_DISABLED);
	close(fd);
}

static void without_sasl_a_login_is_out_of_place(void **state)
{
	struct fixture *x = *state;
	int fd = dial(x);
	struct kafka_sasl_handshake_response *h = handshake(x, fd, 1, BYTES("PLAIN"));
	assert_int_equal(h->error_code, KAFKA_ILLEGAL_SASL_STATE);
	assert_int_equal(authenticate(x, fd, ALICE)->error_code, KAFKA_ILLEGAL_SASL_STATE);
	close(fd);
}

static void sasl_without_users_is_refused(void **state)
{
	struct fixture *x = *state;
	struct sm_error error;
	struct kafka_server *server;
	struct kafka_listener_options listener = {.host = "127.0.0.1", .sasl = AUTH_BIT(AUTH_PLAIN)};
	struct kafka_server_options options = {.system = x->system, .log = &x->log.log, .listeners = &listener, .listener_count = 1};
	assert_int_equal(kafka_server_new(&options, &server, &error), SM_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_login_opens_the_connection),
		TEST(wrong_credentials_are_refused_later_and_the_connection_ends),
		TEST(scram_fails_at_its_last_message_for_anyone),
		TEST(another_mechanism_is_refused_with_those_that_are_there),
		TEST(nothing_is_answered_before_the_login),
		TEST(what_is_sent_behind_a_wrong_password_is_not_looked_at),
		TEST(a_large_frame_is_refused_before_the_login),
		TEST(after_handshake_0_messages_have_no_header),
		TEST(a_login_that_is_done_is_not_repeated),
		TEST(a_session_ends_unless_it_is_renewed),
		TEST(credentials_are_altered_over_the_wire),
		TEST(credentials_are_described),
		cmocka_unit_test_setup_teardown(without_a_file_of_users_there_are_no_credentials, fixture_up, fixture_down),
		cmocka_unit_test_setup_teardown(without_sasl_a_login_is_out_of_place, fixture_up, fixture_down),
		cmocka_unit_test_setup_teardown(sasl_without_users_is_refused, fixture_up, fixture_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
