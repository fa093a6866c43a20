"""What the tests of smack migrate store share: tables full of all kinds of cells, and what is read back through the Python driver."""
import signal
import subprocess
import time

from cassandra import InvalidRequest
from cassandra.cluster import Cluster, NoHostAvailable

from moving import DEADLINE_S, SMACK, check, equal

PATIENT = {"connect_timeout": 60, "control_connection_timeout": 60}
KEYSPACES = ["CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
             "CREATE KEYSPACE \"OddKs\" WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"]
SCHEMA = """
CREATE TYPE ks.inner (a int, b text);
CREATE TYPE ks.outer (i frozen<inner>, n bigint, l frozen<list<int>>);
CREATE TABLE ks.types (k int PRIMARY KEY, a ascii, b bigint, c blob, d boolean, e decimal, f double, g float, h inet, i date, j time,
 l timestamp, m smallint, n tinyint, o uuid, p timeuuid, q varint, r duration, s vector<float, 3>, t tuple<int, text>, u frozen<list<int>>, v text);
CREATE TABLE ks.coll (k int, c int, st text static, sl list<int> static, l list<text>, s set<int>, m map<text, int>, u outer, PRIMARY KEY (k, c))
 WITH CLUSTERING ORDER BY (c DESC) AND comment = 'it''s' AND gc_grace_seconds = 77 AND default_time_to_live = 90000;
CREATE TABLE ks.cnt (k text, c int, n counter, sn counter static, PRIMARY KEY (k, c));
CREATE TABLE ks.plain (a text, b int, c text, d int, v int, w text, PRIMARY KEY ((a, b), c, d)) WITH CLUSTERING ORDER BY (c DESC, d ASC);
CREATE TABLE "OddKs"."OddTable" ("Key" text PRIMARY KEY, "select" int);
CREATE INDEX ON ks.plain (v);
CREATE INDEX ixs ON ks.coll (values(m));
"""
ROWS = """
INSERT INTO ks.types (k, a, b, c, d, e, f, g, h, i, j, l, m, n, o, p, q, r, s, t, u, v) VALUES (1, 'x', 2, 0xff, true, 1.5, 2.5, 3.5, '::1',
 '2020-01-02', '10:11:12.1', '2020-01-02T00:00:00Z', 3, 4, uuid(), now(), -77777777777777777777, 1mo2d3h, [1, 2, 3], (1, 'y'), [1, 2], 'v');
INSERT INTO ks.types (k) VALUES (2);
INSERT INTO ks.types (k, v) VALUES (3, '') USING TIMESTAMP 5 AND TTL 50000;
UPDATE ks.types USING TIMESTAMP 7 SET v = 'u', a = 'b' WHERE k = 4;
UPDATE ks.types USING TIMESTAMP 9 AND TTL 99999 SET a = 'c' WHERE k = 4;
INSERT INTO ks.coll (k, c, st, sl, l, s, m, u) VALUES (1, 1, 'st', [1, 2, 2], ['a', 'b', 'a'], {3, 1}, {'x': 1, 'y': 2},
 {i: {a: 1, b: 'z'}, n: 5, l: [1]});
UPDATE ks.coll USING TIMESTAMP 4102444800000000 SET l = l + ['late'], m['z'] = 3, s = s + {9}, u.n = 6 WHERE k = 1 AND c = 1;
UPDATE ks.coll USING TTL 50000 SET l = ['pre'] + l, m['ttl'] = 3, s = s + {10} WHERE k = 1 AND c = 1;
INSERT INTO ks.coll (k, c, l, u) VALUES (1, 2, ['only'], {n: 7}) USING TTL 0;
INSERT INTO ks.coll (k, st) VALUES (2, 'alone');
INSERT INTO ks.coll (k, c) VALUES (3, 3);
UPDATE ks.cnt SET n = n + 5 WHERE k = 'a' AND c = 1;
UPDATE ks.cnt SET n = n - 7, sn = sn + 3 WHERE k = 'a' AND c = 2;
UPDATE ks.cnt SET n = n + 0 WHERE k = 'b' AND c = 1;
INSERT INTO "OddKs"."OddTable" ("Key", "select") VALUES ('q', 1);
"""
# (table, columns, those that have write times)
READS = [("ks.types", "k a b c d e f g h i j l m n o p q r t u v", "a b c d e f g h i j l m n o p q r s t u v"),
         ("ks.coll", "k c st sl l s m u", "st sl l s m u.i u.n u.l"),
         ("ks.cnt", "k c n sn", ""),
         ("ks.plain", "a b c d v w", "v w"),
         ('"OddKs"."OddTable"', '"Key" "select"', '"select"')]


