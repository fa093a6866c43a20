/* `smack actors`: the tree of actors of a running server, with what each has done. */
#include "base/json.h"
#include "cli/command.h"
#include <stdio.h>

struct arguments {
	const char *data;
	bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'd': a->data = arg; return 0;
	case 'j': a->json = true; return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

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
	static const struct argp_option options[] = {OPTION_DATA, {"json", 'j', NULL, 0, "print the whole as JSON", 0}, {0}};
	static const struct argp argp = {
		options, parse, NULL, "The tree of actors of a running server: messages waiting and handled, time in handlers, restarts.",
		NULL,    NULL,  NULL};
	struct arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	struct sm_error error = {0};
	struct sm_session *session = NULL;
	struct buf answer;
	json_t *actors = NULL;
	buf_init(&answer);
	enum sm_err err = sm_connect(a.data, &session, &error);
	if (!err)
		err = remote_call(session, "actors", BYTES("{}"), &answer, &error);
	if (!err)
		err = json_parse(buf_bytes(&answer), &actors, &error);
	if (!err && a.json)
		printf("%.*s\n", (int)buf_size(&answer), (const char *)buf_bytes(&answer).data);
	else if (!err)
		print_actors(actors);
	json_decref(actors);
	buf_done(&answer);
	sm_disconnect(session);
	return err ? command_failed(&error) : STATUS_OK;
}
