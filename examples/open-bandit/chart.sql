-- The dashboard's chart: a name, then numbers.
SELECT n.name AS campaign, r.views, r.clicks
FROM ads.campaign_report r JOIN ads.campaign_name n ON r.id = n.id
ORDER BY r.clicks DESC;
