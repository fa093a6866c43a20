/* Topics as a worker knows them: the log's picture is asked for once a turn, schema and key are looked up when a topic is new. */
#include "ingest/ingest_internal.h"
#include <assert.h>
#include <stdlib.h>

void ingest__entry_unref(struct topic_entry *entry)
{
	if (--entry->refs)
		return;
	topic_schema_unref(entry->hold);
	free(entry->values);
	free(entry);
}

static struct topic_entry *entry_new(struct worker *worker, const struct log_topic *topic)
{
	struct topic_entry *entry = calloc(1, sizeof *entry + (size_t)topic->partitions * sizeof *entry->open);
	if (!entry)
		return NULL;
	struct ingest_topic known = {0};
	worker->ingest->options.topic(worker->ingest->options.arg, topic->name, &known);
	snprintf(entry->name, sizeof entry->name, "%s", topic->name);
	/* A topic's name has no character that JSON escapes. */
	entry->answer_size = (size_t)snprintf(entry->answer, sizeof entry->answer, "{\"topic\":\"%s\",\"accepted\":", topic->name);
	entry->refs = 1;
	entry->turn = worker->turn - 1;
	entry->id = topic->id;
	entry->partitions = topic->partitions;
	entry->hold = known.hold;
	entry->changes = worker->changes;
	entry->any = !known.schema;
	entry->schema = known.schema ? known.schema : worker->ingest->any;
	entry->key = known.schema && known.key ? schema_find(known.schema, known.key) : -1;
	entry->values = calloc(entry->schema->field_count + 1, sizeof *entry->values);
	if (!entry->values) {
		ingest__entry_unref(entry);
		return NULL;
	}
	return entry;
}

static bool is_current(const struct worker *worker, const struct topic_entry *entry, const struct log_topic *topic)
{
	return entry->changes == worker->changes && memcmp(&entry->id, &topic->id, sizeof entry->id) == 0 &&
	       entry->partitions == topic->partitions;
}

struct topic_entry *ingest__topic(struct worker *worker, struct bytes name, enum sm_err *ret_err)
{
	struct sm_log *log = worker->ingest->options.log;
	char text[250];
	*ret_err = SM_NOT_FOUND;
	if (name.size >= sizeof text || memchr(name.data, 0, name.size))
		return NULL;
	memcpy(text, name.data, name.size);
	text[name.size] = 0;
	if (!worker->topics) {
		const struct ingest_options *o = &worker->ingest->options;
		worker->topics = log->ops->topics(log);
		worker->changes = o->topic_changes ? o->topic_changes(o->arg) : 0;
	}
	const struct log_topic *topic = worker->topics ? log_topics_find(worker->topics, text) : NULL;
	if (!topic || topic->internal || topic->partitions <= 0)
		return NULL;
	struct topic_entry *entry = map_get(&worker->entries, name);
	if (!entry || !is_current(worker, entry, topic)) {
		void *old = NULL;
		struct topic_entry *fresh = entry_new(worker, topic);
		if (!fresh || map_put(&worker->entries, name, fresh, &old)) {
			if (fresh)
				ingest__entry_unref(fresh);
			*ret_err = SM_NO_MEMORY;
			return NULL;
		}
		/* A turn has one picture, so no batch of the old topic can be growing now. */
		if (old)
			ingest__entry_unref(old);
		entry = fresh;
	}
	if (entry->turn != worker->turn) {
		entry->turn = worker->turn;
		entry->keyless = (entry->keyless + 1) % entry->partitions;
	}
	return entry;
}

void ingest__topics_release(struct worker *worker)
{
	struct sm_log *log = worker->ingest->options.log;
	if (worker->topics)
		log->ops->topics_release(log, worker->topics);
	worker->topics = NULL;
	worker->turn++;
}

void ingest__topics_done(struct worker *worker)
{
	struct bytes key;
	void *entry;
	ingest__topics_release(worker);
	for (size_t pos = 0; map_next(&worker->entries, &pos, &key, &entry);)
		ingest__entry_unref(entry);
	map_done(&worker->entries);
}
