/* What the files of this room share. */
#ifndef WEB_INTERNAL_H
#define WEB_INTERNAL_H

#include "web/web.h"
#include "web/web_limits.h"

/* The files of the page; made from assets/ by embed.py at build time. */
struct web__asset {
	const char *name; /* "app.js" */
	const char *content_type;
	const char *etag; /* quoted; of the contents */
	struct bytes body;
};
extern const struct web__asset web__assets[]; /* ends with name NULL */

#endif
