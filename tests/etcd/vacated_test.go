package etcd

import (
	"context"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/source/etcd"
)

var bound = netip.MustParseAddr("45.86.152.30")

// TestVirtualIPBecomesNAT makes an address of a virtual IP one for NAT while its VM sends from it. Nobody gets its ports before the host of
// that VM has said that the VM sends from it no more; from then on only the new owner does.
func TestVirtualIPBecomesNAT(t *testing.T) {
	before := strings.Replace(full, "    interfaces:\n", "    virtualIPs:\n      - {addresses: [45.86.152.30], interface: vm-b}\n    interfaces:\n", 1)
	after := edit(strings.Replace(full, "[45.86.152.23]", "[45.86.152.23, 45.86.152.30]", 1), nil, "vm-d@hv1")
	f := newFabric(t)
	f.ran("pushed: generation", "push", f.write(before, true))
	f.start("hv1", "hv2", "edge1")
	f.converged()
	f.serve()
	a, b := f.from("vm-a"), f.from("vm-b")
	f.lives(a)
	f.lives(b)
	if at, err := b.Seen(t.Context()); err != nil || at.Addr() != bound {
		t.Errorf("vm-b is seen as %s: %v", at, err)
	}
	m := f.mutter("edge1")
	m.leaves("edge1", bound)

	// In one step it is refused: the address is not free.
	if out, status := f.run("push", f.write(after, true)); status == 0 || !strings.Contains(out, "45.86.152.30") {
		t.Errorf("in one step: status %d:\n%s", status, out)
	}
	f.lives(b)

	// The virtual IP leaves, and the VM's host does not know: it goes on sending, and nobody lets it out.
	f.signal("hv2", syscall.SIGSTOP)
	f.ran("given up", "push", f.write(full, false))
	f.knows("edge1")
	left := m.ends("edge1", bound)
	if out, status := f.run("push", "--wait", "1ms", f.write(after, false)); status == 0 || !strings.Contains(out, "; waited 1ms for ") || !strings.Contains(out, "hv2\n") {
		t.Errorf("with a host that does not know: status %d:\n%s", status, out)
	}
	f.lives(a)

	// As soon as it knows, others get the ports, and its VM is one of NAT's.
	f.signal("hv2", syscall.SIGCONT)
	f.ran("+ tenant acme: interface vm-d: 45.86.152.30 1024-17151 (16128 ports)", "push", f.write(after, false))
	f.converged()
	d := f.from("vm-d")
	if at, err := d.Seen(t.Context()); err != nil || at.Addr() != bound || at.Port() < 1024 || at.Port() > 17151 {
		t.Errorf("vm-d is seen as %s: %v", at, err)
	}
	m.leaves("edge1", public)
	m.ended("edge1", bound, left)
	for _, flow := range []traffic.Flow{a, d, f.from("vm-b")} {
		f.lives(flow)
	}
	// What vm-b had from its virtual IP has ended.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := b.Exchange(ctx, 1000); err == nil {
		t.Error("a flow of the virtual IP goes on")
	}
}

// knows waits until a host has converged to the fleet that is in etcd.
func (f *fabric) knows(host string) {
	f.Helper()
	now, err := f.cluster.open().Read(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.status(host, func(s daemon.Status) bool {
		return s.Converged != nil && etcd.Revision(s.Converged.Generation) == now.Revision
	})
}
