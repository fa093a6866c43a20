/* Any bytes as a record batch: parse, check, walk all records and headers. */
#include "log/record_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct batch_info info;
	if (batch_parse(in, &info))
		return 0;
	struct batch_refused refused;
	int64_t newest_ms;
	struct buf out;
	(void)!batch_check(in, &info, &(struct batch_rules){.keyed = true, .newest_ms = INT64_MAX}, &refused, &newest_ms);
	buf_init(&out);
	(void)!batch_recode(in, &info, CODEC_LZ4, 0, &out);
	buf_done(&out);
	struct batch_reader reader;
	if (batch_reader_init(&reader, in))
		return 0;
	struct record record;
	struct record_header header;
	uint64_t sum = 0;
	while (batch_next(&reader, &record) == SM_OK) {
		for (size_t i = 0; i < record.key.size; i++)
			sum += record.key.data[i];
		for (size_t i = 0; i < record.value.size; i++)
			sum += record.value.data[i];
		while (record_header_next(&record.headers_raw, &header) == SM_OK)
			sum += header.key.size + header.value.size;
	}
	batch_reader_done(&reader);
	return sum == UINT64_MAX;
}
