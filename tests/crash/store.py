"""Clients of the store under kills, each with a model of the rows that it alone writes.

A client has one statement under way at a time. Whatever happens to the server, what its tables hold must be what the model says: with the
statement that nobody answered, or without it, but nothing between. So this finds at once a lost write, half a batch, a counter that counted
twice, a lost element of a collection, a schema that goes back. What a client has read after a restart is one of the two for good."""
import errno
import itertools
import random
import struct
import threading
import time

import harness
from cqlclient import OVERLOADED, Connection, CqlError, number

PARTS = 3  # partitions of a client in each table
ROWS = 24  # clustering values
LAST_STEPS = 20  # of each client, when nobody kills the server any more
SCHEMA = (
    "CREATE KEYSPACE IF NOT EXISTS crash WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TABLE IF NOT EXISTS crash.events (k int, c int, seq bigint, v text, s bigint static, PRIMARY KEY (k, c))",
    "CREATE TABLE IF NOT EXISTS crash.mirror (k int PRIMARY KEY, seq bigint, v text)",
    "CREATE TABLE IF NOT EXISTS crash.collected (k int, c int, l list<int>, s set<int>, m map<int, text>, PRIMARY KEY (k, c))",
    "CREATE TABLE IF NOT EXISTS crash.counted (k int, c int, n counter, x counter, PRIMARY KEY (k, c))",
    "CREATE TABLE IF NOT EXISTS crash.newest (k int PRIMARY KEY, seq bigint)",
    "CREATE TABLE IF NOT EXISTS crash.probe (k int PRIMARY KEY, v int)",
)


# ---- values ----


def elements(cell):
    """Of a list or set; of a map keys and values in turn."""
    if cell is None:
        return []
    count, at, found = struct.unpack_from(">i", cell)[0], 4, []
    while at < len(cell):
        size = struct.unpack_from(">i", cell, at)[0]
        found.append(cell[at + 4 : at + 4 + size])
        at += 4 + size
    if len(found) not in (count, 2 * count):
        raise harness.Failure("a collection says %d elements and has %d" % (count, len(found)))
    return found


def padding(seq, chance, most=70000):
    """The text of a row: its number, and now and then as long as several blocks of the write-ahead log."""
    size = chance.choice((0, 10, 200, 200, 3000, 3000, chance.randrange(most)))
    return "%d " % seq + "x" * size


# ---- the model ----


class State:
    """What the partitions of a client hold. Never changed: with_() makes the next one."""

    TABLES = ("events", "static", "mirror", "collected", "counted", "newest")

    def __init__(self, tables=None):
        self.tables = tables or {name: {} for name in self.TABLES}

    def next(self):
        return State({name: dict(rows) for name, rows in self.tables.items()})

    def __getitem__(self, name):
        return self.tables[name]

    def __eq__(self, other):
        return self.tables == other.tables

    def difference(self, other):
        """One line: where they differ first."""
        for name in self.TABLES:
            for key in self[name].keys() | other[name].keys():
                a, b = self[name].get(key), other[name].get(key)
                if a != b:
                    return "%s %s: %.90r, not %.90r" % (name, key, a, b)
        return "nothing"


