#!/usr/bin/python3
# platform: own
"""Documents as Marathon's and Chronos' users write them (documents/): each is taken as it is and does its work. What needs another
machine (Spark, S3) is put in its place by small programs that the documents fetch or find."""
import http.server
import json
import os
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import Server, expect, run, wait_for  # noqa: E402

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'documents')
SMALL = {'cpus': 0.1, 'mem': 16}
ROOT = os.geteuid() == 0


def document(name):
    with open(os.path.join(HERE, name), encoding='utf-8') as f:
        return json.load(f)


def write(server, name, text):
    path = os.path.join(server.dir, name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def app(server, name):
    return server.ask('GET', '/v2/apps' + name, expected=200)[1]['app']


def failure(server, name):
    return app(server, name).get('lastTaskFailure', {}).get('message', '')


SERVE = """
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        bad = os.path.exists(os.environ['SICK']) and self.path.startswith('/api')
        self.send_response(500 if bad else 200); self.end_headers(); self.wfile.write(b'here')
    def log_message(self, *a): pass
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()
"""


def a_spark_app_as_it_is_written(server):
    posted = document('marathon-spark-app.json')
    server.ask('POST', '/v2/apps', posted, 201)
    # This machine has no such user or file: the task fails and says which; the document is kept as it was given.
    text = wait_for('a reason', lambda: failure(server, posted['id']))
    expect('sessionize.jar' in text, text)
    shown = app(server, posted['id'])
    for member, value in posted.items():
        expect(shown[member] == value, '%s: %s' % (member, shown[member]))
    # The same with what it needs in place: a spark-submit of ours, a jar, a user that is there.
    os.chmod(server.dir, 0o755)
    os.makedirs(os.path.join(server.dir, 'spark', 'bin'))
    write(server, 'serve.py', SERVE)
    write(server, 'spark/bin/spark-submit', '#!/bin/sh\nid -un; echo "$@"; ls -l "$MESOS_SANDBOX"/sessionize.jar; echo $PORT_UI $PORT0\n'
          'exec python3 %s/serve.py $PORT_UI\n' % server.dir)
    jar = write(server, 'sessionize.jar', 'jar')
    sick = os.path.join(server.dir, 'sick')
    me = 'nobody' if ROOT else None
    health = dict(posted['healthChecks'][0], intervalSeconds=1, delaySeconds=0, gracePeriodSeconds=30, maxConsecutiveFailures=2)
    change = {'user': me, 'fetch': [{'uri': 'file://' + jar}], 'mem': 64, 'healthChecks': [health],
              'env': {'SPARK_HOME': os.path.join(server.dir, 'spark'), 'SICK': sick}}
    server.ask('PUT', '/v2/apps' + posted['id'], change, 200)
    wait_for('it is healthy', lambda: app(server, posted['id'])['tasksHealthy'] == 1)
    shown = wait_for('it is ready', lambda: [a for a in [app(server, posted['id'])] if a['readinessCheckResults'][0]['ready']])[0]
    expect(shown['readinessCheckResults'][0]['lastResponse']['body'] == 'here', shown)
    wait_for('the deployment is over', lambda: app(server, posted['id'])['deployments'] == [])
    result = shown['tasks'][0]['healthCheckResults'][0]
    expect(result['alive'] and result['firstSuccess'], result)
    lines = server.logs('apps', posted['id']).splitlines()
    expect(not ROOT or lines[0] == 'nobody', lines)
    expect('--class com.example.Sessionize' in lines[1] and 'sessionize.jar' in lines[2], lines)
    expect(lines[3].split()[0] == lines[3].split()[1] == str(shown['tasks'][0]['ports'][0]), lines)
    # Sick twice in a row: it is killed and another one started.
    task = shown['tasks'][0]['id']
    open(sick, 'w', encoding='utf-8').close()
    wait_for('another task', lambda: [t for t in app(server, posted['id'])['tasks'] if t['id'] != task])
    expect('health check failed 2 times: status 500' in failure(server, posted['id']), failure(server, posted['id']))
    os.remove(sick)
    wait_for('it is healthy again', lambda: app(server, posted['id'])['tasksHealthy'] == 1)
    server.ask('DELETE', '/v2/apps' + posted['id'], expected=200)


def a_group_with_dependencies(server):
    posted = document('marathon-group.json')
    expect(server.ask('PUT', '/v2/groups?dryRun=true', posted, 200)[1] == {'steps': []}, 'a dry run')
    server.ask('GET', '/v2/groups/shop', expected=404)
    _, answer, headers = server.ask('POST', '/v2/groups', posted, 201)
    expect(answer['deploymentId'] == headers['Marathon-Deployment-Id'], answer)
    server.ask('POST', '/v2/groups', posted, 409)
    group = server.ask('GET', '/v2/groups/shop', expected=200)[1]
    expect(sorted(g['id'] for g in group['groups']) == ['/shop/jobs', '/shop/store'], group)
    jobs = [g for g in group['groups'] if g['id'] == '/shop/jobs'][0]
    expect(jobs['dependencies'] == ['/shop/store'] and jobs['apps'][0]['id'] == '/shop/jobs/enrich', jobs)
    # The programs are not there.
    wait_for('ingest fails', lambda: failure(server, '/shop/store/ingest'))
    ready = os.path.join(server.dir, 'ready')
    posted['groups'][0]['apps'][0].update(cmd='echo $PORT0; sleep 1000', healthChecks=[
        {'protocol': 'COMMAND', 'command': {'value': 'test -e %s && test -n "$PORT0"' % ready}, 'intervalSeconds': 1, 'delaySeconds': 0}])
    posted['groups'][1]['apps'][0].update(cmd='echo enriching; sleep 1000')
    server.ask('PUT', '/v2/groups', posted, 200)
    wait_for('ingest runs', lambda: app(server, '/shop/store/ingest')['tasksRunning'] == 2)
    expect(app(server, '/shop/jobs/enrich')['tasksRunning'] == 0, 'enrich does not wait for its health')
    open(ready, 'w', encoding='utf-8').close()
    wait_for('enrich runs', lambda: 'enriching' in server.logs('apps', '/shop/jobs/enrich'))
    # All of it survives the server.
    server.kill()
    server.start()
    wait_for('both run again', lambda: app(server, '/shop/jobs/enrich')['tasksRunning'] == 1 and
             app(server, '/shop/store/ingest')['tasksRunning'] == 2)
    expect(server.ask('GET', '/v2/groups/shop/jobs', expected=200)[1]['dependencies'] == ['/shop/store'], 'dependencies')
    # A smaller document takes away what it does not name; a scale is for all below.
    server.ask('PUT', '/v2/groups/shop/store', {'scaleBy': 0.5}, 200)
    wait_for('one', lambda: app(server, '/shop/store/ingest')['tasksRunning'] == 1)
    server.ask('PUT', '/v2/groups/shop', {'groups': [posted['groups'][0]]}, 200)
    wait_for('no enrich', lambda: server.ask('GET', '/v2/apps/shop/jobs/enrich')[0] == 404)
    server.ask('PUT', '/v2/groups/shop', {'groups': [{'id': '/other/x'}]}, 422)
    server.ask('PUT', '/v2/groups/shop', {'apps': [{'id': 'a', 'cmd': 'sleep 1', 'cpus': -1}]}, 422)
    server.ask('DELETE', '/v2/groups/shop', expected=200)
    wait_for('no group', lambda: server.ask('GET', '/v2/groups/shop')[0] == 404)


def an_upgrade_keeps_the_old_until_the_new_serves(server):
    ready = os.path.join(server.dir, 'new-ready')
    check = {'protocol': 'COMMAND', 'command': {'value': 'test $VERSION = old || test -e ' + ready}, 'intervalSeconds': 1, 'delaySeconds': 0}
    server.ask('PUT', '/v2/apps/rolling', dict(SMALL, cmd='sleep 1000', instances=2, env={'VERSION': 'old'}, healthChecks=[check]), 201)
    wait_for('the old serves', lambda: app(server, '/rolling')['tasksHealthy'] == 2)
    first = app(server, '/rolling')['version']
    server.ask('PUT', '/v2/apps/rolling', {'env': {'VERSION': 'new'}}, 200)
    wait_for('the new runs beside it', lambda: app(server, '/rolling')['tasksRunning'] == 4)
    deployments = server.ask('GET', '/v2/deployments', expected=200)[1]
    expect([d['affectedApps'] for d in deployments] == [['/rolling']], deployments)
    expect(sum(t['version'] == first for t in app(server, '/rolling')['tasks']) == 2, 'the old has gone too early')
    open(ready, 'w', encoding='utf-8').close()
    wait_for('only the new', lambda: {t['version'] for t in app(server, '/rolling')['tasks']} == {app(server, '/rolling')['version']} and
             app(server, '/rolling')['tasksRunning'] == 2)
    wait_for('no deployment', lambda: server.ask('GET', '/v2/deployments', expected=200)[1] == [])
    versions = server.ask('GET', '/v2/apps/rolling/versions', expected=200)[1]['versions']
    expect(len(versions) == 2 and versions[1] == first, versions)
    expect(server.ask('GET', '/v2/apps/rolling/versions/' + first, expected=200)[1]['env'] == {'VERSION': 'old'}, 'the former version')
    server.ask('GET', '/v2/apps/rolling/versions/2001-01-01T00:00:00.000Z', expected=404)
    server.kill()
    server.start()
    expect(server.ask('GET', '/v2/apps/rolling/versions', expected=200)[1]['versions'] == versions, 'versions over a restart')
    server.ask('PUT', '/v2/apps/rolling', {'version': first}, 200)
    expect(app(server, '/rolling')['env'] == {'VERSION': 'old'}, 'the rollback')
    server.ask('DELETE', '/v2/apps/rolling', expected=200)


def files_are_fetched(server):
    inner = write(server, 'inner.txt', 'from an archive')
    archive = os.path.join(server.dir, 'some.tar.gz')
    with tarfile.open(archive, 'w:gz') as tar:
        tar.add(inner, 'inner.txt')

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=server.dir)

        def log_message(self, *args):
            pass
    web = http.server.HTTPServer(('127.0.0.1', 0), Files)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    tool = write(server, 'tool.sh', '#!/bin/sh\necho tool\n')
    server.ask('POST', '/v2/apps', dict(SMALL, id='/fetches', cmd='cat inner.txt; echo; ./tool.sh; test -x kept.tar.gz || ls kept.tar.gz; sleep 1000',
                                        fetch=[{'uri': 'http://127.0.0.1:%d/some.tar.gz?x=1' % web.server_port},
                                               {'uri': tool, 'executable': True},
                                               {'uri': 'file://' + archive, 'extract': False, 'outputFile': 'kept.tar.gz'}]), 201)
    out = wait_for('its output', lambda: server.logs('apps', '/fetches').splitlines()[2:] and server.logs('apps', '/fetches').splitlines())
    expect(out == ['from an archive', 'tool', 'kept.tar.gz'], out)
    server.ask('DELETE', '/v2/apps/fetches', expected=200)
    web.shutdown()
    for wrong in ({'uri': 's3://bucket/x'}, {'uri': '/etc/'}, {'uri': '/etc/passwd', 'outputFile': '../x'}, {}):
        answer = server.ask('POST', '/v2/apps', dict(SMALL, id='/w', cmd='sleep 1', fetch=[wrong]), 422)[1]
        expect(answer['details'][0]['path'] == '/fetch', answer)


