#!/usr/bin/python3
# platform: own
"""Several listeners: each with its own address, what its clients are told, and what it asks of them."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from common import SMACK, Server, expect, run  # noqa: E402

LISTENERS = '''
security.users = users
[listener second]
address = 127.0.0.2
[listener proxied]
advertise = broker.example:19092
[listener login]
address = ::1
sasl = SCRAM-SHA-512
'''


class Listening(Server):
    def start(self):
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write(LISTENERS)
        subprocess.run([SMACK, 'user', 'add', 'alice', '--config', self.config], input='secret', text=True, check=True)
        super().start()


def kcat(address, *words):
    return subprocess.run(['kcat', '-b', address, '-L', '-J', '-m', '3', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=False)


def brokers(address, *words):
    done = kcat(address, *words)
    expect(done.returncode == 0, '%s: %s' % (address, done.stderr))
    return [b['name'] for b in json.loads(done.stdout)['brokers']]


LOGIN = ['-X', 'security.protocol=SASL_PLAINTEXT', '-X', 'sasl.mechanism=SCRAM-SHA-512', '-X', 'sasl.username=alice', '-X',
         'sasl.password=secret']


def each_tells_its_own_address(server):
    at = server.at
    expect(sorted(at) == ['first', 'login', 'proxied', 'second'], at)
    expect(at['second'].startswith('127.0.0.2:'), at)
    expect(brokers(at['first']) == [at['first']], 'first')
    expect(brokers(at['second']) == [at['second']], 'second')
    expect(brokers(at['proxied']) == ['broker.example:19092'], 'proxied')
    expect(brokers(at['login'], *LOGIN) == [at['login'].replace('[', '').replace(']', '')], 'login')


def only_one_asks_for_a_login(server):
    expect(kcat(server.at['login']).returncode != 0, 'without a login')
    expect(kcat(server.at['first'], *LOGIN).returncode != 0, 'a login where nobody asks for one')


def all_see_the_same_topics(server):
    subprocess.run(['kcat', '-b', server.at['second'], '-P', '-t', 'shared'], input='one\n', text=True, check=True, timeout=60)
    done = subprocess.run(['kcat', '-b', server.at['login'], *LOGIN, '-C', '-q', '-e', '-t', 'shared'], stdout=subprocess.PIPE, text=True,
                          timeout=60, check=True)
    expect(done.stdout == 'one\n', done.stdout)


def status_lists_them(server):
    told = {l['name']: l for l in json.loads(server.smack('status', '--json'))['listeners']}
    expect(sorted(told) == ['cql.port', 'kafka.port', 'login', 'proxied', 'second'], told)
    expect({n: told[n]['address'] for n in server.at if n != 'first'} == {n: server.at[n] for n in server.at if n != 'first'}, told)
    expect(told['kafka.port']['address'] == server.at['first'], told)
    expect(told['login']['login'] == 'SCRAM-SHA-512' and not told['login']['tls'] and told['second']['login'] == '', told)
    expect(told['proxied']['advertised'] == 'broker.example:19092', told)
    lines = {tuple(line.split()) for line in server.smack('status').splitlines()}
    expect(('proxied', '|', 'kafka', '|', server.at['proxied'], '|', 'broker.example:19092', '|', 'no', '|', 'no') in lines, lines)


def beyond_loopback_credentials_are_asked_for(server):
    server.stop()
    users = '--set', 'security.users=users', '--kafka', '0', '--http', '0', '--cql', '0'
    done = server.smack('up', '--config', server.config, '--set', 'listener.out.address=0.0.0.0', *users, status=1)
    expect('beyond loopback it must ask for credentials' in done, done)
    done = server.smack('up', '--config', server.config, '--set', 'listener.out.address=0.0.0.0', '--set', 'listener.out.sasl=PLAIN', *users,
                        status=1)
    expect('PLAIN would send passwords readable' in done, done)
    # An address for documentation, which this machine has not: it is tried.
    done = server.smack('up', '--config', server.config, '--set', 'listener.out.address=192.0.2.1', '--set',
                        'listener.out.sasl=SCRAM-SHA-512', *users, status=1)
    expect('this machine has no such address' in done, done)


run([each_tells_its_own_address, only_one_asks_for_a_login, all_see_the_same_topics, status_lists_them,
     beyond_loopback_credentials_are_asked_for], Listening())
