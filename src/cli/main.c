#include "cli/command.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const struct command commands[] = {
#define X(name, summary) {#name, command_##name, summary},
#include "cli/commands.def"
#undef X
	{0},
};

static void help(FILE *to)
{
	fprintf(to, "usage: smack COMMAND [OPTION ...]\n\n"
		    "A data platform in one program: a commit log that speaks Kafka's protocol, a wide-column store that\n"
		    "speaks CQL, ingest over HTTP, micro-batches, batch jobs and SQL, a scheduler.\n\n");
	for (const struct command *c = commands; c->name; c++)
		fprintf(to, "  %-9s %s\n", c->name, c->summary);
	fprintf(to, "\n`smack COMMAND --help` tells more. Begin with `smack demo`, or with `smack up --config FILE`.\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return STATUS_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		help(stdout);
		return STATUS_OK;
	}
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (const struct command *c = commands; c->name; c++) {
		if (strcmp(c->name, name) != 0)
			continue;
		char shown[64];
		snprintf(shown, sizeof shown, "smack %s", name);
		argv[1] = shown;
		int status = c->run(argc - 1, argv + 1);
		/* What could not be written was not done. */
		if (fflush(stdout) && !status) {
			fprintf(stderr, "smack: cannot write to standard output: %s\n", strerror(errno));
			status = STATUS_FAILED;
		}
		return status;
	}
	fprintf(stderr, "smack: unknown command '%s'; `smack --help` lists them\n", name);
	return STATUS_USAGE;
}
