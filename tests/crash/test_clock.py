"""platform: own -- the wall clock jumps, forwards and back, while events come in: nothing hangs, nothing that has time left ends, offsets go on one by
one, and what is late by the monotonic clock is late. See README.md."""
import calendar
import http.client
import os
import socket
import struct
import threading
import time

import confluent_kafka
import edge
import harness

HOUR = 3600


class Shifted(harness.Server):
    """A server whose wall clock the test moves."""

    def __init__(self):
        super().__init__(bare=True, arguments=edge.TOPIC)
        self.file = os.path.join(self.work, "shift")
        self.shift(0)
        self.env.update(LD_PRELOAD=harness.binary("libclockshift.so"), CLOCKSHIFT_FILE=self.file)

    def shift(self, seconds):
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb") as file:
            file.write(struct.pack("<q", seconds * 1000000000))

    def date(self):
        connection = http.client.HTTPConnection(self.http, timeout=edge.DEADLINE_S)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        return calendar.timegm(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT"))


class Steady(threading.Thread):
    """One event after the other on one connection; each must be acknowledged."""

    def __init__(self, server):
        super().__init__()
        self.server, self.stop, self.sent, self.failure = server, threading.Event(), 0, None

    def run(self):
        connection = http.client.HTTPConnection(self.server.http, timeout=edge.DEADLINE_S)
        connection.connect()
        while not self.stop.is_set():
            mine = connection.sock
            try:
                status, _ = edge.post(connection, b'{"n":%d}\n' % self.sent)
            except (OSError, http.client.HTTPException) as error:
                self.failure = repr(error)
                return
            if status != 202 or connection.sock is not mine:
                self.failure = "an event is answered with %s%s" % (status, "" if connection.sock is mine else ", and the connection ends")
                return
            self.sent += 1
            time.sleep(0.005)


def slow_head(server):
    s = socket.create_connection(edge.address(server), timeout=edge.DEADLINE_S)
    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost:%d\r\n" % edge.address(server)[1])
    return s


def the_wall_clock_jumps():
    server = Shifted()
    jumps = [HOUR, -HOUR, 24 * HOUR, 0, -24 * HOUR, 400 * 24 * HOUR, 0]
    assigned, late = [], []
    try:
        server.start()
        start = server.date()
        steady = Steady(server)
        steady.start()
        member = confluent_kafka.Consumer({"bootstrap.servers": "127.0.0.1:%d" % server.kafka_port, "group.id": "g", "auto.offset.reset": "earliest"})
        member.subscribe(["events"], on_assign=lambda _, p: assigned.append(len(p)), on_revoke=lambda _, p: assigned.append(-len(p)))
        read = 0
        for jump in jumps:
            late.append((slow_head(server), time.monotonic()))
            idle, finished = socket.create_connection(edge.address(server), timeout=edge.DEADLINE_S), slow_head(server)
            began = time.monotonic()
            sent = steady.sent
            server.shift(jump)
            edge.wait_for("the server's clock has jumped by %d s" % jump, lambda: abs(server.date() - start - jump) < 1800)
            edge.wait_for("events are acknowledged", lambda: steady.sent > sent + 20 or steady.failure)
            # who has time left has it still
            for s, rest in ((idle, b"GET /healthz HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % edge.address(server)[1]), (finished, b"\r\n")):
                s.sendall(rest)
                answer = s.recv(4096)
                if not answer.startswith(b"HTTP/1.1 200") and time.monotonic() - began < 9:
                    raise harness.Failure("after a jump by %d s a connection that has time left gets %r" % (jump, answer[:100]))
                s.close()
            behind = steady.sent
            end = time.monotonic() + edge.DEADLINE_S
            while read < behind and time.monotonic() < end:
                message = member.poll(1)
                read += message is not None and message.error() is None
            if read < behind:
                raise harness.Failure("after a jump by %d s a consumer reads %d of %d events" % (jump, read, behind))
        # and who has none is told so, whichever way the clock went meanwhile
        for s, began in late:
            if not s.recv(4096).startswith(b"HTTP/1.1 408"):
                raise harness.Failure("a head that does not end is not given up")
            if time.monotonic() - began < 9:
                raise harness.Failure("a head was given up after %.1f s" % (time.monotonic() - began))
            s.close()
        steady.stop.set()
        steady.join()
        if steady.failure:
            raise harness.Failure(steady.failure)
        if assigned != [4]:
            raise harness.Failure("the consumer's group was joined anew: %r" % assigned)
        member.close()
        found = list(edge.values(server))
        if len(found) != steady.sent:
            raise harness.Failure("%d events are there, %d were acknowledged" % (len(found), steady.sent))
        if edge.get(server, "/readyz")[0] != 200:
            raise harness.Failure("not ready: %s" % edge.get(server, "/readyz")[1])
        server.shift(-48 * HOUR)
        server.stop()
        server.start()  # with a clock that is behind all that it has stored
        if len(list(edge.values(server))) != steady.sent:
            raise harness.Failure("after a start with a clock that is behind events are missing")
        server.stop()
        return "%d jumps, %d events" % (len(jumps), steady.sent)
    finally:
        server.done()


harness.main(the_wall_clock_jumps)
