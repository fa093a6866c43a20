/* `smack app` and `smack job`: Marathon's and Chronos' REST from the command line. */
#include "base/json.h"
#include "cli/command.h"
#include "net/http.h"
#include <stdio.h>
#include <stdlib.h>

struct arguments {
	const char *data;
	char *words[2]; /* action; a file, or an app's or job's name */
	int word_count;
	bool errors; /* logs: stderr instead of stdout */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'd': a->data = arg; break;
	case 'E': a->errors = true; break;
	case ARGP_KEY_ARG:
		if (a->word_count == 2)
			argp_error(state, "one at a time");
		else
			a->words[a->word_count++] = arg;
		break;
	case ARGP_KEY_END:
		if (!a->word_count)
			argp_error(state, "say what to do; `%s --help` lists it", state->name);
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

struct rest {
	struct sm_session *session;
	struct server_info info;
	struct http_client *client;
};

static enum sm_err rest_open(struct rest *r, const char *data, struct sm_error *reterr)
{
	enum sm_err err = sm_connect(data, &r->session, reterr);
	if (!err)
		err = server_info(r->session, &r->info, reterr);
	if (!err && (err = http_client_new(&r->client)))
		sm_fail(reterr, err, "%s", sm_err_text(err));
	if (!err)
		http_client_pin(r->client, r->info.pin);
	return err;
}

static void rest_close(struct rest *r)
{
	http_client_free(r->client);
	sm_disconnect(r->session);
}

/* One request; a status from 400 on is an error with the server's message. */
static enum sm_err rest_do(struct rest *r, const char *method, const char *path, struct bytes body, struct http_response *response,
			   struct sm_error *reterr)
{
	char url[4200];
	const char *const headers[] = {"Content-Type: application/json", NULL};
	snprintf(url, sizeof url, "%s%s", r->info.url, path);
	enum sm_err err = http_client_do(r->client, method, url, headers, body, 30000, response, reterr);
	if (err || response->status < 400)
		return err;
	json_t *json = NULL;
	const char *message = NULL;
	if (!json_parse(buf_bytes(&response->body), &json, NULL)) {
		/* {"message", "details": [{"path", "errors": [..]}]}: the first of the details says more. */
		const json_t *detail = json_array_get(json_object_get(json, "details"), 0);
		message = json_string_value(json_array_get(json_object_get(detail, "errors"), 0));
		if (!message)
			message = json_string_value(json_object_get(json, "message"));
	}
	struct bytes text = message ? bytes_str(message) : buf_bytes(&response->body);
	err = sm_fail(reterr, response->status == 404 ? SM_NOT_FOUND : SM_FAILED, "%s %s: %d %.*s", method, path, response->status,
		      (int)text.size, (const char *)text.data);
	json_decref(json);
	http_response_done(response);
	return err;
}

/* The name as a part of a path; slashes of app ids stay. */
static const char *encode(const char *name, char *out, size_t size)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;
	for (; *name && n + 4 < size; name++) {
		unsigned char c = (unsigned char)*name;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("/-._~", c)) {
			out[n++] = *name;
		} else {
			out[n++] = '%';
			out[n++] = hex[c >> 4];
			out[n++] = hex[c & 15];
		}
	}
	out[n] = 0;
	return out;
}

static const char *app_path(const char *id, const char *rest, char *out, size_t size)
{
	char name[3000];
	snprintf(out, size, "/v2/apps/%s%s", encode(id + (*id == '/'), name, sizeof name), rest);
	return out;
}

static const char *job_path(const char *kind, const char *name, char *out, size_t size)
{
	char encoded[3000];
	snprintf(out, size, "/v1/scheduler/%s/%s", kind, encode(name, encoded, sizeof encoded));
	return out;
}

