#include "base/logging.h"
#include "remote/server_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- requests ---- */

static void request_done(struct sm_msg *msg)
{
	struct remote_request *q = (struct remote_request *)msg;
	if (atomic_fetch_sub(&q->refs, 1) != 1)
		return;
	struct sm_store *store = q->peer->server->options.store;
	if (q->schema)
		store->ops->schema_release(store, q->schema);
	buf_done(&q->body);
	buf_done(&q->answer);
	arena_done(&q->arena);
	sm_unref(q->conn);
	remote__peer_unref(q->peer);
	free(q);
}

static const struct sm_msg_type request_type = {"remote request", request_done};

void remote__request_finish(struct remote_request *q, enum sm_err err)
{
	if (err && !q->error.code)
		sm_fail(&q->error, err, "%s", sm_err_text(err));
	if (!err)
		q->error.code = SM_OK;
	struct sm_ref *conn = q->conn;
	/* The connection may have gone: then nobody waits for the answer. */
	if (sm_send_reply(conn, &q->msg))
		sm_msg_free(&q->msg);
}

static void run_request(struct sm_work *work)
{
	struct remote_request *q = (struct remote_request *)((char *)work - offsetof(struct remote_request, work));
	remote__request_finish(q, remote__serve_on_pool(q));
}

/* ---- peers ---- */

void remote__peer_unref(struct remote_peer *peer)
{
	if (atomic_fetch_sub(&peer->refs, 1) != 1)
		return;
	struct remote_server *server = peer->server;
	struct sm_store *store = server->options.store;
	for (unsigned i = 0; i < REMOTE_CURSORS_MAX; i++) {
		if (!peer->cursors[i].cursor)
			continue;
		store->ops->close_cursor(peer->cursors[i].cursor);
		store->ops->schema_release(store, peer->cursors[i].schema);
	}
	if (peer->checkpoint_dir) {
		struct sm_error error;
		if (io_remove_tree(&io_system, peer->checkpoint_dir, &error))
			LOG_WARN("remote", "a checkpoint is left behind: %s", error.text);
		free(peer->checkpoint_dir);
	}
	pthread_mutex_destroy(&peer->lock);
	free(peer);
	pthread_mutex_lock(&server->lock);
	server->peers--;
	pthread_cond_signal(&server->peer_ended);
	pthread_mutex_unlock(&server->lock);
}

/* ---- the connection ---- */

struct state {
	struct remote_peer *peer;
	struct remote_request *waiting; /* requests that wait for records */
	bool draining;
};

static enum sm_err on_open(struct net_conn *conn, void *state, void *arg)
{
	struct state *s = state;
	struct remote_peer *peer = calloc(1, sizeof *peer);
	if (!peer)
		return SM_NO_MEMORY;
	peer->server = arg;
	atomic_store(&peer->refs, 1);
	pthread_mutex_init(&peer->lock, NULL);
	pthread_mutex_lock(&peer->server->lock);
	peer->server->peers++;
	pthread_mutex_unlock(&peer->server->lock);
	s->peer = peer;
	return SM_OK;
}

static void answer(struct net_conn *conn, uint32_t id, const struct sm_error *error, struct bytes body)
{
	struct buf out;
	buf_init(&out);
	if (error->code) {
		remote__put_error(&out, error);
		body = buf_bytes(&out);
	}
	uint8_t head[REMOTE_HEADER];
	be32_put(head, (uint32_t)(body.size + REMOTE_HEADER - 4));
	head[4] = error->code != SM_OK;
	be32_put(head + 5, id);
	net_conn_write(conn, bytes_of(head, sizeof head));
	net_conn_write(conn, body);
	buf_done(&out);
}

