"""Bytes that are nearly HTTP/1.1 to smack and to other servers, on a connection of its own each time. Two readers of one connection that
disagree on where a request ends are how requests are smuggled past a proxy; so what smack takes must be what the others
understand. It may be
stricter than they are, and as lax as the laxest of them: that is counted, and no difference.

differential.py [--seed N] [--count N] -- PEER...: each peer is a command that prints its port, serves until its standard input ends, and
answers a request with the header "Seen: METHOD TARGET BODY" of what it understood, the body in hexadecimal. smack is the one at SMACK_URL."""
import argparse
import json
import os
import random
import re
import shlex
import socket
import subprocess
import sys

TOPIC = 'http-differential'
READ, EARLY = {200, 202, 422}, {403, 404, 405, 415, 417}
ODD = [b'\r', b'\n', b'\r\n', b'\t', b' ', b'\0', b'\x0b', b'\x7f', b'\xa0', b':', b',', b';', b'"', b'+', b'-', b'_', b'0', b'1', b'9', b'a', b'F', b'x', b'/',
       b'\r\n ', b'\r\n\r\n', b'=', b'chunked']
HEADERS = [
    b'Content-Length: %d', b'content-length:%d', b'Content-Length: 0%d', b'Content-Length: %d ', b'Content-Length: +%d', b'Content-Length: %d, %d',
    b'Content-Length : %d', b'Content-Length:\t%d', b'Content_Length: %d', b'Content-Length: %d;', b'Content-Length: 0x%d', b'Content-Length: ',
    b'Transfer-Encoding: chunked', b'transfer-encoding:chunked', b'Transfer-Encoding: Chunked', b'Transfer-Encoding: chunked, chunked',
    b'Transfer-Encoding: gzip, chunked', b'Transfer-Encoding: identity', b'Transfer-Encoding: ,chunked', b'Transfer-Encoding: chunked,',
    b'Transfer-Encoding: "chunked"', b'Transfer-Encoding: chunked;q=1', b'Transfer-Encoding:\x0bchunked', b'Transfer-Encoding : chunked', b'Transfer-Encoding: x',
    b'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', b'X: y\r\n Transfer-Encoding: chunked', b' Transfer-Encoding: chunked', b'Transfer-Encoding:',
    b'Host: other', b'Host:', b'host: localhost', b'Connection: close', b'Connection: keep-alive', b'Connection: Transfer-Encoding', b'Connection: Content-Length',
    b'Expect: 100-continue', b'Expect: x', b'Upgrade: h2c', b'Trailer: X', b'TE: trailers', b'X: \x80\xff', b'X:\ty', b': x', b'X', b'X y: z', b'X: a\tb', b'@: x',
]
LINES = [
    b'GET /healthz HTTP/1.1', b'HEAD /healthz HTTP/1.1', b'GET /healthz HTTP/1.0', b'GET /healthz?x=y HTTP/1.1', b'GET http://localhost/healthz HTTP/1.1',
    b'GET  /healthz HTTP/1.1', b'GET /healthz  HTTP/1.1', b'GET /healthz HTTP/1.1 ', b' GET /healthz HTTP/1.1', b'get /healthz HTTP/1.1', b'GET /healthz HTTP/1.2',
    b'GET /healthz HTTP/2.0', b'GET /healthz HTTP/01.1', b'GET /healthz', b'CONNECT localhost:80 HTTP/1.1', b'GET healthz HTTP/1.1',
    b'GET /heal%74hz HTTP/1.1', b'GET /a b HTTP/1.1', b'DELETE /healthz HTTP/1.1', b'PUT /ingest/TOPIC HTTP/1.1', b'POST /nowhere HTTP/1.1',
]


# ---- bytes ----


def chunked(chance, body):
    out, at = b'', 0
    while at < len(body):
        n = chance.randint(1, len(body) - at)
        size = chance.choice((b'%x', b'%X', b'0%x', b'%x', b'%x')) % n
        out += size + chance.choice((b'',) * 8 + (b';a', b';a=b', b';a="b"', b' ', b';', b'\t;x')) + b'\r\n' + body[at:at + n] + b'\r\n'
        at += n
    trailer = chance.choice((b'',) * 6 + (b'X: y\r\n', b'Content-Length: 5\r\n', b'Transfer-Encoding: chunked\r\n', b'X\r\n'))
    return out + chance.choice((b'0', b'00', b'0;x', b'0')) + b'\r\n' + trailer + b'\r\n'


def a_request(chance):
    body = b'{"n":1}\n' * chance.randrange(4)
    if chance.random() < 0.35:
        line, body, head = chance.choice(LINES).replace(b'TOPIC', TOPIC.encode()), b'', []
    else:
        line, head = b'POST /ingest/%s HTTP/1.1' % TOPIC.encode(), [b'Content-Type: application/x-ndjson']
        if chance.random() < 0.5:
            head.append(b'Content-Length: %d' % len(body))
        else:
            head.append(b'Transfer-Encoding: chunked')
            body = chunked(chance, body)
    head.insert(chance.randrange(len(head) + 1), b'Host: localhost:PORT')
    while chance.random() < 0.3:
        extra = chance.choice(HEADERS)
        n = max(0, len(body) + chance.choice((0, 0, 0, 1, -1, 5)))
        head.insert(chance.randrange(len(head) + 1), extra % ((n,) * extra.count(b'%d')))
    if chance.random() < 0.1:
        head.pop(chance.randrange(len(head)))
    return b'\r\n'.join([line] + head) + b'\r\n\r\n' + body


