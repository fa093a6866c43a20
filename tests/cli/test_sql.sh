#!/bin/sh
# CQL and SQL from the command line: -e, -f, standard input; submit.
. "$(dirname "$0")/lib.sh"

run 0 "$SMACK" cql -e "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
printf 'CREATE TABLE k.t (a int PRIMARY KEY, b text);\n-- a comment; with a semicolon\nCREATE TABLE k.u (a int PRIMARY KEY, b text);\n' >"$dir/f.cql"
run 0 "$SMACK" cql -f "$dir/f.cql"
echo "INSERT INTO k.t (a, b) VALUES (1, 'one; two'); INSERT INTO k.t (a, b) VALUES (2, null)" | "$SMACK" cql >"$dir/out" 2>&1 || fail stdin
run 0 "$SMACK" cql -e 'SELECT * FROM k.t WHERE a = 1'
says 'one; two'
run 1 "$SMACK" cql -e 'SELECT * FROM k.none'
one_line
run 1 "$SMACK" cql -e 'SELEC'
one_line
run 1 "$SMACK" cql -f "$dir/none.cql"
one_line
run 2 "$SMACK" cql 'SELECT 1'

run 0 "$SMACK" sql -e 'SELECT count(*) AS n FROM k.t'
says 2
says '(1 row)'
run 0 "$SMACK" sql --keyspace k -e "INSERT INTO u SELECT a, coalesce(b, 'none') AS b FROM t"
says '2 rows written'
printf 'SELECT b FROM k.u WHERE a = 2;\n' >"$dir/f.sql"
run 0 "$SMACK" sql -f "$dir/f.sql"
says none
"$SMACK" sql <"$dir/f.sql" >"$dir/out" 2>&1 || fail stdin
says none
run 1 "$SMACK" sql -e 'SELECT x FROM k.t'
one_line
says x
run 1 "$SMACK" sql -e 'SELECT a FROM k.none'
one_line

run 0 "$SMACK" submit "$dir/f.sql"
says none
printf '#!/bin/sh\necho "$SMACK_DATA $*"\nexit 9\n' >"$dir/program"
chmod +x "$dir/program"
run 9 "$SMACK" submit --class C "$dir/program" one two
says '--class C one two'
run 1 "$SMACK" submit "$dir/no-program"
one_line
