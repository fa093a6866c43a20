/* The guard: any web page can make a browser send requests to loopback. A page's own name that was rebound to 127.0.0.1 shows in
 * Host, another site in Origin, and a form can only send three media types, none of which a route takes. */
#include "net/http_internal.h"
#include "base/address.h"
#include <stdlib.h>
#include <strings.h>

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

bool http__guard_host(struct bytes host, uint16_t port, bool tls)
{
	char name[ADDRESS_HOST_MAX + 1];
	uint16_t given;
	/* Without a port the scheme's own is meant. */
	return address_point((const char *)host.data, host.size, tls ? 443 : 80, name, &given) && given == port &&
	       (strcasecmp(name, "localhost") == 0 || strcmp(name, "::1") == 0 || is_loopback4(bytes_str(name)));
}

bool http__guard_origin(struct bytes origin, uint16_t port, bool tls)
{
	const char *scheme = tls ? "https://" : "http://";
	size_t size = strlen(scheme);
	return origin.size > size && http__same(bytes_of(origin.data, size), scheme) &&
	       http__guard_host(bytes_of(origin.data + size, origin.size - size), port, tls);
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
