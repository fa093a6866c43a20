/* Who is in the cluster, and which tokens each host has: asked of one host, system.local of itself and system.peers_v2 of the others. */
#include "base/address.h"
#include "cassandra/client_internal.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- addresses ---- */

static void name_host(const struct sockaddr_storage *a, char name[80])
{
	char text[INET6_ADDRSTRLEN] = "?";
	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
		address_text(text, ntohs(v6->sin6_port), name, 80);
	} else {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
		address_text(text, ntohs(v4->sin_port), name, 80);
	}
}

enum sm_err client__resolve(const char *host, uint16_t port, struct sockaddr_storage *ret_address, socklen_t *ret_size, char name[80],
			    struct sm_error *reterr)
{
	char service[8];
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found, *best;
	snprintf(service, sizeof service, "%u", port);
	int failed = getaddrinfo(host, service, &hints, &found);
	if (failed)
		return sm_fail(reterr, SM_INVALID, "cassandra://%s:%u: %s", host, port, gai_strerror(failed));
	for (best = found; best->ai_next && best->ai_family != AF_INET;)
		best = best->ai_next; /* IPv4 where there is some: Cassandra listens on one address */
	*ret_address = (struct sockaddr_storage){0};
	memcpy(ret_address, best->ai_addr, best->ai_addrlen);
	*ret_size = best->ai_addrlen;
	freeaddrinfo(found);
	name_host(ret_address, name);
	return SM_OK;
}

void client__points_resolve(struct client *c)
{
	struct sockaddr_storage addresses[CLIENT_POINTS_MAX] = {0};
	socklen_t sizes[CLIENT_POINTS_MAX] = {0};
	char name[80];
	for (uint32_t i = 0; i < c->target.point_count && !atomic_load(&c->ending); i++)
		if (client__resolve(c->target.points[i].host, c->target.points[i].port, &addresses[i], &sizes[i], name, NULL))
			sizes[i] = 0;
	pthread_mutex_lock(&c->lock);
	memcpy(c->point_addresses, addresses, sizeof addresses);
	memcpy(c->point_address_sizes, sizes, sizeof sizes);
	c->resolved = true;
	pthread_mutex_unlock(&c->lock);
	/* the client's thread takes it with its next look */
}

void client__point_take(struct client *c, uint32_t point)
{
	struct client_host *h = c->hosts[point];
	if (h->link.state != LINK_DOWN || !c->point_address_sizes[point] ||
	    (h->address_size == c->point_address_sizes[point] && memcmp(&h->address, &c->point_addresses[point], sizeof h->address) == 0))
		return;
	h->address = c->point_addresses[point];
	h->address_size = c->point_address_sizes[point];
	h->link.next_try_ns = 0;
	name_host(&h->address, h->name);
}

/* Of an inet value and a port; false: it is none that can be connected to. */
static bool address_of(struct store_cell inet, uint16_t port, struct client_found *f)
{
	static const uint8_t any[16];
	if ((inet.size != 4 && inet.size != 16) || memcmp(inet.data, any, (size_t)inet.size) == 0)
		return false;
	if (inet.size == 4) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&f->address;
		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		memcpy(&v4->sin_addr, inet.data, 4);
		f->address_size = sizeof *v4;
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&f->address;
		*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		memcpy(&v6->sin6_addr, inet.data, 16);
		f->address_size = sizeof *v6;
	}
	name_host(&f->address, f->name);
	return true;
}

/* ---- asking ---- */

static void take_text(struct store_cell cell, char *out, size_t size)
{
	snprintf(out, size, "%.*s", cell.size > 0 ? cell.size : 0, cell.size > 0 ? (const char *)cell.data : "");
}

/* A set of texts, each a number. */
static enum sm_err take_tokens(struct store_cell set, struct arena *arena, struct client_found *f)
{
	struct byte_reader in = byte_reader(bytes_of(set.size > 0 ? set.data : NULL, set.size > 0 ? (size_t)set.size : 0));
	uint32_t count = set.size > 0 ? reader_be32(&in) : 0;
	if (count > CLIENT_TOKENS_MAX)
		return SM_TOO_LARGE;
	if (!(f->tokens = arena_alloc(arena, (count + 1) * sizeof *f->tokens)))
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < count && !in.failed; i++) {
		char text[32];
		struct store_cell one = client__value(&in);
		take_text(one, text, sizeof text);
		if (!in.failed)
			f->tokens[f->token_count++] = strtoll(text, NULL, 10);
	}
	return SM_OK;
}

static enum sm_err ask(struct client *c, const char *text, struct client_answer *a)
{
	*a = (struct client_answer){0};
	return client__ask_wait(
		c,
		&(struct client_request){.text = text, .consistency = CQL_ONE, .idempotent = true, .on_control = true, .timeout_ms = 10000},
		a);
}

