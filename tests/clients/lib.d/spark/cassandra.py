"""Spark's Cassandra connector: cassandra.py JARS WORK. Keyspace, tables, rows of all types, pushed-down conditions, joins by key, and token ranges
as the connector splits them."""
import datetime
import decimal
import os
import sys
import uuid

from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import col
from pyspark.sql.types import (ArrayType, BinaryType, BooleanType, ByteType, DateType, DecimalType, DoubleType, FloatType, IntegerType, LongType, MapType,
                               ShortType, StringType, StructField, StructType, TimestampType)

HOST = os.environ["CASSANDRA_CONTACT_POINTS"].split(",")[0]
PORT = os.environ["CASSANDRA_PORT"]
JARS, WORK = sys.argv[1:]
CATALOG = "com.datastax.spark.connector.datasource.CassandraCatalog"


def wanted(name):
    """Spark itself brings its own jars, Scala's and Jackson."""
    return name.endswith(".jar") and not name.startswith(("spark-core", "spark-sql_", "spark-catalyst", "scala-library", "scala-reflect", "jackson-", "slf4j-"))


jars = [os.path.join(JARS, name) for name in os.listdir(JARS) if wanted(name)]
spark = (SparkSession.builder.master("local[2]").config("spark.jars", ",".join(jars)).config("spark.ui.enabled", "false")
         .config("spark.sql.shuffle.partitions", "2").config("spark.local.dir", WORK).config("spark.sql.session.timeZone", "UTC")
         .config("spark.sql.extensions", "com.datastax.spark.connector.CassandraSparkExtensions")
         .config("spark.sql.catalog.c", CATALOG).config("spark.cassandra.connection.host", HOST).config("spark.cassandra.connection.port", PORT)
         .getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
keyspace = "spark_" + uuid.uuid4().hex[:8]


def equal(want, got, what):
    if want != got:
        sys.exit(f"spark-cassandra: {what}: {got}, not {want}")


def table(name, **options):
    return spark.read.format("org.apache.spark.sql.cassandra").options(keyspace=keyspace, table=name, **options).load()


def write(rows, name, mode="append", **options):
    rows.write.format("org.apache.spark.sql.cassandra").options(keyspace=keyspace, table=name, **options).mode(mode).save()


def schema():
    spark.sql(f"CREATE DATABASE c.{keyspace} WITH DBPROPERTIES (class='SimpleStrategy', replication_factor='1')")
    spark.sql(f"CREATE TABLE c.{keyspace}.event (campaign INT, minute INT, shown BIGINT, clicked BIGINT) USING cassandra "
              "PARTITIONED BY (campaign) TBLPROPERTIES (clustering_key='minute.desc')")
    spark.sql(f"CREATE TABLE c.{keyspace}.per_campaign (campaign INT, shown BIGINT) USING cassandra PARTITIONED BY (campaign)")
    equal(["event", "per_campaign"], sorted(r.tableName for r in spark.sql(f"SHOW TABLES IN c.{keyspace}").collect()), "tables of the keyspace")


def counts():
    """The article's job: rows in, grouped, rows out; then read again by key, by range and whole."""
    rows = spark.range(0, 20000).select((col("id") % 200).cast("int").alias("campaign"), (col("id") / 200).cast("int").alias("minute"),
                                        col("id").alias("shown"), (col("id") % 3).alias("clicked"))
    write(rows, "event")
    event = table("event", **{"spark.cassandra.input.split.sizeInMB": "1"})
    equal(20000, event.count(), "rows of the table")
    equal(100, event.where("campaign = 7").count(), "rows of a partition")
    equal([20, 19, 18], [r.minute for r in event.where("campaign = 7 and minute between 18 and 20").collect()], "a range, newest first")
    plan = event.where("campaign = 7 and minute > 90")._jdf.queryExecution().toString()
    for condition in ("campaign", "minute"):
        if f'"{condition}"' not in plan.split("Cassandra Filters")[-1]:
            sys.exit(f"spark-cassandra: the condition on {condition} is not pushed down: {plan}")
    write(event.groupBy("campaign").sum("shown").withColumnRenamed("sum(shown)", "shown"), "per_campaign")
    per = {r.campaign: r.shown for r in table("per_campaign").collect()}
    equal({c: sum(range(c, 20000, 200)) for c in range(200)}, per, "sums by campaign")
    keys = spark.createDataFrame([(c,) for c in (3, 5, 999)], "campaign int")
    joined = keys.join(table("per_campaign", directJoinSetting="on"), "campaign", "inner")
    if "Direct Join" not in joined._jdf.queryExecution().toString():
        sys.exit("spark-cassandra: the join is not made by key")
    equal({3: per[3], 5: per[5]}, {r.campaign: r.shown for r in joined.collect()}, "a join by key")


def types():
    kinds = [("k", IntegerType()), ("a_text", StringType()), ("a_big", LongType()), ("a_small", ShortType()), ("a_tiny", ByteType()), ("a_double", DoubleType()),
             ("a_float", FloatType()), ("a_bool", BooleanType()), ("a_blob", BinaryType()), ("a_date", DateType()), ("a_time", TimestampType()),
             ("a_decimal", DecimalType(38, 18)), ("a_list", ArrayType(StringType())), ("a_map", MapType(StringType(), IntegerType())),
             ("a_struct", StructType([StructField("x", IntegerType()), StructField("y", StringType())]))]
    spark.sql(f"CREATE TABLE c.{keyspace}.kinds ({', '.join(n + ' ' + t.simpleString() for n, t in kinds if n != 'a_struct')}) USING cassandra PARTITIONED BY (k)")
    kinds = kinds[:-1]
    rows = [(1, "é", 1 << 60, -5, -128, 1.5, 0.25, True, bytearray(b"\0\xff"), datetime.date(1969, 7, 20), datetime.datetime(2026, 1, 2, 3, 4, 5, 678000),
             decimal.Decimal("-12345.678900000000000000"), ["a", "b"], {"x": 1, "y": 2}),
            (2, "", 0, 0, 0, float("-inf"), 0.0, False, bytearray(), datetime.date(9999, 12, 31), datetime.datetime(1970, 1, 1), decimal.Decimal("0E-18"), ["c"], {"z": 0}),
            (3,) + (None,) * 11 + ([], {})]  # so the connector shows collections of nothing
    write(spark.createDataFrame(rows[:2] + [(3,) + (None,) * 13], StructType([StructField(n, t) for n, t in kinds])), "kinds")
    got = {r.k: tuple(r[n] for n, _ in kinds) for r in table("kinds").collect()}
    equal({r[0]: r for r in rows}, got, "rows of all types")


def times_to_live():
    write(spark.createDataFrame([Row(campaign=1000, shown=1)]), "per_campaign", **{"spark.cassandra.output.ttl": "100000", "spark.cassandra.output.timestamp": "1700000000000000"})
    row = table("per_campaign").where("campaign = 1000").selectExpr("ttl(shown) as t", "writetime(shown) as w").collect()[0]
    equal(1700000000000000, row.w, "the write time that was asked for")
    if not 0 < row.t <= 100000:
        sys.exit(f"spark-cassandra: time to live {row.t}")


schema()
counts()
types()
times_to_live()
spark.sql(f"DROP DATABASE c.{keyspace} CASCADE")
