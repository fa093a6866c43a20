#!/bin/sh
# The tree of actors of a running server.
. "$(dirname "$0")/lib.sh"

run 1 "$SMACK" actors --data "$dir/none"
one_line
start_server
run 0 "$SMACK" actors --data "$dir/data"
for heading in actor state mailbox processed 'ms in handler' restarts dispatcher; do
	says "$heading"
done
says running
says 'dead letters'
# Each line but the heading and the last two is an actor; the last one counts them.
shown=$(sed -n 's/^\([0-9]*\) actors, \([0-9]*\) shown;.*/\2/p' "$dir/out")
[ "$(grep -cw running "$dir/out")" -le "$shown" ] || fail "more lines than actors"
[ "$shown" -gt 0 ] || fail "no actors"

run 0 "$SMACK" actors --data "$dir/data" --json
cp "$dir/out" "$dir/before"
# A request is a message to somebody: the sum of what was handled grows.
processed() { python3 -c '
import json, sys
answer = json.load(open(sys.argv[1]))
actors = answer["actors"]
assert answer["total"] == len(actors) > 0 and answer["deadLetters"] >= 0, answer
paths = [a["path"] for a in actors]
assert len(set(paths)) == len(paths), "paths are unique"
for a in actors:
    assert a["path"].startswith("/root/") and a["path"].count("/") == a["depth"] + 2, a
    assert 0 <= a["mailbox"] <= a["mailboxMax"] + 64 and a["restarts"] == 0 and a["handlerMs"] >= 0, a
    parent = a["path"].rsplit("/", 1)[0]
    assert parent == "/root" or parent in paths[: paths.index(a["path"])], "parents come first"
print(sum(a["processed"] for a in actors))' "$1"; }
before=$(processed "$dir/before")
printf 'a\nb\n' | "$SMACK" topic produce seen --data "$dir/data" >"$dir/out" 2>&1 && fail "produced to a topic that is not there"
run 0 "$SMACK" topic create seen --data "$dir/data"
printf 'a\nb\n' | "$SMACK" topic produce seen --data "$dir/data" >"$dir/out" 2>&1 || fail produce
run 0 "$SMACK" actors --data "$dir/data" --json
after=$(processed "$dir/out")
[ "$after" -gt "$before" ] || fail "$after messages handled, $before before"
stop_server
run 1 "$SMACK" actors --data "$dir/data"
one_line
