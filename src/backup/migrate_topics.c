/* Which topics, and what becomes of their configs. While records are copied some configs of the target's topic are other than they shall
 * be: records may be older than its retention, in the wrong order of time, or superseded by keys that come later; all of them are to be
 * there when the copy is proven. What they were before is noted first, so that a run that was killed does not take its own for them. */
#include "backup/migrate_internal.h"
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

static const struct log_config held[] = {
	{"cleanup.policy", "delete"},
	{"max.message.bytes", "8388608"},
	{"message.timestamp.after.max.ms", "9223372036854775807"},
	{"message.timestamp.before.max.ms", "9223372036854775807"},
	{"message.timestamp.type", "CreateTime"},
	{"retention.bytes", "-1"},
	{"retention.ms", "-1"},
};
#define HELD (sizeof held / sizeof *held)
#define CONFIGS_MAX 128

static const struct log_config *config_find(const struct log_config *configs, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(configs[i].name, name) == 0)
			return &configs[i];
	return NULL;
}

static bool is_held(const char *name)
{
	return config_find(held, HELD, name) != NULL;
}

/* Of these the engines' defaults differ: a Kafka deletes after a week. */
static bool is_retention(const char *name)
{
	return strncmp(name, "retention.", 10) == 0;
}

static bool is_compacted(const struct log_config *configs, uint32_t count)
{
	const struct log_config *c = config_find(configs, count, "cleanup.policy");
	return c && c->value && strstr(c->value, "compact");
}

/* ---- choosing ---- */

static bool is_internal(const struct log_topic *t)
{
	static const char *const names[] = {"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata",
					    "__remote_log_metadata"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(t->name, names[i]) == 0)
			return true;
	return t->internal;
}

static bool is_wanted(const struct migrate *m, const struct log_topic *t)
{
	if (is_internal(t))
		return false;
	for (uint32_t i = 0; i < m->o->topic_count; i++)
		if (fnmatch(m->o->topics[i], t->name, 0) == 0)
			return true;
	return !m->o->topic_count;
}

static bool is_skipped(const struct migrate *m, const char *config)
{
	for (uint32_t i = 0; i < m->o->skip_config_count; i++)
		if (strcmp(m->o->skip_configs[i], config) == 0)
			return true;
	return false;
}

/* NULL: no memory. */
static const struct log_config *configs_copy(struct migrate *m, const struct log_topic *t, bool all, uint32_t *ret_count)
{
	struct log_config *out = arena_alloc(&m->arena, (t->config_count + 1) * sizeof *out);
	uint32_t count = 0;
	for (uint32_t i = 0; i < t->config_count && out; i++) {
		const struct log_config *c = &t->configs[i];
		if (!c->value || (!all && is_skipped(m, c->name)))
			continue;
		out[count].name = arena_string(&m->arena, c->name, strlen(c->name));
		out[count].value = arena_string(&m->arena, c->value, strlen(c->value));
		if (!out[count].name || !out[count].value)
			return NULL;
		count++;
	}
	*ret_count = count;
	return out;
}

static bool add_topic(struct migrate *m, const struct log_topic *from, const struct log_topic *to)
{
	struct migrate_topic *t = &m->topics[m->topic_count++];
	t->name = arena_string(&m->arena, from->name, strlen(from->name));
	t->source_id = from->id;
	t->partitions = from->partitions;
	t->replication_factor = m->o->replication_factor;
	if (t->replication_factor <= 0 && from->replication_factor > 1)
		t->replication_factor = from->replication_factor;
	t->configs = configs_copy(m, from, false, &t->config_count);
	t->compacted = is_compacted(from->configs, from->config_count);
	if (!to)
		return t->name && t->configs;
	t->target_id = to->id;
	t->target_partitions = to->partitions;
	t->target_configs = configs_copy(m, to, true, &t->target_config_count);
	t->compacted |= is_compacted(to->configs, to->config_count);
	return t->name && t->configs && t->target_configs;
}

static enum sm_err check_patterns(const struct migrate *m, const struct log_topics *source, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < m->o->topic_count; i++) {
		uint32_t at = 0;
		while (at < source->count && (is_internal(&source->items[at]) || fnmatch(m->o->topics[i], source->items[at].name, 0) != 0))
			at++;
		if (at == source->count)
			return sm_fail(reterr, SM_NOT_FOUND, "%s has no topic '%s' that could be copied", m->o->source_name,
				       m->o->topics[i]);
	}
	return SM_OK;
}

