/* The content of a file of notes, whatever it is: it is read, or refused. The checksum before it is right. */
#include "backup/migrate_internal.h"
#include "base/hash.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf file;

/* One file under every name. */
static enum sm_err open_file(struct io *io, const char *path, unsigned how, struct io_file *ret_file, struct sm_error *reterr)
{
	*ret_file = (struct io_file){.fd = -1};
	return SM_OK;
}

static void close_file(struct io *io, struct io_file *f) {}

static enum sm_err size_of(struct io *io, struct io_file *f, uint64_t *ret_size, struct sm_error *reterr)
{
	*ret_size = buf_size(&file);
	return SM_OK;
}

static enum sm_err read_at(struct io *io, struct io_file *f, void *out, size_t size, uint64_t at, size_t *ret_got, struct sm_error *reterr)
{
	size_t left = at < buf_size(&file) ? buf_size(&file) - at : 0;
	*ret_got = size < left ? size : left;
	if (*ret_got)
		memcpy(out, buf_bytes(&file).data + at, *ret_got);
	return SM_OK;
}

static enum sm_err no_groups(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	*ret_count = 0;
	*ret_hold = NULL;
	return SM_OK;
}

static void release(struct sm_log *log, void *hold) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct io_ops files = {.open = open_file, .close = close_file, .size = size_of, .pread = read_at};
	static const struct log_ops none = {.groups = no_groups, .offsets_release = release};
	struct io io = {&files};
	struct sm_log source = {&none};
	struct migrate_log_report report = {0};
	const struct migrate_log_options options = {.source = &source, .source_name = "s", .target_name = "t", .state_dir = "/notes"};
	struct migrate m = {.o = &options, .state = {.io = &io, .dir = "/notes", .lock = {.fd = -1}}, .report = &report};
	struct migrate_notes notes;
	struct sm_error error;
	buf_clear(&file);
	buf_append_str(&file, "smackmig");
	buf_be32(&file, 1);
	buf_be32(&file, crc32c(0, data, size));
	buf_append(&file, data, size);
	if (!migrate__notes_read(&m, "topic", 0, &notes, &error)) {
		if (!notes.found || notes.place_count > MIGRATE_PLACES_MAX)
			abort();
		migrate__place_add(&notes, INT64_MAX, INT64_MAX);
		migrate__notes_done(&notes);
	}
	(void)!migrate__groups(&m, &error);
	return 0;
}
