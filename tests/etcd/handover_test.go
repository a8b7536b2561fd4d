package etcd

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/traffic"
)

// full is a fleet whose public address is full with four VMs.
const full = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    natGateway: {addresses: [45.86.152.23], portsPerInterface: 16128}
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
      - {name: vm-c, host: hv1, device: tap-c, mac: "52:54:00:00:00:0c", addresses: [10.0.0.63]}
      - {name: vm-e, host: hv2, device: tap-e, mac: "52:54:00:00:00:0e", addresses: [10.0.0.99]}
`

// edit returns the fleet without some VMs, and with others on a host.
func edit(fleet string, without []string, more ...string) string {
	var lines []string
	for _, line := range strings.Split(strings.TrimSuffix(fleet, "\n"), "\n") {
		if !slices.ContainsFunc(without, func(vm string) bool { return strings.Contains(line, "name: "+vm+",") }) {
			lines = append(lines, line)
		}
	}
	for _, vm := range more {
		name, host, _ := strings.Cut(vm, "@")
		lines = append(lines, fmt.Sprintf(`      - {name: %s, host: %s, device: tap-%s, mac: "52:54:00:00:01:%02x", addresses: [10.0.1.%d]}`, name, host, name[3:], name[3], name[3]))
	}
	return strings.Join(lines, "\n") + "\n"
}

// freed are the blocks that were given up and are nobody's yet.
func (f *fabric) freed() string {
	f.Helper()
	fleet, err := f.cluster.open().Read(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	var out []string
	for _, b := range fleet.Lock.Tenants["acme"].Freed {
		out = append(out, fmt.Sprintf("%s by %s", b.Block.Ports(), b.Claimant))
	}
	return strings.Join(out, ", ")
}

func (f *fabric) signal(host string, s syscall.Signal) {
	f.Helper()
	if err := f.daemons[host].cmd.Process.Signal(s); err != nil {
		f.Fatal(err)
	}
}

// write writes a fleet and returns its path; wire is true if the hardware follows.
func (f *fabric) write(text string, wire bool) string {
	f.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		f.Fatal(err)
	}
	if wire {
		if err := f.lab.Rewire(fleet); err != nil {
			f.Fatal(err)
		}
	}
	path := filepath.Join(f.dir, "fleet.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	return path
}

// seen is the port that the server sees a flow come from.
func (f *fabric) seen(flow traffic.Flow) uint16 {
	f.Helper()
	at, err := flow.Seen(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return at.Port()
}

// from opens a flow of a VM.
func (f *fabric) from(vm string) traffic.Flow {
	f.Helper()
	flow, err := traffic.Open(f.Context(), f.open("acme/"+vm), traffic.TCP, netip.AddrPortFrom(lab.ServerAddresses()[0], 443), traffic.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = flow.Close() })
	return flow
}

// TestHandOver moves a VM with its ports, and hands ports of one that leaves to another one: not before the host that had them has said
// that its flows have ended. Its daemon that stands still holds that up, and so does its lease that has ended.
func TestHandOver(t *testing.T) {
	f := newFabric(t)
	f.ran("pushed: generation", "push", f.write(full, true))
	f.start("hv1", "hv2", "edge1")
	f.converged()
	f.serve()
	a, b := f.from("vm-a"), f.from("vm-b")
	within := func(flow traffic.Flow, first, last uint16) {
		t.Helper()
		if port := f.seen(flow); port < first || port > last {
			t.Errorf("a flow comes from port %d, want %d-%d", port, first, last)
		}
	}
	within(b, 17152, 33279)

	// Ports move with their VM.
	moved := strings.Replace(full, "vm-c, host: hv1", "vm-c, host: hv2", 1)
	f.ran("pushed: generation", "push", f.write(moved, true))
	f.converged()
	within(f.from("vm-c"), 33280, 49407)
	f.lives(a)
	f.lives(b)
	if got := f.freed(); got != "" {
		t.Errorf("freed by a move: %s", got)
	}

	// vm-b leaves the fleet, and its host does not know: its flow goes on.
	f.signal("hv2", syscall.SIGSTOP)
	left := edit(moved, []string{"vm-b"})
	f.ran("+ tenant acme: host hv2: 45.86.152.23 17152-33279 (16128 ports), given up", "push", f.write(left, false))
	if got := f.freed(); got != "17152-33279 (16128 ports) by host hv2" {
		t.Errorf("freed: %s", got)
	}
	f.lives(b)
	// Nobody else gets its ports.
	next := edit(left, nil, "vm-d@hv1")
	if out, status := f.run("push", "--wait", "2s", f.write(next, false)); status == 0 || !strings.Contains(out, "16128 ports were given up and are free once all hosts know; waited 2s for ") || !strings.Contains(out, "hv2\n") {
		t.Errorf("status %d:\n%s", status, out)
	}
	// Nor when its lease has ended: it may live on without its daemon.
	eventually(t, func() error {
		if out, _ := f.run("status", "--fleet"); !strings.Contains(out, "hv2    lost") {
			return fmt.Errorf("not lost:\n%s", out)
		}
		return nil
	})
	if out, status := f.run("push", "--wait", "1s", f.write(next, false)); status == 0 || !strings.Contains(out, "waited 1s for hv2\n") {
		t.Errorf("status %d:\n%s", status, out)
	}
	f.lives(b)
	// As soon as it knows, they do, and its flow has ended.
	f.signal("hv2", syscall.SIGCONT)
	f.ran("+ tenant acme: interface vm-d: 45.86.152.23 17152-33279 (16128 ports)", "push", f.write(next, true))
	f.converged()
	d := f.from("vm-d")
	within(d, 17152, 33279)
	f.lives(d)
	f.lives(a)
}
