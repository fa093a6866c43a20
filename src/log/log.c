#include "log/log.h"
#include "base/hash.h"
#include "log/record_batch.h"
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

void log_slice_done(struct log_slice *slice)
{
	if (slice->hold)
		slice->hold->release(slice->hold);
	free(slice->aborted);
	*slice = (struct log_slice){.fd = -1};
}

bool log_slice_hides(const struct log_slice *slice, const struct batch_info *info)
{
	if (info->attributes & BATCH_CONTROL)
		return true;
	if (!(info->attributes & BATCH_TRANSACTIONAL))
		return false;
	for (uint32_t i = 0; i < slice->aborted_count; i++) {
		const struct log_aborted *a = &slice->aborted[i];
		if (a->producer_id == info->producer_id && info->base_offset >= a->first_offset && info->base_offset < a->last_offset)
			return true;
	}
	return false;
}

enum sm_err log_slice_bytes(const struct log_slice *slice, uint8_t **buffer, size_t *cap, struct bytes *ret_bytes)
{
	if (slice->data || slice->size == 0) {
		*ret_bytes = bytes_of(slice->data, slice->size);
		return SM_OK;
	}
	if (*cap < slice->size) {
		uint8_t *grown = realloc(*buffer, slice->size);
		if (!grown)
			return SM_NO_MEMORY;
		*buffer = grown;
		*cap = slice->size;
	}
	struct io_file file = {.fd = slice->fd};
	size_t got;
	enum sm_err err = io_system.ops->pread(&io_system, &file, *buffer, slice->size, slice->file_at, &got, NULL);
	if (err)
		return err;
	if (got < slice->size)
		return SM_CORRUPT;
	*ret_bytes = bytes_of(*buffer, slice->size);
	return SM_OK;
}

const struct log_topic *log_topics_find(const struct log_topics *topics, const char *name)
{
	uint32_t low = 0, high = topics->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(topics->items[middle].name, name);
		if (order == 0)
			return &topics->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

int32_t log_partition_of(struct bytes key, int32_t partitions)
{
	return (int32_t)((murmur2(key.data, key.size) & 0x7fffffff) % (uint32_t)partitions);
}

bool log_topic_name_ok(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	return size > 0 && size <= 249 && name[size] == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* ---- for callers that may block ---- */

struct waiter {
	sem_t done;
	struct log_append_result result;
	enum sm_err err;
	struct sm_error *reterr;
};

static void waiter_wait(struct waiter *w)
{
	while (sem_wait(&w->done) && errno == EINTR)
		;
	sem_destroy(&w->done);
}

static void append_is_done(void *arg, const struct log_append_result *result)
{
	struct waiter *w = arg;
	w->result = *result;
	sem_post(&w->done);
}

enum sm_err log_append_wait(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size,
			    int64_t *ret_base_offset)
{
	struct waiter w = {.err = SM_OK};
	sem_init(&w.done, 0, 0);
	log->ops->append(log, topic, partition, batches, size, 0, append_is_done, &w);
	waiter_wait(&w);
	if (!w.result.err && ret_base_offset)
		*ret_base_offset = w.result.base_offset;
	return w.result.err;
}

static void topic_is_done(void *arg, const struct sm_error *error)
{
	struct waiter *w = arg;
	w->err = error ? error->code : SM_OK;
	if (error && w->reterr)
		*w->reterr = *error;
	sem_post(&w->done);
}

enum sm_err log_topic_create_wait(struct sm_log *log, const struct log_topic_spec *spec, struct sm_error *reterr)
{
	struct waiter w = {.reterr = reterr};
	sem_init(&w.done, 0, 0);
	log->ops->topic_create(log, spec, topic_is_done, &w);
	waiter_wait(&w);
	return w.err;
}

enum sm_err log_topic_change_wait(struct sm_log *log, const struct log_topic_change *change, struct sm_error *reterr)
{
	struct waiter w = {.reterr = reterr};
	sem_init(&w.done, 0, 0);
	log->ops->topic_change(log, change, topic_is_done, &w);
	waiter_wait(&w);
	return w.err;
}

enum sm_err log_topic_delete_wait(struct sm_log *log, const char *name, struct sm_error *reterr)
{
	struct waiter w = {.reterr = reterr};
	sem_init(&w.done, 0, 0);
	log->ops->topic_delete(log, name, topic_is_done, &w);
	waiter_wait(&w);
	return w.err;
}