static enum sm_err choose(struct migrate *m, const struct log_topics *source, const struct log_topics *target, struct sm_error *reterr)
{
	enum sm_err err = check_patterns(m, source, reterr);
	if (err)
		return err;
	if (!(m->topics = arena_alloc(&m->arena, (source->count + 1) * sizeof *m->topics)))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	for (uint32_t i = 0; i < source->count; i++)
		if (is_wanted(m, &source->items[i]) && !add_topic(m, &source->items[i], log_topics_find(target, source->items[i].name)))
			return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	return SM_OK;
}

/* ---- asking the target ---- */

/* Make the topic with these configs, or give them to it; check: only ask. */
static enum sm_err apply(struct migrate *m, const struct migrate_topic *t, const struct log_config *configs, uint32_t count, bool check,
			 struct sm_error *reterr)
{
	enum sm_err err;
	if (t->target_partitions) {
		const struct log_topic_change change = {.name = t->name,
							.partitions = t->partitions > t->target_partitions ? t->partitions : 0,
							.configs = configs,
							.config_count = count,
							.check = check};
		err = log_topic_change_wait(m->o->target, &change, reterr);
	} else {
		const struct log_topic_spec spec = {.name = t->name,
						    .partitions = t->partitions,
						    .replication_factor = t->replication_factor,
						    .configs = configs,
						    .config_count = count,
						    .check = check};
		err = log_topic_create_wait(m->o->target, &spec, reterr);
	}
	if (err)
		sm_error_prefix(reterr, "%s: topic %s", m->o->target_name, t->name);
	return err;
}

/* What the topic is to have while records are copied: the source's, but for what is held. */
static uint32_t configs_meanwhile(const struct migrate_topic *t, struct log_config out[CONFIGS_MAX])
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < t->config_count && count < CONFIGS_MAX - HELD; i++)
		if (!is_held(t->configs[i].name))
			out[count++] = t->configs[i];
	for (size_t i = 0; i < HELD; i++)
		if (t->held & 1u << i)
			out[count++] = held[i];
	return count;
}

/* Of the configs that are to be held, those that the target knows: mostly all, so they are asked for together first. */
static void find_held(struct migrate *m, struct migrate_topic *t)
{
	struct sm_error refused;
	t->held = (1u << HELD) - 1;
	if (!apply(m, t, held, HELD, true, &refused))
		return;
	for (size_t i = 0; i < HELD; i++)
		if (apply(m, t, &held[i], 1, true, &refused))
			t->held &= ~(1u << i);
}

/* Which configs the target does not take, each asked for alone. */
static enum sm_err tell_refused(struct migrate *m, const struct migrate_topic *t, struct sm_error *reterr)
{
	struct sm_error first = {0}, one;
	struct buf names;
	/* Is it for the configs? */
	if (apply(m, t, NULL, 0, true, &one))
		return SM_OK;
	buf_init(&names);
	for (uint32_t i = 0; i < t->config_count; i++) {
		if (!apply(m, t, &t->configs[i], 1, true, &one))
			continue;
		buf_printf(&names, "%s%s=%s", buf_size(&names) ? ", " : "", t->configs[i].name, t->configs[i].value);
		if (!first.code)
			first = one;
	}
	struct bytes text = buf_bytes(&names);
	enum sm_err err = SM_OK;
	if (first.code)
		err = sm_fail(reterr, SM_INVALID, "%.300s (of %.*s): go without with --skip-config NAME", first.text,
			      (int)(text.size < 150 ? text.size : 150), (const char *)text.data);
	buf_done(&names);
	return err;
}

