#!/usr/bin/python3
# platform: own
"""TLS with certificates that the openssl command makes here: kcat, confluent-kafka and kafka-python over it, client certificates, SASL."""
import os
import re
import ssl
import subprocess
import sys
import time

import confluent_kafka
import kafka

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from common import SMACK, Server, expect, run, wait_for  # noqa: E402

CONFIG = '''
security.users = users
security.certificate = server.pem
security.key = server.key
security.client_ca = ca.pem
kafka.tls = yes
[listener login]
tls = yes
sasl = PLAIN, SCRAM-SHA-512
[listener certified]
tls = yes
client_auth = required
'''


class Encrypted(Server):
    def openssl(self, *words):
        subprocess.run(['openssl', *words], cwd=self.dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def issue(self, name, subject, extension='subjectAltName=IP:127.0.0.1,DNS:localhost'):
        with open(os.path.join(self.dir, 'extension'), 'w', encoding='utf-8') as f:
            f.write(extension + '\n')
        self.openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', name + '.key', '-out', name + '.csr', '-subj', subject)
        self.openssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1', '-out',
                     name + '.pem', '-extfile', 'extension')

    def start(self):
        self.openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '1', '-subj',
                     '/CN=authority')
        self.issue('server', '/CN=localhost')
        self.issue('alice', '/O=Example/CN=alice')
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write(CONFIG)
        subprocess.run([SMACK, 'user', 'add', 'bob', '--config', self.config], input='builder', text=True, check=True)
        super().start()

    def file(self, name):
        return os.path.join(self.dir, name)


def options(server, listener='first', **more):
    return {'bootstrap.servers': server.at[listener], 'security.protocol': 'SSL', 'ssl.ca.location': server.file('ca.pem'),
            **{k.replace('_', '.'): v for k, v in more.items()}}


def kcat(settings, *words, given=''):
    flags = [w for k, v in settings.items() for w in ('-X', '%s=%s' % (k, v))]
    return subprocess.run(['kcat', *flags, *words], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          check=False)


def certified(server):
    return options(server, 'certified', ssl_certificate_location=server.file('alice.pem'), ssl_key_location=server.file('alice.key'))


def there_and_back(settings, topic, codec='none'):
    text = ''.join('%d of %s\n' % (i, topic) for i in range(2000))
    done = kcat(settings, '-P', '-t', topic, '-z', codec, given=text)
    expect(done.returncode == 0, done.stderr)
    done = kcat(settings, '-C', '-q', '-e', '-t', topic)
    expect(done.stdout == text, '%s: %d bytes came back of %d; %s' % (topic, len(done.stdout), len(text), done.stderr))


def kcat_over_tls(server):
    for codec in ['none', 'zstd']:
        there_and_back(options(server), 'tls-' + codec, codec)
    there_and_back(certified(server), 'certified')
    for mechanism in ['PLAIN', 'SCRAM-SHA-512']:
        there_and_back(options(server, 'login', security_protocol='SASL_SSL', sasl_mechanism=mechanism, sasl_username='bob',
                               sasl_password='builder'), 'login-' + mechanism)


def who_does_not_fit_is_refused(server):
    plain = {'bootstrap.servers': server.at['first']}
    expect(kcat(plain, '-L', '-m', '2').returncode != 0, 'without TLS')
    expect(kcat(options(server, 'certified'), '-L', '-m', '2').returncode != 0, 'without a certificate')
    expect(kcat(options(server, 'login'), '-L', '-m', '2').returncode != 0, 'without a login')
    stranger = {k: v for k, v in options(server).items() if k != 'ssl.ca.location'}
    expect(kcat(stranger, '-L', '-m', '2').returncode != 0, 'the client does not know the authority')


def large_records_and_many_fetches(server):
    """More than a connection takes at once, from files: what is read while the reader is slow, and again from the start."""
    value = os.urandom(900000)
    producer = confluent_kafka.Producer({**options(server), 'message.max.bytes': 1000000, 'compression.type': 'none'})
    for i in range(60):
        producer.produce('large', value, key=b'%d' % i)
        producer.poll(0)
    expect(producer.flush(60) == 0, 'not all were delivered')
    for slow in [True, False]:
        consumer = confluent_kafka.Consumer({**options(server), 'group.id': 'large-%s' % slow, 'auto.offset.reset': 'earliest',
                                             'fetch.message.max.bytes': 20000000})
        consumer.subscribe(['large'])
        seen = []

        def more():
            message = consumer.poll(0.5)
            if message is not None and not message.error():
                expect(message.value() == value, 'another value at %d' % message.offset())
                seen.append(message.key())
                time.sleep(0.02 if slow else 0)
            return len(seen) == 60
        wait_for('60 records', more, 60)
        expect(seen == [b'%d' % i for i in range(60)], seen)
        consumer.close()


def kafka_python_over_tls(server):
    settings = {'bootstrap_servers': server.at['certified'], 'security_protocol': 'SSL', 'ssl_cafile': server.file('ca.pem'),
                'ssl_certfile': server.file('alice.pem'), 'ssl_keyfile': server.file('alice.key')}
    producer = kafka.KafkaProducer(**settings)
    for i in range(100):
        producer.send('python', b'%d' % i)
    producer.flush(30)
    producer.close()
    consumer = kafka.KafkaConsumer('python', auto_offset_reset='earliest', consumer_timeout_ms=20000, **settings)
    expect([next(consumer).value for _ in range(100)] == [b'%d' % i for i in range(100)], 'other records')
    consumer.close()


def a_renewed_certificate_is_served(server):
    host, port = server.at['first'].rsplit(':', 1)
    before = ssl.get_server_certificate((host, int(port)))
    server.issue('renewed', '/CN=renewed')
    for end in ['.key', '.pem']:
        os.replace(server.file('renewed' + end), server.file('server' + end))
    wait_for('the new certificate', lambda: ssl.get_server_certificate((host, int(port))) != before, 30)
    there_and_back(options(server), 'renewed')


def a_key_that_others_may_read_is_refused(server):
    server.stop()
    os.chmod(server.file('server.key'), 0o644)
    done = server.smack('up', '--config', server.config, status=1)
    expect('private key' in done and 'chmod 600' in done, done)


run([kcat_over_tls, who_does_not_fit_is_refused, large_records_and_many_fetches, kafka_python_over_tls, a_renewed_certificate_is_served,
     a_key_that_others_may_read_is_refused], Encrypted())
