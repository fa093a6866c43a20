#!/bin/sh
# platform: own
# Help and mistakes: status 0, 1 or 2, and one line that says what to do.
. "$(dirname "$0")/lib.sh"
cd "$dir"
unset SMACK_DATA

run 0 "$SMACK" --help
says 'usage: smack COMMAND'
run 0 "$SMACK" --version
says 'smack '
run 2 "$SMACK"
run 2 "$SMACK" frobnicate
says "unknown command 'frobnicate'"
one_line
for c in demo up with cql sql submit topic app job backup restore migrate status version; do
	run 0 "$SMACK" --help
	says "  $c"
	run 0 "$SMACK" $c --help
	says "Usage: smack $c"
	run 2 "$SMACK" $c --no-such-option
done

# Called wrongly: 2, without looking for a server.
run 2 "$SMACK" topic
run 2 "$SMACK" topic frob x
says "unknown action 'frob'"
one_line
run 2 "$SMACK" topic create
says 'name the topic'
run 2 "$SMACK" topic create t --partitions many
run 2 "$SMACK" app frob x
says "unknown action 'frob'"
run 2 "$SMACK" job restart x
run 2 "$SMACK" app apply
run 2 "$SMACK" restore --table t --topic x "$dir"
says 'KEYSPACE.TABLE'
run 2 "$SMACK" migrate
run 2 "$SMACK" migrate log
says 'say where'
run 2 "$SMACK" migrate tables --to x
run 2 "$SMACK" migrate store
says 'say where'
run 2 "$SMACK" migrate store --topics t --to x
says 'for smack migrate log'
run 1 "$SMACK" migrate store --to 'cassandra://c?user=u&password=p'
says 'password.file'
run 2 "$SMACK" up extra
run 2 "$SMACK" with
run 2 "$SMACK" submit

# No server: 1, and how to start one.
for words in 'topic list' 'status' 'cql -e SELECT' 'sql -e SELECT' 'app list' 'job list' "backup --topic t $dir" \
	"restore --topic t --table k.t $dir" "migrate log --to $dir/other" "migrate store --to $dir/other"; do
	run 1 "$SMACK" $words --data "$dir/none"
	one_line
	says "no server at $dir/none"
	says 'smack up --data'
done

# The configuration: every mistake names its line or its key.
printf '[log]\nsegment = 64MiB\n\nsegmnt = 1\n' >bad.conf
run 1 "$SMACK" up --config bad.conf --data "$dir/data"
one_line
says 'bad.conf:4'
says "unknown key 'log.segmnt'"
printf '[http]\nport = many\n' >bad.conf
run 1 "$SMACK" up --config bad.conf --data "$dir/data"
says 'bad.conf:2'
run 1 "$SMACK" up --set listen=0.0.0.0 --data "$dir/data"
one_line
says 'loopback only'
run 1 "$SMACK" up --set log.durability=never --data "$dir/data"
says "sync or interval"
run 1 "$SMACK" up --set log.sync_interval=0 --data "$dir/data"
says "between 1ms and 60s"
run 1 "$SMACK" up --set nothing=1 --data "$dir/data"
says "unknown key 'nothing'"
run 1 "$SMACK" up --config none.conf --data "$dir/data"
one_line
says 'none.conf'
run 1 "$SMACK" up --set logging.level=loud --data "$dir/data"
says 'debug, info, warn or error'
run 0 "$SMACK" up --print-config
says '#http.port = 8080'

start_server
# A port that is taken is named.
port=${URL##*:}
run 1 "$SMACK" up --data "$dir/other" --http "$port" --kafka 0 --cql 0
one_line
says ":$port"
# Two on one directory.
run 1 "$SMACK" up --data "$dir/data" --http 0 --kafka 0 --cql 0
one_line
says 'another smack is at work'
stop_server

# A directory of a release to come.
[ "$(cat "$dir/data/format")" = 'smack data 1' ] || fail "the format's text"
echo 'smack data 2' >"$dir/data/format"
run 1 "$SMACK" up --data "$dir/data" --http 0 --kafka 0 --cql 0
one_line
says 'smack data 2'
# Something that cannot be a directory.
: >"$dir/file"
run 1 "$SMACK" up --data "$dir/file" --http 0 --kafka 0 --cql 0
one_line
