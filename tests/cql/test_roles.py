#!/usr/bin/python3
# platform: own
"""Logins, roles and permissions, TLS: with frames of our own and with the Python driver."""
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'), os.path.dirname(os.path.abspath(__file__))]
from cassandra import Unauthorized  # noqa: E402
from cassandra.auth import PlainTextAuthProvider  # noqa: E402
from cassandra.cluster import Cluster, NoHostAvailable  # noqa: E402
from common import SMACK, Server, expect, wait_for  # noqa: E402
from native import AUTH_RESPONSE, AUTH_SUCCESS, AUTHENTICATE, ERROR, OPTIONS, QUERY, Connection, CqlError, Reader, long_string, parameters, parse  # noqa: E402

CONFIG = '''
cql.authenticator = PasswordAuthenticator
security.certificate = server.pem
security.key = server.key
security.client_ca = ca.pem
[listener tls]
protocol = cql
tls = yes
authenticator = PasswordAuthenticator
[listener certified]
protocol = cql
tls = yes
client_auth = required
[listener open]
protocol = cql
'''


class Secured(Server):
    def openssl(self, *words):
        subprocess.run(['openssl', *words], cwd=self.dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def issue(self, name):
        with open(self.file('extension'), 'w', encoding='utf-8') as f:
            f.write('subjectAltName=IP:127.0.0.1\n')
        self.openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', name + '.key', '-out', name + '.csr', '-subj', '/CN=' + name)
        self.openssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1', '-out',
                     name + '.pem', '-extfile', 'extension')

    def start(self):
        if not os.path.exists(self.file('ca.pem')):
            self.openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '1', '-subj', '/CN=ca')
            self.issue('server')
            self.issue('alice')
        super().start()

    def file(self, name): return os.path.join(self.dir, name)

    def port(self, listener='first'):
        return int((self.cql if listener == 'first' else self.at[listener]).rsplit(':', 1)[1])


def token(user, password): return long_string('\0%s\0%s' % (user, password))


def login(server, user, password, version=4):
    c = Connection('127.0.0.1', server.port(), version=version)
    assert c.startup_answer == AUTHENTICATE and Reader(c.startup_body).string() == 'org.apache.cassandra.auth.PasswordAuthenticator'
    opcode, flags, body = c.call(AUTH_RESPONSE, token(user, password))
    if opcode == ERROR:
        parse(opcode, flags, body)
    assert (opcode, body) == (AUTH_SUCCESS, b'\xff' * 4)
    return c


def refused(code, text, f, *args, **kw):
    try:
        f(*args, **kw)
    except CqlError as e:
        assert e.code == code and e.message == text, '%s, expected 0x%04x %s' % (e, code, text)
        return
    raise AssertionError('was not refused: %s' % (args,))


def denied(c, statement, permission, resource, user='app'):
    refused(0x2100, 'User %s has no %s permission on %s or any of its parents' % (user, permission, resource), c.query, statement)


def nothing_before_the_login(server):
    for version in (4, 5):
        c = Connection('127.0.0.1', server.port(), version=version)
        for opcode, name in ((QUERY, 'QUERY'), (OPTIONS, 'OPTIONS')):
            o, f, body = c.call(opcode, long_string('SELECT key FROM system.local') + parameters(version=version))
            refused(0x000A, 'Unexpected message %s, expecting SASL_RESPONSE' % name, parse, o, f, body)
        for bad, text in ((token('', 'x'), 'Authentication ID must not be null'), (token('cassandra', ''), 'Password must not be null'),
                          (long_string('a\0b\0c\0d'), 'Credential format error: username or password is empty or contains NUL(\\0) character'),
                          (token('nobody', 'x'), 'Provided username nobody and/or password are incorrect'),
                          (token('cassandra', 'x'), 'Provided username cassandra and/or password are incorrect')):
            refused(0x0100, text, parse, *c.call(AUTH_RESPONSE, bad))
        refused(0x2200, 'Request is too big: length 70009 exceeds maximum allowed length 65536.' if version == 4 else
                'CQL Message of size 200009 bytes exceeds allowed maximum of 65536 bytes', parse, *c.call(QUERY, b'x' * (70000 if version == 4 else 200000)))
        assert c.call(AUTH_RESPONSE, token('cassandra', 'cassandra'))[0] == AUTH_SUCCESS
        assert c.query('SELECT key FROM system.local').rows == [[b'local']]
        c.close()


