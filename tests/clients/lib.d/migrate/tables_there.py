"""tables_there.py HOST:PORT: tables to the Cassandra that listens there and, from it, into another server."""
import os
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "backup"))
from moving import DIR, Server, check  # noqa: E402
from tables import changes_follow, comes_over, hang_up, is_refused, migrate, same_everywhere, session, survives_kills  # noqa: E402


def main():
    there = sys.argv[1]
    to = "cassandra://" + there
    a, b = Server("a"), Server("b")
    try:
        here, peer = session(a.cql), session(there)
        args = ("--data", a.data, "--to", to)
        for name, part in (("comes_over", lambda: comes_over(here, peer, args)),
                           ("changes_follow", lambda: changes_follow(here, peer, args)),
                           ("survives_kills", lambda: survives_kills(here, peer, args, 30000, 5)),
                           ("is_refused", lambda: is_refused(here, peer, args))):
            begun = time.monotonic()
            part()
            print(f"{name}: ok, {time.monotonic() - begun:.1f} s", flush=True)
        # A view that a Cassandra refuses is named; rows come over all the same.
        here.execute("CREATE MATERIALIZED VIEW ks.mv AS SELECT * FROM ks.types WHERE v IS NOT NULL AND k IS NOT NULL PRIMARY KEY (v, k)")
        out = migrate(*args, "--tables", "ks.types", status=1)
        check("materialized_view ks.mv" in out and "| same" in out, out)
        migrate("--data", b.data, "--from", to)
        same_everywhere(peer, session(b.cql))
        migrate("--data", b.data, "--from", to, "--verify")
        print("back: ok", flush=True)
        hang_up()
        for server in (a, b):
            server.stop()
    finally:
        hang_up()
        for server in (a, b):
            if server.process.poll() is None:
                server.kill()
        shutil.rmtree(DIR, ignore_errors=True)


main()
