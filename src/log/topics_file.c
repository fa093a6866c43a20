/* The file that keeps the table of topics.
 *
 * LOG/topics.json, replaced as a whole (io_write_file_atomic):
 *   {"version": 2, "crc32c": "1a2b3c4d", "topics": [{"name": "raw_events", "id": "UUID", "partitions": 6, "replication_factor": 1,
 *     "internal": false, "deleting": false, "configs": {"retention.ms": "86400000"}}]}
 * crc32c: of the topics as json_write writes them; without it (who edits the file leaves it out) they are taken as they are. Version 1
 * had none, and its partitions did not tell where they begin (partition_start.c). Before it is replaced, LOG/topics.copy.json is written
 * with the same: it is read when the other is missing or damaged.
 * A topic that is being deleted keeps its entry until its directories are gone; at the next start they go. A partition's
 * directory LOG/NAME-NUMBER is made by its first append. */
#include "base/hash.h"
#include "base/json.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPICS_FILE_MAX (256u << 20)
#define FILE_NAME "topics.json"
#define COPY "topics.copy.json"
#define FORMAT 2

static void path_of(const struct engine *engine, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", engine->dir, name);
}

/* 8 hex digits. */
static bool checksum(const json_t *topics, char out[9])
{
	struct buf text;
	buf_init(&text);
	json_write(topics, &text);
	snprintf(out, 9, "%08x", crc32c(0, text.data + text.start, buf_size(&text)));
	bool ok = !text.failed;
	buf_done(&text);
	return ok;
}

static json_t *topic_to_json(const struct topic *t)
{
	char id[37];
	uuid_format(&t->id, id);
	json_t *configs = json_object();
	for (uint32_t i = 0; i < t->config_count; i++)
		json_object_set_new(configs, t->configs[i].name, json_string(t->configs[i].value));
	return json_pack("{s:s, s:s, s:i, s:i, s:b, s:b, s:o}", "name", t->name, "id", id, "partitions", t->partition_count,
			 "replication_factor", t->replication_factor, "internal", t->internal, "deleting", t->deleting, "configs", configs);
}

enum sm_err log__topics_write(struct engine *engine, const struct topic *extra, struct sm_error *reterr)
{
	char path[PATH_MAX];
	struct buf out;
	size_t pos = 0;
	struct bytes key;
	void *value;
	json_t *topics = json_array();
	bool whole = topics != NULL;
	pthread_mutex_lock(&engine->lock);
	while (map_next(&engine->topics, &pos, &key, &value))
		if (!extra || strcmp(((struct topic *)value)->name, extra->name) != 0)
			whole &= json_array_append_new(topics, topic_to_json(value)) == 0;
	pthread_mutex_unlock(&engine->lock);
	if (extra)
		whole &= json_array_append_new(topics, topic_to_json(extra)) == 0;
	char sum[9] = "";
	whole = whole && checksum(topics, sum);
	json_t *document = json_pack("{s:i, s:s, s:o}", "version", FORMAT, "crc32c", sum, "topics", topics);
	buf_init(&out);
	if (document && whole)
		json_write_pretty(document, &out);
	enum sm_err err = SM_NO_MEMORY;
	path_of(engine, COPY, path, sizeof path);
	if (document && whole && !out.failed)
		err = io_write_file_atomic(engine->io, path, buf_bytes(&out), reterr);
	path_of(engine, FILE_NAME, path, sizeof path);
	if (!err)
		err = io_write_file_atomic(engine->io, path, buf_bytes(&out), reterr);
	json_decref(document);
	buf_done(&out);
	return err;
}

