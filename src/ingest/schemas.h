/* Schemas of topics that are set while the server runs: versions, checked against each other, in files that a restart finds.
 *
 * REST (on loopback only; schemas_rest.c):
 *  GET    /schemas                             [{"topic":"orders","version":3,"compatibility":"BACKWARD"},...]
 *  GET    /schemas/{topic}                     the latest: {"topic":..,"version":..,"key":..,"schema":{...}}
 *  GET    /schemas/{topic}/versions            [1,2,3]
 *  GET    /schemas/{topic}/versions/{version}  one of them, or "latest"
 *  PUT, POST /schemas/{topic}?key=FIELD        the body, a schema, is the next version: 201; 200 if it is what the latest is. key: as in
 *                                              the configuration; without it that of the version before stays
 *  POST   /schemas/{topic}/check               would it be taken? {"compatible":false,"incompatible":{...}}
 *  GET, PUT /schemas/{topic}/compatibility     {"compatibility":"BACKWARD"}: BACKWARD, FORWARD, FULL or NONE
 *  DELETE /schemas/{topic}                     all versions: the topic takes any JSON again
 * A new version must take all that the latest took (BACKWARD; FORWARD: the reverse; FULL: both; NONE: nothing is compared), else it is 409
 * with {"message":..,"incompatible":{"obj.x":["is required in the new schema only"]}}; what base/schema.h does not name is 422 and named.
 * A topic whose schema is in the configuration is read here and changed there: 409. Events that are answered before the PUT is were checked
 * by the schema before; those that are sent after its answer, by the new one. */
#ifndef INGEST_SCHEMAS_H
#define INGEST_SCHEMAS_H

#include "base/schema.h"
#include "log/log.h"
#include "net/http.h"
#include <stdatomic.h>

struct schemas;
struct schemas_options {
	struct sm_system *system;
	struct sm_log *log;
	const char *dir; /* made if it is not there: TOPIC.json each (schemas_file.c) */
	/* The schema that the configuration has for a topic: its document and key (NULL: none). Document NULL: it has none. They live as
	 * long as the schemas do. Thread: any. */
	void (*configured)(void *arg, const char *topic, const char **ret_document, const char **ret_key);
	void *arg;
};
/* Errors: those of reading the files, SM_CORRUPT (one is not what was written), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err schemas_open(const struct schemas_options *options, struct schemas **ret_schemas, struct sm_error *reterr);
/* After http_server_free. Waits for changes under way. */
void schemas_free(struct schemas *schemas);
SM_MUST_CHECK enum sm_err schemas_routes(struct schemas *schemas, struct http_server *server);

/* The latest version of a topic. Counted. */
struct topic_schema {
	struct schema *schema;
	char *key; /* NULL: none */
	uint32_t version;
	atomic_uint refs;
};
/* NULL: the topic has none here. Thread: any. */
struct topic_schema *schemas_get(struct schemas *schemas, const char *topic);
void topic_schema_unref(struct topic_schema *schema);
/* The latest one, which then lives until schemas_free. NULL: none, or no memory. Thread: any. */
const struct schema *schemas_keep(struct schemas *schemas, const char *topic);
/* Its document, appended; false: none. Thread: any. */
bool schemas_document(struct schemas *schemas, const char *topic, struct buf *out);
/* Another number after each change. Thread: any. */
uint64_t schemas_changes(const struct schemas *schemas);

#endif
