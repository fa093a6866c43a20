#!/bin/sh
# platform: own
# The server from start to end: what it prints, /readyz, and SIGTERM in the middle of work.
. "$(dirname "$0")/lib.sh"

start_server
grep -q '^smack .* is ready after [0-9]* ms' "$dir/server.out" || fail "what it prints"
run 0 curl -fsS "$URL/readyz"
says ready
run 0 curl -fsS "$URL/healthz"
run 0 curl -fsS "$URL/metrics"
says smack_
run 0 "$SMACK" status --data "$dir/data"
says "http $URL"
run 0 "$SMACK" status --data "$dir/data" --json
says '"uptimeMs"'
/usr/bin/python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$dir/out" || fail "not JSON"

run 0 "$SMACK" topic create copies --replication-factor 3 --data "$dir/data"
run 0 "$SMACK" status --data "$dir/data"
says "1 of the topics ask for a replication factor above 1: there is one copy of each"

# Under load: producers, a waiting consumer, an open stream of events, an app, idle connections.
run 0 "$SMACK" topic create load --partitions 4 --data "$dir/data"
yes '{"a": 1}' | "$SMACK" topic produce load --data "$dir/data" >/dev/null 2>&1 &
producer=$!
"$SMACK" topic consume load --follow --data "$dir/data" >/dev/null 2>&1 &
consumer=$!
curl -sN "$URL/api/events" >/dev/null 2>&1 &
events=$!
printf '{"id": "/loop", "cmd": "while :; do echo x; sleep 0.1; done", "cpus": 0.1, "mem": 16}' >"$dir/app.json"
run 0 "$SMACK" app apply "$dir/app.json" --data "$dir/data"
sleep 1
stop_server
for p in $producer $consumer $events; do
	wait $p || true # each ends: its connection is closed
done

# What was acknowledged is there.
start_server
run 0 "$SMACK" topic describe load --data "$dir/data"
run 0 "$SMACK" app list --data "$dir/data"
says /loop
stop_server
