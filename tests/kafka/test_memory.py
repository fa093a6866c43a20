#!/usr/bin/env python3
# platform: own
"""Thirty connections send 40 MiB each at the same time to a server whose budget is 96 MiB: it takes them one after the other, answers others
meanwhile, and one that stops in the middle holds nobody up."""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

SMACK = os.environ.get("SMACK", "build/smack")
SENDERS, SIZE, BUDGET_MIB, DEADLINE_S = 30, 40 << 20, 96, 240


def check(condition, *what):
    if not condition:
        print("FAILED:", *what, file=sys.stderr)
        sys.exit(1)


def start(data):
    # what is allocated and not touched must cost nothing here
    env = {name: value for name, value in os.environ.items() if name != "MALLOC_PERTURB_"}
    server = subprocess.Popen([SMACK, "up", "--data", data, "--http", "0", "--kafka", "0", "--cql", "0", "--set", f"memory.budget={BUDGET_MIB}MiB"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    for line in server.stdout:
        words = line.split()
        if words[:1] == ["kafka"]:
            return server, int(words[1].rsplit(":", 1)[1])
    sys.exit("FAILED: the server did not start: " + server.stderr.read())


def peak_mib(server):
    with open(f"/proc/{server.pid}/status") as f:
        return int([line for line in f if line.startswith("VmHWM")][0].split()[1]) >> 10


def head():
    """Of a Produce request that is not one inside: what it gets, when it has come whole, is the end of its connection."""
    return struct.pack(">ihhih", SIZE, 0, 9, 1, -1)


def send(port, ended):
    with socket.create_connection(("127.0.0.1", port)) as s:
        try:
            s.sendall(head())
            left, piece = SIZE - 10, b"\xff" * (1 << 20)
            while left:
                left -= s.send(piece[:left])
            s.recv(1)
        except ConnectionError:
            check(left == 0, "closed in the middle")
        ended.append(left)


def main():
    with tempfile.TemporaryDirectory() as data:
        server, port = start(data)
        try:
            before = peak_mib(server)
            stopped = socket.create_connection(("127.0.0.1", port))
            stopped.sendall(head() + b"\xff" * (30 << 20))
            ended = []
            threads = [threading.Thread(target=send, args=(port, ended), daemon=True) for _ in range(SENDERS)]
            for t in threads:
                t.start()
            end, answers = time.monotonic() + DEADLINE_S, 0
            while len(ended) < SENDERS and time.monotonic() < end:
                with socket.create_connection(("127.0.0.1", port), 60) as s:  # small requests are answered meanwhile
                    s.sendall(struct.pack(">ihhih", 10, 18, 0, 7, -1))
                    check(s.recv(8)[4:] == b"\0\0\0\7", "ApiVersions was not answered")
                answers += 1
                time.sleep(0.05)
            check(len(ended) == SENDERS, len(ended), "of", SENDERS, "were read to their end")
            peak = peak_mib(server)
            # the budget, and what is on its way: a frame a dispatcher, and what came between two looks at the memory
            check(peak < before + BUDGET_MIB + 200, f"{peak} MiB were in use, {before} before; all that was sent is {SENDERS * SIZE >> 20} MiB")
            print(f"{SENDERS} senders of {SIZE >> 20} MiB: {peak} MiB at most; {answers} answers meanwhile")
            stopped.close()
        finally:
            server.terminate()
            server.communicate(timeout=60)
    print("ok")


main()
