/* Where a partition begins, when records were deleted on demand; and the files that keep one offset.
 *
 * LOG/TOPIC-N/start, .../cleaned, replaced as a whole: 8 bytes big-endian, the offset, and 4 bytes crc32c of them. start: the first that
 * was not deleted; without the file, 0. It is written before segments are deleted, so that a first segment that is missing is noticed.
 * cleaned: compacted up to there. */
#include "base/hash.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum sm_err log__offset_read(struct io *io, const char *dir, const char *name, int64_t *ret_offset, struct sm_error *reterr)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t size;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	enum sm_err err = io_read_file(io, path, 4096, &data, &size, reterr);
	*ret_offset = 0;
	if (err)
		return err;
	if (size != 12 || be32_get(data + 8) != crc32c(0, data, 8) || (int64_t)be64_get(data) < 0)
		err = sm_fail(reterr, SM_CORRUPT, "%s is damaged: delete it, and deleted records that are still there can be read again",
			      path);
	else
		*ret_offset = (int64_t)be64_get(data);
	free(data);
	return err;
}

enum sm_err log__offset_write(struct io *io, const char *dir, const char *name, int64_t offset, struct sm_error *reterr)
{
	char path[PATH_MAX];
	uint8_t data[12];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	be64_put(data, (uint64_t)offset);
	be32_put(data + 8, crc32c(0, data, 8));
	return io_write_file_atomic(io, path, bytes_of(data, sizeof data), reterr);
}

enum sm_err log__partition_start_at(struct partition *p, int64_t offset, struct sm_error *reterr)
{
	pthread_mutex_lock(&p->lock);
	int64_t start = p->log_start_offset, end = p->high_watermark;
	bool offline = p->offline;
	pthread_mutex_unlock(&p->lock);
	if (offline)
		return sm_fail(reterr, SM_IO, "%s is offline: its files could not be opened", p->dir);
	if (offset == -1)
		offset = end;
	if (offset < 0 || offset > end)
		return sm_fail(reterr, SM_OUT_OF_RANGE, "offset %lld lies beyond the high watermark %lld", (long long)offset,
			       (long long)end);
	if (offset <= start)
		return SM_OK;
	enum sm_err err = log__offset_write(p->io, p->dir, "start", offset, reterr);
	if (err)
		return err;
	pthread_mutex_lock(&p->files_lock);
	p->start_kept = offset;
	pthread_mutex_unlock(&p->files_lock);
	pthread_mutex_lock(&p->lock);
	p->log_start_offset = offset;
	pthread_mutex_unlock(&p->lock);
	return log__partition_drop_old(p, 0, offset, reterr);
}
