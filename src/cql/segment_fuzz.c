/* Segments of protocol version 5: the first byte chooses compression and whether the CRCs are made to fit; then segments one after the
 * other, as a connection reads them. What is read is written and read again. No input may crash, read too far or loop. */
#include "cql/segment.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read must survive being written and read once more. */
static void round_trip(struct bytes payload, bool lz4)
{
	struct buf out, scratch;
	struct cql_segment s;
	const char *text;
	buf_init(&out);
	buf_init(&scratch);
	cql_segments_put(&out, lz4, payload);
	if (cql_segment_read(buf_bytes(&out), lz4, &scratch, &s, &text) || !s.self_contained || !bytes_equal(s.payload, payload) ||
	    s.size != buf_size(&out))
		abort();
	buf_done(&out);
	buf_done(&scratch);
}

/* Put right CRCs over the segment at the front, which a fuzzer does not guess: made by writing its payload anew, plain, and taking the
 * input's own header fields. */
static void mend(uint8_t *p, size_t size, bool lz4)
{
	size_t fields = lz4 ? 5 : 3;
	if (size < fields + 3)
		return;
	uint32_t crc = 0x875060;
	for (size_t i = 0; i < fields; i++) {
		crc ^= (uint32_t)p[i] << 16;
		for (int bit = 0; bit < 8; bit++)
			crc = crc << 1 & 0x1000000 ? crc << 1 ^ 0x1974F0B : crc << 1;
	}
	for (int i = 0; i < 3; i++)
		p[fields + (size_t)i] = (uint8_t)(crc >> 8 * i);
	size_t n = (p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16) & CQL_SEGMENT_PAYLOAD_MAX;
	if (size < fields + 3 + n + 4)
		return;
	struct buf plain;
	buf_init(&plain);
	cql_segments_put(&plain, false, bytes_of(p + fields + 3, n));
	memcpy(p + fields + 3 + n, plain.data + plain.end - 4, 4);
	buf_done(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	bool lz4 = data[0] & 1, mended = data[0] & 2;
	uint8_t *copy = malloc(size);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	struct buf scratch;
	buf_init(&scratch);
	for (size_t at = 1; at < size;) {
		struct cql_segment s = {0};
		const char *text = NULL;
		if (mended)
			mend(copy + at, size - at, lz4);
		enum sm_err err = cql_segment_read(bytes_of(copy + at, size - at), lz4, &scratch, &s, &text);
		if (err == SM_AGAIN && s.size <= size - at)
			abort(); /* it needs no more than there is */
		if (err && err != SM_AGAIN && !text)
			abort();
		if (err)
			break;
		if (s.size == 0 || s.size > size - at)
			abort();
		round_trip(s.payload, lz4);
		at += s.size;
	}
	buf_done(&scratch);
	free(copy);
	return 0;
}
