#!/usr/bin/python3
# platform: own
"""Settings that Kafka's brokers have: topics that are not made by asking for them, partitions of those that are made without a count, connections on
which nothing is said. What they may be is told at the start."""
import os
import socket
import subprocess
import sys
import tempfile

from confluent_kafka.admin import AdminClient

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'differential'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from client import Connection  # noqa: E402
from common import SMACK, Server, expect  # noqa: E402
from layouts import APIS  # noqa: E402

UNKNOWN_TOPIC = 3


def connect(server):
    host, port = server.kafka.rsplit(':', 1)
    return Connection((host, int(port)))


def ask(server, api, version, body):
    c = connect(server)
    c.send(APIS[api], version, body)
    answer = c.receive()
    c.close()
    return answer


def metadata(server, topic):
    return ask(server, 'metadata', 4, {'topics': [{'name': topic}], 'allow_auto_topic_creation': True})['topics'][0]


def topics_are_made_or_not():
    server = Server('kafka.auto_create = no\nkafka.partitions = 3\n')
    for _ in range(2):
        expect(metadata(server, 'asked')['error_code'] == UNKNOWN_TOPIC, metadata(server, 'asked'))
    expect('asked' not in AdminClient({'bootstrap.servers': server.kafka}).list_topics(timeout=60).topics, 'a topic is made by asking for it')
    made = ask(server, 'create_topics', 4, {'topics': [{'name': 'made', 'num_partitions': -1, 'replication_factor': -1, 'assignments': [], 'configs': []}],
                                            'timeout_ms': 60000, 'validate_only': False})
    expect(made['topics'][0]['error_code'] == 0, made)
    expect(len(metadata(server, 'made')['partitions']) == 3, metadata(server, 'made'))
    server.done()
    server = Server('kafka.partitions = 2\n')
    expect(len(metadata(server, 'asked')['partitions']) == 2, metadata(server, 'asked'))
    server.done()


def who_says_nothing_is_let_go():
    server = Server('kafka.idle = 1s\n')
    host, port = server.kafka.rsplit(':', 1)
    with socket.create_connection((host, int(port))) as s:
        s.settimeout(120)
        expect(s.recv(1) == b'', 'the server says something')
    server.done()


def what_they_may_be():
    for setting, told in (('kafka.auto_create = perhaps', 'must be yes or no'), ('kafka.partitions = 0', 'between 1 and 10000'),
                          ('kafka.idle = 10ms', 'at least 1s'), ('kafka.rebalance_delay = 6m', 'longer than 5m')):
        with tempfile.TemporaryDirectory() as work:
            done = subprocess.run([SMACK, 'up', '--data', work + '/data', '--set', setting.replace(' ', '')], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
            expect(done.returncode != 0 and told in done.stdout, '%s: %s' % (setting, done.stdout))


for test in (topics_are_made_or_not, who_says_nothing_is_let_go, what_they_may_be):
    test()
    print('ok', test.__name__, flush=True)
