// Command probe is what the test pods run: it says who it is and whom it sees, asks others on request, and keeps TCP
// streams open so that a cut, however short, is noticed. The tests drive it over HTTP.
//
//	/            JSON: name, the caller's address as seen here
//	/get?url=U   asks U (another probe, or anything) and answers with what came back
//	/blob?mb=N   N megabytes, for rate limits
//	/streams     GET: state of the streams; POST ?peers=ADDR,ADDR: opens one to each
package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	httpPort   = ":8080"
	echoPort   = ":8081"
	everyTick  = 50 * time.Millisecond
	streamDead = 30 * time.Second // an echo that takes longer counts as a cut (a busy machine alone made some take 12 s)
)

type stream struct {
	Peer     string  `json:"peer"`
	Echoes   uint64  `json:"echoes"`
	MaxGapMs float64 `json:"max_gap_ms"`
	Broken   string  `json:"broken,omitempty"`
}

type board struct {
	mu      sync.Mutex
	streams map[string]*stream
}

func (b *board) open(peer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, there := b.streams[peer]; there && old.Broken == "" {
		return
	}
	s := &stream{Peer: peer}
	b.streams[peer] = s
	go b.run(s)
}

// run never reconnects: the question is whether this one connection survives.
func (b *board) run(s *stream) {
	err := func() error {
		conn, err := net.DialTimeout("tcp", s.Peer, streamDead)
		if err != nil {
			return err
		}
		defer conn.Close()
		buffer := make([]byte, 8)
		for count := uint64(1); ; count++ {
			began := time.Now()
			binary.BigEndian.PutUint64(buffer, count)
			conn.SetDeadline(began.Add(streamDead))
			if _, err := conn.Write(buffer); err != nil {
				return err
			}
			if _, err := io.ReadFull(conn, buffer); err != nil {
				return err
			}
			if got := binary.BigEndian.Uint64(buffer); got != count {
				return fmt.Errorf("echo %d, sent %d", got, count)
			}
			took := time.Since(began)
			b.mu.Lock()
			s.Echoes = count
			s.MaxGapMs = max(s.MaxGapMs, float64(took.Microseconds())/1000)
			b.mu.Unlock()
			time.Sleep(everyTick)
		}
	}()
	b.mu.Lock()
	s.Broken = err.Error()
	b.mu.Unlock()
}

func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		for _, peer := range strings.Split(r.URL.Query().Get("peers"), ",") {
			if peer != "" {
				b.open(peer)
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := []*stream{}
	for _, s := range b.streams {
		all = append(all, s)
	}
	reply(w, all)
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}

func who(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	name, _ := os.Hostname()
	reply(w, map[string]string{"name": name, "node": os.Getenv("NODE_NAME"), "source": host})
}

func ask(w http.ResponseWriter, r *http.Request) {
	timeout, err := strconv.ParseFloat(r.URL.Query().Get("timeout"), 64)
	if err != nil {
		timeout = 5
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(timeout*float64(time.Second)))
	defer cancel()
	began := time.Now()
	answer := map[string]any{}
	defer func() {
		answer["ms"] = float64(time.Since(began).Microseconds()) / 1000
		reply(w, answer)
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL.Query().Get("url"), nil)
	if err != nil {
		answer["error"] = err.Error()
		return
	}
	// A new connection each time, so that every question is routed and balanced anew.
	// The API server's certificate is its cluster's own: that it answers is the question here, not who it is.
	anyone := &tls.Config{InsecureSkipVerify: true}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: anyone}}
	got, err := client.Do(request)
	if err != nil {
		answer["error"] = err.Error()
		return
	}
	defer got.Body.Close()
	size := int64(0)
	head, err := io.ReadAll(io.LimitReader(got.Body, 4096))
	if err == nil {
		size, err = io.Copy(io.Discard, got.Body)
	}
	if err != nil {
		answer["error"] = err.Error()
		return
	}
	answer["status"], answer["body"], answer["bytes"] = got.StatusCode, string(head), size+int64(len(head))
}

func blob(w http.ResponseWriter, r *http.Request) {
	megabytes, _ := strconv.Atoi(r.URL.Query().Get("mb"))
	chunk := make([]byte, 1<<20)
	for range megabytes {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func echo() {
	listener, err := net.Listen("tcp", echoPort)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

func main() {
	go echo()
	http.HandleFunc("/{$}", who)
	http.HandleFunc("/get", ask)
	http.HandleFunc("/blob", blob)
	http.Handle("/streams", &board{streams: map[string]*stream{}})
	port := httpPort
	if given := os.Getenv("PROBE_PORT"); given != "" {
		port = ":" + given
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(port, nil))
	os.Exit(1)
}
