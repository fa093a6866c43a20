#include "cli/config.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	static struct config c;
	struct sm_error error;
	config_init(&c);
	if (!config_read_text(&c, "fuzz", text, &error) && !config_check(&c, &error) && size)
		(void)!config_set(&c, text, &error);
	config_done(&c);
	free(text);
	return 0;
}
