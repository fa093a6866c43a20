#!/usr/bin/python3
"""smack migrate store between two servers, through CQL and through their data directories: what comes over and what follows, kills of the copy,
what is refused, the way back.
platform: own"""
import shutil
import sys
import time

sys.dont_write_bytecode = True
from moving import DIR, Server, check  # noqa: E402
from tables import changes_follow, comes_over, hang_up, is_refused, migrate, same_everywhere, session, survives_kills  # noqa: E402


def everything(suffix, address):
    a, b, c = Server("a" + suffix), Server("b" + suffix), Server("c" + suffix)
    try:
        args = ("--data", a.data, "--to", address(b))
        here, there = session(a.cql), session(b.cql)
        for name, part in (("comes_over", lambda: comes_over(here, there, args)),
                           ("changes_follow", lambda: changes_follow(here, there, args)),
                           ("survives_kills", lambda: survives_kills(here, there, args, 9000, 2)),
                           ("is_refused", lambda: is_refused(here, there, args))):
            begun = time.monotonic()
            part()
            print(f"{name}{suffix}: ok, {time.monotonic() - begun:.1f} s", flush=True)
        for itself in (a.data, "cassandra://" + a.cql):
            check("is both sides" in migrate("--data", a.data, "--to", itself, status=1), "a copy to itself")
        migrate("--data", c.data, "--from", address(b))
        same_everywhere(there, session(c.cql))
        hang_up()
        for server in (a, b, c):
            server.stop()
    finally:
        hang_up()
        for server in (a, b, c):
            if server.process.poll() is None:
                server.kill()


def main():
    try:
        everything("-cql", lambda server: "cassandra://" + server.cql)
        everything("-data", lambda server: server.data)
    finally:
        shutil.rmtree(DIR, ignore_errors=True)


main()
