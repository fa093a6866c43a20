#include "backup/migrate_internal.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <time.h>

void migrate__cursor_init(struct migrate_cursor *c, struct migrate *m, bool target, const char *topic, int32_t partition, int64_t from,
			  int64_t end)
{
	*c = (struct migrate_cursor){.log = target ? m->o->target : m->o->source,
				     .name = target ? m->o->target_name : m->o->source_name,
				     .topic = topic,
				     .partition = partition,
				     .offset = from,
				     .end = end,
				     .slice = {.fd = -1}};
}

static void batch_leave(struct migrate_cursor *c)
{
	if (c->in_batch)
		batch_reader_done(&c->reader);
	c->in_batch = false;
}

void migrate__cursor_done(struct migrate_cursor *c)
{
	batch_leave(c);
	log_slice_done(&c->slice);
	free(c->buffer);
	c->buffer = NULL;
}

static enum sm_err cannot_read(const struct migrate_cursor *c, enum sm_err err, struct sm_error *reterr)
{
	return sm_fail(reterr, err, "%s: %s, partition %d cannot be read at offset %lld: %s", c->name, c->topic, (int)c->partition,
		       (long long)c->offset, sm_err_text(err));
}

/* A reader may not know yet that there is more, until its end is asked for. */
static enum sm_err read_some(struct migrate_cursor *c, struct log_read_result *ret_result)
{
	enum sm_err err = SM_OK;
	int64_t latest;
	for (int i = 0; i < MIGRATE_RETRIES; i++) {
		if ((err = c->log->ops->read(c->log, c->topic, c->partition, c->offset, MIGRATE_READ_BYTES, ret_result)) ||
		    ret_result->slice.size)
			return err;
		log_slice_done(&ret_result->slice);
		if ((err = c->log->ops->offset_for(c->log, c->topic, c->partition, LOG_LATEST, &latest, NULL)))
			return err;
		if (latest < c->end)
			return SM_OUT_OF_RANGE;
		if (i)
			nanosleep(&(struct timespec){.tv_nsec = MIGRATE_RETRY_MS * 1000000L}, NULL);
	}
	return SM_TIMEOUT;
}

static enum sm_err read_more(struct migrate_cursor *c, struct sm_error *reterr)
{
	struct log_read_result result;
	log_slice_done(&c->slice);
	enum sm_err err = read_some(c, &result);
	if (err)
		return cannot_read(c, err, reterr);
	c->slice = result.slice;
	if ((err = log_slice_bytes(&c->slice, &c->buffer, &c->cap, &c->left)))
		return cannot_read(c, err, reterr);
	return SM_OK;
}

static enum sm_err batch_enter(struct migrate_cursor *c, struct sm_error *reterr)
{
	struct batch_info info;
	enum sm_err err = batch_parse(c->left, &info);
	if (err)
		return cannot_read(c, err, reterr);
	struct bytes batch = bytes_of(c->left.data, info.size);
	c->left = bytes_of(c->left.data + info.size, c->left.size - info.size);
	if (!batch_crc_ok(batch, &info))
		return cannot_read(c, SM_CORRUPT, reterr);
	int64_t after = info.base_offset + info.last_offset_delta + 1;
	if (after <= c->offset)
		return SM_OK;
	if (log_slice_hides(&c->slice, &info)) {
		c->offset = after;
		return SM_OK;
	}
	if ((err = batch_reader_init(&c->reader, batch)))
		return cannot_read(c, err, reterr);
	c->in_batch = true;
	c->batches++;
	return SM_OK;
}

enum sm_err migrate__next(struct migrate_cursor *c, struct record *ret_record, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	while (!err && (c->in_batch || c->offset < c->end)) {
		struct record record;
		if (!c->in_batch) {
			err = c->left.size ? batch_enter(c, reterr) : read_more(c, reterr);
			continue;
		}
		while (!(err = batch_next(&c->reader, &record)) && record.offset < c->offset)
			;
		if (!err && record.offset < c->end) {
			c->offset = record.offset + 1;
			*ret_record = record;
			return SM_OK;
		}
		if (err && err != SM_END)
			return cannot_read(c, err, reterr);
		err = SM_OK;
		c->offset = c->reader.info.base_offset + c->reader.info.last_offset_delta + 1;
		batch_leave(c);
	}
	if (!err) {
		c->offset = c->end;
		err = SM_END;
	}
	return err;
}

