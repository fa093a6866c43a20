"""Histories of producers, transactions and readers under kills, and the checker of what they say (the log's semantics, not linearizability:
each partition is one order of records).

    every acknowledged record is in the log, at the offset that its producer was told
    no record is there twice, none that was never sent, and each producer's are in the order in which it sent them
    what a reader was given at an offset is what stands there for good, and its offsets only grow
    a transaction that was committed is there as a whole, one that was aborted is not; of one whose end is not known, all or nothing
    a committed reader was never given a record of a transaction that was not committed"""
import threading
import time

import harness

PARTITIONS = 3
TOPIC = "history"
QUIET = {"log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100}


class History:
    """What the clients have seen. Values are unique: "NAME NUMBER" of plain producers, "NAME NUMBER PART" of transactions."""

    def __init__(self):
        self.sent = []  # (value, partition), in the order of sending, producer by producer
        self.acknowledged = {}  # value -> (partition, offset)
        self.transactions = {}  # (name, number) -> [state, values]; state: "committed", "aborted" or "unknown"
        self.reads = []  # one a reader: (committed, {partition: [(offset, value)]})


def split(value):
    """The transaction that the record belongs to, or None."""
    words = value.split()
    return (words[0], int(words[1])) if len(words) == 3 else None


def check_partition(history, partition, everything, committed, found):
    """everything, committed: what readers from the start get in the end, [(offset, value)]."""
    at = dict(everything)
    offsets = [o for o, _ in everything]
    if offsets != sorted(set(offsets)):
        found.append("partition %d: its offsets do not grow" % partition)
    sent = {v for v, p in history.sent if p == partition}
    values = [v for _, v in everything]
    if len(set(values)) != len(values):
        found.append("partition %d: a record is there twice: %s" % (partition, next(v for v in values if values.count(v) > 1)))
    for value in set(values) - sent:
        found.append("partition %d: %s was never sent here" % (partition, value))
    for value, (p, offset) in history.acknowledged.items():
        if p == partition and at.get(offset) != value:
            found.append("partition %d: %s was acknowledged at %d, where %s stands" % (partition, value, offset, at.get(offset)))
    order = {}
    for number, (value, p) in enumerate(history.sent):
        if p == partition:
            order[value] = number
    newest = {}
    for value in values:
        name = value.split()[0]
        if order.get(value, -1) < newest.get(name, -1):
            found.append("partition %d: %s is behind what was sent after it" % (partition, value))
        newest[name] = order.get(value, -1)
    if set(committed) - set(everything):
        found.append("partition %d: committed readers get what others do not" % partition)
    for value in (v for _, v in committed):
        key = split(value)
        if key and history.transactions[key][0] == "aborted":
            found.append("partition %d: %s of an aborted transaction is given to committed readers" % (partition, value))
    for value in set(values) - {v for _, v in committed}:
        key = split(value)
        if not key or history.transactions[key][0] == "committed":
            found.append("partition %d: %s is withheld from committed readers" % (partition, value))
    for number, (only_committed, places) in enumerate(history.reads):
        seen = places.get(partition, [])
        offsets = [o for o, _ in seen]
        if offsets != sorted(set(offsets)):
            found.append("partition %d: the offsets of reader %d do not grow" % (partition, number))
        right = set(committed if only_committed else everything)
        for offset, value in seen:
            if (offset, value) not in right:
                found.append("partition %d: reader %d was given %s at %d, %s" % (
                    partition, number, value, offset,
                    "which is not committed" if at.get(offset) == value else "where %s stands" % at.get(offset)))
        # What lies between two records that it was given, it was given too.
        if seen and [pair for pair in sorted(right) if seen[0][0] <= pair[0] <= seen[-1][0]] != seen:
            found.append("partition %d: reader %d was not given all that stands there" % (partition, number))


def check(history, everything, committed):
    """everything, committed: {partition: [(offset, value)]}. A list of what is wrong."""
    found = []
    for partition in range(PARTITIONS):
        check_partition(history, partition, everything.get(partition, []), committed.get(partition, []), found)
    there = {v for pairs in committed.values() for _, v in pairs}
    for (name, number), (state, values) in history.transactions.items():
        count = sum(v in there for v in values)
        if count not in (0, len(values)):
            found.append("of transaction %s %d, %d of %d records are there" % (name, number, count, len(values)))
        elif state == "committed" and count != len(values):
            found.append("transaction %s %d was committed and is not there" % (name, number))
    return found


# ---- the clients ----


class Client(threading.Thread):
    """One of the clients: until history says stop. A failure that is not the server's death is kept."""

    def __init__(self, run, name):
        super().__init__(name=name, daemon=True)
        self.at, self.failure = run, None

    def run(self):
        try:
            self.work()
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = "%s: %s: %s" % (self.name, type(error).__name__, error)


class Plain(Client):
    """An idempotent producer that never gives up."""

    def work(self):
        from confluent_kafka import Producer
        run, number = self.at, 0
        producer = Producer({"bootstrap.servers": run.broker, "enable.idempotence": True, "linger.ms": 2, "batch.num.messages": 20,
                             "message.timeout.ms": 600000, "queue.buffering.max.messages": 2000, **QUIET})

        def delivered(error, message):
            if error:
                raise harness.Failure("delivery: %s" % error)
            run.history.acknowledged[message.value().decode()] = (message.partition(), message.offset())

        while not run.ending.is_set():
            value, partition = "%s %d" % (self.name, number), number % PARTITIONS
            run.history.sent.append((value, partition))
            padding = {"pad": b"." * (40000 if number % 50 == 0 else number % 700)}
            producer.produce(TOPIC, value.encode(), partition=partition, headers=padding, on_delivery=delivered)
            number += 1
            producer.poll(0)
            while len(producer) > 200:
                producer.poll(0.01)
            if number % 20 == 0:
                time.sleep(0.005)
        if producer.flush(60):
            raise harness.Failure("records are still not acknowledged a minute after the last kill")


class Transactions(Client):
    """Transactions over all partitions, every fourth aborted; begins anew after an error that ends its producer."""

    def work(self):
        from confluent_kafka import KafkaException
        self.number = 0
        while not self.at.ending.is_set():
            try:
                self.transact()
            except KafkaException as error:
                self.at.broken[str(error.args[0].name())] = self.at.broken.get(str(error.args[0].name()), 0) + 1

    def end(self, commit):
        """Say it again while it can be."""
        from confluent_kafka import KafkaException
        while True:
            try:
                return commit(10)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise

    def transact(self):
        from confluent_kafka import Producer
        run = self.at
        producer = Producer({"bootstrap.servers": run.broker, "transactional.id": self.name, "linger.ms": 1,
                             "transaction.timeout.ms": 20000, **QUIET})
        self.end(producer.init_transactions)
        while not run.ending.is_set():
            values, key = [], (self.name, self.number)
            self.number += 1
            run.history.transactions[key] = state = ["unknown", values]
            producer.begin_transaction()
            for part in range(2 + self.number % 5):
                value, partition = "%s %d %d" % (*key, part), part % PARTITIONS
                values.append(value)
                run.history.sent.append((value, partition))
                producer.produce(TOPIC, value.encode(), partition=partition)
            if self.number % 4 == 0:
                producer.flush(10)
                self.end(producer.abort_transaction)
                state[0] = "aborted"
            else:
                self.end(producer.commit_transaction)
                state[0] = "committed"


class Reader(Client):
    """Reads on from the start, over all restarts."""

    def __init__(self, run, name, committed):
        super().__init__(run, name)
        self.committed = committed
        self.places = {}
        run.history.reads.append((committed, self.places))

    def work(self):
        consumer = new_consumer(self.at.broker, self.committed)
        while not self.at.ending.is_set():
            take(consumer.consume(200, 0.1), self.places)
        consumer.close()


def take(messages, places):
    for m in messages:
        if not m.error():
            places.setdefault(m.partition(), []).append((m.offset(), m.value().decode()))
        elif m.error().name() == "OFFSET_OUT_OF_RANGE":
            raise harness.Failure("an offset that was read up to is not there any more: %s" % m.error())


def new_consumer(broker, committed):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "history", "enable.auto.commit": False, "auto.offset.reset": "error",
                         "isolation.level": "read_committed" if committed else "read_uncommitted", "fetch.wait.max.ms": 50,
                         "fetch.error.backoff.ms": 20, **QUIET})
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
    return consumer


