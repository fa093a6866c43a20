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

# skip WHY: this client cannot be had here; counted as skipped.
skip() {
	echo "skipped: $*" >&2
	exit 77
}

clients=${SMACK_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/smack-clients}

# node NAME PACKAGE@VERSION: sets $node_modules' parent, $home. Needs the network once.
node_client() {
	command -v npm >/dev/null 2>&1 || skip "there is no npm (Debian: nodejs npm)"
	home=$clients/$1
	[ "$(cat "$home/installed" 2>/dev/null)" != "$2" ] || return 0
	rm -rf "$home"
	mkdir -p "$home"
	(cd "$home" && npm install --silent --no-audit --no-fund --prefix . "$2" >/dev/null) || {
		echo "$1: cannot install $2: is the npm registry within reach?" >&2
		exit 1
	}
	echo "$2" >"$home/installed"
}

# go_client NAME MODULE@VERSION ...: builds lib.d/NAME/main.go, or $go_source, with these modules; sets $program. Needs the network once.
go_client() {
	name=$1
	shift
	case $(go env GOVERSION 2>/dev/null) in
	go1.2[4-9]* | go1.[3-9][0-9]*) ;;
	*) skip "Go 1.24 or newer is needed, here is: $(go env GOVERSION 2>/dev/null || echo none)" ;;
	esac
	home=$clients/$name program=$clients/$name/program
	source=${go_source:-$(dirname "$0")/lib.d/$name/main.go}
	stamp="$* $(cksum <"$source")"
	[ "$(cat "$home/installed" 2>/dev/null)" != "$stamp" ] || return 0
	rm -rf "$home"
	mkdir -p "$home"
	cp "$source" "$home/main.go"
	(cd "$home" && go mod init client >/dev/null 2>&1 && go get "$@" >/dev/null 2>get.log && go mod tidy >/dev/null 2>>get.log &&
		go build -o program . 2>>get.log) || {
		cat "$home/get.log" >&2
		echo "$name: cannot build with $*: is the Go module proxy within reach?" >&2
		exit 1
	}
	echo "$stamp" >"$home/installed"
}

# maven_jars NAME GROUP:ARTIFACT:VERSION ...: these and what they need, from Maven; sets $jars. Needs the network once.
maven_jars() {
	command -v java >/dev/null 2>&1 && command -v mvn >/dev/null 2>&1 || skip "there is no java or mvn (Debian: default-jdk-headless maven)"
	jars=$clients/$1
	shift
	[ "$(cat "$jars/complete" 2>/dev/null)" != "$*" ] || return 0
	rm -rf "$jars"
	mkdir -p "$jars"
	{
		echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
		echo '<groupId>smack</groupId><artifactId>clients-test</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
		for a in "$@"; do
			artifact=${a%:*}
			echo "<dependency><groupId>${a%%:*}</groupId><artifactId>${artifact##*:}</artifactId><version>${a##*:}</version></dependency>"
		done
		echo '</dependencies></project>'
	} >"$jars/pom.xml"
	mvn -q -B -f "$jars/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars" >"$jars/mvn.log" 2>&1 || {
		tail -5 "$jars/mvn.log" >&2
		skip "cannot get $*: is Maven's repository within reach?"
	}
	echo "$*" >"$jars/complete"
}

# kafka_jars VERSION [ARTIFACT ...]: these of Kafka (else kafka-tools), the first one names the directory.
kafka_jars() {
	kafka=$1
	shift
	[ $# -gt 0 ] || set -- kafka-tools
	directory=$1-$kafka
	for a in "$@"; do
		set -- "$@" "org.apache.kafka:$a:$kafka"
		shift
	done
	maven_jars "$directory" "$@" org.slf4j:slf4j-nop:1.7.36
}