static enum sm_err greet(struct net_conn *conn, struct remote_peer *peer, uint32_t id, struct bytes body)
{
	struct byte_reader r = byte_reader(body);
	uint16_t version = reader_be16(&r);
	struct sm_error error = {0};
	struct buf out;
	buf_init(&out);
	if (r.failed || version != REMOTE_VERSION)
		sm_fail(&error, SM_VERSION, "the server speaks version %d of the socket's protocol: use the same release on both sides",
			REMOTE_VERSION);
	buf_be16(&out, REMOTE_VERSION);
	remote__put_string(&out, SMACK_VERSION);
	answer(conn, id, &error, buf_bytes(&out));
	buf_done(&out);
	peer->greeted = !error.code;
	if (error.code)
		net_conn_finish(conn);
	return SM_OK;
}

static enum sm_err start_request(struct net_conn *conn, struct state *s, enum remote_op op, uint32_t id, struct bytes body)
{
	struct remote_request *q = calloc(1, sizeof *q);
	if (!q)
		return SM_NO_MEMORY;
	q->msg.type = &request_type;
	atomic_store(&q->refs, 1);
	q->conn = sm_ref_get(net_conn_ref(conn));
	q->peer = s->peer;
	atomic_fetch_add(&s->peer->refs, 1);
	q->id = id;
	q->op = op;
	buf_append_bytes(&q->body, body);
	arena_init(&q->arena, REMOTE_FRAME_MAX * 4ull);
	q->in = byte_reader(buf_bytes(&q->body));
	q->work.run = run_request;
	s->peer->under_way++;
	if (q->op == REMOTE_WAIT) {
		q->waiting = true;
		atomic_fetch_add(&q->refs, 1);
		q->next_waiting = s->waiting;
		if (s->waiting)
			s->waiting->prev_waiting = q;
		s->waiting = q;
	}
	if (q->body.failed)
		remote__request_finish(q, SM_NO_MEMORY);
	else if (!remote__serve_at_once(q)) {
		enum sm_err err = sm_pool_run(s->peer->server->options.system, &q->work);
		if (err)
			remote__request_finish(q, err);
	}
	return SM_OK;
}

static enum sm_err on_data(struct net_conn *conn, void *state, struct bytes in, size_t *ret_used)
{
	struct state *s = state;
	size_t used = 0;
	enum sm_err err = SM_OK;
	while (!err && !s->draining && in.size - used >= REMOTE_HEADER) {
		const uint8_t *p = in.data + used;
		uint32_t size = be32_get(p);
		if (size < REMOTE_HEADER - 4 || size > REMOTE_FRAME_MAX)
			return SM_INVALID;
		if (in.size - used < size + 4) {
			net_conn_need(conn, size + 4);
			break;
		}
		if (s->peer->under_way >= REMOTE_UNDER_WAY_MAX) {
			if (!s->peer->paused) {
				s->peer->paused = true;
				net_conn_pause(conn);
			}
			break;
		}
		struct bytes body = bytes_of(p + REMOTE_HEADER, size - (REMOTE_HEADER - 4));
		uint32_t id = be32_get(p + 5);
		if (p[4] == REMOTE_HELLO)
			err = greet(conn, s->peer, id, body);
		else
			err = s->peer->greeted ? start_request(conn, s, (enum remote_op)p[4], id, body) : SM_INVALID;
		used += size + 4;
	}
	*ret_used = used;
	return err;
}

