"""The HTTP edge under load: connections that do nothing, connections that send a byte a second, too few descriptors, a log that stands still while
memory is short. Each returns a line of figures or raises harness.Failure; the sizes are the caller's."""
import http.client
import json
import resource
import select
import socket
import threading
import time

import harness
from harness import Failure

DEADLINE_S = 240
TOPIC = ["--set", "topic.events.partitions=4"]


def raise_files():
    """As many descriptors as this process may have; how many connections a test may open then, its server having as many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most // 2 - 200


def address(server):
    host, port = server.http.rsplit(":", 1)
    return host, int(port)


def anonymous(server):
    """Bytes of memory that the server has for itself."""
    with open("/proc/%d/status" % server.process.pid) as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon"))


def get(server, path):
    connection = http.client.HTTPConnection(server.http, timeout=DEADLINE_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def post(connection, body, kind="application/x-ndjson"):
    """(status, Retry-After)"""
    connection.request("POST", "/ingest/events", body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers["Retry-After"]


def wait_for(what, condition, seconds=DEADLINE_S):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure("not within %d s: %s" % (seconds, what))
        time.sleep(0.05)


def values(server, topic="events"):
    """What the topic holds."""
    import confluent_kafka
    consumer = confluent_kafka.Consumer({"bootstrap.servers": "127.0.0.1:%d" % server.kafka_port, "group.id": "reader", "enable.partition.eof": True,
                                         "enable.auto.commit": False})
    for partition in sorted(consumer.list_topics(topic, 60).topics[topic].partitions):
        consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0)])
        while True:
            message = consumer.poll(60)
            if message is None:
                raise Failure("nothing comes from %s/%d" % (topic, partition))
            if message.error():
                break
            yield message.value()
    consumer.close()


# ---- connections that do nothing ----


def idle(count):
    """Each has been answered once and then waits."""
    count = min(count, raise_files())
    server = harness.Server(bare=True, arguments=TOPIC)
    open_ones = []
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"
    try:
        server.start()
        host, port = address(server)
        for _ in range(50):
            get(server, "/healthz")  # what the first ones bring is not theirs
        before = anonymous(server)
        for _ in range(count):
            s = socket.create_connection((host, port), timeout=DEADLINE_S)
            s.sendall(ask % port)
            if not s.recv(4096).startswith(b"HTTP/1.1 200"):
                raise Failure("connection %d is not served:\n%s" % (len(open_ones), server.said()))
            open_ones.append((s, time.monotonic()))
        each = (anonymous(server) - before) / count
        if each > 16 << 10:
            raise Failure("an idle connection takes %d bytes" % each)
        served = 0
        for s, since in open_ones:
            try:
                s.sendall(ask % port)
                answer = s.recv(4096)
            except OSError:
                answer = b""
            served += answer.startswith(b"HTTP/1.1 200")
            if not answer and time.monotonic() - since < 50:  # idle ones are closed after 60 s
                raise Failure("a connection has ended before its time")
        return "%d connections, %.1f KiB each, %d served again" % (count, each / 1024, served)
    finally:
        for s, _ in open_ones:
            s.close()
        server.done()


# ---- connections that send a byte a second ----


class Slow(threading.Thread):
    """Each connection sends the next byte of a head every second, until the server ends it."""

    def __init__(self, server, count):
        super().__init__()
        self.open_ones = {}
        self.told, self.ended = 0, 0
        self.failure = None
        for _ in range(count):
            s = socket.create_connection(address(server), timeout=DEADLINE_S)
            s.setblocking(False)
            self.open_ones[s] = 0

    def run(self):
        head = b"POST /ingest/events HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 4000
        poll = select.poll()
        sockets = {s.fileno(): s for s in self.open_ones}
        for fd in sockets:
            poll.register(fd, select.POLLIN)
        began, round_ = time.monotonic(), 0
        while self.open_ones and time.monotonic() - began < DEADLINE_S:
            for s in list(self.open_ones):
                try:
                    s.send(head[self.open_ones[s] : self.open_ones[s] + 1])
                    self.open_ones[s] += 1
                except OSError:
                    pass  # its end is seen below
            round_ += 1
            while (left := began + round_ - time.monotonic()) > 0:
                for fd, _ in poll.poll(left * 1000):
                    self._hear(poll, fd, sockets[fd])

    def _hear(self, poll, fd, s):
        try:
            got = s.recv(4096)
        except OSError:
            got = b""
        if got:
            self.told += got.startswith(b"HTTP/1.1 408")
            return
        poll.unregister(fd)
        del self.open_ones[s]
        s.close()
        self.ended += 1


def slow(count, good=64):
    raise_files()
    server = harness.Server(bare=True, arguments=TOPIC)
    stop, failures, served = threading.Event(), [], []
    try:
        server.start()

        def send():
            connection = http.client.HTTPConnection(server.http, timeout=DEADLINE_S)
            while not stop.is_set():
                began = time.monotonic()
                try:
                    status, _ = post(connection, b'{"n":1}\n')
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                    return
                if status != 202:
                    failures.append(status)
                served.append(time.monotonic() - began)
                time.sleep(0.05)

        slow_ones = Slow(server, count)
        slow_ones.start()
        threads = [threading.Thread(target=send) for _ in range(good)]
        for thread in threads:
            thread.start()
        slow_ones.join()
        stop.set()
        for thread in threads:
            thread.join()
        if slow_ones.open_ones:
            raise Failure("%d of %d slow connections are open after %d s" % (len(slow_ones.open_ones), count, DEADLINE_S))
        if failures or len(served) < good:
            raise Failure("of the good ones %d were served, and not: %r" % (len(served), failures[:5]))
        if slow_ones.told < count * 9 // 10:
            raise Failure("%d of %d slow connections were told 408" % (slow_ones.told, count))
        served.sort()
        return "%d slow ones ended (%d told 408) beside %d requests of %d good ones, p99 %.1f ms" % (
            slow_ones.ended, slow_ones.told, len(served), good, served[len(served) * 99 // 100] * 1000)
    finally:
        stop.set()
        server.done()


# ---- too few descriptors ----


def few_descriptors(limit=256, wanted=400):
    raise_files()
    server = harness.Server(bare=True, arguments=TOPIC)
    script = server.work + "/limited"
    with open(script, "w") as file:
        file.write('#!/bin/sh\nulimit -n %d\nexec "%s" "$@"\n' % (limit, server.program))
    import os
    os.chmod(script, 0o755)
    server.program = script
    open_ones = []
    try:
        server.start()
        keep = http.client.HTTPConnection(server.http, timeout=DEADLINE_S)
        if post(keep, b'{"n":0}\n')[0] != 202:
            raise Failure("nothing is taken at first")
        host, port = address(server)
        ask = b"GET /healthz HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port
        served = told = ended = 0
        for round_ in range(3):
            for _ in range(wanted):
                s = socket.create_connection((host, port), timeout=DEADLINE_S)
                try:
                    s.sendall(ask)
                    answer = s.recv(4096)
                except socket.timeout:
                    raise Failure("a connection is neither served nor refused") from None
                except OSError:
                    answer = b""
                served += answer.startswith(b"HTTP/1.1 200")
                told += answer.startswith(b"HTTP/1.1 503")
                ended += not answer
                open_ones.append(s)
            # who is connected goes on, and what is acknowledged is on disk
            for n in range(20):
                status, _ = post(keep, b'{"n":%d}\n' % n)
                if status != 202:
                    raise Failure("while descriptors are few an event is answered with %d:\n%s" % (status, server.said()))
            for s in open_ones:
                s.close()
            open_ones.clear()

            def is_served():
                try:
                    return get(server, "/healthz")[0] == 200
                except (OSError, http.client.HTTPException):
                    return False
            wait_for("a new connection is served when others have gone", is_served)
        if told == 0 or served == 0:
            raise Failure("%d served, %d told 503, %d closed" % (served, told, ended))
        wait_for("the server says that connections were refused", lambda: "connections were refused" in server.said())
        if get(server, "/readyz")[0] != 200 or len(list(values(server))) != 61:
            raise Failure("61 events were acknowledged, %d are there" % len(list(values(server))))
        server.stop()
        return "%d served, %d told 503, %d closed" % (served, told, ended)
    finally:
        for s in open_ones:
            s.close()
        server.done()


# ---- a log that stands still while memory is short ----


class Sender(threading.Thread):
    """Requests of about a MiB, each event with a number of its own, until one is acknowledged."""

    def __init__(self, server, number, stop):
        super().__init__()
        self.server, self.number, self.stop = server, number, stop
        self.acknowledged, self.statuses = [], {}
        self.sent, self.hints, self.failure = 0, 0, None

    def body(self):
        self.sent += 1
        ids = ["%d-%d-%d" % (self.number, self.sent, n) for n in range(64)]
        return ids, "".join(json.dumps({"id": i, "pad": "x" * 16000}) + "\n" for i in ids).encode()

    def run(self):
        connection = http.client.HTTPConnection(self.server.http, timeout=1200)
        while not self.stop.is_set():
            ids, body = self.body()
            try:
                status, again = post(connection, body)
            except (OSError, http.client.HTTPException):
                # told while it was still sending, and the connection has ended: what it was is not read
                status, again = "cut", None
                connection.close()
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.hints += again is not None
            if status == 202:
                self.acknowledged = ids
                return
            if status not in (429, 503, "cut"):
                self.failure = status
                return
            time.sleep(0.2)


def stalled_log(seconds, senders=64, budget_mib=80):
    server = harness.Server(power_loss=True, bare=True, arguments=TOPIC + ["--set", "memory.budget=%dMiB" % budget_mib])
    stop = threading.Event()
    all_of_them = []
    peak = [0]
    try:
        server.start()
        if post(http.client.HTTPConnection(server.http, timeout=DEADLINE_S), b'{"id":"first"}\n')[0] != 202:
            raise Failure("nothing is taken at first")

        def watch():
            while not stop.is_set():
                peak[0] = max(peak[0], anonymous(server))
                time.sleep(0.02)

        # the budget, or what it needs anyway; what waits for the log, twice over; and what is read before the next look at the memory
        most = max(anonymous(server), budget_mib << 20) + (2 * 4 + senders) * (1 << 20)
        watcher = threading.Thread(target=watch)
        server.stall(True)
        began = time.monotonic()
        all_of_them = [Sender(server, n, stop) for n in range(senders)]
        for sender in all_of_them:
            sender.start()
        watcher.start()

        def count(status):
            return sum(s.statuses.get(status, 0) for s in all_of_them)
        wait_for("somebody is told to come again later", lambda: count(429) > 0)
        wait_for("/readyz says that the log does not keep up", lambda: get(server, "/readyz")[0] == 503)
        why = get(server, "/readyz")[1].strip()
        while time.monotonic() - began < seconds:
            if get(server, "/healthz")[0] != 200 or not server.alive():
                raise Failure("the server has ended:\n" + server.said())
            time.sleep(0.2)
        if count(202):
            raise Failure("%d requests were acknowledged while nothing could be synced" % count(202))
        refused = count(429)
        server.stall(False)
        wait_for("every sender is served when the log goes on", lambda: not any(s.is_alive() for s in all_of_them))
        wait_for("/readyz says that it is over", lambda: get(server, "/readyz")[0] == 200)
        stop.set()
        for thread in all_of_them + [watcher]:
            thread.join()
        failures = [s.failure for s in all_of_them if s.failure]
        if failures:
            raise Failure("answers: %r" % failures[:5])
        hints = sum(s.hints for s in all_of_them)
        if hints < count(429):
            raise Failure("of %d refusals %d say when to come again" % (count(429), hints))
        there = {json.loads(value)["id"] for value in values(server)}
        lost = [i for s in all_of_them for i in s.acknowledged if i not in there]
        if lost or "first" not in there:
            raise Failure("%d acknowledged events are lost" % len(lost))
        if peak[0] > most:
            raise Failure("the server had %d MiB of memory, expected are at most %d of a budget of %d" % (peak[0] >> 20, most >> 20, budget_mib))
        server.stop()
        return "%.0f s without a sync: %d refusals (%d cut), peak %d MiB of a budget of %d; then %d events acknowledged, none lost; %s" % (
            seconds, refused, count("cut"), peak[0] >> 20, budget_mib, sum(len(s.acknowledged) for s in all_of_them), why)
    finally:
        stop.set()
        if server.alive():
            server.stall(False)
        server.done()
