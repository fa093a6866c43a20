/* Access control lists: who may do what. As Apache Kafka's StandardAuthorizer decides: a rule that denies wins; what no rule allows is
 * denied; reading, writing, deleting and altering imply describing; super users may everything. */
#ifndef AUTH_ACL_H
#define AUTH_ACL_H

#include "auth/auth_limits.h"
#include "base/bytes.h"

enum auth_acl_word {
#define X(kind, NAME, word, number) AUTH_##kind##_##NAME = number,
#include "auth/acl.def"
#undef X
};
#define AUTH_CLUSTER_NAME "kafka-cluster" /* the one resource of its type */

/* One rule. Strings are borrowed. */
struct auth_acl {
	int8_t resource, pattern, operation, permission; /* enum auth_acl_word, no ANY; pattern: LITERAL or PREFIXED */
	const char *name;                                /* LITERAL "*": all */
	const char *principal;                           /* "User:alice"; "User:*": all */
	const char *host;                                /* an IP address; "*": all */
};
/* Which rules: ANY or NULL matches all; pattern MATCH: those that decide about the name. */
struct auth_acl_filter {
	int8_t resource, pattern, operation, permission;
	const char *name, *principal, *host;
};

struct auth_acls;
struct auth_acls_options {
	const char *path;         /* the file of rules (its format: acl.c); it need not be there yet */
	const char *super_users;  /* "User:admin;User:CN=broker,O=Example" */
	bool allow_without_rules; /* what no rule is about is allowed (Kafka's allow.everyone.if.no.acl.found) */
};
/* Errors: SM_INVALID (a line, a super user), SM_IO. Blocks. */
SM_MUST_CHECK enum sm_err auth_acls_open(const struct auth_acls_options *options, struct auth_acls **ret_acls, struct sm_error *reterr);
void auth_acls_free(struct auth_acls *acls);

/* May the principal, coming from host, do it? Thread: any; does not block. */
bool auth_may(struct auth_acls *acls, const char *principal, const char *host, enum auth_acl_word operation, enum auth_acl_word resource,
	      struct bytes name);
/* The same for some resource of this type, whatever its name. */
bool auth_may_somewhere(struct auth_acls *acls, const char *principal, const char *host, enum auth_acl_word operation,
			enum auth_acl_word resource);

/* Add rules; those that are there are there once. On disk when it returns. Errors: SM_TOO_LARGE (AUTH_ACLS_MAX), SM_NO_MEMORY, SM_IO: then
 * none was added. Blocks. */
SM_MUST_CHECK enum sm_err auth_acls_add(struct auth_acls *acls, const struct auth_acl *add, uint32_t count, struct sm_error *reterr);
/* Remove what matches one of the filters; matched is called for each filter and rule before that, and its rule is valid during the call.
 * Errors: SM_NO_MEMORY, SM_IO: then none was removed. Blocks. */
SM_MUST_CHECK enum sm_err auth_acls_remove(struct auth_acls *acls, const struct auth_acl_filter *filters, uint32_t count,
					   void (*matched)(void *arg, uint32_t filter, const struct auth_acl *acl), void *arg,
					   struct sm_error *reterr);
/* Call visit for each rule that matches; the rules are sorted by resource, pattern and name. Thread: any; does not block. */
void auth_acls_list(struct auth_acls *acls, const struct auth_acl_filter *filter, void (*visit)(void *arg, const struct auth_acl *acl),
		    void *arg);
/* What is wrong with a rule that is to be added; NULL: nothing. Kafka's texts. */
const char *auth_acl_wrong(const struct auth_acl *acl);
/* Whether the numbers of a filter are known. */
bool auth_acl_filter_ok(const struct auth_acl_filter *filter);

#endif
