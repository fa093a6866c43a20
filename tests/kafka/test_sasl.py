#!/usr/bin/python3
# platform: own
"""Logins by PLAIN and SCRAM with kcat, confluent-kafka and kafka-python: the right password, a wrong one, none."""
import os
import subprocess
import sys

import confluent_kafka
import kafka
import kafka.errors

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from common import SMACK, Server, expect, run, wait_for  # noqa: E402

MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']
PASSWORD = 'Gr\u00fc\u00dfe, 100 % = "s\u00fc\u00df"'


def user(config, action, name, password='', status=0):
    done = subprocess.run([SMACK, 'user', action, name, '--config', config], input=password + '\n', stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    expect(done.returncode == status, 'smack user %s %s: %s' % (action, name, done.stdout))
    return done.stdout


class Secured(Server):
    """All three mechanisms and the user alice."""

    def start(self):
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write('security.users = users\nkafka.sasl = %s\nlogging.level = debug\n' % ', '.join(MECHANISMS))
        user(self.config, 'add', 'alice', PASSWORD)
        super().start()


def librdkafka(server, mechanism, password, name='alice'):
    return {'bootstrap.servers': server.kafka, 'security.protocol': 'SASL_PLAINTEXT', 'sasl.mechanism': mechanism,
            'sasl.username': name, 'sasl.password': password}


def kcat(server, mechanism, password, *words, given=''):
    options = [w for k, v in librdkafka(server, mechanism, password).items() for w in ('-X', '%s=%s' % (k, v))]
    return subprocess.run(['kcat', *options, *words], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          check=False)


def kcat_logs_in(server):
    for mechanism in MECHANISMS:
        done = kcat(server, mechanism, PASSWORD, '-P', '-t', mechanism, given='by %s\n' % mechanism)
        expect(done.returncode == 0, done.stderr)
        done = kcat(server, mechanism, PASSWORD, '-C', '-q', '-e', '-t', mechanism)
        expect(done.stdout == 'by %s\n' % mechanism, done.stdout + done.stderr)


def kcat_is_refused(server):
    for mechanism in MECHANISMS:
        done = kcat(server, mechanism, 'nonsense', '-L', '-m', '5')
        expect(done.returncode != 0, done.stdout)
        expect('authentication fail' in done.stderr.lower(), done.stderr)
    done = subprocess.run(['kcat', '-b', server.kafka, '-L', '-m', '2'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False)
    expect(done.returncode != 0, 'without a login: %s' % done.stdout)
    done = kcat(server, 'GSSAPI', PASSWORD, '-L', '-m', '2')
    expect(done.returncode != 0, 'by GSSAPI: %s' % done.stdout)


def confluent_kafka_works_as_without(server):
    for mechanism in MECHANISMS:
        topic = 'confluent-' + mechanism
        producer = confluent_kafka.Producer(librdkafka(server, mechanism, PASSWORD))
        for i in range(1000):
            producer.produce(topic, b'%d' % i)
        expect(producer.flush(30) == 0, 'not all were delivered')
        consumer = confluent_kafka.Consumer({**librdkafka(server, mechanism, PASSWORD), 'group.id': topic,
                                             'auto.offset.reset': 'earliest'})
        consumer.subscribe([topic])
        seen = []
        wait_for('1000 records', lambda: seen.extend(m.value() for m in consumer.consume(100, 0.1)) or len(seen) >= 1000)
        expect(seen == [b'%d' % i for i in range(1000)], 'other records: %s' % seen[:10])
        consumer.close()


def confluent_kafka_hears_of_a_wrong_password(server):
    errors = []
    producer = confluent_kafka.Producer({**librdkafka(server, 'SCRAM-SHA-512', 'nonsense'), 'error_cb': errors.append})
    wait_for('the error', lambda: producer.poll(0.1) or any(e.code() == confluent_kafka.KafkaError._AUTHENTICATION for e in errors))


def python(server, mechanism, password):
    return {'bootstrap_servers': server.kafka, 'security_protocol': 'SASL_PLAINTEXT', 'sasl_mechanism': mechanism,
            'sasl_plain_username': 'alice', 'sasl_plain_password': password}


def kafka_python_logs_in(server):
    """It begins with SaslHandshake 0: what follows has no headers."""
    for mechanism in MECHANISMS:
        topic = 'python-' + mechanism
        producer = kafka.KafkaProducer(**python(server, mechanism, PASSWORD))
        producer.send(topic, b'v').get(30)
        producer.close()
        consumer = kafka.KafkaConsumer(topic, auto_offset_reset='earliest', consumer_timeout_ms=20000,
                                       **python(server, mechanism, PASSWORD))
        expect(next(consumer).value == b'v', 'another record')
        consumer.close()


def kafka_python_is_refused(server):
    for mechanism in MECHANISMS:
        try:
            kafka.KafkaProducer(**python(server, mechanism, 'nonsense'), api_version_auto_timeout_ms=2000)
            raise AssertionError('logged in by %s' % mechanism)
        except kafka.errors.KafkaError:
            pass


def users_change_while_it_runs(server):
    def works(name, password):
        admin = confluent_kafka.Consumer({**librdkafka(server, 'SCRAM-SHA-256', password, name), 'group.id': 'x'})
        try:
            return bool(admin.list_topics(timeout=3).brokers)
        except confluent_kafka.KafkaException:
            return False
        finally:
            admin.close()
    expect(not works('bob', 'builder'), 'bob is not there yet')
    user(server.config, 'add', 'bob', 'builder')
    expect(works('bob', 'builder'), 'bob was added')
    expect('is in' in user(server.config, 'add', 'bob', 'x', status=1), 'added twice')
    user(server.config, 'password', 'bob', 'architect')
    expect(not works('bob', 'builder'), 'the former password')
    expect(works('bob', 'architect'), 'the new password')
    expect('alice SCRAM-SHA-256 8192' in subprocess.run([SMACK, 'user', 'list', '--config', server.config], stdout=subprocess.PIPE,
                                                        text=True, check=True).stdout, 'the list')
    user(server.config, 'remove', 'bob')
    expect(not works('bob', 'architect'), 'bob was removed')


def a_password_is_never_shown(server):
    with open(os.path.join(server.dir, 'users'), encoding='utf-8') as f:
        expect(PASSWORD not in f.read(), 'the password stands in the file of users')
    expect(PASSWORD not in server.log() and 'nonsense' not in server.log(), 'a password stands in the log')
    expect('login by SCRAM-SHA-512 failed' in server.log(), server.log())


def a_file_that_others_may_read_is_refused(server):
    server.stop()
    os.chmod(os.path.join(server.dir, 'users'), 0o640)
    done = server.smack('up', '--config', server.config, status=1)
    expect('chmod 600' in done, done)


run([kcat_logs_in, kcat_is_refused, confluent_kafka_works_as_without, confluent_kafka_hears_of_a_wrong_password, kafka_python_logs_in,
     kafka_python_is_refused, users_change_while_it_runs, a_password_is_never_shown, a_file_that_others_may_read_is_refused], Secured())
