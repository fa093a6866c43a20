"""Record batches (magic 2) as clients make them, right and wrong, and the parsing of those that come back."""
import gzip
import io
import struct

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
TRANSACTIONAL, CONTROL, LOG_APPEND_TIME = 0x10, 0x20, 0x08
HEADER = struct.Struct(">qiibIhiqqqhii")
FIELDS = ("base_offset", "length", "leader_epoch", "magic", "crc", "attributes", "last_offset_delta", "base_timestamp",
          "max_timestamp", "producer_id", "producer_epoch", "base_sequence", "count")


def crc_table(polynomial):
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (polynomial if n & 1 else 0)
        table.append(n)
    return table


TABLE = crc_table(0x82F63B78)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(n):
    n = n << 1 ^ n >> 63
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def sized(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(offset, time, key, value, headers=()):
    body = b"\0" + varint(time) + varint(offset) + sized(key) + sized(value) + varint(len(headers))
    for name, content in headers:
        body += varint(len(name)) + name + sized(content)
    return varint(len(body)) + body


# ---- the codecs' simplest forms: stored, not compressed, as their formats allow ----

def xxh32(data, seed=0):
    """Source: the xxHash specification; for less than 16 bytes, as in LZ4's frame header."""
    p2, p3, p4, p5, mask = 2246822519, 3266489917, 668265263, 374761393, 0xFFFFFFFF
    h = seed + p5 + len(data) & mask
    at = 0
    while at + 4 <= len(data):
        h = h + struct.unpack_from("<I", data, at)[0] * p3 & mask
        h = (h << 17 | h >> 15) * p4 & mask
        at += 4
    for byte in data[at:]:
        h = h + byte * p5 & mask
        h = (h << 11 | h >> 21) & mask
        h = h * 2654435761 & mask
    h = (h ^ h >> 15) * p2 & mask
    h = (h ^ h >> 13) * p3 & mask
    return h ^ h >> 16


def lz4(data):
    """A frame of one stored block of at most 64 KiB each, independent blocks."""
    descriptor = bytes([0x60, 0x40])
    out = b"\x04\x22\x4d\x18" + descriptor + bytes([xxh32(descriptor) >> 8 & 0xFF])
    for at in range(0, len(data), 65536):
        block = data[at:at + 65536]
        out += struct.pack("<I", len(block) | 0x80000000) + block
    return out + bytes(4)


def zstd(data):
    """A frame of raw blocks, with its content's size."""
    out = b"\x28\xb5\x2f\xfd" + bytes([0xA0]) + struct.pack("<I", len(data))
    step = 65536
    for at in range(0, len(data), step):
        block = data[at:at + step]
        out += struct.pack("<I", len(block) << 3 | (at + step >= len(data)))[:3] + block
    return out if data else out + b"\x01\0\0"


def snappy(data):
    """The raw format: literals only."""
    n, out = len(data), bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    for at in range(0, len(data), 60):
        chunk = data[at:at + 60]
        out.append((len(chunk) - 1) << 2)
        out += chunk
    return bytes(out)


def gzipped(data):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as file:
        file.write(data)
    return out.getvalue()


COMPRESS = {NONE: bytes, GZIP: gzipped, SNAPPY: snappy, LZ4: lz4, ZSTD: zstd}


def batch(pairs, time=1000, codec=NONE, producer_id=-1, epoch=-1, sequence=-1, attributes=0, **wrong):
    """pairs: (key, value) or (key, value, headers). wrong: any of FIELDS, or records (bytes), to have them otherwise."""
    body = b"".join(record(i, i, *p) for i, p in enumerate(pairs))
    body = COMPRESS[codec](wrong.get("records", body))
    last = len(pairs) - 1
    h = dict(base_offset=0, leader_epoch=-1, magic=2, attributes=attributes | codec, last_offset_delta=last, base_timestamp=time,
             max_timestamp=time + max(last, 0), producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence, count=len(pairs))
    h.update({k: v for k, v in wrong.items() if k in FIELDS})
    tail = struct.pack(">hiqqqhii", *(h[name] for name in FIELDS[5:])) + body
    crc = h["crc"] if "crc" in h else crc32c(tail)
    length = h.get("length", len(tail) + 9)
    return struct.pack(">qiibI", h["base_offset"], length, h["leader_epoch"], h["magic"], crc) + tail


def old_message(magic, key, value):
    """A message set of one message in the formats before batches."""
    import zlib
    rest = struct.pack(">bb", magic, 0) + (struct.pack(">q", 1000) if magic else b"")
    for part in (key, value):
        rest += struct.pack(">i", -1 if part is None else len(part)) + (part or b"")
    message = struct.pack(">I", zlib.crc32(rest)) + rest
    return struct.pack(">qi", 0, len(message)) + message


def parse(data):
    """The whole batches of a Fetch answer, as dicts, and how many bytes of a cut one are left."""
    out, at = [], 0
    while at + HEADER.size <= len(data):
        b = dict(zip(FIELDS, HEADER.unpack_from(data, at)))
        end = at + 12 + b["length"]
        if end > len(data) or b["length"] < HEADER.size - 12:
            break
        b["crc"] = "right" if crc32c(data[at + 21:end]) == b["crc"] else "wrong"
        b["records"] = data[at + HEADER.size:end]
        out.append(b)
        at = end
    return out, len(data) - at
