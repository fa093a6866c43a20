#!/bin/sh
# platform: own
# A topic as an archive by day, and back into a table: bad lines are counted, doing it twice changes nothing.
. "$(dirname "$0")/../cli/lib.sh"

cat >"$dir/event.json" <<'J'
{"type": "object", "required": ["id", "ts", "n"],
 "properties": {"id": {"type": "string"}, "ts": {"type": "integer"}, "n": {"type": "integer"}}}
J
printf '[topic events]\npartitions = 2\nschema = event.json\nkey = id\n' >"$dir/smack.conf"
start_server --config "$dir/smack.conf"
SMACK_DATA=$dir/data
export SMACK_DATA

# Three days, and two records that do not fit.
for i in 0 1 2 3 4 5 6 7 8; do
	echo "{\"id\": \"e$i\", \"ts\": $((1767225600000 + i * 28800000)), \"n\": $i}"
done >"$dir/events"
printf 'not json\n{"id": "x"}\n' >>"$dir/events"
"$SMACK" topic produce events <"$dir/events" >"$dir/out" 2>&1 || fail produce
run 0 "$SMACK" backup --topic events "$dir/archive"
says '9 events in 3 files'
says '2 records left out'
(cd "$dir/archive" && find . -name '*.gz' | sort) >"$dir/files"
printf './2026/01/01.gz\n./2026/01/02.gz\n./2026/01/03.gz\n' | cmp -s - "$dir/files" || fail "$(cat "$dir/files")"
[ "$(zcat "$dir/archive/2026/01/02.gz" | wc -l)" -eq 3 ] || fail "three events a day"
sha256sum "$dir/archive"/2026/01/* >"$dir/sums"
run 0 "$SMACK" backup --topic events "$dir/archive"
sha256sum -c --quiet "$dir/sums" || fail "twice is not the same"

run 0 "$SMACK" cql -e "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
	CREATE TABLE k.e (id text PRIMARY KEY, ts bigint, n bigint)"
printf 'broken\n' | gzip >>"$dir/archive/2026/01/03.gz"
for time in first second; do
	run 0 "$SMACK" restore --table k.e --topic events "$dir/archive"
	says '9 rows from 3 files'
	says '1 bad lines skipped'
	says '03.gz'
	run 0 "$SMACK" sql -e 'SELECT count(*) AS c, sum(n) AS s FROM k.e'
	says 36
	says 9
done
run 1 "$SMACK" restore --table k.none --topic events "$dir/archive"
one_line
run 1 "$SMACK" restore --table k.e --topic events "$dir/nothing"
one_line
run 1 "$SMACK" restore --table k.e --topic other "$dir/archive"
one_line
run 0 "$SMACK" restore --table k.e --schema "$dir/event.json" "$dir/archive/2026/01/01.gz"
says '3 rows from 1 files'
run 1 "$SMACK" backup --topic none --schema "$dir/event.json" "$dir/archive2"
one_line
stop_server
