package etcd

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/traffic"
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
// not give its ports to others; that its uplink is cut does, once the operator has said so.
func TestFenced(t *testing.T) {
	up := strings.Replace(full, "192.0.2.2, roles: [hypervisor]}", "192.0.2.2, roles: [hypervisor, edge], uplink: eth1}", 1)
	down := strings.Replace(up, "uplink: eth1}", "uplink: eth1, state: down}", 1)
	left := edit(down, []string{"vm-b"})
	next := edit(left, nil, "vm-d@hv1")
	f := newFabric(t)
	f.ran("pushed: generation", "push", f.write(up, true))
	f.start("hv1", "hv2", "edge1")
	f.converged()
	server, err := traffic.Serve(f.open("server"), traffic.TCP, netip.AddrPortFrom(lab.ServerAddresses()[0], 443))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	a := f.from("vm-a")
	m := f.mutter("hv2", "edge1")
	m.leaves("hv2", public)

	f.kill("hv2")
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
	m.ended("hv2", public, own)
	m.ended("edge1", public, other)
	for range 5 {
		f.lives(a)
		f.lives(d)
	}
}
