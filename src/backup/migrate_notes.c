/* The notes of a migration: a directory.
 *
 *   lock                        held by the one that is at work (flock)
 *   migration                   from where to where: two strings
 *   groups                      which offsets were committed for which group (migrate_groups.c)
 *   topics/NAME/configs         the configs that the target's topic had before (migrate_topics.c); gone when it has its true ones
 *   topics/NAME/PARTITION       a partition
 *
 * Each file is replaced as a whole, and is
 * offset  size  field
 *      0     8  "smackmig"
 *      8     4  version 1
 *     12     4  crc32c of what follows
 *     16        content; numbers big-endian, a string is a 4-byte size and its bytes
 * A partition's content: source topic's id (16), target topic's id (16); the points begin, before, tip, proven, each: source offset (8),
 * target offset (8), records (8), checksum (32); 1 if places were forgotten, else 0 (1); number of places (4), each: source offset (8),
 * target offset (8). */
#include "backup/migrate_internal.h"
#include "base/hash.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

#define MAGIC "smackmig"
#define VERSION 1
#define HEAD 16

/* ---- any file ---- */

static enum sm_err path_of(const struct migrate_state *s, const char *name, char path[PATH_MAX], struct sm_error *reterr)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", s->dir, name);
	return n < 0 || n >= PATH_MAX ? sm_fail(reterr, SM_INVALID, "the path is too long: %s", s->dir) : SM_OK;
}

