// A CQL client under load (gocql 1.7, protocol 4, prepared statements, two connections), with the server's CPU and memory beside its own: one run,
// one line of JSON.
//
//	load OPTIONS schema    keyspace and tables
//	load OPTIONS fill      -count rows of -table, as fast as they are answered
//	load OPTIONS insert    rows of bench.event from -from on
//	load OPTIONS select    one row of bench.event by its key, of -count
//	load OPTIONS range     SELECT views, clicks FROM campaign WHERE id = ? AND year = 2015 AND month > 8: 120 rows, of -count partitions
//	load OPTIONS scan      all of bench.event by 64 token ranges, 8 at once, again and again; counts rows
//
// The last four run for -seconds after a second that is not counted.
package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gocql/gocql"
)

const (
	daysAMonth  = 30
	monthsAYear = 12
	payload     = 4096
	tokenRanges = 64
	scansAtOnce = 8
)

var (
	port     = flag.Int("port", 9042, "of the server on 127.0.0.1")
	pid      = flag.Int("pid", 0, "the server's process")
	inFlight = flag.Int("in-flight", 64, "requests")
	seconds  = flag.Float64("seconds", 10, "to measure")
	from     = flag.Uint64("from", 0, "first row")
	count    = flag.Uint64("count", 1000, "rows, or partitions")
	table    = flag.String("table", "event", "to fill: event, campaign, payload")
)

const (
	insertEvent    = "INSERT INTO bench.event (id, ad, campaign, ts, type) VALUES (?, ?, ?, ?, ?)"
	insertCampaign = "INSERT INTO bench.campaign (id, year, month, day, views, clicks) VALUES (?, ?, ?, ?, ?, ?)"
	insertPayload  = "INSERT INTO bench.payload (id, data) VALUES (?, ?)"
	selectEvent    = "SELECT ad, campaign, ts, type FROM bench.event WHERE id = ?"
	selectRange    = "SELECT views, clicks FROM bench.campaign WHERE id = ? AND year = 2015 AND month > 8"
	selectTokens   = "SELECT id, ad, campaign, ts, type FROM bench.event WHERE token(id) > ? AND token(id) <= ?"
)

var schema = []string{
	"CREATE KEYSPACE IF NOT EXISTS bench WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
	"CREATE TABLE IF NOT EXISTS bench.event (id uuid PRIMARY KEY, ad uuid, campaign uuid, ts timestamp, type text)",
	"CREATE TABLE IF NOT EXISTS bench.campaign (id uuid, year int, month int, day int, views bigint, clicks bigint, " +
		"PRIMARY KEY (id, year, month, day))",
	"CREATE TABLE IF NOT EXISTS bench.payload (id uuid PRIMARY KEY, data blob)",
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// The same number gives the same uuid, and neighbours lie anywhere.
func uuidOf(i uint64) (u gocql.UUID) {
	x := i*0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	y := (x ^ x>>27) * 0x94d049bb133111eb
	binary.BigEndian.PutUint64(u[:8], x)
	binary.BigEndian.PutUint64(u[8:], y^i)
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// User and system time of the server, all threads, in seconds (proc(5)).
func serverCPU() float64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(*pid) + "/stat")
	if err != nil {
		return 0
	}
	s := string(text)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+2:])
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

func serverRSS() (kib int) {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(*pid) + "/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "VmRSS:") {
			kib, _ = strconv.Atoi(strings.Fields(line)[1])
		}
	}
	return kib
}

func ownCPU() float64 {
	var r syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return float64(r.Utime.Sec+r.Stime.Sec) + float64(r.Utime.Usec+r.Stime.Usec)/1e6
}

func connect() *gocql.Session {
	c := gocql.NewCluster("127.0.0.1")
	c.Port = *port
	c.ProtoVersion = 4
	c.NumConns = 2
	c.Timeout = time.Minute
	c.ConnectTimeout = 20 * time.Second
	c.Consistency = gocql.One
	c.DisableInitialHostLookup = true
	c.Events.DisableNodeStatusEvents = true
	c.Events.DisableTopologyEvents = true
	s, err := c.CreateSession()
	must(err)
	return s
}

// ---- operations: each does one request and says how many rows that was ----

type operation func(s *gocql.Session, i uint64, r *rand.Rand) uint64

var types = []string{"view", "click", "purchase"}

func putEvent(s *gocql.Session, i uint64, r *rand.Rand) uint64 {
	must(s.Query(insertEvent, uuidOf(i), uuidOf(i%100000+1<<40), uuidOf(i%1000+1<<41), int64(1700000000000+i), types[i%3]).Exec())
	return 1
}

func putCampaign(s *gocql.Session, i uint64, r *rand.Rand) uint64 {
	month, day := i/daysAMonth%monthsAYear+1, i%daysAMonth+1
	must(s.Query(insertCampaign, uuidOf(i/(daysAMonth*monthsAYear)), 2015, int(month), int(day), int64(i*7), int64(i)).Exec())
	return 1
}

