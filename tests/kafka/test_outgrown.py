#!/usr/bin/python3
# platform: own
"""log = kafka://: another smack, over TLS and with a login, is the real Kafka of this one. Events over HTTP, `smack topic`, backup, the demo, a
wrong password, a broker that goes away and comes back."""
import http.client
import json
import os
import re
import subprocess
import sys
import time

import confluent_kafka

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
sys.path[:0] = [TESTS, os.path.join(TESTS, 'cluster')]
from common import SMACK, Server, expect, run, wait_for  # noqa: E402
from ports import free_ports  # noqa: E402

BROKER = '''
security.users = users
security.certificate = server.pem
security.key = server.key
[listener login]
port = %d
tls = yes
sasl = SCRAM-SHA-512
'''
OURS = '''
log = kafka://localhost:%d?delivery.timeout.ms=2000
[log]
security.protocol = sasl_ssl
sasl.mechanism = SCRAM-SHA-512
sasl.username = bob
sasl.password.file = password
ssl.ca.location = server.pem
[topic events]
partitions = 3
schema = schema.json
key = id
'''
SCHEMA = '{"type": "object", "required": ["id", "ts"], "properties": {"id": {"type": "string"}, "ts": {"type": "integer"}}}'


class Broker(Server):
    def start(self):
        if not os.path.exists(self.file('server.pem')):
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'server.key', '-out', 'server.pem', '-days',
                            '1', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
                           cwd=self.dir, check=True, stderr=subprocess.DEVNULL, timeout=60)
            subprocess.run([SMACK, 'user', 'add', 'bob', '--config', self.config], input='builder', text=True, check=True)
        super().start()

    def file(self, name):
        return os.path.join(self.dir, name)


