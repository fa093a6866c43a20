"""Transactional producers and what tools ask about them."""
import records
from sequences.data import fetch, list_offsets, produce
from sequences.groups import committed
from sequences.topics import kept


class Producer:
    """A transactional id, with the producer id and epoch that it was given last."""

    def __init__(self, s, txn, version=4, timeout_ms=600000):
        self.s, self.txn, self.timeout_ms, self.sequences = s, txn, timeout_ms, {}
        self.init(version)

    def init(self, version, **more):
        answer = self.s.call("init_producer_id", version, {
            "transactional_id": self.txn, "transaction_timeout_ms": self.timeout_ms, **more})
        if answer.at("error_code") == 0:
            self.id, self.epoch, self.sequences = answer.at("producer_id"), answer.at("producer_epoch"), {}

    def who(self, **more):
        return {"transactional_id": self.txn, "producer_id": self.id, "producer_epoch": self.epoch, **more}

    def old(self):
        return {"transactional_id": self.txn, "producer_id": self.id, "producer_epoch": self.epoch - 1}

    def add(self, version, topics, who=None, verify=False):
        parts = [{"name": t, "partitions": p} for t, p in topics]
        who = who or self.who()
        if version < 4:
            self.s.call("add_partitions_to_txn", version, {**who, "topics": parts})
        else:
            self.s.call("add_partitions_to_txn", version, {"transactions": [{**who, "topics": parts, "verify_only": verify}]})

    def send(self, topic, version=9, partition=0, txn=None, epoch=None, attributes=records.TRANSACTIONAL, ahead=0):
        epoch = self.epoch if epoch is None else epoch
        sequence = self.sequences.get(partition, 0) + ahead

        def make(number):
            return records.batch([(b"k", b"v%d" % sequence)], 1000, producer_id=number, epoch=epoch, sequence=sequence,
                                 attributes=attributes)
        data = self.id.map(make) if hasattr(self.id, "map") else make(self.id)
        answer = produce(self.s, topic, data, version, partition=partition, txn=self.txn if txn is None else txn)
        if answer.at("topics", 0, "partitions", 0, "error_code") == 0:
            self.sequences[partition] = sequence + 1

    def end(self, version, commit, who=None):
        answer = self.s.call("end_txn", version, {**(who or self.who()), "committed": commit})
        if version >= 5 and answer.at("error_code") == 0:
            self.id, self.epoch, self.sequences = answer.at("producer_id"), answer.at("producer_epoch"), {}


def describe(s, *ids):
    s.call("describe_transactions", 0, {"transactional_ids": list(ids)})


def look(s, topic):
    for isolation in (0, 1):
        fetch(s, topic, isolation=isolation)
        list_offsets(s, topic, (-1, -3, 0), isolation=isolation)


def inits(s, rng, names):
    for version in range(6):
        txn = names("init")
        s.call("init_producer_id", version, {"transactional_id": None, "transaction_timeout_ms": 60000})
        s.call("init_producer_id", version, {"transactional_id": None, "transaction_timeout_ms": -5})
        s.call("init_producer_id", version, {"transactional_id": "", "transaction_timeout_ms": 60000})
        for timeout in (0, -1, 900001, 2 ** 31 - 1):
            s.call("init_producer_id", version, {"transactional_id": txn, "transaction_timeout_ms": timeout})
        p = Producer(s, txn, version)
        p.init(version)
        p.init(version)
        describe(s, txn)
        if version >= 3:
            p.init(version, producer_id=p.id, producer_epoch=p.epoch)
            p.init(version, producer_id=p.id, producer_epoch=p.epoch - 1)
            p.init(version, producer_id=p.id, producer_epoch=0)
            p.init(version, producer_id=p.id, producer_epoch=p.epoch + 5)
            p.init(version, producer_id=999999, producer_epoch=p.epoch)
            p.init(version, producer_id=p.id, producer_epoch=-1)
            p.init(version, producer_id=-1, producer_epoch=2)
            s.call("init_producer_id", version, {"transactional_id": None, "transaction_timeout_ms": 60000,
                                                 "producer_id": p.id, "producer_epoch": p.epoch})
            fresh = names("fresh")
            s.call("init_producer_id", version, {"transactional_id": fresh, "transaction_timeout_ms": 60000,
                                                 "producer_id": 55555, "producer_epoch": 3})


