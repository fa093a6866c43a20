# What the tests of the examples share. They run at the top of the source tree, with smack and the examples' programs in PATH.
work=$(mktemp -d)
pids=
clean() {
	for pid in $pids; do
		kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap clean EXIT
fail() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}
same() { # WANT GOT WHAT
	[ "$1" = "$2" ] || fail "$3: expected '$1', got '$2'"
}
within() { # SECONDS WHAT COMMAND...: until the command succeeds
	seconds=$1 what=$2
	end=$(($(date +%s) + seconds))
	shift 2
	until "$@"; do
		[ "$(date +%s)" -lt "$end" ] || fail "not within $seconds s: $what"
		sleep 0.1
	done
}
rows() { # TABLE: its rows in one order
	smack sql -e "SELECT * FROM $1 ORDER BY 1, 2, 3"
}
count() { # TABLE
	smack sql -e "SELECT count(*) AS n FROM $1" | sed -n 3p | tr -d ' '
}
counts() { # TABLE N: whether it has N rows
	[ "$(count "$1")" = "$2" ]
}
start() { # PROGRAM [ARGUMENT ...]: on a free port; sets url
	"$@" 0 >"$work/url" 2>"$work/log" &
	pid=$!
	pids="$pids $pid"
	within 20 "$1 has started" test -s "$work/url"
	url=$(cat "$work/url")
}
post() { # URL BODY [CURL-OPTION ...]: status in $status, the answer in $work/answer
	to=$1 body=$2
	shift 2
	status=$(curl -sS -m 30 -o "$work/answer" -w '%{http_code}' -H 'Content-Type: application/json' "$@" --data-binary "$body" "$to")
}
day1=examples/open-bandit/2019/11/24.gz
