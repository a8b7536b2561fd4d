package main

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDaemonNotifies has a daemon tell a service manager: ready after the first convergence and not before, again after each
// reload, alive meanwhile, and when it stops.
func TestDaemonNotifies(t *testing.T) {
	r := newDaemonRig(t)
	path := filepath.Join(r.dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	// until returns what is told, up to a message that begins with the words, each once.
	until := func(words string) (told []string) {
		t.Helper()
		_ = manager.SetReadDeadline(time.Now().Add(r.patience))
		for b := make([]byte, 4096); ; {
			n, err := manager.Read(b)
			if err != nil {
				t.Fatalf("%s is not told, but %q", words, told)
			}
			if text := string(b[:n]); !slices.Contains(told, text) {
				told = append(told, text)
			}
			if strings.HasPrefix(string(b[:n]), words) {
				return told
			}
		}
	}
	r.replace(r.fleet, "hosts: nonsense\n")
	p := r.start("hv2", "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=300000")
	if told := until("STATUS=the fleet is refused"); slices.Contains(told, "READY=1") {
		t.Errorf("ready without a fleet: %q", told)
	}
	r.push(daemonFleet)
	until("READY=1")
	until("STATUS=generation " + r.generation())
	until("WATCHDOG=1")
	for range 2 {
		if err := p.cmd.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if told := until("RELOADING=1\nMONOTONIC_USEC="); slices.Contains(told, "READY=1") {
			t.Errorf("ready before the reload: %q", told)
		}
		until("READY=1")
	}
	// Also a reload whose fleet is refused comes to an end.
	r.replace(r.fleet, "hosts: nonsense\n")
	if err := p.cmd.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("RELOADING=1")
	until("READY=1")
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until("STOPPING=1")
}
