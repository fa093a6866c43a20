// What Go's net/http makes of requests: each is answered with what was understood of it. Prints its port.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() { // ends with its parent
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.Header().Set("Seen", "unfinished")
			w.WriteHeader(400)
			return
		}
		w.Header().Set("Seen", fmt.Sprintf("%s %s %x", r.Method, r.RequestURI, body))
	})))
}
