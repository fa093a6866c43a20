# What the tests of the command line share: a temporary directory, checks that say what they saw, a server of one's own.
# Sourced; SMACK is the binary.
set -eu
dir=$(mktemp -d /tmp/smack-test-XXXXXX)
server=
cleanup() {
	status=$?
	[ -z "$server" ] || { kill -KILL "$server" 2>/dev/null || true; }
	if [ $status -ne 0 ]; then
		echo "--- what it said:" >&2
		cat "$dir"/out "$dir"/server.err >&2 2>/dev/null || true
	fi
	rm -rf "$dir"
	exit $status
}
trap cleanup EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }

# run STATUS COMMAND ...: both outputs go to $dir/out.
run() {
	want=$1
	shift
	got=0
	"$@" >"$dir/out" 2>&1 </dev/null || got=$?
	[ "$got" -eq "$want" ] || fail "status $got, not $want: $*"
}

# says TEXT: the last output has it.
says() { grep -qF -- "$1" "$dir/out" || fail "'$1' is not in the output"; }
one_line() { [ "$(wc -l <"$dir/out")" -eq 1 ] || fail "more than one line"; }

# poll SECONDS COMMAND ...: until it succeeds.
poll() {
	left=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || fail "not in time: $*"
		sleep 0.05
	done
}

# start_server OPTION ...: with free ports on $dir/data; URL holds its address.
start_server() {
	: >"$dir/server.out"
	"$SMACK" up --data "$dir/data" --http 0 --kafka 0 --cql 0 "$@" >"$dir/server.out" 2>"$dir/server.err" &
	server=$!
	poll 20 grep -q '^  data' "$dir/server.out"
	URL=$(sed -n 's/^  http *//p' "$dir/server.out")
}

# stop_server: SIGTERM, and status 0 at an end of its own. A sanitizer's search for leaks at the end is not the server's.
stop_server() {
	kill -TERM "$server"
	got=0
	wait "$server" || got=$?
	server=
	[ $got -eq 0 ] || fail "the server ended with status $got"
}
