#!/bin/sh
# A log as smack wrote it before its topics.json had a checksum and its segments said that they are followed (format 1), as a SIGKILL left
# it: it opens without complaint, with all that it held, and from then on a lost segment is noticed. data/log-format-1.tar.gz: topics
# rolled (60 records in 4 segments), trimmed (40, the first 17 deleted), two (40 by key in two partitions; transactions, one of them
# aborted); the group fixture-group with offset 50 of rolled.
. "$(dirname "$0")/lib.sh"

mkdir "$dir/data"
tar -C "$dir/data" -xzf "$(dirname "$0")/data/log-format-1.tar.gz"

check() { # what the log held
	kafka=$(sed -n 's/^  kafka *//p' "$dir/server.out")
	run 0 "$SMACK" topic consume rolled --offsets -d "$dir/data"
	[ "$(grep -c '^0:[0-9]*.*rolled-' "$dir/out")" -eq 60 ] || fail "60 records of rolled"
	sed -n '60p' "$dir/out" | grep -q '^0:59.*rolled-59-' || fail "the last one of rolled"
	run 0 "$SMACK" topic consume trimmed --offsets -d "$dir/data"
	[ "$(wc -l <"$dir/out")" -eq 23 ] || fail "23 records of trimmed"
	sed -n '1p' "$dir/out" | grep -q '^0:17.*trimmed-17-' || fail "trimmed begins at 17"
	run 0 "$SMACK" topic consume two -d "$dir/data"
	[ "$(grep -c '^two-' "$dir/out")" -eq 40 ] || fail "40 records of two"
	[ "$(grep -c '^committed-' "$dir/out")" -eq 6 ] || fail "6 committed records"
	! grep -q '^aborted-' "$dir/out" || fail "aborted records are read"
	run 0 kcat -b "$kafka" -q -e -G fixture-group -X auto.offset.reset=error -f '%o ' rolled
	says "50 51 52"
	! grep -q '\<49\>' "$dir/out" || fail "the group begins at 50"
}

start_server
! grep -q -e lost -e offline "$dir/server.err" || fail "complaints about a log that is whole"
check
grep -q '"version": 2' "$dir/data/log/topics.json" || fail "the table is not brought to format 2"
stop_server
rm "$dir/data/log/trimmed-0/00000000000000000015".*
start_server
grep -q 'trimmed-0: offsets 17 to 19 are lost' "$dir/server.err" || fail "a first segment that is gone is not noticed"
run 0 "$SMACK" topic consume rolled -d "$dir/data"
stop_server