/* An app is made with POST; one that is there already is replaced with PUT. */
static enum sm_err apply_app(struct rest *r, const json_t *document, struct bytes text, struct sm_error *reterr)
{
	char path[4096];
	struct http_response response;
	const char *id;
	enum sm_err err = json_get_string(document, "id", NULL, &id, reterr);
	if (err)
		return err;
	if (!id)
		return sm_fail(reterr, SM_INVALID, "the document has no \"id\"");
	struct http_response there;
	bool exists = !rest_do(r, "GET", app_path(id, "", path, sizeof path), (struct bytes){0}, &there, NULL);
	if (exists)
		http_response_done(&there);
	err = exists ? rest_do(r, "PUT", app_path(id, "?partialUpdate=false", path, sizeof path), text, &response, reterr)
		     : rest_do(r, "POST", "/v2/apps", text, &response, reterr);
	if (err)
		return err;
	printf("%s %s\n", id, exists ? "changed" : "created");
	http_response_done(&response);
	return SM_OK;
}

static enum sm_err apply_job(struct rest *r, const json_t *document, struct bytes text, struct sm_error *reterr)
{
	struct http_response response;
	const char *name = json_string_value(json_object_get(document, "name"));
	bool dependent = json_object_get(document, "parents") != NULL;
	enum sm_err err = rest_do(r, "POST", dependent ? "/v1/scheduler/dependency" : "/v1/scheduler/iso8601", text, &response, reterr);
	if (err)
		return err;
	printf("%s applied\n", name ? name : "job");
	http_response_done(&response);
	return SM_OK;
}

static enum sm_err apply(struct rest *r, bool app, const char *file, struct sm_error *reterr)
{
	struct buf text;
	json_t *document = NULL;
	buf_init(&text);
	enum sm_err err = command_text(NULL, file, &text, reterr);
	if (!err && (err = json_parse(buf_bytes(&text), &document, reterr)))
		sm_error_prefix(reterr, "%s", file);
	if (!err)
		err = app ? apply_app(r, document, buf_bytes(&text), reterr) : apply_job(r, document, buf_bytes(&text), reterr);
	json_decref(document);
	buf_done(&text);
	return err;
}

static enum sm_err list(struct rest *r, bool app, struct sm_error *reterr)
{
	struct http_response response;
	enum sm_err err = rest_do(r, "GET", app ? "/v2/apps" : "/v1/scheduler/jobs", (struct bytes){0}, &response, reterr);
	if (err)
		return err;
	json_t *json = NULL;
	err = json_parse(buf_bytes(&response.body), &json, reterr);
	http_response_done(&response);
	const json_t *items = app ? json_object_get(json, "apps") : json;
	size_t i;
	const json_t *item;
	struct text_table *table = text_table_new(app ? 3 : 4);
	static const char *const headings[2][4] = {{"job", "schedule", "succeeded", "failed"}, {"app", "running", "instances", NULL}};
	for (int c = 0; c < (app ? 3 : 4); c++)
		text_table_cell(table, headings[app][c], c > (app ? 0 : 1));
	json_array_foreach((json_t *)(uintptr_t)items, i, item)
	{
		char number[2][32];
		json_int_t a = json_integer_value(json_object_get(item, app ? "tasksRunning" : "successCount"));
		json_int_t b = json_integer_value(json_object_get(item, app ? "instances" : "errorCount"));
		snprintf(number[0], sizeof number[0], "%lld", (long long)a);
		snprintf(number[1], sizeof number[1], "%lld", (long long)b);
		text_table_cell(table, json_string_value(json_object_get(item, app ? "id" : "name")), false);
		if (!app) {
			const char *schedule = json_string_value(json_object_get(item, "schedule"));
			text_table_cell(table, schedule ? schedule : "after its parents", false);
		}
		text_table_cell(table, number[0], true);
		text_table_cell(table, number[1], true);
	}
	if (!err)
		text_table_print(table, stdout);
	text_table_free(table);
	json_decref(json);
	return err;
}

