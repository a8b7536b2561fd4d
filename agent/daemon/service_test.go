package daemon

import (
	"context"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/topology"
)

// manager is a service manager's end of the socket.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

func hear(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func openService(t *testing.T) *Service {
	t.Helper()
	s, err := OpenService()
	if err != nil || s == nil {
		t.Fatalf("service %v, error %v", s, err)
	}
	return s
}

// slow is an agent whose plans take as long as they are let.
type slow struct {
	stub
	planning, planned chan struct{}
}

func (s *slow) PlanHost(host topology.Host) (agent.Plan, error) {
	s.planning <- struct{}{}
	<-s.planned
	return s.stub.PlanHost(host)
}

// TestBusy has the keeper work for long, and then have nothing to do: what the watchdog reads says both.
func TestBusy(t *testing.T) {
	s := &slow{planning: make(chan struct{}), planned: make(chan struct{})}
	k := stubbed(t, &s.stub)
	k.agent, k.full = s, time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	before := time.Now()
	k.queue.everything()
	<-s.planning
	if began := time.Unix(0, k.busy.Load()); began.Before(before) {
		t.Errorf("while it plans, the keeper is busy since %v", began)
	}
	s.planned <- struct{}{}
	for late := time.Now().Add(30 * time.Second); k.busy.Load() != 0; {
		if time.Now().After(late) {
			t.Fatal("a keeper without work is busy")
		}
		select {
		case <-s.planning:
			s.planned <- struct{}{}
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNoService(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	s, err := OpenService()
	if s != nil || err != nil {
		t.Fatalf("service %v, error %v", s, err)
	}
	s.ready() // nothing happens
	s.status("x")
	s.stopping()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	if _, err := OpenService(); err == nil {
		t.Error("a socket that is not there is no error")
	}
}

func TestNotify(t *testing.T) {
	conn := manager(t)
	s := openService(t)
	s.ready()
	s.status("tenants: 1\nfailed: 1")
	s.status("tenants: 1\nfailed: 1") // not repeated
	s.reloading()
	s.stopping()
	for _, want := range []string{`READY=1`, `STATUS=tenants: 1; failed: 1`, `RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*`, `STOPPING=1`} {
		if got := hear(t, conn); !regexp.MustCompile("^" + want + "$").MatchString(got) {
			t.Errorf("told %q, want %s", got, want)
		}
	}
}

// TestWatchdog is silent only while the keeper is at work for too long.
func TestWatchdog(t *testing.T) {
	conn := manager(t)
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(int(300*time.Millisecond/time.Microsecond)))
	t.Setenv("WATCHDOG_PID", "")
	s := openService(t)
	ctx, cancel := context.WithCancel(t.Context())
	var busy atomic.Int64
	done := make(chan error)
	go func() { done <- watchdogTask{s, &busy}.Run(ctx) }()
	for range 3 {
		if got := hear(t, conn); got != "WATCHDOG=1" {
			t.Errorf("told %q", got)
		}
	}
	busy.Store(time.Now().UnixNano()) // at work, not for long
	hear(t, conn)
	busy.Store(time.Now().Add(-time.Hour).UnixNano()) // stuck
	// What was told before may still be on its way. Then there is silence, for longer than one that works is silent.
	for late := time.Now().Add(30 * time.Second); ; {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(make([]byte, 64)); err != nil {
			break
		}
		if time.Now().After(late) {
			t.Fatal("a stuck keeper is alive")
		}
	}
	busy.Store(0)
	if got := hear(t, conn); got != "WATCHDOG=1" {
		t.Errorf("told %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	t.Setenv("WATCHDOG_PID", "1")
	if s := openService(t); s.watchdog != 0 {
		t.Error("another process's watchdog is taken for ours")
	}
}