clusters = []


def session(address):
    host, port = address.split(":")
    cluster = Cluster([host], port=int(port), **PATIENT)
    clusters.append(cluster)
    s = cluster.connect()
    s.default_timeout = DEADLINE_S
    return s


def hang_up():
    while clusters:
        clusters.pop().shutdown()


def run(s, text):
    for statement in text.split(";\n"):
        if statement.strip():
            s.execute(statement)


def fill(s):
    for text in KEYSPACES:
        s.execute(text)
    run(s, SCHEMA)
    run(s, ROWS)
    insert = s.prepare("INSERT INTO ks.plain (a, b, c, d, v, w) VALUES (?, ?, ?, ?, ?, ?)")
    for i in range(200):
        s.execute(insert, ("a%d" % (i % 7), i % 3, "c%d" % (i % 5), i, i % 4 or None, "w" * i))


def rows_of(s, table, columns, times):
    """All rows, and the write times of their cells and elements."""
    selected = columns.split() + ["WRITETIME(%s)" % c for c in times.split()]
    return sorted(map(repr, s.execute("SELECT %s FROM %s" % (", ".join(selected), table))))


def lives_of(s, table, keys, times):
    rows = s.execute("SELECT %s FROM %s" % (", ".join(keys.split() + ["TTL(%s)" % c for c in times.split()]), table))
    return {tuple(r)[:len(keys.split())]: tuple(r)[len(keys.split()):] for r in rows}


def close(a, b):
    """Seconds that are left, read one after the other: on a machine that is busy."""
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    return a == b if a is None or b is None else abs(a - b) <= DEADLINE_S


def same_everywhere(a, b):
    for table, columns, times in READS:
        here, there = rows_of(a, table, columns, times), rows_of(b, table, columns, times)
        equal(len(here), len(there), "the number of rows of " + table)
        for x, y in zip(here, there):
            equal(x, y, "a row of " + table)
    for table, keys, times in (("ks.types", "k", "a v"), ("ks.coll", "k c", "st u.n m['ttl']")):
        here, there = lives_of(a, table, keys, times), lives_of(b, table, keys, times)
        equal(sorted(map(repr, here)), sorted(map(repr, there)), "keys of " + table)
        for key, value in here.items():
            check(close(value, there[key]), f"seconds that are left of {table} {key}: {value} and {there[key]}")


def command(*args):
    return [SMACK, "migrate", "store", *args]


