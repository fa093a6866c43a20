#!/usr/bin/python3
"""run.py CASSANDRA SMACK [--seed N] [--sequences N] [--length N] [--keep-going]: the same random statements to both (HOST:PORT), one after the
other, the answers compared: kind, columns and types, rows' bytes and order, pages, warnings, codes and texts of errors.

A sequence that differs is played again with ever fewer statements, until none can be left out. Status 0: nothing differs but what rules.py
allows."""
import argparse
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
from native import Connection, CqlError  # noqa: E402
from rules import allowed, plain  # noqa: E402
from statements import SCHEMA, sequence  # noqa: E402

FEATURES = (set(), {"times"}, {"times", "ttl"}, {"lwt"}, {"counters", "times"}, {"lwt", "counters", "ttl"})
START_S = 180


def connect(where):
    host, port = where.rsplit(":", 1)
    end = time.monotonic() + START_S
    while True:
        try:
            return Connection(host, int(port))
        except (OSError, EOFError):
            if time.monotonic() > end:
                sys.exit("differential: no server answers at " + where)
            time.sleep(0.2)


def pages_of(connection, text, page):
    """All that one statement answers, in a form that can be compared."""
    try:
        answer = connection.query(text, page=page)
        if answer.kind != "rows":
            return (answer.kind, answer.warnings)
        pages, columns = [answer.rows], answer.columns
        while answer.state is not None and len(pages) < 200:
            answer = connection.query(text, page=page, state=answer.state)
            pages.append(answer.rows)
        return ("rows", columns, [[[None if v is None else v.hex() for v in row] for row in rows] for rows in pages], answer.warnings)
    except CqlError as error:
        return ("error", "%#06x" % error.code, error.message)


class Pair:
    """Both servers. play() gives the first statement whose answers differ."""

    def __init__(self, left, right):
        self.left, self.right = connect(left), connect(right)
        self.run = int(time.time()) % 1000000 * 1000
        self.statements = 0
        for text in SCHEMA:
            for connection in (self.left, self.right):
                connection.query(text)

    def play(self, statements):
        self.run += 1
        for number, statement in enumerate(statements):
            text = statement.text.replace("{r}", str(self.run))
            a, b = pages_of(self.left, text, statement.page), pages_of(self.right, text, statement.page)
            self.statements += 1
            a, b = plain(a), plain(b)
            if a != b and not allowed(statement.text, a, b):
                return number, a, b
        return None

    def shrink(self, statements):
        """As few of them as still differ at the last, and the answers."""
        found = self.play(statements)
        if not found:
            return None, None
        statements = statements[: found[0] + 1]
        size = max(1, len(statements) // 2)
        while size:
            at = 0
            while at < len(statements) - 1:
                fewer = statements[:at] + statements[min(at + size, len(statements) - 1) :]
                again = self.play(fewer)
                if again:
                    statements, found = fewer[: again[0] + 1], again
                else:
                    at += size
            size //= 2
        return statements, found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cassandra")
    parser.add_argument("smack")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(31))
    parser.add_argument("--sequences", type=int, default=40)
    parser.add_argument("--length", type=int, default=60)
    parser.add_argument("--keep-going", action="store_true", help="show up to 100 differences, not 5")
    args = parser.parse_args()
    pair, shown, kinds = Pair(args.cassandra, args.smack), 0, set()
    for number in range(args.sequences):
        chance = random.Random("%d %d" % (args.seed, number))
        statements = sequence(chance, FEATURES[number % len(FEATURES)], args.length)
        while statements:
            found = pair.play(statements)
            if not found:
                break
            few, answers = pair.shrink(statements)
            differed = statements[found[0]]
            statements = statements[: found[0]] + statements[found[0] + 1 :]
            if few is None:
                print("seed %d, sequence %d: %s differed once, and not again: %s / %s" % (args.seed, number, differed, found[1], found[2]))
                shown += 1
                continue
            kind = (few[-1].text, answers[1][:2], answers[2][:2]) if answers[1][0] == "error" else (str([s.text for s in few]),)
            if str(kind) in kinds:
                continue
            kinds.add(str(kind))
            shown += 1
            print("seed %d, sequence %d, %d statements:" % (args.seed, number, len(few)))
            for statement in few:
                print("    %r" % statement)
            print("  cassandra %.1500s\n  smack     %.1500s" % (answers[1:]), flush=True)
            if shown >= (100 if args.keep_going else 5):
                break
        if shown >= (100 if args.keep_going else 5):
            break
    print("seed %d: %d statements to both, %d differences" % (args.seed, pair.statements, shown))
    return 1 if shown else 0


if __name__ == "__main__":
    sys.exit(main())
