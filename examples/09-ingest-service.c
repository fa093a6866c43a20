/* Listing 09: an HTTP service that checks events and produces them to a topic.
 *
 *	val topic = "raw_events"
 *	val routes: Route = {
 *	  post { decodeRequest { entity(as[String]) { str =>
 *	    JsonParser.parse(str).validate[Event] match {
 *	      case s: JsSuccess[String] => producer.send(new KeyedMessage(topic, str))
 *	      case e: JsError => BadRequest -> JsError.toFlatJson(e).toString()
 *	    }}}}}
 *	object AkkaHttpMicroservice extends App with Service {
 *	  Http().bindAndHandle(routes, config.getString("http.interface"), config.getInt("http.port"))
 *	}
 *
 * decodeRequest is the server's own business here (gzip). The original answers before the event is on disk, this one after. The platform
 * has this service built in, as POST /ingest/{topic}; this is how to make one's own.
 *
 *	09-ingest-service 8081                  ($SMACK_DATA says where the server's data lie; needs topic raw_events)
 *	gzip < event.json | curl -H 'Content-Type: application/json' -H 'Content-Encoding: gzip' --data-binary @- localhost:8081/ */
#include <signal.h>
#include <smack/event.h>
#include <smack/http.h>
#include <smack/log.h>
#include <smack/session.h>
#include <stdio.h>
#include <stdlib.h>

static const char topic[] = "raw_events";

/* On a thread of the session, when the event is on disk. */
static void produced(void *request, enum sm_err err, struct sm_log_position position)
{
	if (err)
		sm_http_reply_error(request, err, NULL);
	else
		sm_http_reply(request, 202, NULL, (struct sm_bytes){0});
}

static void post_event(struct sm_http_request *request, void *log)
{
	struct sm_bytes str = sm_http_body(request);
	struct sm_event event;
	char *problems = NULL, campaign[37];
	enum sm_err err = sm_event_parse(str.data, str.size, &event, &problems);
	if (err == SM_INVALID) {
		sm_http_reply(request, 400, "application/json", (struct sm_bytes){problems, strlen(problems)});
	} else {
		if (!err) {
			sm_uuid_format(&event.campaign, campaign);
			err = sm_log_append_then(log, topic, (struct sm_bytes){campaign, 36}, str, produced, request);
		}
		if (err)
			sm_http_reply_error(request, err, NULL);
	}
	free(problems);
}

int main(int argc, char **argv)
{
	struct sm_error error = {0};
	struct sm_session *session = NULL;
	struct sm_system *system = NULL;
	struct sm_http_server *server = NULL;
	int number;
	sigset_t end;
	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	enum sm_err err = sm_connect(NULL, &session, &error);
	if (!err)
		err = sm_system_new(&(struct sm_system_options){.dispatchers = 2}, &system, &error);
	if (!err) {
		const struct sm_http_route routes[] = {
			{.method = "POST", .pattern = "/", .handle = post_event, .arg = sm_session_log(session)}, {0}};
		struct sm_http_options options = {.system = system, .port = (uint16_t)atoi(argc > 1 ? argv[1] : "8081")};
		err = sm_http_start(&options, routes, &server, &error);
	}
	if (err) {
		fprintf(stderr, "ingest-service: %s\n", error.text);
	} else {
		printf("http://127.0.0.1:%u\n", sm_http_port(server));
		fflush(stdout);
		sigwait(&end, &number);
	}
	sm_http_stop(server, 2000);
	sm_disconnect(session);
	if (system)
		(void)!sm_system_stop(system, 3000);
	return err ? 1 : 0;
}
