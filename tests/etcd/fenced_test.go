package etcd

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
)

var public = netip.MustParseAddr("45.86.152.23")

// wire has the hardware be that of a fleet.
func (f *fabric) wire(text string) {
	f.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		f.Fatal(err)
	}
	if err := f.lab.Rewire(fleet); err != nil {
		f.Fatal(err)
	}
}

// TestFenced has a hypervisor that is an edge die: its daemon, not its kernel, which sends on by its own uplink. That it is marked down does
// not give its ports to others; that its uplink is cut does, once the operator has said so. Then it may send by another edge: that drops it.
func TestFenced(t *testing.T) {
	up := strings.Replace(full, "192.0.2.2, roles: [hypervisor]}", "192.0.2.2, roles: [hypervisor, edge], uplink: eth1}", 1)
	down := strings.Replace(up, "uplink: eth1}", "uplink: eth1, state: down}", 1)
	left := edit(down, []string{"vm-b"})
	next := edit(left, nil, "vm-d@hv1")
	f := newFabric(t)
	f.ran("pushed: generation", "push", f.write(up, true))
	f.start("hv1", "hv2", "edge1")
	f.converged()
	f.serve()
	a := f.from("vm-a")
	m := f.mutter("hv2", "edge1")
	m.leaves("hv2", public)

	f.kill("hv2")
	back := m.detour("hv2", "edge1")
	m.leaves("edge1", public)
	back()
	m.leaves("hv2", public)
	f.wire(edit(down, nil, "vm-d@hv1"))
	f.ran("+ tenant acme: host hv2: 45.86.152.23 17152-33279 (16128 ports), given up", "push", f.write(left, false))
	f.knows("hv1")
	f.knows("edge1")
	// It is right to wait: the VM still sends from these ports.
	m.leaves("hv2", public)
	const remedy = "hv2 (an edge: cut its uplink, then push with --fenced hv2)"
	for _, words := range [][]string{{"push"}, {"push", "--fenced", "edge1"}} {
		if out, status := f.run(append(words, "--wait", "1ms", f.write(next, false))...); status == 0 || !strings.Contains(out, remedy) {
			t.Errorf("culvert %v: status %d, want %q:\n%s", words, status, remedy, out)
		}
	}

	f.ip("hv2", "link", "set", "eth1", "down")
	own, other := m.ends("hv2", public), m.ends("edge1", public)
	f.ran("+ tenant acme: interface vm-d: 45.86.152.23 17152-33279 (16128 ports)", "push", "--fenced", "hv2", f.write(next, false))
	f.converged()
	d := f.from("vm-d")
	if at, err := d.Seen(t.Context()); err != nil || at.Addr() != public || at.Port() < 17152 || at.Port() > 33279 {
		t.Errorf("vm-d is seen as %s: %v", at, err)
	}
	before := f.outsiders("edge1")
	m.detour("hv2", "edge1")
	eventually(t, func() error {
		if now := f.outsiders("edge1"); now < before+10 {
			return fmt.Errorf("edge1 has dropped %d packets of outsiders, %d before hv2 sent there", now, before)
		}
		return nil
	})
	m.ended("hv2", public, own)
	m.ended("edge1", public, other)
	for range 5 {
		f.lives(a)
		f.lives(d)
	}
}

// detour has the kernel of one edge send what is for the server by another one, until it is called back.
func (m *mutter) detour(from, by string) (back func()) {
	m.Helper()
	out, err := exec.Command("ip", "-n", m.lab.HostPrefix(by)+"culvert-acme", "-4", "-o", "address", "show", "dev", "vx100").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 4 {
		m.Fatalf("%s has no overlay address: %v: %s", by, err, out)
	}
	via, _, _ := strings.Cut(fields[3], "/")
	route := func(verb string) {
		m.Helper()
		cmd := exec.Command("ip", "-n", m.lab.HostPrefix(from)+"culvert-acme", "route", verb, lab.ServerAddresses()[0].String(), "via", via, "dev", "vx100", "onlink")
		if out, err := cmd.CombinedOutput(); err != nil {
			m.Fatalf("%v: %v: %s", cmd.Args, err, out)
		}
	}
	route("add")
	return func() { route("del") }
}

// outsiders is how many packets of the overlay a host has dropped because no host of the fleet that is up has sent them.
func (f *fabric) outsiders(host string) (n int) {
	f.Helper()
	out, err := exec.Command("ip", "netns", "exec", f.name+"-"+host, "nft", "list", "counter", "ip", "culvert", "outsider").Output()
	if err != nil {
		f.Fatalf("%v: %s", err, out)
	}
	_, count, _ := strings.Cut(string(out), "packets ")
	if _, err := fmt.Sscan(count, &n); err != nil {
		f.Fatalf("%v: %s", err, out)
	}
	return n
}
