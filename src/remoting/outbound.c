/* Messages to actors elsewhere: written when the connection takes them. */
#include "base/logging.h"
#include "remoting/remoting_internal.h"

/* It cannot be written: as if its receiver had ended. */
static void give_up(struct peer *p, struct sm_ref *to, struct bytes path, enum actor_foreign_sort sort, struct sm_msg *msg, enum sm_err why)
{
	LOG_WARN("remoting", "a message of type %s to smack://%s@%s%.*s cannot be sent: %s%s", msg->type->name, p->name, p->where,
		 (int)path.size, (const char *)path.data, sm_err_text(why), why == SM_UNSUPPORTED ? ": its type has no serializer" : "");
	if (sort == ACTOR_FOREIGN_ANSWER) { /* who asked would wait for nothing */
		struct buf *out = &p->r->scratch;
		buf_clear(out);
		size_t begun = frame_begin(out, FRAME_GONE);
		frame_string(out, path);
		buf_be64(out, msg->ask_id);
		frame_end(out, begun);
		net_conn_write(p->link->conn, buf_bytes(out));
		msg->ask_id = 0;
	}
	actor_undeliverable(p->r->system, to, msg, why);
}

static void sender_text(struct sm_remoting *r, struct sm_ref *sender, char out[REMOTING_TEXT_MAX + 1])
{
	out[0] = 0;
	if (!sender)
		return;
	struct remote_ref *rr = remoting__remote(sender);
	enum sm_err err = rr && !rr->process ? remoting__text_of(r, sender, out) : remoting__name_of(r, sender, out);
	if (err)
		out[0] = 0; /* it has ended: nobody can be answered */
}

static enum sm_err write_message(struct peer *p, struct bytes path, enum actor_foreign_sort sort, const struct sm_msg *msg, struct buf *out)
{
	struct sm_remoting *r = p->r;
	const struct sm_serializer *s = remoting__serial_of_type(&r->serials, msg->type);
	char sender[REMOTING_TEXT_MAX + 1];
	if (!s)
		return SM_UNSUPPORTED;
	sender_text(r, msg->sender, sender);
	size_t begun = frame_begin(out, sort == ACTOR_FOREIGN_ANSWER ? FRAME_ANSWER : FRAME_MESSAGE);
	frame_string(out, path);
	frame_string(out, bytes_str(sender));
	buf_be64(out, sender[0] || sort == ACTOR_FOREIGN_ANSWER ? msg->ask_id : 0);
	buf_be32(out, s->id);
	buf_be16(out, s->version);
	size_t head = buf_size(out);
	struct sm_writer writer = {r, out};
	enum sm_err err = s->write(msg, &writer);
	if (err)
		return err;
	uint32_t max = p->message_max < r->options.message_max ? p->message_max : r->options.message_max;
	if (out->failed)
		return SM_NO_MEMORY;
	if (buf_size(out) - head > max)
		return SM_TOO_LARGE;
	frame_end(out, begun);
	return SM_OK;
}

void remoting__outbound(struct peer *p, struct sm_ref *to, struct bytes path, enum actor_foreign_sort sort, struct sm_msg *msg)
{
	struct sm_remoting *r = p->r;
	struct buf *out = &r->scratch;
	if (sort == ACTOR_FOREIGN_STOP || sort == ACTOR_FOREIGN_STOP_NOW) {
		remoting__peer_tell(p, sort == ACTOR_FOREIGN_STOP ? SYSTEM_STOP : SYSTEM_STOP_NOW, 0, 0, &path, 1);
		sm_msg_free(msg);
		return;
	}
	buf_clear(out);
	if (sort == ACTOR_FOREIGN_GONE) {
		size_t begun = frame_begin(out, FRAME_GONE);
		frame_string(out, path);
		buf_be64(out, msg->ask_id);
		frame_end(out, begun);
	} else {
		enum sm_err err = write_message(p, path, sort, msg, out);
		if (err) {
			buf_done(out); /* it may have failed for good, or be large */
			give_up(p, to, path, sort, msg, err);
			return;
		}
	}
	net_conn_write(p->link->conn, buf_bytes(out));
	atomic_fetch_add_explicit(&r->sent, 1, memory_order_relaxed);
	sm_msg_free(msg);
	if (out->cap > 65536)
		buf_done(out);
}