static enum sm_err topic_from_json(struct engine *engine, const json_t *json, struct topic **ret_topic, struct sm_error *reterr)
{
	const char *name, *id;
	int64_t partitions, replication_factor;
	bool internal, deleting;
	enum sm_err err;
	struct uuid uuid;
	if ((err = json_get_string(json, "name", NULL, &name, reterr)) || (err = json_get_string(json, "id", NULL, &id, reterr)) ||
	    (err = json_get_int(json, "partitions", 0, &partitions, reterr)) ||
	    (err = json_get_int(json, "replication_factor", 1, &replication_factor, reterr)) ||
	    (err = json_get_bool(json, "internal", false, &internal, reterr)) ||
	    (err = json_get_bool(json, "deleting", false, &deleting, reterr)))
		return err;
	if (!name || !id || partitions < 1 || partitions > LOG_PARTITIONS_MAX || replication_factor < 1 || replication_factor > INT16_MAX ||
	    uuid_parse(id, strlen(id), &uuid))
		return sm_fail(reterr, SM_CORRUPT, "a topic without name, id or partitions");
	json_t *configs = json_object_get(json, "configs");
	struct log_config *list = calloc(json_object_size(configs) + 1, sizeof *list);
	if (!list)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct log_topic_spec spec = {name, (int32_t)partitions, (int32_t)replication_factor, list, 0};
	const char *key;
	json_t *value;
	json_object_foreach(configs, key, value) list[spec.config_count++] = (struct log_config){key, json_string_value(value)};
	if (!(err = log__topic_new(engine, &spec, internal, ret_topic, reterr))) {
		(*ret_topic)->id = uuid;
		(*ret_topic)->deleting = deleting;
	}
	free(list);
	return err;
}

/* The rest of a deletion that a crash cut short. */
static enum sm_err deletion_finish(struct engine *engine, const struct topic *t, struct sm_error *reterr)
{
	for (int32_t i = 0; i < t->partition_count; i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof path, "%s/%s-%d", engine->dir, t->name, i);
		enum sm_err err = io_remove_tree(engine->io, path, reterr);
		if (err && err != SM_NOT_FOUND)
			return err;
	}
	return engine->io->ops->sync_dir(engine->io, engine->dir, reterr);
}

/* What one of the two files says. */
struct table {
	struct bytes text; /* malloc'ed */
	int64_t version;
	struct topic **topics; /* not started */
	size_t count;
};

static void table_done(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		log__topic_free(table->topics[i]);
	free(table->topics);
	free((void *)(uintptr_t)table->text.data);
	*table = (struct table){0};
}

static enum sm_err table_fill(struct engine *engine, const json_t *document, struct table *out, struct sm_error *reterr)
{
	const char *sum;
	char want[9];
	json_t *topics = json_object_get(document, "topics"), *item;
	size_t i;
	enum sm_err err;
	if ((err = json_get_int(document, "version", 0, &out->version, reterr)) ||
	    (err = json_get_string(document, "crc32c", NULL, &sum, reterr)))
		return err;
	if (out->version > FORMAT)
		return sm_fail(reterr, SM_VERSION, "version %lld is newer than this program knows", (long long)out->version);
	if (out->version < 1 || !json_is_array(topics))
		return sm_fail(reterr, SM_CORRUPT, "it has no version or no topics");
	if (sum && (!checksum(topics, want) || strcmp(sum, want) != 0))
		return sm_fail(reterr, SM_CORRUPT, "its checksum is wrong (who edits it leaves crc32c out)");
	if (!(out->topics = calloc(json_array_size(topics) + 1, sizeof(struct topic *))))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	json_array_foreach(topics, i, item)
	{
		if ((err = topic_from_json(engine, item, &out->topics[out->count], reterr)))
			return err;
		out->count++;
	}
	return SM_OK;
}

static enum sm_err table_read(struct engine *engine, const char *name, struct table *out, struct sm_error *reterr)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t size;
	json_t *document = NULL;
	*out = (struct table){0};
	path_of(engine, name, path, sizeof path);
	enum sm_err err = io_read_file(engine->io, path, TOPICS_FILE_MAX, &data, &size, reterr);
	if (err)
		return err;
	out->text = bytes_of(data, size);
	if (!(err = json_parse(out->text, &document, reterr)))
		err = table_fill(engine, document, out, reterr);
	json_decref(document);
	if (err) {
		table_done(out);
		sm_error_prefix(reterr, "%s", path);
	}
	return err;
}

static enum sm_err visit_partition(void *arg, const char *name)
{
	*(bool *)arg |= log__segment_name_parse(name, ".log") >= 0;
	return SM_OK;
}

struct leftovers {
	struct engine *engine;
	char first[NAME_MAX + 1]; /* a directory with segments */
	uint32_t count;
};

