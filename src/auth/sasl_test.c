/* Logins: RFC 7677's example, the same with SHA-512 (computed by Python's hashlib), and what is refused. */
#include "auth/auth_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define STORED_256 "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER_256 "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define STORED_512 "6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg=="
#define SERVER_512 "jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA=="

struct fixture {
	char path[64];
	struct auth_users *users;
};

static int set_up(void **state)
{
	struct fixture *x = calloc(1, sizeof *x);
	struct sm_error error;
	strcpy(x->path, "/tmp/smack-auth-XXXXXX");
	int fd = mkstemp(x->path);
	assert_true(fd >= 0);
	FILE *f = fdopen(fd, "w");
	fprintf(f, "smack users 1\n# made by a test\n"
		   "user SCRAM-SHA-256 4096 " SALT " " STORED_256 " " SERVER_256 "\n"
		   "user SCRAM-SHA-512 4096 " SALT " " STORED_512 " " SERVER_512 "\n"
		   "only512 SCRAM-SHA-512 4096 " SALT " " STORED_512 " " SERVER_512 "\n"
		   "a,b=c SCRAM-SHA-256 4096 " SALT " " STORED_256 " " SERVER_256 "\n");
	fclose(f);
	if (auth_users_open(x->path, &x->users, &error))
		fail_msg("%s", error.text);
	*state = x;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *x = *state;
	auth_users_free(x->users);
	unlink(x->path);
	free(x);
	return 0;
}

/* Each message with the answer that is expected; NULL: the login fails there. */
struct exchange {
	const char *in, *out;
};

static enum auth_step run(struct fixture *x, enum auth_mechanism mechanism, const char *nonce, const struct exchange *e, size_t count)
{
	struct auth_sasl *s = auth_sasl_new(x->users, mechanism);
	enum auth_step step = AUTH_CONTINUE;
	if (nonce)
		auth__sasl_nonce(s, nonce);
	for (size_t i = 0; i < count; i++) {
		struct buf out;
		buf_init(&out);
		assert_int_equal(step, AUTH_CONTINUE);
		step = auth_sasl_step(s, bytes_str(e[i].in), &out);
		buf_u8(&out, 0);
		if (e[i].out)
			assert_string_equal((const char *)buf_bytes(&out).data, e[i].out);
		else
			assert_int_equal(step, AUTH_FAILED);
		buf_done(&out);
	}
	if (step == AUTH_COMPLETE)
		assert_string_equal(auth_sasl_user(s), "user");
	auth_sasl_free(s);
	return step;
}

