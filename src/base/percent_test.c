#include "base/percent.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void escapes_are_undone_and_made(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: it is none */
		bool plus;
	} cases[] = {{"", "", false},
		     {"plain", "plain", false},
		     {"%41%7a%7A", "Azz", false},
		     {"a%20b+c", "a b+c", false},
		     {"a%20b+c", "a b c", true},
		     {"%2B+", "+ ", true},
		     {"%c3%BC", "\xc3\xbc", false},
		     {"%", NULL, false},
		     {"%4", NULL, false},
		     {"a%4", NULL, false},
		     {"%4g", NULL, false},
		     {"%g4", NULL, false},
		     {"%%41", NULL, false},
		     {"% 1", NULL, false},
		     {"%+1", NULL, true},
		     {"%0x", NULL, false}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t out[32];
		size_t size;
		bool ok = percent_decode(bytes_str(cases[i].in), cases[i].plus, out, &size);
		if (ok != (cases[i].out != NULL) || (ok && (size != strlen(cases[i].out) || memcmp(out, cases[i].out, size) != 0)))
			fail_msg("%s", cases[i].in);
	}
	char text[] = "a%20b%25", zero[] = "a%00b", broken[] = "a%2";
	assert_true(percent_decode_text(text));
	assert_string_equal(text, "a b%");
	assert_false(percent_decode_text(zero));
	assert_false(percent_decode_text(broken));
	struct buf buf;
	buf_init(&buf);
	percent_append(&buf, BYTES("a b%<=\x7f\n\xc3\xbc\0"), "<=");
	assert_int_equal(buf_size(&buf), strlen("a%20b%25%3C%3D%7F%0A\xc3\xbc%00"));
	assert_memory_equal(buf_bytes(&buf).data, "a%20b%25%3C%3D%7F%0A\xc3\xbc%00", buf_size(&buf));
	buf_done(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(escapes_are_undone_and_made)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
