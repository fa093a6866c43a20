//go:build !go1.24

package main

import "net/http"

// net/http speaks HTTP/2 without TLS from Go 1.24 on.
func withHTTP2(*http.Server) {}
