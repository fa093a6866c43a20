#!/usr/bin/python3
# platform: own
"""Scheduled jobs as Chronos' clients make, watch, run and remove them."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import Server, expect, run, wait_for  # noqa: E402

S = '/v1/scheduler'
FAR = 'R/2099-01-01T00:00:00Z/P1D'


def job(server, name):
    return server.ask('GET', S + '/job/' + name, expected=200)[1]


def put(server, name, status=204, kind='iso8601', **members):
    document = dict({'name': name, 'command': 'true', 'owner': 'data@example.org', 'disabled': False, 'cpus': 0.1, 'mem': 16,
                     'epsilon': 'PT30M', 'async': False}, **members)
    if kind == 'iso8601':
        document.setdefault('schedule', FAR)
    return server.ask('POST', S + '/' + kind, document, status)[1]


def remove(server, *names):
    for name in names:
        server.ask('DELETE', S + '/job/' + name, expected=204)
        server.ask('GET', S + '/job/' + name, expected=400)


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as f:
        return f.read().split()


def a_job_runs_on_its_schedule(server):
    out = os.path.join(server.dir, 'ticks')
    put(server, 'tick', command='echo "$WHO" >> %s' % out, schedule='R3//PT1S', environmentVariables=[{'name': 'WHO', 'value': 'me'}])
    wait_for('three runs', lambda: job(server, 'tick')['successCount'] == 3)
    time.sleep(1.5)
    shown = job(server, 'tick')
    expect(lines(out) == ['me'] * 3 and shown['state'] == 'disabled' and shown['schedule'].startswith('R0/'), shown)
    expect(shown['epsilon'] == 'PT30M' and shown['async'] is False and shown['lastSuccess'], shown)
    put(server, 'tick', schedule=FAR)  # replaced
    expect(job(server, 'tick')['schedule'].startswith('R/2099'), 'replaced')
    remove(server, 'tick')


def an_overdue_job_runs_once_and_missed_runs_collapse(server):
    out = os.path.join(server.dir, 'late')
    put(server, 'late', command='echo x >> ' + out, schedule='R10/2026-01-01T00:00:00Z/PT1H')
    shown = wait_for('its run', lambda: job(server, 'late') if job(server, 'late')['successCount'] else None)
    expect(shown['schedule'].startswith('R9/'), shown)
    expect(time.strptime(shown['next'][:19], '%Y-%m-%dT%H:%M:%S') > time.gmtime(), shown)
    time.sleep(1)
    expect(lines(out) == ['x'], lines(out))
    remove(server, 'late')


def a_job_runs_when_it_is_told_to(server):
    out = os.path.join(server.dir, 'told')
    put(server, 'told', command='echo x >> ' + out)
    server.ask('PUT', S + '/job/told', '', 204)
    wait_for('its run', lambda: lines(out) == ['x'])
    server.ask('PUT', '/scheduler/job/told', '', 204)  # the paths before Chronos 3
    wait_for('another', lambda: lines(out) == ['x', 'x'])
    expect(job(server, 'told')['schedule'] == 'R/2099-01-01T00:00:00.000Z/P1D', 'the schedule stays')
    names = [j['name'] for j in server.ask('GET', S + '/jobs', expected=200)[1]]
    expect(names == ['told'], names)
    remove(server, 'told')


def a_failed_run_is_counted_and_tried_again(server):
    put(server, 'once', command='echo why >&2; exit 7', retries=0)
    server.ask('PUT', S + '/job/once', '', 204)
    shown = wait_for('a failure', lambda: job(server, 'once') if job(server, 'once')['errorCount'] else None)
    expect(shown['errorsSinceLastSuccess'] == 1 and shown['lastErrorMessage'] == 'exit status 7' and shown['state'] == 'idle', shown)
    put(server, 'again', command='exit 1', retries=2)
    server.ask('PUT', S + '/job/again', '', 204)
    wait_for('a retry', lambda: job(server, 'again')['state'] == 'waits to retry')
    remove(server, 'once', 'again')


def mistakes_are_refused(server):
    for schedule in ('', 'R', 'R/x/PT1H', 'R/1969-01-01T00:00:00Z/PT1H', 'R//PT0S', 'every day'):
        text = put(server, 'wrong', 400, schedule=schedule)['message']
        expect('schedule' in text, text)
    for members in ({'name': 'a b'}, {'name': ''}, {'command': ''}, {'cpus': 'many'}, {'container': {'type': 'docker'}},
                    {'scheduleTimeZone': 'Mars/Olympus'}, {'arguments': 'x'}, {'uris': ['s3://x/y']}, {'smack': 'sql'}):
        name = members.pop('name', 'wrong')
        put(server, name, 400, **members)
    server.ask('POST', S + '/iso8601', '{', 400)
    for method in ('GET', 'PUT', 'DELETE'):  # Chronos says 400, not 404
        server.ask(method, S + '/job/none', '' if method == 'PUT' else None, 400)


def sql_runs_in_the_server(server):
    server.smack('cql', '-e', "CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};"
                 'CREATE TABLE IF NOT EXISTS k.t (a int PRIMARY KEY, b int); CREATE TABLE IF NOT EXISTS k.u (a int PRIMARY KEY, b int);'
                 'INSERT INTO k.t (a, b) VALUES (1, 2); INSERT INTO k.t (a, b) VALUES (3, 4)')
    put(server, 'copy', command='', smack={'sql': 'INSERT INTO k.u SELECT a, b * 10 AS b FROM k.t'})
    server.ask('PUT', S + '/job/copy', '', 204)
    wait_for('its run', lambda: job(server, 'copy')['successCount'] == 1)
    expect('40' in server.smack('sql', '-e', 'SELECT a, b FROM k.u ORDER BY a'), 'rows')
    expect('2 rows written to k.u' in server.logs('jobs', 'copy'), server.logs('jobs', 'copy'))
    put(server, 'bad', command='', retries=0, smack={'sql': 'INSERT INTO k.u SELECT nothing FROM k.t'})
    server.ask('PUT', S + '/job/bad', '', 204)
    shown = wait_for('a failure', lambda: job(server, 'bad') if job(server, 'bad')['errorCount'] else None)
    expect('nothing' in shown['lastErrorMessage'], shown)
    remove(server, 'copy', 'bad')


def jobs_run_after_others(server):
    out = os.path.join(server.dir, 'order')
    for name in ('a', 'b'):
        put(server, name, command='echo %s >> %s' % (name, out))
    put(server, 'both', kind='dependency', parents=['a', 'b'], command='echo both >> ' + out)
    put(server, 'last', kind='dependency', parents=['both'], command='echo last >> ' + out)
    server.ask('PUT', S + '/job/a', '', 204)
    server.ask('PUT', S + '/job/a', '', 204)
    wait_for('a', lambda: 'a' in lines(out))
    time.sleep(0.5)
    expect('both' not in lines(out), lines(out))
    server.ask('PUT', S + '/job/b', '', 204)
    wait_for('the last', lambda: 'last' in lines(out))
    expect(lines(out)[-2:] == ['both', 'last'], lines(out))
    put(server, 'both', 400, kind='dependency', parents=['last'])
    put(server, 'x', 400, kind='dependency', parents=['nobody'])
    put(server, 'x', 400, kind='dependency', parents=[])
    put(server, 'x', 400, kind='dependency')
    server.ask('DELETE', S + '/job/a', expected=400)  # both runs after it
    summary = {j['name']: j for j in server.ask('GET', S + '/jobs/summary', expected=200)[1]['jobs']}
    expect(summary['both']['parents'] == ['a', 'b'] and summary['both']['status'] == 'success', summary)
    remove(server, 'last', 'both', 'a', 'b')


def state_survives_the_server(server):
    out, long = os.path.join(server.dir, 'kept'), os.path.join(server.dir, 'long')
    put(server, 'kept', command='echo x >> ' + out)
    put(server, 'long', command='echo begin >> %s; sleep 3; echo end >> %s' % (long, long))
    put(server, 'child', kind='dependency', parents=['kept'], command='true')
    server.ask('PUT', S + '/job/kept', '', 204)
    wait_for('its run', lambda: job(server, 'child')['successCount'] == 1)
    server.ask('PUT', S + '/job/long', '', 204)
    wait_for('its begin', lambda: lines(long) == ['begin'])
    server.kill()
    server.start()
    expect(job(server, 'kept')['successCount'] == 1 and lines(out) == ['x'], job(server, 'kept'))
    # The run that the server's end cut off is run again.
    wait_for('the run that was cut off', lambda: lines(long) == ['begin', 'begin', 'end'])
    server.stop()
    server.start()
    wait_for('its count', lambda: job(server, 'long')['successCount'] == 1)
    expect(job(server, 'child')['parents'] == ['kept'], 'the child')
    remove(server, 'child', 'kept', 'long')


def the_command_line_does_the_same(server):
    path = os.path.join(server.dir, 'job.json')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('{"name": "cli", "command": "echo out; echo err >&2", "schedule": "%s", "cpus": 0.1, "mem": 16}' % FAR)
    server.smack('job', 'apply', path)
    expect('cli' in server.smack('job', 'list'), 'list')
    server.smack('job', 'run', 'cli')
    wait_for('logs', lambda: server.logs('jobs', 'cli') and server.smack('job', 'logs', 'cli') == 'out\n')
    wait_for('logs', lambda: server.smack('job', 'logs', 'cli', '--stderr') == 'err\n')
    server.smack('job', 'kill', 'cli')
    expect("Job 'cli' not found" in server.smack('job', 'kill', 'cli', status=1), 'kill again')


run([a_job_runs_on_its_schedule, an_overdue_job_runs_once_and_missed_runs_collapse, a_job_runs_when_it_is_told_to,
     a_failed_run_is_counted_and_tried_again, mistakes_are_refused, sql_runs_in_the_server, jobs_run_after_others,
     state_survives_the_server, the_command_line_does_the_same], Server())