class Writer:
    """The statements of one client: next_op gives CQL and the state after it; what a conditional one must answer stands in `applied`."""

    def __init__(self, name, seed):
        self.name, self.chance, self.seq = name, random.Random("%s %s" % (seed, name)), 0
        self.keys = [name * PARTS + part for part in range(PARTS)]
        self.applied = None

    def next_op(self, before):
        self.seq += 1
        self.applied = None
        after = before.next()
        kinds = (self.insert, self.insert, self.batch, self.batch, self.delete, self.delete_slice, self.count, self.count_twice, self.collect,
                 self.collect, self.forget, self.set_static, self.conditional, self.announce)
        if self.seq % 40 == 0:
            return self.delete_partition(after), after
        return self.chance.choice(kinds)(after), after

    def key(self):
        return self.chance.choice(self.keys)

    # one statement each: changes the state and gives the text

    def put(self, state, k, c, tail="", most=70000):
        text = padding(self.seq, self.chance, most)
        state["events"][k, c] = (self.seq, text)
        return "INSERT INTO crash.events (k, c, seq, v) VALUES (%d, %d, %d, '%s')%s" % (k, c, self.seq, text, tail)

    def insert(self, state):
        return self.put(state, self.key(), self.chance.randrange(ROWS))

    def delete(self, state):
        k, c = self.key(), self.chance.randrange(ROWS)
        state["events"].pop((k, c), None)
        return "DELETE FROM crash.events WHERE k = %d AND c = %d" % (k, c)

    def delete_slice(self, state):
        k, low = self.key(), self.chance.randrange(ROWS)
        high = low + self.chance.randrange(1, 6)
        for c in range(low, high):
            state["events"].pop((k, c), None)
        return "DELETE FROM crash.events WHERE k = %d AND c >= %d AND c < %d" % (k, low, high)

    def delete_partition(self, state):
        k = self.key()
        for c in range(ROWS):
            state["events"].pop((k, c), None)
        state["static"].pop(k, None)
        return "DELETE FROM crash.events WHERE k = %d" % k

    def set_static(self, state):
        k = self.key()
        state["static"][k] = self.seq
        return "UPDATE crash.events SET s = %d WHERE k = %d" % (self.seq, k)

    def announce(self, state):
        k = self.keys[0]
        state["newest"][k] = self.seq
        return "UPDATE crash.newest SET seq = %d WHERE k = %d" % (self.seq, k)

    def add(self, state, k, c, n, delta, column):
        old = list(state["counted"].get((k, c), (None, None)))
        old[column] = (old[column] or 0) + delta
        state["counted"][k, c] = tuple(old)
        return "UPDATE crash.counted SET %s = %s + %d WHERE k = %d AND c = %d" % (n, n, delta, k, c)

    def count(self, state):
        column = self.chance.randrange(2)
        return self.add(state, self.key(), self.chance.randrange(3), "nx"[column], self.chance.randint(-9, 99), column)

    def count_twice(self, state):
        """Two partitions and both columns in one batch."""
        c = self.chance.randrange(3)
        lines = [self.add(state, k, c, "nx"[column], self.chance.randint(1, 99), column) for k in self.keys[:2] for column in (0, 1)]
        return "BEGIN COUNTER BATCH %s; APPLY BATCH" % "; ".join(lines)

    def collected(self, state, k, c):
        return state["collected"].get((k, c), ((), frozenset(), ()))

    def keep(self, state, k, c, row):
        if any(row):
            state["collected"][k, c] = row
        else:
            state["collected"].pop((k, c), None)

    def collect(self, state):
        k, c, kind = self.key(), self.chance.randrange(4), self.chance.randrange(4)
        items, some, pairs = self.collected(state, k, c)
        if kind == 0 or len(items) > 30:
            items = items + (self.seq,) if len(items) <= 30 else (self.seq,)
            what = "l = l + [%d]" % self.seq if len(items) > 1 else "l = [%d]" % self.seq
        elif kind == 1:
            items, what = (self.seq,) + items, "l = [%d] + l" % self.seq
        elif kind == 2:
            some, what = some | {self.seq, self.seq % 7}, "s = s + {%d, %d}" % (self.seq, self.seq % 7)
        else:
            pairs = dict(pairs)
            pairs[self.seq % 9] = "at %d" % self.seq
            pairs, what = tuple(sorted(pairs.items())), "m[%d] = 'at %d'" % (self.seq % 9, self.seq)
        self.keep(state, k, c, (items, some, pairs))
        return "UPDATE crash.collected SET %s WHERE k = %d AND c = %d" % (what, k, c)

    def forget(self, state):
        """Elements go again."""
        k, c, kind = self.key(), self.chance.randrange(4), self.chance.randrange(3)
        items, some, pairs = self.collected(state, k, c)
        if kind == 0 and items:
            gone = self.chance.choice(items)
            items, what = tuple(i for i in items if i != gone), "l = l - [%d]" % gone
        elif kind == 1:
            gone = self.chance.choice(sorted(some)) if some else 5
            some, what = some - {gone}, "s = s - {%d}" % gone
        else:
            gone = self.seq % 9
            pairs, what = tuple(p for p in pairs if p[0] != gone), "m = m - {%d}" % gone
        self.keep(state, k, c, (items, some, pairs))
        return "UPDATE crash.collected SET %s WHERE k = %d AND c = %d" % (what, k, c)

    def batch(self, state):
        """A logged batch over several partitions and tables; what one of its statements deletes, none of the others writes."""
        lines, c = [], self.chance.randrange(ROWS)
        for k in self.keys:
            lines.append(self.put(state, k, c, most=12000))  # a batch of more than 50 KiB is refused
            text = padding(self.seq, self.chance)[:300]
            state["mirror"][k] = (self.seq, text)
            lines.append("INSERT INTO crash.mirror (k, seq, v) VALUES (%d, %d, '%s')" % (k, self.seq, text))
            gone = (c + 1 + self.chance.randrange(ROWS - 1)) % ROWS
            state["events"].pop((k, gone), None)
            lines.append("DELETE FROM crash.events WHERE k = %d AND c = %d" % (k, gone))
            items, some, pairs = self.collected(state, k, 0)
            self.keep(state, k, 0, (items, some | {self.seq % 50}, pairs))
            lines.append("UPDATE crash.collected SET s = s + {%d} WHERE k = %d AND c = 0" % (self.seq % 50, k))
        self.chance.shuffle(lines)
        return "BEGIN BATCH %s; APPLY BATCH" % "; ".join(lines)

    def conditional(self, state):
        k, c = self.key(), self.chance.randrange(ROWS)
        row = state["events"].get((k, c))
        if row is None or self.chance.random() < 0.3:
            if row is None:
                self.applied = True
                return self.put(state, k, c, " IF NOT EXISTS")
            self.applied = False
            return self.put(State(), k, c, " IF NOT EXISTS")
        expected = row[0] if self.chance.random() < 0.7 else -1
        self.applied = expected == row[0]
        if self.applied:
            state["events"][k, c] = (self.seq, row[1])
        return "UPDATE crash.events SET seq = %d WHERE k = %d AND c = %d IF seq = %d" % (self.seq, k, c, expected)

    # what the server holds

    def read(self, connection):
        keys, state = ", ".join(map(str, self.keys)), State()
        for k, c, seq, text in connection.query("SELECT k, c, seq, v FROM crash.events WHERE k IN (%s)" % keys):
            if c is not None:
                state["events"][number(k), number(c)] = (number(seq), text.decode() if text is not None else None)
        for k, s in connection.query("SELECT DISTINCT k, s FROM crash.events WHERE k IN (%s)" % keys):
            if s is not None:
                state["static"][number(k)] = number(s)
        for k, seq, text in connection.query("SELECT k, seq, v FROM crash.mirror WHERE k IN (%s)" % keys):
            state["mirror"][number(k)] = (number(seq), text.decode() if text is not None else None)
        for k, c, items, some, pairs in connection.query("SELECT k, c, l, s, m FROM crash.collected WHERE k IN (%s)" % keys):
            flat = elements(pairs)
            state["collected"][number(k), number(c)] = (
                tuple(map(number, elements(items))), frozenset(map(number, elements(some))),
                tuple((number(flat[i]), flat[i + 1].decode()) for i in range(0, len(flat), 2)))
        for k, c, n, x in connection.query("SELECT k, c, n, x FROM crash.counted WHERE k IN (%s)" % keys):
            state["counted"][number(k), number(c)] = (number(n), number(x))
        for k, seq in connection.query("SELECT k, seq FROM crash.newest WHERE k IN (%s)" % keys):
            state["newest"][number(k)] = number(seq)
        return state