static enum sm_err check_topic(struct migrate *m, struct migrate_topic *t, struct sm_error *reterr)
{
	if (t->config_count > CONFIGS_MAX - HELD)
		return sm_fail(reterr, SM_TOO_LARGE, "topic %s has more than %d configs", t->name, (int)(CONFIGS_MAX - HELD));
	if (t->target_partitions > t->partitions)
		return sm_fail(reterr, SM_CONFLICT,
			       "topic %s has %d partitions at %s and %d at %s: keys would lie elsewhere. Delete it there if it is not "
			       "needed, or leave it out",
			       t->name, (int)t->target_partitions, m->o->target_name, (int)t->partitions, m->o->source_name);
	if (t->target_partitions && t->target_partitions < t->partitions && !migrate__topic_is_noted(m, t->name))
		return sm_fail(reterr, SM_CONFLICT,
			       "topic %s has %d partitions at %s and %d at %s: delete it there if it is not needed, or give it as many",
			       t->name, (int)t->target_partitions, m->o->target_name, (int)t->partitions, m->o->source_name);
	if (m->o->verify)
		return SM_OK;
	enum sm_err err = apply(m, t, t->configs, t->config_count, true, reterr);
	if (err) {
		struct sm_error refused;
		if (tell_refused(m, t, &refused))
			*reterr = refused;
		return err;
	}
	if (!m->o->dry_run)
		find_held(m, t);
	return SM_OK;
}

/* A picture without topics may be that of a server that is gone. */
static enum sm_err check_there(struct sm_log *log, const char *name, const struct log_topics *topics, struct sm_error *reterr)
{
	const char *const *names;
	uint32_t count;
	void *hold;
	if (!topics)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (topics->count || !log->ops->groups)
		return SM_OK;
	enum sm_err err = log->ops->groups(log, &names, &count, &hold);
	if (err)
		return sm_fail(reterr, err, "%s does not answer: %s", name, sm_err_text(err));
	log->ops->offsets_release(log, hold);
	return SM_OK;
}

enum sm_err migrate__plan(struct migrate *m, struct sm_error *reterr)
{
	struct sm_log *from = m->o->source, *to = m->o->target;
	const struct log_topics *source = from->ops->topics(from), *target = to->ops->topics(to);
	enum sm_err err = check_there(from, m->o->source_name, source, reterr);
	if (!err)
		err = check_there(to, m->o->target_name, target, reterr);
	if (!err)
		err = choose(m, source, target, reterr);
	if (source)
		from->ops->topics_release(from, source);
	if (target)
		to->ops->topics_release(to, target);
	for (uint32_t i = 0; i < m->topic_count && !err; i++)
		err = check_topic(m, &m->topics[i], reterr);
	return err;
}

/* ---- the topic at the target ---- */

static void name_of(const char *topic, char name[512])
{
	snprintf(name, 512, "topics/%s/configs", topic);
}

