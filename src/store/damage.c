/* Files of tables that cannot be opened, in a store that is open for reading only because of them. RocksDB 7.8 steps over such a file when
 * an iterator comes to it from the one before (a seek reports it), so reads of what such a file may hold are refused beforehand. */
#include "store/store_internal.h"
#include <rocksdb/c.h>
#include <stdlib.h>

struct store__damage {
	uint32_t count;
	struct damaged {
		struct buf first, last;
	} files[];
};

static bool opens(rocksdb_iterator_t *it, const char *first, size_t size)
{
	char *text = NULL;
	rocksdb_iter_seek(it, first, size);
	rocksdb_iter_get_error(it, &text);
	bool fine = !text;
	rocksdb_free(text);
	return fine;
}

enum sm_err store__damage_find(struct store__engine *engine, struct store__damage **ret_damage)
{
	const rocksdb_livefiles_t *files = rocksdb_livefiles(engine->rocks.db);
	int count = rocksdb_livefiles_count(files);
	struct store__damage *d = calloc(1, sizeof *d + (size_t)count * sizeof *d->files);
	bool failed = !d;
	rocksdb_iterator_t *it = rocksdb_create_iterator(engine->rocks.db, engine->rocks.get);
	for (int i = 0; i < count && !failed; i++) {
		size_t first_size, last_size;
		const char *first = rocksdb_livefiles_smallestkey(files, i, &first_size);
		const char *last = rocksdb_livefiles_largestkey(files, i, &last_size);
		if (opens(it, first, first_size))
			continue;
		struct damaged *file = &d->files[d->count++];
		buf_append(&file->first, first, first_size);
		buf_append(&file->last, last, last_size);
		failed = file->first.failed || file->last.failed;
	}
	rocksdb_iter_destroy(it);
	rocksdb_livefiles_destroy(files);
	if (failed) {
		store__damage_free(d);
		return SM_NO_MEMORY;
	}
	*ret_damage = d;
	return SM_OK;
}

void store__damage_free(struct store__damage *d)
{
	for (uint32_t i = 0; d && i < d->count; i++) {
		buf_done(&d->files[i].first);
		buf_done(&d->files[i].last);
	}
	free(d);
}

bool store__damage_hits(const struct store__damage *d, struct bytes from, struct bytes to)
{
	for (uint32_t i = 0; d && i < d->count; i++)
		if (bytes_compare(from, buf_bytes(&d->files[i].last)) <= 0 && bytes_compare(to, buf_bytes(&d->files[i].first)) > 0)
			return true;
	return false;
}
