#!/usr/bin/python3
"""smack migrate log between two servers: what comes over, kills of the copy and of the target in the middle, what is refused.
platform: own"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

SMACK = os.environ["SMACK"]
DIR = tempfile.mkdtemp(prefix="smack-test-")
DEADLINE_S = 120


def check(condition, *what):
    if not condition:
        print("FAILED:", *what, file=sys.stderr)
        sys.exit(1)


def equal(want, got, what):
    check(want == got, f"{what}: expected {want!r}, got {got!r}")


class Server:
    def __init__(self, name):
        self.data = f"{DIR}/{name}"
        self.ports = ["--kafka", "0"]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([SMACK, "up", "--data", self.data, "--http", "0", "--cql", "0", *self.ports],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if line.startswith("  kafka"):
                self.kafka = line.split()[1]
                self.ports = ["--kafka", self.kafka.split(":")[1]]
            if line.startswith("  data"):
                return
        check(False, "the server does not start")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        equal(0, self.process.wait(30), "status of the server")


def command(*args):
    return [SMACK, "migrate", "log", *args]


def migrate(*args, status=0):
    run = subprocess.run(command(*args), capture_output=True, text=True, timeout=DEADLINE_S)
    check(run.returncode == status, f"status {run.returncode}, not {status}: {args}\n{run.stdout}\n{run.stderr}")
    return run.stdout + run.stderr


def ends(server, topic, partitions):
    consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "looks"})
    try:
        return [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1] for p in range(partitions)]
    except KafkaException:
        return [0] * partitions
    finally:
        consumer.close()


def records(server, topic, partitions):
    """All committed records: (partition, key, value, headers, time), in order within a partition."""
    consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "reads", "enable.partition.eof": True, "fetch.wait.max.ms": 20,
                         "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    out, at_end, limit = [[] for _ in range(partitions)], set(), time.monotonic() + DEADLINE_S
    while len(at_end) < partitions:
        check(time.monotonic() < limit, "never read to the end:", topic)
        m = consumer.poll(1)
        if m is None:
            continue
        if m.error():
            at_end.add(m.partition())
            continue
        out[m.partition()].append((m.key(), m.value(), m.headers(), m.timestamp()))
    consumer.close()
    return out


def produce(server, topic, count, codec="none", size=20, partitions=1):
    p = Producer({"bootstrap.servers": server.kafka, "compression.type": codec, "linger.ms": 20})
    for i in range(count):
        headers = [("n", str(i).encode()), ("n", b"again"), ("", b"")][: i % 4]
        p.produce(topic, key=None if i % 7 == 0 else b"" if i % 11 == 0 else b"k%d" % (i % 50),
                  value=None if i % 13 == 0 else b"v%d" % i + b"." * size, headers=headers, partition=i % partitions,
                  timestamp=1574553617004 + i)
        p.poll(0)
    equal(0, p.flush(60), "records that were not produced")


def consume(server, group, topic, count):
    """Reads count records as the group and commits; gives their values."""
    consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": group, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "isolation.level": "read_committed"})
    consumer.subscribe([topic])
    got, limit = [], time.monotonic() + DEADLINE_S
    while len(got) < count:
        check(time.monotonic() < limit, f"{group} has {len(got)} of {count} records of {topic}")
        m = consumer.poll(1)
        if m is not None and not m.error():
            got.append(m.value())
            if len(got) == count:
                consumer.commit(m, asynchronous=False)
    consumer.close()
    return got


def transactions(server, topic):
    producers = [Producer({"bootstrap.servers": server.kafka, "transactional.id": f"t{i}"}) for i in range(2)]
    for p in producers:
        p.init_transactions(30)
    for i in range(12):
        p = producers[i % 2]
        p.begin_transaction()
        for n in range(i % 5 + 1):
            p.produce(topic, value=b"txn %d %d" % (i, n))
        p.flush(30)
        if i % 3 == 1:
            p.abort_transaction(30)
        else:
            p.commit_transaction(30)


def make(server, name, partitions=1, **configs):
    admin = AdminClient({"bootstrap.servers": server.kafka})
    futures = admin.create_topics(
        [NewTopic(name, partitions, 1, config={k.replace("_", "."): v for k, v in configs.items()})])
    futures[name].result(30)


def config(server, topic, name):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": server.kafka})
    return admin.describe_configs([resource])[resource].result(30)[name].value


def same_everywhere(a, b, topics):
    for topic, partitions in topics.items():
        equal(records(a, topic, partitions), records(b, topic, partitions), f"the records of {topic}")


def comes_over(a, b, to):
    topics = {"txns": 1, "compacted": 1}
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topics[f"codec-{codec}"] = 2
        make(a, f"codec-{codec}", 2, retention_ms="1000000000000")
        produce(a, f"codec-{codec}", 500, codec, partitions=2)
    make(a, "txns")
    transactions(a, "txns")
    make(a, "compacted", cleanup_policy="compact", min_cleanable_dirty_ratio="0.1")
    p = Producer({"bootstrap.servers": a.kafka})
    for i in range(300):
        p.produce("compacted", key=b"k%d" % (i % 20), value=b"v%d" % i)
    p.flush(30)
    first = consume(a, "movers", "txns", 10)
    out = migrate("--data", a.data, "--to", to, "--dry-run")
    check("topic txns: would be made" in out and "__consumer_offsets" not in out, out)
    out = migrate("--data", a.data, "--to", to)
    equal(len(topics) + 5, len(re.findall(r"\| same", out)), "partitions that are the same")
    same_everywhere(a, b, topics)
    equal("1000000000000", config(b, "codec-lz4", "retention.ms"), "retention.ms")
    equal("compact", config(b, "compacted", "cleanup.policy"), "cleanup.policy")
    migrate("--data", a.data, "--to", to, "--verify")
    # The group goes on where it was, although the offsets there are others.
    rest = consume(b, "movers", "txns", len(records(a, "txns", 1)[0]) - 10)
    equal([r[1] for r in records(a, "txns", 1)[0]], first + rest, "what the group has read at both sides")
    # Run again: nothing is doubled, and what the group has committed there stays.
    out = migrate("--data", a.data, "--to", to, status=1)
    check("group movers" in out and "itself" in out, out)
    same_everywhere(a, b, topics)


def survives_kills(a, b, to):
    make(a, "big", 2)
    produce(a, "big", 60000, size=600, partitions=2)
    args = ("--data", a.data, "--to", to, "--topics", "big")
    kills = 0
    for attempt in range(8):
        run = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before, limit = ends(b, "big", 2), time.monotonic() + DEADLINE_S
        while run.poll() is None and ends(b, "big", 2) == before:
            check(time.monotonic() < limit, "the copy does not go on")
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            kills += 1
        run.wait()
    check(kills > 0, "no kill came in time")
    print(f"{kills} kills")
    migrate(*args)
    equal([30000, 30000], ends(b, "big", 2), "records of big, after so many kills: %d" % kills)
    same_everywhere(a, b, {"big": 2})


def survives_the_target(a, b, to):
    make(a, "steady")
    produce(a, "steady", 40000, size=600)
    args = ("--data", a.data, "--to", to, "--topics", "steady")
    run = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + DEADLINE_S
    while run.poll() is None and ends(b, "steady", 1) == [0]:
        check(time.monotonic() < limit, "the copy does not go on")
    b.kill()
    said = run.communicate(timeout=DEADLINE_S)[1]
    check(run.returncode in (0, 1), f"status {run.returncode}: {said}")
    b.start()
    migrate(*args)
    equal([40000], ends(b, "steady", 1), "records of steady")
    same_everywhere(a, b, {"steady": 1})


def is_refused(a, b, to):
    make(a, "other")
    make(b, "other")
    produce(a, "other", 10)
    produce(b, "other", 5, size=3)
    said = migrate("--data", a.data, "--to", to, "--topics", "other", status=1)
    check("it is no copy" in said and len(said.strip().splitlines()) < 4, said)
    said = migrate("--data", a.data, "--to", to, "--topics", "other", "--verify", status=1)
    check("DIFFERENT" in said and "the first difference is offset 1" in said, said)
    said = migrate("--data", a.data, "--to", to, "--topics", "no-such", status=1)
    check("no topic 'no-such'" in said, said)
    said = migrate("--data", a.data, "--to", a.data, status=1)
    check("is both sides" in said, said)
    migrate("--data", a.data, status=2)


def comes_back(a, b, to):
    """--from: the topics of b into a third server."""
    c = Server("c")
    migrate("--data", c.data, "--from", to, "--topics", "codec-*,txns", "--topics", "big")
    same_everywhere(b, c, {"codec-zstd": 2, "txns": 1, "big": 2})
    c.stop()


def main():
    a, b = Server("a"), Server("b")
    try:
        for part in (comes_over, survives_kills, survives_the_target, is_refused, comes_back):
            begun = time.monotonic()
            part(a, b, b.data)
            print(f"{part.__name__}: ok, {time.monotonic() - begun:.1f} s")
        b.stop()
        a.stop()
    finally:
        for server in (a, b):
            if server.process.poll() is None:
                server.kill()
        shutil.rmtree(DIR, ignore_errors=True)


main()
