-- Listing 04: totals of each campaign: the article's join of campaign and event in SQL. 04-campaign-report.c does the same in C.
-- Days before :since come from campaign, events from then on are counted; whatever the day, the totals are the same.
--
--   smack submit 04-campaign-report.sql since=2019-11-30

INSERT INTO ads.campaign_report
SELECT coalesce(c.id, e.id) AS id,
       coalesce(c.views, 0) + coalesce(e.views, 0) AS views,
       coalesce(c.clicks, 0) + coalesce(e.clicks, 0) AS clicks
FROM (SELECT id, sum(views) AS views, sum(clicks) AS clicks
      FROM ads.campaign
      WHERE make_date(year, month, day) < :since
      GROUP BY id) AS c
FULL JOIN
     (SELECT campaign AS id, count_if(type = 'view') AS views, count_if(type = 'click') AS clicks
      FROM ads.event
      WHERE to_date(ts) >= :since
      GROUP BY campaign) AS e
ON c.id = e.id;
