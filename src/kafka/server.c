#include "kafka/kafka_internal.h"
#include "kafka/quota.h"
#include "net/tls.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Requests and coordinators end within the log's or the pool's own time once their connections are gone; there is nothing to
 * wake us but their count. */
static void wait_for_users(struct kafka_server *server)
{
	struct timespec pause = {0, 1000000};
	while (atomic_load(&server->users) > 0)
		nanosleep(&pause, NULL);
}

static enum sm_err listener_fill(struct kafka_server *s, const struct kafka_listener_options *options, struct sm_error *reterr)
{
	const char *host = options->advertised_host ? options->advertised_host : "";
	struct kafka_listener *l = &s->listeners[s->listener_count];
	if (strlen(host) > KAFKA_HOST_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "kafka: the advertised host has more than %d bytes", KAFKA_HOST_MAX);
	if (options->sasl && !s->accounts)
		return sm_fail(reterr, SM_INVALID, "kafka: a listener asks for SASL, but there is no file of users");
	*l = (struct kafka_listener){.server = s, .sasl = options->sasl, .advertised_port = options->advertised_port};
	memcpy(l->advertised_host, host, strlen(host) + 1);
	s->listener_count++;
	return SM_OK;
}

static enum sm_err listener_start(struct kafka_listener *l, const struct kafka_listener_options *options, struct sm_error *reterr)
{
	struct net_listen_options listen = {
		.system = l->server->system,
		.host = options->host,
		.port = options->port,
		.tls = options->tls,
		.anywhere = options->sasl != 0 || (options->tls && net_tls_asks_clients(options->tls)),
		.idle_ms = l->server->idle_ms,
		.protocol = &kafka__protocol,
		.arg = l,
	};
	l->tls = options->tls != NULL;
	return net_listen(&listen, &l->net, reterr);
}

/* One after the other, within drain_ms in all. */
static void listeners_free(struct kafka_server *s, uint32_t drain_ms)
{
	uint64_t end = clock_monotonic_ns(&clock_system) + (uint64_t)drain_ms * 1000000;
	for (uint32_t i = 0; i < s->listener_count; i++) {
		uint64_t now = clock_monotonic_ns(&clock_system);
		net_listener_free(s->listeners[i].net, now < end ? (uint32_t)((end - now) / 1000000) : 0);
		s->listeners[i].net = NULL;
	}
}

enum sm_err kafka_server_new(const struct kafka_server_options *options, struct kafka_server **ret_server, struct sm_error *reterr)
{
	if (options->listener_count < 1 || options->listener_count > KAFKA_LISTENERS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "kafka: %u listeners; there must be 1 to %d", options->listener_count,
			       KAFKA_LISTENERS_MAX);
	struct kafka_server *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "kafka: no memory for the server");
	s->system = options->system;
	s->log = options->log;
	s->clock = options->clock ? options->clock : &clock_system;
	s->node_id = options->node_id;
	s->partitions = options->partitions ? options->partitions : 1;
	s->auto_create = !options->no_auto_create;
	s->rebalance_delay_ms = options->group_initial_rebalance_delay_ms;
	s->accounts = options->users;
	s->acls = options->acls;
	s->session_max_ms = options->session_max_ms;
	s->idle_ms = options->idle_ms;
	s->offsets_retention_ms = options->offsets_retention_ms;
	snprintf(s->cluster_id, sizeof s->cluster_id, "%s", options->cluster_id ? options->cluster_id : KAFKA_CLUSTER_ID);
	pthread_mutex_init(&s->groups_lock, NULL);
	map_init(&s->groups);
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; !err && i < options->listener_count; i++)
		err = listener_fill(s, &options->listeners[i], reterr);
	if (err || (err = kafka__quotas_open(options->quotas_path, &s->quotas, reterr)) || (err = kafka__txns_new(s, reterr)))
		goto failed;
	err = kafka__groups_start(s, reterr);
	if (!err && (err = kafka__janitor_start(s)))
		sm_fail(reterr, err, "kafka: cannot start the look for old offsets");
	for (uint32_t i = 0; !err && i < options->listener_count; i++)
		err = listener_start(&s->listeners[i], &options->listeners[i], reterr);
	if (!err) {
		*ret_server = s;
		return SM_OK;
	}
	listeners_free(s, 0);
	kafka__janitor_stop(s);
	kafka__groups_stop(s);
	kafka__txns_stop(s);
	wait_for_users(s);
	kafka__janitor_free(s);
failed:
	kafka__quotas_free(s->quotas);
	map_done(&s->groups);
	pthread_mutex_destroy(&s->groups_lock);
	free(s);
	return err;
}

uint16_t kafka_server_port(const struct kafka_server *server, uint32_t listener)
{
	return net_listener_port(server->listeners[listener].net);
}

void kafka_server_free(struct kafka_server *server, uint32_t drain_ms)
{
	if (!server)
		return;
	for (uint32_t i = 0; i < server->listener_count; i++)
		net_listener_stop(server->listeners[i].net);
	kafka__janitor_stop(server);
	kafka__groups_stop(server);
	kafka__txns_stop(server);
	listeners_free(server, drain_ms);
	wait_for_users(server);
	kafka__janitor_free(server);
	kafka__quotas_free(server->quotas);
	map_done(&server->groups);
	pthread_mutex_destroy(&server->groups_lock);
	free(server);
}
