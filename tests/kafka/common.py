"""What the Kafka tests share."""
import os
import sys
import time
import uuid

BROKERS = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
RUN = uuid.uuid4().hex[:8]
DEADLINE_S = 60


def check(condition, *what):
    if not condition:
        print("FAILED:", *what, file=sys.stderr)
        sys.exit(1)


def equal(want, got, what):
    check(want == got, f"{what}: expected {want!r}, got {got!r}")


def until(condition, what):
    """Poll condition, which does its own waiting, until it holds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        check(time.monotonic() < end, "never:", what)


def run(tests):
    for test in tests:
        start = time.monotonic()
        test()
        print(f"{test.__name__}: ok, {time.monotonic() - start:.1f} s")
