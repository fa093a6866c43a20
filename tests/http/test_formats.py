#!/usr/bin/python3
# platform: own
"""Formats of ingest, keys, and requests that are stored once, also across a restart."""
import gzip
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ingest_server import Ingest, equal, expect, run  # noqa: E402

CONFIG = '\n'.join('[topic %s]\npartitions = 3\nschema = schema.json\nkey = id\n' % name for name in
                   ('arrays', 'csv', 'events', 'keyed', 'once', 'zstd')) + '[topic any]\npartitions = 3\n[topic many]\npartitions = 1\n'
SCHEMA = {'type': 'object', 'required': ['id', 'n'], 'additionalProperties': False,
          'properties': {'id': {'type': 'string'}, 'n': {'type': 'integer'}, 'ok': {'type': 'boolean'}, 'note': {'type': 'string'}}}
NDJSON, CSV, EVENT = 'application/x-ndjson', 'text/csv', 'application/cloudevents+json'


def event(n, **more):
    return {'id': 'k%d' % n, 'n': n, **more}


def parsed(server, topic):
    return sorted((json.loads(v) for v in server.values(topic)), key=lambda v: v['n'])


def an_array_is_its_elements(server):
    events = [event(i) for i in range(20)]
    status, answer, _ = server.post('/ingest/arrays', json.dumps(events, indent=2))
    equal((status, answer), (202, {'topic': 'arrays', 'accepted': 20}), 'answer')
    bad = json.dumps([event(1), {'id': 1, 'n': 2}, {'id': 'x'}])
    status, answer, _ = server.post('/ingest/arrays', bad)
    equal((status, answer), (400, {'events': {'1': {'obj.id': ['error.expected.jsstring']}, '2': {'obj.n': ['error.path.missing']}}}), 'bad')
    status, answer, _ = server.post('/ingest/arrays?on_error=skip', bad)
    equal((status, answer['accepted'], sorted(answer['events'])), (202, 1, ['1', '2']), 'skip')
    status, answer, _ = server.post('/ingest/arrays?on_error=skip', '[' + json.dumps(event(7)) + ',')
    equal((status, answer), (400, {'events': {'1': {'obj': ['error.invalid.json']}}}), 'an array that does not end')
    equal(server.post('/ingest/arrays', '[]')[:2], (202, {'topic': 'arrays', 'accepted': 0}), 'an empty one')
    equal(parsed(server, 'arrays'), sorted(events + [event(1)], key=lambda v: v['n']), 'stored')
    expect(all(b'\n' not in v for v in server.values('arrays')), 'a value is one line')


def rows_under_a_header(server):
    text = '\ufeffid,n,ok,note\r\nk1,1,true,plain\r\n"k2",2,,"a ""quoted"", with comma\nand line"\nk3,3,false,\n\nk4,4,true,""\n'
    status, answer, _ = server.post('/ingest/csv', text.encode(), CSV)
    equal((status, answer), (202, {'topic': 'csv', 'accepted': 4}), 'answer')
    equal(parsed(server, 'csv'), [event(1, ok=True, note='plain'), event(2, note='a "quoted", with comma\nand line'), event(3, ok=False),
                                  event(4, ok=True, note='')], 'stored')
    equal({k for _, k, _, _ in server.records('csv')}, {b'k1', b'k2', b'k3', b'k4'}, 'keys')
    status, answer, _ = server.post('/ingest/csv', 'id,n\nk1,x\nk2\n"k3",3\nk4,4,4\n', CSV)
    equal((status, answer), (400, {'lines': {'2': {'obj.n': ['error.expected.jsnumber']}, '3': {'obj': ['error.csv.columns']},
                                             '5': {'obj': ['error.csv.columns']}}}), 'bad rows')
    status, answer, _ = server.post('/ingest/csv?on_error=skip', 'id,n\nk1,1\n"k2,2\n', CSV)
    equal((status, answer), (400, {'lines': {'3': {'obj': ['error.invalid.csv']}}}), 'a quote that does not end')
    for header in ('', 'id,id', 'id,', 'i"d'):
        status, answer, _ = server.post('/ingest/csv', header + '\n1,2\n', CSV)
        equal((status, answer), (400, {'lines': {'1': {'obj': ['error.csv.header']}}}), 'header %r' % header)
    status, answer, _ = server.post('/ingest/csv', 'id,n,note\nk1,1,caf\u00e9\nk2,2,x\n'.encode('latin-1'), CSV)
    equal((status, answer), (400, {'lines': {'2': {'obj': ['error.expected.utf8']}}}), 'another encoding')
    equal(server.post('/ingest/csv', 'id,n,\u00e9\nk1,1,x\n'.encode('latin-1'), CSV)[0], 400, 'another encoding of a name')
    equal(len(server.values('csv')), 4, 'stored at last')


