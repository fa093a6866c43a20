/* Transactions of one partition: which are open, and what a marker does to a producer.
 *
 * A control batch has one record; its key says what it is, its value by whom:
 *   key:   int16 version 0, int16 type (0 ABORT, 1 COMMIT)
 *   value: int16 version 0, int32 coordinator epoch
 * Source: Kafka KIP-98, "Control messages"; KIP-890 (a marker with a newer epoch fences what its producer sent before). */
#include "log/log_internal.h"
#include <stdlib.h>

enum { MARKER_ABORT, MARKER_COMMIT };

enum sm_err log__marker_build(struct buf *out, const struct log_txn_marker *marker, int64_t now_ms)
{
	uint8_t key[4], value[6];
	struct batch_builder b;
	be16_put(key, 0);
	be16_put(key + 2, marker->commit ? MARKER_COMMIT : MARKER_ABORT);
	be16_put(value, 0);
	be32_put(value + 2, (uint32_t)marker->coordinator_epoch);
	batch_begin(&b, out, CODEC_NONE);
	batch_set_producer(&b, marker->producer_id, marker->producer_epoch, -1);
	batch_set_kind(&b, BATCH_TRANSACTIONAL | BATCH_CONTROL);
	batch_add(&b, &(struct record){.timestamp_ms = now_ms, .key = bytes_of(key, sizeof key), .value = bytes_of(value, sizeof value)},
		  NULL, 0);
	return batch_end(&b);
}

enum sm_err log__marker_read(struct bytes batch, struct log_txn_marker *ret_marker)
{
	struct batch_reader reader;
	struct record record;
	enum sm_err err = batch_reader_init(&reader, batch);
	if (err)
		return err;
	if ((err = batch_next(&reader, &record)))
		goto done;
	struct byte_reader key = byte_reader(record.key), value = byte_reader(record.value);
	reader_be16(&key);
	uint16_t type = reader_be16(&key);
	reader_be16(&value);
	int32_t coordinator_epoch = (int32_t)reader_be32(&value);
	if (key.failed || value.failed || type > MARKER_COMMIT)
		err = SM_END; /* a kind of control record that ends no transaction */
	else
		*ret_marker = (struct log_txn_marker){.producer_id = reader.info.producer_id,
						      .producer_epoch = reader.info.producer_epoch,
						      .coordinator_epoch = coordinator_epoch,
						      .commit = type == MARKER_COMMIT};
done:
	batch_reader_done(&reader);
	return err;
}

/* ---- the open ones, oldest first ---- */

static int by_first_offset(const void *a, const void *b)
{
	const struct producer *x = *(struct producer *const *)a, *y = *(struct producer *const *)b;
	return (x->txn_first_offset > y->txn_first_offset) - (x->txn_first_offset < y->txn_first_offset);
}

static enum sm_err open_reserve(struct producers *p, uint32_t count)
{
	if (count <= p->open_cap)
		return SM_OK;
	uint32_t cap = p->open_cap ? p->open_cap : 4;
	while (cap < count)
		cap *= 2;
	struct producer **grown = realloc(p->open, cap * sizeof(struct producer *));
	if (!grown)
		return SM_NO_MEMORY;
	p->open = grown;
	p->open_cap = cap;
	return SM_OK;
}

enum sm_err log__txn_open(struct producers *p, struct producer *producer, int64_t offset)
{
	enum sm_err err = open_reserve(p, p->open_count + 1);
	if (err)
		return err;
	producer->txn_first_offset = offset; /* offsets only grow: it is the newest */
	p->open[p->open_count++] = producer;
	return SM_OK;
}

static void open_close(struct producers *p, struct producer *producer)
{
	for (uint32_t i = 0; i < p->open_count; i++)
		if (p->open[i] == producer) {
			p->open_count--;
			memmove(p->open + i, p->open + i + 1, (p->open_count - i) * sizeof *p->open);
			break;
		}
	producer->txn_first_offset = -1;
}

enum sm_err log__txn_reopen(struct producers *p)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	uint32_t count = 0;
	while (map_next(&p->by_id, &pos, &key, &value))
		count += ((struct producer *)value)->txn_first_offset >= 0;
	enum sm_err err = open_reserve(p, count);
	if (err)
		return err;
	p->open_count = 0;
	for (pos = 0; map_next(&p->by_id, &pos, &key, &value);)
		if (((struct producer *)value)->txn_first_offset >= 0)
			p->open[p->open_count++] = value;
	if (p->open_count)
		qsort(p->open, p->open_count, sizeof *p->open, by_first_offset);
	return SM_OK;
}

int64_t log__txn_unstable(const struct producers *p)
{
	return p->open_count ? p->open[0]->txn_first_offset : -1;
}

/* ---- markers ---- */

enum sm_err log__txn_check(const struct producers *p, const struct log_txn_marker *marker)
{
	const struct producer *producer = log__producer_find(p, marker->producer_id);
	if (!producer)
		return SM_OK;
	if (marker->producer_epoch < producer->epoch)
		return SM_STALE_EPOCH;
	return marker->coordinator_epoch < producer->coordinator_epoch ? SM_CONFLICT : SM_OK;
}

enum sm_err log__txn_end(struct producers *p, const struct log_txn_marker *marker, int64_t offset, int64_t now_ms, bool undo,
			 struct log_aborted *ret_aborted)
{
	struct producer *producer;
	*ret_aborted = (struct log_aborted){.first_offset = -1};
	enum sm_err err = log__producer_change(p, marker->producer_id, undo, &producer);
	if (err)
		return err;
	if (producer->epoch != marker->producer_epoch) {
		producer->epoch = marker->producer_epoch;
		producer->count = 0;
		producer->any_sequence = false;
	}
	producer->coordinator_epoch = marker->coordinator_epoch;
	producer->seen_ms = now_ms;
	if (producer->txn_first_offset < 0)
		return SM_OK;
	if (!marker->commit)
		*ret_aborted = (struct log_aborted){marker->producer_id, producer->txn_first_offset, offset};
	open_close(p, producer);
	return SM_OK;
}

/* ---- for DescribeProducers ---- */

enum sm_err log__producers_list(const struct producers *p, struct log_producer **ret_list, uint32_t *ret_count)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	uint32_t count = 0;
	struct log_producer *list = calloc(p->by_id.count + 1, sizeof *list);
	if (!list)
		return SM_NO_MEMORY;
	while (map_next(&p->by_id, &pos, &key, &value)) {
		const struct producer *producer = value;
		list[count++] = (struct log_producer){
			.producer_id = producer->id,
			.epoch = producer->epoch,
			.last_sequence = producer->count ? producer->batches[producer->count - 1].last_sequence : -1,
			.last_timestamp_ms = producer->seen_ms,
			.coordinator_epoch = producer->coordinator_epoch,
			.txn_first_offset = producer->txn_first_offset,
		};
	}
	*ret_list = list;
	*ret_count = count;
	return SM_OK;
}