def read_all(broker, committed):
    """{partition: [(offset, value)]} up to the end, when nobody writes and no transaction is open."""
    from confluent_kafka import TopicPartition
    consumer, places = new_consumer(broker, committed), {}
    ends = {p: consumer.get_watermark_offsets(TopicPartition(TOPIC, p), timeout=20)[1] for p in range(PARTITIONS)}
    deadline = time.monotonic() + 60
    # A marker at the end is an offset without a record: the position says when it was passed.
    while any(p.offset < ends[p.partition] for p in consumer.position([TopicPartition(TOPIC, p) for p in range(PARTITIONS)])):
        if time.monotonic() > deadline:
            raise harness.Failure("the log cannot be read to its end: %s of %s" % ({p: v[-1:] for p, v in places.items()}, ends))
        take(consumer.consume(500, 0.2), places)
    consumer.close()
    return places


class Run:
    """A server, its clients, and kills."""

    def __init__(self, seed, power_loss):
        self.server = harness.Server(power_loss=power_loss, seed=seed, bare=True)
        self.broker = "127.0.0.1:%d" % self.server.kafka_port
        self.history, self.ending, self.broken = History(), threading.Event(), {}
        self.clients = [Plain(self, "plain%d" % i) for i in range(2)] + [Transactions(self, "txn%d" % i) for i in range(2)]
        self.clients += [Reader(self, "reader%d" % i, i % 2 == 0) for i in range(2)]

    def begin(self):
        from confluent_kafka.admin import AdminClient, NewTopic
        self.server.start()
        admin = AdminClient({"bootstrap.servers": self.broker, **QUIET})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)
        for client in self.clients:
            client.start()

    def kill(self, chance):
        """A kill at a random moment, or with the shim also at a call, counted from the start: near it, that is in the recovery, or later."""
        kind = chance.randrange(3) if self.server.power_loss else 0
        kill_at = 0 if not kind else chance.randint(1, 120 if kind == 1 else 700)
        if kill_at:
            self.server.kill()
            if not self.server.start(kill_at, None, 1000):
                self.server.kill()
                self.server.start(sync_us=1000)
                return
            deadline = time.monotonic() + 1
            while self.server.alive() and time.monotonic() < deadline:
                time.sleep(0.005)
        else:
            time.sleep(chance.uniform(0.02, 0.4))
        self.server.kill()
        self.server.start(sync_us=1000 if self.server.power_loss else 0)

    def end(self):
        self.ending.set()
        for client in self.clients:
            client.join(120)
            if client.is_alive():
                raise harness.Failure("%s does not come to an end" % client.name)
        failures = [c.failure for c in self.clients if c.failure]
        if failures:
            raise harness.Failure("; ".join(failures))
        self.end_transactions()

    def end_transactions(self):
        """What the last producer of an id has left open is ended by its next."""
        from confluent_kafka import Producer
        for client in self.clients:
            if isinstance(client, Transactions):
                client.end(Producer({"bootstrap.servers": self.broker, "transactional.id": client.name, **QUIET}).init_transactions)


def run(kills, seed, power_loss=False):
    """Returns a line of figures; raises Failure."""
    import random
    chance = random.Random(seed)
    r = Run(seed, power_loss)
    try:
        r.begin()
        for _ in range(kills):
            r.kill(chance)
            failures = [c.failure for c in r.clients if c.failure]
            if failures:
                raise harness.Failure("; ".join(failures))
        r.end()
        everything, committed = read_all(r.broker, False), read_all(r.broker, True)
        found = check(r.history, everything, committed)
        if found:
            raise harness.Failure("%d faults: %s" % (len(found), "; ".join(found[:5])))
        r.server.stop()
        states = [state for state, _ in r.history.transactions.values()]
        return "seed %d, %d kills: %d records acknowledged, %d there; transactions: %s; read meanwhile: %s; ended: %s" % (
            seed, kills, len(r.history.acknowledged), sum(map(len, everything.values())),
            ", ".join("%d %s" % (states.count(s), s) for s in ("committed", "aborted", "unknown")),
            [sum(map(len, places.values())) for _, places in r.history.reads], r.broken or "none")
    except (harness.Failure, OSError) as error:
        raise harness.failure_of(seed, error, r.server) from None
    finally:
        r.ending.set()
        r.server.done()
