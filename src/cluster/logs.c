/* The output of tasks over HTTP: /smack/logs/apps/ID and /smack/logs/jobs/NAME. */
#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define LOG_BYTES_MAX (256u << 10)

/* Files are read on the pool. */
struct log_request {
	struct sm_work work;
	struct cluster *cluster;
	struct http_ticket *ticket;
	bool app;
	char name[130];
	const char *stream;
	struct buf out;
	enum sm_err err;
};

static void answer_logs(struct http_request *request, void *arg)
{
	struct log_request *l = arg;
	if (request && l->err) {
		struct sm_error error;
		sm_fail(&error, l->err, l->err == SM_NOT_FOUND ? "%s has not run yet" : "the output of %s cannot be read now", l->name);
		http_reply_error(request, &error);
	} else if (request) {
		http_reply(request, 200, "text/plain; charset=utf-8", buf_bytes(&l->out));
	}
	buf_done(&l->out);
	free(l);
}

static void read_logs(struct sm_work *work)
{
	struct log_request *l = (struct log_request *)work;
	struct cluster *c = l->cluster;
	l->err = cluster__output(c, l->app ? "apps" : "jobs", l->name, l->stream, LOG_BYTES_MAX, &l->out);
	http_ticket_post(l->ticket, answer_logs, l);
	atomic_fetch_sub(&c->reading, 1);
}

static void route_logs(struct http_request *request)
{
	struct cluster *c = request->arg;
	struct bytes kind = request->params[0], owner = request->params[1];
	struct sm_error error;
	bool app = bytes_equal(kind, BYTES("apps"));
	if (!app && !bytes_equal(kind, BYTES("jobs"))) {
		sm_fail(&error, SM_NOT_FOUND, "logs are at /smack/logs/apps/ID and /smack/logs/jobs/NAME");
		http_reply_error(request, &error);
		return;
	}
	struct log_request *l = calloc(1, sizeof *l);
	if (!l || !(l->ticket = http_ticket(request))) {
		free(l);
		sm_fail(&error, SM_NO_MEMORY, "no memory");
		http_reply_error(request, &error);
		return;
	}
	l->work.run = read_logs;
	l->cluster = c;
	l->app = app;
	l->stream = bytes_equal(http_query(request, "stream"), BYTES("stderr")) ? "stderr" : "stdout";
	snprintf(l->name, sizeof l->name, "%s%.*s", app ? "/" : "", (int)(owner.size < 127 ? owner.size : 127), (const char *)owner.data);
	buf_init(&l->out);
	atomic_fetch_add(&c->reading, 1);
	if ((l->err = sm_pool_run(c->options.system, &l->work))) {
		atomic_fetch_sub(&c->reading, 1);
		http_ticket_post(l->ticket, answer_logs, l);
	}
}

enum sm_err cluster__log_routes(struct cluster *c, struct http_server *server)
{
	const struct http_route route = {.methods = HTTP_GET, .pattern = "/smack/logs/{kind}/*", .handle = route_logs, .arg = c};
	return http_server_route(server, &route);
}
