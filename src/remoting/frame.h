/* What travels between two systems: frames as bytes, the handshake, and the part of the protocol that delivers once over broken
 * connections. Pure: bytes in, bytes out. */
#ifndef REMOTING_FRAME_H
#define REMOTING_FRAME_H

#include "base/buf.h"
#include "remoting/remoting_limits.h"

/* ---- frames: frame.c has their layout ---- */

#define FRAME_MAGIC "SMKR"
#define FRAME_PROTOCOL 1

enum frame_kind {
	FRAME_HELLO = 1,
	FRAME_PROOF = 2,
	FRAME_REFUSE = 3,
	FRAME_MESSAGE = 4,
	FRAME_ANSWER = 5,
	FRAME_GONE = 6,
	FRAME_SYSTEM = 7,
	FRAME_ACK = 8,
	FRAME_HEARTBEAT = 9,
	FRAME_GOODBYE = 10
};
enum system_kind {
	SYSTEM_WATCH = 1, /* name */
	SYSTEM_UNWATCH,   /* name */
	SYSTEM_ENDED,     /* name, code: why */
	SYSTEM_STOP,      /* name */
	SYSTEM_STOP_NOW,  /* name */
	SYSTEM_FIND,      /* token, name: a path */
	SYSTEM_FIND_KEY,  /* token, name: a key */
	SYSTEM_FOUND,     /* token, code, names */
	SYSTEM_MAIN,      /* name: what the process is for */
	SYSTEM_KIND_END
};
struct hello {
	uint8_t nonce[32];
	uint64_t uid;
	uint32_t message_max;
	char name[REMOTING_NAME_MAX + 1];
	char where[REMOTING_WHERE_MAX + 1]; /* "127.0.0.1:2552", "unix:%2Ftmp%2Fs", "~9f86d081884c7d65" */
};
/* A frame that was read. Everything points into its bytes. */
struct frame {
	enum frame_kind kind;
	struct hello hello;
	struct bytes proof;          /* 32 */
	struct bytes target, sender; /* "/root/x#3"; sender: empty, or a whole address */
	uint64_t ask_id, sequence, token;
	uint32_t serializer;
	uint16_t version, code;
	struct bytes body;
	enum system_kind system;
	uint16_t name_count;
	struct bytes names; /* name_count times 16 bits of size and the bytes: frame_next_name */
	struct bytes text;  /* of a refusal */
};
/* The frame in front of `in`, at most max bytes behind its length. *ret_size: how many bytes it takes; 0: more are needed, *ret_need of
 * them at least in all. Errors: SM_TOO_LARGE, SM_CORRUPT (unknown kind, wrong fields, bytes left over), SM_VERSION (of a hello). */
SM_MUST_CHECK enum sm_err frame_read(struct bytes in, uint32_t max, struct frame *ret_frame, size_t *ret_size, size_t *ret_need);
/* The first name, taken off; they were checked when the frame was read. */
struct bytes frame_next_name(struct frame *frame);

/* Begin a frame at the end of out, and put its length in when it is whole. */
size_t frame_begin(struct buf *out, enum frame_kind kind);
void frame_end(struct buf *out, size_t begun);
void frame_string(struct buf *out, struct bytes text); /* 16 bits of size; at most 65535 */
void frame_sequence(struct buf *out, enum frame_kind kind, uint64_t sequence);
void frame_code(struct buf *out, enum frame_kind kind, uint16_t code, const char *text); /* REFUSE, GOODBYE */
/* All but the sequence of a system frame: what the session keeps. */
void frame_system(struct buf *out, enum system_kind kind, uint64_t token, uint16_t code, const struct bytes *names, uint16_t name_count);

/* ---- the handshake: handshake.c ---- */

struct handshake {
	bool dialer, done;
	struct bytes secret; /* borrowed */
	struct hello mine, peer;
	bool has_peer;
	uint8_t mine_bytes[REMOTING_HELLO_MAX], peer_bytes[REMOTING_HELLO_MAX];
	size_t mine_size, peer_size;
};
/* mine: with a fresh nonce. What is to be sent is appended to out. */
void handshake_begin(struct handshake *h, bool dialer, const struct hello *mine, struct bytes secret, struct buf *out);
/* A frame has come. whole: its bytes with the length. Errors: SM_CORRUPT (no frame of a handshake, or not now), SM_DENIED (the secret is
 * another one). */
SM_MUST_CHECK enum sm_err handshake_frame(struct handshake *h, const struct frame *frame, struct bytes whole, struct buf *out);

/* ---- the session: session.c ---- */

/* System messages of one pair of incarnations: numbered from 1, kept until they are acknowledged, sent again on the next connection. */
struct session {
	uint64_t next, acked; /* the next one's number; all up to here are acknowledged */
	struct kept *first, *last;
	uint32_t count, max;
	size_t bytes;      /* of what is kept, at most REMOTING_UNACKED_BYTES */
	uint64_t received; /* the peer's, in order up to here */
};
void session_init(struct session *s, uint32_t max);
void session_done(struct session *s);
/* Number it, keep it, and append the frame to out (NULL: there is no connection, it goes with the next one). Errors: SM_FULL, SM_NO_MEMORY:
 * the peer cannot be told what it must know. */
SM_MUST_CHECK enum sm_err session_send(struct session *s, struct bytes system, struct buf *out);
/* All that is not acknowledged, for a new connection. */
void session_resend(const struct session *s, struct buf *out);
/* Errors: SM_DUPLICATE: had it; SM_SEQUENCE_GAP: one before it is missing. */
SM_MUST_CHECK enum sm_err session_receive(struct session *s, uint64_t sequence);
/* Errors: SM_OUT_OF_RANGE: of what was never sent. */
SM_MUST_CHECK enum sm_err session_acknowledged(struct session *s, uint64_t sequence);

#endif
