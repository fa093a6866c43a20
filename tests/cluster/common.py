"""A server of one's own, requests to its REST, and waiting with a deadline."""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SMACK = os.environ['SMACK']


class Server:
    """`smack up` on free ports in a temporary directory; restart keeps the directory."""

    def __init__(self, config=''):
        self.dir = tempfile.mkdtemp(prefix='smack-test-')
        self.config = os.path.join(self.dir, 'smack.conf')
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(config)
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [SMACK, 'up', '--config', self.config, '--data', self.data, '--http', '0', '--kafka', '0', '--cql', '0'],
            stdout=subprocess.PIPE, stderr=open(os.path.join(self.dir, 'stderr'), 'ab'), text=True)
        self.at = {}  # listeners by name; 'first' is that of kafka.port
        for line in self.process.stdout:
            found = re.match(r'\s+http\s+https?://(\S+)', line)
            if found:
                self.address = found.group(1)
            found = re.match(r'\s+cql\s+(\S+)', line)
            if found:
                self.cql = found.group(1)
            found = re.match(r'\s+(kafka|listener (\S+))\s+(\S+)', line)
            if found:
                self.at[found.group(2) or 'first'] = found.group(3)
                self.kafka = self.at['first']
            if line.startswith('  data'):
                return
        sys.exit('the server did not start:\n' + self.log())

    @property
    def data(self):
        return os.path.join(self.dir, 'data')

    def log(self):
        with open(os.path.join(self.dir, 'stderr'), encoding='utf-8') as f:
            return f.read()

    def stop(self):
        """SIGTERM; it must end, well. (Within 5 s by its own promise, but the machine may be busy with other things.)"""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(120)
        expect(status == 0, 'exit status %s\n%s' % (status, self.log()))

    def kill(self):
        self.process.kill()
        self.process.wait(120)

    def done(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.dir)

    def ask(self, method, path, body=None, expected=None):
        """(status, parsed body, headers)"""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        text = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
        connection.request(method, path, text, {} if method == 'GET' else {'Content-Type': 'application/json'})
        response = connection.getresponse()
        data = response.read().decode()
        connection.close()
        try:
            answer = json.loads(data)
        except ValueError:
            answer = data
        if expected is not None:
            expect(response.status == expected, '%s %s: %s, not %s: %s' % (method, path, response.status, expected, data))
        return response.status, answer, response.headers

    def smack(self, *words, status=0):
        done = subprocess.run([SMACK, *words, '--data', self.data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                              check=False)
        expect(done.returncode == status, 'smack %s: %s: %s' % (' '.join(words), done.returncode, done.stdout))
        return done.stdout

    def logs(self, kind, name):
        status, text, _ = self.ask('GET', '/smack/logs/%s/%s' % (kind, name.lstrip('/')))
        return text if status == 200 else ''


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def wait_for(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError('not within %d s: %s' % (seconds, what))


def alive(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='utf-8') as f:
            return f.read().split(')')[1].split()[0] != 'Z'
    except OSError:
        return False


def run(tests, server):
    try:
        for test in tests:
            test(server)
            print('ok', test.__name__, flush=True)
    except BaseException:
        print('failed; the server said:\n' + server.log())
        raise
    finally:
        server.done()
