/* The ad event of the examples: {"id":uuid,"ad_id":uuid,"campaign":uuid,"ts":ms,"type":"view"|"click"}. */
#ifndef SMACK_EVENT_H
#define SMACK_EVENT_H

#include <smack/row.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sm_event_type { SM_EVENT_VIEW, SM_EVENT_CLICK };
struct sm_event {
	struct sm_uuid id, ad_id, campaign;
	int64_t ts; /* ms since 1970 */
	enum sm_event_type type;
};
SM_EXPORT const char *sm_event_type_name(enum sm_event_type type); /* "view", "click" */

/* The schema (JSON Schema) that events are checked against. */
SM_EXPORT const char *sm_event_schema(void);
/* One JSON document, nothing after it. On SM_INVALID *ret_problems (may be NULL; free() it) is a flat JSON map from path to reasons, as in
 * {"obj.ts":["error.path.missing"]}. Errors: SM_INVALID, SM_NO_MEMORY. Thread: any. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_event_parse(const char *text, size_t size, struct sm_event *ret_event, char **ret_problems);
/* The event as JSON, terminated; always shorter than SM_EVENT_JSON_MAX. Returns its length. */
#define SM_EVENT_JSON_MAX 256
SM_EXPORT size_t sm_event_write(const struct sm_event *event, char out[SM_EVENT_JSON_MAX]);

#ifdef __cplusplus
}
#endif
#endif
