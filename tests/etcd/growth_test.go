package etcd

import (
	"strings"
	"syscall"
	"testing"

	"github.com/culvertnet/culvert/agent/daemon"
)

// TestGrowth lets a NAT gateway grow while one host's daemon does not move: its ports are announced, and nobody uses them
// before that host knows of them.
func TestGrowth(t *testing.T) {
	f := newFabric(t)
	f.ran("pushed: generation", "push", f.file())
	f.start("hv1", "hv2", "edge1")
	f.converged()
	f.serve()
	flow := f.flow()
	f.lives(flow)

	signal := func(s syscall.Signal) {
		t.Helper()
		if err := f.daemons["hv1"].cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	more := f.file("1024", "2048")
	signal(syscall.SIGSTOP)
	out, status := f.run("push", "--wait", "2s", more)
	if status != 1 || !strings.Contains(out, "announced: generation") || !strings.Contains(out, "not used yet: hv1") {
		t.Errorf("status %d:\n%s", status, out)
	}
	store := f.cluster.open()
	fleet, err := store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := fleet.Fleet.Tenants[0].NATGateway.PortsPerHost; got != 1024 {
		t.Errorf("%d ports are in use", got)
	}
	for _, c := range fleet.Lock.Tenants["acme"].Claims {
		if len(c.Blocks) != 1 || c.Blocks[0].Size() != 1024 || len(c.Retired) != 1 {
			t.Errorf("%s has %v, retired %v", c.Claimant, c.Blocks, c.Retired)
		}
	}
	signal(syscall.SIGCONT)
	f.ran("pushed: generation", "push", more)
	f.converged()
	for _, host := range []string{"hv1", "hv2"} {
		f.status(host, daemon.Status.Healthy)
	}
	f.lives(flow)
	for range 20 {
		f.lives(f.flow())
	}
	// In one go without anything to grow.
	f.ran("nothing to push", "push", more)
	if out, status := f.run("push", f.file("1024", "512")); status != 0 || strings.Contains(out, "announced") {
		t.Errorf("shrinking: status %d:\n%s", status, out)
	}
}