static void rfc_7677s_example_is_answered_as_there(void **state)
{
	static const struct exchange e[] = {
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=" SALT ",i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		 "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	};
	assert_int_equal(run(*state, AUTH_SCRAM_SHA_256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", e, 2), AUTH_COMPLETE);
}

static void sha_512_is_answered_alike(void **state)
{
	static const struct exchange e[] = {
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO02431b08-2f0e,s=" SALT ",i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO02431b08-2f0e,p=PNr4aAERyaCR79QSZD68/NLKfr/zCpO4cPsFJC1ItRpK5ITeVtUwtV6jQDjS/"
		 "nJT1KOZZ3xhQaTT/3a0nZbyaw==",
		 "v=IXj8kBDG91abO7RDrHZWx3wyW+qCZqu2yVfJBl981TjL4bBPf0zrsR+np3yBUB6sm8OsPl9HeltGkdrD6/BMrw=="},
	};
	assert_int_equal(run(*state, AUTH_SCRAM_SHA_512, "02431b08-2f0e", e, 2), AUTH_COMPLETE);
}

static void librdkafkas_doubled_nonce_is_taken(void **state)
{
	static const struct exchange e[] = {
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=" SALT ",i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqOrOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=1Y75+q7XaCGJj/"
		 "r6vyQWwoNxSzV5ksS8xhp5Lqyriec=",
		 "v=3svB0h5EwFJ/+WVn2GpJ5uBzW8HEv9nm1rcYAhYlm0A="},
	};
	assert_int_equal(run(*state, AUTH_SCRAM_SHA_256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", e, 2), AUTH_COMPLETE);
}

#define FIRST                                                                                                                \
	{                                                                                                                    \
		"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=" SALT ",i=4096" \
	}
#define NONCE "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define PROOF "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static void a_final_message_that_differs_is_refused(void **state)
{
	static const char *const finals[] = {
		"c=biws," NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AneVQ=", /* another bit */
		"c=biws," NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndQ==", /* too short */
		"c=biws," NONCE ",p=",
		"c=biws," NONCE,
		"c=biws," NONCE "x," PROOF,
		"c=biws,r=rOprNGfwEbeRWgbNEkqO," PROOF,
		"c=eSws," NONCE "," PROOF,                 /* "y,,": not the header of the first message */
		"c=cD10bHMtdW5pcXVlLCw=," NONCE "," PROOF, /* "p=tls-unique,," */
		"c=!!!!," NONCE "," PROOF,
		NONCE ",c=biws," PROOF,
		"c=biws," NONCE "," PROOF ",x=y",
		"",
	};
	for (size_t i = 0; i < sizeof finals / sizeof *finals; i++) {
		const struct exchange e[] = {FIRST, {finals[i], NULL}};
		assert_int_equal(run(*state, AUTH_SCRAM_SHA_256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", e, 2), AUTH_FAILED);
	}
}

static void a_first_message_that_is_none_is_refused(void **state)
{
	static const char *const firsts[] = {
		"",
		"n",
		"n,",
		"n,,",
		"n,,n=user",
		"n,,n=user,r=",
		"n,,n=,r=abc",
		"n,,r=abc,n=user",
		"x,,n=user,r=abc",
		"p=tls-unique,,n=user,r=abc", /* channel binding */
		"n,,m=1,n=user,r=abc",        /* a mandatory extension */
		"n,a=other,n=user,r=abc",     /* on behalf of another */
		"n,user,n=user,r=abc",
		"n,,n=us=er,r=abc",
		"n,,n=us=2cer,r=abc",
		"n,,n=user,r=a\x01"
		"c",
		"n,,n=user,r=abc,tokenauth=true", /* a delegation token */
	};
	for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
		const struct exchange e[] = {{firsts[i], NULL}};
		assert_int_equal(run(*state, AUTH_SCRAM_SHA_256, NULL, e, 1), AUTH_FAILED);
	}
}

static void rfc_5802s_messages_are_read(void **state)
{
	struct auth_client_first first;
	struct auth_client_final final;
	assert_int_equal(auth__client_first(BYTES("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"), &first), SM_OK);
	assert_true(bytes_equal(first.gs2, BYTES("n,,")));
	assert_true(bytes_equal(first.bare, BYTES("n=user,r=fyko+d2lbbFgONRv9qkxdawL")));
	assert_true(bytes_equal(first.name, BYTES("user")));
	assert_true(bytes_equal(first.nonce, BYTES("fyko+d2lbbFgONRv9qkxdawL")));
	assert_int_equal(
		auth__client_final(BYTES("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="), &final),
		SM_OK);
	assert_true(bytes_equal(final.without_proof, BYTES("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j")));
	assert_true(bytes_equal(final.proof, BYTES("v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")));
	assert_int_equal(auth__client_first(BYTES("y,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x,e=1"), &first), SM_OK);
	assert_true(bytes_equal(first.name, BYTES("a,b=c")));
	assert_true(bytes_equal(first.authzid, BYTES("a,b=c")));
}

static struct bytes salt_for(struct fixture *x, const char *first, uint8_t *room)
{
	struct auth_sasl *s = auth_sasl_new(x->users, AUTH_SCRAM_SHA_256);
	struct buf out;
	buf_init(&out);
	assert_int_equal(auth_sasl_step(s, bytes_str(first), &out), AUTH_CONTINUE);
	struct bytes all = buf_bytes(&out);
	const uint8_t *at = memmem(all.data, all.size, ",s=", 3);
	assert_non_null(at);
	size_t size = all.size - (size_t)(at - all.data);
	memcpy(room, at, size);
	buf_done(&out);
	auth_sasl_free(s);
	return bytes_of(room, size);
}

static void a_user_that_is_not_there_is_challenged_always_alike(void **state)
{
	uint8_t a[200], b[200], c[200];
	struct bytes first = salt_for(*state, "n,,n=nobody,r=abc", a), second = salt_for(*state, "n,,n=nobody,r=xyz", b),
		     other = salt_for(*state, "n,,n=noone,r=abc", c);
	assert_true(bytes_equal(first, second));
	assert_int_equal(first.size, other.size);
	assert_false(bytes_equal(first, other));
}

static enum auth_step plain(struct fixture *x, struct bytes message, const char **ret_reason)
{
	struct auth_sasl *s = auth_sasl_new(x->users, AUTH_PLAIN);
	struct buf out;
	buf_init(&out);
	enum auth_step step = auth_sasl_step(s, message, &out);
	assert_int_equal(buf_size(&out), 0);
	*ret_reason = auth_sasl_reason(s);
	buf_done(&out);
	auth_sasl_free(s);
	return step;
}

static void plain_takes_the_password_alone(void **state)
{
	const char *reason;
	assert_int_equal(plain(*state, BYTES("\0user\0pencil"), &reason), AUTH_COMPLETE);
	assert_int_equal(plain(*state, BYTES("user\0user\0pencil"), &reason), AUTH_COMPLETE);
	assert_int_equal(plain(*state, BYTES("\0only512\0pencil"), &reason), AUTH_COMPLETE);
	assert_int_equal(plain(*state, BYTES("\0user\0pencil2"), &reason), AUTH_FAILED);
	assert_string_equal(reason, "Authentication failed: Invalid username or password");
	assert_int_equal(plain(*state, BYTES("\0nobody\0pencil"), &reason), AUTH_FAILED);
	assert_string_equal(reason, "Authentication failed: Invalid username or password");
	assert_int_equal(plain(*state, BYTES("other\0user\0pencil"), &reason), AUTH_FAILED);
	assert_string_equal(reason, "Authentication failed: Client requested an authorization id that is different from username");
	assert_int_equal(plain(*state, BYTES("\0\0pencil"), &reason), AUTH_FAILED);
	assert_string_equal(reason, "Authentication failed: username not specified");
	assert_int_equal(plain(*state, BYTES("\0user\0"), &reason), AUTH_FAILED);
	assert_string_equal(reason, "Authentication failed: password not specified");
	assert_int_equal(plain(*state, BYTES(""), &reason), AUTH_FAILED);
	assert_int_equal(plain(*state, BYTES("\0user"), &reason), AUTH_FAILED);
	assert_int_equal(plain(*state, BYTES("\0user\0pencil\0"), &reason), AUTH_FAILED);
	static uint8_t large[AUTH_TOKEN_MAX + 1];
	assert_int_equal(plain(*state, bytes_of(large, sizeof large), &reason), AUTH_FAILED);
}

static void mechanisms_are_a_list_of_words(void **state)
{
	unsigned set;
	struct sm_error error;
	assert_int_equal(auth_mechanisms_parse("", &set, &error), SM_OK);
	assert_int_equal(set, 0);
	assert_int_equal(auth_mechanisms_parse("SCRAM-SHA-512, PLAIN", &set, &error), SM_OK);
	assert_int_equal(set, AUTH_BIT(AUTH_PLAIN) | AUTH_BIT(AUTH_SCRAM_SHA_512));
	assert_int_equal(auth_mechanisms_parse("GSSAPI", &set, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "'GSSAPI' is no SASL mechanism here"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rfc_7677s_example_is_answered_as_there),
		TEST(sha_512_is_answered_alike),
		TEST(librdkafkas_doubled_nonce_is_taken),
		TEST(a_final_message_that_differs_is_refused),
		TEST(a_first_message_that_is_none_is_refused),
		TEST(rfc_5802s_messages_are_read),
		TEST(a_user_that_is_not_there_is_challenged_always_alike),
		TEST(plain_takes_the_password_alone),
		cmocka_unit_test(mechanisms_are_a_list_of_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
