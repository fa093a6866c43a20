#!/usr/bin/python3
# platform: own
"""kcat through a proxy that changes the port: it follows kafka.advertise, and without it goes to where the server saw it arrive."""
import json
import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from common import Server, expect, run  # noqa: E402


class Proxy:
    """Forwards TCP on a port of its own to `to`, which is set later, and remembers what clients sent."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.to = None
        self.seen = bytearray()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            host, port = self.to.rsplit(':', 1)
            server = socket.create_connection((host, int(port)))
            for a, b, seen in ((client, server, self.seen), (server, client, None)):
                threading.Thread(target=self.forward, args=(a, b, seen), daemon=True).start()

    @staticmethod
    def forward(a, b, seen):
        try:
            while data := a.recv(65536):
                if seen is not None:
                    seen += data
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side has ended first


def kcat(port, *words, given=''):
    done = subprocess.run(['kcat', '-b', '127.0.0.1:%d' % port, *words], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=False)
    expect(done.returncode == 0, 'kcat %s: %s' % (' '.join(words), done.stderr))
    return done.stdout


def brokers(port):
    return [b['name'] for b in json.loads(kcat(port, '-L', '-J'))['brokers']]


def clients_stay_on_the_advertised_address(_):
    proxy = Proxy()
    server = Server('kafka.advertise = localhost:%d\n' % proxy.port)
    proxy.to = server.kafka
    try:
        expect(brokers(proxy.port) == ['localhost:%d' % proxy.port], 'told through the proxy: %s' % brokers(proxy.port))
        direct = int(server.kafka.rsplit(':', 1)[1])
        expect(brokers(direct) == ['localhost:%d' % proxy.port], 'told directly: %s' % brokers(direct))
        kcat(proxy.port, '-P', '-t', 'proxied', '-z', 'none', given='by way of the proxy\n')
        expect(b'by way of the proxy' in proxy.seen, 'the record did not pass the proxy')
        got = kcat(proxy.port, '-q', '-e', '-G', 'readers', '-X', 'auto.offset.reset=earliest', 'proxied')
        expect(got == 'by way of the proxy\n', 'read by a group: %r' % got)
        expect(b'readers' in proxy.seen, 'the group did not pass the proxy')
    finally:
        server.done()


def without_it_the_servers_own_address_is_told(server):
    proxy = Proxy()
    proxy.to = server.kafka
    expect(brokers(proxy.port) == [server.kafka], 'told: %s' % brokers(proxy.port))


def a_wrong_address_is_refused_at_the_start(server):
    done = server.smack('up', '--set', 'kafka.advertise=nowhere', status=1)
    expect('HOST:PORT' in done, done)
    done = server.smack('up', '--advertise', 'kafka=nowhere', status=1)
    expect('kafka.advertise = nowhere' in done, done)
    done = server.smack('up', '--advertise', 'http=127.0.0.1:9', status=2)
    expect('only kafka=HOST:PORT and cql=IP:PORT' in done, done)
    done = server.smack('up', '--advertise', 'cql=cassandra.example:9042', status=1)
    expect('give IP:PORT' in done, done)


def the_option_is_the_key(server):
    done = server.smack('with', '--advertise', 'kafka=broker.example:19092', '--', 'sh', '-c', 'kcat -b $KAFKA_BOOTSTRAP_SERVERS -L -J')
    expect('"broker.example:19092"' in done, done)


def drivers_are_told_the_advertised_address(server):
    ask = "from cassandra.cluster import Cluster; import os; s = Cluster([os.environ['CASSANDRA_CONTACT_POINTS']], " \
          "port=int(os.environ['CASSANDRA_PORT']), connect_timeout=60, control_connection_timeout=60).connect(); print(*s.execute('SELECT rpc_address, rpc_port FROM system.local').one())"
    done = server.smack('with', '--advertise', 'kafka=broker.example:19092,cql=192.0.2.7:19042', '--', sys.executable, '-c', ask)
    expect('192.0.2.7 19042' in done, done)


run([clients_stay_on_the_advertised_address, without_it_the_servers_own_address_is_told, a_wrong_address_is_refused_at_the_start,
     the_option_is_the_key, drivers_are_told_the_advertised_address], Server())
