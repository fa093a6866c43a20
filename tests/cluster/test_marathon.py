#!/usr/bin/python3
# platform: own
"""Long-running apps as Marathon's clients make, watch, change and kill them."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import Server, alive, expect, run, wait_for  # noqa: E402

SMALL = {'cpus': 0.1, 'mem': 16}


def app(server, name):
    return server.ask('GET', '/v2/apps' + name, expected=200)[1]['app']


def running(server, name, count):
    return wait_for('%s runs %d times' % (name, count),
                    lambda: app(server, name)['tasksRunning'] == count and len(app(server, name)['tasks']) == count)


def gone(server, name):
    wait_for(name + ' is gone', lambda: server.ask('GET', '/v2/apps' + name)[0] == 404)
    wait_for(name + ' has no task', lambda: not [t for t in server.ask('GET', '/v2/tasks')[1]['tasks'] if t['appId'] == name])


def an_app_is_made_shown_and_removed(server):
    document = dict(SMALL, id='/shop/web', cmd='echo "$GREETING $MARATHON_APP_ID $PORT0 $PORT_UI"; sleep 1000', instances=2,
                    env={'GREETING': 'hello', 'HOME': '/elsewhere'}, labels={'team': 'shop'},
                    portDefinitions=[{'port': 0, 'protocol': 'tcp', 'name': 'ui'}], networks=[{'mode': 'host'}], requirePorts=False,
                    constraints=[['hostname', 'LIKE', '.*']], upgradeStrategy={'minimumHealthCapacity': 0, 'maximumOverCapacity': 0},
                    killSelection='YOUNGEST_FIRST')
    _, made, headers = server.ask('POST', '/v2/apps', document, 201)
    expect(made['id'] == '/shop/web' and made['deployments'][0]['id'] == headers['Marathon-Deployment-Id'], made)
    expect(made['backoffFactor'] == 1.15 and made['maxLaunchDelaySeconds'] == 300, 'defaults')
    running(server, '/shop/web', 2)
    ports = {p for t in app(server, '/shop/web')['tasks'] for p in t['ports']}
    expect(len(ports) == 2, ports)
    words = wait_for('its output', lambda: server.logs('apps', '/shop/web')).split()
    expect(words[:2] == ['hello', '/shop/web'] and int(words[2]) in ports and words[3] == words[2], words)
    expect([a['id'] for a in server.ask('GET', '/v2/apps?id=shop')[1]['apps']] == ['/shop/web'], 'the filter')
    expect(server.ask('GET', '/v2/apps?id=other')[1]['apps'] == [], 'the filter')
    expect(len(server.ask('GET', '/v2/apps/shop/web/tasks', expected=200)[1]['tasks']) == 2, 'tasks')
    server.ask('POST', '/v2/apps', document, 409)
    server.ask('DELETE', '/v2/apps//shop/web?force=False', expected=200)
    gone(server, '/shop/web')


def mistakes_are_named(server):
    for wrong, path in (({'cmd': 'sleep 1'}, '/id'), ({'id': '/A', 'cmd': 'sleep 1'}, '/id'), ({'id': '/', 'cmd': 'sleep 1'}, '/id'),
                        ({'id': '/a', 'cmd': 'x'}, '/cmd'), ({'id': '/a'}, '/cmd'), ({'id': '/a', 'cmd': 'sleep 1', 'cpus': -1}, '/cpus'),
                        ({'id': '/a', 'cmd': 'sleep 1', 'instances': 'two'}, '/instances'),
                        ({'id': '/a', 'cmd': 'sleep 1', 'env': {'A': 1}}, '/env'),
                        ({'id': '/a', 'cmd': 'sleep 1', 'backoffFactor': 0.5}, '/backoffFactor'),
                        ({'id': '/a', 'cmd': 'sleep 1', 'container': {'type': 'DOCKER'}}, '/container'),
                        ({'id': '/a', 'cmd': 'sleep 1', 'healthChecks': [{'protocol': 'HTTP'}]}, '/healthChecks')):
        answer = server.ask('POST', '/v2/apps', wrong, 422)[1]
        expect(answer['message'] == 'Object is not valid' and answer['details'][0]['path'] == path, '%s: %s' % (wrong, answer))
        expect(answer['details'][0]['errors'][0], answer)
    server.ask('POST', '/v2/apps', '{"id": ', 400)
    server.ask('POST', '/v2/apps', '[1]', 400)
    for method in ('GET', 'DELETE'):
        expect(server.ask(method, '/v2/apps/none', expected=404)[1]['message'] == "App '/none' does not exist", method)
    server.ask('POST', '/v2/apps/none/restart', expected=404)
    expect(server.ask('GET', '/v2/deployments', expected=200)[1] == [], 'deployments')
    expect(server.ask('GET', '/v2/leader', expected=200)[1]['leader'] == server.address, 'leader')
    expect(server.ask('GET', '/ping', expected=200)[1] == 'pong', 'ping')


def a_change_replaces_what_runs(server):
    server.ask('PUT', '/v2/apps/scaled', dict(SMALL, cmd='sleep 1000', instances=1), 201)
    running(server, '/scaled', 1)
    before = app(server, '/scaled')['tasks'][0]['id']
    server.ask('PUT', '/v2/apps/scaled?force=False', {'instances': 3}, 200)  # what is left out stays
    running(server, '/scaled', 3)
    shown = app(server, '/scaled')
    expect(shown['cmd'] == 'sleep 1000', shown)
    server.ask('PUT', '/v2/apps/scaled', dict(shown, instances=1), 200)  # as clients do: all that they were shown
    running(server, '/scaled', 1)
    now = app(server, '/scaled')['tasks'][0]['id']
    expect(now == before, 'a scale has restarted it')
    server.ask('PUT', '/v2/apps/scaled', {'instances': 1}, 200)  # nothing changes
    expect(app(server, '/scaled')['tasks'][0]['id'] == now, 'restarted without a change')
    server.ask('POST', '/v2/apps/scaled/restart', expected=200)
    wait_for('another task', lambda: [t for t in app(server, '/scaled')['tasks'] if t['id'] != now and t['state'] == 'TASK_RUNNING'])
    server.ask('DELETE', '/v2/apps/scaled/tasks', expected=200)
    server.ask('PUT', '/v2/apps/scaled', {'version': '2026-01-01T00:00:00.000Z'}, 422)
    server.ask('DELETE', '/v2/apps/scaled', expected=200)
    gone(server, '/scaled')


def what_fails_is_started_again_later_and_later(server):
    server.ask('POST', '/v2/apps', dict(SMALL, id='/fails', cmd='echo try; exit 3', backoffSeconds=0.2, backoffFactor=3), 201)
    failure = wait_for('a failure', lambda: app(server, '/fails').get('lastTaskFailure'))
    expect(failure['message'] == 'exit status 3', failure)

    def delay():
        queue = server.ask('GET', '/v2/queue', expected=200)[1]['queue']
        return [q['delay']['timeLeftSeconds'] for q in queue if q['app']['id'] == '/fails']
    wait_for('a delay that has grown', lambda: max(delay(), default=0) >= 4)  # 0.2 0.6 1.8 5.4
    server.ask('DELETE', '/v2/queue/fails/delay', expected=204)
    wait_for('a start without delay', lambda: max(delay(), default=0) <= 1)
    server.ask('DELETE', '/v2/apps/fails', expected=200)
    gone(server, '/fails')


def more_than_there_is_waits_and_says_so(server):
    server.ask('POST', '/v2/apps', {'id': '/large', 'cmd': 'sleep 1000', 'cpus': 1000, 'mem': 16}, 201)
    text = wait_for('a reason', lambda: app(server, '/large').get('lastTaskFailure', {}).get('message'))
    expect('waits for 1000.00 CPUs' in text and 'are free' in text, text)
    server.ask('PUT', '/v2/apps/large', {'cpus': 0.1}, 200)
    running(server, '/large', 1)
    server.ask('DELETE', '/v2/apps/large', expected=200)
    gone(server, '/large')


def a_kill_reaches_grandchildren(server):
    pids = os.path.join(server.dir, 'pids')
    # The child leaves the process group and the session; a second one ignores SIGTERM.
    server.ask('POST', '/v2/apps', dict(SMALL, id='/daemon', cmd='setsid sh -c "echo \\$\\$ >> %s; sleep 1000" & '
                                        '(trap "" TERM; echo $$ >> %s; while :; do sleep 1; done) & sleep 1000' % (pids, pids)), 201)
    wait_for('both', lambda: os.path.exists(pids) and len(open(pids, encoding='utf-8').read().split()) >= 2)
    found = [int(p) for p in open(pids, encoding='utf-8').read().split()]
    server.ask('DELETE', '/v2/apps/daemon', expected=200)
    wait_for('their end', lambda: not [p for p in found if alive(p)])
    gone(server, '/daemon')


def apps_survive_the_server_and_processes_do_not(server):
    pids = os.path.join(server.dir, 'survivors')
    server.ask('POST', '/v2/apps', dict(SMALL, id='/kept', cmd='echo $$ >> %s; setsid sleep 1000 & sleep 1000' % pids), 201)
    running(server, '/kept', 1)
    wait_for('its pid', lambda: os.path.exists(pids) and open(pids, encoding='utf-8').read().split())
    first = int(open(pids, encoding='utf-8').read().split()[0])
    server.kill()
    wait_for('no orphan after SIGKILL', lambda: not alive(first))
    server.start()
    running(server, '/kept', 1)
    expect(app(server, '/kept')['cmd'].startswith('echo'), 'the document')
    second = wait_for('another process', lambda: open(pids, encoding='utf-8').read().split()[1:])
    server.stop()
    expect(not alive(int(second[0])), 'an orphan after SIGTERM')
    server.start()
    running(server, '/kept', 1)
    server.ask('DELETE', '/v2/apps/kept', expected=200)
    gone(server, '/kept')


def the_command_line_does_the_same(server):
    path = os.path.join(server.dir, 'app.json')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('{"id": "/cli/app", "cmd": "echo out; echo err >&2; sleep 1000", "cpus": 0.1, "mem": 16}')
    expect('created' in server.smack('app', 'apply', path), 'apply')
    expect('changed' in server.smack('app', 'apply', path), 'apply again')
    running(server, '/cli/app', 1)
    expect('/cli/app' in server.smack('app', 'list'), 'list')
    wait_for('logs', lambda: server.smack('app', 'logs', '/cli/app') == 'out\n')
    wait_for('logs', lambda: server.smack('app', 'logs', 'cli/app', '--stderr') == 'err\n')
    server.smack('app', 'restart', '/cli/app')
    server.smack('app', 'kill', '/cli/app')
    gone(server, '/cli/app')
    expect('does not exist' in server.smack('app', 'kill', '/cli/app', status=1), 'kill again')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('{"id": "/cli/app", "cmd": "sleep 1000", "cpus": -1}')
    expect('"cpus" must lie' in server.smack('app', 'apply', path, status=1), 'a mistake')


def a_term_ends_it_also_when_tasks_do_not_want_to(server):
    server.ask('POST', '/v2/apps', dict(SMALL, id='/stubborn', cmd='trap "" TERM; while :; do sleep 0.1; done'), 201)
    running(server, '/stubborn', 1)
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    expect(server.process.wait(20) == 0, server.log())
    expect(time.monotonic() - started < 15, 'too long')
    server.start()
    server.ask('DELETE', '/v2/apps/stubborn', expected=200)


run([an_app_is_made_shown_and_removed, mistakes_are_named, a_change_replaces_what_runs, what_fails_is_started_again_later_and_later,
     more_than_there_is_waits_and_says_so, a_kill_reaches_grandchildren, apps_survive_the_server_and_processes_do_not,
     the_command_line_does_the_same, a_term_ends_it_also_when_tasks_do_not_want_to], Server())