class SchemaState(State):
    """{table: (columns, rows)} of tables that come and go."""

    TABLES = ("tables",)

    def next(self):
        return SchemaState({"tables": dict(self["tables"])})


class SchemaWriter(Writer):
    """Tables are made, filled, altered, truncated, dropped."""

    def next_op(self, before):
        self.seq += 1
        self.applied = None
        after = before.next()
        tables = after["tables"]
        there = sorted(tables)
        if not there or (len(there) < 4 and self.chance.random() < 0.2):
            name = "crash.t%d" % self.seq
            tables[name] = (("k", "v"), ())
            return "CREATE TABLE %s (k int PRIMARY KEY, v int)" % name, after
        name, kind = self.chance.choice(there), self.chance.randrange(10)
        columns, rows = tables[name]
        if kind == 0:
            del tables[name]
            return "DROP TABLE " + name, after
        if kind == 1:
            tables[name] = (columns, ())
            return "TRUNCATE " + name, after
        if kind == 2 and len(columns) < 6:
            column = "w%d" % self.seq
            tables[name] = (tuple(sorted(columns + (column,))), rows)
            return "ALTER TABLE %s ADD %s text" % (name, column), after
        tables[name] = (columns, tuple(sorted(dict(rows, **{str(self.seq % 20): self.seq}).items())))
        return "INSERT INTO %s (k, v) VALUES (%d, %d)" % (name, self.seq % 20, self.seq), after

    def read(self, connection):
        state = SchemaState()
        rows = connection.query("SELECT table_name, column_name FROM system_schema.columns WHERE keyspace_name = 'crash'")
        columns = {}
        for table, column in rows:
            if table[:1] == b"t":
                columns.setdefault("crash." + table.decode(), []).append(column.decode())
        for table, names in columns.items():
            found = connection.query("SELECT k, v FROM " + table)
            state["tables"][table] = (tuple(sorted(names)), tuple(sorted((str(number(k)), number(v)) for k, v in found)))
        return state


