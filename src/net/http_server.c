/* The server: its routes and its listener. */
#include "net/http_internal.h"
#include <assert.h>
#include <stdlib.h>

enum sm_err http_server_new(const struct http_server_options *options, struct http_server **ret_server, struct sm_error *reterr)
{
	struct http_server *server = calloc(1, sizeof *server);
	if (server) {
		server->options = *options;
		server->host = strdup(options->host);
	}
	if (!server || !server->host) {
		free(server);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the HTTP server");
	}
	struct http_server_options *o = &server->options;
	o->host = server->host;
	o->header_timeout_ms = o->header_timeout_ms ? o->header_timeout_ms : HTTP_HEADER_TIMEOUT_MS;
	o->body_timeout_ms = o->body_timeout_ms ? o->body_timeout_ms : HTTP_BODY_TIMEOUT_MS;
	o->idle_timeout_ms = o->idle_timeout_ms ? o->idle_timeout_ms : HTTP_IDLE_TIMEOUT_MS;
	*ret_server = server;
	return SM_OK;
}

enum sm_err http_server_route(struct http_server *server, const struct http_route *route)
{
	assert(!server->listener);
	return http__routes_add(&server->routes, route);
}

enum sm_err http_server_start(struct http_server *server, struct sm_error *reterr)
{
	struct net_listen_options options = {
		.system = server->options.system,
		.host = server->options.host,
		.port = server->options.port,
		.protocol = &http__protocol,
		.arg = server,
		.connections_max = server->options.connections_max,
	};
	return net_listen(&options, &server->listener, reterr);
}

uint16_t http_server_port(const struct http_server *server)
{
	return server->listener ? net_listener_port(server->listener) : 0;
}

void http_server_free(struct http_server *server, uint32_t drain_ms)
{
	if (!server)
		return;
	net_listener_free(server->listener, drain_ms);
	http__routes_done(&server->routes);
	free(server->host);
	free(server);
}