static enum sm_err take_local(struct client *c, struct client_topology *t, struct sm_error *reterr)
{
	struct client_answer a;
	enum sm_err err = ask(c, "SELECT data_center, tokens FROM system.local", &a);
	struct byte_reader in = byte_reader(a.rows);
	struct client_found *f = &t->hosts[t->count];
	if (err)
		*reterr = a.error;
	else if (a.row_count != 1 || a.column_count != 2)
		err = sm_fail(reterr, SM_INVALID, "%s: system.local has %u rows", c->shown, a.row_count);
	if (!err) {
		*f = (struct client_found){.self = true};
		take_text(client__value(&in), f->dc, sizeof f->dc);
		if ((err = take_tokens(client__value(&in), &t->arena, f)))
			sm_fail(reterr, err, "%s: the tokens of a host", c->shown);
		t->count++;
	}
	client__answer_done(&a);
	return err;
}

static uint16_t port_of(const struct client *c, struct store_cell port)
{
	return port.size == 4 ? (uint16_t)be32_get(port.data) : c->target.points[0].port;
}

/* Version 2 of the table has ports; before Cassandra 4 there was the first one only. */
static enum sm_err take_peers(struct client *c, struct client_topology *t, struct sm_error *reterr)
{
	struct client_answer a;
	bool ports = true;
	enum sm_err err = ask(c, "SELECT data_center, tokens, native_address, native_port FROM system.peers_v2", &a);
	if (err == SM_INVALID) {
		client__answer_done(&a);
		ports = false;
		err = ask(c, "SELECT data_center, tokens, rpc_address FROM system.peers", &a);
	}
	struct byte_reader in = byte_reader(a.rows);
	if (err)
		*reterr = a.error;
	for (uint32_t i = 0; i < a.row_count && !err && t->count < CLIENT_HOSTS_MAX; i++) {
		struct client_found *f = &t->hosts[t->count];
		*f = (struct client_found){0};
		struct store_cell dc = client__value(&in), tokens = client__value(&in), address = client__value(&in), port = client__null();
		if (ports)
			port = client__value(&in);
		if (in.failed)
			err = sm_fail(reterr, SM_CORRUPT, "%s: the answer about its hosts makes no sense", c->shown);
		if (err || dc.size <= 0 || tokens.size <= 0 || !address_of(address, port_of(c, port), f))
			continue; /* a row that is not whole yet */
		take_text(dc, f->dc, sizeof f->dc);
		if ((err = take_tokens(tokens, &t->arena, f)))
			sm_fail(reterr, err, "%s: the tokens of a host", c->shown);
		t->count++;
	}
	client__answer_done(&a);
	return err;
}

enum sm_err client__topology_refresh(struct client *c, struct sm_error *reterr)
{
	struct client_topology *t = calloc(1, sizeof *t), *before;
	if (!t)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	arena_init(&t->arena, 0);
	enum sm_err err = take_local(c, t, reterr);
	if (!err)
		err = take_peers(c, t, reterr);
	if (!err) {
		const char *dc = c->dc_given ? c->target.local_dc : t->hosts[0].dc;
		uint32_t local = 0;
		for (uint32_t i = 0; i < t->count; i++)
			local += strcmp(t->hosts[i].dc, dc) == 0;
		atomic_store(&c->local_hosts, local);
		pthread_mutex_lock(&c->lock);
		before = c->topology;
		c->topology = t;
		pthread_mutex_unlock(&c->lock);
		t = before;
	}
	if (t)
		arena_done(&t->arena);
	free(t);
	return err;
}

/* A host that we know, and have no connection to. */
static bool is_down(struct client *c, struct store_cell address, struct store_cell port)
{
	struct client_found f;
	bool down = false;
	if (!address_of(address, port_of(c, port), &f))
		return false;
	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->host_count; i++)
		if (strcmp(c->hosts[i]->name, f.name) == 0)
			down = !atomic_load(&c->hosts[i]->up);
	pthread_mutex_unlock(&c->lock);
	return down;
}

enum sm_err client__schema_agreed(struct client *c, bool *ret_agreed, struct sm_error *reterr)
{
	struct client_answer local, peers;
	enum sm_err err = ask(c, "SELECT schema_version FROM system.local", &local);
	if (err) {
		*reterr = local.error;
		client__answer_done(&local);
		return err;
	}
	bool ports = true;
	err = ask(c, "SELECT schema_version, native_address, native_port FROM system.peers_v2", &peers);
	if (err == SM_INVALID) {
		client__answer_done(&peers);
		ports = false;
		err = ask(c, "SELECT schema_version, rpc_address FROM system.peers", &peers);
	}
	if (err)
		*reterr = peers.error;
	struct byte_reader in = byte_reader(local.rows), others = byte_reader(peers.rows);
	struct store_cell own = client__value(&in);
	*ret_agreed = true;
	for (uint32_t i = 0; i < peers.row_count && !err; i++) {
		struct store_cell v = client__value(&others), address = client__value(&others), port = client__null();
		if (ports)
			port = client__value(&others);
		if (!others.failed && is_down(c, address, port))
			continue; /* it learns of the change when it is back */
		*ret_agreed &= v.size < 0 || (v.size == own.size && memcmp(v.data, own.data, (size_t)v.size) == 0);
	}
	client__answer_done(&local);
	client__answer_done(&peers);
	return err;
}