/* What the target's topic had of the held ones: strings name, value. Written once, before they are changed. */
static enum sm_err note_configs(struct migrate *m, const struct migrate_topic *t, struct sm_error *reterr)
{
	char name[512];
	uint8_t *data;
	struct bytes noted;
	struct buf out;
	name_of(t->name, name);
	enum sm_err err = migrate__state_read(&m->state, name, &data, &noted, reterr);
	if (err || data) {
		free(data);
		return err;
	}
	buf_init(&out);
	for (uint32_t i = 0; i < t->target_config_count; i++) {
		const struct log_config *c = &t->target_configs[i];
		if (!is_held(c->name))
			continue;
		buf_be32(&out, (uint32_t)strlen(c->name));
		buf_append_str(&out, c->name);
		buf_be32(&out, (uint32_t)strlen(c->value));
		buf_append_str(&out, c->value);
	}
	err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory") : migrate__state_write(&m->state, name, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

/* The topic's id and partitions at the target, as they are now. */
static enum sm_err look_again(struct migrate *m, struct migrate_topic *t, struct sm_error *reterr)
{
	struct sm_log *to = m->o->target;
	const struct log_topics *topics = to->ops->topics(to);
	const struct log_topic *found = topics ? log_topics_find(topics, t->name) : NULL;
	if (found) {
		t->target_id = found->id;
		t->target_partitions = found->partitions;
	}
	if (topics)
		to->ops->topics_release(to, topics);
	return found ? SM_OK : sm_fail(reterr, SM_NOT_FOUND, "%s: topic %s is not there although it was made", m->o->target_name, t->name);
}

enum sm_err migrate__prepare(struct migrate *m, struct migrate_topic *t, struct sm_error *reterr)
{
	struct log_config configs[CONFIGS_MAX];
	enum sm_err err = note_configs(m, t, reterr);
	if (err)
		return err;
	uint32_t count = configs_meanwhile(t, configs);
	err = apply(m, t, configs, count, false, reterr);
	return err ? err : look_again(m, t, reterr);
}

static const char *take_string(struct byte_reader *r, struct arena *arena)
{
	uint32_t size = reader_be32(r);
	const uint8_t *p = reader_take(r, size);
	return p ? arena_string(arena, (const char *)p, size) : NULL;
}

static void configs_before(struct migrate *m, struct bytes noted, struct log_config out[HELD], uint32_t *ret_count)
{
	struct byte_reader r = byte_reader(noted);
	*ret_count = 0;
	while (reader_left(&r) && !r.failed && *ret_count < HELD) {
		struct log_config c = {take_string(&r, &m->arena), take_string(&r, &m->arena)};
		if (c.name && c.value)
			out[(*ret_count)++] = c;
	}
}

enum sm_err migrate__finish(struct migrate *m, struct migrate_topic *t, struct sm_error *reterr)
{
	char name[512];
	uint8_t *data;
	struct bytes noted;
	struct log_config before[HELD], configs[HELD];
	uint32_t before_count, count = 0;
	name_of(t->name, name);
	enum sm_err err = migrate__state_read(&m->state, name, &data, &noted, reterr);
	if (err)
		return err;
	configs_before(m, noted, before, &before_count);
	free(data);
	const struct log_config *policy = config_find(t->configs, t->config_count, "cleanup.policy");
	bool deletes = !policy || strstr(policy->value, "delete");
	struct buf kept;
	buf_init(&kept);
	for (size_t i = 0; i < HELD; i++) {
		const struct log_config *wanted = config_find(t->configs, t->config_count, held[i].name);
		if (!wanted)
			wanted = config_find(before, before_count, held[i].name);
		bool known = t->held & 1u << i, stays = known && deletes && is_retention(held[i].name);
		if (wanted || stays)
			configs[count++] = wanted ? *wanted : held[i];
		else if (known)
			configs[count++] = (struct log_config){held[i].name, NULL};
		if (!wanted && stays)
			buf_printf(&kept, " %s=%s", held[i].name, held[i].value);
	}
	if (buf_size(&kept))
		migrate__say(m, MIGRATE_NOTE,
			     "topic %s: the source says nothing of it, so%.*s is set at the target, whose own retention could take what "
			     "was copied",
			     t->name, (int)buf_size(&kept), (const char *)buf_bytes(&kept).data);
	buf_done(&kept);
	err = apply(m, t, configs, count, false, reterr);
	return err ? err : migrate__state_remove(&m->state, name, reterr);
}

enum sm_err migrate__tell_topic(struct migrate *m, const struct migrate_topic *t, struct sm_error *reterr)
{
	struct buf text;
	uint64_t offsets = 0;
	enum sm_err err = SM_OK;
	for (int32_t p = 0; p < t->partitions && !err; p++) {
		int64_t from, to;
		if (!(err = migrate__offset(m, false, t->name, p, LOG_EARLIEST, &from, reterr)) &&
		    !(err = migrate__offset(m, false, t->name, p, LOG_LATEST, &to, reterr)))
			offsets += (uint64_t)(to - from);
	}
	if (err)
		return err;
	buf_init(&text);
	for (uint32_t i = 0; i < t->config_count; i++)
		buf_printf(&text, "%s %s=%s", i ? "," : ", with", t->configs[i].name, t->configs[i].value);
	buf_u8(&text, 0);
	const char *configs = text.failed ? "" : (const char *)buf_bytes(&text).data;
	if (t->target_partitions)
		migrate__say(m, MIGRATE_NOTE,
			     "topic %s: is there; its %d partitions would be compared and brought up to %llu offsets of the source%s",
			     t->name, (int)t->partitions, (unsigned long long)offsets, configs);
	else
		migrate__say(m, MIGRATE_NOTE, "topic %s: would be made, %d partitions, %llu offsets to copy%s", t->name, (int)t->partitions,
			     (unsigned long long)offsets, configs);
	buf_done(&text);
	return SM_OK;
}
