#include "base/address.h"
#include "base/io.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* %XX in place; the text ends with a zero byte. */
static bool percent_decode(char *text)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		unsigned byte = (unsigned char)*from;
		if (*from == '%') {
			if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2]) || sscanf(from + 1, "%2x", &byte) != 1 ||
			    !byte)
				return false;
			from += 2;
		}
		*to++ = (char)byte;
	}
	*to = 0;
	return true;
}

enum sm_err address_settings(const char *query, address_take take, void *arg, struct sm_error *reterr)
{
	size_t size = strlen(query);
	char *settings = strdup(query), *rest = settings, *one;
	enum sm_err err = settings ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory");
	while (!err && (one = strsep(&rest, "&"))) {
		char *value = strchr(one, '=');
		if (!*one)
			continue;
		if (!value || !percent_decode(value + 1)) {
			err = sm_fail(reterr, SM_INVALID, "'%.*s' in the address: write name=value, %%XX for a byte",
				      (int)strcspn(one, "="), one);
			break;
		}
		*value = 0;
		err = take(arg, one, value + 1, reterr);
	}
	if (settings)
		explicit_bzero(settings, size);
	free(settings);
	return err;
}

enum sm_err address_password(const char *name, const char *path, char *out, size_t size, struct sm_error *reterr)
{
	struct stat st;
	uint8_t *text;
	size_t got;
	if (stat(path, &st) == 0 && (st.st_mode & 077))
		return sm_fail(reterr, SM_DENIED, "%s = %s: others may read the file: chmod 600 %s", name, path, path);
	enum sm_err err = io_read_file(&io_system, path, size - 1, &text, &got, reterr);
	if (err) {
		sm_error_prefix(reterr, "%s", name);
		return err;
	}
	memcpy(out, text, got);
	explicit_bzero(text, got);
	free(text);
	out[got] = 0;
	out[strcspn(out, "\r\n")] = 0;
	return SM_OK;
}
