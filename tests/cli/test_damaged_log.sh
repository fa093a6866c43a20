#!/bin/sh
# A log with damage: `smack log check` finds it, the server serves the rest, clients are told, and consumers can go on behind it.
. "$(dirname "$0")/lib.sh"
S=$SMACK

start_server
"$S" topic create whole -d "$dir/data" >/dev/null
"$S" topic create hurt --partitions 2 --config segment.bytes=20000 -d "$dir/data" >/dev/null
i=0
while [ $i -lt 12 ]; do
	seq -f "hurt-%g-$(head -c 700 /dev/zero | tr '\0' x)" $((i * 5)) $((i * 5 + 4)) |
		"$S" topic produce hurt --partition 0 -d "$dir/data" >/dev/null 2>&1
	i=$((i + 1))
done
seq 1 10 | "$S" topic produce hurt --partition 1 -d "$dir/data" >/dev/null 2>&1
seq 1 10 | "$S" topic produce whole -d "$dir/data" >/dev/null 2>&1
run 1 "$S" log check "$dir/data"
says "stop the server first"
run 0 "$S" log dump "$dir/data/log/hurt-0" --max 1
says "offsets 0 to 4 records 5 codec none"
stop_server

run 0 "$S" log check "$dir/data"
says "nothing is damaged or missing"
says "hurt-0: offsets 0 to 60, 60 records"
run 0 "$S" log dump "$dir/data/log/hurt-1" --records --from 8
says 'value "10"'

first=$(ls "$dir/data/log/hurt-0"/*.log | head -1)
second=$(ls "$dir/data/log/hurt-0"/*.log | sed -n 2p)
last=$(ls "$dir/data/log/hurt-0"/*.log | tail -1)
printf '\245' | dd of="$first" bs=1 seek=$((8192 + 3000)) conv=notrunc 2>/dev/null # in the first batch
rm "$second"
truncate -s 9000 "$last"
lost=$(basename "$second" .log | sed 's/^0*//')
behind=$(ls "$dir/data/log/hurt-0"/*.log | sed -n 2p)
behind=$(basename "$behind" .log | sed 's/^0*//')
cut=$(basename "$last" .log | sed 's/^0*//')

run 1 "$S" log check "$dir/data"
says "damaged at position 8192: offsets 0 to 4 are lost"
says "offsets $lost to $((behind - 1)) are lost: no segment holds them"
says "it was truncated"
says "whole-0: offsets 0 to 10, 10 records"
run 1 "$S" log check "$dir/data" --topic hurt --quiet
! grep -q '^ok' "$dir/out" || fail "--quiet"
run 0 "$S" log check "$dir/data" --topic whole
run 0 "$S" log dump "$first"
says "position 8192 damaged up to"

start_server
grep -q "offsets $cut to 59 are lost" "$dir/server.err" || fail "a truncated segment is not noticed"
kafka=$(sed -n 's/^  kafka *//p' "$dir/server.out")
run 0 "$S" topic consume whole -d "$dir/data"
[ "$(wc -l <"$dir/out")" -eq 10 ] || fail "the whole topic"
[ "$(kcat -b "$kafka" -q -C -e -t hurt -p 1 2>/dev/null | wc -l)" -eq 10 ] || fail "the other partition"
# A consumer is told, and stays where it is; behind the damage it goes on.
timeout 3 kcat -b "$kafka" -C -e -t hurt -p 0 -o 0 >"$dir/out" 2>&1 || true
! grep -q 'hurt-[0-9]*-x' "$dir/out" || fail "records are passed over without a word"
kcat -b "$kafka" -q -C -t hurt -p 0 -o 5 -c $((lost - 5)) -f '%o\n' >"$dir/out"
[ "$(head -1 "$dir/out")" = 5 ] && [ "$(wc -l <"$dir/out")" -eq $((lost - 5)) ] || fail "between the first two holes"
run 1 "$S" topic consume hurt --partition 0 -d "$dir/data"
says "offset 0"
# What is written now has new offsets.
echo later | kcat -b "$kafka" -P -t hurt -p 0
[ "$(kcat -b "$kafka" -q -C -e -t hurt -p 0 -o 60 -f '%o:%s')" = 60:later ] || fail "the log goes on at 60"
stop_server

# A stream and a job that are told to pass over holes do, and say so; without that they stop with an error that names the place.
cat >"$dir/tables.cql" <<CQL
CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
CREATE TABLE IF NOT EXISTS k.stopping (p int PRIMARY KEY, n bigint);
CREATE TABLE IF NOT EXISTS k.passing (p int PRIMARY KEY, n bigint);
CREATE TABLE IF NOT EXISTS k.once (p int PRIMARY KEY, n bigint);
CQL
for table in stopping passing once; do
	echo "INSERT INTO k.$table SELECT _partition AS p, count(*) AS n FROM hurt GROUP BY _partition" >"$dir/$table.sql"
done
cat >"$dir/smack.conf" <<CONF
store.tables = tables.cql
batch.interval = 100ms
[stream stopping]
sql = stopping.sql
[stream passing]
sql = passing.sql
holes = pass
[job once]
sql = once.sql
holes = pass
schedule = R1/2020-01-01T00:00:00Z/PT1H
CONF
start_server --config "$dir/smack.conf"
there=$((lost - 5 + cut - behind + 1))
count() { # TABLE PARTITION COUNT
	"$S" cql -d "$dir/data" -e "SELECT n FROM k.$1 WHERE p = $2" | grep -qx " *$3 *"
}
for table in passing once; do
	poll 60 count $table 0 $there
	poll 60 count $table 1 10
	grep -q "job $table: topic hurt, partition 0: offsets $lost to $((behind - 1)) are damaged or lost; they were passed over" "$dir/server.err" ||
		fail "job $table does not say what it passed over"
	curl -sf "$URL/metrics" | grep -q "smack_offsets_passed_over_total{job=\"$table\"}" || fail "it is not counted"
done
poll 60 grep -q 'stopping.*hurt, partition 0, at offset 0' "$dir/server.err"
! count stopping 0 "$there" || fail "the other stream went on"
stop_server

# One file that its partition cannot do without: it is offline, the others are not.
printf 'twelve bytes' >"$dir/data/log/hurt-1/start"
start_server
grep -q 'partition hurt-1 is offline' "$dir/server.err" || fail "nothing says that it is offline"
kafka=$(sed -n 's/^  kafka *//p' "$dir/server.out")
[ "$(kcat -b "$kafka" -q -C -e -t hurt -p 0 -o 60 -f '%o:%s')" = 60:later ] || fail "the others"
! timeout 5 sh -c "echo x | kcat -b $kafka -P -t hurt -p 1 -X message.timeout.ms=2000" 2>/dev/null || fail "an offline partition takes records"
stop_server
