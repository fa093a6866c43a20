/* TLS for listeners: certificates, and who the clients are. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <smack/error.h>
#include <stdbool.h>

struct sm_system;
struct net_tls;
/* Kafka's ssl.client.auth: must clients show a certificate? */
enum net_tls_clients { NET_TLS_NONE, NET_TLS_REQUESTED, NET_TLS_REQUIRED };
struct net_tls_options {
	struct sm_system *system; /* its pool reads the files again */
	const char *certificate;  /* PEM file: the server's certificate, then those between it and the root. Copied, as the others */
	const char *key;          /* PEM file with its private key, which others must not read */
	const char *client_ca;    /* PEM file with the certificates that may vouch for clients; needed unless clients is NET_TLS_NONE */
	enum net_tls_clients clients;
	/* For net_adopt's connections to servers: client_ca vouches for the server, the certificate is shown to it. `clients` is
	 * NET_TLS_REQUIRED. */
	bool for_clients;
};
/* TLS 1.2 and 1.3; no renegotiation, no compression, no resumption. The files are looked at again every NET_TLS_LOOK_MS at most, when a
 * client connects: new ones count from then on, wrong ones leave what was there and are told in the log.
 * Errors: SM_NOT_FOUND, SM_INVALID (no PEM, a key that does not fit), SM_DENIED (others may read the key). Blocks. */
SM_MUST_CHECK enum sm_err net_tls_new(const struct net_tls_options *options, struct net_tls **ret_tls, struct sm_error *reterr);
/* After the listeners that use it. Waits for a look at the files that is under way. NULL is allowed. Thread: no dispatcher. */
void net_tls_free(struct net_tls *tls);
/* Whether every client has shown a certificate that client_ca vouches for. */
bool net_tls_asks_clients(const struct net_tls *tls);
/* The public key of the certificate that is served now, as clients pin it: "sha256//" and Base64 (RFC 7469's hash). Errors: SM_NO_MEMORY.
 */
#define NET_TLS_PIN_MAX 64
SM_MUST_CHECK enum sm_err net_tls_pin(struct net_tls *tls, char ret_pin[NET_TLS_PIN_MAX]);
/* Wait until the files have been looked at; for tests. */
void net_tls_look(struct net_tls *tls);

#endif
