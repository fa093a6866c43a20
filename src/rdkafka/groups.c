/* DeleteRecords, and the offsets of consumer groups, by the brokers' admin requests. A group with members commits its own offsets: SM_BUSY.
 */
#include "rdkafka/rdkafka_internal.h"
#include <stdlib.h>
#include <time.h>

/* ---- records ---- */

struct records_job {
	struct rdkafka_job job; /* first */
	char *topic;
	int32_t partition;
	int64_t offset;
	void (*done)(void *arg, enum sm_err err, int64_t log_start_offset);
	void *arg;
};

static void records_refuse(struct rdkafka_job *job, enum sm_err err)
{
	struct records_job *r = (struct records_job *)job;
	r->done(r->arg, err, -1);
}

static enum sm_err records_answer(rd_kafka_event_t *event, int64_t *ret_start)
{
	const rd_kafka_topic_partition_list_t *list = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	if (!list || list->cnt != 1)
		return SM_FAILED;
	if (!list->elems[0].err)
		*ret_start = list->elems[0].offset;
	return rdkafka__err(list->elems[0].err);
}

static void run_records(struct rdkafka_log *k, struct rdkafka_job *job)
{
	struct records_job *r = (struct records_job *)job;
	struct sm_error error = {0};
	int64_t start = -1;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, r->topic, r->partition)->offset = r->offset < 0 ? RD_KAFKA_OFFSET_END : r->offset;
	rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_DELETERECORDS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
	rd_kafka_DeleteRecords(rdkafka__asker(k), &request, 1, options, queue);
	rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, "deleting records", &error);
	enum sm_err err = event ? records_answer(event, &start) : error.code;
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_DeleteRecords_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
	r->done(r->arg, err, start);
}

void rdkafka__records_delete(struct sm_log *log, const char *topic, int32_t partition, int64_t offset,
			     void (*done)(void *arg, enum sm_err err, int64_t log_start_offset), void *arg)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	enum sm_err err = rdkafka__partition_known(k, topic, partition, true);
	struct records_job *r = err ? NULL : rdkafka__job_new(sizeof *r, run_records, records_refuse);
	if (r)
		r->topic = arena_string(&r->job.arena, topic, strlen(topic));
	if (!r || !r->topic) {
		if (r)
			rdkafka__job_free(&r->job);
		done(arg, err ? err : SM_NO_MEMORY, -1);
		return;
	}
	r->partition = partition;
	r->offset = offset;
	r->done = done;
	r->arg = arg;
	rdkafka__job_put(k, &r->job);
}

/* ---- commits ---- */

struct commit_job {
	struct rdkafka_job job; /* first */
	char *group;
	struct log_group_offset *offsets;
	uint32_t count;
	void (*done)(void *arg, enum sm_err err);
	void *arg;
};

static void commit_refuse(struct rdkafka_job *job, enum sm_err err)
{
	struct commit_job *c = (struct commit_job *)job;
	c->done(c->arg, err);
}

/* Those to commit, or those to take back. */
static rd_kafka_topic_partition_list_t *list_of(const struct commit_job *c, bool take_back)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->count);
	for (uint32_t i = 0; i < c->count; i++) {
		const struct log_group_offset *o = &c->offsets[i];
		if ((o->offset < 0) != take_back)
			continue;
		rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_add(list, o->topic, o->partition);
		p->offset = take_back ? RD_KAFKA_OFFSET_INVALID : o->offset;
		if (o->metadata && !take_back && (p->metadata = strdup(o->metadata)))
			p->metadata_size = strlen(o->metadata);
	}
	return list;
}

static enum sm_err group_result(const rd_kafka_group_result_t **groups, size_t count)
{
	if (count != 1)
		return SM_FAILED;
	const rd_kafka_error_t *error = rd_kafka_group_result_error(groups[0]);
	if (error)
		return rdkafka__err(rd_kafka_error_code(error));
	const rd_kafka_topic_partition_list_t *list = rd_kafka_group_result_partitions(groups[0]);
	for (int i = 0; list && i < list->cnt; i++)
		if (list->elems[i].err)
			return rdkafka__err(list->elems[i].err);
	return SM_OK;
}

