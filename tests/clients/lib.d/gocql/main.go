// Connect, schema metadata, prepared statements, pages, batches, types, a schema change, with each protocol version.
package main

import (
	"fmt"
	"math/big"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"
	"gopkg.in/inf.v0"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gocql:", err)
		os.Exit(1)
	}
}

func check(ok bool, what ...interface{}) {
	if !ok {
		must(fmt.Errorf("%v", what))
	}
}

func connect(version int, keyspace string) *gocql.Session {
	cluster := gocql.NewCluster(strings.Split(os.Getenv("CASSANDRA_CONTACT_POINTS"), ",")...)
	cluster.Port, _ = strconv.Atoi(os.Getenv("CASSANDRA_PORT"))
	cluster.ProtoVersion = version
	cluster.Keyspace = keyspace
	cluster.Timeout = 20 * time.Second
	cluster.ConnectTimeout = 20 * time.Second
	cluster.Consistency = gocql.LocalQuorum
	// Reads where keyspaces have their replicas; gocql 1.7 panics where it cannot make sense of that.
	cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
	session, err := cluster.CreateSession()
	must(err)
	return session
}

type everything struct {
	K  int
	A  string
	B  int64
	Bl []byte
	Bo bool
	De *inf.Dec
	D  float64
	F  float32
	I  net.IP
	S  int16
	Tn int8
	T  string
	Ts time.Time
	Tu gocql.UUID
	U  gocql.UUID
	Vi *big.Int
}

func types(session *gocql.Session, version int) {
	small := ", s smallint, tn tinyint"
	names, marks := ", s, tn", ", ?, ?"
	if version < 4 {
		small, names, marks = "", "", ""
	}
	must(session.Query("CREATE TABLE types (k int PRIMARY KEY, a ascii, b bigint, bl blob, bo boolean, de decimal, d double, f float, i inet, t text, " +
		"ts timestamp, tu timeuuid, u uuid, vi varint" + small + ")").Exec())
	in := everything{1, "asc", -1 << 63, []byte{0, 255}, true, inf.NewDec(-12340, 3), -1.5, 0.25, net.ParseIP("::1"), -3, -128, "t\u00e9\u2713",
		time.UnixMilli(1441110896789).UTC(), gocql.TimeUUID(), gocql.MustRandomUUID(), new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 100))}
	values := []interface{}{in.K, in.A, in.B, in.Bl, in.Bo, in.De, in.D, in.F, in.I, in.T, in.Ts, in.Tu, in.U, in.Vi}
	out := everything{S: in.S, Tn: in.Tn, De: new(inf.Dec), Vi: new(big.Int)}
	back := []interface{}{&out.K, &out.A, &out.B, &out.Bl, &out.Bo, &out.De, &out.D, &out.F, &out.I, &out.T, &out.Ts, &out.Tu, &out.U, &out.Vi}
	if version >= 4 {
		values, back = append(values, in.S, in.Tn), append(back, &out.S, &out.Tn)
	}
	list := "k, a, b, bl, bo, de, d, f, i, t, ts, tu, u, vi" + names
	must(session.Query("INSERT INTO types ("+list+") VALUES (?"+strings.Repeat(", ?", 13)+marks+")", values...).Exec())
	must(session.Query("SELECT " + list + " FROM types WHERE k = 1").Scan(back...))
	check(in.De.Cmp(out.De) == 0 && in.Vi.Cmp(out.Vi) == 0 && in.I.Equal(out.I) && in.Ts.Equal(out.Ts), "types", in, out)
	in.De, in.Vi, in.I, in.Ts = out.De, out.Vi, out.I, out.Ts
	check(reflect.DeepEqual(in, out), "types", in, out)
}

func run(version int) {
	first := connect(version, "")
	must(first.Query("DROP KEYSPACE IF EXISTS gocql").Exec())
	must(first.Query("CREATE KEYSPACE gocql WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}").Exec())
	first.Close()
	session := connect(version, "gocql")
	must(session.Query("CREATE TABLE event (id int, at int, name text, PRIMARY KEY (id, at)) WITH CLUSTERING ORDER BY (at DESC)").Exec())
	var table *gocql.TableMetadata
	for end := time.Now().Add(15 * time.Second); table == nil && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		metadata, err := session.KeyspaceMetadata("gocql")
		must(err)
		table = metadata.Tables["event"]
	}
	check(table != nil && len(table.Columns) == 3 && table.PartitionKey[0].Name == "id" && table.ClusteringColumns[0].Name == "at", "metadata", table)

	for i := 0; i < 250; i++ {
		must(session.Query("INSERT INTO event (id, at, name) VALUES (?, ?, ?)", i%5, i, strconv.Itoa(i)).Exec())
	}
	iter, n, last := session.Query("SELECT at FROM event WHERE id = ?", 3).PageSize(7).Iter(), 0, 1<<30
	for at := 0; iter.Scan(&at); n++ {
		check(at < last, "order", at, last)
		last = at
	}
	must(iter.Close())
	check(n == 50, "pages", n)
	batch := newBatch(session)
	batch.Query("INSERT INTO event (id, at, name) VALUES (?, ?, ?)", 9, 1, "one")
	batch.Query("INSERT INTO event (id, at, name) VALUES (9, 2, 'two')")
	batch.Query("DELETE FROM event WHERE id = ?", 4)
	must(session.ExecuteBatch(batch))
	var count int
	must(session.Query("SELECT count(*) FROM event").Scan(&count))
	check(count == 202, "batch", count)
	// A prepared statement lives through a change of its table.
	all := "SELECT * FROM event WHERE id = ? AND at = ?"
	row := map[string]interface{}{}
	must(session.Query(all, 9, 1).MapScan(row))
	must(session.Query("ALTER TABLE event ADD note text").Exec())
	must(session.Query("UPDATE event SET note = 'n' WHERE id = 9 AND at = 1").Exec())
	row = map[string]interface{}{}
	must(session.Query(all, 9, 1).MapScan(row))
	check(row["note"] == "n" && row["name"] == "one", "after ALTER", row)
	err := session.Query("SELECT nope FROM event").Exec()
	check(err != nil && strings.Contains(err.Error(), "Undefined column name nope in table gocql.event"), "error", err)
	types(session, version)
	must(session.Query("DROP KEYSPACE gocql").Exec())
	session.Close()
}

func newBatch(session *gocql.Session) *gocql.Batch { return session.NewBatch(gocql.LoggedBatch) }

func main() {
	for _, version := range []int{4, 3} {
		run(version)
	}
	fmt.Println("gocql is content")
}
