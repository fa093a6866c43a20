"""What the crash tests share: the week's events, a server that is killed and started again, clients that write down what was acknowledged,
and the comparison at the end. Standard library only."""
import csv
import datetime
import gzip
import http.client
import json
import mmap
import os
import queue
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from cqlclient import Connection, CqlError, number  # noqa: E402
from ports import free_ports  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, "..", "..", "examples", "open-bandit")
CLIENTS = 4


class Failure(Exception):
    """What a test found; its text says all that is known."""


def binary(name="smack"):
    """The binary under test (SMACK), or what the build has put near it."""
    smack = os.path.abspath(os.environ.get("SMACK", os.path.join(HERE, "..", "..", "build", "smack")))
    if name == "smack":
        return smack
    for place in (name, "src/" + name, "tests/" + name, "tests/crash/" + name):
        path = os.path.join(os.path.dirname(smack), place)
        if os.path.exists(path):
            return path
    raise Failure("%s is not built: ninja -C %s test-programs" % (name, os.path.dirname(smack)))


# ---- the week ----


class Week:
    """Real events: requests as a client would send them, and what must come of them."""

    def __init__(self, days=7, events_a_request=100, times=1):
        self.requests, self.events, self.daily = [], {}, {}
        folder = os.path.join(EXAMPLE, "2019", "11")
        for name in sorted(os.listdir(folder))[:days]:
            lines = gzip.open(os.path.join(folder, name)).read().splitlines(keepends=True)
            for at in range(0, len(lines), events_a_request):
                self.requests.append(lines[at : at + events_a_request])
            for line in lines:
                event = json.loads(line)
                self.events[uuid.UUID(event["id"]).bytes] = event
                day = datetime.datetime.fromtimestamp(event["ts"] / 1000, datetime.timezone.utc).date().isoformat()
                counts = self.daily.setdefault((event["campaign"], day), [0, 0])
                counts[event["type"] == "click"] += 1
        self.requests *= times
        if days == 7:
            with open(os.path.join(EXAMPLE, "expected_daily.csv")) as file:
                expected = {(r["campaign"], r["day"]): [int(r["views"]), int(r["clicks"])] for r in csv.DictReader(file)}
            if expected != self.daily:
                raise Failure("the events do not add up to expected_daily.csv")


# ---- the server ----


