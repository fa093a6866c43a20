/* Codecs, in the framings that Kafka's record batches and HTTP use. Output is bounded against bombs. */
#ifndef BASE_COMPRESS_H
#define BASE_COMPRESS_H

#include "base/buf.h"

enum codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD }; /* Kafka's numbers */
#define CODEC_COUNT 5
const char *codec_name(enum codec codec); /* "gzip" */
/* Compress in -> appended to out. Snappy is written in xerial framing, LZ4 as a frame, as Kafka's clients do. */
SM_MUST_CHECK enum sm_err codec_compress(enum codec codec, struct bytes in, struct buf *out);
/* The same at a level of the codec's own scale: gzip -1 to 9, lz4 1 to 17, zstd -131072 to 22. */
SM_MUST_CHECK enum sm_err codec_compress_level(enum codec codec, int level, struct bytes in, struct buf *out);
int codec_level_default(enum codec codec);
/* Decompress all of in, appended to out. Snappy: xerial or raw. Errors: SM_CORRUPT, SM_TOO_LARGE above size_max. */
SM_MUST_CHECK enum sm_err codec_decompress(enum codec codec, struct bytes in, size_t size_max, struct buf *out);
/* Raw LZ4 block and raw snappy, as CQL frames carry them, come with their own size. */

/* gzip as a stream: feed pieces, get pieces; several members in a row are one stream. */
struct gunzip;
SM_MUST_CHECK enum sm_err gunzip_new(struct gunzip **ret);
void gunzip_free(struct gunzip *g);
/* Appends at most room bytes to out; ret_used of in were taken. Errors: SM_CORRUPT. */
SM_MUST_CHECK enum sm_err gunzip_feed(struct gunzip *g, struct bytes in, size_t room, struct buf *out, size_t *ret_used);
bool gunzip_at_end(const struct gunzip *g); /* between members: the input may end here */
struct gzip;
SM_MUST_CHECK enum sm_err gzip_new(int level, struct gzip **ret);
void gzip_free(struct gzip *g);
SM_MUST_CHECK enum sm_err gzip_feed(struct gzip *g, struct bytes in, bool finish, struct buf *out);

#endif
