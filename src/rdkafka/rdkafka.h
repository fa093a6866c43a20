/* The log on a real Kafka: the same table of calls as the embedded engine's (log/log.h), through librdkafka.
 *
 * "Acknowledged" means what that Kafka means by acks=all: with min.insync.replicas 2 and a replication factor of 3 a record that was
 * acknowledged survives one broker. Kafka does not sync its files before it answers. Producers are idempotent. What an engine of another
 * process cannot do is SM_UNSUPPORTED: transactions, producer ids, partition_bytes, LOG_MAX_TIMESTAMP; the txn_* calls are NULL. */
#ifndef RDKAFKA_RDKAFKA_H
#define RDKAFKA_RDKAFKA_H

#include "log/log.h"

struct rdkafka_options {
	/* kafka://HOST:PORT,HOST:PORT?name=value&name=value; values may be percent-encoded. Names are librdkafka's (security.protocol,
	 * sasl.mechanism, ssl.ca.location ...), sasl.password.file (a file with the password, readable by nobody else), and
	 * replication.factor (of topics that are made without one; else the brokers' default). */
	const char *address;
	/* More of the same; what the address says wins. An empty value is as none. Borrowed for the call. */
	const struct log_config *settings;
	uint32_t setting_count;
	uint32_t open_timeout_ms; /* how long the open waits for a broker; 0: 10 s */
	/* Called for what an operator should know: brokers that are gone and back, a login that fails. One thread at a time. May be NULL.
	 */
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
};
/* Waits for a broker to answer. Errors: SM_INVALID (address, settings), SM_UNAVAILABLE (nobody answers), SM_DENIED (the login),
 * SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err rdkafka_open(const struct rdkafka_options *options, struct sm_log **ret_log, struct sm_error *reterr);

/* The end is near: reads and questions that wait for an answer give up (SM_CLOSED), so that who asks can end. Appends go on; close follows.
 */
void rdkafka_ending(struct sm_log *log);
/* False while no broker answers. */
bool rdkafka_answers(struct sm_log *log);

/* The address names a Kafka (its scheme is kafka://). */
bool rdkafka_is_address(const char *address);
/* Is the address, with its settings, one that rdkafka_open would take? Reads no file and asks nobody. Errors: SM_INVALID. */
SM_MUST_CHECK enum sm_err rdkafka_check(const char *address, struct sm_error *reterr);
/* What may be shown of an address: without its settings, which may hold a password. */
void rdkafka_shown(const char *address, char *out, size_t size);
/* Its HOST:PORT,HOST:PORT, as Kafka's clients take it. */
void rdkafka_brokers(const char *address, char *out, size_t size);

#endif
