#!/usr/bin/env python3
"""platform: own. The dashboard in a real browser, on the example application: live figures, the report, names that look like markup.

SMACK_SCREENSHOT=FILE.png keeps a picture of what was seen.
"""
import gzip
import json
import os
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(ROOT, "examples", "open-bandit")
HOSTILE = "<img src=/none onerror=document.title='broken'>"

if "SMACK_URL" not in os.environ:
    os.execv(os.environ["SMACK"], [os.environ["SMACK"], "with", "--config", os.path.join(EXAMPLE, "smack.conf"), "--set", "batch.interval=500ms",
                                   "--", sys.executable, os.path.abspath(__file__)])

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import Browser  # noqa: E402

URL = os.environ["SMACK_URL"]


def ask(method, path, body=None, kind="application/json", encoding=None):
    headers = {"Content-Type": kind} if body is not None else {}
    if encoding:
        headers["Content-Encoding"] = encoding
    with urllib.request.urlopen(urllib.request.Request(URL + path, data=body, method=method, headers=headers), timeout=30) as answer:
        return answer.read()


def text(page, name):
    return page.ask(f"document.querySelector('[data-bind=\"{name}\"]').textContent")


def expect(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, not {want!r}")


def names_into_the_store():
    with open(os.path.join(EXAMPLE, "campaigns.csv"), encoding="utf-8") as file:
        rows = [line.strip().split(",") for line in file][1:]
    rows[0][1] = HOSTILE.replace("'", "''")
    cql = " ".join(f"INSERT INTO ads.campaign_name (id, name) VALUES ({key}, '{name}');" for key, name in rows)
    subprocess.run([os.environ["SMACK"], "cql", "-e", cql], check=True, timeout=60, stdout=subprocess.DEVNULL)
    return [HOSTILE if i == 0 else row[1] for i, row in enumerate(rows)]


def look(page, names, lines):
    page.open(URL + "/")
    page.wait("document.getElementById('link').textContent === 'live'")
    expect("events before any", text(page, "ingest.events"), "0")
    page.wait("!document.getElementById('report-empty').hidden")

    # Events come in pieces; the page follows, without being loaded again.
    size = len(lines) // 8 + 1
    for at in range(0, len(lines), size):
        ask("POST", "/ingest/raw_events", gzip.compress(b"".join(lines[at:at + size])), "application/x-ndjson", "gzip")
        time.sleep(0.2)
    page.wait("parseFloat(document.querySelector('[data-bind=\"ingest.rate\"]').textContent) > 0")
    page.wait("parseFloat(document.querySelector('[data-bind=\"stream.rate\"]').textContent) > 0")
    page.wait("document.querySelector('[data-flow=ingest]').classList.contains('flows')")
    total = f"{len(lines):,}"
    page.wait(f"document.querySelector('[data-bind=\"ingest.events\"]').textContent === '{total}'")
    deadline = time.monotonic() + 60  # the lag is as the last batch left it
    while json.loads(ask("GET", "/api/status"))["streams"][0]["records"] < len(lines):
        if time.monotonic() > deadline:
            raise TimeoutError("the stream does not take what was sent")
        time.sleep(0.1)
    page.wait("document.getElementById('lag').textContent === '0'")
    expect("records of the log", text(page, "log.records"), total)
    page.wait("document.querySelector('[data-bind=\"stream.latency\"]').textContent.includes('/')")

    # The job runs; the report appears with the names, which stay text.
    ask("PUT", "/v1/scheduler/job/report")
    page.wait("[...document.querySelectorAll('#report-table td.n')].reduce((n, e) => n + Number(e.textContent.replace(',', '')), 0) === %d"
              % len(lines))
    expect("plots of the report", page.ask("document.querySelectorAll('#report-plots canvas').length"), 2)
    shown = page.ask("[...document.querySelectorAll('#report-table tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
    expect("names in the report", sorted(row[0] for row in shown), sorted(names))
    expect("elements made of a name", page.ask("document.querySelectorAll('td img, dd img, li img').length"), 0)
    document = json.loads(ask("GET", "/api/report"))
    expect("the report's columns", page.ask("[...document.querySelectorAll('#report-table th')].map(e => e.textContent)"), document["columns"])

    # Apps, jobs, topics, tables, addresses.
    cells = "[...document.querySelectorAll('#%s tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    page.wait("document.querySelector('#jobs tbody .pill.good')")
    app = page.ask(cells % "apps")[0]
    expect("the stream's app", app[1:3], ["running", "1 of 1"])
    expect("the job", page.ask(cells % "jobs")[0][:2], ["report", "succeeded"])
    topics = {row[0]: row for row in page.ask(cells % "topics")}
    expect("the topic", topics["raw_events"][1:3], ["6", total])
    tables = {(row[0], row[1]) for row in page.ask(cells % "tables")}
    if not {("ads", "event"), ("ads", "campaign_report")} <= tables:
        raise AssertionError(f"tables: {tables}")
    commands = page.ask("[...document.querySelectorAll('#try code')].map(e => e.textContent).join(' ')")
    for part in (URL + "/ingest/raw_events", os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["CASSANDRA_PORT"]):
        if part not in commands:
            raise AssertionError(f"{part} is not among the addresses: {commands}")

    # An app that fails says so.
    ask("POST", "/v2/apps", json.dumps({"id": "/broken", "cmd": "exit 3", "instances": 1, "cpus": 0.1, "mem": 16}).encode())
    page.wait("[...document.querySelectorAll('#chips li')].some(e => e.textContent.includes('/broken') && e.querySelector('.bad'))")
    ask("DELETE", "/v2/apps/broken")
    page.wait("![...document.querySelectorAll('#chips li')].some(e => e.textContent.includes('/broken'))")

    if os.environ.get("SMACK_SCREENSHOT"):
        page.picture(os.environ["SMACK_SCREENSHOT"])
    expect("title", page.ask("document.title"), "smack")
    expect("the browser's complaints", page.complaints, [])
    expect("hosts asked", page.hosts, {URL.split("/")[2]})


def main():
    names = names_into_the_store()
    with gzip.open(os.path.join(EXAMPLE, "2019", "11", "24.gz")) as file:
        lines = file.read().splitlines(keepends=True)
    with Browser() as page:
        try:
            look(page, names, lines)
        except Exception:
            print("what the page shows:", page.ask("document.body.innerText"), page.complaints, sep="\n", file=sys.stderr)
            raise
    print(f"the page followed {len(lines)} events to a report of 6 rows")


try:
    main()
except FileNotFoundError as missing:
    if "chromium" not in str(missing):
        raise
    print(missing, file=sys.stderr)
    sys.exit(77)
