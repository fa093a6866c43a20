INSERT INTO t SELECT campaign, sum(ts), avg(d), min(type), max(ts), count(DISTINCT type), count(*) + :p FROM r GROUP BY ALL -- comment
/* another */ ; SELECT -9223372036854775808, .5, 1D, "a\u00e9\n", DATE '2019-11-30', TIMESTAMP '2019-11-30T01:02:03.004Z'