def roles_are_made_and_changed(server):
    admin = login(server, 'cassandra', 'cassandra')
    admin.query("CREATE ROLE app WITH PASSWORD = 'secret' AND LOGIN = true")
    refused(0x2200, 'app already exists', admin.query, 'CREATE ROLE app')
    admin.query('CREATE ROLE reader')
    admin.query('GRANT reader TO app')
    refused(0x2200, 'app is a member of reader', admin.query, 'GRANT app TO reader')
    refused(0x2200, 'Cannot DROP primary role for current login', admin.query, 'DROP ROLE cassandra')
    refused(0x2200, "nobody doesn't exist", admin.query, 'DROP ROLE nobody')
    assert [r[0] for r in admin.query('LIST ROLES OF app').rows] == [b'app', b'reader']
    assert [r[0] for r in admin.query('LIST USERS').rows] == [b'app', b'cassandra']
    row = admin.query("SELECT can_login, is_superuser, member_of, salted_hash FROM system_auth.roles WHERE role = 'app'").rows[0]
    assert row[:3] == [b'\1', b'\0', b'\0\0\0\1\0\0\0\6reader'] and re.match(rb'\$2a\$10\$.{53}$', row[3]), row
    # A hash that another Cassandra made is as good as a password.
    admin.query("CREATE ROLE moved WITH LOGIN = true AND HASHED PASSWORD = '%s'" % row[3].decode())
    login(server, 'moved', 'secret').close()
    admin.query('ALTER ROLE moved WITH LOGIN = false')
    refused(0x0100, 'moved is not permitted to log in', login, server, 'moved', 'secret')
    admin.query('DROP ROLE moved')
    refused(0x0100, 'Provided username moved and/or password are incorrect', login, server, 'moved', 'secret')


