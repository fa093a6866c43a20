"""Records: Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, DeleteRecords."""
import time

import records
from sequences.topics import kept

BIG = 1 << 30


def produce(s, topic, data, version=9, acks=-1, partition=0, topic_id=None, conn="main", txn=None, timeout_ms=5000):
    """data: bytes, or a list of (partition, bytes)."""
    parts = data if isinstance(data, list) else [(partition, data)]
    name = {"topic_id": topic_id} if version >= 13 else {"name": topic}
    body = {"acks": acks, "timeout_ms": timeout_ms, "transactional_id": txn,
            "topics": [{**name, "partitions": [{"index": p, "records": d} for p, d in parts]}]}
    if acks == 0:
        for which, c in enumerate(s.pair(conn)):
            del which
            c.send(s.api("produce"), version, body)
            c.waiting.pop()
        return None
    return s.call("produce", version, body, conn)


def fetch(s, topic, offset=0, version=11, partition=0, topic_id=None, isolation=0, most=BIG, part_most=BIG, least=1, wait_ms=0, **more):
    name = {"topic_id": topic_id} if version >= 13 else {"topic": topic}
    part = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": part_most,
            **{k: v for k, v in more.items() if k in ("current_leader_epoch", "last_fetched_epoch", "log_start_offset")}}
    return s.call("fetch", version, {
        "max_wait_ms": wait_ms, "min_bytes": least, "max_bytes": most, "isolation_level": isolation,
        **{k: v for k, v in more.items() if k in ("session_id", "session_epoch", "replica_id")},
        "topics": [{**name, "partitions": [part]}]})


def list_offsets(s, topic, timestamps, version=7, partition=0, isolation=0, epoch=-1):
    for timestamp in timestamps:
        s.call("list_offsets", version, {"replica_id": -1, "isolation_level": isolation, "timeout_ms": 1000, "topics": [
            {"name": topic, "partitions": [{"partition_index": partition, "timestamp": timestamp, "current_leader_epoch": epoch}]}]})


def some_pairs(rng, count=None):
    def text(most):
        return bytes(rng.randrange(256) for _ in range(rng.randrange(most)))
    return [(rng.choice([None, text(8)]), rng.choice([None, text(40)]), [(b"h", rng.choice([None, text(5)]))] * rng.randrange(3))
            for _ in range(count or rng.randint(1, 6))]


def produced(s, rng, names):
    """Right batches of all versions and codecs, and what is read back in all versions."""
    topic = names("log")
    topic_id = kept(s, topic, 3)
    now = int(time.time() * 1000)
    for version in range(3, 14):
        for codec in range(5):
            produce(s, topic, records.batch(some_pairs(rng), now + rng.randrange(1000), codec), version, rng.choice([1, -1]),
                    rng.randrange(2), topic_id)
    produce(s, topic, records.batch([(b"k", b"v")]), 9, acks=0)
    s.call("api_versions", 0, {})
    s.ends_agree(topic, 0)
    for version in range(4, 19):
        for offset in (0, 3, 10000, -1, 55):
            fetch(s, topic, offset, version, rng.randrange(3), topic_id)
        fetch(s, topic, 0, version, 7, topic_id)
        fetch(s, topic, 0, version, -1, topic_id)
        fetch(s, names("none"), 0, version, 0, b"\5" * 16)
        fetch(s, topic, 0, version, 0, topic_id, part_most=1)
        fetch(s, topic, 0, version, 0, topic_id, most=rng.randrange(200), part_most=rng.randrange(300))
        fetch(s, topic, 0, version, 0, topic_id, isolation=1)
        if version >= 9:
            fetch(s, topic, 0, version, 0, topic_id, current_leader_epoch=0)
            fetch(s, topic, 0, version, 0, topic_id, current_leader_epoch=5)
        if version >= 12:
            fetch(s, topic, 5, version, 0, topic_id, last_fetched_epoch=0)
            fetch(s, topic, 5, version, 0, topic_id, last_fetched_epoch=3)
    for version in range(1, 11):
        list_offsets(s, topic, (-1, -2, -3, -4, -5, -6, -7, 0, now, now + 500, now + 10 ** 9), version)
        list_offsets(s, topic, (-1, -2, -3, 0), version, 2)
        list_offsets(s, topic, (-1, -2), version, 9)
        list_offsets(s, names("none"), (-1,), version)
        if version >= 2:
            list_offsets(s, topic, (-1, -3, now), version, isolation=1)
        if version >= 4:
            list_offsets(s, topic, (-1,), version, epoch=0)
            list_offsets(s, topic, (-1,), version, epoch=9)
    for version in range(2, 5):
        for epoch, current in ((0, -1), (0, 0), (0, 4), (1, -1), (5, -1), (-1, -1), (-2, -1)):
            for partition in (0, 2, 9):
                s.call("offset_for_leader_epoch", version, {"replica_id": -1, "topics": [{"topic": topic, "partitions": [
                    {"partition": partition, "current_leader_epoch": current, "leader_epoch": epoch}]}]})
        s.call("offset_for_leader_epoch", version, {"replica_id": -1, "topics": [{"topic": names("none"), "partitions": [
            {"partition": 0, "current_leader_epoch": -1, "leader_epoch": 0}]}]})


