/* What the coordinators of consumer groups keep in __consumer_offsets beside offsets: the newest record of each key, as it came. The log
 * knows of a key only that it begins with a version and a group's name; what it means is the coordinator's (kafka/group_store.c).
 *
 * Key:   int16 version from 2 on, string group, what else the version has      (string: int16 length, bytes)
 * Value: the coordinator's; null takes the record away. */
#include "base/arena.h"
#include "base/map.h"
#include "log/log_internal.h"
#include <stdlib.h>

struct kept {
	int64_t at; /* the record's own offset */
	size_t size;
	uint8_t value[];
};
struct group_records {
	pthread_mutex_t lock;
	struct map groups; /* name -> struct map: key -> struct kept */
};

struct group_records *log__group_records_new(void)
{
	struct group_records *g = calloc(1, sizeof *g);
	if (!g)
		return NULL;
	pthread_mutex_init(&g->lock, NULL);
	map_init(&g->groups);
	return g;
}

void log__group_records_free(struct group_records *g)
{
	size_t pos = 0, at;
	struct bytes key;
	void *value, *kept;
	if (!g)
		return;
	while (map_next(&g->groups, &pos, &key, &value)) {
		for (at = 0; map_next(value, &at, &key, &kept);)
			free(kept);
		map_done(value);
		free(value);
	}
	map_done(&g->groups);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static bool group_of(struct bytes key, struct bytes *ret_group)
{
	struct byte_reader in = byte_reader(key);
	reader_be16(&in);
	uint16_t size = reader_be16(&in);
	const uint8_t *name = reader_take(&in, size);
	*ret_group = bytes_of(name, size);
	return !in.failed && size;
}

static struct map *records_of(struct group_records *g, struct bytes group, bool make)
{
	struct map *records = map_get(&g->groups, group);
	if (records || !make || !(records = malloc(sizeof *records)))
		return records;
	map_init(records);
	if (map_put(&g->groups, group, records, NULL)) {
		free(records);
		return NULL;
	}
	return records;
}

static void take_away(struct group_records *g, struct bytes group, struct map *records, struct bytes key)
{
	free(map_remove(records, key));
	if (records->count)
		return;
	map_remove(&g->groups, group);
	map_done(records);
	free(records);
}

static enum sm_err apply(struct group_records *g, struct bytes group, const struct record *r)
{
	struct map *records = records_of(g, group, !r->value_null);
	const struct kept *there = records ? map_get(records, r->key) : NULL;
	void *old = NULL;
	if (!records)
		return r->value_null ? SM_OK : SM_NO_MEMORY;
	if (there && there->at > r->offset)
		return SM_OK;
	if (r->value_null) {
		take_away(g, group, records, r->key);
		return SM_OK;
	}
	struct kept *k = malloc(sizeof *k + r->value.size);
	if (!k)
		return SM_NO_MEMORY;
	*k = (struct kept){r->offset, r->value.size};
	if (r->value.size)
		memcpy(k->value, r->value.data, r->value.size);
	if (map_put(records, r->key, k, &old)) {
		free(k);
		return SM_NO_MEMORY;
	}
	free(old);
	return SM_OK;
}

enum sm_err log__group_records_apply(struct group_records *g, const struct record *r)
{
	struct bytes group;
	if (!group_of(r->key, &group))
		return SM_CORRUPT;
	pthread_mutex_lock(&g->lock);
	enum sm_err err = apply(g, group, r);
	pthread_mutex_unlock(&g->lock);
	return err;
}

static enum sm_err copy_all(const struct map *records, struct arena *arena, struct log_group_record **ret, uint32_t *ret_count)
{
	struct log_group_record *all = arena_alloc(arena, ((records ? records->count : 0) + 1) * sizeof *all);
	size_t pos = 0;
	struct bytes key;
	void *value;
	*ret = all;
	*ret_count = 0;
	while (all && records && map_next(records, &pos, &key, &value)) {
		const struct kept *k = value;
		struct log_group_record *r = &all[(*ret_count)++];
		r->key = bytes_of(arena_copy(arena, key.data, key.size), key.size);
		r->value = bytes_of(arena_string(arena, (const char *)k->value, k->size), k->size);
		if (!r->key.data || !r->value.data)
			return SM_NO_MEMORY;
	}
	return all ? SM_OK : SM_NO_MEMORY;
}

enum sm_err log__group_records_read(struct group_records *g, const char *group, struct arena *arena, struct log_group_record **ret,
				    uint32_t *ret_count)
{
	pthread_mutex_lock(&g->lock);
	enum sm_err err = copy_all(map_get(&g->groups, bytes_str(group)), arena, ret, ret_count);
	pthread_mutex_unlock(&g->lock);
	return err;
}

enum sm_err log__group_records_names(struct group_records *g, struct map *names)
{
	size_t pos = 0;
	struct bytes name;
	void *value;
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&g->lock);
	while (!err && map_next(&g->groups, &pos, &name, &value))
		err = map_put(names, name, g, NULL);
	pthread_mutex_unlock(&g->lock);
	return err;
}

/* ---- writing ---- */

#define BATCH_SPLIT_BYTES (512u << 10)

enum sm_err log__group_records_build(const struct log_group_record *records, uint32_t count, int64_t now_ms, struct buf *out)
{
	struct batch_builder b;
	bool open = false;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < count && !err; i++) {
		const struct log_group_record *r = &records[i];
		struct bytes group;
		if (r->key.size < 2 || be16_get(r->key.data) < 2 || !group_of(r->key, &group))
			err = SM_INVALID;
		if (err)
			break;
		if (open && batch_size(&b) > BATCH_SPLIT_BYTES) {
			err = batch_end(&b);
			open = false;
		}
		if (!open)
			batch_begin(&b, out, CODEC_NONE);
		open = true;
		batch_add(&b, &(struct record){.timestamp_ms = now_ms, .key = r->key, .value = r->value, .value_null = !r->value.data},
			  NULL, 0);
	}
	if (open) {
		enum sm_err end = batch_end(&b);
		err = err ? err : end;
	}
	return err ? err : out->failed ? SM_NO_MEMORY : SM_OK;
}
