#!/bin/sh
# platform: own
# `smack with`: a platform for one command.
. "$(dirname "$0")/lib.sh"

run 0 "$SMACK" with -- sh -c 'echo "$KAFKA_BOOTSTRAP_SERVERS $CASSANDRA_CONTACT_POINTS $CASSANDRA_PORT $SMACK_URL $SMACK_DATA"; test -S "$SMACK_DATA/smack.sock"; curl -fsS "$SMACK_URL/readyz"'
says '127.0.0.1:'
says 'http://127.0.0.1:'
says ready
data=$(head -1 "$dir/out" | sed 's/.* //')
[ ! -e "$data" ] || fail "$data is left behind"
[ "$(head -1 "$dir/out" | wc -w)" -eq 5 ] || fail "five variables"

# The command's status is smack's.
run 7 "$SMACK" with -- sh -c 'exit 7'
run 0 "$SMACK" with true
run 143 "$SMACK" with -- sh -c 'kill -TERM $$'
run 127 "$SMACK" with -- /no/such/program
says 'cannot run /no/such/program'
one_line

# The command's own options stay its own.
run 0 "$SMACK" with -- echo --data x
says '--data x'

# A directory that was named stays, and its content.
run 0 "$SMACK" with --data "$dir/data" -- "$SMACK" topic create kept --partitions 3
run 0 "$SMACK" with --data "$dir/data" -- "$SMACK" topic list
says kept

# Killed, it leaves neither its command nor, after the next one, its directory.
"$SMACK" with -- sh -c 'echo "$$ $SMACK_DATA" >"$1/left.part"; mv "$1/left.part" "$1/left"; exec sleep 1000' sh "$dir" &
killed=$!
n=0
while [ ! -e "$dir/left" ]; do
	n=$((n + 1))
	[ $n -lt 400 ] || fail 'the command did not begin'
	sleep 0.05
done
kill -KILL $killed
wait $killed 2>/dev/null || true
read -r pid data <"$dir/left"
n=0
while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null; do
	n=$((n + 1))
	[ $n -lt 400 ] || fail "the command $pid lives"
	sleep 0.05
done
[ -d "$data" ] || fail "$data is gone already"
run 0 "$SMACK" with -- true
[ ! -e "$data" ] || fail "$data is left behind"

# A configuration.
printf '[topic from_config]\npartitions = 2\n' >"$dir/smack.conf"
run 0 "$SMACK" with --config "$dir/smack.conf" -- "$SMACK" topic describe from_config
says from_config
printf 'nothing = 1\n' >"$dir/smack.conf"
run 1 "$SMACK" with --config "$dir/smack.conf" -- true
one_line
says 'smack.conf:1'