def lives(s, rng, names):
    """Transactions in the old and the new protocol: commit, abort, nothing, with wrong steps between."""
    topic = names("txn")
    kept(s, topic, 3)
    for version in range(6):
        txn = names("id")
        p = Producer(s, txn, min(version, 5))
        p.end(version, True)
        p.end(version, False)
        for commit in (True, False):
            p.send(topic, 9)
            p.add(min(version, 5), [(topic, [0, 1])])
            p.add(min(version, 5), [(topic, [0])])
            describe(s, txn)
            p.send(topic, 11)
            p.send(topic, 11, 2)
            p.send(topic, 11, epoch=p.epoch + 1)
            p.send(topic, 11, 0, attributes=0)
            look(s, topic)
            p.add(min(version, 5), [(topic, [0, 9])])
            p.add(min(version, 5), [(names("none"), [0]), (topic, [2])])
            if version >= 4:
                p.add(version, [(topic, [0])], verify=True)
                p.add(version, [(topic, [2])], verify=True)
            for who in ({**p.who(), "producer_epoch": 77}, {**p.who(), "producer_id": 999999}, {**p.who(), "transactional_id": names("no")},
                        {**p.who(), "transactional_id": ""}):
                p.add(min(version, 5), [(topic, [0])], who)
                p.end(version, commit, who)
            if version < 5:
                p.end(version, commit)
                p.end(version, commit)
                p.end(version, not commit)
            else:
                was = p.who()
                p.end(version, commit)
                p.end(version, commit, was)
                p.end(version, not commit, was)
            s.txn_settles(txn)
            describe(s, txn)
            look(s, topic)
    s.call("describe_producers", 0, {"topics": [{"name": topic, "partitions": [0, 1, 2, 7, -1]}, {"name": names("none"), "partitions": [0]}]})


def implicit(s, rng, names):
    """transaction.version 2: Produce adds the partitions, each EndTxn gives a new epoch."""
    topic = names("txn")
    kept(s, topic, 2)
    p = Producer(s, names("id"), 5)
    p.send(topic, 12, 0, ahead=3)
    p.send(topic, 12, 0)
    p.send(topic, 11, 1, ahead=3)
    p.send(topic, 12, 0, ahead=1)
    p.end(5, False)
    for commit in (True, False, True):
        for version in (12, 12, 11):
            p.send(topic, version, rng.randrange(2))
        describe(s, p.txn)
        look(s, topic)
        was = p.who()
        p.end(5, commit)
        p.end(5, commit, was)
        p.end(5, not commit, was)
        s.txn_settles(p.txn)
        look(s, topic)
    p.end(5, False)
    s.txn_settles(p.txn)
    p.end(5, True)
    p.send(topic, 12)
    p.init(5)
    s.txn_settles(p.txn)
    look(s, topic)