class Server:
    """One data directory and the process on it, with powerloss.c beneath it if power_loss is set."""

    def __init__(self, program=None, power_loss=False, seed=0, env=None, arguments=(), bare=False):
        """bare: a platform without an application, whose Kafka port stays the same over all starts."""
        self.program = program or binary()
        self.work = tempfile.mkdtemp(prefix="smack-crash-")
        self.data = os.path.join(self.work, "data")
        self.side = os.path.join(self.work, "side")
        self.power_loss, self.mode = power_loss, None
        self.random = random.Random(seed)
        self.env = dict(os.environ, **(env or {}))
        self.arguments = list(arguments)
        self.kafka_port = 0
        if bare:
            self.kafka_port = free_ports()
        else:
            self.arguments += ["--config", os.path.join(EXAMPLE, "smack.conf"), "--set", "stream.daily.interval=100ms"]
        self.process = None
        self.starts, self.start_ms_max, self.losses = 0, 0.0, 0
        self.undone = {}
        self.last = {}
        os.mkdir(self.data)
        os.mkdir(self.side)

    def start(self, kill_at=0, kill_after=None, sync_us=0):
        """True: it serves. False: it was killed before it did, by the shim at its call kill_at, or after kill_after seconds."""
        env = dict(self.env)
        if self.power_loss:
            env.update(LD_PRELOAD=binary("libpowerloss.so"), POWERLOSS_DIR=self.data, POWERLOSS_SIDE=self.side,
                       POWERLOSS_KILL=str(kill_at), POWERLOSS_SYNC_US=str(sync_us))
        began = time.monotonic()
        self.errors = open(os.path.join(self.work, "stderr"), "ab")
        self.process = subprocess.Popen(
            [self.program, "up", "--data", self.data, "--http", "0", "--kafka", str(self.kafka_port), "--cql", "0",
             "--set", "logging.level=warn", "--set", "log.direct=" + self.random.choice(("1", "256KiB"))] + self.arguments,
            stdout=subprocess.PIPE, stderr=self.errors, env=env, text=True)
        self.errors.close()
        found = {}
        watchdog = threading.Timer(60 if kill_after is None else kill_after, self.process.kill)
        watchdog.start()
        for line in self.process.stdout:
            words = line.split()
            if len(words) == 2:
                found[words[0]] = words[1]
            if words and words[0] == "data":
                break
        if kill_after is None or "data" not in found:
            watchdog.cancel()
        if "data" not in found:
            status = self.process.wait()
            if status == -signal.SIGKILL and (kill_at or kill_after is not None):
                return False
            raise Failure("the server did not start (status %d):\n%s" % (status, self.said()))
        if "though they were acknowledged" in self.said():
            raise Failure("acknowledged events are lost, the log says:\n" + self.said())
        self.starts += 1
        self.start_ms_max = max(self.start_ms_max, (time.monotonic() - began) * 1000)
        self.http = found["http"].split("//")[1].rstrip("/")
        self.cql_port = int(found["cql"].split(":")[1])
        return True

    def fail(self, error, at=1, count=0):
        """From the server's at-th changing call or sync after now on, count of them (0: all) fail with this errno; error 0: none any more."""
        with open(os.path.join(self.side, "journal"), "r+b") as file, mmap.mmap(file.fileno(), 4096) as head:
            head[48:52] = bytes(4)
            if error:
                head[56:72] = struct.pack("<QQ", at, 0)
                head[52:56] = struct.pack("<I", count)
                head[48:52] = struct.pack("<I", error)

    def stall(self, on):
        """The server's syncs wait until they may go on."""
        with open(os.path.join(self.side, "journal"), "r+b") as file, mmap.mmap(file.fileno(), 4096) as head:
            head[72:76] = struct.pack("<I", 1 if on else 0)

    def failed_calls(self):
        """How many calls have failed since fail()."""
        with open(os.path.join(self.side, "journal"), "rb") as file:
            return struct.unpack_from("<Q", file.read(72), 64)[0]

    def said(self):
        with open(os.path.join(self.work, "stderr"), errors="replace") as file:
            return "".join(file.readlines()[-30:])

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, power=True):
        """SIGKILL; a power loss too, if the shim is beneath, unless it stays on (then the next one covers both)."""
        if self.process is None:
            return
        self.process.kill()
        status = self.process.wait()
        self.process.stdout.close()
        self.process = None
        if status != -signal.SIGKILL:
            raise Failure("the server ended by itself (status %d):\n%s" % (status, self.said()))
        if self.power_loss and power:
            self.losses += 1
            self.lose_power()

    def lose_power(self):
        if not os.path.exists(os.path.join(self.side, "journal")):
            self.last = {"calls": 0}
            return
        seed = self.random.getrandbits(60)
        line = subprocess.run([binary("powerloss_recover"), self.data, self.side, str(seed)] + ([self.mode] if self.mode else []), check=True,
                              stdout=subprocess.PIPE).stdout
        self.last = json.loads(line)
        for key, value in self.last.items():
            self.undone[key] = self.undone.get(key, 0) + value

    def stop(self):
        """SIGTERM; the seconds that it took."""
        began = time.monotonic()
        self.process.terminate()
        try:
            status = self.process.wait(150)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure("the server still ran 150 s after SIGTERM:\n" + self.said()) from None
        took = time.monotonic() - began
        self.process.stdout.close()
        self.process = None
        if status:
            raise Failure("SIGTERM ended the server with status %d:\n%s" % (status, self.said()))
        return took

    def cql(self):
        return Connection("127.0.0.1", self.cql_port, 60)

    def done(self, keep=False):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if keep:
            print("kept: " + self.work, file=sys.stderr)
        else:
            shutil.rmtree(self.work, ignore_errors=True)


# ---- the clients ----


