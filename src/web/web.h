/* The dashboard: one page at "/", its assets from the binary, its figures from one status document. */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include "net/http.h"

struct web;
struct web_options {
	struct sm_system *system;
	/* The status document as `smack status` shows it (cli/platform_control.c lists its members). Called on the pool, once a second
	 * while somebody looks; returns a new reference. */
	json_t *(*status)(void *arg);
	/* Rows for the report's chart: {"columns": [..], "rows": [[..]..]} of the table that the configuration names, or NULL. On the pool.
	 */
	json_t *(*report)(void *arg);
	void *arg;
};
SM_MUST_CHECK enum sm_err web_new(const struct web_options *options, struct web **ret_web, struct sm_error *reterr);
/* "/", "/assets/...", "/api/status" (once), "/api/report", "/api/events" (server-sent, once a second). */
SM_MUST_CHECK enum sm_err web_routes(struct web *web, struct http_server *server);
/* After the HTTP server has gone. NULL is allowed. */
void web_free(struct web *web);

#endif
