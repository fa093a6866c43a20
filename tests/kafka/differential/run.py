#!/usr/bin/env python3
"""run.py KAFKA SMACK [--seed N] [--seeds N] [--only NAME] [--verbose]: the same seeded requests to both brokers (HOST:PORT).

Status 0: no difference but those that rules.py allows."""
import argparse
import os
import random
import re
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import Closed, Connection, Silent  # noqa: E402
from compare import Comparer, short  # noqa: E402
from layouts import APIS  # noqa: E402
from rules import Rules  # noqa: E402
from sequences import SEQUENCES  # noqa: E402
from session import Both, Session  # noqa: E402


START_S = 120


def address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def wait_for(where):
    """Until the broker listens and knows itself."""
    end = time.monotonic() + START_S
    while True:
        try:
            c = Connection(where)
            c.send(APIS["metadata"], 4, {"topics": [], "allow_auto_topic_creation": False})
            if c.receive(5)["brokers"]:
                return
        except (OSError, Closed, Silent):
            pass
        if time.monotonic() > end:
            sys.exit(f"differential: no broker answers at {where[0]}:{where[1]}")
        time.sleep(0.1)


def begin(s):
    """Who the brokers are; and Kafka's own topics, which it makes when they are first asked for."""
    nodes = s.call("describe_cluster", 0, {}).at("brokers", 0, "broker_id")
    s.node, s.node_text = nodes, nodes.map(str) if isinstance(nodes, Both) else str(nodes)
    for kind in (0, 1):
        s.call("find_coordinator", 2, {"key": "first", "key_type": kind})
    first = {"transactional_id": "first", "transaction_timeout_ms": 60000}
    s.call("init_producer_id", 4, first)
    s.call("offset_fetch", 7, {"group_id": "first", "topics": None})


def play(s, function, seed, run):
    name = f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}"
    s.name, count = f"{name} (seed {seed})", [0]

    def names(word):
        count[0] += 1
        return f"{run}-{seed}-{name}-{word}-{count[0]}"
    try:
        function(s, random.Random(f"{seed} {name}"), names)
    except Exception:  # pylint: disable=broad-except
        print(f"FAILED: {s.name}", file=sys.stderr)
        traceback.print_exc()
        s.bad.append((s.name, "", 0, []))
    s.close()
    s.sent.clear()


def summary(s):
    """The differences by kind, most frequent first."""
    kinds = {}
    for name, api, version, differences in s.bad:
        for d in differences:
            kind = (api, re.sub(r"\[\d+\]", "", d.path), short(d.left)[:70], short(d.right)[:70])
            kinds.setdefault(kind, []).append(f"{name.split(' ')[0]} v{version}")
    for (api, path, left, right), where in sorted(kinds.items(), key=lambda k: -len(k[1])):
        print(f"  {len(where):5} {api} {path}: Kafka {left}, smack {right}; first in {where[0]}")


def uncovered(s):
    return [f"{api.name} v{v}" for api in APIS.values() for v in range(api.least, api.most + 1) if not s.covered[api.name, v]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kafka")
    parser.add_argument("smack")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--only", default="", help="sequences that contain this in MODULE.NAME")
    parser.add_argument("--verbose", action="store_true", help="print every request and both answers")
    o = parser.parse_args()
    rules = Rules()
    s = Session([address(o.kafka), address(o.smack)], Comparer(rules), o.verbose)
    for where in s.addresses:
        wait_for(where)
    started = time.monotonic()
    begin(s)
    run = f"{int(time.time()) % 100000:x}"
    for seed in range(o.seed, o.seed + o.seeds):
        for function in SEQUENCES:
            if o.only in f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}":
                play(s, function, seed, run)
    print(f"{s.requests} requests, {s.comparer.fields} fields, seeds {o.seed} to {o.seed + o.seeds - 1}: {len(s.bad)} with differences; "
          f"{time.monotonic() - started:.0f} s, {s.retries} asked again of Kafka")
    summary(s)
    missing = uncovered(s)
    if not o.only and missing:
        print("not covered:", ", ".join(missing), file=sys.stderr)
    for why, count in rules.used.most_common():
        print(f"  {count:6} allowed: {why} ({', '.join(sorted(rules.apis[why]))})")
    if not o.only:
        for why in rules.unused():
            print(f"       0 allowed, never seen: {why}")
    return 1 if s.bad or (missing and not o.only) else 0


if __name__ == "__main__":
    sys.exit(main())
