#!/usr/bin/python3
"""smack's ingest beside other HTTP servers on the same machine, in the same run, cell by cell and round by round in turn: run.py SMACK LOAD FLOOR SCAN BARE.

All get the same POSTs: real events of examples/open-bandit, one a request as JSON or 1,000 as NDJSON. What they do before they answer:
  nginx   nothing: a bare 204, the floor that an HTTP server has
  go      net/http, encoding/json: check, append to a file, fdatasync shared by those who wait, 202
  node    the same by node:http and JSON.parse, one process
  pekko   Pekko HTTP, Jackson: check, produce into Apache Kafka 4.1.1 (6 partitions, acks=all), 202; Kafka answers before its fsync
  smack   check against the JSON Schema, append to the log (6 partitions by campaign), fsync, 202
CPU is the server's, user and system, in us a request; of all its processes, pekko's with its Kafka. smack's figures are medians over the rounds; a
peer's CPU is that of its best round, since a JVM goes on warming. Load and servers share the cores, so throughput is bounded by both.

BENCH_SECONDS (10) a measurement, BENCH_ROUNDS (3), BENCH_CELLS: only cells whose name contains it, BENCH_PEERS: only these, by commas."""
import gzip
import http.client
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
from common import Server, SmackServer, end_on_signals, judge, median, touch_memory  # noqa: E402

LOAD, FLOOR, SCAN, BARE = sys.argv[2:6]
SECONDS = float(os.environ.get('BENCH_SECONDS', 10))
ROUNDS = int(os.environ.get('BENCH_ROUNDS', 3))
ONLY = os.environ.get('BENCH_CELLS', '')
PEERS = [p for p in os.environ.get('BENCH_PEERS', '').split(',') if p]
PATH = '/ingest/raw_events'
EXAMPLE = os.path.join(ROOT, 'examples', 'open-bandit')
IDLE = 10000
missed, absent = [], {}


class Absent(Exception):
    """A peer that cannot be had here, and why."""


def bar(name, ok, text):
    if not ok:
        missed.append(name)
    return '%s %s' % (text, judge(ok))


# ---- the servers ----


class HttpServer(Server):
    h2_port = None  # None: the same
    why_not = 'it answers nothing'
    process = None

    def answers(self):
        try:
            c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=2)
            c.request('GET', '/readyz')
            return c.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False

    def ended(self):
        return self.process.poll() is not None

    def run(self, *words):
        since = time.monotonic()
        os.makedirs(self.dir, exist_ok=True)
        with open(self.dir + '.log', 'ab') as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        self.wait(since)

    def pids(self):
        with open('/proc/%d/task/%d/children' % (self.pid, self.pid), encoding='ascii') as f:
            return [self.pid, *(int(p) for p in f.read().split())]

    def sum(self, one):
        total, own = 0, self.pid
        for self.pid in self.pids():
            total += one(self)
        self.pid = own
        return total

    def cpu(self):
        return self.sum(Server.cpu)

    def status(self, field):
        return self.sum(lambda one: Server.status(one, field))

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def empty(self):
        """What is stored is thrown away, so that the disk does not fill."""


