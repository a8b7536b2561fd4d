package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
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
}

// TestDaemonKnown breaks a rule while no daemon runs, and forges the note so that it knows of the change. A daemon that believes the note
// does not read the rules, and nothing else shows it: it finds nothing. One that does not believe it reads them all, and repairs.
func TestDaemonKnown(t *testing.T) {
	r := newDaemonRig(t)
	note := filepath.Join(r.dir, "hv2.known")
	acme := overlay.Place("culvert-acme")
	p := r.start("hv2")
	p.verified()
	if err := p.end(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Boot    string                      `json:"boot"`
		Program string                      `json:"program"`
		Places  map[overlay.Place]nft.Known `json:"places"`
	}
	if err := json.Unmarshal(text, &kept); err != nil || kept.Places[acme].Namespace == 0 {
		t.Fatalf("%v; acme's rules are not known: %s", err, text)
	}
	boot, program := kept.Boot, kept.Program
	for _, tt := range []struct {
		name, boot, program string
		// whole replaces the note.
		whole *string
		log   string
		reads bool
	}{
		{name: "as it was left", boot: boot, program: program},
		{name: "of another boot", boot: "another " + boot, program: program, reads: true},
		{name: "of another program", boot: boot, program: "another " + program, reads: true},
		{name: "empty", whole: new(string), log: "all rules are read", reads: true},
		{name: "broken", whole: &[]string{"{"}[0], log: "all rules are read", reads: true},
	} {
		command := exec.Command("ip", "netns", "exec", r.lab.HostPrefix("hv2")+string(acme), "nft", "flush chain ip culvert forward")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", tt.name, err, out)
		}
		known := kept.Places[acme]
		known.Generation = r.rules("hv2/acme")
		kept.Boot, kept.Program, kept.Places[acme] = tt.boot, tt.program, known
		text, err := json.Marshal(kept)
		if tt.whole != nil {
			text = []byte(*tt.whole)
		}
		if err := errors.Join(err, os.WriteFile(note, text, 0o600)); err != nil {
			t.Fatal(err)
		}
		p := r.start("hv2")
		if s := p.verified(); (s.Changes > 0) != tt.reads {
			t.Errorf("with a note %s: %d changes, want the rules read: %t", tt.name, s.Changes, tt.reads)
		}
		if tt.reads {
			r.settled("hv2")
		}
		if log := p.log.String(); !strings.Contains(log, tt.log) || tt.log == "" && strings.Contains(log, "all rules are read") {
			t.Errorf("with a note %s the log lacks %q, or has too much:\n%s", tt.name, tt.log, log)
		}
		_ = p.end(unix.SIGKILL)
	}
}

// rules is the generation of a node's rules.
func (r *daemonRig) rules(node string) uint32 {
	r.Helper()
	conn, err := nft.Dial(r.open(node))
	if err != nil {
		r.Fatal(err)
	}
	_, err = conn.Observe()
	known, _ := conn.Know(nil)
	if err := errors.Join(err, conn.Close()); err != nil {
		r.Fatal(err)
	}
	return known.Generation
}
