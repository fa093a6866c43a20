/* Further limits of HTTP: slow bodies, listeners for clients elsewhere. */
#ifndef NET_HTTP_LIMITS_H
#define NET_HTTP_LIMITS_H

#define HTTP_BODY_SLOW_TIMES 6       /* so many times HTTP_BODY_TIMEOUT_MS a body may come slower than */
#define HTTP_BODY_BYTES_PER_MS_MIN 1 /* this; then 408 */
#define HTTP_LISTENERS_MAX 16        /* of one server, beside the first */
#define HTTP_CREDENTIALS_MAX 1023    /* bytes of user:password; above: 401 */
#define HTTP_LOGINS_MAX 32           /* that are checked at a time; above: 503 */
#define HTTP_LOGINS_KNOWN 1024       /* that are remembered, */
#define HTTP_LOGIN_KNOWN_MS 10000    /* for so long: a new password counts after that */

#endif
