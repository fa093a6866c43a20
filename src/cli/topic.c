#include "base/compress.h"
#include "cli/command.h"
#include "cli/config.h"
#include "log/record_batch.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct arguments {
	const char *data, *key_separator;
	char *words[2]; /* action, topic */
	int word_count;
	long partitions, replication, partition;
	long long max;
	bool from_beginning, follow, with_key, with_place;
	struct log_config configs[32];
	uint32_t config_count;
};
enum { KEY_CONFIG = 256, KEY_FROM, KEY_MAX, KEY_KEYS, KEY_PLACE, KEY_REPLICATION };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end = NULL;
	switch (key) {
	case 'd': a->data = arg; break;
	case 'p': a->partitions = a->partition = strtol(arg, &end, 10); break;
	case KEY_REPLICATION: a->replication = strtol(arg, &end, 10); break;
	case KEY_MAX: a->max = strtoll(arg, &end, 10); break;
	case 'K': a->key_separator = arg; break;
	case 'f': a->follow = true; break;
	case KEY_FROM: a->from_beginning = true; break;
	case KEY_KEYS: a->with_key = true; break;
	case KEY_PLACE: a->with_place = true; break;
	case KEY_CONFIG: {
		char *equals = strchr(arg, '=');
		if (!equals || a->config_count == 32)
			argp_error(state, "--config NAME=VALUE, at most 32 of them");
		else {
			*equals = 0;
			a->configs[a->config_count++] = (struct log_config){arg, equals[1] ? equals + 1 : NULL};
		}
		break;
	}
	case ARGP_KEY_ARG:
		if (a->word_count == 2)
			argp_error(state, "one topic at a time");
		else
			a->words[a->word_count++] = arg;
		break;
	case ARGP_KEY_END:
		if (!a->word_count)
			argp_error(state, "say what to do: create, list, describe, alter, delete, produce or consume");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	if (end && (*end || end == arg))
		argp_error(state, "'%s' is no number", arg);
	return 0;
}

static int list(struct sm_log *log)
{
	const struct log_topics *topics = log->ops->topics(log);
	for (uint32_t i = 0; topics && i < topics->count; i++)
		printf("%s\n", topics->items[i].name);
	log->ops->topics_release(log, topics);
	return STATUS_OK;
}

static int describe(struct sm_log *log, const struct arguments *a)
{
	struct sm_error error;
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *t = topics ? log_topics_find(topics, a->words[1]) : NULL;
	int status = STATUS_OK;
	if (!t) {
		sm_fail(&error, SM_NOT_FOUND, "topic '%s' does not exist; `smack topic list` shows those that do", a->words[1]);
		status = command_failed(&error);
		goto done;
	}
	char id[37];
	uuid_format(&t->id, id);
	printf("topic %s", t->name);
	if (uuid_version(&t->id) == 4) /* a real Kafka's does not come through */
		printf("  id %s", id);
	printf("  partitions %d  replication factor %d\n", (int)t->partitions, (int)t->replication_factor);
	for (uint32_t i = 0; i < t->config_count; i++)
		printf("  %s = %s\n", t->configs[i].name, t->configs[i].value);
	for (int32_t p = 0; p < t->partitions; p++) {
		int64_t first = -1, next = -1;
		if (log->ops->offset_for(log, t->name, p, LOG_EARLIEST, &first, NULL) ||
		    log->ops->offset_for(log, t->name, p, LOG_LATEST, &next, NULL)) {
			printf("  partition %d: cannot be read\n", (int)p);
			status = STATUS_FAILED;
		} else {
			printf("  partition %d: offsets %lld to %lld\n", (int)p, (long long)first, (long long)next);
		}
	}
done:
	log->ops->topics_release(log, topics);
	return status;
}

/* ---- produce: a line is a record ---- */

struct producer {
	struct sm_log *log;
	const char *topic;
	int32_t partitions, fixed;
	struct buf *batches;
	struct batch_builder *builders;
	int64_t count;
	int32_t next; /* records without a key go round */
};

static enum sm_err flush(struct producer *p, int32_t partition, struct sm_error *reterr)
{
	if (!p->builders[partition].out)
		return SM_OK;
	enum sm_err err = batch_end(&p->builders[partition]);
	int64_t offset;
	if (!err)
		err = log_append_wait(p->log, p->topic, partition, p->batches[partition].data, buf_size(&p->batches[partition]), &offset);
	buf_clear(&p->batches[partition]);
	p->builders[partition].out = NULL;
	return err ? sm_fail(reterr, err, "cannot append to %s, partition %d: %s", p->topic, (int)partition, sm_err_text(err)) : SM_OK;
}

