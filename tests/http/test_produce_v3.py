#!/usr/bin/python3
# platform: own
"""POST /v3/clusters/{cluster_id}/topics/{topic}/records as producers of Confluent's REST Proxy (version 3) send it: one record, many of them
one behind the other, all types, headers, timestamps, partitions, and what is said of those that are wrong; and what such producers ask before."""
import base64
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ingest_server import DEADLINE_S, Ingest, equal, expect, read_to_end, run  # noqa: E402

CONFIG = '''
[topic plain]
partitions = 3
[topic stamped]
partitions = 1
[topic checked]
partitions = 1
schema = schema.json
key = id
'''
SCHEMA = {'type': 'object', 'required': ['id'], 'properties': {'id': {'type': 'string'}, 'n': {'type': 'integer'}}}


def get(server, path, method='GET', body=None):
    """(status, answer, headers)"""
    request = urllib.request.Request('http://%s%s' % (server.address, path), body, {'Content-Type': 'application/json'}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as got:
            return got.status, json.load(got), got.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def cluster(server):
    return get(server, '/v3/clusters')[1]['data'][0]['cluster_id']


def produce(server, topic, records, headers=None, kind='application/json', path=None):
    """records: a list, or text. (status, [a report each])"""
    body = records if isinstance(records, (str, bytes)) else '\n'.join(json.dumps(r) for r in records)
    status, answer, got = server.post(path or '/v3/clusters/%s/topics/%s/records' % (cluster(server), topic), body, kind, headers)
    equal(got['Content-Type'], 'application/json', 'type of the answer')
    lines = [answer] if isinstance(answer, dict) else [json.loads(line) for line in answer.splitlines()]
    return status, lines


def one(server, topic, record):
    status, reports = produce(server, topic, [record])
    equal((status, len(reports)), (200, 1), reports)
    return reports[0]


def stored(server, topic):
    return [(partition, key, value) for partition, key, value, _ in server.records(topic)]


def the_cluster_and_its_topics(server):
    status, found, got = get(server, '/v3/clusters')
    base = 'http://%s/v3/clusters' % server.address
    equal((status, got['Content-Type'], found['kind'], found['metadata'], len(found['data'])),
          (200, 'application/json', 'KafkaClusterList', {'self': base, 'next': None}, 1), found)
    it = found['data'][0]
    import confluent_kafka.admin
    admin = confluent_kafka.admin.AdminClient({'bootstrap.servers': server.kafka})
    equal(it['cluster_id'], admin.list_topics(timeout=DEADLINE_S).cluster_id, "the cluster's id, as Kafka's clients hear it")
    equal((it['kind'], it['metadata']['self'], it['topics']['related']),
          ('KafkaCluster', base + '/' + it['cluster_id'], base + '/' + it['cluster_id'] + '/topics'), it)
    equal(get(server, '/v3/clusters/' + it['cluster_id'])[:2], (200, it), 'by its id')
    here = '/v3/clusters/' + it['cluster_id']
    status, found, _ = get(server, here + '/topics')
    equal((status, found['kind'], found['metadata']['self']), (200, 'KafkaTopicList', 'http://' + server.address + here + '/topics'), found)
    topics = {t['topic_name']: t for t in found['data']}
    expect({'plain', 'stamped', 'checked'} <= set(topics), topics.keys())
    equal(found['metadata']['next'], None, 'they fit on one page')
    names, next_, pages = [], here + '/topics?page_size=2', 0
    while next_:
        status, found, _ = get(server, next_)
        equal((status, len(found['data']) <= 2), (200, True), found)
        names += [t['topic_name'] for t in found['data']]
        next_, pages = (found['metadata']['next'] or '').removeprefix('http://' + server.address), pages + 1
    equal((sorted(names), len(names), pages > 1), (sorted(topics), len(topics), True), 'page by page')
    for size in ('0', '1001', 'x', '', '99999999999999999999'):
        equal(get(server, here + '/topics?page_size=' + size)[0], 400, 'a page of %r topics' % size)
    topic = topics['plain']
    equal((topic['kind'], topic['cluster_id'], topic['is_internal'], topic['replication_factor'], topic['partitions_count']),
          ('KafkaTopic', it['cluster_id'], False, 1, 3), topic)
    equal(topics.get('__consumer_offsets', {'is_internal': True})['is_internal'], True, 'an internal one')
    equal(get(server, here + '/topics/plain')[:2], (200, topic), 'by its name')
    equal(topic['metadata'], {'self': 'http://%s%s/topics/plain' % (server.address, here),
                              'resource_name': 'crn:///kafka=%s/topic=plain' % it['cluster_id']}, 'metadata')


def every_type(server):
    data = bytes(range(256))
    text = 'Grüße "x"\n'
    for partition, key, value, want in (
            (0, {'type': 'BINARY', 'data': base64.b64encode(data).decode()}, {'type': 'BINARY', 'data': ''}, (data, b'')),
            (1, {'type': 'STRING', 'data': text}, {'type': 'STRING', 'data': ''}, (text.encode(), b'')),
            (2, {'type': 'JSON', 'data': {'a': [1]}}, {'type': 'JSON', 'data': 'x'}, (b'{"a": [1]}', b'"x"')),
            (0, {'type': 'JSON', 'data': False}, {'type': 'JSON', 'data': 1.50}, (b'false', b'1.5')),
            (0, {'type': 'BINARY', 'data': None}, {'type': 'STRING', 'data': None}, (None, None)),
            (0, {'type': 'JSON'}, {'type': 'JSON', 'data': None, 'schema_id': None, 'subject': None}, (None, None))):
        report = one(server, 'plain', {'partition_id': partition, 'key': key, 'value': value})
        equal((report['error_code'], report['cluster_id'], report['topic_name'], report['partition_id']),
              (200, cluster(server), 'plain', partition), report)
        equal((report['key'], report['value']),
              ({'type': key['type'], 'size': len(want[0] or b'')}, {'type': value['type'], 'size': len(want[1] or b'')}), 'sizes')
        found = [r for r in stored(server, 'plain') if r[0] == partition]
        equal((found[report['offset']][1:], len(found)), (want, report['offset'] + 1), 'what is stored of %r %r' % (key, value))


def all_may_be_left_out(server):
    before = len(stored(server, 'plain'))
    for record in ({}, {'key': None, 'value': None, 'partition_id': None, 'headers': None, 'timestamp': None}, {'headers': []}):
        report = one(server, 'plain', record)
        equal((report['error_code'], 'key' in report, 'value' in report), (200, False, False), report)
    equal([r[1:] for r in stored(server, 'plain')].count((None, None)) >= 3, True, 'none of key and value')
    equal(len(stored(server, 'plain')), before + 3, 'stored')


def headers_and_times(server):
    headers = [{'name': 'a', 'value': 'YQ=='}, {'name': 'a', 'value': None}, {'name': 'ü', 'value': ''}, {'name': 'none'}]
    times = {'2021-02-05T19:14:42Z': 1612552482000, '2021-02-05T19:14:42.123456+01:00': 1612548882123, '1970-01-01T00:00:00Z': 0}
    records = [{'value': {'type': 'STRING', 'data': time}, 'timestamp': time, 'headers': headers} for time in times]
    status, reports = produce(server, 'stamped', records + [{'value': {'type': 'STRING', 'data': 'now'}}])
    equal((status, [r['error_code'] for r in reports]), (200, [200] * 4), reports)
    equal([r['timestamp'] for r in reports[:3]], ['2021-02-05T19:14:42.000Z', '2021-02-05T18:14:42.123Z', '1970-01-01T00:00:00.000Z'], 'times')
    import confluent_kafka
    consumer = confluent_kafka.Consumer({'bootstrap.servers': server.kafka, 'group.id': 'times', 'auto.offset.reset': 'earliest'})
    consumer.assign([confluent_kafka.TopicPartition('stamped', 0, 0)])
    for want in list(times.values()) + [None]:
        message = consumer.poll(DEADLINE_S)
        expect(message is not None and not message.error(), 'a record')
        if want is not None:
            equal(message.timestamp(), (confluent_kafka.TIMESTAMP_CREATE_TIME, want), 'its time')
            equal(message.headers(), [('a', b'a'), ('a', None), ('ü', b''), ('none', None)], 'its headers')
    consumer.close()


def a_time_that_the_topic_refuses_is_told(server):
    import confluent_kafka.admin
    admin = confluent_kafka.admin.AdminClient({'bootstrap.servers': server.kafka})
    for future in admin.create_topics([confluent_kafka.admin.NewTopic('recent', 1, config={'message.timestamp.before.max.ms': '3600000'}),
                                       confluent_kafka.admin.NewTopic('own', 1, config={'message.timestamp.type': 'LogAppendTime'})]).values():
        future.result(DEADLINE_S)
    report = one(server, 'recent', {'value': {'type': 'STRING', 'data': 'old'}, 'timestamp': '2021-02-05T19:14:42Z'})
    equal(report['error_code'], 50002, report)
    equal(one(server, 'recent', {'value': {'type': 'STRING', 'data': 'new'}})['error_code'], 200, 'one without a time')
    report = one(server, 'own', {'value': {'type': 'STRING', 'data': 'x'}, 'timestamp': '2021-02-05T19:14:42Z'})
    equal((report['error_code'], report['timestamp'] > '2026'), (200, True), report)


def one_behind_the_other(server):
    before = len(stored(server, 'plain'))
    records = [{'partition_id': n % 3, 'value': {'type': 'JSON', 'data': {'n': n}}} for n in range(1000)]
    for body in ('\n'.join(map(json.dumps, records)), ''.join(map(json.dumps, records)), ' \r\n\t'.join(map(json.dumps, records)) + '\n\n'):
        status, reports = produce(server, 'plain', body)
        equal((status, len(reports), {r['error_code'] for r in reports}), (200, 1000, {200}), 'reports')
        found = stored(server, 'plain')
        per = {p: [v for q, _, v in found if q == p] for p in range(3)}
        for n, report in enumerate(reports):
            equal((report['partition_id'], per[n % 3][report['offset']]), (n % 3, json.dumps({'n': n}).encode()), 'record %d' % n)
    equal(len(stored(server, 'plain')) - before, 3000, 'stored')


def what_is_wrong_holds_up_no_other(server):
    before = len(stored(server, 'plain'))
    good = {'value': {'type': 'STRING', 'data': 'good'}}
    wrong = [({'partition_id': 3}, 40403), ({'partition_id': -1}, 400), ({'partition_id': '0'}, 400), ({'partition_id': 1.0}, 400),
             ({'partition_id': 99999999999}, 400),
             ({'value': {'type': 'BINARY', 'data': '!'}}, 400), ({'value': {'type': 'BINARY', 'data': 1}}, 400), ({'value': {'type': 'STRING', 'data': 1}}, 400),
             ({'value': {'data': 1}}, 400), ({'value': {'type': 'AVRO', 'data': 1}}, 400), ({'value': {'type': 'json', 'data': 1}}, 400),
             ({'value': {'type': 1, 'data': 1}}, 400), ({'value': {'schema_id': 1, 'data': 1}}, 400), ({'value': {'type': 'JSON', 'schema': '{}', 'data': 1}}, 400),
             ({'value': {'type': 'JSON', 'data': 1, 'more': 1}}, 400), ({'value': 'x'}, 400), ({'key': []}, 400), ({'key': {}}, 400),
             ({'timestamp': 1612552482000}, 400), ({'timestamp': 'yesterday'}, 400), ({'timestamp': '1969-12-31T23:59:59Z'}, 400),
             ({'headers': {}}, 400), ({'headers': [1]}, 400), ({'headers': [{}]}, 400), ({'headers': [{'value': 'YQ=='}]}, 400),
             ({'headers': [{'name': 1}]}, 400), ({'headers': [{'name': 'a', 'value': '!'}]}, 400), ({'headers': [{'name': 'a', 'x': 1}]}, 400),
             ({'headers': [{'name': 'a'}] * 1001}, 413), ({'value': {'type': 'STRING', 'data': 'x' * 1100000}}, 413),
             ({'records': [{'value': 1}]}, 400), ([], 400), (1, 400), ('x', 400)]
    records = [r for record, _ in wrong for r in (good, record)] + [good]
    status, reports = produce(server, 'plain', records)
    equal((status, len(reports)), (200, len(records)), 'reports')
    equal([r['error_code'] for r in reports[::2]], [200] * (len(wrong) + 1), 'the good ones')
    for (record, code), report in zip(wrong, reports[1::2]):
        equal((report['error_code'], bool(report['message']), 'offset' in report), (code, True, False), '%.200r: %r' % (record, report))
    for twice in ('{"value":null,"value":null}', '{"value":{"type":"JSON","type":"JSON"}}', '{"headers":[{"name":"a","name":"a"}]}'):
        equal(produce(server, 'plain', twice)[1][0]['error_code'], 400, twice)
    equal(len(stored(server, 'plain')) - before, len(wrong) + 1, 'stored')


def behind_broken_text_nothing_is_known(server):
    before = len(stored(server, 'plain'))
    good = json.dumps({'value': {'type': 'STRING', 'data': 'good'}})
    for broken in ('{', '{"value":{"type":"JSON","data":01}}', '}', ',', '{"a"}', 'nul', '"\udcff"', '[' * 200):
        body = (good + broken + good).encode('utf-8', 'surrogateescape')
        status, reports = produce(server, 'plain', body)
        equal((status, [r['error_code'] for r in reports]), (200, [200, 400]), broken)
    equal(len(stored(server, 'plain')) - before, 8, 'stored')


def what_is_refused_as_a_whole(server):
    before = len(stored(server, 'plain'))
    here = '/v3/clusters/' + cluster(server)
    good = '{}'
    for path, body, status, code in (
            (here + '/topics/plain/records', '', 422, 422), (here + '/topics/plain/records', ' \n', 422, 422),
            (here + '/topics/none/records', good, 404, 40403), (here + '/topics/__consumer_offsets/records', good, 404, 40403),
            ('/v3/clusters/other/topics/plain/records', good, 404, 404), (here + '/topics/plain/records', good * 10001, 413, 413)):
        got, answer = produce(server, None, body, path=path)
        equal((got, [a['error_code'] for a in answer]), (status, [code]), path)
    equal([(s, a[0]['error_code']) for s, a in (produce(server, 'plain', good, kind=kind) for kind in ('text/plain', 'application/vnd.kafka.json.v2+json'))],
          [(415, 415)] * 2, 'another type')
    equal(produce(server, 'plain', good, {'Idempotency-Key': 'x'})[0], 400, 'Idempotency-Key')
    equal(produce(server, 'plain', good, {'Origin': 'https://evil.example'})[1][0]['error_code'], 403, 'a page')
    equal(len(stored(server, 'plain')), before, 'nothing of them is stored')
    status, reports = produce(server, 'plain', good * 10000)
    equal((status, len(reports)), (200, 10000), 'as many as may be')


def what_is_not_here_is_refused_by_name(server):
    here = '/v3/clusters/' + cluster(server)
    for method, path, status, word in (
            ('GET', here + '/acls', 501, 'acls'), ('GET', here + '/consumer-groups/x/lags', 501, 'consumer-groups'), ('GET', here + '/brokers', 501, 'brokers'),
            ('POST', here + '/topics', 501, 'smack topic'), ('DELETE', here + '/topics/acls', 501, '"topics"'), ('GET', here + '/topics/plain/configs', 501, 'configs'),
            ('GET', here + '/topics/plain/partitions', 501, 'partitions'), ('POST', here + '/topics/plain/records:batch', 501, 'records:batch'),
            ('GET', here + '/topics/plain/records', 405, '405'), ('POST', here, 501, 'clusters'), ('GET', '/v3/nothing', 404, '404'), ('GET', '/v3/', 404, '404'),
            ('GET', '/v3/clusters/other', 404, cluster(server)), ('GET', '/v3/clusters/other/topics', 404, cluster(server)),
            ('GET', here + '/topics/none', 404, 'topic-partition')):
        got, answer, headers = get(server, path, method, b'{}' if method == 'POST' else None)
        equal((got, answer['error_code'] in (status, 40403), word in answer['message']), (status, True, True), '%s %s: %r' % (method, path, answer))
        equal(headers['Allow'], 'POST' if got == 405 else None, 'Allow')


def a_schema_is_asked(server):
    fits, fits_not = {'type': 'JSON', 'data': {'id': 'a'}}, {'type': 'JSON', 'data': {'id': 1}}
    text = {'type': 'BINARY', 'data': base64.b64encode(b'{"id":"c"}').decode()}
    status, reports = produce(server, 'checked', [{'value': fits}, {'value': fits_not}, {'value': None},
                                                  {'value': text, 'key': {'type': 'STRING', 'data': 'own'}}])
    equal((status, [r['error_code'] for r in reports]), (200, [200, 422, 422, 200]), reports)
    expect('{"obj.id":["error.expected.jsstring"]}' in reports[1]['message'], reports[1])
    equal(stored(server, 'checked'), [(0, b'a', b'{"id": "a"}'), (0, b'own', b'{"id":"c"}')], 'stored')


def in_chunks_and_pipelined(server):
    record = b'{"partition_id":1,"value":{"type":"STRING","data":"c"}}'
    head = ('POST /v3/clusters/%s/topics/plain/records HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json; charset=UTF-8\r\n' %
            (cluster(server), server.address)).encode()
    chunks = b''.join(b'%x\r\n%s\r\n' % (len(p), p) for p in (record + record[:9], record[9:], record))
    one_request = head + b'Transfer-Encoding: chunked\r\n\r\n' + chunks + b'0\r\n\r\n'
    with socket.create_connection(server.host_port, timeout=DEADLINE_S) as s:
        s.sendall(one_request * 5 + one_request.replace(b'Host:', b'Connection: close\r\nHost:'))
        got = read_to_end(s)
    equal((got.count(b'HTTP/1.1 200 OK'), got.count(b'"error_code":200')), (6, 18), got)
    done = subprocess.run(['curl', '-sS', '--max-time', '60', '--http2-prior-knowledge', '-H', 'Content-Type: application/json', '-d', '@-',
                           'http://%s/v3/clusters/%s/topics/plain/records' % (server.address, cluster(server))], input=record * 3,
                          stdout=subprocess.PIPE, check=True)
    equal([json.loads(line)['error_code'] for line in done.stdout.splitlines()], [200] * 3, 'over HTTP/2')


if __name__ == '__main__':
    run([the_cluster_and_its_topics, every_type, all_may_be_left_out, headers_and_times, a_time_that_the_topic_refuses_is_told, one_behind_the_other,
         what_is_wrong_holds_up_no_other, behind_broken_text_nothing_is_known, what_is_refused_as_a_whole, what_is_not_here_is_refused_by_name,
         a_schema_is_asked, in_chunks_and_pipelined], Ingest(CONFIG, {'schema.json': json.dumps(SCHEMA)}))
