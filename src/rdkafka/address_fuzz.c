/* Any text as the address of a real Kafka: it is taken, or refused with a reason. */
#include "rdkafka/rdkafka.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 9), shown[64];
	struct sm_error error = {0};
	if (!text)
		return 0;
	memcpy(text, "kafka://", 8);
	memcpy(text + 8, data, size);
	text[size + 8] = 0;
	rdkafka_shown(text, shown, sizeof shown);
	rdkafka_brokers(text, shown, sizeof shown);
	if (rdkafka_check(text, &error) && (error.code == SM_OK || !error.text[0]))
		abort();
	free(text);
	return 0;
}