static enum sm_err send_simple(struct rest *r, const char *method, const char *path, const char *done, const char *name,
			       struct sm_error *reterr)
{
	struct http_response response;
	enum sm_err err = rest_do(r, method, path, (struct bytes){0}, &response, reterr);
	if (err)
		return err;
	printf("%s %s\n", name, done);
	http_response_done(&response);
	return SM_OK;
}

/* The output of the newest task: /smack/logs/apps/ID, /smack/logs/jobs/NAME. */
static enum sm_err logs(struct rest *r, bool app, const struct arguments *a, struct sm_error *reterr)
{
	char path[4096], name[3000];
	struct http_response response;
	const char *id = a->words[1];
	snprintf(path, sizeof path, "/smack/logs/%s/%s%s", app ? "apps" : "jobs", encode(id + (app && *id == '/'), name, sizeof name),
		 a->errors ? "?stream=stderr" : "");
	enum sm_err err = rest_do(r, "GET", path, (struct bytes){0}, &response, reterr);
	if (err)
		return err;
	fwrite(buf_bytes(&response.body).data, 1, buf_size(&response.body), stdout);
	http_response_done(&response);
	return SM_OK;
}

static int run(const struct arguments *a, bool app)
{
	static const char *const app_actions[] = {"list", "apply", "kill", "restart", "logs", NULL}, *const job_actions[] = {
													     "list", "apply", "run",
													     "kill", "logs",  NULL};
	const char *action = a->words[0], *name = a->words[1];
	if (!command_is_one_of(action, app ? app_actions : job_actions)) {
		fprintf(stderr, "smack: unknown action '%s': list, apply, %s, kill or logs\n", action, app ? "restart" : "run");
		return STATUS_USAGE;
	}
	if (strcmp(action, "list") != 0 && a->word_count < 2) {
		fprintf(stderr, "smack: name %s: smack %s %s %s\n",
			strcmp(action, "apply") == 0 ? "the file"
			: app                        ? "the app"
						     : "the job",
			app ? "app" : "job", action, strcmp(action, "apply") == 0 ? "FILE" : "NAME");
		return STATUS_USAGE;
	}
	struct sm_error error = {0};
	struct rest rest = {0};
	char path[4096];
	enum sm_err err = rest_open(&rest, a->data, &error);
	if (err)
		;
	else if (strcmp(action, "list") == 0)
		err = list(&rest, app, &error);
	else if (strcmp(action, "apply") == 0)
		err = apply(&rest, app, name, &error);
	else if (strcmp(action, "kill") == 0)
		err = send_simple(&rest, "DELETE", app ? app_path(name, "", path, sizeof path) : job_path("job", name, path, sizeof path),
				  "removed", name, &error);
	else if (strcmp(action, "run") == 0)
		err = send_simple(&rest, "PUT", job_path("job", name, path, sizeof path), "started", name, &error);
	else if (strcmp(action, "restart") == 0)
		err = send_simple(&rest, "POST", app_path(name, "/restart", path, sizeof path), "restarted", name, &error);
	else
		err = logs(&rest, app, a, &error);
	rest_close(&rest);
	return err ? command_failed(&error) : STATUS_OK;
}

static const struct argp_option options[] = {OPTION_DATA, {"stderr", 'E', NULL, 0, "logs: what went to standard error", 0}, {0}};

int command_app(int argc, char **argv)
{
	static const struct argp argp = {options,
					 parse,
					 "list\napply FILE\nkill ID\nrestart ID\nlogs ID",
					 "Long-running apps of a running server. FILE is a Marathon app as JSON.",
					 NULL,
					 NULL,
					 NULL};
	struct arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	return run(&a, true);
}

int command_job(int argc, char **argv)
{
	static const struct argp argp = {options,
					 parse,
					 "list\napply FILE\nrun NAME\nkill NAME\nlogs NAME",
					 "Scheduled jobs of a running server. FILE is a Chronos job as JSON; kill removes the job.",
					 NULL,
					 NULL,
					 NULL};
	struct arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	return run(&a, false);
}
