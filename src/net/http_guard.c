/* The guard: any web page can make a browser send requests to loopback. A page's own name that was rebound to 127.0.0.1 shows in
 * Host, another site in Origin, and a form can only send three media types, none of which a route takes. */
#include "net/http_internal.h"
#include <stdlib.h>

/* Four decimal numbers, the first 127. Written out, because inet_aton's other spellings (127.1, 0x7f.1) are no names of ours. */
static bool is_loopback4(struct bytes host)
{
	unsigned part = 0, digits = 0, dots = 0;
	for (size_t i = 0; i <= host.size; i++) {
		if (i == host.size || host.data[i] == '.') {
			if (!digits || part > 255 || (dots == 0 && part != 127))
				return false;
			if (i < host.size)
				dots++;
			part = digits = 0;
		} else if (host.data[i] >= '0' && host.data[i] <= '9' && digits < 3) {
			part = part * 10 + (unsigned)(host.data[i] - '0');
			digits++;
		} else {
			return false;
		}
	}
	return dots == 3;
}

static bool port_matches(struct bytes text, uint16_t port)
{
	unsigned value = 0;
	if (text.size == 0 || text.size > 5)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.data[i] - '0');
	}
	return value == port;
}

bool http__guard_host(struct bytes host, uint16_t port)
{
	const uint8_t *end = host.data + host.size, *colon;
	struct bytes name;
	if (host.size && host.data[0] == '[') {
		const uint8_t *close = memchr(host.data, ']', host.size);
		if (!close)
			return false;
		name = bytes_of(host.data, (size_t)(close + 1 - host.data));
		colon = close + 1;
	} else {
		colon = host.size ? memchr(host.data, ':', host.size) : NULL;
		colon = colon ? colon : end;
		name = bytes_of(host.data, (size_t)(colon - host.data));
	}
	/* Without a port the scheme's own is meant. */
	bool port_ok = colon == end ? port == 80 : *colon == ':' && port_matches(bytes_of(colon + 1, (size_t)(end - colon - 1)), port);
	return port_ok && (http__same(name, "localhost") || http__same(name, "[::1]") || is_loopback4(name));
}

bool http__guard_origin(struct bytes origin, uint16_t port)
{
	return origin.size > 7 && http__same(bytes_of(origin.data, 7), "http://") &&
	       http__guard_host(bytes_of(origin.data + 7, origin.size - 7), port);
}

bool http__guard_media_type(struct bytes content_type, const char *media_types)
{
	const uint8_t *semicolon = content_type.size ? memchr(content_type.data, ';', content_type.size) : NULL;
	size_t size = semicolon ? (size_t)(semicolon - content_type.data) : content_type.size;
	while (size && (content_type.data[size - 1] == ' ' || content_type.data[size - 1] == '\t'))
		size--;
	struct bytes type = bytes_of(content_type.data, size), list = bytes_str(media_types), item;
	while (size && http__list_next(&list, &item)) {
		char want[128];
		if (item.size >= sizeof want)
			continue;
		memcpy(want, item.data, item.size);
		want[item.size] = 0;
		if (http__same(type, want))
			return true;
	}
	return false;
}
