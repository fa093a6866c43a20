/* The page's files, the documents that it shows, and the stream of events that keeps it live.
 *
 * A document is made on the pool, because it may read the log and the store; the answer comes back by the request's ticket. While
 * there are subscribers an actor has a status document made each second; it goes straight to them. Every piece of work under way is
 * counted, so that web_free can wait for the callbacks' end. */
#include "web/web_internal.h"
#include "base/hash.h"
#include "base/json.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct web {
	struct web_options options;
	struct http_events *events;
	struct sm_ref *ticker;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	uint32_t documents; /* being made for requests */
	bool ticking;       /* one is being made for the stream */
	bool ticker_lives;
	struct sm_work tick;
};

/* ---- the page's files ---- */

static void reply_asset(struct http_request *request, const struct web__asset *asset)
{
	http_reply_header(request, "Content-Security-Policy",
			  "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
	http_reply_header(request, "X-Content-Type-Options", "nosniff");
	http_reply_header(request, "Referrer-Policy", "no-referrer");
	/* Asked for again each time, and answered with 304: a new binary is seen at once. */
	http_reply_header(request, "Cache-Control", "no-cache");
	http_reply_header(request, "ETag", asset->etag);
	http_reply(request, 200, asset->content_type, asset->body);
}

static void get_asset(struct http_request *request)
{
	struct bytes name = request->params[0].data ? request->params[0] : BYTES("index.html");
	for (const struct web__asset *asset = web__assets; asset->name; asset++)
		if (bytes_equal(name, bytes_str(asset->name))) {
			reply_asset(request, asset);
			return;
		}
	struct sm_error error;
	sm_fail(&error, SM_NOT_FOUND, "the dashboard has no file of this name");
	http_reply_error(request, &error);
}

/* ---- documents on request ---- */

struct document {
	struct sm_work work;
	struct web *web;
	json_t *(*make)(void *arg);
	bool tagged; /* with an ETag, so that what has not changed is not sent again */
	struct http_ticket *ticket;
	struct buf text;
	enum sm_err err;
};

static void answer_document(struct http_request *request, void *arg)
{
	struct document *d = arg;
	if (request && d->err) {
		struct sm_error error;
		sm_fail(&error, d->err, "the document cannot be made now: %s", sm_err_text(d->err));
		http_reply_error(request, &error);
	} else if (request) {
		char tag[16];
		snprintf(tag, sizeof tag, "\"%08x\"", crc32c(0, buf_bytes(&d->text).data, buf_size(&d->text)));
		http_reply_header(request, "X-Content-Type-Options", "nosniff");
		http_reply_header(request, "Cache-Control", d->tagged ? "no-cache" : "no-store");
		if (d->tagged)
			http_reply_header(request, "ETag", tag);
		http_reply(request, 200, "application/json", buf_bytes(&d->text));
	}
	buf_done(&d->text);
	free(d);
}

static enum sm_err write_document(json_t *json, struct buf *text)
{
	if (json)
		json_write(json, text);
	else
		buf_append_str(text, "null");
	json_decref(json);
	return text->failed ? SM_NO_MEMORY : SM_OK;
}

static void document_run(struct sm_work *work)
{
	struct document *d = (struct document *)work;
	struct web *web = d->web;
	d->err = write_document(d->make ? d->make(web->options.arg) : NULL, &d->text);
	http_ticket_post(d->ticket, answer_document, d);
	pthread_mutex_lock(&web->lock);
	web->documents--;
	pthread_cond_signal(&web->idle);
	pthread_mutex_unlock(&web->lock);
}

static enum sm_err document_start(struct document *d)
{
	struct web *web = d->web;
	pthread_mutex_lock(&web->lock);
	enum sm_err err = web->documents >= WEB_DOCUMENTS_MAX ? SM_FULL : SM_OK;
	web->documents += !err;
	pthread_mutex_unlock(&web->lock);
	if (err || !(err = sm_pool_run(web->options.system, &d->work)))
		return err;
	pthread_mutex_lock(&web->lock);
	web->documents--;
	pthread_cond_signal(&web->idle);
	pthread_mutex_unlock(&web->lock);
	return err;
}

static void get_document(struct http_request *request, json_t *(*make)(void *arg), bool tagged)
{
	struct document *d = calloc(1, sizeof *d);
	struct http_ticket *ticket = d ? http_ticket(request) : NULL;
	if (!ticket) {
		free(d);
		struct sm_error error;
		sm_fail(&error, SM_NO_MEMORY, "no memory for the document");
		http_reply_error(request, &error);
		return;
	}
	*d = (struct document){.work.run = document_run, .web = request->arg, .make = make, .tagged = tagged, .ticket = ticket};
	buf_init(&d->text);
	if ((d->err = document_start(d)))
		http_ticket_post(ticket, answer_document, d);
}

static void get_status(struct http_request *request)
{
	get_document(request, ((struct web *)request->arg)->options.status, false);
}

static void get_report(struct http_request *request)
{
	get_document(request, ((struct web *)request->arg)->options.report, true);
}

/* ---- events ---- */

enum { EVENT_TIMER = 1 };
struct ticker {
	struct web *web;
	bool running;
	uint32_t silent; /* times in a row that nobody looked */
};

static void wake_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type wake_type = {"dashboard has a reader", wake_done};

static void get_events(struct http_request *request)
{
	struct web *web = request->arg;
	struct sm_msg *wake = calloc(1, sizeof *wake);
	enum sm_err err = SM_NO_MEMORY;
	if (wake) {
		wake->type = &wake_type;
		if ((err = sm_send(web->ticker, wake)))
			sm_msg_free(wake);
	}
	if (err && err != SM_FULL) { /* full: others have woken it */
		struct sm_error error;
		sm_fail(&error, err, "no events now: %s", sm_err_text(err));
		http_reply_error(request, &error);
		return;
	}
	http_events_subscribe(web->events, request);
}

static void tick_ended(struct web *web)
{
	pthread_mutex_lock(&web->lock);
	web->ticking = false;
	pthread_cond_signal(&web->idle);
	pthread_mutex_unlock(&web->lock);
}

static void tick_run(struct sm_work *work)
{
	struct web *web = (struct web *)((char *)work - offsetof(struct web, tick));
	struct buf text;
	buf_init(&text);
	if (!write_document(web->options.status(web->options.arg), &text))
		http_events_send(web->events, "status", buf_bytes(&text));
	buf_done(&text);
	tick_ended(web);
}

static void tick(struct sm_actor *self, struct ticker *ticker)
{
	struct web *web = ticker->web;
	if (http_events_subscribers(web->events) == 0) {
		if (++ticker->silent >= WEB_SILENT_EVENTS) {
			sm_timer_stop(self, EVENT_TIMER);
			ticker->running = false;
		}
		return;
	}
	ticker->silent = 0;
	pthread_mutex_lock(&web->lock);
	bool busy = web->ticking; /* a slow one is not overtaken */
	web->ticking = true;
	pthread_mutex_unlock(&web->lock);
	if (!busy && sm_pool_run(web->options.system, &web->tick))
		tick_ended(web);
}

static enum sm_err ticker_init(struct sm_actor *self, void *state, void *arg)
{
	((struct ticker *)state)->web = arg;
	return SM_OK;
}

static enum sm_err ticker_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct ticker *ticker = state;
	if (msg->type == &sm_msg_timer) {
		tick(self, ticker);
	} else if (msg->type == &wake_type) {
		ticker->silent = 0;
		if (!ticker->running)
			ticker->running = !sm_timer_start(self, EVENT_TIMER, WEB_FIRST_EVENT_MS, WEB_EVENT_MS);
	}
	return SM_OK;
}

