#!/usr/bin/python3
"""smack beside Apache Kafka 4.1.1 on the same machine, in the same run, cell by cell and round by round in turn: run.py SMACK LOAD FLOOR.

smack answers a produce request after its fsync, Kafka with its defaults before it. CPU is the broker's, user and system, in seconds a million
messages; throughput is bounded by the client, which runs on the same cores. Each figure is a median over the rounds.

BENCH_SECONDS (20) a measurement, BENCH_ROUNDS (3), BENCH_CELLS: only cells whose name contains it."""
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from common import SMACK, Server, SmackServer, end_on_signals, idle, judge, median, touch_memory  # noqa: E402

LOAD, FLOOR = sys.argv[2:4]
SECONDS = float(os.environ.get('BENCH_SECONDS', 20))
ROUNDS = int(os.environ.get('BENCH_ROUNDS', 3))
ONLY = os.environ.get('BENCH_CELLS', '')
missed = []


def answers(port):
    """Whether a Metadata request (version 1, no topic) finds one broker."""
    request = b'\0\3\0\1\0\0\0\7\xff\xff\0\0\0\0'
    try:
        with socket.create_connection(('127.0.0.1', port), 1) as s:
            s.settimeout(2)
            s.sendall(len(request).to_bytes(4, 'big') + request)
            data = s.makefile('rb').read(12)
            return len(data) == 12 and int.from_bytes(data[8:12], 'big') >= 1
    except OSError:
        return False


class Broker(Server):
    def __init__(self, name, work):
        super().__init__(name, work)
        self.made = set()

    def answers(self):
        return answers(self.port)

    def topic(self, name, partitions):
        if name in self.made:
            return
        self.made.add(name)
        self.create(name, partitions)


class Smack(SmackServer, Broker):
    settings = ()

    def words_with_port(self):
        return ('--kafka', str(self.port), '--cql', '0', *self.settings)

    def create(self, name, partitions):
        subprocess.run([SMACK, 'topic', 'create', name, '--partitions', str(partitions), '--data', self.dir], check=True)

    def delete(self, name):
        self.made.discard(name)
        subprocess.run([SMACK, 'topic', 'delete', name, '--data', self.dir], check=True)


class Interval(Smack):
    """smack as it is with log.durability = interval: answers before the fsync, as Kafka does."""
    settings = ('--set', 'log.durability=interval')


