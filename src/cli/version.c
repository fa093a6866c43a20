#include "cli/command.h"
#include <curl/curl.h>
#include <stdio.h>
#include <uv.h>
#include <zlib.h>

int command_version(int argc, char **argv)
{
	static const struct argp argp = {.doc = "Print smack's version and those of the libraries it runs with."};
	command_parse(&argp, argc, argv, NULL);
	printf("smack %s\nlibuv %s, zlib %s, %s\n", SMACK_VERSION, uv_version_string(), zlibVersion(), curl_version());
	return STATUS_OK;
}
