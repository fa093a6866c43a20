/* `smack actors`: the tree of actors of a running server, with what each has done. */
#include "base/json.h"
#include "cli/command.h"
#include <stdio.h>

static void cell_number(struct text_table *table, const json_t *value)
{
	char shown[64];
	if (json_is_integer(value))
		snprintf(shown, sizeof shown, "%lld", (long long)json_integer_value(value));
	else
		snprintf(shown, sizeof shown, "%.1f", json_number_value(value));
	text_table_cell(table, shown, true);
}

/* The last part of its path, under its parent's. */
static void cell_name(struct text_table *table, const json_t *actor)
{
	char shown[600];
	const char *path = json_string_value(json_object_get(actor, "path"));
	const char *name = path ? strrchr(path, '/') : NULL;
	int depth = (int)json_integer_value(json_object_get(actor, "depth"));
	snprintf(shown, sizeof shown, "%*s%s", depth < 64 ? 2 * depth : 128, "", name ? name + 1 : "?");
	text_table_cell(table, shown, false);
}

static void print_actors(const json_t *answer)
{
	static const char *const figures[] = {"mailbox", "processed", "handlerMs", "restarts", "dispatcher"};
	const json_t *actors = json_object_get(answer, "actors"), *actor;
	struct text_table *table = text_table_new(7);
	size_t i;
	for (const char *const *heading =
		     (const char *const[]){"actor", "state", "mailbox", "processed", "ms in handler", "restarts", "dispatcher", NULL};
	     *heading; heading++)
		text_table_cell(table, *heading, false);
	json_array_foreach((json_t *)(uintptr_t)actors, i, actor)
	{
		cell_name(table, actor);
		text_table_cell(table, json_string_value(json_object_get(actor, "state")), false);
		for (size_t f = 0; f < sizeof figures / sizeof *figures; f++)
			cell_number(table, json_object_get(actor, figures[f]));
	}
	text_table_print(table, stdout);
	text_table_free(table);
	printf("\n%lld actors, %zu shown; %lld dead letters\n", (long long)json_integer_value(json_object_get(answer, "total")),
	       json_array_size(actors), (long long)json_integer_value(json_object_get(answer, "deadLetters")));
}

int command_actors(int argc, char **argv)
{
	return command_show(argc, argv, "actors",
			    "The tree of actors of a running server: messages waiting and handled, time in handlers, restarts.",
			    print_actors);
}
