"""What the tests of HTTP share: a server with topics, raw requests, and the records that came out of them."""
import http.client
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from common import SMACK, Server, expect, run, wait_for  # noqa: E402,F401

DEADLINE_S = 60


def equal(got, want, what):
    expect(got == want, '%s: %r in place of %r' % (what, got, want))


class Ingest(Server):
    """files: written beside the configuration before the start."""

    def __init__(self, config, files):
        self.files = files
        super().__init__(config)

    def start(self):
        for name, text in self.files.items():
            with open(os.path.join(self.dir, name), 'w', encoding='utf-8') as f:
                f.write(text)
        super().start()

    @property
    def host_port(self):
        host, port = self.address.rsplit(':', 1)
        return host, int(port)

    def post(self, path, body, kind='application/json', headers=None):
        """(status, answer, headers)"""
        connection = http.client.HTTPConnection(self.address, timeout=DEADLINE_S)
        connection.request('POST', path, body, {'Content-Type': kind, **(headers or {})})
        response = connection.getresponse()
        data = response.read().decode()
        connection.close()
        try:
            answer = json.loads(data)
        except ValueError:
            answer = data
        return response.status, answer, response.headers

    def records(self, topic):
        """All that the topic has: (partition, key, value, headers), partitions in order."""
        import confluent_kafka
        consumer = confluent_kafka.Consumer({'bootstrap.servers': self.kafka, 'group.id': 'reader', 'enable.partition.eof': True,
                                             'enable.auto.commit': False})
        found = []
        for partition in sorted(consumer.list_topics(topic, DEADLINE_S).topics[topic].partitions):
            consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0)])
            while True:
                message = consumer.poll(DEADLINE_S)
                expect(message is not None, 'nothing from %s/%d' % (topic, partition))
                if message.error():
                    equal(message.error().code(), confluent_kafka.KafkaError._PARTITION_EOF, 'consumer')
                    break
                found.append((partition, message.key(), message.value(), dict(message.headers() or [])))
        consumer.close()
        return found

    def values(self, topic):
        return [value for _, _, value, _ in self.records(topic)]


def exchange(address, data, pieces=None):
    """Send the bytes, end our side, give back all that comes until the server has ended its own."""
    with socket.create_connection(address, timeout=DEADLINE_S) as s:
        try:
            for piece in pieces or [data]:
                s.sendall(piece)
        except OSError:
            pass  # it has closed already
        return read_to_end(s)


def read_to_end(s):
    got = b''
    while True:
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return got
        if not piece:
            return got
        got += piece
