// Workload is the program in the pods of the end-to-end tests: a distributed server without a model.
//
//	workload                  one member of a role instance, as ENTRY_ADDRESS, GROUP_SIZE and WORKER_INDEX say
//	workload idle             a member of nothing, such as a side-car
//	workload ask URL          asks the URL without a pause, and counts the answers
//	workload end CODE AFTER   ends with this exit code after so long (Go's format, such as 2s)
//
// The members of an instance meet at the entry pod, and a member that loses another ends with exit code 1, as ranks that
// have lost each other do. PORT is where it listens for HTTP, and takes orders:
//
//	/            answers MESSAGE, once all members have met; 503 before
//	/ready       200 while it can serve
//	/alive       200 until /wedge
//	/exit?code=N ends at once    /oom  takes memory without end    /unready, /recover  loses and regains readiness
//	/counts      of `ask`: JSON with ok, failed, and the last failure
//
// On SIGTERM it is not ready any more, serves for TERM_SECONDS, and ends with 0; TERM_SECONDS=never ignores the signal.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const meetingPort = "9000"

var (
	met, unready, wedged, ending atomic.Bool
	ok, failed                   atomic.Int64
	lastFailure                  atomic.Value
	hoard                        [][]byte
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "end" {
		end(os.Args[2], os.Args[3])
	}
	go serve()
	switch {
	case len(os.Args) > 1 && os.Args[1] == "idle":
		met.Store(true)
	case len(os.Args) > 2 && os.Args[1] == "ask":
		met.Store(true)
		go ask(os.Args[2])
	default:
		go meet()
	}
	waitForEnd()
}

func end(code, after string) {
	pause, err := time.ParseDuration(after)
	if err != nil {
		panic(err)
	}
	time.Sleep(pause)
	os.Exit(number(code))
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return value
}

func waitForEnd() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	for range signals {
		fmt.Println("SIGTERM")
		if os.Getenv("TERM_SECONDS") == "never" {
			continue
		}
		ending.Store(true)
		time.Sleep(time.Duration(number(os.Getenv("TERM_SECONDS"))) * time.Second)
		os.Exit(0)
	}
}

// The entry pod waits for everybody and tells them that all are there; whoever loses a connection ends.
func meet() {
	size, index := number(os.Getenv("GROUP_SIZE")), number(os.Getenv("WORKER_INDEX"))
	if index > 0 {
		join()
		return
	}
	listener, err := net.Listen("tcp", ":"+meetingPort)
	if err != nil {
		panic(err)
	}
	var others []net.Conn
	for len(others) < size-1 {
		other, err := listener.Accept()
		if err == nil {
			others = append(others, other)
		}
	}
	for _, other := range others {
		other.Write([]byte("all are here\n"))
		go holdOn(other)
	}
	fmt.Println("all", size, "have met")
	met.Store(true)
}

func join() {
	for {
		// The name is resolved at each try: a rebuilt entry pod has another address.
		entry, err := net.DialTimeout("tcp", os.Getenv("ENTRY_ADDRESS")+":"+meetingPort, time.Second)
		if err == nil {
			if _, err = entry.Read(make([]byte, 1)); err == nil {
				met.Store(true)
				holdOn(entry)
			}
			entry.Close()
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func holdOn(other net.Conn) {
	io.Copy(io.Discard, other)
	if !ending.Load() {
		fmt.Println("lost", other.RemoteAddr())
		os.Exit(1)
	}
}

func serve() {
	answer := func(path string, isGood func() bool, text string) {
		http.HandleFunc(path, func(writer http.ResponseWriter, _ *http.Request) {
			if !isGood() {
				writer.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprintln(writer, text)
		})
	}
	order := func(path string, act func(*http.Request)) {
		http.HandleFunc(path, func(writer http.ResponseWriter, request *http.Request) {
			fmt.Fprintln(writer, path)
			go act(request)
		})
	}
	answer("/", met.Load, os.Getenv("MESSAGE"))
	answer("/ready", func() bool { return met.Load() && !unready.Load() && !ending.Load() }, "ready")
	answer("/alive", func() bool { return !wedged.Load() }, "alive")
	order("/exit", func(request *http.Request) { exitSoon(number(request.FormValue("code"))) })
	order("/oom", func(*http.Request) { takeMemory() })
	order("/unready", func(*http.Request) { unready.Store(true) })
	order("/recover", func(*http.Request) { unready.Store(false) })
	order("/wedge", func(*http.Request) { wedged.Store(true) })
	http.HandleFunc("/counts", func(writer http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(writer).Encode(map[string]any{"ok": ok.Load(), "failed": failed.Load(), "last": lastFailure.Load()})
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	panic(http.ListenAndServe(":"+port, nil))
}

// The order itself is answered first.
func exitSoon(code int) {
	time.Sleep(100 * time.Millisecond)
	os.Exit(code)
}

func takeMemory() {
	for {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		hoard = append(hoard, block)
	}
}

// Each request has a connection of its own, so that each is balanced anew.
func ask(url string) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var askers sync.WaitGroup
	for range 2 {
		askers.Go(func() {
			for {
				askOnce(&client, url)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	askers.Wait()
}

func askOnce(client *http.Client, url string) {
	answer, err := client.Get(url)
	if err == nil {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", answer.StatusCode)
		}
	}
	if err != nil {
		failed.Add(1)
		lastFailure.Store(err.Error())
		return
	}
	ok.Add(1)
}
