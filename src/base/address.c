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

bool address_point(const char *at, size_t size, uint16_t port_default, char host[256], uint16_t *ret_port)
{
	const char *start = at, *end = at + size, *colon;
	size_t host_size;
	long port = port_default;
	if (size && *at == '[') { /* an IPv6 address */
		const char *bracket = memchr(at, ']', size);
		if (!bracket || (bracket + 1 < end && bracket[1] != ':'))
			return false;
		start = at + 1;
		host_size = (size_t)(bracket - start);
		colon = bracket + 1 < end ? bracket + 1 : NULL;
	} else {
		colon = memchr(at, ':', size);
		host_size = colon ? (size_t)(colon - at) : size;
	}
	if (!host_size || host_size > 255)
		return false;
	for (size_t i = 0; i < host_size; i++)
		if (!isalnum((unsigned char)start[i]) && !strchr(start != at ? ":." : "-._", start[i]))
			return false;
	if (colon) {
		size_t digits = (size_t)(end - colon - 1);
		for (const char *c = colon + 1; c < end; c++)
			if (!isdigit((unsigned char)*c))
				return false;
		port = digits >= 1 && digits <= 5 ? atol(colon + 1) : 0;
	}
	if (port < 1 || port > 65535)
		return false;
	memcpy(host, start, host_size);
	host[host_size] = 0;
	*ret_port = (uint16_t)port;
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
