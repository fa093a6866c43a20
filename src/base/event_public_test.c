#include <smack/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static const char good[] = "{\"id\":\"d0a1a475-efe4-5997-a466-60ebf9eff917\",\"ad_id\":\"7651a404-492f-57dd-afa5-028eeaf3069b\","
			   "\"campaign\":\"e6577e02-4919-5c02-9cba-5d8c0df53957\",\"ts\":1574553617004,\"type\":\"view\"}";

static void an_event_is_read_and_written_as_it_was(void **state)
{
	struct sm_event event;
	char out[SM_EVENT_JSON_MAX];
	assert_int_equal(sm_event_parse(good, sizeof good - 1, &event, NULL), SM_OK);
	assert_int_equal(event.ts, 1574553617004);
	assert_int_equal(event.type, SM_EVENT_VIEW);
	assert_int_equal(event.id.bytes[0], 0xd0);
	assert_int_equal(sm_event_write(&event, out), sizeof good - 1);
	assert_string_equal(out, good);
}

static void the_longest_event_fits(void **state)
{
	struct sm_event event = {.ts = INT64_MIN, .type = SM_EVENT_CLICK};
	char out[SM_EVENT_JSON_MAX];
	assert_true(sm_event_write(&event, out) < sizeof out);
}

static void what_is_wrong_is_told_as_a_flat_map(void **state)
{
	struct sm_event event;
	char *problems = NULL;
	static const char bad[] = "{\"id\":\"d0a1a475-efe4-5997-a466-60ebf9eff917\",\"ad_id\":\"7651a404-492f-57dd-afa5-028eeaf3069b\","
				  "\"campaign\":\"e6577e02-4919-5c02-9cba-5d8c0df53957\",\"ts\":\"now\"}";
	assert_int_equal(sm_event_parse(bad, sizeof bad - 1, &event, &problems), SM_INVALID);
	assert_non_null(strstr(problems, "\"obj.ts\":[\"error.expected.jsnumber\"]"));
	assert_non_null(strstr(problems, "\"obj.type\":[\"error.path.missing\"]"));
	free(problems);
	assert_int_equal(sm_event_parse("[]", 2, &event, NULL), SM_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_read_and_written_as_it_was),
		cmocka_unit_test(the_longest_event_fits),
		cmocka_unit_test(what_is_wrong_is_told_as_a_flat_map),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
