# What the clients' scripts share: a Python environment with a pinned client in the user's cache, made at the first run.
# python NAME PACKAGE==VERSION ...: sets $venv. Needs the network once.
python() {
	name=$1
	shift
	venv=${SMACK_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/smack-clients}/$name
	[ "$(cat "$venv/installed" 2>/dev/null)" != "$*" ] || return 0
	rm -rf "$venv"
	mkdir -p "$(dirname "$venv")"
	/usr/bin/python3 -m venv "$venv" || { echo "$name: no virtual environment (Debian: python3-venv)" >&2; exit 1; }
	"$venv/bin/pip" --disable-pip-version-check --retries 1 --timeout 20 install --quiet "$@" || {
		echo "$name: cannot install $*: is the Python package index within reach?" >&2
		exit 1
	}
	echo "$*" >"$venv/installed"
}
