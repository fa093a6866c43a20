"""Encodes and decodes messages by their layout. A message is a dict; what it does not name has its default.

Nothing is checked when encoding, so that wrong requests can be made: None is written as null wherever it stands, and a value of
class Raw as its bytes."""
import struct

from layouts import FOREVER

PACK = {"BOOL": ">?", "I8": ">b", "I16": ">h", "I32": ">i", "I64": ">q", "F64": ">d"}


class Raw(bytes):
    """Written instead of a field, as it is."""


def uvarint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


class Writer:
    def __init__(self, version, flexible):
        self.version, self.flexible, self.parts = version, flexible, []

    def bytes(self):
        return b"".join(self.parts)

    def length(self, n, wide):
        """n None: null."""
        if self.flexible:
            self.parts.append(uvarint(0 if n is None else n + 1))
        else:
            self.parts.append(struct.pack(">i" if wide else ">h", -1 if n is None else n))

    def plain(self, kind, value):
        if isinstance(value, Raw):
            self.parts.append(value)
        elif kind in PACK:
            self.parts.append(struct.pack(PACK[kind], value))
        elif kind == "UUID":
            self.parts.append(value)
        else:
            data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            self.length(None if data is None else len(data), kind != "STRING")
            self.parts.append(data or b"")

    def value(self, field, value):
        if isinstance(value, Raw):
            self.parts.append(value)
        elif field.kind == "STRUCT":
            self.structure(field.of, value)
        else:
            self.plain(field.kind, value)

    def field(self, field, value):
        if isinstance(value, Raw):
            self.parts.append(value)
        elif field.many:
            self.length(None if value is None else len(value), True)
            for item in value or []:
                self.value(field, item)
        elif field.kind == "STRUCT" and field.tag is None and field.null_since < FOREVER:
            self.parts.append(b"\xff" if value is None else b"\x01")
            if value is not None:
                self.structure(field.of, value)
        else:
            self.value(field, value)

    def structure(self, fields, message):
        unknown = set(message) - {f.name for f in fields}
        assert not unknown, f"no such field: {unknown}"
        tagged = []
        for field in fields:
            if not field.stands_in(self.version):
                continue
            value = message.get(field.name, field.absent)
            if field.tag is None:
                self.field(field, value)
            elif value != field.absent:
                inner = Writer(self.version, self.flexible)
                inner.field(field, value)
                tagged.append((field.tag, inner.bytes()))
        if self.flexible:
            self.parts.append(uvarint(len(tagged)))
            for tag, data in tagged:
                self.parts += [uvarint(tag), uvarint(len(data)), data]


def encode(fields, version, flexible, message):
    writer = Writer(version, flexible)
    writer.structure(fields, message)
    return writer.bytes()


class Wrong(Exception):
    """An answer that is not what its layout says."""


class Reader:
    def __init__(self, data, version, flexible):
        self.data, self.at, self.version, self.flexible = data, 0, version, flexible

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise Wrong(f"{n} bytes wanted at {self.at} of {len(self.data)}")
        self.at += n
        return self.data[self.at - n:self.at]

    def uvarint(self):
        n = shift = 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 0x7F) << shift
            if byte < 0x80:
                return n
            shift += 7

    def length(self, wide):
        if self.flexible:
            return self.uvarint() - 1
        return struct.unpack(">i", self.take(4))[0] if wide else struct.unpack(">h", self.take(2))[0]

    def plain(self, field):
        kind = field.kind
        if kind in PACK:
            return struct.unpack(PACK[kind], self.take(struct.calcsize(PACK[kind])))[0]
        if kind == "UUID":
            return self.take(16)
        n = self.length(kind != "STRING")
        if n < 0:
            if not field.may_be_null(self.version):
                raise Wrong(f"{field.name} is null")
            return None
        data = self.take(n)
        return data.decode("utf-8", "surrogateescape") if kind == "STRING" else data

    def value(self, field):
        return self.structure(field.of) if field.kind == "STRUCT" else self.plain(field)

    def field(self, field):
        if field.many:
            n = self.length(True)
            if n < 0 and not field.may_be_null(self.version) and field.tag is None:
                raise Wrong(f"{field.name} is null")
            return None if n < 0 else [self.value(field) for _ in range(n)]
        if field.kind == "STRUCT" and field.tag is None and field.null_since < FOREVER and self.take(1)[0] >= 0x80:
            return None
        return self.value(field)

    def structure(self, fields):
        out = {}
        for field in fields:
            if field.stands_in(self.version):
                out[field.name] = field.absent if field.tag is not None else self.field(field)
        if self.flexible:
            self.tags({f.tag: f for f in fields if f.tag is not None and f.stands_in(self.version)}, out)
        return out

    def tags(self, known, out):
        for _ in range(self.uvarint()):
            tag, size = self.uvarint(), self.uvarint()
            end = self.at + size
            if tag in known:
                out[known[tag].name] = self.field(known[tag])
            else:
                out[f"tag {tag}"] = self.take(size)
            if self.at != end:
                raise Wrong(f"tag {tag} has {size} bytes, its value ends elsewhere")


def decode(fields, version, flexible, data):
    reader = Reader(data, version, flexible)
    out = reader.structure(fields)
    if reader.at != len(data):
        raise Wrong(f"{len(data) - reader.at} bytes are left")
    return out
