#!/usr/bin/python3
# platform: own
"""POST /topics/{topic} as producers of Confluent's REST Proxy (version 2) send it: offsets, keys, partitions, tombstones, errors."""
import base64
import json
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ingest_server import Ingest, equal, expect, read_to_end, run  # noqa: E402

CONFIG = '''
[topic plain]
partitions = 3
[topic checked]
partitions = 1
schema = schema.json
key = id
'''
SCHEMA = {'type': 'object', 'required': ['id'], 'properties': {'id': {'type': 'string'}, 'n': {'type': 'integer'}}}
JSON = 'application/vnd.kafka.json.v2+json'
BINARY = 'application/vnd.kafka.binary.v2+json'


def produce(server, path, body, kind=JSON, headers=None):
    status, answer, got = server.post('/topics/' + path, body if isinstance(body, (str, bytes)) else json.dumps(body), kind, headers)
    if 'Content-Type' in got:
        equal(got['Content-Type'], 'application/vnd.kafka.v2+json', 'type of the answer')
    return status, answer


def stored(server, topic):
    return [(partition, key, value) for partition, key, value, _ in server.records(topic)]


def offsets_are_told(server):
    status, answer = produce(server, 'plain', {'records': [{'key': 'k%d' % (n % 5), 'value': {'n': n}} for n in range(20)]})
    equal(status, 200, answer)
    equal((answer['key_schema_id'], answer['value_schema_id']), (None, None), 'schemas')
    found = stored(server, 'plain')
    equal(len(found), 20, 'stored')
    per = {p: [(k, v) for q, k, v in found if q == p] for p in range(3)}
    for n, place in enumerate(answer['offsets']):
        equal((place['error_code'], place['error']), (None, None), 'record %d' % n)
        equal(per[place['partition']][place['offset']], (b'"k%d"' % (n % 5), json.dumps({'n': n}).encode()), 'where record %d is' % n)
    # the next request goes on behind them
    status, more = produce(server, 'plain', {'records': [{'key': 'k1', 'value': 1}]})
    same = [p for p in answer['offsets'] if p['partition'] == more['offsets'][0]['partition']]
    equal(more['offsets'][0]['offset'], max(p['offset'] for p in same) + 1, 'goes on')


def any_value_and_none(server):
    before = len(stored(server, 'plain'))
    records = [{'value': 'text'}, {'value': [1, 2]}, {'value': None}, {'key': {'a': 1}}, {'key': None, 'value': 1.5}, {}]
    status, answer = produce(server, 'plain/partitions/2', {'records': records})
    equal((status, {p['partition'] for p in answer['offsets']}), (200, {2}), answer)
    equal([v for p, _, v in stored(server, 'plain')][-6:], [b'"text"', b'[1, 2]', None, None, b'1.5', None], 'values')
    equal([k for _, k, _ in stored(server, 'plain')][-6:], [None, None, None, b'{"a": 1}', None, None], 'keys')
    status, answer = produce(server, 'plain/partitions/2', {'records': [{'value': 1, 'partition': 0}, {'value': 2, 'partition': None}]})
    equal([p['partition'] for p in answer['offsets']], [0, 2], "a record's own partition goes first")
    equal(len(stored(server, 'plain')), before + 8, 'stored')
    equal(produce(server, 'plain', '{\n "records": [\n {"value": {\n"a": 1}}]}')[0], 200, 'over several lines')
    expect(b'{ "a": 1}' in [v for _, _, v in stored(server, 'plain')], 'a value is one line')


def bytes_in_base64(server):
    data = bytes(range(256))
    for size in (0, 1, 2, 3, 256):
        value = base64.b64encode(data[:size]).decode()
        status, answer = produce(server, 'plain', {'records': [{'key': value, 'value': value, 'partition': 1}]}, BINARY)
        equal(status, 200, answer)
        equal([r for r in stored(server, 'plain') if r[0] == 1][-1], (1, data[:size], data[:size]), '%d bytes' % size)
    for wrong in ('!', 'YQ=', 'YQ', 'Y===', '====', 'YQ==YQ==', 'a-_b', 'YQ==\n', 5, {}, True):
        status, answer = produce(server, 'plain', {'records': [{'value': wrong}]}, BINARY)
        equal((status, answer['error_code']), (422, 422), 'no base64: %r' % wrong)


