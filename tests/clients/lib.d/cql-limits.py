"""The store at its bounds: cql-limits.py, beside a server of its own (`smack with`)."""
import os
import time

from cassandra import InvalidRequest
from cassandra.cluster import Cluster
from cassandra.query import BatchStatement, BatchType, SimpleStatement

TABLES = int(os.environ.get("LIMITS_TABLES", 10_000))
ROWS = int(os.environ.get("LIMITS_ROWS", 10_000_000))
IN_A_BATCH = 500
MEMORY_MIB = 512  # of the server, whatever lies in it

# Ten thousand tables are too many for the driver's own picture of the schema.
cluster = Cluster(os.environ["CASSANDRA_CONTACT_POINTS"].split(","), port=int(os.environ["CASSANDRA_PORT"]), protocol_version=4, schema_metadata_enabled=False,
                  connect_timeout=60, control_connection_timeout=60)
session = cluster.connect()
session.default_timeout = 600


def servers_memory():
    """MiB at most so far, of the process that has the data directory open."""
    here = os.environ["SMACK_DATA"]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if any(os.readlink(f"/proc/{pid}/fd/{fd}").startswith(here + "/store") for fd in os.listdir(f"/proc/{pid}/fd")):
                return next(int(line.split()[1]) // 1024 for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM"))
        except OSError:
            continue
    raise SystemExit(f"cql-limits: no process has {here} open")


def say(what, began):
    memory = servers_memory()
    print(f"cql-limits: {what}: {time.monotonic() - began:.0f} s, {memory} MiB at most", flush=True)
    assert memory <= MEMORY_MIB, memory


def one(statement, *words):
    return session.execute(statement, words or None).one()


def wide_partition():
    session.execute("CREATE TABLE limits.wide (p int, c bigint, v int, PRIMARY KEY (p, c))")
    insert = session.prepare("INSERT INTO limits.wide (p, c, v) VALUES (1, ?, ?)")
    began = time.monotonic()

    def batch(first):
        b = BatchStatement(BatchType.UNLOGGED)
        for c in range(first, min(first + IN_A_BATCH, ROWS)):
            b.add(insert, (c, c % 1000))
        return b

    waiting = []
    for first in range(0, ROWS, IN_A_BATCH):
        waiting.append(session.execute_async(batch(first)))
        if len(waiting) == 32:
            waiting.pop(0).result()
    for w in waiting:
        w.result()
    say(f"{ROWS} rows in one partition", began)

    began = time.monotonic()
    assert [r.c for r in session.execute("SELECT c FROM limits.wide WHERE p = 1 LIMIT 3")] == [0, 1, 2]
    assert [r.c for r in session.execute("SELECT c FROM limits.wide WHERE p = 1 ORDER BY c DESC LIMIT 3")] == [ROWS - 1, ROWS - 2, ROWS - 3]
    middle = ROWS // 2
    assert [r.c for r in session.execute(f"SELECT c FROM limits.wide WHERE p = 1 AND c >= {middle} AND c < {middle + 5}")] == list(range(middle, middle + 5))
    assert one(f"SELECT v FROM limits.wide WHERE p = 1 AND c = {middle}").v == middle % 1000
    say("its ends and its middle", began)

    began = time.monotonic()
    assert one("SELECT count(*) FROM limits.wide WHERE p = 1").count == ROWS
    seen = last = 0
    for row in session.execute(SimpleStatement("SELECT c FROM limits.wide WHERE p = 1", fetch_size=5000)):
        assert row.c >= last
        seen, last = seen + 1, row.c
        if seen == 1_000_000:
            break
    assert seen == min(ROWS, 1_000_000), seen
    say("counted, and a million rows paged", began)

    began = time.monotonic()
    session.execute(f"DELETE FROM limits.wide WHERE p = 1 AND c >= {middle}")
    assert one("SELECT count(*) FROM limits.wide WHERE p = 1").count == middle
    session.execute("DELETE FROM limits.wide WHERE p = 1")
    session.execute("INSERT INTO limits.wide (p, c, v) VALUES (1, 5, 5)")
    assert [r.c for r in session.execute("SELECT c FROM limits.wide WHERE p = 1")] == [5]
    say("half of it deleted, then all", began)


def large_values():
    began = time.monotonic()
    session.execute("CREATE TABLE limits.large (k int PRIMARY KEY, v blob)")
    insert = session.prepare("INSERT INTO limits.large (k, v) VALUES (?, ?)")
    largest = 16 * 1024 * 1024 - 64  # a frame is 16 MiB at most, as in Cassandra
    for k in range(8):
        session.execute(insert, (k, bytes([k]) * largest))
    for k in range(8):
        assert one(f"SELECT v FROM limits.large WHERE k = {k}").v == bytes([k]) * largest
    try:
        session.execute(insert, (9, bytes(largest + 65)))
        raise SystemExit("cql-limits: a value above the bound is taken")
    except InvalidRequest as e:
        assert "16" in str(e), e
    say("8 values of 16 MiB", began)


def many_tables():
    began = time.monotonic()
    for i in range(TABLES):
        session.execute(f"CREATE TABLE limits.t{i} (k int PRIMARY KEY, v text)")
    say(f"{TABLES} tables", began)
    began = time.monotonic()
    for i in range(0, TABLES, 97):
        session.execute(f"INSERT INTO limits.t{i} (k, v) VALUES (1, 'of {i}')")
    for i in range(0, TABLES, 97):
        assert one(f"SELECT v FROM limits.t{i} WHERE k = 1").v == f"of {i}"
    assert one("SELECT count(*) FROM system_schema.tables WHERE keyspace_name = 'limits'").count == TABLES + 2
    say("a hundred of them used", began)


session.execute("CREATE KEYSPACE limits WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
wide_partition()
large_values()
many_tables()
cluster.shutdown()
print("cql-limits: ok")
