/* Listing 08: three actors take a JSON request, parse it into an event, and write it to the store.
 *
 *	class HttpActor extends Actor {
 *	  def receive = {
 *	    case req: HttpRequest => system.actorOf(Props[JsonParserActor]) ! req.body
 *	    case e: Event => system.actorOf(Props[CassandraWriterActor]) ! e
 *	  }
 *	}
 *	class JsonParserActor: case s: String => Try(Json.parse(s).as[Event]) match {
 *	  case Failure(ex) => //error handling code
 *	  case Success(event) => sender ! event }
 *	class CassandraWriterActor: val session = Cluster.builder().addContactPoint("cassandra.host").build().connect()
 *	  case event: Event => Try(session.execute(statement with QUORUM)) match {
 *	    case Failure(ex) => //error handling code
 *	    case Success => sender ! WriteSuccessfull }
 *
 * The original ends where the errors begin; here every request is answered, and an actor that fails is restarted by the one above it: when
 * the server is gone the writer fails, and comes back with a new session when it can. A write is answered after the sync that covers it.
 *
 *	08-three-actors 8081                    ($SMACK_DATA says where the server's data lie; needs table ads.event)
 *	curl -H 'Content-Type: application/json' -d '{"id": ...}' localhost:8081/event
 *	curl -X DELETE localhost:8081/actor/writer      (kill it, to see it restarted) */
#include <signal.h>
#include <smack/event.h>
#include <smack/http.h>
#include <smack/session.h>
#include <smack/store.h>
#include <stdio.h>
#include <stdlib.h>

/* One message goes from actor to actor and takes the request along; its type says what it is by now. */
struct work {
	struct sm_msg msg; /* its sender is the HttpActor */
	struct sm_http_request *request;
	struct sm_event event;
	enum sm_err err;
	struct sm_ref *writer;
};

static struct sm_http_request *take_request(struct work *w)
{
	struct sm_http_request *request = w->request;
	w->request = NULL;
	return request;
}

/* Whoever loses the message, by a failure or because it is gone: the client gets an answer. */
static void work_done(struct sm_msg *msg)
{
	struct work *w = (struct work *)msg;
	sm_http_drop(w->request);
	sm_unref(w->writer);
	free(w);
}
static const struct sm_msg_type body_type = {"body", work_done}, event_type = {"event", work_done},
				write_ended_type = {"write ended", work_done}, write_successful_type = {"write successful", work_done};

/* `to ! message`, for the message that is being handled. */
static enum sm_err pass(struct sm_actor *self, struct work *w, const struct sm_msg_type *type, struct sm_ref *to)
{
	sm_msg_keep(self);
	w->msg.type = type;
	enum sm_err err = sm_send(to, &w->msg);
	if (err) {
		sm_http_reply_error(take_request(w), err, NULL);
		sm_msg_free(&w->msg);
	}
	return SM_OK;
}

/* ---- JsonParserActor ---- */

static enum sm_err parser_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct work *w = (struct work *)msg;
	char *problems = NULL;
	if (msg->type != &body_type)
		return SM_INVALID; /* a message that it does not know makes an actor fail */
	struct sm_bytes body = sm_http_body(w->request);
	if (sm_event_parse(body.data, body.size, &w->event, &problems) == SM_OK)
		return pass(self, w, &event_type, msg->sender);
	sm_http_reply(take_request(w), 400, "application/json", (struct sm_bytes){problems, problems ? strlen(problems) : 0});
	free(problems);
	return SM_OK;
}

/* ---- CassandraWriterActor ---- */

struct writer {
	struct sm_session *session;
};

/* At the start and at each restart: a new session. */
static enum sm_err writer_init(struct sm_actor *self, void *state, void *arg)
{
	return sm_connect(NULL, &((struct writer *)state)->session, NULL);
}

static void writer_done(struct sm_actor *self, void *state)
{
	sm_disconnect(((struct writer *)state)->session);
}

/* On a thread of the session. */
static void write_ended(void *arg, enum sm_err err)
{
	struct work *w = arg;
	struct sm_ref *writer = sm_ref_get(w->writer);
	w->err = err;
	w->msg.type = &write_ended_type;
	if (sm_send_reply(writer, &w->msg))
		sm_msg_free(&w->msg);
	sm_unref(writer);
}

