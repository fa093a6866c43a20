INSERT INTO ads.event SELECT type, ts, campaign FROM raw_events;
INSERT INTO ads.campaign SELECT campaign AS id, year(ts) AS year, month(ts) AS month, day(ts) AS day, count_if(type = 'view') AS views, count_if(type = 'click') AS clicks FROM raw_events GROUP BY campaign, year(ts), month(ts), day(ts);
