/* Base64 (RFC 4648, sections 4 and 5). */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

/* Of a text; its bytes at most. */
#define BASE64_DECODED(size) ((size) / 4 * 3)
/* With padding. */
void base64_append(struct buf *out, struct bytes data);
/* For URLs and names of files, without padding. */
void base64url_append(struct buf *out, struct bytes data);
/* Whole groups of four with their padding, nothing else. out may be NULL if size_max is 0. false: it is none, or more than size_max bytes.
 */
bool base64_decode(struct bytes text, uint8_t *out, size_t size_max, size_t *ret_size);

#endif
