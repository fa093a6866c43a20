#!/usr/bin/python3
"""confluent-kafka (librdkafka) as Debian has it: every codec, idempotence, groups of both assignment kinds, static members, admin."""
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from common import BROKERS, RUN, check, equal, run, until

ADMIN = AdminClient({"bootstrap.servers": BROKERS})


def create(topic, partitions):
    ADMIN.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)


def produce(topic, values, **options):
    errors, offsets = [], []
    producer = Producer({"bootstrap.servers": BROKERS, "linger.ms": 5, **options})

    def delivered(error, message):
        errors.append(error) if error else offsets.append(message.offset())

    for v in values:
        while True:
            try:
                producer.produce(topic, v, key=v, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
    equal(0, producer.flush(60), "records left in the producer")
    equal([], errors, "failed deliveries")
    return offsets


def consume_all(topic, count):
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none"})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    got = []
    until(lambda: got.extend(m.value() for m in consumer.consume(1000, 0.5) if not m.error()) or len(got) >= count, f"{count} records")
    consumer.close()
    return got


def every_codec_comes_back():
    values = [b"value %d" % i for i in range(5000)]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = f"ck-{codec}-{RUN}"
        create(topic, 1)
        produce(topic, values, **{"compression.type": codec})
        equal(values, consume_all(topic, len(values)), f"records in {codec}")


def an_idempotent_producer_keeps_order():
    topic = f"ck-idempotent-{RUN}"
    create(topic, 1)
    values = [b"%d" % i for i in range(20000)]
    offsets = produce(topic, values, **{"enable.idempotence": True, "batch.num.messages": 100})
    equal(list(range(20000)), offsets, "offsets")
    equal(values, consume_all(topic, 20000), "records")


def member(group, topic, **options):
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": group, "auto.offset.reset": "earliest", "heartbeat.interval.ms": 300,
                         "session.timeout.ms": 6000, "enable.auto.commit": False, **options})
    consumer.subscribe([topic])
    return consumer


def a_group_rebalances(strategy):
    topic, group = f"ck-{strategy}-{RUN}", f"ck-g-{strategy}-{RUN}"
    create(topic, 6)
    options = {"partition.assignment.strategy": strategy}
    seen = {}

    def poll(*members):
        for m in members:
            for r in m.consume(100, 0.1):
                if not r.error():
                    seen[(r.partition(), r.offset())] = seen.get((r.partition(), r.offset()), 0) + 1

    def shares(*members):
        return sorted(len(m.assignment()) for m in members)

    members = [member(group, topic, **options) for _ in range(3)]
    until(lambda: poll(*members) or shares(*members) == [2, 2, 2], "three members share")
    produce(topic, [b"%d" % i for i in range(300)])
    until(lambda: poll(*members) or len(seen) == 300, "all records seen")
    equal({1}, set(seen.values()), "each record once")
    for m in members:
        m.commit(asynchronous=False)
    members.pop().close()
    until(lambda: poll(*members) or shares(*members) == [3, 3], "two share what the third left")
    equal({1}, set(seen.values()), "nothing is read again")
    committed = members[0].committed([TopicPartition(topic, p) for p in range(6)], 30)
    equal(300, sum(max(p.offset, 0) for p in committed), "committed offsets")
    for m in members:
        m.close()


def eager_and_cooperative_groups_rebalance():
    a_group_rebalances("range")
    a_group_rebalances("cooperative-sticky")


def a_static_member_comes_back_without_a_rebalance():
    topic, group = f"ck-static-{RUN}", f"ck-static-{RUN}"
    create(topic, 2)
    rebalances = []
    a, b = (member(group, topic, **{"group.instance.id": f"i{i}", "session.timeout.ms": 30000}) for i in range(2))
    a.subscribe([topic], on_assign=lambda c, p: rebalances.append(p))
    until(lambda: a.poll(0.1) or b.poll(0.1) or (len(a.assignment()), len(b.assignment())) == (1, 1), "two static members share")
    had, before = b.assignment(), len(rebalances)
    b.close()
    b = member(group, topic, **{"group.instance.id": "i1", "session.timeout.ms": 30000})
    until(lambda: a.poll(0.1) or b.poll(0.1) or len(b.assignment()) == 1, "the static member is back")
    equal([p.partition for p in had], [p.partition for p in b.assignment()], "its partition")
    equal(before, len(rebalances), "rebalances of the other")
    a.close()
    b.close()


def admin_creates_describes_and_deletes():
    topic = f"ck-admin-{RUN}"
    create(topic, 3)
    equal(3, len(ADMIN.list_topics(topic, 30).topics[topic].partitions), "partitions")
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    equal("delete", ADMIN.describe_configs([resource])[resource].result(30)["cleanup.policy"].value, "cleanup.policy")
    try:
        create(topic, 3)
        check(False, "a second creation was accepted")
    except KafkaException as e:
        equal(KafkaError.TOPIC_ALREADY_EXISTS, e.args[0].code(), "the refusal")
    ADMIN.delete_topics([topic])[topic].result(30)
    check(topic not in ADMIN.list_topics(timeout=30).topics, "the topic is still there")


def a_lost_offset_is_out_of_range():
    topic = f"ck-beyond-{RUN}"
    create(topic, 1)
    produce(topic, [b"x"])
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none", "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, 0, 1000)])
    errors = []

    def polled():
        m = consumer.poll(0.5)
        if m is not None and m.error():
            errors.append(m.error().code())
        return errors

    until(polled, "an error")
    check(errors[0] in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET), "the error", errors)
    consumer.close()


run([every_codec_comes_back, an_idempotent_producer_keeps_order, eager_and_cooperative_groups_rebalance,
     a_static_member_comes_back_without_a_rebalance, admin_creates_describes_and_deletes, a_lost_offset_is_out_of_range])
