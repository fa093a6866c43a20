"""platform: own -- no process outlives a killed server, and a job that crashes takes nobody with it. See README.md."""
import http.client
import json
import os
import signal
import subprocess
import time

import harness


def processes_of(server):
    """Whatever runs with the server's data directory in its command line or environment, or in its sandbox."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                text = file.read()
            with open("/proc/%s/environ" % pid, "rb") as file:
                text += file.read()
            text += os.readlink("/proc/%s/cwd" % pid).encode()
        except OSError:
            continue
        if server.data.encode() in text and int(pid) != os.getpid():
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                found[int(pid)] = file.read().replace(b"\0", b" ").decode()
    return found


def wait_until(what, true, seconds):
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise harness.Failure(what() if callable(what) else what)
        time.sleep(0.02)


def killed_server_leaves_no_process_of_an_app():
    server = harness.Server()
    try:
        server.start()
        # One that waits, one in the background, one in a session of its own, one that does not end when it is asked to.
        app = {"id": "/sleeper", "instances": 1, "cpus": 0.1, "mem": 16,
               "cmd": "trap '' TERM; sleep 1001 & setsid sleep 1002 & (setsid sleep 1003 &) ; sleep 1000"}
        connection = http.client.HTTPConnection(server.http, timeout=10)
        connection.request("POST", "/v2/apps", json.dumps(app), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status not in (200, 201):
            raise harness.Failure("POST /v2/apps: %d %s" % (answer.status, answer.read()))
        sleeps = lambda: sum(" 100" in command and "sleep" in command.split()[0] for command in processes_of(server).values())
        wait_until("the app did not start: %s" % processes_of(server), lambda: sleeps() == 4, 10)
        began = time.monotonic()
        server.kill()
        wait_until(lambda: "left after a SIGKILL of the server: %s" % processes_of(server), lambda: not processes_of(server), 5)
        took = time.monotonic() - began
        server.start()
        wait_until("the app was not started again", lambda: sleeps() == 4, 10)
        server.stop()
        wait_until(lambda: "left after SIGTERM: %s" % processes_of(server), lambda: not processes_of(server), 5)
        return "4 processes gone %.2f s after the SIGKILL" % took
    finally:
        for pid in processes_of(server):
            os.kill(pid, signal.SIGKILL)
        server.done()


def job_that_crashes_leaves_the_server_serving():
    week = harness.Week(days=1)
    clients = harness.Clients(week, rows=False)
    server = harness.Server()
    try:
        server.start()
        clients.begin(server, len(week.requests))
        while clients.sending():
            time.sleep(0.01)
        clients.end()
        harness.verify(server, clients)
        for _ in range(3):
            job = subprocess.run([harness.binary(), "submit", "--data", server.data, harness.binary("faulty_job")], timeout=30, check=False,
                                 stderr=subprocess.PIPE)
            if job.returncode != -signal.SIGSEGV:
                raise harness.Failure("the job ended with %d, not of SIGSEGV: %s" % (job.returncode, job.stderr.decode()))
        if not server.alive():
            raise harness.Failure("the server died with the job:\n" + server.said())
        line = harness.verify(server, clients)
        return "%s; stop %.1f s" % (line, server.stop())
    finally:
        server.done()


harness.main(killed_server_leaves_no_process_of_an_app, job_that_crashes_leaves_the_server_serving)
