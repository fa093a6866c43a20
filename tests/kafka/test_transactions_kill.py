#!/usr/bin/python3
"""platform: own. Consume, transform, produce in transactions, while producer and server are killed: every record once, in order, whole
transactions only."""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from ports import free_ports  # noqa: E402

VALUES, PARTITIONS, EACH, KILLS = 1500, 2, 10, 14
QUIET = {"log_level": 0}


def worker(broker):
    """Until all is transformed; ends with 1 whenever something goes wrong, to begin anew."""
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
    try:
        producer = Producer({"bootstrap.servers": broker, "transactional.id": "transform", **QUIET})
        producer.init_transactions(20)
        consumer = Consumer({"bootstrap.servers": broker, "group.id": "transform", "isolation.level": "read_committed",
                             "enable.auto.commit": False, **QUIET})
        places = consumer.committed([TopicPartition("in", p) for p in range(PARTITIONS)], 20)
        for place in places:
            if place.error:
                return 1
            place.offset = max(place.offset, 0)
        left = VALUES * PARTITIONS - sum(place.offset for place in places)
        consumer.assign(places)
        while left:
            batch = [m for m in consumer.consume(EACH, 1) if not m.error()]
            if not batch:
                continue
            tag = f"{uuid.uuid4().hex} {len(batch)}".encode()
            producer.begin_transaction()
            for m in batch:
                producer.produce("out", m.value(), key=tag, partition=m.partition())
            producer.send_offsets_to_transaction(consumer.position(places), consumer.consumer_group_metadata(), 20)
            producer.commit_transaction(20)
            left -= len(batch)
        return 0
    except KafkaException:
        return 1


class Server:
    def __init__(self, data):
        self.data = data
        self.port = free_ports()
        self.broker = f"127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen([os.environ["SMACK"], "up", "--data", self.data, "--kafka", str(self.port), "--http", "0", "--cql", "0",
                                         "--set", "logging.level=warn"], stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.split()[:1] == ["data"]:
                return
        sys.exit(f"FAILED: the server did not start: status {self.process.wait()}")

    def kill(self):
        self.process.kill()
        if self.process.wait() != -signal.SIGKILL:
            sys.exit(f"FAILED: the server ended by itself: status {self.process.returncode}")
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        if self.process.wait(20) != 0:
            sys.exit(f"FAILED: the server ended with {self.process.returncode}")
        self.process.stdout.close()


def fill(broker):
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": broker})
    for future in admin.create_topics([NewTopic(t, PARTITIONS, 1, config={"segment.bytes": "20000"}) for t in ("in", "out")]).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": broker, "enable.idempotence": True})
    for i in range(VALUES):
        for p in range(PARTITIONS):
            producer.produce("in", b"%d" % i, partition=p)
    assert producer.flush(30) == 0


def read(broker, isolation):
    """(key, value) of each record, by partition."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "check", "isolation.level": isolation, **QUIET})
    got, end = [[] for _ in range(PARTITIONS)], time.monotonic() + 60
    for p in range(PARTITIONS):
        high = consumer.get_watermark_offsets(TopicPartition("out", p), 20)[1]
        consumer.assign([TopicPartition("out", p, OFFSET_BEGINNING)])
        while consumer.position([TopicPartition("out", p)])[0].offset < high and len(got[p]) < VALUES:
            if time.monotonic() > end:
                sys.exit(f"FAILED: {len(got[p])} records of partition {p}, and no more come")
            got[p] += [(m.key(), m.value()) for m in consumer.consume(500, 0.5) if not m.error()]
        got[p] += [(m.key(), m.value()) for m in consumer.consume(500, 1) if not m.error()]
    consumer.close()
    return got


def check(broker):
    got = read(broker, "read_committed")
    for p in range(PARTITIONS):
        values = [int(value) for _, value in got[p]]
        if values != list(range(VALUES)):
            wrong = next(i for i, v in enumerate(values + [None]) if v != i)
            sys.exit(f"FAILED: partition {p}: record {wrong} of {len(values)} is {values[wrong:wrong + 3]}")
    counts = {}
    for key, _ in got[0] + got[1]:
        counts[key] = counts.get(key, 0) + 1
    for key, count in counts.items():
        if int(key.split()[1]) != count:
            sys.exit(f"FAILED: {count} records of transaction {key}")


def main():
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    work = tempfile.mkdtemp(prefix="smack-txn-")
    server = Server(os.path.join(work, "data"))
    server.start()
    print("seed", seed)
    workers, kills, end = 0, {"worker": 0, "server": 0}, time.monotonic() + 240
    one = None
    try:
        fill(server.broker)
        while True:
            if time.monotonic() > end:
                sys.exit("FAILED: the work is never done")
            if one is None:
                one = subprocess.Popen([sys.executable, __file__, "worker", server.broker])
                workers += 1
            try:
                status = one.wait(chance.uniform(0.2, 1.2) if sum(kills.values()) < KILLS else 5)
                one = None
                if status == 0:
                    break
                continue
            except subprocess.TimeoutExpired:
                pass
            if sum(kills.values()) >= KILLS:
                continue
            if chance.randrange(2):
                one.kill()
                one.wait()
                one = None
                kills["worker"] += 1
            else:
                server.kill()
                kills["server"] += 1
                server.start()
        check(server.broker)
        server.stop()
        server.start()
        check(server.broker)
        server.stop()
    finally:
        for process in (one, server.process):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(work)
    print(f"{workers} workers, kills: {kills}; all {VALUES * PARTITIONS} records once")


if len(sys.argv) > 1 and sys.argv[1] == "worker":
    sys.exit(worker(sys.argv[2]))
main()
