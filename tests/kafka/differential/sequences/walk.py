"""Random walks: any API in any of its versions, filled by its layout with values of which some mean something."""
import records
from layouts import APIS, STRUCTURES
from sequences.data import TAKEN, WRONG, produce, some_pairs
from sequences.topics import kept
from sequences.transactions import Producer

STEPS = 250
SILENT = {"length huge", "large", "large, packed"}  # slow to send, or slow to be answered
BIG = 1 << 30


class World:
    """What there is to ask for."""

    def __init__(self, s, rng, names):
        self.s, self.rng = s, rng
        self.topics = [names("one"), names("two")]
        self.ids = [kept(s, t, 3) for t in self.topics]
        self.groups = [names("g1"), names("g2"), names("g3")]
        self.producers = [Producer(s, names(f"txn{i}"), 5) for i in range(2)]
        self.names = names
        rare = [names("none"), "a/" + names("b"), ""]
        p = self.producers
        numbers = [0, 1, 2, 0, 1, -1, 7]
        self.pools = {
            "name": self.topics * 3 + rare, "topic": self.topics * 3 + rare, "topic_name": self.topics,
            "topic_names": rare[:1], "topic_id": self.ids * 3 + [bytes(16), b"\3" * 16],
            "partition": numbers, "partition_index": numbers, "index": numbers, "partitions": numbers, "partition_indexes": numbers,
            "fetch_offset": [0, 1, 2, 5, 9, 30, 10 ** 9, -1], "offset": [0, 1, 2, -1, -2, 10 ** 9],
            "committed_offset": [0, 1, 77, 10 ** 12], "committed_metadata": [None, "", "note"], "committed_leader_epoch": [-1, 0, 4],
            "timestamp": [-1, -2, -3, -4, -5, -6, 0, 1500, 10 ** 13], "isolation_level": [0, 1],
            "leader_epoch": [0, 1, -1], "current_leader_epoch": [-1, -1, 0, 1], "last_fetched_epoch": [-1, -1, 0],
            "partition_max_bytes": [1, 100, BIG], "max_bytes": [1, 200, BIG], "min_bytes": [0, 1], "max_wait_ms": [0],
            "log_start_offset": [-1, 0], "session_id": [0], "session_epoch": [-1, 0],
            "replica_id": [-1], "replica_epoch": [-1], "rack_id": [""], "cluster_id": [None], "forgotten_topics": [],
            "group_id": self.groups * 2 + [""], "groups": self.groups, "group_names": [names("nogroup")],
            "member_id": ["nobody", "nobody", ""], "group_instance_id": [None, None, "instance"], "generation_id": [-1, 0, 1],
            "protocol_type": ["consumer"], "protocol_name": ["range"], "reason": [None, "why"],
            "transactional_id": [p[0].txn, p[1].txn, names("notxn"), ""], "transactional_ids": [p[0].txn, p[1].txn, "x"],
            "producer_id": [p[0].id, p[1].id, 424242], "producer_epoch": [0, 0, 1, -1], "producer_id_filters": [p[0].id, 5],
            "transaction_timeout_ms": [600000, 600000, 0], "coordinator_epoch": [0], "verify_only": [False],
            "state_filters": ["Ongoing", "Empty"], "states_filter": ["Empty", "Stable"], "types_filter": ["classic"],
            "duration_filter": [-1, 10 ** 9], "transactional_id_pattern": [None, "", ".*txn.*"],
            "key": self.groups, "coordinator_keys": self.groups, "key_type": [0, 1, 0, 3],
            "resource_type": [2], "resource_name": self.topics * 2 + rare[:2], "configuration_keys": ["retention.ms", "cleanup.policy", "no"],
            "resource_types": [2, 4, 16], "config_operation": [0, 1, 2, 3], "value": ["1000", "compact", None, "x"],
            "num_partitions": [1, 2, -1, 0], "replication_factor": [1, -1, 0], "broker_ids": [s.node, 99], "replicas": [s.node, s.node, 99], "count": [2, 3, 4, 0],
            "response_partition_limit": [1, 2, 4, 2000], "endpoint_type": [1], "timeout_ms": [5000], "session_timeout_ms": [10000, 1],
            "rebalance_timeout_ms": [10000], "validate_only": [True], "allow_auto_topic_creation": [False],
            "client_software_name": ["walk"], "client_software_version": ["1.0"], "entity_type": ["user", "client-id", "ip", "none"], "entity_name": [None, "", names("entity"), "10.0.0.1"], "match": [None, "", "x"],
            "match_type": [0, 1, 2, 3], "retention_time_ms": [-1], "member_epoch": [-1],
        }
        self.config_names = ["retention.ms", "cleanup.policy", "no.such", "max.message.bytes"]

    def plain(self, field, path):
        if field.kind == "F64":
            return self.rng.choice([1000.0, 0.5, 1e9])
        if field.name == "name" and "configs" in path:
            return self.rng.choice(self.config_names)
        if field.name in self.pools and self.pools[field.name]:
            return self.rng.choice(self.pools[field.name])
        if field.kind == "BOOL":
            return self.rng.random() < 0.5
        if field.kind in ("STRING", "BYTES", "RECORDS"):
            word = self.rng.choice(["", "x", "word"])
            return word if field.kind == "STRING" else word.encode()
        return bytes(16) if field.kind == "UUID" else self.rng.choice([0, 1, -1])

    def fill(self, fields, version, path=()):
        out = {}
        for field in fields:
            if not field.stands_in(version) or field.tag is not None:
                continue
            if field.many:
                out[field.name] = self.many(field, version, path)
            elif field.kind == "STRUCT":
                out[field.name] = None if self.rng.random() < 0.5 else self.fill(field.of, version, path + (field.name,))
            else:
                out[field.name] = self.plain(field, path)
        return out

    def many(self, field, version, path):
        if self.pools.get(field.name) == []:
            return []
        if field.may_be_null(version) and self.rng.random() < 0.15 and field.name != "configuration_keys":
            return None
        count = self.rng.choice([0, 1, 1, 1, 2, 3])
        if field.kind != "STRUCT":
            out = [self.plain(field, path) for _ in range(count)]
            return [v for i, v in enumerate(out) if all(v is not w for w in out[:i])]
        out, seen = [], set()
        for _ in range(count):
            item = self.fill(field.of, version, path + (field.name,))
            # What stands in a request twice is for the sequences that look at just that.
            key = str([item.get(n) for n in ("name", "topic", "topic_id", "partition", "partition_index", "index", "group_id", "member_id",
                                             "resource_name", "transactional_id") if n in item])
            if key not in seen:
                seen.add(key)
                out.append(item)
        return out


