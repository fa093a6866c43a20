#!/usr/bin/env python3
"""platform: own. A page of another origin in a real browser sends events, where http.cors.origins names it, and nothing where it does not."""
import functools
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import Browser  # noqa: E402

FETCH = """fetch('http://localhost:%s/ingest/events', {method: 'POST', headers: %s, body: '{"n":1}'})
    .then(answer => answer.text().then(text => answer.status + ' ' + text), error => 'no answer')"""
JSON = {"Content-Type": "application/json"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def expect(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, not {want!r}")


def pages(folder):
    """Two servers of pages, of which one is named: their ports."""
    with open(os.path.join(folder, "index.html"), "w", encoding="utf-8") as file:
        file.write("<!doctype html><title>page</title><p>page")
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return [server.server_address[1] for server in servers]


def look(page, port, named, other):
    def send(headers):
        return page.ask(FETCH % (port, json.dumps(headers)))

    accepted = '202 {"topic":"events","accepted":1}'
    page.open(f"http://localhost:{named}/")
    page.wait("document.title === 'page'")
    expect("an event", send(JSON), accepted)
    expect("with a key and a login", send({**JSON, "Idempotency-Key": "k", "Authorization": "Bearer x"}), accepted)
    expect("the same again", send({**JSON, "Idempotency-Key": "k", "Authorization": "Bearer x"}), accepted)
    expect("a wrong type is read", send({"Content-Type": "text/plain"})[:3], "415")
    expect("a header that is not named", send({**JSON, "X-Other": "1"}), "no answer")
    expect("another route", page.ask(FETCH.replace("/ingest/events", "/v2/apps") % (port, json.dumps(JSON))), "no answer")
    page.open(f"http://localhost:{other}/")
    page.wait("document.title === 'page' && location.port === '%s'" % other)
    expect("a page that is not named", send(JSON), "no answer")
    expect("one that sends without asking", send({"Content-Type": "text/plain"}), "no answer")


def main():
    if len(sys.argv) < 2:
        with tempfile.TemporaryDirectory(prefix="smack-page-") as folder:
            named, other = pages(folder)
            # The pages are served by this process, the platform by its child.
            sys.exit(subprocess.run([os.environ["SMACK"], "with", "--set", "topic.events.partitions=1", "--set",
                                     f"http.cors.origins=http://localhost:{named}", "--", sys.executable, os.path.abspath(__file__), str(named),
                                     str(other)], check=False).returncode)
    port = os.environ["SMACK_URL"].rsplit(":", 1)[1]
    with Browser() as page:
        look(page, port, *sys.argv[1:3])
    print("a page that is named sent events, another did not")


try:
    main()
except FileNotFoundError as missing:
    if "chromium" not in str(missing):
        raise
    print(missing, file=sys.stderr)
    sys.exit(77)