def offsets(s, rng, names):
    topic = names("t")
    kept(s, topic, 2)
    for version in range(6):
        group = names("group")
        p = Producer(s, names("id"), 4)

        def commit(parts, who=None, generation=-1, member="", name=topic, to=group):
            more = {"generation_id": generation, "member_id": member} if version >= 3 else {}
            s.call("txn_offset_commit", version, {**(who or p.who()), "group_id": to, **more, "topics": [
                {"name": name, "partitions": [{"partition_index": i, "committed_offset": o, "committed_metadata": m}
                                              for i, o, m in parts]}]})
        commit([(0, 3, None)])
        s.call("add_offsets_to_txn", min(version, 4), {**p.who(), "group_id": group})
        s.call("add_offsets_to_txn", min(version, 4), {**p.who(), "group_id": ""})
        s.call("add_offsets_to_txn", min(version, 4), {**p.who(), "producer_epoch": 50, "group_id": group})
        s.call("add_offsets_to_txn", min(version, 4), {**p.who(), "producer_id": 999999, "group_id": group})
        s.call("add_offsets_to_txn", min(version, 4), {**p.who(), "transactional_id": names("no"), "group_id": group})
        commit([(0, 5, "m"), (9, 1, None), (1, 6, "x" * 5000)])
        commit([(0, 5, "m")], name=names("none"))
        commit([(0, 5, "m")], {**p.who(), "producer_epoch": 50})
        commit([(0, 5, "m")], {**p.who(), "producer_id": 999999})
        if version >= 3:
            commit([(0, 5, "m")], generation=3, member="nobody")
            commit([(0, 5, "m")], generation=-1, member="nobody")
        commit([])
        committed(s, group, 7, [(topic, [0, 1])])
        committed(s, group, 7, [(topic, [0, 1])], require_stable=True)
        committed(s, group, 8, None, require_stable=True)
        describe(s, p.txn)
        p.end(4, version % 2 == 0)
        s.txn_settles(p.txn)
        committed(s, group, 7, [(topic, [0, 1])], require_stable=True)


def listed(s, rng, names):
    topic = names("t")
    kept(s, topic)
    p = Producer(s, names("id"), 4)
    p.add(3, [(topic, [0])])
    describe(s, p.txn, names("none"), "")
    describe(s)
    describe(s, p.txn, p.txn)
    for version in range(3):
        for body in ({}, {"state_filters": ["Ongoing"]}, {"state_filters": ["Empty", "nonsense"]}, {"producer_id_filters": [p.id]},
                     {"producer_id_filters": [999999]}, {"state_filters": ["nonsense"]}, {"state_filters": ["ongoing"]}):
            s.call("list_transactions", version, body)
        if version >= 1:
            for duration in (0, -1, 10 ** 9, -5):
                s.call("list_transactions", version, {"duration_filter": duration})
        if version >= 2:
            for pattern in ("", None, p.txn, ".*listed.*", "listed", "[", "a{2", "(x", p.txn[:-1] + "."):
                s.call("list_transactions", version, {"transactional_id_pattern": pattern})
    p.end(3, True)
    s.txn_settles(p.txn)
    s.call("list_transactions", 1, {"state_filters": ["CompleteCommit"]})


def markers(s, rng, names):
    topic = names("t")
    kept(s, topic, 2)
    p = Producer(s, names("id"), 4)

    def mark(topics, epoch=None, commit=False, coordinator=0, number=None):
        s.call("write_txn_markers", 1, {"markers": [{
            "producer_id": p.id if number is None else number, "producer_epoch": p.epoch if epoch is None else epoch,
            "transaction_result": commit, "coordinator_epoch": coordinator,
            "topics": [{"name": t, "partitions": parts} for t, parts in topics]}]})
    p.add(3, [(topic, [0])])
    p.send(topic)
    look(s, topic)
    mark([(topic, [0])], coordinator=3)
    look(s, topic)
    mark([(topic, [0, 1, 9]), (names("none"), [0])], coordinator=3)
    mark([(topic, [0])], coordinator=2)
    mark([(topic, [0])], epoch=-1, coordinator=3)
    mark([(topic, [1])], number=666666, epoch=4, commit=True)
    mark([(topic, [1])], number=666666, epoch=3)
    mark([])
    s.call("write_txn_markers", 1, {"markers": []})
    look(s, topic)
    s.call("describe_producers", 0, {"topics": [{"name": topic, "partitions": [0, 1]}]})
    s.call("describe_producers", 0, {"topics": [{"name": topic, "partitions": []}]})
    s.call("describe_producers", 0, {"topics": []})
    s.call("describe_producers", 0, {"topics": [{"name": "a/b", "partitions": [0]}]})


ALL = [inits, lives, implicit, offsets, listed, markers]
