#include "kafka/kafka_internal.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Kafka's cluster ids are 16 bytes in URL-safe Base64. */
#define DEFAULT_CLUSTER_ID "c21hY2stb25lLW5vZGUtMQ"

/* Requests and coordinators end within the log's or the pool's own time once their connections are gone; there is nothing to
 * wake us but their count. */
static void wait_for_users(struct kafka_server *server)
{
	struct timespec pause = {0, 1000000};
	while (atomic_load(&server->users) > 0)
		nanosleep(&pause, NULL);
}

enum sm_err kafka_server_new(const struct kafka_server_options *options, struct kafka_server **ret_server, struct sm_error *reterr)
{
	const char *host = options->advertised_host ? options->advertised_host : "";
	if (strlen(host) > KAFKA_HOST_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "kafka: the advertised host has more than %d bytes", KAFKA_HOST_MAX);
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
	snprintf(s->cluster_id, sizeof s->cluster_id, "%s", options->cluster_id ? options->cluster_id : DEFAULT_CLUSTER_ID);
	memcpy(s->advertised_host, host, strlen(host) + 1);
	s->advertised_port = options->advertised_port;
	pthread_mutex_init(&s->groups_lock, NULL);
	map_init(&s->groups);
	struct net_listen_options listen = {
		.system = options->system,
		.host = options->host,
		.port = options->port,
		.protocol = &kafka__protocol,
		.arg = s,
	};
	enum sm_err err = kafka__txns_new(s, reterr);
	if (err)
		goto failed;
	if ((err = net_listen(&listen, &s->listener, reterr))) {
		kafka__txns_stop(s);
		wait_for_users(s);
		goto failed;
	}
	*ret_server = s;
	return SM_OK;
failed:
	map_done(&s->groups);
	pthread_mutex_destroy(&s->groups_lock);
	free(s);
	return err;
}

uint16_t kafka_server_port(const struct kafka_server *server)
{
	return net_listener_port(server->listener);
}

void kafka_server_free(struct kafka_server *server, uint32_t drain_ms)
{
	if (!server)
		return;
	net_listener_stop(server->listener);
	kafka__groups_stop(server);
	kafka__txns_stop(server);
	net_listener_free(server->listener, drain_ms);
	wait_for_users(server);
	map_done(&server->groups);
	pthread_mutex_destroy(&server->groups_lock);
	free(server);
}
