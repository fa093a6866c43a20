"""Sends the same requests to both brokers and compares what comes back."""
import sys
import time
from collections import Counter

from client import Closed, Connection, Silent
from codec import Wrong
from compare import codes, open_records, short
from layouts import APIS

KAFKA, SMACK = 0, 1
# Kafka answers these while its own parts have not heard of each other yet; a client asks again.
# NOT_LEADER_OR_FOLLOWER, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, NOT_ENOUGH_REPLICAS (a transaction is not
# verified yet), CONCURRENT_TRANSACTIONS
NOT_YET = {6, 14, 15, 16, 19, 51}
PATIENCE_S = 20
SILENCE_S = 3  # Kafka never answers some wrong requests; this long after smack has refused one it is taken as silent


class Both:
    """A value that each broker has its own of."""

    def __init__(self, left, right):
        self.values = (left, right)

    def __getitem__(self, *path):
        return self.at(*path)

    def at(self, *path):
        """A part of both; the plain value where they are the same. None where it is not there."""
        out = []
        for value in self.values:
            for step in path:
                try:
                    value = value[step]
                except (TypeError, KeyError, IndexError):
                    value = None
                    break
            out.append(value)
        return out[0] if out[0] == out[1] else Both(*out)

    def map(self, function):
        return Both(*(function(v) for v in self.values))


def side(value, which):
    """A request as one broker gets it."""
    if isinstance(value, Both):
        return value.values[which]
    if isinstance(value, dict):
        return {k: side(v, which) for k, v in value.items()}
    if isinstance(value, list):
        return [side(v, which) for v in value]
    return value