def what_is_refused(server):
    before = len(stored(server, 'plain'))
    good = {'value': 1}
    for path, body, status, code in (
            ('none', {'records': [good]}, 404, 40401), ('__consumer_offsets', {'records': [good]}, 404, 40401),
            ('plain/partitions/3', {'records': [good]}, 404, 40402), ('plain/partitions/x', {'records': [good]}, 404, 40402),
            ('plain/partitions/null', {'records': [good]}, 404, 40402), ('plain/partitions/-1', {'records': [good]}, 404, 40402),
            ('plain', {'records': [good, {'value': 1, 'partition': 3}]}, 404, 40402),
            ('plain', {'records': [good, {'value': 1, 'partition': '1'}]}, 422, 422),
            ('plain', {'records': [good, {'value': 1, 'partition': -1}]}, 422, 422),
            ('plain', {'records': [good, {'value': 1, 'partition': 99999999999999999999}]}, 422, 422),
            ('plain', '', 400, 400), ('plain', '{', 400, 400), ('plain', '{"records":[{"value":1}]', 400, 400),
            ('plain', '{"records":[{"value":01}]}', 400, 400), ('plain', b'{"records":[{"value":"\xff"}]}', 400, 400),
            ('plain', '[]', 422, 422), ('plain', '{}', 422, 422), ('plain', '{"records":[]}', 422, 422), ('plain', '{"records":{}}', 422, 422),
            ('plain', '{"records":null}', 422, 422), ('plain', '{"records":[1]}', 422, 422), ('plain', '{"records":[[]]}', 422, 422),
            ('plain', {'records': [good], 'value_schema_id': 1}, 422, 422), ('plain', '{"records":[{"value":1}],"records":[]}', 422, 422),
            ('plain', {'records': [good, {'value': 1, 'headers': []}]}, 422, 422), ('plain', '{"records":[{"value":1,"value":2}]}', 422, 422),
            ('plain', {'records': [good] * 10001}, 413, 413), ('plain', {'records': [{'value': 'x' * 1100000}]}, 413, 413)):
        got, answer = produce(server, path, body)
        equal((got, answer['error_code']), (status, code), '%s %r' % (path, body if len(str(body)) < 200 else '...'))
    equal(produce(server, 'plain', {'records': [good]}, headers={'Idempotency-Key': 'x'})[0], 400, 'Idempotency-Key')
    for kind in ('application/vnd.kafka.avro.v2+json', 'application/vnd.kafka.json.v1+json', 'application/json'):
        got, answer = produce(server, 'plain', {'records': [good]}, kind)
        equal((got, answer['error_code']), (415, 415), kind)
    equal(len(stored(server, 'plain')), before, 'nothing of them is stored')
    status, answer = produce(server, 'plain', {'records': [good] * 10000})
    equal((status, len(answer['offsets'])), (200, 10000), 'as many as may be')


def a_schema_is_asked(server):
    status, answer = produce(server, 'checked', {'records': [{'value': {'id': 'a'}}, {'value': {'id': 1}}, {'value': None}]})
    equal((status, answer['error_code'], answer['events']),
          (422, 422, {'1': {'obj.id': ['error.expected.jsstring']}, '2': {'obj': ['error.expected.jsobject']}}), answer)
    equal(stored(server, 'checked'), [], 'nothing is stored')
    equal(produce(server, 'checked', {'records': [{'value': {'id': 'a'}}, {'key': 'own', 'value': {'id': 'b'}}]})[0], 200, 'fit')
    text = base64.b64encode(b'{"id":"c"}').decode()
    equal(produce(server, 'checked', {'records': [{'value': text}]}, BINARY)[0], 200, 'fits in base64')
    equal(produce(server, 'checked', {'records': [{'value': 'AAAA'}]}, BINARY)[0], 422, 'bytes that are no JSON')
    equal(stored(server, 'checked'), [(0, b'a', b'{"id": "a"}'), (0, b'"own"', b'{"id": "b"}'), (0, b'c', b'{"id":"c"}')], 'stored')


def large_requests_are_split(server):
    before = len(stored(server, 'plain'))
    records = [{'value': '%d-%s' % (n, 'x' * 1000), 'partition': 0} for n in range(5000)]
    status, answer = produce(server, 'plain', {'records': records})
    equal(status, 200, answer)
    expect([p['offset'] for p in answer['offsets']] == list(range(answer['offsets'][0]['offset'], answer['offsets'][0]['offset'] + 5000)),
           'offsets go on over batches')
    found = [v for p, _, v in stored(server, 'plain') if p == 0]
    for n in (0, 1234, 4999):
        expect(found[answer['offsets'][n]['offset']].startswith(b'"%d-x' % n), 'record %d' % n)
    equal(len(stored(server, 'plain')) - before, 5000, 'stored')


def pipelined_and_clients_that_go(server):
    body = json.dumps({'records': [{'value': n, 'partition': 1} for n in range(3)]}).encode()
    head = ('POST /topics/plain HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n' % (server.address, JSON, len(body))).encode()
    with socket.create_connection(server.host_port, timeout=60) as s:
        s.sendall((head + b'\r\n' + body) * 9 + head + b'Connection: close\r\n\r\n' + body)
        got = read_to_end(s)
    equal(got.count(b'HTTP/1.1 200 OK'), 10, 'answers')
    offsets = [p['offset'] for part in got.split(b'\r\n\r\n')[1:] for p in json.loads(part[:part.rindex(b'}') + 1])['offsets']]
    equal(offsets, list(range(offsets[0], offsets[0] + 30)), 'in order')
    for _ in range(20):
        s = socket.create_connection(server.host_port, timeout=60)
        s.sendall(head + b'\r\n' + body)
        s.close()
    equal(produce(server, 'plain', {'records': [{'value': 1}]})[0], 200, 'afterwards')


if __name__ == '__main__':
    run([offsets_are_told, any_value_and_none, bytes_in_base64, what_is_refused, a_schema_is_asked, large_requests_are_split,
         pipelined_and_clients_that_go], Ingest(CONFIG, {'schema.json': json.dumps(SCHEMA)}))
