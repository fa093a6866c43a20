#!/bin/sh
# platform: own
# `smack init`: from a file of events to counts in a table, without a change to what it has made.
. "$(dirname "$0")/lib.sh"

cd "$dir"
i=0
while [ $i -lt 60 ]; do
	printf '{"id":"c0ffee00-1234-4abc-8def-0000000000%02d","at":"2026-03-0%dT10:00:00Z","kind":"%s","price":%s,"user":{"n":%d},"tags":["a"],"note":%s}\n' \
		$i $((i % 2 + 1)) "$([ $((i % 3)) -eq 0 ] && echo buy || echo look)" "$((i % 7)).5" $i "$([ $((i % 2)) -eq 0 ] && echo null || echo '"x"')"
	i=$((i + 1))
done >shop.events.ndjson

run 0 "$SMACK" init shop.events.ndjson
says '60 events with 7 members'
says 'counted by  kind'
says 'and day of  at'
says 'each once   id'
for file in smack.conf schema.json tables.cql counts.sql chart.sql; do
	[ -s "shop/$file" ] || fail "shop/$file"
done
run 1 "$SMACK" init shop.events.ndjson
says 'is there already'
one_line

start_server --config shop/smack.conf
send() {
	curl -sS --max-time 60 -H 'Content-Type: application/x-ndjson' --data-binary @shop.events.ndjson "$URL/ingest/shop"
}
send >out
says '"accepted":60'
send >out # the same again: none counts twice
says '"accepted":60'
counted() { [ "$("$SMACK" cql --data "$dir/data" -e 'SELECT what, day, events FROM shop.counts' | grep -c '10\|20')" -ge 4 ]; }
poll 60 counted
"$SMACK" sql --data "$dir/data" -e 'SELECT sum(events) AS all_of_them FROM shop.counts' >out
says 60
printf '{"id":"x","at":"yesterday","kind":1}\n' >bad
curl -sS --max-time 60 -H 'Content-Type: application/x-ndjson' --data-binary @bad "$URL/ingest/shop" >out
says 'error.expected.uuid'
says 'error.expected.date.isoformat'
stop_server

# Nothing to count by, no time, no identity: a table all the same.
printf '{"a":1}\n{"a":"x","b":null}\n' >odd.ndjson
run 0 "$SMACK" init odd.ndjson --dir made --topic plain
says 'unchecked   a: of different types'
says 'unchecked   b: always null'
rm -rf "$dir/data"
start_server --config made/smack.conf
curl -sS --max-time 60 -H 'Content-Type: application/x-ndjson' --data-binary @odd.ndjson "$URL/ingest/plain" >out
says '"accepted":2'
sum() { "$SMACK" sql --data "$dir/data" -e 'SELECT sum(events) AS n FROM plain.counts' | grep -q 2; }
poll 60 sum
stop_server

# Names that are words or statements elsewhere: nothing of a sample becomes more than a name.
i=0
while [ $i -lt 24 ]; do
	printf '{"a\\nDROP KEYSPACE shop":"%s","end ;":"%s","":"%s"," x":"%s","select `from` \\"x\\" -- größe":"%s","null":%s}\n' \
		$((i % 8)) $((i % 7)) $((i % 8)) $((i % 8)) $((i % 3)) "$([ $((i % 2)) -eq 0 ] && echo null || echo 1)"
	i=$((i + 1))
done >order.ndjson
run 0 "$SMACK" init order.ndjson
says '24 events with 6 members'
says 'counted by  select `from` "x" -- größe'
rm -rf "$dir/data"
start_server --config order/smack.conf
curl -sS --max-time 60 -H 'Content-Type: application/x-ndjson' --data-binary @order.ndjson "$URL/ingest/order" >out
says '"accepted":24'
ordered() { "$SMACK" sql --data "$dir/data" -e 'SELECT what, events FROM `order`.counts' | grep -c ' 8' | grep -q 3; }
poll 60 ordered
stop_server

# Many different values are no identity as long as some come again.
awk 'BEGIN { for (i = 0; i < 9000; i++) printf "{\"user\":\"c0ffee00-1234-4abc-8def-%012d\"}\n", i % 5000 }' >visits.ndjson
run 0 "$SMACK" init visits.ndjson
says 'each once   not told'

# The system's own names are not taken.
printf '{"a":1}\n' >system_auth.ndjson
run 0 "$SMACK" init system_auth.ndjson
[ -s events/smack.conf ] || fail 'a topic of another name'
run 1 "$SMACK" init odd.ndjson --topic smack_system
one_line

for wrong in 'no json' '[1]' ''; do
	printf '%s\n' "$wrong" >wrong.ndjson
	run 1 "$SMACK" init wrong.ndjson
	one_line
done
run 1 "$SMACK" init none.ndjson
one_line
run 1 "$SMACK" init odd.ndjson --topic Bad-Name
one_line