def wrong_members_are_named(server):
    port = [{'port': 0, 'name': 'a'}]
    for wrong, path in (({'ports': [1], 'portDefinitions': port}, 'portDefinitions'), ({'portDefinitions': port * 2}, 'portDefinitions'),
                        ({'uris': ['/a/b'], 'fetch': [{'uri': '/a/b'}]}, 'fetch'),
                        ({'upgradeStrategy': {'minimumHealthCapacity': 2}}, 'upgradeStrategy'),
                        ({'unreachableStrategy': {'inactiveAfterSeconds': 2, 'expungeAfterSeconds': 1}}, 'unreachableStrategy'),
                        ({'constraints': [['hostname', 'NEAR']]}, 'constraints'),
                        ({'healthChecks': [{'protocol': 'UDP'}]}, 'healthChecks'),
                        ({'healthChecks': [{'protocol': 'COMMAND'}]}, 'healthChecks'),
                        ({'portDefinitions': port, 'readinessChecks': [{}]}, 'readinessChecks'),
                        ({'portDefinitions': port, 'readinessChecks': [{'portName': 'a', 'intervalSeconds': 5}]}, 'readinessChecks'),
                        ({'dependencies': 'x'}, 'dependencies'), ({'user': 7}, 'user')):
        answer = server.ask('POST', '/v2/apps', dict(SMALL, id='/wrong', cmd='sleep 1', **wrong), 422)[1]
        expect(answer['details'][0]['path'] == '/' + path, '%s: %s' % (wrong, answer))


