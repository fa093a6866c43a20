#!/usr/bin/python3
# platform: own
"""http.tls = yes: the first port speaks TLS and nothing else, HTTP/2 by ALPN, its own pages are those of https, and the commands that use its REST find
the server by its key, whatever name stands in the certificate."""
import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ingest_server import SMACK, equal, expect, read_to_end, run  # noqa: E402
from test_outside import Outside  # noqa: E402

CONFIG = '''
http.tls = yes
[security]
users = users
certificate = server.pem
key = server.key
[topic events]
partitions = 1
'''


class First(Outside):
    def ask_tls(self, path, *words):
        self.at['first-http'] = self.address
        return self.curl('first-http', path, *words)


EVENT = ('-H', 'Content-Type: application/json', '-d', '{"n":1}')


def events_come_encrypted(server):
    for version in ('--http1.1', '--http2'):
        equal(server.ask_tls('/ingest/events', version, *EVENT), (202, '{"topic":"events","accepted":1}'), version)
        equal(server.ask_tls('/healthz', version), (200, 'ok\n'), version)
    equal(server.values('events'), [b'{"n":1}'] * 2, 'stored')
    host, port = server.host_port
    with socket.create_connection((host, port), timeout=60) as s:
        s.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n' % port)
        expect(b'200 OK' not in read_to_end(s), 'it answers without TLS')


def its_own_pages_are_those_of_https(server):
    port = server.host_port[1]
    for origin, status in (('https://localhost:%d' % port, 202), ('http://localhost:%d' % port, 403), ('https://localhost', 403), ('https://evil.example', 403)):
        equal(server.ask_tls('/ingest/events', '-H', 'Origin: ' + origin, *EVENT)[0], status, origin)
    equal(server.ask_tls('/healthz', '-H', 'Host: evil.example:%d' % port)[0], 403, 'a rebound name')


def commands_find_it(server):
    document = os.path.join(server.dir, 'app.json')
    with open(document, 'w', encoding='utf-8') as f:
        json.dump({'id': '/sleeper', 'cmd': 'sleep 1000', 'cpus': 0.1, 'mem': 32, 'instances': 1}, f)
    server.smack('app', 'apply', document)
    expect('/sleeper' in server.smack('app', 'list'), 'the app is there')
    server.smack('app', 'kill', '/sleeper')
    expect('https://' + server.address in server.smack('status'), 'the status names https')


def what_is_wrong_is_told(server):
    for sets, words in ((('http.tls=yes',), 'security.certificate'), (('http.tls=on',), 'yes or no'),
                        (('http.tls=yes', 'security.certificate=/none.pem', 'security.key=/none.key'), '/none.')):
        done = subprocess.run([SMACK, 'up', '--data', os.path.join(server.dir, 'other'), '--http', '0', '--kafka', '0', '--cql', '0',
                               *(word for one in sets for word in ('--set', one))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120, check=False)
        expect(done.returncode != 0 and words in done.stdout, '%r: %d %s' % (sets, done.returncode, done.stdout))


if __name__ == '__main__':
    run([events_come_encrypted, its_own_pages_are_those_of_https, commands_find_it, what_is_wrong_is_told], First(CONFIG, {}))
