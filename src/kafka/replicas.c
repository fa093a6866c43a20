/* What administrators ask of replicas, elections and the metadata's quorum, where there is one broker with one directory: each answer is
 * the one of a Kafka of one node. */
#include "kafka/kafka_internal.h"

void kafka__list_partition_reassignments(struct kafka_request *r)
{
	kafka__finish(r); /* there are none */
}

/* The topic of that name, in the picture that the request holds; NULL: there is none. */
static const struct log_topic *topic_of(struct kafka_request *r, struct bytes name)
{
	return kafka__topic(r, r->topics, name, NULL);
}

static bool has_partition(const struct log_topic *topic, int32_t partition)
{
	return topic && partition >= 0 && partition < topic->partitions;
}

static struct bytes no_such(struct kafka_request *r, const struct log_topic *topic, struct bytes name, int32_t partition)
{
	return kafka__text(
		topic ? arena_printf(&r->arena, "No such partition as %.*s-%d", (int)name.size, (const char *)name.data, partition)
		      : arena_printf(&r->arena, "No such topic as %.*s", (int)name.size, (const char *)name.data));
}

/* ---- ElectLeaders: every partition has its leader, the preferred one ---- */

static void elect(struct kafka_request *r, const struct log_topic *topic, struct bytes name, struct kafka_elected_partition *p)
{
	const struct kafka_elect_leaders_request *q = r->body;
	if (q->election_type < 0 || q->election_type > 1) {
		p->error_code = KAFKA_INVALID_REQUEST;
		p->error_message = kafka__text("An election is of type 0 (preferred) or 1 (unclean).");
	} else if (!has_partition(topic, p->partition_id)) {
		p->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		p->error_message = no_such(r, topic, name, p->partition_id);
	} else {
		p->error_code = KAFKA_ELECTION_NOT_NEEDED;
		p->error_message = kafka__text("Leader election not needed for topic partition.");
	}
}

static bool elect_topic(struct kafka_request *r, const struct kafka_elect_leaders_topic *q, struct kafka_elected_topic *out)
{
	const struct log_topic *topic = topic_of(r, q->topic);
	*out = (struct kafka_elected_topic){.topic = q->topic};
	out->partition_result = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partition_result);
	if (!out->partition_result)
		return false;
	out->partition_result_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++) {
		out->partition_result[i] = (struct kafka_elected_partition){.partition_id = q->partitions[i]};
		elect(r, topic, q->topic, &out->partition_result[i]);
	}
	return true;
}

void kafka__elect_leaders(struct kafka_request *r)
{
	const struct kafka_elect_leaders_request *q = r->body;
	struct kafka_elect_leaders_response *reply = r->reply;
	const struct log_topics *topics = kafka__topics(r);
	/* Of all topics (null) those partitions are told that got another leader: none. */
	bool all = q->topic_partitions_count < 0, ok = topics != NULL, wrong = q->election_type < 0 || q->election_type > 1;
	size_t count = !ok || (all && wrong) ? 0 : all ? topics->count : (size_t)q->topic_partitions_count;
	ok = ok && (reply->replica_election_results = kafka__alloc(r, count, sizeof *reply->replica_election_results));
	for (size_t i = 0; ok && i < count; i++) {
		struct kafka_elected_topic *out = &reply->replica_election_results[reply->replica_election_results_count++];
		if (all)
			*out = (struct kafka_elected_topic){.topic = bytes_str(topics->items[i].name)};
		else
			ok = elect_topic(r, &q->topic_partitions[i], out);
	}
	if (wrong && q->topic_partitions_count)
		reply->error_code = KAFKA_INVALID_REQUEST;
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}

/* ---- AlterPartitionReassignments: the one place is the right one ---- */

static void reassign(struct kafka_request *r, const struct log_topic *topic, struct bytes name,
		     const struct kafka_reassignable_partition *q, struct kafka_reassigned_partition *out)
{
	*out = (struct kafka_reassigned_partition){.partition_index = q->partition_index};
	if (!has_partition(topic, q->partition_index)) {
		out->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		out->error_message = topic ? kafka__text(arena_printf(&r->arena, "Unable to find partition %.*s:%d.", (int)name.size,
								      (const char *)name.data, q->partition_index))
					   : kafka__text(arena_printf(&r->arena, "Unable to find a topic named %.*s.", (int)name.size,
								      (const char *)name.data));
	} else if (q->replicas_count < 0) {
		out->error_code = KAFKA_NO_REASSIGNMENT_IN_PROGRESS;
		out->error_message = kafka__text("No partition reassignment is in progress.");
	} else if (q->replicas_count == 0) {
		out->error_code = KAFKA_INVALID_REPLICA_ASSIGNMENT;
		out->error_message = kafka__text("The manual partition assignment includes an empty replica list.");
	} else if (q->replicas_count > 1 || q->replicas[0] != r->server->node_id) {
		int32_t other = q->replicas[0];
		bool again = false;
		for (int32_t i = 0; i < q->replicas_count; i++) {
			if (q->replicas[i] != r->server->node_id)
				other = q->replicas[i];
			for (int32_t k = 0; k < i; k++)
				again |= q->replicas[i] == q->replicas[k];
		}
		out->error_code = KAFKA_INVALID_REPLICA_ASSIGNMENT;
		out->error_message = kafka__text(
			again ? arena_printf(&r->arena, "The manual partition assignment includes the broker %d more than once.",
					     q->replicas[0])
			      : arena_printf(&r->arena,
					     "The manual partition assignment includes broker %d, but no such broker is registered.",
					     other));
	}
}