def get(name):
    done = subprocess.run([HERE + '/peer', name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Absent((done.stderr.strip().splitlines() or ['it cannot be had'])[-1])
    return done.stdout.strip()


class Nginx(HttpServer):
    def start(self):
        program = get('nginx')
        self.h2_port = self.port + 1
        os.makedirs(self.dir, exist_ok=True)
        temp = ''.join('    %s_temp_path %s/%s;\n' % (t, self.dir, t) for t in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        with open(self.dir + '/nginx.conf', 'w', encoding='ascii') as f:
            f.write('daemon off;\nworker_processes auto;\nworker_rlimit_nofile 20000;\npid %s/pid;\nerror_log stderr;\n'
                    'events { worker_connections 16000; }\n'
                    'http {\n    access_log off;\n    keepalive_requests 1000000000;\n    keepalive_timeout 300s;\n%s'
                    '    server { listen 127.0.0.1:%d backlog=1024; listen 127.0.0.1:%d http2; location / { return 204; } }\n}\n' % (
                        self.dir, temp, self.port, self.h2_port))
        self.run(program, '-p', self.dir, '-e', 'stderr', '-c', self.dir + '/nginx.conf')


class Appending(HttpServer):
    """One that appends to a file."""

    def empty(self):
        os.truncate(self.dir + '/events', 0)


class Go(Appending):
    def start(self):
        if not shutil.which('go'):
            raise Absent('there is no go (Debian: golang-go)')
        program = get('go')
        self.run(program, str(self.port), self.dir + '/events')


class Node(Appending):
    def start(self):
        program = shutil.which('node')
        if not program:
            raise Absent('there is no node (Debian: nodejs)')
        self.h2_port = self.port + 1
        self.run(program, HERE + '/node.js', str(self.port), self.dir + '/events')


class Pekko(HttpServer):
    """The two processes are one server."""
    kafka = ROOT + '/bench/kafka/peer'
    broker = None

    def start(self):
        classpath, broker = get('pekko'), Server('kafka', self.dir)
        os.makedirs(broker.dir, exist_ok=True)
        # What it stores is thrown away by itself.
        started = subprocess.run([self.kafka, 'start', broker.dir, str(broker.port), 'log.retention.bytes=268435456', 'log.segment.bytes=134217728',
                                  'log.retention.check.interval.ms=5000'], stdout=subprocess.PIPE, text=True, check=False)
        if started.returncode:
            raise Absent('its Kafka cannot be had')
        self.broker, broker.pid = broker, int(started.stdout)
        self.run('java', '-Xms1g', '-Xmx1g', '-cp', classpath, 'Pekko', str(self.port), '127.0.0.1:%d' % broker.port)

    def pids(self):
        return [self.pid, self.broker.pid]

    def stop(self):
        HttpServer.stop(self)
        if self.broker:
            subprocess.run([self.kafka, 'stop', self.broker.dir], check=True)
        self.broker = None


class Smack(SmackServer, HttpServer):
    def words_with_port(self):
        config = self.dir + '.conf'
        with open(config, 'w', encoding='ascii') as f:
            f.write('[topic raw_events]\npartitions = 6\nschema = %s/schema.json\nkey = campaign\n' % EXAMPLE)
        return ('--http', str(self.port), '--kafka', '0', '--cql', '0', '--config', config)

    def answers(self):
        try:
            c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=2)
            c.request('GET', '/readyz')
            return c.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def empty(self):
        self.stop()
        shutil.rmtree(self.dir)
        self.start()


def start_all(work, servers):
    """Those that can be had, smack last."""
    for kind in (Nginx, Go, Node, Pekko, Smack):
        name = kind.__name__.lower()
        if PEERS and name not in PEERS and kind is not Smack:
            continue
        server = kind(name, work)
        servers.append(server)
        try:
            server.start()
        except Absent as e:
            absent[name] = str(e)
            server.stop()
            servers.remove(server)


# ---- the load ----


def load(server, events, seconds, *words):
    done = subprocess.run([LOAD, 'load', '--port', str(server.port), '--path', PATH, '--file', events, '--seconds', str(seconds), *words],
                          stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit('bench: the load before %s ended; see %s' % (server.name, server.dir))
    return json.loads(done.stdout)


def measured(server, run):
    """run() gives requests and seconds."""
    os.sync()  # what another has left to write is not to be paid for here
    before = server.cpu()
    r = run()
    r['cpu'] = (server.cpu() - before) / max(r['requests'], 1) * 1e6
    r['rate'] = r['requests'] / r['seconds']
    r['client'] = r['client_cpu'] / max(r['requests'], 1) * 1e6
    r['rss'] = server.status('VmRSS')
    return r


class Figures:
    """A server's rounds as one."""

    def __init__(self, results, best):
        self.cpu = min(r['cpu'] for r in results) if best else median(results, 'cpu')
        for field in ('rate', 'p50_ms', 'p99_ms', 'client', 'rss'):
            setattr(self, field, median(results, field))
        self.bad = ['%d %s' % (n, what) for what in ('refused', 'other', 'missing') if (n := sum(r[what] for r in results))]


def cell(name, servers, run):
    """Figures by server, None if the cell is not asked for."""
    if ONLY not in name:
        return None
    print(name)
    results = {}
    for s in servers:
        if warm(s, run) or s.name == 'smack':
            results[s] = []
    for _ in range(ROUNDS):
        for s in results:
            s.empty()
            run(s, min(SECONDS, 1))
            results[s].append(measured(s, lambda s=s: run(s, SECONDS)))
    figures = {}
    for s, rounds in results.items():
        f = figures[s.name] = Figures(rounds, s.name != 'smack')
        print('    %-6s %9.0f requests/s  %8.2f us CPU  p50 %7.2f  p99 %7.2f ms  client %5.2f us  rss %4.0f MiB%s' % (
            s.name, f.rate, f.cpu, f.p50_ms, f.p99_ms, f.client, f.rss, '  (%s)' % ', '.join(f.bad) if f.bad else ''), flush=True)
    for s in servers:
        if s not in results:
            print('    %-6s not measured: %s' % (s.name, s.why_not))
    for n, why in absent.items():
        print('    %-6s not measured: %s' % (n, why))
    return figures


def warm(server, run):
    """Until a JVM does not get faster, at most six times; the others once. False: it does not answer."""
    last = measured(server, lambda: run(server, min(SECONDS, 2)))
    if not last['requests']:
        return False
    for _ in range(6 if server.name == 'pekko' else 0):
        server.empty()
        again = measured(server, lambda: run(server, SECONDS))
        if again['cpu'] > last['cpu'] * 0.95:
            break
        last = again
    return True


def beside(name, figures, bars):
    """smack's CPU at most so many times a peer's. A run in which not all was answered meets no bar, and a peer's is no measure."""
    said = []
    for peer, most in bars:
        if peer in figures and not figures[peer].bad:
            ratio = figures['smack'].cpu / figures[peer].cpu
            said.append(bar('%s: CPU beside %s' % (name, peer), ratio <= most and not figures['smack'].bad, 'CPU %.2f of %s (bar %.2f)' % (ratio, peer, most)))
        else:
            said.append('CPU beside %s not measured' % peer)
    print('    ' + '; '.join(said), flush=True)


# ---- the cells ----


def single(servers, events):
    name = 'one event a request, 64 connections'
    figures = cell(name, servers, lambda s, seconds: load(s, events, seconds))
    if figures:
        beside(name, figures, (('nginx', 1.5), ('pekko', 0.2), ('go', 0.5), ('node', 0.5)))


def at_rate(servers, events):
    name = 'one event a request at 20,000 a second'
    figures = cell(name, servers, lambda s, seconds: load(s, events, seconds, '--rate', '20000'))
    if figures:
        p99 = figures['smack'].p99_ms
        print('    ' + bar(name, p99 < 5 and not figures['smack'].bad, 'smack\'s p99 %.2f ms (bar 5)' % p99), flush=True)


def pipelined(servers, events):
    name = 'one event a request, 16 pipelined, 64 connections'
    figures = cell(name, servers, lambda s, seconds: load(s, events, seconds, '--depth', '16'))
    if figures:
        cpu = figures['smack'].cpu
        print('    ' + bar(name, cpu <= 1.5 and not figures['smack'].bad, 'smack\'s CPU %.2f us a request (bar 1.5)' % cpu), flush=True)


def lines(servers, events):
    name = 'NDJSON, 1,000 events a request'
    figures = cell(name, servers, lambda s, seconds: load(s, events, seconds, '--events', '1000', '--connections', '8'))
    if figures:
        rate, cpu = figures['smack'].rate * 1000, figures['smack'].cpu
        print('    ' + bar(name, rate >= 1e6 and not figures['smack'].bad, 'smack: %.2f M events/s (bar 1) on %d cores with the load, %.2f CPU seconds a million' % (
            rate / 1e6, os.cpu_count(), cpu / 1000)), flush=True)


def scan(events):
    name = 'parse and validate alone'
    if ONLY not in name:
        return
    speeds = []
    for _ in range(ROUNDS):
        done = subprocess.run([SCAN, EXAMPLE + '/schema.json', events], check=True, stdout=subprocess.PIPE, text=True)
        speeds.append(1e3 / float(re.search(r'([\d.]+) ns', done.stdout).group(1)))
    speed = statistics.median(speeds)
    print('%s: %s' % (name, bar(name, speed >= 12, '%.1f M events/s a core (bar 12)' % speed)), flush=True)


def bare():
    """smack's HTTP without anything behind it, one dispatcher's thread."""
    name = 'HTTP alone, nothing stored'
    if ONLY not in name:
        return
    done = subprocess.run([BARE, str(min(SECONDS, 5))], check=True, stdout=subprocess.PIPE, text=True)
    print('%s:\n%s' % (name, done.stdout.rstrip()), flush=True)


def h2load(server, event, log, seconds):
    done = subprocess.run(['h2load', '-D', '%dms' % (seconds * 1000), '-c', '16', '-m', '16', '-d', event, '-H', 'content-type: application/json', '--log-file', log,
                           'http://127.0.0.1:%d%s' % (server.h2_port or server.port, PATH)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    server.why_not = 'h2load: ' + (done.stdout.strip().splitlines() or ['nothing'])[-1]
    rows = []
    if os.path.exists(log):
        with open(log, encoding='ascii') as f:
            rows = [line.split('\t') for line in f]
        os.unlink(log)
    good = sorted(int(r[2]) / 1000 for r in rows if r[1].startswith('2')) if done.returncode == 0 else []
    return {'seconds': seconds, 'requests': len(good), 'refused': sum(r[1] == '429' for r in rows), 'missing': 0, 'client_cpu': 0,
            'other': sum(r[1][0] != '2' and r[1] != '429' for r in rows),
            'p50_ms': good[len(good) // 2] if good else 0, 'p99_ms': good[len(good) * 99 // 100] if good else 0}


def http2(servers, events, work):
    name = 'HTTP/2, one event a request, 16 connections of 16 streams'
    if ONLY in name and not shutil.which('h2load'):
        print('%s: not measured: there is no h2load (Debian: nghttp2-client)' % name)
        return
    event = work + '/event.json'
    with open(events, 'rb') as f, open(event, 'wb') as out:
        out.write(f.readline().strip())
    cell(name, servers, lambda s, seconds: h2load(s, event, work + '/h2load.log', seconds))


def idle_cost(server, events):
    """KiB of resident memory a connection that has had one request answered."""
    server.stop()
    server.start()
    load(server, events, 1)
    before = server.status('VmRSS')
    with subprocess.Popen([LOAD, 'idle', '--port', str(server.port), '--path', PATH, '--file', events, '--connections', str(IDLE)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        if held.stdout.readline() != 'open\n':
            sys.exit('bench: %s did not take %d connections' % (server.name, IDLE))
        time.sleep(1)
        after = server.status('VmRSS')
        still = json.loads(held.communicate()[0])['open']
    if still != IDLE:
        print('    %s has closed %d of %d connections' % (server.name, IDLE - still, IDLE))
    return (after - before) * 1024 / IDLE


def idle(servers, events):
    name = '%d idle connections' % IDLE
    if ONLY not in name:
        return
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < IDLE + 1000:
        print('%s: not measured: too few open files are allowed (ulimit -n)' % name)
        missed.append(name)
        return
    costs = {s: [] for s in servers if s.name != 'pekko'}
    for _ in range(ROUNDS):
        for s in costs:
            costs[s].append(idle_cost(s, events))
    cost = {s.name: statistics.median(c) for s, c in costs.items()}
    print('%s, KiB resident each (the kernel\'s sockets not counted): %s  %s' % (
        name, ', '.join('%s %.2f' % c for c in cost.items()), bar(name, cost['smack'] <= 8, '(bar: smack 8)')), flush=True)


def write_events(path):
    days = os.path.join(EXAMPLE, '2019', '11')
    with open(path, 'wb') as out:
        for day in sorted(os.listdir(days)):
            with gzip.open(os.path.join(days, day)) as f:
                shutil.copyfileobj(f, out)


def main():
    work = tempfile.mkdtemp(prefix='smack-bench-', dir=os.environ.get('TMPDIR', '/tmp'))
    events = work + '/events.ndjson'
    servers = []
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    end_on_signals()
    try:
        touch_memory()
        floor = json.loads(subprocess.run([FLOOR, work], check=True, stdout=subprocess.PIPE, text=True).stdout)
        print('floor: a read, a write and a sleep a loopback round trip %(answer_cpu_us)s us of CPU, fdatasync %(fdatasync_us)s us' % floor)
        write_events(events)
        scan(events)
        bare()
        start_all(work, servers)
        for run in (single, at_rate, pipelined, lines):
            run(servers, events)
        http2(servers, events, work)
        idle(servers, events)
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(work, ignore_errors=True)
    for n, why in absent.items():
        print('not measured: %s: %s' % (n, why))
    print('missed: ' + ', '.join(missed) if missed else 'every bar that was measured is met' if absent or PEERS or ONLY else 'every bar is met')


main()