/* ---- on the client's thread ---- */

static int by_token(const void *a, const void *b)
{
	const struct client_ring_entry *x = a, *y = b;
	return (x->token > y->token) - (x->token < y->token);
}

/* The number of a host that has left the cluster, when there is no room for more. -1: none. */
static int32_t left_host(const struct client *c, const struct client_topology *t)
{
	for (uint32_t i = 0; i < c->host_count; i++) {
		bool there = c->hosts[i]->point || c->hosts[i]->link.state != LINK_DOWN;
		for (uint32_t k = 0; k < t->count && !there; k++)
			there = strcmp(c->hosts[i]->name, t->hosts[k].name) == 0;
		if (!there)
			return (int32_t)i;
	}
	return -1;
}

static void set_host(struct client_host *h, const struct client_found *f)
{
	memcpy(h->name, f->name, sizeof h->name);
	h->address = f->address;
	h->address_size = f->address_size;
	h->problem[0] = 0;
	h->link.version = CQL_VERSION_HIGHEST;
	h->link.next_try_ns = h->link.backoff_ms = 0;
}

/* The host's number; a new one where it is not known. -1: no room. */
static int32_t host_of(struct client *c, const struct client_topology *t, const struct client_found *f)
{
	if (f->self)
		return c->control ? (int32_t)c->control->host : -1;
	for (uint32_t i = 0; i < c->host_count; i++)
		if (strcmp(c->hosts[i]->name, f->name) == 0)
			return (int32_t)i;
	bool fresh = c->host_count < CLIENT_HOSTS_MAX;
	int32_t number = fresh ? (int32_t)c->host_count : left_host(c, t);
	struct client_host *h = number < 0 ? NULL : fresh ? calloc(1, sizeof *h) : c->hosts[number];
	if (!h)
		return -1;
	pthread_mutex_lock(&c->lock);
	c->hosts[number] = h;
	if (fresh)
		client__link_init(c, c->host_count++);
	set_host(h, f);
	pthread_mutex_unlock(&c->lock);
	return number;
}

static void make_ring(struct client *c, const struct client_topology *t, const int32_t *hosts)
{
	uint32_t count = 0, n = 0;
	for (uint32_t i = 0; i < t->count; i++)
		count += hosts[i] >= 0 ? t->hosts[i].token_count : 0;
	struct client_ring_entry *ring = calloc(count + 1, sizeof *ring);
	if (!ring)
		return; /* the one that was, or none: requests go to any host */
	for (uint32_t i = 0; i < t->count; i++)
		for (uint32_t k = 0; hosts[i] >= 0 && k < t->hosts[i].token_count; k++)
			ring[n++] = (struct client_ring_entry){t->hosts[i].tokens[k], (uint32_t)hosts[i]};
	qsort(ring, n, sizeof *ring, by_token);
	free(c->ring);
	c->ring = ring;
	c->ring_count = n;
}

void client__topology_take(struct client *c, struct client_topology *t)
{
	int32_t hosts[CLIENT_HOSTS_MAX];
	for (uint32_t i = 0; i < c->host_count; i++)
		c->hosts[i]->known = false;
	for (uint32_t i = 0; i < t->count; i++) {
		if ((hosts[i] = host_of(c, t, &t->hosts[i])) < 0)
			continue;
		struct client_host *h = c->hosts[hosts[i]];
		h->known = true;
		memcpy(h->dc, t->hosts[i].dc, sizeof h->dc);
		if (t->hosts[i].self && !c->dc_given && !*c->target.local_dc)
			memcpy(c->target.local_dc, h->dc, sizeof h->dc);
	}
	make_ring(c, t, hosts);
	for (uint32_t i = 0; i < c->host_count; i++) {
		struct client_host *h = c->hosts[i];
		if (!h->known && !h->point)
			client__link_close(&h->link, SM_UNAVAILABLE, "%s has left the cluster", h->name);
	}
	arena_done(&t->arena);
	free(t);
}

uint32_t client__local_hosts(struct client *c)
{
	uint32_t n = atomic_load(&c->local_hosts);
	return n ? n : 1;
}
