/* Any bytes as the value of a key: decode; what decodes is encoded again to the same meaning, and merges with itself to itself. */
#include "store/store_internal.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool fine)
{
	if (!fine)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store__row row;
	struct buf once, again;
	store__row_init(&row);
	buf_init(&once);
	buf_init(&again);
	if (!store__row_decode(bytes_of(data, size), &row)) {
		struct bytes twice[2] = {bytes_of(data, size), bytes_of(data, size)};
		must(!store__row_merge_values(twice, 2, &once));
		must(!store__row_decode(buf_bytes(&once), &row));
		twice[0] = twice[1] = buf_bytes(&once);
		must(!store__row_merge_values(twice, 2, &again));
		must(bytes_equal(buf_bytes(&once), buf_bytes(&again)));
		/* the two halves of the input as pieces of one row */
		buf_clear(&again);
		struct bytes halves[3] = {bytes_of(data, size), bytes_of(data, size / 2), bytes_of(data + size / 2, size - size / 2)};
		(void)!store__row_merge_values(halves, 3, &again);
	}
	buf_done(&once);
	buf_done(&again);
	store__row_done(&row);
	return 0;
}
