/* Listing 11: reads a backup and loads it into a table.
 *
 *	sc.textFile(s"s3n://bucket/2015/<star>/<star>.gz")
 *	  .map(s => Try(JsonUtils.stringToEvent(s)))
 *	  .filter(_.isSuccess).map(_.get)
 *	  .saveToCassandra(config.keyspace, config.table)
 *
 * The backup is a tree of gzip files, a day each, as `smack backup` makes it (in a directory for now; buckets come later). A row is
 * known by its event's id, so loading it twice changes nothing. What does not parse is counted.
 *
 *	smack backup --topic raw_events /backup
 *	smack submit --class restore-backup jobs 'files=/backup/2019/<star>/<star>.gz' table=ads.event      (<star>: an asterisk) */
#include "jobs.h"
#include <smack/event.h>
#include <stdio.h>

static enum sm_err to_event(const struct sm_row *line, struct sm_out *out, void *arg)
{
	struct sm_bytes s = sm_get_bytes(line, "value");
	struct sm_event event;
	if (sm_event_parse(s.data, s.size, &event, NULL) != SM_OK)
		return sm_skip(out);
	sm_put(out, "id", sm_uuid(&event.id));
	sm_put(out, "ad_id", sm_uuid(&event.ad_id));
	sm_put(out, "campaign", sm_uuid(&event.campaign));
	sm_put(out, "ts", sm_integer(event.ts));
	sm_put(out, "type", sm_text(sm_event_type_name(event.type)));
	return sm_emit(out);
}

enum sm_err restore_backup(struct sm_job *job, struct sm_error *reterr)
{
	struct sm_context *sc = sm_job_context(job);
	const char *files = sm_job_arg(job, "files", NULL);
	uint64_t count;
	if (!files)
		return sm_fail(reterr, SM_INVALID, "say which files, as in 'files=/backup/2019/*/*.gz'");

	struct sm_rdd *events = sm_rdd_map(sm_rdd_text_files(sc, files), "id uuid, ad_id uuid, campaign uuid, ts bigint, type text",
					   to_event, NULL);
	enum sm_err err = sm_rdd_save_to_table(events, sm_job_arg(job, "table", "ads.event"), &count, reterr);
	if (!err)
		printf("%llu rows, %llu bad lines skipped\n", (unsigned long long)count, (unsigned long long)sm_context_stats(sc).skipped);
	return err;
}