# ---- clients ----


class Client:
    """Plays a writer's statements. states: what the server may hold; the second one if the statement that nobody answered counts."""

    def __init__(self, writer, state):
        self.writer, self.states = writer, [state]
        self.failure, self.acknowledged, self.refused, self.doubtful, self.kept = None, 0, 0, 0, 0
        self.thread = None

    def check(self, connection):
        """Is it one of the two? That one it is from now on."""
        there = self.writer.read(connection)
        for number_, state in enumerate(self.states):
            if there == state:
                if len(self.states) == 2:
                    self.doubtful, self.kept = self.doubtful + 1, self.kept + number_
                self.states = [state]
                return
        raise harness.Failure("client %s, at %d: %s%s" % (
            self.writer.name, self.writer.seq, there.difference(self.states[0]),
            "; or, with what was not answered: " + there.difference(self.states[1]) if len(self.states) == 2 else ""))

    def step(self, connection):
        if len(self.states) == 2:
            self.check(connection)
        text, after = self.writer.next_op(self.states[0])
        self.states.append(after)
        while True:
            try:
                rows = connection.query(text)
                break
            except CqlError as error:
                if error.code != OVERLOADED:
                    raise
                self.refused += 1
                time.sleep(0.02)
        if self.writer.applied is not None and rows[0][0] != bytes([self.writer.applied]):
            raise harness.Failure("client %s: %.200s: [applied] is %r" % (self.writer.name, text, rows[0][0]))
        self.states = [after]
        self.acknowledged += 1


class Reader:
    """What it was given once is never older afterwards."""

    def __init__(self):
        self.seen, self.failure, self.reads = {}, None, 0

    def look(self, connection):
        for k, seq in connection.query("SELECT k, seq FROM crash.newest"):
            k, seq = number(k), number(seq)
            if seq < self.seen.get(k, 0):
                raise harness.Failure("the reader was given %d of %d, and then %d" % (self.seen[k], k, seq))
            self.seen[k] = seq
        missing = self.seen.keys() - {number(k) for k, _ in connection.query("SELECT k, seq FROM crash.newest")}
        if missing:
            raise harness.Failure("the reader was given %s, and they are gone" % sorted(missing))
        self.reads += 1


