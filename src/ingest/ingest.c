/* The room's life: a worker a dispatcher, each with an actor that hears from the log. */
#include "ingest/ingest_internal.h"
#include <assert.h>
#include <stdlib.h>
#include <time.h>

static enum sm_err worker_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct worker **)state = arg;
	return SM_OK;
}

static enum sm_err worker_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct worker *worker = *(struct worker **)state;
	if (msg->type == &ingest__msg_appended) {
		sm_msg_keep(self);
		ingest__appended(worker, (struct open_batch *)msg);
	}
	return SM_OK;
}

static void worker_done(struct sm_actor *self, void *state)
{
	struct worker *worker = *(struct worker **)state;
	struct ingest *ingest = worker->ingest;
	actor_turn_hook_cancel(self, &worker->hook);
	ingest__topics_done(worker);
	ingest__batches_done(worker);
	free(worker->lines);
	pthread_mutex_lock(&ingest->lock);
	ingest->workers_live--;
	pthread_cond_broadcast(&ingest->changed);
	pthread_mutex_unlock(&ingest->lock);
}

/* Under the lock. False: the time is over. */
static bool wait_for_zero(struct ingest *ingest, const uint32_t *count)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += INGEST_STOP_MS / 1000;
	while (*count)
		if (pthread_cond_timedwait(&ingest->changed, &ingest->lock, &until))
			return false;
	return true;
}

void ingest_free(struct ingest *ingest)
{
	if (!ingest)
		return;
	pthread_mutex_lock(&ingest->lock);
	bool quiet = wait_for_zero(ingest, &ingest->under_way);
	pthread_mutex_unlock(&ingest->lock);
	for (uint32_t i = 0; i < ingest->worker_count; i++)
		if (ingest->workers[i].ref)
			sm_stop(ingest->workers[i].ref);
	pthread_mutex_lock(&ingest->lock);
	quiet = wait_for_zero(ingest, &ingest->workers_live) && quiet;
	pthread_mutex_unlock(&ingest->lock);
	/* A log that has not answered may still do so: rather leak what it would touch. */
	if (!quiet)
		return;
	for (uint32_t i = 0; i < ingest->worker_count; i++)
		sm_unref(ingest->workers[i].ref);
	schema_free(ingest->any);
	pthread_cond_destroy(&ingest->changed);
	pthread_mutex_destroy(&ingest->lock);
	free(ingest->workers);
	free(ingest);
}

static enum sm_err worker_start(struct ingest *ingest, uint32_t index)
{
	struct worker *worker = &ingest->workers[index];
	worker->hook.run = ingest__turn_end;
	worker->ingest = ingest;
	map_init(&worker->entries);
	char name[32];
	snprintf(name, sizeof name, "ingest-%u", index);
	struct sm_props props = {
		.name = name,
		.state_size = sizeof(struct worker *),
		.init = worker_init,
		.receive = worker_receive,
		.done = worker_done,
		.arg = worker,
		.dispatcher = (int)index,
	};
	enum sm_err err = sm_spawn(ingest->options.system, NULL, &props, &worker->ref);
	if (!err)
		ingest->workers_live++;
	return err;
}

enum sm_err ingest_new(const struct ingest_options *options, struct ingest **ret_ingest)
{
	struct ingest *ingest = calloc(1, sizeof *ingest);
	if (!ingest)
		return SM_NO_MEMORY;
	ingest->options = *options;
	if (!options->cluster_id)
		ingest->options.cluster_id = "smack";
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&ingest->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&ingest->lock, NULL);
	ingest->worker_count = sm_system_dispatchers(options->system);
	ingest->workers = calloc(ingest->worker_count, sizeof *ingest->workers);
	struct sm_error error;
	enum sm_err err = ingest->workers ? schema_compile(BYTES("{\"type\":\"object\",\"properties\":{}}"), &ingest->any, &error)
					  : SM_NO_MEMORY;
	if (!ingest->workers)
		ingest->worker_count = 0;
	pthread_mutex_lock(&ingest->lock);
	for (uint32_t i = 0; i < ingest->worker_count && !err; i++)
		err = worker_start(ingest, i);
	pthread_mutex_unlock(&ingest->lock);
	if (err) {
		ingest_free(ingest);
		return err;
	}
	*ret_ingest = ingest;
	return SM_OK;
}

enum sm_err ingest_routes(struct ingest *ingest, struct http_server *server)
{
	static const char produce[] = "application/vnd.kafka.json.v2+json,application/vnd.kafka.binary.v2+json";
	static const char v2[] = "application/vnd.kafka.v2+json";
	const unsigned any = HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH;
	const struct http_route routes[] = {
		{.pattern = "/ingest/{topic}",
		 .handle = ingest__handle,
		 .media_types =
			 "application/json,application/x-ndjson,text/csv,application/cloudevents+json,application/cloudevents-batch+json"},
		{.pattern = "/topics/{topic}", .handle = ingest__produce, .media_types = produce, .error_type = v2},
		{.pattern = "/topics/{topic}/partitions/{partition}", .handle = ingest__produce, .media_types = produce, .error_type = v2},
		{.pattern = "/v3/clusters/{cluster}/topics/{topic}/records", .handle = ingest__produce_v3, .error_type = INGEST_V3_TYPE},
		{.pattern = "/v3/clusters", .handle = ingest__clusters, .methods = HTTP_GET, .error_type = INGEST_V3_TYPE},
		{.pattern = "/v3/clusters/{cluster}", .handle = ingest__cluster, .methods = HTTP_GET, .error_type = INGEST_V3_TYPE},
		{.pattern = "/v3/clusters/{cluster}/topics",
		 .handle = ingest__topics_v3,
		 .methods = HTTP_GET,
		 .error_type = INGEST_V3_TYPE},
		{.pattern = "/v3/clusters/{cluster}/topics/{topic}",
		 .handle = ingest__topic_v3,
		 .methods = HTTP_GET,
		 .error_type = INGEST_V3_TYPE},
		{.pattern = "/v3/*", .handle = ingest__not_v3, .methods = any, .error_type = INGEST_V3_TYPE},
	};
	enum sm_err err = SM_OK;
	for (size_t i = 0; i < sizeof routes / sizeof *routes && !err; i++) {
		struct http_route route = routes[i];
		route.methods = route.methods ? route.methods : HTTP_POST;
		route.outside = true;
		route.cors = route.methods == HTTP_POST;
		route.arg = ingest;
		err = http_server_route(server, &route);
	}
	return err;
}
