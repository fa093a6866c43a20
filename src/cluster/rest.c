#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On the connection's dispatcher again, or with request NULL when the connection has gone. */
static void send_reply(struct http_request *request, void *arg)
{
	struct call *call = arg;
	if (request && call->error.code && call->path) {
		/* As Marathon says that a document is not what it should be. */
		char path[64];
		snprintf(path, sizeof path, "/%s", call->path);
		http_reply_json(request, 422,
				json_pack("{s:s s:[{s:s s:[s]}]}", "message", "Object is not valid", "details", "path", path, "errors",
					  call->error.text));
	} else if (request && call->error.code) {
		http_reply_error(request, &call->error);
	} else if (request) {
		if (call->header_name)
			http_reply_header(request, call->header_name, call->header_value);
		json_t *reply = call->reply;
		call->reply = NULL;
		if (call->text)
			http_reply(request, call->status, "text/plain; charset=utf-8", bytes_str(call->text));
		else if (reply)
			http_reply_json(request, call->status, reply);
		else
			http_reply(request, call->status, NULL, (struct bytes){0});
	}
	cluster__call_free(call);
}

static void finish(struct call *call)
{
	http_ticket_post(call->user, send_reply, call);
}

struct call *cluster__rest_call(struct http_request *request, struct bytes name, bool wants_body,
				void (*handle)(struct cluster *, struct call *))
{
	struct sm_error error = {0};
	struct call *call = cluster__call_new(request->arg, handle, finish);
	if (call && name.data && !(call->name = strndup((const char *)name.data, name.size))) {
		cluster__call_free(call);
		call = NULL;
	}
	if (!call) {
		sm_fail(&error, SM_NO_MEMORY, "no memory");
		http_reply_error(request, &error);
		return NULL;
	}
	enum sm_err err = SM_OK;
	if (wants_body && request->body.size > CLUSTER_DOCUMENT_MAX)
		err = sm_fail(&error, SM_TOO_LARGE, "a document has at most %u bytes", CLUSTER_DOCUMENT_MAX);
	else if (wants_body && (err = json_parse(request->body, &call->body, &error)))
		error.code = SM_INVALID; /* 400 */
	else if (wants_body && !json_is_object(call->body))
		err = sm_fail(&error, SM_INVALID, "the body must be one JSON object");
	if (err) {
		http_reply_error(request, &error);
		cluster__call_free(call);
		return NULL;
	}
	struct bytes force = http_query(request, "force");
	call->force = force.size == 4 && strncasecmp((const char *)force.data, "true", 4) == 0;
	call->user = http_ticket(request);
	return call;
}
