-- Listing 10: events of a stream become rows of a table, exactly once: what 10-event-stream.c does, as a streaming job in SQL. In smack.conf:
--
--   [stream events]
--   sql = 10-event-stream.sql
--   interval = 10s

INSERT INTO ads.event
SELECT id, ad_id, campaign, ts, type
FROM raw_events;
