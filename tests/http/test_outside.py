#!/usr/bin/python3
# platform: own
"""HTTP for clients elsewhere: TLS with ALPN, users and passwords, certificates, rules of topics; what is not ingest is not there."""
import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import warnings

from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'kafka', 'differential'))
from client import Connection  # noqa: E402
from ingest_server import SMACK, Ingest, equal, expect, read_to_end, run  # noqa: E402
from layouts import APIS  # noqa: E402

CONFIG = '''
security.users = users
security.certificate = server.pem
security.key = server.key
security.client_ca = ca.pem
security.acls = yes
security.super_users = User:ANONYMOUS
[topic open]
partitions = 1
[topic closed]
partitions = 1
[listener outside]
protocol = http
address = 0.0.0.0
tls = yes
authenticator = PasswordAuthenticator
[listener plain]
protocol = http
authenticator = PasswordAuthenticator
[listener certified]
protocol = http
address = 0.0.0.0
tls = yes
client_auth = required
'''


class Outside(Ingest):
    def openssl(self, *words):
        subprocess.run(['openssl', *words], cwd=self.dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def issue(self, name, subject):
        with open(self.file('extension'), 'w', encoding='utf-8') as f:
            f.write('subjectAltName=IP:127.0.0.1,DNS:localhost\n')
        self.openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', name + '.key', '-out', name + '.csr', '-subj', subject)
        self.openssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1', '-out',
                     name + '.pem', '-extfile', 'extension')

    def start(self):
        if not os.path.exists(self.file('ca.pem')):
            self.openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '1', '-subj', '/CN=ca')
            self.issue('server', '/CN=localhost')
            self.issue('carol', '/O=Example/CN=carol')
            for name in ('alice', 'bob'):
                self.set_password(name, name, 'add')
        super().start()

    def user(self, *words, text=''):
        return subprocess.run([SMACK, 'user', *words, '--config', self.config], input=text, stdout=subprocess.PIPE, text=True, check=True,
                              timeout=60).stdout

    def set_password(self, name, password, action='password'):
        self.user(action, name, text=password)

    def file(self, name):
        return os.path.join(self.dir, name)

    def curl(self, listener, path, *words, scheme='https'):
        """(status, answer)"""
        port = self.at[listener].rsplit(':', 1)[1]
        done = subprocess.run(['curl', '-sS', '--max-time', '60', '--cacert', self.file('ca.pem'), '-w', '\n%{http_code}', *words,
                               '%s://localhost:%s%s' % (scheme, port, path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        expect(done.returncode == 0, 'curl: %s' % done.stderr)
        text, status = done.stdout.decode().rsplit('\n', 1)
        return int(status), text


SEND = ('-H', 'Content-Type: application/json', '-d', '{"n":1}')


def rules(server):
    admin = KafkaAdminClient(bootstrap_servers=server.kafka, api_version_auto_timeout_ms=60000)
    admin.create_acls([ACL(principal, '*', ACLOperation.WRITE, ACLPermissionType.ALLOW, ResourcePattern(ResourceType.TOPIC, 'open'))
                       for principal in ('User:alice', 'User:CN=carol,O=Example')])
    admin.close()


def who_is_known_may_what_rules_say(server):
    for listener, scheme in (('outside', 'https'), ('plain', 'http')):
        for attempt in range(3):
            equal(server.curl(listener, '/ingest/open', '-u', 'alice:alice', *SEND, scheme=scheme), (202, '{"topic":"open","accepted":1}'),
                  'alice at %s' % listener)
        for topic in ('closed', 'none'):
            equal(server.curl(listener, '/ingest/' + topic, '-u', 'alice:alice', *SEND, scheme=scheme)[0], 403, 'alice to %s' % topic)
        equal(server.curl(listener, '/ingest/open', '-u', 'bob:bob', *SEND, scheme=scheme)[0], 403, 'bob, for whom there is no rule')
    equal(server.values('open'), [b'{"n":1}'] * 6, 'stored')
    equal(server.values('closed'), [], 'stored in the other')


def who_has_a_token_is_its_user(server):
    token, other = (server.user('token', name).strip() for name in ('alice', 'robot'))
    bearer = ('-H', 'Authorization: Bearer ' + token)
    equal(server.curl('outside', '/ingest/open', *bearer, *SEND), (202, '{"topic":"open","accepted":1}'), 'with a token of alice')
    equal(server.curl('outside', '/ingest/closed', *bearer, *SEND)[0], 403, 'to a topic that is closed to her')
    equal(server.curl('outside', '/ingest/open', '-H', 'Authorization: Bearer ' + other, *SEND)[0], 403, 'one for whom there is no rule')
    equal(server.curl('outside', '/ingest/open', *bearer[:1], bearer[1][:-1] + '!', *SEND)[0], 401, 'with another secret')
    lines = server.user('list').splitlines()
    ids = [line.split()[2] for line in lines if line.split()[:2] == ['alice', 'TOKEN']]
    equal(ids, [token.split('_')[1]], 'what the list shows')
    expect(token not in ''.join(lines), 'the list shows a token')
    server.user('revoke', ids[0])
    deadline = time.monotonic() + 60
    while server.curl('outside', '/ingest/open', *bearer, *SEND)[0] != 401:
        expect(time.monotonic() < deadline, 'a revoked token is taken after a minute')
        time.sleep(0.2)


def set_quota(server, user, bytes_a_second):
    """None: there is none any more."""
    host, port = server.kafka.rsplit(':', 1)
    connection = Connection((host, int(port)))
    connection.send(APIS['alter_client_quotas'], 1, {'entries': [{
        'entity': [{'entity_type': 'user', 'entity_name': user}],
        'ops': [{'key': 'producer_byte_rate', 'value': bytes_a_second or 0.0, 'remove': bytes_a_second is None}]}]})
    equal([entry['error_code'] for entry in connection.receive()['entries']], [0], 'a quota of %s' % user)
    connection.close()


def a_quota_that_is_used_up_is_told(server):
    alice = ('-u', 'alice:alice', '-H', 'Content-Type: application/x-ndjson', '--data-binary', '{"n":1}\n' * 5000)
    records = ('-u', 'alice:alice', '-H', 'Content-Type: application/vnd.kafka.json.v2+json', '-d', '{"records":[{"value":{"n":1}}]}')
    set_quota(server, 'alice', 10.0)
    equal(server.curl('outside', '/ingest/open', *alice)[0], 202, 'the first')
    status, answer = server.curl('outside', '/ingest/open', *alice, '-D', '-')
    expect(status == 429 and 'producer_byte_rate' in answer, 'the second: %d %s' % (status, answer))
    expect(int(answer.lower().split('retry-after: ')[1].split()[0]) > 1, 'when to come again: %s' % answer)
    equal(server.curl('outside', '/topics/open', *records)[0], 429, "a producer of the REST Proxy's")
    equal(server.curl('outside', '/ingest/open', '-u', 'bob:bob', *SEND)[0], 403, 'bob, who has none')
    set_quota(server, 'alice', None)
    equal(server.curl('outside', '/ingest/open', '-u', 'alice:alice', *SEND)[0], 202, 'without a quota')


def who_is_not_is_refused(server):
    for words in ((), ('-u', 'alice:wrong'), ('-u', 'alice:'), ('-u', ':alice'), ('-u', 'nobody:x'), ('-H', 'Authorization: Basic !!!!'),
                  ('-H', 'Authorization: Basic ' + base64.b64encode(b'alice').decode()), ('-H', 'Authorization: Bearer alice')):
        equal(server.curl('outside', '/ingest/open', *words, *SEND)[0], 401, 'with %r' % (words,))
        equal(server.curl('outside', '/healthz', *words)[0], 401, 'healthz with %r' % (words,))
    equal(len(server.values('open')), 6, 'stored')


def the_status_names_them(server):
    rows = [[cell.strip() for cell in line.split('|')] for line in server.smack('status').splitlines()]
    rows = {row[0]: row[1:] for row in rows if row[0] in ('outside', 'plain', 'certified')}
    equal(rows, {'outside': ['http', server.at['outside'], '-', 'TLS', 'PasswordAuthenticator'],
                 'plain': ['http', server.at['plain'], '-', 'no', 'PasswordAuthenticator'],
                 'certified': ['http', server.at['certified'], '-', 'TLS, client certificate required', 'no']}, 'the listeners')


def only_ingest_is_there(server):
    equal(server.curl('outside', '/healthz', '-u', 'alice:alice'), (200, 'ok\n'), 'healthz')
    records = ('-H', 'Content-Type: application/vnd.kafka.json.v2+json', '-d', '{"records":[{"value":{"n":1}}]}')
    equal(server.curl('outside', '/topics/open', '-u', 'alice:alice', *records)[0], 200, "a producer of the REST Proxy's")
    for topic in ('closed', 'none'):
        status, answer = server.curl('outside', '/topics/' + topic, '-u', 'alice:alice', *records)
        equal((status, '40301' in answer), (403, True), 'the same to %s' % topic)
    equal(server.curl('outside', '/topics/open', '-u', 'alice:wrong', *records)[0], 401, 'the same with a wrong password')
    equal(server.curl('outside', '/schemas', '-u', 'alice:alice')[0], 404, 'schemas')
    status, answer = server.curl('outside', '/v3/clusters', '-u', 'alice:alice')
    equal(status, 200, answer)
    here = '/v3/clusters/' + json.loads(answer)['data'][0]['cluster_id']
    equal([t['topic_name'] for t in json.loads(server.curl('outside', here + '/topics', '-u', 'alice:alice')[1])['data']], ['open'], 'topics of alice')
    for topic, status in (('open', 200), ('closed', 403), ('none', 403)):
        equal(server.curl('outside', here + '/topics/' + topic, '-u', 'alice:alice')[0], status, topic)
        equal(server.curl('outside', here + '/topics/%s/records' % topic, '-u', 'alice:alice', '-H', 'Content-Type: application/json', '-d', '{}')[0],
              status, 'a record of version 3 to ' + topic)
    equal(server.curl('outside', here + '/topics')[0], 401, 'nobody')
    for path in ('/', '/v2/apps', '/metrics', '/scheduler/jobs', '/smack/logs/app/x', '/none'):
        equal(server.curl('outside', path, '-u', 'alice:alice')[0], 404, path)
    equal(server.curl('outside', '/v2/apps', '-u', 'alice:alice', *SEND)[0], 404, 'an app')
    equal(server.curl('outside', '/ingest/open', '-u', 'alice:alice', '-H', 'Origin: https://localhost', *SEND)[0], 403, 'a page')
    equal(server.curl('outside', '/ingest/open', '-u', 'alice:alice', '-H', 'Host: other.example', *SEND)[0], 202, 'another name')


def a_certificate_says_who(server):
    carol = ('--cert', server.file('carol.pem'), '--key', server.file('carol.key'))
    equal(server.curl('certified', '/ingest/open', *carol, *SEND)[0], 202, 'carol')
    equal(server.curl('certified', '/ingest/closed', *carol, *SEND)[0], 403, 'carol to another topic')
    port = server.at['certified'].rsplit(':', 1)[1]
    done = subprocess.run(['curl', '-sS', '--max-time', '60', '--cacert', server.file('ca.pem'), 'https://localhost:%s/healthz' % port],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    expect(done.returncode != 0, 'without a certificate')


def tls_says_what_is_spoken(server):
    host, port = '127.0.0.1', int(server.at['outside'].rsplit(':', 1)[1])
    for offered, chosen in ((['h2', 'http/1.1'], 'h2'), (['h2'], 'h2'), (['http/1.1'], 'http/1.1'), (['h3'], None), ([], None)):
        context = ssl.create_default_context(cafile=server.file('ca.pem'))
        if offered:
            context.set_alpn_protocols(offered)
        with context.wrap_socket(socket.create_connection((host, port), timeout=60), server_hostname='localhost') as s:
            equal(s.selected_alpn_protocol(), chosen, 'of %r' % offered)
            if chosen == 'h2':  # then nothing else is spoken
                s.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
                expect(b'HTTP/1.1' not in read_to_end(s), 'an answer of HTTP/1')
                continue
            s.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            expect(read_to_end(s).startswith(b'HTTP/1.1 401 '), 'an answer')
    old = ssl.create_default_context(cafile=server.file('ca.pem'))
    old.set_ciphers('DEFAULT@SECLEVEL=0')  # else it is the client that refuses
    warnings.simplefilter('ignore', DeprecationWarning)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    try:
        with old.wrap_socket(socket.create_connection((host, port), timeout=60), server_hostname='localhost'):
            expect(False, 'TLS 1.1 was taken')
    except ssl.SSLError as e:
        expect('ALERT_PROTOCOL_VERSION' in (e.reason or ''), 'TLS 1.1: %s' % e)


def logins_are_pipelined_and_survive_a_client_that_goes(server):
    port = int(server.at['plain'].rsplit(':', 1)[1])
    line = b'Authorization: Basic ' + base64.b64encode(b'alice:alice') + b'\r\n'
    one = b'POST /ingest/open HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n' + line + b'\r\n{"n":2}'
    wrong = one.replace(line, b'Authorization: Basic ' + base64.b64encode(b'alice:no') + b'\r\n')
    before = len(server.values('open'))
    with socket.create_connection(('127.0.0.1', port), timeout=60) as s:
        s.sendall(one + wrong + one)
        s.shutdown(socket.SHUT_WR)
        got = read_to_end(s)
    equal([part.split()[0] for part in got.split(b'HTTP/1.1 ')[1:]], [b'202', b'401', b'202'],
          'statuses')
    for _ in range(20):
        with socket.create_connection(('127.0.0.1', port), timeout=60) as s:
            s.sendall(wrong.replace(b'alice', b'nobody'))
    equal(len(server.values('open')), before + 2, 'stored')


def a_new_password_counts_after_a_restart_at_the_latest(server):
    server.set_password('alice', 'changed')
    server.stop()
    server.start()
    equal(server.curl('outside', '/ingest/open', '-u', 'alice:alice', *SEND)[0], 401, 'the old one')
    equal(server.curl('outside', '/ingest/open', '-u', 'alice:changed', *SEND)[0], 202, 'the new one')


if __name__ == '__main__':
    run([rules, the_status_names_them, who_is_known_may_what_rules_say, who_is_not_is_refused, who_has_a_token_is_its_user,
         a_quota_that_is_used_up_is_told, only_ingest_is_there, a_certificate_says_who, tls_says_what_is_spoken, logins_are_pipelined_and_survive_a_client_that_goes, a_new_password_counts_after_a_restart_at_the_latest], Outside(CONFIG, {}))