class Kafka(Broker):
    def start(self):
        self.classpath = subprocess.run([HERE + '/peer', 'classpath', self.dir], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        started = subprocess.run([HERE + '/peer', 'start', self.dir, str(self.port)], check=True, stdout=subprocess.PIPE, text=True)
        since = time.monotonic()  # without the formatting of its directory
        self.pid = int(started.stdout)
        self.wait(since)

    def tool(self, name, *words):
        return subprocess.run(['java', '-Xmx256m', '-cp', self.classpath, 'org.apache.kafka.tools.' + name, *words], check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def create(self, name, partitions):
        words = ['--bootstrap-server', '127.0.0.1:%d' % self.port, '--create', '--if-not-exists', '--topic', name, '--partitions', str(partitions)]
        for attempt in range(10):  # its first seconds it may still be fenced
            try:
                self.tool('TopicCommand', *words)
                return
            except subprocess.CalledProcessError as e:
                said = e.output
                time.sleep(1)
        sys.exit('bench: Kafka made no topic %s: %s' % (name, said))

    def delete(self, name):
        self.made.discard(name)
        self.tool('TopicCommand', '--bootstrap-server', '127.0.0.1:%d' % self.port, '--delete', '--topic', name)

    def stop(self):
        subprocess.run([HERE + '/peer', 'stop', self.dir], check=True)


def load(broker, mode, topic, partitions, size, *words):
    broker.topic(topic, partitions)
    os.sync()  # what the other side has left to write is not to be paid for here
    done = subprocess.run([LOAD, mode, '--brokers', '127.0.0.1:%d' % broker.port, '--topic', topic, '--partitions', str(partitions), '--size',
                           str(size), '--seconds', str(SECONDS), '--pid', str(broker.pid), *words], check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(done.stdout)
    if result['failed']:
        print('  %s: %d messages failed' % (broker.name, result['failed']))
    result['rate'] = result['messages'] / result['seconds']
    result['cpu'] = (result['broker_user'] + result['broker_system']) / result['messages'] * 1e6
    result['client'] = result['client_cpu'] / result['messages'] * 1e6
    return result


def java_produce(broker, kafka, topic, partitions, size):
    """Kafka's own client with its default batches, by its own tool."""
    broker.topic(topic, partitions)
    os.sync()
    count = int(SECONDS * (40000 if size > 500 else 200000))
    since, cpu = time.monotonic(), broker.cpu()
    kafka.tool('ProducerPerformance', '--topic', topic, '--num-records', str(count), '--record-size', str(size), '--throughput', '-1',
               '--producer-props', 'bootstrap.servers=127.0.0.1:%d' % broker.port, 'acks=all')
    return {'rate': count / (time.monotonic() - since), 'cpu': (broker.cpu() - cpu) / count * 1e6, 'client': 0,
            'rss_kib': broker.status('VmRSS') * 1024}


def within(name, ok, text):
    if not ok:
        missed.append(name)
    print('%s  %s' % (text, judge(ok)), flush=True)


def cell(name, brokers, measure, bar, slow_is_bad=True):
    """bar: at most this share of Kafka's CPU."""
    if ONLY not in name:
        return None
    results = {b.name: [] for b in brokers}
    for _ in range(ROUNDS):
        for b in brokers:
            results[b.name].append(measure(b))
    k, s = results['kafka'], results['smack']
    ratio, speed = median(s, 'cpu') / median(k, 'cpu'), median(s, 'rate') / median(k, 'rate')
    ok = ratio <= bar and (speed >= 0.97 or not slow_is_bad)
    if not ok:
        missed.append(name)
    print('%-34s %8.0f %8.0f %6.2f   %7.2f %7.2f %6.2f  (bar %.2f)  client %.2f %.2f  rss %4.0f %4.0f MiB  %s' % (
        name, median(k, 'rate') / 1e3, median(s, 'rate') / 1e3, speed, median(k, 'cpu'), median(s, 'cpu'), ratio, bar, median(k, 'client'),
        median(s, 'client'), median(k, 'rss_kib') / 1024, median(s, 'rss_kib') / 1024, judge(ok)), flush=True)
    return results


def latency_cell(name, brokers, topic, rate, linger, p99_bar):
    if ONLY not in name:
        return
    results = {b.name: [] for b in brokers}  # Kafka, then smack
    for _ in range(ROUNDS):
        for b in brokers:
            results[b.name].append(load(b, 'latency', topic, 1, 100, '--rate', str(rate), '--linger', str(linger)))
    k, s = results.values()
    ok = median(s, 'p99_ms') <= median(k, 'p99_ms') * p99_bar
    if not ok:
        missed.append(name)
    print('%-34s p50 %6.2f %6.2f   p99 %6.2f %6.2f   p99.9 %6.2f %6.2f ms   CPU %4.0f %4.0f %% of a core  (bar p99 %.2f)  %s' % (
        name, median(k, 'p50_ms'), median(s, 'p50_ms'), median(k, 'p99_ms'), median(s, 'p99_ms'), median(k, 'p999_ms'), median(s, 'p999_ms'),
        median(k, 'cpu') * rate / 1e4, median(s, 'cpu') * rate / 1e4, p99_bar, judge(ok)), flush=True)


def ready(brokers):
    """Time to the first answer with an empty directory, and again with the one that is there: the median over the rounds. One of each runs afterwards."""
    for b in brokers:
        fresh, again = [], []
        for number in range(ROUNDS):
            shutil.rmtree(b.dir, ignore_errors=True)
            for times in (fresh, again):
                b.start()
                times.append(b.ready_ms)
                if times is fresh or number < ROUNDS - 1:
                    b.stop()
        b.fresh_ms, b.again_ms = statistics.median(fresh), statistics.median(again)


def main():
    work = tempfile.mkdtemp(prefix='smack-bench-', dir=os.environ.get('TMPDIR', '/tmp'))
    touch_memory()
    floor = json.loads(subprocess.run([FLOOR, work], check=True, stdout=subprocess.PIPE, text=True).stdout)
    print('floor: memcpy %(memcpy_gb_s)s GB/s, fdatasync %(fdatasync_us)s us, loopback round trip %(round_trip_us)s us, '
          'sendfile %(sendfile_mb_s)s MB/s at %(sendfile_cpu_s_gb)s CPU s/GB' % floor)
    brokers = []
    end_on_signals()
    try:
        for kind, name in ((Kafka, 'kafka'), (Smack, 'smack')):
            brokers.append(kind(name, work))
        kafka, smack = brokers
        ready(brokers)
        if max(smack.fresh_ms, smack.again_ms) > 50:
            missed.append('ready')
        print('ready after: kafka %.0f ms, smack %.0f ms; with a directory that is there: %.0f and %.0f ms (bar 50); fresh: %.0f and %.0f MiB' % (
            kafka.fresh_ms, smack.fresh_ms, kafka.again_ms, smack.again_ms, kafka.status('VmRSS'), smack.status('VmRSS')), flush=True)
        print('%-34s %8s %8s %6s   %7s %7s %6s' % ('cell', 'kafka k/s', 'smack', 'ratio', 'CPU s/M', 'smack', 'ratio'))
        for size in (100, 1024):
            for partitions in (1, 6):
                for codec in ('none', 'lz4'):
                    topic = 'p%d-%d-%s' % (size, partitions, codec)
                    cell('produce %d B, %d partitions, %s' % (size, partitions, codec), brokers,
                         lambda b, t=topic, p=partitions, s=size, c=codec: load(b, 'produce', t, p, s, '--codec', c), 0.5)
                    results = cell('consume %d B, %d partitions, %s' % (size, partitions, codec), brokers,
                                   lambda b, t=topic, p=partitions, s=size: load(b, 'consume', t, p, s), 1.0)
                    if results and codec == 'none':
                        share = median(results['smack'], 'cpu') / 1e6 / (size / 1e9) / floor['sendfile_cpu_s_gb']
                        within('consume %d B, %d partitions: sendfile' % (size, partitions), share <= 1.3,
                               '    smack\'s CPU a byte consumed: %.2f times a bare sendfile loop  (bar 1.3)' % share)
                    for b in brokers:
                        if topic in b.made:
                            b.delete(topic)
        cell('produce single records, linger 0', brokers,
             lambda b: load(b, 'produce', 'single', 1, 100, '--linger', '0', '--single'), 0.2)
        for size in (100, 1024):
            cell('produce %d B by Java, its batches' % size, brokers, lambda b, s=size: java_produce(b, kafka, 'java%d' % s, 1, s), 0.2)
        for rate in (5000, 1000):
            for linger in (5, 0):
                latency_cell('latency %d/s, linger %d' % (rate, linger), brokers, 'latency', rate, linger, 1.0)
        interval = Interval('smack-interval', work)
        brokers.append(interval)
        interval.start()
        latency_cell('latency 5000/s, linger 0, interval', [kafka, interval], 'latency', 5000, 0, 0.25)
        interval.stop()
        brokers.remove(interval)
        if not ONLY:
            most = kafka.status('VmHWM'), smack.status('VmHWM')
            within('memory', most[1] <= most[0] / 20, 'under load at most: kafka %.0f MiB, smack %.0f MiB  (bar 1/20)' % most)
            if not idle(brokers, 0.1):
                missed.append('idle')
    finally:
        for b in brokers:
            b.stop()
        shutil.rmtree(work, ignore_errors=True)
    print('missed: ' + ', '.join(missed) if missed else 'every bar is met')


main()
