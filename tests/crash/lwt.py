"""Conditional statements on few rows by many clients, while the server is killed: what each has asked and was told, for linear.py."""
import random
import threading
import time

import harness
import linear
from cqlclient import OVERLOADED, SERIAL, Connection, CqlError, number

REGISTERS = 4
CLIENTS = 6
LAST_STEPS = 15  # of each client, when nobody kills the server any more
SCHEMA = (
    "CREATE KEYSPACE IF NOT EXISTS lwt WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TABLE IF NOT EXISTS lwt.r (k int, c int, v int, w int, PRIMARY KEY (k, c))",
)


class History:
    def __init__(self):
        self.operations = [[] for _ in range(REGISTERS)]

    def check(self):
        """Raises Failure; returns how many operations of how many there are without an answer."""
        for register, operations in enumerate(self.operations):
            stuck = linear.check(operations)
            if stuck is not None:
                raise harness.Failure("register %d, %d operations: no order of them has all answers; where the furthest ends are under way: %s" % (
                    register, len(operations), "; ".join(map(repr, stuck[:8]))))
        everything = sum(self.operations, [])
        return len(everything), sum(o.end == linear.INFINITY for o in everything), sum(bool(o.applied) for o in everything)


class Client:
    """Two registers lie in each partition. v and w always get the same number: a row with two is half a write."""

    def __init__(self, name, seed, history):
        self.name, self.chance, self.history = name, random.Random("%s %s" % (seed, name)), history
        self.known, self.next = {}, 0

    def statement(self, register):
        self.next += 1
        old, new, dice = self.known.get(register), self.next * CLIENTS + self.name, self.chance.random()
        at = "k = %d AND c = %d" % (register // 2, register % 2)
        if dice < 0.25:
            return "read", None, None, "SELECT v, w FROM lwt.r WHERE " + at
        if old is None:
            return "create", None, new, "INSERT INTO lwt.r (k, c, v, w) VALUES (%d, %d, %d, %d) IF NOT EXISTS" % (
                register // 2, register % 2, new, new)
        if dice < 0.35:
            return "delete", old, None, "DELETE FROM lwt.r WHERE %s IF v = %d" % (at, old)
        return "swap", old, new, "UPDATE lwt.r SET v = %d, w = %d WHERE %s IF v = %d" % (new, new, at, old)

    def step(self, connection):
        register = self.chance.randrange(REGISTERS)
        kind, old, new, text = self.statement(register)
        operation = linear.Operation(kind, old, new, time.monotonic(), client="c%d" % self.name)
        self.history.operations[register].append(operation)  # one call, so that threads need no lock
        while True:
            try:
                rows = connection.query(text, consistency=SERIAL if kind == "read" else 1)
                break
            except CqlError as error:
                if error.code != OVERLOADED:
                    raise
        self.take(operation, rows)
        operation.end = time.monotonic()
        self.known[register] = operation.new if operation.applied else operation.seen

    def take(self, operation, rows):
        if operation.kind == "read":
            operation.seen = number(rows[0][0]) if rows else None
            if rows and rows[0][0] != rows[0][1]:
                raise harness.Failure("half a write: %s, %s" % tuple(map(number, rows[0])))
            return
        operation.applied = rows[0][0] == b"\1"
        # Behind [applied]: the row (k, c, v, w) of an INSERT, v of the others; nothing where there is no row.
        if not operation.applied and len(rows[0]) > 1:
            operation.seen = number(rows[0][3] if operation.kind == "create" else rows[0][1])


class Run:
    def __init__(self, seed, power_loss, program=None, env=None, mode=None):
        self.history, self.failure = History(), None
        self.server = harness.Server(program, power_loss, seed, env, ("--set", "store.memtable=64KiB"), bare=True)
        self.server.mode = mode
        self.clients = [Client(i, seed, self.history) for i in range(CLIENTS)]

    def begin(self):
        self.server.start()
        connection = self.server.cql()
        for text in SCHEMA:
            connection.query(text)
        connection.close()
        self.server.stop()

    def work(self, client, steps):
        try:
            connection = Connection("127.0.0.1", self.server.cql_port, 60)
            while not self.ended.is_set() and steps != 0:
                client.step(connection)
                steps -= 1
            connection.close()
        except OSError:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error if isinstance(error, harness.Failure) else harness.Failure("client: %r" % error)

    def round(self, chance, last=False):
        kill_at, kill_after = (0, None) if last else harness.choose_kill(chance, self.server.power_loss, 0.12, 120, 900)
        serving = self.server.start(kill_at, kill_after, 1000 if self.server.power_loss else 0)
        self.ended = threading.Event()
        threads = [threading.Thread(target=self.work, args=(c, LAST_STEPS if last else -1)) for c in self.clients] if serving else []
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + (300 if last else 2 if kill_at else chance.uniform(0.01, 0.25))
        while any(t.is_alive() for t in threads) and time.monotonic() < deadline and self.server.alive() and not self.failure:
            time.sleep(0.002)
        if not last:
            self.server.kill(power=chance.random() < 0.75)
        self.ended.set()
        for thread in threads:
            thread.join()
        if self.failure:
            raise self.failure

    def last_round(self, chance):
        """All that is asked is answered."""
        before = [len(operations) for operations in self.history.operations]
        self.round(chance, last=True)
        asked = sum((operations[count:] for operations, count in zip(self.history.operations, before)), [])
        answered = sum(o.end != linear.INFINITY for o in asked)
        if answered < LAST_STEPS * CLIENTS or answered < len(asked):
            raise harness.Failure("of the last %d operations %d were answered:\n%s" % (LAST_STEPS * CLIENTS, answered, self.server.said()))


def run(kills, seed=None, power_loss=False, **server):
    """A line of figures; raises Failure. kills: with power_loss the kills that take the power; those that leave it on come to them."""
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    chance, r = random.Random(seed), Run(seed, power_loss, **server)
    try:
        r.begin()
        done = 0
        while (r.server.losses if power_loss else done) < kills:
            done += 1
            r.round(chance)
        r.last_round(chance)
        began = time.monotonic()
        count, unknown, applied = r.history.check()
        took = time.monotonic() - began
        r.server.stop()
        return "seed %d, %d kills, %d losses of power: %d operations, %d applied, %d without an answer: linearizable (%.1f s to see)" % (
            seed, done, r.server.losses, count, applied, unknown, took)
    except (harness.Failure, CqlError, OSError) as error:
        raise harness.failure_of(seed, error, r.server) from None
    finally:
        r.server.done()