static enum sm_err put_offsets(struct rdkafka_log *k, const struct commit_job *c)
{
	struct sm_error error = {0};
	size_t count;
	const rd_kafka_group_result_t **groups;
	rd_kafka_topic_partition_list_t *list = list_of(c, false);
	enum sm_err err = SM_OK;
	if (list->cnt) {
		rd_kafka_AlterConsumerGroupOffsets_t *request = rd_kafka_AlterConsumerGroupOffsets_new(c->group, list);
		rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS);
		rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
		rd_kafka_AlterConsumerGroupOffsets(rdkafka__asker(k), &request, 1, options, queue);
		rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, "committing offsets", &error);
		err = error.code;
		if (event) {
			groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(rd_kafka_event_AlterConsumerGroupOffsets_result(event),
										  &count);
			err = group_result(groups, count);
		}
		rd_kafka_event_destroy(event);
		rd_kafka_queue_destroy(queue);
		rd_kafka_AdminOptions_destroy(options);
		rd_kafka_AlterConsumerGroupOffsets_destroy(request);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return err;
}

static enum sm_err take_offsets_back(struct rdkafka_log *k, const struct commit_job *c)
{
	struct sm_error error = {0};
	size_t count;
	const rd_kafka_group_result_t **groups;
	rd_kafka_topic_partition_list_t *list = list_of(c, true);
	enum sm_err err = SM_OK;
	if (list->cnt) {
		rd_kafka_DeleteConsumerGroupOffsets_t *request = rd_kafka_DeleteConsumerGroupOffsets_new(c->group, list);
		rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS);
		rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
		rd_kafka_DeleteConsumerGroupOffsets(rdkafka__asker(k), &request, 1, options, queue);
		rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, "taking offsets back", &error);
		err = error.code;
		if (event) {
			groups = rd_kafka_DeleteConsumerGroupOffsets_result_groups(rd_kafka_event_DeleteConsumerGroupOffsets_result(event),
										   &count);
			err = group_result(groups, count);
		}
		rd_kafka_event_destroy(event);
		rd_kafka_queue_destroy(queue);
		rd_kafka_AdminOptions_destroy(options);
		rd_kafka_DeleteConsumerGroupOffsets_destroy(request);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return err == SM_NOT_FOUND ? SM_OK : err; /* a group that never was has nothing to take back */
}

/* A group's coordinator may be about to come: the first group's makes __consumer_offsets. Waits a moment; false: no more. */
static bool again(struct rdkafka_log *k, enum sm_err err, uint64_t began_ns)
{
	uint64_t took_ns = clock_monotonic_ns(&clock_system) - began_ns;
	if (err != SM_UNAVAILABLE || took_ns > RDKAFKA_REQUEST_MS * 1000000ull || atomic_load(&k->ending))
		return false;
	nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	return true;
}

static void run_commit(struct rdkafka_log *k, struct rdkafka_job *job)
{
	struct commit_job *c = (struct commit_job *)job;
	uint64_t began_ns = clock_monotonic_ns(&clock_system);
	enum sm_err err;
	do {
		if (!(err = put_offsets(k, c)))
			err = take_offsets_back(k, c);
	} while (again(k, err, began_ns));
	c->done(c->arg, err);
}

static bool copy_offsets(struct commit_job *c, const char *group, const struct log_group_offset *offsets, uint32_t count)
{
	struct arena *arena = &c->job.arena;
	c->group = arena_string(arena, group, strlen(group));
	c->offsets = arena_alloc(arena, (count + 1) * sizeof *c->offsets);
	if (!c->group || !c->offsets)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct log_group_offset *to = &c->offsets[i];
		*to = offsets[i];
		to->topic = arena_string(arena, offsets[i].topic, strlen(offsets[i].topic));
		if (to->metadata)
			to->metadata = arena_string(arena, to->metadata, strlen(to->metadata));
		if (!to->topic || (offsets[i].metadata && !to->metadata))
			return false;
	}
	c->count = count;
	return true;
}

