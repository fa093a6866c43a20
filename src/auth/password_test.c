#include "auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void a_password_fits_its_hash_alone(void **state)
{
	char hash[AUTH_PASSWORD_HASH_BYTES], other[AUTH_PASSWORD_HASH_BYTES];
	assert_true(auth_password_hash(BYTES("secret"), hash) && auth_password_hash(BYTES("secret"), other));
	assert_string_not_equal(hash, other); /* each has its salt */
	assert_true(auth_password_hash_ok(hash));
	assert_true(auth_password_fits(hash, BYTES("secret")));
	assert_false(auth_password_fits(hash, BYTES("Secret")));
	assert_false(auth_password_fits(hash, BYTES("")));
	assert_false(auth_password_fits(hash, BYTES("secret\0x")));
}

static void hashes_of_other_programs_are_taken(void **state)
{
	/* Of the test vectors that bcrypt's own distribution has: "U*U". */
	assert_true(auth_password_fits("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", BYTES("U*U")));
	assert_false(auth_password_hash_ok("plain"));
	assert_false(auth_password_hash_ok("$1$abcdefgh$0123456789012345678901"));
	assert_false(auth_password_hash_ok("$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")); /* would take hours */
	assert_false(auth_password_fits("", BYTES("x")));
	assert_false(auth_password_fits("*0", BYTES("x")));
}

static void what_is_no_password_has_no_hash(void **state)
{
	char hash[AUTH_PASSWORD_HASH_BYTES], large[AUTH_PASSWORD_MAX + 1] = {0};
	memset(large, 'x', sizeof large);
	assert_false(auth_password_hash(BYTES(""), hash));
	assert_false(auth_password_hash(bytes_of(large, sizeof large), hash));
	assert_false(auth_password_hash(BYTES("a\0b"), hash));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_password_fits_its_hash_alone),
		cmocka_unit_test(hashes_of_other_programs_are_taken),
		cmocka_unit_test(what_is_no_password_has_no_hash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
