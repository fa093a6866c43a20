// The twin in Go: goroutines and channels. main CELL N M WARM SECONDS THREADS: repeats the cell, first for WARM seconds, then for SECONDS, which are
// measured; one line of JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// One there and back; an unbuffered channel hands over at once, a buffer of one was slower.
func pingPong(n, _ int) int {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
		close(pong)
	}()
	for i := 0; i < n; i++ {
		ping <- i
		<-pong
	}
	close(ping)
	<-pong
	return 2 * n
}

func counting(n, _ int) int {
	in, sum := make(chan int, 1024), make(chan int)
	go func() {
		count := 0
		for range in {
			count++
		}
		sum <- count
	}()
	for i := 0; i < n; i++ {
		in <- i
	}
	close(in)
	if <-sum != n {
		panic("counted wrong")
	}
	return n
}

func threadRing(n, m int) int {
	hops := make([]chan int, m)
	for i := range hops {
		hops[i] = make(chan int, 1)
	}
	end := make(chan int)
	for i := range hops {
		go func(in, out chan int) {
			for left := range in {
				if left == 0 {
					end <- 1
				} else {
					out <- left - 1
				}
			}
		}(hops[i], hops[(i+1)%m])
	}
	hops[0] <- n
	<-end
	for _, hop := range hops {
		close(hop)
	}
	return n
}

type bigMsg struct {
	from int
	pong bool
}

// Each has at most one ping under way, so a mailbox never holds more than a ping of each and a pong.
func big(n, m int) int {
	boxes := make([]chan bigMsg, m)
	for i := range boxes {
		boxes[i] = make(chan bigMsg, m+1)
	}
	var done, ended sync.WaitGroup
	stop := make(chan bool)
	done.Add(m)
	ended.Add(m)
	for i := range boxes {
		go func(self int) {
			defer ended.Done()
			random, left := uint64(self), n
			next := func() {
				if left == 0 {
					done.Done()
				}
				if left--; left >= 0 {
					random = random*6364136223846793005 + 1442695040888963407
					boxes[(random>>33)%uint64(m)] <- bigMsg{self, false}
				}
			}
			next()
			for {
				select {
				case msg := <-boxes[self]:
					if msg.pong {
						next()
					} else {
						boxes[msg.from] <- bigMsg{self, true}
					}
				case <-stop:
					return
				}
			}
		}(i)
	}
	done.Wait()
	close(stop)
	ended.Wait()
	return 2 * n * m
}

// Each is made, gets one message and ends.
func forkJoinCreate(n, _ int) int {
	boxes := make([]chan int, n)
	var ended sync.WaitGroup
	ended.Add(n)
	for i := range boxes {
		boxes[i] = make(chan int, 1)
		go func(in chan int) {
			<-in
			ended.Done()
		}(boxes[i])
	}
	for _, box := range boxes {
		box <- 1
	}
	ended.Wait()
	return n
}

func memory() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.Sys
}

// n that live at the same time.
func create(n, _ int) (time.Duration, uint64) {
	before, started := memory(), time.Now()
	boxes := make([]chan int, n)
	for i := range boxes {
		boxes[i] = make(chan int, 1)
		go func(in chan int) { <-in }(boxes[i])
	}
	took, after := time.Since(started), memory()
	for _, box := range boxes {
		box <- 1
	}
	return took, (after - before) / uint64(n)
}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func rss() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Maxrss
}

func number(i int) float64 {
	n, err := strconv.ParseFloat(os.Args[i], 64)
	if err != nil {
		panic(err)
	}
	return n
}

func repeat(cell func(int, int) int, n, m int, seconds float64) (messages int, took float64) {
	for started := time.Now(); took < seconds; took = time.Since(started).Seconds() {
		messages += cell(n, m)
	}
	return
}

func main() {
	cells := map[string]func(int, int) int{"ping-pong": pingPong, "counting": counting, "thread ring": threadRing, "big": big,
		"fork-join create": forkJoinCreate}
	runtime.GOMAXPROCS(int(number(6)))
	n, m := int(number(2)), int(number(3))
	out := map[string]any{}
	used := cpu()
	if os.Args[1] == "create" {
		create(n/10, 0)
		used = cpu()
		took, bytes := create(n, 0)
		out["ns"], out["bytes"] = float64(took.Nanoseconds())/float64(n), bytes
	} else {
		repeat(cells[os.Args[1]], n, m, number(4))
		used = cpu()
		messages, took := repeat(cells[os.Args[1]], n, m, number(5))
		out["ns"], out["messages"] = took*1e9/float64(messages), messages
	}
	out["cpu_s"], out["rss_kib"] = cpu()-used, rss()
	line, _ := json.Marshal(out)
	fmt.Println(string(line))
}
