"""moves.py BROKER: topics of a smack server to that Kafka and, with what came there, back into another smack server."""
import os
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "backup"))
from confluent_kafka import Producer  # noqa: E402

from moving import (DEADLINE_S, DIR, Server, check, command, config, consume, ends, equal, make, migrate, produce,  # noqa: E402
                    records, same_everywhere, transactions)

CODECS = {"none": 2, "gzip": 2, "snappy": 2, "lz4": 2, "zstd": 2}


class Kafka:
    kafka = sys.argv[1]


def killed(args, server, topic, partitions, times):
    """Begin a copy and kill it when something of it has come, so many times; the caller ends it."""
    kills = 0
    for _ in range(times):
        run = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before, limit = ends(server, topic, partitions), time.monotonic() + DEADLINE_S
        while run.poll() is None and ends(server, topic, partitions) == before:
            check(time.monotonic() < limit, "the copy does not go on")
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            kills += 1
        run.wait()
    check(kills > 0, "no kill came in time")
    return kills


def console(group, topic, count):
    """Kafka's own consumer as the group: the values of the next records."""
    run = subprocess.run(["java", "-Xmx200m", "-cp", os.environ["CLASSPATH"], "org.apache.kafka.tools.consumer.ConsoleConsumer",
                          "--bootstrap-server", Kafka.kafka, "--group", group, "--topic", topic, "--max-messages", str(count),
                          "--timeout-ms", "60000", "--consumer-property", "isolation.level=read_committed",
                          "--consumer-property", "auto.offset.reset=none"],
                         capture_output=True, text=True, timeout=DEADLINE_S)
    check(run.returncode == 0, run.stdout, run.stderr)
    return [line.encode() for line in run.stdout.splitlines()]


def keyed(server, topic, count, first=0):
    p = Producer({"bootstrap.servers": server.kafka})
    for i in range(first, first + count):
        p.produce(topic, key=b"k%d" % (i % 20), value=b"v%d" % i)
        if i % 50 == 49:
            p.flush(60)
    equal(0, p.flush(60), "records that were not produced")


def there(a):
    topics = {"txns": 1, "compacted": 1, "big": 2}
    for codec, partitions in CODECS.items():
        topics[f"codec-{codec}"] = partitions
        make(a, f"codec-{codec}", partitions, retention_ms="1000000000000", segment_bytes="2000000")
        produce(a, f"codec-{codec}", 1000, codec, partitions=partitions)
    make(a, "txns")
    transactions(a, "txns")
    make(a, "compacted", cleanup_policy="compact", min_cleanable_dirty_ratio="0.1")
    keyed(a, "compacted", 300)
    make(a, "big", 2)
    produce(a, "big", 30000, size=600, partitions=2)
    total = len(records(a, "txns", 1)[0])
    first = consume(a, "movers", "txns", 10)
    to = ("--data", a.data, "--to", "kafka://" + Kafka.kafka)
    print(migrate(*to, "--dry-run"))
    kills = killed((*to, "--topics", "big"), Kafka, "big", 2, 5)
    print(migrate(*to))
    same_everywhere(a, Kafka, topics)
    equal("1000000000000", config(Kafka, "codec-lz4", "retention.ms"), "retention.ms")
    equal("2000000", config(Kafka, "codec-lz4", "segment.bytes"), "segment.bytes")
    equal("compact", config(Kafka, "compacted", "cleanup.policy"), "cleanup.policy")
    migrate(*to, "--verify")
    rest = console("movers", "txns", total - 10)
    equal([r[1] for r in records(a, "txns", 1)[0]], first + rest, "what the group has read at both sides")
    print(f"there: ok, after {kills} kills", flush=True)
    return topics


def back(topics):
    """What the real Kafka has made of it since: transactions of its own, a compacted topic with gaps."""
    make(Kafka, "tight", cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01", delete_retention_ms="100")
    for i in range(3):
        keyed(Kafka, "tight", 200, i * 200)
        time.sleep(0.3)
    make(Kafka, "their-txns")
    transactions(Kafka, "their-txns")
    produce(Kafka, "codec-zstd", 500, "zstd", partitions=2)
    total = len(records(Kafka, "their-txns", 1)[0])
    first = consume(Kafka, "returners", "their-txns", 7)
    limit = time.monotonic() + 90
    while len(records(Kafka, "tight", 1)[0]) >= 600 and time.monotonic() < limit:
        keyed(Kafka, "tight", 1)
        time.sleep(1)
    gaps = len(records(Kafka, "tight", 1)[0]) < 600
    b = Server("b")
    args = ("--data", b.data, "--from", "kafka://" + Kafka.kafka)
    kills = killed((*args, "--topics", "big"), b, "big", 2, 3)
    print(migrate(*args))
    same_everywhere(Kafka, b, {**topics, "their-txns": 1})
    equal(dict((r[0], r[1:]) for r in records(Kafka, "tight", 1)[0]), dict((r[0], r[1:]) for r in records(b, "tight", 1)[0]),
          "the newest record of each key of tight")
    migrate(*args, "--verify")
    rest = consume(b, "returners", "their-txns", total - 7)
    equal([r[1] for r in records(Kafka, "their-txns", 1)[0]], first + rest, "what the group has read at both sides")
    b.stop()
    print(f"back: ok, after {kills} kills; {'a' if gaps else 'no'} compaction had made gaps", flush=True)


def main():
    a = Server("a")
    try:
        topics = there(a)
        a.stop()
        back(topics)
    finally:
        if a.process.poll() is None:
            a.kill()
        shutil.rmtree(DIR, ignore_errors=True)


main()
