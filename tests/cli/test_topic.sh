#!/bin/sh
# Topics from the command line.
. "$(dirname "$0")/lib.sh"

run 0 "$SMACK" topic create t --partitions 3 --config retention.ms=3600000
run 1 "$SMACK" topic create t
says "topic t is there already"
one_line
run 1 "$SMACK" topic create 'no good'
one_line
run 1 "$SMACK" topic create x --config no.such=1
one_line
run 0 "$SMACK" topic list
says t
run 0 "$SMACK" topic describe t
says retention.ms
run 1 "$SMACK" topic describe none
says "topic 'none' does not exist"
one_line

i=0
while [ $i -lt 100 ]; do
	echo "key$((i % 7)):value$i"
	i=$((i + 1))
done >"$dir/records"
"$SMACK" topic produce t --key-separator : <"$dir/records" >"$dir/out" 2>&1 || fail produce
run 0 "$SMACK" topic consume t --keys
[ "$(wc -l <"$dir/out")" -eq 100 ] || fail "100 records, not $(wc -l <"$dir/out")"
tr '\t' : <"$dir/out" | sort >"$dir/got"
sort "$dir/records" | cmp -s - "$dir/got" || fail "the same records"
# One key, one partition, in order.
run 0 "$SMACK" topic consume t --keys --offsets
[ "$(grep -w key3 "$dir/out" | cut -d: -f1 | sort -u | wc -l)" -eq 1 ] || fail "one partition for a key"
grep -w key3 "$dir/out" | sed 's/.*value//' | sort -nc || fail "order"
run 0 "$SMACK" topic consume t --max 5
[ "$(wc -l <"$dir/out")" -eq 5 ] || fail "--max"
run 1 "$SMACK" topic consume none
one_line
printf 'x\n' | "$SMACK" topic produce none >"$dir/out" 2>&1 && fail "produced to a topic that is not there"
one_line

# --follow sees what arrives.
"$SMACK" topic consume t --follow --max 1 >"$dir/followed" 2>&1 &
follower=$!
left=100
while kill -0 $follower 2>/dev/null && [ $left -gt 0 ]; do
	echo late | "$SMACK" topic produce t >/dev/null 2>&1
	left=$((left - 1))
	sleep 0.1
done
wait $follower || fail "the follower's status"
grep -qx late "$dir/followed" || fail "--follow"

run 0 "$SMACK" topic delete t
run 1 "$SMACK" topic delete t
one_line
run 1 "$SMACK" topic describe t
