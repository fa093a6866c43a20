/* Schemas on disk: DIR/TOPIC.json, replaced as a whole at each change:
 *   {"compatibility": "BACKWARD", "versions": [{"version": 1, "key": "id" or absent, "schema": {...}}, ...]}
 * ascending, at least one. A file that is not so is an error at the start: to go on without a schema would take events that do not fit. */
#include "ingest/schemas_internal.h"
#include <limits.h>
#include <stdlib.h>

#define SUFFIX ".json"
#define FILE_BYTES_MAX (SCHEMAS_BYTES_MAX + (4u << 20))

static void path_of(const struct schemas *s, const char *topic, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s" SUFFIX, s->dir, topic);
}

/* ---- reading ---- */

static enum sm_err corrupt(struct sm_error *reterr, const char *what)
{
	return sm_fail(reterr, SM_CORRUPT, "%s: mend the file, or remove it to have no schema", what);
}

static enum sm_err read_version(struct subject *subject, const json_t *json, bool last, struct sm_error *reterr)
{
	const char *key = NULL;
	int64_t number;
	struct schema *schema = NULL;
	const json_t *document = json_object_get(json, "schema");
	enum sm_err err = json_get_int(json, "version", 0, &number, reterr);
	if (!err)
		err = json_get_string(json, "key", NULL, &key, reterr);
	if (err)
		return err;
	if (number <= (subject->count ? subject->versions[subject->count - 1].number : 0) || number > INT32_MAX ||
	    !json_is_object(document))
		return corrupt(reterr, "a version is not what was written");
	/* Of the others only the text is asked for. */
	if (last) {
		struct buf text;
		buf_init(&text);
		json_write(document, &text);
		err = text.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory") : schema_compile(buf_bytes(&text), &schema, reterr);
		buf_done(&text);
		if (!err && key && schema_find(schema, key) < 0)
			err = corrupt(reterr, "the key is no property");
	}
	if (!err && schemas__subject_add(subject, (uint32_t)number, schema, key, document))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (err)
		schema_free(schema);
	return err;
}

static enum sm_err read_subject(const char *topic, const json_t *json, struct subject **ret, struct sm_error *reterr)
{
	const json_t *versions = json_object_get(json, "versions");
	const char *level;
	struct subject *subject = calloc(1, sizeof *subject);
	enum sm_err err = SM_OK;
	if (!subject || !(subject->topic = strdup(topic)))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (!err)
		err = json_get_string(json, "compatibility", "", &level, reterr);
	if (!err && (!schemas__level_parse(level, &subject->level) || json_array_size(versions) == 0))
		err = corrupt(reterr, "compatibility or versions are not what was written");
	for (size_t i = 0; i < json_array_size(versions) && !err; i++)
		err = read_version(subject, json_array_get(versions, i), i + 1 == json_array_size(versions), reterr);
	if (err)
		schemas__subject_free(subject);
	else
		*ret = subject;
	return err;
}

struct reading {
	struct schemas *schemas;
	struct sm_error *reterr;
};

static enum sm_err read_file(void *arg, const char *name)
{
	struct reading *r = arg;
	char path[PATH_MAX], topic[256];
	uint8_t *data;
	size_t size, n = strlen(name);
	json_t *json = NULL;
	struct subject *subject;
	if (n <= strlen(SUFFIX) || strcmp(name + n - strlen(SUFFIX), SUFFIX) != 0)
		return SM_OK; /* one that was not finished */
	snprintf(topic, sizeof topic, "%.*s", (int)(n - strlen(SUFFIX)), name);
	path_of(r->schemas, topic, path);
	enum sm_err err = io_read_file(&io_system, path, FILE_BYTES_MAX, &data, &size, r->reterr);
	if (err)
		return err;
	if (!log_topic_name_ok(topic))
		err = corrupt(r->reterr, "is not named after a topic");
	if (!err)
		err = json_parse(bytes_of(data, size), &json, r->reterr);
	if (!err)
		err = read_subject(topic, json, &subject, r->reterr);
	if (!err && schemas__put(r->schemas, topic, subject))
		err = sm_fail(r->reterr, SM_NO_MEMORY, "no memory");
	if (err)
		sm_error_prefix(r->reterr, "%s", path);
	json_decref(json);
	free(data);
	return err;
}

enum sm_err schemas__read_all(struct schemas *s, struct sm_error *reterr)
{
	struct reading reading = {s, reterr};
	return io_system.ops->list(&io_system, s->dir, read_file, &reading, reterr);
}

/* ---- writing ---- */

enum sm_err schemas__write(struct schemas *s, const struct subject *subject, struct sm_error *reterr)
{
	char path[PATH_MAX];
	struct buf out;
	buf_init(&out);
	buf_printf(&out, "{\"compatibility\":\"%s\",\"versions\":[", schemas__level_name(subject->level));
	for (uint32_t i = 0; i < subject->count; i++) {
		const struct schemas_version *v = &subject->versions[i];
		buf_printf(&out, "%s\n{\"version\":%u,", i ? "," : "", v->number);
		if (v->key) {
			buf_append_str(&out, "\"key\":");
			buf_json_string(&out, bytes_str(v->key));
			buf_append_str(&out, ",");
		}
		buf_append_str(&out, "\"schema\":");
		buf_append_bytes(&out, buf_bytes(&v->text));
		buf_append_str(&out, "}");
	}
	buf_append_str(&out, "\n]}\n");
	path_of(s, subject->topic, path);
	enum sm_err err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory")
				     : io_write_file_atomic(&io_system, path, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

enum sm_err schemas__remove(struct schemas *s, const char *topic, struct sm_error *reterr)
{
	char path[PATH_MAX];
	path_of(s, topic, path);
	enum sm_err err = io_system.ops->unlink(&io_system, path, reterr);
	return err && err != SM_NOT_FOUND ? err : io_system.ops->sync_dir(&io_system, s->dir, reterr);
}
