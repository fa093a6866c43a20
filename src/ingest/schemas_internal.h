/* Within ingest: the versions of a topic's schema, and changes of them. */
#ifndef INGEST_SCHEMAS_INTERNAL_H
#define INGEST_SCHEMAS_INTERNAL_H

#include "base/io.h"
#include "base/json.h"
#include "base/map.h"
#include "ingest/ingest_limits.h"
#include "ingest/schemas.h"
#include <pthread.h>

enum schemas_level { LEVEL_NONE, LEVEL_BACKWARD, LEVEL_FORWARD, LEVEL_FULL };

struct schemas_version {
	uint32_t number;
	char *key;       /* NULL: none */
	struct buf text; /* the document, compact */
};
struct subject {
	char *topic;
	enum schemas_level level;
	struct schemas_version *versions; /* ascending, at least one */
	uint32_t count;
	struct topic_schema *latest;
};
struct schemas {
	struct schemas_options options;
	char *dir;
	pthread_mutex_t change; /* one change at a time; held over the writing of its file; taken before lock */
	pthread_mutex_t lock;   /* what follows; held for a few instructions */
	pthread_cond_t quiet;
	uint32_t under_way;
	struct map subjects; /* by topic */
	size_t bytes;        /* of all documents */
	struct topic_schema **kept;
	uint32_t kept_count, kept_cap;
	atomic_uint_fast64_t changes;
};

/* schemas.c */
const char *schemas__level_name(enum schemas_level level);
/* False: it is none of them. */
bool schemas__level_parse(const char *text, enum schemas_level *ret);
void schemas__subject_free(struct subject *subject);
size_t schemas__subject_bytes(const struct subject *subject);
/* With the same versions and latest schema; NULL: out of memory. */
struct subject *schemas__subject_copy(const struct subject *subject);
/* Add a version. Takes schema when it succeeds. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err schemas__subject_add(struct subject *subject, uint32_t number, struct schema *schema, const char *key,
					       const json_t *document);
/* The subject of that topic is this one from now on (NULL: there is none). Takes it. Under change. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err schemas__put(struct schemas *schemas, const char *topic, struct subject *subject);

/* schemas_file.c */
SM_MUST_CHECK enum sm_err schemas__read_all(struct schemas *schemas, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err schemas__write(struct schemas *schemas, const struct subject *subject, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err schemas__remove(struct schemas *schemas, const char *topic, struct sm_error *reterr);

/* schemas_change.c: on the pool */
enum schemas_verb { CHANGE_PUT, CHANGE_CHECK, CHANGE_LEVEL, CHANGE_DELETE };
struct schemas_change {
	struct schemas *schemas;
	enum schemas_verb verb;
	char topic[250];
	const char *key; /* NULL: as it was; "": none */
	struct bytes body;
	int status; /* of the answer, which is */
	struct buf answer;
};
void schemas__change(struct schemas_change *change);

#endif