def permissions_are_asked(server):
    admin, app = login(server, 'cassandra', 'cassandra'), login(server, 'app', 'secret', version=5)
    admin.query("CREATE KEYSPACE a WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    admin.query('CREATE TABLE a.t (k int PRIMARY KEY, v int)')
    put = app.prepare('INSERT INTO a.t (k, v) VALUES (1, 1)')
    for statement, permission, resource in (
            ('SELECT * FROM a.t', 'SELECT', '<table a.t>'), ('INSERT INTO a.t (k) VALUES (1)', 'MODIFY', '<table a.t>'),
            ('BEGIN BATCH DELETE FROM a.t WHERE k = 1 APPLY BATCH', 'MODIFY', '<table a.t>'), ('TRUNCATE a.t', 'MODIFY', '<table a.t>'),
            ('CREATE TABLE a.u (k int PRIMARY KEY)', 'CREATE', '<all tables in a>'), ('DROP KEYSPACE a', 'DROP', '<keyspace a>'),
            ('ALTER TABLE a.t ADD w int', 'ALTER', '<table a.t>'), ('DROP TABLE a.t', 'DROP', '<table a.t>'),
            ("CREATE KEYSPACE b WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}", 'CREATE', '<all keyspaces>'),
            ('SELECT * FROM system_auth.roles', 'SELECT', '<table system_auth.roles>'),
            ('SELECT * FROM smack_system.cql_role', 'SELECT', '<table smack_system.cql_role>'),
            ('GRANT SELECT ON a.t TO app', 'AUTHORIZE', '<table a.t>')):
        denied(app, statement, permission, resource)
    for f in (lambda: app.execute(put), lambda: app.batch(0, ['INSERT INTO a.t (k) VALUES (1)'])):
        refused(0x2100, 'User app has no MODIFY permission on <table a.t> or any of its parents', f)
    for statement in ('CREATE ROLE q', 'DROP ROLE reader', 'GRANT reader TO app'):
        refused(0x2100, 'User app does not have sufficient privileges to perform the requested operation', app.query, statement)
    refused(0x2100, "You are not authorized to view everyone's permissions", app.query, 'LIST ALL PERMISSIONS')

    # A grant counts at once, by membership and by what is wider, too.
    admin.query('GRANT SELECT ON a.t TO reader')
    assert app.query('SELECT * FROM a.t').rows == []
    refused(0x2100, 'User app has no MODIFY permission on <table a.t> or any of its parents', app.query, 'UPDATE a.t SET v = 1 WHERE k = 1 IF v = 2')
    admin.query('GRANT MODIFY ON KEYSPACE a TO app')
    app.execute(put)
    assert [r[1:] for r in app.query('LIST ALL PERMISSIONS OF app').rows] == [[b'app', b'<keyspace a>', b'MODIFY'],
                                                                           [b'reader', b'<table a.t>', b'SELECT']]
    # Who makes a table may do everything with it; who drops it, leaves nothing.
    admin.query('GRANT CREATE ON KEYSPACE a TO app')
    app.query('CREATE TABLE a.own (k int PRIMARY KEY)')
    app.query('SELECT * FROM a.own')
    app.query('DROP TABLE a.own')
    assert b'<table a.own>' not in [r[2] for r in admin.query('LIST ALL PERMISSIONS').rows]
    admin.query('REVOKE SELECT ON a.t FROM reader')
    denied(app, 'SELECT * FROM a.t', 'SELECT', '<table a.t>')
    denied(app, 'UPDATE a.t SET v = 1 WHERE k = 1 IF v = 2', 'SELECT', '<table a.t>')  # its answer would tell
    denied(app, "BEGIN BATCH INSERT INTO a.t (k) VALUES (5) IF NOT EXISTS APPLY BATCH", 'SELECT', '<table a.t>')
    assert admin.query('GRANT MODIFY ON KEYSPACE a TO app').warnings == ["Role 'app' was already granted MODIFY on <keyspace a>"]
    refused(0x2100, 'Cannot DROP <keyspace system_auth>', admin.query, 'DROP KEYSPACE system_auth')
    app.query("ALTER ROLE app WITH PASSWORD = 'new'")
    refused(0x0100, 'Provided username app and/or password are incorrect', login, server, 'app', 'secret')


def a_listener_without_logins_is_as_before(server):
    c = Connection('127.0.0.1', server.port('open'))
    c.query('SELECT * FROM a.t')
    refused(0x2100, 'You have to be logged in and not anonymous to perform this request', c.query, 'LIST ROLES')
    c.close()


def roles_live_through_a_restart(server):
    server.kill()
    server.start()
    login(server, 'app', 'new').query('UPDATE a.t SET v = 2 WHERE k = 2')


def context(server, **files):
    c = ssl.create_default_context(cafile=server.file('ca.pem'))
    c.check_hostname = False
    if files:
        c.load_cert_chain(server.file('alice.pem'), server.file('alice.key'))
    return c


def cluster(server, listener, user='app', password='new', **more):
    return Cluster(['127.0.0.1'], port=server.port(listener), auth_provider=user and PlainTextAuthProvider(user, password),
                   **{'connect_timeout': 60, 'control_connection_timeout': 60, **more})


def the_driver_logs_in_over_tls(server):
    c = cluster(server, 'tls', ssl_context=context(server))
    session = c.connect()
    session.execute('INSERT INTO a.t (k, v) VALUES (3, 3)')
    try:
        session.execute('SELECT * FROM a.t')
        raise AssertionError('was not refused')
    except Unauthorized as e:
        assert 'User app has no SELECT permission on <table a.t> or any of its parents' in str(e)
    c.shutdown()
    # rpc_address and rpc_port are those of the listener.
    c = cluster(server, 'certified', None, ssl_context=context(server, certificate=True))
    assert c.connect().execute('SELECT rpc_port FROM system.local').one()[0] == server.port('certified')
    c.shutdown()
    for listener, kw in (('tls', {}), ('tls', {'password': 'wrong', 'ssl_context': context(server)}),
                         ('certified', {'user': None, 'ssl_context': context(server)})):
        try:
            c = cluster(server, listener, connect_timeout=5, **kw)
            c.connect()
            raise AssertionError('%s let in: %s' % (listener, kw))
        except NoHostAvailable:
            c.shutdown()


def new_certificates_count_without_a_restart(server):
    def shown():
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        with c.wrap_socket(socket.create_connection(('127.0.0.1', server.port('tls')))) as s:
            return s.getpeercert(True)
    before = shown()
    server.issue('server')
    wait_for('the new certificate', lambda: shown() != before)


def wrong_configurations_are_refused():
    for text, says in (('[listener x]\nprotocol = cql\naddress = 0.0.0.0\n', 'must ask for credentials'),
                       ('[listener x]\nprotocol = cql\naddress = 0.0.0.0\nauthenticator = PasswordAuthenticator\n', 'readable on the network'),
                       ('[listener x]\nprotocol = smtp\n', 'must be kafka, cql or http'), ('cql.authenticator = Kerberos\n', 'PasswordAuthenticator'),
                       ('cql.tls = yes\n', 'needs security.certificate')):
        with tempfile.NamedTemporaryFile('w', suffix='.conf') as f:
            f.write(text)
            f.flush()
            done = subprocess.run([SMACK, 'up', '--config', f.name, '--data', '/nonexistent/x'], text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=30, check=False)
        expect(done.returncode != 0 and says in done.stdout, (text, done.stdout))


def main():
    wrong_configurations_are_refused()
    server = Secured(CONFIG)
    try:
        for test in (nothing_before_the_login, roles_are_made_and_changed, permissions_are_asked, a_listener_without_logins_is_as_before,
                     roles_live_through_a_restart, the_driver_logs_in_over_tls, new_certificates_count_without_a_restart):
            test(server)
        server.stop()
    except BaseException:
        print(server.log(), file=sys.stderr)
        raise
    finally:
        server.done()
    print('roles, logins and TLS are as they should be')


main()