static void forget_waiting(struct state *s, struct remote_request *q)
{
	if (!q->waiting)
		return;
	q->waiting = false;
	if (q->next_waiting)
		q->next_waiting->prev_waiting = q->prev_waiting;
	if (q->prev_waiting)
		q->prev_waiting->next_waiting = q->next_waiting;
	else
		s->waiting = q->next_waiting;
	request_done(&q->msg);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts */
static enum sm_err on_message(struct net_conn *conn, void *state, struct sm_msg *msg)
{
	struct state *s = state;
	if (msg->type != &request_type)
		return SM_OK;
	struct remote_request *q = (struct remote_request *)msg;
	forget_waiting(s, q);
	if (!q->error.code && (q->answer.failed || buf_size(&q->answer) > REMOTE_FRAME_MAX - REMOTE_HEADER))
		sm_fail(&q->error, SM_TOO_LARGE, "the answer is larger than %u bytes", REMOTE_FRAME_MAX);
	answer(conn, q->id, &q->error, buf_bytes(&q->answer));
	s->peer->under_way--;
	if (s->draining) {
		if (!s->peer->under_way)
			net_conn_finish(conn);
	} else if (s->peer->paused) {
		s->peer->paused = false;
		net_conn_resume(conn);
	}
	return SM_OK;
}

/* The peer has ended its side, or the server stops: what is under way is answered, waits for records end now. */
static void on_drain(struct net_conn *conn, void *state)
{
	struct state *s = state;
	if (s->draining)
		return;
	s->draining = true;
	if (!s->peer->under_way) {
		net_conn_finish(conn);
		return;
	}
	struct sm_log *log = s->peer->server->options.log;
	for (struct remote_request *q = s->waiting; q; q = q->next_waiting)
		log->ops->wait_cancel(log, &q->wait);
}

static void on_close(struct net_conn *conn, void *state)
{
	struct state *s = state;
	if (!s->peer)
		return;
	struct sm_log *log = s->peer->server->options.log;
	/* Each comes back as a message to an actor that is gone; some have, so their messages are freed already. */
	while (s->waiting) {
		log->ops->wait_cancel(log, &s->waiting->wait);
		forget_waiting(s, s->waiting);
	}
	remote__peer_unref(s->peer);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

static const struct net_protocol protocol = {
	.name = "remote",
	.state_size = sizeof(struct state),
	.open = on_open,
	.data = on_data,
	.receive = on_message,
	.eof = on_drain,
	.drain = on_drain,
	.close = on_close,
};

/* ---- the server ---- */

static void server_destroy(struct remote_server *server)
{
	pthread_cond_destroy(&server->peer_ended);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

enum sm_err remote_server_new(const struct remote_server_options *options, struct remote_server **ret_server, struct sm_error *reterr)
{
	struct remote_server *server = calloc(1, sizeof *server);
	if (!server)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	server->options = *options;
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&server->peer_ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&server->lock, NULL);
	snprintf(server->data_dir, sizeof server->data_dir, "%s", options->data_dir);
	char path[sizeof server->data_dir + 32];
	/* Checkpoints of a run that ended without a chance to delete them. */
	snprintf(path, sizeof path, "%s/checkpoints", server->data_dir);
	enum sm_err err = io_remove_tree(&io_system, path, reterr);
	if (!err || err == SM_NOT_FOUND)
		err = io_mkdir_all(&io_system, path, reterr);
	snprintf(path, sizeof path, "%s/%s", server->data_dir, REMOTE_SOCKET_NAME);
	struct net_listen_options listen = {
		.system = options->system,
		.unix_path = path,
		.protocol = &protocol,
		.arg = server,
		.connections_max = REMOTE_CONNECTIONS_MAX,
	};
	if (!err)
		err = net_listen(&listen, &server->listener, reterr);
	if (err)
		server_destroy(server);
	else
		*ret_server = server;
	return err;
}

/* Requests outlive their connections: until the last has ended they use the engines, which are closed after this. */
static bool wait_for_peers(struct remote_server *server)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += REMOTE_STOP_MS / 1000;
	bool in_time = true;
	pthread_mutex_lock(&server->lock);
	while (server->peers && in_time)
		in_time = pthread_cond_timedwait(&server->peer_ended, &server->lock, &until) == 0;
	bool ended = server->peers == 0;
	pthread_mutex_unlock(&server->lock);
	return ended;
}

void remote_server_free(struct remote_server *server, uint32_t drain_ms)
{
	if (!server)
		return;
	net_listener_stop(server->listener);
	net_listener_free(server->listener, drain_ms);
	if (wait_for_peers(server)) /* else leaked rather than freed under them */
		server_destroy(server);
}
