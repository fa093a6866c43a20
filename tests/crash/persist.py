"""Event-sourced actors over kills: `ledgers` (ledgers.c) writes down numbers over a session; it is killed, or the server, or both, and the
power may go with the server. What was not acknowledged is sent again. In the end each number stands in its ledger once, and has come to
the auditor, who writes down each once too."""
import os
import queue
import random
import subprocess
import threading
import time

import harness

WINDOW = 64  # numbers that are not acknowledged yet
NUMBERS = 60000  # at most


class Ledgers:
    """One process of `ledgers`, and what it says."""

    def __init__(self, server):
        self.errors = open(os.path.join(server.work, "ledgers.stderr"), "ab")
        self.process = subprocess.Popen([harness.binary("ledgers"), server.data], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, bufsize=1)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.split(None, 1))
        self.lines.put(None)

    def say(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass  # it is dead: what it did not acknowledge is sent again

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except OSError:
            pass
        self.errors.close()

    def stop(self):
        """Its input ends; it ends by itself."""
        self.process.stdin.close()
        try:
            status = self.process.wait(120)
        except subprocess.TimeoutExpired:
            raise harness.Failure("`ledgers` still ran 120 s after its input had ended") from None
        self.reader.join()
        self.process.stdout.close()
        self.errors.close()
        if status:
            raise harness.Failure("`ledgers` ended with status %d" % status)


class Run:
    def __init__(self, power_loss, seed, kills, program, env):
        self.chance = random.Random(seed)
        self.server = harness.Server(program, power_loss, seed, env, bare=True)
        self.ledgers, self.ready = None, False
        self.each = NUMBERS // kills
        self.next, self.open, self.acknowledged = 0, set(), set()
        self.last_ack = time.monotonic()
        self.again = 0

    def text(self):
        with open(os.path.join(self.server.work, "ledgers.stderr"), errors="replace") as file:
            return "`ledgers` said:\n%s\nthe server said:\n%s" % ("".join(file.readlines()[-20:]), self.server.said())

    def take(self, line):
        if line is None and not self.ready:  # the server was killed before it had connected
            self.kill_ledgers_quietly()
            return
        if line is None:
            raise harness.Failure("`ledgers` has ended by itself; " + self.text())
        if line[0] == "ready":
            self.ready = True
        elif line[0] == "bad":
            raise harness.Failure("%s; %s" % (line[1].strip(), self.text()))
        elif line[0] == "ack":
            number = int(line[1])
            self.acknowledged.add(number)
            self.open.discard(number)
            self.last_ack = time.monotonic()

    def begin(self):
        if self.ledgers is None:
            self.ledgers, self.ready = Ledgers(self.server), False
            self.last_ack = 0

    def work(self, seconds, more):
        """Send, up to so many more, and take answers: for so long, or until all is acknowledged."""
        until, end = time.monotonic() + seconds, self.next + more
        while time.monotonic() < until and (self.open or self.next < end):
            self.begin()
            if self.ready and self.open and time.monotonic() - self.last_ack > 1:
                # A new process, or actors that have failed: what they had in hand is not answered.
                self.again += len(self.open)
                self.last_ack = time.monotonic()
                for number in self.open:
                    self.ledgers.say("add %d" % number)
            while self.ready and len(self.open) < WINDOW and self.next < end:
                self.open.add(self.next)
                self.ledgers.say("add %d" % self.next)
                self.next += 1
            try:
                self.take(self.ledgers.lines.get(timeout=0.01))
            except queue.Empty:
                pass

    def kill_ledgers(self):
        if self.ledgers is not None:
            self.ledgers.kill()
            while not self.ledgers.lines.empty():
                line = self.ledgers.lines.get()
                if line is not None:  # what it said before it was killed counts
                    self.take(line)
            self.ledgers = None

    def kill_ledgers_quietly(self):
        if self.ledgers is not None:
            self.ledgers.kill()
            self.ledgers = None

    def one_kill(self):
        what = self.chance.choice(("ledgers", "server", "both"))
        # Some kills come before anything has recovered.
        self.work(self.chance.uniform(0, 0.1) if self.chance.randrange(3) == 0 else self.chance.uniform(0.1, 0.6), self.each)
        if what != "ledgers":
            self.server.kill()
        if what != "server":
            self.kill_ledgers()
        if what != "ledgers":
            self.server.start()

    def show(self):
        """(numbers of the ledgers, of the auditor, deliveries that are open)"""
        has, got, still = set(), set(), 0
        self.begin()
        self.ledgers.say("show")
        while True:
            try:
                line = self.ledgers.lines.get(timeout=150)
            except queue.Empty:
                raise harness.Failure("no answer for 150 s; " + self.text()) from None
            self.take(line)
            if line[0] == "end":
                return has, got, still
            if line[0] == "has":
                has.add(int(line[1]))
            elif line[0] == "got":
                got.add(int(line[1]))
            elif line[0] == "open":
                still += int(line[1])
            elif line[0] == "twice":
                raise harness.Failure("number %s was written down twice" % line[1].strip())

    def verify(self):
        deadline = time.monotonic() + 120
        self.work(120, 0)
        if self.open:
            raise harness.Failure("%d numbers are not acknowledged after 120 s; %s" % (len(self.open), self.text()))
        has, got, still = self.show()
        while still and time.monotonic() < deadline:
            time.sleep(0.1)
            has, got, still = self.show()
        wanted = set(range(self.next))
        if has != wanted:
            raise harness.Failure("%d of %d acknowledged numbers are lost: %s" % (len(wanted - has), self.next, sorted(wanted - has)[:10]))
        if still or got != wanted:
            raise harness.Failure("%d deliveries are open and %d have not come after 120 s; %s" % (still, len(wanted - got), self.text()))


def run_kills(kills, power_loss=False, seed=None, program=None, env=None, mode=None):
    """Returns a line of figures; raises Failure."""
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    run = Run(power_loss, seed, kills, program, env)
    run.server.mode = mode
    try:
        run.server.start()
        for _ in range(kills):
            run.one_kill()
        run.verify()
        run.ledgers.stop()
        run.ledgers = None
        run.server.stop()
        return "seed %d, %d kills: %d numbers acknowledged and delivered, 0 lost, 0 twice; %d sent again" % (seed, kills, run.next, run.again)
    except harness.Failure as error:
        raise harness.failure_of(seed, error, run.server) from None
    finally:
        run.kill_ledgers_quietly()
        run.server.done()
