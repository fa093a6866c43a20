#include "base/address.h"
#include "base/io.h"
#include "base/percent.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_ipv6(const char *host)
{
	uint8_t address[16];
	return inet_pton(AF_INET6, host, address) == 1;
}

static bool is_port(const char *at, size_t size, uint16_t *ret_port)
{
	uint32_t port = 0;
	if (size > 5)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (!isdigit((unsigned char)at[i]))
			return false;
		port = port * 10 + (uint32_t)(at[i] - '0');
	}
	*ret_port = (uint16_t)port;
	return port >= 1 && port <= UINT16_MAX;
}

bool address_point(const char *at, size_t size, uint16_t port_default, char host[ADDRESS_HOST_MAX + 1], uint16_t *ret_port)
{
	bool brackets = size && *at == '[';
	const char *start = at + brackets, *end = at + size;
	const char *stop = size ? memchr(at, brackets ? ']' : ':', size) : NULL;
	const char *behind = stop ? stop + brackets : end; /* the colon, or the end */
	size_t host_size = (size_t)((stop ? stop : end) - start);
	uint16_t port = port_default;
	if (!host_size || host_size > ADDRESS_HOST_MAX || (brackets && !stop))
		return false;
	for (size_t i = 0; i < host_size; i++)
		if (!isalnum((unsigned char)start[i]) && !(start[i] && strchr(brackets ? ":." : "-._", start[i])))
			return false;
	if (behind == end ? !port : *behind != ':' || !is_port(behind + 1, (size_t)(end - behind - 1), &port))
		return false;
	memcpy(host, start, host_size);
	host[host_size] = 0;
	if (brackets && !is_ipv6(host))
		return false;
	*ret_port = port;
	return true;
}

const char *address_text(const char *host, uint16_t port, char *out, size_t size)
{
	snprintf(out, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
	return out;
}

const char *address_host(const char *text, char *out, size_t size)
{
	bool brackets = *text == '[';
	const char *end = brackets ? strchr(text, ']') : strrchr(text, ':');
	snprintf(out, size, "%.*s", end ? (int)(end - text - brackets) : (int)strlen(text), text + brackets);
	return out;
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
		if (!value || !percent_decode_text(value + 1)) {
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