static enum sm_err produce_line(struct producer *p, const char *separator, char *line, size_t size, struct sm_error *reterr)
{
	struct record record = {.timestamp_ms = clock_wall_ms(&clock_system), .key_null = true, .value = bytes_of(line, size)};
	char *cut = separator ? strstr(line, separator) : NULL;
	if (cut) {
		record.key_null = false;
		record.key = bytes_of(line, (size_t)(cut - line));
		record.value = bytes_str(cut + strlen(separator));
	}
	int32_t partition = p->fixed >= 0 ? p->fixed : cut ? log_partition_of(record.key, p->partitions) : p->next++ % p->partitions;
	if (p->builders[partition].out && batch_size(&p->builders[partition]) + size + 100 > LOG_BATCH_BYTES_MAX / 2) {
		enum sm_err err = flush(p, partition, reterr);
		if (err)
			return err;
	}
	if (!p->builders[partition].out)
		batch_begin(&p->builders[partition], &p->batches[partition], CODEC_NONE);
	batch_add(&p->builders[partition], &record, NULL, 0);
	p->count++;
	return SM_OK;
}

static int produce(struct sm_log *log, const struct arguments *a)
{
	struct sm_error error = {0};
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *t = topics ? log_topics_find(topics, a->words[1]) : NULL;
	struct producer p = {.log = log, .topic = a->words[1], .partitions = t ? t->partitions : 0, .fixed = (int32_t)a->partition};
	log->ops->topics_release(log, topics);
	enum sm_err err = SM_OK;
	if (!t)
		err = sm_fail(&error, SM_NOT_FOUND, "topic '%s' does not exist; make it with `smack topic create %s`", a->words[1],
			      a->words[1]);
	else if (p.fixed >= p.partitions)
		err = sm_fail(&error, SM_INVALID, "topic '%s' has the partitions 0 to %d", a->words[1], (int)p.partitions - 1);
	char *line = NULL;
	size_t cap = 0;
	ssize_t size;
	if (!err) {
		p.batches = calloc((size_t)p.partitions, sizeof *p.batches);
		p.builders = calloc((size_t)p.partitions, sizeof *p.builders);
		if (!p.batches || !p.builders)
			err = sm_fail(&error, SM_NO_MEMORY, "no memory");
	}
	while (!err && (size = getline(&line, &cap, stdin)) >= 0) {
		if (size && line[size - 1] == '\n')
			line[--size] = 0;
		err = produce_line(&p, a->key_separator, line, (size_t)size, &error);
	}
	for (int32_t i = 0; i < p.partitions && p.builders && p.batches; i++) {
		if (!err)
			err = flush(&p, i, &error);
		buf_done(&p.batches[i]);
	}
	free(line);
	free(p.batches);
	free(p.builders);
	if (err)
		return command_failed(&error);
	fprintf(stderr, "%lld records are on disk\n", (long long)p.count);
	return STATUS_OK;
}

/* ---- consume ---- */

struct consumer {
	const struct arguments *a;
	struct sm_log *log;
	long long left; /* -1: no bound */
	uint8_t *buffer;
	size_t cap;
};

static enum sm_err print_batch(struct consumer *c, int32_t partition, const struct log_slice *slice, struct bytes data, int64_t *offset)
{
	struct batch_reader reader;
	struct record record;
	enum sm_err err = batch_reader_init(&reader, data);
	if (err)
		return err;
	bool hidden = log_slice_hides(slice, &reader.info);
	int64_t after = reader.info.base_offset + reader.info.last_offset_delta + 1;
	while (!hidden && c->left && !(err = batch_next(&reader, &record))) {
		if (record.offset < *offset)
			continue;
		if (c->a->with_place)
			printf("%d:%lld ", (int)partition, (long long)record.offset);
		if (c->a->with_key) {
			fwrite(record.key_null ? (const void *)"null" : record.key.data, 1, record.key_null ? 4 : record.key.size, stdout);
			putchar('\t');
		}
		fwrite(record.value.data, 1, record.value.size, stdout);
		putchar('\n');
		*offset = record.offset + 1;
		if (c->left > 0)
			c->left--;
	}
	if (err == SM_END || hidden)
		err = SM_OK;
	if (!err && c->left)
		*offset = after;
	batch_reader_done(&reader);
	return err;
}

/* Print what is there from *offset on; *ret_any: something was. */
static enum sm_err consume_some(struct consumer *c, int32_t partition, int64_t *offset, bool *ret_any, struct sm_error *reterr)
{
	struct log_read_result result;
	struct bytes data;
	enum sm_err err = c->log->ops->read(c->log, c->a->words[1], partition, *offset, 1 << 20, &result);
	if (err)
		return sm_fail(reterr, err, "cannot read %s, partition %d at offset %lld: %s", c->a->words[1], (int)partition,
			       (long long)*offset, sm_err_text(err));
	if (!result.slice.size)
		return SM_OK;
	*ret_any = true;
	err = log_slice_bytes(&result.slice, &c->buffer, &c->cap, &data);
	while (!err && data.size && c->left) {
		struct batch_info info;
		if ((err = batch_parse(data, &info)))
			break;
		err = print_batch(c, partition, &result.slice, bytes_of(data.data, info.size), offset);
		data.data += info.size;
		data.size -= info.size;
	}
	log_slice_done(&result.slice);
	return err ? sm_fail(reterr, err, "records of %s, partition %d: %s", c->a->words[1], (int)partition, sm_err_text(err)) : SM_OK;
}