enum sm_err migrate__state_write(struct migrate_state *s, const char *name, struct bytes data, struct sm_error *reterr)
{
	char path[PATH_MAX], dir[PATH_MAX];
	struct buf out;
	enum sm_err err = path_of(s, name, path, reterr);
	if (err)
		return err;
	buf_init(&out);
	buf_append_str(&out, MAGIC);
	buf_be32(&out, VERSION);
	buf_be32(&out, crc32c(0, data.data, data.size));
	buf_append_bytes(&out, data);
	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
	err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory") : io_mkdir_all(s->io, dir, reterr);
	if (!err)
		err = io_write_file_atomic(s->io, path, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

enum sm_err migrate__state_read(struct migrate_state *s, const char *name, uint8_t **ret_data, struct bytes *ret_bytes,
				struct sm_error *reterr)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t size;
	enum sm_err err = path_of(s, name, path, reterr);
	if (err)
		return err;
	err = io_read_file(s->io, path, MIGRATE_NOTES_MAX, &data, &size, reterr);
	if (err == SM_NOT_FOUND) {
		*ret_data = NULL;
		*ret_bytes = (struct bytes){0};
		return SM_OK;
	}
	if (err)
		return err;
	if (size < HEAD || memcmp(data, MAGIC, 8) != 0 || be32_get(data + 12) != crc32c(0, data + HEAD, size - HEAD))
		err = sm_fail(reterr, SM_CORRUPT, "%s is damaged: delete it, the copy then compares all that the target has", path);
	else if (be32_get(data + 8) != VERSION)
		err = sm_fail(reterr, SM_VERSION, "%s is of another version of smack: use that one, or delete the directory", path);
	if (err) {
		free(data);
		return err;
	}
	*ret_data = data;
	*ret_bytes = bytes_of(data + HEAD, size - HEAD);
	return SM_OK;
}

enum sm_err migrate__state_remove(struct migrate_state *s, const char *name, struct sm_error *reterr)
{
	char path[PATH_MAX];
	enum sm_err err = path_of(s, name, path, reterr);
	if (!err && (err = s->io->ops->unlink(s->io, path, reterr)) == SM_NOT_FOUND)
		err = SM_OK;
	return err;
}

static void string_put(struct buf *out, const char *text)
{
	buf_be32(out, (uint32_t)strlen(text));
	buf_append_str(out, text);
}

/* ---- the directory ---- */

static enum sm_err check_names(struct migrate_state *s, const char *source, const char *target, struct sm_error *reterr)
{
	struct buf names;
	uint8_t *data;
	struct bytes noted;
	buf_init(&names);
	string_put(&names, source);
	string_put(&names, target);
	enum sm_err err = names.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory")
				       : migrate__state_read(s, "migration", &data, &noted, reterr);
	if (!err && !data)
		err = migrate__state_write(s, "migration", buf_bytes(&names), reterr);
	else if (!err && !bytes_equal(noted, buf_bytes(&names))) {
		struct byte_reader r = byte_reader(noted);
		uint32_t from_size = reader_be32(&r);
		const uint8_t *from = reader_take(&r, from_size);
		uint32_t to_size = reader_be32(&r);
		const uint8_t *to = reader_take(&r, to_size);
		if (r.failed)
			err = sm_fail(reterr, SM_CORRUPT, "%s/migration makes no sense: delete the directory", s->dir);
		else
			err = sm_fail(reterr, SM_INVALID, "%s has the notes of a migration from %.*s to %.*s: name another directory",
				      s->dir, (int)from_size, (const char *)from, (int)to_size, (const char *)to);
		free(data);
	} else if (!err) {
		free(data);
	}
	buf_done(&names);
	return err;
}

enum sm_err migrate__state_open(struct migrate_state *s, const char *source, const char *target, struct sm_error *reterr)
{
	char path[PATH_MAX];
	s->lock.fd = -1;
	enum sm_err err = io_mkdir_all(s->io, s->dir, reterr);
	if (!err)
		err = path_of(s, "lock", path, reterr);
	if (!err)
		err = s->io->ops->open(s->io, path, IO_WRITE | IO_CREATE, &s->lock, reterr);
	if (err) {
		s->lock.fd = -1;
		return err;
	}
	if (flock(s->lock.fd, LOCK_EX | LOCK_NB))
		err = sm_fail(reterr, SM_BUSY, "another migration is at work with the notes in %s", s->dir);
	return err ? err : check_names(s, source, target, reterr);
}

void migrate__state_close(struct migrate_state *s)
{
	if (s->lock.fd >= 0)
		s->io->ops->close(s->io, &s->lock);
	s->lock.fd = -1;
}

bool migrate__topic_is_noted(struct migrate *m, const char *topic)
{
	struct migrate_notes notes;
	if (migrate__notes_read(m, topic, 0, &notes, NULL))
		return false;
	bool found = notes.found;
	migrate__notes_done(&notes);
	return found;
}

/* ---- a partition ---- */

static void name_of(const char *topic, int32_t partition, char name[512])
{
	snprintf(name, 512, "topics/%s/%d", topic, (int)partition);
}

static void point_put(struct buf *out, const struct migrate_point *p)
{
	buf_be64(out, (uint64_t)p->source);
	buf_be64(out, (uint64_t)p->target);
	buf_be64(out, p->records);
	buf_append(out, p->sum, MIGRATE_SUM_SIZE);
}

static struct migrate_point point_take(struct byte_reader *r)
{
	struct migrate_point p = {(int64_t)reader_be64(r), (int64_t)reader_be64(r), 0, {0}};
	p.records = reader_be64(r);
	const uint8_t *sum = reader_take(r, MIGRATE_SUM_SIZE);
	if (sum)
		memcpy(p.sum, sum, MIGRATE_SUM_SIZE);
	return p;
}

static void uuid_take(struct byte_reader *r, struct uuid *ret)
{
	const uint8_t *p = reader_take(r, 16);
	if (p)
		memcpy(ret->bytes, p, 16);
}

enum sm_err migrate__notes_write(struct migrate *m, const char *topic, int32_t partition, const struct migrate_notes *notes,
				 struct sm_error *reterr)
{
	char name[512];
	struct buf out;
	uint32_t count = 0;
	while (count < notes->place_count && notes->places[count].source < notes->tip.source)
		count++;
	buf_init(&out);
	buf_append(&out, notes->source_id.bytes, 16);
	buf_append(&out, notes->target_id.bytes, 16);
	point_put(&out, &notes->begin);
	point_put(&out, &notes->before);
	point_put(&out, &notes->tip);
	point_put(&out, &notes->proven);
	buf_u8(&out, notes->forgotten);
	buf_be32(&out, count);
	for (uint32_t i = 0; i < count; i++) {
		buf_be64(&out, (uint64_t)notes->places[i].source);
		buf_be64(&out, (uint64_t)notes->places[i].target);
	}
	name_of(topic, partition, name);
	enum sm_err err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory")
				     : migrate__state_write(&m->state, name, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

static enum sm_err places_take(struct byte_reader *r, struct migrate_notes *notes)
{
	notes->forgotten = reader_u8(r);
	uint32_t count = reader_be32(r);
	if (r->failed || count > MIGRATE_PLACES_MAX || reader_left(r) != (size_t)count * 16)
		return SM_CORRUPT;
	if (!(notes->places = calloc(MIGRATE_PLACES_MAX, sizeof *notes->places)))
		return SM_NO_MEMORY;
	notes->place_count = count;
	for (uint32_t i = 0; i < count; i++)
		notes->places[i] = (struct migrate_place){(int64_t)reader_be64(r), (int64_t)reader_be64(r)};
	return SM_OK;
}

/* Offsets are none below 0, and go on. */
static bool in_order(const struct migrate_notes *n)
{
	const struct migrate_point *points[] = {&n->begin, &n->proven, &n->tip};
	for (int i = 0; i < 3; i++)
		if (points[i]->source < (i ? points[i - 1]->source : 0) || points[i]->target < (i ? points[i - 1]->target : 0))
			return false;
	for (uint32_t i = 0; i < n->place_count; i++)
		if (n->places[i].source < (i ? n->places[i - 1].source : 0) || n->places[i].target < (i ? n->places[i - 1].target : 0))
			return false;
	return n->before.source >= n->begin.source && n->before.target >= n->begin.target;
}

enum sm_err migrate__notes_read(struct migrate *m, const char *topic, int32_t partition, struct migrate_notes *ret_notes,
				struct sm_error *reterr)
{
	char name[512];
	uint8_t *data;
	struct bytes bytes;
	struct migrate_notes notes = {0};
	name_of(topic, partition, name);
	enum sm_err err = migrate__state_read(&m->state, name, &data, &bytes, reterr);
	if (!err && data) {
		struct byte_reader r = byte_reader(bytes);
		uuid_take(&r, &notes.source_id);
		uuid_take(&r, &notes.target_id);
		notes.begin = point_take(&r);
		notes.before = point_take(&r);
		notes.tip = point_take(&r);
		notes.proven = point_take(&r);
		notes.found = true;
		if (!(err = places_take(&r, &notes)) && !in_order(&notes))
			err = SM_CORRUPT;
		if (err == SM_NO_MEMORY)
			sm_fail(reterr, err, "no memory");
		else if (err)
			err = sm_fail(reterr, err, "%s/%s makes no sense (%s): delete it, the copy then compares all", m->state.dir, name,
				      sm_err_text(err));
		free(data);
	} else if (!err && !(notes.places = calloc(MIGRATE_PLACES_MAX, sizeof *notes.places))) {
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	if (err)
		migrate__notes_done(&notes);
	else
		*ret_notes = notes;
	return err;
}

void migrate__notes_done(struct migrate_notes *notes)
{
	free(notes->places);
	notes->places = NULL;
}

/* ---- the table of offsets ---- */

void migrate__place_add(struct migrate_notes *notes, int64_t source, int64_t target)
{
	if (notes->place_count) {
		const struct migrate_place *last = &notes->places[notes->place_count - 1];
		if (source - last->source == target - last->target)
			return;
	}
	if (notes->place_count == MIGRATE_PLACES_MAX) {
		notes->forgotten = true;
		notes->place_count /= 2;
		for (uint32_t i = 1; i < notes->place_count; i++)
			notes->places[i] = notes->places[2 * i];
	}
	notes->places[notes->place_count++] = (struct migrate_place){source, target};
}

void migrate__places_cut(struct migrate_notes *notes, int64_t source)
{
	while (notes->place_count && notes->places[notes->place_count - 1].source >= source)
		notes->place_count--;
}