class Clients:
    """Send the week's requests over HTTP, and rows over CQL; what was not acknowledged is sent again."""

    def __init__(self, week, rows=True):
        self.week = week
        self.waiting = queue.Queue()
        for request in week.requests:
            self.waiting.put(request)
        self.lock = threading.Lock()
        self.acknowledged, self.requests, self.again, self.busy = set(), 0, 0, 0
        self.rows, self.next_row, self.rows_wanted = set(), 0, rows
        self.failure = None
        self.quota = 0

    def left(self):
        return len(self.week.requests) - self.requests

    def begin(self, server, quota):
        """Send until `quota` requests are acknowledged in all, or the server dies."""
        self.server, self.quota = server, quota
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._guard, args=(self._send,)) for _ in range(CLIENTS)]
        if self.rows_wanted:
            self.threads.append(threading.Thread(target=self._guard, args=(self._write_rows,)))
        for thread in self.threads:
            thread.start()

    def sending(self):
        return any(thread.is_alive() for thread in self.threads[:CLIENTS])

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        if self.failure:
            raise self.failure

    def _guard(self, run):
        try:
            run()
        except (OSError, http.client.HTTPException):
            pass  # the server died
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error if isinstance(error, Failure) else Failure("client: %r" % error)

    def _send(self):
        connection = http.client.HTTPConnection(self.server.http, timeout=20)
        while not self.ended.is_set() and self.requests < self.quota:
            try:
                lines = self.waiting.get_nowait()
            except queue.Empty:
                return
            done = False
            try:
                connection.request("POST", "/ingest/raw_events", gzip.compress(b"".join(lines), 1),
                                   {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"})
                answer = connection.getresponse()
                body = answer.read()
                done = answer.status == 202
                if answer.status in (429, 503):
                    self.busy += 1
                    time.sleep(0.05)
                elif not done:
                    raise Failure("POST /ingest/raw_events: %d %s" % (answer.status, body[:300]))
            finally:
                with self.lock:
                    if done:
                        self.requests += 1
                        self.acknowledged.update(uuid.UUID(json.loads(line)["id"]).bytes for line in lines)
                    else:
                        self.again += 1
                        self.waiting.put(lines)

    def _write_rows(self):
        connection = self.server.cql()
        for text in ("CREATE KEYSPACE IF NOT EXISTS crash WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
                     "CREATE TABLE IF NOT EXISTS crash.rows (k int PRIMARY KEY, v text)"):
            connection.query(text)
        while not self.ended.is_set():
            self.next_row += 1
            try:
                connection.query("INSERT INTO crash.rows (k, v) VALUES (%d, '%s')" % (self.next_row, row_text(self.next_row)))
            except CqlError as error:
                raise Failure("INSERT: %s" % error) from None
            self.rows.add(self.next_row)


def row_text(k):
    return "%d-" % k * (1 + k * 37 % 200)


# ---- the end ----


def wait_for_counts(server, expected, patience):
    """The rows of ads.campaign when they stand still."""
    connection = server.cql()
    last, since, began = None, time.monotonic(), time.monotonic()
    while True:
        rows = connection.query("SELECT id, year, month, day, views, clicks FROM ads.campaign")
        now = time.monotonic()
        if rows != last:
            last, since = rows, now
        total = sum(number(r[4]) + number(r[5]) for r in rows)
        if now - since > (0.6 if total >= expected else patience) or now - began > 120:
            connection.close()
            return rows
        time.sleep(0.05)


def verify(server, clients, patience=20):
    """Raises Failure unless every acknowledged event and row is there, as sent, and counted once. Returns a line of figures."""
    week, found = clients.week, []
    campaign = wait_for_counts(server, len(week.events), patience)
    connection = server.cql()
    there = {r[0]: r[1:] for r in connection.query("SELECT id, ad_id, campaign, ts, type FROM ads.event")}
    lost = clients.acknowledged - there.keys()
    if lost:
        found.append("%d of %d acknowledged events are lost" % (len(lost), len(clients.acknowledged)))
    if there.keys() - week.events.keys():
        found.append("%d events were never sent" % len(there.keys() - week.events.keys()))
    other = 0
    for key in there.keys() & week.events.keys():
        event, row = week.events[key], there[key]
        other += row != [uuid.UUID(event["ad_id"]).bytes, uuid.UUID(event["campaign"]).bytes, event["ts"].to_bytes(8, "big"),
                         event["type"].encode()]
    if other:
        found.append("%d events differ from what was sent" % other)
    counted = {(str(uuid.UUID(bytes=r[0])), "%04d-%02d-%02d" % tuple(map(number, r[1:4]))): [number(r[4]), number(r[5])] for r in campaign}
    total = sum(map(sum, counted.values()))
    if counted != week.daily:
        more = {k: v for k, v in counted.items() if v != week.daily.get(k)}
        found.append("counted %d events, not %d (%s); first difference: %s" % (
            total, len(week.events), "doubled" if total > len(week.events) else "lost", next(iter(more.items()), "a day is missing")))
    if clients.rows_wanted and clients.rows:
        rows = {number(r[0]): r[1] for r in connection.query("SELECT k, v FROM crash.rows")}
        gone = [k for k in clients.rows if k not in rows]
        if gone:
            found.append("%d of %d acknowledged rows are lost (CQL)" % (len(gone), len(clients.rows)))
        if any(v != row_text(k).encode() for k, v in rows.items()):
            found.append("a row differs from what was written (CQL)")
    connection.close()
    if found:
        raise Failure("; ".join(found))
    return "%d events and %d rows acknowledged, 0 lost, counted %d, 0 doubled; %d requests sent again" % (
        len(clients.acknowledged), len(clients.rows), total, clients.again)


# ---- whole runs ----


def choose_kill(chance, power_loss, start_s, near, far):
    """(kill_at, kill_after) for Server.start. A quarter at a random moment of the start, within start_s; where the power can go, half at a call of
    the program: one of the first near, which is also the recovery from the loss before, or of the first far. (0, None): while it serves."""
    kind = chance.randrange(4)
    if kind == 0:
        return 0, chance.uniform(0, start_s)
    if kind < 3 and power_loss:
        return chance.randint(1, near if kind == 1 else far), None
    return 0, None


def failure_of(seed, error, server):
    """What ends a run, with its seed; with what the server said, where the error is not a test's own."""
    if isinstance(error, Failure):
        return Failure("seed %s: %s" % (seed, error))
    return Failure("seed %s: %r; %s:\n%s" % (seed, error, "the server runs" if server.alive() else "the server is dead", server.said()))


def one_kill(server, clients, chance, quota, tally):
    """Start, send until `quota` requests are acknowledged, kill."""
    kill_at, kill_after = choose_kill(chance, server.power_loss, 0.15, 160, 600)
    serving = server.start(kill_at, kill_after, 2000 if server.power_loss else 0)
    tally["starts"] += not serving
    if serving:
        clients.begin(server, quota)
        wait = chance.uniform(0.005, 0.15)
        deadline = time.monotonic() + (1.5 if kill_at else wait)
        while time.monotonic() < deadline and server.alive() and (not kill_at or clients.sending()):
            time.sleep(0.002)
        if kill_at and server.alive():
            time.sleep(wait)
    tally["calls"] += bool(kill_at) and not server.alive()
    server.kill()
    if serving:
        clients.end()


def run_kills(kills, power_loss=False, times=1, days=7, seed=None, program=None, env=None, mode=None, patience=20,
              quiet=True, keep=False):
    """Send the week with `kills` kills spread over it, verify, stop. Returns a line of figures; raises Failure."""
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    chance = random.Random(seed)
    week = Week(days, 100, times)
    clients = Clients(week)
    server = Server(program, power_loss, seed, env)
    server.mode = mode
    failed = True
    try:
        tally = dict.fromkeys(("starts", "calls"), 0)
        for done in range(1, kills + 1):
            one_kill(server, clients, chance, len(week.requests) * done // kills, tally)
            if not quiet:
                print("kill %d of %d: %d events acknowledged %s" % (done, kills, len(clients.acknowledged), server.last or ""), flush=True)
        server.start()
        while clients.left():
            clients.begin(server, len(week.requests))
            while clients.sending() and server.alive():
                time.sleep(0.01)
            clients.end()
            if not server.alive():
                raise Failure("the server died by itself:\n" + server.said())
        line = verify(server, clients, patience)
        took = server.stop()
        failed = False
        line = "seed %d, %d kills (%d while starting): %s; slowest start %.0f ms, stop %.1f s" % (
            seed, kills, tally["starts"], line, server.start_ms_max, took)
        if power_loss:
            line += "; %d at calls; undone: %s" % (tally["calls"], ", ".join("%s %d" % (k, v) for k, v in server.undone.items()))
        return line
    except (Failure, CqlError, OSError) as error:
        raise failure_of(seed, error, server) from None
    finally:
        if failed:
            if server.alive():
                server.process.kill()
            if hasattr(clients, "threads"):
                clients.ended.set()
                for thread in clients.threads:
                    thread.join()
        server.done(keep and failed)


def main(*tests):
    """Run each test; exit status 1 if one failed."""
    failed = 0
    for test in tests:
        began = time.monotonic()
        try:
            line = test()
            print("ok   %s (%.1f s)%s" % (test.__name__, time.monotonic() - began, ": " + line if line else ""), flush=True)
        except Failure as error:
            failed += 1
            print("FAIL %s (%.1f s): %s" % (test.__name__, time.monotonic() - began, error), flush=True)
    sys.exit(1 if failed else 0)