def migrate(*args, status=0):
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=4 * DEADLINE_S)
    check(done.returncode == status, f"status {done.returncode}, not {status}: {args}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def written(out):
    """Rows that were written, of each table."""
    lines = [line.split("|") for line in out.splitlines() if "| same" in line or "| DIFFERENT" in line]
    return {line[0].strip(): int(line[2]) for line in lines}


def comes_over(a, b, args):
    fill(a)
    out = migrate(*args, "--dry-run")
    check("table ks.coll: would be made" in out and "index ks.ixs: would be made" in out and "smack_system" not in out, out)
    check(not list(b.execute("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = 'ks'")), "a dry run makes keyspaces")
    out = migrate(*args, "--ranges")
    equal(len(READS), out.count("| same"), "tables that are the same: " + out)
    check("ks.plain, tokens -9223372036854775808 to" in out, out)
    same_everywhere(a, b)
    equal(list(a.execute("SELECT count(*) FROM ks.plain WHERE v = 3")), list(b.execute("SELECT count(*) FROM ks.plain WHERE v = 3")),
          "rows by an index")
    for options in ("gc_grace_seconds", "default_time_to_live", "comment"):
        text = f"SELECT {options} FROM system_schema.tables WHERE keyspace_name = 'ks' AND table_name = 'coll'"
        equal(list(a.execute(text)), list(b.execute(text)), options)
    migrate(*args, "--verify")
    equal({t.replace('"', ""): 0 for t, _, _ in READS}, written(migrate(*args)), "rows that are written where nothing has changed")


def changes_follow(a, b, args):
    a.execute("UPDATE ks.types SET v = 'newer' WHERE k = 1")
    a.execute("UPDATE ks.coll SET l = ['all', 'new'], m['x'] = 7 WHERE k = 1 AND c = 2")
    a.execute("UPDATE ks.cnt SET n = n + 100 WHERE k = 'a' AND c = 1")
    out = migrate(*args, "--verify", status=1)
    check("DIFFERENT" in out and "k = 1" in out, out)
    migrate(*args)
    same_everywhere(a, b)
    # what has gone stays there until it is told to go
    a.execute("DELETE FROM ks.types WHERE k = 3")
    a.execute("DELETE m['y'], st FROM ks.coll WHERE k = 1 AND c = 1")
    a.execute("DELETE l[0] FROM ks.coll WHERE k = 1 AND c = 1")
    out = migrate(*args, status=1)
    check("k = 3" in out and "the source has no such row" in out, out)
    migrate(*args, "--prune")
    same_everywhere(a, b)


def survives_kills(a, b, args, count, kills_wanted):
    a.execute("CREATE TABLE ks.many (k int, c int, v text, l list<int>, n map<int, text>, PRIMARY KEY (k, c))")
    insert = a.prepare("INSERT INTO ks.many (k, c, v, l, n) VALUES (?, ?, ?, ?, ?)")
    window = []
    for i in range(count):
        window.append(a.execute_async(insert, (i // 3, i % 3, "v%d" % i, [i, i, 1], {i: "n"})))
        if len(window) == 256:
            for future in window:
                future.result()
            window = []
    for future in window:
        future.result()
    kills = attempts = 0
    while kills < kills_wanted and attempts < 20:
        attempts += 1
        before, limit = rows_there(b), time.monotonic() + DEADLINE_S
        running = subprocess.Popen(command(*args, "--tables", "ks.many"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None and rows_there(b) == before:
            check(time.monotonic() < limit, "the copy does not go on")
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
            kills += 1
        elif rows_there(b):  # it was faster: once more from the begin
            b.execute("TRUNCATE ks.many")
        running.wait()
    check(kills > 0, "no kill came in time")
    out = migrate(*args, "--tables", "ks.many")
    check("| same" in out, out)
    read = ("ks.many", "k c v l n", "v l n")
    equal(rows_of(a, *read), rows_of(b, *read), "ks.many after %d kills" % kills)
    print(f"{kills} kills", flush=True)


def rows_there(b):
    try:
        return list(b.execute("SELECT count(*) FROM ks.many"))[0][0]
    except (InvalidRequest, NoHostAvailable):  # it is being made: a Cassandra then has a server error at times
        return 0


def is_refused(a, b, args):
    a.execute("CREATE TABLE ks.other (k int PRIMARY KEY, v int)")
    b.execute("CREATE TABLE ks.other (k int PRIMARY KEY, v text)")
    out = migrate(*args, "--tables", "ks.other", status=1)
    check("table ks.other has other columns" in out, out)
    out = migrate(*args, "--tables", "ks.nothing", status=1)
    check("has no keyspace or table 'ks.nothing'" in out, out)
    b.execute("DROP TABLE ks.other")
    migrate(*args, "--tables", "ks.other")
    b.execute("INSERT INTO ks.other (k, v) VALUES (1, 1)")
    out = migrate(*args, "--tables", "ks.other", status=1)
    check("the source has no such row" in out, out)
    a.execute("INSERT INTO ks.other (k, v) VALUES (1, 2) USING TIMESTAMP 1")
    out = migrate(*args, "--tables", "ks.other", status=1)
    check("a cell of the target is newer" in out, out)
    for s in (a, b):
        s.execute("DROP TABLE ks.other")