void rdkafka__offsets_commit(struct sm_log *log, const char *group, const struct log_group_offset *offsets, uint32_t count,
			     void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct commit_job *c = rdkafka__job_new(sizeof *c, run_commit, commit_refuse);
	if (!c || !copy_offsets(c, group, offsets, count)) {
		if (c)
			rdkafka__job_free(&c->job);
		done(arg, SM_NO_MEMORY);
		return;
	}
	c->done = done;
	c->arg = arg;
	rdkafka__job_put(rdkafka__log_of(log), &c->job);
}

/* ---- what is committed ---- */

static enum sm_err ask_committed_once(struct rdkafka_log *k, const char *group, const rd_kafka_topic_partition_list_t *partitions,
				      rd_kafka_event_t **ret_event, const rd_kafka_topic_partition_list_t **ret_list)
{
	struct sm_error error = {0};
	size_t count;
	rd_kafka_ListConsumerGroupOffsets_t *request = rd_kafka_ListConsumerGroupOffsets_new(group, partitions);
	rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
	rd_kafka_ListConsumerGroupOffsets(rdkafka__asker(k), &request, 1, options, queue);
	rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, "asking for committed offsets", &error);
	enum sm_err err = event ? SM_OK : error.code;
	if (event) {
		const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
			rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
		const rd_kafka_error_t *failed = count == 1 ? rd_kafka_group_result_error(groups[0]) : NULL;
		err = count != 1 ? SM_FAILED : failed ? rdkafka__err(rd_kafka_error_code(failed)) : SM_OK;
		if (!err)
			*ret_list = rd_kafka_group_result_partitions(groups[0]);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_ListConsumerGroupOffsets_destroy(request);
	if (err)
		rd_kafka_event_destroy(event);
	else
		*ret_event = event;
	return err;
}

/* partitions NULL: all that the group has. The event holds the list. */
static enum sm_err ask_committed(struct rdkafka_log *k, const char *group, const rd_kafka_topic_partition_list_t *partitions,
				 rd_kafka_event_t **ret_event, const rd_kafka_topic_partition_list_t **ret_list)
{
	uint64_t began_ns = clock_monotonic_ns(&clock_system);
	enum sm_err err;
	do
		err = ask_committed_once(k, group, partitions, ret_event, ret_list);
	while (again(k, err, began_ns));
	return err;
}

static enum sm_err take(struct arena *arena, const rd_kafka_topic_partition_t *from, struct log_group_offset *to)
{
	if (from->err)
		return rdkafka__err(from->err);
	to->offset = from->offset < 0 ? -1 : from->offset;
	to->leader_epoch = -1;
	to->pending = false;
	to->metadata = NULL;
	if (from->metadata && to->offset >= 0)
		to->metadata = arena_string(arena, from->metadata, from->metadata_size);
	return from->metadata && to->offset >= 0 && !to->metadata ? SM_NO_MEMORY : SM_OK;
}

static struct arena *arena_new(void)
{
	struct arena *arena = calloc(1, sizeof *arena);
	if (arena)
		arena_init(arena, 0);
	return arena;
}

void rdkafka__offsets_release(struct sm_log *log, void *hold)
{
	if (!hold)
		return;
	arena_done(hold);
	free(hold);
}

enum sm_err rdkafka__offsets_fetch(struct sm_log *log, const char *group, struct log_group_offset *offsets, uint32_t count, void **ret_hold)
{
	struct arena *arena = arena_new();
	rd_kafka_topic_partition_list_t *wanted = arena ? rd_kafka_topic_partition_list_new((int)count) : NULL;
	if (!wanted)
		return free(arena), SM_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		if (!rd_kafka_topic_partition_list_find(wanted, offsets[i].topic, offsets[i].partition))
			rd_kafka_topic_partition_list_add(wanted, offsets[i].topic, offsets[i].partition);
	rd_kafka_event_t *event = NULL;
	const rd_kafka_topic_partition_list_t *list = NULL;
	enum sm_err err = count ? ask_committed(rdkafka__log_of(log), group, wanted, &event, &list) : SM_OK;
	for (uint32_t i = 0; i < count && !err; i++) {
		const rd_kafka_topic_partition_t *p = list ? rd_kafka_topic_partition_list_find(
								     (rd_kafka_topic_partition_list_t *)(uintptr_t)list, offsets[i].topic,
								     offsets[i].partition)
							   : NULL;
		offsets[i].offset = offsets[i].leader_epoch = -1;
		offsets[i].metadata = NULL;
		if (p)
			err = take(arena, p, &offsets[i]);
	}
	rd_kafka_event_destroy(event);
	rd_kafka_topic_partition_list_destroy(wanted);
	if (err)
		rdkafka__offsets_release(log, arena);
	else
		*ret_hold = arena;
	return err;
}

