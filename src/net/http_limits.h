/* Further limits of HTTP: slow bodies, listeners for clients elsewhere. */
#ifndef NET_HTTP_LIMITS_H
#define NET_HTTP_LIMITS_H

#define HTTP_BODY_SLOW_TIMES 6       /* so many times HTTP_BODY_TIMEOUT_MS a body may come slower than */
#define HTTP_BODY_BYTES_PER_MS_MIN 1 /* this; then 408 */
#define HTTP_BODY_ROOM_TIMES 4       /* so many times what has come of a body with a length, memory is taken for it at most, */
#define HTTP_BODY_ROOM_FROM 32768    /* when so much comes in one read */
#define HTTP_SPARE_SMALL 1024        /* requests that a dispatcher keeps beyond HTTP_SPARE_REQUESTS, if they took */
#define HTTP_SPARE_SMALL_BYTES 2048  /* no more than this */
#define HTTP_LISTENERS_MAX 16        /* of one server, beside the first */
#define HTTP_CREDENTIALS_MAX 1023    /* bytes of user:password; above: 401 */
#define HTTP_LOGINS_MAX 32           /* that are checked at a time; above: 503 */
#define HTTP_LOGINS_KNOWN 1024       /* that are remembered, */
#define HTTP_LOGIN_KNOWN_MS 10000    /* for so long: a new password counts after that */

#define HTTP_CORS_ORIGINS_MAX 64 /* that are named; above: refused at the start */

#define HTTP1_HELD_MAX                                                                                             \
	(32u << 20) /* bytes of a connection's requests that wait for their answers; above, it is not read. Beside \
		     * them there is the one that comes */

#define HTTP2_STREAMS_MAX 100            /* requests of a connection under way; above: REFUSED_STREAM */
#define HTTP2_STREAM_WINDOW (128u << 10) /* bytes of a body that may come before they are taken, */
#define HTTP2_CONN_WINDOW (1u << 20)     /* and of all bodies of a connection */
#define HTTP2_BODIES_MAX (32u << 20)     /* held by requests and zstd; above, bodies wait but for the oldest one's */
#define HTTP2_ANSWERS_MAX (4u << 20)     /* bytes of answers that the peer does not take; above, requests wait for their handlers */
#define HTTP2_ANSWER_HEADERS_MAX 24      /* lines that a handler may add; an assert */
#define HTTP2_EVENTS_MAX (256u << 10)    /* bytes of events that wait in a stream; above, events are left out */
#define HTTP2_CONTINUATIONS_MAX 8        /* frames that go on with a header block; above: GOAWAY */
#define HTTP2_SETTINGS_MAX 32            /* entries of one SETTINGS frame; above: GOAWAY */
#define HTTP2_ACKS_MAX 200               /* answers to PING and SETTINGS that wait to be sent; above: GOAWAY */
#define HTTP2_EMPTY_BURST 1000           /* frames that ask for nothing (PING, SETTINGS, empty DATA ...): so many at once, */
#define HTTP2_EMPTY_PER_S 100            /* and so many a second; above: GOAWAY ENHANCE_YOUR_CALM */
#define HTTP2_RESETS_BURST 300           /* streams that end before their answer, likewise */
#define HTTP2_RESETS_PER_S 30

#endif