def job(server, name):
    return server.ask('GET', '/v1/scheduler/job/' + name, expected=200)[1]


def a_compaction_in_a_time_zone(server):
    posted = document('chronos-s3-compaction.json')
    server.ask('POST', '/v1/scheduler/iso8601', posted, 204)
    shown = job(server, posted['name'])
    for member, value in posted.items():
        if member != 'schedule':
            expect(shown[member] == value, '%s: %s' % (member, shown[member]))
    script = write(server, 'compact-s3.sh', '#!/bin/sh\nid -un; echo "$1 $2 $AWS_ENDPOINT_URL"\n')
    os.chmod(server.dir, 0o755)
    changed = dict(posted, fetch=[{'uri': 'file://' + script, 'executable': True}], runAsUser='nobody' if ROOT else '',
                   schedule='R/%d-01-01T00:05:00.000Z/PT1H' % (time.gmtime().tm_year + 1))
    server.ask('POST', '/v1/scheduler/iso8601', changed, 204)
    # The clock time that was written is the zone's: in January five past midnight there.
    expect(job(server, posted['name'])['schedule'].endswith('-01-01T00:05:00.000+01:00/PT1H'), job(server, posted['name'])['schedule'])
    server.ask('PUT', '/v1/scheduler/job/' + posted['name'], expected=204)
    wait_for('a success', lambda: job(server, posted['name'])['successCount'] >= 1)
    lines = server.logs('jobs', posted['name']).splitlines()
    expect((not ROOT or lines[0] == 'nobody') and lines[1] == 's3://events/raw s3://events/hourly http://127.0.0.1:9000', lines)
    for wrong in ('Mars/Olympus', '../../etc/passwd'):
        answer = server.ask('POST', '/v1/scheduler/iso8601', dict(changed, scheduleTimeZone=wrong))
        expect(answer[0] in (400, 404) and wrong in answer[1]['message'], answer)
    server.ask('DELETE', '/v1/scheduler/job/' + posted['name'], expected=204)