class Clients:
    def __init__(self, seed, count=6, schema=True):
        self.all = [Client(Writer(i + 1, seed), State()) for i in range(count)]
        if schema:
            self.all.append(Client(SchemaWriter(0, seed), SchemaState()))
        self.reader = Reader()
        self.failure, self.ended, self.threads = None, threading.Event(), []

    def prepare(self, server):
        connection = server.cql()
        for text in SCHEMA:
            connection.query(text)
        connection.close()

    def verify(self, server):
        """Everything at once; also how the clients begin after a restart."""
        connection = server.cql()
        self.reader.look(connection)
        for client in self.all:
            client.check(connection)
        connection.close()

    def begin(self, server, steps=None):
        self.ended.clear()
        self.threads = [threading.Thread(target=self._run, args=(server, client.step, steps)) for client in self.all]
        self.threads.append(threading.Thread(target=self._run, args=(server, self.reader.look, steps)))
        for thread in self.threads:
            thread.start()

    def working(self):
        return any(thread.is_alive() for thread in self.threads)

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        if self.failure:
            raise self.failure

    def _run(self, server, step, steps):
        try:
            connection = Connection("127.0.0.1", server.cql_port, 60)
            done = 0
            while not self.ended.is_set() and done != steps:
                step(connection)
                done += 1
            connection.close()
        except OSError:
            pass  # the server died
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error if isinstance(error, harness.Failure) else harness.Failure("client: %r" % error)

    def figures(self):
        return "%d statements acknowledged, of %d not answered %d counted, %d reads, %d pushed back" % (
            sum(c.acknowledged for c in self.all), sum(c.doubtful for c in self.all), sum(c.kept for c in self.all), self.reader.reads,
            sum(c.refused for c in self.all))


# ---- kills ----


def new_server(seed, power_loss, program=None, env=None, mode=None, memtable="64KiB"):
    server = harness.Server(program, power_loss, seed, env, ("--set", "store.memtable=" + memtable), bare=True)
    server.mode = mode
    return server


def one_kill(server, clients, chance, tally, at_call=0):
    """Start, check, write, kill: at this call of the program, always with its power; or as harness.choose_kill says."""
    kill_at, kill_after = (at_call, None) if at_call else harness.choose_kill(chance, server.power_loss, 0.12, 120, 1500)
    serving = server.start(kill_at, kill_after, 1000 if server.power_loss else 0)
    tally["starts"] += not serving
    if serving:
        try:
            clients.verify(server)
            clients.begin(server)
        except OSError:
            pass
        wait = chance.uniform(0.005, 0.2)
        deadline = time.monotonic() + (2 if kill_at else wait)
        while time.monotonic() < deadline and server.alive() and not clients.failure:
            time.sleep(0.002)
    tally["calls"] += bool(kill_at) and not server.alive()
    # A kill that leaves the power on: what the next start reads may not have been synced, and must be before anybody is given it.
    server.kill(power=at_call or chance.random() < 0.75)
    clients.end()


def begin(server, clients):
    server.start()
    clients.prepare(server)
    server.stop()  # what is there now was synced


def finish(server, clients):
    server.start()
    clients.verify(server)
    before = [client.acknowledged for client in clients.all]
    clients.begin(server, LAST_STEPS)
    while clients.working() and server.alive():
        time.sleep(0.005)
    clients.end()
    if not server.alive():
        raise harness.Failure("the server died by itself:\n" + server.said())
    for client, count in zip(clients.all, before):
        if len(client.states) == 2 or client.acknowledged - count != LAST_STEPS:
            raise harness.Failure("client %s: of the last %d statements %d were answered:\n%s" % (
                client.writer.name, LAST_STEPS, client.acknowledged - count, server.said()))
    clients.verify(server)
    server.stop()
    server.start()
    clients.verify(server)
    server.stop()


