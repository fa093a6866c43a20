"""platform: own -- /readyz while the disk under the log fails: not ready, with the reason, and ready again when there is room."""
import errno
import os
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))
import harness  # noqa: E402


def ask(server, path, body=None):
    request = urllib.request.Request("http://%s%s" % (server.http, path), body, {"Content-Type": "application/x-ndjson"} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(what, condition):
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise harness.Failure(what)
        time.sleep(0.05)


def a_full_disk_is_told_and_over_when_there_is_room():
    server = harness.Server(power_loss=True)
    day = b"".join(harness.Week(1).requests[0])
    try:
        server.start()
        if ask(server, "/readyz") != (200, "ready\n") or ask(server, "/ingest/raw_events", day)[0] != 202:
            raise harness.Failure("not ready: %s" % (ask(server, "/readyz"),))
        server.fail(errno.ENOSPC)
        status, text = ask(server, "/ingest/raw_events", day)
        if status not in (429, 503, 507):
            raise harness.Failure("the disk is full, and events get %d %s" % (status, text))
        status, why = ask(server, "/readyz")
        if status != 503 or not why.startswith("the log refuses events: "):
            raise harness.Failure("the log refuses events, and /readyz says %d %s" % (status, why))
        if ask(server, "/healthz")[0] != 200:
            raise harness.Failure("the server lives, and /healthz says it does not")
        server.fail(0)
        until("there is room again, and events are not taken", lambda: ask(server, "/ingest/raw_events", day)[0] == 202)
        until("events are taken, and /readyz does not say so", lambda: ask(server, "/readyz") == (200, "ready\n"))
        server.stop()
        return why.strip()
    finally:
        server.done()


harness.main(a_full_disk_is_told_and_over_when_there_is_room)
