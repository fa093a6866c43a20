/* The article's jobs in one program, as `smack submit --class NAME jobs` starts them (listing 05). */
#include "jobs.h"

SM_JOB_MAIN({"views-per-campaign", views_per_campaign, "views of each campaign in a month (month=2019-11)"},
	    {"campaign-report", campaign_report, "totals of each campaign into ads.campaign_report (since=2019-11-30)"},
	    {"event-stream", event_stream, "events of topic raw_events into ads.event, exactly once (interval_ms=10000)"},
	    {"restore-backup", restore_backup, "a tree of gzip files into ads.event (files=/backup/2019/*/*.gz)"})