def step(w, api, version):
    s, rng = w.s, w.rng
    if api.name == "produce":
        data = WRONG[rng.choice(sorted(set(WRONG) - TAKEN - SILENT))]() if rng.random() < 0.2 else (
            records.batch(some_pairs(rng), rng.randrange(1000, 2000), rng.randrange(5)))
        at = rng.randrange(2)
        produce(s, w.topics[at], data, version, rng.choice([1, -1]), rng.choice([0, 1, 2, 0, 7]), w.ids[at])
        return
    body = w.fill(STRUCTURES[api.name + "_request"], version)
    if api.name == "metadata" and (version < 4 or version < 12 and body["topics"]):
        body["topics"] = [{"name": rng.choice(w.topics)}]  # a missing one would be made; ids came later than their field
    if api.name == "metadata" and version >= 12:
        body["topics"] = [t if rng.random() < 0.5 else {"name": None, "topic_id": t["topic_id"]} for t in body["topics"] or []]
        body["topics"] = [t for t in body["topics"] if t["name"] is not None or t["topic_id"] != bytes(16)]
    if api.name == "delete_topics" and version >= 6:
        body["topics"] = [{"name": w.names("none")}]
    if api.name == "join_group":
        body["member_id"] = "nobody"  # none is made, so that nothing waits
        body["protocols"] = body["protocols"] or [{"name": "range", "metadata": b""}]
    if api.name == "add_partitions_to_txn" and not body.get("transactions", True):
        return  # Kafka never answers none
    s.call(api.name, version, body)
    if api.name in ("end_txn", "init_producer_id", "write_txn_markers"):
        for p in w.producers:
            s.txn_settles(p.txn)


def walk(s, rng, names):
    w = World(s, rng, names)
    for _ in range(STEPS):
        api = rng.choice(list(APIS.values()))
        step(w, api, rng.randint(api.least, api.most))


def rest(s, rng, names):
    """What nothing has asked for yet: APIs and versions that are newer than these sequences."""
    w = World(s, rng, names)
    for api in APIS.values():
        for version in range(api.least, api.most + 1):
            for _ in range(0 if s.covered[api.name, version] else 5):
                step(w, api, version)


ALL = [walk, rest]
