#!/usr/bin/python3
# platform: own
"""store = cassandra://: another smack is the real Cassandra of this one. Status, a stream that counts, a Cassandra that goes away and comes back."""
import http.client
import os
import sys

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
sys.path[:0] = [TESTS, os.path.join(TESTS, 'cluster')]
from common import Server, expect, run, wait_for  # noqa: E402
from ports import free_ports  # noqa: E402

PEER = '''
[listener cassandra]
protocol = cql
port = %d
'''
OURS = '''
store = cassandra://127.0.0.1:%d
store.tables = tables.cql
batch.interval = 100ms
[topic events]
partitions = 2
schema = schema.json
[stream counted]
sql = counted.sql
dedup = id
'''
FILES = {
    'tables.cql': '''CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
CREATE TABLE IF NOT EXISTS k.counted (kind text PRIMARY KEY, n bigint);
''',
    'counted.sql': 'INSERT INTO k.counted SELECT kind, count(*) AS n FROM events GROUP BY kind',
    'schema.json': '{"type": "object", "required": ["id", "kind"], "properties": {"id": {"type": "string"}, "kind": {"type": "string"}}}',
}


class Outgrown(Server):
    def __init__(self, peer, port):
        self.peer, self.peer_port = peer, port
        super().__init__(OURS % port)

    def start(self):
        for name, text in FILES.items():
            with open(os.path.join(self.dir, name), 'w', encoding='utf-8') as f:
                f.write(text)
        super().start()

    def send(self, first, count):
        lines = ''.join('{"id": "e%d", "kind": "%s"}\n' % (i, 'odd' if i % 2 else 'even') for i in range(first, first + count))
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request('POST', '/ingest/events', lines, {'Content-Type': 'application/x-ndjson'})
        response = connection.getresponse()
        response.read()
        connection.close()
        expect(response.status == 202, response.status)

    def counted(self, odd, even):
        """The Cassandra says so itself."""
        rows = self.peer.smack('cql', '-e', 'SELECT kind, n FROM k.counted')
        found = {words[0]: int(words[2]) for words in (line.split() for line in rows.splitlines()) if len(words) == 3 and words[2].isdigit()}
        return found == {'odd': odd, 'even': even}

    def done(self):
        super().done()
        self.peer.done()


def status_is_told(server):
    expect(server.cql == '127.0.0.1:%d' % server.peer_port, server.cql)
    for _ in range(2):
        told = server.smack('status')
        expect('counted' in told, told)
        _, status, _ = server.ask('GET', '/api/status', expected=200)
        expect(status['store']['engine'] == 'cassandra://127.0.0.1:%d' % server.peer_port and status['store']['answers'], status['store'])
        expect([x['protocol'] for x in status['listeners']] == ['kafka'], status['listeners'])
        expect({'keyspace': 'k', 'name': 'counted', 'columns': 2} in status['tables'], status['tables'])
    server.ask('GET', '/readyz', expected=200)


def a_stream_counts(server):
    server.send(0, 1000)
    server.send(500, 600)  # some of them again
    wait_for('550 of each', lambda: server.counted(550, 550), 60)
    expect('counted' in server.smack('status'), 'status')


def a_cassandra_that_goes_and_comes_back_loses_nothing(server):
    server.peer.stop()
    wait_for('the status says it', lambda: not server.ask('GET', '/api/status', expected=200)[1]['store']['answers'])
    server.smack('status')
    server.send(1100, 100)
    server.peer.start()
    wait_for('600 of each', lambda: server.counted(600, 600), 120)


def a_restart_goes_on(server):
    server.stop()
    server.start()
    server.send(1150, 150)
    wait_for('650 of each', lambda: server.counted(650, 650), 60)
    server.smack('status')
    server.stop()


if __name__ == '__main__':
    the_port = free_ports()
    run([status_is_told, a_stream_counts, a_cassandra_that_goes_and_comes_back_loses_nothing, a_restart_goes_on],
        Outgrown(Server(PEER % the_port), the_port))
