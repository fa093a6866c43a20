#!/usr/bin/python3
"""kafka-python as Debian has it: produce, consume, groups that rebalance, offsets, admin."""
import threading
import time
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError
from common import BROKERS, RUN, check, equal, run, until

LOCK = threading.Lock()


def produce(topic, values, **options):
    producer = KafkaProducer(bootstrap_servers=BROKERS, acks="all", **options)
    sent = [producer.send(topic, value=v, key=v) for v in values]
    offsets = [f.get(timeout=30).offset for f in sent]
    producer.close()
    return offsets


def what_is_produced_is_consumed():
    topic = f"py-plain-{RUN}"
    values = [b"%d" % i for i in range(1000)]
    for codec in (None, "gzip"):  # the other codecs need modules that are not in Debian
        produce(topic, values, compression_type=codec)
    consumer = KafkaConsumer(topic, bootstrap_servers=BROKERS, auto_offset_reset="earliest", consumer_timeout_ms=2000)
    records = []
    until(lambda: records.extend(r for p in consumer.poll(500).values() for r in p) or len(records) >= 2000, "2000 records")
    equal(values + values, [r.value for r in records], "the records")
    equal(list(range(2000)), [r.offset for r in records], "their offsets")
    tp = TopicPartition(topic, 0)
    equal({tp: 0}, consumer.beginning_offsets([tp]), "the beginning")
    equal({tp: 2000}, consumer.end_offsets([tp]), "the end")
    at = consumer.offsets_for_times({tp: records[7].timestamp})[tp]
    check(at.offset <= 7 and at.timestamp == records[7].timestamp, "offset for a time", at)
    check(consumer.offsets_for_times({tp: 2 ** 42})[tp] is None, "nothing was written in the far future")
    consumer.close()


def admin_creates_describes_and_deletes():
    topic = f"py-admin-{RUN}"
    admin = KafkaAdminClient(bootstrap_servers=BROKERS)
    new = NewTopic(topic, num_partitions=5, replication_factor=1, topic_configs={"retention.ms": "3600000"})
    admin.create_topics([new])
    try:
        admin.create_topics([new])
        check(False, "a second creation was accepted")
    except TopicAlreadyExistsError:
        pass
    check(topic in admin.list_topics(), "the topic is not listed")
    equal(5, len(admin.describe_topics([topic])[0]["partitions"]), "partitions")
    answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    configs = {c[0]: c[1] for c in answer[0].resources[0][4]}
    equal("3600000", configs["retention.ms"], "retention.ms")
    admin.delete_topics([topic])
    check(topic not in admin.list_topics(), "the topic is still listed")
    try:
        admin.delete_topics([topic])
        check(False, "a second deletion was accepted")
    except UnknownTopicOrPartitionError:
        pass
    admin.close()


class Member(threading.Thread):
    """A group's member on a thread of its own: kafka-python's poll blocks while the group rebalances."""

    def __init__(self, topic, group, seen):
        super().__init__(daemon=True)
        self.args, self.seen, self.assigned = (topic, group), seen, 0
        self.leaving = threading.Event()
        self.start()

    def run(self):
        topic, group = self.args
        consumer = KafkaConsumer(topic, bootstrap_servers=BROKERS, group_id=group, auto_offset_reset="earliest", heartbeat_interval_ms=300,
                                 session_timeout_ms=6000, enable_auto_commit=False)
        while not self.leaving.is_set():
            for p, records in consumer.poll(100).items():
                for r in records:
                    with LOCK:
                        self.seen[(p.partition, r.offset)] = self.seen.get((p.partition, r.offset), 0) + 1
                consumer.commit()
            self.assigned = len(consumer.assignment())
        consumer.close()

    def leave(self):
        self.leaving.set()
        self.join(60)
        check(not self.is_alive(), "a member does not end")


def a_group_shares_partitions_and_rebalances():
    topic, group = f"py-group-{RUN}", f"py-g-{RUN}"
    admin = KafkaAdminClient(bootstrap_servers=BROKERS)
    admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])
    seen = {}

    def all_seen(count, what):
        until(lambda: time.sleep(0.05) or len(seen) == count, what)
        equal({1}, set(seen.values()), what + ", each once")

    def shares(want, *members):
        until(lambda: time.sleep(0.05) or sorted(m.assigned for m in members) == want, f"shares {want}")

    a = Member(topic, group, seen)
    shares([4], a)
    b = Member(topic, group, seen)
    shares([2, 2], a, b)
    produce(topic, [b"%d" % i for i in range(100)])
    all_seen(100, "all records")
    equal("Stable", admin.describe_consumer_groups([group])[0].state, "the group's state")
    check(group in [g[0] for g in admin.list_consumer_groups()], "the group is not listed")
    b.leave()
    shares([4], a)
    produce(topic, [b"more"])
    all_seen(101, "the new record")
    a.leave()
    offsets = admin.list_consumer_group_offsets(group)
    equal(101, sum(o.offset for o in offsets.values()), "committed offsets")
    c = Member(topic, group, seen)
    shares([4], c)
    produce(topic, [b"last"])
    all_seen(102, "what a new member reads from the committed offsets on")
    c.leave()
    equal(0, admin.delete_consumer_groups([group])[0][1].errno, "deletion of the group")
    equal({}, admin.list_consumer_group_offsets(group), "offsets of a deleted group")
    admin.close()


run([what_is_produced_is_consumed, admin_creates_describes_and_deletes, a_group_shares_partitions_and_rebalances])
