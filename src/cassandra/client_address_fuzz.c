/* Any text as the address of a real Cassandra: it is taken, or refused with a reason. */
#include "cassandra/client.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct client_target target;
	char *text = malloc(size + 13);
	struct sm_error error = {0};
	if (!text)
		return 0;
	memcpy(text, "cassandra://", 12);
	memcpy(text + 12, data, size);
	text[size + 12] = 0;
	if (client__target_parse(text, NULL, 0, false, &target, &error)) {
		if (error.code == SM_OK || !error.text[0])
			abort();
	} else if (!target.point_count || target.point_count > CLIENT_POINTS_MAX) {
		abort();
	}
	free(text);
	return 0;
}
