// What smack's ingest does, by net/http and encoding/json: main PORT FILE takes events of the article by POST on 127.0.0.1, checks them, appends them to FILE and answers
// 202 after fdatasync. Requests that come while one sync is under way share the next.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
)

type event struct {
	ID       *string `json:"id"`
	AdID     *string `json:"ad_id"`
	Campaign *string `json:"campaign"`
	TS       *int64  `json:"ts"`
	Type     *string `json:"type"`
}

func isUUID(s *string) bool {
	if s == nil || len(*s) != 36 {
		return false
	}
	for i := 0; i < 36; i++ {
		c := (*s)[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

func check(line []byte) error {
	var e event
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one document")
	}
	if !isUUID(e.ID) || !isUUID(e.AdID) || !isUUID(e.Campaign) {
		return errors.New("id, ad_id and campaign are UUIDs")
	}
	if e.TS == nil || *e.TS < 0 {
		return errors.New("ts is a time in ms")
	}
	if e.Type == nil || *e.Type != "view" && *e.Type != "click" {
		return errors.New("type is view or click")
	}
	return nil
}

type appended struct {
	lines []byte
	done  chan error
}

func write(f *os.File, requests chan appended) {
	var data []byte
	var waiting []chan error
	for first := range requests {
		data, waiting = append(data[:0], first.lines...), append(waiting[:0], first.done)
		for more := true; more; {
			select {
			case r := <-requests:
				data, waiting = append(data, r.lines...), append(waiting, r.done)
			default:
				more = false
			}
		}
		_, err := f.Write(data)
		if err == nil {
			err = syscall.Fdatasync(int(f.Fd()))
		}
		for _, done := range waiting {
			done <- err
		}
	}
}

func handler(requests chan appended) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		lines := [][]byte{body}
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-ndjson") {
			lines = bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
		}
		for i, line := range lines {
			if err := check(line); err != nil {
				http.Error(w, fmt.Sprintf("%d: %v", i+1, err), 400)
				return
			}
		}
		if body[len(body)-1] != '\n' {
			body = append(body, '\n')
		}
		done := make(chan error, 1)
		requests <- appended{body, done}
		if err := <-done; err != nil {
			http.Error(w, err.Error(), 503)
			return
		}
		answer := `{"topic":"raw_events","accepted":` + strconv.Itoa(len(lines)) + `}`
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(202)
		io.WriteString(w, answer)
	}
}

func main() {
	f, err := os.OpenFile(os.Args[2], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	requests := make(chan appended, 4096)
	go write(f, requests)
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: handler(requests)}
	withHTTP2(server)
	log.Fatal(server.ListenAndServe())
}
