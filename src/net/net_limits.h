/* Limits of connections and HTTP. */
#ifndef NET_LIMITS_H
#define NET_LIMITS_H

#define NET_CONNECTIONS_MAX 10000
#define NET_READ_CHUNK 65536
#define NET_FRAME_MAX (100u << 20)       /* bytes that a protocol may ask to be gathered; Kafka's socket.request.max.bytes */
#define NET_WRITE_HIGH (4u << 20)
#define NET_WRITE_LOW (1u << 20)

#define HTTP_LINE_MAX 8192               /* request line; above: 414 */
#define HTTP_HEADER_BYTES_MAX 32768      /* all header lines; above: 431 */
#define HTTP_HEADERS_MAX 100             /* 431 */
#define HTTP_BODY_MAX (16u << 20)        /* as sent and after decompression; above: 413 */
#define HTTP_PIPELINE_MAX 64             /* requests of one connection under way; then it is not read */
#define HTTP_HEADER_TIMEOUT_MS 10000     /* 408 */
#define HTTP_BODY_TIMEOUT_MS 30000       /* between two pieces of a body; 408 */
#define HTTP_IDLE_TIMEOUT_MS 60000       /* keep-alive */

#endif
