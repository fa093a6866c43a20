#!/usr/bin/python3
"""smack's actors beside Go, Erlang, Pekko and CAF on the same cores, in the same run, cell by cell and round by round in turn: run.py SMACK BUILD
ROUND_TRIP.

Each round of a cell is a process of its own, which repeats the cell until it is warm and is measured then; a figure is the median over the rounds. The
bar is the best of the peers, whichever it is. Where smack's actors all live where their parent is, one core does all: so each peer runs a cell with one
thread and with two, smack with its actors together and spread, and of each the better one counts. Counting has the same window of
messages under way everywhere (in Go its channel has that size). A peer that is not installed is not measured, and said to be so.

BENCH_ROUNDS (3), BENCH_SECONDS (2) a measurement, BENCH_WARM (1; JVM: 5 times that), BENCH_CELLS: only cells whose name contains it, BENCH_PEERS:
those of the peers that are named, BENCH_CORES: which cores (the first two)."""
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SMACK, BUILD, ROUND_TRIP = sys.argv[1:4]
ROUNDS = int(os.environ.get('BENCH_ROUNDS', 3))
SECONDS = float(os.environ.get('BENCH_SECONDS', 2))
WARM = float(os.environ.get('BENCH_WARM', 1))
ONLY = os.environ.get('BENCH_CELLS', '')
PEERS = os.environ.get('BENCH_PEERS', 'go erlang pekko caf').split()
CORES = [int(c) for c in os.environ['BENCH_CORES'].split(',')] if 'BENCH_CORES' in os.environ else sorted(os.sched_getaffinity(0))[:2]
BYTES_MAX = 256
missed = []

# Name, n, m, and smack's bar: its share of the best peer; None: shown without one (runtimes that use the memory of the ended again are quick at it).
CELLS = (('ping-pong', 200000, 0, 1 / 3), ('counting', 1000000, 0, 1 / 3), ('thread ring', 200000, 100, 1 / 3), ('big', 5000, 120, 1 / 3),
         ('fork-join create', 100000, 0, None), ('create', 1000000, 0, 1 / 10))


def commands():
    """The peers that are here: name to the words that run it."""
    found = {}
    for peer in PEERS:
        built = subprocess.run([HERE + '/build', BUILD, peer], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if built.returncode == 0:
            found[peer] = built.stdout.split('\n')[:-1]
        else:
            why = built.stderr.strip().split('\n')
            print('%s is not measured: %s' % (peer, next((line for line in why if 'error' in line), why[0]) or 'its twin is not built'))
    return found


def measure(words, name, n, m, warm, *more):
    done = subprocess.run(words + [name, str(n), str(m), str(warm), str(SECONDS), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, timeout=600)
    if done.returncode != 0:
        sys.exit('bench: %s, %s, ended with %d: %s' % (words[0], name, done.returncode, done.stderr.strip()[-500:]))
    result = json.loads(done.stdout)
    result['cpu_ns'] = result['cpu_s'] * 1e9 / result.get('messages', n)
    return result


def cell(name, n, m, bar, peers):
    runners = {'smack, spread': lambda: measure([SMACK], name, n, m, WARM, 'spread'),
               'smack, together': lambda: measure([SMACK], name, n, m, WARM, 'together')}
    for peer, words in peers.items():
        for threads in ('1', '2'):
            runners['%s, %s' % (peer, threads)] = lambda words=words, threads=threads, warm=WARM * (5 if peer == 'pekko' else 1): measure(
                words, name, n, m, warm, threads)
    results = {who: [] for who in runners}
    for _ in range(ROUNDS):
        for who, run in runners.items():
            results[who].append(run())
    figures = {who: {field: statistics.median(r[field] for r in rs) for field in ('ns', 'cpu_ns', 'rss_kib')} for who, rs in results.items()}
    ours = min((w for w in figures if w.startswith('smack')), key=lambda w: figures[w]['ns'])
    others = [w for w in figures if not w.startswith('smack')]
    best = min(others, key=lambda w: figures[w]['ns'], default=None)
    print('\n%s (n %d, m %d), %s' % (name, n, m, 'an actor' if 'create' in name else 'a message'))
    for who, f in figures.items():
        line = '  %-16s %9.1f ns  %9.1f ns of CPU  %7.0f MiB' % (who, f['ns'], f['cpu_ns'], f['rss_kib'] / 1024)
        if 'bytes' in results[who][0]:
            f['bytes'] = statistics.median(r['bytes'] for r in results[who])
            line += '  %6.0f bytes each' % f['bytes']
        if who in others:
            line += '  smack: %.3f of its time, %.3f of its CPU' % (figures[ours]['ns'] / f['ns'], figures[ours]['cpu_ns'] / f['cpu_ns'])
        print(line)
    if best:
        share = figures[ours]['ns'] / figures[best]['ns']
        text = '%s against %s, the best of the peers: %.3f' % (ours, best, share)
        if bar is None:
            print('  ' + text, flush=True)
        else:
            judge(name, share <= bar, '%s (bar %.3f)' % (text, bar))
    if 'bytes' in figures[ours]:
        judge(name + ', bytes', figures[ours]['bytes'] <= BYTES_MAX, '%.0f bytes an actor (bar %d)' % (figures[ours]['bytes'], BYTES_MAX))


def judge(name, ok, text):
    if not ok:
        missed.append(name)
    print('  %s  %s' % (text, 'ok' if ok else 'MISSED'), flush=True)


def round_trip():
    """Between two dispatchers, beside the bare queue with the same way to wait."""
    rounds = [json.loads(subprocess.run([ROUND_TRIP], check=True, stdout=subprocess.PIPE, text=True).stdout) for _ in range(ROUNDS)]
    f = {field: statistics.median(r[field] for r in rounds) for field in rounds[0]}
    print('\ncross-core round trip')
    for field, value in f.items():
        print('  %-16s %9.0f ns' % (field, value))
    floor = min(f['bare'], f['bare_asleep'])
    judge('round trip', f['actors'] <= 2 * floor, 'actors against the better one of the bare queues: %.2f (bar 2)' % (f['actors'] / floor))


def main():
    os.sched_setaffinity(0, CORES)
    print('cores %s; %d rounds of %g s, warmed for %g s (JVM %g s)' % (CORES, ROUNDS, SECONDS, WARM, WARM * 5))
    peers = commands()
    for name, n, m, bar in CELLS:
        if ONLY in name:
            cell(name, n, m, bar, peers)
    if ONLY in 'round trip':
        round_trip()
    print('\nmissed: ' + ', '.join(missed) if missed else '\nevery bar is met')


main()
