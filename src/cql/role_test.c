#include "cql/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena arena;
static struct cql_error err;

static int set_up(void **state)
{
	arena_init(&arena, 0);
	return 0;
}
static int tear_down(void **state)
{
	arena_done(&arena);
	return 0;
}

static const struct cql_role_statement *parsed(const char *text)
{
	struct cql_statement *s = NULL;
	if (cql__parse(bytes_str(text), &arena, &s, &err) != SM_OK)
		fail_msg("%s: %s", text, err.text);
	assert_int_equal(s->kind, CQL_STMT_ROLE);
	return &s->role;
}

static void refused(const char *text, const char *message)
{
	struct cql_statement *s;
	assert_int_not_equal(cql__parse(bytes_str(text), &arena, &s, &err), SM_OK);
	assert_int_equal(err.code, CQL_SYNTAX_ERROR);
	assert_string_equal(err.text, message);
}

static void statements_about_roles_are_read(void **state)
{
	const struct cql_role_statement *s = parsed(
		"CREATE ROLE IF NOT EXISTS App WITH PASSWORD = 'x''y' AND LOGIN = true AND superuser = false");
	assert_true(s->verb == CQL_CREATE_ROLE && s->if_not_exists && !s->user && s->login == 1 && s->superuser == 0 && !s->hashed);
	assert_string_equal(s->role, "app");
	assert_string_equal(s->password, "x'y");
	s = parsed("CREATE USER Bob WITH HASHED PASSWORD 'h' SUPERUSER;");
	assert_true(s->user && s->hashed && s->superuser == 1 && s->login == 1);
	assert_string_equal(s->role, "Bob");
	assert_string_equal(parsed("DROP ROLE IF EXISTS 'Mixed Case'")->role, "Mixed Case");
	s = parsed("GRANT reader TO app");
	assert_true(s->verb == CQL_GRANT_ROLE && !strcmp(s->role, "reader") && !strcmp(s->grantee, "app"));
	s = parsed("GRANT SELECT PERMISSION, MODIFY ON TABLE a.t TO app");
	assert_int_equal(s->permissions, CQL_PERMISSION_BIT(CQL_MAY_SELECT) | CQL_PERMISSION_BIT(CQL_MAY_MODIFY));
	assert_true(s->resource.kind == CQL_ONE_TABLE && !strcmp(s->resource.keyspace, "a") && !strcmp(s->resource.name, "t"));
	assert_int_equal(parsed("REVOKE ALL PERMISSIONS ON ALL TABLES IN KEYSPACE a FROM app")->resource.kind, CQL_TABLES_OF_KEYSPACE);
	s = parsed("LIST ALL PERMISSIONS ON KEYSPACE a OF app NORECURSIVE");
	assert_true(s->verb == CQL_LIST_PERMISSIONS && !s->permissions && s->no_recursive && s->resource.kind == CQL_ONE_KEYSPACE);
	/* Tables may be called what the other kinds of resources are. */
	assert_string_equal(parsed("GRANT SELECT ON role TO app")->resource.name, "role");
	refused("CREATE USER \"q\"", "Quoted strings are are not supported for user names and USER is deprecated, please use ROLE");
	refused("CREATE ROLE z WITH LOGIN = true AND LOGIN = false", "Multiple definition for property 'LOGIN'");
	refused("CREATE ROLE z WITH PASSWORD = 'a' AND HASHED PASSWORD = 'b'",
		"Options 'password' and 'hashed password' are mutually exclusive");
	refused("GRANT NOPE ON a.t TO app", "line 1:6 expected a permission but found 'NOPE'");
}

static void resources_have_names_and_parents(void **state)
{
	static const char *const names[] = {"data", "data/a", "data/a/*", "data/a/t", "roles", "roles/x", "functions", "functions/a"};
	static const char *const texts[] = {"<all keyspaces>", "<keyspace a>", "<all tables in a>", "<table a.t>",
					    "<all roles>",     "<role x>",     "<all functions>",   "<all functions in a>"};
	struct cql_resource r;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		assert_true(cql__resource_parse(names[i], &arena, &r));
		assert_string_equal(cql__resource_name(&r, &arena), names[i]);
		assert_string_equal(cql__resource_text(&r, &arena), texts[i]);
	}
	assert_false(cql__resource_parse("mbean", &arena, &r));
	assert_true(cql__resource_parse("data/a/t", &arena, &r));
	for (int i = 2; i >= 0; i--) {
		assert_true(cql__resource_parent(&r));
		assert_string_equal(cql__resource_name(&r, &arena), names[i]);
	}
	assert_false(cql__resource_parent(&r));
}

static void permissions_come_by_membership_and_from_what_is_wider(void **state)
{
	static const char *of_app[] = {"reader"}, *of_chief[] = {"root"}, *in_circle[] = {"loop"};
	struct cql_role roles[] = {{.name = "app", .member_of = of_app, .member_count = 1},
				   {.name = "chief", .member_of = of_chief, .member_count = 1},
				   {.name = "loop", .member_of = in_circle, .member_count = 1},
				   {.name = "reader"},
				   {.name = "root", .superuser = true}};
	struct cql_grant grants[] = {{"app", "data/a/t", CQL_PERMISSION_BIT(CQL_MAY_MODIFY)},
				     {"reader", "data/a", CQL_PERMISSION_BIT(CQL_MAY_SELECT)}};
	struct cql_role_picture p = {.roles = roles, .role_count = 5, .grants = grants, .grant_count = 2};
	struct cql_resource t = {CQL_ONE_TABLE, "a", "t"}, u = {CQL_ONE_TABLE, "a", "u"}, other = {CQL_ONE_TABLE, "b", "t"};
	assert_true(cql__role_may(&p, "app", CQL_MAY_MODIFY, &t) && !cql__role_may(&p, "app", CQL_MAY_MODIFY, &u));
	assert_true(cql__role_may(&p, "app", CQL_MAY_SELECT, &u) && !cql__role_may(&p, "app", CQL_MAY_SELECT, &other));
	assert_true(!cql__role_may(&p, "reader", CQL_MAY_MODIFY, &t) && cql__role_may(&p, "chief", CQL_MAY_DROP, &other));
	assert_true(cql__role_has(&p, "app", "reader") && cql__role_has(&p, "app", "app") && !cql__role_has(&p, "reader", "app"));
	assert_false(cql__role_is_super(&p, "loop")); /* ends */
	assert_false(cql__role_may(&p, "nobody", CQL_MAY_SELECT, &t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_about_roles_are_read),
		cmocka_unit_test(resources_have_names_and_parents),
		cmocka_unit_test(permissions_come_by_membership_and_from_what_is_wider),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
