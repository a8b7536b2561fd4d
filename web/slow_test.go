package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// served is a site on a unix socket, whose metrics are large and made for two at once.
type served struct {
	*testing.T
	path string
	// stuck holds up who makes metrics, and lets one go for each value, or all when it is closed; nil for nobody.
	stuck        chan struct{}
	inside, made atomic.Int32
}

// large does not fit into the kernel's buffers.
var large = bytes.Repeat([]byte("culvert_nat_ports 1024\n"), 1<<16)

func newServed(t *testing.T, stuck chan struct{}) *served {
	t.Helper()
	s := &served{T: t, path: filepath.Join(t.TempDir(), "web.sock"), stuck: stuck}
	places := make(chan struct{}, 2)
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s.stuck == nil {
			defer s.made.Add(1) // when the place is free again
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			default:
				http.Error(w, "no place", http.StatusServiceUnavailable)
				return
			}
		}
		s.inside.Add(1)
		if s.stuck != nil {
			<-s.stuck
		}
		_, _ = w.Write(large) // who asked has gone
	})
	site := NewSite(Options{
		Status:  func() daemon.Status { return daemon.Status{Ready: true} },
		Fleet:   func() (*topology.Host, *portmap.Lock) { return nil, nil },
		Metrics: metrics,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, Address{"unix", s.path}, site, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.eventually("it listens", func() bool {
		_, err := os.Stat(s.path)
		return err == nil
	})
	return s
}

func (s *served) eventually(what string, holds func() bool) {
	s.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("never: %s", what)
		}
	}
}

// ask sends a request and reads nothing.
func (s *served) ask(path string) net.Conn {
	s.Helper()
	var conn net.Conn
	s.eventually("a connection", func() (ok bool) {
		var err error
		conn, err = (&net.Dialer{}).DialContext(s.Context(), "unix", s.path)
		return err == nil
	})
	s.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		s.Fatal(err)
	}
	return conn
}

// get is a client that reads.
func (s *served) get(path string) (int, []byte) {
	s.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.path)
	}}}
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://culvert"+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		s.Fatalf("GET %s: %v", path, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.Errorf("GET %s: %v after %d bytes", path, err, len(body))
	}
	return response.StatusCode, body
}

// TestSlowReaders has twenty clients ask for metrics and read nothing of them: who reads gets them all the same, and of the slow ones the
// first are cut off.
func TestSlowReaders(t *testing.T) {
	s := newServed(t, nil)
	var slow []net.Conn
	for i := range 20 {
		slow = append(slow, s.ask("/metrics"))
		s.eventually("the slow client's answer is made", func() bool { return s.made.Load() == int32(i+1) })
	}
	if status, body := s.get("/metrics"); status != http.StatusOK || !bytes.Equal(body, large) {
		t.Errorf("metrics beside slow readers: status %d, %d bytes", status, len(body))
	}
	if status, body := s.get("/healthz"); status != http.StatusOK || string(body) != "ok\n" {
		t.Errorf("health beside slow readers: %d, %s", status, body)
	}
	_ = slow[0].SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := io.Copy(io.Discard, slow[0]); n >= int64(len(large)) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the slowest reader still got %d bytes, %v", n, err)
	}
}

// TestHealthBesideTheBusy has as many requests answered as may be, and then more connections come than are kept: the health is told, and
// who asked before gets the answer.
func TestHealthBesideTheBusy(t *testing.T) {
	stuck := make(chan struct{})
	s := newServed(t, stuck)
	defer close(stuck)
	answers := make(chan error, requests)
	for range requests {
		conn := s.ask("/metrics")
		go func() { answers <- whole(conn) }()
	}
	s.eventually("all are being answered", func() bool { return s.inside.Load() == requests })
	if status, _ := s.get("/metrics"); status != http.StatusServiceUnavailable {
		t.Errorf("one request too many: status %d", status)
	}
	for range 2 * connections {
		s.ask("/healthz")
	}
	if status, body := s.get("/healthz"); status != http.StatusOK || string(body) != "ok\n" {
		t.Errorf("health beside the busy: %d, %s", status, body)
	}
	for range requests { // one at a time: of many answers under way at once the first are cut off
		stuck <- struct{}{}
		if err := <-answers; err != nil {
			t.Errorf("metrics that were asked for before: %v", err)
		}
	}
}

// whole reads an answer of [large] and nothing else.
func whole(conn net.Conn) error {
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && !bytes.Equal(body, large) {
		err = fmt.Errorf("status %d, %d bytes", response.StatusCode, len(body))
	}
	return err
}

// TestDeliveryEnds has a client read nothing at all: its answer ends when its time is over.
func TestDeliveryEnds(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "web.sock"))
	if err != nil {
		t.Fatal(err)
	}
	out, sent := &deliveries{patience: 10 * time.Millisecond}, make(chan error, 1)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := delivery{w, out}.Write(large)
		sent <- err
	})}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	s := &served{T: t, path: listener.Addr().String()}
	s.ask("/")
	if err := <-sent; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("sending ended with %v", err)
	}
	if len(out.under) != 0 {
		t.Errorf("%d answers are under way", len(out.under))
	}
}

// TestSmallAnswersTakeNoPlace has as many large answers wait for their readers as may be, and others ask for something small: nobody is
// cut off.
func TestSmallAnswersTakeNoPlace(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "web.sock"))
	if err != nil {
		t.Fatal(err)
	}
	out := &deliveries{patience: time.Hour}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := large
		if r.URL.Path == healthPath {
			answer = []byte("ok\n")
		}
		_, _ = delivery{w, out}.Write(answer)
	})}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	s := &served{T: t, path: listener.Addr().String()}
	var slow []net.Conn
	for range undelivered {
		slow = append(slow, s.ask("/metrics"))
	}
	s.eventually("all answers wait for their readers", func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return len(out.under) == undelivered
	})
	for range undelivered {
		if status, body := s.get(healthPath); status != http.StatusOK || string(body) != "ok\n" {
			t.Errorf("health: status %d, %q", status, body)
		}
	}
	for i, conn := range slow {
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("reader %d: %v", i, err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil || n != int64(len(large)) {
			t.Errorf("reader %d got %d bytes of %d, %v", i, n, len(large), err)
		}
	}
}