def mixed(s, rng, names):
    """Several topics and partitions in one request, some of them wrong."""
    a, b = names("mixed.a"), names("mixed.b")
    kept(s, a, 2)
    kept(s, b, 2)
    for version in (3, 7, 8, 12):
        for _ in range(4):
            topics = []
            for name in rng.sample([a, b, names("none")], rng.randint(1, 3)):
                parts = [{"index": p, "records": records.batch(some_pairs(rng), 1000)} for p in rng.sample([0, 1, 5, -1], rng.randint(1, 4))]
                topics.append({"name": name, "partitions": parts})
            s.call("produce", version, {"acks": -1, "timeout_ms": 5000, "topics": topics})
    for version in (4, 7, 11, 12):
        for _ in range(8):
            topics = []
            for name in rng.sample([a, b, names("none")], rng.randint(1, 3)):
                parts = [{"partition": p, "fetch_offset": rng.choice([0, 1, 5, 500]), "partition_max_bytes": rng.choice([1, 100, BIG])}
                         for p in rng.sample([0, 1, 5], rng.randint(1, 3))]
                topics.append({"topic": name, "partitions": parts})
            s.call("fetch", version, {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": rng.choice([1, 150, 400, BIG]), "topics": topics})
    for version in (1, 5, 10):
        s.call("list_offsets", version, {"replica_id": -1, "topics": [{"name": n, "partitions": [
            {"partition_index": p, "timestamp": t} for p, t in ((0, -1), (1, -2), (6, -1))]} for n in (b, names("none"), a)]})
        s.call("list_offsets", version, {"replica_id": -1, "topics": [{"name": a, "partitions": [
            {"partition_index": 0, "timestamp": -1}, {"partition_index": 0, "timestamp": -2}]}]})
        s.call("list_offsets", version, {"replica_id": -1, "topics": []})
    s.call("describe_log_dirs", 4, {"topics": [{"topic": a, "partitions": [0, 1]}, {"topic": b, "partitions": [0, 1]}]})
    for body in ({"acks": -1, "topics": []}, {"acks": 1, "topics": [{"name": a, "partitions": []}]},
                 {"acks": 2, "topics": []}, {"acks": 1, "transactional_id": "", "topics": []}):
        s.call("produce", 9, {"timeout_ms": 5000, **body})
    s.call("fetch", 11, {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": BIG, "topics": []})
    s.call("fetch", 11, {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": BIG, "topics": [{"topic": a, "partitions": []}]})


WRONG = {
    "crc": lambda: records.batch([(b"k", b"v")], crc=1),
    "count above": lambda: records.batch([(b"k", b"v")], count=2),
    "count below": lambda: records.batch([(b"k", b"v"), (b"k", b"w")], count=1),
    "count 0": lambda: records.batch([(b"k", b"v")], count=0),
    "count -1": lambda: records.batch([(b"k", b"v")], count=-1),
    "count huge": lambda: records.batch([(b"k", b"v")], count=2 ** 31 - 1),
    "last offset delta": lambda: records.batch([(b"k", b"v")], last_offset_delta=5),
    "last offset delta -1": lambda: records.batch([(b"k", b"v")], last_offset_delta=-1),
    "count and delta": lambda: records.batch([(b"k", b"v")], last_offset_delta=1, count=2),
    "magic 0": lambda: records.old_message(0, b"k", b"v"),
    "magic 1": lambda: records.old_message(1, b"k", b"v"),
    "magic 3": lambda: records.batch([(b"k", b"v")], magic=3),
    "magic -1": lambda: records.batch([(b"k", b"v")], magic=-1),
    "empty": lambda: b"",
    "null": lambda: None,
    "no records": lambda: records.batch([]),
    "two batches": lambda: records.batch([(b"k", b"v")]) + records.batch([(b"k", b"v")]),
    "cut": lambda: records.batch([(b"k", b"v")])[:-1],
    "a header": lambda: records.batch([(b"k", b"v")])[:30],
    "too long": lambda: records.batch([(b"k", b"v")]) + b"x",
    "length 0": lambda: records.batch([(b"k", b"v")], length=0),
    "length -1": lambda: records.batch([(b"k", b"v")], length=-1),
    "length huge": lambda: records.batch([(b"k", b"v")], length=2 ** 31 - 1),
    "control": lambda: records.batch([(b"\0\0\0\1", b"\0\0\0\0\0\0")], attributes=records.CONTROL),
    "base offset": lambda: records.batch([(b"k", b"v")], base_offset=77),
    "leader epoch": lambda: records.batch([(b"k", b"v")], leader_epoch=9),
    "codec 5": lambda: records.batch([(b"k", b"v")], attributes=5),
    "codec 7": lambda: records.batch([(b"k", b"v")], attributes=7),
    "gzip that is none": lambda: records.batch([(b"k", b"v")], attributes=1),
    "lz4 that is none": lambda: records.batch([(b"k", b"v")], attributes=3),
    "append time": lambda: records.batch([(b"k", b"v")], attributes=records.LOG_APPEND_TIME),
    "unused attributes": lambda: records.batch([(b"k", b"v")], attributes=0x100),
    "delete horizon": lambda: records.batch([(b"k", b"v")], attributes=0x40),
    "time -1": lambda: records.batch([(b"k", b"v")], time=-1),
    "time -2": lambda: records.batch([(b"k", b"v")], time=-2),
    "future": lambda: records.batch([(b"k", b"v")], time=int(time.time() * 1000) + 7200000),
    "max timestamp": lambda: records.batch([(b"k", b"v")], max_timestamp=5),
    "record's length": lambda: records.batch([(b"k", b"v")], records=b"\x40" + records.record(0, 0, b"k", b"v")[1:]),
    "record cut": lambda: records.batch([(b"k", b"v")], records=records.record(0, 0, b"k", b"v")[:-1]),
    "bytes behind": lambda: records.batch([(b"k", b"v")], records=records.record(0, 0, b"k", b"v") + b"zz"),
    "offset deltas": lambda: records.batch([(b"k", b"v")] * 2, records=records.record(0, 0, b"k", b"v") * 2),
    "offset delta": lambda: records.batch([(b"k", b"v")], records=records.record(3, 0, b"k", b"v")),
    "bad header": lambda: records.batch([(b"k", b"v")], records=b"\x10\0\0\0\x02k\x02v\x05"),
    "producer without epoch": lambda: records.batch([(b"k", b"v")], producer_id=888888),
    "producer without sequence": lambda: records.batch([(b"k", b"v")], producer_id=888888, epoch=0),
    "sequence without producer": lambda: records.batch([(b"k", b"v")], sequence=0),
    "transactional without id": lambda: records.batch([(b"k", b"v")], attributes=records.TRANSACTIONAL),
    "transactional": lambda: records.batch([(b"k", b"v")], attributes=records.TRANSACTIONAL, producer_id=888888, epoch=0, sequence=0),
    "large": lambda: records.batch([(b"k", b"v" * 1100000)]),
    "large, packed": lambda: records.batch([(b"k", b"v" * 1100000)], codec=records.GZIP),
    "gzip count above": lambda: records.batch([(b"k", b"v")], codec=records.GZIP, count=2, last_offset_delta=1),
    "gzip count below": lambda: records.batch([(b"k", b"v"), (b"k", b"w")], codec=records.GZIP, count=1, last_offset_delta=0),
    "gzip bytes behind": lambda: records.batch([(b"k", b"v")], codec=records.GZIP, records=records.record(0, 0, b"k", b"v") + b"zz"),
}


# Kafka writes these down as they are.
TAKEN = {"too long", "unused attributes", "offset deltas", "offset delta"}


def refused(s, rng, names):
    """Wrong batches: what is answered, and that nothing of them is there afterwards."""
    topic = names("wrong")
    topic_id = kept(s, topic, 1)
    compact = names("compact")
    compact_id = kept(s, compact, 1, [("cleanup.policy", "compact")])
    small = names("small")
    kept(s, small, 1, [("max.message.bytes", "200")])
    old = names("old")
    kept(s, old, 1, [("message.timestamp.before.max.ms", "1000")])
    stamped = names("stamped")
    kept(s, stamped, 1, [("message.timestamp.type", "LogAppendTime")])
    packed = names("packed")
    kept(s, packed, 1, [("compression.type", "gzip")])
    unread = names("unread")
    kept(s, unread, 1)
    for what, make in WRONG.items():
        s.note = what
        if what in TAKEN:
            for version in (3, 9, 12):
                produce(s, unread, make(), version)
            continue
        if what == "null":  # Kafka never answers
            produce(s, topic, make(), 9)
            continue
        for version in (3, rng.randint(4, 9), rng.randint(10, 13)):
            produce(s, topic, make(), version, rng.choice([-1, 1]), topic_id=topic_id)
            produce(s, compact, make(), version, topic_id=compact_id)
        if what not in ("large", "large, packed", "time -2"):
            produce(s, packed, make(), 9)
    s.note = ""
    for version in (3, 8, 12):
        produce(s, compact, records.batch([(None, b"v")]), version)
        produce(s, compact, records.batch([(b"k", b"v"), (None, b"v"), (b"", b"w"), (None, None)]), version)
        produce(s, small, records.batch([(b"k", b"v" * 100)]), version)
        produce(s, small, records.batch([(b"k", b"v" * 200)]), version)
        produce(s, old, records.batch([(b"k", b"v")]), version)
        produce(s, old, records.batch([(b"k", b"v")], int(time.time() * 1000)), version)
        produce(s, stamped, records.batch([(b"k", b"v"), (b"k", b"w")]), version)
        for acks in (2, -2, 100):
            produce(s, topic, records.batch([(b"k", b"v")]), version, acks)
        produce(s, topic, records.batch([(b"k", b"v")]), version, timeout_ms=0)
        produce(s, topic, records.batch([(b"k", b"v")]), version, timeout_ms=-1)
    produce(s, "__consumer_offsets", records.batch([(b"k", b"v")]), 9)
    for name in (topic, compact, small, packed):
        fetch(s, name, 0, 11)
        list_offsets(s, name, (-1, -2, -3))
    produce(s, topic, records.batch([(b"k", b"v")], crc=1), 9, acks=0)
    s.call("api_versions", 0, {})
    time.sleep(0.1)
    s.call("api_versions", 0, {})


def idempotent(s, rng, names):
    topic = names("idem")
    kept(s, topic, 2)
    producer = s.call("init_producer_id", 4, {"transactional_id": None, "transaction_timeout_ms": 60000}).at("producer_id")

    def send(sequence, count=1, epoch=0, who=producer, partition=0, version=9):
        def make(n):
            return records.batch([(b"k%d" % i, b"v") for i in range(count)], 1000, producer_id=n, epoch=epoch, sequence=sequence)
        data = who.map(make) if hasattr(who, "map") else make(who)
        produce(s, topic, data, version, partition=partition)
    for sequence, count in ((0, 2), (2, 3), (5, 1), (6, 1), (7, 1), (8, 1)):
        send(sequence, count)
    for sequence, count in ((8, 1), (7, 1), (6, 1), (5, 1), (2, 3), (0, 2), (2, 1), (3, 1)):  # again; the last five are known
        send(sequence, count)
    for sequence in (10, 100, 2 ** 31 - 1):
        send(sequence)
    send(9)
    send(0, 1, 1)
    send(1, 1, 0)
    send(5, 1, 1)
    send(1, 1, 1)
    send(3, 1, 2)
    send(0, 1, 2)
    send(5, 2, 0, 777001)  # a producer that nobody knows may begin anywhere
    send(7, 1, 0, 777001)
    send(9, 1, 0, 777001)
    send(0, 1, 3, 777001)
    send(2 ** 31 - 1, 1, 0, 777002, 1)
    send(0, 1, 0, 777002, 1)
    send(2 ** 31 - 2, 3, 0, 777003, 1)
    send(1, 1, 0, 777003, 1)
    for _ in range(30):
        send(rng.randrange(4), rng.randint(1, 2), rng.randrange(3), rng.choice([777010, 777011]), rng.randrange(2), rng.randint(3, 12))
    fetch(s, topic)
    fetch(s, topic, partition=1)
    s.call("describe_producers", 0, {"topics": [{"name": topic, "partitions": [0, 1, 5]}]})


def trimmed(s, rng, names):
    topic = names("trim")
    kept(s, topic, 2)
    for _ in range(6):
        produce(s, topic, records.batch(some_pairs(rng, 3)))

    def trim(offset, version=2, partition=0, name=topic):
        s.call("delete_records", version, {"timeout_ms": 5000, "topics": [{"name": name, "partitions": [
            {"partition_index": partition, "offset": offset}]}]})
    for version in range(3):
        trim(2 + version, version)
        fetch(s, topic, 0)
        fetch(s, topic, 3, 5)
        list_offsets(s, topic, (-2, -1, -3, -4, 0))
        trim(1, version)
        trim(100, version)
        trim(-2, version)
        trim(0, version, 7)
        trim(0, version, -1)
        trim(0, version, name=names("none"))
        trim(0, version, 1)
        s.call("delete_records", version, {"timeout_ms": 5000, "topics": []})
        s.call("delete_records", version, {"timeout_ms": 5000, "topics": [{"name": topic, "partitions": [
            {"partition_index": 0, "offset": 3}, {"partition_index": 1, "offset": 0}]}, {"name": "a/b", "partitions": [
                {"partition_index": 0, "offset": 0}]}]})
    trim(-1)
    fetch(s, topic, 18)
    fetch(s, topic, 17)
    produce(s, topic, records.batch(some_pairs(rng, 2)))
    fetch(s, topic, 18)
    s.call("delete_records", 2, {"timeout_ms": 5000, "topics": [{"name": "__consumer_offsets", "partitions": [
        {"partition_index": 0, "offset": 0}]}]})


def waited(s, rng, names):
    """Long polls: what a wait for bytes ends with."""
    topic = names("wait")
    kept(s, topic)
    fetch(s, topic, 0, wait_ms=50)
    produce(s, topic, records.batch(some_pairs(rng, 2)))
    fetch(s, topic, 0, least=10 ** 6, wait_ms=50)
    fetch(s, topic, 2, wait_ms=50)
    fetch(s, topic, 2, least=0, wait_ms=5000)
    fetch(s, topic, 99, wait_ms=5000)
    s.post("fetch", 11, {"max_wait_ms": 20000, "min_bytes": 1, "max_bytes": BIG, "topics": [
        {"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 2, "partition_max_bytes": BIG}]}]}, "waits")
    produce(s, topic, records.batch(some_pairs(rng, 2)))
    s.take("waits")
    for session, epoch in ((0, -1), (0, 0), (123456, 1), (123456, 0), (123456, -1)):
        fetch(s, topic, 0, 11, session_id=session, session_epoch=epoch)
    fetch(s, topic, 0, 11, replica_id=-2)
    fetch(s, topic, 0, 11, replica_id=-3)


ALL = [produced, mixed, refused, idempotent, trimmed, waited]