def run_kills(kills, seed=None, power_loss=False, program=None, env=None, mode=None, every_call=False, keep=False):
    """A line of figures; raises Failure. kills: with power_loss the kills that take the power; those that leave it on come to them.
    every_call: the nth kill is at the nth call after its start."""
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    chance, clients = random.Random(seed), Clients(seed)
    server = new_server(seed, power_loss, program, env, mode)
    tally, failed = dict.fromkeys(("starts", "calls"), 0), True
    try:
        begin(server, clients)
        done = 0
        while (server.losses if power_loss else done) < kills:
            done += 1
            one_kill(server, clients, chance, tally, done if every_call else 0)
        finish(server, clients)
        failed = False
        line = "seed %d, %d kills (%d while starting): %s; slowest start %.0f ms" % (
            seed, done, tally["starts"], clients.figures(), server.start_ms_max)
        if power_loss:
            line += "; %d losses of power; %d at calls; undone: %s" % (server.losses, tally["calls"], ", ".join("%s %d" % (k, v) for k, v in server.undone.items()))
        return line
    except (harness.Failure, CqlError, OSError) as error:
        raise harness.failure_of(seed, error, server) from None
    finally:
        clients.ended.set()
        server.done(keep and failed)
        for thread in clients.threads:
            thread.join()


# ---- calls that fail ----


def verify_tables(server, clients):
    """As Clients.verify, when a statement that failed is still under way for some: what those hold is not decided before the restart."""
    connection = server.cql()
    for client in clients.all:
        if len(client.states) == 1:
            client.check(connection)
    connection.close()


def write_until(server, clients, done):
    """All clients write until each has met an error, or done() says so. An error leaves its client with two states."""
    while not done():
        connection = server.cql()
        for client in clients.all:
            if len(client.states) == 2:
                continue
            try:
                client.step(connection)
            except CqlError:
                pass
        connection.close()
        if all(len(client.states) == 2 for client in clients.all):
            return


def accepts_writes(server):
    connection = server.cql()
    try:
        connection.query("INSERT INTO crash.probe (k, v) VALUES (1, 1)")
        return True
    except CqlError as error:
        if not error.text:
            raise harness.Failure("an error without a text") from None
        return False
    finally:
        connection.close()


def run_failing_calls(numbers, error, seed=None, keep=False):
    """At each of these calls the disk fails: for good with EIO (the store takes no more writes until the restart, and reads go on), or until
    there is room with ENOSPC (it goes on by itself). Nothing acknowledged is lost, before and after a restart that loses the power too."""
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    full = error == errno.ENOSPC
    clients, server = Clients(seed, 3), new_server(seed, True)
    chance, failed, refused, at = random.Random(seed), True, 0, 0
    try:
        begin(server, clients)
        for at in numbers:
            server.start()
            clients.verify(server)
            count = 0 if full else chance.choice((0, 1))
            server.fail(error, at, count)
            steps = itertools.count()
            write_until(server, clients, lambda: server.failed_calls() and next(steps) > 20)
            accepts = accepts_writes(server)
            if count == 0 and accepts:
                raise harness.Failure("every call fails, and the store takes a write")
            refused += not accepts
            verify_tables(server, clients)
            server.fail(0)
            if full:
                deadline = time.monotonic() + 120
                while not accepts_writes(server):
                    if time.monotonic() > deadline:
                        raise harness.Failure("call %d: there is room again, and two minutes later the store takes no writes" % at)
                    time.sleep(0.02)
                clients.verify(server)
                write_until(server, clients, iter((False, True)).__next__)
            server.kill(power=chance.random() < 0.5)
        finish(server, clients)
        failed = False
        return "seed %d, %d failing calls (%d refused writes): %s" % (seed, len(numbers), refused, clients.figures())
    except (harness.Failure, CqlError, OSError) as problem:
        raise harness.failure_of("%d, call %d" % (seed, at), problem, server) from None
    finally:
        server.done(keep and failed)
