/* SQL from the command line: over a session's engines, with the server's schemas of topics. */
#ifndef CLI_SQL_SESSION_H
#define CLI_SQL_SESSION_H

#include "remote/remote.h"
#include <stdio.h>

/* Run all statements of text in order; SELECTs print tables, INSERTs how many rows they wrote. parameters: name=value for what is written
 * :name in the text, whole numbers as such and anything else as text; ends with NULL; may be NULL. */
SM_MUST_CHECK enum sm_err sql_session_print(struct sm_session *session, const char *keyspace, struct bytes text, char *const *parameters,
					    FILE *out, struct sm_error *reterr);

#endif
