"""A small client of the native protocol v3 to v5 with nothing but the standard library, for tests that need exact frames."""
import socket
import struct

import segments

ERROR, STARTUP, READY, AUTHENTICATE, OPTIONS, SUPPORTED, QUERY, RESULT, PREPARE, EXECUTE, REGISTER, EVENT, BATCH = (
    0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D)
AUTH_CHALLENGE, AUTH_RESPONSE, AUTH_SUCCESS = 0x0E, 0x0F, 0x10
ONE = 1
TYPES = {1: 'ascii', 2: 'bigint', 3: 'blob', 4: 'boolean', 5: 'counter', 6: 'decimal', 7: 'double', 8: 'float', 9: 'int', 0xB: 'timestamp',
         0xC: 'uuid', 0xD: 'text', 0xE: 'varint', 0xF: 'timeuuid', 0x10: 'inet', 0x11: 'date', 0x12: 'time', 0x13: 'smallint', 0x14: 'tinyint', 0x15: 'duration'}


class CqlError(Exception):
    def __init__(self, code, message, rest=b''):
        super().__init__('0x%04x %s' % (code, message))
        self.code, self.message, self.rest = code, message, rest


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise AssertionError('the frame ends too early')
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self): return self.take(1)[0]
    def u16(self): return struct.unpack('>H', self.take(2))[0]
    def i32(self): return struct.unpack('>i', self.take(4))[0]
    def string(self): return self.take(self.u16()).decode()

    def bytes(self):
        n = self.i32()
        return None if n < 0 else self.take(n)

    def type(self):
        t = self.u16()
        if t == 0:
            return 'custom:' + self.string()
        if t in (0x20, 0x22):
            return ('list' if t == 0x20 else 'set') + '<' + self.type() + '>'
        if t == 0x21:
            return 'map<' + self.type() + ',' + self.type() + '>'
        if t == 0x31:
            return 'tuple<' + ','.join(self.type() for _ in range(self.u16())) + '>'
        if t == 0x30:
            self.string()
            name, n = self.string(), self.u16()
            return 'udt:' + name + '{' + ','.join(self.string() + ' ' + self.type() for _ in range(n)) + '}'
        return TYPES[t]


def string(s): return struct.pack('>H', len(s.encode())) + s.encode()
def long_string(s): return struct.pack('>i', len(s.encode())) + s.encode()


def value(v):
    """bytes, None for null, 'unset'."""
    if v is None:
        return struct.pack('>i', -1)
    if v == 'unset':
        return struct.pack('>i', -2)
    return struct.pack('>i', len(v)) + v


def parameters(values=None, names=None, page=None, state=None, skip=False, consistency=ONE, timestamp=None, version=4, keyspace=None, now=None):
    flags, rest = 0, b''
    if values is not None:
        flags |= 1
        rest += struct.pack('>H', len(values))
        for i, v in enumerate(values):
            if names:
                rest += string(names[i])
            rest += value(v)
    if names:
        flags |= 0x40
    if skip:
        flags |= 2
    if page is not None:
        flags |= 4
        rest += struct.pack('>i', page)
    if state is not None:
        flags |= 8
        rest += struct.pack('>i', len(state)) + state
    if timestamp is not None:
        flags |= 0x20
        rest += struct.pack('>q', timestamp)
    if keyspace is not None:
        flags |= 0x80
        rest += string(keyspace)
    if now is not None:
        flags |= 0x100
        rest += struct.pack('>i', now)
    return struct.pack('>HI' if version >= 5 else '>HB', consistency, flags) + rest


class Answer:
    def __init__(self):
        self.kind, self.columns, self.rows, self.warnings, self.state = None, None, None, [], None
        self.trace, self.new_metadata_id, self.metadata_id = None, None, None


