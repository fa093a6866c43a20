#!/usr/bin/python3
# platform: own
"""HTTP/2 with Debian's clients (curl, h2load, python3-h2): what HTTP/1 does is done the same, on plain listeners by prior knowledge and over
TLS by ALPN; what is acknowledged is stored; a hostile peer costs its own connection."""
import gzip
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading

import h2.config
import h2.connection
import h2.events
import hyperframe.frame

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ingest_server import DEADLINE_S, equal, expect, run  # noqa: E402
from test_outside import Outside  # noqa: E402

CONFIG = '''
security.users = users
security.certificate = server.pem
security.key = server.key
[topic t]
partitions = 4
[topic load]
partitions = 2
[topic drained]
partitions = 1
[listener outside]
protocol = http
address = 0.0.0.0
tls = yes
authenticator = PasswordAuthenticator
'''
LINE = b'{"pad":"' + b'x' * 16000 + b'"}\n'
BODY = 130 * len(LINE)  # of one request; above the windows, 64 of them far above HTTP2_BODIES_MAX
NDJSON = ('-H', 'Content-Type: application/x-ndjson')
PLAIN = ('--http2-prior-knowledge', '-w', '\n%{http_code} %{http_version}')


class Client:
    """One connection, one thread; what comes is kept by stream."""

    def __init__(self, address):
        self.authority = '%s:%d' % address
        self.socket = socket.create_connection(address, timeout=DEADLINE_S)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding='utf-8'))
        self.h2.initiate_connection()
        self.status, self.body, self.headers, self.over = {}, {}, {}, set()
        self.reset, self.goaway, self.closed = {}, None, False
        self.flush()

    def flush(self):
        self.write(self.h2.data_to_send())

    def write(self, data):
        try:
            self.socket.sendall(data)
        except OSError:  # the server has ended the connection; what it has said before is still to be read
            self.closed = True

    def head(self, method, path, more=()):
        return [(':method', method), (':scheme', 'http'), (':authority', self.authority), (':path', path), *more]

    def request(self, method, path, body=b'', more=(), end=True):
        stream = self.h2.get_next_available_stream_id()
        kind = [('content-type', 'application/x-ndjson')] if method == 'POST' else []
        self.h2.send_headers(stream, self.head(method, path, [*kind, *more]), end_stream=end and not body)
        if body:
            for at in range(0, len(body), 16384):
                self.h2.send_data(stream, body[at:at + 16384], end_stream=end and at + 16384 >= len(body))
        self.flush()
        return stream

    def read(self):
        """Take what comes next; False at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b''
        if not data:
            self.closed = True
            return False
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()
        return True

    def take(self, event):
        stream = getattr(event, 'stream_id', None)
        if isinstance(event, h2.events.ResponseReceived):
            self.headers[stream] = dict(event.headers)
            self.status[stream] = int(self.headers[stream][':status'])
        elif isinstance(event, h2.events.DataReceived):
            self.body[stream] = self.body.get(stream, b'') + event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            self.over.add(stream)
        elif isinstance(event, h2.events.StreamReset):
            self.reset[stream] = event.error_code
            self.over.add(stream)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code

    def until(self, condition):
        while not condition() and self.read():
            pass
        expect(condition(), 'the connection has ended before')

    def answer(self, stream):
        self.until(lambda: stream in self.over)
        return self.status.get(stream), self.body.get(stream, b'').decode()

    def close(self):
        self.socket.close()


def curl(server, path, *words, body=None):
    """(status, answer), and that it was HTTP/2."""
    done = subprocess.run(['curl', '-sS', '--max-time', '120', *PLAIN, *words, 'http://%s%s' % (server.address, path)], input=body,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    expect(done.returncode == 0, 'curl: %s' % done.stderr)
    text, last = done.stdout.decode().rsplit('\n', 1)
    status, version = last.split()
    equal(version, '2', 'version')
    return int(status), text


def events(count, first=0):
    return b''.join(b'{"n":%d}\n' % n for n in range(first, first + count))


def accepted(topic, count):
    return '{"topic":"%s","accepted":%d}' % (topic, count)


def events_are_stored_plain_and_over_tls(server):
    packed = gzip.compress(events(500))
    equal(curl(server, '/ingest/t', *NDJSON, '-H', 'Content-Encoding: gzip', '--data-binary', '@-', body=packed), (202, accepted('t', 500)), 'plain')
    with open(server.file('packed'), 'wb') as f:
        f.write(gzip.compress(events(500, 500)))
    equal(server.curl('outside', '/ingest/t', '--http2', '-u', 'alice:alice', *NDJSON, '-H', 'Content-Encoding: gzip', '--data-binary',
                      '@' + server.file('packed')), (202, accepted('t', 500)), 'TLS')
    equal(sorted(json.loads(value)['n'] for value in server.values('t')), list(range(1000)), 'stored')


def other_routes_and_refusals_are_the_same(server):
    equal(curl(server, '/healthz'), (200, 'ok\n'), 'healthz')
    equal(curl(server, '/healthz', '-I')[0], 200, 'HEAD')
    equal(curl(server, '/v2/apps')[0], 200, 'apps')
    equal(curl(server, '/none')[0], 404, 'an unknown path')
    equal(curl(server, '/healthz', '-X', 'DELETE')[0], 405, 'an unknown method')
    equal(curl(server, '/ingest/t', '-d', 'x', '-H', 'Content-Type: text/plain')[0], 415, 'a form')
    equal(curl(server, '/ingest/t', '-d', '{}', '-H', 'Content-Type: application/json', '-H', 'Host: evil.example')[0], 403, 'another name')
    equal(curl(server, '/ingest/none', *NDJSON, '-d', '{}')[0], 404, 'no topic')
    with open(server.file('large'), 'wb') as f:
        f.write(b'{"a":1}\n' * (3 << 20))
    equal(curl(server, '/ingest/t', *NDJSON, '--data-binary', '@' + server.file('large'))[0], 413, 'above the bound')
    for words in ((), ('-u', 'alice:wrong')):
        equal(server.curl('outside', '/ingest/t', '--http2', *words, *NDJSON, '-d', '{}')[0], 401, 'who is not known')
    client = Client(server.host_port)
    packed = gzip.compress(b' ' * (17 << 20))
    equal(client.answer(client.request('POST', '/ingest/t', packed, [('content-encoding', 'gzip')]))[0], 413, 'a bomb')
    stream = client.request('POST', '/ingest/t', b'{}', [('content-length', '7')], end=False)
    client.h2.end_stream(stream)
    client.flush()
    client.until(lambda: stream in client.over)
    equal(client.reset.get(stream), 1, 'a body shorter than it says: PROTOCOL_ERROR')
    client.close()


def one_connection_carries_many_requests(server):
    with open(server.file('batch'), 'wb') as f:
        f.write(events(10))
    done = subprocess.run(['h2load', '-n', '3000', '-c', '2', '-m', '100', '-t', '1', '-d', server.file('batch'), '-H',
                           'content-type: application/x-ndjson', 'http://%s/ingest/load' % server.address],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=True)
    expect('status codes: 3000 2xx' in done.stdout, done.stdout)
    equal(len(server.records('load')), 30000, 'stored')


def large_bodies_beside_each_other_stay_within_bounds(server):
    """64 bodies at a time on one connection, none of which ends: the client is held back, the process does not grow with what it would like
    to send, and a small request beside them is answered."""
    before = memory(server)
    client = Client(server.host_port)
    client.until(lambda: client.h2.remote_settings.max_concurrent_streams <= 100)
    streams = [client.request('POST', '/ingest/t', end=False) for _ in range(64)]
    sent = dict.fromkeys(streams, 0)
    quiet = 0
    while quiet < 10 and sum(sent.values()) < 64 * BODY:
        moved = False
        for stream in streams:
            if sent[stream] < BODY and client.h2.local_flow_control_window(stream) >= len(LINE):
                client.h2.send_data(stream, LINE)
                sent[stream] += len(LINE)
                moved = True
        client.flush()
        quiet = 0 if moved else quiet + 1
        if select.select([client.socket], [], [], 0 if moved else 0.2)[0]:
            client.read()
    expect(sum(sent.values()) < 64 << 20, 'taken without end: %d bytes' % sum(sent.values()))
    expect(memory(server) < before + (128 << 20), 'memory grew by %d MiB' % (memory(server) - before >> 20))
    equal(client.answer(client.request('GET', '/healthz')), (200, 'ok\n'), 'beside them')
    # The oldest goes on while the others wait.
    oldest = streams[0]
    while sent[oldest] < BODY:
        client.until(lambda: client.h2.local_flow_control_window(oldest) >= len(LINE))
        client.h2.send_data(oldest, LINE)
        sent[oldest] += len(LINE)
        client.flush()
    client.h2.end_stream(oldest)
    client.flush()
    equal(client.answer(oldest), (202, accepted('t', BODY // len(LINE))), 'the oldest')
    # When they are given up there is room again.
    for stream in streams[1:]:
        client.h2.reset_stream(stream)
    equal(client.answer(client.request('POST', '/ingest/t', b'{}')), (202, accepted('t', 1)), 'after them')
    client.close()


def memory(server):
    with open('/proc/%d/status' % server.process.pid, encoding='utf-8') as f:
        return int(re.search(r'VmRSS:\s+(\d+) kB', f.read()).group(1)) << 10


def floods_end_their_connection_only(server):
    before = memory(server)
    for what in ('reset', 'ping', 'settings', 'empty data'):
        client = Client(server.host_port)
        client.until(lambda: client.h2.remote_settings.max_concurrent_streams <= 100)
        stream = client.request('POST', '/ingest/t', end=False) if what == 'empty data' else 0
        reader = threading.Thread(target=read_all, args=(client.socket.dup(), ))
        reader.start()
        for _ in range(200):
            for _ in range(100):
                if what == 'reset':
                    stream = client.h2.get_next_available_stream_id()
                    client.h2.send_headers(stream, client.head('POST', '/ingest/t', [('content-type', 'application/json')]))
                    client.h2.reset_stream(stream)
                elif what == 'ping':
                    client.h2.ping(b'12345678')
                elif what == 'settings':
                    client.h2.update_settings({})
                else:
                    client.h2.send_data(stream, b'')
            client.flush()
            if client.closed:
                break
        reader.join(DEADLINE_S)
        expect(not reader.is_alive(), '%s: the connection goes on' % what)
        client.close()
        equal(curl(server, '/healthz'), (200, 'ok\n'), 'after %s' % what)
    expect(memory(server) < before + (64 << 20), 'memory grew by %d MiB' % (memory(server) - before >> 20))


def read_all(s):
    with s:
        try:
            while s.recv(65536):
                pass
        except ConnectionError:
            pass


def frames(s):
    """What comes, as hyperframe has it: python3-h2 reads nothing behind a GOAWAY."""
    data = b''
    while True:
        while len(data) >= 9:
            frame, size = hyperframe.frame.Frame.parse_frame_header(memoryview(data[:9]))
            if len(data) < 9 + size:
                break
            frame.parse_body(memoryview(data[9:9 + size]))
            data = data[9 + size:]
            yield frame
        try:
            piece = s.recv(65536)
        except ConnectionError:
            return
        if not piece:
            return
        data += piece


def a_stop_loses_nothing_that_was_acknowledged(server):
    client = Client(server.host_port)
    sent, status, last, over = {}, {}, [], 0

    def send():
        n = len(sent)
        sent[client.request('POST', '/ingest/drained', b'{"n":%d}\n' % n)] = n

    for _ in range(50):
        send()
    stopper = threading.Thread(target=server.stop)
    for frame in frames(client.socket):
        if isinstance(frame, hyperframe.frame.HeadersFrame):
            status[frame.stream_id] = dict(client.h2.decoder.decode(frame.data))[':status']
            if len(status) == 100:
                stopper.start()
        elif isinstance(frame, hyperframe.frame.PingFrame):
            client.write(hyperframe.frame.PingFrame(0, frame.opaque_data, flags=['ACK']).serialize())
        elif isinstance(frame, hyperframe.frame.GoAwayFrame):
            last.append(frame.last_stream_id)
            equal(frame.error_code, 0, 'GOAWAY')
        over += 'END_STREAM' in frame.flags
        # Until the last word the client goes on.
        if len(last) < 2 and len(sent) - over < 50 and len(sent) < 4000:
            send()
    stopper.join(120)
    expect(not stopper.is_alive(), 'the server does not stop')
    equal((len(last), last[0]), (2, 0x7fffffff), 'a notice and a last word')
    equal({stream for stream in sent if stream <= last[1]} - set(status), set(), 'taken and not answered')
    client.close()
    server.start()
    known = {n for stream, n in sent.items() if status.get(stream) == '202'}
    stored = [json.loads(value)['n'] for value in server.values('drained')]
    expect(len(known) >= 100 and known <= set(stored), 'lost: %r' % sorted(known - set(stored)))
    equal(len(stored), len(set(stored)), 'stored once')


if __name__ == '__main__':
    run([events_are_stored_plain_and_over_tls, other_routes_and_refusals_are_the_same, one_connection_carries_many_requests,
         large_bodies_beside_each_other_stay_within_bounds, floods_end_their_connection_only, a_stop_loses_nothing_that_was_acknowledged],
        Outside(CONFIG, {}))
