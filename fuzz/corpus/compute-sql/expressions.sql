INSERT INTO t (a, `b c`, d) SELECT CASE type WHEN 'view' THEN 1 ELSE -2.5e3 END, coalesce(NULL, type) || 'x''y', ts IN (1, 2L, NULL) FROM r WHERE type LIKE 'v\_%' AND NOT ts BETWEEN 0 AND 9 OR d <=> NULL;
INSERT INTO t SELECT CAST(type AS bigint), substring(type, 2, 1), upper(type), date(ts), date_format(ts, 'yyyy/MM'), if(d > 1, 1 / d, ts % 3) FROM r
