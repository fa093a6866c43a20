/* Who may do what, and that it is still so after a restart. */
#include "auth/acl.h"
#include "auth/auth.h"
#include "base/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64], path[128];

static struct auth_acls *open_acls(bool allow_without_rules)
{
	struct auth_acls *acls;
	struct sm_error error;
	struct auth_acls_options options = {
		.path = path, .super_users = "User:admin; User:CN=root,O=Example, Inc.", .allow_without_rules = allow_without_rules};
	if (auth_acls_open(&options, &acls, &error))
		fail_msg("%s", error.text);
	return acls;
}

static int set_up(void **state)
{
	strcpy(dir, "/tmp/smack-acls-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/acls", dir);
	*state = open_acls(false);
	return 0;
}

static int tear_down(void **state)
{
	auth_acls_free(*state);
	unlink(path);
	return rmdir(dir);
}

static struct auth_acl rule(int permission, const char *principal, int operation, int resource, int pattern, const char *name)
{
	return (struct auth_acl){.permission = (int8_t)permission,
				 .principal = principal,
				 .host = "*",
				 .operation = (int8_t)operation,
				 .resource = (int8_t)resource,
				 .pattern = (int8_t)pattern,
				 .name = name};
}
#define ALLOW(principal, op, name) \
	rule(AUTH_PERMISSION_ALLOW, principal, AUTH_OPERATION_##op, AUTH_RESOURCE_TOPIC, AUTH_PATTERN_LITERAL, name)
#define ALLOW_PREFIX(principal, op, name) \
	rule(AUTH_PERMISSION_ALLOW, principal, AUTH_OPERATION_##op, AUTH_RESOURCE_TOPIC, AUTH_PATTERN_PREFIXED, name)
#define DENY(principal, op, name) \
	rule(AUTH_PERMISSION_DENY, principal, AUTH_OPERATION_##op, AUTH_RESOURCE_TOPIC, AUTH_PATTERN_LITERAL, name)
#define DENY_PREFIX(principal, op, name) \
	rule(AUTH_PERMISSION_DENY, principal, AUTH_OPERATION_##op, AUTH_RESOURCE_TOPIC, AUTH_PATTERN_PREFIXED, name)

static void add(struct auth_acls *acls, struct auth_acl one)
{
	struct sm_error error;
	assert_null(auth_acl_wrong(&one));
	if (auth_acls_add(acls, &one, 1, &error))
		fail_msg("%s", error.text);
}

#define may(acls, principal, op, name) auth_may(acls, "User:" principal, "10.0.0.1", AUTH_OPERATION_##op, AUTH_RESOURCE_TOPIC, BYTES(name))

static void nothing_is_allowed_unless_a_rule_says_so(void **state)
{
	struct auth_acls *acls = *state;
	assert_false(may(acls, "alice", READ, "t"));
	assert_true(may(acls, "admin", READ, "t"));
	assert_true(may(acls, "CN=root,O=Example, Inc.", ALTER, "t"));
	add(acls, ALLOW("User:alice", READ, "t"));
	assert_true(may(acls, "alice", READ, "t"));
	assert_false(may(acls, "alice", WRITE, "t"));
	assert_false(may(acls, "alice", READ, "t2"));
	assert_false(may(acls, "bob", READ, "t"));
	assert_false(auth_may(acls, "User:alice", "10.0.0.1", AUTH_OPERATION_READ, AUTH_RESOURCE_GROUP, BYTES("t")));
}

static void what_is_allowed_implies_describing(void **state)
{
	struct auth_acls *acls = *state;
	add(acls, ALLOW("User:r", READ, "t"));
	add(acls, ALLOW("User:w", WRITE, "t"));
	add(acls, ALLOW("User:d", DELETE, "t"));
	add(acls, ALLOW("User:a", ALTER, "t"));
	add(acls, ALLOW("User:c", CREATE, "t"));
	add(acls, ALLOW("User:x", ALTER_CONFIGS, "t"));
	add(acls, ALLOW("User:all", ALL, "t"));
	assert_true(may(acls, "r", DESCRIBE, "t"));
	assert_true(may(acls, "w", DESCRIBE, "t"));
	assert_true(may(acls, "d", DESCRIBE, "t"));
	assert_true(may(acls, "a", DESCRIBE, "t"));
	assert_false(may(acls, "c", DESCRIBE, "t"));
	assert_true(may(acls, "x", DESCRIBE_CONFIGS, "t"));
	assert_false(may(acls, "x", DESCRIBE, "t"));
	assert_true(may(acls, "all", WRITE, "t"));
	/* A rule that denies reading denies that alone. */
	add(acls, DENY("User:w", READ, "t"));
	assert_true(may(acls, "w", DESCRIBE, "t"));
}

static void a_rule_that_denies_wins(void **state)
{
	struct auth_acls *acls = *state;
	add(acls, ALLOW("User:*", ALL, "*"));
	assert_true(may(acls, "alice", WRITE, "secret-1"));
	add(acls, DENY_PREFIX("User:alice", WRITE, "secret-"));
	assert_false(may(acls, "alice", WRITE, "secret-1"));
	assert_true(may(acls, "alice", READ, "secret-1"));
	assert_true(may(acls, "bob", WRITE, "secret-1"));
	add(acls, DENY("User:*", ALL, "nobody"));
	assert_false(may(acls, "bob", READ, "nobody"));
	assert_true(may(acls, "admin", READ, "nobody"));
}

static void patterns_and_hosts_match(void **state)
{
	struct auth_acls *acls = *state;
	add(acls, ALLOW_PREFIX("User:alice", READ, "a."));
	assert_true(may(acls, "alice", READ, "a."));
	assert_true(may(acls, "alice", READ, "a.b"));
	assert_false(may(acls, "alice", READ, "a"));
	assert_false(may(acls, "alice", READ, "ab"));
	add(acls, ALLOW_PREFIX("User:star", READ, "*")); /* a prefix like any other */
	assert_false(may(acls, "star", READ, "x"));
	struct auth_acl near = ALLOW("User:near", READ, "t");
	near.host = "10.0.0.1";
	add(acls, near);
	assert_true(may(acls, "near", READ, "t"));
	assert_false(auth_may(acls, "User:near", "10.0.0.2", AUTH_OPERATION_READ, AUTH_RESOURCE_TOPIC, BYTES("t")));
}

static void without_rules_all_can_be_allowed(void **state)
{
	struct auth_acls *acls = open_acls(true);
	assert_true(may(acls, "alice", READ, "t"));
	add(acls, ALLOW("User:bob", READ, "t"));
	assert_false(may(acls, "alice", READ, "t"));
	assert_true(may(acls, "alice", READ, "other"));
	auth_acls_free(acls);
}

#define somewhere(acls, principal) auth_may_somewhere(acls, "User:" principal, "h", AUTH_OPERATION_WRITE, AUTH_RESOURCE_TOPIC)

static void some_resource_of_a_type_is_enough(void **state)
{
	struct auth_acls *acls = *state;
	assert_false(somewhere(acls, "alice"));
	add(acls, ALLOW("User:alice", READ, "t"));
	assert_false(somewhere(acls, "alice"));
	add(acls, ALLOW("User:alice", WRITE, "t"));
	assert_true(somewhere(acls, "alice"));
	add(acls, DENY("User:alice", WRITE, "t"));
	assert_false(somewhere(acls, "alice"));
	add(acls, ALLOW_PREFIX("User:alice", ALL, "pre"));
	assert_true(somewhere(acls, "alice"));
	add(acls, DENY_PREFIX("User:*", WRITE, "p"));
	assert_false(somewhere(acls, "alice"));
	add(acls, ALLOW("User:alice", WRITE, "*"));
	assert_true(somewhere(acls, "alice"));
	add(acls, DENY("User:alice", ALL, "*"));
	assert_false(somewhere(acls, "alice"));
	assert_true(somewhere(acls, "admin"));
}

static void count_one(void *arg, const struct auth_acl *acl)
{
	++*(int *)arg;
}
static void count_matched(void *arg, uint32_t filter, const struct auth_acl *acl)
{
	((int *)arg)[filter]++;
}

static int listed(struct auth_acls *acls, struct auth_acl_filter f)
{
	int n = 0;
	assert_true(auth_acl_filter_ok(&f));
	auth_acls_list(acls, &f, count_one, &n);
	return n;
}
/* What a test names stands behind what it does not. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define FILTER(...) ((struct auth_acl_filter){.resource = 1, .pattern = 1, .operation = 1, .permission = 1, __VA_ARGS__})

static void filters_choose_rules(void **state)
{
	struct auth_acls *acls = *state;
	struct sm_error error;
	add(acls, ALLOW("User:alice", READ, "abc"));
	add(acls, ALLOW("User:alice", READ, "abc")); /* once */
	add(acls, ALLOW("User:alice", READ, "*"));
	add(acls, ALLOW_PREFIX("User:bob", WRITE, "ab"));
	add(acls, DENY("User:bob", WRITE, "x"));
	assert_int_equal(listed(acls, FILTER()), 4);
	assert_int_equal(listed(acls, FILTER(.pattern = AUTH_PATTERN_MATCH, .name = "abc")), 3);
	assert_int_equal(listed(acls, FILTER(.pattern = AUTH_PATTERN_LITERAL, .name = "abc")), 1);
	assert_int_equal(listed(acls, FILTER(.name = "abc")), 1);
	assert_int_equal(listed(acls, FILTER(.pattern = AUTH_PATTERN_PREFIXED)), 1);
	assert_int_equal(listed(acls, FILTER(.principal = "User:bob")), 2);
	assert_int_equal(listed(acls, FILTER(.permission = AUTH_PERMISSION_DENY)), 1);
	assert_int_equal(listed(acls, FILTER(.operation = AUTH_OPERATION_READ, .host = "*")), 2);
	assert_int_equal(listed(acls, FILTER(.resource = AUTH_RESOURCE_GROUP)), 0);
	struct auth_acl_filter unknown = FILTER(.operation = 99);
	assert_false(auth_acl_filter_ok(&unknown));
	int matched[2] = {0};
	const struct auth_acl_filter filters[] = {FILTER(.principal = "User:bob"), FILTER(.pattern = AUTH_PATTERN_PREFIXED)};
	assert_int_equal(auth_acls_remove(acls, filters, 2, count_matched, matched, &error), SM_OK);
	assert_int_equal(matched[0], 2);
	assert_int_equal(matched[1], 1);
	assert_int_equal(listed(acls, FILTER()), 2);
}

static void rules_last(void **state)
{
	struct auth_acls *acls = *state;
	add(acls, rule(AUTH_PERMISSION_ALLOW, "User:CN=alice,O=Example, Inc.", AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_GROUP,
		       AUTH_PATTERN_PREFIXED, "100 % of\ta group"));
	struct auth_acl nowhere = ALLOW("User:bob", READ, "t");
	nowhere.host = ""; /* of no address */
	add(acls, nowhere);
	struct auth_acls *again = open_acls(false);
	assert_true(auth_may(again, "User:CN=alice,O=Example, Inc.", "h", AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_GROUP,
			     BYTES("100 % of\ta group and more")));
	assert_int_equal(listed(again, FILTER(.host = "")), 1);
	assert_int_equal(listed(again, FILTER()), 2);
	auth_acls_free(again);
}

static void a_change_that_cannot_be_written_does_not_count(void **state)
{
	struct auth_acls *acls = *state;
	struct sm_error error;
	char temp[160];
	snprintf(temp, sizeof temp, "%s.tmp/x", path);
	add(acls, ALLOW("User:alice", READ, "t"));
	/* The temporary file's place is taken by a directory. */
	snprintf(temp, sizeof temp, "mkdir %s.tmp", path);
	assert_int_equal(system(temp), 0);
	struct auth_acl more = ALLOW("User:bob", READ, "t");
	assert_int_not_equal(auth_acls_add(acls, &more, 1, &error), SM_OK);
	assert_false(may(acls, "bob", READ, "t"));
	int matched[1] = {0};
	const struct auth_acl_filter all = FILTER();
	assert_int_not_equal(auth_acls_remove(acls, &all, 1, count_matched, matched, &error), SM_OK);
	assert_true(may(acls, "alice", READ, "t"));
	snprintf(temp, sizeof temp, "%s.tmp", path);
	assert_int_equal(rmdir(temp), 0);
}

static void wrong_rules_are_refused(void **state)
{
	struct auth_acl a = ALLOW("User:alice", READ, "t");
	assert_null(auth_acl_wrong(&a));
	a.pattern = AUTH_PATTERN_MATCH;
	assert_string_equal(auth_acl_wrong(&a), "Invalid patternType");
	a = ALLOW("User:alice", READ, "");
	assert_string_equal(auth_acl_wrong(&a), "Invalid empty resource name");
	a = ALLOW("User:alice", ANY, "t");
	assert_string_equal(auth_acl_wrong(&a), "Invalid operation");
	a = ALLOW("alice", READ, "t");
	assert_non_null(strstr(auth_acl_wrong(&a), "Could not parse principal"));
	a = ALLOW("User:alice", READ, "t");
	a.resource = AUTH_RESOURCE_CLUSTER;
	assert_non_null(strstr(auth_acl_wrong(&a), "kafka-cluster"));
	a.resource = 8;
	assert_string_equal(auth_acl_wrong(&a), "Invalid resourceType");
}

static void refuse(const char *text)
{
	struct auth_acls *acls;
	struct sm_error error;
	FILE *f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
	struct auth_acls_options options = {.path = path};
	assert_int_not_equal(auth_acls_open(&options, &acls, &error), SM_OK);
	assert_non_null(strstr(error.text, path));
}

static void a_wrong_file_is_refused(void **state)
{
	struct auth_acls *acls;
	struct sm_error error;
	refuse("");
	refuse("smack acls 2\n");
	refuse("smack acls 1\nallow User:a * read topic literal\n");
	refuse("smack acls 1\nallow User:a * read topic literal t more\n");
	refuse("smack acls 1\nallow User:a * any topic literal t\n");
	refuse("smack acls 1\nallow User:a * read topic literal %0\n");
	refuse("smack acls 1\nallow User:a * read topic literal t%00\n");
	unlink(path);
	struct auth_acls_options options = {.path = path, .super_users = "admin"};
	assert_int_equal(auth_acls_open(&options, &acls, &error), SM_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_allowed_unless_a_rule_says_so),
		TEST(what_is_allowed_implies_describing),
		TEST(a_rule_that_denies_wins),
		TEST(patterns_and_hosts_match),
		TEST(without_rules_all_can_be_allowed),
		TEST(some_resource_of_a_type_is_enough),
		TEST(filters_choose_rules),
		TEST(rules_last),
		TEST(a_change_that_cannot_be_written_does_not_count),
		TEST(wrong_rules_are_refused),
		TEST(a_wrong_file_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
