/* Configuration: defaults, then a file, then --set, in that order. Keys are listed in config.def and config_sections.def. */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "base/address.h"
#include "base/arena.h"
#include "base/buf.h"
#include <smack/error.h>
#include <stdbool.h>
#include <stdint.h>

typedef const char *config_TEXT;
typedef uint16_t config_PORT;
typedef uint64_t config_SIZE, config_TIME, config_COUNT;

#define CONFIG_NAMED_MAX 64 /* sections of each kind */
#define CONFIG_LINE_MAX 198 /* inih's bound, less the line end */

struct config_topic {
	const char *name;
#define X(section, field, type, key, absent, help) X_##section(field, type)
#define X_topic(field, type) config_##type field;
#define X_stream(field, type)
#define X_job(field, type)
#define X_listener(field, type)
#include "cli/config_sections.def"
#undef X_topic
#undef X_stream
};
struct config_stream {
	const char *name;
#define X_topic(field, type)
#define X_stream(field, type) config_##type field;
#include "cli/config_sections.def"
#undef X_stream
#undef X_job
};
struct config_job {
	const char *name;
#define X_stream(field, type)
#define X_job(field, type) config_##type field;
#include "cli/config_sections.def"
#undef X_job
#undef X_listener
};
struct config_listener {
	const char *name;
#define X_job(field, type)
#define X_listener(field, type) config_##type field;
#include "cli/config_sections.def"
#undef X_topic
#undef X_stream
#undef X_job
#undef X_listener
#undef X
};
struct config {
	struct arena arena;
	const char *file; /* NULL: none was read */
	const char *dir;  /* files named in the configuration are relative to it */
#define X(field, type, key, absent, help) config_##type field;
#include "cli/config.def"
#undef X
	struct config_topic topics[CONFIG_NAMED_MAX];
	struct config_stream streams[CONFIG_NAMED_MAX];
	struct config_job jobs[CONFIG_NAMED_MAX];
	struct config_listener listeners[CONFIG_NAMED_MAX];
	uint32_t topic_count, stream_count, job_count, listener_count;
};

/* Fill with the defaults. */
void config_init(struct config *config);
void config_done(struct config *config);
/* Errors: SM_NOT_FOUND, SM_INVALID: "FILE:LINE: what is wrong and what would be right". */
SM_MUST_CHECK enum sm_err config_read(struct config *config, const char *path, struct sm_error *reterr);
/* The same for text in memory; name stands for the file in errors. */
SM_MUST_CHECK enum sm_err config_read_text(struct config *config, const char *name, const char *text, struct sm_error *reterr);
/* "key=value", as --set gives it: log.segment=64MiB, stream.daily.interval=1s. */
SM_MUST_CHECK enum sm_err config_set(struct config *config, const char *assignment, struct sm_error *reterr);
/* What goes beyond one key: streams have SQL, jobs have SQL or a command, the address is loopback. */
SM_MUST_CHECK enum sm_err config_check(const struct config *config, struct sm_error *reterr);
/* The keys that the first listener (kafka.*) and the sections [listener NAME] share. Borrowed from config. */
struct config_listener config_first_listener(const struct config *config);
/* Likewise for CQL (cql.*). */
struct config_listener config_first_cql_listener(const struct config *config);
/* protocol = http. */
bool config_is_http(const struct config_listener *listener);
/* protocol = kafka. */
bool config_is_kafka(const struct config_listener *listener);
/* protocol = cql. */
bool config_is_cql(const struct config_listener *listener);
/* "PasswordAuthenticator" or "AllowAllAuthenticator". Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err authenticator_parse(const char *text, bool *ret_password);
/* holes: "stop" or "pass". Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err holes_parse(const char *text, bool *ret_pass);
/* "yes" or "no". Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err yes_no_parse(const char *text, bool *ret);
/* "none" 0, "requested" 1, "required" 2, as enum net_tls_clients. Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err client_auth_parse(const char *text, int *ret);
/* What http.cors.* says; *ret_cors NULL: pages of other origins may nothing. Errors: SM_INVALID, SM_TOO_LARGE. */
struct http_cors;
SM_MUST_CHECK enum sm_err config_cors(const struct config *config, struct http_cors **ret_cors, struct sm_error *reterr);
/* Checks the keys that Kafka's brokers have, too, and sets what they say. Errors: SM_INVALID. */
struct kafka_server_options;
SM_MUST_CHECK enum sm_err config_kafka(const struct config *config, struct kafka_server_options *options, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err config_check_http(const struct config *config, struct sm_error *reterr);
/* Path of a file named in the configuration, in out. Thread: any. */
const char *config_path(const struct config *config, const char *path, char *out, size_t size);
/* Every key with its default and what it means, as a file that could be read back. */
void config_print_defaults(struct buf *out);

/* "128MiB" -> bytes; "10s" -> ms. A number alone is bytes or ms. Errors: SM_INVALID, SM_OUT_OF_RANGE. */
SM_MUST_CHECK enum sm_err size_parse(const char *text, uint64_t *ret_bytes);
SM_MUST_CHECK enum sm_err time_parse(const char *text, uint64_t *ret_ms);

/* cql.advertise, which is not empty: an address in digits. Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err cql_advertise_parse(const char *text, char ret_host[ADDRESS_HOST_MAX + 1], uint16_t *ret_port);

#endif
