/* One pass over the topic; each day has its compressor and its temporary file, so that events may come in any order. */
#include "backup/backup.h"
#include "backup/backup_limits.h"
#include "base/compress.h"
#include "log/record_batch.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct day {
	int64_t number; /* days since 1970 */
	struct gzip *gzip;
	struct io_file file;
	bool open;
	uint64_t size; /* written so far */
	char path[PATH_MAX - 8];
};
struct archive {
	const struct backup_archive_options *o;
	struct io *io;
	int time_field;
	struct day *days[BACKUP_DAYS_MAX];
	uint32_t day_count;
	struct event_value *values;
	struct arena arena;
	struct buf out;
	struct backup_archive_stats stats;
};
#define DAY_MS 86400000

static int64_t day_number(int64_t ms)
{
	return ms / DAY_MS - (ms % DAY_MS < 0);
}

static enum sm_err open_day(struct archive *a, int64_t number, struct day **ret_day, struct sm_error *reterr)
{
	struct civil c = civil_of_ms(number * DAY_MS);
	char dir[PATH_MAX - 64], path[PATH_MAX];
	if (a->day_count == BACKUP_DAYS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "the events lie on more than %d days", BACKUP_DAYS_MAX);
	struct day *d = calloc(1, sizeof *d);
	if (!d)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	a->days[a->day_count++] = d;
	d->number = number;
	snprintf(dir, sizeof dir, "%s/%04d/%02u", a->o->dir, (int)c.year, c.month);
	snprintf(d->path, sizeof d->path, "%s/%02u.gz", dir, c.day);
	snprintf(path, sizeof path, "%s.part", d->path);
	enum sm_err err = io_mkdir_all(a->io, dir, reterr);
	if (!err)
		err = a->io->ops->open(a->io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &d->file, reterr);
	d->open = !err;
	if (!err && (err = gzip_new(6, &d->gzip)))
		sm_fail(reterr, err, "no memory");
	*ret_day = d;
	return err;
}

static enum sm_err find_day(struct archive *a, int64_t number, struct day **ret_day, struct sm_error *reterr)
{
	/* The newest first: events come nearly in order. */
	for (uint32_t i = a->day_count; i-- > 0;)
		if (a->days[i]->number == number)
			return *ret_day = a->days[i], SM_OK;
	return open_day(a, number, ret_day, reterr);
}

static enum sm_err write_day(struct archive *a, struct day *d, struct bytes text, bool finish, struct sm_error *reterr)
{
	buf_clear(&a->out);
	enum sm_err err = gzip_feed(d->gzip, text, finish, &a->out);
	if (err)
		return sm_fail(reterr, err, "no memory");
	struct bytes out = buf_bytes(&a->out);
	if (!out.size)
		return SM_OK;
	struct iovec iov = {(void *)(uintptr_t)out.data, out.size};
	if (!(err = a->io->ops->pwritev(a->io, &d->file, &iov, 1, d->size, reterr)))
		d->size += out.size;
	else
		sm_error_prefix(reterr, "%s", d->path);
	return err;
}

static enum sm_err archive_record(struct archive *a, const struct record *record, struct sm_error *reterr)
{
	struct event_problems problems;
	struct day *day;
	arena_reset(&a->arena);
	/* A line end within an event is white space there, but would make two lines here. */
	bool fits = !record->value_null && !memchr(record->value.data, '\n', record->value.size) &&
		    !event_scan(a->o->schema, record->value, a->values, &a->arena, &problems) && a->values[a->time_field].present;
	if (!fits) {
		a->stats.bad++;
		return SM_OK;
	}
	enum sm_err err = find_day(a, day_number(a->values[a->time_field].integer), &day, reterr);
	if (!err)
		err = write_day(a, day, record->value, false, reterr);
	if (!err)
		err = write_day(a, day, BYTES("\n"), false, reterr);
	a->stats.events += !err;
	return err;
}

static enum sm_err archive_batches(struct archive *a, const struct log_slice *slice, struct bytes data, int64_t *offset, int64_t end,
				   struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	while (!err && data.size && *offset < end) {
		struct batch_reader reader;
		struct record record;
		if ((err = batch_reader_init(&reader, data)))
			return sm_fail(reterr, err, "a record batch at offset %lld: %s", (long long)*offset, sm_err_text(err));
		bool hidden = log_slice_hides(slice, &reader.info);
		while (!hidden && !(err = batch_next(&reader, &record)))
			if (record.offset >= *offset && record.offset < end && (err = archive_record(a, &record, reterr)))
				break;
		if (err == SM_END)
			err = SM_OK;
		*offset = reader.info.base_offset + reader.info.last_offset_delta + 1;
		data.data += reader.info.size;
		data.size -= reader.info.size;
		batch_reader_done(&reader);
	}
	return err;
}

