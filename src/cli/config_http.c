/* The keys of HTTP: TLS on its first port, pages of other origins that may send events. */
#include "cli/config.h"
#include "net/http.h"

enum sm_err config_cors(const struct config *c, struct http_cors **ret_cors, struct sm_error *reterr)
{
	bool credentials;
	if (yes_no_parse(c->cors_credentials, &credentials))
		return sm_fail(reterr, SM_INVALID, "http.cors.credentials = %s: must be yes or no", c->cors_credentials);
	if (c->cors_max_age_ms > 86400000)
		return sm_fail(reterr, SM_INVALID, "http.cors.max_age is longer than 24h, and no browser remembers for longer");
	struct http_cors_options options = {.origins = c->cors_origins,
					    .headers = c->cors_headers,
					    .max_age_s = (uint32_t)(c->cors_max_age_ms / 1000),
					    .credentials = credentials};
	*ret_cors = NULL;
	if (!*c->cors_origins)
		return SM_OK;
	enum sm_err err = http_cors_new(&options, ret_cors, reterr);
	if (err) {
		struct sm_error why = *reterr;
		sm_fail(reterr, err, "http.cors.%s", why.text);
	}
	return err;
}

enum sm_err config_check_http(const struct config *c, struct sm_error *reterr)
{
	struct http_cors *cors = NULL;
	bool tls;
	if (yes_no_parse(c->http_tls, &tls))
		return sm_fail(reterr, SM_INVALID, "http.tls = %s: must be yes or no", c->http_tls);
	if (tls && (!*c->certificate || !*c->certificate_key))
		return sm_fail(reterr, SM_INVALID, "http.tls = yes needs security.certificate = FILE and security.key = FILE");
	enum sm_err err = config_cors(c, &cors, reterr);
	if (!err)
		http_cors_free(cors);
	return err;
}
