#!/usr/bin/python3
"""smack beside Apache Cassandra 5.0.5 on the same machine, in the same run, cell by cell and round by round in turn: run.py SMACK LOAD FLOOR ROCKS.

smack answers a write after its fsync; Cassandra does with `commitlog_sync: batch`, and by default before it. Both get the same requests from the same
driver (gocql, prepared statements, protocol 4) on the same cores. CPU is the server's, user and system, in seconds a million operations: smack's median
over the rounds against Cassandra's best, after a warm-up that lasts until Cassandra stops getting faster.

BENCH_SECONDS (10) a measurement, BENCH_ROUNDS (3), BENCH_CELLS: only cells whose name contains it. BENCH_ROWS (1000000) of the event table,
BENCH_PARTITIONS (1000) of 360 rows, BENCH_DATA_MIB (256) more to be there when the time to ready is taken."""
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from common import SMACK, Server, SmackServer, end_on_signals, idle, judge, median, touch_memory  # noqa: E402

LOAD, FLOOR, ROCKS = sys.argv[2:5]
SECONDS = float(os.environ.get('BENCH_SECONDS', 10))
ROUNDS = int(os.environ.get('BENCH_ROUNDS', 3))
ROWS = int(os.environ.get('BENCH_ROWS', 1000000))
PARTITIONS = int(os.environ.get('BENCH_PARTITIONS', 1000))
DATA_MIB = int(os.environ.get('BENCH_DATA_MIB', 256))
ONLY = os.environ.get('BENCH_CELLS', '')
WARM_ROUNDS_MAX = 12
PAYLOAD = 4096
missed = []
next_row = 1 << 50  # of the rows that INSERT cells write


def bar(name, ok, text):
    if not ok:
        missed.append(name)
    return '%s %s' % (text, judge(ok))


def frame(opcode, body):
    return struct.pack('>BBhBI', 4, 0, 0, opcode, len(body)) + body


class Node(Server):
    def answers(self):
        """Whether a first statement is answered with rows."""
        query = b'SELECT release_version FROM system.local'
        try:
            with socket.create_connection(('127.0.0.1', self.port), 1) as s:
                s.settimeout(5)
                replies = s.makefile('rb')
                for opcode, body, wanted in ((1, b'\0\1\0\x0bCQL_VERSION\0\x053.0.0', 2),
                                             (7, struct.pack('>I', len(query)) + query + b'\0\1\0', 8)):
                    s.sendall(frame(opcode, body))
                    head = replies.read(9)
                    if len(head) < 9 or head[4] != wanted:
                        return False
                    replies.read(struct.unpack('>I', head[5:])[0])
                return True
        except OSError:
            return False


class Smack(SmackServer, Node):
    def words_with_port(self):
        return ('--cql', str(self.port), '--kafka', '0')

    def event_bytes(self):
        return tree_bytes(os.path.join(self.dir, 'store'))


class Cassandra(Node):
    sync = 'periodic'

    def start(self):
        started = subprocess.run([HERE + '/peer', 'start', self.dir, str(self.port), self.sync], check=True, stdout=subprocess.PIPE, text=True)
        since = time.monotonic()
        self.pid = int(started.stdout)
        self.wait(since)

    def stop(self):
        subprocess.run([HERE + '/peer', 'stop', self.dir], check=True)

    def event_bytes(self):
        keyspace = os.path.join(self.dir, 'data', 'bench')
        return sum(tree_bytes(os.path.join(keyspace, d)) for d in os.listdir(keyspace) if d.startswith('event-'))


class Batch(Cassandra):
    """Cassandra with the promise that smack makes: a write is answered after its fsync."""
    sync = 'batch'


def tree_bytes(top):
    return sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(top) for name in names)


