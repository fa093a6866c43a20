"""Bits that flip while the server is down, in any file of the store: what it answers afterwards is right, or an error that names the damage."""
import os
import random
import shutil
import signal

import harness
import store
from cqlclient import Connection, CqlError

WORDS = ("damage", "corrupt", "checksum", "not be opened", "cannot be trusted", "not a store", "unreadable")


DIED = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS)


def flip(path, at, bit):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


class Flips:
    """A store with something in it, of which every try gets a copy."""

    def __init__(self, seed, memtable):
        self.chance, self.clients = random.Random(seed), store.Clients(seed, 3)
        self.server = store.new_server(seed, False, memtable=memtable)
        self.folder, self.kept = os.path.join(self.server.data, "store"), os.path.join(self.server.work, "kept")
        self.tally = dict.fromkeys(("refused", "with errors", "as before", "without the last statement", "ended the process"), 0)

    def fill(self, steps):
        self.server.start()
        self.clients.prepare(self.server)
        connection = self.server.cql()
        for _ in range(steps):
            for client in self.clients.all:
                client.step(connection)
        self.clients.reader.look(connection)
        connection.close()

    def keep(self):
        shutil.copytree(self.folder, self.kept)

    def files(self, tail):
        return sorted(f for f in os.listdir(self.kept) if (f.endswith(tail) if tail else not f.endswith((".sst", ".log", "LOCK")))
                      and os.path.getsize(os.path.join(self.kept, f)))

    def try_one(self, name, at, bit, before_last=None):
        """before_last: what the first client's rows were before its last statement, where that one may be lost."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder)
        flip(os.path.join(self.folder, name), at, bit)
        where = "%s, byte %d, bit %d" % (name, at, bit)
        open(os.path.join(self.server.work, "stderr"), "wb").close()
        try:
            self.server.start()
        except harness.Failure as error:
            status = self.server.process.poll()
            if name.endswith(".sst") and status in DIED:  # in RocksDB; see doc/left.md
                self.server.process = None
                self.tally["ended the process"] += 1
                return
            if status in (None, 0) or status < 0 or not any(w in str(error).lower() for w in WORDS):
                raise harness.Failure("%s: %s" % (where, error)) from None
            if name.endswith(".log") and not (name in str(error) and "byte" in str(error)):
                raise harness.Failure("%s: a refusal that does not say where: %s" % (where, error)) from None
            self.server.process = None
            self.tally["refused"] += 1
            return
        try:
            self.tally[self.look(before_last)] += 1
        except (harness.Failure, OSError) as error:
            if isinstance(error, OSError) and name.endswith(".sst") and self.server.process.wait(60) in DIED:
                self.server.process = None
                self.tally["ended the process"] += 1
                return
            raise harness.Failure("%s: %s\n%s" % (where, error, self.server.said())) from None
        self.server.process.kill()
        status = self.server.process.wait()
        self.server.process.stdout.close()
        self.server.process = None
        if status == -signal.SIGKILL:
            return
        if not name.endswith(".sst") or status not in DIED:
            raise harness.Failure("%s: the server ended by itself (status %d):\n%s" % (where, status, self.server.said()))
        self.tally["ended the process"] += 1  # meanwhile, in a compaction

    def look(self, before_last):
        """All rows are right, or not given."""
        connection, found = Connection("127.0.0.1", self.server.cql_port, 60), "as before"
        for number, client in enumerate(self.clients.all):
            try:
                there = client.writer.read(connection)
            except CqlError as error:
                if not any(w in error.text.lower() for w in WORDS):
                    raise harness.Failure("an error that does not say what is damaged: %s" % error) from None
                found = "with errors"
                continue
            if there == client.states[0]:
                continue
            if number or before_last is None or there != before_last:
                raise harness.Failure("silently wrong: client %s: %s" % (client.writer.name, there.difference(client.states[0])))
            found = "without the last statement"
        connection.close()
        return found

    def line(self, seed):
        return "seed %d: %s" % (seed, ", ".join("%d %s" % (n, what) for what, n in self.tally.items() if n))


def run(memtable, fill, tries, seed):
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    flips = Flips(seed, memtable)
    try:
        fill(flips)
        tries(flips)
        return flips.line(seed)
    except (harness.Failure, CqlError, OSError) as error:
        raise harness.failure_of(seed, error, flips.server) from None
    finally:
        flips.server.done()


def in_the_log(count, seed=None):
    """Of the write-ahead log the very last record may look torn; a bit before it is told, for later statements were acknowledged."""
    marks = {}

    def fill(flips):
        flips.fill(25)
        client, connection = flips.clients.all[0], flips.server.cql()
        while not marks or client.writer.applied is False:  # what is not applied writes nothing
            marks.update({f: os.path.getsize(os.path.join(flips.folder, f)) for f in os.listdir(flips.folder) if f.endswith(".log")})
            flips.before_last = client.states[0]
            client.step(connection)
        connection.close()
        flips.server.kill()
        flips.keep()

    def tries(flips):
        for _ in range(count):
            name = flips.chance.choice(flips.files(".log"))
            size = os.path.getsize(os.path.join(flips.kept, name))
            at = flips.chance.randrange(size) if flips.chance.random() < 0.8 else flips.chance.randrange(max(0, size - 400), size)
            flips.try_one(name, at, flips.chance.randrange(8), flips.before_last if at >= marks.get(name, 0) else None)
        if flips.tally["refused"] < count // 6:
            raise harness.Failure("of %d flips in the log only %d are refused" % (count, flips.tally["refused"]))

    return run("8MiB", fill, tries, seed)


def in_the_tables(count, seed=None):
    """Files of tables, manifest and the rest."""

    def fill(flips):
        flips.fill(120)
        flips.server.stop()
        flips.keep()

    def tries(flips):
        for number in range(count):
            name = flips.chance.choice(flips.files(".sst" if number % 4 else ""))
            flips.try_one(name, flips.chance.randrange(os.path.getsize(os.path.join(flips.kept, name))), flips.chance.randrange(8))

    return run("64KiB", fill, tries, seed)
