/* The server: its routes and its listener. */
#include "net/http_internal.h"
#include "base/address.h"
#include "net/net_internal.h"
#include "net/tls.h"
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
		http_cors_free(options->cors);
		free(server);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the HTTP server");
	}
	if (http__logins_init(&server->logins)) {
		http__logins_done(&server->logins);
		http_cors_free(options->cors);
		free(server->host);
		free(server);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the HTTP server");
	}
	server->first.server = server;
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
	assert(!server->first.net);
	return http__routes_add(&server->routes, route);
}

enum sm_err http_server_start(struct http_server *server, struct sm_error *reterr)
{
	struct net_listen_options options = {
		.system = server->options.system,
		.host = server->options.host,
		.port = server->options.port,
		.protocol = &http__protocol,
		.arg = &server->first,
		.tls = server->options.tls,
		.connections_max = server->options.connections_max,
	};
	return net_listen(&options, &server->first.net, reterr);
}

uint16_t http_server_port(const struct http_server *server)
{
	return server->first.net ? net_listener_port(server->first.net) : 0;
}

enum sm_err http_server_listen(struct http_server *server, const struct http_listen_options *options, struct sm_error *reterr)
{
	assert(options->login || (options->tls && net_tls_asks_clients(options->tls)));
	if (server->more_count == HTTP_LISTENERS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "more than %d listeners for HTTP", HTTP_LISTENERS_MAX);
	struct http__listener *l = calloc(1, sizeof *l);
	if (!l)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a listener");
	*l = (struct http__listener){.server = server, .options = *options, .outside = true};
	struct net_listen_options net = {
		.system = server->options.system,
		.host = options->host,
		.anywhere = true,
		.port = options->port,
		.protocol = &http__protocol,
		.arg = l,
		.tls = options->tls,
		.connections_max = server->options.connections_max,
	};
	enum sm_err err = net_listen(&net, &l->net, reterr);
	if (err)
		free(l);
	else
		server->more[server->more_count++] = l;
	return err;
}

uint16_t http_server_listener_port(const struct http_server *server, uint32_t index)
{
	return index < server->more_count ? net_listener_port(server->more[index]->net) : 0;
}

void http_server_free(struct http_server *server, uint32_t drain_ms)
{
	if (!server)
		return;
	/* None accepts while others drain. */
	for (uint32_t i = 0; i < server->more_count; i++)
		net_listener_stop(server->more[i]->net);
	bool gone = net__listener_free(server->first.net, drain_ms);
	for (uint32_t i = 0; i < server->more_count; i++)
		gone &= net__listener_free(server->more[i]->net, drain_ms);
	/* A connection whose handler blocks its dispatcher still has the server: it is rather leaked, as its listener is. */
	if (!gone)
		return;
	http__logins_done(&server->logins);
	for (uint32_t i = 0; i < server->more_count; i++)
		free(server->more[i]);
	http__routes_done(&server->routes);
	http_cors_free(server->options.cors);
	free(server->host);
	free(server);
}

const char *http_principal(const struct http_request *request)
{
	return ((const struct http__request *)request)->principal;
}

const char *http_peer_host(const struct http_request *request)
{
	char text[64];
	const char *host = address_host(net_conn_peer(request->conn), text, sizeof text);
	host = arena_string(request->arena, host, strlen(host));
	return host ? host : "";
}