class Session:
    def __init__(self, addresses, comparer, verbose=False):
        self.addresses, self.comparer, self.verbose = addresses, comparer, verbose
        self.requests, self.covered, self.bad, self.retries = 0, Counter(), [], 0
        self.connections, self.name, self.sent, self.note = {}, "", {}, ""

    @staticmethod
    def api(name):
        return APIS[name]

    # ---- connections ----

    def pair(self, conn):
        if conn not in self.connections:
            self.connections[conn] = [Connection(a) for a in self.addresses]
        return self.connections[conn]

    def drop(self, conn):
        for c in self.connections.pop(conn, []):
            c.close()

    def close(self):
        for conn in list(self.connections):
            self.drop(conn)

    # ---- requests ----

    def post(self, name, version, body, conn="main"):
        """Send and do not wait: take() has the answer."""
        for which, c in enumerate(self.pair(conn)):
            c.send(APIS[name], version, side(body, which))
        self.sent.setdefault(conn, []).append((name, version, body))

    def outcome(self, connection, timeout_s):
        try:
            return open_records(connection.receive(timeout_s))
        except Closed:
            return "closes the connection"
        except Silent:
            return "says nothing"
        except Wrong as error:
            return f"says what cannot be read: {error}"

    def take(self, conn="main", timeout_s=30, again=True):
        name, version, body = self.sent[conn].pop(0)
        right = self.outcome(self.pair(conn)[SMACK], timeout_s)
        refused = isinstance(right, str) or any(codes(right))
        left = self.outcome(self.pair(conn)[KAFKA], min(timeout_s, SILENCE_S) if refused else timeout_s)
        end = time.monotonic() + PATIENCE_S
        while again and NOT_YET.intersection(codes(left)) - set(codes(right)) and time.monotonic() < end:
            time.sleep(0.02)
            self.retries += 1
            c = self.pair(conn)[KAFKA]
            c.send(APIS[name], version, side(body, KAFKA))
            left = self.outcome(c, timeout_s)
        self.judge(name, version, body, left, right)
        if isinstance(left, str) or isinstance(right, str):
            self.drop(conn)
            self.sent.pop(conn, None)
        return Both(left, right)

    def call(self, name, version, body, conn="main", timeout_s=30, again=True):
        self.post(name, version, body, conn)
        return self.take(conn, timeout_s, again)

    def raw(self, what, data, timeout_s=2):
        """Bytes as they are, on a connection of their own; what follows is compared: the end, silence, or an answer."""
        left, right = (self.raw_outcome(a, data, timeout_s) for a in self.addresses)
        self.judge(what, 0, data, left, right)

    @staticmethod
    def raw_outcome(address, data, timeout_s):
        connection = Connection(address)
        try:
            connection.send_bytes(data)
            connection.frame(timeout_s)
            return "answers"
        except Closed:
            return "closes the connection"
        except Silent:
            return "says nothing"
        finally:
            connection.close()

    # ---- judgement ----

    def judge(self, name, version, body, left, right):
        self.requests += 1
        self.covered[name, version] += 1
        differences = self.comparer.compare(name, version, body, left, right)
        if self.verbose:
            print(f"{self.name}: {name} v{version} {short(body)}\n    {left}\n    {right}")
        if not differences:
            return
        self.bad.append((self.name + self.note, name, version, differences))
        print(f"DIFFERENT in {self.name}: {self.note + ': ' if self.note else ''}{name} v{version} {side(body, KAFKA)}"[:1500], file=sys.stderr)
        for d in differences[:8]:
            print(f"    {d}", file=sys.stderr)

    # ---- waiting for what Kafka does behind its answer ----

    def settle(self, condition, what):
        """condition(connection) on the reference's side."""
        end = time.monotonic() + PATIENCE_S
        c = self.pair("settle")[KAFKA]
        while not condition(c):
            if time.monotonic() > end:
                raise RuntimeError(f"Kafka never came to: {what}")
            time.sleep(0.01)

    @staticmethod
    def ask(connection, name, version, body):
        connection.send(APIS[name], version, body)
        return connection.receive()

    def topic_there(self, topic, partitions):
        def there(c):
            t = self.ask(c, "metadata", 4, {"topics": [{"name": topic}], "allow_auto_topic_creation": False})["topics"][0]
            if t["error_code"] or len(t["partitions"]) != partitions:
                return False
            query = {"replica_id": -1, "topics": [{"name": topic, "partitions": [
                {"partition_index": i, "timestamp": -1} for i in range(partitions)]}]}
            answer = self.ask(c, "list_offsets", 1, query)["topics"][0]["partitions"]
            return all(p["error_code"] == 0 for p in answer)
        self.settle(there, f"topic {topic} with {partitions} partitions")

    def topic_gone(self, topic):
        def gone(c):
            t = self.ask(c, "metadata", 4, {"topics": [{"name": topic}], "allow_auto_topic_creation": False})["topics"][0]
            return t["error_code"] == 3
        self.settle(gone, f"topic {topic} gone")

    def config_settles(self, topic):
        """Configs reach the broker by the same log as topics: what is made after them is seen after them."""
        del topic
        marker = f"settled-{time.monotonic_ns()}"
        query = {"topics": [{"name": marker, "num_partitions": 1, "replication_factor": 1}], "timeout_ms": 10000}
        c = self.pair("settle")[KAFKA]
        self.ask(c, "create_topics", 4, query)
        self.settle(lambda c: self.ask(c, "metadata", 4, {"topics": [{"name": marker}], "allow_auto_topic_creation": False})
                    ["topics"][0]["error_code"] == 0, "configs")
        self.ask(c, "delete_topics", 4, {"topic_names": [marker], "timeout_ms": 10000})

    def quotas_settle(self):
        """The same of quotas."""
        marker = {"entity_type": "user", "entity_name": f"settled-{time.monotonic_ns()}"}
        c = self.pair("settle")[KAFKA]

        def set_marker(**op):
            self.ask(c, "alter_client_quotas", 1, {"entries": [{"entity": [marker], "ops": [dict(op, key="producer_byte_rate")]}]})

        def there(c):
            return self.ask(c, "describe_client_quotas", 1, {"strict": True, "components": [
                {"entity_type": "user", "match_type": 0, "match": marker["entity_name"]}]})["entries"]
        set_marker(value=1e9)
        self.settle(there, "quotas")
        set_marker(remove=True)

    def acls_settle(self):
        """The same of rules."""
        name = f"settled-{time.monotonic_ns()}"
        c = self.pair("settle")[KAFKA]
        about = {"resource_type_filter": 2, "resource_name_filter": name, "pattern_type_filter": 3, "operation": 1, "permission_type": 1}
        self.ask(c, "create_acls", 3, {"creations": [{"resource_type": 2, "resource_name": name, "resource_pattern_type": 3,
                                                      "principal": "User:x", "host": "*", "operation": 3, "permission_type": 3}]})
        self.settle(lambda c: self.ask(c, "describe_acls", 3, about)["resources"], "rules")
        self.ask(c, "delete_acls", 3, {"filters": [about]})

    def scram_settles(self):
        """The same of credentials: they come with the quotas."""
        self.quotas_settle()

    def until_state(self, group, state):
        """Until the group is in this state on both sides: a request on another connection is under way."""
        end = time.monotonic() + PATIENCE_S
        for c in self.pair("settle"):
            while self.ask(c, "describe_groups", 0, {"groups": [group]})["groups"][0]["group_state"] != state:
                if time.monotonic() > end:
                    raise RuntimeError(f"group {group} never came to {state}")
                time.sleep(0.01)

    def ends_agree(self, topic, partition):
        """Until both partitions end at the same offset: of records that nobody answers for."""
        query = {"replica_id": -1, "topics": [{"name": topic, "partitions": [{"partition_index": partition, "timestamp": -1}]}]}
        end = time.monotonic() + PATIENCE_S
        while True:
            a, b = (self.ask(c, "list_offsets", 1, query)["topics"][0]["partitions"][0]["offset"] for c in self.pair("settle"))
            if a == b or time.monotonic() > end:
                return
            time.sleep(0.01)

    def txn_settles(self, txn):
        """Until no transaction of this id is being ended, on both sides."""
        end = time.monotonic() + PATIENCE_S
        for c in self.pair("settle"):
            while True:
                t = self.ask(c, "describe_transactions", 0, {"transactional_ids": [txn]})["transaction_states"][0]
                if not t["transaction_state"].startswith("Prepare") or time.monotonic() > end:
                    break
                time.sleep(0.01)
