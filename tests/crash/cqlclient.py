"""A CQL client of few lines (native protocol v4, Python's standard library only): the crash tests write and read with it."""
import socket
import struct

ONE, SERIAL = 1, 8
OVERLOADED = 0x1001


class CqlError(Exception):
    def __init__(self, code, text):
        super().__init__("%#x %s" % (code, text))
        self.code, self.text = code, text


class Connection:
    def __init__(self, host, port, timeout=10):
        self.socket = socket.create_connection((host, port), timeout)
        self._call(0x01, _string_map({"CQL_VERSION": "3.0.0"}))

    def close(self):
        self.socket.close()

    def query(self, text, page=5000, consistency=ONE):
        """All rows, each a list of bytes or None."""
        rows, state = [], None
        while True:
            flags = 0x04 | (0x08 if state is not None else 0)
            body = _long_string(text) + struct.pack(">HBi", consistency, flags, page)
            if state is not None:
                body += struct.pack(">i", len(state)) + state
            more, state = _rows(self._call(0x07, body))
            rows += more
            if state is None:
                return rows

    def _call(self, opcode, body):
        self.socket.sendall(struct.pack(">BBhBI", 4, 0, 1, opcode, len(body)) + body)
        _, _, _, opcode, size = struct.unpack(">BBhBI", self._read(9))
        body = self._read(size)
        if opcode == 0x00:
            code, length = struct.unpack_from(">iH", body)
            raise CqlError(code, body[6 : 6 + length].decode())
        return body

    def _read(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the server closed the connection")
            data += part
        return bytes(data)


def number(cell):
    """Of an int, bigint or counter."""
    return None if cell is None else int.from_bytes(cell, "big", signed=True)


def _string(text):
    return struct.pack(">H", len(text)) + text.encode()


def _long_string(text):
    return struct.pack(">i", len(text)) + text.encode()


def _string_map(pairs):
    return struct.pack(">H", len(pairs)) + b"".join(_string(k) + _string(v) for k, v in pairs.items())


def _type_end(body, at):
    """Behind a column's type: native ones, and lists, sets and maps of them."""
    kind = struct.unpack_from(">H", body, at)[0]
    for _ in range({0x20: 1, 0x21: 2, 0x22: 1}.get(kind, 0)):
        at = _type_end(body, at + 2) - 2
    return at + 2


def _rows(body):
    """The rows of a RESULT, and the paging state."""
    if struct.unpack_from(">i", body)[0] != 2:
        return [], None
    flags, columns = struct.unpack_from(">ii", body, 4)
    at, state = 12, None
    if flags & 2:
        size = struct.unpack_from(">i", body, at)[0]
        state = body[at + 4 : at + 4 + size]
        at += 4 + size
    if flags & 1:
        for _ in range(2):
            at += 2 + struct.unpack_from(">H", body, at)[0]
        for _ in range(columns):
            at = _type_end(body, at + 2 + struct.unpack_from(">H", body, at)[0])
    count = struct.unpack_from(">i", body, at)[0]
    at += 4
    rows = []
    for _ in range(count):
        row = []
        for _ in range(columns):
            size = struct.unpack_from(">i", body, at)[0]
            at += 4
            row.append(None if size < 0 else body[at : at + size])
            at += max(size, 0)
        rows.append(row)
    return rows, state