def load(node, mode, *words, seconds=SECONDS, in_flight=64):
    done = subprocess.run([LOAD, '-port', str(node.port), '-pid', str(node.pid), '-in-flight', str(in_flight), '-seconds', str(seconds), *words, mode],
                          check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.stdout else None


def settle(node):
    """Until what it has left to do in the background, compactions say, is done: it is not to be paid for by the other side."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        before = node.cpu()
        time.sleep(0.5)
        if node.cpu() - before < 0.05:
            return


def measure(node, mode, in_flight, seconds=SECONDS):
    global next_row
    words = {'insert': ('-from', str(next_row)), 'select': ('-count', str(ROWS)), 'range': ('-count', str(PARTITIONS)), 'scan': ()}[mode]
    os.sync()
    r = load(node, mode, *words, seconds=seconds, in_flight=in_flight)
    if mode == 'insert':
        next_row = r['next']
    settle(node)
    count = max(r['operations'], 1)
    r['rate'] = r['operations'] / r['seconds']
    r['cpu'] = r['server_cpu'] / count * 1e6
    r['client'] = r['client_cpu'] / count * 1e6
    r['client_share'] = r['client_cpu'] / r['seconds'] / os.cpu_count()
    r['rss_mib'] = r['rss_kib'] / 1024
    return r


def warm(node, mode):
    """Until two rounds in a row are not 3 % better than the best before them."""
    if not isinstance(node, Cassandra):
        measure(node, mode, 256, min(SECONDS, 3))
        return
    best, worse = None, 0
    for rounds in range(1, WARM_ROUNDS_MAX + 1):
        cpu = measure(node, mode, 256)['cpu']
        worse = worse + 1 if best and cpu > best * 0.97 else 0
        best = min(best or cpu, cpu)
        if worse == 2:
            break
    print('  %s is %swarm after %d rounds of %s: %.1f s/M' % (node.name, '' if worse == 2 else 'not ', rounds, mode, best), flush=True)


class Reference:
    """Cassandra's best of each figure."""

    def __init__(self, results):
        self.cpu = min(r['cpu'] for r in results)
        self.rate = max(r['rate'] for r in results)
        self.p99 = min(r['p99_ms'] for r in results)


def show(name, results):
    print('  %-22s %9.0f /s   p50 %7.2f  p99 %7.2f  p99.9 %7.2f ms   CPU %7.2f s/M   client %6.2f s/M, %3.0f %% of the machine   rss %5.0f MiB' % (
        name, median(results, 'rate'), median(results, 'p50_ms'), median(results, 'p99_ms'), median(results, 'p999_ms'), median(results, 'cpu'),
        median(results, 'client'), median(results, 'client_share') * 100, median(results, 'rss_mib')))


def cell(name, mode, in_flight, nodes, bars, rocks_us):
    """nodes: Cassandra first, smack last. bars: at most this share of the CPU of each Cassandra."""
    if ONLY not in name:
        return
    results = {n.name: [] for n in nodes}
    for _ in range(ROUNDS):
        for n in nodes:
            results[n.name].append(measure(n, mode, in_flight))
    print(name)
    for n in nodes:
        show(n.name, results[n.name])
    s = results[nodes[-1].name]
    cpu, rate, p99 = median(s, 'cpu'), median(s, 'rate'), median(s, 'p99_ms')
    first = Reference(results[nodes[0].name])
    said = []
    for n, limit in zip(nodes, bars):
        share = cpu / Reference(results[n.name]).cpu
        said.append(bar('%s: CPU beside %s' % (name, n.name), share <= limit, 'CPU %.3f of %s (bar %.3f)' % (share, n.name, limit)))
    if mode != 'scan':
        bound = median(s, 'client_share') > 0.5
        said.append(bar(name + ': throughput', rate >= 3 * first.rate or bound,
                        '%.1fx the throughput (bar 3%s)' % (rate / first.rate, ', the client is the limit' if bound else '')))
        said.append(bar(name + ': p99', p99 <= first.p99 / 5, 'p99 %.2f (bar 0.20)' % (p99 / first.p99)))
    print('    ' + '; '.join(said))
    print('    %.1f times what RocksDB alone takes, %.2f us' % (cpu / rocks_us, rocks_us), flush=True)


def floors(work):
    """CPU, in us, that RocksDB alone takes for what a cell asks for; nothing of the network is in it: requests in flight share reads and writes."""
    machine = json.loads(subprocess.run([FLOOR, work], check=True, stdout=subprocess.PIPE, text=True).stdout)
    text = subprocess.run([ROCKS, str(ROWS)], check=True, stdout=subprocess.PIPE, text=True).stdout
    rocks = {name.strip(): float(us) for name, us in re.findall(r'^(.*?) +\d+ /s +([\d.]+) us CPU each$', text, re.M)}
    put, get, seek, scan = (rocks[k] for k in ('merge, 16 in a batch, not synced', 'get, one level', 'seek and 120 keys', 'key of a scan'))
    print('RocksDB alone in process, us of CPU: put %.2f, get %.2f, seek and 120 rows %.1f, row of a scan %.2f' % (put, get, seek, scan))
    print('the machine: a loopback round trip between two cores %.1f us, of that %.2f of CPU where it is answered; fdatasync %.0f us' % (
        machine['round_trip_us'], machine['answer_cpu_us'], machine['fdatasync_us']))
    return {'insert': put, 'select': get, 'range': seek, 'scan': scan}


def fill(cassandra, smack):
    """The same rows into both. Returns the bytes that each keeps of the event table."""
    for node in (cassandra, smack):
        load(node, 'schema')
        load(node, 'fill', '-table', 'event', '-count', str(ROWS), in_flight=256)
    smack.stop()  # alone in the store, so that the store's size is the table's
    smack_bytes = smack.event_bytes()
    smack.start()
    for node in (cassandra, smack):
        load(node, 'fill', '-table', 'campaign', '-count', str(PARTITIONS), in_flight=256)
        load(node, 'fill', '-table', 'payload', '-count', str(DATA_MIB * (1 << 20) // PAYLOAD), in_flight=128)
        node.stop()
    return cassandra.event_bytes(), smack_bytes


def ready_and_disk(cassandra, smack):
    fresh = cassandra.ready_ms, smack.ready_ms
    data = fill(cassandra, smack)
    print('event table of %d rows on disk: cassandra %.1f, smack %.1f bytes a row  %s' % (
        ROWS, data[0] / ROWS, data[1] / ROWS, bar('disk', data[1] <= data[0], '(bar: cassandra\'s)')))
    with_data = []
    for node in (cassandra, smack):
        node.start()
        with_data.append(node.ready_ms)
    print('ready after: cassandra %.0f ms fresh, %.0f ms with data (%d MiB and both tables); smack %.0f and %.0f ms  %s' % (
        fresh[0], with_data[0], DATA_MIB, fresh[1], with_data[1],
        bar('ready', with_data[1] <= fresh[1] + 100, '(bar: data make no more than 100 ms)')), flush=True)


def insert_cells(work, cassandra, smack, rocks):
    if not any(ONLY in 'insert, %d in flight' % n for n in (64, 256)):
        return
    batch = Batch('cassandra, batch', work)
    try:
        batch.start()
        load(batch, 'schema')
        nodes = [cassandra, batch, smack]
        for node in nodes:
            warm(node, 'insert')
        for in_flight in (64, 256):
            cell('insert, %d in flight' % in_flight, 'insert', in_flight, nodes, (1 / 3, 1 / 10), rocks['insert'])
    finally:
        batch.stop()
        shutil.rmtree(batch.dir, ignore_errors=True)


def read_cells(cassandra, smack, rocks):
    for mode, what, flights in (('select', 'select by key', (64, 256)), ('range', 'select of 120 rows', (64, 256)), ('scan', 'rows of a scan', (8,))):
        names = {n: '%s, %d in flight' % (what, n) for n in flights}
        if not any(ONLY in name for name in names.values()):
            continue
        for node in (cassandra, smack):
            warm(node, mode)
        for in_flight, name in names.items():
            cell(name, mode, in_flight, [cassandra, smack], (1 / 10,), rocks[mode])


def main():
    work = tempfile.mkdtemp(prefix='smack-bench-', dir=os.environ.get('TMPDIR', '/tmp'))
    end_on_signals()
    nodes = []
    try:
        touch_memory()
        rocks = floors(work)
        for kind, name in ((Cassandra, 'cassandra'), (Smack, 'smack')):
            nodes.append(kind(name, work))
            nodes[-1].start()
        cassandra, smack = nodes
        ready_and_disk(cassandra, smack)
        read_cells(cassandra, smack, rocks)
        insert_cells(work, cassandra, smack, rocks)
        if not ONLY:
            most = cassandra.status('VmHWM'), smack.status('VmHWM')
            print('under load at most: cassandra %.0f MiB, smack %.0f MiB  %s' % (*most, bar('memory', most[1] <= most[0] / 20, '(bar 1/20)')))
            if not idle(nodes, 0.1):
                missed.append('idle')
    finally:
        for n in nodes:
            n.stop()
        shutil.rmtree(work, ignore_errors=True)
    print('missed: ' + ', '.join(missed) if missed else 'every bar is met')


main()