static enum sm_err archive_partition(struct archive *a, int32_t partition, struct sm_error *reterr)
{
	struct sm_log *log = a->o->log;
	int64_t offset, end;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	enum sm_err err = log->ops->offset_for(log, a->o->topic, partition, LOG_EARLIEST, &offset, NULL);
	if (!err)
		err = log->ops->offset_for(log, a->o->topic, partition, LOG_LATEST, &end, NULL);
	if (err)
		return sm_fail(reterr, err, "%s, partition %d: %s", a->o->topic, (int)partition, sm_err_text(err));
	while (!err && offset < end) {
		struct log_read_result result;
		struct bytes data;
		if ((err = log->ops->read(log, a->o->topic, partition, offset, 1 << 20, &result))) {
			sm_fail(reterr, err, "%s, partition %d, offset %lld: %s", a->o->topic, (int)partition, (long long)offset,
				sm_err_text(err));
			break;
		}
		if (!result.slice.size)
			break;
		if ((err = log_slice_bytes(&result.slice, &buffer, &cap, &data)))
			sm_fail(reterr, err, "%s, partition %d: %s", a->o->topic, (int)partition, sm_err_text(err));
		else
			err = archive_batches(a, &result.slice, data, &offset, end, reterr);
		log_slice_done(&result.slice);
	}
	free(buffer);
	return err;
}

/* Whole, on disk, and only then under its name. */
static enum sm_err finish_day(struct archive *a, struct day *d, struct sm_error *reterr)
{
	char part[PATH_MAX + 8], dir[PATH_MAX];
	snprintf(part, sizeof part, "%s.part", d->path);
	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(d->path, '/') - d->path), d->path);
	enum sm_err err = write_day(a, d, (struct bytes){0}, true, reterr);
	if (!err)
		err = a->io->ops->fdatasync(a->io, &d->file, reterr);
	if (!err)
		err = a->io->ops->rename(a->io, part, d->path, reterr);
	if (!err)
		err = a->io->ops->sync_dir(a->io, dir, reterr);
	a->stats.files += !err;
	return err;
}

static void free_day(struct archive *a, struct day *d, bool failed)
{
	char part[PATH_MAX + 8];
	if (d->open)
		a->io->ops->close(a->io, &d->file);
	snprintf(part, sizeof part, "%s.part", d->path);
	if (failed)
		a->io->ops->unlink(a->io, part, NULL);
	gzip_free(d->gzip);
	free(d);
}

enum sm_err backup_archive(const struct backup_archive_options *o, struct backup_archive_stats *ret_stats, struct sm_error *reterr)
{
	struct archive *a = calloc(1, sizeof *a);
	if (!a)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	a->o = o;
	a->io = o->io ? o->io : &io_system;
	arena_init(&a->arena, 16 << 20);
	a->values = calloc(o->schema->field_count + 1, sizeof *a->values);
	a->time_field = schema_find(o->schema, o->time_field);
	const struct log_topics *topics = o->log->ops->topics(o->log);
	const struct log_topic *t = topics ? log_topics_find(topics, o->topic) : NULL;
	int32_t partitions = t ? t->partitions : 0;
	o->log->ops->topics_release(o->log, topics);
	enum sm_err err = SM_OK;
	if (!a->values)
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	else if (!partitions)
		err = sm_fail(reterr, SM_NOT_FOUND, "topic '%s' does not exist", o->topic);
	else if (a->time_field < 0 ||
		 (o->schema->fields[a->time_field].type != SCHEMA_INTEGER && o->schema->fields[a->time_field].type != SCHEMA_DATE_TIME))
		err = sm_fail(reterr, SM_INVALID,
			      "the schema has no integer or date-time '%s' that could tell the day of an event: name one with --time",
			      o->time_field);
	for (int32_t p = 0; p < partitions && !err; p++)
		err = archive_partition(a, p, reterr);
	for (uint32_t i = 0; i < a->day_count && !err; i++)
		err = finish_day(a, a->days[i], reterr);
	for (uint32_t i = 0; i < a->day_count; i++)
		free_day(a, a->days[i], err != SM_OK);
	if (!err)
		*ret_stats = a->stats;
	buf_done(&a->out);
	arena_done(&a->arena);
	free(a->values);
	free(a);
	return err;
}
