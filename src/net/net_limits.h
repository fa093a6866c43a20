/* Limits of connections and HTTP. */
#ifndef NET_LIMITS_H
#define NET_LIMITS_H

#define NET_CONNECTIONS_MAX 10000
#define NET_FILES_PERCENT 50 /* of the descriptors that the process may have, for connections: files of log and store need the others */
#define NET_READ_CHUNK 65536
#define NET_FRAME_MAX (100u << 20) /* bytes that a protocol may ask to be gathered; Kafka's socket.request.max.bytes */
#define NET_WRITE_HIGH (4u << 20)
#define NET_WRITE_LOW (1u << 20)
#define NET_WRITE_STALL_MS 60000 /* the peer takes nothing of what is queued for so long: closed */
#define NET_OUT_BLOCK 16384      /* small writes are gathered in blocks of this size */
#define NET_OUT_SPARE 64         /* empty blocks that a dispatcher keeps */
#define NET_ACCEPT_A_TURN 64
#define NET_ACCEPT_RETRY_MS 100     /* pause after accept failed for want of descriptors or memory */
#define NET_INTAKE_RETRY_MS 20      /* a large frame is looked at again so often while memory is tight */
#define NET_INTAKE_STALL_MS 1000    /* and the one that is read then loses its turn when nothing of it comes for so long, */
#define NET_INTAKE_TURN_MS 10000    /* or when it takes so long */
#define NET_LINGER_MS 1000          /* after the last answer the peer's bytes are read and thrown away for so long, */
#define NET_LINGER_BYTES (1u << 20) /* and so many, so that a reset does not overtake the answer */
#define NET_BACKLOG 1024
#define NET_TLS_HANDSHAKE_MS 10000    /* a client that has not finished its handshake by then is closed */
#define NET_TLS_FILE_PIECE (1u << 17) /* bytes of a file that are read for a TLS connection at a time */
#define NET_TLS_RETRY_MS 5            /* while the pool is full */
#define NET_TLS_LOOK_MS 10000         /* between two looks at the files of certificates */

#define HTTP_LINE_MAX 8192           /* request line; above: 414 */
#define HTTP_HEADER_BYTES_MAX 32768  /* all header lines; above: 431 */
#define HTTP_HEADERS_MAX 100         /* 431 */
#define HTTP_BODY_MAX (16u << 20)    /* as sent and after decompression; above: 413 */
#define HTTP_PIPELINE_MAX 64         /* requests of one connection under way; then it is not read */
#define HTTP_HEADER_TIMEOUT_MS 10000 /* 408 */
#define HTTP_BODY_TIMEOUT_MS 30000   /* between two pieces of a body; 408 */
#define HTTP_IDLE_TIMEOUT_MS 60000   /* keep-alive */
#define HTTP_DISCARD_MAX 65536       /* a refused request's body is read over up to here; above, the connection ends */
#define HTTP_ARENA_MAX (64u << 20)   /* what one request may take */
#define HTTP_SPARE_REQUESTS 128      /* that a dispatcher keeps */
#define HTTP_SPARE_BYTES 65536       /* the arena of one that is kept */
#define HTTP_MAILBOX_MAX 1024
#define HTTP_EVENT_STREAMS_MAX 256    /* subscribers of one http_events; above: 503 */
#define HTTP_RESPONSE_MAX (64u << 20) /* the client's: body of an answer */

#endif