static enum sm_err writer_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct work *w = (struct work *)msg;
	enum sm_err err = SM_INVALID;
	if (msg->type == &write_ended_type) {
		if (!(err = w->err))
			return pass(self, w, &write_successful_type, msg->sender);
	} else if (msg->type == &event_type) {
		const struct sm_event *e = &w->event;
		struct sm_column_value row[] = {{"id", sm_uuid(&e->id)},
						{"ad_id", sm_uuid(&e->ad_id)},
						{"campaign", sm_uuid(&e->campaign)},
						{"ts", sm_integer(e->ts)},
						{"type", sm_text(sm_event_type_name(e->type))}};
		w->writer = sm_ref_get(sm_self(self));
		err = sm_store_put_then(sm_session_store(((struct writer *)state)->session), "ads.event", row, 5, write_ended, w, NULL);
		if (!err) {
			sm_msg_keep(self);
			return SM_OK;
		}
	}
	return err; /* it fails, and is restarted with a new session */
}

/* ---- HttpActor ---- */

struct http {
	struct sm_ref *parser, *writer;
};

static enum sm_err http_init(struct sm_actor *self, void *state, void *arg)
{
	struct http *h = state;
	const struct sm_supervision restart = {.restarts_max = 100, .window_ms = 60000, .backoff_min_ms = 100, .backoff_max_ms = 2000};
	const struct sm_props parser = {.name = "parser", .receive = parser_receive, .dispatcher = -1, .supervision = restart};
	const struct sm_props writer = {.name = "writer",
					.state_size = sizeof(struct writer),
					.init = writer_init,
					.receive = writer_receive,
					.done = writer_done,
					.dispatcher = -1,
					.supervision = restart};
	enum sm_err err = sm_spawn(sm_actor_system(self), self, &parser, &h->parser);
	return err ? err : sm_spawn(sm_actor_system(self), self, &writer, &h->writer);
}

static void http_done(struct sm_actor *self, void *state)
{
	struct http *h = state;
	sm_unref(h->parser);
	sm_unref(h->writer);
}

static void kill_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type kill_type = {"kill", kill_done};

static void kill_child(struct http *h, struct sm_http_request *request)
{
	struct sm_bytes name = sm_http_param(request, 0);
	bool writer = name.size == 6 && memcmp(name.data, "writer", 6) == 0;
	struct sm_msg *msg = calloc(1, sizeof *msg);
	if (msg)
		*msg = (struct sm_msg){.type = &kill_type};
	if (msg && sm_send(writer ? h->writer : h->parser, msg))
		sm_msg_free(msg);
	sm_http_reply(request, 202, NULL, (struct sm_bytes){0});
}

static enum sm_err http_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct http *h = state;
	struct work *w = (struct work *)msg;
	if (msg->type == &sm_msg_http_request) {
		struct sm_http_request *request = sm_http_take(msg);
		if (strcmp(sm_http_method(request), "DELETE") == 0) {
			kill_child(h, request);
			return SM_OK;
		}
		if (!(w = calloc(1, sizeof *w))) {
			sm_http_drop(request);
			return SM_OK;
		}
		w->msg = (struct sm_msg){.type = &body_type, .sender = sm_ref_get(sm_self(self))};
		w->request = request;
		if (sm_send(h->parser, &w->msg))
			sm_msg_free(&w->msg);
		return SM_OK;
	}
	if (msg->type == &event_type)
		return pass(self, w, &event_type, h->writer);
	if (msg->type == &write_successful_type)
		sm_http_reply(take_request(w), 201, NULL, (struct sm_bytes){0});
	return SM_OK;
}

int main(int argc, char **argv)
{
	struct sm_error error = {0};
	struct sm_system *system;
	struct sm_ref *http = NULL;
	struct sm_http_server *server = NULL;
	int number;
	sigset_t end;
	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	const struct sm_props props = {.name = "http",
				       .state_size = sizeof(struct http),
				       .init = http_init,
				       .receive = http_receive,
				       .done = http_done,
				       .dispatcher = -1};
	enum sm_err err = sm_system_new(&(struct sm_system_options){.dispatchers = 2}, &system, &error);
	if (err)
		return fprintf(stderr, "three-actors: %s\n", error.text), 1;
	if ((err = sm_spawn(system, NULL, &props, &http)))
		sm_fail(&error, err, "%s", sm_err_text(err));
	const struct sm_http_route routes[] = {
		{.method = "POST", .pattern = "/event", .to = http}, {.method = "DELETE", .pattern = "/actor/{name}", .to = http}, {0}};
	struct sm_http_options options = {.system = system, .port = (uint16_t)atoi(argc > 1 ? argv[1] : "8081")};
	if (!err && !(err = sm_http_start(&options, routes, &server, &error))) {
		printf("http://127.0.0.1:%u\n", sm_http_port(server));
		fflush(stdout);
		sigwait(&end, &number);
	}
	if (err)
		fprintf(stderr, "three-actors: %s\n", error.text);
	sm_http_stop(server, 2000);
	sm_unref(http);
	(void)!sm_system_stop(system, 3000);
	return err ? 1 : 0;
}
