-- The article's report: the totals of each campaign, from the join of campaign and event.
--
-- ads.campaign holds what is rolled up already, ads.event every single event. So that nothing counts twice there is a cut: days
-- before the last one that was seen are taken from campaign, events from that day on are counted. Each side is one row a campaign
-- before they are joined, so the join multiplies nothing; a campaign that only one side knows is there too.
-- (Both uses of the cut are the same subquery, which runs once: they can't disagree while events come in.)

WITH last_day AS (SELECT coalesce(max(make_date(year, month, day)), '0000-01-01') AS day FROM ads.campaign)
INSERT INTO ads.campaign_report
SELECT coalesce(c.id, e.id) AS id,
       coalesce(c.views, 0) + coalesce(e.views, 0) AS views,
       coalesce(c.clicks, 0) + coalesce(e.clicks, 0) AS clicks
FROM (SELECT id, sum(views) AS views, sum(clicks) AS clicks
      FROM ads.campaign
      WHERE make_date(year, month, day) < (SELECT day FROM last_day)
      GROUP BY id) AS c
FULL JOIN
     (SELECT campaign AS id, count_if(type = 'view') AS views, count_if(type = 'click') AS clicks
      FROM ads.event
      WHERE to_date(ts) >= (SELECT day FROM last_day)
      GROUP BY campaign) AS e
ON c.id = e.id;
