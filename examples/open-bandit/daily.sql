-- The micro-batch job: each event becomes a row, and counts once in its campaign's day (UTC).
-- Both statements, the running totals and the offsets of a micro-batch are one atomic write.

INSERT INTO ads.event
SELECT id, ad_id, campaign, ts, type
FROM raw_events;

INSERT INTO ads.campaign
SELECT campaign AS id, year(ts) AS year, month(ts) AS month, day(ts) AS day,
       count_if(type = 'view') AS views, count_if(type = 'click') AS clicks
FROM raw_events
GROUP BY campaign, year(ts), month(ts), day(ts);
