#!/bin/sh
# platform: own. A store with damage: `smack store check` finds it, the server serves the rest and says so.
. "$(dirname "$0")/lib.sh"
S=$SMACK

rows() { # rows TABLE FROM TO
	seq "$2" "$3" | awk -v t="$1" '{ printf "INSERT INTO ks.%s (k, v) VALUES (%d, \047%0400d\047);\n", t, $1, $1 * 7919 }' >"$dir/rows.cql"
	"$S" cql -d "$dir/data" -f "$dir/rows.cql" >/dev/null
}

start_server
"$S" cql -d "$dir/data" -e "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
CREATE TABLE ks.a (k int PRIMARY KEY, v text); CREATE TABLE ks.b (k int PRIMARY KEY, v text)" >/dev/null
rows a 1 400
run 1 "$S" store check "$dir/data"
says "stop the server first"
stop_server
run 0 "$S" store check "$dir/data"
says "ks.a: 400 keys"
says "nothing is damaged or missing"
run 0 "$S" store check "$dir/data/store" --quiet
one_line
run 2 "$S" store look
run 1 "$S" store check "$dir/nothing"
says "holds no store"

# A byte in the middle of a file of tables.
file=$(ls -S "$dir"/data/store/*.sst | head -1)
cp "$file" "$dir/kept"
printf '\245\132' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 2)) conv=notrunc 2>/dev/null
run 1 "$S" store check "$dir/data"
says "DAMAGE"
says "$(basename "$file")"
says "problems"
start_server
bad=0
for k in 1 50 100 150 200 250 300 350 400; do
	"$S" cql -d "$dir/data" -e "SELECT k FROM ks.a WHERE k = $k" >"$dir/out" 2>&1 || bad=$((bad + 1))
done
[ $bad -lt 9 ] || fail "nothing is served"
run 1 "$S" cql -d "$dir/data" -e "SELECT * FROM ks.a"
stop_server || true

# The file is put back: all is there.
cp "$dir/kept" "$file"
run 0 "$S" store check "$dir/data"
start_server
run 0 "$S" cql -d "$dir/data" -e "SELECT count(*) FROM ks.a"
says "400"
stop_server
