#!/usr/bin/python3
# platform: own
"""RFC 9112 to the letter, over a socket: each request that two readers could take differently has its status, and the connection ends
after it, whatever is sent behind it."""
import os
import re
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ingest_server import Ingest, equal, exchange, expect, read_to_end, run  # noqa: E402

CONFIG = '''
[topic t]
partitions = 1
'''
POST = b'POST /ingest/t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n'
GET = b'GET /healthz HTTP/1.1\r\nHost: localhost:%d\r\n'
SMUGGLED = b'GET /smuggled HTTP/1.1\r\nHost: localhost:%d\r\n\r\n'

# (section of RFC 9112, what, bytes, status). %d: the port.
REFUSED = [
    ('2.2', 'bare LF after the request line', b'GET /healthz HTTP/1.1\nHost: localhost:%d\r\n\r\n', 400),
    ('2.2', 'bare LF after a header', b'GET /healthz HTTP/1.1\r\nHost: localhost:%d\n\r\n', 400),
    ('2.2', 'bare CR in a header', GET + b'A: b\rc\r\n\r\n', 400),
    ('2.2', 'blank before the first header', b'GET /healthz HTTP/1.1\r\n A: b\r\nHost: localhost:%d\r\n\r\n', 400),
    ('2.3', 'a version that is none', b'GET /healthz HTTP/x\r\nHost: localhost:%d\r\n\r\n', 400),
    ('2.3', 'HTTP/2 in words', b'GET /healthz HTTP/2.0\r\nHost: localhost:%d\r\n\r\n', 505),
    ('2.3', 'lower case', b'GET /healthz http/1.1\r\nHost: localhost:%d\r\n\r\n', 400),
    ('3', 'two blanks', b'GET  /healthz HTTP/1.1\r\nHost: localhost:%d\r\n\r\n', 400),
    ('3', 'a tab', b'GET\t/healthz HTTP/1.1\r\nHost: localhost:%d\r\n\r\n', 400),
    ('3', 'no version', b'GET /healthz\r\nHost: localhost:%d\r\n\r\n', 400),
    ('3.1', 'an unknown method', b'BREW /healthz HTTP/1.1\r\nHost: localhost:%d\r\n\r\n', 501),
    ('3.2', 'a fragment', b'GET /healthz#x HTTP/1.1\r\nHost: localhost:%d\r\n\r\n', 400),
    ('3.2', 'no Host', b'GET /healthz HTTP/1.1\r\n\r\n', 400),
    ('3.2', 'Host twice', GET + b'Host: localhost:%d\r\n\r\n', 400),
    ('3.2', 'a Host that is none', b'GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n', 400),
    ('3', 'an endless target', b'GET /' + b'a' * 9000 + b' HTTP/1.1\r\nHost: localhost:%d\r\n\r\n', 414),
    ('5', 'endless headers', GET + b'A: ' + b'a' * 40000 + b'\r\n\r\n', 431),
    ('5', 'too many headers', GET + b'A: b\r\n' * 200 + b'\r\n', 431),
    ('5.1', 'blank before the colon', GET + b'A : b\r\n\r\n', 400),
    ('5.1', 'no colon', GET + b'A\r\n\r\n', 400),
    ('5.1', 'no name', GET + b': b\r\n\r\n', 400),
    ('5.2', 'a folded header', GET + b'A: b\r\n c\r\n\r\n', 400),
    ('5.5', 'a zero byte', GET + b'A: b\0c\r\n\r\n', 400),
    ('6.1', 'chunked and a length', POST + b'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400),
    ('6.1', 'a length and chunked', POST + b'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n', 400),
    ('6.1', 'chunked twice', POST + b'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400),
    ('6.1', 'chunked not last', POST + b'Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n', 400),
    ('6.1', 'chunked in a list', POST + b'Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n', 400),
    ('6.1', 'another coding', POST + b'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 501),
    ('6.1', 'chunked in HTTP/1.0', POST.replace(b'1.1', b'1.0') + b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400),
    ('6.2', 'two equal lengths', POST + b'Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}', 400),
    ('6.2', 'two different lengths', POST + b'Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ', 400),
    ('6.2', 'a list of lengths', POST + b'Content-Length: 2, 2\r\n\r\n{}', 400),
    ('6.2', 'a signed length', POST + b'Content-Length: +2\r\n\r\n{}', 400),
    ('6.2', 'a negative length', POST + b'Content-Length: -2\r\n\r\n{}', 400),
    ('6.2', 'a length in hexadecimal', POST + b'Content-Length: 0x2\r\n\r\n{}', 400),
    ('6.2', 'a length beyond all numbers', POST + b'Content-Length: 99999999999999999999999\r\n\r\n{}', 400),
    ('6.2', 'a body above the bound', POST + b'Content-Length: 99999999999\r\n\r\n{}', 413),
    ('7.1', 'a chunk without a size', POST + b'Transfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n', 400),
    ('7.1', 'a size that is none', POST + b'Transfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n', 400),
    ('7.1', 'a size with 0x', POST + b'Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n', 400),
    ('7.1', 'a blank before an extension', POST + b'Transfer-Encoding: chunked\r\n\r\n2\t;x\r\n{}\r\n0\r\n\r\n', 400),
    ('7.1', 'a blank behind a size', POST + b'Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n', 400),
    ('7.1', 'bare LF behind a size', POST + b'Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n', 400),
    ('7.1', 'a chunk that is longer', POST + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n', 400),
    ('7.1', 'an endless size', POST + b'Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n', 400),
    ('7.1.1', 'an endless extension', POST + b'Transfer-Encoding: chunked\r\n\r\n2;' + b'a' * 1000 + b'\r\n{}\r\n0\r\n\r\n', 400),
    ('7.1.2', 'a request as trailer', POST + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n' + SMUGGLED, 400),
    ('7.1.2', 'endless trailers', POST + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n' + b'A: b\r\n' * 4000 + b'\r\n', 400),
    ('9110 10.1.1', 'an expectation', POST + b'Expect: wonders\r\nContent-Length: 2\r\n\r\n{}', 417),
]
TAKEN = [
    ('an empty line first', b'\r\n' + GET + b'\r\n'),
    ('zeros before a length', POST + b'Content-Length: 0002\r\n\r\n{}'),
    ('a chunk with an extension', POST + b'Transfer-Encoding: chunked\r\n\r\n2; a="b"\r\n{}\r\n0\r\n\r\n'),
    ('a trailer', POST + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\n\r\n'),
    ('the absolute form', b'GET http://localhost:%d/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    ('HTTP/1.0', GET.replace(b'1.1', b'1.0') + b'Connection: keep-alive\r\n\r\n'),
]


def with_port(data, port):
    return data.replace(b'%d', b'%d' % port)


def refused_with_status_and_the_end(server):
    address = server.host_port
    for section, what, data, status in REFUSED:
        data = with_port(data + SMUGGLED, address[1])
        for pieces in ([data], [data[:20], data[20:]], [data[i:i + 1] for i in range(len(data))] if len(data) < 400 else [data]):
            got = exchange(address, data, pieces)
            expect(got.startswith(b'HTTP/1.1 %d ' % status), 'RFC 9112 %s, %s: %r in place of %d' % (section, what, got[:60], status))
            equal(len(re.findall(rb'HTTP/1\.1 \d{3} ', got)), 1, 'RFC 9112 %s, %s: answers to it and what was behind it' % (section, what))
            expect(b'Connection: close\r\n' in got, 'RFC 9112 %s, %s: says that it is the last' % (section, what))


def taken_and_the_connection_goes_on(server):
    address = server.host_port
    for what, data in TAKEN:
        got = exchange(address, with_port(data + GET + b'Connection: close\r\n\r\n', address[1]))
        equal(len(re.findall(rb'HTTP/1\.1 2\d\d ', got)), 2, '%s: answers (%r)' % (what, got))


def pipelined_requests_are_answered_in_order_and_together(server):
    address = server.host_port
    count = 64
    body = b'{"n":1}'
    one = with_port(POST, address[1]) + b'Content-Length: %d\r\n\r\n' % len(body) + body
    other = with_port(GET, address[1]) + b'\r\n'
    with socket.create_connection(address, timeout=60) as s:
        s.sendall((one + other) * (count // 2))
        s.shutdown(socket.SHUT_WR)
        got = read_to_end(s)
    statuses = re.findall(rb'HTTP/1\.1 (\d{3}) ', got)
    equal(statuses, [b'202', b'200'] * (count // 2), 'statuses')


def nothing_was_smuggled(server):
    """What the tests above stored is what was taken, no more."""
    values = server.values('t')
    equal(sorted(set(values)), [b'{"n":1}', b'{}'], 'values')
    equal(values.count(b'{}'), 3, 'bodies that were taken')


if __name__ == '__main__':
    run([refused_with_status_and_the_end, taken_and_the_connection_goes_on, pipelined_requests_are_answered_in_order_and_together,
         nothing_was_smuggled], Ingest(CONFIG, {}))
