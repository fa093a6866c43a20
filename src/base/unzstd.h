/* zstd (RFC 8878) as a stream: feed pieces, get pieces; frames in a row are one stream. */
#ifndef BASE_UNZSTD_H
#define BASE_UNZSTD_H

#include "base/buf.h"

struct unzstd;
SM_MUST_CHECK enum sm_err unzstd_new(struct unzstd **ret);
void unzstd_free(struct unzstd *z);
/* Appends at most room bytes to out; ret_used of in were taken. Errors: SM_CORRUPT (also a window above 8 MiB), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err unzstd_feed(struct unzstd *z, struct bytes in, size_t room, struct buf *out, size_t *ret_used);
bool unzstd_at_end(const struct unzstd *z); /* between frames: the input may end here */
/* Memory that it holds now: a frame's window, most of it. */
size_t unzstd_bytes(const struct unzstd *z);

#endif
