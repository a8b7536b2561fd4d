//go:build fullkernel

package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
)

// pairFleet adds a node, and a load balancer with a backend on each hypervisor.
var pairFleet = []string{
	"  - {name: edge1", "  - {name: lb1, underlay: 192.0.2.9, roles: [loadbalancer]}\n  - {name: edge1",
	"portsPerHost: 1024}\n", `portsPerHost: 1024}
    loadBalancers:
      - name: web
        address: 45.86.152.50
        listeners: [{protocol: tcp, port: 443, backendPort: 8443}]
        backends: [{interface: vm-a}, {interface: vm-b}]
`}

// clients opens flows to the load balancer, and knows which backend each reached.
type clients struct {
	*fabric
	next uint16

	mu sync.Mutex
	at map[uint16]string // the backend that has got a source port's first packet
}

func (f *fabric) clients() *clients {
	f.Helper()
	c := &clients{fabric: f, next: 40000, at: map[uint16]string{}}
	for vm, address := range map[string]string{"vm-a": "10.0.0.12:8443", "vm-b": "10.0.0.47:8443"} {
		ns := f.open("acme/" + vm)
		server, err := traffic.Serve(ns, traffic.TCP, netip.MustParseAddrPort(address))
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { _ = server.Close() })
		capture, err := traffic.Watch(ns, "eth0", func(p *packet.Packet) {
			if !p.Outgoing && p.Protocol == packet.TCP && p.Flags == packet.SYN {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.at[p.SourcePort] = vm
			}
		})
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { _ = capture.Stop() })
	}
	return c
}

// open opens as many flows and returns them by their backend.
func (c *clients) open(n int) map[string][]traffic.Flow {
	c.Helper()
	out := map[string][]traffic.Flow{}
	outside := c.fabric.open("server")
	for range n {
		c.next++
		flow, err := traffic.Open(c.Context(), outside, traffic.TCP, netip.MustParseAddrPort("45.86.152.50:443"),
			traffic.Options{Source: netip.AddrPortFrom(lab.ServerAddresses()[0], c.next)})
		if err != nil {
			c.Fatal(err)
		}
		c.Cleanup(func() { _ = flow.Close() })
		c.lives(flow)
		c.mu.Lock()
		vm := c.at[c.next]
		c.mu.Unlock()
		out[vm] = append(out[vm], flow)
	}
	return out
}

// weights are what the node's kernel gives the backends of hv1 and hv2.
func (f *fabric) weights() string {
	f.Helper()
	out, err := exec.Command("ip", "netns", "exec", f.lab.HostPrefix("lb1")+"culvert-acme", "ipvsadm", "-Ln").Output()
	if err != nil {
		f.Fatal(err)
	}
	var weights []string
	for line := range strings.Lines(string(out)) {
		if words := strings.Fields(line); len(words) > 3 && words[0] == "->" && words[1] != "RemoteAddress:Port" {
			weights = append(weights, words[3])
		}
	}
	return strings.Join(weights, " ")
}

func (f *fabric) weigh(want string) {
	f.Helper()
	eventually(f.T, func() error {
		if got := f.weights(); got != want {
			return fmt.Errorf("weights %q, want %q", got, want)
		}
		return nil
	})
}

// TestLostBackends ends the lease of a host that runs a backend. It gets no new flows; those that it has go on, for its kernel may. When it
// is marked down they are reset.
func TestLostBackends(t *testing.T) {
	f := newFabric(t, pairFleet...)
	f.ran("pushed: generation", "push", f.file(pairFleet...))
	f.start("hv1", "hv2", "lb1", "edge1")
	f.converged()
	f.weigh("1 1")
	c := f.clients()
	first := c.open(16)
	if len(first["vm-a"]) == 0 || len(first["vm-b"]) == 0 {
		t.Fatalf("%d flows reached vm-a, %d vm-b", len(first["vm-a"]), len(first["vm-b"]))
	}

	f.kill("hv1")
	f.weigh("0 1")
	if second := c.open(16); len(second["vm-b"]) != 16 {
		t.Errorf("with hv1 lost %d of 16 new flows reached vm-b", len(second["vm-b"]))
	}
	for _, flow := range append(first["vm-a"], first["vm-b"]...) {
		f.lives(flow)
	}

	f.ip("hv1", "link", "set", "underlay0", "down")
	f.ran("pushed: generation", "push", f.file(append([]string{"192.0.2.1, roles: [hypervisor]", "192.0.2.1, roles: [hypervisor], state: down"}, pairFleet...)...))
	f.converged()
	for _, flow := range first["vm-a"] {
		ctx, cancel := context.WithTimeout(t.Context(), patience())
		if err := flow.Exchange(ctx, 1000); !errors.Is(err, traffic.ErrReset) {
			t.Errorf("a flow of a backend that is down: %v, want a reset", err)
		}
		cancel()
	}
	for _, flow := range first["vm-b"] {
		f.lives(flow)
	}
}
