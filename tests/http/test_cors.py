#!/usr/bin/python3
# platform: own
"""Pages of other origins that send events: what a browser asks and does, over HTTP/1.1 and HTTP/2, on http.port and on a listener for clients
elsewhere; off without http.cors.origins; what is configured wrongly is told at the start."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ingest_server import SMACK, Ingest, equal, expect, run  # noqa: E402

APP, OTHER = 'https://app.example', 'https://evil.example'
CONFIG = '''
http.cors.origins = https://app.example http://localhost:3000
http.cors.max_age = 5m
[security]
users = users
[topic events]
partitions = 1
[listener outside]
protocol = http
authenticator = PasswordAuthenticator
'''


class Browser:
    """What a browser does for fetch() of a page: it asks first unless a form could send the same, and keeps the answer from a page that it is not
    meant for."""

    def __init__(self, origin, version):
        self.origin, self.version = origin, version

    def send(self, method, url, headers, body=None):
        """(status, headers, body) as the wire has them"""
        words = [word for name, value in headers.items() for word in ('-H', '%s: %s' % (name, value))]
        done = subprocess.run(['curl', '-sS', '--max-time', '60', self.version, '-X', method, '-D', '-', *words,
                               *(['--data-binary', body] if body is not None else []), url], stdout=subprocess.PIPE, check=True)
        head, _, rest = done.stdout.partition(b'\r\n\r\n')
        lines = head.decode().split('\r\n')
        return int(lines[0].split()[1]), {k.lower(): v for k, v in (line.split(': ', 1) for line in lines[1:])}, rest.decode()

    def may_read(self, answer):
        return answer.get('access-control-allow-origin') in ('*', self.origin)

    def fetch(self, method, url, headers, body):
        """(status, text), or why the page sees a network error."""
        names = sorted(name.lower() for name in headers)
        status, answer, _ = self.send('OPTIONS', url, {'Origin': self.origin, 'Access-Control-Request-Method': method,
                                                       'Access-Control-Request-Headers': ','.join(names)})
        if not 200 <= status < 300 or not self.may_read(answer):
            return 'preflight: %d' % status
        if method not in re.split(', *', answer.get('access-control-allow-methods', '')):
            return 'method'
        allowed = re.split(', *', answer.get('access-control-allow-headers', '').lower())
        if not set(names) <= set(allowed):
            return 'headers'
        status, answer, text = self.send(method, url, {'Origin': self.origin, **headers}, body)
        return (status, text) if self.may_read(answer) else 'answer: %d' % status


class Cors(Ingest):
    def start(self):
        if not os.path.exists(os.path.join(self.dir, 'users')):
            subprocess.run([SMACK, 'user', 'add', 'ann', '--config', self.config], input='pw', stdout=subprocess.DEVNULL, text=True, check=True,
                           timeout=60)
        super().start()


JSON = {'Content-Type': 'application/json'}
ANN = {'Authorization': 'Basic YW5uOnB3', **JSON}
VERSIONS = ('--http1.1', '--http2-prior-knowledge')


def pages_that_are_named_send_events(server):
    sent = 0
    for version in VERSIONS:
        for origin in (APP, 'http://localhost:3000'):
            page = Browser(origin, version)
            for base, headers in (('http://' + server.address, JSON), ('http://' + server.at['outside'], ANN)):
                equal(page.fetch('POST', base + '/ingest/events', headers, '{"n":1}'), (202, '{"topic":"events","accepted":1}'), 'an event')
                equal(page.fetch('POST', base + '/ingest/events', {**headers, 'Idempotency-Key': version + origin + base}, '{"n":1}')[0], 202, 'once')
                equal(page.fetch('POST', base + '/ingest/none', headers, '{}')[0], 404, 'its error is read')
                equal(page.fetch('POST', base + '/ingest/events', {**headers, 'Content-Type': 'text/plain'}, '{}')[0], 415, 'another type')
                records = {**headers, 'Content-Type': 'application/vnd.kafka.json.v2+json'}
                equal(page.fetch('POST', base + '/topics/events', records, '{"records":[{"value":1}]}')[0], 200, "the REST Proxy's records")
                equal(page.fetch('POST', base + '/ingest/events', {**headers, 'X-Other': '1'}, '{}'), 'headers', 'a header that is not named')
                sent += 3
    equal(len(server.values('events')), sent, 'stored')


def others_do_not(server):
    before = len(server.values('events'))
    for version in VERSIONS:
        for origin in (OTHER, 'null', 'http://app.example', 'http://localhost:3001'):
            page = Browser(origin, version)
            for base, headers in (('http://' + server.address, JSON), ('http://' + server.at['outside'], ANN)):
                equal(page.fetch('POST', base + '/ingest/events', headers, '{}'), 'preflight: 403', origin)
                equal(page.send('POST', base + '/ingest/events', {'Origin': origin, **headers}, '{}')[0], 403, 'without asking')
    equal(len(server.values('events')), before, 'stored')


def a_preflight_brings_no_credentials(server):
    for version in VERSIONS:
        page = Browser(APP, version)
        ask = {'Origin': APP, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,content-type'}
        status, answer, text = page.send('OPTIONS', 'http://%s/ingest/events' % server.at['outside'], ask)
        equal((status, text, answer['vary'], answer['access-control-max-age'], answer['access-control-allow-methods']), (204, '', 'Origin', '300', 'POST'),
              answer)
        expect('access-control-allow-credentials' not in answer and 'www-authenticate' not in answer, answer)
        # who is not known is told so, and the page may read it
        equal(page.fetch('POST', 'http://%s/ingest/events' % server.at['outside'], JSON, '{}')[0], 401, 'without credentials')


def only_events_are_sent_that_way(server):
    for version in VERSIONS:
        page = Browser(APP, version)
        for path, method in (('/v2/apps', 'POST'), ('/schemas/events', 'PUT'), ('/schemas/events', 'POST'), ('/metrics', 'GET'), ('/v3/clusters', 'GET'),
                             ('/none', 'POST'), ('/ingest/events', 'DELETE')):
            for base in (server.address, server.at['outside']):
                got = page.fetch(method, 'http://%s%s' % (base, path), JSON, '{}')
                expect(isinstance(got, str) and re.match('preflight: (401|404|405)$', got), '%s %s: %r' % (method, path, got))


def it_can_be_off_or_for_all(server):
    for origins, want in (('', 'preflight: 405'), ('*', (202, '{"topic":"events","accepted":1}'))):
        server.stop()
        with open(server.config, 'w', encoding='utf-8') as f:
            f.write(CONFIG.replace('https://app.example http://localhost:3000', origins))
        server.start()
        for version in VERSIONS:
            equal(Browser(OTHER, version).fetch('POST', 'http://%s/ingest/events' % server.address, JSON, '{}'), want, 'with "%s"' % origins)


def what_is_wrong_is_told_at_the_start(server):
    for setting, words in (('origins=app.example', 'SCHEME://HOST'), ('origins=https://app.example/', 'has a path'), ('origins=null', 'null'),
                           ('origins=* https://app.example', 'stands alone'), ('origins=https://app.example:443', 'own port'),
                           ('headers=Content Type', 'no header'), ('headers=*', 'no header'), ('max_age=25h', '24h'), ('credentials=maybe', 'yes or no'),
                           ('credentials=yes', 'any page could')):
        sets = ['http.cors.origins=*'] + ['http.cors.' + setting]
        done = subprocess.run([SMACK, 'up', '--data', os.path.join(server.dir, 'other'), '--http', '0', '--kafka', '0', '--cql', '0',
                               *(word for one in sets for word in ('--set', one))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120, check=False)
        expect(done.returncode != 0 and 'http.cors.' in done.stdout and words in done.stdout, '%s: %d %s' % (setting, done.returncode, done.stdout))


if __name__ == '__main__':
    run([pages_that_are_named_send_events, others_do_not, a_preflight_brings_no_credentials, only_events_are_sent_that_way, it_can_be_off_or_for_all,
         what_is_wrong_is_told_at_the_start], Cors(CONFIG, {}))
