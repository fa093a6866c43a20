/* Limits of the auth room; what exceeds one is refused with an error that names it. */
#ifndef AUTH_LIMITS_H
#define AUTH_LIMITS_H

#define AUTH_NAME_MAX 255               /* bytes of a user's name */
#define AUTH_PASSWORD_MAX 1024          /* bytes of a password */
#define AUTH_TOKEN_MAX 4096             /* bytes of one message of a login */
#define AUTH_API_TOKEN_BYTES 66         /* of a token for HTTP */
#define AUTH_ITERATIONS_MIN 4096        /* RFC 7677 asks for so many, and Kafka's clients */
#define AUTH_ITERATIONS_MAX 65536       /* a PLAIN login computes them on the server */
#define AUTH_ITERATIONS 8192            /* unless `smack user add` is told otherwise */
#define AUTH_SALT_BYTES 16              /* of a new user */
#define AUTH_SALT_MAX 64                /* of one that another program made */
#define AUTH_USERS_FILE_MAX (16u << 20) /* bytes of the file of users */
#define AUTH_ACLS_MAX 10000             /* rules */
#define AUTH_ACL_TEXT_MAX 4096          /* bytes of a rule's name, principal or host */
#define AUTH_ACLS_FILE_MAX (64u << 20)  /* bytes of the file of rules */

#endif
