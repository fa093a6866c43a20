#!/usr/bin/python3
# platform: own
"""/schemas: versions of a topic's schema over REST, compared with each other, checked against events, kept over restarts."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ingest_server import Ingest, equal, expect, run  # noqa: E402

CONFIG = '''
[topic orders]
partitions = 3
[topic other]
partitions = 1
[topic fixed]
partitions = 1
schema = fixed.json
key = id
'''
FIXED = '{\n "type": "object", "properties": {"id": {"type": "string"}}}'
NDJSON = 'application/x-ndjson'


def schema(properties, required=(), closed=True):
    out = {'type': 'object', 'properties': properties, 'required': list(required)}
    if closed:
        out['additionalProperties'] = False
    return out


FIRST = schema({'id': {'type': 'string'}, 'n': {'type': 'integer'}}, ['id'])
SECOND = schema({'id': {'type': 'string'}, 'n': {'type': 'number'}, 'note': {'type': 'string'}}, ['id'])


def ask(server, method, path, body=None):
    status, answer, _ = server.ask(method, path, None if body is None else json.dumps(body))
    return status, answer


def what_is_not_there(server):
    equal(ask(server, 'GET', '/schemas'), (200, []), 'none')
    for path in ('/schemas/orders', '/schemas/orders/versions', '/schemas/orders/versions/1', '/schemas/orders/compatibility'):
        equal(ask(server, 'GET', path)[0], 404, path)
    equal(ask(server, 'DELETE', '/schemas/orders')[0], 404, 'delete')
    equal(ask(server, 'PUT', '/schemas/orders/compatibility', {'compatibility': 'NONE'})[0], 404, 'a level')
    equal(ask(server, 'PUT', '/schemas/nowhere', FIRST)[0], 404, 'a topic that is not there')
    for name in ('__consumer_offsets', '..', 'a%2fb', 'a%20b', 'x' * 247):
        status = ask(server, 'PUT', '/schemas/' + name, FIRST)[0]
        expect(status in (400, 404), 'topic %s: %d' % (name, status))
    equal(server.post('/ingest/orders', '{"anything":1}')[0], 202, 'any JSON')


def what_is_no_schema(server):
    for body, status, why in (('{', 400, ''), ('[]', 422, 'object'), ('{"type":"array"}', 422, '/type'),
                              (json.dumps(schema({'a': {'type': 'string', 'pattern': 'x'}})), 422, '/properties/a/pattern'),
                              (json.dumps(schema({}, ['a'])), 422, '/required/0'), ('x' * 300000, 413, '256 KiB')):
        got, answer, _ = server.ask('PUT', '/schemas/orders', body)
        equal(got, status, body[:60])
        expect(why in answer['message'], 'it is named: %s' % answer)
    equal(ask(server, 'PUT', '/schemas/orders?key=none', FIRST)[0], 422, 'a key that is no property')
    equal(server.post('/schemas/orders', json.dumps(FIRST), 'text/plain')[0], 415, 'a form could send it')
    equal(server.post('/schemas/orders', json.dumps(FIRST), headers={'Origin': 'http://elsewhere.example'})[0], 403, 'another origin')
    equal(ask(server, 'GET', '/schemas'), (200, []), 'still none')


def versions_follow_each_other(server):
    equal(ask(server, 'PUT', '/schemas/orders?key=id', FIRST), (201, {'topic': 'orders', 'version': 1}), 'the first')
    equal(ask(server, 'POST', '/schemas/orders', FIRST), (200, {'topic': 'orders', 'version': 1}), 'the same again')
    equal(server.post('/ingest/orders', '{"anything":1}')[:2], (400, {'obj.anything': ['error.path.unknown'],
                                                                    'obj.id': ['error.path.missing']}), 'checked at once')
    equal(server.post('/ingest/orders', '{"id":"k1","n":1}')[0], 202, 'one that fits')
    expect(b'k1' in [r[1] for r in server.records('orders')], 'its key')
    equal(server.post('/ingest/orders', '{"id":"k1","n":1.5}')[0], 400, 'not yet')
    equal(ask(server, 'POST', '/schemas/orders/check', SECOND), (200, {'compatible': True}), 'would be taken')
    equal(ask(server, 'PUT', '/schemas/orders', SECOND), (201, {'topic': 'orders', 'version': 2}), 'the second')
    equal(server.post('/ingest/orders', '{"id":"k1","n":1.5,"note":"x"}\n{"id":"k2"}', NDJSON)[0], 202, 'fits the second')
    equal({r[1] for r in server.records('orders')} - {None}, {b'k1', b'k2'}, 'the key stays')
    equal(ask(server, 'GET', '/schemas/orders'), (200, {'topic': 'orders', 'version': 2, 'key': 'id', 'schema': SECOND}), 'the latest')
    equal(ask(server, 'GET', '/schemas/orders/versions'), (200, [1, 2]), 'versions')
    equal(ask(server, 'GET', '/schemas/orders/versions/1')[1]['schema'], FIRST, 'version 1')
    equal(ask(server, 'GET', '/schemas/orders/versions/latest')[1]['version'], 2, 'latest')
    for which in ('3', '0', 'x', '99999999999999999999'):
        equal(ask(server, 'GET', '/schemas/orders/versions/' + which)[0], 404, 'version ' + which)


def what_does_not_fit_is_refused(server):
    worse = schema({'id': {'type': 'string'}, 'n': {'type': 'integer'}, 'note': {'type': 'string'}}, ['id', 'note'])
    want = {'obj.n': ['is an integer in the new schema, a number in the old one'], 'obj.note': ['is required in the new schema only']}
    equal(ask(server, 'POST', '/schemas/orders/check', worse), (200, {'compatible': False, 'incompatible': want}), 'check')
    status, answer = ask(server, 'PUT', '/schemas/orders', worse)
    equal((status, answer['incompatible']), (409, want), 'put')
    expect('BACKWARD' in answer['message'] and 'version 2' in answer['message'], answer)
    equal(ask(server, 'PUT', '/schemas/orders?key=note', SECOND)[0], 409, 'another key')
    equal(ask(server, 'GET', '/schemas/orders/compatibility'), (200, {'compatibility': 'BACKWARD'}), 'the level')
    for wrong in ({'compatibility': 'SOME'}, {'compatibility': 1}, {}, {'compatibility': 'NONE', 'more': 1}):
        equal(ask(server, 'PUT', '/schemas/orders/compatibility', wrong)[0], 400, 'level %r' % wrong)
    equal(ask(server, 'PUT', '/schemas/orders/compatibility', {'compatibility': 'FORWARD'}), (200, {'compatibility': 'FORWARD'}), 'forward')
    equal(ask(server, 'POST', '/schemas/orders/check', worse), (200, {'compatible': True}), 'forward')
    equal(ask(server, 'PUT', '/schemas/orders/compatibility', {'compatibility': 'FULL'})[0], 200, 'full')
    equal(ask(server, 'POST', '/schemas/orders/check', worse)[1]['compatible'], False, 'full')
    equal(ask(server, 'PUT', '/schemas/orders/compatibility', {'compatibility': 'NONE'})[0], 200, 'none')
    equal(ask(server, 'PUT', '/schemas/orders?key=note', worse), (201, {'topic': 'orders', 'version': 3}), 'none')


def a_restart_keeps_them(server):
    equal(ask(server, 'PUT', '/schemas/other', SECOND)[0], 201, 'another topic')
    before = [ask(server, 'GET', '/schemas' + path) for path in ('', '/orders', '/orders/versions', '/orders/versions/1', '/other')]
    for end in (server.kill, server.stop):
        end()
        server.start()
        after = [ask(server, 'GET', '/schemas' + path) for path in ('', '/orders', '/orders/versions', '/orders/versions/1', '/other')]
        equal(after, before, 'after a restart')
        equal(server.post('/ingest/orders', '{"id":"k3"}')[:2], (400, {'obj.note': ['error.path.missing']}), 'checked after a restart')
        equal(server.post('/ingest/orders', '{"id":"k3","note":"n"}')[0], 202, 'taken after a restart')
    expect(b'n' in [r[1] for r in server.records('orders')], 'a key after a restart')
    expect('k3' in server.smack('sql', '-e', 'SELECT id FROM orders WHERE note = \'n\''), 'SQL sees its columns')


def deleted_is_gone(server):
    equal(ask(server, 'DELETE', '/schemas/orders'), (200, [1, 2, 3]), 'deleted')
    equal(ask(server, 'GET', '/schemas/orders')[0], 404, 'gone')
    equal(server.post('/ingest/orders', '{"anything":2}')[0], 202, 'any JSON again')
    server.kill()
    server.start()
    equal([s['topic'] for s in ask(server, 'GET', '/schemas')[1]], ['other'], 'gone after a restart')
    equal(ask(server, 'PUT', '/schemas/orders', FIRST), (201, {'topic': 'orders', 'version': 1}), 'from 1 again')


def the_configuration_goes_first(server):
    status, answer = ask(server, 'GET', '/schemas/fixed')
    equal((status, answer), (200, {'topic': 'fixed', 'configured': True, 'key': 'id', 'schema': json.loads(FIXED)}), 'shown')
    for method, path in (('PUT', ''), ('POST', '/check'), ('DELETE', ''), ('PUT', '/compatibility')):
        status, answer = ask(server, method, '/schemas/fixed' + path, None if method == 'DELETE' else FIRST)
        equal((status, 'configuration' in answer['message']), (409, True), method + path)


def a_broken_file_ends_the_start(server):
    server.kill()
    path = os.path.join(server.data, 'schemas', 'other.json')
    with open(path, encoding='utf-8') as f:
        text = f.read()
    for wrong in ('', '{}', text.replace('BACKWARD', 'SOME'), text.replace('"version":1', '"version":0'), text.replace('"number"', '"odd"')):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(wrong)
        try:
            server.start()
        except SystemExit:
            expect(server.process.wait(60) != 0, 'it ends with an error')
            expect('other.json' in server.log(), 'it is named: ' + server.log())
        else:
            raise AssertionError('started with %r' % wrong)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    server.start()


if __name__ == '__main__':
    run([what_is_not_there, what_is_no_schema, versions_follow_each_other, what_does_not_fit_is_refused, a_restart_keeps_them, deleted_is_gone,
         the_configuration_goes_first, a_broken_file_ends_the_start], Ingest(CONFIG, {'fixed.json': FIXED}))
