#!/usr/bin/env python3
# platform: own
"""A server that is asked for everything by everybody stops in time, whole, again and again."""
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from ports import free_ports  # noqa: E402

smack = os.environ["SMACK"]


def get(http_port, path, stop):
    while not stop.is_set():
        try:
            c = http.client.HTTPConnection("127.0.0.1", http_port, timeout=5)
            while not stop.is_set():
                c.request("GET", path)
                r = c.getresponse()
                r.read(2000 if path == "/api/events" else None)
                if path == "/api/events":
                    break
        except (OSError, http.client.HTTPException):
            time.sleep(0.002)


def ask(data, stop):
    while not stop.is_set():
        subprocess.run([smack, "status", "-d", data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


with tempfile.TemporaryDirectory() as data:
    http_port = free_ports()
    stop = threading.Event()
    threads = [threading.Thread(target=get, args=(http_port, path, stop))
               for path in ("/api/status", "/api/status", "/api/events", "/v2/apps", "/v1/scheduler/jobs")]
    threads.append(threading.Thread(target=ask, args=(data, stop)))
    for t in threads:
        t.start()
    try:
        for i in range(int(os.environ.get("ROUNDS", "4"))):
            server = subprocess.Popen([smack, "up", "-d", data, "--set", "http.port=%d" % http_port, "--set", "kafka.port=0",
                                       "--set", "cql.port=0"], stdout=subprocess.PIPE)
            if b"is ready" not in server.stdout.readline():
                raise SystemExit("round %d: the server did not start" % i)
            time.sleep(1.5)
            server.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            if server.wait(30) != 0:
                raise SystemExit("round %d: exit status %d" % (i, server.returncode))
            if time.monotonic() - begin > 8:
                raise SystemExit("round %d: the stop took %.1f s" % (i, time.monotonic() - begin))
    finally:
        stop.set()
        for t in threads:
            t.join()
print("ok")
