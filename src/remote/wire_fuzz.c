/* Every decoder of the socket's protocol, by the first byte; what was understood is written and read once more. */
#include "remote/remote_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct store_column columns[] = {
	{.name = "k", .type = {.id = STORE_TEXT}, .kind = STORE_PARTITION_KEY, .id = 1},
	{.name = "c", .type = {.id = STORE_INT}, .kind = STORE_CLUSTERING, .id = 2},
	{.name = "v", .type = {.id = STORE_TEXT}, .kind = STORE_REGULAR, .id = 3},
};
static const struct store_table table = {.keyspace = "k",
					 .name = "t",
					 .columns = columns,
					 .column_count = 3,
					 .partition_key_count = 1,
					 .clustering_count = 1,
					 .regular_count = 1};
static const struct store_table *const tables[] = {&table};
static const struct store_keyspace keyspace = {.name = "k", .tables = tables, .table_count = 1};
static const struct store_schema schema = {.keyspaces = &keyspace, .keyspace_count = 1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct arena arena;
	struct buf out;
	arena_init(&arena, 16 << 20);
	buf_init(&out);
	struct byte_reader r = byte_reader(bytes_of(data + 1, size - 1));
	struct log_topic_spec spec;
	struct log_topics topics;
	struct store_schema read_schema;
	struct store_change change;
	struct store_batch batch;
	struct store_read read;
	struct sm_error error;
	switch (data[0] % 7) {
	case 0:
		remote__take_topic_spec(&r, &arena, &spec);
		if (!r.failed)
			remote__put_topic_spec(&out, &spec);
		break;
	case 1:
		remote__take_topics(&r, &arena, &topics);
		if (!r.failed)
			remote__put_topics(&out, &topics);
		break;
	case 2:
		remote__take_schema(&r, &arena, &read_schema);
		if (!r.failed)
			remote__put_schema(&out, &read_schema);
		break;
	case 3:
		remote__take_change(&r, &arena, &change);
		if (!r.failed)
			remote__put_change(&out, &change);
		break;
	case 4:
		if (!remote__take_store_batch(&r, &arena, &schema, &batch))
			remote__put_store_batch(&out, &batch);
		break;
	case 5:
		if (!remote__take_read(&r, &arena, &schema, &read))
			remote__put_read(&out, &read);
		break;
	case 6: (void)remote__take_error(&r, &error); break;
	}
	arena_done(&arena);
	buf_done(&out);
	return 0;
}
