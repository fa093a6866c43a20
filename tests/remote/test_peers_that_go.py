#!/usr/bin/env python3
"""Peers of the Unix socket that go away while requests of theirs are under way, or send the next before the answer, end nothing but
their own connection."""
import os
import socket
import struct
import subprocess
import threading
import time

HELLO, WAIT, NEXT, CLOSE = 1, 15, 34, 35
path = os.path.join(os.environ["SMACK_DATA"], "smack.sock")
smack = os.environ["SMACK"]


def frame(op, body, id=1):
    return struct.pack(">IBI", len(body) + 5, op, id) + body


def text(s):
    return struct.pack(">I", len(s)) + s.encode()


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(10)
    return s


hello = frame(HELLO, struct.pack(">H", 1))
subprocess.check_call([smack, "topic", "create", "gone"])
subprocess.run([smack, "topic", "produce", "gone"], input=b"{}\n", check=True)


def wait(offset):
    return frame(WAIT, text("gone") + struct.pack(">iq", 0, offset))


# A wait that is over before the frame that ends the connection is read.
for i in range(50):
    s = connect()
    s.sendall(hello + wait(0) * 3 + wait(1 << 40) * 3 + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff")
    s.close()

# Waits that end while their connections do.
stop = False


def append():
    while not stop:
        subprocess.run([smack, "topic", "produce", "gone"], input=b"{}\n", stderr=subprocess.DEVNULL)


appender = threading.Thread(target=append)
appender.start()
end = time.monotonic() + 3
while time.monotonic() < end:
    s = connect()
    s.sendall(hello + b"".join(wait(n) for n in range(20)))
    s.close()
    time.sleep(0.02)  # there are 256 connections at most
stop = True
appender.join()

# Cursor requests all at once, of numbers that are open, closed and never were.
for i in range(20):
    s = connect()
    burst = b"".join(frame(op, struct.pack(">I", n)) for n in range(8) for op in (NEXT, CLOSE, NEXT, CLOSE))
    s.sendall(hello + burst + burst)
    s.close()

subprocess.check_call([smack, "status"], stdout=subprocess.DEVNULL)
print("ok")
