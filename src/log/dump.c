/* log_dump: the batches of a segment as lines of text. */
#include "log/check.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN_MAX 200 /* bytes of a key or value */

struct dumping {
	const struct log_dump *dump;
	int64_t left;
};

static void SM_PRINTF(2, 3) say(struct dumping *d, const char *fmt, ...)
{
	char text[2000];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	d->dump->say(d->dump->arg, text);
}

/* Printable, quoted, cut after SHOWN_MAX bytes with a mark that it was. */
static const char *shown(struct bytes data, bool null, char out[SHOWN_MAX * 4 + 10])
{
	char *at = out;
	if (null)
		return "null";
	*at++ = '"';
	for (size_t i = 0; i < data.size && i < SHOWN_MAX; i++) {
		uint8_t c = data.data[i];
		if (c == '"' || c == '\\')
			*at++ = '\\';
		if (c >= 0x20 && c != 0x7f)
			*at++ = (char)c;
		else
			at += sprintf(at, "\\x%02x", c);
	}
	*at++ = '"';
	strcpy(at, data.size > SHOWN_MAX ? "..." : "");
	return out;
}

static void show_records(struct dumping *d, struct bytes batch)
{
	struct batch_reader reader;
	struct record record;
	char key[SHOWN_MAX * 4 + 10], value[SHOWN_MAX * 4 + 10];
	enum sm_err err = batch_reader_init(&reader, batch);
	while (!err && !(err = batch_next(&reader, &record)))
		say(d, "    %lld time %lld headers %u key %s value %s", (long long)record.offset, (long long)record.timestamp_ms,
		    record.header_count, shown(record.key, record.key_null, key), shown(record.value, record.value_null, value));
	if (err != SM_END)
		say(d, "    its records cannot be read: %s", sm_err_text(err));
	batch_reader_done(&reader);
}

static void show_batch(struct dumping *d, const struct scanner *scan, const struct batch_info *info)
{
	char producer[100] = "";
	if (info->producer_id >= 0)
		snprintf(producer, sizeof producer, " producer %lld epoch %d sequence %d", (long long)info->producer_id,
			 info->producer_epoch, info->base_sequence);
	say(d, "position %llu size %u offsets %lld to %lld records %d codec %s newest %lld%s%s%s%s", (unsigned long long)scan->position,
	    info->size, (long long)info->base_offset, (long long)info->base_offset + info->last_offset_delta, info->record_count,
	    codec_name(BATCH_CODEC(info->attributes)), (long long)info->max_timestamp_ms, producer,
	    info->attributes & BATCH_TRANSACTIONAL ? " transactional" : "", info->attributes & BATCH_CONTROL ? " control" : "",
	    info->attributes & BATCH_DELETE_HORIZON ? " delete-horizon" : "");
}

static enum sm_err dump_batch(struct dumping *d, struct scanner *scan, const struct batch_info *info, struct sm_error *reterr)
{
	struct bytes data;
	enum sm_err err = SM_OK;
	if (info->base_offset + info->last_offset_delta < d->dump->from)
		return SM_OK;
	show_batch(d, scan, info);
	d->left--;
	if (d->dump->records && !(info->attributes & BATCH_CONTROL) && !(err = log__scan_bytes(scan, info->size, &data, reterr)))
		show_records(d, bytes_of(data.data, info->size));
	return err;
}

static enum sm_err dump_batches(struct dumping *d, struct scanner *scan, int64_t expected, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	while (d->left != 0 && !err) {
		struct batch_info info;
		uint64_t at = scan->position;
		if ((err = log__scan_batch(scan, expected, &info, reterr)) == SM_END) {
			err = log__scan_next(scan, expected, INT64_MAX, &info, reterr);
			if (!err)
				say(d, "position %llu damaged up to %llu: offsets %lld to %lld are lost", (unsigned long long)at,
				    (unsigned long long)scan->position, (long long)expected, (long long)info.base_offset - 1);
			else if (err == SM_END)
				say(d, "position %llu: no batch from here on, next offset %lld", (unsigned long long)at,
				    (long long)expected);
		}
		if (err || (err = dump_batch(d, scan, &info, reterr)))
			break;
		expected = info.base_offset + info.last_offset_delta + 1;
		scan->position += info.size;
	}
	return err == SM_END ? SM_OK : err;
}

static enum sm_err dump_file(struct dumping *d, const char *path, int64_t base_offset, struct sm_error *reterr)
{
	static const char *const kinds[] = {
		[MARK_GROUP] = "group", [MARK_SYNCED] = "synced", [MARK_CLEAN] = "clean", [MARK_SEALED] = "sealed"};
	struct io *io = d->dump->io;
	struct io_file file;
	struct scanner scan = {.io = io, .file = &file, .position = SEGMENT_HEADER};
	struct segment_mark mark;
	int page;
	enum sm_err err = io->ops->open(io, path, IO_READ, &file, reterr);
	if (err)
		return err;
	if ((err = io->ops->size(io, &file, &scan.size, reterr)))
		goto done;
	if (!(err = log__mark_read(io, &file, &mark, &page, reterr)))
		say(d, "%s: %llu bytes, mark %s: start %llu end %llu next offset %lld newest %lld", path, (unsigned long long)scan.size,
		    kinds[mark.kind], (unsigned long long)mark.start, (unsigned long long)mark.end, (long long)mark.next_offset,
		    (long long)mark.max_timestamp_ms);
	else if (err == SM_NOT_FOUND)
		say(d, "%s: %llu bytes, no mark that is right", path, (unsigned long long)scan.size);
	else
		goto done;
	err = dump_batches(d, &scan, base_offset, reterr);
done:
	log__scan_done(&scan);
	io->ops->close(io, &file);
	return err;
}

static enum sm_err dump_dir(struct dumping *d, struct sm_error *reterr)
{
	const char *dir = d->dump->path;
	struct segment_list list = {0};
	enum sm_err err = log__segments_list(d->dump->io, dir, &list, reterr);
	if (!err && !list.count)
		err = sm_fail(reterr, SM_NOT_FOUND, "%s holds no segment: give DATA/log/TOPIC-PARTITION, or one file of it", dir);
	for (uint32_t i = 0; i < list.count && d->left != 0 && !err; i++) {
		char path[PATH_MAX];
		if (i + 1 < list.count && list.offsets[i + 1] <= d->dump->from)
			continue;
		snprintf(path, sizeof path, "%s/%020lld.log", dir, (long long)list.offsets[i]);
		err = dump_file(d, path, list.offsets[i], reterr);
	}
	free(list.offsets);
	return err;
}

enum sm_err log_dump(const struct log_dump *dump, struct sm_error *reterr)
{
	struct dumping d = {.dump = dump, .left = dump->most};
	const char *slash = strrchr(dump->path, '/');
	int64_t base_offset = log__segment_name_parse(slash ? slash + 1 : dump->path, ".log");
	return base_offset >= 0 ? dump_file(&d, dump->path, base_offset, reterr) : dump_dir(&d, reterr);
}
