#!/usr/bin/env python3
# platform: own
"""Many connections: 2,000 idle ones, 200 busy producers, consumers that read slowly or not at all, 1,000 groups. All are served, what each costs
is bounded, and it is given back. Raw requests, so that one process can be all of them."""
import atexit
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

IDLE, BUSY, ROUNDS, DEAF, GROUPS = 2000, 200, 20, 20, 1000
SMACK = os.environ.get("SMACK", "build/smack")


def check(condition, *what):
    if not condition:
        print("FAILED:", *what, file=sys.stderr)
        sys.exit(1)


# ---- the protocol, as little as is needed ----

def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def frame(key, version, body, correlation=1):
    head = struct.pack(">hhi", key, version, correlation) + text("load")
    return struct.pack(">i", len(head) + len(body)) + head + body


CRC = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    CRC.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = value << 1 ^ value >> 63
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def batch(value):
    record = b"\0\0\0\1" + varint(len(value)) + value + b"\0"
    record = varint(len(record)) + record
    body = struct.pack(">hiqqqhii", 0, 0, 1, 1, -1, -1, -1, 1) + record
    return struct.pack(">qiibI", 0, 9 + len(body), -1, 2, crc32c(body)) + body


def produce(topic, value):
    data = batch(value)
    return frame(0, 3, struct.pack(">hhi", -1, -1, 30000) + struct.pack(">i", 1) + text(topic) + struct.pack(">iii", 1, 0, len(data)) + data)


def fetch(topic, offset, most, wait_ms):
    return frame(1, 4, struct.pack(">iiiib", -1, wait_ms, 1, most, 0) + struct.pack(">i", 1) + text(topic) + struct.pack(">iiqi", 1, 0, offset, most))


def join(group):
    return frame(11, 2, text(group) + struct.pack(">ii", 30000, 30000) + text("") + text("consumer") + struct.pack(">i", 1) + text("range") +
                 struct.pack(">i", 4) + b"meta")


def read_frame(s):
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack(">i", data[:4])[0]:
        got = s.recv(1 << 16)
        check(got, "the server has closed the connection")
        data += got
    return data[4:]


# ---- the server ----

work = tempfile.mkdtemp(prefix="smack-load-")
server = subprocess.Popen([SMACK, "up", "--data", work, "--http", "0", "--kafka", "0", "--cql", "0"], stdout=subprocess.PIPE, text=True)
atexit.register(server.kill)
address = None
for line in server.stdout:
    words = line.split()
    if words[:1] == ["kafka"]:
        address = words[1].rsplit(":", 1)
    if words[:1] == ["data"]:
        break
check(address, "the server does not start")


def rss_mib():
    with open(f"/proc/{server.pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def settles(below, what):
    """Memory goes back within seconds."""
    end = time.monotonic() + 30
    while rss_mib() >= below:
        check(time.monotonic() < end, f"{what}: {rss_mib():.0f} MiB, not below {below:.0f}")
        time.sleep(0.2)


def dial(receive_bytes=0):
    s = socket.socket()
    if receive_bytes:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.connect((address[0], int(address[1])))
    s.settimeout(60)
    return s


subprocess.run([SMACK, "topic", "create", "load", "--data", work], check=True)
fresh = rss_mib()

# Idle: each has said who it is.
idle = [dial() for _ in range(IDLE)]
for s in idle:
    s.sendall(frame(18, 0, b""))
for s in idle:
    read_frame(s)
with_idle = rss_mib()
each_kib = (with_idle - fresh) * 1024 / IDLE
check(each_kib < 24, f"an idle connection costs {each_kib:.1f} KiB")

# Busy, beside the idle ones and beside consumers that ask for much and read nothing.
VALUE = b"x" * 2000
busy = [dial() for _ in range(BUSY)]
request = produce("load", VALUE)
selector = selectors.DefaultSelector()
left = {}
for s in busy:
    selector.register(s, selectors.EVENT_READ)
    left[s] = ROUNDS
    s.sendall(request)
deaf = []
answered = 0
while left:
    for key, _ in selector.select(30):
        s = key.fileobj
        answer = read_frame(s)
        error = struct.unpack(">h", answer[4 + 4 + 2 + 4 + 4 + 4:][:2])[0]
        check(error == 0, "produce was refused with", error)
        answered += 1
        left[s] -= 1
        if left[s]:
            s.sendall(request)
        else:
            selector.unregister(s)
            del left[s]
    if answered > BUSY and len(deaf) < DEAF:
        s = dial(4096)
        for _ in range(50):  # 50 answers of up to 1 MiB that nobody takes
            s.sendall(fetch("load", 0, 1 << 20, 1000))
        deaf.append(s)
check(answered == BUSY * ROUNDS, answered, "answers")
end = dial()
end.sendall(fetch("load", BUSY * ROUNDS - 1, 1 << 20, 1000))
check(VALUE in read_frame(end), "the last record cannot be read")
peak = rss_mib()
# A deaf consumer holds slices of files, no copies of them.
check(peak < with_idle + 120, f"{peak:.0f} MiB under load, {with_idle:.0f} before")

# A slow one gets all of it.
slow = dial(4096)
slow.sendall(fetch("load", 0, 300000, 1000))
got = 0
size = struct.unpack(">i", slow.recv(4, socket.MSG_WAITALL))[0]
while got < size:
    part = slow.recv(2000)
    check(part, "a slow consumer was cut off")
    got += len(part)
    time.sleep(0.002)

# 1,000 groups with a member each, all joined at once.
members = [dial() for _ in range(GROUPS)]
for number, s in enumerate(members):
    s.sendall(join(f"group-{number}"))
for s in members:
    answer = read_frame(s)
    check(struct.unpack(">h", answer[8:10])[0] == 0, "join was refused with", answer)
with_groups = rss_mib()
each_kib = (with_groups - peak) * 1024 / GROUPS
check(each_kib < 64, f"a group with a member costs {each_kib:.1f} KiB")

for s in idle + busy + deaf + members + [end, slow]:
    s.close()
settles(fresh + 40, "after all have gone")
server.send_signal(signal.SIGTERM)
check(server.wait(10) == 0, "the server's end")
subprocess.run(["rm", "-rf", work], check=True)
print(f"fresh {fresh:.0f} MiB, {IDLE} idle connections {with_idle:.0f}, {BUSY} busy and {DEAF} deaf ones {peak:.0f}, {GROUPS} groups {with_groups:.0f}")
