"""What the benchmarks beside real servers share: ports, a server as a process, medians, the machine."""
import os
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests'))
from ports import free_ports  # noqa: E402

SMACK = sys.argv[1]


class Server:
    """A server in a directory of its own: answers() says whether it serves."""

    def __init__(self, name, work):
        self.name, self.dir = name, os.path.join(work, name.replace(', ', '-'))
        self.port = free_ports(2)

    def answers(self):
        raise NotImplementedError

    def ended(self):
        """A server that ends at its start is not waited for."""
        return not os.path.exists('/proc/%d' % self.pid)

    def wait(self, since):
        while not self.answers():
            if time.monotonic() - since > 300 or self.ended():
                sys.exit('bench: %s did not start; see %s' % (self.name, self.dir))
            time.sleep(0.001)
        self.ready_ms = (time.monotonic() - since) * 1000

    def status(self, field):
        """VmRSS, VmHWM, in MiB."""
        with open('/proc/%d/status' % self.pid, encoding='utf-8') as f:
            for line in f:
                if line.startswith(field):
                    return int(line.split()[1]) / 1024
        return 0

    def cpu(self):
        with open('/proc/%d/stat' % self.pid, encoding='utf-8') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class SmackServer(Server):
    """smack with one of its protocols: words_with_port() names it."""
    process = None

    def start(self):
        since = time.monotonic()
        os.makedirs(self.dir, exist_ok=True)
        with open(self.dir + '.log', 'ab') as log:
            self.process = subprocess.Popen([SMACK, 'up', '--data', self.dir, '--http', '0', *self.words_with_port()], stdout=log,
                                            stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        self.wait(since)

    def ended(self):
        return self.process.poll() is not None  # a child of ours stays in /proc until it is asked for

    def words_with_port(self):
        raise NotImplementedError

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                print('bench: %s did not end within 20 s of SIGTERM and is killed' % self.name, file=sys.stderr)
                self.process.kill()
                self.process.wait()
        self.process = None


def median(results, field):
    return statistics.median(r[field] for r in results)


def judge(ok):
    return 'ok' if ok else 'MISSED'


def touch_memory():
    """A virtual machine's memory costs more at its first touch than ever after; what is free is touched once, so that neither side pays."""
    with open('/proc/meminfo', encoding='utf-8') as f:
        free = next(int(line.split()[1]) for line in f if line.startswith('MemFree')) * 1024
    size = max(free - (2 << 30), 0)
    subprocess.run([sys.executable, '-c', 'import mmap\nm = mmap.mmap(-1, %d)\nfor i in range(0, %d, 4096): m[i] = 1' % (size or 4096, size)],
                   check=False)


def end_on_signals():
    """Broken off: what the finally clauses end is ended all the same."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit('bench: broken off'))


IDLE_SETTLE_S, IDLE_S = 20, 60


def idle(servers, bar):
    """CPU of servers that nobody asks for anything, in percent of a core, once what the load left behind (compactions, memory given back) is done.
    Prints them; returns whether smack's, the last, is below the bar."""
    time.sleep(IDLE_SETTLE_S)
    before = [s.cpu() for s in servers]
    time.sleep(IDLE_S)
    used = [(s.cpu() - c) / IDLE_S * 100 for s, c in zip(servers, before)]
    ok = used[-1] < bar
    print('idle CPU over %d s: %s  (bar: smack %.1f %%)  %s' % (
        IDLE_S, ', '.join('%s %.2f %%' % (s.name, u) for s, u in zip(servers, used)), bar, judge(ok)), flush=True)
    return ok
