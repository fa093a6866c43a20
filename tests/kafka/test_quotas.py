#!/usr/bin/python3
# platform: own
"""Client quotas felt by confluent-kafka: a producer and a consumer are told to wait and hold their rate, roughly; all of it after a restart
too. The requests about quotas are raw: no client of Debian's has them."""
import json
import os
import sys
import time

import confluent_kafka

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'differential'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from client import Connection  # noqa: E402
from common import Server, expect, run  # noqa: E402
from layouts import APIS  # noqa: E402

RATE = 100000
SIZE = 10000


def ask(server, api, version, body):
    host, port = server.kafka.rsplit(':', 1)
    c = Connection((host.strip('[]'), int(port)))
    c.send(APIS[api], version, body)
    answer = c.receive()
    c.close()
    return answer


def quota(server, kind, name, key, value):
    answer = ask(server, 'alter_client_quotas', 1, {'entries': [{
        'entity': [{'entity_type': kind, 'entity_name': name}], 'ops': [{'key': key, 'value': value or 0.0, 'remove': value is None}]}]})
    expect(answer['entries'][0]['error_code'] == 0, answer)


class Told:
    """The longest throttle time that a client was told, from librdkafka's own statistics."""

    def __init__(self):
        self.most = 0

    def __call__(self, text):
        for broker in json.loads(text)['brokers'].values():
            self.most = max(self.most, broker.get('throttle', {}).get('max', 0))


def produce(server, count, client, **more):
    told = Told()
    done = []
    p = confluent_kafka.Producer({'bootstrap.servers': server.kafka, 'client.id': client, 'statistics.interval.ms': 200, 'stats_cb': told,
                                  'linger.ms': 0, 'batch.num.messages': 1, **more})
    began = time.monotonic()
    for _ in range(count):
        p.produce('t', os.urandom(SIZE), callback=lambda e, m: done.append(e))
        p.poll(0)
    while p.flush(0.2) and time.monotonic() < began + 120:
        pass
    took = time.monotonic() - began
    p.poll(0.5)
    expect(done == [None] * count, 'not all was produced: %s' % done)
    return took, told.most


def consume(server, count, client):
    told = Told()
    c = confluent_kafka.Consumer({'bootstrap.servers': server.kafka, 'client.id': client, 'group.id': 'g-' + client,
                                  'auto.offset.reset': 'earliest', 'statistics.interval.ms': 200, 'stats_cb': told,
                                  'fetch.message.max.bytes': 100000})
    c.subscribe(['t'])
    seen, began = 0, time.monotonic()
    while seen < count and time.monotonic() < began + 120:
        m = c.poll(0.5)
        seen += m is not None and not m.error()
    took = time.monotonic() - began
    c.poll(0.5)
    c.close()
    expect(seen == count, 'consumed %d of %d' % (seen, count))
    return took, told.most


def nobody_waits_without_a_quota(server):
    took, most = produce(server, 200, 'free')
    expect(most == 0, 'told to wait for %s ms' % most)
    print('without: %.2f s' % took)


def a_producer_holds_its_rate(server):
    quota(server, 'client-id', 'slow', 'producer_byte_rate', float(RATE))
    # Ten seconds' worth may go at once; what is beyond it takes its time.
    took, most = produce(server, 150, 'slow')
    print('producer: %.2f s, told %s ms' % (took, most))
    expect(most > 0, 'nobody was told to wait')
    expect(took > (150 * SIZE - 11 * RATE) / RATE / 3, 'it took only %.1f s' % took)


def a_consumer_holds_its_rate(server):
    quota(server, 'client-id', 'reader', 'consumer_byte_rate', float(RATE))
    took, most = consume(server, 200, 'reader')
    print('consumer: %.2f s, told %s ms' % (took, most))
    expect(most > 0, 'nobody was told to wait')
    expect(took > 0.2, 'it took only %.1f s' % took)


def quotas_are_there_after_a_restart(server):
    server.stop()
    server.start()
    answer = ask(server, 'describe_client_quotas', 1, {'components': []})
    found = {(e['entity'][0]['entity_name'], v['key']): v['value'] for e in answer['entries'] for v in e['values']}
    expect(found == {('slow', 'producer_byte_rate'): RATE, ('reader', 'consumer_byte_rate'): RATE}, found)
    took, most = produce(server, 130, 'slow')
    print('again: %.2f s, told %s ms' % (took, most))
    expect(most > 0, 'nobody was told to wait after a restart')


def connections_are_counted(server):
    quota(server, 'ip', '127.0.0.1', 'connection_creation_rate', 1.0)
    host, port = server.kafka.rsplit(':', 1)
    ended = 0
    for _ in range(20):
        c = Connection((host, int(port)))
        c.send(APIS['api_versions'], 0, {})
        try:
            c.receive(10)
        except Exception:  # pylint: disable=broad-except
            ended += 1
        c.close()
    expect(0 < ended < 20, '%d of 20 connections were ended' % ended)


run([nobody_waits_without_a_quota, a_producer_holds_its_rate, a_consumer_holds_its_rate, quotas_are_there_after_a_restart,
     connections_are_counted], Server())