class Connection:
    def __init__(self, host, port, startup=True, options=None, version=4):
        self.socket = socket.create_connection((host, port), timeout=30)
        self.stream, self.events, self.version, self.segmented, self.lz4 = 0, [], version, False, False
        self.pending = b''  # of segments that were received
        if startup:
            fields = dict({'CQL_VERSION': '3.0.0'}, **(options or {}))
            body = struct.pack('>H', len(fields)) + b''.join(string(k) + string(v) for k, v in fields.items())
            self.lz4 = fields.get('COMPRESSION') == 'lz4'
            self.startup_answer, _, self.startup_body = self.call(STARTUP, body)
            assert self.startup_answer in (READY, AUTHENTICATE), self.startup_answer
            self.segmented = version >= 5

    def close(self): self.socket.close()

    def send(self, opcode, body, stream=None, version=None, flags=0):
        if stream is None:
            self.stream = (self.stream + 1) % 32768
            stream = self.stream
        frame = struct.pack('>BBhBI', self.version if version is None else version, flags, stream, opcode, len(body)) + body
        self.socket.sendall(segments.segments(frame, self.lz4) if self.segmented else frame)
        return stream

    def from_socket(self, n):
        data = b''
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise EOFError('the server closed the connection')
            data += more
        return data

    def receive_bytes(self, n):
        if not self.segmented:
            return self.from_socket(n)
        while len(self.pending) < n:
            self.pending += segments.read_segment(self.from_socket, self.lz4)[0]
        data, self.pending = self.pending[:n], self.pending[n:]
        return data

    def receive(self):
        version, flags, stream, opcode, length = struct.unpack('>BBhBI', self.receive_bytes(9))
        self.answered_version = version & 0x7f
        assert version & 0x80, version
        return opcode, flags, stream, self.receive_bytes(length)

    def call(self, opcode, body, flags=0):
        stream = self.send(opcode, body, flags=flags)
        while True:
            got, flags, got_stream, answer = self.receive()
            if got_stream == -1:
                self.events.append(answer)
                continue
            assert got_stream == stream, (got_stream, stream)
            return got, flags, answer

    def query(self, text, **kw): return self.result(QUERY, long_string(text) + parameters(version=self.version, **kw))

    def prepare(self, text, keyspace=None):
        tail = b'' if self.version < 5 else struct.pack('>I', keyspace is not None) + (string(keyspace) if keyspace is not None else b'')
        return self.result(PREPARE, long_string(text) + tail)

    def execute(self, prepared, metadata_id=None, **kw):
        body = struct.pack('>H', len(prepared.id)) + prepared.id
        if self.version >= 5:
            known = prepared.metadata_id if metadata_id is None else metadata_id
            body += struct.pack('>H', len(known)) + known
        return self.result(EXECUTE, body + parameters(version=self.version, **kw), prepared.result_columns)

    def batch(self, kind, texts, **kw):
        body = struct.pack('>BH', kind, len(texts))
        for t in texts:
            body += b'\0' + long_string(t) + struct.pack('>H', 0)
        return self.result(BATCH, body + parameters(version=self.version, **kw))

    def result(self, opcode, body, columns=None, flags=0):
        got, flags, answer = self.call(opcode, body, flags=flags)
        return parse(got, flags, answer, columns, self.version)


def metadata(r, a, prepared=False):
    flags, count = r.i32(), r.i32()
    pk = [r.u16() for _ in range(r.i32())] if prepared else None
    if flags & 2:
        a.state = r.bytes()
    if flags & 8:
        a.new_metadata_id = r.take(r.u16())
    columns = None
    if not flags & 4:
        if flags & 1:
            r.string(), r.string()
        columns = []
        for _ in range(count):
            if not flags & 1:
                r.string(), r.string()
            columns.append([r.string(), r.type()])
    return columns, count, pk


def parse(opcode, flags, body, known_columns=None, version=4):
    r, a = Reader(body), Answer()
    if flags & 2:
        a.trace = r.take(16)
    if flags & 8:
        a.warnings = [r.string() for _ in range(r.u16())]
    if opcode == ERROR:
        code, message = r.i32(), r.string()
        raise CqlError(code, message, r.data[r.at:])
    assert opcode == RESULT, opcode
    kind = r.i32()
    a.kind = {1: 'void', 2: 'rows', 3: 'setkeyspace', 4: 'prepared', 5: 'schema'}[kind]
    if kind == 2:
        a.columns, count, _ = metadata(r, a)
        if a.columns is None:
            a.columns = known_columns
        a.rows = [[r.bytes() for _ in range(count)] for _ in range(r.i32())]
    elif kind == 3:
        a.keyspace = r.string()
    elif kind == 4:
        a.id = r.take(r.u16())
        if version >= 5:
            a.metadata_id = r.take(r.u16())
        a.bind_columns, _, a.pk = metadata(r, a, version >= 4)
        a.result_columns, _, _ = metadata(r, a)
    elif kind == 5:
        a.change = [r.string(), r.string()]
        a.target = [r.string() for _ in range(1 if a.change[1] == 'KEYSPACE' else 2)]
    if r.at != len(body):
        raise AssertionError('%d bytes left in the frame' % (len(body) - r.at))
    return a
