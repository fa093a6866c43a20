/* The file of users: made, changed, read anew, refused. */
#include "auth/auth_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64], path[128];

static int set_up(void **state)
{
	strcpy(dir, "/tmp/smack-users-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/users", dir);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void write_file(const char *text, mode_t mode)
{
	unlink(path);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static void put(const char *name, const char *password, bool replace)
{
	struct sm_error error;
	if (auth_user_put(path, name, bytes_str(password), AUTH_ITERATIONS_MIN, replace, &error))
		fail_msg("%s", error.text);
}

static bool logs_in(struct auth_users *users, const char *name, const char *password)
{
	char message[600];
	struct buf out;
	buf_init(&out);
	struct auth_sasl *s = auth_sasl_new(users, AUTH_PLAIN);
	int n = snprintf(message + 1, sizeof message - 1, "%s%c%s", name, 0, password);
	message[0] = 0;
	bool ok = auth_sasl_step(s, bytes_of(message, (size_t)n + 1), &out) == AUTH_COMPLETE;
	auth_sasl_free(s);
	buf_done(&out);
	return ok;
}

static void users_are_put_listed_and_removed(void **state)
{
	struct sm_error error;
	struct stat st;
	struct buf out;
	put("alice", "wonderland", false);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	put("bob", "builder", false);
	assert_int_equal(auth_user_put(path, "bob", BYTES("x"), AUTH_ITERATIONS_MIN, false, &error), SM_EXISTS);
	put("alice", "another", true);
	assert_int_equal(auth_user_put(path, "carol", BYTES("x"), AUTH_ITERATIONS_MIN, true, &error), SM_NOT_FOUND);
	buf_init(&out);
	assert_int_equal(auth_users_list(path, &out, &error), SM_OK);
	buf_u8(&out, 0);
	assert_string_equal((const char *)out.data, "bob SCRAM-SHA-256 4096\nbob SCRAM-SHA-512 4096\nalice SCRAM-SHA-256 4096\n"
						    "alice SCRAM-SHA-512 4096\n");
	buf_done(&out);
	assert_int_equal(auth_user_remove(path, "carol", &error), SM_NOT_FOUND);
	assert_int_equal(auth_user_remove(path, "bob", &error), SM_OK);
	assert_int_equal(auth_user_remove(path, "bob", &error), SM_NOT_FOUND);
}

/* The file's first line begins with that word. */
static bool lists(const char *expected)
{
	struct sm_error error;
	struct buf out;
	buf_init(&out);
	assert_int_equal(auth_users_list(path, &out, &error), SM_OK);
	bool same = bytes_equal(buf_bytes(&out), bytes_str(expected));
	buf_done(&out);
	return same;
}

static void tokens_are_made_and_revoked(void **state)
{
	struct sm_error error;
	struct auth_users *users;
	char first[AUTH_API_TOKEN_BYTES + 1], second[AUTH_API_TOKEN_BYTES + 1], name[AUTH_NAME_MAX + 1], text[300], id[17] = "";
	put("alice", "wonderland", false);
	assert_int_equal(auth_token_make(path, "alice", first, &error), SM_OK);
	assert_int_equal(auth_token_make(path, "robot", second, &error), SM_OK);
	assert_int_equal(auth_token_make(path, "a b", text, &error), SM_INVALID);
	assert_int_equal(strlen(first), AUTH_API_TOKEN_BYTES);
	memcpy(id, first + 6, 16);
	snprintf(text, sizeof text, "alice SCRAM-SHA-256 4096\nalice SCRAM-SHA-512 4096\nalice TOKEN %s\nrobot TOKEN %.16s\n", id,
		 second + 6);
	assert_true(lists(text));
	assert_int_equal(auth_users_open(path, &users, &error), SM_OK);
	assert_true(auth_token_login(users, bytes_str(first), name));
	assert_string_equal(name, "alice");
	assert_true(auth_token_login(users, bytes_str(second), name));
	assert_string_equal(name, "robot");
	for (size_t at = 0; at < AUTH_API_TOKEN_BYTES; at++) {
		memcpy(text, first, sizeof first);
		text[at] ^= 1;
		assert_false(auth_token_login(users, bytes_str(text), name));
		assert_false(auth_token_login(users, bytes_of(first, at), name));
	}
	assert_false(logs_in(users, "robot", ""));
	assert_false(logs_in(users, "robot", second));
	put("alice", "another", true); /* a new password ends no token */
	put("robot", "password", false);
	assert_true(auth_token_login(users, bytes_str(first), name) && auth_token_login(users, bytes_str(second), name));
	assert_true(logs_in(users, "robot", "password"));
	assert_int_equal(auth_token_revoke(path, "0123456789abcdef", &error), SM_NOT_FOUND);
	assert_int_equal(auth_token_revoke(path, id, &error), SM_OK);
	assert_false(auth_token_login(users, bytes_str(first), name));
	assert_true(logs_in(users, "alice", "another"));
	assert_int_equal(auth_user_remove(path, "robot", &error), SM_OK);
	assert_false(auth_token_login(users, bytes_str(second), name));
	assert_true(lists("alice SCRAM-SHA-256 4096\nalice SCRAM-SHA-512 4096\n"));
	auth_users_free(users);
}

static void a_user_may_be_called_smack(void **state)
{
	struct sm_error error;
	struct auth_users *users;
	put("smack", "secret", false);
	assert_int_equal(auth_user_put(path, "smack", BYTES("x"), AUTH_ITERATIONS_MIN, false, &error), SM_EXISTS);
	put("smack", "another", true);
	put("bob", "builder", false);
	assert_int_equal(auth_users_open(path, &users, &error), SM_OK);
	assert_true(logs_in(users, "smack", "another"));
	assert_int_equal(auth_user_remove(path, "smack", &error), SM_OK);
	assert_false(logs_in(users, "smack", "another"));
	assert_true(logs_in(users, "bob", "builder"));
	auth_users_free(users);
}

static void the_password_is_not_in_the_file(void **state)
{
	char text[2000] = "";
	put("alice", "wonderland", false);
	FILE *f = fopen(path, "r");
	assert_true(fread(text, 1, sizeof text - 1, f) > 100);
	fclose(f);
	assert_null(strstr(text, "wonderland"));
}

static void a_changed_file_counts_at_once(void **state)
{
	struct sm_error error;
	struct auth_users *users;
	put("alice", "wonderland", false);
	assert_int_equal(auth_users_open(path, &users, &error), SM_OK);
	assert_true(logs_in(users, "alice", "wonderland"));
	assert_false(logs_in(users, "bob", "builder"));
	put("bob", "builder", false);
	assert_true(logs_in(users, "bob", "builder"));
	put("bob", "architect", true);
	assert_false(logs_in(users, "bob", "builder"));
	assert_true(logs_in(users, "bob", "architect"));
	/* One that is wrong changes nothing. */
	write_file("smack users 1\nalice\n", 0600);
	assert_true(logs_in(users, "alice", "wonderland"));
	unlink(path);
	assert_true(logs_in(users, "alice", "wonderland"));
	write_file("smack users 1\n", 0600);
	assert_false(logs_in(users, "alice", "wonderland"));
	auth_users_free(users);
}

static void comments_and_other_users_stay(void **state)
{
	char text[2000] = "";
	write_file("smack users 1\n# the owner\n", 0600);
	put("alice", "a", false);
	put("alice", "b", true);
	FILE *f = fopen(path, "r");
	assert_true(fread(text, 1, sizeof text - 1, f) > 100);
	fclose(f);
	assert_non_null(strstr(text, "smack users 1\n# the owner\nalice SCRAM-SHA-256"));
}

static void refuse(const char *text, mode_t mode, enum sm_err want, const char *message)
{
	struct sm_error error = {0};
	struct auth_users *users;
	write_file(text, mode);
	assert_int_equal(auth_users_open(path, &users, &error), want);
	if (!strstr(error.text, message))
		fail_msg("want \"%s\" in \"%s\"", message, error.text);
}

#define A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
static void a_wrong_file_is_refused_with_its_line(void **state)
{
	struct sm_error error;
	struct auth_users *users;
	assert_int_equal(auth_users_open(path, &users, &error), SM_NOT_FOUND);
	refuse("smack users 1\n", 0644, SM_DENIED, "chmod 600");
	refuse("smack users 1\n", 0620, SM_DENIED, "mode 0620");
	refuse("", 0600, SM_INVALID, ":1: the first line must be");
	refuse("smack users 2\n", 0600, SM_INVALID, ":1: the first line must be");
	refuse("smack users 1\n\n#\nalice PLAIN secret\n", 0600, SM_INVALID, ":4: the second word must be");
	refuse("smack users 1\nalice SCRAM-SHA-256 1 AAAA " A " " A "\n", 0600, SM_INVALID, ":2: the third word must be");
	refuse("smack users 1\nalice SCRAM-SHA-256 99999999999999999999 AAAA " A " " A "\n", 0600, SM_INVALID,
	       ":2: the third word must be");
	refuse("smack users 1\nalice SCRAM-SHA-256 4096 AAA " A " " A "\n", 0600, SM_INVALID, ":2: the fourth word must be");
	refuse("smack users 1\nalice SCRAM-SHA-512 4096 AAAA " A " " A "\n", 0600, SM_INVALID, ":2: the fifth and the last word");
	refuse("smack users 1\nalice SCRAM-SHA-256 4096 AAAA " A " " A " x\n", 0600, SM_INVALID, ":2: the fifth and the last word");
	refuse("smack users 1\na SCRAM-SHA-256 4096 AAAA " A " " A "\na SCRAM-SHA-256 4096 AAAA " A " " A "\n", 0600, SM_INVALID,
	       ":3: a second line");
}

static void a_name_and_a_password_are_bounded(void **state)
{
	static const char *const names[] = {"", "a b", "a\n", "#a", "\x7f"};
	struct sm_error error;
	char longest[AUTH_NAME_MAX + 2], word[AUTH_PASSWORD_MAX + 2];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_int_equal(auth_user_put(path, names[i], BYTES("x"), AUTH_ITERATIONS_MIN, false, &error), SM_INVALID);
	memset(longest, 'a', sizeof longest);
	longest[AUTH_NAME_MAX + 1] = 0;
	assert_int_equal(auth_user_put(path, longest, BYTES("x"), AUTH_ITERATIONS_MIN, false, &error), SM_INVALID);
	memset(word, 'a', sizeof word);
	assert_int_equal(auth_user_put(path, "a", bytes_of(word, AUTH_PASSWORD_MAX + 1), AUTH_ITERATIONS_MIN, false, &error), SM_INVALID);
	assert_int_equal(auth_user_put(path, "a", BYTES(""), AUTH_ITERATIONS_MIN, false, &error), SM_INVALID);
	assert_int_equal(auth_user_put(path, "a", BYTES("x"), AUTH_ITERATIONS_MIN - 1, false, &error), SM_INVALID);
	assert_int_equal(auth_user_put(path, "a", BYTES("x"), AUTH_ITERATIONS_MAX + 1, false, &error), SM_INVALID);
	longest[AUTH_NAME_MAX] = 0;
	put(longest, "x", false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(users_are_put_listed_and_removed),      TEST(the_password_is_not_in_the_file),
		TEST(a_changed_file_counts_at_once),         TEST(comments_and_other_users_stay),
		TEST(a_wrong_file_is_refused_with_its_line), TEST(a_name_and_a_password_are_bounded),
		TEST(tokens_are_made_and_revoked),           TEST(a_user_may_be_called_smack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
