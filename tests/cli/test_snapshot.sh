#!/bin/sh
# platform: own. A keyspace's snapshot is made and put back while the server is at work.
. "$(dirname "$0")/lib.sh"
S=$SMACK

start_server
cql() { "$S" cql -d "$dir/data" -e "$1"; }
cql "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
CREATE TABLE ks.t (k int, c int, v text, PRIMARY KEY (k, c))" >/dev/null
seq 1 300 | awk '{ printf "INSERT INTO ks.t (k, c, v) VALUES (%d, %d, \047row %d\047) USING TIMESTAMP %d;\n", $1 % 7, $1, $1, 1000 + $1 }' >"$dir/rows.cql"
"$S" cql -d "$dir/data" -f "$dir/rows.cql" >/dev/null
cql "SELECT k, c, v, writetime(v) FROM ks.t" >"$dir/before"

run 2 "$S" store snapshot ks -d "$dir/data"
run 1 "$S" store snapshot nope --to "$dir/s" -d "$dir/data"
says "no keyspace 'nope'"
(cd "$dir" && "$S" store snapshot ks --to s -d "$dir/data") || fail "a relative path"
run 1 "$S" store snapshot ks --to "$dir/s" -d "$dir/data"
says "is there already"

cql "DELETE FROM ks.t WHERE k = 3; INSERT INTO ks.t (k, c, v) VALUES (1, 1, 'later')" >/dev/null
run 1 "$S" store restore ks --from "$dir/s" -d "$dir/data"
says "--replace"
run 0 "$S" store restore ks --from "$dir/s" --replace -d "$dir/data"
says '"keys":300'
cql "SELECT k, c, v, writetime(v) FROM ks.t" >"$dir/after"
cmp "$dir/before" "$dir/after" || fail "the rows are not as they were"

# Into a server that never had it, after the first one has gone.
stop_server
rm -rf "$dir/data"
start_server
run 0 "$S" store restore ks --from "$dir/s" -d "$dir/data"
cql "SELECT k, c, v, writetime(v) FROM ks.t" >"$dir/after"
cmp "$dir/before" "$dir/after" || fail "the rows are not as they were"
stop_server
run 0 "$S" store check "$dir/data"
