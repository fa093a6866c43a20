/* The bytes before the first line feed as a pattern, those behind it as a name. */
#include "kafka/pattern.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	struct bytes text = bytes_of(data, end ? (size_t)(end - data) : size);
	char *name = end ? strndup((const char *)end + 1, size - text.size - 1) : strdup("a");
	struct pattern *pattern;
	const char *why;
	if (name && pattern__new(text, &pattern, &why) == SM_OK) {
		(void)pattern__matches(pattern, name);
		pattern__free(pattern);
	}
	free(name);
	return 0;
}
