/* Patterns of topics: what matches, what is refused, and that neither takes long. */
#include "kafka/pattern.h"
#include "base/clock.h"
#include "kafka/kafka_limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static bool matches(const char *text, const char *name)
{
	struct pattern *p;
	const char *why = NULL;
	enum sm_err err = pattern__new(bytes_str(text), &p, &why);
	if (err)
		fail_msg("%s: %s", text, why);
	bool is = pattern__matches(p, name);
	assert_int_equal(pattern__matches(p, name), is);
	pattern__free(p);
	return is;
}

static void patterns_match_whole_names(void **state)
{
	static const struct {
		const char *text, *yes, *no;
	} cases[] = {
		{"orders", "orders", "orders2"},
		{".*", "anything_at-all.0", NULL},
		{"", "", "a"},
		{"^orders-\\d+$", "orders-17", "orders-x"},
		{"a|bc", "bc", "ac"},
		{"(a|b)*c", "ababc", "abab"},
		{"a{2,3}", "aaa", "aaaa"},
		{"a{2,}", "aaaaaa", "a"},
		{"a{0}b", "b", "ab"},
		{"(?:a|bb){2}", "abb", "ab"},
		{"x{", "x{", "x"},
		{"a.c", "abc", "abbc"},
		{"a\\.c", "a.c", "abc"},
		{"[a-c_]+", "ab_c", "abd"},
		{"[^a-c]+", "xyz", "xyc"},
		{"[]a]", "]", "b"},
		{"[a-]+", "a-a", "b"},
		{"[[:alpha:]]+", "abC", "ab1"},
		{"[[:^alpha:].]+", "12.", "a"},
		{"[\\w.-]+", "a_b.c-d", "a b"},
		{"\\D\\S\\W", "ab-", "1b-"},
		{"(?i)Orders", "oRDERS", "order"},
		{"(?i:a)b", "Ab", "AB"},
		{"((?i)a)b", "Ab", "AB"},
		{"(?P<n>a)+?", "aaa", "b"},
		{"\\Qa.b*\\E+", "a.b*", "axb*"},
		{"\\x61\\x{62}\\143", "abc", "abd"},
		{"\\Aa\\bZ|a\\b-\\Bz*\\z", "a-", "aZ"},
		{"\xc3\xa9*a", "a", "\xc3\xa9"},
		{"[^\xc3\xa9]", "a", ""},
		{"(a*)*b", "aab", "aac"},
		{"(|a)+", "aa", "b"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (!matches(cases[i].text, cases[i].yes))
			fail_msg("%s does not match %s", cases[i].text, cases[i].yes);
		if (cases[i].no && matches(cases[i].text, cases[i].no))
			fail_msg("%s matches %s", cases[i].text, cases[i].no);
	}
}

static enum sm_err refusal(const char *text, const char **ret_why)
{
	struct pattern *p = NULL;
	*ret_why = NULL;
	enum sm_err err = pattern__new(bytes_str(text), &p, ret_why);
	if (!err)
		pattern__free(p);
	return err;
}

static void what_is_no_pattern_is_refused_with_the_reason(void **state)
{
	static const char *const cases[][2] = {
		{"(a", "missing closing )"},
		{"a)", "unexpected )"},
		{"*a", "missing argument to repetition operator"},
		{"a**", "invalid nested repetition operator"},
		{"a*+", "invalid nested repetition operator"},
		{"[a", "missing closing ]"},
		{"[", "missing closing ]"},
		{"[b-a]", "invalid character class range"},
		{"[[:foo:]]", "invalid character class range"},
		{"a{2,1}", "invalid repeat count"},
		{"a{1001}", "invalid repeat count"},
		{"a{99999999999}", "invalid repeat count"},
		{"\\y", "invalid escape sequence"},
		{"\\1", "invalid escape sequence"},
		{"\\x{", "invalid escape sequence"},
		{"a\\", "trailing backslash at end of expression"},
		{"[a\\", "trailing backslash at end of expression"},
		{"\\pL", "Unicode classes are not supported here"},
		{"(?z)", "invalid or unsupported Perl syntax"},
		{"(?i", "invalid or unsupported Perl syntax"},
		{"(?P<n", "invalid named capture"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *why;
		assert_int_equal(refusal(cases[i][0], &why), SM_INVALID);
		assert_string_equal(why, cases[i][1]);
	}
}

static void patterns_that_would_take_all_memory_or_time_are_bounded(void **state)
{
	const char *why;
	char deep[1000], name[250];
	assert_int_equal(refusal("(((a{100}){100}){100}){100}", &why), SM_TOO_LARGE);
	assert_int_equal(refusal("((((){1000}){1000}){1000}){1000}", &why), SM_OK);
	assert_int_equal(refusal("((((a?){1000}){1000}){1000}){1000}", &why), SM_TOO_LARGE);
	memset(deep, '(', sizeof deep - 1);
	deep[sizeof deep - 1] = 0;
	assert_int_equal(refusal(deep, &why), SM_TOO_LARGE);
	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = 0;
	uint64_t start = clock_monotonic_ns(&clock_system);
	assert_false(matches("(a*)*(a|aa)*(a?){200}b", name));
	assert_true(clock_monotonic_ns(&clock_system) - start < 5000000000U);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_whole_names),
		cmocka_unit_test(what_is_no_pattern_is_refused_with_the_reason),
		cmocka_unit_test(patterns_that_would_take_all_memory_or_time_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