static int by_place(const void *a, const void *b)
{
	const struct log_group_offset *x = a, *y = b;
	int order = strcmp(x->topic, y->topic);
	return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

enum sm_err rdkafka__offsets_list(struct sm_log *log, const char *group, struct log_group_offset **ret_offsets, uint32_t *ret_count,
				  void **ret_hold)
{
	struct arena *arena = arena_new();
	rd_kafka_event_t *event = NULL;
	const rd_kafka_topic_partition_list_t *list = NULL;
	uint32_t count = 0;
	enum sm_err err = arena ? ask_committed(rdkafka__log_of(log), group, NULL, &event, &list) : SM_NO_MEMORY;
	size_t most = list ? (size_t)list->cnt : 0;
	struct log_group_offset *offsets = err ? NULL : arena_alloc(arena, (most + 1) * sizeof *offsets);
	if (!err && !offsets)
		err = SM_NO_MEMORY;
	for (size_t i = 0; !err && i < most; i++) {
		struct log_group_offset *o = &offsets[count];
		if (list->elems[i].offset < 0 && !list->elems[i].err)
			continue;
		*o = (struct log_group_offset){.topic = arena_string(arena, list->elems[i].topic, strlen(list->elems[i].topic)),
					       .partition = list->elems[i].partition};
		err = o->topic ? take(arena, &list->elems[i], o) : SM_NO_MEMORY;
		count++;
	}
	rd_kafka_event_destroy(event);
	if (err) {
		if (arena)
			rdkafka__offsets_release(log, arena);
		return err;
	}
	qsort(offsets, count, sizeof *offsets, by_place);
	*ret_offsets = offsets;
	*ret_count = count;
	*ret_hold = arena;
	return SM_OK;
}

/* ---- all groups ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum sm_err take_names(struct arena *arena, const rd_kafka_ListConsumerGroups_result_t *result, const char ***ret_names,
			      uint32_t *ret_count)
{
	size_t count, failed;
	const rd_kafka_error_t **errors = rd_kafka_ListConsumerGroups_result_errors(result, &failed);
	if (failed) /* a broker does not answer: its groups are not known */
		return rdkafka__err(rd_kafka_error_code(errors[0]));
	const rd_kafka_ConsumerGroupListing_t **groups = rd_kafka_ListConsumerGroups_result_valid(result, &count);
	const char **names = arena_alloc(arena, (count + 1) * sizeof *names);
	for (size_t i = 0; names && i < count; i++) {
		const char *name = rd_kafka_ConsumerGroupListing_group_id(groups[i]);
		if (!(names[i] = arena_string(arena, name, strlen(name))))
			return SM_NO_MEMORY;
	}
	if (!names)
		return SM_NO_MEMORY;
	qsort(names, count, sizeof *names, by_text);
	*ret_names = names;
	*ret_count = (uint32_t)count;
	return SM_OK;
}

static enum sm_err ask_groups(struct rdkafka_log *k, struct arena *arena, const char ***ret_names, uint32_t *ret_count)
{
	struct sm_error error = {0};
	rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
	rd_kafka_ListConsumerGroups(rdkafka__asker(k), options, queue);
	rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, "asking for the groups", &error);
	enum sm_err err = event ? take_names(arena, rd_kafka_event_ListConsumerGroups_result(event), ret_names, ret_count) : error.code;
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	return err;
}

enum sm_err rdkafka__log_groups(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	struct arena *arena = arena_new();
	uint64_t began_ns = clock_monotonic_ns(&clock_system);
	const char **names = NULL;
	enum sm_err err = SM_NO_MEMORY;
	if (!arena)
		return err;
	do
		err = ask_groups(k, arena, &names, ret_count);
	while (again(k, err, began_ns));
	if (err) {
		rdkafka__offsets_release(log, arena);
		return err;
	}
	*ret_names = names;
	*ret_hold = arena;
	return SM_OK;
}