def cloudevents(server):
    one = {'specversion': '1.0', 'id': 'e1', 'source': '/s', 'type': 'made', 'subject': 'x', 'partitionkey': 'p', 'ext': 5, 'data': event(1)}
    equal(server.post('/ingest/events', json.dumps(one), EVENT)[:2], (202, {'topic': 'events', 'accepted': 1}), 'structured')
    batch = [dict(one, id='e2', data=event(2)), dict(one, id='e3', data=event(3))]
    equal(server.post('/ingest/events', json.dumps(batch), 'application/cloudevents-batch+json')[:2],
          (202, {'topic': 'events', 'accepted': 2}), 'a batch')
    headers = {'ce-specversion': '1.0', 'ce-id': 'e4', 'ce-source': '/s', 'ce-type': 'm%C3%A4de'}
    equal(server.post('/ingest/events', json.dumps(event(4)), headers=headers)[:2], (202, {'topic': 'events', 'accepted': 1}), 'binary')
    found = {json.loads(v)['n']: (k, h) for _, k, v, h in server.records('events')}
    equal(found[1], (b'k1', {'ce_specversion': b'1.0', 'ce_id': b'e1', 'ce_source': b'/s', 'ce_type': b'made', 'ce_subject': b'x',
                             'ce_partitionkey': b'p', 'ce_ext': b'5'}), 'a record')
    equal(found[4][1]['ce_type'], 'm\u00e4de'.encode(), 'an attribute in a header')
    equal(found[4][1]['content-type'], b'application/json', 'content type')
    for change, path, reason in (({'id': ''}, 'obj.id', 'error.path.missing'), ({'specversion': '0.3'}, 'obj.specversion',
                                                                                   'error.cloudevent.specversion'),
                                 ({'data': None}, 'obj', 'error.expected.jsobject'), ({'Bad': 'x'}, 'obj.Bad', 'error.cloudevent.attribute'),
                                 ({'data_base64': 'e30='}, 'obj.data_base64', 'error.cloudevent.data_base64'),
                                 ({'datacontenttype': 'text/xml'}, 'obj.datacontenttype', 'error.cloudevent.datacontenttype')):
        equal(server.post('/ingest/events', json.dumps({**one, **change}), EVENT)[:2], (400, {path: [reason]}), 'changed %r' % change)
    for wrong, reason in (({'ce-type': '%ff'}, 'error.cloudevent.encoding'), ({'ce-type': '%e'}, 'error.cloudevent.encoding'),
                          ({'ce-datacontenttype': 'application/json'}, 'error.path.duplicate')):
        status, answer, _ = server.post('/ingest/events', json.dumps(event(4)), headers={**headers, **wrong})
        equal((status, answer), (400, {list(wrong)[0]: [reason]}), 'binary with %r' % wrong)
    equal(server.post('/ingest/any', json.dumps(one), EVENT)[0], 202, 'a topic without a schema')
    equal(server.records('any')[0][1], b'p', 'its key is the partition key')


def the_key_is_where_a_pointer_says(server):
    lines = '\n'.join(json.dumps({'user': {'id': n % 3, 'tags': ['t%d' % n]}}) for n in range(9))
    equal(server.post('/ingest/many?key=/user/id', lines, NDJSON)[0], 202, 'a number')
    equal([k for _, k, _, _ in server.records('many')], [b'0', b'1', b'2'] * 3, 'keys')
    equal(server.post('/ingest/many?key=/user/tags/0', lines, NDJSON)[0], 202, 'a string in an array')
    equal([k for _, k, _, _ in server.records('many')][9:], [b't%d' % n for n in range(9)], 'keys')
    equal(server.post('/ingest/many?key=/user', '{"user":{}}')[:2], (400, {'obj': ['error.expected.key']}), 'an object')
    equal(server.post('/ingest/many?key=/none', '{}')[0], 202, 'absent')
    equal(server.records('many')[-1][1], None, 'no key')
    equal(server.post('/ingest/many?key=user', '{}')[0], 400, 'not a pointer')
    equal(server.post('/ingest/keyed?key=/n', json.dumps(event(5)))[0], 202, 'before the schema')
    equal(server.records('keyed')[0][1], b'5', "goes before the schema's key")


