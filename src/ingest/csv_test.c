/* CSV by rows and cells. */
#include "ingest/ingest_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* "line:cell|cell;..." and the error that ended it, unless that is the end; quoted cells stand in brackets. */
static void reads(const char *text, const char *want)
{
	struct csv_reader reader = {bytes_str(text), 1};
	struct csv_cell cells[4];
	struct arena arena;
	struct buf out;
	uint32_t count, line;
	enum sm_err err;
	arena_init(&arena, 0);
	buf_init(&out);
	while (!(err = csv_next(&reader, &arena, cells, 4, &count, &line))) {
		buf_printf(&out, "%u:", line);
		for (uint32_t i = 0; i < count; i++)
			buf_printf(&out, cells[i].quoted ? "%s[%.*s]" : "%s%.*s", i ? "|" : "", (int)cells[i].text.size,
				   (const char *)cells[i].text.data);
		buf_append_str(&out, ";");
	}
	if (err != SM_END)
		buf_append_str(&out, sm_err_name(err));
	if (!bytes_equal(buf_bytes(&out), bytes_str(want)))
		fail_msg("%s: %.*s in place of %s", text, (int)buf_size(&out), (const char *)out.data + out.start, want);
	buf_done(&out);
	arena_done(&arena);
}

static void rows_and_cells_are_told_apart(void **state)
{
	reads("", "");
	reads("a,b\r\n1,2\r\n", "1:a|b;2:1|2;");
	reads("a,b\n1,2", "1:a|b;2:1|2;");
	reads(",\n,", "1:|;2:|;");
	reads("a\n\nb", "1:a;2:;3:b;");
	reads("\"a,b\",\"c\"\"d\"\n", "1:[a,b]|[c\"d];");
	reads("\"a\nb\nc\",d\ne", "1:[a\nb\nc]|d;4:e;");
	reads("\"\"\r\n\"\"\"\"", "1:[];2:[\"];");
	reads("a\rb\r", "1:a\rb;");
	reads("1,2,3,4", "1:1|2|3|4;");
}

static void what_is_no_csv_is_told(void **state)
{
	reads("a\n1,2,3,4,5", "1:a;SM_TOO_LARGE");
	reads("a\"b", "SM_SYNTAX");
	reads("\"a\"b", "SM_SYNTAX");
	reads("\"a", "SM_SYNTAX");
	reads("\"a\"\rb", "SM_SYNTAX");
	reads("a\n\"b\nc", "1:a;SM_SYNTAX");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_and_cells_are_told_apart),
		cmocka_unit_test(what_is_no_csv_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
