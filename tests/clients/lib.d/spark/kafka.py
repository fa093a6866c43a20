"""Spark's Kafka source and sink: kafka.py JARS WORK."""
import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, concat, lit

BROKER = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
JARS, WORK = sys.argv[1:]
# Spark itself has the rest.
WANTED = ("spark-sql-kafka", "spark-token-provider-kafka", "kafka-clients", "commons-pool2")
jars = [os.path.join(JARS, name) for name in os.listdir(JARS) if name.startswith(WANTED)]
spark = (SparkSession.builder.master("local[2]").config("spark.jars", ",".join(jars)).config("spark.ui.enabled", "false")
         .config("spark.sql.shuffle.partitions", "2").config("spark.local.dir", WORK).getOrCreate())


def equal(want, got, what):
    if want != got:
        sys.exit(f"spark-kafka: {what}: {got}, not {want}")


def put(first, end):
    rows = spark.range(first, end).select(col("id").cast("string").alias("key"), concat(lit("v"), col("id").cast("string")).alias("value"))
    rows.write.format("kafka").option("kafka.bootstrap.servers", BROKER).option("topic", "spark-in").save()


def get(topic, **options):
    reader = spark.read.format("kafka").option("kafka.bootstrap.servers", BROKER).option("subscribe", topic)
    return reader.options(**options).load().selectExpr("cast(value as string) as value")


def copy():
    """What is new, in upper case, in batches of 300, from where the checkpoint says."""
    source = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", BROKER).option("subscribe", "spark-in")
              .option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", "300").load())
    query = (source.selectExpr("key", "upper(cast(value as string)) as value").writeStream.format("kafka")
             .option("kafka.bootstrap.servers", BROKER).option("topic", "spark-out").option("checkpointLocation", WORK + "/checkpoint")
             .trigger(availableNow=True).start())
    query.awaitTermination()


put(0, 1000)
equal(1000, get("spark-in").count(), "records of a batch")
copy()
put(1000, 1500)
copy()
equal(1500, get("spark-out").count(), "records of the stream")
equal({f"V{i}" for i in range(1500)}, {row.value for row in get("spark-out").collect()}, "what the stream wrote")
equal(1500, get("spark-in", startingTimestamp="1000").count(), "records since a time")