class Outgrown(Server):
    def __init__(self, broker):
        self.broker = broker
        super().__init__(OURS % broker.port)

    def start(self):
        self.write('schema.json', SCHEMA)
        self.write('password', 'builder\n', 0o600)
        with open(self.broker.file('server.pem'), encoding='utf-8') as f:
            self.write('server.pem', f.read())
        super().start()

    def write(self, name, text, mode=0o644):
        with open(os.path.join(self.dir, name), 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(os.path.join(self.dir, name), mode)

    def send(self, first, count):
        """Status of one request with so many events."""
        lines = ''.join('{"id": "e%d", "ts": %d}\n' % (i, 1767225600000 + i) for i in range(first, first + count))
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request('POST', '/ingest/events', lines, {'Content-Type': 'application/x-ndjson'})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    def done(self):
        super().done()
        self.broker.done()


def events(server):
    """How often each event is in the broker's topic, as any client finds it."""
    consumer = confluent_kafka.Consumer({'bootstrap.servers': server.broker.kafka, 'group.id': 'g', 'enable.partition.eof': True})
    consumer.assign([confluent_kafka.TopicPartition('events', p, confluent_kafka.OFFSET_BEGINNING) for p in range(3)])
    counts, ends = {}, 0
    while ends < 3:
        m = consumer.poll(20)
        expect(m, 'no message within 20 s')
        if m.error():
            expect(m.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, m.error())
            ends += 1
        else:
            name = json.loads(m.value())['id']
            expect(m.key().decode() == name, 'key %s of event %s' % (m.key(), name))
            counts[name] = counts.get(name, 0) + 1
    consumer.close()
    return counts


def events_arrive_in_the_real_kafka(server):
    expect(server.send(0, 1000) == 202, 'not taken')
    expect(events(server) == {'e%d' % i: 1 for i in range(1000)}, 'not each event once')


def status_tells_where_the_topics_are(server):
    text = server.smack('status')
    expect('The topics are those of kafka://localhost:%d; Kafka\'s port is not served here.' % server.broker.port in text, text)
    expect('builder' not in text and 'delivery' not in text, text)
    expect(re.search(r'events \| +3 \| +1000', text), text)
    _, status, _ = server.ask('GET', '/api/status')
    expect(status['log']['engine'] == 'kafka://localhost:%d' % server.broker.port, status['log'])
    expect(not os.path.exists(os.path.join(server.data, 'log')), 'an embedded log was made')


def topics_are_worked_on(server):
    server.smack('topic', 'create', 'other', '--partitions', '2', '--config', 'retention.ms=3600000')
    expect('other' in server.smack('topic', 'list').split(), 'not listed')
    server.smack('topic', 'alter', 'other', '--partitions', '3', '--config', 'max.message.bytes=100000')
    told = server.smack('topic', 'describe', 'other')
    for part in ('partitions 3', 'retention.ms = 3600000', 'max.message.bytes = 100000', 'partition 2: offsets 0 to 0'):
        expect(part in told, told)
    expect('max.message.bytes = 100000' in server.broker.smack('topic', 'describe', 'other'), 'the broker does not know of it')
    done = subprocess.run([SMACK, 'topic', 'produce', 'other', '--key-separator', ':', '--data', server.data], input='a:1\nb:2\nc:3\n', text=True,
                          capture_output=True, timeout=60, check=False)
    expect(done.returncode == 0, done.stderr)
    for s in (server, server.broker):
        expect(sorted(s.smack('topic', 'consume', 'other', '--keys').splitlines()) == ['a\t1', 'b\t2', 'c\t3'], 'consumed')
    server.smack('topic', 'delete', 'other')
    expect('other' not in server.broker.smack('topic', 'list').split(), 'still there')
    told = server.smack('topic', 'create', 'wrong', '--config', 'no.such.config=1', status=1)
    expect('making topic wrong' in told and 'no.such.config' in told, told)


def a_topic_becomes_an_archive(server):
    told = server.smack('backup', '--topic', 'events', os.path.join(server.dir, 'archive'))
    expect('1000 events in 1 files' in told, told)


def the_demo_matches(server):
    address = ('kafka://127.0.0.1:%d?security.protocol=sasl_ssl&sasl.mechanism=SCRAM-SHA-512&sasl.username=bob&sasl.password.file=%s&'
               'ssl.ca.location=%s' % (server.broker.port, os.path.join(server.dir, 'password'), os.path.join(server.dir, 'server.pem')))
    for old in (False, True):
        done = subprocess.run([SMACK, 'demo', '--exit', '--http', '0', '--cql', '0', '--set', 'log=' + address], text=True, capture_output=True,
                              timeout=200, check=False)
        expect(done.returncode == 0 and 'matches expected_daily.csv' in done.stdout, done.stdout + done.stderr)
        expect(('records already' in done.stdout) == old, done.stdout)


def a_login_that_fails_is_told(server):
    server.write('wrong', 'guessed', 0o600)
    done = subprocess.run([SMACK, 'up', '--config', server.config, '--data', os.path.join(server.dir, 'other'), '--set',
                           'log.sasl.password.file=wrong', '--http', '0', '--cql', '0'], text=True, capture_output=True, timeout=60, check=False)
    expect(done.returncode == 1, done.returncode)
    expect('the login failed' in done.stderr and 'guessed' not in done.stderr, done.stderr)


def a_broker_that_goes_and_comes_back_loses_nothing(server):
    taken = set(range(1000))
    server.broker.stop()
    refused = server.send(1000, 100)
    expect(refused in (429, 503), refused)
    wait_for('the status says it', lambda: 'DOES NOT ANSWER' in server.smack('status'))
    server.broker.start()
    for first in range(1000, 3000, 100):
        end = time.monotonic() + 60
        while server.send(first, 100) != 202:
            expect(time.monotonic() < end, 'never taken again')
            time.sleep(0.1)
        taken |= set(range(first, first + 100))
    wait_for('the status says it', lambda: 'DOES NOT ANSWER' not in server.smack('status'))
    counts = events(server)
    expect(set(counts) == {'e%d' % i for i in taken}, 'not all events, or others')
    expect(all(n == 1 for e, n in counts.items() if int(e[1:]) >= 1200 or int(e[1:]) < 1000), 'acknowledged more than once')
    log = server.log()
    expect('no broker answers' in log and 'answers again' in log, log)


def without_its_broker_it_ends_all_the_same(server):
    server.broker.stop()
    time.sleep(1)
    server.stop()
    server.broker.start()
    server.start()


if __name__ == '__main__':
    port = free_ports()
    the_broker = Broker.__new__(Broker)
    the_broker.port = port
    the_broker.__init__(BROKER % port)
    run([events_arrive_in_the_real_kafka, status_tells_where_the_topics_are, topics_are_worked_on, a_topic_becomes_an_archive, the_demo_matches,
         a_login_that_fails_is_told, a_broker_that_goes_and_comes_back_loses_nothing, without_its_broker_it_ends_all_the_same],
        Outgrown(the_broker))