func putPayload(s *gocql.Session, i uint64, r *rand.Rand) uint64 {
	data := make([]byte, payload)
	r.Read(data)
	must(s.Query(insertPayload, uuidOf(i), data).Exec())
	return 1
}

func getEvent(s *gocql.Session, i uint64, r *rand.Rand) uint64 {
	var ad, campaign gocql.UUID
	var ts time.Time
	var kind string
	must(s.Query(selectEvent, uuidOf(r.Uint64()%*count)).Scan(&ad, &campaign, &ts, &kind))
	return 1
}

func getRange(s *gocql.Session, i uint64, r *rand.Rand) uint64 {
	var views, clicks int64
	rows := uint64(0)
	it := s.Query(selectRange, uuidOf(r.Uint64()%*count)).Iter()
	for it.Scan(&views, &clicks) {
		rows++
	}
	must(it.Close())
	if rows != 4*daysAMonth {
		must(fmt.Errorf("the range has %d rows", rows))
	}
	return 1
}

func scanRange(s *gocql.Session, i uint64, r *rand.Rand) uint64 {
	var id, ad, campaign gocql.UUID
	var ts int64
	var kind string
	rows := uint64(0)
	step := ^uint64(0)/tokenRanges + 1
	at := i % tokenRanges * step
	low, high := int64(at^1<<63), int64((at+step-1)^1<<63)
	it := s.Query(selectTokens, low, high).PageSize(5000).Iter()
	for it.Scan(&id, &ad, &campaign, &ts, &kind) {
		rows++
	}
	must(it.Close())
	return rows
}

// ---- running ----

type worker struct {
	latencies []float32 // ms
	rows      uint64
}

type run struct {
	next    uint64
	last    uint64 // 0: until stopped
	counts  atomic.Bool
	stopped atomic.Bool
}

func (t *run) work(s *gocql.Session, op operation, w *worker, seed int64) {
	r := rand.New(rand.NewSource(seed))
	for !t.stopped.Load() {
		i := atomic.AddUint64(&t.next, 1) - 1
		if t.last != 0 && i >= t.last {
			return
		}
		since := time.Now()
		rows := op(s, i, r)
		if t.counts.Load() {
			w.latencies = append(w.latencies, float32(time.Since(since).Seconds()*1e3))
			w.rows += rows
		}
	}
}

type result struct {
	Operations uint64  `json:"operations"` // rows, of a scan
	Next       uint64  `json:"next"`
	Seconds    float64 `json:"seconds"`
	ServerCPU  float64 `json:"server_cpu"`
	ClientCPU  float64 `json:"client_cpu"`
	RSS        int     `json:"rss_kib"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	P999       float64 `json:"p999_ms"`
}

func measure(s *gocql.Session, op operation, workers int, last uint64) result {
	t := run{next: *from, last: last}
	all := make([]worker, workers)
	var wait sync.WaitGroup
	t.counts.Store(last != 0)
	for i := range all {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			t.work(s, op, &all[i], int64(*from)+int64(i))
		}(i)
	}
	if last == 0 {
		time.Sleep(time.Second)
	}
	server, client, since := serverCPU(), ownCPU(), time.Now()
	t.counts.Store(true)
	if last == 0 {
		time.Sleep(time.Duration(*seconds * float64(time.Second)))
		t.counts.Store(false)
	} else {
		wait.Wait()
	}
	res := result{Seconds: time.Since(since).Seconds(), ServerCPU: serverCPU() - server, ClientCPU: ownCPU() - client, RSS: serverRSS()}
	t.stopped.Store(true)
	wait.Wait()
	res.Next = t.next
	var latencies []float32
	for i := range all {
		latencies = append(latencies, all[i].latencies...)
		res.Operations += all[i].rows
	}
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	if n := len(latencies); n > 0 {
		res.P50, res.P99, res.P999 = float64(latencies[n/2]), float64(latencies[n*99/100]), float64(latencies[n*999/1000])
	}
	return res
}

func main() {
	flag.Parse()
	debug.SetGCPercent(400)
	s := connect()
	defer s.Close()
	var res result
	switch mode := flag.Arg(0); mode {
	case "schema":
		for _, text := range schema {
			must(s.Query(text).Exec())
		}
		return
	case "fill":
		op := map[string]operation{"event": putEvent, "campaign": putCampaign, "payload": putPayload}[*table]
		n := *count
		if *table == "campaign" {
			n *= daysAMonth * monthsAYear
		}
		res = measure(s, op, *inFlight, *from+n)
	case "insert":
		res = measure(s, putEvent, *inFlight, 0)
	case "select":
		res = measure(s, getEvent, *inFlight, 0)
	case "range":
		res = measure(s, getRange, *inFlight, 0)
	case "scan":
		res = measure(s, scanRange, scansAtOnce, 0)
	default:
		must(fmt.Errorf("schema, fill, insert, select, range or scan, not %q", mode))
	}
	must(json.NewEncoder(os.Stdout).Encode(res))
}
