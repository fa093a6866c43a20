/* Percent-encoding (RFC 3986, 2.1): in URLs, in headers, and in words of our own files. */
#ifndef BASE_PERCENT_H
#define BASE_PERCENT_H

#include "base/buf.h"

/* %XX to bytes; plus: + is a blank, as in queries. out: room for in.size, may be in.data. false: a "%" without two hexadecimal digits
 * behind it. */
bool percent_decode(struct bytes in, bool plus, uint8_t *out, size_t *ret_size);
/* The same in place, terminated. false also: a zero byte. */
bool percent_decode_text(char *text);
/* With %XX in place of blanks, control characters, "%" and those of `also`. */
void percent_append(struct buf *out, struct bytes text, const char *also);

#endif