static bool same_headers(const struct record *a, const struct record *b)
{
	struct bytes left = a->headers_raw, right = b->headers_raw;
	struct record_header x, y;
	if (a->header_count != b->header_count)
		return false;
	for (uint32_t i = 0; i < a->header_count; i++)
		if (record_header_next(&left, &x) || record_header_next(&right, &y) || !bytes_equal(x.key, y.key) ||
		    x.value_null != y.value_null || !bytes_equal(x.value, y.value))
			return false;
	return true;
}

bool migrate__same_record(const struct record *a, const struct record *b)
{
	return a->timestamp_ms == b->timestamp_ms && a->key_null == b->key_null && a->value_null == b->value_null &&
	       bytes_equal(a->key, b->key) && bytes_equal(a->value, b->value) && same_headers(a, b);
}

/* ---- the checksum ----
 * Of each record: the sum before it, its time (8 bytes), key, value, the number of headers (4 bytes), and each header's key and value;
 * a field is its size (4 bytes, ffffffff: null) and its bytes. */

struct migrate_sum {
	EVP_MD *algorithm;
	EVP_MD_CTX *state;
};

enum sm_err migrate__sum_new(struct migrate_sum **ret_sum)
{
	struct migrate_sum *s = calloc(1, sizeof *s);
	if (!s)
		return SM_NO_MEMORY;
	s->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	s->state = EVP_MD_CTX_new();
	if (!s->algorithm || !s->state || !EVP_DigestInit_ex2(s->state, s->algorithm, NULL)) {
		migrate__sum_free(s);
		return SM_NO_MEMORY;
	}
	*ret_sum = s;
	return SM_OK;
}

void migrate__sum_free(struct migrate_sum *s)
{
	if (!s)
		return;
	EVP_MD_CTX_free(s->state);
	EVP_MD_free(s->algorithm);
	free(s);
}

static void sum_field(struct migrate_sum *s, struct bytes field, bool null)
{
	uint8_t size[4];
	be32_put(size, null ? UINT32_MAX : (uint32_t)field.size);
	EVP_DigestUpdate(s->state, size, 4);
	if (!null && field.size)
		EVP_DigestUpdate(s->state, field.data, field.size);
}

void migrate__sum_add(struct migrate_sum *s, const struct record *record, uint8_t sum[MIGRATE_SUM_SIZE])
{
	uint8_t number[8];
	struct bytes headers = record->headers_raw;
	struct record_header header;
	EVP_DigestInit_ex2(s->state, NULL, NULL);
	EVP_DigestUpdate(s->state, sum, MIGRATE_SUM_SIZE);
	be64_put(number, (uint64_t)record->timestamp_ms);
	EVP_DigestUpdate(s->state, number, 8);
	sum_field(s, record->key, record->key_null);
	sum_field(s, record->value, record->value_null);
	be32_put(number, record->header_count);
	EVP_DigestUpdate(s->state, number, 4);
	while (!record_header_next(&headers, &header)) {
		sum_field(s, header.key, false);
		sum_field(s, header.value, header.value_null);
	}
	EVP_DigestFinal_ex(s->state, sum, NULL);
}

void migrate__sum_bytes(struct migrate_sum *s, struct bytes bytes, uint8_t sum[MIGRATE_SUM_SIZE])
{
	EVP_DigestInit_ex2(s->state, NULL, NULL);
	EVP_DigestUpdate(s->state, sum, MIGRATE_SUM_SIZE);
	EVP_DigestUpdate(s->state, bytes.data, bytes.size);
	EVP_DigestFinal_ex(s->state, sum, NULL);
}

enum sm_err migrate__offset(struct migrate *m, bool target, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
			    struct sm_error *reterr)
{
	struct sm_log *log = target ? m->o->target : m->o->source;
	enum sm_err err = log->ops->offset_for(log, topic, partition, what, ret_offset, NULL);
	return err ? sm_fail(reterr, err, "%s: %s, partition %d cannot tell its offsets: %s",
			     target ? m->o->target_name : m->o->source_name, topic, (int)partition, sm_err_text(err))
		   : SM_OK;
}