static bool reassign_topic(struct kafka_request *r, const struct kafka_reassignable_topic *q, struct kafka_reassigned_topic *out)
{
	const struct log_topic *topic = topic_of(r, q->name);
	*out = (struct kafka_reassigned_topic){.name = q->name};
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	if (!out->partitions)
		return false;
	out->partitions_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++)
		reassign(r, topic, q->name, &q->partitions[i], &out->partitions[i]);
	return true;
}

void kafka__alter_partition_reassignments(struct kafka_request *r)
{
	const struct kafka_alter_partition_reassignments_request *q = r->body;
	struct kafka_alter_partition_reassignments_response *reply = r->reply;
	reply->allow_replication_factor_change = q->allow_replication_factor_change || !q->topics_count;
	if (!q->topics_count)
		reply->error_message = KAFKA_EMPTY;
	bool ok = kafka__topics(r) && (reply->responses = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->responses));
	for (int32_t i = 0; ok && i < q->topics_count; i++)
		ok = reassign_topic(r, &q->topics[i], &reply->responses[reply->responses_count++]);
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}

/* ---- AlterReplicaLogDirs: to the one directory, where everything is ---- */

static bool move_topic(struct kafka_request *r, const struct kafka_moving_dir *dir, const struct kafka_moving_topic *q,
		       struct kafka_moved_topic *out)
{
	const struct log_topic *topic = topic_of(r, q->name);
	bool here = bytes_equal(dir->path, bytes_str(KAFKA_LOG_DIR));
	*out = (struct kafka_moved_topic){.topic_name = q->name};
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	if (!out->partitions)
		return false;
	out->partitions_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++) {
		int16_t error = !here                                     ? KAFKA_LOG_DIR_NOT_FOUND
				: !has_partition(topic, q->partitions[i]) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
									  : KAFKA_NONE;
		out->partitions[i] = (struct kafka_moved_partition){q->partitions[i], error};
	}
	return true;
}

void kafka__alter_replica_log_dirs(struct kafka_request *r)
{
	const struct kafka_alter_replica_log_dirs_request *q = r->body;
	struct kafka_alter_replica_log_dirs_response *reply = r->reply;
	size_t count = 0;
	for (int32_t i = 0; i < q->dirs_count; i++)
		count += (size_t)q->dirs[i].topics_count;
	bool ok = kafka__topics(r) && (reply->results = kafka__alloc(r, count, sizeof *reply->results));
	for (int32_t i = 0; ok && i < q->dirs_count; i++)
		for (int32_t k = 0; ok && k < q->dirs[i].topics_count; k++)
			ok = !q->dirs[i].topics[k].partitions_count ||
			     move_topic(r, &q->dirs[i], &q->dirs[i].topics[k], &reply->results[reply->results_count++]);
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}

/* ---- DescribeQuorum: one voter, which leads ---- */

#define METADATA_TOPIC "__cluster_metadata"

static bool describe_quorum(struct kafka_request *r, const struct kafka_quorum_topic *q, struct kafka_described_quorum_topic *out,
			    bool *there)
{
	struct kafka_quorum_replica *voter = kafka__alloc(r, 1, sizeof *voter);
	bool is_metadata = bytes_equal(q->topic_name, BYTES(METADATA_TOPIC));
	*out = (struct kafka_described_quorum_topic){.topic_name = q->topic_name};
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	if (!voter || !out->partitions)
		return false;
	int64_t now_ms = clock_wall_ms(&clock_system);
	*voter = (struct kafka_quorum_replica){
		.replica_id = r->server->node_id, .last_fetch_timestamp = now_ms, .last_caught_up_timestamp = now_ms};
	out->partitions_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++) {
		struct kafka_described_quorum_partition *p = &out->partitions[i];
		*p = (struct kafka_described_quorum_partition){.partition_index = q->partitions[i].partition_index};
		if (!is_metadata || q->partitions[i].partition_index != 0) {
			p->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			p->error_message = kafka__text("This server does not host this topic-partition.");
			continue;
		}
		*there = true;
		p->error_message = KAFKA_EMPTY;
		p->leader_id = r->server->node_id;
		p->leader_epoch = 1;
		p->current_voters = voter;
		p->current_voters_count = 1;
	}
	return true;
}

/* The nodes of what was described. */
static bool put_node(struct kafka_request *r)
{
	struct kafka_describe_quorum_response *reply = r->reply;
	struct kafka_quorum_node *node = kafka__alloc(r, 1, sizeof *node);
	struct kafka_quorum_listener *listener = kafka__alloc(r, 1, sizeof *listener);
	if (!node || !listener)
		return false;
	*listener = (struct kafka_quorum_listener){bytes_str(kafka__protocol_name(r->listener)), kafka__our_host(r),
						   (int16_t)kafka__our_port(r)};
	*node = (struct kafka_quorum_node){.node_id = r->server->node_id, .listeners = listener, .listeners_count = 1};
	reply->nodes = node;
	reply->nodes_count = 1;
	return true;
}

void kafka__describe_quorum(struct kafka_request *r)
{
	const struct kafka_describe_quorum_request *q = r->body;
	struct kafka_describe_quorum_response *reply = r->reply;
	bool there = false, ok = (reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics)) != NULL;
	reply->error_message = KAFKA_EMPTY;
	for (int32_t i = 0; ok && i < q->topics_count; i++)
		ok = describe_quorum(r, &q->topics[i], &reply->topics[reply->topics_count++], &there);
	if (ok && (!there || put_node(r)))
		kafka__finish(r);
	else
		kafka__abort(r);
}
