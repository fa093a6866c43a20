/* <smack/event.h>: the examples' ad event, on top of the schema scanner. */
#include <smack/event.h>
#include "base/schema.h"
#include "base/uuid.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const char document[] =
	"{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"title\": \"ad event\", \"type\": \"object\",\n"
	" \"properties\": {\n"
	"  \"id\": {\"type\": \"string\", \"format\": \"uuid\"},\n"
	"  \"ad_id\": {\"type\": \"string\", \"format\": \"uuid\"},\n"
	"  \"campaign\": {\"type\": \"string\", \"format\": \"uuid\"},\n"
	"  \"ts\": {\"type\": \"integer\"},\n"
	"  \"type\": {\"type\": \"string\", \"enum\": [\"view\", \"click\"]}},\n"
	" \"required\": [\"id\", \"ad_id\", \"campaign\", \"ts\", \"type\"]}\n";
enum { EVENT_ID, EVENT_AD_ID, EVENT_CAMPAIGN, EVENT_TS, EVENT_TYPE, EVENT_FIELDS };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct schema *event_schema; /* lives as long as the program */
static enum sm_err compile_err;

static void compile(void)
{
	compile_err = schema_compile(bytes_str(document), &event_schema, NULL);
}

const char *sm_event_schema(void)
{
	return document;
}

const char *sm_event_type_name(enum sm_event_type type)
{
	return type == SM_EVENT_VIEW ? "view" : "click";
}

static struct sm_uuid uuid_of(const struct event_value *v)
{
	struct sm_uuid uuid;
	memcpy(uuid.bytes, v->uuid, 16);
	return uuid;
}

static char *problems_text(const struct event_problems *problems)
{
	struct buf out;
	buf_init(&out);
	event_problems_json(problems, &out);
	buf_u8(&out, 0);
	char *text = out.failed || !out.data ? NULL : strdup((const char *)buf_bytes(&out).data);
	buf_done(&out);
	return text;
}

enum sm_err sm_event_parse(const char *text, size_t size, struct sm_event *ret_event, char **ret_problems)
{
	struct event_value v[EVENT_FIELDS];
	struct event_problems problems = {.count = 0};
	struct arena arena;
	pthread_once(&once, compile);
	if (compile_err)
		return compile_err;
	arena_init(&arena, 0);
	enum sm_err err = event_scan(event_schema, bytes_of(text, size), v, &arena, &problems);
	if (!err)
		*ret_event = (struct sm_event){.id = uuid_of(&v[EVENT_ID]),
					       .ad_id = uuid_of(&v[EVENT_AD_ID]),
					       .campaign = uuid_of(&v[EVENT_CAMPAIGN]),
					       .ts = v[EVENT_TS].integer,
					       .type = bytes_equal(v[EVENT_TYPE].text, BYTES("view")) ? SM_EVENT_VIEW : SM_EVENT_CLICK};
	if (err == SM_INVALID && ret_problems && !(*ret_problems = problems_text(&problems)))
		err = SM_NO_MEMORY;
	arena_done(&arena);
	return err;
}

static void format(const struct sm_uuid *from, char out[37])
{
	struct uuid uuid;
	memcpy(uuid.bytes, from->bytes, 16);
	uuid_format(&uuid, out);
}

size_t sm_event_write(const struct sm_event *event, char out[SM_EVENT_JSON_MAX])
{
	char id[37], ad_id[37], campaign[37];
	format(&event->id, id);
	format(&event->ad_id, ad_id);
	format(&event->campaign, campaign);
	return (size_t)snprintf(out, SM_EVENT_JSON_MAX, "{\"id\":\"%s\",\"ad_id\":\"%s\",\"campaign\":\"%s\",\"ts\":%lld,\"type\":\"%s\"}",
				id, ad_id, campaign, (long long)event->ts, sm_event_type_name(event->type));
}
