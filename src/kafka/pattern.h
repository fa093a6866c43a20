/* Patterns of topic names, in the syntax of RE2J (which Kafka 4.1 uses for subscriptions), matched in time linear to the name.
 *
 * Source: the syntax page of RE2. Topic names are ASCII, so a pattern's character is a set of ASCII characters; others match nothing.
 * Refused, unlike there: \p{...} and \pX, and what needs more than KAFKA_PATTERN_PROGRAM_MAX instructions. */
#ifndef KAFKA_PATTERN_H
#define KAFKA_PATTERN_H

#include "base/bytes.h"

struct pattern;
/* Errors: SM_INVALID (*ret_why says why, static text), SM_TOO_LARGE (the same), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err pattern__new(struct bytes text, struct pattern **ret_pattern, const char **ret_why);
void pattern__free(struct pattern *pattern);
/* The whole name matches. Not for two threads at once. */
bool pattern__matches(struct pattern *pattern, const char *name);

#endif
