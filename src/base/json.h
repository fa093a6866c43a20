/* JSON of the control plane (REST documents, schemas, metadata). jansson stands behind it: strict, with line numbers.
 * Events do not come through here: base/schema.h scans them. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include <jansson.h>

#define JSON_DEPTH_MAX 64
/* Parse one document. The error names line and column. Errors: SM_SYNTAX. Release with json_decref. */
SM_MUST_CHECK enum sm_err json_parse(struct bytes text, json_t **ret_json, struct sm_error *reterr);
/* Compact text, appended. */
void json_write(const json_t *json, struct buf *out);
void json_write_pretty(const json_t *json, struct buf *out);
/* Members with a default when absent; SM_TYPE names the member when it has another type. */
SM_MUST_CHECK enum sm_err json_get_string(const json_t *object, const char *name, const char *absent, const char **ret,
					  struct sm_error *reterr);
SM_MUST_CHECK enum sm_err json_get_int(const json_t *object, const char *name, int64_t absent, int64_t *ret, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err json_get_real(const json_t *object, const char *name, double absent, double *ret, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err json_get_bool(const json_t *object, const char *name, bool absent, bool *ret, struct sm_error *reterr);

#endif
