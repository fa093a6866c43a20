#!/usr/bin/python3
"""Transactions with confluent-kafka (librdkafka): what is committed is read, what is aborted is not, and an older producer is fenced."""
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from common import BROKERS, RUN, check, equal, run, until

ADMIN = AdminClient({"bootstrap.servers": BROKERS})
QUIET = {"log_level": 0}


def create(topic, partitions=1):
    ADMIN.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)


def transactional(name, **options):
    producer = Producer({"bootstrap.servers": BROKERS, "transactional.id": f"{name}-{RUN}", **QUIET, **options})
    producer.init_transactions(30)
    return producer


def transaction(producer, topic, values, commit=True, partition=0):
    producer.begin_transaction()
    for v in values:
        producer.produce(topic, v, partition=partition)
    producer.flush(30)
    (producer.commit_transaction if commit else producer.abort_transaction)(30)


def read(topic, isolation, count, partition=0):
    """The first count values, and none after them that can be read."""
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none", "isolation.level": isolation, "enable.partition.eof": True, **QUIET})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    got, ended = [], False

    def more():
        nonlocal ended
        for m in consumer.consume(1000, 0.5):
            if m.error():
                ended = ended or m.error().code() == KafkaError._PARTITION_EOF
            else:
                got.append(m.value())
                ended = False
        return ended and len(got) >= count

    until(more, f"{count} values of {topic}")
    consumer.close()
    return got


def committed_is_read_and_aborted_is_not():
    topic = f"txn-read-{RUN}"
    create(topic)
    producer = transactional("read")
    transaction(producer, topic, [b"a", b"b"])
    transaction(producer, topic, [b"c"], commit=False)
    transaction(producer, topic, [b"d"])
    equal([b"a", b"b", b"d"], read(topic, "read_committed", 3), "committed")
    equal([b"a", b"b", b"c", b"d"], read(topic, "read_uncommitted", 4), "all")


def an_open_transaction_holds_back_what_follows():
    topic = f"txn-open-{RUN}"
    create(topic)
    producer = transactional("open")
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(30)
    plain = Producer({"bootstrap.servers": BROKERS})
    plain.produce(topic, b"plain", partition=0)
    plain.flush(30)
    equal([], read(topic, "read_committed", 0), "before the end")
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none", "isolation.level": "read_committed", **QUIET})
    equal((0, 0), consumer.get_watermark_offsets(TopicPartition(topic, 0), 10), "the last stable offset")
    consumer.close()
    producer.commit_transaction(30)
    equal([b"open", b"plain"], read(topic, "read_committed", 2), "after the end")


def an_older_producer_is_fenced():
    topic = f"txn-fence-{RUN}"
    create(topic)
    old = transactional("fence")
    transaction(old, topic, [b"first"])
    old.begin_transaction()
    old.produce(topic, b"zombie", partition=0)
    old.flush(30)
    new = transactional("fence")
    transaction(new, topic, [b"second"])
    try:
        old.commit_transaction(30)
        check(False, "a fenced producer has committed")
    except KafkaException as e:
        check(e.args[0].fatal(), "fencing is final", e)
    equal([b"first", b"second"], read(topic, "read_committed", 2), "committed")


def offsets_are_committed_with_the_transaction():
    source, group = f"txn-offsets-{RUN}", f"txn-offsets-{RUN}"
    create(source)
    producer = transactional("offsets")
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": group, "enable.auto.commit": False, **QUIET})
    place = TopicPartition(source, 0)

    def send(offset, commit):
        producer.begin_transaction()
        producer.send_offsets_to_transaction([TopicPartition(source, 0, offset)], consumer.consumer_group_metadata(), 30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)

    def seen(offset):
        return lambda: consumer.committed([place], 10)[0].offset == offset

    send(3, True)
    until(seen(3), "the committed offset")
    send(7, False)
    until(seen(3), "the offset of an aborted transaction has gone")
    send(9, True)
    until(seen(9), "the next committed offset")
    consumer.close()


run([committed_is_read_and_aborted_is_not, an_open_transaction_holds_back_what_follows, an_older_producer_is_fenced,
     offsets_are_committed_with_the_transaction])
