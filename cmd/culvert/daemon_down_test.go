package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/agent/daemon"
)

// verified waits until each tenant has been looked at after it was changed last, and found right.
func (p *process) verified() daemon.Status {
	p.Helper()
	p.converged()
	return p.eventually("looked at again", func(s daemon.Status) bool {
		for _, t := range s.Tenants {
			if !t.Looked.After(t.Changed) {
				return false
			}
		}
		return true
	})
}

// TestDaemonDown breaks something of each kind while no daemon runs: the next one finds it at its start, although it does not read rules
// that are known to be right.
func TestDaemonDown(t *testing.T) {
	r := newDaemonRig(t)
	space := r.lab.HostPrefix("hv2") + "culvert-acme"
	p := r.start("hv2")
	p.verified()
	known := filepath.Join(r.dir, "hv2.known")
	for _, tt := range []struct{ name, command string }{
		{"nothing", "true"},
		{"a rule", "nft flush chain ip culvert forward"},
		{"an element", "nft flush set ip culvert inside"},
		{"a table", "nft delete table ip6 culvert"},
		{"a route", "ip route del 10.0.0.12"},
		{"a neighbour", "ip neighbour flush nud permanent dev vx100"},
		{"a parameter", "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter"},
		{"a parameter of a device", "echo 0 > /proc/sys/net/ipv4/conf/tap-b/proxy_arp"},
		{"a delay of a device", "echo 80 > /proc/sys/net/ipv4/neigh/tap-b/proxy_delay"},
		{"the overlay's device", "ip link del vx100"},
	} {
		for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
			_ = p.end(signal)
			if out, err := exec.Command("ip", "netns", "exec", space, "sh", "-c", tt.command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", tt.name, err, out)
			}
			p = r.start("hv2")
			if s := p.verified(); (s.Changes > 0) != (tt.command != "true") {
				t.Errorf("%s, after %v: %d changes", tt.name, signal, s.Changes)
			}
			r.settled("hv2")
		}
	}
	// A note that is broken, or was written in another life of the machine, is of no consequence.
	if err := p.end(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"culvert-acme":{"namespace":`) {
		t.Errorf("acme's rules are not known: %s", text)
	}
	for _, note := range []string{"", "{", strings.Replace(string(text), `"boot":"`, `"boot":"another `, 1)} {
		if err := errors.Join(p.end(unix.SIGTERM), os.WriteFile(known, []byte(note), 0o600)); err != nil {
			t.Fatal(err)
		}
		p = r.start("hv2")
		if s := p.verified(); s.Changes != 0 {
			t.Errorf("with the note %q: %d changes", note, s.Changes)
		}
	}
}