static enum sm_err visit_dir(void *arg, const char *name)
{
	struct leftovers *l = arg;
	char path[PATH_MAX];
	const char *number = strrchr(name, '-');
	bool segments = false;
	if (!number || !number[1] || number[1 + strspn(number + 1, "0123456789")])
		return SM_OK;
	path_of(l->engine, name, path, sizeof path);
	if (l->engine->io->ops->list(l->engine->io, path, visit_partition, &segments, NULL) || !segments)
		return SM_OK;
	if (!l->count++)
		snprintf(l->first, sizeof l->first, "%s", name);
	return SM_OK;
}

/* Neither file is there: a new log, unless partitions lie beside. */
static enum sm_err begin_new(struct engine *engine, struct sm_error *reterr)
{
	struct leftovers l = {.engine = engine};
	enum sm_err err = engine->io->ops->list(engine->io, engine->dir, visit_dir, &l, reterr);
	if (!err && l.count)
		err = sm_fail(reterr, SM_CORRUPT,
			      "%s has neither " FILE_NAME " nor " COPY ", but %u directories with records (%s ...): restore one of the "
			      "two files from a backup, or move the directory away to begin with an empty log",
			      engine->dir, l.count, l.first);
	engine->format = FORMAT;
	return err;
}

/* The table, from its file or else from the copy. *ret_changed: the files are to be written again. SM_NOT_FOUND: there is none. */
static enum sm_err table_find(struct engine *engine, struct table *ret, bool *ret_changed, struct sm_error *reterr)
{
	struct table copy;
	struct sm_error error = {.text = ""};
	enum sm_err err = table_read(engine, FILE_NAME, ret, reterr), copy_err = table_read(engine, COPY, &copy, &error);
	if (err == SM_NO_MEMORY || err == SM_VERSION) {
		table_done(&copy);
		return err;
	}
	*ret_changed = err || copy_err || !bytes_equal(ret->text, copy.text) || ret->version < FORMAT;
	if (!err) {
		table_done(&copy);
		return SM_OK;
	}
	if (copy_err)
		return err == SM_NOT_FOUND && copy_err == SM_NOT_FOUND
			       ? SM_NOT_FOUND
			       : sm_fail(reterr, SM_CORRUPT,
					 "%s/" FILE_NAME " and " COPY " can both not be read: restore one of "
					 "them from a backup",
					 engine->dir);
	if (engine->notice) {
		char text[sizeof error.text + 200];
		snprintf(text, sizeof text, "%s/" COPY " is used: %s", engine->dir,
			 err == SM_NOT_FOUND ? FILE_NAME " is missing"
			 : reterr            ? reterr->text
					     : "");
		log__notice(engine, text);
	}
	*ret = copy;
	return SM_OK;
}

enum sm_err log__topics_look(struct engine *engine, enum sm_err (*each)(void *arg, const struct topic *t, struct sm_error *reterr),
			     void *arg, struct sm_error *reterr)
{
	struct table table;
	bool changed;
	enum sm_err err = table_find(engine, &table, &changed, reterr);
	if (err)
		return err;
	engine->format = table.version;
	for (size_t i = 0; i < table.count && !err; i++)
		err = each(arg, table.topics[i], reterr);
	table_done(&table);
	return err;
}

enum sm_err log__topics_read(struct engine *engine, struct sm_error *reterr)
{
	struct table table;
	bool changed = false;
	enum sm_err err = table_find(engine, &table, &changed, reterr);
	if (err == SM_NOT_FOUND)
		return (err = begin_new(engine, reterr)) ? err : log__topics_picture_renew(engine);
	if (err)
		return err;
	engine->format = table.version;
	for (size_t i = 0; i < table.count && !err; i++)
		if (table.topics[i]->deleting) {
			err = deletion_finish(engine, table.topics[i], reterr);
			log__topic_free(table.topics[i]);
			table.topics[i] = NULL;
			changed = true;
		}
	if (!err)
		err = log__topics_start(engine, table.topics, table.count, reterr);
	for (size_t i = 0; i < table.count && !err; i++) {
		struct topic *t = table.topics[i];
		if (t && !(err = map_put(&engine->topics, bytes_str(t->name), t, NULL)))
			table.topics[i] = NULL; /* it is the table's now */
	}
	for (size_t i = 0; i < table.count; i++)
		if (table.topics[i])
			log__topic_stop(table.topics[i]);
	table_done(&table);
	engine->format = FORMAT;
	if (!err && changed)
		err = log__topics_write(engine, NULL, reterr);
	return err ? err : log__topics_picture_renew(engine);
}