def a_graph_of_jobs(server):
    order = os.path.join(server.dir, 'order')
    write(server, 'extract.sh', '#!/bin/sh\necho $1 >> %s\n' % order)
    for entry in document('chronos-graph.json'):
        method, path = entry['endpoint'].split()
        body = dict(entry['body'], cpus=0.1, mem=16)
        server.ask(method, path, body, 204)
        # Paris or not, they are due since the beginning of 2026: held back until all four are there.
        server.ask(method, path, dict(body, disabled=True, command=body['command'].replace('spark-submit', 'echo'), arguments=['it\'s']), 204)
    server.ask('GET', '/v1/scheduler/graph/dot', expected=200)
    rows = server.ask('GET', '/v1/scheduler/graph/csv', expected=200)[1].splitlines()
    expect('link,extract-orders,join-orders-users' in rows and 'link,join-orders-users,publish-report' in rows, rows)
    expect(any(r.startswith('node,publish-report,') for r in rows), rows)
    found = server.ask('GET', '/v1/scheduler/jobs/search?name=extract', expected=200)[1]
    expect(sorted(j['name'] for j in found) == ['extract-orders', 'extract-users'], found)
    expect(server.ask('GET', '/v1/scheduler/jobs/search?command=publish&limit=1', expected=200)[1][0]['name'] == 'publish-report', 'search')
    for entry in document('chronos-graph.json'):
        method, path = entry['endpoint'].split()
        name = entry['body']['name']
        command = 'echo %s >> %s' % (name, order)
        server.ask(method, path, dict(entry['body'], cpus=0.1, mem=16, command=command, arguments=[]), 204)
    for name in ('extract-orders', 'extract-users'):
        server.ask('PUT', '/v1/scheduler/job/' + name, expected=204)
    wait_for('the whole graph ran', lambda: os.path.exists(order) and 'publish-report' in open(order, encoding='utf-8').read())
    ran = open(order, encoding='utf-8').read().split()
    expect({'extract-orders', 'extract-users'} <= set(ran[:ran.index('join-orders-users')]), ran)
    expect(ran.index('join-orders-users') < ran.index('publish-report'), ran)
    wait_for('a figure', lambda: job(server, 'publish-report')['successCount'] >= 1)
    expect(server.ask('GET', '/v1/scheduler/job/stat/publish-report', expected=200)[1]['count'] >= 1, 'stat')
    names = [s['jobNameLabel'] for s in server.ask('GET', '/v1/scheduler/stats/median', expected=200)[1]]
    expect('publish-report' in names, names)
    for name in ('publish-report', 'join-orders-users', 'extract-orders', 'extract-users'):
        server.ask('DELETE', '/v1/scheduler/job/' + name, expected=204)


run([a_spark_app_as_it_is_written, a_group_with_dependencies, an_upgrade_keeps_the_old_until_the_new_serves, files_are_fetched,
     wrong_members_are_named, a_compaction_in_a_time_zone, a_graph_of_jobs], Server('[cluster]\ncpus = 8\n'))
