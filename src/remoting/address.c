/* "smack://NAME@WHERE/path#uid.number". */
#include "remoting/remoting_internal.h"
#include "base/percent.h"
#include <stdio.h>
#include <stdlib.h>

bool remoting__name_is_good(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
	return size > 0 && size <= REMOTING_NAME_MAX && !name[size];
}

static bool copy(const char *from, size_t size, char *out, size_t max)
{
	if (size > max)
		return false;
	memcpy(out, from, size);
	out[size] = 0;
	return true;
}

/* "9f86d081884c7d65.3" */
static bool parse_fragment(const char *at, struct remoting_address *out)
{
	char *end;
	size_t hex = strspn(at, "0123456789abcdef");
	if (hex == 0 || hex > 16 || at[hex] != '.')
		return false;
	out->uid = strtoull(at, &end, 16);
	at += hex + 1;
	size_t digits = strspn(at, "0123456789");
	if (digits == 0 || digits > 19 || at[digits])
		return false;
	out->number = strtoull(at, &end, 10);
	return out->uid != 0;
}

bool remoting__address_parse(struct bytes text, struct remoting_address *out)
{
	char whole[REMOTING_TEXT_MAX + 1];
	memset(out, 0, sizeof *out);
	if (text.size > REMOTING_TEXT_MAX || text.size < 8 || memcmp(text.data, "smack://", 8) != 0 || memchr(text.data, 0, text.size))
		return false;
	copy((const char *)text.data + 8, text.size - 8, whole, REMOTING_TEXT_MAX);
	size_t name = strcspn(whole, "@");
	if (whole[name] != '@' || !copy(whole, name, out->name, REMOTING_NAME_MAX) || !remoting__name_is_good(out->name))
		return false;
	const char *where = whole + name + 1;
	size_t where_size = strcspn(where, "/");
	if (where_size == 0 || !copy(where, where_size, out->where, REMOTING_WHERE_MAX) || strpbrk(out->where, " \t\r\n#@"))
		return false;
	const char *path = where + where_size;
	const char *fragment = strrchr(path, '#');
	size_t path_size = fragment ? (size_t)(fragment - path) : strlen(path);
	return copy(path, path_size, out->path, REMOTING_PATH_MAX - 24) && (!fragment || parse_fragment(fragment + 1, out));
}

bool remoting__where_of_unix(const char *path, char out[REMOTING_WHERE_MAX + 1])
{
	size_t at = (size_t)snprintf(out, REMOTING_WHERE_MAX + 1, "unix:");
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
		if (at + 3 > REMOTING_WHERE_MAX)
			return false;
		at += (size_t)snprintf(out + at, REMOTING_WHERE_MAX + 1 - at, plain ? "%c" : "%%%02X", c);
	}
	return true;
}

bool remoting__unix_of_where(const char *where, char *out, size_t size)
{
	char text[REMOTING_WHERE_MAX + 1];
	if (strncmp(where, "unix:", 5) != 0 || (size_t)snprintf(text, sizeof text, "%s", where + 5) >= sizeof text ||
	    !percent_decode_text(text))
		return false;
	return *text && (size_t)snprintf(out, size, "%s", text) < size;
}
