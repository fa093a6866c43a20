/* The names of all consumer groups. Each broker tells those that it coordinates: without one of them the list would lack some, unnoticed.
 */
#include "kafka/rdkafka_internal.h"
#include <stdlib.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum sm_err take_names(struct arena *arena, const rd_kafka_ListConsumerGroups_result_t *result, const char *const **ret_names,
			      uint32_t *ret_count)
{
	size_t failed, count;
	const rd_kafka_error_t **errors = rd_kafka_ListConsumerGroups_result_errors(result, &failed);
	const rd_kafka_ConsumerGroupListing_t **groups = rd_kafka_ListConsumerGroups_result_valid(result, &count);
	if (failed)
		return kafka__rd_err(rd_kafka_error_code(errors[0]));
	const char **names = arena_alloc(arena, (count + 1) * sizeof *names);
	if (!names)
		return SM_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		const char *name = rd_kafka_ConsumerGroupListing_group_id(groups[i]);
		if (!(names[i] = arena_string(arena, name, strlen(name))))
			return SM_NO_MEMORY;
	}
	qsort(names, count, sizeof *names, by_name);
	*ret_names = names;
	*ret_count = (uint32_t)count;
	return SM_OK;
}

enum sm_err kafka__groups(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	struct kafka_log *k = kafka__log_of(log);
	struct sm_error error = {0};
	struct arena *arena = calloc(1, sizeof *arena);
	if (!arena)
		return SM_NO_MEMORY;
	arena_init(arena, 0);
	rd_kafka_AdminOptions_t *options = kafka__admin_options(k, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka__asker(k));
	rd_kafka_ListConsumerGroups(kafka__asker(k), options, queue);
	rd_kafka_event_t *event = kafka__admin_answer(k, queue, "listing groups", &error);
	enum sm_err err = event ? take_names(arena, rd_kafka_event_ListConsumerGroups_result(event), ret_names, ret_count) : error.code;
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	if (err)
		kafka__offsets_release(log, arena);
	else
		*ret_hold = arena;
	return err;
}
