/* HOST:PORT, read and written; and what addresses of other systems have in common: SCHEME://HOST:PORT,...?name=value&name=value, and
 * passwords that lie in files beside them. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <smack/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_HOST_MAX 255 /* bytes of a host: a DNS name's bound */
/* HOST:PORT, where an IPv6 address stands in brackets; host is written without them. port_default: of one without a port; 0: it must have
 * one. false: it is none. */
bool address_point(const char *at, size_t size, uint16_t port_default, char host[ADDRESS_HOST_MAX + 1], uint16_t *ret_port);
/* And back, with brackets where host is an IPv6 address; cut at size. Returns out. */
const char *address_text(const char *host, uint16_t port, char *out, size_t size);
/* Of what address_text has written, the host; what has no port ("unix") is one as it is. Returns out. */
const char *address_host(const char *text, char *out, size_t size);

/* Each setting of a query, "name=value&name=value" with %XX for a byte of a value, in turn; empty ones are passed over. The copies are
 * wiped. Errors: SM_INVALID (a setting that is none, named), SM_NO_MEMORY, those of take. */
typedef enum sm_err (*address_take)(void *arg, const char *name, const char *value, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err address_settings(const char *query, address_take take, void *arg, struct sm_error *reterr);

/* The first line of a file, which nobody but its owner may read. name: of the setting, for errors. Errors: SM_DENIED (others may read it),
 * those of reading a file of up to size - 1 bytes. */
SM_MUST_CHECK enum sm_err address_password(const char *name, const char *path, char *out, size_t size, struct sm_error *reterr);

#endif