def bodies_in_codings(server):
    text = json.dumps(event(1)).encode()
    equal(server.post('/ingest/zstd', gzip.compress(text), headers={'Content-Encoding': 'gzip'})[0], 202, 'gzip')
    equal(server.post('/ingest/zstd', text, headers={'Content-Encoding': 'br'})[0], 415, 'brotli')
    equal(server.post('/ingest/zstd', text, headers={'Content-Encoding': 'gzip, zstd'})[0], 415, 'two')
    equal(server.post('/ingest/zstd', text, headers={'Content-Encoding': 'zstd'})[0], 400, 'no zstd at all')
    zeros = b' ' * (64 << 20)
    equal(server.post('/ingest/zstd', gzip.compress(zeros), headers={'Content-Encoding': 'gzip'})[0], 413, 'a gzip bomb')
    packed = subprocess.run(['zstd', '-c'], input=text, stdout=subprocess.PIPE, check=True).stdout
    equal(server.post('/ingest/zstd', packed, headers={'Content-Encoding': 'zstd'})[0], 202, 'zstd')
    equal(server.post('/ingest/zstd', packed + packed, headers={'Content-Encoding': 'zstd'})[0], 400, 'two documents in two frames')
    equal(server.post('/ingest/zstd', packed[:-3], headers={'Content-Encoding': 'zstd'})[0], 400, 'cut')
    bomb = subprocess.run(['zstd', '-c'], input=zeros, stdout=subprocess.PIPE, check=True).stdout
    equal(server.post('/ingest/zstd', bomb, headers={'Content-Encoding': 'zstd'})[0], 413, 'a zstd bomb')
    equal(len(server.values('zstd')), 2, 'stored')


def stored_once(server):
    body = '\n'.join(json.dumps(event(n)) for n in range(30))
    for attempt in range(3):
        equal(server.post('/ingest/once', body, NDJSON, {'Idempotency-Key': 'order-1'})[:2], (202, {'topic': 'once', 'accepted': 30}),
              'attempt %d' % attempt)
    equal(len(server.values('once')), 30, 'stored')
    keyless = '{"x":1}\n{"x":2}'
    for attempt in range(3):
        equal(server.post('/ingest/any', keyless, NDJSON, {'Idempotency-Key': 'order-1'})[0], 202, 'without keys')
    equal(server.values('any').count(b'{"x":1}'), 1, 'without keys')
    status, answer, _ = server.post('/ingest/once', body.replace('k2', 'k3'), NDJSON, {'Idempotency-Key': 'order-1'})
    equal((status, 'Idempotency-Key' in answer['message']), (422, True), 'other content')
    equal(server.post('/ingest/once', body, NDJSON, {'Idempotency-Key': 'order-2'})[0], 202, 'another key')
    attributes = {'Idempotency-Key': 'event', 'ce-specversion': '1.0', 'ce-id': 'e1', 'ce-source': '/s', 'ce-type': 't'}
    for expected, extra in ((202, {}), (202, {}), (422, {'ce-id': 'e2'})):
        equal(server.post('/ingest/events', '{"id":"once","n":1}', headers={**attributes, **extra})[0], expected, 'attributes are content')
    equal(len(server.values('once')), 60, 'stored')
    for wrong in ('', 'x' * 256):
        equal(server.post('/ingest/once', body, NDJSON, {'Idempotency-Key': wrong})[0], 400, 'a key of %d' % len(wrong))
    # more than one batch a partition
    large = '\n'.join(json.dumps({'pad': 'x' * 1000, 'n': n}) for n in range(3000))
    before = len(server.values('many'))
    for attempt in range(2):
        equal(server.post('/ingest/many', large, NDJSON, {'Idempotency-Key': 'large'})[0], 202, 'large')
    equal(len(server.values('many')) - before, 3000, 'large')
    for end in (server.stop, server.kill):
        end()
        server.start()
        equal(server.post('/ingest/once', body, NDJSON, {'Idempotency-Key': 'order-1'})[0], 202, 'after a restart')
        equal(server.post('/ingest/many', large, NDJSON, {'Idempotency-Key': 'large'})[0], 202, 'after a restart')
        equal(len(server.values('once')), 60, 'stored, after a restart')
        equal(len(server.values('many')) - before, 3000, 'large, after a restart')


if __name__ == '__main__':
    run([an_array_is_its_elements, rows_under_a_header, cloudevents, the_key_is_where_a_pointer_says, bodies_in_codings, stored_once],
        Ingest(CONFIG, {'schema.json': json.dumps(SCHEMA)}))
