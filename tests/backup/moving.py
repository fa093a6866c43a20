"""What the tests of smack migrate share: servers, topics full of all kinds of records, and what is read back."""
import os
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
        self.ports = ["--kafka", "0", "--cql", "0"]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([SMACK, "up", "--data", self.data, "--http", "0", *self.ports],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if line.startswith("  kafka"):
                self.kafka = line.split()[1]
            if line.startswith("  cql"):
                self.cql = line.split()[1]
            if line.startswith("  data"):
                self.ports = ["--kafka", self.kafka.split(":")[1], "--cql", self.cql.split(":")[1]]
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
        here, there = records(a, topic, partitions), records(b, topic, partitions)
        for p in range(partitions):
            for i, (x, y) in enumerate(zip(here[p], there[p])):
                equal(x, y, f"record {i} of {topic}, partition {p}")
            equal(len(here[p]), len(there[p]), f"the number of records of {topic}, partition {p}")
