/* Limits of the Unix socket's protocol. */
#ifndef REMOTE_LIMITS_H
#define REMOTE_LIMITS_H

#define REMOTE_FRAME_MAX (80u << 20)   /* a store batch of the largest size, encoded, and room for its keys */
#define REMOTE_PAGE_BYTES (256u << 10) /* rows of one answer to a cursor's next */
#define REMOTE_UNDER_WAY_MAX 64        /* requests of one connection; then it is not read */
#define REMOTE_CURSORS_MAX 64          /* open at once on one connection */
#define REMOTE_CONNECTIONS_MAX 256
#define REMOTE_STOP_MS 2000       /* a stop waits so long for requests whose connections have gone */
#define REMOTE_ITEMS_MAX 1000000  /* elements of one list in a message */
#define REMOTE_IDLE_CONNECTIONS 8 /* a client keeps so many for the next call */
#define REMOTE_SENDERS 8          /* a session's threads for calls that must not block their caller */
#define REMOTE_LATER_MAX 4096     /* such calls that wait; above: SM_FULL */

#endif
