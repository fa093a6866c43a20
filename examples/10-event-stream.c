/* Listing 10: events of a stream become rows of a table, exactly once, in micro-batches of 10 seconds. The article's is Spark Streaming
 *over Kinesis:
 *
 *	val ssc = new StreamingContext(conf, Seconds(10))
 *	val kinesisStream = KinesisUtils.createStream(ssc, appName, streamName, endpointURL, regionName, ...)
 *	val events = kinesisStream.map(bytes => Json.parse(bytes).as[Event])
 *	events.saveToCassandra("keyspace", "event")
 *	ssc.start()
 *	ssc.awaitTermination()
 *
 * Here the stream is a topic. The rows of a micro-batch and the offsets up to which they were read are one atomic write: kill the program
 *at any moment and start it again, and every event is there once. 10-event-stream.sql is the same in SQL.
 *
 *	smack submit --class event-stream jobs                (until Ctrl-C)
 *	smack submit --class event-stream jobs until=end      (what is there now) */
#include "jobs.h"
#include <signal.h>
#include <smack/event.h>
#include <smack/stream.h>
#include <stdio.h>
#include <stdlib.h>

static bool stop;

static void on_signal(int number)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
}

static enum sm_err save_events(struct sm_micro_batch *batch, void *arg)
{
	for (uint32_t i = 0; i < sm_micro_batch_size(batch); i++) {
		struct sm_bytes json = sm_micro_batch_record(batch, i)->value;
		struct sm_event event;
		char *problems = NULL;
		if (sm_event_parse(json.data, json.size, &event, &problems) != SM_OK) {
			sm_micro_batch_reject(batch, i, problems ? problems : "no event");
			free(problems);
			continue;
		}
		struct sm_column_value row[] = {{"id", sm_uuid(&event.id)},
						{"ad_id", sm_uuid(&event.ad_id)},
						{"campaign", sm_uuid(&event.campaign)},
						{"ts", sm_integer(event.ts)},
						{"type", sm_text(sm_event_type_name(event.type))}};
		sm_micro_batch_put(batch, "ads.event", row, 5);
	}
	return SM_OK;
}

enum sm_err event_stream(struct sm_job *job, struct sm_error *reterr)
{
	struct sm_stream_options options = {.name = "event-stream",
					    .topic = sm_job_arg(job, "topic", "raw_events"),
					    .interval_ms = (uint32_t)atoi(sm_job_arg(job, "interval_ms", "10000")),
					    .stop = &stop,
					    .until_end = strcmp(sm_job_arg(job, "until", ""), "end") == 0};
	struct sm_stream_stats stats = {0};
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	enum sm_err err = sm_stream_run(sm_job_log(job), sm_job_store(job), &options, save_events, NULL, &stats, reterr);
	printf("%llu events in %llu micro-batches, %llu rejected\n", (unsigned long long)stats.rows, (unsigned long long)stats.batches,
	       (unsigned long long)stats.rejected);
	return err;
}