static int consume(struct sm_log *log, const struct arguments *a)
{
	struct sm_error error = {0};
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *t = topics ? log_topics_find(topics, a->words[1]) : NULL;
	int32_t partitions = t ? t->partitions : 0;
	log->ops->topics_release(log, topics);
	enum sm_err err = SM_OK;
	if (!t)
		err = sm_fail(&error, SM_NOT_FOUND, "topic '%s' does not exist", a->words[1]);
	struct consumer c = {.a = a, .log = log, .left = a->max};
	int64_t *offsets = calloc((size_t)partitions + 1, sizeof *offsets);
	if (!offsets)
		err = sm_fail(&error, SM_NO_MEMORY, "no memory");
	bool from_start = a->from_beginning || !a->follow;
	for (int32_t p = 0; !err && p < partitions; p++)
		err = log->ops->offset_for(log, a->words[1], p, from_start ? LOG_EARLIEST : LOG_LATEST, &offsets[p], NULL);
	if (err && !error.code)
		sm_fail(&error, err, "%s: %s", a->words[1], sm_err_text(err));
	while (!err && c.left) {
		bool any = false;
		for (int32_t p = 0; !err && c.left && p < partitions; p++)
			if (a->partition < 0 || a->partition == p)
				err = consume_some(&c, p, &offsets[p], &any, &error);
		if (!any && !a->follow)
			break;
		if (!any) {
			fflush(stdout);
			nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
		}
	}
	free(offsets);
	free(c.buffer);
	return err ? command_failed(&error) : STATUS_OK;
}

int command_topic(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_DATA,
		{"partitions", 'p', "N", 0,
		 "create: so many partitions (default 1); alter: grow to so many; produce, consume: only this one", 0},
		{"partition", 'p', "N", OPTION_ALIAS, NULL, 0},
		{"replication-factor", KEY_REPLICATION, "N", 0,
		 "create: kept and shown, there is one copy; with log = kafka:// so many copies", 0},
		{"config", KEY_CONFIG, "NAME=VALUE", 0, "create, alter: as retention.ms=3600000; alter: NAME= goes back to the default", 0},
		{"key-separator", 'K', "TEXT", 0, "produce: what stands before TEXT in a line is its key", 0},
		{"follow", 'f', NULL, 0, "consume: go on with what arrives, from now on", 0},
		{"from-beginning", KEY_FROM, NULL, 0, "consume --follow: begin with the oldest record", 0},
		{"max", KEY_MAX, "N", 0, "consume: end after N records", 0},
		{"keys", KEY_KEYS, NULL, 0, "consume: print the key and a tab before the value", 0},
		{"offsets", KEY_PLACE, NULL, 0, "consume: print PARTITION:OFFSET before it", 0},
		{0},
	};
	static const struct argp argp = {
		options,
		parse,
		"create|describe|alter|delete|produce|consume TOPIC\nlist",
		"Work on topics of a running server. produce reads records from standard input, one a line, and ends when all are on disk; "
		"consume prints all that is there.",
		NULL,
		NULL,
		NULL};
	struct arguments a = {.partitions = -1, .partition = -1, .max = -1};
	command_parse(&argp, argc, argv, &a);
	struct sm_error error = {0};
	const char *action = a.words[0];
	static const char *const actions[] = {"create", "list", "describe", "alter", "delete", "produce", "consume", NULL};
	if (!command_is_one_of(action, actions)) {
		fprintf(stderr, "smack: unknown action '%s': create, list, describe, alter, delete, produce or consume\n", action);
		return STATUS_USAGE;
	}
	if (strcmp(action, "list") != 0 && a.word_count < 2) {
		fprintf(stderr, "smack: name the topic: smack topic %s TOPIC\n", action);
		return STATUS_USAGE;
	}
	struct sm_session *session;
	if (sm_connect(a.data, &session, &error))
		return command_failed(&error);
	struct sm_log *log = sm_session_log(session);
	int status;
	if (strcmp(action, "list") == 0) {
		status = list(log);
	} else if (strcmp(action, "describe") == 0) {
		status = describe(log, &a);
	} else if (strcmp(action, "create") == 0) {
		struct log_topic_spec spec = {a.words[1], a.partitions < 0 ? 1 : (int32_t)a.partitions, (int32_t)a.replication, a.configs,
					      a.config_count};
		status = log_topic_create_wait(log, &spec, &error) ? command_failed(&error) : STATUS_OK;
	} else if (strcmp(action, "alter") == 0) {
		struct log_topic_change change = {.name = a.words[1],
						  .partitions = a.partitions < 0 ? 0 : (int32_t)a.partitions,
						  .configs = a.configs,
						  .config_count = a.config_count};
		status = log_topic_change_wait(log, &change, &error) ? command_failed(&error) : STATUS_OK;
	} else if (strcmp(action, "delete") == 0) {
		status = log_topic_delete_wait(log, a.words[1], &error) ? command_failed(&error) : STATUS_OK;
	} else if (strcmp(action, "produce") == 0) {
		status = produce(log, &a);
	} else {
		status = consume(log, &a);
	}
	sm_disconnect(session);
	return status;
}