static void ticker_done(struct sm_actor *self, void *state)
{
	struct web *web = ((struct ticker *)state)->web;
	pthread_mutex_lock(&web->lock);
	web->ticker_lives = false;
	pthread_cond_signal(&web->idle);
	pthread_mutex_unlock(&web->lock);
}

/* ---- life ---- */

enum sm_err web_new(const struct web_options *options, struct web **ret_web, struct sm_error *reterr)
{
	struct web *web = calloc(1, sizeof *web);
	if (!web || !(web->events = http_events_new(options->system))) {
		free(web);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the dashboard");
	}
	web->options = *options;
	web->tick.run = tick_run;
	pthread_mutex_init(&web->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&web->idle, &attr);
	pthread_condattr_destroy(&attr);
	const struct sm_props props = {.name = "web",
				       .state_size = sizeof(struct ticker),
				       .init = ticker_init,
				       .receive = ticker_receive,
				       .done = ticker_done,
				       .arg = web,
				       .dispatcher = -1};
	web->ticker_lives = true;
	enum sm_err err = sm_spawn(options->system, NULL, &props, &web->ticker);
	if (err) {
		web->ticker_lives = false;
		web_free(web);
		return sm_fail(reterr, err, "the dashboard's actor: %s", sm_err_text(err));
	}
	*ret_web = web;
	return SM_OK;
}

enum sm_err web_routes(struct web *web, struct http_server *server)
{
	const struct http_route routes[] = {
		{.methods = HTTP_GET, .pattern = "/", .handle = get_asset, .arg = web},
		{.methods = HTTP_GET, .pattern = "/assets/*", .handle = get_asset, .arg = web},
		{.methods = HTTP_GET, .pattern = "/api/status", .handle = get_status, .arg = web},
		{.methods = HTTP_GET, .pattern = "/api/report", .handle = get_report, .arg = web},
		{.methods = HTTP_GET, .pattern = "/api/events", .handle = get_events, .arg = web},
	};
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		enum sm_err err = http_server_route(server, &routes[i]);
		if (err)
			return err;
	}
	return SM_OK;
}

/* false: some callback has not come back; its memory must stay. */
static bool wait_for_none(struct web *web)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WEB_STOP_MS / 1000;
	int failed = 0;
	pthread_mutex_lock(&web->lock);
	while ((web->documents || web->ticking || web->ticker_lives) && failed != ETIMEDOUT)
		failed = pthread_cond_timedwait(&web->idle, &web->lock, &until);
	bool none = !web->documents && !web->ticking && !web->ticker_lives;
	pthread_mutex_unlock(&web->lock);
	return none;
}

void web_free(struct web *web)
{
	if (!web)
		return;
	if (web->ticker)
		sm_stop(web->ticker);
	if (!wait_for_none(web))
		return;
	http_events_free(web->events);
	sm_unref(web->ticker);
	pthread_cond_destroy(&web->idle);
	pthread_mutex_destroy(&web->lock);
	free(web);
}
