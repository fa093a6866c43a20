#!/usr/bin/python3
"""smack migrate log between two servers: what comes over, kills of the copy and of the target in the middle, what is refused.
platform: own"""
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from confluent_kafka import Producer  # noqa: E402

from moving import (DEADLINE_S, DIR, Server, check, command, config, consume, ends, equal, make, migrate, produce,  # noqa: E402
                    records, same_everywhere, transactions)


def comes_over(a, b, to):
    topics = {"txns": 1, "compacted": 1}
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topics[f"codec-{codec}"] = 2
        make(a, f"codec-{codec}", 2, retention_ms="1000000000000")
        produce(a, f"codec-{codec}", 500, codec, partitions=2)
    make(a, "txns")
    transactions(a, "txns")
    make(a, "compacted", cleanup_policy="compact", min_cleanable_dirty_ratio="0.1")
    p = Producer({"bootstrap.servers": a.kafka})
    for i in range(300):
        p.produce("compacted", key=b"k%d" % (i % 20), value=b"v%d" % i)
    p.flush(30)
    first = consume(a, "movers", "txns", 10)
    out = migrate("--data", a.data, "--to", to, "--dry-run")
    check("topic txns: would be made" in out and "__consumer_offsets" not in out, out)
    out = migrate("--data", a.data, "--to", to)
    equal(len(topics) + 5, len(re.findall(r"\| same", out)), "partitions that are the same")
    same_everywhere(a, b, topics)
    equal("1000000000000", config(b, "codec-lz4", "retention.ms"), "retention.ms")
    equal("compact", config(b, "compacted", "cleanup.policy"), "cleanup.policy")
    migrate("--data", a.data, "--to", to, "--verify")
    # The group goes on where it was, although the offsets there are others.
    rest = consume(b, "movers", "txns", len(records(a, "txns", 1)[0]) - 10)
    equal([r[1] for r in records(a, "txns", 1)[0]], first + rest, "what the group has read at both sides")
    # Run again: nothing is doubled, and what the group has committed there stays.
    out = migrate("--data", a.data, "--to", to, status=1)
    check("group movers" in out and "itself" in out, out)
    same_everywhere(a, b, topics)


def survives_kills(a, b, to):
    make(a, "big", 2)
    produce(a, "big", 60000, size=600, partitions=2)
    args = ("--data", a.data, "--to", to, "--topics", "big")
    kills = 0
    for attempt in range(8):
        run = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before, limit = ends(b, "big", 2), time.monotonic() + DEADLINE_S
        while run.poll() is None and ends(b, "big", 2) == before:
            check(time.monotonic() < limit, "the copy does not go on")
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            kills += 1
        run.wait()
    check(kills > 0, "no kill came in time")
    print(f"{kills} kills")
    migrate(*args)
    equal([30000, 30000], ends(b, "big", 2), "records of big, after so many kills: %d" % kills)
    same_everywhere(a, b, {"big": 2})


def survives_the_target(a, b, to):
    make(a, "steady")
    produce(a, "steady", 40000, size=600)
    args = ("--data", a.data, "--to", to, "--topics", "steady")
    run = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + DEADLINE_S
    while run.poll() is None and ends(b, "steady", 1) == [0]:
        check(time.monotonic() < limit, "the copy does not go on")
    b.kill()
    said = run.communicate(timeout=DEADLINE_S)[1]
    check(run.returncode in (0, 1), f"status {run.returncode}: {said}")
    b.start()
    migrate(*args)
    equal([40000], ends(b, "steady", 1), "records of steady")
    same_everywhere(a, b, {"steady": 1})


def is_refused(a, b, to):
    make(a, "other")
    make(b, "other")
    produce(a, "other", 10)
    produce(b, "other", 5, size=3)
    said = migrate("--data", a.data, "--to", to, "--topics", "other", status=1)
    check("it is no copy" in said and len(said.strip().splitlines()) < 4, said)
    said = migrate("--data", a.data, "--to", to, "--topics", "other", "--verify", status=1)
    check("DIFFERENT" in said and "the first difference is offset 1" in said, said)
    said = migrate("--data", a.data, "--to", to, "--topics", "no-such", status=1)
    check("no topic 'no-such'" in said, said)
    for itself in (a.data, "kafka://" + a.kafka):
        said = migrate("--data", a.data, "--to", itself, status=1)
        check("is both sides" in said, said)
    migrate("--data", a.data, status=2)


def comes_back(a, b, to):
    """--from: the topics of b into a third server."""
    c = Server("c" + os.path.basename(a.data))
    migrate("--data", c.data, "--from", to, "--topics", "codec-*,txns", "--topics", "big")
    same_everywhere(b, c, {"codec-zstd": 2, "txns": 1, "big": 2})
    c.stop()


def everything(suffix, address):
    a, b = Server("a" + suffix), Server("b" + suffix)
    try:
        for part in (comes_over, survives_kills, survives_the_target, is_refused, comes_back):
            begun = time.monotonic()
            part(a, b, address(b))
            print(f"{part.__name__}{suffix}: ok, {time.monotonic() - begun:.1f} s", flush=True)
        b.stop()
        a.stop()
    finally:
        for server in (a, b):
            if server.process.poll() is None:
                server.kill()


def main():
    try:
        everything("-data", lambda server: server.data)
        everything("-kafka", lambda server: "kafka://" + server.kafka)
    finally:
        shutil.rmtree(DIR, ignore_errors=True)


main()
