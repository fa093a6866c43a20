"""The segments of native protocol version 5, written from its specification alone."""
import struct
import zlib

PAYLOAD_MAX = 131071


def crc24(data):
    crc = 0x875060
    for b in data:
        crc ^= b << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1974F0B
    return crc


def crc32(data): return zlib.crc32(data, zlib.crc32(b'\xfa\x2d\x55\xca'))


def segment(payload, self_contained=True, lz4=False, uncompressed=0, break_header=0, break_body=0):
    """One segment; with lz4, payload is a block of that many bytes uncompressed, or plain where that is 0."""
    bits = len(payload) | (uncompressed << 17 | self_contained << 34 if lz4 else self_contained << 17)
    header = bits.to_bytes(5 if lz4 else 3, 'little')
    return (header + (crc24(header) ^ break_header).to_bytes(3, 'little') + payload + struct.pack('<I', crc32(payload) ^ break_body))


def segments(frames, lz4=False):
    if len(frames) <= PAYLOAD_MAX:
        return segment(frames, True, lz4)
    return b''.join(segment(frames[i:i + PAYLOAD_MAX], False, lz4) for i in range(0, len(frames), PAYLOAD_MAX))


def lz4_block(data):
    """A block of literals only."""
    n = len(data)
    if n < 15:
        return bytes([n << 4]) + data
    rest = n - 15
    return b'\xf0' + b'\xff' * (rest // 255) + bytes([rest % 255]) + data


def lz4_open(data, size):
    at, out = 0, bytearray()
    while at < len(data):
        token, at = data[at], at + 1
        for n, literals in ((token >> 4, True), (token & 15, False)):
            if not literals:
                if at == len(data):
                    break
                distance, at = struct.unpack('<H', data[at:at + 2])[0], at + 2
            if n == 15:
                while True:
                    n, at = n + data[at], at + 1
                    if data[at - 1] != 255:
                        break
            if literals:
                out += data[at:at + n]
                at += n
            else:
                for _ in range(n + 4):
                    out.append(out[-distance])
    assert len(out) == size, (len(out), size)
    return bytes(out)


def read_segment(take, lz4=False):
    """take(n) gives n bytes. Returns the payload uncompressed, and whether the segment is self-contained."""
    header = take(5 if lz4 else 3)
    assert int.from_bytes(take(3), 'little') == crc24(header), 'CRC-24'
    bits = int.from_bytes(header, 'little')
    payload = take(bits & PAYLOAD_MAX)
    assert struct.unpack('<I', take(4))[0] == crc32(payload), 'CRC-32'
    size = bits >> 17 & PAYLOAD_MAX if lz4 else 0
    return lz4_open(payload, size) if size else payload, bool(bits >> (34 if lz4 else 17) & 1)
