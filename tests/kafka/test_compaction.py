#!/usr/bin/python3
"""A compacted topic, by confluent-kafka, kafka-python and kcat as Debian has them: what they read after compaction, and what is refused."""
import subprocess
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaConsumer
from kafka import TopicPartition as PythonPartition
from common import BROKERS, RUN, check, equal, run, until

ADMIN = AdminClient({"bootstrap.servers": BROKERS})
RECORDS = 6000
KEYS = 50


def create(topic, **configs):
    ADMIN.create_topics([NewTopic(topic, 1, 1, config=configs)])[topic].result(30)


def produce(topic, records, **options):
    errors = []
    producer = Producer({"bootstrap.servers": BROKERS, "linger.ms": 5, "batch.num.messages": 20, **options})
    for key, value in records:
        producer.produce(topic, value, key=key, on_delivery=lambda error, message: error and errors.append(error))
        producer.poll(0)
    equal(0, producer.flush(60), "records left in the producer")
    return errors


def by_confluent(topic, end):
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    got, at_end = [], []

    def more():
        for m in consumer.consume(1000, 0.5):
            if m.error():
                equal(KafkaError._PARTITION_EOF, m.error().code(), "a consumer's error")
                at_end.append(m.offset())
            else:
                got.append((m.offset(), m.key(), m.value()))
        return bool(at_end)

    until(more, "the end of the partition")
    equal(end, at_end[-1], "the offset of the end")
    consumer.close()
    return got


def by_kafka_python(topic, end):
    consumer = KafkaConsumer(bootstrap_servers=BROKERS, enable_auto_commit=False)
    partition = PythonPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning()
    got = []
    until(lambda: got.extend((r.offset, r.key, r.value) for rs in consumer.poll(500).values() for r in rs) or
          consumer.position(partition) >= end, "the end of the partition")
    consumer.close()
    return got


def by_kcat(topic):
    out = subprocess.run(["kcat", "-b", BROKERS, "-C", "-q", "-e", "-t", topic, "-o", "beginning", "-f", "%o %k %S %s\\n"], check=True,
                         timeout=60, stdout=subprocess.PIPE).stdout
    fields = [line.split(b" ", 3) for line in out.splitlines()]
    return [(int(o), k, None if size == b"-1" else v) for o, k, size, v in fields]


def only_the_last_of_each_key_stays():
    records = [(b"k%d" % (i * i % KEYS), None if i % 11 == 5 else b"value %d" % i) for i in range(RECORDS)]
    last = {key: offset for offset, (key, _) in enumerate(records)}
    topics = {f"compact-{name}-{RUN}": idempotent for name, idempotent in (("plain", False), ("idempotent", True))}
    for topic, idempotent in topics.items():
        create(topic, **{"cleanup.policy": "compact", "segment.bytes": "20000", "min.cleanable.dirty.ratio": "0.01"})
        equal([], produce(topic, records, **{"enable.idempotence": idempotent}), "failed deliveries")
    for topic in topics:
        got = []
        until(lambda: got.clear() or got.extend(by_confluent(topic, RECORDS)) or len(got) < RECORDS // 3, "a compaction")
        offsets = [offset for offset, _, _ in got]
        equal(sorted(offsets), offsets, "the order")
        for offset, key, value in got:
            equal(records[offset], (key, value), f"the record at {offset}")
        check(set(last.values()) <= set(offsets), "the last of each key", set(last.values()) - set(offsets))
        equal(got, by_kafka_python(topic, RECORDS), "what kafka-python reads")
        equal(got, by_kcat(topic), "what kcat reads")
        equal([], produce(topic, [(b"k0", b"after")]), "failed deliveries")
        equal((RECORDS, b"k0", b"after"), by_confluent(topic, RECORDS + 1)[-1], "the record after")


def a_record_without_a_key_is_refused():
    topic = f"keyed-{RUN}"
    create(topic, **{"cleanup.policy": "compact"})
    errors = produce(topic, [(None, b"v")])
    equal([KafkaError.INVALID_RECORD], [e.code() for e in errors], "the refusal")
    equal([], produce(topic, [(b"k", b"v")]), "failed deliveries")


def a_time_too_far_from_now_is_refused():
    topic = f"times-{RUN}"
    create(topic, **{"message.timestamp.before.max.ms": "60000"})
    errors = []
    producer = Producer({"bootstrap.servers": BROKERS})
    producer.produce(topic, b"old", timestamp=1574553617004, on_delivery=lambda error, message: errors.append(error))
    equal(0, producer.flush(60), "records left in the producer")
    equal([KafkaError.INVALID_TIMESTAMP], [e and e.code() for e in errors], "the refusal")


def the_codec_is_the_topics():
    topic = f"codec-{RUN}"
    create(topic, **{"compression.type": "zstd", "compression.zstd.level": "5"})
    records = [(b"k", b"value %d" % i) for i in range(2000)]
    equal([], produce(topic, records, **{"compression.type": "gzip"}), "failed deliveries")
    equal(records, [(k, v) for _, k, v in by_confluent(topic, len(records))], "what comes back")


run([only_the_last_of_each_key_stays, a_record_without_a_key_is_refused, a_time_too_far_from_now_is_refused, the_codec_is_the_topics])
