package daemon

import (
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestListenUnixOnce has ten take a socket at the same instant, again and again: one of them gets it. Half of the times somebody who was
// killed has left it.
func TestListenUnixOnce(t *testing.T) {
	const takers, rounds = 10, 100
	for round := range rounds {
		path := filepath.Join(t.TempDir(), "socket")
		if round%2 == 1 {
			left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err != nil {
				t.Fatal(err)
			}
			left.SetUnlinkOnClose(false)
			if err := left.Close(); err != nil {
				t.Fatal(err)
			}
		}
		begin := make(chan struct{})
		var all sync.WaitGroup
		listeners, errs := make([]net.Listener, takers), make([]error, takers)
		for i := range takers {
			all.Go(func() {
				<-begin
				listeners[i], errs[i] = ListenUnix(path)
			})
		}
		close(begin)
		all.Wait()
		won := 0
		for i, l := range listeners {
			if errs[i] != nil {
				if !strings.Contains(errs[i].Error(), "another daemon") {
					t.Errorf("who comes too late is told: %v", errs[i])
				}
				continue
			}
			won++
			if conn, err := net.Dial("unix", path); err != nil {
				t.Errorf("the one that has it does not hear: %v", err)
			} else if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d have the socket", round, won)
		}
		again, err := ListenUnix(path)
		if err != nil {
			t.Fatalf("after it was given up: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestListenUnixBeside leaves the socket to a daemon that does not hold the file beside it: one of an earlier version.
func TestListenUnixBeside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	if l, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another daemon answers there") {
		t.Errorf("got %v, %v", l, err)
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
}