def some_bytes(chance):
    data = b''.join(a_request(chance) for _ in range(chance.choice((1, 1, 2, 3))))
    while chance.random() < 0.4:
        at = chance.randrange(len(data) + 1)
        cut = chance.choice((0, 0, 1, 1, 2))
        data = data[:at] + chance.choice(ODD + [b'']) + data[at + cut:]
    return data


# ---- answers ----


def exchange(port, data):
    """What comes back until the server ends the connection, which it does as we have no more to say."""
    out = b''
    with socket.create_connection(('127.0.0.1', port), timeout=20) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                out += piece
        except ConnectionError:
            pass
        except socket.timeout:
            return None
    return out


def answers(data):
    """[(status, headers in lower case, body)], without interim ones."""
    found = []
    for piece in re.split(rb'(?=HTTP/1\.1 [1-5][0-9][0-9] )', data)[1:]:
        head, _, body = piece.partition(b'\r\n\r\n')
        lines = head.decode('latin-1').split('\r\n')
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(':') for line in lines[1:])}
        if lines[0][9:12] != '100':
            found.append((int(lines[0][9:12]), headers, body))
    return found


def understood(data):
    """Of a peer: [(method, target, body)] of each request that it took."""
    out = []
    for seen in re.findall(rb'\r\nSeen: ([^\r\n]*)', data):
        if seen == b'unfinished':
            break
        method, target, body = (seen.decode('latin-1') + ' ').split(' ')[:3]
        out.append((method, target, bytes.fromhex(body)))
    return out


def taken(found):
    """Of smack: the answers to requests, without the one that says that it is none; nor those of the last requests that say only that there is
    no need to look at the body."""
    n = 0
    while n < len(found) and (found[n][0] in READ or found[n][0] in EARLY or found[n][0] == 400 and found[n][1].get('connection') != 'close'):
        n += 1
    while n and found[n - 1][0] in EARLY:
        n -= 1
    return found[:n]


def difference(answer, seen):
    """Of one request: what smack did and what the peer understood; None if they go together."""
    status, _, text = answer
    method, target, body = seen
    if status == 202:
        events = sum(1 for line in body.split(b'\n') if line.strip(b' \t\r'))
        if method != 'POST' or not target.split('?')[0].endswith('/ingest/' + TOPIC) or json.loads(text)['accepted'] != events:
            return 'smack took events, %s' % text.decode()
    if status == 200 and text == b'ok\n' and method != 'GET':
        return 'smack took a GET'
    return None


class Peer:
    def __init__(self, command):
        self.name = os.path.basename(shlex.split(command)[0])
        self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.stricter, self.laxer = 0, 0

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument('--count', type=int, default=4000)
    parser.add_argument('peers', nargs='+')
    options = parser.parse_args()
    port = int(os.environ['SMACK_URL'].rsplit(':', 1)[1].rstrip('/'))
    subprocess.run([os.environ['SMACK'], 'topic', 'create', TOPIC, '--partitions', '1', '-d', os.environ['SMACK_DATA']], check=True, stdout=subprocess.DEVNULL)
    peers, chance, differences, requests = [Peer(command) for command in options.peers], random.Random(options.seed), 0, 0
    try:
        for number in range(options.count):
            data = some_bytes(chance).replace(b'PORT', b'%d' % port)
            answer = exchange(port, data)
            if answer is None:
                differences += 1
                print('%d: smack neither answers nor ends: %r' % (number, data))
                continue
            ours = taken(answers(answer))
            requests += len(ours)
            theirs = [understood(exchange(peer.port, data) or b'') for peer in peers]
            why = 'smack takes %d' % len(ours) if len(ours) > max(map(len, theirs)) else None
            for peer, seen in zip(peers, theirs):
                peer.stricter += len(seen) < len(ours)
                peer.laxer += len(seen) > len(ours)
                for mine, other in zip(ours, seen):
                    why = why or difference(mine, other)
            if why:
                differences += 1
                print('%d: %s of %s; %s: %r' % (number, why, [a[0] for a in answers(answer)], ', '.join('%s %s' % (peer.name, seen) for peer, seen in zip(peers, theirs)), data))
    finally:
        for peer in peers:
            peer.stop()
    print('seed %d: %d connections, %d requests taken, %d differences; %s' % (options.seed, options.count, requests, differences, ', '.join(
        '%s takes more than smack %d times, less %d times' % (p.name, p.laxer, p.stricter) for p in peers)))
    sys.exit(differences != 0)


if __name__ == '__main__':
    main()
